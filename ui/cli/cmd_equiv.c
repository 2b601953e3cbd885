/* cmd_equiv.c - vmscope equiv IMAGE: a technique against the bare machine, instruction by instruction. */
#include "ui/cli/args.h"
#include "ui/equiv/equiv.h"
#include "ui/export/outfile.h"

static int written(const struct args *a, const struct equiv_result *r, struct err *e)
{
	if (!a->o.json) {
		equiv_print(stdout, r);
		return 0;
	}
	FILE *f = outfile_open(a->o.json, e);
	if (!f)
		return -1;
	equiv_json(f, r);
	return outfile_close(f, a->o.json, e);
}

int cmd_equiv(struct args *a, struct err *e)
{
	struct boot_image image = a->setup.image;
	struct equiv_result result;
	struct session s;
	int status = -1;
	if (a->operands != 1)
		return err_set(e, NULL, "vmscope help equiv", "equiv takes one image, %u were given", a->operands);
	if (setup_finish(&a->setup, e) != 0 || equiv_possible(&a->setup, e) != 0 || setup_keys_used(&a->setup, e) != 0)
		return -1;
	image.kernel = args_image(a);
	if (args_there(image.kernel, "guests", e) != 0)
		return -1;
	const struct equiv_options o = { .instructions = a->o.max_instructions, .cycles = a->o.max_cycles == NEVER ? 0 : a->o.max_cycles };
	const char *json = a->o.json;
	a->o.json = NULL;               /* the session's own result is not wanted */
	session_init(&s, &a->o);
	a->o.json = json;
	struct run *r = session_machine(&s, &a->setup, e);
	if (r && run_boot(r, &image, e) == 0) {
		run_face(r)->echo = !a->o.quiet;
		if (equiv(r, &image, &o, &result, e) == 0 && written(a, &result, e) == 0)
			status = result.verdict == EQUIV_DIFFERS;
	}
	session_fini(&s);
	return status;
}
