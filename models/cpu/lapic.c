/* lapic.c - the local APIC of one CPU (lapic.h).
 * Source: SDM Vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
 *
 *   ICR    63:56 (x2APIC 63:32) destination | 19:18 shorthand | 15 trigger | 14 level | 12 status | 11 logical |
 *          10:8 delivery mode | 7:0 vector
 *   LVT    18:17 timer mode | 16 mask | 15 trigger | 14 remote IRR | 13 polarity | 12 status | 10:8 mode | 7:0 vector
 *
 * Delivery is immediate: status bits read idle. The timer counts at profile.apic.timer.hz through its divider; its
 * count is a function of the CPU's clock, and the event queue holds the next expiry that will be noticed.
 * After power-up the bootstrap processor's APIC is as firmware leaves it, in virtual wire mode: software-enabled,
 * LINT0 ExtINT, LINT1 NMI.
 * Simplified: no focus processor (the bit is kept), no remote read, no SMI, no CMCI register (its LVT entry does not
 * exist: the version register says six entries), no EOI-broadcast suppression. */
#include "models/cpu/lapic.h"

#include <stdlib.h>
#include <string.h>

#include "models/cpu/cpu.h"
#include "models/cpu/sys.h"
#include "sim/err.h"

/* Register offsets; x2APIC MSR 800H + offset/16. */
#define REG_ID      0x020
#define REG_VERSION 0x030
#define REG_TPR     0x080
#define REG_APR     0x090
#define REG_PPR     0x0a0
#define REG_EOI     0x0b0
#define REG_RRD     0x0c0
#define REG_LDR     0x0d0
#define REG_DFR     0x0e0
#define REG_SVR     0x0f0
#define REG_ISR     0x100
#define REG_TMR     0x180
#define REG_IRR     0x200
#define REG_ESR     0x280
#define REG_ICR     0x300
#define REG_ICR2    0x310
#define REG_LVT     0x320
#define REG_TMICT   0x380
#define REG_TMCCT   0x390
#define REG_TDCR    0x3e0
#define REG_SELF    0x3f0

#define BASE_BSP    BIT(8)
#define BASE_EXTD   BIT(10)
#define BASE_EN     BIT(11)
#define APIC_DEFAULT 0xfee00000u

#define VERSION     0x00050014u         /* six LVT entries */
#define SVR_ENABLE  BIT(8)
#define SVR_FOCUS   BIT(9)
#define DFR_FLAT    0xffffffffu

#define LVT_MASK    BIT(16)
#define LVT_LEVEL   BIT(15)
#define LVT_RIRR    BIT(14)
#define LVT_STATUS  BIT(12)
#define LVT_MODE(v) ((v) >> 8 & 7)
#define TIMER_MODE(v) ((v) >> 17 & 3)
enum { TIMER_ONESHOT, TIMER_PERIODIC, TIMER_DEADLINE };
enum { LVT_CMCI, LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR };

#define ESR_SEND_ILLEGAL 0x20u
#define ESR_RECV_ILLEGAL 0x40u
#define ESR_ILLEGAL_REG  0x80u

#define MSR_APIC_BASE    0x01b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC       0x800

/* Bits software may set in each LVT entry, in the order of lvt[]. */
static const uint32_t lvt_writable[7] = {
	[LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_ERROR] = 0x100ff,
};

static bool enabled(const struct lapic *l) { return l->s.base & BASE_EN; }
static bool x2apic(const struct lapic *l) { return (l->s.base & (BASE_EN | BASE_EXTD)) == (BASE_EN | BASE_EXTD); }
static bool software_enabled(const struct lapic *l) { return l->s.svr & SVR_ENABLE; }

static void bit_set(uint32_t *r, unsigned v) { r[v / 32] |= 1u << v % 32; }
static void bit_clear(uint32_t *r, unsigned v) { r[v / 32] &= ~(1u << v % 32); }
static bool bit_get(const uint32_t *r, unsigned v) { return r[v / 32] >> v % 32 & 1; }
static int bit_highest(const uint32_t *r)
{
	for (int i = 7; i >= 0; i--)
		if (r[i])
			return i * 32 + 31 - __builtin_clz(r[i]);
	return -1;
}

