/* walk.c - the page walk: legacy 32-bit, PAE, 4-level and 5-level paging.
 *
 * One loop serves all modes: struct paging says how many levels, how wide an index and an entry are, which levels may map
 * a large page and which bits are reserved. Every reference goes through ref(): it turns the table's guest-physical
 * address into a host-physical one (through ept.c in a guest that has EPT), times it and records it.
 *
 * Source: SDM Vol. 3A, "32-Bit Paging", "PAE Paging", "4-Level Paging and 5-Level Paging", "Access Rights",
 *         "Page-Fault Exceptions", "Accessed and Dirty Flags", "Caching Translation Information".
 * Timing: walk.base, then each reference at the load-to-use latency of the level that serves it, one after the other;
 *         walk.ad_assist for each entry in which an accessed or dirty flag is set. A paging-structure-cache hit is free.
 * Accessed flags are set on the way down, in the leaf together with the dirty flag after the rights were found to suffice.
 * Denied with rights that came from a paging-structure cache, a walk is repeated from the root: what the caches say may
 * be stale, and a fault must be caused by the structures in memory.
 * Simplified: PAT, PWT and PCD are ignored (all RAM is write-back); PSE-36 and 1 GB pages are always there. */
#include "models/mmu/cache.h"
#include "models/mmu/ept.h"
#include "models/mmu/pte.h"
#include "models/mmu/tlb.h"
#include "models/mmu/walk.h"

/* ---- modes ---- */

static uint64_t bits(unsigned hi, unsigned lo)
{
	return hi < lo ? 0 : MASK(hi - lo + 1) << lo;
}

static void legacy(struct paging *g, unsigned phys_bits, uint64_t cr4)
{
	unsigned m = phys_bits < 40 ? phys_bits : 40;
	g->index_bits = 10;
	g->entry_bytes = 4;
	g->large = cr4 & CR4_PSE ? 1 << 2 : 0;
	g->nx = 0;
	g->reserved[2][1] = bits(21, m - 19);   /* address bits m-1:32 stand in m-20:13 */
	g->address[1][0] = g->address[2][0] = bits(31, 12);
	g->address[2][1] = bits(31, 22);
}

static void wide(struct paging *g, unsigned phys_bits)
{
	bool pae = g->levels == 3;
	uint64_t common = bits(pae ? 62 : 51, phys_bits) | (g->nx ? 0 : PTE_XD);
	g->index_bits = 9;
	g->entry_bytes = 8;
	g->large = pae ? 1 << 2 : 1 << 2 | 1 << 3;
	for (unsigned level = 1; level <= 5; level++) {
		g->reserved[level][0] = common;
		g->address[level][0] = bits(51, 12);
		if (g->large >> level & 1) {
			unsigned shift = 12 + 9 * (level - 1);
			g->reserved[level][1] = common | bits(shift - 1, 13);
			g->address[level][1] = bits(51, shift);
		} else if (level > 1) {
			g->reserved[level][0] |= PTE_PS;
		}
	}
}

void paging_of(struct paging *out, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer, unsigned phys_bits)
{
	struct paging g = { 0 };
	if (cr0 & CR0_PG) {
		bool lma = efer & EFER_LMA;
		g.levels = lma ? (cr4 & CR4_LA57 ? 5 : 4) : cr4 & CR4_PAE ? 3 : 2;
		g.canonical = lma ? (g.levels == 5 ? 64 - 57 : 64 - 48) : 0;
		g.nx = (efer & EFER_NXE) != 0;
		g.smep = (cr4 & CR4_SMEP) != 0;
		g.smap = (cr4 & CR4_SMAP) != 0;
		g.wp = (cr0 & CR0_WP) != 0;
		g.pke = lma && cr4 & CR4_PKE;
		g.pge = (cr4 & CR4_PGE) != 0;
		g.cet = (cr4 & CR4_CET) != 0;
		g.pcid = cr4 & CR4_PCIDE ? cr3 & 0xfff : 0;
		if (g.levels == 2)
			legacy(&g, phys_bits, cr4);
		else
			wide(&g, phys_bits);
	}
	*out = g;
}

