/* However a run is cut up, it is the same run: stepped one by one, run through, with snapshots and restores in the
 * middle, traced or not. And `fast` gives the same architectural outcome as `detailed`. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/machine.h"
#include "models/vmm/vmm.h"
#include "sim/rng.h"

#define CONSOLE_MAX 65536

struct run {
	struct machine *m;
	struct machine *guest;          /* what the kernel believes it runs on: m, or a virtual machine on it */
	char console[CONSOLE_MAX];
	size_t n;
};

static void console(void *who, const uint8_t *bytes, size_t n)
{
	struct run *r = who;
	for (size_t i = 0; i < n && r->n < CONSOLE_MAX - 1; i++)
		r->console[r->n++] = (char)bytes[i];
}

#define MINIVISOR "build/guests/minivisor64.elf"
/* Under what the kernel runs: NULL, nothing; MINIVISOR; or the paging of the modelled VMM. */
static const char *under;

/* A virtual machine of 32 MB on a machine of 128. */
static void virtual(struct run *r, const struct machine_config *host, unsigned cpus, const char *mmu)
{
	struct machine_config k = *host;
	struct vm_config vm = { .cpu = "vmx", .mmu = mmu, .ram = 32 << 20, .vcpus = cpus, .page_shift = 12, .tags = true };
	struct err e = { "" };
	k.ram = 32 << 20;
	r->guest = machine_vm(r->m, &k, &vm, &e);
	cr_assert(r->guest != NULL, "%s", e.text);
}

static void boot(struct run *r, const char *kernel, const char *cmdline, unsigned cpus, bool fast)
{
	char module[256];
	struct machine_config k;
	struct err e = { "" };
	memset(r, 0, sizeof *r);
	machine_config_defaults(&k);
	k.ram = under ? 128 << 20 : 32 << 20;
	k.cpus = cpus;
	k.fast = fast;
	r->m = machine_new(&k, &e);
	cr_assert(r->m != NULL, "%s", e.text);
	r->guest = r->m;
	struct boot_image image = { .kernel = kernel, .cmdline = cmdline };
	if (under && !strcmp(under, MINIVISOR)) {
		snprintf(module, sizeof module, "%s %s", kernel, cmdline);
		image = (struct boot_image){ .kernel = MINIVISOR, .cmdline = "pages=4k ram=32m", .modules = { module },
		                              .n_modules = 1 };
	} else if (under) {
		virtual(r, &k, cpus, under);
	}
	machine_on_console(r->guest, console, r);
	cr_assert(eq(int, machine_boot(r->guest, &image, &e), 0), "%s", e.text);
}

static void audit(const struct run *r)
{
	for (unsigned i = 0; i < r->m->config.cpus; i++)
		cr_expect(ledger_audit(&r->m->cpu[i]->ledger), "cpu%u: sum %llu, clock %llu", i,
		          (unsigned long long)ledger_sum(&r->m->cpu[i]->ledger), (unsigned long long)r->m->cpu[i]->ledger.now);
}

static uint64_t ram_hash(const struct machine *m)
{
	uint64_t h = 0xcbf29ce484222325;
	for (uint64_t i = 0; i < m->mem.ram_size; i += 8) {
		uint64_t v;
		memcpy(&v, m->mem.ram + i, 8);
		h = (h ^ v) * 0x100000001b3;
	}
	return h;
}

#define KERNEL32 "build/guests/kernel32.elf"
#define KERNEL64 "build/guests/kernel64.elf"
#define LIMIT 2000000000

static void same(const struct run *a, const struct run *b)
{
	cr_expect(eq(str, (char *)a->console, (char *)b->console));
	cr_expect(eq(u64, machine_now(a->m), machine_now(b->m)));
	cr_expect(eq(u64, machine_icount(a->m), machine_icount(b->m)));
	cr_expect(eq(u64, machine_hash(a->m), machine_hash(b->m)));
	audit(a);
	audit(b);
}

