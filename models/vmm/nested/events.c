/* events.c - between an exit and the next entry of a virtual CPU that has VMX: who gets the exit, and what strikes L2 meanwhile.
 *
 * Interrupts, NMIs and INIT for L1 while L2 runs are exits of L2 when L1's controls say so, at the next entry L0 would make. An event L1
 * injects comes first: L2 is entered with it and, by an interrupt L0 sends to itself, left at once.
 * Exceptions that L0 raises in L2 (a fault of an instruction it carries out) are L1's by its exception bitmap.
 * Source: SDM Vol. 3C, "Other Causes of VM Exits", "Event Injection"; Vol. 3A, "Priority Among Concurrent Events".
 * Simplified: when L0 raises a double fault in L2, L1 learns of the second exception alone. */
#include "models/vmm/nested/nested.h"

#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"

/* ---- exits ---- */

/* Statistics: three rows an exit reason, in the order of exit_reason.def. */
enum { OF_REFLECTED, OF_SERVED, OF_L1 };
static void count(struct vcpu *v, uint32_t reason, unsigned which)
{
	static const uint16_t first[EXIT_REASONS] = {
#define REASON(NAME, number, name, sentence) [number] = NESTED_STAT_REFLECTED_##NAME,
#include "models/cpu/vmx/exit_reason.def"
	};
	if (reason < EXIT_REASONS && first[reason])
		v->nested->stat[first[reason] + which]++;
}

/* What the hardware recorded, but for EPT: the violation of EPT02 was one of L1's EPT, or a misconfiguration of it. */
static void reflect(struct vcpu *v, uint32_t reason)
{
	const struct nested_walk *w = &v->nested->walk;
	struct nested_exit x = { .reason = reason, .qualification = vcpu_get(v, VMCS_EXIT_QUALIFICATION), .as_hardware = true };
	if (reason == EXIT_EPT_VIOLATION) {
		if (w->end == WALK12_MISCONFIG)
			x.reason = EXIT_EPT_MISCONFIG, x.qualification = 0;
		else
			x.qualification = (x.qualification & (7 | BIT(7) | BIT(8) | BIT(12))) | w->rights << 3;
	}
	count(v, x.reason & 0xffff, OF_REFLECTED);
	nested_leave(v, &x);
}

bool nested_exit(struct vcpu *v, uint32_t reason)
{
	if (!nested_operation(v))
		return false;
	struct nested_state *n = &v->nested->s;
	if (!n->running) {
		if (n->serving) {
			v->nested->stat[NESTED_STAT_L1_EXITS]++;
			count(v, n->serving - 1, OF_L1);
		}
		return false;
	}
	n->entering = n->fresh = 0;
	if (reason >> 31) {             /* what L0's checks had passed, and those of vmcs02 do not */
		const struct vmcs *k = vmcs_active(v->cpu, v->s.vmcs);
		v->s.launched = k && k->launched;
		nested_entry_failed(v, reason & 0xffff, vcpu_get(v, VMCS_EXIT_QUALIFICATION));
		return true;
	}
	v->nested->stat[NESTED_STAT_EXITS]++;
	if (nested_reflects(v, reason)) {
		reflect(v, reason);
		return true;
	}
	v->nested->stat[NESTED_STAT_SERVED]++;
	count(v, reason & 0xffff, OF_SERVED);
	return false;
}

/* ---- what strikes L2 ---- */

/* "Monitor trap flag": the hardware saw no instruction. */
void nested_stepped(struct vcpu *v)
{
	if (nested_running(v) && vmcs12_on(v, VMX_MTF))
		v->nested->s.mtf = 1;
}

void nested_raised(struct vcpu *v)
{
	if (nested_running(v))
		v->nested->s.fresh = 1;
}

static bool extint_pending(const struct cpu *m) { return m->s.intr_line && lapic_extint_enabled(m->lapic); }

static bool interrupt_due(const struct cpu *m) { return extint_pending(m) || lapic_pending(m->lapic) >= 0; }

bool nested_holds_interrupt(const struct vcpu *v)
{
	return nested_running(v) && vmcs12_peek(v, VMCS_PIN_CONTROLS) & VMX_CTL(EXTINT_EXITING);
}

bool nested_holds_nmi(const struct vcpu *v)
{
	return nested_running(v) && vmcs12_peek(v, VMCS_PIN_CONTROLS) & VMX_CTL(NMI_EXITING);
}

bool nested_holds_init(const struct vcpu *v) { return nested_operation(v); }

static void made(struct vcpu *v, const struct nested_exit *x)
{
	v->nested->stat[NESTED_STAT_EXITS]++;
	count(v, x->reason, OF_REFLECTED);
	nested_leave(v, x);
}

/* "acknowledge interrupt on exit": its vector is in the exit's information; else it stays pending. */
static void external(struct vcpu *v)
{
	struct cpu *m = v->model;
	struct nested_exit x = { .reason = EXIT_EXTINT };
	if (vmcs12_on(v, VMX_EXIT_ACK_INTERRUPT)) {
		int vector = lapic_pending(m->lapic);
		vcpu_now(v);
		if (vector >= 0)
			lapic_ack(m->lapic, (uint8_t)vector);
		else if (m->pic.acknowledge)
			vector = m->pic.acknowledge(m->pic.who);
		else
			return;
		x.intr_info = 1u << 31 | EVENT_EXTERNAL << 8 | (uint32_t)vector;
	}
	made(v, &x);
}

