/* mmu.c - translations and accesses of one CPU: soft TLB, slow paths, register writes, invalidation.
 *
 * Order of an access: soft TLB (host-side, mmu.h) - modelled first-level TLB - second level - walk. A soft entry exists
 * only while the modelled first level holds the translation, so a soft hit is a modelled hit, and dropping soft entries
 * at any time changes neither outcome nor time.
 *
 * Fast speed: the flat arrays of tlb.h stand in for both levels, nothing is timed; they are first in, first out, so their
 * contents depend on the accesses alone and not on when soft entries were dropped.
 *
 * Source: SDM Vol. 3A, "Translation Lookaside Buffers (TLBs)", "Invalidation of TLBs and Paging-Structure Caches",
 *         "Process-Context Identifiers (PCIDs)".
 * Timing: data beyond L1 stalls (latency of the level less L1's, which is part of an instruction's base cost), stores for
 *         store.miss per cent of that; stlb.latency for a second-level hit; walks as walk.c says; devices as they say.
 * A translation that denies an access is walked again from the structures in memory before it becomes a fault, as
 * processors do. Then "a page-fault exception ... will invalidate any TLB entries that are for a page number
 * corresponding to that linear address".
 * Simplified: CR0.CD is not obeyed; a read-modify-write waits for its line as a store does. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "models/mmu/cache.h"
#include "models/mmu/pte.h"
#include "models/mmu/tlb.h"
#include "models/mmu/walk.h"

#define SOFT_NONE (~0ull)
#define NO_ARRAY  TLB_ARRAYS

/* First-level arrays by side and speed, indexed by enum tlb_size. */
static const uint8_t first_level[2][2][3] = {
	{ { FLAT_D_4K, FLAT_D_2M, FLAT_D_1G }, { DTLB_4K, DTLB_2M, DTLB_1G } },
	{ { FLAT_I_4K, FLAT_I_2M, FLAT_I_1G }, { ITLB_4K, ITLB_2M, NO_ARRAY } },
};
static const uint8_t size_shift[3] = { [SIZE_4K] = 12, [SIZE_2M] = 21, [SIZE_1G] = 30 };

/* Soft entries that hang on one modelled large-page entry; beyond ROOM of them, all are searched. */
#define ROOM 6
struct soft_list {
	uint8_t n, overflow;            /* overflow: a bit per table to search */
	uint16_t at[ROOM];              /* table * SOFT_TLB_N + index */
};

/* What soft entries and block links depend on beyond the modelled entries: they live on while another context is in force.
 * A generation and an epoch belong to one context; those of a context that lost its slot or was invalidated match nothing. */
#define CONTEXTS 16
struct soft_context {
	uint64_t tag, apic_access, how; /* mmu->context; the APIC-access page; PCID, rights, PKRU */
	uint64_t generation, epoch;     /* generation NO_GENERATION: nothing of it is left */
	uint64_t links;                 /* mmu->links when it was left */
	uint64_t used;
	uint64_t code_pages[64];        /* hashes of the pages fetched from since the last flush: invalidating others moves no epoch */
};
#define NO_GENERATION (~0ull)

/* A translation found: what an access needs. */
struct hit {
	uint64_t lin, pa, info;
	uint32_t entry;                 /* first-level entry; 0: paging is off */
	uint8_t id;                     /* its array */
	uint8_t soft;                   /* came from the soft TLB: nothing to fill */
	uint64_t tag;                   /* the entry's tag then: a later piece of the same access may replace it */
};

/* ---- soft TLB ---- */

static unsigned view_of(const struct mmu *m, unsigned access)
{
	if (access & ACC_USER)
		return SOFT_USER;
	return m->ac && m->paging.smap && !(access & ACC_IMPLICIT) ? SOFT_SUPER_AC : SOFT_SUPER;
}

static void choose_soft(struct mmu *m)
{
	unsigned view = m->align_check || m->tells ? SOFT_SLOW : m->user ? SOFT_USER : m->ac && m->paging.smap ? SOFT_SUPER_AC : SOFT_SUPER;
	m->soft = m->table[view];
}

static void soft_wipe(struct mmu *m)
{
	for (unsigned t = 0; t < SOFT_TABLES; t++)
		for (unsigned i = 0; i < SOFT_TLB_N; i++)
			m->table[t][i].tag_r = m->table[t][i].tag_w = SOFT_NONE;
	for (unsigned t = 0; t < 2; t++)
		for (unsigned i = 0; i < SOFT_FETCH_N; i++)
			m->fetch[t][i].tag = SOFT_NONE;
}

/* A generation nobody has: soft entries of the older ones that nobody has any more may stay, they match nothing. */
static uint64_t new_generation(struct mmu *m)
{
	if (++m->generation_clock < 4095)
		return m->generation_clock;
	for (unsigned i = 0; i < CONTEXTS; i++)
		m->contexts[i].generation = NO_GENERATION;
	soft_wipe(m);
	uint32_t n = m->tlbs->array[FLAT_D_4K].base - m->tlbs->array[DTLB_2M].base;
	memset(m->lists, 0, n * sizeof *m->lists);
	return m->generation_clock = 0;
}

static void renew_context(struct mmu *m)
{
	m->generation = new_generation(m);
	m->context_now->generation = m->generation;
	m->epoch = ++m->epoch_clock;
	memset(m->context_now->code_pages, 0, sizeof m->context_now->code_pages);
}

static uint64_t how(const struct mmu *m)
{
	const struct paging *g = &m->paging;
	return (uint64_t)g->pcid | (uint64_t)g->levels << 12 | (uint64_t)g->large << 15 | (uint64_t)g->wp << 20 | (uint64_t)g->smep << 21 |
	       (uint64_t)g->smap << 22 | (uint64_t)g->pke << 23 | (uint64_t)g->nx << 24 | (uint64_t)g->pge << 25 |
	       (uint64_t)(m->guest.mode_execute != 0) << 26 | (g->pke ? m->pkru << 32 : 0);
}

/* The registers may have changed: go on with what the context they make left behind. */
static void choose_context(struct mmu *m)
{
	struct soft_context *now = m->context_now, *c = NULL, *oldest = m->contexts;
	const uint64_t h = how(m);
	if (now->tag == m->context && now->how == h && now->apic_access == m->guest.apic_access)
		return;
	now->epoch = m->epoch;
	now->links = m->links;
	for (unsigned i = 0; i < CONTEXTS; i++) {
		struct soft_context *k = &m->contexts[i];
		if (k->tag == m->context && k->how == h && k->apic_access == m->guest.apic_access && k->generation != NO_GENERATION)
			c = k;
		if (k->used < oldest->used)
			oldest = k;
	}
	m->context_now = c ? c : oldest;
	m->context_now->used = ++m->context_clock;
	if (c) {
		m->generation = c->generation;
		m->epoch = c->links == m->links ? c->epoch : ++m->epoch_clock;
		return;
	}
	oldest->tag = m->context;
	oldest->how = h;
	oldest->apic_access = m->guest.apic_access;
	renew_context(m);
}

