/* cache.c - lookups, fills, victims and coherence of the modelled caches. Rules: cache.h.
 *
 * Time: none here. The level that served a reference goes back to access.c, which charges it. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/mmu/cache.h"

#define LINE_SHIFT 18
#define PRESENT(cpu) (1ull << (2 + (cpu)))
#define PRESENT_ALL  (0xffffull << 2)
#define STATE(word)  ((word) & 3)

/* ---- one cache ---- */

static int cache_shape(struct cache *c, uint64_t size, uint64_t ways, const char *name,
                       struct err *e)
{
	c->ways = (uint32_t)ways;
	c->sets = (uint32_t)(size / 64 / ways);
	c->mask = c->sets - 1;
	if (!c->sets || size % (64 * ways))
		return err_set(e, NULL, NULL, "%s.size = %llu: %llu ways of 64-byte lines do not divide it", name,
		               (unsigned long long)size, (unsigned long long)ways);
	return 0;
}

/* Way of the line in its set, or `ways`. Invalid words (0) are last, so one that looks like line 0
 * ends the search. */
static inline unsigned find(const uint64_t *set, unsigned ways, uint64_t line)
{
	for (unsigned i = 0; i < ways; i++)
		if (set[i] >> LINE_SHIFT == line)
			return STATE(set[i]) ? i : ways;
	return ways;
}

static inline void to_front(uint64_t *set, unsigned way, uint64_t word)
{
	for (; way; way--)
		set[way] = set[way - 1];
	set[0] = word;
}

/* Make the line the most recently used of its set; the victim's word (0: none) comes back. */
static uint64_t insert(struct cache *c, uint64_t line, uint64_t bits)
{
	uint64_t *set = cache_set(c, line), victim = set[c->ways - 1];
	to_front(set, c->ways - 1, line << LINE_SHIFT | bits);
	return victim;
}

/* Invalidate: the word that was there, or 0. */
static uint64_t take_out(struct cache *c, uint64_t line)
{
	uint64_t *set = cache_set(c, line);
	unsigned i = find(set, c->ways, line);
	if (i == c->ways)
		return 0;
	uint64_t word = set[i];
	for (; i + 1 < c->ways; i++)
		set[i] = set[i + 1];
	set[i] = 0;
	return word;
}

unsigned cache_peek(const struct cache *c, uint64_t line)
{
	if (!c->sets)
		return LINE_INVALID;
	const uint64_t *set = cache_set(c, line);
	unsigned i = find(set, c->ways, line);
	return i == c->ways ? LINE_INVALID : (unsigned)STATE(set[i]);
}

/* ---- the arrays the inline checks look at ---- */

static void show_l1d(struct cache_core *core, uint64_t line)
{
	uint64_t set = line & core->l1d.mask, word = core->l1d.word[set * core->l1d.ways];
	core->l1d_mru[set] = STATE(word) ? word >> LINE_SHIFT : ~0ull;
	core->l1d_mru_dirty[set] = STATE(word) == LINE_MODIFIED ? word >> LINE_SHIFT : ~0ull;
}

static void show_l1i(struct cache_core *core, uint64_t line)
{
	uint64_t set = line & core->l1i.mask, word = core->l1i.word[set * core->l1i.ways];
	core->l1i_mru[set] = STATE(word) ? word >> LINE_SHIFT : ~0ull;
}

/* ---- coherence ---- */

static void count(struct cache_core *core, enum mmu_stat stat)
{
	if (core->stat)
		core->stat[stat]++;
}

/* Modified data leaves a CPU: into L3 when there is one, else to memory. */
static void write_back(struct cache_hier *h, struct cache_core *core, uint64_t line)
{
	count(core, MMU_STAT_WRITEBACK);
	if (h->l3.sets) {
		uint64_t *set = cache_set(&h->l3, line);
		unsigned i = find(set, h->l3.ways, line);
		if (i < h->l3.ways)
			set[i] |= LINE_MODIFIED;
	}
}

