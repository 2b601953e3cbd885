/* vcpu.c - a virtual CPU: its VMCS from the first field on, and VM entry.
 *
 * What the guest may do without an exit: everything but CPUID, HLT, I/O, changes of CR0.PE, PG, NE, CD, NW and CR4.VMXE,
 * XSETBV, MSRs that are not its own (vcpu_msr.def is the list of those that are); pagers add what they need.
 * Where state lives: what a VMCS has a field for, there; general registers, CR2, debug registers, floating point and the MSRs of
 * SYSCALL in the physical CPU while the virtual one holds it, for the VMM's code does not use them; the rest in the model.
 * Source: SDM Vol. 3C, "Virtual-Machine Control Structures"; "Virtual Machine Monitor Programming Considerations".
 * Timing: VMREAD, VMWRITE and VM entry as the hardware has them; the VMM's copy of the general registers is two lines of its
 * own memory, written after each exit and read before each entry. */
#include "models/vmm/vmm.h"

#include <stdio.h>
#include <string.h>

#include "models/cpu/cpuid.h"
#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"

#define HOST_CS_SEL 0x08
#define HOST_SS_SEL 0x10
#define HOST_TR_SEL 0x18
#define HOST_ENTRY  0xffffffff81000000ull       /* where VM exits would go, if anything were fetched there */

/* Offsets in the virtual CPU's page of the VMM's memory, which begins with the MSR bitmaps' successor: see vcpu_create(). */
enum { AT_VMCS = 0, AT_MSR_BITMAPS = 4096, AT_REGS = 8192 };

uint64_t vcpu_get(struct vcpu *v, enum vmcs_field f)
{
	uint64_t x;
	if (!vmx_root_vmread(v->cpu, vmcs_rows[f].encoding, &x))
		BUG("VMREAD of %s", vmcs_rows[f].name);
	return x;
}

void vcpu_set(struct vcpu *v, enum vmcs_field f, uint64_t x)
{
	if (!vmx_root_vmwrite(v->cpu, vmcs_rows[f].encoding, x))
		BUG("VMWRITE of %s", vmcs_rows[f].name);
}

uint64_t vcpu_reg(struct vcpu *v, unsigned r)
{
	return r == R_RSP ? vcpu_get(v, VMCS_GUEST_RSP) : v->cpu->s.r[r];
}

void vcpu_reg_set(struct vcpu *v, unsigned r, uint64_t x)
{
	if (r == R_RSP)
		vcpu_set(v, VMCS_GUEST_RSP, x);
	else
		v->cpu->s.r[r] = x;
}

unsigned vcpu_vpid(const struct vcpu *v)
{
	const struct vmm *m = v->vm->vmm;
	for (unsigned i = 0; i < m->vcpus; i++)
		if (m->vcpu[i] == v)
			return i + 1;
	BUG("a virtual CPU nobody knows");
}

void vcpu_flush(struct vcpu *v)
{
	if (v->vm->config.tags && vmx_may_be(v->cpu, VMX_VPID))
		vmx_root_invvpid(v->cpu, INVVPID_SINGLE, vcpu_vpid(v), 0);
}

/* "Blocking by STI and by MOV SS" end with the instruction; a single step is due after it. */
void vcpu_skip(struct vcpu *v)
{
	uint64_t rip = vcpu_get(v, VMCS_GUEST_RIP) + vcpu_get(v, VMCS_EXIT_INSN_LENGTH);
	uint64_t blocking = vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY);
	bool wide = vcpu_get(v, VMCS_GUEST_CS_ACCESS) & SEG_L;
	vcpu_set(v, VMCS_GUEST_RIP, wide ? rip : rip & 0xffffffff);
	if (blocking & 3)
		vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, blocking & ~3ull);
	if (vcpu_get(v, VMCS_GUEST_RFLAGS) & RFLAGS_TF)
		vcpu_set(v, VMCS_GUEST_PENDING_DEBUG, vcpu_get(v, VMCS_GUEST_PENDING_DEBUG) | BIT(14));
}

