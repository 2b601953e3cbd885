/* cmd_help.c - help, and commands that are named but not there yet. */
#include <string.h>

#include "ui/cli/args.h"

int cmd_help(struct args *a, struct err *e)
{
	if (!a->operands) {
		usage(stdout);
		return 0;
	}
	for (unsigned i = 0; i < CMD_N; i++)
		if (strcmp(command_rows[i].name, a->operand[0]) == 0) {
			usage_command(stdout, (enum command_id)i);
			return 0;
		}
	return err_set(e, NULL, "vmscope help", "unknown command '%s'", a->operand[0]);
}

int cmd_later(struct args *a, struct err *e)
{
	return err_set(e, NULL, "all commands: vmscope help",
	               "vmscope %s is not there yet", command_rows[a->command].name);
}
