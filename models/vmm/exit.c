/* exit.c - after a VM exit: why, and the service routine for it.
 *
 * Every service is the same sequence of phases: save registers, VMREAD the reason and the event that was being delivered, dispatch, the
 * routine's own VMREADs, work and VMWRITEs; then sched.c chooses who runs and vcpu.c enters.
 * An event whose delivery the exit interrupted is injected again, unless the routine injects another.
 * Source: SDM Vol. 3C, "VMM Setup & Tear Down", "Handling VM Exits", "Event Injection"; "IDT-Vectoring Information".
 * Timing: cost.def, VMREADs and VMWRITEs at the profile's prices, references to the VMM's and the guest's memory. */
#include "models/vmm/exit.h"
#include "models/vmm/nested/nested.h"

#include <stdio.h>
#include <string.h>

#include "models/cpu/cpuid.h"
#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"

const struct exit_service_row exit_services[EXIT_REASONS] = {
#define SERVICE(REASON, function, sentence) [EXIT_##REASON] = { serve_##function, sentence },
#include "models/vmm/exit_service.def"
};

bool vcpu_long64(struct vcpu *v)
{
	return vcpu_get(v, VMCS_GUEST_CS_ACCESS) & SEG_L && vcpu_get(v, VMCS_ENTRY_CONTROLS) & VMX_CTL(ENTRY_GUEST_64);
}

void vcpu_gp0(struct vcpu *v) { vcpu_inject(v, VEC_GP, true, 0); }

/* ---- dispatch ---- */

/* The exit that cut a delivery short was an exception's and saved RF as its own handler would have found it: 1. The event's handler finds
 * 1 for a fault; of debug exceptions only a general detect is one that has it (an instruction breakpoint is none with RF set); and for an
 * interrupt or NMI that the VMM injected, RF as it was then. */
static void resume_flag_of(struct vcpu *v, unsigned type, unsigned vec)
{
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS);
	const bool injected = type == EVENT_NMI || (type == EVENT_EXTERNAL && v->s.apicv != APICV_FULL);
	const bool fault = injected ? v->s.entered_rf : type == EVENT_HARDWARE && vec != VEC_MC && (vec != VEC_DB || v->cpu->s.dr[6] & BIT(13));
	vcpu_set(v, VMCS_GUEST_RFLAGS, fault ? flags | RFLAGS_RF : flags & ~(uint64_t)RFLAGS_RF);
}

/* 7:0 vector | 10:8 type | 11 error code | 31 valid */
static void inject_again(struct vcpu *v)
{
	uint32_t info = (uint32_t)vcpu_get(v, VMCS_IDT_VECTORING), type = info >> 8 & 7;
	if (!(info >> 31))
		return;
	v->s.pending_event = info & ~(1u << 12);
	v->s.pending_error = info & 1u << 11 ? (uint32_t)vcpu_get(v, VMCS_IDT_VECTORING_ERROR) : 0;
	v->s.pending_length = type >= EVENT_SOFTWARE && type <= EVENT_SOFT_EXC ? (uint32_t)vcpu_get(v, VMCS_EXIT_INSN_LENGTH) : 0;
	if (type == EVENT_NMI)  /* its injection will block them */
		vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY) & ~8ull);
	if ((uint16_t)vcpu_get(v, VMCS_EXIT_REASON) == EXIT_EXCEPTION)
		resume_flag_of(v, type, info & 0xff);
}

static bool handled_elsewhere(struct vcpu *v, uint32_t reason)
{
	struct vmm *m = v->vm->vmm;
	if (!m->exit_seen)
		return false;
	const struct exit_seen x = { reason, (uint32_t)vcpu_peek(v, VMCS_EXIT_INSN_LENGTH), vcpu_peek(v, VMCS_EXIT_QUALIFICATION) };
	if (!m->exit_seen(m->exit_who, v, &x))
		return false;
	vcpu_skip(v);
	return true;
}

static void refuse_reason(struct vcpu *v, uint32_t reason)
{
	char what[96];
	const struct cpu *c = v->cpu;
	const char *name = (reason & 0xffff) < EXIT_REASONS ? exit_reason_rows[reason & 0xffff].name : NULL;
	if (reason >> 31)
		snprintf(what, sizeof what, "VM entry failed: %s, check '%s'", name ? name : "?",
		         c->failed.n ? vmx_check_rows[c->failed.f[0].check].name : "none");
	else
		snprintf(what, sizeof what, "VM exit '%s' has no service", name ? name : "?");
	vcpu_refuse(v, what);
}

