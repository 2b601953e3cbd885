/* pci.c - the PCI bus behind configuration mechanism 1 (CF8H, CFCH): functions of bus 0.
 * Source: PCI Local Bus Specification 3.0, "Configuration Space", "Configuration Mechanism #1".
 *
 *   CONFIG_ADDRESS   31 enable | 23:16 bus | 15:11 device | 10:8 function | 7:2 register | 1:0 zero
 *
 * A function nobody has answers all ones. A base address register is sized as usual: its low bits
 * do not change. It claims bus addresses while the command register enables its space. Capabilities
 * and MSI-X have room in the function's tables: `writable`, `w1c` and `written`. */
#include "models/io/pci.h"

#include <string.h>

#define ADDRESS_ENABLE BIT(31)

void pci_header(struct pci_device *d, uint8_t devfn, uint16_t vendor, uint16_t device,
                uint8_t revision, uint32_t class_code)
{
	d->devfn = devfn;
	d->config[PCI_VENDOR] = (uint8_t)vendor, d->config[PCI_VENDOR + 1] = (uint8_t)(vendor >> 8);
	d->config[PCI_DEVICE] = (uint8_t)device, d->config[PCI_DEVICE + 1] = (uint8_t)(device >> 8);
	d->config[PCI_REVISION] = revision;
	for (int i = 0; i < 3; i++)
		d->config[PCI_CLASS + i] = (uint8_t)(class_code >> 8 * i);
	d->writable[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	d->writable[PCI_COMMAND + 1] = PCI_COMMAND_INTX_OFF >> 8;
	d->w1c[PCI_STATUS + 1] = 0xf9;
	d->writable[PCI_INT_LINE] = 0xff;
}

uint8_t *pci_config(struct pci_device *d) { return d->bus->s.config[d->index]; }

static uint32_t get32(const uint8_t *c)
{
	return (uint32_t)c[0] | (uint32_t)c[1] << 8 | (uint32_t)c[2] << 16 | (uint32_t)c[3] << 24;
}
static void set32(uint8_t *c, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		c[i] = (uint8_t)(v >> 8 * i);
}

static void remap(struct pci_device *d)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (!d->bar[i].size)
			continue;
		uint32_t base = get32(pci_config(d) + PCI_BAR0 + 4 * i) & ~(d->bar[i].io ? 3u :
		        15u);
		bool on = pci_command(d) & (d->bar[i].io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
		if (d->bar[i].io)
			base &= 0xffff;
		bus_move(d->bus->chip.env->bus, d->bar[i].region, base, on && base);
	}
}

void pci_remap(struct pci *p)
{
	for (unsigned i = 0; i < p->n; i++)
		remap(p->function[i]);
}

void pci_add(struct pci *p, struct pci_device *d, void *who)
{
	if (p->n == PCI_FUNCTIONS_MAX)
		BUG("more than %d PCI functions", PCI_FUNCTIONS_MAX);
	d->bus = p;
	d->index = p->n;
	d->who = who;
	p->function[p->n++] = d;
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (!d->bar[i].size)
			continue;
		set32(d->writable + PCI_BAR0 + 4 * i, ~(d->bar[i].size - 1));
		if (d->bar[i].io)
			d->config[PCI_BAR0 + 4 * i] |= 1;
		d->bar[i].region = bus_map(p->chip.env->bus, d->bar[i].io ? BUS_PORT : BUS_MMIO, 0,
		                           d->bar[i].size, d->bar[i].ops, who);
	}
	memcpy(pci_config(d), d->config, sizeof d->config);
	remap(d);
}

/* A function asserts its pin; devices share the four lines in rotation. */
void pci_set_intx(struct pci_device *d, bool level)
{
	struct pci *p = d->bus;
	uint8_t pin = pci_config(d)[PCI_INT_PIN];
	if (pin < 1 || pin > 4)
		return;
	unsigned line = ((d->devfn >> 3) + pin - 1) & 3;
	uint32_t old = p->s.intx[line];
	level = level && !(pci_command(d) & PCI_COMMAND_INTX_OFF);
	p->s.intx[line] = (old & ~(1u << d->index)) | (uint32_t)level << d->index;
	if (p->pirq && !old != !p->s.intx[line])
		p->pirq(p->who, line, p->s.intx[line]);
}

static struct pci_device *selected(struct pci *p)
{
	uint32_t a = p->s.address;
	if (!(a & ADDRESS_ENABLE) || a >> 16 & 0xff)
		return NULL;
	for (unsigned i = 0; i < p->n; i++)
		if (p->function[i]->devfn == (a >> 8 & 0xff))
			return p->function[i];
	return NULL;
}

static uint64_t address_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct pci *p = dev;
	(void)off, (void)size, (void)at;
	return p->s.address;
}
static void address_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct pci *p = dev;
	(void)off, (void)size, (void)at;
	p->s.address = (uint32_t)v & ~3u;
}

static uint64_t data_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct pci *p = dev;
	struct pci_device *d = selected(p);
	uint64_t v = 0;
	(void)at;
	if (!d)
		return MASK(8 * size);
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)pci_config(d)[((p->s.address & 0xfc) + off + i) & 0xff] << 8 * i;
	return v;
}

static void data_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct pci *p = dev;
	struct pci_device *d = selected(p);
	(void)at;
	if (!d)
		return;
	unsigned reg = (unsigned)((p->s.address & 0xfc) + off) & 0xff;
	uint8_t *c = pci_config(d);
	for (unsigned i = 0; i < size; i++) {
		unsigned r = (reg + i) & 0xff;
		uint8_t b = (uint8_t)(v >> 8 * i), w = d->writable[r];
		c[r] = (uint8_t)(((c[r] & ~w) | (b & w)) & ~(b & d->w1c[r]));
	}
	chip_trace(&p->chip, IO_TRACE_PCI_CONFIG, d->devfn, reg, size, v);
	if (reg < PCI_BAR0 + 4 * PCI_BARS)
		remap(d);
	if (d->written)
		d->written(d->who, reg, size);
}

/* Only doublewords reach CONFIG_ADDRESS; narrower accesses there are ordinary I/O (CF9H is the
 * reset register). */
const struct io_ops pci_address_io = { address_read, address_write, 4, 4, true };
const struct io_ops pci_data_io = { data_read, data_write, 1, 4, true };

static void reset(void *dev)
{
	struct pci *p = dev;
	p->s.address = 0;
	for (unsigned i = 0; i < p->n; i++)
		memcpy(p->s.config[i], p->function[i]->config, sizeof p->s.config[i]);
	pci_remap(p);
}

static const struct field_row fields[] = { FIELD(pci_state, address, "config_address",
                                                 "CONFIG_ADDRESS") };

const struct dev_ops pci_dev = { DEV_STATE(pci), .reset = reset, DEV_FIELDS(fields) };
