/* sse_shuffle.c - interleaving, shuffling, blending, inserting, extracting and widening lanes.
 * Source: SDM Vol. 2B, the instructions' pages. */
#include "models/cpu/sse.h"

/* ---- interleave the low (or high) halves: destination first ---- */
/* The MMX forms of the low halves read 4 bytes of memory. */
static void unpack_begin(struct cpu *c, const struct uop *u, struct packed *p, bool high)
{
	if (u->kind[0] == OPK_MMX && u->kind[1] == OPK_MEM && !high) {
		mmx_enter(c);
		p->n = 8;
		vec_get(c, u, 1, &p->b, 4, false);
		vec_get(c, u, 0, &p->a, 0, false);
		return;
	}
	packed_begin(c, u, p);
}
#define UNPACK(name, lanes, T, high) \
void sse_##name(struct cpu *c, const struct uop *u) \
{ \
	struct packed p; \
	union vec r = { .q = { 0, 0 } }; \
	unpack_begin(c, u, &p, high); \
	unsigned half = p.n / (2 * sizeof(T)); \
	for (unsigned i = 0; i < half; i++) { \
		r.lanes[2 * i] = p.a.lanes[i + (high ? half : 0)]; \
		r.lanes[2 * i + 1] = p.b.lanes[i + (high ? half : 0)]; \
	} \
	packed_end(c, u, &r); \
}
UNPACK(punpcklbw, b, uint8_t, false)
UNPACK(punpcklwd, w, uint16_t, false)
UNPACK(punpckldq, d, uint32_t, false)
UNPACK(punpcklqdq, q, uint64_t, false)
UNPACK(punpckhbw, b, uint8_t, true)
UNPACK(punpckhwd, w, uint16_t, true)
UNPACK(punpckhdq, d, uint32_t, true)
UNPACK(punpckhqdq, q, uint64_t, true)

/* ---- shuffles by an immediate ---- */
/* Four source lanes of 32 bits (PSHUFD), or of 16 from `at` on, chosen by imm's pairs of bits. */
void sse_pshufd(struct cpu *c, const struct uop *u)
{
	struct packed p;
	packed_begin(c, u, &p);
	for (unsigned i = 0; i < 4; i++)
		p.a.d[i] = p.b.d[u->imm >> 2 * i & 3];
	packed_end(c, u, &p.a);
}

static void shuffle_words(struct cpu *c, const struct uop *u, unsigned at)
{
	struct packed p;
	packed_begin(c, u, &p);
	p.a = p.b;
	for (unsigned i = 0; i < 4; i++)
		p.a.w[at + i] = p.b.w[at + (u->imm >> 2 * i & 3)];
	packed_end(c, u, &p.a);
}
void sse_pshuflw(struct cpu *c, const struct uop *u) { shuffle_words(c, u, 0); }
void sse_pshufhw(struct cpu *c, const struct uop *u) { shuffle_words(c, u, 4); }
void sse_pshufw(struct cpu *c, const struct uop *u) { shuffle_words(c, u, 0); }

void sse_shufps(struct cpu *c, const struct uop *u)
{
	struct packed p;
	union vec r;
	packed_begin(c, u, &p);
	for (unsigned i = 0; i < 4; i++)
		r.d[i] = (i < 2 ? p.a : p.b).d[u->imm >> 2 * i & 3];
	packed_end(c, u, &r);
}

void sse_shufpd(struct cpu *c, const struct uop *u)
{
	struct packed p;
	packed_begin(c, u, &p);
	union vec r = { .q = { p.a.q[u->imm & 1], p.b.q[u->imm >> 1 & 1] } };
	packed_end(c, u, &r);
}

void sse_pshufb(struct cpu *c, const struct uop *u)
{
	struct packed p;
	union vec r = { .q = { 0, 0 } };
	packed_begin(c, u, &p);
	for (unsigned i = 0; i < p.n; i++)
		r.b[i] = p.b.b[i] & 0x80 ? 0 : p.a.b[p.b.b[i] & (p.n - 1)];
	packed_end(c, u, &r);
}

