/* text.h - words that tables, sentences and pictures share. */
#ifndef UI_COMPARE_TEXT_H
#define UI_COMPARE_TEXT_H

#include "ui/compare/compare.h"

#define LEVEL 1.02      /* techniques less than this apart are level */

const char *compact(uint64_t v, char *buf, size_t n);  /* at most five characters: 9999, 12.3k, 456M */
/* The technique without "vmx/" when that is what all of them have: "shadow.wp", "native". */
const char *short_name(const struct comparison *c, size_t technique);
void wrap(FILE *f, const char *text, size_t columns);
/* Over a sweep: who wins where. */
void crossover_sentence(const struct comparison *c, size_t profile, size_t workload, char *buf, size_t n);

#endif
