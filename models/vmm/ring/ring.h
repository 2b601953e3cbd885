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
 *   guest.c       the guest's memory, as the VMM beside it reaches it
 *   trap.c        from an event to an exit reason: decoding the instruction that trapped    trap.def  one row per instruction
 *   reflect.c     exceptions, interrupts and system calls into the guest's own IDT
 *   insn.c        the instructions VMX has no exit for: IRET, SYSRET, SYSEXIT, CLI, STI, PUSHF, POPF, SWAPGS, INT n
 *   descriptor.c  one descriptor: what the hardware gets for a guest's
 *   segment.c     the guest's descriptor tables copied, segment registers in and out
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
	RING_CPU,                       /* + 4 * CPU: TSS, stack, the guest's LDT copied, and what segment.c notes of the CPU */
	RING_GDT = RING_CPU + 4 * CPUS_MAX,     /* + 16 * CPU: 64 KB of descriptors, the VMM's own in the last page */
	RING_SHARED = 400,              /* + vCPU: what translated code or a paravirtual kernel shares with the VMM */
	RING_CODE = 512,                /* the translation cache, to the end of the corner */
	RING_PAGES = 1024
};
#define RING_STUB_SYSCALL   256         /* stubs beyond the 256 vectors */
#define RING_STUB_SYSENTER  257
#define RING_STUBS_N        258

#define RING_TSS32_AT 0x400             /* in a CPU's TSS page: the 32-bit TSS, */
#define RING_IDT32_AT 0x800             /* and the 32-bit gates */

/* Selectors of the VMM's own descriptors. */
#define RING_SEL_CS   0xf008
#define RING_SEL_SS   0xf010
#define RING_SEL_SS16 0xf018                    /* what it returns to a 16-bit stack on */
#define RING_SEL_TSS  0xf020
#define RING_SEL_LDT  0xf030
#define RING_SEL_OWN(seg) (0xf040u + 8 * (seg))         /* a guest's ES, CS ... GS that no descriptor in its tables stands for (any more) */
#define RING_SEL_CODE_32 0xf080                 /* ring 1, all 4 GB: translated code and what it shares with the VMM; there only while such code runs */
#define RING_SEL_DATA_32 0xf088
#define RING_SEL_GUEST 0xf000                   /* selectors below are the guest's */

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
	/* On the way in: where the real CPU goes; virtual state is final. May change *rip (translated code). False: not yet, something
	 * is to be injected or interpreted first. */
	bool (*going)(struct vcpu *v, uint64_t *rip);
	/* Beside what the segments say: may the guest go on by the hardware, or is it interpreted? NULL: it may. */
	bool (*fits)(const struct cpu_state *s);
	/* May the guest's user, or its kernel, read the time-stamp counter itself (CR4.TSD clear)? NULL: no. */
	bool (*reads_time)(const struct vcpu *v, bool user);
	/* The instruction at the guest's RIP, if it is known without reading the guest's code (translated code's callouts): 16 bytes, or NULL. */
	const uint8_t *(*insn)(struct vcpu *v);
	unsigned (*cr8)(const struct vcpu *v);          /* for people: the guest's CR8; NULL: its local APIC has it */
	/* For people: the guest's linear address where the CPU is at lin; *begins: an instruction of the guest's begins there. NULL: it is lin. */
	uint64_t (*linear)(const struct vcpu *v, uint64_t lin, bool *begins);
	/* For people, while the guest runs: its virtual IF, when the record's is older. NULL: it never is. */
	bool (*vif)(const struct vcpu *v, bool *on);
	/* A guest page that the pager traces (pager->trace) has been, or is about to be, written. */
	void (*written)(struct vcpu *v, gpa_t gpa, unsigned n);
	bool kernel_syscalls;   /* the guest's kernel executes SYSCALL too, which does not say whose it was: remembered at each entry */
};
const struct ring_hooks *ring_hooks(const struct vm *vm);

/* ---- of a virtual CPU ---- */
unsigned ring_virtual_cpl(struct vcpu *v);              /* what the guest believes */
unsigned ring_real_cpl(const struct vcpu *v, unsigned virtual_cpl);     /* 0 -> 1 (IA-32) or 3 (Intel 64) */
hpa_t ring_page_hpa(const struct vm *vm, unsigned page);/* host-physical, of a page of the corner; 0: nothing is there yet */
int ring_page_add(struct vm *vm, unsigned page);        /* the VM's own ones (RING_SHARED and up): a zeroed page there; -1: no memory */
uint64_t ring_page_lin(const struct vcpu *v, unsigned page);    /* linear, in the guest's present mode */

