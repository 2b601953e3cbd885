/* main.c - vmscope, the program: parse, do, and say once what went wrong.
 *
 * Exit status: 0 ok; 1 the guest or a check failed; 2 the user's input was wrong; 3 a defect of
 * vmscope. A guest that ends the run through port 0xf4 passes its own status on. */
#include <locale.h>
#include <stdio.h>

#include "ui/cli/args.h"

int main(int argc, char **argv)
{
	struct err e = { "" };
	struct args a;
	int status = -1;

	setlocale(LC_NUMERIC, "C");
	session_signals();
	if (args_parse(&a, argc, argv, &e) == 0) {
		if (a.help) {
			usage_command(stdout, a.command);
			status = 0;
		} else {
			status = command_rows[a.command].fn(&a, &e);
		}
	}
	if (e.text[0]) {
		fflush(stdout);
		fprintf(stderr, "%s\n", e.text);
	}
	args_fini(&a);
	return status < 0 ? 2 : status;
}
