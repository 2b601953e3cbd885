/* Extended page tables: reference counts, rights, misconfigurations, flags, the log (models/mmu/ept.c). */
#include "tests/unit/mmu/ept_rig.h"

static struct rig *r;
static void start(void) { r = rig_new(1); }
static void stop(void) { rig_free(r); }
TestSuite(ept, .init = start, .fini = stop);

/* ---- nm + n + m ---- */

static const struct { const char *name; enum rig_mode mode; unsigned level, n; uint64_t lin; } guests[] = {
	{ "off",           RIG_OFF,    1, 0, 0x1234000 },
	{ "32-bit 4K",     RIG_LEGACY, 1, 2, 0xc1234000 },
	{ "32-bit 4M",     RIG_LEGACY, 2, 1, 0xc1000000 },
	{ "PAE 4K",        RIG_PAE,    1, 2, 0xc1234000 },
	{ "PAE 2M",        RIG_PAE,    2, 1, 0xc1200000 },
	{ "4-level 4K",    RIG_LONG4,  1, 4, 0x7f1234567000 },
	{ "4-level 2M",    RIG_LONG4,  2, 3, 0x7f1234400000 },
	{ "4-level 1G",    RIG_LONG4,  3, 2, 0x7f1200000000 },
	{ "5-level 4K",    RIG_LONG5,  1, 5, 0xff7f1234567000 },
	{ "5-level 2M",    RIG_LONG5,  2, 4, 0xff7f1234400000 },
	{ "5-level 1G",    RIG_LONG5,  3, 3, 0xff7f1200000000 },
};

/* One access with nothing cached: every guest entry is located by an EPT walk of its own, and the final address by one more. */
static void count(unsigned g, unsigned ept_levels, unsigned ept_level, bool detailed)
{
	struct rig *x = rig_new(1);
	struct mmu *m = x->m[0];
	struct ept_rig e = ept_rig_at(x, ept_levels, EPT_ROOT);
	const unsigned n = guests[g].n, mm = ept_levels - ept_level + 1, level = guests[g].level;
	/* without caches of the second dimension: within one walk they would help */
	struct mmu_fault f;
	if (ept_level == 3)
		ept_map(&e, 0, 3, 0, EPT_LEAF | EPT_A | EPT_D);
	else
		ept_map_all(&e, ept_level, EPT_LEAF | EPT_A | EPT_D);
	if (guests[g].mode) {
		rig_map(x, guests[g].mode, guests[g].lin, level, level == 3 ? 0 : RIG_DATA, RWUAD);
		for (unsigned l = level + 1; l <= rig_levels(guests[g].mode); l++) {
			uint64_t at = rig_entry(x, guests[g].mode, RIG_ROOT, guests[g].lin, l);
			if (!(guests[g].mode == RIG_PAE && l == 3))
				rig_put(x, guests[g].mode, at, rig_get(x, guests[g].mode, at) | PTE_A);
		}
	}
	mmu_set_detailed(m, detailed);
	struct mmu_guest guest = ept_guest(&e, true, 1);
	ept_enter(m, &guest, guests[g].mode, 0, CR4_PSE, EFER_NXE);
	mmu_invept(m, INVEPT_ALL, 0);
	memset(m->stat, 0, sizeof m->stat);
	uint64_t ept_cycles = x->ledger[0].spent[0][WHY_WALK_EPT];
	rig_load(m, guests[g].lin, ACC_READ, &f);
	cr_assert(eq(u32, f.kind, MMU_OK), "%s on %u levels, page level %u", guests[g].name, ept_levels, ept_level);
	cr_expect(eq(u64, m->stat[MMU_STAT_REF_GUEST], n), "%s on %u levels, page level %u", guests[g].name, ept_levels, ept_level);
	cr_expect(eq(u64, m->stat[MMU_STAT_REF_EPT], n * mm + mm), "%s on %u levels, page level %u", guests[g].name, ept_levels, ept_level);
	cr_expect(eq(u32, m->last_walk.n, n * mm + n + mm));
	/* the record: m references for each table from the top down, then the guest's, at last m for the final address */
	unsigned i = 0;
	uint64_t cycles = 0;
	for (unsigned l = level + n; l-- > level;) {
		for (unsigned k = 0; k < mm; k++, i++) {
			const struct walk_ref *ref = &m->last_walk.ref[i];
			cr_expect(eq(u8, ref->dim, WALK_EPT));
			cr_expect(eq(u8, ref->for_level, l), "row %u", i);
			cr_expect(eq(u8, ref->level, ept_levels - k), "row %u", i);
			cycles += ref->cycles;
		}
		cr_expect(eq(u8, m->last_walk.ref[i].dim, WALK_GUEST));
		cr_expect(eq(u8, m->last_walk.ref[i++].level, l));
	}
	for (unsigned k = 0; k < mm; k++, i++) {
		cr_expect(eq(u8, m->last_walk.ref[i].dim, WALK_EPT));
		cr_expect(eq(u8, m->last_walk.ref[i].for_level, 0));
		cr_expect(eq(u8, m->last_walk.ref[i].level, ept_levels - k));
		cycles += m->last_walk.ref[i].cycles;
	}
	cr_expect(eq(u64, x->ledger[0].spent[0][WHY_WALK_EPT] - ept_cycles, cycles));
	cr_expect(ledger_audit(&x->ledger[0]));
	rig_free(x);
}