/* "PPR[7:4] is the maximum of TPR[7:4] and ISRV[7:4]; PPR[3:0] is TPR[3:0] if TPR's class is the higher, else 0" */
uint32_t lapic_priority(const struct lapic *l)
{
	int isrv = bit_highest(l->s.isr);
	uint32_t tpr = l->s.tpr, served = isrv < 0 ? 0 : (uint32_t)isrv & 0xf0;
	return (tpr & 0xf0) >= served ? tpr : served;
}

static void attention(struct lapic *l)
{
	if (l->attention)
		l->attention(l->who, l->cpu);
	else
		cpu_attention(l->cpu);
}

/* ---- errors ---- */
static void lvt_deliver(struct lapic *l, unsigned i);

static void error(struct lapic *l, uint32_t bit)
{
	bool first = !(l->s.esr_pending & bit);
	l->s.esr_pending |= bit;
	if (first)
		lvt_deliver(l, LVT_ERROR);
}

/* ---- interrupts in ---- */
static bool accept_vector(struct lapic *l, uint8_t vector, bool level)
{
	if (!software_enabled(l))
		return false;
	if (vector < 16) {
		error(l, ESR_RECV_ILLEGAL);
		return false;
	}
	bit_set(l->s.irr, vector);
	if (level)
		bit_set(l->s.tmr, vector);
	else
		bit_clear(l->s.tmr, vector);
	attention(l);
	return true;
}

static bool accept(struct lapic *l, unsigned delivery, uint8_t vector, bool level)
{
	struct cpu *c = l->cpu;
	switch (delivery) {
	case APIC_FIXED:
	case APIC_LOWEST:
		return accept_vector(l, vector, level);
	case APIC_NMI:
		c->s.nmi_pending = l->attention && c->s.nmi_pending ? 2 : 1;
		break;
	case APIC_INIT:
		c->s.init_pending = 1;
		c->s.sipi_pending = 0;
		break;
	case APIC_SIPI:
		c->s.sipi_pending = 1;
		c->s.sipi_vector = vector;
		break;
	case APIC_EXTINT:
		l->s.extint = 1;
		c->s.intr_line = 1;
		break;
	default:
		return false;           /* SMI: there is no system-management mode */
	}
	cpu_attention(c);
	return true;
}

bool lapic_accept(struct lapic *l, const struct apic_msg *m)
{
	if (m->delivery == APIC_INIT && m->trigger && !m->level)
		return true;            /* INIT level de-assert: no effect since the Pentium 4 */
	return accept(l, m->delivery, m->vector, m->trigger && m->from == 0xff);
}

/* "If the logical destination matches": flat, cluster, x2APIC cluster. */
static bool logical_match(const struct lapic *l, const struct apic_msg *m)
{
	uint32_t d = m->dest, ldr = l->s.ldr;
	if (!m->x2apic && d == 0xff)
		return true;
	if (x2apic(l)) {
		uint32_t x2ldr = (uint32_t)(l->cpu->number >> 4) << 16 | 1u << (l->cpu->number & 15);
		return (m->x2apic && d == 0xffffffff) || (d >> 16 == x2ldr >> 16 && d & x2ldr & 0xffff);
	}
	if (d > 0xff)
		return m->x2apic && d == 0xffffffff;
	ldr >>= 24;
	if (l->s.dfr >> 28 == 0xf)
		return d & ldr;
	return (d >> 4 == ldr >> 4 || d >> 4 == 15) && d & ldr & 15;
}

bool lapic_matches(const struct lapic *l, const struct apic_msg *m)
{
	if (!enabled(l))
		return false;
	switch (m->shorthand) {
	case 1: return m->from == l->cpu->number;
	case 2: return true;
	case 3: return m->from != l->cpu->number;
	}
	if (m->logical)
		return logical_match(l, m);
	if (m->dest == (m->x2apic ? 0xffffffff : 0xff))
		return true;
	return m->dest == (x2apic(l) ? l->cpu->number : l->s.id);
}

