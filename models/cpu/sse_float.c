/* sse_float.c - SSE floating-point arithmetic, comparison and rounding; MXCSR exceptions.
 * Lane by lane through float.c. Approximations (RCPPS, RSQRTPS) are the exact value rounded to 12
 * bits of significand: inside the architectural bound of 1.5 * 2^-12, where processors differ in
 * the digits.
 * Source: SDM Vol. 1, "SIMD Floating-Point Exceptions"; Vol. 2A and 2B, the instructions' pages. */
#include "models/cpu/flags.h"
#include "models/cpu/sse.h"

void sse_unavailable(struct cpu *c)
{
	if ((c->s.cr0 & CR0_EM) || !(c->s.cr4 & CR4_OSFXSR))
		cpu_raise(c, VEC_UD);
	cpu_raise(c, VEC_NM);
}

/* An unmasked exception found before computing keeps later ones from being looked for. */
void sse_commit(struct cpu *c, unsigned raised)
{
	unsigned unmasked = raised & ~(c->s.mxcsr >> 7) & FP_ALL;
	if (unlikely(unmasked)) {
		if (unmasked & FP_PRE)
			raised &= FP_PRE;
		c->s.mxcsr |= raised;
		cpu_raise(c, c->s.cr4 & CR4_OSXMMEXCPT ? VEC_XM : VEC_UD);
	}
	c->s.mxcsr |= raised;
}

/* The four forms of an instruction. */
struct form { bool wide; uint8_t lanes; };
#define PS ((struct form){ false, 4 })
#define PD ((struct form){ true, 2 })
#define SS ((struct form){ false, 1 })
#define SD ((struct form){ true, 1 })
static unsigned form_bytes(struct form f) { return f.lanes * (f.wide ? 8u : 4u); }

static void float_begin(struct cpu *c, const struct uop *u, struct form f, struct packed *p)
{
	sse_enter(c);
	p->n = form_bytes(f);
	vec_get(c, u, 1, &p->b, p->n, f.lanes > 1);
	xmm_get(c, u->reg[0], &p->a);
}

/* Lane i as a number. */
static struct fnum num(const struct cpu *c, const union vec *v, unsigned i, struct form form)
{
	return sse_num(c, lane(v, i, form.wide), form.wide);
}

/* ---- two operands ---- */
typedef struct fnum float_op(struct fctl *f, struct fnum a, struct fnum b);

static void binary(struct cpu *c, const struct uop *u, struct form form, float_op *op)
{
	struct packed p;
	float_begin(c, u, form, &p);
	struct fctl f = sse_ctl(c, form.wide);
	for (unsigned i = 0; i < form.lanes; i++) {
		struct fnum a = num(c, &p.a, i, form), b = num(c, &p.b, i, form);
		set_lane(&p.a, i, form.wide, sse_bits(op(&f, a, b), form.wide));
	}
	sse_commit(c, f.raised);
	xmm_set(c, u->reg[0], &p.a);
}

/* MIN and MAX are `a < b ? a : b`: the source when either is a NaN, or both are zero. */
static struct fnum pick(struct fctl *f, struct fnum a, struct fnum b, int wanted)
{
	return f_compare(f, a, b, true) == wanted ? a : b;
}
static struct fnum min_op(struct fctl *f, struct fnum a, struct fnum b)
{
	return pick(f, a, b, F_LESS);
}
static struct fnum max_op(struct fctl *f, struct fnum a, struct fnum b)
{
	return pick(f, a, b, F_GREATER);
}
static struct fnum sqrt_op(struct fctl *f, struct fnum a, struct fnum b)
{
	(void)a;
	return f_sqrt(f, b);
}

#define ALL_FORMS(name, op) \
void sse_##name##ps(struct cpu *c, const struct uop *u) { binary(c, u, PS, op); } \
void sse_##name##pd(struct cpu *c, const struct uop *u) { binary(c, u, PD, op); } \
void sse_##name##ss(struct cpu *c, const struct uop *u) { binary(c, u, SS, op); } \
void sse_##name##sd(struct cpu *c, const struct uop *u) { binary(c, u, SD, op); }
ALL_FORMS(add, f_add)
ALL_FORMS(sub, f_sub)
ALL_FORMS(mul, f_mul)
ALL_FORMS(div, f_div)
ALL_FORMS(min, min_op)
ALL_FORMS(max, max_op)
ALL_FORMS(sqrt, sqrt_op)

