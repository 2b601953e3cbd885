/* timeline.h - going to any moment of a run, forwards or backwards: snapshots at adaptive intervals, then re-execution.
 *
 * A moment is what has happened so far: instructions completed by all CPUs, and, for time that passes without any, the
 * clock. What comes from outside (a key typed) is logged with its moment and played again when execution comes by.
 * Changing something in the past starts a new branch; the old one keeps its name, its end and its snapshots.
 *
 *   branch "main"   o----s----s----s----s----> end
 *   branch "1"                  \--s----s----> end       left "main" at a moment between two of its snapshots
 *
 * Host memory stays within a budget: when it is used up, every second snapshot goes and the interval doubles.
 * Knows no machine: a driver runs it. What lives outside its snapshots (a console's text) the driver marks and rewinds. */
#ifndef SIM_TIMELINE_H
#define SIM_TIMELINE_H

#include "sim/base.h"
#include "sim/snap.h"

struct moment { uint64_t step; cycle_t cycle; };        /* instructions completed; the clock */
static inline int moment_compare(struct moment a, struct moment b)
{
	if (a.step != b.step)
		return a.step < b.step ? -1 : 1;
	return a.cycle < b.cycle ? -1 : a.cycle > b.cycle;
}

struct timeline_driver {
	void *who;
	struct moment (*now)(void *who);
	/* Run until the clock reaches `until` or `steps` more instructions have completed (0: no limit). True: a limit was
	 * reached; false: something else stopped it, and the driver knows what. */
	bool (*run)(void *who, cycle_t until, uint64_t steps);
	/* Re-execution begins or ends: breakpoints do not stop it and nobody is told what happens. */
	void (*replaying)(void *who, bool on);
	void (*input)(void *who, unsigned channel, const void *bytes, size_t n);
	uint64_t (*mark)(void *who);                    /* of the state outside snapshots */
	void (*rewind)(void *who, uint64_t mark);
	/* What tells moments apart that the clock and the count do not (one CPU of several takes an interrupt): grows with all that
	 * happens. May be NULL. */
	uint64_t (*fine)(void *who);
};

struct timeline;
struct timeline *timeline_new(struct snaps *s, const struct timeline_driver *d, uint64_t budget);
void timeline_free(struct timeline *t);

/* Forward from here: a recorded stretch first (its input is played), then on into the unknown. As driver->run. */
bool timeline_run(struct timeline *t, cycle_t until, uint64_t steps);
/* To a moment of the present branch; beyond its end it is run. False: something stopped the run before. */
bool timeline_goto(struct timeline *t, struct moment at);
/* The same by the clock alone: the first moment at or after that cycle. */
bool timeline_goto_cycle(struct timeline *t, cycle_t cycle);
struct moment timeline_now(const struct timeline *t);
struct moment timeline_end(const struct timeline *t);           /* the latest moment the present branch has reached */
struct moment timeline_begin(const struct timeline *t);

/* Something from outside happens now. In the past, a new branch begins. */
void timeline_input(struct timeline *t, unsigned channel, const void *bytes, size_t n);
/* State was changed by hand just now (a register, memory). A new branch begins unless nothing is after this moment. */
void timeline_changed(struct timeline *t);

/* The run asks somebody outside (a callback that may change what happens next), always in the same order. What was
 * answered at this place before; or NULL: ask, and tell with timeline_answered(). */
const void *timeline_answer(struct timeline *t, size_t *n);
void timeline_answered(struct timeline *t, const void *bytes, size_t n);
/* This moment has been lived through already: the present branch goes on behind it. */
bool timeline_recorded(const struct timeline *t);

/* Backwards to the last moment before now at which `hit` said yes; it is asked after each instruction, and may look but
 * not touch. True: that moment is now. False: never; now is as it was. */
typedef bool timeline_hit(void *arg);
bool timeline_back(struct timeline *t, timeline_hit *hit, void *arg);
/* The same for what stops the driver by itself (a breakpoint, an event it was told to stop at): the last such moment
 * before now. At full speed, and exact: an event between two instructions is a moment of its own, and the state is the one
 * in which the driver stops there. */
bool timeline_back_stop(struct timeline *t);

/* Branches, in order of their making; "main" is the first. */
struct timeline_branch { const char *name; struct moment fork, end; int parent; unsigned snapshots; };
size_t timeline_branches(const struct timeline *t);
struct timeline_branch timeline_branch(const struct timeline *t, size_t i);
size_t timeline_present(const struct timeline *t);
void timeline_switch(struct timeline *t, size_t branch, struct moment at);

/* Where snapshots are on the way to the present branch's end, oldest first: at most n are told; how many there are. */
size_t timeline_snapshots(const struct timeline *t, struct moment *at, size_t n);
uint64_t timeline_bytes(const struct timeline *t);              /* host memory the snapshots hold */
uint64_t timeline_interval(const struct timeline *t);           /* instructions between snapshots now */

#endif
