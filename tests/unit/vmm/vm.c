/* A guest in a VM: the same outcome as on the bare machine, the same run however it is cut up, several VMs and virtual CPUs on
 * one machine, and what the VMM's services are charged. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/machine.h"
#include "models/vmm/exit.h"
#include "tests/unit/vms_run.h"

static void host(struct run *r, unsigned cpus, const char *profile, bool fast)
{
	struct machine_config k;
	struct err e = { "" };
	memset(r, 0, sizeof *r);
	machine_config_defaults(&k);
	k.ram = 192 << 20;
	k.cpus = cpus;
	k.fast = fast;
	if (profile)
		snprintf(k.profile.name, sizeof k.profile.name, "%s", profile);
	r->m = machine_new(&k, &e);
	cr_assert(r->m != NULL, "%s", e.text);
}

static struct vm_config with(const char *mmu)
{
	return (struct vm_config){ .cpu = "vmx", .mmu = mmu, .vcpus = 1, .page_shift = 12, .tags = true, .shadow_limit = 8 << 20 };
}

static void boot(struct run *r, struct vm_config v, unsigned cpus, const char *kernel, const char *cmdline, bool fast)
{
	host(r, cpus, NULL, fast);
	add(r, v, kernel, cmdline);
}

#define QUIET "syscall n=20;pgfault n=20;divzero n=5;forkwait n=3;ctxsw n=20;mmapchurn n=5"

/* ---- the outcome ---- */
static void outcome(const char *kernel, const char *mmu, unsigned page_shift, bool eager, bool tags)
{
	static struct run a, b;
	struct vm_config v = with(mmu);
	v.page_shift = page_shift, v.eager = eager, v.tags = tags;
	native(&a, 1, kernel, QUIET);
	through(&a);
	boot(&b, v, 1, kernel, QUIET, false);
	through(&b);
	cr_expect(eq(str, b.console[0].s, a.console[0].s));
	same_memory(&a, &b);
	machine_free(a.m), machine_free(b.m);
}
#define OUTCOME(name, kernel, mmu, shift, eager, tags) \
Test(vm, name, .timeout = 120) { outcome(kernel, mmu, shift, eager, tags); }
OUTCOME(ept_4k_64_ends_as_on_the_bare_machine, KERNEL64, "ept", 12, false, true)
OUTCOME(ept_4k_32_ends_as_on_the_bare_machine, KERNEL32, "ept", 12, false, true)
OUTCOME(ept_2m_ends_as_on_the_bare_machine, KERNEL64, "ept", 21, false, true)
OUTCOME(ept_untagged_ends_as_on_the_bare_machine, KERNEL64, "ept", 12, false, false)
OUTCOME(ept_eager_ends_as_on_the_bare_machine, KERNEL64, "ept", 12, true, true)
OUTCOME(shadow_wp_ends_as_on_the_bare_machine, KERNEL64, "shadow.wp", 12, false, true)
OUTCOME(shadow_vtlb_ends_as_on_the_bare_machine, KERNEL32, "shadow.vtlb", 12, false, true)

/* Without unrestricted guest: unpaged code runs on an identity mapping. */
static void outcome_restricted(const char *kernel)
{
	static struct run a, b;
	native(&a, 1, kernel, QUIET);
	through(&a);
	host(&b, 1, "nehalem", false);
	add(&b, with("ept"), kernel, QUIET);
	through(&b);
	cr_expect(eq(str, b.console[0].s, a.console[0].s));
	same_memory(&a, &b);
	machine_free(a.m), machine_free(b.m);
}
Test(vm, ept_without_unrestricted_guest_ends_as_on_the_bare_machine_32, .timeout = 120) { outcome_restricted(KERNEL32); }
Test(vm, ept_without_unrestricted_guest_ends_as_on_the_bare_machine_64, .timeout = 120) { outcome_restricted(KERNEL64); }

