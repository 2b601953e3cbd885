/* control.c - the remaining system instructions: HLT, TLB and cache invalidation, time, MSRs,
 * CPUID, PAUSE.
 * Source: SDM Vol. 2, each instruction. */
#include "models/cpu/access.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

void insn_hlt(struct cpu *c, const struct uop *u)
{
	need_cpl0(c);
	vmx_intercept(c, u, VMX_I_HLT);
	c->s.activity = ACTIVITY_HLT;
	c->s.mwait = MWAIT_NOT;
	c->stat[CPU_STAT_HALT]++;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_HALT, c->s.rip, 0, 0, 0);
	cpu_attention(c);
}

/* PAUSE: its cost is the row's; a VMM may want to know of it (PAUSE-loop exiting). */
void insn_pause(struct cpu *c, const struct uop *u)
{
	vmx_pause(c, u);
}

/* The operand is an address: its segment's limit and rights are not checked, and a non-canonical
 * one does nothing. */
void insn_invlpg(struct cpu *c, const struct uop *u)
{
	need_cpl0(c);
	uint64_t lin = (c->s.seg[u->seg].base + ea_offset(c, u)) & c->lin_mask;
	vmx_invlpg(c, u, lin);
	if (canonical_now(c, lin))
		mmu_invlpg(&c->mmu, lin);
}

/* Descriptor: 11:0 PCID | 63:12 reserved | 127:64 linear address. */
void insn_invpcid(struct cpu *c, const struct uop *u)
{
	if (vmx_guest(c) && !vmx_on(c, ENABLE_INVPCID))
		cpu_raise(c, VEC_UD);
	need_cpl0(c);
	vmx_intercept(c, u, VMX_I_INVPCID);
	uint64_t type = reg_get(c, u->reg[0], cpu_long64(c) ? 8 : 4), d[2];
	cpu_load_bytes(c, u, ea_linear(c, u, 16, false), d, 16);
	if (type > INVPCID_ALL || d[0] >> 12)
		cpu_gp0(c);
	if (type <= INVPCID_CONTEXT && d[0] && !(c->s.cr4 & CR4_PCIDE))
		cpu_gp0(c);
	if (type == INVPCID_ADDRESS && !canonical_max(c, d[1]))
		cpu_gp0(c);
	mmu_invpcid(&c->mmu, (enum invpcid_type)type, d[0] & 0xfff, d[1]);
}

void insn_wbinvd(struct cpu *c, const struct uop *u)
{
	need_cpl0(c);
	vmx_intercept(c, u, VMX_I_WBINVD);
	mmu_flush_caches(&c->mmu);
}

/* Modified lines live in simulated memory already, so only time and cache contents differ: as WBINVD. */
void insn_invd(struct cpu *c, const struct uop *u)
{
	need_cpl0(c);
	vmx_intercept(c, u, VMX_I_INVD);
	mmu_flush_caches(&c->mmu);
}

/* ---- time ---- */

uint64_t cpu_tsc(const struct cpu *c)
{
	return c->ledger.now + c->s.tsc_offset;
}

static void read_tsc(struct cpu *c, const struct uop *u, enum vmx_intercept i)
{
	if (c->s.cr4 & CR4_TSD && c->s.cpl)
		cpu_gp0(c);
	vmx_intercept(c, u, i);
	uint64_t t = vmx_tsc(c);
	c->s.r[R_RAX] = (uint32_t)t;
	c->s.r[R_RDX] = t >> 32;
}

void insn_rdtsc(struct cpu *c, const struct uop *u)
{
	read_tsc(c, u, VMX_I_RDTSC);
}

/* RDTSCP and RDPID: "enable RDTSCP" clear makes them #UD in a guest. */
static void need_rdtscp(struct cpu *c)
{
	if (vmx_guest(c) && !vmx_on(c, ENABLE_RDTSCP))
		cpu_raise(c, VEC_UD);
}

void insn_rdtscp(struct cpu *c, const struct uop *u)
{
	need_rdtscp(c);
	read_tsc(c, u, VMX_I_RDTSCP);
	c->s.r[R_RCX] = (uint32_t)c->s.tsc_aux;
}

void insn_rdpid(struct cpu *c, const struct uop *u)
{
	need_rdtscp(c);
	reg_set(c, u->reg[0], cpu_long64(c) ? 8 : 4, c->s.tsc_aux);
}

/* ECX: 30 a fixed counter | 29:0 its number */
void insn_rdpmc(struct cpu *c, const struct uop *u)
{
	uint32_t n = (uint32_t)c->s.r[R_RCX];
	if (c->s.cpl && !(c->s.cr4 & CR4_PCE))
		cpu_gp0(c);
	vmx_intercept(c, u, VMX_I_RDPMC);
	bool fixed = n & BIT(30);
	n &= ~(uint32_t)BIT(30);
	if (n >= (fixed && cpu_has(c, FEATURE_PERFMON) ? PMU_FIXED : fixed ? 0 : pmu_general(c)))
		cpu_gp0(c);
	uint64_t v = pmu_read(c, fixed ? PMU_GENERAL_MAX + n : n);
	c->s.r[R_RAX] = (uint32_t)v;
	c->s.r[R_RDX] = v >> 32;
}

/* ---- MSRs, CPUID ---- */

#define MSR_TSC 0x10    /* the one a guest reads offset and scaled */

void insn_rdmsr(struct cpu *c, const struct uop *u)
{
	uint64_t v;
	need_cpl0(c);
	uint32_t nr = (uint32_t)c->s.r[R_RCX];
	vmx_msr_access(c, u, nr, false);
	if (nr == MSR_TSC && vmx_guest(c))
		v = vmx_tsc(c);
	else if (!(vmx_guest(c) && vmx_x2apic_read(c, nr, &v)) && !msr_read(c, nr, &v))
		cpu_gp0(c);
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_MSR_READ, nr, v, 0, 0);
	c->s.r[R_RAX] = (uint32_t)v;
	c->s.r[R_RDX] = v >> 32;
}

void insn_wrmsr(struct cpu *c, const struct uop *u)
{
	need_cpl0(c);
	uint32_t nr = (uint32_t)c->s.r[R_RCX];
	uint64_t v = c->s.r[R_RDX] << 32 | (uint32_t)c->s.r[R_RAX];
	vmx_msr_access(c, u, nr, true);
	if (!(vmx_guest(c) && vmx_x2apic_write(c, u, nr, v)) && !msr_write(c, nr, v))
		cpu_gp0(c);
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_MSR, nr, v, 0, 0);
}

void insn_cpuid(struct cpu *c, const struct uop *u)
{
	vmx_intercept(c, u, VMX_I_CPUID);
	uint32_t r[4];
	cpuid_leaf(c, (uint32_t)c->s.r[R_RAX], (uint32_t)c->s.r[R_RCX], r);
	c->s.r[R_RAX] = r[CPUID_EAX];
	c->s.r[R_RBX] = r[CPUID_EBX];
	c->s.r[R_RCX] = r[CPUID_ECX];
	c->s.r[R_RDX] = r[CPUID_EDX];
}
