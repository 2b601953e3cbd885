/* field.c - one field: its value by name, and its history. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/vmx/vmx.h"
#include "ui/export/ledger_text.h"
#include "ui/tui/tui.h"

static bool vmcs_field_named(const struct tui *t, const char *name, uint64_t *v, struct field_row *row)
{
	unsigned cpu;
	int skip = 0;
	if (sscanf(name, "cpu%u.vmcs.%n", &cpu, &skip) != 1 || !skip || cpu >= t->m->config.cpus)
		return false;
	for (unsigned f = 0; f < VMCS_N; f++)
		if (strcmp(vmcs_rows[f].name, name + skip) == 0) {
			const struct vmcs *s = t->m->cpu[cpu]->vmcs;
			*v = s ? s->f[f] : 0;
			*row = (struct field_row){ .name = vmcs_rows[f].name, .size = 8, .bits = vmcs_bits((enum vmcs_field)f), .what = vmcs_rows[f].sentence };
			return true;
		}
	return false;
}

bool field_named(const struct tui *t, const char *name, uint64_t *v, struct field_row *row)
{
	const struct field_group *g;
	const struct field_row *r;
	if (!fields_find(&t->m->fields, name, &g, &r))
		return vmcs_field_named(t, name, v, row);
	*row = *r;
	*v = field_read(g, r);
	return true;
}

/* ---- history ---- */

#define VALUES  40              /* the last so many */
#define MOMENTS 1500            /* at most so many moments are gone to, or single steps made */

struct value { struct moment at; uint64_t v; };
struct values { struct value v[VALUES]; unsigned n; uint64_t last; bool any; };

static void note(struct tui *t, const char *name, struct values *k)
{
	struct field_row row;
	uint64_t v;
	if (!field_named(t, name, &v, &row) || (k->any && v == k->last))
		return;
	if (k->n == VALUES)
		memmove(k->v, k->v + 1, (--k->n) * sizeof *k->v);
	k->v[k->n++] = (struct value){ timeline_now(t->timeline), v };
	k->last = v;
	k->any = true;
}

/* A field of a VMCS changes at exits and between them and the entries: those moments are looked at. Any other field is
 * looked at after every instruction, over a shorter past. */
static struct moment go_over(struct tui *t, const char *name, struct values *k)
{
	const struct moment now = timeline_now(t->timeline), begin = timeline_begin(t->timeline);
	struct moment from = { now.step - begin.step > 20 * MOMENTS ? now.step - 20 * MOMENTS : begin.step, 0 };
	if (strstr(name, ".vmcs.")) {
		size_t n = history_count(t->history), first = n, i = n;
		for (unsigned found = 0; i > 0 && found < MOMENTS; i--) {
			unsigned event = history_at(t->history, i - 1)->r.event;
			if (event == CPU_TRACE_VM_EXIT || event == CPU_TRACE_VM_ENTRY)
				found++, first = i - 1;
		}
		from = first < n ? history_at(t->history, first)->at : now;
		struct moment at[MOMENTS];
		unsigned moments = 0;
		for (i = first; i < n && moments < MOMENTS; i++) {
			const struct happening *e = history_at(t->history, i);
			if (e->r.event == CPU_TRACE_VM_EXIT || e->r.event == CPU_TRACE_VM_ENTRY)
				at[moments++] = e->at;
		}
		for (unsigned j = 0; j < moments && !(j % 32 == 31 && tui_patience(t, "going over the past: Ctrl-C ends it early")); j++) {
			timeline_goto(t->timeline, at[j]);
			note(t, name, k);
		}
		return from;
	}
	timeline_goto(t->timeline, from);
	note(t, name, k);
	while (timeline_now(t->timeline).step < now.step && !(timeline_now(t->timeline).step % 256 == 0 && tui_patience(t, "going over the past: Ctrl-C ends it early"))) {
		timeline_goto(t->timeline, (struct moment){ timeline_now(t->timeline).step + 1, 0 });
		note(t, name, k);
	}
	return from;
}

void history_of_field(struct tui *t, const char *name)
{
	struct values *k = xcalloc(1, sizeof *k);
	struct field_row row = { 0 };
	const struct moment now = timeline_now(t->timeline);
	const size_t branch = timeline_present(t->timeline);
	char line[400], a[40], b[40], title[100], *text;
	uint64_t v;
	size_t size;
	if (!field_named(t, name, &v, &row)) {
		tui_say(t, true, "no field '%s'", name);
		free(k);
		return;
	}
	t->endless = false;
	struct moment from = go_over(t, name, k);
	timeline_switch(t->timeline, branch, now);
	FILE *f = open_memstream(&text, &size);
	fprintf(f, "%14s %13s   value (looked at from instruction %s on)\n", "cycle", "insn", digits(from.step, a, sizeof a));
	for (unsigned i = 0; i < k->n; i++) {
		field_format(&row, k->v[i].v, line, sizeof line);
		fprintf(f, "%14s %13s   %s\n", digits(k->v[i].at.cycle, a, sizeof a), digits(k->v[i].at.step, b, sizeof b), line);
	}
	fclose(f);
	free(k);
	snprintf(title, sizeof title, "history of %s", name);
	popup_show(t, title, text);
	t->popup.top = 1 << 20;
}
