/* complete.c - Tab in the command line: commands, then what their operands may be, and Lua's names. */
#include <stdio.h>
#include <string.h>

#include "models/symbols.h"
#include "ui/tui/tui.h"

struct found {
	const char *prefix;
	size_t prefix_n, n;             /* n: how many fit */
	char common[160];               /* what all of them begin with */
	char list[200], first[160];
};

static void offer(void *arg, const char *name)
{
	struct found *f = arg;
	size_t i = 0;
	if (strncmp(name, f->prefix, f->prefix_n) != 0 || strcmp(name, f->first) == 0)
		return;
	if (f->n++ == 0) {
		snprintf(f->first, sizeof f->first, "%s", name);
		snprintf(f->common, sizeof f->common, "%s", name);
	}
	while (f->common[i] && f->common[i] == name[i])
		i++;
	f->common[i] = '\0';
	if (strlen(f->list) + strlen(name) + 2 < sizeof f->list)
		snprintf(f->list + strlen(f->list), sizeof f->list - strlen(f->list), "%s%s", f->list[0] ? " " : "", name);
	else if (f->list[0] && !strstr(f->list, " ...") && strlen(f->list) + 5 < sizeof f->list)
		strcat(f->list, " ...");
}

static void commands(struct found *f)
{
	for (size_t i = 0; i < tui_commands_n; i++)
		offer(f, tui_commands[i].name);
	for (size_t i = 0; i < action_rows_n; i++)
		offer(f, action_rows[i].name);
}

static void fields(struct found *f, const struct tui *t)
{
	char full[80];
	for (size_t g = 0; g < t->m->fields.n; g++)
		for (size_t i = 0; i < t->m->fields.groups[g].n; i++) {
			if (g == t->cpu)
				offer(f, t->m->fields.groups[g].rows[i].name);
			snprintf(full, sizeof full, "%s.%s", t->m->fields.groups[g].prefix, t->m->fields.groups[g].rows[i].name);
			offer(f, full);
		}
}

static void symbols(struct found *f, const struct tui *t)
{
	const struct symtab *s = run_face(t->run)->m->symbols;
	for (size_t i = 0; i < s->n; i++)
		offer(f, s->sym[i].name);
}

static void events(struct found *f, const struct tui *t)
{
	for (unsigned i = 0; i < TRACE_EVENTS; i++)
		if (t->m->trace.rows[i].name)
			offer(f, t->m->trace.rows[i].name);
}

void complete(struct tui *t)
{
	struct prompt *p = &t->prompt;
	const struct line_eval *l = &t->run->session->line;
	char first[32], word[160];
	int from = p->cursor;
	size_t n = strcspn(p->text, " ");
	snprintf(first, sizeof first, "%.*s", (int)n, p->text);
	bool lua = strcmp(first, "lua") == 0;
	while (from > 0 && !strchr(" ,=(){}[]\"'+-*/<>#", p->text[from - 1]))
		from--;
	snprintf(word, sizeof word, "%.*s", p->cursor - from, p->text + from);
	struct found f = { .prefix = word, .prefix_n = strlen(word) };
	if (from == 0) {
		commands(&f);
		lua = !f.n;
	} else if (strcmp(first, "pane") == 0 || strcmp(first, "put") == 0) {
		for (unsigned i = 0; i < PANE_N; i++)
			offer(&f, pane_rows[i].name);
	} else if (strcmp(first, "arrange") == 0 || strcmp(first, "layout") == 0) {
		for (unsigned i = 0; i < layout_rows_n; i++)
			offer(&f, layout_rows[i].name);
		for (unsigned i = 0; i < t->saves; i++)
			offer(&f, t->saved[i].name);
	} else if (strcmp(first, "device") == 0) {
		for (size_t i = 0; i < t->m->fields.n; i++)
			offer(&f, t->m->fields.groups[i].prefix);
	} else if (strcmp(first, "branch") == 0) {
		for (size_t i = 0; i < timeline_branches(t->timeline); i++)
			offer(&f, timeline_branch(t->timeline, i).name);
	} else if (!lua) {
		if (strcmp(first, "break") != 0 && strcmp(first, "mem") != 0 && strcmp(first, "code") != 0)
			fields(&f, t);
		symbols(&f, t);
		events(&f, t);
		lua = !f.n;
	}
	if (lua && l->names)
		l->names(l->who, t->run, t->cpu, word, offer, &f);
	if (!f.n || (size_t)p->n + strlen(f.common) + 1 >= sizeof p->text) {
		tui_say(t, false, "nothing begins with '%s' here", word);
		return;
	}
	size_t add = strlen(f.common) - f.prefix_n;
	memmove(p->text + p->cursor + add, p->text + p->cursor, (size_t)(p->n - p->cursor) + 1);
	memcpy(p->text + p->cursor, f.common + f.prefix_n, add);
	p->n += (int)add;
	p->cursor += (int)add;
	tui_say(t, false, "%s", f.n > 1 ? f.list : "");
}
