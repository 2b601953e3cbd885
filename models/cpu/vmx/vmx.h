/* vmx.h - VMX operation: what its files offer the rest of the CPU and each other.
 *
 *   vmcs.c       fields, on-chip VMCSs                 control.c    controls, capability MSRs
 *   insn_vmx.c   VMXON ... VMFUNC                      check*.c/def VM-entry checks, one row each
 *   entry.c      VM entry: checks, state, injection    exit.c       VM exit: save, load, information
 *   intercept.c  which instructions cause VM exits     boundary.c   what may happen between instructions of a guest
 *   event_vmx.c  exceptions and interrupts that exit   apicv.c      virtual-APIC page, APIC-access page, virtual interrupts
 *
 * How an instruction exits: its body, having made the checks that come before (SDM Vol. 3C, "Relative Priority of Faults
 * and VM Exits"), calls vmx_exit(): like a fault this leaves the instruction by longjmp; run.c or cpu_deliver() then
 * makes the exit with vmx_leave(). How root software gets control: the CPU loads the host state and goes on at HOST_RIP;
 * or, when the machine installed modelled software (cpu->root), that is called instead of fetching at HOST_RIP.
 * Source: SDM Vol. 3C, "VMX Non-Root Operation", "VM Entries", "VM Exits"; Vol. 3C/3D, "VMX Instruction Reference".
 * Timing: flows VM_EXIT and VM_ENTRY (flow.def), profile rows vmread, vmwrite, vmptrld; references on top. */
#ifndef CPU_VMX_VMX_H
#define CPU_VMX_VMX_H

#include "models/cpu/cpu.h"
#include "models/cpu/vmx/vmcs.h"

/* ---- controls in force ---- */

/* Does the control apply now? Only while cpu->vmcs is the VMCS of the guest running or being entered: vmx_derive(). */
#define vmx_on(c, NAME) ((c)->ctl[VMX_WORD_OF_##NAME] >> VMX_BIT_OF_##NAME & 1)
static inline bool vmx_guest(const struct cpu *c) { return c->vmx.guest; }
static inline bool vmx_guest_with(const struct cpu *c, uint32_t on) { return c->vmx.guest && on; }
/* Fields of the current VMCS. */
#define vmx_get(c, NAME) ((c)->vmcs->f[VMCS_##NAME])
#define vmx_put(c, NAME, value) ((c)->vmcs->f[VMCS_##NAME] = (value))

void vmx_derive(struct cpu *c);         /* cpu->vmcs, ctl[] and what else follows from cpu->vmx and the current VMCS; after a restore too */
void vmx_reset(struct cpu *c);          /* RESET: outside VMX operation, no active VMCS */
bool vmx_may_be(const struct cpu *c, enum vmx_control n);       /* may this control be 1 on this CPU? */
/* Allowed 0-settings (bits that must be 1) in `must`, 1-settings (bits that may be 1) in `may`, as the capability MSRs
 * report them; plain: IA32_VMX_PINBASED_CTLS and the like rather than the TRUE ones. */
void vmx_allowed(const struct cpu *c, enum vmx_word w, bool plain, uint32_t *must, uint32_t *may);
bool vmx_msr_read(const struct cpu *c, uint32_t nr, uint64_t *v);       /* 480H-491H; false: #GP(0) */
uint64_t vmx_cr0_fixed0(const struct cpu *c), vmx_cr0_fixed1(const struct cpu *c);
uint64_t vmx_cr4_fixed0(const struct cpu *c), vmx_cr4_fixed1(const struct cpu *c);

