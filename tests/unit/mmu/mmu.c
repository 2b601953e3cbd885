/* Accesses: bytes, pages, devices, registers, snapshots. */
#include "tests/unit/mmu/rig.h"

static struct rig *r;
static void start(void) { r = rig_new(2); }
static void stop(void) { rig_free(r); }
TestSuite(mmu, .init = start, .fini = stop);

#define BASE 0x7f0000000000ull

/* ---- bytes ---- */

Test(mmu, an_access_may_cross_pages_that_are_not_neighbours)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	uint8_t buf[64], back[64];
	rig_map(r, RIG_LONG4, BASE, 1, RIG_DATA + 0x5000, RWUAD);
	rig_map(r, RIG_LONG4, BASE + 0x1000, 1, RIG_DATA, RWUAD);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	for (unsigned size = 1; size <= 64; size++) {
		for (unsigned i = 0; i < size; i++)
			buf[i] = (uint8_t)(size + i);
		uint64_t lin = BASE + 0x1000 - size / 2;
		cr_assert(eq(int, mmu_write(m, lin, buf, size, ACC_WRITE, &f), 0));
		cr_assert(eq(int, mmu_read(m, lin, back, size, ACC_READ, &f), 0));
		cr_expect(eq(int, memcmp(buf, back, size), 0), "size %u", size);
		uint8_t direct[64];
		mem_peek(&r->mem, HPA(RIG_DATA + 0x6000 - size / 2), direct, size / 2);
		mem_peek(&r->mem, HPA(RIG_DATA), direct + size / 2, size - size / 2);
		cr_expect(eq(int, memcmp(buf, direct, size), 0), "size %u", size);
	}
}

/* "0, or -1 with *f filled and nothing changed": the second page faults, the first is not written. */
Test(mmu, a_fault_on_the_second_page_writes_nothing)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	uint64_t v = ~0ull;
	rig_map(r, RIG_LONG4, BASE, 1, RIG_DATA, RWUAD);
	rig_map(r, RIG_LONG4, BASE + 0x1000, 1, RIG_DATA + 0x1000, PTE_P | PTE_US);
	rig_paging(m, RIG_LONG4, CR0_WP, 0, 0);
	cr_assert(eq(int, mmu_write(m, BASE + 0xffd, &v, 8, ACC_WRITE | ACC_USER, &f), -1));
	cr_expect(eq(u32, f.kind, MMU_PF));
	cr_expect(eq(u32, f.error_code, PFEC_P | PFEC_WR | PFEC_US));
	cr_expect(eq(u64, f.lin, BASE + 0x1000), "the first byte that faulted");
	cr_expect(eq(u64, mem_read64(&r->mem, HPA(RIG_DATA + 0xff8)), 0));
}

/* A 32-bit linear address space wraps around. */
Test(mmu, the_last_byte_of_4g_is_followed_by_the_first)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	rig_map(r, RIG_LEGACY, 0xfffff000, 1, RIG_DATA, RWUAD);
	rig_map(r, RIG_LEGACY, 0, 1, RIG_DATA + 0x1000, RWUAD);
	mem_write32(&r->mem, HPA(RIG_DATA + 0xffc), 0x44332211);
	mem_write32(&r->mem, HPA(RIG_DATA + 0x1000), 0x88776655);
	rig_paging(m, RIG_LEGACY, 0, 0, 0);
	cr_expect(eq(u32, rig_load(m, 0xfffffffe, ACC_READ, &f), 0x66554433));
}

/* One entry of L1 data TLB: the second page of an access evicts the first one's entry before the soft TLB is filled. */
Test(mmu, a_page_evicted_by_its_own_access_leaves_no_soft_entry)
{
	struct rig *s = calloc(1, sizeof *s);
	struct mmu_fault f;
	profile_defaults(&s->profile);
	s->profile.dtlb_4k = s->profile.dtlb_4k_ways = 1;
	rig_start_with(s, 1);
	struct mmu *m = s->m[0];
	rig_map(s, RIG_LONG4, BASE, 1, RIG_DATA, RWUAD);
	rig_map(s, RIG_LONG4, BASE + 0x1000, 1, RIG_DATA + 0x1000, RWUAD);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	rig_load(m, BASE + 0xffe, ACC_READ, &f);
	cr_expect(mmu_fast(m, BASE, 4, false) == NULL);
	cr_expect(mmu_fast(m, BASE + 0x1000, 4, false) != NULL);
	rig_free(s);
}