Test(ept, an_uncached_walk_makes_nm_plus_n_plus_m_references, .timeout = 60)
{
	for (unsigned g = 0; g < ARRAY_LEN(guests); g++)
		for (unsigned levels = 4; levels <= 5; levels++)
			for (unsigned level = 1; level <= 3; level++)
				count(g, levels, level, false);
}

Test(ept, timed_walks_make_the_same_references_without_the_structures_that_save_them, .timeout = 60)
{
	for (unsigned g = 0; g < ARRAY_LEN(guests); g++)
		for (unsigned levels = 4; levels <= 5; levels++)
			for (unsigned level = 1; level <= 3; level++)
				count(g, levels, level, true);
}

/* ---- one page, one entry ---- */

#define LIN 0x7f1234567000ull
#define GPA_DATA RIG_DATA
#define HPA_DATA 0x2200000ull         /* where EPT puts it */

static struct ept_rig e;
static struct mmu_guest guest;
static uint64_t leaf;                   /* address of the EPT entry of the data page */

/* A guest in 4-level paging, 4 KB EPT pages; the data page elsewhere. */
static void set_up(bool flags)
{
	struct mmu *m = r->m[0];
	rig_map(r, RIG_LONG4, LIN, 1, GPA_DATA, RWU);
	e = ept_rig_at(r, 4, EPT_ROOT);
	for (uint64_t gpa = RIG_ROOT; gpa < r->next_table; gpa += PAGE_SIZE)
		ept_map(&e, gpa, 1, gpa, EPT_LEAF);
	leaf = ept_map(&e, GPA_DATA, 1, HPA_DATA, EPT_LEAF);
	guest = ept_guest(&e, flags, 1);
	ept_enter(m, &guest, RIG_LONG4, 0, 0, EFER_NXE);
}

static struct mmu_fault access_with(uint64_t entry, unsigned access)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	hpa_t pa;
	mem_write64(&r->mem, HPA(leaf), entry);
	mmu_invept(m, INVEPT_SINGLE, guest.eptp);
	f = (struct mmu_fault){ 0 };
	if (access & ACC_EXEC)
		mmu_fetch(m, LIN + 0x123, &pa, &f);
	else if (access & ACC_WRITE)
		mmu_write(m, LIN + 0x123, "x", 1, access, &f);
	else
		rig_load(m, LIN + 0x123, access, &f);
	return f;
}

/* Bits 2:0 of the qualification: the access; 5:3: the entry; 7 and 8: of the linear address itself; 11:9: a user page, writable,
 * executable in the guest. */
Test(ept, rights_allow_and_deny)
{
	static const struct { unsigned access; uint64_t want; } rows[] = {
		{ ACC_READ, 1 }, { ACC_WRITE, 2 }, { ACC_EXEC, 4 }, { ACC_RMW, 3 },
		{ ACC_READ | ACC_USER, 1 }, { ACC_WRITE | ACC_USER, 2 },
	};
	set_up(false);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		for (uint64_t rights = 0; rights < 8; rights++) {
			struct mmu_fault f = access_with(HPA_DATA | EPT_WB | rights, rows[i].access);
			const char *what = "rights %u access %u";
			if ((rights & 3) == 2) {
				cr_expect(eq(u32, f.kind, MMU_EPT_MISCONFIG), "rights %u access %#x: %s", (unsigned)rights, rows[i].access, what);
			} else if (rows[i].want & ~rights) {
				cr_expect(eq(u32, f.kind, MMU_EPT_VIOLATION), "rights %u access %#x", (unsigned)rights, rows[i].access);
				cr_expect(eq(u64, f.qualification, rows[i].want | rights << 3 | 0x780));
				cr_expect(eq(u64, f.gpa.v, GPA_DATA + 0x123));
				cr_expect(eq(u64, f.lin, LIN + 0x123));
			} else {
				cr_expect(eq(u32, f.kind, MMU_OK), "rights %u access %#x", (unsigned)rights, rows[i].access);
			}
		}
	}
}

