/* ept.c - extended page tables: the walk of the second dimension, its caches, accessed and dirty flags, page-modification
 * logging, and the invalidations that name it.
 *
 * A guest-physical address goes through 4 or 5 levels of EPT paging-structure entries; one with bit 7 at level 3 or 2 maps 1 GB
 * or 2 MB. The walk reads down to the leaf, judges (not present, misconfigured, denied: in this order at each entry), and only
 * then sets accessed and dirty flags, so an access that exits leaves them alone.
 *
 * Caches, all tagged with EP4TA and used by detailed speed alone:
 *   nested TLB             4 KB, 2 MB, 1 GB of guest-physical memory; asked for guest paging structures only: final addresses
 *                          end up in the TLBs as combined mappings
 *   EPT structure caches   by level, as those of the guest's dimension
 * What they say may be stale: an access they deny is walked again from the EPT pointer before it becomes an exit.
 *
 * Source: SDM Vol. 3C, "The Extended Page Table Mechanism (EPT)", "EPT Violations", "EPT Misconfigurations", "Accessed and
 *         Dirty Flags for EPT", "Page-Modification Logging"; "Exit Qualification for EPT Violations"; "Caching Translation
 *         Information".
 * Timing: every entry read is a reference through the caches (WHY_WALK_EPT); each entry in which flags are set costs
 *         walk.ad_assist; a log entry is a store.
 * Simplified: the memory type is checked and ignored (all RAM is write-back); sub-page write permissions and guest-paging
 *         verification are not there. */
#include <string.h>

#include "models/mmu/cache.h"
#include "models/mmu/ept.h"
#include "models/mmu/pte.h"
#include "models/mmu/tlb.h"

#define PML_ENTRIES 512

/* An entry on the way, whose flags may have to be set. */
struct step { hpa_t at; uint64_t entry; };

static const uint8_t size_shift[3] = { [SIZE_4K] = 12, [SIZE_2M] = 21, [SIZE_1G] = 30 };

static unsigned top_level(const struct mmu *m)
{
	return (unsigned)BITS(m->guest.eptp, 5, 3) + 1;
}

/* What guest-physical mappings are tagged with: no VPID. */
static uint64_t ep4ta(const struct mmu *m)
{
	return m->context & ~CONTEXT_VPID;
}

/* ---- judging ---- */

static bool permits(const struct walk *w, uint64_t rights, uint64_t want)
{
	/* "linear addresses that are user-mode" use bit 10, under this control; so do all when paging is off */
	bool by_user = w->m->guest.mode_execute && w->info & INFO_U;
	if (want & EPT_X && by_user)
		want ^= EPT_X | EPT_XU;
	return !(want & ~rights);
}

/* With supervisor shadow-stack control such an access asks the leaf's bit 60, reading in all entries and writing in all but
 * the leaf, whatever it does. */
static bool supervisor_stack(const struct walk *w, unsigned for_level)
{
	return w->access & ACC_SS && !(w->access & ACC_USER) && !for_level && w->m->guest.eptp & EPTP_SSS;
}

static bool misconfigured(const struct mmu *m, uint64_t e, unsigned level, bool leaf)
{
	const uint64_t cap = m->ept_cap;
	const unsigned phys = (unsigned)m->profile->phys_bits;
	uint64_t reserved = MASK(52) & ~MASK(phys);
	if (e & EPT_W && !(e & EPT_R))
		return true;
	if (!(e & EPT_R) && !(cap & CAP_X_ONLY) && e & (EPT_X | (m->guest.mode_execute ? EPT_XU : 0)))
		return true;
	if (!leaf)
		reserved |= 0x78 | (level >= 4 || e & EPT_PS ? EPT_PS : 0);
	else if (level > 1)
		reserved |= MASK(12 + 9 * (level - 1)) & ~MASK(12);
	if (e & reserved)
		return true;
	static const uint8_t types = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6;
	return leaf && !(types >> EPT_MT(e) & 1);
}

static bool maps_page(const struct mmu *m, uint64_t e, unsigned level)
{
	return level == 1 || (e & EPT_PS && ((level == 2 && m->ept_cap & CAP_2M) || (level == 3 && m->ept_cap & CAP_1G)));
}

