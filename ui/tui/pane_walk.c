/* pane_walk.c - one translation as the grid of its references: guest levels down, EPT levels across; one row without EPT.
 *
 *        nL4   nL3   nL2   nL1   guest       n: numbers in the order they happen; at most 4 + 5 * 4 = 24
 *   gL4   1     2     3     4     5          a row finds one guest table through EPT and reads its entry;
 *   gL3   6     7     8     9    10          the last row finds the final address
 *   ...
 *   gPA  21    22    23    24
 *
 * Choices: the last translation, lit as far as the micro-cursor is; then what the next instruction's fetch and its data
 * operands would do, from memory alone. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "ui/tui/walk_view.h"

void draw_walk(struct tui *t, struct pane_out *o);

enum { NOTHING = -1, BY_PSC = -2, BY_EPT_PSC = -3, BY_NESTED = -4 };    /* a cell without a row: why */
#define OPERANDS_MAX 4

struct grid {
	const struct micro_walk *w;
	bool would_be;                  /* only looked at: no cycles, nothing cached */
	unsigned rows, cols;            /* cols: EPT levels, then the guest's entry; or one for each level */
	int at[7][7];                   /* row of the record, or the reason there is none */
};

static unsigned top_level(const struct micro_walk *w) { return w->levels == 3 ? 2 : w->levels; }

static void lay_out(struct grid *g, const struct micro_walk *w)
{
	const unsigned top = top_level(w), n = w->ept_levels;
	g->w = w;
	g->rows = n ? top + 1 : 1;
	g->cols = n ? n + 1 : top;
	for (unsigned y = 0; y < 7; y++)
		for (unsigned x = 0; x < 7; x++)
			g->at[y][x] = NOTHING;
	for (uint32_t i = 0; i < w->rec.n; i++) {
		const struct walk_ref *r = &w->rec.ref[i];
		if (r->level > (r->dim == WALK_EPT ? n : top) || r->for_level > top)
			continue;
		if (!w->number[i] && !w->lit[i])
			continue;               /* what is saved is not known yet */
		const unsigned y = !n ? 0 : r->dim == WALK_EPT ? top - r->for_level : top - r->level;
		const unsigned x = !n ? top - r->level : r->dim == WALK_EPT ? n - r->level : n;
		if (r->served == LEVEL_NTLB) {
			for (unsigned k = 0; k < n; k++)
				g->at[y][k] = BY_NESTED;
			continue;
		}
		if (r->served == LEVEL_PSC && r->dim == WALK_EPT) {
			for (unsigned k = 0; k <= x; k++)
				g->at[y][k] = BY_EPT_PSC;
			continue;
		}
		if (r->served == LEVEL_PSC) {           /* this level's entry and all above */
			for (unsigned a = 0; a <= (n ? y : 0); a++)
				for (unsigned b = 0; b < g->cols; b++)
					if (n || b <= x)
						g->at[a][b] = BY_PSC;
			continue;
		}
		g->at[y][x] = (int)i;
	}
}

/* The row that decided a fault: the last reference. */
static int deciding(const struct micro_walk *w)
{
	if (!w->rec.fault.kind || !w->done)
		return -1;
	for (uint32_t i = w->rec.n; i-- > 0;)
		if (w->number[i])
			return (int)i;
	return -1;
}

static void go_to_step(struct tui *t, const struct link *l)
{
	micro_goto(t->micro, (size_t)l->address + 1);
}

static const char *const served_short[] = { "L1", "L2", "L3", "mem", "", "", "-" };
static const char *const served_long[] = { "the L1 cache", "the L2 cache", "the L3 cache", "memory", "", "", "nowhere (untimed)" };

