/* run.c - the loop that runs a CPU, and the handlers that are not one instruction's.
 *
 * Between instructions, in this order: has the caller's limit been reached; is there something to
 * service (events, traps, shadows: cpu_service); is there a breakpoint; then into a block until its
 * handlers stop. They stop when the clock reaches c->deadline, so an event due at cycle t is taken
 * at the first instruction boundary at or after t however the CPU is driven, and deadline 0 is one
 * instruction.
 *
 * A fault longjmps out of the instruction to cpu_run(), which leaves the block at it and
 * delivers. */
#include "models/cpu/exec.h"
#include "models/cpu/sys.h"
#include "sim/err.h"
#include "models/cpu/vmx/vmx.h"

/* ---- handlers ---- */

const struct uop *uop_call(struct cpu *c, const struct uop *u)
{
	c->cur = u;
	u->body(c, u);
	NEXT(c, u);
}

const struct uop *uop_call_end(struct cpu *c, const struct uop *u)
{
	uint32_t acct = c->ledger.acct;         /* who began it pays its base cost */
	c->cur = u;
	block_leave(c, u);
	c->next_rip = (c->s.rip + u->len) & c->lin_mask;
	u->body(c, u);
	/* INS, OUTS: one iteration of more */
	bool again = (u->flags & (UOP_REP | UOP_REPNE)) && c->next_rip == c->s.rip;
	c->s.rip = c->next_rip;
	c->ledger.now += u->cost;
	c->ledger.spent[acct][WHY_EXECUTE] += u->cost;
	c->s.icount += !again;
	if (c->ledger.now >= c->deadline || c->s.activity != ACTIVITY_ACTIVE)
		return NULL;
	return block_go(c);
}

const struct uop *hot_touch(struct cpu *c, const struct uop *u, uint64_t line, enum touch write)
{
	mmu_touch_slow(&c->mmu, line, write);
	return u->fn(c, u);     /* not DISPATCH: the instruction has not been executed yet */
}

const struct uop *uop_fall(struct cpu *c, const struct uop *u)
{
	FOLLOW(c, u, (c->s.rip + u->off) & c->lin_mask, 1, 0, 0, block_fall(c, u));
}

void exec_gp0(struct cpu *c, const struct uop *u)
{
	(void)u;
	cpu_raise_ec(c, VEC_GP, 0);
}

const struct uop *uop_trap(struct cpu *c, const struct uop *u)
{
	c->cur = u;
	cpu_raise_ec(c, VEC_GP, 0);
	return NULL;
}

/* ---- the loop ---- */

/* Modelled software has VMX root operation: it is called where its code would be fetched. It comes back with a guest
 * entered, or halted. */
static void run_root(struct cpu *c)
{
	cycle_t before = c->ledger.now;
	c->vmx.service = 0;
	c->root.run(c->root.who, c);
	if (cpu_root_modelled(c) && c->s.activity == ACTIVITY_ACTIVE && c->ledger.now == before)
		BUG("root software did nothing");
}

enum cpu_stop cpu_run(struct cpu *c, cycle_t until, uint64_t n)
{
	volatile bool moved = false;    /* something has happened since the call */
	c->until = until;
	c->icount_end = n ? c->s.icount + n : 0;
	if (unlikely(trace_on(c->trace, MMU_TRACE_ACCESS) != c->mmu.tells))
		mmu_tell(&c->mmu, !c->mmu.tells);
	if (setjmp(c->fault_exit)) {
		struct cpu_event ev = c->fault;
		if (c->block)
			block_leave(c, c->cur);
		block_forget(c);
		if (ev.type == EVENT_VM_EXIT)
			vmx_leave(c, &c->exit);
		else if (ev.type != EVENT_NONE)
			cpu_deliver(c, &ev);
		c->iret_unblocked = 0;
		moved = true;
	}
	for (;; moved = true) {
		if (c->s.activity != ACTIVITY_ACTIVE) {
			if (c->s.activity == ACTIVITY_SHUTDOWN && !c->vmx.guest)
				return STOP_SHUTDOWN;
			return STOP_HALTED;
		}
		if (c->stop_request)
			return STOP_REQUEST;
		if (unlikely(c->ledger.now >= c->look_at) && moved)
			return STOP_REQUEST;
		if (c->ledger.now >= c->until)
			return STOP_DEADLINE;
		if (c->icount_end && c->s.icount >= c->icount_end)
			return STOP_ICOUNT;
		if (unlikely(c->ledger.now >= c->pmu_due))
			pmu_look(c);
		if (c->attention || c->ledger.now >= c->vmx.timer_end) {
			bool again = cpu_service(c);
			if (again || c->s.activity != ACTIVITY_ACTIVE ||
			    c->ledger.now >= c->until || c->stop_request)
				continue;
		}
		if (unlikely(cpu_root_modelled(c))) {
			run_root(c);
			continue;
		}
		bool tracing = trace_on(c->trace, CPU_TRACE_INSN);
		if (c->breakpoints && c->break_hit &&
		    c->break_hit(c->break_who, c, block_linear(c)))
			return STOP_BREAK;
		if (tracing)
			trace_write(c->trace, c->ledger.now, c->number, CPU_TRACE_INSN, c->s.rip,
			            c->s.seg[SEG_CS].sel, 0, 0);
		c->deadline = c->until;
		if (c->icount_end && c->icount_end - c->s.icount < c->until - c->ledger.now)
			c->deadline = c->ledger.now + (c->icount_end - c->s.icount);
		if (c->vmx.timer_end < c->deadline)
			c->deadline = c->vmx.timer_end;
		if (c->look_at < c->deadline)
			c->deadline = c->look_at;
		if (c->pmu_due < c->deadline)
			c->deadline = c->pmu_due;
		if (c->attention || tracing || c->breakpoints) {
			c->rep_deadline = c->deadline;
			c->deadline = c->attention == ATTENTION_RF && !tracing && !c->breakpoints ? DEADLINE_INSN : 0;
		}
		const struct uop *u = block_resume(c);
		if (!u)
			u = block_enter(c, NULL, 0)->uop;
#ifdef UOP_LOOP
		do {
			c->dispatched = 0;
			u = u->fn(c, u);
		} while (c->dispatched);
#else
		u = u->fn(c, u);
#endif
		if (c->block)
			block_suspend(c, u);
	}
}

void cpu_idle(struct cpu *c, cycle_t until)
{
	if (until <= c->ledger.now)
		return;
	uint32_t acct = c->ledger.acct;
	c->ledger.acct = ACCT_IDLE;
	ledger_charge(&c->ledger, WHY_HALT, until - c->ledger.now);
	c->ledger.acct = acct;
}
