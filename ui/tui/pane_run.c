/* pane_run.c - the panes about the run: console, screen, devices, ledger, statistics. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "ui/export/ledger_text.h"
#include "ui/tui/tui.h"

void draw_console(struct tui *t, struct pane_out *o);
void draw_vga(struct tui *t, struct pane_out *o);
void draw_devices(struct tui *t, struct pane_out *o);
void draw_ledger(struct tui *t, struct pane_out *o);
void draw_stats(struct tui *t, struct pane_out *o);

void draw_console(struct tui *t, struct pane_out *o)
{
	const struct run *r = run_face(t->run);
	size_t from = r->console_n > 20000 ? r->console_n - 20000 : 0;
	char line[512];
	size_t n = 0;
	for (size_t i = from; r->console_n && i <= r->console_n; i++) {
		char ch = i < r->console_n ? r->console[i] : '\n';
		if (ch == '\n') {
			line[n] = '\0';
			if (i < r->console_n || n)
				here(o);
			put(o, STYLE_NORMAL, "%s", line);
			nl(o);
			n = 0;
		} else if (ch != '\r' && n + 1 < sizeof line) {
			line[n++] = ch;
		}
	}
	if (!r->console_n)
		put(o, STYLE_DIM, "(nothing printed yet)");
}

void draw_vga(struct tui *t, struct pane_out *o)
{
	char lines[25][80 * 4 + 1];
	machine_screen_text(run_face(t->run)->m, lines);
	for (unsigned i = 0; i < 25; i++) {
		put(o, STYLE_NORMAL, "%s", lines[i]);
		nl(o);
	}
}

/* ---- devices and statistics ---- */

void draw_devices(struct tui *t, struct pane_out *o)
{
	const struct fields *f = &t->m->fields;
	int n = 0;
	for (size_t i = 0; i < f->n; i++)
		n += strncmp(f->groups[i].prefix, "cpu", 3) != 0 || strstr(f->groups[i].prefix, "lapic") != NULL;
	if (!n)
		return;
	int chosen = ((o->view->choice % n) + n) % n, at = 0;
	for (size_t i = 0; i < f->n; i++) {
		const struct field_group *g = &f->groups[i];
		if (strncmp(g->prefix, "cpu", 3) == 0 && !strstr(g->prefix, "lapic"))
			continue;
		if (at++ != chosen)
			continue;
		put(o, STYLE_TITLE, "%s", g->prefix);
		put(o, STYLE_DIM, "   %d of %d: ] and [", chosen + 1, n);
		nl(o);
		for (size_t k = 0; k < g->n; k++) {
			char full[80];
			snprintf(full, sizeof full, "%s.%s", g->prefix, g->rows[k].name);
			put_field(o, full, g->rows[k].name, true);
			nl(o);
		}
	}
}

static void stat_line(void *arg, const char *name, const struct stat_row *row, uint64_t v)
{
	struct pane_out *o = arg;
	(void)row;
	if (!v)
		return;
	put(o, STYLE_DIM, "%-30s ", name);
	put(o, STYLE_NORMAL, "%" PRIu64, v);
	nl(o);
}

void draw_stats(struct tui *t, struct pane_out *o)
{
	stats_each(&t->m->stats, stat_line, o);
}

/* ---- the ledger ---- */

void draw_ledger(struct tui *t, struct pane_out *o)
{
	uint64_t total = 0;
	char name[32], cycles[40];
	for (unsigned a = 0; a < ACCT_N; a++)
		for (unsigned w = 0; w < WHY_N; w++)
			total += ledger_cell(t->m, a, w);
	for (unsigned a = 0; a < ACCT_N && total; a++) {
		uint64_t sum = 0;
		for (unsigned w = 0; w < WHY_N; w++)
			sum += ledger_cell(t->m, a, w);
		if (!sum)
			continue;
		put(o, acct_style(a), "%-14s", ledger_acct_name(a, name, sizeof name));
		put(o, STYLE_NORMAL, "%16s %3u%% ", digits(sum, cycles, sizeof cycles), (unsigned)(sum * 100 / total));
		put_bar(o, acct_style(a), sum, total, 0);
		nl(o);
		for (unsigned w = 0; w < WHY_N; w++) {
			uint64_t v = ledger_cell(t->m, a, w);
			if (!v)
				continue;
			put(o, STYLE_DIM, "  %-12s", ledger_why[w].name);
			put(o, STYLE_DIM, "%16s %3u%%", digits(v, cycles, sizeof cycles), (unsigned)(v * 100 / total));
			nl(o);
		}
	}
}
