/* pci.h - the PCI bus: configuration mechanism 1, functions, base address registers, INTx. */
#ifndef IO_PCI_H
#define IO_PCI_H

#include "models/io/chip.h"

#define PCI_FUNCTIONS_MAX 16
#define PCI_BARS 6
#define PCI_NO_REGION (~0u)

/* Header, type 0 (PCI Local Bus Specification, "Configuration Space Organization"). */
#define PCI_VENDOR     0x00
#define PCI_DEVICE     0x02
#define PCI_COMMAND    0x04
#define PCI_STATUS     0x06
#define PCI_REVISION   0x08
#define PCI_CLASS      0x09             /* programming interface, sub-class, class */
#define PCI_HEADER     0x0e
#define PCI_BAR0       0x10
#define PCI_SUBSYSTEM_VENDOR 0x2c
#define PCI_SUBSYSTEM  0x2e
#define PCI_INT_LINE   0x3c
#define PCI_INT_PIN    0x3d
#define PCI_COMMAND_IO     0x0001
#define PCI_COMMAND_MEMORY 0x0002
#define PCI_COMMAND_MASTER 0x0004
#define PCI_COMMAND_INTX_OFF 0x0400
#define PCI_MULTIFUNCTION  0x80

struct pci;

/* One function. The chip behind it embeds this, fills the header, and adds it to the bus. */
struct pci_device {
	uint8_t devfn;                  /* device << 3 | function */
	uint8_t config[256];            /* initial contents; the running ones are in pci_state */
	uint8_t writable[256];          /* bits software may change */
	uint8_t w1c[256];               /* bits cleared by writing 1 */
	struct { const struct io_ops *ops; uint32_t size; bool io; unsigned region; } bar[PCI_BARS];
	/* after a write; may be NULL */
	void (*written)(void *who, unsigned reg, unsigned size);
	void *who;
	struct pci *bus;
	unsigned index;
};

struct pci_state {              /* plain */
	uint32_t address, pad;          /* CONFIG_ADDRESS */
	uint8_t config[PCI_FUNCTIONS_MAX][256];
	uint32_t intx[4];               /* per PIRQ: functions asserting it, by index */
};

struct pci {
	struct chip chip;
	struct pci_state s;
	struct pci_device *function[PCI_FUNCTIONS_MAX];
	unsigned n;
	/* One of the four INTx lines changed (a function's pin, swizzled by its device number). */
	void (*pirq)(void *who, unsigned line, bool level);
	void *who;
};

extern const struct dev_ops pci_dev;
extern const struct io_ops pci_address_io, pci_data_io;

void pci_header(struct pci_device *d, uint8_t devfn, uint16_t vendor, uint16_t device,
                uint8_t revision, uint32_t class_code);
void pci_add(struct pci *p, struct pci_device *d, void *who);   /* maps BARs; `who` gets their accesses and `written` */
uint8_t *pci_config(struct pci_device *d);                      /* the running contents */
static inline uint16_t pci_command(struct pci_device *d)
{
	uint8_t *c = pci_config(d);
	return (uint16_t)(c[PCI_COMMAND] | c[PCI_COMMAND + 1] << 8);
}
void pci_set_intx(struct pci_device *d, bool level);
/* BARs moved under us: a reset, a restored snapshot. */
void pci_remap(struct pci *p);

#endif