/* "Mode-based execute control for EPT": bit 2 for supervisor-mode linear addresses, bit 10 for user-mode ones. */
Test(ept, mode_based_execute_control)
{
	struct mmu *m = r->m[0];
	set_up(false);
	guest.mode_execute = 1;
	for (unsigned user = 0; user < 2; user++) {
		rig_map(r, RIG_LONG4, LIN, 1, GPA_DATA, user ? RWUAD : RWUAD & ~PTE_US);
		for (unsigned bits = 0; bits < 4; bits++) {
			mmu_set_guest(m, NULL);
			ept_enter(m, &guest, RIG_LONG4, 0, 0, EFER_NXE);
			mmu_invvpid(m, INVVPID_SINGLE, 1, 0);
			struct mmu_fault f = access_with(HPA_DATA | EPT_WB | EPT_R | (bits & 1 ? EPT_X : 0) | (bits & 2 ? EPT_XU : 0), ACC_EXEC);
			if (bits >> user & 1) {
				cr_expect(eq(u32, f.kind, MMU_OK), "user %u bits %u", user, bits);
			} else {
				cr_expect(eq(u32, f.kind, MMU_EPT_VIOLATION), "user %u bits %u", user, bits);
				cr_expect(eq(u64, f.qualification, 4 | 8 | (bits & 1 ? 0x20 : 0) | (bits & 2 ? 0x40 : 0) | 0x580 | (user ? 0x200 : 0)));
			}
		}
	}
	/* "present" includes bit 10 */
	struct mmu_fault f = access_with(HPA_DATA | EPT_WB | EPT_XU, ACC_READ);
	cr_expect(eq(u32, f.kind, MMU_EPT_VIOLATION));
	cr_expect(eq(u64, f.qualification & 0x7f, 0x41));
	m->ept_cap &= ~(uint64_t)CAP_X_ONLY;
	cr_expect(eq(u32, access_with(HPA_DATA | EPT_WB | EPT_XU, ACC_READ).kind, MMU_EPT_MISCONFIG));
}

Test(ept, execute_only_needs_the_capability)
{
	set_up(false);
	cr_expect(eq(u32, access_with(HPA_DATA | EPT_WB | EPT_X, ACC_EXEC).kind, MMU_OK));
	struct mmu_fault f = access_with(HPA_DATA | EPT_WB | EPT_X, ACC_READ);
	cr_expect(eq(u32, f.kind, MMU_EPT_VIOLATION));
	r->m[0]->ept_cap &= ~(uint64_t)CAP_X_ONLY;
	cr_expect(eq(u32, access_with(HPA_DATA | EPT_WB | EPT_X, ACC_EXEC).kind, MMU_EPT_MISCONFIG));
}

/* "Supervisor shadow-stack control": bit 60 of the leaf instead of its bit 1; bits 13 and 14 of the qualification tell. */
Test(ept, supervisor_shadow_stacks_need_leave)
{
	struct mmu *m = r->m[0];
	const uint64_t ss = PTE_P | PTE_A | PTE_D, told = BIT(13) | 0x180;
	const struct { uint64_t page, control, entry; unsigned access; uint64_t violation; } k[] = {
		{ ss, 0, EPT_R | EPT_W, ACC_READ, 0 },
		{ ss, 0, EPT_R | EPT_W, ACC_WRITE, 0 },
		{ ss, 0, EPT_R, ACC_WRITE, told | 2 | EPT_R << 3 },
		{ ss, EPTP_SSS, EPT_R | EPT_W, ACC_READ, told | 1 | (EPT_R | EPT_W) << 3 },
		{ ss, EPTP_SSS, EPT_R | EPT_W, ACC_WRITE, told | 2 | (EPT_R | EPT_W) << 3 },
		{ ss, EPTP_SSS, EPT_R | EPT_SSS, ACC_READ, 0 },
		{ ss, EPTP_SSS, EPT_R | EPT_SSS, ACC_WRITE, 0 },
		{ ss, EPTP_SSS, EPT_X | EPT_SSS, ACC_READ, told | BIT(14) | 1 | EPT_X << 3 },
		/* a user's shadow stack is like any other page */
		{ ss | PTE_US, EPTP_SSS, EPT_R | EPT_W, ACC_WRITE | ACC_USER, 0 },
		{ ss | PTE_US, EPTP_SSS, EPT_R | EPT_SSS, ACC_WRITE | ACC_USER, told | BIT(14) | BIT(9) | 2 | EPT_R << 3 },
	};
	set_up(false);
	for (unsigned i = 0; i < ARRAY_LEN(k); i++) {
		for (unsigned before = 0; before < 2; before++) {       /* with an ordinary load that left a translation behind */
			mmu_set_guest(m, NULL);
			rig_map(r, RIG_LONG4, LIN, 1, GPA_DATA, k[i].page);
			guest.eptp = (guest.eptp & ~(uint64_t)EPTP_SSS) | k[i].control;
			ept_enter(m, &guest, RIG_LONG4, CR0_WP, CR4_CET, EFER_NXE);
			mmu_invvpid(m, INVVPID_SINGLE, 1, 0);
			uint64_t entry = HPA_DATA | EPT_WB | k[i].entry, v = 0;
			struct mmu_fault f = access_with(entry, before && k[i].entry & EPT_R ? ACC_READ : ACC_EXEC);
			f = (struct mmu_fault){ 0 };
			if (k[i].access & ACC_WRITE)
				mmu_write(m, LIN + 8, &v, 8, k[i].access | ACC_SS, &f);
			else
				mmu_read(m, LIN + 8, &v, 8, k[i].access | ACC_SS, &f);
			cr_expect(eq(u32, f.kind, k[i].violation ? MMU_EPT_VIOLATION : MMU_OK), "case %u", i);
			cr_expect(eq(u64, f.qualification, k[i].violation), "case %u", i);
		}
	}
}