void paging_update(struct mmu *m)
{
	paging_of(&m->paging, m->cr0, m->cr3, m->cr4, m->efer, (unsigned)m->profile->phys_bits);
}

/* "PAE paging: ... if any of the PDPTEs sets both the P flag and any reserved bit, the MOV to CR instruction causes a #GP(0)
 * and the PDPTEs are not loaded." */
bool paging_load_pdptes(const struct mmu *m, hpa_t at, uint64_t pdpte[4])
{
	const uint64_t reserved = bits(63, (unsigned)m->profile->phys_bits) | bits(8, 5) | bits(2, 1);
	if (!mem_peek(m->mem, at, pdpte, 32))
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (pdpte[i] & PTE_P && pdpte[i] & reserved)
			return false;
	return true;
}

/* ---- access rights ---- */

uint32_t paging_error_code(const struct mmu *m, unsigned access)
{
	const struct paging *g = &m->paging;
	uint32_t code = 0;
	if (access_writes(access))
		code |= PFEC_WR;
	if (access & ACC_USER)
		code |= PFEC_US;
	if (access & ACC_EXEC && (g->smep || (g->nx && g->levels > 2)))
		code |= PFEC_ID;
	if (access & ACC_SS)
		code |= PFEC_SS;
	return code;
}

int paging_denies_unusual(const struct mmu *m, uint64_t info, unsigned access)
{
	const struct paging *g = &m->paging;
	bool user_page = info & INFO_U, user = access & ACC_USER, write = access_writes(access), denied = false;
	int pk = 0;
	if (user && !user_page)
		denied = true;
	/* to a shadow stack of its own mode only: user or supervisor. SDM Vol. 3A, "Access Rights" */
	if (unlikely(access & ACC_SS) && (!(info & INFO_SS) || user != user_page))
		denied = true;
	if (access & ACC_EXEC) {
		denied |= !(info & INFO_X) || (!user && user_page && g->smep);
	} else {
		if (write && !(info & INFO_W) && (user || g->wp) && !(access & ACC_SS))
			denied = true;
		if (!user && user_page && g->smap && (access & ACC_IMPLICIT || !m->ac))
			denied = true;
		if (g->pke && user_page) {
			unsigned rights = m->pkru >> 2 * INFO_PKEY(info) & 3;   /* AD, WD */
			if (rights & 1 || (rights & 2 && write && (user || g->wp)))
				pk = PFEC_PK;
		}
	}
	return denied || pk ? pk : -1;
}

/* ---- references ---- */

/* Time one access of the walker to the memory hierarchy. */
static unsigned walker_access(struct mmu *m, hpa_t pa, bool write, uint8_t *served)
{
	enum mem_level level = LEVEL_MEM;
	bool present;
	if (likely(mem_offset(m->mem, pa) >= 0))
		level = cache_data(m->caches, m->cpu, pa.v >> 6, write, &present);
	*served = (uint8_t)level;
	return m->caches->latency[level];
}

void walk_timed(struct walk *w, struct walk_ref *r, hpa_t at, enum why why)
{
	struct mmu *m = w->live;
	if (!m->detailed)
		return;
	unsigned cycles = walker_access(m, at, false, &r->served);
	r->cycles = (uint16_t)cycles;
	w->rec->cycles += cycles;
	ledger_charge(m->ledger, why, cycles);
}

void walk_updated(struct walk *w, hpa_t at)
{
	struct mmu *m = w->live;
	if (!m->detailed)
		return;
	uint8_t served;
	unsigned l1 = m->caches->latency[LEVEL_L1], cycles = walker_access(m, at, true, &served);
	cycles = (unsigned)m->profile->ad_assist + (cycles > l1 ? cycles - l1 : 0);
	w->rec->cycles += cycles;
	ledger_charge(m->ledger, WHY_WALK_AD, cycles);
}

