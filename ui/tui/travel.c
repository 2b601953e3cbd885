/* travel.c - steps, continues and ways back: the session's run as the driver of a timeline. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/breakpoint.h"
#include "models/cpu/block.h"
#include "ui/tui/tui.h"

#define BUDGET (512ull << 20)   /* host bytes for snapshots */
#define CHUNK 1000000           /* instructions between two looks at the keyboard */

/* What a run keeps outside its machine: the text printed, the events traced, how far its input scripts are. */
struct outside {
	uint64_t traced, trace_hash;
	size_t console_n, line, watch_at;
	struct { size_t at, seen, scanned; cycle_t wake; } in[2];
};

struct travel {
	struct tui *t;
	struct outside *mark;
	size_t marks;
	uint8_t breakpoints[CPUS_MAX];
	unsigned quiet;                 /* breakpoints are off, this many times over */
	bool replaying;                 /* nothing stops the run */
	bool echo, (*stop)(void);
};

/* ---- the driver ---- */

static struct moment drive_now(void *who)
{
	struct travel *v = who;
	return (struct moment){ machine_icount(v->t->m), machine_now(v->t->m) };
}

static bool drive_run(void *who, cycle_t until, uint64_t steps)
{
	struct travel *v = who;
	uint64_t from = machine_icount(v->t->m);
	enum machine_stop why = run_until(v->t->run, until, steps);
	return (why == MACHINE_STOP_CYCLES && machine_now(v->t->m) >= until) ||
	       (why == MACHINE_STOP_ICOUNT && steps && machine_icount(v->t->m) - from >= steps);
}

static void breakpoints_off(struct travel *v, bool off)
{
	struct machine *m = v->t->m;
	if (!off && --v->quiet)
		return;
	for (unsigned i = 0; i < m->config.cpus; i++) {
		if (off && !v->quiet)
			v->breakpoints[i] = m->cpu[i]->breakpoints;
		m->cpu[i]->breakpoints = off ? 0 : v->breakpoints[i];
	}
	v->quiet += off;
}

static void drive_replaying(void *who, bool on)
{
	struct travel *v = who;
	breakpoints_off(v, on);
	v->replaying = on;
}

static void drive_input(void *who, unsigned channel, const void *bytes, size_t n)
{
	struct travel *v = who;
	if (channel == 0)
		machine_serial_input(run_face(v->t->run)->m, bytes, n);
	else
		machine_key_input(run_face(v->t->run)->m, bytes, n);
}

static uint64_t drive_mark(void *who)
{
	struct travel *v = who;
	const struct run *r = run_face(v->t->run);
	const struct input *in[2] = { &r->input, &r->keys };
	v->mark = xrealloc(v->mark, (v->marks + 1) * sizeof *v->mark);
	struct outside *o = &v->mark[v->marks];
	*o = (struct outside){ .console_n = r->console_n, .line = r->line, .watch_at = r->watch_at, .traced = v->t->m->trace.count,
	                       .trace_hash = v->t->m->trace.hash };
	for (unsigned i = 0; i < 2; i++) {
		o->in[i].at = in[i]->at;
		o->in[i].seen = in[i]->seen;
		o->in[i].scanned = in[i]->scanned;
		o->in[i].wake = in[i]->wake;
	}
	return v->marks++;
}

