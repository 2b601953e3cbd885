/* go.c - steps and continues in both directions, and how gdb is told where they ended.
 *
 * A thread's step ends when that CPU has completed one instruction; the others run as the machine's schedule has it.
 * A watchpoint stops behind the instruction that made the access; going backwards in front of it, where the value is still
 * the old one, for that is where gdb looks. The two ends of what can be travelled are replaylog:begin and replaylog:end. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/gdb/stub.h"

#define TRIES 16        /* steps back one by one before the timeline is searched */

void gdb_settle(struct gdb *g)
{
	if (g->touched)
		timeline_changed(travel_timeline(g->travel));
	g->touched = false;
}

/* A run under a debugger does not print by itself: what is replayed would be printed again. */
void gdb_console(struct gdb *g)
{
	const struct run *face = run_face(g->r);
	if (face->console_n <= g->printed)
		return;
	if (g->echo) {
		fwrite(face->console + g->printed, 1, face->console_n - g->printed, stdout);
		fflush(stdout);
	}
	g->printed = face->console_n;
}

static bool asked(struct gdb *g)
{
	gdb_console(g);
	return session_interrupted() || (g->interrupted && g->interrupted(g->who));
}

static bool asked_by(void *who) { return asked(who); }

/* ---- stop replies ---- */

static void thread_from(struct gdb *g, unsigned physical)
{
	for (unsigned t = 1; t <= view_threads(&g->view); t++)
		if (view_cpu(&g->view, t)->number == physical && view_loaded(&g->view, t))
			g->thread = t;
}

static void say_stop(struct gdb *g, unsigned signal, const char *what)
{
	snprintf(g->stop, sizeof g->stop, "T%02x%sthread:%x;", signal, what, g->thread);
	g->thread_go = 0;
}

static void tell(struct gdb *g, const char *text)
{
	struct gdb_reply o;
	reply_clear(&o);
	reply_text(&o, "O");
	reply_hex(&o, text, strlen(text));
	if (g->send)
		g->send(g->who, o.data, o.n);
}

/* The run is over: said once as the end of what can be travelled, then, when gdb goes on, as the end of the process. */
static void say_end(struct gdb *g)
{
	char why[200], text[240];
	if (g->ended) {
		snprintf(g->stop, sizeof g->stop, "W%02x", (unsigned)run_status(g->r) & 0xff);
		return;
	}
	snprintf(text, sizeof text, "vmscope: %s\n", stop_sentence(g->r, why, sizeof why));
	tell(g, text);
	g->ended = true;
	say_stop(g, 5, "replaylog:end;");
}

static void say_hit(struct gdb *g, const struct point_hit *h)
{
	static const char *const watch[] = { [POINT_WRITE] = "watch", [POINT_READ] = "rwatch", [POINT_ACCESS] = "awatch" };
	char what[60] = "", text[200];
	thread_from(g, h->cpu);
	if (!h->point) {
		snprintf(text, sizeof text, "vmscope: %s\n", h->why[0] ? h->why : "a stop that was set elsewhere");
		tell(g, text);
	} else if (h->point->type >= POINT_WRITE) {
		snprintf(what, sizeof what, "%s:%" PRIx64 ";", watch[h->point->type], h->address);
	} else if (h->point->type == POINT_SOFTWARE ? g->says_swbreak : g->says_hwbreak) {
		snprintf(what, sizeof what, "%s:;", h->point->type == POINT_SOFTWARE ? "swbreak" : "hwbreak");
	}
	say_stop(g, 5, what);
}

static void say(struct gdb *g, enum travelled how, const struct point_hit *h)
{
	unsigned running = view_running(&g->view);
	gdb_console(g);
	if (session_interrupted())
		g->over = OVER_KILLED;
	if (how == TRAVEL_NONE) {
		say_stop(g, 5, "replaylog:begin;");
	} else if (how == TRAVEL_ASKED) {
		g->thread = running ? running : g->thread;
		say_stop(g, 2, "");
	} else if (how == TRAVEL_STOPPED && g->r->last == MACHINE_STOP_BREAK) {
		say_hit(g, h);
	} else if (how == TRAVEL_STOPPED && g->r->last == MACHINE_STOP_USER) {
		g->thread = running ? running : g->thread;
		say_stop(g, 2, "");
	} else if (how == TRAVEL_STOPPED) {
		say_end(g);
	} else {
		say_stop(g, 5, "");
	}
}

void gdb_arrived(struct gdb *g)
{
	unsigned running = view_running(&g->view);
	gdb_console(g);
	if (g->thread > view_threads(&g->view))
		g->thread = 1;
	if (running)
		g->thread = running;
	g->ended = false;
	say_stop(g, 5, "");
}

/* ---- forwards ---- */

static bool stopped_at_point(const struct gdb *g, enum travelled how)
{
	return how == TRAVEL_STOPPED && g->r->last == MACHINE_STOP_BREAK;
}

static enum travelled forward(struct gdb *g, struct point_hit *h)
{
	for (;;) {
		enum travelled how = travel_continue(g->travel);
		if (!stopped_at_point(g, how) || point_hit(g, h))
			return how;
		if (asked(g))
			return TRAVEL_ASKED;
	}
}

