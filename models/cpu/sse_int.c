/* sse_int.c - packed integer arithmetic, comparison, logic and shifts, on MMX and XMM registers.
 * Source: SDM Vol. 2B, the instructions' pages. */
#include "models/cpu/flags.h"
#include "models/cpu/sse.h"

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}
#define S8(v)  (int8_t)clamp(v, -128, 127)
#define S16(v) (int16_t)clamp(v, -32768, 32767)
#define U8(v)  (uint8_t)clamp(v, 0, 255)
#define U16(v) (uint16_t)clamp(v, 0, 65535)

/* One row: lane by lane, x from the destination, y from the source. */
#define EACH(name, lanes, T, expr) \
void sse_##name(struct cpu *c, const struct uop *u) \
{ \
	struct packed p; \
	packed_begin(c, u, &p); \
	for (unsigned i = 0; i < p.n / sizeof(T); i++) { \
		T x = p.a.lanes[i], y = p.b.lanes[i]; \
		p.a.lanes[i] = (T)(expr); \
	} \
	packed_end(c, u, &p.a); \
}
EACH(paddb,   b,  uint8_t,  x + y)
EACH(paddw,   w,  uint16_t, x + y)
EACH(paddd,   d,  uint32_t, x + y)
EACH(paddq,   q,  uint64_t, x + y)
EACH(psubb,   b,  uint8_t,  x - y)
EACH(psubw,   w,  uint16_t, x - y)
EACH(psubd,   d,  uint32_t, x - y)
EACH(psubq,   q,  uint64_t, x - y)
EACH(paddsb,  sb, int8_t,   S8(x + y))
EACH(paddsw,  sw, int16_t,  S16(x + y))
EACH(paddusb, b,  uint8_t,  U8(x + y))
EACH(paddusw, w,  uint16_t, U16(x + y))
EACH(psubsb,  sb, int8_t,   S8(x - y))
EACH(psubsw,  sw, int16_t,  S16(x - y))
EACH(psubusb, b,  uint8_t,  U8(x - y))
EACH(psubusw, w,  uint16_t, U16(x - y))
EACH(pmullw,  sw, int16_t,  x * y)
EACH(pmulhw,  sw, int16_t,  (x * y) >> 16)
EACH(pmulhuw, w,  uint16_t, ((uint32_t)x * y) >> 16)
EACH(pmuludq, q,  uint64_t, (x & 0xffffffff) * (y & 0xffffffff))
EACH(pand,    q,  uint64_t, x & y)
EACH(pandn,   q,  uint64_t, ~x & y)
EACH(por,     q,  uint64_t, x | y)
EACH(pxor,    q,  uint64_t, x ^ y)
EACH(pcmpeqb, b,  uint8_t,  -(x == y))
EACH(pcmpeqw, w,  uint16_t, -(x == y))
EACH(pcmpeqd, d,  uint32_t, -(uint32_t)(x == y))
EACH(pcmpeqq, q,  uint64_t, -(uint64_t)(x == y))
EACH(pcmpgtb, sb, int8_t,   -(x > y))
EACH(pcmpgtw, sw, int16_t,  -(x > y))
EACH(pcmpgtd, sd, int32_t,  -(x > y))
EACH(pcmpgtq, sq, int64_t,  -(int64_t)(x > y))
EACH(pavgb,   b,  uint8_t,  (x + y + 1) >> 1)
EACH(pavgw,   w,  uint16_t, (x + y + 1) >> 1)
EACH(pminub,  b,  uint8_t,  x < y ? x : y)
EACH(pmaxub,  b,  uint8_t,  x > y ? x : y)
EACH(pminsw,  sw, int16_t,  x < y ? x : y)
EACH(pmaxsw,  sw, int16_t,  x > y ? x : y)
EACH(pminsb,  sb, int8_t,   x < y ? x : y)
EACH(pmaxsb,  sb, int8_t,   x > y ? x : y)
EACH(pminuw,  w,  uint16_t, x < y ? x : y)
EACH(pmaxuw,  w,  uint16_t, x > y ? x : y)
EACH(pminsd,  sd, int32_t,  x < y ? x : y)
EACH(pmaxsd,  sd, int32_t,  x > y ? x : y)
EACH(pminud,  d,  uint32_t, x < y ? x : y)
EACH(pmaxud,  d,  uint32_t, x > y ? x : y)
EACH(pmulld,  d,  uint32_t, x * y)
EACH(pmuldq,  sq, int64_t,  (int64_t)(int32_t)x * (int32_t)y)
EACH(pmulhrsw, sw, int16_t, ((x * y >> 14) + 1) >> 1)
EACH(psignb,  sb, int8_t,   y < 0 ? -x : y ? x : 0)
EACH(psignw,  sw, int16_t,  y < 0 ? -x : y ? x : 0)
EACH(psignd,  d,  uint32_t, (int32_t)y < 0 ? -x : y ? x : 0)
EACH(pabsb,   sb, int8_t,   ((void)x, y < 0 ? -y : y))
EACH(pabsw,   sw, int16_t,  ((void)x, y < 0 ? -y : y))
EACH(pabsd,   d,  uint32_t, ((void)x, (int32_t)y < 0 ? -y : y))