/* Translations of contexts with these tag bits (and this PCID, if not ANY_PCID) were invalidated. */
#define ANY_PCID (~0u)
static void drop_contexts(struct mmu *m, uint64_t mask, uint64_t tag, unsigned pcid)
{
	for (unsigned i = 0; i < CONTEXTS; i++) {
		struct soft_context *k = &m->contexts[i];
		if ((k->tag & mask) != tag || (pcid != ANY_PCID && (k->how & 0xfff) != pcid))
			continue;
		if (k == m->context_now)
			renew_context(m);
		else
			k->generation = NO_GENERATION;
	}
}

void mmu_drop_soft(struct mmu *m)
{
	choose_context(m);
	drop_contexts(m, 0, 0, ANY_PCID);
}

void mmu_drop_writable(struct mmu *m, hpa_t page)
{
	for (unsigned t = 0; t < SOFT_SLOW; t++)
		for (unsigned i = 0; i < SOFT_TLB_N; i++)
			if (SOFT_PA(&m->table[t][i]) == page.v)
				m->table[t][i].tag_w = SOFT_NONE;
}

static bool is_large_data(uint8_t id)
{
	return id >= DTLB_2M && id <= FLAT_D_1G;
}

static bool is_fetch(uint8_t id)
{
	return id >= ITLB_4K && id <= FLAT_I_1G;
}

static struct soft_list *list_of(struct mmu *m, uint32_t entry)
{
	return &m->lists[entry - m->tlbs->array[DTLB_2M].base];
}

static void soft_fill(struct mmu *m, const struct hit *h, unsigned access)
{
	if (h->soft || m->tlbs->tag[h->entry] != h->tag || (h->pa & PAGE_MASK) == m->guest.apic_access)
		return;
	uint8_t *page = mem_ptr(m->mem, HPA(h->pa & PAGE_MASK));
	if (!page)
		return;
	uint8_t *flags = mem_flags(m->mem, HPA(h->pa));
	if (unlikely(*flags & PAGE_WATCH || (m->watches_page && m->watches_page(m->watch_who, m, h->lin))))
		return;
	unsigned view = view_of(m, access), index = (h->lin >> PAGE_SHIFT) & (SOFT_TLB_N - 1), who = access & (ACC_USER | ACC_IMPLICIT);
	uint64_t lin_page = h->lin & PAGE_MASK, tag = lin_page | m->generation;
	struct soft_tlb_entry *e = &m->table[view][index];
	e->tag_r = paging_denies(m, h->info, who) < 0 && !(h->info & INFO_NR) ? tag : SOFT_NONE;
	e->tag_w = SOFT_NONE;
	if (h->info & INFO_D && !(*flags & PAGE_SLOW_WRITE) && paging_denies(m, h->info, who | ACC_WRITE) < 0) {
		e->tag_w = tag;
		*flags |= PAGE_WRITER;
	}
	e->host = (uintptr_t)page - lin_page;
	e->pa_slot = (h->pa & PAGE_MASK) | (m->detailed ? h->entry : 0);
	if (!h->entry)
		return;
	if (!is_large_data(h->id)) {
		m->views[h->entry] |= (uint8_t)(1 << view);
		return;
	}
	struct soft_list *l = list_of(m, h->entry);
	uint16_t at = (uint16_t)(view * SOFT_TLB_N + index);
	for (unsigned i = 0; i < l->n; i++)
		if (l->at[i] == at)
			return;
	if (l->n < ROOM)
		l->at[l->n++] = at;
	else
		l->overflow |= (uint8_t)(1 << view);
}

static void soft_kill_range(struct soft_tlb_entry *e, uint64_t first, unsigned shift)
{
	if ((e->tag_r ^ first) >> shift == 0)
		e->tag_r = e->tag_w = SOFT_NONE;
}

/* The modelled entry goes: so must what hangs on it. */
static void soft_kill(struct mmu *m, uint8_t id, uint32_t entry)
{
	unsigned shift = m->tlbs->array[id].shift;
	uint64_t first = tlb_lin(m->tlbs->tag[entry], shift);
	if (is_fetch(id)) {
		for (unsigned t = 0; t < 2; t++) {
			struct soft_fetch_entry *f = m->fetch[t];
			unsigned i = shift == 12 ? (first >> 12) & (SOFT_FETCH_N - 1) : 0;
			unsigned end = shift == 12 ? i + 1 : SOFT_FETCH_N;
			for (; i < end; i++)
				if ((f[i].tag ^ first) >> shift == 0)
					f[i].tag = SOFT_NONE;
		}
	} else if (!is_large_data(id)) {
		for (unsigned t = 0; m->views[entry] >> t; t++)
			if (m->views[entry] >> t & 1)
				soft_kill_range(&m->table[t][(first >> 12) & (SOFT_TLB_N - 1)], first, shift);
		m->views[entry] = 0;
	} else {
		struct soft_list *l = list_of(m, entry);
		for (unsigned i = 0; i < l->n; i++)
			soft_kill_range(m->table[0] + l->at[i], first, shift);
		/* the page's part of a table: 512 entries of 2 MB, all of 1 GB */
		unsigned start = (first >> 12) & (SOFT_TLB_N - 1), n = shift - 12 < SOFT_TLB_BITS ? 1u << (shift - 12) : SOFT_TLB_N;
		for (unsigned t = 0; l->overflow >> t; t++)
			for (unsigned i = 0; l->overflow >> t & 1 && i < n; i++)
				soft_kill_range(&m->table[t][start + i], first, shift);
		l->n = l->overflow = 0;
	}
}

/* ---- the modelled TLBs ---- */

static void drop_entry(struct mmu *m, uint8_t id, uint32_t entry)
{
	if (id <= FLAT_I_1G)
		soft_kill(m, id, entry);
	tlb_kill(m->tlbs, (enum tlb_id)id, entry);
}

static inline uint32_t find(const struct mmu *m, uint8_t id, uint64_t lin, enum tlb_size size)
{
	return tlb_find(m->tlbs, (enum tlb_id)id, lin, size_shift[size], size, m->paging.pcid, m->context);
}

/* "INVLPG and INVPCID ... invalidate linear mappings and combined mappings. They are required to do so only for the current VPID
 * (but, for combined mappings, all EP4TAs)." */
static uint64_t vpid_of(const struct mmu *m)
{
	return m->context & CONTEXT_VPID;
}

