/* entry.c - VM entries: checks, the guest's state, MSRs, event injection.
 *
 * A failure of the checks on controls or host state leaves the instruction to fail with an error number. From the guest's
 * state on a failure is an exit: the host's state is loaded, with reason 33 or 34 (exit.c).
 * Source: SDM Vol. 3C, "VM Entries".
 * Timing: flow VM_ENTRY (profile row vmentry.flow); references to the MSR-load area and an injected event's own delivery come
 * on top. Charged to the account of hardware.
 * Simplified: entries from SMM do not exist. */
#include "models/cpu/block.h"
#include "models/cpu/cpuid.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

/* ---- guest state ---- */

/* "any bits that are reserved ... CR0.ET, CR0.NW, CR0.CD keep their values": entries and exits. */
uint64_t vmx_cr0_loaded(const struct cpu *c, uint64_t v)
{
	const uint64_t kept = CR0_ET | CR0_NW | CR0_CD;
	return (v & 0xffffffff & ~kept) | (c->s.cr0 & kept);
}

/* "If the “load IA32_EFER” VM-entry control is 0, ... IA32_EFER.LMA is loaded with the setting of “IA-32e mode guest”; if
 * CR0.PG is being loaded with 1, IA32_EFER.LME also". */
static uint64_t guest_efer(const struct cpu *c, uint64_t cr0)
{
	bool long_mode = vmx_on(c, ENTRY_GUEST_64);
	if (vmx_on(c, ENTRY_LOAD_EFER))
		return vmx_get(c, GUEST_EFER);
	uint64_t v = (c->s.efer & ~(uint64_t)EFER_LMA) | (long_mode ? EFER_LMA : 0);
	if (cr0 & CR0_PG)
		v = (v & ~(uint64_t)EFER_LME) | (long_mode ? EFER_LME : 0);
	return v;
}

static struct mmu_guest guest_memory(const struct cpu *c)
{
	struct mmu_guest g = { .apic_access = MMU_NO_PAGE };
	if (vmx_on(c, ENABLE_EPT)) {
		g.ept = 1;
		g.eptp = vmx_get(c, EPTP);
		g.mode_execute = vmx_on(c, MODE_EXECUTE);
		g.agile = c->vmx.agile && vmx_on(c, ENTRY_GUEST_64);
	}
	if (vmx_on(c, PML)) {
		g.pml_on = 1;
		g.pml = vmx_get(c, PML_ADDR);
		g.pml_index = (uint16_t)vmx_get(c, PML_INDEX);
	}
	if (vmx_on(c, VPID))
		g.vpid = (uint16_t)vmx_get(c, VPID);
	if (vmx_on(c, VIRTUALIZE_APIC))
		g.apic_access = vmx_get(c, APIC_ACCESS_ADDR);
	return g;
}

/* False: PDPTEs in memory have reserved bits set. */
static bool load_paging(struct cpu *c)
{
	struct mmu_guest g = guest_memory(c);
	c->s.cr0 = vmx_cr0_loaded(c, vmx_get(c, GUEST_CR0));
	c->s.cr3 = vmx_get(c, GUEST_CR3);
	c->s.cr4 = vmx_get(c, GUEST_CR4);
	c->s.efer = guest_efer(c, c->s.cr0);
	mmu_set_guest(&c->mmu, &g);
	bool from_memory = c->s.cr0 & CR0_PG && c->s.cr4 & CR4_PAE && !(c->s.efer & EFER_LMA) && !vmx_on(c, ENABLE_EPT);
	const uint64_t *pdpte = from_memory ? NULL : &c->vmcs->f[VMCS_GUEST_PDPTE0];
	return mmu_load_paging(&c->mmu, c->s.cr0, c->s.cr3, c->s.cr4, c->s.efer, pdpte) == 0;
}

/* SDM Vol. 3C, "Loading Guest Segment Registers and Descriptor-Table Registers": what an unusable segment keeps. */
static void load_segment(struct cpu *c, unsigned i)
{
	struct seg *s = &c->s.seg[i];
	const uint64_t *f = c->vmcs->f;
	memset(s, 0, sizeof *s);
	s->sel = (uint16_t)f[VMCS_GUEST_ES + i];
	s->base = f[VMCS_GUEST_ES_BASE + i];
	s->limit = (uint32_t)f[VMCS_GUEST_ES_LIMIT + i];
	s->attr = (uint32_t)f[VMCS_GUEST_ES_ACCESS + i];
	if (!(s->attr & SEG_UNUSABLE))
		return;
	s->attr = SEG_UNUSABLE | (i == SEG_SS ? (s->attr & 3u << 5) | SEG_DB : 0);
	/* "undefined" after a VM exit; processors keep the limit, and software that makes the segment usable relies on it */
	if (i != SEG_FS && i != SEG_GS)
		s->base = 0;
}

