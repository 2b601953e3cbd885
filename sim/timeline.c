/* timeline.c - see timeline.h. */
#include "sim/timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_MIN 100000ull  /* instructions: some milliseconds of re-execution */
#define SNAPSHOTS_MAX 2048      /* of one branch */

struct stop { struct moment at; struct snap *snap; size_t inputs, answers; uint64_t mark; bool changed; };      /* played before it; changed: by hand, just then */
struct answer { size_t n; void *bytes; };
struct input_record { struct moment at; unsigned channel; size_t n; uint8_t *bytes; };

struct branch {
	char name[16];
	int parent;                     /* -1: none */
	struct moment fork, end;
	struct stop *stop;              /* oldest first; the first is at the fork */
	size_t stops;
	struct input_record *input;
	size_t inputs, input_room;
	struct answer *answer;
	size_t answers, answer_room;
};

struct timeline {
	struct snaps *snaps;
	struct timeline_driver d;
	uint64_t budget, interval;
	struct branch *branch;
	size_t branches, present;
	size_t played, answered;        /* inputs and answers of the present branch that have happened */
};

static struct branch *here(const struct timeline *t)
{
	return &t->branch[t->present];
}

struct moment timeline_now(const struct timeline *t) { return t->d.now(t->d.who); }
struct moment timeline_end(const struct timeline *t) { return here(t)->end; }

struct moment timeline_begin(const struct timeline *t)
{
	return t->branch[0].stop[0].at;
}

uint64_t timeline_interval(const struct timeline *t) { return t->interval; }

/* A branch's own, and before them its parent's up to the fork. */
static size_t snapshots_of(const struct timeline *t, size_t branch, struct moment until, struct moment *at, size_t n)
{
	const struct branch *b = &t->branch[branch];
	size_t found = b->parent >= 0 ? snapshots_of(t, (size_t)b->parent, b->fork, at, n) : 0;
	for (size_t i = 0; i < b->stops; i++)
		if (moment_compare(b->stop[i].at, until) <= 0) {
			if (found < n)
				at[found] = b->stop[i].at;
			found++;
		}
	return found;
}

size_t timeline_snapshots(const struct timeline *t, struct moment *at, size_t n)
{
	return snapshots_of(t, t->present, (struct moment){ UINT64_MAX, NEVER }, at, n);
}

uint64_t timeline_bytes(const struct timeline *t)
{
	uint64_t n = 0;
	for (size_t b = 0; b < t->branches; b++)
		for (size_t i = 0; i < t->branch[b].stops; i++)
			n += snap_bytes(t->branch[b].stop[i].snap);
	return n;
}

/* ---- snapshots ---- */

/* Every second one goes, but a branch's first, and what was changed by hand: nothing else knows it. */
static void thin(struct timeline *t)
{
	for (size_t k = 0; k < t->branches; k++) {
		struct branch *b = &t->branch[k];
		size_t kept = 0;
		for (size_t i = 0; i < b->stops; i++) {
			if (i % 2 && !b->stop[i].changed)
				snap_drop(t->snaps, b->stop[i].snap);
			else
				b->stop[kept++] = b->stop[i];
		}
		b->stops = kept;
	}
	t->interval *= 2;
}

/* False: there is no room for another. */
static bool take(struct timeline *t)
{
	struct branch *b = here(t);
	while (b->stops > 1 && (b->stops == SNAPSHOTS_MAX || timeline_bytes(t) > t->budget)) {
		size_t before = b->stops;
		thin(t);
		if (b->stops == before)
			break;
	}
	if (b->stops == SNAPSHOTS_MAX)
		return false;
	b->stop = xrealloc(b->stop, SNAPSHOTS_MAX * sizeof *b->stop);
	b->stop[b->stops++] = (struct stop){
		.at = timeline_now(t), .snap = snap_take(t->snaps, b->name), .inputs = t->played, .answers = t->answered,
		.mark = t->d.mark ? t->d.mark(t->d.who) : 0,
	};
	return true;
}

