/* exit.c - VM exits: what is recorded, what is saved, what the host finds.
 *
 *   information   exit reason, qualification, event, IDT-vectoring, instruction: VMCS fields of type read-only data
 *   guest state   registers, segments, MSRs as the VM-exit controls say, the non-register state
 *   MSR areas     the VM-exit MSR-store area before the host's state, the VM-exit MSR-load area after it
 *   host state    registers from the VMCS; segments from their selectors by fixed rules; no event is pending or blocked but
 *                 NMIs after an NMI's own exit
 *
 * A VM entry that fails on the guest's state ends here too, but saves nothing (vmx_entry_failed).
 * Source: SDM Vol. 3C, "VM Exits"; "VM-Entry Failures During or After Loading Guest State"; "VMX Aborts".
 * Timing: flow VM_EXIT (profile row vmexit.flow); references to the MSR areas and what an untagged guest's flush costs later
 * come on top. Charged to the account of hardware.
 * Simplified: no SMM; a VMX abort leaves the CPU shut down. */
#include "models/cpu/block.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "sim/err.h"

static const uint16_t stat_of[EXIT_REASONS] = {
#define REASON(NAME, number, name, sentence) [number] = CPU_STAT_EXIT_##NAME,
#include "models/cpu/vmx/exit_reason.def"
};

void vmx_exit(struct cpu *c, const struct vmx_exit *x)
{
	c->exit = *x;
	cpu_raise_event(c, &(struct cpu_event){ .type = EVENT_VM_EXIT });
}

/* ---- information ---- */

/* 7:0 vector | 10:8 type | 11 error code valid | 12 NMI unblocking (exits) | 31 valid */
uint32_t vmx_event_info(const struct cpu_event *ev)
{
	return (uint32_t)ev->vector | (uint32_t)(ev->type & 7) << 8 | (ev->has_error ? 1u << 11 : 0) | 1u << 31;
}

/* "A VM exit is not considered to occur during event delivery" when the event itself exits, when it makes a double fault
 * that does, and for triple faults. SDM Vol. 3C, "Information for VM Exits During Event Delivery". */
static void record_vectoring(struct cpu *c, const struct vmx_exit *x)
{
	const struct cpu_event *ev = c->delivering;
	bool direct = x->reason == EXIT_TRIPLE_FAULT ||
	              (x->reason == EXIT_EXCEPTION && (x->intr_info & 0x7ff) == (EVENT_HARDWARE << 8 | VEC_DF));
	vmx_put(c, IDT_VECTORING, 0);
	if (!ev || direct)
		return;
	vmx_put(c, IDT_VECTORING, vmx_event_info(ev));
	if (ev->has_error)
		vmx_put(c, IDT_VECTORING_ERROR, ev->error);
	if (ev->type >= EVENT_SOFTWARE && ev->type <= EVENT_SOFT_EXC)
		vmx_put(c, EXIT_INSN_LENGTH, ev->len);
}

static void record(struct cpu *c, const struct vmx_exit *x)
{
	vmx_put(c, EXIT_REASON, x->reason);
	vmx_put(c, EXIT_QUALIFICATION, x->qualification);
	vmx_put(c, GUEST_LINEAR, x->linear);
	if (x->reason == EXIT_EPT_VIOLATION || x->reason == EXIT_EPT_MISCONFIG)
		vmx_put(c, GUEST_PHYSICAL, x->physical);
	vmx_put(c, EXIT_INTR_INFO, x->intr_info);
	if (x->intr_info & 1u << 11)
		vmx_put(c, EXIT_INTR_ERROR, x->intr_error);
	vmx_put(c, EXIT_INSN_LENGTH, x->insn_length);
	vmx_put(c, EXIT_INSN_INFO, x->insn_info);
	record_vectoring(c, x);
	/* "the valid bit ... is cleared on every VM exit" */
	vmx_put(c, ENTRY_INTR_INFO, vmx_get(c, ENTRY_INTR_INFO) & ~(1ull << 31));
}

/* ---- guest state ---- */

