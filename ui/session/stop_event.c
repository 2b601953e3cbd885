/* stop_event.c - catch: stops after a trace event, with conditions on what it says.
 *
 *   EVENT[,EVENT...]   names of `vmscope list events`, a trailing * matches more; and
 *                      exit, exit.REASON, exception.pf, #PF, port, in, out, rdmsr, wrmsr
 *   if ARG OP VALUE    ARG: of the event, or cpu; OP: == != < <= > >= & (some of these bits are set) !& (none is)
 *                      VALUE: a number, or what the argument is called by: #PF, cpuid (a reason), guest_cr3, ia32_efer, cr3
 *   and ...            all of them must hold */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/insn.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "ui/session/stops_impl.h"

#define EVENTS_MAX 64           /* of one stop */
#define CONDITIONS_MAX 8

enum operator { OP_EQ, OP_NE, OP_LE, OP_LT, OP_GE, OP_GT, OP_NONE, OP_SOME };
static const char *const operators[] = { "==", "!=", "<=", "<", ">=", ">", "!&", "&" };

struct condition { char arg[16]; uint64_t value; uint8_t op; };
struct caught {
	unsigned n, conditions;
	uint16_t event[EVENTS_MAX];
	int8_t arg[EVENTS_MAX][CONDITIONS_MAX];         /* which argument of that event; ARG_CPU */
	struct condition condition[CONDITIONS_MAX];
};
#define ARG_CPU 4

static void caught_free(struct stops *k, void *own)
{
	(void)k;
	free(own);
}

/* ---- listening ---- */

static bool meets(const struct condition *c, uint64_t v)
{
	switch (c->op) {
	case OP_EQ: return v == c->value;
	case OP_NE: return v != c->value;
	case OP_LE: return v <= c->value;
	case OP_LT: return v < c->value;
	case OP_GE: return v >= c->value;
	case OP_GT: return v > c->value;
	case OP_NONE: return !(v & c->value);
	default: return v & c->value;
	}
}

/* Bit 31 of a reason says that the entry failed: with or without it is the same reason. */
static uint64_t argument(const struct trace_record *r, const struct condition *c, int arg)
{
	if (arg == ARG_CPU)
		return r->component;
	return r->event == CPU_TRACE_VM_EXIT && strcmp(c->arg, "reason") == 0 ? r->a[arg] & 0xffff : r->a[arg];
}

static bool is_caught(const struct caught *what, const struct trace_record *r)
{
	for (unsigned i = 0; i < what->n; i++) {
		if (what->event[i] != r->event)
			continue;
		bool all = true;
		for (unsigned k = 0; k < what->conditions; k++)
			all &= meets(&what->condition[k], argument(r, &what->condition[k], what->arg[i][k]));
		return all;
	}
	return false;
}

/* Whose event it is: said by itself, or by the CPU's virtual machine, or it is a device of its. */
static bool concerns(const struct stops *k, const struct stopper *p, const struct trace_record *r)
{
	const struct machine *m = k->r->m;
	if (!p->vm)
		return true;
	if (strncmp(m->trace.rows[r->event].args, "vm# ", 4) == 0)
		return r->a[0] == p->vm;
	if (r->component < m->config.cpus) {
		uint32_t n = m->vmm ? m->vmm->s.current[r->component] : 0;
		return n && m->vmm->vcpu[n - 1]->vm->number == p->vm;
	}
	const struct machine *g = m->guest[p->vm - 1];
	return r->component >= g->components[0] && r->component < g->components[1];
}

static void on_event(void *who, const struct trace_record *r)
{
	struct stops *k = who;
	if (k->quiet)
		return;
	for (size_t i = 0; i < k->n; i++) {
		struct stopper *p = k->at[i];
		if (p->s.kind != STOP_KIND_CATCH || p->s.off || !is_caught(p->own, r) || !concerns(k, p, r))
			continue;
		char text[160];
		const char *at = text;
		struct stop_hit h = { .cpu = r->component < k->r->m->config.cpus ? r->component : k->r->m->s.running };
		trace_format(&k->r->m->trace, r, text, sizeof text);
		at += strspn(at, " ");
		at += strcspn(at, " ");         /* the record's time: the stop has one */
		stop_sentence_of(&h, p, "%s", at + strspn(at, " "));
		stop_note(k, p, &h);
	}
}

