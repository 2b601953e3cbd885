/* record.h - reading what --trace has written: one line, one record. */
#ifndef UI_DIFF_RECORD_H
#define UI_DIFF_RECORD_H

#include <stdio.h>

#include "sim/err.h"

#define LINE_BYTES  8192        /* a record has a few hundred */
#define ARGS_MAX    32
#define COLUMNS_MAX 256

enum record_form { RECORD_JSONL, RECORD_CSV, RECORD_TEXT };

struct record {                 /* texts are inside `line` */
	uint64_t cycle;
	const char *machine, *component, *event;
	struct record_arg { const char *name, *value; } arg[ARGS_MAX];
	unsigned args;
	char line[LINE_BYTES];
};

struct record_file {
	const char *path;
	FILE *f;
	enum record_form form;
	uint64_t line;                  /* number of the one read last */
	long at;                        /* where that begins */
	char head[LINE_BYTES];          /* CSV: its names */
	const char *column[COLUMNS_MAX];
	unsigned columns;
};

/* 1: a record; 0: the end; -1: e says file:line and what. */
int record_next(struct record_file *f, struct record *r, struct err *e);
/* The record at a place record_next() has been at. */
int record_at(struct record_file *f, long at, uint64_t line, struct record *r, struct err *e);
/* One line without its end into buf[LINE_BYTES]; as record_next(). */
int record_line(struct record_file *f, char *buf, struct err *e);
/* Take a CSV's first line. */
int record_head(struct record_file *f, const char *line, struct err *e);

#endif
