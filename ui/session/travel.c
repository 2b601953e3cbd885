/* travel.c - see travel.h. */
#include "ui/session/travel.h"

#include <stdlib.h>
#include <string.h>

#include "models/breakpoint.h"
#include "ui/session/stops_impl.h"

#define BUDGET (512ull << 20)   /* host bytes for snapshots */
#define CHUNK  1000000          /* instructions between two looks at whoever may want it to stop */

/* What a run keeps outside its machine: the text printed, the events traced, how far its input scripts are. One for the
 * machine, one for each of its virtual machines. */
struct outside {
	uint64_t traced, trace_hash;
	size_t console_n, line, watch_at;
	struct { size_t at, seen, scanned; cycle_t wake; } in[2];
};

struct travel {
	struct run *r;
	struct timeline *timeline;
	struct outside *mark;
	size_t marks;
	unsigned replaying;             /* nothing stops the run, this many times over */
	bool told;                      /* travel_to_event: it has happened */
	bool echo, (*stop)(void *who);
	void *stop_who;
};

/* ---- the driver ---- */

static struct moment drive_now(void *who)
{
	struct travel *v = who;
	return (struct moment){ machine_icount(v->r->m), machine_now(v->r->m) };
}

static bool drive_run(void *who, cycle_t until, uint64_t steps)
{
	struct travel *v = who;
	uint64_t from = machine_icount(v->r->m);
	enum machine_stop why = run_until(v->r, until, steps);
	return (why == MACHINE_STOP_CYCLES && machine_now(v->r->m) >= until) ||
	       (why == MACHINE_STOP_ICOUNT && steps && machine_icount(v->r->m) - from >= steps);
}

static void drive_replaying(void *who, bool on)
{
	struct travel *v = who;
	stops_quiet(v->r, on);
	v->replaying += on ? 1 : -1u;
}

void travel_quietly(struct travel *v, bool on)
{
	drive_replaying(v, on);
}

static void drive_input(void *who, unsigned channel, const void *bytes, size_t n)
{
	struct travel *v = who;
	if (channel == 0)
		machine_serial_input(run_face(v->r)->m, bytes, n);
	else
		machine_key_input(run_face(v->r)->m, bytes, n);
}

static void keep(struct outside *o, const struct run *r)
{
	const struct input *in[2] = { &r->input, &r->keys };
	*o = (struct outside){ .console_n = r->console_n, .line = r->line, .watch_at = r->watch_at, .traced = r->m->trace.count,
	                       .trace_hash = r->m->trace.hash };
	for (unsigned i = 0; i < 2; i++) {
		o->in[i].at = in[i]->at;
		o->in[i].seen = in[i]->seen;
		o->in[i].scanned = in[i]->scanned;
		o->in[i].wake = in[i]->wake;
	}
}

static void give_back(const struct outside *o, struct run *r)
{
	struct input *in[2] = { &r->input, &r->keys };
	r->m->trace.count = o->traced;
	r->m->trace.hash = o->trace_hash;
	r->console_n = o->console_n;
	r->line = o->line;
	r->watch_at = o->watch_at;
	for (unsigned i = 0; i < 2; i++) {
		in[i]->at = o->in[i].at;
		in[i]->seen = o->in[i].seen;
		in[i]->scanned = o->in[i].scanned;
		in[i]->wake = o->in[i].wake;
	}
}

static uint64_t drive_fine(void *who)
{
	const struct travel *v = who;
	const struct machine *m = v->r->m;
	uint64_t sum = 0;
	for (unsigned i = 0; i < m->config.cpus; i++)
		sum += m->cpu[i]->ledger.now;
	return sum;
}

static uint64_t drive_mark(void *who)
{
	struct travel *v = who;
	const unsigned n = 1 + v->r->vms;
	v->mark = xrealloc(v->mark, (v->marks + n) * sizeof *v->mark);
	for (unsigned i = 0; i < n; i++)
		keep(&v->mark[v->marks + i], i ? v->r->vm[i - 1] : v->r);
	v->marks += n;
	return v->marks - n;
}

static void drive_rewind(void *who, uint64_t mark)
{
	struct travel *v = who;
	for (unsigned i = 0; i < 1 + v->r->vms; i++)
		give_back(&v->mark[mark + i], i ? v->r->vm[i - 1] : v->r);
}

struct travel *travel_open(struct run *r)
{
	struct travel *v = xcalloc(1, sizeof *v);
	v->r = r;
	v->echo = run_face(r)->echo;
	run_face(r)->echo = false;
	const struct timeline_driver d = { v, drive_now, drive_run, drive_replaying, drive_input, drive_mark, drive_rewind, drive_fine };
	v->timeline = timeline_new(r->m->snaps, &d, BUDGET);
	r->travel = v;
	return v;
}

void travel_close(struct travel *v)
{
	run_face(v->r)->echo = v->echo;
	v->r->travel = NULL;
	timeline_free(v->timeline);
	free(v->mark);
	free(v);
}

struct timeline *travel_timeline(const struct travel *v) { return v->timeline; }

