/* options.h - what a comparison is asked for, by the command line or by Lua, and the cases that follow from it. */
#ifndef UI_COMPARE_OPTIONS_H
#define UI_COMPARE_OPTIONS_H

#include "ui/compare/case.h"

struct names { char **v; size_t n; };
void names_add(struct names *t, const char *text, size_t n);
void names_split(struct names *t, const char *text, char separator);   /* blanks around the parts are dropped */
void names_fini(struct names *t);

struct standard_row { const char *name, *parameters, *sentence; };
extern const struct standard_row standard_rows[];
extern const size_t standard_rows_n;

struct compare_options {
	struct names workload, technique, profile, page;        /* empty: the standard ones */
	struct names set, except;       /* except: memory that may differ, "SYMBOL" or "LOW-HIGH" */
	char *image, *initrd, *ram;     /* NULL: kernel64, none, 128M */
	char *sweep;                    /* "name=a..b[:step|xN]", or NULL */
	char *results;                  /* the folder of results, or NULL: none is kept */
	unsigned cpus;                  /* of each machine; 0: one */
	unsigned jobs;                  /* 0: as many as CPUs are online */
	bool all;                       /* every pair of techniques: all.def */
	bool fresh, quiet, console_only;/* console_only: final memory is not compared */
	uint64_t seed;
	bool seed_given;
	cycle_t max_cycles;             /* of each case */
};
#define COMPARE_MAX_CYCLES 100000000000ull      /* what a case may take unless told otherwise */
#define COMPARE_CASES_MAX  4096

void compare_options_init(struct compare_options *o);
void compare_options_fini(struct compare_options *o);

struct sweep {
	char name[48];                  /* "": no sweep */
	bool row;                       /* of the profile or configuration; else a parameter of the workload */
	uint64_t *value;
	size_t n;
};
int sweep_parse(struct sweep *s, const char *text, struct err *e);
/* The keys of cases that a comparison chooses itself, by flags of its own: the flag, or NULL. */
const char *compare_own_flag(const char *key);

/* Of the teaching kernel: is every workload of the command line known, with its parameters, and `sweep` (or NULL) one of the last's? */
int workload_check(const char *text, const char *sweep, struct err *e);
void workload_parameters(const char *name, char *to, size_t n);         /* "n=1000 size=4m": with their defaults; "": no such workload */

struct plan {                   /* all combinations; case [((p * workloads + w) * values + v) * techniques + t] */
	struct names profile, workload, technique;
	struct sweep sweep;
	bool standard;                  /* the teaching kernel: its final memory does not depend on who came first */
	size_t values;                  /* of the sweep; 1 without */
	struct case_spec *spec;
	size_t n;
};
int plan_make(struct plan *p, const struct compare_options *o, struct err *e);
void plan_fini(struct plan *p);
static inline size_t plan_at(const struct plan *p, size_t profile, size_t workload, size_t value, size_t technique)
{
	return ((profile * p->workload.n + workload) * p->values + value) * p->technique.n + technique;
}

#endif
