/* sensitivity.h - what an instruction is to a VMM that has it executed in ring 3 (Popek and Goldberg): the column of
 * insn.def, and the forms that differ from it. `vmscope classify` measures the same; a test compares. */
#ifndef CPU_SENSITIVITY_H
#define CPU_SENSITIVITY_H

#include "models/cpu/insn.h"

enum insn_form { FORM_PLAIN, FORM_SEG, FORM_CR, FORM_DR, FORM_FAR };   /* operand: a segment register that is loaded, or CS or SS; a control or debug register; a code segment */

enum insn_form uop_form(const struct uop *u);
enum sensitivity insn_sensitivity(enum insn i, enum insn_form form);

#endif
