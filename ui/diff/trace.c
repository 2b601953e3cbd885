/* trace.c - component by component: two queues each, as long as one file is ahead of the other.
 *
 * Both files are read in turns. What a component has on both sides is compared and forgotten but for the last few records;
 * after its first difference the next few of each side are kept to be shown. Which difference is told: the one with the
 * least cycle. */
#include "ui/diff/trace.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COMPONENTS_MAX 4096
#define AHEAD_MAX      1000000  /* records one side may be ahead of the other in a component: then the other has no more */

struct place { long at; uint64_t line, cycle, hash; };  /* hash: of what counts in the record */

struct queue { struct place *p; size_t n, first, room; };

struct part {                   /* a component of one machine */
	char name[64];
	struct queue q[2];
	uint64_t same;                  /* records that are */
	struct { struct place side[2]; } before[DIFF_CONTEXT_MAX];      /* a ring: the last of them */
	bool parted, missing[2];        /* missing: that side has no record there */
	struct place here[2];           /* the first that differ */
	struct place after[2][DIFF_CONTEXT_MAX];
	unsigned afters[2];
};

struct compare {
	FILE *out;
	struct record_file *f[2];
	const struct diff_options *o;
	struct err *e;
	struct part **part;
	size_t parts;
	struct record *r[2];            /* scratch */
};

/* ---- queues ---- */

static void push(struct queue *q, struct place p)
{
	if (q->first && q->first + q->n == q->room) {
		memmove(q->p, q->p + q->first, q->n * sizeof *q->p);
		q->first = 0;
	}
	if (q->first + q->n == q->room) {
		q->room = q->room ? 2 * q->room : 64;
		q->p = xrealloc(q->p, q->room * sizeof *q->p);
	}
	q->p[q->first + q->n++] = p;
}

static struct place pop(struct queue *q)
{
	q->n--;
	return q->p[q->first++];
}

static struct part *part_of(struct compare *c, const struct record *r)
{
	char name[64];
	struct part *p;

	snprintf(name, sizeof name, "%.20s%s%.40s", r->machine, *r->machine ? " " : "", r->component);
	for (size_t i = 0; i < c->parts; i++)
		if (strcmp(c->part[i]->name, name) == 0)
			return c->part[i];
	if (c->parts == COMPONENTS_MAX)
		return NULL;
	c->part = xrealloc(c->part, (c->parts + 1) * sizeof *c->part);
	p = c->part[c->parts++] = xcalloc(1, sizeof *p);
	memcpy(p->name, name, sizeof name);
	return p;
}

/* ---- are they the same? ---- */

static const char *arg_value(const struct record *r, const char *name)
{
	for (unsigned i = 0; i < r->args; i++)
		if (strcmp(r->arg[i].name, name) == 0)
			return r->arg[i].value;
	return NULL;
}

static bool ignored(const struct diff_options *o, const char *name)
{
	return (!o->by_time && (strcmp(name, "cycles") == 0 || strcmp(name, "own") == 0)) || (o->ignore && diff_listed(o->ignore, name));
}

/* The name of the first argument that is not; "event", "cycle"; NULL: they are the same. */
static const char *differs(const struct diff_options *o, const struct record *a, const struct record *b)
{
	if (strcmp(a->event, b->event) != 0)
		return "event";
	for (unsigned i = 0; i < a->args; i++) {
		const char *other = arg_value(b, a->arg[i].name);

		if (!ignored(o, a->arg[i].name) && (!other || strcmp(a->arg[i].value, other) != 0))
			return a->arg[i].name;
	}
	for (unsigned i = 0; i < b->args; i++)
		if (!ignored(o, b->arg[i].name) && !arg_value(a, b->arg[i].name))
			return b->arg[i].name;
	return o->by_time && a->cycle != b->cycle ? "cycle" : NULL;
}

static uint64_t text_hash(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3;
	return (h ^ 0xff) * 0x100000001b3;
}