int lapic_pending(const struct lapic *l)
{
	int v = enabled(l) ? bit_highest(l->s.irr) : -1;
	return v >= 0 && ((uint32_t)v & 0xf0) > (lapic_priority(l) & 0xf0) ? v : -1;
}

void lapic_ack(struct lapic *l, uint8_t vector)
{
	bit_clear(l->s.irr, vector);
	bit_set(l->s.isr, vector);
}

static void eoi(struct lapic *l)
{
	int v = bit_highest(l->s.isr);
	if (v < 0)
		return;
	bit_clear(l->s.isr, (unsigned)v);
	if (bit_get(l->s.tmr, (unsigned)v)) {
		for (unsigned i = LVT_LINT0; i <= LVT_LINT1; i++)
			if ((l->s.lvt[i] & 0xff) == (uint32_t)v && l->s.lvt[i] & LVT_RIRR) {
				l->s.lvt[i] &= ~(uint32_t)LVT_RIRR;
				if (l->s.lint_level[i - LVT_LINT0])
					lvt_deliver(l, i);
			}
		if (l->bus.eoi)
			l->bus.eoi(l->bus.who, (uint8_t)v);
	}
	attention(l);
}

/* ---- local sources ---- */
static void lvt_deliver(struct lapic *l, unsigned i)
{
	uint32_t e = l->s.lvt[i];
	unsigned mode = i == LVT_TIMER || i == LVT_ERROR ? APIC_FIXED : LVT_MODE(e);
	bool pin = i == LVT_LINT0 || i == LVT_LINT1, level = pin && e & LVT_LEVEL && mode == APIC_FIXED;
	if (e & LVT_MASK || (level && e & LVT_RIRR) || (pin && mode == APIC_EXTINT))
		return;
	if (i == LVT_ERROR && (e & 0xff) < 16)
		return;                 /* would report itself for ever */
	if (accept(l, mode, (uint8_t)e, level) && level)
		l->s.lvt[i] |= LVT_RIRR;
	if (i == LVT_PERF)
		l->s.lvt[i] |= LVT_MASK;        /* the counter's overflow masks its entry */
}

void lapic_perf(struct lapic *l)
{
	if (enabled(l))
		lvt_deliver(l, LVT_PERF);
}

bool lapic_extint_enabled(const struct lapic *l)
{
	if (!enabled(l) || l->s.extint)
		return true;
	return !(l->s.lvt[LVT_LINT0] & LVT_MASK) && LVT_MODE(l->s.lvt[LVT_LINT0]) == APIC_EXTINT;
}

void lapic_lint(struct lapic *l, unsigned pin, bool level)
{
	bool rising = level && !l->s.lint_level[pin & 1];
	l->s.lint_level[pin & 1] = level;
	if ((pin & 1) == 0) {
		l->cpu->s.intr_line = level;
		if (!level)
			l->s.extint = 0;
		attention(l);
	}
	if (!rising)
		return;
	if (enabled(l))
		lvt_deliver(l, LVT_LINT0 + (pin & 1));
	else if (pin & 1)
		accept(l, APIC_NMI, 0, false);
}

/* ---- timer ---- */
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

static unsigned timer_mode(const struct lapic *l) { return TIMER_MODE(l->s.lvt[LVT_TIMER]); }

static bool counting(const struct lapic *l)
{
	return l->s.timer_init && l->s.timer_start != NEVER && timer_mode(l) != TIMER_DEADLINE;
}

static uint64_t counted(const struct lapic *l, cycle_t now)
{
	return now > l->s.timer_start ? to_counts(l, now - l->s.timer_start) : 0;
}

static uint32_t current_count(const struct lapic *l)
{
	if (!counting(l))
		return 0;
	uint64_t n = counted(l, l->cpu->ledger.now);
	if (timer_mode(l) == TIMER_PERIODIC)
		n %= l->s.timer_init;
	return n >= l->s.timer_init ? 0 : l->s.timer_init - (uint32_t)n;
}

