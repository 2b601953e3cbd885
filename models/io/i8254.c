/* i8254.c - the 8254 programmable interval timer at 40H-43H and system control port B at 61H.
 * Source: Intel 8254 data sheet (order 231164); port 61H: Intel 82371SB (PIIX3) data sheet, "NMI Status and Control".
 *
 * Counter 0 drives IRQ0, counter 1 is the refresh request (its toggle shows in 61H bit 4),
 * counter 2 the speaker, gated by 61H bit 0, its output read in 61H bit 5. The oscillator runs at
 * 1.193182 MHz.
 *
 *   control word  SC1 SC0 RW1 RW0 M2 M1 M0 BCD      read-back  1 1 COUNT# STATUS# CNT2 CNT1 CNT0 0
 *   status        OUT NULL RW1 RW0 M2 M1 M0 BCD
 *
 * A counter is not stepped: count and output are functions of the ticks since it was loaded, and the event queue holds
 * the next change of OUT0. A count takes effect one clock after it was written; in modes 2 and 3 a new count waits
 * for the end of the period, in modes 1 and 5 for the gate's rising edge.
 * Simplified: in mode 3 a new count waits for the whole period, not for the half. */
#include "models/io/i8254.h"

#include <string.h>

#include "models/io/ticks.h"

#define RW(c)   ((c)->control >> 4 & 3)
#define BCD(c)  ((c)->control & 1)
#define STATUS_OUT  0x80
#define STATUS_NULL 0x40

#define B_GATE2     0x01
#define B_SPEAKER   0x02
#define B_WRITABLE  0x0f
#define B_REFRESH   0x10
#define B_OUT2      0x20

static unsigned mode_of(const struct i8254_counter *c)
{
	unsigned m = c->control >> 1 & 7;
	return m > 5 ? m - 4 : m;       /* 6 and 7 are 2 and 3 */
}

static bool periodic(const struct i8254_counter *c) { return mode_of(c) == 2 || mode_of(c) == 3; }
static bool triggered(const struct i8254_counter *c) { return mode_of(c) == 1 || mode_of(c) == 5; }

static uint64_t hz(const struct i8254 *p) { return p->chip.env->profile->hz; }
static uint64_t tick_now(const struct i8254 *p)
{
	return ticks_at(chip_now(&p->chip), I8254_HZ, hz(p));
}

/* Ticks counted since the load. */
static uint64_t elapsed(const struct i8254_counter *c, uint64_t t)
{
	bool frozen = c->stopped || (!c->gate && !triggered(c));
	return c->held + (!frozen && t > c->start ? t - c->start : 0);
}

/* A periodic counter takes a waiting count at the end of its period. */
static void settle(struct i8254_counter *c, uint64_t t)
{
	if (!periodic(c) || !c->next || !c->gate)
		return;
	uint64_t n = elapsed(c, t) / c->count;
	if (n == 0)
		return;
	c->start += c->count - c->held;         /* the end of the period the write fell into */
	c->held = 0;
	c->count = c->next;
	c->next = 0;
}

static bool out_at(const struct i8254_counter *c, uint64_t t)
{
	uint64_t e = elapsed(c, t);
	switch (mode_of(c)) {
	case 0: return c->loaded && e > 0 && e >= c->count;     /* N+1 clocks after the write: start is one later */
	case 1: return !c->loaded || e >= c->count;
	case 2: return !c->gate || !c->loaded || c->count == 1 || e % c->count != c->count - 1;
	case 3: return !c->gate || !c->loaded || e % c->count < (c->count + 1) / 2;
	default: return !c->loaded || e != c->count;
	}
}

/* What the counting element shows. */
static uint16_t value_at(const struct i8254_counter *c, uint64_t t)
{
	uint64_t e = elapsed(c, t);
	uint32_t wrap = BCD(c) ? 10000 : 65536, v;
	if (!c->loaded)
		v = c->count;
	else if (mode_of(c) == 2)
		v = c->count - (uint32_t)(e % c->count);
	else if (mode_of(c) == 3) {             /* by twos, twice a period */
		uint32_t half = (c->count + 1) / 2, into = (uint32_t)(e % c->count);
		v = (c->count & ~1u) - 2 * (into < half ? into : into - half);
		if (v == 0)
			v = c->count & ~1u;
	} else
		v = (uint32_t)((c->count + wrap - e % wrap) % wrap);
	v %= wrap;
	if (BCD(c))
		v = v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
	return (uint16_t)v;
}

