/* check_when.c - when a VM-entry check applies: one function a row of check_when.def.
 * Source: SDM Vol. 3C, "VM Entries": the conditions its sentences begin with. */
#include "models/cpu/sys.h"
#include "models/cpu/vmx/check.h"

#define WHEN(NAME) static bool when_##NAME(const struct check_view *w, enum vmcs_field f)
#define UNUSED_() ((void)w, (void)f)

static bool injects(const struct check_view *w, unsigned type)
{
	uint64_t info = fld(w, ENTRY_INTR_INFO);
	return INTR_VALID(info) && INTR_TYPE(info) == type;
}
static bool injects_in(const struct check_view *w, enum activity a)
{
	return fld(w, GUEST_ACTIVITY) == a && INTR_VALID(fld(w, ENTRY_INTR_INFO));
}
static bool usable(const struct check_view *w, enum vmcs_field f)
{
	return !(seg_access(w, seg_of(f)) & SEG_UNUSABLE);
}
static bool v86(const struct check_view *w) { return fld(w, GUEST_RFLAGS) & RFLAGS_VM; }
static bool pae(const struct check_view *w)
{
	return fld(w, GUEST_CR0) & CR0_PG && fld(w, GUEST_CR4) & CR4_PAE && !ctl_on(w, ENTRY_GUEST_64);
}
/* "blocking by STI or by MOV SS, or the activity state is HLT" */
static bool boundary(const struct check_view *w)
{
	return fld(w, GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOV_SS) || fld(w, GUEST_ACTIVITY) == ACTIVITY_HLT;
}
static bool steps(const struct check_view *w)
{
	return fld(w, GUEST_RFLAGS) & RFLAGS_TF && !(fld(w, GUEST_DEBUGCTL) & BIT(1));
}

