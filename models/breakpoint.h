/* breakpoint.h - stops at linear addresses. Looking for them costs no simulated time.
 *
 * A breakpoint stops the run before its instruction; asked again at the same instruction count of
 * the same CPU it lets go, so that running on after a stop needs no special step. */
#ifndef MODELS_BREAKPOINT_H
#define MODELS_BREAKPOINT_H

#include "models/cpu/cpu.h"
#include "sim/base.h"

#define BREAKPOINTS_MAX 256

struct breakpoint {
	uint64_t lin;
	uint32_t id;            /* given by breakpoint_add, never reused in one machine */
	int32_t cpu;            /* -1: any */
};

struct breakpoints {
	struct breakpoint at[BREAKPOINTS_MAX];
	unsigned n;
	uint32_t next_id;
	/* the last one hit */
	uint32_t hit_id;
	unsigned hit_cpu;
	uint64_t hit_icount;
};

/* The new breakpoint's id, or 0 when there are BREAKPOINTS_MAX already. */
uint32_t breakpoint_add(struct breakpoints *b, uint64_t lin, int cpu);
bool breakpoint_remove(struct breakpoints *b, uint32_t id);
/* cpu->break_hit */
bool breakpoint_hit(void *who, struct cpu *c, uint64_t lin);

#endif
