/* access.c - translations and accesses of one CPU beyond the soft TLB: TLBs, walks, bytes.
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
#include <string.h>

#include "models/mmu/cache.h"
#include "models/mmu/invalidate.h"
#include "models/mmu/pte.h"
#include "models/mmu/walk.h"

#define NO_ARRAY  TLB_ARRAYS

/* First-level arrays by side and speed, indexed by enum tlb_size. */
static const uint8_t first_level[2][2][3] = {
	{ { FLAT_D_4K, FLAT_D_2M, FLAT_D_1G }, { DTLB_4K, DTLB_2M, DTLB_1G } },
	{ { FLAT_I_4K, FLAT_I_2M, FLAT_I_1G }, { ITLB_4K, ITLB_2M, NO_ARRAY } },
};
static const uint8_t size_shift[3] = { [SIZE_4K] = 12, [SIZE_2M] = 21, [SIZE_1G] = 30 };

/* ---- the modelled TLBs ---- */

static inline uint32_t find(const struct mmu *m, uint8_t id, uint64_t lin, enum tlb_size size)
{
	return tlb_find(m->tlbs, (enum tlb_id)id, lin, size_shift[size], size, m->paging.pcid, m->context);
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

/* There is more to do before the access is made: let the host fetch the bytes meanwhile, and the words of the modelled caches their
 * line will be looked up in. */
static inline void expect(const struct mmu *m, const void *bytes, uint64_t pa)
{
	__builtin_prefetch(bytes);
	if (m->detailed)
		cache_expect(m->caches, m->cpu, pa >> 6);
}

/* Where the access goes is known; h->pa is what was guessed. */
static inline void goes_to(const struct mmu *m, struct hit *h, uint64_t pa)
{
	if (pa != h->pa)
		expect(m, m->mem->ram + mem_offset(m->mem, HPA(pa)), pa);
	h->pa = pa;
}

static inline void found(struct mmu *m, struct hit *h, uint8_t id, uint32_t entry, unsigned shift)
{
	h->info = m->tlbs->info[entry];
	h->entry = entry;
	h->id = id;
	h->tag = m->tlbs->tag[entry];
	goes_to(m, h, INFO_ADDR(h->info) | (h->lin & MASK(shift)));
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
	goes_to(m, h, INFO_ADDR(w.info) | (lin & MASK(shift)));
	if (m->detailed)
		put_second(m, lin, w.info, shift, w.global, !stale);
	put_first(m, fetch, lin, w.info, shift, w.global, !stale, h);
	return 0;
}

static inline int translate(struct mmu *m, uint64_t lin, unsigned access, struct hit *h, struct mmu_fault *f)
{
	const struct soft_tlb_entry *e = &m->table[soft_view(m, access)][(lin >> PAGE_SHIFT) & (SOFT_TLB_N - 1)];
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
	/* most likely it is where it was before the modelled TLB lost it; a wrong guess does no harm */
	h->pa = SOFT_PA(e) | (lin & 0xfff);
	expect(m, (const void *)(e->host + lin), h->pa);
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
