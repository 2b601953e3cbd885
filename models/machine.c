/* machine.c - building the PC out of its parts; see machine.h. How they are joined: wires.c; who runs when: schedule.c. */
#include "models/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/boot/image.h"
#include "models/breakpoint.h"
#include "models/cpu/lapic.h"
#include "models/cpu/vmx/vmx.h"
#include "models/io/board.h"
#include "models/symbols.h"
#include "models/vmm/vmm.h"
#include "models/watch.h"
#include "models/wires.h"

#define QUANTUM    1000
#define TRACE_RING 65536
#define RAM_MIN    (1ull << 20)
#define RAM_MAX    (1ull << 40)

void machine_config_defaults(struct machine_config *c)
{
	memset(c, 0, sizeof *c);
	profile_defaults(&c->profile);
	c->ram = 512ull << 20;
	c->cpus = 1;
	c->quantum = QUANTUM;
	c->trace_ring = TRACE_RING;
	c->rtc_epoch = 1767225600;      /* 2026-01-01 00:00:00 UTC */
	c->test_device = true;
}

/* ---- life ---- */

static int config_check(const struct machine_config *c, struct err *e)
{
	if (c->cpus < 1 || c->cpus > CPUS_MAX)
		return err_set(e, NULL, NULL, "cpus = %u: expected 1..%d", c->cpus, CPUS_MAX);
	if (c->ram < RAM_MIN || c->ram > RAM_MAX || c->ram % PAGE_SIZE)
		return err_set(e, NULL, NULL, "ram = %llu bytes: expected a multiple of 4096 from 1M to 1T", (unsigned long long)c->ram);
	return profile_check(&c->profile, c->profile.name, e);
}

/* What a snapshot file may say of the parts that are used as indices here; chips, TLBs and caches check their own. */
static bool schedule_valid(void *who, const void *state)
{
	const struct machine *m = who;
	struct machine_state s;
	memcpy(&s, state, sizeof s);
	return s.running < m->config.cpus && s.stop <= MACHINE_STOP_USER + 1 && s.reset <= MACHINE_RESET_INIT;
}

static bool cpu_valid(void *who, const void *state)
{
	struct cpu_state s;
	(void)who;
	memcpy(&s, state, sizeof s);
	return !s.r[R_ZERO] && s.cpl <= 3 && s.mode <= MODE_LONG64 && s.activity <= ACTIVITY_WAIT_SIPI && s.shadow <= 3 &&
	       s.in_delivery <= 4 && s.mwait <= MWAIT_MASKED && (!s.mwait || s.activity == ACTIVITY_HLT);
}

static bool ledger_valid(void *who, const void *state)
{
	uint32_t acct;
	(void)who;
	memcpy(&acct, (const char *)state + offsetof(struct ledger, acct), sizeof acct);
	return acct < ACCT_N;
}

static void register_sections(struct machine *m)
{
	static const char *const parts[] = { "state", "ledger", "lapic", "stat", "vmx" };
	char name[40];
	snprintf(name, sizeof name, "%smachine", m->prefix);
	snaps_section(m->snaps, name, 1, &m->s, sizeof m->s);
	snaps_valid(m->snaps, name, schedule_valid, m);
	if (!m->host) {
		snaps_section(m->snaps, "events", 1, &m->evq.s, sizeof m->evq.s);
		snaps_valid(m->snaps, "events", evq_valid, &m->evq);
	}
	for (unsigned i = 0; i < m->config.cpus; i++) {
		struct cpu *c = m->cpu[i];
		const struct { void *p; size_t n; bool (*valid)(void *who, const void *state); } what[] = {
			{ &c->s, sizeof c->s, cpu_valid }, { &c->ledger, sizeof c->ledger, ledger_valid },
			{ &c->lapic->s, sizeof c->lapic->s, NULL }, { c->stat, sizeof c->stat, NULL },
			{ &c->vmx, sizeof c->vmx, vmx_state_valid },
		};
		for (size_t k = 0; k < ARRAY_LEN(what); k++) {
			snprintf(name, sizeof name, "%scpu%u.%s", m->prefix, i, parts[k]);
			snaps_section(m->snaps, name, 1, what[k].p, what[k].n);
			if (what[k].valid)
				snaps_valid(m->snaps, name, what[k].valid, c);
		}
		if (!m->host)
			mmu_sections(&c->mmu, m->snaps);
	}
	if (!m->host)
		caches_sections(m->caches, m->snaps);
}

