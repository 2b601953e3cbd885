/* fastcall.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT: system calls without descriptors.
 * CS and SS come from MSRs with fixed hidden parts; no memory is touched.
 * Source: SDM Vol. 2B, each instruction. As on Intel processors SYSCALL and SYSRET are #UD outside
 * 64-bit mode, and SYSRET checks RCX before it leaves ring 0. */
#include "models/cpu/access.h"
#include "models/cpu/cet.h"
#include "models/cpu/sys.h"

/* Flat segments as these instructions make them: base 0, limit 4 GB, accessed. */
static void flat(struct cpu *c, enum seg_reg i, uint16_t sel, uint32_t attr)
{
	struct desc d = { .base = 0,
		          .limit = 0xffffffff,
		          .attr = attr | SEG_G | SEG_P | SEG_S | TYPE_ACCESSED };
	seg_set(c, i, sel, &d);
}

static void flat_code(struct cpu *c, uint16_t sel, unsigned cpl, bool is64)
{
	struct desc d = { .limit = 0xffffffff,
		          .attr = SEG_G | SEG_P | SEG_S | TYPE_CODE | TYPE_READ | TYPE_ACCESSED |
		                  cpl << 5 | (is64 ? SEG_L : SEG_DB) };
	cs_load(c, sel, &d, cpl);
}
static void flat_stack(struct cpu *c, uint16_t sel, unsigned cpl)
{
	flat(c, SEG_SS, sel, SEG_DB | TYPE_WRITE | cpl << 5);
}

/* The single-step trap after SYSCALL and SYSRET goes by TF as they leave it. */
static void step_by_new_tf(struct cpu *c)
{
	c->s.mark = (uint8_t)((c->s.mark & ~MARK_TF) | (c->s.flags & RFLAGS_TF ? MARK_TF : 0));
}

void insn_syscall(struct cpu *c, const struct uop *u)
{
	(void)u;
	if (!cpu_long64(c) || !(c->s.efer & EFER_SCE))
		cpu_raise(c, VEC_UD);
	c->stat[CPU_STAT_SYSCALL]++;
	uint16_t sel = (uint16_t)(c->s.star >> 32);
	uint64_t fl = cpu_rflags(c);
	c->s.r[R_RCX] = c->next_rip;
	c->s.r[R_R11] = fl & ~(uint64_t)RFLAGS_RF;
	cpu_set_rflags(c, 0, c->s.fmask | RFLAGS_RF);
	cet_system_call(c);
	flat_code(c, sel & 0xfffc, 0, true);
	flat_stack(c, (uint16_t)((sel + 8) & 0xffff), 0);
	c->next_rip = c->s.lstar;
	step_by_new_tf(c);
	flags_changed(c);
	flow_tell(c, FLOW_SYSCALL);
}

void insn_sysret(struct cpu *c, const struct uop *u)
{
	if (!cpu_long64(c) || !(c->s.efer & EFER_SCE))
		cpu_raise(c, VEC_UD);
	need_cpl0(c);
	uint64_t rip = c->s.r[R_RCX];
	bool to64 = u->osz == 8;
	if (to64 && !canonical_now(c, rip))
		cpu_gp0(c);
	uint16_t sel = (uint16_t)(c->s.star >> 48);
	cpu_set_rflags(c, c->s.r[R_R11], ~(uint64_t)(RFLAGS_RF | RFLAGS_VM) & 0x3f7fd7);
	c->s.flags &= ~(uint64_t)RFLAGS_RF;
	flat_code(c, (uint16_t)((to64 ? sel + 16 : sel) | 3), 3, to64);
	flat_stack(c, (uint16_t)((sel + 8) | 3), 3);
	c->next_rip = to64 ? rip : (uint32_t)rip;
	cet_system_return(c);
	step_by_new_tf(c);
	flags_changed(c);
	flow_tell(c, FLOW_SYSRET);
}

void insn_sysenter(struct cpu *c, const struct uop *u)
{
	(void)u;
	if (c->s.mode <= MODE_REAL32 || (c->s.sysenter_cs & 0xfffc) == 0)
		cpu_gp0(c);
	c->stat[CPU_STAT_SYSCALL]++;
	bool lma = cpu_lma(c);
	uint16_t sel = c->s.sysenter_cs & 0xfffc;
	c->s.flags &= ~(uint64_t)(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF);
	cet_system_call(c);
	flat_code(c, sel, 0, lma);
	flat_stack(c, (uint16_t)(sel + 8), 0);
	c->s.r[R_RSP] = lma ? c->s.sysenter_esp : (uint32_t)c->s.sysenter_esp;
	c->next_rip = lma ? c->s.sysenter_eip : (uint32_t)c->s.sysenter_eip;
	flags_changed(c);
	flow_tell(c, FLOW_SYSCALL);
}

void insn_sysexit(struct cpu *c, const struct uop *u)
{
	if (c->s.mode <= MODE_REAL32 || (c->s.sysenter_cs & 0xfffc) == 0)
		cpu_gp0(c);
	need_cpl0(c);
	bool to64 = u->osz == 8;
	uint64_t rip = c->s.r[R_RDX], rsp = c->s.r[R_RCX];
	if (to64 && (!canonical_now(c, rip) || !canonical_now(c, rsp)))
		cpu_gp0(c);
	uint16_t sel = (uint16_t)((c->s.sysenter_cs & 0xfffc) + (to64 ? 32 : 16));
	flat_code(c, sel | 3, 3, to64);
	flat_stack(c, (uint16_t)((sel + 8) | 3), 3);
	c->s.r[R_RSP] = to64 ? rsp : (uint32_t)rsp;
	c->next_rip = to64 ? rip : (uint32_t)rip;
	cet_system_return(c);
	cpu_attention(c);
	flow_tell(c, FLOW_SYSRET);
}
