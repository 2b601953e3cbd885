/* table.c - a comparison as text, at most 80 columns wide, for somebody who has not read the manual. */
#include "ui/compare/compare.h"

#include <inttypes.h>
#include <string.h>

#include "ui/compare/text.h"
#include "ui/export/wrap.h"

enum { COLUMNS = 80, LABEL_MAX = 26, CELL = 6 };

/* A paragraph, later lines indented. */
static void paragraph(FILE *f, const char *text)
{
	wrap(f, 0, 2, COLUMNS, text);
	fputc('\n', f);
}

int show_parse(struct show *s, const char *text, struct err *e)
{
	static const char *const name[] = { "summary", "why", "exits", "walks", "ledger", "matrix" };
	bool *const part[] = { &s->summary, &s->why, &s->exits, &s->walks, &s->ledger, &s->matrix };
	struct names words = { NULL, 0 };
	int status = 0;

	*s = (struct show){ .summary = false };
	names_split(&words, text ? text : "summary,why,exits,walks,ledger", ',');
	for (size_t i = 0; i < words.n; i++) {
		bool known = false;

		for (size_t k = 0; k < ARRAY_LEN(name); k++)
			if (strcmp(words.v[i], name[k]) == 0)
				*part[k] = known = true;
		if (!known)
			status = err_set(e, "--show", "parts: summary, why, exits, walks, ledger, matrix", "unknown part '%s'", words.v[i]);
	}
	names_fini(&words);
	return status;
}

/* ---- words ---- */

const char *compact(uint64_t v, char *buf, size_t n)
{
	static const char unit[] = "kMGTPE";
	double x = (double)v;
	int i = -1;

	if (v < 10000) {
		snprintf(buf, n, "%" PRIu64, v);
		return buf;
	}
	while (x >= 999.5) {
		x /= 1000;
		i++;
	}
	snprintf(buf, n, x < 99.95 ? "%.1f%c" : "%.0f%c", x, unit[i]);
	return buf;
}

const char *short_name(const struct comparison *c, size_t technique)
{
	const struct case_spec *s = &c->plan.spec[technique];   /* the first block has one case of each */
	const char *name = c->plan.technique.v[technique];

	for (size_t t = 1; t < c->plan.technique.n; t++)
		if (strcmp(c->plan.spec[t].cpu, "vmx") != 0)
			return name;    /* several kinds: the whole name */
	return strcmp(s->cpu, "native") == 0 ? "native" : name + strlen(s->cpu) + 1;
}

/* What ran nowhere has no line in a table: failures() has said why. */
static bool workload_good(const struct comparison *c, size_t profile, size_t workload)
{
	for (size_t v = 0; v < c->plan.values; v++)
		if (block_good(c, plan_at(&c->plan, profile, workload, v, 0)))
			return true;
	return false;
}

static bool any_good(const struct comparison *c, size_t profile)
{
	for (size_t w = 0; w < c->plan.workload.n; w++)
		if (workload_good(c, profile, w))
			return true;
	return false;
}

static size_t label_width(const struct comparison *c)
{
	size_t n = 8;

	for (size_t w = 0; w < c->plan.workload.n; w++)
		if (strlen(c->plan.workload.v[w]) > n)
			n = strlen(c->plan.workload.v[w]);
	return n < LABEL_MAX ? n : LABEL_MAX;
}

static size_t technique_width(const struct comparison *c)
{
	size_t n = 7;

	for (size_t t = 0; t < c->plan.technique.n; t++)
		if (strlen(short_name(c, t)) > n)
			n = strlen(short_name(c, t));
	return n;
}

bool differs(const struct comparison *c, size_t at)
{
	for (size_t i = 0; i < c->divergences; i++)
		if (c->divergence[i].at == at)
			return true;
	return false;
}

/* What stands in a cell that has no number. */
const char *trouble(const struct comparison *c, size_t at)
{
	static const char *const word[] = {
		[CASE_OK] = "ok", [CASE_FAILED] = "FAILED", [CASE_LIMIT] = "LIMIT", [CASE_REFUSED] = "refused", [CASE_CRASHED] = "CRASHED",
		[CASE_NOT_RUN] = "-",
	};

	return comparison_spared(c, at) ? "-" : word[c->record[at].end];
}

