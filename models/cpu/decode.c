/* decode.c - turns one x86 instruction into a uop, with Zydis.
 *
 * Zydis says which instruction it is and which operands it has; here operands become register
 * slots, the address a recipe (base + index << scale + displacement), the row of insn.def a handler
 * or a body, and cost.def a number. Cost of an instruction: its row's class, plus LOAD and STORE
 * for a memory operand it names, plus LOCK.
 *
 * Illegal uses of LOCK, reserved encodings and extensions CPUID does not advertise all become #UD.
 * Source: SDM Vol. 2, "Instruction Format". */
#include "models/cpu/decode.h"

#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "models/cpu/cet.h"
#include "models/cpu/cpuid.h"
#include "models/cpu/exec.h"
#include "models/cpu/sensitivity.h"
#include "models/cpu/sse.h"
#include "models/cpu/sys.h"
#include "sim/err.h"

struct decoder {
	ZydisDecoder mode[8];                                   /* by enum cpu_mode */
	uint16_t row[ZYDIS_MNEMONIC_MAX_VALUE + 1];             /* enum insn */
	uint8_t absent[ZYDIS_ISA_SET_MAX_VALUE + 1];            /* not advertised */
};

static const struct { ZydisMachineMode mode; ZydisStackWidth stack; } modes[8] = {
	[MODE_REAL16]   = { ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
	[MODE_REAL32]   = { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
	[MODE_V86]      = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
	[MODE_PROT16]   = { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
	[MODE_PROT32]   = { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
	[MODE_COMPAT16] = { ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16 },
	[MODE_COMPAT32] = { ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32 },
	[MODE_LONG64]   = { ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
};

struct decoder *decoder_new(const struct cpu *c)
{
	struct decoder *d = xcalloc(1, sizeof *d);
	for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
		ZydisDecoderInit(&d->mode[i], modes[i].mode, modes[i].stack);
		/* Encodings that are NOPs, or older instructions, on a CPU without the
		 * extension. */
		ZydisDecoderEnableMode(&d->mode[i], ZYDIS_DECODER_MODE_MPX, false);
		ZydisDecoderEnableMode(&d->mode[i], ZYDIS_DECODER_MODE_CET, cet_exists(c));
		ZydisDecoderEnableMode(&d->mode[i], ZYDIS_DECODER_MODE_CLDEMOTE, false);
		ZydisDecoderEnableMode(&d->mode[i], ZYDIS_DECODER_MODE_WBNOINVD, false);
		ZydisDecoderEnableMode(&d->mode[i], ZYDIS_DECODER_MODE_LZCNT,
		                       cpu_has(c, FEATURE_LZCNT));
		ZydisDecoderEnableMode(&d->mode[i], ZYDIS_DECODER_MODE_TZCNT,
		                       cpu_has(c, FEATURE_BMI1));
	}
	for (enum insn i = 0; i < INSN_N; i++)
		d->row[insn_rows[i].mnemonic] = (uint16_t)i;
#define ISA(SET, FEATURE) d->absent[ZYDIS_ISA_SET_##SET] = !cpu_has(c, FEATURE_##FEATURE);
#include "models/cpu/isa.def"
	return d;
}

void decoder_free(struct decoder *d)
{
	free(d);
}

/* ---- operands ---- */

/* Slot of a general register, for addresses. */
static uint8_t slot(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return (uint8_t)(r - ZYDIS_REGISTER_AX);
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return (uint8_t)(r - ZYDIS_REGISTER_EAX);
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return (uint8_t)(r - ZYDIS_REGISTER_RAX);
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return R_RIP;
	return R_ZERO;
}

/* Byte offset of an 8-bit register in cpu->s.r. */
static uint8_t byte_slot(ZydisRegister r)
{
	if (r <= ZYDIS_REGISTER_BL)
		return (uint8_t)((r - ZYDIS_REGISTER_AL) * 8);
	if (r <= ZYDIS_REGISTER_BH)
		return (uint8_t)((r - ZYDIS_REGISTER_AH) * 8 + 1);
	return (uint8_t)((r - ZYDIS_REGISTER_SPL + R_RSP) * 8);
}

static bool operand_reg(struct uop *u, unsigned i, ZydisRegister r)
{
	uint8_t kind, n = (uint8_t)ZydisRegisterGetId(r);
	switch (ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_GPR8:    kind = OPK_REG, n = byte_slot(r); break;
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:   kind = OPK_REG, n = slot(r); break;
	case ZYDIS_REGCLASS_SEGMENT: kind = OPK_SEG; break;
	case ZYDIS_REGCLASS_CONTROL: kind = OPK_CR; break;
	case ZYDIS_REGCLASS_DEBUG:   kind = OPK_DR; break;
	case ZYDIS_REGCLASS_XMM:     kind = OPK_XMM; break;
	case ZYDIS_REGCLASS_MMX:     kind = OPK_MMX; break;
	case ZYDIS_REGCLASS_X87:     kind = OPK_ST; break;
	default: return false;
	}
	u->kind[i] = kind;
	u->reg[i] = n;
	return true;
}

static enum seg_reg segment(ZydisRegister r)
{
	return r == ZYDIS_REGISTER_NONE ? SEG_DS : (enum seg_reg)(r - ZYDIS_REGISTER_ES);
}

static void operand_mem(struct uop *u, const ZydisDecodedOperand *o)
{
	u->base = slot(o->mem.base);
	u->index = slot(o->mem.index);
	u->scale = o->mem.scale > 1 ? (uint8_t)__builtin_ctz(o->mem.scale) : 0;
	u->disp = o->mem.disp.has_displacement ? o->mem.disp.value : 0;
	u->seg = (uint8_t)segment(o->mem.segment);
	u->msz = o->size / 8 <= 255 ? (uint8_t)(o->size / 8) : 0;
	if (o->mem.type != ZYDIS_MEMOP_TYPE_MEM)
		u->msz = 0;
	if (o->actions & (ZYDIS_OPERAND_ACTION_READ | ZYDIS_OPERAND_ACTION_CONDREAD))
		u->flags |= UOP_MEM_READ;
	if (o->actions & (ZYDIS_OPERAND_ACTION_WRITE | ZYDIS_OPERAND_ACTION_CONDWRITE))
		u->flags |= UOP_MEM_WRITE;
}

static bool operands(struct uop *u, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *op)
{
	bool imm = false;
	for (unsigned i = 0; i < z->operand_count_visible && i < 3; i++) {
		const ZydisDecodedOperand *o = &op[i];
		u->sz[i] = o->size / 8 <= 255 ? (uint8_t)(o->size / 8) : 0;
		switch (o->type) {
		case ZYDIS_OPERAND_TYPE_REGISTER:
			if (!operand_reg(u, i, o->reg.value))
				return false;
			break;
		case ZYDIS_OPERAND_TYPE_MEMORY:
			u->kind[i] = OPK_MEM;
			operand_mem(u, o);
			break;
		case ZYDIS_OPERAND_TYPE_POINTER:
			u->kind[i] = OPK_IMM;
			u->imm = (int64_t)((uint64_t)o->ptr.segment << 32 | o->ptr.offset);
			break;
		case ZYDIS_OPERAND_TYPE_IMMEDIATE:
			u->kind[i] = OPK_IMM;
			if (imm)
				u->disp = o->imm.value.s;
			else
				u->imm = o->imm.value.s;
			imm = true;
			break;
		default:
			return false;
		}
	}
	/* Strings, XLAT, MASKMOV: the segment of the operand an override applies to, and the
	 * operand's size. */
	bool found = false;
	for (unsigned i = z->operand_count_visible; i < z->operand_count; i++) {
		const ZydisDecodedOperand *o = &op[i];
		uint8_t base = o->type == ZYDIS_OPERAND_TYPE_MEMORY ? slot(o->mem.base) : R_RSP;
		if (base == R_RSP || base == R_RBP || u->kind[0] == OPK_MEM)
			continue;
		u->msz = (uint8_t)(o->size / 8);
		if (!found || o->mem.segment != ZYDIS_REGISTER_ES)
			u->seg = (uint8_t)segment(o->mem.segment);
		found = true;
	}
	return true;
}

/* ---- instructions that share a mnemonic ---- */

/* The segment a prefix names; in 64-bit mode only FS and GS count. */
static enum seg_reg overridden(const ZydisDecodedInstruction *z)
{
	enum seg_reg seg = SEG_DS;
	bool all = z->machine_mode != ZYDIS_MACHINE_MODE_LONG_64;
	for (unsigned i = 0; i < z->raw.prefix_count; i++) {
		switch (z->raw.prefixes[i].value) {
		case 0x26: seg = all ? SEG_ES : seg; break;
		case 0x2e: seg = all ? SEG_CS : seg; break;
		case 0x36: seg = all ? SEG_SS : seg; break;
		case 0x3e: seg = all ? SEG_DS : seg; break;
		case 0x64: seg = SEG_FS; break;
		case 0x65: seg = SEG_GS; break;
		}
	}
	return seg;
}

/* MOV, PUSH, POP of special registers; far JMP, CALL, RET. Sets the body and returns the
 * cost class. */
static enum cost form(struct uop *u, const ZydisDecodedInstruction *z, enum cost cost, bool *ends)
{
	bool far = z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		if (u->kind[0] == OPK_SEG) {
			u->body = insn_mov_to_seg, *ends = true;
			return COST_SEGLOAD;
		}
		if (u->kind[1] == OPK_SEG)
			u->body = insn_mov_from_seg;
		if (u->kind[0] == OPK_CR) {
			u->body = insn_mov_to_cr, *ends = true;
			return u->reg[0] == 3 ? COST_CR3_WRITE : u->reg[0] == 8 ? COST_CR8_WRITE :
			       COST_CR_WRITE;
		}
		if (u->kind[0] == OPK_DR) {
			u->body = insn_mov_to_dr, *ends = true;
			return COST_CR_WRITE;
		}
		if (u->kind[1] == OPK_CR || u->kind[1] == OPK_DR) {
			u->body = u->kind[1] == OPK_CR ? insn_mov_from_cr : insn_mov_from_dr;
			return COST_CR_READ;
		}
		return cost;
	case ZYDIS_MNEMONIC_PUSH:
		if (u->kind[0] == OPK_SEG)
			u->body = insn_push_seg;
		return cost;
	case ZYDIS_MNEMONIC_POP:
		if (u->kind[0] == OPK_SEG) {
			u->body = insn_pop_seg, *ends = true;
			return COST_SEGLOAD;
		}
		return cost;
	case ZYDIS_MNEMONIC_JMP:
		if (far)
			u->body = insn_jmp_far, cost = COST_FAR;
		else if (u->kind[0] != OPK_IMM)
			cost = COST_INDIRECT;
		return cost;
	case ZYDIS_MNEMONIC_CALL:
		if (far)
			u->body = insn_call_far, cost = COST_FAR;
		else if (u->kind[0] != OPK_IMM)
			cost = COST_INDIRECT;
		return cost;
	case ZYDIS_MNEMONIC_RET:
		if (far)
			u->body = insn_ret_far, cost = COST_FAR;
		return cost;
	case ZYDIS_MNEMONIC_MOVSD:              /* an SSE instruction too, when it names operands */
		if (u->kind[0] != OPK_NONE)
			u->body = sse_movsd, cost = COST_SSE_MOV;
		return cost;
	case ZYDIS_MNEMONIC_CMPSD:
		if (u->kind[0] != OPK_NONE)
			u->body = sse_cmpsd, cost = COST_SSE;
		return cost;
	case ZYDIS_MNEMONIC_MONITOR:            /* its address is no operand to the decoder */
		u->seg = (uint8_t)overridden(z);
		return cost;
	default:
		return cost;
	}
}

/* Control-flow enforcement is in force: near calls, returns and indirect jumps do more, ENDBRANCH does something. */
static void enforced(struct uop *u, const ZydisDecodedInstruction *z, uint32_t key, const struct profile *prof)
{
	const bool ss = key & KEY_SS, ibt = key & KEY_IBT, near = z->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR;
	const bool indirect = u->kind[0] != OPK_IMM;
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_CALL:
		if (near && (ss || (ibt && indirect)))
			u->body = cet_call, u->cost += ss ? prof->cost[COST_STORE] : 0;
		break;
	case ZYDIS_MNEMONIC_JMP:
		if (near && ibt && indirect)
			u->body = cet_jmp;
		break;
	case ZYDIS_MNEMONIC_RET:
		if (near && ss)
			u->body = cet_ret, u->cost += prof->cost[COST_LOAD];
		break;
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_ENDBR64:
		if (ibt && (z->mnemonic == ZYDIS_MNEMONIC_ENDBR64) == ((key & KEY_MODE) == MODE_LONG64))
			u->body = cet_endbr;
		break;
	default:
		break;
	}
	u->notrack = (z->attributes & ZYDIS_ATTRIB_HAS_NOTRACK) != 0;
}

static void bad(struct uop *u, const struct profile *prof, uop_body *body)
{
	memset(u, 0, sizeof *u);
	u->fn = uop_call_end;
	u->body = body;
	u->flags = UOP_END;
	u->cost = (uint16_t)prof->cost[COST_UD];
	u->len = 1;
	u->base = u->index = R_ZERO;
}

/* The tracker waits for ENDBRANCH and this is not it, whatever else it is: INT3 alone is let through. */
static void missing(struct uop *u, const struct profile *prof)
{
	uint8_t len = u->len;
	bad(u, prof, cet_missing);
	u->flags |= UOP_REP;            /* may let it be executed after all */
	u->len = len ? len : 1;
}

static bool accepts_rep(const ZydisDecodedInstruction *z)
{
	return z->attributes & (ZYDIS_ATTRIB_ACCEPTS_REP | ZYDIS_ATTRIB_ACCEPTS_REPE |
	                        ZYDIS_ATTRIB_ACCEPTS_REPNE);
}

static uint8_t prefixes(const ZydisDecodedInstruction *z)
{
	uint8_t f = 0;
	if (z->attributes & ZYDIS_ATTRIB_HAS_LOCK)
		f |= UOP_LOCK;
	if (!accepts_rep(z))
		return f;
	/* the last of F2 and F3 counts; MOVS, STOS, LODS, INS and OUTS repeat with either */
	for (unsigned i = 0; i < z->raw.prefix_count; i++) {
		if (z->raw.prefixes[i].value == 0xF3)
			f = (f & ~UOP_REPNE) | UOP_REP;
		if (z->raw.prefixes[i].value == 0xF2)
			f = (f & ~UOP_REP) | UOP_REPNE;
	}
	return f;
}

bool decode(const struct decoder *d, const struct profile *prof, uint32_t key, const uint8_t *p,
            unsigned n, struct uop *u)
{
	unsigned mode = key & KEY_MODE;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZyanStatus status = ZydisDecoderDecodeFull(&d->mode[mode], p,
	                                           n < INSN_BYTES_MAX ? n : INSN_BYTES_MAX, &z, op);
	if (status == ZYDIS_STATUS_NO_MORE_DATA) {
		if (n < INSN_BYTES_MAX)
			return false;
		status = ZYDIS_STATUS_INSTRUCTION_TOO_LONG;
	}
	if (!ZYAN_SUCCESS(status) && key & KEY_WAIT) {
		u->len = 0;
		missing(u, prof);
		return true;
	}
	if (!ZYAN_SUCCESS(status)) {
		bad(u, prof, status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ? exec_gp0 : exec_ud);
		return true;
	}
	const struct insn_row *row = &insn_rows[d->row[z.mnemonic]];
	memset(u, 0, sizeof *u);
	u->base = u->index = R_ZERO;
	u->seg = SEG_DS;
	bool vex = z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	if (!d->row[z.mnemonic] || d->absent[z.meta.isa_set] || (vex && mode <= MODE_V86) ||
	    !operands(u, &z, op)) {
		bad(u, prof, exec_ud);
		if (key & KEY_WAIT)
			missing(u, prof);
		return true;
	}
	/* x87: the opcode's low three bits and ModRM, which is what FOP keeps */
	if (z.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    z.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (z.opcode & 0xf8) == 0xd8)
		u->imm = (z.opcode & 7) << 8 | z.raw.modrm.mod << 6 | z.raw.modrm.reg << 3 |
		         z.raw.modrm.rm;
	bool ends = row->ends;
	u->row = d->row[z.mnemonic];
	u->body = row->body;
	u->len = z.length;
	u->osz = (uint8_t)(z.operand_width / 8);
	u->ash = (uint8_t)(64 - z.address_width);
	u->cc = z.opcode & 15;
	u->flags |= prefixes(&z) | (mode == MODE_LONG64 ? UOP_LONG : 0) | (vex ? UOP_VEX : 0);
	uint64_t cost = prof->cost[form(u, &z, row->cost, &ends)];
	if (u->flags & UOP_MEM_READ)
		cost += prof->cost[COST_LOAD];
	if (u->flags & UOP_MEM_WRITE)
		cost += prof->cost[COST_STORE];
	if ((u->flags & UOP_LOCK) || (z.mnemonic == ZYDIS_MNEMONIC_XCHG &&
	                              (u->flags & UOP_MEM_READ)))
		cost += prof->cost[COST_LOCK];
	if ((u->flags & (UOP_REP | UOP_REPNE)) && !ends)
		cost = prof->cost[COST_REP];
	u->cost = cost < 1 ? 1 : cost > UINT16_MAX ? UINT16_MAX : (uint16_t)cost;
	if (unlikely(key & (KEY_SS | KEY_IBT)))
		enforced(u, &z, key, prof);
	if (unlikely(key & KEY_WAIT)) {
		ends = true;
		if (u->body != cet_endbr && z.mnemonic != ZYDIS_MNEMONIC_INT3) {
			missing(u, prof);
			return true;
		}
	}
	if (ends)
		u->flags |= UOP_END;
	uop_fn *hot = u->body == row->body ? row->bind(u, key) : u->body == sse_movsd ?
	              bind_sse_movsd(u, key) : NULL;
	u->fn = hot ? hot : ends ? uop_call_end : uop_call;
	if (unlikely(key & KEY_TRAP) && insn_trapped(u, mode)) {        /* its body stays: it tells what the instruction is */
		u->fn = uop_trap;
		u->flags |= UOP_END;
	}
	return true;
}
