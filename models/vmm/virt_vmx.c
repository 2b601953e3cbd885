/* virt_vmx.c - VT-x: the VMCS from the first field on, VM entry, VM exit (technique "vmx").
 *
 * What the guest may do without an exit: everything but CPUID, HLT, I/O, changes of CR0.PE, PG, NE, CD, NW and CR4.VMXE,
 * XSETBV, MSRs that are not its own (own_msrs is the list of those that are); pagers add what they need.
 * Source: SDM Vol. 3C, "Virtual-Machine Control Structures"; "Virtual Machine Monitor Programming Considerations".
 * Timing: VMREAD, VMWRITE, VMPTRLD and VM entry as the hardware has them. */
#include "models/vmm/nested/nested.h"

#include <stdio.h>
#include <string.h>

#include "models/cpu/cpuid.h"
#include "models/cpu/sys.h"

#define HOST_CS_SEL 0x08
#define HOST_SS_SEL 0x10
#define HOST_TR_SEL 0x18
#define HOST_ENTRY  0xffffffff81000000ull       /* where VM exits would go, if anything were fetched there */

/* Offsets in the virtual CPU's pages of the VMM's memory. */
enum { AT_VMCS = 0, AT_MSR_BITMAPS = 4096, AT_REGS = 8192 };

/* Can this CPU do what the pager needs? */
static int vmx_able(const struct cpu *c, const struct pager *p, struct err *e)
{
	if (!cpu_has(c, FEATURE_VMX))
		return err_set(e, NULL, "choose a newer one: vmscope list profiles", "profile %s has no VT-x", c->profile->name);
	const bool ept = p == &pager_ept || p == &pager_agile;
	if (ept && !vmx_may_be(c, VMX_ENABLE_EPT))
		return err_set(e, NULL, "use shadow paging, or a profile from nehalem on", "profile %s has no EPT", c->profile->name);
	if (p == &pager_agile && !vmx_may_be(c, VMX_UNRESTRICTED))
		return err_set(e, NULL, "use shadow paging or EPT, or a profile from sandybridge on",
		               "profile %s has EPT without \"unrestricted guest\", which agile paging needs", c->profile->name);
	return 0;
}

static void vmx_boot(struct cpu *c)
{
	hpa_t region = vmm_page(vmm_of(c));
	mem_write32(c->mmu.mem, region, VMCS_REVISION);
	vmx_root_vmxon(c, region.v);
}

/* ---- fields ---- */

static uint64_t vmx_field(struct vcpu *v, enum vmcs_field f)
{
	uint64_t x;
	if (!vmx_root_vmread(v->cpu, vmcs_rows[f].encoding, &x))
		BUG("VMREAD of %s", vmcs_rows[f].name);
	return x;
}

static void vmx_set_field(struct vcpu *v, enum vmcs_field f, uint64_t x)
{
	if (!vmx_root_vmwrite(v->cpu, vmcs_rows[f].encoding, x))
		BUG("VMWRITE of %s", vmcs_rows[f].name);
}

static uint64_t vmx_peek(const struct vcpu *v, enum vmcs_field f)
{
	const struct vmcs *k = vmcs_active(v->cpu, v->s.vmcs);
	return k ? k->f[f] : 0;
}

static bool vmx_has(const struct vcpu *v, enum vmcs_field f) { return vmcs_exists(v->cpu, f); }

static void vmx_reach(struct vcpu *v)
{
	const struct vmcs *k = v->cpu->vmcs;
	if (!k || k->pa != v->s.vmcs)
		vmx_root_vmptrld(v->cpu, v->s.vmcs);
}

static void vmx_take_up(struct vcpu *v) { vmx_root_vmptrld(v->cpu, v->s.vmcs); }

/* Without tags every VM entry and exit flushes by itself. */
static void vmx_flush(struct vcpu *v, enum invvpid_type type, uint64_t lin)
{
	if (v->vm->config.tags && vmx_may_be(v->cpu, VMX_VPID))
		vmx_root_invvpid(v->cpu, type, nested_vpid(v), lin);
}

/* ---- the VMCS ---- */

struct wish { enum vmx_control control; bool on; };