void sse_pmaddwd(struct cpu *c, const struct uop *u)
{
	struct packed p;
	packed_begin(c, u, &p);
	for (unsigned i = 0; i < p.n / 4; i++)
		p.a.d[i] = (uint32_t)(p.a.sw[2 * i] * p.b.sw[2 * i]) +
		           (uint32_t)(p.a.sw[2 * i + 1] * p.b.sw[2 * i + 1]);
	packed_end(c, u, &p.a);
}

void sse_pmaddubsw(struct cpu *c, const struct uop *u)
{
	struct packed p;
	packed_begin(c, u, &p);
	for (unsigned i = 0; i < p.n / 2; i++)
		p.a.sw[i] = S16(p.a.b[2 * i] * p.b.sb[2 * i] +
		                p.a.b[2 * i + 1] * p.b.sb[2 * i + 1]);
	packed_end(c, u, &p.a);
}

void sse_psadbw(struct cpu *c, const struct uop *u)
{
	struct packed p;
	packed_begin(c, u, &p);
	for (unsigned i = 0; i < p.n / 8; i++) {
		unsigned sum = 0;
		for (unsigned j = 8 * i; j < 8 * i + 8; j++) {
			int d = p.a.b[j] - p.b.b[j];
			sum += (unsigned)(d < 0 ? -d : d);
		}
		p.a.q[i] = sum;
	}
	packed_end(c, u, &p.a);
}

/* ---- horizontal: pairs of the destination, then pairs of the source ---- */
#define PAIRS(name, lanes, T, expr) \
void sse_##name(struct cpu *c, const struct uop *u) \
{ \
	struct packed p; \
	union vec r = { .q = { 0, 0 } }; \
	packed_begin(c, u, &p); \
	for (unsigned i = 0, n = p.n / sizeof(T); i < n; i++) { \
		const union vec *s = i < n / 2 ? &p.a : &p.b; \
		T x = s->lanes[2 * i % n], y = s->lanes[2 * i % n + 1]; \
		r.lanes[i] = (T)(expr); \
	} \
	packed_end(c, u, &r); \
}
PAIRS(phaddw,  sw, int16_t,  x + y)
PAIRS(phaddsw, sw, int16_t,  S16(x + y))
PAIRS(phaddd,  d,  uint32_t, x + y)
PAIRS(phsubw,  sw, int16_t,  x - y)
PAIRS(phsubsw, sw, int16_t,  S16(x - y))
PAIRS(phsubd,  d,  uint32_t, x - y)

void sse_phminposuw(struct cpu *c, const struct uop *u)
{
	struct packed p;
	packed_begin(c, u, &p);
	unsigned at = 0;
	for (unsigned i = 1; i < 8; i++)
		if (p.b.w[i] < p.b.w[at])
			at = i;
	union vec r = { .w = { p.b.w[at], (uint16_t)at } };
	packed_end(c, u, &r);
}

