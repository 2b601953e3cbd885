/* emit_system.c - segment and control registers, and what has nothing but a callout.
 *
 * What the guest reads of them it finds in the shared page; what it writes is for the VMM, but CR8. Translated code has SS, and in 32-bit code GS,
 * for itself. A callout is UD2: of all that enters ring 0 without a gate open to the guest the shortest.
 * Source: SDM Vol. 2, "MOV", "PUSH", "SMSW", "SLDT", "STR". */
#include "models/vmm/bt/out.h"

#include "models/cpu/sys.h"

/* ---- callouts ---- */

void emit_callout(struct out *o) { out_last_callout(o, BT_CALLOUT_EMULATE); }
void emit_ud(struct out *o) { out_last_callout(o, BT_CALLOUT_UNDEFINED); }
void emit_space(struct out *o)
{
	o->how |= BT_SPACE;
	emit_callout(o);
}

/* ---- reading ---- */

/* A register gets a member of the shared page, in the operand's size. */
static void from_shared(struct out *o, unsigned size, size_t member)
{
	if (o->u.kind[0] != OPK_REG) {
		emit_callout(o);
		return;
	}
	out_before(o, 0, 0);
	out_shared(o, size, 0x8b, o->u.reg[0], member, 0);
}
static unsigned selector_size(const struct out *o) { return out_narrow(o) ? 2 : 4; }

void emit_smsw(struct out *o) { from_shared(o, o->u.osz, SHARED(cr0)); }
void emit_sldt(struct out *o) { from_shared(o, selector_size(o), SHARED(ldtr)); }
void emit_str(struct out *o) { from_shared(o, selector_size(o), SHARED(tr)); }

/* ---- writing ---- */

static bool reserved_segment(const struct out *o, unsigned seg) { return seg == SEG_SS || (seg == SEG_GS && !out_wide(o)); }

/* Where RCX is not 0, back to a callout of this instruction. */
static void unless_zero(struct out *o, unsigned callout_at)
{
	STEP(o, CX, 0xe3, 2);
	STEP(o, CX, 0xeb, (uint8_t)(callout_at - (o->b->len + 2)));
}

/* MOV to CR8: stored when it is below 16 and no interrupt waits. No flag changes: x >> 8 and (x + 240) >> 8 are loads from the second
 * byte of what was stored. */
void emit_to_cr8(struct out *o)
{
	const unsigned r = o->u.reg[1];
	out_before(o, 0, 0);
	out_spill(o, R_RCX);
	STEP(o, CX, (uint8_t)(0x48 | (r >= 8 ? 1 : 0)), 0x8b, (uint8_t)(0xc8 | (r & 7)));
	out_before(o, CX, 0);
	out_store(o, R_RCX, SHARED(cr8_new));
	out_before(o, CX, 0);
	out_load(o, R_RCX, SHARED(cr8_new) + 1);
	out_before(o, CX, 0);
	const unsigned n = out_jrcxz(o);
	out_before(o, CX, 0);
	out_reload(o, R_RCX);
	out_callout(o, BT_CALLOUT_EMULATE, BT_AT, false);
	out_land(o, n);
	out_before(o, CX, 0);
	out_load(o, R_RCX, SHARED(cr8_new));
	STEP(o, CX, 0x48, 0x8d, 0x89, 0xf0, 0, 0, 0); /* lea rcx, [rcx + 240] */
	out_before(o, CX, 0);
	out_store(o, R_RCX, SHARED(cr8_sum));
	out_before(o, CX, 0);
	out_load(o, R_RCX, SHARED(cr8_sum) + 1);
	unless_zero(o, n);
	out_before(o, CX, 0);
	out_shared(o, 4, 0x8b, R_RCX, SHARED(tpr_wait), 0);
	unless_zero(o, n);
	out_before(o, CX, 0);
	out_load(o, R_RCX, SHARED(cr8_new));
	out_before(o, CX, 0);
	out_store(o, R_RCX, SHARED(cr8));
	out_after(o, CX, 0);
	out_reload(o, R_RCX);
}

/* DS, ES or FS in ring 1: what was DPL 0 is DPL 1 there, so that RPL 1, which ring 0 refuses, would do. The selector comes by `fetch`: MOVZX ECX. The
 * low byte of (selector - 1) * 64 is 0 for RPL 1 alone; no flag changes. */
