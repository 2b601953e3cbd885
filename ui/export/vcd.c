/* vcd.c - interrupt lines and what each CPU is doing, as a value change dump for a waveform viewer.
 *
 * Form: IEEE Std 1364-2005, "Value change dump (VCD) files". Time is in picoseconds, whatever the clock: a cycle is no whole
 * number of them, but no two cycles fall together.
 * A dump's time may only grow, while CPUs take turns and one is ahead of another: changes wait until no CPU is behind them.
 * Simplified: an interrupt that a local APIC takes from a message (I/O APIC, timer, another CPU) is seen when something next
 * happens on a CPU, at the latest when it is taken; intr falls when the CPU has acknowledged it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/io/board.h"
#include "models/io/chip.h"
#include "models/vmm/vmm.h"
#include "ui/export/trace_forms.h"

#define PENDING  4096           /* changes that wait, before it is looked which need not any more */
#define PENDING_MAX 65536       /* at most: then the earlier half goes, whatever may come before it */
#define PER_SECOND 1000000000000u

const char vcd_events[] = "irq,lint,interrupt,nmi,mode,cpl,halt,wake,reset,sipi,shutdown,vm_exit,vm_entry,phase,ipi,ioapic_msg,"
	"pic_ack,pic_eoi";

static const struct { const char *name; unsigned bits; const char *what; } cpu_vars[] = {
#define VAR(NAME, name, bits, what) { name, bits, what },
#include "ui/export/vcd_cpu.def"
};
enum {
#define VAR(NAME, name, bits, what) VAR_##NAME,
#include "ui/export/vcd_cpu.def"
	CPU_VARS
};
#define LINES 16
#define VARS  (LINES * (1 + MACHINE_VMS_MAX) + CPU_VARS * CPUS_MAX)

struct change { cycle_t cycle; uint32_t seq; uint16_t var, value; };

struct vcd {
	FILE *f;
	const struct machine *m;
	char name[16];
	bool begun, any;
	uint16_t value[VARS];                   /* the latest */
	cycle_t at[VARS];                       /* since when */
	uint16_t written[VARS];                 /* as the file has it */
	bool taking[CPUS_MAX];                  /* an interrupt is being acknowledged */
	cycle_t first, last;                    /* time of $dumpvars; of the last line written */
	struct change pending[PENDING_MAX];
	unsigned n;
	uint32_t seq;
};

static unsigned line_var(unsigned vm, unsigned line) { return vm * LINES + line; }
static unsigned cpu_var(unsigned cpu, unsigned v) { return LINES * (1 + MACHINE_VMS_MAX) + cpu * CPU_VARS + v; }

/* ---- the file ---- */

/* Identifiers are of the characters from '!' to '~'. */
static const char *code(unsigned var, char buf[4])
{
	buf[0] = (char)('!' + var % 94);
	buf[1] = var >= 94 ? (char)('!' + var / 94 - 1) : '\0';
	buf[2] = '\0';
	return buf;
}

static unsigned bits_of(unsigned var)
{
	return var < cpu_var(0, 0) ? 1 : cpu_vars[(var - cpu_var(0, 0)) % CPU_VARS].bits;
}

static void put_value(const struct vcd *v, unsigned var, unsigned value)
{
	const unsigned bits = bits_of(var);
	char id[4];

	if (bits == 1) {
		fprintf(v->f, "%u%s\n", value, code(var, id));
		return;
	}
	fputc('b', v->f);
	for (unsigned b = bits; b--;)
		fputc(value >> b & 1 ? '1' : '0', v->f);
	fprintf(v->f, " %s\n", code(var, id));
}

static void put_time(struct vcd *v, cycle_t cycle)
{
	fprintf(v->f, "#%" PRIu64 "\n", trace_units(cycle, v->m->config.profile.hz, PER_SECOND));
	v->last = cycle;
}

static void board_scope(const struct vcd *v, const char *scope, unsigned vm)
{
	char id[4];

	fprintf(v->f, "$scope module %s $end\n", scope);
	for (unsigned i = 0; i < LINES; i++)
		fprintf(v->f, "$var wire 1 %s irq%u $end\n", code(line_var(vm, i), id), i);
	fputs("$upscope $end\n", v->f);
}