/* A word of controls: what hardware insists on, and what is wished and possible. */
static uint32_t controls(const struct cpu *c, enum vmx_word w, const struct wish *wish, size_t n)
{
	uint32_t must, may, v = 0;
	vmx_allowed(c, w, false, &must, &may);
	for (size_t i = 0; i < n; i++)
		if (wish[i].on && vmx_control_rows[wish[i].control].word == w)
			v |= (uint32_t)BIT(vmx_control_rows[wish[i].control].bit);
	return (v & may) | must;
}

static bool shares_cpu(const struct vcpu *v)
{
	return v->vm->vmm->vcpus > v->vm->vmm->p.cpus;
}

static void write_controls(struct vcpu *v)
{
	const struct cpu *c = v->cpu;
	const struct wish wish[] = {
		{ VMX_EXTINT_EXITING, true }, { VMX_NMI_EXITING, true }, { VMX_VIRTUAL_NMIS, true },
		{ VMX_PREEMPTION_TIMER, shares_cpu(v) },
		{ VMX_TSC_OFFSETTING, true }, { VMX_HLT_EXITING, true }, { VMX_MWAIT_EXITING, true }, { VMX_MONITOR_EXITING, true },
		{ VMX_RDPMC_EXITING, true },
		{ VMX_CR8_LOAD_EXITING, true }, { VMX_CR8_STORE_EXITING, true }, { VMX_IO_EXITING, true }, { VMX_MSR_BITMAPS, true },
		{ VMX_SECONDARY_CONTROLS, true },
		{ VMX_ENABLE_RDTSCP, cpu_has(v->model, FEATURE_RDTSCP) }, { VMX_VPID, v->vm->config.tags },
		{ VMX_ENABLE_INVPCID, cpu_has(v->model, FEATURE_INVPCID) }, { VMX_XSAVES, cpu_has(v->model, FEATURE_XSAVES) },
		{ VMX_PAUSE_LOOP, shares_cpu(v) },
		{ VMX_EXIT_HOST_64, true }, { VMX_EXIT_ACK_INTERRUPT, true }, { VMX_EXIT_SAVE_DEBUG, true },
		{ VMX_EXIT_SAVE_PAT, true }, { VMX_EXIT_LOAD_PAT, true }, { VMX_EXIT_SAVE_EFER, true }, { VMX_EXIT_LOAD_EFER, true },
		{ VMX_ENTRY_LOAD_DEBUG, true }, { VMX_ENTRY_LOAD_PAT, true }, { VMX_ENTRY_LOAD_EFER, true },
	};
	static const enum vmcs_field field[VMX_WORDS] = {
		VMCS_PIN_CONTROLS, VMCS_PROC_CONTROLS, VMCS_PROC2_CONTROLS, VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS,
	};
	for (unsigned w = 0; w < VMX_WORDS; w++)
		if (vmcs_exists(c, field[w]))
			vcpu_set(v, field[w], controls(c, (enum vmx_word)w, wish, ARRAY_LEN(wish)));
	vcpu_set(v, VMCS_EXCEPTION_BITMAP, 0);
	vcpu_set(v, VMCS_MSR_BITMAPS, v->s.vmcs + AT_MSR_BITMAPS);
	vcpu_set(v, VMCS_LINK_POINTER, ~0ull);
	if (vmcs_exists(c, VMCS_VPID) && v->vm->config.tags)
		vcpu_set(v, VMCS_VPID, vcpu_vpid(v));
	if (vmcs_exists(c, VMCS_PLE_GAP)) {
		vcpu_set(v, VMCS_PLE_GAP, 1024);
		vcpu_set(v, VMCS_PLE_WINDOW, 16384);
	}
}

static void write_host(struct vcpu *v)
{
	const struct { enum vmcs_field f; uint64_t x; } host[] = {
		{ VMCS_HOST_CR0, v->cpu->s.cr0 }, { VMCS_HOST_CR3, v->cpu->s.cr3 }, { VMCS_HOST_CR4, v->cpu->s.cr4 },
		{ VMCS_HOST_CS, HOST_CS_SEL }, { VMCS_HOST_SS, HOST_SS_SEL }, { VMCS_HOST_TR, HOST_TR_SEL },
		{ VMCS_HOST_RIP, HOST_ENTRY }, { VMCS_HOST_RSP, 0 },
		{ VMCS_HOST_EFER, v->cpu->s.efer }, { VMCS_HOST_PAT, v->cpu->s.pat },
	};
	for (size_t i = 0; i < ARRAY_LEN(host); i++)
		if (vmcs_exists(v->cpu, host[i].f))
			vcpu_set(v, host[i].f, host[i].x);
}

