/* exec_alu.c - ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG NOT, ADCX ADOX, and single flags.
 * Source: SDM Vol. 2. Base cost: alu, plus load and store for a memory operand. */
#include "models/cpu/hot.h"

/* ---- hot handlers ---- */

/* dest = op(dest, src), read-modify-write */
#define MODIFY_M(P, op, n, k) \
HOT(P##n##_mr_##k) \
{ \
	HOT_MEM(p, k, n / 8, TOUCH_RMW); \
	HOT_LOAD(n, v, p); \
	HOT_STORE(n, p, alu_##op##n(c, v, get##n(c, u->reg[1]))); \
	NEXT(c, u); \
} \
HOT(P##n##_mi_##k) \
{ \
	HOT_MEM(p, k, n / 8, TOUCH_RMW); \
	HOT_LOAD(n, v, p); \
	HOT_STORE(n, p, alu_##op##n(c, v, (u##n)u->imm)); \
	NEXT(c, u); \
} \
HOT(P##n##_rm_##k) \
{ \
	HOT_MEM(p, k, n / 8, false); \
	HOT_LOAD(n, v, p); \
	put##n(c, u->reg[0], alu_##op##n(c, get##n(c, u->reg[0]), v)); \
	NEXT(c, u); \
}
#define MODIFY(P, op, n) \
HOT(P##n##_rr) { put##n(c, u->reg[0], alu_##op##n(c, get##n(c, u->reg[0]), get##n(c, u->reg[1]))); NEXT(c, u); } \
HOT(P##n##_ri) { put##n(c, u->reg[0], alu_##op##n(c, get##n(c, u->reg[0]), (u##n)u->imm)); NEXT(c, u); } \
MODIFY_M(P, op, n, b) MODIFY_M(P, op, n, x) MODIFY_M(P, op, n, g)

/* op(first, second), flags alone */
#define COMPARE_M(P, op, n, k) \
HOT(P##n##_mr_##k) \
{ \
	HOT_MEM(p, k, n / 8, false); \
	HOT_LOAD(n, v, p); \
	(void)alu_##op##n(c, v, get##n(c, u->reg[1])); \
	NEXT(c, u); \
} \
HOT(P##n##_mi_##k) \
{ \
	HOT_MEM(p, k, n / 8, false); \
	HOT_LOAD(n, v, p); \
	(void)alu_##op##n(c, v, (u##n)u->imm); \
	NEXT(c, u); \
} \
HOT(P##n##_rm_##k) \
{ \
	HOT_MEM(p, k, n / 8, false); \
	HOT_LOAD(n, v, p); \
	(void)alu_##op##n(c, get##n(c, u->reg[0]), v); \
	NEXT(c, u); \
}
#define COMPARE(P, op, n) \
HOT(P##n##_rr) { (void)alu_##op##n(c, get##n(c, u->reg[0]), get##n(c, u->reg[1])); NEXT(c, u); } \
HOT(P##n##_ri) { (void)alu_##op##n(c, get##n(c, u->reg[0]), (u##n)u->imm); NEXT(c, u); } \
COMPARE_M(P, op, n, b) COMPARE_M(P, op, n, x) COMPARE_M(P, op, n, g)

#define UNARY_M(P, op, n, k) \
HOT(P##n##_m_##k) \
{ \
	HOT_MEM(p, k, n / 8, TOUCH_RMW); \
	HOT_LOAD(n, v, p); \
	HOT_STORE(n, p, alu_##op##n(c, v)); \
	NEXT(c, u); \
}
#define UNARY(P, op, n) \
HOT(P##n##_r) { put##n(c, u->reg[0], alu_##op##n(c, get##n(c, u->reg[0]))); NEXT(c, u); } \
UNARY_M(P, op, n, b) UNARY_M(P, op, n, x) UNARY_M(P, op, n, g)

/* ---- bodies: any form, through op_get and op_set ---- */

/* A read-modify-write whose memory operand faults must not have touched the flags: op_get has
 * checked for writing. */
#define FAMILY2(SHAPE, op, alu, write) \
SHAPE(h_##op, alu, 8) SHAPE(h_##op, alu, 16) SHAPE(h_##op, alu, 32) SHAPE(h_##op, alu, 64) \
static uop_fn *const table_##op[4][FORM_N] = { HOT_ROW2(h_##op, 8), HOT_ROW2(h_##op, 16), HOT_ROW2(h_##op, 32), HOT_ROW2(h_##op, 64) }; \
uop_fn *bind_##op(struct uop *u, uint32_t key) \
{ \
	(void)key; \
	int f = hot_form(u); \
	return f < 0 || u->sz[0] > 8 ? NULL : table_##op[hot_size(u->sz[0])][f]; \
} \
void exec_##op(struct cpu *c, const struct uop *u) \
{ \
	uint64_t a = op_get(c, u, 0), b = op_get(c, u, 1); \
	uint64_t r = alu_by_size(alu, c, u->sz[0], a, b); \
	if (write) \
		op_set(c, u, 0, r); \
}
#define FAMILY1(op) \
UNARY(h_##op, op, 8) UNARY(h_##op, op, 16) UNARY(h_##op, op, 32) UNARY(h_##op, op, 64) \
static uop_fn *const table_##op[4][FORM_N] = { HOT_ROW1(h_##op, 8), HOT_ROW1(h_##op, 16), HOT_ROW1(h_##op, 32), HOT_ROW1(h_##op, 64) }; \
uop_fn *bind_##op(struct uop *u, uint32_t key) \
{ \
	(void)key; \
	int f = hot_form(u); \
	return f < 0 ? NULL : table_##op[hot_size(u->sz[0])][f]; \
} \
void exec_##op(struct cpu *c, const struct uop *u) \
{ \
	uint64_t a = op_get(c, u, 0); \
	op_set(c, u, 0, alu_by_size1(op, c, u->sz[0], a)); \
}

FAMILY2(MODIFY, add, add, true)
FAMILY2(MODIFY, or, or, true)
FAMILY2(MODIFY, adc, adc, true)
FAMILY2(MODIFY, sbb, sbb, true)
FAMILY2(MODIFY, and, and, true)
FAMILY2(MODIFY, sub, sub, true)
FAMILY2(MODIFY, xor, xor, true)
FAMILY2(COMPARE, cmp, sub, false)
FAMILY2(COMPARE, test, and, false)
FAMILY1(inc)
FAMILY1(dec)
FAMILY1(neg)
FAMILY1(not)

/* Unsigned addition with CF (ADCX) or OF (ADOX) as carry in and out, no other flag. */
void exec_adcx(struct cpu *c, const struct uop *u)
{
	unsigned __int128 r = (unsigned __int128)op_get(c, u, 0) + op_get(c, u, 1) + flag_cf(c);
	op_set(c, u, 0, (uint64_t)r);
	alu_cf_of(c, r >> (8 * u->sz[0]) & 1, flag_of(c));
}

void exec_adox(struct cpu *c, const struct uop *u)
{
	unsigned __int128 r = (unsigned __int128)op_get(c, u, 0) + op_get(c, u, 1) + flag_of(c);
	op_set(c, u, 0, (uint64_t)r);
	alu_cf_of(c, flag_cf(c), r >> (8 * u->sz[0]) & 1);
}

void exec_cmc(struct cpu *c, const struct uop *u) { (void)u; flags_set_cf(c, !flag_cf(c)); }
void exec_clc(struct cpu *c, const struct uop *u) { (void)u; flags_set_cf(c, false); }
void exec_stc(struct cpu *c, const struct uop *u) { (void)u; flags_set_cf(c, true); }
void exec_cld(struct cpu *c, const struct uop *u) { (void)u; c->s.flags &= ~(uint64_t)RFLAGS_DF; }
void exec_std(struct cpu *c, const struct uop *u) { (void)u; c->s.flags |= RFLAGS_DF; }
