/* Forward n and back n is where one was: under every technique, on several CPUs, with several VMs. And what a script
 * answered the first time is what happens each time. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/rng.h"
#include "tests/unit/guest_run.h"
#include "ui/lua/scenario.h"
#include "ui/session/travel.h"

static struct session session;
static struct run *run;
static struct travel *travel;

static void begin(const char *keys, const char *kernel, const char *cmdline)
{
	run = guest_run(&session, kernel, cmdline, "ram=32M %s", keys);
	travel = travel_open(run);
}

static void end(void)
{
	travel_close(travel);
	session_fini(&session);
}

/* Random moments of the first `length` instructions; from each, n forward and n back, n mostly small. With an event, they are
 * moments behind the first of its kind, and half of them go on to the next. The guest has to live longer than `length`: at its
 * end nothing can be compared. */
static void there_and_back(uint64_t length, unsigned times, const char *event)
{
	struct rng rng;
	struct err e = { "" };
	unsigned seen = 0, done = 0;
	rng_init(&rng, 11, "travel");
	if (event)
		cr_assert(eq(int, (int)travel_to_event(travel, event, &e), TRAVEL_STOPPED));
	const uint64_t first = machine_icount(run->m);
	cr_assert(lt(u64, first, length / 2));
	cr_assert(eq(int, (int)travel_step(travel, length - first), TRAVEL_DONE), "the guest is too short");
	const uint64_t last = machine_icount(run->m);
	for (unsigned i = 0; i < times; i++) {
		cr_assert(timeline_goto(travel_timeline(travel), (struct moment){ first + rng_below(&rng, last - first), 0 }));
		if (event && i % 2 && travel_to_event(travel, event, &e) == TRAVEL_STOPPED)
			seen++;
		/* stand on an instruction: an event between two has no number */
		travel_step(travel, 1);
		const uint64_t here = machine_icount(run->m), hash = machine_hash(run->m), n = 1 + rng_below(&rng, i % 4 ? 30 : 3000);
		if (travel_step(travel, n) != TRAVEL_DONE)
			continue;
		done++;
		cr_assert(eq(u64, machine_icount(run->m), here + n));
		cr_assert(eq(int, (int)travel_back(travel, n), TRAVEL_DONE));
		cr_assert(eq(u64, machine_icount(run->m), here));
		cr_assert(eq(u64, machine_hash(run->m), hash), "%llu forward and back from %llu", (unsigned long long)n, (unsigned long long)here);
	}
	cr_expect(ge(u32, done, times * 9 / 10), "%u of %u moments were compared", done, times);
	if (event)
		cr_expect(eq(u32, seen, times / 2), "%u of %u moments were at %s", seen, times, event);
	end();
}

#define KERNEL64 "build/guests/kernel64.elf"
#define KERNEL32 "build/guests/kernel32.elf"

Test(travel, exceptions_and_interrupts)
{
	begin("cpus=1", KERNEL64, "forkwait n=1000");
	there_and_back(2000000, 600, "exception,interrupt");
}

Test(travel, two_cpus)
{
	begin("cpus=2", KERNEL32, "ctxsw n=100000");
	there_and_back(2000000, 600, NULL);
}

Test(travel, exits_under_ept)
{
	begin("cpu=vmx mmu=ept", KERNEL64, "in n=1000000");
	there_and_back(112000, 600, "vm_exit");
}

Test(travel, shadow_fills_and_syncs)
{
	begin("cpu=vmx mmu=shadow.unsync", KERNEL64, "mmapchurn n=1000");
	there_and_back(700000, 400, "vm_exit");
}

Test(travel, write_protected_shadows)
{
	begin("cpu=vmx mmu=shadow.wp", KERNEL32, "forkwait n=1000");
	there_and_back(700000, 400, "vm_exit");
}

Test(travel, agile)
{
	begin("cpu=vmx mmu=agile", KERNEL64, "forkwait n=1000");
	there_and_back(1000000, 400, "vm_exit");
}

Test(travel, two_virtual_cpus_on_one)
{
	begin("cpu=vmx mmu=ept cpus=2 host_cpus=1 slice=20000", KERNEL64, "ctxsw n=100000");
	there_and_back(2000000, 400, "vm_entry");
}

Test(travel, devices_interrupt)
{
	begin("cpu=vmx mmu=ept", KERNEL32, "timer n=1000");
	there_and_back(1000000, 300, "interrupt");
}

/* A script that answers differently each time it is asked: what it answered is part of the past. */
static int stepper(void *who, struct run *r, struct err *e)
{
	(void)who, (void)e;
	run = r;
	travel = travel_open(r);
	struct timeline *t = travel_timeline(travel);
	travel_step(travel, 1050000);           /* no snapshot is taken just there */
	const struct moment last = timeline_now(t);
	const uint64_t hash = machine_hash(r->m);
	for (unsigned i = 0; i < 5; i++) {
		timeline_goto(t, (struct moment){ last.step * i / 5, 0 });
		timeline_goto(t, last);
		cr_expect(eq(u64, machine_hash(r->m), hash), "from %u fifths", i);
	}
	timeline_goto(t, (struct moment){ last.step / 2, 0 });
	r->m->cpu[0]->s.r[R_R15] ^= 1;
	timeline_changed(t);
	travel_step(travel, 100000);
	cr_expect(eq(sz, timeline_branches(t), 2));
	timeline_switch(t, 0, last);
	cr_expect(eq(u64, machine_hash(r->m), hash), "the other branch's answers stay its own");
	travel_close(travel);
	return 0;
}

Test(travel, what_a_script_answered_is_part_of_the_past)
{
	static const struct options o = { .max_cycles = NEVER, .quiet = true };
	static const char text[] =
		"local m = machine { ram = '64M' }\n"
		"local vm = m:vm { cpu = 'vmx', mmu = 'ept', ram = '32M', kernel = guest 'kernel64', cmdline = 'cpuid n=900000' }\n"
		"local n = 0\n"
		"vm:on('exit.cpuid', function(e) n = n + 1; e.regs.rbx = n; return 'handled' end)\n"
		"m:run()\n"
		"check(n > 20, 'asked ' .. n .. ' times')\n";
	struct err e = { "" };
	struct scenario_options so = { .instructions = 100000000 };
	session_init(&session, &o);
	session.stepper = stepper;
	int status = scenario_run_text(&session, &so, text, sizeof text - 1, "test.lua", &e);
	cr_expect(eq(int, status, 0), "%d: %s", status, e.text);
	session_fini(&session);
}