/* MSRs a guest reads (1), writes (2) or both (3) without an exit: those with a VMCS field, and those the VMM swaps when it
 * switches virtual CPUs. */
static const struct { uint32_t nr; uint8_t how; } own_msrs[] = {
	{ 0x10, 1 }, { 0x174, 3 }, { 0x175, 3 }, { 0x176, 3 }, { 0x277, 3 }, { 0xc0000080, 1 }, { 0xc0000081, 3 }, { 0xc0000082, 3 },
	{ 0xc0000083, 3 }, { 0xc0000084, 3 }, { 0xc0000100, 3 }, { 0xc0000101, 3 }, { 0xc0000102, 3 }, { 0xc0000103, 3 },
};

static void write_msr_bitmaps(struct vcpu *v)
{
	uint8_t map[PAGE_SIZE];
	memset(map, 0xff, sizeof map);
	for (size_t i = 0; i < ARRAY_LEN(own_msrs); i++) {
		uint32_t nr = own_msrs[i].nr, at = (nr >> 31 ? 1024 : 0) + ((nr & 0x1fff) >> 3);
		if (own_msrs[i].nr == 0xc0000080 && (v->vm->pager->page_fault || vm_restricted(v->vm, v->cpu)))
			continue;       /* the VMM decides what EFER holds */
		if (own_msrs[i].how & 1)
			map[at] &= (uint8_t)~(1u << (nr & 7));
		if (own_msrs[i].how & 2)
			map[2048 + at] &= (uint8_t)~(1u << (nr & 7));
	}
	mem_write(v->vm->vmm->p.mem, HPA(v->s.vmcs + AT_MSR_BITMAPS), map, sizeof map);
}

static void vmx_create(struct vcpu *v)
{
	struct vmm *m = v->vm->vmm;
	hpa_t page[4];
	for (unsigned i = 0; i < ARRAY_LEN(page); i++)
		page[i] = vmm_page(m);
	v->s.vmcs = page[0].v;
	v->s.apic_page = page[3].v;
	mem_write32(m->p.mem, page[AT_VMCS / PAGE_SIZE], VMCS_REVISION);
	vmx_root_vmclear(v->cpu, v->s.vmcs);
	vmx_root_vmptrld(v->cpu, v->s.vmcs);
	write_controls(v);
	apicv_init(v);
	write_host(v);
	write_msr_bitmaps(v);
}

/* ---- VM entry and exit ---- */

static void vmx_serve(struct vcpu *v)
{
	v->vm->stat[VMM_STAT_EXITS]++;
	vmm_cost(v->cpu, VMM_COST_SAVE_REGS);
	vcpu_touch_regs(v, HPA(v->s.vmcs + AT_REGS), true);
	apicv_in(v);
	vcpu_serve(v);
}

static void write_event(struct vcpu *v)
{
	struct vcpu_state *s = &v->s;
	uint32_t type = s->pending_event >> 8 & 7;
	/* "the deliver-error-code bit is 1 iff ... CR0.PE is 1": in real mode there are no error codes */
	if (s->pending_event & 1u << 11 && v->vm->pager->ept_violation && !(vcpu_get(v, VMCS_GUEST_CR0) & CR0_PE))
		s->pending_event &= ~(1u << 11);
	vcpu_set(v, VMCS_ENTRY_INTR_INFO, s->pending_event);
	if (s->pending_event & 1u << 11)
		vcpu_set(v, VMCS_ENTRY_INTR_ERROR, s->pending_error);
	if (type >= EVENT_SOFTWARE && type <= EVENT_SOFT_EXC)
		vcpu_set(v, VMCS_ENTRY_INSN_LENGTH, s->pending_length);
	vcpu_injected(v);
}

static bool vmx_guest_enter(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	unsigned error = 0;
	char what[96];
	if (v->s.pending_event)
		write_event(v);
	apicv_out(v);
	vmm_cost(c, VMM_COST_RESTORE_REGS);
	vcpu_touch_regs(v, HPA(v->s.vmcs + AT_REGS), false);
	bool launch = !v->s.launched;
	v->s.launched = 1;
	c->vmx.vm = (uint8_t)v->vm->number;
	c->vmx.agile = v->vm->pager->agile && v->vm->pager->agile(v);
	if (vmx_root_enter(c, launch, &error) == VMX_OK)
		return true;
	c->ledger.acct = ACCT_VMM;
	snprintf(what, sizeof what, "VM entry failed: error %u, check '%s'", error,
	         c->failed.n ? vmx_check_rows[c->failed.f[0].check].name : "none");
	vcpu_refuse(v, what);
	return false;
}

