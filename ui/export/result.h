/* result.h - what a session leaves behind: --stats and --json. No host time, no address: same
 * inputs, same bytes. */
#ifndef UI_EXPORT_RESULT_H
#define UI_EXPORT_RESULT_H

#include "ui/session/session.h"

/* .json, .csv, anything else: text as gem5 prints it. */
int result_stats(const struct session *s, const char *path, struct err *e);
int result_json(const struct session *s, const char *path, struct err *e);

/* Every number of one machine by name: time, statistics, ledger. */
typedef void result_visit(void *arg, const char *name, uint64_t value, const char *unit,
                          const char *sentence);
void result_each(const struct machine *m, result_visit *fn, void *arg);
bool result_get(const struct machine *m, const char *name, uint64_t *value);

#endif
