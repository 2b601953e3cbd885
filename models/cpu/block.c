/* block.c - the cache of decoded blocks: finding, building, linking and dropping them.
 *
 * A block is a run of at most 32 instructions on one page that ends at a jump, at an instruction that changes the
 * rules (insn.def: ends), or before the page's end. An instruction that crosses a page is a block of its own; its second
 * page is translated and compared each time.
 *
 * Found by, fastest first:
 *   link       the block remembers where it went last, by RIP; void when the MMU's epoch moved
 *   jump cache by linear address; void likewise
 *   hash       by physical address and key (mode, privilege, segment shape)
 *
 * Time: entering a block translates its page when it is another one than the last fetch's, and touches its lines in L1I.
 * A CPU that stops inside a block and goes on there is not entering it: s.fetch_* remembers, so that how often somebody
 * stopped the CPU never shows in its time.
 *
 * Self-modifying code: a page with blocks has PAGE_CODE, so every write to it comes to cpu_code_written(), which drops
 * the blocks whose bytes changed (and only these) and stops the CPU before its next instruction.
 * SDM Vol. 3A, "Self-Modifying Code" and "Cross-Modifying Code". */
#include "models/cpu/block.h"

#include <stdlib.h>
#include <string.h>

#include "models/cpu/exec.h"
#include "sim/err.h"

#define ARENA_BYTES (32u << 20)
#define HASH_BITS   15
#define JUMP_BITS   11
#define PAGES_MAX   16384u
#define CHUNK_SHIFT 6           /* of a page's map of bytes with code */

struct code_page {
	uint64_t page;          /* physical */
	struct block *blocks;
	uint64_t chunks;        /* 64-byte chunks some block has bytes in */
};

struct jump { uint64_t lin, epoch; struct block *to; };

struct block_cache {
	uint8_t *arena;
	size_t used;
	struct block *hash[1u << HASH_BITS];
	struct jump jump[1u << JUMP_BITS];
	uint32_t *page_at;              /* by page of RAM: index into page[], 0 none */
	uint64_t ram_pages;
	uint32_t pages;
	struct code_page page[PAGES_MAX];
	struct block *suspended;        /* the block s.fetch_* speaks of, while it exists */
	uint64_t flushes;
};

struct block_cache *blocks_new(uint64_t ram_size)
{
	struct block_cache *k = xcalloc(1, sizeof *k);
	k->arena = xcalloc(1, ARENA_BYTES);
	k->ram_pages = ram_size >> PAGE_SHIFT;
	k->page_at = xcalloc(k->ram_pages, sizeof *k->page_at);
	k->pages = 1;
	return k;
}

void blocks_free(struct block_cache *k)
{
	if (!k)
		return;
	free(k->arena);
	free(k->page_at);
	free(k);
}

void blocks_flush(struct cpu *c)
{
	struct block_cache *k = c->blocks;
	for (uint32_t i = 1; i < k->pages; i++) {
		int64_t off = mem_offset(c->mmu.mem, HPA(k->page[i].page));
		k->page_at[off >> PAGE_SHIFT] = 0;
	}
	k->pages = 1;
	k->used = 0;
	k->suspended = NULL;
	c->fetch_page = ~0ull;
	k->flushes++;
	memset(k->hash, 0, sizeof k->hash);
	memset(k->jump, 0, sizeof k->jump);
}

static size_t hash(uint64_t pa, uint32_t key)
{
	return ((pa ^ (uint64_t)key << 40) * 0x9E3779B97F4A7C15ull) >> (64 - HASH_BITS);
}

static struct jump *jump_at(struct block_cache *k, uint64_t lin)
{
	return &k->jump[(lin ^ lin >> JUMP_BITS) & ((1u << JUMP_BITS) - 1)];
}

/* ---- pages with code ---- */

static struct code_page *page_find(const struct cpu *c, uint64_t pa)
{
	int64_t off = mem_offset(c->mmu.mem, HPA(pa));
	struct block_cache *k = c->blocks;
	if (off < 0 || (uint64_t)off >> PAGE_SHIFT >= k->ram_pages)
		return NULL;
	uint32_t i = k->page_at[off >> PAGE_SHIFT];
	return i ? &k->page[i] : NULL;
}

