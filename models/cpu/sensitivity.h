/* sensitivity.h - what an instruction is to a VMM that has it executed in ring 3 (Popek and Goldberg): the column of
 * insn.def, and the forms that differ from it. `vmscope classify` measures the same; a test compares. */
#ifndef CPU_SENSITIVITY_H
#define CPU_SENSITIVITY_H

#include "models/cpu/insn.h"

enum insn_form { FORM_PLAIN, FORM_SEG, FORM_CR, FORM_DR, FORM_FAR };   /* operand: a segment register that is loaded, or CS or SS; a control or debug register; a code segment */

enum insn_form uop_form(const struct uop *u);
enum sensitivity insn_sensitivity(enum insn i, enum insn_form form);

/* The what-if machine (profile: trap.critical): is the instruction #GP(0) outside ring 0? Every critical one is, but for INT n,
 * INT3 and INT1: these go through the IDT, so that whoever owns ring 0 gets them anyhow; what would lead elsewhere than to
 * ring 0 is #GP(vector * 8 + 2) there, as if no gate had a DPL that lets them through (event.c). CPUID, RDTSC, RDTSCP, RDPMC
 * and RDPID are critical and trap: they show the real machine and its time. SYSCALL and SYSENTER enter ring 0 always, which
 * is a trap. In virtual-8086 mode segment registers hold no selectors, and nothing about them is sensitive. */
bool insn_trapped(const struct uop *u, enum cpu_mode mode);

#endif
