/* equiv.h - the equivalence checker: a guest under a technique against the same guest on a bare machine, in lock step.
 *
 * Popek and Goldberg's first property of a VMM, measured: "any program run under the control program exhibits behaviour
 * identical with that demonstrated if the program had been run on the original machine directly". The run under test goes first,
 * instruction by instruction; a second machine in this process, native and plain x86 (no what-if CPU), follows each
 * instruction, and what the guest can see is compared: registers, control registers, descriptor registers, selectors, what
 * was written to memory, ports and device memory. It stops at the first guest instruction whose effect differs.
 *
 *   equiv.c       the lock step            state.c, state.def     what a guest sees of its CPU
 *   reference.c   the bare machine that follows                   reason.def   why a critical instruction breaks a VMM
 *   report.c      the verdict in words, and as JSON
 *
 * Time is imposed, not compared: what devices and time-stamp counters answer, and after which instruction an interrupt
 * arrives, the reference takes from the run under test (so a technique may be as slow as it likes). CPUID is compared with what
 * the virtual CPU is said to be. Faults that the VMM hides from the guest are no instruction of the guest's.
 * Accessed and dirty flags, which processors set when they like, are not compared; when the guest reads an entry of its
 * page tables, the reference finds the flags that the run under test found.
 *
 * Simplified: one virtual CPU, IA32 NMIs are not imposed; x87 and SSE registers are compared by a hash. */
#ifndef UI_EQUIV_EQUIV_H
#define UI_EQUIV_EQUIV_H

#include "models/cpu/sensitivity.h"
#include "ui/session/session.h"

#define EQUIV_FIELDS 12

enum equiv_verdict { EQUIV_SAME /* to the guest's end */, EQUIV_DIFFERS, EQUIV_LIMIT /* the same up to the limit given */ };

struct equiv_field {            /* something that differs */
	char name[40];                  /* "rflags", "memory at 0x1230" */
	uint64_t reference, test;
};

struct equiv_result {
	enum equiv_verdict verdict;
	uint64_t instructions, interrupts, accesses;    /* of the guest, compared; imposed; to devices, compared */
	uint64_t answers;               /* time-dependent results that the reference took over */
	enum machine_stop stop;         /* why the run under test ended */
	int status;                     /* the guest's exit status */
	/* ---- EQUIV_DIFFERS: the instruction ---- */
	enum insn insn;
	enum insn_form form;
	bool critical, interrupt;       /* by the sensitivity column; it is an interrupt's delivery that differed */
	unsigned ring;                  /* the guest's */
	uint64_t linear;
	uint8_t code[15], length;
	char text[96], symbol[80];
	unsigned fields;
	struct equiv_field field[EQUIV_FIELDS];
	char reason[240];
};

struct equiv_options {
	uint64_t instructions;          /* at most so many; 0: no limit */
	cycle_t cycles;                 /* of the machine under test; 0: no limit */
	/* For tests: after the n-th instruction of the guest, before it is compared. It may change the machine under test. */
	void (*tamper)(void *who, struct machine *m, uint64_t n);
	void *who;
};

/* The run under test: booted, not started, with one virtual machine of one CPU; image: what was booted. -1 with err: it
 * cannot be compared. */
/* Before a machine is made of it: is there something a bare machine could do as well? */
int equiv_possible(const struct setup *s, struct err *e);
int equiv(struct run *test, const struct boot_image *image, const struct equiv_options *o, struct equiv_result *out, struct err *e);

/* Why a critical instruction breaks a VMM that leaves it to the hardware outside ring 0; NULL: it does not. */
const char *equiv_reason(enum insn i, enum insn_form form);

void equiv_print(FILE *f, const struct equiv_result *r);
void equiv_json(FILE *f, const struct equiv_result *r);

#endif