static struct code_page *page_make(struct cpu *c, uint64_t pa)
{
	struct code_page *p = page_find(c, pa);
	if (p)
		return p;
	struct block_cache *k = c->blocks;
	k->page_at[mem_offset(c->mmu.mem, HPA(pa)) >> PAGE_SHIFT] = k->pages;
	p = &k->page[k->pages++];
	*p = (struct code_page){ .page = pa & PAGE_MASK };
	return p;
}

/* Physical addresses [lo, hi) of the block's bytes: all of them, or those on its first and those on
 * its second page, which may be one and the same. */
struct span { uint64_t lo, hi; };
static struct span half_span(const struct block *b, unsigned half)
{
	unsigned here = b->pa2 == ~0ull ? b->len : PAGE_SIZE - (b->pa & 0xfff);
	if (half)
		return (struct span){ b->pa2, b->pa2 == ~0ull ? ~0ull : b->pa2 + b->len - here };
	return (struct span){ b->pa, b->pa + here };
}

static bool overlaps(const struct block *b, uint64_t lo, uint64_t hi)
{
	struct span s = half_span(b, 0), t = half_span(b, 1);
	return (s.lo < hi && lo < s.hi) || (t.lo < hi && lo < t.hi);
}

/* Which of a page's chunks the block has bytes in. */
static uint64_t chunks(const struct block *b, uint64_t page)
{
	uint64_t map = 0;
	for (unsigned half = 0; half < 2; half++) {
		struct span s = half_span(b, half);
		if (s.lo < s.hi && (s.lo & PAGE_MASK) == page)
			map |= MASK((((s.hi - 1) & 0xfff) >> CHUNK_SHIFT) + 1) & ~MASK((s.lo & 0xfff) >> CHUNK_SHIFT);
	}
	return map;
}

static void page_link(struct cpu *c, struct block *b, unsigned half)
{
	struct code_page *p = page_make(c, half ? b->pa2 : b->pa);
	b->page_next[half] = p->blocks;
	p->blocks = b;
	p->chunks |= chunks(b, p->page);
	mem_flag_set(c->mmu.mem, HPA(p->page), PAGE_CODE);
}

static unsigned half_on(const struct block *b, uint64_t page)
{
	return (b->pa & PAGE_MASK) == page ? 0 : 1;
}

static void page_unlink(struct cpu *c, struct block *b, unsigned half)
{
	struct code_page *p = page_find(c, half ? b->pa2 : b->pa);
	if (!p)
		return;
	uint64_t map = 0;
	struct block **at = &p->blocks;
	while (*at) {
		struct block *x = *at;
		struct block **next = &x->page_next[half_on(x, p->page)];
		if (x == b) {
			*at = *next;
			continue;
		}
		map |= chunks(x, p->page);
		at = next;
	}
	p->chunks = map;
}

static void drop(struct cpu *c, struct block *b)
{
	struct block_cache *k = c->blocks;
	struct block **at = &k->hash[hash(b->pa, b->key)];
	while (*at && *at != b)
		at = &(*at)->hash_next;
	if (*at)
		*at = b->hash_next;
	page_unlink(c, b, 0);
	if (b->pa2 != ~0ull)
		page_unlink(c, b, 1);
	b->dead = 1;
	if (k->suspended == b) {
		k->suspended = NULL;
		block_forget(c);
	}
	mmu_void_links(&c->mmu);        /* links and jump-cache entries that lead to it are void */
	c->deadline = 0;        /* the block running may be the one, or jump to it */
	c->blocks_dropped++;
}

/* Is [lo, hi) the code of a suspended block that is not in the cache, because a snapshot was restored? */
static bool suspended_at(const struct cpu *c, uint64_t lo, uint64_t hi)
{
	if (c->s.fetch_pa == ~0ull || c->blocks->suspended)
		return false;
	struct block b = { .pa = c->s.fetch_pa, .pa2 = c->s.fetch_pa2, .len = c->s.fetch_len };
	return overlaps(&b, lo, hi);
}

void cpu_code_written(struct cpu *c, hpa_t pa, unsigned len)
{
	uint64_t lo = pa.v, end = pa.v + len;
	while (lo < end) {
		uint64_t page = lo & PAGE_MASK, hi = page + PAGE_SIZE < end ? page + PAGE_SIZE : end;
		if (suspended_at(c, lo, hi))
			block_forget(c);
		struct code_page *p = page_find(c, lo);
		uint64_t map = p ? p->chunks & MASK(((hi - 1 - page) >> CHUNK_SHIFT) + 1) & ~MASK((lo - page) >> CHUNK_SHIFT) : 0;
		for (struct block *b = map ? p->blocks : NULL, *next; b; b = next) {
			next = b->page_next[half_on(b, page)];
			if (overlaps(b, lo, hi))
				drop(c, b);
		}
		lo = hi;
	}
}

