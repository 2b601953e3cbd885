/* pane.c - frames, scrolling, searching; what panes write with. */
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

static bool visible(const struct pane_out *o)
{
	return o->line >= o->view->top && o->line < o->view->top + o->h;
}

static void write_text(struct pane_out *o, enum style s, const char *text)
{
	struct canvas *k = &o->t->canvas;
	int y = o->y + o->line - o->view->top;
	if (!visible(o)) {
		o->col += (int)strlen(text);
		return;
	}
	int from = o->x + o->col;
	o->col = canvas_text(k, from, y, o->x + o->w, s, text) - o->x;
	const char *found = o->t->search[0] ? strstr(text, o->t->search) : NULL;
	if (found)
		canvas_text(k, from + (int)(found - text), y,
		            from + (int)(found - text) + (int)strlen(o->t->search) < o->x + o->w ?
		                from + (int)(found - text) + (int)strlen(o->t->search) : o->x + o->w, STYLE_FOUND, found);
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

void put_glyph(struct pane_out *o, enum style s, enum glyph g)
{
	if (visible(o) && o->col < o->w)
		canvas_put(&o->t->canvas, o->x + o->col, o->y + o->line - o->view->top, s, glyph(&o->t->canvas, g));
	o->col++;
}

void put_at(struct pane_out *o, int col)
{
	if (o->col < col)
		o->col = col;
}

void nl(struct pane_out *o)
{
	o->line++;
	o->col = 0;
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

void put_field(struct pane_out *o, const char *name, const char *label, bool bits)
{
	const struct field_group *g;
	const struct field_row *r;
	char text[400];
	if (!fields_find(&o->t->m->fields, name, &g, &r))
		return;
	uint64_t v = field_read(g, r);
	enum style s = changed(o->t, g, r, v) ? STYLE_CHANGED : STYLE_NORMAL;
	if (bits && r->bits)
		field_format(r, v, text, sizeof text);
	else if (r->decimal)
		snprintf(text, sizeof text, "%" PRIu64, v);
	else
		snprintf(text, sizeof text, "%0*" PRIx64, r->size * 2, v);
	put(o, STYLE_DIM, "%s ", label);
	put(o, s, "%s", text);
}

void pane_draw(struct tui *t, const struct place *p)
{
	struct pane_view *v = &t->view[p->pane];
	bool focus = p->pane == t->focus;
	char title[64];
	struct pane_out o = { t, v, p->x + 1, p->y + 1, p->w - 2, p->h - 2, 0, 0 };
	snprintf(title, sizeof title, " %s ", pane_rows[p->pane].name);
	canvas_box(&t->canvas, p->x, p->y, p->w, p->h, focus ? STYLE_FOCUS : STYLE_TITLE, title);
	int wanted = v->wanted;
	v->wanted = -1;
	pane_rows[p->pane].draw(t, &o);
	v->lines = o.line + (o.col > 0);
	/* Keep the wanted line in view; a pane that asked for another one is drawn again. */
	int top = v->top;
	if (v->wanted >= 0 && v->wanted != wanted && (v->wanted < top || v->wanted >= top + o.h))
		top = v->wanted - o.h / 3;
	if (top > v->lines - o.h)
		top = v->lines - o.h;
	if (top < 0)
		top = 0;
	if (top != v->top) {
		v->top = top;
		for (int y = 0; y < o.h; y++)
			for (int x = 0; x < o.w; x++)
				canvas_put(&t->canvas, o.x + x, o.y + y, STYLE_NORMAL, ' ');
		o.line = o.col = 0;
		pane_rows[p->pane].draw(t, &o);
	}
	if (v->top > 0)
		canvas_put(&t->canvas, p->x + p->w - 1, p->y + 1, STYLE_DIM, glyph(&t->canvas, GLYPH_LESS));
	if (v->top + o.h < v->lines)
		canvas_put(&t->canvas, p->x + p->w - 1, p->y + p->h - 2, STYLE_DIM, glyph(&t->canvas, GLYPH_MORE));
}
