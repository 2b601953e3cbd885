/* Geometry, replacement, timing and invalidation of the modelled TLBs and paging-structure caches. */
#include "tests/unit/mmu/rig.h"

static struct rig *r;
static void start(void) { r = rig_new(1); }
static void stop(void) { rig_free(r); }
TestSuite(tlb, .init = start, .fini = stop);

#define BASE 0x7f0000000000ull

/* n 4 KB pages from BASE, accessed and dirty, in long mode. */
static void pages(struct rig *rig, unsigned n, uint64_t flags)
{
	for (unsigned i = 0; i < n; i++)
		rig_map(rig, RIG_LONG4, BASE + i * 4096ull, 1, RIG_DATA + (i % 1024) * 4096ull, flags);
}

/* Cycles of a translation alone. */
static cycle_t probe(struct mmu *m, uint64_t lin)
{
	struct mmu_fault f;
	cycle_t before = m->ledger->now;
	cr_assert(eq(int, mmu_probe(m, lin, 1, ACC_READ, &f), 0));
	return m->ledger->now - before;
}
static uint64_t walks(struct mmu *m, uint64_t lin)
{
	uint64_t before = m->stat[MMU_STAT_WALK];
	probe(m, lin);
	return m->stat[MMU_STAT_WALK] - before;
}

Test(tlb, hits_cost_what_the_profile_says)
{
	struct mmu *m = r->m[0];
	pages(r, 256, RWUAD);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	for (unsigned i = 0; i < 256; i++)
		probe(m, BASE + i * 4096ull);
	/* 256 pages of 64 entries: page 0 is in the second level only */
	uint64_t hit = m->stat[MMU_STAT_STLB_HIT], miss = m->stat[MMU_STAT_DTLB_MISS];
	cr_expect(eq(u64, probe(m, BASE), 7));
	cr_expect(eq(u64, m->stat[MMU_STAT_STLB_HIT] - hit, 1));
	cr_expect(eq(u64, m->stat[MMU_STAT_DTLB_MISS] - miss, 1));
	cr_expect(eq(u64, r->ledger[0].spent[0][WHY_TLB_L2], 7));
	cr_expect(eq(u64, probe(m, BASE), 0), "a first-level hit is free");
}

/* Walks shortened by each paging-structure cache, all references then in L1: walk.base 5 and 4 a reference. */
Test(tlb, a_walk_starts_where_the_structure_caches_allow)
{
	struct mmu *m = r->m[0];
	/* indices apart, so that the tables' entries are in different sets of L1 */
	static const uint64_t at = 0x7f0404030000, lin[] = { at, at + 0x1000, at + 0x200000, at + 0x40000000, at + 0x8000000000 };
	static const unsigned refs[] = { 4, 1, 2, 3, 4 };
	for (unsigned i = 0; i < 5; i++)
		rig_map(r, RIG_LONG4, lin[i], 1, RIG_DATA, RWUAD);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	for (unsigned pass = 0; pass < 2; pass++) {
		mmu_flush_all(m);
		for (unsigned i = 0; i < 5; i++) {
			uint64_t before = m->stat[MMU_STAT_REF_GUEST], psc = m->stat[MMU_STAT_PSC_HIT];
			cycle_t cycles = probe(m, lin[i]);
			cr_expect(eq(u64, m->stat[MMU_STAT_REF_GUEST] - before, refs[i]), "page %u", i);
			cr_expect(eq(u64, m->stat[MMU_STAT_PSC_HIT] - psc, refs[i] < 4), "page %u", i);
			if (pass)
				cr_expect(eq(u64, cycles, 5 + 4 * refs[i]), "page %u", i);
			cr_expect(eq(u32, m->last_walk.n, refs[i] + (refs[i] < 4)), "the cache that helped is in the record");
			if (refs[i] < 4)
				cr_expect(eq(u8, m->last_walk.ref[0].served, LEVEL_PSC));
		}
	}
}

