/* event.c - exceptions and interrupts: raising, and choosing between instructions. deliver.c delivers.
 *
 * Raising leaves the instruction by longjmp to the run loop, which delivers at the faulting RIP.
 * Source: SDM Vol. 3A, "Interrupt and Exception Handling", "Priority Among Concurrent Events".
 * Simplified: SMI, machine checks and thermal events do not occur. */
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "sim/err.h"

/* ---- raising ---- */

void cpu_raise_event(struct cpu *c, const struct cpu_event *ev)
{
	c->fault = *ev;
	longjmp(c->fault_exit, 1);
}

void cpu_raise(struct cpu *c, enum vector v)
{
	cpu_raise_event(c, &(struct cpu_event){ .vector = (uint8_t)v, .type = EVENT_HARDWARE });
}

/* EXT (bit 0): the fault struck while something external to the program was being delivered. Page
 * faults' and alignment checks' error codes have no such bit. */
void cpu_raise_ec(struct cpu *c, enum vector v, uint32_t error)
{
	if (v >= VEC_TS && v <= VEC_GP)
		error |= c->ext;
	cpu_raise_event(c, &(struct cpu_event){ .vector = (uint8_t)v,
	                                        .type = EVENT_HARDWARE,
	                                        .has_error = 1,
	                                        .error = error });
}

void cpu_raise_mmu(struct cpu *c, const struct mmu_fault *f, enum seg_reg seg)
{
	switch (f->kind) {
	case MMU_PF:
		cpu_raise_event(c, &(struct cpu_event){ .vector = VEC_PF,
		                                        .type = EVENT_HARDWARE,
		                                        .has_error = 1,
		                                        .error = f->error_code,
		                                        .cr2 = f->lin });
	case MMU_NONCANONICAL:
		cpu_raise_ec(c, seg == SEG_SS ? VEC_SS : VEC_GP, 0);
	default:
		if (!c->vmx.guest)
			BUG("mmu fault of kind %u outside VMX non-root operation", f->kind);
		vmx_raise_ept(c, f);
	}
}

/* ---- between instructions ---- */

/* What was in force before the instruction that has completed since ends with it; a single step
 * also after each iteration of a repeated string instruction. In the middle of one, RF is set for
 * whatever interrupts it. */
static void expire(struct cpu *c)
{
	unsigned m = c->s.mark;
	bool done = c->s.icount != c->s.mark_icount,
	     iterated = !done && c->s.r[R_RCX] != c->s.mark_rcx;
	/* "suppressed" after a load of SS: the step is never reported */
	if ((done || iterated) && m & MARK_MTF)
		c->vmx.mtf_pending = 1;
	/* between two iterations of REP there is no branch */
	bool stepped = c->s.debugctl & DEBUGCTL_BTF ? done && c->s.rip != c->s.mark_next : done || iterated;
	if (stepped && m & MARK_TF && !(c->s.shadow & 2 && !(m & MARK_SHADOW)))
		c->s.pending_dbg |= BIT(14);
	if (iterated && (m & MARK_TF || debug_fetch_armed(c)))
		c->s.flags |= RFLAGS_RF;
	if (!done)
		return;
	if (m & MARK_RF)
		c->s.flags &= ~(uint64_t)RFLAGS_RF;
	if (m & MARK_SHADOW)
		c->s.shadow = 0;
	c->s.mark = 0;
}

static void mark(struct cpu *c)
{
	c->s.mark = (c->s.shadow ? MARK_SHADOW : 0) | (c->s.flags & RFLAGS_RF ? MARK_RF : 0) |
	            (c->s.flags & RFLAGS_TF ? MARK_TF : 0) |
	            (c->vmx.guest && vmx_on(c, MTF) ? MARK_MTF : 0);
	/* Nothing to tell apart: no trace of when the CPU was last looked at, or a restored run
	 * would differ from one that was never stopped. */
	bool needed = c->s.mark || debug_fetch_armed(c);
	c->s.mark_icount = needed ? c->s.icount : 0;
	c->s.mark_rcx = needed ? c->s.r[R_RCX] : 0;
	bool branches = c->s.mark & MARK_TF && c->s.debugctl & DEBUGCTL_BTF;
	c->s.mark_next = branches ? debug_rip_behind(c) : 0;
}

