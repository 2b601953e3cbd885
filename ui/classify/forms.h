/* forms.h - every form of every instruction, found by decoding: prefixes x opcode maps x opcodes x ModRM bytes. */
#ifndef UI_CLASSIFY_FORMS_H
#define UI_CLASSIFY_FORMS_H

#include "models/cpu/cpu.h"
#include "ui/classify/classify.h"

#define ENCODINGS_MAX 6

struct form {
	enum insn insn;
	enum insn_form shape;
	unsigned n;
	/* what follows the opcode and ModRM bytes (immediates, displacements) is filled in by the experiment */
	struct { uint8_t bytes[6], length, kind; } at[ENCODINGS_MAX];
};
struct forms { struct form *f; size_t n; };

/* For the CPU as it is now: its mode, its features. */
void forms_find(const struct cpu *c, struct forms *all);

#endif
