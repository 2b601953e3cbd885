/* cmd_boot.c - vmscope boot IMAGE: one machine, no script. */
#include <string.h>

#include "ui/cli/args.h"
#include "ui/lua/scenario.h"

int cmd_boot(struct args *a, struct err *e)
{
	struct boot_image image = a->setup.image;
	struct session s;
	struct scenario *line = NULL;
	struct run *r;
	int status = -1;

	if (a->operands != 1)
		return err_set(e, NULL, "vmscope help boot", "boot takes one image, %u were given",
		               a->operands);
	if (setup_finish(&a->setup, e) != 0 || setup_keys_used(&a->setup, e) != 0)
		return -1;
	if (a->o.blocks && (!a->setup.cpu || strcmp(a->setup.cpu, "bt") != 0))
		return err_set(e, "--blocks", "--cpu bt", "only binary translation has a cache of translated code");
	image.kernel = args_image(a);
	if (args_there(image.kernel, "guests", e) != 0)
		return -1;
	session_init(&s, &a->o);
	args_gdb(a, &s);
	if (a->gdb || a->o.n_stops)     /* monitor lua, --stop "when ..." */
		line = scenario_line_open(&s, &(struct scenario_options){ .instructions = a->lua_limit }, e);
	r = (a->gdb || a->o.n_stops) && !line ? NULL : session_machine(&s, &a->setup, e);
	if (r && run_boot(r, &image, e) == 0) {
		run_until(r, NEVER, 0);
		if (line && s.line.failed(s.line.who, e))
			status = -1;
		else if (s.late.text[0])
			*e = s.late;
		else if (session_finish(&s, e) == 0)
			status = run_status(r);
	}
	scenario_line_close(line);
	session_fini(&s);
	return status;
}