/* Fetched and readable are apart: a page that was executed is not thereby readable. */
Test(ept, an_execute_only_page_stays_unreadable_when_its_translation_is_cached)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	hpa_t pa;
	set_up(false);
	cr_expect(eq(u32, access_with(HPA_DATA | EPT_WB | EPT_X, ACC_EXEC).kind, MMU_OK));
	for (unsigned i = 0; i < 3; i++) {
		rig_load(m, LIN, ACC_READ, &f);
		cr_expect(eq(u32, f.kind, MMU_EPT_VIOLATION));
		cr_expect(eq(int, mmu_fetch(m, LIN, &pa, &f), 0));
		cr_expect(eq(u64, pa.v, HPA_DATA));
	}
}

/* Reserved bits and memory types of each kind of entry. */
struct bad_row { unsigned level; bool page; uint64_t bits; bool bad; };
static const struct bad_row bad_rows[] = {
	{ 1, true,  7ull << 3, true }, { 1, true, 2ull << 3, true }, { 1, true, 3ull << 3, true }, { 1, true, 0, false },
	{ 1, true,  1ull << 3, false }, { 1, true, 4ull << 3, false }, { 1, true, 5ull << 3, false }, { 1, true, 6ull << 3, false },
	{ 1, true,  EPT_WB | BIT(6), false }, { 1, true, EPT_WB | BIT(7), false }, { 1, true, EPT_WB | BIT(11), false },
	{ 1, true,  EPT_WB | BIT(46), true }, { 1, true, EPT_WB | BIT(51), true }, { 1, true, EPT_WB | BIT(52), false },
	{ 1, true,  EPT_WB | BIT(62), false }, { 1, true, EPT_WB | BIT(63), false },
	{ 2, true,  EPT_WB | BIT(12), true }, { 2, true, EPT_WB | BIT(20), true }, { 2, true, EPT_WB | BIT(51), true },
	{ 2, true,  EPT_WB | BIT(11), false }, { 2, true, 3ull << 3, true },
	{ 2, false, BIT(3), true }, { 2, false, BIT(4), true }, { 2, false, BIT(5), true }, { 2, false, BIT(6), true },
	{ 2, false, BIT(8) | BIT(9) | BIT(10) | BIT(11), false }, { 2, false, BIT(50), true },
	{ 3, true,  EPT_WB | BIT(12), true }, { 3, true, EPT_WB | BIT(29), true }, { 3, true, EPT_WB | BIT(46), true },
	{ 3, false, BIT(6), true }, { 3, false, BIT(47), true }, { 3, false, BIT(9), false },
	{ 4, false, BIT(7), true }, { 4, false, BIT(3), true }, { 4, false, BIT(48), true }, { 4, false, BIT(11) | BIT(60), false },
	{ 5, false, BIT(7), true }, { 5, false, BIT(5), true }, { 5, false, BIT(49), true }, { 5, false, BIT(10), false },
};

Test(ept, misconfigurations)
{
	struct mmu *m = r->m[0];
	struct ept_rig five = ept_rig_at(r, 5, EPT_ROOT);
	guest = ept_guest(&five, false, 1);
	for (unsigned i = 0; i < ARRAY_LEN(bad_rows); i++) {
		const struct bad_row *b = &bad_rows[i];
		mem_write(&r->mem, HPA(EPT_ROOT), (uint8_t[4096]){ 0 }, 4096);
		five.next = EPT_ROOT + PAGE_SIZE;
		for (uint64_t at = five.next; at < EPT_ROOT + 0x10000; at += 8)
			mem_write64(&r->mem, HPA(at), 0);
		uint64_t at;
		ept_map(&five, 0, 1, 0x1000, EPT_LEAF);         /* the tables on the way */
		at = ept_entry(&five, 0, b->level);
		uint64_t old = mem_read64(&r->mem, HPA(at)) & ~(7ull << 3 | EPT_A | EPT_XU);
		mem_write64(&r->mem, HPA(at), b->page ? EPT_RWX | b->bits | (b->level > 1 ? EPT_PS : 0) : old | b->bits);
		for (unsigned absent = 0; absent < 2; absent++) {
			if (absent)             /* an entry that is not present is never misconfigured */
				mem_write64(&r->mem, HPA(at), mem_read64(&r->mem, HPA(at)) & ~7ull);
			mmu_set_guest(m, NULL);
			mmu_set_guest(m, &guest);
			mmu_invept(m, INVEPT_ALL, 0);
			struct mmu_fault f = { 0 };
			hpa_t hpa;
			int failed = mmu_gpa(m, GPA(0x10), ACC_READ, &hpa, &f);
			uint32_t want = absent ? MMU_EPT_VIOLATION : b->bad ? MMU_EPT_MISCONFIG : MMU_OK;
			cr_expect(eq(int, failed, want ? -1 : 0), "row %u", i);
			cr_expect(eq(u32, f.kind, want), "row %u", i);
			struct walk_record rec;
			cr_expect(eq(int, mmu_peek_gpa(m, GPA(0x10), &hpa, &rec), !want), "row %u", i);
			cr_expect(eq(u32, rec.fault.kind, want), "row %u", i);
			if (want == MMU_EPT_VIOLATION)  /* no linear address: bits 7 and 8 are clear */
				cr_expect(eq(u64, f.qualification, 1));
		}
	}
}

