/* leave.c - VM exit of L2 to L1: what L1 finds in vmcs12, and in itself.
 *
 *   information    from vmcs02 as the hardware recorded it; for exits L0 makes itself, what the hardware would have recorded
 *   guest state    from vmcs02: at once the fields of shadow_field.def, the others when L1 asks (vmcs12.c); CR0 and CR4 bits that L0 alone
 *                  owns as L2 sees them, those that L1 owns as L1 loaded them
 *   MSR areas      in software
 *   host state     of vmcs12, into vmcs01's guest state: L1 goes on at its HOST_RIP
 *
 * Source: SDM Vol. 3C, "VM Exits"; "VM-Entry Failures During or After Loading Guest State"; "VMX Aborts".
 * Timing: NESTED_EXIT; VMREADs, VMWRITEs, VMPTRLD and references as they are made.
 * Simplified: a VMX abort of L1's shuts the VM down; blocking by NMI of L1 itself does not outlast L2. */
#include "models/vmm/nested/nested.h"

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/vmm/guest_walk.h"

/* ---- information ---- */

static void as_recorded(struct vcpu *v)
{
	static const enum vmcs_field info[] = {
		VMCS_EXIT_INTR_INFO, VMCS_EXIT_INTR_ERROR, VMCS_IDT_VECTORING, VMCS_IDT_VECTORING_ERROR, VMCS_EXIT_INSN_LENGTH,
		VMCS_EXIT_INSN_INFO, VMCS_GUEST_LINEAR, VMCS_GUEST_PHYSICAL,
	};
	for (size_t i = 0; i < ARRAY_LEN(info); i++)
		vmcs12_put(v, info[i], vcpu_get(v, info[i]));
}

/* An exit L0 makes before an entry. The event whose delivery was to be resumed is what the exit interrupted. */
static void as_made(struct vcpu *v, const struct nested_exit *x)
{
	const struct vcpu_state *s = &v->s;
	uint32_t event = s->pending_event;
	vmcs12_put(v, VMCS_EXIT_INTR_INFO, x->intr_info);
	vmcs12_put(v, VMCS_EXIT_INTR_ERROR, x->intr_error);
	vmcs12_put(v, VMCS_EXIT_INSN_INFO, 0);
	vmcs12_put(v, VMCS_GUEST_LINEAR, 0);
	if (v->nested->s.fresh)         /* that event is the exit; the last exit's fields tell what it struck */
		event = (uint32_t)vcpu_get(v, VMCS_IDT_VECTORING);
	vmcs12_put(v, VMCS_IDT_VECTORING, event >> 31 ? event : 0);
	vmcs12_put(v, VMCS_IDT_VECTORING_ERROR, v->nested->s.fresh ? vcpu_get(v, VMCS_IDT_VECTORING_ERROR) : s->pending_error);
	vmcs12_put(v, VMCS_EXIT_INSN_LENGTH, event >> 31 && !v->nested->s.fresh ? s->pending_length : 0);
}

/* ---- guest state ---- */

/* Bits of a control register as L1 would find them: owned by L1 as it loaded them, by L0 alone as shown to L2, others as they are. */
static uint64_t cr_of(struct vcpu *v, enum vmcs_field cr, enum vmcs_field mask, enum vmcs_field shadow)
{
	uint64_t m12 = vmcs12_get(v, mask), m02 = vcpu_get(v, mask);
	return (vcpu_get(v, cr) & ~m02) | (vmcs12_get(v, cr) & m12) | (vcpu_get(v, shadow) & m02 & ~m12);
}

static void save_loaded(struct vcpu *v)
{
	if (vmcs12_on(v, VMX_EXIT_SAVE_DEBUG)) {
		vmcs12_put(v, VMCS_GUEST_DR7, vcpu_get(v, VMCS_GUEST_DR7));
		vmcs12_put(v, VMCS_GUEST_DEBUGCTL, vcpu_get(v, VMCS_GUEST_DEBUGCTL));
	}
	if (vmcs12_on(v, VMX_EXIT_SAVE_PAT))
		vmcs12_put(v, VMCS_GUEST_PAT, vcpu_get(v, VMCS_GUEST_PAT));
	if (vmcs12_on(v, VMX_EXIT_SAVE_EFER))
		vmcs12_put(v, VMCS_GUEST_EFER, vcpu_get(v, VMCS_GUEST_EFER));
}

