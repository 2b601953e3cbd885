/* The modelled caches: geometry, LRU, exact cycles of each level, coherence. */
#include "tests/unit/mmu/rig.h"

static struct rig *r;
static void start(void) { r = rig_new(2); }
static void stop(void) { rig_free(r); }
TestSuite(cache, .init = start, .fini = stop);

static struct rig *rig_with(void (*shape)(struct profile *), unsigned cpus)
{
	struct rig *n = calloc(1, sizeof *n);
	profile_defaults(&n->profile);
	if (shape)
		shape(&n->profile);
	rig_start_with(n, cpus);
	return n;
}

/* Paging is off: linear is physical. Cycles of one 4-byte access. */
static cycle_t load(struct mmu *m, uint64_t pa)
{
	struct mmu_fault f;
	cycle_t before = m->ledger->now;
	rig_load(m, pa, ACC_READ, &f);
	return m->ledger->now - before;
}
static cycle_t store(struct mmu *m, uint64_t pa)
{
	struct mmu_fault f;
	uint32_t v = 7;
	cycle_t before = m->ledger->now;
	mmu_write(m, pa, &v, 4, ACC_WRITE, &f);
	return m->ledger->now - before;
}
static unsigned l1d(unsigned cpu, uint64_t pa) { return cache_peek(&r->caches->core[cpu].l1d, pa >> 6); }
static unsigned l2(unsigned cpu, uint64_t pa)  { return cache_peek(&r->caches->core[cpu].l2, pa >> 6); }

/* Default profile: L1 4, L2 12, L3 45, memory 196; a stall is what lies beyond L1. */
Test(cache, each_level_costs_its_latency_beyond_l1)
{
	struct mmu *m = r->m[0];
	struct ledger *l = &r->ledger[0];
	cr_expect(eq(u64, load(m, 0x10000), 192));
	cr_expect(eq(u64, load(m, 0x10020), 0), "the same line");
	for (uint64_t i = 1; i <= 8; i++)       /* eight more lines of its L1 set */
		load(m, 0x10000 + i * 4096);
	cr_expect(eq(u64, load(m, 0x10000), 8));
	for (uint64_t i = 1; i <= 8; i++)       /* and of its L2 set: 1024 sets of 4 */
		load(m, 0x10000 + i * 65536);
	cr_expect(eq(u64, load(m, 0x10000), 41));
	cr_expect(eq(u64, l->spent[0][WHY_LOAD_L2], 8));
	cr_expect(eq(u64, l->spent[0][WHY_LOAD_L3], 41));
	cr_expect(eq(u64, l->spent[0][WHY_LOAD_MEM], 17 * 192));
	cr_expect(eq(u64, m->stat[MMU_STAT_L1D_MISS], 19));
	cr_expect(eq(u64, m->stat[MMU_STAT_L2_MISS], 18));
	cr_expect(eq(u64, m->stat[MMU_STAT_L3_MISS], 17));
}

Test(cache, a_store_waits_for_its_share)
{
	struct mmu *m = r->m[0];
	cr_expect(eq(u64, store(m, 0x10000), 192 * 30 / 100));
	cr_expect(eq(u64, r->ledger[0].spent[0][WHY_STORE], 57));
	cr_expect(eq(u64, store(m, 0x10004), 0));
	cr_expect(eq(u64, load(m, 0x10008), 0));
}

/* Its result is needed: nothing hides the wait. The line is then modified, and the store that ends it is free. */
Test(cache, a_read_modify_write_waits_as_a_load)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	uint32_t v;
	mmu_read(m, 0x10000, &v, 4, ACC_READ | ACC_RMW, &f);
	cr_expect(eq(u64, m->ledger->now, 192));
	cr_expect(eq(u64, r->ledger[0].spent[0][WHY_LOAD_MEM], 192));
	cr_expect(eq(u64, store(m, 0x10000), 0));
	cr_expect(mmu_fast(m, 0x10040, 4, TOUCH_RMW) != NULL);
	cr_expect(eq(u64, m->ledger->now, 2 * 192));
	cr_expect(eq(u64, r->ledger[0].spent[0][WHY_STORE], 0));
}

