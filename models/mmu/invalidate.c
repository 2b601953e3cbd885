/* invalidate.c - which entries of the TLBs and paging-structure caches an instruction, a fault or a register write ends.
 *
 * Source: SDM Vol. 3A, "Invalidation of TLBs and Paging-Structure Caches"; Vol. 3C, "VMX Instruction Reference", INVEPT, INVVPID. */
#include "models/mmu/invalidate.h"

static const uint8_t size_shift[3] = { [SIZE_4K] = 12, [SIZE_2M] = 21, [SIZE_1G] = 30 };

static void drop_entry(struct mmu *m, uint8_t id, uint32_t entry)
{
	if (id <= FLAT_I_1G)
		soft_kill(m, id, entry);
	tlb_kill(m->tlbs, (enum tlb_id)id, entry);
}

/* Whom invalidations of a linear address concern. */
struct whom {
	uint64_t vpid;
	unsigned pcid;                  /* or ANY_PCID */
	bool globals;
};

static bool concerns(const struct tlb_set *t, uint32_t i, const struct whom *w)
{
	uint64_t tag = t->tag[i];
	return (t->context[i] & CONTEXT_VPID) == w->vpid && (tag & TAG_G ? w->globals : w->pcid == ANY_PCID || BITS(tag, 15, 4) == w->pcid);
}

/* Invalidate the entries of one array that a linear address would use. */
static void forget_in(struct mmu *m, uint8_t id, uint64_t lin, const struct whom *w)
{
	struct tlb_set *t = m->tlbs;
	const struct tlb_array *a = &t->array[id];
	if (!t->live[id])
		return;
	for (unsigned size = SIZE_4K; size <= SIZE_1G; size++) {
		if (!(a->size_mask >> size & 1))
			continue;
		uint64_t tag = tlb_tag(lin, size_shift[size], size, 0, false);
		uint32_t i = tlb_set_base(a, tlb_page(lin, size_shift[size])), end = i + a->ways;
		for (; i < end; i++)
			if ((t->tag[i] & ~(TAG_PCID | TAG_G)) == tag && concerns(t, i, w))
				drop_entry(m, id, i);
	}
	if (!t->pieces[id])
		return;
	/* "If the paging structures map the linear address using a page larger than 4 KBytes and there are multiple TLB
	 * entries for that page, the instruction invalidates all of them." */
	for (uint32_t i = a->base, end = i + a->sets * a->ways; i < end; i++) {
		uint64_t tag = t->tag[i];
		if (!tag || !concerns(t, i, w))
			continue;
		unsigned shift = size_shift[BITS(tag, 3, 2)], whole = tlb_whole_shift[INFO_WHOLE(t->info[i])];
		if (whole > shift && (tlb_lin(tag, shift) ^ lin) << 7 >> 7 >> whole == 0)
			drop_entry(m, id, i);
	}
}

static void forget(struct mmu *m, uint64_t lin, const struct whom *w)
{
	for (uint8_t id = DTLB_4K; id <= STLB_1G; id++)
		forget_in(m, id, lin, w);
}

void forget_page(struct mmu *m, uint64_t lin, unsigned pcid, bool globals)
{
	forget(m, lin, &(struct whom){ vpid_of(m), pcid, globals });
}

void forget_structures(struct mmu *m, uint64_t lin, unsigned pcid)
{
	for (unsigned level = 2; level <= m->paging.levels; level++) {
		enum tlb_id id = (enum tlb_id)(PSC_PDE + level - 2);
		uint64_t tag = tlb_tag(lin, 12 + (level - 1) * m->paging.index_bits, SIZE_PSC, pcid, false);
		tlb_kill_if(m->tlbs, id, ~0ull, tag, CONTEXT_VPID, vpid_of(m));
	}
}

void flush_of(struct mmu *m, enum flush_scope scope, unsigned pcid, uint64_t vpid)
{
	for (enum tlb_id id = DTLB_4K; id <= PSC_PML5E; id++) {
		if (scope == FLUSH_ALL)
			tlb_kill_if(m->tlbs, id, TAG_V, TAG_V, CONTEXT_VPID, vpid);
		else if (scope == FLUSH_NOT_GLOBAL)
			tlb_kill_if(m->tlbs, id, TAG_V | TAG_G, TAG_V, CONTEXT_VPID, vpid);
		else
			tlb_kill_if(m->tlbs, id, TAG_V | TAG_G | TAG_PCID, TAG_V | (uint64_t)pcid << 4, CONTEXT_VPID, vpid);
		if (scope == FLUSH_PCID_GLOBAL)
			tlb_kill_if(m->tlbs, id, TAG_V | TAG_G, TAG_V | TAG_G, CONTEXT_VPID, vpid);
	}
	context_drop(m, CONTEXT_VPID, vpid, scope == FLUSH_PCID ? pcid : ANY_PCID);
	m->stat[MMU_STAT_FLUSH]++;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_FLUSH, scope, pcid, vpid, 0);
}

