/* rig.h - a bare bus for one chip: its lines end in lamps, its messages in a log, time moves when the test says so. */
#ifndef TEST_IO_RIG_H
#define TEST_IO_RIG_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/io/chip.h"

struct rig {
	struct io_env env;
	struct bus bus;
	struct evq q;
	struct trace t;
	struct profile p;
	struct mem mem;
	uint64_t stat[IO_STAT_N];
	cycle_t now;
	bool lamp[32];
	unsigned rises[32];
	struct { enum machine_request what; uint32_t value; unsigned n; } asked;
};

static inline void rig_lamp(void *who, unsigned pin, bool level)
{
	struct rig *r = who;
	r->rises[pin] += level && !r->lamp[pin];
	r->lamp[pin] = level;
}
static inline struct irq_wire rig_wire(struct rig *r, unsigned pin) { return (struct irq_wire){ rig_lamp, r, pin }; }

static inline void rig_request(void *who, enum machine_request what, uint32_t value)
{
	struct rig *r = who;
	r->asked.what = what;
	r->asked.value = value;
	r->asked.n++;
}

/* A clock of `hz`; 0: the default profile's. */
static inline struct rig *rig_new(uint64_t hz)
{
	struct rig *r = calloc(1, sizeof *r);
	struct err e = { "" };
	profile_defaults(&r->p);
	if (hz)
		r->p.hz = hz;
	trace_init(&r->t, 64);
	trace_rows(&r->t, TRACE_IO, io_trace_rows, io_trace_rows_n);
	cr_assert(eq(int, mem_init(&r->mem, 2u << 20, &e), 0));
	bus_init(&r->bus, &r->p, &r->t, r->stat);
	r->env = (struct io_env){ .bus = &r->bus, .mem = &r->mem, .evq = &r->q, .trace = &r->t, .profile = &r->p,
	                          .machine = { rig_request, r }, .stat = r->stat };
	return r;
}
static inline void rig_free(struct rig *r)
{
	mem_fini(&r->mem);
	trace_fini(&r->t);
	free(r);
}

static inline uint64_t rig_in(struct rig *r, unsigned port, unsigned size)
{
	struct io_at at = { .now = r->now };
	return bus_read(&r->bus, BUS_PORT, port, size, &at);
}
static inline void rig_out(struct rig *r, unsigned port, unsigned size, uint64_t v)
{
	struct io_at at = { .now = r->now };
	bus_write(&r->bus, BUS_PORT, port, size, v, &at);
}
static inline uint8_t in8(struct rig *r, unsigned port) { return (uint8_t)rig_in(r, port, 1); }
static inline void out8(struct rig *r, unsigned port, uint8_t v) { rig_out(r, port, 1, v); }

static inline void rig_run(struct rig *r, cycle_t cycles)
{
	r->now += cycles;
	evq_run(&r->q, r->now);
	bus_clock(&r->bus, r->now);
}

#endif