Test(tlb, five_levels_use_the_pml5e_cache)
{
	struct mmu *m = r->m[0];
	rig_map(r, RIG_LONG5, 0x7f000000000000, 1, RIG_DATA, RWUAD);
	rig_map(r, RIG_LONG5, 0x7f008000000000, 1, RIG_DATA, RWUAD);
	rig_paging(m, RIG_LONG5, 0, 0, 0);
	probe(m, 0x7f000000000000);
	uint64_t before = m->stat[MMU_STAT_REF_GUEST];
	probe(m, 0x7f008000000000);
	cr_expect(eq(u64, m->stat[MMU_STAT_REF_GUEST] - before, 4));
}

/* 64 entries in 4 ways: 16 sets by the low bits of the page number; the least recently used way of the set goes. */
Test(tlb, l1_data_tlb_is_set_associative_lru)
{
	struct mmu *m = r->m[0];
	pages(r, 16 * 6, RWUAD);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	const uint64_t stride = 16 * 4096;      /* the same set */
	for (unsigned i = 0; i < 4; i++)
		probe(m, BASE + i * stride);
	uint64_t miss = m->stat[MMU_STAT_DTLB_MISS];
	for (unsigned i = 0; i < 4; i++)
		probe(m, BASE + i * stride);
	cr_expect(eq(u64, m->stat[MMU_STAT_DTLB_MISS] - miss, 0), "four ways hold four pages");
	probe(m, BASE + 0 * stride);            /* 1 is now the oldest */
	probe(m, BASE + 4 * stride);            /* takes its place */
	miss = m->stat[MMU_STAT_DTLB_MISS];
	probe(m, BASE + 0 * stride);
	probe(m, BASE + 2 * stride);
	probe(m, BASE + 3 * stride);
	probe(m, BASE + 4 * stride);
	cr_expect(eq(u64, m->stat[MMU_STAT_DTLB_MISS] - miss, 0));
	probe(m, BASE + 1 * stride);
	cr_expect(eq(u64, m->stat[MMU_STAT_DTLB_MISS] - miss, 1));
	for (unsigned i = 0; i < 16; i++)       /* other sets are other sets */
		probe(m, BASE + i * 4096);
}

/* A soft-TLB hit is a modelled hit: it must keep its entry young. */
Test(tlb, soft_hits_count_as_use)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	pages(r, 16 * 6, RWUAD);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	const uint64_t stride = 16 * 4096;
	for (unsigned i = 0; i < 4; i++)
		rig_load(m, BASE + i * stride, ACC_READ, &f);
	cr_assert(mmu_fast(m, BASE, 4, false) != NULL);
	rig_load(m, BASE + 4 * stride, ACC_READ, &f);
	cr_expect(mmu_fast(m, BASE, 4, false) != NULL, "page 0 was used after page 1");
	cr_expect(mmu_fast(m, BASE + 1 * stride, 4, false) == NULL, "page 1 left the modelled TLB, so the soft entry is gone");
	uint64_t miss = m->stat[MMU_STAT_DTLB_MISS];
	rig_load(m, BASE + 1 * stride, ACC_READ, &f);
	cr_expect(eq(u64, m->stat[MMU_STAT_DTLB_MISS] - miss, 1));
}

Test(tlb, second_level_holds_1536_pages_in_12_ways)
{
	struct mmu *m = r->m[0];
	pages(r, 1536 + 128 * 2, RWUAD);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	for (unsigned pass = 0; pass < 2; pass++) {
		uint64_t before = m->stat[MMU_STAT_WALK];
		for (unsigned i = 0; i < 1536; i++)
			probe(m, BASE + i * 4096ull);
		cr_expect(eq(u64, m->stat[MMU_STAT_WALK] - before, pass ? 0 : 1536));
	}
	/* thirteen pages of one set, round and round: LRU misses always */
	for (unsigned pass = 0; pass < 3; pass++)
		for (unsigned i = 0; i < 13; i++) {
			uint64_t w = walks(m, BASE + i * 128 * 4096ull);
			if (pass)
				cr_expect(eq(u64, w, 1), "pass %u page %u", pass, i);
		}
}

