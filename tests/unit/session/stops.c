/* Stops of each kind, in both directions: what stops a run forwards is found backwards, the same moments in the same states. */
#include "tests/unit/session/stops.h"

#include <stdio.h>

#include "models/symbols.h"
#include "sim/rng.h"

void rig_open(struct rig *g, const char *mmu, const char *cpus, const char *kernel, const char *cmdline)
{
	static const struct options o = { .max_cycles = NEVER, .quiet = true };
	struct err e = { "" };
	struct setup setup;
	char path[80];
	session_init(&g->session, &o);
	setup_init(&setup);
	cr_assert(eq(int, setup_set(&setup, "ram", "64M", "test", &e), 0), "%s", e.text);
	cr_assert(eq(int, setup_set(&setup, "cpus", cpus, "test", &e), 0), "%s", e.text);
	cr_assert(eq(int, setup_set(&setup, "mmu", mmu, "test", &e), 0), "%s", e.text);
	cr_assert(eq(int, setup_finish(&setup, &e), 0), "%s", e.text);
	g->r = session_machine(&g->session, &setup, &e);
	cr_assert(g->r != NULL, "%s", e.text);
	snprintf(path, sizeof path, "build/guests/%s", kernel);
	struct boot_image image = { .kernel = path, .cmdline = cmdline };
	cr_assert(eq(int, run_boot(g->r, &image, &e), 0), "%s", e.text);
	g->v = travel_open(g->r);
}

void rig_close(struct rig *g)
{
	travel_close(g->v);
	session_fini(&g->session);
}

uint32_t rig_add(struct rig *g, struct run *r, const char *text)
{
	struct err e = { "" };
	uint32_t id = stops_add(r, text, &e);
	(void)g;
	cr_assert(ne(u32, id, 0), "%s: %s", text, e.text);
	return id;
}

const char *rig_refused(struct rig *g, const char *text)
{
	static struct err e;
	e.text[0] = '\0';
	cr_expect(eq(u32, stops_add(run_face(g->r), text, &e), 0), "%s", text);
	cr_expect(ne(chr, e.text[0], 0), "%s", text);
	return e.text;
}

static struct rig_hit hit_here(struct rig *g)
{
	const struct stop_hit *h = stops_hit(g->r);
	struct rig_hit k = { .at = timeline_now(travel_timeline(g->v)), .hash = machine_hash(g->r->m) };
	cr_assert(h != NULL);
	k.id = h->id;
	memcpy(k.why, h->why, sizeof k.why);
	return k;
}

#define HITS_MAX 4000
size_t rig_both_ways(struct rig *g, size_t max)
{
	static struct rig_hit there[HITS_MAX];
	size_t n = 0;
	cr_assert(max <= HITS_MAX);
	while (n < max && travel_continue(g->v) == TRAVEL_STOPPED && g->r->last == MACHINE_STOP_BREAK) {
		there[n] = hit_here(g);
		/* two at one moment in one state cannot be told apart: the later one is what stops on the way back */
		if (n && there[n - 1].hash == there[n].hash && moment_compare(there[n - 1].at, there[n].at) == 0)
			there[n - 1] = there[n];
		else
			n++;
	}
	for (size_t i = n; i-- > 0;) {
		if (i == n - 1 && g->r->last == MACHINE_STOP_BREAK)
			continue;       /* it is here */
		cr_assert(eq(int, travel_back_continue(g->v), TRAVEL_DONE), "hit %zu of %zu backwards (%s)", i, n, there[i].why);
		struct rig_hit k = hit_here(g);
		cr_expect(eq(int, moment_compare(k.at, there[i].at), 0), "hit %zu: %llu.%llu, forwards %llu.%llu\n%s\n%s", i,
		          (unsigned long long)k.at.step, (unsigned long long)k.at.cycle, (unsigned long long)there[i].at.step,
		          (unsigned long long)there[i].at.cycle, k.why, there[i].why);
		cr_expect(eq(u64, k.hash, there[i].hash), "hit %zu: %s", i, k.why);
		cr_expect(eq(str, k.why, there[i].why));
	}
	cr_expect(eq(int, travel_back_continue(g->v), TRAVEL_NONE));
	return n;
}

/* ---- break ---- */

Test(stops, break_before_a_function_of_the_kernel)
{
	struct rig g;
	rig_open(&g, "native", "1", "kernel64.elf", "forkwait n=3");
	rig_add(&g, g.r, "break space_fault");
	size_t n = rig_both_ways(&g, 100);
	cr_expect(lt(sz, 10, n));
	rig_close(&g);
}

Test(stops, gdb_adds_by_number)
{
	struct rig g;
	struct err e = { "" };
	uint64_t at;
	rig_open(&g, "native", "2", "kernel64.elf", "forkwait n=3");
	cr_assert(symtab_find(g.r->m->symbols, "space_fault", &at));
	uint32_t id = stops_add_break(g.r, at, -1, &e);
	cr_expect(eq(int, travel_continue(g.v), TRAVEL_STOPPED));
	cr_expect(eq(u64, stops_hit(g.r)->address, at));
	cr_expect(eq(u32, stops_hit(g.r)->id, id));
	cr_expect(eq(int, travel_step(g.v, 1), TRAVEL_DONE), "it lets go where it has stopped");
	cr_expect(stops_hit(g.r) == NULL);
	cr_expect(stops_remove(g.r, id));
	cr_expect(not(stops_remove(g.r, id)));
	cr_expect(eq(sz, stops_count(g.r), 0));
	rig_close(&g);
}

