/* sse_hot_float.c - hot handlers of SSE arithmetic that need no attention.
 *
 * The host's own double and float arithmetic gives the IEEE result to nearest. It is taken when
 * that is all there is to it: rounding to nearest, operands zero or normal, the result normal and
 * away from the smallest, and no flag to set: either PE is set already (it is sticky) and masked,
 * or the operation can be shown to be exact. Anything else goes through the body, so results and
 * flags are the same everywhere, and on hosts where a double is not computed as one
 * (FLT_EVAL_METHOD) there is only the body. */
#include <float.h>
#include <math.h>

#include "models/cpu/sse_hot.h"

#if FLT_EVAL_METHOD == 0 && FLT_MANT_DIG == 24 && DBL_MANT_DIG == 53

/* To nearest, and no exception unmasked. FTZ and DAZ do not matter without denormals, yet keep to
 * the body. */
static inline bool plain(const struct cpu *c) { return (c->s.mxcsr & 0xffc0) == 0x1f80; }
static inline bool inexact_known(const struct cpu *c) { return c->s.mxcsr & FP_PE; }

/* One set of helpers for each width: u bits, T host type, e bits of exponent mask, first normal. */
#define WIDTH(w, U, T, EXP, LEAST) \
static inline U bits##w(T v) { U b; memcpy(&b, &v, sizeof b); return b; } \
static inline T real##w(const void *p) { T v; memcpy(&v, p, sizeof v); return v; } \
/* zero, or normal: neither denormal, infinity nor NaN */ \
static inline bool easy##w(U b) { U e = b & EXP; return e != EXP && (e || !(b << 1)); } \
/* normal, and not the smallest normal number, which rounding may have reached from below */ \
static inline bool normal##w(U b) { U e = b & EXP; return e != EXP && e > LEAST; } \
/* a + b is exact when the error term of the sum is zero; y is -b for a difference */ \
static inline bool exact_sum##w(T a, T y, T s) { T t = s - a; return a - (s - t) == 0 && y - t == 0; } \
/* a * b is exact when their significant bits together fit */ \
static inline bool exact_product##w(U a, U b) \
{ \
	int za = __builtin_ctzll((uint64_t)a | (EXP & -EXP)); \
	int zb = __builtin_ctzll((uint64_t)b | (EXP & -EXP)); \
	return za + zb >= __builtin_ctzll(EXP) + 1; \
}
WIDTH(32, uint32_t, float, 0x7f800000u, 0x00800000u)
WIDTH(64, uint64_t, double, 0x7ff0000000000000ull, 0x0010000000000000ull)
#undef WIDTH

