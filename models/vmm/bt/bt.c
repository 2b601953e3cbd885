/* bt.c - binary translation of a guest's kernel: technique "bt".
 *
 * The core of rings (ring/ring.c) with two hooks. On the way in, a guest in its ring 0 goes to the translation of its RIP, made now if
 * there is none; a guest's user code goes where it is. On the way back, where the CPU was in the cache becomes where the guest is,
 * before anything else sees it; then a callout is what its instruction would be as a trap, and everything else of the VMM is
 * that of trap-and-emulate. So exits have the same names under both.
 *
 * Interrupts are the hardware's to stop translated code at any of its instructions; bt_recover() puts the guest on an instruction
 * boundary of its own, so they are injected at once. After STI the next instruction comes first: the VMM interprets it.
 * An instruction that faults and may be restarted is gone on with where it was, not translated once more.
 *
 * Source: Adams and Agesen 2006, section 3; SDM Vol. 2, "STI" (blocking for one instruction).
 * Timing: BT_FIND, BT_WHERE, BT_CALLOUT; stores to the shared page.
 * Simplified: other CPUs see the task priority of one in translated code as 0 when they arbitrate for the lowest; kernel code
 * with TF set, or in segments that are not flat, is interpreted; code breakpoints in debug registers are not noticed in translated
 * code. */
#include "models/vmm/bt/shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/vmm/ring/ring.h"
#include "sim/err.h"

#define LIMIT    12                     /* guest instructions of a block: Adams and Agesen 2006 */
#define CACHE_KB 1024

/* ---- life ---- */

static bool state_valid(void *who, const void *state)
{
	const struct vm *vm = who;
	const uint64_t top = vm->vmm->p.mem->low_size;
	struct bt_state s;
	memcpy(&s, state, sizeof s);
	return s.blocks_n <= s.blocks_max && s.code <= s.code_max && s.points_n <= s.points_max && s.pages_n <= BT_PAGES_MAX &&
	       s.code_max <= (RING_PAGES - RING_CODE) * PAGE_SIZE && s.blocks_max <= s.code_max && s.points_max <= s.code_max &&
	       s.hash < top && s.pages < top && s.hot < top && s.blocks < top && s.points < top && s.corner < top && s.wide <= 1 && s.cr8_lent <= 1;
}

static int vm_init(struct vm *vm, struct err *e)
{
	const struct vm_config *c = &vm->config;
	const unsigned most = (RING_PAGES - RING_CODE) / BT_PAGES_MIN;
	if (c->vcpus > most)
		return err_set(e, NULL, "fewer CPUs, or vmscope list techniques", "bt with %u virtual CPUs: the VMM's corner has room for the code caches of %u",
		               c->vcpus, most);
	struct bt *b = xcalloc(1, sizeof *b);
	b->limit = c->bt.block ? c->bt.block : LIMIT;
	b->cache_kb = c->bt.cache_kb ? c->bt.cache_kb : CACHE_KB;
	b->rdtsc = (enum bt_rdtsc)c->bt.rdtsc;
	b->chain = !c->bt.no_chain;
	b->adaptive = !c->bt.no_adapt;
	vm->technique = b;
	for (unsigned i = 0; i < c->vcpus; i++) {
		char name[32];
		snprintf(name, sizeof name, "vm%u.bt%u", vm->number, i);
		snaps_section(vm->vmm->p.snaps, name, 1, &b->s[i], sizeof b->s[i]);
		snaps_valid(vm->vmm->p.snaps, name, state_valid, vm);
	}
	return 0;
}

static void vm_fini(struct vm *vm)
{
	free(vm->technique);
	vm->technique = NULL;
}

static void vcpu_init(struct vcpu *v)
{
	if (bt_cache_init(v))
		vcpu_refuse(v, "no memory is left for the code cache");
}

/* ---- the way back ---- */

