/* emulate_op.c - what the emulated instructions do. See emulate.c.
 *
 * Written apart from models/cpu/exec_*.c, as a VMM's emulator is: a test runs both on the same bytes.
 * An operation finds its memory operands first (which may fault), then reads, computes, writes memory, and leaves
 * registers and flags in struct emu for the commit.
 * Source: SDM Vol. 2. AF after logic is cleared, as processors do. */
#include <string.h>

#include "models/vmm/emulate.h"

#define EMU_REP 1024            /* iterations of REP before the guest is entered again, unless its turn is over: assumed, as in KVM */

/* ---- registers and flags ---- */

static uint64_t reg(const struct emu *e, unsigned n, unsigned size)
{
	switch (size) {
	case 1: return ((const uint8_t *)e->r)[n];
	case 2: return (uint16_t)e->r[n];
	case 4: return (uint32_t)e->r[n];
	default: return e->r[n];
	}
}

static void set_reg(struct emu *e, unsigned n, unsigned size, uint64_t x)
{
	switch (size) {
	case 1: ((uint8_t *)e->r)[n] = (uint8_t)x; break;
	case 2: memcpy(&e->r[n], &x, 2); break;
	case 4: e->r[n] = (uint32_t)x; break;
	default: e->r[n] = x; break;
	}
}

static int64_t extend(uint64_t x, unsigned size)
{
	unsigned s = 64 - 8 * size;
	return (int64_t)(x << s) >> s;
}

/* Status flags from a result and the vector of carries (or borrows) out of each bit; those outside `which` stay. */
static void set_flags(struct emu *e, uint64_t which, unsigned size, uint64_t r, uint64_t carries)
{
	unsigned n = 8 * size;
	bool cf = carries >> (n - 1) & 1, of = cf ^ (carries >> (n - 2) & 1);
	uint64_t f = (cf ? RFLAGS_CF : 0) | (of ? RFLAGS_OF : 0) | (carries & 8 ? RFLAGS_AF : 0);
	f |= __builtin_parity(r & 0xff) ? 0 : RFLAGS_PF;
	f |= r & MASK(n) ? 0 : RFLAGS_ZF;
	f |= r >> (n - 1) & 1 ? RFLAGS_SF : 0;
	e->rflags = (e->rflags & ~which) | (f & which);
}

/* ---- operands ---- */

static bool find(struct emu *e, unsigned i, unsigned access, struct emu_place *p)
{
	const struct uop *u = &e->u;
	return u->kind[i] != OPK_MEM || emu_place(e, (enum seg_reg)u->seg, emu_offset(e), u->sz[i], access, p);
}

static uint64_t load(struct emu *e, unsigned i, const struct emu_place *p)
{
	const struct uop *u = &e->u;
	uint64_t x = 0;
	if (u->kind[i] == OPK_REG)
		return reg(e, u->reg[i], u->sz[i]);
	if (u->kind[i] == OPK_IMM)
		return (uint64_t)u->imm & MASK(8 * u->osz);
	emu_read(e, p, &x);
	return x;
}

static void store(struct emu *e, unsigned i, const struct emu_place *p, uint64_t x)
{
	const struct uop *u = &e->u;
	if (u->kind[i] == OPK_REG)
		set_reg(e, u->reg[i], u->sz[i], x);
	else
		emu_write(e, p, &x);
}

/* ---- moves ---- */

enum move { MOVE_PLAIN, MOVE_SIGN, MOVE_SWAP };

static bool move(struct emu *e, enum move how)
{
	struct emu_place p;
	if (!find(e, 0, ACC_WRITE, &p) || !find(e, 1, ACC_READ, &p))
		return false;
	uint64_t x = load(e, 1, &p);
	if (how == MOVE_SIGN)
		x = (uint64_t)extend(x, e->u.sz[1]);
	if (how == MOVE_SWAP)
		x = __builtin_bswap64(x) >> (64 - 8 * e->u.sz[1]);
	store(e, 0, &p, x);
	return true;
}
bool op_mov(struct emu *e) { return move(e, MOVE_PLAIN); }
bool op_movsx(struct emu *e) { return move(e, MOVE_SIGN); }
bool op_movbe(struct emu *e) { return move(e, MOVE_SWAP); }

