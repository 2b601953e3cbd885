/* tui.c - the loop of the stepping screen: draw, wait for a key, act. */
#include "ui/tui/tui.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/tui/screen.h"

#define LEAST_W 40
#define LEAST_H 10

void tui_say(struct tui *t, bool bad, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(t->message, sizeof t->message, fmt, ap);
	va_end(ap);
	t->bad = bad;
}

static void keep_print(void *who, const char *text, size_t n);

struct tui *tui_new(struct run *r, int w, int h, bool ascii)
{
	struct tui *t = xcalloc(1, sizeof *t);
	t->run = r;
	t->m = r->m;
	t->canvas.ascii = ascii;
	canvas_resize(&t->canvas, w, h);
	t->layout = r->session->guide.n ? layout_guide(w, h) : layout_for(w, h);
	for (unsigned i = 0; i < PANE_N; i++)
		t->view[i] = (struct pane_view){ .wanted = -1, .address = ~0ull, .cursor = -1 };
	r->session->print = keep_print;
	r->session->print_who = t;
	for (unsigned i = 0; i < r->vms; i++) {
		t->echo[i] = r->vm[i]->echo;
		r->vm[i]->echo = false;
	}
	t->travel = travel_open(r);
	t->timeline = travel_timeline(t->travel);
	t->micro = micro_open(t->travel, r);
	struct err e = { "" };
	t->history = history_open(r, t->timeline, &e);
	if (!t->history)
		BUG("%s", e.text);
	saved_load(t);
	t->cpu = t->m->s.running;
	t->lanes.at = NEVER;
	tui_say(t, false, "s steps, n over calls, e to an event; r before one goes back; ? lists the keys");
	tui_draw(t);
	return t;
}

void tui_free(struct tui *t)
{
	micro_close(t->micro);
	history_close(t->history);
	travel_close(t->travel);
	for (unsigned i = 0; i < t->run->vms; i++)
		t->run->vm[i]->echo = t->echo[i];
	canvas_free(&t->canvas);
	t->run->session->print = NULL;
	popup_close(t);
	source_close(t->source);
	hotspots_fini(&t->hot);
	free(t->printed);
	for (int i = 0; i < t->prompt.lines; i++)
		free(t->prompt.history[i]);
	free(t->before.value);
	free(t->before.stat);
	free(t);
}

/* ---- drawing ---- */

/* A click gives the keys to a pane and puts its cursor there; the wheel scrolls the pane under it. */
static void mouse(struct tui *t)
{
	struct screen_mouse at = screen_mouse();
	for (unsigned i = 0; i < t->places; i++) {
		const struct place *p = &t->place[i];
		if (at.x < p->x || at.x >= p->x + p->w || at.y < p->y || at.y >= p->y + p->h)
			continue;
		struct pane_view *v = &t->view[p->pane];
		if (at.wheel) {
			if (t->popup.text)
				t->popup.top += 3 * at.wheel;
			else {
				v->cursor = -1;
				v->top += 3 * at.wheel;
			}
			return;
		}
		t->focus = p->pane;
		if (p->pane == PANE_TIMELINE && at.x >= t->lanes.x && at.x < t->lanes.x + t->lanes.w && t->lanes.w)
			t->lanes.at = t->lanes.from + (t->lanes.to - t->lanes.from) * (cycle_t)(at.x - t->lanes.x) / (cycle_t)t->lanes.w;
		if (at.y > p->y && at.y < p->y + p->h - 1)
			v->cursor = v->top + at.y - p->y - 1, v->item = 0;
		if (at.twice)
			chosen_enter(t);
	}
}

static void bottom(struct tui *t)
{
	int y = t->canvas.h - 1;
	if (t->prompt.kind) {
		/* what is typed scrolls sideways when it is longer than the line; what Tab found stands above it */
		int from = t->prompt.cursor + 2 > t->canvas.w ? t->prompt.cursor + 2 - t->canvas.w : 0;
		canvas_put(&t->canvas, 0, y, STYLE_NUMBER, (uint32_t)t->prompt.kind);
		canvas_text(&t->canvas, 1, y, t->canvas.w, STYLE_NORMAL, t->prompt.text + from);
		t->canvas.cursor_x = t->prompt.cursor - from + 1;
		t->canvas.cursor_y = y;
		if (t->message[0]) {
			for (int x = 0; x < t->canvas.w; x++)
				canvas_put(&t->canvas, x, y - 1, STYLE_NORMAL, ' ');
			canvas_text(&t->canvas, 0, y - 1, t->canvas.w, STYLE_DIM, t->message);
		}
	} else if (t->prefix || t->count) {
		char text[40];
		snprintf(text, sizeof text, t->count ? "%" PRIu64 "%s" : "%.0" PRIu64 "%s", t->count, t->prefix ? "r" : "");
		canvas_text(&t->canvas, 0, y, t->canvas.w, STYLE_NUMBER, text);
	} else {
		canvas_text(&t->canvas, 0, y, t->canvas.w, t->bad ? STYLE_BAD : STYLE_DIM, t->message);
	}
}

void tui_draw(struct tui *t)
{
	canvas_clear(&t->canvas);
	t->chosen.kind = LINK_NONE;
	if (t->canvas.w < LEAST_W || t->canvas.h < LEAST_H) {
		canvas_text(&t->canvas, 0, 0, t->canvas.w, STYLE_BAD, "too small");
		canvas_text(&t->canvas, 0, 1, t->canvas.w, STYLE_NORMAL, "40x10 at least");
		canvas_text(&t->canvas, 0, 2, t->canvas.w, STYLE_NORMAL, "q leaves");
		return;
	}
	banner_draw(t);
	layout_apply(t);
	travel_record(t);
	for (unsigned i = 0; i < t->places; i++)
		pane_draw(t, &t->place[i]);
	if (t->popup.text)
		popup_draw(t);
	bottom(t);
}

