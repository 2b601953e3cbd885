/* exec_bcd.c - AAA AAS AAM AAD DAA DAS SALC BOUND: what 64-bit mode has dropped.
 * Source: SDM Vol. 2, whose pseudocode these follow; OF, undefined, is cleared. */
#include "models/cpu/hot.h"

#define AL (R_RAX * 8)
#define AH (R_RAX * 8 + 1)

static void bcd_flags(struct cpu *c, uint8_t r, bool cf, bool af)
{
	alu_flags(c, r, 1, cf, false);
	c->s.cc_aux |= (uint64_t)af << 3;
}

static void ascii_adjust(struct cpu *c, int sign)
{
	uint16_t ax = get16(c, R_RAX);
	bool adjust = (ax & 15) > 9 || flag_af(c);
	if (adjust)
		ax = (uint16_t)(ax + sign * 0x106);
	put16(c, R_RAX, ax & 0xff0f);
	bcd_flags(c, (uint8_t)(ax & 15), adjust, adjust);
}

void exec_aaa(struct cpu *c, const struct uop *u) { (void)u; ascii_adjust(c, 1); }
void exec_aas(struct cpu *c, const struct uop *u) { (void)u; ascii_adjust(c, -1); }

void exec_aam(struct cpu *c, const struct uop *u)
{
	uint8_t base = (uint8_t)u->imm, al = get8(c, AL);
	if (!base)
		cpu_raise(c, VEC_DE);
	put8(c, AH, al / base);
	put8(c, AL, al % base);
	bcd_flags(c, al % base, false, false);
}

void exec_aad(struct cpu *c, const struct uop *u)
{
	uint8_t al = (uint8_t)(get8(c, AL) + get8(c, AH) * (uint8_t)u->imm);
	put16(c, R_RAX, al);
	bcd_flags(c, al, false, false);
}

static void decimal_adjust(struct cpu *c, int sign)
{
	uint8_t old = get8(c, AL), al = old;
	bool old_cf = flag_cf(c), cf = false, af = false;
	if ((al & 15) > 9 || flag_af(c)) {
		cf = old_cf || (sign > 0 ? al > 0xff - 6 : al < 6);
		al = (uint8_t)(al + sign * 6);
		af = true;
	}
	if (old > 0x99 || old_cf) {
		al = (uint8_t)(al + sign * 0x60);
		cf = true;
	} else if (sign > 0) {
		cf = false;
	}
	put8(c, AL, al);
	bcd_flags(c, al, cf, af);
}

void exec_daa(struct cpu *c, const struct uop *u) { (void)u; decimal_adjust(c, 1); }
void exec_das(struct cpu *c, const struct uop *u) { (void)u; decimal_adjust(c, -1); }

void exec_salc(struct cpu *c, const struct uop *u)
{
	(void)u;
	put8(c, AL, flag_cf(c) ? 0xff : 0);
}

void exec_bound(struct cpu *c, const struct uop *u)
{
	unsigned n = u->sz[0];
	uint64_t low = 0, high = 0, off = ea_offset(c, u);
	cpu_load_bytes(c, u, seg_linear(c, u, u->seg, off, n, false), &low, n);
	cpu_load_bytes(c, u, seg_linear(c, u, u->seg, (off + n) << u->ash >> u->ash, n, false),
	               &high, n);
	int64_t i = sign_extend(op_get(c, u, 0), n);
	if (i < sign_extend(low, n) || i > sign_extend(high, n))
		cpu_raise(c, VEC_BR);
}
