/* perfetto.c - a run as tracks and slices, for ui.perfetto.dev and chrome://tracing.
 *
 *   m0 CPUs       cpu0           who has the CPU: running, vm1.vcpu0, VMM, idle; on bare metal exceptions and interrupts
 *                 cpu0 ring      the privilege level
 *   m0 vm1        vcpu0          guest | an exit by its reason: VM exit (phases), service (the VMM's phases), VM entry (phases) |
 *                                halted | waiting; in the guest exceptions and interrupts with their phases
 *   m0 devices    pit, com1 ...  what devices did; a record without a duration is drawn 1 ns long
 *   m0 interrupt lines  irq0 ... a slice while the line is high
 *   counters      of perfetto.def, exits by reason, cycles by owner
 * Arrows: from a VMM's service to the device it drives; from an interrupt line to where the
 * interrupt is delivered.
 * Counters are totals so far, sampled when something first happens after each 100 us of simulated time.
 * A flow's phases are told when they end, the flow's own slice must stand before them: phases wait until their flow is over. */
#include "ui/export/chrome.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "models/io/chip.h"
#include "models/vmm/vmm.h"
#include "ui/export/trace_forms.h"

#define NS         1000000000u
#define SAMPLES    10000        /* a second */
#define PHASES_MAX 48

const char perfetto_events[] = "exception,interrupt,soft_int,nmi,phase,cpl,halt,wake,shutdown,reset,sipi,ipi,task,vm_exit,vm_entry,"
	"vcpu_halt,world_switch,refused,vmm_phase,irq,pic_ack,pic_eoi,ioapic_msg,pit_program,rtc_irq,kbd_command,"
	"kbd_byte,uart_tx,uart_rx,pci_config,ide_command,ide_done,dma,acpi_sleep,post,board_reset,guest_exit";

enum lane_state { LANE_NEW, LANE_GUEST, LANE_HALTED, LANE_WAITING, LANE_EXIT /* an exit's slice */, LANE_SERVICE /* within it */,
                  LANE_ENTRY /* one that ends no exit */ };
struct lane {                   /* a virtual CPU */
	struct track t;
	enum lane_state state;
	bool halting;                   /* the VMM has taken it off its CPU */
};

struct phase { cycle_t from, to; uint16_t flow, phase; };

struct face {                   /* a physical CPU */
	struct track t, ring;
	char state[24];                 /* name of the slice open on t */
	struct lane *lane;              /* in or under VMX non-root operation; NULL: never was */
	unsigned vm, vcpu;              /* whose it is */
	bool entered;                   /* a VM entry's phases wait */
	cycle_t exit_end;               /* of the last exit's hardware part */
	char event[32];                 /* the exception or interrupt under way */
	unsigned event_vector;
	bool event_interrupt;
	struct phase wait[PHASES_MAX];
	unsigned n;
};

struct line { struct track t; uint32_t pid, tid; uint64_t since; };

struct perfetto {
	struct chrome c;
	const struct machine *m;
	char name[16];
	unsigned base;                  /* of its pids */
	struct face cpu[CPUS_MAX];
	struct lane lane[MACHINE_VMS_MAX + 1][CPUS_MAX];
	struct track device[TRACE_COMPONENTS];
	struct line line[MACHINE_VMS_MAX + 1][16];
	uint8_t by_vector[MACHINE_VMS_MAX + 1][256];            /* line + 1 that a vector stands for */
	cycle_t next_sample, last;
	uint64_t sampled[CPUS_MAX][64];                         /* sums, to leave out what has not changed */
};

static const char *const vector_names[32] = {
#define EXCEPTION(vector, name, ...) [vector] = name,
#include "ui/cli/exceptions.def"
};

/* ---- tracks ---- */

static uint64_t ns(const struct perfetto *p, cycle_t cycle)
{
	return trace_units(cycle, p->m->config.profile.hz, NS);
}

static unsigned pid_of(const struct perfetto *p, unsigned vm, unsigned kind) { return p->base + 4 * vm + kind; }

