/* x87_move.c - x87 loads, stores, conversions to and from integers and BCD, constants, exchanges.
 * Source: SDM Vol. 2A, the instructions' pages; Vol. 1, "Integer, BCD and floating-point
 * indefinites". */
#include "models/cpu/flags.h"
#include "models/cpu/x87.h"

/* ---- loads ---- */
static void push_checked(struct cpu *c, const struct uop *u, struct x87_reg r, unsigned raised)
{
	x87_note(c, u);
	if (!x87_empty(c, 7)) {
		if (x87_stack_fault(c, true))
			x87_push(c, X87_INDEFINITE);
		return;
	}
	/* a denormal is loaded even when DE is unmasked; an SNaN is not */
	x87_commit(c, raised, false);
	if (!(raised & ~c->s.fcw & FP_IE))
		x87_push(c, r);
}

static uint64_t load_mem(struct cpu *c, const struct uop *u, unsigned n)
{
	uint64_t v = 0;
	cpu_load_bytes(c, u, ea_linear(c, u, n, false), &v, n);
	return v;
}

void x87_fld(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	if (!x87_mem(u)) {
		bool gone = x87_empty(c, x87_sti(u));
		struct x87_reg r = x87_raw(c, x87_sti(u));
		x87_note(c, u);
		if (!gone)
			push_checked(c, u, r, 0);
		else if (x87_stack_fault(c, false))
			x87_push(c, X87_INDEFINITE);
		return;
	}
	if (x87_opcode(u) == 3) {
		uint8_t b[10];
		struct x87_reg r = { 0 };
		cpu_load_bytes(c, u, ea_linear(c, u, 10, false), b, 10);
		memcpy(&r.mant, b, 8);
		memcpy(&r.se, b + 8, 2);
		push_checked(c, u, r, 0);
		return;
	}
	bool wide = x87_opcode(u) == 5;
	uint64_t v = load_mem(c, u, wide ? 8 : 4);
	struct fctl f = x87_ctl_full(c);
	f.mask |= FP_UE;
	struct fnum n = f_convert(&f, wide ? f_from_f64(v, false) : f_from_f32((uint32_t)v, false));
	push_checked(c, u, x87_pack(n), f.raised);
}

void x87_fild(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	unsigned n = x87_opcode(u) == 3 ? 4 : x87_modrm_reg(u) == 5 ? 8 : 2;
	uint64_t v = load_mem(c, u, n);
	int64_t s = n == 2 ? (int16_t)v : n == 4 ? (int32_t)v : (int64_t)v;
	push_checked(c, u, x87_pack(f_from_int(s)), 0);
}

/* Packed BCD: byte 9 bit 7 sign, bytes 8..0 two digits each. Digits above 9 have no defined
 * meaning: as weights. */
void x87_fbld(struct cpu *c, const struct uop *u)
{
	uint8_t b[10];
	x87_enter(c);
	cpu_load_bytes(c, u, ea_linear(c, u, 10, false), b, 10);
	int64_t v = 0;
	for (int i = 8; i >= 0; i--)
		v = v * 100 + (b[i] >> 4) * 10 + (b[i] & 15);
	struct fnum n = f_from_int(v);
	n.sign = b[9] >> 7;
	push_checked(c, u, x87_pack(n), 0);
}

/* Constants: the exact value rounded as RC says. `next` holds the bits after the 64 kept. */
static void constant(struct cpu *c, const struct uop *u, int32_t exp, uint64_t mant, bool next)
{
	x87_enter(c);
	struct fctl f = x87_ctl_full(c);
	struct fnum n = mant ? f_round(&f, 0, exp, mant, next ? ~(uint64_t)0 : 1) : f_from_int(0);
	push_checked(c, u, x87_pack(n), 0);
}
void x87_fldz(struct cpu *c, const struct uop *u) { constant(c, u, 0, 0, false); }
void x87_fldpi(struct cpu *c, const struct uop *u) { constant(c, u, 1, 0xc90fdaa22168c234, true); }
void x87_fldl2t(struct cpu *c, const struct uop *u)
{
	constant(c, u, 1, 0xd49a784bcd1b8afe, false);
}
void x87_fldl2e(struct cpu *c, const struct uop *u) { constant(c, u, 0, 0xb8aa3b295c17f0bb, true); }
void x87_fldlg2(struct cpu *c, const struct uop *u)
{
	constant(c, u, -2, 0x9a209a84fbcff798, true);
}
void x87_fldln2(struct cpu *c, const struct uop *u)
{
	constant(c, u, -1, 0xb17217f7d1cf79ab, true);
}