static enum travelled step(struct gdb *g, unsigned thread, struct point_hit *h)
{
	const struct cpu *c = view_cpu(&g->view, thread);
	for (unsigned n = 0;; n++) {
		bool its = view_loaded(&g->view, thread);
		uint64_t before = c->s.icount;
		enum travelled how = travel_step(g->travel, 1);
		bool done = its && c->s.icount > before;
		if (stopped_at_point(g, how)) {
			if (point_hit(g, h) && (done || n))
				return how;
			if (done)
				return TRAVEL_DONE;
			continue;       /* at the very instruction that is stepped: it lets go when asked again */
		}
		if (how != TRAVEL_DONE || done)
			return how;
		if (n % 1024 == 1023 && asked(g))
			return TRAVEL_ASKED;
	}
}

static enum travelled step_range(struct gdb *g, unsigned thread, uint64_t low, uint64_t high, struct point_hit *h)
{
	for (unsigned n = 0;; n++) {
		struct view_state o;
		enum travelled how = step(g, thread, h);
		if (how != TRAVEL_DONE)
			return how;
		view_state(&g->view, thread, &o);
		if (o.s.rip < low || o.s.rip >= high)
			return how;
		if (n % 1024 == 1023 && asked(g))
			return TRAVEL_ASKED;
	}
}

/* ---- backwards ---- */

struct wanted { struct gdb *g; unsigned thread; uint64_t icount; };

static bool before_it(void *arg)
{
	const struct wanted *w = arg;
	return view_loaded(&w->g->view, w->thread) && view_cpu(&w->g->view, w->thread)->s.icount < w->icount;
}

/* To the last moment at which the thread had not yet completed its last instruction. */
static enum travelled undo(struct gdb *g, unsigned thread)
{
	struct wanted w = { g, thread, view_cpu(&g->view, thread)->s.icount };
	for (unsigned n = 0; n < TRIES; n++) {
		if (travel_back(g->travel, 1) != TRAVEL_DONE)
			return TRAVEL_NONE;
		if (before_it(&w))
			return TRAVEL_DONE;
	}
	return timeline_back(travel_timeline(g->travel), before_it, &w) ? TRAVEL_DONE : TRAVEL_NONE;
}

/* Did the instruction that is about to be executed again touch something watched? Now is before it, as it was. */
static bool touches(struct gdb *g, struct point_hit *h)
{
	if (!points_watch(g))
		return false;
	struct timeline *t = travel_timeline(g->travel);
	struct moment now = timeline_now(t);
	enum travelled how = travel_step(g->travel, 1);
	if (stopped_at_point(g, how) && point_hit(g, h) && h->point && h->point->type < POINT_WRITE && moment_compare(now, timeline_now(t)) == 0)
		how = travel_step(g->travel, 1);        /* a breakpoint on it: once more */
	bool yes = stopped_at_point(g, how) && point_hit(g, h) && h->point && h->point->type >= POINT_WRITE;
	if (moment_compare(timeline_now(t), now) > 0)
		timeline_goto(t, now);
	return yes;
}

static enum travelled back_step(struct gdb *g, unsigned thread, struct point_hit *h)
{
	enum travelled how = undo(g, thread);
	if (how != TRAVEL_DONE || !touches(g, h))
		return how;
	g->r->last = MACHINE_STOP_BREAK;
	return TRAVEL_STOPPED;
}

static enum travelled back_continue(struct gdb *g, struct point_hit *h)
{
	if (points_watch(g)) {          /* what the last instruction did is undone first, and only stops behind it are searched */
		struct moment now = timeline_now(travel_timeline(g->travel));
		if (travel_back(g->travel, 1) != TRAVEL_DONE)
			return TRAVEL_NONE;
		if (touches(g, h)) {
			g->r->last = MACHINE_STOP_BREAK;
			return TRAVEL_STOPPED;
		}
		timeline_goto(travel_timeline(g->travel), now);
	}
	for (;;) {
		if (travel_back_continue(g->travel) != TRAVEL_DONE)
			return TRAVEL_NONE;
		if (asked(g))
			return TRAVEL_ASKED;
		if (!point_hit(g, h))
			continue;
		if (h->point && h->point->type >= POINT_WRITE)
			travel_back(g->travel, 1);
		g->r->last = MACHINE_STOP_BREAK;
		return TRAVEL_STOPPED;
	}
}

void gdb_go(struct gdb *g, enum go how, unsigned thread, uint64_t low, uint64_t high, struct gdb_reply *o)
{
	struct point_hit h = { 0 };
	enum travelled done;
	gdb_settle(g);
	travel_poll(g->travel, asked_by, g);
	if (!thread || thread > view_threads(&g->view))
		thread = g->thread;
	if (how != GO_BACK_STEP && how != GO_BACK_CONTINUE && g->ended && !travel_in_past(g->travel)) {
		say_end(g);
		reply_text(o, "%s", g->stop);
		return;
	}
	g->ended = false;
	switch (how) {
	case GO_CONTINUE: done = forward(g, &h); break;
	case GO_STEP: done = step(g, thread, &h); break;
	case GO_RANGE: done = step_range(g, thread, low, high, &h); break;
	case GO_BACK_STEP: done = back_step(g, thread, &h); break;
	default: done = back_continue(g, &h); break;
	}
	if (done == TRAVEL_DONE)
		g->thread = thread;
	say(g, done, &h);
	reply_text(o, "%s", g->stop);
}
