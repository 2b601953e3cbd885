/* pane_tlb.c - the modelled TLBs and walk caches, entry by entry with their tags; what the last instruction added or dropped.
 *
 * The structures bear the names of the profile's rows (vmscope list profile-rows). Tags: PCID or global, VPID, EP4TA. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/mmu/pte.h"
#include "models/mmu/tlb.h"
#include "ui/tui/tui.h"

void draw_tlb(struct tui *t, struct pane_out *o);

enum holds { PAGES, TABLES, NESTED_PAGES, EPT_TABLES };
static const struct { const char *name, *title; enum holds holds; } arrays[TLB_ARRAYS] = {
	[DTLB_4K] = { "dtlb.4k", "first level, data", PAGES }, [DTLB_2M] = { "dtlb.2m", "first level, data", PAGES },
	[DTLB_1G] = { "dtlb.1g", "first level, data", PAGES }, [ITLB_4K] = { "itlb.4k", "first level, fetch", PAGES },
	[ITLB_2M] = { "itlb.2m", "first level, fetch", PAGES }, [STLB_4K] = { "stlb.4k", "second level", PAGES },
	[STLB_1G] = { "stlb.1g", "second level", PAGES }, [PSC_PDE] = { "psc.pde", "paging-structure cache", TABLES },
	[PSC_PDPTE] = { "psc.pdpte", "paging-structure cache", TABLES }, [PSC_PML4E] = { "psc.pml4e", "paging-structure cache", TABLES },
	[PSC_PML5E] = { "psc.pml5e", "paging-structure cache", TABLES }, [NESTED] = { "nested.tlb", "places of guest tables", NESTED_PAGES },
	[EPT_PDE] = { "ept.psc pde", "EPT structure cache", EPT_TABLES }, [EPT_PDPTE] = { "ept.psc pdpte", "EPT structure cache", EPT_TABLES },
	[EPT_PML4E] = { "ept.psc pml4e", "EPT structure cache", EPT_TABLES }, [EPT_PML5E] = { "ept.psc pml5e", "EPT structure cache", EPT_TABLES },
};
static const uint8_t size_shift[] = { [SIZE_4K] = 12, [SIZE_2M] = 21, [SIZE_1G] = 30 };
static const char *const size_name[] = { [SIZE_4K] = "4K", [SIZE_2M] = "2M", [SIZE_1G] = "1G" };

static uint32_t entries(const struct tlb_array *a) { return a->sets * a->ways; }

static const char *profile_name(enum tlb_id id, char *buf, size_t n)
{
	snprintf(buf, n, "%.*s", (int)strcspn(arrays[id].name, " "), arrays[id].name);
	return buf;
}

/* An entry's tag, context and contents; info_known false: only its tag was kept. */
static void entry_text(const struct mmu *m, enum tlb_id id, uint64_t tag, uint64_t context, uint64_t info, bool info_known, char *buf, size_t n)
{
	const enum holds h = arrays[id].holds;
	const unsigned size = (unsigned)BITS(tag, 3, 2);
	unsigned shift = size < SIZE_PSC ? size_shift[size] : m->tlbs->array[id].shift;
	char to[80] = "", who[80];
	if (id == PSC_PDE && m->paging.levels == 2)
		shift = 22;
	if (info_known && h == PAGES)
		snprintf(to, sizeof to, " -> %" PRIx64 " %s %c%c%c%c", (uint64_t)INFO_ADDR(info & (MASK(52))), size_name[size < SIZE_PSC ? size : 0], info & INFO_U ? 'U' : 'S',
		         info & INFO_W ? 'W' : '-', info & INFO_X ? 'X' : '-', info & INFO_D ? 'D' : '-');
	else if (info_known && h == NESTED_PAGES)
		snprintf(to, sizeof to, " -> %" PRIx64 " %s %c%c%c", (uint64_t)INFO_ADDR(info & MASK(52)), size_name[size < SIZE_PSC ? size : 0], info & 1 ? 'r' : '-',
		         info & 2 ? 'w' : '-', info & 4 ? 'x' : '-');
	else if (info_known)
		snprintf(to, sizeof to, " -> table %" PRIx64, (uint64_t)INFO_ADDR(info & MASK(52)));
	if (h == PAGES || h == TABLES)
		snprintf(who, sizeof who, tag & TAG_G ? " global" : " pcid %x", (unsigned)BITS(tag, 15, 4));
	else
		who[0] = '\0';
	if (context & CONTEXT_VPID)
		snprintf(who + strlen(who), sizeof who - strlen(who), " vpid %u", (unsigned)(context & CONTEXT_VPID));
	if (context & CONTEXT_EPT)
		snprintf(who + strlen(who), sizeof who - strlen(who), " ep4ta %" PRIx64, (uint64_t)((context & CONTEXT_EP4TA) >> 16 << 12));
	const bool gpa = h == NESTED_PAGES || h == EPT_TABLES;
	const uint64_t from = tlb_lin(tag, shift) & (gpa ? MASK(52) : ~0ull);
	snprintf(buf, n, "%s%" PRIx64 "%s%s", gpa ? "gpa " : "", from, to, who);
}

