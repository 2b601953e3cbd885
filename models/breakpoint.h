/* breakpoint.h - stops at linear addresses. Looking for them costs no simulated time.
 *
 * A breakpoint stops the run before its instruction is begun. Asked again at the same moment it lets go, so that running on
 * after a stop needs no special step. When the instruction faults and is begun again, it is not before it once more:
 * RFLAGS.RF says so, as it does for the processor's own instruction breakpoints (SDM Vol. 3B, "Instruction-Breakpoint
 * Exception Condition"). So whether a moment stops the run is a matter of state alone, and going backwards finds the same. */
#ifndef MODELS_BREAKPOINT_H
#define MODELS_BREAKPOINT_H

#include "models/cpu/cpu.h"
#include "sim/base.h"

#define BREAKPOINTS_MAX 256

struct machine;

struct breakpoint {
	uint64_t lin;
	uint32_t id;            /* given by breakpoint_add, never reused in one machine */
	int32_t cpu;            /* -1: any */
	unsigned vm;            /* while this virtual machine runs; 0: whoever runs */
};

struct breakpoints {
	struct machine *m;
	struct breakpoint at[BREAKPOINTS_MAX];
	unsigned n;
	uint32_t next_id;
	bool quiet;             /* machine_stops_changed() */
	/* Somebody looks at each instruction before it is begun: true stops. */
	bool (*insn)(void *who, struct cpu *c, uint64_t lin);
	void *insn_who;
	/* the last one hit; hit_id 0: insn() said so */
	uint32_t hit_id;
	unsigned hit_cpu;
	struct break_position { bool set; uint64_t lin, icount; cycle_t now; } passed[CPUS_MAX];     /* let go there */
};

/* The new breakpoint's id, or 0 when there are BREAKPOINTS_MAX already. machine_stops_changed() makes it count. */
uint32_t breakpoint_add(struct breakpoints *b, uint64_t lin, int cpu);
bool breakpoint_remove(struct breakpoints *b, uint32_t id);
/* cpu->break_hit */
bool breakpoint_hit(void *who, struct cpu *c, uint64_t lin);
/* Every CPU may begin the instruction it is at. */
void breakpoints_pass(struct breakpoints *b);
void breakpoints_forget(struct breakpoints *b);         /* state was overwritten: nothing has stopped here yet */

#endif