static bool exists(const struct vcd *v, unsigned var)
{
	return var < cpu_var(0, 0) ? var / LINES <= v->m->guests : (var - cpu_var(0, 0)) / CPU_VARS < v->m->config.cpus;
}

static void head(struct vcd *v)
{
	char name[24], id[4];

	v->begun = true;
	fprintf(v->f, "$version vmscope $end\n$comment %s, %s, %" PRIu64 " cycles a second", v->name, v->m->config.profile.name,
	        v->m->config.profile.hz);
	for (unsigned i = 0; i < CPU_VARS; i++)
		fprintf(v->f, "\n  %s: %s", cpu_vars[i].name, cpu_vars[i].what);
	fprintf(v->f, "\n$end\n$timescale 1 ps $end\n$scope module %s $end\n", v->name);
	board_scope(v, "board", 0);
	for (unsigned i = 0; i < v->m->config.cpus; i++) {
		fprintf(v->f, "$scope module cpu%u $end\n", i);
		for (unsigned k = 0; k < CPU_VARS; k++)
			fprintf(v->f, "$var wire %u %s %s $end\n", cpu_vars[k].bits, code(cpu_var(i, k), id), cpu_vars[k].name);
		fputs("$upscope $end\n", v->f);
	}
	for (unsigned g = 1; g <= v->m->guests; g++) {
		snprintf(name, sizeof name, "vm%u", g);
		board_scope(v, name, g);
	}
	fputs("$upscope $end\n$enddefinitions $end\n", v->f);
	put_time(v, v->first);
	fputs("$dumpvars\n", v->f);
	for (unsigned i = 0; i < VARS; i++)
		if (exists(v, i))
			put_value(v, i, v->written[i]);
	fputs("$end\n", v->f);
}

static int by_time(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->cycle != y->cycle)
		return x->cycle < y->cycle ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Write the changes no later than `until`, and what is too many anyway. */
static void drain(struct vcd *v, cycle_t until)
{
	unsigned i = 0;

	if (!v->begun)
		head(v);
	qsort(v->pending, v->n, sizeof v->pending[0], by_time);
	for (; i < v->n && (v->pending[i].cycle <= until || v->n - i > PENDING_MAX / 2); i++) {
		const struct change *c = &v->pending[i];

		if (v->written[c->var] == c->value || !exists(v, c->var))
			continue;
		if (c->cycle > v->last)
			put_time(v, c->cycle);
		put_value(v, c->var, c->value);
		v->written[c->var] = c->value;
	}
	memmove(v->pending, v->pending + i, (v->n - i) * sizeof v->pending[0]);
	v->n -= i;
}

/* ---- values ---- */

static void set(struct vcd *v, cycle_t cycle, unsigned var, unsigned value)
{
	if (v->value[var] == value)
		return;
	if (cycle < v->at[var])         /* another CPU's doing, and its clock is behind */
		cycle = v->at[var];
	v->value[var] = (uint16_t)value;
	v->at[var] = cycle;
	v->pending[v->n++] = (struct change){ cycle, v->seq++, (uint16_t)var, (uint16_t)value };
	if (v->n == PENDING_MAX)
		drain(v, machine_now(v->m));
}

static unsigned mode_value(unsigned mode)
{
	return mode <= MODE_REAL32 ? 0 : mode == MODE_V86 ? 1 : mode <= MODE_PROT32 ? 2 : 3;
}

static bool requested(const struct cpu *c)
{
	uint32_t any = c->s.intr_line;

	for (unsigned i = 0; i < 8; i++)
		any |= c->lapic->s.irr[i];
	return any != 0;
}

static void look(struct vcd *v, cycle_t now, unsigned i)
{
	const struct cpu *c = v->m->cpu[i];
	const bool on = c->vmx.vmxon != VMCS_NONE;

	set(v, now, cpu_var(i, VAR_INTR), v->taking[i] || requested(c));
	set(v, now, cpu_var(i, VAR_NMI), c->s.nmi_pending || c->lapic->s.lint_level[1]);
	if (on != (v->value[cpu_var(i, VAR_VMX)] != 0))
		set(v, now, cpu_var(i, VAR_VMX), on ? 1 + c->vmx.guest : 0);
}

