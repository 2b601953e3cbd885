/* lab.h - a bare machine in which one instruction is executed from a chosen state, again and again. */
#ifndef UI_CLASSIFY_LAB_H
#define UI_CLASSIFY_LAB_H

#include "models/machine.h"
#include "ui/classify/classify.h"

/* What a program finds: its registers, the memory they point at, its stack. */
enum lab_state {
#define STATE(ID, name, sentence) STATE_##ID,
#include "ui/classify/state.def"
	STATES
};
/* What differs between two states that are the same to the program. */
enum lab_resource {
#define RESOURCE(ID, name, sentence) RESOURCE_##ID,
#include "ui/classify/resource.def"
	RESOURCES
};
extern const char *const state_names[STATES], *const resource_names[RESOURCES];

#define LAB_FIELDS 256
struct outcome {
	bool trapped;                   /* it ended with an exception, or ring 3 found itself in ring 0: the kernel has control */
	uint64_t field[LAB_FIELDS];     /* every field of the CPU, as `list fields` */
	uint8_t memory[1024 + 256];            /* the data and the stack an instruction can have written */
	uint64_t registers;             /* hash of x87 and SSE registers */
};

struct lab {
	struct machine *m;
	enum class_mode mode;
	bool umip;
	int vector;                     /* of the exception an experiment ended with, -1: none */
	unsigned ring;                  /* it is executed in */
	struct cpu_state before;        /* after reset, in this mode */
	unsigned fields;
	struct lab_field { const struct field_group *g; const struct field_row *r; uint64_t program; } field[LAB_FIELDS];
};

int lab_open(struct lab *l, const struct class_options *o, enum class_mode mode, struct err *e);
void lab_close(struct lab *l);
/* Execute these bytes; what is behind them is filled by the state. */
void lab_run(struct lab *l, const uint8_t *bytes, unsigned n, unsigned ring, enum lab_state state, enum lab_resource resource,
             struct outcome *before, struct outcome *after);
/* The first resource that differs between a and b. False: none. text: "cr0 0x11 pe et, then 0x10 et" */
bool lab_changed(const struct lab *l, const struct outcome *a, const struct outcome *b, char *text, size_t n);
/* The first of its results in which a program sees a difference: two executions, each with how it was before. */
bool lab_results(const struct lab *l, const struct outcome a[2], const struct outcome b[2], char *text, size_t n);

#endif
