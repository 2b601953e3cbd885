/* kinds.c - every table of vmscope as a list of items. State, statistics and events come from a
 * machine that is built for the purpose, so that a new device's names appear by themselves. */
#include "ui/cli/item.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/cpuid.h"
#include "models/cpu/insn.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "models/io/board.h"
#include "models/machine.h"
#include "models/vmm/nested/nested.h"
#include "models/vmm/pv/hypercall.h"
#include "ui/cli/args.h"
#include "ui/cli/technique.h"
#include "ui/compare/compare.h"
#include "ui/lua/profile_rows.h"
#include "ui/session/paths.h"
#include "ui/session/stops.h"

/* ---- the program itself ---- */

static void each_kind(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < kinds_n; i++)
		fn(arg, &(struct item){ kinds[i].name, NULL, "", kinds[i].sentence, NULL });
}

static void each_command(item_fn *fn, void *arg)
{
	for (unsigned i = 0; i < CMD_N; i++)
		fn(arg, &(struct item){ command_rows[i].name, NULL, command_rows[i].operands,
		                        command_rows[i].sentence, NULL });
}

static void each_flag(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < flag_rows_n; i++) {
		const struct flag_row *r = &flag_rows[i];

		fn(arg, &(struct item){ r->name, r->name + 2, r->argument ? r->argument : "",
		                        r->sentence, NULL });
	}
}

static void each_technique(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < technique_rows_n; i++) {
		const struct technique_row *r = &technique_rows[i];
		char detail[64];

		snprintf(detail, sizeof detail, "mmu: %s", r->mmus);
		fn(arg, &(struct item){ r->cpu, NULL, detail, r->what, r->why });
	}
}

/* ---- configuration ---- */

struct folder { item_fn *fn; void *arg; };

static void guest_item(void *arg, const char *name)
{
	static const struct { const char *name, *sentence; } row[] = {
#define GUEST(name, sentence) { name, sentence },
#include "ui/cli/guest.def"
	};
	const struct folder *f = arg;
	const char *sentence = "a guest image";

	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		if (strcmp(row[i].name, name) == 0)
			sentence = row[i].sentence;
	f->fn(f->arg, &(struct item){ name, NULL, "", sentence, "guest \"NAME\" in Lua; its name, or build/guests/NAME.elf or .bin, on the command line" });
}

/* A profile or scenario says in its first line what it is; false: in no comment. */
static bool first_line(const char *path, char *line, int n)
{
	char text[200];
	FILE *in = fopen(path, "r");
	bool told = in && fgets(text, sizeof text, in) && strncmp(text, "-- ", 3) == 0;
	if (in)
		fclose(in);
	if (told)
		snprintf(line, (size_t)n, "%.*s", (int)strcspn(text + 3, "\n"), text + 3);
	return told;
}

static void profile_item(void *arg, const char *name)
{
	const struct folder *f = arg;
	char path[4400], line[200] = "CPU profile";
	snprintf(path, sizeof path, "%s/scenarios/cpus/%s.lua", paths_root(), name);
	first_line(path, line, sizeof line);
	f->fn(f->arg, &(struct item){ name, NULL, "", line, NULL });
}

static void scenario_item(void *arg, const char *name)
{
	const struct folder *f = arg;
	char path[4400], line[200], own[200];
	snprintf(path, sizeof path, "%s/scenarios/%s.lua", paths_root(), name);
	if (!first_line(path, line, sizeof line))
		return;                 /* vmscope.lua, for editors */
	snprintf(own, sizeof own, "%.100s.lua - ", name);
	f->fn(f->arg, &(struct item){ name, NULL, "", line + (strncmp(line, own, strlen(own)) == 0 ? strlen(own) : 0),
	                              "vmscope run NAME, or scenarios/NAME.lua; its first lines say what --set may change" });
}

static void each_scenario(item_fn *fn, void *arg)
{
	char dir[4200];

	snprintf(dir, sizeof dir, "%s/scenarios", paths_root());
	paths_each(dir, ".lua", scenario_item, &(struct folder){ fn, arg });
}

static void each_profile(item_fn *fn, void *arg)
{
	char dir[4200];

	snprintf(dir, sizeof dir, "%s/scenarios/cpus", paths_root());
	paths_each(dir, ".lua", profile_item, &(struct folder){ fn, arg });
}