/* Whom invalidations of a linear address concern. */
struct whom {
	uint64_t vpid;
	unsigned pcid;                  /* or ANY_PCID */
	bool globals;
};

static bool concerns(const struct tlb_set *t, uint32_t i, const struct whom *w)
{
	uint64_t tag = t->tag[i];
	return (t->context[i] & CONTEXT_VPID) == w->vpid && (tag & TAG_G ? w->globals : w->pcid == ANY_PCID || BITS(tag, 15, 4) == w->pcid);
}

/* Invalidate the entries of one array that a linear address would use. */
static void forget_in(struct mmu *m, uint8_t id, uint64_t lin, const struct whom *w)
{
	struct tlb_set *t = m->tlbs;
	const struct tlb_array *a = &t->array[id];
	if (!t->live[id])
		return;
	for (unsigned size = SIZE_4K; size <= SIZE_1G; size++) {
		if (!(a->size_mask >> size & 1))
			continue;
		uint64_t tag = tlb_tag(lin, size_shift[size], size, 0, false);
		uint32_t i = tlb_set_base(a, tlb_page(lin, size_shift[size])), end = i + a->ways;
		for (; i < end; i++)
			if ((t->tag[i] & ~(TAG_PCID | TAG_G)) == tag && concerns(t, i, w))
				drop_entry(m, id, i);
	}
	if (!t->pieces[id])
		return;
	/* "If the paging structures map the linear address using a page larger than 4 KBytes and there are multiple TLB
	 * entries for that page, the instruction invalidates all of them." */
	for (uint32_t i = a->base, end = i + a->sets * a->ways; i < end; i++) {
		uint64_t tag = t->tag[i];
		if (!tag || !concerns(t, i, w))
			continue;
		unsigned shift = size_shift[BITS(tag, 3, 2)], whole = tlb_whole_shift[INFO_WHOLE(t->info[i])];
		if (whole > shift && (tlb_lin(tag, shift) ^ lin) << 7 >> 7 >> whole == 0)
			drop_entry(m, id, i);
	}
}

static void forget(struct mmu *m, uint64_t lin, const struct whom *w)
{
	for (uint8_t id = DTLB_4K; id <= STLB_1G; id++)
		forget_in(m, id, lin, w);
}

/* Of the current VPID and one PCID. */
static void forget_page(struct mmu *m, uint64_t lin, unsigned pcid, bool globals)
{
	forget(m, lin, &(struct whom){ vpid_of(m), pcid, globals });
}

static void forget_structures(struct mmu *m, uint64_t lin, unsigned pcid)
{
	for (unsigned level = 2; level <= m->paging.levels; level++) {
		enum tlb_id id = (enum tlb_id)(PSC_PDE + level - 2);
		uint64_t tag = tlb_tag(lin, 12 + (level - 1) * m->paging.index_bits, SIZE_PSC, pcid, false);
		tlb_kill_if(m->tlbs, id, ~0ull, tag, CONTEXT_VPID, vpid_of(m));
	}
}

/* Links between blocks live on translations that the TLBs may have lost since: what was ever fetched from counts. */
static unsigned code_hash(uint64_t lin, unsigned whole)
{
	return (unsigned)(((lin >> tlb_whole_shift[whole] << 2) + whole) * 0x9e3779b97f4a7c15ull >> 52);
}

static void code_fetched(struct mmu *m, uint64_t lin, unsigned whole)
{
	unsigned n = code_hash(lin, whole);
	m->context_now->code_pages[n / 64] |= BIT(n % 64);
}

static void code_forgotten(struct mmu *m, uint64_t lin, uint64_t vpid)
{
	unsigned n[4];
	for (unsigned whole = WHOLE_4K; whole <= WHOLE_1G; whole++)
		n[whole] = code_hash(lin, whole);
	for (unsigned i = 0; i < CONTEXTS; i++) {
		struct soft_context *k = &m->contexts[i];
		if ((k->tag & CONTEXT_VPID) != vpid || k->generation == NO_GENERATION)
			continue;
		bool was = false;
		for (unsigned whole = WHOLE_4K; whole <= WHOLE_1G; whole++)
			was |= k->code_pages[n[whole] / 64] >> (n[whole] % 64) & 1;
		if (was && k == m->context_now)
			m->epoch = ++m->epoch_clock;
		else if (was)
			k->links = ~0ull;
	}
}

enum flush_scope { FLUSH_PCID, FLUSH_PCID_GLOBAL, FLUSH_NOT_GLOBAL, FLUSH_ALL };

static void flush_of(struct mmu *m, enum flush_scope scope, unsigned pcid, uint64_t vpid)
{
	for (enum tlb_id id = DTLB_4K; id <= PSC_PML5E; id++) {
		if (scope == FLUSH_ALL)
			tlb_kill_if(m->tlbs, id, TAG_V, TAG_V, CONTEXT_VPID, vpid);
		else if (scope == FLUSH_NOT_GLOBAL)
			tlb_kill_if(m->tlbs, id, TAG_V | TAG_G, TAG_V, CONTEXT_VPID, vpid);
		else
			tlb_kill_if(m->tlbs, id, TAG_V | TAG_G | TAG_PCID, TAG_V | (uint64_t)pcid << 4, CONTEXT_VPID, vpid);
		if (scope == FLUSH_PCID_GLOBAL)
			tlb_kill_if(m->tlbs, id, TAG_V | TAG_G, TAG_V | TAG_G, CONTEXT_VPID, vpid);
	}
	drop_contexts(m, CONTEXT_VPID, vpid, scope == FLUSH_PCID ? pcid : ANY_PCID);
	m->stat[MMU_STAT_FLUSH]++;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_FLUSH, scope, pcid, vpid, 0);
}

static void flush(struct mmu *m, enum flush_scope scope, unsigned pcid)
{
	flush_of(m, scope, pcid, vpid_of(m));
}

/* Write a translation into one array, as the piece of it that fits there. 0: the array does not take this size. fresh: it was
 * looked for and is not there. */
static inline uint32_t put(struct mmu *m, uint8_t id, enum tlb_size size, uint64_t lin, uint64_t info, unsigned info_shift, bool global, bool fresh)
{
	struct tlb_set *t = m->tlbs;
	if (id == NO_ARRAY || !(t->array[id].size_mask >> size & 1))
		return 0;
	unsigned shift = size_shift[size];
	uint64_t piece = INFO_ADDR(info) | (lin & MASK(info_shift) & ~MASK(shift));
	uint32_t entry = fresh ? 0 : tlb_find(t, (enum tlb_id)id, lin, shift, size, m->paging.pcid, m->context);
	if (!entry)
		entry = tlb_victim(t, (enum tlb_id)id, lin, shift);
	if (id <= FLAT_I_1G && t->tag[entry])
		soft_kill(m, id, entry);
	else if (is_large_data(id))
		*list_of(m, entry) = (struct soft_list){ 0 };
	tlb_write(t, (enum tlb_id)id, entry, tlb_tag(lin, shift, size, m->paging.pcid, global), m->context, piece | (info & 0xfff));
	if (tlb_whole_shift[INFO_WHOLE(info)] > shift)
		t->pieces[id] = 1;
	return entry;
}

