/* Divergence is found, and told where. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "made_up.h"
#include "models/symbols.h"

static struct comparison c;
static struct case_record *a, *b;

static void setup(void)
{
	made_up(&c);
	a = &c.record[0];
	b = &c.record[1];
}

static void teardown(void)
{
	comparison_fini(&c);
}

TestSuite(verify, .init = setup, .fini = teardown);

Test(verify, the_same_is_no_divergence)
{
	cr_expect(eq(ptr, verify_pair(a, b, NULL, 0, NULL, true), NULL));
}

Test(verify, first_line_of_the_console_that_differs)
{
	char *text;

	made_up_console(b, "hello\nthere\n");
	text = verify_pair(a, b, NULL, 0, NULL, true);
	cr_assert(text != NULL);
	cr_expect(eq(str, text, (char *)"the console differs from line 2 on:\n    native   world\n    here     there\n"));
	free(text);
}

Test(verify, a_console_that_ends_early)
{
	char *text;

	made_up_console(b, "hello\n");
	text = verify_pair(a, b, NULL, 0, NULL, true);
	cr_assert(text != NULL);
	cr_expect(eq(str, text, (char *)"the console differs from line 2 on:\n    native   world\n    here     (the console ends here)\n"));
	free(text);
}

Test(verify, first_byte_of_memory_that_differs_with_its_symbol)
{
	struct symtab *t = symtab_new();
	char *text;

	symtab_add(t, "ticks", 0xFFFFFFFF80102010, 8, false, true);
	symtab_sort(t);
	b->page[1].bytes[0x13] = 'x';
	b->page[1].hash++;
	text = verify_pair(a, b, NULL, 0, t, true);
	cr_assert(text != NULL);
	cr_expect(says(text, "1 page of guest memory differs; the first byte that does: guest-physical 0x102013 (ticks+0x3)\n"), "%s", text);
	cr_expect(says(text, "native   61 00 00"), "%s", text);
	cr_expect(says(text, "here     78 00 00"), "%s", text);
	free(text);
	symtab_free(t);
}

Test(verify, a_page_that_only_one_has)
{
	char *text;

	made_up_page(b, 0x200000, "left behind", 8);
	text = verify_pair(a, b, NULL, 0, NULL, true);
	cr_assert(text != NULL);
	cr_expect(says(text, "1 page of guest memory differs; the first byte that does: guest-physical 0x200008\n"), "%s", text);
	free(text);
}

Test(verify, what_may_differ_may)
{
	const struct memory_range ticks = { 0x102013, 0x102014 }, other = { 0x102014, 0x103000 };
	char *text;

	b->page[1].bytes[0x13] = 'x';
	b->page[1].hash++;
	cr_expect(eq(ptr, verify_pair(a, b, &ticks, 1, NULL, true), NULL));
	text = verify_pair(a, b, &other, 1, NULL, true);
	cr_expect(ne(ptr, text, NULL));
	free(text);
}

Test(verify, console_alone)
{
	made_up_page(b, 0x200000, "left behind", 0);
	cr_expect(eq(ptr, verify_pair(a, b, NULL, 0, NULL, false), NULL));
}

Test(verify, another_exit_status)
{
	char *text;

	b->status = 0;
	text = verify_pair(a, b, NULL, 0, NULL, true);
	cr_assert(text != NULL);
	cr_expect(eq(str, text, (char *)"the guest's exit status is 0, on the bare machine 1\n"));
	free(text);
}

Test(verify, a_comparison_with_a_divergence_fails)
{
	made_up_console(&c.record[4], "hello\n");
	verify(&c);
	cr_assert(eq(sz, c.divergences, 1));
	cr_expect(eq(sz, c.divergence[0].at, 4));
	cr_expect(eq(int, comparison_status(&c), 1));
}

Test(verify, all_good)
{
	verify(&c);
	cr_expect(eq(sz, c.divergences, 0));
	cr_expect(eq(int, comparison_status(&c), 0));
}

/* With several CPUs the teaching kernel alone sees to it that its memory does not depend on which came first. */
Test(verify, memory_of_other_guests_is_left_out_with_several_cpus)
{
	struct comparison k;

	memset(&k, 0, sizeof k);
	cr_expect(verify_memory(&k));
	k.options.cpus = 2;
	cr_expect(not(verify_memory(&k)));
	k.plan.standard = true;
	cr_expect(verify_memory(&k));
	k.plan.standard = false;
	k.options.except.n = 1;
	cr_expect(verify_memory(&k), "what may differ was named");
	k.options.console_only = true;
	cr_expect(not(verify_memory(&k)));
}
