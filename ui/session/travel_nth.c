/* travel_nth.c - to the n-th time something happened. Counting begins at the beginning; for VM exits, which the machine
 * counts itself, at the last place where there had been fewer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/vmx/vmx.h"
#include "ui/session/travel.h"

struct nth {
	struct run *r;
	const char *filter;
	uint32_t reason;                /* of an exit; EXIT_REASONS: any */
	uint64_t vector;                /* of an exception; ~0: any */
	uint64_t wanted, seen;
};

static void count(void *who, const struct trace_record *r)
{
	struct nth *q = who;
	if ((q->reason < EXIT_REASONS && (r->a[0] & 0xffff) != q->reason) || (q->vector != ~0ull && r->a[0] != q->vector))
		return;
	if (++q->seen == q->wanted)
		run_ask_stop(q->r);
}

static const char *reason_at(const void *table, size_t i)
{
	const char *name = ((const struct exit_reason_row *)table)[i].name;
	return name ? name : "";
}

static int parse(struct nth *q, const char *what, struct err *e)
{
	q->reason = EXIT_REASONS;
	q->vector = ~0ull;
	q->filter = what;
	if (strncmp(what, "exit.", 5) == 0) {
		q->filter = "vm_exit";
		for (uint32_t i = 0; i < EXIT_REASONS; i++)
			if (exit_reason_rows[i].name && strcmp(exit_reason_rows[i].name, what + 5) == 0)
				q->reason = i;
		const char *near = err_nearest(what + 5, reason_at, exit_reason_rows, EXIT_REASONS);
		if (q->reason == EXIT_REASONS)
			return err_set(e, NULL, "all of them: vmscope list exits", near ? "unknown exit reason '%s'; did you mean '%s'?" : "unknown exit reason '%s'",
			               what + 5, near);
	} else if (strncmp(what, "exception.", 10) == 0) {
		q->filter = "exception";
		if (!parse_number(what + 10, &q->vector) || q->vector > 31)
			return err_set(e, NULL, NULL, "'%s': expected a vector from 0 to 31, as in exception.14", what);
	}
	return 0;
}

/* How many such exits there have been until now. */
static uint64_t counted(const struct nth *q)
{
	const struct machine *m = q->r->m;
	uint64_t n = 0, v;
	for (unsigned c = 0; c < m->config.cpus; c++) {
		char name[64];
		snprintf(name, sizeof name, "cpu%u.exit.%s", c, exit_reason_rows[q->reason].name);
		if (stats_get(&m->stats, name, &v))
			n += v;
	}
	return n;
}

/* To a moment with fewer than are wanted, not far before. */
static void approach(struct travel *v, struct nth *q)
{
	struct timeline *t = travel_timeline(v);
	const struct moment first = timeline_begin(t), last = timeline_end(t);
	uint64_t low = first.step, high = last.step;
	timeline_goto(t, first);
	q->seen = counted(q);
	while (high - low > timeline_interval(t)) {
		uint64_t middle = low + (high - low) / 2;
		timeline_goto(t, (struct moment){ middle, 0 });
		if (counted(q) < q->wanted)
			low = middle;
		else
			high = middle;
	}
	timeline_goto(t, (struct moment){ low, 0 });
	q->seen = counted(q);
}

enum travelled travel_to_nth(struct travel *v, const char *what, uint64_t n, struct err *e)
{
	struct timeline *t = travel_timeline(v);
	struct nth q = { .r = travel_run_of(v), .wanted = n };
	enum travelled how = TRAVEL_DONE;
	if (parse(&q, what, e) != 0)
		return TRAVEL_REFUSED;
	if (!n) {
		err_set(e, NULL, NULL, "%s 0: they are counted from 1", what);
		return TRAVEL_REFUSED;
	}
	travel_quietly(v, true);
	if (q.reason < EXIT_REASONS)
		approach(v, &q);
	else
		timeline_goto(t, timeline_begin(t));
	if (trace_listen_apart(&q.r->m->trace, q.filter, count, &q, e) != 0) {
		travel_quietly(v, false);
		return TRAVEL_REFUSED;
	}
	while (q.seen < q.wanted && how == TRAVEL_DONE) {
		if (!timeline_run(t, NEVER, 1000000) && q.seen < q.wanted)
			how = TRAVEL_NONE;
		else if (q.seen < q.wanted && travel_wants_stop(v))
			how = TRAVEL_ASKED;
	}
	trace_unlisten(&q.r->m->trace, count, &q);
	travel_quietly(v, false);
	return how;
}
