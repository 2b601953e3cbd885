/* vcpu.c - a virtual CPU, whatever keeps its instructions from the machine (virt.h).
 *
 * Where state lives: what a VMCS has a field for, there; general registers, CR2, debug registers, floating point and the MSRs of
 * SYSCALL in the physical CPU while the virtual one holds it, for the VMM's code does not use them; the rest in the model.
 * Source: SDM Vol. 3C, "Virtual-Machine Control Structures"; "Virtual Machine Monitor Programming Considerations".
 * Timing: fields at the technique's prices; the VMM's copy of the general registers is two lines of its own memory, written after
 * each exit and read before each entry. */
#include "models/vmm/nested/nested.h"

#include <stdio.h>
#include <string.h>

#include "models/cpu/cpuid.h"
#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"

uint64_t vcpu_get(struct vcpu *v, enum vmcs_field f) { return v->vm->virt->get(v, f); }
void vcpu_set(struct vcpu *v, enum vmcs_field f, uint64_t x) { v->vm->virt->set(v, f, x); }
uint64_t vcpu_peek(const struct vcpu *v, enum vmcs_field f) { return v->vm->virt->peek(v, f); }
bool vcpu_has(const struct vcpu *v, enum vmcs_field f) { return v->vm->virt->has(v, f); }

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

void vcpu_flush(struct vcpu *v) { vcpu_invalidate(v, INVVPID_SINGLE, 0); }
void vcpu_invalidate(struct vcpu *v, enum invvpid_type type, uint64_t lin) { v->vm->virt->flush(v, type, lin); }

/* "Blocking by STI and by MOV SS" end with the instruction, and RF does; a single step is due after it. */
void vcpu_skip(struct vcpu *v)
{
	uint64_t rip = vcpu_get(v, VMCS_GUEST_RIP) + vcpu_get(v, VMCS_EXIT_INSN_LENGTH);
	uint64_t blocking = vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY);
	bool wide = vcpu_get(v, VMCS_GUEST_CS_ACCESS) & SEG_L;
	vcpu_set(v, VMCS_GUEST_RIP, wide ? rip : rip & 0xffffffff);
	if (blocking & 3)
		vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, blocking & ~3ull);
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS);
	if (flags & RFLAGS_RF)
		vcpu_set(v, VMCS_GUEST_RFLAGS, flags & ~(uint64_t)RFLAGS_RF);
	if (flags & RFLAGS_TF)
		vcpu_set(v, VMCS_GUEST_PENDING_DEBUG, vcpu_get(v, VMCS_GUEST_PENDING_DEBUG) | BIT(14));
	nested_stepped(v);
}

bool vcpu_watched(struct vcpu *v) { return vcpu_get(v, VMCS_GUEST_DR7) & DR7_ENABLED; }

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
	nested_raised(v);
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
	if (vcpu_has(v, VMCS_GUEST_EFER))
		vcpu_set(v, VMCS_GUEST_EFER, s->efer);
	uint64_t entry = vcpu_get(v, VMCS_ENTRY_CONTROLS) & ~VMX_CTL(ENTRY_GUEST_64);
	vcpu_set(v, VMCS_ENTRY_CONTROLS, entry | (s->efer & EFER_LMA ? VMX_CTL(ENTRY_GUEST_64) : 0));
}

void vcpu_load_state(struct vcpu *v)
{
	const struct cpu_state *s = &v->model->s;
	struct vcpu_state *k = &v->s;
	/* beside the VMM the real ones are what the pager has made of them: not overwritten for nothing */
	const bool same = v->vm->virt->ring && k->launched && !k->renew && k->cr0 == s->cr0 && k->cr3 == s->cr3 && k->cr4 == s->cr4 &&
	                  k->efer == s->efer;
	k->cr0 = s->cr0;
	k->cr3 = s->cr3;
	k->cr4 = s->cr4;
	k->efer = s->efer;
	k->halted = k->blocked = 0;
	k->pending_event = 0;
	k->interpreting = vcpu_fits(v) ? 0 : INTERPRET_MODEL;
	if (k->interpreting)
		k->renew = 1;
	if (k->interpreting)
		return;                 /* until it can be entered: interpret.c */
	load_segments(v);
	if (!same)
		load_controls_of_registers(v);
	vcpu_set(v, VMCS_GUEST_RIP, s->rip);
	vcpu_set(v, VMCS_GUEST_RSP, s->r[R_RSP]);
	vcpu_set(v, VMCS_GUEST_RFLAGS, cpu_rflags(v->model));
	vcpu_set(v, VMCS_GUEST_DR7, s->dr[7]);
	vcpu_set(v, VMCS_GUEST_DEBUGCTL, s->debugctl);
	vcpu_set(v, VMCS_GUEST_SYSENTER_CS, s->sysenter_cs);
	vcpu_set(v, VMCS_GUEST_SYSENTER_ESP, s->sysenter_esp);
	vcpu_set(v, VMCS_GUEST_SYSENTER_EIP, s->sysenter_eip);
	if (vcpu_has(v, VMCS_GUEST_PAT))
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
	v->vm->virt->create(v);
	vcpu_load_state(v);
	v->s.runnable = v->model->s.activity == ACTIVITY_ACTIVE;
	if (v->vm->pager->vcpu_init)
		v->vm->pager->vcpu_init(v);
	nested_create(v);
}

/* ---- between the VMM and its guest ---- */

void vcpu_touch_regs(struct vcpu *v, hpa_t at, bool write)
{
	struct mmu *m = &v->cpu->mmu;
	for (unsigned i = 0; i < 2; i++) {
		hpa_t line = HPA(at.v + 64 * i);
		if (write)
			mmu_phys_write(m, line, 8, v->cpu->s.r[8 * i], WHY_EXIT_SERVICE);
		else
			mmu_phys_read(m, line, 8, WHY_EXIT_SERVICE);
	}
}

void vcpu_injected(struct vcpu *v)
{
	v->vm->stat[VMM_STAT_INJECTED]++;
	trace(v->cpu->trace, v->cpu->ledger.now, v->cpu->number, VMM_TRACE_INJECT, v->vm->number, v->number, v->s.pending_event,
	      v->s.pending_error);
	v->s.pending_event = 0;
}

bool vcpu_enter(struct vcpu *v) { return v->vm->virt->enter(v); }