void sse_palignr(struct cpu *c, const struct uop *u)
{
	struct packed p;
	uint8_t both[32];
	union vec r = { .q = { 0, 0 } };
	packed_begin(c, u, &p);
	memcpy(both, &p.b, p.n);
	memcpy(both + p.n, &p.a, p.n);
	for (unsigned i = 0, j = u->imm & 0xff; i < p.n && j < 2 * p.n; i++, j++)
		r.b[i] = both[j];
	packed_end(c, u, &r);
}

/* ---- one lane in, one lane out ---- */
static void insert(struct cpu *c, const struct uop *u, unsigned size)
{
	union vec a, b;
	bool mmx = u->kind[0] == OPK_MMX;
	if (mmx)
		mmx_enter(c);
	else
		sse_enter(c);
	vec_get(c, u, 1, &b, size, false);
	vec_get(c, u, 0, &a, 0, false);
	unsigned lanes = (mmx ? 8 : 16) / size;
	memcpy(a.b + size * ((unsigned)u->imm & (lanes - 1)), &b, size);
	packed_end(c, u, &a);
}
void sse_pinsrb(struct cpu *c, const struct uop *u) { insert(c, u, 1); }
void sse_pinsrw(struct cpu *c, const struct uop *u) { insert(c, u, 2); }
void sse_pinsrd(struct cpu *c, const struct uop *u) { insert(c, u, 4); }
void sse_pinsrq(struct cpu *c, const struct uop *u) { insert(c, u, 8); }

static void extract(struct cpu *c, const struct uop *u, unsigned size)
{
	union vec b, r = { .q = { 0, 0 } };
	bool mmx = u->kind[1] == OPK_MMX;
	if (mmx)
		mmx_enter(c);
	else
		sse_enter(c);
	vec_get(c, u, 1, &b, 0, false);
	unsigned lanes = (mmx ? 8 : 16) / size;
	memcpy(&r, b.b + size * ((unsigned)u->imm & (lanes - 1)), size);
	if (u->kind[0] == OPK_MEM)
		vec_store(c, u, &r, size, false);
	else
		c->s.r[u->reg[0]] = r.q[0];     /* zero-extended to the whole register */
	if (mmx)
		mmx_touch(c);
}
void sse_pextrb(struct cpu *c, const struct uop *u) { extract(c, u, 1); }
void sse_pextrw(struct cpu *c, const struct uop *u) { extract(c, u, 2); }
void sse_pextrd(struct cpu *c, const struct uop *u) { extract(c, u, 4); }
void sse_pextrq(struct cpu *c, const struct uop *u) { extract(c, u, 8); }
void sse_extractps(struct cpu *c, const struct uop *u) { extract(c, u, 4); }

/* imm: 7:6 source lane (register form), 5:4 destination lane, 3:0 lanes to clear */
void sse_insertps(struct cpu *c, const struct uop *u)
{
	union vec a, b;
	sse_enter(c);
	vec_get(c, u, 1, &b, 4, false);
	xmm_get(c, u->reg[0], &a);
	a.d[u->imm >> 4 & 3] = b.d[u->kind[1] == OPK_XMM ? u->imm >> 6 & 3 : 0];
	for (unsigned i = 0; i < 4; i++)
		if (u->imm >> i & 1)
			a.d[i] = 0;
	xmm_set(c, u->reg[0], &a);
}

/* ---- sign masks to a general register ---- */
static void set_mask(struct cpu *c, const struct uop *u, uint64_t mask)
{
	c->s.r[u->reg[0]] = mask;
}

void sse_pmovmskb(struct cpu *c, const struct uop *u)
{
	union vec b;
	uint64_t m = 0;
	bool mmx = u->kind[1] == OPK_MMX;
	if (mmx)
		mmx_enter(c);
	else
		sse_enter(c);
	vec_get(c, u, 1, &b, 0, false);
	for (unsigned i = 0; i < 16; i++)
		m |= (uint64_t)(b.b[i] >> 7) << i;
	set_mask(c, u, m);
	if (mmx)
		mmx_touch(c);
}