/* The guest's registers as they follow from the CPU's; f and the record have them then. */
static void recovered(struct vcpu *v, struct ring_frame *f, const struct bt_point *p, uint32_t block)
{
	struct bt_regs at = { .rip = f->rip, .flags = f->flags, .get = bt_shared_get, .who = v }, g;
	struct cpu *c = v->cpu;
	enum bt_rip how = BT_RIP(p);
	memcpy(at.r, c->s.r, sizeof at.r);
	at.r[R_RSP] = f->rsp;
	at.vif = (uint32_t)bt_shared_get(v, offsetof(struct bt_shared, vif), 4);
	if (how == BT_AT)
		at.pc = BT_GET(v, block, pc);
	else if (how == BT_EXIT0 || how == BT_EXIT1)
		at.exit[how - BT_EXIT0] = BT_GETI(v, block, exit, how - BT_EXIT0);
	bt_recover(p, &at, bt_state(v)->wide, &g);
	memcpy(c->s.r, g.r, sizeof g.r);
	c->s.r[R_RSP] = at.r[R_RSP] = f->rsp;
	f->rip = g.rip;
	f->rsp = g.r[R_RSP];
	f->flags = g.flags;
	uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS);
	if ((flags ^ g.vif) & RFLAGS_IF)
		vcpu_set(v, VMCS_GUEST_RFLAGS, flags ^ RFLAGS_IF);
}

static void keep(struct vcpu *v, const struct ring_frame *f)
{
	const uint64_t own = RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP, rf = f->vector < 32 ? RFLAGS_RF : 0;   /* a fault pushes RF set */
	vcpu_set(v, VMCS_GUEST_RIP, f->rip);
	vcpu_set(v, VMCS_GUEST_RSP, f->rsp);
	vcpu_set(v, VMCS_GUEST_RFLAGS, (f->flags & ~own & ~rf) | (vcpu_get(v, VMCS_GUEST_RFLAGS) & own));
}

static void after_sti(struct vcpu *v)
{
	vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY) | 1);
}

static void blocked_by_sti(struct vcpu *v)
{
	after_sti(v);
	vcpu_interpret_one(v);
}

/* The callout's instruction, as it was translated: the last of its block, as all callouts but those of POPF and MOV to CR8 are. */
static bool read_insn(struct vcpu *v, uint32_t block, uint64_t rip)
{
	struct bt *b = bt_of(v->vm);
	const uint64_t at = BT_DESC(bt_state(v), block, last);
	if (rip - BT_GET(v, block, pc) != BT_GET(v, block, last_at))
		return false;
	uint64_t x[2] = { bt_get(v, at, 8), bt_get(v, at + 8, 8) };
	memcpy(b->insn, x, 16);
	return b->insn_known = true;
}

/* An instruction that the hardware did not do: the guest's code is read and decoded. */
static void fetch_insn(struct vcpu *v, uint32_t block, uint64_t rip)
{
	struct bt *b = bt_of(v->vm);
	if (block == ~0u || !bt_guest_insn(v, block, rip, b->insn))
		return;
	vmm_cost(v->cpu, VMM_COST_RING_DECODE);
	b->insn_known = true;
}

static const uint8_t *insn(struct vcpu *v)
{
	struct bt *b = bt_of(v->vm);
	return b->insn_known ? b->insn : NULL;
}

static void simulate(struct vcpu *v, uint64_t pc)
{
	const enum emulated e = vcpu_emulate(v);
	if (e == EMULATE_UNKNOWN)
		vcpu_interpret_one(v);
	bt_simulated_once(v, pc, e == EMULATED || e == EMULATE_UNKNOWN);
}

static bool callout(struct vcpu *v, struct ring_frame *f, const struct bt_point *p, uint32_t block)
{
	struct bt_state *s = bt_state(v);
	struct cpu *c = v->cpu;
	vmm_cost(c, VMM_COST_BT_CALLOUT);
	v->vm->stat[VMM_STAT_BT_CALLOUTS_CHAIN + p->callout - BT_CALLOUT_CHAIN]++;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_BT_CALLOUT, v->vm->number, f->rip, p->callout, 0);
	switch ((enum bt_callout)p->callout) {
	case BT_CALLOUT_CHAIN:
		s->link = block + 1;
		s->link_exit = BT_RIP(p) - BT_EXIT0;
		s->link_pc = f->rip;
		break;
	case BT_CALLOUT_LOOKUP:
		s->want_table = 1;
		s->table_pc = f->rip;
		break;
	case BT_CALLOUT_EMULATE:
		s->verify |= p->how & BT_SPACE;
		if (!read_insn(v, block, f->rip))
			fetch_insn(v, block, f->rip);
		f->vector = VEC_GP;
		f->error = 0;
		return false;
	case BT_CALLOUT_UNDEFINED:
		return false;
	case BT_CALLOUT_INTERPRET:
		keep(v, f);
		vcpu_interpret_light(v);
		return true;
	case BT_CALLOUT_PENDING:
		keep(v, f);
		if (p->how & BT_SHADOW)
			blocked_by_sti(v);
		return true;
	case BT_CALLOUT_SIMULATE:
		keep(v, f);
		simulate(v, f->rip);
		return true;
	default:
		return false;
	}
	keep(v, f);
	return true;
}

