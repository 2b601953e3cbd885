/* cmd_diff.c - vmscope diff A B: where two recorded runs first part. */
#include "ui/cli/args.h"
#include "ui/diff/diff.h"

int cmd_diff(struct args *a, struct err *e)
{
	a->diff.quiet = a->o.quiet;
	if (a->operands != 2)
		return err_set(e, NULL, "vmscope help diff", "diff takes two files, %u were given", a->operands);
	return diff_files(stdout, a->operand[0], a->operand[1], &a->diff, e);
}
