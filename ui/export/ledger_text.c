/* ledger_text.c - the ledger as text: the short lines and the table. Percentages are made here, on
 * printing. */
#include "ui/export/ledger_text.h"

#include <inttypes.h>
#include <string.h>

#include "ui/export/wrap.h"

uint64_t ledger_cell(const struct machine *m, unsigned acct, unsigned why)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < m->config.cpus; i++)
		sum += m->cpu[i]->ledger.spent[acct][why];
	return sum;
}

static uint64_t total(const struct machine *m)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < m->config.cpus; i++)
		sum += ledger_sum(&m->cpu[i]->ledger);
	return sum;
}

static uint64_t of_acct(const struct machine *m, unsigned acct)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < WHY_N; w++)
		sum += ledger_cell(m, acct, w);
	return sum;
}

const char *digits(uint64_t v, char *buf, size_t n)
{
	char plain[24];
	size_t len = (size_t)snprintf(plain, sizeof plain, "%" PRIu64, v), out = 0;

	for (size_t i = 0; i < len && out + 2 < n; i++) {
		if (i && (len - i) % 3 == 0)
			buf[out++] = ' ';
		buf[out++] = plain[i];
	}
	buf[out] = '\0';
	return buf;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void head(FILE *f, const struct machine *m)
{
	char cycles[40], insns[40], cpus[32] = "";

	if (m->config.cpus > 1)
		snprintf(cpus, sizeof cpus, " on %u CPUs", m->config.cpus);
	wrap_line(f, 2, "%s: %s cycles = %.6f s at %.3f GHz, %s instructions%s%s", m->config.profile.name,
	          digits(machine_now(m), cycles, sizeof cycles), (double)machine_now(m) / (double)m->config.profile.hz,
	          (double)m->config.profile.hz / 1e9, digits(machine_icount(m), insns, sizeof insns), cpus,
	          m->config.fast ? " (fast: caches and TLBs untimed)" : "");
}

void ledger_text_short(FILE *f, const struct machine *m)
{
	uint64_t all = total(m);
	char name[32], text[1200];
	size_t at = 0;

	head(f, m);
	/* accounts over one percent, then the largest causes */
	for (unsigned a = 0; a < ACCT_N; a++)
		if (percent(of_acct(m, a), all) >= 1 && at + 64 < sizeof text)
			at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %.0f%%", at ? ", " : "", ledger_acct_name(a, name, sizeof name),
			                       percent(of_acct(m, a), all));
	if (!at)
		return;
	wrap_line(f, 7, "  who: %s", text);
	at = 0;
	for (unsigned w = 0; w < WHY_N; w++) {
		uint64_t sum = 0;

		for (unsigned a = 0; a < ACCT_N; a++)
			sum += ledger_cell(m, a, w);
		if (percent(sum, all) >= 1 && at + 64 < sizeof text)
			at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %.0f%%", at ? ", " : "", ledger_why[w].name, percent(sum, all));
	}
	wrap_line(f, 7, "  why: %s (all of it: --ledger)", text);
}

/* ---- the table ---- */

enum { CAUSE = 14, PERCENT = 9 };       /* columns of the first and the last */

static unsigned wide(unsigned a, uint64_t v)
{
	char name[32], text[40];
	size_t n = a < ACCT_N ? strlen(ledger_acct_name(a, name, sizeof name)) : 3, k = strlen(digits(v, text, sizeof text));

	return (unsigned)(n > k ? n : k) < 7 ? 7 : (unsigned)(n > k ? n : k);        /* 100.00% */
}

struct columns { unsigned acct[ACCT_N], wide[ACCT_N], n, all; };

static uint64_t of_cause(const struct machine *m, unsigned why)
{
	uint64_t sum = 0;

	for (unsigned a = 0; a < ACCT_N; a++)
		sum += ledger_cell(m, a, why);
	return sum;
}

/* Accounts [from, to), and in the last part what they add up to. */
static void part(FILE *f, const struct machine *m, const struct columns *c, unsigned from, unsigned to)
{
	const uint64_t all = total(m);
	const bool last = to == c->n;
	char text[40];

	fprintf(f, "%-*s", CAUSE, "cycles");
	for (unsigned i = from; i < to; i++)
		fprintf(f, " %*s", (int)c->wide[i], ledger_acct_name(c->acct[i], text, sizeof text));
	if (last)
		fprintf(f, " %*s %*s", (int)c->all, "all", PERCENT - 1, "percent");
	fputc('\n', f);
	for (unsigned w = 0; w < WHY_N; w++) {
		if (!of_cause(m, w))
			continue;
		fprintf(f, "%-*s", CAUSE, ledger_why[w].name);
		for (unsigned i = from; i < to; i++) {
			uint64_t v = ledger_cell(m, c->acct[i], w);

			fprintf(f, " %*s", (int)c->wide[i], v ? digits(v, text, sizeof text) : "-");
		}
		if (last)
			fprintf(f, " %*s %*.2f%%", (int)c->all, digits(of_cause(m, w), text, sizeof text), PERCENT - 2, percent(of_cause(m, w), all));
		fputc('\n', f);
	}
	fprintf(f, "%-*s", CAUSE, "all");
	for (unsigned i = from; i < to; i++)
		fprintf(f, " %*s", (int)c->wide[i], digits(of_acct(m, c->acct[i]), text, sizeof text));
	if (last)
		fprintf(f, " %*s %*.2f%%", (int)c->all, digits(all, text, sizeof text), PERCENT - 2, all ? 100.0 : 0.0);
	fprintf(f, "\n%-*s", CAUSE, "percent");
	for (unsigned i = from; i < to; i++)
		fprintf(f, " %*.2f%%", (int)c->wide[i] - 1, percent(of_acct(m, c->acct[i]), all));
	fputc('\n', f);
}

void ledger_text_full(FILE *f, const struct machine *m)
{
	struct columns c = { .all = wide(ACCT_N, total(m)) };
	unsigned from = 0, to = 0;

	head(f, m);
	for (unsigned a = 0; a < ACCT_N; a++)
		if (of_acct(m, a)) {
			c.acct[c.n] = a;
			c.wide[c.n++] = wide(a, of_acct(m, a));
		}
	do {            /* as many as find room, then a table for the others */
		unsigned at = CAUSE;

		if (from)
			fputc('\n', f);
		while (to < c.n && at + 1 + c.wide[to] + (to + 1 == c.n ? 1 + c.all + PERCENT : 0) <= WRAP_PAGE)
			at += 1 + c.wide[to++];
		to += to == from && to < c.n;
		part(f, m, &c, from, to);
		from = to;
	} while (from < c.n);
}
