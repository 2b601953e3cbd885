/* machine.c - building the PC out of its parts, and the interleaving of its CPUs; see machine.h.
 *
 * The schedule, all of it state:
 *   1. events due at or before the least clock of the active CPUs run first;
 *   2. the running CPU keeps its turn until its clock reaches slice_end or the next event;
 *   3. then the active CPU with the least clock gets a turn of `quantum` cycles (alone: until the next event).
 * Halted CPUs' clocks stand still; a CPU that wakes first idles up to machine time. */
#include "models/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/boot/firmware.h"
#include "models/boot/image.h"
#include "models/breakpoint.h"
#include "models/cpu/lapic.h"
#include "models/cpu/vmx/vmx.h"
#include "models/io/board.h"
#include "models/symbols.h"
#include "models/vmm/vmm.h"
#include "models/watch.h"

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

/* ---- wires ---- */

/* The running CPU must come back to the scheduler after the present instruction. */
static void reschedule(void *who)
{
	struct machine *m = who;
	if (m->host)
		m = m->host;
	struct cpu *c = m->cpu[m->s.running];
	if (c) {
		c->stop_request = 1;
		c->deadline = 0;
	}
}

/* A message or a pin may have given a halted CPU a reason to wake: its time begins now, not at the end of a turn. */
static void look_for_sleepers(struct machine *m)
{
	if (m->host) {
		for (unsigned i = 0; i < m->config.cpus; i++)
			if (m->vmm)
				vmm_attention(m->vmm, m->cpu[i]);
		return;
	}
	for (unsigned i = 0; i < m->config.cpus; i++)
		if (m->cpu[i]->s.activity != ACTIVITY_ACTIVE && cpu_can_wake(m->cpu[i]))
			reschedule(m);
}

static bool apic_send(void *who, const struct apic_msg *msg)
{
	struct machine *m = who;
	struct lapic *lowest = NULL;
	bool taken = false;
	for (unsigned i = 0; i < m->config.cpus; i++) {
		struct lapic *l = m->cpu[i]->lapic;
		if (!lapic_matches(l, msg))
			continue;
		if (msg->delivery != APIC_LOWEST)
			taken |= lapic_accept(l, msg);
		else if (!lowest || lapic_priority(l) < lapic_priority(lowest))
			lowest = l;
	}
	if (lowest)
		taken = lapic_accept(lowest, msg);
	if (taken)
		look_for_sleepers(m);
	return taken;
}

static void apic_eoi(void *who, uint8_t vector)
{
	struct machine *m = who;
	board_eoi(m->board, vector);
}

static void intr_changed(void *who, unsigned pin, bool level)
{
	struct machine *m = who;
	const cycle_t clock = m->cpu[m->s.running]->ledger.now, now = clock > m->s.now ? clock : m->s.now;
	for (unsigned i = 0; i < m->config.cpus; i++) {
		lapic_lint(m->cpu[i]->lapic, pin, level);
		if (!m->host)
			trace(&m->trace, now, i, CPU_TRACE_LINT, pin, level, 0, 0);
	}
	if (level)
		look_for_sleepers(m);
}

/* Where a byte of a virtual machine's RAM is in its host's. */
static hpa_t in_host(const struct machine *m, hpa_t pa)
{
	return HPA(m->base.v + (uint64_t)mem_offset(&m->mem, pa));
}

/* A page without decoded code left on any CPU is ordinary again. */
static void code_written(void *who, hpa_t pa, unsigned len)
{
	struct machine *m = who;
	if (m->host) {
		code_written(m->host, in_host(m, pa), len);
		return;
	}
	for (unsigned i = 0; i < m->config.cpus; i++)
		cpu_code_written(m->cpu[i], pa, len);
	for (unsigned i = 0; i < m->config.cpus; i++)
		if (cpu_has_code(m->cpu[i], pa))
			return;
	uint8_t *flags = mem_flags(&m->mem, pa);
	if (flags)
		*flags &= (uint8_t)~PAGE_CODE;
}

/* A store to a line that MONITOR watches; a page without such a line left is ordinary again. */
static void monitored(void *who, hpa_t pa, unsigned len)
{
	struct machine *m = who;
	bool watched = false;
	if (m->host) {
		monitored(m->host, in_host(m, pa), len);
		return;
	}
	for (unsigned i = 0; i < m->config.cpus; i++) {
		if (cpu_monitor_written(m->cpu[i], pa, len))
			reschedule(m);
		watched |= (m->cpu[i]->s.monitor_pa & PAGE_MASK) == (pa.v & PAGE_MASK);
	}
	uint8_t *flags = mem_flags(&m->mem, pa);
	if (flags && !watched)
		*flags &= (uint8_t)~PAGE_MONITOR;
}

