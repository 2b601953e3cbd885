/* i8259.c - the pair of 8259A interrupt controllers of a PC, the slave's INT on the master's IR2.
 * Source: Intel 8259A data sheet (order 231468); ELCR: Intel 82371SB (PIIX3) data sheet.
 *
 * Fully nested, special fully nested, special mask, automatic EOI, rotation, poll, edge and
 * level triggering by ICW1.LTIM or ELCR. An edge-triggered request whose line falls before the
 * acknowledge cycle is gone, and the acknowledge then yields the default IR7 without setting
 * its ISR bit.
 *
 *   ICW1  A7 A6 A5  1  LTIM ADI SNGL IC4     OCW2  R SL EOI 0 0 L2 L1 L0
 *   ICW2  T7 T6 T5 T4 T3  -  -   -           OCW3  0 ESMM SMM 0 1 P RR RIS
 *   ICW4   0  0  0 SFNM BUF M/S AEOI uPM
 *
 * Simplified: the buffered-mode pins and the 8085's CALL sequence do not exist on a PC; the bits
 * are kept, not used. */
#include "models/io/i8259.h"

#define CASCADE    2

#define ICW1_INIT  0x10
#define ICW1_LTIM  0x08
#define ICW1_SNGL  0x02
#define ICW1_IC4   0x01
#define ICW4_SFNM  0x10
#define ICW4_AEOI  0x02
#define OCW2_R     0x80
#define OCW2_SL    0x40
#define OCW2_EOI   0x20
#define OCW3       0x08
#define OCW3_ESMM  0x40
#define OCW3_SMM   0x20
#define OCW3_P     0x04
#define OCW3_RR    0x02
#define OCW3_RIS   0x01

static uint8_t irr(const struct i8259_one *o)
{
	uint8_t level = o->icw1 & ICW1_LTIM ? 0xff : o->elcr;
	return (o->edge | level) & o->lines;
}

/* In service, as seen by the priority resolver: in special mask mode a masked level
 * blocks nobody. */
static uint8_t in_service(const struct i8259_one *o)
{
	return o->special_mask ? o->isr & ~o->imr : o->isr;
}

/* The request that would be acknowledged now, or -1. */
static int highest(const struct i8259_one *o, bool master)
{
	uint8_t want = irr(o) & ~o->imr, busy = in_service(o);
	for (unsigned i = 1; i <= 8; i++) {
		unsigned n = (o->lowest + i) & 7;
		/* special fully nested: a higher request from the same slave passes while the
		 * slave's level is served */
		bool again = master && n == CASCADE && o->icw4 & ICW4_SFNM;
		if (want & 1 << n && (!(busy & 1 << n) || again))
			return (int)n;
		if (busy & 1 << n)
			return -1;
	}
	return -1;
}

static void drive(struct i8259_one *o, unsigned n, bool level)
{
	uint8_t m = (uint8_t)(1 << n);
	if (level && !(o->lines & m))
		o->edge |= m;
	if (!level)
		o->edge &= (uint8_t)~m;
	o->lines = (uint8_t)(level ? o->lines | m : o->lines & ~m);
}

static void update(struct i8259 *p)
{
	struct i8259_one *m = &p->s.chip[0], *s = &p->s.chip[1];
	s->out = highest(s, false) >= 0;
	drive(m, CASCADE, s->out);
	bool out = highest(m, true) >= 0;
	if (out != m->out) {
		m->out = out;
		irq_set(&p->intr, out);
	}
}

void i8259_set(struct i8259 *p, unsigned irq, bool level)
{
	if (irq == CASCADE)
		return;
	drive(&p->s.chip[irq >> 3 & 1], irq & 7, level);
	update(p);
}

bool i8259_pending(struct i8259 *p)
{
	return highest(&p->s.chip[0], true) >= 0;
}

/* One INTA: the request moves to ISR (unless automatic EOI) and its edge is used up. -1: it
 * was gone. */
