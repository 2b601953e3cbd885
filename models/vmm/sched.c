/* sched.c - which virtual CPU runs where.
 *
 * A virtual CPU belongs to one physical CPU for good (they are dealt out in turn as VMs are made). Those of one physical CPU take
 * turns of vmm->slice cycles, in order, while they are runnable; a turn ends by the VMX-preemption timer where the CPU has
 * one, else by the host's timer. With nothing to run the physical CPU halts until an interrupt.
 * The world switch: VMPTRLD, and by software what no VMCS holds: general registers, floating point, debug registers, MSRs. */
#include "models/vmm/nested/nested.h"

#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"

/* ---- world switch ---- */

/* From one CPU's registers to another's: all that no VMCS has a field for and a guest reaches without an exit. */
static void copy_registers(const struct vcpu *v, struct cpu_state *to, const struct cpu_state *from)
{
	memcpy(to->r, from->r, R_ZERO * sizeof to->r[0]);
	to->cr2 = from->cr2;
	to->xcr0 = from->xcr0;
	memcpy(to->dr, from->dr, 7 * sizeof to->dr[0]);
	if (!v->vm->virt->ring) {       /* beside a VMM in ring 0 the physical CPU's are the VMM's */
		to->star = from->star;
		to->lstar = from->lstar;
		to->cstar = from->cstar;
		to->fmask = from->fmask;
		to->kernel_gs_base = from->kernel_gs_base;
		to->tsc_aux = from->tsc_aux;
	}
	to->pkru = from->pkru;
	to->mxcsr = from->mxcsr;
	memcpy(to->st, from->st, sizeof to->st);
	to->fcw = from->fcw, to->fsw = from->fsw, to->ftw = from->ftw, to->fop = from->fop;
	to->fcs = from->fcs, to->fds = from->fds, to->fip = from->fip, to->fdp = from->fdp;
	memcpy(to->xmm, from->xmm, sizeof to->xmm);
}

bool vcpu_in_guest(const struct vcpu *v)
{
	return vmm_holder(v->vm->vmm, v->cpu) == v && v->vm->virt->in_guest(v);
}

void vcpu_registers_out(struct vcpu *v)
{
	if (vmm_holder(v->vm->vmm, v->cpu) == v && v->s.interpreting != INTERPRET_MODEL)
		copy_registers(v, &v->model->s, &v->cpu->s);
}

void vcpu_registers_in(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	if (vmm_holder(v->vm->vmm, c) != v)
		return;
	copy_registers(v, &c->s, &v->model->s);
	mmu_set_pkru(&c->mmu, c->s.pkru);
}

static void put_away(struct vcpu *v)
{
	v->s.ran += v->cpu->ledger.now - v->s.since;
	vcpu_registers_out(v);
	if (v->vm->virt->put_away)
		v->vm->virt->put_away(v);
}

static void take_up(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	vmm_cost(c, VMM_COST_SWITCH);
	vmm_cost(c, VMM_COST_FPU);
	if (v->vm->virt->take_up)
		v->vm->virt->take_up(v);
	copy_registers(v, &c->s, &v->model->s);
	mmu_set_pkru(&c->mmu, c->s.pkru);
	v->s.since = c->ledger.now;
	v->s.switching = v->vm->virt->ring;
	v->vm->stat[VMM_STAT_SWITCHES]++;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_WORLD_SWITCH, v->vm->number, v->number, 0, 0);
	if (v->vm->pager->entering)
		v->vm->pager->entering(v);
}

/* ---- whose turn ---- */

static bool may_run(struct vcpu *v)
{
	if (*v->vm->parts.stop || v->vm->refused[0])
		return false;
	if (!vcpu_started(v))
		return false;
	if (v->s.halted && !vcpu_pending(v))
		return false;
	return true;
}

/* The next one in order after the present holder, itself last; `first`: itself first. */
static struct vcpu *choose(struct vmm *m, struct cpu *c, bool first)
{
	uint32_t n = m->s.current[c->number];
	if (n && first && may_run(m->vcpu[n - 1]))
		return m->vcpu[n - 1];
	unsigned begin = n ? n - 1 + m->p.cpus : c->number;
	for (unsigned i = begin; i < m->vcpus; i += m->p.cpus)
		if (may_run(m->vcpu[i]))
			return m->vcpu[i];
	for (unsigned i = c->number; i < m->vcpus && i < begin; i += m->p.cpus)
		if (may_run(m->vcpu[i]))
			return m->vcpu[i];
	return NULL;
}

