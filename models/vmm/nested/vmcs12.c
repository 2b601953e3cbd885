/* vmcs12.c - L1's VMCS: L0's copy of the current one, its region in L1's memory, the shadow VMCS.
 *
 * VMPTRLD copies the region's fields to a page of L0's, VMCLEAR, VMXOFF and another VMPTRLD copy them back, so a hostile L1 cannot
 * change a field between its check and its use; hardware keeps a VMCS on chip for as long. The region has the hardware's format (vmcs.c).
 * Three classes of fields: those of shadow_field.def travel at each VM entry and exit of L2; the other guest-state fields stay in
 * vmcs02 until L1 asks for one (`rare_in_02`), and are written there only when L1 has written one (`dirty`); the host-state area and
 * addresses are read where they are needed.
 * The shadow VMCS has the fields of shadow_field.def. L0 fills it before L1 goes on after an exit of L2, and takes what L1 has
 * written there before it uses the copy.
 * Source: SDM Vol. 3C, "VMCS Types: Ordinary and Shadow", "VMREAD", "VMWRITE". */
#include "models/vmm/nested/nested.h"

#include <string.h>

enum { REGION_LAUNCH = 8, REGION_FIELDS = 16 };         /* as vmcs.c has them */
enum { R = 1, RW = 3 };

static const struct { enum vmcs_field f; uint8_t access; } shadowed[] = {
#define SHADOW(NAME, access) { VMCS_##NAME, access },
#include "models/vmm/nested/shadow_field.def"
};

bool vmcs12_common(enum vmcs_field f)
{
	for (size_t i = 0; i < ARRAY_LEN(shadowed); i++)
		if (shadowed[i].f == f)
			return true;
	return false;
}

/* ---- L1's memory ---- */

bool l1_read(struct vcpu *v, uint64_t gpa, unsigned n, uint64_t *x)
{
	hpa_t hpa;
	*x = MASK(8 * n);
	if (!vm_gpa_to_hpa(v->vm, GPA(gpa), &hpa))
		return false;
	*x = mmu_phys_read(&v->cpu->mmu, hpa, n, WHY_EXIT_SERVICE);
	return true;
}

bool l1_write(struct vcpu *v, uint64_t gpa, unsigned n, uint64_t x)
{
	hpa_t hpa;
	if (!vm_gpa_to_hpa(v->vm, GPA(gpa), &hpa))
		return false;
	mmu_phys_write(&v->cpu->mmu, hpa, n, x, WHY_EXIT_SERVICE);
	return true;
}

/* ---- the copy ---- */

uint64_t vmcs12_get(struct vcpu *v, enum vmcs_field f)
{
	return mmu_phys_read(&v->cpu->mmu, HPA(v->nested->s.cache + 8 * f), 8, WHY_EXIT_SERVICE);
}

void vmcs12_put(struct vcpu *v, enum vmcs_field f, uint64_t x)
{
	mmu_phys_write(&v->cpu->mmu, HPA(v->nested->s.cache + 8 * f), 8, x & vmcs_mask(f), WHY_EXIT_SERVICE);
}

uint64_t vmcs12_peek(const struct vcpu *v, enum vmcs_field f)
{
	uint64_t x = 0;
	mem_peek(v->vm->vmm->p.mem, HPA(v->nested->s.cache + 8 * f), &x, 8);
	return x;
}

bool vmcs12_on(struct vcpu *v, enum vmx_control n)
{
	static const enum vmcs_field field[VMX_WORDS] = {
		VMCS_PIN_CONTROLS, VMCS_PROC_CONTROLS, VMCS_PROC2_CONTROLS, VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS,
	};
	const struct vmx_control_row *r = &vmx_control_rows[n];
	if (r->word == VMX_WORD_PROC2 && !(vmcs12_get(v, VMCS_PROC_CONTROLS) & VMX_CTL(SECONDARY_CONTROLS)))
		return false;
	return vmcs12_get(v, field[r->word]) >> r->bit & 1;
}

void vmcs12_load(struct vcpu *v, uint64_t region)
{
	struct nested_state *n = &v->nested->s;
	uint64_t launch;
	for (unsigned i = 0; i < VMCS_N; i++) {
		uint64_t x;
		l1_read(v, region + REGION_FIELDS + 8 * i, 8, &x);
		vmcs12_put(v, (enum vmcs_field)i, x);
	}
	l1_read(v, region + REGION_LAUNCH, 4, &launch);
	n->current = region;
	n->launched = launch == 1;
	n->dirty = n->shadow_old = 1;
	n->rare_in_02 = 0;
	vmcs12_shadow_link(v);
}

