/* pmu.c - architectural performance monitoring, version 2.
 *
 * Two, later four general counters and three fixed ones (instructions, core cycles, reference cycles), 48 bits wide, with
 * IA32_PERF_GLOBAL_CTRL, _STATUS and _OVF_CTRL. Nothing is counted for their sake: a counter is the difference of two
 * readings of what the model knows anyway - its clock less the time it was halted, its instructions completed, its
 * references to the last-level cache. Readings are taken when what counts may change: a register is written, CPL changes.
 *
 * Overflow: no event happens more often than once a cycle, so a counter that lacks n cannot overflow within n cycles.
 * The run loop asks again then (cpu->pmu_due), and so finds the first instruction boundary behind the overflow exactly. It
 * sets the counter's status bit and, where asked for, delivers by the local APIC's performance-counter entry.
 * Source: SDM Vol. 3B, "Architectural Performance Monitoring"; Vol. 2A, "CPUID" leaf 0AH; Vol. 4.
 * Timing: none.
 * Simplified: later profiles' CPUs have version 3 or 4. Branch events are reported as not available; other events than the
 * architectural ones, edge detection, inversion and counter masks count nothing. An instruction that changes CPL counts at
 * the new one. With `fast` there are no caches, hence no references to them. */
#include "models/cpu/pmu.h"

#include <string.h>

#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"

/* IA32_PERFEVTSELx: 7:0 event | 15:8 unit mask | 16 USR | 17 OS | 18 edge | 19 pin control | 20 INT | 22 EN | 23 INV |
 * 31:24 counter mask. IA32_FIXED_CTR_CTRL, 4 bits a counter: 0 OS | 1 USR | 3 PMI */
#define SELECT_USR  BIT(16)
#define SELECT_OS   BIT(17)
#define SELECT_EDGE BIT(18)
#define SELECT_INT  BIT(20)
#define SELECT_EN   BIT(22)
#define SELECT_ODD  (SELECT_EDGE | BIT(23) | 0xff000000u)
enum { FIXED_OS = 1, FIXED_USR = 2, FIXED_PMI = 8 };

/* In the order of the bits of CPUID.0AH:EBX. */
enum pmu_event { PMU_CYCLES, PMU_INSTRUCTIONS, PMU_REFERENCE, PMU_LLC_REFERENCE, PMU_LLC_MISS, PMU_BRANCH, PMU_BRANCH_MISS,
                 PMU_EVENTS };
static const uint16_t selector[PMU_EVENTS] = {
	[PMU_CYCLES] = 0x003c, [PMU_INSTRUCTIONS] = 0x00c0, [PMU_REFERENCE] = 0x013c, [PMU_LLC_REFERENCE] = 0x4f2e,
	[PMU_LLC_MISS] = 0x412e, [PMU_BRANCH] = 0x00c4, [PMU_BRANCH_MISS] = 0x00c5,
};
static const uint8_t fixed_event[PMU_FIXED] = { PMU_INSTRUCTIONS, PMU_CYCLES, PMU_REFERENCE };

unsigned pmu_general(const struct cpu *c)
{
	return !cpu_has(c, FEATURE_PERFMON) ? 0 : cpu_generation(c->profile) >= GEN_NEHALEM ? 4 : 2;
}

uint64_t pmu_global_valid(const struct cpu *c)
{
	return MASK(pmu_general(c)) | MASK(PMU_FIXED) << 32;
}

/* EAX: 7:0 version | 15:8 general counters | 23:16 their width | 31:24 bits in EBX. EBX: a bit for each event that is not
 * available. EDX: 4:0 fixed counters | 12:5 their width */
void pmu_leaf(const struct cpu *c, uint32_t o[4])
{
	if (!cpu_has(c, FEATURE_PERFMON))
		return;
	o[CPUID_EAX] = 2 | pmu_general(c) << 8 | 48u << 16 | PMU_EVENTS << 24;
	o[CPUID_EBX] = 1u << PMU_BRANCH | 1u << PMU_BRANCH_MISS;
	o[CPUID_EDX] = PMU_FIXED | 48u << 5;
}

/* ---- what there is to count ---- */

/* How often it has happened since RESET; unavailable and unknown events never do. */
static uint64_t happened(const struct cpu *c, unsigned event)
{
	const uint64_t *stat = c->mmu.stat;
	bool l3 = c->profile->l3_size != 0;
	switch (event) {
	case PMU_CYCLES: case PMU_REFERENCE:
		return c->ledger.now - c->ledger.spent[ACCT_IDLE][WHY_HALT];
	case PMU_INSTRUCTIONS:
		return c->s.icount + (c->block ? c->cur->idx : 0);
	case PMU_LLC_REFERENCE:
		return l3 ? stat[MMU_STAT_L2_MISS] : stat[MMU_STAT_L1I_MISS] + stat[MMU_STAT_L1D_MISS];
	case PMU_LLC_MISS:
		return l3 ? stat[MMU_STAT_L3_MISS] : stat[MMU_STAT_L2_MISS];
	default:
		return 0;
	}
}