static int accept(struct i8259_one *o, bool master)
{
	int n = highest(o, master);
	if (n < 0)
		return -1;
	o->edge &= (uint8_t)~(1 << n);
	if (!(o->icw4 & ICW4_AEOI))
		o->isr |= (uint8_t)(1 << n);
	else if (o->rotate_aeoi)
		o->lowest = (uint8_t)n;
	return n;
}

uint8_t i8259_acknowledge(struct i8259 *p)
{
	struct i8259_one *m = &p->s.chip[0], *s = &p->s.chip[1];
	int n = accept(m, true);
	struct i8259_one *o = n == CASCADE && !(m->icw1 & ICW1_SNGL) ? s : m;
	if (o == s)
		n = accept(s, false);
	if (n < 0) {
		n = 7;
		chip_count(&p->chip, IO_STAT_PIC_SPURIOUS);
	}
	uint8_t vector = o->base | (uint8_t)n;
	chip_count(&p->chip, IO_STAT_PIC_ACK);
	chip_trace(&p->chip, IO_TRACE_PIC_ACK, vector, 0, 0, 0);
	/* a slave's INT falls between acknowledges, so that its next request is a new edge for
	 * the master */
	if (o == s)
		drive(m, CASCADE, false);
	update(p);
	return vector;
}

static void end_of_interrupt(struct i8259 *p, struct i8259_one *o, int n)
{
	o->isr &= (uint8_t)~(1 << n);
	chip_trace(&p->chip, IO_TRACE_PIC_EOI, o != p->s.chip, n, 0, 0);
}

static void ocw2(struct i8259 *p, struct i8259_one *o, uint8_t v)
{
	int n = v & 7;
	if (!(v & OCW2_EOI)) {
		if ((v & (OCW2_R | OCW2_SL)) == (OCW2_R | OCW2_SL))
			o->lowest = (uint8_t)n;                 /* set priority */
		else if (!(v & OCW2_SL))
			o->rotate_aeoi = !!(v & OCW2_R);        /* rotate in automatic EOI mode: set, clear */
		return;
	}
	/* non-specific: the highest in service */
	if (!(v & OCW2_SL)) {
		uint8_t busy = in_service(o);
		unsigned i = 1;
		while (i <= 8 && !(busy & 1 << ((o->lowest + i) & 7)))
			i++;
		if (i > 8)
			return;
		n = (o->lowest + (int)i) & 7;
	}
	end_of_interrupt(p, o, n);
	if (v & OCW2_R)
		o->lowest = (uint8_t)n;
}

static void ocw3(struct i8259_one *o, uint8_t v)
{
	if (v & OCW3_ESMM)
		o->special_mask = !!(v & OCW3_SMM);
	if (v & OCW3_P)
		o->poll = 1;
	else if (v & OCW3_RR)
		o->read_isr = v & OCW3_RIS;
}

static void icw1(struct i8259_one *o, uint8_t v)
{
	/* "The edge sense circuit is reset ...; the Interrupt Mask Register is cleared; IR7 input
	 * is assigned priority 7; Special Mask Mode is cleared and Status Read is set to IRR; if
	 * IC4 = 0, all functions selected in ICW4 are zero." */
	*o = (struct i8259_one){ .lines = o->lines, .elcr = o->elcr, .base = o->base, .icw1 = v,
	                         .step = 2, .lowest = 7,
	                         .out = o->out };
}

static void icw_next(struct i8259_one *o, uint8_t v)
{
	switch (o->step) {
	case 2: o->base = v & 0xf8; break;
	case 3: o->icw3 = v; break;
	case 4: o->icw4 = v; break;
	}
	if (o->step == 2 && !(o->icw1 & ICW1_SNGL))
		o->step = 3;
	else
		o->step = o->step < 4 && o->icw1 & ICW1_IC4 ? 4 : 0;
}

