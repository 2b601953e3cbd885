/* pane_bt.c - binary translation: the block that runs, guest and translated code side by side; from outside the cache, the block made last. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/symbols.h"
#include "sim/err.h"
#include "ui/session/disasm.h"
#include "ui/session/translations.h"
#include "ui/tui/tui.h"

struct drawing { struct pane_out *o; uint64_t here; };

static bool line(void *who, const struct translation_line *l)
{
	struct drawing *d = who;
	struct pane_out *o = d->o;
	const int half = o->w > 60 ? (o->w - 4) / 2 : 28;
	const bool here = l->at == d->here;
	put(o, here ? STYLE_CHANGED : STYLE_DIM, "%s", here ? "> " : "  ");
	if (l->begins) {
		struct link to = { .kind = LINK_ADDRESS, .address = l->rip };
		put_link(o, STYLE_NUMBER, &to, "%-8" PRIx64 " ", l->rip & 0xffffffff);
		put(o, STYLE_NORMAL, "%-*.*s", half - 9, half - 10, l->guest);
	} else {
		put(o, STYLE_DIM, "%*s", half, "");
	}
	put(o, here ? STYLE_CHANGED : l->note[0] ? STYLE_GOOD : STYLE_NORMAL, "%s", l->code);
	if (l->note[0])
		put(o, STYLE_DIM, "  %s", l->note);
	nl(o);
	return true;
}

/* The block with this place in it, or the last one. */
static bool find(const struct vcpu *v, uint64_t here, struct bt_seen *b)
{
	uint32_t n = bt_state(v)->blocks_n;
	bool any = false;
	for (uint32_t i = 0; i < n && bt_inside(v, here); i++)
		if (bt_see(v, i, b) && here - b->at < b->d.len)
			return true;
	if (n)
		any = bt_see(v, n - 1, b);
	return any;
}

void draw_bt(struct tui *t, struct pane_out *o)
{
	static struct bt_seen seen;
	const struct vcpu *v = NULL;
	const struct run *r = NULL;
	for (unsigned i = 0; i < t->run->vms && !v; i++) {
		r = t->run->vm[i];
		v = translations_of(r, 0);
		for (unsigned c = 1; v && v->cpu->number != t->cpu && translations_of(r, c); c++)
			v = translations_of(r, c);
	}
	if (!v) {
		put(o, STYLE_DIM, "no virtual machine under bt");
		nl(o);
		return;
	}
	struct drawing d = { o, block_linear(v->cpu) };
	char name[80];
	if (!find(v, d.here, &seen)) {
		put(o, STYLE_DIM, "nothing is translated yet");
		nl(o);
		return;
	}
	symbol_of(r->m->symbols, seen.d.pc, name, sizeof name);
	put(o, STYLE_NUMBER, "%#" PRIx64 " %s", seen.d.pc, name);
	put(o, STYLE_DIM, "  %u instructions, %u to %u bytes%s", seen.d.insns, seen.d.guest_len, seen.d.len, seen.d.live ? "" : ", dropped");
	for (unsigned i = 0; i < seen.d.exits && i < BT_EXITS_MAX; i++)
		put(o, STYLE_DIM, ", %" PRIx64 "%s", seen.d.exit[i], seen.d.to[i] ? " chained" : "");
	nl(o);
	translation_lines(&seen, v, r->m->symbols, line, &d);
}
