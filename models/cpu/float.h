/* float.h - IEEE 754 arithmetic in integers, as the x87 and SSE units do it.
 *
 * A number is unpacked into sign, exponent and a 64-bit significand; an operation computes the
 * exact result (128 bits and a sticky bit are enough for all five), then f_round() brings it to the
 * precision and range asked for. Every flag is found on the way. No host floating point: the same
 * bits on any host.
 * Source: SDM Vol. 1, "Programming with the x87 FPU", "Floating-Point Exceptions", "Operating on
 * SNaNs and QNaNs". */
#ifndef CPU_FLOAT_H
#define CPU_FLOAT_H

#include "sim/base.h"

/* Exceptions: the same bits in FSW, FCW (masks), MXCSR and, 7 higher, MXCSR's masks. */
enum {
	FP_IE = 1, FP_DE = 2, FP_ZE = 4, FP_OE = 8, FP_UE = 16, FP_PE = 32, FP_ALL = 63,
	FP_PRE = FP_IE | FP_DE | FP_ZE  /* found before computing: an unmasked one leaves no result */
};

enum { RC_NEAREST, RC_DOWN, RC_UP, RC_ZERO };   /* rounding control, as FCW and MXCSR encode it */

enum fclass {
	F_ZERO, F_FINITE, F_INF, F_QNAN, F_SNAN,
	F_UNSUPPORTED           /* unnormal, pseudo-NaN, pseudo-infinity */
};

struct fnum {                   /* value of F_FINITE: mant / 2^63 * 2^exp, bit 63 of mant set */
	uint8_t cls;            /* enum fclass */
	uint8_t sign;
	uint8_t denormal;       /* came from a denormal (or pseudo-denormal) encoding */
	int32_t exp;
	uint64_t mant;          /* NaN: payload below bit 62, quiet bit 62, bit 63 set */
};

struct fctl {
	int32_t emin, emax;     /* exponents of the smallest and largest normal number */
	uint8_t prec;           /* bits of significand kept: 24, 53, 64 */
	uint8_t rc;             /* RC_* */
	uint8_t mask;           /* masked exceptions */
	uint8_t ftz;            /* MXCSR.FTZ */
	/* x87's choice of NaNs, and wrapped results of unmasked exceptions */
	uint8_t x87;
	uint8_t raised;         /* out: FP_* */
	uint8_t up;             /* out: the magnitude was rounded up (C1) */
};

#define F_DEFAULT_NAN ((struct fnum){ .cls = F_QNAN, .sign = 1, .mant = 3ull << 62 })
static inline bool f_is_nan(struct fnum a) { return a.cls >= F_QNAN; }

/* ---- formats ---- */
struct fnum f_from_f32(uint32_t v, bool daz);
struct fnum f_from_f64(uint64_t v, bool daz);
struct fnum f_from_f80(uint64_t mant, uint16_t se);
struct fnum f_from_int(int64_t v);
/* Exact: the number has been rounded to the format before. */
uint32_t f_to_f32(struct fnum a);
uint64_t f_to_f64(struct fnum a);
uint64_t f_to_f80(struct fnum a, uint16_t *se);         /* returns the significand */

/* ---- operations ---- */
/* lo: 64 more bits of the significand, bit 0 sticky */
struct fnum f_round(struct fctl *f, bool sign, int32_t exp, uint64_t hi, uint64_t lo);
struct fnum f_convert(struct fctl *f, struct fnum a);   /* to f's format: quiets an SNaN */
struct fnum f_add(struct fctl *f, struct fnum a, struct fnum b);
struct fnum f_sub(struct fctl *f, struct fnum a, struct fnum b);
struct fnum f_mul(struct fctl *f, struct fnum a, struct fnum b);
struct fnum f_div(struct fctl *f, struct fnum a, struct fnum b);
struct fnum f_sqrt(struct fctl *f, struct fnum a);
struct fnum f_round_int(struct fctl *f, struct fnum a);
/* To a signed integer of `bits` bits. IE when it does not fit: returns the integer indefinite (only
 * the sign bit set). */
int64_t f_to_int(struct fctl *f, struct fnum a, unsigned bits);
/* a - b*q: FPREM (nearest false: q truncated) or FPREM1 (q rounded to nearest even). *q: q's low
 * bits. False when the exponents are 64 or more apart and only a partial remainder was made. */
bool f_rem(struct fctl *f, struct fnum a, struct fnum b, bool nearest, struct fnum *r, uint64_t *q);
struct fnum f_scale(struct fctl *f, struct fnum a, struct fnum b);
/* The result when a or b is a NaN or unsupported, with IE if needed. */
struct fnum f_nan2(struct fctl *f, struct fnum a, struct fnum b);
struct fnum f_invalid(struct fctl *f);                  /* IE and the default NaN */
/* Denormal operand: DE. */
static inline void f_denormal(struct fctl *f, struct fnum a)
{
	f->raised |= a.denormal ? FP_DE : 0;
}

enum { F_LESS, F_EQUAL, F_GREATER, F_UNORDERED };
/* signal_quiet: a QNaN too is an invalid operand. */
int f_compare(struct fctl *f, struct fnum a, struct fnum b, bool signal_quiet);

#endif
