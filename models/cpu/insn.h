/* insn.h - the instruction table: one row per mnemonic, from insn.def.
 *
 * Adding an instruction: a row in a family's .def, a body `uop_body exec_NAME` (declared here by
 * the table), a test. Executing a mnemonic without a row is #UD, and so is one whose
 * instruction-set extension CPUID does not advertise (isa.def). */
#ifndef CPU_INSN_H
#define CPU_INSN_H

#include "models/cpu/cpu.h"
#include "models/cpu/uop.h"

enum insn {
	INSN_INVALID,           /* not an instruction this CPU knows: #UD */
#define INSN(MNEMONIC, bind, body, cost, ends, sensitivity) INSN_##MNEMONIC,
#include "models/cpu/insn.def"
	INSN_N
};

enum sensitivity { INSN_INNOCUOUS, INSN_PRIVILEGED, INSN_SENSITIVE };

/* Picks the hot handler for a decoded uop, which it may adapt to it; NULL: none fits, run
 * the body. */
typedef uop_fn *uop_bind(struct uop *u, uint32_t key);

struct insn_row {
	uint16_t mnemonic;              /* ZydisMnemonic */
	uint8_t cost;                   /* enum cost */
	uint8_t ends;                   /* 1: last of its block, runs under uop_call_end */
	uint8_t sensitivity;
	uop_bind *bind;
	uop_body *body;
};
extern const struct insn_row insn_rows[INSN_N];
const char *insn_name(enum insn i);             /* Intel's mnemonic, lower case */

/* Declared by the table. */
#define INSN(MNEMONIC, bind, body, cost, ends, sensitivity) uop_body body; uop_bind bind;
#include "models/cpu/insn.def"

uop_bind bind_call;             /* no hot handler: always the body */
uop_body exec_ud;               /* #UD */

#endif
