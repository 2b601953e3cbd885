/* Paravirtual kernels: the same outcome as the native build's on the bare machine, one run however it is cut up, counts that are right
 * while it runs, system calls without the VMM on IA-32, several VMs on one CPU, and images refused where they do not belong. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/machine.h"
#include "models/vmm/exit.h"
#include "models/vmm/pv/pv.h"
#include "sim/rng.h"

#define GUEST(bits, twin) "build/guests/kernel" #bits twin ".elf"
#define LIMIT 3000000000ull
#define RAM (32u << 20)
#define QUIET "syscall n=20;int80 n=3;pgfault n=20;divzero n=5;cli n=5;cr8 n=3;in n=3;ptemod n=5;forkwait n=3;forkexec n=2;ctxsw n=20;mmapchurn n=5;" \
              "mmapchurn n=2 size=4m pages=2m;timer n=3 hz=1000;faults"

struct text { char s[16384]; size_t n; };
struct run { struct machine *m, *vm[2]; struct text console[2]; unsigned vms; };

static void console(void *who, const uint8_t *bytes, size_t n)
{
	struct text *t = who;
	for (size_t i = 0; i < n && t->n < sizeof t->s - 1; i++)
		t->s[t->n++] = (char)bytes[i];
}

static int load(struct machine *m, const char *kernel, const char *cmdline, struct err *e)
{
	struct boot_image image = { .kernel = kernel, .cmdline = cmdline };
	return machine_boot(m, &image, e);
}

static void host(struct run *r)
{
	struct machine_config k;
	struct err e = { "" };
	memset(r, 0, sizeof *r);
	machine_config_defaults(&k);
	k.ram = 192 << 20;
	r->m = machine_new(&k, &e);
	cr_assert(r->m != NULL, "%s", e.text);
}

static struct machine *vm(struct run *r, const char *cpu, const char *mmu)
{
	struct vm_config v = { .cpu = cpu, .mmu = mmu, .vcpus = 1, .page_shift = 12, .shadow_limit = 8 << 20, .ram = RAM };
	struct machine_config k = r->m->config;
	struct err e = { "" };
	k.ram = RAM;
	struct machine *m = machine_vm(r->m, &k, &v, &e);
	cr_assert(m != NULL, "%s", e.text);
	machine_on_console(m, console, &r->console[r->vms]);
	return r->vm[r->vms++] = m;
}

static void boot(struct run *r, const char *mmu, const char *kernel, const char *cmdline)
{
	struct err e = { "" };
	host(r);
	cr_assert(eq(int, load(vm(r, "pv", mmu), kernel, cmdline, &e), 0), "%s", e.text);
}

static void native(struct run *r, const char *kernel, const char *cmdline)
{
	struct machine_config k;
	struct err e = { "" };
	memset(r, 0, sizeof *r);
	machine_config_defaults(&k);
	k.ram = RAM;
	r->vm[0] = r->m = machine_new(&k, &e);
	machine_on_console(r->m, console, &r->console[0]);
	cr_assert(eq(int, load(r->m, kernel, cmdline, &e), 0), "%s", e.text);
}

static void audit(const struct run *r)
{
	const struct vm *g = r->m->vmm->vm[0];
	cr_assert(ledger_audit(&r->m->cpu[0]->ledger));
	if (!pv_is_direct(g) || !r->m->vmm->s.started)
		return;
	const struct pv_state *s = &pv_of(g)->s;
	uint64_t roots[3] = { s->root }, where;
	unsigned n = 1;
	if (s->user_root != PV_NOWHERE)
		roots[n++] = s->user_root;
	if (s->shared != PV_NOWHERE)
		roots[n++] = s->shared >> PAGE_SHIFT;
	uint32_t *scratch = calloc(2 * direct_peek(g)->n, sizeof *scratch);
	const char *wrong = frames_audit(direct_peek(g), roots, n, scratch, &where);
	cr_assert(eq(ptr, (void *)wrong, NULL), "%s: frame %#lx", wrong, (unsigned long)where);
	free(scratch);
}

static void through(struct run *r)
{
	enum machine_stop why = machine_run(r->m, LIMIT, 0);
	cr_assert(eq(int, why, MACHINE_STOP_GUEST_EXIT), "%s%s", r->console[0].s, r->m->vmm ? r->m->vmm->vm[0]->refused : "");
	cr_expect(eq(u32, r->m->s.exit_status & 0xff, 1), "%s", r->console[0].s);
}

static void outcome(const char *twin, const char *kernel, const char *mmu)
{
	static struct run a, b;
	native(&a, kernel, QUIET);
	through(&a);
	boot(&b, mmu, twin, QUIET);
	through(&b);
	audit(&b);
	cr_expect(eq(str, b.console[0].s, a.console[0].s));
	/* above both images, their page tables and frame tables */
	for (uint64_t at = (4 << 20) + RAM / 64; at < RAM; at += PAGE_SIZE)
		cr_assert(memcmp(a.vm[0]->mem.ram + at, b.vm[0]->mem.ram + at, PAGE_SIZE) == 0, "the page at %#lx", (unsigned long)at);
	machine_free(a.m), machine_free(b.m);
}
Test(pv, direct_64_ends_as_on_the_bare_machine, .timeout = 200) { outcome(GUEST(64, "-pv"), GUEST(64, ""), "direct"); }
Test(pv, direct_32_ends_as_on_the_bare_machine, .timeout = 200) { outcome(GUEST(32, "-pv"), GUEST(32, ""), "direct"); }
Test(pv, shadow_64_ends_as_on_the_bare_machine, .timeout = 200) { outcome(GUEST(64, "-pv"), GUEST(64, ""), "shadow.wp"); }
Test(pv, shadow_32_ends_as_on_the_bare_machine, .timeout = 200) { outcome(GUEST(32, "-pv"), GUEST(32, ""), "shadow.wp"); }
Test(pv, shadow_vtlb_ends_as_on_the_bare_machine, .timeout = 200) { outcome(GUEST(64, "-pv"), GUEST(64, ""), "shadow.vtlb"); }

