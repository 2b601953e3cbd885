/* The MC146818. Sentences in quotes: Motorola MC146818A data sheet. */
#include "rig.h"

#include "models/io/rtc.h"

#define HZ 32768000ull                  /* a thousand cycles a crystal tick */
#define EPOCH 951782399                 /* 2000-02-28 23:59:59, a Monday */

struct clock { struct rig *r; struct rtc c; unsigned alarms; };

static void alarm_rang(void *who) { ((struct clock *)who)->alarms++; }

static struct clock *clock_new(void)
{
	struct clock *c = calloc(1, sizeof *c);
	c->r = rig_new(HZ);
	c->c.irq = rig_wire(c->r, 8);
	c->c.alarm = alarm_rang;
	c->c.alarm_who = c;
	chip_init(&c->c.chip, "rtc", &rtc_dev, &c->r->env);
	rtc_setup(&c->c, EPOCH, 512ull << 20, 0, 3);
	bus_map(&c->r->bus, BUS_PORT, 0x70, 2, &rtc_io, &c->c);
	return c;
}
static void clock_free(struct clock *c)
{
	rig_free(c->r);
	free(c);
}
static uint8_t get(struct clock *c, uint8_t i)
{
	out8(c->r, 0x70, i);
	return in8(c->r, 0x71);
}
static void put(struct clock *c, uint8_t i, uint8_t v)
{
	out8(c->r, 0x70, i);
	out8(c->r, 0x71, v);
}

Test(rtc, starts_at_the_epoch_in_bcd_24_hours)
{
	struct clock *c = clock_new();
	const struct { uint8_t i, v; } want[] = { { 0, 0x59 }, { 2, 0x59 }, { 4, 0x23 }, { 6, 0x02 }, { 7, 0x28 }, { 8, 0x02 },
	                                          { 9, 0x00 }, { 0x32, 0x20 } };
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		cr_expect(eq(u8, get(c, want[i].i), want[i].v), "register %#x", want[i].i);
	rig_run(c->r, HZ);
	cr_expect(eq(u8, get(c, 7), 0x29), "2000 is a leap year");
	cr_expect(eq(u8, get(c, 4), 0));
	clock_free(c);
}

Test(rtc, binary_and_twelve_hours)
{
	struct clock *c = clock_new();
	put(c, 0x0b, 0x06);
	cr_expect(eq(u8, get(c, 4), 23));
	cr_expect(eq(u8, get(c, 0), 59));
	put(c, 0x0b, 0x00);
	cr_expect(eq(u8, get(c, 4), 0x91), "11 PM");
	rig_run(c->r, HZ);
	cr_expect(eq(u8, get(c, 4), 0x12), "12 AM");
	clock_free(c);
}

/* "When the SET bit is 1, any update cycle in progress is aborted and the program may initialize the time" */
Test(rtc, set_freezes_and_the_written_time_runs_on)
{
	struct clock *c = clock_new();
	put(c, 0x0b, 0x82);
	rig_run(c->r, 10 * HZ);
	cr_expect(eq(u8, get(c, 0), 0x59));
	put(c, 0, 0x30), put(c, 2, 0x15), put(c, 4, 0x08), put(c, 7, 0x31), put(c, 8, 0x12), put(c, 9, 0x99), put(c, 0x32, 0x19);
	put(c, 0x0b, 0x02);
	rig_run(c->r, HZ);
	cr_expect(eq(u8, get(c, 0), 0x31));
	cr_expect(eq(u8, get(c, 8), 0x12));
	cr_expect(eq(u8, get(c, 9), 0x99));
	clock_free(c);
}

/* "UIP ... is a 1 for 244 us before the update cycle and during the update" */
Test(rtc, uip_warns_before_the_second_turns)
{
	struct clock *c = clock_new();
	cr_expect(eq(u8, get(c, 0x0a), 0x26));
	rig_run(c->r, HZ - HZ / 1000);
	cr_expect(eq(u8, get(c, 0x0a), 0xa6));
	rig_run(c->r, HZ / 1000);
	cr_expect(eq(u8, get(c, 0x0a), 0x26));
	clock_free(c);
}

