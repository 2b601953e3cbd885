/* walk.h - the page walk, inside models/mmu. */
#ifndef MMU_WALK_H
#define MMU_WALK_H

#include "models/mmu/mmu.h"

/* One walk. In: the first group. Out: info (tlb.h) of the whole page, and global; or rec->fault. */
struct walk {
	const struct mmu *m;            /* registers and memory */
	struct mmu *live;               /* the same MMU, or NULL when only looking: nothing is changed, timed or counted, and
	                                 * permissions are not asked */
	struct walk_record *rec;
	uint64_t lin;
	unsigned access;                /* ACC_* */

	uint64_t info;
	bool global;
};
bool walk(struct walk *w);

/* How these registers have linear addresses translated: the walker's tables, also for software that walks a guest's. */
void paging_of(struct paging *out, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer, unsigned phys_bits);
/* The registers changed: m->paging follows. */
void paging_update(struct mmu *m);

/* May this access be made through a translation with these rights? -1: yes; else the part of the error code that
 * depends on why not (PFEC_PK or 0). */
int paging_denies(const struct mmu *m, uint64_t info, unsigned access);
uint32_t paging_error_code(const struct mmu *m, unsigned access);      /* W/R, U/S, I/D */

/* PDPTEs of PAE paging at cr3: false when one has reserved bits set. */
bool paging_load_pdptes(const struct mmu *m, uint64_t cr3, uint64_t pdpte[4]);

static inline bool access_writes(unsigned access)
{
	return access & (ACC_WRITE | ACC_RMW);
}

#endif
