/* trace_file.c - writing trace records as they come. */
#include "ui/export/trace_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/export/json.h"
#include "ui/export/outfile.h"

struct listener {
	struct trace_export *x;
	struct machine *m;
	char name[16];
};

struct trace_export {
	FILE *f;
	char path[1024];
	const char *events;
	bool lines;                     /* JSON */
	struct listener **of;
	size_t n;
};

struct trace_export *trace_export_new(const char *spec, struct err *e)
{
	struct trace_export *x = xcalloc(1, sizeof *x);
	const char *colon = strrchr(spec, ':');
	size_t n = colon ? (size_t)(colon - spec) : strlen(spec);

	snprintf(x->path, sizeof x->path, "%.*s", (int)n, spec);
	x->events = colon ? colon + 1 : "";
	x->lines = n > 6 && strcmp(x->path + n - 6, ".jsonl") == 0;
	x->f = outfile_open(x->path, e);
	if (!x->f) {
		free(x);
		return NULL;
	}
	return x;
}

void trace_json(struct json *j, const struct trace *t, const struct trace_record *r)
{
	const struct trace_row *row = &t->rows[r->event];
	const char *args = row->args ? row->args : "";

	json_object(j, NULL);
	json_u64(j, "cycle", r->cycle);
	json_text(j, "component", t->component[r->component]);
	json_text(j, "event", row->name ? row->name : "?");
	for (unsigned i = 0; i < 4 && *args; i++) {
		size_t word = strcspn(args, " ");
		char key[32], hex[20];
		bool decimal = args[word - 1] == '#';

		snprintf(key, sizeof key, "%.*s", (int)(word - decimal), args);
		snprintf(hex, sizeof hex, "0x%" PRIx64, r->a[i]);
		if (decimal)
			json_u64(j, key, r->a[i]);
		else            /* addresses do not fit a JSON number's 53 bits */
			json_text(j, key, hex);
		args += word;
		args += strspn(args, " ");
	}
	json_end_object(j);
}

static void on_record(void *who, const struct trace_record *r)
{
	const struct listener *l = who;
	struct json j;
	char line[256];

	if (l->x->lines) {
		json_init(&j, l->x->f, true);
		trace_json(&j, &l->m->trace, r);
		return;
	}
	trace_format(&l->m->trace, r, line, sizeof line);
	fprintf(l->x->f, "%s\n", line);
}

int trace_export_listen(struct trace_export *x, struct machine *m, const char *name, struct err *e)
{
	struct listener *l = xcalloc(1, sizeof *l);
	char filter[4096] = "";

	l->x = x;
	l->m = m;
	snprintf(l->name, sizeof l->name, "%s", name);
	x->of = xrealloc(x->of, (x->n + 1) * sizeof *x->of);
	x->of[x->n++] = l;
	if (*x->events)
		return trace_listen(&m->trace, x->events, on_record, l, e);
	for (unsigned i = 0; i < TRACE_EVENTS; i++) {
		size_t at = strlen(filter);

		if (m->trace.rows[i].name && i != CPU_TRACE_INSN && i != MMU_TRACE_ACCESS && i != MMU_TRACE_TLB_HIT)
			snprintf(filter + at, sizeof filter - at, "%s%s", at ? "," : "",
			         m->trace.rows[i].name);
	}
	return trace_listen(&m->trace, filter, on_record, l, e);
}

int trace_export_close(struct trace_export *x, struct err *e)
{
	int status;

	if (!x->f)
		return 0;
	for (size_t i = 0; i < x->n; i++) {
		const struct trace *t = &x->of[i]->m->trace;

		if (!x->lines)
			fprintf(x->f, "# %s: %" PRIu64 " records, hash %016" PRIx64 "\n",
			        x->of[i]->name, t->count, t->hash);
		trace_unlisten(&x->of[i]->m->trace, on_record, x->of[i]);
	}
	status = outfile_close(x->f, x->path, e);
	x->f = NULL;
	return status;
}

void trace_export_free(struct trace_export *x)
{
	struct err ignored = { "" };

	if (!x)
		return;
	trace_export_close(x, &ignored);
	for (size_t i = 0; i < x->n; i++)
		free(x->of[i]);
	free(x->of);
	free(x);
}
