/* The world switch: two virtual machines on one physical CPU, under every technique. Each switch that the timer brings about has its phases in order,
 * once each, at the prices of the table; what the guest that was interrupted had, it finds again. The test fills the floating-point and debug registers of
 * whoever is interrupted with values of its own, as a guest might. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "models/machine.h"
#include "models/vmm/exit.h"
#include "models/vmm/ring/ring.h"
#include "sim/rng.h"
#include "ui/lua/profile_file.h"

#define SLICE 200000
enum { VMS = 2, PHASES = 64 };

/* What a guest had when it was interrupted. */
struct had { struct cpu_state s; uint64_t rip, flags; bool valid, moved /* the VMM has given it an event since, or carried out an instruction */; };
struct seen {
	struct machine *m;
	struct had had[VMS];
	struct rng rng;
	bool ring, translates;
	unsigned switches, alike, whole;        /* by the timer; of them compared with all general registers */
	unsigned at;                            /* the last step; 0: none */
	unsigned from;                          /* whose state was saved: number of its VM */
	cycle_t step_at, entered;
	unsigned phase[PHASES], phases;         /* the VMM's, since the last step */
};

static struct vcpu *holder(const struct seen *q) { return vmm_holder(q->m->vmm, q->m->cpu[0]); }

/* ---- what the VMM does in a step ---- */

static unsigned times(const struct seen *q, enum vmm_cost what)
{
	unsigned n = 0;
	for (unsigned i = 0; i < q->phases; i++)
		n += q->phase[i] == what;
	return n;
}

static void once(const struct seen *q, enum vmm_cost what)
{
	cr_expect_eq(times(q, what), 1, "step %u: %u times %s", q->at + 1, times(q, what), vmm_cost_rows[what].name);
}

static void on_phase(void *who, const struct trace_record *r)
{
	struct seen *q = who;
	if (q->phases < PHASES)
		q->phase[q->phases++] = (unsigned)r->a[0];
	cr_expect_eq(r->a[1], q->m->vmm->cost[r->a[0]], "%s: not the table's price", vmm_cost_rows[r->a[0]].name);
}

/* ---- state ---- */

static void scramble(struct seen *q, struct cpu_state *s)
{
	uint8_t *xmm = (uint8_t *)s->xmm;
	for (unsigned i = 0; i < sizeof s->xmm; i++)
		xmm[i] = (uint8_t)rng_below(&q->rng, 256);
	for (unsigned i = 0; i < 8; i++)
		memcpy(&s->st[i], xmm + 16 * i, sizeof s->st[i]);
	s->fcw = (uint16_t)(0x37f ^ (rng_below(&q->rng, 16) << 8));
	s->fop = (uint16_t)rng_below(&q->rng, 0x800);
	s->fip = rng_below(&q->rng, 1u << 31);
	s->fdp = rng_below(&q->rng, 1u << 31);
	s->mxcsr = 0x1f80 ^ rng_below(&q->rng, 64);
	for (unsigned i = 0; i < 4; i++)
		s->dr[i] = rng_below(&q->rng, 1u << 31);
	s->dr[0] = 0xffc01000;          /* where a VMM in rings has its corner: nothing comes of it, DR7 is clear */
	s->dr[6] = 0xffff0ff0 | rng_below(&q->rng, 16);
}

static void leaves(struct seen *q)
{
	struct cpu *c = q->m->cpu[0];
	struct had *h = &q->had[holder(q)->vm->number - 1];
	scramble(q, &c->s);
	*h = (struct had){ .s = c->s, .rip = cpu_rip(c), .flags = cpu_rflags(c), .valid = true };
	q->from = holder(q)->vm->number;
}