static void snapshot_taken(void *who)
{
	struct machine *m = who;
	for (unsigned i = 0; i < m->config.cpus; i++)
		mmu_drop_soft(&m->cpu[i]->mmu);
}

/* No CPU at work is behind machine time, unless a file says so: then it idles up to it, or it would run for as long as
 * the file likes before any limit counted. */
static void snapshot_restored(void *who)
{
	struct machine *m = who;
	m->break_asked = false;
	breakpoints_forget(m->breakpoints);
	for (unsigned i = 0; i < m->config.cpus; i++) {
		cpu_restored(m->cpu[i]);
		if (m->cpu[i]->s.activity == ACTIVITY_ACTIVE)
			cpu_idle(m->cpu[i], m->s.now);
	}
	for (unsigned g = 0; g < m->guests; g++)
		for (unsigned i = 0; i < m->guest[g]->config.cpus; i++)
			cpu_restored(m->guest[g]->cpu[i]);
}

/* Memory, and whatever the machine shares with nobody; a virtual machine has a window on its host's. */
static int build_memory(struct machine *m, struct err *e)
{
	const struct machine_config *k = &m->config;
	if (m->host) {
		m->snaps = m->host->snaps;
		if (mem_window(&m->mem, &m->host->mem, m->base, k->ram, e))
			return -1;
	} else {
		trace_init(&m->trace, k->trace_ring);
		trace_rows(&m->trace, TRACE_CPU, cpu_trace_rows, cpu_trace_rows_n);
		trace_rows(&m->trace, TRACE_MMU, mmu_trace_rows, mmu_trace_rows_n);
		trace_rows(&m->trace, TRACE_VMM, vmm_trace_rows, vmm_trace_rows_n);
		m->snaps = snaps_new();
		if (mem_init(&m->mem, k->ram, e))
			return -1;
		m->mem.snaps = m->snaps;
		const struct snap_ram ram = { m->mem.ram, m->mem.ram_size, m->mem.flags };
		snaps_ram(m->snaps, &ram);
	}
	wire_memory(m);
	m->caches = caches_new(&k->profile, k->cpus, e);
	return m->caches ? 0 : -1;
}

static int build_cpu(struct machine *m, unsigned i, struct err *e)
{
	struct machine *top = m->host ? m->host : m;
	const struct apic_wire apic = wire_apic(m);
	char name[24];
	if (!m->host) {
		snprintf(name, sizeof name, "cpu%u", i);
		unsigned component = trace_component(&m->trace, name);
		if (component != i)
			BUG("CPU %u is trace component %u", i, component);
	}
	struct cpu *c = cpu_new(i, &m->mem, &m->config.profile, m->caches, &top->trace, &top->evq, e);
	if (!c)
		return -1;
	m->cpu[i] = c;
	c->seed = m->config.seed;
	c->apic = apic;
	c->lapic = lapic_new(c, &top->evq, &apic);
	c->machine = wire_requests(m);
	if (m->host) {
		wire_attention(m, c->lapic);
	} else {
		c->break_hit = breakpoint_hit;
		c->break_who = m->breakpoints;
	}
	return 0;
}

/* What people see of a CPU, once the board is there. */
static void show_cpu(struct machine *m, unsigned i)
{
	struct machine *top = m->host ? m->host : m;
	struct cpu *c = m->cpu[i];
	char name[40];
	c->port = board_ports(m->board);
	c->pic = board_pic(m->board);
	if (i == 0)
		c->ferr = board_ferr(m->board);
	snprintf(name, sizeof name, "%scpu%u.lapic", m->prefix, i);
	fields_add(&top->fields, name, lapic_fields, lapic_fields_n, c->lapic);
	if (m->host)
		return;
	snprintf(name, sizeof name, "cpu%u", i);
	stats_add(&m->stats, name, cpu_stat_rows, CPU_STAT_N, c->stat);
	stats_add(&m->stats, name, mmu_stat_rows, MMU_STAT_N, c->mmu.stat);
	fields_add(&m->fields, name, cpu_fields, cpu_fields_n, c);
	snprintf(name, sizeof name, "cpu%u.mmu", i);
	fields_add(&m->fields, name, mmu_fields, mmu_fields_n, &c->mmu);
}

