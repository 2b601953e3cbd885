/* pane_guide.c - the pages of a scenario's guide. The page up to now moves on by itself when its task is done; `)` and
 * `(` turn pages without that. */
#include <string.h>

#include "ui/session/guide.h"
#include "ui/tui/tui.h"

/* Text broken at blanks to the pane's width; an empty line begins a new one. */
static void wrapped(struct pane_out *o, enum style s, const char *text)
{
	int at = 0;
	while (*text) {
		size_t gap = strspn(text, " \n"), n = strcspn(text + gap, " \n");
		bool fresh = gap > 1 && memchr(text, '\n', gap) && memchr((const char *)memchr(text, '\n', gap) + 1, '\n', gap - 1);
		if (at && (fresh || at + 1 + (int)n > o->w)) {
			nl(o);
			at = 0;
		}
		put(o, s, "%s%.*s", at ? " " : "", (int)n, text + gap);
		at += (int)n + (at > 0);
		text += gap + n;
	}
	nl(o);
}

/* The page looked at. */
static size_t shown(const struct tui *t)
{
	const struct guide *g = &t->run->session->guide;
	int page = (int)g->at + t->view[PANE_GUIDE].choice, last = (int)g->n - 1;
	return (size_t)(page < 0 ? 0 : page > last ? last : page);
}

void draw_guide(struct tui *t, struct pane_out *o)
{
	struct guide *g = &t->run->session->guide;
	if (!g->n) {
		put(o, STYLE_DIM, "this scenario has no guide");
		return;
	}
	const size_t turned = shown(t), last = g->n - 1;
	o->view->choice = (int)turned - (int)g->at;
	const struct guide_page *p = &g->page[turned];
	put(o, STYLE_NUMBER, "%zu/%zu %s", turned + 1, g->n, p->title);
	if (turned < g->at)
		put(o, STYLE_GOOD, "  done");
	else if (turned < last)
		put(o, STYLE_DIM, p->task ? "" : "  ) next page");
	nl(o);
	wrapped(o, STYLE_NORMAL, p->text);
}

enum pane_id guide_pane(const struct tui *t)
{
	const struct guide *g = &t->run->session->guide;
	const char *name = g->n ? g->page[shown(t)].show : NULL;
	for (unsigned i = 0; name && i < PANE_N; i++)
		if (strcmp(pane_rows[i].name, name) == 0)
			return (enum pane_id)i;
	return PANE_REGS;
}

void guide_after_key(struct tui *t)
{
	if (t->run->session->guide.n && guide_look(&t->run->session->guide, shown(t))) {
		t->view[PANE_GUIDE].choice = 0;
		t->view[PANE_GUIDE].top = 0;
	}
}
