/* micro.h - the finest grain: what happened inside the last instruction or transition, one phase or one memory
 * reference at a time.
 *
 * The machine's smallest step is an instruction (or the event delivered instead of it); while micro-steps are asked for,
 * its phases, page-walk references, TLB fills and data accesses are recorded with their cycles, and a cursor goes through
 * the record, forwards and backwards. Recording changes no cycle and no statistic, and leaves no mark in the trace's ring.
 * What the panes show beside the record (registers, memory) is the state after the whole instruction.
 *
 *   instruction k         instruction k+1           cursor: how many of the record's steps have happened, 1..n;
 *   o--s1--s2--s3--o      o--s1--s2--o              after s3 comes s1 of the next instruction, which is run for it */
#ifndef UI_SESSION_MICRO_H
#define UI_SESSION_MICRO_H

#include "sim/trace.h"
#include "ui/session/travel.h"

struct micro;
struct micro *micro_open(struct travel *v, struct run *r);      /* v NULL: forwards alone */
void micro_close(struct micro *u);

/* One micro-step: the cursor goes on in the record; at its end the next instruction is run and recorded. */
enum travelled micro_step(struct micro *u);
enum travelled micro_back(struct micro *u);
/* The next instruction as a whole, recorded; the cursor is at the record's end. */
enum travelled micro_run(struct micro *u);
/* The same around an instruction that somebody else runs. */
void micro_begin(struct micro *u);
void micro_end(struct micro *u);
/* After any other travel the record is not of the last instruction: is it now? */
bool micro_valid(const struct micro *u);
/* Make it so, by going back one instruction and forth again; false: nothing was before this moment. */
bool micro_renew(struct micro *u);

/* The record of the last instruction, and how far the cursor is: 0..n. Empty when it is not valid. */
size_t micro_count(const struct micro *u);
size_t micro_cursor(const struct micro *u);
const struct trace_record *micro_at(const struct micro *u, size_t i);
void micro_goto(struct micro *u, size_t cursor);         /* within the record */
/* Cycles from the end of the step before (or the beginning of the record) to the end of this one. */
cycle_t micro_cycles(const struct micro *u, size_t i);
cycle_t micro_total(const struct micro *u);             /* of the whole instruction */
int micro_text(const struct micro *u, size_t i, char *buf, size_t n);    /* a line for people */
const char *micro_name(const struct micro *u, size_t i);                 /* the event's, as `vmscope list events` has it */
bool micro_cut(const struct micro *u);                  /* there was more than a record holds: its end is missing */

/* Entries of a CPU's TLBs and walk caches before the recorded instruction: tags and contexts by number as struct tlb_set
 * has them; NULL: there is no record. */
struct micro_tlb { const uint64_t *tag, *context; uint32_t n; };
const struct micro_tlb *micro_tlb(const struct micro *u, unsigned cpu);

/* ---- a page walk out of the record (micro_walk.c) ---- */
struct micro_walk {
	struct walk_record rec;         /* its rows in the order they happened; the outcome, when the record has it */
	uint32_t number[WALK_REFS_MAX]; /* of the reference, from 1; 0: the row is none */
	bool lit[WALK_REFS_MAX];        /* the cursor is past it */
	bool flags[WALK_REFS_MAX];      /* accessed or dirty flags were set in it */
	gpa_t gpa[WALK_REFS_MAX];       /* EPT: the address that is translated */
	size_t step[WALK_REFS_MAX];     /* of the record */
	int here;                       /* the row the cursor's step made, -1: none */
	uint32_t refs;                  /* references altogether */
	unsigned cpu;
	unsigned levels, ept_levels;    /* of the tables; 0: paging is off, no EPT */
	uint64_t root, eptp;            /* bases */
	unsigned again;                 /* times it began anew, because what the caches said denied the access */
	unsigned rights;                /* of the TLB entry: as the tlb_fill event's flags */
	unsigned hit;                   /* no walk was needed: the TLB of this level (1, 2) had it */
	bool done;                      /* the outcome is before the cursor */
	size_t first, last;             /* steps of the record */
};
/* Translations of the record, in order. */
size_t micro_walks(const struct micro *u);
/* The one the cursor is in or has passed last; the first when it is before all: its number, or -1: none was made. */
int micro_walk_now(const struct micro *u);
void micro_walk(const struct micro *u, size_t number, struct micro_walk *w);

#endif
