/* explain.c - a name is looked up in every table. */
#include "ui/cli/explain.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ui/cli/item.h"

void row_standings(const char *key, char *buf, size_t n);       /* kinds.c */

struct search {
	FILE *f;
	const char *name;
	const struct kind *kind;
	unsigned found;
	bool exact;                     /* second pass: also by the other name */
	char **all;                     /* every name seen, for the suggestion */
	size_t n, room;
};

static bool is(const char *a, const char *b)
{
	return a && strcasecmp(a, b) == 0;
}

static void look(void *arg, const struct item *it)
{
	struct search *s = arg;
	static char text[4096];

	if (s->exact) {
		if (s->n == s->room) {
			s->room = s->room ? 2 * s->room : 256;
			s->all = xrealloc(s->all, s->room * sizeof *s->all);
		}
		s->all[s->n++] = xstrdup(it->name);
	}
	if (s->exact ? !is(it->name, s->name) : is(it->name, s->name) || !is(it->also, s->name))
		return;
	if (s->found++ >= 8)
		return;
	fprintf(s->f, "%s: %s%s%s%s\n    %s\n", it->name, s->kind->one, it->detail[0] ? " (" : "", it->detail, it->detail[0] ? ")" : "",
	       it->sentence);
	if (strcmp(s->kind->name, "profile-rows") == 0 || strcmp(s->kind->name, "costs") == 0) {
		row_standings(it->name, text, sizeof text);
		for (char *p = text, *nl; *p; p = nl) {
			nl = p + strcspn(p, "\n");
			fprintf(s->f, "    %.*s\n", (int)(nl - p), p);
			nl += *nl == '\n';
		}
	}
	if (it->more)
		fprintf(s->f, "    %s\n", it->more);
}

static const char *name_at(const void *table, size_t i)
{
	return ((char *const *)table)[i];
}

int explain(const char *name, FILE *f, struct err *e)
{
	struct search s = { .f = f, .name = name, .exact = true };
	const char *near;
	int status = 0;
	char hint[160];

	for (int pass = 0; pass < 2 && !s.found; pass++, s.exact = false)
		for (size_t i = 0; i < kinds_n; i++) {
			s.kind = &kinds[i];
			kinds[i].each(look, &s);
		}
	if (!s.found) {
		near = err_nearest(name, name_at, s.all, s.n);
		snprintf(hint, sizeof hint, "%s%s%severything that has a name: vmscope list KIND",
		         near ? "did you mean '" : "",
		         near ? near : "", near ? "'? " : "");
		status = err_set(e, NULL, hint, "nothing is called '%s'", name);
	}
	for (size_t i = 0; i < s.n; i++)
		free(s.all[i]);
	free(s.all);
	return status;
}
