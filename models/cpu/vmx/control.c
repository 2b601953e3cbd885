/* control.c - the controls: which may be 0 or 1 on this CPU, and the capability MSRs that say so.
 *
 * A control may be 1 when the CPU's generation has it (control.def) and what it governs exists. From that one fact follow
 * the MSRs, the entry checks and the behaviour. Controls without a row are reserved; the default1 class of them reads
 * and must be 1. From Nehalem on the TRUE MSRs tell that some of the default1 class may be 0 after all.
 * Source: SDM Vol. 3D, "VMX Capability Reporting Facility"; Vol. 3C, "VM-Execution Control Fields". */
#include "models/cpu/cet.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

const struct vmx_control_row vmx_control_rows[VMX_CONTROLS] = {
#define CONTROL(WORD, NAME, bit, since, name, sentence) [VMX_##NAME] = { name, sentence, VMX_WORD_##WORD, bit, since },
#include "models/cpu/vmx/control.def"
};

const struct exit_reason_row exit_reason_rows[EXIT_REASONS] = {
#define REASON(NAME, number, name, sentence) [number] = { name, sentence },
#include "models/cpu/vmx/exit_reason.def"
};

/* SDM Vol. 3D, "Reserved Controls and Default Settings": bits that must be 1 as far as the plain MSRs tell. */
static const uint32_t default1[VMX_WORDS] = {
	[VMX_WORD_PIN] = 0x00000016, [VMX_WORD_PROC] = 0x0401e172, [VMX_WORD_EXIT] = 0x00036dff, [VMX_WORD_ENTRY] = 0x000011ff,
};

static bool has_true_msrs(const struct cpu *c) { return cpu_generation(c->profile) >= GEN_NEHALEM; }

/* A control is worth nothing without what it governs. */
static bool governed_exists(const struct cpu *c, enum vmx_control n)
{
	switch (n) {
	case VMX_ENABLE_RDTSCP:     return cpu_has(c, FEATURE_RDTSCP);
	case VMX_ENABLE_INVPCID:    return cpu_has(c, FEATURE_INVPCID);
	case VMX_VIRTUALIZE_X2APIC: return cpu_has(c, FEATURE_X2APIC);
	case VMX_RDRAND_EXITING:    return cpu_has(c, FEATURE_RDRAND);
	case VMX_RDSEED_EXITING:    return cpu_has(c, FEATURE_RDSEED);
	case VMX_XSAVES:            return cpu_has(c, FEATURE_XSAVES);
	case VMX_EXIT_LOAD_CET:
	case VMX_ENTRY_LOAD_CET:    return cet_exists(c);
	case VMX_EXIT_LOAD_PERF:
	case VMX_ENTRY_LOAD_PERF:   return cpu_has(c, FEATURE_PERFMON);
	default:                    return true;
	}
}

bool vmx_may_be(const struct cpu *c, enum vmx_control n)
{
	return vmx_control_rows[n].since <= cpu_generation(c->profile) && governed_exists(c, n) &&
	       !(c->hidden_vmx.control[n / 64] >> n % 64 & 1);
}

void vmx_allowed(const struct cpu *c, enum vmx_word w, bool plain, uint32_t *must, uint32_t *may)
{
	uint32_t can = 0;
	for (unsigned i = 0; i < VMX_CONTROLS; i++)
		if (vmx_control_rows[i].word == w && vmx_may_be(c, (enum vmx_control)i))
			can |= 1u << vmx_control_rows[i].bit;
	*may = can | default1[w];
	*must = default1[w] & ~(plain || !has_true_msrs(c) ? 0 : can);
}

static uint64_t allowed(const struct cpu *c, enum vmx_word w, bool plain)
{
	uint32_t must, may;
	vmx_allowed(c, w, plain, &must, &may);
	return (uint64_t)may << 32 | must;
}

/* ---- control registers: SDM Vol. 3D, "VMX-Fixed Bits in CR0", "... CR4" ---- */

uint64_t vmx_cr0_fixed0(const struct cpu *c)
{
	(void)c;
	return CR0_PG | CR0_NE | CR0_PE;
}
uint64_t vmx_cr0_fixed1(const struct cpu *c)
{
	(void)c;
	return 0xffffffff;
}
uint64_t vmx_cr4_fixed0(const struct cpu *c)
{
	(void)c;
	return CR4_VMXE;
}
uint64_t vmx_cr4_fixed1(const struct cpu *c) { return cr4_valid_bits(c); }

