/* lapic.c - the local APIC of one CPU (lapic.h): interrupts in and out. Its timer: lapic_timer.c; its registers: lapic_reg.c.
 * Source: SDM Vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
 *
 * Delivery is immediate: status bits read idle.
 * After power-up the bootstrap processor's APIC is as firmware leaves it, in virtual wire mode: software-enabled,
 * LINT0 ExtINT, LINT1 NMI.
 * Simplified: no focus processor (the bit is kept), no remote read, no SMI, no EOI-broadcast suppression. */
#include <stdlib.h>

#include "models/cpu/lapic_part.h"
#include "sim/err.h"

#define APIC_DEFAULT 0xfee00000u
#define DFR_FLAT    0xffffffffu
#define LVT_MODE(v) ((v) >> 8 & 7)
#define ESR_RECV_ILLEGAL 0x40u

/* "PPR[7:4] is the maximum of TPR[7:4] and ISRV[7:4]; PPR[3:0] is TPR[3:0] if TPR's class is the higher, else 0" */
uint32_t lapic_priority(const struct lapic *l)
{
	int isrv = bit_highest(l->s.isr);
	uint32_t tpr = l->s.tpr, served = isrv < 0 ? 0 : (uint32_t)isrv & 0xf0;
	return (tpr & 0xf0) >= served ? tpr : served;
}

void lapic_attention(struct lapic *l)
{
	if (l->attention)
		l->attention(l->who, l->cpu);
	else
		cpu_attention(l->cpu);
}

/* ---- errors ---- */
void lapic_error(struct lapic *l, uint32_t bit)
{
	bool first = !(l->s.esr_pending & bit);
	l->s.esr_pending |= bit;
	if (first)
		lapic_lvt_deliver(l, LVT_ERROR);
}

/* ---- interrupts in ---- */
bool lapic_accept_vector(struct lapic *l, uint8_t vector, bool level)
{
	if (!software_enabled(l))
		return false;
	if (vector < 16) {
		lapic_error(l, ESR_RECV_ILLEGAL);
		return false;
	}
	bit_set(l->s.irr, vector);
	if (level)
		bit_set(l->s.tmr, vector);
	else
		bit_clear(l->s.tmr, vector);
	lapic_attention(l);
	return true;
}

static bool accept(struct lapic *l, unsigned delivery, uint8_t vector, bool level)
{
	struct cpu *c = l->cpu;
	switch (delivery) {
	case APIC_FIXED:
	case APIC_LOWEST:
		return lapic_accept_vector(l, vector, level);
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

void lapic_eoi(struct lapic *l)
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
					lapic_lvt_deliver(l, i);
			}
		if (l->bus.eoi)
			l->bus.eoi(l->bus.who, (uint8_t)v);
	}
	lapic_attention(l);
}

/* ---- local sources ---- */
void lapic_lvt_deliver(struct lapic *l, unsigned i)
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
		lapic_lvt_deliver(l, LVT_PERF);
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
		lapic_attention(l);
	}
	if (!rising)
		return;
	if (enabled(l))
		lapic_lvt_deliver(l, LVT_LINT0 + (pin & 1));
	else if (pin & 1)
		accept(l, APIC_NMI, 0, false);
}

/* ---- interrupts out ---- */
void lapic_send(struct lapic *l, uint64_t icr)
{
	struct apic_msg m = {
		.dest = (uint32_t)(x2apic(l) ? icr >> 32 : icr >> 56), .x2apic = x2apic(l), .logical = icr >> 11 & 1,
		.delivery = icr >> 8 & 7, .vector = (uint8_t)icr, .level = icr >> 14 & 1, .trigger = icr >> 15 & 1,
		.shorthand = icr >> 18 & 3, .from = l->cpu->number,
	};
	if (m.delivery == 3 || m.delivery == 7)
		return;                         /* reserved */
	if ((m.delivery == APIC_FIXED || m.delivery == APIC_LOWEST) && m.vector < 16) {
		lapic_error(l, ESR_SEND_ILLEGAL);
		return;
	}
	if (l->cpu->trace)
		trace(l->cpu->trace, l->cpu->ledger.now, l->cpu->number, CPU_TRACE_IPI, m.dest, m.vector, m.delivery, 0);
	if (l->bus.send)
		l->bus.send(l->bus.who, &m);
}

/* ---- life ---- */
void lapic_power_up(struct lapic *l)
{
	evq_cancel(l->evq, l->owner, 0);
	struct lapic_state old = l->s;
	l->s = (struct lapic_state){ .base = old.base, .id = l->cpu->number, .dfr = DFR_FLAT, .svr = 0xff, .timer_start = NEVER };
	for (unsigned i = LVT_TIMER; i <= LVT_ERROR; i++)
		l->s.lvt[i] = LVT_MASK;
	l->s.lint_level[0] = old.lint_level[0];
	l->s.lint_level[1] = old.lint_level[1];
}

void lapic_reset(struct lapic *l, bool init)
{
	uint32_t id = l->s.id;
	if (!init)
		l->s.base = APIC_DEFAULT | BASE_EN | (l->cpu->number == 0 ? BASE_BSP : 0);
	lapic_power_up(l);
	if (init)
		l->s.id = id;                   /* INIT keeps the APIC ID and IA32_APIC_BASE */
	else if (l->cpu->number == 0) {
		l->s.svr = 0xff | SVR_ENABLE;
		l->s.lvt[LVT_LINT0] = APIC_EXTINT << 8;
		l->s.lvt[LVT_LINT1] = APIC_NMI << 8;
	}
	lapic_attention(l);
}

struct lapic *lapic_new(struct cpu *c, struct evq *q, const struct apic_wire *bus)
{
	struct lapic *l = xcalloc(1, sizeof *l);
	l->cpu = c;
	l->evq = q;
	if (bus)
		l->bus = *bus;
	l->owner = evq_owner(q, "lapic", lapic_timer_event, l);
	lapic_reset(l, false);
	return l;
}

void lapic_free(struct lapic *l)
{
	free(l);
}