/* -- time -- */

/* The user's RDTSC is the CPU's where that is the VM's counter and the guest's CR4.TSD allows it; else it traps. The kernel's is
 * translated and works in any case; but to let it run may take a change of CR4, with each change of privilege: so only after the first fault. */
static bool reads_time(const struct vcpu *v, bool user)
{
	if (bt_of(v->vm)->rdtsc != BT_RDTSC_INLINE)
		return false;
	return (!user && bt_state(v)->time_wanted) || (!ring_peek(v, VMCS_TSC_OFFSET) && !(v->s.cr4 & CR4_TSD));
}

/* Translated code's first RDTSC since the user, who may not, ran: it goes on there. (On a CPU that makes RDTSC trap in any case it is emulated.) */
static void let_read_time(struct vcpu *v, const struct ring_frame *f, uint64_t at)
{
	struct bt_state *s = bt_state(v);
	s->time_wanted = 1;
	v->s.real_changed |= RING_REAL_CONTROL;
	s->last_pc = f->rip;
	s->last_at = at;
	keep(v, f);
}

static bool came(struct vcpu *v, struct ring_frame *f)
{
	struct bt_state *s = bt_state(v);
	struct bt_point p;
	uint32_t block;
	bt_of(v->vm)->insn_known = false;
	bt_take_cr8(v);
	if (f->vector >= RING_STUB_SYSCALL || !bt_inside(v, f->rip) || ring_virtual_cpl(v))
		return false;
	const uint64_t at = f->rip;
	if (!bt_where(v, at, &p, &block)) {
		vcpu_refuse(v, "translated code came back from between its instructions");
		return true;
	}
	recovered(v, f, &p, block);
	s->last_at = 0;
	if (f->vector == VEC_UD && p.callout)
		return callout(v, f, &p, block);
	if (f->vector == VEC_GP && p.how & BT_TIME && v->cpu->s.cr4 & CR4_TSD) {
		let_read_time(v, f, at);
		return true;
	}
	if (f->vector == VEC_GP && !(p.how & BT_AFTER))
		fetch_insn(v, block, f->rip);
	if (bt_point_clean(&p) && !p.how) {
		s->last_pc = f->rip;
		s->last_at = at;
	}
	if (f->vector == VEC_PF) {
		s->fault_pc = f->rip;
		s->emulated = v->vm->stat[VMM_STAT_EMULATED];
	}
	if (f->vector >= 32 && p.how & BT_SHADOW)
		blocked_by_sti(v);
	else if (p.how & BT_SHADOW)     /* a fault that the guest need not know of: what comes meanwhile waits for the instruction */
		after_sti(v);
	return false;
}

/* ---- the way in ---- */

/* The page fault it came back for last ended in an emulation. */
static void adapt(struct vcpu *v)
{
	struct bt_state *s = bt_state(v);
	if (s->emulated != ~0ull && bt_of(v->vm)->adaptive && v->vm->stat[VMM_STAT_EMULATED] != s->emulated)
		bt_trapped(v, s->fault_pc);
	s->emulated = ~0ull;
}

/* Of the guest's state, what decides whether it goes on by the hardware. */
struct path {
	uint64_t flags, rip, cs_base, dr7;
	uint32_t cs, cs_limit, ss;
	bool user, wide;
};

/* User code reads the real IF and IOPL, which are 1 and 0, and with IOPL 3 it could change IF: with others in their place it is interpreted. Kernel
 * code is translated where it is flat, and while debug registers watch nothing: the hardware would watch the cache, and what its code does. */
static bool direct(const struct path *p)
{
	if (p->user)
		return (p->flags & (RFLAGS_IF | RFLAGS_IOPL)) == RFLAGS_IF;
	if (p->flags & (RFLAGS_TF | RFLAGS_VM) || p->dr7 & DR7_ENABLED)
		return false;
	if (p->wide)
		return p->cs & SEG_L;
	return p->cs & SEG_DB && !p->cs_base && p->cs_limit == 0xffffffff && p->ss & SEG_DB && p->rip < RING_CORNER_32;
}