static void each_guest(item_fn *fn, void *arg)
{
	char dir[4200];

	snprintf(dir, sizeof dir, "%s/build/guests", paths_root());
	paths_each(dir, ".elf", guest_item, &(struct folder){ fn, arg });
	paths_each(dir, ".bin", guest_item, &(struct folder){ fn, arg });
}

static void each_monitor(item_fn *fn, void *arg)
{
#define MONITOR(name, operands, run, sentence) fn(arg, &(struct item){ name, NULL, operands, sentence, NULL });
#include "ui/gdb/monitor.def"
}

static void each_metric(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < METRICS; i++)
		fn(arg, &(struct item){ metric_rows[i].key, NULL, metric_rows[i].patterns, metric_rows[i].sentence, NULL });
}

static void each_share(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < SHARES; i++)
		fn(arg, &(struct item){ share_rows[i].key, NULL, "", share_rows[i].sentence, NULL });
}

static void each_standard(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < standard_rows_n; i++)
		fn(arg, &(struct item){ standard_rows[i].name, NULL, standard_rows[i].parameters, standard_rows[i].sentence, NULL });
}

static void each_config(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < config_rows_n; i++) {
		const struct config_row *r = &config_rows[i];
		char who[80], text[400];

		snprintf(text, sizeof text, "%s%s%s", setup_users(r->key, who, sizeof who), *r->who ? ": " : "", r->sentence);
		fn(arg, &(struct item){ r->key, NULL, r->value, text, NULL });
	}
}

/* Where the profiles stand on one row, for explain. */
struct standing { const char *key; char text[4096]; const char *profile; };

static int stand(void *arg, const char *key, uint64_t value, const char *source, const char *where,
                 struct err *e)
{
	struct standing *s = arg;
	size_t at = strlen(s->text);

	(void)where;
	(void)e;
	if (strcmp(key, s->key) == 0)
		snprintf(s->text + at, sizeof s->text - at, "%s%s = %" PRIu64 "  (%s)",
		         at ? "\n" : "", s->profile, value, source);
	return 0;
}

static void stand_profile(void *arg, const char *name)
{
	struct err e = { "" };

	((struct standing *)arg)->profile = name;
	profile_each(name, NULL, stand, arg, &e);
}

void row_standings(const char *key, char *buf, size_t n);
void row_standings(const char *key, char *buf, size_t n)
{
	struct standing s = { .key = key };
	char dir[4200];

	snprintf(dir, sizeof dir, "%s/scenarios/cpus", paths_root());
	paths_each(dir, ".lua", stand_profile, &s);
	snprintf(buf, n, "%s", s.text);
}

static void rows(item_fn *fn, void *arg, bool costs)
{
	for (size_t i = 0; i < profile_rows_n; i++) {
		const struct profile_row *r = &profile_rows[i];
		const char *unit = r->unit == UNIT_BOOL ? "" : profile_unit_name(r->unit);
		char detail[96];

		if ((strncmp(r->key, "cost.", 5) == 0) != costs)
			continue;
		snprintf(detail, sizeof detail, "%" PRIu64 "..%" PRIu64 "%s%s, default %" PRIu64,
		         r->min, r->max, unit[0] ? " " : "",
		         unit, r->dflt);
		fn(arg, &(struct item){ r->key, costs ? r->key + 5 : NULL, detail, r->sentence,
		                        NULL });
	}
}

static void each_row(item_fn *fn, void *arg) { rows(fn, arg, false); }
static void each_cost(item_fn *fn, void *arg) { rows(fn, arg, true); }

/* ---- the CPU's tables ---- */

static void each_insn(item_fn *fn, void *arg)
{
	static const char *const sensitivity[] = {
		[INSN_INNOCUOUS] = "innocuous", [INSN_PRIVILEGED] = "privileged", [INSN_SENSITIVE] = "sensitive",
	};
	static const char *const meaning[] = {
		[INSN_INNOCUOUS] = "neither reads nor changes privileged state",
		[INSN_PRIVILEGED] = "faults outside ring 0, or outside IOPL: trap-and-emulate sees it",
		[INSN_SENSITIVE] = "reads or changes privileged state without faulting: critical in Popek and Goldberg's sense",
	};
	static const char *const cost[COST_N] = {
#define COST(NAME, key, dflt, sentence) [COST_##NAME] = "cost." key,
#include "models/cpu/cost.def"
	};

	for (unsigned i = INSN_INVALID + 1; i < INSN_N; i++) {
		const struct insn_row *r = &insn_rows[i];
		char detail[64];

		snprintf(detail, sizeof detail, "%s, %s", sensitivity[r->sensitivity],
		         cost[r->cost]);
		fn(arg, &(struct item){ insn_name((enum insn)i), NULL, detail,
		                        meaning[r->sensitivity], NULL });
	}
}

