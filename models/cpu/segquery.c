/* segquery.c - LAR, LSL, VERR, VERW, ARPL: asking about segments without using them.
 * They answer in ZF and fault only as memory accesses do. Sensitive and unprivileged: a guest sees
 * the real tables.
 * Source: SDM Vol. 2, each instruction. */
#include "models/cpu/access.h"
#include "models/cpu/sys.h"

static uint16_t selector_operand(struct cpu *c, const struct uop *u, unsigned i)
{
	if (u->kind[i] == OPK_REG)
		return (uint16_t)c->s.r[u->reg[i]];
	return cpu_load16(c, u, ea_linear(c, u, 2, false));
}

static void set_zf(struct cpu *c, bool zf)
{
	cpu_set_rflags(c, zf ? RFLAGS_ZF : 0, RFLAGS_ZF);
}

/* System types each instruction knows, a bit per type: outside and in IA-32e mode. */
#define LAR_LEGACY 0x1a3e       /* 1-5, 9, 11, 12 */
#define LAR_LONG   0x1a04       /* 2, 9, 11, 12 */
#define LSL_LEGACY 0x0a0e       /* 1-3, 9, 11 */
#define LSL_LONG   0x0a04       /* 2, 9, 11 */

/* Visible at CPL and RPL, and of a known type? */
static bool query(struct cpu *c, uint16_t sel, uint32_t legacy, uint32_t ia32e, struct desc *d)
{
	if (sel_null(sel) || !desc_read(c, sel, d))
		return false;
	int type = desc_system(d);
	if (type >= 0 && !((cpu_lma(c) ? ia32e : legacy) >> type & 1))
		return false;
	if (type < 0 && desc_is_code(d) && d->attr & TYPE_CONFORMING)
		return true;
	return desc_dpl(d) >= c->s.cpl && desc_dpl(d) >= (sel & 3u);
}

void insn_lar(struct cpu *c, const struct uop *u)
{
	struct desc d;
	need_protected(c);
	uint16_t sel = selector_operand(c, u, 1);
	bool ok = query(c, sel, LAR_LEGACY, LAR_LONG, &d);
	if (ok)
		reg_set(c, u->reg[0], u->osz, d.raw >> 32 & (u->osz == 2 ? 0xff00 : 0xffff00));
	set_zf(c, ok);
}

void insn_lsl(struct cpu *c, const struct uop *u)
{
	struct desc d;
	need_protected(c);
	uint16_t sel = selector_operand(c, u, 1);
	bool ok = query(c, sel, LSL_LEGACY, LSL_LONG, &d);
	if (ok)
		reg_set(c, u->reg[0], u->osz, d.limit);
	set_zf(c, ok);
}

static void verify(struct cpu *c, const struct uop *u, bool write)
{
	struct desc d;
	need_protected(c);
	uint16_t sel = selector_operand(c, u, 0);
	bool ok = query(c, sel, 0, 0, &d);
	if (ok && write)
		ok = desc_is_data(&d) && d.attr & TYPE_WRITE;
	else if (ok)
		ok = desc_is_data(&d) || d.attr & TYPE_READ;
	set_zf(c, ok);
}
void insn_verr(struct cpu *c, const struct uop *u) { verify(c, u, false); }
void insn_verw(struct cpu *c, const struct uop *u) { verify(c, u, true); }

void insn_arpl(struct cpu *c, const struct uop *u)
{
	need_protected(c);
	uint64_t lin = 0;
	uint16_t dst, src = (uint16_t)c->s.r[u->reg[1]];
	if (u->kind[0] == OPK_MEM) {
		lin = ea_linear(c, u, 2, true);
		dst = cpu_load16(c, u, lin);
	} else {
		dst = (uint16_t)c->s.r[u->reg[0]];
	}
	bool raise = (dst & 3) < (src & 3);
	if (raise) {
		dst = (dst & 0xfffc) | (src & 3);
		if (u->kind[0] == OPK_MEM)
			cpu_store16(c, u, lin, dst);
		else
			reg_set(c, u->reg[0], 2, dst);
	}
	set_zf(c, raise);
}