static struct face *face(struct perfetto *p, unsigned i)
{
	struct face *f = &p->cpu[i];
	char process[32], thread[24];

	if (f->t.tid)
		return f;
	snprintf(process, sizeof process, "%s CPUs", p->name);
	snprintf(thread, sizeof thread, "cpu%u", i);
	chrome_track(&p->c, &f->t, pid_of(p, 0, 0), process, thread, 2 * i);
	snprintf(thread, sizeof thread, "cpu%u ring", i);
	chrome_track(&p->c, &f->ring, pid_of(p, 0, 0), process, thread, 2 * i + 1);
	return f;
}

/* VM 0: a guest of a hypervisor that is no part of vmscope, one for each CPU. */
static struct lane *lane(struct perfetto *p, unsigned vm, unsigned vcpu)
{
	struct lane *l = &p->lane[vm][vcpu];
	char process[48], thread[24];

	if (vm)
		snprintf(process, sizeof process, "%s vm%u", p->name, vm);
	else
		snprintf(process, sizeof process, "%s guests of its hypervisor", p->name);
	snprintf(thread, sizeof thread, vm ? "vcpu%u" : "cpu%u", vcpu);
	chrome_track(&p->c, &l->t, pid_of(p, vm, vm ? 0 : 3), process, thread, vcpu);
	return l;
}

/* Where exceptions, interrupts and the VMM's phases of a CPU are drawn. */
static struct track *where(struct face *f)
{
	return f->lane && (f->lane->state == LANE_GUEST || f->lane->state >= LANE_EXIT) ? &f->lane->t : &f->t;
}

static void begin(struct perfetto *p, struct track *t, cycle_t at, const char *name)
{
	chrome_begin(&p->c, t, ns(p, at), name);
	chrome_done(&p->c);
}

/* A CPU has another owner. */
static void owner(struct perfetto *p, struct face *f, cycle_t at, const char *name)
{
	if (strcmp(f->state, name) == 0)
		return;
	chrome_end(&p->c, &f->t, ns(p, at));
	begin(p, &f->t, at, name);
	snprintf(f->state, sizeof f->state, "%s", name);
}

static void lane_close(struct perfetto *p, struct lane *l, cycle_t at)
{
	while (l->t.depth)
		chrome_end(&p->c, &l->t, ns(p, at));
	l->state = LANE_NEW;
}

static void lane_rest(struct perfetto *p, struct lane *l, cycle_t at)
{
	lane_close(p, l, at);
	begin(p, &l->t, at, l->halting ? "halted" : "waiting");
	l->state = l->halting ? LANE_HALTED : LANE_WAITING;
}

/* ---- arrows from interrupt lines ---- */

static void line_arrow(struct perfetto *p, unsigned vm, unsigned number, const struct track *to, cycle_t at)
{
	struct line *l;
	char name[16];

	if (!number--)
		return;
	l = &p->line[vm][number];
	snprintf(name, sizeof name, "irq%u", number);
	if (l->t.tid)
		chrome_arrow(&p->c, name, l->t.pid, l->t.tid, l->since, to, ns(p, at));
}

/* ---- flows ---- */

static int by_nesting(const void *a, const void *b)
{
	const struct phase *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	if (x->to != y->to)
		return x->to > y->to ? -1 : 1;
	if ((x->phase == PHASE_N) != (y->phase == PHASE_N))
		return x->phase == PHASE_N ? -1 : 1;
	return x->phase < y->phase ? -1 : x->phase > y->phase;
}

static void guest_begins(struct perfetto *p, struct face *f, cycle_t at)
{
	char name[24];

	f->entered = false;
	lane_close(p, f->lane, at);
	begin(p, &f->lane->t, at, "guest");
	f->lane->state = LANE_GUEST;
	f->lane->halting = false;
	if (f->vm)
		snprintf(name, sizeof name, "vm%u.vcpu%u", f->vm, f->vcpu);
	owner(p, f, at, f->vm ? name : "guest");
}