void vcpu_serve(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	uint32_t reason = (uint32_t)vcpu_get(v, VMCS_EXIT_REASON);
	if (nested_exit(v, reason)) {
		trace(c->trace, c->ledger.now, c->number, VMM_TRACE_SERVE, v->vm->number, v->number, reason & 0xffff, 0);
		return;
	}
	inject_again(v);
	vmm_cost(c, VMM_COST_DISPATCH);
	uint32_t basic = reason & 0xffff;
	if (reason >> 31 || basic >= EXIT_REASONS || !exit_services[basic].serve)
		refuse_reason(v, reason);
	else if (!handled_elsewhere(v, basic))
		exit_services[basic].serve(v);
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_SERVE, v->vm->number, v->number, basic, 0);
}

/* ---- events ---- */

void serve_extint(struct vcpu *v)
{
	vcpu_get(v, VMCS_EXIT_INTR_INFO);
	host_interrupt(v->cpu);
}

/* vcpu_interrupt() finds what waited. */
void serve_window(struct vcpu *v) { vmm_cost(v->cpu, VMM_COST_SIMPLE); }
void serve_preemption(struct vcpu *v)
{
	vmm_cost(v->cpu, VMM_COST_SIMPLE);
	v->vm->vmm->s.slice_end[v->cpu->number] = v->cpu->ledger.now;
}
void serve_pause(struct vcpu *v)
{
	vcpu_skip(v);
	serve_preemption(v);
}

void serve_triple(struct vcpu *v)
{
	struct cpu *m = v->model;
	vmm_cost(v->cpu, VMM_COST_SIMPLE);
	if (m->machine.request)
		m->machine.request(m->machine.who, MACHINE_SHUTDOWN, 0);
}

/* In the middle of an event's delivery there is no instruction to emulate. */
static void emulate(struct vcpu *v)
{
	if (!(vcpu_get(v, VMCS_IDT_VECTORING) >> 31) && vcpu_emulate(v) != EMULATE_UNKNOWN)
		return;
	if (nested_running(v))
		vcpu_refuse(v, "an instruction of a nested guest on a device, which the emulator does not know");
	else
		vcpu_interpret_one(v);
}

static void paged(struct vcpu *v, enum paged how)
{
	if (how == PAGED_EMULATE)
		emulate(v);
}

void serve_exception(struct vcpu *v)
{
	uint32_t info = (uint32_t)vcpu_get(v, VMCS_EXIT_INTR_INFO);
	uint32_t error = info & 1u << 11 ? (uint32_t)vcpu_get(v, VMCS_EXIT_INTR_ERROR) : 0;
	const struct pager *p = v->vm->pager;
	if ((info >> 8 & 7) == EVENT_NMI)
		return;                         /* the host's: nothing raises one */
	if ((info & 0xff) == VEC_PF && p->page_fault) {
		uint64_t lin = vcpu_get(v, VMCS_EXIT_QUALIFICATION);
		gpa_t gpa = GPA(0);
		paged(v, p->page_fault(v, lin, error, &gpa));
		return;
	}
	if ((info >> 8 & 7) == EVENT_HARDWARE) {
		vcpu_inject(v, info & 0xff, info >> 11 & 1, error);
		return;
	}
	v->s.pending_event = info & ~(1u << 12);
	v->s.pending_error = error;
	v->s.pending_length = (uint32_t)vcpu_get(v, VMCS_EXIT_INSN_LENGTH);
}

/* Bit 12 of the qualification: an IRET that unblocked NMIs was under way; they are blocked again until it has completed. */
void serve_ept(struct vcpu *v)
{
	uint64_t qualification = vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	gpa_t gpa = GPA(vcpu_get(v, VMCS_GUEST_PHYSICAL));
	if (qualification & BIT(12))
		vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY) | 8);
	if (!v->vm->pager->ept_violation) {
		vcpu_refuse(v, "an EPT violation without EPT");
		return;
	}
	paged(v, nested_running(v) ? nested_ept_violation(v, gpa) : v->vm->pager->ept_violation(v, gpa, qualification));
}
void serve_misconfig(struct vcpu *v) { vcpu_refuse(v, "an EPT misconfiguration"); }
/* From the instruction at RIP, or the event that was being delivered: inject_again() has it. */
void serve_task_switch(struct vcpu *v) { vcpu_interpret_one(v); }

