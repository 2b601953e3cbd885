/* matrix.c - workloads down, techniques across: slowdowns in three digits, all pairs in 80 columns. */
#include <inttypes.h>
#include <string.h>

#include "ui/compare/compare.h"
#include "ui/compare/text.h"

enum { LABEL = 9, NATIVE = 6, CELL = 6, WIDE_CELL = 7, COLUMNS = 80, ROOM = COLUMNS + 1 - NATIVE, FIT = (ROOM - LABEL) / CELL, TEXT = 256 };
struct layout { int label, cell; };

/* Four characters at most: 9999, 38M, 1.8M. */
static const char *cycles_of(const struct case_record *r, char *text, size_t n)
{
	static const char unit[] = " kMGTPE";
	double x = (double)record_cycles(r);
	size_t i = 0;
	for (; x >= 9999.5 || (i && x >= 999.5); i++)
		x /= 1000;
	snprintf(text, n, i && x < 9.95 ? "%.1f%c" : i ? "%.0f%c" : "%.0f", x, unit[i]);
	return text;
}

/* "shadow.wp" -> "wp", "ept:2M" -> "ept2M", "shadow.wp:whatif" -> "wp". */
static void column_name(const struct case_spec *s, char *to, size_t n)
{
	const char *dot = strchr(s->mmu, '.');
	snprintf(to, n, "%s%s", dot ? dot + 1 : s->mmu, s->page);
}

/* Right-aligned over the numbers; in narrow cells a name of six letters takes the column of marks too. */
static int put_name(char *to, size_t n, int cell, const char *name)
{
	return snprintf(to, n, (int)strlen(name) >= cell ? "%*.*s" : "%*.*s ", (int)strlen(name) >= cell ? cell : cell - 1, cell, name);
}

static int put_number(char *to, size_t n, int cell, double x, char mark)
{
	return snprintf(to, n, "%*.*f%c", cell - 1, x < 9.995 ? 2 : x < 99.95 ? 1 : 0, x, mark);
}

static const char *label_of(const struct plan *p, size_t workload, size_t value, char *text, size_t n)
{
	if (!p->sweep.n)
		return p->workload.v[workload];
	snprintf(text, n, "%s %" PRIu64, p->workload.v[workload], p->sweep.value[value]);
	return text;
}

/* Wide cells when all techniques find room; labels as wide as the longest of them needs and the cells leave. */
static struct layout layout_of(const struct plan *p)
{
	char text[TEXT];
	const size_t columns = p->technique.n - 1 < FIT ? p->technique.n - 1 : FIT, cell = LABEL + WIDE_CELL * columns <= ROOM ? WIDE_CELL : CELL;
	size_t wide = LABEL, room = ROOM - cell * columns;
	for (size_t w = 0; w < p->workload.n; w++)
		for (size_t v = 0; v < p->values; v++) {
			size_t length = strlen(label_of(p, w, v, text, sizeof text));
			wide = length > wide ? length : wide;
		}
	return (struct layout){ (int)(wide < room ? wide : room), (int)cell };
}

static void head(const struct comparison *c, struct layout l, size_t from, size_t to, FILE *f)
{
	char cpu[TEXT], mmu[TEXT], name[48];
	int a = snprintf(cpu, sizeof cpu, "%*s", l.label + NATIVE, "");
	int b = snprintf(mmu, sizeof mmu, "%-*s%*s ", l.label, "workload", NATIVE - 1, "bare");
	for (size_t t = from; t < to; t++) {
		a += put_name(cpu + a, sizeof cpu - (size_t)a, l.cell, c->plan.spec[t].cpu);
		column_name(&c->plan.spec[t], name, sizeof name);
		if (mmu[b - 1] != ' ' && (int)strlen(name) == l.cell - 1)       /* one letter on: not glued to a name of six */
			b += snprintf(mmu + b, sizeof mmu - (size_t)b, "%*s", l.cell, name);
		else
			b += put_name(mmu + b, sizeof mmu - (size_t)b, l.cell, name);
	}
	put_trimmed(f, cpu);
	put_trimmed(f, mmu);
}

/* A label too long is cut behind a whole word, if one fits. */
static int label_fits(const char *label, int room)
{
	int n = (int)strlen(label);
	if (n <= room)
		return n;
	for (n = room; n > 0 && label[n] != ' '; n--)
		;
	return n ? n : room;
}

static void row(const struct comparison *c, size_t block, struct layout l, const char *label, size_t from, size_t to, FILE *f)
{
	char line[TEXT], text[24];
	size_t best = best_of(c, block);
	int n = snprintf(line, sizeof line, "%-*.*s%*s ", l.label, label_fits(label, l.label), label, NATIVE - 1, record_good(&c->record[block]) ?
	                 cycles_of(&c->record[block], text, sizeof text) : "-");
	for (size_t t = from; t < to; t++) {
		double x = slowdown(c, block + t);
		char mark = differs(c, block + t) ? '!' : t == best ? '*' : ' ';
		if (x > 0)
			n += put_number(line + n, sizeof line - (size_t)n, l.cell, x, mark);
		else
			n += snprintf(line + n, sizeof line - (size_t)n, "%*.*s", l.cell, l.cell, trouble(c, block + t));
	}
	put_trimmed(f, line);
}

void matrix(const struct comparison *c, size_t profile, FILE *f)
{
	const struct plan *p = &c->plan;
	const struct layout l = layout_of(p);
	char label[TEXT];
	bool whatif = false;
	fprintf(f, "\nSlowdown on %s: cycles on the bare machine, then how many times as many;\n* marks the best\n", p->profile.v[profile]);
	for (size_t from = 1, to; from < p->technique.n; from = to) {
		to = from + FIT < p->technique.n ? from + FIT : p->technique.n;
		head(c, l, from, to, f);
		for (size_t w = 0; w < p->workload.n; w++)
			for (size_t v = 0; v < p->values; v++)
				if (block_good(c, plan_at(p, profile, w, v, 0)))
					row(c, plan_at(p, profile, w, v, 0), l, label_of(p, w, v, label, sizeof label), from, to, f);
	}
	for (size_t t = 0; t < p->technique.n; t++)
		whatif |= p->spec[t].whatif;
	if (whatif)
		fputs("trap: on the what-if machine, whose critical instructions trap outside ring 0;\non x86 as it is trap-and-emulate goes wrong: vmscope equiv shows where\n", f);
}
