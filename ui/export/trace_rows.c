/* trace_rows.c - trace records one a line: text, JSON Lines, CSV. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/export/json.h"
#include "ui/export/trace_forms.h"

struct rows {
	struct trace_target *t;
	const struct machine *m;
	char name[16];
};

void *rows_open(struct trace_target *t, const struct machine *m, const char *name, const uint64_t *wanted)
{
	struct rows *w = xcalloc(1, sizeof *w);

	(void)wanted;
	w->t = t;
	w->m = m;
	snprintf(w->name, sizeof w->name, "%s", name);
	return w;
}

/* ---- text ---- */

void text_record(void *who, const struct trace_record *r)
{
	const struct rows *w = who;
	char line[256];

	trace_format(&w->m->trace, r, line, sizeof line);
	fprintf(w->t->f, "%s\n", line);
}

void text_close(void *who)
{
	struct rows *w = who;

	fprintf(w->t->f, "# %s: %" PRIu64 " records, hash %016" PRIx64 "\n", w->name, w->m->trace.count, w->m->trace.hash);
	free(w);
}

/* ---- JSON Lines ---- */

static void args_json(struct json *j, const struct trace *t, const struct trace_record *r)
{
	struct trace_arg arg[4];
	const unsigned n = trace_args(t, r, arg);

	for (unsigned i = 0; i < n; i++) {
		char hex[20];

		snprintf(hex, sizeof hex, "0x%" PRIx64, arg[i].value);
		if (arg[i].decimal)
			json_u64(j, arg[i].name, arg[i].value);
		else            /* addresses do not fit a JSON number's 53 bits */
			json_text(j, arg[i].name, hex);
	}
}

void jsonl_record(void *who, const struct trace_record *r)
{
	const struct rows *w = who;
	const struct trace_row *row = &w->m->trace.rows[r->event];
	char text[40];
	struct json j;

	json_init(&j, w->t->f, true);
	json_object(&j, NULL);
	json_text(&j, "machine", w->name);
	json_u64(&j, "cycle", r->cycle);
	json_number(&j, "seconds", trace_seconds(r->cycle, w->m->config.profile.hz, text, sizeof text));
	json_text(&j, "component", trace_component_name(w->m, r->component, text, sizeof text));
	json_text(&j, "event", row->name ? row->name : "?");
	args_json(&j, &w->m->trace, r);
	json_end_object(&j);
}

void jsonl_close(void *who)
{
	free(who);
}

/* ---- CSV ---- */

#define COLUMNS_MAX 256

struct csv {
	struct rows w;
	unsigned columns;
	char column[COLUMNS_MAX][24];
	int16_t at[TRACE_EVENTS][4];            /* argument -> column */
};

static int16_t column(struct csv *c, const char *name)
{
	unsigned i = 0;

	while (i < c->columns && strcmp(c->column[i], name) != 0)
		i++;
	if (i == COLUMNS_MAX)
		BUG("more than %d columns", COLUMNS_MAX);
	if (i == c->columns)
		snprintf(c->column[c->columns++], sizeof c->column[0], "%.23s", name);
	return (int16_t)i;
}

/* The columns are the arguments of every event that is listened to, whether it happens or not: known before the first line. */
void *csv_open(struct trace_target *t, const struct machine *m, const char *name, const uint64_t *wanted)
{
	struct csv *c = xcalloc(1, sizeof *c);

	c->w.t = t;
	c->w.m = m;
	snprintf(c->w.name, sizeof c->w.name, "%s", name);
	for (unsigned e = 0; e < TRACE_EVENTS; e++) {
		struct trace_arg arg[4];
		const struct trace_record r = { .event = (uint16_t)e };

		if (!m->trace.rows[e].name || !(wanted[e / 64] >> (e % 64) & 1))
			continue;
		for (unsigned i = 0, n = trace_args(&m->trace, &r, arg); i < n; i++)
			c->at[e][i] = column(c, arg[i].name);
	}
	if (t->written++)
		return c;                       /* another machine has written the same head */
	fputs("machine,cycle,seconds,component,event", t->f);
	for (unsigned i = 0; i < c->columns; i++)
		fprintf(t->f, ",%s", c->column[i]);
	fputc('\n', t->f);
	return c;
}

void csv_record(void *who, const struct trace_record *r)
{
	struct csv *c = who;
	const struct machine *m = c->w.m;
	struct trace_arg arg[4];
	const struct trace_arg *in[COLUMNS_MAX] = { NULL };
	const unsigned n = trace_args(&m->trace, r, arg);
	char seconds[40], component[40];

	for (unsigned i = 0; i < n; i++) {
		const unsigned at = (unsigned)c->at[r->event][i];

		in[at] = &arg[i];
	}
	fprintf(c->w.t->f, "%s,%" PRIu64 ",%s,%s,%s", c->w.name, r->cycle,
	        trace_seconds(r->cycle, m->config.profile.hz, seconds, sizeof seconds),
	        trace_component_name(m, r->component, component, sizeof component), m->trace.rows[r->event].name);
	for (unsigned i = 0; i < c->columns; i++) {
		fputc(',', c->w.t->f);
		if (in[i])
			fprintf(c->w.t->f, in[i]->decimal ? "%" PRIu64 : "0x%" PRIx64, in[i]->value);
	}
	fputc('\n', c->w.t->f);
}

void csv_close(void *who)
{
	free(who);
}
