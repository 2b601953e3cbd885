/* lapic_timer.c - the local APIC's timer: one-shot, periodic, TSC-deadline.
 * Source: SDM Vol. 3A, "APIC Timer".
 * Timing: it counts at profile.apic.timer.hz through its divider; its count is a function of the CPU's clock, and the event queue
 * holds the next expiry that will be noticed. */
#include "models/cpu/lapic_part.h"

#define TIMER_MODE(v) ((v) >> 17 & 3)

static const struct profile *profile(const struct lapic *l) { return l->cpu->profile; }

/* Divide configuration: bits 3, 1, 0; 111: by 1. */
static unsigned divider(const struct lapic *l)
{
	unsigned d = (l->s.timer_div >> 1 & 4) | (l->s.timer_div & 3);
	return d == 7 ? 1 : 2u << d;
}

static uint64_t to_counts(const struct lapic *l, cycle_t span)
{
	return (uint64_t)((unsigned __int128)span * profile(l)->apic_timer_hz / profile(l)->hz) / divider(l);
}
static cycle_t to_cycles(const struct lapic *l, uint64_t counts)
{
	unsigned __int128 ticks = (unsigned __int128)counts * divider(l);
	return (cycle_t)((ticks * profile(l)->hz + profile(l)->apic_timer_hz - 1) / profile(l)->apic_timer_hz);
}

unsigned lapic_timer_mode(const struct lapic *l) { return TIMER_MODE(l->s.lvt[LVT_TIMER]); }

static bool counting(const struct lapic *l)
{
	return l->s.timer_init && l->s.timer_start != NEVER && lapic_timer_mode(l) != TIMER_DEADLINE;
}

static uint64_t counted(const struct lapic *l, cycle_t now)
{
	return now > l->s.timer_start ? to_counts(l, now - l->s.timer_start) : 0;
}

uint32_t lapic_timer_count(const struct lapic *l)
{
	if (!counting(l))
		return 0;
	uint64_t n = counted(l, l->cpu->ledger.now);
	if (lapic_timer_mode(l) == TIMER_PERIODIC)
		n %= l->s.timer_init;
	return n >= l->s.timer_init ? 0 : l->s.timer_init - (uint32_t)n;
}

/* Before the mode or the divider changes: a one-shot that ran out has stopped; a count under way goes on from its value. */
static void timer_settle(struct lapic *l)
{
	if (counting(l) && !lapic_timer_count(l))
		l->s.timer_start = NEVER;
}
static void timer_resume(struct lapic *l, uint32_t count)
{
	if (counting(l))
		l->s.timer_start = l->cpu->ledger.now - to_cycles(l, l->s.timer_init - count);
}

/* The next expiry somebody will notice, into the event queue; not before `earliest`. */
static void timer_arm_from(struct lapic *l, cycle_t now, cycle_t earliest)
{
	cycle_t when = NEVER;
	evq_cancel(l->evq, l->owner, 0);
	if (lapic_timer_mode(l) == TIMER_DEADLINE) {
		if (!l->s.tsc_deadline)
			return;
		uint64_t tsc = cpu_tsc(l->cpu);
		when = l->s.tsc_deadline > tsc ? l->cpu->ledger.now + (l->s.tsc_deadline - tsc) : l->cpu->ledger.now;
		if (when < l->cpu->ledger.now)
			return;         /* beyond the end of time */
	} else if (counting(l) && !(l->s.lvt[LVT_TIMER] & LVT_MASK)) {
		uint64_t n = counted(l, now) / l->s.timer_init;
		if (n && lapic_timer_mode(l) == TIMER_ONESHOT)
			return;
		when = l->s.timer_start + to_cycles(l, (n + 1) * l->s.timer_init);
	}
	if (when < earliest)
		when = earliest;
	if (when != NEVER)
		evq_add(l->evq, l->owner, when, 0, 0);
}

void lapic_timer_arm(struct lapic *l, cycle_t now)
{
	timer_arm_from(l, now, 0);
}

void lapic_timer_event(void *who, cycle_t now, uint32_t code, uint64_t arg)
{
	struct lapic *l = who;
	(void)code, (void)arg;
	if (now < l->cpu->ledger.now)
		now = l->cpu->ledger.now;
	if (lapic_timer_mode(l) == TIMER_DEADLINE)
		l->s.tsc_deadline = 0;          /* "the timer generates one interrupt and disarms itself" */
	else if (lapic_timer_mode(l) == TIMER_ONESHOT)
		l->s.timer_start = NEVER;
	/* Expiries that find the last one still pending are lost. A period far shorter than a service routine makes
	 * nothing but such: a microsecond between looks keeps it from stopping the world. */
	bool lost = bit_get(l->s.irr, l->s.lvt[LVT_TIMER] & 0xff);
	lapic_lvt_deliver(l, LVT_TIMER);
	if (lapic_timer_mode(l) == TIMER_PERIODIC)
		timer_arm_from(l, now, lost ? now + profile(l)->hz / 1000000 : 0);
}

void lapic_tsc_changed(struct lapic *l)
{
	if (lapic_timer_mode(l) == TIMER_DEADLINE)
		lapic_timer_arm(l, l->cpu->ledger.now);
}

/* Its LVT entry: a mode, and whether it is masked. */
void lapic_timer_lvt(struct lapic *l, uint32_t v)
{
	uint32_t count = lapic_timer_count(l);
	bool was = lapic_timer_mode(l) == TIMER_DEADLINE, will = TIMER_MODE(v) == TIMER_DEADLINE;
	timer_settle(l);
	l->s.lvt[LVT_TIMER] = v;
	if (was != will) {              /* "a transition ... to or from TSC-deadline mode disarms the timer" */
		l->s.tsc_deadline = 0;
		l->s.timer_init = 0;
		l->s.timer_start = NEVER;
	} else {
		timer_resume(l, count);
	}
	lapic_timer_arm(l, l->cpu->ledger.now);
}

void lapic_timer_init(struct lapic *l, uint32_t v)
{
	if (lapic_timer_mode(l) == TIMER_DEADLINE)
		return;
	l->s.timer_init = v;
	l->s.timer_start = v ? l->cpu->ledger.now : NEVER;
	lapic_timer_arm(l, l->cpu->ledger.now);
}

void lapic_timer_divide(struct lapic *l, uint32_t v)
{
	uint32_t count = lapic_timer_count(l);
	timer_settle(l);
	l->s.timer_div = v & 0xb;
	timer_resume(l, count);
	lapic_timer_arm(l, l->cpu->ledger.now);
}

void lapic_timer_deadline(struct lapic *l, uint64_t tsc)
{
	if (lapic_timer_mode(l) != TIMER_DEADLINE)
		return;
	l->s.tsc_deadline = tsc;
	lapic_timer_arm(l, l->cpu->ledger.now);
}
