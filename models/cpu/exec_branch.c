/* exec_branch.c - near transfers: JMP CALL RET Jcc LOOP JCXZ.
 * Source: SDM Vol. 2. The target is checked before anything changes: outside CS's limit, or not canonical, is #GP(0) at
 * the transfer. Base cost: branch, call, ret, indirect; prediction is assumed right. */
#include "models/cpu/hot.h"
#include "models/cpu/sys.h"

void near_check(struct cpu *c, const struct uop *u, uint64_t to)
{
	if (c->s.mode == MODE_LONG64 ? !canonical_now(c, to) : to > c->s.seg[SEG_CS].limit) {
		c->cur = u;
		cpu_raise_ec(c, VEC_GP, 0);
	}
}

/* The same, free for the addresses that are canonical with 48 bits already and for flat segments;
 * the rest is left to the body. */
#define HOT_CHECK(to) do { \
	if (unlikely((u->flags & UOP_LONG ? (uint64_t)((int64_t)((to) << 16) >> 16) != (to) : (to) > c->s.seg[SEG_CS].limit))) \
		return uop_call_end(c, u); \
} while (0)

/* ---- hot: operand size 8 in 64-bit mode, 4 elsewhere ---- */

static inline uint64_t relative(const struct cpu *c, const struct uop *u)
{
	return (c->s.rip + u->off + u->len + (uint64_t)u->imm) & c->lin_mask;
}

#define JCC(cc) HOT(h_jcc_##cc) { if (flag_cc(c, cc)) JUMP(c, u, relative(c, u)); else FALL(c, u); }
JCC(0) JCC(1) JCC(2) JCC(3) JCC(4) JCC(5) JCC(6) JCC(7) JCC(8) JCC(9) JCC(10) JCC(11) JCC(12) JCC(13) JCC(14) JCC(15)
static uop_fn *const jcc_table[16] = {
	h_jcc_0, h_jcc_1, h_jcc_2, h_jcc_3, h_jcc_4, h_jcc_5, h_jcc_6, h_jcc_7,
	h_jcc_8, h_jcc_9, h_jcc_10, h_jcc_11, h_jcc_12, h_jcc_13, h_jcc_14, h_jcc_15,
};

HOT(h_jmp) { JUMP(c, u, relative(c, u)); }
HOT(h_jmp_r) { JUMP(c, u, c->s.r[u->reg[0]] & c->lin_mask); }

/* Memory operands: 64-bit mode alone. The displacement counts from the instruction, as uop_call_end
 * wants it. */
#define TARGET_M \
	uint64_t lin = c->s.r[u->base] + (c->s.r[u->index] << u->scale) + (uint64_t)u->disp + (u->base == R_RIP ? u->off : 0); \
	HOT_AT(q, lin, 8, false, uop_call_end); \
	HOT_LOAD(64, to, q)

HOT(h_jmp64_m) { TARGET_M; JUMP(c, u, to); }

#define PUSH_RETURN64(at) \
	uint64_t sp = c->s.r[R_RSP] - 8; \
	at(p, sp, 8, true, uop_call_end); \
	HOT_STORE(64, p, c->s.rip + u->off + u->len); \
	c->s.r[R_RSP] = sp
#define PUSH_RETURN32 \
	uint32_t sp = (uint32_t)c->s.r[R_RSP] - 4; \
	const struct seg *ss = &c->s.seg[SEG_SS]; \
	if (unlikely((uint64_t)sp + 4 > ss->lim_w)) \
		return uop_call_end(c, u); \
	HOT_AT(p, (ss->base + sp) & c->lin_mask, 4, true, uop_call_end); \
	HOT_STORE(32, p, (uint32_t)(c->s.rip + u->off + u->len)); \
	c->s.r[R_RSP] = sp

HOT(h_call64)
{
	uint64_t to = relative(c, u);
	HOT_CHECK(to);
	PUSH_RETURN64(HOT_AT);
	JUMP(c, u, to);
}
HOT(h_call32) { uint64_t to = relative(c, u); HOT_CHECK(to); PUSH_RETURN32; JUMP(c, u, to); }
HOT(h_call64_r)
{
	uint64_t to = get64(c, u->reg[0]);
	HOT_CHECK(to);
	PUSH_RETURN64(HOT_AT);
	JUMP(c, u, to);
}
HOT(h_call32_r) { uint64_t to = get32(c, u->reg[0]); HOT_CHECK(to); PUSH_RETURN32; JUMP(c, u, to); }
HOT(h_call64_m) { TARGET_M; HOT_CHECK(to); PUSH_RETURN64(HOT_AT_2); JUMP(c, u, to); }