/* Cut anywhere, with snapshots taken and gone back to: the same run; the counts are right at each cut. */
static void pieces(const char *kernel, const char *mmu)
{
	static struct run a, b;
	static struct text was;
	struct rng g;
	enum machine_stop why;
	unsigned cuts = 0;
	boot(&a, mmu, kernel, "syscall n=5;pgfault n=5;forkwait n=2;timer n=2 hz=1000");
	through(&a);
	boot(&b, mmu, kernel, "syscall n=5;pgfault n=5;forkwait n=2;timer n=2 hz=1000");
	rng_init(&g, 5, "cut");
	do {
		uint64_t n = 1 + rng_below(&g, rng_below(&g, 4) ? 20000 : 3);
		why = rng_below(&g, 2) ? machine_run(b.m, NEVER, n) : machine_run(b.m, machine_now(b.m) + n, 0);
		if (rng_below(&g, 5))
			continue;
		audit(&b);
		was = b.console[0];
		struct snap *s = snap_take(b.m->snaps, "test");
		machine_run(b.m, NEVER, 1 + rng_below(&g, 50000));
		snap_restore(b.m->snaps, s);
		snap_drop(b.m->snaps, s);
		b.console[0] = was;
		cuts++;
	} while (why == MACHINE_STOP_CYCLES || why == MACHINE_STOP_ICOUNT);
	cr_expect(lt(uint, 10, cuts));
	cr_expect(eq(str, a.console[0].s, b.console[0].s));
	cr_expect(eq(u64, machine_now(a.m), machine_now(b.m)));
	cr_expect(eq(u64, machine_hash(a.m), machine_hash(b.m)));
	machine_free(a.m), machine_free(b.m);
}
Test(pv, a_run_in_pieces_is_the_same_run_direct_64, .timeout = 200) { pieces(GUEST(64, "-pv"), "direct"); }
Test(pv, a_run_in_pieces_is_the_same_run_direct_32, .timeout = 200) { pieces(GUEST(32, "-pv"), "direct"); }
Test(pv, a_run_in_pieces_is_the_same_run_shadow_64, .timeout = 200) { pieces(GUEST(64, "-pv"), "shadow.wp"); }

