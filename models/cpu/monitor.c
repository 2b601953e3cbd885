/* monitor.c - MONITOR and MWAIT: halting until somebody stores to a line.
 *
 * MONITOR arms the line: its page gets PAGE_MONITOR, so every store to it, whoever's, comes by cpu_monitor_written().
 * A store to the line disarms it, and ends MWAIT when the CPU is there already; MWAIT with nothing armed does nothing.
 * Waiting is activity HLT with `mwait` set. It ends by that store or by what ends HLT; with ECX bit 0 also by an interrupt
 * that RFLAGS.IF keeps out, which then stays pending.
 * Source: SDM Vol. 2A, "MONITOR"; Vol. 2B, "MWAIT"; Vol. 3A, "MONITOR/MWAIT Instruction", "Determining
 * Availability of the MONITOR/MWAIT Feature"; Vol. 3C, "Changes to Instruction Behavior in VMX Non-Root Operation".
 * Timing: base cost HLT each; MONITOR's line is loaded.
 * Simplified: hints in EAX are not looked at, every C-state is C1. A line outside RAM is never stored to. */
#include "models/cpu/access.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

void monitor_off(struct cpu *c)
{
	c->s.monitor_pa = MONITOR_NONE;         /* the page keeps its flag until it is next written */
}

/* "#UD if the current privilege level is not 0", or the feature is off in IA32_MISC_ENABLE; or hidden: a virtual CPU's model
 * that interprets decodes what its host has. */
static void need_monitor(struct cpu *c)
{
	if (c->s.cpl || !(c->s.misc_enable & MISC_ENABLE_MONITOR) || !cpu_has(c, FEATURE_MONITOR))
		cpu_raise(c, VEC_UD);
}

void insn_monitor(struct cpu *c, const struct uop *u)
{
	struct walk_record r;
	need_monitor(c);
	vmx_intercept(c, u, VMX_I_MONITOR);
	if ((uint32_t)c->s.r[R_RCX])
		cpu_gp0(c);                     /* no extension is defined */
	uint64_t off = c->s.r[R_RAX] << u->ash >> u->ash;
	uint64_t lin = seg_linear(c, u, (enum seg_reg)u->seg, off, 1, false);
	(void)cpu_load8(c, u, lin);
	if (!mmu_peek(&c->mmu, lin, &r))
		return;
	c->s.monitor_pa = r.hpa.v & ~(uint64_t)(MONITOR_LINE - 1);
	mem_flag_set(c->mmu.mem, r.hpa, PAGE_MONITOR);
}

void insn_mwait(struct cpu *c, const struct uop *u)
{
	uint32_t extensions = (uint32_t)c->s.r[R_RCX];
	need_monitor(c);
	vmx_mwait(c, u);
	if (extensions & ~1u)
		cpu_gp0(c);
	if (c->s.monitor_pa == MONITOR_NONE)
		return;
	c->s.activity = ACTIVITY_HLT;
	c->s.mwait = extensions ? MWAIT_MASKED : MWAIT_OPEN;
	c->stat[CPU_STAT_MWAIT]++;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_HALT, c->s.rip, 0, 0, 0);
	cpu_attention(c);
}

bool cpu_monitor_written(struct cpu *c, hpa_t pa, unsigned len)
{
	uint64_t line = c->s.monitor_pa;
	if (line == MONITOR_NONE || pa.v + len <= line || pa.v >= line + MONITOR_LINE)
		return false;
	monitor_off(c);
	if (!c->s.mwait)
		return false;
	c->stat[CPU_STAT_MWAIT_STORE]++;
	return true;
}

bool mwait_over(const struct cpu *c)
{
	if (!c->s.mwait)
		return false;
	return c->s.monitor_pa == MONITOR_NONE || (c->s.mwait == MWAIT_MASKED && cpu_interrupt_pending(c));
}