Test(mmu, with_paging_off_linear_is_physical)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	uint32_t v = 0x12345678;
	mmu_set_cpl(m, true, false, false);
	cr_assert(eq(int, mmu_write(m, 0x5000, &v, 4, ACC_WRITE | ACC_USER, &f), 0));
	cr_expect(eq(u32, mem_read32(&r->mem, HPA(0x5000)), v));
	uint32_t *p = mmu_fast(m, 0x5000, 4, true);
	cr_assert(p != NULL);
	cr_expect(eq(u32, *p, v));
	cr_expect(eq(u64, m->stat[MMU_STAT_DTLB_MISS], 0));
	hpa_t pa;
	cr_assert(eq(int, mmu_fetch(m, 0x7c00, &pa, &f), 0));
	cr_expect(eq(u64, pa.v, 0x7c00));
}

Test(mmu, a_probe_needs_the_right_and_touches_no_byte)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	uint64_t at = rig_map(r, RIG_LONG4, BASE, 1, RIG_DATA, RWU);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	cr_assert(eq(int, mmu_probe(m, BASE, 4, ACC_READ | ACC_RMW, &f), 0));
	cr_expect(eq(u64, rig_get(r, RIG_LONG4, at) & (PTE_A | PTE_D), PTE_A | PTE_D), "as the access would set them");
	cr_expect(eq(u64, m->stat[MMU_STAT_L1D_MISS], 0));
	rig_put(r, RIG_LONG4, at, RIG_DATA | PTE_P);
	mmu_invlpg(m, BASE);
	cr_assert(eq(int, mmu_probe(m, BASE, 4, ACC_READ | ACC_RMW | ACC_USER, &f), -1));
	cr_expect(eq(u32, f.error_code, PFEC_P | PFEC_WR | PFEC_US));
}

/* ---- the soft TLB in force ---- */

/* SMAP: a supervisor may touch a user page only with EFLAGS.AC set, and never implicitly. */
Test(mmu, views_are_kept_apart)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	rig_map(r, RIG_LONG4, BASE, 1, RIG_DATA, RWUAD);
	rig_map(r, RIG_LONG4, BASE + 0x1000, 1, RIG_DATA, RWUAD & ~PTE_US);
	rig_paging(m, RIG_LONG4, 0, CR4_SMAP, 0);
	mmu_set_cpl(m, false, true, false);
	rig_load(m, BASE, ACC_READ, &f);
	cr_expect(mmu_fast(m, BASE, 4, false) != NULL);
	mmu_set_cpl(m, false, false, false);
	cr_expect(mmu_fast(m, BASE, 4, false) == NULL);
	rig_load(m, BASE, ACC_READ, &f);
	cr_expect(eq(u32, f.error_code, PFEC_P));
	mmu_set_cpl(m, false, true, false);
	rig_load(m, BASE, ACC_READ | ACC_IMPLICIT, &f);
	cr_expect(eq(u32, f.kind, MMU_PF), "AC does not lift it for implicit accesses");
	rig_load(m, BASE + 0x1000, ACC_READ, &f);
	mmu_set_cpl(m, true, false, false);
	cr_expect(mmu_fast(m, BASE + 0x1000, 4, false) == NULL, "a supervisor page stays one");
	rig_load(m, BASE, ACC_READ | ACC_USER, &f);
	cr_expect(mmu_fast(m, BASE, 4, true) != NULL);
	mmu_set_cpl(m, true, true, true);
	cr_expect(mmu_fast(m, BASE, 4, false) == NULL, "alignment is checked the slow way");
	cr_expect(eq(u32, rig_load(m, BASE, ACC_READ | ACC_USER, &f), 0));
	cr_expect(mmu_fast(m, BASE, 4, false) == NULL);
}

