/* prompt.c - the command line: editing, history, completion, and the commands themselves. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/symbols.h"
#include "ui/tui/screen.h"
#include "ui/tui/tui.h"

/* ---- operands ---- */

static int address(struct tui *t, const char *text, uint64_t *v, struct err *e)
{
	if (parse_number(text, v) || symtab_find(run_face(t->run)->m->symbols, text, v))
		return 0;
	return err_set(e, NULL, NULL, "'%s' is neither a number nor a symbol", text);
}

static const char *field_at(const void *table, size_t i)
{
	return ((const struct field_group *)table)->rows[i].name;
}

static int field(struct tui *t, const char *name, const struct field_group **g, const struct field_row **r, struct err *e)
{
	char full[80];
	if (fields_find(&t->m->fields, name, g, r))
		return 0;
	snprintf(full, sizeof full, "cpu%u.%s", t->cpu, name);
	if (fields_find(&t->m->fields, full, g, r))
		return 0;
	const char *near = err_nearest(name, field_at, &t->m->fields.groups[0], t->m->fields.groups[0].n);
	return err_set(e, NULL, NULL, "no field '%s'%s%s%s", name, near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* ---- the commands ---- */

/* goto 1000 | goto 5000cycles | goto exit.cpuid [3] */
static int cmd_goto(struct tui *t, char *args, struct err *e)
{
	char *end = args + strcspn(args, "c"), *rest = args + strcspn(args, " ");
	bool cycles = strcmp(end, "cycles") == 0;
	uint64_t n = 1;
	if (*args && (*args < '0' || *args > '9')) {
		if (*rest) {
			*rest++ = '\0';
			if (!parse_number(rest, &n))
				return err_set(e, NULL, NULL, "'%s': expected a number: the how-manieth", rest);
		}
		return travel_nth(t, args, n, e);
	}
	if (cycles)
		*end = '\0';
	if (!parse_number(args, &n))
		return err_set(e, NULL, NULL, "'%s': expected a number of instructions, of cycles as in 1000000cycles, or exit.cpuid 3", args);
	if (!cycles)
		travel_goto(t, (struct moment){ n, 0 });
	else
		travel_goto_cycle(t, n);
	return 0;
}

static int look(struct tui *t, enum pane_id pane, const char *args, struct err *e)
{
	if (strcmp(args, "cpu") == 0) {
		t->view[pane].address = ~0ull;
		return 0;
	}
	return address(t, args, &t->view[pane].address, e);
}
static int cmd_mem(struct tui *t, char *args, struct err *e)
{
	if (look(t, PANE_MEMORY, args, e) != 0)
		return -1;
	t->view[PANE_TABLES].address = t->view[PANE_MEMORY].address;
	return 0;
}
static int cmd_code(struct tui *t, char *args, struct err *e) { return look(t, PANE_CODE, args, e); }

static int cmd_print(struct tui *t, char *args, struct err *e)
{
	const struct field_group *g;
	const struct field_row *r;
	char text[160];
	if (field(t, args, &g, &r, e) != 0)
		return -1;
	field_format(r, field_read(g, r), text, sizeof text);
	tui_say(t, false, "%s.%s = %s: %s", g->prefix, r->name, text, r->what);
	return 0;
}

static int cmd_set(struct tui *t, char *args, struct err *e)
{
	const struct field_group *g;
	const struct field_row *r;
	char *eq = strchr(args, '=');
	uint64_t v;
	if (!eq)
		return err_set(e, NULL, NULL, "expected FIELD=VALUE, as in set rax=1");
	*eq = '\0';
	if (field(t, args, &g, &r, e) != 0)
		return -1;
	if (!parse_number(eq + 1, &v))
		return err_set(e, NULL, NULL, "'%s' is no number", eq + 1);
	if (!field_write(g, r, v))
		return err_set(e, NULL, NULL, "%s.%s cannot be written: other state follows from it", g->prefix, r->name);
	timeline_changed(t->timeline);
	return 0;
}

static int cmd_type(struct tui *t, char *args, struct err *e)
{
	char line[220];
	(void)e;
	int n = snprintf(line, sizeof line, "%s\n", args);
	timeline_input(t->timeline, 0, line, (size_t)n);
	tui_say(t, false, "typed: the guest reads it when it runs");
	return 0;
}

static int cmd_branch(struct tui *t, char *args, struct err *e)
{
	char list[160] = "";
	for (size_t i = 0; i < timeline_branches(t->timeline); i++) {
		struct timeline_branch b = timeline_branch(t->timeline, i);
		if (strcmp(b.name, args) == 0) {
			timeline_switch(t->timeline, i, b.end);
			return 0;
		}
		snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", b.name);
	}
	if (*args)
		return err_set(e, NULL, NULL, "no branch '%s': there are %s", args, list);
	tui_say(t, false, "branches: %s", list);
	return 0;
}

static const char *pane_at(const void *table, size_t i) { return ((const struct pane_row *)table)[i].name; }

static int cmd_pane(struct tui *t, char *args, struct err *e)
{
	for (unsigned i = 0; i < PANE_N; i++)
		if (strcmp(pane_rows[i].name, args) == 0) {
			t->focus = (enum pane_id)i;
			t->zoomed = true;
			return 0;
		}
	const char *near = err_nearest(args, pane_at, pane_rows, PANE_N);
	return err_set(e, NULL, NULL, "no pane '%s'%s%s%s", args, near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static const char *device_at(const void *table, size_t i) { return ((const struct fields *)table)->groups[i].prefix; }

static int cmd_device(struct tui *t, char *args, struct err *e)
{
	if (device_choose(t, args)) {
		t->focus = PANE_DEVICES;
		t->zoomed = true;
		return 0;
	}
	const char *near = err_nearest(args, device_at, &t->m->fields, t->m->fields.n);
	return err_set(e, NULL, NULL, "no device '%s'%s%s%s", args, near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int cmd_put(struct tui *t, char *args, struct err *e)
{
	for (unsigned i = 0; i < PANE_N; i++)
		if (strcmp(pane_rows[i].name, args) == 0)
			return layout_put(t, (enum pane_id)i) ? 0 : err_set(e, NULL, NULL, "the pane with the keys is not in the arrangement");
	const char *near = err_nearest(args, pane_at, pane_rows, PANE_N);
	return err_set(e, NULL, NULL, "no pane '%s'%s%s%s", args, near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int cmd_arrange(struct tui *t, char *args, struct err *e) { return layout_by_name(t, args, e); }

/* layout; layout NAME; layout save NAME; layout 60: code 50, regs 50 / 40: console 100 */
static int cmd_layout(struct tui *t, char *args, struct err *e)
{
	if (!*args) {
		char list[160] = "";
		for (unsigned i = 0; i < layout_rows_n + t->saves; i++)
			snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? " " : "",
			         i < layout_rows_n ? layout_rows[i].name : t->saved[i - layout_rows_n].name);
		tui_say(t, false, "%s", list);
		return 0;
	}
	if (strncmp(args, "save", 4) == 0 && (args[4] == ' ' || !args[4]))
		return saved_save(t, args + 4 + strspn(args + 4, " "), e);
	if (!strchr(args, ':'))
		return layout_by_name(t, args, e);
	if (spec_check(args, e) != 0)
		return -1;
	snprintf(t->spec, sizeof t->spec, "%s", args);
	t->zoomed = false;
	return 0;
}

static int cmd_history(struct tui *t, char *args, struct err *e)
{
	const struct field_group *g;
	const struct field_row *r;
	char full[80];
	struct err none;
	if (!*args)
		return err_set(e, NULL, NULL, "of which field? For example: history cr3, history cpu0.vmcs.guest_rip");
	if (field(t, args, &g, &r, &none) == 0)
		snprintf(full, sizeof full, "%s.%s", g->prefix, r->name);
	else if (strstr(args, "vmcs."))
		snprintf(full, sizeof full, "%.79s", args);
	else
		snprintf(full, sizeof full, "cpu%u.vmcs.%.60s", t->cpu, args);
	history_of_field(t, full);
	return 0;
}

static int cmd_explain(struct tui *t, char *args, struct err *e)
{
	const struct field_group *g;
	const struct field_row *r;
	char full[80];
	struct err none;
	if (!*args)
		return err_set(e, NULL, NULL, "explain what? For example: explain cr0, explain exit.cpuid");
	if (field(t, args, &g, &r, &none) == 0)
		snprintf(full, sizeof full, "%s.%s", g->prefix, r->name);
	else
		snprintf(full, sizeof full, "%.79s", args);
	explain_field(t, full);
	return 0;
}

/* ---- Lua ---- */

static int cmd_lua(struct tui *t, char *args, struct err *e)
{
	const struct line_eval *l = &t->run->session->line;
	char *values = NULL, title[80];
	if (!l->eval)
		return err_set(e, NULL, NULL, "Lua is not at hand here");
	struct run *r = t->run;
	r->touched = false;
	for (unsigned i = 0; i < r->vms; i++)
		r->vm[i]->touched = false;
	int status = l->eval(l->who, r, t->cpu, args, &values, e);
	bool touched = r->touched;
	for (unsigned i = 0; i < r->vms; i++)
		touched |= r->vm[i]->touched;
	if (touched) {
		timeline_changed(t->timeline);
		tui_say(t, false, "changed: branch %s", timeline_branch(t->timeline, timeline_present(t->timeline)).name);
	}
	if (values && *values) {
		r->session->print(r->session->print_who, values, strlen(values));
		r->session->print(r->session->print_who, "\n", 1);
	}
	free(values);
	snprintf(title, sizeof title, "%.70s", args);
	tui_printed(t, title);
	return status;
}

struct known { const char *name; bool yes; };
static void is_known(void *arg, const char *name)
{
	struct known *k = arg;
	k->yes |= strcmp(k->name, name) == 0;
}

/* What is no command: Lua when it has a sign no command line has, or begins with a number or a name Lua knows. */
static bool is_lua(struct tui *t, const char *line)
{
	const struct line_eval *l = &t->run->session->line;
	char word[64];
	size_t n = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	struct known k = { word, false };
	if (!l->eval || (*line >= '0' && *line <= '9') || !n || strpbrk(line, "=([{\"'#+*<>:") || line[n] == '.')
		return l->eval;
	snprintf(word, sizeof word, "%.*s", (int)n, line);
	l->names(l->who, t->run, t->cpu, word, is_known, &k);
	return k.yes;
}

#define STOP(ID, name, operands, parse, sentence, more) int cmd_stop_##ID(struct tui *t, char *args, struct err *e);
#include "ui/session/stop.def"
int cmd_stops(struct tui *t, char *args, struct err *e), cmd_delete(struct tui *t, char *args, struct err *e);      /* stops.c */
int cmd_enable(struct tui *t, char *args, struct err *e), cmd_disable(struct tui *t, char *args, struct err *e);

const struct command tui_commands[] = {
#define COMMAND(name, operands, fn, sentence) { name, operands, sentence, fn },
#include "ui/tui/command.def"
};
const size_t tui_commands_n = ARRAY_LEN(tui_commands);

static const char *word_at(const void *table, size_t i)
{
	(void)table;
	return i < tui_commands_n ? tui_commands[i].name : action_rows[i - tui_commands_n].name;
}

int prompt_run(struct tui *t, const char *line, struct err *e)
{
	char name[32], args[400];
	size_t n = strcspn(line, " ");
	snprintf(name, sizeof name, "%.*s", (int)n, line);
	snprintf(args, sizeof args, "%s", line + n + strspn(line + n, " "));
	for (size_t i = strlen(args); i-- > 0 && isspace((unsigned char)args[i]);)
		args[i] = '\0';
	if (!*name)
		return 0;
	for (size_t i = 0; i < tui_commands_n; i++)
		if (strcmp(tui_commands[i].name, name) == 0)
			return tui_commands[i].run(t, args, e);
	for (size_t i = 0; i < action_rows_n; i++)
		if (strcmp(action_rows[i].name, name) == 0) {
			if (*args && !parse_number(args, &t->count))
				return err_set(e, NULL, NULL, "%s: '%s' is no number", name, args);
			action_rows[i].run(t);
			t->count = 0;
			return 0;
		}
	if (is_lua(t, line))
		return cmd_lua(t, (char *)(uintptr_t)line, e);
	const char *near = err_nearest(name, word_at, NULL, tui_commands_n + action_rows_n);
	return err_set(e, NULL, NULL, "no command '%s'%s%s%s", name, near ? ": did you mean '" : "; ? lists them", near ? near : "", near ? "'?" : "");
}

/* ---- editing ---- */

static void replace(struct prompt *p, const char *text)
{
	snprintf(p->text, sizeof p->text, "%s", text);
	p->n = p->cursor = (int)strlen(p->text);
}

static void close_prompt(struct tui *t)
{
	t->prompt.kind = 0;
	replace(&t->prompt, "");
	t->prompt.at = t->prompt.lines;
}

static void enter(struct tui *t)
{
	struct prompt *p = &t->prompt;
	struct err e = { "" };
	char line[sizeof p->text], kind = p->kind;
	snprintf(line, sizeof line, "%s", p->text);
	if (*line) {
		if (p->lines == (int)ARRAY_LEN(p->history)) {
			free(p->history[0]);
			memmove(p->history, p->history + 1, sizeof p->history - sizeof *p->history);
			p->lines--;
		}
		p->history[p->lines++] = xstrdup(line);
	}
	close_prompt(t);
	if (kind == '/') {
		snprintf(t->search, sizeof t->search, "%.79s", line);
		if (*line) {
			t->seek.to = 1;
			t->seek.from = t->view[t->focus].cursor >= 0 ? t->view[t->focus].cursor : t->view[t->focus].top - 1;
		}
	} else if (prompt_run(t, line, &e) != 0)
		tui_say(t, true, "%s", e.text);
}

void prompt_key(struct tui *t, int key)
{
	struct prompt *p = &t->prompt;
	switch (key) {
	case '\n':
		enter(t);
		break;
	case 27: case 3:
		close_prompt(t);
		break;
	case '\t':
		complete(t);
		break;
	case SCREEN_UP:
		if (p->at > 0)
			replace(p, p->history[--p->at]);
		break;
	case SCREEN_DOWN:
		if (p->at < p->lines)
			p->at++;
		replace(p, p->at < p->lines ? p->history[p->at] : "");
		break;
	case SCREEN_LEFT:
		p->cursor -= p->cursor > 0;
		break;
	case SCREEN_RIGHT:
		p->cursor += p->cursor < p->n;
		break;
	case SCREEN_BACKSPACE:
		if (p->cursor > 0) {
			memmove(p->text + p->cursor - 1, p->text + p->cursor, (size_t)(p->n - p->cursor) + 1);
			p->cursor--;
			p->n--;
		} else if (p->n == 0) {
			close_prompt(t);
		}
		break;
	default:
		if (key >= ' ' && key < 0x7f && p->n + 1 < (int)sizeof p->text) {
			memmove(p->text + p->cursor + 1, p->text + p->cursor, (size_t)(p->n - p->cursor) + 1);
			p->text[p->cursor++] = (char)key;
			p->n++;
		}
	}
}