/* ---- the MSRs ---- */

/* 30:0 revision | 44:32 bytes of a region | 48 32-bit addresses only | 49 dual monitor | 53:50 memory type: 6 | 54 INS and
 * OUTS report their operands | 55 TRUE MSRs | 56 any hardware exception may be injected without an error code */
static uint64_t basic(const struct cpu *c)
{
	bool later = has_true_msrs(c);
	return VMCS_REVISION | (uint64_t)PAGE_SIZE << 32 | 6ull << 50 | (later ? BIT(54) | BIT(55) : 0) |
	       (cpu_generation(c->profile) >= GEN_SKYLAKE ? BIT(56) : 0);
}

uint64_t vmx_misc(const struct cpu *c)
{
	unsigned gen = cpu_generation(c->profile);
	uint64_t v = VMX_TIMER_SHIFT | (vmx_may_be(c, VMX_UNRESTRICTED) ? VMX_MISC_LMA : 0) | VMX_MISC_ACTIVITY |
	             4ull << 16 /* CR3-target values */ | (gen >= GEN_HASWELL ? VMX_MISC_WRITE_ALL : 0) |
	             (gen >= GEN_SKYLAKE ? VMX_MISC_LENGTH_0 : 0);
	return v & ~c->hidden_vmx.misc;
}

static uint64_t highest_index(const struct cpu *c)
{
	unsigned n = 0;
	for (unsigned i = 0; i < VMCS_N; i++) {
		unsigned index = vmcs_rows[i].encoding >> 1 & 0x1ff;
		if (index > n && vmcs_exists(c, (enum vmcs_field)i))
			n = index;
	}
	return (uint64_t)n << 1;
}

uint64_t vmx_ept_vpid_cap(const struct cpu *c)
{
	unsigned gen = cpu_generation(c->profile);
	uint64_t v = 0;
	if (vmx_may_be(c, VMX_ENABLE_EPT))
		v |= EPT_CAP_EXECUTE_ONLY | EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_INVEPT |
		     EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL | (cpu_has(c, FEATURE_PDPE1GB) ? EPT_CAP_1G : 0) |
		     (cpu_has(c, FEATURE_LA57) ? EPT_CAP_WALK_5 : 0) | (gen >= GEN_HASWELL ? EPT_CAP_AD : 0) |
		     (gen >= GEN_SKYLAKE ? EPT_CAP_ADVANCED : 0) | (cpu_has(c, FEATURE_SHSTK) ? EPT_CAP_SSS : 0);
	if (vmx_may_be(c, VMX_VPID))
		v |= VPID_CAP_INVVPID | VPID_CAP_ADDRESS | VPID_CAP_SINGLE | VPID_CAP_ALL | VPID_CAP_SINGLE_NOT_GLOBAL;
	return v & ~c->hidden_vmx.ept_vpid;
}

/* 2:0 memory type | 5:3 walk length - 1 | 6 accessed and dirty flags | 7 supervisor shadow-stack control | 11:8 0 | the PML4 or PML5 table's address */
bool vmx_eptp_valid(const struct cpu *c, uint64_t eptp)
{
	uint64_t cap = vmx_ept_vpid_cap(c);
	unsigned type = eptp & 7, length = (eptp >> 3 & 7) + 1;
	bool type_ok = type == 0 ? cap & EPT_CAP_UC : type == 6 && cap & EPT_CAP_WB;
	bool length_ok = length == 4 ? cap & EPT_CAP_WALK_4 : length == 5 && cap & EPT_CAP_WALK_5;
	return type_ok && length_ok && !(eptp & BIT(6) && !(cap & EPT_CAP_AD)) &&
	       !(eptp & BIT(7) && !(cap & EPT_CAP_SSS)) && !(eptp & 0xf00) &&
	       !(eptp & ~MASK(c->profile->phys_bits));
}

uint64_t vmx_vmfunc_cap(const struct cpu *c)
{
	return vmx_may_be(c, VMX_ENABLE_VMFUNC) ? VMFUNC_EPTP_SWITCHING : 0;
}