WHEN(ALWAYS) { UNUSED_(); return true; }
WHEN(THRESHOLD_USED) { UNUSED_(); return ctl_on(w, TPR_SHADOW) && !ctl_on(w, VIRTUAL_INTERRUPTS); }
WHEN(THRESHOLD_COMPARED) { return when_THRESHOLD_USED(w, f) && !ctl_on(w, VIRTUALIZE_APIC); }
WHEN(EPTP_SWITCHING) { UNUSED_(); return ctl_on(w, ENABLE_VMFUNC) && fld(w, VMFUNC_CONTROLS) & 1; }
WHEN(STORES_MSRS) { UNUSED_(); return fld(w, EXIT_MSR_STORE_COUNT); }
WHEN(EXIT_LOADS_MSRS) { UNUSED_(); return fld(w, EXIT_MSR_LOAD_COUNT); }
WHEN(ENTRY_LOADS_MSRS) { UNUSED_(); return fld(w, ENTRY_MSR_LOAD_COUNT); }
WHEN(INJECTS) { UNUSED_(); return INTR_VALID(fld(w, ENTRY_INTR_INFO)); }
WHEN(INJECTS_ERROR) { return when_INJECTS(w, f) && INTR_ERROR(fld(w, ENTRY_INTR_INFO)); }
WHEN(INJECTS_SOFTWARE)
{
	UNUSED_();
	return injects(w, INTR_SOFTWARE) || injects(w, INTR_PRIVILEGED) || injects(w, INTR_SOFT_EXCEPTION);
}
WHEN(INJECTS_EXTERNAL) { UNUSED_(); return injects(w, INTR_EXTERNAL); }
WHEN(INJECTS_NMI) { UNUSED_(); return injects(w, INTR_NMI); }
WHEN(INJECTS_VIRTUAL_NMI) { UNUSED_(); return injects(w, INTR_NMI) && ctl_on(w, VIRTUAL_NMIS); }
WHEN(CPU_32) { UNUSED_(); return !cpu_lma(w->c); }
WHEN(CPU_64) { UNUSED_(); return cpu_lma(w->c); }
WHEN(HOST_32) { UNUSED_(); return !ctl_on(w, EXIT_HOST_64); }
WHEN(HOST_32_CET) { UNUSED_(); return ctl_on(w, EXIT_LOAD_CET) && !ctl_on(w, EXIT_HOST_64); }
WHEN(HOST_64_CET) { UNUSED_(); return ctl_on(w, EXIT_LOAD_CET) && ctl_on(w, EXIT_HOST_64); }
WHEN(GUEST_32) { UNUSED_(); return !ctl_on(w, ENTRY_GUEST_64); }
WHEN(GUEST_PAGED) { UNUSED_(); return fld(w, GUEST_CR0) & CR0_PG; }
WHEN(GUEST_REAL) { UNUSED_(); return !(fld(w, GUEST_CR0) & CR0_PE); }
WHEN(EFER_LOADED_PAGED) { return ctl_on(w, ENTRY_LOAD_EFER) && when_GUEST_PAGED(w, f); }
WHEN(V86) { UNUSED_(); return v86(w); }
WHEN(NOT_V86) { UNUSED_(); return !v86(w); }
WHEN(RESTRICTED) { UNUSED_(); return !v86(w) && !ctl_on(w, UNRESTRICTED); }
WHEN(SEG_USABLE) { return usable(w, f); }
WHEN(SEG_NORMAL) { return !v86(w) && usable(w, f); }
WHEN(SEG_RESTRICTED) { return when_SEG_NORMAL(w, f) && !ctl_on(w, UNRESTRICTED); }
WHEN(CODE_64) { UNUSED_(); return ctl_on(w, ENTRY_GUEST_64) && seg_access(w, SEG_CS) & SEG_L; }
WHEN(CODE_32) { return !when_CODE_64(w, f); }
WHEN(HALTED) { UNUSED_(); return fld(w, GUEST_ACTIVITY) == ACTIVITY_HLT; }
WHEN(BLOCKING) { UNUSED_(); return fld(w, GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOV_SS); }
WHEN(HALTED_INJECTS) { UNUSED_(); return injects_in(w, ACTIVITY_HLT); }
WHEN(SHUTDOWN_INJECTS) { UNUSED_(); return injects_in(w, ACTIVITY_SHUTDOWN); }
WHEN(SIPI_INJECTS) { UNUSED_(); return injects_in(w, ACTIVITY_WAIT_SIPI); }
WHEN(INTERRUPTS_OFF) { UNUSED_(); return !(fld(w, GUEST_RFLAGS) & RFLAGS_IF); }
WHEN(STEPS) { UNUSED_(); return boundary(w) && steps(w); }
WHEN(STEPS_NOT) { UNUSED_(); return boundary(w) && !steps(w); }
WHEN(LINKED) { UNUSED_(); return fld(w, LINK_POINTER) != ~0ull; }
WHEN(PDPTES_IN_FIELDS) { UNUSED_(); return pae(w) && ctl_on(w, ENABLE_EPT); }
WHEN(PDPTES_IN_MEMORY) { UNUSED_(); return pae(w) && !ctl_on(w, ENABLE_EPT); }
#undef WHEN

bool check_applies(const struct check_view *w, enum check_when when, enum vmcs_field f)
{
	static bool (*const conditions[])(const struct check_view *, enum vmcs_field) = {
#define WHEN(NAME, sentence) when_##NAME,
#include "models/cpu/vmx/check_when.def"
	};
	if (when == WHEN_ALWAYS)
		return true;
	if (when < (enum check_when)VMX_CONTROLS)
		return w->ctl[vmx_control_rows[when].word] >> vmx_control_rows[when].bit & 1;
	return conditions[when - VMX_CONTROLS](w, f);
}

const char *vmx_check_when(enum vmx_check k)
{
	static const char *const sentences[] = {
#define CONTROL(WORD, NAME, bit, since, name, sentence) "control " name " is 1",
#include "models/cpu/vmx/control.def"
#define WHEN(NAME, sentence) sentence,
#include "models/cpu/vmx/check_when.def"
	};
	return sentences[check_bodies[k].when];
}