Test(tlb, large_pages_have_their_own_entries)
{
	struct mmu *m = r->m[0];
	for (unsigned i = 0; i < 16; i++)
		rig_map(r, RIG_LONG4, BASE + i * 0x200000ull, 2, 0x200000ull * i, RWUAD);
	rig_map(r, RIG_LONG4, BASE + 0x40000000, 3, 0, RWUAD);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	for (unsigned i = 0; i < 16; i++)
		cr_expect(eq(u64, walks(m, BASE + i * 0x200000ull), 1));
	for (unsigned i = 0; i < 16 * 512; i += 7)
		cr_expect(eq(u64, probe(m, BASE + i * 4096ull), 0));
	cr_expect(eq(u64, walks(m, BASE + 0x40000000), 1));
	cr_expect(eq(u64, probe(m, BASE + 0x7fffffff), 0));
	cr_expect(eq(u32, m->tlbs->live[DTLB_2M], 16));
	cr_expect(eq(u32, m->tlbs->live[DTLB_1G], 1));
	cr_expect(eq(u32, m->tlbs->live[DTLB_4K], 0));
	cr_expect(eq(u32, m->tlbs->live[STLB_4K], 16), "2 MB translations share the second level");
}

/* Many soft entries hang on one large-page entry: all go with it. */
Test(tlb, soft_entries_of_a_large_page_go_with_it)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	for (unsigned n = 1; n < 40; n += 3) {
		rig_map(r, RIG_LONG4, BASE, 2, RIG_DATA, RWUAD);
		rig_paging(m, RIG_LONG4, 0, 0, 0);
		for (unsigned i = 0; i < n; i++)
			rig_load(m, BASE + i * 4096ull, ACC_READ, &f);
		for (unsigned i = 0; i < n; i++)
			cr_assert(mmu_fast(m, BASE + i * 4096ull, 4, false) != NULL);
		mmu_invlpg(m, BASE + 0x1ff000);
		for (unsigned i = 0; i < n; i++)
			cr_expect(mmu_fast(m, BASE + i * 4096ull, 4, false) == NULL, "page %u of %u", i, n);
	}
}

/* "If the paging structures map the linear address using a page larger than 4 KBytes and there are multiple TLB entries
 * for that page, the instruction invalidates all of them." */
static void pieces(uint64_t dtlb_2m, uint64_t shared, unsigned level, enum rig_mode mode, uint64_t lin, uint64_t size)
{
	struct rig *s = calloc(1, sizeof *s);
	struct mmu_fault f;
	profile_defaults(&s->profile);
	s->profile.dtlb_1g = s->profile.stlb_1g = 0;
	s->profile.dtlb_2m = dtlb_2m;
	s->profile.itlb_2m = dtlb_2m;
	s->profile.stlb_2m_shared = shared;
	rig_start_with(s, 1);
	struct mmu *m = s->m[0];
	uint64_t at = rig_map(s, mode, lin, level, 0, RWUAD);
	rig_paging(m, mode, 0, CR4_PSE, 0);
	for (uint64_t off = 0; off < 16 << 20 && off < size; off += 0x100000) {
		rig_load(m, lin + off, ACC_READ, &f);
		hpa_t pa;
		cr_assert(eq(int, mmu_fetch(m, lin + off, &pa, &f), 0));
		cr_assert(eq(u64, pa.v, off));
	}
	uint64_t before = m->stat[MMU_STAT_WALK];
	rig_load(m, lin, ACC_READ, &f);
	cr_expect(eq(u64, m->stat[MMU_STAT_WALK], before));
	rig_put(s, mode, at, 0);
	mmu_invlpg(m, lin + size - 1);
	for (uint64_t off = 0; off < 16 << 20 && off < size; off += 0x100000) {
		hpa_t pa;
		rig_load(m, lin + off, ACC_READ, &f);
		cr_expect(eq(u32, f.kind, MMU_PF), "offset %#llx", (unsigned long long)off);
		cr_expect(eq(int, mmu_fetch(m, lin + off, &pa, &f), -1));
	}
	rig_free(s);
}
Test(tlb, pieces_of_a_1g_page_in_2m_entries) { pieces(32, 1, 3, RIG_LONG4, BASE, 1 << 30); }
Test(tlb, pieces_of_a_1g_page_in_4k_entries) { pieces(0, 1, 3, RIG_LONG4, BASE, 1 << 30); }
Test(tlb, pieces_of_a_2m_page_in_4k_entries) { pieces(0, 0, 2, RIG_LONG4, BASE, 2 << 20); }
Test(tlb, pieces_of_a_4m_page)               { pieces(32, 1, 2, RIG_LEGACY, 0xc0000000, 4 << 20); }