/* ---- what a technique is made of: struct virt's members (ring.c, record.c) ---- */
enum { RING_REAL_CONTROL = 1 /* CR0, CR4, EFER, DR7 */, RING_REAL_CR3 = 2, RING_REAL_FLUSH = 4 /* translations are void */, RING_REAL_FLUSH_ALL = 8 /* global ones too */ };
int ring_able(const struct cpu *c, const struct pager *p, struct err *e);
int ring_vm_init(struct vm *vm, struct err *e);
void ring_vm_fini(struct vm *vm);
void ring_boot(struct cpu *c);
void ring_create(struct vcpu *v);
void ring_take_up(struct vcpu *v);
void ring_serve(struct vcpu *v);
bool ring_enter(struct vcpu *v);
bool ring_in_guest(const struct vcpu *v);
void ring_flush(struct vcpu *v, enum invvpid_type type, uint64_t lin);
bool ring_fits(const struct vcpu *v, const struct cpu_state *s);
bool ring_arm(struct vcpu *v, cycle_t left);
uint64_t ring_get(struct vcpu *v, enum vmcs_field f);
void ring_set(struct vcpu *v, enum vmcs_field f, uint64_t x);
uint64_t ring_peek(const struct vcpu *v, enum vmcs_field f);
bool ring_has(const struct vcpu *v, enum vmcs_field f);
hpa_t ring_record_regs(const struct vcpu *v);           /* where the VMM keeps the general registers */
#define RING_VIRT(its_name, its_hooks) { \
	.name = its_name, .hooks = its_hooks, .ring = true, .able = ring_able, .vm_init = ring_vm_init, .vm_fini = ring_vm_fini, \
	.boot = ring_boot, .create = ring_create, .get = ring_get, .set = ring_set, .peek = ring_peek, .has = ring_has, \
	.take_up = ring_take_up, .serve = ring_serve, .enter = ring_enter, .in_guest = ring_in_guest, .flush = ring_flush, \
	.fits = ring_fits, .arm = ring_arm, .written = ring_written, \
}
bool ring_load_real(struct vcpu *v);                    /* control registers that have changed; false: refused */
void ring_privilege(struct vcpu *v, unsigned cpl);      /* the virtual CPL is this now: the pager is told */

/* ---- guest.c: at the virtual CPL that ring_privilege() was told last ---- */
struct desc;
bool ring_read(struct vcpu *v, uint64_t lin, void *buf, unsigned n);            /* false: by the interpreter */
bool ring_write(struct vcpu *v, uint64_t lin, const void *buf, unsigned n);
bool ring_guest_descriptor(struct vcpu *v, uint16_t sel, struct desc *d);       /* present, accessed, code or data; false: likewise */
void ring_set_segment(struct vcpu *v, enum seg_reg i, uint16_t sel, uint64_t base, uint32_t limit, uint32_t attr);

/* ---- trap.c ---- */
void ring_trap(struct vcpu *v, const struct ring_frame *f);     /* why it has come back; serves it */
void ring_exit(struct vcpu *v, uint32_t reason, uint64_t qualification, unsigned length);       /* as the hardware would say it */

/* ---- reflect.c ---- */
bool ring_reflect(struct vcpu *v);                      /* the pending event into the guest's IDT; false: by vcpu_interpret_one() */
void ring_system_call(struct vcpu *v, const struct ring_frame *f);      /* SYSCALL, SYSENTER */

/* ---- descriptor.c ---- */
/* The hardware's descriptor for a guest's, DPL and limit changed; not present when the hardware must not load it without the VMM:
 * system descriptors and gates, those whose accessed bit is still clear, and such that one load would check otherwise than the guest. */
uint64_t ring_descriptor(uint64_t guest, bool wide);
/* The same for a segment register's hidden part, loaded by the VMM: present whenever there is one. 0: none (CS in the corner). */
uint64_t ring_descriptor_own(uint64_t guest, enum seg_reg i, bool wide);
/* A descriptor with this hidden part; false: there is none (real mode's limits). */
bool ring_descriptor_of(uint64_t base, uint32_t limit, uint32_t attr, uint64_t *raw);

/* ---- segment.c: the guest's GDT and LDT as the hardware gets them ----
 * While the VMM runs, the record holds the virtual segment registers and the CPU's ES, DS, FS, GS still the guest's real ones. */
void ring_segments_init(struct vcpu *v);                /* once, after its record: nothing is loaded yet */
void ring_segments_fini(struct vcpu *v);                /* INIT, reset: no page of its is traced any more */
void ring_gdt_load(struct vcpu *v);                     /* the physical CPU is its from here on: take_up() */
bool ring_inner(uint32_t attr);                 /* a segment that ring 3 may not load */
void ring_segments_came(struct vcpu *v, const struct ring_frame *f);    /* back from the guest, first of all: selectors it has loaded itself into the record */
/* Last of all before IRET: real segment registers for the record's; sets f->cs, f->ss. False: the guest's RIP lies behind the cut of its code
 * segment: interpret. */
bool ring_segments_going(struct vcpu *v, struct ring_frame *f);
bool ring_stack_big(struct vcpu *v);                    /* SS.B of what it goes to */
/* record.c's set(): a field of segment registers, GDTR or LDTR is another now. */
void ring_segment_changed(struct vcpu *v, enum vmcs_field f);
/* #GP, #NP, #SS, #TS with a selector (not of the IDT): true: copied now, restart; false: interpret the instruction (vcpu_interpret_one()), which
 * sets accessed bits, faults or enters gates as the guest's own tables have it. */
bool ring_segment_fault(struct vcpu *v, unsigned sel);
/* The pager: a traced page has been written, or whole pages are about to be by the guest itself. Tells the technique's hook too. */
void ring_written(struct vcpu *v, gpa_t gpa, unsigned n);
/* May these segment registers, mode and privilege be run by the hardware, or are they interpreted? virt->fits() of rings. */
bool ring_segments_fit(const struct vcpu *v, const struct cpu_state *s);

#endif