static int build(struct machine *m, struct err *e)
{
	const struct machine_config *k = &m->config;
	struct machine *top = m->host ? m->host : m;
	m->breakpoints = xcalloc(1, sizeof *m->breakpoints);
	m->breakpoints->m = m;
	m->watches = xcalloc(1, sizeof *m->watches);
	m->watches->m = m;
	m->symbols = symtab_new();
	if (build_memory(m, e))
		return -1;
	for (unsigned i = 0; i < k->cpus; i++)
		if (build_cpu(m, i, e))
			return -1;
	const struct board_config bc = {
		.profile = &k->profile, .cpus = k->cpus, .ram = k->ram, .low_ram = m->mem.low_size,
		.disk = { k->disk[0], k->disk[1], k->disk[2], k->disk[3] }, .disk_where = k->disk_where,
		.rtc_epoch = k->rtc_epoch, .test_device = k->test_device,
	};
	const struct board_wiring bw = {
		.prefix = m->prefix,
		.mem = &m->mem, .evq = &top->evq, .trace = &top->trace, .stats = &top->stats, .fields = &top->fields,
		.snaps = m->snaps, .apic = wire_apic(m), .intr = wire_pin(m, 0), .nmi = wire_pin(m, 1),
		.machine = wire_requests(m),
	};
	m->components[0] = top->trace.components;
	m->board = board_new(&bc, &bw, e);
	m->components[1] = top->trace.components;
	if (!m->board)
		return -1;
	for (unsigned i = 0; i < k->cpus; i++)
		show_cpu(m, i);
	register_sections(m);
	if (!m->host) {
		m->evq.moved = machine_reschedule;
		m->evq.moved_who = m;
		snaps_hook(m->snaps, snapshot_taken, snapshot_restored, m);
	}
	machine_set_fast(m, k->fast);
	for (unsigned i = 0; i < k->cpus; i++)
		cpu_reset(m->cpu[i], false);
	board_reset(m->board);
	m->s.slice_end = k->quantum;
	return 0;
}

static struct machine *build_new(const struct machine_config *config, struct machine *host, hpa_t base, struct err *e)
{
	if (config_check(config, e))
		return NULL;
	struct machine *m = xcalloc(1, sizeof *m);
	m->config = *config;
	if (!m->config.quantum)
		m->config.quantum = QUANTUM;
	if (!m->config.trace_ring)
		m->config.trace_ring = TRACE_RING;
	if (host) {
		m->host = host;
		m->base = base;
		m->number = host->guests + 1;
		snprintf(m->prefix, sizeof m->prefix, "vm%u.", m->number);
	}
	if (build(m, e)) {
		machine_free(m);
		return NULL;
	}
	return m;
}

struct machine *machine_new(const struct machine_config *config, struct err *e)
{
	return build_new(config, NULL, HPA(0), e);
}

