/* nested.h - a hypervisor inside a VM: VMX offered to a virtual CPU and emulated (nested VMX).
 *
 *   L0  the modelled VMM               vmcs01  what L0 runs L1 with
 *   L1  a hypervisor in one of its VMs vmcs12  what L1 believes to run L2 with: in L1's memory, L0 interprets it
 *   L2  the guest of that hypervisor   vmcs02  what L2 really runs with: L0 makes it of the two
 *
 * The hardware knows one level: every exit of L2 arrives at L0, which serves it or reflects it: makes L1 find in vmcs12 what it would
 * have found on a bare machine. L1's own VMX instructions exit, too, so an exit of L2 costs as many exits of L1 as L1 uses such
 * instructions to serve it: the multiplication of exits. VMCS shadowing lets VMREAD and VMWRITE of L1 reach a copy in hardware.
 *
 *   insn.c     L1's VMX instructions            vmcs12.c   L0's copy of vmcs12, the shadow VMCS      shadow_field.def
 *   entry.c    VM entry of L2: vmcs02           leave.c    VM exit to L1                             msr.c   MSR areas
 *   reflect.c  who gets an exit: reflect.def    ept02.c    EPT on EPT                                offer.c what L1 is offered
 *
 * While L2 runs, v->s.vmcs is vmcs02: services, pagers and emulator work on L2's fields then without knowing.
 * Source: Ben-Yehuda et al., "The Turtles Project: Design and Implementation of Nested Virtualization", OSDI 2010; SDM Vol. 3C, "VMX
 * Instruction Reference", "VM Entries", "VM Exits", "VMCS Types: Ordinary and Shadow". KVM (arch/x86/kvm/vmx/nested.c) goes the same way.
 * Timing: nested_* rows of cost.def; every VMREAD, VMWRITE, VMPTRLD and reference that is made.
 * Simplified: see docs/nested.md. */
#ifndef VMM_NESTED_H
#define VMM_NESTED_H

#include "models/vmm/virt.h"

#define NESTED_ROOTS  4         /* EPT pointers of L1 whose ept02 is kept */
#define NESTED_TABLES 1024      /* pages of all ept02 of a virtual CPU: when they are used up, they are begun anew */

enum nested_stat {
#define STAT(NAME, name, unit, sentence) NESTED_STAT_##NAME,
#include "models/vmm/nested/nested_stat.def"
#define REASON(NAME, number, name, sentence) NESTED_STAT_REFLECTED_##NAME, NESTED_STAT_SERVED_##NAME, NESTED_STAT_L1_##NAME,
#include "models/cpu/vmx/exit_reason.def"
	NESTED_STAT_N
};

extern const struct stat_row nested_stat_rows[NESTED_STAT_N];   /* of "vmN.vcpuM" */

struct nested_state {           /* plain */
	uint64_t vmxon;                 /* L1's VMXON region, guest-physical; VMCS_NONE: outside VMX operation */
	uint64_t current;               /* region of the current vmcs12, or VMCS_NONE */
	uint64_t other;                 /* the one of vmcs01 and vmcs02 that v->s.vmcs is not */
	uint64_t cache;                 /* page: the fields of the current vmcs12, 8 bytes each in vmcs.def's order */
	uint64_t shadow;                /* the shadow VMCS; 0: L1's VMREADs and VMWRITEs exit */
	uint64_t maps;                  /* pages: VMREAD bitmap, VMWRITE bitmap */
	uint64_t scratch;               /* page L1 can have written to as a virtual-APIC page outside its memory */
	uint32_t running;               /* L2 runs, or is to be entered: v->s.vmcs is vmcs02 */
	uint32_t launched;              /* launch state of the current vmcs12 */
	uint32_t dirty;                 /* fields without a row in shadow_field.def have been written since vmcs02 was made */
	uint32_t rare_in_02;            /* guest fields without such a row: as L2 left them they are in vmcs02, vmcs12 has older ones */
	uint32_t shadow_old;            /* the shadow VMCS is older than the copy */
	uint32_t entering;              /* an entry is under way: what L1 injects must reach L2 first */
	uint32_t fresh;                 /* v->s.pending_event is an exception that L0 raised just now */
	uint32_t vpid12;                /* VPID of L1's whose translations carry our second VPID */
	uint32_t mtf;                   /* L0 has carried out an instruction of L2, and L1 wants an exit after each */
	uint32_t secondary;             /* vmcs02 was made with L1's secondary controls */
	uint32_t serving;               /* reason + 1 of the exit of L2 that L1 serves now; 0: none */
	uint32_t other_launched, other_window, other_apicv;     /* v->s's, of the other VMCS */
	uint64_t timer_end;             /* L1's VMX-preemption timer: what TSC >> VMX_TIMER_SHIFT is when it expires */
	uint32_t timer, pad0;           /* it counts */
	uint64_t clock;
	struct { uint64_t eptp12, table, used; } root[NESTED_ROOTS];    /* eptp12 VMCS_NONE: free */
	uint32_t pages, pad;
	uint32_t page[NESTED_TABLES];   /* page numbers of tables */
	uint8_t owner[NESTED_TABLES];   /* root + 1; 0: free */
};

/* What a walk of L1's EPT found. */
enum nested_walk_end { WALK12_MAPPED, WALK12_VIOLATION, WALK12_MISCONFIG };
struct nested_walk {
	enum nested_walk_end end;
	uint64_t rights;                /* R, W, X: the AND over the entries read */
	uint64_t gpa;                   /* of L1, of the byte */
	unsigned shift;                 /* of the page */
};

