/* case.h - one case of a comparison: a technique, a workload, a profile, page size and parameters go in, a record comes
 * out. case_run is the only place where a comparison meets a machine; it is called in a worker process. */
#ifndef UI_COMPARE_CASE_H
#define UI_COMPARE_CASE_H

#include <stdio.h>

#include "sim/base.h"
#include "sim/err.h"

struct case_spec {
	char *workload;                 /* as people name it: "gups size=16m" */
	char *cmdline;                  /* what the guest is told, parameters of the standard table and the sweep included */
	char *image, *initrd;           /* paths; initrd may be NULL */
	char *technique;                /* "vmx/ept:2M" */
	char cpu[16], mmu[24], page[8]; /* its parts; page: "" or the largest EPT page */
	bool whatif;                    /* on the machine whose critical instructions trap */
	char *profile;
	char **set;                     /* KEY=VALUE of machines, borrowed from the options */
	size_t sets;
	char *ram;                      /* the guest's */
	unsigned cpus;
	char *row;                      /* sweep over a profile row: "key=value", or NULL */
	uint64_t value;                 /* of the sweep */
	uint64_t seed;
	bool seed_given;
	cycle_t max_cycles;
};
void case_spec_fini(struct case_spec *c);

/* Everything that determines the result, as text: the key of stored results. */
char *case_identity(const struct case_spec *c, struct err *e);

enum case_end {
	CASE_OK,                /* the guest ran to its end and was content */
	CASE_FAILED,            /* it ended otherwise: `why` says how */
	CASE_LIMIT,             /* --max-cycles */
	CASE_REFUSED,           /* the case cannot be run: `why` */
	CASE_CRASHED,           /* the worker died: a defect of vmscope */
	CASE_NOT_RUN,           /* interrupted before it was done */
};
extern const char *const case_end_name[];

struct number { char *name; uint64_t whole, region; };  /* a statistic or a cell of the ledger */

#define CASE_KEEP_MAX (16u << 20)
struct guest_page { uint64_t gpa, hash; uint8_t *bytes; };      /* bytes: NULL when there were too many to keep */

struct case_record {
	enum case_end end;
	int status;                     /* what the guest asked for */
	char *why;                      /* a sentence unless CASE_OK */
	unsigned regions;               /* how often the guest entered its region of interest; 0: it has none */
	struct number cycles, instructions, *number;
	size_t numbers;
	char *console;
	size_t console_n;
	struct guest_page *page;        /* pages of its RAM that are not zero, by address */
	size_t pages;
};
void case_record_fini(struct case_record *r);

/* Run it, here and now; the record always says something. false: Ctrl-C. */
bool case_run(const struct case_spec *c, struct case_record *r);

/* record.c: a record as bytes, and back. identity is checked when read. */
int record_write(FILE *f, const struct case_record *r, const char *identity);
bool record_read(FILE *f, struct case_record *r, const char *identity);

uint64_t hash_bytes(uint64_t h, const void *bytes, size_t n);
bool hash_file(const char *path, uint64_t hash[2]);

#endif
