/* record.c - see record.h. */
#include "ui/diff/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int bad(const struct record_file *f, struct err *e, const char *what)
{
	char where[1100];

	snprintf(where, sizeof where, "%.1000s:%llu", f->path, (unsigned long long)f->line);
	return err_set(e, where, "what vmscope writes with --trace FILE.jsonl, .csv or .txt can be compared", "%s", what);
}

int record_line(struct record_file *f, char *buf, struct err *e)
{
	size_t n;

	f->at = ftell(f->f);
	if (!fgets(buf, LINE_BYTES, f->f)) {
		if (ferror(f->f))
			return err_set(e, f->path, NULL, "cannot read: %s", strerror(errno));
		return 0;
	}
	f->line++;
	n = strlen(buf);
	if (n && buf[n - 1] == '\n')
		buf[--n] = '\0';
	else if (!feof(f->f))
		return bad(f, e, n == LINE_BYTES - 1 ? "a line of more than 8190 bytes" : "a NUL byte: this is no text");
	if (n && buf[n - 1] == '\r')
		buf[n - 1] = '\0';
	return 1;
}

/* Decimal digits alone. */
static bool number(const char *text, uint64_t *v)
{
	char *end;

	if (*text < '0' || *text > '9' || strlen(text) > 20)
		return false;
	errno = 0;
	*v = strtoull(text, &end, 10);
	return !*end && !errno;
}

static bool take(struct record *r, const char *name, const char *value, bool *timed)
{
	if (strcmp(name, "cycle") == 0 && !*timed)
		return *timed = number(value, &r->cycle);
	if (strcmp(name, "machine") == 0 && !r->machine)
		r->machine = value;
	else if (strcmp(name, "component") == 0 && !r->component)
		r->component = value;
	else if (strcmp(name, "event") == 0 && !r->event)
		r->event = value;
	else if (strcmp(name, "seconds") != 0) {
		if (r->args == ARGS_MAX)
			return false;
		r->arg[r->args++] = (struct record_arg){ name, value };
	}
	return true;
}

/* ---- a flat JSON object, unescaped in place ---- */

static char *spaces(char *p)
{
	return p + strspn(p, " \t");
}

/* At a quote; *text is what is between, p behind. NULL: not a string. Of escapes those of control characters stay as they are:
 * vmscope's names have none. */
static char *string(char *p, char **text)
{
	char *to = ++p;

	*text = p;
	for (; *p && *p != '"'; p++) {
		if (*p == '\\' && (p[1] == '"' || p[1] == '\\' || p[1] == '/'))
			p++;
		else if (*p == '\\' && !p[1])
			return NULL;
		*to++ = *p;
	}
	if (*p != '"')
		return NULL;
	*to = '\0';
	return p + 1;
}

static bool json(struct record *r, bool *timed)
{
	char *p = spaces(r->line), *name, *value, after;

	if (*p++ != '{')
		return false;
	for (;; p++) {
		p = spaces(p);
		if (*p != '"' || !(p = string(p, &name)))
			return false;
		p = spaces(p);
		if (*p++ != ':')
			return false;
		p = spaces(p);
		if (*p == '"') {
			if (!(p = string(p, &value)))
				return false;
		} else {
			value = p;
			p += strspn(p, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
			if (p == value)
				return false;
		}
		char *end = p;

		p = spaces(p);
		after = *p;
		if (after != ',' && after != '}')
			return false;
		*end = '\0';
		if (!take(r, name, value, timed))
			return false;
		if (after == '}')
			return !*spaces(p + 1);
	}
}

/* ---- the others ---- */

static char *cell(char **p)
{
	char *begin = *p, *comma = strchr(begin, ',');

	if (comma)
		*comma = '\0';
	*p = comma ? comma + 1 : NULL;
	return begin;
}

int record_head(struct record_file *f, const char *line, struct err *e)
{
	char *p = f->head;

	snprintf(f->head, sizeof f->head, "%s", line);
	for (f->columns = 0; p; f->column[f->columns++] = cell(&p))
		if (f->columns == COLUMNS_MAX)
			return bad(f, e, "more than 256 columns");
	return 0;
}

static bool csv(const struct record_file *f, struct record *r, bool *timed)
{
	char *p = r->line;

	for (unsigned i = 0; p; i++) {
		const char *value = cell(&p);

		if (i == f->columns || (*value && !take(r, f->column[i], value, timed)))
			return false;
		if (!p && i + 1 != f->columns)
			return false;
	}
	return true;
}

static bool text(struct record *r, bool *timed)
{
	char *p = r->line, *word;

	for (unsigned i = 0; *(p += strspn(p, " ")); i++) {
		char *equals;

		word = p;
		p += strcspn(p, " ");
		if (*p)
			*p++ = '\0';
		equals = strchr(word, '=');
		if (i < 3 ? !take(r, i == 0 ? "cycle" : i == 1 ? "component" : "event", word, timed) : !equals)
			return false;
		if (i >= 3) {
			*equals = '\0';
			if (!take(r, word, equals + 1, timed))
				return false;
		}
	}
	return true;
}

int record_next(struct record_file *f, struct record *r, struct err *e)
{
	bool timed, is;
	int got;

	do {
		got = record_line(f, r->line, e);
	} while (got == 1 && (!r->line[0] || (f->form == RECORD_TEXT && r->line[0] == '#') || (f->form == RECORD_CSV && f->line == 1)));
	if (got != 1)
		return got;
	timed = false;
	r->machine = r->component = r->event = NULL;
	r->args = 0;
	is = f->form == RECORD_JSONL ? json(r, &timed) : f->form == RECORD_CSV ? csv(f, r, &timed) : text(r, &timed);
	if (!is || !timed || !r->component || !r->event)
		return bad(f, e, "this is no trace record");
	if (!r->machine)
		r->machine = "";
	return 1;
}

int record_at(struct record_file *f, long at, uint64_t line, struct record *r, struct err *e)
{
	const long back = ftell(f->f), was = f->at;
	const uint64_t number_was = f->line;
	int got;

	if (fseek(f->f, at, SEEK_SET) != 0)
		return err_set(e, f->path, NULL, "cannot go to a place in it: %s", strerror(errno));
	f->line = line - 1;
	got = record_next(f, r, e);
	f->line = number_was;
	f->at = was;
	if (fseek(f->f, back, SEEK_SET) != 0)
		return err_set(e, f->path, NULL, "cannot go to a place in it: %s", strerror(errno));
	return got;
}