void sse_mpsadbw(struct cpu *c, const struct uop *u)
{
	struct packed p;
	union vec r;
	packed_begin(c, u, &p);
	unsigned from = u->imm & 4, with = (unsigned)(u->imm & 3) * 4;
	for (unsigned i = 0; i < 8; i++) {
		unsigned sum = 0;
		for (unsigned j = 0; j < 4; j++) {
			int d = p.a.b[from + i + j] - p.b.b[with + j];
			sum += (unsigned)(d < 0 ? -d : d);
		}
		r.w[i] = (uint16_t)sum;
	}
	packed_end(c, u, &r);
}

/* ---- shifts: by an immediate or the source's low 64 bits; too large a count leaves signs ---- */
static uint64_t shift_begin(struct cpu *c, const struct uop *u, struct packed *p)
{
	if (u->kind[1] != OPK_IMM) {
		packed_begin(c, u, p);
		return p->b.q[0];
	}
	if (u->kind[0] == OPK_MMX)
		mmx_enter(c);
	else
		sse_enter(c);
	p->n = u->kind[0] == OPK_MMX ? 8 : 16;
	vec_get(c, u, 0, &p->a, 0, false);
	return u->imm & 0xff;
}
#define SHIFT(name, lanes, T, expr, too_large) \
void sse_##name(struct cpu *c, const struct uop *u) \
{ \
	struct packed p; \
	uint64_t n = shift_begin(c, u, &p); \
	for (unsigned i = 0; i < p.n / sizeof(T); i++) { \
		T x = p.a.lanes[i]; \
		p.a.lanes[i] = n < sizeof(T) * 8 ? (T)(expr) : (T)(too_large); \
	} \
	packed_end(c, u, &p.a); \
}
SHIFT(psllw, w,  uint16_t, x << n, 0)
SHIFT(pslld, d,  uint32_t, x << n, 0)
SHIFT(psllq, q,  uint64_t, x << n, 0)
SHIFT(psrlw, w,  uint16_t, x >> n, 0)
SHIFT(psrld, d,  uint32_t, x >> n, 0)
SHIFT(psrlq, q,  uint64_t, x >> n, 0)
SHIFT(psraw, sw, int16_t,  x >> n, x >> 15)
SHIFT(psrad, sd, int32_t,  x >> n, x >> 31)

void sse_pslldq(struct cpu *c, const struct uop *u)
{
	union vec a, r = { .q = { 0, 0 } };
	sse_enter(c);
	xmm_get(c, u->reg[0], &a);
	for (unsigned i = u->imm & 0xff, j = 0; i < 16; i++, j++)
		r.b[i] = a.b[j];
	xmm_set(c, u->reg[0], &r);
}

void sse_psrldq(struct cpu *c, const struct uop *u)
{
	union vec a, r = { .q = { 0, 0 } };
	sse_enter(c);
	xmm_get(c, u->reg[0], &a);
	for (unsigned i = u->imm & 0xff, j = 0; i < 16; i++, j++)
		r.b[j] = a.b[i];
	xmm_set(c, u->reg[0], &r);
}

/* ---- narrowing with saturation: the destination's lanes, then the source's ---- */
#define PACK(name, from, FROM, to, sat) \
void sse_##name(struct cpu *c, const struct uop *u) \
{ \
	struct packed p; \
	union vec r = { .q = { 0, 0 } }; \
	packed_begin(c, u, &p); \
	for (unsigned i = 0, n = p.n / sizeof(FROM); i < n; i++) { \
		r.to[i] = sat(p.a.from[i]); \
		r.to[n + i] = sat(p.b.from[i]); \
	} \
	packed_end(c, u, &r); \
}
PACK(packsswb, sw, int16_t, sb, S8)
PACK(packssdw, sd, int32_t, sw, S16)
PACK(packuswb, sw, int16_t, b, U8)
PACK(packusdw, sd, int32_t, w, U16)

void sse_ptest(struct cpu *c, const struct uop *u)
{
	struct packed p;
	packed_begin(c, u, &p);
	bool zf = !((p.a.q[0] & p.b.q[0]) | (p.a.q[1] & p.b.q[1]));
	bool cf = !((~p.a.q[0] & p.b.q[0]) | (~p.a.q[1] & p.b.q[1]));
	flags_set_status(c, (zf ? RFLAGS_ZF : 0) | (cf ? RFLAGS_CF : 0));
}