/* Each yields true with *r when the short way holds. */
#define ARITH(w, U, T) \
static inline bool try_add##w(const struct cpu *c, U a, U b, U *r) \
{ \
	T x = real##w(&a), y = real##w(&b), s = x + y; \
	*r = bits##w(s); \
	return easy##w(a) && easy##w(b) && (normal##w(*r) || s == 0) && \
	       (inexact_known(c) || exact_sum##w(x, y, s)); \
} \
static inline bool try_sub##w(const struct cpu *c, U a, U b, U *r) \
{ \
	T x = real##w(&a), y = real##w(&b), s = x - y; \
	*r = bits##w(s); \
	return easy##w(a) && easy##w(b) && (normal##w(*r) || s == 0) && \
	       (inexact_known(c) || exact_sum##w(x, -y, s)); \
} \
static inline bool try_mul##w(const struct cpu *c, U a, U b, U *r) \
{ \
	T x = real##w(&a), y = real##w(&b), p = x * y; \
	*r = bits##w(p); \
	if (!(easy##w(a) && easy##w(b))) \
		return false; \
	if (x == 0 || y == 0) \
		return true; \
	return normal##w(*r) && (inexact_known(c) || exact_product##w(a, b)); \
} \
static inline bool try_div##w(const struct cpu *c, U a, U b, U *r) \
{ \
	T x = real##w(&a), y = real##w(&b), q = x / y; \
	*r = bits##w(q); \
	return easy##w(a) && easy##w(b) && y != 0 && (x == 0 || (normal##w(*r) && inexact_known(c))); \
} \
static inline bool try_min##w(const struct cpu *c, U a, U b, U *r) \
{ \
	(void)c; \
	*r = real##w(&a) < real##w(&b) ? a : b; \
	return easy##w(a) && easy##w(b); \
} \
static inline bool try_max##w(const struct cpu *c, U a, U b, U *r) \
{ \
	(void)c; \
	*r = real##w(&a) > real##w(&b) ? a : b; \
	return easy##w(a) && easy##w(b); \
}
ARITH(32, uint32_t, float)
ARITH(64, uint64_t, double)
#undef ARITH

/* ---- scalar: the low lane of the destination ---- */
#define SCALAR_DO(op, w, src) \
	uint##w##_t a, b, r; \
	memcpy(&a, c->s.xmm[u->reg[0]], w / 8); \
	memcpy(&b, src, w / 8); \
	if (unlikely(!plain(c) || !try_##op##w(c, a, b, &r))) \
		return uop_call(c, u); \
	memcpy(c->s.xmm[u->reg[0]], &r, w / 8); \
	NEXT(c, u)
#define SCALAR(name, op, w) \
HOT(h_##name##_rr) { SSE_ON(c, u); SCALAR_DO(op, w, c->s.xmm[u->reg[1]]); } \
HOT(h_##name##_rm_b) { SSE_ON(c, u); VEC_MEM(p, b, w / 8, false, false); SCALAR_DO(op, w, p); } \
HOT(h_##name##_rm_x) { SSE_ON(c, u); VEC_MEM(p, x, w / 8, false, false); SCALAR_DO(op, w, p); } \
HOT(h_##name##_rm_g) { SSE_ON(c, u); VEC_MEM(p, g, w / 8, false, false); SCALAR_DO(op, w, p); } \
static uop_fn *const name##_table[VEC_FORMS] = VEC_LOAD_ROW(h_##name##_rr, h_##name##_rm); \
uop_fn *bind_sse_##name(struct uop *u, uint32_t key) { (void)key; return vec_bind(u, name##_table); }
SCALAR(addss, add, 32) SCALAR(subss, sub, 32) SCALAR(mulss, mul, 32) SCALAR(divss, div, 32)
SCALAR(minss, min, 32) SCALAR(maxss, max, 32)
SCALAR(addsd, add, 64) SCALAR(subsd, sub, 64) SCALAR(mulsd, mul, 64) SCALAR(divsd, div, 64)
SCALAR(minsd, min, 64) SCALAR(maxsd, max, 64)

/* ---- packed: all lanes take the short way, or none ---- */
#define LANES_DO(op, w, src) \
	uint##w##_t a[128 / w], b[128 / w], r[128 / w]; \
	bool ok = plain(c); \
	memcpy(a, c->s.xmm[u->reg[0]], 16); \
	memcpy(b, src, 16); \
	for (unsigned i = 0; i < 128 / w; i++) \
		ok &= try_##op##w(c, a[i], b[i], &r[i]); \
	if (unlikely(!ok)) \
		return uop_call(c, u); \
	memcpy(c->s.xmm[u->reg[0]], r, 16); \
	NEXT(c, u)
#define LANES(name, op, w) \
HOT(h_##name##_rr) { SSE_ON(c, u); LANES_DO(op, w, c->s.xmm[u->reg[1]]); } \
HOT(h_##name##_rm_b) { SSE_ON(c, u); VEC_MEM(p, b, 16, false, true); LANES_DO(op, w, p); } \
HOT(h_##name##_rm_x) { SSE_ON(c, u); VEC_MEM(p, x, 16, false, true); LANES_DO(op, w, p); } \
HOT(h_##name##_rm_g) { SSE_ON(c, u); VEC_MEM(p, g, 16, false, true); LANES_DO(op, w, p); } \
static uop_fn *const name##_table[VEC_FORMS] = VEC_LOAD_ROW(h_##name##_rr, h_##name##_rm); \
uop_fn *bind_sse_##name(struct uop *u, uint32_t key) { (void)key; return vec_bind(u, name##_table); }
LANES(addps, add, 32) LANES(subps, sub, 32) LANES(mulps, mul, 32) LANES(divps, div, 32)
LANES(addpd, add, 64) LANES(subpd, sub, 64) LANES(mulpd, mul, 64) LANES(divpd, div, 64)

/* ---- comparisons to EFLAGS: nothing can happen with easy operands ---- */
#define COMPARE_DO(w, src) \
	uint##w##_t a, b; \
	memcpy(&a, c->s.xmm[u->reg[0]], w / 8); \
	memcpy(&b, src, w / 8); \
	if (unlikely(!easy##w(a) || !easy##w(b))) \
		return uop_call(c, u); \
	flags_set_status(c, real##w(&a) == real##w(&b) ? RFLAGS_ZF : \
	                    real##w(&a) < real##w(&b) ? RFLAGS_CF : 0); \
	NEXT(c, u)
#define COMPARE(name, w) \
HOT(h_##name##_rr) { SSE_ON(c, u); COMPARE_DO(w, c->s.xmm[u->reg[1]]); } \
HOT(h_##name##_rm_b) { SSE_ON(c, u); VEC_MEM(p, b, w / 8, false, false); COMPARE_DO(w, p); } \
HOT(h_##name##_rm_x) { SSE_ON(c, u); VEC_MEM(p, x, w / 8, false, false); COMPARE_DO(w, p); } \
HOT(h_##name##_rm_g) { SSE_ON(c, u); VEC_MEM(p, g, w / 8, false, false); COMPARE_DO(w, p); } \
static uop_fn *const name##_table[VEC_FORMS] = VEC_LOAD_ROW(h_##name##_rr, h_##name##_rm); \
uop_fn *bind_sse_##name(struct uop *u, uint32_t key) { (void)key; return vec_bind(u, name##_table); }
COMPARE(comiss, 32)
COMPARE(comisd, 64)

/* ---- conversions ---- */
/* From a 32- or 64-bit register. */
#define FROM_GPR(name, n, S, T, w) \
HOT(name) \
{ \
	SSE_ON(c, u); \
	S v = (S)get##n(c, u->reg[1]); \
	T r = (T)v; \
	S fits = (S)1 << (w == 64 ? 53 : 24);   /* integers up to here fit the significand */ \
	bool exact = v <= fits && v >= -fits; \
	if (unlikely(!plain(c) || !(exact || inexact_known(c)))) \
		return uop_call(c, u); \
	memcpy(c->s.xmm[u->reg[0]], &r, w / 8); \
	NEXT(c, u); \
}
FROM_GPR(h_si2ss32, 32, int32_t, float, 32)
FROM_GPR(h_si2ss64, 64, int64_t, float, 32)
FROM_GPR(h_si2sd64, 64, int64_t, double, 64)
HOT(h_si2sd32)
{
	SSE_ON(c, u);
	double r = (int32_t)get32(c, u->reg[1]);
	memcpy(c->s.xmm[u->reg[0]], &r, 8);
	NEXT(c, u);
}

uop_fn *bind_sse_cvtsi2ss(struct uop *u, uint32_t key)
{
	(void)key;
	return u->kind[1] != OPK_REG ? NULL : u->sz[1] == 8 ? h_si2ss64 : h_si2ss32;
}

uop_fn *bind_sse_cvtsi2sd(struct uop *u, uint32_t key)
{
	(void)key;
	return u->kind[1] != OPK_REG ? NULL : u->sz[1] == 8 ? h_si2sd64 : h_si2sd32;
}

/* Truncating, from a register, in range. */
#define TRUNCATE(name, n, S, w, T, limit) \
HOT(name) \
{ \
	SSE_ON(c, u); \
	uint##w##_t b; \
	memcpy(&b, c->s.xmm[u->reg[1]], w / 8); \
	T v = real##w(&b); \
	if (unlikely(!easy##w(b) || !(v < limit && v > -limit))) \
		return uop_call(c, u); \
	S r = (S)v; \
	if (unlikely((T)r != v && (!inexact_known(c) || !(c->s.mxcsr & FP_PE << 7)))) \
		return uop_call(c, u); \
	put##n(c, u->reg[0], (u##n)r); \
	NEXT(c, u); \
}
TRUNCATE(h_tss2si32, 32, int32_t, 32, float, 2147483648.0f)
TRUNCATE(h_tss2si64, 64, int64_t, 32, float, 9223372036854775808.0f)
TRUNCATE(h_tsd2si32, 32, int32_t, 64, double, 2147483648.0)
TRUNCATE(h_tsd2si64, 64, int64_t, 64, double, 9223372036854775808.0)

uop_fn *bind_sse_cvttss2si(struct uop *u, uint32_t key)
{
	(void)key;
	return u->kind[1] != OPK_XMM ? NULL : u->sz[0] == 8 ? h_tss2si64 : h_tss2si32;
}

uop_fn *bind_sse_cvttsd2si(struct uop *u, uint32_t key)
{
	(void)key;
	return u->kind[1] != OPK_XMM ? NULL : u->sz[0] == 8 ? h_tsd2si64 : h_tsd2si32;
}

#define SS2SD_DO(src) \
	uint32_t b; \
	memcpy(&b, src, 4); \
	if (unlikely(!easy32(b))) \
		return uop_call(c, u); \
	double r = real32(&b); \
	memcpy(c->s.xmm[u->reg[0]], &r, 8); \
	NEXT(c, u)
HOT(h_cvtss2sd_rr) { SSE_ON(c, u); SS2SD_DO(c->s.xmm[u->reg[1]]); }
HOT(h_cvtss2sd_rm_b) { SSE_ON(c, u); VEC_MEM(p, b, 4, false, false); SS2SD_DO(p); }
HOT(h_cvtss2sd_rm_x) { SSE_ON(c, u); VEC_MEM(p, x, 4, false, false); SS2SD_DO(p); }
HOT(h_cvtss2sd_rm_g) { SSE_ON(c, u); VEC_MEM(p, g, 4, false, false); SS2SD_DO(p); }
static uop_fn *const cvtss2sd_table[VEC_FORMS] = VEC_LOAD_ROW(h_cvtss2sd_rr, h_cvtss2sd_rm);
uop_fn *bind_sse_cvtss2sd(struct uop *u, uint32_t key) { (void)key; return vec_bind(u, cvtss2sd_table); }

HOT(h_cvtsd2ss)
{
	SSE_ON(c, u);
	uint64_t b = c->s.xmm[u->reg[1]][0];
	double v = real64(&b);
	if (unlikely(!plain(c) || !easy64(b) || !(v < 1e38 && v > -1e38)))
		return uop_call(c, u);
	float r = (float)v;
	if (unlikely(!(normal32(bits32(r)) || v == 0) || ((double)r != v && !inexact_known(c))))
		return uop_call(c, u);
	memcpy(c->s.xmm[u->reg[0]], &r, 4);
	NEXT(c, u);
}
uop_fn *bind_sse_cvtsd2ss(struct uop *u, uint32_t key) { (void)key; return u->kind[1] == OPK_XMM ? h_cvtsd2ss : NULL; }

HOT(h_sqrtsd)
{
	SSE_ON(c, u);
	uint64_t b = c->s.xmm[u->reg[1]][0];
	double v = real64(&b);
	if (unlikely(!plain(c) || !easy64(b) || !(v > 0) || !inexact_known(c)))
		return uop_call(c, u);
	double r = sqrt(v);
	memcpy(c->s.xmm[u->reg[0]], &r, 8);
	NEXT(c, u);
}
uop_fn *bind_sse_sqrtsd(struct uop *u, uint32_t key) { (void)key; return u->kind[1] == OPK_XMM ? h_sqrtsd : NULL; }

#else

#define BODY_ONLY(name) \
uop_fn *bind_sse_##name(struct uop *u, uint32_t key) { (void)u, (void)key; return NULL; }
BODY_ONLY(addss) BODY_ONLY(subss) BODY_ONLY(mulss) BODY_ONLY(divss) BODY_ONLY(minss) BODY_ONLY(maxss)
BODY_ONLY(addsd) BODY_ONLY(subsd) BODY_ONLY(mulsd) BODY_ONLY(divsd) BODY_ONLY(minsd) BODY_ONLY(maxsd)
BODY_ONLY(addps) BODY_ONLY(subps) BODY_ONLY(mulps) BODY_ONLY(divps)
BODY_ONLY(addpd) BODY_ONLY(subpd) BODY_ONLY(mulpd) BODY_ONLY(divpd)
BODY_ONLY(comiss) BODY_ONLY(comisd) BODY_ONLY(cvtsi2ss) BODY_ONLY(cvtsi2sd) BODY_ONLY(cvttss2si) BODY_ONLY(cvttsd2si)
BODY_ONLY(cvtss2sd) BODY_ONLY(cvtsd2ss) BODY_ONLY(sqrtsd)

#endif