static void put_flow(struct perfetto *p, struct face *f, const struct phase *x)
{
	const bool delivery = x->flow == FLOW_EXCEPTION || x->flow == FLOW_INTERRUPT;
	struct track *t = where(f);

	if (x->phase != PHASE_N && x->to == x->from)
		return;                         /* a phase in which nothing had to be done */
	if (x->phase != PHASE_N) {
		chrome_slice(&p->c, t, ns(p, x->from), ns(p, x->to), phase_rows[x->phase].name);
		chrome_arg(&p->c, "cycles", x->to - x->from, true);
		chrome_done(&p->c);
		return;
	}
	chrome_slice(&p->c, t, ns(p, x->from), ns(p, x->to), delivery && f->event[0] ? f->event : flow_rows[x->flow].name);
	chrome_arg(&p->c, "cycles", x->to - x->from, true);
	chrome_done(&p->c);
	if (x->flow == FLOW_INTERRUPT && f->event_interrupt) {
		const unsigned vm = f->lane && f->lane->state == LANE_GUEST ? f->vm : 0;

		line_arrow(p, vm, p->by_vector[vm][f->event_vector & 0xff], t, x->from);
		p->by_vector[vm][f->event_vector & 0xff] = 0;
		f->event_interrupt = false;
	}
}

/* Write what waits: each flow, then its phases. */
static void flush(struct perfetto *p, struct face *f)
{
	struct phase all[PHASES_MAX + FLOW_N];
	cycle_t end = 0;
	unsigned n = f->n;

	if (!n)
		return;
	memcpy(all, f->wait, n * sizeof all[0]);
	for (unsigned flow = 0; flow < FLOW_N; flow++) {
		struct phase whole = { NEVER, 0, (uint16_t)flow, PHASE_N };

		for (unsigned i = 0; i < f->n; i++)
			if (f->wait[i].flow == flow) {
				whole.from = f->wait[i].from < whole.from ? f->wait[i].from : whole.from;
				whole.to = f->wait[i].to > whole.to ? f->wait[i].to : whole.to;
			}
		if (whole.from != NEVER)
			all[n++] = whole;
		end = whole.to > end ? whole.to : end;
		if (flow == FLOW_VM_EXIT && whole.from != NEVER)
			f->exit_end = whole.to;
	}
	qsort(all, n, sizeof all[0], by_nesting);
	for (unsigned i = 0; i < n; i++)
		put_flow(p, f, &all[i]);
	f->n = 0;
	if (f->entered && f->lane)
		guest_begins(p, f, end);
}

static bool first_phase(unsigned phase)
{
	return phase == PHASE_EXCEPTION_RECOGNISE || phase == PHASE_INTERRUPT_RECOGNISE || phase == PHASE_TASK_CHECK ||
	       phase == PHASE_VM_EXIT_RECOGNISE || phase == PHASE_VM_ENTRY_CHECKS || phase == PHASE_SYSCALL_SAVE || phase == PHASE_SYSRET_LOAD;
}

static void service_begins(struct perfetto *p, struct face *f, cycle_t at)
{
	if (!f->lane || f->lane->state != LANE_EXIT)
		return;
	begin(p, &f->lane->t, f->exit_end ? f->exit_end : at, "service");
	f->lane->state = LANE_SERVICE;
}

/* The VMM turns to the guest again: its service ends here. */
static void entry_begins(struct perfetto *p, struct face *f, unsigned cpu, cycle_t at)
{
	if (!f->lane) {
		f->lane = lane(p, 0, cpu);
		f->vcpu = cpu;
	}
	service_begins(p, f, at);
	if (f->lane->state == LANE_SERVICE) {
		chrome_end(&p->c, &f->lane->t, ns(p, at));
		f->lane->state = LANE_EXIT;
	} else if (f->lane->state != LANE_EXIT) {
		lane_close(p, f->lane, at);
		f->lane->state = LANE_ENTRY;
	}
}

