/* ioapic.c - the I/O APIC.
 * Source: Intel 82093AA data sheet (order 290566); version 20H with the EOI register as in Intel's chipsets
 * (e.g. "I/O Controller Hub 9 data sheet", APIC Indexed Registers).
 *
 *   redirection table entry
 *   63:56 destination | 16 mask | 15 trigger, 1: level | 14 remote IRR | 13 polarity, 1: active low |
 *   12 delivery status | 11 destination mode, 1: logical | 10:8 delivery mode | 7:0 vector
 *
 * A message is delivered at once: delivery status is never seen set, except that a level-triggered entry nobody
 * accepted stays pending by its line. An edge on a masked pin is lost. Remote IRR is set when a level-triggered
 * fixed or lowest-priority message was accepted and cleared by an EOI for its vector; if the line is still asserted
 * then, the message is sent again. Switching an entry to edge-triggered clears remote IRR.
 * Simplified: no arbitration on an APIC bus; ID and arbitration ID are only registers. */
#include "models/io/ioapic.h"

#define REG_SELECT  0x00
#define REG_WINDOW  0x10
#define REG_EOI     0x40

#define RTE_VECTOR(e)   ((uint8_t)(e))
#define RTE_MODE(e)     ((e) >> 8 & 7)
#define RTE_LOGICAL     BIT(11)
#define RTE_STATUS      BIT(12)
#define RTE_LOW         BIT(13)
#define RTE_REMOTE_IRR  BIT(14)
#define RTE_LEVEL       BIT(15)
#define RTE_MASK        BIT(16)
#define RTE_DEST(e)     ((uint32_t)((e) >> 56))
#define RTE_WRITABLE    (0xff000000000000ffull | 0x700 | RTE_LOGICAL | RTE_LOW | RTE_LEVEL | RTE_MASK)

static bool asserted(const struct ioapic *a, unsigned pin)
{
	return (a->s.lines >> pin & 1) != !!(a->s.rte[pin] & RTE_LOW);
}

static void send(struct ioapic *a, unsigned pin)
{
	uint64_t e = a->s.rte[pin];
	unsigned mode = RTE_MODE(e);
	struct apic_msg m = { .dest = RTE_DEST(e), .logical = !!(e & RTE_LOGICAL),
	                      .delivery = (uint8_t)mode,
	                      .vector = RTE_VECTOR(e), .level = 1, .trigger = !!(e & RTE_LEVEL),
	                      .from = 0xff };
	chip_count(&a->chip, IO_STAT_IOAPIC_MSG);
	chip_trace(&a->chip, IO_TRACE_IOAPIC_MSG, pin, m.vector, m.dest, mode);
	bool taken = a->bus.send && a->bus.send(a->bus.who, &m);
	if (taken && e & RTE_LEVEL && (mode == APIC_FIXED || mode == APIC_LOWEST))
		a->s.rte[pin] |= RTE_REMOTE_IRR;
}

static void level_check(struct ioapic *a, unsigned pin)
{
	if ((a->s.rte[pin] & (RTE_LEVEL | RTE_MASK | RTE_REMOTE_IRR)) == RTE_LEVEL &&
	    asserted(a, pin))
		send(a, pin);
}

void ioapic_set(struct ioapic *a, unsigned pin, bool level)
{
	if (pin >= IOAPIC_PINS)
		return;
	bool was = asserted(a, pin);
	a->s.lines = (uint32_t)((a->s.lines & ~BIT(pin)) | (uint64_t)level << pin);
	if (a->s.rte[pin] & RTE_LEVEL)
		level_check(a, pin);
	else if (!was && asserted(a, pin) && !(a->s.rte[pin] & RTE_MASK))
		send(a, pin);
}

void ioapic_eoi(struct ioapic *a, uint8_t vector)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if (a->s.rte[pin] & RTE_LEVEL && a->s.rte[pin] & RTE_REMOTE_IRR &&
		    RTE_VECTOR(a->s.rte[pin]) == vector) {
			a->s.rte[pin] &= ~RTE_REMOTE_IRR;
			level_check(a, pin);
		}
}

