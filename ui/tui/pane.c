/* pane.c - frames, scrolling, the cursor, searching; what panes write with. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/tui/tui.h"

#define PANE(NAME, name, draw, sentence) void draw(struct tui *t, struct pane_out *o);
#include "ui/tui/pane.def"
const struct pane_row pane_rows[PANE_N] = {
#define PANE(NAME, name, draw, sentence) { name, sentence, draw },
#include "ui/tui/pane.def"
};

static bool focused(const struct pane_out *o)
{
	return o->view == &o->t->view[o->t->focus];
}

bool pane_shows(const struct pane_out *o)
{
	return o->line >= o->view->top && o->line < o->view->top + o->h;
}

static void write_text(struct pane_out *o, enum style s, const char *text)
{
	struct canvas *k = &o->t->canvas;
	size_t n = strlen(text);
	if (o->t->search[0] && o->n + n < sizeof o->text) {
		memcpy(o->text + o->n, text, n + 1);
		o->n += n;
	}
	if (!pane_shows(o)) {
		o->col += (int)n;
		return;
	}
	o->col = canvas_text(k, o->x + o->col, o->y + o->line - o->view->top, o->x + o->w, s, text) - o->x;
}

void put(struct pane_out *o, enum style s, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	write_text(o, s, text);
}

static void link_text(struct pane_out *o, enum style s, const struct link *l, const char *text)
{
	if (focused(o) && o->line == o->view->cursor && o->item == o->view->item) {
		o->t->chosen = *l;
		s = STYLE_HERE;
	}
	o->item++;
	write_text(o, s, text);
}

void put_link(struct pane_out *o, enum style s, const struct link *l, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	link_text(o, s, l, text);
}

void put_named(struct pane_out *o, enum style s, const char *name, const char *fmt, ...)
{
	struct link l = { .kind = LINK_EXPLAIN };
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	snprintf(l.name, sizeof l.name, "%s", name);
	link_text(o, s, &l, text);
}

void put_glyph(struct pane_out *o, enum style s, enum glyph g)
{
	if (pane_shows(o) && o->col < o->w)
		canvas_put(&o->t->canvas, o->x + o->col, o->y + o->line - o->view->top, s, glyph(&o->t->canvas, g));
	o->col++;
}

enum style acct_style(unsigned acct)
{
	switch (acct) {
	case ACCT_VMM:      return STYLE_VMM;
	case ACCT_HARDWARE: return STYLE_HARDWARE;
	case ACCT_IDLE:     return STYLE_DIM;
	default:            return (acct - ACCT_GUEST) % 2 ? STYLE_USER : STYLE_KERNEL;
	}
}

void put_bar(struct pane_out *o, enum style s, uint64_t v, uint64_t whole, int w)
{
	if (w <= 0)
		w = o->w - o->col;
	for (int i = 0; whole && i < w && (unsigned __int128)i * whole < (unsigned __int128)v * (unsigned)w; i++)
		put_glyph(o, s, GLYPH_BAR);
}

void put_at(struct pane_out *o, int col)
{
	if (o->col < col)
		o->col = col;
}

/* The line is complete: is it what a search looks for, and how many links has the cursor's? */
void nl(struct pane_out *o)
{
	struct tui *t = o->t;
	if (focused(o) && o->line == o->view->cursor)
		o->view->items = o->item;
	if (t->search[0] && focused(o) && t->seek.to && strstr(o->text, t->search) &&
	    (t->seek.to > 0 ? o->line > t->seek.from && t->seek.best < 0 : o->line < t->seek.from))
		t->seek.best = o->line;
	o->line++;
	o->col = o->item = 0;
	o->n = 0;
	o->text[0] = '\0';
}

void here(struct pane_out *o)
{
	o->view->wanted = o->line;
}

/* What a field was before the last step, by its number among all fields. */
static bool changed(const struct tui *t, const struct field_group *g, const struct field_row *r, uint64_t v)
{
	size_t at = 0;
	for (const struct field_group *k = t->m->fields.groups; k < g; k++)
		at += k->n;
	at += (size_t)(r - g->rows);
	return at < t->before.n && t->before.value[at] != v;
}

bool field_changed(const struct tui *t, const char *name)
{
	const struct field_group *g;
	const struct field_row *r;
	return fields_find(&t->m->fields, name, &g, &r) && changed(t, g, r, field_read(g, r));
}

