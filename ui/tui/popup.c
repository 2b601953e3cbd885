/* popup.c - a text over the panes: help, explanations, what Lua answered. Scrolls; any other key closes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/tui/screen.h"
#include "ui/tui/tui.h"

void popup_close(struct tui *t)
{
	free(t->popup.text);
	t->popup.text = NULL;
}

void popup_show(struct tui *t, const char *title, char *text)
{
	popup_close(t);
	t->popup = (struct popup){ .text = text };
	snprintf(t->popup.title, sizeof t->popup.title, "%s", title);
	size_t n = strlen(text);
	while (n && text[n - 1] == '\n')
		text[--n] = '\0';
}

/* The next screen line of at most `w` columns: broken at a blank when there is one. Returns where the rest begins. */
static const char *wrap(const char *p, int w, int *n)
{
	const char *end = p + strcspn(p, "\n"), *q = p, *blank = NULL;
	int cols = 0;
	for (; q < end && cols < w; q++) {
		cols += ((uint8_t)*q & 0xc0) != 0x80;
		if (*q == ' ')
			blank = q;
	}
	while (q < end && ((uint8_t)*q & 0xc0) == 0x80)
		q++;
	if (q < end && blank && blank > p + strspn(p, " "))
		q = blank + 1;
	*n = (int)(q - p);
	return q == end && *end == '\n' ? end + 1 : q;
}

/* Where the last column of a line that looks like a table begins: what goes on below is put there. */
static int hang(const char *p, int n)
{
	int at = 0;
	for (int i = 0; i + 2 < n && i < 44; i++)
		if (p[i] == ' ' && p[i + 1] != ' ' && i > 0 && p[i - 1] == ' ')
			at = i + 1;
	return at;
}

/* The text in lines of at most w columns. */
static char *folded(const char *text, int w)
{
	char *out;
	size_t size;
	FILE *f = open_memstream(&out, &size);
	for (const char *p = text; *p;) {
		const char *end = p + strcspn(p, "\n");
		int indent = 0, n;
		do {
			const char *rest = wrap(p, w - indent, &n);
			fprintf(f, "%*s%.*s\n", indent, "", n, p);
			if (!indent && rest <= end && rest[-1] != '\n')
				indent = hang(p, n);
			if (indent > w / 2)
				indent = 0;
			p = rest;
		} while (p < end);
		if (p == end && *p == '\n')
			p++;
	}
	fclose(f);
	return out;
}

static int count_lines(const char *text)
{
	int lines = 0;
	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

void popup_draw(struct tui *t)
{
	struct popup *u = &t->popup;
	struct canvas *k = &t->canvas;
	int room = k->h - BANNER_ROWS - 1, w = k->w - 4, h, line = 0;
	if (room < 3 || w < 4)
		return;
	char *text = folded(u->text, w);
	u->lines = count_lines(text);
	h = u->lines + 2 < room ? u->lines + 2 : room;
	u->shown = h - 2;
	if (u->top > u->lines - u->shown)
		u->top = u->lines - u->shown;
	if (u->top < 0)
		u->top = 0;
	int y0 = k->h - 1 - h;
	for (int y = y0; y < y0 + h; y++)
		for (int x = 0; x < k->w; x++)
			canvas_put(k, x, y, STYLE_NORMAL, ' ');
	char title[140], where[40] = "";
	if (u->lines > u->shown)
		snprintf(where, sizeof where, "page %d of %d: Space, PgUp; ", (u->top + u->shown - 1) / u->shown + 1, (u->lines + u->shown - 1) / u->shown);
	snprintf(title, sizeof title, " %s: %sEsc closes ", u->title, where);
	canvas_box(k, 0, y0, k->w, h, STYLE_FOCUS, title);
	for (const char *p = text, *end; *p && line < u->top + u->shown; line++, p = end + 1) {
		char one[1024];
		end = p + strcspn(p, "\n");
		snprintf(one, sizeof one, "%.*s", (int)(end - p), p);
		bool head = end > p + 1 && end[-1] == ':' && p[0] != ' ';
		bool found = t->search[0] && strstr(one, t->search);
		if (line >= u->top)
			canvas_text(k, 2, y0 + 1 + line - u->top, k->w - 2, found ? STYLE_FOUND : head ? STYLE_TITLE : STYLE_NORMAL, one);
	}
	free(text);
}

/* To the next or last line that has the searched text. */
static void find(struct tui *t, int by)
{
	struct popup *u = &t->popup;
	char *text = folded(u->text, t->canvas.w - 4);
	int line = 0, best = -1;
	for (char *p = text, *end; *p && t->search[0]; line++, p = end + 1) {
		end = p + strcspn(p, "\n");
		*end = '\0';
		if (strstr(p, t->search) && (by > 0 ? line > u->top && best < 0 : line < u->top))
			best = line;
	}
	if (best >= 0)
		u->top = best;
	free(text);
}

bool popup_key(struct tui *t, int key)
{
	struct popup *u = &t->popup;
	switch (key) {
	case 'j': case SCREEN_DOWN: case SCREEN_WHEEL_DOWN: u->top++; return true;
	case 'k': case SCREEN_UP: case SCREEN_WHEEL_UP: u->top--; return true;
	case ' ': case SCREEN_PAGE_DOWN: case 'f': u->top += u->shown; return true;
	case 'b': case SCREEN_PAGE_UP: u->top -= u->shown; return true;
	case 'g': case SCREEN_HOME: u->top = 0; return true;
	case 'G': case SCREEN_END: u->top = u->lines; return true;
	case 'n': find(t, 1); return true;
	case 'N': find(t, -1); return true;
	case ':': case '/': return false;
	default:
		popup_close(t);
		return key == 27 || key == 'q' || key == '\n' || key == '?';
	}
}

/* Everything there is to press and to type, from the tables. */
void popup_help(struct tui *t)
{
	char *text;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	fprintf(f, "Keys (a number before one repeats it; the names are commands too):\n");
	for (size_t i = 0; i < action_rows_n; i++)
		fprintf(f, "%-11s %-9s %s\n", action_rows[i].keys, action_rows[i].name, action_rows[i].sentence);
	fprintf(f, "\nCommands (after ':'; Tab completes; anything else is Lua, with m, vm and cpu):\n");
	for (size_t i = 0; i < tui_commands_n; i++)
		fprintf(f, "%-11s %-22s %s\n", tui_commands[i].name, tui_commands[i].operands, tui_commands[i].sentence);
	fprintf(f, "\nPanes (:pane NAME, Tab, z):\n");
	for (size_t i = 0; i < PANE_N; i++)
		fprintf(f, "%-11s %s\n", pane_rows[i].name, pane_rows[i].sentence);
	fprintf(f, "\nArrangements (:arrange NAME, L):\n");
	for (size_t i = 0; i < layout_rows_n; i++)
		fprintf(f, "%-11s %s\n", layout_rows[i].name, layout_rows[i].sentence);
	fclose(f);
	popup_show(t, "help", text);
}