/* In a guest without EPT, the tables the hardware walks are the VMM's shadow of the guest's. */
static bool shadowed(const struct mmu *m)
{
	return m->shadow || (m->in_guest && !m->guest.ept);
}

/* One table on the way: where it is in both dimensions. */
struct table {
	uint64_t gpa;                   /* its base; unless combined, guest-physical */
	uint64_t host;                  /* its base, or NOWHERE: not looked for yet */
	uint32_t row;                   /* in the record, of the entry read last */
	bool writable;                  /* the second dimension lets its entries be updated */
	bool shadow;                    /* agile paging: above the switch, host-physical, the VMM's */
	bool combined;                  /* a structure-cache entry that knew where EPT puts it led to it: host-physical */
};
#define NOWHERE (~0ull)
#define PSC_SHADOW BIT(8)       /* in a structure-cache entry, whose rights need no protection key: the table is such a one */

/* Find the table in host-physical memory. False: a fault of the second dimension, struck at guest-physical `entry`. */
static bool locate(struct walk *w, struct table *t, uint64_t entry, unsigned level)
{
	struct ept_hit h;
	if (likely(!w->m->guest.ept) || t->shadow) {
		t->host = t->gpa;
		t->writable = true;
		return true;
	}
	if (!ept_translate(w, GPA(entry), ept_want_table(w->m), level, &h))
		return false;
	t->host = h.hpa - (entry - t->gpa);
	t->writable = h.rights & EPT_W;
	return true;
}

/* A guest's own table under EPT: whoever watches guest-physical memory is told, unless its place came out of a cache alone. */
static void watched(const struct mmu *m, const struct table *t, hpa_t at, unsigned n, bool write)
{
	if (unlikely(m->watch_walk != NULL) && m->guest.ept && !t->shadow && !t->combined)
		m->watch_walk(m->watch_who, m, GPA(t->gpa + (at.v - t->host)), n, write);
}

/* Read entry `index` of a table. */
static bool ref(struct walk *w, struct table *t, unsigned level, unsigned index, hpa_t *where, uint64_t *entry)
{
	const unsigned n = w->m->paging.entry_bytes, off = index * n;
	const bool shadow = shadowed(w->m) || t->shadow;
	if (t->host == NOWHERE && !locate(w, t, t->gpa + off, level))
		return false;
	*where = HPA(t->host + off);
	if (unlikely((where->v & PAGE_MASK) == w->m->guest.apic_access) && w->m->guest.ept && !t->shadow && w->live) {
		w->rec->fault = (struct mmu_fault){ .kind = MMU_APIC_ACCESS, .lin = w->lin };
		return false;
	}
	t->row = w->rec->n;
	struct walk_ref *r = walk_row(w->rec);
	*r = (struct walk_ref){ .dim = shadow ? WALK_SHADOW : WALK_GUEST, .level = (uint8_t)level,
		.served = LEVEL_NONE, .index = (uint16_t)index, .table = t->gpa, .entry_pa = where->v };
	const uint8_t *p = mem_ptr(w->m->mem, *where);
	uint64_t v = n == 4 ? MASK(32) : ~0ull;
	if (likely(p != NULL))
		v = n == 4 ? *(const uint32_t *)p : *(const uint64_t *)p;
	r->entry = *entry = v;
	struct mmu *m = w->live;
	if (m) {
		m->stat[shadow ? MMU_STAT_REF_SHADOW : MMU_STAT_REF_GUEST]++;
		mem_before_read(m->mem, *where, n, MEM_BY_WALKER);
		watched(m, t, *where, n, false);
		walk_timed(w, r, *where, shadow ? WHY_WALK_SHADOW : WHY_WALK_GUEST);
		trace(m->trace, m->ledger->now, m->cpu, shadow ? MMU_TRACE_SHADOW_REF : MMU_TRACE_WALK_REF, level, where->v, v, r->served);
	}
	return true;
}

