/* x87_trans.c - x87 transcendental instructions, through MPFR: correctly rounded, the same on every
 * host. Real processors are within 1 ulp of the exact value; here the error is at most half an ulp.
 * As they do, the trigonometric ones reduce their argument with a pi of 66 bits (SDM Vol. 1,
 * "Approximation of Pi").
 * Source: SDM Vol. 2A, the instructions' pages with their tables of special operands.
 * Simplified: arguments the SDM calls undefined (F2XM1 beyond 1, FYL2XP1 beyond 1 - sqrt(1/2)) get
 * the exact value. */
#include "models/cpu/x87.h"

#include <mpfr.h>

enum { BITS_IN = 64, BITS_OUT = 128, BITS_PI = 256 };

static void to_mpfr(mpfr_t x, struct fnum a)
{
	switch (a.cls) {
	case F_ZERO: mpfr_set_zero(x, a.sign ? -1 : 1); break;
	case F_INF: mpfr_set_inf(x, a.sign ? -1 : 1); break;
	default:
		mpfr_set_uj_2exp(x, a.mant, a.exp - 63, MPFR_RNDN);
		mpfr_setsign(x, x, a.sign, MPFR_RNDN);
	}
}

/* x holds the exact value cut off after 128 bits, `inexact` when something was cut off. */
static struct fnum from_mpfr(struct fctl *f, mpfr_t x, bool inexact)
{
	bool sign = mpfr_signbit(x) != 0;
	if (mpfr_zero_p(x))
		return (struct fnum){ .cls = F_ZERO, .sign = sign };
	if (mpfr_inf_p(x))
		return (struct fnum){ .cls = F_INF, .sign = sign, .mant = BIT(63) };
	int32_t exp = (int32_t)mpfr_get_exp(x) - 1;
	mpfr_abs(x, x, MPFR_RNDZ);
	mpfr_set_exp(x, 64);
	uint64_t hi = mpfr_get_uj(x, MPFR_RNDZ);
	mpfr_frac(x, x, MPFR_RNDZ);
	mpfr_mul_2ui(x, x, 64, MPFR_RNDZ);
	uint64_t lo = mpfr_get_uj(x, MPFR_RNDZ);
	return f_round(f, sign, exp, hi, lo | inexact);
}

static struct fnum infinity(bool sign)
{
	return (struct fnum){ .cls = F_INF, .sign = sign, .mant = BIT(63) };
}
static struct fnum zero(bool sign) { return (struct fnum){ .cls = F_ZERO, .sign = sign }; }

/* ---- operations on one or two finite numbers ---- */
enum trans { T_F2XM1, T_FYL2X, T_FYL2XP1, T_FPATAN };

static struct fnum compute(struct fctl *f, enum trans op, struct fnum x, struct fnum y)
{
	mpfr_t a, b, r;
	int t = 0;
	mpfr_inits2(BITS_IN, a, b, (mpfr_ptr)0);
	mpfr_init2(r, BITS_OUT);
	to_mpfr(a, x);
	to_mpfr(b, y);
	switch (op) {
	case T_F2XM1:
		t = mpfr_exp2m1(r, a, MPFR_RNDZ);
		break;
	case T_FYL2X:
	case T_FYL2XP1: {
		/* log2 to more bits than the product needs: its error cannot reach the 128th bit's
		 * neighbourhood of a tie */
		mpfr_t l;
		mpfr_init2(l, BITS_PI);
		t = op == T_FYL2X ? mpfr_log2(l, a, MPFR_RNDZ) : mpfr_log2p1(l, a, MPFR_RNDZ);
		t |= mpfr_mul(r, l, b, MPFR_RNDZ);
		mpfr_clear(l);
		break;
	}
	case T_FPATAN:
		t = mpfr_atan2(r, b, a, MPFR_RNDZ);
		break;
	}
	struct fnum n = from_mpfr(f, r, t != 0);
	mpfr_clears(a, b, r, (mpfr_ptr)0);
	return n;
}

