/* cmd_run.c - vmscope run SCENARIO.lua. */
#include "ui/cli/args.h"
#include "ui/lua/scenario.h"
#include "ui/lua/watchdog.h"

int cmd_run(struct args *a, struct err *e)
{
	struct scenario_options o = { .set = a->set, .sets = a->sets, .allow = a->allow,
	                              .allows = a->allows,
	                              .instructions = a->lua_limit,
	                              .results = a->compare.results, .jobs = a->compare.jobs, .fresh = a->compare.fresh };
	struct err late = { "" };
	struct session s;
	int status;

	if (a->operands != 1)
		return err_set(e, NULL, "vmscope help run", "run takes one scenario, %u were given",
		               a->operands);
	const char *path = args_scenario(a);
	if (args_there(path, "scenarios", e) != 0)
		return -1;
	session_init(&s, &a->o);
	args_gdb(a, &s);
	watchdog_start();
	status = scenario_run_file(&s, &o, path, e);
	watchdog_stop();
	/* What was asked for is written even when the scenario failed half-way. */
	if (session_finish(&s, &late) != 0 && !e->text[0]) {
		*e = late;
		status = -1;
	}
	if (status < 0 && session_interrupted())
		status = 1;     /* Ctrl-C is nobody's mistake */
	session_fini(&s);
	return status;
}
