/* float.c - see float.h. */
#include "models/cpu/float.h"

typedef unsigned __int128 u128;

/* ---- formats ---- */
/* frac: at bits 62..0 */
static struct fnum unpack(bool sign, unsigned e, unsigned e_max, int32_t bias, uint64_t frac,
                          bool daz)
{
	struct fnum a = { .sign = sign };
	if (e == e_max) {
		a.mant = frac | BIT(63);
		a.cls = !frac ? F_INF : frac & BIT(62) ? F_QNAN : F_SNAN;
	} else if (e) {
		a.cls = F_FINITE;
		a.exp = (int32_t)e - bias;
		a.mant = frac | BIT(63);
	} else if (frac && !daz) {
		int n = __builtin_clzll(frac);
		a.cls = F_FINITE;
		a.denormal = 1;
		a.exp = 1 - bias - n;
		a.mant = frac << n;
	}
	return a;
}

struct fnum f_from_f32(uint32_t v, bool daz)
{
	return unpack(v >> 31, v >> 23 & 0xff, 0xff, 127, (uint64_t)(v & MASK(23)) << 40, daz);
}

struct fnum f_from_f64(uint64_t v, bool daz)
{
	return unpack(v >> 63, v >> 52 & 0x7ff, 0x7ff, 1023, (v & MASK(52)) << 11, daz);
}

struct fnum f_from_f80(uint64_t mant, uint16_t se)
{
	unsigned e = se & 0x7fff;
	struct fnum a = { .sign = se >> 15 };
	if (!e) {
		if (!mant)
			return a;
		int n = __builtin_clzll(mant);
		a.cls = F_FINITE;
		a.denormal = 1;
		a.exp = -16382 - n;
		a.mant = mant << n;
		return a;
	}
	a.mant = mant;
	if (!(mant >> 63)) {
		a.cls = F_UNSUPPORTED;
	} else if (e == 0x7fff) {
		a.cls = mant == BIT(63) ? F_INF : mant & BIT(62) ? F_QNAN : F_SNAN;
	} else {
		a.cls = F_FINITE;
		a.exp = (int32_t)e - 16383;
	}
	return a;
}

struct fnum f_from_int(int64_t v)
{
	struct fnum a = { .sign = v < 0 };
	uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;
	if (m) {
		int n = __builtin_clzll(m);
		a.cls = F_FINITE;
		a.exp = 63 - n;
		a.mant = m << n;
	}
	return a;
}

/* Biased exponent and fraction below the hidden bit, of a number that fits. */
static uint64_t pack(struct fnum a, unsigned e_max, int32_t bias, unsigned frac_bits)
{
	uint64_t frac = (a.mant & MASK(63)) >> (63 - frac_bits);
	switch (a.cls) {
	case F_ZERO: return 0;
	case F_INF: return (uint64_t)e_max << frac_bits;
	case F_FINITE:
		if (a.exp >= 1 - bias)
			return (uint64_t)(a.exp + bias) << frac_bits | frac;
		return a.mant >> (63 - frac_bits + (unsigned)(1 - bias - a.exp));
	default: return (uint64_t)e_max << frac_bits | frac;
	}
}

uint32_t f_to_f32(struct fnum a)
{
	return (uint32_t)a.sign << 31 | (uint32_t)pack(a, 0xff, 127, 23);
}

uint64_t f_to_f64(struct fnum a)
{
	return (uint64_t)a.sign << 63 | pack(a, 0x7ff, 1023, 52);
}

uint64_t f_to_f80(struct fnum a, uint16_t *se)
{
	uint16_t s = (uint16_t)(a.sign << 15);
	switch (a.cls) {
	case F_ZERO: *se = s; return 0;
	case F_INF: *se = s | 0x7fff; return BIT(63);
	case F_FINITE:
		if (a.exp >= -16382) {
			*se = (uint16_t)(s | (a.exp + 16383));
			return a.mant;
		}
		*se = s;
		return a.mant >> (-16382 - a.exp);
	default: *se = s | 0x7fff; return a.mant;
	}
}

/* ---- rounding ---- */
struct rounded { uint64_t mant; int32_t exp; bool inexact, up; };       /* mant 0: rounded to zero */