/* ---- arithmetic and logic ---- */

enum binary { DO_ADD, DO_ADC, DO_SUB, DO_SBB, DO_AND, DO_OR, DO_XOR };

static uint64_t compute(struct emu *e, enum binary op, unsigned size, uint64_t a, uint64_t b)
{
	uint64_t cf = e->rflags & RFLAGS_CF, r, carries = 0;
	switch (op) {
	case DO_ADD: case DO_ADC:
		r = a + b + (op == DO_ADC ? cf : 0);
		carries = (a & b) | ((a | b) & ~r);
		break;
	case DO_SUB: case DO_SBB:
		r = a - b - (op == DO_SBB ? cf : 0);
		carries = (~a & b) | (~(a ^ b) & r);
		break;
	case DO_AND: r = a & b; break;
	case DO_OR: r = a | b; break;
	default: r = a ^ b; break;
	}
	set_flags(e, RFLAGS_STATUS, size, r, carries);
	return r;
}

static bool binary(struct emu *e, enum binary op, bool keep)
{
	struct emu_place to, from;
	if (!find(e, 0, keep ? ACC_WRITE : ACC_READ, &to) || !find(e, 1, ACC_READ, &from))
		return false;
	uint64_t a = load(e, 0, &to), b = load(e, 1, &from), r = compute(e, op, e->u.sz[0], a, b);
	if (keep)
		store(e, 0, &to, r);
	return true;
}
bool op_add(struct emu *e) { return binary(e, DO_ADD, true); }
bool op_adc(struct emu *e) { return binary(e, DO_ADC, true); }
bool op_sub(struct emu *e) { return binary(e, DO_SUB, true); }
bool op_sbb(struct emu *e) { return binary(e, DO_SBB, true); }
bool op_and(struct emu *e) { return binary(e, DO_AND, true); }
bool op_or(struct emu *e) { return binary(e, DO_OR, true); }
bool op_xor(struct emu *e) { return binary(e, DO_XOR, true); }
bool op_cmp(struct emu *e) { return binary(e, DO_SUB, false); }
bool op_test(struct emu *e) { return binary(e, DO_AND, false); }

enum unary { DO_INC, DO_DEC, DO_NEG, DO_NOT };

static bool unary(struct emu *e, enum unary op)
{
	struct emu_place p;
	unsigned n = e->u.sz[0];
	if (!find(e, 0, ACC_WRITE, &p))
		return false;
	uint64_t a = load(e, 0, &p), cf = e->rflags & RFLAGS_CF, r;
	switch (op) {
	case DO_INC: r = compute(e, DO_ADD, n, a, 1); break;
	case DO_DEC: r = compute(e, DO_SUB, n, a, 1); break;
	case DO_NEG: r = compute(e, DO_SUB, n, 0, a); break;
	default: r = ~a; break;
	}
	if (op == DO_INC || op == DO_DEC)
		e->rflags = (e->rflags & ~(uint64_t)RFLAGS_CF) | cf;
	store(e, 0, &p, r);
	return true;
}
bool op_inc(struct emu *e) { return unary(e, DO_INC); }
bool op_dec(struct emu *e) { return unary(e, DO_DEC); }
bool op_neg(struct emu *e) { return unary(e, DO_NEG); }
bool op_not(struct emu *e) { return unary(e, DO_NOT); }

/* ---- exchanges ---- */

bool op_xchg(struct emu *e)
{
	struct emu_place p;
	if (!find(e, 0, ACC_WRITE, &p) || !find(e, 1, ACC_WRITE, &p))
		return false;
	uint64_t a = load(e, 0, &p), b = load(e, 1, &p);
	store(e, 0, &p, b);
	store(e, 1, &p, a);
	return true;
}

bool op_xadd(struct emu *e)
{
	struct emu_place p;
	if (!find(e, 0, ACC_WRITE, &p))
		return false;
	uint64_t a = load(e, 0, &p), b = load(e, 1, &p), sum = compute(e, DO_ADD, e->u.sz[0], a, b);
	store(e, 1, &p, a);             /* the same register twice: it becomes the sum */
	store(e, 0, &p, sum);
	return true;
}

/* "To simplify the interface to the processor's bus, the destination operand receives a write cycle without regard to the
 * result of the comparison." */
