/* trace_format.c - times of trace records are exact, and arguments come by name. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "ui/export/trace_format.h"

#define SECONDS(name, cycle, hz, want) \
	Test(trace_format, name) { char buf[40]; cr_expect(eq(str, (char *)trace_seconds(cycle, hz, buf, sizeof buf), want)); }

SECONDS(nothing, 0, 2200000000, "0.000000000000")
SECONDS(one_cycle, 1, 2200000000, "0.000000000454")
SECONDS(a_second, 2200000000, 2200000000, "1.000000000000")
SECONDS(a_cycle_less, 2199999999, 2200000000, "0.999999999545")
SECONDS(the_largest, ~0ull, 1000000000, "18446744073.709551615000")

Test(trace_format, no_two_cycles_fall_together_in_picoseconds_and_none_go_back_in_nanoseconds)
{
	const uint64_t hz = 3800000000;

	for (cycle_t c = 1ull << 50; c < (1ull << 50) + 10000; c++) {
		cr_assert(lt(u64, trace_units(c, hz, 1000000000000), trace_units(c + 1, hz, 1000000000000)));
		cr_assert(le(u64, trace_units(c, hz, 1000000000), trace_units(c + 1, hz, 1000000000)));
	}
}

Test(trace_format, arguments_have_their_names_and_say_how_they_are_written)
{
	static const struct trace_row row = { "x", "line# base", "a test" };
	const struct trace_record r = { .event = TRACE_IO, .a = { 3, 0x10 } };
	struct trace_arg arg[4];
	struct trace t;

	trace_init(&t, 16);
	trace_rows(&t, TRACE_IO, &row, 1);
	cr_assert(eq(uint, trace_args(&t, &r, arg), 2));
	cr_expect(eq(str, arg[0].name, "line"));
	cr_expect(arg[0].decimal);
	cr_expect(eq(u64, arg[0].value, 3));
	cr_expect(eq(str, arg[1].name, "base"));
	cr_expect(eq(u64, arg[1].value, 0x10));
	cr_expect(not(arg[1].decimal));
	trace_fini(&t);
}