/* SDM Vol. 3A, "Conditions for Generating a Double Fault": classes of exceptions, rows first, columns second. */
enum { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE };
static unsigned class_of(unsigned vec)
{
	if (vec == VEC_DE || (vec >= VEC_TS && vec <= VEC_GP))
		return CONTRIBUTORY;
	return vec == VEC_PF || vec == VEC_VE ? PAGE_FAULT : vec == VEC_DF ? DOUBLE : BENIGN;
}
enum { SERIALLY, DOUBLE_FAULT, SHUTDOWN };
static const uint8_t together[4][4] = {
	[BENIGN]       = { SERIALLY, SERIALLY,     SERIALLY,     SERIALLY },
	[CONTRIBUTORY] = { SERIALLY, DOUBLE_FAULT, SERIALLY,     SERIALLY },
	[PAGE_FAULT]   = { SERIALLY, DOUBLE_FAULT, DOUBLE_FAULT, SERIALLY },
	[DOUBLE]       = { SERIALLY, SHUTDOWN,     SHUTDOWN,     SERIALLY },
};

/* "For any fault-class exception except a debug exception ..., the value pushed for RF is 1": VM entry pushes RFLAGS as they are. */
void vcpu_inject(struct vcpu *v, enum vector vec, bool has_error, uint32_t error)
{
	uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS);
	const uint32_t first = v->s.pending_event;
	bool exception = first >> 31 && (first >> 8 & 7) == EVENT_HARDWARE;
	unsigned how = exception ? together[class_of(first & 0xff)][class_of(vec)] : SERIALLY;
	if (how == SHUTDOWN) {
		if (v->model->machine.request)
			v->model->machine.request(v->model->machine.who, MACHINE_SHUTDOWN, 0);
		return;
	}
	if (how == DOUBLE_FAULT)
		vec = VEC_DF, has_error = true, error = 0;
	if (vec != VEC_DB && !(flags & RFLAGS_RF))
		vcpu_set(v, VMCS_GUEST_RFLAGS, flags | RFLAGS_RF);
	v->s.pending_event = 1u << 31 | (has_error ? 1u << 11 : 0) | EVENT_HARDWARE << 8 | vec;
	v->s.pending_error = error;
	v->s.pending_length = 0;
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

/* ---- the guest's state ---- */

#define CR0_OWNED (CR0_PE | CR0_NE | CR0_NW | CR0_CD | CR0_PG)

static void load_segments(struct vcpu *v)
{
	const struct cpu_state *s = &v->model->s;
	for (unsigned i = SEG_ES; i < SEG_N; i++) {
		uint32_t attr = s->seg[i].attr;
		if (i == SEG_TR && (attr & 15) != 3)
			attr = (attr & ~15u) | DESC_TSS32_BUSY;
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES + i), s->seg[i].sel);
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_BASE + i), s->seg[i].base);
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_LIMIT + i), s->seg[i].limit);
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + i), attr);
	}
	vcpu_set(v, VMCS_GUEST_GDTR_BASE, s->gdtr.base);
	vcpu_set(v, VMCS_GUEST_GDTR_LIMIT, s->gdtr.limit);
	vcpu_set(v, VMCS_GUEST_IDTR_BASE, s->idtr.base);
	vcpu_set(v, VMCS_GUEST_IDTR_LIMIT, s->idtr.limit);
}

static void load_controls_of_registers(struct vcpu *v)
{
	const struct cpu_state *s = &v->model->s;
	bool owned = v->vm->pager->page_fault != NULL, restricted = vm_restricted(v->vm, v->cpu);
	vcpu_set(v, VMCS_CR0_MASK, owned ? ~0ull : CR0_OWNED);
	vcpu_set(v, VMCS_CR4_MASK, owned ? ~0ull : CR4_VMXE | (cr4_valid_bits(v->cpu) & ~cr4_valid_bits(v->model)) |
	                                           (restricted ? CR4_PAE | CR4_PSE : 0));
	if (restricted) {
		identity_load(v);
		return;
	}
	vcpu_set(v, VMCS_CR0_SHADOW, s->cr0);
	vcpu_set(v, VMCS_CR4_SHADOW, s->cr4);
	vcpu_set(v, VMCS_GUEST_CR0, s->cr0 | CR0_NE);
	if (!owned)
		vcpu_set(v, VMCS_GUEST_CR3, s->cr3);
	vcpu_set(v, VMCS_GUEST_CR4, s->cr4 | CR4_VMXE);
	if (vmcs_exists(v->cpu, VMCS_GUEST_EFER))
		vcpu_set(v, VMCS_GUEST_EFER, s->efer);
	uint64_t entry = vcpu_get(v, VMCS_ENTRY_CONTROLS) & ~VMX_CTL(ENTRY_GUEST_64);
	vcpu_set(v, VMCS_ENTRY_CONTROLS, entry | (s->efer & EFER_LMA ? VMX_CTL(ENTRY_GUEST_64) : 0));
}