/* Set accessed (and dirty) flags: a locked update of the entry. False: EPT does not let it be written. */
static bool update(struct walk *w, const struct table *t, unsigned level, hpa_t where, uint64_t *entry, uint64_t set)
{
	struct mmu *m = w->live;
	if (!m || (*entry & set) == set)
		return true;
	if (unlikely(!t->writable)) {
		struct ept_hit h;
		if (t->combined || !ept_translate(w, GPA(t->gpa + (where.v - t->host)), EPT_R | EPT_W, level, &h))
			return false;
	}
	*entry |= set;
	watched(m, t, where, m->paging.entry_bytes, true);
	mem_write_by(m->mem, where, entry, m->paging.entry_bytes, MEM_BY_WALKER);
	m->stat[MMU_STAT_AD_UPDATE]++;
	walk_updated(w, where);
	w->rec->ref[t->row].entry = *entry;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_WALK_AD, level, where.v, *entry, 0);
	return true;
}

static bool fault(struct walk *w, uint32_t code)
{
	w->rec->fault = (struct mmu_fault){ .kind = MMU_PF, .lin = w->lin, .error_code = code | paging_error_code(w->m, w->access) };
	return false;
}

/* Struck in a shadow table of agile paging, it is the VMM's to look at. */
static bool fault_at(struct walk *w, const struct table *t, uint32_t code)
{
	fault(w, code);
	w->rec->fault.qualification = t->shadow;
	return false;
}

/* ---- paging-structure caches ---- */

static unsigned level_shift(const struct paging *g, unsigned level)
{
	return 12 + (level - 1) * g->index_bits;
}

/* Do they hold where EPT puts the next table? Else its guest-physical address, which is looked up at each use. */
static bool combining(const struct mmu *m)
{
	return m->guest.ept && m->profile->psc_combined;
}

/* Start as deep as a cached entry allows: the level to go on at, or the top. */
static unsigned start(struct walk *w, struct table *t, uint64_t *rights)
{
	const struct paging *g = &w->m->paging;
	unsigned top = g->levels == 3 ? 2 : g->levels;
	struct mmu *m = w->live;
	if (!m || !m->detailed)
		return top;
	for (unsigned level = 2; level <= top; level++) {
		enum tlb_id id = (enum tlb_id)(PSC_PDE + level - 2);
		unsigned shift = level_shift(g, level);
		uint32_t entry = tlb_find(m->tlbs, id, w->lin, shift, SIZE_PSC, g->pcid, m->context);
		if (!entry)
			continue;
		tlb_use(m->tlbs, entry);
		uint64_t info = m->tlbs->info[entry];
		t->gpa = INFO_ADDR(info);
		t->host = NOWHERE;
		t->shadow = m->guest.agile && info & PSC_SHADOW;
		if (combining(m)) {
			t->host = t->gpa;
			t->writable = (info & INFO_D) != 0;
			t->combined = true;
		}
		*rights = info;
		m->stat[MMU_STAT_PSC_HIT]++;
		*walk_row(w->rec) = (struct walk_ref){ .dim = shadowed(m) ? WALK_SHADOW : WALK_GUEST, .level = (uint8_t)level, .served = LEVEL_PSC,
			.index = (uint16_t)BITS(w->lin, shift + g->index_bits - 1, shift), .entry = t->gpa };
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_WALK_SKIP, shadowed(m) || t->shadow ? WALK_SHADOW : WALK_GUEST, level, LEVEL_PSC, t->gpa);
		return level - 1;
	}
	return top;
}

/* The entry at `level` led to a table that was found. */
static void remember(struct walk *w, unsigned level, const struct table *t, uint64_t rights)
{
	struct mmu *m = w->live;
	enum tlb_id id = (enum tlb_id)(PSC_PDE + level - 2);
	if (!m || !m->detailed || !m->tlbs->array[id].ways)
		return;
	unsigned shift = level_shift(&m->paging, level);
	uint32_t entry = tlb_find(m->tlbs, id, w->lin, shift, SIZE_PSC, m->paging.pcid, m->context);
	if (!entry)
		entry = tlb_victim(m->tlbs, id, w->lin, shift);
	tlb_write(m->tlbs, id, entry, tlb_tag(w->lin, shift, SIZE_PSC, m->paging.pcid, false), m->context,
	          (combining(m) ? t->host : t->gpa) | (t->shadow ? PSC_SHADOW : 0) | (rights & (INFO_W | INFO_U | INFO_X)) | (combining(m) && t->writable ? INFO_D : 0));
}

