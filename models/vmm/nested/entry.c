/* entry.c - VM entry of L2: vmcs12 is checked, and vmcs02 made of it and of vmcs01.
 *
 *   field of vmcs02                from
 *   guest state                    vmcs12; what its entry controls do not load is L1's own
 *   host state                     L0's: exits of L2 come to L0
 *   pin, processor controls        either one's bit; I/O always exits, MSRs by L0's bitmap or L1's; HLT by L1's alone
 *   exception bitmap, CR masks     either one's bit; read shadows: L1's where L1 owns the bit, else the value L1 loads
 *   TSC offset                     the sum
 *   EPT pointer                    EPT02 (ept02.c), also when L1 uses no EPT; VPID: one of L0's for all of L1's
 *   event to inject, MSR area      the event becomes the virtual CPU's pending one; the area is gone through in software
 *
 * The checks are the CPU model's (models/cpu/vmx/check.def) made on vmcs12 for the CPU that L1 is offered: they fail for L1 as on hardware.
 * Source: SDM Vol. 3C, "VM Entries"; Turtles, section 3.2.
 * Timing: NESTED_ENTRY; VMREADs, VMWRITEs, VMPTRLD and references as they are made.
 * Simplified: an entry that fails at an MSR (reason 34) keeps what earlier entries of the area loaded, as the manual allows. */
#include "models/vmm/nested/nested.h"

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/vmm/guest_walk.h"

/* ---- checks ---- */

/* The fields of vmcs12. Those that stayed in vmcs02 are the hardware's to check, at its own entry; here they complete the picture. */
static void view(struct vcpu *v, struct vmcs *k)
{
	const struct nested_state *n = &v->nested->s;
	struct vmcs in02;
	*k = (struct vmcs){ .pa = n->current, .launched = (uint8_t)n->launched };
	if (n->rare_in_02)
		vmcs_peek(v->cpu, n->other, &in02);
	for (unsigned i = 0; i < VMCS_N; i++) {
		enum vmcs_field f = (enum vmcs_field)i;
		bool there = n->rare_in_02 && vmcs_type(f) == VMCS_GUEST && !vmcs12_common(f) && vmcs_exists(v->model, f) &&
		             f != VMCS_GUEST_DR7 && f != VMCS_GUEST_DEBUGCTL && f != VMCS_GUEST_PAT && f != VMCS_GUEST_EFER &&
		             f != VMCS_LINK_POINTER;
		k->f[i] = there ? in02.f[i] : vmcs12_get(v, f);
	}
}

/* The number of failures; *first is told. */
static unsigned check(struct vcpu *v, struct vmcs *k, struct vmx_failure *first)
{
	struct cpu *m = v->model, *c = v->cpu;
	const uint64_t efer = m->s.efer;
	m->s.efer = vcpu_get(v, VMCS_GUEST_EFER);
	m->vmcs = k;
	unsigned n = vmx_check_all(m, first, 1);
	m->vmcs = NULL;
	m->s.efer = efer;
	if (n)
		trace(c->trace, c->ledger.now, c->number, CPU_TRACE_VM_CHECK, first->check,
		      vmcs_rows[vmx_check_rows[first->check].field].encoding, first->found, first->wrong);
	return n;
}

/* ---- controls ---- */

#define ON(word, NAME) ((word) & VMX_CTL(NAME))

static uint64_t proc2_of(const struct vmcs *k)
{
	return ON(k->f[VMCS_PROC_CONTROLS], SECONDARY_CONTROLS) ? k->f[VMCS_PROC2_CONTROLS] : 0;
}