/* Take the line from one CPU: true when it had it. `keep` (a reader asks): it may go on sharing. */
static bool snoop(struct cache_hier *h, unsigned cpu, uint64_t line, bool keep)
{
	struct cache_core *core = &h->core[cpu];
	if (!keep) {
		uint64_t d = take_out(&core->l1d, line), l2 = take_out(&core->l2, line),
		        i = take_out(&core->l1i, line);
		if (d)
			show_l1d(core, line);
		if (i)
			show_l1i(core, line);
		/* a writer takes modified data over: nothing is written back */
		return d || l2 || i;
	}
	bool held = false, dirty = false;
	struct cache *const c[] = { &core->l1d, &core->l2 };
	for (unsigned k = 0; k < ARRAY_LEN(c); k++) {
		uint64_t *set = cache_set(c[k], line);
		unsigned i = find(set, c[k]->ways, line);
		if (i == c[k]->ways)
			continue;
		held = true;
		dirty |= STATE(set[i]) == LINE_MODIFIED;
		set[i] = (set[i] & ~3ull) | LINE_SHARED;
	}
	if (dirty)
		write_back(h, core, line);
	if (held)
		show_l1d(core, line);
	return held || cache_peek(&core->l1i, line);
}

/* Snoop the CPUs in `who` (bits as in a word of L3). True when one held the line. */
static bool snoop_all(struct cache_hier *h, uint64_t who, uint64_t line, bool keep)
{
	bool held = false;
	for (unsigned cpu = 0; who && cpu < h->cpus; cpu++)
		if (who & PRESENT(cpu))
			held |= snoop(h, cpu, line, keep);
	return held;
}

static uint64_t others(const struct cache_hier *h, unsigned cpu)
{
	return ((1ull << h->cpus) - 1) << 2 & ~PRESENT(cpu);
}

/* A line falls out of L3: nobody may keep it (inclusion). */
static void l3_victim(struct cache_hier *h, struct cache_core *asker, uint64_t word)
{
	uint64_t line = word >> LINE_SHIFT;
	bool dirty = STATE(word) == LINE_MODIFIED;
	for (unsigned cpu = 0; cpu < h->cpus; cpu++) {
		if (!(word & PRESENT(cpu)))
			continue;
		struct cache_core *core = &h->core[cpu];
		uint64_t d = take_out(&core->l1d, line), l2 = take_out(&core->l2, line);
		dirty |= STATE(d) == LINE_MODIFIED || STATE(l2) == LINE_MODIFIED;
		if (d)
			show_l1d(core, line);
		if (take_out(&core->l1i, line))
			show_l1i(core, line);
	}
	if (dirty)
		count(asker, MMU_STAT_WRITEBACK);
}

/* The line is in no cache of this CPU: find it further out. *state: how this CPU may hold it. */
static enum mem_level beyond_l2(struct cache_hier *h, unsigned cpu, uint64_t line, bool write,
                                unsigned *state)
{
	struct cache_core *core = &h->core[cpu];
	count(core, MMU_STAT_L2_MISS);
	*state = LINE_EXCLUSIVE;
	if (!h->l3.sets) {
		if (h->cpus > 1 && snoop_all(h, others(h, cpu), line, !write) && !write)
			*state = LINE_SHARED;
		return LEVEL_MEM;
	}
	uint64_t *set = cache_set(&h->l3, line);
	unsigned i = find(set, h->l3.ways, line);
	if (i == h->l3.ways) {
		count(core, MMU_STAT_L3_MISS);
		uint64_t victim = insert(&h->l3, line, PRESENT(cpu) | LINE_EXCLUSIVE);
		if (victim)
			l3_victim(h, core, victim);
		return LEVEL_MEM;
	}
	uint64_t who = set[i] & PRESENT_ALL & ~PRESENT(cpu);
	if (unlikely(who)) {
		if (!snoop_all(h, who, line, !write))
			set[i] &= ~who;
		else if (!write)
			*state = LINE_SHARED;
		if (write)
			set[i] &= ~who;
	}
	to_front(set, i, set[i] | PRESENT(cpu));
	return LEVEL_L3;
}

