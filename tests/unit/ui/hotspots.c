/* Where time went: the whole time, to the same places each time, and now is now afterwards. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/symbols.h"
#include "ui/session/hotspots.h"

static struct session session;

static struct run *open_run(const char *mmu)
{
	static const struct options o = { .max_cycles = NEVER, .quiet = true };
	struct err e = { "" };
	struct setup setup;
	session_init(&session, &o);
	setup_init(&setup);
	cr_assert(eq(int, setup_set(&setup, "ram", "64M", "test", &e), 0));
	cr_assert(eq(int, setup_set(&setup, "mmu", mmu, "test", &e), 0));
	cr_assert(eq(int, setup_finish(&setup, &e), 0), "%s", e.text);
	struct run *r = session_machine(&session, &setup, &e);
	cr_assert(r != NULL, "%s", e.text);
	cr_assert(eq(int, run_boot(r, &(struct boot_image){ .kernel = "build/guests/kernel64.elf", .cmdline = "forkwait n=2" }, &e), 0));
	return r;
}

Test(hotspots, all_time_is_placed_and_now_is_now_again)
{
	struct run *r = open_run("ept");
	struct travel *v = travel_open(r);
	struct timeline *t = travel_timeline(v);
	travel_step(v, 400000);
	travel_back(v, 1000);
	uint64_t hash = machine_hash(r->m);
	struct moment now = timeline_now(t);
	struct hotspots a = { 0 }, b = { 0 };
	hotspots_take(&a, r, t, 1000000, 500, NULL, NULL);
	cr_expect(eq(u64, machine_hash(r->m), hash));
	cr_expect(eq(u64, timeline_now(t).cycle, now.cycle));
	cr_expect(lt(u64, now.cycle * 9 / 10, a.total));
	cycle_t sum = 0;
	for (size_t i = 0; i < a.n; i++)
		sum += a.at[i].cycles;
	cr_expect(eq(u64, sum, a.total));
	/* clearing the frame table is most of what a short run does */
	uint64_t at = 0, off = 0;
	const struct symtab *s = hotspots_symbols(r->m, ACCT_GUEST + 2);
	cr_assert(symtab_find(s, "frame_init", &at));
	const struct symbol *sym = symtab_at(s, at, &off);
	cr_expect(lt(u64, a.total / 4, hotspots_at(&a, ACCT_GUEST + 2, at, at + sym->size)));
	hotspots_take(&b, r, t, 1000000, 500, NULL, NULL);
	cr_assert(eq(sz, a.n, b.n));
	cr_expect(eq(int, memcmp(a.at, b.at, a.n * sizeof *a.at), 0));
	hotspots_fini(&a);
	hotspots_fini(&b);
	travel_close(v);
	session_fini(&session);
}

Test(hotspots, at_the_beginning_there_is_nothing)
{
	struct run *r = open_run("native");
	struct travel *v = travel_open(r);
	struct hotspots h = { 0 };
	hotspots_take(&h, r, travel_timeline(v), 1000, 10, NULL, NULL);
	cr_expect(eq(sz, h.n, 0));
	hotspots_fini(&h);
	travel_close(v);
	session_fini(&session);
}