/* ---- instructions ---- */

/* "INVLPG ... also invalidates all entries in all paging-structure caches associated with the current PCID, regardless of
 * the linear addresses to which they correspond." */
void mmu_invlpg(struct mmu *m, uint64_t lin)
{
	const unsigned pcid = m->paging.pcid;
	forget_page(m, lin, pcid, true);
	for (enum tlb_id id = PSC_PDE; id <= PSC_PML5E; id++)
		tlb_kill_if(m->tlbs, id, TAG_V | TAG_PCID, TAG_V | (uint64_t)pcid << 4, CONTEXT_VPID, vpid_of(m));
	code_forgotten(m, lin, vpid_of(m));
	m->stat[MMU_STAT_INVLPG]++;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_INVLPG, lin, pcid, 0, 0);
}

void mmu_invpcid(struct mmu *m, enum invpcid_type type, unsigned pcid, uint64_t lin)
{
	m->stat[MMU_STAT_INVLPG]++;
	switch (type) {
	case INVPCID_ADDRESS:
		forget_page(m, lin, pcid, false);
		forget_structures(m, lin, pcid);
		code_forgotten(m, lin, vpid_of(m));
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_INVLPG, lin, pcid, 0, 0);
		break;
	case INVPCID_CONTEXT:
		flush(m, FLUSH_PCID, pcid);
		break;
	case INVPCID_ALL_GLOBAL:
		flush(m, FLUSH_ALL, pcid);
		break;
	case INVPCID_ALL:
		flush(m, FLUSH_NOT_GLOBAL, pcid);
		break;
	}
}

void mmu_flush_all(struct mmu *m)
{
	for (enum tlb_id id = DTLB_4K; id < TLB_ARRAYS; id++)
		tlb_kill_if(m->tlbs, id, TAG_V, TAG_V, 0, 0);
	mmu_drop_soft(m);
	m->stat[MMU_STAT_FLUSH]++;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_FLUSH, FLUSH_ALL, 0, 0, 0);
}

void mmu_invept(struct mmu *m, enum invept_type type, uint64_t eptp)
{
	const uint64_t mask = type == INVEPT_SINGLE ? CONTEXT_EPT | CONTEXT_EP4TA : CONTEXT_EPT;
	const uint64_t want = type == INVEPT_SINGLE ? ep4ta_of(eptp) : CONTEXT_EPT;
	for (enum tlb_id id = DTLB_4K; id < TLB_ARRAYS; id++)
		tlb_kill_if(m->tlbs, id, TAG_V, TAG_V, mask, want);
	context_drop(m, mask, want, ANY_PCID);
	m->stat[MMU_STAT_FLUSH]++;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_INVEPT, type, eptp, 0, 0);
}

void mmu_invvpid(struct mmu *m, enum invvpid_type type, unsigned vpid, uint64_t lin)
{
	switch (type) {
	case INVVPID_ADDRESS:
		forget(m, lin, &(struct whom){ vpid, ANY_PCID, true });
		/* how wide an index that guest's paging mode has is not known here: all its structure-cache entries go */
		for (enum tlb_id id = PSC_PDE; id <= PSC_PML5E; id++)
			tlb_kill_if(m->tlbs, id, TAG_V, TAG_V, CONTEXT_VPID, vpid);
		code_forgotten(m, lin, vpid);
		m->stat[MMU_STAT_INVLPG]++;
		break;
	case INVVPID_SINGLE:
		flush_of(m, FLUSH_ALL, 0, vpid);
		break;
	case INVVPID_SINGLE_NOT_GLOBAL:
		flush_of(m, FLUSH_NOT_GLOBAL, 0, vpid);
		break;
	case INVVPID_ALL:
		for (enum tlb_id id = DTLB_4K; id <= PSC_PML5E; id++)
			tlb_kill_tagged(m->tlbs, id);
		context_drop_tagged(m);
		m->stat[MMU_STAT_FLUSH]++;
		break;
	}
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_INVVPID, type, vpid, lin, 0);
}
