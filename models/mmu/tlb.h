/* tlb.h - the modelled TLBs and paging-structure caches of one CPU: one pool of entries, cut into arrays.
 *
 *   dtlb 4K 2M 1G, itlb 4K 2M    first level, split by page size
 *   stlb 4K (2M shared) 1G       second level, unified
 *   PML5E PML4E PDPTE PDE        paging-structure caches: where the walk may start
 *   nested, EPT                  guest-physical to host-physical, and EPT paging-structure caches (two-dimensional walks)
 *   flat d/i, 4K 2M 1G           fast speed uses these instead: fixed geometry, first in first out, no timing
 *
 * A page larger than an array's size is kept as pieces of that size (SDM: "smaller-page TLB entries"); 4 MB pages as two
 * 2 MB pieces. Replacement is LRU by stamps: invalid ways first.
 * Source: SDM Vol. 3A, "Caching Translation Information". */
#ifndef MMU_TLB_H
#define MMU_TLB_H

#include "models/mmu/mmu.h"

enum tlb_id {
	/* soft TLB entries hang on these; their numbers fit 12 bits */
	DTLB_4K, DTLB_2M, DTLB_1G,
	FLAT_D_2M, FLAT_D_1G,
	FLAT_D_4K,
	/* soft fetch entries hang on these */
	ITLB_4K, ITLB_2M,
	FLAT_I_4K, FLAT_I_2M, FLAT_I_1G,
	STLB_4K, STLB_1G,
	/* from here on fully associative: struct tlb_bucket */
	PSC_PDE, PSC_PDPTE, PSC_PML4E, PSC_PML5E,       /* by level: PSC_PDE + level - 2 */
	NESTED, EPT_PDE, EPT_PDPTE, EPT_PML4E, EPT_PML5E,
	TLB_ARRAYS
};

struct tlb_array {
	uint32_t base;                  /* number of its first entry */
	uint32_t sets, ways;
	uint32_t mask;                  /* sets - 1; sets need not be a power of two */
	uint8_t shift;                  /* log2 of the bytes one entry maps; PSC: of one entry of its level */
	uint8_t size_mask;              /* TLBs: the sizes it can hold, bit per enum tlb_size */
};

enum tlb_size { SIZE_4K, SIZE_2M, SIZE_1G, SIZE_PSC };

/* An entry is a word of tag, one of context, one of contents, one of age.
 * tag:      60        16 15       4 3    2  1   0
 *          +------------+----------+------+---+---+
 *          | page number|   PCID   | size | G | V |         a global entry has PCID 0: it matches under any
 *          +------------+----------+------+---+---+
 * context:  63   57  56  55        16 15       0
 *          +-------+---+------------+----------+
 *          |   0   |EPT|   EP4TA    |   VPID   |            0 outside VMX non-root operation; EPT: in use, EP4TA means something
 *          +-------+---+------------+----------+            nested TLB, EPT structure caches: VPID 0, any guest's
 * contents: 51        12 11   8  7 6 5  4   3   2   1   0
 *          +------------+------+-------+---+---+---+---+
 *          |  address   | pkey | whole | D | X | U | W |    whole: size of the page this is a piece of, 4K 2M 4M 1G
 *          +------------+------+-------+---+---+---+---+    (bits 7, 6: whole; 5: SS; 4: NR)
 * SS: a shadow-stack page (read only and dirty, writable but for the last entry); noticed while CR4.CET is 1.
 * Combined mappings: the address is host-physical; X and D are allowed by both dimensions, NR: EPT does not allow reading.
 * Structure caches: D: the next table's page may be written through EPT. Nested TLB and EPT structure caches: ept.c. */
#define TAG_V       BIT(0)
#define TAG_G       BIT(1)
#define TAG_PCID    (0xfffull << 4)
#define CONTEXT_VPID 0xffffull
#define CONTEXT_EPT  BIT(56)
#define CONTEXT_EP4TA (MASK(40) << 16)
#define INFO_W      BIT(0)
#define INFO_U      BIT(1)
#define INFO_X      BIT(2)
#define INFO_D      BIT(3)
#define INFO_NR     BIT(4)
#define INFO_SS     BIT(5)
#define INFO_WHOLE(i)  ((unsigned)BITS(i, 7, 6))
#define INFO_PKEY(i)   ((unsigned)BITS(i, 11, 8))
#define INFO_ADDR(i)   ((i) & ~0xfffull)
enum { WHOLE_4K, WHOLE_2M, WHOLE_4M, WHOLE_1G };
extern const uint8_t tlb_whole_shift[4];

/* Structure caches and the nested TLB, fully associative, are not searched entry by entry if need not be: per hash of the page, how
 * many entries have it, and which of them was met last. */
#define TLB_BUCKETS 64
struct tlb_bucket { uint32_t n, last; };

struct tlb_set {
	struct tlb_array array[TLB_ARRAYS];
	uint64_t *tag, *context, *info, *stamp; /* [0] is no entry; stamp[0] is the clock of use */
	uint32_t *live;                 /* per array: valid entries */
	uint32_t *pieces;               /* per array: entries that are pieces of larger pages were written since it was last empty */
	uint32_t n;
	void *state;                    /* all of the above, one block, for snapshots */
	size_t state_size;
	uint32_t sizes[TLB_ARRAYS][4];  /* derived: valid entries per array and enum tlb_size; none of a size, none looked for */
	struct tlb_bucket bucket[TLB_ARRAYS - PSC_PDE][TLB_BUCKETS];    /* derived likewise */
};

