/* vms_run.h - virtual machines on a machine, without a session: for tests of the VMM's outcomes. */
#ifndef TESTS_VMS_RUN_H
#define TESTS_VMS_RUN_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/machine.h"
#include "models/vmm/vmm.h"
#include "sim/rng.h"

#define CONSOLE_MAX 16384
#define KERNEL32 "build/guests/kernel32.elf"
#define KERNEL64 "build/guests/kernel64.elf"
#define LIMIT 2000000000

struct text { char s[CONSOLE_MAX]; size_t n; };
struct run {
	struct machine *m;              /* the physical one */
	struct machine *vm[4];
	struct text console[4];
	unsigned vms;
};

static inline void console(void *who, const uint8_t *bytes, size_t n)
{
	struct text *t = who;
	for (size_t i = 0; i < n && t->n < CONSOLE_MAX - 1; i++)
		t->s[t->n++] = (char)bytes[i];
}

/* A virtual machine of 32 MB more. */
static inline struct machine *add(struct run *r, struct vm_config v, const char *kernel, const char *cmdline)
{
	struct machine_config k = r->m->config;
	struct err e = { "" };
	k.ram = v.ram = 32 << 20;
	k.cpus = v.vcpus;
	struct machine *m = machine_vm(r->m, &k, &v, &e);
	cr_assert(m != NULL, "%s", e.text);
	struct boot_image image = { .kernel = kernel, .cmdline = cmdline };
	cr_assert(eq(int, machine_boot(m, &image, &e), 0), "%s", e.text);
	machine_on_console(m, console, &r->console[r->vms]);
	return r->vm[r->vms++] = m;
}

/* The bare machine. */
static inline void native(struct run *r, unsigned cpus, const char *kernel, const char *cmdline)
{
	struct machine_config k;
	struct err e = { "" };
	memset(r, 0, sizeof *r);
	machine_config_defaults(&k);
	k.ram = 32 << 20;
	k.cpus = cpus;
	r->vm[0] = r->m = machine_new(&k, &e);
	machine_on_console(r->m, console, &r->console[0]);
	struct boot_image image = { .kernel = kernel, .cmdline = cmdline };
	cr_assert(eq(int, machine_boot(r->m, &image, &e), 0), "%s", e.text);
}

static inline void audit(const struct run *r)
{
	for (unsigned i = 0; i < r->m->config.cpus; i++)
		cr_assert(ledger_audit(&r->m->cpu[i]->ledger), "cpu%u: sum %llu, clock %llu", i,
		          (unsigned long long)ledger_sum(&r->m->cpu[i]->ledger), (unsigned long long)r->m->cpu[i]->ledger.now);
}

/* To the guest's end. */
static inline void through(struct run *r)
{
	enum machine_stop why = machine_run(r->m, LIMIT, 0);
	cr_assert(eq(int, why, MACHINE_STOP_GUEST_EXIT), "%s", r->console[0].s);
	cr_expect(eq(u32, r->m->s.exit_status & 0xff, 1), "%s", r->console[0].s);
	audit(r);
}

static inline void same_memory(const struct run *a, const struct run *b)
{
	const struct mem *x = &a->vm[0]->mem, *y = &b->vm[0]->mem;
	cr_assert(eq(u64, x->ram_size, y->ram_size));
	for (uint64_t at = 0; at < x->ram_size; at += PAGE_SIZE)
		cr_assert(memcmp(x->ram + at, y->ram + at, PAGE_SIZE) == 0, "memory differs in the page at %#llx", (unsigned long long)at);
}

/* Likewise, in random pieces; with snapshots taken, and restored a little later. */
static inline void cut(struct run *r, uint64_t seed, bool snapshots)
{
	struct rng g;
	enum machine_stop why;
	rng_init(&g, seed, "cut");
	do {
		uint64_t n = 1 + rng_below(&g, rng_below(&g, 4) ? 2000 : 3);
		why = rng_below(&g, 2) ? machine_run(r->m, NEVER, n) : machine_run(r->m, machine_now(r->m) + n, 0);
		audit(r);
		if (!snapshots || rng_below(&g, 50))
			continue;
		static struct text was[4];
		memcpy(was, r->console, sizeof was);
		struct snap *s = snap_take(r->m->snaps, "test");
		machine_run(r->m, NEVER, 1 + rng_below(&g, 5000));
		snap_restore(r->m->snaps, s);
		snap_drop(r->m->snaps, s);
		memcpy(r->console, was, sizeof was);
	} while (why == MACHINE_STOP_CYCLES || why == MACHINE_STOP_ICOUNT);
	cr_expect(eq(int, why, MACHINE_STOP_GUEST_EXIT), "%s", r->console[0].s);
}

/* One and the same run; b is done with. */
static inline void same(struct run *a, struct run *b)
{
	cr_expect(eq(str, a->console[0].s, b->console[0].s));
	cr_expect(eq(u64, machine_now(a->m), machine_now(b->m)));
	cr_expect(eq(u64, machine_icount(a->m), machine_icount(b->m)));
	cr_expect(eq(u64, machine_hash(a->m), machine_hash(b->m)));
	machine_free(b->m);
}

#endif
