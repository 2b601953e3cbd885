/* ring.h - a VMM without VMX: it owns ring 0, its guests' kernels run in ring 1 (IA-32) or 3 (Intel 64).
 *
 * The physical CPU has the VMM's GDT, IDT, TSS and stack, all in simulated memory, in the VMM's corner of every linear address
 * space: mapped by each shadow root, supervisor only. Whatever the guest does that concerns the VMM is an exception, an interrupt
 * or SYSCALL/SYSENTER, delivered by the CPU as always: through that IDT, onto that stack, to a stub of the VMM. A CPU that
 * would fetch at CPL 0 while cpu->vmx.deprivileged is set calls modelled software instead (cpu_root_modelled()). The way back is IRET.
 *
 *   IA-32    guest kernel in ring 1, user in ring 3. Guest descriptors are copied into the VMM's GDT with DPL 0 -> 1 and limits cut
 *            to RING_CORNER_32, the start of the corner: segmentation keeps ring 1 out. Shadow roots are PAE.
 *   Intel 64 guest kernel and user both in ring 3, each with its own shadow root; the corner is a PML4 slot no guest uses
 *            (the hole that operating systems leave to hypervisors), and the U/S bit keeps the guest out.
 *
 * The real flags: IF 1, IOPL 0; the virtual ones, the virtual CPL and everything else a VMCS has a field for are in the VMM's record of
 * the virtual CPU, a page of simulated memory: 8 bytes a field, by enum vmcs_field.
 *
 *   ring.c        the world of a physical CPU: corner, tables, stubs; entry by IRET
 *   record.c      get, set: the virtual CPU's record
 *   trap.c        from an event to an exit reason: decoding the instruction that trapped    trap.def  one row per instruction
 *   reflect.c     exceptions, interrupts and system calls into the guest's own IDT
 *   segment.c     the guest's descriptor tables, copied
 */
#ifndef VMM_RING_H
#define VMM_RING_H

#include "models/vmm/virt.h"

#define RING_CORNER_32   0xffc00000u                    /* IA-32: the last 4 MB */
#define RING_CORNER_64   0xffff800000000000ull          /* Intel 64: PML4 entry 256 */
#define RING_PML4_SLOT   256

/* The corner: the same pages at the same offsets in both modes. The VMM's own are the same for all VMs; from RING_SHARED on they
 * are the VM's, and its kernel may reach them (by U/S on Intel 64, by segments of the VMM's on IA-32). */
enum ring_page {
	RING_STUBS,                     /* nothing is ever fetched there: entry points, 16 bytes apart, by vector */
	RING_IDT,
	RING_CPU,                       /* + 4 * CPU: TSS, stack, and two to spare */
	RING_GDT = RING_CPU + 4 * CPUS_MAX,     /* + 16 * CPU: 64 KB of descriptors, the VMM's own in the last page */
	RING_SHARED = 400,              /* + vCPU: what translated code or a paravirtual kernel shares with the VMM */
	RING_CODE = 512,                /* the translation cache, to the end of the corner */
	RING_PAGES = 1024
};
#define RING_STUB_SYSCALL   256         /* stubs beyond the 256 vectors */
#define RING_STUB_SYSENTER  257
#define RING_STUBS_N        258

/* Selectors of the VMM's own descriptors. */
#define RING_SEL_CS   0xf008
#define RING_SEL_SS   0xf010
#define RING_SEL_TSS  0xf020

/* What came back from the guest, read from the VMM's stack. */
struct ring_frame {
	uint64_t rip, cs, flags, rsp, ss;       /* the real ones */
	uint32_t error;
	uint16_t vector;                        /* or RING_STUB_* */
};

/* ---- what the techniques built on it may add (trap: nothing; bt, pv: all) ---- */
struct ring_hooks {
	int (*vm_init)(struct vm *vm, struct err *e);
	void (*vm_fini)(struct vm *vm);
	void (*vcpu_init)(struct vcpu *v);
	/* Back from the guest, before anything is decoded; may change f (translated code: the guest's rip). True: served. */
	bool (*came)(struct vcpu *v, struct ring_frame *f);
	/* On the way in: where the real CPU goes; virtual state is final. May change *rip (translated code). */
	void (*going)(struct vcpu *v, uint64_t *rip);
	/* A guest page that the pager traces (pager->trace) has been, or is about to be, written. */
	void (*written)(struct vcpu *v, gpa_t gpa, unsigned n);
};
const struct ring_hooks *ring_hooks(const struct vm *vm);

/* ---- of a virtual CPU ---- */
unsigned ring_virtual_cpl(struct vcpu *v);              /* what the guest believes */
unsigned ring_real_cpl(const struct vcpu *v, unsigned virtual_cpl);     /* 0 -> 1 (IA-32) or 3 (Intel 64) */
hpa_t ring_page_hpa(const struct vm *vm, unsigned page);/* host-physical, of a page of the corner; 0: nothing is there yet */
int ring_page_add(struct vm *vm, unsigned page);        /* the VM's own ones (RING_SHARED and up): a zeroed page there; -1: no memory */
uint64_t ring_page_lin(const struct vcpu *v, unsigned page);    /* linear, in the guest's present mode */

/* ---- segment.c: the guest's GDT and LDT as the hardware gets them ---- */
/* The hardware's descriptor for a guest's: DPL, limit; absent when the hardware must not load it without the VMM (system
 * descriptors, gates, ones whose accessed bit is still clear). */
uint64_t ring_descriptor(uint64_t guest, bool wide);
void ring_gdt_load(struct vcpu *v);                     /* the virtual GDTR has changed, or the physical CPU */
bool ring_segment_fault(struct vcpu *v, unsigned sel);  /* #GP, #NP, #SS with a selector: copied now (restart), or the guest's own */

#endif
