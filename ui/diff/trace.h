/* trace.h - comparing two traces; see diff.h. */
#ifndef UI_DIFF_TRACE_H
#define UI_DIFF_TRACE_H

#include "ui/diff/diff.h"
#include "ui/diff/record.h"

/* The files are open and their forms known. */
int trace_diff(FILE *out, struct record_file *a, struct record_file *b, const struct diff_options *o, struct err *e);

#endif
