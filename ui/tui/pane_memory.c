/* pane_memory.c - the panes about memory: bytes and the stack. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/sys.h"
#include "ui/tui/tui.h"

void draw_memory(struct tui *t, struct pane_out *o);
void draw_stack(struct tui *t, struct pane_out *o);

void draw_memory(struct tui *t, struct pane_out *o)
{
	const struct cpu *c = looked_at(t);
	uint64_t at = o->view->address == ~0ull ? c->s.r[R_RSP] & ~15ull : o->view->address;
	at += (uint64_t)(int64_t)o->view->choice * 16 * (uint64_t)(o->h > 1 ? o->h : 1);
	unsigned per = o->w >= 68 ? 16 : 8;
	for (int i = 0; i < o->h; i++, at += per) {
		uint8_t b[16];
		put(o, STYLE_DIM, "%08" PRIx64 " ", at);
		for (unsigned k = 0; k < per; k++) {
			bool ok = mmu_peek_bytes(&c->mmu, at + k, b + k, 1);
			put(o, ok ? STYLE_NORMAL : STYLE_DIM, ok ? "%02x " : "-- ", b[k]);
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
	for (int i = 0; i < o->h; i++, at += size) {
		uint64_t v = 0;
		put(o, i ? STYLE_DIM : STYLE_HERE, "+%03x", (unsigned)(i * (int)size));
		if (!mmu_peek_bytes(&c->mmu, at, &v, size)) {
			put(o, STYLE_BAD, " not mapped");
			nl(o);
			return;
		}
		put(o, STYLE_NORMAL, " %0*" PRIx64, (int)size * 2, v);
		if (symbol_text(t, v, name, sizeof name)[0])
			put(o, STYLE_KERNEL, " %s", name);
		nl(o);
	}
}
