/* action.c - what each key does; the table is action.def. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/block.h"
#include "ui/tui/screen.h"
#include "ui/tui/tui.h"

static uint64_t times(const struct tui *t) { return t->count ? t->count : 1; }

static void act_micro(struct tui *t) { travel(t, TRAVEL_MICRO, false, times(t)); }
static void act_rmicro(struct tui *t) { travel(t, TRAVEL_MICRO, true, times(t)); }
static void act_step(struct tui *t) { travel(t, TRAVEL_INSN, false, times(t)); }
static void act_next(struct tui *t) { travel(t, TRAVEL_OVER, false, times(t)); }
static void act_event(struct tui *t) { travel(t, TRAVEL_EVENT, false, times(t)); }
static void act_exit(struct tui *t) { travel(t, TRAVEL_EXIT, false, times(t)); }
static void act_entry(struct tui *t) { travel(t, TRAVEL_ENTRY, false, times(t)); }
static void act_continue(struct tui *t) { travel(t, TRAVEL_CONTINUE, false, 1); }
static void act_rstep(struct tui *t) { travel(t, TRAVEL_INSN, true, times(t)); }
static void act_rnext(struct tui *t) { travel(t, TRAVEL_OVER, true, times(t)); }
static void act_revent(struct tui *t) { travel(t, TRAVEL_EVENT, true, times(t)); }
static void act_rexit(struct tui *t) { travel(t, TRAVEL_EXIT, true, times(t)); }
static void act_rentry(struct tui *t) { travel(t, TRAVEL_ENTRY, true, times(t)); }
static void act_rcontinue(struct tui *t) { travel(t, TRAVEL_CONTINUE, true, 1); }
static void act_begin(struct tui *t) { travel_goto(t, timeline_begin(t->timeline)); }
static void act_end(struct tui *t) { travel_goto(t, timeline_end(t->timeline)); }

static void act_break(struct tui *t) { stops_toggle_here(t); }

static void move_focus(struct tui *t, unsigned by)
{
	for (unsigned i = 0; i < t->places; i++)
		if (t->place[i].pane == t->focus) {
			t->focus = t->zoomed ? (enum pane_id)((t->focus + by % PANE_N) % PANE_N) : t->place[(i + by) % t->places].pane;
			return;
		}
}
static void act_focus(struct tui *t) { move_focus(t, 1); }
static void act_unfocus(struct tui *t) { move_focus(t, t->zoomed ? PANE_N - 1 : t->places - 1); }
static void act_zoom(struct tui *t) { t->zoomed = !t->zoomed; }
static void act_layout(struct tui *t)
{
	t->spec[0] = '\0';
	t->layout = (t->layout + 1) % layout_rows_n;
	tui_say(t, false, "layout %s: %s", layout_rows[t->layout].name, layout_rows[t->layout].sentence);
}
static void act_cpu(struct tui *t) { t->cpu = (t->cpu + 1) % t->m->config.cpus; }

static struct pane_view *focused(struct tui *t) { return &t->view[t->focus]; }
static int page_of(const struct tui *t)
{
	for (unsigned i = 0; i < t->places; i++)
		if (t->place[i].pane == t->focus)
			return t->place[i].h - 3 > 1 ? t->place[i].h - 3 : 1;
	return 1;
}
/* The cursor appears on the first line shown, or where the pane is looking. */
static void move_cursor(struct tui *t, int64_t by)
{
	struct pane_view *v = focused(t);
	if (!v->lines || v->cursor >= v->lines) /* moved, and not drawn since */
		tui_draw(t);
	int64_t line = v->cursor >= 0 ? v->cursor + by : v->top;
	if (v->cursor < 0 && v->wanted >= 0) {  /* it follows its end, and may show more of it with a cursor in it */
		v->cursor = 1 << 20;
		return;
	}
	if (line >= v->lines)
		line = v->lines - 1;
	v->cursor = line < 0 ? 0 : (int)line;
}
static void scroll(struct tui *t, int by)
{
	struct pane_view *v = focused(t);
	v->top += by;
	if (v->cursor >= 0)
		move_cursor(t, by);
}
static void act_down(struct tui *t) { move_cursor(t, (int64_t)(times(t) & 0xffffff)); }
static void act_up(struct tui *t) { move_cursor(t, -(int64_t)(times(t) & 0xffffff)); }
static void act_left(struct tui *t)
{
	struct pane_view *v = focused(t);
	if (t->focus == PANE_TIMELINE)
		lanes_move(t, -(int64_t)(times(t) & 0xffff));
	else
		v->item -= v->item > 0;
}
static void act_right(struct tui *t)
{
	if (t->focus == PANE_TIMELINE)
		lanes_move(t, (int64_t)(times(t) & 0xffff));
	else
		focused(t)->item++;
}
static void act_values(struct tui *t)
{
	tui_draw(t);
	if (t->chosen.kind == LINK_FIELD)
		history_of_field(t, t->chosen.name);
	else
		tui_say(t, true, "put the cursor on a register or a field: j, k, h, l");
}
static void act_closer(struct tui *t) { lanes_zoom(t, 1); }
static void act_wider(struct tui *t) { lanes_zoom(t, -1); }
static void act_page(struct tui *t) { scroll(t, page_of(t)); }
static void act_unpage(struct tui *t) { scroll(t, -page_of(t)); }
static void act_top(struct tui *t)
{
	focused(t)->top = 0;
	if (focused(t)->cursor >= 0)
		focused(t)->cursor = 0;
}
static void act_bottom(struct tui *t)
{
	focused(t)->top = 1 << 20;
	if (focused(t)->cursor >= 0)
		focused(t)->cursor = focused(t)->lines - 1;
}
static void seek(struct tui *t, int to)
{
	struct pane_view *v = focused(t);
	if (!t->search[0]) {
		tui_say(t, true, "nothing is searched for: / and a text");
		return;
	}
	t->seek.to = to;
	t->seek.from = v->cursor >= 0 ? v->cursor : to > 0 ? v->top - 1 : v->top + v->lines;
}
static void act_found(struct tui *t) { seek(t, 1); }
static void act_rfound(struct tui *t) { seek(t, -1); }
static void act_mouse(struct tui *t)
{
	t->mouse = !t->mouse;
	screen_mouse_on(t->mouse);
	tui_say(t, false, t->mouse ? "the mouse: a click gives a pane the keys, two explain, the wheel scrolls" : "the mouse is the terminal's again");
}
static void act_turn(struct tui *t) { t->view[PANE_GUIDE].choice++; }
static void act_unturn(struct tui *t) { t->view[PANE_GUIDE].choice--; }
static void act_more(struct tui *t) { focused(t)->choice++; }
static void act_less(struct tui *t) { focused(t)->choice--; }
static void act_command(struct tui *t) { t->prompt.kind = ':'; }
static void act_search(struct tui *t) { t->prompt.kind = '/'; }
static bool patience(void *who)
{
	return tui_patience(who, "looking where the time went: Ctrl-C ends it early");
}
static void act_profile(struct tui *t)
{
	t->endless = false;
	hotspots_take(&t->hot, t->run, t->timeline, 200000000, 3000, patience, t);
	if (!t->hot.n)
		tui_say(t, true, "nothing has run yet");
	else
		tui_say(t, false, "%u looks between instruction %" PRIu64 " and %" PRIu64, t->hot.looks, t->hot.from.step, t->hot.to.step);
	t->view[PANE_HOT].top = 0;
}
static void act_help(struct tui *t) { popup_help(t); }
static void act_quit(struct tui *t) { t->quit = true; }