/* ---- what Lua prints ---- */

#define PRINTED_MAX (256u << 10)

static void keep_print(void *who, const char *text, size_t n)
{
	struct tui *t = who;
	if (t->printed_n + n > PRINTED_MAX)
		n = PRINTED_MAX - t->printed_n;
	t->printed = xrealloc(t->printed, t->printed_n + n + 1);
	memcpy(t->printed + t->printed_n, text, n);
	t->printed_n += n;
	t->printed[t->printed_n] = '\0';
}

void tui_printed(struct tui *t, const char *title)
{
	char *text = t->printed, *nl;
	if (!text)
		return;
	t->printed = NULL;
	t->printed_n = 0;
	nl = strchr(text, '\n');
	if (nl && nl[1] == '\0')
		*nl = '\0', nl = NULL;
	if (!nl && (int)strlen(text) < t->canvas.w && !strchr(text, '\t')) {
		tui_say(t, false, "%s", text);
		free(text);
	} else {
		popup_show(t, title, text);
	}
}

/* ---- keys ---- */

static void press(struct tui *t, int key)
{
	char one[8];
	if (key == SCREEN_CLOSED) {
		t->quit = true;
		return;
	}
	if (t->prompt.kind) {
		tui_say(t, false, "%s", "");
		prompt_key(t, key);
		return;
	}
	tui_say(t, false, "%s", "");
	if (t->popup.text && popup_key(t, key))
		return;
	if (key == 3 || key == 26) {
		if (key == 26)
			screen_suspend();
		else
			tui_say(t, false, "q leaves");
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
		t->view[t->focus].cursor = -1;
		t->lanes.at = NEVER;
		t->search[0] = '\0';
		return;
	}
	if (key == 'r' && !t->prefix) {
		t->prefix = 'r';
		return;
	}
	if (t->focus == PANE_TIMELINE && (key == SCREEN_LEFT || key == SCREEN_RIGHT))
		key = key == SCREEN_LEFT ? 'h' : 'l';
	const struct action_row *a = action_by_key(t->prefix, key);
	int prefix = t->prefix;
	t->prefix = 0;
	if (a)
		a->run(t);
	else
		tui_say(t, true, "the key '%s%s' does nothing here; ? lists the keys", prefix ? "r" : "", key_name(key, one, sizeof one));
	t->count = 0;
}

void tui_key(struct tui *t, int key)
{
	struct err e = { "" };
	if (key == SCREEN_MOUSE) {
		mouse(t);
		return;
	}
	press(t, key);
	(void)history_count(t->history);        /* a branch that began just now begins there in it too */
	guide_after_key(t);
	tui_printed(t, "printed");
	if (t->run->session->line.failed && t->run->session->line.failed(t->run->session->line.who, &e))
		tui_say(t, true, "%s", e.text);
}

/* ---- the terminal ---- */

/* Ctrl-C and Esc stop a long run; `continue`, which has no end of its own, is stopped by any key. */
static bool key_waiting(void *who)
{
	struct tui *t = who;
	return tui_patience(t, t->endless ? "running: any key stops" : "running: Ctrl-C stops");
}

#define PROGRESS_MS 300

/* While something takes long the first lines go on and the last one says how to stop it. */
bool tui_patience(struct tui *t, const char *what)
{
	int64_t now = screen_ms();
	if (!screen_is_open())
		return false;
	if (t->patience == 0 || now - t->last_asked > 2 * PROGRESS_MS)
		t->patience = now;      /* something else than what was asked about before */
	t->last_asked = now;
	if (now - t->patience > PROGRESS_MS) {
		t->patience = now;
		banner_draw(t);
		for (int x = 0; x < t->canvas.w; x++)
			canvas_put(&t->canvas, x, t->canvas.h - 1, STYLE_NORMAL, ' ');
		canvas_text(&t->canvas, 0, t->canvas.h - 1, t->canvas.w, STYLE_NUMBER, what);
		screen_show(&t->canvas);
	}
	return screen_waiting(t->endless);
}

static void resized(struct tui *t)
{
	int w, h;
	bool by_size = !t->spec[0] && t->layout == layout_for(t->canvas.w, t->canvas.h);
	screen_size(&w, &h);
	canvas_resize(&t->canvas, w, h);
	if (by_size)
		t->layout = layout_for(w, h);
}

/* Keys that wait are all done before the next drawing, but for so long: a key held down makes as many steps as it
 * repeats, whatever drawing costs. */
#define DRAW_EVERY_MS 40

static void keys_that_wait(struct tui *t, int key)
{
	int64_t from = screen_ms();
	for (; key != KEY_NONE_ && !t->quit; key = screen_key(0)) {
		if (key == SCREEN_RESIZE)
			resized(t);
		else
			tui_key(t, key);
		if (screen_ms() - from > DRAW_EVERY_MS)
			break;
	}
}

int tui_run(struct run *r, bool mono, bool ascii, struct err *e)
{
	int w, h;
	if (screen_open(mono, e) != 0)
		return -1;
	screen_size(&w, &h);
	struct tui *t = tui_new(r, w, h, ascii || !screen_utf8());
	travel_poll(t->travel, key_waiting, t);
	while (!t->quit) {
		tui_draw(t);
		screen_show(&t->canvas);
		keys_that_wait(t, screen_key(-1));
	}
	tui_free(t);
	screen_close();
	return 0;
}