uint64_t vmx_misc(const struct cpu *c), vmx_ept_vpid_cap(const struct cpu *c), vmx_vmfunc_cap(const struct cpu *c);  /* 485H, 48CH, 491H */
bool vmx_eptp_valid(const struct cpu *c, uint64_t eptp);        /* would VM entry accept this EPT pointer? */
#define VMX_TIMER_SHIFT      5          /* IA32_VMX_MISC 4:0: the VMX-preemption timer counts down when this bit of the TSC changes */
#define VMX_MISC_LMA         BIT(5)     /* VM exits store EFER.LMA into the control "IA-32e mode guest" */
#define VMX_MISC_ACTIVITY    (7ull << 6)/* activity states HLT, shutdown, wait-for-SIPI */
#define VMX_MISC_WRITE_ALL   BIT(29)    /* VMWRITE may write VM-exit information fields */
#define VMX_MISC_LENGTH_0    BIT(30)    /* software events may be injected with instruction length 0 */
enum {
	EPT_CAP_EXECUTE_ONLY = 1 << 0, EPT_CAP_WALK_4 = 1 << 6, EPT_CAP_WALK_5 = 1 << 7, EPT_CAP_UC = 1 << 8, EPT_CAP_WB = 1 << 14,
	EPT_CAP_2M = 1 << 16, EPT_CAP_1G = 1 << 17, EPT_CAP_INVEPT = 1 << 20, EPT_CAP_AD = 1 << 21, EPT_CAP_ADVANCED = 1 << 22, EPT_CAP_SSS = 1 << 23,
	EPT_CAP_INVEPT_SINGLE = 1 << 25, EPT_CAP_INVEPT_ALL = 1 << 26,
};
#define VPID_CAP_INVVPID           BIT(32)
#define VPID_CAP_ADDRESS           BIT(40)
#define VPID_CAP_SINGLE            BIT(41)
#define VPID_CAP_ALL               BIT(42)
#define VPID_CAP_SINGLE_NOT_GLOBAL BIT(43)
#define VMFUNC_EPTP_SWITCHING      BIT(0)
bool vmx_state_valid(void *who, const void *state);     /* what a snapshot may say of cpu->vmx */

/* ---- VM exits ---- */

enum exit_reason {
#define REASON(NAME, number, name, sentence) EXIT_##NAME = number,
#include "models/cpu/vmx/exit_reason.def"
	EXIT_REASONS = 103
};
struct exit_reason_row { const char *name, *sentence; };        /* name NULL: no such reason here */
extern const struct exit_reason_row exit_reason_rows[EXIT_REASONS];

/* Leave the instruction or the delivery under way. */
void vmx_exit(struct cpu *c, const struct vmx_exit *x) NORETURN;
/* Make the exit: state, areas, host state. Between instructions; c->delivering is the event it struck, or NULL. */
void vmx_leave(struct cpu *c, const struct vmx_exit *x);
/* Modelled software without VMX says what an exit would have been: counted and traced as one. */
void vmx_tell_exit(struct cpu *c, uint32_t reason, uint64_t qualification, uint64_t rip, unsigned length);
void vmx_tell_entry(struct cpu *c);             /* likewise, once the guest has the CPU */
/* A VM entry that failed on the guest's state: the host's is loaded, the guest's is not saved. */
void vmx_entry_failed(struct cpu *c, enum exit_reason reason, uint64_t qualification);
uint32_t vmx_event_info(const struct cpu_event *ev);    /* in the format of the interruption-information fields */
#define VMX_MSRS_MAX 512        /* entries of an MSR area: the recommended maximum; one more fails */
uint64_t vmx_cr0_loaded(const struct cpu *c, uint64_t v);       /* what loading v by an entry or exit makes of CR0 */

/* ---- intercepts (intercept.c): called by instruction bodies; nothing happens outside a guest ---- */

