/* workload.c - what the teaching kernel's workloads listen to, so that a name it would refuse is refused before anything runs: from the
 * same table that it is built of. Other images say nothing about their command lines; their guests refuse for themselves. */
#include "ui/compare/options.h"

#include <inttypes.h>
#include <string.h>

#include "scenarios/guests/lib/params.h"
#include "sim/err.h"

struct workload_row { const char *name; unsigned takes; uint64_t n, size, hz; };

static const struct workload_row rows[] = {
#define KERNEL 0
#define USER   0
#define WORKLOAD(name, where, takes, n, size, hz, sentence) { #name, takes, n, size, hz },
#include "scenarios/guests/lib/workload.def"
#undef KERNEL
#undef USER
};

/* As kernel/workload.c has them; 0: every workload understands it. */
static const struct { const char *name; unsigned takes; } keys[] = {
	{ "n", N }, { "size", SIZE }, { "seed", SEED }, { "hz", HZ }, { "pages", PAGES }, { "updates", UPDATES }, { "tsc", 0 },
};

static const char *row_at(const void *table, size_t i) { return ((const struct workload_row *)table)[i].name; }

static const struct workload_row *row_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

/* 64k, 32m: as command lines have sizes. */
static int put_size(char *to, size_t n, uint64_t v)
{
	if (v && v % (1 << 20) == 0)
		return snprintf(to, n, "%" PRIu64 "m", v >> 20);
	return v && v % 1024 == 0 ? snprintf(to, n, "%" PRIu64 "k", v >> 10) : snprintf(to, n, "%" PRIu64, v);
}

void workload_parameters(const char *name, char *to, size_t room)
{
	const struct workload_row *r = row_named(name);
	size_t at = 0;

	to[0] = '\0';
	for (size_t i = 0; r && i < ARRAY_LEN(keys) && at + 32 < room; i++) {
		if (keys[i].takes && !(r->takes & keys[i].takes))
			continue;
		at += (size_t)snprintf(to + at, room - at, "%s%s=", at ? " " : "", keys[i].name);
		if (keys[i].takes == SIZE)
			at += (size_t)put_size(to + at, room - at, r->size);
		else if (keys[i].takes == PAGES)
			at += (size_t)snprintf(to + at, room - at, "4k");
		else
			at += (size_t)snprintf(to + at, room - at, "%" PRIu64, keys[i].takes == N ? r->n : keys[i].takes == HZ ? r->hz : 0);
	}
}

static int parameter_check(const struct workload_row *r, const char *key, const char *flag, struct err *e)
{
	char hint[200], list[120];

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].name, key) == 0 && (!keys[i].takes || (r->takes & keys[i].takes)))
			return 0;
	workload_parameters(r->name, list, sizeof list);
	snprintf(hint, sizeof hint, "it takes %s: vmscope explain %s", list, r->name);
	return err_set(e, flag, hint, "workload %s has no parameter '%s'", r->name, key);
}

/* One workload with its parameters. */
static int one_check(const char *text, size_t n, const char *sweep, struct err *e)
{
	const struct workload_row *r = NULL;
	char word[80], hint[160];

	for (size_t at = 0, len; at < n; at += len) {
		at += strspn(text + at, " \t");
		if (at >= n)
			break;
		len = strcspn(text + at, " \t;,");
		snprintf(word, sizeof word, "%.*s", (int)(len < 60 ? len : 60), text + at);
		if (r && !strchr(word, '='))
			continue;       /* the kernel reads "n 5", too, and says what it makes of it */
		if (r) {
			word[strcspn(word, "=")] = '\0';
			if (parameter_check(r, word, "--workload", e) != 0)
				return -1;
			continue;
		}
		if (strpbrk(word, "/.") || strcmp(word, "help") == 0)
			return 0;       /* an image's own name */
		r = row_named(word);
		if (!r) {
			const char *near = err_nearest(word, row_at, rows, ARRAY_LEN(rows));

			snprintf(hint, sizeof hint, "%s%s%sall workloads: vmscope list workloads", near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
			return err_set(e, "--workload", hint, "unknown workload '%s'", word);
		}
	}
	return r && sweep ? parameter_check(r, sweep, "--sweep", e) : 0;
}

int workload_check(const char *text, const char *sweep, struct err *e)
{
	while (*text) {
		size_t n = strcspn(text, ";,");
		const bool last = !text[n];

		if (one_check(text, n, last ? sweep : NULL, e) != 0)    /* what is swept is written behind the last */
			return -1;
		text += n + !last;
	}
	return 0;
}