Test(mmu, permission_changes_drop_the_soft_tlb)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	uint32_t v = 1;
	rig_map(r, RIG_LONG4, BASE, 1, RIG_DATA, (RWUAD & ~PTE_RW) | 1ull << 59);
	rig_paging(m, RIG_LONG4, 0, CR4_PKE, 0);
	cr_assert(eq(int, mmu_write(m, BASE, &v, 4, ACC_WRITE, &f), 0), "supervisor, WP = 0");
	cr_assert(mmu_fast(m, BASE, 4, true) != NULL);
	uint64_t walks = m->stat[MMU_STAT_WALK];
	mmu_set_paging(m, m->cr0 | CR0_WP, m->cr4, m->efer);
	cr_expect(mmu_fast(m, BASE, 4, true) == NULL);
	rig_load(m, BASE, ACC_READ, &f);
	cr_expect(eq(u64, m->stat[MMU_STAT_WALK], walks), "the modelled TLB keeps it: WP flushes nothing");
	cr_assert(mmu_fast(m, BASE, 4, false) != NULL);
	mmu_set_pkru(m, 1 << 2);
	cr_expect(mmu_fast(m, BASE, 4, false) == NULL);
	rig_load(m, BASE, ACC_READ, &f);
	cr_expect(eq(u32, f.error_code, PFEC_P | PFEC_PK));
	mmu_set_pkru(m, 0);
	mmu_set_paging(m, m->cr0, m->cr4 | CR4_SMAP, m->efer);
	cr_expect(mmu_fast(m, BASE, 4, false) == NULL);
}

/* Pages with PAGE_CODE, PAGE_WATCH or RAM_CLEAN are never written through a cached pointer. */
static unsigned told;
static void on_code(void *who, hpa_t pa, unsigned len) { (void)who, (void)pa, (void)len; told++; }
static void on_drop(void *who, hpa_t page) { struct rig *s = who; mmu_drop_writable(s->m[0], page); mmu_drop_writable(s->m[1], page); }
Test(mmu, pages_with_decoded_code_are_written_the_slow_way)
{
	struct mmu_fault f;
	uint32_t v = 1;
	r->mem.code_written = on_code;
	r->mem.drop_writable = on_drop;
	r->mem.who = r;
	for (unsigned i = 0; i < 2; i++)
		mmu_write(r->m[i], 0x5000, &v, 4, ACC_WRITE, &f);
	cr_assert(mmu_fast(r->m[1], 0x5000, 4, true) != NULL);
	mem_flag_set(&r->mem, HPA(0x5000), PAGE_CODE);
	for (unsigned i = 0; i < 2; i++) {
		cr_expect(mmu_fast(r->m[i], 0x5000, 4, true) == NULL);
		cr_expect(mmu_fast(r->m[i], 0x5000, 4, false) != NULL, "reading is harmless");
		mmu_write(r->m[i], 0x5000, &v, 4, ACC_WRITE, &f);
		cr_expect(eq(u32, told, i + 1));
		cr_expect(mmu_fast(r->m[i], 0x5000, 4, true) == NULL);
	}
	*mem_flags(&r->mem, HPA(0x5000)) = PAGE_WATCH;
	mmu_write(r->m[0], 0x5000, &v, 4, ACC_WRITE, &f);
	cr_expect(mmu_fast(r->m[0], 0x5000, 4, true) == NULL);
	*mem_flags(&r->mem, HPA(0x5000)) = 0;
	mmu_write(r->m[0], 0x5000, &v, 4, ACC_WRITE, &f);
	cr_expect(mmu_fast(r->m[0], 0x5000, 4, true) != NULL);
	cr_expect(eq(u32, told, 2));
}

/* The walker's accessed and dirty flags are writes too. */
Test(mmu, flags_set_in_a_page_with_code_are_reported)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	r->mem.code_written = on_code;
	uint64_t at = rig_map(r, RIG_LONG4, BASE, 1, RIG_DATA, RWU);
	mem_flag_set(&r->mem, HPA(at), PAGE_CODE);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	rig_load(m, BASE, ACC_READ, &f);
	cr_expect(eq(u32, told, 1));
}

