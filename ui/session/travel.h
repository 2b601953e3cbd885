/* travel.h - a run with a timeline under it: steps, continues, and the ways back. What the stepping screen and gdb use.
 *
 * While a run travels, its console is kept but not printed. */
#ifndef UI_SESSION_TRAVEL_H
#define UI_SESSION_TRAVEL_H

#include "sim/timeline.h"
#include "ui/session/session.h"

enum travelled {
	TRAVEL_DONE,            /* where it was asked to go */
	TRAVEL_STOPPED,         /* the run stopped before: run->last says why */
	TRAVEL_ASKED,           /* whoever polls asked it to stop */
	TRAVEL_NONE,            /* backwards: there is no such moment */
	TRAVEL_REFUSED,         /* e says why; no room for a breakpoint */
};

struct travel;
struct travel *travel_open(struct run *r);
void travel_close(struct travel *v);
struct timeline *travel_timeline(const struct travel *v);
struct run *travel_run_of(const struct travel *v);
bool travel_in_past(const struct travel *v);
void travel_poll(struct travel *v, bool (*stop)(void *who), void *who); /* asked between pieces of a long run */

bool travel_wants_stop(const struct travel *v);                         /* the answer */

/* A moment that has been lived through: listeners have been told, and who is asked has answered (sim/timeline.h). Of any
 * run of the machine; one that does not travel lives every moment once. */
bool run_recorded(const struct run *r);
const void *run_answer(const struct run *r, size_t *n);
void run_answered(const struct run *r, const void *bytes, size_t n);

enum machine_stop travel_run(struct travel *v, cycle_t until, uint64_t n);     /* as run_until() */
enum travelled travel_step(struct travel *v, uint64_t n);
enum travelled travel_continue(struct travel *v);
enum travelled travel_to_address(struct travel *v, uint64_t lin, int cpu);     /* STOPPED, also when it got there */
enum travelled travel_to_event(struct travel *v, const char *filter, struct err *e);   /* trace events, as trace_listen() */
/* To the n-th time something happened since the beginning, which may be in the past, now or to come: a trace event's name,
 * "exit.cpuid" (list exits), "exception.14" (a vector). NONE: it is not to come either, the run is at its end. */
enum travelled travel_to_nth(struct travel *v, const char *what, uint64_t n, struct err *e);
enum travelled travel_back(struct travel *v, uint64_t n);
enum travelled travel_back_event(struct travel *v, const char *filter, struct err *e);
/* To the last stop (stops.h) before now: the moment and the state in which the run stops there, stops_hit() says for what.
 * NONE: there is none, this is the beginning. */
enum travelled travel_back_continue(struct travel *v);
/* The same for one stop alone. NONE: not hit before now; nothing has moved. */
enum travelled travel_back_stop(struct travel *v, uint32_t id);

/* While on (calls nest), nothing stops the run and nobody is told what happens: for going back and forth unseen. */
void travel_quietly(struct travel *v, bool on);

#endif
