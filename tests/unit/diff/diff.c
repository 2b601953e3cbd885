/* diff.c - vmscope diff on small files: what it calls the same, what it says of a difference, what it refuses. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ui/diff/diff.h"

TestSuite(diff, .timeout = 60);

static char path[2][64];
static char said[16384];

static void write_file(unsigned s, const char *text, size_t n)
{
	snprintf(path[s], sizeof path[s], "/tmp/vmscope-diff-XXXXXX");
	const int fd = mkstemp(path[s]);
	cr_assert(fd >= 0);
	cr_assert(write(fd, text, n) == (ssize_t)n);
	close(fd);
}

static int files(const char *a, const char *b, const struct diff_options *o, struct err *e)
{
	FILE *out = fmemopen(said, sizeof said, "w");

	write_file(0, a, strlen(a));
	write_file(1, b, strlen(b));
	const int status = diff_files(out, path[0], path[1], o, e);
	fclose(out);
	unlink(path[0]);
	unlink(path[1]);
	return status;
}

#define OPTIONS(...) (&(struct diff_options){ .context = 2, __VA_ARGS__ })
#define LINE(cycle, component, event, args) \
	"{\"machine\":\"m0\",\"cycle\":" #cycle ",\"seconds\":0.0,\"component\":\"" component "\",\"event\":\"" event "\"" args "}\n"

#define ROW(name, a, b, options, want) \
	Test(diff, name) { struct err e = { "" }; cr_expect(eq(int, files(a, b, options, &e), want), "%s%s", e.text, said); }

ROW(the_same, LINE(1, "cpu0", "cr", ",\"number\":3"), LINE(1, "cpu0", "cr", ",\"number\":3"), OPTIONS(), 0)
ROW(two_empty_traces, "", "", OPTIONS(), 0)
ROW(an_argument_differs, LINE(1, "cpu0", "cr", ",\"number\":3"), LINE(1, "cpu0", "cr", ",\"number\":4"), OPTIONS(), 1)
ROW(an_argument_is_missing, LINE(1, "cpu0", "cr", ",\"number\":3"), LINE(1, "cpu0", "cr", ""), OPTIONS(), 1)
ROW(an_argument_is_ignored, LINE(1, "cpu0", "cr", ",\"number\":3"), LINE(1, "cpu0", "cr", ",\"number\":4"), OPTIONS(.ignore = "x,number"), 0)
ROW(cycles_alone_by_order, LINE(1, "cpu0", "cr", ""), LINE(2, "cpu0", "cr", ""), OPTIONS(), 0)
ROW(cycles_alone_by_time, LINE(1, "cpu0", "cr", ""), LINE(2, "cpu0", "cr", ""), OPTIONS(.by_time = true), 1)
ROW(durations_by_order, LINE(1, "cpu0", "phase", ",\"cycles\":3"), LINE(1, "cpu0", "phase", ",\"cycles\":4"), OPTIONS(), 0)
ROW(durations_by_time, LINE(1, "cpu0", "phase", ",\"cycles\":3"), LINE(1, "cpu0", "phase", ",\"cycles\":4"), OPTIONS(.by_time = true), 1)
ROW(one_goes_on, LINE(1, "cpu0", "cr", ""), LINE(1, "cpu0", "cr", "") LINE(2, "cpu0", "cr", ""), OPTIONS(), 1)
ROW(one_has_another_component, LINE(1, "cpu0", "cr", ""), LINE(1, "cpu0", "cr", "") LINE(2, "pit", "irq", ""), OPTIONS(), 1)
ROW(events_that_are_not_compared, LINE(1, "cpu0", "cr", ""), LINE(1, "cpu0", "cr", "") LINE(2, "pit", "irq", ""), OPTIONS(.events = "c*"), 0)
ROW(components_in_another_order, LINE(1, "cpu0", "cr", "") LINE(1, "cpu1", "cr", ""), LINE(1, "cpu1", "cr", "") LINE(1, "cpu0", "cr", ""), OPTIONS(), 0)
ROW(json_lines_and_csv, LINE(1, "cpu0", "cr", ",\"number\":3,\"value\":\"0x7\""),
    "machine,cycle,seconds,component,event,value,number\nm0,1,0.0,cpu0,cr,0x7,3\n", OPTIONS(), 0)
ROW(text_and_text, "  12 cpu0 cr number=3 value=0x1\n# m0: 1 records\n", "  15 cpu0 cr number=3 value=0x1\n", OPTIONS(), 0)
ROW(results_the_same, "{\n \"a\": [1, {\"b\": \"x\"}]\n}\n", "{\"a\":[1,{\"b\":\"x\"}]}", OPTIONS(), 0)
ROW(results_differ, "{\"a\":[1,{\"b\":\"x\"}]}", "{\"a\":[1,{\"b\":\"y\"}]}", OPTIONS(), 1)
ROW(results_ignored, "{\"a\":[1,{\"b\":\"x\"}]}", "{\"a\":[1,{\"b\":\"y\"}]}", OPTIONS(.ignore = "b"), 0)
ROW(statistics_in_two_forms, "name,value,unit,what\ncpu0.walk,3,Count,\"x\"\n", "\n---------- Begin Simulation Statistics ----------\ncpu0.walk   3  # x\n", OPTIONS(), 0)

Test(diff, tells_where_and_what_with_cycles_from_the_last_that_is_the_same)
{
	struct err e = { "" };
	char want[1024];

	cr_expect(eq(int, files(LINE(10, "cpu0", "halt", "") LINE(12, "com1", "uart_tx", "") LINE(20, "cpu0", "cr", ",\"value\":\"0x1\""),
	                        LINE(11, "cpu0", "halt", "") LINE(12, "com1", "uart_tx", "") LINE(25, "cpu0", "cr", ",\"value\":\"0x2\"")
	                        LINE(30, "cpu0", "wake", ""), OPTIONS(), &e), 1));
	snprintf(want, sizeof want, "A %s\nB %s\n"
	         "m0 cpu0: 1 records are the same, then value differs (%s:3, %s:3): 0x1 in A, 0x2 in B\n"
	         "  A         10 (+0) halt\n  B         11 (+0) halt\n"
	         "> A         20 (+10) cr value=0x1\n> B         25 (+14) cr value=0x2\n  B         30 (+19) wake\n"
	         "others: m0 com1 the same, 1\n", path[0], path[1], path[0], path[1]);
	cr_expect(eq(str, said, want));
}

Test(diff, the_difference_told_is_the_first_in_time)
{
	struct err e = { "" };

	files(LINE(50, "cpu0", "cr", ",\"value\":1") LINE(20, "cpu1", "cr", ",\"value\":1"), LINE(50, "cpu0", "cr", ",\"value\":2")
	      LINE(30, "cpu1", "cr", ",\"value\":2"), OPTIONS(), &e);
	cr_expect(ne(ptr, strstr(said, "m0 cpu1: 0 records are the same, then value differs"), NULL), "%s", said);
}

#define REFUSED(name, a, b, want) \
	Test(diff, name) { struct err e = { "" }; cr_expect(eq(int, files(a, b, OPTIONS(), &e), -1)); \
	cr_expect(ne(ptr, strstr(e.text, want), NULL), "%s", e.text); }

REFUSED(refuses_what_is_no_record, LINE(1, "cpu0", "cr", ""), LINE(1, "cpu0", "cr", "") "{\"event\":}\n", ":2: this is no trace record")
REFUSED(refuses_a_record_without_a_cycle, "{\"component\":\"cpu0\",\"event\":\"cr\"}\n", "", ":1: this is no trace record")
REFUSED(refuses_a_cycle_that_is_no_number, LINE(-1, "cpu0", "cr", ""), "", ":1: this is no trace record")
REFUSED(refuses_a_csv_line_of_other_columns, "machine,cycle,seconds,component,event\nm0,1,0.0,cpu0\n", "", ":2: this is no trace record")
REFUSED(refuses_a_trace_and_a_result, LINE(1, "cpu0", "cr", ""), "{\"a\":1}", "is a trace")
REFUSED(refuses_broken_json, "{\"a\":1,}", "{}", ":1: a comma at the end")
REFUSED(refuses_a_string_without_end, "{\"a\":\"1", "{}", "a string does not end")

Test(diff, refuses_lines_that_are_too_long_and_nesting_that_is_too_deep)
{
	struct err e = { "" }, e2 = { "" };
	char *text = malloc(100001);

	memset(text, 'x', 100000);
	text[100000] = '\0';
	cr_expect(eq(int, files(text, "", OPTIONS(), &e), -1));
	cr_expect(ne(ptr, strstr(e.text, ":1: a line of more than"), NULL), "%s", e.text);
	memset(text, '[', 6000);
	text[6000] = '\n';
	text[6001] = '\0';
	cr_expect(eq(int, files(text, "{}", OPTIONS(), &e2), -1));
	cr_expect(ne(ptr, strstr(e2.text, "deeper than 32 levels"), NULL), "%s", e2.text);
	free(text);
}

Test(diff, refuses_what_is_no_text_even_without_an_end)
{
	struct err e = { "" };

	cr_expect(eq(int, diff_files(stdout, "/dev/zero", "/dev/zero", OPTIONS(), &e), -1));
	cr_expect(ne(ptr, strstr(e.text, "/dev/zero:1: a NUL byte"), NULL), "%s", e.text);
}

Test(diff, a_missing_file_is_the_users_mistake)
{
	struct err e = { "" };

	cr_expect(eq(int, diff_files(stdout, "/nonexistent/a", "/nonexistent/b", OPTIONS(), &e), -1));
	cr_expect(ne(ptr, strstr(e.text, "/nonexistent/a: cannot open"), NULL), "%s", e.text);
}

/* Any file cut off anywhere, and any byte of it another: an answer, never a crash. */
Test(diff, survives_every_cut_and_every_changed_byte)
{
	static const char *const text[] = { LINE(10, "cpu0", "halt", "") LINE(20, "cpu0", "cr", ",\"value\":\"0x\\\"1\""),
	                                    "machine,cycle,seconds,component,event,value\nm0,1,0.0,cpu0,cr,0x7\n",
	                                    "{\"a\":[1,{\"b\":\"x\"}],\"c\":null}" };
	unsigned answers = 0;

	for (size_t t = 0; t < sizeof text / sizeof *text; t++)
		for (size_t i = 0; i < strlen(text[t]); i++)
			for (unsigned k = 0; k < 4; k++) {
				struct err e = { "" };
				char other[1024];

				snprintf(other, sizeof other, "%s", text[t]);
				other[i] = "\0\"{\xff"[k];
				const int status = files(text[t], other, OPTIONS(), &e);
				answers += status >= 0 || e.text[0];
			}
	cr_expect(eq(uint, answers, 4 * (unsigned)(strlen(text[0]) + strlen(text[1]) + strlen(text[2]))));
}
