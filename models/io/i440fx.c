/* i440fx.c - host bridge 00:00.0 (82441FX), ISA bridge 00:01.0 (82371SB, PIIX3) with PIRQ routing, the reset
 * control register at CF9H, and the coprocessor error logic behind port F0H.
 * Source: Intel 82441FX and 82371SB data sheets.
 *
 *   PIRQRC[A:D] at 60H-63H of the ISA bridge   7: 1 not routed | 3:0 ISA IRQ
 *   F0H         a write lowers IRQ 13 and, while FERR# is asserted, asserts IGNNE# until FERR# goes away
 *   RC (CF9H)   2 RCPU: 0 -> 1 resets | 1 SRST: 1 hard, 0 soft (INIT to the CPUs)
 *
 * Simplified: memory attribute registers (PAM) can be written but C0000-FFFFF is always
 * plain RAM. */
#include "models/io/i440fx.h"

#define PIRQRC      0x60
#define PIRQ_OFF    0x80
#define PAM0        0x59
#define RC_CPU      0x04
#define RC_HARD     0x02

static void written(void *who, unsigned reg, unsigned size)
{
	struct i440fx *f = who;
	if (reg < PIRQRC + 4 && reg + size > PIRQRC && f->route)
		f->route(f->who);
}

int i440fx_pirq_irq(struct i440fx *f, unsigned line)
{
	uint8_t r = pci_config(&f->isa)[PIRQRC + (line & 3)];
	/* IRQ 0, 1, 2, 8 and 13 are reserved */
	return r & PIRQ_OFF || 0x2107 >> (r & 15) & 1 ? -1 : r & 15;
}

void i440fx_attach(struct i440fx *f, struct pci *bus)
{
	static const uint8_t bios_irq[4] = { 10, 10, 11, 11 };
	pci_header(&f->host, 0, 0x8086, 0x1237, 0x02, 0x060000);
	f->host.config[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	f->host.writable[PCI_COMMAND] = 0;
	for (unsigned r = PAM0; r < PAM0 + 7; r++) {
		f->host.config[r] = 0x33;
		f->host.writable[r] = 0xff;
	}
	pci_add(bus, &f->host, f);

	pci_header(&f->isa, 1 << 3, 0x8086, 0x7000, 0x00, 0x060100);
	f->isa.config[PCI_HEADER] = PCI_MULTIFUNCTION;
	f->isa.config[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	f->isa.writable[PCI_COMMAND] = 0;
	f->isa.config[0x4c] = 0x4d;
	f->isa.config[0x4e] = 0x03;
	f->isa.writable[0x4c] = f->isa.writable[0x4e] = f->isa.writable[0x4f] = 0xff;
	for (unsigned i = 0; i < 4; i++) {
		f->isa.config[PIRQRC + i] = bios_irq[i];
		f->isa.writable[PIRQRC + i] = PIRQ_OFF | 15;
	}
	f->isa.written = written;
	pci_add(bus, &f->isa, f);
}

static uint64_t rc_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct i440fx *f = dev;
	(void)off, (void)size, (void)at;
	return f->s.reset_control;
}
static void rc_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct i440fx *f = dev;
	const struct machine_wire *m = &f->chip.env->machine;
	(void)off, (void)size, (void)at;
	bool rising = v & ~f->s.reset_control & RC_CPU;
	f->s.reset_control = (uint8_t)v & RC_HARD;
	if (!rising)
		return;
	chip_trace(&f->chip, IO_TRACE_BOARD_RESET, !(v & RC_HARD), 0, 0, 0);
	if (m->request)
		m->request(m->who, MACHINE_RESET,
		           v & RC_HARD ? MACHINE_RESET_HARD : MACHINE_RESET_INIT);
}
const struct io_ops reset_control_io = { rc_read, rc_write, 1, 1, false };

/* "FERR# ... is used to gate the IGNNE# signal to ensure that IGNNE# is not asserted to the
 * processor unless FERR# is active. ... When FERR# is asserted, the PIIX3 generates an internal
 * IRQ13." 82371SB data sheet, "FERR#", "IGNNE#" */
bool i440fx_ferr(struct i440fx *f, bool level)
{
	if (level != f->s.ferr) {
		f->s.ferr = level;
		f->s.ignne = 0;
		irq_set(&f->irq13, level);
	}
	return f->s.ignne;
}

static uint64_t f0_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	(void)dev, (void)off, (void)size, (void)at;
	return 0xff;            /* write only */
}
static void f0_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct i440fx *f = dev;
	(void)off, (void)size, (void)v, (void)at;
	f->s.ignne = f->s.ferr;
	irq_set(&f->irq13, false);
}
const struct io_ops coprocessor_error_io = { f0_read, f0_write, 1, 1, false };

static void reset(void *dev)
{
	struct i440fx *f = dev;
	f->s.reset_control = 0;
	i440fx_ferr(f, false);
}

static const struct field_row fields[] = {
	FIELD(i440fx_state, reset_control, "reset_control", "Reset Control Register (CF9H)"),
	FIELD(i440fx_state, ferr, "ferr", "FERR#: an x87 error waits (CR0.NE = 0)"),
	FIELD(i440fx_state, ignne, "ignne", "IGNNE#: x87 errors are ignored"),
};

const struct dev_ops i440fx_dev = { DEV_STATE(i440fx), .reset = reset, DEV_FIELDS(fields) };