/* Keep the `bits` highest bits of hi:lo (any number of them, also none or fewer than none). */
static struct rounded round_bits(unsigned rc, bool sign, int32_t exp, uint64_t hi, uint64_t lo,
                                 int bits)
{
	uint64_t kept, lsb, half, sticky;
	if (bits >= 64) {
		kept = hi; lsb = hi & 1; half = lo >> 63; sticky = lo << 1;
	} else if (bits > 0) {
		kept = hi & ~MASK(64 - bits);
		lsb = hi >> (64 - bits) & 1;
		half = hi >> (63 - bits) & 1;
		sticky = (hi & MASK(63 - bits)) | lo;
	} else {
		kept = lsb = 0;
		half = bits == 0;
		sticky = bits == 0 ? (hi & MASK(63)) | lo : 1;
	}
	struct rounded r = { kept, exp, half || sticky, false };
	switch (rc) {
	case RC_NEAREST: r.up = half && (sticky || lsb); break;
	case RC_DOWN: r.up = sign && r.inexact; break;
	case RC_UP: r.up = !sign && r.inexact; break;
	}
	if (!r.up)
		return r;
	if (bits <= 0) {
		r.mant = BIT(63);
		r.exp = exp + 1 - bits;
	} else {
		r.mant = kept + (bits >= 64 ? 1 : BIT(64 - bits));
		if (!r.mant) {
			r.mant = BIT(63);
			r.exp++;
		}
	}
	return r;
}

static struct fnum finite(bool sign, int32_t exp, uint64_t mant)
{
	return (struct fnum){ .cls = mant ? F_FINITE : F_ZERO, .sign = sign, .exp = exp,
	                      .mant = mant };
}

static struct fnum infinite(bool sign)
{
	return (struct fnum){ .cls = F_INF, .sign = sign, .mant = BIT(63) };
}

/* Overflow or underflow, unmasked. SSE leaves no result. x87 wraps the exponent by 24576, so that a
 * handler can see the true one; only FSCALE gets so far out that this is not enough. */
static struct fnum unmasked(struct fctl *f, unsigned flag, bool sign, struct rounded r)
{
	f->raised |= flag | (r.inexact ? FP_PE : 0);
	f->up = r.up;
	if (!f->x87)
		return finite(sign, 0, 0);
	r.exp += flag == FP_UE ? 24576 : -24576;
	if (r.exp >= f->emin && r.exp <= f->emax)
		return finite(sign, r.exp, r.mant);
	f->raised |= FP_PE;
	f->up = flag == FP_OE;
	return flag == FP_OE ? infinite(sign) : finite(sign, 0, 0);
}

/* A result below the smallest normal number keeps fewer bits. Tininess is detected after rounding,
 * as x86 does. */
struct fnum f_round(struct fctl *f, bool sign, int32_t exp, uint64_t hi, uint64_t lo)
{
	struct rounded r = round_bits(f->rc, sign, exp, hi, lo, f->prec);
	if (unlikely(exp < f->emin)) {
		bool tiny = r.exp < f->emin;
		if (tiny && !(f->mask & FP_UE))
			return unmasked(f, FP_UE, sign, r);
		if (tiny && f->ftz) {
			f->raised |= FP_UE | FP_PE;
			return finite(sign, 0, 0);
		}
		int below = f->emin - exp;
		r = round_bits(f->rc, sign, exp, hi, lo, f->prec - below);
		if (r.inexact)
			f->raised |= FP_PE | (tiny ? FP_UE : 0);
		f->up = r.up;
		return finite(sign, r.exp, r.mant);
	}
	if (unlikely(r.exp > f->emax)) {
		if (!(f->mask & FP_OE))
			return unmasked(f, FP_OE, sign, r);
		f->raised |= FP_OE | FP_PE;
		f->up = f->rc == RC_NEAREST || f->rc == (sign ? RC_DOWN : RC_UP);
		if (f->up)
			return infinite(sign);
		return finite(sign, f->emax, ~(uint64_t)0 << (64 - f->prec));
	}
	f->raised |= r.inexact ? FP_PE : 0;
	f->up = r.up;
	return finite(sign, r.exp, r.mant);
}

/* ---- NaNs ---- */
struct fnum f_invalid(struct fctl *f)
{
	f->raised |= FP_IE;
	return F_DEFAULT_NAN;
}

static struct fnum quiet(struct fnum a)
{
	a.cls = F_QNAN;
	a.mant |= BIT(62);
	return a;
}

