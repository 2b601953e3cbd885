/* micro.h - the finest grain: what happened inside the last instruction or transition, one phase or one memory
 * reference at a time.
 *
 * The machine's smallest step is an instruction (or the event delivered instead of it); while micro-steps are asked for,
 * its phases, page-walk references, TLB fills and data accesses are recorded with their cycles, and a cursor goes through
 * the record, forwards and backwards. Recording changes no cycle and no statistic. What the panes show beside the record
 * (registers, memory) is the state after the whole instruction. */
#ifndef UI_SESSION_MICRO_H
#define UI_SESSION_MICRO_H

#include "sim/trace.h"
#include "ui/session/travel.h"

struct micro;
struct micro *micro_open(struct travel *v, struct run *r);
void micro_close(struct micro *u);

/* One micro-step: the cursor goes on in the record; at its end the next instruction is run and recorded. */
enum travelled micro_step(struct micro *u);
enum travelled micro_back(struct micro *u);
/* The record of the last instruction, and how far the cursor is: 0..n. After any other travel it is made anew on demand
 * (by going back one instruction and forth again) or is empty at the beginning of a run. */
size_t micro_count(const struct micro *u);
size_t micro_cursor(const struct micro *u);
const struct trace_record *micro_at(const struct micro *u, size_t i);
int micro_text(const struct micro *u, size_t i, char *buf, size_t n);    /* a line for people */

#endif