/* Interrupts are on unless nothing but an NMI or a reset could ever help: then the machine can tell that it is dead. */
static void idle(struct vmm *m, struct cpu *c)
{
	bool hope = false;
	for (unsigned i = c->number; i < m->vcpus; i += m->p.cpus) {
		const struct vcpu *v = m->vcpu[i];
		hope |= !*v->vm->parts.stop && !v->vm->refused[0] && !(v->s.halted && v->s.blocked);
	}
	cpu_set_rflags(c, hope ? RFLAGS_IF : 0, RFLAGS_IF);
	if (c->s.activity != ACTIVITY_HLT)
		trace(c->trace, c->ledger.now, c->number, CPU_TRACE_HALT, c->s.rip, 0, 0, 0);
	c->s.activity = ACTIVITY_HLT;
	c->ledger.acct = ACCT_IDLE;
	evq_cancel(m->p.evq, m->owner, c->number);
	cpu_attention(c);
}

void vcpu_switch_step(struct vcpu *v, enum switch_step step)
{
	if (v->vm->virt->ring)
		trace(v->cpu->trace, v->cpu->ledger.now, v->cpu->number, VMM_TRACE_SWITCH_STEP, step, v->vm->number, v->number, 0);
}

bool vcpu_turn_over(const struct vcpu *v)
{
	const struct vmm *m = v->vm->vmm;
	return m->vcpus > m->p.cpus && v->cpu->ledger.now >= m->s.slice_end[v->cpu->number];
}

/* Others wait: a turn ends some time. */
static void arm(struct vmm *m, struct vcpu *v)
{
	struct cpu *c = v->cpu;
	cycle_t end = m->s.slice_end[c->number], now = c->ledger.now, left = end > now ? end - now : 1;
	if (m->vcpus <= m->p.cpus)
		return;
	if (v->vm->virt->arm(v, left))
		return;
	evq_cancel(m->p.evq, m->owner, c->number);
	evq_add(m->p.evq, m->owner, now + left, c->number, 0);
}

void vmm_run(struct vmm *m, struct cpu *c)
{
	for (;;) {
		struct vcpu *old = vmm_holder(m, c);
		bool turn = c->ledger.now < m->s.slice_end[c->number] || m->vcpus <= m->p.cpus;
		struct vcpu *v = choose(m, c, turn);
		if (!v) {
			idle(m, c);
			return;
		}
		if (!turn || v != old) {
			vmm_cost(c, VMM_COST_SCHEDULE);
			m->s.slice_end[c->number] = c->ledger.now + m->slice;
		}
		if (v != old) {
			if (old)
				put_away(old);
			m->s.current[c->number] = vcpu_vpid(v);
			vcpu_switch_step(v, STEP_DECIDE);
			if (v->vm->virt->ring) {
				if (m->vcpus > m->p.cpus)
					vmm_cost(c, VMM_COST_TIMER);
				arm(m, v);
				vcpu_switch_step(v, STEP_TIMER);
			}
			take_up(v);
			vcpu_switch_step(v, STEP_RESTORE);
		}
		v->s.halted = v->s.blocked = 0;
		vcpu_device_writes(v);
		if (v->s.interpreting && vcpu_interpret(v))
			return;
		nested_before_entry(v);
		vcpu_interrupt(v);
		arm(m, v);
		nested_arm(v);
		if (vcpu_enter(v))
			return;
	}
}

/* Called when its model got something; from device events, from other CPUs' VMM code, or from its own exit's service. */
void vcpu_wake(struct vcpu *v)
{
	struct vmm *m = v->vm->vmm;
	struct cpu *c = v->cpu;
	if (!m->s.started || c->root.who != m)
		return;
	bool current = vmm_holder(m, c) == v, guest = !cpu_root_modelled(c);
	if (guest ? !current || !vcpu_pending(v) : c->s.activity != ACTIVITY_HLT)
		return;         /* another one's turn; or the VMM is at work there and will look itself */
	if (!guest && !vcpu_pending(v))
		return;
	if (guest && v->s.window & VMM_WINDOW_INTERRUPT && !v->model->s.nmi_pending && !v->model->s.init_pending)
		return;         /* it will come back by itself */
	v->vm->stat[VMM_STAT_KICKS]++;
	vmm_kick(m, c);
}