struct tlb_set *tlb_new(const struct profile *p, struct err *e);
void tlb_free(struct tlb_set *t);
void tlb_restored(struct tlb_set *t);   /* the state is another: what is derived follows */
bool tlb_valid(void *who, const void *state);   /* for snaps_valid(); who: the set */

static inline uint64_t tlb_page(uint64_t lin, unsigned shift)
{
	return lin << 7 >> 7 >> shift;          /* 57 bits: the widest linear address */
}
static inline uint64_t tlb_tag(uint64_t lin, unsigned shift, enum tlb_size size, unsigned pcid, bool global)
{
	return tlb_page(lin, shift) << 16 | (global ? TAG_G : (uint64_t)pcid << 4) | (uint64_t)size << 2 | TAG_V;
}
/* Linear address of the first byte an entry maps (sign-extended). */
static inline uint64_t tlb_lin(uint64_t tag, unsigned shift)
{
	return (uint64_t)((int64_t)(tag >> 16 << shift << 7) >> 7);
}

/* First entry of the set a page would be in. */
static inline uint32_t tlb_set_base(const struct tlb_array *a, uint64_t page)
{
	uint32_t set = (uint32_t)page & a->mask;
	if (unlikely(a->sets & a->mask))
		set = (uint32_t)(page % a->sets);
	return a->base + set * a->ways;
}

/* NULL: an array that has none. */
static inline struct tlb_bucket *tlb_bucket(struct tlb_set *t, enum tlb_id id, uint64_t page)
{
	return id < PSC_PDE ? NULL : &t->bucket[id - PSC_PDE][(page ^ page >> 6) % TLB_BUCKETS];
}

/* Entry number, or 0. */
static inline uint32_t tlb_find(struct tlb_set *t, enum tlb_id id, uint64_t lin, unsigned shift, enum tlb_size size,
                                unsigned pcid, uint64_t context)
{
	const struct tlb_array *a = &t->array[id];
	if (!t->sizes[id][size])
		return 0;
	const uint64_t page = tlb_page(lin, shift), want = page << 16 | (uint64_t)size << 2 | TAG_V;
	const uint64_t *tag = t->tag + tlb_set_base(a, page), *end = tag + a->ways, other = ~(TAG_PCID | TAG_G);
	struct tlb_bucket *b = tlb_bucket(t, id, page);
	if (b && !b->n)
		return 0;
	if (b && t->tag[b->last] == (want | (uint64_t)pcid << 4) && t->context[b->last] == context)
		return b->last;
	do {
		const uint64_t differs = *tag ^ want;
		if (unlikely(!(differs & other)) && (differs == (uint64_t)pcid << 4 || differs == TAG_G) && t->context[tag - t->tag] == context) {
			if (b)
				b->last = (uint32_t)(tag - t->tag);
			return (uint32_t)(tag - t->tag);
		}
	} while (++tag < end);
	return 0;
}

static inline void tlb_use(struct tlb_set *t, uint32_t entry)
{
	uint64_t now = t->stamp[0] + 1;
	t->stamp[0] = t->stamp[entry] = now;
}

/* The entry a new translation of this page would replace: an invalid way, whose stamp is 0, else the one unused longest. */
static inline uint32_t tlb_victim(const struct tlb_set *t, enum tlb_id id, uint64_t lin, unsigned shift)
{
	const struct tlb_array *a = &t->array[id];
	const uint64_t *stamp = t->stamp + tlb_set_base(a, tlb_page(lin, shift)), *end = stamp + a->ways, *best = stamp;
	uint64_t least = *stamp;
	while (++stamp < end) {
		best = *stamp < least ? stamp : best;
		least = *stamp < least ? *stamp : least;
	}
	return (uint32_t)(best - t->stamp);
}

static inline void tlb_write(struct tlb_set *t, enum tlb_id id, uint32_t entry, uint64_t tag, uint64_t context, uint64_t info)
{
	const uint64_t old = t->tag[entry];
	if (id >= PSC_PDE) {
		if (old)
			tlb_bucket(t, id, old >> 16)->n--;
		struct tlb_bucket *b = tlb_bucket(t, id, tag >> 16);
		b->n++;
		b->last = entry;
	}
	if (unlikely((old ^ tag) & (3 << 2 | TAG_V))) {
		t->live[id] += !old;
		t->sizes[id][BITS(old, 3, 2)] -= old != 0;
		t->sizes[id][BITS(tag, 3, 2)]++;
	}
	t->tag[entry] = tag;
	t->context[entry] = context;
	t->info[entry] = info;
	tlb_use(t, entry);
}

void tlb_kill(struct tlb_set *t, enum tlb_id id, uint32_t entry);

/* Invalidate the entries of one array with (tag & mask) == want and (context & context_mask) == context. */
void tlb_kill_if(struct tlb_set *t, enum tlb_id id, uint64_t mask, uint64_t want, uint64_t context_mask, uint64_t context);
void tlb_kill_tagged(struct tlb_set *t, enum tlb_id id);       /* those of any VPID but 0 */

#endif
