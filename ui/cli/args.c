/* args.c - parsing the command line; usage text is made from the same tables. */
#include "ui/cli/args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ui/export/wrap.h"
#include "ui/gdb/gdb.h"
#include "ui/session/paths.h"

enum { RUN = 1 << CMD_RUN, BOOT = 1 << CMD_BOOT, STEP = 1 << CMD_STEP, COMPARE = 1 << CMD_COMPARE, DIFF = 1 << CMD_DIFF, CLASSIFY = 1 << CMD_CLASSIFY, EQUIV = 1 << CMD_EQUIV,
       ANY = RUN | BOOT | STEP, ALL = ~0 };

enum flag_id {
#define FLAG(ID, name, argument, commands, sentence) FLAG_##ID,
#include "ui/cli/flags.def"
	FLAG_N
};

const struct command_row command_rows[CMD_N] = {
#define COMMAND(ID, name, fn, operands, sentence) { name, fn, operands, sentence },
#include "ui/cli/commands.def"
};

const struct flag_row flag_rows[] = {
#define FLAG(ID, name, argument, commands, sentence) { name, argument, (unsigned)(commands), sentence },
#include "ui/cli/flags.def"
};
const size_t flag_rows_n = ARRAY_LEN(flag_rows);

/* ---- usage ---- */

void usage(FILE *f)
{
	fputs("vmscope COMMAND ...\n\n", f);
	for (unsigned i = 0; i < CMD_N; i++) {
		fprintf(f, "  %-8s %-20s  ", command_rows[i].name, command_rows[i].operands);
		wrap(f, 33, 33, WRAP_PAGE, command_rows[i].sentence);
		fputc('\n', f);
	}
	fputs("\nvmscope help COMMAND lists its flags.\n"
	      "Exit status: 0 ok; 1 the guest or a check failed; 2 wrong input;\n"
	      "3 a defect of vmscope.\n", f);
}

void usage_command(FILE *f, enum command_id id)
{
	char left[64];

	fprintf(f, "vmscope %s %s\n  ", command_rows[id].name, command_rows[id].operands);
	wrap(f, 2, 2, WRAP_PAGE, command_rows[id].sentence);
	fputs("\n\n", f);
	for (unsigned i = 0; i < FLAG_N; i++) {
		if (!(flag_rows[i].commands >> id & 1))
			continue;
		snprintf(left, sizeof left, "%s %s", flag_rows[i].name, flag_rows[i].argument ? flag_rows[i].argument : "");
		fprintf(f, "  %-26s%s", left, strlen(left) > 26 ? "\n" : " ");
		if (strlen(left) > 26)
			fprintf(f, "%*s", 29, "");
		wrap(f, 29, 29, WRAP_PAGE, flag_rows[i].sentence);
		fputc('\n', f);
	}
}

/* ---- parsing ---- */

static const char *command_at(const void *table, size_t i) { return ((const struct command_row *)table)[i].name; }
static const char *flag_at(const void *table, size_t i) { return ((const struct flag_row *)table)[i].name; }

static int unknown(const char *kind, const char *word, const char *near, const char *list, struct err *e)
{
	char hint[160];

	snprintf(hint, sizeof hint, "%s%s%sall %ss: vmscope %s", near ? "did you mean '" : "", near ? near : "", near ? "'? " : "",
	         kind, list);
	return err_set(e, NULL, hint, "unknown %s '%s'", kind, word);
}

static int number(const char *flag, const char *text, uint64_t *v, struct err *e)
{
	if (!parse_number(text, v))
		return err_set(e, flag, "numbers: 12, 0x10, 512M, 2e9", "'%s': a number was expected", text);
	return 0;
}

static int add(const char **list, unsigned *n, unsigned room, const char *flag, const char *v, struct err *e)
{
	if (*n == room)
		return err_set(e, flag, NULL, "more than %u times", room);
	list[(*n)++] = v;
	return 0;
}

/* compare's own flags, and those of boot that mean a list or a default here; false: not one of them. */
static bool compare_flag(struct args *a, enum flag_id id, const char *v)
{
	struct compare_options *o = &a->compare;

	switch (id) {
	case FLAG_WORKLOAD: names_split(&o->workload, v, ','); return true;
	case FLAG_TECHNIQUE: names_split(&o->technique, v, ','); return true;
	case FLAG_PROFILE: names_split(&o->profile, v, ','); return true;
	case FLAG_PAGE: names_split(&o->page, v, ','); return true;
	case FLAG_EXCEPT: names_split(&o->except, v, ','); return true;
	case FLAG_SET: names_add(&o->set, v, strlen(v)); return true;
	case FLAG_IMAGE: free(o->image); o->image = xstrdup(v); return true;
	case FLAG_INITRD: free(o->initrd); o->initrd = xstrdup(v); return true;
	case FLAG_RAM: free(o->ram); o->ram = xstrdup(v); return true;
	case FLAG_SWEEP: free(o->sweep); o->sweep = xstrdup(v); return true;
	case FLAG_RESULTS: free(o->results); o->results = xstrdup(v); return true;
	case FLAG_FRESH: o->fresh = true; return true;
	case FLAG_CONSOLE: o->console_only = true; return true;
	default: return false;
	}
}