/* One cell: `line` 0 is all there is in the narrow form. */
static void cell(struct pane_out *o, const struct grid *g, int row, unsigned line, int width)
{
	const struct micro_walk *w = g->w;
	char text[64] = "", bits[40];
	if (row < 0) {
		if (line == 0 && row != NOTHING)
			put(o, STYLE_DIM, "%-*.*s", width, width - 1, row == BY_NESTED ? " = nestedTLB" : row == BY_EPT_PSC ? " = EPT cache" : " = walkcache");
		return;
	}
	const struct walk_ref *r = &w->rec.ref[row];
	const bool lit = w->lit[row], here = row == w->here, bad = row == deciding(w);
	if (!lit) {
		if (line == 0)
			put(o, STYLE_DIM, "%3u ..", w->number[row]);
		return;
	}
	entry_bits(r, true, bits, sizeof bits);
	if (line == 0 && g->would_be)
		snprintf(text, sizeof text, "%c%2u %s", bad ? '!' : ' ', w->number[row], bits);
	else if (line == 0)
		snprintf(text, sizeof text, "%c%2u %-3s%4u%s", bad ? '!' : here ? '>' : ' ', w->number[row], served_short[r->served <= LEVEL_NONE ? r->served : LEVEL_NONE],
		         r->cycles, w->flags[row] ? "+" : "");
	else if (line == 1)
		snprintf(text, sizeof text, "   [%03x] %" PRIx64, r->index, r->table);
	else
		snprintf(text, sizeof text, "   %s %" PRIx64, bits, (uint64_t)(r->entry & MASK(52) & PAGE_MASK));
	const enum style s = bad ? STYLE_BAD : here ? STYLE_HERE : line ? STYLE_DIM : r->dim == WALK_EPT ? STYLE_VMM : r->dim == WALK_SHADOW ? STYLE_HARDWARE : STYLE_KERNEL;
	if (line == 0 && !g->would_be) {
		const struct link l = { .kind = LINK_ACT, .act = go_to_step, .address = w->step[row] };
		put_link(o, s, &l, "%.*s", width - 1, text);
	} else {
		put(o, s, "%.*s", width - 1, text);
	}
}

/* The level whose entry maps a large page, once it is known; below it there are no tables. 0: none. */
static unsigned large_page(const struct micro_walk *w)
{
	for (uint32_t i = 0; i < w->rec.n; i++)
		if (w->rec.ref[i].dim != WALK_EPT && w->number[i] && w->lit[i] && w->rec.ref[i].level > 1 && w->rec.ref[i].entry & 1 && w->rec.ref[i].entry & 1 << 7)
			return w->rec.ref[i].level;
	return 0;
}

static void draw_grid(struct pane_out *o, const struct grid *g)
{
	const struct micro_walk *w = g->w;
	const unsigned top = top_level(w), n = w->ept_levels;
	const int label = n ? 4 : 0;
	const unsigned large = large_page(w);
	int width = (o->w - label) / (int)(g->cols ? g->cols : 1);
	if (width > 36)
		width = 36;
	const bool tall = width >= (n ? 24 : 18) && o->h >= (int)(3 * g->rows + 9);
	for (unsigned x = 0; x < g->cols; x++) {
		put_at(o, label + (int)x * width);
		if (n && x < n)
			put(o, STYLE_DIM, "  nL%u %s", n - x, width >= 12 ? table_name(WALK_EPT, n - x) + 4 : "");
		else if (n)
			put(o, STYLE_DIM, "  guest entry");
		else
			put(o, STYLE_DIM, "  L%u %s", top - x, table_name(WALK_GUEST, top - x));
	}
	nl(o);
	for (unsigned y = 0; y < g->rows; y++)
		for (unsigned line = 0; line < (tall ? 3 : 1); line++) {
			if (n && line == 0) {
				if (y < top)
					put(o, STYLE_DIM, "gL%u", top - y);
				else
					put(o, STYLE_DIM, "gPA");
			}
			if (n && line == 0 && y < top && top - y < large && g->at[y][n] == NOTHING) {
				put_at(o, label);
				put(o, STYLE_DIM, " none: the %s entry maps %s", table_name(WALK_GUEST, large), large == 3 ? "1 GB" : w->levels == 2 ? "4 MB" : "2 MB");
			} else {
				for (unsigned x = 0; x < g->cols; x++) {
					put_at(o, label + (int)x * width);
					cell(o, g, g->at[y][x], line, width);
				}
			}
			nl(o);
		}
}