/* Segments lie in the VMCS in the order of enum seg_reg, field after field. */
static void save_segments(struct cpu *c)
{
	for (unsigned i = SEG_ES; i < SEG_N; i++) {
		const struct seg *s = &c->s.seg[i];
		bool hidden = i <= SEG_DS && cpu_long64(c);
		c->vmcs->f[VMCS_GUEST_ES + i] = s->sel;
		c->vmcs->f[VMCS_GUEST_ES_LIMIT + i] = s->limit;
		c->vmcs->f[VMCS_GUEST_ES_ACCESS + i] = s->attr;
		c->vmcs->f[VMCS_GUEST_ES_BASE + i] = hidden ? s->desc_base : s->base;
	}
	vmx_put(c, GUEST_GDTR_BASE, c->s.gdtr.base);
	vmx_put(c, GUEST_GDTR_LIMIT, c->s.gdtr.limit);
	vmx_put(c, GUEST_IDTR_BASE, c->s.idtr.base);
	vmx_put(c, GUEST_IDTR_LIMIT, c->s.idtr.limit);
}

/* 3:0 breakpoints met | 12 one of them was enabled | 14 BS. While single steps are held back (STI, MOV SS, HLT), BS says
 * whether one is due: VM entry wants it so. SDM Vol. 3C, "Saving Non-Register State". */
static uint64_t pending_debug(const struct cpu *c)
{
	uint64_t p = c->s.pending_dbg & 0x400f;
	if (p & 15)
		p |= BIT(12);
	if (c->s.shadow || (c->s.activity == ACTIVITY_HLT && !c->s.mwait)) {
		p &= ~BIT(14);
		if (c->s.flags & RFLAGS_TF && !(c->s.debugctl & 2))
			p |= BIT(14);
	}
	return p;
}

/* RF: as an event's handler would have found it pushed when an event exits or is cut short; 0 for exits by instructions;
 * 1 for EPT's exits in the middle of one; as it is between instructions. SDM Vol. 3C, "Saving RIP, RSP, RFLAGS, and SSP". */
static uint64_t saved_flags(const struct cpu *c, const struct vmx_exit *x)
{
	uint64_t fl = cpu_rflags(c);
	switch (x->reason) {
	case EXIT_EXCEPTION: {
		struct cpu_event ev = { .vector = (uint8_t)x->intr_info, .type = x->intr_info >> 8 & 7, .dr6 = x->qualification };
		return event_flags(c, &ev);
	}
	case EXIT_TASK_SWITCH: case EXIT_EPT_VIOLATION: case EXIT_EPT_MISCONFIG: case EXIT_PML_FULL: case EXIT_APIC_ACCESS:
		if (c->delivering)
			return c->injecting ? fl : event_flags(c, c->delivering);
		return x->reason == EXIT_TASK_SWITCH ? fl & ~(uint64_t)RFLAGS_RF : fl | RFLAGS_RF;
	case EXIT_EXTINT: case EXIT_TRIPLE_FAULT: case EXIT_INIT: case EXIT_SIPI: case EXIT_INTERRUPT_WINDOW: case EXIT_NMI_WINDOW:
	case EXIT_MTF: case EXIT_TPR_BELOW: case EXIT_EOI: case EXIT_PREEMPTION: case EXIT_APIC_WRITE:
		return fl;
	default:
		return fl & ~(uint64_t)RFLAGS_RF;
	}
}