#define SAME(field) cr_expect(memcmp(&h->s.field, &s->field, sizeof s->field) == 0, "VM %u: " #field, v->vm->number)
static void comes_back(struct seen *q)
{
	struct vcpu *v = holder(q);
	struct cpu *c = q->m->cpu[0];
	const struct cpu_state *s = &c->s;
	struct had *h = &q->had[v->vm->number - 1];
	const bool translated = q->translates && !(s->cpl == 3 && h->s.cpl == 3);
	if (!h->valid)
		return;
	h->valid = false;
	SAME(st); SAME(fcw); SAME(fsw); SAME(ftw); SAME(fop); SAME(fip); SAME(fdp); SAME(xmm); SAME(mxcsr); SAME(pkru); SAME(xcr0);
	for (unsigned i = 0; i < 7; i++)
		cr_expect(eq(u64, s->dr[i], h->s.dr[i]), "VM %u: DR%u", v->vm->number, i);
	cr_expect(eq(u64, s->tsc_aux, h->s.tsc_aux));
	if (!q->ring) {
		SAME(star); SAME(lstar); SAME(cstar); SAME(fmask); SAME(kernel_gs_base);
	}
	if (h->moved || translated)
		return;
	for (unsigned i = 0; i < 16; i++)
		if (i != R_RSP)
			cr_expect(eq(u64, s->r[i], h->s.r[i]), "VM %u: register %u", v->vm->number, i);
	cr_expect(eq(u64, s->cr2, h->s.cr2));
	const struct { const char *name; uint64_t now, then; enum vmcs_field vmcs; } field[] = {
		{ "RSP", s->r[R_RSP], h->s.r[R_RSP], VMCS_GUEST_RSP }, { "RIP", cpu_rip(c), h->rip, VMCS_GUEST_RIP },
		{ "RFLAGS", cpu_rflags(c), h->flags, VMCS_GUEST_RFLAGS }, { "CR3", s->cr3, h->s.cr3, VMCS_GUEST_CR3 },
		{ "DR7", s->dr[7], h->s.dr[7], VMCS_GUEST_DR7 }, { "SYSENTER_CS", s->sysenter_cs, h->s.sysenter_cs, VMCS_GUEST_SYSENTER_CS },
		{ "SYSENTER_ESP", s->sysenter_esp, h->s.sysenter_esp, VMCS_GUEST_SYSENTER_ESP },
		{ "GDTR", s->gdtr.base, h->s.gdtr.base, VMCS_GUEST_GDTR_BASE }, { "IDTR", s->idtr.base, h->s.idtr.base, VMCS_GUEST_IDTR_BASE },
	};
	for (size_t i = 0; i < ARRAY_LEN(field); i++) {
		const uint64_t now = q->ring ? field[i].now : vcpu_peek(v, field[i].vmcs);
		cr_expect(eq(u64, now, field[i].then), "VM %u: %s", v->vm->number, field[i].name);
	}
	for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
		const enum vmcs_field sel = (enum vmcs_field)(VMCS_GUEST_ES + i), base = (enum vmcs_field)(VMCS_GUEST_ES_BASE + i);
		/* CS and SS that no descriptor of the guest's stands for (any more) have one of the VMM's (ring/segment.c) */
		const uint64_t now = q->ring ? s->seg[i].sel : vcpu_peek(v, sel);
		const bool vmms = (now & ~3ull) == RING_SEL_OWN(i) || (h->s.seg[i].sel & ~3u) == RING_SEL_OWN(i);
		cr_expect(now == h->s.seg[i].sel || (q->ring && (i == SEG_CS || i == SEG_SS) && vmms),
		          "VM %u: selector of register %u: %#x", v->vm->number, i, (unsigned)now);
		if (s->mode != MODE_LONG64 || i >= SEG_FS)
			cr_expect(eq(u64, q->ring ? s->seg[i].base : vcpu_peek(v, base), h->s.seg[i].base), "VM %u: base of register %u", v->vm->number, i);
	}
	q->alike++;
}

/* An event for the guest, or an instruction of its carried out by the VMM. */
static void on_moved(void *who, const struct trace_record *r)
{
	struct seen *q = who;
	if (r->a[0] >= 1 && r->a[0] <= VMS)
		q->had[r->a[0] - 1].moved = true;
}

/* ---- in rings: eight steps ---- */

