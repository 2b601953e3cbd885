/* reflect.c - exceptions, interrupts and system calls that are the guest's own. */
#include "models/vmm/ring/ring.h"

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "models/vmm/exit.h"

bool ring_reflect(struct vcpu *v)
{
	v->vm->stat[VMM_STAT_INJECTED]++;
	trace(v->cpu->trace, v->cpu->ledger.now, v->cpu->number, VMM_TRACE_INJECT, v->vm->number, v->number, v->s.pending_event,
	      v->s.pending_error);
	return false;
}

/* SYSCALL has been executed: RCX and R11 hold the return address and the flags, the real ones. What it would have done in the guest. */
static void system_call(struct vcpu *v, const struct ring_frame *f)
{
	struct cpu *c = v->cpu;
	const struct cpu_state *m = &v->model->s;
	const uint32_t flat = SEG_G | SEG_P | SEG_S | TYPE_ACCESSED;
	const uint64_t virtual = RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP;
	uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS) & ~(uint64_t)RFLAGS_RF;
	(void)f;
	vmm_cost(c, VMM_COST_RING_SYSCALL);
	if (!(v->s.efer & EFER_SCE)) {
		vcpu_inject(v, VEC_UD, false, 0);       /* RCX and R11 are lost: the price of letting users call at full speed */
		return;
	}
	c->s.r[R_R11] = (c->s.r[R_R11] & ~virtual) | (flags & virtual);
	vcpu_set(v, VMCS_GUEST_RFLAGS, flags & ~m->fmask);
	vcpu_set(v, VMCS_GUEST_RIP, m->lstar);
	const uint16_t sel = (uint16_t)(m->star >> 32) & 0xfffc;
	vcpu_set(v, VMCS_GUEST_CS, sel);
	vcpu_set(v, VMCS_GUEST_CS_BASE, 0);
	vcpu_set(v, VMCS_GUEST_CS_LIMIT, 0xffffffff);
	vcpu_set(v, VMCS_GUEST_CS_ACCESS, flat | TYPE_CODE | TYPE_READ | SEG_L);
	vcpu_set(v, VMCS_GUEST_SS, (uint16_t)(sel + 8));
	vcpu_set(v, VMCS_GUEST_SS_BASE, 0);
	vcpu_set(v, VMCS_GUEST_SS_LIMIT, 0xffffffff);
	vcpu_set(v, VMCS_GUEST_SS_ACCESS, flat | TYPE_WRITE | SEG_DB);
}

static void sysenter(struct vcpu *v)
{
	const bool wide = v->s.efer & EFER_LMA;
	const uint32_t flat = SEG_G | SEG_P | SEG_S | TYPE_ACCESSED;
	const uint16_t sel = vcpu_get(v, VMCS_GUEST_SYSENTER_CS) & 0xfffc;
	vmm_cost(v->cpu, VMM_COST_RING_SYSCALL);
	vcpu_set(v, VMCS_GUEST_RFLAGS, vcpu_get(v, VMCS_GUEST_RFLAGS) & ~(uint64_t)(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF));
	vcpu_set(v, VMCS_GUEST_RIP, vcpu_get(v, VMCS_GUEST_SYSENTER_EIP));
	vcpu_set(v, VMCS_GUEST_RSP, vcpu_get(v, VMCS_GUEST_SYSENTER_ESP));
	vcpu_set(v, VMCS_GUEST_CS, sel);
	vcpu_set(v, VMCS_GUEST_CS_BASE, 0);
	vcpu_set(v, VMCS_GUEST_CS_LIMIT, 0xffffffff);
	vcpu_set(v, VMCS_GUEST_CS_ACCESS, flat | TYPE_CODE | TYPE_READ | (wide ? SEG_L : SEG_DB));
	vcpu_set(v, VMCS_GUEST_SS, (uint16_t)(sel + 8));
	vcpu_set(v, VMCS_GUEST_SS_BASE, 0);
	vcpu_set(v, VMCS_GUEST_SS_LIMIT, 0xffffffff);
	vcpu_set(v, VMCS_GUEST_SS_ACCESS, flat | TYPE_WRITE | SEG_DB);
}

void ring_system_call(struct vcpu *v, const struct ring_frame *f)
{
	vmx_tell_exit(v->cpu, EXIT_SYSTEM_CALL, f->vector == RING_STUB_SYSENTER, ring_peek(v, VMCS_GUEST_RIP), 2);
	if (f->vector == RING_STUB_SYSCALL)
		system_call(v, f);
	else
		sysenter(v);
}