void stop_event_changed(struct stops *k)
{
	struct trace *t = &k->r->m->trace;
	bool wanted[TRACE_EVENTS] = { false };
	char filter[TRACE_EVENTS * 8] = "";
	size_t n = 0;
	for (size_t i = 0; i < k->n; i++)
		for (unsigned e = 0; k->at[i]->s.kind == STOP_KIND_CATCH && !k->at[i]->s.off && e < ((struct caught *)k->at[i]->own)->n; e++)
			wanted[((struct caught *)k->at[i]->own)->event[e]] = true;
	for (unsigned e = 0; e < TRACE_EVENTS; e++)
		if (wanted[e] && n + strlen(t->rows[e].name) + 2 < sizeof filter)
			n += (size_t)snprintf(filter + n, sizeof filter - n, "%s%s", n ? "," : "", t->rows[e].name);
	if (k->listens)
		trace_unlisten(t, on_event, k);
	struct err e = { "" };
	k->listens = n && trace_listen_apart(t, filter, on_event, k, &e) == 0;
}

/* ---- names of values ---- */

static const struct { uint8_t vector; const char *name; } vectors[] = {
#define EXCEPTION(vector, name, title, class, error, sentence) { vector, name },
#include "ui/cli/exceptions.def"
};
static const char *vector_name(const void *t, size_t i) { (void)t; return i < ARRAY_LEN(vectors) ? vectors[i].name : NULL; }
static uint64_t vector_value(size_t i) { return vectors[i].vector; }
static const char *reason_name(const void *t, size_t i) { (void)t; return i < EXIT_REASONS ? exit_reason_rows[i].name ? exit_reason_rows[i].name : "" : NULL; }
static uint64_t index_value(size_t i) { return i; }
static const char *vmcs_name(const void *t, size_t i) { (void)t; return i < VMCS_N ? vmcs_rows[i].name : NULL; }
static uint64_t vmcs_value(size_t i) { return vmcs_rows[i].encoding; }
static const char *msr_name(const void *t, size_t i) { (void)t; return i < msr_list_n ? msr_list[i].name : NULL; }
static uint64_t msr_value(size_t i) { return msr_list[i].nr; }
static const char *insn_row_name(const void *t, size_t i) { (void)t; return i < INSN_N ? insn_name((enum insn)i) : NULL; }
static const char *check_name(const void *t, size_t i) { (void)t; return i < VMX_CHECKS ? vmx_check_rows[i].name : NULL; }
static const char *cr_name(const void *t, size_t i)
{
	static const char *const names[] = { "cr0", "cr1", "cr2", "cr3", "cr4", "cr5", "cr6", "cr7", "cr8" };
	(void)t;
	return i < ARRAY_LEN(names) ? names[i] : NULL;
}

static const struct value_names {
	const char *event, *arg;        /* event NULL: of any */
	const char *(*name)(const void *table, size_t i);       /* NULL at the end */
	uint64_t (*value)(size_t i);
	const char *what, *list;
} value_names[] = {
	{ NULL, "vector", vector_name, vector_value, "exception", "exceptions" },
	{ NULL, "reason", reason_name, index_value, "exit reason", "exits" },
	{ NULL, "field", vmcs_name, vmcs_value, "VMCS field", "vmcs" },
	{ NULL, "insn", insn_row_name, index_value, "instruction", "insns" },
	{ NULL, "check", check_name, index_value, "VM-entry check", "checks" },
	{ "cr", "number", cr_name, index_value, "control register", "fields" },
	{ "msr", "number", msr_name, msr_value, "MSR", "msrs" },
	{ "msr_read", "number", msr_name, msr_value, "MSR", "msrs" },
};

static bool same(const char *a, const char *b)
{
	for (; *a && tolower((unsigned char)*a) == tolower((unsigned char)*b); a++, b++)
		;
	return *a == *b;
}

