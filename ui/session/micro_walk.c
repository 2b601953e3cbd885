/* micro_walk.c - the translations of a record, each with its references as a walk record, as far as the cursor is. */
#include "ui/session/micro.h"

#include <string.h>


static bool begins(const struct trace_record *r)
{
	return r->event == MMU_TRACE_WALK_BEGIN || r->event == MMU_TRACE_TLB_HIT;
}

size_t micro_walks(const struct micro *u)
{
	size_t n = 0;
	for (size_t i = 0; i < micro_count(u); i++)
		n += begins(micro_at(u, i));
	return n;
}

/* Where translation `number` begins. */
static size_t begin_of(const struct micro *u, size_t number)
{
	size_t i = 0;
	for (;; i++)
		if (begins(micro_at(u, i)) && !number--)
			return i;
}

/* A walk is worth more than a TLB hit, unless the cursor stands on that one. */
int micro_walk_now(const struct micro *u)
{
	const size_t cursor = micro_cursor(u);
	int n = 0, walk = -1, hit = -1;
	for (size_t i = 0; i < micro_count(u); i++) {
		if (!begins(micro_at(u, i)))
			continue;
		const bool is_walk = micro_at(u, i)->event == MMU_TRACE_WALK_BEGIN;
		if (i < cursor || (walk < 0 && hit < 0)) {
			if (is_walk)
				walk = n;
			else
				hit = n;
			if (!is_walk && i + 1 == cursor)
				return n;
		}
		n++;
	}
	return walk >= 0 ? walk : hit;
}

/* What is known while one walk's events are gone through. */
struct reading {
	struct micro_walk *w;
	unsigned for_level;             /* EPT: whose place is looked for */
	uint64_t gpa;                   /* it */
	bool asked;                     /* it was asked for since the last guest reference */
	uint32_t group;                 /* the first row of this question */
};

static unsigned index_bits(const struct micro_walk *w) { return w->levels == 2 ? 10 : 9; }

static void row(struct reading *g, struct walk_ref ref, size_t step, bool lit, bool here)
{
	struct micro_walk *w = g->w;
	const uint32_t i = w->rec.n < WALK_REFS_MAX ? w->rec.n++ : WALK_REFS_MAX - 1;
	w->rec.ref[i] = ref;
	w->lit[i] = lit;
	w->step[i] = step;
	w->flags[i] = false;
	w->gpa[i] = GPA(ref.dim == WALK_EPT ? g->gpa : 0);
	w->number[i] = ref.served == LEVEL_PSC || ref.served == LEVEL_NTLB ? 0 : ++w->refs;
	if (here)
		w->here = (int)i;
}

/* What the caches led to is not what decides: those rows go. */
static void again(struct reading *g, bool ept)
{
	struct micro_walk *w = g->w;
	const uint32_t from = ept ? g->group : 0;
	w->again++;
	w->rec.n = from;
	w->refs = 0;
	for (uint32_t i = 0; i < from; i++)
		w->refs += w->number[i] != 0;
	if (w->here >= (int)from)
		w->here = -1;
}

static void reference(struct reading *g, const struct trace_record *r, size_t step, cycle_t cycles, bool lit, bool here)
{
	const bool ept = r->event == MMU_TRACE_EPT_REF;
	const uint64_t at = r->a[1];
	if (ept && r->a[0] > g->w->ept_levels)
		g->w->ept_levels = (unsigned)r->a[0];
	struct walk_ref ref = {
		.dim = ept ? WALK_EPT : r->event == MMU_TRACE_SHADOW_REF ? WALK_SHADOW : WALK_GUEST, .level = (uint8_t)r->a[0], .served = (uint8_t)r->a[3],
		.for_level = ept ? (uint8_t)g->for_level : 0, .cycles = (uint16_t)(cycles < UINT16_MAX ? cycles : UINT16_MAX),
		.index = (uint16_t)((at & 0xfff) / (!ept && g->w->levels == 2 ? 4 : 8)), .entry_pa = at, .entry = r->a[2],
		.table = !ept && g->asked ? g->gpa & PAGE_MASK : at & PAGE_MASK,
	};
	row(g, ref, step, lit, here);
	if (!ept)
		g->asked = false;
}

static void skip(struct reading *g, const struct trace_record *r, size_t step, bool lit, bool here)
{
	const unsigned bits = r->a[0] == WALK_EPT ? 9 : index_bits(g->w), level = (unsigned)r->a[1];
	const uint64_t address = r->a[0] == WALK_EPT ? g->gpa : g->w->rec.lin;
	const bool nested = r->a[2] == LEVEL_NTLB;
	if (r->a[0] == WALK_EPT && level > g->w->ept_levels)
		g->w->ept_levels = level;
	const unsigned shift = level ? 12 + (level - 1) * bits : 12;
	row(g, (struct walk_ref){ .dim = (uint8_t)r->a[0], .level = nested ? 0 : (uint8_t)level, .for_level = r->a[0] == WALK_EPT ? (uint8_t)g->for_level : 0,
	                          .served = (uint8_t)r->a[2], .index = nested ? 0 : (uint16_t)BITS(address, shift + bits - 1, shift), .entry = r->a[3],
	                          .table = nested ? g->gpa & PAGE_MASK : 0 }, step, lit, here);
}

