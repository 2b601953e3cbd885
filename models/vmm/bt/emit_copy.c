/* emit_copy.c - innocuous instructions, copied: to another address, so what is relative to RIP is not as it was.
 *
 * Such an operand is kept: as an absolute address of 32 bits where the target allows, rebased where it is within 2 GB of the cache, else
 * through a spilled register. In 32-bit code CS and GS are the VMM's: what overrides to them is interpreted.
 * Source: SDM Vol. 2, "Instruction Format", "RIP-Relative Addressing". */
#include "models/vmm/bt/out.h"

#include <string.h>

void out_find_parts(struct out *o)
{
	struct parts *p = &o->p;
	const uint8_t *b = o->bytes;
	unsigned i = 0;
	*p = (struct parts){ 0 };
	for (;; i++) {
		uint8_t x = b[i];
		if (x == 0x67)
			p->address32 = true;
		else if (x == 0x2e || x == 0x36 || x == 0x3e || x == 0x26 || x == 0x64 || x == 0x65)
			p->segment = x;
		else if (x != 0x66 && x != 0xf0 && x != 0xf2 && x != 0xf3)
			break;
	}
	if (out_wide(o) && (b[i] & 0xf0) == 0x40) {
		p->has_rex = true;
		p->rex = i++;
	}
	if (o->u.flags & UOP_VEX) {
		p->vex = true;
		p->vex3 = b[i] == 0xc4;
		p->rex = i + 1;
		i += p->vex3 ? 3 : 2;
	} else if (b[i] == 0x0f) {
		i++;
		if (b[i] == 0x38 || b[i] == 0x3a)
			i++;
	}
	p->opcode = i;
	p->modrm = i + 1;
}

/* A register that is not named by the instruction: one of those that are implicit only where memory is not relative to RIP. */
static unsigned free_register(const struct out *o)
{
	static const uint8_t candidates[] = { R_RSI, R_RDI, R_RBP };
	unsigned reg = o->bytes[o->p.modrm] >> 3 & 7, vvvv = 16;
	if (o->p.vex)
		vvvv = ~((unsigned)o->bytes[o->p.rex + (o->p.vex3 ? 1 : 0)] >> 3) & 7;
	for (unsigned i = 0; i < 2; i++)
		if (candidates[i] != reg && candidates[i] != vvvv)
			return candidates[i];
	return candidates[2];
}

/* The instruction with another memory operand (or the same one), its REX or VEX bits B and X clear: ModRM's mod, rm, and what
 * follows; then the rest of its bytes. */
static void rewrite(struct out *o, uint8_t mod_rm, const void *more, unsigned n)
{
	uint8_t copy[INSN_BYTES_MAX];
	const struct parts *p = &o->p;
	memcpy(copy, o->bytes, o->u.len);
	if (p->has_rex)
		copy[p->rex] &= 0xfc;
	if (p->vex3)
		copy[p->rex] |= 0x60;
	copy[p->modrm] = (copy[p->modrm] & 0x38) | mod_rm;
	out_bytes(o, copy, p->modrm + 1);
	out_bytes(o, more, n);
	out_bytes(o, copy + p->modrm + 5, o->u.len - p->modrm - 5u);
}

static void copy_relative(struct out *o)
{
	uint64_t target = o->next + (uint64_t)o->u.disp;
	unsigned tail = o->u.len - o->p.modrm - 5u;
	int32_t d;
	if (o->p.address32)
		target &= MASK(32);
	if (out_fits32(target) || o->p.address32) {
		uint8_t sib[5] = { 0x25 };
		memcpy(sib + 1, &target, 4);
		out_before(o, 0, 0);
		rewrite(o, 4, sib, 5);
		return;
	}
	uint64_t here = o->at + o->b->len + o->p.modrm + 5 + tail;
	if (out_fits32(target - here)) {
		d = (int32_t)(target - here);
		out_before(o, 0, 0);
		rewrite(o, 5, &d, 4);
		return;
	}
	unsigned reg = free_register(o), bit = 1u << reg;
	out_before(o, 0, 0);
	out_spill(o, reg);
	STEP(o, bit, 0x48, (uint8_t)(0xb8 + reg));
	out_bytes(o, &target, 8);
	out_before(o, bit, 0);
	rewrite(o, (uint8_t)(reg == R_RBP ? 0x40 | reg : reg), "", reg == R_RBP ? 1 : 0);
	out_after(o, bit, 0);
	out_reload(o, reg);
}

void emit_copy(struct out *o)
{
	if (out_lost_segment(o)) {
		out_interpret(o);
		return;
	}
	if (out_relative(o)) {
		copy_relative(o);
		return;
	}
	out_before(o, 0, 0);
	out_bytes(o, o->bytes, o->u.len);
}