Test(tlb, fetches_use_the_instruction_tlb)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	hpa_t pa;
	pages(r, 2, RWUAD);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	probe(m, BASE);
	cr_assert(eq(int, mmu_fetch(m, BASE + 5, &pa, &f), 0));
	cr_expect(eq(u64, pa.v, RIG_DATA + 5));
	cr_expect(eq(u64, m->stat[MMU_STAT_ITLB_MISS], 1));
	cr_expect(eq(u64, m->stat[MMU_STAT_STLB_HIT], 1), "the second level is unified");
	cycle_t now = r->ledger[0].now;
	cr_assert(eq(int, mmu_fetch(m, BASE + 9, &pa, &f), 0));
	cr_expect(eq(u64, r->ledger[0].now, now));
	cr_expect(eq(u64, m->stat[MMU_STAT_ITLB_MISS], 1));
}

/* ---- invalidation ---- */

static void two_contexts(uint64_t flags)
{
	struct mmu *m = r->m[0];
	pages(r, 4, flags);
	rig_paging(m, RIG_LONG4, 0, CR4_PGE, 0);
	cr_assert(eq(int, mmu_set_paging(m, m->cr0, m->cr4 | CR4_PCIDE, m->efer), 0));
	mmu_set_cr3(m, RIG_ROOT | 1);
	probe(m, BASE);
	mmu_set_cr3(m, RIG_ROOT | 2 | CR3_KEEP);
	probe(m, BASE);
}

/* "...the instruction invalidates all TLB entries associated with PCID 000H except those for global pages." */
Test(tlb, mov_to_cr3_flushes_all_but_globals)
{
	struct mmu *m = r->m[0];
	pages(r, 2, RWUAD);
	rig_map(r, RIG_LONG4, BASE + 0x1000, 1, RIG_DATA, RWUAD | PTE_G);
	rig_paging(m, RIG_LONG4, 0, CR4_PGE, 0);
	probe(m, BASE);
	probe(m, BASE + 0x1000);
	mmu_set_cr3(m, RIG_ROOT);
	cr_expect(eq(u64, walks(m, BASE), 1));
	cr_expect(eq(u64, walks(m, BASE + 0x1000), 0));
	cr_expect(eq(u64, m->stat[MMU_STAT_FLUSH], 2), "paging on, CR3");
}

Test(tlb, without_pge_the_global_flag_is_ignored)
{
	struct mmu *m = r->m[0];
	pages(r, 1, RWUAD | PTE_G);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	probe(m, BASE);
	mmu_set_cr3(m, RIG_ROOT);
	cr_expect(eq(u64, walks(m, BASE), 1));
}

/* "If CR4.PGE changes: all TLB entries including global entries, for all PCIDs." */
Test(tlb, changing_pge_flushes_globals)
{
	struct mmu *m = r->m[0];
	pages(r, 1, RWUAD | PTE_G);
	rig_paging(m, RIG_LONG4, 0, CR4_PGE, 0);
	probe(m, BASE);
	mmu_set_paging(m, m->cr0, m->cr4 & ~CR4_PGE, m->efer);
	cr_expect(eq(u64, walks(m, BASE), 1));
}