/* SSE takes the first operand that is a NaN. x87 prefers a QNaN to an SNaN; of two alike, the
 * larger significand, and of equal ones the positive. */
struct fnum f_nan2(struct fctl *f, struct fnum a, struct fnum b)
{
	if (a.cls == F_UNSUPPORTED || b.cls == F_UNSUPPORTED)
		return f_invalid(f);
	if (a.cls == F_SNAN || b.cls == F_SNAN)
		f->raised |= FP_IE;
	if (!f_is_nan(b))
		return quiet(a);
	if (!f_is_nan(a))
		return quiet(b);
	if (!f->x87)
		return quiet(a);
	if (a.cls != b.cls)
		return quiet(a.cls == F_QNAN ? a : b);
	if (a.mant != b.mant)
		return quiet(a.mant > b.mant ? a : b);
	return quiet(a.sign ? b : a);
}

struct fnum f_convert(struct fctl *f, struct fnum a)
{
	if (f_is_nan(a))
		return f_nan2(f, a, (struct fnum){ .cls = F_ZERO });
	f_denormal(f, a);
	if (a.cls != F_FINITE)
		return a;
	return f_round(f, a.sign, a.exp, a.mant, 0);
}

/* ---- arithmetic ---- */
static struct fnum zero_sum(const struct fctl *f)
{
	return (struct fnum){ .cls = F_ZERO, .sign = f->rc == RC_DOWN };
}

static struct fnum add(struct fctl *f, struct fnum a, struct fnum b)    /* no NaN here */
{
	if (a.cls == F_INF || b.cls == F_INF) {
		if (a.cls == F_INF && b.cls == F_INF && a.sign != b.sign)
			return f_invalid(f);
		f_denormal(f, a);
		f_denormal(f, b);
		return a.cls == F_INF ? a : b;
	}
	f_denormal(f, a);
	f_denormal(f, b);
	if (a.cls == F_ZERO && b.cls == F_ZERO)
		return a.sign == b.sign ? a : zero_sum(f);
	if (a.cls == F_ZERO)
		return f_round(f, b.sign, b.exp, b.mant, 0);
	if (b.cls == F_ZERO)
		return f_round(f, a.sign, a.exp, a.mant, 0);
	if (a.exp < b.exp || (a.exp == b.exp && a.mant < b.mant)) {
		struct fnum t = a;
		a = b;
		b = t;
	}
	unsigned d = (unsigned)(a.exp - b.exp);
	u128 x = (u128)a.mant << 64, y = (u128)b.mant << 64;
	if (d >= 127)
		y = 1;
	else if (d)
		y = y >> d | ((y & (((u128)1 << d) - 1)) != 0);
	if (a.sign == b.sign) {
		u128 s = x + y;
		if (s < x) {
			s = s >> 1 | (s & 1) | (u128)1 << 127;
			a.exp++;
		}
		return f_round(f, a.sign, a.exp, (uint64_t)(s >> 64), (uint64_t)s);
	}
	u128 s = x - y;
	if (!s)
		return zero_sum(f);
	int n = s >> 64 ? __builtin_clzll((uint64_t)(s >> 64)) : 64 + __builtin_clzll((uint64_t)s);
	s <<= n;
	return f_round(f, a.sign, a.exp - n, (uint64_t)(s >> 64), (uint64_t)s);
}

struct fnum f_add(struct fctl *f, struct fnum a, struct fnum b)
{
	if (f_is_nan(a) || f_is_nan(b))
		return f_nan2(f, a, b);
	return add(f, a, b);
}

struct fnum f_sub(struct fctl *f, struct fnum a, struct fnum b)
{
	if (f_is_nan(a) || f_is_nan(b))
		return f_nan2(f, a, b);
	b.sign ^= 1;
	return add(f, a, b);
}

struct fnum f_mul(struct fctl *f, struct fnum a, struct fnum b)
{
	if (f_is_nan(a) || f_is_nan(b))
		return f_nan2(f, a, b);
	bool sign = a.sign ^ b.sign;
	if ((a.cls == F_INF && b.cls == F_ZERO) || (a.cls == F_ZERO && b.cls == F_INF))
		return f_invalid(f);
	f_denormal(f, a);
	f_denormal(f, b);
	if (a.cls == F_INF || b.cls == F_INF)
		return infinite(sign);
	if (a.cls == F_ZERO || b.cls == F_ZERO)
		return (struct fnum){ .cls = F_ZERO, .sign = sign };
	u128 p = (u128)a.mant * b.mant;
	int32_t exp = a.exp + b.exp + 1;
	if (!(p >> 127)) {
		p <<= 1;
		exp--;
	}
	return f_round(f, sign, exp, (uint64_t)(p >> 64), (uint64_t)p);
}