bool cpu_has_code(const struct cpu *c, hpa_t page)
{
	const struct code_page *p = page_find(c, page.v);
	bool suspended = c->s.fetch_pa != ~0ull &&
	                 ((c->s.fetch_pa ^ page.v) < PAGE_SIZE || (c->s.fetch_pa2 ^ page.v) < PAGE_SIZE);
	return suspended || (p && p->blocks);
}

/* ---- building ---- */

/* Bytes of code that is not in RAM: read one by one, as a processor that executes from a device would. */
static uint8_t device_byte(struct cpu *c, uint64_t pa)
{
	struct io_wire *w = &c->mmu.mem->mmio;
	struct io_at at = { .cpu = c->number, .now = c->ledger.now };
	if (!w->read)
		return 0xff;
	uint64_t v = w->read(w->who, pa, 1, &at);
	ledger_charge(&c->ledger, WHY_FETCH, at.cost);
	return (uint8_t)v;
}

static void finish(struct block *b, uint32_t cum, unsigned off)
{
	struct uop *end = &b->uop[b->n];
	memset(end, 0, sizeof *end);
	end->fn = uop_fall;
	end->off = (uint16_t)off;
	end->cum = cum;
	end->idx = b->n;
	end->base = end->index = R_ZERO;
	b->len = (uint16_t)off;
	b->line = b->pa >> 6;
	b->last_line = (b->pa2 != ~0ull ? b->pa | 0xfff : b->pa + off - 1) >> 6;
}

static void place(struct uop *u, struct block *b, uint32_t *cum, unsigned *off)
{
	u->off = (uint16_t)*off;
	u->cum = *cum;
	u->idx = b->n++;
	if (u->base == R_RIP)   /* s.rip is the block's start; under uop_call_end it is the instruction's */
		u->disp += u->flags & UOP_END ? u->len : *off + u->len;
	*off += u->len;
	*cum += u->cost;
}

static struct block *room(struct cpu *c)
{
	struct block_cache *k = c->blocks;
	size_t most = sizeof(struct block) + (BLOCK_INSNS_MAX + 1) * sizeof(struct uop) + 64;
	if (k->used + most > ARENA_BYTES || k->pages + 2 > PAGES_MAX)
		blocks_flush(c);
	uintptr_t at = ((uintptr_t)k->arena + k->used + 63) & ~(uintptr_t)63;
	struct block *b = (struct block *)at;
	memset(b, 0, sizeof *b);
	b->pa2 = ~0ull;
	b->link[0].epoch = b->link[1].epoch = ~0ull;
	return b;
}

static void keep(struct cpu *c, struct block *b)
{
	struct block_cache *k = c->blocks;
	k->used = (size_t)((uint8_t *)&b->uop[b->n + 1] - k->arena);
	struct block **at = &k->hash[hash(b->pa, b->key)];
	b->hash_next = *at;
	*at = b;
	page_link(c, b, 0);
	if (b->pa2 != ~0ull)
		page_link(c, b, 1);
	c->blocks_built++;
}

/* An instruction in device memory: a block of one that is not kept (the next build overwrites it). */
static struct block *build_device(struct cpu *c, uint64_t pa, uint32_t key)
{
	struct block *b = room(c);
	uint8_t bytes[INSN_BYTES_MAX];
	unsigned n = 0, off = 0;
	uint32_t cum = 0;
	b->pa = pa, b->key = key;
	do {
		bytes[n] = device_byte(c, pa + n);
		n++;
	} while (!decode(c->decoder, c->profile, key, bytes, n, &b->uop[0]));
	place(&b->uop[0], b, &cum, &off);
	finish(b, cum, off);
	b->dead = 1;
	return b;
}

