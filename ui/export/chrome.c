/* chrome.c - see chrome.h. t->written: bit 0, an event has been written; bit 1, an argument of this one; from bit 32 on, the
 * last number given to a thread or an arrow. */
#include "ui/export/chrome.h"

#include <inttypes.h>
#include <string.h>


#define EVENTS  0xffffffffu

static uint32_t number(struct chrome *c)
{
	c->t->written += 1ull << 32;
	return (uint32_t)(c->t->written >> 32);
}

static void text(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++)
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if ((unsigned char)*s >= 0x20)
			fputc(*s, f);
	fputc('"', f);
}

static FILE *event(struct chrome *c, char phase, uint32_t pid, uint32_t tid)
{
	FILE *f = c->t->f;

	fputs(c->t->written & EVENTS ? ",\n" : "{\"traceEvents\":[\n", f);
	c->t->written |= 1;
	fprintf(f, "{\"ph\":\"%c\",\"pid\":%u,\"tid\":%u", phase, pid, tid);
	return f;
}

/* Microseconds with three digits: nanoseconds. */
static void put_ns(FILE *f, const char *key, uint64_t ns)
{
	fprintf(f, ",\"%s\":%" PRIu64 ".%03u", key, ns / 1000, (unsigned)(ns % 1000));
}

static void put_name(FILE *f, const char *name)
{
	fputs(",\"name\":", f);
	text(f, name);
}

static void metadata(struct chrome *c, uint32_t pid, uint32_t tid, const char *what, const char *name, unsigned order)
{
	FILE *f = event(c, 'M', pid, tid);

	fprintf(f, ",\"name\":\"%s_name\",\"args\":{\"name\":", what);
	text(f, name);
	fputs("}}", f);
	f = event(c, 'M', pid, tid);
	fprintf(f, ",\"name\":\"%s_sort_index\",\"args\":{\"sort_index\":%u}}", what, order);
}

void chrome_track(struct chrome *c, struct track *t, uint32_t pid, const char *process, const char *thread, unsigned order)
{
	if (t->tid)
		return;
	t->pid = pid;
	t->tid = 1000000 + number(c);           /* no pid: a thread of its process's number would be its main one */
	metadata(c, pid, t->tid, "process", process, pid);
	metadata(c, pid, t->tid, "thread", thread, order);
}

static void open_args(FILE *f) { fputs(",\"args\":{", f); }

void chrome_begin(struct chrome *c, struct track *t, uint64_t ns, const char *name)
{
	FILE *f = event(c, 'B', t->pid, t->tid);

	ns = ns < t->start ? t->start : ns;
	ns = ns < t->end ? t->end : ns;
	put_ns(f, "ts", ns);
	put_name(f, name);
	open_args(f);
	t->start = ns;
	t->depth++;
}

void chrome_end(struct chrome *c, struct track *t, uint64_t ns)
{
	FILE *f;

	if (!t->depth)
		return;
	f = event(c, 'E', t->pid, t->tid);
	ns = ns < t->start ? t->start : ns;
	ns = ns < t->end ? t->end : ns;
	put_ns(f, "ts", ns);
	fputc('}', f);
	t->end = ns;
	t->depth--;
}

void chrome_slice(struct chrome *c, struct track *t, uint64_t from, uint64_t to, const char *name)
{
	FILE *f = event(c, 'X', t->pid, t->tid);

	from = from < t->start ? t->start : from;
	to = to < from ? from : to;
	put_ns(f, "ts", from);
	put_ns(f, "dur", to - from);
	put_name(f, name);
	open_args(f);
	t->start = from;
	t->end = to > t->end ? to : t->end;
}

void chrome_instant(struct chrome *c, struct track *t, uint64_t ns, const char *name)
{
	FILE *f = event(c, 'i', t->pid, t->tid);

	ns = ns < t->start ? t->start : ns;
	put_ns(f, "ts", ns);
	t->start = ns;
	fputs(",\"s\":\"t\"", f);
	put_name(f, name);
	open_args(f);
}

void chrome_counter(struct chrome *c, uint32_t pid, uint64_t ns, const char *name)
{
	FILE *f = event(c, 'C', pid, 0);

	put_ns(f, "ts", ns);
	put_name(f, name);
	open_args(f);
}

/* The first argument follows the bracket, others a comma: JSON has no trailing one, so the bit 1 of `written` remembers. */
void chrome_arg(struct chrome *c, const char *name, uint64_t value, bool decimal)
{
	FILE *f = c->t->f;

	if (c->t->written & 2)
		fputc(',', f);
	c->t->written |= 2;
	text(f, name);
	fprintf(f, decimal ? ":%" PRIu64 : ":\"0x%" PRIx64 "\"", value);
}

void chrome_done(struct chrome *c)
{
	fputs("}}", c->t->f);
	c->t->written &= ~2ull;
}

void chrome_arrow(struct chrome *c, const char *name, uint32_t from_pid, uint32_t from_tid, uint64_t from, const struct track *to, uint64_t at)
{
	const uint32_t id = number(c);
	FILE *f = event(c, 's', from_pid, from_tid);

	put_ns(f, "ts", from);
	put_name(f, name);
	fprintf(f, ",\"cat\":\"arrow\",\"id\":%u}", id);
	f = event(c, 'f', to->pid, to->tid);
	put_ns(f, "ts", at < from ? from : at);
	put_name(f, name);
	fprintf(f, ",\"cat\":\"arrow\",\"id\":%u,\"bp\":\"e\"}", id);
}
