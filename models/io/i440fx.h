/* i440fx.h - the chipset's own PCI functions: i440FX host bridge, PIIX3 ISA bridge with interrupt routing. */
#ifndef IO_I440FX_H
#define IO_I440FX_H

#include "models/io/pci.h"

struct i440fx_state { uint8_t reset_control, pad[7]; };  /* CF9H */

struct i440fx {
	struct chip chip;
	struct i440fx_state s;
	struct pci_device host, isa;
	void (*route)(void *who);       /* a PIRQ routing register changed */
	void *who;
};

extern const struct dev_ops i440fx_dev;
extern const struct io_ops reset_control_io;

void i440fx_attach(struct i440fx *f, struct pci *bus);
/* ISA IRQ that PIRQ line 0..3 is routed to, or -1. */
int i440fx_pirq_irq(struct i440fx *f, unsigned line);

#endif
