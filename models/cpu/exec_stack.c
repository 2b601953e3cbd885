/* exec_stack.c - PUSH POP PUSHA POPA ENTER LEAVE.
 * Source: SDM Vol. 1, "Stacks"; Vol. 2. The stack-pointer size follows the mode and SS.B, the operand size the
 * instruction. Instructions that touch several slots check them all first. */
#include "models/cpu/hot.h"

/* ---- hot: 64-bit mode, and 32-bit operands on a 32-bit stack ---- */

#define PUSH64(value) \
	uint64_t sp = c->s.r[R_RSP] - 8; \
	HOT_AT(p, sp, 8, true, uop_call); \
	HOT_STORE(64, p, value); \
	c->s.r[R_RSP] = sp; \
	NEXT(c, u)
HOT(h_push64_r) { PUSH64(get64(c, u->reg[0])); }
HOT(h_push64_i) { PUSH64((uint64_t)u->imm); }
HOT(h_pop64_r)
{
	uint64_t sp = c->s.r[R_RSP];
	HOT_AT(p, sp, 8, false, uop_call);
	HOT_LOAD(64, v, p);
	c->s.r[R_RSP] = sp + 8;
	put64(c, u->reg[0], v);
	NEXT(c, u);
}

#define STACK32(write) \
	const struct seg *ss = &c->s.seg[SEG_SS]; \
	if (unlikely((uint64_t)sp + 4 > (write ? ss->lim_w : ss->lim_r))) \
		return uop_call(c, u); \
	HOT_AT(p, (ss->base + sp) & c->lin_mask, 4, write, uop_call)
#define PUSH32(value) \
	uint32_t sp = (uint32_t)c->s.r[R_RSP] - 4; \
	STACK32(true); \
	HOT_STORE(32, p, value); \
	c->s.r[R_RSP] = sp; \
	NEXT(c, u)
HOT(h_push32_r) { PUSH32(get32(c, u->reg[0])); }
HOT(h_push32_i) { PUSH32((uint32_t)u->imm); }
HOT(h_pop32_r)
{
	uint32_t sp = (uint32_t)c->s.r[R_RSP];
	STACK32(false);
	HOT_LOAD(32, v, p);
	c->s.r[R_RSP] = sp + 4u;
	put32(c, u->reg[0], v);
	NEXT(c, u);
}

HOT(h_leave64)
{
	uint64_t sp = c->s.r[R_RBP];
	HOT_AT(p, sp, 8, false, uop_call);
	HOT_LOAD(64, v, p);
	c->s.r[R_RSP] = sp + 8;
	c->s.r[R_RBP] = v;
	NEXT(c, u);
}

static bool hot32(const struct uop *u, uint32_t key)
{
	return u->osz == 4 && !(u->flags & UOP_LONG) && (key & KEY_STACK32);
}

uop_fn *bind_push(struct uop *u, uint32_t key)
{
	bool r = u->kind[0] == OPK_REG;
	if (u->kind[0] != OPK_REG && u->kind[0] != OPK_IMM)
		return NULL;
	if (u->osz == 8)
		return r ? h_push64_r : h_push64_i;
	return hot32(u, key) ? r ? h_push32_r : h_push32_i : NULL;
}

uop_fn *bind_pop(struct uop *u, uint32_t key)
{
	if (u->kind[0] != OPK_REG)
		return NULL;
	return u->osz == 8 ? h_pop64_r : hot32(u, key) ? h_pop32_r : NULL;
}

uop_fn *bind_leave(struct uop *u, uint32_t key)
{
	(void)key;
	return u->osz == 8 ? h_leave64 : NULL;
}

/* ---- bodies ---- */

void exec_push(struct cpu *c, const struct uop *u)
{
	cpu_push(c, u, u->osz, op_get(c, u, 0));
}

/* POP to memory: an address based on RSP uses its value after the pop; a fault leaves RSP
 * as it was. */