static void each_msr(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < msr_list_n; i++) {
		const struct msr_row *r = &msr_list[i];
		char number[40];

		if (r->count > 1)
			snprintf(number, sizeof number, "%XH-%XH", r->nr, r->nr + r->count - 1);
		else
			snprintf(number, sizeof number, "%XH", r->nr);
		fn(arg, &(struct item){ r->name, number, number, r->sentence, NULL });
	}
}

static void each_feature(item_fn *fn, void *arg)
{
	static const char *const reg[] = { "EAX", "EBX", "ECX", "EDX" };

	for (unsigned i = 0; i < FEATURE_N; i++) {
		const struct feature_row *r = &feature_rows[i];
		char detail[80];

		snprintf(detail, sizeof detail, "%XH.%u %s[%u]%s", r->leaf, r->sub, reg[r->reg],
		         r->bit,
		         r->modelled ? "" : ", not modelled: never advertised, #UD");
		fn(arg, &(struct item){ r->name, NULL, detail, r->sentence, NULL });
	}
}

static void each_check(item_fn *fn, void *arg)
{
	static const char *const area[] = {
		[VMX_AREA_CONTROL] = "error 7", [VMX_AREA_HOST] = "error 8", [VMX_AREA_GUEST] = "exit 33", [VMX_AREA_MSR] = "exit 34",
	};

	for (unsigned i = 0; i < VMX_CHECKS; i++) {
		const struct vmx_check_row *r = &vmx_check_rows[i];
		char detail[64], more[600];

		snprintf(detail, sizeof detail, "%u, %s, %s", i, area[r->area], vmcs_rows[r->field].name);
		snprintf(more, sizeof more, "checked when: %s\n    hint: %s\n    SDM Vol. 3C, \"%s\"", vmx_check_when((enum vmx_check)i),
		         r->hint, r->title);
		fn(arg, &(struct item){ r->name, NULL, detail, r->expected, more });
	}
}

static void each_exception(item_fn *fn, void *arg)
{
	static const struct { unsigned vector; const char *name, *title,
	                      *class; int error; const char *sentence; } row[] = {
#define EXCEPTION(vector, name, title, class, error, sentence) { vector, name, title, class, error, sentence },
#include "ui/cli/exceptions.def"
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		char detail[80];

		snprintf(detail, sizeof detail, "vector %u, %s, %s%s", row[i].vector, row[i].title,
		         row[i].class,
		         row[i].error ? ", error code" : "");
		fn(arg, &(struct item){ row[i].name, row[i].name[0] == '#' ? row[i].name + 1 : NULL,
		                        detail, row[i].sentence,
		                        "SDM Vol. 3A, \"Exception and Interrupt Reference\"" });
	}
}

/* The profile row a flow's cycles come from. */
static const char *flow_key(unsigned flow)
{
	static const size_t off[FLOW_N] = {
#define FLOW(NAME, name, row, why, sentence) [FLOW_##NAME] = offsetof(struct profile, row),
#define PHASE(FLOW, NAME, name, share, sentence)
#include "models/cpu/flow.def"
	};

	for (size_t i = 0; i < profile_rows_n; i++)
		if (profile_rows[i].off == off[flow])
			return profile_rows[i].key;
	return "?";
}

static void each_flow(item_fn *fn, void *arg)
{
	for (unsigned i = 0; i < FLOW_N; i++) {
		char number[16], more[120];

		snprintf(number, sizeof number, "%u", i);
		snprintf(more, sizeof more, "its cycles: profile row %s (vmscope explain %s says each profile's source)", flow_key(i), flow_key(i));
		fn(arg, &(struct item){ flow_rows[i].name, NULL, number, flow_rows[i].sentence, more });
	}
}

