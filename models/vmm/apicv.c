/* apicv.c - how much of a virtual local APIC the hardware does: from CR8 alone to whole interrupts without an exit.
 *
 *   tpr     "use TPR shadow": MOV to and from CR8 reach the virtual-APIC page; an exit only when the TPR falls below the threshold,
 *           that is when an interrupt which was held back may be delivered (every profile with VT-x)
 *   access  "virtualize APIC accesses" too, under EPT: the TPR's register likewise; other registers are APIC-access exits, of which
 *           an EOI needs no emulation of the instruction (Core 2 and later; KVM's flexpriority)
 *   full    "APIC-register virtualization" and "virtual-interrupt delivery" too: reads and EOIs do not exit, writes are APIC-write exits
 *           after the instruction, interrupts are delivered as soon as the guest may take them (Haswell and later; KVM's enable_apicv)
 *
 * The virtual-APIC page holds the registers while the guest runs, the model (lapic.c) while the VMM does: entry and exit hand them over.
 * The IRR moves: what the model accepts meanwhile is added at the next exit. A VMM keeps one copy, this page, so the
 * handing over is not charged; what it writes into the VMCS is.
 * A guest that moves its APIC, disables it or changes to x2APIC mode is left with the TPR shadow: the APIC-access page goes.
 * Source: SDM Vol. 3C, "APIC Virtualization and Virtual Interrupts".
 * Timing: SIMPLE, DEVICE and EMULATE phases of the exits that are left.
 * Simplified: x2APIC MSRs are not virtualized by the hardware; no posted interrupts: one for a running guest is a host interrupt first.
 * The model's IRR, ISR and TPR as panes show them are those of the last exit. */
#include "models/vmm/exit.h"
#include "models/vmm/nested/nested.h"
#include "models/vmm/virt.h"

#include <string.h>

#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"

#define APIC_DEFAULT 0xfee00000ull
enum { V_TPR = 0x080, V_EOI = 0x0b0, V_ISR = 0x100, V_TMR = 0x180, V_IRR = 0x200, V_ICR = 0x300, V_ICR2 = 0x310 };

/* Registers a guest reads from the page, beside TPR, ISR, TMR and IRR. */
static const uint16_t registers[] = {
	0x020, 0x030, 0x0d0, 0x0e0, 0x0f0, 0x280, 0x300, 0x310, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x3e0,
};

static uint32_t page_get(const struct vcpu *v, unsigned off)
{
	uint32_t x;
	memcpy(&x, mem_ptr(v->vm->vmm->p.mem, HPA(v->s.apic_page)) + off, sizeof x);
	return x;
}

static void page_put(const struct vcpu *v, unsigned off, uint32_t x)
{
	if (page_get(v, off) != x)
		mem_write32(v->vm->vmm->p.mem, HPA(v->s.apic_page + off), x);
}

static unsigned highest(const uint32_t word[8])
{
	for (int i = 7; i >= 0; i--)
		if (word[i])
			return (unsigned)(i * 32 + 31 - __builtin_clz(word[i]));
	return 0;
}

/* ---- how much ---- */

static bool where_it_was(const struct vcpu *v)
{
	return lapic_owns(v->model->lapic, APIC_DEFAULT);
}

static enum apicv level(const struct vcpu *v)
{
	const enum apicv most = v->vm->config.apicv;
	const struct cpu *c = v->cpu;
	if (most == APICV_OFF || v->vm->virt->ring || !vmx_may_be(c, VMX_TPR_SHADOW))
		return APICV_OFF;
	if (most == APICV_TPR || v->vm->pager != &pager_ept || !vmx_may_be(c, VMX_VIRTUALIZE_APIC) || !ept_apic_page(v->vm))
		return APICV_TPR;
	if (most == APICV_ACCESS || !vmx_may_be(c, VMX_APIC_REGISTERS) || !vmx_may_be(c, VMX_VIRTUAL_INTERRUPTS))
		return APICV_ACCESS;
	return APICV_FULL;
}

static void set_controls(struct vcpu *v, enum apicv now)
{
	const uint64_t cr8 = VMX_CTL(CR8_LOAD_EXITING) | VMX_CTL(CR8_STORE_EXITING);
	const uint64_t full = VMX_CTL(APIC_REGISTERS) | VMX_CTL(VIRTUAL_INTERRUPTS);
	uint64_t proc = vcpu_get(v, VMCS_PROC_CONTROLS) & ~(cr8 | VMX_CTL(TPR_SHADOW));
	v->s.apicv = now;
	vcpu_set(v, VMCS_PROC_CONTROLS, now == APICV_OFF ? proc | cr8 : proc | VMX_CTL(TPR_SHADOW));
	if (now != APICV_OFF)
		vcpu_set(v, VMCS_VIRTUAL_APIC_ADDR, v->s.apic_page);
	if (!vmx_may_be(v->cpu, VMX_VIRTUALIZE_APIC))
		return;
	uint64_t proc2 = vcpu_get(v, VMCS_PROC2_CONTROLS) & ~(full | VMX_CTL(VIRTUALIZE_APIC));
	proc2 |= now == APICV_ACCESS || now == APICV_FULL ? VMX_CTL(VIRTUALIZE_APIC) : 0;
	vcpu_set(v, VMCS_PROC2_CONTROLS, proc2 | (now == APICV_FULL ? full : 0));
	if (proc2 & VMX_CTL(VIRTUALIZE_APIC))
		vcpu_set(v, VMCS_APIC_ACCESS_ADDR, ept_apic_page(v->vm));
	if (v->s.tpr_threshold)
		vcpu_set(v, VMCS_TPR_THRESHOLD, v->s.tpr_threshold = 0);
}