static struct block *build(struct cpu *c, uint64_t pa, uint32_t key)
{
	const uint8_t *p = mem_ptr(c->mmu.mem, HPA(pa));
	if (!p)
		return build_device(c, pa, key);
	struct block *b = room(c);
	unsigned left = PAGE_SIZE - (pa & 0xfff), off = 0;
	uint32_t cum = 0;
	b->pa = pa, b->key = key;
	while (b->n < BLOCK_INSNS_MAX && off < left) {
		struct uop *u = &b->uop[b->n];
		if (!decode(c->decoder, c->profile, key, p + off, left - off, u))
			break;
		place(u, b, &cum, &off);
		if (u->flags & UOP_END)
			break;
	}
	if (!b->n)
		return NULL;    /* its first instruction crosses the page's end */
	finish(b, cum, off);
	keep(c, b);
	return b;
}

/* Physical address of code at lin, charged; raises the fetch's fault. */
static uint64_t fetch(struct cpu *c, uint64_t lin)
{
	struct mmu_fault f;
	hpa_t pa;
	if (mmu_fetch(&c->mmu, lin, &pa, &f))
		cpu_raise_mmu(c, &f, SEG_CS);
	c->fetch_page = lin & PAGE_MASK;
	return (pa.v & PAGE_MASK) | (lin & 0xfff);
}

static struct block *build_crossing(struct cpu *c, uint64_t pa, uint64_t pa2, uint32_t key)
{
	const uint8_t *p = mem_ptr(c->mmu.mem, HPA(pa)), *p2 = mem_ptr(c->mmu.mem, HPA(pa2));
	unsigned here = PAGE_SIZE - (pa & 0xfff), off = 0;
	uint32_t cum = 0;
	uint8_t bytes[INSN_BYTES_MAX];
	struct block *b = room(c);
	b->pa = pa, b->pa2 = pa2, b->key = key;
	for (unsigned i = 0; i < INSN_BYTES_MAX; i++)
		bytes[i] = i < here ? p[i] : p2 ? p2[i - here] : 0xff;
	decode(c->decoder, c->profile, key, bytes, INSN_BYTES_MAX, &b->uop[0]);
	place(&b->uop[0], b, &cum, &off);
	if (off <= here)        /* a page that changed under us: an instruction of one page after all */
		b->pa2 = ~0ull;
	finish(b, cum, off);
	if (p2)
		keep(c, b);
	else
		b->dead = 1;
	return b;
}

/* ---- finding ---- */

static struct block *find(struct cpu *c, uint64_t pa, uint32_t key)
{
	for (struct block *b = c->blocks->hash[hash(pa, key)]; b; b = b->hash_next)
		if (b->pa == pa && b->key == key)
			return b;
	return NULL;
}

static struct block *crossing(struct cpu *c, struct block *b, uint64_t lin, uint64_t pa, uint32_t key)
{
	uint64_t pa2 = fetch(c, (((lin | 0xfff) + 1)) & c->lin_mask) & PAGE_MASK;
	if (b && b->pa2 == pa2)
		return b;
	if (b)
		drop(c, b);
	return build_crossing(c, pa, pa2, key);
}

static void touch_lines(struct cpu *c, const struct block *b)
{
	for (uint64_t line = b->line; line <= b->last_line; line++)
		mmu_fetch_touch(&c->mmu, line);
	if (b->pa2 != ~0ull)
		mmu_fetch_touch(&c->mmu, b->pa2 >> 6);
}

/* CS's limit, outside flat segments: the block's part that is inside, or #GP(0). A block that does not fit is run
 * instruction by instruction: its deadline is now. */
static void check_limit(struct cpu *c, struct block *b)
{
	uint64_t limit = c->s.seg[SEG_CS].limit;
	if (c->s.rip + b->len - 1 <= limit)
		return;
	if (c->s.rip + b->uop[0].len - 1 > limit)
		cpu_raise_ec(c, VEC_GP, 0);
	c->deadline = 0;
}