/* ---- pairs ---- */
/* Even lanes subtract, odd ones add. */
static void addsub(struct cpu *c, const struct uop *u, struct form form)
{
	struct packed p;
	float_begin(c, u, form, &p);
	struct fctl f = sse_ctl(c, form.wide);
	for (unsigned i = 0; i < form.lanes; i++) {
		struct fnum a = num(c, &p.a, i, form), b = num(c, &p.b, i, form);
		set_lane(&p.a, i, form.wide, sse_bits((i & 1 ? f_add : f_sub)(&f, a, b),
		                                      form.wide));
	}
	sse_commit(c, f.raised);
	xmm_set(c, u->reg[0], &p.a);
}
void sse_addsubps(struct cpu *c, const struct uop *u) { addsub(c, u, PS); }
void sse_addsubpd(struct cpu *c, const struct uop *u) { addsub(c, u, PD); }

static void horizontal(struct cpu *c, const struct uop *u, struct form form, float_op *op)
{
	struct packed p;
	union vec r;
	float_begin(c, u, form, &p);
	struct fctl f = sse_ctl(c, form.wide);
	for (unsigned i = 0; i < form.lanes; i++) {
		const union vec *s = i < form.lanes / 2u ? &p.a : &p.b;
		unsigned j = 2 * i % form.lanes;
		struct fnum a = num(c, s, j, form), b = num(c, s, j + 1, form);
		set_lane(&r, i, form.wide, sse_bits(op(&f, a, b), form.wide));
	}
	sse_commit(c, f.raised);
	xmm_set(c, u->reg[0], &r);
}
void sse_haddps(struct cpu *c, const struct uop *u) { horizontal(c, u, PS, f_add); }
void sse_haddpd(struct cpu *c, const struct uop *u) { horizontal(c, u, PD, f_add); }
void sse_hsubps(struct cpu *c, const struct uop *u) { horizontal(c, u, PS, f_sub); }
void sse_hsubpd(struct cpu *c, const struct uop *u) { horizontal(c, u, PD, f_sub); }

/* imm 7:4: lanes to multiply; 3:0: lanes that get the sum. The sum is a tree: (0 + 1) + (2 + 3). */
static void dot(struct cpu *c, const struct uop *u, struct form form)
{
	struct packed p;
	struct fnum t[4];
	float_begin(c, u, form, &p);
	struct fctl f = sse_ctl(c, form.wide);
	for (unsigned i = 0; i < form.lanes; i++) {
		t[i] = f_from_int(0);
		if (u->imm >> (4 + i) & 1)
			t[i] = f_mul(&f, num(c, &p.a, i, form), num(c, &p.b, i, form));
	}
	sse_commit(c, f.raised);
	for (unsigned n = form.lanes; n > 1; n /= 2)
		for (unsigned i = 0; i < n / 2; i++) {
			/* what one step rounded the next reads back, under DAZ too */
			struct fnum a = sse_num(c, sse_bits(t[2 * i], form.wide), form.wide);
			struct fnum b = sse_num(c, sse_bits(t[2 * i + 1], form.wide), form.wide);
			t[i] = f_add(&f, a, b);
		}
	sse_commit(c, f.raised);
	for (unsigned i = 0; i < form.lanes; i++)
		set_lane(&p.a, i, form.wide, u->imm >> i & 1 ? sse_bits(t[0], form.wide) : 0);
	xmm_set(c, u->reg[0], &p.a);
}
void sse_dpps(struct cpu *c, const struct uop *u) { dot(c, u, PS); }
void sse_dppd(struct cpu *c, const struct uop *u) { dot(c, u, PD); }

/* ---- comparison ---- */
/* imm 2:0: EQ LT LE UNORD NEQ NLT NLE ORD; the ordered relations signal QNaNs. */
static void compare(struct cpu *c, const struct uop *u, struct form form)
{
	static const uint8_t holds[4] = {
		1 << F_EQUAL, 1 << F_LESS, 1 << F_LESS | 1 << F_EQUAL, 1 << F_UNORDERED
	};
	struct packed p;
	float_begin(c, u, form, &p);
	struct fctl f = sse_ctl(c, form.wide);
	unsigned rel = u->imm & 3;
	for (unsigned i = 0; i < form.lanes; i++) {
		struct fnum a = num(c, &p.a, i, form), b = num(c, &p.b, i, form);
		int order = f_compare(&f, a, b, rel == 1 || rel == 2);
		bool yes = (holds[rel] >> order & 1) != (u->imm >> 2 & 1);
		set_lane(&p.a, i, form.wide, yes ? ~(uint64_t)0 : 0);
	}
	sse_commit(c, f.raised);
	xmm_set(c, u->reg[0], &p.a);
}
void sse_cmpps(struct cpu *c, const struct uop *u) { compare(c, u, PS); }
void sse_cmppd(struct cpu *c, const struct uop *u) { compare(c, u, PD); }
void sse_cmpss(struct cpu *c, const struct uop *u) { compare(c, u, SS); }
void sse_cmpsd(struct cpu *c, const struct uop *u) { compare(c, u, SD); }

