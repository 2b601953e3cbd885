/* monitor.c - what `monitor` can be told in gdb: the rows of monitor.def.
 *
 * After a command that goes somewhere else in time, gdb's own copies of registers and memory are stale:
 * `maintenance flush register-cache` (or `flushregs`) drops them. */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/vmx/vmx.h"
#include "models/symbols.h"
#include "models/vmm/vmm.h"
#include "ui/gdb/stub.h"
#include "ui/session/stops.h"

typedef int monitor_fn(struct gdb *g, char *args, struct err *e);

static void say(struct gdb *g, const char *fmt, ...) PRINTF(2, 3);
static void say(struct gdb *g, const char *fmt, ...)
{
	char line[600];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	reply_bytes(&g->text, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

static int address(struct gdb *g, const char *text, uint64_t *v, struct err *e)
{
	if (parse_number(text, v) || symtab_find(view_run(&g->view)->m->symbols, text, v))
		return 0;
	return err_set(e, NULL, NULL, "'%s' is neither a number nor a symbol", text);
}

/* ---- what is looked at ---- */

static void look_at(struct gdb *g, unsigned vm)
{
	g->view.vm = vm;
	if (g->thread > view_threads(&g->view))
		g->thread = 1;
	g->thread_go = 0;
	say(g, vm ? "virtual machine %u, %u CPU%s" : "the host (VM %u is not looked at), %u CPU%s", vm ? vm : 1, view_threads(&g->view),
	    view_threads(&g->view) == 1 ? "\n" : "s\n");
}

static int mon_vm(struct gdb *g, char *args, struct err *e)
{
	uint64_t n;
	if (!g->r->vms)
		return err_set(e, NULL, NULL, "this run has no virtual machine of the modelled VMM");
	if (!parse_number(args, &n) || n < 1 || n > g->r->vms)
		return err_set(e, NULL, NULL, "'%s': expected 1..%u", args, g->r->vms);
	look_at(g, (unsigned)n);
	return 0;
}

static int mon_host(struct gdb *g, char *args, struct err *e)
{
	(void)args, (void)e;
	look_at(g, 0);
	return 0;
}

static int mon_memory(struct gdb *g, char *args, struct err *e)
{
	static const char *const name[] = { "linear", "guest", "host" };
	for (unsigned i = 0; i < ARRAY_LEN(name) && *args; i++)
		if (strcmp(name[i], args) == 0)
			g->memory = (enum view_memory)i;
		else if (i == 2 && strcmp(name[g->memory], args) != 0)
			return err_set(e, NULL, NULL, "'%s': expected linear, guest or host", args);
	say(g, "addresses are %s\n", g->memory == VIEW_LINEAR ? "linear" : g->memory == VIEW_HOST_PHYSICAL ? "host-physical" : "guest-physical");
	return 0;
}

/* ---- time ---- */

static int mon_when(struct gdb *g, char *args, struct err *e)
{
	(void)args, (void)e;
	struct timeline *t = travel_timeline(g->travel);
	struct moment now = timeline_now(t), end = timeline_end(t);
	say(g, "instruction %" PRIu64 ", cycle %" PRIu64 ", branch %s", now.step, now.cycle, timeline_branch(t, timeline_present(t)).name);
	if (travel_in_past(g->travel))
		say(g, "; in the past: the branch ends at instruction %" PRIu64, end.step);
	say(g, "\n");
	return 0;
}

static int arrived(struct gdb *g)
{
	gdb_arrived(g);
	mon_when(g, NULL, NULL);
	return 0;
}

static int mon_goto(struct gdb *g, char *args, struct err *e)
{
	struct timeline *t = travel_timeline(g->travel);
	size_t n = strlen(args);
	uint64_t v;
	gdb_settle(g);
	for (unsigned i = 0; i < g->names; i++)
		if (strcmp(g->name[i].name, args) == 0) {
			timeline_switch(t, g->name[i].branch, g->name[i].at);
			return arrived(g);
		}
	if (strcmp(args, "begin") == 0) {
		timeline_goto(t, timeline_begin(t));
	} else if (strcmp(args, "end") == 0) {
		timeline_goto(t, timeline_end(t));
	} else if (n > 6 && strcmp(args + n - 6, "cycles") == 0) {
		args[n - 6] = '\0';
		if (!parse_number(args, &v))
			return err_set(e, NULL, NULL, "'%s' is no number of cycles", args);
		timeline_goto_cycle(t, v);
	} else if (parse_number(args, &v)) {
		timeline_goto(t, (struct moment){ v, 0 });
	} else {
		return err_set(e, NULL, NULL, "'%s': expected a number of instructions, Ncycles, begin, end or a name from snapshot", args);
	}
	return arrived(g);
}

static int mon_snapshot(struct gdb *g, char *args, struct err *e)
{
	struct timeline *t = travel_timeline(g->travel);
	gdb_settle(g);
	if (!*args) {
		for (unsigned i = 0; i < g->names; i++)
			say(g, "%-20s instruction %" PRIu64 ", cycle %" PRIu64 "\n", g->name[i].name, g->name[i].at.step, g->name[i].at.cycle);
		return 0;
	}
	if (g->names == NAMES_MAX)
		return err_set(e, NULL, NULL, "there are %d names already", NAMES_MAX);
	if (strlen(args) >= sizeof g->name[0].name || !isalpha((unsigned char)*args))
		return err_set(e, NULL, NULL, "'%s': a name begins with a letter and has at most %zu", args, sizeof g->name[0].name - 1);
	snprintf(g->name[g->names].name, sizeof g->name[0].name, "%s", args);
	g->name[g->names].at = timeline_now(t);
	g->name[g->names++].branch = timeline_present(t);
	return mon_when(g, NULL, NULL);
}

static int to_event(struct gdb *g, char *args, bool back, struct err *e)
{
	enum travelled how;
	if (!*args)
		return err_set(e, NULL, NULL, "which event? All: vmscope list events");
	gdb_settle(g);
	how = back ? travel_back_event(g->travel, args, e) : travel_to_event(g->travel, args, e);
	if (how == TRAVEL_REFUSED)
		return -1;
	if (how == TRAVEL_NONE)
		say(g, "there is none before\n");
	return arrived(g);
}
static int mon_event(struct gdb *g, char *args, struct err *e) { return to_event(g, args, false, e); }
static int mon_back(struct gdb *g, char *args, struct err *e) { return to_event(g, args, true, e); }

static int mon_branch(struct gdb *g, char *args, struct err *e)
{
	struct timeline *t = travel_timeline(g->travel);
	for (size_t i = 0; i < timeline_branches(t); i++) {
		struct timeline_branch b = timeline_branch(t, i);
		if (*args && strcmp(b.name, args) == 0) {
			gdb_settle(g);
			timeline_switch(t, i, b.end);
			return arrived(g);
		}
		if (!*args)
			say(g, "%c %-16s from instruction %" PRIu64 " to %" PRIu64 "\n", i == timeline_present(t) ? '*' : ' ', b.name, b.fork.step,
			    b.end.step);
	}
	return *args ? err_set(e, NULL, NULL, "no branch '%s'", args) : 0;
}

/* ---- stops ---- */

static bool own(const struct gdb *g, uint32_t id)
{
	for (unsigned i = 0; i < g->points; i++)
		if (g->point[i].id == id)
			return true;
	return false;
}

static int mon_stop(struct gdb *g, char *args, struct err *e)
{
	uint32_t id = stops_add(view_run(&g->view), args, e);
	if (!id)
		return -1;
	say(g, "stop %u: %s\n", id, args);
	return 0;
}

static int mon_stops(struct gdb *g, char *args, struct err *e)
{
	(void)args, (void)e;
	for (size_t i = 0; i < stops_count(g->r); i++) {
		const struct stop *s = stops_at(g->r, i);
		if (!own(g, s->id))
			say(g, "%4u %-40s %" PRIu64 " hit%s\n", s->id, s->text, s->hits, s->hits == 1 ? "" : "s");
	}
	return 0;
}

static int mon_unstop(struct gdb *g, char *args, struct err *e)
{
	uint64_t id;
	if (!parse_number(args, &id) || id > UINT32_MAX || own(g, (uint32_t)id) || !stops_remove(g->r, (uint32_t)id))
		return err_set(e, NULL, NULL, "no stop '%s': stops lists them", args);
	return 0;
}

/* ---- Lua ---- */

static void from_lua(void *who, const char *text, size_t n)
{
	struct gdb *g = who;
	reply_bytes(&g->text, text, n);
}

static int mon_lua(struct gdb *g, char *args, struct err *e)
{
	struct session *s = g->r->session;
	struct run *r = g->r;
	char *values = NULL;
	if (!s->line.eval)
		return err_set(e, NULL, NULL, "the scenario language is not at hand here");
	gdb_settle(g);
	r->touched = false;
	for (unsigned i = 0; i < r->vms; i++)
		r->vm[i]->touched = false;
	s->print = from_lua;
	s->print_who = g;
	int done = s->line.eval(s->line.who, r, view_cpu(&g->view, g->thread)->number, args, &values, e);
	s->print = NULL;
	g->touched |= r->touched;
	for (unsigned i = 0; i < r->vms; i++)
		g->touched |= r->vm[i]->touched;
	if (done == 0 && values && *values)
		say(g, "%s\n", values);
	free(values);
	return done;
}

/* ---- exits, statistics, fields ---- */

struct listing { struct gdb *g; const char *beginning; bool exits, any; };

static void list_stat(void *arg, const char *name, const struct stat_row *row, uint64_t value)
{
	struct listing *l = arg;
	const char *in = l->exits ? strstr(name, ".exit.") : strncmp(name, l->beginning, strlen(l->beginning)) == 0 ? name : NULL;
	if (!in || !value)
		return;
	l->any = true;
	say(l->g, "%-36s %12" PRIu64 "  %s\n", name, value, row->sentence);
}

static int list(struct gdb *g, struct listing l)
{
	stats_each(&g->r->m->stats, list_stat, &l);
	if (!l.any)
		say(g, l.exits ? "no VM exit yet\n" : "none that is not 0\n");
	return 0;
}

static int mon_exits(struct gdb *g, char *args, struct err *e)
{
	(void)args, (void)e;
	return list(g, (struct listing){ g, "", true, false });
}

static int mon_stats(struct gdb *g, char *args, struct err *e)
{
	(void)e;
	return list(g, (struct listing){ g, args, false, false });
}

static int mon_reason(struct gdb *g, char *args, struct err *e)
{
	(void)args;
	const struct cpu *c = view_cpu(&g->view, g->thread);
	struct vmcs k;
	uint64_t pa = g->view.vm ? g->r->m->vmm->vm[g->view.vm - 1]->vcpu[g->thread - 1]->s.vmcs : c->vmcs ? c->vmcs->pa : VMCS_NONE;
	if (pa == VMCS_NONE || (g->view.vm && !g->r->m->vmm->s.started) || !vmcs_peek(c, pa, &k))
		return err_set(e, NULL, NULL, "no VMCS is in use on this CPU");
	uint32_t reason = (uint32_t)k.f[VMCS_EXIT_REASON], n = reason & 0xffff;
	const struct exit_reason_row *row = n < EXIT_REASONS && exit_reason_rows[n].name ? &exit_reason_rows[n] : NULL;
	say(g, "%u %s: %s%s\nqualification %#" PRIx64 ", instruction length %" PRIu64 ", guest-linear %#" PRIx64 ", guest-physical %#" PRIx64 "\n", n,
	    row ? row->name : "?", row ? row->sentence : "unknown", reason >> 31 ? " (VM entry failed)" : "", k.f[VMCS_EXIT_QUALIFICATION],
	    k.f[VMCS_EXIT_INSN_LENGTH], k.f[VMCS_GUEST_LINEAR], k.f[VMCS_GUEST_PHYSICAL]);
	return 0;
}

static const char *field_at(const void *table, size_t i) { return ((const struct field_group *)table)->rows[i].name; }

static int mon_print(struct gdb *g, char *args, struct err *e)
{
	const struct fields *f = &g->r->m->fields;
	const struct field_group *group;
	const struct field_row *row;
	char full[120], text[200];
	snprintf(full, sizeof full, "cpu%u.%s", view_cpu(&g->view, g->thread)->number, args);
	if (!fields_find(f, args, &group, &row) && !fields_find(f, full, &group, &row)) {
		const char *near = err_nearest(args, field_at, &f->groups[0], f->groups[0].n);
		return err_set(e, NULL, NULL, "no field '%.60s'%s%s%s; all: vmscope list fields", args, near ? ": did you mean '" : "",
		               near ? near : "", near ? "'?" : "");
	}
	field_format(row, field_read(group, row), text, sizeof text);
	say(g, "%s.%s = %s: %s\n", group->prefix, row->name, text, row->what);
	return 0;
}

/* ---- memory ---- */

static int dump(struct gdb *g, char *args, enum view_memory how, struct err *e)
{
	char *second = args + strcspn(args, " ");
	uint64_t at, n = 64;
	if (*second)
		*second++ = '\0';
	if (!parse_number(args, &at) || (*second && !parse_number(second, &n)) || n < 1 || n > 1024)
		return err_set(e, NULL, NULL, "expected ADDRESS [BYTES], at most 1024 bytes");
	for (uint64_t row = 0; row < n; row += 16) {
		uint8_t b[16];
		size_t want = n - row < 16 ? n - row : 16, got = view_peek(&g->view, g->thread, how, at + row, b, want);
		say(g, "%#" PRIx64 ":", at + row);
		for (size_t i = 0; i < got; i++)
			say(g, " %02x", b[i]);
		say(g, got < want ? " (not RAM)\n" : "\n");
		if (got < want)
			break;
	}
	return 0;
}
static int mon_xp(struct gdb *g, char *args, struct err *e)
{
	return dump(g, args, g->view.vm ? VIEW_GUEST_PHYSICAL : VIEW_HOST_PHYSICAL, e);
}
static int mon_xhp(struct gdb *g, char *args, struct err *e) { return dump(g, args, VIEW_HOST_PHYSICAL, e); }

static int mon_translate(struct gdb *g, char *args, struct err *e)
{
	uint64_t lin, pa;
	if (address(g, args, &lin, e) != 0)
		return -1;
	if (!view_translate(&g->view, g->thread, lin, &pa))
		say(g, "%#" PRIx64 " is not mapped\n", lin);
	else if (g->view.vm)
		say(g, "linear %#" PRIx64 " -> guest-physical %#" PRIx64 " in VM %u\n", lin, pa, g->view.vm);
	else
		say(g, "linear %#" PRIx64 " -> physical %#" PRIx64 "\n", lin, pa);
	return 0;
}

/* ---- the console ---- */

static int mon_console(struct gdb *g, char *args, struct err *e)
{
	const struct run *face = view_run(&g->view);
	uint64_t lines = 10;
	size_t from = face->console_n;
	if (*args && (!parse_number(args, &lines) || lines < 1 || lines > 100))
		return err_set(e, NULL, NULL, "'%s': expected 1..100 lines", args);
	for (lines++; from > 0 && face->console_n - from < 8000; from--)
		if (face->console[from - 1] == '\n' && --lines == 0)
			break;
	reply_bytes(&g->text, face->console ? face->console + from : "", face->console_n - from);
	return 0;
}

static int mon_type(struct gdb *g, char *args, struct err *e)
{
	char line[520];
	(void)e;
	int n = snprintf(line, sizeof line, "%s\n", args);
	gdb_settle(g);
	timeline_input(travel_timeline(g->travel), 0, line, (size_t)n);
	say(g, "typed: the guest reads it when it runs\n");
	return 0;
}

/* ---- the table ---- */

static monitor_fn mon_help;
static const struct { const char *name, *operands; monitor_fn *run; const char *sentence; } commands[] = {
#define MONITOR(name, operands, fn, sentence) { name, operands, fn, sentence },
#include "ui/gdb/monitor.def"
};

static const char *name_at(const void *table, size_t i)
{
	(void)table;
	return commands[i].name;
}

static int mon_help(struct gdb *g, char *args, struct err *e)
{
	bool any = false;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!*args || strcmp(args, commands[i].name) == 0) {
			char left[60];
			any = true;
			snprintf(left, sizeof left, "%s %s", commands[i].name, commands[i].operands);
			say(g, "%-32s %s\n", left, commands[i].sentence);
		}
	return any ? 0 : err_set(e, NULL, NULL, "no command '%s'", args);
}

bool gdb_monitor(struct gdb *g, const char *line)
{
	struct err e = { "" };
	char name[32], args[480];
	size_t n;
	int found = -1, matches = 0;
	line += strspn(line, " ");
	n = strcspn(line, " ");
	snprintf(name, sizeof name, "%.*s", (int)(n < 31 ? n : 31), line);
	snprintf(args, sizeof args, "%s", line + n + strspn(line + n, " "));
	for (size_t i = strlen(args); i-- > 0 && isspace((unsigned char)args[i]);)
		args[i] = '\0';
	reply_clear(&g->text);
	for (size_t i = 0; i < ARRAY_LEN(commands) && *name; i++) {
		if (strncmp(commands[i].name, name, strlen(name)) != 0)
			continue;
		found = (int)i;
		matches++;
		if (strcmp(commands[i].name, name) == 0) {
			matches = 1;
			break;
		}
	}
	if (!*name)
		mon_help(g, args, &e);
	else if (matches == 1)
		commands[found].run(g, args, &e);
	else if (matches > 1)
		err_set(&e, NULL, NULL, "'%s' begins %d commands: help lists them", name, matches);
	else {
		const char *near = err_nearest(name, name_at, NULL, ARRAY_LEN(commands));
		err_set(&e, NULL, NULL, "no command '%s'%s%s%s", name, near ? ": did you mean '" : ": help lists them", near ? near : "",
		        near ? "'?" : "");
	}
	if (e.text[0])
		say(g, "%s\n", e.text);
	return !e.text[0];
}