/* sin and cos of x, |x| < 2^63, with pi = 0xC90FDAA22168C234C / 2^66 * 4. */
static void sin_cos(struct fctl *fs, struct fctl *fc, struct fnum x, struct fnum *s, struct fnum *c)
{
	mpfr_t a, q, half_pi, r;
	mpfr_inits2(BITS_PI, a, q, half_pi, (mpfr_ptr)0);
	mpfr_init2(r, BITS_OUT);
	to_mpfr(a, x);
	mpfr_set_uj_2exp(half_pi, 0xc90fdaa22168c234, 4, MPFR_RNDN);
	mpfr_add_ui(half_pi, half_pi, 0xc, MPFR_RNDN);
	mpfr_mul_2si(half_pi, half_pi, -67, MPFR_RNDN);
	mpfr_div(q, a, half_pi, MPFR_RNDN);
	mpfr_rint(q, q, MPFR_RNDN);
	intmax_t n = mpfr_get_sj(q, MPFR_RNDZ);
	mpfr_mul(q, q, half_pi, MPFR_RNDN);     /* exact: 64 + 66 bits */
	mpfr_sub(a, a, q, MPFR_RNDN);           /* exact */
	for (unsigned i = 0; i < 2; i++) {
		struct fctl *f = i ? fc : fs;
		unsigned quadrant = (unsigned)(n + i) & 3;
		if (!f)
			continue;
		int t = quadrant & 1 ? mpfr_cos(r, a, MPFR_RNDZ) : mpfr_sin(r, a, MPFR_RNDZ);
		if (quadrant & 2)
			mpfr_neg(r, r, MPFR_RNDZ);
		*(i ? c : s) = from_mpfr(f, r, t != 0);
	}
	mpfr_clears(a, q, half_pi, r, (mpfr_ptr)0);
}

/* tan likewise. */
static struct fnum tangent(struct fctl *f, struct fnum x)
{
	mpfr_t a, q, half_pi, r;
	mpfr_inits2(BITS_PI, a, q, half_pi, (mpfr_ptr)0);
	mpfr_init2(r, BITS_OUT);
	to_mpfr(a, x);
	mpfr_set_uj_2exp(half_pi, 0xc90fdaa22168c234, 4, MPFR_RNDN);
	mpfr_add_ui(half_pi, half_pi, 0xc, MPFR_RNDN);
	mpfr_mul_2si(half_pi, half_pi, -67, MPFR_RNDN);
	mpfr_div(q, a, half_pi, MPFR_RNDN);
	mpfr_rint(q, q, MPFR_RNDN);
	bool odd = mpfr_get_sj(q, MPFR_RNDZ) & 1;
	mpfr_mul(q, q, half_pi, MPFR_RNDN);
	mpfr_sub(a, a, q, MPFR_RNDN);
	int t = odd ? mpfr_cot(r, a, MPFR_RNDZ) : mpfr_tan(r, a, MPFR_RNDZ);
	if (odd)
		mpfr_neg(r, r, MPFR_RNDZ);
	struct fnum n = from_mpfr(f, r, t != 0);
	mpfr_clears(a, q, half_pi, r, (mpfr_ptr)0);
	return n;
}

/* ---- ST(0) alone ---- */
void x87_f2xm1(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	x87_note(c, u);
	if (x87_empty(c, 0)) {
		if (x87_stack_fault(c, false))
			x87_set_raw(c, 0, X87_INDEFINITE);
		return;
	}
	struct fctl f = x87_ctl_full(c);
	struct fnum x = x87_get(c, 0), r;
	if (f_is_nan(x)) {
		r = f_nan2(&f, x, zero(0));
	} else if (x.cls == F_ZERO) {
		r = x;
	} else if (x.cls == F_INF) {
		r = x.sign ? f_from_int(-1) : x;
	} else {
		f_denormal(&f, x);
		r = compute(&f, T_F2XM1, x, zero(0));
	}
	if (x87_commit(c, f.raised, f.up))
		x87_set(c, 0, r);
}

/* FSIN, FCOS, FPTAN, FSINCOS: `pushes` when a second result goes on top. C2 = 1: |x| >= 2^63,
 * nothing done. */
enum trig { TRIG_SIN, TRIG_COS, TRIG_TAN, TRIG_SINCOS };

