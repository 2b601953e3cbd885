/* check_guest.c - tests of the guest-state area. A failure is a VM exit with reason 33.
 * Source: SDM Vol. 3C, "Checks on the Guest State Area". */
#include "models/cpu/cpuid.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/check.h"
#include "models/mmu/pte.h"
#include "models/mmu/walk.h"

#define TEST(name) uint64_t test_##name(const struct check_view *w, enum vmcs_field f, uint64_t v, uint64_t arg)
#define UNUSED_() ((void)w, (void)f, (void)v, (void)arg)

/* ---- control registers and MSRs ---- */

#define MSR_DEBUGCTL 0x1D9

/* "the processor exempts bits 0 (PE) and 31 (PG)" with unrestricted guest */
TEST(guest_cr0)
{
	uint64_t wrong = test_cr0_fixed(w, f, v, arg);
	return ctl_on(w, UNRESTRICTED) ? wrong & ~(uint64_t)(CR0_PE | CR0_PG) : wrong;
}

TEST(debugctl) { UNUSED_(); return msr_valid(w->c, MSR_DEBUGCTL, v) ? 0 : v; }
TEST(guest_64) { UNUSED_(); return !(v & arg) == !ctl_on(w, ENTRY_GUEST_64) ? 0 : arg; }
TEST(efer_lme) { UNUSED_(); return !(v & EFER_LME) == !(v & EFER_LMA) ? 0 : arg; }

/* ---- segment registers ---- */

static unsigned dpl(const struct check_view *w, enum seg_reg s) { return SEG_DPL(seg_access(w, s)); }
static unsigned type(const struct check_view *w, enum seg_reg s) { return (unsigned)SEG_TYPE(seg_access(w, s)); }

TEST(ss_rpl) { UNUSED_(); return (v ^ fld(w, GUEST_CS)) & arg; }
TEST(v86_base) { UNUSED_(); return v ^ seg_selector(w, seg_of(f)) << 4; }

TEST(cs_type)
{
	UNUSED_();
	unsigned t = (unsigned)SEG_TYPE(v);
	return (t & 9) == 9 || (t == 3 && ctl_on(w, UNRESTRICTED)) ? 0 : arg;
}

TEST(ss_type) { UNUSED_(); return SEG_TYPE(v) == 3 || SEG_TYPE(v) == 7 ? 0 : arg; }
TEST(code_readable) { UNUSED_(); return v & 8 ? ~v & arg : 0; }

TEST(cs_dpl_data) { UNUSED_(); return SEG_TYPE(v) == 3 ? v & arg : 0; }
TEST(cs_dpl_equal) { UNUSED_(); return (SEG_TYPE(v) & 13) == 9 && SEG_DPL(v) != dpl(w, SEG_SS) ? arg : 0; }
TEST(cs_dpl_conforming) { UNUSED_(); return (SEG_TYPE(v) & 13) == 13 && SEG_DPL(v) > dpl(w, SEG_SS) ? arg : 0; }
TEST(ss_dpl_rpl) { UNUSED_(); return SEG_DPL(v) != (fld(w, GUEST_SS) & 3) ? arg : 0; }

TEST(ss_dpl_real)
{
	UNUSED_();
	return type(w, SEG_CS) == 3 || !(fld(w, GUEST_CR0) & CR0_PE) ? v & arg : 0;
}

TEST(data_dpl) { UNUSED_(); return SEG_TYPE(v) <= 11 && SEG_DPL(v) < (seg_selector(w, seg_of(f)) & 3) ? arg : 0; }
TEST(cs_d) { UNUSED_(); return ctl_on(w, ENTRY_GUEST_64) && v & SEG_L ? v & arg : 0; }
TEST(g_low) { UNUSED_(); return ~seg_limit(w, seg_of(f)) & 0xfff ? v & arg : 0; }
TEST(g_high) { UNUSED_(); return seg_limit(w, seg_of(f)) & 0xfff00000 ? ~v & arg : 0; }

TEST(tr_type)
{
	UNUSED_();
	return SEG_TYPE(v) == DESC_TSS32_BUSY || (SEG_TYPE(v) == DESC_TSS16_BUSY && !ctl_on(w, ENTRY_GUEST_64)) ? 0 : arg;
}

TEST(ldtr_type) { UNUSED_(); return SEG_TYPE(v) == DESC_LDT ? 0 : arg; }

/* ---- RIP ---- */

/* "bits 63:N must be identical": not quite canonical, bit N-1 may differ. */
TEST(rip_width)
{
	UNUSED_();
	uint64_t high = ~MASK(cpu_has(w->c, FEATURE_LA57) ? 57 : 48);
	return (v & high) == 0 || (v & high) == high ? 0 : high;
}

/* ---- non-register state ---- */

TEST(activity)
{
	UNUSED_();
	return v == ACTIVITY_ACTIVE || (v <= ACTIVITY_WAIT_SIPI && vmx_misc(w->c) >> (5 + v) & 1) ? 0 : v;
}

TEST(halted_cpl) { UNUSED_(); return dpl(w, SEG_SS) ? v : 0; }

/* "external interrupts; NMIs; hardware exceptions with vector 1 (debug exception) or vector 18 (machine-check exception);
 * other event with vector 0 (pending MTF VM exit)" */
TEST(halted_event)
{
	UNUSED_();
	uint64_t info = fld(w, ENTRY_INTR_INFO);
	unsigned vector = INTR_VECTOR(info);
	switch (INTR_TYPE(info)) {
	case INTR_EXTERNAL: case INTR_NMI: return 0;
	case INTR_HARDWARE: return vector == VEC_DB || vector == VEC_MC ? 0 : v;
	case INTR_OTHER:    return vector == 0 ? 0 : v;
	default:            return v;
	}
}

TEST(shutdown_event)
{
	UNUSED_();
	uint64_t info = fld(w, ENTRY_INTR_INFO);
	unsigned t = INTR_TYPE(info);
	return t == INTR_NMI || (t == INTR_HARDWARE && INTR_VECTOR(info) == VEC_MC) ? 0 : v;
}

/* ---- the VMCS link pointer ---- */

static uint32_t link_word(const struct check_view *w)
{
	uint32_t word = ~0u;
	mem_peek(w->c->mmu.mem, HPA(fld(w, LINK_POINTER)), &word, 4);
	return word;
}

TEST(link_revision) { UNUSED_(); return (link_word(w) & MASK(31)) == VMCS_REVISION ? 0 : ~0ull; }
TEST(link_shadow) { UNUSED_(); return link_word(w) >> 31 == ctl_on(w, VMCS_SHADOWING) ? 0 : ~0ull; }
TEST(link_current) { UNUSED_(); return v == w->v->pa ? ~0ull : 0; }

/* ---- PDPTEs ---- */

TEST(pdpte)
{
	UNUSED_();
	uint64_t reserved = ~MASK(w->c->profile->phys_bits) | 0x1e6;    /* 8:5, 2:1 */
	return v & PTE_P ? v & reserved : 0;
}

TEST(pdptes_memory)
{
	UNUSED_();
	uint64_t pdpte[4];
	return paging_load_pdptes(&w->c->mmu, HPA(v & 0xffffffe0), pdpte) ? 0 : ~0ull;
}