static int named_value(const struct value_names *t, const char *text, uint64_t *v, struct err *e)
{
	size_t n = 0;
	if (strncmp(text, "exit.", 5) == 0)
		text += 5;
	for (; t->name(NULL, n); n++)
		if (*t->name(NULL, n) && (same(t->name(NULL, n), text) || (t->name(NULL, n)[0] == '#' && same(t->name(NULL, n) + 1, text)))) {
			*v = t->value(n);
			return 0;
		}
	const char *near = err_nearest(text, t->name, NULL, n);
	char hint[160];
	snprintf(hint, sizeof hint, "%s%s%sall names: vmscope list %s", near ? "did you mean '" : "", near ? near : "", near ? "'? " : "", t->list);
	return err_set(e, NULL, hint, "unknown %s '%s'", t->what, text);
}

static int value_of(const char *event, const char *arg, const char *text, uint64_t *v, struct err *e)
{
	if (parse_number(text, v))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(value_names); i++)
		if (strcmp(value_names[i].arg, arg) == 0 && (!value_names[i].event || strcmp(value_names[i].event, event) == 0))
			return named_value(&value_names[i], text, v, e);
	return err_set(e, NULL, "as in: catch port_out if port == 0x3f8 and value & 0x80", "'%s': expected a number", text);
}

/* ---- reading ---- */

static const struct { const char *name, *events; } aliases[] = {
	{ "exit", "vm_exit" }, { "entry", "vm_entry" }, { "port", "port_in,port_out" }, { "in", "port_in" }, { "out", "port_out" },
	{ "rdmsr", "msr_read" }, { "wrmsr", "msr" },
};

static const char *event_name(const void *table, size_t i)
{
	const char *name = ((const struct trace *)table)->rows[i].name;
	return name ? name : "";
}

static bool add_events(struct caught *c, const struct trace *t, const char *name, size_t n)
{
	bool any = false;
	for (unsigned i = 0; i < TRACE_EVENTS; i++) {
		const char *is = t->rows[i].name;
		if (!is || c->n == EVENTS_MAX || !(n && name[n - 1] == '*' ? strncmp(is, name, n - 1) == 0 : strlen(is) == n && memcmp(is, name, n) == 0))
			continue;
		c->event[c->n++] = (uint16_t)i;
		any = true;
	}
	return any;
}

static int bound(struct caught *c, const char *arg, const char *text, const struct value_names *names, struct err *e)
{
	struct condition *q = &c->condition[c->conditions++];
	snprintf(q->arg, sizeof q->arg, "%s", arg);
	q->op = OP_EQ;
	return named_value(names, text, &q->value, e);
}