static int jobs(struct args *a, const char *v, struct err *e)
{
	uint64_t n;

	if (!parse_number(v, &n) || n < 1 || n > 256)
		return err_set(e, "--jobs", NULL, "'%s': expected 1..256", v);
	a->compare.jobs = (unsigned)n;
	return 0;
}

static int cpus(struct args *a, const char *v, struct err *e)
{
	uint64_t n;

	if (!parse_number(v, &n) || n < 1 || n > CPUS_MAX)
		return err_set(e, "--cpus", NULL, "'%s': expected 1..%d", v, CPUS_MAX);
	a->compare.cpus = (unsigned)n;
	return 0;
}

/* diff's own flags. */
static int diff_flag(struct args *a, enum flag_id id, const char *v, struct err *e)
{
	struct diff_options *o = &a->diff;
	uint64_t n;

	switch (id) {
	case FLAG_EVENTS: o->events = v; return 0;
	case FLAG_IGNORE: o->ignore = v; return 0;
	case FLAG_BY:
		if (strcmp(v, "order") != 0 && strcmp(v, "time") != 0)
			return err_set(e, "--by", NULL, "'%s': expected order or time", v);
		o->by_time = v[0] == 't';
		return 0;
	default:
		if (!parse_number(v, &n) || n > DIFF_CONTEXT_MAX)
			return err_set(e, "--context", NULL, "'%s': expected 0..%d", v, DIFF_CONTEXT_MAX);
		o->context = (unsigned)n;
		return 0;
	}
}

static int flag_set(struct args *a, enum flag_id id, const char *v, struct err *e)
{
	struct setup *s = &a->setup;
	struct boot_image *b = &s->image;
	const char *flag = flag_rows[id].name;

	if (a->command == CMD_COMPARE && compare_flag(a, id, v))
		return 0;
	if (a->command == CMD_COMPARE && id == FLAG_CPUS)
		return cpus(a, v, e);
	switch (id) {
	case FLAG_CSV: a->csv = v; return 0;
	case FLAG_PLOT: a->plot = v; return 0;
	case FLAG_SHOW: a->show = v; return 0;
	case FLAG_JOBS: return jobs(a, v, e);
	case FLAG_RESULTS: case FLAG_FRESH: compare_flag(a, id, v); return 0;   /* of run: its scenario's comparisons */
	case FLAG_PROFILE: case FLAG_RAM: case FLAG_CPUS: case FLAG_SPEED: case FLAG_DISK: case FLAG_DISK2: case FLAG_RTC:
	case FLAG_QUANTUM: case FLAG_CPU: case FLAG_MMU: case FLAG_PAGE:
		return setup_set(s, flag + 2, v, flag, e);      /* the key has the flag's name */
	case FLAG_APPEND: b->cmdline = v; return 0;
	case FLAG_INITRD: b->initrd = v; return 0;
	case FLAG_MODULE: return add(b->modules, &b->n_modules, ARRAY_LEN(b->modules), flag, v, e);
	case FLAG_BASE: return number(flag, v, &b->flat_base, e);
	case FLAG_SET:
		if (a->command == CMD_BOOT || a->command == CMD_CLASSIFY || a->command == CMD_EQUIV)
			return setup_set_pair(s, v, flag, e);
		return add(a->set, &a->sets, ARRAY_LEN(a->set), flag, v, e);
	case FLAG_ALLOW: return add(a->allow, &a->allows, ARRAY_LEN(a->allow), flag, v, e);
	case FLAG_LUAMAX: return number(flag, v, &a->lua_limit, e);
	case FLAG_INPUT: a->o.input = v; return 0;
	case FLAG_KEYS: a->o.keys = v; return 0;
	case FLAG_JSON: a->o.json = v; return 0;
	case FLAG_STATS: return add(a->o.stats, &a->o.n_stats, STATS_FILES_MAX, flag, v, e);
	case FLAG_TRACE: return add(a->o.trace, &a->o.n_traces, TRACE_FILES_MAX, flag, v, e);
	case FLAG_SAVE: a->o.save = v; return 0;
	case FLAG_RESTORE: a->o.restore = v; return 0;
	case FLAG_SEED: a->o.seed_given = true; return number(flag, v, &a->o.seed, e);
	case FLAG_MAXCYC: return number(flag, v, &a->o.max_cycles, e);
	case FLAG_MAXINSN: return number(flag, v, &a->o.max_instructions, e);
	case FLAG_STOP: return add(a->o.stop, &a->o.n_stops, ARRAY_LEN(a->o.stop), flag, v, e);
	case FLAG_LEDGER: a->o.ledger = true; return 0;
	case FLAG_BLOCKS: a->o.blocks = v; return 0;
	case FLAG_SCREEN: a->o.screen = true; return 0;
	case FLAG_QUIET: a->o.quiet = true; return 0;
	case FLAG_GDB: a->gdb = v; return gdb_where(v, &(struct gdb_where){ .port = 0 }, e);
	case FLAG_UMIP: a->umip = true; return 0;
	case FLAG_TRAPCRIT: a->trap_critical = true; return 0;
	case FLAG_ALL: a->all = true; return 0;
	case FLAG_MONO: a->mono = true; return 0;
	case FLAG_ASCII: a->ascii = true; return 0;
	case FLAG_BY: case FLAG_EVENTS: case FLAG_IGNORE: case FLAG_CONTEXT: return diff_flag(a, id, v, e);
	case FLAG_HOME: return paths_home(v, e);
	case FLAG_HELP: a->help = true; return 0;
	case FLAG_WORKLOAD: case FLAG_TECHNIQUE: case FLAG_EXCEPT: case FLAG_IMAGE: case FLAG_SWEEP:
	case FLAG_CONSOLE: case FLAG_N:
		break;
	}
	BUG("flag %d has no case", id);
}