/* ---- instructions ---- */

void serve_undefined(struct vcpu *v) { vcpu_inject(v, VEC_UD, false, 0); }
void serve_rdpmc(struct vcpu *v) { vcpu_gp0(v); }
void serve_ignore(struct vcpu *v)
{
	vmm_cost(v->cpu, VMM_COST_SIMPLE);
	vcpu_skip(v);
}

/* CPUID's answer follows CR4.OSXSAVE and XCR0. */
static void refresh_model(struct vcpu *v)
{
	struct cpu *m = v->model;
	m->s.cr4 = v->vm->pager->page_fault ? v->s.cr4 : vcpu_get(v, VMCS_GUEST_CR4) & ~(uint64_t)CR4_VMXE;
	m->s.xcr0 = v->cpu->s.xcr0;
}

void serve_cpuid(struct vcpu *v)
{
	uint32_t r[4];
	struct cpu *c = v->cpu;
	vmm_cost(c, VMM_COST_CPUID);
	refresh_model(v);
	cpuid_leaf(v->model, (uint32_t)c->s.r[R_RAX], (uint32_t)c->s.r[R_RCX], r);
	c->s.r[R_RAX] = r[0], c->s.r[R_RBX] = r[1], c->s.r[R_RCX] = r[2], c->s.r[R_RDX] = r[3];
	vcpu_skip(v);
}

void serve_rdtsc(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	vmm_cost(c, VMM_COST_SIMPLE);
	vcpu_now(v);
	uint64_t t = cpu_tsc(v->model);
	c->s.r[R_RAX] = (uint32_t)t;
	c->s.r[R_RDX] = t >> 32;
	if (vcpu_get(v, VMCS_EXIT_REASON) == EXIT_RDTSCP)
		c->s.r[R_RCX] = (uint32_t)v->model->s.tsc_aux;
	vcpu_skip(v);
}

void serve_hlt(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	vmm_cost(c, VMM_COST_HALT);
	uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS);
	bool on = flags & RFLAGS_IF;
	vcpu_skip(v);
	if (flags & RFLAGS_TF)
		return;                         /* the single-step trap after HLT ends it at once */
	v->s.halted = 1;
	v->s.blocked = !on;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_VCPU_HALT, v->vm->number, v->number, on, 0);
}

void serve_invlpg(struct vcpu *v)
{
	uint64_t lin = vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	vcpu_skip(v);
	if (v->vm->pager->invlpg)
		v->vm->pager->invlpg(v, lin);
}

void serve_invpcid(struct vcpu *v)
{
	vcpu_inject(v, VEC_UD, false, 0);       /* a pager that has it exit does not offer it */
}

void serve_xsetbv(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	uint64_t x = c->s.r[R_RDX] << 32 | (uint32_t)c->s.r[R_RAX];
	vmm_cost(c, VMM_COST_CR);
	if (v->vm->virt->ring && !(v->s.cr4 & CR4_OSXSAVE)) {   /* called out of translated code: the hardware has not looked */
		vcpu_inject(v, VEC_UD, false, 0);
		return;
	}
	if ((uint32_t)c->s.r[R_RCX] || x & ~xcr0_valid_bits(v->model) || !(x & 1) || (x & 4 && !(x & 2))) {
		vcpu_gp0(v);
		return;
	}
	c->s.xcr0 = x;
	vcpu_skip(v);
}

/* ---- MSRs ---- */

enum { MSR_DEBUGCTL = 0x1d9, MSR_EFER = 0xc0000080, MSR_TSC = 0x10, MSR_TSC_ADJUST = 0x3b, MSR_XSS = 0xda0 };

/* MSRs that a VMCS has a field for: under VMX they do not exit. */
static const struct { uint32_t nr; enum vmcs_field f; } fielded[] = {
	{ 0x174, VMCS_GUEST_SYSENTER_CS }, { 0x175, VMCS_GUEST_SYSENTER_ESP }, { 0x176, VMCS_GUEST_SYSENTER_EIP },
	{ 0x277, VMCS_GUEST_PAT }, { 0xc0000100, VMCS_GUEST_FS_BASE }, { 0xc0000101, VMCS_GUEST_GS_BASE },
};

