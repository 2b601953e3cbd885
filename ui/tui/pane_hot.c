/* pane_hot.c - where each VM's time goes, by symbol: a profile taken by going over the run once more (session/hotspots.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/symbols.h"
#include "ui/export/ledger_text.h"
#include "ui/tui/tui.h"

void draw_hot(struct tui *t, struct pane_out *o);

struct row { const char *name; uint64_t addr; cycle_t cycles; };
#define ROWS_MAX 512

static int by_cycles(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	if (x->cycles != y->cycles)
		return x->cycles > y->cycles ? -1 : 1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* The symbols of one account, the busiest first. */
static size_t rows_of(const struct tui *t, unsigned acct, struct row *row)
{
	const struct symtab *s = hotspots_symbols(t->m, acct);
	size_t n = 0;
	for (size_t i = 0; i < t->hot.n; i++) {
		const struct hotspot *p = &t->hot.at[i];
		if (p->acct != acct)
			continue;
		uint64_t off = 0;
		const struct symbol *sym = p->lin ? symtab_at(s, p->lin, &off) : NULL;
		uint64_t at = sym ? sym->addr : p->lin & ~0xfffull;
		if (n && row[n - 1].addr == at)
			row[n - 1].cycles += p->cycles;
		else if (n < ROWS_MAX)
			row[n++] = (struct row){ sym ? sym->name : NULL, at, p->cycles };
	}
	qsort(row, n, sizeof *row, by_cycles);
	return n;
}

void draw_hot(struct tui *t, struct pane_out *o)
{
	static struct row row[ROWS_MAX];
	const struct hotspots *h = &t->hot;
	char a[40], b[40], name[32];
	if (!h->n) {
		put(o, STYLE_DIM, "P looks where the time went so far");
		nl(o);
		return;
	}
	put(o, STYLE_DIM, "insns %s to %s, %u looks; P: again", digits(h->from.step, a, sizeof a), digits(h->to.step, b, sizeof b), h->looks);
	nl(o);
	for (unsigned acct = 0; acct < ACCT_N; acct++) {
		cycle_t sum = hotspots_at(h, acct, 0, UINT64_MAX);
		if (!sum)
			continue;
		put(o, STYLE_DIM, "%3u%% ", (unsigned)(sum * 100 / h->total));
		ledger_acct_name(acct, name, sizeof name);
		put_named(o, acct_style(acct), name, "%s", name);
		nl(o);
		size_t n = acct < ACCT_GUEST ? 0 : rows_of(t, acct, row);
		for (size_t i = 0; i < n; i++) {
			struct link l = { .kind = LINK_ADDRESS, .address = row[i].addr };
			put(o, STYLE_NORMAL, row[i].cycles * 100 / h->total ? "     %3u%% " : "      <1%% ", (unsigned)(row[i].cycles * 100 / h->total));
			if (row[i].name)
				put_link(o, STYLE_NORMAL, &l, "%-24s ", row[i].name);
			else
				put_link(o, STYLE_DIM, &l, "%-24" PRIx64 " ", row[i].addr);
			put_bar(o, acct_style(acct), row[i].cycles, h->total, 0);
			nl(o);
		}
	}
}
