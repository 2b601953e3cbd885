/* acpi_pm.c - ACPI power management as in the PIIX4's function 3: PM1a registers, PM timer, GPE0, sleep states.
 * Source: Advanced Configuration and Power Interface Specification, "ACPI Hardware Specification"; Intel 82371AB (PIIX4)
 * data sheet, "Power Management".
 *
 *   PM1_STS 15 WAK | 10 RTC | 9 SLPBTN | 8 PWRBTN | 5 GBL | 4 BM | 0 TMR      PM1_EN the same places, no WAK, no BM
 *   PM1_CNT 13 SLP_EN | 12:10 SLP_TYP | 2 GBL_RLS | 1 BM_RLD | 0 SCI_EN
 *
 * The system is always in ACPI mode: there is no SMI and SCI_EN reads 1. S5 is power-off. S3 takes the CPUs' power and
 * waits for the RTC alarm (RTC_EN); memory and devices stay, and the CPUs start over with the CMOS shutdown byte
 * saying "S3 resume", as a PC's firmware expects it.
 * The timer counts 32 bits at 3.579545 MHz; TMR_STS reports toggles of bit 31.
 * Simplified: no power or sleep button, no processor C-states, S1 and S2 do not exist and SLP_EN for them is ignored. */
#include "models/io/acpi_pm.h"

#include "models/io/ticks.h"

#define STS_TMR  0x0001
#define STS_RTC  0x0400
#define STS_WAK  0x8000
#define STS_W1C  0x8731
#define EN_BITS  0x0721
#define CNT_SCI_EN 0x0001
#define CNT_SLP_EN 0x2000
#define CNT_SLP_TYP(v) ((v) >> 10 & 7)
#define CNT_WRITABLE 0x1c02
#define TIMER_HALF 31                   /* 1 << 31 ticks */

enum { EV_TIMER, EV_WAKE };

static uint64_t ticks(const struct acpi_pm *p)
{
	return ticks_at(chip_now(&p->chip), ACPI_PM_HZ, p->chip.env->profile->hz);
}

static void update(struct acpi_pm *p)
{
	struct evq *q = p->chip.env->evq;
	uint64_t half = ticks(p) >> TIMER_HALF;
	if (half != p->s.timer_half) {
		p->s.timer_half = half;
		p->s.status |= STS_TMR;
	}
	bool sci = (p->s.status & p->s.enable) || (p->s.gpe_status & p->s.gpe_enable);
	if (sci != p->s.sci) {
		p->s.sci = sci;
		irq_set(&p->sci, sci);
	}
	evq_cancel(q, p->chip.owner, EV_TIMER);
	if (p->s.enable & STS_TMR && !(p->s.status & STS_TMR))
		evq_add(q, p->chip.owner, ticks_cycle((half + 1) << TIMER_HALF, ACPI_PM_HZ,
		                                      p->chip.env->profile->hz), EV_TIMER, 0);
}

static void wake(struct acpi_pm *p)
{
	const struct machine_wire *m = &p->chip.env->machine;
	p->s.suspended = 0;
	p->s.status |= STS_WAK;
	if (p->resume)
		p->resume(p->who);
	if (m->request)
		m->request(m->who, MACHINE_RESET, MACHINE_RESET_INIT);
}

void acpi_pm_rtc_alarm(struct acpi_pm *p)
{
	p->s.status |= STS_RTC;
	if (p->s.suspended && p->s.enable & STS_RTC)
		wake(p);
	update(p);
}

static void event(void *dev, cycle_t now, uint32_t code, uint64_t arg)
{
	struct acpi_pm *p = dev;
	(void)code, (void)arg;
	bus_clock(p->chip.env->bus, now);
	update(p);
}

static void enter_sleep(struct acpi_pm *p, unsigned type)
{
	const struct machine_wire *m = &p->chip.env->machine;
	chip_trace(&p->chip, IO_TRACE_ACPI_SLEEP, type, 0, 0, 0);
	if (type == ACPI_S5_TYPE && m->request)
		m->request(m->who, MACHINE_POWER_OFF, 0);
	if (type != ACPI_S3_TYPE)
		return;
	p->s.suspended = 1;
	if (m->request)
		m->request(m->who, MACHINE_SUSPEND, 0);
	/* a wake event that is already there ends it at once */
	if (p->s.status & p->s.enable & STS_RTC)
		wake(p);
}

static uint64_t pm_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct acpi_pm *p = dev;
	(void)at;
	update(p);
	const uint16_t regs[4] = { p->s.status, p->s.enable, p->s.control | CNT_SCI_EN, 0 };
	uint64_t all = off < 8 ? 0 : (uint64_t)(uint32_t)ticks(p);
	for (int i = 0; off < 8 && i < 4; i++)
		all |= (uint64_t)regs[i] << 16 * i;
	return all >> 8 * (off & 7) & MASK(8 * size);
}

