/* pane_memory.c - the panes about memory: bytes and the stack. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/sys.h"
#include "ui/session/view.h"
#include "ui/tui/tui.h"

void draw_memory(struct tui *t, struct pane_out *o);
void draw_stack(struct tui *t, struct pane_out *o);

/* A byte is remembered as shown; true: it was another one before the last step. */
static bool fresh(struct seen *now, const struct seen *before, uint64_t at, uint8_t b)
{
	if (at - now->at < SEEN_MAX) {
		now->byte[at - now->at] = b;
		if (at - now->at >= now->n)
			now->n = (unsigned)(at - now->at) + 1;
	}
	return at - before->at < before->n && before->byte[at - before->at] != b;
}

/* As many bytes a line as fit: 16 apart, 16 in pairs, 8. */
void draw_memory(struct tui *t, struct pane_out *o)
{
	const struct cpu *c = looked_at(t);
	uint64_t at = o->view->address == ~0ull ? c->s.r[R_RSP] & ~15ull : o->view->address;
	at += (uint64_t)(int64_t)o->view->choice * 16 * (uint64_t)(o->h > 1 ? o->h : 1);
	const int digits = (at + SEEN_MAX) >> 32 ? 16 : 8;
	const unsigned per = o->w >= digits + 1 + 40 + 16 ? 16 : 8;
	const bool apart = o->w >= digits + 1 + 3 * (int)per + (int)per;
	t->memory.now.at = at;
	t->memory.now.n = 0;
	for (unsigned line = 0; line < SEEN_MAX / per; line++, at += per) {
		struct link l = { .kind = LINK_ADDRESS, .address = at };
		uint8_t b[16];
		if (!pane_shows(o)) {
			nl(o);
			continue;
		}
		put_link(o, STYLE_DIM, &l, "%0*" PRIx64, digits, at);
		put(o, STYLE_NORMAL, " ");
		for (unsigned k = 0; k < per; k++) {
			bool ok = view_bytes(t->run, c, at + k, b + k, 1) == 1;
			if (ok)
				put(o, fresh(&t->memory.now, &t->memory.before, at + k, b[k]) ? STYLE_CHANGED : STYLE_NORMAL, "%02x", b[k]);
			else
				put(o, STYLE_DIM, "--");
			put(o, STYLE_NORMAL, apart || k % 2 ? " " : "");
			if (!ok)
				b[k] = ' ';
		}
		for (unsigned k = 0; k < per; k++)
			put(o, STYLE_DIM, "%c", b[k] >= ' ' && b[k] < 0x7f ? b[k] : '.');
		nl(o);
	}
}

void draw_stack(struct tui *t, struct pane_out *o)
{
	const struct cpu *c = looked_at(t);
	unsigned size = c->s.mode == MODE_LONG64 ? 8 : c->s.seg[SEG_SS].attr & SEG_DB ? 4 : 2;
	uint64_t at = (c->s.seg[SEG_SS].base + c->s.r[R_RSP]) & c->lin_mask;
	char name[120];
	t->stack.now.at = at;
	t->stack.now.n = 0;
	for (unsigned i = 0; i < SEEN_MAX / size; i++, at += size) {
		uint64_t v = 0;
		bool new = false;
		if (!pane_shows(o)) {
			nl(o);
			continue;
		}
		put(o, i ? STYLE_DIM : STYLE_HERE, "+%03x", i * size);
		if (view_bytes(t->run, c, at, &v, size) != size) {
			put(o, STYLE_BAD, " not mapped");
			nl(o);
			return;
		}
		for (unsigned k = 0; k < size; k++)
			new |= fresh(&t->stack.now, &t->stack.before, at + k, (uint8_t)(v >> 8 * k));
		struct link l = { .kind = LINK_ADDRESS, .address = v };
		put(o, STYLE_NORMAL, " ");
		put_link(o, new ? STYLE_CHANGED : STYLE_NORMAL, &l, "%0*" PRIx64, (int)size * 2, v);
		if (symbol_text(t, v, name, sizeof name)[0])
			put(o, STYLE_KERNEL, " %s", name);
		nl(o);
	}
}