void cpu_wake(struct cpu *c)
{
	if (c->s.activity == ACTIVITY_HLT || c->s.activity == ACTIVITY_SHUTDOWN) {
		c->s.activity = ACTIVITY_ACTIVE;
		if (c->s.mwait)
			monitor_off(c);
		c->s.mwait = MWAIT_NOT;
		trace(c->trace, c->ledger.now, c->number, CPU_TRACE_WAKE, c->s.rip, 0, 0, 0);
	}
}

static bool extint_pending(const struct cpu *c)
{
	return c->s.intr_line && (!c->lapic || lapic_extint_enabled(c->lapic));
}

bool cpu_interrupt_pending(const struct cpu *c)
{
	return extint_pending(c) || (c->lapic && lapic_pending(c->lapic) >= 0);
}

/* Take the vector from whoever asks: the local APIC first. False: it went away. */
bool cpu_interrupt_take(struct cpu *c, struct cpu_event *ev)
{
	int v = c->lapic ? lapic_pending(c->lapic) : -1;
	*ev = (struct cpu_event){ .type = EVENT_EXTERNAL };
	if (v >= 0) {
		lapic_ack(c->lapic, (uint8_t)v);
		ev->vector = (uint8_t)v;
		return true;
	}
	if (extint_pending(c) && c->pic.acknowledge) {
		ev->vector = c->pic.acknowledge(c->pic.who);
		return true;
	}
	return false;
}

/* A debug exception may bring the next one about, by a breakpoint on its handler's first instruction
 * or on its stack, for ever: the run loop comes between, which looks at its limits. */
enum served { SERVED_NONE, SERVED, SERVED_DEBUG };

/* Deliver what ends a halt too; in a guest that exits for it, the exit tells of the halt. */
static void wake_for(struct cpu *c, const struct cpu_event *ev)
{
	struct vmx_exit x;
	if (vmx_event_exits(c, ev, &x)) {
		vmx_leave(c, &x);
		return;
	}
	cpu_wake(c);
	if (cpu_root_modelled(c) && (ev->type == EVENT_NMI || ev->type == EVENT_EXTERNAL))
		c->root.event(c->root.who, c, ev);
	else
		cpu_deliver(c, ev);
}

/* "In VMX root operation INIT signals are blocked"; in a guest they exit, as do start-up IPIs that find it waiting. */
static bool vmx_init(struct cpu *c)
{
	if (c->vmx.vmxon == VMCS_NONE)
		return false;
	if (c->vmx.guest && c->s.init_pending && c->s.activity != ACTIVITY_WAIT_SIPI) {
		c->s.init_pending = 0;
		vmx_leave(c, &(struct vmx_exit){ .reason = EXIT_INIT });
		return true;
	}
	if (!c->s.sipi_pending)
		return false;
	c->s.sipi_pending = 0;
	if (c->vmx.guest && c->s.activity == ACTIVITY_WAIT_SIPI)
		vmx_leave(c, &(struct vmx_exit){ .reason = EXIT_SIPI,
		                                 .qualification = c->s.sipi_vector });
	return true;
}

/* Interrupts reach modelled root software while it is halted: it runs with them off. */
static bool interrupts_enabled(const struct cpu *c)
{
	if (cpu_root_modelled(c))
		return c->s.activity == ACTIVITY_HLT;
	return c->s.flags & RFLAGS_IF && vmx_interrupt_open(c);
}
static bool interrupts_on(const struct cpu *c)
{
	return interrupts_enabled(c) && (!c->s.shadow || cpu_root_modelled(c));
}

