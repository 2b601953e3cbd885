/* The 8254. One cycle is a thousandth of an oscillator tick. Sentences in quotes: Intel 8254 data sheet. */
#include "rig.h"

#include "models/io/i8254.h"

#define TICK 1000u

struct pit { struct rig *r; struct i8254 p; };

static struct pit *pit_new(void)
{
	struct pit *t = calloc(1, sizeof *t);
	t->r = rig_new((uint64_t)I8254_HZ * TICK);
	t->p.irq = rig_wire(t->r, 0);
	chip_init(&t->p.chip, "pit", &i8254_dev, &t->r->env);
	bus_map(&t->r->bus, BUS_PORT, 0x40, 4, &i8254_io, &t->p);
	bus_map(&t->r->bus, BUS_PORT, 0x61, 1, &port_b_io, &t->p);
	return t;
}
static void pit_free(struct pit *t)
{
	rig_free(t->r);
	free(t);
}
static void program(struct pit *t, unsigned n, uint8_t control, uint16_t count)
{
	out8(t->r, 0x43, (uint8_t)(n << 6 | control));
	out8(t->r, 0x40 + n, (uint8_t)count);
	out8(t->r, 0x40 + n, (uint8_t)(count >> 8));
}
static void ticks(struct pit *t, uint64_t n) { rig_run(t->r, n * TICK); }
static unsigned latched(struct pit *t, unsigned n)
{
	out8(t->r, 0x43, (uint8_t)(n << 6));
	unsigned v = in8(t->r, 0x40 + n);
	return v | (unsigned)in8(t->r, 0x40 + n) << 8;
}
static uint8_t status(struct pit *t, unsigned n)
{
	out8(t->r, 0x43, (uint8_t)(0xe0 | 2 << n));
	return in8(t->r, 0x40 + n);
}

Test(i8254, an_unprogrammed_timer_has_nothing_to_do)
{
	struct pit *t = pit_new();
	cr_expect(eq(u64, evq_next(&t->r->q), NEVER));
	pit_free(t);
}

/* "After the Control Word is written, OUT is initially low"; "OUT does not go high until N + 1 CLK pulses after the
 * initial count is written" */
Test(i8254, mode_0_fires_once_after_n_plus_1)
{
	struct pit *t = pit_new();
	program(t, 0, 0x30, 10);
	ticks(t, 10);
	cr_expect(not(t->r->lamp[0]));
	ticks(t, 1);
	cr_expect(t->r->lamp[0]);
	ticks(t, 200000);
	cr_expect(eq(u32, t->r->rises[0], 1 + 1), "one edge at power-on, one at the terminal count");
	pit_free(t);
}

Test(i8254, mode_0_counts_on_after_zero)
{
	struct pit *t = pit_new();
	program(t, 0, 0x30, 10);
	ticks(t, 1 + 12);
	cr_expect(eq(u32, latched(t, 0), 0xfffe));
	pit_free(t);
}

/* "When the initial count has decremented to 1, OUT goes low for one CLK pulse": a period of N. */
Test(i8254, mode_2_has_a_period_of_n)
{
	struct pit *t = pit_new();
	program(t, 0, 0x34, 100);
	unsigned before = t->r->rises[0];
	ticks(t, 1 + 99);
	cr_expect(not(t->r->lamp[0]));
	ticks(t, 1);
	cr_expect(t->r->lamp[0]);
	ticks(t, 900);
	cr_expect(eq(u32, t->r->rises[0] - before, 10));
	cr_expect(eq(u32, latched(t, 0), 100));
	ticks(t, 1);
	cr_expect(eq(u32, latched(t, 0), 99));
	pit_free(t);
}

/* "OUT will be high for (N + 1)/2 counts and low for (N - 1)/2 counts" when N is odd. */
Test(i8254, mode_3_is_a_square_wave)
{
	struct pit *t = pit_new();
	program(t, 0, 0x36, 5);
	unsigned high = 0;
	ticks(t, 1);
	for (int i = 0; i < 50; i++, ticks(t, 1))
		high += t->r->lamp[0];
	cr_expect(eq(u32, high, 30));
	pit_free(t);
}

Test(i8254, count_0_is_65536)
{
	struct pit *t = pit_new();
	program(t, 0, 0x34, 0);
	unsigned before = t->r->rises[0];
	ticks(t, 65536);
	cr_expect(eq(u32, t->r->rises[0] - before, 0));
	ticks(t, 1);
	cr_expect(eq(u32, t->r->rises[0] - before, 1));
	pit_free(t);
}