/* Exit qualification:
 *   11 10  9  8   7   6  5 4 3  2 1 0
 *  +--+--+--+---+---+--+------+------+   access: R W X wanted; rights: R W X of the walk; XU: of user execution
 *  |XD|RW|US|fin|lin|XU|rights|access|   lin: fault.lin is valid; fin: an access to it, not to a table on its way
 *  +--+--+--+---+---+--+------+------+   US RW XD: of the guest's translation, if fin and the processor tells
 * Bit 13: a shadow-stack access; 14: with supervisor shadow-stack control, the leaf's bit 60. entry: the one that decided. */
static bool violation(struct walk *w, gpa_t gpa, uint64_t want, unsigned for_level, uint64_t rights, uint64_t entry, bool leaf)
{
	uint64_t q = want | (rights & (EPT_R | EPT_W | EPT_X)) << 3;
	if (w->m->guest.mode_execute && rights & EPT_XU)
		q |= BIT(6);
	if (w->access & ACC_SS && !for_level)
		q |= BIT(13);
	if (leaf && w->m->guest.eptp & EPTP_SSS && entry & EPT_SSS)
		q |= BIT(14);
	if (w->linear) {
		q |= BIT(7);
		if (!for_level) {
			q |= BIT(8);
			if (w->m->ept_cap & CAP_ADVANCED)
				q |= (w->info & INFO_U ? BIT(9) : 0) | (w->info & INFO_W ? BIT(10) : 0) | (w->info & INFO_X ? 0 : BIT(11));
		}
	}
	w->rec->fault = (struct mmu_fault){ .kind = MMU_EPT_VIOLATION, .lin = w->lin, .gpa = gpa, .qualification = q,
	                                    .suppress_ve = (entry & EPT_SVE) != 0 };
	return false;
}

static bool misconfiguration(struct walk *w, gpa_t gpa)
{
	w->rec->fault = (struct mmu_fault){ .kind = MMU_EPT_MISCONFIG, .lin = w->lin, .gpa = gpa };
	return false;
}

/* ---- flags ---- */

static void set_flags(struct walk *w, struct step *s, uint64_t set)
{
	struct mmu *m = w->live;
	s->entry |= set;
	mem_write_by(m->mem, s->at, &s->entry, 8, MEM_BY_WALKER);
	m->stat[MMU_STAT_EPT_AD]++;
	walk_updated(w, s->at);
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_WALK_AD, 0, s->at.v, s->entry, 0);
}

static void log_page(struct mmu *m, gpa_t gpa)
{
	mmu_phys_write(m, HPA(m->guest.pml + 8ull * m->guest.pml_index), 8, gpa.v & PAGE_MASK, WHY_WALK_AD);
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_PML, gpa.v & PAGE_MASK, m->guest.pml_index, 0, 0);
	m->guest.pml_index--;
	m->stat[MMU_STAT_PML]++;
}

/* "Before allowing a guest-physical access, the processor may determine that it first needs to set an accessed or dirty flag for
 * EPT ... If the PML index is not in the range 0-511, there is a page-modification log-full event and a VM exit occurs. In this
 * case, the accessed or dirty flag is not set" */
static bool use_entries(struct walk *w, gpa_t gpa, struct step *s, unsigned n, bool write)
{
	struct mmu *m = w->live;
	struct step *leaf = &s[n - 1];
	bool dirties = write && !(leaf->entry & EPT_D), any = dirties;
	for (unsigned i = 0; i < n; i++)
		any |= !(s[i].entry & EPT_A);
	if (!any)
		return true;
	if (m->guest.pml_on && m->guest.pml_index >= PML_ENTRIES) {
		w->rec->fault = (struct mmu_fault){ .kind = MMU_PML_FULL, .lin = w->lin, .gpa = gpa };
		return false;
	}
	for (unsigned i = 0; i < n; i++) {
		uint64_t set = EPT_A | (dirties && &s[i] == leaf ? EPT_D : 0);
		if ((s[i].entry & set) != set)
			set_flags(w, &s[i], set);
	}
	if (dirties && m->guest.pml_on)
		log_page(m, gpa);
	return true;
}

