/* exec_bit.c - BT BTS BTR BTC, BSF BSR TZCNT LZCNT POPCNT CRC32, BMI1 and BMI2.
 * Source: SDM Vol. 2. BSF and BSR of 0 leave the destination alone, as all processors do; flags the manual leaves
 * undefined follow the source. BT and relatives with a register index address the bit string beyond the operand. */
#include "models/cpu/hot.h"

/* ---- bit tests ---- */

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static uint64_t bit_changed(uint64_t v, unsigned bit, enum bit_op op)
{
	switch (op) {
	case BIT_SET: return v | BIT(bit);
	case BIT_RESET: return v & ~BIT(bit);
	case BIT_COMPLEMENT: return v ^ BIT(bit);
	default: return v;
	}
}

static void bit_string(struct cpu *c, const struct uop *u, enum bit_op op)
{
	unsigned n = u->sz[0];
	int64_t index = sign_extend(op_get(c, u, 1), u->sz[1]);
	uint64_t off = ea_offset(c, u) + (uint64_t)((index >> (n == 8 ? 6 : n == 4 ? 5 :
	                                                       4)) * (int64_t)n);
	uint64_t lin = seg_linear(c, u, u->seg, off << u->ash >> u->ash, n, op != BIT_TEST), v = 0;
	unsigned bit = (unsigned)index & (8 * n - 1);
	if (op == BIT_TEST) {
		cpu_load_bytes(c, u, lin, &v, n);
	} else {
		void *p = n == 8 ? (void *)cpu_rmw64(c, u, lin) : n == 4 ?
		          (void *)cpu_rmw32(c, u, lin) : (void *)cpu_rmw16(c, u, lin);
		memcpy(&v, p, n);
		uint64_t w = bit_changed(v, bit, op);
		memcpy(p, &w, n);
		cpu_rmw_end(c, u, p);
	}
	flags_set_cf(c, v >> bit & 1);
}

static void bit_op(struct cpu *c, const struct uop *u, enum bit_op op)
{
	if (u->kind[0] == OPK_MEM && u->kind[1] == OPK_REG) {
		bit_string(c, u, op);
		return;
	}
	unsigned bit = (unsigned)op_get(c, u, 1) & (8u * u->sz[0] - 1);
	uint64_t v = op_get(c, u, 0);
	if (op != BIT_TEST)
		op_set(c, u, 0, bit_changed(v, bit, op));
	flags_set_cf(c, v >> bit & 1);
}

void exec_bt(struct cpu *c, const struct uop *u) { bit_op(c, u, BIT_TEST); }
void exec_bts(struct cpu *c, const struct uop *u) { bit_op(c, u, BIT_SET); }
void exec_btr(struct cpu *c, const struct uop *u) { bit_op(c, u, BIT_RESET); }
void exec_btc(struct cpu *c, const struct uop *u) { bit_op(c, u, BIT_COMPLEMENT); }

/* ---- scans and counts ---- */

void exec_bsf(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1);
	alu_flags(c, v, u->sz[0], false, false);
	if (v)
		op_set(c, u, 0, (uint64_t)__builtin_ctzll(v));
}

void exec_bsr(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1);
	alu_flags(c, v, u->sz[0], false, false);
	if (v)
		op_set(c, u, 0, 63 - (uint64_t)__builtin_clzll(v));
}

void exec_tzcnt(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1), r = v ? (uint64_t)__builtin_ctzll(v) : 8u * u->sz[0];
	op_set(c, u, 0, r);
	alu_flags(c, r, u->sz[0], !v, false);
}

void exec_lzcnt(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1), bits = 8u * u->sz[0],
	        r = v ? (uint64_t)__builtin_clzll(v) - (64 - bits) : bits;
	op_set(c, u, 0, r);
	alu_flags(c, r, u->sz[0], !v, false);
}

/* ZF from the source; OF, SF, AF, CF and PF are cleared. */
void exec_popcnt(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1);
	op_set(c, u, 0, (uint64_t)__builtin_popcountll(v));
	c->s.cc_zr = v != 0;
	c->s.cc_sp = 1;         /* positive, odd parity */
	c->s.cc_aux = 0;
}

/* CRC-32C, reflected: polynomial 11EDC6F41H. */
void exec_crc32(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1);
	uint32_t crc = get32(c, u->reg[0]);
	for (unsigned i = 0; i < u->sz[1]; i++, v >>= 8) {
		crc ^= (uint8_t)v;
		for (unsigned k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
	}
	put64(c, u->reg[0], crc);
}

/* ---- BMI1 ---- */

void exec_andn(struct cpu *c, const struct uop *u)
{
	uint64_t r = ~op_get(c, u, 1) & op_get(c, u, 2);
	op_set(c, u, 0, r);
	alu_flags(c, r, u->sz[0], false, false);
}

void exec_bextr(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1), control = op_get(c, u, 2);
	unsigned start = control & 0xff, len = control >> 8 & 0xff;
	uint64_t r = (start < 64 ? v >> start : 0) & MASK(len);
	op_set(c, u, 0, r);
	alu_flags(c, r, u->sz[0], false, false);
}

void exec_blsi(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1), r = v & -v;
	op_set(c, u, 0, r);
	alu_flags(c, r, u->sz[0], v != 0, false);
}

void exec_blsmsk(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1), r = (v ^ (v - 1)) & MASK(8 * u->sz[0]);
	op_set(c, u, 0, r);
	alu_flags(c, r, u->sz[0], v == 0, false);
}

void exec_blsr(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1), r = v & (v - 1);
	op_set(c, u, 0, r);
	alu_flags(c, r, u->sz[0], v == 0, false);
}

/* ---- BMI2 ---- */

void exec_bzhi(struct cpu *c, const struct uop *u)
{
	unsigned n = (unsigned)op_get(c, u, 2) & 0xff;
	uint64_t r = op_get(c, u, 1) & MASK(n);
	op_set(c, u, 0, r);
	alu_flags(c, r, u->sz[0], n > 8u * u->sz[0] - 1, false);
}

void exec_pdep(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1), mask = op_get(c, u, 2), r = 0;
	for (; mask; mask &= mask - 1, v >>= 1)
		if (v & 1)
			r |= mask & -mask;
	op_set(c, u, 0, r);
}

void exec_pext(struct cpu *c, const struct uop *u)
{
	uint64_t v = op_get(c, u, 1), mask = op_get(c, u, 2), r = 0;
	for (unsigned k = 0; mask; mask &= mask - 1, k++)
		if (v & mask & -mask)
			r |= BIT(k);
	op_set(c, u, 0, r);
}
