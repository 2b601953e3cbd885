/* Any moment of a run can be gone to, again and again, and it is the same moment; what was typed is typed again; a change
 * in the past is another branch. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/machine.h"
#include "sim/rng.h"
#include "sim/timeline.h"

struct world {
	struct machine *m;
	struct timeline *t;
	char console[65536];
	size_t n;
};

static void console(void *who, const uint8_t *bytes, size_t n)
{
	struct world *w = who;
	for (size_t i = 0; i < n && w->n < sizeof w->console - 1; i++)
		w->console[w->n++] = (char)bytes[i];
}

static struct moment now(void *who)
{
	const struct world *w = who;
	return (struct moment){ machine_icount(w->m), machine_now(w->m) };
}

static bool run(void *who, cycle_t until, uint64_t steps)
{
	struct world *w = who;
	enum machine_stop why = machine_run(w->m, until, steps);
	return why == MACHINE_STOP_CYCLES || why == MACHINE_STOP_ICOUNT;
}

static void input(void *who, unsigned channel, const void *bytes, size_t n)
{
	struct world *w = who;
	(void)channel;
	machine_serial_input(w->m, bytes, n);
}

static uint64_t mark(void *who) { return ((struct world *)who)->n; }
static void rewind_to(void *who, uint64_t n) { ((struct world *)who)->n = n; }

static void begin(struct world *w, const char *kernel, const char *cmdline, unsigned cpus, uint64_t budget)
{
	struct machine_config k;
	struct err e = { "" };
	memset(w, 0, sizeof *w);
	machine_config_defaults(&k);
	k.ram = 32 << 20;
	k.cpus = cpus;
	w->m = machine_new(&k, &e);
	cr_assert(w->m != NULL, "%s", e.text);
	machine_on_console(w->m, console, w);
	struct boot_image image = { .kernel = kernel, .cmdline = cmdline };
	cr_assert(eq(int, machine_boot(w->m, &image, &e), 0), "%s", e.text);
	const struct timeline_driver d = { w, now, run, NULL, input, mark, rewind_to, NULL };
	w->t = timeline_new(w->m->snaps, &d, budget);
}

static void end(struct world *w)
{
	timeline_free(w->t);
	machine_free(w->m);
}

static void there_and_back(const char *kernel, const char *cmdline, unsigned cpus, uint64_t budget)
{
	struct world w;
	struct rng rng;
	rng_init(&rng, 7, "moments");
	begin(&w, kernel, cmdline, cpus, budget);
	timeline_run(w.t, 4000000, 0);
	const uint64_t hash = machine_hash(w.m), length = w.n;
	const struct moment last = timeline_now(w.t), first = timeline_begin(w.t);
	cr_assert(lt(u64, 1000, last.step));
	for (int i = 0; i < 60; i++) {
		struct moment at = { first.step + rng_below(&rng, last.step - first.step + 1), 0 };
		cr_assert(timeline_goto(w.t, at));
		cr_expect(eq(u64, timeline_now(w.t).step, at.step));
		uint64_t there = machine_hash(w.m), printed = w.n;
		uint64_t n = rng_below(&rng, 2000);
		if (n > at.step - first.step)
			n = at.step - first.step;
		struct moment earlier = { at.step - n, 0 };
		cr_assert(timeline_goto(w.t, earlier));
		cr_assert(timeline_run(w.t, NEVER, n) || !n);
		if (n) {
			cr_expect(eq(u64, machine_hash(w.m), there), "back %llu from %llu", (unsigned long long)n, (unsigned long long)at.step);
			cr_expect(eq(sz, w.n, printed));
		}
	}
	cr_assert(timeline_goto(w.t, last));
	cr_expect(eq(u64, machine_hash(w.m), hash));
	cr_expect(eq(sz, w.n, length));
	cr_expect(eq(sz, timeline_branches(w.t), 1));
	end(&w);
}

Test(timeline, back_and_forth_1_cpu) { there_and_back("build/guests/kernel64.elf", "forkwait n=2", 1, 64 << 20); }
Test(timeline, back_and_forth_2_cpus) { there_and_back("build/guests/kernel32.elf", "pgfault n=50", 2, 64 << 20); }
Test(timeline, a_small_budget_makes_intervals_longer) { there_and_back("build/guests/kernel64.elf", "ctxsw n=20", 1, 1 << 20); }

Test(timeline, typed_input_is_played_again)
{
	struct world w;
	begin(&w, "build/guests/kernel64.elf", "forkwait n=2", 1, 64 << 20);
	timeline_run(w.t, 3000000, 0);
	timeline_input(w.t, 0, "hi\n", 3);
	timeline_run(w.t, 6000000, 0);
	uint64_t hash = machine_hash(w.m);
	struct moment last = timeline_now(w.t);
	cr_assert(timeline_goto(w.t, timeline_begin(w.t)));
	cr_assert(timeline_goto(w.t, last));
	cr_expect(eq(u64, machine_hash(w.m), hash));
	end(&w);
}

Test(timeline, a_change_in_the_past_is_a_new_branch)
{
	struct world w;
	begin(&w, "build/guests/kernel64.elf", "forkwait n=2", 1, 64 << 20);
	timeline_run(w.t, 3000000, 0);
	struct moment last = timeline_now(w.t), middle = { last.step / 2, 0 };
	uint64_t hash = machine_hash(w.m);
	cr_assert(timeline_goto(w.t, middle));
	w.m->cpu[0]->s.r[R_R15] ^= 1;
	timeline_changed(w.t);
	cr_expect(eq(sz, timeline_branches(w.t), 2));
	cr_expect(eq(sz, timeline_present(w.t), 1));
	timeline_run(w.t, 2500000, 0);
	timeline_switch(w.t, 0, last);
	cr_expect(eq(u64, machine_hash(w.m), hash));
	cr_expect(eq(sz, timeline_present(w.t), 0));
	end(&w);
}

struct wanted { struct world *w; uint64_t rip; };

static bool at_rip(void *arg)
{
	const struct wanted *q = arg;
	return q->w->m->cpu[0]->s.rip == q->rip;
}

Test(timeline, back_to_the_last_hit)
{
	struct world w;
	begin(&w, "build/guests/kernel64.elf", "syscall n=20", 1, 64 << 20);
	timeline_run(w.t, NEVER, 30000);
	struct wanted q = { &w, 0 };
	cr_assert(timeline_goto(w.t, (struct moment){ 20000, 0 }));
	q.rip = w.m->cpu[0]->s.rip;
	/* the last time before 30000: look for it forwards */
	uint64_t seen = 20000;
	while (timeline_now(w.t).step < 29999) {
		timeline_run(w.t, NEVER, 1);
		if (at_rip(&q))
			seen = timeline_now(w.t).step;
	}
	cr_assert(timeline_goto(w.t, (struct moment){ 30000, 0 }));
	cr_assert(timeline_back(w.t, at_rip, &q));
	cr_expect(eq(u64, timeline_now(w.t).step, seen));
	q.rip = 0xdeadbeef;
	uint64_t hash = machine_hash(w.m);
	cr_expect(not(timeline_back(w.t, at_rip, &q)));
	cr_expect(eq(u64, machine_hash(w.m), hash), "not found: now is as it was");
	end(&w);
}

