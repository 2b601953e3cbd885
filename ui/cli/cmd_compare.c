/* cmd_compare.c - vmscope compare: the same guests under several techniques. */
#include <stdlib.h>
#include <string.h>

#include "ui/cli/args.h"
#include "ui/compare/compare.h"

static int write_files(const struct args *a, const struct comparison *c, struct err *e)
{
	if (a->o.json && comparison_json(c, a->o.json, e) != 0)
		return -1;
	if (a->csv && comparison_csv(c, a->csv, e) != 0)
		return -1;
	return a->plot ? comparison_plot(c, a->plot, e) : 0;
}

int cmd_compare(struct args *a, struct err *e)
{
	struct compare_options *o = &a->compare;
	struct comparison c;
	struct show show;
	int status = -1;

	if (a->operands)
		return err_set(e, NULL, "workloads: --workload gups,forkwait; vmscope help compare", "compare takes no operand, '%s' was given",
		               a->operand[0]);
	o->all = a->all;
	if (o->all && o->technique.n)
		return err_set(e, "--all", "one of the two", "--all is every technique, --technique some of them");
	if (show_parse(&show, a->show ? a->show : a->all ? "matrix" : NULL, e) != 0 || (a->plot && plot_check(a->plot, e) != 0))
		return -1;
	o->quiet = a->o.quiet;
	o->seed = a->o.seed;
	o->seed_given = a->o.seed_given;
	if (a->o.max_cycles != NEVER)
		o->max_cycles = a->o.max_cycles;
	if (!o->results)
		o->results = xstrdup("vmscope-results");
	if (comparison_run(&c, o, e) == 0) {
		if (c.stored && !a->o.quiet)
			fprintf(stderr, "%zu of %zu results were in %s already (--fresh runs them again)\n", c.stored, c.plan.n, c.options.results);
		comparison_print(&c, &show, stdout);
		fflush(stdout);
		if (write_files(a, &c, e) == 0)
			status = comparison_status(&c);
	}
	comparison_fini(&c);
	return status;
}
