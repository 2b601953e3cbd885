/* Trap-and-emulate: on the what-if machine a guest ends as on the bare machine, however its run is cut up, alone and beside others;
 * on plain x86, and with garbage for code, it ends somehow and the VMM goes on. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/machine.h"
#include "models/vmm/exit.h"
#include "models/vmm/ring/ring.h"
#include "tests/unit/vms_run.h"

static void host(struct run *r, unsigned cpus, bool whatif)
{
	struct machine_config k;
	struct err e = { "" };
	memset(r, 0, sizeof *r);
	machine_config_defaults(&k);
	k.ram = 320 << 20;
	k.cpus = cpus;
	k.profile.trap_critical = whatif;
	r->m = machine_new(&k, &e);
	cr_assert(r->m != NULL, "%s", e.text);
}

static struct vm_config with(const char *mmu)
{
	return (struct vm_config){ .cpu = "trap", .mmu = mmu, .vcpus = 1, .page_shift = 12, .tags = true, .shadow_limit = 8 << 20 };
}

static void boot(struct run *r, struct vm_config v, unsigned cpus, const char *kernel, const char *cmdline)
{
	host(r, cpus, true);
	add(r, v, kernel, cmdline);
}

#define QUIET "syscall n=20;int80 n=3;pgfault n=20;divzero n=5;cli n=5;forkwait n=3;ctxsw n=20;mmapchurn n=5;faults"

/* ---- the outcome: Popek and Goldberg's theorem 1 ---- */
static void outcome(const char *kernel, const char *mmu)
{
	static struct run a, b;
	native(&a, 1, kernel, QUIET);
	through(&a);
	boot(&b, with(mmu), 1, kernel, QUIET);
	through(&b);
	cr_expect(eq(str, b.console[0].s, a.console[0].s));
	same_memory(&a, &b);
	machine_free(a.m), machine_free(b.m);
}
#define OUTCOME(name, kernel, mmu) Test(ring, name, .timeout = 120) { outcome(kernel, mmu); }
OUTCOME(a_64_bit_guest_ends_as_on_the_bare_machine, KERNEL64, "shadow.wp")
OUTCOME(a_32_bit_guest_ends_as_on_the_bare_machine, KERNEL32, "shadow.wp")
OUTCOME(likewise_under_flush_64, KERNEL64, "shadow.flush")
OUTCOME(likewise_under_flush_32, KERNEL32, "shadow.flush")
OUTCOME(likewise_under_a_virtual_tlb, KERNEL64, "shadow.vtlb")
OUTCOME(likewise_under_unsync_64, KERNEL64, "shadow.unsync")
OUTCOME(likewise_under_unsync_32, KERNEL32, "shadow.unsync")

/* ---- one run, however it is cut ---- */
static void pieces(struct vm_config v, unsigned cpus, const char *kernel, const char *cmdline)
{
	static struct run a, b;
	boot(&a, v, cpus, kernel, cmdline);
	through(&a);
	boot(&b, v, cpus, kernel, cmdline);
	cut(&b, 1, false);
	same(&a, &b);
	boot(&b, v, cpus, kernel, cmdline);
	cut(&b, 2, true);
	same(&a, &b);
	machine_free(a.m);
}
Test(ring, a_run_in_pieces_is_the_same_run_64, .timeout = 200) { pieces(with("shadow.wp"), 1, KERNEL64, "syscall n=5;pgfault n=5;forkwait n=2;timer n=1"); }
Test(ring, a_run_in_pieces_is_the_same_run_32, .timeout = 200) { pieces(with("shadow.wp"), 1, KERNEL32, "syscall n=5;pgfault n=5;forkwait n=2;timer n=1"); }
Test(ring, two_virtual_cpus_on_two, .timeout = 200)
{
	struct vm_config v = with("shadow.wp");
	v.vcpus = 2;
	pieces(v, 2, KERNEL64, "smp n=1;forkwait n=2");
}
Test(ring, two_virtual_cpus_share_one, .timeout = 200)
{
	struct vm_config v = with("shadow.wp");
	v.vcpus = 2;
	pieces(v, 1, KERNEL32, "smp n=1;forkwait n=2");
}

/* ---- several ---- */
Test(ring, two_vms_share_one_cpu_and_neither_notices, .timeout = 120)
{
	static struct run one, two;
	native(&one, 1, KERNEL64, QUIET);
	through(&one);
	host(&two, 1, true);
	add(&two, with("shadow.wp"), KERNEL64, QUIET);
	add(&two, with("shadow.wp"), KERNEL64, QUIET);
	through(&two);
	for (unsigned i = 0; i < 2; i++) {
		cr_expect(eq(str, two.console[i].s, one.console[0].s));
		cr_expect(lt(u64, 100000, ledger_by_acct(&two.m->cpu[0]->ledger, ACCT_GUEST + 2 * (i + 1))));
		cr_expect(lt(u64, 10000, ledger_by_acct(&two.m->cpu[0]->ledger, ACCT_GUEST + 2 * (i + 1) + 1)), "user");
	}
	cr_expect(lt(u64, 1, two.m->vmm->vm[1]->stat[VMM_STAT_SWITCHES]), "they took turns");
	machine_free(one.m), machine_free(two.m);
}

