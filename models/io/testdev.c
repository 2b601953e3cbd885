/* testdev.c - devices made for tests: QEMU's pc-testdev (ports E0H-E3H, E4H, 2000H-2017H, RAM at FF000000H), its
 * isa-debug-exit (F4H), and the POST code port 80H.
 * Source: QEMU's hw/misc/pc-testdev and hw/misc/debugexit, as kvm-unit-tests uses them.
 *
 *   E0H-E3H    what was written last reads back, bytes, words or a doubleword
 *   E4H        asks the hypervisor to drop a page: nothing to do on a bare machine
 *   2000H + n  a byte sets interrupt line n of the I/O APIC
 *   F4H        ends the run; the exit status is the value written times 2 plus 1 */
#include "models/io/testdev.h"

static uint64_t echo_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct testdev *t = dev;
	(void)at;
	return (uint64_t)t->s.echo >> 8 * off & MASK(8 * size);
}
static void echo_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct testdev *t = dev;
	(void)at;
	uint32_t mask = (uint32_t)(MASK(8 * size) << 8 * off);
	t->s.echo = (t->s.echo & ~mask) | ((uint32_t)(v << 8 * off) & mask);
}

static uint64_t ones(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	(void)dev, (void)off, (void)at;
	return MASK(8 * size);
}
static void nothing(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	(void)dev, (void)off, (void)size, (void)v, (void)at;
}

static void irq_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct testdev *t = dev;
	(void)size, (void)at;
	if (t->line)
		t->line(t->who, (unsigned)off, v != 0);
}

static uint64_t ram_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct testdev *t = dev;
	uint64_t v = 0;
	(void)at;
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)t->s.ram[(off + i) % TESTDEV_RAM_SIZE] << 8 * i;
	return v;
}
static void ram_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct testdev *t = dev;
	(void)at;
	for (unsigned i = 0; i < size; i++)
		t->s.ram[(off + i) % TESTDEV_RAM_SIZE] = (uint8_t)(v >> 8 * i);
}

static void exit_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct testdev *t = dev;
	const struct machine_wire *m = &t->chip.env->machine;
	(void)off, (void)size, (void)at;
	chip_trace(&t->chip, IO_TRACE_GUEST_EXIT, v, 0, 0, 0);
	if (m->request)
		m->request(m->who, MACHINE_EXIT, (uint32_t)(v << 1 | 1));
}

static uint64_t post_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct testdev *t = dev;
	(void)off, (void)size, (void)at;
	return t->s.post;
}
static void post_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct testdev *t = dev;
	(void)off, (void)size, (void)at;
	t->s.post = (uint8_t)v;
	chip_trace(&t->chip, IO_TRACE_POST, v, 0, 0, 0);
}

const struct io_ops testdev_echo_io = { echo_read, echo_write, 1, 4, false };
const struct io_ops testdev_flush_io = { ones, nothing, 1, 4, false };
const struct io_ops testdev_irq_io = { ones, irq_write, 1, 1, false };
const struct io_ops testdev_ram_io = { ram_read, ram_write, 1, 8, true };
const struct io_ops debug_exit_io = { ones, exit_write, 1, 4, false };
const struct io_ops post_io = { post_read, post_write, 1, 1, false };

static void reset(void *dev)
{
	struct testdev *t = dev;
	t->s.echo = 0;
	t->s.post = 0;
}

static const struct field_row fields[] = {
	FIELD(testdev_state, echo, "echo", "ports E0H-E3H"),
	FIELD(testdev_state, post, "post", "last POST code"),
};

const struct dev_ops testdev_dev = { DEV_STATE(testdev), .reset = reset, DEV_FIELDS(fields) };
