/* pane_timeline.c - the run as a whole, for each CPU: who had it when, exits, interrupts; snapshots and branches; where now
 * is. With the keys: h and l (or a click) move a cross-hair, Enter goes there, + and - change how much is seen.
 *
 *   cpu0 vmm    ...#...#..        time runs to the right; a mark where the owner had the CPU, full where it had most of it */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/vmm/vmm.h"
#include "ui/export/ledger_text.h"
#include "ui/tui/tui.h"

void draw_timeline(struct tui *t, struct pane_out *o);

#define LABEL 12                /* columns before the lanes */

/* What is seen of the run: as wide as 2^-zoom of it, around now or the cross-hair. */
static void window(struct tui *t, const struct pane_view *v, int w, cycle_t *from, cycle_t *to)
{
	cycle_t end = timeline_end(t->timeline).cycle, begin = timeline_begin(t->timeline).cycle, now = timeline_now(t->timeline).cycle;
	if (end < begin + 1)
		end = begin + 1;
	if (now > end)
		end = now;
	cycle_t all = end - begin, span = all >> t->lanes.zoom, least = history_grain(t->history) * (cycle_t)(w > 0 ? w : 1);
	(void)v;
	if (span < least)
		span = least < all ? least : all;
	cycle_t middle = t->lanes.at != NEVER ? t->lanes.at : now;
	*from = middle > begin + span / 2 ? middle - span / 2 : begin;
	if (*from + span > end)
		*from = end > begin + span ? end - span : begin;
	*to = *from + span;
	if (*to == *from)
		++*to;
}

static cycle_t column(cycle_t from, cycle_t to, int x, int w)
{
	return from + (cycle_t)((unsigned __int128)(to - from) * (unsigned)x / (unsigned)w);
}

static int column_of(cycle_t from, cycle_t to, cycle_t at, int w)
{
	return at < from ? -1 : at >= to ? (at == to ? w - 1 : w) : (int)((unsigned __int128)(at - from) * (unsigned)w / (to - from));
}

static void label(struct pane_out *o, enum style s, const char *text)
{
	put(o, s, "%-*.*s", LABEL, LABEL - 1, text);
}

/* One owner's lane of one CPU; not drawn when it never had the CPU in all that is seen. */
static void lane(struct tui *t, struct pane_out *o, unsigned cpu, unsigned owner, const struct lane *all, int w)
{
	static const char *const names[] = { "idle", "vmm", "hardware" };
	char name[40], text[60];
	bool any = false;
	for (int x = 0; x < w; x++)
		any |= all[x].spent[owner] != 0;
	if (!any)
		return;
	if (owner < OWNER_GUEST)
		snprintf(name, sizeof name, "%s", names[owner]);
	else if (!t->m->vmm)
		snprintf(name, sizeof name, "%s", (owner - OWNER_GUEST) % 2 ? "user" : "kernel");
	else
		snprintf(name, sizeof name, "vm%u %s", (owner - OWNER_GUEST) / 2, (owner - OWNER_GUEST) % 2 ? "user" : "kern");
	if (t->m->config.cpus > 1)
		snprintf(text, sizeof text, "%u %s", cpu, name);
	else
		snprintf(text, sizeof text, "%s", name);
	enum style s = acct_style(owner < OWNER_GUEST ? (unsigned[]){ ACCT_IDLE, ACCT_VMM, ACCT_HARDWARE }[owner] : ACCT_GUEST + (owner - OWNER_GUEST));
	label(o, s, text);
	for (int x = 0; x < w; x++) {
		cycle_t sum = 0;
		for (unsigned k = 0; k < OWNERS; k++)
			sum += all[x].spent[k];
		cycle_t v = all[x].spent[owner];
		if (!v)
			put_glyph(o, STYLE_DIM, GLYPH_BLANK);
		else
			put_glyph(o, s, v * 3 >= sum * 2 ? GLYPH_BAR : v * 3 >= sum ? GLYPH_MID : GLYPH_LOW);
	}
	nl(o);
}

static void counts(struct pane_out *o, const char *name, enum style s, const uint32_t *n, size_t stride, int w)
{
	bool any = false;
	for (int x = 0; x < w; x++)
		any |= *(const uint32_t *)((const char *)n + (size_t)x * stride) != 0;
	if (!any)
		return;
	label(o, STYLE_DIM, name);
	for (int x = 0; x < w; x++) {
		uint32_t v = *(const uint32_t *)((const char *)n + (size_t)x * stride);
		if (v)
			put(o, s, v < 10 ? "%u" : "+", v);
		else
			put_glyph(o, STYLE_DIM, GLYPH_BLANK);
	}
	nl(o);
}

/* Where a way back is short, and where branches leave. */
static void marks(struct tui *t, struct pane_out *o, cycle_t from, cycle_t to, int w)
{
	static struct moment at[2048];
	bool here[400] = { false };
	size_t n = timeline_snapshots(t->timeline, at, ARRAY_LEN(at));
	for (size_t i = 0; i < n && i < ARRAY_LEN(at); i++) {
		int x = column_of(from, to, at[i].cycle, w);
		if (x >= 0 && x < w)
			here[x] = true;
	}
	label(o, STYLE_DIM, "snapshots");
	for (int x = 0; x < w; x++)
		put_glyph(o, STYLE_DIM, here[x] ? GLYPH_V : GLYPH_BLANK);
	nl(o);
	if (timeline_branches(t->timeline) < 2)
		return;
	label(o, STYLE_DIM, "branches");
	for (int x = 0; x < w; x++) {
		size_t of = 0;
		for (size_t i = 1; i < timeline_branches(t->timeline); i++)
			if (column_of(from, to, timeline_branch(t->timeline, i).fork.cycle, w) == x)
				of = i;
		if (of)
			put(o, of == timeline_present(t->timeline) ? STYLE_NUMBER : STYLE_NORMAL, "%c", of < 10 ? (int)('0' + of) : '+');
		else
			put_glyph(o, STYLE_DIM, GLYPH_BLANK);
	}
	nl(o);
}