const struct action_row action_rows[] = {
#define ACTION(keys, name, fn, sentence) { keys, name, sentence, fn },
#include "ui/tui/action.def"
};
const size_t action_rows_n = ARRAY_LEN(action_rows);

static const struct { const char *name; int key; } named_keys[] = {
	{ "Tab", '\t' }, { "BackTab", SCREEN_BACKTAB }, { "Space", ' ' }, { "Up", SCREEN_UP }, { "Down", SCREEN_DOWN },
	{ "Left", SCREEN_LEFT }, { "Right", SCREEN_RIGHT }, { "PgUp", SCREEN_PAGE_UP }, { "PgDn", SCREEN_PAGE_DOWN },
	{ "Home", SCREEN_HOME }, { "End", SCREEN_END }, { "Enter", '\n' }, { "Esc", 27 },
};

const char *key_name(int key, char *buf, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(named_keys); i++)
		if (named_keys[i].key == key)
			return named_keys[i].name;
	snprintf(buf, n, "%c", key >= ' ' && key < 0x7f ? key : '?');
	return buf;
}

const struct action_row *action_by_key(int prefix, int key)
{
	char one[8], name[16];
	snprintf(name, sizeof name, "%.1s%s", prefix ? (char[]){ (char)prefix, 0 } : "", key_name(key, one, sizeof one));
	for (size_t i = 0; i < action_rows_n; i++)
		for (const char *p = action_rows[i].keys; *p; p += strcspn(p, " "), p += *p == ' ')
			if (strcspn(p, " ") == strlen(name) && strncmp(p, name, strlen(name)) == 0)
				return &action_rows[i];
	return NULL;
}