/* Arguments count in any order: a table has them in the order of its columns. */
static uint64_t record_hash(const struct diff_options *o, const struct record *r)
{
	const uint64_t begin = 0xcbf29ce484222325;
	uint64_t h = text_hash(begin, r->event);

	for (unsigned i = 0; i < r->args; i++)
		if (!ignored(o, r->arg[i].name))
			h += text_hash(text_hash(begin, r->arg[i].name), r->arg[i].value);
	return o->by_time ? h ^ r->cycle * 0x9e3779b97f4a7c15 : h;
}

/* Compare what both sides have of a component. */
static void advance(struct part *p)
{
	while (!p->parted && p->q[0].n && p->q[1].n) {
		const struct place at[2] = { pop(&p->q[0]), pop(&p->q[1]) };

		p->parted = at[0].hash != at[1].hash;
		memcpy(p->parted ? p->here : p->before[p->same++ % DIFF_CONTEXT_MAX].side, at, sizeof at);
	}
}

/* What waits of a component that has parted is what follows. */
static void keep_after(struct part *p, unsigned s)
{
	while (p->q[s].n) {
		const struct place at = pop(&p->q[s]);

		if (p->afters[s] < DIFF_CONTEXT_MAX)
			p->after[s][p->afters[s]++] = at;
	}
}

/* One side has a record where the other has none. */
static void part_alone(struct part *p, unsigned has)
{
	p->parted = p->missing[!has] = true;
	p->here[has] = pop(&p->q[has]);
}

static int take(struct compare *c, unsigned s)
{
	struct record *r = c->r[s];
	struct part *p;
	int got;

	do {
		got = record_next(c->f[s], r, c->e);
	} while (got == 1 && c->o->events && !diff_listed(c->o->events, r->event));
	if (got != 1)
		return got;
	p = part_of(c, r);
	if (!p)
		return err_set(c->e, c->f[s]->path, NULL, "more than %d components", COMPONENTS_MAX);
	push(&p->q[s], (struct place){ c->f[s]->at, c->f[s]->line, r->cycle, record_hash(c->o, r) });
	advance(p);
	if (!p->parted && p->q[s].n > AHEAD_MAX)
		part_alone(p, s);
	if (p->parted) {
		keep_after(p, 0);
		keep_after(p, 1);
	}
	return 1;
}

static int read_both(struct compare *c)
{
	int more[2] = { 1, 1 };

	while (more[0] || more[1])
		for (unsigned s = 0; s < 2; s++)
			if (more[s] && (more[s] = take(c, s)) < 0)
				return -1;
	for (size_t i = 0; i < c->parts; i++)
		for (unsigned s = 0; s < 2; s++)
			if (!c->part[i]->parted && c->part[i]->q[s].n) {
				part_alone(c->part[i], s);
				keep_after(c->part[i], s);
			}
	return 0;
}

/* ---- telling ---- */

static uint64_t when(const struct part *p)
{
	if (p->missing[0])
		return p->here[1].cycle;
	return p->missing[1] || p->here[0].cycle < p->here[1].cycle ? p->here[0].cycle : p->here[1].cycle;
}

/* Bytes of a hostile file are no commands to a terminal. */
static void put(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
}

static int show(struct compare *c, unsigned s, const char *mark, struct place at, uint64_t since)
{
	struct record *r = c->r[s];

	if (record_at(c->f[s], at.at, at.line, r, c->e) != 1)
		return err_set(c->e, c->f[s]->path, NULL, "it has changed while it was read");
	fprintf(c->out, "%s %10" PRIu64 " (%c%" PRIu64 ") ", mark, r->cycle, r->cycle < since ? '-' : '+',
	        r->cycle < since ? since - r->cycle : r->cycle - since);
	put(c->out, r->event);
	for (unsigned i = 0; i < r->args; i++) {
		fputc(' ', c->out);
		put(c->out, r->arg[i].name);
		fputc('=', c->out);
		put(c->out, r->arg[i].value);
	}
	fputc('\n', c->out);
	return 0;
}

