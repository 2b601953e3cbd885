/* result.c - statistics and ledger by name, in three forms, and the whole result as JSON. */
#include "ui/export/result.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/export/json.h"
#include "ui/export/outfile.h"
#include "ui/export/trace_format.h"

/* ---- every number by name ---- */

struct visit { result_visit *fn; void *arg; };

static void of_stat(void *arg, const char *name, const struct stat_row *row, uint64_t value)
{
	static const char *const unit[STAT_UNIT_N] = { [STAT_COUNT] = "Count",
	                                               [STAT_CYCLES] = "Cycle",
	                                               [STAT_BYTES] = "Byte" };
	struct visit *v = arg;

	v->fn(v->arg, name, value, unit[row->unit], row->sentence);
}

void result_each(const struct machine *m, result_visit *fn, void *arg)
{
	struct visit v = { fn, arg };
	char name[96], acct[32];

	fn(arg, "sim.cycles", machine_now(m), "Cycle",
	   "simulated time: the least clock of the CPUs that run");
	fn(arg, "sim.instructions", machine_icount(m), "Count",
	   "instructions completed on all CPUs");
	fn(arg, "sim.freq", m->config.profile.hz, "Hz", "cycles in one second of simulated time");
	stats_each(&m->stats, of_stat, &v);
	for (unsigned i = 0; i < m->config.cpus; i++)
		for (unsigned a = 0; a < ACCT_N; a++)
			for (unsigned w = 0; w < WHY_N; w++) {
				uint64_t spent = m->cpu[i]->ledger.spent[a][w];

				if (!spent)
					continue;
				snprintf(name, sizeof name, "cpu%u.ledger.%s/%s", i,
				         ledger_acct_name(a, acct, sizeof acct),
				         ledger_why[w].name);
				fn(arg, name, spent, "Cycle", ledger_why[w].sentence);
			}
}

struct wanted { const char *name; uint64_t value; bool found; };

static void compare(void *arg, const char *name, uint64_t value, const char *unit,
                    const char *sentence)
{
	struct wanted *w = arg;

	(void)unit;
	(void)sentence;
	if (!w->found && strcmp(name, w->name) == 0) {
		w->value = value;
		w->found = true;
	}
}

bool result_get(const struct machine *m, const char *name, uint64_t *value)
{
	struct wanted w = { .name = name };

	if (stats_get(&m->stats, name, value))
		return true;
	result_each(m, compare, &w);
	*value = w.value;
	return w.found;
}

/* ---- --stats ---- */

struct table { FILE *f; struct json *j; const char *prefix; };

static void text_line(void *arg, const char *name, uint64_t value, const char *unit,
                      const char *sentence)
{
	const struct table *t = arg;
	char full[128];

	snprintf(full, sizeof full, "%s%s", t->prefix, name);
	fprintf(t->f, "%-44s %20" PRIu64 "                       # %s (%s)\n", full, value, sentence, unit);
}

/* What gem5 calls time, by its names, for tools that read its statistics. */
static void gem5_lines(FILE *f, const struct machine *m, const char *prefix)
{
	static const struct { const char *name, *what; } row[] = {
		{ "simSeconds", "Number of seconds simulated (Second)" },
		{ "simTicks", "Number of ticks simulated (Tick)" },
		{ "simFreq", "The number of ticks per simulated second ((Tick/Second))" },
		{ "simInsts", "Number of instructions simulated (Count)" },
	};
	const uint64_t per_second = 1000000000000, hz = m->config.profile.hz;
	char value[4][40], full[64];

	trace_seconds(machine_now(m), hz, value[0], sizeof value[0]);
	snprintf(value[1], sizeof value[1], "%" PRIu64, trace_units(machine_now(m), hz, per_second));
	snprintf(value[2], sizeof value[2], "%" PRIu64, per_second);
	snprintf(value[3], sizeof value[3], "%" PRIu64, machine_icount(m));
	for (unsigned i = 0; i < 4; i++) {
		snprintf(full, sizeof full, "%s%s", prefix, row[i].name);
		fprintf(f, "%-44s %20s                       # %s\n", full, value[i], row[i].what);
	}
}

static void csv_line(void *arg, const char *name, uint64_t value, const char *unit,
                     const char *sentence)
{
	const struct table *t = arg;

	fprintf(t->f, "%s%s,%" PRIu64 ",%s,\"%s\"\n", t->prefix, name, value, unit, sentence);
}