/* The first tick after t at which OUT may differ, or NEVER. */
static uint64_t next_change(const struct i8254_counter *c, uint64_t t)
{
	if (!c->loaded || c->stopped || (!c->gate && !triggered(c)))
		return NEVER;
	uint64_t e = elapsed(c, t), base = c->start - c->held, n = c->count;
	if (t < c->start)
		return c->start + (mode_of(c) == 3 ? (n + 1) / 2 : mode_of(c) == 2 ? n - 1 :
		                   n) - c->held;
	switch (mode_of(c)) {
	case 2: return base + (e % n < n - 1 ? e - e % n + n - 1 : e - e % n + n);
	case 3: return base + (e % n < (n + 1) / 2 ? e - e % n + (n + 1) / 2 : e - e % n + n);
	case 4: case 5: return e < n ? base + n : e == n ? base + n + 1 : NEVER;
	default: return e < n ? base + n : NEVER;
	}
}

static void update_irq0(struct i8254 *p)
{
	bool out = out_at(&p->s.c[0], tick_now(p));
	if (out != p->s.out0) {
		p->s.out0 = out;
		if (out)
			chip_count(&p->chip, IO_STAT_PIT_OUT0);
		irq_set(&p->irq, out);
	}
}

static void schedule(struct i8254 *p)
{
	uint64_t t = next_change(&p->s.c[0], tick_now(p));
	evq_cancel(p->chip.env->evq, p->chip.owner, 0);
	if (t != NEVER)
		evq_add(p->chip.env->evq, p->chip.owner, ticks_cycle(t, I8254_HZ, hz(p)), 0, t);
}

static void event(void *dev, cycle_t now, uint32_t code, uint64_t arg)
{
	struct i8254 *p = dev;
	(void)code, (void)arg;
	bus_clock(p->chip.env->bus, now);
	settle(&p->s.c[0], tick_now(p));
	update_irq0(p);
	schedule(p);
}

static void changed(struct i8254 *p, unsigned n)
{
	if (n == 0) {
		update_irq0(p);
		schedule(p);
	}
}

static void load(struct i8254_counter *c, uint64_t t, uint32_t count)
{
	c->count = count;
	c->next = 0;
	c->held = 0;
	c->start = t + 1;
	c->loaded = 1;
	c->stopped = 0;
}

static void count_written(struct i8254 *p, unsigned n, uint16_t raw)
{
	struct i8254_counter *c = &p->s.c[n];
	uint64_t t = tick_now(p);
	uint32_t v = raw;
	if (BCD(c))
		v = (raw >> 12) * 1000u + (raw >> 8 & 15) * 100u + (raw >> 4 & 15) * 10u +
		    (raw & 15);
	if (v == 0)
		v = BCD(c) ? 10000 : 65536;
	if (v == 1 && periodic(c))
		v = 2;                          /* "COUNT of 1 is illegal in mode 2"; the element would never fall */
	settle(c, t);
	if (periodic(c) && c->loaded && c->gate) {
		uint64_t e = elapsed(c, t);
		c->start += e - e % c->count - c->held;
		c->held = 0;
		c->next = v;
	} else if (triggered(c))
		c->next = v;
	else
		load(c, t, v);
	chip_trace(&p->chip, IO_TRACE_PIT_PROGRAM, n, mode_of(c), v, 0);
	changed(p, n);
}

static void set_gate(struct i8254 *p, unsigned n, bool gate)
{
	struct i8254_counter *c = &p->s.c[n];
	uint64_t t = tick_now(p);
	if (gate == c->gate)
		return;
	settle(c, t);
	if (!triggered(c)) {
		c->held = elapsed(c, t);
		c->start = t;
	}
	c->gate = gate;
	if (gate && triggered(c) && (c->next || c->loaded))
		load(c, t, c->next ? c->next : c->count);
	else if (gate && periodic(c) && c->loaded)      /* the rising edge starts the period anew */
		load(c, t, c->next ? c->next : c->count);
	changed(p, n);
}

static void latch_count(struct i8254_counter *c, uint64_t t)
{
	if (c->latched)
		return;                         /* "the second Latch Command is ignored" until the first was read */
	c->latch = value_at(c, t);
	c->latched = RW(c) == 3 ? 2 : 1;
	c->read_high = RW(c) == 2;
}

static void latch_status(struct i8254_counter *c, uint64_t t)
{
	if (c->status_latched)
		return;
	bool null = c->next || !c->loaded || t < c->start;
	c->status = (out_at(c, t) ? STATUS_OUT : 0) | (null ? STATUS_NULL : 0) | c->control;
	c->status_latched = 1;
}