static int tell_difference(struct compare *c, const struct part *p)
{
	const char *what = p->missing[0] || p->missing[1] ? NULL : "";

	if (what) {
		for (unsigned s = 0; s < 2; s++)
			if (record_at(c->f[s], p->here[s].at, p->here[s].line, c->r[s], c->e) != 1)
				return err_set(c->e, c->f[s]->path, NULL, "it has changed while it was read");
		what = differs(c->o, c->r[0], c->r[1]);
		what = what ? what : "";
	}
	put(c->out, p->name);
	fprintf(c->out, ": %" PRIu64 " records are the same, then ", p->same);
	if (!what) {
		const unsigned s = p->missing[0];

		fprintf(c->out, "only %c goes on (%s:%" PRIu64 ")\n", 'A' + s, c->f[s]->path, p->here[s].line);
		return 0;
	}
	put(c->out, what);
	fprintf(c->out, " differs (%s:%" PRIu64 ", %s:%" PRIu64 ")", c->f[0]->path, p->here[0].line, c->f[1]->path, p->here[1].line);
	if (strcmp(what, "event") != 0 && strcmp(what, "cycle") != 0) {
		for (unsigned s = 0; s < 2; s++) {
			const char *v = arg_value(c->r[s], what);

			fputs(s ? ", " : ": ", c->out);
			put(c->out, v ? v : "missing");
			fputs(s ? " in B" : " in A", c->out);
		}
	}
	fputc('\n', c->out);
	return 0;
}

/* Cycles in brackets: from the last record that is the same. */
static int tell(struct compare *c, const struct part *p)
{
	const struct place *last = p->same ? p->before[(p->same - 1) % DIFF_CONTEXT_MAX].side : NULL;
	const uint64_t n = p->same < c->o->context ? p->same : c->o->context;

	fprintf(c->out, "A %s\nB %s\n", c->f[0]->path, c->f[1]->path);
	if (tell_difference(c, p) != 0)
		return -1;
	for (uint64_t i = p->same - n; i < p->same; i++) {
		const struct place *at = p->before[i % DIFF_CONTEXT_MAX].side;
		const bool twice = at[0].cycle != at[1].cycle;

		if (show(c, 0, twice ? "  A" : "   ", at[0], last[0].cycle) != 0 || (twice && show(c, 1, "  B", at[1], last[1].cycle) != 0))
			return -1;
	}
	for (unsigned s = 0; s < 2; s++) {
		const uint64_t since = last ? last[s].cycle : 0;

		if (p->missing[s])
			fprintf(c->out, "> %c  (no more records)\n", 'A' + s);
		else if (show(c, s, s ? "> B" : "> A", p->here[s], since) != 0)
			return -1;
		for (unsigned i = 0; i < p->afters[s] && i < c->o->context; i++)
			if (show(c, s, s ? "  B" : "  A", p->after[s][i], since) != 0)
				return -1;
	}
	return 0;
}

static void tell_others(struct compare *c, const struct part *told)
{
	bool any = false;

	for (size_t i = 0; i < c->parts; i++) {
		const struct part *p = c->part[i];

		if (p == told)
			continue;
		fputs(any ? ", " : "others: ", c->out);
		put(c->out, p->name);
		fprintf(c->out, p->parted ? " differs after %" PRIu64 : " the same, %" PRIu64, p->same);
		any = true;
	}
	if (any)
		fputc('\n', c->out);
}

int trace_diff(FILE *out, struct record_file *a, struct record_file *b, const struct diff_options *o, struct err *e)
{
	struct compare c = { .out = out, .f = { a, b }, .o = o, .e = e };
	const struct part *first = NULL;
	int status;

	c.r[0] = xcalloc(2, sizeof *c.r[0]);
	c.r[1] = c.r[0] + 1;
	status = read_both(&c);
	for (size_t i = 0; status == 0 && i < c.parts; i++)
		if (c.part[i]->parted && (!first || when(c.part[i]) < when(first)))
			first = c.part[i];
	if (first && !o->quiet) {
		status = tell(&c, first);
		tell_others(&c, first);
	}
	for (size_t i = 0; i < c.parts; i++) {
		free(c.part[i]->q[0].p);
		free(c.part[i]->q[1].p);
		free(c.part[i]);
	}
	free(c.part);
	free(c.r[0]);
	return status < 0 ? -1 : first != NULL;
}
