/* wires.c - what a machine's parts ask of one another: interrupts among CPUs, pins of the board, notices of memory, requests for the whole
 * machine. Rules: wires.h. */
#include "models/wires.h"

#include "models/cpu/lapic.h"
#include "models/io/board.h"
#include "models/vmm/vmm.h"
#include "models/watch.h"

void machine_reschedule(void *who)
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
			machine_reschedule(m);
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
			machine_reschedule(m);
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
	machine_reschedule(m);
}

/* A virtual CPU's local APIC has something: the VMM is to know. */
static void virtual_attention(void *who, struct cpu *c)
{
	struct machine *m = who;
	if (m->vmm)
		vmm_attention(m->vmm, c);
}

struct apic_wire wire_apic(struct machine *m)
{
	return (struct apic_wire){ apic_send, apic_eoi, m };
}

struct machine_wire wire_requests(struct machine *m)
{
	return (struct machine_wire){ request, m };
}

struct irq_wire wire_pin(struct machine *m, unsigned pin)
{
	return (struct irq_wire){ intr_changed, m, pin };
}

void wire_attention(struct machine *m, struct lapic *l)
{
	l->attention = virtual_attention;
	l->who = m;
}

void wire_memory(struct machine *m)
{
	m->mem.mmio = (struct io_wire){ mmio_read, mmio_write, m };
	m->mem.code_written = code_written;
	m->mem.monitored = monitored;
	m->mem.drop_writable = drop_writable;
	m->mem.watched = watched;
	m->mem.watching = m->host && m->host->mem.watching;
	m->mem.who = m;
}
