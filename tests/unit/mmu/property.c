/* Random programs of accesses, page-table edits and invalidations:
 *   twins   an MMU whose soft TLB is dropped all the time behaves, times and ends exactly as one left alone
 *   exact   when every edit is followed by the invalidation the SDM asks for, each access is what a plain walk yields
 *   stale   without invalidation, an access is what a plain walk would have yielded at some time since the last one;
 *           a fault is always what memory says now */
#include "tests/unit/mmu/rig.h"
#include "tests/unit/mmu/ref.h"

#define PAGES 24                /* linear pages in play, over several tables */
#define FRAMES 12

struct op_source { struct rng r; };

static uint64_t below(struct op_source *s, uint64_t n) { return rng_below(&s->r, n); }

/* A small machine: TLBs and caches that everything falls out of. */
static struct rig *small_rig(void)
{
	struct rig *r = calloc(1, sizeof *r);
	struct profile *p = &r->profile;
	profile_defaults(p);
	p->dtlb_4k = 4, p->dtlb_4k_ways = 2, p->dtlb_2m = 2, p->dtlb_2m_ways = 2, p->dtlb_1g = 0;
	p->itlb_4k = 4, p->itlb_4k_ways = 4, p->itlb_2m = 0;
	p->stlb_4k = 12, p->stlb_4k_ways = 3, p->stlb_1g = 0;
	p->pml5_cache = 1, p->pml4_cache = 1, p->pdpt_cache = 2, p->pd_cache = 2;
	p->l1d_size = p->l1i_size = 4096, p->l1d_ways = p->l1i_ways = 2;
	p->l2_size = 65536, p->l2_ways = 2, p->l3_size = 131072, p->l3_ways = 4;
	rig_start_with(r, 1);
	return r;
}

/* Linear addresses that share tables at every level, collide in sets, and include a large-page region. */
static uint64_t page_lin(enum rig_mode mode, unsigned i)
{
	static const uint64_t wide[] = { 0x400000, 0x600000, 0x40000000, 0x7f1200000000, 0xffff800000000000, 0x8000000000 };
	static const uint64_t narrow[] = { 0x400000, 0x800000, 0x40000000, 0x80000000, 0xc0000000, 0xfffff000 };
	uint64_t base = mode >= RIG_LONG4 ? wide[i % 6] : narrow[i % 6];
	uint64_t lin = base + i / 6 * PAGE_SIZE;
	return mode >= RIG_LONG4 ? lin : lin & MASK(32);
}

static uint64_t random_leaf(struct op_source *s, enum rig_mode mode)
{
	uint64_t e = RIG_DATA + below(s, FRAMES) * PAGE_SIZE;
	e |= below(s, 8) ? PTE_P : 0;
	e |= below(s, 4) ? PTE_RW : 0;
	e |= below(s, 3) ? PTE_US : 0;
	e |= below(s, 3) ? 0 : PTE_G;
	e |= below(s, 2) ? PTE_A : 0;
	e |= below(s, 2) ? PTE_D : 0;
	if (mode != RIG_LEGACY && !below(s, 6))
		e |= PTE_XD;
	if (mode >= RIG_LONG4)
		e |= below(s, 2) << 59;
	return e;
}

static void edit(struct rig *r, struct op_source *s, enum rig_mode mode)
{
	unsigned i = (unsigned)below(s, PAGES);
	uint64_t lin = page_lin(mode, i);
	if (i % 6 == 3 && !below(s, 2)) {       /* this region's PDE may become a large page and back */
		uint64_t at = rig_entry(r, mode, RIG_ROOT, lin, 2), e = rig_get(r, mode, at);
		static uint64_t table[5];
		if (e & PTE_PS) {
			rig_put(r, mode, at, table[mode]);
		} else {
			table[mode] = e;
			uint64_t size = mode == RIG_LEGACY ? 4 << 20 : 2 << 20;
			rig_put(r, mode, at, (RIG_DATA & ~(size - 1)) | PTE_PS | RWU | (below(s, 2) ? PTE_G : 0));
		}
		return;
	}
	uint64_t pde_at = rig_entry(r, mode, RIG_ROOT, lin, 2);
	if (rig_get(r, mode, pde_at) & PTE_PS)
		return;
	if (!below(s, 6)) {                     /* rights above the leaf */
		rig_put(r, mode, pde_at, rig_get(r, mode, pde_at) ^ (below(s, 2) ? PTE_RW : PTE_US));
		return;
	}
	rig_put(r, mode, rig_entry(r, mode, RIG_ROOT, lin, 1), random_leaf(s, mode));
}