static void pm_byte(struct acpi_pm *p, uint64_t off, uint8_t v)
{
	unsigned shift = (off & 1) * 8;
	uint16_t keep = (uint16_t)~(0xff << shift), w = (uint16_t)(v << shift);
	switch (off & ~1ull) {
	case 0: p->s.status &= (uint16_t)~(w & STS_W1C); break;
	case 2: p->s.enable = (p->s.enable & keep) | (w & EN_BITS); break;
	case 4: p->s.control = (p->s.control & keep) | (w & CNT_WRITABLE); break;
	}
}

static void pm_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct acpi_pm *p = dev;
	(void)at;
	update(p);
	for (unsigned i = 0; i < size; i++)
		pm_byte(p, off + i, (uint8_t)(v >> 8 * i));
	if (off <= 5 && off + size > 5 && v >> 8 * (5 - off) & CNT_SLP_EN >> 8)
		enter_sleep(p, CNT_SLP_TYP(p->s.control));
	update(p);
}

const struct io_ops acpi_pm_io = { pm_read, pm_write, 1, 4, true };

static uint64_t gpe_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct acpi_pm *p = dev;
	(void)at;
	return (p->s.gpe_status | (uint64_t)p->s.gpe_enable << 16) >> 8 * off & MASK(8 * size);
}
static void gpe_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct acpi_pm *p = dev;
	(void)at;
	uint32_t w = (uint32_t)(v << 8 * off), m = (uint32_t)(MASK(8 * size) << 8 * off);
	p->s.gpe_status &= (uint16_t)~w;
	p->s.gpe_enable = (uint16_t)((p->s.gpe_enable & ~(m >> 16)) | w >> 16);
	update(p);
}
const struct io_ops acpi_gpe_io = { gpe_read, gpe_write, 1, 4, true };

void acpi_pm_attach(struct acpi_pm *p, struct pci *bus)
{
	pci_header(&p->pci, 1 << 3 | 3, 0x8086, 0x7113, 0x03, 0x068000);
	p->pci.config[PCI_STATUS] = 0x80;
	p->pci.config[PCI_STATUS + 1] = 0x02;
	p->pci.config[PCI_INT_LINE] = ACPI_SCI_IRQ;
	p->pci.config[PCI_INT_PIN] = 1;
	/* PMBA: where it is; it does not move */
	p->pci.config[0x40] = (ACPI_PM_BASE & 0xff) | 1;
	p->pci.config[0x41] = ACPI_PM_BASE >> 8;
	p->pci.config[0x80] = 1;                                /* PMREGMISC: decoded */
	pci_add(bus, &p->pci, p);
}

/* WAK_STS and RTC_STS sit in the resume well: they outlive the reset that ends S3. */
static void reset(void *dev)
{
	struct acpi_pm *p = dev;
	p->s.status &= STS_WAK | STS_RTC;
	p->s.enable = p->s.control = p->s.gpe_status = p->s.gpe_enable = 0;
	p->s.suspended = 0;
	p->s.timer_half = ticks(p) >> TIMER_HALF;
	update(p);
}

static const struct field_bits sts_bits[] = {
	{ 0, 0, "tmr", "timer carry" }, { 5, 5, "gbl", "global lock" }, { 8, 8, "pwrbtn", "power button" },
	{ 10, 10, "rtc", "RTC alarm" }, { 15, 15, "wak", "woke up" }, { 0, 0, NULL, NULL },
};
static uint64_t get_timer(const void *obj)
{
	const struct acpi_pm *p = (const struct acpi_pm *)(const void *)((const char *)obj - offsetof(struct acpi_pm, s));
	return (uint32_t)ticks(p);
}
static const struct field_row fields[] = {
	FIELD_BITS(acpi_pm_state, status, "pm1_sts", sts_bits, "PM1 Status"),
	FIELD_BITS(acpi_pm_state, enable, "pm1_en", sts_bits, "PM1 Enable"),
	FIELD(acpi_pm_state, control, "pm1_cnt", "PM1 Control, without SCI_EN"),
	FIELD(acpi_pm_state, gpe_status, "gpe0_sts", "General-Purpose Event 0 Status"),
	FIELD(acpi_pm_state, gpe_enable, "gpe0_en", "General-Purpose Event 0 Enable"),
	{ .name = "pm_tmr", .size = 4, .what = "power-management timer", .get = get_timer },
	FIELD(acpi_pm_state, suspended, "suspended", "in S3"),
};

const struct dev_ops acpi_pm_dev = { DEV_STATE(acpi_pm), .reset = reset, .event = event,
                                     DEV_FIELDS(fields) };