HOT(h_ret64)
{
	uint64_t sp = c->s.r[R_RSP];
	HOT_AT(p, sp, 8, false, uop_call_end);
	HOT_LOAD(64, to, p);
	HOT_CHECK(to);
	c->s.r[R_RSP] = sp + 8;
	JUMP(c, u, to);
}
HOT(h_ret32)
{
	uint32_t sp = (uint32_t)c->s.r[R_RSP];
	const struct seg *ss = &c->s.seg[SEG_SS];
	if (unlikely((uint64_t)sp + 4 > ss->lim_r))
		return uop_call_end(c, u);
	HOT_AT(p, (ss->base + sp) & c->lin_mask, 4, false, uop_call_end);
	HOT_LOAD(32, to, p);
	HOT_CHECK((uint64_t)to);
	c->s.r[R_RSP] = sp + 4u;
	JUMP(c, u, to);
}

static bool near32(const struct uop *u)
{
	return u->osz == 4 && !(u->flags & UOP_LONG);
}

uop_fn *bind_jcc(struct uop *u, uint32_t key)
{
	(void)key;
	return u->osz == 8 || near32(u) ? jcc_table[u->cc] : NULL;
}

uop_fn *bind_jmp(struct uop *u, uint32_t key)
{
	(void)key;
	if (u->osz != 8 && !near32(u))
		return NULL;
	if (u->kind[0] == OPK_MEM)
		return u->osz == 8 && hot_ea(u) < 2 ? h_jmp64_m : NULL;
	return u->kind[0] == OPK_IMM ? h_jmp : h_jmp_r;
}

uop_fn *bind_near_call(struct uop *u, uint32_t key)
{
	if (u->osz == 8)
		return u->kind[0] == OPK_IMM ? h_call64 : u->kind[0] == OPK_REG ? h_call64_r :
		       hot_ea(u) < 2 ? h_call64_m : NULL;
	if (near32(u) && (key & KEY_STACK32))
		return u->kind[0] == OPK_IMM ? h_call32 : u->kind[0] == OPK_REG ? h_call32_r : NULL;
	return NULL;
}

uop_fn *bind_ret(struct uop *u, uint32_t key)
{
	if (u->kind[0] != OPK_NONE)
		return NULL;
	return u->osz == 8 ? h_ret64 : near32(u) && (key & KEY_STACK32) ? h_ret32 : NULL;
}

/* ---- bodies, under uop_call_end ---- */

void exec_jmp(struct cpu *c, const struct uop *u)
{
	near_jump(c, u, u->kind[0] == OPK_IMM ? near_relative(c, u) : op_get(c, u, 0));
}

void exec_jcc(struct cpu *c, const struct uop *u)
{
	if (flag_cc(c, u->cc))
		near_jump(c, u, near_relative(c, u));
}

void exec_call(struct cpu *c, const struct uop *u)
{
	uint64_t to = u->kind[0] == OPK_IMM ? near_relative(c, u) : op_get(c, u, 0);
	near_check(c, u, to);
	cpu_push(c, u, u->osz, c->next_rip);
	c->next_rip = to;
}

void exec_ret(struct cpu *c, const struct uop *u)
{
	uint64_t before = c->s.r[R_RSP], to = cpu_pop(c, u, u->osz), after = c->s.r[R_RSP];
	c->s.r[R_RSP] = before;
	near_check(c, u, to);
	c->s.r[R_RSP] = after;
	if (u->kind[0] == OPK_IMM) {
		unsigned n = stack_size(c);
		reg_set(c, R_RSP, n, after + (uint16_t)u->imm);
	}
	c->next_rip = to;
}

/* The count is CX, ECX or RCX by address size. */
static void loop(struct cpu *c, const struct uop *u, bool condition)
{
	unsigned n = 8 - u->ash / 8;
	uint64_t count = (reg_get(c, R_RCX, n) - 1) & MASK(8 * n);
	if (count && condition)
		near_jump(c, u, near_relative(c, u));
	reg_set(c, R_RCX, n, count);
}

void exec_loop(struct cpu *c, const struct uop *u) { loop(c, u, true); }
void exec_loope(struct cpu *c, const struct uop *u) { loop(c, u, flag_zf(c)); }
void exec_loopne(struct cpu *c, const struct uop *u) { loop(c, u, !flag_zf(c)); }

void exec_jcxz(struct cpu *c, const struct uop *u)
{
	if (!reg_get(c, R_RCX, 8 - u->ash / 8))
		near_jump(c, u, near_relative(c, u));
}
