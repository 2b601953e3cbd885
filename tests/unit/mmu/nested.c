/* What two-dimensional walks cost when data caches are on, and what each structure that shortens them is worth: random accesses
 * over much more memory than the TLBs reach. The figures are in docs/timing.md; here stands their order. */
#include "tests/unit/mmu/ept_rig.h"

#define RAM_MB   512ull
#define GUEST_AT 0x8000000ull           /* its data: guest-physical */
#define EPT_AT   0x5000000ull
#define LIN      0x7f0000000000ull
#define ACCESSES 30000

struct rung { const char *name; bool psc, ept_psc, combined, nested_tlb; unsigned page; };

static struct rig *big_rig(const struct rung *k)
{
	struct rig *r = calloc(1, sizeof *r);
	struct profile *p = &r->profile;
	struct err e = { "" };
	profile_defaults(p);
	if (!k->psc)
		p->pml5_cache = p->pml4_cache = p->pdpt_cache = p->pd_cache = 0;
	if (!k->ept_psc)
		p->ept_psc = 0;
	if (!k->nested_tlb)
		p->nested_tlb = 0;
	p->psc_combined = k->combined;
	r->cpus = 1;
	r->next_table = RIG_ROOT + PAGE_SIZE;
	cr_assert(eq(int, mem_init(&r->mem, RAM_MB << 20, &e), 0));
	trace_init(&r->trace, 1024);
	r->caches = caches_new(p, 1, &e);
	r->m[0] = aligned_alloc(64, (sizeof *r->m[0] + 63) & ~63ull);
	cr_assert(eq(int, mmu_init(r->m[0], 0, &r->mem, &r->ledger[0], p, r->caches, &r->trace, &e), 0));
	return r;
}

struct price { double cycles, refs; };

/* Per walk. k->page: level of EPT's pages; 0: no second dimension. */
static struct price measure(const struct rung *k, uint64_t work)
{
	struct rig *r = big_rig(k);
	struct mmu *m = r->m[0];
	struct rng rng;
	rng_init(&rng, 1, "nested");
	for (uint64_t i = 0; i < work; i += PAGE_SIZE)
		rig_map(r, RIG_LONG4, LIN + i, 1, GUEST_AT + i, RWUAD);
	for (uint64_t i = 0; i < work; i += 2 << 20)
		for (unsigned level = 2; level <= 4; level++) {
			uint64_t at = rig_entry(r, RIG_LONG4, RIG_ROOT, LIN + i, level);
			mem_write64(&r->mem, HPA(at), mem_read64(&r->mem, HPA(at)) | PTE_A);
		}
	if (k->page) {
		struct ept_rig e = ept_rig_at(r, 4, EPT_AT);
		uint64_t step = 1ull << (12 + 9 * (k->page - 1));
		for (uint64_t i = 0; i < GUEST_AT + work; i += step)
			if (i < r->next_table || i >= GUEST_AT)
				ept_map(&e, i, k->page, i, EPT_LEAF);
		struct mmu_guest g = ept_guest(&e, false, 1);
		ept_enter(m, &g, RIG_LONG4, 0, 0, EFER_NXE);
	} else {
		rig_paging(m, RIG_LONG4, 0, 0, EFER_NXE);
	}
	uint64_t walks = 0, cycles = 0, refs = 0;
	for (unsigned i = 0; i < ACCESSES; i++) {
		struct mmu_fault f;
		if (i == ACCESSES / 3) {        /* warm */
			walks = m->stat[MMU_STAT_WALK];
			cycles = m->stat[MMU_STAT_WALK_CYCLES];
			refs = m->stat[MMU_STAT_REF_GUEST] + m->stat[MMU_STAT_REF_EPT];
		}
		rig_load(m, LIN + (rng_below(&rng, work) & ~7ull), ACC_READ, &f);
		cr_assert(eq(u32, f.kind, MMU_OK));
	}
	walks = m->stat[MMU_STAT_WALK] - walks;
	struct price c = { (double)(m->stat[MMU_STAT_WALK_CYCLES] - cycles) / (double)walks,
	                  (double)(m->stat[MMU_STAT_REF_GUEST] + m->stat[MMU_STAT_REF_EPT] - refs) / (double)walks };
	rig_free(r);
	return c;
}

/* name                         guest  EPT    combined nested EPT pages */
enum { NATIVE_BARE, NATIVE, BARE, GUEST_ONLY, TWO_DIMENSIONS, NESTED_TLB, LARGE, COMBINED };
static const struct rung rungs[] = {
	[NATIVE_BARE]    = { "native, no walk cache",  false, false, false, false, 0 },
	[NATIVE]         = { "native",                 true,  false, false, false, 0 },
	[BARE]           = { "EPT, no walk cache",     false, false, false, false, 1 },
	[GUEST_ONLY]     = { "+ guest-only cache",     true,  false, false, false, 1 },
	[TWO_DIMENSIONS] = { "+ EPT's dimension too",  true,  true,  false, false, 1 },
	[NESTED_TLB]     = { "+ nested TLB",           true,  true,  false, true,  1 },
	[LARGE]          = { "+ 2 MB EPT pages",       true,  true,  false, true,  2 },
	[COMBINED]       = { "combined, no nested TLB", true, true,  true,  false, 1 },
};

static void ladder(unsigned mb, struct price got[ARRAY_LEN(rungs)])
{
	for (unsigned i = 0; i < ARRAY_LEN(rungs); i++) {
		got[i] = measure(&rungs[i], (uint64_t)mb << 20);
		cr_log_info("%4u MB  %-24s %7.1f cycles %6.2f references", mb, rungs[i].name, got[i].cycles, got[i].refs);
	}
}

Test(nested, each_structure_that_shortens_walks_helps, .timeout = 120)
{
	struct price got[ARRAY_LEN(rungs)];
	for (unsigned mb = 16; mb <= 256; mb *= 4) {
		ladder(mb, got);
		for (unsigned i = GUEST_ONLY; i <= LARGE; i++) {
			cr_expect(got[i].cycles < got[i - 1].cycles, "%u MB: %s", mb, rungs[i].name);
			cr_expect(got[i].refs < got[i - 1].refs || i == LARGE, "%u MB: %s", mb, rungs[i].name);
		}
		cr_expect(got[LARGE].cycles > got[NATIVE].cycles, "two dimensions are never as cheap as one");
	}
}

/* Six times the references, about four times the cycles: the upper levels of both dimensions are in the first-level cache, and
 * what is not is missed once in each dimension. */
Test(nested, an_unshortened_walk_costs_four_native_ones, .timeout = 120)
{
	for (unsigned mb = 8; mb <= 64; mb *= 2) {
		struct price native = measure(&rungs[NATIVE_BARE], (uint64_t)mb << 20), ept = measure(&rungs[BARE], (uint64_t)mb << 20);
		cr_expect(eq(dbl, native.refs, 4));
		cr_expect(eq(dbl, ept.refs, 24));
		cr_expect(ept.cycles > 3.5 * native.cycles && ept.cycles < 4.5 * native.cycles, "%u MB: %.1f and %.1f", mb, ept.cycles, native.cycles);
	}
}

/* What combined entries skip the nested TLB finds. */
Test(nested, combined_entries_and_a_nested_tlb_are_worth_the_same, .timeout = 120)
{
	struct price a = measure(&rungs[NESTED_TLB], 16ull << 20), b = measure(&rungs[COMBINED], 16ull << 20);
	cr_expect(a.cycles < 1.02 * b.cycles && b.cycles < 1.02 * a.cycles, "%.2f and %.2f", a.cycles, b.cycles);
}