static void save_guest(struct cpu *c, const struct vmx_exit *x)
{
	vmx_put(c, GUEST_CR0, c->s.cr0);
	vmx_put(c, GUEST_CR3, c->s.cr3);
	vmx_put(c, GUEST_CR4, c->s.cr4);
	vmx_put(c, GUEST_RIP, c->s.rip);
	vmx_put(c, GUEST_RSP, c->s.r[R_RSP]);
	vmx_put(c, GUEST_RFLAGS, saved_flags(c, x));
	vmx_put(c, GUEST_SYSENTER_CS, c->s.sysenter_cs & 0xffffffff);
	vmx_put(c, GUEST_SYSENTER_ESP, c->s.sysenter_esp);
	vmx_put(c, GUEST_SYSENTER_EIP, c->s.sysenter_eip);
	if (vmx_on(c, EXIT_SAVE_DEBUG)) {
		vmx_put(c, GUEST_DR7, c->s.dr[7]);
		vmx_put(c, GUEST_DEBUGCTL, c->s.debugctl);
	}
	if (vmx_on(c, EXIT_SAVE_PAT))
		vmx_put(c, GUEST_PAT, c->s.pat);
	if (vmx_on(c, EXIT_SAVE_EFER))
		vmx_put(c, GUEST_EFER, c->s.efer);
	if (vmx_may_be(c, VMX_ENTRY_LOAD_CET)) {
		vmx_put(c, GUEST_S_CET, c->s.s_cet);
		vmx_put(c, GUEST_SSP, c->s.ssp);
		vmx_put(c, GUEST_SSP_TABLE, c->s.ssp_table);
	}
	if (vmx_misc(c) & VMX_MISC_LMA) {
		uint64_t ctl = vmx_get(c, ENTRY_CONTROLS) & ~VMX_CTL(ENTRY_GUEST_64);
		vmx_put(c, ENTRY_CONTROLS, ctl | (c->s.efer & EFER_LMA ? VMX_CTL(ENTRY_GUEST_64) : 0));
	}
	save_segments(c);
	/* "if the logical processor is in a state entered by MWAIT, the activity state is saved as active" */
	vmx_put(c, GUEST_ACTIVITY, c->s.mwait ? ACTIVITY_ACTIVE : c->s.activity);
	vmx_put(c, GUEST_INTERRUPTIBILITY, (c->s.shadow & 3) | (c->s.nmi_blocked ? 8 : 0));
	vmx_put(c, GUEST_PENDING_DEBUG, pending_debug(c));
	if (vmx_on(c, ENABLE_EPT))
		for (unsigned i = 0; i < 4; i++)
			c->vmcs->f[VMCS_GUEST_PDPTE0 + i] = c->mmu.pdpte[i];
	if (vmx_on(c, PML))
		vmx_put(c, PML_INDEX, c->mmu.guest.pml_index);
	if (vmx_on(c, PREEMPTION_TIMER) && vmx_on(c, EXIT_SAVE_TIMER))
		vmx_put(c, PREEMPTION_TIMER, vmx_timer_left(c));
}

/* ---- MSR areas: 16 bytes an entry: 31:0 number | 63:32 reserved | 127:64 data ---- */

enum { MSR_FS_BASE = 0xc0000100, MSR_GS_BASE = 0xc0000101, MSR_SMM_MONITOR = 0x9b, MSR_SMBASE = 0x9e };

static bool x2apic_msr(uint32_t nr) { return nr >> 8 == 8; }

/* SDM Vol. 3C, "Saving MSRs". False: this entry cannot be stored. */
static bool store_one(struct cpu *c, uint64_t at)
{
	uint64_t head = mmu_phys_read(&c->mmu, HPA(at), 8, WHY_VM_EXIT), v;
	uint32_t nr = (uint32_t)head;
	if (head >> 32 || x2apic_msr(nr) || nr == MSR_SMBASE || !msr_read(c, nr, &v))
		return false;
	mmu_phys_write(&c->mmu, HPA(at + 8), 8, v, WHY_VM_EXIT);
	return true;
}

static bool store_msrs(struct cpu *c)
{
	uint64_t at = vmx_get(c, EXIT_MSR_STORE_ADDR), n = vmx_get(c, EXIT_MSR_STORE_COUNT);
	for (uint64_t i = 0; i < n; i++)
		if (i == VMX_MSRS_MAX || !store_one(c, at + 16 * i))
			return false;
	return true;
}

/* SDM Vol. 3C, "Loading MSRs" (VM exits). */
static bool load_one(struct cpu *c, uint64_t at)
{
	uint64_t head = mmu_phys_read(&c->mmu, HPA(at), 8, WHY_VM_EXIT);
	uint64_t v = mmu_phys_read(&c->mmu, HPA(at + 8), 8, WHY_VM_EXIT);
	uint32_t nr = (uint32_t)head;
	return !(head >> 32) && nr != MSR_FS_BASE && nr != MSR_GS_BASE && !x2apic_msr(nr) && nr != MSR_SMM_MONITOR &&
	       msr_write(c, nr, v);
}

static bool load_msrs(struct cpu *c)
{
	uint64_t at = vmx_get(c, EXIT_MSR_LOAD_ADDR), n = vmx_get(c, EXIT_MSR_LOAD_COUNT);
	for (uint64_t i = 0; i < n; i++)
		if (i == VMX_MSRS_MAX || !load_one(c, at + 16 * i))
			return false;
	return true;
}

/* "a VMX abort puts the logical processor into the shutdown state", having written the indicator into the VMCS region. */
static void vmx_abort(struct cpu *c, uint32_t indicator)
{
	mmu_phys_write(&c->mmu, HPA(c->vmcs->pa + 4), 4, indicator, WHY_VM_EXIT);
	c->s.activity = ACTIVITY_SHUTDOWN;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_SHUTDOWN, c->s.rip, 0, 0, 0);
}

/* ---- host state ---- */

