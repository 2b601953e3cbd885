/* trace.c - the ring of typed events, who listens to what, and their text. */
#include "sim/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/err.h"

#define WORDS (TRACE_EVENTS / 64)

void trace_init(struct trace *t, uint64_t ring_size)
{
	memset(t, 0, sizeof *t);
	if (ring_size == 0 || ring_size & (ring_size - 1))
		BUG("a trace ring of %" PRIu64 " records: not a power of two", ring_size);
	t->ring = xcalloc(ring_size, sizeof *t->ring);
	t->ring_size = ring_size;
	t->hash = 0xcbf29ce484222325;
}

void trace_fini(struct trace *t)
{
	free(t->ring);
	memset(t, 0, sizeof *t);
}

void trace_rows(struct trace *t, enum trace_base base, const struct trace_row *rows, size_t n)
{
	if (base + n > TRACE_EVENTS)
		BUG("%zu trace events from %d do not fit", n, base);
	memcpy(&t->rows[base], rows, n * sizeof *rows);
}

unsigned trace_component(struct trace *t, const char *name)
{
	if (t->components == TRACE_COMPONENTS)
		BUG("no room for trace component '%s'", name);
	snprintf(t->component[t->components], sizeof t->component[0], "%s", name);
	return t->components++;
}

/* ---- listening ---- */

static const char *row_name(const void *table, size_t i)
{
	return ((const struct trace_row *)table)[i].name;
}

static bool matches(const char *pattern, size_t len, const char *name)
{
	if (len == 3 && memcmp(pattern, "all", 3) == 0)
		return true;
	if (len && pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return strlen(name) == len && memcmp(pattern, name, len) == 0;
}

static void recompute_wanted(struct trace *t)
{
	memset(t->wanted, 0, sizeof t->wanted);
	memset(t->kept, 0, sizeof t->kept);
	for (unsigned i = 0; i < t->sinks; i++)
		for (unsigned w = 0; w < WORDS; w++) {
			t->wanted[w] |= t->sink[i].wanted[w];
			t->kept[w] |= t->sink[i].apart ? 0 : t->sink[i].wanted[w];
		}
}

int trace_listen(struct trace *t, const char *filter, trace_sink *fn, void *who, struct err *e)
{
	uint64_t wanted[WORDS] = { 0 };

	for (const char *p = filter; *p;) {
		size_t len = strcspn(p, ",");
		bool any = false;

		for (unsigned i = 0; i < TRACE_EVENTS; i++)
			if (t->rows[i].name && matches(p, len, t->rows[i].name)) {
				wanted[i / 64] |= BIT(i % 64);
				any = true;
			}
		if (!any && len) {
			char word[64], hint[160];
			const char *near;

			snprintf(word, sizeof word, "%.*s", (int)(len < 60 ? len : 60), p);
			near = err_nearest(word, row_name, t->rows, TRACE_EVENTS);
			snprintf(hint, sizeof hint, "%s%s%sall names: vmscope list events",
			         near ? "did you mean '" : "",
			         near ? near : "", near ? "'? " : "");
			return err_set(e, NULL, hint, "unknown trace event '%s'", word);
		}
		p += len + (p[len] == ',');
	}
	if (t->sinks == ARRAY_LEN(t->sink))
		return err_set(e, NULL, "let one listener serve several events",
		               "more than %zu listeners on the trace",
		               ARRAY_LEN(t->sink));
	t->sink[t->sinks].fn = fn;
	t->sink[t->sinks].who = who;
	t->sink[t->sinks].apart = false;
	memcpy(t->sink[t->sinks].wanted, wanted, sizeof wanted);
	t->sinks++;
	recompute_wanted(t);
	return 0;
}

int trace_listen_apart(struct trace *t, const char *filter, trace_sink *fn, void *who, struct err *e)
{
	if (trace_listen(t, filter, fn, who, e) != 0)
		return -1;
	t->sink[t->sinks - 1].apart = true;
	recompute_wanted(t);
	return 0;
}

void trace_unlisten(struct trace *t, trace_sink *fn, void *who)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < t->sinks; i++)
		if (t->sink[i].fn != fn || t->sink[i].who != who)
			t->sink[kept++] = t->sink[i];
	t->sinks = kept;
	recompute_wanted(t);
}

/* ---- writing ---- */

void trace_write(struct trace *t, cycle_t now, unsigned component, unsigned event, uint64_t a,
                 uint64_t b, uint64_t c,
                 uint64_t d)
{
	struct trace_record apart, *r = &apart;
	const bool kept = t->kept[event / 64] >> (event % 64) & 1;

	if (kept)
		r = &t->ring[t->count++ & (t->ring_size - 1)];
	*r = (struct trace_record){ .cycle = now, .component = (uint16_t)component,
	                            .event = (uint16_t)event,
	                            .a = { a, b, c, d } };
	const uint8_t *bytes = (const uint8_t *)r;
	for (size_t i = 0; kept && i < sizeof *r; i++)
		t->hash = (t->hash ^ bytes[i]) * 0x100000001b3;
	for (unsigned i = 0; i < t->sinks; i++)
		if (t->sink[i].fn && t->sink[i].wanted[event / 64] >> (event % 64) & 1)
			t->sink[i].fn(t->sink[i].who, r);
}

/* ---- reading ---- */

int trace_format(const struct trace *t, const struct trace_record *r, char *buf, size_t n)
{
	const struct trace_row *row = &t->rows[r->event];
	const char *args = row->args ? row->args : "";
	int len = snprintf(buf, n, "%10" PRIu64 " %s %s", r->cycle, t->component[r->component],
	                   row->name ? row->name : "?");

	for (unsigned i = 0; i < 4 && *args; i++) {
		size_t word = strcspn(args, " "), at = (size_t)len < n ? (size_t)len : n;
		bool decimal = args[word - 1] == '#';

		len += snprintf(buf + at, n - at, decimal ? " %.*s=%" PRIu64 : " %.*s=0x%" PRIx64,
		                (int)(word - decimal), args, r->a[i]);
		args += word;
		args += strspn(args, " ");
	}
	return len;
}
