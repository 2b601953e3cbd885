/* dtr.c - GDTR, IDTR, LDTR, TR: loads (privileged) and stores (sensitive: any level may look,
 * unless CR4.UMIP).
 * Source: SDM Vol. 2, each instruction; Vol. 3A, "System Instructions", "Memory-Management
 * Registers". */
#include "models/cpu/access.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

static uint16_t selector_operand(struct cpu *c, const struct uop *u)
{
	if (u->kind[0] == OPK_REG)
		return (uint16_t)c->s.r[u->reg[0]];
	return cpu_load16(c, u, ea_linear(c, u, 2, false));
}

/* Limit, then base: 24 bits of it with a 16-bit operand size, 64 in 64-bit mode. */
static void load_table(struct cpu *c, const struct uop *u, struct dtr *t)
{
	need_cpl0(c);
	vmx_intercept(c, u, VMX_I_GDTR_IDTR);
	unsigned n = cpu_long64(c) ? 8 : 4;
	uint8_t buf[10];
	uint16_t limit;
	uint64_t base = 0;
	cpu_load_bytes(c, u, ea_linear(c, u, n + 2, false), buf, n + 2);
	memcpy(&limit, buf, 2);
	memcpy(&base, buf + 2, n);
	if (n == 4 && u->osz == 2)
		base &= 0xffffff;
	if (n == 8 && !canonical_max(c, base))
		cpu_gp0(c);
	t->base = base;
	t->limit = limit;
}
void insn_lgdt(struct cpu *c, const struct uop *u) { load_table(c, u, &c->s.gdtr); }
void insn_lidt(struct cpu *c, const struct uop *u) { load_table(c, u, &c->s.idtr); }

static void store_table(struct cpu *c, const struct uop *u, const struct dtr *t)
{
	need_umip(c);
	vmx_intercept(c, u, VMX_I_GDTR_IDTR);
	unsigned n = cpu_long64(c) ? 8 : 4;
	uint8_t buf[10];
	uint16_t limit = (uint16_t)t->limit;
	memcpy(buf, &limit, 2);
	memcpy(buf + 2, &t->base, n);
	cpu_store_bytes(c, u, ea_linear(c, u, n + 2, true), buf, n + 2);
}
void insn_sgdt(struct cpu *c, const struct uop *u) { store_table(c, u, &c->s.gdtr); }
void insn_sidt(struct cpu *c, const struct uop *u) { store_table(c, u, &c->s.idtr); }

void insn_lldt(struct cpu *c, const struct uop *u)
{
	struct desc d;
	need_protected(c);
	need_cpl0(c);
	vmx_intercept(c, u, VMX_I_LDTR_TR);
	uint16_t sel = selector_operand(c, u);
	if (sel_null(sel)) {
		seg_set_null(c, SEG_LDTR, sel);
		return;
	}
	if (sel & 4)
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	desc_need(c, sel, VEC_GP, &d);
	if (desc_system(&d) != DESC_LDT)
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	if (cpu_lma(c))
		d.base = desc_upper(c, sel, &d, VEC_GP);
	if (!(d.attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(sel));
	if (!canonical_max(c, d.base))
		cpu_gp0(c);
	seg_set(c, SEG_LDTR, sel, &d);
}

void insn_ltr(struct cpu *c, const struct uop *u)
{
	struct desc d;
	need_protected(c);
	need_cpl0(c);
	vmx_intercept(c, u, VMX_I_LDTR_TR);
	uint16_t sel = selector_operand(c, u);
	if (sel_null(sel))
		cpu_gp0(c);
	if (sel & 4)
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	desc_need(c, sel, VEC_GP, &d);
	int type = desc_system(&d);
	if (type != DESC_TSS32 && (type != DESC_TSS16 || cpu_lma(c)))
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	if (cpu_lma(c))
		d.base = desc_upper(c, sel, &d, VEC_GP);
	if (!(d.attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(sel));
	if (!canonical_max(c, d.base))
		cpu_gp0(c);
	/* "marks the TSS descriptor busy" */
	cpu_sys_store(c, d.lin + 4, 4, d.raw >> 32 | BIT(9));
	d.attr |= 2;
	seg_set(c, SEG_TR, sel, &d);
}

static void store_selector(struct cpu *c, const struct uop *u, enum seg_reg i)
{
	need_protected(c);
	need_umip(c);
	vmx_intercept(c, u, VMX_I_LDTR_TR);
	uint16_t sel = c->s.seg[i].sel;
	if (u->kind[0] == OPK_REG)
		reg_set(c, u->reg[0], u->osz, sel);
	else
		cpu_store16(c, u, ea_linear(c, u, 2, true), sel);
}
void insn_sldt(struct cpu *c, const struct uop *u) { store_selector(c, u, SEG_LDTR); }
void insn_str(struct cpu *c, const struct uop *u) { store_selector(c, u, SEG_TR); }