static void flags_set(struct micro_walk *w, const struct trace_record *r, bool lit, bool here)
{
	for (uint32_t i = w->rec.n; i-- > 0;)
		if (w->number[i] && w->rec.ref[i].entry_pa == r->a[1]) {
			w->flags[i] = true;
			if (lit)
				w->rec.ref[i].entry = r->a[2];
			if (here)
				w->here = (int)i;
			return;
		}
}

/* After the walk's end: what became of it. */
static void outcome(const struct micro *u, struct micro_walk *w, size_t i)
{
	struct walk_record *rec = &w->rec;
	for (; i < micro_count(u) && !begins(micro_at(u, i)); i++) {
		const struct trace_record *r = micro_at(u, i);
		const bool lit = i < micro_cursor(u);
		if (r->component != w->cpu)
			continue;
		if (r->event == MMU_TRACE_TLB_FILL) {
			const uint64_t size = r->a[2];
			rec->hpa = HPA(r->a[1] | (rec->lin & (size - 1)));
			rec->page_shift = size >> 30 ? 30 : size >> 21 ? 21 : 12;
			w->rights = (unsigned)r->a[3];
		} else if (r->event == MMU_TRACE_PAGE_FAULT) {
			rec->fault = (struct mmu_fault){ .kind = MMU_PF, .error_code = (uint32_t)r->a[1], .lin = r->a[0] };
		} else if (r->event == MMU_TRACE_EPT_FAULT) {
			rec->fault = (struct mmu_fault){ .kind = (uint32_t)r->a[1], .gpa = GPA(r->a[0]), .qualification = r->a[2], .lin = r->a[3] };
		} else {
			continue;
		}
		w->done = lit;
		w->last = i;
		return;
	}
}

void micro_walk(const struct micro *u, size_t number, struct micro_walk *w)
{
	const size_t cursor = micro_cursor(u);
	size_t i = begin_of(u, number);
	const struct trace_record *r = micro_at(u, i);
	memset(w, 0, sizeof *w);
	w->first = w->last = i;
	w->here = -1;
	w->cpu = r->component;
	w->rec.lin = r->a[0];
	if (r->event == MMU_TRACE_TLB_HIT) {
		w->hit = (unsigned)r->a[2];
		w->rec.access = (uint32_t)r->a[3];
		w->rec.hpa = HPA(r->a[1]);
		w->done = i < cursor;
		return;
	}
	w->rec.access = (uint32_t)r->a[1];
	w->levels = (unsigned)r->a[2];
	w->root = r->a[3];
	struct reading g = { .w = w };
	cycle_t before = r->cycle;
	for (i++; i < micro_count(u); i++) {
		r = micro_at(u, i);
		const bool lit = i < cursor, here = i + 1 == cursor;
		if (r->component != w->cpu)
			continue;
		switch (r->event) {
		case MMU_TRACE_WALK_REF:
		case MMU_TRACE_SHADOW_REF:
		case MMU_TRACE_EPT_REF:
			reference(&g, r, i, r->cycle - before, lit, here);
			break;
		case MMU_TRACE_WALK_SKIP:
			skip(&g, r, i, lit, here);
			break;
		case MMU_TRACE_WALK_AD:
			flags_set(w, r, lit, here);
			break;
		case MMU_TRACE_EPT_WALK:
			g.for_level = (unsigned)r->a[1];
			g.gpa = r->a[0];
			g.asked = true;
			g.group = w->rec.n;
			w->eptp = r->a[2];
			if (!w->ept_levels)
				w->ept_levels = 4;
			if (!g.for_level)
				w->rec.gpa = GPA(r->a[0]);
			break;
		case MMU_TRACE_WALK_AGAIN:
			if (!lit) {             /* it is not known yet that what came before does not count */
				w->last = i;
				return;
			}
			again(&g, r->a[0] == WALK_EPT);
			break;
		case MMU_TRACE_WALK:
			w->rec.cycles = (uint32_t)r->a[3];
			w->last = i;
			outcome(u, w, i + 1);
			return;
		case MMU_TRACE_WALK_BEGIN:
		case CPU_TRACE_INSN:
			return;                 /* cut short */
		default:
			break;
		}
		before = r->cycle;
		w->last = i;
	}
}
