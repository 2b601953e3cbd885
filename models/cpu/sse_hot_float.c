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
/* zero, or normal: neither denormal, infinity nor NaN. Exponents 0 wrap around to something large. */ \
static inline bool easy##w(U b) { return likely((U)((b & EXP) - LEAST) < EXP - LEAST) || !(U)(b << 1); } \
/* normal, and not the smallest normal number, which rounding may have reached from below */ \
static inline bool normal##w(U b) { return (U)((b & EXP) - 2 * LEAST) < EXP - 2 * LEAST; } \
/* a + b is exact when the error term of the sum is zero; y is -b for a difference */ \
static inline bool exact_sum##w(T a, T y, T s) { T t = s - a; return a - (s - t) == 0 && y - t == 0; } \
/* a * b is exact when their significant bits together fit */ \
static inline bool exact_product##w(U a, U b) \
{ \
	int za = __builtin_ctzll((uint64_t)a | (EXP & -EXP)); \
	int zb = __builtin_ctzll((uint64_t)b | (EXP & -EXP)); \
	return za + zb >= __builtin_ctzll(EXP) + 1; \
}
typedef float F32;
typedef double F64;
WIDTH(32, uint32_t, float, 0x7f800000u, 0x00800000u)
WIDTH(64, uint64_t, double, 0x7ff0000000000000ull, 0x0010000000000000ull)
#undef WIDTH