/* ---- one run, however it is cut ---- */
static void pieces(struct vm_config v, unsigned cpus, const char *cmdline)
{
	static struct run a, b;
	boot(&a, v, cpus, KERNEL64, cmdline, false);
	through(&a);
	boot(&b, v, cpus, KERNEL64, cmdline, false);
	cut(&b, 1, false);
	same(&a, &b);
	boot(&b, v, cpus, KERNEL64, cmdline, false);
	cut(&b, 2, true);
	same(&a, &b);
	machine_free(a.m);
}
Test(vm, a_run_in_pieces_is_the_same_run, .timeout = 200) { pieces(with("ept"), 1, "syscall n=5;pgfault n=5;forkwait n=2;timer n=3;uart n=50"); }
Test(vm, a_run_in_pieces_is_the_same_run_under_shadow_paging, .timeout = 200) { pieces(with("shadow.wp"), 1, "pgfault n=5;forkwait n=2"); }
Test(vm, two_virtual_cpus_on_two, .timeout = 200)
{
	struct vm_config v = with("ept");
	v.vcpus = 2;
	pieces(v, 2, "smp n=1;forkwait n=2");
}
Test(vm, two_virtual_cpus_under_agile_paging, .timeout = 200)
{
	struct vm_config v = with("agile");
	v.vcpus = 2;
	pieces(v, 2, "smp n=1;forkwait n=2;mmapchurn n=2");
}
/* The second one starts in real mode, which VMX cannot enter without unrestricted guest: it is interpreted. */
Test(vm, two_virtual_cpus_under_shadow_paging, .timeout = 200)
{
	struct vm_config v = with("shadow.wp");
	v.vcpus = 2;
	pieces(v, 2, "smp n=1;pgfault n=2");
}
Test(vm, two_virtual_cpus_share_one, .timeout = 200)
{
	struct vm_config v = with("ept");
	v.vcpus = 2;
	pieces(v, 1, "smp n=1;forkwait n=2");
}

Test(vm, fast_has_the_same_outcome, .timeout = 120)
{
	static struct run a, b;
	boot(&a, with("ept"), 1, KERNEL64, QUIET, false);
	through(&a);
	boot(&b, with("ept"), 1, KERNEL64, QUIET, true);
	through(&b);
	cr_expect(eq(str, a.console[0].s, b.console[0].s));
	same_memory(&a, &b);
	machine_free(a.m), machine_free(b.m);
}

/* ---- interpreted ---- */
static void real_mode(struct run *r, const char *mmu, const char *profile)
{
	struct vm_config v = with(mmu);
	struct err e = { "" };
	host(r, 1, profile, false);
	struct machine_config k = r->m->config;
	k.ram = v.ram = 32 << 20;
	r->vm[0] = machine_vm(r->m, &k, &v, &e);
	cr_assert(r->vm[0] != NULL, "%s", e.text);
	struct boot_image image = { .kernel = "build/guests/realmode.bin" };
	cr_assert(eq(int, machine_boot(r->vm[0], &image, &e), 0), "%s", e.text);
	machine_on_console(r->vm[0], console, &r->console[0]);
	r->vms = 1;
}
static void interpreted(const char *mmu, const char *profile)
{
	static struct run a, b;
	real_mode(&a, mmu, profile);
	enum machine_stop why = machine_run(a.m, LIMIT, 0);
	cr_assert(eq(int, why, MACHINE_STOP_GUEST_EXIT), "%s", a.console[0].s);
	cr_expect(eq(str, a.console[0].s, "hello from 16-bit real mode\n"));
	audit(&a);
	const struct vm *vm = a.m->vmm->vm[0];
	cr_expect(eq(u64, vm->stat[VMM_STAT_EXITS], 0), "VMX never ran it");
	cr_expect(lt(u64, 100, vm->stat[VMM_STAT_INTERPRETED]));
	cr_expect(eq(u64, machine_icount(a.m), vm->stat[VMM_STAT_INTERPRETED]), "each counts as an instruction");
	cr_expect(ge(u64, ledger_by_acct(&a.m->cpu[0]->ledger, ACCT_VMM),
	             vm->stat[VMM_STAT_INTERPRETED] * vmm_cost_rows[VMM_COST_INTERPRET].cycles));
	real_mode(&b, mmu, profile);
	cut(&b, 3, true);
	same(&a, &b);
	machine_free(a.m);
}
Test(vm, real_mode_is_interpreted_under_shadow_paging, .timeout = 60) { interpreted("shadow.wp", NULL); }
Test(vm, real_mode_is_interpreted_under_a_virtual_tlb, .timeout = 60) { interpreted("shadow.flush", NULL); }
Test(vm, real_mode_is_interpreted_without_unrestricted_guest, .timeout = 60) { interpreted("ept", "nehalem"); }

