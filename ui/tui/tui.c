/* tui.c - the loop of the stepping screen: draw, wait for a key, act. */
#include "ui/tui/tui.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/tui/screen.h"

void tui_say(struct tui *t, bool bad, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(t->message, sizeof t->message, fmt, ap);
	va_end(ap);
	t->bad = bad;
}

/* Every event but single instructions and references is worth a line in the panes. */
static void keep(void *who, const struct trace_record *r) { (void)who, (void)r; }

static void listen(struct tui *t)
{
	static const char *const events[] = { "exception", "interrupt", "soft_int", "nmi", "cr", "halt", "wake", "shutdown", "reset", "sipi", "ipi",
	                                      "vm_exit", "vm_entry", "vm_entry_fail", "phase", "task" };
	char filter[256] = "";
	struct err e;
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		for (unsigned k = 0; k < TRACE_EVENTS; k++)
			if (t->m->trace.rows[k].name && strcmp(t->m->trace.rows[k].name, events[i]) == 0)
				snprintf(filter + strlen(filter), sizeof filter - strlen(filter), "%s%s", *filter ? "," : "", events[i]);
	if (trace_listen(&t->m->trace, filter, keep, t, &e) != 0)
		tui_say(t, true, "%s", e.text);
}

struct tui *tui_new(struct run *r, int w, int h, bool ascii)
{
	struct tui *t = xcalloc(1, sizeof *t);
	t->run = r;
	t->m = r->m;
	t->canvas.ascii = ascii;
	canvas_resize(&t->canvas, w, h);
	t->layout = layout_for(w, h);
	for (unsigned i = 0; i < PANE_N; i++)
		t->view[i] = (struct pane_view){ .wanted = -1, .address = ~0ull };
	listen(t);
	t->travel = travel_open(r);
	t->timeline = travel_timeline(t->travel);
	t->cpu = t->m->s.running;
	tui_say(t, false, "s steps, n over calls, e to an event; r before one goes back; ? lists the keys");
	return t;
}

void tui_free(struct tui *t)
{
	trace_unlisten(&t->m->trace, keep, t);
	travel_close(t->travel);
	canvas_free(&t->canvas);
	for (int i = 0; i < t->prompt.lines; i++)
		free(t->prompt.history[i]);
	free(t->before.value);
	free(t);
}

/* ---- drawing ---- */

static void bottom(struct tui *t)
{
	int y = t->canvas.h - 1;
	if (t->prompt.kind) {
		char text[220];
		snprintf(text, sizeof text, "%c%s", t->prompt.kind, t->prompt.text);
		canvas_text(&t->canvas, 0, y, t->canvas.w, STYLE_NORMAL, text);
		t->canvas.cursor_x = t->prompt.cursor + 1 < t->canvas.w ? t->prompt.cursor + 1 : t->canvas.w - 1;
		t->canvas.cursor_y = y;
	} else if (t->prefix || t->count) {
		char text[40];
		snprintf(text, sizeof text, t->count ? "%" PRIu64 "%s" : "%.0" PRIu64 "%s", t->count, t->prefix ? "r" : "");
		canvas_text(&t->canvas, 0, y, t->canvas.w, STYLE_NUMBER, text);
	} else {
		canvas_text(&t->canvas, 0, y, t->canvas.w, t->bad ? STYLE_BAD : STYLE_DIM, t->message);
	}
}

static void help(struct tui *t)
{
	int half = t->canvas.w >= 100 ? 2 : 1, per = ((int)action_rows_n + half - 1) / half, shown = t->canvas.h - 4;
	canvas_box(&t->canvas, 0, BANNER_ROWS, t->canvas.w, t->canvas.h - BANNER_ROWS - 1, STYLE_FOCUS, " keys: a number before one repeats it; ? closes ");
	for (int i = 0; i < (int)action_rows_n; i++) {
		int x = 2 + i / per * (t->canvas.w / half), y = 2 + i % per;
		char text[160];
		if (i % per >= shown) {
			canvas_text(&t->canvas, 2, t->canvas.h - 2, t->canvas.w - 1, STYLE_DIM, " more on a taller terminal, and in the manual ");
			continue;
		}
		snprintf(text, sizeof text, "%-11s %-10s %s", action_rows[i].keys, action_rows[i].name, action_rows[i].sentence);
		canvas_text(&t->canvas, x, y, x + t->canvas.w / half - 3, STYLE_NORMAL, text);
	}
}

void tui_draw(struct tui *t)
{
	canvas_clear(&t->canvas);
	if (t->canvas.w < 40 || t->canvas.h < 10) {
		canvas_text(&t->canvas, 0, 0, t->canvas.w, STYLE_BAD, "too small: 40x10 at least");
		return;
	}
	banner_draw(t);
	layout_apply(t);
	if (t->help)
		help(t);
	else
		for (unsigned i = 0; i < t->places; i++)
			pane_draw(t, &t->place[i]);
	bottom(t);
}

/* ---- keys ---- */

void tui_key(struct tui *t, int key)
{
	char one[8];
	if (t->prompt.kind) {
		prompt_key(t, key);
		return;
	}
	tui_say(t, false, "%s", "");
	if (key == 3 || key == SCREEN_CLOSED) {
		t->quit = true;
		return;
	}
	if (key >= '0' && key <= '9' && (key != '0' || t->count)) {
		if (t->count < 100000000000)
			t->count = t->count * 10 + (uint64_t)(key - '0');
		return;
	}
	if (key == 27) {
		t->prefix = 0;
		t->count = 0;
		return;
	}
	if (key == 'r' && !t->prefix) {
		t->prefix = 'r';
		return;
	}
	const struct action_row *a = action_by_key(t->prefix, key);
	t->prefix = 0;
	if (a) {
		if (t->help && strcmp(a->name, "quit") == 0)
			t->help = false;
		else
			a->run(t);
	} else
		tui_say(t, true, "the key '%s' does nothing here; ? lists the keys", key_name(key, one, sizeof one));
	t->count = 0;
}

/* Any key stops a long run. */
static bool key_waiting(void *who)
{
	(void)who;
	return screen_key(0) != KEY_NONE_;
}

int tui_run(struct run *r, bool mono, bool ascii, struct err *e)
{
	int w, h;
	if (screen_open(mono, e) != 0)
		return -1;
	screen_size(&w, &h);
	struct tui *t = tui_new(r, w, h, ascii || !screen_utf8());
	travel_poll(t->travel, key_waiting, NULL);
	while (!t->quit) {
		tui_draw(t);
		screen_show(&t->canvas);
		int key = screen_key(-1);
		if (key == SCREEN_RESIZE) {
			bool by_size = t->layout == layout_for(t->canvas.w, t->canvas.h);
			screen_size(&w, &h);
			canvas_resize(&t->canvas, w, h);
			if (by_size)
				t->layout = layout_for(w, h);
			continue;
		}
		if (key != KEY_NONE_)
			tui_key(t, key);
	}
	tui_free(t);
	screen_close();
	return 0;
}
