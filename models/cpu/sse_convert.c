/* sse_convert.c - SSE conversions between integers, single and double precision.
 * A number that does not fit an integer raises IE and yields the integer indefinite: the sign bit
 * alone.
 * Source: SDM Vol. 2A, "CVT..." pages; Vol. 1, "Floating-Point Format Conversions". */
#include "models/cpu/sse.h"

/* ---- a float operand in any vector: wide or not ---- */
static uint64_t to_int(struct cpu *c, struct fctl *f, uint64_t v, bool wide, unsigned bits)
{
	return (uint64_t)f_to_int(f, sse_num(c, v, wide), bits);
}

/* ---- general registers ---- */
static void from_gpr(struct cpu *c, const struct uop *u, bool wide)
{
	union vec v;
	sse_enter(c);
	vec_get(c, u, 1, &v, u->sz[1], false);
	struct fctl f = sse_ctl(c, wide);
	struct fnum r = f_convert(&f, f_from_int(u->sz[1] == 8 ? v.sq[0] : v.sd[0]));
	sse_commit(c, f.raised);
	uint64_t bits = sse_bits(r, wide);
	memcpy(c->s.xmm[u->reg[0]], &bits, wide ? 8 : 4);
}
void sse_cvtsi2ss(struct cpu *c, const struct uop *u) { from_gpr(c, u, false); }
void sse_cvtsi2sd(struct cpu *c, const struct uop *u) { from_gpr(c, u, true); }

static void to_gpr(struct cpu *c, const struct uop *u, bool wide, bool truncate)
{
	union vec v;
	sse_enter(c);
	vec_get(c, u, 1, &v, wide ? 8 : 4, false);
	struct fctl f = sse_ctl(c, wide);
	if (truncate)
		f.rc = RC_ZERO;
	uint64_t r = to_int(c, &f, lane(&v, 0, wide), wide, u->sz[0] * 8u);
	sse_commit(c, f.raised);
	reg_set(c, u->reg[0], u->sz[0], r);
}
void sse_cvtss2si(struct cpu *c, const struct uop *u) { to_gpr(c, u, false, false); }
void sse_cvttss2si(struct cpu *c, const struct uop *u) { to_gpr(c, u, false, true); }
void sse_cvtsd2si(struct cpu *c, const struct uop *u) { to_gpr(c, u, true, false); }
void sse_cvttsd2si(struct cpu *c, const struct uop *u) { to_gpr(c, u, true, true); }

/* ---- between precisions ---- */
/* Lanes of `from` width to lanes of the other; what is left of the destination is cleared when
 * `packed`. */
static void precision(struct cpu *c, const struct uop *u, bool widen, bool packed)
{
	union vec b, r;
	unsigned lanes = packed ? 2 : 1;
	sse_enter(c);
	vec_get(c, u, 1, &b, lanes * (widen ? 4 : 8), packed && !widen);
	struct fctl f = sse_ctl(c, widen);
	xmm_get(c, u->reg[0], &r);
	if (packed)
		r.q[0] = r.q[1] = 0;
	for (unsigned i = 0; i < lanes; i++) {
		struct fnum v = sse_num(c, lane(&b, i, !widen), !widen);
		set_lane(&r, i, widen, sse_bits(f_convert(&f, v), widen));
	}
	sse_commit(c, f.raised);
	xmm_set(c, u->reg[0], &r);
}
void sse_cvtss2sd(struct cpu *c, const struct uop *u) { precision(c, u, true, false); }
void sse_cvtsd2ss(struct cpu *c, const struct uop *u) { precision(c, u, false, false); }
void sse_cvtps2pd(struct cpu *c, const struct uop *u) { precision(c, u, true, true); }
void sse_cvtpd2ps(struct cpu *c, const struct uop *u) { precision(c, u, false, true); }