/* SDM Vol. 3C, "Loading Host Segment and Descriptor-Table Registers": everything but selector and base is fixed. */
static void host_segment(struct cpu *c, enum seg_reg i, uint64_t sel, uint64_t base, uint32_t attr, uint32_t limit)
{
	struct seg *s = &c->s.seg[i];
	memset(s, 0, sizeof *s);
	s->sel = (uint16_t)sel;
	s->base = base;
	bool null = i != SEG_CS && i != SEG_TR && !sel;
	s->attr = null ? SEG_UNUSABLE | (i == SEG_SS ? SEG_DB : 0) : attr;
	s->limit = null ? 0 : limit;
}

static void host_segments(struct cpu *c, bool host64)
{
	const uint32_t flat = SEG_G | SEG_DB | SEG_P | SEG_S | TYPE_WRITE | TYPE_ACCESSED;
	const uint32_t code = SEG_G | (host64 ? SEG_L : SEG_DB) | SEG_P | SEG_S | TYPE_CODE | TYPE_READ | TYPE_ACCESSED;
	host_segment(c, SEG_CS, vmx_get(c, HOST_CS), 0, code, 0xffffffff);
	host_segment(c, SEG_SS, vmx_get(c, HOST_SS), 0, flat, 0xffffffff);
	host_segment(c, SEG_DS, vmx_get(c, HOST_DS), 0, flat, 0xffffffff);
	host_segment(c, SEG_ES, vmx_get(c, HOST_ES), 0, flat, 0xffffffff);
	host_segment(c, SEG_FS, vmx_get(c, HOST_FS), vmx_get(c, HOST_FS_BASE), flat, 0xffffffff);
	host_segment(c, SEG_GS, vmx_get(c, HOST_GS), vmx_get(c, HOST_GS_BASE), flat, 0xffffffff);
	host_segment(c, SEG_TR, vmx_get(c, HOST_TR), vmx_get(c, HOST_TR_BASE), SEG_P | DESC_TSS32_BUSY, 0x67);
	host_segment(c, SEG_LDTR, 0, 0, 0, 0);
	c->s.gdtr = (struct dtr){ .base = vmx_get(c, HOST_GDTR_BASE), .limit = 0xffff };
	c->s.idtr = (struct dtr){ .base = vmx_get(c, HOST_IDTR_BASE), .limit = 0xffff };
}

static uint64_t host_efer(struct cpu *c, bool host64)
{
	uint64_t mode = EFER_LMA | EFER_LME;
	if (vmx_on(c, EXIT_LOAD_EFER))
		return vmx_get(c, HOST_EFER);
	return (c->s.efer & ~mode) | (host64 ? mode : 0);
}

/* False: the host's PDPTEs are not valid. */
static bool host_paging(struct cpu *c, bool host64)
{
	uint64_t cr4 = vmx_get(c, HOST_CR4) | vmx_cr4_fixed0(c);
	if (host64)
		cr4 |= CR4_PAE;
	else
		cr4 &= ~(uint64_t)CR4_PCIDE;
	c->s.cr0 = vmx_cr0_loaded(c, vmx_get(c, HOST_CR0));
	c->s.cr3 = vmx_get(c, HOST_CR3);
	c->s.cr4 = cr4;
	c->s.efer = host_efer(c, host64);
	bool same = host64 || !(cr4 & CR4_PAE);         /* no PDPTEs to read */
	return mmu_load_paging(&c->mmu, c->s.cr0, c->s.cr3, c->s.cr4, c->s.efer, same ? c->mmu.pdpte : NULL) == 0;
}