static unsigned event_of(const struct cpu *c, unsigned i)
{
	if (i >= PMU_GENERAL_MAX)
		return fixed_event[i - PMU_GENERAL_MAX];
	uint64_t select = c->s.pmu.select[i];
	for (unsigned e = 0; e < PMU_EVENTS; e++)
		if (selector[e] == (select & 0xffff) && !(select & SELECT_ODD))
			return e;
	return PMU_EVENTS;
}

/* ---- which counters count ---- */

static unsigned fixed_bits(const struct cpu *c, unsigned i)
{
	return c->s.pmu.fixed_ctrl >> 4 * (i - PMU_GENERAL_MAX) & 15;
}

/* Does counter i count at this privilege level, user or not? */
static bool counts(const struct cpu *c, unsigned i, bool user)
{
	const struct pmu_state *p = &c->s.pmu;
	if (i >= PMU_GENERAL_MAX)
		return p->global >> (32 + i - PMU_GENERAL_MAX) & 1 && fixed_bits(c, i) & (user ? FIXED_USR : FIXED_OS);
	return p->global >> i & 1 && p->select[i] & SELECT_EN && p->select[i] & (user ? SELECT_USR : SELECT_OS);
}

static bool interrupts(const struct cpu *c, unsigned i)
{
	return i >= PMU_GENERAL_MAX ? fixed_bits(c, i) & FIXED_PMI : (c->s.pmu.select[i] & SELECT_INT) != 0;
}

/* Bring the counters that have been counting up to date. True: an interrupt is due. */
static bool settle(struct cpu *c)
{
	struct pmu_state *p = &c->s.pmu;
	bool interrupt = false;
	for (unsigned i = 0; i < PMU_COUNTERS; i++) {
		if (!(p->counting >> i & 1))
			continue;
		uint64_t now = happened(c, event_of(c, i));
		p->count[i] += now - p->from[i];
		p->from[i] = now;
		if (!(p->count[i] & ~PMU_MASK))
			continue;
		p->count[i] &= PMU_MASK;
		p->status |= BIT(i >= PMU_GENERAL_MAX ? 32 + i - PMU_GENERAL_MAX : i);
		interrupt |= interrupts(c, i);
	}
	return interrupt;
}

static void choose(struct cpu *c)
{
	struct pmu_state *p = &c->s.pmu;
	p->counting = p->enabled = 0;
	p->user = c->s.cpl > 0;
	for (unsigned i = 0; i < PMU_COUNTERS; i++) {
		bool now = counts(c, i, p->user);
		if (now || counts(c, i, !p->user))
			p->enabled |= (uint16_t)(1u << i);
		if (now)
			p->counting |= 1u << i;
		p->from[i] = now ? happened(c, event_of(c, i)) : 0;
	}
}

/* When an overflow is possible next. False: one has happened. */
static bool look_again(struct cpu *c)
{
	const struct pmu_state *p = &c->s.pmu;
	uint64_t least = NEVER;
	for (unsigned i = 0; i < PMU_COUNTERS; i++) {
		if (!(p->counting >> i & 1))
			continue;
		uint64_t n = p->count[i] + happened(c, event_of(c, i)) - p->from[i];
		if (n > PMU_MASK)
			return false;
		if (PMU_MASK + 1 - n < least)
			least = PMU_MASK + 1 - n;
	}
	c->pmu_due = least == NEVER ? NEVER : c->ledger.now + least;
	if (c->pmu_due < c->deadline)
		c->deadline = c->pmu_due;
	return true;
}

void pmu_changed(struct cpu *c)
{
	bool interrupt = settle(c);
	choose(c);
	(void)look_again(c);
	if (interrupt && c->lapic)
		lapic_perf(c->lapic);
}

/* When this is asked follows from how the run is driven, so nothing of the state may come of it but overflows. */
void pmu_look(struct cpu *c)
{
	if (!look_again(c))
		pmu_changed(c);
}

/* ---- registers ---- */

uint64_t pmu_read(struct cpu *c, unsigned i)
{
	if (c->s.pmu.counting)
		pmu_changed(c);
	return c->s.pmu.count[i];
}

void pmu_write(struct cpu *c, unsigned i, uint64_t v)
{
	pmu_changed(c);
	c->s.pmu.count[i] = v;
	pmu_changed(c);
}

void pmu_set_global(struct cpu *c, uint64_t v)
{
	pmu_changed(c);
	c->s.pmu.global = v;
	pmu_changed(c);
}

/* "IA32_PERF_GLOBAL_CTRL: sets bits n-1:0 [general counters] and clears the upper bits" at power-up. */
void pmu_reset(struct cpu *c)
{
	memset(&c->s.pmu, 0, sizeof c->s.pmu);
	c->s.pmu.global = MASK(pmu_general(c));
	c->pmu_due = NEVER;
}

void pmu_restored(struct cpu *c)
{
	if (!look_again(c))
		c->pmu_due = 0;
}
