/* sse_move.c - moves between memory, XMM, MMX and general registers.
 * Source: SDM Vol. 2B, the instructions' pages.
 * Simplified: non-temporal hints cost what ordinary accesses do; memory order is always strong. */
#include "models/cpu/sse.h"

/* ---- whole registers ---- */
static void move128(struct cpu *c, const struct uop *u, bool aligned)
{
	union vec v;
	sse_enter(c);
	if (u->kind[0] == OPK_MEM) {
		xmm_get(c, u->reg[1], &v);
		vec_store(c, u, &v, 16, aligned);
		return;
	}
	vec_get(c, u, 1, &v, 16, aligned);
	xmm_set(c, u->reg[0], &v);
}
void sse_mov_aligned(struct cpu *c, const struct uop *u) { move128(c, u, true); }
void sse_mov_unaligned(struct cpu *c, const struct uop *u) { move128(c, u, false); }

/* ---- MOVD, MOVQ: 4 or 8 bytes, zero-extended into a vector register ---- */
static void move_low(struct cpu *c, const struct uop *u, unsigned n)
{
	union vec v;
	bool mmx = u->kind[0] == OPK_MMX || u->kind[1] == OPK_MMX;
	if (mmx)
		mmx_enter(c);
	else
		sse_enter(c);
	vec_get(c, u, 1, &v, n, false);
	if (n == 4)
		v.q[0] = v.d[0];
	v.q[1] = 0;
	switch (u->kind[0]) {
	case OPK_XMM: xmm_set(c, u->reg[0], &v); break;
	case OPK_MMX: mmx_set(c, u->reg[0], v.q[0]); break;
	case OPK_REG: c->s.r[u->reg[0]] = v.q[0]; break;
	default: vec_store(c, u, &v, n, false); break;
	}
	if (mmx && u->kind[0] != OPK_MMX)
		mmx_touch(c);
}
void sse_movd(struct cpu *c, const struct uop *u) { move_low(c, u, 4); }
void sse_movq(struct cpu *c, const struct uop *u) { move_low(c, u, 8); }

/* ---- MOVSS, MOVSD: a load clears the rest, a register move keeps it ---- */
static void move_scalar(struct cpu *c, const struct uop *u, unsigned n)
{
	union vec v;
	sse_enter(c);
	if (u->kind[0] == OPK_MEM) {
		vec_store(c, u, c->s.xmm[u->reg[1]], n, false);
	} else if (u->kind[1] == OPK_MEM) {
		vec_get(c, u, 1, &v, n, false);
		xmm_set(c, u->reg[0], &v);
	} else {
		xmm_get(c, u->reg[1], &v);
		memcpy(c->s.xmm[u->reg[0]], &v, n);
	}
}
void sse_movss(struct cpu *c, const struct uop *u) { move_scalar(c, u, 4); }
void sse_movsd(struct cpu *c, const struct uop *u) { move_scalar(c, u, 8); }

/* ---- halves: the other half of a register destination stays ---- */
static void move_half(struct cpu *c, const struct uop *u, unsigned dst, unsigned src)
{
	sse_enter(c);
	if (u->kind[0] == OPK_MEM) {
		vec_store(c, u, &c->s.xmm[u->reg[1]][src], 8, false);
	} else if (u->kind[1] == OPK_MEM) {
		uint64_t v;
		vec_load(c, u, &v, 8, false);
		c->s.xmm[u->reg[0]][dst] = v;
	} else {
		c->s.xmm[u->reg[0]][dst] = c->s.xmm[u->reg[1]][src];
	}
}
void sse_mov_low(struct cpu *c, const struct uop *u) { move_half(c, u, 0, 0); }
void sse_mov_high(struct cpu *c, const struct uop *u) { move_half(c, u, 1, 1); }
void sse_movhlps(struct cpu *c, const struct uop *u) { move_half(c, u, 0, 1); }
void sse_movlhps(struct cpu *c, const struct uop *u) { move_half(c, u, 1, 0); }

/* ---- between MMX and XMM ---- */
void sse_movdq2q(struct cpu *c, const struct uop *u)
{
	sse_enter(c);
	mmx_enter(c);
	mmx_set(c, u->reg[0], c->s.xmm[u->reg[1]][0]);
}

void sse_movq2dq(struct cpu *c, const struct uop *u)
{
	sse_enter(c);
	mmx_enter(c);
	c->s.xmm[u->reg[0]][0] = mmx_get(c, u->reg[1]);
	c->s.xmm[u->reg[0]][1] = 0;
	mmx_touch(c);
}

/* ---- non-temporal ---- */
void sse_movntq(struct cpu *c, const struct uop *u)
{
	mmx_enter(c);
	uint64_t v = mmx_get(c, u->reg[1]);
	vec_store(c, u, &v, 8, false);
	mmx_touch(c);
}

/* Bytes whose mask has its sign bit set go to DS:[RDI]. All of them are checked before one is
 * written. */
static void mask_store(struct cpu *c, const struct uop *u, const union vec *v, const union vec *m,
                       unsigned n)
{
	uint64_t off = c->s.r[R_RDI] << u->ash >> u->ash, any = 0;
	for (unsigned i = 0; i < n / 8; i++)
		any |= m->q[i] & 0x8080808080808080;
	if (!any)
		return;
	uint64_t lin = seg_linear(c, u, u->seg, off, n, true);
	uint8_t *p = mmu_fast(&c->mmu, lin, n, true);
	for (unsigned i = 0; i < n && !p; i++)
		if (m->b[i] & 0x80)
			cpu_probe(c, u, (lin + i) & c->lin_mask, 1, ACC_WRITE);
	for (unsigned i = 0; i < n; i++) {
		if (!(m->b[i] & 0x80))
			continue;
		if (p)
			p[i] = v->b[i];
		else
			cpu_store8(c, u, (lin + i) & c->lin_mask, v->b[i]);
	}
}

void sse_maskmovq(struct cpu *c, const struct uop *u)
{
	union vec v, m;
	mmx_enter(c);
	vec_get(c, u, 0, &v, 0, false);
	vec_get(c, u, 1, &m, 0, false);
	mask_store(c, u, &v, &m, 8);
	mmx_touch(c);
}

void sse_maskmovdqu(struct cpu *c, const struct uop *u)
{
	union vec v, m;
	sse_enter(c);
	xmm_get(c, u->reg[0], &v);
	xmm_get(c, u->reg[1], &m);
	mask_store(c, u, &v, &m, 16);
}
