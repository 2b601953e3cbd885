/* wrap.h - sentences on lines that fit. */
#ifndef UI_EXPORT_WRAP_H
#define UI_EXPORT_WRAP_H

#include <stdio.h>

#include "sim/base.h"

#define WRAP_PAGE 80            /* what is always broken: tables of results, help */

/* text from column `at` on; where a word would pass `width`, or the text has a newline (with blanks behind it), a new line begins at `indent`. width 0: lines are
 * as long as they are. No newline at the end. */
void wrap(FILE *f, unsigned at, unsigned indent, unsigned width, const char *text);
/* A line of results for people, with its newline: what does not fit a page goes on at `indent`. */
void wrap_line(FILE *f, unsigned indent, const char *fmt, ...) PRINTF(3, 4);
/* The columns of the terminal stdout is; 0 when it is none: a list for grep has one thing on a line. */
unsigned wrap_terminal(void);

#endif
