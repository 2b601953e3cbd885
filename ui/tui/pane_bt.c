/* pane_bt.c - binary translation: the block that runs, guest and translated code side by side; from outside the cache, the block made last. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/symbols.h"
#include "ui/export/ledger_text.h"
#include "ui/session/disasm.h"
#include "ui/session/translations.h"
#include "ui/tui/tui.h"

#define ADDRESS 9       /* columns: of the guest's, */
#define OFFSET  5       /* of what is translated */

struct drawing {
	struct pane_out *o;
	uint64_t here, at, guest_here;  /* where the CPU is, the block's code, the guest's instruction that is under way */
	int guest_w, code_w;            /* columns */
};

/* First of all, how wide is it? And which instruction of the guest's is under way? */
static bool measure(void *who, const struct translation_line *l)
{
	struct drawing *d = who;
	const int guest = (int)strlen(l->guest), code = (int)strlen(l->code);
	if (l->begins && guest > d->guest_w)
		d->guest_w = guest;
	if (code > d->code_w)
		d->code_w = code;
	if (l->at == d->here)
		d->guest_here = l->rip;
	return true;
}

static bool line(void *who, const struct translation_line *l)
{
	struct drawing *d = who;
	struct pane_out *o = d->o;
	const bool at = l->at == d->here, of_it = l->rip == d->guest_here;
	if (at)
		here(o);
	if (l->begins && of_it)
		put_glyph(o, STYLE_HERE, GLYPH_HERE);
	put_at(o, 1);
	if (l->begins) {
		struct link to = { .kind = LINK_ADDRESS, .address = l->rip };
		put_link(o, STYLE_DIM, &to, "%08" PRIx64 " ", l->rip & 0xffffffff);
		put(o, of_it ? STYLE_HERE : STYLE_NORMAL, "%.*s", d->guest_w, l->guest);
	}
	put_at(o, 1 + ADDRESS + d->guest_w + 1);
	if (at)
		put_glyph(o, STYLE_HERE, GLYPH_HERE);
	put_at(o, 1 + ADDRESS + d->guest_w + 2);
	put(o, STYLE_DIM, "+%-*" PRIx64, OFFSET - 1, l->at - d->at);
	put(o, at ? STYLE_HERE : l->note[0] ? STYLE_GOOD : STYLE_NORMAL, "%s", l->code);
	if (l->note[0])
		put(o, STYLE_DIM, "  %s", l->note);
	nl(o);
	return true;
}

static void head(struct pane_out *o, const struct vcpu *v, const struct bt_seen *b, const struct run *r, bool runs)
{
	const uint64_t *stat = v->vm->stat;
	char name[80], used[40], all[40];
	uint64_t callouts = 0;
	symbol_of(r->m->symbols, b->d.pc, name, sizeof name);
	put(o, STYLE_DIM, runs ? "runs: " : "made last: ");
	put(o, STYLE_KERNEL, "%s", name);
	put(o, STYLE_NUMBER, name[0] ? " %" PRIx64 : "%" PRIx64, b->d.pc);
	put(o, STYLE_DIM, ", %u instruction%s, %u bytes became %u%s", b->d.insns, b->d.insns == 1 ? "" : "s", b->d.guest_len, b->d.len,
	    b->d.live ? "" : "; dropped");
	nl(o);
	for (unsigned i = VMM_STAT_BT_CALLOUTS_CHAIN; i <= VMM_STAT_BT_CALLOUTS_SIMULATE; i++)
		callouts += stat[i];
	put(o, STYLE_DIM, "%u block%s, %u of %u KB; %s of %s branches chained", bt_state(v)->blocks_n, bt_state(v)->blocks_n == 1 ? "" : "s", (bt_state(v)->code + 1023) / 1024,
	    bt_state(v)->code_max / 1024, digits(stat[VMM_STAT_BT_CHAINED], used, sizeof used), digits(stat[VMM_STAT_BT_EXITS], all, sizeof all));
	put(o, STYLE_DIM, "; %s callouts", digits(callouts, used, sizeof used));
	nl(o);
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
		put(o, STYLE_DIM, "no virtual machine under binary translation here: --cpu bt --mmu shadow makes one");
		nl(o);
		return;
	}
	struct drawing d = { .o = o, .here = block_linear(v->cpu), .guest_here = ~0ull };
	const uint32_t n = bt_state(v)->blocks_n;
	const bool runs = translation_runs(t->m, v->cpu) == v && translation_at(v, d.here, &seen);
	if (!runs && !(n && bt_see(v, n - 1, &seen))) {
		put(o, STYLE_DIM, "nothing is translated yet");
		nl(o);
		return;
	}
	head(o, v, &seen, r, runs);
	d.at = seen.at;
	translation_lines(&seen, v, r->m->symbols, measure, &d);
	const int both = o->w - 1 - ADDRESS - 2 - OFFSET;       /* for the two texts; notes may go over the edge */
	if (d.guest_w + d.code_w > both)
		d.guest_w = d.guest_w < both / 2 ? d.guest_w : both - d.code_w > both / 2 ? both - d.code_w : both / 2;
	put(o, STYLE_TITLE, " guest");
	put_at(o, 1 + ADDRESS + d.guest_w + 2);
	put(o, STYLE_TITLE, "translation, at %" PRIx64, seen.at);
	nl(o);
	translation_lines(&seen, v, r->m->symbols, line, &d);
}