static void drop_writable(void *who, hpa_t page)
{
	struct machine *m = who;
	if (m->host) {
		drop_writable(m->host, in_host(m, page));
		return;
	}
	for (unsigned i = 0; i < m->config.cpus; i++)
		mmu_drop_writable(&m->cpu[i]->mmu, page);
}

static void watched(void *who, hpa_t pa, unsigned len, bool write, enum mem_by by)
{
	struct machine *m = who;
	if (m->host)
		watched(m->host, in_host(m, pa), len, write, by);
	else
		watch_physical(m->watches, pa, len, write, by);
}

/* Each CPU sees its own local APIC at IA32_APIC_BASE; everything else outside RAM is the board's. */
static uint64_t mmio_read(void *who, uint64_t addr, unsigned size, struct io_at *at)
{
	struct machine *m = who;
	if (at->cpu < m->config.cpus && lapic_owns(m->cpu[at->cpu]->lapic, addr)) {
		at->cost = m->config.profile.apic_latency;
		unsigned off = addr & 0xfff, shift = (off & 3) * 8;
		return size == 4 && !shift ? lapic_mmio_read(m->cpu[at->cpu]->lapic, off)
		                           : lapic_mmio_read(m->cpu[at->cpu]->lapic, off & ~3u) >> shift & MASK(size * 8);
	}
	struct io_wire board = board_mmio(m->board);
	return board.read(board.who, addr, size, at);
}

static void mmio_write(void *who, uint64_t addr, unsigned size, uint64_t val, struct io_at *at)
{
	struct machine *m = who;
	if (at->cpu < m->config.cpus && lapic_owns(m->cpu[at->cpu]->lapic, addr)) {
		at->cost = m->config.profile.apic_latency;
		if (size == 4)
			lapic_mmio_write(m->cpu[at->cpu]->lapic, addr & 0xfff, (uint32_t)val);
		return;
	}
	struct io_wire board = board_mmio(m->board);
	board.write(board.who, addr, size, val, at);
}

static void request(void *who, enum machine_request what, uint32_t value)
{
	struct machine *m = who;
	if (what == MACHINE_RESET) {
		m->s.stop = MACHINE_STOP_RESET + 1;
		m->s.reset = value;
	} else if (what == MACHINE_SHUTDOWN) {
		m->s.stop = MACHINE_STOP_SHUTDOWN + 1;
	} else if (what == MACHINE_SUSPEND) {
		for (unsigned i = 0; i < m->config.cpus; i++)
			m->cpu[i]->s.activity = ACTIVITY_WAIT_SIPI, m->cpu[i]->s.mwait = 0;
	} else {
		m->s.stop = MACHINE_STOP_GUEST_EXIT + 1;
		m->s.exit_status = value;
	}
	reschedule(m);
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
	m->mem.mmio = (struct io_wire){ mmio_read, mmio_write, m };
	m->mem.code_written = code_written;
	m->mem.monitored = monitored;
	m->mem.drop_writable = drop_writable;
	m->mem.watched = watched;
	m->mem.watching = m->host && m->host->mem.watching;
	m->mem.who = m;
	m->caches = caches_new(&k->profile, k->cpus, e);
	return m->caches ? 0 : -1;
}

/* A virtual CPU's local APIC has something: the VMM is to know. */
static void virtual_attention(void *who, struct cpu *c)
{
	struct machine *m = who;
	if (m->vmm)
		vmm_attention(m->vmm, c);
}

