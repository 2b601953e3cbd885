/* layout.c - from a layout's spec to rectangles. */
#include <stdlib.h>
#include <string.h>

#include "ui/tui/tui.h"

const struct layout_row layout_rows[] = {
#define LAYOUT(name, w, h, spec, sentence) { name, spec, sentence, w, h },
#include "ui/tui/layout.def"
};
const unsigned layout_rows_n = ARRAY_LEN(layout_rows);
#define BY_SIZE 4               /* the first four are chosen by size */

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

const char *layout_spec(const struct tui *t)
{
	return t->spec[0] ? t->spec : layout_rows[t->layout].spec;
}

static int share_of(const char *s, char **rest)
{
	long v = strtol(s, rest, 10);
	return v < 0 ? 0 : v > 100 ? 100 : (int)v;
}

int spec_check(const char *spec, struct err *e)
{
	unsigned panes = 0;
	if (strlen(spec) >= SPEC_MAX)
		return err_set(e, NULL, NULL, "an arrangement has at most %d characters", SPEC_MAX - 1);
	for (const char *s = spec; *s;) {
		char *rest;
		if (share_of(s, &rest) <= 0 || *rest != ':')
			return err_set(e, NULL, NULL, "'%.20s': expected a share of the height and ':', as in 60: code 50, regs 50 / 40: console 100", s);
		for (s = rest + 1; *s && *s != '/';) {
			s += strspn(s, " ,");
			size_t n = strcspn(s, " ,/"), k = 0;
			for (k = 0; k < PANE_N; k++)
				if (strlen(pane_rows[k].name) == n && memcmp(pane_rows[k].name, s, n) == 0)
					break;
			if (k == PANE_N && !(n == 5 && memcmp(s, "shown", 5) == 0))
				return err_set(e, NULL, NULL, "no pane '%.*s'", (int)n, s);
			if (share_of(s + n, &rest) <= 0 || ++panes > PLACES_MAX)
				return err_set(e, NULL, NULL, panes > PLACES_MAX ? "too many panes" : "a pane needs its share of the width: code 50");
			s = rest + strspn(rest, " ,");
		}
		s += *s == '/';
	}
	return panes ? 0 : err_set(e, NULL, NULL, "no pane in it");
}

static const char *layout_at(const void *table, size_t i)
{
	const struct tui *t = table;
	return i < layout_rows_n ? layout_rows[i].name : t->saved[i - layout_rows_n].name;
}

int layout_by_name(struct tui *t, const char *name, struct err *e)
{
	for (unsigned i = 0; i < layout_rows_n + t->saves; i++) {
		if (strcmp(layout_at(t, i), name) != 0)
			continue;
		t->spec[0] = '\0';
		if (i < layout_rows_n)
			t->layout = i;
		else
			snprintf(t->spec, sizeof t->spec, "%s", t->saved[i - layout_rows_n].spec);
		t->zoomed = false;
		return 0;
	}
	const char *near = err_nearest(name, layout_at, t, layout_rows_n + t->saves);
	return err_set(e, NULL, NULL, "no arrangement '%s'%s%s%s", name, near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* The spec with one name in place of another. */
bool layout_put(struct tui *t, enum pane_id pane)
{
	const char *spec = layout_spec(t), *old = pane_rows[t->focus].name, *new = pane_rows[pane].name;
	char to[SPEC_MAX];
	size_t n = strlen(old);
	for (const char *p = spec; (p = strstr(p, old)) != NULL; p++) {
		if ((p > spec && p[-1] != ' ') || p[n] != ' ')
			continue;
		if ((size_t)snprintf(to, sizeof to, "%.*s%s%s", (int)(p - spec), spec, new, p + n) >= sizeof to)
			return false;
		memcpy(t->spec, to, sizeof to);
		t->focus = pane;
		t->zoomed = false;
		return true;
	}
	return false;
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
		share += share_of(s + n, &rest);
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
	for (const char *s = layout_spec(t); *s;) {
		const char *end = s + strcspn(s, "/");
		char *rest;
		share += share_of(s, &rest);
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