struct nested {
	struct nested_state s;
	uint64_t stat[NESTED_STAT_N];
	struct nested_walk walk;        /* of the EPT violation being served */
};

/* ---- offer.c ---- */
int nested_able(const struct cpu *c, const struct vm_config *k, const struct virt *virt, const struct pager *p, struct err *e);
void nested_new(struct vcpu *v);        /* a VM is made: what its virtual CPU is offered, sections, statistics */
void nested_free(struct vcpu *v);
void nested_create(struct vcpu *v);     /* on its CPU, vmcs01 current and complete */
void nested_reset(struct vcpu *v);      /* the virtual CPU's RESET: out of VMX operation */

/* ---- what the rest of the VMM asks: all false, or nothing done, on a virtual CPU without VMX ---- */
static inline bool nested_running(const struct vcpu *v) { return v->nested && v->nested->s.running; }
static inline bool nested_operation(const struct vcpu *v) { return v->nested && v->nested->s.vmxon != VMCS_NONE; }
unsigned nested_vpid(const struct vcpu *v);             /* of what its VMCS now runs */
/* An exit has happened. True: it is L1's affair, and done. Else the VMM serves it as ever. */
bool nested_exit(struct vcpu *v, uint32_t reason);
void nested_arm(struct vcpu *v);                        /* after L0 has set its own timer, if it did: L1's may end first */
bool nested_timer_over(const struct vcpu *v);
void nested_stepped(struct vcpu *v);                    /* an instruction has been carried out for the guest */
void nested_raised(struct vcpu *v);                     /* vcpu_inject() */
/* Before what waits is injected: exits to L1 by exceptions, interrupts, NMIs and INIT. */
void nested_before_entry(struct vcpu *v);
bool nested_holds_interrupt(const struct vcpu *v);      /* L1 has interrupts of L2 exit: they are not L2's */
bool nested_holds_nmi(const struct vcpu *v);
bool nested_holds_init(const struct vcpu *v);           /* "INIT signals are blocked in VMX root operation" */
/* A guest-physical address of what runs (L2's or L1's) to one of the VM's; false: L1's EPT does not map it. */
bool nested_gpa(struct vcpu *v, gpa_t gpa, gpa_t *vm_gpa);
enum paged nested_ept_violation(struct vcpu *v, gpa_t gpa);     /* after nested_exit() has let it pass */
/* A service has written L2's CR0 or CR4: bits that L1 owns stay. */
void nested_cr_written(struct vcpu *v, unsigned cr);
bool nested_cr_fixed(const struct vcpu *v, unsigned cr, uint64_t x);    /* "fixed in VMX operation": x would break it, #GP(0) */
void nested_tsc_written(struct vcpu *v);

/* ---- between the files of this folder ---- */
uint64_t vmcs12_get(struct vcpu *v, enum vmcs_field f);                 /* L0's copy; timed */
void vmcs12_put(struct vcpu *v, enum vmcs_field f, uint64_t x);
uint64_t vmcs12_peek(const struct vcpu *v, enum vmcs_field f);
bool vmcs12_on(struct vcpu *v, enum vmx_control n);                     /* a control of it; secondary ones only if activated */
bool vmcs12_common(enum vmcs_field f);                                  /* has a row in shadow_field.def */
void vmcs12_load(struct vcpu *v, uint64_t region);                      /* VMPTRLD */
void vmcs12_flush(struct vcpu *v);                                      /* the current one back to its region; none is current then */
void vmcs12_sync_rare(struct vcpu *v);                                  /* what L2 left in vmcs02; vmcs01 is current */
void vmcs12_from_shadow(struct vcpu *v);                                /* L1 may have written there without an exit */
void vmcs12_to_shadow(struct vcpu *v);                                  /* when it is old; before L1 goes on */
void vmcs12_shadow_link(struct vcpu *v);                                /* vmcs01's link pointer, as there is a current vmcs12 or none */
void nested_switch(struct vcpu *v, bool to_l2);                         /* vmcs01 <-> vmcs02 */
/* L1's memory, 1 to 8 bytes in a line; what is not RAM reads as ones, and is not written (false). */
bool l1_read(struct vcpu *v, uint64_t gpa, unsigned n, uint64_t *x);
bool l1_write(struct vcpu *v, uint64_t gpa, unsigned n, uint64_t x);
/* VMLAUNCH, VMRESUME. 0: L2 is to be entered, or the entry failed by an exit; else the VM-instruction error. */
unsigned nested_enter(struct vcpu *v, bool launch);
/* L2 -> L1: the exit in vmcs02's information fields, of which reason and qualification may be others. */
struct nested_exit { uint32_t reason; uint64_t qualification; uint32_t intr_info, intr_error; bool as_hardware; };
void nested_leave(struct vcpu *v, const struct nested_exit *x);
void nested_entry_failed(struct vcpu *v, uint32_t reason, uint64_t qualification);      /* L2 was not reached */
const char *nested_reflects_sentence(uint32_t reason);                   /* for people; NULL: cannot happen to L2 */
bool nested_reflects(struct vcpu *v, uint32_t reason);                  /* reflect.c: by vmcs12's controls, is it L1's? */
bool nested_msr_read(struct vcpu *v, uint32_t nr, uint64_t *x);         /* of the virtual CPU, wherever it is now */
bool nested_msr_write(struct vcpu *v, uint32_t nr, uint64_t x);
void nested_walk12(struct vcpu *v, uint64_t gpa, struct nested_walk *w);
uint64_t nested_eptp02(struct vcpu *v);                                 /* for the current vmcs12; 0: no memory */
void nested_invept(struct vcpu *v, uint64_t eptp12, bool all);

#endif
