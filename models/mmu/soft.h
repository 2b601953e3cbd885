/* soft.h - the soft TLB and its contexts, inside models/mmu. */
#ifndef MMU_SOFT_H
#define MMU_SOFT_H

#include "models/mmu/tlb.h"

/* Soft entries that hang on one modelled large-page entry; beyond SOFT_ROOM of them, all are searched. */
#define SOFT_ROOM 6
struct soft_list {
	uint8_t n, overflow;            /* overflow: a bit per table to search */
	uint16_t at[SOFT_ROOM];         /* table * SOFT_TLB_N + index */
};

/* A translation found: what an access needs. */
struct hit {
	uint64_t lin, pa, info;
	uint32_t entry;                 /* first-level entry; 0: paging is off */
	uint8_t id;                     /* its array */
	uint8_t soft;                   /* came from the soft TLB: nothing to fill */
	uint64_t tag;                   /* the entry's tag then: a later piece of the same access may replace it */
};

/* Arrays whose entries map large pages: a list of soft entries each. */
static inline bool is_large_data(uint8_t id)
{
	return id >= DTLB_2M && id <= FLAT_D_1G;
}

static inline struct soft_list *list_of(struct mmu *m, uint32_t entry)
{
	return &m->lists[entry - m->tlbs->array[DTLB_2M].base];
}

/* A soft entry for a translation found, if its modelled entry is there still. The modelled entry goes: so must what hangs on it. */
void soft_fill(struct mmu *m, const struct hit *h, unsigned access);
void soft_kill(struct mmu *m, uint8_t id, uint32_t entry);
/* Which table an access looks into; the one in force. */
unsigned soft_view(const struct mmu *m, unsigned access);
void soft_choose(struct mmu *m);

/* The registers may have changed: go on with what the context they make left behind. */
void context_choose(struct mmu *m);
/* Translations of contexts with these tag bits (and this PCID, if not ANY_PCID) were invalidated. */
#define ANY_PCID (~0u)
void context_drop(struct mmu *m, uint64_t mask, uint64_t tag, unsigned pcid);
void context_drop_tagged(struct mmu *m);        /* those of any VPID but 0 */

/* "INVLPG and INVPCID ... invalidate linear mappings and combined mappings. They are required to do so only for the current VPID
 * (but, for combined mappings, all EP4TAs)." */
static inline uint64_t vpid_of(const struct mmu *m)
{
	return m->context & CONTEXT_VPID;
}

/* Links between blocks live on translations that the TLBs may have lost since: what was ever fetched from counts. */
void code_fetched(struct mmu *m, uint64_t lin, unsigned whole);
void code_forgotten(struct mmu *m, uint64_t lin, uint64_t vpid);

void soft_init(struct mmu *m);          /* the modelled TLBs are there */
void soft_fini(struct mmu *m);

#endif
