/* check_again.c - the checks of an entry that differs little from the last one that passed them: those rows alone are
 * tested whose fields have changed. What VM entry finds is the same; the host's time is not.
 *
 * A VMM enters a guest thousands of times with the same controls, the same host state and mostly the same segments.
 * What passed is remembered field by field; a group of fields that is as it was leaves its sections out:
 *
 *   group     fields                                             sections and rows that look at them
 *   CONTROL   controls, addresses, counts                        all
 *   HOST      host-state area                                    HOST_*
 *   INJECT    event to inject; CR0.PE                            ENTRY
 *   REGISTER  control and debug registers, MSRs                  GUEST_CR
 *   SEGMENT   selectors, bases, limits, access rights; CR0.PE,   GUEST_SEG, GUEST_DT
 *             RFLAGS.VM
 * The other sections, and what looks at memory, are tested always. Not state: a pure function's last argument. */
#include <string.h>

#include "models/cpu/sys.h"
#include "models/cpu/vmx/check.h"

enum { CONTROL = 1, HOST = 2, INJECT = 4, REGISTER = 8, SEGMENT = 16, ALL = 31 };

static unsigned group(enum vmcs_field f)
{
	switch (f) {
	/* no check looks at these */
	case VMCS_CR0_MASK: case VMCS_CR4_MASK: case VMCS_CR0_SHADOW: case VMCS_CR4_SHADOW: case VMCS_EXCEPTION_BITMAP:
	case VMCS_PFEC_MASK: case VMCS_PFEC_MATCH: case VMCS_TSC_OFFSET: case VMCS_HOST_RSP: case VMCS_PREEMPTION_TIMER:
	case VMCS_GUEST_RSP: case VMCS_GUEST_INTERRUPT_STATUS: case VMCS_PML_INDEX:
		return 0;
	case VMCS_ENTRY_INTR_INFO: case VMCS_ENTRY_INTR_ERROR: case VMCS_ENTRY_INSN_LENGTH:
		return INJECT;
	case VMCS_GUEST_CR0: case VMCS_GUEST_CR3: case VMCS_GUEST_CR4: case VMCS_GUEST_DR7: case VMCS_GUEST_DEBUGCTL:
	case VMCS_GUEST_PAT: case VMCS_GUEST_EFER: case VMCS_GUEST_SYSENTER_ESP: case VMCS_GUEST_SYSENTER_EIP:
	case VMCS_GUEST_PERF_GLOBAL_CTRL: case VMCS_GUEST_S_CET: case VMCS_GUEST_SSP_TABLE:
		return REGISTER;
	/* tested always */
	case VMCS_GUEST_RIP: case VMCS_GUEST_RFLAGS: case VMCS_GUEST_SSP: case VMCS_GUEST_ACTIVITY: case VMCS_GUEST_INTERRUPTIBILITY:
	case VMCS_GUEST_PENDING_DEBUG: case VMCS_LINK_POINTER: case VMCS_GUEST_PDPTE0: case VMCS_GUEST_PDPTE1:
	case VMCS_GUEST_PDPTE2: case VMCS_GUEST_PDPTE3:
		return 0;
	default:
		switch (vmcs_type(f)) {
		case VMCS_CONTROL: return CONTROL;
		case VMCS_HOST:    return HOST;
		case VMCS_GUEST:   return SEGMENT;
		default:           return 0;
		}
	}
}

/* The groups in which a field changed in a way that a check could see. */
static unsigned changed(const struct vmx_passed *p, const uint64_t *f)
{
	unsigned mask = 0;
	for (unsigned i = 0; i < VMCS_N; i++) {
		uint64_t x = p->f[i] ^ f[i];
		if (likely(!x))
			continue;
		if (i == VMCS_PROC_CONTROLS && x == VMX_CTL(INTERRUPT_WINDOW))
			continue;       /* every CPU has it and nothing follows from it */
		mask |= group((enum vmcs_field)i);
		if (i == VMCS_GUEST_CR0 && x & CR0_PE)
			mask |= INJECT | SEGMENT;
		if (i == VMCS_GUEST_RFLAGS && x & RFLAGS_VM)
			mask |= SEGMENT;
	}
	return mask & CONTROL ? ALL : mask;
}

static bool range_fails(const struct check_view *w, enum vmx_check from, enum vmx_check to)
{
	struct vmx_failure x;
	for (enum vmx_check k = from; k <= to; k++)
		if (check_fails(w, k, &x))
			return true;
	return false;
}

bool check_still_passes(const struct cpu *c)
{
	const struct vmx_passed *p = &c->passed;
	if (!p->valid || p->pa != c->vmcs->pa || p->lma != cpu_lma(c))
		return false;
	unsigned mask = changed(p, c->vmcs->f);
	struct check_view w;
	if (mask == ALL)
		return false;
	check_view_init(&w, c);
	struct vmx_failure x;
	unsigned k = 0;
	check_msr_area(&w, &x, 0, &k);
	return !(k || check_fails(&w, VMX_CHECK_TPR_THRESHOLD_VTPR, &x) ||
	         (mask & INJECT && range_fails(&w, VMX_CHECK_INJECT_TYPE, VMX_CHECK_INJECT_LENGTH)) ||
	         (mask & HOST && range_fails(&w, VMX_CHECK_HOST_CR0_FIXED, VMX_CHECK_HOST_RIP_CANONICAL)) ||
	         (mask & REGISTER && range_fails(&w, VMX_CHECK_GUEST_CR0_FIXED, VMX_CHECK_GUEST_SSP_TABLE_CANONICAL)) ||
	         (mask & SEGMENT && range_fails(&w, VMX_CHECK_TR_SELECTOR, VMX_CHECK_IDTR_LIMIT)) ||
	         range_fails(&w, VMX_CHECK_RIP_HIGH, VMX_CHECK_PDPTES_IN_MEMORY));
}

void check_passed(struct cpu *c, bool all)
{
	struct vmx_passed *p = &c->passed;
	p->valid = all;
	if (!all)
		return;
	p->pa = c->vmcs->pa;
	p->lma = cpu_lma(c);
	memcpy(p->f, c->vmcs->f, sizeof p->f);
}