/* A run cut into random pieces of instructions and cycles, with snapshots taken and older ones restored on the way. */
static void cut(struct run *r, uint64_t seed, bool snapshots)
{
	struct rng g;
	enum machine_stop why;
	rng_init(&g, seed, "cut");
	do {
		uint64_t n = 1 + rng_below(&g, rng_below(&g, 4) ? 2000 : 3);
		why = rng_below(&g, 2) ? machine_run(r->m, NEVER, n) : machine_run(r->m, machine_now(r->m) + n, 0);
		audit(r);
		if (snapshots && !rng_below(&g, 50)) {
			size_t text = r->n;
			struct snap *s = snap_take(r->m->snaps, "test");
			machine_run(r->m, NEVER, 1 + rng_below(&g, 5000));
			snap_restore(r->m->snaps, s);
			snap_drop(r->m->snaps, s);
			r->n = text;
			r->console[text] = 0;
		}
	} while (why == MACHINE_STOP_CYCLES || why == MACHINE_STOP_ICOUNT);
	cr_expect(eq(int, why, MACHINE_STOP_GUEST_EXIT), "%s", r->console);
}

static void through(struct run *r)
{
	enum machine_stop why = machine_run(r->m, LIMIT, 0);
	cr_expect(eq(int, why, MACHINE_STOP_GUEST_EXIT), "%s", r->console);
	cr_expect(eq(u32, r->m->s.exit_status & 0xff, 1), "%s", r->console);
}

static void check(const char *kernel, const char *cmdline, unsigned cpus)
{
	static struct run a, b, c, d, f;
	boot(&a, kernel, cmdline, cpus, false);
	through(&a);
	boot(&b, kernel, cmdline, cpus, false);
	cut(&b, 1, false);
	same(&a, &b);
	boot(&c, kernel, cmdline, cpus, false);
	cut(&c, 2, true);
	same(&a, &c);
	boot(&f, kernel, cmdline, cpus, true);
	through(&f);
	cr_expect(eq(str, a.console, f.console));
	if (a.guest != a.m || !under)   /* minivisor's memory is in it, with what it measured */
		cr_expect(eq(u64, ram_hash(a.guest), ram_hash(f.guest)));
	boot(&d, kernel, cmdline, cpus, true);
	cut(&d, 3, true);
	same(&f, &d);
	machine_free(a.m);
	machine_free(b.m);
	machine_free(c.m);
	machine_free(d.m);
	machine_free(f.m);
}

Test(equivalence, system_calls_and_faults_32, .timeout = 120) { check(KERNEL32, "syscall n=20;pgfault n=20;divzero n=5", 1); }
Test(equivalence, system_calls_and_faults_64, .timeout = 120) { check(KERNEL64, "syscall n=20;pgfault n=20;divzero n=5", 1); }
Test(equivalence, processes_32, .timeout = 120) { check(KERNEL32, "forkwait n=3;ctxsw n=20;mmapchurn n=5", 1); }
Test(equivalence, processes_64, .timeout = 120) { check(KERNEL64, "forkwait n=3;ctxsw n=20;mmapchurn n=5", 1); }

Test(equivalence, timer_and_serial_64, .timeout = 120) { check(KERNEL64, "timer n=5;spin n=3;uart n=100", 1); }
Test(equivalence, two_cpus, .timeout = 120) { check(KERNEL64, "smp n=1;forkwait n=2", 2); }

/* The same inside virtual machines: cut up in guests, in VM exits, in root operation. */
static void check_under(const char *what, const char *kernel, const char *cmdline)
{
	under = what;
	check(kernel, cmdline, 1);
}
Test(equivalence, under_minivisor, .timeout = 120) { check_under(MINIVISOR, KERNEL64, "syscall n=20;pgfault n=20;forkwait n=2"); }
Test(equivalence, under_ept, .timeout = 120) { check_under("ept", KERNEL64, "syscall n=20;pgfault n=20;forkwait n=2;timer n=3"); }
Test(equivalence, under_shadow_wp_32, .timeout = 120) { check_under("shadow.wp", KERNEL32, "syscall n=20;pgfault n=20;forkwait n=2"); }

/* Every single instruction: step by step against run through. */
Test(equivalence, stepped_one_by_one, .timeout = 120)
{
	static struct run a, b;
	boot(&a, KERNEL64, "syscall n=3;pgfault n=3", 1, false);
	through(&a);
	boot(&b, KERNEL64, "syscall n=3;pgfault n=3", 1, false);
	enum machine_stop why;
	while ((why = machine_step(b.m)) == MACHINE_STOP_ICOUNT)
		if (!ledger_audit(&b.m->cpu[0]->ledger))
			cr_fatal("the ledger does not balance at instruction %llu", (unsigned long long)machine_icount(b.m));
	cr_expect(eq(int, why, MACHINE_STOP_GUEST_EXIT));
	same(&a, &b);
}

