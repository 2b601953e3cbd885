/* text.h - words that tables, sentences and pictures share. */
#ifndef UI_COMPARE_TEXT_H
#define UI_COMPARE_TEXT_H

#include "ui/compare/compare.h"

#define LEVEL 1.02      /* techniques less than this apart are level */

const char *compact(uint64_t v, char *buf, size_t n);  /* at most five characters: 9999, 12.3k, 456M */
/* The technique without "vmx/" when that is what all of them have: "shadow.wp", "native". */
const char *short_name(const struct comparison *c, size_t technique);
/* What stands in a cell that has no number; the best technique of a block of cases, 0: none worth the name; is one marked '!'? */
const char *trouble(const struct comparison *c, size_t at);
size_t best_of(const struct comparison *c, size_t block);
bool differs(const struct comparison *c, size_t at);
void put_trimmed(FILE *f, char *line);                 /* without the blanks at its end */
void matrix(const struct comparison *c, size_t profile, FILE *f);
/* failures.c: what went wrong and why, in front of the tables; does anything of a block of cases have a number to show? */
void failures(const struct comparison *c, FILE *f);
void divergences(const struct comparison *c, FILE *f);
bool case_failed(const struct comparison *c, size_t at);
bool block_good(const struct comparison *c, size_t block);
/* Over a sweep: who wins where. */
void crossover_sentence(const struct comparison *c, size_t profile, size_t workload, char *buf, size_t n);

#endif