static void write_proc(struct vcpu *v, const struct vmcs *k, uint64_t proc01)
{
	const uint64_t cr8 = VMX_CTL(CR8_LOAD_EXITING) | VMX_CTL(CR8_STORE_EXITING);
	uint64_t proc12 = k->f[VMCS_PROC_CONTROLS];
	uint64_t proc = (proc01 & ~(VMX_CTL(INTERRUPT_WINDOW) | VMX_CTL(NMI_WINDOW) | VMX_CTL(TPR_SHADOW) | VMX_CTL(HLT_EXITING) | cr8)) |
	                (proc12 & ~VMX_CTL(IO_BITMAPS)) | VMX_CTL(SECONDARY_CONTROLS) | VMX_CTL(MSR_BITMAPS) | VMX_CTL(IO_EXITING);
	if (!ON(proc12, TPR_SHADOW))
		proc |= cr8;
	vcpu_set(v, VMCS_PROC_CONTROLS, proc);
	v->s.window = 0;
}

/* What changes only when L1 writes a field that has no row in shadow_field.def; or activates the secondary controls. Of the
 * pin-based controls L0 has all on that L1 may have, but for the timer. */
static void write_controls(struct vcpu *v, const struct vmcs *k, uint64_t pin01, uint64_t cr4_mask01)
{
	const uint64_t own = VMX_CTL(UNRESTRICTED) | VMX_CTL(ENABLE_RDTSCP) | VMX_CTL(ENABLE_INVPCID) | VMX_CTL(XSAVES) |
	                     VMX_CTL(DESC_TABLE_EXITING) | VMX_CTL(WBINVD_EXITING) | VMX_CTL(RDRAND_EXITING) | VMX_CTL(RDSEED_EXITING) |
	                     VMX_CTL(PAUSE_LOOP);
	const uint64_t proc2_12 = k->f[VMCS_PROC2_CONTROLS];
	const bool l1_loops = ON(proc2_12, PAUSE_LOOP), shared = v->vm->vmm->vcpus > v->vm->vmm->p.cpus;
	uint64_t proc2 = (shared ? VMX_CTL(PAUSE_LOOP) : 0) | VMX_CTL(ENABLE_EPT) | (proc2_of(k) & own);
	if (v->vm->config.tags && vmx_may_be(v->cpu, VMX_VPID))
		proc2 |= VMX_CTL(VPID);
	vcpu_set(v, VMCS_PIN_CONTROLS, pin01 | (k->f[VMCS_PIN_CONTROLS] & VMX_CTL(PREEMPTION_TIMER)));
	vcpu_set(v, VMCS_PROC2_CONTROLS, proc2);
	vcpu_set(v, VMCS_PLE_GAP, l1_loops ? k->f[VMCS_PLE_GAP] : 1024);        /* L0's: virt_vmx.c */
	vcpu_set(v, VMCS_PLE_WINDOW, l1_loops ? k->f[VMCS_PLE_WINDOW] : 16384);
	if (ON(proc2_12, XSAVES))
		vcpu_set(v, VMCS_XSS_EXITING, k->f[VMCS_XSS_EXITING]);
	vcpu_set(v, VMCS_PFEC_MASK, k->f[VMCS_PFEC_MASK]);
	vcpu_set(v, VMCS_PFEC_MATCH, k->f[VMCS_PFEC_MATCH]);
	vcpu_set(v, VMCS_CR4_MASK, k->f[VMCS_CR4_MASK] | cr4_mask01);
	vcpu_set(v, VMCS_CR3_TARGET_COUNT, k->f[VMCS_CR3_TARGET_COUNT]);
	for (unsigned i = 0; i < 4; i++)
		vcpu_set(v, (enum vmcs_field)(VMCS_CR3_TARGET0 + i), k->f[VMCS_CR3_TARGET0 + i]);
}