/* Before the mode or the divider changes: a one-shot that ran out has stopped; a count under way goes on from its value. */
static void timer_settle(struct lapic *l)
{
	if (counting(l) && !current_count(l))
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
	if (timer_mode(l) == TIMER_DEADLINE) {
		if (!l->s.tsc_deadline)
			return;
		uint64_t tsc = cpu_tsc(l->cpu);
		when = l->s.tsc_deadline > tsc ? l->cpu->ledger.now + (l->s.tsc_deadline - tsc) : l->cpu->ledger.now;
		if (when < l->cpu->ledger.now)
			return;         /* beyond the end of time */
	} else if (counting(l) && !(l->s.lvt[LVT_TIMER] & LVT_MASK)) {
		uint64_t n = counted(l, now) / l->s.timer_init;
		if (n && timer_mode(l) == TIMER_ONESHOT)
			return;
		when = l->s.timer_start + to_cycles(l, (n + 1) * l->s.timer_init);
	}
	if (when < earliest)
		when = earliest;
	if (when != NEVER)
		evq_add(l->evq, l->owner, when, 0, 0);
}

static void timer_arm(struct lapic *l, cycle_t now)
{
	timer_arm_from(l, now, 0);
}

static void timer_event(void *who, cycle_t now, uint32_t code, uint64_t arg)
{
	struct lapic *l = who;
	(void)code, (void)arg;
	if (now < l->cpu->ledger.now)
		now = l->cpu->ledger.now;
	if (timer_mode(l) == TIMER_DEADLINE)
		l->s.tsc_deadline = 0;          /* "the timer generates one interrupt and disarms itself" */
	else if (timer_mode(l) == TIMER_ONESHOT)
		l->s.timer_start = NEVER;
	/* Expiries that find the last one still pending are lost. A period far shorter than a service routine makes
	 * nothing but such: a microsecond between looks keeps it from stopping the world. */
	bool lost = bit_get(l->s.irr, l->s.lvt[LVT_TIMER] & 0xff);
	lvt_deliver(l, LVT_TIMER);
	if (timer_mode(l) == TIMER_PERIODIC)
		timer_arm_from(l, now, lost ? now + profile(l)->hz / 1000000 : 0);
}

void lapic_tsc_changed(struct lapic *l)
{
	if (timer_mode(l) == TIMER_DEADLINE)
		timer_arm(l, l->cpu->ledger.now);
}

/* ---- interrupts out ---- */
static void send(struct lapic *l, uint64_t icr)
{
	struct apic_msg m = {
		.dest = (uint32_t)(x2apic(l) ? icr >> 32 : icr >> 56), .x2apic = x2apic(l), .logical = icr >> 11 & 1,
		.delivery = icr >> 8 & 7, .vector = (uint8_t)icr, .level = icr >> 14 & 1, .trigger = icr >> 15 & 1,
		.shorthand = icr >> 18 & 3, .from = l->cpu->number,
	};
	if (m.delivery == 3 || m.delivery == 7)
		return;                         /* reserved */
	if ((m.delivery == APIC_FIXED || m.delivery == APIC_LOWEST) && m.vector < 16) {
		error(l, ESR_SEND_ILLEGAL);
		return;
	}
	if (l->cpu->trace)
		trace(l->cpu->trace, l->cpu->ledger.now, l->cpu->number, CPU_TRACE_IPI, m.dest, m.vector, m.delivery, 0);
	if (l->bus.send)
		l->bus.send(l->bus.who, &m);
}

/* ---- registers ---- */
static uint32_t id_register(const struct lapic *l) { return x2apic(l) ? l->cpu->number : l->s.id << 24; }
static uint32_t ldr_register(const struct lapic *l)
{
	return x2apic(l) ? (uint32_t)(l->cpu->number >> 4) << 16 | 1u << (l->cpu->number & 15) : l->s.ldr;
}