Test(tlb, bit_63_of_cr3_keeps_the_pcid)
{
	struct mmu *m = r->m[0];
	two_contexts(RWUAD);
	cr_expect(eq(u64, m->stat[MMU_STAT_WALK], 2), "each PCID has its own");
	mmu_set_cr3(m, RIG_ROOT | 1 | CR3_KEEP);
	cr_expect(eq(u64, m->cr3, RIG_ROOT | 1), "bit 63 is not kept in CR3");
	cr_expect(eq(u64, walks(m, BASE), 0));
	mmu_set_cr3(m, RIG_ROOT | 2);
	cr_expect(eq(u64, walks(m, BASE), 1), "this PCID was flushed");
	mmu_set_cr3(m, RIG_ROOT | 1 | CR3_KEEP);
	cr_expect(eq(u64, walks(m, BASE), 0), "the other was not");
}

Test(tlb, globals_are_shared_by_all_pcids)
{
	struct mmu *m = r->m[0];
	two_contexts(RWUAD | PTE_G);
	cr_expect(eq(u64, m->stat[MMU_STAT_WALK], 1));
	mmu_invlpg(m, BASE);
	cr_expect(eq(u64, walks(m, BASE), 1), "INVLPG takes global entries too");
}

Test(tlb, invlpg_takes_one_page_of_the_current_pcid_and_all_its_structure_cache)
{
	struct mmu *m = r->m[0];
	two_contexts(RWUAD);
	probe(m, BASE + 0x1000);
	mmu_invlpg(m, BASE);
	cr_expect(eq(u64, walks(m, BASE + 0x1000), 0));
	uint64_t refs = m->stat[MMU_STAT_REF_GUEST];
	cr_expect(eq(u64, walks(m, BASE), 1));
	cr_expect(eq(u64, m->stat[MMU_STAT_REF_GUEST] - refs, 4));
	mmu_set_cr3(m, RIG_ROOT | 1 | CR3_KEEP);
	cr_expect(eq(u64, walks(m, BASE), 0));
	refs = m->stat[MMU_STAT_REF_GUEST];
	cr_expect(eq(u64, walks(m, BASE + 0x2000), 1));
	cr_expect(eq(u64, m->stat[MMU_STAT_REF_GUEST] - refs, 1), "PCID 1's structure caches stayed");
}

Test(tlb, invpcid_types)
{
	struct mmu *m = r->m[0];
	rig_map(r, RIG_LONG4, BASE + 0x3000, 1, RIG_DATA, RWUAD);
	static const struct { enum invpcid_type type; unsigned pcid; uint64_t walk_1, walk_2, walk_global; } row[] = {
		{ INVPCID_ADDRESS,    1, 1, 0, 0 },
		{ INVPCID_ADDRESS,    2, 0, 1, 0 },
		{ INVPCID_CONTEXT,    1, 1, 0, 0 },
		{ INVPCID_ALL_GLOBAL, 0, 1, 1, 1 },
		{ INVPCID_ALL,        0, 1, 1, 0 },
	};
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		two_contexts(RWUAD);
		rig_map(r, RIG_LONG4, BASE + 0x3000, 1, RIG_DATA, RWUAD | PTE_G);
		probe(m, BASE + 0x3000);
		mmu_invpcid(m, row[i].type, row[i].pcid, BASE);
		if (row[i].type == INVPCID_ADDRESS)
			mmu_invpcid(m, row[i].type, row[i].pcid, BASE + 0x3000);        /* "except global translations" */
		cr_expect(eq(u64, walks(m, BASE + 0x3000), row[i].walk_global), "row %u, global", i);
		cr_expect(eq(u64, walks(m, BASE), row[i].walk_2), "row %u, PCID 2", i);
		mmu_set_cr3(m, RIG_ROOT | 1 | CR3_KEEP);
		cr_expect(eq(u64, walks(m, BASE), row[i].walk_1), "row %u, PCID 1", i);
		mmu_flush_all(m);
		mmu_set_cr3(m, RIG_ROOT);
		mmu_set_paging(m, m->cr0, m->cr4 & ~CR4_PCIDE, m->efer);
	}
}