static void trig(struct cpu *c, const struct uop *u, enum trig op)
{
	bool pushes = op >= TRIG_TAN;
	x87_enter(c);
	x87_note(c, u);
	c->s.fsw &= (uint16_t)~FSW_C2;
	if (x87_empty(c, 0) || (pushes && !x87_empty(c, 7))) {
		if (x87_stack_fault(c, !x87_empty(c, 0))) {
			x87_set_raw(c, 0, X87_INDEFINITE);
			if (pushes)
				x87_push(c, X87_INDEFINITE);
		}
		return;
	}
	struct fctl f = x87_ctl_full(c), g = f;
	struct fnum x = x87_get(c, 0), r, top = f_from_int(1);
	if (f_is_nan(x) || x.cls == F_INF) {
		r = top = x.cls == F_INF ? f_invalid(&f) : f_nan2(&f, x, zero(0));
	} else if (x.cls == F_ZERO) {
		r = op == TRIG_COS ? top : x;
	} else if (x.exp >= 63) {
		x87_commit(c, 0, false);
		c->s.fsw |= FSW_C2;
		return;
	} else {
		f_denormal(&f, x);
		switch (op) {
		case TRIG_SIN: sin_cos(&f, NULL, x, &r, &top); break;
		case TRIG_COS: sin_cos(NULL, &f, x, &top, &r); break;
		case TRIG_TAN: r = tangent(&f, x); break;
		default:
			sin_cos(&f, &g, x, &r, &top);
			f.raised |= g.raised;
			f.up = g.up;
		}
	}
	if (!x87_commit(c, f.raised, f.up))
		return;
	x87_set(c, 0, r);
	if (pushes)
		x87_push(c, x87_pack(top));
}
void x87_fsin(struct cpu *c, const struct uop *u) { trig(c, u, TRIG_SIN); }
void x87_fcos(struct cpu *c, const struct uop *u) { trig(c, u, TRIG_COS); }
void x87_fptan(struct cpu *c, const struct uop *u) { trig(c, u, TRIG_TAN); }
void x87_fsincos(struct cpu *c, const struct uop *u) { trig(c, u, TRIG_SINCOS); }

/* ---- ST(1) op ST(0) into ST(1), popped ---- */
static struct fnum yl2x(struct fctl *f, struct fnum x, struct fnum y)
{
	if (f_is_nan(x) || f_is_nan(y))
		return f_nan2(f, x, y);
	if (x.sign && x.cls != F_ZERO)
		return f_invalid(f);
	bool one = x.cls == F_FINITE && !x.exp && x.mant == BIT(63);
	bool below_one = x.cls == F_ZERO || (x.cls == F_FINITE && x.exp < 0);
	if ((y.cls == F_ZERO && (x.cls == F_ZERO || x.cls == F_INF)) || (y.cls == F_INF && one))
		return f_invalid(f);
	if (x.cls == F_ZERO) {
		if (y.cls == F_FINITE)
			f->raised |= FP_ZE;
		return infinity(!y.sign);
	}
	f_denormal(f, x);
	f_denormal(f, y);
	if (x.cls == F_INF || y.cls == F_INF)
		return infinity(y.sign ^ below_one);
	if (y.cls == F_ZERO || one)
		return zero(y.sign ^ below_one);
	return compute(f, T_FYL2X, x, y);
}

static struct fnum yl2xp1(struct fctl *f, struct fnum x, struct fnum y)
{
	if (f_is_nan(x) || f_is_nan(y))
		return f_nan2(f, x, y);
	if (x.sign && (x.cls == F_INF || (x.cls == F_FINITE && x.exp >= 0)))
		return f_invalid(f);
	if ((x.cls == F_ZERO && y.cls == F_INF) || (x.cls == F_INF && y.cls == F_ZERO))
		return f_invalid(f);
	f_denormal(f, x);
	f_denormal(f, y);
	if (x.cls == F_INF || y.cls == F_INF)
		return infinity(x.sign ^ y.sign);
	if (x.cls == F_ZERO || y.cls == F_ZERO)
		return zero(x.sign ^ y.sign);
	return compute(f, T_FYL2XP1, x, y);
}

static struct fnum patan(struct fctl *f, struct fnum x, struct fnum y)
{
	if (f_is_nan(x) || f_is_nan(y))
		return f_nan2(f, x, y);
	f_denormal(f, x);
	f_denormal(f, y);
	return compute(f, T_FPATAN, x, y);
}

static void two(struct cpu *c, const struct uop *u,
                struct fnum (*op)(struct fctl *, struct fnum, struct fnum))
{
	x87_enter(c);
	x87_note(c, u);
	if (x87_empty(c, 0) || x87_empty(c, 1)) {
		if (x87_stack_fault(c, false)) {
			x87_set_raw(c, 1, X87_INDEFINITE);
			x87_pop(c);
		}
		return;
	}
	struct fctl f = x87_ctl_full(c);
	struct fnum r = op(&f, x87_get(c, 0), x87_get(c, 1));
	if (!x87_commit(c, f.raised, f.up))
		return;
	x87_set(c, 1, r);
	x87_pop(c);
}
void x87_fyl2x(struct cpu *c, const struct uop *u) { two(c, u, yl2x); }
void x87_fyl2xp1(struct cpu *c, const struct uop *u) { two(c, u, yl2xp1); }
void x87_fpatan(struct cpu *c, const struct uop *u) { two(c, u, patan); }