static void load_segment(struct out *o, const uint8_t *fetch, unsigned n)
{
	out_before(o, 0, 0);
	out_spill(o, R_RCX);
	out_before(o, CX, 0);
	out_bytes(o, fetch, n);
	STEP(o, CX, 0x8d, 0x0c, 0xcd, 0xf8, 0xff, 0xff, 0xff);  /* lea ecx, [ecx * 8 - 8] */
	STEP(o, CX, 0x8d, 0x0c, 0xcd, 0, 0, 0, 0);              /* lea ecx, [ecx * 8] */
	STEP(o, CX, 0x0f, 0xb6, 0xc9);                          /* movzx ecx, cl */
	STEP(o, CX, 0xe3, 2);                                   /* jecxz: the callout */
	STEP(o, CX, 0xeb, 0);
	const unsigned jump = o->b->len;
	out_before(o, CX, 0);
	out_reload(o, R_RCX);
	out_callout(o, BT_CALLOUT_EMULATE, BT_AT, false);
	out_land(o, jump);
	out_before(o, CX, 0);
	out_reload(o, R_RCX);
	emit_copy(o);
}

static void mov_to_segment(struct out *o)
{
	const struct uop *u = &o->u;
	if (reserved_segment(o, u->reg[0]) || (u->kind[1] != OPK_REG && !out_wide(o)))
		emit_callout(o);
	else if (out_wide(o))
		emit_copy(o);
	else
		load_segment(o, (const uint8_t[]){ 0x0f, 0xb7, (uint8_t)(0xc8 | u->reg[1]) }, 3);
}

void emit_mov(struct out *o)
{
	const struct uop *u = &o->u;
	if (u->kind[0] == OPK_SEG) {
		mov_to_segment(o);
		return;
	}
	if (u->kind[1] == OPK_SEG && u->reg[1] == SEG_CS) {
		from_shared(o, selector_size(o), SHARED(cs));
	} else if (u->kind[1] == OPK_SEG && u->reg[1] == SEG_SS) {
		from_shared(o, selector_size(o), SHARED(ss));
	} else if (u->kind[1] == OPK_SEG && u->reg[1] == SEG_GS && !out_wide(o)) {
		if (u->kind[0] == OPK_REG)
			from_shared(o, selector_size(o), SHARED(gs));
		else
			out_interpret(o);
	} else if (u->kind[1] == OPK_CR && (u->reg[1] == 0 || u->reg[1] == 3 || u->reg[1] == 4)) {
		static const size_t of[5] = { SHARED(cr0), 0, 0, SHARED(cr3), SHARED(cr4) };
		from_shared(o, out_size(o), of[u->reg[1]]);
	} else if (out_wide(o) && u->kind[1] == OPK_CR && u->reg[1] == 8) {
		from_shared(o, 8, SHARED(cr8));
	} else if (out_wide(o) && u->kind[0] == OPK_CR && u->reg[0] == 8) {
		emit_to_cr8(o);
	} else if (u->kind[0] == OPK_CR || u->kind[1] == OPK_CR || u->kind[0] == OPK_DR || u->kind[1] == OPK_DR) {
		emit_callout(o);
	} else {
		emit_copy(o);
	}
}

void emit_push(struct out *o)
{
	const struct uop *u = &o->u;
	if (u->kind[0] != OPK_SEG || !(reserved_segment(o, u->reg[0]) || u->reg[0] == SEG_CS)) {
		emit_copy(o);
		return;
	}
	if (out_narrow(o) || out_wide(o)) {
		out_interpret(o);
		return;
	}
	/* "the upper 16 bits of the stack slot are not written" */
	out_before(o, 0, 0);
	out_spill(o, R_RCX);
	out_before(o, CX, 0);
	out_shared(o, 4, 0x8b, R_RCX, u->reg[0] == SEG_CS ? SHARED(cs) : u->reg[0] == SEG_SS ? SHARED(ss) : SHARED(gs), 0);
	STEP(o, CX, 0x8d, 0x64, 0x24, 0xfc);    /* lea esp, [esp - 4] */
	out_before(o, CX, 1);
	OUT(o, 0x66, 0x89, 0x0c, 0x24);         /* mov [esp], cx */
	out_after(o, CX, 0);
	out_reload(o, R_RCX);
}

void emit_pop(struct out *o)
{
	if (o->u.kind[0] == OPK_SEG && o->u.reg[0] == SEG_SS)
		emit_callout(o);
	else if (o->u.kind[0] == OPK_SEG && o->u.reg[0] == SEG_GS && !out_wide(o))
		out_interpret(o);
	else if (o->u.kind[0] == OPK_SEG && !out_wide(o))
		load_segment(o, (const uint8_t[]){ 0x0f, 0xb7, 0x0c, 0x24 }, 4);        /* [esp] */
	else
		emit_copy(o);
}

void emit_loadseg(struct out *o)
{
	if (o->u.row == INSN_LSS || !out_wide(o))
		out_interpret(o);
	else
		emit_copy(o);
}
