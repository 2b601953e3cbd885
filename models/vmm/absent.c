/* absent.c - what the VMM's other files will define, in the plainest version. Weak: goes away with the last of them. */
#include "models/cpu/flags.h"
#include "models/vmm/vmm.h"

#define WEAK __attribute__((weak))

WEAK uint64_t vcpu_get(struct vcpu *v, enum vmcs_field f) { return v->cpu->vmcs->f[f]; }
WEAK void vcpu_set(struct vcpu *v, enum vmcs_field f, uint64_t x) { v->cpu->vmcs->f[f] = x; }
WEAK void vmm_cost(struct cpu *c, enum vmm_cost what) { (void)what; ledger_charge(&c->ledger, WHY_EXIT_SERVICE, 10); }
WEAK bool vm_gpa_to_hpa(const struct vm *vm, gpa_t gpa, hpa_t *hpa)
{
	hpa->v = vm->base.v + gpa.v;
	return mem_offset(&vm->mem, HPA(gpa.v)) >= 0;
}
WEAK bool vcpu_read_gpa(struct vcpu *v, gpa_t gpa, void *buf, unsigned n)
{
	hpa_t hpa;
	return vm_gpa_to_hpa(v->vm, gpa, &hpa) && mem_read(v->cpu->mmu.mem, hpa, buf, n);
}
WEAK bool vcpu_write_gpa(struct vcpu *v, gpa_t gpa, const void *buf, unsigned n)
{
	hpa_t hpa;
	if (!vm_gpa_to_hpa(v->vm, gpa, &hpa) || !mem_write(v->cpu->mmu.mem, hpa, buf, n))
		return false;
	if (v->vm->pager && v->vm->pager->write)
		v->vm->pager->write(v, gpa, buf, n);
	return true;
}
WEAK void vcpu_inject(struct vcpu *v, enum vector vec, bool has_error, uint32_t error)
{
	v->s.pending_event = 1u << 31 | (has_error ? 1u << 11 : 0) | EVENT_HARDWARE << 8 | vec;
	v->s.pending_error = error;
}
WEAK void vcpu_skip(struct vcpu *v) { vcpu_set(v, VMCS_GUEST_RIP, vcpu_get(v, VMCS_GUEST_RIP) + vcpu_get(v, VMCS_EXIT_INSN_LENGTH)); }
WEAK uint64_t vm_mmio_read(struct vcpu *v, gpa_t gpa, unsigned size) { (void)v, (void)gpa; return MASK(8 * size); }
WEAK void vm_mmio_write(struct vcpu *v, gpa_t gpa, unsigned size, uint64_t x) { (void)v, (void)gpa, (void)size, (void)x; }
WEAK struct vmm *vmm_new(const struct vmm_parts *p, struct err *e)
{
	(void)p;
	err_set(e, NULL, NULL, "virtual machines are not there yet");
	return NULL;
}
WEAK void vmm_free(struct vmm *v) { (void)v; }
WEAK int vmm_place(struct vmm *v, uint64_t ram, unsigned page_shift, hpa_t *base, struct err *e)
{
	(void)v, (void)ram, (void)page_shift, (void)base;
	return err_set(e, NULL, NULL, "virtual machines are not there yet");
}
WEAK struct vm *vmm_vm(struct vmm *v, const struct vm_config *c, const struct vm_parts *p, struct err *e)
{
	(void)v, (void)c, (void)p, (void)e;
	return NULL;
}
WEAK void vmm_start(struct vmm *v) { (void)v; }
WEAK void vmm_attention(struct vmm *v, struct cpu *model) { (void)v, (void)model; }
