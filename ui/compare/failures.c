/* failures.c - what went wrong, before anything that went well: one message for each reason, and the cases that it is of. Many cases
 * fail for one reason: a workload nobody knows fails under every technique, a profile without EPT with every workload. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ui/compare/compare.h"
#include "ui/compare/text.h"
#include "ui/export/wrap.h"

enum { TOLD_MAX = 6, NAMED_MAX = 6 };   /* messages; names of one kind in a message */

bool case_failed(const struct comparison *c, size_t at)
{
	return !record_good(&c->record[at]) && c->record[at].end != CASE_NOT_RUN && !comparison_spared(c, at);
}

bool block_good(const struct comparison *c, size_t block)
{
	for (size_t t = 0; t < c->plan.technique.n; t++)
		if (record_good(&c->record[block + t]))
			return true;
	return false;
}

static const char *why_of(const struct case_record *r)
{
	return r->why && r->why[0] ? r->why : "nobody said why";
}

static bool same_reason(const struct case_record *a, const struct case_record *b)
{
	return a->end == b->end && strcmp(why_of(a), why_of(b)) == 0;
}

/* Do the same techniques of block b fail for the reason that those of block a fail for, and are they untold? */
static bool alike(const struct comparison *c, const bool *told, size_t a, size_t b, const struct case_record *reason)
{
	for (size_t t = 0; t < c->plan.technique.n; t++) {
		bool of_a = case_failed(c, a + t) && !told[a + t] && same_reason(reason, &c->record[a + t]);
		bool of_b = case_failed(c, b + t) && !told[b + t] && same_reason(reason, &c->record[b + t]);

		if (of_a != of_b)
			return false;
	}
	return true;
}

/* "a, b, c and 4 more", of those that are meant. */
static void put_list(FILE *f, const char *before, const bool *in, size_t n, const char *(*name)(const struct comparison *, size_t, char *, size_t),
                     const struct comparison *c)
{
	size_t all = 0, put = 0;
	char text[32];

	for (size_t i = 0; i < n; i++)
		all += in[i];
	fputs(before, f);
	for (size_t i = 0; i < n && put < NAMED_MAX; i++)
		if (in[i])
			fprintf(f, "%s%s", put++ ? ", " : "", name(c, i, text, sizeof text));
	if (all > put)
		fprintf(f, " and %zu more", all - put);
}

static const char *workload_name(const struct comparison *c, size_t i, char *text, size_t n)
{
	(void)text;
	(void)n;
	return c->plan.workload.v[i];
}

static const char *technique_name(const struct comparison *c, size_t i, char *text, size_t n)
{
	(void)text;
	(void)n;
	return c->plan.technique.v[i];
}

static const char *profile_name(const struct comparison *c, size_t i, char *text, size_t n)
{
	(void)text;
	(void)n;
	return c->plan.profile.v[i];
}

static const char *value_name(const struct comparison *c, size_t i, char *text, size_t n)
{
	snprintf(text, n, "%" PRIu64, c->plan.sweep.value[i]);
	return text;
}

struct group { bool *profile, *workload, *value, *technique; size_t blocks, techniques; };

static size_t marked(const bool *in, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += in[i];
	return sum;
}

/* Of which cases: workloads, values, techniques, profiles; what there is one of goes without saying, and "every" is shorter than a list. */
static void put_cases(FILE *f, const struct comparison *c, const struct group *g)
{
	const struct plan *p = &c->plan;
	const bool every = marked(g->workload, p->workload.n) == p->workload.n && p->workload.n > 2;

	if (every)
		fputs("every workload", f);
	else
		put_list(f, "", g->workload, p->workload.n, workload_name, c);
	if (p->sweep.n && marked(g->value, p->values) == p->values && p->values > 1)
		fprintf(f, " with any %s", p->sweep.name);
	else if (p->sweep.n) {
		fprintf(f, " with %s = ", p->sweep.name);
		put_list(f, "", g->value, p->values, value_name, c);
	}
	if (g->techniques == p->technique.n && g->techniques > 1)
		fputs(" under every technique", f);
	else
		put_list(f, " under ", g->technique, p->technique.n, technique_name, c);
	if (p->profile.n == 1 || marked(g->profile, p->profile.n) < p->profile.n)
		put_list(f, " on ", g->profile, p->profile.n, profile_name, c);
}

