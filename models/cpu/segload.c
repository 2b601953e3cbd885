/* segload.c - instructions that move segment registers: MOV, PUSH, POP, LDS and friends, FS/GS
 * bases, SWAPGS.
 * Source: SDM Vol. 2, each instruction; "FS and GS bases": Vol. 3A, "Segment Loading Instructions
 * in IA-32e Mode". */
#include "models/cpu/access.h"
#include "models/cpu/sys.h"

/* A selector operand: the low 16 bits of a register, or 16 bits of memory whatever the operand
 * size. */
static uint16_t selector_operand(struct cpu *c, const struct uop *u, unsigned i)
{
	if (u->kind[i] == OPK_REG)
		return (uint16_t)c->s.r[u->reg[i]];
	return cpu_load16(c, u, ea_linear(c, u, 2, false));
}

/* "Loading the SS register with a MOV instruction suppresses or inhibits some debug exceptions and
 * inhibits interrupts on the following instruction boundary." A second one in a row does not extend
 * it. */
static void block_after_ss(struct cpu *c)
{
	if (!(c->s.mark & MARK_SHADOW))
		c->s.shadow |= 2;
	cpu_attention(c);
}

static void load(struct cpu *c, enum seg_reg i, uint16_t sel)
{
	seg_load(c, i, sel);
	if (i == SEG_SS)
		block_after_ss(c);
}

void insn_mov_to_seg(struct cpu *c, const struct uop *u)
{
	if (u->reg[0] == SEG_CS || u->reg[0] > SEG_GS)
		cpu_raise(c, VEC_UD);
	load(c, u->reg[0], selector_operand(c, u, 1));
}

/* To a register: zero-extended to the operand size; to memory: 16 bits always. */
void insn_mov_from_seg(struct cpu *c, const struct uop *u)
{
	if (u->reg[1] > SEG_GS)
		cpu_raise(c, VEC_UD);
	uint16_t sel = c->s.seg[u->reg[1]].sel;
	if (u->kind[0] == OPK_REG)
		reg_set(c, u->reg[0], u->osz, sel);
	else
		cpu_store16(c, u, ea_linear(c, u, 2, true), sel);
}

/* With a 32- or 64-bit operand size recent processors write 16 bits and leave the rest of the slot
 * alone; 64-bit mode and stack moves follow the operand size. SDM Vol. 2B, "PUSH". */
void insn_push_seg(struct cpu *c, const struct uop *u)
{
	uint16_t sel = c->s.seg[u->reg[0]].sel;
	unsigned size = cpu_long64(c) && u->osz == 4 ? 8 : u->osz;
	if (size == 4) {
		unsigned ss = stack_size(c);
		uint64_t mask = MASK(ss * 8), sp = (c->s.r[R_RSP] - 4) & mask;
		sys_store_as(c, stack_linear(c, sp, 4, true), 2, sel, c->s.cpl);
		c->s.r[R_RSP] = (c->s.r[R_RSP] & ~mask) | sp;
		return;
	}
	cpu_push(c, u, size, sel);
}

/* POP SS: the new stack is in force only after the pointer has moved; faults leave both as they
 * were. */
void insn_pop_seg(struct cpu *c, const struct uop *u)
{
	unsigned size = cpu_long64(c) && u->osz == 4 ? 8 : u->osz, ss = stack_size(c);
	uint64_t mask = MASK(ss * 8), sp = c->s.r[R_RSP];
	if (u->reg[0] == SEG_CS)
		cpu_raise(c, VEC_UD);
	uint16_t sel = cpu_load16(c, u, stack_linear(c, sp & mask, size, false));
	load(c, u->reg[0], sel);
	c->s.r[R_RSP] = (sp & ~mask) | ((sp + size) & mask);
}

static void load_pointer(struct cpu *c, const struct uop *u, enum seg_reg i)
{
	unsigned n = u->osz;
	uint64_t lin = ea_linear(c, u, n + 2, false);
	uint8_t buf[10] = { 0 };
	cpu_load_bytes(c, u, lin, buf, n + 2);
	uint64_t off = 0;
	uint16_t sel;
	memcpy(&off, buf, n);
	memcpy(&sel, buf + n, 2);
	seg_load(c, i, sel);
	reg_set(c, u->reg[0], n, off);
}
void insn_lds(struct cpu *c, const struct uop *u) { load_pointer(c, u, SEG_DS); }
void insn_les(struct cpu *c, const struct uop *u) { load_pointer(c, u, SEG_ES); }
void insn_lfs(struct cpu *c, const struct uop *u) { load_pointer(c, u, SEG_FS); }
void insn_lgs(struct cpu *c, const struct uop *u) { load_pointer(c, u, SEG_GS); }
void insn_lss(struct cpu *c, const struct uop *u) { load_pointer(c, u, SEG_SS); }

/* RDFSBASE and the like: #UD outside 64-bit mode or with CR4.FSGSBASE = 0. */
static void need_fsgsbase(struct cpu *c)
{
	if (!cpu_long64(c) || !(c->s.cr4 & CR4_FSGSBASE) || !cpu_has(c, FEATURE_FSGSBASE))
		cpu_raise(c, VEC_UD);
}
static void read_base(struct cpu *c, const struct uop *u, enum seg_reg i)
{
	need_fsgsbase(c);
	reg_set(c, u->reg[0], u->osz, c->s.seg[i].base);
}
static void write_base(struct cpu *c, const struct uop *u, enum seg_reg i)
{
	need_fsgsbase(c);
	uint64_t v = reg_get(c, u->reg[0], u->osz);
	if (!canonical_max(c, v))
		cpu_gp0(c);
	c->s.seg[i].base = v;
}
void insn_rdfsbase(struct cpu *c, const struct uop *u) { read_base(c, u, SEG_FS); }
void insn_rdgsbase(struct cpu *c, const struct uop *u) { read_base(c, u, SEG_GS); }
void insn_wrfsbase(struct cpu *c, const struct uop *u) { write_base(c, u, SEG_FS); }
void insn_wrgsbase(struct cpu *c, const struct uop *u) { write_base(c, u, SEG_GS); }

void insn_swapgs(struct cpu *c, const struct uop *u)
{
	(void)u;
	if (!cpu_long64(c))
		cpu_raise(c, VEC_UD);
	need_cpl0(c);
	uint64_t v = c->s.seg[SEG_GS].base;
	c->s.seg[SEG_GS].base = c->s.kernel_gs_base;
	c->s.kernel_gs_base = v;
}
