/* bus.c - port and memory-mapped I/O space (bus.h). */
#include "models/io/bus.h"

#include "models/io/chip.h"

void bus_init(struct bus *b, const struct profile *p, struct trace *t, uint64_t *stat)
{
	*b = (struct bus){ .trace = t, .stat = stat, .component = trace_component(t, "bus"),
	                   .isa_cost = profile_ns(p, p->port_latency),
	                   .pci_cost = profile_ns(p, p->mmio_latency) };
}

unsigned bus_map(struct bus *b, enum bus_space space, uint64_t base, uint32_t size,
                 const struct io_ops *ops, void *dev)
{
	if (b->n == BUS_REGIONS_MAX)
		BUG("more than %d bus regions", BUS_REGIONS_MAX);
	b->region[b->n].space = space;
	b->region[b->n].ops = ops;
	b->region[b->n].dev = dev;
	b->s.place[b->n] = (struct bus_place){ base, size, true };
	return b->n++;
}

void bus_move(struct bus *b, unsigned region, uint64_t base, bool on)
{
	b->s.place[region].base = base;
	b->s.place[region].on = on;
}

/* The region that takes the first bytes of an access with `left` bytes to go, or -1. */
static int find(const struct bus *b, enum bus_space space, uint64_t addr, unsigned left)
{
	for (unsigned i = 0; i < b->n; i++) {
		const struct bus_place *p = &b->s.place[i];
		if (p->on && addr - p->base < p->size && b->region[i].space == space &&
		    left >= b->region[i].ops->min)
			return (int)i;
	}
	return -1;
}

/* The width of the next piece: a power of two that fits both what is left and what the
 * region takes. */
static unsigned piece(const struct io_ops *ops, unsigned left)
{
	unsigned n = ops->max;
	while (n > left)
		n >>= 1;
	return n;
}

uint64_t bus_read(struct bus *b, enum bus_space space, uint64_t addr, unsigned size,
                  struct io_at *at)
{
	uint64_t v = 0;
	bool claimed = false;
	bus_clock(b, at->now);
	b->stat[space == BUS_PORT ? IO_STAT_PORT_READ : IO_STAT_MMIO_READ]++;
	for (unsigned done = 0, n; done < size; done += n) {
		uint64_t part = 0xff;
		int r = find(b, space, addr + done, size - done);
		n = 1;
		if (r >= 0) {
			const struct io_ops *ops = b->region[r].ops;
			n = piece(ops, size - done);
			part = ops->read(b->region[r].dev, addr + done - b->s.place[r].base, n,
			                 at) & MASK(8 * n);
			at->cost += ops->pci ? b->pci_cost : b->isa_cost;
			claimed = true;
		}
		v |= part << 8 * done;
	}
	if (!claimed) {
		b->stat[IO_STAT_UNCLAIMED]++;
		at->cost += space == BUS_PORT ? b->isa_cost : b->pci_cost;
		trace(b->trace, b->s.now, b->component, IO_TRACE_UNCLAIMED, addr, size,
		      space == BUS_PORT, 0);
	}
	return v;
}

void bus_write(struct bus *b, enum bus_space space, uint64_t addr, unsigned size, uint64_t v,
               struct io_at *at)
{
	bool claimed = false;
	bus_clock(b, at->now);
	b->stat[space == BUS_PORT ? IO_STAT_PORT_WRITE : IO_STAT_MMIO_WRITE]++;
	for (unsigned done = 0, n; done < size; done += n) {
		int r = find(b, space, addr + done, size - done);
		n = 1;
		if (r >= 0) {
			const struct io_ops *ops = b->region[r].ops;
			n = piece(ops, size - done);
			ops->write(b->region[r].dev, addr + done - b->s.place[r].base, n,
			           v >> 8 * done & MASK(8 * n), at);
			at->cost += ops->pci ? b->pci_cost : b->isa_cost;
			claimed = true;
		}
	}
	if (!claimed) {
		b->stat[IO_STAT_UNCLAIMED]++;
		at->cost += space == BUS_PORT ? b->isa_cost : b->pci_cost;
		trace(b->trace, b->s.now, b->component, IO_TRACE_UNCLAIMED, addr, size,
		      space == BUS_PORT, 0);
	}
}
