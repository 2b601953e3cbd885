/* invalidate.h - translations that go, inside models/mmu. Instructions that make them go: mmu.h. */
#ifndef MMU_INVALIDATE_H
#define MMU_INVALIDATE_H

#include "models/mmu/soft.h"

/* Of the current VPID and one PCID: what an address would use of the TLBs, of the paging-structure caches. */
void forget_page(struct mmu *m, uint64_t lin, unsigned pcid, bool globals);
void forget_structures(struct mmu *m, uint64_t lin, unsigned pcid);

enum flush_scope { FLUSH_PCID, FLUSH_PCID_GLOBAL, FLUSH_NOT_GLOBAL, FLUSH_ALL };
void flush_of(struct mmu *m, enum flush_scope scope, unsigned pcid, uint64_t vpid);
static inline void flush(struct mmu *m, enum flush_scope scope, unsigned pcid)
{
	flush_of(m, scope, pcid, vpid_of(m));
}

/* The part of a context that an EPT pointer makes. */
static inline uint64_t ep4ta_of(uint64_t eptp)
{
	return CONTEXT_EPT | (eptp << 4 & CONTEXT_EP4TA);
}

#endif