Test(cache, an_access_over_two_lines_touches_both)
{
	struct mmu *m = r->m[0];
	cr_expect(eq(u64, load(m, 0x1003e), 2 * 192));
	cr_expect(eq(u64, load(m, 0x10040), 0));
	cr_expect(mmu_fast(m, 0x1003e, 4, false) != NULL);
	cr_expect(eq(u64, m->stat[MMU_STAT_L1D_MISS], 2));
	mmu_fast(m, 0x1007e, 4, false);
	cr_expect(eq(u64, m->stat[MMU_STAT_L1D_MISS], 3));
}

Test(cache, l1_replaces_the_least_recently_used)
{
	struct mmu *m = r->m[0];
	for (uint64_t i = 0; i < 8; i++)
		load(m, 0x10000 + i * 4096);
	load(m, 0x10000);
	load(m, 0x10000 + 8 * 4096);
	cr_expect(ne(int, l1d(0, 0x10000), LINE_INVALID));
	cr_expect(eq(int, l1d(0, 0x11000), LINE_INVALID));
	cr_expect(eq(u64, load(m, 0x11000), 8));
}

Test(cache, soft_hits_keep_lines_young)
{
	struct mmu *m = r->m[0];
	for (uint64_t i = 0; i < 8; i++)
		load(m, 0x10000 + i * 4096);
	cr_assert(mmu_fast(m, 0x10000, 4, false) != NULL);
	load(m, 0x10000 + 8 * 4096);
	cr_expect(ne(int, l1d(0, 0x10000), LINE_INVALID));
}

static void no_l3(struct profile *p) { p->l3_size = 0; p->l2_size = 65536; }
Test(cache, without_l3_a_miss_goes_to_memory)
{
	struct rig *n = rig_with(no_l3, 1);
	struct mmu *m = n->m[0];
	load(m, 0x10000);
	for (uint64_t i = 1; i <= 8; i++)
		load(m, 0x10000 + i * 65536);
	cr_expect(eq(u64, load(m, 0x10000), 192));
	cr_expect(eq(u64, m->stat[MMU_STAT_L3_MISS], 0));
	rig_free(n);
}

static void odd(struct profile *p) { p->l2_size = 64 * 6 * 1024; p->l2_ways = 8; p->l3_size = 64 * 11 * 1000; p->l3_ways = 11; }
Test(cache, sets_need_not_be_a_power_of_two_beyond_l1)
{
	struct rig *n = rig_with(odd, 1);
	struct mmu *m = n->m[0];
	cr_assert(eq(u32, n->caches->core[0].l2.sets, 768));
	for (uint64_t i = 0; i < 8; i++)
		load(m, i * 768 * 64);
	for (uint64_t i = 0; i < 8; i++)        /* all eight share one L2 set, and L1 sets 0: still in L2 */
		cr_expect(ne(int, cache_peek(&n->caches->core[0].l2, i * 768), LINE_INVALID));
	load(m, 8 * 768 * 64);
	cr_expect(eq(int, cache_peek(&n->caches->core[0].l2, 0), LINE_INVALID));
	rig_free(n);
}

Test(cache, shapes_that_do_not_divide_are_refused)
{
	struct err e = { "" };
	struct profile p;
	profile_defaults(&p);
	p.l1d_size = 32768 + 64;
	cr_assert(caches_new(&p, 1, &e) == NULL);
	cr_expect(eq(str, e.text, "l1d.size = 32832: 8 ways of 64-byte lines do not divide it"));
	e.text[0] = 0;
	profile_defaults(&p);
	p.l1d_size = 64 * 8 * 48;
	cr_assert(caches_new(&p, 1, &e) == NULL);
	cr_expect(eq(str, e.text, "a first-level cache of 64 or 48 sets: expected powers of two"));
}