void x87_fld1(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	push_checked(c, u, x87_pack(f_from_int(1)), 0);
}

/* ---- stores ---- */
/* Nothing goes to memory, and nothing is popped, when one of these is unmasked. */
static bool store_forbidden(const struct cpu *c, unsigned raised)
{
	return raised & ~c->s.fcw & (FP_PRE | FP_OE | FP_UE);
}

/* Write n bytes unless forbidden, then the flags, then pop. */
static void store_mem(struct cpu *c, const struct uop *u, const void *v, unsigned n,
                      unsigned raised, bool c1, bool pop)
{
	bool forbidden = store_forbidden(c, raised);
	if (forbidden) {                /* no result, so none that is inexact */
		raised &= ~(unsigned)FP_PE;
		c1 = false;
	}
	if (!forbidden)
		cpu_store_bytes(c, u, ea_linear(c, u, n, true), v, n);
	x87_note(c, u);
	x87_commit(c, raised, c1);
	if (pop && !forbidden)
		x87_pop(c);
}

static void store_sti(struct cpu *c, const struct uop *u, bool pop)
{
	x87_note(c, u);
	if (x87_empty(c, 0)) {
		if (!x87_stack_fault(c, false))
			return;
		x87_set_raw(c, x87_sti(u), X87_INDEFINITE);
	} else {
		x87_set_raw(c, x87_sti(u), x87_raw(c, 0));
		c->s.fsw &= (uint16_t)~FSW_C1;
	}
	if (pop)
		x87_pop(c);
}

static const struct fctl single = { .emin = -126, .emax = 127, .prec = 24 };
static const struct fctl double_ = { .emin = -1022, .emax = 1023, .prec = 53 };

static void store_real(struct cpu *c, const struct uop *u, bool pop)
{
	x87_enter(c);
	if (!x87_mem(u)) {
		store_sti(c, u, pop);
		return;
	}
	bool empty = x87_empty(c, 0);
	unsigned stack = empty ? FP_IE | FSW_SF : 0;
	if (x87_opcode(u) == 3) {
		struct x87_reg r = empty ? X87_INDEFINITE : x87_raw(c, 0);
		uint8_t b[10];
		memcpy(b, &r.mant, 8);
		memcpy(b + 8, &r.se, 2);
		store_mem(c, u, b, 10, stack, false, pop);
		return;
	}
	bool wide = x87_opcode(u) == 5;
	struct fctl f = wide ? double_ : single;
	f.rc = c->s.fcw >> 10 & 3;
	f.mask = c->s.fcw & FP_ALL;
	f.x87 = 1;
	struct fnum a = empty ? F_DEFAULT_NAN : x87_get(c, 0);
	a.denormal = 0;                 /* stores do not report denormals */
	a = f_convert(&f, a);
	unsigned raised = f.raised | stack;
	if (store_forbidden(c, raised)) /* the number may not fit the format */
		a = F_DEFAULT_NAN;
	uint64_t v = wide ? f_to_f64(a) : f_to_f32(a);
	store_mem(c, u, &v, wide ? 8 : 4, raised, f.up, pop);
}
void x87_fst(struct cpu *c, const struct uop *u) { store_real(c, u, false); }
void x87_fstp(struct cpu *c, const struct uop *u) { store_real(c, u, true); }

