/* The bus: who answers, how accesses are cut, what they cost. */
#include "rig.h"

struct echo { uint64_t off, v; unsigned size, n; };
static uint64_t echo_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct echo *e = dev;
	(void)at;
	e->off = off, e->size = size, e->n++;
	return 0x1111111111111111ull * e->n;
}
static void echo_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct echo *e = dev;
	(void)at;
	e->off = off, e->size = size, e->v = v, e->n++;
}
static const struct io_ops bytes = { echo_read, echo_write, 1, 1, false }, dwords = { echo_read, echo_write, 4, 4, true },
                           any = { echo_read, echo_write, 1, 4, true };

Test(bus, what_nobody_claims_reads_all_ones)
{
	struct rig *r = rig_new(0);
	cr_expect(eq(u64, rig_in(r, 0x300, 1), 0xff));
	cr_expect(eq(u64, rig_in(r, 0x300, 4), 0xffffffff));
	struct io_at at = { 0 };
	cr_expect(eq(u64, bus_read(&r->bus, BUS_MMIO, 0xfed00000, 8, &at), ~0ull));
	rig_out(r, 0xffff, 4, 0);
	cr_expect(eq(u64, r->stat[IO_STAT_UNCLAIMED], 4));
	rig_free(r);
}

Test(bus, a_wide_access_to_a_byte_region_is_cut_low_byte_first)
{
	struct rig *r = rig_new(0);
	struct echo e = { 0 };
	bus_map(&r->bus, BUS_PORT, 0x300, 2, &bytes, &e);
	cr_expect(eq(u64, rig_in(r, 0x300, 2), 0x2211));
	cr_expect(eq(u64, e.off, 1));
	e.n = 0;
	cr_expect(eq(u64, rig_in(r, 0x301, 2), 0xff11), "the second byte is nobody's");
	rig_out(r, 0x300, 2, 0xabcd);
	cr_expect(eq(u64, e.v, 0xab));
	rig_free(r);
}

Test(bus, a_region_claims_by_the_first_byte)
{
	struct rig *r = rig_new(0);
	struct echo e = { 0 };
	bus_map(&r->bus, BUS_PORT, 0x1f0, 1, &any, &e);
	rig_out(r, 0x1f0, 4, 0x12345678);
	cr_expect(eq(u64, e.v, 0x12345678));
	cr_expect(eq(u32, e.size, 4));
	rig_free(r);
}

Test(bus, a_doubleword_region_does_not_see_bytes)
{
	struct rig *r = rig_new(0);
	struct echo d = { 0 }, b = { 0 };
	bus_map(&r->bus, BUS_PORT, 0xcf8, 1, &dwords, &d);
	bus_map(&r->bus, BUS_PORT, 0xcf9, 1, &bytes, &b);
	out8(r, 0xcf8, 1);
	cr_expect(eq(u32, d.n, 0));
	out8(r, 0xcf9, 1);
	cr_expect(eq(u32, b.n, 1));
	rig_out(r, 0xcf8, 4, 0x80000000);
	cr_expect(eq(u32, d.n, 1));
	cr_expect(eq(u32, b.n, 1));
	rig_free(r);
}

Test(bus, the_requester_waits_as_the_profile_says)
{
	struct rig *r = rig_new(1000000000);
	struct echo e = { 0 };
	bus_map(&r->bus, BUS_PORT, 0x300, 4, &bytes, &e);
	bus_map(&r->bus, BUS_PORT, 0x400, 4, &any, &e);
	struct io_at at = { 0 };
	bus_read(&r->bus, BUS_PORT, 0x300, 1, &at);
	cr_expect(eq(u64, at.cost, r->p.port_latency));
	at.cost = 0;
	bus_read(&r->bus, BUS_PORT, 0x300, 4, &at);
	cr_expect(eq(u64, at.cost, 4 * r->p.port_latency), "four ISA cycles");
	at.cost = 0;
	bus_read(&r->bus, BUS_PORT, 0x400, 4, &at);
	cr_expect(eq(u64, at.cost, r->p.mmio_latency));
	rig_free(r);
}

Test(bus, the_boards_clock_never_runs_back)
{
	struct rig *r = rig_new(0);
	struct io_at late = { .now = 1000 }, early = { .now = 10 };
	bus_read(&r->bus, BUS_PORT, 0, 1, &late);
	bus_read(&r->bus, BUS_PORT, 0, 1, &early);
	cr_expect(eq(u64, r->bus.s.now, 1000));
	rig_free(r);
}

Test(bus, a_moved_region_answers_at_its_new_place_only)
{
	struct rig *r = rig_new(0);
	struct echo e = { 0 };
	unsigned n = bus_map(&r->bus, BUS_PORT, 0, 16, &any, &e);
	bus_move(&r->bus, n, 0xc000, true);
	rig_out(r, 0xc004, 1, 0);
	cr_expect(eq(u64, e.off, 4));
	rig_out(r, 0x0004, 1, 0);
	bus_move(&r->bus, n, 0xc000, false);
	rig_out(r, 0xc004, 1, 0);
	cr_expect(eq(u32, e.n, 1));
	rig_free(r);
}
