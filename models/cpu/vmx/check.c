/* check.c - the checks of VM entry: the table check.def run from its first row to its last, and the tests many rows share.
 *
 * The SDM lets a processor make the checks of one area in any order and report the first that fails. Here every check is
 * made and every failure kept, so that a person can be told all of them; the VMCS decides by the first (in the SDM's
 * order) as hardware would.
 * Source: SDM Vol. 3C, "VM Entries".
 * Timing: none of its own; FLOW_VM_ENTRY has a phase for them. What a check reads from memory is looked at, not timed.
 * Simplified: IA32_VMX_BASIC 48 is 0: addresses have the physical-address width. */
#include "models/cpu/cet.h"
#include "models/cpu/cpuid.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/check.h"

/* ---- the table ---- */

#define SECTION(NAME, area, title) static const char title_##NAME[] = title;
#include "models/cpu/vmx/check.def"
enum {
#define SECTION(NAME, area, title) AREA_##NAME = VMX_AREA_##area,
#include "models/cpu/vmx/check.def"
};
const struct vmx_check_row vmx_check_rows[VMX_CHECKS] = {
#define CHECK(NAME, section, field_, when, test, arg, name_, expected_, hint_) \
	[VMX_CHECK_##NAME] = { .name = name_, .title = title_##section, .expected = expected_, .hint = hint_, \
	                       .area = AREA_##section, .field = VMCS_##field_ },
#include "models/cpu/vmx/check.def"
};
const struct check_body check_bodies[VMX_CHECKS] = {
#define CHECK(NAME, section, field, when_, fn, arg_, name, expected, hint) \
	[VMX_CHECK_##NAME] = { .test = test_##fn, .arg = arg_, .when = WHEN_##when_ },
#include "models/cpu/vmx/check.def"
};

/* ---- tests of many rows ---- */

#define TEST(name) uint64_t test_##name(const struct check_view *w, enum vmcs_field f, uint64_t v, uint64_t arg)
#define UNUSED_() ((void)w, (void)f, (void)v, (void)arg)

TEST(zero) { UNUSED_(); return v & arg; }
TEST(ones) { UNUSED_(); return ~v & arg; }
TEST(equals) { UNUSED_(); return v ^ arg; }
TEST(nonzero) { UNUSED_(); return v ? 0 : vmcs_mask(f); }
TEST(at_most) { UNUSED_(); return v > arg ? v & ~arg ? v & ~arg : v : 0; }
TEST(width) { UNUSED_(); return v & ~MASK(w->c->profile->phys_bits); }

TEST(canonical)
{
	UNUSED_();
	return canonical_max(w->c, v) ? 0 : ~MASK(cpu_has(w->c, FEATURE_LA57) ? 56 : 47);
}

/* The area's size in entries of 16 bytes is field `arg`: "The arithmetic used for the computation uses more bits than the
 * processor's physical-address width." A sum beyond 2^64 is beyond too. */
TEST(last_byte)
{
	UNUSED_();
	uint64_t last = v + (w->v->f[arg] << 4) - 1;
	return last < v || last & ~MASK(w->c->profile->phys_bits) ? vmcs_mask(f) : 0;
}

/* "each of the 8 bytes in the field must have one of the values 0 (UC), 1 (WC), 4 (WT), 5 (WP), 6 (WB), or 7 (UC-)" */
TEST(pat)
{
	UNUSED_();
	uint64_t wrong = 0;
	for (unsigned i = 0; i < 64; i += 8) {
		uint64_t type = v >> i & 0xff;
		if (type > 7 || type == 2 || type == 3)
			wrong |= 0xffull << i;
	}
	return wrong;
}

TEST(not_both) { UNUSED_(); return (v & arg) == arg ? arg : 0; }
TEST(cet_reserved) { UNUSED_(); return v & cet_reserved(w->c); }
/* "If bit 23 in the CR4 field (corresponding to CET) is 1, bit 16 in the CR0 field (WP) must also be 1." */
TEST(cet_wp)
{
	UNUSED_();
	return (f == VMCS_HOST_CR4 ? fld(w, HOST_CR0) : fld(w, GUEST_CR0)) & CR0_WP ? 0 : v & arg;
}
TEST(perf_global) { UNUSED_(); return v & ~pmu_global_valid(w->c); }

TEST(efer_reserved) { UNUSED_(); return v & ~efer_valid_bits(w->c); }

/* "bits 29 and 30 (NW, CD) are never checked because the values of these bits are not changed by VM entry" or exit. */
TEST(cr0_fixed)
{
	UNUSED_();
	uint64_t wrong = (vmx_cr0_fixed0(w->c) & ~v) | (v & ~vmx_cr0_fixed1(w->c));
	return wrong & ~(uint64_t)(CR0_NW | CR0_CD);
}

TEST(cr4_fixed)
{
	UNUSED_();
	return (vmx_cr4_fixed0(w->c) & ~v) | (v & ~vmx_cr4_fixed1(w->c));
}

/* ---- running them ---- */

void check_view_init(struct check_view *w, const struct cpu *c)
{
	const uint64_t *f = c->vmcs->f;
	*w = (struct check_view){ .c = c, .v = c->vmcs };
	w->ctl[VMX_WORD_PIN] = f[VMCS_PIN_CONTROLS];
	w->ctl[VMX_WORD_PROC] = f[VMCS_PROC_CONTROLS];
	w->ctl[VMX_WORD_EXIT] = f[VMCS_EXIT_CONTROLS];
	w->ctl[VMX_WORD_ENTRY] = f[VMCS_ENTRY_CONTROLS];
	if (ctl_on(w, SECONDARY_CONTROLS))
		w->ctl[VMX_WORD_PROC2] = f[VMCS_PROC2_CONTROLS];
}

bool check_fails(const struct check_view *w, enum vmx_check k, struct vmx_failure *out)
{
	const struct check_body *b = &check_bodies[k];
	enum vmcs_field f = (enum vmcs_field)vmx_check_rows[k].field;
	if (!check_applies(w, (enum check_when)b->when, f))
		return false;
	/* secondary controls that are not activated are as 0 */
	uint64_t v = f == VMCS_PROC2_CONTROLS ? w->ctl[VMX_WORD_PROC2] : w->v->f[f];
	uint64_t wrong = b->test(w, f, v, b->arg) & vmcs_mask(f);
	if (likely(!wrong))
		return false;
	*out = (struct vmx_failure){ .check = k, .found = v, .wrong = wrong };
	return true;
}

unsigned vmx_check_all(const struct cpu *c, struct vmx_failure *out, unsigned n)
{
	struct check_view w;
	struct vmx_failure one;
	unsigned found = 0;
	check_view_init(&w, c);
	for (enum vmx_check k = 0; k < VMX_CHECKS && vmx_check_rows[k].area != VMX_AREA_MSR; k++) {
		if (unlikely(check_fails(&w, k, &one))) {
			if (found < n)
				out[found] = one;
			found++;
		}
	}
	check_msr_area(&w, out, n, &found);
	return found;
}

unsigned vmx_check_entry(struct cpu *c, struct vmx_failure *out, unsigned n)
{
	struct vmx_failed *last = &c->failed;
	last->n = check_still_passes(c) ? 0 : vmx_check_all(c, last->f, VMX_FAILED_MAX);
	check_passed(c, !last->n);
	if (likely(!last->n))
		return 0;
	last->when = c->ledger.now;
	last->rip = cpu_rip(c);
	for (unsigned i = 0; i < last->n && i < VMX_FAILED_MAX; i++) {
		const struct vmx_failure *x = &last->f[i];
		if (i < n)
			out[i] = *x;
		trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VM_CHECK, x->check,
		      vmcs_rows[vmx_check_rows[x->check].field].encoding, x->found, x->wrong);
	}
	return last->n;
}

/* SDM Vol. 3C, "VM-Entry Failures During or After Loading Guest State": "2. failure to load the PDPTEs; 3. an attempt to
 * inject a non-maskable interrupt (NMI) into a guest that is blocking events through the STI blocking bit; 4. an invalid
 * VMCS link pointer". */
uint64_t vmx_check_qualification(enum vmx_check k)
{
	if (k == VMX_CHECK_PDPTES_IN_MEMORY || (k >= VMX_CHECK_PDPTE0 && k <= VMX_CHECK_PDPTE3))
		return 2;
	if (k == VMX_CHECK_INTERRUPTIBILITY_NMI_STI)
		return 3;
	if (k >= VMX_CHECK_LINK_ALIGN && k <= VMX_CHECK_LINK_CURRENT)
		return 4;
	return 0;
}