static void json_line(void *arg, const char *name, uint64_t value, const char *unit,
                      const char *sentence)
{
	const struct table *t = arg;
	char full[128];

	snprintf(full, sizeof full, "%s%s", t->prefix, name);
	json_object(t->j, full);
	json_u64(t->j, "value", value);
	json_text(t->j, "unit", unit);
	json_text(t->j, "what", sentence);
	json_end_object(t->j);
}

static bool ends_in(const char *path, const char *suffix)
{
	size_t n = strlen(path), k = strlen(suffix);

	return n > k && strcmp(path + n - k, suffix) == 0;
}

int result_stats(const struct session *s, const char *path, struct err *e)
{
	FILE *f = outfile_open(path, e);
	bool json = ends_in(path, ".json"), csv = ends_in(path, ".csv");
	struct json j;

	if (!f)
		return -1;
	json_init(&j, f, false);
	if (json)
		json_object(&j, NULL);
	else if (csv)
		fputs("name,value,unit,what\n", f);
	else
		fputs("\n---------- Begin Simulation Statistics ----------\n", f);
	for (size_t i = 0; i < s->n; i++) {
		char prefix[24] = "";
		struct table t = { f, &j, prefix };

		if (s->n > 1)   /* one machine needs no name */
			snprintf(prefix, sizeof prefix, "%s.", s->runs[i]->name);
		if (!json && !csv)
			gem5_lines(f, s->runs[i]->m, prefix);
		result_each(s->runs[i]->m, json ? json_line : csv ? csv_line : text_line, &t);
	}
	if (json)
		json_end_object(&j);
	else if (!csv)
		fputs("\n---------- End Simulation Statistics   ----------\n", f);
	return outfile_close(f, path, e);
}

/* ---- --json ---- */

static void number(void *arg, const char *name, uint64_t value, const char *unit,
                   const char *sentence)
{
	(void)unit;
	(void)sentence;
	if (strncmp(name, "sim.", 4) != 0 && !strstr(name, ".ledger."))
		json_u64(arg, name, value);
}

static void ledger_json(struct json *j, const struct machine *m)
{
	char acct[32];

	json_object(j, "ledger");
	for (unsigned i = 0; i < m->config.cpus; i++) {
		const struct ledger *l = &m->cpu[i]->ledger;
		char cpu[16];

		snprintf(cpu, sizeof cpu, "cpu%u", i);
		json_object(j, cpu);
		for (unsigned a = 0; a < ACCT_N; a++) {
			if (!ledger_by_acct(l, a))
				continue;
			json_object(j, ledger_acct_name(a, acct, sizeof acct));
			for (unsigned w = 0; w < WHY_N; w++)
				if (l->spent[a][w])
					json_u64(j, ledger_why[w].name, l->spent[a][w]);
			json_end_object(j);
		}
		json_end_object(j);
	}
	json_end_object(j);
}

static void run_json(struct json *j, const struct run *r)
{
	const struct machine *m = r->m;
	char hash[20];

	json_object(j, NULL);
	json_text(j, "name", r->name);
	json_text(j, "profile", m->config.profile.name);
	json_u64(j, "ram", m->config.ram);
	json_u64(j, "cpus", m->config.cpus);
	json_text(j, "speed", m->config.fast ? "fast" : "detailed");
	json_u64(j, "seed", m->config.seed);
	if (r->image)
		json_text(j, "image", r->image);
	if (r->started) {
		json_text(j, "stop", stop_name(r->last));
		json_i64(j, "status", run_status(r));
	}
	json_u64(j, "cycles", machine_now(m));
	json_real(j, "seconds", (double)machine_now(m) / (double)m->config.profile.hz);
	json_u64(j, "instructions", machine_icount(m));
	snprintf(hash, sizeof hash, "%016" PRIx64, machine_hash(m));
	json_text(j, "hash", hash);
	if (m->trace.count) {
		snprintf(hash, sizeof hash, "%016" PRIx64, m->trace.hash);
		json_text(j, "trace_hash", hash);
	}
	const struct run *face = run_face(r);
	json_bytes(j, "console", face->console ? face->console : "", face->console_n);
	ledger_json(j, m);
	json_object(j, "stats");
	result_each(m, number, j);
	json_end_object(j);
	json_end_object(j);
}

int result_json(const struct session *s, const char *path, struct err *e)
{
	FILE *f = outfile_open(path, e);
	struct json j;

	if (!f)
		return -1;
	json_init(&j, f, false);
	json_object(&j, NULL);
	json_u64(&j, "format", 1);
	json_array(&j, "machines");
	for (size_t i = 0; i < s->n; i++)
		run_json(&j, s->runs[i]);
	json_end_array(&j);
	json_end_object(&j);
	return outfile_close(f, path, e);
}
