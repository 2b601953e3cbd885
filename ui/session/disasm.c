/* disasm.c - see disasm.h. */
#include "ui/session/disasm.h"

#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdio.h>

#include "models/cpu/sys.h"
#include "models/symbols.h"
#include "ui/session/view.h"

const char *symbol_of(const struct symtab *symbols, uint64_t addr, char *buf, size_t n)
{
	uint64_t off = 0;
	const struct symbol *s = symtab_at(symbols, addr, &off);
	if (!s)
		buf[0] = '\0';
	else if (off)
		snprintf(buf, n, "%s+%#" PRIx64, s->name, off);
	else
		snprintf(buf, n, "%s", s->name);
	return buf;
}

unsigned disassemble_bytes(unsigned mode, const uint8_t *bytes, size_t have, const struct symtab *symbols, uint64_t lin, char *buf, size_t n)
{
	static const struct { uint8_t machine, stack; } modes[] = {
		[MODE_REAL16] = { ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
		[MODE_REAL32] = { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		[MODE_V86] = { ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
		[MODE_PROT16] = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
		[MODE_PROT32] = { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		[MODE_COMPAT16] = { ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16 },
		[MODE_COMPAT32] = { ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32 },
		[MODE_LONG64] = { ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	};
	ZydisDecoder decoder;
	ZydisFormatter formatter;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	buf[0] = '\0';
	if (!have)
		return 0;
	ZydisDecoderInit(&decoder, (ZydisMachineMode)modes[mode].machine, (ZydisStackWidth)modes[mode].stack);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, have, &insn, operand))) {
		snprintf(buf, n, "(bad)");
		return 1;
	}
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_PADDING_DISABLED);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_PADDING_DISABLED);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED);
	ZydisFormatterFormatInstruction(&formatter, &insn, operand, insn.operand_count_visible, buf, n, lin, NULL);
	/* a branch's target by its name */
	for (unsigned i = 0; i < insn.operand_count_visible; i++) {
		ZyanU64 to;
		char name[80];
		if (operand[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand[i].imm.is_relative &&
		    ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&insn, &operand[i], lin, &to)) && symbol_of(symbols, to, name, sizeof name)[0])
			snprintf(buf, n, "%s %s", ZydisMnemonicGetString(insn.mnemonic), name);
	}
	return insn.length;
}

unsigned disassemble_at(struct run *top, const struct cpu *c, const struct symtab *symbols, uint64_t lin, char *buf, size_t n)
{
	uint8_t bytes[15];
	return disassemble_bytes(c->s.mode, bytes, view_bytes(top, c, lin, bytes, sizeof bytes), symbols, lin, buf, n);
}