/* "A page-fault exception ... will invalidate any TLB entries that are for a page number corresponding to that linear
 * address": and before that, a denied access is looked up again in memory. */
Test(tlb, a_right_granted_without_invalidation_is_seen)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	uint64_t at = rig_map(r, RIG_LONG4, BASE, 1, RIG_DATA, PTE_P | PTE_US | PTE_A);
	uint64_t pde = rig_entry(r, RIG_LONG4, RIG_ROOT, BASE, 2);
	rig_put(r, RIG_LONG4, pde, rig_get(r, RIG_LONG4, pde) & ~PTE_RW);
	rig_paging(m, RIG_LONG4, CR0_WP, 0, 0);
	probe(m, BASE);
	/* both the TLB entry and the PDE's cached copy deny writes; memory does not any more */
	rig_put(r, RIG_LONG4, at, RIG_DATA | RWUAD);
	rig_put(r, RIG_LONG4, pde, rig_get(r, RIG_LONG4, pde) | PTE_RW);
	cr_expect(eq(int, mmu_probe(m, BASE, 1, ACC_WRITE, &f), 0));
	cr_expect(eq(u64, m->stat[MMU_STAT_PAGE_FAULT], 0));
}

/* The structure caches alone (no TLB entry) must not cause a spurious fault either. */
Test(tlb, a_stale_structure_cache_causes_no_fault)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	pages(r, 2, RWUAD);
	uint64_t pde = rig_entry(r, RIG_LONG4, RIG_ROOT, BASE, 2);
	rig_put(r, RIG_LONG4, pde, rig_get(r, RIG_LONG4, pde) & ~PTE_US);
	rig_paging(m, RIG_LONG4, CR0_WP, 0, 0);
	probe(m, BASE);
	rig_put(r, RIG_LONG4, pde, rig_get(r, RIG_LONG4, pde) | PTE_US);
	cr_expect(eq(int, mmu_probe(m, BASE + 0x1000, 1, ACC_READ | ACC_USER, &f), 0));
	cr_expect(eq(u32, m->last_walk.n, 4));
}

Test(tlb, a_fault_drops_the_entries_of_its_address)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	pages(r, 2, PTE_P | PTE_US | PTE_A);
	rig_paging(m, RIG_LONG4, CR0_WP, 0, 0);
	probe(m, BASE);
	probe(m, BASE + 0x1000);
	cr_assert(eq(int, mmu_probe(m, BASE, 1, ACC_WRITE, &f), -1));
	cr_expect(eq(u32, f.error_code, PFEC_P | PFEC_WR));
	cr_expect(eq(u64, m->stat[MMU_STAT_PAGE_FAULT], 1));
	cr_expect(eq(u64, walks(m, BASE), 1));
	cr_expect(eq(u64, walks(m, BASE + 0x1000), 0));
}

/* "...a processor may set the dirty flag only in the structures: a write through an entry not known dirty walks again." */
Test(tlb, the_first_write_walks_to_set_the_dirty_flag)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	uint64_t at = rig_map(r, RIG_LONG4, BASE, 1, RIG_DATA, RWU);
	uint32_t v = 1;
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	rig_load(m, BASE, ACC_READ, &f);
	cr_expect(eq(u64, rig_get(r, RIG_LONG4, at), RIG_DATA | RWU | PTE_A));
	cr_expect(eq(u64, m->stat[MMU_STAT_AD_UPDATE], 4), "one per level");
	cr_expect(eq(u64, r->ledger[0].spent[0][WHY_WALK_AD], 4 * 600));
	cr_expect(mmu_fast(m, BASE, 4, true) == NULL);
	cr_assert(eq(int, mmu_write(m, BASE, &v, 4, ACC_WRITE, &f), 0));
	cr_expect(eq(u64, rig_get(r, RIG_LONG4, at), RIG_DATA | RWU | PTE_A | PTE_D));
	cr_expect(eq(u64, m->stat[MMU_STAT_AD_UPDATE], 5));
	cr_expect(mmu_fast(m, BASE, 4, true) != NULL);
	cr_expect(eq(u32, m->tlbs->live[DTLB_4K], 1), "the entry was replaced, not doubled");
}

