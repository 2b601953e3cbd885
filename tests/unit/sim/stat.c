#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "sim/stat.h"

static const struct stat_row rows[] = {
	{ "walk", STAT_COUNT, "page walks" },
	{ "walk.cycles", STAT_CYCLES, "cycles spent in page walks" },
};

static void collect(void *arg, const char *name, const struct stat_row *row, uint64_t value)
{
	char line[160];

	snprintf(line, sizeof line, "%s=%lu %s|", name, (unsigned long)value, row->sentence);
	strncat(arg, line, 1000 - strlen(arg));
}

Test(stat, found_by_full_name)
{
	struct stats s = { 0 };
	uint64_t a[2] = { 3, 40 }, b[2] = { 5, 60 }, v = 0;

	stats_add(&s, "cpu0", rows, 2, a);
	stats_add(&s, "cpu1", rows, 2, b);
	cr_assert(stats_get(&s, "cpu1.walk.cycles", &v));
	cr_expect(eq(u64, v, 60));
	a[0] = 4;
	cr_assert(stats_get(&s, "cpu0.walk", &v));
	cr_expect(eq(u64, v, 4), "the registry reads the module's own counter");
	cr_expect(not(stats_get(&s, "cpu0.wal", &v)));
	cr_expect(not(stats_get(&s, "cpu0", &v)));
	cr_expect(not(stats_get(&s, "walk", &v)));
	stats_fini(&s);
}

Test(stat, each_in_registration_order_then_reset)
{
	struct stats s = { 0 };
	uint64_t a[2] = { 3, 40 }, b[1] = { 1 };
	char text[1024] = "";

	stats_add(&s, "cpu0", rows, 2, a);
	stats_add(&s, "", rows, 1, b);
	stats_each(&s, collect, text);
	cr_expect(eq(str, text, "cpu0.walk=3 page walks|cpu0.walk.cycles=40 cycles spent in page walks|walk=1 page walks|"));
	stats_reset(&s);
	cr_expect(eq(u64, a[0] + a[1] + b[0], 0));
	stats_fini(&s);
}

Test(stat, grows_beyond_its_first_room)
{
	struct stats s = { 0 };
	uint64_t a[100][2] = { 0 }, v = 0;
	char prefix[24];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(prefix, sizeof prefix, "dev%u", i);
		a[i][0] = i;
		stats_add(&s, prefix, rows, 2, a[i]);
	}
	cr_assert(stats_get(&s, "dev99.walk", &v));
	cr_expect(eq(u64, v, 99));
	cr_assert(stats_get(&s, "dev9.walk", &v));
	cr_expect(eq(u64, v, 9));
	stats_fini(&s);
}