/* The CPU holds the line shared and wants to write it: everyone else drops it. Where that
 * is settled. */
static enum mem_level own(struct cache_hier *h, unsigned cpu, uint64_t line)
{
	struct cache_core *core = &h->core[cpu];
	enum mem_level level = LEVEL_MEM;
	if (h->l3.sets) {
		uint64_t *set = cache_set(&h->l3, line);
		unsigned i = find(set, h->l3.ways, line);
		assert(i < h->l3.ways);         /* inclusion */
		snoop_all(h, set[i] & PRESENT_ALL & ~PRESENT(cpu), line, false);
		set[i] &= ~PRESENT_ALL | PRESENT(cpu);
		level = LEVEL_L3;
	} else {
		snoop_all(h, others(h, cpu), line, false);
	}
	uint64_t *set = cache_set(&core->l2, line);
	unsigned i = find(set, core->l2.ways, line);
	if (i < core->l2.ways && STATE(set[i]) == LINE_SHARED)
		set[i] = (set[i] & ~3ull) | LINE_EXCLUSIVE;
	return level;
}

static void l2_insert(struct cache_hier *h, struct cache_core *core, uint64_t line, unsigned state)
{
	uint64_t victim = insert(&core->l2, line, state);
	if (STATE(victim) == LINE_MODIFIED)
		write_back(h, core, victim >> LINE_SHIFT);
}

/* Modified data leaves L1D for L2, which may have lost the line meanwhile. */
static void l1d_write_back(struct cache_hier *h, struct cache_core *core, uint64_t line)
{
	uint64_t *set = cache_set(&core->l2, line);
	unsigned i = find(set, core->l2.ways, line);
	count(core, MMU_STAT_WRITEBACK);
	if (i < core->l2.ways)
		set[i] |= LINE_MODIFIED;
	else
		l2_insert(h, core, line, LINE_MODIFIED);
}

/* From L2 or beyond into L2. *state: how L1 may hold it. */
static enum mem_level fill(struct cache_hier *h, unsigned cpu, uint64_t line, bool write,
                           unsigned *state)
{
	struct cache_core *core = &h->core[cpu];
	uint64_t *set = cache_set(&core->l2, line);
	unsigned i = find(set, core->l2.ways, line);
	if (i == core->l2.ways) {
		enum mem_level level = beyond_l2(h, cpu, line, write, state);
		l2_insert(h, core, line, *state);
		return level;
	}
	to_front(set, i, set[i]);
	*state = STATE(set[0]) == LINE_SHARED ? LINE_SHARED : LINE_EXCLUSIVE;
	if (write && *state == LINE_SHARED) {
		*state = LINE_EXCLUSIVE;
		return own(h, cpu, line);
	}
	return LEVEL_L2;
}

/* ---- references ---- */

/* A line is about to become modified: the CPU's own L1I must not go on serving the old bytes. */
static void drop_from_l1i(struct cache_core *core, uint64_t line)
{
	if (take_out(&core->l1i, line))
		show_l1i(core, line);
}

enum mem_level cache_data(struct cache_hier *h, unsigned cpu, uint64_t line, bool write,
                          bool *present)
{
	struct cache_core *core = &h->core[cpu];
	struct cache *c = &core->l1d;
	uint64_t *set = c->word + (line & c->mask) * c->ways;
	unsigned i = find(set, c->ways, line), state;
	enum mem_level level = LEVEL_L1;
	*present = i < c->ways;
	if (likely(*present)) {
		state = STATE(set[i]);
		if (write && state != LINE_MODIFIED) {
			if (state == LINE_SHARED)
				level = own(h, cpu, line);
			drop_from_l1i(core, line);
			state = LINE_MODIFIED;
		}
		to_front(set, i, line << LINE_SHIFT | state);
	} else {
		if (h->l3.sets)
			cache_expect_set(&h->l3, line);
		level = fill(h, cpu, line, write, &state);
		if (write) {
			drop_from_l1i(core, line);
			state = LINE_MODIFIED;
		}
		uint64_t victim = insert(c, line, state);
		if (STATE(victim) == LINE_MODIFIED)
			l1d_write_back(h, core, victim >> LINE_SHIFT);
	}
	uint64_t n = line & c->mask;
	core->l1d_mru[n] = line;
	core->l1d_mru_dirty[n] = state == LINE_MODIFIED ? line : ~0ull;
	return level;
}