/* All cases that failed as case `at` did and of which the same can be said of workload, value and profile. */
static void put_group(FILE *f, const struct comparison *c, bool *told, size_t at)
{
	const struct plan *p = &c->plan;
	const size_t techniques = p->technique.n, blocks = p->n / techniques, first = at / techniques;
	const struct case_record *reason = &c->record[at];
	bool *in = xcalloc(blocks + p->profile.n + p->workload.n + p->values + techniques, sizeof *in);
	struct group g = { .profile = in + blocks };
	char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	g.workload = g.profile + p->profile.n;
	g.value = g.workload + p->workload.n;
	g.technique = g.value + p->values;
	for (size_t b = first; b < blocks; b++) {
		in[b] = alike(c, told, first * techniques, b * techniques, reason);
		g.blocks += in[b];
		if (in[b]) {
			g.value[b % p->values] = true;
			g.workload[b / p->values % p->workload.n] = true;
			g.profile[b / p->values / p->workload.n] = true;
		}
	}
	if (marked(g.profile, p->profile.n) * marked(g.workload, p->workload.n) * marked(g.value, p->values) != g.blocks) {
		memset(in, 0, sizeof *in * (size_t)(g.technique - in));         /* not all combinations: this one alone, then */
		in[first] = g.value[first % p->values] = g.workload[first / p->values % p->workload.n] = g.profile[first / p->values / p->workload.n] = true;
	}
	for (size_t t = 0; t < techniques; t++)
		if (case_failed(c, first * techniques + t) && !told[first * techniques + t] && same_reason(reason, &c->record[first * techniques + t])) {
			g.technique[t] = true;
			g.techniques++;
		}
	for (size_t b = first; b < blocks; b++)
		for (size_t t = 0; in[b] && t < techniques; t++)
			told[b * techniques + t] |= g.technique[t];
	put_cases(to, c, &g);
	fprintf(to, ": %s: %s", case_end_name[reason->end], why_of(reason));
	fclose(to);
	fputs("  ", f);
	wrap(f, 2, 4, WRAP_PAGE, text);
	fputc('\n', f);
	free(text);
	free(in);
}

void failures(const struct comparison *c, FILE *f)
{
	bool *told = xcalloc(c->plan.n, sizeof *told);
	size_t messages = 0, left = 0, failed = 0;

	for (size_t i = 0; i < c->plan.n; i++)
		failed += case_failed(c, i);
	if (failed)
		fprintf(f, "%zu of %zu cases failed:\n", failed, c->plan.n);
	for (size_t i = 0; i < c->plan.n; i++) {
		if (!case_failed(c, i) || told[i])
			continue;
		if (messages++ < TOLD_MAX)
			put_group(f, c, told, i);
		else
			left++;
	}
	if (left)
		fprintf(f, "  and %zu more cases: --json has them all\n", left);
	free(told);
}

/* What differs, then a line of each side; long ones go on under their own column. */
static void put_evidence(FILE *f, const char *text)
{
	for (const char *end; *text; text = *end ? end + 1 : end) {
		char line[256];

		text += strspn(text, " ");
		end = text + strcspn(text, "\n");
		snprintf(line, sizeof line, "%.*s", (int)(end - text), text);
		fputs("    ", f);
		wrap(f, 4, 13, WRAP_PAGE, line);
		fputc('\n', f);
	}
}

void divergences(const struct comparison *c, FILE *f)
{
	for (size_t i = 0; i < c->divergences && i < TOLD_MAX; i++) {
		const struct case_spec *s = &c->plan.spec[c->divergence[i].at];
		char text[400];

		snprintf(text, sizeof text, "%.200s under %s on %s DIVERGES from the bare machine:", s->cmdline, s->technique, s->profile);
		fputs("  ", f);
		wrap(f, 2, 4, WRAP_PAGE, text);
		fputc('\n', f);
		put_evidence(f, c->divergence[i].text);
	}
	if (c->divergences > TOLD_MAX)
		fprintf(f, "  and %zu more divergences: --json has them all\n", c->divergences - TOLD_MAX);
}
