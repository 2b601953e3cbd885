/* stat.c - the registry of statistics: who counts what, under which name. */
#include "sim/stat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/err.h"

void stats_fini(struct stats *s)
{
	free(s->sets);
	memset(s, 0, sizeof *s);
}

void stats_add(struct stats *s, const char *prefix, const struct stat_row *rows, size_t n,
               uint64_t *values)
{
	struct stat_set *set;

	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 16;
		s->sets = xrealloc(s->sets, s->room * sizeof *s->sets);
	}
	set = &s->sets[s->n++];
	memset(set, 0, sizeof *set);
	if ((size_t)snprintf(set->prefix, sizeof set->prefix, "%s", prefix) >= sizeof set->prefix)
		BUG("statistics prefix '%s' is too long", prefix);
	set->rows = rows;
	set->n = n;
	set->values = values;
}

bool stats_get(const struct stats *s, const char *name, uint64_t *value)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct stat_set *set = &s->sets[i];
		size_t len = strlen(set->prefix);
		const char *rest = name;

		if (len) {
			if (strncmp(name, set->prefix, len) != 0 || name[len] != '.')
				continue;
			rest = name + len + 1;
		}
		for (size_t k = 0; k < set->n; k++)
			if (strcmp(set->rows[k].name, rest) == 0) {
				*value = set->values[k];
				return true;
			}
	}
	return false;
}

void stats_reset(struct stats *s)
{
	for (size_t i = 0; i < s->n; i++)
		memset(s->sets[i].values, 0, s->sets[i].n * sizeof *s->sets[i].values);
}

void stats_each(const struct stats *s, stats_visit *fn, void *arg)
{
	char name[128];

	for (size_t i = 0; i < s->n; i++) {
		const struct stat_set *set = &s->sets[i];

		for (size_t k = 0; k < set->n; k++) {
			snprintf(name, sizeof name, "%s%s%s", set->prefix,
			         set->prefix[0] ? "." : "", set->rows[k].name);
			fn(arg, name, &set->rows[k], set->values[k]);
		}
	}
}
