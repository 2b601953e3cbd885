/* record.c - the VMM's record of a virtual CPU in rings: what a VMCS is under VMX.
 *
 * A page of simulated memory, laid out as this CPU model lays out a VMCS region, so that whoever can show the one can show the other:
 * 8 bytes a field, from byte 16. Behind the fields the VMM keeps the guest's general registers while it runs.
 * Timing: a field is a load or a store of 8 bytes through the caches.
 * Simplified: a real VMM would keep a field's neighbours in registers; here each get and set is a reference. */
#include "models/vmm/ring/ring.h"

#include "models/cpu/sys.h"

enum { AT_FIELDS = 16, AT_REGS = PAGE_SIZE - 128 };
_Static_assert(AT_FIELDS + 8 * VMCS_N <= AT_REGS, "the record is one page");

static hpa_t at(const struct vcpu *v, enum vmcs_field f) { return HPA(v->s.vmcs + AT_FIELDS + 8 * (uint64_t)f); }

hpa_t ring_record_regs(const struct vcpu *v) { return HPA(v->s.vmcs + AT_REGS); }

uint64_t ring_get(struct vcpu *v, enum vmcs_field f)
{
	return mmu_phys_read(&v->cpu->mmu, at(v, f), 8, WHY_EXIT_SERVICE);
}

void ring_set(struct vcpu *v, enum vmcs_field f, uint64_t x)
{
	mmu_phys_write(&v->cpu->mmu, at(v, f), 8, x & vmcs_mask(f), WHY_EXIT_SERVICE);
	if (f == VMCS_GUEST_CR3)
		v->s.real_changed |= RING_REAL_CR3;
	if (f == VMCS_TSC_OFFSET || f == VMCS_GUEST_CR0 || f == VMCS_GUEST_CR4 || f == VMCS_GUEST_EFER || f == VMCS_GUEST_DR7)
		v->s.real_changed |= RING_REAL_CONTROL;
	if (f == VMCS_GUEST_INTERRUPTIBILITY)
		v->s.blocking = x & 3;
	if ((f >= VMCS_GUEST_ES && f <= VMCS_GUEST_LDTR) || (f >= VMCS_GUEST_ES_LIMIT && f <= VMCS_GUEST_LDTR_LIMIT) ||
	    (f >= VMCS_GUEST_ES_ACCESS && f <= VMCS_GUEST_LDTR_ACCESS) || (f >= VMCS_GUEST_ES_BASE && f <= VMCS_GUEST_LDTR_BASE) ||
	    f == VMCS_GUEST_GDTR_BASE || f == VMCS_GUEST_GDTR_LIMIT)
		ring_segment_changed(v, f);
}

uint64_t ring_peek(const struct vcpu *v, enum vmcs_field f)
{
	return v->s.vmcs ? mem_read64(v->cpu->mmu.mem, at(v, f)) : 0;
}

/* All but tags: no translation carries one. */
bool ring_has(const struct vcpu *v, enum vmcs_field f)
{
	if (f == VMCS_GUEST_EFER)
		return cpu_has(v->cpu, FEATURE_NX);
	return f != VMCS_VPID && f != VMCS_PLE_GAP && f != VMCS_PLE_WINDOW;
}