/* The cell under the cursor in full; else the one that decided. */
static void details(struct pane_out *o, const struct grid *g)
{
	const struct micro_walk *w = g->w;
	char bits[100];
	int row = w->here >= 0 ? w->here : deciding(w);
	for (uint32_t i = 0; row < 0 && i < w->rec.n; i++)
		if (w->number[w->rec.n - 1 - i] && w->lit[w->rec.n - 1 - i])
			row = (int)(w->rec.n - 1 - i);
	if (row < 0)
		return;
	const struct walk_ref *r = &w->rec.ref[row];
	if (r->served == LEVEL_NTLB) {
		put(o, STYLE_NORMAL, "skipped: the nested TLB knows that guest-physical %#" PRIx64 " is at %#" PRIx64, w->gpa[row].v & PAGE_MASK, r->entry);
		nl(o);
		return;
	}
	if (r->served == LEVEL_PSC) {
		put(o, STYLE_NORMAL, "skipped: a paging-structure cache holds the %s entry %#x: the next table is at %#" PRIx64,
		    table_name((enum walk_dim)r->dim, r->level), r->index, r->entry);
		nl(o);
		return;
	}
	put(o, STYLE_NUMBER, "%u", w->number[row]);
	put(o, STYLE_NORMAL, " %s", table_name((enum walk_dim)r->dim, r->level));
	if (r->dim == WALK_EPT && r->for_level)
		put(o, STYLE_DIM, " for the guest's %s at guest-physical %#" PRIx64, table_name(WALK_GUEST, r->for_level), w->gpa[row].v);
	else if (r->dim == WALK_EPT)
		put(o, STYLE_DIM, " for the final guest-physical %#" PRIx64, w->gpa[row].v);
	else if (w->ept_levels)
		put(o, STYLE_DIM, " at guest-physical %#" PRIx64, r->table);
	if (!g->would_be)
		put(o, STYLE_HARDWARE, ", from %s, %u cycles%s", served_long[r->served <= LEVEL_NONE ? r->served : LEVEL_NONE], r->cycles,
		    w->flags[row] ? "; accessed or dirty set" : "");
	nl(o);
	put(o, STYLE_DIM, "  [%03x] at %" PRIx64 " =", r->index, r->entry_pa);
	put(o, STYLE_NUMBER, " %016" PRIx64, r->entry);
	put(o, r->entry & 7 ? STYLE_GOOD : STYLE_BAD, " %s", entry_bits(r, false, bits, sizeof bits));
	nl(o);
}

static void result(struct tui *t, struct pane_out *o, const struct grid *g)
{
	const struct micro_walk *w = g->w;
	const struct walk_record *rec = &w->rec;
	char line[WHY_LINES][WHY_WIDTH];
	if (!w->done) {
		put(o, STYLE_DIM, "not ended yet: m goes on");
		nl(o);
		return;
	}
	if (rec->fault.kind) {
		unsigned n = walk_why(t, w, line);
		for (unsigned i = 0; i < n; i++) {
			const char *s = line[i];
			while (*s) {            /* folded at blanks */
				int k = (int)strlen(s), room = o->w > 10 ? o->w : 10;
				if (k > room)
					for (k = room; k > room / 2 && s[k] != ' '; k--)
						;
				put(o, i ? STYLE_NORMAL : STYLE_BAD, "%.*s", k, s);
				nl(o);
				s += k;
				s += *s == ' ';
			}
		}
	} else {
		if (w->ept_levels)
			put(o, STYLE_DIM, "guest-physical %#" PRIx64 " ", rec->gpa.v);
		put(o, STYLE_DIM, "physical ");
		put(o, STYLE_NUMBER, "%#" PRIx64, rec->hpa.v);
		put(o, STYLE_DIM, " %s", page_text(rec->page_shift));
		if (!g->would_be && w->rights)
			put(o, STYLE_GOOD, " %s%s%s%s", w->rights & 2 ? "U" : "S", w->rights & 1 ? " write" : " read-only", w->rights & 4 ? " fetch" : "",
			    w->rights & 8 ? " dirty" : "");
		nl(o);
	}
	put(o, STYLE_NUMBER, "%u reference%s", w->refs, w->refs == 1 ? "" : "s");
	if (!g->would_be)
		put(o, STYLE_HARDWARE, ", %u cycles", rec->cycles);
	if (w->again)
		put(o, STYLE_DIM, ", begun anew from the root: what was cached denied it");
	nl(o);
}