/* ---- two CPUs ---- */

Test(cache, a_line_read_by_two_is_shared)
{
	load(r->m[0], 0x10000);
	cr_expect(eq(int, l1d(0, 0x10000), LINE_EXCLUSIVE));
	cr_expect(eq(u64, load(r->m[1], 0x10000), 41), "from L3, where the snoop is settled");
	cr_expect(eq(int, l1d(0, 0x10000), LINE_SHARED));
	cr_expect(eq(int, l1d(1, 0x10000), LINE_SHARED));
	cr_expect(eq(u64, r->m[0]->stat[MMU_STAT_WRITEBACK], 0));
}

Test(cache, writing_a_shared_line_takes_it_from_the_others)
{
	load(r->m[0], 0x10000);
	load(r->m[1], 0x10000);
	uint64_t misses = r->m[1]->stat[MMU_STAT_L1D_MISS];
	cr_expect(eq(u64, store(r->m[1], 0x10000), 41 * 30 / 100), "ownership is settled at L3");
	cr_expect(eq(u64, r->m[1]->stat[MMU_STAT_L1D_MISS], misses), "the data were there");
	cr_expect(eq(int, l1d(1, 0x10000), LINE_MODIFIED));
	cr_expect(eq(int, l1d(0, 0x10000), LINE_INVALID));
	cr_expect(eq(int, l2(0, 0x10000), LINE_INVALID));
	cr_expect(eq(u64, store(r->m[1], 0x10000), 0));
	cr_expect(eq(u64, load(r->m[0], 0x10000), 41));
	cr_expect(eq(u64, r->m[1]->stat[MMU_STAT_WRITEBACK], 1), "read by another: modified data go to L3");
	cr_expect(eq(int, l1d(1, 0x10000), LINE_SHARED));
}

/* The inline checks of another CPU must not go on hitting: its mru arrays are dropped with the line. */
Test(cache, the_inline_arrays_follow_a_snoop)
{
	uint64_t set = (0x10000 >> 6) & r->m[0]->l1d_set_mask;
	store(r->m[0], 0x10000);
	cr_assert(eq(u64, r->m[0]->l1d_mru_dirty[set], 0x10000 >> 6));
	load(r->m[1], 0x10000);
	cr_expect(eq(u64, r->m[0]->l1d_mru[set], 0x10000 >> 6));
	cr_expect(eq(u64, r->m[0]->l1d_mru_dirty[set], ~0ull));
	store(r->m[1], 0x10000);
	cr_expect(eq(u64, r->m[0]->l1d_mru[set], ~0ull));
	cycle_t before = r->ledger[0].now;
	cr_assert(mmu_fast(r->m[0], 0x10000, 4, false) != NULL);
	cr_expect(eq(u64, r->ledger[0].now - before, 41));
}

Test(cache, a_modified_line_moves_to_the_next_writer)
{
	store(r->m[0], 0x10000);
	cr_expect(eq(u64, store(r->m[1], 0x10000), 41 * 30 / 100));
	cr_expect(eq(int, l1d(0, 0x10000), LINE_INVALID));
	cr_expect(eq(int, l1d(1, 0x10000), LINE_MODIFIED));
	cr_expect(eq(u64, r->m[0]->stat[MMU_STAT_WRITEBACK], 0));
}

Test(cache, without_l3_cpus_snoop_each_other)
{
	struct rig *n = rig_with(no_l3, 3);
	store(n->m[0], 0x10000);
	cr_expect(eq(u64, load(n->m[1], 0x10000), 192));
	cr_expect(eq(u64, load(n->m[2], 0x10000), 192));
	cr_expect(eq(int, cache_peek(&n->caches->core[0].l1d, 0x400), LINE_SHARED));
	cr_expect(eq(u64, store(n->m[2], 0x10000), 192 * 30 / 100));
	cr_expect(eq(int, cache_peek(&n->caches->core[0].l1d, 0x400), LINE_INVALID));
	cr_expect(eq(int, cache_peek(&n->caches->core[1].l1d, 0x400), LINE_INVALID));
	rig_free(n);
}