static uint32_t reg_read(const struct ioapic *a)
{
	unsigned r = a->s.select;
	if (r == 0 || r == 2)                   /* ID; the arbitration ID follows it */
		return a->s.id;
	if (r == 1)
		return (IOAPIC_PINS - 1) << 16 | 0x20;
	if (r - 0x10 < 2 * IOAPIC_PINS)
		return (uint32_t)(a->s.rte[(r - 0x10) / 2] >> (r & 1 ? 32 : 0));
	return 0;
}

static void rte_write(struct ioapic *a, unsigned pin, bool high, uint32_t v)
{
	uint64_t e = a->s.rte[pin];
	bool was = asserted(a, pin);
	uint64_t mask = high ? RTE_WRITABLE & ~MASK(32) : RTE_WRITABLE & MASK(32);
	e = (e & ~mask) | ((high ? (uint64_t)v << 32 : v) & mask);
	if (!(e & RTE_LEVEL))
		e &= ~RTE_REMOTE_IRR;
	bool polarity = (e ^ a->s.rte[pin]) & RTE_LOW;
	a->s.rte[pin] = e;
	level_check(a, pin);
	/* turning the polarity over makes an edge as the pin's level does */
	if (polarity && !was && asserted(a, pin) && !(e & (RTE_LEVEL | RTE_MASK)))
		send(a, pin);
}

static void reg_write(struct ioapic *a, uint32_t v)
{
	unsigned r = a->s.select;
	if (r == 0)
		a->s.id = v & 0x0f000000;
	else if (r - 0x10 < 2 * IOAPIC_PINS)
		rte_write(a, (r - 0x10) / 2, r & 1, v);
}

static uint64_t mmio_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct ioapic *a = dev;
	(void)at;
	unsigned shift = (unsigned)(off & 3) * 8;
	uint32_t v = 0;
	if ((off & 3) + size > 4)
		return 0;
	if ((off & 0xfc) == REG_SELECT)
		v = a->s.select;
	else if ((off & 0xfc) == REG_WINDOW)
		v = reg_read(a);
	return v >> shift;
}

/* IOREGSEL takes bytes; the window and the EOI register take doublewords. */
static void mmio_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct ioapic *a = dev;
	(void)at;
	off &= 0xff;
	if (off == REG_SELECT)
		a->s.select = (uint8_t)v;
	else if (off == REG_WINDOW && size == 4)
		reg_write(a, (uint32_t)v);
	else if (off == REG_EOI && size == 4)
		ioapic_eoi(a, (uint8_t)v);
}

const struct io_ops ioapic_io = { mmio_read, mmio_write, 1, 4, true };

static void reset(void *dev)
{
	struct ioapic *a = dev;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		a->s.rte[i] = RTE_MASK;
	a->s.id = 0;
	a->s.select = 0;
}

static const struct field_bits rte_bits[] = {
	{ 63, 56, "dest", "destination" }, { 16, 16, "mask", "masked" }, { 15, 15, "level", "level-triggered" },
	{ 14, 14, "rirr", "remote IRR" }, { 13, 13, "low", "active low" }, { 12, 12, "pending", "delivery status" },
	{ 11, 11, "logical", "logical destination" }, { 10, 8, "mode", "delivery mode" }, { 7, 0, "vector", "vector" },
	{ 0, 0, NULL, NULL },
};
#define RTE(n) FIELD_BITS(ioapic_state, rte[n], "rte" #n, rte_bits, "redirection table entry " #n)
static const struct field_row fields[] = {
	FIELD(ioapic_state, id, "id", "I/O APIC ID"),
	FIELD(ioapic_state, select, "ioregsel", "register selected"),
	FIELD(ioapic_state, lines, "lines", "levels of the pins"),
	RTE(0), RTE(1), RTE(2), RTE(3), RTE(4), RTE(5), RTE(6), RTE(7), RTE(8), RTE(9), RTE(10), RTE(11),
	RTE(12), RTE(13), RTE(14), RTE(15), RTE(16), RTE(17), RTE(18), RTE(19), RTE(20), RTE(21), RTE(22), RTE(23),
};

const struct dev_ops ioapic_dev = { DEV_STATE(ioapic), .reset = reset, DEV_FIELDS(fields) };