/* Is r, which the host computed from a and b, all there is to it? */
#define ARITH(w, U) \
static inline bool plain_add##w(const struct cpu *c, U a, U b, U r) \
{ \
	return easy##w(a) && easy##w(b) && (normal##w(r) || !(U)(r << 1)) && \
	       (inexact_known(c) || exact_sum##w(real##w(&a), real##w(&b), real##w(&r))); \
} \
static inline bool plain_sub##w(const struct cpu *c, U a, U b, U r) \
{ \
	return easy##w(a) && easy##w(b) && (normal##w(r) || !(U)(r << 1)) && \
	       (inexact_known(c) || exact_sum##w(real##w(&a), -real##w(&b), real##w(&r))); \
} \
static inline bool plain_mul##w(const struct cpu *c, U a, U b, U r) \
{ \
	if (!(easy##w(a) && easy##w(b))) \
		return false; \
	if (unlikely(!(U)(a << 1) || !(U)(b << 1))) \
		return true; \
	return normal##w(r) && (inexact_known(c) || exact_product##w(a, b)); \
} \
static inline bool plain_div##w(const struct cpu *c, U a, U b, U r) \
{ \
	return easy##w(a) && easy##w(b) && (U)(b << 1) && \
	       (!(U)(a << 1) || (normal##w(r) && inexact_known(c))); \
}
ARITH(32, uint32_t)
ARITH(64, uint64_t)
#undef ARITH

/* ---- scalar: the low lane of the destination ---- */
#define SCALAR_DO(op, w, src, expr) \
	uint##w##_t a, b, r; \
	memcpy(&a, c->s.xmm[u->reg[0]], w / 8); \
	memcpy(&b, src, w / 8); \
	F##w x = real##w(&a), y = real##w(&b); \
	r = bits##w(expr); \
	if (unlikely(!plain(c) || !plain_##op##w(c, a, b, r))) \
		return uop_call(c, u); \
	memcpy(c->s.xmm[u->reg[0]], &r, w / 8); \
	NEXT(c, u)
#define LOADS(name, DO, bytes, aligned, ...) \
HOT(h_##name##_rr) { SSE_ON(c, u); DO(__VA_ARGS__, c->s.xmm[u->reg[1]]); } \
HOT(h_##name##_rm_b) { SSE_ON(c, u); VEC_MEM(p, b, bytes, false, aligned); DO(__VA_ARGS__, p); } \
HOT(h_##name##_rm_x) { SSE_ON(c, u); VEC_MEM(p, x, bytes, false, aligned); DO(__VA_ARGS__, p); } \
HOT(h_##name##_rm_g) { SSE_ON(c, u); VEC_MEM(p, g, bytes, false, aligned); DO(__VA_ARGS__, p); } \
static uop_fn *const name##_table[VEC_FORMS] = VEC_LOAD_ROW(h_##name##_rr, h_##name##_rm); \
uop_fn *bind_sse_##name(struct uop *u, uint32_t key) { (void)key; return vec_bind(u, name##_table); }
#define SCALAR_ADD(op, w, src) SCALAR_DO(op, w, src, x + y)
#define SCALAR_SUB(op, w, src) SCALAR_DO(op, w, src, x - y)
#define SCALAR_MUL(op, w, src) SCALAR_DO(op, w, src, x * y)
#define SCALAR_DIV(op, w, src) SCALAR_DO(op, w, src, x / y)
LOADS(addss, SCALAR_ADD, 4, false, add, 32)
LOADS(subss, SCALAR_SUB, 4, false, sub, 32)
LOADS(mulss, SCALAR_MUL, 4, false, mul, 32)
LOADS(divss, SCALAR_DIV, 4, false, div, 32)
LOADS(addsd, SCALAR_ADD, 8, false, add, 64)
LOADS(subsd, SCALAR_SUB, 8, false, sub, 64)
LOADS(mulsd, SCALAR_MUL, 8, false, mul, 64)
LOADS(divsd, SCALAR_DIV, 8, false, div, 64)

/* MIN and MAX make nothing new. */
#define PICK_DO(rel, w, src) \
	uint##w##_t a, b, r; \
	memcpy(&a, c->s.xmm[u->reg[0]], w / 8); \
	memcpy(&b, src, w / 8); \
	if (unlikely(!plain(c) || !easy##w(a) || !easy##w(b))) \
		return uop_call(c, u); \
	r = real##w(&a) rel real##w(&b) ? a : b; \
	memcpy(c->s.xmm[u->reg[0]], &r, w / 8); \
	NEXT(c, u)
LOADS(minss, PICK_DO, 4, false, <, 32)
LOADS(maxss, PICK_DO, 4, false, >, 32)
LOADS(minsd, PICK_DO, 8, false, <, 64)
LOADS(maxsd, PICK_DO, 8, false, >, 64)

/* ---- packed: all lanes take the short way, or none ---- */
typedef float v4f32 __attribute__((vector_size(16)));
typedef double v2f64 __attribute__((vector_size(16)));
#define LANES_PLAIN64(f) (f(c, a[0], b[0], r[0]) && f(c, a[1], b[1], r[1]))
#define LANES_PLAIN32(f) (LANES_PLAIN64(f) && f(c, a[2], b[2], r[2]) && f(c, a[3], b[3], r[3]))
#define LANES_DO(op, w, VF, VU, src, expr) \
	VF x, y, z; \
	VU a, b, r; \
	memcpy(&x, c->s.xmm[u->reg[0]], 16); \
	memcpy(&y, src, 16); \
	z = expr; \
	a = (VU)x, b = (VU)y, r = (VU)z; \
	if (unlikely(!plain(c) || !LANES_PLAIN##w(plain_##op##w))) \
		return uop_call(c, u); \
	memcpy(c->s.xmm[u->reg[0]], &z, 16); \
	NEXT(c, u)
#define LANES_ADD(op, w, VF, VU, src) LANES_DO(op, w, VF, VU, src, x + y)
#define LANES_SUB(op, w, VF, VU, src) LANES_DO(op, w, VF, VU, src, x - y)
#define LANES_MUL(op, w, VF, VU, src) LANES_DO(op, w, VF, VU, src, x * y)
#define LANES_DIV(op, w, VF, VU, src) LANES_DO(op, w, VF, VU, src, x / y)
LOADS(addps, LANES_ADD, 16, true, add, 32, v4f32, v4u32)
LOADS(subps, LANES_SUB, 16, true, sub, 32, v4f32, v4u32)
LOADS(mulps, LANES_MUL, 16, true, mul, 32, v4f32, v4u32)
LOADS(divps, LANES_DIV, 16, true, div, 32, v4f32, v4u32)
LOADS(addpd, LANES_ADD, 16, true, add, 64, v2f64, v2u64)
LOADS(subpd, LANES_SUB, 16, true, sub, 64, v2f64, v2u64)
LOADS(mulpd, LANES_MUL, 16, true, mul, 64, v2f64, v2u64)
LOADS(divpd, LANES_DIV, 16, true, div, 64, v2f64, v2u64)

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
LOADS(comiss, COMPARE_DO, 4, false, 32)
LOADS(comisd, COMPARE_DO, 8, false, 64)

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

#define WIDEN_DO(w, src) \
	uint32_t b; \
	memcpy(&b, src, 4); \
	if (unlikely(!easy32(b))) \
		return uop_call(c, u); \
	double r = real32(&b); \
	memcpy(c->s.xmm[u->reg[0]], &r, 8); \
	NEXT(c, u)
LOADS(cvtss2sd, WIDEN_DO, 4, false, 32)

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
uop_fn *bind_sse_cvtsd2ss(struct uop *u, uint32_t key)
{
	(void)key;
	return u->kind[1] == OPK_XMM ? h_cvtsd2ss : NULL;
}

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
uop_fn *bind_sse_sqrtsd(struct uop *u, uint32_t key)
{
	(void)key;
	return u->kind[1] == OPK_XMM ? h_sqrtsd : NULL;
}

#else

#define BODY_ONLY(name) \
uop_fn *bind_sse_##name(struct uop *u, uint32_t key) { (void)u, (void)key; return NULL; }
BODY_ONLY(addss) BODY_ONLY(subss) BODY_ONLY(mulss) BODY_ONLY(divss) BODY_ONLY(minss) BODY_ONLY(maxss)
BODY_ONLY(addsd) BODY_ONLY(subsd) BODY_ONLY(mulsd) BODY_ONLY(divsd) BODY_ONLY(minsd) BODY_ONLY(maxsd)
BODY_ONLY(addps) BODY_ONLY(subps) BODY_ONLY(mulps) BODY_ONLY(divps)
BODY_ONLY(addpd) BODY_ONLY(subpd) BODY_ONLY(mulpd) BODY_ONLY(divpd)
BODY_ONLY(comiss) BODY_ONLY(comisd) BODY_ONLY(cvtsi2ss) BODY_ONLY(cvtsi2sd)
BODY_ONLY(cvttss2si) BODY_ONLY(cvttsd2si)
BODY_ONLY(cvtss2sd) BODY_ONLY(cvtsd2ss) BODY_ONLY(sqrtsd)

#endif
