/* err.h - three kinds of error, three roads.
 *
 * - A guest's mistake is data (a fault, a VM exit, a trace event): it never comes here.
 * - A user's mistake: `return err_set(e, where, hint, what...)` up to main, which prints
 *   it once and exits 2. Position first, then the offending text, then a way out:
 *       scenarios/ept.lua:14: unknown key 'mem'; did you mean 'ram'?
 *           all keys: vmscope list config
 * - Our mistake: BUG() aborts with the place and what led there, exit status 3. */
#ifndef SIM_ERR_H
#define SIM_ERR_H

#include "sim/base.h"

struct err {
	char text[1024];        /* "" when nothing is wrong; complete, printable as it is */
};

/* Fill *e and return -1, so that a caller can `return err_set(...)`. where and hint may be NULL.
 * The first error set stays: later ones are consequences. */
int err_set(struct err *e, const char *where, const char *hint, const char *fmt, ...) PRINTF(4, 5);

/* The entry of names[0..n-1] most like `word` (weighted edit distance, ties to the earlier),
 * or NULL when nothing is near. name_at(table, i) yields the i-th name. */
const char *err_nearest(const char *word, const char *(*name_at)(const void *table, size_t i),
                        const void *table, size_t n);

/* A defect of vmscope. Prints file:line, the message and what `bug_context` adds; exits with 3. */
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
void bug_at(const char *file, int line, const char *fmt, ...) NORETURN PRINTF(3, 4);

/* xmalloc and friends cannot fail: out of host memory while building is a BUG. Zeroed. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);

#endif
