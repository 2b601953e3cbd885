/* files.c - a comparison as JSON and CSV: exact numbers, no host time, so the same inputs give the same bytes. */
#include <inttypes.h>
#include <string.h>

#include "ui/compare/compare.h"
#include "ui/export/json.h"
#include "ui/export/outfile.h"

static bool diverged(const struct comparison *c, size_t at)
{
	for (size_t i = 0; i < c->divergences; i++)
		if (c->divergence[i].at == at)
			return true;
	return false;
}

/* ---- JSON ---- */

static void put_number(struct json *j, const char *key, const struct number *n)
{
	json_object(j, key);
	json_u64(j, "measured", n->region);
	json_u64(j, "whole", n->whole);
	json_end_object(j);
}

static void put_result(struct json *j, const struct comparison *c, size_t at)
{
	const struct case_record *r = &c->record[at];

	json_u64(j, "regions", r->regions);
	json_i64(j, "exit_status", r->status);
	if (slowdown(c, at) > 0)
		json_real(j, "slowdown", slowdown(c, at));
	json_bool(j, "diverges", diverged(c, at));
	json_object(j, "metrics");
	for (unsigned m = 0; m < METRICS; m++)
		json_u64(j, metric_rows[m].key, record_metric(r, (enum metric)m));
	json_end_object(j);
	json_object(j, "shares");
	for (unsigned s = 0; s < SHARES; s++)
		json_u64(j, share_rows[s].key, record_share(r, (enum share)s));
	json_end_object(j);
	json_object(j, "numbers");
	put_number(j, "cycles", &r->cycles);
	put_number(j, "instructions", &r->instructions);
	for (size_t i = 0; i < r->numbers; i++)
		put_number(j, r->number[i].name, &r->number[i]);
	json_end_object(j);
	json_bytes(j, "console", r->console ? r->console : "", r->console_n);
}

static void put_case(struct json *j, const struct comparison *c, size_t at)
{
	const struct case_spec *s = &c->plan.spec[at];
	const struct case_record *r = &c->record[at];

	json_object(j, NULL);
	json_text(j, "profile", s->profile);
	json_text(j, "workload", s->workload);
	json_text(j, "cmdline", s->cmdline);
	json_text(j, "technique", s->technique);
	json_text(j, "cpu", s->cpu);
	json_text(j, "mmu", s->mmu);
	if (s->page[0])
		json_text(j, "page", s->page);
	if (c->plan.sweep.n)
		json_u64(j, "value", s->value);
	json_text(j, "end", case_end_name[r->end]);
	if (r->why && r->why[0])
		json_text(j, "why", r->why);
	if (r->end != CASE_NOT_RUN && r->end != CASE_REFUSED && r->end != CASE_CRASHED)
		put_result(j, c, at);
	json_end_object(j);
}

static void put_names(struct json *j, const char *key, const struct names *t)
{
	json_array(j, key);
	for (size_t i = 0; i < t->n; i++)
		json_text(j, NULL, t->v[i]);
	json_end_array(j);
}

int comparison_json(const struct comparison *c, const char *path, struct err *e)
{
	const struct plan *p = &c->plan;
	FILE *f = outfile_open(path, e);
	struct json j;

	if (!f)
		return -1;
	json_init(&j, f, false);
	json_object(&j, NULL);
	json_u64(&j, "format", 1);
	json_text(&j, "kind", "comparison");
	json_text(&j, "ram", p->spec[0].ram);
	put_names(&j, "profiles", &p->profile);
	put_names(&j, "workloads", &p->workload);
	put_names(&j, "techniques", &p->technique);
	if (p->sweep.n)
		json_text(&j, "sweep", p->sweep.name);
	json_bool(&j, "verified", !c->divergences && comparison_status(c) == 0);
	json_array(&j, "divergences");
	for (size_t i = 0; i < c->divergences; i++) {
		json_object(&j, NULL);
		json_u64(&j, "case", c->divergence[i].at);
		json_text(&j, "text", c->divergence[i].text);
		json_end_object(&j);
	}
	json_end_array(&j);
	json_array(&j, "cases");
	for (size_t i = 0; i < p->n; i++)
		put_case(&j, c, i);
	json_end_array(&j);
	json_end_object(&j);
	return outfile_close(f, path, e);
}

/* ---- CSV: RFC 4180 ---- */

static void put_cell(FILE *f, const char *text)
{
	if (!strpbrk(text, ",\"\n\r")) {
		fputs(text, f);
		return;
	}
	fputc('"', f);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', f);
		fputc(*text, f);
	}
	fputc('"', f);
}

int comparison_csv(const struct comparison *c, const char *path, struct err *e)
{
	const struct plan *p = &c->plan;
	FILE *f = outfile_open(path, e);

	if (!f)
		return -1;
	fputs("profile,workload,technique,sweep,value,end,diverges,slowdown", f);
	for (unsigned m = 0; m < METRICS; m++)
		fprintf(f, ",%s", metric_rows[m].key);
	for (unsigned s = 0; s < SHARES; s++)
		fprintf(f, ",share.%s", share_rows[s].key);
	fputc('\n', f);
	for (size_t i = 0; i < p->n; i++) {
		const struct case_spec *s = &p->spec[i];
		const struct case_record *r = &c->record[i];

		put_cell(f, s->profile);
		fputc(',', f);
		put_cell(f, s->workload);
		fprintf(f, ",%s,%s,", s->technique, p->sweep.name);
		if (p->sweep.n)
			fprintf(f, "%" PRIu64, s->value);
		fprintf(f, ",%s,%d,", case_end_name[r->end], diverged(c, i));
		if (slowdown(c, i) > 0)
			fprintf(f, "%.6f", slowdown(c, i));
		for (unsigned m = 0; m < METRICS; m++)
			fprintf(f, ",%" PRIu64, record_metric(r, (enum metric)m));
		for (unsigned k = 0; k < SHARES; k++)
			fprintf(f, ",%" PRIu64, record_share(r, (enum share)k));
		fputc('\n', f);
	}
	return outfile_close(f, path, e);
}