/* 4095 generations, then the tables are really emptied. */
Test(mmu, generations_come_round)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	rig_map(r, RIG_LONG4, BASE, 2, RIG_DATA, RWUAD);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	for (unsigned i = 0; i < 10000; i++) {
		cr_assert(mmu_fast(m, BASE + 0x1000 * (i & 7), 4, false) == NULL, "generation %u", i);
		rig_load(m, BASE + 0x1000 * (i & 7), ACC_READ, &f);
		cr_assert(mmu_fast(m, BASE + 0x1000 * (i & 7), 4, false) != NULL);
		mmu_drop_soft(m);
	}
	cr_expect(lt(u64, m->generation, 4095));
}

/* ---- devices ---- */

static struct { uint64_t addr, val; unsigned size, write; } seen[32];
static unsigned seen_n;
static struct io_at seen_at;
static uint64_t dev_read(void *who, uint64_t addr, unsigned size, struct io_at *at)
{
	(void)who;
	seen_at = *at;
	at->cost = 100;
	seen[seen_n].addr = addr, seen[seen_n].size = size, seen[seen_n++].write = 0;
	return 0x1122334455667788ull >> 8 * (addr & 7);
}
static void dev_write(void *who, uint64_t addr, unsigned size, uint64_t val, struct io_at *at)
{
	(void)who;
	at->cost = 50;
	seen[seen_n].addr = addr, seen[seen_n].size = size, seen[seen_n].val = val, seen[seen_n++].write = 1;
}

Test(mmu, devices_see_aligned_pieces)
{
	struct mmu *m = r->m[1];
	struct mmu_fault f;
	static const struct { unsigned off, size, n; unsigned piece[5]; } row[] = {
		{ 0, 1, 1, { 1 } }, { 2, 2, 1, { 2 } }, { 4, 4, 1, { 4 } }, { 8, 8, 1, { 8 } },
		{ 1, 2, 2, { 1, 1 } }, { 2, 4, 2, { 2, 2 } }, { 1, 4, 3, { 1, 2, 1 } }, { 3, 8, 4, { 1, 4, 2, 1 } }, { 0, 16, 2, { 8, 8 } },
	};
	r->mem.mmio = (struct io_wire){ dev_read, dev_write, NULL };
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		uint8_t buf[16], want[16];
		for (unsigned k = 0; k < 16; k++)
			want[k] = (uint8_t)(0x88 - 0x11 * ((row[i].off + k) & 7));
		for (unsigned write = 0; write < 2; write++) {
			seen_n = 0;
			cycle_t before = r->ledger[1].spent[0][WHY_IO];
			int got = write ? mmu_write(m, 0xb8000 + row[i].off, want, row[i].size, ACC_WRITE, &f)
			                : mmu_read(m, 0xb8000 + row[i].off, buf, row[i].size, ACC_READ, &f);
			cr_assert(eq(int, got, 0));
			cr_assert(eq(u32, seen_n, row[i].n), "row %zu", i);
			uint64_t at = 0xb8000 + row[i].off;
			for (unsigned k = 0; k < seen_n; k++) {
				cr_expect(eq(u64, seen[k].addr, at), "row %zu", i);
				cr_expect(eq(u32, seen[k].size, row[i].piece[k]), "row %zu", i);
				if (write)
					cr_expect(eq(u64, seen[k].val, 0x1122334455667788ull >> 8 * (at & 7) & MASK(8 * seen[k].size)), "row %zu", i);
				at += seen[k].size;
			}
			if (!write)
				cr_expect(eq(int, memcmp(buf, want, row[i].size), 0), "row %zu", i);
			cr_expect(eq(u64, r->ledger[1].spent[0][WHY_IO] - before, row[i].n * (write ? 50 : 100)));
		}
	}
	cr_expect(eq(u32, seen_at.cpu, 1));
	cr_expect(mmu_fast(m, 0xb8000, 4, false) == NULL, "a device is never in the soft TLB");
	cr_expect(eq(u64, m->stat[MMU_STAT_L1D_MISS], 0));
}

Test(mmu, nobody_there_reads_as_ones)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	uint32_t v = 0;
	cr_expect(eq(u32, rig_load(m, 0xfee00000, ACC_READ, &f), 0xffffffff));
	cr_expect(eq(int, mmu_write(m, 0xfee00000, &v, 4, ACC_WRITE, &f), 0));
}

