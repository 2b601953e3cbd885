/* acpi_pm.h - ACPI power management: PM1a event and control, the PM timer, GPE0; PCI
 * function 00:01.3. */
#ifndef IO_ACPI_PM_H
#define IO_ACPI_PM_H

#include "models/io/pci.h"

#define ACPI_PM_BASE  0x600u            /* PM1a event; +4 PM1a control; +8 PM timer */
#define ACPI_GPE0     0xafe0u
#define ACPI_PM_HZ    3579545u
#define ACPI_SCI_IRQ  9
#define ACPI_S3_TYPE  1                 /* SLP_TYP values, as \_S3 and \_S5 say */
#define ACPI_S5_TYPE  0

struct acpi_pm_state {          /* plain */
	uint16_t status, enable, control;
	uint16_t gpe_status, gpe_enable;
	uint8_t sci, suspended, pad[4];
	/* halves of the timer's range (bit 23 toggles) already told in TMR_STS */
	uint64_t timer_half;
};

struct acpi_pm {
	struct chip chip;
	struct acpi_pm_state s;
	struct irq_wire sci;
	struct pci_device pci;
	/* before the CPUs come back from S3: the CMOS shutdown byte */
	void (*resume)(void *who);
	void *who;
};

extern const struct dev_ops acpi_pm_dev;
extern const struct io_ops acpi_pm_io, acpi_gpe_io;

void acpi_pm_attach(struct acpi_pm *p, struct pci *bus);
void acpi_pm_rtc_alarm(struct acpi_pm *p);

#endif
