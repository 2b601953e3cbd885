/* insn.c - the instruction table itself, and what rows share. */
#include "models/cpu/insn.h"

#include <Zydis/Zydis.h>


const struct insn_row insn_rows[INSN_N] = {
	[INSN_INVALID] = { ZYDIS_MNEMONIC_INVALID, COST_UD, 1, INSN_INNOCUOUS, bind_call, exec_ud },
#define INSN(MNEMONIC, bind, body, cost, ends, sensitivity) \
	[INSN_##MNEMONIC] = { ZYDIS_MNEMONIC_##MNEMONIC, COST_##cost, ends, INSN_##sensitivity, bind, body },
#include "models/cpu/insn.def"
};

uop_fn *bind_call(struct uop *u, uint32_t key)
{
	(void)u, (void)key;
	return NULL;
}

void exec_ud(struct cpu *c, const struct uop *u)
{
	(void)u;
	cpu_raise(c, VEC_UD);
}

const char *insn_name(enum insn i)
{
	return i == INSN_INVALID ? "(bad)" : ZydisMnemonicGetString(insn_rows[i].mnemonic);
}