bool vmx_msr_read(const struct cpu *c, uint32_t nr, uint64_t *v)
{
	bool later = has_true_msrs(c);
	switch (nr) {
	case 0x480: *v = basic(c); return true;
	case 0x481: *v = allowed(c, VMX_WORD_PIN, true); return true;
	case 0x482: *v = allowed(c, VMX_WORD_PROC, true); return true;
	case 0x483: *v = allowed(c, VMX_WORD_EXIT, true); return true;
	case 0x484: *v = allowed(c, VMX_WORD_ENTRY, true); return true;
	case 0x485: *v = vmx_misc(c); return true;
	case 0x486: *v = vmx_cr0_fixed0(c); return true;
	case 0x487: *v = vmx_cr0_fixed1(c); return true;
	case 0x488: *v = vmx_cr4_fixed0(c); return true;
	case 0x489: *v = vmx_cr4_fixed1(c); return true;
	case 0x48a: *v = highest_index(c); return true;
	case 0x48b: *v = allowed(c, VMX_WORD_PROC2, true); return vmx_may_be(c, VMX_SECONDARY_CONTROLS);
	case 0x48c: *v = vmx_ept_vpid_cap(c); return *v != 0;
	case 0x48d: *v = allowed(c, VMX_WORD_PIN, false); return later;
	case 0x48e: *v = allowed(c, VMX_WORD_PROC, false); return later;
	case 0x48f: *v = allowed(c, VMX_WORD_EXIT, false); return later;
	case 0x490: *v = allowed(c, VMX_WORD_ENTRY, false); return later;
	case 0x491: *v = vmx_vmfunc_cap(c); return *v != 0;
	default:    return false;
	}
}

/* ---- what follows from the state ---- */

void vmx_derive(struct cpu *c)
{
	static const enum vmcs_field field[VMX_WORDS] = {
		[VMX_WORD_PIN] = VMCS_PIN_CONTROLS, [VMX_WORD_PROC] = VMCS_PROC_CONTROLS, [VMX_WORD_PROC2] = VMCS_PROC2_CONTROLS,
		[VMX_WORD_EXIT] = VMCS_EXIT_CONTROLS, [VMX_WORD_ENTRY] = VMCS_ENTRY_CONTROLS,
	};
	c->vmcs = c->vmx.current < 0 ? NULL : &c->vmx.slot[c->vmx.current];
	for (unsigned i = 0; i < VMX_WORDS; i++)
		c->ctl[i] = c->vmcs ? (uint32_t)c->vmcs->f[field[i]] : 0;
	/* "If that control [activate secondary controls] is 0, the logical processor operates as if all the secondary
	 * processor-based VM-execution controls were 0." */
	if (!vmx_on(c, SECONDARY_CONTROLS))
		c->ctl[VMX_WORD_PROC2] = 0;
}

void vmx_reset(struct cpu *c)
{
	memset(&c->vmx, 0, sizeof c->vmx);
	c->vmx.vmxon = VMCS_NONE;
	c->vmx.current = -1;
	c->vmx.timer_end = NEVER;
	for (unsigned i = 0; i < VMCS_SLOTS; i++)
		c->vmx.slot[i].pa = VMCS_NONE;
	vmx_derive(c);
}

/* What a snapshot may say. */
bool vmx_state_valid(void *who, const void *state)
{
	const struct cpu *c = who;
	static const uint64_t none = VMCS_NONE;
	struct vmx_state s;
	memcpy(&s, state, sizeof s);
	if (s.current < -1 || s.current >= VMCS_SLOTS || s.guest > 1 || s.service > 1 || s.mtf_pending > 1 ||
	    s.deprivileged > 1 || s.virtual_user > 1 || (s.deprivileged && s.vmxon != none))
		return false;
	if (s.vm >= LEDGER_VMS_MAX || (s.trap && s.trap != EXIT_TPR_BELOW && s.trap != EXIT_EOI && s.trap != EXIT_APIC_WRITE))
		return false;
	if (!s.guest && (s.trap || s.mtf_pending || s.virtual_pending || s.timer_end != NEVER))
		return false;
	for (unsigned i = 0; i < VMCS_SLOTS; i++) {
		const struct vmcs *v = &s.slot[i];
		if (v->pa == none)
			continue;
		if (v->pa & (PAGE_SIZE - 1) || !mem_ptr(c->mmu.mem, HPA(v->pa)) || v->launched > 1 || v->shadow > 1)
			return false;
		for (unsigned k = 0; k < VMCS_N; k++)
			if (v->f[k] & ~vmcs_mask((enum vmcs_field)k))
				return false;
	}
	if (s.current >= 0 && s.slot[s.current].pa == none)
		return false;
	return s.vmxon == none ? s.current < 0 && !s.guest : !s.guest || s.current >= 0;
}
