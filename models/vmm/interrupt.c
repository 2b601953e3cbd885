/* interrupt.c - what interrupts a virtual CPU, and when it may be injected.
 *
 * The virtual local APIC (the model's) and the virtual 8259s decide which interrupt is due; the guest's IF and its blocking by STI
 * and MOV SS decide whether it is injected at this VM entry or an interrupt window is asked for. NMIs likewise. With virtual-interrupt
 * delivery (apicv.c) the 8259s' and NMIs alone.
 * Two NMIs that come while the VMM is at work are two: a CPU of its own would have taken the first at once and held the second.
 * INIT and start-up IPIs change the model's state as they change a CPU's, which then goes into the VMCS.
 * Source: SDM Vol. 3C, "Event Injection"; "Interrupt-Window Exiting and Virtual-Interrupt Delivery"; "NMI-window exiting". */
#include "models/vmm/nested/nested.h"

#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"

static bool extint_pending(const struct cpu *m)
{
	return m->s.intr_line && lapic_extint_enabled(m->lapic);
}

static bool interrupt_due(const struct cpu *m)
{
	return extint_pending(m) || lapic_pending(m->lapic) >= 0;
}

bool vcpu_pending(struct vcpu *v)
{
	const struct cpu *m = v->model;
	if (v->s.reload || (m->s.init_pending && !(nested_holds_init(v) && !nested_running(v))) || m->s.sipi_pending || m->s.nmi_pending)
		return true;
	if (vcpu_in_guest(v))
		return apicv_pending(v) || extint_pending(m);
	return !v->s.blocked && interrupt_due(m);
}

/* Virtual-interrupt delivery: the local APIC's own interrupts are the hardware's. */
static bool injected_due(const struct vcpu *v)
{
	if (nested_holds_interrupt(v))
		return false;
	return v->s.apicv == APICV_FULL ? extint_pending(v->model) : interrupt_due(v->model);
}

static bool take(const struct vcpu *v, uint8_t *vector)
{
	struct cpu *m = v->model;
	int x = v->s.apicv == APICV_FULL ? -1 : lapic_pending(m->lapic);
	if (x >= 0) {
		lapic_ack(m->lapic, (uint8_t)x);
		*vector = (uint8_t)x;
		return true;
	}
	if (!extint_pending(m) || !m->pic.acknowledge)
		return false;
	*vector = m->pic.acknowledge(m->pic.who);
	return true;
}

static void set_windows(struct vcpu *v, uint32_t want)
{
	if (want == v->s.window)
		return;
	uint64_t proc = vcpu_get(v, VMCS_PROC_CONTROLS) & ~(VMX_CTL(INTERRUPT_WINDOW) | VMX_CTL(NMI_WINDOW));
	if (nested_running(v))          /* L1 has asked for some, too */
		proc |= vmcs12_get(v, VMCS_PROC_CONTROLS) & (VMX_CTL(INTERRUPT_WINDOW) | VMX_CTL(NMI_WINDOW));
	if (want & VMM_WINDOW_INTERRUPT)
		proc |= VMX_CTL(INTERRUPT_WINDOW);
	if (want & VMM_WINDOW_NMI)
		proc |= VMX_CTL(NMI_WINDOW);
	vcpu_set(v, VMCS_PROC_CONTROLS, proc);
	v->s.window = want;
}

static void inject(struct vcpu *v, uint32_t type, uint8_t vector, uint64_t flags)
{
	v->s.entered_rf = (flags & RFLAGS_RF) != 0;
	v->s.pending_event = 1u << 31 | type << 8 | vector;
	v->s.pending_error = v->s.pending_length = 0;
}

/* The single step of an instruction that the VMM carried out comes before interrupts and NMIs. */
static bool step_due(struct vcpu *v, uint64_t flags)
{
	return flags & RFLAGS_TF && vcpu_get(v, VMCS_GUEST_PENDING_DEBUG);
}

void vcpu_interrupt(struct vcpu *v)
{
	struct cpu *m = v->model;
	uint32_t want = 0;
	bool nmi = m->s.nmi_pending && !nested_holds_nmi(v), irq = injected_due(v);
	if (nmi || irq) {
		uint64_t blocking = vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY);
		vmm_cost(v->cpu, VMM_COST_IRQ);
		if (nmi && blocking & 8)
			m->s.nmi_pending = 1;   /* while one is handled, the CPU holds one more */
		uint64_t flags;
		if (nmi && !v->s.pending_event && !(blocking & 11) && !step_due(v, flags = vcpu_get(v, VMCS_GUEST_RFLAGS))) {
			nmi = --m->s.nmi_pending;
			inject(v, EVENT_NMI, VEC_NMI, flags);
		}
		if (irq && !v->s.pending_event && !(blocking & 3) && (flags = vcpu_get(v, VMCS_GUEST_RFLAGS)) & RFLAGS_IF && !step_due(v, flags)) {
			uint8_t vector;
			vcpu_now(v);
			if (take(v, &vector))
				inject(v, EVENT_EXTERNAL, vector, flags);
			irq = injected_due(v);
		}
	}
	if (nmi)
		want |= vmx_may_be(v->cpu, VMX_NMI_WINDOW) ? VMM_WINDOW_NMI : VMM_WINDOW_INTERRUPT;
	if (irq)
		want |= VMM_WINDOW_INTERRUPT;
	set_windows(v, want);
}

/* ---- INIT and start-up IPI ---- */

/* Registers of a CPU that holds no virtual CPU are the model's; of one that does, its own. */
static void reload(struct vcpu *v)
{
	struct vcpu *held = vmm_holder(v->vm->vmm, v->cpu);
	if (v->vm->virt->reach)
		v->vm->virt->reach(v);
	nested_reset(v);
	vcpu_load_state(v);
	if (!v->s.interpreting)
		vcpu_renew(v);
	if (held && held->vm->virt->reach)
		held->vm->virt->reach(held);
	vcpu_registers_in(v);
}

bool vcpu_started(struct vcpu *v)
{
	struct cpu *m = v->model;
	if (v->s.reload) {
		v->s.reload = 0;
		v->s.runnable = m->s.activity == ACTIVITY_ACTIVE;
		vmm_cost(v->cpu, VMM_COST_START);
		reload(v);
	}
	if (m->s.init_pending && !nested_holds_init(v)) {
		uint8_t sipi = m->s.sipi_pending;
		vcpu_registers_out(v);
		vmm_cost(v->cpu, VMM_COST_START);
		vcpu_now(v);
		cpu_reset(m, true);
		m->s.sipi_pending = sipi;
		v->s.runnable = m->s.activity == ACTIVITY_ACTIVE;
		if (v->s.runnable && m->machine.request)
			m->machine.request(m->machine.who, MACHINE_RESET, MACHINE_RESET_VECTOR);
		reload(v);
	}
	if (m->s.sipi_pending) {
		m->s.sipi_pending = 0;
		if (!v->s.runnable) {
			vmm_cost(v->cpu, VMM_COST_START);
			vcpu_registers_out(v);
			m->s.activity = ACTIVITY_ACTIVE;
			m->s.seg[SEG_CS].sel = (uint16_t)(m->s.sipi_vector << 8);
			m->s.seg[SEG_CS].base = (uint64_t)m->s.sipi_vector << 12;
			m->s.rip = 0;
			v->s.runnable = 1;
			reload(v);
		}
	}
	if (m->s.activity == ACTIVITY_WAIT_SIPI)
		v->s.runnable = 0;              /* suspended by its board: a reset wakes it */
	return v->s.runnable;
}
