/* scenario.h - running a scenario file. No Lua type appears here: commands include it. */
#ifndef UI_LUA_SCENARIO_H
#define UI_LUA_SCENARIO_H

#include "ui/session/session.h"

struct scenario_options {
	const char *const *set; unsigned sets;          /* KEY=VALUE: the table `set` */
	const char *const *allow; unsigned allows;      /* folders whose files may be read */
	size_t memory;                                  /* limits of Lua; 0: the defaults */
	uint64_t instructions;
	const char *results;            /* compare: the folder of results, NULL: none is kept */
	unsigned jobs;                  /* compare: worker processes at a time, 0: the default */
	bool fresh;                     /* compare: whatever is in the folder */
};

/* Exit status of the scenario: 0, 1 when a check failed, or what exit() was given; -1 with err: the
 * user's mistake. */
int scenario_run_file(struct session *s, const struct scenario_options *o, const char *path,
                      struct err *e);
int scenario_run_text(struct session *s, const struct scenario_options *o, const char *text,
                      size_t n, const char *name,
                      struct err *e);

/* The language without a scenario, for a command line: session->line. NULL with err: no. Close it before the session. */
struct scenario;
struct scenario *scenario_line_open(struct session *s, const struct scenario_options *o, struct err *e);
void scenario_line_close(struct scenario *s);

#endif