/* --name, --name VALUE or --name=VALUE at argv[*i]. */
static int flag_parse(struct args *a, char **argv, int argc, int *i, struct err *e)
{
	const char *arg = argv[*i], *eq = strchr(arg, '='), *value = eq ? eq + 1 : NULL;
	size_t n = eq ? (size_t)(eq - arg) : strlen(arg);
	char name[64], list[32];
	unsigned id = 0;

	snprintf(name, sizeof name, "%.*s", (int)(n < 60 ? n : 60), arg);
	while (id < FLAG_N && strcmp(flag_rows[id].name, name) != 0)
		id++;
	snprintf(list, sizeof list, "help %s", command_rows[a->command].name);
	if (id == FLAG_N)
		return unknown("flag", name, err_nearest(name, flag_at, flag_rows, FLAG_N), list, e);
	if (!(flag_rows[id].commands >> a->command & 1))
		return err_set(e, NULL, NULL, "%s does not go with vmscope %s: see vmscope help %s", name, command_rows[a->command].name,
		               command_rows[a->command].name);
	if (!flag_rows[id].argument) {
		if (value)
			return err_set(e, NULL, NULL, "%s takes no value", name);
		return flag_set(a, (enum flag_id)id, NULL, e);
	}
	if (!value) {
		if (*i + 1 >= argc)
			return err_set(e, NULL, flag_rows[id].sentence, "%s needs %s", name, flag_rows[id].argument);
		value = argv[++*i];
	}
	return flag_set(a, (enum flag_id)id, value, e);
}

int args_parse(struct args *a, int argc, char **argv, struct err *e)
{
	unsigned id = 0;
	bool flags = true;

	memset(a, 0, sizeof *a);
	setup_init(&a->setup);
	compare_options_init(&a->compare);
	a->o.max_cycles = NEVER;
	a->diff.context = 5;
	if (argc < 2)
		return err_set(e, NULL, "vmscope help", "a command is missing");
	while (id < CMD_N && strcmp(command_rows[id].name, argv[1]) != 0)
		id++;
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		id = CMD_HELP;
	if (id == CMD_N)
		return unknown("command", argv[1], err_nearest(argv[1], command_at, command_rows, CMD_N), "help", e);
	a->command = (enum command_id)id;
	for (int i = 2; i < argc; i++) {
		if (a->command == CMD_EXPLAIN && strncmp(argv[i], "--home", 6) != 0 && strcmp(argv[i], "--help") != 0)
			flags = false;  /* explain --sweep */
		if (flags && strcmp(argv[i], "--") == 0)
			flags = false;
		else if (flags && strncmp(argv[i], "--", 2) == 0) {
			if (flag_parse(a, argv, argc, &i, e) != 0)
				return -1;
		} else if (add(a->operand, &a->operands, ARRAY_LEN(a->operand), argv[1], argv[i], e) != 0) {
			return -1;
		}
	}
	return 0;
}

static int debugger(void *who, struct run *r, struct err *e)
{
	const struct args *a = who;

	return gdb_serve(r, a->gdb, e);
}

const char *args_image(struct args *a)
{
	const char *name = a->operand[0];

	return access(name, F_OK) != 0 && paths_guest(name, a->image, sizeof a->image) ? a->image : name;
}

const char *args_scenario(struct args *a)
{
	const char *name = a->operand[0];

	return access(name, F_OK) != 0 && paths_scenario(name, a->image, sizeof a->image) ? a->image : name;
}

int args_there(const char *path, const char *kind, struct err *e)
{
	char hint[80];

	if (!*path || access(path, F_OK) == 0)  /* no name at all: whoever reads it says so */
		return 0;
	snprintf(hint, sizeof hint, "a path, or a name of vmscope list %s", kind);
	return err_set(e, path, hint, "%s", strerror(errno));
}

void args_gdb(struct args *a, struct session *s)
{
	if (!a->gdb)
		return;
	s->stepper = debugger;
	s->stepper_who = a;
}

void args_fini(struct args *a)
{
	setup_fini(&a->setup);
	compare_options_fini(&a->compare);
}
