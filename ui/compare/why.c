/* why.c - one sentence per workload: who wins, by how much, and what the loser spends the difference on. It is made from
 * the differences of the two ledgers alone. */
#include "ui/compare/compare.h"

#include <inttypes.h>
#include <string.h>

#include "ui/compare/text.h"

static bool same_family(const struct case_spec *a, const struct case_spec *b)
{
	size_t n = strcspn(a->mmu, "."), k = strcspn(b->mmu, ".");

	return strcmp(a->cpu, b->cpu) == 0 && n == k && strncmp(a->mmu, b->mmu, n) == 0;
}

/* The best technique with a VMM other than those like `but` (0: none excluded); 0: there is none. */
static size_t best(const struct comparison *c, size_t block, size_t but)
{
	size_t found = 0;

	for (size_t t = 1; t < c->plan.technique.n; t++) {
		if (!(slowdown(c, block + t) > 0) || (but && same_family(&c->plan.spec[but], &c->plan.spec[t])))
			continue;
		if (!found || slowdown(c, block + t) < slowdown(c, block + found))
			found = t;
	}
	return found;
}

static size_t worst(const struct comparison *c, size_t block)
{
	size_t found = 0;

	for (size_t t = 1; t < c->plan.technique.n; t++)
		if (slowdown(c, block + t) > 0 && (!found || slowdown(c, block + t) > slowdown(c, block + found)))
			found = t;
	return found;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static uint64_t exit_work(const struct case_record *r)
{
	return record_share(r, SHARE_SWITCH) + record_share(r, SHARE_SERVICE) + record_share(r, SHARE_SHADOW);
}

/* The kind of exit of which `slow` has most more than `fast`. */
static void most_exits(const struct case_record *slow, const struct case_record *fast, const char *fast_name, char *buf, size_t n)
{
	static const struct { enum metric m; const char *what; } kind[] = {
		{ METRIC_EXIT_FAULT, "page faults and other exceptions" }, { METRIC_EXIT_CR, "control registers" },
		{ METRIC_EXIT_INVLPG, "INVLPG" }, { METRIC_EXIT_EPT, "EPT violations" }, { METRIC_EXIT_IO, "I/O" },
		{ METRIC_EXIT_CPUID, "CPUID" }, { METRIC_EXIT_IRQ, "interrupts" },
	};
	uint64_t most = 0;
	size_t which = ARRAY_LEN(kind);
	char text[4][24];

	for (size_t i = 0; i < ARRAY_LEN(kind); i++) {
		uint64_t a = record_metric(slow, kind[i].m), b = record_metric(fast, kind[i].m);

		if (a > b && a - b > most) {
			most = a - b;
			which = i;
		}
	}
	snprintf(buf, n, "%s VM exits", compact(record_metric(slow, METRIC_EXITS), text[0], sizeof text[0]));
	if (which < ARRAY_LEN(kind)) {
		size_t at = strlen(buf);

		snprintf(buf + at, n - at, ", %s of them for %s (%s: %s exits, %s such)",
		         compact(record_metric(slow, kind[which].m), text[1], sizeof text[1]), kind[which].what, fast_name,
		         compact(record_metric(fast, METRIC_EXITS), text[2], sizeof text[2]),
		         compact(record_metric(fast, kind[which].m), text[3], sizeof text[3]));
	}
}

static uint64_t references(const struct case_record *r)
{
	return record_metric(r, METRIC_REF_GUEST) + record_metric(r, METRIC_REF_EPT) + record_metric(r, METRIC_REF_SHADOW);
}

static uint64_t walk_cycles(const struct case_record *r)
{
	return record_metric(r, METRIC_WALK_CYCLES);
}

static double per_miss(const struct case_record *r, uint64_t v)
{
	uint64_t misses = record_metric(r, METRIC_TLB_MISS);

	return misses ? (double)v / (double)misses : 0;
}

/* "shadow.wp spends 58 % of its cycles ..." */
static void reason(const struct case_record *slow, const char *slow_name, const struct case_record *fast, const char *fast_name,
                   char *buf, size_t n)
{
	static const enum share alone[] = { SHARE_EXECUTE, SHARE_MEMORY, SHARE_WALK, SHARE_EVENT, SHARE_IDLE };
	int64_t most = (int64_t)(exit_work(slow) - exit_work(fast));
	uint64_t all = record_sum(slow, "*.ledger.*"), fast_all = record_sum(fast, "*.ledger.*");
	enum share which = SHARE_SWITCH;        /* stands for all three of the exits' */
	char exits[200];

	for (size_t i = 0; i < ARRAY_LEN(alone); i++) {
		int64_t d = (int64_t)(record_share(slow, alone[i]) - record_share(fast, alone[i]));

		if (d > most) {
			most = d;
			which = alone[i];
		}
	}
	if (which == SHARE_SWITCH) {
		most_exits(slow, fast, fast_name, exits, sizeof exits);
		snprintf(buf, n, "%s spends %.0f %% of its cycles on %s.", slow_name, percent(exit_work(slow), all), exits);
	} else if (which == SHARE_WALK) {
		snprintf(buf, n, "%s spends %.0f %% of its cycles translating addresses (%s: %.0f %%): a TLB miss costs %.0f cycles "
		         "and %.1f references to page tables against %.0f and %.1f.", slow_name, percent(record_share(slow, which), all), fast_name,
		         percent(record_share(fast, which), fast_all), per_miss(slow, walk_cycles(slow)), per_miss(slow, references(slow)),
		         per_miss(fast, walk_cycles(fast)), per_miss(fast, references(fast)));
	} else {
		snprintf(buf, n, "%s spends %.0f %% of its cycles %s (%s: %.0f %%).", slow_name, percent(record_share(slow, which), all),
		         share_rows[which].sentence, fast_name, percent(record_share(fast, which), fast_all));
	}
}

void why_sentence(const struct comparison *c, size_t profile, size_t workload, size_t value, char *buf, size_t n)
{
	size_t block = plan_at(&c->plan, profile, workload, value, 0), a = best(c, block, 0), b = a ? best(c, block, a) : 0, at;
	double xa, xb;

	if (a && !b && worst(c, block) != a)
		b = worst(c, block);
	snprintf(buf, n, "%s: ", c->plan.workload.v[workload]);
	at = strlen(buf);
	if (!a) {
		snprintf(buf + at, n - at, "nothing to compare.");
		return;
	}
	xa = slowdown(c, block + a);
	xb = b ? slowdown(c, block + b) : 0;
	if (b && xb / xa < LEVEL) {
		snprintf(buf + at, n - at, "%s and %s are level, %.2f and %.2f times the bare machine.", short_name(c, a), short_name(c, b), xa, xb);
	} else if (b) {
		snprintf(buf + at, n - at, "%s wins, %.*fx faster than %s: ", short_name(c, a), xb / xa < 1.95 ? 2 : 1, xb / xa, short_name(c, b));
		at += strlen(buf + at);
		reason(&c->record[block + b], short_name(c, b), &c->record[block + a], short_name(c, a), buf + at, n - at);
	} else if (xa < 1 / LEVEL) {
		snprintf(buf + at, n - at, "%s needs only %.2f times the cycles of the bare machine: ", short_name(c, a), xa);
		at += strlen(buf + at);
		reason(&c->record[block], "native", &c->record[block + a], short_name(c, a), buf + at, n - at);
	} else if (xa < LEVEL) {
		snprintf(buf + at, n - at, "%s is as fast as the bare machine.", short_name(c, a));
	} else {
		snprintf(buf + at, n - at, "%s needs %.2f times the cycles of the bare machine: ", short_name(c, a), xa);
		at += strlen(buf + at);
		reason(&c->record[block + a], short_name(c, a), &c->record[block], "native", buf + at, n - at);
	}
}

/* Of one technique: how it fares at both ends. */
static void ends_sentence(const struct comparison *c, size_t profile, size_t workload, char *buf, size_t n)
{
	const struct sweep *s = &c->plan.sweep;
	size_t from = s->n, to = 0;

	for (size_t v = 0; v < s->n; v++)
		if (slowdown(c, plan_at(&c->plan, profile, workload, v, 1)) > 0) {
			from = from < v ? from : v;
			to = v;
		}
	if (from == s->n)
		snprintf(buf, n, "%s: nothing to compare.", c->plan.workload.v[workload]);
	else
		snprintf(buf, n, "%s: %s takes %.2f times the cycles of the bare machine at %s = %" PRIu64 " and %.2f at %" PRIu64 ".",
		         c->plan.workload.v[workload], short_name(c, 1), slowdown(c, plan_at(&c->plan, profile, workload, from, 1)), s->name, s->value[from],
		         slowdown(c, plan_at(&c->plan, profile, workload, to, 1)), s->value[to]);
}

void crossover_sentence(const struct comparison *c, size_t profile, size_t workload, char *buf, size_t n)
{
	const struct sweep *s = &c->plan.sweep;
	size_t at, last = 0;

	if (c->plan.technique.n == 2) {
		ends_sentence(c, profile, workload, buf, n);
		return;
	}
	snprintf(buf, n, "%s: ", c->plan.workload.v[workload]);
	for (size_t v = 0; v < c->plan.values; v++) {
		size_t now = best(c, plan_at(&c->plan, profile, workload, v, 0), 0);

		at = strlen(buf);
		if (!now || now == last || at + 1 >= n)
			continue;
		if (last)
			snprintf(buf + at, n - at, ", from %s = %" PRIu64 " on %s", s->name, s->value[v], short_name(c, now));
		else
			snprintf(buf + at, n - at, "%s is the best at %s = %" PRIu64, short_name(c, now), s->name, s->value[v]);
		last = now;
	}
	at = strlen(buf);
	if (at + 1 < n)
		snprintf(buf + at, n - at, last ? "." : "nothing to compare.");
}
