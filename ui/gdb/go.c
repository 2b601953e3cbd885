/* go.c - steps and continues in both directions, and how gdb is told where they ended.
 *
 * A thread's step ends when that CPU has completed one instruction; the others run as the machine's schedule has it.
 * A watchpoint stops behind the instruction that made the access; going backwards in front of it, where the value is still
 * the old one, for that is where gdb looks. The two ends of what can be travelled are replaylog:begin and replaylog:end. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/gdb/stub.h"
#include "ui/session/stops.h"

#define LOOK_BACK 4096  /* instructions of all CPUs looked back for one of a thread's before the timeline is searched */

void gdb_settle(struct gdb *g)
{
	if (g->touched)
		timeline_changed(travel_timeline(g->travel));
	g->touched = false;
}

/* A run under a debugger does not print by itself: what is replayed would be printed again. */
void gdb_console(struct gdb *g)
{
	for (unsigned i = 0; i <= g->r->vms; i++) {
		const struct run *r = i ? g->r->vm[i - 1] : g->r;
		size_t *printed = &g->console[i].printed;
		if (r->console_n > *printed && g->console[i].echo) {
			fwrite(r->console + *printed, 1, r->console_n - *printed, stdout);
			fflush(stdout);
		}
		if (r->console_n > *printed)
			*printed = r->console_n;
	}
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
	const struct point *p = &h->point;
	char what[60] = "", text[200];
	thread_from(g, h->cpu);
	if (!h->own) {
		snprintf(text, sizeof text, "vmscope: %s\n", h->why[0] ? h->why : "a stop that was set elsewhere");
		tell(g, text);
	} else if (p->type >= POINT_WRITE) {
		snprintf(what, sizeof what, "%s:%" PRIx64 ";", watch[p->type], p->address);
	} else if (p->type == POINT_SOFTWARE ? g->says_swbreak : g->says_hwbreak) {
		snprintf(what, sizeof what, "%s:;", p->type == POINT_SOFTWARE ? "swbreak" : "hwbreak");
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

static bool stopped(const struct gdb *g, enum travelled how)
{
	return how == TRAVEL_STOPPED && g->r->last == MACHINE_STOP_BREAK;
}

static enum travelled forward(struct gdb *g, struct point_hit *h)
{
	enum travelled how = travel_continue(g->travel);
	if (stopped(g, how))
		point_hit(g, h);
	return how;
}

static void on_entry(void *who, const struct trace_record *r)
{
	struct gdb *g = who;
	(void)r;
	g->entered = true;
	machine_break(g->r->m);
}

/* One instruction of whichever CPU has its turn; looking at a virtual machine, to the next VM entry at most. An instruction
 * that exits is not completed as such: the VMM does its work and the guest is entered behind it. */
static enum travelled one(struct gdb *g)
{
	struct err e = { "" };
	bool listen = g->view.vm && trace_listen_apart(&g->r->m->trace, "vm_entry", on_entry, g, &e) == 0;
	g->entered = false;
	enum travelled how = travel_step(g->travel, 1);
	if (listen)
		trace_unlisten(&g->r->m->trace, on_entry, g);
	return stopped(g, how) && g->entered && !stops_hit(g->r) ? TRAVEL_DONE : how;
}

struct position { bool loaded; uint64_t icount, rip; };

static struct position position(const struct gdb *g, unsigned thread)
{
	const struct cpu *c = view_cpu(&g->view, thread);
	return (struct position){ view_loaded(&g->view, thread), c->s.icount, cpu_rip(c) };
}

/* Did the thread go on from a to b, where it is loaded in both? */
static bool went(const struct gdb *g, struct position a, struct position b)
{
	return a.loaded && (b.icount > a.icount || (g->view.vm && b.loaded && b.rip != a.rip));
}

static enum travelled step(struct gdb *g, unsigned thread, struct point_hit *h)
{
	for (unsigned n = 0;; n++) {
		struct position before = position(g, thread);
		enum travelled how = one(g);
		if (stopped(g, how))
			point_hit(g, h);
		if (how != TRAVEL_DONE || went(g, before, position(g, thread)))
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
		if (o.pc < low || o.pc >= high)
			return how;
		if (n % 1024 == 1023 && asked(g))
			return TRAVEL_ASKED;
	}
}

/* ---- backwards ---- */

struct wanted { struct gdb *g; unsigned thread; struct position now; };

static bool elsewhere(const struct wanted *w, struct position p)
{
	return p.icount < w->now.icount || (w->g->view.vm && p.rip != w->now.rip);
}

static bool before_it(void *arg)
{
	const struct wanted *w = arg;
	struct position p = position(w->g, w->thread);
	return p.loaded && elsewhere(w, p);
}

/* From an earlier moment up to `until`: the last one at which the thread was loaded and somewhere else than it is there. */
static bool last_before(const struct wanted *w, struct moment until, struct moment *at)
{
	struct timeline *t = travel_timeline(w->g->travel);
	struct position last = { false, 0, 0 };
	bool found = false;
	for (struct moment now; moment_compare(now = timeline_now(t), until) < 0;) {
		struct position p = position(w->g, w->thread);
		if (p.loaded && elsewhere(w, p) && (!last.loaded || went(w->g, last, p))) {
			last = p;
			*at = now;
			found = true;
		}
		if (one(w->g) != TRAVEL_DONE || moment_compare(now, timeline_now(t)) == 0)
			break;
	}
	return found;
}

/* Where the thread's last step began. */
static enum travelled undo(struct gdb *g, unsigned thread)
{
	struct timeline *t = travel_timeline(g->travel);
	struct wanted w = { g, thread, position(g, thread) };
	const struct moment now = timeline_now(t), first = timeline_begin(t);
	struct moment at;
	if (!g->view.vm && view_threads(&g->view) == 1)
		return travel_back(g->travel, 1);
	for (unsigned n = g->view.vm ? 0 : 1; n <= LOOK_BACK; n = n ? 8 * n : 1) {
		const struct moment from = { now.step > first.step + n ? now.step - n : first.step, 0 };
		travel_quietly(g->travel, true);
		timeline_goto(t, from);
		bool found = last_before(&w, now, &at);
		timeline_goto(t, found ? at : now);
		travel_quietly(g->travel, false);
		if (found)
			return TRAVEL_DONE;
		if (from.step == first.step)
			return TRAVEL_NONE;
	}
	if (!timeline_back(t, before_it, &w))
		return TRAVEL_NONE;
	travel_quietly(g->travel, true);        /* that asked between instructions: VM entries after it are still to be looked at */
	at = timeline_now(t);
	last_before(&w, now, &at);
	timeline_goto(t, at);
	travel_quietly(g->travel, false);
	return TRAVEL_DONE;
}

/* Does what is executed next touch something watched? Now stays, as it was. */
static bool touches(struct gdb *g, struct point_hit *h)
{
	if (!points_watch(g))
		return false;
	struct timeline *t = travel_timeline(g->travel);
	struct moment now = timeline_now(t);
	bool yes = stopped(g, travel_step(g->travel, 1)) && point_hit(g, h) && h->own && h->point.type >= POINT_WRITE;
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

/* In front of the instruction that made the access; now is behind it. */
static enum travelled before_access(struct gdb *g, struct point_hit *h)
{
	struct point_hit keep = *h;
	thread_from(g, h->cpu);
	undo(g, g->thread);
	*h = keep;
	g->r->last = MACHINE_STOP_BREAK;
	return TRAVEL_STOPPED;
}

static enum travelled back_continue(struct gdb *g, struct point_hit *h)
{
	if (points_watch(g)) {          /* what happened last is undone first: only stops before now are searched */
		struct moment now = timeline_now(travel_timeline(g->travel));
		if (travel_back(g->travel, 1) != TRAVEL_DONE)
			return TRAVEL_NONE;
		bool touched = touches(g, h);
		timeline_goto(travel_timeline(g->travel), now);
		if (touched)
			return before_access(g, h);
	}
	if (travel_back_continue(g->travel) != TRAVEL_DONE)
		return TRAVEL_NONE;
	point_hit(g, h);
	if (h->own && h->point.type >= POINT_WRITE)
		return before_access(g, h);
	g->r->last = MACHINE_STOP_BREAK;
	return TRAVEL_STOPPED;
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