/* The newest stop of branch k that is not after `at`; the branch whose it is in *of. */
static const struct stop *before(const struct timeline *t, size_t k, struct moment at, size_t *of)
{
	for (;;) {
		const struct branch *b = &t->branch[k];
		for (size_t i = b->stops; i-- > 0;)
			if (moment_compare(b->stop[i].at, at) <= 0) {
				*of = k;
				return &b->stop[i];
			}
		if (b->parent < 0)
			return NULL;
		k = (size_t)b->parent;
	}
}

static void restore(struct timeline *t, size_t of, const struct stop *s)
{
	snap_restore(t->snaps, s->snap);
	if (t->d.rewind)
		t->d.rewind(t->d.who, s->mark);
	t->present = of;
	t->played = s->inputs;
	t->answered = s->answers;
}

/* ---- branches ---- */

static struct branch *grow(struct timeline *t, int parent)
{
	t->branch = xrealloc(t->branch, (t->branches + 1) * sizeof *t->branch);
	struct branch *b = &t->branch[t->branches];
	memset(b, 0, sizeof *b);
	if (parent < 0)
		snprintf(b->name, sizeof b->name, "main");
	else
		snprintf(b->name, sizeof b->name, "%zu", t->branches);
	b->parent = parent;
	b->fork = b->end = timeline_now(t);
	t->present = t->branches++;
	t->played = t->answered = 0;
	return b;
}

static bool at_end(const struct timeline *t)
{
	return t->played == here(t)->inputs && moment_compare(timeline_now(t), here(t)->end) >= 0;
}

void timeline_changed(struct timeline *t)
{
	bool new = !at_end(t);
	if (new)
		grow(t, (int)t->present);
	here(t)->end = timeline_now(t);
	if (take(t))
		here(t)->stop[here(t)->stops - 1].changed = !new;       /* a branch begins with what was changed */
}

/* The next moment at which something was changed by hand, with all that was: the last of its snapshots. NULL: none. */
static const struct stop *next_change(const struct timeline *t, struct moment now)
{
	const struct branch *b = here(t);
	const struct stop *found = NULL;
	for (size_t i = b->stops; i-- > 0 && moment_compare(b->stop[i].at, now) > 0;)
		if (b->stop[i].changed && (!found || moment_compare(b->stop[i].at, found->at) < 0))
			found = &b->stop[i];
	return found;
}

void timeline_input(struct timeline *t, unsigned channel, const void *bytes, size_t n)
{
	if (!at_end(t)) {
		grow(t, (int)t->present);
		take(t);
	}
	struct branch *b = here(t);
	if (b->inputs == b->input_room) {
		b->input_room = b->input_room ? 2 * b->input_room : 16;
		b->input = xrealloc(b->input, b->input_room * sizeof *b->input);
	}
	uint8_t *copy = xcalloc(1, n + 1);
	memcpy(copy, bytes, n);
	b->input[b->inputs++] = (struct input_record){ timeline_now(t), channel, n, copy };
	t->played = b->inputs;
	b->end = timeline_now(t);
	t->d.input(t->d.who, channel, bytes, n);
}

bool timeline_recorded(const struct timeline *t)
{
	return moment_compare(timeline_now(t), here(t)->end) < 0;
}

const void *timeline_answer(struct timeline *t, size_t *n)
{
	const struct branch *b = here(t);
	if (t->answered == b->answers)
		return NULL;
	*n = b->answer[t->answered].n;
	return b->answer[t->answered++].bytes;
}

void timeline_answered(struct timeline *t, const void *bytes, size_t n)
{
	struct branch *b = here(t);
	if (b->answers == b->answer_room) {
		b->answer_room = b->answer_room ? 2 * b->answer_room : 16;
		b->answer = xrealloc(b->answer, b->answer_room * sizeof *b->answer);
	}
	void *copy = xcalloc(1, n + 1);
	memcpy(copy, bytes, n);
	b->answer[b->answers++] = (struct answer){ n, copy };
	t->answered = b->answers;
}