Test(mmu, an_access_may_be_half_ram_half_device)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	r->mem.mmio = (struct io_wire){ dev_read, dev_write, NULL };
	mem_write32(&r->mem, HPA(0x9fffc), 0xddccbbaa);
	cr_expect(eq(u32, rig_load(m, 0x9fffe, ACC_READ, &f), 0x7788ddcc));
}

/* ---- registers ---- */

/* "...if any of the PDPTEs sets both the P flag and any reserved bit, the MOV causes a #GP(0)": and nothing changed. */
Test(mmu, bad_pdptes_are_refused)
{
	struct mmu *m = r->m[0];
	static const unsigned bit[] = { 1, 2, 5, 6, 7, 8, 46, 52, 63 };
	rig_map(r, RIG_PAE, 0x400000, 1, RIG_DATA, RWUAD);
	rig_paging(m, RIG_PAE, 0, 0, EFER_NXE);
	uint64_t old = m->cr3, pdpte = m->pdpte[0], now = r->ledger[0].now;
	for (unsigned i = 0; i < ARRAY_LEN(bit); i++) {
		uint64_t root = RIG_DATA + 0x10000 + i * 32;
		mem_write64(&r->mem, HPA(root + 24), PTE_P | BIT(bit[i]));
		cr_expect(eq(int, mmu_set_cr3(m, root), -1), "bit %u", bit[i]);
		cr_expect(eq(u64, m->cr3, old));
		cr_expect(eq(u64, m->pdpte[0], pdpte));
		cr_expect(eq(u64, r->ledger[0].now, now));
		mem_write64(&r->mem, HPA(root + 24), BIT(bit[i]));
		cr_expect(eq(int, mmu_set_cr3(m, root), 0), "not present: anything goes");
		mmu_set_cr3(m, old);
		now = r->ledger[0].now;
	}
}

/* PAE: the PDPTEs are registers. Memory may change under them until CR3 or a listed control bit is written. */
Test(mmu, pdptes_are_loaded_when_the_sdm_says_so)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	rig_map(r, RIG_PAE, 0x400000, 1, RIG_DATA, RWUAD);
	rig_paging(m, RIG_PAE, 0, 0, 0);
	uint64_t good = mem_read64(&r->mem, HPA(RIG_ROOT));
	mem_write64(&r->mem, HPA(RIG_ROOT), 0);
	mmu_flush_all(m);
	cr_expect(eq(int, mmu_probe(m, 0x400000, 1, ACC_READ, &f), 0));
	mmu_set_paging(m, m->cr0 | CR0_WP, m->cr4 | CR4_SMAP, m->efer);
	cr_expect(eq(u64, m->pdpte[0], good), "WP and SMAP are not listed");
	static const uint64_t listed[] = { CR4_PGE, CR4_PSE, CR4_SMEP };
	for (unsigned i = 0; i < 3; i++) {
		mem_write64(&r->mem, HPA(RIG_ROOT), good);
		mmu_set_cr3(m, RIG_ROOT);
		mem_write64(&r->mem, HPA(RIG_ROOT), 0);
		mmu_set_paging(m, m->cr0, m->cr4 ^ listed[i], m->efer);
		cr_expect(eq(u64, m->pdpte[0], 0), "bit %u", i);
	}
	cr_expect(eq(int, mmu_probe(m, 0x400000, 1, ACC_READ, &f), -1));
	cr_expect(eq(u32, f.error_code, 0));
	mem_write64(&r->mem, HPA(RIG_ROOT), PTE_P | BIT(1));
	cr_expect(eq(int, mmu_set_paging(m, m->cr0, m->cr4 ^ CR4_PGE, m->efer), -1));
}