/* ---- what is shown ---- */

static void hit(struct pane_out *o, const struct micro_walk *w)
{
	if (!w->done) {
		put(o, STYLE_DIM, "not asked for yet: m goes on");
		nl(o);
		return;
	}
	put(o, STYLE_GOOD, "%s-level TLB hit", w->hit == 1 ? "first" : "second");
	put(o, STYLE_DIM, ": no walk, physical ");
	put(o, STYLE_NUMBER, "%#" PRIx64, w->rec.hpa.v);
	nl(o);
}

static void head(struct pane_out *o, const char *what, const struct micro_walk *w, const char *more)
{
	char access[40];
	put(o, STYLE_TITLE, "%s", what);
	put(o, STYLE_DIM, " %s of ", access_text(w->rec.access, access, sizeof access));
	put(o, STYLE_NUMBER, "%#" PRIx64, w->rec.lin);
	put(o, STYLE_DIM, "%s", more);
	nl(o);
}

static void show(struct tui *t, struct pane_out *o, const struct micro_walk *w, bool would_be)
{
	struct grid g = { .would_be = would_be };
	if (w->hit) {
		hit(o, w);
		return;
	}
	if (!w->levels && !w->ept_levels) {
		put(o, STYLE_NORMAL, "paging is off: the address is physical");
		nl(o);
		return;
	}
	lay_out(&g, w);
	draw_grid(o, &g);
	details(o, &g);
	result(t, o, &g);
}

static void last(struct tui *t, struct pane_out *o)
{
	static struct micro_walk w;
	const int now = micro_walk_now(t->micro);
	char more[80];
	if (now < 0) {
		put(o, STYLE_DIM, micro_valid(t->micro) ? "the last instruction translated nothing: it touched no memory" : "no record yet: s steps, m makes a micro-step");
		nl(o);
		put(o, STYLE_DIM, "] shows what the next instruction's fetch and operands would do");
		nl(o);
		return;
	}
	micro_walk(t->micro, (size_t)now, &w);
	snprintf(more, sizeof more, ", %d of %zu; ] the next", now + 1, micro_walks(t->micro));
	head(o, "last", &w, more);
	show(t, o, &w, false);
}

static void would_be(struct tui *t, struct pane_out *o, const char *what, uint64_t lin, unsigned access)
{
	static struct micro_walk w;
	struct walk_record rec;
	hpa_t pa;
	const struct mmu *m = space_of(t, SPACE_HARDWARE);
	mmu_peek_access(m, lin, access, &rec);
	walk_of_peek(&w, &rec, m);
	const unsigned level = m == &looked_at(t)->mmu ? mmu_peek_tlb(m, lin, access & ACC_EXEC, &pa) : 0;
	head(o, what, &w, level ? level == 1 ? " (would be: the L1 TLB has it)" : " (would be: the L2 TLB has it)" : " (would be)");
	show(t, o, &w, true);
}

void draw_walk(struct tui *t, struct pane_out *o)
{
	struct operand op[OPERANDS_MAX];
	const unsigned n = 2 + operands(t, op, OPERANDS_MAX), chosen = (unsigned)((o->view->choice % (int)n + (int)n) % (int)n);
	const bool user = looked_at(t)->s.cpl == 3;
	char what[40];
	if (chosen == 0) {
		last(t, o);
	} else if (chosen == 1) {
		would_be(t, o, "next", space_rip(t), ACC_EXEC | (user ? ACC_USER : 0));
	} else {
		snprintf(what, sizeof what, "operand %u of %u", chosen - 1, n - 2);
		would_be(t, o, what, op[chosen - 2].lin, op[chosen - 2].access);
	}
}
