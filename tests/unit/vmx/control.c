/* control.c - the tables of fields and controls, and the capability MSRs made from them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

#include "models/cpu/sys.h"
#include "tests/unit/vmx/fixture.h"

static struct vmx_fixture *f;
static void set_up(void) { f = vmx_fixture_bare(); }
static void done(void) { vmx_fixture_free(f); }
TestSuite(vmx_control, .init = set_up, .fini = done);

static void generation(const char *name)
{
	snprintf(f->f->profile.name, sizeof f->f->profile.name, "%s", name);
}
static uint64_t msr(uint32_t nr)
{
	uint64_t v = 0;
	cr_expect(msr_read(f->c, nr, &v), "MSR %#x", nr);
	return v;
}

Test(vmx_control, rows_of_fields_stand_in_the_order_of_their_encodings)
{
	for (unsigned i = 0; i < VMCS_N; i++) {
		cr_expect(eq(int, vmcs_find(vmcs_rows[i].encoding), (int)i));
		cr_expect(not(vmcs_rows[i].encoding & 0x9001), "reserved bits, or a high half: %s", vmcs_rows[i].name);
		if (i)
			cr_expect(lt(u16, vmcs_rows[i - 1].encoding, vmcs_rows[i].encoding), "%s", vmcs_rows[i].name);
	}
}

/* "Bits 31:0 indicate the allowed 0-settings ... bits 63:32 the allowed 1-settings": what must be 1 may be 1. */
Test(vmx_control, allowed_settings_agree)
{
	static const char *const all[] = { "prescott", "core2", "nehalem", "sandybridge", "haswell", "skylake" };
	for (unsigned g = 0; g < ARRAY_LEN(all); g++) {
		generation(all[g]);
		for (unsigned w = 0; w < VMX_WORDS; w++) {
			uint32_t must, may, plain_must, plain_may;
			vmx_allowed(f->c, (enum vmx_word)w, false, &must, &may);
			vmx_allowed(f->c, (enum vmx_word)w, true, &plain_must, &plain_may);
			cr_expect(eq(u32, must & ~may, 0), "%s word %u", all[g], w);
			cr_expect(eq(u32, must & ~plain_must, 0), "%s word %u", all[g], w);
			cr_expect(eq(u32, may, plain_may), "%s word %u", all[g], w);
		}
	}
}

/* SDM Vol. 3D, "Reserved Controls and Default Settings". */
Test(vmx_control, the_default1_class)
{
	cr_expect(eq(u32, (uint32_t)msr(0x481), 0x16));
	cr_expect(eq(u32, (uint32_t)msr(0x482), 0x0401e172));
	cr_expect(eq(u32, (uint32_t)msr(0x483), 0x36dff));
	cr_expect(eq(u32, (uint32_t)msr(0x484), 0x11ff));
	/* "VM-execution controls ... CR3-load exiting and CR3-store exiting" and the debug controls may be 0 */
	cr_expect(eq(u32, (uint32_t)msr(0x48e), 0x04006172));
	cr_expect(eq(u32, (uint32_t)msr(0x48f), 0x36dfb));
	cr_expect(eq(u32, (uint32_t)msr(0x490), 0x11fb));
}

Test(vmx_control, generations_gain_controls)
{
	static const struct { const char *name; enum vmx_control first, lacks; } row[] = {
		{ "prescott", VMX_HLT_EXITING, VMX_SECONDARY_CONTROLS }, { "core2", VMX_SECONDARY_CONTROLS, VMX_ENABLE_EPT },
		{ "nehalem", VMX_ENABLE_EPT, VMX_UNRESTRICTED }, { "sandybridge", VMX_UNRESTRICTED, VMX_VMCS_SHADOWING },
		{ "haswell", VMX_RDRAND_EXITING, VMX_RDSEED_EXITING }, { "skylake", VMX_RDSEED_EXITING, VMX_CONTROLS },
	};
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		generation(row[i].name);
		cpuid_init(f->c);
		cr_expect(vmx_may_be(f->c, row[i].first), "%s", row[i].name);
		if (row[i].lacks != VMX_CONTROLS)
			cr_expect(not(vmx_may_be(f->c, row[i].lacks)), "%s", row[i].name);
	}
}

Test(vmx_control, msrs_of_absent_features_do_not_exist)
{
	static const uint32_t later[] = { 0x48b, 0x48c, 0x48d, 0x48e, 0x48f, 0x490, 0x491, 0x492 };
	uint64_t v;
	generation("prescott");
	cpuid_init(f->c);
	for (unsigned i = 0; i < ARRAY_LEN(later); i++)
		cr_expect(not(msr_read(f->c, later[i], &v)), "MSR %#x", later[i]);
	cr_expect(eq(u64, msr(0x480) & BIT(55), 0));
}

Test(vmx_control, capability_msrs_are_read_only)
{
	for (uint32_t nr = 0x480; nr <= 0x491; nr++)
		cr_expect(not(msr_write(f->c, nr, msr(nr))), "MSR %#x", nr);
}

Test(vmx_control, basic_and_misc)
{
	cr_expect(eq(u32, (uint32_t)msr(0x480), VMCS_REVISION));
	cr_expect(eq(u64, msr(0x480) >> 32, 4096u | 6u << 18 | 7u << 22));
	cr_expect(eq(u64, msr(0x485), 5 | 1 << 5 | 7 << 6 | 4 << 16 | BIT(29) | BIT(30)));
	cr_expect(eq(u64, msr(0x486), 0x80000021));
	cr_expect(eq(u64, msr(0x487), 0xffffffff));
	cr_expect(eq(u64, msr(0x488), CR4_VMXE));
	cr_expect(eq(u64, msr(0x489), cr4_valid_bits(f->c)));
	cr_expect(eq(u64, msr(0x48a), 0x19 << 1));      /* TSC multiplier, 2032H */
}

Test(vmx_control, firmware_left_feature_control_locked_with_vmx)
{
	cr_expect(eq(u64, msr(0x3a), 5));
	cr_expect(not(msr_write(f->c, 0x3a, 5)));
	f->c->s.feature_control = 0;
	cr_expect(not(msr_write(f->c, 0x3a, 2)), "there is no SMX");
	cr_expect(msr_write(f->c, 0x3a, 4));
	cr_expect(msr_write(f->c, 0x3a, 5));
	cr_expect(not(msr_write(f->c, 0x3a, 4)));
}

Test(vmx_control, a_broken_snapshot_is_refused)
{
	static struct vmx_state s;
	vmx_root_vmxon(f->c, AT_VMXON);
	vmx_root_vmptrld(f->c, AT_VMCS);
	s = f->c->vmx;
	cr_assert(vmx_state_valid(f->c, &s));
#define BROKEN(change) s = f->c->vmx; change; cr_expect(not(vmx_state_valid(f->c, &s)), #change)
	BROKEN(s.current = VMCS_SLOTS);
	BROKEN(s.current = -2);
	BROKEN(s.current = 3);
	BROKEN(s.guest = 2);
	BROKEN(s.slot[0].pa += 8);
	BROKEN(s.slot[0].pa = FIXTURE_RAM);
	BROKEN(s.slot[0].launched = 2);
	BROKEN(s.slot[0].f[VMCS_VPID] = 0x10000);
	BROKEN(s.vmxon = VMCS_NONE);
	BROKEN(s.current = -1; s.guest = 1);
}