static void load_segments(struct cpu *c)
{
	for (unsigned i = SEG_ES; i < SEG_N; i++)
		load_segment(c, i);
	c->s.gdtr = (struct dtr){ .base = vmx_get(c, GUEST_GDTR_BASE), .limit = (uint32_t)vmx_get(c, GUEST_GDTR_LIMIT) };
	c->s.idtr = (struct dtr){ .base = vmx_get(c, GUEST_IDTR_BASE), .limit = (uint32_t)vmx_get(c, GUEST_IDTR_LIMIT) };
	c->s.cpl = SEG_DPL(c->s.seg[SEG_SS].attr);
}

static void load_msrs_of_fields(struct cpu *c)
{
	c->s.sysenter_cs = vmx_get(c, GUEST_SYSENTER_CS);
	c->s.sysenter_esp = vmx_get(c, GUEST_SYSENTER_ESP);
	c->s.sysenter_eip = vmx_get(c, GUEST_SYSENTER_EIP);
	if (vmx_on(c, ENTRY_LOAD_DEBUG)) {
		c->s.dr[7] = (vmx_get(c, GUEST_DR7) & 0xffff2fff) | 0x400;
		c->s.debugctl = vmx_get(c, GUEST_DEBUGCTL);
	}
	if (vmx_on(c, ENTRY_LOAD_PAT))
		c->s.pat = vmx_get(c, GUEST_PAT);
	if (vmx_on(c, ENTRY_LOAD_CET)) {
		c->s.s_cet = vmx_get(c, GUEST_S_CET);
		c->s.ssp = vmx_get(c, GUEST_SSP);
		c->s.ssp_table = vmx_get(c, GUEST_SSP_TABLE);
	}
	if (vmx_on(c, ENTRY_LOAD_PERF))
		pmu_set_global(c, vmx_get(c, GUEST_PERF_GLOBAL_CTRL));
}

/* SDM Vol. 3C, "Delivery of Pending Debug Exceptions after VM Entry": which injections leave them pending. */
static uint64_t pending_debug(const struct cpu *c)
{
	uint64_t field = vmx_get(c, GUEST_PENDING_DEBUG), info = vmx_get(c, ENTRY_INTR_INFO);
	unsigned type = info >> 8 & 7;
	bool vectoring = info >> 31 && type != EVENT_OTHER;
	if (!(field & (BIT(12) | BIT(14))))
		return 0;
	if (vectoring && !((type == EVENT_SOFTWARE || type == EVENT_SOFT_EXC || type == EVENT_PRIV_SOFTWARE) && c->s.shadow & 2))
		return 0;
	if (!vectoring && c->s.activity >= ACTIVITY_SHUTDOWN)
		return 0;
	return field & 0x400f;
}

static void load_non_register(struct cpu *c)
{
	uint64_t blocking = vmx_get(c, GUEST_INTERRUPTIBILITY);
	c->s.activity = (uint32_t)vmx_get(c, GUEST_ACTIVITY);
	c->s.shadow = blocking & 3;
	c->s.nmi_blocked = blocking >> 3 & 1;
	c->s.pending_dbg = pending_debug(c);
	cpu_unmark(c);
	c->s.in_delivery = 0;
	c->s.mwait = MWAIT_NOT;
	monitor_off(c);
	c->vmx.mtf_pending = 0;
	c->vmx.trap = 0;
	vmx_timer_start(c);
}

static bool load_guest(struct cpu *c)
{
	bool ok = load_paging(c);
	load_msrs_of_fields(c);
	load_segments(c);
	c->s.rip = vmx_get(c, GUEST_RIP);
	c->s.r[R_RSP] = vmx_get(c, GUEST_RSP);
	cpu_set_rflags(c, vmx_get(c, GUEST_RFLAGS), ~0ull);
	load_non_register(c);
	c->block = NULL;
	block_forget(c);
	c->vmx.guest = 1;
	cpu_mode_loaded(c);
	debug_changed(c);
	return ok;
}