static void on_step(void *who, const struct trace_record *r)
{
	struct seen *q = who;
	const unsigned step = (unsigned)r->a[0];
	struct cpu *c = q->m->cpu[0];
	cr_expect(ledger_audit(&c->ledger), "before step %u", step);
	if (q->at == STEP_SAVE && step < STEP_SAVE) {   /* the turn was over, but nobody else could run: the same one went on */
		if (q->whole)
			q->had[q->from - 1].valid = false;
		q->at = q->whole = 0;
	}
	/* the VMM may be at work already, on something else, when a turn ends: then the switch has no interrupt, perhaps no way in of its own */
	const bool begins = step == STEP_INTERRUPT || step == STEP_VMM || step == STEP_DECIDE;
	cr_expect(step == q->at + 1 || (q->at == 0 && begins), "step %u behind %u", step, q->at);
	const cycle_t took = r->cycle - q->step_at, end = q->m->vmm->s.slice_end[0];
	switch (step) {
	case STEP_INTERRUPT:
		cr_expect(ge(u64, r->cycle, end), "before its turn is over");
		cr_expect(lt(u64, r->cycle, (end > q->entered ? end : q->entered) + 2000), "the guest goes on behind the end of its turn");
		q->whole = 1;
		leaves(q);
		break;
	case STEP_SAVE: {
		once(q, VMM_COST_SAVE_REGS);
		cr_expect(ge(u64, took, q->m->vmm->cost[VMM_COST_SAVE_REGS]));
		const struct vcpu *v = holder(q);
		if (q->whole && !v->s.translated)
			cr_expect(eq(u64, mem_read64(c->mmu.mem, ring_record_regs(v)), q->had[v->vm->number - 1].s.r[R_RAX]), "in the VMM's memory");
		break;
	}
	case STEP_DECIDE:
		if (q->at == STEP_SAVE) {
			once(q, VMM_COST_SCHEDULE);
			if (q->whole)
				once(q, VMM_COST_HOST_IRQ);
		}
		break;
	case STEP_TIMER:
		once(q, VMM_COST_TIMER);
		cr_expect(eq(u64, took, q->m->vmm->cost[VMM_COST_TIMER]));
		break;
	case STEP_RESTORE:
		once(q, VMM_COST_SWITCH);
		once(q, VMM_COST_FPU);
		cr_expect(ge(u64, took, q->m->vmm->cost[VMM_COST_SWITCH] + q->m->vmm->cost[VMM_COST_FPU]));
		break;
	case STEP_SPACE:
		cr_expect(lt(u64, 0, took));
		break;
	case STEP_JUMP:
		once(q, VMM_COST_RESTORE_REGS);
		cr_expect(ne(uint, (unsigned)r->a[1], q->whole ? q->from : 0), "to whom it came from");
		comes_back(q);
		q->switches += q->whole;
		q->whole = 0;
		break;
	}
	q->at = step % STEP_JUMP;
	q->step_at = r->cycle;
	q->phases = 0;
}

/* ---- under VMX: VM exit, the VMM's phases, VM entry ---- */

static void on_entry(void *who, const struct trace_record *r)
{
	((struct seen *)who)->entered = r->cycle;
}

static void on_exit_or_entry(void *who, const struct trace_record *r)
{
	struct seen *q = who;
	struct vmm *m = q->m->vmm;
	if (!m->s.started || !holder(q))
		return;
	cr_expect(ledger_audit(&q->m->cpu[0]->ledger));
	if (r->event == CPU_TRACE_VM_EXIT) {
		q->whole = (r->a[0] & 0xffff) == EXIT_PREEMPTION || (r->a[0] & 0xffff) == EXIT_EXTINT;
		q->phases = 0;
		if (q->whole)
			leaves(q);
		return;
	}
	if (q->whole && holder(q)->vm->number != q->from) {
		const enum vmm_cost order[] = { VMM_COST_SAVE_REGS, VMM_COST_DISPATCH, VMM_COST_SCHEDULE, VMM_COST_SWITCH, VMM_COST_FPU, VMM_COST_RESTORE_REGS };
		for (unsigned i = 0; i < ARRAY_LEN(order); i++)
			once(q, order[i]);
		unsigned k = 0;
		for (unsigned i = 0; i < q->phases && k < ARRAY_LEN(order); i++)
			k += q->phase[i] == order[k];
		cr_expect(eq(uint, k, ARRAY_LEN(order)), "phases in order");
		q->switches++;
	}
	comes_back(q);
	q->whole = 0;
}

/* ---- two of them ---- */

