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
	/* choice: which machine's */
	const int n_runs = (int)t->run->vms + 1, first = t->run->vms ? 1 : 0, chosen = ((o->view->choice + first) % n_runs + n_runs) % n_runs;
	const struct run *r = chosen ? t->run->vm[chosen - 1] : t->run;
	if (t->run->vms > 1) {
		put(o, STYLE_TITLE, "%s", chosen ? r->name : "the machine itself");
		put(o, STYLE_DIM, "   [ and ]: others");
		nl(o);
	}
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

#define COLUMN 26               /* of fields without named bits, several a line */

static bool is_device(const struct field_group *g)
{
	return strncmp(g->prefix, "cpu", 3) != 0 || strstr(g->prefix, "lapic");
}

bool device_choose(struct tui *t, const char *name)
{
	int at = 0;
	for (size_t i = 0; i < t->m->fields.n; i++) {
		const struct field_group *g = &t->m->fields.groups[i];
		if (is_device(g) && strcmp(g->prefix, name) == 0) {
			t->view[PANE_DEVICES].choice = at;
			return true;
		}
		at += is_device(g);
	}
	return false;
}

void draw_devices(struct tui *t, struct pane_out *o)
{
	const struct fields *f = &t->m->fields;
	int n = 0;
	for (size_t i = 0; i < f->n; i++)
		n += is_device(&f->groups[i]);
	if (!n)
		return;
	int chosen = ((o->view->choice % n) + n) % n, at = 0;
	for (size_t i = 0; i < f->n; i++) {
		const struct field_group *g = &f->groups[i];
		if (!is_device(g))
			continue;
		if (at++ != chosen)
			continue;
		put(o, STYLE_TITLE, "%s", g->prefix);
		put(o, STYLE_DIM, "   %d of %d: ] and [", chosen + 1, n);
		nl(o);
		for (size_t k = 0; k < g->n; k++) {
			char full[80];
			if (o->col && (o->col > o->w - COLUMN || g->rows[k].bits))
				nl(o);
			snprintf(full, sizeof full, "%s.%s", g->prefix, g->rows[k].name);
			put_at(o, (o->col + COLUMN - 1) / COLUMN * COLUMN);
			put_field(o, full, g->rows[k].name, true);
			put(o, STYLE_NORMAL, " ");
			if (g->rows[k].bits)
				nl(o);
		}
	}
}

/* Choice: all that are not 0, or only what the last step changed. */
struct stat_lines { struct pane_out *o; size_t at; bool only_changed; unsigned shown; };

static void stat_line(void *arg, const char *name, const struct stat_row *row, uint64_t v)
{
	struct stat_lines *l = arg;
	const struct before *b = &l->o->t->before;
	uint64_t was = l->at < b->stats ? b->stat[l->at] : v;
	char a[40];
	(void)row;
	l->at++;
	if (!v || (l->only_changed && v == was))
		return;
	l->shown++;
	put_named(l->o, STYLE_NORMAL, name, "%s", name);
	put(l->o, STYLE_NORMAL, " ");
	put_at(l->o, 30);
	put(l->o, v != was ? STYLE_CHANGED : STYLE_NORMAL, "%12s", digits(v, a, sizeof a));
	if (v > was)
		put(l->o, STYLE_CHANGED, "  +%s", digits(v - was, a, sizeof a));
	else if (v < was)
		put(l->o, STYLE_CHANGED, "  -%s", digits(was - v, a, sizeof a));
	nl(l->o);
}

void draw_stats(struct tui *t, struct pane_out *o)
{
	struct stat_lines l = { .o = o, .only_changed = o->view->choice & 1 };
	put(o, STYLE_DIM, l.only_changed ? "what the last step changed; ] all" : "all that are not 0; ] what the last step changed");
	nl(o);
	stats_each(&t->m->stats, stat_line, &l);
	if (!l.shown)
		put(o, STYLE_DIM, "(nothing)");
}

/* ---- the ledger ---- */

static void fold_account(struct tui *t, const struct link *l)
{
	t->view[PANE_LEDGER].folded ^= 1u << (l->address & 31);
}

/* Bars by owner; each opens into its causes (Enter; choice: all of them). */
void draw_ledger(struct tui *t, struct pane_out *o)
{
	uint64_t total = 0;
	char name[32], cycles[40];
	const bool open = !(o->view->choice & 1);
	for (unsigned a = 0; a < ACCT_N; a++)
		for (unsigned w = 0; w < WHY_N; w++)
			total += ledger_cell(t->m, a, w);
	for (unsigned a = 0; a < ACCT_N && total; a++) {
		struct link l = { .kind = LINK_ACT, .address = a, .act = fold_account };
		const bool shut = (bool)(o->view->folded >> (a & 31) & 1) == open;
		uint64_t sum = 0;
		for (unsigned w = 0; w < WHY_N; w++)
			sum += ledger_cell(t->m, a, w);
		if (!sum)
			continue;
		put_glyph(o, STYLE_DIM, shut ? GLYPH_RIGHT : GLYPH_DOWN);
		put_link(o, acct_style(a), &l, "%-13s", ledger_acct_name(a, name, sizeof name));
		put(o, STYLE_NORMAL, "%16s %3u%% ", digits(sum, cycles, sizeof cycles), (unsigned)(sum * 100 / total));
		put_bar(o, acct_style(a), sum, total, 0);
		nl(o);
		for (unsigned w = 0; w < WHY_N && !shut; w++) {
			uint64_t v = ledger_cell(t->m, a, w);
			if (!v)
				continue;
			put(o, STYLE_DIM, "  ");
			put_named(o, STYLE_DIM, ledger_why[w].name, "%-12s", ledger_why[w].name);
			put(o, STYLE_DIM, "%16s %3u%% ", digits(v, cycles, sizeof cycles), (unsigned)(v * 100 / total));
			put_bar(o, STYLE_DIM, v, total, 0);
			nl(o);
		}
	}
}