Test(timeline, a_change_at_the_end_happens_again)
{
	struct world w;
	begin(&w, "build/guests/kernel64.elf", "forkwait n=2", 1, 64 << 20);
	timeline_run(w.t, NEVER, 250000);
	const uint64_t at = timeline_now(w.t).step;
	w.m->cpu[0]->s.r[R_R15] ^= 0x1234;
	timeline_changed(w.t);
	w.m->cpu[0]->s.r[R_R14] ^= 0x1234;
	timeline_changed(w.t);
	const uint64_t changed = machine_hash(w.m);
	timeline_run(w.t, NEVER, 300000);
	const uint64_t later = machine_hash(w.m);
	const struct moment last = timeline_now(w.t);
	cr_expect(eq(sz, timeline_branches(w.t), 1), "there was nothing after it");
	for (unsigned back = 1; back < 200000; back *= 7) {
		cr_assert(timeline_goto(w.t, (struct moment){ at - back, 0 }));
		timeline_run(w.t, NEVER, back);
		cr_expect(eq(u64, machine_hash(w.m), changed), "%u back", back);
		cr_assert(timeline_goto(w.t, (struct moment){ at - back, 0 }));
		cr_assert(timeline_goto(w.t, last));
		cr_expect(eq(u64, machine_hash(w.m), later), "%u back, then to the end", back);
	}
	cr_assert(timeline_goto(w.t, (struct moment){ at, 0 }));
	cr_expect(eq(u64, machine_hash(w.m), changed));
	end(&w);
}
