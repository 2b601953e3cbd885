/* Reference counts and exact cycles of page walks (models/mmu/walk.c). */
#include "tests/unit/mmu/rig.h"

static struct rig *r;
static void start(void) { r = rig_new(1); }
static void stop(void) { rig_free(r); }
TestSuite(walk, .init = start, .fini = stop);

struct count_row { enum rig_mode mode; unsigned level, refs; uint64_t lin; };
#define ROW(name, mode, level, lin, refs) \
Test(walk, name) { cold_walk(mode, level, lin, refs); }

/* Nothing cached: every level from the root costs one reference, from memory. */
static void cold_walk(enum rig_mode mode, unsigned level, uint64_t lin, unsigned refs)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	rig_map(r, mode, lin, level, level == 3 ? 0 : RIG_DATA, RWUAD);
	/* accessed flags set beforehand: no assists in the sum */
	for (unsigned l = level + 1; l <= rig_levels(mode); l++) {
		uint64_t at = rig_entry(r, mode, RIG_ROOT, lin, l);
		if (!(mode == RIG_PAE && l == 3))
			rig_put(r, mode, at, rig_get(r, mode, at) | PTE_A);
	}
	rig_paging(m, mode, 0, CR4_PSE, EFER_NXE);
	cycle_t before = r->ledger[0].now, loaded = r->ledger[0].spent[0][WHY_WALK_GUEST];      /* PAE: the PDPTEs */
	cr_expect(eq(u64, loaded, mode == RIG_PAE ? 196 : 0));
	rig_load(m, lin, ACC_READ, &f);
	cr_assert(eq(u32, f.kind, MMU_OK));
	cr_expect(eq(u64, m->stat[MMU_STAT_REF_GUEST], refs));
	cr_expect(eq(u32, m->last_walk.n, refs));
	uint64_t memory = 0, walk = 5;
	for (unsigned i = 0; i < refs; i++) {
		cr_expect(eq(u8, m->last_walk.ref[i].served, LEVEL_MEM));
		memory += m->last_walk.ref[i].cycles == 196;
		walk += 196;
	}
	cr_expect(eq(u64, memory, refs));
	cr_expect(eq(u32, m->last_walk.cycles, (uint32_t)walk));
	/* the datum itself: the memory latency beyond L1's */
	cr_expect(eq(u64, r->ledger[0].now - before, walk + 192));
	cr_expect(eq(u64, m->stat[MMU_STAT_WALK_CYCLES], walk));
	cr_expect(eq(u64, r->ledger[0].spent[0][WHY_WALK_GUEST] - loaded, walk));
	cr_expect(eq(u64, r->ledger[0].spent[0][WHY_LOAD_MEM], 192));
}

ROW(four_level_4k_is_4,  RIG_LONG4,  1, 0x7f1234567000, 4)
ROW(four_level_2m_is_3,  RIG_LONG4,  2, 0x7f1234400000, 3)
ROW(four_level_1g_is_2,  RIG_LONG4,  3, 0x7f1200000000, 2)
ROW(five_level_4k_is_5,  RIG_LONG5,  1, 0xff7f1234567000, 5)
ROW(five_level_2m_is_4,  RIG_LONG5,  2, 0xff7f1234400000, 4)
ROW(five_level_1g_is_3,  RIG_LONG5,  3, 0xff7f1200000000, 3)
ROW(pae_4k_is_2,         RIG_PAE,    1, 0xc1234000, 2)
ROW(pae_2m_is_1,         RIG_PAE,    2, 0xc1200000, 1)
ROW(legacy_4k_is_2,      RIG_LEGACY, 1, 0xc1234000, 2)
ROW(legacy_4m_is_1,      RIG_LEGACY, 2, 0xc1000000, 1)