struct fnum f_div(struct fctl *f, struct fnum a, struct fnum b)
{
	if (f_is_nan(a) || f_is_nan(b))
		return f_nan2(f, a, b);
	bool sign = a.sign ^ b.sign;
	if (a.cls == b.cls && (a.cls == F_INF || a.cls == F_ZERO))
		return f_invalid(f);
	if (a.cls == F_FINITE && b.cls == F_ZERO) {     /* comes before a denormal dividend */
		f->raised |= FP_ZE;
		return infinite(sign);
	}
	f_denormal(f, a);
	f_denormal(f, b);
	if (a.cls == F_INF)
		return infinite(sign);
	if (a.cls == F_ZERO || b.cls == F_INF)
		return (struct fnum){ .cls = F_ZERO, .sign = sign };
	int32_t exp = a.exp - b.exp;
	bool less = a.mant < b.mant;
	exp -= less;
	/* so that the quotient has exactly 64 bits */
	u128 n = (u128)a.mant << (less ? 64 : 63);
	uint64_t q = (uint64_t)(n / b.mant), r = (uint64_t)(n % b.mant);
	/* the next bit is 1 when 2r >= b; anything left over is sticky */
	uint64_t lo = r != 0;
	if (r > b.mant / 2 || (r == b.mant / 2 && !(b.mant & 1)))
		lo = BIT(63) | (r * 2 != b.mant);
	return f_round(f, sign, exp, q, lo);
}

struct fnum f_sqrt(struct fctl *f, struct fnum a)
{
	if (f_is_nan(a))
		return f_nan2(f, a, (struct fnum){ .cls = F_ZERO });
	if (a.cls == F_ZERO)
		return a;
	if (a.sign)
		return f_invalid(f);
	f_denormal(f, a);
	if (a.cls == F_INF)
		return a;
	/* mant / 2^63 * 2^exp with exp made even; root of mant << 63 or << 64, bit by bit */
	u128 n = (u128)a.mant << (a.exp & 1 ? 64 : 63);
	uint64_t root = 0;
	u128 rem = 0;
	for (int i = 126; i >= 0; i -= 2) {
		rem = rem << 2 | (uint64_t)(n >> i & 3);
		u128 t = (u128)root << 2 | 1;
		root <<= 1;
		if (rem >= t) {
			rem -= t;
			root |= 1;
		}
	}
	/* (root + 1/2)^2 = root^2 + root + 1/4 */
	uint64_t lo = !rem ? 0 : rem > root ? BIT(63) | 1 : 1;
	int32_t half = (a.exp - (a.exp & 1)) / 2;
	return f_round(f, 0, half, root, lo);
}

struct fnum f_round_int(struct fctl *f, struct fnum a)
{
	if (f_is_nan(a))
		return f_nan2(f, a, (struct fnum){ .cls = F_ZERO });
	f_denormal(f, a);
	if (a.cls != F_FINITE || a.exp >= 63)
		return a;
	struct rounded r = round_bits(f->rc, a.sign, a.exp, a.mant, 0, a.exp + 1);
	if (r.inexact)
		f->raised |= FP_PE;
	f->up = r.up;
	return finite(a.sign, r.exp, r.mant);
}

int64_t f_to_int(struct fctl *f, struct fnum a, unsigned bits)
{
	int64_t indefinite = (int64_t)(~(uint64_t)0 << (bits - 1));
	if (a.cls == F_ZERO)
		return 0;
	if (a.cls != F_FINITE || a.exp > 63) {
		f->raised |= FP_IE;
		return indefinite;
	}
	uint8_t had = f->raised;
	struct fctl g = *f;
	struct fnum i = f_round_int(&g, a);
	uint64_t m = i.cls == F_ZERO ? 0 : i.exp > 63 ? 0 : i.mant >> (63 - i.exp);
	if (i.exp > 63 || m > BIT(bits - 1) - !a.sign) {
		f->raised = had | FP_IE;
		return indefinite;
	}
	f->raised |= g.raised & FP_PE;
	f->up = g.up;
	return a.sign ? (int64_t)-m : (int64_t)m;
}