static void save_guest(struct vcpu *v)
{
	static const enum vmcs_field common[] = {
		VMCS_GUEST_RIP, VMCS_GUEST_RSP, VMCS_GUEST_RFLAGS, VMCS_GUEST_CR3, VMCS_GUEST_CS_ACCESS, VMCS_GUEST_SS_ACCESS,
		VMCS_GUEST_INTERRUPTIBILITY, VMCS_GUEST_ACTIVITY, VMCS_GUEST_PENDING_DEBUG,
	};
	for (size_t i = 0; i < ARRAY_LEN(common); i++)
		vmcs12_put(v, common[i], vcpu_get(v, common[i]));
	vmcs12_put(v, VMCS_GUEST_CR0, cr_of(v, VMCS_GUEST_CR0, VMCS_CR0_MASK, VMCS_CR0_SHADOW));
	vmcs12_put(v, VMCS_GUEST_CR4, cr_of(v, VMCS_GUEST_CR4, VMCS_CR4_MASK, VMCS_CR4_SHADOW));
	save_loaded(v);
	uint64_t now = cpu_tsc(v->cpu) >> VMX_TIMER_SHIFT, end = v->nested->s.timer_end;
	if (v->nested->s.timer && vmcs12_on(v, VMX_EXIT_SAVE_TIMER))
		vmcs12_put(v, VMCS_PREEMPTION_TIMER, end > now ? end - now : 0);
	uint64_t entry = vmcs12_get(v, VMCS_ENTRY_CONTROLS) & ~VMX_CTL(ENTRY_GUEST_64);
	vmcs12_put(v, VMCS_ENTRY_CONTROLS, entry | (vcpu_get(v, VMCS_ENTRY_CONTROLS) & VMX_CTL(ENTRY_GUEST_64)));
	v->nested->s.rare_in_02 = 1;
}

/* ---- MSR areas ---- */

static void vmx_abort(struct vcpu *v, uint32_t indicator)
{
	l1_write(v, v->nested->s.current + 4, 4, indicator);
	if (v->model->machine.request)
		v->model->machine.request(v->model->machine.who, MACHINE_SHUTDOWN, 0);
}

static bool store_msrs(struct vcpu *v)
{
	uint64_t at = vmcs12_get(v, VMCS_EXIT_MSR_STORE_ADDR), n = vmcs12_get(v, VMCS_EXIT_MSR_STORE_COUNT);
	for (uint64_t i = 0; i < n; i++, at += 16) {
		uint64_t head, x;
		l1_read(v, at, 8, &head);
		if (i == VMX_MSRS_MAX || head >> 32 || head >> 8 == 8 || head == 0x9e || !nested_msr_read(v, (uint32_t)head, &x))
			return false;
		l1_write(v, at + 8, 8, x);
	}
	return true;
}

static bool load_msrs(struct vcpu *v)
{
	uint64_t at = vmcs12_get(v, VMCS_EXIT_MSR_LOAD_ADDR), n = vmcs12_get(v, VMCS_EXIT_MSR_LOAD_COUNT);
	for (uint64_t i = 0; i < n; i++, at += 16) {
		uint64_t head, x;
		l1_read(v, at, 8, &head);
		l1_read(v, at + 8, 8, &x);
		if (i == VMX_MSRS_MAX || head >> 32 || head >> 8 == 8 || head == 0xc0000100 || head == 0xc0000101 || head == 0x9b ||
		    !nested_msr_write(v, (uint32_t)head, x))
			return false;
	}
	return true;
}

/* ---- host state ---- */

/* SDM Vol. 3C, "Loading Host Segment and Descriptor-Table Registers". */
static void segment(struct vcpu *v, enum seg_reg i, uint64_t sel, uint64_t base, uint32_t attr, uint32_t limit)
{
	bool null = i != SEG_CS && i != SEG_TR && !sel;
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES + i), sel);
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_BASE + i), base);
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_LIMIT + i), null ? 0 : limit);
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + i), null ? SEG_UNUSABLE | (i == SEG_SS ? SEG_DB : 0) : attr);
}