size_t timeline_branches(const struct timeline *t) { return t->branches; }
size_t timeline_present(const struct timeline *t) { return t->present; }

struct timeline_branch timeline_branch(const struct timeline *t, size_t i)
{
	const struct branch *b = &t->branch[i];
	return (struct timeline_branch){ b->name, b->fork, b->end, b->parent, (unsigned)b->stops };
}

/* ---- running ---- */

static void play_due(struct timeline *t)
{
	struct branch *b = here(t);
	for (; t->played < b->inputs && moment_compare(b->input[t->played].at, timeline_now(t)) <= 0; t->played++) {
		const struct input_record *r = &b->input[t->played];
		t->d.input(t->d.who, r->channel, r->bytes, r->n);
	}
}

/* One piece: to the next input, snapshot or limit. False: stopped by something else. */
static bool piece(struct timeline *t, cycle_t until, uint64_t to_step)
{
	struct branch *b = here(t);
	struct moment now = timeline_now(t);
	uint64_t stop = to_step, next = b->stops ? b->stop[b->stops - 1].at.step + t->interval : now.step + t->interval;
	if (next > now.step && next < stop)
		stop = next;
	if (t->played < b->inputs) {
		struct moment in = b->input[t->played].at;
		if (in.step > now.step && in.step < stop)
			stop = in.step;
		if (in.step == now.step && in.cycle < until)
			until = in.cycle;
	}
	const struct stop *change = next_change(t, now);
	if (change && change->at.step > now.step && change->at.step < stop)
		stop = change->at.step;
	if (change && change->at.step == now.step && change->at.cycle < until)
		until = change->at.cycle;
	bool ok = t->d.run(t->d.who, until, stop == UINT64_MAX ? 0 : stop - now.step);
	now = timeline_now(t);
	if (change && moment_compare(now, change->at) == 0)
		restore(t, t->present, change);
	if (moment_compare(now, b->end) > 0)
		b->end = now;
	play_due(t);
	if (ok && b->stops && now.step >= b->stop[b->stops - 1].at.step + t->interval)
		take(t);
	return ok;
}

bool timeline_run(struct timeline *t, cycle_t until, uint64_t steps)
{
	uint64_t from = timeline_now(t).step, to = steps ? from + steps : UINT64_MAX;
	play_due(t);
	for (;;) {
		if (!piece(t, until, to))
			return false;
		struct moment now = timeline_now(t);
		if (now.step >= to || now.cycle >= until)
			return true;
	}
}

/* Forward on the present branch to a moment that is not in the past. */
static bool forward(struct timeline *t, struct moment at)
{
	play_due(t);
	for (;;) {
		struct moment now = timeline_now(t);
		if (now.step < at.step) {
			if (!piece(t, NEVER, at.step))
				return false;
		} else if (now.cycle < at.cycle) {
			struct moment was = now;
			if (!piece(t, at.cycle, UINT64_MAX))
				return false;
			now = timeline_now(t);
			if (moment_compare(was, now) == 0)
				return true;
		} else {
			return true;
		}
	}
}

static bool quietly_forward(struct timeline *t, struct moment at)
{
	if (t->d.replaying)
		t->d.replaying(t->d.who, true);
	bool ok = forward(t, at) || moment_compare(timeline_now(t), at) >= 0;
	if (t->d.replaying)
		t->d.replaying(t->d.who, false);
	return ok;
}

