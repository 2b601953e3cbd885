/* pane_tables.c - paging structures: the paths of one address side by side, and each set of tables as a folded tree.
 *
 * ] goes from the paths to the guest's tables, then to the shadow or EPT. In a tree Enter unfolds a table: present entries
 * alone, leaves that continue each other with equal bits in one line. Only unfolded tables are read. :mem sets the address. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/mmu/ept.h"
#include "models/mmu/pte.h"
#include "ui/tui/walk_view.h"

void draw_tables(struct tui *t, struct pane_out *o);

#define ALIKE 3                 /* so many leaves are one line */

/* One set of tables. */
struct tree {
	const struct mmu *m;
	enum walk_dim dim;
	bool through_ept;               /* its tables have guest-physical addresses */
	unsigned id, levels, bits, bytes;
	uint64_t root;
	const char *name;
};

static unsigned trees(const struct tui *t, struct tree list[2])
{
	const struct mmu *hard = space_of(t, SPACE_HARDWARE), *own = space_of(t, SPACE_GUEST);
	unsigned n = 0;
	if (own && own->paging.levels)
		list[n++] = (struct tree){ own, WALK_GUEST, own->guest.ept != 0, 0, own->paging.levels, own->paging.index_bits, own->paging.entry_bytes,
		                           own->cr3 & (own->paging.levels == 2 ? MASK(32) : MASK(52)) & PAGE_MASK, space_in_vm(t) ? "the guest's tables" : "the system's tables" };
	if (space_shadowed(t) && hard->paging.levels)
		list[n++] = (struct tree){ hard, WALK_SHADOW, false, 1, hard->paging.levels, hard->paging.index_bits, hard->paging.entry_bytes,
		                           hard->cr3 & MASK(52) & PAGE_MASK, "the VMM's shadow" };
	else if (hard->guest.ept)
		list[n++] = (struct tree){ hard, WALK_EPT, false, 2, (unsigned)BITS(hard->guest.eptp, 5, 3) + 1, 9, 8, hard->guest.eptp & MASK(52) & PAGE_MASK, "EPT" };
	return n;
}

/* ---- entries ---- */

static bool read_table(const struct tree *k, uint64_t table, uint64_t entry[1024])
{
	uint32_t narrow[1024];
	hpa_t at = HPA(table);
	if (k->through_ept && !mmu_peek_gpa(k->m, GPA(table), &at, NULL))
		return false;
	if (k->bytes == 8)
		return mem_peek(k->m->mem, at, entry, PAGE_SIZE);
	if (!mem_peek(k->m->mem, at, narrow, PAGE_SIZE))
		return false;
	for (unsigned i = 0; i < 1024; i++)
		entry[i] = narrow[i];
	return true;
}

static bool present(const struct tree *k, uint64_t e)
{
	return k->dim == WALK_EPT ? (e & (EPT_R | EPT_W | EPT_X)) != 0 : e & PTE_P;
}
static unsigned shift_of(const struct tree *k, unsigned level) { return 12 + (level - 1) * k->bits; }
static bool leaf(const struct tree *k, unsigned level, uint64_t e)
{
	return level == 1 || (e & PTE_PS && (k->dim == WALK_EPT ? level <= 3 : (k->m->paging.large >> level & 1) != 0));
}
static uint64_t address(const struct tree *k, unsigned level, uint64_t e)
{
	const uint64_t all = (k->bytes == 4 ? MASK(32) : MASK(52)) & PAGE_MASK;
	return leaf(k, level, e) ? e & all & ~MASK(shift_of(k, level)) : e & all;
}
static uint64_t canonical(const struct tree *k, uint64_t lin)
{
	const unsigned extra = k->dim == WALK_EPT ? 0 : k->m->paging.canonical;
	return extra ? (uint64_t)((int64_t)(lin << extra) >> extra) : lin;
}

/* ---- what is unfolded ---- */

static uint64_t key_of(const struct tree *k, unsigned level, uint64_t lin) { return (lin >> 12) << 8 | level << 4 | k->id; }

static int unfolded(const struct tui *t, uint64_t key)
{
	for (unsigned i = 0; i < t->unfolded.n; i++)
		if (t->unfolded.key[i] == key)
			return (int)i;
	return -1;
}

static void fold(struct tui *t, const struct link *l)
{
	const int i = unfolded(t, l->address);
	if (i >= 0)
		t->unfolded.key[i] = t->unfolded.key[--t->unfolded.n];
	else if (t->unfolded.n < ARRAY_LEN(t->unfolded.key))
		t->unfolded.key[t->unfolded.n++] = l->address;
	else
		tui_say(t, true, "%u tables are unfolded: fold one", t->unfolded.n);
}