/* False: no such register. */
static bool reg_read(struct lapic *l, unsigned off, uint32_t *v)
{
	unsigned i = off >> 4 & 7;
	if (off >= REG_ISR && off < REG_ISR + 0x80)
		*v = l->s.isr[i];
	else if (off >= REG_TMR && off < REG_TMR + 0x80)
		*v = l->s.tmr[i];
	else if (off >= REG_IRR && off < REG_IRR + 0x80)
		*v = l->s.irr[i];
	else if (off >= REG_LVT && off < REG_TMICT)
		*v = l->s.lvt[LVT_TIMER + (off - REG_LVT) / 16];
	else switch (off) {
	case REG_ID:      *v = id_register(l); break;
	case REG_VERSION: *v = VERSION; break;
	case REG_TPR:     *v = l->s.tpr; break;
	case REG_APR:
	case REG_PPR:     *v = lapic_priority(l); break;
	case REG_EOI:
	case REG_RRD:     *v = 0; break;
	case REG_LDR:     *v = ldr_register(l); break;
	case REG_DFR:     *v = l->s.dfr; break;
	case REG_SVR:     *v = l->s.svr; break;
	case REG_ESR:     *v = l->s.esr; break;
	case REG_ICR:     *v = (uint32_t)l->s.icr; break;
	case REG_ICR2:    *v = (uint32_t)(l->s.icr >> 32); break;
	case REG_TMICT:   *v = timer_mode(l) == TIMER_DEADLINE ? 0 : l->s.timer_init; break;
	case REG_TMCCT:   *v = current_count(l); break;
	case REG_TDCR:    *v = l->s.timer_div; break;
	default:
		return false;
	}
	return true;
}

static void lvt_write(struct lapic *l, unsigned i, uint32_t v)
{
	uint32_t keep = l->s.lvt[i] & (uint32_t)(LVT_STATUS | (i == LVT_LINT0 || i == LVT_LINT1 ? LVT_RIRR : 0));
	v = (v & lvt_writable[i]) | keep;
	if (!software_enabled(l))
		v |= LVT_MASK;
	if (i == LVT_TIMER) {
		uint32_t count = current_count(l);
		bool was = timer_mode(l) == TIMER_DEADLINE, will = TIMER_MODE(v) == TIMER_DEADLINE;
		timer_settle(l);
		l->s.lvt[i] = v;
		if (was != will) {              /* "a transition ... to or from TSC-deadline mode disarms the timer" */
			l->s.tsc_deadline = 0;
			l->s.timer_init = 0;
			l->s.timer_start = NEVER;
		} else
			timer_resume(l, count);
		timer_arm(l, l->cpu->ledger.now);
		return;
	}
	if (!(v & LVT_LEVEL))
		v &= ~(uint32_t)LVT_RIRR;
	l->s.lvt[i] = v;
	if ((i == LVT_LINT0 || i == LVT_LINT1) && l->s.lint_level[i - LVT_LINT0] && v & LVT_LEVEL)
		lvt_deliver(l, i);
	attention(l);                  /* LINT0 may pass the 8259 pair's INTR on now */
}

static void svr_write(struct lapic *l, uint32_t v)
{
	l->s.svr = v & (uint32_t)(0xff | SVR_ENABLE | SVR_FOCUS);
	if (!software_enabled(l)) {             /* "the mask bits for all the LVT entries are set" */
		for (unsigned i = LVT_TIMER; i <= LVT_ERROR; i++)
			l->s.lvt[i] |= LVT_MASK;
		timer_arm(l, l->cpu->ledger.now);
	}
	attention(l);
}

static void timer_init_write(struct lapic *l, uint32_t v)
{
	if (timer_mode(l) == TIMER_DEADLINE)
		return;
	l->s.timer_init = v;
	l->s.timer_start = v ? l->cpu->ledger.now : NEVER;
	timer_arm(l, l->cpu->ledger.now);
}

static void divide_write(struct lapic *l, uint32_t v)
{
	uint32_t count = current_count(l);
	timer_settle(l);
	l->s.timer_div = v & 0xb;
	timer_resume(l, count);
	timer_arm(l, l->cpu->ledger.now);
}

