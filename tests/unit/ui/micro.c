/* Micro-steps: the record of an instruction, the cursor through it and over its ends, and the walks in it. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/mmu/mmu.h"
#include "models/cpu/sys.h"
#include "sim/rng.h"
#include "tests/unit/guest_run.h"
#include "ui/session/micro.h"

#define KERNEL64 "build/guests/kernel64.elf"

static struct session session;
static struct run *r;
static struct travel *v;
static struct micro *u;

/* With nothing that shortens a walk: every reference is made. */
static bool bare_walks;

static void open_on(const char *mmu, const char *kernel, const char *cmdline)
{
	r = guest_run(&session, kernel, cmdline, "mmu=%s %s", mmu, bare_walks ? NO_WALK_CACHES : "");
	v = travel_open(r);
	u = micro_open(v, r);
}

static void close_it(void)
{
	micro_close(u);
	travel_close(v);
	session_fini(&session);
}

static bool happens(const char *text)
{
	char line[200];
	for (size_t i = 0; i < micro_count(u); i++) {
		micro_text(u, i, line, sizeof line);
		if (strstr(line, text))
			return true;
	}
	return false;
}

Test(micro, nothing_is_before_the_beginning)
{
	open_on("native", KERNEL64, "syscall n=1");
	cr_expect(eq(sz, micro_count(u), 0));
	cr_expect(eq(int, micro_back(u), TRAVEL_NONE));
	cr_expect(not(micro_renew(u)));
	cr_expect(eq(int, micro_step(u), TRAVEL_DONE));
	cr_expect(eq(sz, micro_cursor(u), 1));
	cr_expect(eq(str, (char *)micro_name(u, 0), "insn"));
	cr_expect(eq(int, micro_back(u), TRAVEL_DONE));
	cr_expect(eq(u64, timeline_now(travel_timeline(v)).step, 0));
	close_it();
}

/* Forwards n, backwards n: the same machine, and the same record as on the way there. */
static void forth_and_back(const char *mmu, uint64_t start)
{
	struct rng g;
	rng_init(&g, 7, mmu);
	open_on(mmu, KERNEL64, "syscall n=5;pgfault n=5");
	for (unsigned round = 0; round < 6; round++) {
		travel_step(v, start + rng_below(&g, 3000));
		cr_assert(micro_renew(u));
		const uint64_t hash = machine_hash(r->m), cursor = micro_cursor(u);
		char was[200], is[200];
		micro_text(u, cursor - 1, was, sizeof was);
		unsigned n = 1 + (unsigned)rng_below(&g, 60);
		for (unsigned i = 0; i < n; i++)
			cr_assert(eq(int, micro_step(u), TRAVEL_DONE));
		for (unsigned i = 0; i < n; i++)
			cr_assert(eq(int, micro_back(u), TRAVEL_DONE));
		cr_expect(eq(u64, machine_hash(r->m), hash));
		cr_expect(eq(u64, micro_cursor(u), cursor));
		micro_text(u, cursor - 1, is, sizeof is);
		cr_expect(eq(str, (char *)is, (char *)was));
	}
	close_it();
}
Test(micro, forth_and_back_native, .timeout = 120) { forth_and_back("native", 20000); }
Test(micro, forth_and_back_ept, .timeout = 120) { forth_and_back("ept", 20000); }
Test(micro, forth_and_back_shadow, .timeout = 120) { forth_and_back("shadow.wp", 20000); }

/* Recorded step by step, the run is the run. */
Test(micro, recording_changes_nothing, .timeout = 120)
{
	open_on("ept", KERNEL64, "syscall n=2;pgfault n=2");
	for (unsigned i = 0; i < 3000; i++)
		micro_run(u);
	travel_step(v, 30000);
	for (unsigned i = 0; i < 200; i++)
		micro_step(u);
	struct moment now = timeline_now(travel_timeline(v));
	const uint64_t hash = machine_hash(r->m);
	const uint64_t traced = r->m->trace.count;
	close_it();
	open_on("ept", KERNEL64, "syscall n=2;pgfault n=2");
	travel_step(v, now.step);
	cr_expect(eq(u64, machine_hash(r->m), hash));
	cr_expect(eq(u64, r->m->trace.count, traced));
	close_it();
}

/* The cycles of the steps add up, and what is not in them is the instruction's own cost. */
Test(micro, cycles_add_up)
{
	open_on("native", KERNEL64, "syscall n=2;pgfault n=2");
	travel_step(v, 20000);
	for (unsigned k = 0; k < 2000; k++) {
		const cycle_t before = r->m->cpu[0]->ledger.now;
		micro_run(u);
		cycle_t sum = 0;
		for (size_t i = 0; i < micro_count(u); i++)
			sum += micro_cycles(u, i);
		cr_expect(eq(u64, micro_total(u), r->m->cpu[0]->ledger.now - before));
		cr_expect(le(u64, sum, micro_total(u)));
	}
	close_it();
}