Test(ept, large_pages_need_the_capability)
{
	struct mmu *m = r->m[0];
	struct ept_rig four = ept_rig_at(r, 4, EPT_ROOT);
	hpa_t hpa;
	struct mmu_fault f;
	ept_map(&four, 0x200000, 2, 0x400000, EPT_LEAF);
	ept_map(&four, 0x40000000, 3, 0, EPT_LEAF);
	guest = ept_guest(&four, false, 1);
	mmu_set_guest(m, &guest);
	cr_expect(eq(int, mmu_gpa(m, GPA(0x234567), ACC_READ, &hpa, &f), 0));
	cr_expect(eq(u64, hpa.v, 0x434567));
	cr_expect(eq(int, mmu_gpa(m, GPA(0x41234567), ACC_READ, &hpa, &f), 0));
	cr_expect(eq(u64, hpa.v, 0x1234567));
	m->ept_cap &= ~(uint64_t)(CAP_2M | CAP_1G);
	mmu_invept(m, INVEPT_ALL, 0);
	cr_expect(eq(int, mmu_gpa(m, GPA(0x234567), ACC_READ, &hpa, &f), -1));
	cr_expect(eq(u32, f.kind, MMU_EPT_MISCONFIG));
	cr_expect(eq(int, mmu_gpa(m, GPA(0x41234567), ACC_READ, &hpa, &f), -1));
	cr_expect(eq(u32, f.kind, MMU_EPT_MISCONFIG));
	cr_expect(eq(int, mmu_gpa(m, GPA(1ull << 48), ACC_READ, &hpa, &f), -1), "4 levels reach 48 bits");
	cr_expect(eq(u32, f.kind, MMU_EPT_VIOLATION));
}

/* ---- guest tables ---- */

static uint64_t table_leaf(unsigned level)
{
	return ept_entry(&e, rig_entry(r, RIG_LONG4, RIG_ROOT, LIN, level) & PAGE_MASK, 1);
}
static struct mmu_fault touch(unsigned access)
{
	struct mmu_fault f = { 0 };
	mmu_invept(r->m[0], INVEPT_ALL, 0);
	if (access & ACC_WRITE)
		mmu_write(r->m[0], LIN, "x", 1, access, &f);
	else
		rig_load(r->m[0], LIN, access, &f);
	return f;
}

/* Without EPT's flags the walker reads guest tables, and writes them when it sets the guest's. */
Test(ept, a_table_that_may_only_be_read)
{
	set_up(false);
	uint64_t table = rig_entry(r, RIG_LONG4, RIG_ROOT, LIN, 1), at = table_leaf(1);
	mem_write64(&r->mem, HPA(at), (table & PAGE_MASK) | EPT_R | EPT_WB);
	struct mmu_fault f = touch(ACC_READ);
	cr_expect(eq(u32, f.kind, MMU_EPT_VIOLATION), "the accessed flag cannot be set");
	cr_expect(eq(u64, f.qualification, 3 | 1 << 3 | 0x80));
	cr_expect(eq(u64, f.gpa.v, table));
	cr_expect(eq(u64, f.lin, LIN));
	mem_write64(&r->mem, HPA(table), mem_read64(&r->mem, HPA(table)) | PTE_A);
	cr_expect(eq(u32, touch(ACC_READ).kind, MMU_OK));
	f = touch(ACC_WRITE);
	cr_expect(eq(u32, f.kind, MMU_EPT_VIOLATION), "nor can the dirty flag");
	cr_expect(eq(u64, f.qualification, 3 | 1 << 3 | 0x80));
	mem_write64(&r->mem, HPA(table), mem_read64(&r->mem, HPA(table)) | PTE_D);
	cr_expect(eq(u32, touch(ACC_WRITE).kind, MMU_OK));
	mem_write64(&r->mem, HPA(at), (table & PAGE_MASK) | EPT_X | EPT_WB);
	f = touch(ACC_READ);
	cr_expect(eq(u64, f.qualification, 1 | 4 << 3 | 0x80), "a read of an entry");
}