bool op_cmpxchg(struct emu *e)
{
	struct emu_place p;
	unsigned n = e->u.sz[0];
	if (!find(e, 0, ACC_WRITE, &p))
		return false;
	uint64_t a = reg(e, R_RAX, n), x = load(e, 0, &p), b = load(e, 1, &p);
	compute(e, DO_SUB, n, a, x);
	if (a == x || e->u.kind[0] == OPK_MEM)
		store(e, 0, &p, a == x ? b : x);
	if (a != x)
		set_reg(e, R_RAX, n, x);
	return true;
}

static bool exchange_pair(struct emu *e, unsigned half)
{
	struct emu_place p;
	uint8_t old[16], want[16], new[16];
	e->align = half == 8 ? 16 : 0;
	if (!emu_place(e, (enum seg_reg)e->u.seg, emu_offset(e), 2 * half, ACC_WRITE, &p))
		return false;
	emu_read(e, &p, old);
	memcpy(want, &e->r[R_RAX], half), memcpy(want + half, &e->r[R_RDX], half);
	memcpy(new, &e->r[R_RBX], half), memcpy(new + half, &e->r[R_RCX], half);
	bool equal = memcmp(old, want, 2 * half) == 0;
	emu_write(e, &p, equal ? new : old);
	e->rflags = (e->rflags & ~(uint64_t)RFLAGS_ZF) | (equal ? RFLAGS_ZF : 0);
	if (!equal) {
		uint64_t low = 0, high = 0;
		memcpy(&low, old, half), memcpy(&high, old + half, half);
		set_reg(e, R_RAX, half, low);
		set_reg(e, R_RDX, half, high);
	}
	return true;
}
bool op_cmpxchg8b(struct emu *e) { return exchange_pair(e, 4); }
bool op_cmpxchg16b(struct emu *e) { return exchange_pair(e, 8); }

/* ---- bits: a register index reaches beyond the operand ---- */

bool op_bt(struct emu *e)
{
	struct uop *u = &e->u;
	struct emu_place p;
	unsigned n = u->sz[0], access = u->row == INSN_BT ? ACC_READ : ACC_WRITE;
	int64_t index = u->kind[1] == OPK_IMM ? u->imm & (int64_t)(8 * n - 1) : extend(reg(e, u->reg[1], u->sz[1]), u->sz[1]);
	if (u->kind[0] == OPK_MEM) {
		uint64_t off = emu_offset(e) + (uint64_t)((index >> (n == 8 ? 6 : n == 4 ? 5 : 4)) * (int64_t)n);
		if (!emu_place(e, (enum seg_reg)u->seg, off << u->ash >> u->ash, n, access, &p))
			return false;
	}
	uint64_t x = load(e, 0, &p), bit = BIT((unsigned)index & (8 * n - 1));
	e->rflags = (e->rflags & ~(uint64_t)RFLAGS_CF) | (x & bit ? RFLAGS_CF : 0);
	if (access == ACC_READ)
		return true;
	store(e, 0, &p, u->row == INSN_BTS ? x | bit : u->row == INSN_BTR ? x & ~bit : x ^ bit);
	return true;
}

/* ---- the stack ---- */

bool op_push(struct emu *e)
{
	struct emu_place from, to;
	unsigned n = e->u.osz, size = emu_stack_size(e);
	uint64_t sp = (e->r[R_RSP] - n) & MASK(8 * size);
	if (!find(e, 0, ACC_READ, &from) || !emu_place(e, SEG_SS, sp, n, ACC_WRITE, &to))
		return false;
	uint64_t x = load(e, 0, &from);
	emu_write(e, &to, &x);
	set_reg(e, R_RSP, size, sp);
	return true;
}

/* "If the ESP register is used as a base register for addressing a destination operand in memory, the POP instruction
 * computes the effective address of the operand after it increments the ESP register." */
bool op_pop(struct emu *e)
{
	struct emu_place from, to;
	unsigned n = e->u.osz, size = emu_stack_size(e);
	uint64_t sp = e->r[R_RSP] & MASK(8 * size), x = 0;
	if (!emu_place(e, SEG_SS, sp, n, ACC_READ, &from))
		return false;
	set_reg(e, R_RSP, size, sp + n);
	if (!find(e, 0, ACC_WRITE, &to))
		return false;
	emu_read(e, &from, &x);
	store(e, 0, &to, x);
	return true;
}

