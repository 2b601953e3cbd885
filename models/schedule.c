/* schedule.c - the only thing that advances time: whose turn it is, when events run, what ends a run; see machine.h.
 *
 * The schedule, all of it state:
 *   1. events due at or before the least clock of the active CPUs run first;
 *   2. the running CPU keeps its turn until its clock reaches slice_end or the next event;
 *   3. then the active CPU with the least clock gets a turn of `quantum` cycles (alone: until the next event).
 * Halted CPUs' clocks stand still; a CPU that wakes first idles up to machine time. */
#include "models/boot/firmware.h"
#include "models/breakpoint.h"
#include "models/cpu/lapic.h"
#include "models/cpu/vmx/vmx.h"
#include "models/io/board.h"
#include "models/machine.h"
#include "models/vmm/vmm.h"

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