/* False: no such register, or read-only. */
static bool reg_write(struct lapic *l, unsigned off, uint32_t v)
{
	if (off >= REG_LVT && off < REG_TMICT) {
		lvt_write(l, LVT_TIMER + (off - REG_LVT) / 16, v);
		return true;
	}
	switch (off) {
	case REG_ID:    l->s.id = v >> 24; break;
	case REG_TPR:   l->s.tpr = v & 0xff; attention(l); break;
	case REG_EOI:   eoi(l); break;
	case REG_LDR:   l->s.ldr = v & 0xff000000; break;
	case REG_DFR:   l->s.dfr = v | 0x0fffffff; break;
	case REG_SVR:   svr_write(l, v); break;
	case REG_ESR:
		l->s.esr = l->s.esr_pending;
		l->s.esr_pending = 0;
		break;
	case REG_ICR:
		l->s.icr = (l->s.icr & ~MASK(32)) | (v & 0xccfff);
		send(l, l->s.icr);
		break;
	case REG_ICR2:  l->s.icr = (l->s.icr & MASK(32)) | (uint64_t)(v & 0xff000000) << 32; break;
	case REG_TMICT: timer_init_write(l, v); break;
	case REG_TDCR:  divide_write(l, v); break;
	default:
		return false;
	}
	return true;
}

uint32_t lapic_mmio_read(struct lapic *l, unsigned off)
{
	uint32_t v = 0;
	if (off & 15)
		return 0;
	if (!reg_read(l, off, &v))
		error(l, ESR_ILLEGAL_REG);
	return v;
}

void lapic_mmio_write(struct lapic *l, unsigned off, uint32_t v)
{
	if (!(off & 15) && !reg_write(l, off, v))
		error(l, ESR_ILLEGAL_REG);
}

void lapic_set_cr8(struct lapic *l, unsigned v)
{
	l->s.tpr = (v & 15) << 4;
	attention(l);
}

/* ---- MSRs ---- */
static void power_up(struct lapic *l)
{
	evq_cancel(l->evq, l->owner, 0);
	struct lapic_state old = l->s;
	l->s = (struct lapic_state){ .base = old.base, .id = l->cpu->number, .dfr = DFR_FLAT, .svr = 0xff, .timer_start = NEVER };
	for (unsigned i = LVT_TIMER; i <= LVT_ERROR; i++)
		l->s.lvt[i] = LVT_MASK;
	l->s.lint_level[0] = old.lint_level[0];
	l->s.lint_level[1] = old.lint_level[1];
}

/* "Legal transitions: xAPIC -> x2APIC, x2APIC -> disabled, disabled <-> xAPIC"; all others #GP. */
static bool base_valid(const struct lapic *l, uint64_t v)
{
	uint64_t legal = BASE_BSP | BASE_EXTD | BASE_EN | (MASK(profile(l)->phys_bits) & PAGE_MASK);
	uint64_t old = l->s.base & (BASE_EN | BASE_EXTD), new = v & (BASE_EN | BASE_EXTD);
	if (v & ~legal || new == BASE_EXTD)
		return false;
	if (new == (BASE_EN | BASE_EXTD) && !(old & BASE_EN))
		return false;
	return !(new == BASE_EN && old & BASE_EXTD);
}

static bool base_write(struct lapic *l, uint64_t v)
{
	uint64_t old = l->s.base & (BASE_EN | BASE_EXTD), new = v & (BASE_EN | BASE_EXTD);
	if (!base_valid(l, v))
		return false;
	l->s.base = v;
	if (old && !new)
		power_up(l);
	if (new == (BASE_EN | BASE_EXTD) && old == BASE_EN)
		l->s.icr &= MASK(32);
	attention(l);
	return true;
}

/* Bits that may be written to each x2APIC register; 0: not writable. */
static uint64_t msr_writable(unsigned off)
{
	switch (off) {
	case REG_TPR:   return 0xff;
	case REG_SVR:   return 0xff | SVR_ENABLE | SVR_FOCUS;
	case REG_ICR:   return 0xffffffff000ccfffull;
	case REG_TMICT: return 0xffffffff;
	case REG_TDCR:  return 0xb;
	}
	if (off >= REG_LVT && off < REG_TMICT) {
		unsigned i = LVT_TIMER + (off - REG_LVT) / 16;
		return lvt_writable[i] | LVT_STATUS | (i == LVT_LINT0 || i == LVT_LINT1 ? LVT_RIRR : 0);
	}
	return 0;
}

