/* sse.h - operands, availability and exceptions of MMX and SSE instructions, for the files that
 * execute them.
 *
 * MXCSR: 15 FTZ | 14:13 rounding | 12:7 masks | 6 DAZ | 5:0 flags
 * An unmasked exception is #XM, or #UD when CR4.OSXMMEXCPT is clear, and leaves no result.
 * Source: SDM Vol. 1, "Programming with SSE"; Vol. 2A, "Exception conditions of legacy SSE
 * instructions". */
#ifndef CPU_SSE_H
#define CPU_SSE_H

#include "models/cpu/access.h"
#include "models/cpu/float.h"
#include "models/cpu/x87.h"

#define MXCSR_MASK 0xffffu
#define MXCSR_DAZ  0x40u
#define MXCSR_FTZ  0x8000u
#define MXCSR_INIT 0x1f80u

union vec {
	uint8_t b[16];
	int8_t sb[16];
	uint16_t w[8];
	int16_t sw[8];
	uint32_t d[4];
	int32_t sd[4];
	uint64_t q[2];
	int64_t sq[2];
};

/* ---- availability ---- */
void sse_unavailable(struct cpu *c) NORETURN;
static inline void sse_enter(struct cpu *c)
{
	if (unlikely((c->s.cr0 & (CR0_EM | CR0_TS)) || !(c->s.cr4 & CR4_OSFXSR)))
		sse_unavailable(c);
}

/* ---- memory: n is a constant where it matters ---- */
static inline void vec_load(struct cpu *c, const struct uop *u, void *v, unsigned n, bool aligned)
{
	uint64_t lin = ea_linear(c, u, n, false);
	if (aligned && unlikely(lin & 15))
		cpu_raise_ec(c, VEC_GP, 0);
	const void *p = mmu_fast(&c->mmu, lin, n, false);
	if (likely(p != NULL))
		memcpy(v, p, n);
	else
		cpu_load_bytes(c, u, lin, v, n);
}

static inline void vec_store(struct cpu *c, const struct uop *u, const void *v, unsigned n,
                             bool aligned)
{
	uint64_t lin = ea_linear(c, u, n, true);
	if (aligned && unlikely(lin & 15))
		cpu_raise_ec(c, VEC_GP, 0);
	void *p = mmu_fast(&c->mmu, lin, n, true);
	if (likely(p != NULL))
		memcpy(p, v, n);
	else
		cpu_store_bytes(c, u, lin, v, n);
}

/* ---- registers ---- */
static inline void xmm_get(const struct cpu *c, unsigned r, union vec *v)
{
	memcpy(v, c->s.xmm[r], 16);
}
static inline void xmm_set(struct cpu *c, unsigned r, const union vec *v)
{
	memcpy(c->s.xmm[r], v, 16);
}
static inline uint64_t mmx_get(const struct cpu *c, unsigned r) { return c->s.st[r].mant; }
static inline void mmx_set(struct cpu *c, unsigned r, uint64_t v)
{
	c->s.st[r].mant = v;
	c->s.st[r].se = 0xffff;
	mmx_touch(c);
}

/* Operand i: a register, or n bytes of memory; the rest of *v is zero (a register's is its own). */
static inline void vec_get(struct cpu *c, const struct uop *u, unsigned i, union vec *v,
                           unsigned n, bool aligned)
{
	v->q[0] = v->q[1] = 0;
	switch (u->kind[i]) {
	case OPK_XMM: xmm_get(c, u->reg[i], v); break;
	case OPK_MMX: v->q[0] = mmx_get(c, u->reg[i]); break;
	case OPK_REG: v->q[0] = reg_get(c, u->reg[i], u->sz[i]); break;
	default: vec_load(c, u, v, n, aligned); break;
	}
}

/* ---- a packed operation on MMX or XMM registers: destination is the first operand ---- */
struct packed {
	union vec a, b;
	unsigned n;             /* bytes: 8 or 16 */
};
static inline void packed_begin(struct cpu *c, const struct uop *u, struct packed *p)
{
	if (u->kind[0] == OPK_MMX) {
		mmx_enter(c);
		p->n = 8;
		vec_get(c, u, 1, &p->b, 8, false);
	} else {
		sse_enter(c);
		p->n = 16;
		vec_get(c, u, 1, &p->b, 16, true);
	}
	vec_get(c, u, 0, &p->a, 0, false);
}
static inline void packed_end(struct cpu *c, const struct uop *u, const union vec *v)
{
	if (u->kind[0] == OPK_MMX)
		mmx_set(c, u->reg[0], v->q[0]);
	else
		xmm_set(c, u->reg[0], v);
}

/* ---- floating point ---- */
static inline bool sse_daz(const struct cpu *c) { return c->s.mxcsr & MXCSR_DAZ; }
static inline struct fctl sse_ctl(const struct cpu *c, bool wide)
{
	uint32_t m = c->s.mxcsr;
	return (struct fctl){ .emin = wide ? -1022 : -126, .emax = wide ? 1023 : 127,
	                      .prec = wide ? 53 : 24,
	                      .rc = m >> 13 & 3, .mask = m >> 7 & FP_ALL,
	                      .ftz = (m & MXCSR_FTZ) != 0 };
}
static inline struct fnum sse_num(const struct cpu *c, uint64_t v, bool wide)
{
	return wide ? f_from_f64(v, sse_daz(c)) : f_from_f32((uint32_t)v, sse_daz(c));
}
static inline uint64_t sse_bits(struct fnum v, bool wide)
{
	return wide ? f_to_f64(v) : f_to_f32(v);
}
/* Record flags; raise if one is unmasked. Before any result is written. */
void sse_commit(struct cpu *c, unsigned raised);
/* sign, 8 or 11 bits of exponent, fraction: lane i of a vector of floats */
static inline uint64_t lane(const union vec *v, unsigned i, bool wide)
{
	return wide ? v->q[i] : v->d[i];
}
static inline void set_lane(union vec *v, unsigned i, bool wide, uint64_t x)
{
	if (wide)
		v->q[i] = x;
	else
		v->d[i] = (uint32_t)x;
}

/* ---- the forms of MOVSD and CMPSD that are not string instructions: bound by decode.c ---- */
uop_body sse_movsd, sse_cmpsd;
uop_fn *bind_sse_movsd(struct uop *u, uint32_t key);

#endif
