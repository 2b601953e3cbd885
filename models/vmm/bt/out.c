/* out.c - see out.h: bytes, points, callouts, exits.
 * Timing: none here; what the translator costs is charged by cache.c, what its output costs the simulated CPU finds out. */
#include "models/vmm/bt/out.h"

#include <string.h>

/* ---- bytes ---- */

void out_byte(struct out *o, uint8_t x)
{
	if (o->b->len < BT_CODE_MAX)
		o->b->code[o->b->len++] = x;
	else
		o->b->full = true;
}

void out_bytes(struct out *o, const void *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		out_byte(o, ((const uint8_t *)p)[i]);
}

void out_imm32(struct out *o, uint64_t x) { uint32_t v = (uint32_t)x; out_bytes(o, &v, 4); }

/* ---- points ---- */

struct bt_point *out_point(struct out *o, enum bt_rip rip, unsigned held, int rsp)
{
	if (o->b->points == BT_POINTS_MAX) {
		o->b->full = true;
		return &o->nowhere;
	}
	struct bt_point *p = &o->b->point[o->b->points++];
	*p = (struct bt_point){ .at = o->b->len, .guest = o->guest, .reload = (uint8_t)held,
	                        .rip_rsp = (uint8_t)(rip | (unsigned)rsp << 4), .how = o->how };
	o->how = 0;
	return p;
}

void out_after(struct out *o, unsigned held, int rsp)
{
	struct bt_point *p = out_point(o, BT_AT, held, rsp);
	p->guest = (uint16_t)(o->next - o->b->pc);
	p->how |= BT_AFTER;
}

/* ---- the shared page and the head ---- */

void out_near(struct out *o, unsigned reg, uint64_t lin, unsigned tail)
{
	out_byte(o, (uint8_t)((reg & 7) << 3 | 5));
	out_imm32(o, out_wide(o) ? lin - (o->at + o->b->len + 4 + tail) : lin);
}

void out_shared(struct out *o, unsigned size, unsigned opcode, unsigned reg, size_t member, unsigned tail)
{
	if (!out_wide(o))
		out_byte(o, 0x65);
	if (size == 2)
		out_byte(o, 0x66);
	if (out_wide(o) && (size == 8 || reg >= 8))
		out_byte(o, (uint8_t)(0x40 | (size == 8 ? 8 : 0) | (reg >= 8 ? 4 : 0)));
	if (opcode > 0xff)
		out_byte(o, (uint8_t)(opcode >> 8));
	out_byte(o, (uint8_t)opcode);
	out_near(o, reg, o->env->shared + member, tail);
}

/* ---- within a block ---- */

unsigned out_jrcxz(struct out *o)
{
	OUT(o, 0xe3, 0);
	return o->b->len;
}

void out_land(struct out *o, unsigned jump)
{
	if (!o->b->full)
		o->b->code[jump - 1] = (uint8_t)(o->b->len - jump);
}

/* ---- leaving it ---- */

void out_callout(struct out *o, enum bt_callout what, enum bt_rip rip, bool done)
{
	struct bt_point *p = out_point(o, rip, 0, 0);
	p->callout = what;
	if (done) {
		p->guest = (uint16_t)(o->next - o->b->pc);
		p->how |= BT_AFTER;
	}
	OUT(o, 0x0f, 0x0b);
}

void out_last_callout(struct out *o, enum bt_callout what)
{
	out_callout(o, what, BT_AT, false);
	o->ended = true;
}

void out_jump(struct out *o, uint64_t target)
{
	unsigned i = o->b->exits;
	if (i == BT_EXITS_MAX) {
		o->b->full = true;
		return;
	}
	out_byte(o, 0xe9);
	o->b->exit[o->b->exits++] = (struct bt_exit){ .target = target & out_mask(o), .site = o->b->len };
	out_imm32(o, 0);
}

void out_leave(struct out *o, uint64_t target)
{
	out_point(o, o->b->exits ? BT_EXIT1 : BT_EXIT0, 0, 0);
	out_jump(o, target);
}

void out_stubs(struct out *o)
{
	for (unsigned i = 0; i < o->b->exits; i++) {
		struct bt_exit *x = &o->b->exit[i];
		x->stub = o->b->len;
		int32_t d = x->stub - (x->site + 4);
		memcpy(o->b->code + x->site, &d, 4);
		out_callout(o, BT_CALLOUT_CHAIN, i ? BT_EXIT1 : BT_EXIT0, false);
	}
}

void out_lookup(struct out *o)
{
	out_point(o, BT_IN_CX, CX, 0);
	out_byte(o, 0xe9);
	out_imm32(o, o->env->head + BT_HEAD_CODE - (o->at + o->b->len + 4));
	o->ended = true;
}
