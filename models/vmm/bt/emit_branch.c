/* emit_branch.c - branches: direct ones are chained, indirect ones and returns looked up.
 *
 * A direct branch leaves by a jump whose displacement the VMM sets when it chains the block to its target's; until then it leads to a
 * stub, a callout. An indirect one, and RET, ends in the lookup in the cache's head (head.c), with its target in RCX.
 * Simplified: 16-bit operands, and memory operands in segments translated code does not have, are interpreted. */
#include "models/vmm/bt/out.h"

/* RCX = the operand of an indirect CALL or JMP. */
static void load_target(struct out *o)
{
	const struct uop *u = &o->u;
	out_before(o, 0, 0);
	out_spill(o, R_RCX);
	out_before(o, CX, 0);
	if (u->kind[0] == OPK_REG) {
		unsigned r = u->reg[0];
		if (out_wide(o))
			out_byte(o, (uint8_t)(0x48 | (r >= 8 ? 1 : 0)));
		OUT(o, 0x8b, (uint8_t)(0xc8 | (r & 7)));
		return;
	}
	uint8_t rex = o->p.has_rex ? o->bytes[o->p.rex] & 3 : 0;
	if (out_relative(o)) {
		uint64_t target = o->next + (uint64_t)u->disp;
		OUT(o, 0x48, 0xb9);
		out_bytes(o, &target, 8);
		STEP(o, CX, 0x48, 0x8b, 0x09);
		return;
	}
	if (o->p.address32)
		out_byte(o, 0x67);
	if (o->p.segment)
		out_byte(o, o->p.segment);
	if (out_wide(o))
		out_byte(o, (uint8_t)(0x48 | rex));
	out_byte(o, 0x8b);
	out_byte(o, (uint8_t)((o->bytes[o->p.modrm] & 0xc7) | R_RCX << 3));
	out_bytes(o, o->bytes + o->p.modrm + 1, o->u.len - o->p.modrm - 1u);
}

static void push_return(struct out *o, unsigned held)
{
	out_before(o, held, 0);
	out_byte(o, 0x68);
	out_imm32(o, o->next);
	if (out_wide(o) && !out_fits32(o->next)) {
		out_before(o, held, 1);
		OUT(o, 0xc7, 0x44, 0x24, 0x04);
		out_imm32(o, o->next >> 32);
	}
}

/* Not translated: 16-bit operands, and memory operands in segments that translated code does not have. */
static bool odd_branch(struct out *o)
{
	bool far = uop_form(&o->u) == FORM_FAR;
	if (far)
		emit_callout(o);
	else if (out_narrow(o) || (out_lost_segment(o) && o->u.kind[0] == OPK_MEM) ||
	         (o->p.address32 && out_relative(o)))
		out_interpret(o);
	else
		return false;
	return true;
}

void emit_jmp(struct out *o)
{
	if (odd_branch(o))
		return;
	if (o->u.kind[0] == OPK_IMM) {
		out_before(o, 0, 0);
		out_jump(o, o->next + (uint64_t)o->u.imm);
		o->ended = true;
		return;
	}
	load_target(o);
	out_lookup(o);
}

void emit_call(struct out *o)
{
	if (odd_branch(o))
		return;
	if (o->u.kind[0] == OPK_IMM) {
		push_return(o, 0);
		out_leave(o, o->next + (uint64_t)o->u.imm);
		o->ended = true;
		return;
	}
	load_target(o);
	push_return(o, CX);
	out_lookup(o);
}

void emit_ret(struct out *o)
{
	if (odd_branch(o))
		return;
	out_before(o, 0, 0);
	out_spill(o, R_RCX);
	out_before(o, CX, 0);
	out_byte(o, 0x59);
	if (o->u.kind[0] == OPK_IMM && o->u.imm) {
		out_before(o, CX, -1);
		out_rex_w(o);
		OUT(o, 0x8d, 0xa4, 0x24);
		out_imm32(o, (uint64_t)o->u.imm & 0xffff);
	}
	out_lookup(o);
}

void emit_jcc(struct out *o)
{
	if (out_narrow(o)) {
		out_interpret(o);
		return;
	}
	STEP(o, 0, (uint8_t)(0x70 | (o->bytes[o->p.opcode] & 15)), 5);
	out_leave(o, o->next);
	out_leave(o, o->next + (uint64_t)o->u.imm);
	o->ended = true;
}

void emit_loop(struct out *o)
{
	if (out_narrow(o)) {
		out_interpret(o);
		return;
	}
	out_before(o, 0, 0);
	if (o->p.address32)
		out_byte(o, 0x67);
	OUT(o, o->bytes[o->p.opcode], 5);
	out_leave(o, o->next);
	out_leave(o, o->next + (uint64_t)o->u.imm);
	o->ended = true;
}
