/* standin.c - see standin.h. */
#include "tests/unit/vmm/standin.h"

#include <criterion/criterion.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "models/vmm/virt.h"

void standin_init(struct standin *s, struct cpu *c)
{
	memset(s, 0, sizeof *s);
	s->cpu = c;
	s->vmm.vcpus = s->vmm.p.cpus = 1;
	s->vm.vmm = &s->vmm;
	s->vm.number = 1;
	s->vm.virt = &virt_vmx;
	s->vm.vcpu[0] = &s->vcpu;
	s->vm.config.vcpus = 1;
	s->vcpu.vm = &s->vm;
	s->vcpu.cpu = c;
	s->vcpu.model = c;
	/* guest-physical memory is the bench's, one to one; devices are where RAM ends */
	s->vm.mem = *c->mmu.mem;
	c->vmx.vmxon = 0x1000;
	c->vmx.current = 0;
	c->vmx.slot[0].pa = 0x2000;
	c->vmcs = &c->vmx.slot[0];
}

void standin_capture(struct standin *s)
{
	struct cpu *c = s->cpu;
	uint64_t *f = c->vmcs->f;
	for (unsigned i = SEG_ES; i <= SEG_TR; i++) {
		f[VMCS_GUEST_ES + i] = c->s.seg[i].sel;
		f[VMCS_GUEST_ES_BASE + i] = c->s.seg[i].base;
		f[VMCS_GUEST_ES_LIMIT + i] = c->s.seg[i].limit;
		f[VMCS_GUEST_ES_ACCESS + i] = c->s.seg[i].attr;
	}
	f[VMCS_GUEST_RIP] = c->s.rip;
	f[VMCS_GUEST_RSP] = c->s.r[R_RSP];
	f[VMCS_GUEST_RFLAGS] = cpu_rflags(c);
	f[VMCS_GUEST_CR0] = c->s.cr0;
	f[VMCS_GUEST_CR3] = c->s.cr3;
	f[VMCS_GUEST_CR4] = c->s.cr4;
	f[VMCS_GUEST_EFER] = c->s.efer;
	f[VMCS_GUEST_INTERRUPTIBILITY] = 0;
	f[VMCS_GUEST_PENDING_DEBUG] = 0;
	f[VMCS_ENTRY_CONTROLS] = c->s.efer & EFER_LMA ? VMX_CTL(ENTRY_GUEST_64) : 0;
	s->vcpu.s.cr0 = c->s.cr0;
	s->vcpu.s.cr3 = c->s.cr3;
	s->vcpu.s.cr4 = c->s.cr4;
	s->vcpu.s.efer = c->s.efer;
	memcpy(s->vcpu.s.pdpte, c->mmu.pdpte, sizeof s->vcpu.s.pdpte);
	s->vcpu.s.pending_event = 0;
}

int standin_injected(const struct standin *s, uint32_t *error)
{
	uint32_t info = s->vcpu.s.pending_event;
	if (!(info >> 31))
		return -1;
	*error = info >> 11 & 1 ? s->vcpu.s.pending_error : 0;
	return info & 0xff;
}
