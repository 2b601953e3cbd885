/* evq.h - the deterministic event queue: what a device wants to do later.
 *
 * Events are plain data, so that a snapshot is a copy. Who handles them is wiring: each
 * component registers once while the machine is built and gets its owner number.
 * Events of the same cycle run by (priority, owner, sequence): a total order. */
#ifndef SIM_EVQ_H
#define SIM_EVQ_H

#include "sim/base.h"

#define EVQ_MAX    256          /* events pending at once; more is a BUG: each owner has a few */
#define EVQ_OWNERS 256

struct event {
	cycle_t when;
	uint32_t prio;                  /* smaller first */
	uint32_t owner;
	uint64_t seq;
	uint32_t code, pad;             /* the owner's own meaning */
	uint64_t arg;
};

struct evq_state {              /* plain state */
	uint64_t seq;
	uint32_t n, pad;
	struct event heap[EVQ_MAX];
};

typedef void evq_fn(void *who, cycle_t now, uint32_t code, uint64_t arg);

struct evq {                    /* wiring */
	struct evq_state s;
	uint32_t owners;
	struct { evq_fn *fn; void *who; const char *name; } owner[EVQ_OWNERS];
	void (*moved)(void *who);       /* called when the earliest event changes, may be NULL: */
	void *moved_who;                /* the machine lowers the running CPU's deadline */
};

/* Could this (from a file) be a queue's state? Counts and owners in range, heap in order. For
 * snaps_valid(); who: the evq. */
bool evq_valid(void *who, const void *state);
uint32_t evq_owner(struct evq *q, const char *name, evq_fn *fn, void *who);
void evq_add(struct evq *q, uint32_t owner, cycle_t when, uint32_t code, uint64_t arg);
/* Remove the owner's events with this code; returns how many. */
unsigned evq_cancel(struct evq *q, uint32_t owner, uint32_t code);
static inline cycle_t evq_next(const struct evq *q) { return q->s.n ? q->s.heap[0].when : NEVER; }
/* Run every event with when <= now, in order, including ones they add. A handler is told the
 * event's own cycle, not `now`: what follows does not depend on how late the queue was
 * looked at. */
void evq_run(struct evq *q, cycle_t now);

#endif