struct block *block_enter(struct cpu *c, struct block *from, unsigned link)
{
	struct block_cache *k = c->blocks;
	uint32_t key = block_key(c);
	uint64_t lin = block_linear(c), flushes = k->flushes;
	struct jump *j = jump_at(k, lin);
	struct block *b;
	if (unlikely(!(key & KEY_FLAT)) && c->s.rip > c->s.seg[SEG_CS].limit)
		cpu_raise_ec(c, VEC_GP, 0);
	if (j->lin == lin && j->epoch == c->mmu.epoch && j->to && j->to->key == key) {
		b = j->to;
		if ((lin & PAGE_MASK) != c->fetch_page && c->mmu.detailed && fetch(c, lin) != b->pa) {
			j->to = NULL;   /* the translation is another one than its own epoch says */
			return block_enter(c, from, link);
		}
	} else {
		uint64_t pa = fetch(c, lin);
		b = find(c, pa, key);
		if (!b)
			b = build(c, pa, key);
		if (!b || b->pa2 != ~0ull)
			b = crossing(c, b, lin, pa, key);
		if (b->pa2 == ~0ull && !b->dead)
			*j = (struct jump){ lin, c->mmu.epoch, b };
	}
	if (unlikely(!(key & KEY_FLAT)))
		check_limit(c, b);
	else if (from && b->pa2 == ~0ull && !b->dead && k->flushes == flushes && !from->dead)
		from->link[link] = (struct block_link){ c->s.rip, c->mmu.epoch, b };
	if (c->mmu.detailed)
		touch_lines(c, b);
	c->block = b;
	return b;
}

/* ---- running ---- */

const struct uop *block_go(struct cpu *c)
{
	const struct uop *u = block_enter(c, NULL, 0)->uop;
	DISPATCH(c, u);
}

/* The way from a block to `to` that no link knows, or whose fetch is not free. */
static const struct uop *go_on(struct cpu *c, struct block *from, unsigned link)
{
	if (c->ledger.now >= c->deadline)
		return NULL;
	const struct uop *u = block_enter(c, from, link)->uop;
	DISPATCH(c, u);
}

const struct uop *block_jump(struct cpu *c, const struct uop *u, uint64_t to)
{
	c->cur = u;
	near_check(c, u, to);
	struct block *from = c->block->dead ? NULL : c->block;
	block_leave(c, u);
	block_retire(c, u);
	c->s.rip = to;
	return go_on(c, from, 0);
}

const struct uop *block_fall(struct cpu *c, const struct uop *u)
{
	struct block *from = c->block->dead ? NULL : c->block;
	block_leave(c, u);
	if (u->fn != uop_fall) {
		block_retire(c, u);
		c->s.rip = (c->s.rip + u->len) & c->lin_mask;
	}
	return go_on(c, from, 1);
}

void block_suspend(struct cpu *c, const struct uop *u)
{
	struct block *b = c->block;
	block_leave(c, u);
	if (b->dead || u->idx == b->n)
		return;         /* gone, or at its end */
	c->blocks->suspended = b;
	c->s.fetch_pa = b->pa;
	c->s.fetch_pa2 = b->pa2;
	c->s.fetch_rip = c->s.rip;
	c->s.fetch_off = u->off;
	c->s.fetch_len = b->len;
}

const struct uop *block_resume(struct cpu *c)
{
	struct block_cache *k = c->blocks;
	uint32_t key = block_key(c);
	struct block *b = k->suspended;
	if (c->s.fetch_pa == ~0ull)
		return NULL;
	uint64_t pa = c->s.fetch_pa, pa2 = c->s.fetch_pa2 == ~0ull ? ~0ull : c->s.fetch_pa2 & PAGE_MASK;
	uint16_t off = c->s.fetch_off;
	bool here = c->s.fetch_rip == c->s.rip && (!b || b->key == key);
	k->suspended = NULL;
	block_forget(c);
	if (!here)
		return NULL;
	if (!b && mem_ptr(c->mmu.mem, HPA(pa))) {       /* a snapshot was restored: it is to be decoded again */
		b = find(c, pa, key);
		if (b && b->pa2 != pa2) {
			drop(c, b);
			b = NULL;
		}
		if (!b)
			b = pa2 == ~0ull ? build(c, pa, key) : build_crossing(c, pa, pa2, key);
	}
	for (unsigned i = 0; b && i < b->n; i++) {
		if (b->uop[i].off != off)
			continue;
		if (!(key & KEY_FLAT) && c->s.rip - off + b->len - 1 > c->s.seg[SEG_CS].limit) {
			if (c->s.rip + b->uop[i].len - 1 > c->s.seg[SEG_CS].limit)
				cpu_raise_ec(c, VEC_GP, 0);
			c->deadline = 0;
		}
		c->s.rip = (c->s.rip - off) & c->lin_mask;
		c->block = b;
		/* leaving the block books from its start: what was booked when it was suspended comes back */
		ledger_book(&c->ledger, WHY_EXECUTE, -(cycle_t)b->uop[i].cum);
		c->s.icount -= i;
		return &b->uop[i];
	}
	return NULL;
}