/* A guest that halts in real mode, and a VMM that costs nothing: the physical CPU idles. */
Test(vm, a_halt_in_real_mode_idles, .timeout = 60)
{
	static struct run r;
	real_mode(&r, "shadow.wp", NULL);
	static const uint8_t code[] = { 0xfa, 0xf4 };   /* cli; hlt */
	for (unsigned i = 0; i < VMM_COSTS; i++)
		r.m->vmm->cost[i] = 0;
	mem_write(&r.vm[0]->mem, HPA(0x7c00), code, sizeof code);
	machine_run(r.m, 1000000, 0);
	machine_run(r.m, 2000000, 0);
	cr_expect(eq(u64, r.m->vmm->vm[0]->stat[VMM_STAT_INTERPRETED], 2));
	cr_expect(eq(u32, r.m->cpu[0]->s.activity, ACTIVITY_HLT), "its clock stands still");
	cr_expect(lt(u64, r.m->cpu[0]->ledger.now, 100000));
	audit(&r);
	machine_free(r.m);
}

/* A triple fault there shuts the VM down. */
Test(vm, a_triple_fault_in_real_mode_shuts_down, .timeout = 60)
{
	static struct run r;
	real_mode(&r, "shadow.wp", NULL);
	static const uint8_t code[] = { 0x0f, 0x01, 0x1e, 0x10, 0x7c, 0xcc };   /* lidt [7c10]: limit 0; int3 */
	static const uint8_t zero[16] = { 0 };
	mem_write(&r.vm[0]->mem, HPA(0x7c00), code, sizeof code);
	mem_write(&r.vm[0]->mem, HPA(0x7c10), zero, sizeof zero);
	cr_expect(eq(int, machine_run(r.m, LIMIT, 0), MACHINE_STOP_SHUTDOWN));
	machine_free(r.m);
}

/* ---- several ---- */
Test(vm, two_vms_share_one_cpu_and_neither_notices, .timeout = 120)
{
	static struct run one, two;
	native(&one, 1, KERNEL64, QUIET);
	through(&one);
	host(&two, 1, NULL, false);
	add(&two, with("ept"), KERNEL64, QUIET);
	add(&two, with("ept"), KERNEL64, QUIET);
	through(&two);
	for (unsigned i = 0; i < 2; i++) {
		cr_expect(eq(str, two.console[i].s, one.console[0].s));
		cr_expect(lt(u64, 100000, ledger_by_acct(&two.m->cpu[0]->ledger, ACCT_GUEST + 2 * (i + 1))));
	}
	cr_expect(lt(u64, 1, two.m->vmm->vm[1]->stat[VMM_STAT_SWITCHES]), "they took turns");
	machine_free(one.m), machine_free(two.m);
}

Test(vm, four_vms_under_different_techniques, .timeout = 120)
{
	static struct run r;
	static const char *const mmu[] = { "ept", "shadow.wp", "ept", "shadow.flush" };
	host(&r, 2, NULL, false);
	for (unsigned i = 0; i < 4; i++)
		add(&r, with(mmu[i]), i & 1 ? KERNEL32 : KERNEL64, "forkwait n=3");
	through(&r);
	for (unsigned i = 0; i < 4; i++)
		cr_expect(strstr(r.console[i].s, ": ok") != NULL, "VM %u: %s", i + 1, r.console[i].s);
	machine_free(r.m);
}

