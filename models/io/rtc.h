/* rtc.h - the MC146818 real-time clock and the CMOS memory around it. */
#ifndef IO_RTC_H
#define IO_RTC_H

#include "models/io/chip.h"

struct rtc_state {              /* plain */
	/* A-D at 0AH-0DH; the time registers 00-09 and 32H hold what is shown while frozen */
	uint8_t cmos[128];
	int64_t seconds;                /* time at `since`, in seconds since 1970 */
	cycle_t since;                  /* when the running second `seconds` began */
	cycle_t checked;                /* flags are up to date up to here */
	uint8_t index, flags;           /* port 70H; register C */
	uint8_t irq, frozen;            /* line; SET or a stopped divider */
	uint8_t pad[4];
};

struct rtc {
	struct chip chip;
	struct rtc_state s;
	struct irq_wire irq;
	void (*alarm)(void *who);       /* the alarm went off: ACPI's RTC_STS */
	void *alarm_who;
};

extern const struct dev_ops rtc_dev;
extern const struct io_ops rtc_io;

/* Power-on contents: date and memory sizes in bytes. */
void rtc_setup(struct rtc *r, uint64_t epoch, uint64_t low_ram, uint64_t high_ram, unsigned cpus);
cycle_t rtc_next_alarm(struct rtc *r);  /* when the alarm will match, or NEVER */

#endif
