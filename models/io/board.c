/* board.c - the devices of the PC and the wires between them: an i440FX board with its PIIX3, as
 * QEMU's `pc`.
 *
 *   interrupts   ISA line n ---> 8259 IRn (2: the cascade)      8259 INTR ---> LINT0 of every CPU, I/O APIC pin 0
 *                         \---> I/O APIC pin n (0 -> pin 2)
 *                PIRQ A-D  ---> I/O APIC pins 16-19 (active low) and the ISA line PIRQRC names
 *   lines        0 timer, 1 keyboard, 4 COM1, 8 RTC, 9 SCI, 13 x87 errors, 14 and 15 IDE
 *
 * The map below is the whole of I/O space and of memory space outside RAM, the CPUs' local APICs
 * excepted. HPET: none. */
#include "models/io/board.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "models/io/acpi_pm.h"
#include "models/io/bus.h"
#include "models/io/chip.h"
#include "models/io/fw_cfg.h"
#include "models/io/i440fx.h"
#include "models/io/i8042.h"
#include "models/io/i8254.h"
#include "models/io/i8259.h"
#include "models/io/ide.h"
#include "models/io/ioapic.h"
#include "models/io/pci.h"
#include "models/io/rtc.h"
#include "models/io/testdev.h"
#include "models/io/uart16550.h"
#include "models/io/vga.h"

/* Who pulls an ISA line: each source has a bit, the line is their OR. */
enum source { FROM_CHIP, FROM_TEST, FROM_PIRQ };        /* FROM_PIRQ + 0..3 */

struct board_state { uint32_t sources[16]; };           /* plain */

struct board {
	struct board_state s;
	struct io_env env;
	struct bus bus;
	uint64_t stat[IO_STAT_N];
	unsigned component;
	struct irq_wire intr;
	struct i8259 pic;
	struct ioapic ioapic;
	struct i8254 pit;
	struct rtc rtc;
	struct i8042 kbd;
	struct uart16550 com1;
	struct vga vga;
	struct pci pci;
	struct i440fx chipset;
	struct ide ide;
	struct acpi_pm pm;
	struct fw_cfg fw_cfg;
	struct testdev test;
};

#define AT(member) offsetof(struct board, member)

/* ---- the map ---- */
enum when { ALWAYS, TESTING };
static const struct {
	enum bus_space space;
	uint64_t base;
	uint32_t size;
	const struct io_ops *ops;
	size_t device;
	enum when when;
} map[] = {
	{ BUS_PORT, 0x0020,           2,                &i8259_master_io, AT(pic),     ALWAYS },
	{ BUS_PORT, 0x0040,           4,                &i8254_io,        AT(pit),     ALWAYS },
	{ BUS_PORT, 0x0060,           1,                &i8042_data_io,   AT(kbd),     ALWAYS },
	{ BUS_PORT, 0x0061,           1,                &port_b_io,       AT(pit),     ALWAYS },
	{ BUS_PORT, 0x0064,           1,                &i8042_command_io,AT(kbd),     ALWAYS },
	{ BUS_PORT, 0x0070,           2,                &rtc_io,          AT(rtc),     ALWAYS },
	{ BUS_PORT, 0x0080,           1,                &post_io,         AT(test),    ALWAYS },
	{ BUS_PORT, 0x0092,           1,                &port_a_io,       AT(kbd),     ALWAYS },
	{ BUS_PORT, 0x00a0,           2,                &i8259_slave_io,  AT(pic),     ALWAYS },
	{ BUS_PORT, 0x00e0,           4,                &testdev_echo_io, AT(test),    TESTING },
	{ BUS_PORT, 0x00e4,           4,                &testdev_flush_io,AT(test),    TESTING },
	{ BUS_PORT, 0x00e8,           1,                &testdev_flush_io,AT(test),    TESTING },
	{ BUS_PORT, 0x00f0,           1,                &coprocessor_error_io, AT(chipset), ALWAYS },
	{ BUS_PORT, 0x00f4,           4,                &debug_exit_io,   AT(test),    TESTING },
	{ BUS_PORT, 0x0170,           1,                &ide_data_io[1],  AT(ide),     ALWAYS },
	{ BUS_PORT, 0x0171,           7,                &ide_task_io[1],  AT(ide),     ALWAYS },
	{ BUS_PORT, 0x01f0,           1,                &ide_data_io[0],  AT(ide),     ALWAYS },
	{ BUS_PORT, 0x01f1,           7,                &ide_task_io[0],  AT(ide),     ALWAYS },
	{ BUS_PORT, 0x0376,           1,                &ide_control_io[1], AT(ide),   ALWAYS },
	{ BUS_PORT, 0x03c0,           32,               &vga_io,          AT(vga),     ALWAYS },
	{ BUS_PORT, 0x03f6,           1,                &ide_control_io[0], AT(ide),   ALWAYS },
	{ BUS_PORT, 0x03f8,           8,                &uart16550_io,    AT(com1),    ALWAYS },
	{ BUS_PORT, 0x04d0,           2,                &i8259_elcr_io,   AT(pic),     ALWAYS },
	{ BUS_PORT, 0x0510,           2,                &fw_cfg_io,       AT(fw_cfg),  ALWAYS },
	{ BUS_PORT, ACPI_PM_BASE,     12,               &acpi_pm_io,      AT(pm),      ALWAYS },
	{ BUS_PORT, 0x0cf8,           1,                &pci_address_io,  AT(pci),     ALWAYS },
	{ BUS_PORT, 0x0cf9,           1,                &reset_control_io,AT(chipset), ALWAYS },
	{ BUS_PORT, 0x0cfc,           4,                &pci_data_io,     AT(pci),     ALWAYS },
	{ BUS_PORT, 0x2000,           TESTDEV_IRQS,     &testdev_irq_io,  AT(test),    TESTING },
	{ BUS_PORT, ACPI_GPE0,        4,                &acpi_gpe_io,     AT(pm),      ALWAYS },
	{ BUS_MMIO, VGA_TEXT_BASE,    VGA_TEXT_BYTES,   &vga_text_io,     AT(vga),     ALWAYS },
	{ BUS_MMIO, IOAPIC_BASE,      0x1000,           &ioapic_io,       AT(ioapic),  ALWAYS },
	{ BUS_MMIO, TESTDEV_RAM_BASE, TESTDEV_RAM_SIZE, &testdev_ram_io,  AT(test),    TESTING },
};

