/* reflect.c - an exit of L2 has come: is it L1's? By the controls of vmcs12, as the hardware would have judged had they been the only ones.
 * Source: SDM Vol. 3C, "Instructions That Cause VM Exits", "Other Causes of VM Exits"; reflect.def has a row an exit reason.
 * Timing: NESTED_REFLECT, and the references to the copy of vmcs12 and to L1's bitmaps. */
#include "models/vmm/nested/nested.h"

#include "models/cpu/sys.h"

enum { MSR_WRITE = 2048, MSR_HIGH = 1024 };

static bool reflects_always(struct vcpu *v) { return (void)v, true; }
static bool reflects_never(struct vcpu *v) { return (void)v, false; }

static bool reflects_exception(struct vcpu *v)
{
	uint32_t info = (uint32_t)vcpu_get(v, VMCS_EXIT_INTR_INFO), vector = info & 0xff;
	bool bit = vmcs12_get(v, VMCS_EXCEPTION_BITMAP) >> (vector & 31) & 1;
	if ((info >> 8 & 7) == EVENT_NMI)
		return false;           /* the host's */
	if (vector != VEC_PF || (info >> 8 & 7) != EVENT_HARDWARE)
		return bit;
	uint64_t error = vcpu_get(v, VMCS_EXIT_INTR_ERROR);
	return bit == ((error & vmcs12_get(v, VMCS_PFEC_MASK)) == vmcs12_get(v, VMCS_PFEC_MATCH));
}

/* ---- control registers ---- */

static bool owned_differs(struct vcpu *v, enum vmcs_field mask, enum vmcs_field shadow, uint64_t x, uint64_t which)
{
	return (x ^ vmcs12_get(v, shadow)) & vmcs12_get(v, mask) & which;
}

static bool cr3_target(struct vcpu *v, uint64_t x)
{
	uint64_t n = vmcs12_get(v, VMCS_CR3_TARGET_COUNT);
	for (unsigned i = 0; i < n && i < 4; i++)
		if (vmcs12_get(v, (enum vmcs_field)(VMCS_CR3_TARGET0 + i)) == x)
			return true;
	return false;
}

/* Qualification: 3:0 register | 5:4 to, from, CLTS, LMSW | 11:8 general register | 31:16 LMSW's source. */
static bool reflects_cr(struct vcpu *v)
{
	uint64_t q = vcpu_get(v, VMCS_EXIT_QUALIFICATION), x;
	unsigned cr = q & 15;
	switch (q >> 4 & 3) {
	case 0:
		x = vcpu_reg(v, q >> 8 & 15);
		if (cr == 0)
			return owned_differs(v, VMCS_CR0_MASK, VMCS_CR0_SHADOW, x, ~0ull);
		if (cr == 4)
			return owned_differs(v, VMCS_CR4_MASK, VMCS_CR4_SHADOW, x, ~0ull);
		return cr == 3 ? vmcs12_on(v, VMX_CR3_LOAD_EXITING) && !cr3_target(v, x) : vmcs12_on(v, VMX_CR8_LOAD_EXITING);
	case 1:
		return vmcs12_on(v, cr == 3 ? VMX_CR3_STORE_EXITING : VMX_CR8_STORE_EXITING);
	case 2:
		return vmcs12_get(v, VMCS_CR0_MASK) & vmcs12_get(v, VMCS_CR0_SHADOW) & CR0_TS;
	default: {              /* LMSW: EM, MP and TS as they differ, PE only when it becomes 1 */
		uint64_t shadow = vmcs12_get(v, VMCS_CR0_SHADOW);
		x = q >> 16 & 15;
		return owned_differs(v, VMCS_CR0_MASK, VMCS_CR0_SHADOW, x, CR0_MP | CR0_EM | CR0_TS | (x & ~shadow & CR0_PE));
	}
	}
}

/* ---- ports and MSRs ---- */

static bool l1_bit(struct vcpu *v, uint64_t map, uint32_t bit)
{
	uint64_t x;
	l1_read(v, map + (bit >> 3), 1, &x);
	return x >> (bit & 7) & 1;
}

static bool reflects_io(struct vcpu *v)
{
	uint64_t q = vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	uint32_t port = q >> 16 & 0xffff, size = (q & 7) + 1;
	if (!vmcs12_on(v, VMX_IO_BITMAPS))
		return vmcs12_on(v, VMX_IO_EXITING);
	if (port + size > 0x10000)
		return true;
	for (uint32_t p = port; p < port + size; p++)
		if (l1_bit(v, vmcs12_get(v, p & 0x8000 ? VMCS_IO_BITMAP_B : VMCS_IO_BITMAP_A), p & 0x7fff))
			return true;
	return false;
}

static bool msr(struct vcpu *v, uint32_t which)
{
	uint32_t nr = (uint32_t)v->cpu->s.r[R_RCX];
	bool high = nr - 0xc0000000 <= 0x1fff;
	if (!vmcs12_on(v, VMX_MSR_BITMAPS) || !(nr <= 0x1fff || high))
		return true;
	return l1_bit(v, vmcs12_get(v, VMCS_MSR_BITMAPS) + which + (high ? MSR_HIGH : 0), nr & 0x1fff);
}
static bool reflects_rdmsr(struct vcpu *v) { return msr(v, 0); }
static bool reflects_wrmsr(struct vcpu *v) { return msr(v, MSR_WRITE); }

static bool reflects_timer(struct vcpu *v) { return nested_timer_over(v); }
static bool reflects_pause(struct vcpu *v) { return vmcs12_on(v, VMX_PAUSE_EXITING) || vmcs12_on(v, VMX_PAUSE_LOOP); }

/* ---- EPT ---- */

static bool reflects_ept(struct vcpu *v)
{
	struct nested_walk *w = &v->nested->walk;
	uint64_t q = vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	nested_walk12(v, vcpu_get(v, VMCS_GUEST_PHYSICAL), w);
	return w->end != WALK12_MAPPED || (q & 7 & ~w->rights);
}

/* ---- the table ---- */

typedef bool rule_fn(struct vcpu *v);
static bool reflects_on(struct vcpu *v) { return (void)v, false; }     /* by the row's control, below */
static const struct { rule_fn *rule; uint8_t control; const char *sentence; } rows[EXIT_REASONS] = {
#define REFLECT(REASON, rule_, CONTROL, sentence_) [EXIT_##REASON] = { reflects_##rule_, VMX_##CONTROL, sentence_ },
#include "models/vmm/nested/reflect.def"
};

const char *nested_reflects_sentence(uint32_t reason) { return reason < EXIT_REASONS ? rows[reason].sentence : NULL; }

bool nested_reflects(struct vcpu *v, uint32_t reason)
{
	const uint32_t basic = reason & 0xffff;
	vmm_cost(v->cpu, VMM_COST_NESTED_REFLECT);
	if (basic >= EXIT_REASONS || !rows[basic].rule)
		return false;           /* no service either: refused by name */
	if (rows[basic].control != VMX_ALWAYS)
		return vmcs12_on(v, (enum vmx_control)rows[basic].control);
	return rows[basic].rule(v);
}