void vcpu_load_state(struct vcpu *v)
{
	const struct cpu_state *s = &v->model->s;
	struct vcpu_state *k = &v->s;
	k->cr0 = s->cr0;
	k->cr3 = s->cr3;
	k->cr4 = s->cr4;
	k->efer = s->efer;
	k->halted = k->blocked = 0;
	k->pending_event = 0;
	k->interpreting = vcpu_fits(v) ? 0 : INTERPRET_MODEL;
	if (k->interpreting)
		return;                 /* until it can be entered: interpret.c */
	load_segments(v);
	load_controls_of_registers(v);
	vcpu_set(v, VMCS_GUEST_RIP, s->rip);
	vcpu_set(v, VMCS_GUEST_RSP, s->r[R_RSP]);
	vcpu_set(v, VMCS_GUEST_RFLAGS, cpu_rflags(v->model));
	vcpu_set(v, VMCS_GUEST_DR7, s->dr[7]);
	vcpu_set(v, VMCS_GUEST_DEBUGCTL, s->debugctl);
	vcpu_set(v, VMCS_GUEST_SYSENTER_CS, s->sysenter_cs);
	vcpu_set(v, VMCS_GUEST_SYSENTER_ESP, s->sysenter_esp);
	vcpu_set(v, VMCS_GUEST_SYSENTER_EIP, s->sysenter_eip);
	if (vmcs_exists(v->cpu, VMCS_GUEST_PAT))
		vcpu_set(v, VMCS_GUEST_PAT, s->pat);
	vcpu_set(v, VMCS_GUEST_ACTIVITY, 0);
	vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, s->shadow | (s->nmi_blocked ? 8 : 0));
	vcpu_set(v, VMCS_GUEST_PENDING_DEBUG, 0);
	vcpu_set(v, VMCS_TSC_OFFSET, v->model->s.tsc_offset - v->cpu->s.tsc_offset);
}

void vcpu_renew(struct vcpu *v)
{
	const struct pager *p = v->vm->pager;
	if (p->page_fault)
		(void)p->cr_written(v, 0, ~v->s.cr0, v->s.cr0);
	vcpu_flush(v);
}

void vcpu_create(struct vcpu *v)
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
	vcpu_load_state(v);
	v->s.runnable = v->model->s.activity == ACTIVITY_ACTIVE;
	if (v->vm->pager->vcpu_init)
		v->vm->pager->vcpu_init(v);
}

/* ---- VM entry ---- */

static void touch_regs(struct vcpu *v, bool write)
{
	struct mmu *m = &v->cpu->mmu;
	for (unsigned i = 0; i < 2; i++) {
		hpa_t at = HPA(v->s.vmcs + AT_REGS + 64 * i);
		if (write)
			mmu_phys_write(m, at, 8, v->cpu->s.r[8 * i], WHY_EXIT_SERVICE);
		else
			mmu_phys_read(m, at, 8, WHY_EXIT_SERVICE);
	}
}

void vcpu_exited(struct vcpu *v)
{
	vmm_cost(v->cpu, VMM_COST_SAVE_REGS);
	touch_regs(v, true);
	apicv_in(v);
}

static void write_event(struct vcpu *v)
{
	struct vcpu_state *s = &v->s;
	uint32_t type = s->pending_event >> 8 & 7;
	vcpu_set(v, VMCS_ENTRY_INTR_INFO, s->pending_event);
	if (s->pending_event & 1u << 11)
		vcpu_set(v, VMCS_ENTRY_INTR_ERROR, s->pending_error);
	if (type >= EVENT_SOFTWARE && type <= EVENT_SOFT_EXC)
		vcpu_set(v, VMCS_ENTRY_INSN_LENGTH, s->pending_length);
	v->vm->stat[VMM_STAT_INJECTED]++;
	trace(v->cpu->trace, v->cpu->ledger.now, v->cpu->number, VMM_TRACE_INJECT, v->vm->number, v->number, s->pending_event,
	      s->pending_error);
	s->pending_event = 0;
}

bool vcpu_enter(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	unsigned error = 0;
	char what[96];
	if (v->s.pending_event)
		write_event(v);
	apicv_out(v);
	vmm_cost(c, VMM_COST_RESTORE_REGS);
	touch_regs(v, false);
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
