/* sysflags.c - CLI, STI, PUSHF, POPF, CLAC, STAC: flags that are not arithmetic's.
 *
 * Which bits POPF and IRET may change:
 *   IF    CPL <= IOPL, or real mode        IOPL  CPL 0 (never in virtual-8086 mode)
 *   VM, VIF, VIP, RF  never by POPF (RF is cleared); IRET at CPL 0 loads them
 * In virtual-8086 mode with IOPL < 3, CR4.VME lets VIF stand in for IF; CR4.PVI does so for CLI and
 * STI at CPL 3.
 * POPF and PUSHF are what made the IA-32 architecture not classically virtualizable: they do not
 * fault, they differ.
 * Source: SDM Vol. 2, "CLI", "STI", "PUSHF", "POPF"; Vol. 3B, "Protected-Mode Virtual
 * Interrupts". */
#include "models/cpu/access.h"
#include "models/cpu/sys.h"

void flags_changed(struct cpu *c)
{
	cpu_mode_changed(c);
	cpu_attention(c);
}

uint64_t popf_mask(const struct cpu *c, unsigned osz)
{
	uint64_t m = RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;
	if (osz != 2)
		m |= RFLAGS_AC | RFLAGS_ID;
	if (c->s.cpl <= cpu_iopl(c))
		m |= RFLAGS_IF;
	if (c->s.cpl == 0)
		m |= RFLAGS_IOPL;
	return m;
}

/* Who may touch IF, and does VIF stand in for it? Raises #GP(0) when neither. */
static bool uses_vif(struct cpu *c)
{
	if (cpu_real(c) || c->s.cpl <= cpu_iopl(c))
		return false;
	if (cpu_v86(c) ? c->s.cr4 & CR4_VME : c->s.cpl == 3 && c->s.cr4 & CR4_PVI)
		return true;
	cpu_gp0(c);
	return false;
}

void insn_cli(struct cpu *c, const struct uop *u)
{
	(void)u;
	c->s.flags &= ~(uint64_t)(uses_vif(c) ? RFLAGS_VIF : RFLAGS_IF);
}

/* "If IF = 0, maskable hardware interrupts remain blocked on the instruction boundary following an
 * execution of STI." */
void insn_sti(struct cpu *c, const struct uop *u)
{
	(void)u;
	if (uses_vif(c)) {
		if (c->s.flags & RFLAGS_VIP)
			cpu_gp0(c);
		c->s.flags |= RFLAGS_VIF;
		return;
	}
	if (!(c->s.flags & RFLAGS_IF))
		c->s.shadow |= 1;
	c->s.flags |= RFLAGS_IF;
	cpu_attention(c);
}

void insn_pushf(struct cpu *c, const struct uop *u)
{
	uint64_t fl = cpu_rflags(c) & ~(uint64_t)(RFLAGS_VM | RFLAGS_RF);
	if (cpu_v86(c) && cpu_iopl(c) < 3) {
		if (!(c->s.cr4 & CR4_VME) || u->osz != 2)
			cpu_gp0(c);
		fl = (fl & ~(uint64_t)RFLAGS_IF) | RFLAGS_IOPL | (fl & RFLAGS_VIF ? RFLAGS_IF : 0);
	}
	cpu_push(c, u, u->osz, fl);
}

void insn_popf(struct cpu *c, const struct uop *u)
{
	uint64_t mask = popf_mask(c, u->osz);
	bool vme = cpu_v86(c) && cpu_iopl(c) < 3;
	if (vme && (!(c->s.cr4 & CR4_VME) || u->osz != 2))
		cpu_gp0(c);
	uint64_t sp = c->s.r[R_RSP], fl = cpu_pop(c, u, u->osz);
	if (vme) {
		if ((fl & RFLAGS_IF && c->s.flags & RFLAGS_VIP) || fl & RFLAGS_TF) {
			c->s.r[R_RSP] = sp;
			cpu_gp0(c);
		}
		fl = (fl & ~(uint64_t)RFLAGS_VIF) | (fl & RFLAGS_IF ? RFLAGS_VIF : 0);
		mask |= RFLAGS_VIF;
	}
	cpu_set_rflags(c, fl, mask);
	c->s.flags &= ~(uint64_t)RFLAGS_RF;
	flags_changed(c);
}

static void need_smap(struct cpu *c)
{
	if (c->s.cpl || c->s.mode == MODE_V86 || !cpu_has(c, FEATURE_SMAP))
		cpu_raise(c, VEC_UD);
}
void insn_clac(struct cpu *c, const struct uop *u)
{
	(void)u;
	need_smap(c);
	c->s.flags &= ~(uint64_t)RFLAGS_AC;
	cpu_mode_changed(c);
}
void insn_stac(struct cpu *c, const struct uop *u)
{
	(void)u;
	need_smap(c);
	c->s.flags |= RFLAGS_AC;
	cpu_mode_changed(c);
}