void timeline_switch(struct timeline *t, size_t branch, struct moment at)
{
	size_t of = branch;
	const struct stop *s = before(t, branch, at, &of);
	if (!s)
		s = &t->branch[0].stop[0], of = 0;
	restore(t, of, s);
	quietly_forward(t, at);
	/* before the fork the two are one: what is done next belongs to the branch asked for */
	if (of != branch && moment_compare(timeline_now(t), t->branch[branch].fork) >= 0) {
		restore(t, branch, &t->branch[branch].stop[0]);
		quietly_forward(t, at);
	}
}

bool timeline_goto(struct timeline *t, struct moment at)
{
	struct moment now = timeline_now(t);
	size_t of = t->present;
	const struct stop *s = before(t, t->present, at, &of);
	bool back = moment_compare(at, now) < 0;
	if (s && (back || moment_compare(s->at, now) > 0))
		restore(t, of, s);
	else if (back)
		restore(t, 0, &t->branch[0].stop[0]);
	if (moment_compare(at, here(t)->end) <= 0)
		return quietly_forward(t, at);
	if (!quietly_forward(t, here(t)->end))
		return false;
	return forward(t, at);
}

static struct moment just_before(struct moment m)
{
	return m.cycle ? (struct moment){ m.step, m.cycle - 1 } : (struct moment){ m.step - 1, NEVER };
}

bool timeline_goto_cycle(struct timeline *t, cycle_t cycle)
{
	size_t k = t->present;
	const struct stop *best = NULL;
	while (!best) {
		const struct branch *b = &t->branch[k];
		for (size_t i = b->stops; i-- > 0 && !best;)
			if (b->stop[i].at.cycle <= cycle)
				best = &b->stop[i];
		if (best || b->parent < 0)
			break;
		k = (size_t)b->parent;
	}
	if (!best)
		best = &t->branch[k].stop[0];
	if (timeline_now(t).cycle > cycle || best->at.cycle > timeline_now(t).cycle)
		restore(t, k, best);
	if (timeline_now(t).cycle >= cycle)
		return true;
	if (t->d.replaying)
		t->d.replaying(t->d.who, true);
	bool ok = true;
	const struct moment end = here(t)->end;
	if (end.cycle)
		ok = timeline_run(t, cycle < end.cycle ? cycle : end.cycle, 0) || moment_compare(timeline_now(t), end) >= 0;
	if (t->d.replaying)
		t->d.replaying(t->d.who, false);
	return ok && (timeline_now(t).cycle >= cycle || timeline_run(t, cycle, 0));
}

/* The last hit strictly before `limit` on the way from here: its moment. */
static bool last_hit(struct timeline *t, struct moment limit, timeline_hit *hit, void *arg, struct moment *at)
{
	bool any = false;
	play_due(t);
	while (moment_compare(timeline_now(t), limit) < 0) {
		if (hit(arg)) {
			any = true;
			*at = timeline_now(t);
		}
		struct moment was = timeline_now(t);
		bool ok = was.step + 1 > limit.step ? forward(t, limit) : piece(t, NEVER, was.step + 1);
		if (!ok || moment_compare(was, timeline_now(t)) == 0)
			break;
	}
	return any;
}

/* Interval by interval backwards for the last moment before now at which `hit` says yes. */
bool timeline_back(struct timeline *t, timeline_hit *hit, void *arg)
{
	const size_t branch = t->present;
	const struct moment start = timeline_now(t);
	struct moment limit = start, at = start;
	bool found = false;
	if (t->d.replaying)
		t->d.replaying(t->d.who, true);
	while (!found && (limit.step || limit.cycle)) {
		size_t of = branch;
		const struct stop *s = before(t, branch, just_before(limit), &of);
		if (!s)
			break;
		struct moment from = s->at;
		restore(t, of, s);
		found = last_hit(t, limit, hit, arg, &at);
		limit = from;
	}
	timeline_switch(t, branch, found ? at : start);
	if (t->d.replaying)
		t->d.replaying(t->d.who, false);
	return found;
}

/* ---- backwards to where the driver stops by itself ---- */

struct position { struct moment at; uint64_t fine; };

