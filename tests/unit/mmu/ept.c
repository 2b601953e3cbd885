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
