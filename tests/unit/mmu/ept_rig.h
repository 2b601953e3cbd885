/* ept_rig.h - a second dimension on the bench of rig.h: EPT tables in the upper half of RAM, guest memory where the rig's is. */
#ifndef TEST_MMU_EPT_RIG_H
#define TEST_MMU_EPT_RIG_H

#include "models/mmu/ept.h"
#include "tests/unit/mmu/rig.h"

#define EPT_ROOT  0x3000000ull          /* the rest of the tables follows */
#define EPT_WB    (6ull << 3)
#define EPT_RWX   (EPT_R | EPT_W | EPT_X)
#define EPT_LEAF  (EPT_RWX | EPT_WB)

struct ept_rig {
	struct rig *r;
	unsigned levels;
	uint64_t root, next;
};

static inline struct ept_rig ept_rig_at(struct rig *r, unsigned levels, uint64_t root)
{
	return (struct ept_rig){ .r = r, .levels = levels, .root = root, .next = root + PAGE_SIZE };
}
static inline uint64_t ept_rig_pointer(const struct ept_rig *e, bool flags)
{
	return e->root | (uint64_t)(e->levels - 1) << 3 | 6 | (flags ? EPTP_AD : 0);
}

/* Address of gpa's entry at `level`; tables on the way are made, with all rights and accessed. */
static inline uint64_t ept_entry(struct ept_rig *e, uint64_t gpa, unsigned level)
{
	uint64_t table = e->root;
	for (unsigned l = e->levels;; l--) {
		uint64_t at = table + (gpa >> (12 + 9 * (l - 1)) & 0x1ff) * 8;
		if (l == level)
			return at;
		uint64_t entry = mem_read64(&e->r->mem, HPA(at));
		if (!(entry & 7)) {
			entry = e->next | EPT_RWX | EPT_A | EPT_XU;
			e->next += PAGE_SIZE;
			mem_write64(&e->r->mem, HPA(at), entry);
		}
		table = entry & 0xffffffffff000ull;
	}
}

/* Map gpa at a level (1: 4 KB) to hpa; returns the entry's address. */
static inline uint64_t ept_map(struct ept_rig *e, uint64_t gpa, unsigned level, uint64_t hpa, uint64_t flags)
{
	uint64_t at = ept_entry(e, gpa, level);
	mem_write64(&e->r->mem, HPA(at), hpa | flags | (level > 1 ? EPT_PS : 0));
	return at;
}

/* All of the rig's memory below the tables, identically, with pages of a level. */
static inline void ept_map_all(struct ept_rig *e, unsigned level, uint64_t flags)
{
	for (uint64_t gpa = 0; gpa < EPT_ROOT; gpa += 1ull << (12 + 9 * (level - 1)))
		ept_map(e, gpa, level, gpa, flags);
}

static inline struct mmu_guest ept_guest(const struct ept_rig *e, bool flags, unsigned vpid)
{
	return (struct mmu_guest){ .eptp = ept_rig_pointer(e, flags), .apic_access = MMU_NO_PAGE, .vpid = (uint16_t)vpid, .ept = 1 };
}

/* In the guest, with the rig's page tables. */
static inline void ept_enter(struct mmu *m, const struct mmu_guest *g, enum rig_mode mode, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	if (mode >= RIG_PAE)
		cr4 |= CR4_PAE;
	if (mode >= RIG_LONG4)
		efer |= EFER_LMA;
	if (mode == RIG_LONG5)
		cr4 |= CR4_LA57;
	mmu_set_guest(m, g);
	cr_assert(eq(int, mmu_load_paging(m, cr0 | (mode ? CR0_PG : 0), RIG_ROOT, cr4, efer, NULL), 0));
}

#endif
