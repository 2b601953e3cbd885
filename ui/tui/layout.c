/* layout.c - from a layout's spec to rectangles. */
#include <stdlib.h>
#include <string.h>

#include "ui/tui/tui.h"

const struct layout_row layout_rows[] = {
#define LAYOUT(name, w, h, spec, sentence) { name, spec, sentence, w, h },
#include "ui/tui/layout.def"
};
const unsigned layout_rows_n = ARRAY_LEN(layout_rows);
#define BY_SIZE 3               /* the first three are chosen by size */

unsigned layout_for(int w, int h)
{
	unsigned best = 0;
	for (unsigned i = 0; i < BY_SIZE; i++)
		if (w >= layout_rows[i].w && h >= layout_rows[i].h)
			best = i;
	return best;
}

unsigned layout_guide(int w, int h)
{
	unsigned best = 0;
	for (unsigned i = 0; i < layout_rows_n; i++)
		if (strncmp(layout_rows[i].name, "guide", 5) == 0 && (!best || (w >= layout_rows[i].w && h >= layout_rows[i].h)))
			best = i;
	return best;
}

static enum pane_id pane_named(const char *s, size_t n)
{
	for (unsigned i = 0; i < PANE_N; i++)
		if (strlen(pane_rows[i].name) == n && memcmp(pane_rows[i].name, s, n) == 0)
			return (enum pane_id)i;
	return PANE_CODE;
}

/* One row of panes: "code 54, regs 46". */
static void row(struct tui *t, const char *s, const char *end, int y, int h)
{
	int x = 0, share = 0;
	while (s < end) {
		s += strspn(s, " ,");
		size_t n = strcspn(s, " ");
		enum pane_id id = n == 5 && memcmp(s, "shown", 5) == 0 ? guide_pane(t) : pane_named(s, n);
		char *rest;
		share += (int)strtol(s + n, &rest, 10);
		s = rest + strspn(rest, " ,");
		int right = s >= end ? t->canvas.w : t->canvas.w * share / 100;
		if (t->places < PLACES_MAX && right - x >= 4)
			t->place[t->places++] = (struct place){ id, x, y, right - x, h };
		x = right;
	}
}

void layout_apply(struct tui *t)
{
	int top = BANNER_ROWS, height = t->canvas.h - BANNER_ROWS - 1, y = top, share = 0;
	t->places = 0;
	if (height < 3)
		return;
	if (t->zoomed) {
		t->place[t->places++] = (struct place){ t->focus, 0, top, t->canvas.w, height };
		return;
	}
	for (const char *s = layout_rows[t->layout].spec; *s;) {
		const char *end = s + strcspn(s, "/");
		char *rest;
		share += (int)strtol(s, &rest, 10);
		int bottom = *end ? top + height * share / 100 : top + height;
		if (bottom - y >= 3)
			row(t, rest + 1, end, y, bottom - y);
		y = bottom;
		s = *end ? end + 1 : end;
	}
	for (unsigned i = 0; i < t->places; i++)
		if (t->place[i].pane == t->focus)
			return;
	t->focus = t->places ? t->place[0].pane : PANE_CODE;
}