static void load_segments(struct vcpu *v, bool host64)
{
	const uint32_t flat = SEG_G | SEG_DB | SEG_P | SEG_S | TYPE_WRITE | TYPE_ACCESSED;
	const uint32_t code = SEG_G | (host64 ? SEG_L : SEG_DB) | SEG_P | SEG_S | TYPE_CODE | TYPE_READ | TYPE_ACCESSED;
	segment(v, SEG_CS, vmcs12_get(v, VMCS_HOST_CS), 0, code, 0xffffffff);
	segment(v, SEG_SS, vmcs12_get(v, VMCS_HOST_SS), 0, flat, 0xffffffff);
	segment(v, SEG_DS, vmcs12_get(v, VMCS_HOST_DS), 0, flat, 0xffffffff);
	segment(v, SEG_ES, vmcs12_get(v, VMCS_HOST_ES), 0, flat, 0xffffffff);
	segment(v, SEG_FS, vmcs12_get(v, VMCS_HOST_FS), vmcs12_get(v, VMCS_HOST_FS_BASE), flat, 0xffffffff);
	segment(v, SEG_GS, vmcs12_get(v, VMCS_HOST_GS), vmcs12_get(v, VMCS_HOST_GS_BASE), flat, 0xffffffff);
	segment(v, SEG_TR, vmcs12_get(v, VMCS_HOST_TR), vmcs12_get(v, VMCS_HOST_TR_BASE), SEG_P | DESC_TSS32_BUSY, 0x67);
	segment(v, SEG_LDTR, 0, 0, 0, 0);
	vcpu_set(v, VMCS_GUEST_GDTR_BASE, vmcs12_get(v, VMCS_HOST_GDTR_BASE));
	vcpu_set(v, VMCS_GUEST_GDTR_LIMIT, 0xffff);
	vcpu_set(v, VMCS_GUEST_IDTR_BASE, vmcs12_get(v, VMCS_HOST_IDTR_BASE));
	vcpu_set(v, VMCS_GUEST_IDTR_LIMIT, 0xffff);
}

/* False: PDPTEs are not valid. */
static bool load_paging(struct vcpu *v, bool host64, uint64_t efer)
{
	const uint64_t mode = EFER_LMA | EFER_LME, kept = CR0_NW | CR0_CD;
	uint64_t cr0 = (vmcs12_get(v, VMCS_HOST_CR0) & ~kept) | (vcpu_get(v, VMCS_CR0_SHADOW) & kept) | CR0_ET;
	uint64_t cr4 = vmcs12_get(v, VMCS_HOST_CR4) | CR4_VMXE, cr3 = vmcs12_get(v, VMCS_HOST_CR3), pdpte[4];
	cr4 = host64 ? cr4 | CR4_PAE : cr4 & ~(uint64_t)CR4_PCIDE;
	efer = vmcs12_on(v, VMX_EXIT_LOAD_EFER) ? vmcs12_get(v, VMCS_HOST_EFER) : (efer & ~mode) | (host64 ? mode : 0);
	vcpu_set(v, VMCS_GUEST_CR0, (cr0 & ~kept) | CR0_NE);
	vcpu_set(v, VMCS_CR0_SHADOW, cr0);
	vcpu_set(v, VMCS_GUEST_CR3, cr3);
	vcpu_set(v, VMCS_GUEST_CR4, cr4);
	vcpu_set(v, VMCS_CR4_SHADOW, cr4);
	vcpu_set(v, VMCS_GUEST_EFER, efer);
	uint64_t entry = vcpu_get(v, VMCS_ENTRY_CONTROLS) & ~VMX_CTL(ENTRY_GUEST_64);
	vcpu_set(v, VMCS_ENTRY_CONTROLS, entry | (host64 ? VMX_CTL(ENTRY_GUEST_64) : 0));
	if (host64 || !(cr4 & CR4_PAE))
		return true;
	if (!guest_pdptes(v, cr3, pdpte))
		return false;
	for (unsigned i = 0; i < 4; i++)
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + i), pdpte[i]);
	return true;
}