static void on_phase(struct perfetto *p, struct face *f, const struct trace_record *r)
{
	const struct phase x = { r->cycle - r->a[2], r->cycle, (uint16_t)r->a[0], (uint16_t)r->a[1] };

	if (f->n == PHASES_MAX || first_phase(x.phase))
		flush(p, f);
	for (unsigned i = 0; i < f->n; i++)     /* system calls are told as a whole, at their end: their phases follow each other */
		if ((x.flow == FLOW_SYSCALL || x.flow == FLOW_SYSRET) && f->wait[i].flow == x.flow) {
			f->wait[i].from -= r->a[2];
			f->wait[i].to -= r->a[2];
		}
	if (x.phase == PHASE_VM_ENTRY_CHECKS)
		entry_begins(p, f, r->component, x.from);
	else if (x.flow != FLOW_VM_EXIT && x.flow != FLOW_VM_ENTRY && !f->n && f->lane && f->lane->state == LANE_EXIT)
		service_begins(p, f, x.from);           /* of a hypervisor that takes interrupts of its own */
	f->wait[f->n++] = x;
}

/* ---- what happens on a CPU ---- */

static void on_vm_exit(struct perfetto *p, struct face *f, const struct trace_record *r)
{
	const unsigned reason = r->a[0] & 0xffff;
	const struct exit_reason_row *row = reason < EXIT_REASONS ? &exit_reason_rows[reason] : NULL;
	const char *name = row && row->name ? row->name : "VM exit";

	flush(p, f);
	if (!f->lane)
		f->lane = lane(p, f->vm, f->vcpu = (unsigned)r->component);
	if (r->a[0] >> 31 & 1) {
		chrome_instant(&p->c, &f->lane->t, ns(p, r->cycle), "VM entry failed");
	} else {
		owner(p, f, r->cycle, f->vm ? "VMM" : "hypervisor");
		lane_close(p, f->lane, r->cycle);
		chrome_begin(&p->c, &f->lane->t, ns(p, r->cycle), name);
		f->lane->state = LANE_EXIT;
		f->exit_end = 0;
	}
	chrome_arg(&p->c, "reason", reason, true);
	chrome_arg(&p->c, "qualification", r->a[1], false);
	chrome_arg(&p->c, "rip", r->a[2], false);
	chrome_done(&p->c);
}

static void on_event(struct face *f, const struct trace_record *r)
{
	const unsigned vector = r->a[0] & 0xff;

	f->event_vector = vector;
	f->event_interrupt = r->event == CPU_TRACE_INTERRUPT;
	if (r->event == CPU_TRACE_NMI)
		snprintf(f->event, sizeof f->event, "NMI");
	else if (r->event == CPU_TRACE_EXCEPTION && vector < 32 && vector_names[vector])
		snprintf(f->event, sizeof f->event, "%s", vector_names[vector]);
	else
		snprintf(f->event, sizeof f->event, "%s %u", r->event == CPU_TRACE_SOFT_INT ? "INT" : "interrupt", vector);
}

static void on_halt(struct perfetto *p, struct face *f, cycle_t at)
{
	if (f->lane && f->lane->state == LANE_GUEST) {          /* HLT without an exit */
		lane_close(p, f->lane, at);
		begin(p, &f->lane->t, at, "halted");
		f->lane->state = LANE_HALTED;
	} else if (f->lane && f->lane->state >= LANE_EXIT) {
		lane_rest(p, f->lane, at);
	}
	owner(p, f, at, "idle");
}

static void on_wake(struct perfetto *p, struct face *f, const struct trace_record *r)
{
	const struct cpu *c = p->m->cpu[r->component];

	if (f->lane && cpu_in_guest(c)) {
		guest_begins(p, f, r->cycle);
		return;
	}
	owner(p, f, r->cycle, p->m->vmm ? "VMM" : "running");
}