Test(ring, four_vms_of_both_widths_on_two_cpus, .timeout = 120)
{
	static struct run r, one[2];
	for (unsigned i = 0; i < 2; i++) {
		native(&one[i], 1, i ? KERNEL32 : KERNEL64, "forkwait n=3;ctxsw n=10");
		through(&one[i]);
	}
	host(&r, 2, true);
	for (unsigned i = 0; i < 4; i++)
		add(&r, with(i < 2 ? "shadow.wp" : "shadow.vtlb"), i == 1 || i == 2 ? KERNEL32 : KERNEL64, "forkwait n=3;ctxsw n=10");
	through(&r);
	for (unsigned i = 0; i < 4; i++)
		cr_expect(eq(str, r.console[i].s, one[i == 1 || i == 2].console[0].s), "VM %u", i + 1);
	for (unsigned i = 0; i < 2; i++)
		machine_free(one[i].m);
	machine_free(r.m);
}

/* "timer interrupt, enter the VMM, save state, decide the next, arm the timer, restore state, switch address space, jump" */
static struct { unsigned step[64], n; } steps;
static void on_step(void *who, const struct trace_record *r)
{
	(void)who;
	if (steps.n < ARRAY_LEN(steps.step))
		steps.step[steps.n++] = (unsigned)r->a[0];
}
Test(ring, a_context_switch_has_eight_steps, .timeout = 60)
{
	static struct run r;
	struct err e = { "" };
	host(&r, 1, true);
	add(&r, with("shadow.wp"), KERNEL64, "empty n=2000000");
	add(&r, with("shadow.wp"), KERNEL32, "empty n=2000000");
	cr_assert(eq(int, trace_listen(&r.m->trace, "switch_step", on_step, NULL, &e), 0), "%s", e.text);
	machine_run(r.m, 20000000, 0);
	unsigned whole = 0;
	for (unsigned i = 0; i + 8 <= steps.n; i++)
		if (steps.step[i] == STEP_INTERRUPT) {
			for (unsigned k = 0; k < 8; k++)
				cr_expect(eq(uint, steps.step[i + k], STEP_INTERRUPT + k), "step %u of the switch at %u", k + 1, i);
			whole++;
		}
	cr_expect(lt(uint, 3, whole), "%u", steps.n);
	machine_free(r.m);
}

Test(ring, vmx_and_rings_on_one_machine_are_refused)
{
	static struct run r;
	struct vm_config v = with("ept");
	struct err e = { "" };
	host(&r, 1, false);
	add(&r, with("shadow.wp"), KERNEL64, "nop");
	struct machine_config k = r.m->config;
	v.cpu = "vmx", v.ram = k.ram = 32 << 20;
	cr_expect_null(machine_vm(r.m, &k, &v, &e));
	cr_expect_not_null(strstr(e.text, "'vmx' beside 'trap' on one machine is not modelled"), "%s", e.text);
	machine_free(r.m);
}

/* ---- whatever a guest executes ---- */
static void garbage(uint64_t seed, const char *kernel)
{
	static struct run r;
	struct rng g;
	rng_init(&g, seed, "garbage");
	host(&r, 1, seed & 1);
	struct machine *m = add(&r, with(seed & 2 ? "shadow.wp" : "shadow.flush"), kernel, "forkwait n=5;syscall n=20;ctxsw n=30");
	machine_run(r.m, NEVER, 4000000 + rng_below(&g, 1400000));
	for (unsigned round = 0; round < 12; round++) {
		/* a piece of noise into what it executes next, or anywhere in its first megabytes */
		uint8_t noise[64];
		for (unsigned i = 0; i < sizeof noise; i++)
			noise[i] = (uint8_t)rng_below(&g, 256);
		if (rng_below(&g, 2))
			noise[0] = 0x0f;
		struct walk_record rec;
		uint64_t at = 0x100000 + rng_below(&g, 0x20000);
		struct cpu *c = r.m->cpu[0];
		if (rng_below(&g, 3) && mmu_peek(&c->mmu, cpu_rip(c), &rec) && rec.hpa.v >= r.m->vmm->vm[0]->base.v &&
		    rec.hpa.v - r.m->vmm->vm[0]->base.v + sizeof noise < m->mem.ram_size)
			at = rec.hpa.v - r.m->vmm->vm[0]->base.v;
		mem_write(&m->mem, HPA(at), noise, sizeof noise / (1 + rng_below(&g, 8)));
		machine_run(r.m, machine_now(r.m) + 300000, 0);
		audit(&r);
		if (r.m->s.stop)
			break;
	}
	machine_free(r.m);
}
Test(ring, noise_for_code_stops_a_guest_and_never_the_vmm_64, .timeout = 200)
{
	for (uint64_t i = 0; i < 40; i++)
		garbage(i, KERNEL64);
}
Test(ring, noise_for_code_stops_a_guest_and_never_the_vmm_32, .timeout = 200)
{
	for (uint64_t i = 0; i < 40; i++)
		garbage(i + 1000, KERNEL32);
}