static void store_int(struct cpu *c, const struct uop *u, unsigned n, bool pop, bool truncate)
{
	x87_enter(c);
	bool empty = x87_empty(c, 0);
	struct fctl f = x87_ctl_full(c);
	if (truncate)
		f.rc = RC_ZERO;
	uint64_t v = (uint64_t)f_to_int(&f, empty ? F_DEFAULT_NAN : x87_get(c, 0), n * 8);
	store_mem(c, u, &v, n, f.raised | (empty ? FSW_SF : 0), f.up, pop);
}
static unsigned int_size(const struct uop *u)   /* DB /r: 32; DF: 16, and 64 for /7; DD /1: 64 */
{
	return x87_opcode(u) == 3 ? 4 : x87_opcode(u) == 5 || x87_modrm_reg(u) == 7 ? 8 : 2;
}
void x87_fist(struct cpu *c, const struct uop *u) { store_int(c, u, int_size(u), false, false); }
void x87_fistp(struct cpu *c, const struct uop *u) { store_int(c, u, int_size(u), true, false); }
void x87_fisttp(struct cpu *c, const struct uop *u) { store_int(c, u, int_size(u), true, true); }

void x87_fbstp(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	bool empty = x87_empty(c, 0);
	struct fctl f = x87_ctl_full(c);
	struct fnum a = empty ? F_DEFAULT_NAN : x87_get(c, 0);
	int64_t v = f_to_int(&f, a, 64);
	uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;
	uint8_t b[10] = { 0 };
	if ((f.raised & FP_IE) || m > 999999999999999999) {
		f.raised = FP_IE;
		f.up = 0;
		b[7] = 0xc0;
		b[8] = b[9] = 0xff;
	} else {
		for (unsigned i = 0; i < 9; i++, m /= 100)
			b[i] = (uint8_t)(m / 10 % 10 << 4 | m % 10);
		b[9] = a.sign ? 0x80 : 0;
	}
	store_mem(c, u, b, 10, f.raised | (empty ? FSW_SF : 0), f.up, true);
}

/* ---- exchanges ---- */
void x87_fxch(struct cpu *c, const struct uop *u)
{
	unsigned i = x87_sti(u);
	x87_enter(c);
	x87_note(c, u);
	struct x87_reg a = x87_raw(c, 0), b = x87_raw(c, i);
	bool no_a = x87_empty(c, 0), no_b = x87_empty(c, i);
	if (no_a || no_b) {
		if (!x87_stack_fault(c, false))
			return;
		a = no_a ? X87_INDEFINITE : a;
		b = no_b ? X87_INDEFINITE : b;
	} else {
		c->s.fsw &= (uint16_t)~FSW_C1;
	}
	x87_set_raw(c, i, a);
	x87_set_raw(c, 0, b);
}

static void fcmov(struct cpu *c, const struct uop *u, bool yes)
{
	x87_enter(c);
	x87_note(c, u);
	if (x87_empty(c, 0) || x87_empty(c, x87_sti(u))) {
		if (x87_stack_fault(c, false))        /* whether the condition holds or not */
			x87_set_raw(c, 0, X87_INDEFINITE);
		return;
	}
	if (yes)
		x87_set_raw(c, 0, x87_raw(c, x87_sti(u)));
}
void x87_fcmovb(struct cpu *c, const struct uop *u) { fcmov(c, u, flag_cf(c)); }
void x87_fcmove(struct cpu *c, const struct uop *u) { fcmov(c, u, flag_zf(c)); }
void x87_fcmovbe(struct cpu *c, const struct uop *u) { fcmov(c, u, flag_cf(c) || flag_zf(c)); }
void x87_fcmovu(struct cpu *c, const struct uop *u) { fcmov(c, u, flag_pf(c)); }
void x87_fcmovnb(struct cpu *c, const struct uop *u) { fcmov(c, u, !flag_cf(c)); }
void x87_fcmovne(struct cpu *c, const struct uop *u) { fcmov(c, u, !flag_zf(c)); }
void x87_fcmovnbe(struct cpu *c, const struct uop *u) { fcmov(c, u, !flag_cf(c) && !flag_zf(c)); }
void x87_fcmovnu(struct cpu *c, const struct uop *u) { fcmov(c, u, !flag_pf(c)); }
