/* boundary.c - what may happen between two instructions of a guest beside what happens to every program.
 *
 * In order of priority, with what cpu_service() does in between:
 *   traps of the virtual APIC (TPR below threshold, virtualized EOI, APIC write)
 *   INIT, start-up IPIs
 *   monitor trap flag
 *       debug traps
 *   VMX-preemption timer
 *   NMI window
 *       NMIs
 *   interrupt window, else virtual interrupts
 *   external interrupts that exit or are posted
 *       external interrupts that do not; instruction breakpoints
 * Nothing is asked per instruction: what can change between instructions sets cpu->attention, and the timer's end bounds the
 * interpreter's deadline.
 * Source: SDM Vol. 3C, "Other Causes of VM Exits", "Monitor Trap Flag", "VMX-Preemption Timer", "Special Features of VM
 * Entry"; Vol. 3A, "Priority Among Concurrent Events".
 * Simplified: no SMI. */
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

/* ---- the VMX-preemption timer ---- */

/* It counts down by 1 every time bit X of the TSC changes: whenever TSC >> X moves on. */
void vmx_timer_start(struct cpu *c)
{
	c->vmx.timer_end = NEVER;
	if (!vmx_on(c, PREEMPTION_TIMER))
		return;
	uint64_t tsc = cpu_tsc(c), n = vmx_get(c, PREEMPTION_TIMER);
	c->vmx.timer_end = c->ledger.now + (n ? (((tsc >> VMX_TIMER_SHIFT) + n) << VMX_TIMER_SHIFT) - tsc : 0);
}

uint32_t vmx_timer_left(const struct cpu *c)
{
	cycle_t now = c->ledger.now, end = c->vmx.timer_end;
	if (end <= now)
		return 0;
	uint64_t tsc = cpu_tsc(c);
	return (uint32_t)(((tsc + (end - now)) >> VMX_TIMER_SHIFT) - (tsc >> VMX_TIMER_SHIFT));
}

/* "If the VMX-preemption timer counts down to zero in the wait-for-SIPI state, ... no VM exit occurs". */
cycle_t vmx_next_cycle(const struct cpu *c)
{
	return c->vmx.guest && c->s.activity != ACTIVITY_WAIT_SIPI ? c->vmx.timer_end : NEVER;
}

/* ---- what is due ---- */

enum due { DUE_NOTHING, DUE_TRAP, DUE_MTF, DUE_TIMER, DUE_NMI_WINDOW, DUE_INTERRUPT_WINDOW, DUE_VIRTUAL, DUE_EXTERNAL };

/* Blocking by STI or MOV SS. What HLT left of it means nothing: HLT was the one instruction it covers. */
static bool shadowed(const struct cpu *c)
{
	return c->s.shadow && c->s.activity == ACTIVITY_ACTIVE;
}

static bool interruptible(const struct cpu *c)
{
	return c->s.flags & RFLAGS_IF && !shadowed(c);
}

static enum due due_first(const struct cpu *c)
{
	if (c->vmx.trap)
		return DUE_TRAP;
	return c->vmx.mtf_pending ? DUE_MTF : DUE_NOTHING;
}

static enum due due_before_nmi(const struct cpu *c, cycle_t now)
{
	if (vmx_next_cycle(c) <= now)
		return DUE_TIMER;
	if (vmx_on(c, NMI_WINDOW) && !c->s.nmi_blocked && !shadowed(c))
		return DUE_NMI_WINDOW;
	return DUE_NOTHING;
}

/* External interrupts that exit do so whatever RFLAGS.IF is. */
static enum due due_before_interrupt(const struct cpu *c)
{
	if (c->s.activity >= ACTIVITY_SHUTDOWN)
		return DUE_NOTHING;
	if (interruptible(c)) {
		if (vmx_on(c, INTERRUPT_WINDOW))
			return DUE_INTERRUPT_WINDOW;
		if (c->vmx.virtual_pending)
			return DUE_VIRTUAL;
	}
	if (vmx_on(c, EXTINT_EXITING) && !shadowed(c) && cpu_interrupt_pending(c))
		return DUE_EXTERNAL;
	return DUE_NOTHING;
}

bool vmx_can_wake(const struct cpu *c)
{
	return due_first(c) || due_before_nmi(c, c->ledger.now) || due_before_interrupt(c) ||
	       (vmx_nmi_open(c) && c->s.nmi_pending);
}

/* A real NMI: virtual NMIs leave it unblocked. */
bool vmx_nmi_open(const struct cpu *c)
{
	return !c->s.nmi_blocked || (c->vmx.guest && vmx_on(c, VIRTUAL_NMIS));
}

bool vmx_interrupt_open(const struct cpu *c)
{
	return !c->vmx.guest || !vmx_on(c, EXTINT_EXITING);
}

/* ---- doing it ---- */

static void leave(struct cpu *c, enum exit_reason reason)
{
	vmx_leave(c, &(struct vmx_exit){ .reason = reason });
}

static void trap_exit(struct cpu *c)
{
	struct vmx_exit x = { .reason = c->vmx.trap, .qualification = c->vmx.trap_qualification };
	c->vmx.trap = 0;
	vmx_leave(c, &x);
}

/* "acknowledge interrupt on exit": the vector is in the interruption information; else the interrupt stays pending. */
static void external(struct cpu *c)
{
	struct vmx_exit x = { .reason = EXIT_EXTINT };
	struct cpu_event ev;
	if (vmx_on(c, EXIT_ACK_INTERRUPT)) {
		if (!cpu_interrupt_take(c, &ev))
			return;
		if (vmx_posted(c, ev.vector))
			return;
		x.intr_info = vmx_event_info(&ev);
	}
	vmx_leave(c, &x);
}

bool vmx_boundary(struct cpu *c, enum vmx_boundary at)
{
	if (likely(!c->vmx.guest))
		return false;
	enum due d = at == VMX_BEFORE_DEBUG ? due_first(c) :
	             at == VMX_BEFORE_NMI ? due_before_nmi(c, c->ledger.now) : due_before_interrupt(c);
	switch (d) {
	case DUE_NOTHING:          return false;
	case DUE_TRAP:             trap_exit(c); break;
	case DUE_MTF:              leave(c, EXIT_MTF); break;
	case DUE_TIMER:            leave(c, EXIT_PREEMPTION); break;
	case DUE_NMI_WINDOW:       leave(c, EXIT_NMI_WINDOW); break;
	case DUE_INTERRUPT_WINDOW: leave(c, EXIT_INTERRUPT_WINDOW); break;
	case DUE_VIRTUAL:          vmx_virtual_interrupt(c); break;
	case DUE_EXTERNAL:         external(c); break;
	}
	return true;
}
