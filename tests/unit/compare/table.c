/* The text, made from records that are written by hand. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "made_up.h"
#include "ui/compare/text.h"

static char *printed(const struct comparison *c, const char *show)
{
	struct err e = { "" };
	struct show s;
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	cr_assert(eq(int, show_parse(&s, show, &e), 0), "%s", e.text);
	comparison_print(c, &s, f);
	fclose(f);
	return text;
}

Test(table, the_summary_shows_slowdowns_and_marks_the_best)
{
	struct comparison c;
	char *text;

	made_up(&c);
	text = printed(&c, "summary");
	cr_expect(eq(str, text,
	             (char *)"2 workloads under 3 techniques on 1 CPU profile; the guest has 128M of memory.\n"
	             "Verified: under every technique the guest printed the same and left the same\n"
	             "memory as on the bare machine (4 cases).\n"
	             "\n"
	             "Slowdown on skylake: cycles on the bare machine, then how many times as many;\n"
	             "* marks the best\n"
	             "workload   native shadow.wp        ept\n"
	             "gups         1000      1.01*      1.91\n"
	             "forkwait     1050      5.71       1.19*\n"));
	free(text);
	comparison_fini(&c);
}

Test(table, the_matrix_has_a_column_for_each_technique)
{
	struct comparison c;
	char *text;

	made_up(&c);
	text = printed(&c, "matrix");
	cr_expect(says(text, "                  vmx    vmx\n"
	                     "workload  bare     wp    ept\n"
	                     "gups      1000   1.01*  1.91\n"
	                     "forkwait  1050   5.71   1.19*\n"), "%s", text);
	free(text);
	comparison_fini(&c);
}

Test(table, no_line_is_wider_than_a_terminal)
{
	struct comparison c;
	char *text;

	made_up(&c);
	for (size_t i = 0; i < c.plan.n; i++) {         /* large numbers are the wide ones */
		c.record[i].cycles.region *= 123456789;
		for (size_t k = 0; k < c.record[i].numbers; k++)
			c.record[i].number[k].region *= 123456789;
	}
	c.record[4].end = CASE_FAILED;
	c.record[4].why = xstrdup("the guest ended the run, exit status 5; its last line: panic: something went terribly, terribly wrong in here");
	text = printed(&c, NULL);
	for (const char *p = text, *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		cr_assert(end != NULL);
		cr_expect(le(sz, (size_t)(end - p), 80), "%.*s", (int)(end - p), p);
	}
	free(text);
	comparison_fini(&c);
}

Test(table, exits_are_counted_by_reason)
{
	struct comparison c;
	char *text;

	made_up(&c);
	text = printed(&c, "exits");
	cr_expect(says(text, "forkwait shadow.wp   400   300    90     .     .    10     .     .     .\n"), "%s", text);
	cr_expect(says(text, "         ept          12     2     .     .     8     2     .     .     .\n"), "%s", text);
	free(text);
	comparison_fini(&c);
}

Test(table, a_failed_case_says_why_and_fails_the_comparison)
{
	struct comparison c;
	char *text;

	made_up(&c);
	c.record[4].end = CASE_CRASHED;
	c.record[4].why = xstrdup("the worker was killed by signal 11");
	text = printed(&c, "summary");
	cr_expect(says(text, "of memory.\n1 of 6 cases failed:\n  forkwait under vmx/shadow.wp on skylake: crashed: the worker was killed by\n"
	                     "    signal 11\nVerified"), "%s", text);
	cr_expect(says(text, "forkwait     1050   CRASHED       1.19\n"), "%s", text);
	cr_expect(eq(int, comparison_status(&c), 1));
	free(text);
	comparison_fini(&c);
}

static void fail(struct comparison *c, size_t at, const char *why)
{
	c->record[at].end = CASE_FAILED;
	free(c->record[at].why);
	c->record[at].why = xstrdup(why);
}

Test(table, one_reason_is_one_message_and_has_no_lines_in_the_tables)
{
	struct comparison c;
	char *text;

	made_up(&c);
	for (size_t t = 0; t < 3; t++)
		fail(&c, 3 + t, "no such thing");
	text = printed(&c, NULL);
	cr_expect(says(text, "3 of 6 cases failed:\n  forkwait under every technique on skylake: failed: no such thing\nVerified"), "%s", text);
	cr_expect(says(text, "gups"), "%s", text);
	cr_expect(not(says(strstr(text, "Verified"), "forkwait")), "%s", text);
	free(text);
	comparison_fini(&c);
}

Test(table, reasons_are_told_apart)
{
	struct comparison c;
	char *text;

	made_up(&c);
	fail(&c, 1, "no room");
	fail(&c, 4, "no room");
	fail(&c, 5, "no EPT");
	text = printed(&c, "summary,exits");
	cr_expect(says(text, "3 of 6 cases failed:\n  gups, forkwait under vmx/shadow.wp on skylake: failed: no room\n"
	                     "  forkwait under vmx/ept on skylake: failed: no EPT\n"), "%s", text);
	cr_expect(says(text, "gups         1000    FAILED       1.91\nforkwait     1050    FAILED     FAILED\n"), "%s", text);
	cr_expect(says(text, "\ngups     ept           1"), "%s", text);
	free(text);
	comparison_fini(&c);
}