/* ---- a tree ---- */

static unsigned run_of(const struct tree *k, const uint64_t *entry, unsigned i, unsigned count, unsigned level)
{
	const uint64_t size = 1ull << shift_of(k, level), flags = entry[i] ^ address(k, level, entry[i]);
	unsigned n = 1;
	while (i + n < count && present(k, entry[i + n]) && leaf(k, level, entry[i + n]) &&
	       address(k, level, entry[i + n]) == address(k, level, entry[i]) + n * size && (entry[i + n] ^ address(k, level, entry[i + n])) == flags)
		n++;
	return n;
}

static void table(struct tui *t, struct pane_out *o, const struct tree *k, unsigned level, uint64_t base, uint64_t prefix, unsigned depth)
{
	uint64_t entry[1024];
	char bits[100];
	const unsigned count = k->dim != WALK_EPT && k->levels == 3 && level == 3 ? 4 : 1u << k->bits;
	unsigned any = 0;
	if (k->dim != WALK_EPT && k->levels == 3 && level == 3) {
		memcpy(entry, k->m->pdpte, sizeof k->m->pdpte);
	} else if (!read_table(k, base, entry)) {
		put(o, STYLE_BAD, "%*sno memory at %" PRIx64, (int)depth * 2, "", base);
		nl(o);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		if (!present(k, entry[i]))
			continue;
		any++;
		const uint64_t lin = prefix | (uint64_t)i << shift_of(k, level);
		const bool is_leaf = leaf(k, level, entry[i]);
		const struct walk_ref r = { .dim = (uint8_t)k->dim, .level = (uint8_t)level, .entry = entry[i] };
		const unsigned run = is_leaf ? run_of(k, entry, i, count, level) : 1;
		entry_bits(&r, false, bits, sizeof bits);
		put(o, STYLE_NORMAL, "%*s", (int)depth * 2, "");
		if (run >= ALIKE) {
			put(o, STYLE_DIM, "  [%03x-%03x] ", i, i + run - 1);
			put(o, STYLE_NORMAL, "%" PRIx64 " %u entries alike, %s -> %" PRIx64, canonical(k, lin), run, page_text(shift_of(k, level)), address(k, level, entry[i]));
			put(o, STYLE_GOOD, " %s", bits);
			i += run - 1;
		} else if (is_leaf) {
			put(o, STYLE_DIM, "  [%03x] ", i);
			put(o, STYLE_NORMAL, "%" PRIx64 " %s -> %" PRIx64, canonical(k, lin), page_text(shift_of(k, level)), address(k, level, entry[i]));
			put(o, STYLE_GOOD, " %s", bits);
		} else {
			const struct link l = { .kind = LINK_ACT, .act = fold, .address = key_of(k, level, lin) };
			const bool open = unfolded(t, l.address) >= 0;
			put_glyph(o, STYLE_NUMBER, open ? GLYPH_DOWN : GLYPH_RIGHT);
			put_link(o, STYLE_NUMBER, &l, " [%03x] %" PRIx64, i, canonical(k, lin));
			put(o, STYLE_DIM, " %s at %" PRIx64, table_name(WALK_GUEST, level - 1), address(k, level, entry[i]));
			put(o, STYLE_GOOD, " %s", bits);
			if (open) {
				nl(o);
				table(t, o, k, level - 1, address(k, level, entry[i]), lin, depth + 1);
				continue;
			}
		}
		nl(o);
	}
	if (!any) {
		put(o, STYLE_DIM, "%*s(no entry is present)", (int)depth * 2, "");
		nl(o);
	}
}

/* ---- paths ---- */

/* The rows of a walk that belong to one column. */
static unsigned column(const struct walk_record *w, enum walk_dim dim, const struct walk_ref *out[6])
{
	unsigned n = 0;
	for (uint32_t i = 0; i < w->n && n < 6; i++)
		if (w->ref[i].dim == dim && (dim != WALK_EPT || !w->ref[i].for_level))
			out[n++] = &w->ref[i];
	return n;
}

struct path {
	struct walk_record rec;
	const struct walk_ref *ref[6];
	unsigned rows;
};

static void path_title(struct pane_out *o, const struct tree *k, const struct path *p)
{
	put(o, STYLE_TITLE, "%s", k->name);
	if (k->dim == WALK_EPT && p->rows)
		put(o, STYLE_DIM, " for %#" PRIx64, p->rec.gpa.v);
}

