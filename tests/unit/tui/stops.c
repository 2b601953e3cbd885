/* What stops a run, on the screen: commands, the pane, what is said when one is hit. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/guest_run.h"
#include "ui/session/stops.h"
#include "ui/tui/tui.h"

static struct session session;

static struct tui *open_it(const char *mmu)
{
	struct run *r = guest_run(&session, "build/guests/kernel64.elf", "forkwait n=2", "mmu=%s", mmu);
	return tui_new(r, 120, 40, false);
}

static void close_it(struct tui *t)
{
	tui_free(t);
	session_fini(&session);
}

static bool shows(struct tui *t, const char *text)
{
	tui_draw(t);
	char *all = canvas_dump(&t->canvas);
	bool yes = strstr(all, text) != NULL;
	free(all);
	return yes;
}

static void keys(struct tui *t, const char *text)
{
	for (; *text; text++)
		tui_key(t, *text);
}

Test(tui_stops, each_kind_is_a_command)
{
	struct tui *t = open_it("native");
	keys(t, ":catch #PF\n");
	cr_expect(shows(t, "stop 1: catch #PF"));
	keys(t, "c");
	cr_expect(shows(t, "stop 1, catch #PF: cpu0 exception vector=14"));
	struct moment first = timeline_now(t->timeline);
	keys(t, "c");
	cr_expect(lt(u64, first.step, timeline_now(t->timeline).step));
	keys(t, "rc");
	cr_expect(eq(u64, timeline_now(t->timeline).step, first.step), "back to the one before");
	cr_expect(shows(t, "stop 1, catch #PF: cpu0 exception vector=14"));
	keys(t, ":stops\n");
	cr_expect(shows(t, "catch #PF"));
	keys(t, ":disable 1\n");
	cr_expect(shows(t, "stop 1 is off"));
	keys(t, ":enable 1\n:delete 1\n");
	cr_expect(shows(t, "stop 1 deleted"));
	cr_expect(eq(sz, stops_count(t->run), 0));
	close_it(t);
}

Test(tui_stops, b_makes_a_breakpoint_and_takes_it_away)
{
	struct tui *t = open_it("native");
	keys(t, "3sb");
	cr_expect(eq(sz, stops_count(t->run), 1));
	keys(t, "b");
	cr_expect(eq(sz, stops_count(t->run), 0));
	close_it(t);
}

Test(tui_stops, in_a_virtual_machine_it_is_the_guests)
{
	struct tui *t = open_it("ept");
	keys(t, ":break space_fault\n");
	cr_expect(shows(t, "stop 1: break space_fault, in "));
	keys(t, "c");
	cr_expect(eq(u32, machine_vm_on(t->m, t->m->cpu[0]), 1));
	cr_expect(shows(t, "space_fault"));
	close_it(t);
}

Test(tui_stops, mistakes_are_said)
{
	struct tui *t = open_it("native");
	keys(t, ":change cr33\n");
	cr_expect(shows(t, "did you mean 'cr3'?"));
	keys(t, ":delete 7\n");
	cr_expect(shows(t, "there is no stop 7"));
	close_it(t);
}