/* vmcs01 is current. efer, pat: as L2 had them; what the exit does not load stays. */
static void load_host(struct vcpu *v, uint64_t efer, uint64_t pat, bool nmi)
{
	bool host64 = vmcs12_on(v, VMX_EXIT_HOST_64), ok = load_paging(v, host64, efer);
	const struct { enum vmcs_field f; uint64_t x; } rest[] = {
		{ VMCS_GUEST_RIP, vmcs12_get(v, VMCS_HOST_RIP) }, { VMCS_GUEST_RSP, vmcs12_get(v, VMCS_HOST_RSP) }, { VMCS_GUEST_RFLAGS, 2 },
		{ VMCS_GUEST_DR7, 0x400 }, { VMCS_GUEST_DEBUGCTL, 0 },
		{ VMCS_GUEST_SYSENTER_CS, vmcs12_get(v, VMCS_HOST_SYSENTER_CS) },
		{ VMCS_GUEST_SYSENTER_ESP, vmcs12_get(v, VMCS_HOST_SYSENTER_ESP) },
		{ VMCS_GUEST_SYSENTER_EIP, vmcs12_get(v, VMCS_HOST_SYSENTER_EIP) },
		{ VMCS_GUEST_PAT, vmcs12_on(v, VMX_EXIT_LOAD_PAT) ? vmcs12_get(v, VMCS_HOST_PAT) : pat },
		{ VMCS_GUEST_ACTIVITY, 0 }, { VMCS_GUEST_INTERRUPTIBILITY, nmi ? 8 : 0 }, { VMCS_GUEST_PENDING_DEBUG, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rest); i++)
		vcpu_set(v, rest[i].f, rest[i].x);
	load_segments(v, host64);
	if (v->vm->config.tags && !vmcs12_on(v, VMX_VPID))
		vmx_root_invvpid(v->cpu, INVVPID_SINGLE, vcpu_vpid(v), 0);
	v->s.pending_event = 0;
	v->s.halted = v->s.blocked = 0;
	v->nested->s.fresh = v->nested->s.entering = 0;
	v->nested->s.shadow_old = 1;
	if (!ok)
		vmx_abort(v, 2);
	else if (!load_msrs(v))
		vmx_abort(v, 4);
}

/* ---- exits ---- */

void nested_leave(struct vcpu *v, const struct nested_exit *x)
{
	struct nested_state *n = &v->nested->s;
	struct cpu *c = v->cpu;
	bool nmi = x->reason == EXIT_EXCEPTION && (x->intr_info >> 8 & 7) == EVENT_NMI && !x->as_hardware;
	vmm_cost(c, VMM_COST_NESTED_EXIT);
	if (x->as_hardware)
		as_recorded(v);
	else
		as_made(v, x);
	vmcs12_put(v, VMCS_EXIT_REASON, x->reason);
	vmcs12_put(v, VMCS_EXIT_QUALIFICATION, x->qualification);
	vmcs12_put(v, VMCS_ENTRY_INTR_INFO, vmcs12_get(v, VMCS_ENTRY_INTR_INFO) & ~(1ull << 31));
	save_guest(v);
	bool stored = store_msrs(v);
	uint64_t efer = vcpu_get(v, VMCS_GUEST_EFER), pat = vcpu_get(v, VMCS_GUEST_PAT);
	nested_switch(v, false);
	load_host(v, efer, pat, nmi);
	if (!stored)
		vmx_abort(v, 1);
	n->serving = (x->reason & 0xff) + 1;
	v->nested->stat[NESTED_STAT_REFLECTED]++;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_NESTED_EXIT, v->vm->number, v->number, x->reason & 0xffff, x->qualification);
}

void nested_entry_failed(struct vcpu *v, uint32_t reason, uint64_t qualification)
{
	uint64_t efer = vcpu_get(v, VMCS_GUEST_EFER), pat = vcpu_get(v, VMCS_GUEST_PAT);
	struct cpu *c = v->cpu;
	vmm_cost(c, VMM_COST_NESTED_EXIT);
	v->nested->stat[NESTED_STAT_FAILED]++;
	vmcs12_put(v, VMCS_EXIT_REASON, reason | 1u << 31);
	vmcs12_put(v, VMCS_EXIT_QUALIFICATION, qualification);
	nested_switch(v, false);
	v->nested->s.dirty = 1;
	load_host(v, efer, pat, false);
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_NESTED_EXIT, v->vm->number, v->number, reason, qualification);
}