static bool same_as_before(const struct mmu *m, const struct micro_tlb *b, uint32_t i)
{
	return !b || i >= b->n || (b->tag[i] == m->tlbs->tag[i] && b->context[i] == m->tlbs->context[i]);
}

static void changes(const struct mmu *m, const struct micro_tlb *b, enum tlb_id id, unsigned *added, unsigned *dropped)
{
	const struct tlb_array *a = &m->tlbs->array[id];
	for (uint32_t i = a->base; i < a->base + entries(a); i++)
		if (!same_as_before(m, b, i)) {
			*added += m->tlbs->tag[i] != 0;
			*dropped += b->tag[i] != 0;
		}
}

static void one(struct pane_out *o, const struct mmu *m, const struct micro_tlb *b, enum tlb_id id, uint32_t i, bool named)
{
	char text[200];
	const char *name = arrays[id].name;
	const bool same = same_as_before(m, b, i);
	if (!same && b->tag[i]) {
		entry_text(m, id, b->tag[i], b->context[i], 0, false, text, sizeof text);
		put(o, STYLE_BAD, "- ");
		put(o, STYLE_DIM, named ? "%-13s " : "%.0s", name);
		put(o, STYLE_DIM, "%s", text);
		nl(o);
	}
	if (!m->tlbs->tag[i])
		return;
	entry_text(m, id, m->tlbs->tag[i], m->tlbs->context[i], m->tlbs->info[i], true, text, sizeof text);
	put(o, same ? STYLE_NORMAL : STYLE_CHANGED, same ? "  " : "+ ");
	put(o, STYLE_DIM, named ? "%-13s " : "%.0s", name);
	put(o, same ? STYLE_NORMAL : STYLE_CHANGED, "%s", text);
	nl(o);
}

static unsigned present(const struct mmu *m, enum tlb_id list[TLB_ARRAYS])
{
	unsigned n = 0;
	for (unsigned id = 0; id < TLB_ARRAYS; id++)
		if (arrays[id].name && entries(&m->tlbs->array[id]))
			list[n++] = (enum tlb_id)id;
	return n;
}

static void summary(struct pane_out *o, const struct mmu *m, const struct micro_tlb *b, const enum tlb_id *list, unsigned n)
{
	char name[40];
	for (unsigned k = 0; k < n; k++) {
		const enum tlb_id id = list[k];
		unsigned added = 0, dropped = 0;
		changes(m, b, id, &added, &dropped);
		put_named(o, STYLE_NORMAL, profile_name(id, name, sizeof name), "%-13s", arrays[id].name);
		put(o, STYLE_NUMBER, " %4u", m->tlbs->live[id]);
		put(o, STYLE_DIM, " of %-4u %s", entries(&m->tlbs->array[id]), arrays[id].title);
		if (added || dropped)
			put(o, STYLE_CHANGED, " +%u -%u", added, dropped);
		nl(o);
	}
}

void draw_tlb(struct tui *t, struct pane_out *o)
{
	const struct mmu *m = &looked_at(t)->mmu;
	const struct micro_tlb *b = micro_tlb(t->micro, t->cpu);
	enum tlb_id list[TLB_ARRAYS];
	const int n = (int)present(m, list), chosen = ((o->view->choice % (n + 1)) + n + 1) % (n + 1);
	if (!m->detailed) {
		put(o, STYLE_DIM, "speed fast: TLBs and walk caches are not modelled");
		nl(o);
		return;
	}
	if (chosen) {
		const enum tlb_id id = list[chosen - 1];
		const struct tlb_array *a = &m->tlbs->array[id];
		put(o, STYLE_TITLE, "%s", arrays[id].name);
		put(o, STYLE_DIM, " %s: %u of %u, %u ways; ] and [", arrays[id].title, m->tlbs->live[id], entries(a), a->ways);
		nl(o);
		for (uint32_t i = a->base; i < a->base + entries(a); i++)
			one(o, m, b, id, i, false);
		return;
	}
	put(o, STYLE_DIM, b ? "last instruction: + added, - dropped; ] shows the entries" : "no record of the last instruction; ] shows the entries");
	nl(o);
	for (int k = 0; k < n; k++) {
		const struct tlb_array *a = &m->tlbs->array[list[k]];
		for (uint32_t i = a->base; i < a->base + entries(a); i++)
			if (!same_as_before(m, b, i))
				one(o, m, b, list[k], i, true);
	}
	summary(o, m, b, list, (unsigned)n);
}