void vmcs12_flush(struct vcpu *v)
{
	struct nested_state *n = &v->nested->s;
	if (n->current == VMCS_NONE)
		return;
	vmcs12_from_shadow(v);
	vmcs12_sync_rare(v);
	for (unsigned i = 0; i < VMCS_N; i++)
		l1_write(v, n->current + REGION_FIELDS + 8 * i, 8, vmcs12_get(v, (enum vmcs_field)i));
	l1_write(v, n->current + REGION_LAUNCH, 8, n->launched);
	n->current = VMCS_NONE;
	vmcs12_shadow_link(v);
}

/* ---- fields that stayed in vmcs02 ---- */

void nested_switch(struct vcpu *v, bool to_l2)
{
	struct nested_state *n = &v->nested->s;
	struct vcpu_state *s = &v->s;
	const uint32_t launched = s->launched, window = s->window, apicv = s->apicv;
	const uint64_t vmcs = s->vmcs;
	if (n->running == to_l2)
		return;
	n->running = to_l2;
	s->vmcs = n->other, s->launched = n->other_launched, s->window = n->other_window, s->apicv = n->other_apicv;
	n->other = vmcs, n->other_launched = launched, n->other_window = window, n->other_apicv = apicv;
	vmx_root_vmptrld(v->cpu, s->vmcs);
}

/* What vmcs12 keeps although L2 has its own: fields a VM exit does not save. */
static bool saved(struct vcpu *v, enum vmcs_field f)
{
	switch (f) {
	case VMCS_GUEST_DR7: case VMCS_GUEST_DEBUGCTL: case VMCS_GUEST_PAT: case VMCS_GUEST_EFER:       /* leave.c */
	case VMCS_GUEST_PERF_GLOBAL_CTRL: case VMCS_LINK_POINTER: case VMCS_PREEMPTION_TIMER: case VMCS_GUEST_SMBASE:
		return false;
	default:
		return vmcs_type(f) == VMCS_GUEST && vmcs_exists(v->model, f) && !vmcs12_common(f);
	}
}

void vmcs12_sync_rare(struct vcpu *v)
{
	struct nested_state *n = &v->nested->s;
	if (!n->rare_in_02)
		return;
	v->nested->stat[NESTED_STAT_RARE]++;
	vmx_root_vmptrld(v->cpu, n->other);
	for (unsigned i = 0; i < VMCS_N; i++)
		if (saved(v, (enum vmcs_field)i))
			vmcs12_put(v, (enum vmcs_field)i, vcpu_get(v, (enum vmcs_field)i));
	vmx_root_vmptrld(v->cpu, v->s.vmcs);
	n->rare_in_02 = 0;
}

/* ---- the shadow VMCS ---- */

void vmcs12_shadow_link(struct vcpu *v)
{
	const struct nested_state *n = &v->nested->s;
	if (n->shadow)
		vcpu_set(v, VMCS_LINK_POINTER, n->current == VMCS_NONE ? VMCS_NONE : n->shadow);
}

void vmcs12_from_shadow(struct vcpu *v)
{
	const struct nested_state *n = &v->nested->s;
	if (!n->shadow || n->shadow_old || n->current == VMCS_NONE)
		return;
	vmx_root_vmptrld(v->cpu, n->shadow);
	for (size_t i = 0; i < ARRAY_LEN(shadowed); i++)
		if (shadowed[i].access == RW && vmcs_exists(v->model, shadowed[i].f))
			vmcs12_put(v, shadowed[i].f, vcpu_get(v, shadowed[i].f));
	vmx_root_vmptrld(v->cpu, v->s.vmcs);
}

/* Read-only fields of a shadow VMCS can be written where IA32_VMX_MISC 29 says so: on all profiles with VMCS shadowing. */
void vmcs12_to_shadow(struct vcpu *v)
{
	struct nested_state *n = &v->nested->s;
	if (!n->shadow || !n->shadow_old || n->current == VMCS_NONE || n->running)
		return;
	vmx_root_vmptrld(v->cpu, n->shadow);
	for (size_t i = 0; i < ARRAY_LEN(shadowed); i++)
		if (vmcs_exists(v->model, shadowed[i].f))
			vcpu_set(v, shadowed[i].f, vmcs12_get(v, shadowed[i].f));
	vmx_root_vmptrld(v->cpu, v->s.vmcs);
	n->shadow_old = 0;
}
