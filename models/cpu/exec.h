/* exec.h - how uops run: the end of a hot handler, leaving a block, and what bodies of near
 * transfers share.
 *
 * A hot handler does its work and ends with NEXT(c, u): charge the base cost, stop when the
 * deadline is reached, else go to the next uop by a tail call. Built without optimisation or
 * with sanitizers there are no tail calls: then a handler returns the uop to run next, says so in
 * c->dispatched, and run.c loops: it stops where the tail calls would. Stopped in a block: the uop not yet executed is returned. Stopped having left it:
 * c->block is NULL. */
#ifndef CPU_EXEC_H
#define CPU_EXEC_H

#include "models/cpu/access.h"
#include "models/cpu/block.h"
#include "models/cpu/cpu.h"
#include "models/cpu/flags.h"
#include "models/cpu/insn.h"
#include "models/cpu/uop.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define UOP_LOOP 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
#define UOP_LOOP 1
#endif

#ifdef UOP_LOOP
#define DISPATCH(c, u) do { (c)->dispatched = 1; return (u); } while (0)
#else
#define DISPATCH(c, u) return (u)->fn((c), (u))
#endif

#define NEXT(c, u) do { \
	cycle_t now_ = (c)->ledger.now + (u)->cost; \
	(c)->ledger.now = now_; \
	if (unlikely(now_ >= (c)->deadline)) \
		return (u) + 1; \
	DISPATCH((c), (u) + 1); \
} while (0)

/* ---- handlers that are not one instruction's ---- */
uop_fn uop_call;        /* run u->body */
uop_fn uop_call_end;    /* leave the block, run u->body, go on at c->next_rip */
uop_fn uop_fall;        /* after the last uop of a block: on to the next block */
/* Touch an L1D line, then run u from its beginning. */
const struct uop *hot_touch(struct cpu *c, const struct uop *u, uint64_t line, enum touch write);
uop_fn uop_rep;         /* repeat u->body, one iteration each, until rCX is 0 */
uop_fn uop_rep_while;   /* the same, and while ZF is as the prefix says */

uop_fn uop_trap;        /* #GP(0): a critical instruction of the what-if machine outside ring 0 */

uop_body exec_gp0;      /* #GP(0): an instruction longer than 15 bytes */

/* ---- leaving a block (block.c) ---- */

/* Book what the block has executed before u: c->block becomes NULL, s.rip exact. The uop's own cost
 * is not booked. */
static inline void block_leave(struct cpu *c, const struct uop *u)
{
	ledger_book(&c->ledger, WHY_EXECUTE, u->cum);
	c->s.icount += u->idx;
	c->s.rip = (c->s.rip + u->off) & c->lin_mask;
	c->block = NULL;
}

/* Book u itself, executed: after block_leave. */
static inline void block_retire(struct cpu *c, const struct uop *u)
{
	ledger_charge(&c->ledger, WHY_EXECUTE, u->cost);
	c->s.icount++;
}

/* Continue at s.rip: find (or decode) its block and run it. Only with c->block == NULL. */
const struct uop *block_go(struct cpu *c);
/* u, the block's last, is done: go on at `to`, at the next instruction. The slow halves of JUMP
 * and FALL. */
const struct uop *block_jump(struct cpu *c, const struct uop *u, uint64_t to);
const struct uop *block_fall(struct cpu *c, const struct uop *u);

/* Is fetching b at linear address lin free: the same page as the last fetch, its lines the latest
 * used of their sets? */
static inline bool fetch_free(const struct cpu *c, const struct block *b, uint64_t lin)
{
	const struct mmu *m = &c->mmu;
	if ((lin & PAGE_MASK) != c->fetch_page)
		return false;
	for (uint64_t line = b->line; line <= b->last_line; line++)
		if (m->l1i_mru[line & m->l1i_set_mask] != line)
			return false;
	return true;
}

/* The end of a hot handler that ends its block: follow the link when it leads to `to`. `book`
 * cycles and `done` instructions of this block have been executed, the last of them costing `cost`.
 * Links exist between flat blocks only, so `to` is a linear address when one matches. */
#define FOLLOW(c, u, to_, which, cost_, done, slow) do { \
	const struct block_link *l_ = &(c)->block->link[which]; \
	uint64_t at_ = (to_); \
	struct block *b_ = l_->to; \
	if (unlikely(l_->rip != at_ || l_->epoch != (c)->mmu.epoch || ((c)->mmu.detailed && !fetch_free((c), b_, at_)))) \
		return slow; \
	cycle_t now_ = (c)->ledger.now + (cost_); \
	(c)->ledger.now = now_; \
	ledger_book(&(c)->ledger, WHY_EXECUTE, (u)->cum + (cost_)); \
	(c)->s.icount += (u)->idx + (done); \
	(c)->s.rip = at_; \
	if (unlikely(now_ >= (c)->deadline)) { \
		(c)->block = NULL; \
		return NULL; \
	} \
	(c)->block = b_; \
	DISPATCH((c), b_->uop); \
} while (0)
#define JUMP(c, u, to) FOLLOW((c), (u), (to), 0, (u)->cost, 1, block_jump((c), (u), at_))
/* u was the last and did not jump; the uop after it is uop_fall. */
#define FALL(c, u) FOLLOW((c), (u), ((c)->s.rip + (u)->off + (u)->len) & (c)->lin_mask, 1, (u)->cost, 1, block_fall((c), (u)))

/* ---- near transfers ---- */
/* Is `to` a place CS can execute at? #GP(0) else. */
void near_check(struct cpu *c, const struct uop *u, uint64_t to);
/* The target of a relative jump under uop_call_end. */
static inline uint64_t near_relative(const struct cpu *c, const struct uop *u)
{
	uint64_t to = c->next_rip + (uint64_t)u->imm;
	return u->osz == 8 ? to : u->osz == 4 ? (uint32_t)to : (uint16_t)to;
}
static inline void near_jump(struct cpu *c, const struct uop *u, uint64_t to)
{
	near_check(c, u, to);
	c->next_rip = to;
}

#endif
