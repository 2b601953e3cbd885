/* forms.c - see forms.h. */
#include "ui/classify/forms.h"

#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/decode.h"
#include "models/cpu/sensitivity.h"

/* Encodings are of different kinds when their operands are: register or memory, in which place, of what size. */
static uint8_t kind_of(const struct uop *u)
{
	return (uint8_t)(u->kind[0] * 31 + u->kind[1] * 7 + (u->kind[0] >= OPK_SEG && u->kind[0] <= OPK_DR ? u->reg[0] * 3 : 0) + u->osz * 37);
}

static void take(struct forms *all, const struct uop *u, const uint8_t *bytes, unsigned n)
{
	enum insn_form shape = uop_form(u);
	struct form *f = NULL;
	for (size_t i = 0; i < all->n && !f; i++)
		if (all->f[i].insn == u->row && all->f[i].shape == shape)
			f = &all->f[i];
	if (!f) {
		all->f = xrealloc(all->f, (all->n + 1) * sizeof *all->f);
		f = &all->f[all->n++];
		memset(f, 0, sizeof *f);
		f->insn = (enum insn)u->row;
		f->shape = shape;
	}
	uint8_t kind = kind_of(u);
	for (unsigned i = 0; i < f->n; i++)
		if (f->at[i].kind == kind)
			return;
	if (f->n == ENCODINGS_MAX)
		return;
	memcpy(f->at[f->n].bytes, bytes, n);
	f->at[f->n].length = (uint8_t)n;
	f->at[f->n++].kind = kind;
}

static bool known(const struct cpu *c, const uint8_t *head, unsigned n, uint8_t next, struct uop *u)
{
	uint8_t bytes[INSN_BYTES_MAX + 1] = { 0 };
	memcpy(bytes, head, n);
	bytes[n] = next;
	return decode(c->decoder, c->profile, block_key(c), bytes, sizeof bytes, u) && u->row != INSN_INVALID && u->len >= n;
}

/* An opcode without a ModRM byte: what follows is an immediate at most. */
static void bare(const struct cpu *c, struct forms *all, const uint8_t *head, unsigned n)
{
	static const uint8_t next[] = { 0x05, 0xc1, 0xff };
	struct uop u, v;
	if (!known(c, head, n, 0, &u))
		return;
	for (size_t i = 0; i < ARRAY_LEN(next); i++)
		if (!known(c, head, n, next[i], &v) || v.row != u.row || v.len != u.len || memcmp(u.kind, v.kind, sizeof u.kind) != 0 ||
		    memcmp(u.reg, v.reg, sizeof u.reg) != 0 || u.base != v.base)
			return;
	take(all, &u, head, n);
}

static void with_modrm(const struct cpu *c, struct forms *all, const uint8_t *head, unsigned n)
{
	struct uop u;
	if (known(c, head, n, 0, &u))
		take(all, &u, head, n);
}

static bool is_prefix(const struct cpu *c, unsigned op)
{
	static const uint8_t prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x0f };
	return memchr(prefixes, (int)op, sizeof prefixes) || (c->s.mode == MODE_LONG64 && (op & 0xf0) == 0x40);
}

/* ModRM: a register (1: CX) or memory at [BX], and every value where it is part of the opcode. */
static void modrms(const struct cpu *c, struct forms *all, uint8_t *head, unsigned n, bool every)
{
	for (unsigned m = 0; m < 256; m++) {
		unsigned mod = m >> 6, rm = m & 7;
		if (!every && !(mod == 3 && rm == 1) && !(mod == 0 && rm == 3))
			continue;
		if (every && mod != 3 && !(mod == 0 && rm == 3))
			continue;
		head[n] = (uint8_t)m;
		with_modrm(c, all, head, n + 1);
	}
}

void forms_find(const struct cpu *c, struct forms *all)
{
	static const struct { uint8_t bytes[2]; unsigned n; } maps[] = { { { 0 }, 0 }, { { 0x0f }, 1 }, { { 0x0f, 0x38 }, 2 }, { { 0x0f, 0x3a }, 2 } };
	static const uint8_t prefixes[] = { 0, 0x66, 0xf2, 0xf3, 0x48 };
	memset(all, 0, sizeof *all);
	for (size_t p = 0; p < ARRAY_LEN(prefixes); p++) {
		if (prefixes[p] == 0x48 && c->s.mode != MODE_LONG64)
			continue;
		for (size_t m = 0; m < ARRAY_LEN(maps); m++)
			for (unsigned op = 0; op < 256; op++) {
				uint8_t head[6];
				unsigned n = 0;
				if (m == 0 && is_prefix(c, op))
					continue;
				if (prefixes[p])
					head[n++] = prefixes[p];
				memcpy(head + n, maps[m].bytes, maps[m].n);
				n += maps[m].n;
				head[n++] = (uint8_t)op;
				bare(c, all, head, n);
				modrms(c, all, head, n, m == 1 && (op == 0x00 || op == 0x01 || op == 0xae || op == 0xc7));
			}
	}
}