/* The best of the techniques with a VMM; 0: none, or none that is worth the name. */
size_t best_of(const struct comparison *c, size_t block)
{
	double least = 0, most = 0;
	size_t best = 0;

	for (size_t t = 1; t < c->plan.technique.n; t++) {
		double x = slowdown(c, block + t);

		if (x > 0 && (!best || x < least)) {
			best = t;
			least = x;
		}
		most = x > most ? x : most;
	}
	return most >= least * LEVEL ? best : 0;
}

/* ---- summary: slowdowns ---- */

void put_trimmed(FILE *f, char *line)
{
	size_t n = strlen(line);

	while (n && line[n - 1] == ' ')
		n--;
	fprintf(f, "%.*s\n", (int)n, line);
}

static void summary_row(const struct comparison *c, FILE *f, size_t block, size_t wide, size_t from, size_t to)
{
	size_t best = best_of(c, block), n;
	char text[32], line[COLUMNS * 4];

	n = (size_t)snprintf(line, sizeof line, "%9s", record_good(&c->record[block]) ?
	                     compact(record_cycles(&c->record[block]), text, sizeof text) : trouble(c, block));
	for (size_t t = from; t < to && n < sizeof line; t++) {
		double x = slowdown(c, block + t);
		char mark = differs(c, block + t) ? '!' : t == best && c->plan.technique.n > 2 ? '*' : ' ';

		if (x > 0)
			snprintf(text, sizeof text, x < 99.95 ? "%.2f%c" : "%.0f%c", x, mark);
		else
			snprintf(text, sizeof text, "%s ", trouble(c, block + t));
		n += (size_t)snprintf(line + n, sizeof line - n, " %*s", (int)wide, text);
	}
	put_trimmed(f, line);
}

static void summary_head(const struct comparison *c, FILE *f, const char *label, size_t label_wide, size_t wide, size_t from, size_t to)
{
	fprintf(f, "%-*s%9s", (int)label_wide, label, "native");
	for (size_t t = from; t < to; t++)
		fprintf(f, " %*s%s", (int)wide - 1, short_name(c, t), t + 1 < to ? " " : "");
	fputc('\n', f);
}

static void summary(const struct comparison *c, FILE *f, size_t profile)
{
	const struct plan *p = &c->plan;
	size_t label = label_width(c), wide = technique_width(c) + 1, fit = (COLUMNS - label - 9) / (wide + 1), from = 1;

	if (p->technique.n > 1)
		fprintf(f, "\nSlowdown on %s: cycles on the bare machine, then how many times as many%s\n", p->profile.v[profile],
		        p->technique.n > 2 ? ";\n* marks the best" : "");
	else
		fprintf(f, "\nCycles on %s\n", p->profile.v[profile]);
	do {
		size_t to = from + fit < p->technique.n ? from + fit : p->technique.n;

		if (!p->sweep.n)
			summary_head(c, f, "workload", label, wide, from, to);
		for (size_t w = 0; w < p->workload.n; w++) {
			if (!workload_good(c, profile, w))
				continue;
			if (p->sweep.n) {
				paragraph(f, p->workload.v[w]);
				summary_head(c, f, p->sweep.name, label, wide, from, to);
			}
			for (size_t v = 0; v < p->values; v++) {
				if (!block_good(c, plan_at(p, profile, w, v, 0)))
					continue;
				if (p->sweep.n)
					fprintf(f, "%*" PRIu64, (int)label, p->sweep.value[v]);
				else if (strlen(p->workload.v[w]) <= label)
					fprintf(f, "%-*s", (int)label, p->workload.v[w]);
				else {          /* in full, above its numbers */
					paragraph(f, p->workload.v[w]);
					fprintf(f, "%*s", (int)label, "");
				}
				summary_row(c, f, plan_at(p, profile, w, v, 0), wide, from, to);
			}
		}
		from = to;
	} while (from < p->technique.n);
}

/* ---- tables with a line per workload and technique ---- */

typedef void cells_fn(const struct comparison *c, size_t at, FILE *f);

/* The lines of one workload at one value: its name in the first column, or, where that is too narrow for one of them, above. */
static void block_lines(const struct comparison *c, FILE *f, size_t block, size_t first, size_t label, const char *name, cells_fn *cells)
{
	const size_t technique = technique_width(c);

	if (!label)
		paragraph(f, name);
	for (size_t t = first; t < c->plan.technique.n; t++) {
		if (!record_good(&c->record[block + t]))
			continue;
		fprintf(f, "%-*s %-*s", (int)label, label ? name : "", (int)technique, short_name(c, t));
		cells(c, block + t, f);
		fputc('\n', f);
		if (label)
			name = "";
	}
}