static void drive_rewind(void *who, uint64_t mark)
{
	struct travel *v = who;
	struct run *r = run_face(v->t->run);
	struct input *in[2] = { &r->input, &r->keys };
	const struct outside *o = &v->mark[mark];
	v->t->m->breakpoints->hit_id = 0;
	v->t->m->trace.count = o->traced;
	v->t->m->trace.hash = o->trace_hash;
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

void travel_open(struct tui *t)
{
	struct travel *v = xcalloc(1, sizeof *v);
	v->t = t;
	v->echo = run_face(t->run)->echo;
	run_face(t->run)->echo = false;
	t->travel = v;
	const struct timeline_driver d = { v, drive_now, drive_run, drive_replaying, drive_input, drive_mark, drive_rewind };
	t->timeline = timeline_new(t->m->snaps, &d, BUDGET);
}

void travel_close(struct tui *t)
{
	run_face(t->run)->echo = t->travel->echo;
	timeline_free(t->timeline);
	free(t->travel->mark);
	free(t->travel);
}

void travel_poll(struct tui *t, bool (*stop)(void)) { t->travel->stop = stop; }
void travel_changed(struct tui *t) { timeline_changed(t->timeline); }

bool travel_in_past(const struct tui *t)
{
	return moment_compare(timeline_now(t->timeline), timeline_end(t->timeline)) < 0;
}

/* ---- marks of what changed ---- */

static void remember(struct tui *t)
{
	size_t n = 0, at = 0;
	for (size_t i = 0; i < t->m->fields.n; i++)
		n += t->m->fields.groups[i].n;
	t->before.value = xrealloc(t->before.value, (n + 1) * sizeof *t->before.value);
	t->before.n = n;
	for (size_t i = 0; i < t->m->fields.n; i++) {
		const struct field_group *g = &t->m->fields.groups[i];
		for (size_t k = 0; k < g->n; k++)
			t->before.value[at++] = field_read(g, &g->rows[k]);
	}
}

/* ---- forwards ---- */

static void follow(struct tui *t)
{
	t->cpu = t->m->s.running;
}

/* Until something stops the run or the user does; true when the user did. */
static bool until_stopped(struct tui *t)
{
	while (timeline_run(t->timeline, NEVER, CHUNK))
		if (t->travel->stop && t->travel->stop())
			return true;
	return false;
}

static void tell_stop(struct tui *t)
{
	char text[200];
	if (t->run->last == MACHINE_STOP_ICOUNT || (t->run->last == MACHINE_STOP_USER && t->run->stop_asked))
		return;
	tui_say(t, t->run->last == MACHINE_STOP_SHUTDOWN, "%s", stop_sentence(t->run, text, sizeof text));
}

static void step(struct tui *t, uint64_t n)
{
	if (!timeline_run(t->timeline, NEVER, n))
		tell_stop(t);
}

static bool returns_here(const char *text)
{
	static const char *const over[] = { "call", "int", "syscall", "sysenter", "rep", "repe", "repne", "repz", "repnz", "into", "hlt" };
	for (size_t i = 0; i < ARRAY_LEN(over); i++) {
		size_t n = strlen(over[i]);
		if (strncmp(text, over[i], n) == 0 && (text[n] == ' ' || text[n] == '\0'))
			return true;
	}
	return false;
}

static void step_over(struct tui *t)
{
	char text[120];
	const struct cpu *c = t->m->cpu[t->m->s.running];
	uint64_t lin = block_linear(c);
	unsigned n = disassemble(t, lin, text, sizeof text);
	if (!n || !returns_here(text)) {
		step(t, 1);
		return;
	}
	uint32_t id = breakpoint_add(t->m->breakpoints, lin + n, c->number);
	if (!id) {
		tui_say(t, true, "no room for another breakpoint: delete one");
		return;
	}
	for (unsigned i = 0; i < t->m->config.cpus; i++)
		t->m->cpu[i]->breakpoints++;
	if (until_stopped(t))
		tui_say(t, false, "stopped on the way");
	else if (t->run->last != MACHINE_STOP_BREAK)
		tell_stop(t);
	breakpoint_remove(t->m->breakpoints, id);
	for (unsigned i = 0; i < t->m->config.cpus; i++)
		t->m->cpu[i]->breakpoints--;
}

static void stop_sink(void *who, const struct trace_record *r)
{
	struct tui *t = who;
	(void)r;
	if (!t->travel->replaying)
		run_ask_stop(t->run);
}

static void to_event(struct tui *t, const char *filter)
{
	struct err e = { "" };
	if (trace_listen(&t->m->trace, filter, stop_sink, t, &e) != 0) {
		tui_say(t, true, "%s", e.text);
		return;
	}
	if (until_stopped(t))
		tui_say(t, false, "stopped on the way");
	else
		tell_stop(t);
	trace_unlisten(&t->m->trace, stop_sink, t);
}

/* ---- backwards ---- */

bool travel_hit(const struct tui *t, uint64_t lin)
{
	const struct breakpoints *b = t->m->breakpoints;
	for (unsigned i = 0; i < b->n; i++)
		if (b->at[i].lin == lin)
			return true;
	return false;
}

static void back_steps(struct tui *t, uint64_t n)
{
	struct moment now = timeline_now(t->timeline), first = timeline_begin(t->timeline);
	if (moment_compare(now, first) <= 0) {
		tui_say(t, false, "this is the beginning");
		return;
	}
	struct moment at = { now.step - first.step > n ? now.step - n : first.step, 0 };
	timeline_goto(t->timeline, at);
}

/* Back over what step_over would go over: to the instruction whose successor this is, or one back. */
struct over_hit { struct tui *t; uint64_t lin, sp; };

static bool leads_here(void *arg)
{
	struct over_hit *h = arg;
	char text[120];
	const struct cpu *c = h->t->m->cpu[h->t->m->s.running];
	if (c->s.r[R_RSP] != h->sp)
		return false;
	uint64_t lin = block_linear(c);
	if (lin >= h->lin || h->lin - lin > 15)
		return false;
	unsigned n = disassemble(h->t, lin, text, sizeof text);
	return n && lin + n == h->lin;
}

static void back_over(struct tui *t)
{
	const struct cpu *c = t->m->cpu[t->m->s.running];
	struct over_hit h = { t, block_linear(c), c->s.r[R_RSP] };
	if (!timeline_back(t->timeline, leads_here, &h))
		back_steps(t, 1);
}

static void back_event(struct tui *t, const char *filter, const char *what)
{
	struct err e = { "" };
	if (trace_listen(&t->m->trace, filter, stop_sink, t, &e) != 0) {
		tui_say(t, true, "%s", e.text);
		return;
	}
	breakpoints_off(t->travel, true);
	bool found = timeline_back_stop(t->timeline);
	breakpoints_off(t->travel, false);
	trace_unlisten(&t->m->trace, stop_sink, t);
	if (!found)
		tui_say(t, false, "no %s before this moment", what);
}

static const char *const events = "exception,interrupt,soft_int,nmi", *const exits = "vm_exit";

static void forth(struct tui *t, enum travel_kind kind, uint64_t n)
{
	switch (kind) {
	case TRAVEL_INSN:
		step(t, n);
		break;
	case TRAVEL_OVER:
		for (; n; n--)
			step_over(t);
		break;
	case TRAVEL_EVENT:
		for (; n; n--)
			to_event(t, events);
		break;
	case TRAVEL_EXIT:
		for (; n; n--)
			to_event(t, exits);
		break;
	case TRAVEL_CONTINUE:
		if (until_stopped(t))
			tui_say(t, false, "stopped by a key");
		else
			tell_stop(t);
		break;
	}
}

static void back(struct tui *t, enum travel_kind kind, uint64_t n)
{
	switch (kind) {
	case TRAVEL_INSN:
		back_steps(t, n);
		break;
	case TRAVEL_OVER:
		for (; n; n--)
			back_over(t);
		break;
	case TRAVEL_EVENT:
		for (; n; n--)
			back_event(t, events, "exception or interrupt");
		break;
	case TRAVEL_EXIT:
		for (; n; n--)
			back_event(t, exits, "VM exit");
		break;
	case TRAVEL_CONTINUE:
		if (!timeline_back_stop(t->timeline)) {
			timeline_goto(t->timeline, timeline_begin(t->timeline));
			tui_say(t, false, "no breakpoint on the way: this is the beginning");
		}
		break;
	}
}

void travel(struct tui *t, enum travel_kind kind, bool backwards, uint64_t n)
{
	remember(t);
	(backwards ? back : forth)(t, kind, n ? n : 1);
	follow(t);
}

void travel_goto(struct tui *t, struct moment at)
{
	remember(t);
	if (!timeline_goto(t->timeline, at))
		tell_stop(t);
	follow(t);
}
