/* options.c - lists of names, and the range of a sweep. */
#include "ui/compare/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/session/setup.h"

const struct standard_row standard_rows[] = {
#define STANDARD(name, parameters, sentence) { #name, parameters, sentence },
#include "ui/compare/standard.def"
};
const size_t standard_rows_n = ARRAY_LEN(standard_rows);

void names_add(struct names *t, const char *text, size_t n)
{
	t->v = xrealloc(t->v, (t->n + 1) * sizeof *t->v);
	t->v[t->n] = xcalloc(1, n + 1);
	memcpy(t->v[t->n++], text, n);
}

void names_split(struct names *t, const char *text, char separator)
{
	for (const char *p = text;; p++) {
		const char *end = strchr(p, separator);
		size_t n = end ? (size_t)(end - p) : strlen(p), skip = strspn(p, " ");

		skip = skip < n ? skip : n;
		p += skip;
		n -= skip;
		while (n && p[n - 1] == ' ')
			n--;
		names_add(t, p, n);
		if (!end)
			return;
		p = end;
	}
}

void names_fini(struct names *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i]);
	free(t->v);
	memset(t, 0, sizeof *t);
}

void compare_options_init(struct compare_options *o)
{
	memset(o, 0, sizeof *o);
	o->max_cycles = COMPARE_MAX_CYCLES;
}

void compare_options_fini(struct compare_options *o)
{
	names_fini(&o->workload);
	names_fini(&o->technique);
	names_fini(&o->profile);
	names_fini(&o->page);
	names_fini(&o->set);
	names_fini(&o->except);
	free(o->image);
	free(o->initrd);
	free(o->ram);
	free(o->sweep);
	free(o->results);
	memset(o, 0, sizeof *o);
}

/* ---- sweeps ---- */

enum { VALUES_MAX = 256, DEFAULT_STEPS = 8 };

const char *compare_own_flag(const char *key)
{
	static const char *const own[][2] = {
		{ "profile", "--profile A,B" }, { "cpu", "--technique A,B" }, { "mmu", "--technique A,B" }, { "page", "--page 4K,2M" },
	};

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (strcmp(own[i][0], key) == 0)
			return own[i][1];
	return NULL;
}

/* A number, or yes and no, by what config.def says of its values. */
static bool is_number(const struct config_row *r)
{
	static const char *const word[] = { "size", "cycles", "seconds", "records", "true|false" };

	for (size_t i = 0; i < ARRAY_LEN(word); i++)
		if (strcmp(r->value, word[i]) == 0)
			return true;
	return strchr("0123456789", r->value[0]) && strstr(r->value, "..");
}

/* A key of machines turns the machine's knob; any other name is the workload's, who refuses what it does not know. The seed is the
 * workload's, too: it has one of its own. */
static int find_owner(struct sweep *s, struct err *e)
{
	const struct config_row *r = NULL;
	char hint[160];

	if (strcmp(s->name, "seed") == 0)
		return 0;
	for (size_t i = 0; i < config_rows_n; i++)
		if (strcmp(config_rows[i].key, s->name) == 0)
			r = &config_rows[i];
	s->row = r || setup_known(s->name);
	if (!s->row && strchr(s->name, '.'))
		return setup_unknown(s->name, NULL, "--sweep", e);
	if (r && !is_number(r)) {
		const char *flag = compare_own_flag(r->key);

		snprintf(hint, sizeof hint, flag ? "to compare with several: %s" : "one comparison for each value: --set %s=VALUE", flag ? flag : r->key);
		return err_set(e, "--sweep", hint, "%s is no number: %s=%s", r->key, r->key, r->value);
	}
	return 0;
}

static void add_value(struct sweep *s, uint64_t v)
{
	s->value = xrealloc(s->value, (s->n + 1) * sizeof *s->value);
	s->value[s->n++] = v;
}

static int fill(struct sweep *s, uint64_t a, uint64_t b, uint64_t step, bool times, struct err *e)
{
	for (uint64_t v = a; v <= b;) {
		uint64_t next;

		if (s->n == VALUES_MAX)
			return err_set(e, "--sweep", "a larger step: name=a..b:STEP or name=a..b:xFACTOR", "more than %d values", VALUES_MAX);
		add_value(s, v);
		if (times ? v > ~0ull / step : v > ~0ull - step)
			break;
		next = times ? v * step : v + step;
		if (times && v == 0)
			next = 1;
		v = next;
	}
	return 0;
}

int sweep_parse(struct sweep *s, const char *text, struct err *e)
{
	static const char hint[] = "for example: updates=0..64:8, size=1m..64m:x2, stlb.latency=1..20";
	const char *eq = strchr(text, '='), *dots = eq ? strstr(eq, "..") : NULL, *colon = dots ? strchr(dots, ':') : NULL;
	char from[32], to[32];
	uint64_t a, b, step;
	bool times;

	memset(s, 0, sizeof *s);
	if (!dots || eq == text || (size_t)(eq - text) >= sizeof s->name || (size_t)(dots - eq - 1) >= sizeof from ||
	    strlen(dots + 2) >= sizeof to)
		return err_set(e, "--sweep", hint, "'%s': expected name=a..b, name=a..b:step or name=a..b:xfactor", text);
	snprintf(s->name, sizeof s->name, "%.*s", (int)(eq - text), text);
	if (s->name[strspn(s->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
		return err_set(e, "--sweep", hint, "'%s': not a name", s->name);
	snprintf(from, sizeof from, "%.*s", (int)(dots - eq - 1), eq + 1);
	snprintf(to, sizeof to, "%.*s", colon ? (int)(colon - dots - 2) : (int)sizeof to, dots + 2);
	if (!parse_number(from, &a) || !parse_number(to, &b))
		return err_set(e, "--sweep", hint, "'%s': a number was expected at both ends", text);
	if (a > b)
		return err_set(e, "--sweep", NULL, "%s: %" PRIu64 " is larger than %" PRIu64, s->name, a, b);
	times = colon ? colon[1] == 'x' : a > 0 && b / a >= DEFAULT_STEPS;
	step = times ? 2 : (b - a) / DEFAULT_STEPS ? (b - a) / DEFAULT_STEPS : 1;
	if (colon && (!parse_number(colon + 1 + times, &step) || step < 1 + (unsigned)times))
		return err_set(e, "--sweep", hint, "'%s': expected a step of at least 1, or xFACTOR of at least 2", colon + 1);
	return find_owner(s, e) != 0 || fill(s, a, b, step, times, e) != 0 ? -1 : 0;
}