/* Bytes of an MSR bitmap that have a bit L0 leaves clear (own_msrs of virt_vmx.c): elsewhere everything exits to L0 as it is. */
static void merge_msr_bitmaps(struct vcpu *v, const struct vmcs *k)
{
	static const uint16_t bytes[] = { 0x002, 0x02e, 0x04e, 0x410, 0x420, 0x82e, 0x84e, 0xc10, 0xc20 };
	const struct nested_state *n = &v->nested->s;
	struct mmu *m = &v->cpu->mmu;
	bool used = ON(k->f[VMCS_PROC_CONTROLS], MSR_BITMAPS);
	for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
		uint64_t l1 = 0xff, l0 = mmu_phys_read(m, HPA(n->other + PAGE_SIZE + bytes[i]), 1, WHY_EXIT_SERVICE);
		if (used)
			l1_read(v, k->f[VMCS_MSR_BITMAPS] + bytes[i], 1, &l1);
		mmu_phys_write(m, HPA(v->s.vmcs + PAGE_SIZE + bytes[i]), 1, l0 | l1, WHY_EXIT_SERVICE);
	}
}

static void write_tpr(struct vcpu *v, const struct vmcs *k)
{
	hpa_t page = HPA(v->nested->s.scratch);
	uint64_t threshold = k->f[VMCS_TPR_THRESHOLD];
	if (!ON(k->f[VMCS_PROC_CONTROLS], TPR_SHADOW))
		return;
	if (!vm_gpa_to_hpa(v->vm, GPA(k->f[VMCS_VIRTUAL_APIC_ADDR]), &page))
		threshold = 0;          /* no memory there: what L2 writes is lost */
	vcpu_set(v, VMCS_VIRTUAL_APIC_ADDR, page.v);
	vcpu_set(v, VMCS_TPR_THRESHOLD, threshold);
}

/* ---- guest state ---- */

static bool apart(enum vmcs_field f)     /* not simply copied */
{
	switch (f) {
	case VMCS_GUEST_CR0: case VMCS_GUEST_CR4: case VMCS_GUEST_EFER: case VMCS_GUEST_PAT: case VMCS_GUEST_DR7: case VMCS_GUEST_DEBUGCTL:
	case VMCS_LINK_POINTER: case VMCS_PREEMPTION_TIMER: case VMCS_GUEST_SMBASE: case VMCS_GUEST_PERF_GLOBAL_CTRL:
		return true;
	default:
		return false;
	}
}

static void write_guest(struct vcpu *v, const struct vmcs *k, bool all)
{
	for (unsigned i = 0; i < VMCS_N; i++) {
		enum vmcs_field f = (enum vmcs_field)i;
		if (vmcs_type(f) == VMCS_GUEST && !apart(f) && vmcs_exists(v->model, f) && (all || vmcs12_common(f)))
			vcpu_set(v, f, k->f[i]);
	}
}

static void write_cr(struct vcpu *v, const struct vmcs *k)
{
	const uint64_t cr0 = k->f[VMCS_GUEST_CR0], cr4 = k->f[VMCS_GUEST_CR4], m0 = k->f[VMCS_CR0_MASK], m4 = k->f[VMCS_CR4_MASK];
	vcpu_set(v, VMCS_GUEST_CR0, cr0 | CR0_NE);
	vcpu_set(v, VMCS_CR0_MASK, m0 | CR0_CD | CR0_NW);
	vcpu_set(v, VMCS_CR0_SHADOW, (k->f[VMCS_CR0_SHADOW] & m0) | (cr0 & ~m0));
	vcpu_set(v, VMCS_GUEST_CR4, cr4 | CR4_VMXE);
	vcpu_set(v, VMCS_CR4_SHADOW, (k->f[VMCS_CR4_SHADOW] & m4) | (cr4 & ~m4));
}

/* What entry controls may leave as L1 has it. */
struct inherited { uint64_t efer, pat, dr7, debugctl; };