static int build_cpu(struct machine *m, unsigned i, struct err *e)
{
	struct machine *top = m->host ? m->host : m;
	const struct apic_wire apic = { apic_send, apic_eoi, m };
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
	c->machine = (struct machine_wire){ request, m };
	if (m->host) {
		c->lapic->attention = virtual_attention;
		c->lapic->who = m;
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
		.snaps = m->snaps, .apic = { apic_send, apic_eoi, m }, .intr = { intr_changed, m, 0 },
		.nmi = { intr_changed, m, 1 }, .machine = { request, m },
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
		m->evq.moved = reschedule;
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

/* ---- the schedule ---- */

static bool active(const struct cpu *c)
{
	return c->s.activity == ACTIVITY_ACTIVE;
}

/* When something happens without a CPU's doing: the event queue, and the preemption timers of halted guests. */
static cycle_t next_event(const struct machine *m)
{
	cycle_t next = evq_next(&m->evq);
	for (unsigned i = 0; i < m->config.cpus; i++) {
		const struct cpu *c = m->cpu[i];
		if (!active(c) && vmx_next_cycle(c) < next)
			next = vmx_next_cycle(c);
	}
	return next;
}

/* Halted CPUs with something to wake for join at machine time; a newcomer ends an unlimited turn. */
static void wake(struct machine *m)
{
	for (unsigned i = 0; i < m->config.cpus; i++) {
		struct cpu *c = m->cpu[i];
		if (active(c) || !(cpu_can_wake(c) || vmx_next_cycle(c) <= m->s.now))
			continue;
		cpu_idle(c, m->s.now);
		cpu_service(c);
		if (i != m->s.running && m->s.slice_end > m->s.now + m->config.quantum)
			m->s.slice_end = m->s.now + m->config.quantum;
	}
}

/* Whose turn it is: NULL when every CPU is halted. */
static struct cpu *turn(struct machine *m)
{
	struct cpu *c = m->cpu[m->s.running], *least = NULL;
	unsigned n = 0;
	for (unsigned i = 0; i < m->config.cpus; i++) {
		if (!active(m->cpu[i]))
			continue;
		n++;
		if (!least || m->cpu[i]->ledger.now < least->ledger.now)
			least = m->cpu[i];
	}
	if (!least)
		return NULL;
	if (least->ledger.now > m->s.now)
		m->s.now = least->ledger.now;
	cycle_t next = next_event(m);
	if (active(c) && c->ledger.now < m->s.slice_end && c->ledger.now < next)
		return c;
	m->s.running = least->number;
	m->s.slice_end = n == 1 ? NEVER : least->ledger.now + m->config.quantum;
	return least;
}

static void reset_parts(struct machine *m)
{
	for (unsigned i = 0; i < m->config.cpus && m->s.reset != MACHINE_RESET_VECTOR; i++) {
		cpu_reset(m->cpu[i], m->s.reset == MACHINE_RESET_INIT);
		lapic_reset(m->cpu[i]->lapic, m->s.reset == MACHINE_RESET_INIT);
	}
	if (m->s.reset == MACHINE_RESET_HARD)
		board_reset(m->board);
	m->s.resets++;
}

/* After a reset firmware goes on at a vector it was left, or the same image is booted again; or nothing does: false. */
static bool goes_on(struct machine *m)
{
	struct err e = { "" };
	return firmware_warm_reset(m) || (m->config.reboot && m->booted.kernel && machine_boot(m, &m->booted, &e) == 0);
}

/* A virtual machine's reset is the VMM's affair: nothing of the physical machine is reset. */
static void guest_reset(struct machine *g)
{
	const struct cpu *const *models = (const struct cpu *const *)g->cpu;
	vmm_resetting(g->vmm, models, g->config.cpus);
	g->s.stop = 0;
	reset_parts(g);
	if (goes_on(g))
		vmm_reset(g->vmm, models, g->config.cpus);
	else
		g->s.stop = MACHINE_STOP_RESET + 1, g->s.cold = 1;
}

/* Every virtual machine has ended: so has the run, with the first one's status. */
static void guests_stopped(struct machine *m)
{
	if (!m->guests || m->s.stop)
		return;
	for (unsigned i = 0; i < m->guests; i++)
		if (m->guest[i]->s.stop == MACHINE_STOP_RESET + 1 && !m->guest[i]->s.cold)
			guest_reset(m->guest[i]);
	for (unsigned i = 0; i < m->guests; i++)
		if (!m->guest[i]->s.stop)
			return;
	m->s.stop = m->guest[0]->s.stop;
	m->s.exit_status = m->guest[0]->s.exit_status;
	if (m->s.stop == MACHINE_STOP_RESET + 1)
		m->s.reset = m->guest[0]->s.reset;
}

/* A guest's request that ends the run, unless firmware would have carried on. */
static bool stopped(struct machine *m, enum machine_stop *why)
{
	guests_stopped(m);
	if (!m->s.stop)
		return false;
	*why = (enum machine_stop)(m->s.stop - 1);
	if (m->guests)
		return true;
	if (*why == MACHINE_STOP_SHUTDOWN && m->reset_on_shutdown)
		*why = MACHINE_STOP_RESET;
	if (*why != MACHINE_STOP_RESET)
		return true;
	m->s.stop = 0;
	reset_parts(m);
	if (goes_on(m))
		return false;
	m->s.stop = MACHINE_STOP_RESET + 1;
	return true;
}

/* Halted for good: with interrupts off everywhere only an NMI or a reset could help, and no chip here makes one by
 * itself. (In S3 every CPU waits for a start-up IPI instead, and the RTC may wake the machine.) */
static bool dead(const struct machine *m)
{
	for (unsigned i = 0; i < m->config.cpus; i++) {
		const struct cpu_state *s = &m->cpu[i]->s;
		/* a guest's halt, and modelled root software's, end by what they allow */
		bool other = m->cpu[i]->vmx.guest || cpu_root_modelled(m->cpu[i]);
		bool halted = s->activity == ACTIVITY_HLT && !s->mwait && !(s->flags & RFLAGS_IF) && !other;
		if (!halted && (i == 0 || s->activity != ACTIVITY_WAIT_SIPI))
			return false;
	}
	return true;
}

static enum machine_stop run(struct machine *m, cycle_t until, uint64_t n)
{
	uint64_t end = n ? machine_icount(m) + n : 0;
	enum machine_stop why;
	for (;;) {
		if (m->break_asked && m->s.stop) {
			m->break_asked = false;
			return MACHINE_STOP_BREAK;
		}
		if (stopped(m, &why))
			return why;
		if (m->interrupted) {
			m->interrupted = 0;
			return MACHINE_STOP_USER;
		}
		m->s.now = machine_now(m);
		wake(m);
		if (m->s.stop)          /* waking, the bootstrap processor took an INIT */
			continue;
		struct cpu *c = turn(m);
		cycle_t next = next_event(m);
		if (!c && !m->break_asked && dead(m))
			return MACHINE_STOP_IDLE;
		if (next <= m->s.now || (!c && next <= until)) {
			if (next > m->s.now)
				m->s.now = next;
			m->in_device = true;
			evq_run(&m->evq, next);
			m->in_device = false;
			continue;
		}
		if (unlikely(m->break_asked) || (unlikely(m->look != NULL) && m->look(m->look_who, m))) {
			m->break_asked = false;
			return MACHINE_STOP_BREAK;
		}
		if (!c) {
			if (next == NEVER)
				return MACHINE_STOP_IDLE;
			m->s.now = until;
			return MACHINE_STOP_CYCLES;
		}
		if (m->s.now >= until)
			return MACHINE_STOP_CYCLES;
		uint64_t left = 0;
		if (n) {
			left = end - machine_icount(m);
			if (!left)
				return MACHINE_STOP_ICOUNT;
		}
		cycle_t limit = m->s.slice_end < next ? m->s.slice_end : next;
		if (limit > until && c->ledger.now < until)
			limit = until;
		switch (cpu_run(c, limit, left)) {
		case STOP_BREAK:
			return MACHINE_STOP_BREAK;
		case STOP_SHUTDOWN:
			m->s.stop = MACHINE_STOP_SHUTDOWN + 1;
			break;
		default:
			c->stop_request = 0;
			break;
		}
	}
}

enum machine_stop machine_run(struct machine *m, cycle_t until, uint64_t n)
{
	if (m->vmm)
		vmm_start(m->vmm);
	m->in_run = true;
	m->breakpoints->hit_id = 0;
	enum machine_stop why = run(m, until, n);
	m->in_run = false;
	m->s.now = machine_now(m);
	return why;
}

enum machine_stop machine_step(struct machine *m)
{
	return machine_run(m, NEVER, 1);
}

cycle_t machine_now(const struct machine *m)
{
	cycle_t least = NEVER, latest = m->s.now;
	for (unsigned i = 0; i < m->config.cpus; i++) {
		cycle_t now = m->cpu[i]->ledger.now;
		if (active(m->cpu[i]) && now < least)
			least = now;
		if (now > latest)
			latest = now;
	}
	if (least == NEVER)     /* all halted: no CPU will act before the one that halted last did */
		return latest;
	return least > m->s.now ? least : m->s.now;
}

uint64_t machine_icount(const struct machine *m)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < m->config.cpus; i++)
		n += m->cpu[i]->s.icount;
	return n;
}

void machine_interrupt(struct machine *m)
{
	m->interrupted = 1;
	for (unsigned i = 0; i < m->config.cpus; i++) {
		m->cpu[i]->stop_request = 1;
		m->cpu[i]->deadline = 0;
	}
}

/* ---- stops ---- */

void machine_break(struct machine *m)
{
	if (!m->in_run)
		return;
	m->break_asked = true;
	reschedule(m);
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
