/* interpret.c - a virtual CPU in a state that VM entry refuses: its instructions are carried out one by one in software. So are
 * single instructions and events that nothing else here carries out.
 *
 * Without "unrestricted guest" VMX runs a guest in protected mode only, with segments as protected mode loads them. A guest in real
 * mode (after a start-up IPI, a boot sector, one that clears CR0.PE) and one on its way out of it, until its segment registers
 * are loaded anew, is interpreted. The interpreter is a whole CPU, the virtual CPU's model: between two instructions its state
 * lies there (s.interpreting is INTERPRET_MODEL), not in the VMCS and the physical CPU. Events are looked for between instructions
 * as by a CPU; the VMM's scheduler has its turn there too.
 * One instruction at a time too: hardware task switches, which always exit, and what the emulator does not know (emulate.def). An event
 * whose delivery exited for such a reason is delivered by the model.
 * Memory is the guest's window on the host's: every piece of data, and the line of code, is a reference of the physical CPU's; a
 * store is told to the pager, which may keep shadows of what it changes. Ports and device registers go to the device models.
 * Source: SDM Vol. 3A, "Checks on Guest Segment Registers" (what VM entry refuses); KVM (emulate_invalid_guest_state) and VMware's
 * monitors go the same way.
 * Timing: INTERPRET an instruction, EMULATE_OP for each further iteration of REP, DEVICE an access to a device, what the instruction
 * takes on a CPU, and its references.
 * Simplified: the interpreter's own walks of the guest's page tables, where a guest has paging on meanwhile, cost nothing. */
#include "models/vmm/virt.h"

#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/flags.h"
#include "models/cpu/sys.h"

bool vm_restricted(const struct vm *vm, const struct cpu *c)
{
	return vm->pager == &pager_ept && !vmx_may_be(c, VMX_UNRESTRICTED);
}

void vcpu_interpret_one(struct vcpu *v)
{
	v->s.interpreting = INTERPRET_WANTED;
	v->s.interpret_one = 1;
	v->s.renew = 1;
}

void vcpu_interpret_light(struct vcpu *v)
{
	vcpu_interpret_one(v);
	v->s.renew = 0;
}

bool vcpu_fits(const struct vcpu *v) { return v->vm->virt->fits(v, &v->model->s); }

/* ---- the interpreter's view of memory ---- */

static void seen(void *who, hpa_t pa, unsigned size, const void *from)
{
	struct vcpu *v = who;
	uint8_t buf[64];
	if (from)
		vcpu_write_gpa(v, GPA(pa.v), from, size);
	else
		vcpu_read_gpa(v, GPA(pa.v), buf, size < sizeof buf ? size : sizeof buf);
}

/* ---- into the model, and back ---- */

static void read_segments(struct vcpu *v, struct cpu_state *s)
{
	for (unsigned i = SEG_ES; i < SEG_N; i++) {
		struct seg *g = &s->seg[i];
		memset(g, 0, sizeof *g);
		g->sel = (uint16_t)vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES + i));
		g->base = vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_BASE + i));
		g->limit = (uint32_t)vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_LIMIT + i));
		g->attr = (uint32_t)vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + i));
	}
	s->gdtr = (struct dtr){ .base = vcpu_get(v, VMCS_GUEST_GDTR_BASE), .limit = (uint32_t)vcpu_get(v, VMCS_GUEST_GDTR_LIMIT) };
	s->idtr = (struct dtr){ .base = vcpu_get(v, VMCS_GUEST_IDTR_BASE), .limit = (uint32_t)vcpu_get(v, VMCS_GUEST_IDTR_LIMIT) };
	s->cpl = s->cr0 & CR0_PE ? SEG_DPL(s->seg[SEG_SS].attr) : 0;
}

static void read_rest(struct vcpu *v, struct cpu_state *s)
{
	uint64_t blocking = vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY);
	s->dr[7] = vcpu_get(v, VMCS_GUEST_DR7);
	s->debugctl = vcpu_get(v, VMCS_GUEST_DEBUGCTL);
	s->sysenter_cs = vcpu_get(v, VMCS_GUEST_SYSENTER_CS);
	s->sysenter_esp = vcpu_get(v, VMCS_GUEST_SYSENTER_ESP);
	s->sysenter_eip = vcpu_get(v, VMCS_GUEST_SYSENTER_EIP);
	if (vcpu_has(v, VMCS_GUEST_PAT))
		s->pat = vcpu_get(v, VMCS_GUEST_PAT);
	s->shadow = blocking & 3;
	s->nmi_blocked = blocking >> 3 & 1;
	s->pending_dbg = vcpu_get(v, VMCS_GUEST_PENDING_DEBUG) & 0x400f;
	s->activity = ACTIVITY_ACTIVE;
	s->in_delivery = 0;
}

