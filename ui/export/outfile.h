/* outfile.h - files named on the command line: "-" is stdout, and a full disk is reported. */
#ifndef UI_EXPORT_OUTFILE_H
#define UI_EXPORT_OUTFILE_H

#include <stdio.h>

#include "sim/err.h"

FILE *outfile_open(const char *path, struct err *e);
int outfile_close(FILE *f, const char *path, struct err *e);

#endif