struct access { uint64_t lin; unsigned size, flags; uint64_t value; };

static struct access random_access(struct op_source *s, enum rig_mode mode)
{
	static const unsigned kinds[] = { ACC_READ, ACC_READ, ACC_WRITE, ACC_WRITE, ACC_EXEC, ACC_READ | ACC_IMPLICIT, ACC_RMW, ACC_WRITE | ACC_IMPLICIT };
	struct access a = { .lin = page_lin(mode, (unsigned)below(s, PAGES)) + below(s, 0x1000) };
	a.size = (unsigned)1 << below(s, 4);
	a.flags = kinds[below(s, ARRAY_LEN(kinds))];
	a.value = rng_u64(&s->r);
	if (a.flags & ACC_EXEC || (!below(s, 8) && mode != RIG_LEGACY && a.lin < 0xfffff000))
		a.size = a.flags & ACC_EXEC ? 1 : 8;
	else if ((a.lin & 0xfff) + a.size > 0x1000)
		a.lin -= a.size;
	return a;
}

/* As the CPU does it: the inline way first. */
static int perform(struct mmu *m, struct access *a, hpa_t *pa, struct mmu_fault *f)
{
	memset(f, 0, sizeof *f);
	*pa = HPA(0);
	if (a->flags & ACC_EXEC)
		return mmu_fetch(m, a->lin, pa, f);
	enum touch write = a->flags & ACC_RMW ? TOUCH_RMW : a->flags & ACC_WRITE ? TOUCH_STORE : TOUCH_LOAD;
	unsigned who = a->flags & ACC_IMPLICIT ? 0 : m->user ? ACC_USER : 0;
	void *p = a->flags & ACC_IMPLICIT ? NULL : mmu_fast(m, a->lin, a->size, write);
	if (p) {
		if (a->flags & ACC_WRITE)
			memcpy(p, &a->value, a->size);
		else
			a->value = 0, memcpy(&a->value, p, a->size);
		return 0;
	}
	if (a->flags & ACC_WRITE)
		return mmu_write(m, a->lin, &a->value, a->size, a->flags | who, f);
	a->value = 0;
	return mmu_read(m, a->lin, &a->value, a->size, a->flags | who, f);
}

static void build(struct rig *r, struct op_source *s, enum rig_mode mode)
{
	for (unsigned i = 0; i < FRAMES; i++)
		for (unsigned k = 0; k < PAGE_SIZE; k += 8)
			mem_write64(&r->mem, HPA(RIG_DATA + i * PAGE_SIZE + k), (uint64_t)i << 32 | k);
	for (unsigned i = 0; i < PAGES; i++)
		rig_put(r, mode, rig_entry(r, mode, RIG_ROOT, page_lin(mode, i), 1), random_leaf(s, mode));
	rig_paging(r->m[0], mode, CR0_WP, CR4_PSE | CR4_PGE, EFER_NXE);
}

/* ---- twins ---- */

