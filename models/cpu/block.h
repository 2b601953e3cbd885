/* block.h - decoded code, cached by where it lies in physical memory. See block.c. */
#ifndef CPU_BLOCK_H
#define CPU_BLOCK_H

#include "models/cpu/cpu.h"
#include "models/cpu/decode.h"
#include "models/cpu/uop.h"

#define BLOCK_INSNS_MAX 32

/* Where a block went last from one of its ends: valid while `epoch` is the MMU's. */
struct block_link { uint64_t rip, epoch; struct block *to; };

struct block {
	uint64_t pa;                    /* of the first byte */
	uint64_t pa2;                   /* page of the second half of an instruction that crosses a page (it is the only one), or ~0 */
	struct block_link link[2];      /* where its last instruction jumped; where it fell through to */
	struct block *hash_next;
	struct block *page_next[2];     /* of the blocks with bytes on pa's page, on pa2's */
	uint32_t key;                   /* KEY_* */
	uint16_t len;                   /* bytes */
	uint8_t n;                      /* instructions */
	uint64_t line, last_line;       /* of L1I: its first and last (on pa's page) */
	uint8_t dead;                   /* its bytes were overwritten: memory stays until the next flush */
	_Alignas(64) struct uop uop[];  /* n, and uop_fall */
};

struct block_cache *blocks_new(uint64_t ram_size);
void blocks_free(struct block_cache *k);
void blocks_flush(struct cpu *c);       /* drop everything; only with c->block == NULL */

static inline uint32_t block_key(const struct cpu *c)
{
	const struct seg *cs = &c->s.seg[SEG_CS];
	bool flat = c->s.mode == MODE_LONG64 || (cs->base == 0 && cs->limit == 0xffffffff);
	return c->s.mode | (c->s.cpl == 3 ? KEY_USER : 0) | (flat ? KEY_FLAT : 0) | (c->s.seg[SEG_SS].attr & SEG_DB ? KEY_STACK32 : 0) |
	       (c->s.cpl ? c->trap_key : 0) | c->cet;
}

/* Linear address of s.rip. */
static inline uint64_t block_linear(const struct cpu *c)
{
	return (c->s.seg[SEG_CS].base + c->s.rip) & c->lin_mask;
}

/* The uop to go on with when the CPU stopped inside a block and nothing happened since: c->block is set and nothing
 * is charged again. NULL: start a block at s.rip. */
const struct uop *block_resume(struct cpu *c);
void block_suspend(struct cpu *c, const struct uop *u);         /* stopped at u: leave the block, remember it */
static inline void block_forget(struct cpu *c)
{
	c->s.fetch_pa = c->s.fetch_pa2 = ~0ull;
	c->s.fetch_rip = 0;     /* state that means nothing is always the same */
	c->s.fetch_off = c->s.fetch_len = 0;
}
/* The block at s.rip, fetched and charged, c->block set to it. Faults are raised. */
struct block *block_enter(struct cpu *c, struct block *from, unsigned link);

#endif