static bool vmx_in_guest(const struct vcpu *v) { return v->cpu->vmx.guest; }

static bool vmx_arm(struct vcpu *v, cycle_t left)
{
	if (!vmx_may_be(v->cpu, VMX_PREEMPTION_TIMER))
		return false;
	vcpu_set(v, VMCS_PREEMPTION_TIMER, (left >> VMX_TIMER_SHIFT) + 1);
	return true;
}

/* ---- what VM entry takes ---- */

static bool whole_limit(const struct seg *s)
{
	return (!(s->limit & 0xfff00000) || s->attr & SEG_G) && ((s->limit & 0xfff) == 0xfff || !(s->attr & SEG_G));
}

static bool usable(const struct seg *s) { return !(s->attr & SEG_UNUSABLE); }

static bool code_fits(const struct seg *cs, const struct seg *ss)
{
	unsigned type = SEG_TYPE(cs->attr), dpl = SEG_DPL(cs->attr);
	bool kind = type & TYPE_CODE && type & TYPE_ACCESSED && cs->attr & SEG_S && cs->attr & SEG_P && usable(cs) && whole_limit(cs);
	return kind && (type & TYPE_CONFORMING ? dpl <= SEG_DPL(ss->attr) : dpl == SEG_DPL(ss->attr));
}

static bool stack_fits(const struct seg *ss, const struct seg *cs)
{
	unsigned type = SEG_TYPE(ss->attr);
	if ((ss->sel & 3) != (cs->sel & 3))
		return false;
	if (!usable(ss))
		return true;
	return (type == 3 || type == 7) && ss->attr & SEG_S && ss->attr & SEG_P && SEG_DPL(ss->attr) == (ss->sel & 3) && whole_limit(ss);
}

static bool data_fits(const struct seg *s)
{
	unsigned type = SEG_TYPE(s->attr);
	if (!usable(s))
		return true;
	if (!(type & TYPE_ACCESSED) || (type & TYPE_CODE && !(type & TYPE_READ)) || !(s->attr & SEG_S) || !(s->attr & SEG_P))
		return false;
	return whole_limit(s) && ((type & TYPE_CODE && type & TYPE_CONFORMING) || SEG_DPL(s->attr) >= (s->sel & 3));
}

static bool v86_fits(const struct seg *s)
{
	return s->base == (uint64_t)s->sel << 4 && s->limit == 0xffff && s->attr == (SEG_P | 3 << 5 | SEG_S | 3);
}

static bool vmx_fits(const struct vcpu *v, const struct cpu_state *s)
{
	bool v86 = s->flags & RFLAGS_VM;
	if (!v->vm->pager->page_fault && !vm_restricted(v->vm, v->cpu))
		return true;
	if (v->vm->pager == &pager_agile)
		return true;            /* it has unrestricted guest */
	if (!(s->cr0 & CR0_PE))
		return false;
	for (unsigned i = SEG_ES; i <= SEG_GS && v86; i++)
		if (!v86_fits(&s->seg[i]))
			return false;
	for (unsigned i = SEG_ES; i <= SEG_GS && !v86; i++) {
		const struct seg *g = &s->seg[i];
		if (i == SEG_CS ? !code_fits(g, &s->seg[SEG_SS]) : i == SEG_SS ? !stack_fits(g, &s->seg[SEG_CS]) : !data_fits(g))
			return false;
	}
	return true;
}

const struct virt virt_vmx = {
	.name = "vmx", .able = vmx_able, .boot = vmx_boot, .create = vmx_create, .get = vmx_field, .set = vmx_set_field, .peek = vmx_peek,
	.has = vmx_has, .reach = vmx_reach, .take_up = vmx_take_up, .serve = vmx_serve, .enter = vmx_guest_enter, .in_guest = vmx_in_guest,
	.flush = vmx_flush, .fits = vmx_fits, .arm = vmx_arm,
};
