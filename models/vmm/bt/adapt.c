/* adapt.c - adaptive binary translation: an instruction that keeps trapping is translated otherwise.
 *
 * A write to a guest page table that the pager guards, or a device's register in memory, faults; the VMM finds out why, and
 * emulates. Each time earns the instruction's address a point. With EARNED of them its block is dropped, and the next translation has a
 * callout there: the VMM emulates at once, without a page fault and the pager's search. A callout that was needed earns a point more, one
 * that met ordinary memory costs one; with none left the instruction is translated as it is again.
 * Counters: BT_HOT of 16 bytes in the VMM's memory, by address; a newcomer takes the place of what was there.
 * Source: Adams and Agesen 2006, section 3.4 ("Adaptive binary translation"). Thresholds: assumed.
 * Timing: BT_ADAPT, references to the counters; the block's new translation. */
#include "models/vmm/bt/cache.h"

#define EARNED        8
#define EARNED_MAX    16
#define SIMULATED     (1ull << 32)      /* in a counter: it is a callout now; 31:0 its points */

static uint64_t counter(const struct vcpu *v, uint64_t pc) { return bt_state(v)->hot + 16 * ((pc ^ pc >> 8) & (BT_HOT - 1)); }

bool bt_simulated(void *who, uint64_t pc)
{
	struct vcpu *v = who;
	return bt_get(v, counter(v, pc), 8) == pc && bt_get(v, counter(v, pc) + 8, 8) & SIMULATED;
}

static void otherwise(struct vcpu *v, uint64_t pc, bool simulated)
{
	struct cpu *c = v->cpu;
	bt_put(v, counter(v, pc) + 8, 8, simulated ? SIMULATED | EARNED : 0);
	bt_drop_at(v, pc);
	v->vm->stat[VMM_STAT_BT_ADAPTED] += simulated;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_BT_ADAPT, v->vm->number, pc, simulated, 0);
}

void bt_trapped(struct vcpu *v, uint64_t pc)
{
	vmm_cost(v->cpu, VMM_COST_BT_ADAPT);
	uint64_t at = counter(v, pc), n = bt_get(v, at, 8) == pc ? bt_get(v, at + 8, 8) : 0;
	if (n & SIMULATED)
		return;
	bt_put(v, at, 8, pc);
	bt_put(v, at + 8, 8, ++n);
	if (n >= EARNED)
		otherwise(v, pc, true);
}

void bt_simulated_once(struct vcpu *v, uint64_t pc, bool needed)
{
	uint64_t at = counter(v, pc), n = bt_get(v, at + 8, 8), points = n & ~SIMULATED;
	if (bt_get(v, at, 8) != pc || !(n & SIMULATED))
		return;         /* its counter is another's: the block stays as it is */
	if (!needed && points <= 1)
		otherwise(v, pc, false);
	else if (!needed || points < EARNED_MAX)
		bt_put(v, at + 8, 8, needed ? n + 1 : n - 1);
}