/* The largest size a page's pieces may have. */
static inline int largest(unsigned info_shift)
{
	return info_shift >= 30 ? SIZE_1G : info_shift >= 21 ? SIZE_2M : SIZE_4K;
}

/* The largest piece the first level takes. */
static void put_first(struct mmu *m, bool fetch, uint64_t lin, uint64_t info, unsigned info_shift, bool global, bool fresh, struct hit *h)
{
	for (int size = largest(info_shift); size >= SIZE_4K; size--) {
		uint8_t id = first_level[fetch][m->detailed][size];
		uint32_t entry = put(m, id, (enum tlb_size)size, lin, info, info_shift, global, fresh);
		if (!entry)
			continue;
		h->entry = entry;
		h->id = id;
		h->tag = m->tlbs->tag[entry];
		*(fetch ? &m->itlb_mru : &m->dtlb_mru) = entry;
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_TLB_FILL, lin & ~MASK(size_shift[size]),
		      INFO_ADDR(m->tlbs->info[entry]), BIT(size_shift[size]), info & 0xf);
		return;
	}
}

static void put_second(struct mmu *m, uint64_t lin, uint64_t info, unsigned info_shift, bool global, bool fresh)
{
	for (int size = largest(info_shift); size >= SIZE_4K; size--) {
		/* a large page whose size the second level does not keep is not kept at all */
		if (put(m, size == SIZE_1G ? STLB_1G : STLB_4K, (enum tlb_size)size, lin, info, info_shift, global, fresh) || (size == SIZE_2M && info_shift > 12))
			return;
	}
}

/* ---- translation ---- */

void mmu_ept_fault(struct mmu *m, const struct mmu_fault *f)
{
	m->stat[MMU_STAT_EPT_FAULT]++;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_EPT_FAULT, f->gpa.v, f->kind, f->qualification, f->lin);
}

/* "An EPT violation ... also invalidates any combined mappings for that linear address associated with the current PCID, the
 * current VPID and the current EP4TA"; a misconfiguration and a full log need not, and do the same. */
static void fault_done(struct mmu *m, uint64_t lin, unsigned access, const struct mmu_fault *f)
{
	code_forgotten(m, lin, vpid_of(m));
	forget_page(m, lin, m->paging.pcid, true);
	forget_structures(m, lin, m->paging.pcid);
	if (f->kind == MMU_APIC_ACCESS)
		return;
	if (f->kind != MMU_PF) {
		mmu_ept_fault(m, f);
		return;
	}
	m->stat[MMU_STAT_PAGE_FAULT]++;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_PAGE_FAULT, lin, f->error_code, access, 0);
}

static bool sufficient(const struct mmu *m, uint64_t info, unsigned access)
{
	return paging_denies(m, info, access) < 0 && (info & INFO_D || !access_writes(access)) && (!(info & INFO_NR) || access & ACC_EXEC);
}

/* Where the access goes is known, and there is more to do before it is made: let the host fetch the bytes meanwhile, and the words
 * of the modelled caches their line will be looked up in. */
static void expect(const struct mmu *m, uint64_t pa)
{
	__builtin_prefetch(m->mem->ram + mem_offset(m->mem, HPA(pa)));
	if (m->detailed)
		cache_expect(m->caches, m->cpu, pa >> 6);
}

static void found(struct mmu *m, struct hit *h, uint8_t id, uint32_t entry, unsigned shift)
{
	h->info = m->tlbs->info[entry];
	h->entry = entry;
	h->id = id;
	h->tag = m->tlbs->tag[entry];
	h->pa = INFO_ADDR(h->info) | (h->lin & MASK(shift));
}

/* The first-level entry was used; exactly what a soft hit does. */
static void use_first(struct mmu *m, bool fetch, uint32_t entry)
{
	uint32_t *mru = fetch ? &m->itlb_mru : &m->dtlb_mru;
	if (m->detailed && *mru != entry) {
		*mru = entry;
		tlb_use(m->tlbs, entry);
	}
}

/* Beyond the soft TLB. */
static int translate_slow(struct mmu *m, unsigned access, struct hit *h, struct mmu_fault *f)
{
	const uint64_t lin = h->lin;
	const bool fetch = access & ACC_EXEC;
	const struct paging *g = &m->paging;
	struct tlb_set *t = m->tlbs;
	h->soft = 0;
	if (!g->levels && !m->guest.ept) {
		h->info = INFO_W | INFO_U | INFO_X | INFO_D;
		h->entry = 0;
		h->tag = 0;
		h->pa = lin;
		use_first(m, fetch, 0);
		return 0;
	}
	if (unlikely((uint64_t)((int64_t)(lin << g->canonical) >> g->canonical) != lin)) {
		*f = (struct mmu_fault){ .kind = MMU_NONCANONICAL, .lin = lin };
		return -1;
	}
	const uint8_t *ids = first_level[fetch][m->detailed];
	bool stale = false;
	for (unsigned size = SIZE_4K; size <= SIZE_1G; size++) {
		uint32_t entry = ids[size] == NO_ARRAY ? 0 : find(m, ids[size], lin, size);
		if (!entry)
			continue;
		if (!sufficient(m, t->info[entry], access)) {
			stale = true;
			break;
		}
		found(m, h, ids[size], entry, size_shift[size]);
		use_first(m, fetch, entry);
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_TLB_HIT, lin, h->pa, 1, access);
		return 0;
	}
	if (m->detailed && !stale) {
		m->stat[fetch ? MMU_STAT_ITLB_MISS : MMU_STAT_DTLB_MISS]++;
		for (unsigned size = SIZE_4K; size <= SIZE_1G; size++) {
			uint8_t id = size == SIZE_1G ? STLB_1G : STLB_4K;
			uint32_t entry = find(m, id, lin, size);
			if (!entry)
				continue;
			if (!sufficient(m, t->info[entry], access)) {
				stale = true;
				break;
			}
			tlb_use(t, entry);
			m->stat[MMU_STAT_STLB_HIT]++;
			ledger_charge(m->ledger, WHY_TLB_L2, m->profile->stlb_latency);
			found(m, h, id, entry, size_shift[size]);
			expect(m, h->pa);
			trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_TLB_HIT, lin, h->pa, 2, access);
			put_first(m, fetch, lin, h->info, size_shift[size], h->tag & TAG_G, true, h);
			return 0;
		}
		m->stat[MMU_STAT_STLB_MISS] += !stale;
	}
	struct walk w = { .m = m, .live = m, .rec = &m->last_walk, .lin = lin, .access = access };
	if (!walk(&w)) {
		*f = w.rec->fault;
		fault_done(m, lin, access, f);
		return -1;
	}
	if (stale)
		forget_page(m, lin, g->pcid, true);
	unsigned shift = w.rec->page_shift;
	h->info = w.info;
	h->pa = INFO_ADDR(w.info) | (lin & MASK(shift));
	expect(m, h->pa);
	if (m->detailed)
		put_second(m, lin, w.info, shift, w.global, !stale);
	put_first(m, fetch, lin, w.info, shift, w.global, !stale, h);
	return 0;
}

