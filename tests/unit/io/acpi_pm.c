/* ACPI power management. Sentences in quotes: ACPI Specification, "ACPI Hardware Specification". */
#include "rig.h"

#include "models/io/acpi_pm.h"

struct pm { struct rig *r; struct pci p; struct acpi_pm m; unsigned resumed; };

static void resume(void *who) { ((struct pm *)who)->resumed++; }

static struct pm *pm_new(void)
{
	struct pm *m = calloc(1, sizeof *m);
	m->r = rig_new(ACPI_PM_HZ * 100ull);
	chip_init(&m->p.chip, "pci", &pci_dev, &m->r->env);
	m->m.sci = rig_wire(m->r, 9);
	m->m.resume = resume;
	m->m.who = m;
	chip_init(&m->m.chip, "pm", &acpi_pm_dev, &m->r->env);
	bus_map(&m->r->bus, BUS_PORT, ACPI_PM_BASE, 12, &acpi_pm_io, &m->m);
	bus_map(&m->r->bus, BUS_PORT, ACPI_GPE0, 4, &acpi_gpe_io, &m->m);
	acpi_pm_attach(&m->m, &m->p);
	return m;
}
static void pm_free(struct pm *m)
{
	rig_free(m->r);
	free(m);
}

/* "The power management timer is a 24-bit or 32-bit fixed rate free running count-up timer that runs off a 3.579545 MHz
 * clock." */
Test(acpi_pm, timer)
{
	struct pm *m = pm_new();
	cr_expect(eq(u64, rig_in(m->r, 0x608, 4), 0));
	rig_run(m->r, 12345 * 100);
	cr_expect(eq(u64, rig_in(m->r, 0x608, 4), 12345));
	cr_expect(eq(u64, rig_in(m->r, 0x608, 2), 12345));
	cr_expect(eq(u64, rig_in(m->r, 0x609, 1), 12345 >> 8));
	rig_run(m->r, (1ull << 32) * 100);
	cr_expect(eq(u64, rig_in(m->r, 0x608, 4), 12345), "32 bits");
	pm_free(m);
}

Test(acpi_pm, timer_carry_interrupts)
{
	struct pm *m = pm_new();
	rig_out(m->r, 0x602, 2, 1);
	rig_run(m->r, ((1ull << 31) - 1) * 100);
	cr_expect(not(m->r->lamp[9]));
	rig_run(m->r, 100);
	cr_expect(m->r->lamp[9]);
	rig_out(m->r, 0x600, 2, 1);
	cr_expect(not(m->r->lamp[9]), "write 1 to clear");
	rig_run(m->r, (1ull << 31) * 100);
	cr_expect(m->r->lamp[9]);
	pm_free(m);
}

Test(acpi_pm, always_in_acpi_mode)
{
	struct pm *m = pm_new();
	rig_out(m->r, 0x604, 2, 0);
	cr_expect(eq(u64, rig_in(m->r, 0x604, 2), 1));
	pm_free(m);
}

Test(acpi_pm, s5_is_power_off_and_other_types_are_ignored)
{
	struct pm *m = pm_new();
	for (unsigned type = 2; type < 8; type++)
		rig_out(m->r, 0x604, 2, type << 10 | 0x2000);
	rig_out(m->r, 0x604, 2, 0 << 10);
	cr_expect(eq(u32, m->r->asked.n, 0));
	rig_out(m->r, 0x604, 2, 0x2000);
	cr_expect(eq(u32, m->r->asked.n, 1));
	cr_expect(eq(int, m->r->asked.what, MACHINE_POWER_OFF));
	cr_expect(eq(u64, rig_in(m->r, 0x604, 2) & 0x2000, 0), "SLP_EN is write-only");
	pm_free(m);
}

/* "WAK_STS: set when the system is in the sleeping state and an enabled wakeup event occurs." */
Test(acpi_pm, s3_ends_with_an_enabled_rtc_alarm)
{
	struct pm *m = pm_new();
	rig_out(m->r, 0x602, 2, 0x400);
	rig_out(m->r, 0x604, 2, 0x2400);
	cr_expect(eq(int, m->r->asked.what, MACHINE_SUSPEND));
	acpi_pm_rtc_alarm(&m->m);
	cr_expect(eq(int, m->r->asked.what, MACHINE_RESET));
	cr_expect(eq(u32, m->resumed, 1));
	cr_expect(eq(u64, rig_in(m->r, 0x600, 2), 0x8400));
	pm_free(m);
}

Test(acpi_pm, an_alarm_not_enabled_does_not_wake)
{
	struct pm *m = pm_new();
	rig_out(m->r, 0x604, 2, 0x2400);
	acpi_pm_rtc_alarm(&m->m);
	cr_expect(eq(int, m->r->asked.what, MACHINE_SUSPEND));
	cr_expect(eq(u32, m->r->asked.n, 1));
	pm_free(m);
}

Test(acpi_pm, gpe_enable_bytes)
{
	struct pm *m = pm_new();
	rig_out(m->r, ACPI_GPE0 + 2, 1, 0x12);
	rig_out(m->r, ACPI_GPE0 + 3, 1, 0x34);
	cr_expect(eq(u64, rig_in(m->r, ACPI_GPE0, 4), 0x34120000));
	rig_out(m->r, ACPI_GPE0, 4, 0xffff0000);
	cr_expect(eq(u64, rig_in(m->r, ACPI_GPE0 + 2, 2), 0xffff));
	pm_free(m);
}
