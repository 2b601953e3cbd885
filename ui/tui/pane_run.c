/* pane_run.c - the panes about the run: console, screen, events, exits, devices, ledger, statistics, timeline. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "ui/export/ledger_text.h"
#include "ui/tui/tui.h"

void draw_console(struct tui *t, struct pane_out *o);
void draw_vga(struct tui *t, struct pane_out *o);
void draw_events(struct tui *t, struct pane_out *o);
void draw_exits(struct tui *t, struct pane_out *o);
void draw_devices(struct tui *t, struct pane_out *o);
void draw_ledger(struct tui *t, struct pane_out *o);
void draw_stats(struct tui *t, struct pane_out *o);
void draw_timeline(struct tui *t, struct pane_out *o);
void draw_vmcs(struct tui *t, struct pane_out *o);

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

/* The ring's records that are not later than now, the newest last. */
static void list_events(struct tui *t, struct pane_out *o, bool (*want)(const struct tui *t, const struct trace_record *r))
{
	const struct trace *tr = &t->m->trace;
	char text[200];
	cycle_t now = timeline_now(t->timeline).cycle;
	uint64_t n = tr->count < tr->ring_size ? tr->count : tr->ring_size, first = tr->count - n;
	if (n > 400)
		first = tr->count - 400;
	for (uint64_t i = first; i < tr->count; i++) {
		const struct trace_record *r = &tr->ring[i & (tr->ring_size - 1)];
		if (r->cycle > now || (want && !want(t, r)))
			continue;
		if (r->event == CPU_TRACE_PHASE && r->a[0] < FLOW_N && r->a[1] < PHASE_N)
			snprintf(text, sizeof text, "%10" PRIu64 " %s   %s: %s, %" PRIu64 " cycles", r->cycle, tr->component[r->component],
			         flow_rows[r->a[0]].name, phase_rows[r->a[1]].name, r->a[2]);
		else
			trace_format(tr, r, text, sizeof text);
		here(o);
		put(o, strstr(text, "exception") || strstr(text, "fault") ? STYLE_BAD : strstr(text, "vm_") ? STYLE_VMM : STYLE_NORMAL, "%s", text);
		nl(o);
	}
}

void draw_events(struct tui *t, struct pane_out *o)
{
	list_events(t, o, NULL);
	if (!t->m->trace.count)
		put(o, STYLE_DIM, "(none yet)");
}

static bool is_exit(const struct tui *t, const struct trace_record *r)
{
	return r->event < TRACE_EVENTS && t->m->trace.rows[r->event].name && strncmp(t->m->trace.rows[r->event].name, "vm_", 3) == 0;
}

struct bars { struct pane_out *o; unsigned n; uint64_t most; bool measure; const char *infix; };

static void stat_bar(void *arg, const char *name, const struct stat_row *row, uint64_t v)
{
	struct bars *b = arg;
	const char *at = strstr(name, b->infix);
	(void)row;
	if (!v || !at)
		return;
	b->n++;
	if (b->measure) {
		b->most = v > b->most ? v : b->most;
		return;
	}
	put(b->o, STYLE_NORMAL, "%-22s %9" PRIu64 " ", at + strlen(b->infix), v);
	put_bar(b->o, STYLE_VMM, v, b->most, 0);
	nl(b->o);
}

void draw_exits(struct tui *t, struct pane_out *o)
{
	struct bars b = { .o = o, .measure = true, .infix = ".exit." };
	stats_each(&t->m->stats, stat_bar, &b);
	b.measure = false;
	if (b.n)
		stats_each(&t->m->stats, stat_bar, &b);
	else
		put(o, STYLE_DIM, "(no VM exit yet)");
	nl(o);
	list_events(t, o, is_exit);
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

/* ---- the timeline ---- */

void draw_timeline(struct tui *t, struct pane_out *o)
{
	struct moment now = timeline_now(t->timeline), end = timeline_end(t->timeline);
	char a[40], b[40], c[40];
	int w = o->w;
	put(o, STYLE_DIM, "now   ");
	put(o, travel_in_past(t->travel) ? STYLE_PAST : STYLE_NUMBER, "%s instructions, cycle %s", digits(now.step, a, sizeof a), digits(now.cycle, b, sizeof b));
	nl(o);
	for (int i = 0; i < w; i++)
		put_glyph(o, end.step && (uint64_t)i * end.step < now.step * (uint64_t)w ? STYLE_KERNEL : STYLE_DIM,
		          end.step && (uint64_t)i * end.step < now.step * (uint64_t)w ? GLYPH_BAR : GLYPH_H);
	nl(o);
	for (size_t i = 0; i < timeline_branches(t->timeline); i++) {
		struct timeline_branch br = timeline_branch(t->timeline, i);
		put(o, i == timeline_present(t->timeline) ? STYLE_NUMBER : STYLE_DIM, "%-6s from %s to %s, %u snapshots", br.name,
		    digits(br.fork.step, a, sizeof a), digits(br.end.step, b, sizeof b), br.snapshots);
		nl(o);
	}
	put(o, STYLE_DIM, "a snapshot every %s instructions, %s KB held", digits(timeline_interval(t->timeline), a, sizeof a),
	    digits(timeline_bytes(t->timeline) >> 10, c, sizeof c));
	nl(o);
}