enum mem_level cache_fetch(struct cache_hier *h, unsigned cpu, uint64_t line)
{
	struct cache_core *core = &h->core[cpu];
	struct cache *c = &core->l1i;
	uint64_t *set = c->word + (line & c->mask) * c->ways;
	unsigned i = find(set, c->ways, line), state;
	enum mem_level level = LEVEL_L1;
	if (i < c->ways) {
		to_front(set, i, set[i]);
	} else {
		/* written here a moment ago and still only in L1D: the snoop of one's own
		 * L1D sees it */
		uint64_t *d = cache_set(&core->l1d, line);
		unsigned k = find(d, core->l1d.ways, line);
		if (k < core->l1d.ways && STATE(d[k]) == LINE_MODIFIED) {
			d[k] = (d[k] & ~3ull) | LINE_EXCLUSIVE;
			show_l1d(core, line);
			l1d_write_back(h, core, line);
		}
		level = fill(h, cpu, line, false, &state);
		insert(c, line, LINE_SHARED);
	}
	core->l1i_mru[line & c->mask] = line;
	return level;
}

/* ---- flushes, life, snapshots ---- */

static uint64_t modified(const struct cache *c)
{
	uint64_t n = 0;
	for (size_t i = 0; i < (size_t)c->sets * c->ways; i++)
		n += STATE(c->word[i]) == LINE_MODIFIED;
	return n;
}

static void wipe(struct cache *c)
{
	memset(c->word, 0, (size_t)c->sets * c->ways * sizeof *c->word);
}

void cache_drop_all(struct cache_hier *h, unsigned cpu)
{
	struct cache_core *core = &h->core[cpu];
	wipe(&core->l1i);
	wipe(&core->l1d);
	wipe(&core->l2);
	cache_restored(h, cpu);
	for (size_t i = 0; i < (size_t)h->l3.sets * h->l3.ways; i++)
		h->l3.word[i] &= ~PRESENT(cpu);
}

uint64_t cache_flush(struct cache_hier *h, unsigned cpu)
{
	uint64_t n = h->l3.sets ? modified(&h->l3) : 0;
	for (unsigned i = 0; i < h->cpus; i++) {
		struct cache_core *core = &h->core[i];
		if (i != cpu && !h->l3.sets)
			continue;       /* private caches of others stay when nothing shared is flushed */
		uint64_t mine = modified(&core->l1d) + modified(&core->l2);
		if (core->stat)
			core->stat[MMU_STAT_WRITEBACK] += mine;
		n += mine;
		wipe(&core->l1i);
		wipe(&core->l1d);
		wipe(&core->l2);
		cache_restored(h, i);
	}
	if (h->l3.sets)
		wipe(&h->l3);
	return n;
}

void cache_restored(struct cache_hier *h, unsigned cpu)
{
	struct cache_core *core = &h->core[cpu];
	for (uint64_t set = 0; set < core->l1d.sets; set++)
		show_l1d(core, set);
	for (uint64_t set = 0; set < core->l1i.sets; set++)
		show_l1i(core, set);
}

