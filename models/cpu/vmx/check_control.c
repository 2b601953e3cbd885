/* check_control.c - tests of the VM-execution, VM-exit and VM-entry control fields. A failure is VM-instruction error 7.
 * Source: SDM Vol. 3C, "Checks on VMX Controls". */
#include "models/cpu/cet.h"
#include "models/cpu/cpuid.h"
#include "models/cpu/vmx/check.h"

#define TEST(name) uint64_t test_##name(const struct check_view *w, enum vmcs_field f, uint64_t v, uint64_t arg)
#define UNUSED_() ((void)w, (void)f, (void)v, (void)arg)

/* "VM entry fails if bit X is 0 in the controls and bit X is 1 in this MSR" (its low half), "if bit X is 1 in the controls
 * and bit 32+X is 0 in this MSR". */
TEST(reserved)
{
	UNUSED_();
	uint32_t must, may;
	vmx_allowed(w->c, (enum vmx_word)arg, false, &must, &may);
	return (must & ~v) | (v & ~(uint64_t)may);
}

#define VTPR 0x80       /* in the virtual-APIC page */

TEST(vtpr)
{
	UNUSED_();
	uint8_t vtpr = 0xff;
	mem_peek(w->c->mmu.mem, HPA((fld(w, VIRTUAL_APIC_ADDR) & PAGE_MASK) + VTPR), &vtpr, 1);
	return (v & 15) > (uint64_t)vtpr >> 4 ? 15 : 0;
}

/* ---- EPT ---- */

TEST(eptp_type)
{
	UNUSED_();
	uint64_t cap = vmx_ept_vpid_cap(w->c), type = v & arg;
	return (type == 0 && cap & EPT_CAP_UC) || (type == 6 && cap & EPT_CAP_WB) ? 0 : arg;
}

TEST(eptp_walk)
{
	UNUSED_();
	uint64_t cap = vmx_ept_vpid_cap(w->c), length = v >> 3 & 7;
	return (length == 3 && cap & EPT_CAP_WALK_4) || (length == 4 && cap & EPT_CAP_WALK_5) ? 0 : arg;
}

TEST(eptp_ad) { UNUSED_(); return vmx_ept_vpid_cap(w->c) & EPT_CAP_AD ? 0 : v & arg; }
TEST(eptp_sss) { UNUSED_(); return vmx_ept_vpid_cap(w->c) & EPT_CAP_SSS ? 0 : v & arg; }
TEST(eptp_reserved) { UNUSED_(); return v & (arg | ~MASK(w->c->profile->phys_bits)); }

TEST(vmfunc) { UNUSED_(); return v & ~vmx_vmfunc_cap(w->c); }

/* ---- event injection: SDM Vol. 3C, "VM-Entry Control Fields", the VM-entry interruption-information field ---- */

TEST(intr_type)
{
	UNUSED_();
	unsigned type = INTR_TYPE(v);
	return type == INTR_RESERVED || (type == INTR_OTHER && !vmx_may_be(w->c, VMX_MTF)) ? arg : 0;
}

TEST(intr_vector)
{
	UNUSED_();
	unsigned vector = INTR_VECTOR(v);
	switch (INTR_TYPE(v)) {
	case INTR_NMI:      return vector == VEC_NMI ? 0 : arg;
	case INTR_HARDWARE: return vector <= 31 ? 0 : arg;
	case INTR_OTHER:    return vector == 0 ? 0 : arg;
	default:            return 0;
	}
}

/* "The field's deliver-error-code bit is 1 if ... the interruption type is hardware exception; bit 0 (corresponding to
 * CR0.PE) is set in the CR0 field in the guest-state area; IA32_VMX_BASIC[56] is read as 0; and the vector indicates one
 * of the following exceptions: #DF, #TS, #NP, #SS, #GP, #PF, #AC", and 0 otherwise; with bit 56 read as 1 a hardware
 * exception in protected mode may have either. Without "unrestricted guest" protected mode is taken for granted: a guest
 * whose CR0.PE is 0 then fails by its CR0. */
TEST(intr_error)
{
	UNUSED_();
	const uint32_t with_code = BIT(VEC_DF) | BIT(VEC_TS) | BIT(VEC_NP) | BIT(VEC_SS) | BIT(VEC_GP) | BIT(VEC_PF) | BIT(VEC_AC);
	unsigned vector = INTR_VECTOR(v);
	bool may = INTR_TYPE(v) == INTR_HARDWARE && (!ctl_on(w, UNRESTRICTED) || fld(w, GUEST_CR0) & CR0_PE);
	bool must = may && vector < 32 && (with_code >> vector & 1 || (vector == VEC_CP && cet_exists(w->c)));
	uint64_t basic = 0;
	vmx_msr_read(w->c, 0x480, &basic);
	if (may && basic & BIT(56))
		return 0;
	return INTR_ERROR(v) == must ? 0 : arg;
}

TEST(insn_length)
{
	UNUSED_();
	return v > arg ? v & ~arg : v == 0 && !(vmx_misc(w->c) & VMX_MISC_LENGTH_0) ? arg : 0;
}