/* A mode change leaves nothing of the old mode's translations. */
Test(mmu, switching_modes_flushes)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	rig_map(r, RIG_LEGACY, 0x400000, 1, RIG_DATA, RWUAD | PTE_G);
	mem_write32(&r->mem, HPA(RIG_DATA), 0x1111);
	mem_write32(&r->mem, HPA(0x400000), 0x2222);
	rig_paging(m, RIG_LEGACY, 0, CR4_PGE, 0);
	cr_expect(eq(u32, rig_load(m, 0x400000, ACC_READ, &f), 0x1111));
	mmu_set_paging(m, m->cr0 & ~CR0_PG, m->cr4, m->efer);
	cr_expect(eq(u32, rig_load(m, 0x400000, ACC_READ, &f), 0x2222));
	mmu_set_paging(m, m->cr0 | CR0_PG, m->cr4, m->efer);
	cr_expect(eq(u32, rig_load(m, 0x400000, ACC_READ, &f), 0x1111));
	uint64_t walks = m->stat[MMU_STAT_WALK];
	cr_expect(eq(u64, walks, 2), "the global entry did not outlive PG");
}

Test(mmu, epoch_moves_with_translations)
{
	struct mmu *m = r->m[0];
	rig_map(r, RIG_LONG4, BASE, 1, RIG_DATA, RWUAD);
	uint64_t e = m->epoch;
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	cr_expect(lt(u64, e, m->epoch));
	e = m->epoch;
	mmu_set_cr3(m, RIG_ROOT);
	cr_expect(lt(u64, e, m->epoch));
	e = m->epoch;
	mmu_invlpg(m, BASE);
	cr_expect(eq(u64, m->epoch, e), "no code was fetched there");
	struct mmu_fault f;
	hpa_t pa;
	cr_assert(eq(int, mmu_fetch(m, BASE, &pa, &f), 0));
	cr_expect(eq(u64, m->epoch, e));
	mmu_invlpg(m, BASE + 0x123);
	cr_expect(lt(u64, e, m->epoch));
	e = m->epoch;
	mmu_invpcid(m, INVPCID_ADDRESS, 0, BASE);
	cr_expect(lt(u64, e, m->epoch), "links may outlive TLB entries");
	e = m->epoch;
	rig_map(r, RIG_LONG4, BASE + 0x200000, 2, 0, RWUAD);
	cr_assert(eq(int, mmu_fetch(m, BASE + 0x201000, &pa, &f), 0));
	mmu_invlpg(m, BASE + 0x3ff000);
	cr_expect(lt(u64, e, m->epoch), "the same large page");
	e = m->epoch;
	mmu_set_cpl(m, true, false, false);
	cr_expect(eq(u64, m->epoch, e), "another privilege level is another block");
}

/* ---- speeds ---- */

Test(mmu, fast_speed_spends_no_time)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	hpa_t pa;
	uint32_t v = 3;
	mmu_set_detailed(m, false);
	for (unsigned i = 0; i < 2000; i++)
		rig_map(r, RIG_LONG4, BASE + i * 4096ull, 1, RIG_DATA + i * 4096ull, RWU);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	for (unsigned i = 0; i < 2000; i++) {
		cr_assert(eq(int, mmu_write(m, BASE + i * 4096ull, &v, 4, ACC_WRITE, &f), 0));
		cr_assert(eq(int, mmu_fetch(m, BASE + i * 4096ull, &pa, &f), 0));
		mmu_fetch_touch(m, pa.v >> 6);
	}
	cr_expect(eq(u64, r->ledger[0].now, 0));
	cr_expect(eq(u64, m->stat[MMU_STAT_WALK], 4000));
	cr_expect(eq(u64, m->stat[MMU_STAT_AD_UPDATE], 2000 + 4 + 1 + 1), "one a leaf, one each for four PDEs, a PDPTE, a PML4E");
	mmu_set_detailed(m, true);
	cr_expect(mmu_fast(m, BASE + 1999 * 4096ull, 4, true) == NULL, "changing speed drops everything");
}

/* ---- state ---- */