struct run *travel_run_of(const struct travel *v) { return v->r; }
bool travel_wants_stop(const struct travel *v) { return v->stop && v->stop(v->stop_who); }

bool travel_in_past(const struct travel *v)
{
	return moment_compare(timeline_now(v->timeline), timeline_end(v->timeline)) < 0;
}

void travel_poll(struct travel *v, bool (*stop)(void *who), void *who)
{
	v->stop = stop;
	v->stop_who = who;
}

static struct travel *travel_of(const struct run *r)
{
	return r->host ? r->host->travel : r->travel;
}

bool run_recorded(const struct run *r)
{
	const struct travel *v = travel_of(r);
	return v && timeline_recorded(v->timeline);
}

const void *run_answer(const struct run *r, size_t *n)
{
	struct travel *v = travel_of(r);
	return v ? timeline_answer(v->timeline, n) : NULL;
}

void run_answered(const struct run *r, const void *bytes, size_t n)
{
	struct travel *v = travel_of(r);
	if (v)
		timeline_answered(v->timeline, bytes, n);
}

/* ---- forwards ---- */

enum machine_stop travel_run(struct travel *v, cycle_t until, uint64_t n)
{
	stops_pass(v->r);
	timeline_run(v->timeline, until, n);
	return v->r->last;
}

static enum travelled go_on(struct travel *v)
{
	while (timeline_run(v->timeline, NEVER, CHUNK))
		if (travel_wants_stop(v))
			return TRAVEL_ASKED;
	return TRAVEL_STOPPED;
}

enum travelled travel_continue(struct travel *v)
{
	stops_pass(v->r);
	return go_on(v);
}

enum travelled travel_step(struct travel *v, uint64_t n)
{
	stops_pass(v->r);
	for (; n > CHUNK; n -= CHUNK) {
		if (!timeline_run(v->timeline, NEVER, CHUNK))
			return TRAVEL_STOPPED;
		if (travel_wants_stop(v))
			return TRAVEL_ASKED;
	}
	return timeline_run(v->timeline, NEVER, n) ? TRAVEL_DONE : TRAVEL_STOPPED;
}

enum travelled travel_to_address(struct travel *v, uint64_t lin, int cpu)
{
	struct machine *m = v->r->m;
	uint32_t id = breakpoint_add(m->breakpoints, lin, cpu);
	if (!id)
		return TRAVEL_REFUSED;
	machine_stops_changed(m, false);
	enum travelled how = travel_continue(v);
	breakpoint_remove(m->breakpoints, id);
	machine_stops_changed(m, false);
	return how;
}

static void stop_sink(void *who, const struct trace_record *r)
{
	struct travel *v = who;
	(void)r;
	if (!v->replaying) {
		v->told = true;
		machine_break(v->r->m);
	}
}

enum travelled travel_to_event(struct travel *v, const char *filter, struct err *e)
{
	if (trace_listen(&v->r->m->trace, filter, stop_sink, v, e) != 0)
		return TRAVEL_REFUSED;
	v->told = false;
	enum travelled how = travel_continue(v);
	trace_unlisten(&v->r->m->trace, stop_sink, v);
	if (v->told && how == TRAVEL_STOPPED && v->r->last == MACHINE_STOP_BREAK && !stops_hit(v->r)) {
		v->r->last = MACHINE_STOP_USER;         /* no breakpoint: somebody asked */
		v->r->stop_asked = true;
	}
	return how;
}

/* ---- backwards ---- */

enum travelled travel_back(struct travel *v, uint64_t n)
{
	struct moment now = timeline_now(v->timeline), first = timeline_begin(v->timeline);
	if (moment_compare(now, first) <= 0)
		return TRAVEL_NONE;
	struct moment at = { now.step - first.step > n ? now.step - n : first.step, 0 };
	timeline_goto(v->timeline, at);
	return TRAVEL_DONE;
}

/* The run is searched, perhaps more than once: the hits met on the way are none. */
static bool back_to_stop(struct travel *v)
{
	uint64_t *counts = stops_counts(v->r);
	bool found = timeline_back_stop(v->timeline);
	stops_counts_put(v->r, counts);
	return found;
}

enum travelled travel_back_event(struct travel *v, const char *filter, struct err *e)
{
	if (trace_listen(&v->r->m->trace, filter, stop_sink, v, e) != 0)
		return TRAVEL_REFUSED;
	stops_quiet(v->r, true);
	bool found = back_to_stop(v);
	stops_quiet(v->r, false);
	trace_unlisten(&v->r->m->trace, stop_sink, v);
	return found ? TRAVEL_DONE : TRAVEL_NONE;
}

enum travelled travel_back_continue(struct travel *v)
{
	if (back_to_stop(v))
		return TRAVEL_DONE;
	timeline_goto(v->timeline, timeline_begin(v->timeline));
	return TRAVEL_NONE;
}

enum travelled travel_back_stop(struct travel *v, uint32_t id)
{
	bool others[STOPS_MAX];
	if (!stops_alone(v->r, id, others))
		return TRAVEL_NONE;
	bool found = back_to_stop(v);
	stops_restore(v->r, others);
	return found ? TRAVEL_DONE : TRAVEL_NONE;
}