static uint64_t shown(struct vcpu *v, enum vmcs_field real, enum vmcs_field mask, enum vmcs_field shadow)
{
	uint64_t m = vcpu_get(v, mask);
	return (vcpu_get(v, real) & ~m) | (vcpu_get(v, shadow) & m);
}

/* As the guest believes them to be. */
static void read_controls(struct vcpu *v, struct cpu_state *s)
{
	struct vcpu_state *k = &v->s;
	bool restricted = vm_restricted(v->vm, v->cpu);
	if (!v->vm->pager->page_fault) {
		k->cr0 = shown(v, VMCS_GUEST_CR0, VMCS_CR0_MASK, VMCS_CR0_SHADOW);
		k->cr4 = shown(v, VMCS_GUEST_CR4, VMCS_CR4_MASK, VMCS_CR4_SHADOW);
		k->cr3 = restricted && !(k->cr0 & CR0_PG) ? k->cr3 : vcpu_get(v, VMCS_GUEST_CR3);
		k->efer = restricted ? k->efer : vcpu_get(v, VMCS_GUEST_EFER);
		for (unsigned i = 0; i < 4; i++)
			k->pdpte[i] = vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + i));
	}
	s->cr0 = k->cr0;
	s->cr3 = k->cr3;
	s->cr4 = k->cr4;
	s->efer = k->efer;
}

static void take(struct vcpu *v)
{
	struct cpu *m = v->model;
	struct cpu_state *s = &m->s;
	vcpu_registers_out(v);
	read_controls(v, s);
	s->rip = vcpu_get(v, VMCS_GUEST_RIP);
	s->r[R_RSP] = vcpu_get(v, VMCS_GUEST_RSP);
	cpu_set_rflags(m, vcpu_get(v, VMCS_GUEST_RFLAGS), ~0ull);
	read_segments(v, s);
	read_rest(v, s);
	cpu_unmark(m);
	cpu_mode_loaded(m);
}

/* The model's registers are the guest's from here on. */
static void begin(struct vcpu *v)
{
	struct cpu *m = v->model;
	take(v);
	v->s.interpreting = INTERPRET_MODEL;
	block_forget(m);
	cpu_restored(m);
	vmm_cost(v->cpu, VMM_COST_SAVE_REGS);
	if (!(v->s.pending_event >> 31))
		return;
	uint32_t info = v->s.pending_event;
	const struct cpu_event ev = { .vector = (uint8_t)info, .type = info >> 8 & 7, .has_error = info >> 11 & 1,
	                              .error = v->s.pending_error, .len = (uint8_t)v->s.pending_length, .cr2 = m->s.cr2,
	                              .dr6 = (uint8_t)info == VEC_DB ? m->s.dr[6] & 15 : 0 /* it is there already */ };
	v->s.pending_event = v->s.interpret_one = 0;
	m->s.nmi_blocked |= ev.type == EVENT_NMI;
	cpu_deliver(m, &ev);
}

/* Into the VMCS and the physical CPU. */
static void leave(struct vcpu *v)
{
	const struct cpu_state *s = &v->model->s;
	const struct vcpu_state *k = &v->s;
	bool renew = !v->vm->virt->ring || k->renew || k->cr0 != s->cr0 || k->cr3 != s->cr3 || k->cr4 != s->cr4 || k->efer != s->efer;
	block_forget(v->model);
	vcpu_load_state(v);
	vcpu_registers_in(v);
	for (unsigned i = 0; i < 4 && v->model->mmu.paging.levels == 3 && !v->vm->pager->page_fault; i++)
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + i), v->s.pdpte[i]);
	if (renew)
		vcpu_renew(v);
	v->s.renew = 0;
}

/* ---- one instruction ---- */

/* What the model spent since `from`, but for the latencies of devices, which it does not have. */
static void charge(struct vcpu *v, cycle_t from, uint64_t io)
{
	struct cpu *m = v->model;
	uint64_t waited = ledger_by_why(&m->ledger, WHY_IO) - io, all = m->ledger.now - from;
	if (all > waited)
		ledger_charge(&v->cpu->ledger, WHY_EXIT_SERVICE, all - waited);
	if (waited)
		vmm_cost(v->cpu, VMM_COST_DEVICE);
}