/* ---- the devices ---- */
static const struct { const char *name; const struct dev_ops *ops; size_t at; } devices[] = {
#define DEVICE(member, name, ops, summary) { name, &ops, AT(member) },
#include "models/io/devices.def"
};
const struct device_row device_list[] = {
#define DEVICE(member, name, ops, summary) { name, summary },
#include "models/io/devices.def"
};
const size_t device_list_n = ARRAY_LEN(device_list);

static void *device(struct board *b, size_t at) { return (char *)b + at; }

/* ---- interrupt lines ---- */
static void isa_line(void *who, unsigned pin, bool level)
{
	struct board *b = who;
	unsigned irq = pin & 15, source = pin >> 8;
	uint32_t old = b->s.sources[irq];
	b->s.sources[irq] = (old & ~(1u << source)) | (uint32_t)level << source;
	if (!old == !b->s.sources[irq])
		return;
	level = b->s.sources[irq];
	trace(b->env.trace, b->bus.s.now, b->component, IO_TRACE_IRQ, irq, level, 0, 0);
	i8259_set(&b->pic, irq, level);
	if (irq != 2)
		ioapic_set(&b->ioapic, irq ? irq : 2, level);
}
static struct irq_wire isa(struct board *b, unsigned irq, unsigned source)
{
	return (struct irq_wire){ isa_line, b, irq | source << 8 };
}

static void test_line(void *who, unsigned pin, bool level)
{
	struct board *b = who;
	if (pin < 16)
		isa_line(b, pin | FROM_TEST << 8, level);
	else
		ioapic_set(&b->ioapic, pin, level);
}

/* INTR: every CPU's LINT0, and the I/O APIC's pin 0 for software that routes the pair
 * through it. */
static void intr_line(void *who, unsigned pin, bool level)
{
	struct board *b = who;
	(void)pin;
	irq_set(&b->intr, level);
	ioapic_set(&b->ioapic, 0, level);
}

/* Where each PIRQ line goes now: its I/O APIC pin, and the ISA line its register names,
 * no other. */
static void pirq_line(struct board *b, unsigned line, bool level)
{
	int irq = i440fx_pirq_irq(&b->chipset, line);
	ioapic_set(&b->ioapic, 16 + line, !level);              /* INTx# is active low */
	for (int i = 0; i < 16; i++)
		if (i == irq || b->s.sources[i] & 1u << (FROM_PIRQ + line))
			isa_line(b, (unsigned)i | (FROM_PIRQ + line) << 8, i == irq && level);
}
static void pirq_changed(void *who, unsigned line, bool level) { pirq_line(who, line, level); }
static void routing_changed(void *who)
{
	struct board *b = who;
	for (unsigned line = 0; line < 4; line++)
		pirq_line(b, line, b->pci.s.intx[line]);
}