static void write_loaded(struct vcpu *v, const struct vmcs *k, const struct inherited *l1)
{
	const uint64_t entry = k->f[VMCS_ENTRY_CONTROLS], mode = EFER_LMA | EFER_LME;
	bool wide = ON(entry, ENTRY_GUEST_64), debug = ON(entry, ENTRY_LOAD_DEBUG);
	uint64_t efer = (l1->efer & ~(uint64_t)EFER_LMA) | (wide ? EFER_LMA : 0);
	if (k->f[VMCS_GUEST_CR0] & CR0_PG)
		efer = (efer & ~mode) | (wide ? mode : 0);
	vcpu_set(v, VMCS_GUEST_EFER, ON(entry, ENTRY_LOAD_EFER) ? k->f[VMCS_GUEST_EFER] : efer);
	vcpu_set(v, VMCS_GUEST_PAT, ON(entry, ENTRY_LOAD_PAT) ? k->f[VMCS_GUEST_PAT] : l1->pat);
	vcpu_set(v, VMCS_GUEST_DR7, debug ? k->f[VMCS_GUEST_DR7] : l1->dr7);
	vcpu_set(v, VMCS_GUEST_DEBUGCTL, debug ? k->f[VMCS_GUEST_DEBUGCTL] : l1->debugctl);
	uint64_t entry02 = vcpu_get(v, VMCS_ENTRY_CONTROLS) & ~VMX_CTL(ENTRY_GUEST_64);
	vcpu_set(v, VMCS_ENTRY_CONTROLS, entry02 | (entry & VMX_CTL(ENTRY_GUEST_64)));
}

/* Without EPT of L1's the PDPTEs are in its memory, at the CR3 it loads; with EPT they are fields. */
static void write_pdptes(struct vcpu *v, const struct vmcs *k)
{
	uint64_t pdpte[4];
	bool pae = k->f[VMCS_GUEST_CR0] & CR0_PG && k->f[VMCS_GUEST_CR4] & CR4_PAE && !ON(k->f[VMCS_ENTRY_CONTROLS], ENTRY_GUEST_64);
	if (!pae || ON(proc2_of(k), ENABLE_EPT) || !guest_pdptes(v, k->f[VMCS_GUEST_CR3], pdpte))
		return;
	for (unsigned i = 0; i < 4; i++)
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + i), pdpte[i]);
}

/* ---- translations ---- */

/* A VMM without VPIDs counts on every entry and exit to drop translations: L1's own, too. */
static void flush(struct vcpu *v, const struct vmcs *k)
{
	struct nested_state *n = &v->nested->s;
	uint32_t vpid = ON(proc2_of(k), VPID) ? (uint32_t)k->f[VMCS_VPID] : 0;
	if (!v->vm->config.tags)
		return;
	if (!vpid)
		vmx_root_invvpid(v->cpu, INVVPID_SINGLE, vcpu_vpid(v), 0);
	if (!vpid || vpid != n->vpid12)
		vmx_root_invvpid(v->cpu, INVVPID_SINGLE, nested_vpid(v), 0);
	n->vpid12 = vpid;
}

/* ---- the entry ---- */

static void pend_event(struct vcpu *v, const struct vmcs *k)
{
	struct vcpu_state *s = &v->s;
	uint32_t info = (uint32_t)k->f[VMCS_ENTRY_INTR_INFO];
	v->nested->s.fresh = 0;
	s->pending_event = info >> 31 ? info : 0;
	s->pending_error = (uint32_t)k->f[VMCS_ENTRY_INTR_ERROR];
	s->pending_length = (uint32_t)k->f[VMCS_ENTRY_INSN_LENGTH];
}

/* 0, or the number of the entry that fails. */
static uint32_t load_msrs(struct vcpu *v, const struct vmcs *k)
{
	uint64_t at = k->f[VMCS_ENTRY_MSR_LOAD_ADDR], n = k->f[VMCS_ENTRY_MSR_LOAD_COUNT];
	for (uint32_t i = 0; i < n && i < VMX_MSRS_MAX; i++, at += 16) {
		uint64_t head, x;
		l1_read(v, at, 8, &head);
		l1_read(v, at + 8, 8, &x);
		if (head >> 32 || !nested_msr_write(v, (uint32_t)head, x))
			return i + 1;
	}
	return 0;
}

