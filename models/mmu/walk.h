/* walk.h - the page walk, inside models/mmu. */
#ifndef MMU_WALK_H
#define MMU_WALK_H

#include "models/mmu/tlb.h"

/* One walk. In: the first group. Out: info (tlb.h) of the whole page, and global; or rec->fault. */
struct walk {
	const struct mmu *m;            /* registers and memory */
	struct mmu *live;               /* the same MMU, or NULL when only looking: nothing is changed, timed or counted, and
	                                 * permissions are not asked */
	struct walk_record *rec;
	uint64_t lin;
	unsigned access;                /* ACC_* */
	bool ask;                       /* permissions are asked although only looking */
	bool linear;                    /* lin is a linear address: not so when the CPU reads guest-physical memory for itself */

	uint64_t info;                  /* in a guest with EPT: of the smaller of the two pages that map it */
	bool global;
	unsigned fills;                 /* of live->fill: for ept_fill() */
};
bool walk(struct walk *w);

static inline bool walk_asks(const struct walk *w) { return w->live || w->ask; }

/* For the dimensions' walks: a row more in the record; the time of a reference; of setting flags in the entry at `at`. */
static inline struct walk_ref *walk_row(struct walk_record *rec)
{
	return &rec->ref[rec->n < WALK_REFS_MAX ? rec->n++ : WALK_REFS_MAX - 1];
}
void walk_timed(struct walk *w, struct walk_ref *r, hpa_t at, enum why why);
void walk_updated(struct walk *w, hpa_t at);
/* An access ended in a fault of the second dimension: counted and traced. */
void mmu_ept_fault(struct mmu *m, const struct mmu_fault *f);

/* How these registers have linear addresses translated: the walker's tables, also for software that walks a guest's. */
void paging_of(struct paging *out, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer, unsigned phys_bits);
/* The registers changed: m->paging follows. */
void paging_update(struct mmu *m);

static inline bool access_writes(unsigned access)
{
	return access & (ACC_WRITE | ACC_RMW);
}

/* May this access be made through a translation with these rights? -1: yes; else the part of the error code that
 * depends on why not (PFEC_PK or 0). */
int paging_denies_unusual(const struct mmu *m, uint64_t info, unsigned access);
static inline int paging_denies(const struct mmu *m, uint64_t info, unsigned access)
{
	const bool user = access & ACC_USER;
	/* data of its own kind */
	if (likely(!(access & (ACC_EXEC | ACC_SS)) && ((info & INFO_U) != 0) == user && !m->paging.pke))
		return access_writes(access) && !(info & INFO_W) && (user || m->paging.wp) ? 0 : -1;
	return paging_denies_unusual(m, info, access);
}
uint32_t paging_error_code(const struct mmu *m, unsigned access);      /* W/R, U/S, I/D */

/* PDPTEs of PAE paging from where CR3 points: false when one has reserved bits set. */
bool paging_load_pdptes(const struct mmu *m, hpa_t at, uint64_t pdpte[4]);

#endif
