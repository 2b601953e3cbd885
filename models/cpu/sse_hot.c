/* sse_hot.c - hot handlers of the SSE instructions compilers emit most: moves, packed integers on
 * XMM registers.
 *
 * What they do is in sse_move.c, sse_int.c and sse_shuffle.c, whose bodies run whatever does not
 * take the short way: SSE switched off, a misaligned operand, a soft-TLB miss, an MMX form. Cost
 * and outcome are the same. */
#include "models/cpu/sse_hot.h"

/* ---- whole registers: aligned or not ---- */
HOT(h_mov_rr)
{
	SSE_ON(c, u);
	c->s.xmm[u->reg[0]][0] = c->s.xmm[u->reg[1]][0];
	c->s.xmm[u->reg[0]][1] = c->s.xmm[u->reg[1]][1];
	NEXT(c, u);
}
/* n bytes, into half i of the register or out of it. */
#define MOVE(name, n, i, aligned, k) \
HOT(name##_rm_##k) \
{ \
	SSE_ON(c, u); \
	VEC_MEM(p, k, n, false, aligned); \
	memcpy(&c->s.xmm[u->reg[0]][i], p, n); \
	NEXT(c, u); \
} \
HOT(name##_mr_##k) \
{ \
	SSE_ON(c, u); \
	VEC_MEM(p, k, n, true, aligned); \
	memcpy(p, &c->s.xmm[u->reg[1]][i], n); \
	NEXT(c, u); \
}
#define MOVE128_KINDS(name, aligned) \
MOVE(name, 16, 0, aligned, b) MOVE(name, 16, 0, aligned, x) MOVE(name, 16, 0, aligned, g) \
static uop_fn *const name##_table[VEC_FORMS] = VEC_ROW(h_mov_rr, name##_rm, name##_mr);
MOVE128_KINDS(h_mova, true)
MOVE128_KINDS(h_movu, false)

uop_fn *bind_sse_mova(struct uop *u, uint32_t key) { (void)key; return vec_bind(u, h_mova_table); }
uop_fn *bind_sse_movu(struct uop *u, uint32_t key) { (void)key; return vec_bind(u, h_movu_table); }

/* ---- MOVD, MOVQ, MOVSS, MOVSD: n bits ---- */
#define LOW_MEM(n, k) \
HOT(h_low##n##_rm_##k) \
{ \
	SSE_ON(c, u); \
	VEC_MEM(p, k, n / 8, false, false); \
	HOT_LOAD(n, v, p); \
	c->s.xmm[u->reg[0]][0] = v; \
	c->s.xmm[u->reg[0]][1] = 0; \
	NEXT(c, u); \
} \
HOT(h_low##n##_mr_##k) \
{ \
	SSE_ON(c, u); \
	VEC_MEM(p, k, n / 8, true, false); \
	memcpy(p, c->s.xmm[u->reg[1]], n / 8); \
	NEXT(c, u); \
}
#define LOW(n) \
LOW_MEM(n, b) LOW_MEM(n, x) LOW_MEM(n, g) \
HOT(h_scalar##n##_rr) \
{ \
	SSE_ON(c, u); \
	memcpy(c->s.xmm[u->reg[0]], c->s.xmm[u->reg[1]], n / 8); \
	NEXT(c, u); \
} \
HOT(h_from_gpr##n) \
{ \
	SSE_ON(c, u); \
	c->s.xmm[u->reg[0]][0] = get##n(c, u->reg[1]); \
	c->s.xmm[u->reg[0]][1] = 0; \
	NEXT(c, u); \
} \
HOT(h_to_gpr##n) { SSE_ON(c, u); put##n(c, u->reg[0], (u##n)c->s.xmm[u->reg[1]][0]); NEXT(c, u); } \
static uop_fn *const scalar##n##_table[VEC_FORMS] = \
	VEC_ROW(h_scalar##n##_rr, h_low##n##_rm, h_low##n##_mr);
LOW(32)
LOW(64)

HOT(h_movq_rr)
{
	SSE_ON(c, u);
	c->s.xmm[u->reg[0]][0] = c->s.xmm[u->reg[1]][0];
	c->s.xmm[u->reg[0]][1] = 0;
	NEXT(c, u);
}
static uop_fn *const movq_table[VEC_FORMS] = VEC_ROW(h_movq_rr, h_low64_rm, h_low64_mr);

uop_fn *bind_sse_movss(struct uop *u, uint32_t key)
{
	(void)key;
	return vec_bind(u, scalar32_table);
}
uop_fn *bind_sse_movsd(struct uop *u, uint32_t key)
{
	(void)key;
	return vec_bind(u, scalar64_table);
}

uop_fn *bind_sse_movd(struct uop *u, uint32_t key)
{
	(void)key;
	if (u->kind[0] == OPK_MMX || u->kind[1] == OPK_MMX)
		return NULL;
	if (u->kind[0] == OPK_REG)
		return h_to_gpr32;
	return u->kind[1] == OPK_REG ? h_from_gpr32 : vec_bind(u, scalar32_table);
}

uop_fn *bind_sse_movq(struct uop *u, uint32_t key)
{
	(void)key;
	if (u->kind[0] == OPK_MMX || u->kind[1] == OPK_MMX)
		return NULL;
	if (u->kind[0] == OPK_REG)
		return h_to_gpr64;
	return u->kind[1] == OPK_REG ? h_from_gpr64 : vec_bind(u, movq_table);
}

/* ---- halves: memory forms ---- */
#define HALF_KINDS(name, i) \
MOVE(name, 8, i, false, b) MOVE(name, 8, i, false, x) MOVE(name, 8, i, false, g) \
static uop_fn *const name##_table[VEC_FORMS] = VEC_ROW(NULL, name##_rm, name##_mr);
HALF_KINDS(h_low_half, 0)
HALF_KINDS(h_high_half, 1)

uop_fn *bind_sse_low_half(struct uop *u, uint32_t key)
{
	(void)key;
	return vec_bind(u, h_low_half_table);
}
uop_fn *bind_sse_high_half(struct uop *u, uint32_t key)
{
	(void)key;
	return vec_bind(u, h_high_half_table);
}

/* ---- packed integers: x from the destination, y from the source, all lanes at once ---- */
#define PACKED_MEM(name, T, expr, k) \
HOT(h_##name##_rm_##k) \
{ \
	SSE_ON(c, u); \
	VEC_MEM(p, k, 16, false, true); \
	T x, y; \
	memcpy(&x, c->s.xmm[u->reg[0]], 16); \
	memcpy(&y, p, 16); \
	x = (T)(expr); \
	memcpy(c->s.xmm[u->reg[0]], &x, 16); \
	NEXT(c, u); \
}
#define PACKED(name, T, expr) \
HOT(h_##name##_rr) \
{ \
	SSE_ON(c, u); \
	T x, y; \
	memcpy(&x, c->s.xmm[u->reg[0]], 16); \
	memcpy(&y, c->s.xmm[u->reg[1]], 16); \
	x = (T)(expr); \
	memcpy(c->s.xmm[u->reg[0]], &x, 16); \
	NEXT(c, u); \
} \
PACKED_MEM(name, T, expr, b) PACKED_MEM(name, T, expr, x) PACKED_MEM(name, T, expr, g) \
static uop_fn *const name##_table[VEC_FORMS] = VEC_LOAD_ROW(h_##name##_rr, h_##name##_rm); \
uop_fn *bind_sse_##name(struct uop *u, uint32_t key) { (void)key; return vec_bind(u, name##_table); }

PACKED(pand,    v2u64,  x & y)
PACKED(pandn,   v2u64,  ~x & y)
PACKED(por,     v2u64,  x | y)
PACKED(pxor,    v2u64,  x ^ y)
PACKED(paddb,   v16u8,  x + y)
PACKED(paddw,   v8u16,  x + y)
PACKED(paddd,   v4u32,  x + y)
PACKED(paddq,   v2u64,  x + y)
PACKED(psubb,   v16u8,  x - y)
PACKED(psubw,   v8u16,  x - y)
PACKED(psubd,   v4u32,  x - y)
PACKED(psubq,   v2u64,  x - y)
PACKED(pmullw,  v8u16,  x * y)
PACKED(pmuludq, v2u64,  (x & 0xffffffff) * (y & 0xffffffff))
PACKED(pcmpeqb, v16u8,  x == y)
PACKED(pcmpeqw, v8u16,  x == y)
PACKED(pcmpeqd, v4u32,  x == y)
PACKED(pcmpgtb, v16s8,  x > y)
PACKED(pcmpgtw, v8s16,  x > y)
PACKED(pcmpgtd, v4s32,  x > y)
PACKED(pminub,  v16u8,  (x & (v16u8)(x < y)) | (y & ~(v16u8)(x < y)))
PACKED(pmaxub,  v16u8,  (x & (v16u8)(x > y)) | (y & ~(v16u8)(x > y)))
PACKED(punpcklqdq, v2u64, ((v2u64){ x[0], y[0] }))
PACKED(punpckhqdq, v2u64, ((v2u64){ x[1], y[1] }))
PACKED(punpckldq, v4u32, ((v4u32){ x[0], y[0], x[1], y[1] }))
#define SHUFFLE(a, b) ((v4u32){ a[u->imm & 3], a[u->imm >> 2 & 3], b[u->imm >> 4 & 3], b[u->imm >> 6 & 3] })
PACKED(pshufd,  v4u32,  SHUFFLE(y, y))
PACKED(shufps,  v4u32,  SHUFFLE(x, y))

/* ---- shifts by an immediate ---- */
#define SHIFT(name, T, bits, expr, too_large) \
HOT(h_##name##_i) \
{ \
	SSE_ON(c, u); \
	T x; \
	int n = (int)(u->imm & 0xff); \
	memcpy(&x, c->s.xmm[u->reg[0]], 16); \
	x = n < bits ? (T)(expr) : (T)(too_large); \
	memcpy(c->s.xmm[u->reg[0]], &x, 16); \
	NEXT(c, u); \
} \
uop_fn *bind_sse_##name(struct uop *u, uint32_t key) \
{ \
	(void)key; \
	return u->kind[0] == OPK_XMM && u->kind[1] == OPK_IMM ? h_##name##_i : NULL; \
}
SHIFT(psllw, v8u16, 16, x << n, x ^ x)
SHIFT(pslld, v4u32, 32, x << n, x ^ x)
SHIFT(psllq, v2u64, 64, x << n, x ^ x)
SHIFT(psrlw, v8u16, 16, x >> n, x ^ x)
SHIFT(psrld, v4u32, 32, x >> n, x ^ x)
SHIFT(psrlq, v2u64, 64, x >> n, x ^ x)
SHIFT(psraw, v8s16, 16, x >> n, x >> 15)
SHIFT(psrad, v4s32, 32, x >> n, x >> 31)

/* Bytes, of the register as one 128-bit number. */
#define SHIFT_BYTES(name, op) \
HOT(h_##name) \
{ \
	SSE_ON(c, u); \
	unsigned __int128 x; \
	unsigned n = (unsigned)u->imm & 0xff; \
	memcpy(&x, c->s.xmm[u->reg[0]], 16); \
	x = n < 16 ? x op (8 * n) : 0; \
	memcpy(c->s.xmm[u->reg[0]], &x, 16); \
	NEXT(c, u); \
} \
uop_fn *bind_sse_##name(struct uop *u, uint32_t key) { (void)u, (void)key; return h_##name; }
SHIFT_BYTES(pslldq, <<)
SHIFT_BYTES(psrldq, >>)

/* ---- PMOVMSKB: the sign of each byte; a multiplication gathers eight ---- */
HOT(h_pmovmskb)
{
	SSE_ON(c, u);
	const uint64_t ones = 0x0101010101010101, gather = 0x0102040810204080;
	const uint64_t *v = c->s.xmm[u->reg[1]];
	c->s.r[u->reg[0]] = (v[0] >> 7 & ones) * gather >> 56 |
	                    (v[1] >> 7 & ones) * gather >> 56 << 8;
	NEXT(c, u);
}

uop_fn *bind_sse_pmovmskb(struct uop *u, uint32_t key)
{
	(void)key;
	return u->kind[1] == OPK_XMM ? h_pmovmskb : NULL;
}
