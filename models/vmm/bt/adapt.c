/* adapt.c - adaptive binary translation: an instruction that keeps trapping is translated otherwise.
 *
 * A write to a guest page table that the pager guards, or a device's register in memory, faults; the VMM finds out why, and
 * emulates. After TRAPS_MAX emulations at one address the block is dropped, and its next translation has a callout there: the VMM
 * emulates at once, without a page fault and the pager's search. Such an instruction may come to write ordinary memory: after
 * SIMULATED_MAX callouts it is translated as it is again, and has to earn its callout anew. Each time it does it keeps it twice as long: one that
 * always meets a device's register is translated anew some times, not for ever.
 * Counters: BT_HOT of 16 bytes in the VMM's memory, by address; a newcomer takes the place of what was there.
 * Source: Adams and Agesen 2006, section 3.4 ("Adaptive binary translation"). Thresholds: assumed.
 * Timing: BT_ADAPT, references to the counters; the block's new translation. */
#include "models/vmm/bt/cache.h"

#define TRAPS_MAX     8
#define SIMULATED_MAX 256u
/* A counter: 31:0 traps, or callouts | 32 it is a callout now | 63:40 how often it has become one. */
#define SIMULATED     (1ull << 32)
#define EARNED(n)     ((n) >> 40)
#define EARNED_MAX    16                /* and 256 << 15 callouts */

static uint64_t counter(const struct vcpu *v, uint64_t pc) { return bt_state(v)->hot + 16 * ((pc ^ pc >> 8) & (BT_HOT - 1)); }

bool bt_simulated(void *who, uint64_t pc)
{
	struct vcpu *v = who;
	return bt_get(v, counter(v, pc), 8) == pc && bt_get(v, counter(v, pc) + 8, 8) & SIMULATED;
}

static void otherwise(struct vcpu *v, uint64_t pc, bool simulated, uint64_t earned)
{
	struct cpu *c = v->cpu;
	bt_put(v, counter(v, pc) + 8, 8, earned << 40 | (simulated ? SIMULATED : 0));
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
	if ((uint32_t)n >= TRAPS_MAX)
		otherwise(v, pc, true, EARNED(n) < EARNED_MAX ? EARNED(n) + 1 : EARNED_MAX);
}

void bt_simulated_once(struct vcpu *v, uint64_t pc)
{
	uint64_t at = counter(v, pc), n = bt_get(v, at + 8, 8);
	if (bt_get(v, at, 8) != pc || !(n & SIMULATED))
		return;         /* its counter is another's: the block stays as it is */
	bt_put(v, at + 8, 8, ++n);
	if ((uint32_t)n >= SIMULATED_MAX << ((EARNED(n) - 1) & (EARNED_MAX - 1)))
		otherwise(v, pc, false, EARNED(n));
}