/* Instructions whose exit needs no operand: unconditional or by one control. */
enum vmx_intercept {
#define INTERCEPT(NAME, reason, control, info) VMX_I_##NAME,
#include "models/cpu/vmx/intercept.def"
	VMX_INTERCEPTS
};
void vmx_intercept_slow(struct cpu *c, const struct uop *u, enum vmx_intercept i);
static inline void vmx_intercept(struct cpu *c, const struct uop *u, enum vmx_intercept i)
{
	if (unlikely(c->vmx.guest))
		vmx_intercept_slow(c, u, i);
}
uint32_t vmx_insn_info(struct cpu *c, const struct uop *u);     /* SDM Vol. 3C, "VM-Exit Instruction-Information Field" */
/* With operands. Each returns when there is no exit. */
void vmx_port(struct cpu *c, const struct uop *u, uint16_t port, unsigned size, bool in);
void vmx_msr_access(struct cpu *c, const struct uop *u, uint32_t nr, bool write);
void vmx_invlpg(struct cpu *c, const struct uop *u, uint64_t lin);
void vmx_xsaves(struct cpu *c, const struct uop *u, bool restore);
void vmx_mwait(struct cpu *c, const struct uop *u);
void vmx_pause(struct cpu *c, const struct uop *u);
enum { VMX_TASK_CALL, VMX_TASK_IRET, VMX_TASK_JMP, VMX_TASK_GATE };     /* exit qualification 31:30 */
void vmx_task_switch(struct cpu *c, uint16_t sel, unsigned source);
void vmx_mov_dr(struct cpu *c, const struct uop *u, unsigned dr, bool from);
bool vmx_clts(struct cpu *c, const struct uop *u);                      /* false: CR0.TS stays */
uint64_t vmx_lmsw(struct cpu *c, const struct uop *u, uint16_t src);    /* the new CR0 */
/* MOV to CR: go on with *v, which has the host-owned bits put in; the exit otherwise. */
void vmx_cr_write(struct cpu *c, const struct uop *u, unsigned cr, uint64_t *v);
uint64_t vmx_cr_read(struct cpu *c, const struct uop *u, unsigned cr);  /* MOV from CR in a guest: shadows applied */
uint64_t vmx_tsc(const struct cpu *c);          /* the TSC as the guest reads it: offset and scaled */

/* ---- events (event_vmx.c) ---- */

/* Does this event, about to be delivered in a guest, cause an exit instead? Fills *x (reason, intr_info, qualification). */
bool vmx_event_exits(struct cpu *c, const struct cpu_event *ev, struct vmx_exit *x);
bool vmx_triple_fault(struct cpu *c);           /* true: a guest's; it exited */
/* At an instruction boundary of a guest, before the checks of cpu_service() that come after it; true: something happened. */
enum vmx_boundary { VMX_BEFORE_DEBUG /* INIT, SIPI, MTF, preemption timer ... */, VMX_BEFORE_NMI, VMX_BEFORE_INTERRUPT };
bool vmx_boundary(struct cpu *c, enum vmx_boundary at);
cycle_t vmx_next_cycle(const struct cpu *c);    /* when the preemption timer next wants a boundary; NEVER */
void vmx_timer_start(struct cpu *c);            /* from the VMCS's value, as the guest is entered */
uint32_t vmx_timer_left(const struct cpu *c);
bool vmx_nmi_open(const struct cpu *c);         /* a real NMI is not blocked by another one */
bool vmx_can_wake(const struct cpu *c);         /* a guest's HLT would end */
/* External interrupts go through the IDT: false, they exit. */
bool vmx_interrupt_open(const struct cpu *c);
/* #PF and EPT faults of the MMU: cpu_raise_mmu() asks this for kinds that only a guest has. */
void vmx_raise_ept(struct cpu *c, const struct mmu_fault *f) NORETURN;

/* ---- virtual APIC (apicv.c) ---- */
bool vmx_tpr_read(struct cpu *c, uint64_t *cr8);        /* false: not virtualized */
bool vmx_tpr_write(struct cpu *c, const struct uop *u, uint64_t cr8);
bool vmx_x2apic_read(struct cpu *c, uint32_t msr, uint64_t *v);         /* false: not virtualized */
bool vmx_x2apic_write(struct cpu *c, const struct uop *u, uint32_t msr, uint64_t v);
void vmx_apic_entered(struct cpu *c);           /* the end of a VM entry: TPR threshold, pending virtual interrupts */
void vmx_virtual_interrupt(struct cpu *c);      /* deliver the one recognised */
bool vmx_posted(struct cpu *c, uint8_t vector); /* an interrupt just acknowledged: true, it was the notification and is dealt with */
/* An access to the APIC-access page (mmu.h: apic_access): serves it, or exits. */
void vmx_apic_page(struct cpu *c, uint64_t lin, gpa_t gpa, unsigned off, void *buf, unsigned size, unsigned access);