static void compare_flags(struct cpu *c, const struct uop *u, struct form form, bool signal_quiet)
{
	static const uint64_t flags[] = { [F_LESS] = RFLAGS_CF, [F_EQUAL] = RFLAGS_ZF,
	                                  [F_GREATER] = 0,
	                                  [F_UNORDERED] = RFLAGS_CF | RFLAGS_PF | RFLAGS_ZF };
	struct packed p;
	float_begin(c, u, form, &p);
	struct fctl f = sse_ctl(c, form.wide);
	int order = f_compare(&f, num(c, &p.a, 0, form), num(c, &p.b, 0, form), signal_quiet);
	sse_commit(c, f.raised);
	flags_set_status(c, flags[order]);
}
void sse_comiss(struct cpu *c, const struct uop *u) { compare_flags(c, u, SS, true); }
void sse_comisd(struct cpu *c, const struct uop *u) { compare_flags(c, u, SD, true); }
void sse_ucomiss(struct cpu *c, const struct uop *u) { compare_flags(c, u, SS, false); }
void sse_ucomisd(struct cpu *c, const struct uop *u) { compare_flags(c, u, SD, false); }

/* ---- rounding to integral values: imm 3 no PE, 2 MXCSR's rounding, 1:0 rounding ---- */
static void round_(struct cpu *c, const struct uop *u, struct form form)
{
	struct packed p;
	float_begin(c, u, form, &p);
	struct fctl f = sse_ctl(c, form.wide);
	if (!(u->imm & 4))
		f.rc = u->imm & 3;
	for (unsigned i = 0; i < form.lanes; i++)
		set_lane(&p.a, i, form.wide, sse_bits(f_round_int(&f, num(c, &p.b, i, form)),
		                                      form.wide));
	sse_commit(c, f.raised & (u->imm & 8 ? FP_IE : FP_IE | FP_PE));
	xmm_set(c, u->reg[0], &p.a);
}
void sse_roundps(struct cpu *c, const struct uop *u) { round_(c, u, PS); }
void sse_roundpd(struct cpu *c, const struct uop *u) { round_(c, u, PD); }
void sse_roundss(struct cpu *c, const struct uop *u) { round_(c, u, SS); }
void sse_roundsd(struct cpu *c, const struct uop *u) { round_(c, u, SD); }

/* ---- approximations: no exceptions; denormals are zeros, also as results ---- */
static uint32_t approximate(uint32_t v, bool root)
{
	struct fctl f = { .emin = -126, .emax = 127, .prec = 12, .mask = FP_ALL, .ftz = 1 };
	struct fnum a = f_from_f32(v, true), one = f_from_int(1);
	if (!f_is_nan(a) && root) {
		if (a.cls != F_ZERO && a.sign)
			return f_to_f32(F_DEFAULT_NAN);
		/* enough bits for the second rounding to see a tie */
		struct fctl exact = f;
		exact.prec = 64;
		a = f_sqrt(&exact, a);
	}
	return f_to_f32(f_div(&f, one, a));
}

static void approximation(struct cpu *c, const struct uop *u, struct form form, bool root)
{
	struct packed p;
	float_begin(c, u, form, &p);
	for (unsigned i = 0; i < form.lanes; i++)
		p.a.d[i] = approximate(p.b.d[i], root);
	xmm_set(c, u->reg[0], &p.a);
}
void sse_rcpps(struct cpu *c, const struct uop *u) { approximation(c, u, PS, false); }
void sse_rcpss(struct cpu *c, const struct uop *u) { approximation(c, u, SS, false); }
void sse_rsqrtps(struct cpu *c, const struct uop *u) { approximation(c, u, PS, true); }
void sse_rsqrtss(struct cpu *c, const struct uop *u) { approximation(c, u, SS, true); }