Test(tlb, geometry_that_does_not_divide_is_refused)
{
	struct err e = { "" };
	struct profile p;
	profile_defaults(&p);
	p.dtlb_4k = 65;
	cr_assert(tlb_new(&p, &e) == NULL);
	cr_expect(eq(str, e.text, "dtlb.4k = 65: its 4 ways do not divide it"));
	e.text[0] = 0;
	profile_defaults(&p);
	p.dtlb_4k = 4096;
	cr_assert(tlb_new(&p, &e) == NULL);
	cr_expect(eq(str, e.text, "dtlb.4k + dtlb.2m + dtlb.1g = 4132 entries: expected at most 3967"));
}

/* An array's entries one by one. */
static uint32_t search(const struct tlb_set *t, enum tlb_id id, uint64_t tag, uint64_t context)
{
	const struct tlb_array *a = &t->array[id];
	for (uint32_t i = a->base; i < a->base + a->sets * a->ways; i++)
		if (t->tag[i] == tag && t->context[i] == context)
			return i;
	return 0;
}

/* Fully associative arrays are found in by a hash: whatever was written, killed and restored, as a search of all entries has it. */
Test(tlb, hashed_arrays_hold_what_a_search_finds)
{
	static const enum tlb_id ids[] = { PSC_PDE, NESTED, EPT_PDE, EPT_PDPTE };
	struct err e = { "" };
	struct profile p;
	struct rng rng;
	profile_defaults(&p);
	struct tlb_set *t = tlb_new(&p, &e);
	cr_assert(t != NULL, "%s", e.text);
	rng_init(&rng, 1, "hashed");
	unsigned hits = 0, misses = 0;
	for (unsigned i = 0; i < 200000; i++) {
		const enum tlb_id id = ids[rng_below(&rng, ARRAY_LEN(ids))];
		const enum tlb_size size = id == NESTED ? (enum tlb_size)rng_below(&rng, 3) : SIZE_PSC;
		const unsigned shift = id == NESTED ? (const uint8_t[]){ 12, 21, 30 }[size] : t->array[id].shift, pcid = (unsigned)rng_below(&rng, 2);
		/* few pages, some of which share their hash; few contexts */
		const uint64_t lin = (rng_below(&rng, 12) + (rng_below(&rng, 3) << 6)) << shift, context = rng_below(&rng, 2) << 16;
		const uint64_t tag = tlb_tag(lin, shift, size, pcid, false);
		const uint32_t want = search(t, id, tag, context), found = tlb_find(t, id, lin, shift, size, pcid, context);
		cr_assert(eq(u32, found, want));
		hits += found != 0;
		misses += !found;
		switch (rng_below(&rng, 40)) {
		case 0:
			tlb_kill_if(t, id, 0, 0, ~0ull, context);
			break;
		case 1:
			tlb_restored(t);
			break;
		case 2: case 3: case 4: case 5:
			if (found)
				tlb_kill(t, id, found);
			break;
		default:
			if (!found)
				tlb_write(t, id, tlb_victim(t, id, lin, shift), tag, context, rng_u64(&rng));
			else
				tlb_use(t, found);
		}
	}
	cr_expect(lt(uint, 20000, hits));
	cr_expect(lt(uint, 20000, misses));
	tlb_free(t);
}