Test(table, where_nothing_ran_there_is_no_table)
{
	struct comparison c;
	char *text;

	made_up(&c);
	for (size_t i = 0; i < 6; i++)
		fail(&c, i, "no such thing");
	text = printed(&c, NULL);
	cr_expect(eq(str, text, (char *)"2 workloads under 3 techniques on 1 CPU profile; the guest has 128M of memory.\n"
	             "6 of 6 cases failed:\n"
	             "  gups, forkwait under every technique on skylake: failed: no such thing\n"));
	free(text);
	comparison_fini(&c);
}

Test(table, a_workload_too_long_for_a_column_stands_above_its_lines)
{
	struct comparison c;
	char *text;

	made_up(&c);
	free(c.plan.workload.v[0]);
	c.plan.workload.v[0] = xstrdup("gups n=1234567 size=64m pages=2m seed=12345");
	text = printed(&c, "summary,exits");
	cr_expect(says(text, "\ngups n=1234567 size=64m pages=2m seed=12345\n                               1000"), "%s", text);
	cr_expect(says(text, "\ngups n=1234567 size=64m pages=2m seed=12345\n shadow.wp     1     1"), "%s", text);
	free(text);
	comparison_fini(&c);
}

Test(table, unknown_part)
{
	struct err e = { "" };
	struct show s;

	cr_expect(eq(int, show_parse(&s, "summary,nix", &e), -1));
	cr_expect(says(e.text, "unknown part 'nix'"));
}

#define COMPACT(name, v, want) \
	Test(table, compact_##name) { char b[24]; cr_expect(eq(str, (char *)compact(v, b, sizeof b), (char *)want)); }
COMPACT(zero, 0, "0")
COMPACT(exact_to_four_digits, 9999, "9999")
COMPACT(five_digits, 10000, "10.0k")
COMPACT(rounds_up_in_width, 99950, "100k")
COMPACT(next_unit, 999500, "1.0M")
COMPACT(most, ~0ull, "18.4E")

Test(why, page_walks_decide)
{
	struct comparison c;
	char text[512];

	made_up(&c);
	why_sentence(&c, 0, 0, 0, text, sizeof text);
	cr_expect(eq(str, text, (char *)"gups: shadow.wp wins, 1.89x faster than ept: ept spends 63 % of its cycles translating addresses "
	             "(shadow.wp: 30 %): a TLB miss costs 12 cycles and 5.0 references to page tables against 3 and 1.0."));
	comparison_fini(&c);
}

Test(why, exits_decide)
{
	struct comparison c;
	char text[512];

	made_up(&c);
	why_sentence(&c, 0, 1, 0, text, sizeof text);
	cr_expect(eq(str, text, (char *)"forkwait: ept wins, 4.8x faster than shadow.wp: shadow.wp spends 82 % of its cycles on 400 VM exits, "
	             "300 of them for page faults and other exceptions (ept: 12 exits, 2 such)."));
	comparison_fini(&c);
}

Test(why, hardly_a_difference_is_none)
{
	struct comparison c;
	char text[512];

	made_up(&c);
	c.record[1].cycles.region = c.record[2].cycles.region = 1500;
	why_sentence(&c, 0, 0, 0, text, sizeof text);
	cr_expect(eq(str, text, (char *)"gups: shadow.wp and ept are level, 1.50 and 1.50 times the bare machine."));
	comparison_fini(&c);
}

Test(why, a_device_model_may_be_faster_than_the_device)
{
	struct comparison c;
	char text[512];

	made_up(&c);
	c.plan.technique.n = 2;         /* native and one other */
	c.record[1].cycles.region = 800;
	why_sentence(&c, 0, 0, 0, text, sizeof text);
	cr_expect(eq(str, text, (char *)"gups: shadow.wp needs only 0.80 times the cycles of the bare machine: native spends 70 % of its cycles "
	             "executing instructions (shadow.wp: 69 %)."));
	c.plan.technique.n = 3;
	comparison_fini(&c);
}

Test(why, nothing_ran)
{
	struct comparison c;
	char text[512];

	made_up(&c);
	c.record[0].end = CASE_FAILED;
	why_sentence(&c, 0, 0, 0, text, sizeof text);
	cr_expect(eq(str, text, (char *)"gups: nothing to compare."));
	comparison_fini(&c);
}

Test(metric, every_cycle_belongs_to_one_share)
{
	struct comparison c;

	made_up(&c);
	for (size_t i = 0; i < c.plan.n; i++) {
		uint64_t sum = 0;

		for (unsigned s = 0; s < SHARES; s++)
			sum += record_share(&c.record[i], (enum share)s);
		cr_expect(eq(u64, sum, record_cycles(&c.record[i])));
	}
	comparison_fini(&c);
}

Test(metric, without_a_region_the_whole_run_counts)
{
	struct comparison c;

	made_up(&c);
	c.record[0].regions = 0;
	cr_expect(eq(u64, record_cycles(&c.record[0]), 10000));
	cr_expect(eq(u64, record_metric(&c.record[0], METRIC_TLB_MISS), 200));
	comparison_fini(&c);
}
