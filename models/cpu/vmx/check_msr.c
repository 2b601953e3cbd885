/* check_msr.c - tests of the VM-entry MSR-load area, entry by entry. A failure is a VM exit with reason 34, whose
 * qualification is the number of the entry, the first being 1.
 * Source: SDM Vol. 3C, "Loading MSRs". */
#include <string.h>

#include "models/cpu/sys.h"
#include "models/cpu/vmx/check.h"

#define TEST(name) uint64_t test_##name(const struct check_view *w, enum vmcs_field f, uint64_t v, uint64_t arg)
#define UNUSED_() ((void)w, (void)f, (void)v, (void)arg)
#define FAILS ~0ull
#define MSR_EFER 0xC0000080

TEST(msr_base) { UNUSED_(); return w->msr.nr == arg ? FAILS : 0; }
TEST(msr_x2apic) { UNUSED_(); return w->msr.nr >> 8 == 8 ? FAILS : 0; }
TEST(msr_smm) { UNUSED_(); return w->msr.nr == 0x9B || w->msr.nr == 0x9E ? FAILS : 0; }
TEST(msr_model) { UNUSED_(); return w->msr.nr == 0x79 || w->msr.nr == 0x8B ? FAILS : 0; }
TEST(msr_reserved) { UNUSED_(); return w->msr.reserved ? FAILS : 0; }

/* "If VM entry has established CR0.PG = 1, the IA32_EFER MSR should not be included in the VM-entry MSR-load area for the
 * purpose of modifying the LME bit": WRMSR could not. The guest's own EFER is what the fields will have made it. */
static bool efer_ok(const struct check_view *w, uint64_t v)
{
	uint64_t loaded = ctl_on(w, ENTRY_LOAD_EFER) ? fld(w, GUEST_EFER) : ctl_on(w, ENTRY_GUEST_64) ? EFER_LME : 0;
	return !(v & ~efer_valid_bits(w->c)) && !((v ^ loaded) & EFER_LME && fld(w, GUEST_CR0) & CR0_PG);
}

TEST(msr_value)
{
	UNUSED_();
	bool ok = w->msr.nr == MSR_EFER ? efer_ok(w, w->msr.value) : msr_valid(w->c, w->msr.nr, w->msr.value);
	return ok ? 0 : FAILS;
}

static bool entry_fails(const struct check_view *w, struct vmx_failure *out)
{
	for (enum vmx_check k = VMX_CHECK_MSR_FS_BASE; k <= VMX_CHECK_MSR_VALUE; k++) {
		if (check_fails(w, k, out)) {
			out->found = w->msr.value;
			out->msr = w->msr.nr;
			return true;
		}
	}
	return false;
}

bool vmx_check_msr_load(struct cpu *c, uint32_t nr, uint64_t value)
{
	struct check_view w;
	struct vmx_failure x;
	check_view_init(&w, c);
	w.msr.nr = nr;
	w.msr.value = value;
	return !entry_fails(&w, &x);
}

static void add(struct vmx_failure *out, unsigned n, unsigned *k, const struct vmx_failure *x)
{
	if (*k < n)
		out[*k] = *x;
	(*k)++;
}

void check_msr_area(struct check_view *w, struct vmx_failure *out, unsigned n, unsigned *k)
{
	uint64_t at = fld(w, ENTRY_MSR_LOAD_ADDR), count = fld(w, ENTRY_MSR_LOAD_COUNT);
	struct vmx_failure one;
	for (uint32_t i = 0; i < count && i < VMX_MSRS_MAX; i++, at += 16) {
		if (!mem_peek(w->c->mmu.mem, HPA(at), &w->msr, 16))
			memset(&w->msr, 0xff, sizeof w->msr);   /* nobody answers */
		if (!entry_fails(w, &one))
			continue;
		one.entry = i + 1;
		add(out, n, k, &one);
	}
	if (check_fails(w, VMX_CHECK_MSR_COUNT, &one)) {
		one.entry = VMX_MSRS_MAX + 1;
		add(out, n, k, &one);
	}
}