static inline int translate(struct mmu *m, uint64_t lin, unsigned access, struct hit *h, struct mmu_fault *f)
{
	const struct soft_tlb_entry *e = &m->table[view_of(m, access)][(lin >> PAGE_SHIFT) & (SOFT_TLB_N - 1)];
	h->lin = lin;
	if (!(access & (ACC_EXEC | ACC_SS)) && (access_writes(access) ? e->tag_w : e->tag_r) == ((lin & PAGE_MASK) | m->generation)) {
		h->soft = 1;
		h->pa = SOFT_PA(e) | (lin & 0xfff);
		if (m->detailed && SOFT_SLOT(e) != m->dtlb_mru)
			mmu_dtlb_touch(m, SOFT_SLOT(e));
		if (unlikely(m->tells))
			trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_TLB_HIT, lin, h->pa, 1, access);
		return 0;
	}
	return translate_slow(m, access, h, f);
}

/* ---- caches ---- */

void mmu_touch_slow(struct mmu *m, uint64_t line, enum touch write)
{
	bool present;
	/* what misses in the modelled caches often misses in the host's: fetch the bytes while their line is looked up */
	__builtin_prefetch(m->mem->ram + mem_offset(m->mem, HPA(line << 6)), 1);
	enum mem_level level = cache_data(m->caches, m->cpu, line, write, &present);
	if (level == LEVEL_L1)
		return;
	bool store = write == TOUCH_STORE;
	uint32_t stall = store ? m->store_stall[level] : m->load_stall[level];
	m->stat[MMU_STAT_L1D_MISS] += !present;
	ledger_charge(m->ledger, store ? WHY_STORE : (enum why)(WHY_LOAD_L2 + (level - LEVEL_L2)), stall);
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_MISS, line << 6, level, write != TOUCH_LOAD, stall);
}

void mmu_fetch_slow(struct mmu *m, uint64_t line)
{
	if (mem_offset(m->mem, HPA(line << 6)) < 0)
		return;
	enum mem_level level = cache_fetch(m->caches, m->cpu, line);
	if (level == LEVEL_L1)
		return;
	m->stat[MMU_STAT_L1I_MISS]++;
	ledger_charge(m->ledger, WHY_FETCH, m->load_stall[level]);
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_FETCH_MISS, line << 6, level, m->load_stall[level], 0);
}

void mmu_flush_caches(struct mmu *m)
{
	if (!m->detailed)
		return;
	/* assumed: eight lines are on their way to memory at a time */
	ledger_charge(m->ledger, WHY_SERIALIZE, cache_flush(m->caches, m->cpu) * m->profile->mem_latency / 8);
}

/* ---- bytes ---- */

/* Devices see naturally aligned pieces of 1, 2, 4 or 8 bytes. */
static unsigned io_piece(uint64_t pa, unsigned left)
{
	unsigned n = 8;
	while (n > left || pa & (n - 1))
		n >>= 1;
	return n;
}

static void io_read(struct mmu *m, uint64_t pa, uint8_t *to, unsigned size)
{
	const struct io_wire *w = &m->mem->mmio;
	while (size) {
		unsigned n = io_piece(pa, size);
		struct io_at at = { .cpu = m->cpu, .now = m->ledger->now };
		uint64_t v = w->read ? w->read(w->who, pa, n, &at) : ~0ull;
		m->stat[MMU_STAT_MMIO]++;
		ledger_charge(m->ledger, WHY_IO, at.cost);
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_MMIO_READ, pa, n, v & MASK(8 * n), 0);
		memcpy(to, &v, n);
		pa += n, to += n, size -= n;
	}
}

static void io_write(struct mmu *m, uint64_t pa, const uint8_t *from, unsigned size)
{
	const struct io_wire *w = &m->mem->mmio;
	while (size) {
		unsigned n = io_piece(pa, size);
		struct io_at at = { .cpu = m->cpu, .now = m->ledger->now };
		uint64_t v = 0;
		memcpy(&v, from, n);
		m->stat[MMU_STAT_MMIO]++;
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_MMIO_WRITE, pa, n, v, 0);
		if (w->write)
			w->write(w->who, pa, n, v, &at);
		ledger_charge(m->ledger, WHY_IO, at.cost);
		pa += n, from += n, size -= n;
	}
}

/* The usual sizes by one instruction of the host. */
static inline void copy(void *to, const void *from, unsigned size)
{
	switch (size) {
	case 8: memcpy(to, from, 8); break;
	case 4: memcpy(to, from, 4); break;
	case 1: memcpy(to, from, 1); break;
	default: memcpy(to, from, size); break;
	}
}

/* An access to the APIC-access page of a guest: true when it was served. */
static bool apic_page(struct mmu *m, const struct hit *h, void *buf, unsigned size, unsigned access)
{
	struct walk_record rec;
	if (likely((h->pa & PAGE_MASK) != m->guest.apic_access) || !m->apic_access)
		return false;
	mmu_peek(m, h->lin, &rec);
	m->apic_access(m->apic_who, h->lin, rec.gpa, (unsigned)(h->pa & 0xfff), buf, size, access);
	return true;
}

static void read_piece(struct mmu *m, const struct hit *h, void *to, unsigned size, unsigned access)
{
	if (unlikely(apic_page(m, h, to, size, access)))
		return;
	const uint8_t *p = mem_ptr(m->mem, HPA(h->pa));
	if (unlikely(!p)) {
		io_read(m, h->pa, to, size);
		return;
	}
	if (unlikely(m->seen != NULL)) {
		m->seen(m->seen_who, HPA(h->pa), size, NULL);
		memcpy(to, p, size);
		return;
	}
	if (m->detailed)
		mmu_touch(m, h->pa, size, access_writes(access) ? TOUCH_RMW : TOUCH_LOAD);
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_ACCESS, h->lin, h->pa, size, 0);
	mem_before_read(m->mem, HPA(h->pa), size, MEM_BY_CPU);
	if (unlikely(m->watch_seen != NULL))
		m->watch_seen(m->watch_who, m, h->lin, HPA(h->pa), size, false);
	copy(to, p, size);
	soft_fill(m, h, access);
}

