/* i440fx.h - the chipset's own PCI functions: i440FX host bridge, PIIX3 ISA bridge with
 * interrupt routing. */
#ifndef IO_I440FX_H
#define IO_I440FX_H

#include "models/io/pci.h"

struct i440fx_state {
	uint8_t reset_control;          /* CF9H */
	/* FERR# as the CPU drives it, IGNNE# as the bridge does: 1 asserted */
	uint8_t ferr, ignne;
	uint8_t pad[5];
};

struct i440fx {
	struct chip chip;
	struct i440fx_state s;
	struct pci_device host, isa;
	struct irq_wire irq13;
	void (*route)(void *who);       /* a PIRQ routing register changed */
	void *who;
};

extern const struct dev_ops i440fx_dev;
extern const struct io_ops reset_control_io, coprocessor_error_io;

void i440fx_attach(struct i440fx *f, struct pci *bus);
/* ISA IRQ that PIRQ line 0..3 is routed to, or -1. */
int i440fx_pirq_irq(struct i440fx *f, unsigned line);
bool i440fx_ferr(struct i440fx *f, bool level);         /* the CPU drives FERR#; returns IGNNE# */

#endif