/* ---- caches ---- */

/* Contents of their entries: the address; bits 2:0 as the entries' R W X; INFO_D: the leaf is dirty; bit 4: XU. */
#define INFO_XU BIT(4)
static uint64_t info_of(uint64_t rights, bool dirty)
{
	return (rights & (EPT_R | EPT_W | EPT_X)) | (dirty ? INFO_D : 0) | (rights & EPT_XU ? INFO_XU : 0);
}
static uint64_t rights_of(uint64_t info)
{
	return (info & (EPT_R | EPT_W | EPT_X)) | (info & INFO_XU ? EPT_XU : 0);
}

static bool caching(const struct walk *w)
{
	return w->live && w->live->detailed;
}

static bool nested_hit(struct walk *w, gpa_t gpa, uint64_t want, unsigned for_level, struct ept_hit *h)
{
	struct mmu *m = w->live;
	for (unsigned size = SIZE_4K; size <= SIZE_1G; size++) {
		uint32_t i = tlb_find(m->tlbs, NESTED, gpa.v, size_shift[size], size, 0, ep4ta(m));
		if (!i)
			continue;
		uint64_t info = m->tlbs->info[i];
		if (!permits(w, rights_of(info), want) || (want & EPT_W && !(info & INFO_D)))
			continue;
		*h = (struct ept_hit){ .hpa = INFO_ADDR(info) | (gpa.v & MASK(size_shift[size])), .rights = rights_of(info),
		                       .shift = size_shift[size], .dirty = (info & INFO_D) != 0 };
		tlb_use(m->tlbs, i);
		m->stat[MMU_STAT_NESTED_HIT]++;
		*walk_row(w->rec) = (struct walk_ref){ .dim = WALK_EPT, .for_level = (uint8_t)for_level, .served = LEVEL_NTLB,
		                                    .table = gpa.v & PAGE_MASK, .entry = h->hpa & PAGE_MASK };
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_WALK_SKIP, WALK_EPT, 1, LEVEL_NTLB, h->hpa & PAGE_MASK);
		return true;
	}
	return false;
}

/* What a walk found is kept when it has ended well: while it is under way its caches are as it met them, so that a walk with
 * nothing cached makes every reference. */
static void fill_later(struct walk *w, enum tlb_id id, gpa_t gpa, unsigned shift, enum tlb_size size, uint64_t info)
{
	if (w->live->tlbs->array[id].ways && w->fills < WALK_FILLS_MAX)
		w->live->fill[w->fills++] = (struct ept_fill){ .info = info, .tag = tlb_tag(gpa.v, shift, size, 0, false), .gpa = gpa.v,
		                                               .id = (uint8_t)id, .shift = (uint8_t)shift, .size = (uint8_t)size };
}

void ept_fill(struct walk *w)
{
	struct mmu *m = w->live;
	for (unsigned k = 0; k < w->fills; k++) {
		const struct ept_fill *f = &m->fill[k];
		const enum tlb_id id = (enum tlb_id)f->id;
		uint32_t i = tlb_find(m->tlbs, id, f->gpa, f->shift, (enum tlb_size)f->size, 0, ep4ta(m));
		if (!i)
			i = tlb_victim(m->tlbs, id, f->gpa, f->shift);
		tlb_write(m->tlbs, id, i, f->tag, ep4ta(m), f->info);
	}
	w->fills = 0;
}

static unsigned level_shift(unsigned level)
{
	return 12 + 9 * (level - 1);
}