Test(stops, stepping_onto_a_breakpoint_and_going_on_does_not_stop_there_again)
{
	struct rig g;
	rig_open(&g, "native", "1", "kernel64.elf", "forkwait n=3");
	uint32_t id = rig_add(&g, g.r, "break space_fault");
	travel_continue(g.v);
	struct moment first = timeline_now(travel_timeline(g.v));
	travel_back(g.v, 1);
	cr_expect(eq(int, travel_step(g.v, 1), TRAVEL_DONE));
	cr_expect(eq(u64, timeline_now(travel_timeline(g.v)).step, first.step));
	travel_continue(g.v);
	cr_expect(lt(u64, first.step, timeline_now(travel_timeline(g.v)).step));
	cr_expect(eq(u64, stops_at(g.r, 0)->hits, 2));
	cr_expect(stops_switch(g.r, id, true));
	cr_expect(eq(int, travel_step(g.v, 200000), TRAVEL_DONE), "switched off it stops nothing");
	cr_expect(stops_switch(g.r, id, false));
	cr_expect(eq(int, travel_back_stop(g.v, id), TRAVEL_DONE));
	rig_close(&g);
}

/* ---- watch ---- */

/* Random addresses of each space: the set of hits forwards is the set of hits backwards. */
static void random_watches(const char *mmu, const char *cpus, const char *kernel, const char *cmdline, const char *name, unsigned rounds)
{
	static const char *const kinds[] = { "watch", "rwatch", "awatch" }, *const spaces[] = { "gva:", "gpa:", "hpa:" };
	struct rng rng;
	size_t all = 0;
	rng_init(&rng, 11, name);
	for (unsigned round = 0; round < rounds; round++) {
		struct rig g;
		rig_open(&g, mmu, cpus, kernel, cmdline);
		struct run *face = run_face(g.r);
		const struct symtab *t = face->m->symbols;
		for (unsigned i = 0; i < 4; i++) {
			char text[100];
			uint64_t at = t->sym[rng_below(&rng, t->n)].addr + rng_below(&rng, 64);
			uint64_t low = 0x100000 + rng_below(&rng, 0x80000);
			unsigned space = (unsigned)rng_below(&rng, 3);
			/* the kernel's image is at gpa 1 MB and up in each of them */
			snprintf(text, sizeof text, "%s %s%#llx %u", kinds[rng_below(&rng, 3)], spaces[space],
			         (unsigned long long)(space ? low : at), 1u << rng_below(&rng, 7));
			rig_add(&g, face, text);
		}
		all += rig_both_ways(&g, 40);
		rig_close(&g);
	}
	cr_expect(lt(sz, rounds * 2, all), "%zu hits", all);
}

Test(stops, random_watches_native) { random_watches("native", "1", "kernel64.elf", "forkwait n=2", "native", 6); }
Test(stops, random_watches_native_32_two_cpus) { random_watches("native", "2", "kernel32.elf", "forkwait n=2", "smp", 6); }
Test(stops, random_watches_ept) { random_watches("ept", "1", "kernel64.elf", "forkwait n=2", "ept", 6); }
Test(stops, random_watches_shadow) { random_watches("shadow.wp", "1", "kernel64.elf", "forkwait n=2", "shadow", 6); }

Test(stops, watching_changes_neither_state_nor_time)
{
	uint64_t hash[2];
	for (unsigned i = 0; i < 2; i++) {
		struct rig g;
		rig_open(&g, "ept", "1", "kernel64.elf", "forkwait n=2");
		if (i) {
			rig_add(&g, run_face(g.r), "awatch gpa:0x100000 0x80000");
			rig_add(&g, run_face(g.r), "awatch gva:0 0x1000000");
			stops_switch(g.r, 1, false);
			for (size_t k = 0; timeline_now(travel_timeline(g.v)).step < 20000 && k < 100000; k++)
				travel_step(g.v, 20000 - timeline_now(travel_timeline(g.v)).step);
			cr_expect(lt(u64, 100, stops_at(g.r, 0)->hits));
		} else {
			travel_step(g.v, 20000);
		}
		hash[i] = machine_hash(g.r->m);
		rig_close(&g);
	}
	cr_expect(eq(u64, hash[0], hash[1]));
}

Test(stops, what_cannot_be_watched_is_said)
{
	struct rig g;
	rig_open(&g, "ept", "1", "kernel64.elf", "forkwait n=2");
	cr_expect(strstr(rig_refused(&g, "watch gpa:0xfee00000 4"), "4 bytes at gpa:0xfee00000 are not RAM") != NULL);
	cr_expect(strstr(rig_refused(&g, "watch gpa:0x1000 zwei"), "expected a number of bytes") != NULL);
	cr_expect(strstr(rig_refused(&g, "watch lin:0x1000"), "no such space") != NULL);
	cr_expect(strstr(rig_refused(&g, "break space_faul"), "did you mean 'space_fault'?") != NULL);
	cr_expect(strstr(rig_refused(&g, "wach 0x1000"), "did you mean 'watch'?") != NULL);
	cr_expect(strstr(rig_refused(&g, "break"), "an address or a symbol is missing") != NULL);
	cr_expect(eq(sz, stops_count(g.r), 0));
	rig_close(&g);
}
