/* cmd_explain.c - vmscope explain NAME. */
#include "ui/cli/args.h"
#include "ui/cli/explain.h"

int cmd_explain(struct args *a, struct err *e)
{
	if (!a->operands)
		return err_set(e, NULL, "for example: vmscope explain '#PF' cr0.wp walk.guest",
		               "explain what?");
	for (unsigned i = 0; i < a->operands; i++)
		if (explain(a->operand[i], stdout, e) != 0)
			return -1;
	return 0;
}
