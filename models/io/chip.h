/* chip.h - what every chip has in common: what it hangs on, and the row that describes it.
 *
 * A chip is a struct that starts with `struct chip`, holds its registers in a plain `s` (a snapshot
 * section), and is described by one `const struct dev_ops`. Chips know the bus, memory and wires;
 * never a CPU, a page table or another chip. */
#ifndef IO_CHIP_H
#define IO_CHIP_H

#include "models/io/bus.h"
#include "models/mmu/mem.h"
#include "models/profile.h"
#include "sim/base.h"
#include "sim/err.h"
#include "sim/evq.h"
#include "sim/field.h"
#include "sim/snap.h"
#include "sim/stat.h"
#include "sim/trace.h"
#include "sim/wire.h"

enum io_stat {
#define STAT(NAME, name, unit, sentence) IO_STAT_##NAME,
#include "models/io/io_stat.def"
	IO_STAT_N
};
enum io_trace {
	IO_TRACE_BASE_ = TRACE_IO - 1,
#define EVENT(NAME, name, args, sentence) IO_TRACE_##NAME,
#include "models/io/io_trace.def"
	IO_TRACE_END_
};

struct io_env {                 /* borrowed by every chip */
	struct bus *bus;
	struct mem *mem;                /* for DMA */
	struct evq *evq;
	struct trace *trace;
	const struct profile *profile;
	struct machine_wire machine;
	struct snaps *snaps;            /* may be NULL */
	uint64_t *stat;
};

struct chip {
	const struct io_env *env;
	unsigned component;             /* in the trace */
	/* in the event queue, when the chip has a clock of its own */
	uint32_t owner;
};

struct dev_ops {
	size_t state_off, state_size;
	void (*init)(void *dev);        /* after chip_init; power-on values */
	void (*reset)(void *dev);       /* the RESET line */
	evq_fn *event;                  /* NULL: the chip never acts by itself */
	/* can a snapshot file's state be? NULL: any can */
	bool (*valid)(void *dev, const void *state);
	const struct field_row *fields;
	size_t fields_n;
};
#define DEV_STATE(type) .state_off = offsetof(struct type, s), .state_size = sizeof(((struct type *)0)->s)
#define DEV_FIELDS(rows) .fields = rows, .fields_n = ARRAY_LEN(rows)

/* One register of a state struct as a field view. */
#define FIELD(type, member, name_, what_) \
	{ .name = name_, .off = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member), .what = what_ }
#define FIELD_BITS(type, member, name_, bits_, what_) \
	{ .name = name_, .off = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member), .bits = bits_, .what = what_ }

void chip_init(struct chip *c, const char *name, const struct dev_ops *ops,
               const struct io_env *env);

static inline cycle_t chip_now(const struct chip *c) { return c->env->bus->s.now; }
static inline cycle_t chip_ns(const struct chip *c, uint64_t ns)
{
	return profile_ns(c->env->profile, ns);
}
static inline void chip_count(const struct chip *c, enum io_stat which) { c->env->stat[which]++; }
#define chip_trace(chip_, event, a, b, c_, d) \
	trace((chip_)->env->trace, chip_now(chip_), (chip_)->component, event, a, b, c_, d)

extern const struct stat_row io_stat_rows[IO_STAT_N];
extern const struct trace_row io_trace_rows[];
extern const size_t io_trace_rows_n;

#endif