static void each_phase(item_fn *fn, void *arg)
{
	static const uint8_t flow[PHASE_N] = {
#define FLOW(NAME, name, cycles, why, sentence)
#define PHASE(FLOW, NAME, name, share, sentence) [PHASE_##FLOW##_##NAME] = FLOW_##FLOW,
#include "models/cpu/flow.def"
	};

	static const uint8_t share[PHASE_N] = {
#define FLOW(NAME, name, cycles, why, sentence)
#define PHASE(FLOW, NAME, name, share, sentence) [PHASE_##FLOW##_##NAME] = share,
#include "models/cpu/flow.def"
	};

	for (unsigned i = 0; i < PHASE_N; i++) {
		char name[64], number[16], more[160];

		snprintf(name, sizeof name, "%s: %s", flow_rows[flow[i]].name, phase_rows[i].name);
		snprintf(number, sizeof number, "%u", i);
		snprintf(more, sizeof more, "its cycles: %u hundredths of profile row %s (vmscope explain %s says each profile's source), and its references",
		         share[i], flow_key(flow[i]), flow_key(flow[i]));
		fn(arg, &(struct item){ name, phase_rows[i].name, number, phase_rows[i].sentence, more });
	}
}

static void each_workload(item_fn *fn, void *arg)
{
	static const struct { const char *name; uint64_t n; const char *sentence; } row[] = {
#define WORKLOAD(name, where, takes, n, size, hz, sentence) { #name, n, sentence },
#include "scenarios/guests/lib/workload.def"
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		char detail[40], list[120], more[160];

		snprintf(detail, sizeof detail, "n=%" PRIu64, row[i].n);
		workload_parameters(row[i].name, list, sizeof list);
		snprintf(more, sizeof more, "parameters: %s", list);
		fn(arg, &(struct item){ row[i].name, NULL, detail, row[i].sentence, more });
	}
}