/* The most urgent thing that may happen at this boundary, done. */
static enum served service_one(struct cpu *c)
{
	struct cpu_event ev = { .type = EVENT_HARDWARE };
	if (vmx_init(c))
		return SERVED;
	if (c->s.init_pending && c->vmx.vmxon == VMCS_NONE) {
		/* arrived after the INIT: lapic_accept() drops older ones */
		uint8_t sipi = c->s.sipi_pending;
		cpu_reset(c, true);
		c->s.sipi_pending = sipi;
		/* The bootstrap processor is at the reset vector now: firmware's, and there is no firmware to execute. */
		if (c->s.activity == ACTIVITY_ACTIVE && c->machine.request)
			c->machine.request(c->machine.who, MACHINE_RESET, MACHINE_RESET_VECTOR);
		return SERVED;
	}
	if (c->s.sipi_pending) {
		c->s.sipi_pending = 0;
		if (c->s.activity != ACTIVITY_WAIT_SIPI)
			return SERVED;  /* ignored in every other state */
		trace(c->trace, c->ledger.now, c->number, CPU_TRACE_SIPI, c->s.sipi_vector, 0, 0,
		      0);
		c->s.activity = ACTIVITY_ACTIVE;
		seg_load_real(c, SEG_CS, (uint16_t)(c->s.sipi_vector << 8));
		event_settle(c, 0);
		return SERVED;
	}
	if (c->s.activity == ACTIVITY_WAIT_SIPI)
		return SERVED_NONE;
	if (vmx_boundary(c, VMX_BEFORE_DEBUG))
		return SERVED;
	if (c->s.activity != ACTIVITY_SHUTDOWN && c->s.pending_dbg && !(c->s.shadow & 2)) {
		ev.vector = VEC_DB;
		ev.dr6 = c->s.pending_dbg;
		c->s.pending_dbg = 0;
		wake_for(c, &ev);
		return SERVED_DEBUG;
	}
	if (vmx_boundary(c, VMX_BEFORE_NMI))
		return SERVED;
	/* SDM Vol. 2B, STI: "non-maskable interrupts (NMIs) may be blocked for one macroinstruction
	 * following an STI" */
	if (c->s.nmi_pending && vmx_nmi_open(c) && !c->s.shadow) {
		c->s.nmi_pending--;
		ev.vector = VEC_NMI;
		ev.type = EVENT_NMI;
		wake_for(c, &ev);
		return SERVED;
	}
	if (vmx_boundary(c, VMX_BEFORE_INTERRUPT))
		return SERVED;
	if (c->s.activity == ACTIVITY_SHUTDOWN)
		return SERVED_NONE;
	if (interrupts_on(c) && cpu_interrupt_pending(c) && cpu_interrupt_take(c, &ev)) {
		wake_for(c, &ev);
		return SERVED;
	}
	if (mwait_over(c)) {
		cpu_wake(c);
		return SERVED;
	}
	if (c->s.activity == ACTIVITY_ACTIVE && debug_fetch_armed(c) && !(c->s.flags & RFLAGS_RF) &&
	    !(c->s.shadow & 2)) {
		ev.vector = VEC_DB;
		ev.dr6 = debug_fetch(c, (c->s.seg[SEG_CS].base + c->s.rip) & c->lin_mask);
		if (ev.dr6) {
			cpu_deliver(c, &ev);
			return SERVED_DEBUG;
		}
	}
	return SERVED_NONE;
}

/* SDM Vol. 3A, "Priority Among Concurrent Events". */
bool cpu_service(struct cpu *c)
{
	c->block = NULL;
	expire(c);
	enum served what;
	while ((what = service_one(c)) == SERVED)
		;
	mark(c);
	if (what == SERVED_DEBUG || c->s.mark & ~MARK_RF || debug_fetch_armed(c))
		c->attention = 1;
	else
		c->attention = c->s.mark ? ATTENTION_RF : 0;
	return what == SERVED_DEBUG;
}

bool cpu_can_wake(struct cpu *c)
{
	if (c->s.init_pending &&
	    (c->vmx.guest ? c->s.activity != ACTIVITY_WAIT_SIPI : c->vmx.vmxon == VMCS_NONE))
		return true;
	if (c->vmx.guest && c->s.activity != ACTIVITY_WAIT_SIPI && vmx_can_wake(c))
		return true;
	switch (c->s.activity) {
	case ACTIVITY_WAIT_SIPI:
		return c->s.sipi_pending;
	case ACTIVITY_SHUTDOWN:
		return c->s.nmi_pending && !c->s.nmi_blocked;
	case ACTIVITY_HLT:
		return c->s.pending_dbg || mwait_over(c) ||
		       (c->s.mark & MARK_TF && c->s.icount != c->s.mark_icount) ||
		       (c->s.nmi_pending && !c->s.nmi_blocked) ||
		       (interrupts_enabled(c) && cpu_interrupt_pending(c));     /* HLT ended STI's shadow */
	default:
		return true;
	}
}