/* Start as deep as a cached entry allows: the level to go on at, or the top. */
static unsigned start(struct walk *w, gpa_t gpa, unsigned for_level, uint64_t *table, uint64_t *rights)
{
	struct mmu *m = w->live;
	unsigned top = top_level(m);
	for (unsigned level = 2; level <= top; level++) {
		enum tlb_id id = (enum tlb_id)(EPT_PDE + level - 2);
		uint32_t i = tlb_find(m->tlbs, id, gpa.v, level_shift(level), SIZE_PSC, 0, ep4ta(m));
		if (!i)
			continue;
		tlb_use(m->tlbs, i);
		*table = INFO_ADDR(m->tlbs->info[i]);
		*rights = rights_of(m->tlbs->info[i]);
		m->stat[MMU_STAT_EPT_PSC_HIT]++;
		*walk_row(w->rec) = (struct walk_ref){ .dim = WALK_EPT, .level = (uint8_t)level, .for_level = (uint8_t)for_level,
		                                    .served = LEVEL_PSC, .entry = *table,
		                                    .index = (uint16_t)BITS(gpa.v, level_shift(level) + 8, level_shift(level)) };
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_WALK_SKIP, WALK_EPT, level, LEVEL_PSC, *table);
		return level - 1;
	}
	return top;
}

/* "An EPT violation invalidates any guest-physical mappings (associated with the current EP4TA) that would be used to
 * translate the guest-physical address that caused the EPT violation." */
static void forget(struct mmu *m, gpa_t gpa)
{
	for (unsigned size = SIZE_4K; size <= SIZE_1G; size++) {
		uint32_t i = tlb_find(m->tlbs, NESTED, gpa.v, size_shift[size], size, 0, ep4ta(m));
		if (i)
			tlb_kill(m->tlbs, NESTED, i);
	}
	for (unsigned level = 2; level <= 5; level++) {
		enum tlb_id id = (enum tlb_id)(EPT_PDE + level - 2);
		uint32_t i = tlb_find(m->tlbs, id, gpa.v, level_shift(level), SIZE_PSC, 0, ep4ta(m));
		if (i)
			tlb_kill(m->tlbs, id, i);
	}
}

/* ---- the walk ---- */

static uint64_t read_entry(struct walk *w, uint64_t table, unsigned level, unsigned index, unsigned for_level, hpa_t at)
{
	const uint8_t *p = mem_ptr(w->m->mem, at);
	uint64_t e = ~0ull;
	if (likely(p != NULL))
		memcpy(&e, p, 8);
	struct walk_ref *r = walk_row(w->rec);
	*r = (struct walk_ref){ .dim = WALK_EPT, .level = (uint8_t)level,
		.for_level = (uint8_t)for_level, .served = LEVEL_NONE, .index = (uint16_t)index, .table = table, .entry_pa = at.v, .entry = e };
	struct mmu *m = w->live;
	if (m) {
		m->stat[MMU_STAT_REF_EPT]++;
		mem_before_read(m->mem, at, 8, MEM_BY_WALKER);
		walk_timed(w, r, at, WHY_WALK_EPT);
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_EPT_REF, level, at.v, e, r->served);
	}
	return e;
}

static bool descend(struct walk *w, gpa_t gpa, uint64_t want, unsigned for_level, unsigned level, uint64_t table, uint64_t rights,
                    struct ept_hit *h)
{
	const struct mmu *m = w->m;
	const uint64_t present = EPT_R | EPT_W | EPT_X | (m->guest.mode_execute ? EPT_XU : 0);
	const uint64_t above = rights;
	struct step step[5];
	unsigned n = 0, first = level;
	bool shadow_stack = false;
	for (;; level--) {
		unsigned index = (unsigned)BITS(gpa.v, level_shift(level) + 8, level_shift(level));
		hpa_t at = HPA(table + index * 8);
		uint64_t e = read_entry(w, table, level, index, for_level, at);
		if (!(e & present))
			return violation(w, gpa, want, for_level, rights & e, e, false);
		bool leaf = maps_page(m, e, level);
		if (misconfigured(m, e, level, leaf))
			return misconfiguration(w, gpa);
		shadow_stack = leaf && m->guest.eptp & EPTP_SSS && (rights & (EPT_R | EPT_W)) == (EPT_R | EPT_W) && e & EPT_R && e & EPT_SSS;
		rights &= e;
		step[n++] = (struct step){ at, e };
		if (!leaf) {
			table = e & MASK(52) & PAGE_MASK;
			continue;
		}
		if (walk_asks(w) && !(supervisor_stack(w, for_level) ? shadow_stack : permits(w, rights, want)))
			return violation(w, gpa, want, for_level, rights, e, true);
		break;
	}
	const bool flags = m->guest.eptp & EPTP_AD;
	if (w->live && flags && !use_entries(w, gpa, step, n, want & EPT_W))
		return false;
	unsigned shift = level_shift(level);
	h->hpa = (step[n - 1].entry & MASK(52) & ~MASK(shift)) | (gpa.v & MASK(shift));
	h->rights = rights;
	h->shift = (uint8_t)shift;
	h->shadow_stack = shadow_stack;
	h->dirty = !flags || step[n - 1].entry & EPT_D;
	if (!caching(w))
		return true;
	rights = above;
	for (unsigned i = 0; i + 1 < n; i++) {
		level = first - i;
		rights &= step[i].entry;
		fill_later(w, (enum tlb_id)(EPT_PDE + level - 2), gpa, level_shift(level), SIZE_PSC,
		     (step[i].entry & MASK(52) & PAGE_MASK) | info_of(rights, false));
	}
	if (for_level)
		fill_later(w, NESTED, gpa, shift, shift == 30 ? SIZE_1G : shift == 21 ? SIZE_2M : SIZE_4K,
		     (h->hpa & ~MASK(shift)) | info_of(h->rights, h->dirty));
	return true;
}

