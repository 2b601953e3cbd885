/* lapic.h - the local APIC of one CPU: xAPIC (MMIO at IA32_APIC_BASE) and x2APIC (MSRs 800H-83FH), timer in one-shot,
 * periodic and TSC-deadline mode, IPIs, LVTs, priorities.
 * Source: SDM Vol. 3A, "Advanced Programmable Interrupt Controller (APIC)". */
#ifndef CPU_LAPIC_H
#define CPU_LAPIC_H

#include "sim/base.h"
#include "sim/evq.h"
#include "sim/field.h"
#include "sim/snap.h"
#include "sim/wire.h"

struct cpu;

struct lapic_state {            /* plain */
	uint64_t base;                  /* IA32_APIC_BASE: enable bit 11, x2APIC bit 10, BSP bit 8 */
	uint32_t id, tpr, ldr, dfr, svr, esr, esr_pending;
	uint32_t irr[8], isr[8], tmr[8];
	uint64_t icr;
	uint32_t lvt[7];                /* CMCI, timer, thermal, perf, LINT0, LINT1, error */
	uint32_t timer_init, timer_div;
	uint32_t extint;                /* an ExtINT message came over the bus: the 8259 pair's INTR counts whatever LINT0 says */
	cycle_t timer_start;            /* when counting from timer_init began; NEVER: stopped */
	uint64_t tsc_deadline;
	uint32_t lint_level[2];
};

struct lapic {
	struct lapic_state s;
	struct cpu *cpu;
	struct evq *evq;
	uint32_t owner;                 /* in evq */
	struct apic_wire bus;
	/* A virtual APIC: told instead of its CPU that there may be something to deliver. NULL: the CPU is told. Its NMIs merge later: a CPU takes
	 * one at its next instruction and can hold another, but for a virtual CPU two may come while the VMM is at work. */
	void (*attention)(void *who, struct cpu *c);
	void *who;
};

struct lapic *lapic_new(struct cpu *c, struct evq *q, const struct apic_wire *bus);
void lapic_free(struct lapic *l);
void lapic_reset(struct lapic *l, bool init);

/* A message on the interrupt bus: is it for this APIC; and take it (IRR, NMI, INIT, SIPI go to the CPU: s.nmi_pending,
 * init_pending, sipi_pending + cpu_attention). */
bool lapic_matches(const struct lapic *l, const struct apic_msg *m);
bool lapic_accept(struct lapic *l, const struct apic_msg *m);
uint32_t lapic_priority(const struct lapic *l);         /* PPR: for lowest-priority arbitration */

/* Highest vector that may be delivered now (above PPR), or -1. Then lapic_ack moves it from IRR to ISR. */
int lapic_pending(const struct lapic *l);
void lapic_ack(struct lapic *l, uint8_t vector);
/* LINT pins: the 8259 pair drives LINT0, NMI drives LINT1. True when LINT0 passes 8259 interrupts on (ExtINT, or APIC disabled). */
void lapic_lint(struct lapic *l, unsigned pin, bool level);
void lapic_perf(struct lapic *l);               /* a performance counter overflowed */
bool lapic_extint_enabled(const struct lapic *l);

/* MMIO, offset in the page. Only aligned 32-bit accesses are defined; others read 0 and are lost. */
uint32_t lapic_mmio_read(struct lapic *l, unsigned off);
void lapic_mmio_write(struct lapic *l, unsigned off, uint32_t v);
/* x2APIC MSRs and IA32_APIC_BASE, IA32_TSC_DEADLINE: false means #GP(0). */
bool lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *v);
bool lapic_msr_valid(const struct lapic *l, uint32_t msr, uint64_t v);
bool lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t v);
void lapic_tsc_changed(struct lapic *l);                /* the TSC was written: an armed deadline is as far off as it says now */
static inline unsigned lapic_cr8(const struct lapic *l) { return l->s.tpr >> 4 & 15; }
void lapic_set_cr8(struct lapic *l, unsigned v);
static inline bool lapic_owns(const struct lapic *l, uint64_t pa)       /* MMIO address of this CPU's APIC page? */
{
	return (l->s.base & (BIT(11) | BIT(10))) == BIT(11) && (pa & PAGE_MASK) == (l->s.base & PAGE_MASK & MASK(52));
}

extern const struct field_row lapic_fields[];
extern const size_t lapic_fields_n;

#endif