static void on_switch(struct perfetto *p, struct face *f, const struct trace_record *r)
{
	const unsigned vm = r->a[0] & 15, vcpu = r->a[1] & 15;
	struct lane *l = lane(p, vm, vcpu);

	if (f->lane == l)
		return;
	if (f->lane && f->lane->state >= LANE_EXIT)
		lane_rest(p, f->lane, r->cycle);
	f->lane = l;
	f->vm = vm;
	f->vcpu = vcpu;
}

static void mark(struct perfetto *p, struct track *t, const struct trace_record *r)
{
	const struct trace *tr = &p->m->trace;
	struct trace_arg arg[4];
	const unsigned n = trace_args(tr, r, arg);

	for (unsigned i = 0; i < n; i++)
		chrome_arg(&p->c, arg[i].name, arg[i].value, arg[i].decimal);
	chrome_done(&p->c);
	(void)t;
}

static void on_ring(struct perfetto *p, struct face *f, const struct trace_record *r)
{
	char name[16];

	chrome_end(&p->c, &f->ring, ns(p, r->cycle));
	snprintf(name, sizeof name, "ring %u", (unsigned)r->a[1] & 3);
	begin(p, &f->ring, r->cycle, name);
}

static void of_cpu(struct perfetto *p, const struct trace_record *r)
{
	struct face *f = face(p, r->component);

	if (!f->state[0]) {
		char ring[16];

		snprintf(ring, sizeof ring, "ring %u", p->m->cpu[r->component]->seen_cpl & 3);
		begin(p, &f->ring, r->cycle, ring);
		owner(p, f, r->cycle, p->m->cpu[r->component]->s.activity == ACTIVITY_ACTIVE ? p->m->vmm ? "VMM" : "running" : "idle");
	}
	switch (r->event) {
	case CPU_TRACE_PHASE: on_phase(p, f, r); return;
	case CPU_TRACE_CPL: on_ring(p, f, r); return;
	case CPU_TRACE_EXCEPTION: case CPU_TRACE_INTERRUPT: case CPU_TRACE_SOFT_INT: case CPU_TRACE_NMI:
		flush(p, f);
		on_event(f, r);
		return;
	case CPU_TRACE_VM_ENTRY:
		f->entered = true;
		return;
	default: break;
	}
	flush(p, f);
	switch (r->event) {
	case CPU_TRACE_VM_EXIT: on_vm_exit(p, f, r); break;
	case CPU_TRACE_HALT: on_halt(p, f, r->cycle); break;
	case CPU_TRACE_SHUTDOWN: owner(p, f, r->cycle, "shutdown"); break;
	case CPU_TRACE_SIPI: owner(p, f, r->cycle, "running"); break;
	case CPU_TRACE_WAKE: on_wake(p, f, r); break;
	case VMM_TRACE_WORLD_SWITCH: on_switch(p, f, r); break;
	case VMM_TRACE_VCPU_HALT: lane(p, r->a[0] & 15, r->a[1] & 15)->halting = true; break;
	case VMM_TRACE_PHASE:
		service_begins(p, f, r->cycle - r->a[1]);
		chrome_slice(&p->c, where(f), ns(p, r->cycle - r->a[1]), ns(p, r->cycle), r->a[0] < VMM_COSTS ? vmm_cost_rows[r->a[0]].name : "?");
		chrome_arg(&p->c, "cycles", r->a[1], true);
		chrome_done(&p->c);
		break;
	default:
		chrome_instant(&p->c, where(f), ns(p, r->cycle), p->m->trace.rows[r->event].name);
		mark(p, where(f), r);
	}
}

/* ---- devices ---- */

static void on_line(struct perfetto *p, unsigned vm, const struct trace_record *r)
{
	const unsigned n = r->a[0] & 15;
	struct line *l = &p->line[vm][n];
	char process[40], thread[16];

	snprintf(process, sizeof process, vm ? "%s vm%u interrupt lines" : "%s interrupt lines", p->name, vm);
	snprintf(thread, sizeof thread, "irq%u", n);
	chrome_track(&p->c, &l->t, pid_of(p, vm, 1), process, thread, n);
	if (r->a[1] && !l->t.depth) {
		begin(p, &l->t, r->cycle, thread);
		l->since = l->t.start;
	} else if (!r->a[1]) {
		chrome_end(&p->c, &l->t, ns(p, r->cycle));
	}
}