static void write_piece(struct mmu *m, const struct hit *h, const void *from, unsigned size, unsigned access)
{
	uint8_t bytes[64];
	if (unlikely((h->pa & PAGE_MASK) == m->guest.apic_access) && size <= sizeof bytes) {
		memcpy(bytes, from, size);
		if (apic_page(m, h, bytes, size, access))
			return;
	}
	uint8_t *p = mem_ptr(m->mem, HPA(h->pa));
	if (unlikely(!p)) {
		io_write(m, h->pa, from, size);
		return;
	}
	if (unlikely(m->seen != NULL)) {
		m->seen(m->seen_who, HPA(h->pa), size, from);
		mem_before_write(m->mem, HPA(h->pa), size, MEM_BY_OTHER);
		memcpy(p, from, size);
		return;
	}
	if (m->detailed)
		mmu_touch(m, h->pa, size, TOUCH_STORE);
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_ACCESS, h->lin, h->pa, size, 1);
	mem_before_write(m->mem, HPA(h->pa), size, MEM_BY_CPU);
	if (unlikely(m->watch_seen != NULL))
		m->watch_seen(m->watch_who, m, h->lin, HPA(h->pa), size, true);
	copy(p, from, size);
	soft_fill(m, h, access);
}

/* Both pages of an access: how many bytes lie in the first, or 0 on a fault. */
static unsigned translate_both(struct mmu *m, uint64_t lin, unsigned size, unsigned access, struct hit h[2], struct mmu_fault *f)
{
	unsigned room = PAGE_SIZE - (lin & 0xfff);
	if (unlikely(translate(m, lin, access, &h[0], f)))
		return 0;
	if (likely(size <= room))
		return size;
	uint64_t next = lin + room;
	if (!(m->efer & EFER_LMA))
		next &= MASK(32);
	return translate(m, next, access, &h[1], f) ? 0 : room;
}

int mmu_read(struct mmu *m, uint64_t lin, void *buf, unsigned size, unsigned access, struct mmu_fault *f)
{
	struct hit h[2];
	unsigned first = translate_both(m, lin, size, access, h, f);
	if (unlikely(!first))
		return -1;
	read_piece(m, &h[0], buf, first, access);
	if (unlikely(first < size))
		read_piece(m, &h[1], (uint8_t *)buf + first, size - first, access);
	return 0;
}

int mmu_write(struct mmu *m, uint64_t lin, const void *buf, unsigned size, unsigned access, struct mmu_fault *f)
{
	struct hit h[2];
	access |= ACC_WRITE;
	unsigned first = translate_both(m, lin, size, access, h, f);
	if (unlikely(!first))
		return -1;
	write_piece(m, &h[0], buf, first, access);
	if (unlikely(first < size))
		write_piece(m, &h[1], (const uint8_t *)buf + first, size - first, access);
	return 0;
}

int mmu_probe(struct mmu *m, uint64_t lin, unsigned size, unsigned access, struct mmu_fault *f)
{
	struct hit h[2];
	return size && !translate_both(m, lin, size, access, h, f) ? -1 : 0;
}

int mmu_fetch(struct mmu *m, uint64_t lin, hpa_t *pa, struct mmu_fault *f)
{
	struct soft_fetch_entry *e = &m->fetch[m->user != 0][(lin >> PAGE_SHIFT) & (SOFT_FETCH_N - 1)];
	if (likely(e->tag == ((lin & PAGE_MASK) | m->generation))) {
		use_first(m, true, (uint32_t)e->slot);
		*pa = HPA(e->pa | (lin & 0xfff));
		return 0;
	}
	struct hit h = { .lin = lin };
	if (translate_slow(m, ACC_EXEC | (m->user ? ACC_USER : 0), &h, f))
		return -1;
	if (unlikely(apic_page(m, &h, NULL, 0, ACC_EXEC | (m->user ? ACC_USER : 0)))) {
		*pa = HPA(h.pa);
		return 0;
	}
	code_fetched(m, lin, INFO_WHOLE(h.info));
	e->tag = (lin & PAGE_MASK) | m->generation;
	e->pa = h.pa & PAGE_MASK;
	e->slot = h.entry;
	*pa = HPA(h.pa);
	return 0;
}

uint64_t mmu_phys_read(struct mmu *m, hpa_t pa, unsigned size, enum why why)
{
	uint64_t v = 0;
	if (mem_offset(m->mem, pa) < 0) {
		io_read(m, pa.v, (uint8_t *)&v, size);
		return v;
	}
	if (m->detailed) {
		bool present;
		ledger_charge(m->ledger, why, m->load_stall[cache_data(m->caches, m->cpu, pa.v >> 6, false, &present)]);
		m->stat[MMU_STAT_L1D_MISS] += !present;
	}
	mem_read(m->mem, pa, &v, size);
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_PHYS, pa.v, size, 0, v);
	return v;
}

void mmu_phys_write(struct mmu *m, hpa_t pa, unsigned size, uint64_t v, enum why why)
{
	if (mem_offset(m->mem, pa) < 0) {
		io_write(m, pa.v, (const uint8_t *)&v, size);
		return;
	}
	if (m->detailed) {
		bool present;
		ledger_charge(m->ledger, why, m->store_stall[cache_data(m->caches, m->cpu, pa.v >> 6, true, &present)]);
		m->stat[MMU_STAT_L1D_MISS] += !present;
	}
	mem_write(m->mem, pa, &v, size);
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_PHYS, pa.v, size, 1, v);
}

/* ---- registers ---- */

/* The PDPTEs are loaded into the CPU by one reference of 32 bytes. */
static int load_pdptes(struct mmu *m, uint64_t cr3, uint64_t pdpte[4])
{
	hpa_t at;
	m->load_fault = (struct mmu_fault){ 0 };
	if (mmu_gpa(m, GPA(cr3 & 0xffffffe0), ACC_READ, &at, &m->load_fault) || !paging_load_pdptes(m, at, pdpte))
		return -1;
	mem_before_read(m->mem, at, 32, MEM_BY_WALKER);
	if (m->detailed && mem_offset(m->mem, at) >= 0) {
		bool present;
		ledger_charge(m->ledger, WHY_WALK_GUEST, m->caches->latency[cache_data(m->caches, m->cpu, at.v >> 6, false, &present)]);
	}
	return 0;
}

