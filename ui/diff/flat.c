/* flat.c - see flat.h. Source of the form: RFC 8259. */
#include "ui/diff/flat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX (64u << 20)   /* a document is read as a whole */
#define DEPTH_MAX 32
#define NAME_MAX_ 400

static void add(struct flat *f, const char *name, const char *value, size_t n)
{
	if (f->n == f->room) {
		f->room = f->room ? 2 * f->room : 256;
		f->v = xrealloc(f->v, f->room * sizeof *f->v);
	}
	f->v[f->n] = (struct flat_value){ xstrdup(name), xcalloc(1, n + 1), f->n };
	memcpy(f->v[f->n].value, value, n);
	for (char *p = f->v[f->n].name; *p; p++)        /* they are printed: no commands to a terminal */
		*p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
	for (char *p = f->v[f->n].value; *p; p++)
		*p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
	f->n++;
}

static char *whole(const char *path, struct err *e)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t n = 0, got = 1;

	if (!f) {
		err_set(e, path, NULL, "cannot read: %s", strerror(errno));
		return NULL;
	}
	while (got && n < BYTES_MAX) {
		text = xrealloc(text, n + 65537);
		got = fread(text + n, 1, 65536, f);
		n += got;
	}
	if (ferror(f) || n >= BYTES_MAX) {
		err_set(e, path, NULL, ferror(f) ? "cannot read" : "more than 64 MB, and not a trace");
		free(text);
		text = NULL;
	} else {
		text[n] = '\0';
	}
	fclose(f);
	return text;
}

/* ---- JSON ---- */

struct reader { const char *path, *begin, *p; struct flat *f; struct err *e; };

static int refuse(const struct reader *r, const char *what)
{
	char where[1100];
	unsigned line = 1;

	for (const char *q = r->begin; q < r->p; q++)
		line += *q == '\n';
	snprintf(where, sizeof where, "%.1000s:%u", r->path, line);
	return err_set(r->e, where, "what vmscope writes with --json or --stats can be compared", "%s", what);
}

static void blank(struct reader *r) { r->p += strspn(r->p, " \t\r\n"); }

/* A string's place and length, as it stands. */
static int string(struct reader *r, const char **text, size_t *n)
{
	*text = ++r->p;
	while (*r->p && *r->p != '"')
		r->p += *r->p == '\\' && r->p[1] ? 2 : 1;
	if (*r->p != '"')
		return refuse(r, "a string does not end");
	*n = (size_t)(r->p++ - *text);
	return 0;
}

static int value(struct reader *r, const char *name, unsigned depth);

static int inside(struct reader *r, const char *name, unsigned depth, bool object)
{
	const char end = object ? '}' : ']';
	char inner[NAME_MAX_ + 32];

	if (depth == DEPTH_MAX)
		return refuse(r, "deeper than 32 levels");
	r->p++;
	blank(r);
	for (unsigned long i = 0; *r->p != end; i++) {
		const char *key = "";
		size_t n = 0;

		if (object) {
			if (*r->p != '"')
				return refuse(r, "a name in quotes was expected");
			if (string(r, &key, &n) != 0)
				return -1;
			blank(r);
			if (*r->p++ != ':')
				return refuse(r, "a colon was expected");
			blank(r);
		}
		if (strlen(name) + n > NAME_MAX_)
			return refuse(r, "a name of more than 400 characters");
		if (object)
			snprintf(inner, sizeof inner, "%s%s%.*s", name, *name ? "." : "", (int)n, key);
		else
			snprintf(inner, sizeof inner, "%s%s%lu", name, *name ? "." : "", i);
		if (value(r, inner, depth + 1) != 0)
			return -1;
		blank(r);
		if (*r->p == ',') {
			r->p++;
			blank(r);
			if (*r->p == end)
				return refuse(r, "a comma at the end");
		} else if (*r->p != end) {
			return refuse(r, "a comma or the end was expected");
		}
	}
	r->p++;
	return 0;
}

static int value(struct reader *r, const char *name, unsigned depth)
{
	const char *text;
	size_t n;

	if (*r->p == '{' || *r->p == '[')
		return inside(r, name, depth, *r->p == '{');
	if (*r->p == '"') {
		if (string(r, &text, &n) != 0)
			return -1;
	} else {
		text = r->p;
		r->p += n = strspn(r->p, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
		if (!n)
			return refuse(r, "a value was expected");
	}
	add(r->f, name, text, n);
	return 0;
}

int flat_json(struct flat *f, const char *path, struct err *e)
{
	char *text = whole(path, e);
	struct reader r = { path, text, text, f, e };
	int status;

	if (!text)
		return -1;
	blank(&r);
	status = value(&r, "", 0);
	blank(&r);
	if (status == 0 && *r.p)
		status = refuse(&r, "something follows the document");
	free(text);
	return status;
}

/* ---- --stats: "name value # sentence" or "name,value,unit,what" ---- */

int flat_table(struct flat *f, const char *path, struct err *e)
{
	char *text = whole(path, e), *next;
	unsigned line = 0;

	if (!text)
		return -1;
	for (char *p = text; *p; p = next) {
		const size_t n = strcspn(p, "\n");
		char *at = p, *name, *v;

		line++;
		next = p + n + (p[n] == '\n');
		p[n] = '\0';
		if (!*p || strncmp(p, "----------", 10) == 0 || strncmp(p, "name,value,", 11) == 0)
			continue;
		name = at;
		at += strcspn(at, " ,");
		if (*at)
			*at++ = '\0';
		at += strspn(at, " ");
		v = at;
		at += strcspn(at, " ,");
		*at = '\0';
		if (!*v || strlen(name) > NAME_MAX_) {
			char where[1100];

			snprintf(where, sizeof where, "%.1000s:%u", path, line);
			free(text);
			return err_set(e, where, "what vmscope writes with --stats can be compared", "this is no statistic");
		}
		add(f, name, v, strlen(v));
	}
	free(text);
	return 0;
}

/* ---- looking up ---- */

static int by_name(const void *a, const void *b)
{
	const struct flat_value *x = a, *y = b;
	const int c = strcmp(x->name, y->name);

	return c ? c : x->order < y->order ? -1 : x->order > y->order;
}

void flat_sort(struct flat *f)
{
	if (f->n)
		qsort(f->v, f->n, sizeof *f->v, by_name);
}

const struct flat_value *flat_find(const struct flat *f, const char *name)
{
	size_t low = 0, high = f->n;

	while (low < high) {
		const size_t mid = low + (high - low) / 2;

		if (strcmp(f->v[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->n && strcmp(f->v[low].name, name) == 0 ? &f->v[low] : NULL;
}

void flat_fini(struct flat *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].name);
		free(f->v[i].value);
	}
	free(f->v);
}