static bool x2apic_valid(unsigned off, uint64_t v)
{
	uint64_t legal = msr_writable(off);
	switch (off) {
	case REG_EOI: case REG_ESR: return v == 0;      /* "#GP on non-zero values" */
	case REG_SELF:              return !(v >> 8);
	default:                    return legal && !(v & ~legal);
	}
}

static bool x2apic_write(struct lapic *l, unsigned off, uint64_t v)
{
	if (!x2apic_valid(off, v))
		return false;
	switch (off) {
	case REG_EOI:
	case REG_ESR:
		return reg_write(l, off, 0);
	case REG_SELF:
		if ((uint8_t)v < 16)
			error(l, ESR_SEND_ILLEGAL);
		else
			accept_vector(l, (uint8_t)v, false);
		return true;
	}
	if (off == REG_ICR) {
		l->s.icr = v & ~(uint64_t)LVT_STATUS;
		send(l, l->s.icr);
		return true;
	}
	return reg_write(l, off, (uint32_t)v);
}

static bool x2apic_read(struct lapic *l, unsigned off, uint64_t *v)
{
	uint32_t r;
	switch (off) {
	case REG_APR: case REG_EOI: case REG_RRD: case REG_DFR: case REG_ICR2: case REG_SELF:
		return false;
	case REG_ICR:
		*v = l->s.icr;
		return true;
	}
	if (!reg_read(l, off, &r))
		return false;
	*v = r;
	return true;
}

bool lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *v)
{
	if (msr == MSR_APIC_BASE)
		*v = l->s.base;
	else if (msr == MSR_TSC_DEADLINE)
		*v = l->s.tsc_deadline;
	else
		return msr - MSR_X2APIC < 0x100 && x2apic(l) && x2apic_read(l, (msr - MSR_X2APIC) << 4, v);
	return true;
}

bool lapic_msr_valid(const struct lapic *l, uint32_t msr, uint64_t v)
{
	if (msr == MSR_APIC_BASE)
		return base_valid(l, v);
	return msr == MSR_TSC_DEADLINE || (msr - MSR_X2APIC < 0x100 && x2apic(l) && x2apic_valid((msr - MSR_X2APIC) << 4, v));
}

bool lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t v)
{
	if (msr == MSR_APIC_BASE)
		return base_write(l, v);
	if (msr == MSR_TSC_DEADLINE) {
		if (timer_mode(l) == TIMER_DEADLINE) {
			l->s.tsc_deadline = v;
			timer_arm(l, l->cpu->ledger.now);
		}
		return true;
	}
	return msr - MSR_X2APIC < 0x100 && x2apic(l) && x2apic_write(l, (msr - MSR_X2APIC) << 4, v);
}

/* ---- life ---- */
void lapic_reset(struct lapic *l, bool init)
{
	uint32_t id = l->s.id;
	if (!init)
		l->s.base = APIC_DEFAULT | BASE_EN | (l->cpu->number == 0 ? BASE_BSP : 0);
	power_up(l);
	if (init)
		l->s.id = id;                   /* INIT keeps the APIC ID and IA32_APIC_BASE */
	else if (l->cpu->number == 0) {
		l->s.svr = 0xff | SVR_ENABLE;
		l->s.lvt[LVT_LINT0] = APIC_EXTINT << 8;
		l->s.lvt[LVT_LINT1] = APIC_NMI << 8;
	}
	attention(l);
}

struct lapic *lapic_new(struct cpu *c, struct evq *q, const struct apic_wire *bus)
{
	struct lapic *l = xcalloc(1, sizeof *l);
	l->cpu = c;
	l->evq = q;
	if (bus)
		l->bus = *bus;
	l->owner = evq_owner(q, "lapic", timer_event, l);
	lapic_reset(l, false);
	return l;
}

