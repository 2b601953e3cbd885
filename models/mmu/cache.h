/* cache.h - the modelled cache hierarchy: per CPU L1I, L1D and L2, one L3 shared by all or none.
 *
 * Set-associative, LRU, physically tagged, 64-byte lines; write-back and write-allocate. It knows
 * which lines are where and in which state; the bytes themselves are always in RAM (the host is
 * one thread).
 *
 *   L3   inclusive of every L1 and L2; each line keeps a bit per CPU that may hold it (the snoop filter)
 *   L2   neither inclusive nor exclusive of L1; takes L1D's modified victims
 *   MESI invalidation-based: a CPU writes only a line nobody else holds
 *
 * Source: SDM Vol. 3A, "Memory Cache Control"; Optimization Reference Manual, cache hierarchy chapters.
 * Simplified: no prefetchers, no memory types (all RAM is write-back), no store buffer beyond the profile's
 * store.miss; a line in another CPU's cache is served at the level where the snoop is resolved (L3, else memory);
 * devices' DMA is not cached and not snooped. */
#ifndef MMU_CACHE_H
#define MMU_CACHE_H

#include "models/mmu/mmu.h"

/* One cache. A set's words stand most recently used first, invalid (0) ones last.
 *   63            18 17          2 1   0
 *  +----------------+-------------+-----+
 *  |  line number   | CPUs (L3)   |state|
 *  +----------------+-------------+-----+ */
struct cache {
	uint64_t *word;
	uint64_t mask;                  /* sets - 1 */
	uint32_t sets, ways;
};
enum { LINE_INVALID, LINE_SHARED, LINE_EXCLUSIVE, LINE_MODIFIED };

struct cache_core {
	struct cache l1i, l1d, l2;
	/* derived from the words: for the inline checks */
	uint64_t *l1d_mru, *l1d_mru_dirty, *l1i_mru;
	uint64_t *stat;                 /* of the CPU's struct mmu */
};

struct cache_hier {
	unsigned cpus;
	uint32_t latency[LEVEL_MEM + 1];        /* load-to-use */
	struct cache l3;                /* sets == 0: none */
	struct cache_core core[CPUS_MAX];
	uint64_t *words;                /* all caches' words: the state */
	size_t words_n;
	uint64_t *mru;                  /* all cores' derived arrays */
	void *block;
};

/* caches_new, caches_free, caches_sections: mmu.h */
void cache_restored(struct cache_hier *h, unsigned cpu);        /* rebuild the derived arrays */

/* One data reference: brings the line into L1D and says which level served it. *present: it was in
 * L1D; if the level is not L1 then, the line was shared and a write had to take it from other CPUs,
 * which was settled at that level. */
enum mem_level cache_data(struct cache_hier *h, unsigned cpu, uint64_t line, bool write,
                          bool *present);
enum mem_level cache_fetch(struct cache_hier *h, unsigned cpu, uint64_t line);
/* WBINVD: this CPU's caches and the shared one (which takes the others' lines with it). Modified
 * lines written back. */
uint64_t cache_flush(struct cache_hier *h, unsigned cpu);
void cache_drop_all(struct cache_hier *h, unsigned cpu);       /* forget this CPU's lines, nothing counted */

/* The words of the set a line would be in. */
static inline uint64_t *cache_set(const struct cache *c, uint64_t line)
{
	uint64_t set = line & c->mask;
	if (unlikely(c->sets & c->mask))        /* not a power of two */
		set = line % c->sets;
	return c->word + set * c->ways;
}

/* The host will want these soon: a large cache's words are far away from it, too. */
static inline void cache_expect_set(const struct cache *c, uint64_t line)
{
	const uint64_t *set = cache_set(c, line);
	for (unsigned i = 0; i < c->ways; i += 8)
		__builtin_prefetch(set + i, 1);
}
static inline void cache_expect(const struct cache_hier *h, unsigned cpu, uint64_t line)
{
	const struct cache *c = h->l3.sets ? &h->l3 : &h->core[cpu].l2;
	cache_expect_set(c, line);
}

/* Looking: the state (LINE_*) of a line in one cache. */
unsigned cache_peek(const struct cache *c, uint64_t line);

#endif
