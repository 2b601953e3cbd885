/* profile_rows.h - a profile's rows with their sources, for `list` and `explain`. */
#ifndef UI_LUA_PROFILE_ROWS_H
#define UI_LUA_PROFILE_ROWS_H

#include "sim/err.h"

typedef int profile_row_fn(void *arg, const char *key, uint64_t value, const char *source,
                           const char *where, struct err *e);
int profile_each(const char *name, const char *where, profile_row_fn *fn, void *arg, struct err *e);

#endif
