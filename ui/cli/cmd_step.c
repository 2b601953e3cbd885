/* cmd_step.c - vmscope step SCENARIO.lua | IMAGE: the stepping screen on the first machine that runs. */
#include <string.h>

#include "ui/cli/args.h"
#include "ui/lua/scenario.h"
#include "ui/tui/tui.h"

static int screen(void *who, struct run *r, struct err *e)
{
	const struct args *a = who;
	return tui_run(r, a->mono, a->ascii, e);
}

static bool is_scenario(const char *path)
{
	size_t n = strlen(path);
	return n > 4 && strcmp(path + n - 4, ".lua") == 0;
}

static int boot(struct args *a, struct session *s, struct err *e)
{
	struct boot_image image = a->setup.image;
	image.kernel = args_image(a);
	for (unsigned i = 0; i < a->sets; i++)
		if (setup_set_pair(&a->setup, a->set[i], "--set", e) != 0)
			return -1;
	if (setup_finish(&a->setup, e) != 0 || setup_keys_used(&a->setup, e) != 0 || args_there(image.kernel, "guests", e) != 0)
		return -1;
	struct run *r = session_machine(s, &a->setup, e);
	if (!r || run_boot(r, &image, e) != 0)
		return -1;
	run_until(r, NEVER, 0);
	return 0;
}

int cmd_step(struct args *a, struct err *e)
{
	struct scenario_options o = { .set = a->set, .sets = a->sets, .allow = a->allow, .allows = a->allows,
	                              .instructions = a->lua_limit };
	struct session s;
	if (a->operands != 1)
		return err_set(e, NULL, "vmscope help step", "step takes one scenario or image, %u were given", a->operands);
	const char *path = args_scenario(a);
	if (is_scenario(path) && args_there(path, "scenarios", e) != 0)
		return -1;
	a->o.quiet = true;
	a->o.allow = a->allow;
	a->o.allows = a->allows;
	session_init(&s, &a->o);
	s.stepper = screen;
	s.stepper_who = a;
	args_gdb(a, &s);
	struct scenario *line = NULL;
	int status;
	if (is_scenario(path))
		status = scenario_run_file(&s, &o, path, e);
	else if ((line = scenario_line_open(&s, &o, e)) == NULL)
		status = -1;
	else
		status = boot(a, &s, e);
	scenario_line_close(line);
	if (s.late.text[0]) {
		*e = s.late;
		status = -1;
	} else if (session_finish(&s, e) != 0) {
		status = -1;
	}
	session_fini(&s);
	return status;
}