static void each_stop(item_fn *fn, void *arg)
{
	static const struct { enum machine_stop why; const char *sentence; } row[] = {
		{ MACHINE_STOP_CYCLES, "the cycle limit was reached" },
		{ MACHINE_STOP_ICOUNT, "the instruction limit was reached" },
		{ MACHINE_STOP_GUEST_EXIT, "the guest wrote to port 0xf4 or switched the power off" },
		{ MACHINE_STOP_SHUTDOWN, "a triple fault" },
		{ MACHINE_STOP_RESET, "the guest asked for a reset; there is no firmware to start over from" },
		{ MACHINE_STOP_IDLE, "every CPU is halted and nothing can wake one" },
		{ MACHINE_STOP_BREAK, "a breakpoint or another stop: list stop-kinds" },
		{ MACHINE_STOP_USER, "Ctrl-C, or the input script's @exit" },
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		fn(arg, &(struct item){ stop_name(row[i].why), NULL, "", row[i].sentence, NULL });
}

static void each_stop_kind(item_fn *fn, void *arg)
{
	for (unsigned i = 0; i < STOP_KINDS; i++) {
		const struct stop_kind_row *r = &stop_kind_rows[i];
		fn(arg, &(struct item){ r->name, NULL, r->operands, r->sentence, r->more });
	}
}

static void each_why(item_fn *fn, void *arg)
{
	for (unsigned w = 0; w < WHY_N; w++)
		fn(arg, &(struct item){ ledger_why[w].name, NULL, "", ledger_why[w].sentence,
		                        NULL });
}

static void each_account(item_fn *fn, void *arg)
{
	static const struct { unsigned acct; const char *sentence; } row[] = {
		{ ACCT_IDLE, "halted" }, { ACCT_VMM, "modelled or simulated root-side software" },
		{ ACCT_HARDWARE, "world switches: VM exits and entries" },
		{ ACCT_GUEST, "software of VM 0 outside ring 3; VM 0 is the bare machine's own" },
		{ ACCT_GUEST + 1, "software of VM 0 in ring 3" },
	};
	char name[32];

	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		fn(arg, &(struct item){ ledger_acct_name(row[i].acct, name, sizeof name), NULL, "",
		                        row[i].sentence, NULL });
}

/* ---- what a machine has ---- */

static struct machine *sample(void)
{
	struct machine_config c;
	struct err e = { "" };
	struct machine *m;

	machine_config_defaults(&c);
	c.ram = 4 << 20;
	m = machine_new(&c, &e);
	if (!m)
		BUG("no sample machine: %s", e.text);
	return m;
}

struct visit { item_fn *fn; void *arg; };

static void stat_item(void *arg, const char *name, const struct stat_row *row, uint64_t value)
{
	static const char *const unit[STAT_UNIT_N] = { "count", "cycles", "bytes" };
	const struct visit *v = arg;

	(void)value;
	v->fn(v->arg, &(struct item){ name, row->name, unit[row->unit], row->sentence, NULL });
}

static void each_stat(item_fn *fn, void *arg)
{
	struct machine *m = sample();

	stats_each(&m->stats, stat_item, &(struct visit){ fn, arg });
	machine_free(m);
	for (unsigned i = 0; i < VMM_STAT_N; i++) {     /* of a VM, which the sample has none of */
		char name[64];

		snprintf(name, sizeof name, "vm1.%s", vmm_stat_rows[i].name);
		stat_item(&(struct visit){ fn, arg }, name, &vmm_stat_rows[i], 0);
	}
	for (unsigned i = 0; i < PV_CALLS; i++) {
		char name[64];

		snprintf(name, sizeof name, "vm1.%s", hypercall_stat_rows[i].name);
		stat_item(&(struct visit){ fn, arg }, name, &hypercall_stat_rows[i], 0);
	}
	for (unsigned i = 0; i < NESTED_STAT_N; i++) {
		char name[64];

		snprintf(name, sizeof name, "vm1.vcpu0.%s", nested_stat_rows[i].name);
		stat_item(&(struct visit){ fn, arg }, name, &nested_stat_rows[i], 0);
	}
}

static void each_event(item_fn *fn, void *arg)
{
	struct machine *m = sample();

	for (unsigned i = 0; i < TRACE_EVENTS; i++)
		if (m->trace.rows[i].name)
			fn(arg, &(struct item){ m->trace.rows[i].name, NULL, m->trace.rows[i].args,
			                        m->trace.rows[i].sentence, NULL });
	machine_free(m);
}

static void each_field(item_fn *fn, void *arg)
{
	struct machine *m = sample();

	for (size_t g = 0; g < m->fields.n; g++)
		for (size_t i = 0; i < m->fields.groups[g].n; i++) {
			const struct field_row *r = &m->fields.groups[g].rows[i];
			char name[80], detail[32];

			snprintf(name, sizeof name, "%s.%s", m->fields.groups[g].prefix, r->name);
			snprintf(detail, sizeof detail, "%u bits%s", r->size ? r->size * 8u : 64,
			         r->get && !r->set ? ", read-only" : "");
			fn(arg, &(struct item){ name, r->name, detail, r->what, NULL });
		}
	machine_free(m);
}

static void each_bit(item_fn *fn, void *arg)
{
	struct machine *m = sample();

	for (size_t g = 0; g < m->fields.n; g++)
		for (size_t i = 0; i < m->fields.groups[g].n; i++) {
			const struct field_row *r = &m->fields.groups[g].rows[i];
			const char *prefix = m->fields.groups[g].prefix;
			bool cpu = strcmp(prefix, "cpu0") == 0;

			for (const struct field_bits *b = r->bits; b && b->name; b++) {
				char name[96], detail[32];

				snprintf(name, sizeof name, "%s%s%s.%s", cpu ? "" : prefix,
				         cpu ? "" : ".", r->name, b->name);
				if (b->hi == b->lo)
					snprintf(detail, sizeof detail, "bit %u", b->lo);
				else
					snprintf(detail, sizeof detail, "bits %u:%u", b->hi, b->lo);
				fn(arg, &(struct item){ name, NULL, detail,
				                        b->what ? b->what : r->what, NULL });
			}
		}
	machine_free(m);
}

static size_t fields_of(const struct machine *m, const char *prefix)
{
	for (size_t g = 0; g < m->fields.n; g++)
		if (strcmp(m->fields.groups[g].prefix, prefix) == 0)
			return m->fields.groups[g].n;
	return 0;
}

static void each_device(item_fn *fn, void *arg)
{
	struct machine *m = sample();
	char detail[32];

	for (size_t i = 0; i < device_list_n; i++) {
		snprintf(detail, sizeof detail, "%zu fields", fields_of(m, device_list[i].name));
		fn(arg, &(struct item){ device_list[i].name, NULL, detail, device_list[i].summary,
		                        NULL });
	}
	snprintf(detail, sizeof detail, "%zu fields", fields_of(m, "cpu0"));
	fn(arg, &(struct item){ "cpu0", NULL, detail, "the first CPU; others are cpu1, ...",
	                        NULL });
	snprintf(detail, sizeof detail, "%zu fields", fields_of(m, "cpu0.lapic"));
	fn(arg, &(struct item){ "cpu0.lapic", "lapic", detail, "its local APIC", NULL });
	machine_free(m);
}

static void each_lua(item_fn *fn, void *arg) { api_each(fn, arg); }

const struct kind kinds[] = {
#define KIND(name, each, one, sentence) { name, each, one, sentence },
#include "ui/cli/kinds.def"
};
const size_t kinds_n = ARRAY_LEN(kinds);