/* To the first instruction of user code, which has pages of 4 KB. */
static void to_user(void)
{
	struct err e = { "" };
	while (r->m->cpu[0]->s.cpl != 3)
		cr_assert(eq(int, travel_to_event(v, "cpl", &e), TRAVEL_STOPPED));
}

/* Go on until the record holds a walk of `refs` references and all else that is asked. */
static bool find_walk(unsigned refs, bool ept, struct micro_walk *w)
{
	for (unsigned i = 0; i < 4000; i++) {
		cr_assert(eq(int, micro_run(u), TRAVEL_DONE));
		for (size_t k = 0; k < micro_walks(u); k++) {
			micro_walk(u, k, w);
			if (!w->hit && w->refs == refs && (w->eptp != 0) == ept && !w->rec.fault.kind)
				return true;
		}
	}
	return false;
}

Test(micro, a_native_walk_of_four, .timeout = 120)
{
	static struct micro_walk w;
	bare_walks = true;
	open_on("native", KERNEL64, "syscall n=5;pgfault n=5");
	to_user();
	cr_assert(find_walk(4, false, &w));
	cr_expect(eq(uint, w.levels, 4));
	cr_expect(eq(u32, w.rec.n, 4));
	uint64_t table = w.root, cycles = 0;
	for (unsigned i = 0; i < 4; i++) {
		cr_expect(eq(uint, w.rec.ref[i].level, 4 - i));
		cr_expect(eq(u64, w.rec.ref[i].table, table));
		cr_expect(eq(u64, w.rec.ref[i].entry_pa, table + 8 * w.rec.ref[i].index));
		table = w.rec.ref[i].entry & 0xffffffffff000;
		cycles += w.rec.ref[i].cycles;
	}
	cr_expect(eq(u64, w.rec.hpa.v, table | (w.rec.lin & 0xfff)));
	cr_expect(le(u64, cycles, w.rec.cycles));
	cr_expect(w.done);
	close_it();
}

/* Two dimensions of four levels: 4 + 5 * 4, lit one by one in the order they happen. */
Test(micro, a_walk_of_24_lights_up_step_by_step, .timeout = 120)
{
	static struct micro_walk w, now;
	bare_walks = true;
	open_on("ept", KERNEL64, "syscall n=5;pgfault n=5");
	to_user();
	cr_assert(find_walk(24, true, &w));
	cr_expect(eq(uint, w.ept_levels, 4));
	for (unsigned i = 0; i < 24; i++) {
		const struct walk_ref *ref = &w.rec.ref[i];
		cr_expect(eq(u32, w.number[i], i + 1));
		cr_expect(eq(int, ref->dim, i % 5 == 4 ? WALK_GUEST : WALK_EPT));
		cr_expect(eq(uint, ref->level, i % 5 == 4 ? 4 - i / 5 : 4 - i % 5));
		cr_expect(eq(uint, ref->for_level, i % 5 == 4 || i >= 20 ? 0 : 4 - i / 5));
	}
	micro_goto(u, w.first);
	for (unsigned lit = 0; lit < 24;) {
		micro_step(u);
		micro_walk(u, (size_t)micro_walk_now(u), &now);
		unsigned n = 0;
		while (n < 24 && now.lit[n])
			n++;
		for (unsigned k = n; k < 24; k++)
			cr_expect(not(now.lit[k]));
		cr_assert(n == lit || n == lit + 1);
		if (n > lit)
			cr_expect(eq(int, now.here, (int)n - 1));
		cr_expect(not(now.done));
		lit = n;
	}
	micro_goto(u, micro_count(u));
	close_it();
}

Test(micro, a_vm_exit_and_its_service, .timeout = 120)
{
	struct err e = { "" };
	open_on("ept", KERNEL64, "syscall n=5;pgfault n=5");
	travel_step(v, 20000);          /* past what the VMM does first of all */
	cr_assert(eq(int, travel_to_event(v, "vm_exit", &e), TRAVEL_STOPPED));
	cr_assert(micro_renew(u));
	cr_expect(happens("vm_exit"));
	cr_expect(happens("VM exit: save guest state"));
	cr_expect(not(happens("VMREAD")));
	micro_run(u);
	cr_expect(happens("VMREAD exit_reason = 0x"));
	cr_expect(happens("VMM: dispatch"));
	cr_expect(happens("VM entry: load guest state"));
	close_it();
}
