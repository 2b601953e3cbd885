/* rtc.c - the MC146818 real-time clock and the CMOS memory, at ports 70H (index) and 71H (data).
 * Source: Motorola MC146818A data sheet; CMOS map: Ralf Brown's CMOS memory map, and what SeaBIOS reads.
 *
 *   A  UIP DV2 DV1 DV0 RS3 RS2 RS1 RS0      C  IRQF PF AF UF 0 0 0 0
 *   B  SET PIE AIE UIE SQWE DM 24/12 DSE    D  VRT  0 ...
 *
 * The time is a function of the CPU clock: nothing ticks. Flags are brought up to date when somebody looks, and the
 * event queue holds the next moment an enabled interrupt will come, so an idle machine stays idle.
 * UIP is set 244 us before the second turns, for the update's 1984 us as well with a 32.768 kHz crystal.
 * Simplified: no daylight saving; out-of-range values written to the time are taken modulo the calendar. */
#include "models/io/rtc.h"

#include <string.h>

#include "models/io/ticks.h"

#define REG_A 0x0a
#define REG_B 0x0b
#define REG_C 0x0c
#define REG_D 0x0d
#define REG_CENTURY 0x32

#define A_UIP 0x80
#define B_SET 0x80
#define B_PIE 0x40
#define B_AIE 0x20
#define B_UIE 0x10
#define B_SQWE 0x08
#define B_DM  0x04
#define B_24H 0x02
#define C_IRQF 0x80
#define C_PF  0x40
#define C_AF  0x20
#define C_UF  0x10
#define HOUR_PM 0x80
#define DONT_CARE 0xc0

#define CRYSTAL_HZ 32768u
#define UPDATE_NS  2228000u             /* 244 us of warning and 1984 us of update */

enum { SEC, SEC_ALARM, MIN, MIN_ALARM, HOUR, HOUR_ALARM, WDAY, MDAY, MONTH, YEAR };

/* ---- calendar, proleptic Gregorian ---- */
struct date { int64_t year; int month, mday, wday, hour, min, sec; };

