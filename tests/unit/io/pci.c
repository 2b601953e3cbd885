/* Configuration mechanism 1, base address registers, INTx. Sentences in quotes: PCI Local Bus Specification 3.0. */
#include "rig.h"

#include "models/io/i440fx.h"
#include "models/io/pci.h"

struct board_of_one { struct rig *r; struct pci p; struct i440fx f; struct pci_device d; uint64_t last; unsigned pirq[4], routed; };

static uint64_t bar_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	(void)dev, (void)size, (void)at;
	return 0xd0 + off;
}
static void bar_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct board_of_one *b = dev;
	(void)off, (void)size, (void)at;
	b->last = v;
}
static const struct io_ops bar = { bar_read, bar_write, 1, 4, true };
static void pirq(void *who, unsigned line, bool level) { ((struct board_of_one *)who)->pirq[line] = level; }
static void route(void *who) { ((struct board_of_one *)who)->routed++; }

static struct board_of_one *bus_new(void)
{
	struct board_of_one *b = calloc(1, sizeof *b);
	b->r = rig_new(0);
	chip_init(&b->p.chip, "pci", &pci_dev, &b->r->env);
	chip_init(&b->f.chip, "chipset", &i440fx_dev, &b->r->env);
	b->p.pirq = pirq;
	b->p.who = b;
	b->f.route = route;
	b->f.who = b;
	bus_map(&b->r->bus, BUS_PORT, 0xcf8, 1, &pci_address_io, &b->p);
	bus_map(&b->r->bus, BUS_PORT, 0xcf9, 1, &reset_control_io, &b->f);
	bus_map(&b->r->bus, BUS_PORT, 0xcfc, 4, &pci_data_io, &b->p);
	i440fx_attach(&b->f, &b->p);
	pci_header(&b->d, 3 << 3, 0x1234, 0x5678, 1, 0x020000);
	b->d.config[PCI_INT_PIN] = 1;
	b->d.bar[0].ops = b->d.bar[1].ops = &bar;
	b->d.bar[0].size = 64;
	b->d.bar[0].io = true;
	b->d.bar[1].size = 4096;
	pci_add(&b->p, &b->d, b);
	return b;
}
static void bus_free(struct board_of_one *b)
{
	rig_free(b->r);
	free(b);
}
static void address(struct board_of_one *b, unsigned devfn, unsigned reg) { rig_out(b->r, 0xcf8, 4, 0x80000000 | devfn << 8 | (reg & 0xfc)); }
static uint64_t get(struct board_of_one *b, unsigned devfn, unsigned reg, unsigned size)
{
	address(b, devfn, reg);
	return rig_in(b->r, 0xcfc + (reg & 3), size);
}
static void put(struct board_of_one *b, unsigned devfn, unsigned reg, unsigned size, uint64_t v)
{
	address(b, devfn, reg);
	rig_out(b->r, 0xcfc + (reg & 3), size, v);
}
#define DEV (3 << 3)

/* "reads to nonexistent functions return all 1's" */
Test(pci, scan)
{
	struct board_of_one *b = bus_new();
	cr_expect(eq(u64, get(b, 0, 0, 4), 0x12378086));
	cr_expect(eq(u64, get(b, 1 << 3, 0, 4), 0x70008086));
	cr_expect(eq(u64, get(b, 1 << 3, PCI_HEADER, 1), 0x80), "multifunction");
	cr_expect(eq(u64, get(b, DEV, 2, 2), 0x5678));
	cr_expect(eq(u64, get(b, DEV, 9, 1), 0x00));
	cr_expect(eq(u64, get(b, DEV, 11, 1), 0x02));
	cr_expect(eq(u64, get(b, DEV | 1, 0, 4), 0xffffffff));
	rig_out(b->r, 0xcf8, 4, 0x80010000);
	cr_expect(eq(u64, rig_in(b->r, 0xcfc, 4), 0xffffffff), "bus 1");
	rig_out(b->r, 0xcf8, 4, 0);
	cr_expect(eq(u64, rig_in(b->r, 0xcfc, 4), 0xffffffff), "not enabled");
	bus_free(b);
}

/* "Anytime a host bridge sees a full DWORD I/O write ... to CONFIG_ADDRESS"; other accesses pass through */
Test(pci, config_address_takes_doublewords_only)
{
	struct board_of_one *b = bus_new();
	rig_out(b->r, 0xcf8, 4, 0x80001803);
	cr_expect(eq(u64, rig_in(b->r, 0xcf8, 4), 0x80001800), "bits 1:0 read zero");
	out8(b->r, 0xcf8, 0x55);
	rig_out(b->r, 0xcfa, 2, 0);
	cr_expect(eq(u64, rig_in(b->r, 0xcf8, 4), 0x80001800));
	bus_free(b);
}