static uint64_t exits(const char *kernel, const char *cmdline)
{
	static struct run r;
	boot(&r, "direct", kernel, cmdline);
	through(&r);
	uint64_t n = r.m->vmm->vm[0]->stat[VMM_STAT_EXITS];
	machine_free(r.m);
	return n;
}

/* INT 80H through a gate of its own into ring 1, and back by IRET. */
Test(pv, system_calls_on_ia_32_need_no_vmm, .timeout = 120)
{
	uint64_t few = exits(GUEST(32, "-pv"), "int80 n=10"), many = exits(GUEST(32, "-pv"), "int80 n=510");
	cr_expect(eq(u64, few, many));
	few = exits(GUEST(64, "-pv"), "syscall n=10"), many = exits(GUEST(64, "-pv"), "syscall n=510");
	cr_expect(eq(u64, many - few, 1000), "on Intel 64 each is bounced and returns by a hypercall");
}

Test(pv, masking_events_needs_no_vmm, .timeout = 120)
{
	cr_expect(eq(u64, exits(GUEST(64, "-pv"), "cli n=10"), exits(GUEST(64, "-pv"), "cli n=1000")));
}

/* Two VMs of different modes take turns on one CPU: gates, corner and counts of each. */
Test(pv, two_vms_on_one_cpu, .timeout = 200)
{
	static struct run a, b;
	struct err e = { "" };
	native(&a, GUEST(32, ""), QUIET);
	through(&a);
	host(&b);
	cr_assert(eq(int, load(vm(&b, "pv", "direct"), GUEST(32, "-pv"), QUIET, &e), 0), "%s", e.text);
	cr_assert(eq(int, load(vm(&b, "pv", "shadow.wp"), GUEST(64, "-pv"), QUIET, &e), 0), "%s", e.text);
	through(&b);
	cr_expect(eq(str, b.console[0].s, a.console[0].s));
	cr_expect(eq(str, b.console[1].s, a.console[0].s));
	machine_free(a.m), machine_free(b.m);
}

/* ---- who is refused ---- */

Test(pv, a_paravirtual_kernel_is_refused_elsewhere)
{
	static struct run r;
	struct err e = { "" };
	host(&r);
	cr_expect(eq(int, load(r.m, GUEST(64, "-pv"), "nop", &e), -1));
	cr_expect(ne(ptr, strstr(e.text, "a paravirtual kernel: it runs under hypercalls"), NULL), "%s", e.text);
	machine_free(r.m);
}

Test(pv, another_kernel_is_refused_under_pv)
{
	static struct run r;
	struct err e = { "" };
	host(&r);
	cr_expect(eq(int, load(vm(&r, "pv", "direct"), GUEST(64, ""), "nop", &e), -1));
	cr_expect(ne(ptr, strstr(e.text, "not a paravirtual kernel"), NULL), "%s", e.text);
	machine_free(r.m);
}

/* ---- hooks ---- */

static bool seen(void *who, struct vcpu *v, const struct exit_seen *x)
{
	unsigned *n = who;
	(void)v;
	if (x->reason == EXIT_HYPERCALL && x->qualification < PV_CALLS)
		n[x->qualification]++;
	return false;
}

Test(pv, hypercalls_are_exits_with_their_number, .timeout = 120)
{
	static struct run r;
	static unsigned n[PV_CALLS];
	boot(&r, "direct", GUEST(64, "-pv"), "forkwait n=2");
	r.m->vmm->exit_seen = seen;
	r.m->vmm->exit_who = n;
	through(&r);
	for (unsigned i = 0; i < PV_CALLS; i++)
		cr_expect(eq(u64, n[i], pv_of(r.m->vmm->vm[0])->stat[i]), "%s", hypercall_rows[i].name);
	cr_expect(lt(uint, 10, n[PV_CALL_MMU_UPDATE_]));
	cr_expect(lt(uint, 4, n[PV_CALL_PIN_]));
	machine_free(r.m);
}
