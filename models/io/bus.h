/* bus.h - port and memory-mapped I/O space: who answers at which address.
 *
 * A region is an address range with a chip behind it; a handler sees the offset in the region. A
 * region claims an access by the access's first byte; an access wider than the region takes (`max`)
 * is split into narrower ones, lowest address first, as the ISA bridge does, and a region whose
 * `min` is wider than the access does not see it (the PCI configuration address at CF8H takes
 * doublewords only; the byte at CF9H is the reset register). What nobody claims reads all ones;
 * writes to it are lost.
 *
 * Time: the requester waits profile.port_latency for an ISA region, profile.mmio_latency for one on
 * PCI, per piece. The bus also keeps the board's clock: the latest moment any access or event has
 * brought. CPUs run in turns, so a CPU behind the others sees the devices at that moment and never
 * sees their time run backwards. */
#ifndef IO_BUS_H
#define IO_BUS_H

#include "models/profile.h"
#include "sim/base.h"
#include "sim/trace.h"
#include "sim/wire.h"

#define BUS_REGIONS_MAX 64

enum bus_space { BUS_PORT, BUS_MMIO };

struct io_ops {
	uint64_t (*read)(void *dev, uint64_t off, unsigned size, struct io_at *at);
	void (*write)(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at);
	uint8_t min, max;               /* widths taken, in bytes */
	bool pci;                       /* on PCI: latency of a PCI register, not of ISA */
};

struct bus_place { uint64_t base; uint32_t size, on; };

struct bus_state {              /* plain */
	cycle_t now;                    /* the board's clock */
	struct bus_place place[BUS_REGIONS_MAX];
};

struct bus {
	struct bus_state s;
	struct { enum bus_space space; const struct io_ops *ops; void *dev; } region[BUS_REGIONS_MAX];
	unsigned n;
	cycle_t isa_cost, pci_cost;
	struct trace *trace;
	unsigned component;
	uint64_t *stat;                 /* IO_STAT_* counters */
};

void bus_init(struct bus *b, const struct profile *p, struct trace *t, uint64_t *stat);
/* Add a region; returns its number. Earlier regions win where two overlap. */
unsigned bus_map(struct bus *b, enum bus_space space, uint64_t base, uint32_t size,
                 const struct io_ops *ops, void *dev);
void bus_move(struct bus *b, unsigned region, uint64_t base, bool on);

uint64_t bus_read(struct bus *b, enum bus_space space, uint64_t addr, unsigned size,
                  struct io_at *at);
void bus_write(struct bus *b, enum bus_space space, uint64_t addr, unsigned size, uint64_t v,
               struct io_at *at);

/* The board's clock after hearing of `now`. */
static inline cycle_t bus_clock(struct bus *b, cycle_t now)
{
	if (now > b->s.now)
		b->s.now = now;
	return b->s.now;
}

#endif
