/* ioapic.h - the I/O APIC: 24 pins, each with a redirection table entry. */
#ifndef IO_IOAPIC_H
#define IO_IOAPIC_H

#include "models/io/chip.h"

#define IOAPIC_BASE 0xfec00000u
#define IOAPIC_PINS 24

struct ioapic_state {           /* plain */
	uint64_t rte[IOAPIC_PINS];      /* redirection table */
	uint32_t lines;                 /* electrical levels of the pins */
	uint32_t id;                    /* bits 27:24 */
	uint8_t select, pad[7];         /* IOREGSEL */
};

struct ioapic {
	struct chip chip;
	struct ioapic_state s;
	struct apic_wire bus;
};

extern const struct dev_ops ioapic_dev;
extern const struct io_ops ioapic_io;

void ioapic_set(struct ioapic *a, unsigned pin, bool level);
void ioapic_eoi(struct ioapic *a, uint8_t vector);

#endif