/* "processor accesses to guest paging-structure entries are treated as writes": with EPT's flags on. */
Test(ept, with_flags_tables_are_written)
{
	set_up(true);
	uint64_t table = rig_entry(r, RIG_LONG4, RIG_ROOT, LIN, 1), at = table_leaf(1);
	mem_write64(&r->mem, HPA(table), mem_read64(&r->mem, HPA(table)) | PTE_A | PTE_D);
	mem_write64(&r->mem, HPA(at), (table & PAGE_MASK) | EPT_R | EPT_WB);
	struct mmu_fault f = touch(ACC_READ);
	cr_expect(eq(u32, f.kind, MMU_EPT_VIOLATION));
	cr_expect(eq(u64, f.qualification, 3 | 1 << 3 | 0x80));
	mem_write64(&r->mem, HPA(at), (table & PAGE_MASK) | EPT_LEAF);
	cr_expect(eq(u32, touch(ACC_READ).kind, MMU_OK));
	cr_expect(eq(u64, mem_read64(&r->mem, HPA(at)) & (EPT_A | EPT_D), EPT_A | EPT_D));
	cr_expect(eq(u64, mem_read64(&r->mem, HPA(leaf)) & (EPT_A | EPT_D), EPT_A), "the data page was read");
	cr_expect(eq(u32, touch(ACC_WRITE).kind, MMU_OK));
	cr_expect(eq(u64, mem_read64(&r->mem, HPA(leaf)) & (EPT_A | EPT_D), EPT_A | EPT_D));
	uint64_t pde = mem_read64(&r->mem, HPA(ept_entry(&e, GPA_DATA, 2)));
	cr_expect(eq(u64, pde & (EPT_A | EPT_D), EPT_A), "only leaves have a dirty flag");
}

Test(ept, suppress_ve_is_bit_63_of_the_entry_that_decided)
{
	set_up(false);
	cr_expect(eq(u64, access_with(0, ACC_READ).suppress_ve, 0));
	cr_expect(eq(u64, access_with(EPT_SVE, ACC_READ).suppress_ve, 1));
	cr_expect(eq(u64, access_with(HPA_DATA | EPT_WB | EPT_R, ACC_WRITE).suppress_ve, 0));
	cr_expect(eq(u64, access_with(HPA_DATA | EPT_WB | EPT_R | EPT_SVE, ACC_WRITE).suppress_ve, 1));
}

/* ---- page-modification logging ---- */

static void with_log(uint16_t index)
{
	struct mmu *m = r->m[0];
	set_up(true);
	/* the tables are dirty already: what is logged is the data page */
	for (uint64_t gpa = RIG_ROOT; gpa < r->next_table; gpa += PAGE_SIZE)
		ept_map(&e, gpa, 1, gpa, EPT_LEAF | EPT_A | EPT_D);
	mmu_set_guest(m, NULL);
	guest.pml = 0x2400000;
	guest.pml_on = 1;
	guest.pml_index = index;
	ept_enter(m, &guest, RIG_LONG4, 0, 0, EFER_NXE);
}

Test(ept, a_page_is_logged_when_its_dirty_flag_is_set)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f = { 0 };
	with_log(511);
	cr_expect(eq(u32, access_with(HPA_DATA | EPT_LEAF, ACC_READ).kind, MMU_OK));
	cr_expect(eq(u16, m->guest.pml_index, 511), "reads are not logged");
	cr_expect(eq(u64, m->stat[MMU_STAT_PML], 0));
	mmu_write(m, LIN + 0x345, "x", 1, ACC_WRITE, &f);
	cr_expect(eq(u16, m->guest.pml_index, 510));
	cr_expect(eq(u64, mem_read64(&r->mem, HPA(0x2400000 + 511 * 8)), GPA_DATA));
	mmu_write(m, LIN + 0x347, "x", 1, ACC_WRITE, &f);
	cr_expect(eq(u16, m->guest.pml_index, 510), "once");
	cr_expect(eq(u32, access_with(HPA_DATA | EPT_LEAF | EPT_A, ACC_WRITE).kind, MMU_OK));
	cr_expect(eq(u16, m->guest.pml_index, 509), "cleared and set again");
	cr_expect(eq(u64, m->stat[MMU_STAT_PML], 2));
}

Test(ept, a_full_log_stops_the_access_before_any_flag)
{
	struct mmu *m = r->m[0];
	with_log(0);
	cr_expect(eq(u32, access_with(HPA_DATA | EPT_LEAF, ACC_WRITE).kind, MMU_OK));
	cr_expect(eq(u16, m->guest.pml_index, 0xffff));
	r->mem.ram[HPA_DATA + 0x123] = 'a';
	struct mmu_fault f = access_with(HPA_DATA | EPT_LEAF | EPT_A, ACC_WRITE);
	cr_expect(eq(u32, f.kind, MMU_PML_FULL));
	cr_expect(eq(u64, mem_read64(&r->mem, HPA(leaf)), HPA_DATA | EPT_LEAF | EPT_A), "not dirty");
	cr_expect(eq(u8, r->mem.ram[HPA_DATA + 0x123], 'a'), "not written");
	cr_expect(eq(u32, access_with(HPA_DATA | EPT_LEAF, ACC_READ).kind, MMU_PML_FULL), "an accessed flag asks too");
	cr_expect(eq(u32, access_with(HPA_DATA | EPT_LEAF | EPT_A, ACC_READ).kind, MMU_OK));
	cr_expect(eq(u32, access_with(HPA_DATA | EPT_LEAF | EPT_A | EPT_D, ACC_WRITE).kind, MMU_OK));
	cr_expect(eq(u16, m->guest.pml_index, 0xffff));
}