/* Same inputs, same bytes: the trace of everything, and two machines alive at once in one process. */
Test(equivalence, two_runs_give_the_same_trace, .timeout = 120)
{
	static struct run a, b, quiet;
	struct err e = { "" };
	boot(&a, KERNEL32, "syscall n=10;forkwait n=2", 1, false);
	boot(&b, KERNEL32, "syscall n=10;forkwait n=2", 1, false);
	boot(&quiet, KERNEL32, "syscall n=10;forkwait n=2", 1, false);
	cr_assert(eq(int, trace_listen(&a.m->trace, "all", NULL, NULL, &e), 0), "%s", e.text);
	cr_assert(eq(int, trace_listen(&b.m->trace, "all", NULL, NULL, &e), 0), "%s", e.text);
	while (machine_run(a.m, machine_now(a.m) + 50000, 0) == MACHINE_STOP_CYCLES)
		machine_run(b.m, machine_now(b.m) + 50000, 0);
	while (machine_run(b.m, LIMIT, 0) == MACHINE_STOP_CYCLES)
		;
	cr_expect(lt(u64, 1000, a.m->trace.count));
	cr_expect(eq(u64, a.m->trace.count, b.m->trace.count));
	cr_expect(eq(u64, a.m->trace.hash, b.m->trace.hash));
	through(&quiet);
	same(&a, &b);
	same(&a, &quiet);       /* and looking changed nothing */
}

/* Listening to everything, every access and every reference of every walk included, changes no cycle, statistic or bit of state. */
static void stat_sum(void *arg, const char *name, const struct stat_row *row, uint64_t v)
{
	uint64_t *h = arg;
	(void)row;
	for (; *name; name++)
		*h = (*h ^ (uint8_t)*name) * 0x100000001b3;
	*h = (*h ^ v) * 0x100000001b3;
}

static void check_told(const char *what, const char *kernel, const char *cmdline)
{
	static struct run told, quiet;
	struct err e = { "" };
	uint64_t a = 0, b = 0;
	under = what;
	boot(&told, kernel, cmdline, 1, false);
	boot(&quiet, kernel, cmdline, 1, false);
	cr_assert(eq(int, trace_listen(&told.m->trace, "all", NULL, NULL, &e), 0), "%s", e.text);
	through(&told);
	through(&quiet);
	same(&told, &quiet);
	stats_each(&told.m->stats, stat_sum, &a);
	stats_each(&quiet.m->stats, stat_sum, &b);
	cr_expect(eq(u64, a, b));
	cr_expect(lt(u64, machine_icount(told.m), told.m->trace.count));
	/* and when the listener has gone in the middle, or come, it is still the same run */
	static struct run half;
	boot(&half, kernel, cmdline, 1, false);
	for (unsigned i = 0; machine_run(half.m, NEVER, 20000) == MACHINE_STOP_ICOUNT; i++) {
		if (i % 2)
			trace_unlisten(&half.m->trace, NULL, NULL);
		else
			cr_assert(eq(int, trace_listen(&half.m->trace, "all", NULL, NULL, &e), 0), "%s", e.text);
	}
	same(&half, &quiet);
	machine_free(told.m);
	machine_free(quiet.m);
	machine_free(half.m);
}
Test(equivalence, told_32, .timeout = 120) { check_told(NULL, KERNEL32, "syscall n=10;pgfault n=10;forkwait n=2;timer n=3"); }
Test(equivalence, told_64, .timeout = 120) { check_told(NULL, KERNEL64, "syscall n=10;pgfault n=10;forkwait n=2;timer n=3"); }
Test(equivalence, told_under_ept, .timeout = 120) { check_told("ept", KERNEL64, "syscall n=10;pgfault n=10;forkwait n=2;timer n=3"); }
Test(equivalence, told_under_shadow, .timeout = 120) { check_told("shadow.wp", KERNEL64, "syscall n=10;pgfault n=10;forkwait n=2;timer n=3"); }
Test(equivalence, told_under_agile, .timeout = 120) { check_told("agile", KERNEL64, "syscall n=10;pgfault n=10;forkwait n=2"); }
Test(equivalence, told_under_minivisor, .timeout = 120) { check_told(MINIVISOR, KERNEL64, "syscall n=10;pgfault n=10"); }
