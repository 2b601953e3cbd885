/* diff.h - vmscope diff: where two recorded runs first part.
 *
 * Traces (JSON Lines, CSV, text, as --trace writes them) are compared component by component: the n-th record of cpu0 here
 * with the n-th record of cpu0 there. So two CPUs that take turns differently, and runs that differ in nothing but time, are
 * the same. Results (--json) and statistics (--stats) are compared name by name.
 * Files are hostile: lines, names and queues are bounded, and what is no record is refused with its line. */
#ifndef UI_DIFF_DIFF_H
#define UI_DIFF_DIFF_H

#include <stdio.h>

#include "sim/err.h"

#define DIFF_CONTEXT_MAX 50

struct diff_options {
	bool by_time;                   /* cycles count too; otherwise order alone, and arguments that are durations (cycles, own) do not */
	bool quiet;
	unsigned context;               /* records shown before and after */
	const char *events;             /* names, '*' at the end of one: any rest; NULL: all */
	const char *ignore;             /* names of arguments, or of values of results, that may differ */
};

/* 0 the same, 1 they differ (told on `out`), -1 e says what was wrong with a file. */
int diff_files(FILE *out, const char *a, const char *b, const struct diff_options *o, struct err *e);
/* Is `name` of length n in a list "a,b*,c"? */
bool diff_listed(const char *list, const char *name);

#endif