/* ---- PDPTEs ---- */

Test(ept, pdptes_are_loaded_through_ept)
{
	struct mmu *m = r->m[0];
	struct ept_rig four = ept_rig_at(r, 4, EPT_ROOT);
	uint64_t pdpt = 0x180000;
	mem_write64(&r->mem, HPA(0x280000 + 0x20), 0x12345000 | PTE_P);
	uint64_t at = ept_map(&four, pdpt, 1, 0x280000, EPT_LEAF);
	guest = ept_guest(&four, false, 1);
	mmu_set_guest(m, &guest);
	const uint64_t first[4] = { 0x1000 | PTE_P, 0, 0, 0x2000 | PTE_P };
	cr_assert(eq(int, mmu_load_paging(m, CR0_PG, pdpt + 0x20, CR4_PAE, 0, first), 0), "from the VMCS: memory is not asked");
	cr_expect(eq(u64, m->pdpte[3], 0x2000 | PTE_P));
	cr_assert(eq(int, mmu_set_cr3(m, pdpt + 0x20), 0));
	cr_expect(eq(u64, m->pdpte[0], 0x12345000 | PTE_P));
	cr_expect(eq(u64, m->pdpte[3], 0));
	mem_write64(&r->mem, HPA(at), 0);
	mmu_invept(m, INVEPT_ALL, 0);
	cr_expect(eq(int, mmu_set_cr3(m, pdpt + 0x20), -1));
	cr_expect(eq(u32, m->load_fault.kind, MMU_EPT_VIOLATION));
	cr_expect(eq(u64, m->load_fault.qualification, 1), "no linear address");
	cr_expect(eq(u64, m->load_fault.gpa.v, pdpt + 0x20));
	cr_expect(eq(u64, m->pdpte[0], 0x12345000 | PTE_P), "nothing changed");
	mem_write64(&r->mem, HPA(at), 0x280000 | EPT_LEAF);
	mem_write64(&r->mem, HPA(0x280000 + 0x38), PTE_P | BIT(1));
	cr_expect(eq(int, mmu_set_cr3(m, pdpt + 0x20), -1));
	cr_expect(eq(u32, m->load_fault.kind, MMU_OK), "a reserved bit: #GP, not EPT");
}

/* ---- the APIC-access page ---- */

struct seen { unsigned n, off, size, access; uint64_t lin, gpa; uint8_t bytes[8]; };
static void serve(void *who, uint64_t lin, gpa_t gpa, unsigned off, void *buf, unsigned size, unsigned access)
{
	struct seen *s = who;
	s->n++;
	s->lin = lin, s->gpa = gpa.v, s->off = off, s->size = size, s->access = access;
	if (access & ACC_WRITE)
		memcpy(s->bytes, buf, size);
	else if (buf)
		memset(buf, 0x5a, size);
}

Test(ept, accesses_to_the_apic_access_page_never_reach_memory)
{
	struct mmu *m = r->m[0];
	struct seen s = { 0 };
	struct mmu_fault f;
	hpa_t pa;
	set_up(false);
	rig_load(m, LIN, ACC_READ, &f);         /* a soft entry exists: it must not be used */
	mmu_set_guest(m, NULL);
	m->apic_access = serve;
	m->apic_who = &s;
	guest.apic_access = HPA_DATA;
	ept_enter(m, &guest, RIG_LONG4, 0, 0, EFER_NXE);
	for (unsigned i = 1; i <= 3; i++) {
		cr_expect(eq(ptr, mmu_fast(m, LIN + 0x80, 4, false), NULL));
		cr_expect(eq(u32, rig_load(m, LIN + 0x80, ACC_READ, &f), 0x5a5a5a5a));
		cr_expect(eq(u32, s.n, i));
	}
	cr_expect(eq(u64, s.lin, LIN + 0x80));
	cr_expect(eq(u64, s.gpa, GPA_DATA + 0x80));
	cr_expect(eq(u32, s.off, 0x80));
	uint32_t before = mem_read32(&r->mem, HPA(HPA_DATA + 0x300)), v = 0x11223344;
	cr_expect(eq(int, mmu_write(m, LIN + 0x300, &v, 4, ACC_WRITE, &f), 0));
	cr_expect(eq(u32, s.n, 4));
	cr_expect(eq(int, memcmp(s.bytes, &v, 4), 0));
	cr_expect(eq(u32, mem_read32(&r->mem, HPA(HPA_DATA + 0x300)), before));
	mmu_fetch(m, LIN, &pa, &f);
	mmu_fetch(m, LIN, &pa, &f);
	cr_expect(eq(u32, s.n, 6));
	cr_expect(eq(u32, s.access, ACC_EXEC));
	mmu_set_guest(m, NULL);
	cr_assert(eq(int, mmu_load_paging(m, 0, 0, 0, 0, NULL), 0));
	cr_expect(eq(u32, rig_load(m, HPA_DATA + 0x80, ACC_READ, &f), mem_read32(&r->mem, HPA(HPA_DATA + 0x80))));
	cr_expect(eq(u32, s.n, 6), "root operation has no such page");
}