void sse_movmskps(struct cpu *c, const struct uop *u)
{
	union vec b;
	sse_enter(c);
	xmm_get(c, u->reg[1], &b);
	set_mask(c, u, b.d[0] >> 31 | b.d[1] >> 31 << 1 | b.d[2] >> 31 << 2 | b.d[3] >> 31 << 3);
}

void sse_movmskpd(struct cpu *c, const struct uop *u)
{
	union vec b;
	sse_enter(c);
	xmm_get(c, u->reg[1], &b);
	set_mask(c, u, b.q[0] >> 63 | b.q[1] >> 63 << 1);
}

/* ---- blends: by immediate, or by the sign bits of XMM0 ---- */
#define BLEND(name, lanes, n, choose) \
void sse_##name(struct cpu *c, const struct uop *u) \
{ \
	struct packed p; \
	union vec m; \
	packed_begin(c, u, &p); \
	xmm_get(c, 0, &m); \
	for (unsigned i = 0; i < n; i++) \
		if (choose) \
			p.a.lanes[i] = p.b.lanes[i]; \
	packed_end(c, u, &p.a); \
}
BLEND(blendps, d, 4, u->imm >> i & 1)
BLEND(blendpd, q, 2, u->imm >> i & 1)
BLEND(pblendw, w, 8, u->imm >> i & 1)
BLEND(blendvps, d, 4, m.d[i] >> 31)
BLEND(blendvpd, q, 2, m.q[i] >> 63)
BLEND(pblendvb, b, 16, m.b[i] >> 7)

/* ---- widening ---- */
#define WIDEN(name, from, FROM, to, TO) \
void sse_##name(struct cpu *c, const struct uop *u) \
{ \
	union vec b, r; \
	enum { N = 16 / sizeof(TO) }; \
	sse_enter(c); \
	vec_get(c, u, 1, &b, N * sizeof(FROM), false); \
	for (unsigned i = 0; i < N; i++) \
		r.to[i] = (TO)b.from[i]; \
	xmm_set(c, u->reg[0], &r); \
}
WIDEN(pmovsxbw, sb, int8_t, sw, int16_t)
WIDEN(pmovsxbd, sb, int8_t, sd, int32_t)
WIDEN(pmovsxbq, sb, int8_t, sq, int64_t)
WIDEN(pmovsxwd, sw, int16_t, sd, int32_t)
WIDEN(pmovsxwq, sw, int16_t, sq, int64_t)
WIDEN(pmovsxdq, sd, int32_t, sq, int64_t)
WIDEN(pmovzxbw, b, uint8_t, w, uint16_t)
WIDEN(pmovzxbd, b, uint8_t, d, uint32_t)
WIDEN(pmovzxbq, b, uint8_t, q, uint64_t)
WIDEN(pmovzxwd, w, uint16_t, d, uint32_t)
WIDEN(pmovzxwq, w, uint16_t, q, uint64_t)
WIDEN(pmovzxdq, d, uint32_t, q, uint64_t)

/* ---- duplicates ---- */
void sse_movddup(struct cpu *c, const struct uop *u)
{
	union vec b;
	sse_enter(c);
	vec_get(c, u, 1, &b, 8, false);
	b.q[1] = b.q[0];
	xmm_set(c, u->reg[0], &b);
}

void sse_movshdup(struct cpu *c, const struct uop *u)
{
	struct packed p;
	packed_begin(c, u, &p);
	p.b.d[0] = p.b.d[1];
	p.b.d[2] = p.b.d[3];
	packed_end(c, u, &p.b);
}

void sse_movsldup(struct cpu *c, const struct uop *u)
{
	struct packed p;
	packed_begin(c, u, &p);
	p.b.d[1] = p.b.d[0];
	p.b.d[3] = p.b.d[2];
	packed_end(c, u, &p.b);
}