int mmu_set_cr3(struct mmu *m, uint64_t cr3)
{
	const struct paging *g = &m->paging;
	const bool pcide = m->cr4 & CR4_PCIDE, keep = pcide && cr3 & CR3_KEEP;
	uint64_t pdpte[4];
	if (pcide)
		cr3 &= ~CR3_KEEP;
	if (g->levels == 3) {
		if (load_pdptes(m, cr3, pdpte))
			return -1;
		memcpy(m->pdpte, pdpte, sizeof pdpte);
	}
	m->cr3 = cr3;
	if (!g->levels)
		return 0;
	m->paging.pcid = pcide ? cr3 & 0xfff : 0;
	choose_context(m);
	if (!keep)
		flush(m, FLUSH_PCID, m->paging.pcid);
	return 0;
}

int mmu_set_paging(struct mmu *m, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	const uint64_t d0 = cr0 ^ m->cr0, d4 = cr4 ^ m->cr4, de = efer ^ m->efer;
	const bool pae = cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
	const bool was_on = m->cr0 & CR0_PG;
	/* "If PAE paging would be in use following an execution of MOV to CR0 or MOV to CR4 and the instruction is modifying any
	 * of CR0.CD, CR0.NW, CR0.PG, CR4.PAE, CR4.PGE, CR4.PSE, or CR4.SMEP; then the PDPTEs are loaded" */
	if (pae && (d0 & (CR0_CD | CR0_NW | CR0_PG) || d4 & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP))) {
		uint64_t pdpte[4];
		if (load_pdptes(m, m->cr3, pdpte))
			return -1;
		memcpy(m->pdpte, pdpte, sizeof pdpte);
	}
	const unsigned pcid = m->paging.pcid;
	m->cr0 = cr0;
	m->cr4 = cr4;
	m->efer = efer;
	paging_update(m);
	choose_context(m);
	/* All: what the SDM says (PG cleared, PGE changed, PCIDE cleared), and whatever changes the meaning of an entry. */
	if (d0 & CR0_PG || (was_on && (d4 & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_LA57) || d4 & ~cr4 & CR4_PCIDE || de & (EFER_NXE | EFER_LMA))))
		flush(m, FLUSH_ALL, pcid);
	else if (was_on && d4 & cr4 & CR4_SMEP)
		flush(m, FLUSH_PCID_GLOBAL, pcid);
	choose_soft(m);
	return 0;
}

int mmu_load_paging(struct mmu *m, uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer, const uint64_t pdpte[4])
{
	uint64_t read[4];
	if (cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA)) {
		if (!pdpte && load_pdptes(m, cr3, read))
			return -1;
		memcpy(m->pdpte, pdpte ? pdpte : read, sizeof m->pdpte);
	}
	m->cr0 = cr0;
	m->cr3 = cr3;
	m->cr4 = cr4;
	m->efer = efer;
	paging_update(m);
	choose_context(m);
	choose_soft(m);
	return 0;
}

void mmu_set_cpl(struct mmu *m, bool user, bool ac, bool align_check)
{
	m->user = user;
	m->ac = ac;
	m->align_check = align_check;
	choose_soft(m);
}

void mmu_tell(struct mmu *m, bool on)
{
	m->tells = on;
	choose_soft(m);
}

void mmu_set_pkru(struct mmu *m, uint32_t pkru)
{
	if (m->pkru == pkru)
		return;
	m->pkru = pkru;
	choose_context(m);
}

/* "INVLPG ... also invalidates all entries in all paging-structure caches associated with the current PCID, regardless of
 * the linear addresses to which they correspond." */
void mmu_invlpg(struct mmu *m, uint64_t lin)
{
	const unsigned pcid = m->paging.pcid;
	forget_page(m, lin, pcid, true);
	for (enum tlb_id id = PSC_PDE; id <= PSC_PML5E; id++)
		tlb_kill_if(m->tlbs, id, TAG_V | TAG_PCID, TAG_V | (uint64_t)pcid << 4, CONTEXT_VPID, vpid_of(m));
	code_forgotten(m, lin, vpid_of(m));
	m->stat[MMU_STAT_INVLPG]++;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_INVLPG, lin, pcid, 0, 0);
}

void mmu_invpcid(struct mmu *m, enum invpcid_type type, unsigned pcid, uint64_t lin)
{
	m->stat[MMU_STAT_INVLPG]++;
	switch (type) {
	case INVPCID_ADDRESS:
		forget_page(m, lin, pcid, false);
		forget_structures(m, lin, pcid);
		code_forgotten(m, lin, vpid_of(m));
		trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_INVLPG, lin, pcid, 0, 0);
		break;
	case INVPCID_CONTEXT:
		flush(m, FLUSH_PCID, pcid);
		break;
	case INVPCID_ALL_GLOBAL:
		flush(m, FLUSH_ALL, pcid);
		break;
	case INVPCID_ALL:
		flush(m, FLUSH_NOT_GLOBAL, pcid);
		break;
	}
}

void mmu_flush_all(struct mmu *m)
{
	for (enum tlb_id id = DTLB_4K; id < TLB_ARRAYS; id++)
		tlb_kill_if(m->tlbs, id, TAG_V, TAG_V, 0, 0);
	mmu_drop_soft(m);
	m->stat[MMU_STAT_FLUSH]++;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_FLUSH, FLUSH_ALL, 0, 0, 0);
}

/* ---- VMX ---- */

static uint64_t ep4ta_of(uint64_t eptp)
{
	return CONTEXT_EPT | (eptp << 4 & CONTEXT_EP4TA);
}

void mmu_set_guest(struct mmu *m, const struct mmu_guest *g)
{
	static const struct mmu_guest root = { .apic_access = MMU_NO_PAGE };
	const bool crosses = (g != NULL) != m->in_guest, untagged = !(g ? g->vpid : m->guest.vpid);
	m->guest = g ? *g : root;
	m->in_guest = g != NULL;
	m->context = (uint64_t)m->guest.vpid | (m->guest.ept ? ep4ta_of(m->guest.eptp) : 0);
	choose_context(m);
	/* "If the 'enable VPID' VM-execution control is 0, VM entries and VM exits invalidate linear mappings and combined mappings
	 * associated with VPID 0000H (for all PCIDs) ... for all EP4TA values." */
	if (crosses && untagged)
		flush_of(m, FLUSH_ALL, 0, 0);
}