/* "Writing a new count while counting does not affect the current counting sequence" (mode 2). */
Test(i8254, a_new_count_waits_for_the_end_of_the_period)
{
	struct pit *t = pit_new();
	program(t, 0, 0x34, 100);
	ticks(t, 1 + 250);
	out8(t->r, 0x40, 10);
	out8(t->r, 0x40, 0);
	cr_expect(eq(u8, status(t, 0) & 0x40, 0x40), "NULL COUNT");
	cr_expect(eq(u32, latched(t, 0), 50));
	ticks(t, 50);
	cr_expect(eq(u32, latched(t, 0), 10));
	cr_expect(eq(u8, status(t, 0) & 0x40, 0));
	unsigned before = t->r->rises[0];
	ticks(t, 100);
	cr_expect(eq(u32, t->r->rises[0] - before, 10));
	pit_free(t);
}

/* "the count is held in the latch until it is read by the CPU"; a second latch command is ignored. */
Test(i8254, a_latched_count_stands_still)
{
	struct pit *t = pit_new();
	program(t, 0, 0x34, 1000);
	ticks(t, 1 + 100);
	out8(t->r, 0x43, 0x00);
	ticks(t, 100);
	out8(t->r, 0x43, 0x00);
	unsigned v = in8(t->r, 0x40);
	v |= (unsigned)in8(t->r, 0x40) << 8;
	cr_expect(eq(u32, v, 900));
	v = in8(t->r, 0x40);
	v |= (unsigned)in8(t->r, 0x40) << 8;
	cr_expect(eq(u32, v, 800));
	pit_free(t);
}

Test(i8254, read_back_gives_status_before_count)
{
	struct pit *t = pit_new();
	program(t, 0, 0x36, 1000);
	ticks(t, 1 + 10);
	out8(t->r, 0x43, 0xc2);         /* both of counter 0 */
	cr_expect(eq(u8, in8(t->r, 0x40), 0x80 | 0x36));
	unsigned v = in8(t->r, 0x40);
	v |= (unsigned)in8(t->r, 0x40) << 8;
	cr_expect(eq(u32, v, 980), "mode 3 counts by twos");
	pit_free(t);
}

Test(i8254, bcd_counts_in_decimal)
{
	struct pit *t = pit_new();
	program(t, 0, 0x31, 0x0100);
	ticks(t, 1 + 1);
	cr_expect(eq(u32, latched(t, 0), 0x0099));
	ticks(t, 100);
	cr_expect(eq(u32, latched(t, 0), 0x9999));
	pit_free(t);
}

/* 61H: bit 0 is GATE2, bit 5 OUT2. Mode 0: "GATE = 1 enables counting; GATE = 0 disables counting." */
Test(i8254, counter_2_counts_while_its_gate_is_open)
{
	struct pit *t = pit_new();
	program(t, 2, 0x30, 100);
	ticks(t, 50);
	cr_expect(eq(u8, in8(t->r, 0x61) & 0x20, 0));
	cr_expect(eq(u32, latched(t, 2), 100));
	out8(t->r, 0x61, 1);
	ticks(t, 60);
	out8(t->r, 0x61, 0);
	ticks(t, 1000);
	cr_expect(eq(u32, latched(t, 2), 40));
	out8(t->r, 0x61, 1);
	ticks(t, 39);
	cr_expect(eq(u8, in8(t->r, 0x61) & 0x20, 0));
	ticks(t, 1);
	cr_expect(eq(u8, in8(t->r, 0x61) & 0x20, 0x20));
	pit_free(t);
}

/* "OUT will go low on the CLK pulse following a trigger ... and will remain low until the Counter reaches zero" */
Test(i8254, mode_1_starts_at_the_gates_rising_edge)
{
	struct pit *t = pit_new();
	program(t, 2, 0x32, 10);
	ticks(t, 100);
	cr_expect(eq(u8, in8(t->r, 0x61) & 0x20, 0x20));
	out8(t->r, 0x61, 1);
	ticks(t, 1);
	cr_expect(eq(u8, in8(t->r, 0x61) & 0x20, 0));
	ticks(t, 10);
	cr_expect(eq(u8, in8(t->r, 0x61) & 0x20, 0x20));
	pit_free(t);
}

Test(i8254, the_refresh_bit_toggles)
{
	struct pit *t = pit_new();
	unsigned toggles = 0;
	uint8_t last = in8(t->r, 0x61) & 0x10;
	for (int i = 0; i < 1800; i++, ticks(t, 1)) {
		uint8_t v = in8(t->r, 0x61) & 0x10;
		toggles += v != last;
		last = v;
	}
	cr_expect(eq(u32, toggles, 99));
	pit_free(t);
}
