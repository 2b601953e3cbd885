/* trace_format.c - names, arguments and times of trace records. */
#include "ui/export/trace_format.h"

#include <inttypes.h>
#include <string.h>

#include "models/io/board.h"

/* A board's components follow each other, the bus first; a virtual machine's board is built after its host's. */
unsigned trace_component_vm(const struct machine *m, unsigned component)
{
	unsigned vm = 0;

	for (unsigned i = 0; i < m->guests; i++)
		if (component >= board_component(m->guest[i]->board))
			vm = i + 1;
	return vm;
}

const char *trace_component_name(const struct machine *m, unsigned component, char *buf, size_t n)
{
	const unsigned vm = trace_component_vm(m, component);

	if (vm)
		snprintf(buf, n, "vm%u.%s", vm, m->trace.component[component]);
	else
		snprintf(buf, n, "%s", m->trace.component[component]);
	return buf;
}

unsigned trace_args(const struct trace *t, const struct trace_record *r, struct trace_arg arg[4])
{
	const char *args = t->rows[r->event].args ? t->rows[r->event].args : "";
	unsigned n = 0;

	for (; n < 4 && *args; n++) {
		const size_t word = strcspn(args, " ");

		arg[n].decimal = args[word - 1] == '#';
		arg[n].value = r->a[n];
		snprintf(arg[n].name, sizeof arg[n].name, "%.*s", (int)(word - arg[n].decimal), args);
		args += word;
		args += strspn(args, " ");
	}
	return n;
}

uint64_t trace_units(cycle_t cycle, uint64_t hz, uint64_t per_second)
{
	return (uint64_t)((unsigned __int128)cycle * per_second / hz);
}

const char *trace_seconds(cycle_t cycle, uint64_t hz, char *buf, size_t n)
{
	const uint64_t ps = trace_units(cycle % hz, hz, 1000000000000);

	snprintf(buf, n, "%" PRIu64 ".%012" PRIu64, cycle / hz, ps);
	return buf;
}
