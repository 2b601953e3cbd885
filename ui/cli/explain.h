/* explain.h - what a name means, from every table that has it. */
#ifndef UI_CLI_EXPLAIN_H
#define UI_CLI_EXPLAIN_H

#include <stdio.h>

#include "sim/err.h"

/* Up to eight meanings of a name, on f. -1 with err: nothing is called so; the nearest name is suggested. */
int explain(const char *name, FILE *f, struct err *e);

#endif