static void path_entry(struct pane_out *o, const struct tree *k, const struct path *p, unsigned i, bool narrow)
{
	char bits[100];
	if (i >= p->rows)
		return;
	const struct walk_ref *r = p->ref[i];
	const bool there = present(k, r->entry);
	put(o, STYLE_DIM, "%-5s[%03x] ", table_name(WALK_GUEST, r->level), r->index);
	entry_bits(r, narrow, bits, sizeof bits);
	put(o, there ? STYLE_NORMAL : STYLE_BAD, "%" PRIx64, (uint64_t)(r->entry & MASK(52) & PAGE_MASK));
	put(o, there ? STYLE_GOOD : STYLE_BAD, " %s", bits);
}

static void path_end(const struct tui *t, struct pane_out *o, const struct tree *k, const struct path *p)
{
	const bool guest_only = k->dim == WALK_GUEST && space_in_vm(t);
	if (p->rec.fault.kind == MMU_OK) {
		put(o, STYLE_DIM, guest_only ? "guest-physical " : "physical ");
		put(o, STYLE_NUMBER, "%#" PRIx64, guest_only && k->through_ept ? p->rec.gpa.v : p->rec.hpa.v);
	} else if (k->dim == WALK_GUEST && k->through_ept && p->rec.fault.kind != MMU_PF && p->rec.gpa.v) {
		put(o, STYLE_DIM, "guest-physical ");
		put(o, STYLE_NUMBER, "%#" PRIx64, p->rec.gpa.v);
	} else {
		put(o, p->rows || k->dim != WALK_EPT ? STYLE_BAD : STYLE_DIM, p->rows || k->dim != WALK_EPT ? "not mapped" : "(not reached)");
	}
}

/* Side by side where there is room, else one below the other. */
static void paths(struct tui *t, struct pane_out *o, const struct tree *list, unsigned n, uint64_t lin)
{
	static struct path p[2];
	unsigned most = 0;
	const bool beside = n > 1 && o->w >= 70;
	const int width = beside ? o->w / 2 : o->w;
	for (unsigned c = 0; c < n; c++) {
		mmu_peek(list[c].m, lin, &p[c].rec);
		p[c].rows = column(&p[c].rec, list[c].dim, p[c].ref);
		most = p[c].rows > most ? p[c].rows : most;
	}
	for (unsigned c = 0; c < n && !beside; c++) {
		path_title(o, &list[c], &p[c]);
		nl(o);
		for (unsigned i = 0; i < p[c].rows; i++) {
			path_entry(o, &list[c], &p[c], i, width < 48);
			nl(o);
		}
		path_end(t, o, &list[c], &p[c]);
		nl(o);
	}
	for (unsigned i = 0; i < most + 2 && beside; i++) {
		for (unsigned c = 0; c < n; c++) {
			put_at(o, (int)c * width);
			if (i == 0)
				path_title(o, &list[c], &p[c]);
			else if (i <= most)
				path_entry(o, &list[c], &p[c], i - 1, width < 48);
			else
				path_end(t, o, &list[c], &p[c]);
		}
		nl(o);
	}
}

void draw_tables(struct tui *t, struct pane_out *o)
{
	struct tree list[2];
	const int n = (int)trees(t, list), chosen = ((o->view->choice % (n + 1)) + n + 1) % (n + 1);
	const uint64_t lin = o->view->address == ~0ull ? space_rip(t) : o->view->address;
	if (chosen == 0) {
		put(o, STYLE_DIM, "where ");
		put(o, STYLE_NUMBER, "%#" PRIx64, lin);
		put(o, STYLE_DIM, "%s leads now; ] unfolds the tables", o->view->address == ~0ull ? " (the next instruction)" : "");
		nl(o);
		if (!n) {
			put(o, STYLE_NORMAL, "paging is off: the address is physical");
			nl(o);
			return;
		}
		paths(t, o, list, (unsigned)n, lin);
		return;
	}
	const struct tree *k = &list[chosen - 1];
	put(o, STYLE_TITLE, "%s", k->name);
	if (k->dim != WALK_EPT && k->levels == 3)
		put(o, STYLE_DIM, ": the four PDPTEs the CPU has loaded");
	else
		put(o, STYLE_DIM, ": %s at %" PRIx64, table_name(WALK_GUEST, k->levels), k->root);
	put(o, STYLE_DIM, "; Enter unfolds");
	nl(o);
	table(t, o, k, k->levels, k->root, 0, 0);
}