static int64_t floordiv(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static int64_t days_of(int64_t y, int m, int d)         /* since 1970-01-01 */
{
	y -= m <= 2;
	int64_t era = floordiv(y, 400), yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct date date_of(int64_t t)
{
	int64_t days = floordiv(t, 86400), s = t - days * 86400, z = days + 719468;
	int64_t era = floordiv(z, 146097), doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int doy = (int)(doe - (365 * yoe + yoe / 4 - yoe / 100)), mp = (5 * doy + 2) / 153;
	int month = mp < 10 ? mp + 3 : mp - 9;
	int64_t wday = days + 4 - floordiv(days + 4, 7) * 7;
	return (struct date){ .year = yoe + era * 400 + (month <= 2), .month = month,
	                      .mday = doy - (153 * mp + 2) / 5 + 1,
	                      .wday = (int)wday, .hour = (int)(s / 3600), .min = (int)(s / 60 % 60),
	                      .sec = (int)(s % 60) };
}

/* ---- registers' number formats ---- */
static uint8_t pack(const struct rtc *r, int v)
{
	return (uint8_t)(r->s.cmos[REG_B] & B_DM ? v : v / 10 % 10 << 4 | v % 10);
}
static int unpack(const struct rtc *r, uint8_t v)
{
	return r->s.cmos[REG_B] & B_DM ? v : (v >> 4) * 10 + (v & 15);
}
static uint8_t pack_hour(const struct rtc *r, int h)
{
	if (r->s.cmos[REG_B] & B_24H)
		return pack(r, h);
	return pack(r, h % 12 ? h % 12 : 12) | (h >= 12 ? HOUR_PM : 0);
}
static int unpack_hour(const struct rtc *r, uint8_t v)
{
	if (r->s.cmos[REG_B] & B_24H)
		return unpack(r, v) % 24;
	return unpack(r, v & 0x7f) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* ---- time ---- */
static uint64_t hz(const struct rtc *r) { return r->chip.env->profile->hz; }

static uint64_t seconds_since(const struct rtc *r, cycle_t now)
{
	return r->s.frozen || now < r->s.since ? 0 : (now - r->s.since) / hz(r);
}

static void show(struct rtc *r)         /* time into registers 00-09 */
{
	struct date d = date_of(r->s.seconds + (int64_t)seconds_since(r, chip_now(&r->chip)));
	uint8_t *c = r->s.cmos;
	c[SEC] = pack(r, d.sec);
	c[MIN] = pack(r, d.min);
	c[HOUR] = pack_hour(r, d.hour);
	c[WDAY] = pack(r, d.wday + 1);
	c[MDAY] = pack(r, d.mday);
	c[MONTH] = pack(r, d.month);
	c[YEAR] = pack(r, (int)(d.year % 100));
	c[REG_CENTURY] = pack(r, (int)(d.year / 100 % 100));
}

static void take(struct rtc *r)         /* registers 00-09 into time; the second starts anew */
{
	const uint8_t *c = r->s.cmos;
	int month = unpack(r, c[MONTH]);
	int64_t year = unpack(r, c[REG_CENTURY]) * 100 + unpack(r, c[YEAR]);
	year += (month - 1) / 12;
	month = month < 1 ? 1 : (month - 1) % 12 + 1;
	r->s.seconds = days_of(year, month, unpack(r, c[MDAY])) * 86400 + unpack_hour(r,
	        c[HOUR]) * 3600
	               + unpack(r, c[MIN]) * 60 + unpack(r, c[SEC]);
}

/* Seconds from `from` (a second's number, exclusive) to the next that matches the alarm; 0: within
 * a day none does. */
static int64_t alarm_after(const struct rtc *r, int64_t from)
{
	const uint8_t *c = r->s.cmos;
	bool any_s = c[SEC_ALARM] >= DONT_CARE, any_m = c[MIN_ALARM] >= DONT_CARE,
	        any_h = c[HOUR_ALARM] >= DONT_CARE;
	int s = unpack(r, c[SEC_ALARM]), m = unpack(r, c[MIN_ALARM]),
	        h = unpack_hour(r, c[HOUR_ALARM]);
	int64_t t = from + 1;
	if ((!any_s && s > 59) || (!any_m && m > 59))
		return 0;
	/* each step moves t to the next second, minute or hour that can match: at most 60 + 60 +
	 * 24 of them */
	for (int guard = 0; guard < 200; guard++) {
		struct date d = date_of(t);
		if (!any_h && d.hour != h)
			t += 3600 - d.min * 60 - d.sec;
		else if (!any_m && d.min != m)
			t += 60 - d.sec;
		else if (!any_s && d.sec != s)
			t++;
		else
			return t - from;
	}
	return 0;
}

/* Periodic interrupt: period in crystal ticks, 0: none. */
static uint32_t period(const struct rtc *r)
{
	unsigned rs = r->s.cmos[REG_A] & 15;
	if (!rs || r->s.frozen)
		return 0;
	/* 1 and 2 are 256 and 128 Hz again */
	return rs < 3 ? 1u << (rs + 6) : 1u << (rs - 1);
}

static uint64_t periods_at(const struct rtc *r, cycle_t now)
{
	return now < r->s.since ? 0 : ticks_at(now - r->s.since, CRYSTAL_HZ, hz(r)) / period(r);
}

/* Bring the flags up to now. */
static void refresh(struct rtc *r)
{
	cycle_t now = chip_now(&r->chip);
	if (r->s.frozen || now <= r->s.checked) {
		r->s.checked = now;
		return;
	}
	uint64_t a = seconds_since(r, r->s.checked), b = seconds_since(r, now);
	if (b > a) {
		r->s.flags |= C_UF;
		int64_t wait = alarm_after(r, r->s.seconds + (int64_t)a);
		if (wait && (uint64_t)wait <= b - a) {
			r->s.flags |= C_AF;
			if (r->s.cmos[REG_B] & B_AIE && r->alarm)
				r->alarm(r->alarm_who);
		}
	}
	if (period(r) && periods_at(r, now) > periods_at(r, r->s.checked))
		r->s.flags |= C_PF;
	r->s.checked = now;
}

static cycle_t second_cycle(const struct rtc *r, uint64_t n) { return r->s.since + n * hz(r); }

cycle_t rtc_next_alarm(struct rtc *r)
{
	if (r->s.frozen)
		return NEVER;
	uint64_t a = seconds_since(r, chip_now(&r->chip));
	int64_t wait = alarm_after(r, r->s.seconds + (int64_t)a);
	return wait ? second_cycle(r, a + (uint64_t)wait) : NEVER;
}

/* Drive the line by flags and enables; put the next interrupt into the event queue. */
static void update(struct rtc *r)
{
	cycle_t now = chip_now(&r->chip), next = NEVER;
	uint8_t enabled = r->s.cmos[REG_B] & (B_PIE | B_AIE | B_UIE);
	bool irq = r->s.flags & enabled;        /* PIE, AIE, UIE sit where PF, AF, UF do */
	if (irq != r->s.irq) {
		r->s.irq = irq;
		if (irq) {
			chip_count(&r->chip, IO_STAT_RTC_IRQ);
			chip_trace(&r->chip, IO_TRACE_RTC_IRQ, r->s.flags, 0, 0, 0);
		}
		irq_set(&r->irq, irq);
	}
	evq_cancel(r->chip.env->evq, r->chip.owner, 0);
	if (r->s.frozen || (irq && !(enabled & B_AIE)))
		return;                         /* nothing new can come of it before register C is read */
	if (enabled & B_UIE && !irq)
		next = second_cycle(r, seconds_since(r, now) + 1);
	if (enabled & B_AIE) {
		cycle_t t = rtc_next_alarm(r);
		if (t < next)
			next = t;
	}
	if (enabled & B_PIE && !irq && period(r)) {
		cycle_t t = r->s.since + ticks_cycle((periods_at(r, now) + 1) * period(r),
		                                     CRYSTAL_HZ, hz(r));
		if (t < next)
			next = t;
	}
	if (next != NEVER)
		evq_add(r->chip.env->evq, r->chip.owner, next, 0, 0);
}

static void event(void *dev, cycle_t now, uint32_t code, uint64_t arg)
{
	struct rtc *r = dev;
	(void)code, (void)arg;
	bus_clock(r->chip.env->bus, now);
	refresh(r);
	update(r);
}

/* Freeze or thaw the time as SET and the divider say. */
static void freeze(struct rtc *r)
{
	bool frozen = r->s.cmos[REG_B] & B_SET || (r->s.cmos[REG_A] & 0x70) != 0x20;
	cycle_t now = chip_now(&r->chip);
	if (frozen == r->s.frozen)
		return;
	if (frozen) {
		show(r);
		r->s.seconds += (int64_t)seconds_since(r, now);
	} else {
		take(r);
		r->s.since = now;
		r->s.checked = now;
	}
	r->s.frozen = frozen;
}

static bool is_time(unsigned i)
{
	return i <= YEAR && i != SEC_ALARM && i != MIN_ALARM && i != HOUR_ALARM;
}

static bool updating(const struct rtc *r)
{
	cycle_t now = chip_now(&r->chip);
	if (r->s.frozen || now < r->s.since)
		return false;
	return hz(r) - (now - r->s.since) % hz(r) <= chip_ns(&r->chip, UPDATE_NS);
}

static uint64_t rtc_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct rtc *r = dev;
	(void)size, (void)at;
	unsigned i = r->s.index;
	if (off == 0)
		return 0xff;                    /* the index is write-only */
	refresh(r);
	if (is_time(i) || i == REG_CENTURY) {
		if (!r->s.frozen)
			show(r);
		return r->s.cmos[i];
	}
	if (i == REG_A)
		return r->s.cmos[REG_A] | (updating(r) ? A_UIP : 0);
	if (i == REG_C) {
		uint8_t f = r->s.flags | (r->s.irq ? C_IRQF : 0);
		r->s.flags = 0;
		update(r);
		return f;
	}
	return i == REG_D ? 0x80 : r->s.cmos[i];
}

static void rtc_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct rtc *r = dev;
	(void)size, (void)at;
	unsigned i = r->s.index;
	if (off == 0) {
		r->s.index = (uint8_t)v & 0x7f; /* bit 7 masks NMI; the board has no NMI source */
		return;
	}
	refresh(r);
	if (is_time(i) || i == REG_CENTURY) {
		if (!r->s.frozen)
			show(r);
		r->s.cmos[i] = (uint8_t)v;
		/* written while running: the rest of the second goes on */
		if (!r->s.frozen) {
			uint64_t gone = seconds_since(r, chip_now(&r->chip));
			take(r);
			r->s.since += gone * hz(r);
			r->s.checked = chip_now(&r->chip);
		}
	} else if (i == REG_A) {
		r->s.cmos[REG_A] = (uint8_t)v & 0x7f;
		freeze(r);
	} else if (i == REG_B) {
		if (v & B_SET)
			v &= ~(uint64_t)B_UIE;  /* "the SET bit ... clears UIE" */
		bool format = (v ^ r->s.cmos[REG_B]) & (B_DM | B_24H);
		if (format && !r->s.frozen) {
			refresh(r);
			r->s.cmos[REG_B] = (uint8_t)v;
			show(r);
		}
		r->s.cmos[REG_B] = (uint8_t)v;
		freeze(r);
	} else if (i != REG_C && i != REG_D)
		r->s.cmos[i] = (uint8_t)v;
	update(r);
}

const struct io_ops rtc_io = { rtc_read, rtc_write, 1, 1, false };

void rtc_setup(struct rtc *r, uint64_t epoch, uint64_t low_ram, uint64_t high_ram, unsigned cpus)
{
	uint8_t *c = r->s.cmos;
	uint64_t ext_kb = (low_ram > 0x100000 ? low_ram - 0x100000 : 0) >> 10;
	uint64_t above16 = (low_ram > 0x1000000 ? low_ram - 0x1000000 : 0) >> 16,
	        high = high_ram >> 16;
	if (ext_kb > 0xffff)
		ext_kb = 0xffff;
	if (above16 > 0xffff)
		above16 = 0xffff;
	c[REG_A] = 0x26;
	c[REG_B] = B_24H;
	r->s.seconds = (int64_t)epoch;
	/* equipment: 80-column colour display, coprocessor */
	c[0x14] = 0x06;
	c[0x15] = 640 & 0xff, c[0x16] = 640 >> 8;       /* base memory in KB */
	c[0x17] = c[0x30] = (uint8_t)ext_kb, c[0x18] = c[0x31] = (uint8_t)(ext_kb >> 8);
	/* above 16 MB in 64 KB */
	c[0x34] = (uint8_t)above16, c[0x35] = (uint8_t)(above16 >> 8);
	c[0x5b] = (uint8_t)high, c[0x5c] = (uint8_t)(high >> 8), c[0x5d] = (uint8_t)(high >> 16);
	c[0x5f] = (uint8_t)(cpus - 1);
	show(r);
}

/* "RESET does not affect the clock, calendar, or RAM": it clears PIE, AIE, UIE, SQWE and
 * the flags. */
static void reset(void *dev)
{
	struct rtc *r = dev;
	r->s.cmos[REG_B] &= (uint8_t)~(B_PIE | B_AIE | B_UIE | B_SQWE);
	r->s.flags = 0;
	update(r);
}

static const struct field_bits b_bits[] = {
	{ 7, 7, "set", "time frozen" }, { 6, 6, "pie", "periodic interrupt enable" }, { 5, 5, "aie", "alarm interrupt enable" },
	{ 4, 4, "uie", "update-ended interrupt enable" }, { 2, 2, "dm", "binary" }, { 1, 1, "24", "24-hour" }, { 0, 0, NULL, NULL },
};
static const struct field_row fields[] = {
	FIELD(rtc_state, index, "index", "register selected through 70H"),
	FIELD(rtc_state, cmos[REG_A], "a", "register A: divider, rate"),
	FIELD_BITS(rtc_state, cmos[REG_B], "b", b_bits, "register B"),
	FIELD(rtc_state, flags, "c", "register C: PF, AF, UF, as of the last look"),
	FIELD(rtc_state, seconds, "seconds", "seconds since 1970 at the last setting"),
	FIELD(rtc_state, cmos[0x0f], "shutdown", "shutdown status byte (0FH)"),
};

static bool valid(void *dev, const void *state)
{
	struct rtc_state s;
	(void)dev;
	memcpy(&s, state, sizeof s);
	return s.index < sizeof s.cmos && s.seconds > -(1ll << 40) && s.seconds < 1ll << 40;
}

const struct dev_ops rtc_dev = { DEV_STATE(rtc), .reset = reset, .event = event, .valid = valid,
                                 DEV_FIELDS(fields) };
