/* args.h - the command line, parsed by the tables commands.def and flags.def. */
#ifndef UI_CLI_ARGS_H
#define UI_CLI_ARGS_H

#include "ui/compare/options.h"
#include "ui/diff/diff.h"
#include "ui/session/session.h"

enum command_id {
#define COMMAND(ID, name, fn, operands, sentence) CMD_##ID,
#include "ui/cli/commands.def"
	CMD_N
};

struct args {
	enum command_id command;
	const char *operand[64];
	unsigned operands;
	const char *set[64], *allow[16];
	unsigned sets, allows;
	uint64_t lua_limit;             /* 0: the default */
	struct setup setup;             /* boot's flags */
	struct options o;
	struct compare_options compare;
	const char *csv, *plot, *show;  /* compare's */
	const char *gdb;                /* where a debugger is waited for, or NULL */
	struct diff_options diff;
	bool help, mono, ascii, umip, trap_critical, all;
	char image[4300];               /* args_image, args_scenario */
};

typedef int command_fn(struct args *a, struct err *e);  /* exit status; or -1 with err: the user's mistake */
command_fn cmd_run, cmd_boot, cmd_step, cmd_compare, cmd_diff, cmd_list, cmd_explain, cmd_classify, cmd_equiv, cmd_later, cmd_help;

struct command_row { const char *name; command_fn *fn; const char *operands, *sentence; };
extern const struct command_row command_rows[CMD_N];
struct flag_row { const char *name, *argument; unsigned commands; const char *sentence; };
extern const struct flag_row flag_rows[];
extern const size_t flag_rows_n;

/* When --gdb was given, the session's first run goes to a debugger. */
const char *args_image(struct args *a);          /* the operand: a file, else the name of a built guest */
const char *args_scenario(struct args *a);       /* likewise, else the name of one of scenarios/ */
int args_there(const char *path, const char *kind, struct err *e);      /* -1: no such file, nor one of ours of that kind (vmscope list) */
void args_gdb(struct args *a, struct session *s);
int args_parse(struct args *a, int argc, char **argv, struct err *e);
void args_fini(struct args *a);
void usage(FILE *f);
void usage_command(FILE *f, enum command_id id);

#endif
