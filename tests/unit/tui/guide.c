/* The guide: pages move on when their task is done, turn by hand, and a broken predicate is said and does not stay. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "ui/lua/scenario.h"
#include "ui/tui/tui.h"

static const char *const *script;       /* keys, each followed by what the screen must show then */
static unsigned asked;

static int stepper(void *who, struct run *r, struct err *e)
{
	(void)who, (void)e;
	struct tui *t = tui_new(r, 80, 24, false);
	for (; script[asked]; asked += 2) {
		for (const char *k = script[asked]; *k; k++)
			tui_key(t, *k);
		tui_draw(t);
		char *all = canvas_dump(&t->canvas);
		cr_expect(strstr(all, script[asked + 1]) != NULL, "after '%s': no '%s' in\n%s", script[asked], script[asked + 1], all);
		free(all);
	}
	tui_free(t);
	return 0;
}

static void guided(const char *pages, const char *const *keys)
{
	static const struct options o = { .max_cycles = NEVER, .quiet = true };
	struct session s;
	struct err e = { "" };
	struct scenario_options so = { .instructions = 100000000 };
	char text[2000];
	snprintf(text, sizeof text, "local m = machine { ram = '32M' }\nm:boot { kernel = guest 'kernel64', cmdline = 'nop' }\n"
	         "guide { %s }\nm:run()\n", pages);
	script = keys;
	asked = 0;
	session_init(&s, &o);
	s.stepper = stepper;
	int status = scenario_run_text(&s, &so, text, strlen(text), "test.lua", &e);
	cr_expect(eq(int, status, 0), "%s", e.text);
	cr_expect(lt(u32, 0, asked));
	session_fini(&s);
}

Test(guide, goes_on_when_the_task_is_done)
{
	guided("{ title = 'one', text = 'step', done = function() return m.instructions > 2 end }, { title = 'two', text = 'end' }",
	       (const char *const[]){ "", "1/2 one", "s", "1/2 one", "ss", "2/2 two", "3rs", "2/2 two", NULL });
}

Test(guide, turns_by_hand_and_stays_within_its_pages)
{
	guided("{ title = 'one', text = 'a' }, { title = 'two', text = 'b' }, { title = 'three', text = 'c' }",
	       (const char *const[]){ ")", "2/3 two", "))))", "3/3 three", "(", "2/3 two", "((((", "1/3 one", NULL });
}

Test(guide, shows_the_pane_a_page_names)
{
	guided("{ title = 'one', text = 'a', show = 'ledger' }, { title = 'two', text = 'b', show = 'stack' }",
	       (const char *const[]){ "", " ledger ", ")", " stack ", NULL });
}

Test(guide, a_predicate_that_fails_is_told)
{
	guided("{ title = 'one', text = 'a', done = function() return nothing.at_all end }, { title = 'two', text = 'b' }",
	       (const char *const[]){ "s", "nothing", "s", "2/2 two", NULL });
}
