/* diff.c - what two files are, and comparing those that are no traces. */
#include "ui/diff/diff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ui/diff/flat.h"
#include "ui/diff/trace.h"

#define SHOWN 20        /* differences of results that are printed */

bool diff_listed(const char *list, const char *name)
{
	for (const char *p = list; *p;) {
		const size_t n = strcspn(p, ",");

		if (n && p[n - 1] == '*' ? strncmp(p, name, n - 1) == 0 : strlen(name) == n && memcmp(p, name, n) == 0)
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

/* ---- results ---- */

/* The part of a path an --ignore may name: all of it, or what follows a dot. */
static bool ignored(const struct diff_options *o, const char *name)
{
	if (!o->ignore)
		return false;
	for (const char *p = name; p; p = strchr(p, '.'), p = p ? p + 1 : NULL)
		if (diff_listed(o->ignore, p))
			return true;
	return false;
}

static int by_order(const void *a, const void *b)
{
	const struct flat_value *const *x = a, *const *y = b;

	return (*x)->order < (*y)->order ? -1 : (*x)->order > (*y)->order;
}

static void difference(FILE *out, const struct flat_value *a, const struct flat_value *b)
{
	char *end_a = NULL, *end_b = NULL;
	const double x = a ? strtod(a->value, &end_a) : 0, y = b ? strtod(b->value, &end_b) : 0;

	fprintf(out, "  %-40.200s %20.60s %20.60s", (a ? a : b)->name, a ? a->value : "-", b ? b->value : "-");
	if (a && b && end_a != a->value && !*end_a && end_b != b->value && !*end_b && x != 0)
		fprintf(out, " %+9.2f%%", 100 * (y - x) / x);
	fputc('\n', out);
}

/* In the order of A, then what B has beyond. */
static int flat_diff(FILE *out, struct flat *a, struct flat *b, const char *const path[2], const struct diff_options *o)
{
	const struct flat_value **list = xcalloc(a->n + b->n + 1, sizeof *list);
	size_t n = 0, in_a;

	flat_sort(a);
	flat_sort(b);
	for (size_t i = 0; i < a->n; i++) {
		const struct flat_value *other = flat_find(b, a->v[i].name);

		if (!ignored(o, a->v[i].name) && (!other || strcmp(a->v[i].value, other->value) != 0))
			list[n++] = &a->v[i];
	}
	qsort(list, n, sizeof *list, by_order);
	in_a = n;
	for (size_t i = 0; i < b->n; i++)
		if (!ignored(o, b->v[i].name) && !flat_find(a, b->v[i].name))
			list[n++] = &b->v[i];
	qsort(list + in_a, n - in_a, sizeof *list, by_order);
	if (n && !o->quiet) {
		fprintf(out, "A %s\nB %s\n%zu of %zu values differ\n", path[0], path[1], n, a->n + n - in_a);
		for (size_t i = 0; i < n && i < SHOWN; i++)
			difference(out, i < in_a ? list[i] : NULL, i < in_a ? flat_find(b, list[i]->name) : list[i]);
		if (n > SHOWN)
			fprintf(out, "  and %zu more\n", n - SHOWN);
	}
	free(list);
	return n != 0;
}

/* ---- what is it? ---- */

enum kind { KIND_TRACE, KIND_JSON, KIND_TABLE };

static int look(struct record_file *f, enum kind *kind, struct err *e)
{
	char *line = xcalloc(1, LINE_BYTES);
	const char *p;
	int got;

	f->f = fopen(f->path, "r");
	if (!f->f || fseek(f->f, 0, SEEK_SET) != 0) {
		free(line);
		return err_set(e, f->path, NULL, f->f ? "not a file whose places can be gone to: %s" : "cannot open: %s", strerror(errno));
	}
	do {
		got = record_line(f, line, e);
		p = line + strspn(line, " \t");
	} while (got == 1 && !*p);
	*kind = KIND_TRACE;
	f->form = RECORD_TEXT;
	if (got == 0)
		got = 1;                        /* an empty trace */
	else if (got < 0)
		;
	else if (*p == '{' && strstr(p, "\"event\":"))
		f->form = RECORD_JSONL;
	else if (*p == '{' || *p == '[')
		*kind = KIND_JSON;
	else if (strncmp(p, "name,value,", 11) == 0 || strncmp(p, "---------- Begin", 16) == 0)
		*kind = KIND_TABLE;
	else if (strncmp(p, "machine,cycle,", 14) == 0 || strncmp(p, "cycle,", 6) == 0) {
		f->form = RECORD_CSV;
		got = record_head(f, line, e) == 0 ? 1 : -1;
	}
	free(line);
	f->line = 0;
	rewind(f->f);
	return got < 0 ? -1 : 0;
}

static int flat_files(FILE *out, const char *const path[2], const enum kind kind[2], const struct diff_options *o, struct err *e)
{
	struct flat f[2] = { { NULL, 0, 0 }, { NULL, 0, 0 } };
	int status = 0;

	for (unsigned s = 0; s < 2 && status == 0; s++)
		status = (kind[s] == KIND_JSON ? flat_json : flat_table)(&f[s], path[s], e);
	if (status == 0)
		status = flat_diff(out, &f[0], &f[1], path, o);
	flat_fini(&f[0]);
	flat_fini(&f[1]);
	return status;
}

int diff_files(FILE *out, const char *a, const char *b, const struct diff_options *o, struct err *e)
{
	const char *const path[2] = { a, b };
	struct record_file *f = xcalloc(2, sizeof *f);
	enum kind kind[2];
	int status = 0;

	for (unsigned s = 0; s < 2 && status == 0; s++) {
		f[s].path = path[s];
		status = look(&f[s], &kind[s], e);
	}
	if (status == 0 && (kind[0] == KIND_TRACE) != (kind[1] == KIND_TRACE))
		status = err_set(e, NULL, "compare traces with traces, results with results", "%s is a trace, %s is not",
		                 path[kind[0] != KIND_TRACE], path[kind[0] == KIND_TRACE]);
	if (status == 0)
		status = kind[0] == KIND_TRACE ? trace_diff(out, &f[0], &f[1], o, e) : flat_files(out, path, kind, o, e);
	for (unsigned s = 0; s < 2; s++)
		if (f[s].f)
			fclose(f[s].f);
	free(f);
	return status;
}
