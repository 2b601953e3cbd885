/* exec_mul.c - MUL IMUL MULX DIV IDIV.
 * Source: SDM Vol. 2. SF, ZF, PF after a multiplication, undefined in the manual, follow the low half; division leaves
 * flags alone. Base cost: mul, div, whatever the operands. */
#include "models/cpu/hot.h"

/* ---- IMUL with two and three operands ---- */

#define IMUL_HOT(n, S, D) \
static inline u##n imul##n(struct cpu *c, u##n a, u##n b) \
{ \
	D p = (D)(S)a * (S)b; \
	alu_flags(c, (u##n)p, n / 8, p != (S)p, p != (S)p); \
	return (u##n)p; \
} \
HOT(h_imul##n##_rr) { put##n(c, u->reg[0], imul##n(c, get##n(c, u->reg[0]), get##n(c, u->reg[1]))); NEXT(c, u); } \
HOT(h_imul##n##_rri) { put##n(c, u->reg[0], imul##n(c, get##n(c, u->reg[1]), (u##n)u->imm)); NEXT(c, u); } \
HOT(h_imul##n##_rm_b) { HOT_MEM(p, b, n / 8, false); HOT_LOAD(n, v, p); put##n(c, u->reg[0], imul##n(c, get##n(c, u->reg[0]), v)); NEXT(c, u); } \
HOT(h_imul##n##_rm_x) { HOT_MEM(p, x, n / 8, false); HOT_LOAD(n, v, p); put##n(c, u->reg[0], imul##n(c, get##n(c, u->reg[0]), v)); NEXT(c, u); }
IMUL_HOT(32, int32_t, int64_t)
IMUL_HOT(64, int64_t, __int128)

uop_fn *bind_imul(struct uop *u, uint32_t key)
{
	(void)key;
	bool q = u->sz[0] == 8;
	if (u->sz[0] < 4 || u->kind[1] == OPK_NONE)
		return NULL;
	if (u->kind[2] == OPK_IMM)
		return u->kind[1] != OPK_REG ? NULL : q ? h_imul64_rri : h_imul32_rri;
	switch (hot_form(u)) {
	case FORM_RR: return q ? h_imul64_rr : h_imul32_rr;
	case FORM_RM: return q ? h_imul64_rm_b : h_imul32_rm_b;
	case FORM_RM + 1: return q ? h_imul64_rm_x : h_imul32_rm_x;
	default: return NULL;
	}
}

/* ---- one operand: rDX:rAX = rAX * source; 8 bits: AX = AL * source ---- */

static void wide_set(struct cpu *c, unsigned n, uint64_t low, uint64_t high)
{
	if (n == 1) {
		put16(c, R_RAX, (uint16_t)(low | high << 8));
		return;
	}
	reg_set(c, R_RAX, n, low);
	reg_set(c, R_RDX, n, high);
}

void exec_mul(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0];
	uint64_t v = op_get(c, u, 0);
	unsigned __int128 p = (unsigned __int128)reg_get(c, R_RAX, n) * v;
	uint64_t low = (uint64_t)p & MASK(8 * n), high = (uint64_t)(p >> (8 * n));
	wide_set(c, n, low, high);
	alu_flags(c, low, n, high != 0, high != 0);
}

void exec_imul(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0];
	bool one = u->kind[1] == OPK_NONE, three = u->kind[2] != OPK_NONE;
	int64_t b = sign_extend(op_get(c, u, three ? 2 : one ? 0 : 1), n);
	int64_t a = sign_extend(three ? op_get(c, u, 1) : one ? reg_get(c, R_RAX, n) :
	                        op_get(c, u, 0), n);
	__int128 p = (__int128)a * b;
	uint64_t low = (uint64_t)p & MASK(8 * n);
	bool over = p != sign_extend(low, n);
	if (one)
		wide_set(c, n, low, (uint64_t)(p >> (8 * n)) & MASK(8 * n));
	else
		op_set(c, u, 0, low);
	alu_flags(c, low, n, over, over);
}

void exec_mulx(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0];
	unsigned __int128 p = (unsigned __int128)reg_get(c, R_RDX, n) * op_get(c, u, 2);
	op_set(c, u, 1, (uint64_t)p & MASK(8 * n));
	/* the same register twice: the high half stays */
	op_set(c, u, 0, (uint64_t)(p >> (8 * n)));
}

/* ---- division: #DE when the divisor is 0 or the quotient does not fit ---- */

static unsigned __int128 dividend(const struct cpu *c, unsigned n)
{
	if (n == 1)
		return get16(c, R_RAX);
	return (unsigned __int128)reg_get(c, R_RDX, n) << (8 * n) | reg_get(c, R_RAX, n);
}

static void divided(struct cpu *c, unsigned n, uint64_t q, uint64_t r)
{
	wide_set(c, n, q & MASK(8 * n), r & MASK(8 * n));
}

void exec_div(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0];
	uint64_t d = op_get(c, u, 0);
	unsigned __int128 a = dividend(c, n);
	if (!d || (uint64_t)(a >> (8 * n)) >= d)
		cpu_raise(c, VEC_DE);
	if (n < 8)
		divided(c, n, (uint64_t)a / d, (uint64_t)a % d);
	else
		divided(c, n, (uint64_t)(a / d), (uint64_t)(a % d));
}

void exec_idiv(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0], up = 128 - 16 * n;
	int64_t d = sign_extend(op_get(c, u, 0), n);
	__int128 a = (__int128)(dividend(c, n) << up) >> up;
	if (!d || (d == -1 && a == (__int128)((unsigned __int128)1 << 127)))
		cpu_raise(c, VEC_DE);
	__int128 q = a / d;
	if (q != sign_extend((uint64_t)q, n) || (n == 8 && q != (int64_t)q))
		cpu_raise(c, VEC_DE);
	divided(c, n, (uint64_t)q, (uint64_t)(a % d));
}