/* L3 is inclusive: a line it loses is lost to every CPU. */
static void small_l3(struct profile *p) { p->l3_size = 65536; p->l3_ways = 4; p->l2_size = 65536; p->l2_ways = 16; }
Test(cache, what_leaves_l3_leaves_l1)
{
	struct rig *n = rig_with(small_l3, 2);
	store(n->m[0], 0x10000);
	for (uint64_t i = 1; i <= 4; i++)       /* 256 sets of 4 */
		load(n->m[1], 0x10000 + i * 16384);
	cr_expect(eq(int, cache_peek(&n->caches->core[0].l1d, 0x400), LINE_INVALID));
	cr_expect(eq(int, cache_peek(&n->caches->core[0].l2, 0x400), LINE_INVALID));
	cr_expect(eq(u64, n->m[1]->stat[MMU_STAT_WRITEBACK], 1));
	rig_free(n);
}

/* Random references by four CPUs: inclusion, one writer at a time, and the inline arrays always true. */
static void check(const struct rig *n)
{
	for (unsigned cpu = 0; cpu < n->cpus; cpu++) {
		const struct cache_core *c = &n->caches->core[cpu];
		const struct cache *all[] = { &c->l1d, &c->l1i, &c->l2 };
		for (unsigned k = 0; k < 3; k++) {
			for (size_t i = 0; i < (size_t)all[k]->sets * all[k]->ways; i++) {
				uint64_t w = all[k]->word[i], line = w >> 18;
				if (!w)
					continue;
				cr_assert(ne(int, cache_peek(all[k], line), LINE_INVALID), "cpu %u cache %u word %zu %#llx", cpu, k, i, (unsigned long long)w);
				if (n->caches->l3.sets)
					cr_assert(ne(int, cache_peek(&n->caches->l3, line), LINE_INVALID), "inclusion");
				if ((w & 3) == LINE_SHARED)
					continue;
				for (unsigned other = 0; other < n->cpus; other++) {
					if (other == cpu)
						continue;
					cr_assert(eq(int, cache_peek(&n->caches->core[other].l1d, line), LINE_INVALID));
					cr_assert(eq(int, cache_peek(&n->caches->core[other].l2, line), LINE_INVALID));
				}
			}
		}
		for (uint64_t set = 0; set < c->l1d.sets; set++) {
			uint64_t w = c->l1d.word[set * c->l1d.ways];
			cr_assert(eq(u64, c->l1d_mru[set], w ? w >> 18 : ~0ull));
			cr_assert(eq(u64, c->l1d_mru_dirty[set], (w & 3) == LINE_MODIFIED ? w >> 18 : ~0ull));
		}
	}
}
static void tiny(struct profile *p)
{
	p->l1d_size = p->l1i_size = 4096, p->l1d_ways = p->l1i_ways = 2;
	p->l2_size = 65536, p->l2_ways = 2, p->l3_size = 131072, p->l3_ways = 2;
}
static void tiny_no_l3(struct profile *p) { tiny(p); p->l3_size = 0; }
static void storm(void (*shape)(struct profile *))
{
	struct rig *n = rig_with(shape, 4);
	struct rng g;
	rng_init(&g, 5, "storm");
	for (unsigned i = 0; i < 200000; i++) {
		unsigned cpu = (unsigned)rng_below(&g, 4);
		/* lines that collide: 16 in each of a few sets */
		uint64_t line = rng_below(&g, 16) * 2048 + rng_below(&g, 6);
		bool present;
		switch (rng_below(&g, 8)) {
		case 0: cache_fetch(n->caches, cpu, line); break;
		case 1: case 2: case 3: cache_data(n->caches, cpu, line, true, &present); break;
		default: cache_data(n->caches, cpu, line, false, &present); break;
		}
		if (i % 5000 == 0)
			cache_flush(n->caches, cpu);
		if (i % 20 == 0)
			check(n);
	}
	rig_free(n);
}
Test(cache, storm_with_l3, .timeout = 60) { storm(tiny); }
Test(cache, storm_without_l3, .timeout = 60) { storm(tiny_no_l3); }