/* ---- the walk ---- */

/* From the table at `level` down. 1: translated; 0: faulted; -1: denied (fault set), by what came partly out of a cache. */
static int descend(struct walk *w, unsigned level, struct table *t, uint64_t rights, bool cached)
{
	const struct paging *g = &w->m->paging;
	const int ept_fault = cached ? -1 : 0;
	for (bool led = false;; level--, led = true) {
		unsigned shift = level_shift(g, level), index = (unsigned)BITS(w->lin, shift + g->index_bits - 1, shift);
		hpa_t where;
		uint64_t entry;
		if (!ref(w, t, level, index, &where, &entry))
			return ept_fault;
		if (led)
			remember(w, level + 1, t, rights);
		if (!(entry & PTE_P))
			return fault_at(w, t, 0);
		bool large = entry & PTE_PS && g->large >> level & 1;
		if (entry & g->reserved[level][large])
			return fault_at(w, t, PFEC_P | PFEC_RSVD);
		const bool above = rights & INFO_W;
		if (!(entry & PTE_RW))
			rights &= ~INFO_W;
		if (!(entry & PTE_US))
			rights &= ~INFO_U;
		if (g->nx && entry & PTE_XD)
			rights &= ~INFO_X;
		uint64_t address = entry & g->address[level][large];
		if (level > 1 && !large) {
			if (!update(w, t, level, where, &entry, PTE_A))
				return ept_fault;
			*t = (struct table){ .gpa = address, .host = NOWHERE, .shadow = t->shadow && !(entry & PTE_SWITCH) };
			continue;
		}
		unsigned whole = level == 1 ? WHOLE_4K : level == 3 ? WHOLE_1G : g->levels == 2 ? WHOLE_4M : WHOLE_2M;
		if (whole == WHOLE_4M)
			address |= BITS(entry, 20, 13) << 32;
		unsigned pkey = g->levels >= 4 ? (unsigned)PTE_PK(entry) : 0;
		w->info = address | (uint64_t)pkey << 8 | (uint64_t)whole << 6 | (rights & (INFO_W | INFO_U | INFO_X));
		if (unlikely(g->cet) && above && (entry & (PTE_RW | PTE_D)) == PTE_D)
			w->info |= INFO_SS;
		if (walk_asks(w)) {
			int why = paging_denies(w->m, w->info, w->access);
			if (why >= 0) {
				fault(w, PFEC_P | (uint32_t)why);
				return cached ? -1 : 0;
			}
		}
		if (!update(w, t, level, where, &entry, access_writes(w->access) ? PTE_A | PTE_D : PTE_A))
			return ept_fault;
		if (entry & PTE_D)
			w->info |= INFO_D;
		w->global = g->pge && entry & PTE_G;
		w->rec->page_shift = tlb_whole_shift[whole];
		return 1;
	}
}

