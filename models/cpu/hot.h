/* hot.h - the pieces hot handlers are made of.
 *
 * One function per operation x operand form x size. Forms: r register, i immediate, m memory; memory comes in three
 * kinds, by how its address is made:
 *   b   64-bit mode, segment base 0: base + displacement
 *   x   64-bit mode, segment base 0: base + index << scale + displacement
 *   g   any: segment base, limit and address size */
#ifndef CPU_HOT_H
#define CPU_HOT_H

#include "models/cpu/alu.h"
#include "models/cpu/decode.h"
#include "models/cpu/exec.h"

#if defined(__GNUC__) && !defined(__clang__) && !defined(UOP_LOOP)
#pragma GCC optimize("optimize-sibling-calls", "no-tree-slp-vectorize")
#endif

#define HOT(name) static const struct uop *name(struct cpu *c, const struct uop *u)

/* Linear address of the operand; false: a segment limit stands in the way. */
static inline bool ea_b(const struct cpu *c, const struct uop *u, unsigned size, bool write, uint64_t *lin)
{
	(void)size, (void)write;
	*lin = c->s.r[u->base] + (uint64_t)u->disp;
	return true;
}
static inline bool ea_x(const struct cpu *c, const struct uop *u, unsigned size, bool write, uint64_t *lin)
{
	(void)size, (void)write;
	*lin = c->s.r[u->base] + (c->s.r[u->index] << u->scale) + (uint64_t)u->disp;
	return true;
}
static inline bool ea_g(const struct cpu *c, const struct uop *u, unsigned size, bool write, uint64_t *lin)
{
	const struct seg *s = &c->s.seg[u->seg];
	uint64_t off = ea_offset(c, u);
	*lin = (s->base + off) & c->lin_mask;
	return off + size <= (write ? s->lim_w : s->lim_r);
}

/* p: host pointer to `size` bytes at linear address lin. A handler that calls nothing needs no stack frame, so what is
 * not at hand (a soft-TLB miss, a page or line crossed) is left to `slow`, a handler that runs the whole instruction
 * through its body; and a line that is not the latest of its L1D set is touched out of line, then the handler begins
 * again. What was checked is the same as in mmu_fast(), and so is the time. */
#define HOT_AT(p, lin_, size, write, slow) HOT_PTR(p, lin_, size, write, slow, hot_touch(c, u, line_, write))
/* A handler's second access: beginning again for its line could lose the first one's, for ever. */
#define HOT_AT_2(p, lin_, size, write, slow) HOT_PTR(p, lin_, size, write, slow, slow(c, u))
#define HOT_PTR(p, lin_, size, write, slow, miss) \
	void *p; \
	do { \
		struct mmu *m_ = &c->mmu; \
		uint64_t at_ = (lin_); \
		const struct soft_tlb_entry *e_ = &m_->soft[(at_ >> PAGE_SHIFT) & (SOFT_TLB_N - 1)]; \
		if (unlikely(((write) ? e_->tag_w : e_->tag_r) != (((at_ + (size) - 1) & PAGE_MASK) | m_->generation))) \
			return slow(c, u); \
		if (m_->detailed) { \
			uint64_t pa_ = SOFT_PA(e_) | (at_ & 0xfff), line_ = pa_ >> 6; \
			if ((size) > 1 && unlikely((pa_ & 63) + (size) > 64)) \
				return slow(c, u); \
			if (unlikely(((write) ? m_->l1d_mru_dirty : m_->l1d_mru)[line_ & m_->l1d_set_mask] != line_)) \
				return miss; \
			if (unlikely(SOFT_SLOT(e_) != m_->dtlb_mru)) \
				mmu_dtlb_touch(m_, SOFT_SLOT(e_)); \
		} \
		p = (void *)(e_->host + at_); \
	} while (0)
/* The same for u's memory operand, address kind k. */
#define HOT_MEM(p, k, size, write) HOT_MEM_ELSE(p, k, size, write, uop_call)
#define HOT_MEM_ELSE(p, k, size, write, slow) \
	uint64_t p##_lin; \
	if (unlikely(!ea_##k(c, u, (size), (write), &p##_lin))) \
		return uop_call(c, u); \
	HOT_AT(p, p##_lin, (size), (write), slow)
#define HOT_LOAD(n, v, p) u##n v; memcpy(&v, p, sizeof v)
#define HOT_STORE(n, p, x) do { u##n x_ = (x); memcpy(p, &x_, sizeof x_); } while (0)

static inline uint8_t get8(const struct cpu *c, unsigned r) { return ((const uint8_t *)c->s.r)[r]; }
static inline uint16_t get16(const struct cpu *c, unsigned r) { return (uint16_t)c->s.r[r]; }
static inline uint32_t get32(const struct cpu *c, unsigned r) { return (uint32_t)c->s.r[r]; }
static inline uint64_t get64(const struct cpu *c, unsigned r) { return c->s.r[r]; }
static inline void put8(struct cpu *c, unsigned r, uint8_t v) { ((uint8_t *)c->s.r)[r] = v; }
static inline void put16(struct cpu *c, unsigned r, uint16_t v) { memcpy(&c->s.r[r], &v, 2); }
static inline void put32(struct cpu *c, unsigned r, uint32_t v) { c->s.r[r] = v; }
static inline void put64(struct cpu *c, unsigned r, uint64_t v) { c->s.r[r] = v; }

enum hot_form { FORM_RR, FORM_RI, FORM_RM, FORM_MR = FORM_RM + 3, FORM_MI = FORM_MR + 3, FORM_R = FORM_MI + 3, FORM_M, FORM_N = FORM_M + 3 };

/* Kind of address, 0..2 as b, x, g. */
static inline unsigned hot_ea(const struct uop *u)
{
	if (!(u->flags & UOP_LONG) || u->ash || u->seg == SEG_FS || u->seg == SEG_GS)
		return 2;
	return u->index == R_ZERO ? 0 : 1;
}

/* Form of u's operands, -1: none of these. */
static inline int hot_form(const struct uop *u)
{
	unsigned a = u->kind[0], b = u->kind[1];
	if (u->kind[2] != OPK_NONE)
		return -1;
	if (a == OPK_REG)
		return b == OPK_REG ? FORM_RR : b == OPK_IMM ? FORM_RI : b == OPK_MEM ? FORM_RM + (int)hot_ea(u) : b == OPK_NONE ? FORM_R : -1;
	if (a == OPK_MEM)
		return b == OPK_REG ? FORM_MR + (int)hot_ea(u) : b == OPK_IMM ? FORM_MI + (int)hot_ea(u) : b == OPK_NONE ? FORM_M + (int)hot_ea(u) : -1;
	return -1;
}

static inline unsigned hot_size(unsigned size) { return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3; }

/* Rows for a table [size][form] of handlers named PREFIX_nFORM. */
#define HOT_ROW2(P, n) { [FORM_RR] = P##n##_rr, [FORM_RI] = P##n##_ri, \
	[FORM_RM] = P##n##_rm_b, P##n##_rm_x, P##n##_rm_g, \
	[FORM_MR] = P##n##_mr_b, P##n##_mr_x, P##n##_mr_g, \
	[FORM_MI] = P##n##_mi_b, P##n##_mi_x, P##n##_mi_g }
#define HOT_ROW1(P, n) { [FORM_R] = P##n##_r, [FORM_M] = P##n##_m_b, P##n##_m_x, P##n##_m_g }

#endif