static void control(struct i8254 *p, uint8_t v)
{
	uint64_t t = tick_now(p);
	unsigned n = v >> 6;
	if (n == 3) {                           /* read-back */
		for (unsigned i = 0; i < 3; i++)
			if (v & 2 << i) {
				settle(&p->s.c[i], t);
				if (!(v & 0x20))
					latch_count(&p->s.c[i], t);
				if (!(v & 0x10))
					latch_status(&p->s.c[i], t);
			}
		return;
	}
	struct i8254_counter *c = &p->s.c[n];
	settle(c, t);
	if (!(v & 0x30)) {
		latch_count(c, t);
		return;
	}
	/* "When a Control Word is written, all Control Logic is reset and OUT goes to a known
	 * initial state." */
	uint16_t shown = value_at(c, t);
	*c = (struct i8254_counter){ .control = v & 0x3f, .gate = c->gate,
	                             .count = shown ? shown : 65536, .start = t };
	c->read_high = RW(c) == 2;
	changed(p, n);
}

static uint64_t pit_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct i8254 *p = dev;
	(void)size, (void)at;
	if (off == 3)
		return 0xff;                    /* the control word cannot be read */
	struct i8254_counter *c = &p->s.c[off];
	uint64_t t = tick_now(p);
	settle(c, t);
	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	uint16_t v = c->latched ? c->latch : value_at(c, t);
	uint8_t byte = (uint8_t)(c->read_high ? v >> 8 : v);
	if (c->latched)
		c->latched--;
	if (RW(c) == 3)
		c->read_high ^= 1;
	return byte;
}

static void pit_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct i8254 *p = dev;
	(void)size, (void)at;
	if (off == 3) {
		control(p, (uint8_t)v);
		return;
	}
	struct i8254_counter *c = &p->s.c[off];
	switch (RW(c)) {
	case 1:
		count_written(p, (unsigned)off, (uint8_t)v);
		break;
	case 2:
		count_written(p, (unsigned)off, (uint16_t)(v << 8));
		break;
	case 3:
		if (c->write_high) {
			c->write_high = 0;
			count_written(p, (unsigned)off, (uint16_t)(c->low | v << 8));
		} else {
			c->write_high = 1;
			c->low = (uint8_t)v;
			/* "writing the first byte disables counting. OUT is set low" */
			if (mode_of(c) == 0) {
				c->held = 0;
				c->stopped = 1;
				c->loaded = 0;
				changed(p, (unsigned)off);
			}
		}
		break;
	}
}

/* System control port B. */
static uint64_t port_b_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct i8254 *p = dev;
	(void)off, (void)size, (void)at;
	uint64_t t = tick_now(p);
	settle(&p->s.c[2], t);
	/* refresh requests come every 18 ticks (15.1 us); the bit toggles with each */
	return p->s.port_b | (t / 18 & 1 ? B_REFRESH : 0) | (out_at(&p->s.c[2], t) ? B_OUT2 : 0);
}
static void port_b_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct i8254 *p = dev;
	(void)off, (void)size, (void)at;
	p->s.port_b = (uint8_t)v & B_WRITABLE;
	set_gate(p, 2, v & B_GATE2);
}

const struct io_ops i8254_io = { pit_read, pit_write, 1, 1, false };
const struct io_ops port_b_io = { port_b_read, port_b_write, 1, 1, false };

/* The modes a BIOS chooses, but no count in counter 0: a machine whose software wants no tick
 * can be idle. */
static void reset(void *dev)
{
	struct i8254 *p = dev;
	static const uint8_t boot[3] = { 0x34, 0x14, 0x36 };
	for (unsigned i = 0; i < 3; i++)
		p->s.c[i] = (struct i8254_counter){ .control = boot[i], .gate = i != 2,
		                                    .count = 65536 };
	p->s.port_b = 0;
	changed(p, 0);
}

#define COUNTER(i, n) \
	FIELD(i8254_state, c[i].count, n ".count", "count in the counting element's period"), \
	FIELD(i8254_state, c[i].control, n ".control", "control word: RW, mode, BCD"), \
	FIELD(i8254_state, c[i].start, n ".start", "oscillator tick of the load"), \
	FIELD(i8254_state, c[i].gate, n ".gate", "GATE pin")
static const struct field_row fields[] = {
	COUNTER(0, "0"), COUNTER(1, "1"), COUNTER(2, "2"),
	FIELD(i8254_state, out0, "out0", "OUT0, the timer interrupt line"),
	FIELD(i8254_state, port_b, "port_b", "system control port B (61H) as written"),
};

/* A file's state: counts are divisors. */
static bool valid(void *dev, const void *state)
{
	struct i8254_state s;
	(void)dev;
	memcpy(&s, state, sizeof s);
	for (int i = 0; i < 3; i++)
		if (s.c[i].count < 1 || s.c[i].count > 65536 || s.c[i].next > 65536)
			return false;
	return true;
}

const struct dev_ops i8254_dev = { DEV_STATE(i8254), .reset = reset, .event = event, .valid = valid,
                                   DEV_FIELDS(fields) };
