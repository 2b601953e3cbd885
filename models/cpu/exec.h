/* exec.h - how uops run: the end of a hot handler, leaving a block, and what bodies of near transfers share.
 *
 * A hot handler does its work and ends with NEXT(c, u): charge the base cost, stop when the deadline is reached,
 * else go to the next uop by a tail call. Built without optimisation or with sanitizers there are no tail calls:
 * then a handler returns the uop to run next and run.c loops.
 * Stopped in a block: the uop not yet executed is returned. Stopped having left it: c->block is NULL. */
#ifndef CPU_EXEC_H
#define CPU_EXEC_H

#include "models/cpu/access.h"
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
#define DISPATCH(c, u) return (u)
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
uop_fn uop_rep;         /* repeat u->body, one iteration each, until rCX is 0 */
uop_fn uop_rep_while;   /* the same, and while ZF is as the prefix says */

uop_body exec_gp0;      /* #GP(0): an instruction longer than 15 bytes */

/* ---- leaving a block (block.c) ---- */

/* Book what the block has executed before u: c->block becomes NULL, s.rip exact. The uop's own cost is not booked. */
static inline void block_leave(struct cpu *c, const struct uop *u)
{
	ledger_book(&c->ledger, WHY_EXECUTE, u->cum);
	c->s.icount += u->idx;
	c->s.rip = (c->s.rip + u->off) & c->lin_mask;
	c->block = NULL;
}

/* Continue at s.rip: find (or decode) its block and run it. Only with c->block == NULL. */
const struct uop *block_go(struct cpu *c);

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