bool f_rem(struct fctl *f, struct fnum a, struct fnum b, bool nearest, struct fnum *r, uint64_t *q)
{
	*q = 0;
	if (f_is_nan(a) || f_is_nan(b)) {
		*r = f_nan2(f, a, b);
		return true;
	}
	if (a.cls == F_INF || b.cls == F_ZERO) {
		*r = f_invalid(f);
		return true;
	}
	f_denormal(f, a);
	f_denormal(f, b);
	*r = a;
	if (a.cls == F_ZERO)
		return true;
	int32_t d = a.exp - b.exp;
	if (b.cls == F_INF || d < -1) {
		*r = f_round(f, a.sign, a.exp, a.mant, 0);
		return true;
	}
	bool whole = d < 64;
	/* A partial step takes 32 to 63 bits off the quotient; the SDM leaves the number open. */
	int32_t steps = whole ? d : 32 + (d & 31);
	uint64_t quo = 0;
	u128 rem = a.mant;              /* in units of 2^(exp - 63) */
	/* b in those units, once the loop is done */
	u128 unit = d < 0 ? (u128)b.mant * 2 : b.mant;
	int32_t exp = d < 0 ? a.exp : a.exp - steps;
	for (int32_t i = steps; i >= 0; i--) {
		quo <<= 1;
		if (rem >= b.mant) {
			rem -= b.mant;
			quo |= 1;
		}
		rem <<= i != 0;
	}
	bool sign = a.sign;
	if (whole && nearest) {         /* beyond half of b, or halfway with an odd quotient */
		if (rem * 2 > unit || (rem * 2 == unit && (quo & 1))) {
			rem = unit - rem;
			quo++;
			sign = !sign;
		}
	}
	*q = quo;
	if (!rem) {
		*r = (struct fnum){ .cls = F_ZERO, .sign = a.sign };
		return whole;
	}
	int n = __builtin_clzll((uint64_t)rem);
	*r = f_round(f, sign, exp - n, (uint64_t)rem << n, 0);
	return whole;
}

struct fnum f_scale(struct fctl *f, struct fnum a, struct fnum b)
{
	if (f_is_nan(a) || f_is_nan(b))
		return f_nan2(f, a, b);
	if (b.cls == F_INF && ((a.cls == F_ZERO && !b.sign) || (a.cls == F_INF && b.sign)))
		return f_invalid(f);
	f_denormal(f, a);
	f_denormal(f, b);
	if (a.cls != F_FINITE)
		return a;
	if (b.cls == F_INF)
		return (struct fnum){ .cls = b.sign ? F_ZERO : F_INF, .sign = a.sign,
		                      .mant = BIT(63) };
	int32_t n = 0;
	if (b.cls == F_FINITE && b.exp >= 0)
		n = b.exp > 16 ? 0x20000 : (int32_t)(b.mant >> (63 - b.exp));
	return f_round(f, a.sign, a.exp + (b.sign ? -n : n), a.mant, 0);
}

/* ---- comparison ---- */
int f_compare(struct fctl *f, struct fnum a, struct fnum b, bool signal_quiet)
{
	if (f_is_nan(a) || f_is_nan(b)) {
		if (signal_quiet || a.cls >= F_SNAN || b.cls >= F_SNAN)
			f->raised |= FP_IE;
		return F_UNORDERED;
	}
	f_denormal(f, a);
	f_denormal(f, b);
	if (a.cls == F_ZERO && b.cls == F_ZERO)
		return F_EQUAL;
	if (a.cls == F_ZERO)
		return b.sign ? F_GREATER : F_LESS;
	if (b.cls == F_ZERO || a.sign != b.sign)
		return a.sign ? F_LESS : F_GREATER;
	int order = a.cls != b.cls ? (a.cls == F_INF ? F_GREATER : F_LESS) :
	            a.cls == F_INF ? F_EQUAL :
	            a.exp != b.exp ? (a.exp > b.exp ? F_GREATER : F_LESS) :
	            a.mant != b.mant ? (a.mant > b.mant ? F_GREATER : F_LESS) : F_EQUAL;
	return a.sign ? F_GREATER - order : order;
}
