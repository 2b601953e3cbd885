/* trace_file.c - files of trace records: which form, which events, which machines. */
#include "ui/export/trace_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/vmm/vmm.h"
#include "ui/export/outfile.h"
#include "ui/export/trace_forms.h"
#include "ui/session/travel.h"

enum {
#define EXPORT(id, ending, what, sentence) FORM_##id,
#include "ui/export/exports.def"
	FORMS
};
static const char *const endings[FORMS] = {
#define EXPORT(id, ending, what, sentence) ending,
#include "ui/export/exports.def"
};
static const struct trace_form forms[FORMS] = {
	[FORM_text]     = { .open = rows_open, .record = text_record, .close = text_close },
	[FORM_jsonl]    = { .open = rows_open, .record = jsonl_record, .close = jsonl_close },
	[FORM_csv]      = { .open = csv_open, .record = csv_record, .close = csv_close },
	[FORM_perfetto] = { .events = perfetto_events, .open = perfetto_open, .record = perfetto_record, .close = perfetto_close,
	                    .end = perfetto_end },
	[FORM_vcd]      = { .events = vcd_events, .apart = true, .open = vcd_open, .record = vcd_record, .close = vcd_close },
};

/* One machine writing to one file. */
struct listener {
	struct trace_export *x;
	struct run *r;
	struct trace_target *t;
	void *form;
	uint64_t lived;                 /* instructions: the furthest written about */
};

struct trace_export {
	const struct trace_form *form;
	char path[1024];
	const char *events;
	struct file { struct trace_target t; char path[1100]; } **file;
	size_t files;
	struct listener **of;
	size_t n;
};

/* ---- files ---- */

static const struct trace_form *form_of(const char *path)
{
	const size_t n = strlen(path);

	for (unsigned i = 0; i < FORMS; i++) {
		const size_t k = strlen(endings[i]);

		if (n >= k && strcmp(path + n - k, endings[i]) == 0)
			return &forms[i];
	}
	BUG("no form for every other file");
}

/* The file a machine writes into: the first one's has the name given, that of another has its name before the ending. */
static struct trace_target *target(struct trace_export *x, const char *machine, struct err *e)
{
	const char *slash, *dot;
	struct file *f;

	if (x->files && !x->form->apart)
		return &x->file[0]->t;
	f = xcalloc(1, sizeof *f);
	snprintf(f->path, sizeof f->path, "%s", x->path);
	slash = strrchr(x->path, '/');
	dot = strrchr(slash ? slash : x->path, '.');
	if (x->files && dot)
		snprintf(f->path, sizeof f->path, "%.*s.%s%s", (int)(dot - x->path), x->path, machine, dot);
	f->t.f = outfile_open(f->path, e);
	if (!f->t.f) {
		free(f);
		return NULL;
	}
	x->file = xrealloc(x->file, (x->files + 1) * sizeof *x->file);
	x->file[x->files++] = f;
	return &f->t;
}

struct trace_export *trace_export_new(const char *spec, struct err *e)
{
	struct trace_export *x = xcalloc(1, sizeof *x);
	const char *colon = strrchr(spec, ':');
	const size_t n = colon ? (size_t)(colon - spec) : strlen(spec);
	bool bad = n >= sizeof x->path;

	snprintf(x->path, sizeof x->path, "%.*s", (int)n, spec);
	x->events = colon ? colon + 1 : "";
	x->form = form_of(x->path);
	if (bad)
		err_set(e, "--trace", NULL, "the file's name is longer than %zu", sizeof x->path);
	else if (x->form->events && *x->events)
		err_set(e, x->path, "leave out what follows the colon, or write .jsonl, .csv or text", "this form chooses its events itself");
	else if (target(x, "", e))
		return x;
	trace_export_free(x);
	return NULL;
}

/* ---- records ---- */

/* A moment lived through again has been written. A form with one clock forwards (.apart, .end) cannot go back in it either:
 * of a new branch of time it shows what is beyond the furthest moment. */
static void on_record(void *who, const struct trace_record *r)
{
	struct listener *l = who;

	if (run_recorded(l->r))
		return;
	if (l->x->form->events) {
		const uint64_t now = machine_icount(l->r->m);

		if (now < l->lived)
			return;
		l->lived = now;
	}
	l->x->form->record(l->form, r);
}

/* Names of every event but those of every instruction and access. */
static void usual_events(const struct trace *t, char *filter, size_t n)
{
	size_t at = 0;

	filter[0] = '\0';
	for (unsigned i = 0; i < TRACE_EVENTS; i++)
		if (t->rows[i].name && i != CPU_TRACE_INSN && i != MMU_TRACE_ACCESS && i != MMU_TRACE_TLB_HIT && at < n)
			at += (size_t)snprintf(filter + at, n - at, "%s%s", at ? "," : "", t->rows[i].name);
}

int trace_export_listen(struct trace_export *x, struct run *r, struct err *e)
{
	struct listener *l = xcalloc(1, sizeof *l);
	struct trace *t = &r->m->trace;
	char filter[8192];
	int status;

	x->of = xrealloc(x->of, (x->n + 1) * sizeof *x->of);
	x->of[x->n++] = l;
	l->x = x;
	l->r = r;
	l->t = x->n == 1 ? &x->file[0]->t : target(x, r->name, e);
	if (!l->t)
		return -1;
	l->t->machines++;
	usual_events(t, filter, sizeof filter);
	/* A picture of the run is no trace that was asked for: it leaves no mark in the ring, the count and the hash. */
	if (x->form->events)
		status = trace_listen_apart(t, x->form->events, on_record, l, e);
	else
		status = trace_listen(t, *x->events ? x->events : filter, on_record, l, e);
	if (status == 0)
		l->form = x->form->open(l->t, r->m, r->name, t->sink[t->sinks - 1].wanted);
	return status;
}

int trace_export_close(struct trace_export *x, struct err *e)
{
	int status = 0;

	for (size_t i = 0; i < x->n; i++) {
		struct listener *l = x->of[i];

		trace_unlisten(&l->r->m->trace, on_record, l);
		if (l->form)
			x->form->close(l->form);
		l->form = NULL;
	}
	for (size_t i = 0; i < x->files; i++) {
		struct trace_target *t = &x->file[i]->t;

		if (!t->f)
			continue;
		if (x->form->end)
			x->form->end(t);
		status |= outfile_close(t->f, x->file[i]->path, e);
		t->f = NULL;
	}
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
	for (size_t i = 0; i < x->files; i++)
		free(x->file[i]);
	free(x->file);
	free(x->of);
	free(x);
}
