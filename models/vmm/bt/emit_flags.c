/* emit_flags.c - CLI, STI, PUSHF, POPF: the status flags are the CPU's, IF and IOPL virtual, in the shared page.
 *
 * PUSHF adds what the real flags lack: the virtual IF, and flags_delta. POPF looks bits 15:8 up in the head's table: the virtual IF they are, and
 * whether the VMM must see them (TF, IOPL, NT). STI and POPF look whether an interrupt waits; it comes behind the instruction after STI.
 * Source: SDM Vol. 2, "CLI", "STI", "PUSHF", "POPF". Simplified: 16-bit operands are interpreted. */
#include "models/vmm/bt/out.h"

#include "models/cpu/sys.h"

static void store_vif(struct out *o, uint32_t x)
{
	out_before(o, 0, 0);
	out_shared(o, 4, 0xc7, 0, SHARED(vif), 4);
	out_imm32(o, x);
}

void emit_cli(struct out *o) { store_vif(o, 0); }

/* RCX = pending, and the callout if it is 1; RCX and `held` are reloaded. */
static void look_pending(struct out *o, unsigned held, bool shadow)
{
	uint8_t how = shadow ? BT_SHADOW : 0;
	unsigned n;
	if (!held) {
		o->how = how;
		out_after(o, 0, 0);
		out_spill(o, R_RCX);
	}
	o->how = how;
	out_after(o, CX | held, 0);
	out_shared(o, 4, 0x8b, R_RCX, SHARED(pending), 0);
	o->how = how;
	out_after(o, CX | held, 0);
	n = out_jrcxz(o);
	for (unsigned r = 0; r < 2; r++)
		if ((CX | held) >> r & 1) {
			o->how = how;
			out_after(o, CX | held, 0);
			out_reload(o, r);
		}
	o->how = how;
	out_callout(o, BT_CALLOUT_PENDING, BT_AT, true);
	out_land(o, n);
	for (unsigned r = 0; r < 2; r++)
		if ((CX | held) >> r & 1) {
			o->how = how;
			out_after(o, CX | held, 0);
			out_reload(o, r);
		}
	o->how = how;
}

void emit_sti(struct out *o)
{
	store_vif(o, (uint32_t)RFLAGS_IF);
	look_pending(o, 0, true);
}

static void lea_cx_cx_ax(struct out *o) { out_rex_w(o); OUT(o, 0x8d, 0x0c, 0x01); }

void emit_pushf(struct out *o)
{
	if (out_narrow(o)) {
		out_interpret(o);
		return;
	}
	out_before(o, 0, 0);
	out_byte(o, 0x9c);
	out_before(o, 0, 1);
	out_spill(o, R_RCX);
	out_before(o, CX, 1);
	out_spill(o, R_RAX);
	out_before(o, CX | AX, 1);
	out_rex_w(o), OUT(o, 0x8b, 0x0c, 0x24);
	out_before(o, CX | AX, 1);
	out_shared(o, 4, 0x8b, R_RAX, SHARED(vif), 0);
	out_before(o, CX | AX, 1);
	lea_cx_cx_ax(o);
	out_before(o, CX | AX, 1);
	out_load(o, R_RAX, SHARED(flags_delta));
	out_before(o, CX | AX, 1);
	lea_cx_cx_ax(o);
	out_before(o, CX | AX, 1);
	out_rex_w(o), OUT(o, 0x89, 0x0c, 0x24);
	out_after(o, CX | AX, 0);
	out_reload(o, R_RCX);
	out_after(o, CX | AX, 0);
	out_reload(o, R_RAX);
}

void emit_popf(struct out *o)
{
	if (out_narrow(o)) {
		out_interpret(o);
		return;
	}
	out_before(o, 0, 0);
	out_spill(o, R_RCX);
	out_before(o, CX, 0);
	out_spill(o, R_RAX);
	out_before(o, CX | AX, 0);
	out_rex_w(o), OUT(o, 0x8b, 0x0c, 0x24);
	STEP(o, CX | AX, 0x0f, 0xb6, 0xcd);     /* movzx ecx, ch */
	out_before(o, CX | AX, 0);
	if (out_wide(o)) {
		OUT(o, 0x48, 0x8d);             /* lea rax, [head + table] */
		out_near(o, R_RAX, o->env->head + BT_HEAD_POPF, 0);
	} else {
		out_byte(o, 0xb8);
		out_imm32(o, o->env->head + BT_HEAD_POPF);
	}
	out_before(o, CX | AX, 0);
	out_rex_w(o), OUT(o, 0x8d, 0x04, 0x08); /* lea rax, [rax + rcx] */
	out_before(o, CX | AX, 0);
	if (!out_wide(o))
		out_byte(o, 0x65);
	OUT(o, 0x0f, 0xb6, 0x88);               /* movzx ecx, byte [rax + 256] */
	out_imm32(o, 256);
	out_before(o, CX | AX, 0);
	unsigned n = out_jrcxz(o);
	out_before(o, CX | AX, 0);
	out_reload(o, R_RCX);
	out_before(o, CX | AX, 0);
	out_reload(o, R_RAX);
	out_callout(o, BT_CALLOUT_EMULATE, BT_AT, false);
	out_land(o, n);
	out_before(o, CX | AX, 0);
	if (!out_wide(o))
		out_byte(o, 0x65);
	OUT(o, 0x0f, 0xb6, 0x00);               /* movzx eax, byte [rax] */
	out_before(o, CX | AX, 0);
	out_byte(o, 0x9d);
	o->how = BT_VIF_AL;
	out_after(o, CX | AX, 0);
	out_shared(o, 1, 0x88, R_RAX, SHARED(vif) + 1, 0);
	look_pending(o, AX, false);
}