static void write_one(struct i8259 *p, unsigned which, uint64_t off, uint8_t v)
{
	struct i8259_one *o = &p->s.chip[which];
	if (off == 0 && v & ICW1_INIT)
		icw1(o, v);
	else if (off == 0 && v & OCW3)
		ocw3(o, v);
	else if (off == 0)
		ocw2(p, o, v);
	else if (o->step)
		icw_next(o, v);
	else
		o->imr = v;
	update(p);
}

static uint8_t read_one(struct i8259 *p, unsigned which, uint64_t off)
{
	struct i8259_one *o = &p->s.chip[which];
	/* "the 8259A treats the next RD pulse as an interrupt acknowledge" */
	if (o->poll) {
		o->poll = 0;
		int n = accept(o, which == 0);
		update(p);
		return n < 0 ? 0 : 0x80 | (uint8_t)n;
	}
	if (off == 1)
		return o->imr;
	return o->read_isr ? o->isr : irr(o);
}

static uint64_t master_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	(void)size, (void)at;
	return read_one(dev, 0, off);
}
static uint64_t slave_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	(void)size, (void)at;
	return read_one(dev, 1, off);
}
static void master_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	(void)size, (void)at;
	write_one(dev, 0, off, (uint8_t)v);
}
static void slave_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	(void)size, (void)at;
	write_one(dev, 1, off, (uint8_t)v);
}

/* ELCR: IRQ 0, 1, 2, 8 and 13 are always edge-triggered. */
static const uint8_t elcr_writable[2] = { 0xf8, 0xde };

static uint64_t elcr_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct i8259 *p = dev;
	(void)size, (void)at;
	return p->s.chip[off & 1].elcr;
}
static void elcr_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct i8259 *p = dev;
	(void)size, (void)at;
	p->s.chip[off & 1].elcr = (uint8_t)v & elcr_writable[off & 1];
	update(p);
}

const struct io_ops i8259_master_io = { master_read, master_write, 1, 1, false };
const struct io_ops i8259_slave_io = { slave_read, slave_write, 1, 1, false };
const struct io_ops i8259_elcr_io = { elcr_read, elcr_write, 1, 1, false };

/* What a BIOS leaves: vectors 8-15 and 70H-77H, everything masked, the SCI's line
 * level-triggered. */
static void reset(void *dev)
{
	struct i8259 *p = dev;
	for (int i = 0; i < 2; i++) {
		struct i8259_one *o = &p->s.chip[i];
		*o = (struct i8259_one){ .lines = o->lines, .base = i ? 0x70 : 0x08,
		                         .icw1 = ICW1_INIT | ICW1_IC4,
		                         .icw3 = i ? CASCADE : 1 << CASCADE, .icw4 = 1, .lowest = 7,
		                         .imr = 0xff, .out = o->out };
	}
	p->s.chip[1].elcr = 0x02;
	update(p);
}

#define ONE(i, who) \
	FIELD(i8259_state, chip[i].lines, who ".lines", "levels on IR0-IR7"), \
	FIELD(i8259_state, chip[i].edge, who ".edge", "edges latched"), \
	FIELD(i8259_state, chip[i].imr, who ".imr", "Interrupt Mask Register"), \
	FIELD(i8259_state, chip[i].isr, who ".isr", "In-Service Register"), \
	FIELD(i8259_state, chip[i].elcr, who ".elcr", "Edge/Level Control Register"), \
	FIELD(i8259_state, chip[i].base, who ".icw2", "vector of IR0"), \
	FIELD(i8259_state, chip[i].icw4, who ".icw4", "mode: SFNM, BUF, M/S, AEOI, uPM"), \
	FIELD(i8259_state, chip[i].lowest, who ".lowest", "IR with the lowest priority"), \
	FIELD(i8259_state, chip[i].special_mask, who ".smm", "special mask mode"), \
	FIELD(i8259_state, chip[i].out, who ".int", "INT pin")

static const struct field_row fields[] = { ONE(0, "master"), ONE(1, "slave") };

const struct dev_ops i8259_dev = { DEV_STATE(i8259), .reset = reset, DEV_FIELDS(fields) };