static void branches(struct tui *t, struct pane_out *o)
{
	char a[40], b[40];
	for (size_t i = 0; i < timeline_branches(t->timeline); i++) {
		struct timeline_branch br = timeline_branch(t->timeline, i);
		struct link l = { .kind = LINK_ACT, .address = i, .act = timeline_to_branch };
		put(o, STYLE_DIM, "branch ");
		put_link(o, i == timeline_present(t->timeline) ? STYLE_NUMBER : STYLE_NORMAL, &l, "%s", br.name);
		if (br.parent >= 0)
			put(o, STYLE_DIM, " from %s", timeline_branch(t->timeline, (size_t)br.parent).name);
		put(o, STYLE_DIM, ": insns %s to %s, %u snapshots", digits(br.fork.step, a, sizeof a), digits(br.end.step, b, sizeof b), br.snapshots);
		nl(o);
	}
	put(o, STYLE_DIM, "snapshots every %s insns, %s KB", digits(timeline_interval(t->timeline), a, sizeof a),
	    digits(timeline_bytes(t->timeline) >> 10, b, sizeof b));
	nl(o);
}

void timeline_to_branch(struct tui *t, const struct link *l)
{
	timeline_switch(t->timeline, l->address, timeline_branch(t->timeline, l->address).end);
}

void draw_timeline(struct tui *t, struct pane_out *o)
{
	static struct lane all[400];
	const int w = o->w - LABEL < (int)ARRAY_LEN(all) ? o->w - LABEL : (int)ARRAY_LEN(all);
	cycle_t from, to, now = timeline_now(t->timeline).cycle;
	char a[40], b[40];
	if (w < 8) {
		put(o, STYLE_DIM, "too narrow: 22 columns");
		return;
	}
	window(t, o->view, w, &from, &to);
	t->lanes.x = o->x + LABEL;
	t->lanes.w = w;
	t->lanes.from = from;
	t->lanes.to = to;
	label(o, STYLE_DIM, t->lanes.zoom ? "zoomed in" : "whole run");
	put(o, STYLE_DIM, "%s .. %s cycles   + - zoom, h l and Enter go", digits(from, a, sizeof a), digits(to, b, sizeof b));
	nl(o);
	/* now, and the cross-hair */
	label(o, STYLE_DIM, t->lanes.at != NEVER ? "there" : "now");
	int at_now = column_of(from, to, now, w), at_cross = t->lanes.at == NEVER ? -1 : column_of(from, to, t->lanes.at, w);
	for (int x = 0; x < w; x++)
		if (x == at_cross)
			put_glyph(o, STYLE_FOCUS, GLYPH_DOWN);
		else if (x == at_now)
			put_glyph(o, travel_in_past(t->travel) ? STYLE_PAST : STYLE_NUMBER, GLYPH_MORE);
		else
			put_glyph(o, STYLE_DIM, column(from, to, x, w) < now ? GLYPH_H : GLYPH_DOT);
	nl(o);
	for (unsigned cpu = 0; cpu < t->m->config.cpus; cpu++) {
		for (int x = 0; x < w; x++)
			history_lane(t->history, cpu, column(from, to, x, w), column(from, to, x + 1, w), &all[x]);
		for (unsigned owner = OWNERS; owner-- > 0;)
			lane(t, o, cpu, owner, all, w);
		counts(o, "exits", STYLE_VMM, &all[0].exits, sizeof all[0], w);
		counts(o, "interrupts", STYLE_NUMBER, &all[0].interrupts, sizeof all[0], w);
		counts(o, "exceptions", STYLE_BAD, &all[0].exceptions, sizeof all[0], w);
	}
	marks(t, o, from, to, w);
	if (t->lanes.at != NEVER) {
		put(o, STYLE_FOCUS, " cycle %s: Enter goes there ", digits(t->lanes.at, a, sizeof a));
		nl(o);
	}
	branches(t, o);
}

/* ---- keys ---- */

void lanes_move(struct tui *t, int64_t by)
{
	cycle_t step = (t->lanes.to - t->lanes.from) / (cycle_t)(t->lanes.w > 0 ? t->lanes.w : 1);
	cycle_t at = t->lanes.at != NEVER ? t->lanes.at : timeline_now(t->timeline).cycle, end = timeline_end(t->timeline).cycle;
	cycle_t far = (step ? step : 1) * (cycle_t)(by < 0 ? -by : by);
	if (by < 0)
		at = at > timeline_begin(t->timeline).cycle + far ? at - far : timeline_begin(t->timeline).cycle;
	else
		at = at + far < end ? at + far : end;
	t->lanes.at = at;
}

void lanes_zoom(struct tui *t, int by)
{
	if (by > 0 && t->lanes.zoom < 40)
		t->lanes.zoom++;
	else if (by < 0 && t->lanes.zoom)
		t->lanes.zoom--;
}