static struct position position(const struct timeline *t)
{
	return (struct position){ timeline_now(t), t->d.fine ? t->d.fine(t->d.who) : 0 };
}

static int position_compare(struct position a, struct position b)
{
	int c = moment_compare(a.at, b.at);
	return c ? c : a.fine < b.fine ? -1 : a.fine > b.fine;
}

/* From here on, the stops before `limit`, or up to it: how many there are until the last of them. With `max`, it goes to that
 * one. Several stops may come at one moment; what stops for good does so again and again, so there is an end to that. */
#define STOPS_AT_ONCE 512
static bool one_more(struct timeline *t)
{
	struct branch *b = here(t);
	const size_t answers = b->answers;
	bool ok = t->d.run(t->d.who, NEVER, 1);
	while (b->answers > answers)
		free(b->answer[--b->answers].bytes);
	return ok;
}

static unsigned stops_until(struct timeline *t, struct position limit, bool upto, unsigned max)
{
	unsigned n = 0, idle = 0;
	while (idle < STOPS_AT_ONCE) {
		struct position was = position(t);
		if (position_compare(was, limit) > (upto ? 0 : -1))
			break;
		/* the last steps to `limit` take no instruction; one more does not hurt, and is not history */
		bool ok = moment_compare(was.at, limit.at) < 0 ? forward(t, limit.at) : one_more(t);
		struct position now = position(t);
		if (ok && position_compare(now, limit) >= 0)
			break;
		idle = position_compare(was, now) ? 0 : idle + 1;
		if (ok)
			continue;
		if (position_compare(now, limit) > (upto ? 0 : -1))
			break;
		if (++n == max)
			break;
	}
	return n;
}

bool timeline_back_stop(struct timeline *t)
{
	const size_t branch = t->present;
	const struct moment first = timeline_begin(t);
	struct position limit = position(t);
	struct stop here_again = { .at = limit.at, .snap = snap_take(t->snaps, "back"), .inputs = t->played, .answers = t->answered,
	                           .mark = t->d.mark ? t->d.mark(t->d.who) : 0 };
	bool found = false, upto = false;
	while (!found && moment_compare(limit.at, first) > 0) {
		size_t of = branch;
		const struct stop *s = before(t, branch, just_before(limit.at), &of);
		if (!s)
			break;
		const struct stop from = *s;
		restore(t, of, &from);
		struct position start = position(t);
		unsigned n = stops_until(t, limit, upto, 0);
		if (n) {
			restore(t, of, &from);
			stops_until(t, limit, upto, n);
			found = true;
		}
		limit = start;
		upto = true;
	}
	if (!found)
		restore(t, branch, &here_again);
	else if (t->present != branch && moment_compare(timeline_now(t), t->branch[branch].fork) >= 0)
		timeline_switch(t, branch, timeline_now(t));
	snap_drop(t->snaps, here_again.snap);
	return found;
}

/* ---- life ---- */

struct timeline *timeline_new(struct snaps *s, const struct timeline_driver *d, uint64_t budget)
{
	struct timeline *t = xcalloc(1, sizeof *t);
	t->snaps = s;
	t->d = *d;
	t->budget = budget;
	t->interval = INTERVAL_MIN;
	grow(t, -1);
	take(t);
	return t;
}

void timeline_free(struct timeline *t)
{
	if (!t)
		return;
	for (size_t k = 0; k < t->branches; k++) {
		struct branch *b = &t->branch[k];
		for (size_t i = 0; i < b->stops; i++)
			snap_drop(t->snaps, b->stop[i].snap);
		for (size_t i = 0; i < b->inputs; i++)
			free(b->input[i].bytes);
		for (size_t i = 0; i < b->answers; i++)
			free(b->answer[i].bytes);
		free(b->stop);
		free(b->answer);
		free(b->input);
	}
	free(t->branch);
	free(t);
}
