/* compare.h - the comparison of techniques: the identical guest under each of them, verified, counted and told.
 *
 *   options.c  what is asked for, sweeps     metric.def  the numbers that are shown
 *   workload.c names the guest would refuse
 *   plan.c     the list of cases             verify.c    same console, same memory
 *   case.c     one case, one machine         table.c     text, 80 columns
 *   record.c   its record as bytes           why.c       one sentence per workload
 *   pool.c     worker processes              files.c     JSON and CSV
 *   store.c    results kept in a folder      plot.c      pictures by gnuplot
 *   matrix.c   all techniques side by side   all.def     which those are
 *   failures.c what went wrong, first of all */
#ifndef UI_COMPARE_COMPARE_H
#define UI_COMPARE_COMPARE_H

#include "ui/compare/options.h"

struct memory_range { uint64_t from, to; };      /* guest-physical, [from, to) */

struct divergence {             /* a technique did not do what native did */
	size_t at;                      /* case */
	char *text;                     /* lines */
};

struct comparison {
	struct compare_options options;
	struct plan plan;
	struct case_record *record;     /* one per case of the plan */
	struct divergence *divergence;
	size_t divergences;
	struct memory_range *except;    /* options.except.n of them */
	size_t stored;                  /* cases whose result was there already */
	bool interrupted;
};

/* Runs it. 0: it ran (look at comparison_status); -1: the user's mistake. Takes over *o. */
int comparison_run(struct comparison *c, struct compare_options *o, struct err *e);
void comparison_fini(struct comparison *c);
bool comparison_spared(const struct comparison *c, size_t at);  /* --all: this profile cannot do that; no failure */
int comparison_status(const struct comparison *c);      /* 0; 1: a case failed, diverged or was not run */

/* pool.c, store.c, verify.c: the steps of comparison_run */
int pool_run(struct comparison *c, char **identity, struct err *e);
bool store_get(const char *folder, const char *identity, struct case_record *r);
int store_put(const char *folder, const char *identity, const struct case_record *r, struct err *e);
int store_open(const char *folder, struct err *e);
int verify_prepare(struct comparison *c, struct err *e);        /* what --except names */
void verify(struct comparison *c);
/* One pair; text: what differs, or NULL. What lies in a range of `except` may. symbols: of the image, or NULL. */
struct symtab;
bool verify_memory(const struct comparison *c);         /* is final memory compared, beside the console? */
char *verify_pair(const struct case_record *want, const struct case_record *got, const struct memory_range *except, size_t n,
                  const struct symtab *symbols, bool memory);

/* ---- numbers (metric.c) ---- */

enum metric {
#define METRIC(NAME, key, head, patterns, sentence) METRIC_##NAME,
#include "ui/compare/metric.def"
	METRICS
};
struct metric_row { const char *key, *head, *patterns, *sentence; };
extern const struct metric_row metric_rows[METRICS];
enum share {                    /* the ledger in a few parts */
#define SHARE(NAME, key, title, sentence) SHARE_##NAME,
#include "ui/compare/share.def"
	SHARES
};
struct share_row { const char *key, *title, *sentence; };
extern const struct share_row share_rows[SHARES];

/* In the region of interest, or of the whole run when the guest has none. */
uint64_t record_number(const struct case_record *r, const struct number *n);
uint64_t record_cycles(const struct case_record *r);
uint64_t record_metric(const struct case_record *r, enum metric m);
uint64_t record_share(const struct case_record *r, enum share s);
uint64_t record_sum(const struct case_record *r, const char *patterns);        /* * stands for anything; blanks separate */
bool record_good(const struct case_record *r);
/* Exits by reason: calls fn for each reason of any case in declared order, with the pattern to count it. */
double slowdown(const struct comparison *c, size_t at);        /* cycles / native's; 0: unknown */
size_t native_of(const struct comparison *c, size_t at);

/* ---- what is said ---- */

struct show { bool summary, why, exits, walks, ledger, matrix; };
int show_parse(struct show *s, const char *text, struct err *e);       /* "summary,why"; NULL: all */
void comparison_print(const struct comparison *c, const struct show *s, FILE *f);
/* One sentence: who wins, by how much and why. value: index in the sweep. */
void why_sentence(const struct comparison *c, size_t profile, size_t workload, size_t value, char *buf, size_t n);
int comparison_json(const struct comparison *c, const char *path, struct err *e);
int comparison_csv(const struct comparison *c, const char *path, struct err *e);
int comparison_plot(const struct comparison *c, const char *path, struct err *e);
int plot_check(const char *path, struct err *e);       /* before hours are spent: can this be drawn? */

#endif
