#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/profile.h"

static struct profile p;
static struct err e;

static void setup(void)
{
	profile_defaults(&p);
	e.text[0] = '\0';
}
TestSuite(profile, .init = setup);

Test(profile, defaults_fit_together)
{
	cr_expect(eq(int, profile_check(&p, NULL, &e), 0), "%s", e.text);
	cr_expect(eq(u64, p.l1d_size, 32768));
	cr_expect(eq(u64, p.cost[COST_SYSCALL], 38));
}

Test(profile, every_default_is_within_its_range)
{
	for (size_t i = 0; i < profile_rows_n; i++) {
		const struct profile_row *r = &profile_rows[i];

		cr_expect(eq(int, profile_set(&p, r->key, r->dflt, NULL, &e), 0), "%s: %s", r->key, e.text);
	}
}

Test(profile, geometry_and_costs_are_set_by_key)
{
	cr_expect(eq(int, profile_set(&p, "dtlb.4k.ways", 64, NULL, &e), 0));
	cr_expect(eq(int, profile_set(&p, "cost.cr8.write", 150, NULL, &e), 0));
	cr_expect(eq(u64, p.dtlb_4k_ways, 64));
	cr_expect(eq(u64, p.cost[COST_CR8_WRITE], 150));
}

Test(profile, ranges_are_printed)
{
	cr_expect(eq(int, profile_set(&p, "phys_bits", 31, "x.lua:3", &e), -1));
	cr_expect_not_null(strstr(e.text, "x.lua:3: phys_bits = 31: expected 32..52 bits"), "%s", e.text);
	cr_expect(eq(u64, p.phys_bits, 46));
}

Test(profile, unknown_keys_come_with_a_suggestion)
{
	cr_expect(eq(int, profile_set(&p, "cost.sycall", 1, NULL, &e), -1));
	cr_expect_not_null(strstr(e.text, "did you mean 'cost.syscall'?"), "%s", e.text);
}

#define REFUSED(test, row, value, says) \
Test(profile, test) \
{ \
	cr_assert(eq(int, profile_set(&p, row, value, NULL, &e), 0), "%s", e.text); \
	cr_expect(eq(int, profile_check(&p, NULL, &e), -1)); \
	cr_expect_not_null(strstr(e.text, says), "%s", e.text); \
}
REFUSED(ways_divide_entries, "dtlb.4k.ways", 7, "dtlb.4k: 64 entries in 7 ways")
REFUSED(sets_are_a_power_of_two, "stlb.4k.ways", 16, "stlb.4k: 1536 entries in 16 ways make 96 sets")
REFUSED(l2_is_not_smaller_than_l1, "l1d.size", 524288, "l2.size = 262144 is smaller than an L1 cache")
REFUSED(latencies_ascend, "l2.latency", 50, "latencies do not ascend")

Test(profile, nanoseconds_become_cycles)
{
	p.hz = 3800000000;
	cr_expect(eq(u64, profile_ns(&p, 800), 3040));
}
