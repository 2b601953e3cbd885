/* cmd_classify.c - vmscope classify: Popek and Goldberg, measured. */
#include <stdlib.h>

#include "ui/classify/classify.h"
#include "ui/cli/args.h"
#include "ui/export/outfile.h"

int cmd_classify(struct args *a, struct err *e)
{
	struct verdicts all;
	if (a->operands)
		return err_set(e, NULL, "vmscope help classify", "classify takes no operand, '%s' was given", a->operand[0]);
	if (setup_finish(&a->setup, e) != 0 || setup_keys_used(&a->setup, e) != 0)
		return -1;
	const struct class_options o = { .profile = &a->setup.config.profile, .umip = a->umip, .trap_critical = a->trap_critical };
	if (classify(&o, &all, e) != 0)
		return -1;
	int status = 0;
	if (a->o.json) {
		FILE *f = outfile_open(a->o.json, e);
		if (!f || (classify_json(f, &all), outfile_close(f, a->o.json, e)) != 0)
			status = -1;
	} else {
		classify_print(stdout, &all, a->all);
	}
	free(all.v);
	return status;
}