static bool load_host(struct cpu *c)
{
	bool host64 = vmx_on(c, EXIT_HOST_64);
	c->vmx.guest = 0;
	c->vmx.timer_end = NEVER;
	c->vmx.mtf_pending = c->vmx.virtual_pending = 0;
	c->vmx.trap = 0;
	mmu_set_guest(&c->mmu, NULL);
	bool ok = host_paging(c, host64);
	c->s.dr[7] = 0x400;
	c->s.debugctl = 0;
	c->s.sysenter_cs = vmx_get(c, HOST_SYSENTER_CS);
	c->s.sysenter_esp = vmx_get(c, HOST_SYSENTER_ESP);
	c->s.sysenter_eip = vmx_get(c, HOST_SYSENTER_EIP);
	if (vmx_on(c, EXIT_LOAD_PAT))
		c->s.pat = vmx_get(c, HOST_PAT);
	if (vmx_on(c, EXIT_LOAD_CET)) {
		c->s.s_cet = vmx_get(c, HOST_S_CET);
		c->s.ssp = vmx_get(c, HOST_SSP);
		c->s.ssp_table = vmx_get(c, HOST_SSP_TABLE);
	}
	if (vmx_on(c, EXIT_LOAD_PERF))
		pmu_set_global(c, vmx_get(c, HOST_PERF_GLOBAL_CTRL));
	host_segments(c, host64);
	c->s.rip = vmx_get(c, HOST_RIP);
	c->s.r[R_RSP] = vmx_get(c, HOST_RSP);
	cpu_set_rflags(c, 2, ~0ull);
	c->s.cpl = 0;
	c->s.activity = ACTIVITY_ACTIVE;
	c->s.shadow = 0;
	cpu_unmark(c);
	c->s.pending_dbg = 0;
	c->s.in_delivery = 0;
	c->s.mwait = MWAIT_NOT;
	monitor_off(c);
	c->block = NULL;
	block_forget(c);
	cpu_mode_loaded(c);
	debug_changed(c);
	return ok;
}

/* From here on root software has the CPU: modelled software is called by the run loop, or HOST_RIP is fetched. */
static void settle(struct cpu *c)
{
	c->vmx.service = c->root.run != NULL;
	c->ledger.acct = ACCT_GUEST;
	cpu_mode_changed(c);
	cpu_attention(c);
}

static void to_host(struct cpu *c, struct flow *f)
{
	flow_phase(c, f, PHASE_VM_EXIT_LOAD);
	bool tagged = vmx_on(c, VPID), ok = load_host(c);
	if (!tagged)
		flow_phase(c, f, PHASE_VM_EXIT_FLUSH);
	if (!ok)
		vmx_abort(c, 2);                /* "host page-directory-pointer-table entries not valid" */
	else if (!load_msrs(c))
		vmx_abort(c, 4);                /* "a failure occurred on loading the host MSRs" */
	flow_end(c, f);
	settle(c);
}

void vmx_leave(struct cpu *c, const struct vmx_exit *x)
{
	struct flow f;
	/* With virtual NMIs, what is blocked is the guest's virtual ones. */
	bool nmi = x->reason == EXIT_EXCEPTION && (x->intr_info >> 8 & 7) == EVENT_NMI;
	bool blocked = nmi || (c->s.nmi_blocked && !vmx_on(c, VIRTUAL_NMIS));
	if (!c->vmx.guest)
		BUG("a VM exit outside VMX non-root operation: reason %u", x->reason);
	cpu_attention(c);
	c->stat[stat_of[x->reason & 0xff]]++;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VM_EXIT, x->reason, x->qualification, c->s.rip, x->insn_length);
	c->ledger.acct = ACCT_HARDWARE;
	flow_begin(c, &f, FLOW_VM_EXIT);
	flow_phase(c, &f, PHASE_VM_EXIT_RECOGNISE);
	record(c, x);
	flow_phase(c, &f, PHASE_VM_EXIT_SAVE);
	save_guest(c, x);
	flow_phase(c, &f, PHASE_VM_EXIT_MSRS);
	bool stored = store_msrs(c);
	if (!stored)
		vmx_abort(c, 1);                /* "a failure occurred on saving the guest MSRs" */
	to_host(c, &f);
	if (!stored)
		c->s.activity = ACTIVITY_SHUTDOWN;
	c->s.nmi_blocked = blocked;
}

void vmx_tell_exit(struct cpu *c, uint32_t reason, uint64_t qualification, uint64_t rip, unsigned length)
{
	c->stat[stat_of[reason]]++;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VM_EXIT, reason, qualification, rip, length);
}

void vmx_tell_entry(struct cpu *c)
{
	c->stat[CPU_STAT_VM_ENTRY]++;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VM_ENTRY, c->s.rip, 0, 0, 0);
}

void vmx_entry_failed(struct cpu *c, enum exit_reason reason, uint64_t qualification)
{
	struct flow f;
	uint8_t blocked = c->s.nmi_blocked;
	uint32_t full = reason | 1u << 31;
	c->stat[stat_of[reason]]++;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VM_EXIT, full, qualification, vmx_get(c, GUEST_RIP), 0);
	flow_begin(c, &f, FLOW_VM_EXIT);
	vmx_put(c, EXIT_REASON, full);
	vmx_put(c, EXIT_QUALIFICATION, qualification);
	to_host(c, &f);
	c->s.nmi_blocked = blocked;
}
