/* exec_mov.c - MOV MOVZX MOVSX LEA XCHG BSWAP MOVBE MOVNTI XLAT LAHF SAHF, CBW and CWD families, CMOVcc SETcc.
 * Source: SDM Vol. 2. CMOVcc reads its memory operand whatever the condition, and a 32-bit destination is always
 * zero-extended. BSWAP of a 16-bit register, undefined in the manual, yields 0 as on processors. */
#include "models/cpu/hot.h"

/* ---- MOV ---- */
/* A load that is not at hand is the usual TLB miss: it goes to memory without looking at what kinds its operands are. */

#define MOV_M(n, k) \
HOT(h_mov##n##_rm_##k) { HOT_MEM_ELSE(p, k, n / 8, false, h_mov##n##_miss); HOT_LOAD(n, v, p); put##n(c, u->reg[0], v); NEXT(c, u); } \
HOT(h_mov##n##_mr_##k) { HOT_MEM(p, k, n / 8, true); HOT_STORE(n, p, get##n(c, u->reg[1])); NEXT(c, u); } \
HOT(h_mov##n##_mi_##k) { HOT_MEM(p, k, n / 8, true); HOT_STORE(n, p, (u##n)u->imm); NEXT(c, u); }
#define MOV(n) \
HOT(h_mov##n##_rr) { put##n(c, u->reg[0], get##n(c, u->reg[1])); NEXT(c, u); } \
HOT(h_mov##n##_miss) { c->cur = u; put##n(c, u->reg[0], (u##n)cpu_load_slow(c, u, ea_linear(c, u, n / 8, false), n / 8)); NEXT(c, u); } \
HOT(h_mov##n##_ri) { put##n(c, u->reg[0], (u##n)u->imm); NEXT(c, u); } \
MOV_M(n, b) MOV_M(n, x) MOV_M(n, g)
MOV(8) MOV(16) MOV(32) MOV(64)
static uop_fn *const mov_table[4][FORM_N] = { HOT_ROW2(h_mov, 8), HOT_ROW2(h_mov, 16),
                                              HOT_ROW2(h_mov, 32), HOT_ROW2(h_mov, 64) };

uop_fn *bind_mov(struct uop *u, uint32_t key)
{
	(void)key;
	int f = hot_form(u);
	return f < 0 ? NULL : mov_table[hot_size(u->sz[0])][f];
}

void exec_mov(struct cpu *c, const struct uop *u)
{
	op_set(c, u, 0, op_get(c, u, 1));
}

/* ---- MOVZX, MOVSX: from (8, 16, 32 bits) to (16, 32, 64) ---- */

#define WIDEN_M(P, from, T, to, k) \
HOT(P##from##_##to##_m_##k) { HOT_MEM(p, k, from / 8, false); HOT_LOAD(from, v, p); put##to(c, u->reg[0], (u##to)(T)v); NEXT(c, u); }
#define WIDEN(P, from, T, to) \
HOT(P##from##_##to##_r) { put##to(c, u->reg[0], (u##to)(T)get##from(c, u->reg[1])); NEXT(c, u); } \
WIDEN_M(P, from, T, to, b) WIDEN_M(P, from, T, to, x) WIDEN_M(P, from, T, to, g)
#define WIDEN_ROW(P, from, to) { P##from##_##to##_r, P##from##_##to##_m_b, P##from##_##to##_m_x, P##from##_##to##_m_g }

WIDEN(h_zx, 8, uint8_t, 16) WIDEN(h_zx, 8, uint8_t, 32) WIDEN(h_zx, 8, uint8_t, 64)
WIDEN(h_zx, 16, uint16_t, 32) WIDEN(h_zx, 16, uint16_t, 64)
WIDEN(h_sx, 8, int8_t, 16) WIDEN(h_sx, 8, int8_t, 32) WIDEN(h_sx, 8, int8_t, 64)
WIDEN(h_sx, 16, int16_t, 32) WIDEN(h_sx, 16, int16_t, 64) WIDEN(h_sx, 32, int32_t, 64)

/* [size of the source][size of the destination][register, b, x, g] */
static uop_fn *const zx_table[4][4][4] = {
	[0] = { [1] = WIDEN_ROW(h_zx, 8, 16), [2] = WIDEN_ROW(h_zx, 8, 32), [3] = WIDEN_ROW(h_zx, 8, 64) },
	[1] = { [2] = WIDEN_ROW(h_zx, 16, 32), [3] = WIDEN_ROW(h_zx, 16, 64) },
};
static uop_fn *const sx_table[4][4][4] = {
	[0] = { [1] = WIDEN_ROW(h_sx, 8, 16), [2] = WIDEN_ROW(h_sx, 8, 32), [3] = WIDEN_ROW(h_sx, 8, 64) },
	[1] = { [2] = WIDEN_ROW(h_sx, 16, 32), [3] = WIDEN_ROW(h_sx, 16, 64) },
	[2] = { [3] = WIDEN_ROW(h_sx, 32, 64) },
};

uop_fn *bind_movzx(struct uop *u, uint32_t key)
{
	(void)key;
	return zx_table[hot_size(u->sz[1])][hot_size(u->sz[0])][u->kind[1] == OPK_REG ? 0 :
	                                                        1 + hot_ea(u)];
}

uop_fn *bind_movsx(struct uop *u, uint32_t key)
{
	(void)key;
	return sx_table[hot_size(u->sz[1])][hot_size(u->sz[0])][u->kind[1] == OPK_REG ? 0 :
	                                                        1 + hot_ea(u)];
}

void exec_movsx(struct cpu *c, const struct uop *u)
{
	op_set(c, u, 0, (uint64_t)sign_extend(op_get(c, u, 1), u->sz[1]));
}

/* ---- LEA ---- */

#define LEA(n, k) HOT(h_lea##n##_##k) { uint64_t a; (void)ea_##k(c, u, 0, false, &a); put##n(c, u->reg[0], (u##n)a); NEXT(c, u); }
LEA(32, b) LEA(32, x) LEA(64, b) LEA(64, x)

uop_fn *bind_lea(struct uop *u, uint32_t key)
{
	(void)key;
	bool x = u->index != R_ZERO;
	if (u->sz[0] == 8 && u->ash == 0)
		return x ? h_lea64_x : h_lea64_b;
	/* the low 32 bits are the same for either address size */
	if (u->sz[0] == 4 && u->ash <= 32)
		return x ? h_lea32_x : h_lea32_b;
	return NULL;
}

void exec_lea(struct cpu *c, const struct uop *u)
{
	op_set(c, u, 0, ea_offset(c, u));
}

/* ---- exchanges ---- */

HOT(h_xchg32)
{
	uint32_t a = get32(c, u->reg[0]);
	put32(c, u->reg[0], get32(c, u->reg[1]));
	put32(c, u->reg[1], a);
	NEXT(c, u);
}
HOT(h_xchg64)
{
	uint64_t a = get64(c, u->reg[0]);
	put64(c, u->reg[0], get64(c, u->reg[1]));
	put64(c, u->reg[1], a);
	NEXT(c, u);
}

uop_fn *bind_xchg(struct uop *u, uint32_t key)
{
	(void)key;
	if (hot_form(u) != FORM_RR)
		return NULL;
	return u->sz[0] == 4 ? h_xchg32 : u->sz[0] == 8 ? h_xchg64 : NULL;
}

void exec_xchg(struct cpu *c, const struct uop *u)
{
	/* memory, if any, first: it may fault */
	unsigned m = u->kind[1] == OPK_MEM ? 1 : 0, r = !m;
	uint64_t a = op_get(c, u, m), b = op_get(c, u, r);
	op_set(c, u, m, b);
	op_set(c, u, r, a);
}

static uint64_t swapped(uint64_t v, unsigned size)
{
	return __builtin_bswap64(v) >> (64 - 8 * size);
}

void exec_bswap(struct cpu *c, const struct uop *u)
{
	op_set(c, u, 0, u->sz[0] == 2 ? 0 : swapped(op_get(c, u, 0), u->sz[0]));
}

void exec_movbe(struct cpu *c, const struct uop *u)
{
	op_set(c, u, 0, swapped(op_get(c, u, 1), u->sz[0]));
}

void exec_xlat(struct cpu *c, const struct uop *u)
{
	uint64_t off = (c->s.r[R_RBX] + get8(c, R_RAX)) << u->ash >> u->ash;
	put8(c, R_RAX, cpu_load8(c, u, seg_linear(c, u, u->seg, off, 1, false)));
}

void exec_lahf(struct cpu *c, const struct uop *u)
{
	(void)u;
	put8(c, R_RAX * 8 + 1, (uint8_t)(flags_status(c) | 2));
}

void exec_sahf(struct cpu *c, const struct uop *u)
{
	(void)u;
	flags_set_status(c, (flags_status(c) & RFLAGS_OF) | get8(c, R_RAX * 8 + 1));
}

/* ---- sign extension of the accumulator ---- */

HOT(h_cwde) { put32(c, R_RAX, (uint32_t)(int16_t)get16(c, R_RAX)); NEXT(c, u); }
HOT(h_cdqe) { put64(c, R_RAX, (uint64_t)(int32_t)get32(c, R_RAX)); NEXT(c, u); }
HOT(h_cdq) { put32(c, R_RDX, (uint32_t)((int32_t)get32(c, R_RAX) >> 31)); NEXT(c, u); }
HOT(h_cqo) { put64(c, R_RDX, (uint64_t)((int64_t)get64(c, R_RAX) >> 63)); NEXT(c, u); }

uop_fn *bind_convert(struct uop *u, uint32_t key)
{
	(void)key;
	switch (u->row) {
	case INSN_CWDE: return h_cwde;
	case INSN_CDQE: return h_cdqe;
	case INSN_CDQ: return h_cdq;
	case INSN_CQO: return h_cqo;
	default: return NULL;
	}
}

void exec_cbw(struct cpu *c, const struct uop *u)
{
	(void)u;
	put16(c, R_RAX, (uint16_t)(int8_t)get8(c, R_RAX));
}

void exec_cwd(struct cpu *c, const struct uop *u)
{
	(void)u;
	put16(c, R_RDX, (uint16_t)((int16_t)get16(c, R_RAX) >> 15));
}

/* ---- on a condition ---- */

#define CONDITIONAL(cc) \
HOT(h_cmov32_##cc) { put32(c, u->reg[0], get32(c, u->reg[flag_cc(c, cc)])); NEXT(c, u); } \
HOT(h_cmov64_##cc) { put64(c, u->reg[0], get64(c, u->reg[flag_cc(c, cc)])); NEXT(c, u); } \
HOT(h_set_##cc) { put8(c, u->reg[0], flag_cc(c, cc)); NEXT(c, u); }
CONDITIONAL(0) CONDITIONAL(1) CONDITIONAL(2) CONDITIONAL(3) CONDITIONAL(4) CONDITIONAL(5) CONDITIONAL(6) CONDITIONAL(7)
CONDITIONAL(8) CONDITIONAL(9) CONDITIONAL(10) CONDITIONAL(11) CONDITIONAL(12) CONDITIONAL(13) CONDITIONAL(14) CONDITIONAL(15)
#define BY_CC(P) { P##0, P##1, P##2, P##3, P##4, P##5, P##6, P##7, P##8, P##9, P##10, P##11, P##12, P##13, P##14, P##15 }
static uop_fn *const cmov32_table[16] = BY_CC(h_cmov32_),
        *const cmov64_table[16] = BY_CC(h_cmov64_), *const set_table[16] = BY_CC(h_set_);

uop_fn *bind_cmov(struct uop *u, uint32_t key)
{
	(void)key;
	if (u->kind[1] != OPK_REG)
		return NULL;
	return u->sz[0] == 4 ? cmov32_table[u->cc] : u->sz[0] == 8 ? cmov64_table[u->cc] : NULL;
}

uop_fn *bind_set(struct uop *u, uint32_t key)
{
	(void)key;
	return u->kind[0] == OPK_REG ? set_table[u->cc] : NULL;
}

void exec_cmov(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1);
	op_set(c, u, 0, flag_cc(c, u->cc) ? v : op_get(c, u, 0));
}

void exec_set(struct cpu *c, const struct uop *u)
{
	op_set(c, u, 0, flag_cc(c, u->cc));
}
