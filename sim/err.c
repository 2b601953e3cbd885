/* err.c - messages with a position and a way out, suggestions, and the one place that gives up. */
#include "sim/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- user mistakes ---- */

int err_set(struct err *e, const char *where, const char *hint, const char *fmt, ...)
{
	char what[768];
	va_list ap;

	if (e->text[0])
		return -1;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	snprintf(e->text, sizeof e->text, "%s%s%s%s%s", where ? where : "", where ? ": " : "", what,
	         hint ? "\n    " : "", hint ? hint : "");
	return -1;
}

/* ---- suggestions ----
 * Distance with prices chosen so that typing errors come first: two letters swapped are cheapest,
 * a letter left out or doubled next, a wrong letter dearest. */

enum { COST_SWAP = 1, COST_INSERT = 2, COST_DELETE = 2, COST_SUBST = 3, WORD_MAX = 64 };

static char lower(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '_' ? '-' : c;      /* the two are confused too often to count */
}

static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned row[3][WORD_MAX + 1];

	for (size_t j = 0; j <= nb; j++)
		row[1][j] = (unsigned)j * COST_INSERT;
	for (size_t i = 1; i <= na; i++) {
		unsigned *before = row[(i + 2) % 3];
		unsigned *above = row[i % 3], *here = row[(i + 1) % 3];

		here[0] = (unsigned)i * COST_DELETE;
		for (size_t j = 1; j <= nb; j++) {
			unsigned d = above[j - 1] + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 :
			                             COST_SUBST);

			if (above[j] + COST_DELETE < d)
				d = above[j] + COST_DELETE;
			if (here[j - 1] + COST_INSERT < d)
				d = here[j - 1] + COST_INSERT;
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
			    lower(a[i - 2]) == lower(b[j - 1]) &&
			    before[j - 2] + COST_SWAP < d)
				d = before[j - 2] + COST_SWAP;
			here[j] = d;
		}
	}
	return row[(na + 1) % 3][nb];
}

const char *err_nearest(const char *word, const char *(*name_at)(const void *table, size_t i),
                        const void *table, size_t n)
{
	size_t len = strlen(word);
	const char *best = NULL;
	unsigned best_d = 0;

	if (len == 0 || len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *name = name_at(table, i);
		size_t nlen = name ? strlen(name) : 0;
		unsigned d;

		if (nlen == 0 || nlen > WORD_MAX)
			continue;
		d = distance(word, len, name, nlen);
		/* A word that begins a name was probably cut short: worth little. */
		if (nlen > len && len >= 3 && strncmp(word, name, len) == 0)
			d = 1;
		/* Near: about one error in three letters. */
		if (d <= 1 + (unsigned)(len > nlen ? len : nlen) && (!best || d < best_d)) {
			best = name;
			best_d = d;
		}
	}
	return best;
}

/* ---- our mistakes ---- */

/* What led here, if the program knows: ui/cli defines its own. A weak function rather than a
 * pointer, because sim/ keeps no variables. */
__attribute__((weak)) void bug_context(void) {}
__attribute__((weak)) void bug_begins(void) {}          /* whoever has the terminal gives it back */

void bug_at(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	bug_begins();
	fflush(stdout);
	fprintf(stderr, "%s:%d: BUG: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	bug_context();
	fputs("this is a defect of vmscope; please report it with the command line\n", stderr);
	fflush(stderr);
	_exit(3);
}

/* ---- allocation that cannot fail ---- */

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		BUG("out of host memory (%zu x %zu bytes)", n, size);
	return p;
}

void *xrealloc(void *p, size_t size)
{
	void *q = realloc(p, size ? size : 1);

	if (!q)
		BUG("out of host memory (%zu bytes)", size);
	return q;
}

char *xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xcalloc(n, 1), s, n);
}