static void make_vmcs02(struct vcpu *v, const struct vmcs *k)
{
	struct nested_state *n = &v->nested->s;
	const struct inherited l1 = {
		vcpu_get(v, VMCS_GUEST_EFER), vcpu_get(v, VMCS_GUEST_PAT), vcpu_get(v, VMCS_GUEST_DR7), vcpu_get(v, VMCS_GUEST_DEBUGCTL),
	};
	uint64_t pin01 = vcpu_get(v, VMCS_PIN_CONTROLS), proc01 = vcpu_get(v, VMCS_PROC_CONTROLS), cr4_mask01 = vcpu_get(v, VMCS_CR4_MASK), tsc = vcpu_get(v, VMCS_TSC_OFFSET);
	nested_switch(v, true);
	if (n->dirty || n->secondary != !!ON(k->f[VMCS_PROC_CONTROLS], SECONDARY_CONTROLS))
		write_controls(v, k, pin01, cr4_mask01);
	n->secondary = !!ON(k->f[VMCS_PROC_CONTROLS], SECONDARY_CONTROLS);
	write_proc(v, k, proc01);
	write_guest(v, k, n->dirty && !n->rare_in_02);
	write_cr(v, k);
	write_loaded(v, k, &l1);
	write_pdptes(v, k);
	write_tpr(v, k);
	merge_msr_bitmaps(v, k);
	vcpu_set(v, VMCS_EXCEPTION_BITMAP, k->f[VMCS_EXCEPTION_BITMAP]);
	if (ON(k->f[VMCS_PROC_CONTROLS], TSC_OFFSETTING))
		tsc += k->f[VMCS_TSC_OFFSET];
	vcpu_set(v, VMCS_TSC_OFFSET, tsc);
	n->timer = !!ON(k->f[VMCS_PIN_CONTROLS], PREEMPTION_TIMER);
	n->timer_end = (cpu_tsc(v->cpu) >> VMX_TIMER_SHIFT) + k->f[VMCS_PREEMPTION_TIMER];
	flush(v, k);
	n->dirty = n->rare_in_02 = 0;
}

unsigned nested_enter(struct vcpu *v, bool launch)
{
	struct nested_state *n = &v->nested->s;
	struct cpu *c = v->cpu;
	struct vmx_failure first;
	struct vmcs k;
	vmm_cost(c, VMM_COST_NESTED_ENTRY);
	vmcs12_from_shadow(v);
	view(v, &k);
	if (check(v, &k, &first)) {
		switch (vmx_check_rows[first.check].area) {
		case VMX_AREA_CONTROL: return VMX_ERR_CONTROLS;
		case VMX_AREA_HOST:    return VMX_ERR_HOST;
		case VMX_AREA_GUEST:
			nested_entry_failed(v, EXIT_ENTRY_GUEST, vmx_check_qualification((enum vmx_check)first.check));
			return 0;
		default:
			nested_entry_failed(v, EXIT_ENTRY_MSR, first.entry);
			return 0;
		}
	}
	make_vmcs02(v, &k);
	uint64_t eptp = nested_eptp02(v);
	if (!eptp) {
		vcpu_refuse(v, "the VMM's memory is used up: give the machine more");
		return 0;
	}
	vcpu_set(v, VMCS_EPTP, eptp);
	pend_event(v, &k);
	uint32_t bad = load_msrs(v, &k);
	if (bad) {
		nested_entry_failed(v, EXIT_ENTRY_MSR, bad);
		return 0;
	}
	if (launch)
		n->launched = 1;
	n->entering = 1;
	n->serving = 0;
	v->nested->stat[NESTED_STAT_ENTRIES]++;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_NESTED_ENTRY, v->vm->number, v->number, launch, k.f[VMCS_GUEST_RIP]);
	return 0;
}
