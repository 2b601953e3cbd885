/* check.h - what the files of VM-entry checks share: the VMCS under test, conditions, tests. */
#ifndef CPU_VMX_CHECK_H
#define CPU_VMX_CHECK_H

#include "models/cpu/vmx/vmx.h"

/* What a check looks at. Nothing here changes anything. */
struct check_view {
	const struct cpu *c;
	const struct vmcs *v;
	uint64_t ctl[VMX_WORDS];        /* controls as they work: no secondary ones unless activated */
	struct { uint32_t nr, reserved; uint64_t value; } msr;  /* checks of section MSR: the entry of the area */
};

#define ctl_on(w, NAME)  ((w)->ctl[VMX_WORD_OF_##NAME] >> VMX_BIT_OF_##NAME & 1)
#define fld(w, NAME)     ((w)->v->f[VMCS_##NAME])

enum check_when {               /* a control that is 1, or a row of check_when.def */
#define CONTROL(WORD, NAME, bit, since, name, sentence) WHEN_##NAME,
#include "models/cpu/vmx/control.def"
#define WHEN(NAME, sentence) WHEN_##NAME,
#include "models/cpu/vmx/check_when.def"
};
bool check_applies(const struct check_view *w, enum check_when when, enum vmcs_field f);

/* The event to inject. */
#define INTR_VALID(info)  ((info) >> 31 & 1)
#define INTR_ERROR(info)  ((info) >> 11 & 1)
#define INTR_TYPE(info)   ((unsigned)((info) >> 8 & 7))
#define INTR_VECTOR(info) ((unsigned)((info) & 0xff))
enum { INTR_EXTERNAL = 0, INTR_RESERVED = 1, INTR_NMI = 2, INTR_HARDWARE = 3, INTR_SOFTWARE = 4, INTR_PRIVILEGED = 5,
       INTR_SOFT_EXCEPTION = 6, INTR_OTHER = 7 };
/* Interruptibility state. */
enum { BLOCKING_STI = 1, BLOCKING_MOV_SS = 2, BLOCKING_NMI = 8 };

/* Segment registers by field: ES, CS, SS, DS, FS, GS, LDTR, TR in each row of fields. */
static inline uint64_t seg_selector(const struct check_view *w, enum seg_reg s) { return w->v->f[VMCS_GUEST_ES + s]; }
static inline uint64_t seg_base(const struct check_view *w, enum seg_reg s) { return w->v->f[VMCS_GUEST_ES_BASE + s]; }
static inline uint64_t seg_limit(const struct check_view *w, enum seg_reg s) { return w->v->f[VMCS_GUEST_ES_LIMIT + s]; }
static inline uint64_t seg_access(const struct check_view *w, enum seg_reg s) { return w->v->f[VMCS_GUEST_ES_ACCESS + s]; }
static inline enum seg_reg seg_of(enum vmcs_field f)
{
	if (f >= VMCS_GUEST_ES_BASE && f <= VMCS_GUEST_TR_BASE)
		return (enum seg_reg)(f - VMCS_GUEST_ES_BASE);
	if (f >= VMCS_GUEST_ES_LIMIT && f <= VMCS_GUEST_TR_LIMIT)
		return (enum seg_reg)(f - VMCS_GUEST_ES_LIMIT);
	if (f >= VMCS_GUEST_ES_ACCESS && f <= VMCS_GUEST_TR_ACCESS)
		return (enum seg_reg)(f - VMCS_GUEST_ES_ACCESS);
	return (enum seg_reg)(f - VMCS_GUEST_ES);
}

/* A test: the bits of `v`, the field's value, that are wrong; 0 when it passes. `arg` is the row's argument. */
typedef uint64_t check_test(const struct check_view *w, enum vmcs_field f, uint64_t v, uint64_t arg);
check_test
	/* check.c */
	test_zero, test_ones, test_equals, test_nonzero, test_at_most, test_width, test_canonical, test_last_byte, test_pat,
	test_efer_reserved, test_perf_global, test_cet_wp, test_cet_reserved, test_not_both, test_cr0_fixed, test_cr4_fixed,
	/* check_control.c */
	test_reserved, test_vtpr, test_eptp_type, test_eptp_walk, test_eptp_ad, test_eptp_sss, test_eptp_reserved, test_vmfunc,
	test_intr_type, test_intr_vector, test_intr_error, test_insn_length,
	/* check_host.c */
	test_host_64,
	/* check_guest.c */
	test_guest_cr0, test_debugctl, test_guest_64, test_efer_lme, test_ss_rpl, test_v86_base, test_cs_type, test_ss_type,
	test_code_readable, test_cs_dpl_data, test_cs_dpl_equal, test_cs_dpl_conforming, test_ss_dpl_rpl, test_ss_dpl_real,
	test_data_dpl, test_cs_d, test_g_low, test_g_high, test_tr_type, test_ldtr_type, test_rip_width, test_activity,
	test_halted_cpl, test_halted_event, test_shutdown_event, test_link_revision, test_link_shadow,
	test_link_current, test_pdpte, test_pdptes_memory,
	/* check_msr.c */
	test_msr_base, test_msr_x2apic, test_msr_smm, test_msr_model, test_msr_reserved, test_msr_value;

struct check_body { check_test *test; uint64_t arg; uint8_t when; };
extern const struct check_body check_bodies[VMX_CHECKS];        /* the half of a row that works */
void check_view_init(struct check_view *w, const struct cpu *c);
/* Would all checks pass, told from the last VM entry that passed them? False: make them all. (check_again.c) */
bool check_still_passes(const struct cpu *c);
void check_passed(struct cpu *c, bool all);     /* they were made: remember */
/* One check against the view; true: it fails, and *out says how. */
bool check_fails(const struct check_view *w, enum vmx_check k, struct vmx_failure *out);
/* The entries of the VM-entry MSR-load area: failures stored from *k on, all counted. */
void check_msr_area(struct check_view *w, struct vmx_failure *out, unsigned n, unsigned *k);

#endif