/* SDM Vol. 3C, "Loading MSRs" (VM entries). The number of the entry that fails, from 1; 0: none. */
static uint32_t load_msrs(struct cpu *c)
{
	uint64_t at = vmx_get(c, ENTRY_MSR_LOAD_ADDR), n = vmx_get(c, ENTRY_MSR_LOAD_COUNT);
	for (uint32_t i = 0; i < n; i++, at += 16) {
		if (i == VMX_MSRS_MAX)
			return i + 1;
		uint64_t head = mmu_phys_read(&c->mmu, HPA(at), 8, WHY_VM_ENTRY);
		uint64_t v = mmu_phys_read(&c->mmu, HPA(at + 8), 8, WHY_VM_ENTRY);
		if (head >> 32 || !vmx_check_msr_load(c, (uint32_t)head, v) || !msr_write(c, (uint32_t)head, v))
			return i + 1;
	}
	return 0;
}

/* ---- injection ---- */

/* SDM Vol. 3C, "Event Injection": as the CPU would deliver it itself, except that the event causes no exit of its own. An
 * "other event" of vector 0 makes an MTF exit pending. */
static void inject(struct cpu *c)
{
	uint32_t info = (uint32_t)vmx_get(c, ENTRY_INTR_INFO);
	struct cpu_event ev = { .vector = (uint8_t)info, .type = info >> 8 & 7, .has_error = info >> 11 & 1,
	                        .cr2 = c->s.cr2 };      /* as the VMM left it */
	if (ev.type == EVENT_OTHER) {
		c->vmx.mtf_pending = 1;
		return;
	}
	if (ev.has_error)
		ev.error = (uint32_t)vmx_get(c, ENTRY_INTR_ERROR);
	if (ev.type >= EVENT_SOFTWARE && ev.type <= EVENT_SOFT_EXC)
		ev.len = (uint8_t)vmx_get(c, ENTRY_INSN_LENGTH);
	c->s.activity = ACTIVITY_ACTIVE;
	cpu_inject(c, &ev);
}

/* ---- the entry ---- */

static void begin(struct cpu *c, bool launch)
{
	const uint64_t info = vmx_get(c, ENTRY_INTR_INFO);
	c->stat[CPU_STAT_VM_ENTRY]++;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VM_ENTRY, c->s.rip, launch, info >> 31 ? info : 0, 0);
}

static void guest_runs(struct cpu *c)
{
	c->ledger.acct = ACCT_GUEST;
	cpu_mode_changed(c);
	cpu_attention(c);
}

enum vmx_result vmx_enter(struct cpu *c, bool launch, unsigned *error)
{
	struct vmx_failure first;
	struct flow f;
	uint32_t acct = c->ledger.acct;
	vmx_derive(c);
	c->ledger.acct = ACCT_HARDWARE;
	flow_begin(c, &f, FLOW_VM_ENTRY);
	flow_phase(c, &f, PHASE_VM_ENTRY_CHECKS);
	unsigned area = vmx_check_entry(c, &first, 1) ? vmx_check_rows[first.check].area : VMX_AREA_MSR;
	if (area == VMX_AREA_CONTROL || area == VMX_AREA_HOST) {
		*error = area == VMX_AREA_HOST ? VMX_ERR_HOST : VMX_ERR_CONTROLS;
		c->ledger.acct = acct;
		return VMX_FAIL_VALID;
	}
	if (area == VMX_AREA_GUEST) {
		vmx_entry_failed(c, EXIT_ENTRY_GUEST, vmx_check_qualification((enum vmx_check)first.check));
		return VMX_OK;
	}
	flow_phase(c, &f, PHASE_VM_ENTRY_LOAD);
	uint8_t nmi_blocked = c->s.nmi_blocked;
	bool loaded = load_guest(c);
	flow_phase(c, &f, PHASE_VM_ENTRY_MSRS);
	uint32_t bad = loaded ? load_msrs(c) : 0;
	if (bad || !loaded) {
		c->s.nmi_blocked = nmi_blocked;
		vmx_entry_failed(c, loaded ? EXIT_ENTRY_MSR : EXIT_ENTRY_GUEST, loaded ? bad : 2);
		return VMX_OK;
	}
	if (launch)
		c->vmcs->launched = 1;
	begin(c, launch);
	if (vmx_get(c, ENTRY_INTR_INFO) >> 31) {
		flow_phase(c, &f, PHASE_VM_ENTRY_INJECT);
		flow_end(c, &f);
		guest_runs(c);
		inject(c);
	} else {
		flow_end(c, &f);
		guest_runs(c);
	}
	if (c->vmx.guest)
		vmx_apic_entered(c);
	return VMX_OK;
}