static bool has_lines(const struct comparison *c, size_t block, size_t first)
{
	for (size_t t = first; t < c->plan.technique.n; t++)
		if (record_good(&c->record[block + t]))
			return true;
	return false;
}

static const char *line_name(const struct comparison *c, size_t workload, size_t value, bool alone, char *text, size_t n)
{
	const struct sweep *s = &c->plan.sweep;

	if (!s->n)
		return c->plan.workload.v[workload];
	snprintf(text, n, alone ? "%s = %" PRIu64 : "%s%" PRIu64, alone ? s->name : "", s->value[value]);
	return text;
}

static void lines(const struct comparison *c, FILE *f, size_t profile, size_t first, const char *title, const char *head, cells_fn *cells)
{
	const struct plan *p = &c->plan;
	size_t technique = technique_width(c), room = COLUMNS - 9 * CELL - technique - 1, label = 8;
	const char *what = p->sweep.n ? p->sweep.name : "workload";
	char text[80];

	for (size_t w = 0; w < p->workload.n; w++)
		for (size_t v = 0; v < p->values; v++) {
			size_t n = strlen(line_name(c, w, v, false, text, sizeof text));

			label = n > label ? n : label;
		}
	label = strlen(what) > label ? strlen(what) : label;
	if (label > room)
		label = 0;
	fprintf(f, "\n%s\n%-*s %-*s%s\n", title, (int)label, label ? what : "", (int)technique, "under", head);
	for (size_t w = 0; w < p->workload.n; w++) {
		if (p->sweep.n && p->workload.n > 1 && workload_good(c, profile, w))
			paragraph(f, p->workload.v[w]);
		for (size_t v = 0; v < p->values; v++) {
			size_t block = plan_at(p, profile, w, v, 0);

			if (has_lines(c, block, first))
				block_lines(c, f, block, first, label, line_name(c, w, v, !label, text, sizeof text), cells);
		}
	}
}

static void put(FILE *f, uint64_t v)
{
	char text[24];

	fprintf(f, " %*s", CELL - 1, v ? compact(v, text, sizeof text) : ".");
}

static void exit_cells(const struct comparison *c, size_t at, FILE *f)
{
	static const enum metric shown[] = { METRIC_EXIT_FAULT, METRIC_EXIT_CR, METRIC_EXIT_INVLPG, METRIC_EXIT_EPT, METRIC_EXIT_IO,
	                                     METRIC_EXIT_CPUID, METRIC_EXIT_IRQ };
	const struct case_record *r = &c->record[at];
	uint64_t all = record_metric(r, METRIC_EXITS), rest = all;

	put(f, all);
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		uint64_t v = record_metric(r, shown[i]);

		rest -= v;
		put(f, v);
	}
	put(f, rest);
}

static void walk_cells(const struct comparison *c, size_t at, FILE *f)
{
	static const enum metric shown[] = { METRIC_TLB_MISS, METRIC_REF_GUEST, METRIC_REF_EPT, METRIC_REF_SHADOW, METRIC_WALK_CYCLES,
	                                     METRIC_PAGE_FAULT, METRIC_SHADOW_FILL, METRIC_SHADOW_SYNC, METRIC_MEMORY };

	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		put(f, record_metric(&c->record[at], shown[i]));
}

static void percent(FILE *f, uint64_t part, uint64_t whole)
{
	if (part)
		fprintf(f, " %*.1f", CELL - 1, whole ? 100.0 * (double)part / (double)whole : 0);
	else
		fprintf(f, " %*s", CELL - 1, ".");
}

static void ledger_cells(const struct comparison *c, size_t at, FILE *f)
{
	static const char *const owner[] = { "*.ledger.vm*.user/*", "*.ledger.vm*.kernel/*", "*.ledger.vmm/*", "*.ledger.hardware/*",
	                                     "*.ledger.idle/*" };
	static const enum share cause[] = { SHARE_EXECUTE, SHARE_MEMORY, SHARE_WALK, SHARE_SHADOW };
	const struct case_record *r = &c->record[at];
	uint64_t all = record_sum(r, "*.ledger.*");

	for (size_t i = 0; i < ARRAY_LEN(owner); i++)
		percent(f, record_sum(r, owner[i]), all);
	for (size_t i = 0; i < ARRAY_LEN(cause); i++)
		percent(f, record_share(r, cause[i]), all);
}

