/* soft.c - the soft TLB: linear pages to host pointers, by context; and what block links depend on.
 *
 * A soft entry exists only while the modelled first level holds the translation, so a soft hit is a modelled hit, and
 * dropping soft entries at any time changes neither outcome nor time. Nothing here is state. */
#include <stdlib.h>
#include <string.h>

#include "models/mmu/soft.h"
#include "models/mmu/walk.h"

#define SOFT_NONE (~0ull)

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

unsigned soft_view(const struct mmu *m, unsigned access)
{
	if (access & ACC_USER)
		return SOFT_USER;
	return m->ac && m->paging.smap && !(access & ACC_IMPLICIT) ? SOFT_SUPER_AC : SOFT_SUPER;
}

void soft_choose(struct mmu *m)
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

/* ---- contexts ---- */

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

void context_choose(struct mmu *m)
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

void context_drop(struct mmu *m, uint64_t mask, uint64_t tag, unsigned pcid)
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

void context_drop_tagged(struct mmu *m)
{
	for (unsigned i = 0; i < CONTEXTS; i++)
		if (m->contexts[i].tag & CONTEXT_VPID)
			context_drop(m, CONTEXT_VPID, m->contexts[i].tag & CONTEXT_VPID, ANY_PCID);
}

void mmu_drop_soft(struct mmu *m)
{
	context_choose(m);
	context_drop(m, 0, 0, ANY_PCID);
}

void mmu_drop_writable(struct mmu *m, hpa_t page)
{
	for (unsigned t = 0; t < SOFT_SLOW; t++)
		for (unsigned i = 0; i < SOFT_TLB_N; i++)
			if (SOFT_PA(&m->table[t][i]) == page.v)
				m->table[t][i].tag_w = SOFT_NONE;
}

/* ---- entries ---- */

static bool is_fetch(uint8_t id)
{
	return id >= ITLB_4K && id <= FLAT_I_1G;
}

void soft_fill(struct mmu *m, const struct hit *h, unsigned access)
{
	if (h->soft || m->tlbs->tag[h->entry] != h->tag || (h->pa & PAGE_MASK) == m->guest.apic_access)
		return;
	uint8_t *page = mem_ptr(m->mem, HPA(h->pa & PAGE_MASK));
	if (!page)
		return;
	uint8_t *flags = mem_flags(m->mem, HPA(h->pa));
	if (unlikely(*flags & PAGE_WATCH || (m->watches_page && m->watches_page(m->watch_who, m, h->lin))))
		return;
	unsigned view = soft_view(m, access), index = (h->lin >> PAGE_SHIFT) & (SOFT_TLB_N - 1), who = access & (ACC_USER | ACC_IMPLICIT);
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
	if (l->n < SOFT_ROOM)
		l->at[l->n++] = at;
	else
		l->overflow |= (uint8_t)(1 << view);
}

static void soft_kill_range(struct soft_tlb_entry *e, uint64_t first, unsigned shift)
{
	if ((e->tag_r ^ first) >> shift == 0)
		e->tag_r = e->tag_w = SOFT_NONE;
}

void soft_kill(struct mmu *m, uint8_t id, uint32_t entry)
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

/* ---- code ---- */

static unsigned code_hash(uint64_t lin, unsigned whole)
{
	return (unsigned)(((lin >> tlb_whole_shift[whole] << 2) + whole) * 0x9e3779b97f4a7c15ull >> 52);
}

void code_fetched(struct mmu *m, uint64_t lin, unsigned whole)
{
	unsigned n = code_hash(lin, whole);
	m->context_now->code_pages[n / 64] |= BIT(n % 64);
}

void code_forgotten(struct mmu *m, uint64_t lin, uint64_t vpid)
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

/* ---- life ---- */

void soft_init(struct mmu *m)
{
	m->lists = xcalloc(m->tlbs->array[FLAT_D_4K].base - m->tlbs->array[DTLB_2M].base, sizeof *m->lists);
	m->views = xcalloc(m->tlbs->n, 1);
	m->table_block = xcalloc(SOFT_TABLES * sizeof *m->table + 63, 1);
	m->table = (void *)(((uintptr_t)m->table_block + 63) & ~(uintptr_t)63);
	m->contexts = xcalloc(CONTEXTS, sizeof *m->contexts);
	for (unsigned i = 0; i < CONTEXTS; i++)
		m->contexts[i].generation = NO_GENERATION;
	m->context_now = m->contexts;
	soft_wipe(m);
}

void soft_fini(struct mmu *m)
{
	free(m->lists);
	free(m->views);
	free(m->contexts);
	free(m->table_block);
	m->table_block = NULL;
	m->lists = NULL;
	m->views = NULL;
}
