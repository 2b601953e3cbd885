/* lapic_reg.c - the local APIC's registers: by memory, by MSR, and as field views.
 * Source: SDM Vol. 3A, "Advanced Programmable Interrupt Controller (APIC)", "Extended XAPIC (x2APIC)".
 *
 *   ICR    63:56 (x2APIC 63:32) destination | 19:18 shorthand | 15 trigger | 14 level | 12 status | 11 logical |
 *          10:8 delivery mode | 7:0 vector
 *   LVT    18:17 timer mode | 16 mask | 15 trigger | 14 remote IRR | 13 polarity | 12 status | 10:8 mode | 7:0 vector
 *
 * Simplified: no CMCI register (its LVT entry does not exist: the version register says six entries). */
#include <stddef.h>

#include "models/cpu/lapic_part.h"

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

#define VERSION     0x00050014u         /* six LVT entries */
#define SVR_FOCUS   BIT(9)
#define LVT_STATUS  BIT(12)
#define ESR_ILLEGAL_REG  0x80u
#define MSR_APIC_BASE    0x01b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC       0x800

/* Bits software may set in each LVT entry, in the order of lvt[]. */
static const uint32_t lvt_writable[7] = {
	[LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_ERROR] = 0x100ff,
};

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
	case REG_TMICT:   *v = lapic_timer_mode(l) == TIMER_DEADLINE ? 0 : l->s.timer_init; break;
	case REG_TMCCT:   *v = lapic_timer_count(l); break;
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
		lapic_timer_lvt(l, v);
		return;
	}
	if (!(v & LVT_LEVEL))
		v &= ~(uint32_t)LVT_RIRR;
	l->s.lvt[i] = v;
	if ((i == LVT_LINT0 || i == LVT_LINT1) && l->s.lint_level[i - LVT_LINT0] && v & LVT_LEVEL)
		lapic_lvt_deliver(l, i);
	lapic_attention(l);                  /* LINT0 may pass the 8259 pair's INTR on now */
}

static void svr_write(struct lapic *l, uint32_t v)
{
	l->s.svr = v & (uint32_t)(0xff | SVR_ENABLE | SVR_FOCUS);
	if (!software_enabled(l)) {             /* "the mask bits for all the LVT entries are set" */
		for (unsigned i = LVT_TIMER; i <= LVT_ERROR; i++)
			l->s.lvt[i] |= LVT_MASK;
		lapic_timer_arm(l, l->cpu->ledger.now);
	}
	lapic_attention(l);
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
	case REG_TPR:   l->s.tpr = v & 0xff; lapic_attention(l); break;
	case REG_EOI:   lapic_eoi(l); break;
	case REG_LDR:   l->s.ldr = v & 0xff000000; break;
	case REG_DFR:   l->s.dfr = v | 0x0fffffff; break;
	case REG_SVR:   svr_write(l, v); break;
	case REG_ESR:
		l->s.esr = l->s.esr_pending;
		l->s.esr_pending = 0;
		break;
	case REG_ICR:
		l->s.icr = (l->s.icr & ~MASK(32)) | (v & 0xccfff);
		lapic_send(l, l->s.icr);
		break;
	case REG_ICR2:  l->s.icr = (l->s.icr & MASK(32)) | (uint64_t)(v & 0xff000000) << 32; break;
	case REG_TMICT: lapic_timer_init(l, v); break;
	case REG_TDCR:  lapic_timer_divide(l, v); break;
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
		lapic_error(l, ESR_ILLEGAL_REG);
	return v;
}

void lapic_mmio_write(struct lapic *l, unsigned off, uint32_t v)
{
	if (!(off & 15) && !reg_write(l, off, v))
		lapic_error(l, ESR_ILLEGAL_REG);
}

void lapic_set_cr8(struct lapic *l, unsigned v)
{
	l->s.tpr = (v & 15) << 4;
	lapic_attention(l);
}

/* ---- MSRs ---- */
/* "Legal transitions: xAPIC -> x2APIC, x2APIC -> disabled, disabled <-> xAPIC"; all others #GP. */
static bool base_valid(const struct lapic *l, uint64_t v)
{
	uint64_t legal = BASE_BSP | BASE_EXTD | BASE_EN | (MASK(l->cpu->profile->phys_bits) & PAGE_MASK);
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
		lapic_power_up(l);
	if (new == (BASE_EN | BASE_EXTD) && old == BASE_EN)
		l->s.icr &= MASK(32);
	lapic_attention(l);
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
			lapic_error(l, ESR_SEND_ILLEGAL);
		else
			lapic_accept_vector(l, (uint8_t)v, false);
		return true;
	}
	if (off == REG_ICR) {
		l->s.icr = v & ~(uint64_t)LVT_STATUS;
		lapic_send(l, l->s.icr);
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
		lapic_timer_deadline(l, v);
		return true;
	}
	return msr - MSR_X2APIC < 0x100 && x2apic(l) && x2apic_write(l, (msr - MSR_X2APIC) << 4, v);
}

/* ---- field views ---- */
static uint64_t get_ppr(const void *obj) { return lapic_priority(obj); }
static uint64_t get_count(const void *obj) { return lapic_timer_count(obj); }

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