/* ---- state ---- */

/* A restored MMU goes on in its guest as the first time did, log and flags included. */
Test(ept, a_snapshot_taken_in_a_guest)
{
	struct mmu *m = r->m[0];
	struct snaps *s = snaps_new();
	struct snap *sn = NULL;
	struct rng g;
	struct mmu_fault f;
	cycle_t end[2];
	uint64_t hash[2];
	r->mem.snaps = s;
	for (unsigned i = 0; i < 300; i++)
		rig_map(r, RIG_LONG4, LIN + i * PAGE_SIZE, 1, RIG_DATA + i * PAGE_SIZE, RWU);
	e = ept_rig_at(r, 4, EPT_ROOT);
	ept_map_all(&e, 1, EPT_LEAF);
	guest = ept_guest(&e, true, 3);
	guest.pml = 0x2400000;
	guest.pml_on = 1;
	guest.pml_index = 511;
	ept_enter(m, &guest, RIG_LONG4, 0, 0, EFER_NXE);
	snaps_section(s, "ledger", 1, &r->ledger[0], sizeof r->ledger[0]);
	mmu_sections(m, s);
	caches_sections(r->caches, s);
	struct snap_ram ram = { r->mem.ram, r->mem.ram_size, r->mem.flags };
	snaps_ram(s, &ram);
	for (unsigned pass = 0; pass < 2; pass++) {
		rng_init(&g, 9, "snap");
		for (unsigned i = 0; i < 20000; i++) {
			uint64_t lin = LIN + rng_below(&g, 300) * PAGE_SIZE + rng_below(&g, 1024) * 4;
			uint32_t v = (uint32_t)rng_u64(&g);
			bool write = rng_below(&g, 2), leave = !rng_below(&g, 100);
			if (i == 700) {
				if (pass == 0) {
					sn = snap_take(s, "here");
					mmu_drop_soft(m);
				} else {
					snap_restore(s, sn);
					mmu_restored(m);
				}
			}
			if (leave) {            /* out and in again; the VMM empties the log */
				guest.pml_index = 511;
				mmu_set_guest(m, NULL);
				mmu_set_guest(m, &guest);
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
	cr_expect(m->stat[MMU_STAT_PML] > 300);
	cr_expect(eq(u64, end[0], end[1]));
	cr_expect(eq(u64, hash[0], hash[1]));
	snaps_free(s);
}

/* Looking through both dimensions changes nothing and finds what an access finds. */
Test(ept, peek_sees_through_both_dimensions)
{
	struct mmu *m = r->m[0];
	struct walk_record rec;
	uint32_t v = 0x12345678, got = 0;
	set_up(true);
	mem_write32(&r->mem, HPA(HPA_DATA + 0x10), v);
	cr_expect(mmu_peek(m, LIN + 0x10, &rec));
	cr_expect(eq(u64, rec.gpa.v, GPA_DATA + 0x10));
	cr_expect(eq(u64, rec.hpa.v, HPA_DATA + 0x10));
	cr_expect(eq(u32, rec.n, 24));
	cr_expect(mmu_peek_bytes(m, LIN + 0x10, &got, 4));
	cr_expect(eq(u32, got, v));
	cr_expect(eq(u64, mem_read64(&r->mem, HPA(leaf)), HPA_DATA | EPT_LEAF), "no flag is set");
	cr_expect(eq(u64, m->stat[MMU_STAT_REF_EPT], 0));
	cr_expect(eq(u64, r->ledger[0].now, 0));
	mem_write64(&r->mem, HPA(leaf), HPA_DATA | EPT_X | EPT_WB);
	cr_expect(mmu_peek(m, LIN, &rec), "rights are not asked");
	mem_write64(&r->mem, HPA(leaf), 0);
	cr_expect(not(mmu_peek(m, LIN, &rec)));
	cr_expect(eq(u32, rec.fault.kind, MMU_EPT_VIOLATION));
	mmu_set_guest(m, NULL);
	hpa_t hpa;
	cr_expect(mmu_peek_gpa(m, GPA(0x1234), &hpa, NULL), "no second dimension in root operation");
	cr_expect(eq(u64, hpa.v, 0x1234));
}