void exec_pop(struct cpu *c, const struct uop *u)
{
	uint64_t before = c->s.r[R_RSP];
	uint64_t v = cpu_pop(c, u, u->osz);
	if (u->kind[0] == OPK_REG) {
		op_set(c, u, 0, v);
		return;
	}
	uint64_t after = c->s.r[R_RSP], off = ea_offset(c, u);
	c->s.r[R_RSP] = before;
	uint64_t lin = seg_linear(c, u, u->seg, off, u->osz, true);
	cpu_store_bytes(c, u, lin, &v, u->osz);
	c->s.r[R_RSP] = after;
}

static uint64_t sp_mask(const struct cpu *c)
{
	return MASK(8 * stack_size(c));
}

static uint64_t slot_linear(struct cpu *c, const struct uop *u, uint64_t sp, bool write)
{
	return seg_linear(c, u, SEG_SS, sp & sp_mask(c), u->osz, write);
}

static void store(struct cpu *c, const struct uop *u, uint64_t lin, uint64_t v)
{
	cpu_store_bytes(c, u, lin, &v, u->osz);
}

static uint64_t load(struct cpu *c, const struct uop *u, uint64_t lin)
{
	uint64_t v = 0;
	cpu_load_bytes(c, u, lin, &v, u->osz);
	return v;
}

void exec_pusha(struct cpu *c, const struct uop *u)
{
	uint64_t sp = c->s.r[R_RSP], lin[8];
	for (unsigned i = 0; i < 8; i++) {
		lin[i] = slot_linear(c, u, sp - (i + 1) * u->osz, true);
		cpu_probe(c, u, lin[i], u->osz, ACC_WRITE);
	}
	for (unsigned i = 0; i < 8; i++)        /* RAX first; RSP as it was before */
		store(c, u, lin[i], c->s.r[i]);
	reg_set(c, R_RSP, stack_size(c), (sp - 8u * u->osz) & sp_mask(c));
}

void exec_popa(struct cpu *c, const struct uop *u)
{
	uint64_t sp = c->s.r[R_RSP], v[8];
	for (unsigned i = 0; i < 8; i++)
		v[i] = load(c, u, slot_linear(c, u, sp + i * u->osz, false));
	for (unsigned i = 0; i < 8; i++)        /* RDI first; the slot of RSP is skipped */
		if (7 - i != R_RSP)
			reg_set(c, 7 - i, u->osz, v[i]);
	reg_set(c, R_RSP, stack_size(c), (sp + 8u * u->osz) & sp_mask(c));
}

/* ENTER size, level: a frame pointer, copies of level - 1 outer ones, room for locals. The copies
 * are read as the slots are written, so that frames that overlap come out as they do on processors;
 * everything is checked before. */
void exec_enter(struct cpu *c, const struct uop *u)
{
	unsigned n = u->osz, level = (unsigned)u->disp & 31, slots = level ? level + 1 : 1;
	uint64_t mask = sp_mask(c), sp = c->s.r[R_RSP] & mask, bp = c->s.r[R_RBP];
	uint64_t frame = (sp - n) & mask, end = (sp - slots * n - (uint16_t)u->imm) & mask;
	for (unsigned i = 1; i < level; i++)
		cpu_probe(c, u, slot_linear(c, u, bp - i * n, false), n, ACC_READ);
	for (unsigned i = 1; i <= slots; i++)
		cpu_probe(c, u, slot_linear(c, u, sp - i * n, true), n, ACC_WRITE);
	/* "a write with the final value of ESP" must be possible */
	cpu_probe(c, u, slot_linear(c, u, end, true), n, ACC_WRITE);
	for (unsigned i = 1; i <= slots; i++) {
		uint64_t v = i == 1 ? bp : i == slots ? frame :
		             load(c, u, slot_linear(c, u, bp - (i - 1) * n, false));
		store(c, u, slot_linear(c, u, sp - i * n, true), v);
	}
	reg_set(c, R_RBP, n, frame);
	reg_set(c, R_RSP, stack_size(c), end);
}

void exec_leave(struct cpu *c, const struct uop *u)
{
	uint64_t sp = c->s.r[R_RBP] & sp_mask(c);
	uint64_t v = load(c, u, slot_linear(c, u, sp, false));
	reg_set(c, R_RSP, stack_size(c), (sp + u->osz) & sp_mask(c));
	reg_set(c, R_RBP, u->osz, v);
}