static bool field_of(const struct vcpu *v, uint32_t nr, enum vmcs_field *f)
{
	for (size_t i = 0; i < ARRAY_LEN(fielded) && v->vm->virt->ring; i++)
		if (fielded[i].nr == nr) {
			*f = fielded[i].f;
			return true;
		}
	return false;
}

static bool keeps_efer(const struct vcpu *v) { return v->vm->pager->page_fault || vm_restricted(v->vm, v->cpu); }

void serve_rdmsr(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	uint32_t nr = (uint32_t)c->s.r[R_RCX];
	uint64_t x;
	bool ok = true;
	enum vmcs_field f;
	vmm_cost(c, VMM_COST_MSR);
	vcpu_now(v);
	if (field_of(v, nr, &f))
		x = vcpu_get(v, f);
	else if (nr == MSR_DEBUGCTL)
		x = vcpu_get(v, VMCS_GUEST_DEBUGCTL);
	else if (nr == MSR_EFER)
		x = keeps_efer(v) ? v->s.efer : vcpu_get(v, VMCS_GUEST_EFER);
	else if (nr == MSR_XSS)
		ok = msr_read(c, nr, &x) && cpu_has(v->model, FEATURE_XSAVES);
	else
		ok = msr_read(v->model, nr, &x);
	if (!ok) {
		vcpu_gp0(v);
		return;
	}
	c->s.r[R_RAX] = (uint32_t)x;
	c->s.r[R_RDX] = x >> 32;
	vcpu_skip(v);
}

/* LMA follows CR0.PG alone. */
static bool write_efer(struct vcpu *v, uint64_t x)
{
	bool owned = v->vm->pager->page_fault, restricted = vm_restricted(v->vm, v->cpu);
	uint64_t old = keeps_efer(v) ? v->s.efer : vcpu_get(v, VMCS_GUEST_EFER);
	uint64_t cr0 = keeps_efer(v) ? v->s.cr0 : vcpu_get(v, VMCS_GUEST_CR0);
	if (x & ~efer_valid_bits(v->model) || ((x ^ old) & EFER_LME && cr0 & CR0_PG))
		return false;
	x = (x & ~(uint64_t)EFER_LMA) | (old & EFER_LMA);
	if (!owned) {
		v->s.efer = restricted ? x : v->s.efer;
		vcpu_set(v, VMCS_GUEST_EFER, restricted && !(cr0 & CR0_PG) ? x & ~(uint64_t)EFER_LME : x);
		if ((x ^ old) & EFER_NXE)
			vcpu_flush(v);
		return true;
	}
	v->s.efer = x;
	if (v->vm->pager->cr_written(v, PAGER_EFER, old, x))
		return true;
	v->s.efer = old;
	return false;
}

bool vcpu_write_msr(struct vcpu *v, uint32_t nr, uint64_t x)
{
	enum vmcs_field f;
	if (field_of(v, nr, &f)) {
		if (!msr_valid(v->model, nr, x))
			return false;
		vcpu_set(v, f, x);
		return true;
	}
	switch (nr) {
	case MSR_EFER:
		return write_efer(v, x);
	case MSR_DEBUGCTL:
		if (!msr_valid(v->model, nr, x))
			return false;
		vcpu_set(v, VMCS_GUEST_DEBUGCTL, x);
		return true;
	case MSR_XSS:
		return cpu_has(v->model, FEATURE_XSAVES) && msr_write(v->cpu, nr, x);
	case MSR_TSC: case MSR_TSC_ADJUST:
		if (!msr_write(v->model, nr, x))
			return false;
		vcpu_set(v, VMCS_TSC_OFFSET, v->model->s.tsc_offset - v->cpu->s.tsc_offset);
		nested_tsc_written(v);
		return true;
	default:
		return msr_write(v->model, nr, x);
	}
}

void serve_wrmsr(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	vmm_cost(c, VMM_COST_MSR);
	vcpu_now(v);
	if (vcpu_write_msr(v, (uint32_t)c->s.r[R_RCX], c->s.r[R_RDX] << 32 | (uint32_t)c->s.r[R_RAX]))
		vcpu_skip(v);
	else
		vcpu_gp0(v);
}