/* The 8259s hand over a vector whose low three bits are the pin's: the line of that pin that rose last. */
static void on_acknowledge(struct perfetto *p, unsigned vm, unsigned vector)
{
	const struct line *a = &p->line[vm][vector & 7], *b = &p->line[vm][8 + (vector & 7)];

	p->by_vector[vm][vector & 0xff] = (uint8_t)((b->t.tid && b->since > a->since ? 8 : 0) + (vector & 7) + 1);
}

static void of_device(struct perfetto *p, const struct trace_record *r)
{
	const unsigned vm = trace_component_vm(p->m, r->component);
	struct track *t = &p->device[r->component];
	struct face *f = &p->cpu[p->m->s.running];
	char process[40];

	if (r->event == IO_TRACE_IRQ) {
		on_line(p, vm, r);
		return;
	}
	if (r->event == IO_TRACE_PIC_ACK)
		on_acknowledge(p, vm, (unsigned)r->a[0]);
	if (r->event == IO_TRACE_IOAPIC_MSG)
		p->by_vector[vm][r->a[1] & 0xff] = (uint8_t)((r->a[0] == 2 ? 0 : r->a[0] & 15) + 1);
	snprintf(process, sizeof process, vm ? "%s vm%u devices" : "%s devices", p->name, vm);
	chrome_track(&p->c, t, pid_of(p, vm, 2), process, p->m->trace.component[r->component], r->component);
	chrome_slice(&p->c, t, ns(p, r->cycle), ns(p, r->cycle) + 1, p->m->trace.rows[r->event].name);
	mark(p, t, r);
	if (vm && f->lane && f->lane->state == LANE_SERVICE && f->vm == vm)
		chrome_arrow(&p->c, "access", f->lane->t.pid, f->lane->t.tid, t->start, t, t->start);
}

/* ---- counters ---- */

static const struct { const char *name, *series, *stat; } counters[] = {
#define COUNTER(name, series, stat) { name, series, stat },
#include "ui/export/perfetto.def"
};

static uint64_t stat(const struct perfetto *p, unsigned cpu, const char *name)
{
	char full[64];
	uint64_t v = 0;

	snprintf(full, sizeof full, "cpu%u.%s", cpu, name);
	stats_get(&p->m->stats, full, &v);
	return v;
}

/* Is it another value than last time? */
static bool moved(struct perfetto *p, unsigned cpu, unsigned slot, uint64_t sum)
{
	const bool is = p->sampled[cpu][slot] != sum;

	p->sampled[cpu][slot] = sum;
	return is;
}

static void sample_stats(struct perfetto *p, unsigned cpu, cycle_t at)
{
	for (size_t i = 0, j; i < ARRAY_LEN(counters); i = j) {
		uint64_t value[ARRAY_LEN(counters)], sum = 0;
		char name[48];

		for (j = i; j < ARRAY_LEN(counters) && strcmp(counters[j].name, counters[i].name) == 0; j++)
			sum += value[j] = stat(p, cpu, counters[j].stat);
		if (!moved(p, cpu, (unsigned)i, sum))
			continue;
		snprintf(name, sizeof name, "cpu%u %s", cpu, counters[i].name);
		chrome_counter(&p->c, pid_of(p, 0, 0), ns(p, at), name);
		for (size_t k = i; k < j; k++)
			chrome_arg(&p->c, counters[k].series, value[k], true);
		chrome_done(&p->c);
	}
}

