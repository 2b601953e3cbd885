/* sse_string.c - SSE4.2: string comparisons.
 *
 * PCMPxSTRx immediate: 1:0 unsigned bytes, unsigned words, signed bytes, signed words
 *   3:2 equal any, ranges, equal each, equal ordered
 *   5:4 polarity: 01 negative, 11 masked negative | 6 output selection
 * Source: SDM Vol. 1, "SSE4.2 text/string processing"; Vol. 2B, "Imm8 Control Byte Operation". */
#include "models/cpu/flags.h"
#include "models/cpu/sse.h"

struct strings {
	union vec a, b;
	unsigned n;             /* lanes: 16 or 8 */
	unsigned len_a, len_b;
};

static int element(const union vec *v, unsigned i, unsigned type)
{
	switch (type) {
	case 0: return v->b[i];
	case 1: return v->w[i];
	case 2: return v->sb[i];
	default: return v->sw[i];
	}
}

static unsigned explicit_length(const struct cpu *c, const struct uop *u, unsigned reg,
                                unsigned max)
{
	/* REX.W makes the lengths 64-bit */
	int64_t v = u->osz == 8 ? (int64_t)c->s.r[reg] : (int32_t)c->s.r[reg];
	uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;
	return m < max ? (unsigned)m : max;
}

static unsigned implicit_length(const union vec *v, unsigned n, unsigned type)
{
	unsigned i = 0;
	while (i < n && element(v, i, type))
		i++;
	return i;
}

/* The aggregation, before polarity. */
static unsigned aggregate(const struct strings *s, unsigned imm)
{
	unsigned type = imm & 3, res = 0;
	for (unsigned j = 0; j < s->n; j++) {
		bool r = false, in_a = j < s->len_a, in_b = j < s->len_b;
		int b = element(&s->b, j, type);
		switch (imm >> 2 & 3) {
		case 0:
			for (unsigned i = 0; i < s->len_a && in_b; i++)
				r |= element(&s->a, i, type) == b;
			break;
		case 1:
			for (unsigned i = 0; i + 1 < s->len_a && in_b; i += 2)
				r |= element(&s->a, i, type) <= b &&
				     b <= element(&s->a, i + 1, type);
			break;
		case 2:
			r = in_a && in_b ? element(&s->a, j, type) == b : !in_a && !in_b;
			break;
		default:
			r = true;
			for (unsigned i = 0; i < s->len_a && j + i < s->n; i++)
				r &= j + i < s->len_b &&
				     element(&s->a, i, type) == element(&s->b, j + i, type);
		}
		res |= (unsigned)r << j;
	}
	return res;
}

static void compare(struct cpu *c, const struct uop *u, bool lengths, bool mask)
{
	struct strings s;
	unsigned imm = u->imm & 0x7f;
	sse_enter(c);
	vec_get(c, u, 1, &s.b, 16, false);
	xmm_get(c, u->reg[0], &s.a);
	s.n = imm & 1 ? 8 : 16;
	s.len_a = lengths ? explicit_length(c, u, R_RAX, s.n) : implicit_length(&s.a, s.n, imm & 3);
	s.len_b = lengths ? explicit_length(c, u, R_RDX, s.n) : implicit_length(&s.b, s.n, imm & 3);
	unsigned res = aggregate(&s, imm);
	if (imm >> 4 & 1)
		res ^= imm >> 5 & 1 ? (unsigned)MASK(s.len_b) : (unsigned)MASK(s.n);
	if (mask) {
		union vec r = { .q = { 0, 0 } };
		if (!(imm >> 6 & 1))
			r.d[0] = res;
		else
			for (unsigned i = 0; i < 16; i++)
				r.b[i] = res >> (s.n == 8 ? i / 2 : i) & 1 ? 0xff : 0;
		xmm_set(c, 0, &r);
	} else {
		bool last = imm >> 6 & 1;
		c->s.r[R_RCX] = !res ? s.n : (unsigned)(last ? 31 - __builtin_clz(res) :
		                                        __builtin_ctz(res));
	}
	flags_set_status(c, (res ? RFLAGS_CF : 0) | (s.len_b < s.n ? RFLAGS_ZF : 0) |
	                    (s.len_a < s.n ? RFLAGS_SF : 0) | (res & 1 ? RFLAGS_OF : 0));
}
void sse_pcmpestri(struct cpu *c, const struct uop *u) { compare(c, u, true, false); }
void sse_pcmpestrm(struct cpu *c, const struct uop *u) { compare(c, u, true, true); }
void sse_pcmpistri(struct cpu *c, const struct uop *u) { compare(c, u, false, false); }
void sse_pcmpistrm(struct cpu *c, const struct uop *u) { compare(c, u, false, true); }