/* A guest's triple fault ends its VM; the other one goes on, and the run ends when both have. */
Test(vm, one_guest_shuts_down_and_the_other_goes_on, .timeout = 120)
{
	static struct run r;
	host(&r, 1, NULL, false);
	struct machine *lost = add(&r, with("ept"), KERNEL64, QUIET);
	add(&r, with("ept"), KERNEL64, "forkwait n=3");
	lost->cpu[0]->s.rip = 0xa0000000;       /* nothing is there: no instruction, no IDT */
	machine_run(r.m, LIMIT, 0);
	cr_expect(eq(u32, lost->s.stop, MACHINE_STOP_SHUTDOWN + 1));
	cr_expect(eq(u32, r.vm[1]->s.stop, MACHINE_STOP_GUEST_EXIT + 1));
	cr_expect(strstr(r.console[1].s, ": ok") != NULL, "%s", r.console[1].s);
	audit(&r);
	machine_free(r.m);
}

/* "vmm.NAME" of a VM's configuration: what a phase costs is what is charged. (How often the guest polls depends on time.) */
Test(vm, the_costs_of_the_vmm_can_be_changed, .timeout = 60)
{
	static struct run r;
	struct vm_config v = with("ept");
	v.cost[VMM_COST_DEVICE].set = true;
	v.cost[VMM_COST_DEVICE].cycles = 1009;
	boot(&r, v, 1, KERNEL64, "syscall n=5", true);
	through(&r);
	uint64_t charged = ledger_by_why(&r.m->cpu[0]->ledger, WHY_DEVICE_MODEL);
	cr_expect(lt(u64, 0, charged));
	cr_expect(eq(u64, charged % 1009, 0));
	machine_free(r.m);
}

/* ---- what cannot be ---- */
static void refused(const char *profile, const char *mmu, const char *message)
{
	static struct run r;
	struct err e = { "" };
	struct vm_config v = with(mmu);
	host(&r, 1, profile, false);
	struct machine_config k = r.m->config;
	k.ram = v.ram = 32 << 20;
	cr_expect(machine_vm(r.m, &k, &v, &e) == NULL);
	cr_expect(strstr(e.text, message) != NULL, "%s", e.text);
	machine_free(r.m);
}
Test(vm, an_old_cpu_has_no_ept) { refused("core2", "ept", "profile core2 has no EPT"); }
Test(vm, nehalem_has_no_unrestricted_guest) { refused("nehalem", "agile", "\"unrestricted guest\""); }
Test(vm, an_unknown_pager) { refused(NULL, "shadow.none", "memory virtualization 'shadow.none' is not modelled"); }
Test(vm, memory_is_finite)
{
	static struct run r;
	struct err e = { "" };
	struct vm_config v = with("ept");
	host(&r, 1, NULL, false);
	struct machine_config k = r.m->config;
	k.ram = v.ram = 512 << 20;
	cr_expect(machine_vm(r.m, &k, &v, &e) == NULL);
	cr_expect(strstr(e.text, "have no room for 512 MB more") != NULL, "%s", e.text);
	machine_free(r.m);
}

/* Whoever looks at exits may do what there is to do. */
static bool seen(void *who, struct vcpu *v, const struct exit_seen *x)
{
	unsigned *n = who;
	if (x->reason != EXIT_CPUID)
		return false;
	n[0]++;
	if ((uint32_t)v->cpu->s.r[R_RAX] != 0x40000000)
		return false;
	return true;
}
Test(vm, exits_can_be_looked_at, .timeout = 60)
{
	static struct run r;
	unsigned n = 0;
	boot(&r, with("ept"), 1, KERNEL64, "cpuid n=7", false);
	r.m->vmm->exit_seen = seen;
	r.m->vmm->exit_who = &n;
	machine_run(r.m, LIMIT, 0);
	uint64_t exits = 0;
	cr_assert(stats_get(&r.m->stats, "cpu0.exit.cpuid", &exits));
	cr_expect(eq(u64, n, exits));
	cr_expect(lt(u32, 0, n));
	machine_free(r.m);
}