static bool fits(const struct cpu_state *s)
{
	const struct seg *cs = &s->seg[SEG_CS];
	const struct path p = { s->flags, s->rip, cs->base, s->dr[7], cs->attr, cs->limit, s->seg[SEG_SS].attr, s->cpl == 3, s->efer & EFER_LMA };
	return direct(&p);
}

static bool goes_directly(struct vcpu *v, uint64_t rip, bool *wide)
{
	*wide = v->s.efer & EFER_LMA;
	const struct path p = { vcpu_get(v, VMCS_GUEST_RFLAGS), rip, vcpu_get(v, VMCS_GUEST_CS_BASE), vcpu_get(v, VMCS_GUEST_DR7),
	                        (uint32_t)vcpu_get(v, VMCS_GUEST_CS_ACCESS), (uint32_t)vcpu_get(v, VMCS_GUEST_CS_LIMIT),
	                        (uint32_t)vcpu_get(v, VMCS_GUEST_SS_ACCESS), ring_virtual_cpl(v) != 0, *wide };
	return direct(&p);
}

static void look_again(struct vcpu *v, struct guest_regs *r, bool *have)
{
	struct bt_state *s = bt_state(v);
	if (!s->verify && s->cr0 == v->s.cr0 && s->cr3 == v->s.cr3 && s->cr4 == v->s.cr4)
		return;
	guest_regs_get(v, r);
	*have = true;
	bt_verify(v, r);
	s->verify = 0;
	s->cr0 = v->s.cr0, s->cr3 = v->s.cr3, s->cr4 = v->s.cr4;
}

static bool going(struct vcpu *v, uint64_t *rip)
{
	struct bt_state *s = bt_state(v);
	struct guest_regs r;
	struct bt_fault fault;
	bool wide, have = false;
	uint32_t k;
	adapt(v);
	if (!s->hash || !goes_directly(v, *rip, &wide)) {
		vcpu_interpret_one(v);
		return false;
	}
	if (ring_virtual_cpl(v)) {
		s->time_wanted = 0;
		return true;
	}
	bt_mode(v, wide);
	look_again(v, &r, &have);
	if (s->last_at && s->last_pc == *rip) {
		*rip = s->last_at;
		bt_share(v);
		return true;
	}
	k = bt_find(v, *rip);
	if (!k) {
		if (!have)
			guest_regs_get(v, &r);
		k = bt_make(v, &r, *rip, &fault);
	}
	if (!k && fault.error == ~0u) {
		vcpu_interpret_one(v);
		return false;
	}
	if (!k) {
		v->cpu->s.cr2 = fault.lin;
		vcpu_inject(v, VEC_PF, true, fault.error);
		return false;
	}
	if (s->link && s->link_pc == *rip && bt_of(v->vm)->chain)
		bt_link(v, s->link, s->link_exit, k);
	if (s->want_table && s->table_pc == *rip)
		bt_table_put(v, *rip, k);
	s->link = s->want_table = 0;
	*rip = bt_code_lin(v, k);
	bt_share(v);
	return true;
}

static void written(struct vcpu *v, gpa_t gpa, unsigned n)
{
	for (unsigned i = 0; i < v->vm->config.vcpus; i++) {
		struct vcpu *k = v->vm->vcpu[i];
		if (!bt_state(k)->pages_n)
			continue;
		struct vcpu at = *k;            /* its cache, by this CPU */
		at.cpu = v->cpu;
		if (bt_written(&at, gpa.v, n) && k == v)
			vcpu_interpret_one(v);
	}
}

static uint64_t linear(const struct vcpu *v, uint64_t lin, bool *begins)
{
	*begins = true;
	return v->s.privilege == 2 && bt_inside(v, lin) ? bt_peek(v, lin, begins) : lin;
}

static const struct ring_hooks hooks = { .vm_init = vm_init, .vm_fini = vm_fini, .vcpu_init = vcpu_init, .came = came, .going = going, .fits = fits,
                                         .written = written, .reads_time = reads_time, .insn = insn, .linear = linear, .cr8 = bt_peek_cr8,
                                         .vif = bt_vif };
const struct virt virt_bt = RING_VIRT("bt", &hooks);