/* ---- VM entry ---- */

enum vmx_result { VMX_OK, VMX_FAIL_INVALID, VMX_FAIL_VALID };
/* VMLAUNCH or VMRESUME with the current VMCS, after the instruction's own checks of launch state: checks, guest state,
 * MSRs, injection. VMX_OK: in the guest, or back in the host by an exit for invalid guest state. Else the error number of
 * the instruction in *error and nothing changed. */
enum vmx_result vmx_enter(struct cpu *c, bool launch, unsigned *error);

/* One VM-entry check (check.def). Order is the SDM's. */
enum vmx_check {
#define CHECK(NAME, ...) VMX_CHECK_##NAME,
#include "models/cpu/vmx/check.def"
	VMX_CHECKS
};
enum vmx_check_area { VMX_AREA_CONTROL, VMX_AREA_HOST, VMX_AREA_GUEST, VMX_AREA_MSR };
struct vmx_check_row {
	const char *name, *title, *expected, *hint;     /* title: of the SDM's section */
	uint8_t area; uint16_t field;                   /* enum vmcs_field */
};
extern const struct vmx_check_row vmx_check_rows[VMX_CHECKS];
/* All checks that fail, in order; at most n are stored, all are counted. Those of area MSR, which come last, tell what
 * loading would meet. vmx_check_entry() is VM entry's: it leaves the failures in c->failed and in the trace, too. */
unsigned vmx_check_all(const struct cpu *c, struct vmx_failure *out, unsigned n);
unsigned vmx_check_entry(struct cpu *c, struct vmx_failure *out, unsigned n);
uint64_t vmx_check_qualification(enum vmx_check k);     /* of the exit with reason 33 this check causes */
const char *vmx_check_when(enum vmx_check k);           /* when the check applies */
bool vmx_check_msr_load(struct cpu *c, uint32_t nr, uint64_t value);    /* may this entry stand in a VM-entry MSR-load area? */

/* ---- the instructions as modelled root software uses them (insn_vmx.c): the same operation, cost and effects ---- */
bool vmx_root_vmread(struct cpu *c, uint32_t encoding, uint64_t *v);    /* charged; false: no such field */
bool vmx_root_vmwrite(struct cpu *c, uint32_t encoding, uint64_t v);
void vmx_root_vmclear(struct cpu *c, uint64_t pa);
void vmx_root_vmptrld(struct cpu *c, uint64_t pa);
void vmx_root_vmxon(struct cpu *c, uint64_t pa);
void vmx_root_invept(struct cpu *c, unsigned type, uint64_t eptp);
void vmx_root_invvpid(struct cpu *c, unsigned type, unsigned vpid, uint64_t lin);
enum vmx_result vmx_root_enter(struct cpu *c, bool launch, unsigned *error);    /* VMLAUNCH, VMRESUME */

/* VM-instruction error numbers, SDM Vol. 3C, "VM Instruction Error Numbers". */
enum {
	VMX_ERR_VMCALL_ROOT = 1, VMX_ERR_VMCLEAR_ADDR = 2, VMX_ERR_VMCLEAR_VMXON = 3, VMX_ERR_LAUNCH_NOT_CLEAR = 4,
	VMX_ERR_RESUME_NOT_LAUNCHED = 5, VMX_ERR_RESUME_AFTER_VMXOFF = 6, VMX_ERR_CONTROLS = 7, VMX_ERR_HOST = 8,
	VMX_ERR_VMPTRLD_ADDR = 9, VMX_ERR_VMPTRLD_VMXON = 10, VMX_ERR_VMPTRLD_REVISION = 11, VMX_ERR_FIELD = 12,
	VMX_ERR_READ_ONLY = 13, VMX_ERR_VMXON_ROOT = 15, VMX_ERR_ENTRY_MOV_SS = 26, VMX_ERR_INVEPT_INVVPID = 28,
};

#endif