void put_field(struct pane_out *o, const char *name, const char *label, bool bits)
{
	const struct field_group *g;
	const struct field_row *r;
	struct link l = { .kind = LINK_FIELD };
	char text[400];
	if (!fields_find(&o->t->m->fields, name, &g, &r))
		return;
	uint64_t v = field_read(g, r);
	bool new = changed(o->t, g, r, v);
	if (bits && r->bits)
		field_format(r, v, text, sizeof text);
	else if (r->decimal)
		snprintf(text, sizeof text, "%" PRIu64, v);
	else
		snprintf(text, sizeof text, "%0*" PRIx64, r->size * 2, v);
	snprintf(l.name, sizeof l.name, "%s", name);
	put(o, STYLE_DIM, "%s ", label);
	/* names of bits go on below when they are more than fit */
	size_t n = strlen(text);
	for (char *p = text; *p;) {
		int room = o->w - o->col;
		if (n - (size_t)(p - text) > (size_t)(room > 0 ? room : 0) && room > 0) {
			int cut = room;
			while (cut > 0 && p[cut] != ' ')
				cut--;
			if (cut > 0)
				p[cut] = '\0';
		}
		if (p == text)
			put_link(o, new ? STYLE_CHANGED : STYLE_NORMAL, &l, "%s", p);
		else
			put(o, new ? STYLE_CHANGED : STYLE_NORMAL, "%s", p);
		p += strlen(p);
		if (p < text + n) {
			nl(o);
			put_at(o, 4);
			p++;
		}
	}
}

/* ---- one pane ---- */

static void mark_found(struct pane_out *o)
{
	struct canvas *k = &o->t->canvas;
	int n = (int)strlen(o->t->search);
	for (int y = o->y; n && y < o->y + o->h; y++)
		for (int x = o->x; x + n <= o->x + o->w; x++) {
			int i = 0;
			while (i < n && y < k->h && x + i < k->w && k->cell[y * k->w + x + i].ch == (uint8_t)o->t->search[i])
				i++;
			for (int j = 0; i == n && j < n; j++)
				k->cell[y * k->w + x + j].style = STYLE_FOUND;
		}
}

static void draw_once(struct tui *t, enum pane_id pane, struct pane_out *o)
{
	for (int y = 0; y < o->h; y++)
		for (int x = 0; x < o->w; x++)
			canvas_put(&t->canvas, o->x + x, o->y + y, STYLE_NORMAL, ' ');
	o->line = o->col = o->item = 0;
	o->n = 0;
	o->text[0] = '\0';
	o->view->items = 0;
	if (focused(o)) {
		t->chosen.kind = LINK_NONE;
		t->seek.best = -1;
	}
	pane_rows[pane].draw(t, o);
	if (o->col > 0 || o->item > 0)
		nl(o);
	o->view->lines = o->line;
}

/* Where the pane begins, when it is to show the cursor, or else the line it asked for itself. */
static int settle(struct pane_view *v, int h, int wanted_before)
{
	int top = v->top;
	if (v->cursor >= v->lines)
		v->cursor = v->lines - 1;
	if (v->cursor >= 0)
		top = v->cursor < top ? v->cursor : v->cursor >= top + h ? v->cursor - h + 1 : top;
	else if (v->wanted >= 0 && v->wanted != wanted_before && (v->wanted < top || v->wanted >= top + h))
		top = v->wanted - h / 3;
	if (top > v->lines - h)
		top = v->lines - h;
	return top < 0 ? 0 : top;
}

void pane_draw(struct tui *t, const struct place *p)
{
	struct pane_view *v = &t->view[p->pane];
	const bool focus = p->pane == t->focus;
	char title[64];
	struct pane_out o = { .t = t, .view = v, .x = p->x + 1, .y = p->y + 1, .w = p->w - 2, .h = p->h - 2 };
	snprintf(title, sizeof title, " %s ", pane_rows[p->pane].name);
	canvas_box(&t->canvas, p->x, p->y, p->w, p->h, focus ? STYLE_FOCUS : STYLE_TITLE, title);
	int wanted = v->wanted;
	v->wanted = -1;
	draw_once(t, p->pane, &o);
	if (focus && t->seek.to) {
		if (t->seek.best >= 0) {
			v->cursor = t->seek.best;
			v->item = 0;
		} else
			tui_say(t, true, "'%s' is not %s in this pane", t->search, t->seek.to > 0 ? "further down" : "further up");
		t->seek.to = 0;
	}
	/* Keep the cursor, or what the pane asked for, in view: then it is drawn again. */
	int top = settle(v, o.h, wanted), item = v->item;
	if (v->item >= v->items && v->items)
		v->item = v->items - 1;
	if (top != v->top || item != v->item || (focus && v->cursor >= 0)) {
		v->top = top;
		draw_once(t, p->pane, &o);
	}
	if (t->search[0])
		mark_found(&o);
	if (focus && v->cursor >= v->top && v->cursor < v->top + o.h)
		canvas_put(&t->canvas, p->x, o.y + v->cursor - v->top, STYLE_FOCUS, glyph(&t->canvas, GLYPH_HERE));
	if (v->top > 0)
		canvas_put(&t->canvas, p->x + p->w - 1, p->y + 1, STYLE_DIM, glyph(&t->canvas, GLYPH_LESS));
	if (v->top + o.h < v->lines)
		canvas_put(&t->canvas, p->x + p->w - 1, p->y + p->h - 2, STYLE_DIM, glyph(&t->canvas, GLYPH_MORE));
}