static void rtc_alarm(void *who)
{
	struct board *b = who;
	acpi_pm_rtc_alarm(&b->pm);
}
static void s3_resume(void *who)
{
	struct board *b = who;
	/* shutdown status "S3 resume": firmware goes to the waking vector */
	b->rtc.s.cmos[0x0f] = 0xfe;
}

static int wire(struct board *b, const struct board_config *c, const struct board_wiring *w,
                struct err *e)
{
	b->intr = w->intr;
	b->pic.intr = (struct irq_wire){ intr_line, b, 0 };
	b->ioapic.bus = w->apic;
	b->pit.irq = isa(b, 0, FROM_CHIP);
	b->kbd.irq = isa(b, 1, FROM_CHIP);
	b->com1.irq = isa(b, 4, FROM_CHIP);
	b->rtc.irq = isa(b, 8, FROM_CHIP);
	b->rtc.alarm = rtc_alarm;
	b->rtc.alarm_who = b;
	b->pm.sci = isa(b, ACPI_SCI_IRQ, FROM_CHIP);
	b->pm.resume = s3_resume;
	b->pm.who = b;
	b->ide.irq[0] = isa(b, 14, FROM_CHIP);
	b->ide.irq[1] = isa(b, 15, FROM_CHIP);
	b->test.line = test_line;
	b->test.who = b;
	b->pci.pirq = pirq_changed;
	b->pci.who = b;
	b->chipset.route = routing_changed;
	b->chipset.who = b;
	b->chipset.irq13 = isa(b, 13, FROM_CHIP);
	i440fx_attach(&b->chipset, &b->pci);
	if (ide_attach(&b->ide, c->disk, c->disk_where, &b->pci, e))
		return -1;
	acpi_pm_attach(&b->pm, &b->pci);
	rtc_setup(&b->rtc, c->rtc_epoch, c->low_ram, c->ram > c->low_ram ? c->ram - c->low_ram : 0,
	          c->cpus);
	fw_cfg_standard(&b->fw_cfg, c->ram, c->cpus);
	return 0;
}

/* A file may not place regions beyond what their chips hold. */
static bool bus_valid(void *who, const void *state)
{
	const struct bus *bus = who;
	struct bus_state s;
	memcpy(&s, state, sizeof s);
	for (unsigned i = 0; i < BUS_REGIONS_MAX; i++)
		if (s.place[i].size != bus->s.place[i].size || s.place[i].on > 1)
			return false;
	return true;
}

static void enrol(struct board *b, const struct board_wiring *w)
{
	const char *prefix = w->prefix ? w->prefix : "";
	const struct { const char *name; void *p; size_t n; } own[] = {
		{ "io.bus", &b->bus.s, sizeof b->bus.s }, { "io.board", &b->s, sizeof b->s }, { "io.stat", b->stat, sizeof b->stat },
	};
	char name[64];
	if (w->stats) {
		snprintf(name, sizeof name, "%sio", prefix);
		stats_add(w->stats, name, io_stat_rows, IO_STAT_N, b->stat);
	}
	for (size_t i = 0; i < ARRAY_LEN(own) && w->snaps; i++) {
		snprintf(name, sizeof name, "%s%s", prefix, own[i].name);
		snaps_section(w->snaps, name, 1, own[i].p, own[i].n);
		if (i == 0)
			snaps_valid(w->snaps, name, bus_valid, &b->bus);
	}
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		const struct dev_ops *ops = devices[i].ops;
		char *state = (char *)device(b, devices[i].at) + ops->state_off;
		snprintf(name, sizeof name, "%sio.%s", prefix, devices[i].name);
		if (w->snaps)
			snaps_section(w->snaps, name, 1, state, ops->state_size);
		if (w->snaps && ops->valid)
			snaps_valid(w->snaps, name, ops->valid, device(b, devices[i].at));
		snprintf(name, sizeof name, "%s%s", prefix, devices[i].name);
		if (w->fields)
			fields_add(w->fields, name, ops->fields, ops->fields_n, state);
	}
}