static int one_event(struct caught *c, const struct trace *t, const char *name, struct err *e)
{
	if (strncmp(name, "exit.", 5) == 0 && strcmp(name + 5, "*") != 0)
		return add_events(c, t, "vm_exit", 7) ? bound(c, "reason", name + 5, &value_names[1], e) : -1;
	if (strcmp(name, "exit.*") == 0)
		name = "vm_exit";
	if (name[0] == '#' || strncmp(name, "exception.", 10) == 0)
		return add_events(c, t, "exception", 9) ? bound(c, "vector", name[0] == '#' ? name : name + 10, &value_names[0], e) : -1;
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		for (const char *at = strcmp(aliases[i].name, name) == 0 ? aliases[i].events : ""; *at; at += strcspn(at, ","), at += *at == ',')
			add_events(c, t, at, strcspn(at, ","));
	if (c->n || add_events(c, t, name, strlen(name)))
		return 0;
	const char *near = err_nearest(name, event_name, t, TRACE_EVENTS);
	char hint[200];
	snprintf(hint, sizeof hint, "%s%s%sall names: vmscope list events; and exit.REASON, exception.pf, port, rdmsr, wrmsr",
	         near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
	return err_set(e, NULL, hint, "unknown event '%s'", name);
}

/* Which argument of an event a name is; -1: none. */
static int argument_of(const struct trace_row *row, const char *name)
{
	const char *at = row->args ? row->args : "";
	if (strcmp(name, "cpu") == 0)
		return ARG_CPU;
	for (int i = 0; *at && i < 4; i++) {
		size_t n = strcspn(at, " "), bare = n - (at[n - 1] == '#');
		if (strlen(name) == bare && memcmp(name, at, bare) == 0)
			return i;
		at += n;
		at += strspn(at, " ");
	}
	return -1;
}

/* ARG OP VALUE, with blanks or without; *at moves behind it. */
static int one_condition(struct caught *c, const struct trace *t, const char **at, struct err *e)
{
	char value[64];
	if (c->conditions == CONDITIONS_MAX)
		return err_set(e, NULL, NULL, "more than %d conditions", CONDITIONS_MAX);
	struct condition *q = &c->condition[c->conditions++];
	*at += strspn(*at, " \t");
	size_t n = strcspn(*at, " \t=!<>&");
	snprintf(q->arg, sizeof q->arg, "%.*s", (int)(n < sizeof q->arg ? n : sizeof q->arg - 1), *at);
	*at += n;
	*at += strspn(*at, " \t");
	unsigned op = 0;
	while (op < ARRAY_LEN(operators) && strncmp(*at, operators[op], strlen(operators[op])) != 0)
		op++;
	if (op == ARRAY_LEN(operators) && **at == '=')
		op = OP_EQ, (*at)++;
	else if (op == ARRAY_LEN(operators))
		return err_set(e, NULL, "operators: == != < <= > >= & !&", "'%s': expected an operator after '%s'", *at, q->arg);
	else
		*at += strlen(operators[op]);
	q->op = (uint8_t)op;
	stop_word(at, value, sizeof value);
	return value_of(t->rows[c->event[0]].name, q->arg, value, &q->value, e);
}

static int conditions(struct caught *c, const struct trace *t, const char *at, struct err *e)
{
	char word[32];
	for (bool first = true; *at; first = false) {
		stop_word(&at, word, sizeof word);
		if (strcmp(word, first ? "if" : "and") != 0)
			return err_set(e, NULL, "as in: catch vm_exit if reason == cpuid and rip > 0x1000", "'%s': expected '%s'", word, first ? "if" : "and");
		if (!*at)
			return err_set(e, NULL, "as in: catch vm_exit if reason == cpuid", "a condition is missing after '%s'", word);
		if (one_condition(c, t, &at, e) != 0)
			return -1;
	}
	return 0;
}

/* Each event must have what the conditions ask of. */
static int resolve(struct caught *c, const struct trace *t, struct err *e)
{
	for (unsigned i = 0; i < c->n; i++)
		for (unsigned k = 0; k < c->conditions; k++) {
			const struct trace_row *row = &t->rows[c->event[i]];
			int arg = argument_of(row, c->condition[k].arg);
			char hint[120];
			snprintf(hint, sizeof hint, "it has: %s cpu", row->args ? row->args : "");
			if (arg < 0)
				return err_set(e, NULL, hint, "event '%s' has no '%s'", row->name, c->condition[k].arg);
			c->arg[i][k] = (int8_t)arg;
		}
	return 0;
}

int stop_catch(struct stops *k, struct run *r, struct stopper *p, const char *operands, struct err *e)
{
	struct caught *c = xcalloc(1, sizeof *c);
	const struct trace *t = &k->r->m->trace;
	char names[160], name[48];
	(void)r;
	p->own = c;
	p->own_free = caught_free;
	p->arm = stop_arm_nothing;
	stop_word(&operands, names, sizeof names);
	if (!*names)
		return err_set(e, NULL, "as in: catch exit.cpuid, catch exception if vector == #PF", "the name of an event is missing");
	bool several = strchr(names, ',') != NULL;
	for (const char *at = names; *at; at += strspn(at, ",")) {
		size_t n = strcspn(at, ",");
		snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), at);
		at += n;
		unsigned had = c->n, bounds = c->conditions;
		c->n = 0;
		struct caught one = { .n = 0 };
		if (one_event(&one, t, name, e) != 0)
			return -1;
		if (several && one.conditions)
			return err_set(e, NULL, "one stop for each", "'%s' stands alone", name);
		c->n = had;
		for (unsigned i = 0; i < one.n && c->n < EVENTS_MAX; i++)
			c->event[c->n++] = one.event[i];
		for (unsigned i = 0; i < one.conditions; i++)
			c->condition[bounds + i] = one.condition[i];
		c->conditions = bounds + one.conditions;
	}
	if (conditions(c, t, operands, e) != 0)
		return -1;
	return resolve(c, t, e);
}