/* As everything was when the first record came. */
static void begin(struct vcd *v, cycle_t now)
{
	const struct machine *m = v->m;

	v->any = true;
	v->first = now;
	for (unsigned b = 0; b <= m->guests; b++)
		for (unsigned i = 0; i < LINES; i++)
			v->value[line_var(b, i)] = board_line((b ? m->guest[b - 1] : m)->board, i);
	for (unsigned i = 0; i < m->config.cpus; i++) {
		const struct cpu *c = m->cpu[i];

		look(v, now, i);
		v->value[cpu_var(i, VAR_MODE)] = (uint16_t)mode_value(c->seen_mode);
		v->value[cpu_var(i, VAR_RING)] = c->seen_cpl;
		v->value[cpu_var(i, VAR_HALTED)] = c->s.activity != ACTIVITY_ACTIVE;
		v->value[cpu_var(i, VAR_VM)] = cpu_in_guest(c) ? c->vmx.vm : 0;
	}
	v->n = 0;
	memcpy(v->written, v->value, sizeof v->written);
}

static void of_cpu(struct vcd *v, const struct trace_record *r)
{
	const unsigned i = r->component;
	const struct cpu *c = v->m->cpu[i];

	switch (r->event) {
	case CPU_TRACE_MODE: set(v, r->cycle, cpu_var(i, VAR_MODE), mode_value((unsigned)r->a[1])); break;
	case CPU_TRACE_CPL: set(v, r->cycle, cpu_var(i, VAR_RING), (unsigned)r->a[1] & 3); break;
	case CPU_TRACE_SHUTDOWN:
	case CPU_TRACE_HALT: set(v, r->cycle, cpu_var(i, VAR_HALTED), 1); break;
	case CPU_TRACE_SIPI:
	case CPU_TRACE_WAKE: set(v, r->cycle, cpu_var(i, VAR_HALTED), 0); break;
	case CPU_TRACE_RESET: set(v, r->cycle, cpu_var(i, VAR_HALTED), c->s.activity != ACTIVITY_ACTIVE); break;
	case CPU_TRACE_INTERRUPT: v->taking[i] = true; break;
	case CPU_TRACE_VM_ENTRY:
		set(v, r->cycle, cpu_var(i, VAR_VMX), 2);
		set(v, r->cycle, cpu_var(i, VAR_VM), c->vmx.vm);
		break;
	case CPU_TRACE_VM_EXIT:
		v->taking[i] = (r->a[0] & 0xffff) == EXIT_EXTINT;
		set(v, r->cycle, cpu_var(i, VAR_VMX), 1);
		set(v, r->cycle, cpu_var(i, VAR_VM), 0);
		break;
	case CPU_TRACE_PHASE:
		if (r->a[1] == PHASE_INTERRUPT_ACK || r->a[1] == PHASE_VM_EXIT_RECOGNISE)
			v->taking[i] = false;
		break;
	}
	look(v, r->cycle, i);
}

void vcd_record(void *who, const struct trace_record *r)
{
	struct vcd *v = who;

	if (!v->any)
		begin(v, r->cycle);
	if (r->component < v->m->config.cpus)
		of_cpu(v, r);
	else if (r->event == IO_TRACE_IRQ)
		set(v, r->cycle, line_var(trace_component_vm(v->m, r->component), (unsigned)r->a[0] & 15), (unsigned)r->a[1] & 1);
	if (r->event == CPU_TRACE_IPI || r->component >= v->m->config.cpus)
		for (unsigned i = 0; i < v->m->config.cpus; i++)
			look(v, r->cycle, i);
	if (v->n >= PENDING && v->n % PENDING == 0)
		drain(v, machine_now(v->m));
}

void *vcd_open(struct trace_target *t, const struct machine *m, const char *name, const uint64_t *wanted)
{
	struct vcd *v = xcalloc(1, sizeof *v);

	(void)wanted;
	v->f = t->f;
	v->m = m;
	snprintf(v->name, sizeof v->name, "%s", name);
	return v;
}

void vcd_close(void *who)
{
	struct vcd *v = who;
	const cycle_t end = machine_now(v->m);

	drain(v, NEVER);
	if (end > v->last)
		put_time(v, end);
	free(v);
}