struct machine *machine_vm(struct machine *host, const struct machine_config *config, const struct vm_config *vm, struct err *e)
{
	hpa_t base;
	if (host->guests == MACHINE_VMS_MAX) {
		err_set(e, NULL, NULL, "a machine has at most %d virtual machines", MACHINE_VMS_MAX);
		return NULL;
	}
	if (!host->vmm) {
		const struct vmm_parts parts = {
			.mem = &host->mem, .cpu = host->cpu, .cpus = host->config.cpus, .evq = &host->evq, .trace = &host->trace,
			.stats = &host->stats, .snaps = host->snaps, .profile = &host->config.profile,
		};
		host->vmm = vmm_new(&parts, e);
		if (!host->vmm)
			return NULL;
	}
	if (vmm_place(host->vmm, config->ram, vm->page_shift, &base, e))
		return NULL;
	struct machine_config found = *config;
	if (!vm->nested)        /* a virtual CPU is an ordinary one, unless a VMM is to run on it */
		found.profile.trap_critical = found.profile.trap_umip = 0;
	struct machine *m = build_new(&found, host, base, e);
	if (!m)
		return NULL;
	const struct vm_parts parts = { .mem = &m->mem, .base = base, .board = m->board, .cpu = m->cpu, .stop = &m->s.stop };
	struct vm_config k = *vm;       /* what both say is said once, by what the guest finds */
	k.ram = config->ram;
	k.vcpus = config->cpus;
	if (!vmm_vm(host->vmm, &k, &parts, e)) {
		machine_free(m);
		return NULL;
	}
	m->vmm = host->vmm;
	host->guest[host->guests++] = m;
	return m;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	if (!m->host)
		vmm_free(m->vmm);
	for (unsigned i = 0; i < m->guests; i++)
		machine_free(m->guest[i]);
	board_free(m->board);
	for (unsigned i = 0; i < m->config.cpus; i++) {
		if (!m->cpu[i])
			continue;
		lapic_free(m->cpu[i]->lapic);
		cpu_free(m->cpu[i]);
	}
	caches_free(m->caches);
	if (!m->host)
		snaps_free(m->snaps);
	mem_fini(&m->mem);
	symtab_free(m->symbols);
	boot_image_forget(m);
	free(m->breakpoints);
	free(m->watches);
	stats_fini(&m->stats);
	fields_fini(&m->fields);
	trace_fini(&m->trace);
	free(m);
}

void machine_set_fast(struct machine *m, bool fast)
{
	m->config.fast = fast;
	for (unsigned i = 0; i < m->config.cpus; i++)
		mmu_set_detailed(&m->cpu[i]->mmu, !fast);
}

/* ---- stops ---- */

void machine_break(struct machine *m)
{
	if (!m->in_run)
		return;
	m->break_asked = true;
	machine_reschedule(m);
}

void machine_stops_changed(struct machine *m, bool quiet)
{
	m->breakpoints->quiet = m->watches->quiet = quiet;
	m->mem.watching = m->watches->physical != 0;
	for (unsigned i = 0; i < m->guests; i++)
		m->guest[i]->mem.watching = m->mem.watching;
	for (unsigned i = 0; i < m->config.cpus; i++) {
		struct cpu *c = m->cpu[i];
		c->breakpoints = !quiet && (m->breakpoints->n || m->breakpoints->insn);
		c->mmu.watches_page = m->watches->linear ? watch_page : NULL;
		c->mmu.watch_seen = m->watches->linear && !quiet ? watch_linear : NULL;
		c->mmu.watch_walk = c->mmu.watch_seen ? watch_walk : NULL;
		c->mmu.watch_who = m->watches;
	}
}

void machine_look_at(struct machine *m, cycle_t from)
{
	for (unsigned i = 0; i < m->config.cpus; i++)
		m->cpu[i]->look_at = from;
}

unsigned machine_vm_on(const struct machine *m, const struct cpu *c)
{
	uint32_t n = m->vmm ? m->vmm->s.current[c->number] : 0;
	return n && !cpu_root_modelled(c) ? m->vmm->vcpu[n - 1]->vm->number : 0;
}

uint64_t machine_linear(const struct machine *m, const struct cpu *c, uint64_t lin, bool *begins)
{
	*begins = true;
	return machine_vm_on(m, c) ? vmm_linear(m->vmm, c, lin, begins) : lin;
}

/* ---- faces of the board ---- */

void machine_on_console(struct machine *m, console_fn *fn, void *who) { board_on_console(m->board, fn, who); }
void machine_serial_input(struct machine *m, const uint8_t *bytes, size_t n) { board_serial_input(m->board, bytes, n); }
void machine_key_input(struct machine *m, const uint8_t *codes, size_t n) { board_key_input(m->board, codes, n); }
void machine_screen_text(const struct machine *m, char lines[25][80 * 4 + 1]) { board_screen_text(m->board, lines); }
uint64_t machine_hash(const struct machine *m) { return snaps_hash(m->snaps); }