void apicv_init(struct vcpu *v)
{
	v->s.apicv = APICV_OFF;         /* as write_controls() left the VMCS; the first entry sets what may be */
}

/* ---- handing over ---- */

void apicv_out(struct vcpu *v)
{
	struct lapic_state *l = &v->model->lapic->s;
	if (nested_running(v))          /* vmcs02: L2 has none of it */
		return;
	if (!where_it_was(v) && v->vm->pager == &pager_ept)
		ept_apic_unmap(v);
	enum apicv now = level(v);
	bool changed = now != v->s.apicv;
	if (changed)
		set_controls(v, now);
	if (now == APICV_OFF)
		return;
	page_put(v, V_TPR, l->tpr);
	if (now != APICV_FULL) {
		unsigned irr = highest(l->irr) >> 4, threshold = irr && irr <= l->tpr >> 4 ? irr : 0;
		if (threshold != v->s.tpr_threshold)
			vcpu_set(v, VMCS_TPR_THRESHOLD, v->s.tpr_threshold = threshold);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(registers); i++)
		page_put(v, registers[i], lapic_mmio_read(v->model->lapic, registers[i]));
	for (unsigned i = 0; i < 8; i++) {
		changed |= page_get(v, V_ISR + 16 * i) != l->isr[i] || page_get(v, V_IRR + 16 * i) != l->irr[i];
		page_put(v, V_ISR + 16 * i, l->isr[i]);
		page_put(v, V_TMR + 16 * i, l->tmr[i]);
		page_put(v, V_IRR + 16 * i, l->irr[i]);
	}
	if (changed)                    /* else it is as the hardware left it */
		vcpu_set(v, VMCS_GUEST_INTERRUPT_STATUS, highest(l->isr) << 8 | highest(l->irr));
	memset(l->irr, 0, sizeof l->irr);
	/* the EOI of a level-triggered interrupt is the I/O APIC's affair too */
	for (unsigned i = 0; i < 4; i++) {
		uint64_t tmr = (uint64_t)l->tmr[2 * i + 1] << 32 | l->tmr[2 * i];
		if (tmr != v->s.eoi_exit[i])
			vcpu_set(v, (enum vmcs_field)(VMCS_EOI_EXIT_0 + i), v->s.eoi_exit[i] = tmr);
	}
}

void apicv_in(struct vcpu *v)
{
	struct lapic_state *l = &v->model->lapic->s;
	if (v->s.apicv == APICV_OFF)
		return;
	l->tpr = page_get(v, V_TPR) & 0xff;
	if (v->s.apicv != APICV_FULL)
		return;
	for (unsigned i = 0; i < 8; i++) {
		l->isr[i] = page_get(v, V_ISR + 16 * i);
		l->irr[i] |= page_get(v, V_IRR + 16 * i);
	}
	l->icr = (uint64_t)page_get(v, V_ICR2) << 32 | (uint32_t)l->icr;        /* written without an exit */
}

/* What the hardware does not deliver by itself to the guest that is running. */
bool apicv_pending(struct vcpu *v)
{
	struct lapic *l = v->model->lapic;
	if (v->s.apicv == APICV_FULL) {
		for (unsigned i = 0; i < 8; i++)
			if (l->s.irr[i])
				return true;    /* accepted since it was entered */
		return false;
	}
	if (v->s.apicv != APICV_OFF)
		l->s.tpr = page_get(v, V_TPR) & 0xff;
	return lapic_pending(l) >= 0;
}

/* ---- exits ---- */

void serve_tpr(struct vcpu *v) { vmm_cost(v->cpu, VMM_COST_SIMPLE); }

/* Qualification: 11:0 offset | 15:12 linear: 0 read, 1 write, 2 fetch, 3 event delivery; guest-physical: 10 event delivery, 15 other */
void serve_apic_access(struct vcpu *v)
{
	uint64_t q = vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	unsigned off = q & 0xfff, type = q >> 12 & 15;
	if (type == 1 && off == V_EOI) {
		vmm_cost(v->cpu, VMM_COST_SIMPLE);
		vcpu_now(v);
		lapic_mmio_write(v->model->lapic, V_EOI, 0);
		vcpu_skip(v);
		return;
	}
	if (type <= 1 && vcpu_emulate(v) != EMULATE_UNKNOWN)
		return;
	vcpu_interpret_one(v);
}

void serve_eoi(struct vcpu *v)
{
	struct cpu *m = v->model;
	uint64_t vector = vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	vmm_cost(v->cpu, VMM_COST_DEVICE);
	vcpu_now(v);
	if (m->apic.eoi)
		m->apic.eoi(m->apic.who, (uint8_t)vector);
}

void serve_apic_write(struct vcpu *v)
{
	unsigned off = vcpu_get(v, VMCS_EXIT_QUALIFICATION) & 0xff0;
	vmm_cost(v->cpu, VMM_COST_DEVICE);
	vcpu_now(v);
	lapic_mmio_write(v->model->lapic, off, page_get(v, off));
}
