/* trace.h - typed events in a ring, with filters. No cost when nobody listens but one
 * test of a bit.
 *
 * A module lists its events in a .def: EVENT(TLB_FILL, "tlb_fill", "gva gpa size", "a TLB entry was
 * written") and registers the rows with its base number. Text is made on reading:
 *     1042 cpu0 tlb_fill gva=0x1000 gpa=0x2000 size=0x1000 */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include "sim/base.h"

enum trace_base { TRACE_SIM = 0, TRACE_CPU = 64, TRACE_MMU = 128, TRACE_IO = 192, TRACE_VMM = 256,
                  TRACE_EVENTS = 320 };

/* Components: CPUs by number, then devices and the rest by what trace_component() returned. */
#define TRACE_COMPONENTS 320

struct trace_row { const char *name, *args, *sentence; };  /* args: up to four names; a name ending in '#' prints decimal */

struct trace_record {
	cycle_t cycle;
	uint16_t component, event;
	uint32_t pad;
	uint64_t a[4];
};

typedef void trace_sink(void *who, const struct trace_record *r);

struct trace {
	uint64_t wanted[TRACE_EVENTS / 64];     /* some listener wants this event */
	struct trace_row rows[TRACE_EVENTS];
	char component[TRACE_COMPONENTS][16];
	unsigned components;
	/* the last `ring_size` (a power of two) wanted records */
	struct trace_record *ring;
	uint64_t ring_size, count;              /* count: records ever written */
	uint64_t hash;                          /* FNV-1a over all records written */
	uint64_t kept[TRACE_EVENTS / 64];       /* some listener not apart wants it: it goes to the ring */
	struct { trace_sink *fn; void *who; uint64_t wanted[TRACE_EVENTS / 64]; bool apart; } sink[8];
	unsigned sinks;
};

void trace_init(struct trace *t, uint64_t ring_size);
void trace_fini(struct trace *t);
void trace_rows(struct trace *t, enum trace_base base, const struct trace_row *rows, size_t n);
unsigned trace_component(struct trace *t, const char *name);
/* A filter is "all", or names separated by commas; a trailing '*' matches a prefix. -1 and err on
 * an unknown name. */
struct err;
int trace_listen(struct trace *t, const char *filter, trace_sink *fn, void *who, struct err *e);
/* The same, but what nobody else wants stays out of the ring, the count and the hash. */
int trace_listen_apart(struct trace *t, const char *filter, trace_sink *fn, void *who, struct err *e);
void trace_unlisten(struct trace *t, trace_sink *fn, void *who);
/* One line, no newline; returns the length as snprintf does. */
int trace_format(const struct trace *t, const struct trace_record *r, char *buf, size_t n);

void trace_write(struct trace *t, cycle_t now, unsigned component, unsigned event, uint64_t a,
                 uint64_t b, uint64_t c, uint64_t d);

static inline bool trace_on(const struct trace *t, unsigned event)
{
	return unlikely(t->wanted[event / 64] >> (event % 64) & 1);
}
#define trace(t, now, component, event, a, b, c, d) \
	do { if (trace_on(t, event)) trace_write(t, now, component, event, a, b, c, d); } while (0)

#endif