struct board *board_new(const struct board_config *c, const struct board_wiring *w, struct err *e)
{
	struct board *b = xcalloc(1, sizeof *b);
	b->env = (struct io_env){ .bus = &b->bus, .mem = w->mem, .evq = w->evq, .trace = w->trace,
	                          .profile = c->profile,
	                          .machine = w->machine, .snaps = w->snaps, .stat = b->stat };
	trace_rows(w->trace, TRACE_IO, io_trace_rows, io_trace_rows_n);
	bus_init(&b->bus, c->profile, w->trace, b->stat);
	b->component = trace_component(w->trace, "board");
	for (int i = 0; i < 4; i++)
		b->ide.disk[i].fd = -1;
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		chip_init(device(b, devices[i].at), devices[i].name, devices[i].ops, &b->env);
	for (size_t i = 0; i < ARRAY_LEN(map); i++)
		if (map[i].when == ALWAYS || c->test_device)
			bus_map(&b->bus, map[i].space, map[i].base, map[i].size, map[i].ops,
			        device(b, map[i].device));
	if (wire(b, c, w, e)) {
		board_free(b);
		return NULL;
	}
	enrol(b, w);
	board_reset(b);
	return b;
}

void board_free(struct board *b)
{
	if (!b)
		return;
	ide_fini(&b->ide);
	fw_cfg_fini(&b->fw_cfg);
	free(b);
}

void board_reset(struct board *b)
{
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		if (devices[i].ops->reset)
			devices[i].ops->reset(device(b, devices[i].at));
	for (unsigned line = 0; line < 4; line++) {
		b->pci.s.intx[line] = 0;
		pirq_line(b, line, false);
	}
}

/* ---- faces ---- */
static uint64_t port_read(void *who, uint64_t addr, unsigned size, struct io_at *at)
{
	struct board *b = who;
	at->cost = 0;
	return bus_read(&b->bus, BUS_PORT, addr, size, at);
}
static void port_write(void *who, uint64_t addr, unsigned size, uint64_t v, struct io_at *at)
{
	struct board *b = who;
	at->cost = 0;
	bus_write(&b->bus, BUS_PORT, addr, size, v, at);
}
static uint64_t mmio_read(void *who, uint64_t addr, unsigned size, struct io_at *at)
{
	struct board *b = who;
	at->cost = 0;
	return bus_read(&b->bus, BUS_MMIO, addr, size, at);
}
static void mmio_write(void *who, uint64_t addr, unsigned size, uint64_t v, struct io_at *at)
{
	struct board *b = who;
	at->cost = 0;
	bus_write(&b->bus, BUS_MMIO, addr, size, v, at);
}

struct io_wire board_ports(struct board *b) { return (struct io_wire){ port_read, port_write, b }; }
struct io_wire board_mmio(struct board *b) { return (struct io_wire){ mmio_read, mmio_write, b }; }

static bool pic_pending(void *who)
{
	struct board *b = who;
	return i8259_pending(&b->pic);
}
static uint8_t pic_acknowledge(void *who)
{
	struct board *b = who;
	return i8259_acknowledge(&b->pic);
}
struct pic_wire board_pic(struct board *b)
{
	return (struct pic_wire){ pic_pending, pic_acknowledge, b };
}

static bool drive_ferr(void *who, bool level, cycle_t now)
{
	struct board *b = who;
	bus_clock(&b->bus, now);
	return i440fx_ferr(&b->chipset, level);
}
struct ferr_wire board_ferr(struct board *b) { return (struct ferr_wire){ drive_ferr, b }; }

void board_eoi(struct board *b, uint8_t vector) { ioapic_eoi(&b->ioapic, vector); }

void board_on_console(struct board *b, void (*fn)(void *who, const uint8_t *bytes, size_t n),
                      void *who)
{
	b->com1.sent = fn;
	b->com1.who = who;
}
void board_serial_input(struct board *b, const uint8_t *bytes, size_t n)
{
	uart16550_input(&b->com1, bytes, n);
}
void board_key_input(struct board *b, const uint8_t *scancodes, size_t n)
{
	i8042_keys(&b->kbd, scancodes, n);
}
void board_screen_text(const struct board *b, char lines[25][80 * 4 + 1])
{
	vga_screen_text(&b->vga, lines);
}

void board_fw_cfg_add(struct board *b, uint16_t key, const void *bytes, size_t n)
{
	fw_cfg_add(&b->fw_cfg, key, bytes, n);
}

unsigned board_component(const struct board *b) { return b->bus.component; }
bool board_line(const struct board *b, unsigned irq) { return b->s.sources[irq & 15] != 0; }
