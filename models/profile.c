/* profile.c - CPU profiles: their rows, the checks that they make sense. Values:
 * scenarios/cpus/NAME.lua. */
#include "models/profile.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COST_MAX 100000

const struct profile_row profile_rows[] = {
#define ROW(name, key, unit, min, max, dflt, sentence) \
	{ key, sentence, UNIT_##unit, min, max, dflt, offsetof(struct profile, name) },
#include "models/profile.def"
#define COST(NAME, key, dflt, sentence) \
	{ "cost." key, sentence, UNIT_CYCLES, 1, COST_MAX, dflt, offsetof(struct profile, cost) + COST_##NAME * sizeof(uint64_t) },
#include "models/cpu/cost.def"
};
const size_t profile_rows_n = ARRAY_LEN(profile_rows);

const char *profile_unit_name(enum profile_unit u)
{
	static const char *const name[] = {
		[UNIT_HERTZ] = "Hz", [UNIT_BITS] = "bits", [UNIT_BYTES] = "bytes", [UNIT_COUNT] = "",
		[UNIT_CYCLES] = "cycles", [UNIT_NANOSECONDS] = "ns", [UNIT_PERCENT] = "%", [UNIT_BOOL] = "0 or 1",
	};

	return name[u];
}

static uint64_t *value_of(struct profile *p, const struct profile_row *r)
{
	return (uint64_t *)((char *)p + r->off);
}

void profile_defaults(struct profile *p)
{
	memset(p, 0, sizeof *p);
	snprintf(p->name, sizeof p->name, "default");
	for (size_t i = 0; i < profile_rows_n; i++)
		*value_of(p, &profile_rows[i]) = profile_rows[i].dflt;
}

static const char *key_at(const void *table, size_t i)
{
	return ((const struct profile_row *)table)[i].key;
}

int profile_set(struct profile *p, const char *key, uint64_t value, const char *where,
                struct err *e)
{
	const char *near;
	char hint[160];

	for (size_t i = 0; i < profile_rows_n; i++) {
		const struct profile_row *r = &profile_rows[i];
		const char *unit = r->unit == UNIT_BOOL ? "" : profile_unit_name(r->unit);

		if (strcmp(r->key, key) != 0)
			continue;
		if (value < r->min || value > r->max)
			return err_set(e, where, r->sentence,
			               "%s = %" PRIu64 ": expected %" PRIu64 "..%" PRIu64 "%s%s",
			               key,
			               value, r->min, r->max, unit[0] ? " " : "", unit);
		*value_of(p, r) = value;
		return 0;
	}
	near = err_nearest(key, key_at, profile_rows, profile_rows_n);
	snprintf(hint, sizeof hint, "%s%s%sall keys: vmscope list config",
	         near ? "did you mean '" : "", near ? near : "",
	         near ? "'? " : "");
	return err_set(e, where, hint, "unknown profile key '%s'", key);
}

/* ---- rows that must fit together ---- */

/* A structure of `entries` in `ways` has a power of two of sets, so that address bits
 * select one. */
static int check_sets(const char *what, uint64_t entries, uint64_t ways, const char *where,
                      struct err *e)
{
	uint64_t sets = ways ? entries / ways : 0;

	if (entries == 0)
		return 0;
	if (ways == 0 || entries % ways != 0)
		return err_set(e, where, "entries must be a multiple of ways",
		               "%s: %" PRIu64 " entries in %" PRIu64 " ways", what,
		               entries, ways);
	if (sets & (sets - 1))
		return err_set(e, where, "entries divided by ways must be a power of two",
		               "%s: %" PRIu64 " entries in %" PRIu64 " ways make %" PRIu64 " sets",
		               what, entries, ways, sets);
	return 0;
}

int profile_check(const struct profile *p, const char *where, struct err *e)
{
	const struct { const char *what; uint64_t entries, ways; } sets[] = {
		{ "l1i", p->l1i_size / p->line, p->l1i_ways },
		{ "l1d", p->l1d_size / p->line, p->l1d_ways },
		{ "l2", p->l2_size / p->line, p->l2_ways },
		{ "l3", p->l3_size / p->line, p->l3_ways },
		{ "itlb.4k", p->itlb_4k, p->itlb_4k_ways },
		{ "itlb.2m", p->itlb_2m, p->itlb_2m_ways },
		{ "dtlb.4k", p->dtlb_4k, p->dtlb_4k_ways },
		{ "dtlb.2m", p->dtlb_2m, p->dtlb_2m_ways },
		{ "dtlb.1g", p->dtlb_1g, p->dtlb_1g_ways },
		{ "stlb.4k", p->stlb_4k, p->stlb_4k_ways },
		{ "stlb.1g", p->stlb_1g, p->stlb_1g_ways },
	};

	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		if (check_sets(sets[i].what, sets[i].entries, sets[i].ways, where, e) != 0)
			return -1;
	if (p->l2_size < p->l1d_size || p->l2_size < p->l1i_size)
		return err_set(e, where, NULL, "l2.size = %" PRIu64 " is smaller than an L1 cache",
		               p->l2_size);
	if (p->l3_size && p->l3_size < p->l2_size)
		return err_set(e, where, "0 means none",
		               "l3.size = %" PRIu64 " is smaller than l2.size = %" PRIu64,
		               p->l3_size,
		               p->l2_size);
	if (p->l2_latency < p->l1_latency || (p->l3_size && p->l3_latency < p->l2_latency) ||
	    p->mem_latency < (p->l3_size ? p->l3_latency : p->l2_latency))
		return err_set(e, where, "l1.latency <= l2.latency <= l3.latency <= mem.latency",
		               "latencies do not ascend");
	return 0;
}