/* An exception L0 has raised. */
static bool exception(struct vcpu *v)
{
	const uint32_t event = v->s.pending_event, vector = event & 0xff;
	struct nested_exit x = { .reason = EXIT_EXCEPTION, .intr_info = event, .intr_error = v->s.pending_error };
	bool bit = vmcs12_get(v, VMCS_EXCEPTION_BITMAP) >> (vector & 31) & 1;
	if (vector == VEC_PF)
		bit = bit == ((v->s.pending_error & vmcs12_get(v, VMCS_PFEC_MASK)) == vmcs12_get(v, VMCS_PFEC_MATCH));
	if (!bit)
		return false;
	if (vector == VEC_PF)
		x.qualification = v->cpu->s.cr2;
	made(v, &x);
	return true;
}

/* Not now, but as soon as L2 has taken a step: an interrupt of the host's own brings L0 back. */
static void come_back(struct vcpu *v) { vmm_kick(v->vm->vmm, v->cpu); }

static void interrupts(struct vcpu *v)
{
	struct nested_state *n = &v->nested->s;
	struct cpu *m = v->model;
	bool init = m->s.init_pending, nmi = m->s.nmi_pending && nested_holds_nmi(v), irq = interrupt_due(m) && nested_holds_interrupt(v);
	if (!init && !nmi && !irq)
		return;
	vmm_cost(v->cpu, VMM_COST_IRQ);
	if (n->entering && v->s.pending_event) {
		come_back(v);
		return;
	}
	uint64_t blocking = vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY);
	if (init) {
		m->s.init_pending = false;
		made(v, &(struct nested_exit){ .reason = EXIT_INIT });
	} else if (blocking & 3) {
		come_back(v);
	} else if (nmi) {
		m->s.nmi_pending--;
		made(v, &(struct nested_exit){ .reason = EXIT_EXCEPTION, .intr_info = 1u << 31 | EVENT_NMI << 8 | VEC_NMI });
	} else {
		external(v);
	}
}

void nested_before_entry(struct vcpu *v)
{
	if (!nested_operation(v))
		return;
	struct nested_state *n = &v->nested->s;
	bool left = n->running && v->s.pending_event && n->fresh && exception(v);
	if (n->running && !left && n->mtf && !v->s.pending_event) {
		made(v, &(struct nested_exit){ .reason = EXIT_MTF });
		left = true;
	}
	if (n->running && !left)
		interrupts(v);
	n->fresh = n->mtf = 0;
	vmcs12_to_shadow(v);
}

/* ---- the VMX-preemption timer ---- */

bool nested_timer_over(const struct vcpu *v)
{
	const struct nested_state *n = &v->nested->s;
	return n->running && n->timer && cpu_tsc(v->cpu) >> VMX_TIMER_SHIFT >= n->timer_end;
}

/* One timer in hardware for L0's turns and for L1: the sooner of the two. */
void nested_arm(struct vcpu *v)
{
	if (!nested_running(v) || !v->nested->s.timer)
		return;
	uint64_t now = cpu_tsc(v->cpu) >> VMX_TIMER_SHIFT, end = v->nested->s.timer_end, left = end > now ? end - now : 0;
	bool shared = v->vm->vmm->vcpus > v->vm->vmm->p.cpus;
	uint64_t own = shared ? vcpu_get(v, VMCS_PREEMPTION_TIMER) : ~0ull;
	if (left < own)
		vcpu_set(v, VMCS_PREEMPTION_TIMER, left > 0xffffffff ? 0xffffffff : left);
}

/* ---- control registers ---- */

void nested_cr_written(struct vcpu *v, unsigned cr)
{
	if (!nested_running(v))
		return;
	enum vmcs_field f = cr == 0 ? VMCS_GUEST_CR0 : VMCS_GUEST_CR4;
	uint64_t mask = vmcs12_get(v, cr == 0 ? VMCS_CR0_MASK : VMCS_CR4_MASK);
	vcpu_set(v, f, (vcpu_get(v, f) & ~mask) | (vmcs12_get(v, f) & mask));
}

bool nested_cr_fixed(const struct vcpu *v, unsigned cr, uint64_t x)
{
	if (!nested_operation(v) || v->nested->s.running)       /* of L2's the hardware takes care */
		return false;
	uint64_t fixed = cr == 0 ? vmx_cr0_fixed0(v->model) : vmx_cr4_fixed0(v->model);
	return (x & fixed) != fixed;
}

/* L2 wrote the TSC and L1 let it: the VM's TSC has changed, L1's offset for L2 stays. */
void nested_tsc_written(struct vcpu *v)
{
	if (!nested_running(v))
		return;
	uint64_t offset = vcpu_get(v, VMCS_TSC_OFFSET);
	vmx_root_vmptrld(v->cpu, v->nested->s.other);
	vcpu_set(v, VMCS_TSC_OFFSET, offset);
	vmx_root_vmptrld(v->cpu, v->s.vmcs);
	if (vmcs12_on(v, VMX_TSC_OFFSETTING))
		vcpu_set(v, VMCS_TSC_OFFSET, offset + vmcs12_get(v, VMCS_TSC_OFFSET));
}