Test(rtc, an_idle_clock_has_no_events)
{
	struct clock *c = clock_new();
	cr_expect(eq(u64, evq_next(&c->r->q), NEVER));
	clock_free(c);
}

Test(rtc, update_interrupt_comes_each_second_until_c_is_read)
{
	struct clock *c = clock_new();
	put(c, 0x0b, 0x12);
	rig_run(c->r, HZ - 1);
	cr_expect(not(c->r->lamp[8]));
	rig_run(c->r, 1);
	cr_expect(c->r->lamp[8]);
	cr_expect(eq(u8, get(c, 0x0c), 0xf0), "PF and AF are set whether enabled or not: midnight is the alarm of all zeros");
	cr_expect(not(c->r->lamp[8]), "reading register C clears it");
	cr_expect(eq(u8, get(c, 0x0c), 0));
	rig_run(c->r, HZ);
	cr_expect(c->r->lamp[8]);
	clock_free(c);
}

/* Rate 0110: 1024 Hz. */
Test(rtc, periodic_interrupt)
{
	struct clock *c = clock_new();
	put(c, 0x0b, 0x42);
	unsigned n = 0;
	for (int i = 0; i < 64; i++) {
		rig_run(c->r, 32 * 1000);
		n += (get(c, 0x0c) & 0xc0) == 0xc0;
	}
	cr_expect(eq(u32, n, 64));
	clock_free(c);
}

/* "the alarm ... when the alarm bytes match; a 'don't care' code is any hexadecimal byte from C0 to FF" */
Test(rtc, alarm)
{
	struct clock *c = clock_new();
	put(c, 1, 0x10), put(c, 3, 0x00), put(c, 5, 0xff);
	put(c, 0x0b, 0x22);
	rig_run(c->r, 10 * HZ);
	cr_expect(not(c->r->lamp[8]), "at 00:00:09");
	rig_run(c->r, HZ);
	cr_expect(c->r->lamp[8]);
	cr_expect(eq(u32, c->alarms, 1));
	cr_expect(eq(u8, get(c, 0x0c), 0xf0));
	rig_run(c->r, 3600 * HZ - 1);
	cr_expect(not(c->r->lamp[8]));
	rig_run(c->r, 1);
	cr_expect(c->r->lamp[8], "the next hour");
	clock_free(c);
}

Test(rtc, an_alarm_that_cannot_match_never_comes)
{
	struct clock *c = clock_new();
	put(c, 1, 0x75);
	put(c, 0x0b, 0x22);
	cr_expect(eq(u64, evq_next(&c->r->q), NEVER));
	clock_free(c);
}

/* "RESET ... does not affect the clock, calendar, or RAM functions" */
Test(rtc, reset_keeps_time_and_memory)
{
	struct clock *c = clock_new();
	put(c, 0x0f, 0x0a);
	put(c, 0x0b, 0x72);
	rig_run(c->r, 5 * HZ);
	rtc_dev.reset(&c->c);
	cr_expect(eq(u8, get(c, 0x0b), 0x02));
	cr_expect(eq(u8, get(c, 0), 0x04));
	cr_expect(eq(u8, get(c, 0x0f), 0x0a));
	clock_free(c);
}

Test(rtc, memory_sizes)
{
	struct clock *c = clock_new();
	cr_expect(eq(u32, get(c, 0x15) | get(c, 0x16) << 8, 640));
	cr_expect(eq(u32, get(c, 0x17) | get(c, 0x18) << 8, 65535), "capped");
	cr_expect(eq(u32, get(c, 0x34) | get(c, 0x35) << 8, (512 - 16) * 16));
	cr_expect(eq(u8, get(c, 0x5f), 2));
	clock_free(c);
}
