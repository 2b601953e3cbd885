/* tlb.c - geometry, replacement and invalidation of the modelled TLBs. Layout: tlb.h. */
#include <stdlib.h>
#include <string.h>

#include "models/mmu/tlb.h"

const uint8_t tlb_whole_shift[4] = { [WHOLE_4K] = 12, [WHOLE_2M] = 21, [WHOLE_4M] = 22, [WHOLE_1G] = 30 };

/* Fast speed's arrays: big enough that walks are rare, small enough that a flush is cheap. Architecturally invisible. */
enum { FLAT_4K_D = 1024, FLAT_4K_I = 256, FLAT_LARGE = 64, FLAT_WAYS = 4 };

#define SIZE(s) (1u << SIZE_##s)

static int shape(struct tlb_set *t, enum tlb_id id, const char *key, uint64_t entries, uint64_t ways, unsigned shift, unsigned sizes,
                 struct err *e)
{
	struct tlb_array *a = &t->array[id];
	a->base = t->n;
	a->shift = (uint8_t)shift;
	a->size_mask = entries ? (uint8_t)sizes : 0;
	if (!entries)
		return 0;
	if (ways > entries)
		ways = entries;
	if (entries % ways)
		return err_set(e, NULL, NULL, "%s = %llu: its %llu ways do not divide it", key, (unsigned long long)entries,
		               (unsigned long long)ways);
	a->ways = (uint32_t)ways;
	a->sets = (uint32_t)(entries / ways);
	a->mask = a->sets - 1;
	t->n += (uint32_t)entries;
	return 0;
}

struct tlb_set *tlb_new(const struct profile *p, struct err *e)
{
	struct tlb_set *t = xcalloc(1, sizeof *t);
	const unsigned stlb_sizes = SIZE(4K) | (p->stlb_2m_shared ? SIZE(2M) : 0);
	const struct { enum tlb_id id; const char *key; uint64_t entries, ways; unsigned shift, sizes; } rows[] = {
		{ DTLB_4K,   "dtlb.4k",   p->dtlb_4k, p->dtlb_4k_ways, 12, SIZE(4K) },
		{ DTLB_2M,   "dtlb.2m",   p->dtlb_2m, p->dtlb_2m_ways, 21, SIZE(2M) },
		{ DTLB_1G,   "dtlb.1g",   p->dtlb_1g, p->dtlb_1g_ways, 30, SIZE(1G) },
		{ FLAT_D_2M, NULL,        FLAT_LARGE, FLAT_WAYS,       21, SIZE(2M) },
		{ FLAT_D_1G, NULL,        FLAT_LARGE, FLAT_WAYS,       30, SIZE(1G) },
		{ FLAT_D_4K, NULL,        FLAT_4K_D,  FLAT_WAYS,       12, SIZE(4K) },
		{ ITLB_4K,   "itlb.4k",   p->itlb_4k, p->itlb_4k_ways, 12, SIZE(4K) },
		{ ITLB_2M,   "itlb.2m",   p->itlb_2m, p->itlb_2m_ways, 21, SIZE(2M) },
		{ FLAT_I_4K, NULL,        FLAT_4K_I,  FLAT_WAYS,       12, SIZE(4K) },
		{ FLAT_I_2M, NULL,        FLAT_LARGE, FLAT_WAYS,       21, SIZE(2M) },
		{ FLAT_I_1G, NULL,        FLAT_LARGE, FLAT_WAYS,       30, SIZE(1G) },
		{ STLB_4K,   "stlb.4k",   p->stlb_4k, p->stlb_4k_ways, 12, stlb_sizes },
		{ STLB_1G,   "stlb.1g",   p->stlb_1g, p->stlb_1g_ways, 30, SIZE(1G) },
		{ PSC_PDE,   "psc.pde",   p->pd_cache,   p->pd_cache,   21, 0 },
		{ PSC_PDPTE, "psc.pdpte", p->pdpt_cache, p->pdpt_cache, 30, 0 },
		{ PSC_PML4E, "psc.pml4e", p->pml4_cache, p->pml4_cache, 39, 0 },
		{ PSC_PML5E, "psc.pml5e", p->pml5_cache, p->pml5_cache, 48, 0 },
		{ NESTED,    "nested.tlb", p->nested_tlb, p->nested_tlb, 12, SIZE(4K) | SIZE(2M) | SIZE(1G) },
		{ EPT_PDE,   "ept.psc",   p->ept_psc, p->ept_psc, 21, 0 },
		{ EPT_PDPTE, "ept.psc",   p->ept_psc, p->ept_psc, 30, 0 },
		{ EPT_PML4E, "ept.psc",   p->ept_psc, p->ept_psc, 39, 0 },
		{ EPT_PML5E, "ept.psc",   p->ept_psc, p->ept_psc, 48, 0 },
	};
	_Static_assert(ARRAY_LEN(rows) == TLB_ARRAYS, "one row per array, in order");
	t->n = 1;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (shape(t, rows[i].id, rows[i].key, rows[i].entries, rows[i].ways, rows[i].shift, rows[i].sizes, e)) {
			free(t);
			return NULL;
		}
	}
	if (t->array[FLAT_D_4K].base > 4096) {
		err_set(e, NULL, NULL, "dtlb.4k + dtlb.2m + dtlb.1g = %u entries: expected at most %u",
		        t->array[FLAT_D_2M].base - 1, 4096 - 2 * FLAT_LARGE - 1);
		free(t);
		return NULL;
	}
	size_t words = 4 * (size_t)t->n, counts = 2 * TLB_ARRAYS;
	t->state_size = words * sizeof(uint64_t) + counts * sizeof(uint32_t);
	t->state = xcalloc(1, t->state_size);
	t->tag = t->state;
	t->context = t->tag + t->n;
	t->info = t->context + t->n;
	t->stamp = t->info + t->n;
	t->live = (uint32_t *)(t->stamp + t->n);
	t->pieces = t->live + TLB_ARRAYS;
	return t;
}