/* A restored MMU goes on as the first time did: same results, same cycles, same state. */
Test(mmu, a_snapshot_holds_all_that_timing_depends_on)
{
	struct mmu *m = r->m[0];
	struct snaps *s = snaps_new();
	struct rng g;
	struct mmu_fault f;
	cycle_t end[2];
	uint64_t hash[2];
	r->mem.snaps = s;
	for (unsigned i = 0; i < 300; i++)
		rig_map(r, RIG_LONG4, BASE + i * 4096ull, 1, RIG_DATA + i * 4096ull, RWU);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	snaps_section(s, "ledger", 1, &r->ledger[0], sizeof r->ledger[0]);
	mmu_sections(m, s);
	caches_sections(r->caches, s);
	struct snap_ram ram = { r->mem.ram, r->mem.ram_size, r->mem.flags };
	snaps_ram(s, &ram);
	struct snap *sn = NULL;
	for (unsigned pass = 0; pass < 2; pass++) {
		rng_init(&g, 9, "snap");
		for (unsigned i = 0; i < 20000; i++) {
			uint64_t lin = BASE + rng_below(&g, 300) * 4096 + rng_below(&g, 1024) * 4;
			uint32_t v = (uint32_t)rng_u64(&g);
			bool write = rng_below(&g, 2);
			if (i == 5000) {
				if (pass == 0) {
					sn = snap_take(s, "here");
					mmu_drop_soft(m);
				} else {
					snap_restore(s, sn);
					mmu_restored(m);
				}
			}
			void *p = mmu_fast(m, lin, 4, write);
			if (p && write)
				memcpy(p, &v, 4);
			else if (!p)
				write ? mmu_write(m, lin, &v, 4, ACC_WRITE, &f) : mmu_read(m, lin, &v, 4, ACC_READ, &f);
		}
		end[pass] = r->ledger[0].now;
		hash[pass] = snaps_hash(s);
	}
	cr_expect(eq(u64, end[0], end[1]));
	cr_expect(eq(u64, hash[0], hash[1]));
	snaps_free(s);
}

Test(mmu, every_cycle_has_an_owner)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	for (unsigned i = 0; i < 3000; i++)
		rig_map(r, RIG_LONG4, BASE + i * 4096ull, 1, RIG_DATA + i * 4096ull, RWU);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	for (unsigned i = 0; i < 9000; i++) {
		rig_load(m, BASE + i * 7 % 3000 * 4096ull + i % 1000 * 4, i & 1 ? ACC_READ : ACC_RMW, &f);
		cr_assert(ledger_audit(&r->ledger[0]));
	}
	cr_expect(lt(u64, 0, r->ledger[0].now));
}

/* ---- the trace ---- */

static struct trace_record got[64];
static unsigned got_n;
static void sink(void *who, const struct trace_record *t) { (void)who; if (got_n < 64) got[got_n++] = *t; }
Test(mmu, a_walk_is_told_reference_by_reference)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	struct err e = { "" };
	char line[256];
	trace_component(&r->trace, "cpu0");
	trace_rows(&r->trace, TRACE_MMU, mmu_trace_rows, mmu_trace_rows_n);
	cr_assert(eq(int, trace_listen(&r->trace, "walk,walk_ref,walk_ad,tlb_fill,page_fault", sink, NULL, &e), 0), "%s", e.text);
	rig_map(r, RIG_LONG4, 0x400000, 1, RIG_DATA, PTE_P | PTE_A);
	rig_paging(m, RIG_LONG4, CR0_WP, 0, 0);
	rig_load(m, 0x400123, ACC_READ, &f);
	static const unsigned want[] = {
		MMU_TRACE_WALK_REF, MMU_TRACE_WALK_AD, MMU_TRACE_WALK_REF, MMU_TRACE_WALK_AD, MMU_TRACE_WALK_REF, MMU_TRACE_WALK_AD,
		MMU_TRACE_WALK_REF, MMU_TRACE_WALK, MMU_TRACE_TLB_FILL,
	};
	cr_assert(eq(u32, got_n, ARRAY_LEN(want)));
	for (unsigned i = 0; i < got_n; i++)
		cr_expect(eq(u32, got[i].event, want[i]), "event %u", i);
	trace_format(&r->trace, &got[8], line, sizeof line);
	cr_expect(eq(str, line, "      2589 cpu0 tlb_fill lin=0x400000 pa=0x2000000 size=0x1000 flags=0x4"));
	got_n = 0;
	mmu_probe(m, 0x400000, 1, ACC_WRITE, &f);
	cr_assert(eq(u32, got[got_n - 1].event, MMU_TRACE_PAGE_FAULT));
	cr_expect(eq(u64, got[got_n - 1].a[1], PFEC_P | PFEC_WR));
}