/* ---- all of it ---- */

static void verdict(const struct comparison *c, FILE *f)
{
	size_t missing = 0, checked = 0, spared = 0;

	for (size_t i = 0; i < c->plan.n; i++) {
		missing += c->record[i].end == CASE_NOT_RUN;
		spared += comparison_spared(c, i);
		checked += i != native_of(c, i) && record_good(&c->record[i]) && record_good(&c->record[native_of(c, i)]);
	}
	if (missing)
		fprintf(f, "Interrupted: %zu of %zu cases were not run%s.\n", missing, c->plan.n,
		        c->options.results ? "; the same command goes on from here" : "");
	failures(c, f);
	if (c->divergences) {
		fprintf(f, "NOT the same work: %zu of %zu cases diverge from the bare machine (marked !):\n", c->divergences, checked);
		divergences(c, f);
	} else if (checked) {
		fprintf(f, "Verified: under every technique the guest printed the same%s\n%sas on the bare machine (%zu case%s).\n",
		        verify_memory(c) ? " and left the same" : "", verify_memory(c) ? "memory " : "", checked, checked > 1 ? "s" : "");
	}
	if (checked && !verify_memory(c) && !c->options.console_only)
		fputs("Final memory was not compared: with several CPUs it depends on which came\nfirst (--except names what may differ, and compares the rest).\n", f);
	if (spared)
		fprintf(f, "%zu cases are beyond their profile (-): no EPT, or no VT-x.\n", spared);
}

static void sentences(const struct comparison *c, FILE *f, size_t profile)
{
	fputs("\nWhy\n", f);
	for (size_t w = 0; w < c->plan.workload.n; w++) {
		char text[512];

		if (!workload_good(c, profile, w))
			continue;
		if (c->plan.sweep.n)
			crossover_sentence(c, profile, w, text, sizeof text);
		else
			why_sentence(c, profile, w, 0, text, sizeof text);
		paragraph(f, text);
	}
}

void comparison_print(const struct comparison *c, const struct show *s, FILE *f)
{
	const struct plan *p = &c->plan;
	bool virtual = p->technique.n > 1;
	char text[256];
	int at;

	at = snprintf(text, sizeof text, "%zu workload%s under %zu technique%s on %zu CPU profile%s", p->workload.n, p->workload.n > 1 ? "s" : "",
	              p->technique.n, virtual ? "s" : "", p->profile.n, p->profile.n > 1 ? "s" : "");
	if (p->sweep.n)
		at += snprintf(text + at, sizeof text - (size_t)at, ", %s at %zu values", p->sweep.name, p->sweep.n);
	if (p->spec[0].cpus > 1)
		snprintf(text + at, sizeof text - (size_t)at, "; the guest has %.20s and %u CPUs.", p->spec[0].ram, p->spec[0].cpus);
	else
		snprintf(text + at, sizeof text - (size_t)at, "; the guest has %.20s of memory.", p->spec[0].ram);
	paragraph(f, text);
	verdict(c, f);
	for (size_t i = 0; i < p->profile.n; i++) {
		if (!any_good(c, i))
			continue;
		if (s->summary)
			summary(c, f, i);
		if (s->matrix && virtual)
			matrix(c, i, f);
		if (s->why && virtual)
			sentences(c, f, i);
		if (s->exits && virtual)
			lines(c, f, i, 1, "VM exits by reason",
			      "   all fault    CR INVLP   EPT   I/O CPUID   IRQ other", exit_cells);
		if (s->walks)
			lines(c, f, i, 0, "Address translation: TLB misses; walk references to the tables of guest, EPT,\n"
			      "shadow; cycles in walks; page faults; shadow entries; bytes of the VMM's tables",
			      "  miss guest   EPT shadw cycle fault  fill  sync bytes", walk_cells);
		if (s->ledger)
			lines(c, f, i, 0, "Whose the cycles were, then what for, in percent (walks: TLB misses and page\n"
			      "walks; shdw: building shadow tables)",
			      "  user kern.   VMM  HW   idle  exec cache walks  shdw", ledger_cells);
	}
}