static void sample_exits(struct perfetto *p, unsigned cpu, cycle_t at)
{
	uint64_t value[EXIT_REASONS] = { 0 }, sum = 0;
	char name[48];

	if (p->m->cpu[cpu]->vmx.vmxon == VMCS_NONE)
		return;
	for (unsigned i = 0; i < EXIT_REASONS; i++)
		if (exit_reason_rows[i].name) {
			snprintf(name, sizeof name, "exit.%s", exit_reason_rows[i].name);
			sum += value[i] = stat(p, cpu, name);
		}
	if (!moved(p, cpu, 62, sum))
		return;
	snprintf(name, sizeof name, "cpu%u exits", cpu);
	chrome_counter(&p->c, pid_of(p, 0, 0), ns(p, at), name);
	for (unsigned i = 0; i < EXIT_REASONS; i++)
		if (value[i])
			chrome_arg(&p->c, exit_reason_rows[i].name, value[i], true);
	chrome_done(&p->c);
}

static void sample_ledger(struct perfetto *p, unsigned cpu, cycle_t at)
{
	const struct ledger *l = &p->m->cpu[cpu]->ledger;
	char name[48], acct[32];

	if (!moved(p, cpu, 63, ledger_sum(l)))
		return;
	snprintf(name, sizeof name, "cpu%u cycles of", cpu);
	chrome_counter(&p->c, pid_of(p, 0, 0), ns(p, at), name);
	for (unsigned a = 0; a < ACCT_N; a++)
		if (ledger_by_acct(l, a))
			chrome_arg(&p->c, ledger_acct_name(a, acct, sizeof acct), ledger_by_acct(l, a), true);
	chrome_done(&p->c);
}

static void sample(struct perfetto *p, cycle_t at)
{
	for (unsigned i = 0; i < p->m->config.cpus; i++) {
		face(p, i);
		sample_stats(p, i, at);
		sample_exits(p, i, at);
		sample_ledger(p, i, at);
	}
}

/* ---- the file ---- */

void perfetto_record(void *who, const struct trace_record *r)
{
	struct perfetto *p = who;

	p->last = r->cycle > p->last ? r->cycle : p->last;
	if (p->last >= p->next_sample) {
		const cycle_t interval = p->m->config.profile.hz / SAMPLES;

		sample(p, p->last);
		p->next_sample = (p->last / interval + 1) * interval;
	}
	if (r->component < p->m->config.cpus)
		of_cpu(p, r);
	else
		of_device(p, r);
}

void *perfetto_open(struct trace_target *t, const struct machine *m, const char *name, const uint64_t *wanted)
{
	struct perfetto *p = xcalloc(1, sizeof *p);

	(void)wanted;
	p->c.t = t;
	p->m = m;
	p->base = 1 + 100 * (t->machines - 1);
	snprintf(p->name, sizeof p->name, "%s", name);
	return p;
}

static void close_track(struct perfetto *p, struct track *t, cycle_t at)
{
	while (t->depth)
		chrome_end(&p->c, t, ns(p, at));
}

void perfetto_close(void *who)
{
	struct perfetto *p = who;
	const cycle_t now = machine_now(p->m), end = now > p->last ? now : p->last;

	for (unsigned i = 0; i < p->m->config.cpus; i++)
		flush(p, &p->cpu[i]);
	sample(p, end);
	for (unsigned i = 0; i < p->m->config.cpus; i++) {
		close_track(p, &p->cpu[i].t, end);
		close_track(p, &p->cpu[i].ring, end);
	}
	for (unsigned vm = 0; vm <= MACHINE_VMS_MAX; vm++) {
		for (unsigned i = 0; i < CPUS_MAX; i++)
			close_track(p, &p->lane[vm][i].t, end);
		for (unsigned i = 0; i < 16; i++)
			close_track(p, &p->line[vm][i].t, end);
	}
	free(p);
}

void perfetto_end(struct trace_target *t)
{
	fputs(t->written ? "\n],\n" : "{\"traceEvents\":[],\n", t->f);
	fputs("\"displayTimeUnit\":\"ns\",\"otherData\":{\"version\":\"vmscope\",\"clock\":\"simulated time\"}}\n", t->f);
}