/* ---- strings ---- */

static bool element(struct emu *e, enum seg_reg seg, unsigned r, unsigned access, struct emu_place *p)
{
	return emu_place(e, seg, e->r[r] << e->u.ash >> e->u.ash, e->u.msz, access, p);
}

static void advance(struct emu *e, unsigned r)
{
	uint64_t step = e->rflags & RFLAGS_DF ? -(uint64_t)e->u.msz : e->u.msz;
	set_reg(e, r, 8 - e->u.ash / 8, e->r[r] + step);
}

/* One iteration, and whether it compares. */
static bool iterate(struct emu *e, bool *compares)
{
	const struct uop *u = &e->u;
	const bool movs = u->row >= INSN_MOVSB && u->row <= INSN_MOVSQ, cmps = u->row >= INSN_CMPSB && u->row <= INSN_CMPSQ;
	const bool stos = u->row >= INSN_STOSB && u->row <= INSN_STOSQ, lods = u->row >= INSN_LODSB && u->row <= INSN_LODSQ;
	const bool scas = !movs && !cmps && !stos && !lods;
	const bool source = movs || cmps || lods, dest = !lods, write = movs || stos;
	struct emu_place from, to;
	uint64_t a = reg(e, R_RAX, u->msz), b = 0;
	if (source && !element(e, (enum seg_reg)u->seg, R_RSI, ACC_READ, &from))
		return false;
	if (dest && !element(e, SEG_ES, R_RDI, write ? ACC_WRITE : ACC_READ, &to))
		return false;
	if (source)
		emu_read(e, &from, &a);
	if (write)
		emu_write(e, &to, &a);
	if (lods)
		set_reg(e, R_RAX, u->msz, a);
	*compares = cmps || scas;
	if (*compares) {
		emu_read(e, &to, &b);
		compute(e, DO_SUB, u->msz, a, b);
	}
	if (source)
		advance(e, R_RSI);
	if (dest)
		advance(e, R_RDI);
	return true;
}

bool op_string(struct emu *e)
{
	const struct uop *u = &e->u;
	const unsigned size = 8 - u->ash / 8;
	bool compares = false;
	if (u->kind[0] != OPK_NONE)
		return false;           /* the SSE instructions MOVSD and CMPSD */
	if (!(u->flags & (UOP_REP | UOP_REPNE)))
		return iterate(e, &compares);
	for (unsigned i = 0; reg(e, R_RCX, size); i++) {
		if (i == EMU_REP || (i && vcpu_turn_over(e->v))) {
			e->again = true;
			return true;
		}
		if (i)
			vmm_cost(e->v->cpu, VMM_COST_EMULATE_OP);
		if (!iterate(e, &compares)) {
			e->again = i > 0;       /* "the source and destination registers point to the next string elements" */
			return false;
		}
		set_reg(e, R_RCX, size, reg(e, R_RCX, size) - 1);
		if (compares && !(e->rflags & RFLAGS_ZF) == !(u->flags & UOP_REPNE))
			break;
	}
	return true;
}

/* ---- SSE moves of 16 bytes ---- */

bool op_move128(struct emu *e)
{
	const struct uop *u = &e->u;
	struct emu_place p;
	const bool any = u->row == INSN_MOVUPS || u->row == INSN_MOVUPD || u->row == INSN_MOVDQU || u->row == INSN_LDDQU;
	const bool to_memory = u->kind[0] == OPK_MEM;
	struct cpu_state *s = &e->v->cpu->s;
	uint64_t x[2];
	if (!to_memory && u->kind[1] != OPK_MEM) {
		memcpy(s->xmm[u->reg[0]], s->xmm[u->reg[1]], sizeof x);
		return true;
	}
	e->align = any ? 0 : 16;
	if (!emu_place(e, (enum seg_reg)u->seg, emu_offset(e), 16, to_memory ? ACC_WRITE : ACC_READ, &p))
		return false;
	if (to_memory) {
		emu_write(e, &p, s->xmm[u->reg[1]]);
	} else {
		emu_read(e, &p, x);
		memcpy(s->xmm[u->reg[0]], x, sizeof x);
	}
	return true;
}