/* "writing a value of all 1's to the register and then reading the value back": don't-care bits return 0. */
Test(pci, bar_sizing_and_moving)
{
	struct board_of_one *b = bus_new();
	put(b, DEV, PCI_BAR0, 4, 0xffffffff);
	cr_expect(eq(u64, get(b, DEV, PCI_BAR0, 4), 0xffffffc1));
	put(b, DEV, PCI_BAR0 + 4, 4, 0xffffffff);
	cr_expect(eq(u64, get(b, DEV, PCI_BAR0 + 4, 4), 0xfffff000));
	put(b, DEV, PCI_BAR0 + 8, 4, 0xffffffff);
	cr_expect(eq(u64, get(b, DEV, PCI_BAR0 + 8, 4), 0), "no such register");
	put(b, DEV, PCI_BAR0, 4, 0xd000);
	cr_expect(eq(u64, rig_in(b->r, 0xd002, 1), 0xff), "I/O space is off");
	put(b, DEV, PCI_COMMAND, 2, PCI_COMMAND_IO);
	cr_expect(eq(u64, rig_in(b->r, 0xd002, 1), 0xd2));
	put(b, DEV, PCI_BAR0, 4, 0xe000);
	cr_expect(eq(u64, rig_in(b->r, 0xd002, 1), 0xff));
	cr_expect(eq(u64, rig_in(b->r, 0xe03f, 1), (0xd0 + 0x3f) & 0xff));
	put(b, DEV, PCI_BAR0 + 4, 4, 0xe0000000);
	put(b, DEV, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	struct io_at at = { 0 };
	bus_write(&b->r->bus, BUS_MMIO, 0xe0000010, 4, 0xfeed, &at);
	cr_expect(eq(u64, b->last, 0xfeed));
	bus_free(b);
}

Test(pci, read_only_and_write_1_to_clear)
{
	struct board_of_one *b = bus_new();
	put(b, DEV, 0, 4, 0);
	cr_expect(eq(u64, get(b, DEV, 0, 4), 0x56781234));
	pci_config(&b->d)[PCI_STATUS + 1] = 0x20;
	put(b, DEV, PCI_STATUS, 2, 0x1000);
	cr_expect(eq(u64, get(b, DEV, PCI_STATUS, 2), 0x2000));
	put(b, DEV, PCI_STATUS, 2, 0x2000);
	cr_expect(eq(u64, get(b, DEV, PCI_STATUS, 2), 0));
	bus_free(b);
}

/* The board rotates pins by device number: INTA# of device 3 is line (3 + 0) mod 4. */
Test(pci, intx_is_swizzled_and_masked_by_the_command_register)
{
	struct board_of_one *b = bus_new();
	pci_set_intx(&b->d, true);
	cr_expect(eq(u32, b->pirq[3], 1));
	pci_set_intx(&b->d, false);
	cr_expect(eq(u32, b->pirq[3], 0));
	put(b, DEV, PCI_COMMAND, 2, PCI_COMMAND_INTX_OFF);
	pci_set_intx(&b->d, true);
	cr_expect(eq(u32, b->pirq[3], 0));
	bus_free(b);
}

Test(pci, pirq_routing_registers)
{
	struct board_of_one *b = bus_new();
	put(b, 1 << 3, 0x61, 1, 0x0b);
	cr_expect(eq(u32, b->routed, 1));
	cr_expect(eq(int, i440fx_pirq_irq(&b->f, 1), 11));
	put(b, 1 << 3, 0x61, 1, 0x8b);
	cr_expect(eq(int, i440fx_pirq_irq(&b->f, 1), -1));
	for (unsigned irq = 0; irq < 16; irq++) {
		bool reserved = irq < 3 || irq == 8 || irq == 13;
		put(b, 1 << 3, 0x62, 1, irq);
		cr_expect(eq(int, i440fx_pirq_irq(&b->f, 2), reserved ? -1 : (int)irq));
	}
	bus_free(b);
}

/* RC: "RCPU transitions from 0 to 1"; SRST says hard or soft. */
Test(pci, reset_control)
{
	struct board_of_one *b = bus_new();
	out8(b->r, 0xcf9, 0x02);
	cr_expect(eq(u32, b->r->asked.n, 0));
	out8(b->r, 0xcf9, 0x06);
	cr_expect(eq(u32, b->r->asked.n, 1));
	cr_expect(eq(u32, b->r->asked.value, MACHINE_RESET_HARD));
	out8(b->r, 0xcf9, 0x00);
	out8(b->r, 0xcf9, 0x04);
	cr_expect(eq(u32, b->r->asked.value, MACHINE_RESET_INIT));
	cr_expect(eq(u8, in8(b->r, 0xcf9), 0));
	bus_free(b);
}