static void twins(enum rig_mode mode, bool detailed, uint64_t seed)
{
	struct rig *r[2] = { small_rig(), small_rig() };
	struct op_source s;
	rng_init(&s.r, seed, "twins");
	struct op_source b[2] = { s, s };
	for (unsigned k = 0; k < 2; k++) {
		build(r[k], &b[k], mode);
		mmu_set_detailed(r[k]->m[0], detailed);
	}
	s = b[0];
	uint64_t fast = 0;
	for (unsigned step = 0; step < 60000; step++) {
		unsigned op = (unsigned)below(&s, 64);
		struct op_source at = s;
		struct access a[2];
		struct mmu_fault f[2] = { { 0 } };
		int got[2] = { 0 };
		hpa_t pa[2] = { HPA(0), HPA(0) };
		for (unsigned k = 0; k < 2; k++) {
			struct mmu *m = r[k]->m[0];
			s = at;
			if (k == 1)
				mmu_drop_soft(m);
			if (op == 0) {
				edit(r[k], &s, mode);
			} else if (op == 1) {
				mmu_invlpg(m, page_lin(mode, (unsigned)below(&s, PAGES)));
			} else if (op == 2) {
				uint64_t pcid = m->cr4 & CR4_PCIDE ? below(&s, 3) | (below(&s, 2) ? CR3_KEEP : 0) : 0;
				mmu_set_cr3(m, RIG_ROOT | pcid);
			} else if (op == 3) {
				mmu_invpcid(m, (enum invpcid_type)below(&s, 4), (unsigned)below(&s, 3), page_lin(mode, (unsigned)below(&s, PAGES)));
			} else if (op == 4) {
				static const uint64_t bit[] = { CR4_SMEP, CR4_SMAP, CR4_PGE, CR4_PKE, CR4_PCIDE };
				uint64_t flip = bit[below(&s, mode >= RIG_LONG4 ? 5 : 3)];
				if (flip == CR4_PCIDE)
					mmu_set_cr3(m, RIG_ROOT);
				mmu_set_paging(m, m->cr0 ^ (below(&s, 2) ? CR0_WP : 0), m->cr4 ^ flip, m->efer);
			} else if (op == 5) {
				mmu_set_pkru(m, (uint32_t)below(&s, 16));
			} else if (op < 10) {
				bool user = below(&s, 2), ac = below(&s, 2);
				mmu_set_cpl(m, user, ac, !below(&s, 8));
			} else if (op == 10) {
				mem_flag_set(&r[k]->mem, HPA(RIG_DATA + below(&s, FRAMES) * PAGE_SIZE), PAGE_CODE);
				mmu_drop_writable(m, HPA(RIG_DATA + below(&s, FRAMES) * PAGE_SIZE));
			} else {
				a[k] = random_access(&s, mode);
				const struct soft_tlb_entry *e = &m->soft[(a[k].lin >> 12) & (SOFT_TLB_N - 1)];
				fast += k == 0 && e->tag_r == ((a[k].lin & PAGE_MASK) | m->generation);
				got[k] = perform(m, &a[k], &pa[k], &f[k]);
			}
		}
		cr_assert(eq(int, got[0], got[1]), "step %u", step);
		cr_assert(eq(int, memcmp(&f[0], &f[1], sizeof f[0]), 0), "step %u", step);
		cr_assert(eq(u64, pa[0].v, pa[1].v), "step %u", step);
		if (op > 10)
			cr_assert(eq(u64, a[0].value, a[1].value), "step %u", step);
		cr_assert(eq(u64, r[0]->ledger[0].now, r[1]->ledger[0].now), "step %u op %u", step, op);
		if (step % 500)
			continue;
		cr_assert(eq(int, memcmp(r[0]->m[0]->tlbs->state, r[1]->m[0]->tlbs->state, r[0]->m[0]->tlbs->state_size), 0), "step %u", step);
		cr_assert(eq(int, memcmp(r[0]->caches->words, r[1]->caches->words, r[0]->caches->words_n * 8), 0), "step %u", step);
	}
	cr_assert(eq(int, memcmp(r[0]->m[0]->stat, r[1]->m[0]->stat, sizeof r[0]->m[0]->stat), 0));
	cr_assert(eq(int, memcmp(r[0]->mem.ram, r[1]->mem.ram, RIG_RAM), 0));
	cr_assert(ledger_audit(&r[0]->ledger[0]));
	cr_assert(fast > 1000, "the soft TLB hardly ever hit: %llu", (unsigned long long)fast);
	rig_free(r[0]);
	rig_free(r[1]);
}
#define TWINS(name, mode) \
Test(property, twins_##name##_detailed, .timeout = 60) { twins(mode, true, 1); twins(mode, true, 2); } \
Test(property, twins_##name##_fast, .timeout = 60)     { twins(mode, false, 3); }
TWINS(legacy, RIG_LEGACY)
TWINS(pae,    RIG_PAE)
TWINS(four,   RIG_LONG4)
TWINS(five,   RIG_LONG5)

/* ---- against the plain walker ---- */

static struct ref_regs regs_of(const struct rig *r, enum rig_mode mode)
{
	const struct mmu *m = r->m[0];
	struct ref_regs g = {
		.mode = (int)rig_levels(mode), .wp = m->cr0 & CR0_WP, .pse = m->cr4 & CR4_PSE, .smep = m->cr4 & CR4_SMEP,
		.smap = m->cr4 & CR4_SMAP, .pke = m->cr4 & CR4_PKE, .nxe = m->efer & EFER_NXE, .ac = m->ac, .pkru = (uint32_t)m->pkru,
		.phys_bits = (unsigned)r->profile.phys_bits, .cr3 = m->cr3,
	};
	memcpy(g.pdpte, m->pdpte, sizeof g.pdpte);
	return g;
}

static unsigned flags_of(const struct mmu *m, const struct access *a)
{
	return a->flags | (m->user && !(a->flags & ACC_IMPLICIT) ? ACC_USER : 0);
}

static uint64_t bytes_at(struct rig *r, uint64_t pa, unsigned size)
{
	uint64_t v = 0;
	mem_peek(&r->mem, HPA(pa), &v, size);
	return v;
}

static void exact(enum rig_mode mode, bool detailed, uint64_t seed)
{
	struct rig *r = small_rig();
	struct mmu *m = r->m[0];
	struct op_source s;
	rng_init(&s.r, seed, "exact");
	build(r, &s, mode);
	mmu_set_detailed(m, detailed);
	unsigned faults = 0;
	for (unsigned step = 0; step < 60000; step++) {
		unsigned op = (unsigned)below(&s, 64);
		if (op == 0) {
			edit(r, &s, mode);
			if (m->cr4 & CR4_PCIDE || below(&s, 2)) {
				mmu_invpcid(m, INVPCID_ALL_GLOBAL, 0, 0);
			} else {
				/* upper entries too: INVLPG of every page below does */
				for (unsigned i = 0; i < PAGES; i++)
					mmu_invlpg(m, page_lin(mode, i));
			}
		} else if (op == 1) {
			uint64_t pcid = m->cr4 & CR4_PCIDE ? below(&s, 3) | (below(&s, 2) ? CR3_KEEP : 0) : 0;
			mmu_set_cr3(m, RIG_ROOT | pcid);
		} else if (op == 2) {
			static const uint64_t bit[] = { CR4_SMEP, CR4_SMAP, CR4_PGE, CR4_PKE, CR4_PCIDE };
			uint64_t flip = bit[below(&s, mode >= RIG_LONG4 ? 5 : 3)];
			if (flip == CR4_PCIDE)
				mmu_set_cr3(m, RIG_ROOT);
			mmu_set_paging(m, m->cr0 ^ (below(&s, 2) ? CR0_WP : 0), m->cr4 ^ flip, m->efer ^ (mode != RIG_LEGACY && !below(&s, 4) ? EFER_NXE : 0));
		} else if (op == 3) {
			mmu_set_pkru(m, (uint32_t)below(&s, 16));
		} else if (op < 8) {
			bool user = below(&s, 2), ac = below(&s, 2);
			mmu_set_cpl(m, user, ac, !below(&s, 8));
		} else {
			struct access a = random_access(&s, mode);
			struct mmu_fault f;
			hpa_t pa;
			uint64_t page = a.lin & PAGE_MASK, next = page + PAGE_SIZE;
			if (mode < RIG_LONG4)
				next &= MASK(32);
			unsigned first = a.size, flags = flags_of(m, &a);
			if ((a.lin & 0xfff) + a.size > PAGE_SIZE)
				first = PAGE_SIZE - (a.lin & 0xfff);
			struct ref_regs g = regs_of(r, mode);
			struct ref_out w1 = ref_translate(&r->mem, &g, a.lin, flags), w2 = { 0 };
			uint64_t where = a.lin;
			if (!w1.fault && first < a.size) {
				w2 = ref_translate(&r->mem, &g, next, flags);
				where = next;
			}
			bool fault = w1.fault || w2.fault;
			uint64_t v = fault || a.flags & ACC_EXEC ? 0 : bytes_at(r, w1.pa, first);
			if (!fault && first < a.size)
				v |= bytes_at(r, w2.pa, a.size - first) << 8 * first;
			uint64_t written = a.value & MASK(8 * a.size);
			int got = perform(m, &a, &pa, &f);
			cr_assert(eq(int, got != 0, fault), "step %u lin %#llx flags %#x", step, (unsigned long long)a.lin, flags);
			if (fault) {
				faults++;
				cr_assert(eq(u32, f.error_code, w1.fault ? w1.code : w2.code), "step %u", step);
				cr_assert(eq(u64, f.lin, w1.fault ? a.lin : where), "step %u", step);
			} else if (a.flags & ACC_EXEC) {
				cr_assert(eq(u64, pa.v, w1.pa), "step %u", step);
			} else if (a.flags & ACC_WRITE) {
				uint64_t now = bytes_at(r, w1.pa, first);
				if (first < a.size)
					now |= bytes_at(r, w2.pa, a.size - first) << 8 * first;
				/* the two halves may be one frame twice */
				if (first == a.size || (w1.pa ^ w2.pa) >> 12)
					cr_assert(eq(u64, now, written), "step %u", step);
			} else {
				cr_assert(eq(u64, a.value, v), "step %u", step);
			}
			for (unsigned i = 0; i < w1.n && !w1.fault; i++)
				cr_assert(eq(u64, rig_get(r, mode, w1.after[i].at) & (PTE_A | PTE_D), (w1.after[i].value | rig_get(r, mode, w1.after[i].at)) & (PTE_A | PTE_D)),
				          "step %u entry %u", step, i);
			for (unsigned i = 0; i < w1.n && first == a.size; i++)
				cr_assert(eq(u64, rig_get(r, mode, w1.after[i].at), mode == RIG_LEGACY ? (uint32_t)w1.after[i].value : w1.after[i].value), "step %u entry %u", step, i);
		}
	}
	cr_assert(faults > 1000);
	cr_assert(ledger_audit(&r->ledger[0]));
	for (unsigned i = 0; i < SOFT_TLB_N; i++)
		cr_assert(m->table[SOFT_SLOW][i].tag_r == ~0ull && m->table[SOFT_SLOW][i].tag_w == ~0ull);
	rig_free(r);
}
#define EXACT(name, mode) \
Test(property, exact_##name##_detailed, .timeout = 60) { exact(mode, true, 11); exact(mode, true, 12); } \
Test(property, exact_##name##_fast, .timeout = 60)     { exact(mode, false, 13); }
EXACT(legacy, RIG_LEGACY)
EXACT(pae,    RIG_PAE)
EXACT(four,   RIG_LONG4)
EXACT(five,   RIG_LONG5)

/* ---- stale translations ---- */

static void stale(enum rig_mode mode, bool detailed, uint64_t seed)
{
	enum { HISTORY = 64 };
	static uint64_t seen[PAGES][HISTORY];
	static unsigned n[PAGES];
	struct rig *r = small_rig();
	struct mmu *m = r->m[0];
	struct op_source s;
	rng_init(&s.r, seed, "stale");
	build(r, &s, mode);
	mmu_set_detailed(m, detailed);
	for (unsigned i = 0; i < PAGES; i++)
		n[i] = 0;
	unsigned old = 0;
	for (unsigned step = 0; step < 40000; step++) {
		unsigned i = (unsigned)below(&s, PAGES), op = (unsigned)below(&s, 16);
		uint64_t lin = page_lin(mode, i) + (below(&s, 0xff8) & ~7ull), at = rig_entry(r, mode, RIG_ROOT, lin, 1);
		if (op == 0 && n[i] < HISTORY) {
			seen[i][n[i]++] = rig_get(r, mode, at);
			rig_put(r, mode, at, random_leaf(&s, mode));
			continue;
		}
		if (op == 1 || n[i] == HISTORY) {
			mmu_invlpg(m, lin);
			n[i] = 0;
			continue;
		}
		mmu_set_cpl(m, below(&s, 2), false, false);
		struct access a = { .lin = lin, .size = 8, .flags = below(&s, 2) ? ACC_RMW : ACC_READ };
		struct mmu_fault f;
		hpa_t pa;
		struct ref_regs g = regs_of(r, mode);
		unsigned flags = flags_of(m, &a);
		struct ref_out now = ref_translate(&r->mem, &g, lin, flags);
		/* frames hold (frame << 32 | offset): the value read tells where it came from */
		if (perform(m, &a, &pa, &f)) {
			cr_assert(now.fault, "step %u: a fault memory does not warrant", step);
			cr_assert(eq(u32, f.error_code, now.code), "step %u", step);
			n[i] = 0;       /* "a page-fault exception invalidates..." */
			continue;
		}
		bool fits = !now.fault && bytes_at(r, now.pa, 8) == a.value;
		uint64_t present = rig_get(r, mode, at);
		for (unsigned k = 0; !fits && k < n[i]; k++) {
			rig_put(r, mode, at, seen[i][k]);
			struct ref_out then = ref_translate(&r->mem, &g, lin, flags);
			fits = !then.fault && bytes_at(r, then.pa, 8) == a.value;
			old += fits;
		}
		rig_put(r, mode, at, present);
		cr_assert(fits, "step %u: read %#llx through a translation that never was", step, (unsigned long long)a.value);
	}
	cr_assert(old > 10, "no stale translation was ever used: the TLB does nothing");
	rig_free(r);
}
Test(property, stale_legacy, .timeout = 60) { stale(RIG_LEGACY, true, 21); }
Test(property, stale_pae, .timeout = 60) { stale(RIG_PAE, true, 22); }
Test(property, stale_four, .timeout = 60) { stale(RIG_LONG4, true, 23); }
Test(property, stale_five_fast, .timeout = 60) { stale(RIG_LONG5, false, 24); }
