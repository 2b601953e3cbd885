/* The test devices. */
#include "rig.h"

#include "models/io/testdev.h"

static unsigned pin_seen;
static bool level_seen;
static void line(void *who, unsigned pin, bool level)
{
	(void)who;
	pin_seen = pin;
	level_seen = level;
}

static struct testdev t;

static struct rig *test_new(void)
{
	struct rig *r = rig_new(0);
	chip_init(&t.chip, "test", &testdev_dev, &r->env);
	t.line = line;
	bus_map(&r->bus, BUS_PORT, 0xe0, 4, &testdev_echo_io, &t);
	bus_map(&r->bus, BUS_PORT, 0xf4, 4, &debug_exit_io, &t);
	bus_map(&r->bus, BUS_PORT, 0x80, 1, &post_io, &t);
	bus_map(&r->bus, BUS_PORT, 0x2000, TESTDEV_IRQS, &testdev_irq_io, &t);
	bus_map(&r->bus, BUS_MMIO, TESTDEV_RAM_BASE, TESTDEV_RAM_SIZE, &testdev_ram_io, &t);
	return r;
}

Test(testdev, what_was_written_reads_back)
{
	struct rig *r = test_new();
	rig_out(r, 0xe0, 4, 0x12345678);
	cr_expect(eq(u64, rig_in(r, 0xe0, 4), 0x12345678));
	cr_expect(eq(u64, rig_in(r, 0xe2, 2), 0x1234));
	out8(r, 0xe1, 0xab);
	cr_expect(eq(u64, rig_in(r, 0xe0, 4), 0x1234ab78));
	rig_out(r, 0xe3, 4, 0xffffff99);
	cr_expect(eq(u64, rig_in(r, 0xe0, 4), 0x9934ab78));
	rig_free(r);
}

/* The status QEMU's isa-debug-exit ends with: value * 2 + 1. */
Test(testdev, debug_exit)
{
	struct rig *r = test_new();
	rig_out(r, 0xf4, 4, 0x10);
	cr_expect(eq(int, r->asked.what, MACHINE_EXIT));
	cr_expect(eq(u32, r->asked.value, 0x21));
	rig_free(r);
}

Test(testdev, interrupt_lines)
{
	struct rig *r = test_new();
	out8(r, 0x2017, 1);
	cr_expect(eq(u32, pin_seen, 23));
	cr_expect(level_seen);
	out8(r, 0x2000, 0);
	cr_expect(eq(u32, pin_seen, 0));
	cr_expect(not(level_seen));
	rig_free(r);
}

Test(testdev, ram_window)
{
	struct rig *r = test_new();
	struct io_at at = { 0 };
	bus_write(&r->bus, BUS_MMIO, TESTDEV_RAM_BASE + 0xfffc, 8, 0x1122334455667788, &at);
	cr_expect(eq(u64, bus_read(&r->bus, BUS_MMIO, TESTDEV_RAM_BASE + 0xfffe, 2, &at), 0x5566));
	rig_free(r);
}
