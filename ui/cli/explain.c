/* explain.c - a name is looked up in every table. */
#include "ui/cli/explain.h"

#include <stdlib.h>
#include <string.h>

#include "ui/cli/item.h"
#include "ui/export/wrap.h"

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

/* Case does not matter, nor which of blank, - and _ is between the words. */
static char plain(char c)
{
	return c == ' ' || c == '-' ? '_' : (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool is(const char *a, const char *b)
{
	for (; a && *a && plain(*a) == plain(*b); a++)
		b++;
	return a && !*a && !*b;
}

static void indented(const struct search *s, const char *text)
{
	fputs("    ", s->f);
	wrap(s->f, 4, 4, wrap_terminal(), text);
	fputc('\n', s->f);
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
	fprintf(s->f, "%s: %s%s%s%s\n", it->name, s->kind->one, it->detail[0] ? " (" : "", it->detail, it->detail[0] ? ")" : "");
	indented(s, it->sentence);
	if (strcmp(s->kind->name, "profile-rows") == 0 || strcmp(s->kind->name, "costs") == 0) {
		text[0] = '\0';
		row_standings(it->name, text, sizeof text);
		if (text[0])
			indented(s, text);
	}
	if (it->more)
		indented(s, it->more);
}

static const char *name_at(const void *table, size_t i)
{
	return ((char *const *)table)[i];
}

/* "m:run" and "vm.console", as scenarios write them. */
static const char *lua_name(const char *name, char *buf, size_t n)
{
	static const char *const usual[][2] = { { "m", "Machine" }, { "vm", "Vm" }, { "cpu", "Cpu" } };
	const size_t at = strcspn(name, ":.");

	for (size_t i = 0; name[at] && i < ARRAY_LEN(usual); i++)
		if (strlen(usual[i][0]) == at && memcmp(usual[i][0], name, at) == 0) {
			snprintf(buf, n, "%s%s", usual[i][1], name + at);
			return buf;
		}
	return NULL;
}

static void search_all(struct search *s)
{
	s->exact = true;
	for (int pass = 0; pass < 2 && !s->found; pass++, s->exact = false)
		for (size_t i = 0; i < kinds_n; i++) {
			s->kind = &kinds[i];
			kinds[i].each(look, s);
		}
}

int explain(const char *name, FILE *f, struct err *e)
{
	struct search s = { .f = f, .name = name, .exact = true };
	char full[80];
	const char *near;
	int status = 0;
	char hint[160];

	search_all(&s);
	if (!s.found && (s.name = lua_name(name, full, sizeof full)) != NULL)
		search_all(&s);
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