/* The first dimension: w->info, w->global, rec->page_shift. */
static bool walk_linear(struct walk *w)
{
	const struct paging *g = &w->m->paging;
	struct walk_record *rec = w->rec;
	const uint64_t all = INFO_W | INFO_U | INFO_X;
	uint64_t root = g->levels == 2 ? w->m->cr3 & bits(31, 12) : w->m->cr3 & bits(51, 12), rights = all;
	unsigned top = g->levels;
	if (!top) {                     /* paging is off: a guest's linear address is guest-physical */
		w->info = (w->lin & PAGE_MASK) | all | INFO_D;
		rec->page_shift = PAGE_SHIFT;
		return true;
	}
	if (top == 3) {
		root = w->m->pdpte[BITS(w->lin, 31, 30)];
		top = 2;
		if (!(root & PTE_P))
			return fault(w, 0);
	}
	const struct table first = { .gpa = root & bits(51, 12), .host = NOWHERE, .shadow = w->m->guest.agile };
	struct table t = first;
	unsigned level = start(w, &t, &rights);
	int got = descend(w, level, &t, rights, rec->n > 0);
	if (got < 0) {
		rec->n = 0;
		rec->fault = (struct mmu_fault){ 0 };
		if (w->live)
			trace(w->live->trace, w->live->ledger->now, w->live->cpu, MMU_TRACE_WALK_AGAIN, WALK_GUEST, 0, 0, 0);
		t = first;
		got = descend(w, top, &t, all, false);
	}
	return got > 0;
}

/* The final address through the second dimension; then the translation is the smaller page's, with what both allow. */
static bool walk_final(struct walk *w)
{
	const struct mmu *m = w->m;
	struct walk_record *rec = w->rec;
	struct ept_hit h;
	rec->gpa = GPA(INFO_ADDR(w->info) | (w->lin & MASK(rec->page_shift)));
	rec->hpa = HPA(rec->gpa.v);
	if (likely(!m->guest.ept))
		return true;
	if (!ept_translate(w, rec->gpa, walk_asks(w) ? ept_want(w->access) : 0, 0, &h))
		return false;
	rec->hpa = HPA(h.hpa);
	if (!m->paging.levels) {        /* no page of the guest's: EPT's alone */
		rec->page_shift = h.shift;
		w->info |= (uint64_t)(h.shift == 30 ? WHOLE_1G : h.shift == 21 ? WHOLE_2M : WHOLE_4K) << 6;
	} else if (h.shift < rec->page_shift) {
		rec->page_shift = h.shift;
	}
	uint64_t info = (w->info & 0xfff) | (h.hpa & ~MASK(rec->page_shift));
	if (!(h.rights & EPT_R))
		info |= INFO_NR;
	if (!(h.rights & (m->guest.mode_execute && info & INFO_U ? EPT_XU : EPT_X)))
		info &= ~INFO_X;
	if (!(h.rights & EPT_W) || !h.dirty)
		info &= ~INFO_D;
	/* a supervisor shadow stack is one only with EPT's leave, where that is asked for */
	if (unlikely(info & INFO_SS) && m->guest.eptp & EPTP_SSS && !(info & INFO_U) && !h.shadow_stack)
		info &= ~INFO_SS;
	w->info = info;
	return true;
}

bool walk(struct walk *w)
{
	struct walk_record *rec = w->rec;
	struct mmu *m = w->live;
	w->linear = true;
	w->info = 0;
	w->global = false;
	rec->lin = w->lin;
	rec->access = w->access;
	rec->n = rec->cycles = rec->page_shift = 0;
	rec->fault = (struct mmu_fault){ 0 };
	rec->gpa = GPA(0);
	rec->hpa = HPA(0);
	if (m) {
		const unsigned n = m->paging.levels;
		m->stat[MMU_STAT_WALK]++;
		if (m->detailed) {
			rec->cycles = (uint32_t)m->profile->walk_base;
			ledger_charge(m->ledger, shadowed(m) ? WHY_WALK_SHADOW : WHY_WALK_GUEST, m->profile->walk_base);
		}
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_WALK_BEGIN, w->lin, w->access, n,
		      n == 3 ? m->pdpte[BITS(w->lin, 31, 30)] & bits(51, 12) : m->cr3 & bits(n == 2 ? 31 : 51, 12));
	}
	bool ok = walk_linear(w) && walk_final(w);
	if (m) {
		if (ok && w->fills)
			ept_fill(w);
		m->stat[MMU_STAT_WALK_CYCLES] += rec->cycles;
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_WALK, w->lin, w->access, rec->n, rec->cycles);
	}
	return ok;
}
