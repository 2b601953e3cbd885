/* trace_format.h - what the forms --trace writes (exports.def) have in common. */
#ifndef UI_EXPORT_TRACE_FORMAT_H
#define UI_EXPORT_TRACE_FORMAT_H

#include <stdio.h>

#include "models/machine.h"

struct trace_target {           /* one file */
	FILE *f;
	unsigned machines;              /* that write into it */
	uint64_t written;               /* the form's own */
};

struct trace_form {
	const char *events;             /* what it listens to; NULL: what it is told */
	bool apart;                     /* a file per machine */
	/* One machine begins to write; returns what record() and close() are given. wanted: a bit per event listened to. */
	void *(*open)(struct trace_target *t, const struct machine *m, const char *name, const uint64_t *wanted);
	trace_sink *record;
	void (*close)(void *who);       /* frees it */
	void (*end)(struct trace_target *t);    /* after the last close(), before the file is closed; may be NULL */
};

/* "vm1.com1": a component by a name that is unique in the machine. */
const char *trace_component_name(const struct machine *m, unsigned component, char *buf, size_t n);
/* The virtual machine whose board a component is a part of; 0: the machine's own, or a CPU. */
unsigned trace_component_vm(const struct machine *m, unsigned component);

struct trace_arg { char name[24]; bool decimal; uint64_t value; };
unsigned trace_args(const struct trace *t, const struct trace_record *r, struct trace_arg arg[4]);

/* Simulated time in whole units of 1/per_second seconds, rounded down. */
uint64_t trace_units(cycle_t cycle, uint64_t hz, uint64_t per_second);
/* "0.000002063636": seconds, 12 digits. */
const char *trace_seconds(cycle_t cycle, uint64_t hz, char *buf, size_t n);

#endif
