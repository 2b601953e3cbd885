/* ledger_text.h - the ledger for people: who spent the cycles, and why. */
#ifndef UI_EXPORT_LEDGER_TEXT_H
#define UI_EXPORT_LEDGER_TEXT_H

#include <stdio.h>

#include "models/machine.h"

/* Two lines: time, instructions, and the largest owners. */
void ledger_text_short(FILE *f, const struct machine *m);
/* A table: causes by accounts, cycles and percent, all CPUs together. */
void ledger_text_full(FILE *f, const struct machine *m);
/* Sum over CPUs. */
uint64_t ledger_cell(const struct machine *m, unsigned acct, unsigned why);
const char *digits(uint64_t v, char *buf, size_t n);    /* 1 234 567 */

#endif
