/* ledger_text.c - the ledger as text: the short lines and the table. Percentages are made here, on
 * printing. */
#include "ui/export/ledger_text.h"

#include <inttypes.h>
#include <string.h>

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
	char cycles[40], insns[40];

	fprintf(f, "%s: %s cycles = %.6f s at %.3f GHz, %s instructions", m->config.profile.name,
	        digits(machine_now(m), cycles, sizeof cycles),
	        (double)machine_now(m) / (double)m->config.profile.hz,
	        (double)m->config.profile.hz / 1e9, digits(machine_icount(m), insns, sizeof insns));
	if (m->config.cpus > 1)
		fprintf(f, " on %u CPUs", m->config.cpus);
	fputs(m->config.fast ? " (fast: caches and TLBs are not timed)\n" : "\n", f);
}

void ledger_text_short(FILE *f, const struct machine *m)
{
	uint64_t all = total(m);
	bool first = true;
	char name[32];

	head(f, m);
	/* accounts over one percent, then the largest causes */
	for (unsigned a = 0; a < ACCT_N; a++)
		if (percent(of_acct(m, a), all) >= 1) {
			fprintf(f, "%s%s %.0f%%", first ? "  who: " : ", ",
			        ledger_acct_name(a, name, sizeof name),
			        percent(of_acct(m, a), all));
			first = false;
		}
	if (first)
		return;
	fputs("; why:", f);
	for (unsigned w = 0; w < WHY_N; w++) {
		uint64_t sum = 0;

		for (unsigned a = 0; a < ACCT_N; a++)
			sum += ledger_cell(m, a, w);
		if (percent(sum, all) >= 1)
			fprintf(f, " %s %.0f%%", ledger_why[w].name, percent(sum, all));
	}
	fputs("   (--ledger: the whole table)\n", f);
}

void ledger_text_full(FILE *f, const struct machine *m)
{
	unsigned acct[ACCT_N], n = 0;
	uint64_t all = total(m);
	char text[40];

	head(f, m);
	for (unsigned a = 0; a < ACCT_N; a++)
		if (of_acct(m, a))
			acct[n++] = a;
	fprintf(f, "%-14s", "cycles");
	for (unsigned i = 0; i < n; i++)
		fprintf(f, " %18s", ledger_acct_name(acct[i], text, sizeof text));
	fprintf(f, " %18s %8s\n", "all", "percent");
	for (unsigned w = 0; w < WHY_N; w++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < n; i++)
			sum += ledger_cell(m, acct[i], w);
		if (!sum)
			continue;
		fprintf(f, "%-14s", ledger_why[w].name);
		for (unsigned i = 0; i < n; i++) {
			uint64_t v = ledger_cell(m, acct[i], w);

			fprintf(f, " %18s", v ? digits(v, text, sizeof text) : "-");
		}
		fprintf(f, " %18s %7.2f%%\n", digits(sum, text, sizeof text), percent(sum, all));
	}
	fprintf(f, "%-14s", "all");
	for (unsigned i = 0; i < n; i++)
		fprintf(f, " %18s", digits(of_acct(m, acct[i]), text, sizeof text));
	fprintf(f, " %18s %7.2f%%\n%-14s", digits(all, text, sizeof text), all ? 100.0 : 0.0,
	        "percent");
	for (unsigned i = 0; i < n; i++)
		fprintf(f, " %17.2f%%", percent(of_acct(m, acct[i]), all));
	fputc('\n', f);
}
