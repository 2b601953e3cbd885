/* wire.h - where the CPU, memory and devices meet.
 *
 * models/cpu and models/io never name each other: a wire is a function pointer and an
 * opaque `who`, connected by models/machine.c. An unconnected wire (fn == NULL) is legal
 * and does nothing. */
#ifndef SIM_WIRE_H
#define SIM_WIRE_H

#include "sim/base.h"

/* A level on one pin. */
struct irq_wire {
	void (*set)(void *who, unsigned pin, bool level);
	void *who;
	unsigned pin;
};
static inline void irq_set(const struct irq_wire *w, bool level)
{
	if (w->set)
		w->set(w->who, w->pin, level);
}

/* One access to port or memory-mapped I/O space. `cost` comes back: the cycles the
 * requester waits. */
struct io_at {
	unsigned cpu;           /* which CPU asks; CPUS_MAX when it is a device (DMA) */
	cycle_t now;            /* its clock */
	cycle_t cost;           /* out */
};
struct io_wire {
	uint64_t (*read)(void *who, uint64_t addr, unsigned size, struct io_at *at);
	void (*write)(void *who, uint64_t addr, unsigned size, uint64_t val, struct io_at *at);
	void *who;
};

/* A message on the interrupt bus between I/O APIC, MSI writers and local APICs. SDM Vol. 3A,
 * "Advanced Programmable Interrupt Controller (APIC)", "Message Signalled Interrupts". */
enum apic_delivery {
	APIC_FIXED = 0, APIC_LOWEST = 1, APIC_SMI = 2, APIC_NMI = 4,
	APIC_INIT = 5, APIC_SIPI = 6, APIC_EXTINT = 7,
};
struct apic_msg {
	uint32_t dest;          /* APIC ID, or logical destination */
	uint8_t logical;        /* destination mode */
	uint8_t delivery;       /* enum apic_delivery */
	uint8_t vector;
	uint8_t level;          /* asserted? (INIT de-assert) */
	uint8_t trigger;        /* 1: level-triggered */
	uint8_t shorthand;      /* 0 none, 1 self, 2 all, 3 all but self */
	uint8_t from;           /* CPU number of the sender, or 0xff: a device */
	uint8_t x2apic;         /* dest is a 32-bit x2APIC destination */
};
struct apic_wire {
	/* Deliver to every local APIC addressed; true when one accepted. */
	bool (*send)(void *who, const struct apic_msg *m);
	/* A level-triggered interrupt ended: I/O APICs look for `vector` (EOI broadcast). */
	void (*eoi)(void *who, uint8_t vector);
	void *who;
};

/* INTR from an 8259 pair: the line, and the acknowledge cycle that yields the vector. */
struct pic_wire {
	bool (*pending)(void *who);
	uint8_t (*acknowledge)(void *who);
	void *who;
};

/* The x87's old way to report errors: the CPU drives FERR#, the chipset answers with IGNNE# (SDM
 * Vol. 1, "MS-DOS Compatibility Sub-mode"). */
struct ferr_wire {
	bool (*drive)(void *who, bool ferr, cycle_t now);       /* returns IGNNE# */
	void *who;
};
static inline bool ferr_drive(const struct ferr_wire *w, bool ferr, cycle_t now)
{
	return w->drive ? w->drive(w->who, ferr, now) : false;
}

/* What a device may ask of the machine as a whole. */
enum machine_request {
	MACHINE_RESET,          /* value: enum machine_reset */
	MACHINE_EXIT,           /* value: the exit status */
	MACHINE_SHUTDOWN,       /* a processor has shut down: nothing resets it */
	MACHINE_POWER_OFF,
	MACHINE_SUSPEND,        /* CPUs lose power and do nothing until a MACHINE_RESET (ACPI S3); devices and memory stay */
};
enum machine_reset {
	MACHINE_RESET_HARD,     /* every chip and CPU */
	MACHINE_RESET_INIT,     /* INIT to the CPUs; devices keep their state */
	/* the bootstrap processor took an INIT and is at the reset vector: firmware goes on
	 * from there */
	MACHINE_RESET_VECTOR,
};
struct machine_wire {
	void (*request)(void *who, enum machine_request what, uint32_t value);
	void *who;
};

#endif