struct cache_hier *caches_new(const struct profile *p, unsigned cpus, struct err *e)
{
	struct cache_hier *h = xcalloc(1, sizeof *h);
	h->cpus = cpus;
	h->latency[LEVEL_L1] = (uint32_t)p->l1_latency;
	h->latency[LEVEL_L2] = (uint32_t)p->l2_latency;
	h->latency[LEVEL_L3] = (uint32_t)p->l3_latency;
	h->latency[LEVEL_MEM] = (uint32_t)p->mem_latency;
	struct cache_core shape = { 0 };
	int bad = cache_shape(&shape.l1i, p->l1i_size, p->l1i_ways, "l1i", e) ||
	          cache_shape(&shape.l1d, p->l1d_size, p->l1d_ways, "l1d", e)
	       || cache_shape(&shape.l2, p->l2_size, p->l2_ways, "l2", e) ||
	       (p->l3_size && cache_shape(&h->l3, p->l3_size, p->l3_ways, "l3", e));
	if (!bad && (shape.l1d.sets & shape.l1d.mask || shape.l1i.sets & shape.l1i.mask))
		bad = err_set(e, NULL, NULL, "a first-level cache of %u or %u sets: expected powers of two", shape.l1i.sets, shape.l1d.sets);
	if (bad) {
		free(h);
		return NULL;
	}
	size_t l1i = (size_t)shape.l1i.sets * shape.l1i.ways,
	        l1d = (size_t)shape.l1d.sets * shape.l1d.ways;
	size_t l2 = (size_t)shape.l2.sets * shape.l2.ways, l3 = (size_t)h->l3.sets * h->l3.ways;
	size_t mru = 2 * (size_t)shape.l1d.sets + shape.l1i.sets;
	h->words_n = cpus * (l1i + l1d + l2) + l3;
	h->block = xcalloc(h->words_n + 7, sizeof *h->words);
	/* a set of eight ways is one host line */
	h->words = (void *)(((uintptr_t)h->block + 63) & ~(uintptr_t)63);
	h->mru = xcalloc(cpus * mru, sizeof *h->mru);
	uint64_t *w = h->words;
	for (unsigned i = 0; i < cpus; i++) {
		struct cache_core *core = &h->core[i];
		*core = shape;
		core->l1d.word = w, w += l1d;
		core->l1i.word = w, w += l1i;
		core->l2.word = w, w += l2;
		core->l1d_mru = h->mru + i * mru;
		core->l1d_mru_dirty = core->l1d_mru + shape.l1d.sets;
		core->l1i_mru = core->l1d_mru_dirty + shape.l1d.sets;
		cache_restored(h, i);
	}
	h->l3.word = w;
	return h;
}

void caches_free(struct cache_hier *h)
{
	if (!h)
		return;
	free(h->block);
	free(h->mru);
	free(h);
}

/* ---- states from a snapshot file ---- */

/* Every valid line of one CPU's cache is in L3, which knows that this CPU has it (inclusion). */
static bool included(const struct cache *c, const struct cache *l3, unsigned cpu)
{
	for (size_t i = 0; i < (size_t)c->sets * c->ways; i++) {
		uint64_t line = c->word[i] >> LINE_SHIFT;
		if (!STATE(c->word[i]) || !l3->sets)
			continue;
		const uint64_t *set = cache_set(l3, line);
		unsigned way = find(set, l3->ways, line);
		if (way == l3->ways || !(set[way] & PRESENT(cpu)))
			return false;
	}
	return true;
}

static bool valid(void *who, const void *state)
{
	const struct cache_hier *h = who;
	uint64_t *copy = xcalloc(h->words_n + 1, sizeof *copy), *w = copy;
	/* the file's bytes are not aligned */
	memcpy(copy, state, h->words_n * sizeof *copy);
	struct cache l3 = h->l3;
	l3.word = copy + (h->l3.word - h->words);
	bool ok = true;
	for (size_t i = 0; i < (size_t)l3.sets * l3.ways; i++)
		ok &= !(l3.word[i] & PRESENT_ALL & ~((PRESENT(h->cpus) - 1)));
	for (unsigned i = 0; ok && i < h->cpus; i++) {
		struct cache level[] = { h->core[i].l1d, h->core[i].l1i, h->core[i].l2 };
		for (unsigned k = 0; ok && k < ARRAY_LEN(level); k++) {
			level[k].word = w;
			w += (size_t)level[k].sets * level[k].ways;
			ok = included(&level[k], &l3, i);
		}
	}
	free(copy);
	return ok;
}

void caches_sections(struct cache_hier *h, struct snaps *s)
{
	snaps_section(s, "caches", 1, h->words, h->words_n * sizeof *h->words);
	snaps_valid(s, "caches", valid, h);
}
