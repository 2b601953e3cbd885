/* evq.c - a binary heap ordered by (cycle, priority, owner, sequence). The order is total, so
 * neither the heap's shape nor the host decides which of two events runs first. */
#include "sim/evq.h"

#include <string.h>

#include "sim/err.h"

static bool before(const struct event *a, const struct event *b)
{
	if (a->when != b->when)
		return a->when < b->when;
	if (a->prio != b->prio)
		return a->prio < b->prio;
	if (a->owner != b->owner)
		return a->owner < b->owner;
	return a->seq < b->seq;
}

static void swap(struct event *a, struct event *b)
{
	struct event t = *a;

	*a = *b;
	*b = t;
}

static void sift_up(struct evq_state *s, uint32_t i)
{
	for (; i > 0 && before(&s->heap[i], &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&s->heap[i], &s->heap[(i - 1) / 2]);
}

static void sift_down(struct evq_state *s, uint32_t i)
{
	for (;;) {
		uint32_t least = i;

		for (uint32_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->n; child++)
			if (before(&s->heap[child], &s->heap[least]))
				least = child;
		if (least == i)
			return;
		swap(&s->heap[i], &s->heap[least]);
		i = least;
	}
}

/* The vacated slot is zeroed: what a snapshot copies depends on pending events alone. */
static void remove_at(struct evq_state *s, uint32_t i)
{
	s->heap[i] = s->heap[--s->n];
	memset(&s->heap[s->n], 0, sizeof s->heap[0]);
	if (i < s->n) {
		sift_down(s, i);
		sift_up(s, i);
	}
}

bool evq_valid(void *who, const void *state)
{
	const struct evq *q = who;
	struct evq_state s;

	memcpy(&s, state, sizeof s);
	if (s.n > EVQ_MAX)
		return false;
	for (uint32_t i = 0; i < s.n; i++)
		if (s.heap[i].owner >= q->owners || (i && before(&s.heap[i], &s.heap[(i - 1) / 2])))
			return false;
	return true;
}

uint32_t evq_owner(struct evq *q, const char *name, evq_fn *fn, void *who)
{
	if (q->owners == EVQ_OWNERS)
		BUG("no room for event owner '%s'", name);
	q->owner[q->owners].name = name;
	q->owner[q->owners].fn = fn;
	q->owner[q->owners].who = who;
	return q->owners++;
}

void evq_add(struct evq *q, uint32_t owner, cycle_t when, uint32_t code, uint64_t arg)
{
	struct evq_state *s = &q->s;
	cycle_t first = evq_next(q);

	if (s->n == EVQ_MAX)
		BUG("event queue is full: '%s' adds event %u", q->owner[owner].name, code);
	s->heap[s->n] = (struct event){ .when = when, .owner = owner, .seq = s->seq++, .code = code,
	                                .arg = arg };
	sift_up(s, s->n++);
	if (q->moved && evq_next(q) != first)
		q->moved(q->moved_who);
}

unsigned evq_cancel(struct evq *q, uint32_t owner, uint32_t code)
{
	struct evq_state *s = &q->s;
	cycle_t first = evq_next(q);
	unsigned removed = 0;

	for (uint32_t i = 0; i < s->n;) {
		if (s->heap[i].owner == owner && s->heap[i].code == code) {
			remove_at(s, i);
			removed++;
			i = 0;          /* the heap moved: look again from the top */
		} else {
			i++;
		}
	}
	if (q->moved && removed && evq_next(q) != first)
		q->moved(q->moved_who);
	return removed;
}

void evq_run(struct evq *q, cycle_t now)
{
	while (evq_next(q) <= now && q->s.n) {
		struct event e = q->s.heap[0];

		remove_at(&q->s, 0);
		q->owner[e.owner].fn(q->owner[e.owner].who, e.when, e.code, e.arg);
	}
	if (q->moved)
		q->moved(q->moved_who);
}