void tlb_restored(struct tlb_set *t)
{
	memset(t->sizes, 0, sizeof t->sizes);
	memset(t->bucket, 0, sizeof t->bucket);
	for (unsigned id = 0; id < TLB_ARRAYS; id++) {
		const struct tlb_array *a = &t->array[id];
		for (uint32_t i = a->base, end = i + a->sets * a->ways; t->live[id] && i < end; i++) {
			if (!t->tag[i])
				continue;
			t->sizes[id][BITS(t->tag[i], 3, 2)]++;
			if (id >= PSC_PDE)
				tlb_bucket(t, (enum tlb_id)id, t->tag[i] >> 16)->n++;
		}
	}
}

/* From a snapshot file: entries of a size their array can hold, valid or empty, and as many as are counted. */
bool tlb_valid(void *who, const void *state)
{
	const struct tlb_set *t = who;
	uint64_t *copy = xcalloc(1, t->state_size), *tag = copy;
	memcpy(copy, state, t->state_size);     /* the file's bytes are not aligned */
	const uint32_t *live = (const uint32_t *)(copy + 4 * (size_t)t->n);
	bool ok = !tag[0];
	for (unsigned id = 0; ok && id < TLB_ARRAYS; id++) {
		const struct tlb_array *a = &t->array[id];
		uint32_t n = 0;
		for (uint32_t i = a->base, end = i + a->sets * a->ways; i < end; i++) {
			unsigned size = (unsigned)BITS(tag[i], 3, 2);
			n += tag[i] != 0;
			ok &= !tag[i] || (tag[i] & TAG_V && (a->size_mask ? a->size_mask >> size & 1 : size == SIZE_PSC));
		}
		ok &= live[id] == n;
	}
	free(copy);
	return ok;
}

void tlb_free(struct tlb_set *t)
{
	if (!t)
		return;
	free(t->state);
	free(t);
}

/* The whole entry goes, so that equal histories leave equal bytes. */
void tlb_kill(struct tlb_set *t, enum tlb_id id, uint32_t entry)
{
	if (!t->tag[entry])
		return;
	t->sizes[id][BITS(t->tag[entry], 3, 2)]--;
	if (id >= PSC_PDE)
		tlb_bucket(t, id, t->tag[entry] >> 16)->n--;
	t->tag[entry] = t->context[entry] = t->info[entry] = t->stamp[entry] = 0;
	if (!--t->live[id])
		t->pieces[id] = 0;
}

void tlb_kill_if(struct tlb_set *t, enum tlb_id id, uint64_t mask, uint64_t want, uint64_t context_mask, uint64_t context)
{
	const struct tlb_array *a = &t->array[id];
	if (!t->live[id])
		return;
	for (uint32_t i = a->base, end = i + a->sets * a->ways; i < end; i++)
		if ((t->tag[i] & mask) == want && (t->context[i] & context_mask) == context)
			tlb_kill(t, id, i);
}

void tlb_kill_tagged(struct tlb_set *t, enum tlb_id id)
{
	const struct tlb_array *a = &t->array[id];
	if (!t->live[id])
		return;
	for (uint32_t i = a->base, end = i + a->sets * a->ways; i < end; i++)
		if (t->context[i] & CONTEXT_VPID)
			tlb_kill(t, id, i);
}