void lapic_free(struct lapic *l)
{
	free(l);
}

/* ---- field views ---- */
static uint64_t get_ppr(const void *obj) { return lapic_priority(obj); }
static uint64_t get_count(const void *obj) { return current_count(obj); }

static const struct field_bits base_bits[] = {
	{ 8, 8, "bsp", "bootstrap processor" }, { 10, 10, "extd", "x2APIC mode" }, { 11, 11, "en", "globally enabled" },
	{ 51, 12, "base", "address >> 12" }, { 0, 0, NULL, NULL },
};
static const struct field_bits lvt_bits[] = {
	{ 7, 0, "vector", "vector" }, { 10, 8, "mode", "delivery mode" }, { 12, 12, "pending", "delivery status" },
	{ 13, 13, "low", "active low" }, { 14, 14, "rirr", "remote IRR" }, { 15, 15, "level", "level-triggered" },
	{ 16, 16, "mask", "masked" }, { 18, 17, "timer", "0 one-shot, 1 periodic, 2 TSC-deadline" }, { 0, 0, NULL, NULL },
};
static const struct field_bits svr_bits[] = {
	{ 7, 0, "vector", "spurious vector" }, { 8, 8, "en", "software-enabled" }, { 9, 9, "focus", "focus checking off" },
	{ 0, 0, NULL, NULL },
};

#define F(member, name_, what_) { .name = name_, .off = offsetof(struct lapic, s.member), .size = sizeof(((struct lapic *)0)->s.member), .what = what_ }
#define B(member, name_, bits_, what_) { .name = name_, .off = offsetof(struct lapic, s.member), .size = sizeof(((struct lapic *)0)->s.member), .bits = bits_, .what = what_ }
#define W(reg, n, what_) F(reg[n], #reg #n, what_)
#define EIGHT(reg, what_) W(reg, 0, what_), W(reg, 1, what_), W(reg, 2, what_), W(reg, 3, what_), W(reg, 4, what_), W(reg, 5, what_), W(reg, 6, what_), W(reg, 7, what_)

const struct field_row lapic_fields[] = {
	B(base, "base", base_bits, "IA32_APIC_BASE"),
	F(id, "id", "xAPIC ID"),
	F(tpr, "tpr", "Task Priority Register"),
	{ .name = "ppr", .size = 4, .what = "Processor Priority Register", .get = get_ppr },
	F(ldr, "ldr", "Logical Destination Register"),
	F(dfr, "dfr", "Destination Format Register"),
	B(svr, "svr", svr_bits, "Spurious Interrupt Vector Register"),
	F(esr, "esr", "Error Status Register"),
	F(icr, "icr", "Interrupt Command Register"),
	B(lvt[LVT_TIMER], "lvt.timer", lvt_bits, "LVT Timer Register"),
	B(lvt[LVT_THERMAL], "lvt.thermal", lvt_bits, "LVT Thermal Sensor Register"),
	B(lvt[LVT_PERF], "lvt.perf", lvt_bits, "LVT Performance Monitoring Counters Register"),
	B(lvt[LVT_LINT0], "lvt.lint0", lvt_bits, "LVT LINT0 Register"),
	B(lvt[LVT_LINT1], "lvt.lint1", lvt_bits, "LVT LINT1 Register"),
	B(lvt[LVT_ERROR], "lvt.error", lvt_bits, "LVT Error Register"),
	F(timer_init, "timer.init", "Initial Count Register"),
	{ .name = "timer.count", .size = 4, .what = "Current Count Register", .get = get_count },
	F(timer_div, "timer.divide", "Divide Configuration Register"),
	F(tsc_deadline, "timer.deadline", "IA32_TSC_DEADLINE"),
	EIGHT(irr, "Interrupt Request Register, 32 vectors"),
	EIGHT(isr, "In-Service Register, 32 vectors"),
	EIGHT(tmr, "Trigger Mode Register, 32 vectors"),
};
const size_t lapic_fields_n = ARRAY_LEN(lapic_fields);