/* ---- packed 32-bit integers ---- */
static void from_ints(struct cpu *c, const struct uop *u, bool wide)
{
	union vec b, r;
	unsigned lanes = wide ? 2 : 4;
	sse_enter(c);
	vec_get(c, u, 1, &b, lanes * 4, !wide);
	struct fctl f = sse_ctl(c, wide);
	for (unsigned i = 0; i < lanes; i++)
		set_lane(&r, i, wide, sse_bits(f_convert(&f, f_from_int(b.sd[i])), wide));
	sse_commit(c, f.raised);
	xmm_set(c, u->reg[0], &r);
}
void sse_cvtdq2ps(struct cpu *c, const struct uop *u) { from_ints(c, u, false); }
void sse_cvtdq2pd(struct cpu *c, const struct uop *u) { from_ints(c, u, true); }

static void to_ints(struct cpu *c, const struct uop *u, bool wide, bool truncate)
{
	union vec b, r = { .q = { 0, 0 } };
	sse_enter(c);
	vec_get(c, u, 1, &b, 16, true);
	struct fctl f = sse_ctl(c, wide);
	if (truncate)
		f.rc = RC_ZERO;
	for (unsigned i = 0; i < (wide ? 2u : 4u); i++)
		r.d[i] = (uint32_t)to_int(c, &f, lane(&b, i, wide), wide, 32);
	sse_commit(c, f.raised);
	xmm_set(c, u->reg[0], &r);
}
void sse_cvtps2dq(struct cpu *c, const struct uop *u) { to_ints(c, u, false, false); }
void sse_cvttps2dq(struct cpu *c, const struct uop *u) { to_ints(c, u, false, true); }
void sse_cvtpd2dq(struct cpu *c, const struct uop *u) { to_ints(c, u, true, false); }
void sse_cvttpd2dq(struct cpu *c, const struct uop *u) { to_ints(c, u, true, true); }

/* ---- MMX integers: two of them ---- */
static void sse_mmx_enter(struct cpu *c)
{
	sse_enter(c);
	mmx_enter(c);
}

void sse_cvtpi2ps(struct cpu *c, const struct uop *u)
{
	union vec b;
	sse_mmx_enter(c);
	vec_get(c, u, 1, &b, 8, false);
	struct fctl f = sse_ctl(c, false);
	uint32_t r[2];
	for (unsigned i = 0; i < 2; i++)
		r[i] = f_to_f32(f_convert(&f, f_from_int(b.sd[i])));
	sse_commit(c, f.raised);
	memcpy(c->s.xmm[u->reg[0]], r, 8);
	if (u->kind[1] == OPK_MMX)
		mmx_touch(c);
}

void sse_cvtpi2pd(struct cpu *c, const struct uop *u)
{
	union vec b;
	if (u->kind[1] == OPK_MMX)
		sse_mmx_enter(c);
	else
		sse_enter(c);
	vec_get(c, u, 1, &b, 8, false);
	for (unsigned i = 0; i < 2; i++)
		c->s.xmm[u->reg[0]][i] = f_to_f64(f_from_int(b.sd[i]));
	if (u->kind[1] == OPK_MMX)
		mmx_touch(c);
}

static void to_mmx(struct cpu *c, const struct uop *u, bool wide, bool truncate)
{
	union vec b, r;
	sse_mmx_enter(c);
	vec_get(c, u, 1, &b, wide ? 16 : 8, wide);
	struct fctl f = sse_ctl(c, wide);
	if (truncate)
		f.rc = RC_ZERO;
	for (unsigned i = 0; i < 2; i++)
		r.d[i] = (uint32_t)to_int(c, &f, lane(&b, i, wide), wide, 32);
	sse_commit(c, f.raised);
	mmx_set(c, u->reg[0], r.q[0]);
}
void sse_cvtps2pi(struct cpu *c, const struct uop *u) { to_mmx(c, u, false, false); }
void sse_cvttps2pi(struct cpu *c, const struct uop *u) { to_mmx(c, u, false, true); }
void sse_cvtpd2pi(struct cpu *c, const struct uop *u) { to_mmx(c, u, true, false); }
void sse_cvttpd2pi(struct cpu *c, const struct uop *u) { to_mmx(c, u, true, true); }