/* The code is a reference of the VMM's; what was decoded of it is not kept: others may write there meanwhile. */
static void touch_code(struct vcpu *v, uint64_t lin, uint64_t page[2])
{
	struct walk_record rec;
	uint8_t buf[8];
	for (unsigned i = 0; i < 2; i++) {
		page[i] = ~0ull;
		if (!mmu_peek(&v->model->mmu, lin + (i ? 15 : 0), &rec))
			continue;
		page[i] = rec.hpa.v & PAGE_MASK;
		if (!i)
			vcpu_read_gpa(v, GPA(rec.hpa.v & ~7ull), buf, 8);
	}
}

static void step(struct vcpu *v)
{
	struct cpu *m = v->model, *c = v->cpu;
	const uint64_t lin = (m->s.seg[SEG_CS].base + m->s.rip) & m->lin_mask, io = ledger_by_why(&m->ledger, WHY_IO);
	const cycle_t from = m->ledger.now;
	const uint64_t icount = m->s.icount;
	uint64_t page[2];
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_INTERPRET, v->vm->number, v->number, m->s.seg[SEG_CS].sel, m->s.rip);
	touch_code(v, lin, page);
	m->stop_request = 0;
	(void)cpu_run(m, m->ledger.now + 1, 1);
	if (m->block)
		BUG("an interpreted instruction is not over");
	block_forget(m);
	for (unsigned i = 0; i < 2; i++)
		if (page[i] != ~0ull)
			cpu_code_written(m, HPA(page[i]), PAGE_SIZE);
	vmm_cost(c, m->s.icount == icount ? VMM_COST_EMULATE_OP : VMM_COST_INTERPRET);
	charge(v, from, io);
	c->s.icount += m->s.icount - icount;
	v->vm->stat[VMM_STAT_INTERPRETED] += m->s.icount - icount;
	if (m->mmu.paging.levels == 3)
		memcpy(v->s.pdpte, m->mmu.pdpte, sizeof v->s.pdpte);
	if (m->mmu.paging.levels)
		mmu_flush_all(&m->mmu); /* no translation is kept */
}

static void shut_down(struct vcpu *v)
{
	struct cpu *m = v->model;
	if (m->machine.request)
		m->machine.request(m->machine.who, MACHINE_SHUTDOWN, 0);
}

static void halt(struct vcpu *v)
{
	struct cpu *m = v->model, *c = v->cpu;
	bool on = m->s.flags & RFLAGS_IF;
	vmm_cost(c, VMM_COST_HALT);
	v->s.halted = 1;
	v->s.blocked = !on;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_VCPU_HALT, v->vm->number, v->number, on, 0);
}

/* Events that are due, as cpu_run() looks for them. False: no instruction may be executed now. */
static bool events(struct vcpu *v)
{
	struct cpu *m = v->model;
	const uint64_t io = ledger_by_why(&m->ledger, WHY_IO);
	const cycle_t from = m->ledger.now;
	if (m->s.activity != ACTIVITY_ACTIVE && !cpu_can_wake(m))
		return false;
	bool again = cpu_service(m);
	if (m->ledger.now != from) {
		vmm_cost(v->cpu, VMM_COST_INTERPRET);
		charge(v, from, io);
	}
	return !again && m->s.activity == ACTIVITY_ACTIVE;
}

bool vcpu_interpret(struct vcpu *v)
{
	struct cpu *m = v->model;
	struct trace *const shown = m->trace;
	const cycle_t before = v->cpu->ledger.now;
	vcpu_now(v);
	m->trace = m->mmu.trace = &v->vm->silent;       /* they are no events of a CPU's */
	m->mmu.seen = seen;
	m->mmu.seen_who = v;
	if (m->mmu.detailed)
		mmu_set_detailed(&m->mmu, false);
	if (v->s.interpreting != INTERPRET_MODEL)
		begin(v);
	if (m->mmu.paging.levels == 3)
		(void)mmu_load_paging(&m->mmu, m->s.cr0, m->s.cr3, m->s.cr4, m->s.efer, v->s.pdpte);
	bool run = events(v), over = run && !v->s.interpret_one && !m->s.pending_dbg && vcpu_fits(v);
	if (run && !over) {
		vcpu_now(v);
		if (!v->s.interpret_one)
			v->s.renew = 1;
		step(v);
		v->s.interpret_one = 0;
	}
	m->mmu.seen = NULL;
	m->trace = m->mmu.trace = shown;
	if (m->s.activity == ACTIVITY_SHUTDOWN)
		shut_down(v);
	else if (m->s.activity == ACTIVITY_HLT)
		halt(v);
	else if (!run)
		vmm_cost(v->cpu, VMM_COST_SIMPLE);
	if (over)
		leave(v);
	else if (v->cpu->ledger.now == before)
		ledger_charge(&v->cpu->ledger, WHY_EXIT_SERVICE, 1);    /* a scenario's costs are 0: time goes on */
	return !over;
}