/* ---- the instruction side ---- */

Test(cache, a_fetch_fills_l1i_and_l2)
{
	struct mmu *m = r->m[0];
	mmu_fetch_touch(m, 0x400);
	cr_expect(eq(u64, r->ledger[0].spent[0][WHY_FETCH], 192));
	mmu_fetch_touch(m, 0x400);
	cr_expect(eq(u64, r->ledger[0].now, 192));
	cr_expect(eq(u64, m->stat[MMU_STAT_L1I_MISS], 1));
	cr_expect(eq(u64, load(m, 0x10000), 8), "unified L2");
	cr_expect(eq(u64, m->stat[MMU_STAT_L1D_MISS], 1));
}

Test(cache, writing_code_takes_it_out_of_l1i)
{
	struct mmu *m = r->m[0];
	mmu_fetch_touch(m, 0x400);
	store(m, 0x10000);
	mmu_fetch_touch(m, 0x400);
	cr_expect(eq(u64, m->stat[MMU_STAT_L1I_MISS], 2));
	store(r->m[1], 0x10000);
	mmu_fetch_touch(m, 0x400);
	cr_expect(eq(u64, m->stat[MMU_STAT_L1I_MISS], 3));
	load(m, 0x10000);
	store(m, 0x10000);                      /* a hit in L1D */
	mmu_fetch_touch(m, 0x400);
	cr_expect(eq(u64, m->stat[MMU_STAT_L1I_MISS], 4));
}

Test(cache, the_inline_arrays_are_rebuilt_from_the_words)
{
	struct cache_core *c = &r->caches->core[0];
	store(r->m[0], 0x10000);
	mmu_fetch_touch(r->m[0], 0x500);
	memset(r->caches->mru, 0xff, (2 * c->l1d.sets + c->l1i.sets) * sizeof *r->caches->mru);
	mmu_restored(r->m[0]);
	cr_expect(eq(u64, c->l1d_mru[0], 0x400));
	cr_expect(eq(u64, c->l1d_mru_dirty[0], 0x400));
	cr_expect(eq(u64, c->l1i_mru[0], 0x500));
	cr_expect(eq(u64, c->l1d_mru[1], ~0ull));
}

Test(cache, wbinvd_empties_and_costs)
{
	struct mmu *m = r->m[0];
	store(m, 0x10000);
	store(m, 0x20000);
	load(m, 0x30000);
	cycle_t before = r->ledger[0].now;
	mmu_flush_caches(m);
	cr_expect(eq(u64, r->ledger[0].now - before, 2 * 196 / 8));
	cr_expect(eq(u64, load(m, 0x30000), 192));
	check(r);
}

Test(cache, physical_accesses_are_charged_to_their_cause)
{
	struct mmu *m = r->m[0];
	mmu_phys_write(m, HPA(0x10000), 8, 0x1122334455667788, WHY_VM_EXIT);
	cr_expect(eq(u64, r->ledger[0].spent[0][WHY_VM_EXIT], 57));
	cr_expect(eq(u64, mmu_phys_read(m, HPA(0x10002), 4, WHY_VM_ENTRY), 0x33445566));
	cr_expect(eq(u64, mmu_phys_read(m, HPA(0x20000), 4, WHY_VM_ENTRY), 0));
	cr_expect(eq(u64, r->ledger[0].spent[0][WHY_VM_ENTRY], 192));
}
