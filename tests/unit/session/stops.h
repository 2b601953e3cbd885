/* stops.h - a run with a timeline and stops, forwards and backwards. */
#ifndef TESTS_SESSION_STOPS_H
#define TESTS_SESSION_STOPS_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "ui/session/stops.h"
#include "ui/session/travel.h"

struct rig {
	struct session session;
	struct run *r;                  /* the machine that really runs */
	struct travel *v;
};

/* One kernel of the guests folder; `mmu`: "native", or a virtual machine under that. */
void rig_open(struct rig *g, const char *mmu, const char *cpus, const char *kernel, const char *cmdline);
void rig_close(struct rig *g);
uint32_t rig_add(struct rig *g, struct run *r, const char *text);       /* asserts that it can be added */
/* The message for a text that cannot be added. */
const char *rig_refused(struct rig *g, const char *text);

struct rig_hit { struct moment at; uint64_t hash; uint32_t id; char why[160]; };
/* At most `max` hits forwards from here, then all of them backwards: the same moments, states and reasons. How many. */
size_t rig_both_ways(struct rig *g, size_t max);

#endif