bool ept_translate(struct walk *w, gpa_t gpa, uint64_t want, unsigned for_level, struct ept_hit *h)
{
	const unsigned top = top_level(w->m);
	const uint64_t root = w->m->guest.eptp & MASK(52) & PAGE_MASK;
	if (w->live)
		trace(w->live->trace, w->live->ledger->now, w->live->cpu, MMU_TRACE_EPT_WALK, gpa.v, for_level, root, 0);
	/* "a guest-physical address that sets any of bits 51:48 ... causes an EPT violation" under 4 levels */
	if (top == 4 && gpa.v >> 48)
		return violation(w, gpa, want, for_level, 0, EPT_SVE, false);
	if (caching(w) && for_level && nested_hit(w, gpa, want, for_level, h))
		return true;
	uint64_t table = root, rights = ~0ull;
	uint32_t n = w->rec->n;
	unsigned level = caching(w) ? start(w, gpa, for_level, &table, &rights) : top;
	bool ok = descend(w, gpa, want, for_level, level, table, rights, h);
	if (!ok && level < top && w->rec->fault.kind != MMU_PML_FULL) {
		w->rec->n = n;
		w->rec->fault = (struct mmu_fault){ 0 };
		if (w->live)
			trace(w->live->trace, w->live->ledger->now, w->live->cpu, MMU_TRACE_WALK_AGAIN, WALK_EPT, 0, 0, 0);
		ok = descend(w, gpa, want, for_level, top, root, ~0ull, h);
	}
	if (!ok && w->live && w->rec->fault.kind == MMU_EPT_VIOLATION)
		forget(w->live, gpa);
	return ok;
}

int mmu_gpa(struct mmu *m, gpa_t gpa, unsigned access, hpa_t *hpa, struct mmu_fault *f)
{
	struct walk_record rec = { .access = access };
	struct walk w = { .m = m, .live = m, .rec = &rec, .access = access };
	struct ept_hit h;
	*hpa = HPA(gpa.v);
	if (!m->guest.ept)
		return 0;
	if (!ept_translate(&w, gpa, ept_want(access), 0, &h)) {
		*f = rec.fault;
		mmu_ept_fault(m, f);
		return -1;
	}
	ept_fill(&w);
	*hpa = HPA(h.hpa);
	return 0;
}

bool mmu_peek_gpa(const struct mmu *m, gpa_t gpa, hpa_t *hpa, struct walk_record *out)
{
	struct walk_record rec = { .gpa = gpa, .hpa = HPA(gpa.v), .page_shift = PAGE_SHIFT };
	struct walk w = { .m = m, .rec = &rec };
	struct ept_hit h = { .hpa = gpa.v, .shift = PAGE_SHIFT };
	bool ok = !m->guest.ept || ept_translate(&w, gpa, 0, 0, &h);
	if (ok) {
		rec.hpa = *hpa = HPA(h.hpa);
		rec.page_shift = h.shift;
	}
	if (out)
		*out = rec;
	return ok;
}