void mmu_invept(struct mmu *m, enum invept_type type, uint64_t eptp)
{
	const uint64_t mask = type == INVEPT_SINGLE ? CONTEXT_EPT | CONTEXT_EP4TA : CONTEXT_EPT;
	const uint64_t want = type == INVEPT_SINGLE ? ep4ta_of(eptp) : CONTEXT_EPT;
	for (enum tlb_id id = DTLB_4K; id < TLB_ARRAYS; id++)
		tlb_kill_if(m->tlbs, id, TAG_V, TAG_V, mask, want);
	drop_contexts(m, mask, want, ANY_PCID);
	m->stat[MMU_STAT_FLUSH]++;
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_INVEPT, type, eptp, 0, 0);
}

void mmu_invvpid(struct mmu *m, enum invvpid_type type, unsigned vpid, uint64_t lin)
{
	switch (type) {
	case INVVPID_ADDRESS:
		forget(m, lin, &(struct whom){ vpid, ANY_PCID, true });
		/* how wide an index that guest's paging mode has is not known here: all its structure-cache entries go */
		for (enum tlb_id id = PSC_PDE; id <= PSC_PML5E; id++)
			tlb_kill_if(m->tlbs, id, TAG_V, TAG_V, CONTEXT_VPID, vpid);
		code_forgotten(m, lin, vpid);
		m->stat[MMU_STAT_INVLPG]++;
		break;
	case INVVPID_SINGLE:
		flush_of(m, FLUSH_ALL, 0, vpid);
		break;
	case INVVPID_SINGLE_NOT_GLOBAL:
		flush_of(m, FLUSH_NOT_GLOBAL, 0, vpid);
		break;
	case INVVPID_ALL:
		for (enum tlb_id id = DTLB_4K; id <= PSC_PML5E; id++)
			tlb_kill_tagged(m->tlbs, id);
		for (unsigned i = 0; i < CONTEXTS; i++)
			if (m->contexts[i].tag & CONTEXT_VPID)
				drop_contexts(m, CONTEXT_VPID, m->contexts[i].tag & CONTEXT_VPID, ANY_PCID);
		m->stat[MMU_STAT_FLUSH]++;
		break;
	}
	trace(m->trace, m->ledger->now, m->cpu, MMU_TRACE_INVVPID, type, vpid, lin, 0);
}

/* ---- life ---- */

void mmu_set_detailed(struct mmu *m, bool on)
{
	if (m->detailed == on)
		return;
	m->detailed = on;
	memset(m->tlbs->state, 0, m->tlbs->state_size);
	tlb_restored(m->tlbs);
	cache_drop_all(m->caches, m->cpu);
	m->dtlb_mru = m->itlb_mru = 0;
	mmu_drop_soft(m);
}

int mmu_init(struct mmu *m, unsigned cpu, struct mem *mem, struct ledger *l, const struct profile *p,
             struct cache_hier *caches, struct trace *t, struct err *e)
{
	memset(m, 0, sizeof *m);
	m->cpu = cpu;
	m->mem = mem;
	m->ledger = l;
	m->profile = p;
	m->caches = caches;
	m->trace = t;
	m->guest.apic_access = MMU_NO_PAGE;
	m->ept_cap = ~0ull;
	m->tlbs = tlb_new(p, e);
	if (!m->tlbs)
		return -1;
	m->lists = xcalloc(m->tlbs->array[FLAT_D_4K].base - m->tlbs->array[DTLB_2M].base, sizeof *m->lists);
	m->views = xcalloc(m->tlbs->n, 1);
	m->tlb_stamp = m->tlbs->stamp;
	m->detailed = 1;
	struct cache_core *core = &caches->core[cpu];
	core->stat = m->stat;
	m->l1d_mru = core->l1d_mru;
	m->l1d_mru_dirty = core->l1d_mru_dirty;
	m->l1d_set_mask = core->l1d.mask;
	m->l1i_mru = core->l1i_mru;
	m->l1i_set_mask = core->l1i.mask;
	for (unsigned level = LEVEL_L2; level <= LEVEL_MEM; level++) {
		uint32_t latency = caches->latency[level], l1 = caches->latency[LEVEL_L1];
		m->load_stall[level] = latency > l1 ? latency - l1 : 0;
		m->store_stall[level] = (uint32_t)(m->load_stall[level] * p->store_miss / 100);
	}
	m->table_block = xcalloc(SOFT_TABLES * sizeof *m->table + 63, 1);
	m->table = (void *)(((uintptr_t)m->table_block + 63) & ~(uintptr_t)63);
	m->contexts = xcalloc(CONTEXTS, sizeof *m->contexts);
	for (unsigned i = 0; i < CONTEXTS; i++)
		m->contexts[i].generation = NO_GENERATION;
	m->context_now = m->contexts;
	soft_wipe(m);
	paging_update(m);
	mmu_drop_soft(m);
	choose_soft(m);
	return 0;
}

void mmu_fini(struct mmu *m)
{
	tlb_free(m->tlbs);
	free(m->lists);
	free(m->views);
	free(m->contexts);
	free(m->table_block);
	m->table_block = NULL;
	m->tlbs = NULL;
	m->lists = NULL;
	m->views = NULL;
}

/* From a snapshot file: the entries used last are entries. Registers are the CPU's again when it is restored. */
static bool registers_valid(void *who, const void *state)
{
	const struct mmu *m = who;
	const char *p = state;
	uint32_t dtlb, itlb;
	memcpy(&dtlb, p, sizeof dtlb);
	memcpy(&itlb, p + offsetof(struct mmu, itlb_mru) - offsetof(struct mmu, dtlb_mru), sizeof itlb);
	struct mmu_guest g;
	memcpy(&g, p + offsetof(struct mmu, guest) - offsetof(struct mmu, dtlb_mru), sizeof g);
	uint64_t walk_length = BITS(g.eptp, 5, 3);
	return dtlb < m->tlbs->n && itlb < m->tlbs->n && (!g.ept || walk_length == 3 || walk_length == 4) && !(g.pml & 0xfff);
}

void mmu_sections(struct mmu *m, struct snaps *s)
{
	char name[32];
	snprintf(name, sizeof name, "cpu%u.mmu", m->cpu);
	snaps_section(s, name, 1, &m->dtlb_mru, offsetof(struct mmu, ledger) - offsetof(struct mmu, dtlb_mru));
	snaps_valid(s, name, registers_valid, m);
	snprintf(name, sizeof name, "cpu%u.tlb", m->cpu);
	snaps_section(s, name, 1, m->tlbs->state, m->tlbs->state_size);
	snaps_valid(s, name, tlb_valid, m->tlbs);
}

void mmu_restored(struct mmu *m)
{
	m->context = (uint64_t)m->guest.vpid | (m->guest.ept ? ep4ta_of(m->guest.eptp) : 0);
	tlb_restored(m->tlbs);
	paging_update(m);
	choose_soft(m);
	cache_restored(m->caches, m->cpu);
	mmu_drop_soft(m);
}