static struct machine *vm(struct machine *m, const char *cpu, const char *mmu, const char *kernel, const char *cmdline)
{
	struct vm_config v = { .cpu = cpu, .mmu = mmu, .vcpus = 1, .page_shift = 12, .tags = true, .shadow_limit = 8 << 20, .ram = 32 << 20, .slice = SLICE };
	struct machine_config k = m->config;
	struct err e = { "" };
	k.ram = 32 << 20;
	struct machine *g = machine_vm(m, &k, &v, &e);
	cr_assert(g != NULL, "%s", e.text);
	const struct boot_image image = { .kernel = kernel, .cmdline = cmdline };
	cr_assert(eq(int, machine_boot(g, &image, &e), 0), "%s", e.text);
	return g;
}

static void two(const char *profile, const char *cpu, const char *mmu, const char *first, const char *second)
{
	static struct seen q;
	struct machine_config k;
	struct err e = { "" };
	memset(&q, 0, sizeof q);
	machine_config_defaults(&k);
	cr_assert(eq(int, profile_load(profile, &k.profile, NULL, &e), 0), "%s", e.text);
	k.ram = 192 << 20;
	k.profile.trap_critical = !strcmp(cpu, "trap");
	q.m = machine_new(&k, &e);
	cr_assert(q.m != NULL, "%s", e.text);
	rng_init(&q.rng, 1, "sched");
	q.translates = !strcmp(cpu, "bt");
	q.ring = strcmp(cpu, "vmx") != 0;
	vm(q.m, cpu, mmu, first, "spin n=2;syscall n=2000;pgfault n=200;timer n=20 hz=1000;forkwait n=20;callret n=200000;cli n=2000");
	vm(q.m, cpu, mmu, second, "spin n=2;ctxsw n=300;callret n=100000;timer n=20 hz=1000;syscall n=3000;mmapchurn n=20;callret n=200000");
	cr_assert(eq(int, trace_listen(&q.m->trace, "vmm_phase", on_phase, &q, &e), 0), "%s", e.text);
	cr_assert(eq(int, trace_listen(&q.m->trace, "inject,interpret,emulate,pv_bounce", on_moved, &q, &e), 0), "%s", e.text);
	if (q.ring)
		cr_assert(trace_listen(&q.m->trace, "switch_step", on_step, &q, &e) == 0 && trace_listen(&q.m->trace, "vm_entry", on_entry, &q, &e) == 0);
	else
		cr_assert(eq(int, trace_listen(&q.m->trace, "vm_exit,vm_entry", on_exit_or_entry, &q, &e), 0), "%s", e.text);
	machine_run(q.m, 120 * SLICE, 0);
	cr_expect(lt(uint, 50, q.switches), "%s/%s: %u switches, %u alike", cpu, mmu, q.switches, q.alike);
	cr_expect(lt(uint, 25, q.alike), "%s/%s: %u switches, %u alike", cpu, mmu, q.switches, q.alike);
	machine_free(q.m);
}

#define IMAGE(bits, twin) "build/guests/kernel" #bits twin ".elf"
#define SWITCH(name, profile, cpu, mmu, first, second) Test(sched, name, .timeout = 60) { two(profile, cpu, mmu, first, second); }
SWITCH(trap_64_and_32, "skylake", "trap", "shadow.wp", IMAGE(64, ), IMAGE(32, ))
SWITCH(trap_32_and_32, "prescott", "trap", "shadow.vtlb", IMAGE(32, ), IMAGE(32, ))
SWITCH(translated_64_and_32, "prescott", "bt", "shadow.wp", IMAGE(64, ), IMAGE(32, ))
SWITCH(translated_32_and_32, "skylake", "bt", "shadow.wp", IMAGE(32, ), IMAGE(32, ))
SWITCH(paravirtual_64_and_32, "skylake", "pv", "direct", IMAGE(64, "-pv"), IMAGE(32, "-pv"))
SWITCH(paravirtual_32_and_64, "prescott", "pv", "shadow.wp", IMAGE(32, "-pv"), IMAGE(64, "-pv"))
SWITCH(vmx_by_the_preemption_timer, "skylake", "vmx", "ept", IMAGE(64, ), IMAGE(32, ))
SWITCH(vmx_by_the_hosts_timer, "prescott", "vmx", "shadow.wp", IMAGE(64, ), IMAGE(32, ))
