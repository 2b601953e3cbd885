/* Random programs of accesses under several guests and the root, edits of both dimensions' tables with the invalidation the SDM
 * asks for, and invalidations nobody asked for. Each access is what the plain walker of ref2d.h says: address or fault with all
 * its fields, flags, log. A twin whose soft TLB is dropped before every step behaves, times and ends exactly alike. */
#include "tests/unit/mmu/ept_rig.h"
#include "tests/unit/mmu/ref2d.h"

#define PAGES   24
#define FRAMES  12
#define EPT_2   0x3200000ull
#define LOG     0x3400000ull
#define GUESTS  6               /* and the root */

struct world {
	struct rig *r[2];
	struct ref2d ref;
	struct ept_rig ept[2];          /* of rig 0; the same addresses in the other */
	struct { uint64_t data[FRAMES], table[64], on[8], pde, pages; unsigned tables, ons; } at[2];    /* where their entries are */
	struct mmu_guest guest[GUESTS];
	enum rig_mode mode;
	unsigned now;                   /* guest in force; GUESTS: the root */
	struct rng rng;
};

static uint64_t below(struct world *w, uint64_t n) { return rng_below(&w->rng, n); }

static uint64_t page_lin(enum rig_mode mode, unsigned i)
{
	static const uint64_t wide[] = { 0x400000, 0x600000, 0x40000000, 0x7f1200000000, 0xffff800000000000, 0x8000000000 };
	static const uint64_t narrow[] = { 0x400000, 0x800000, 0x40000000, 0x80000000, 0xc0000000, 0xfffff000 };
	if (mode == RIG_OFF)
		return RIG_DATA + i % FRAMES * PAGE_SIZE;
	uint64_t lin = (mode >= RIG_LONG4 ? wide : narrow)[i % 6] + i / 6 * PAGE_SIZE;
	return mode >= RIG_LONG4 ? lin : lin & MASK(32);
}

static struct rig *small_rig(bool combined)
{
	struct rig *r = calloc(1, sizeof *r);
	struct profile *p = &r->profile;
	profile_defaults(p);
	p->dtlb_4k = 4, p->dtlb_4k_ways = 2, p->dtlb_2m = 2, p->dtlb_2m_ways = 2, p->dtlb_1g = 0;
	p->itlb_4k = 4, p->itlb_4k_ways = 4, p->itlb_2m = 0;
	p->stlb_4k = 12, p->stlb_4k_ways = 3, p->stlb_1g = 0;
	p->pml5_cache = 1, p->pml4_cache = 1, p->pdpt_cache = 2, p->pd_cache = 2;
	p->nested_tlb = 3, p->ept_psc = 2, p->psc_combined = combined;
	p->l1d_size = p->l1i_size = 4096, p->l1d_ways = p->l1i_ways = 2;
	p->l2_size = 65536, p->l2_ways = 2, p->l3_size = 131072, p->l3_ways = 4;
	rig_start_with(r, 1);
	return r;
}

/* A table entry changes: in both machines and in the reference's memory. */
static void poke(struct world *w, uint64_t at, uint64_t v, unsigned n)
{
	for (unsigned k = 0; k < 2; k++)
		mem_write(&w->r[k]->mem, HPA(at), &v, n);
	memcpy(w->ref.ram + at, &v, n);
}

static uint64_t random_leaf(struct world *w)
{
	uint64_t e = RIG_DATA + below(w, FRAMES) * PAGE_SIZE;
	e |= below(w, 8) ? PTE_P : 0;
	e |= below(w, 4) ? PTE_RW : 0;
	e |= below(w, 3) ? PTE_US : 0;
	e |= below(w, 3) ? 0 : PTE_G;
	e |= below(w, 2) ? PTE_A : 0;
	e |= below(w, 2) ? PTE_D : 0;
	if (w->mode != RIG_LEGACY)
		e |= below(w, 6) ? 0 : PTE_XD;
	if (w->mode != RIG_LEGACY && !below(w, 30))
		e |= BIT(50);
	return e;
}

static void edit_guest(struct world *w)
{
	struct rig *r = w->r[0];
	unsigned bytes = w->mode == RIG_LEGACY ? 4 : 8;
	uint64_t lin = page_lin(w->mode, (unsigned)below(w, PAGES));
	if (below(w, 5)) {
		poke(w, rig_entry(r, w->mode, RIG_ROOT, lin, 1), random_leaf(w), bytes);
		return;
	}
	uint64_t at = rig_entry(r, w->mode, RIG_ROOT, lin, 2), e = rig_get(r, w->mode, at);
	poke(w, at, e ^ (below(w, 3) == 0 ? PTE_A : below(w, 2) ? PTE_RW : PTE_US), bytes);
}

/* Rights and flags of a leaf: mostly harmless. */
static uint64_t random_ept_flags(struct world *w)
{
	uint64_t e = below(w, 2) ? EPT_LEAF | EPT_XU : below(w, 8) | (below(w, 2) ? EPT_XU : 0) | EPT_WB;
	if (!below(w, 3))
		e |= EPT_R | EPT_W;
	if (!below(w, 12))
		e = (e & ~(7ull << 3)) | below(w, 8) << 3;
	if (!below(w, 20))
		e |= BIT(47);
	return e | (below(w, 2) ? EPT_A : 0) | (below(w, 2) ? EPT_D : 0) | (below(w, 2) ? EPT_SVE : 0) | (below(w, 4) ? 0 : BIT(6));
}

static void edit_ept(struct world *w)
{
	const unsigned k = (unsigned)below(w, 2), what = (unsigned)below(w, 8);
	struct rig *r = w->r[0];
	if (what < 4) {                         /* a data page */
		poke(w, w->at[k].data[below(w, FRAMES)], (RIG_DATA + below(w, FRAMES) * PAGE_SIZE) | random_ept_flags(w), 8);
	} else if (what < 6) {                  /* a page of guest tables */
		unsigned i = (unsigned)below(w, w->at[k].tables);
		uint64_t sane = EPT_LEAF | EPT_XU | (below(w, 2) ? EPT_A : 0) | (below(w, 2) ? EPT_D : 0);
		poke(w, w->at[k].table[i], (RIG_ROOT + i * PAGE_SIZE) | (below(w, 4) ? sane : random_ept_flags(w)), 8);
	} else if (what == 6) {                 /* the data region's 2 MB as one page, and back */
		bool large = mem_read64(&r->mem, HPA(w->at[k].pde)) & EPT_PS;
		poke(w, w->at[k].pde, large ? w->at[k].pages : RIG_DATA | EPT_PS | random_ept_flags(w), 8);
	} else {                                /* an entry that leads on */
		uint64_t at = w->at[k].on[below(w, w->at[k].ons)], v = mem_read64(&r->mem, HPA(at));
		static const uint64_t odd[] = { EPT_W, EPT_X, EPT_XU, EPT_A, EPT_A, EPT_A, BIT(4), EPT_SVE, BIT(51) };
		uint64_t bit = odd[below(w, ARRAY_LEN(odd))];
		if (!(v & EPT_PS))
			poke(w, at, below(w, 3) ? (v | EPT_RWX | EPT_XU) & ~(BIT(4) | BIT(51)) : v ^ bit, 8);
	}
}

static void each(struct world *w, void (*f)(struct mmu *m, const uint64_t a[4]), const uint64_t a[4])
{
	for (unsigned k = 0; k < 2; k++)
		f(w->r[k]->m[0], a);
}
static void do_forget_guests(struct mmu *m, const uint64_t a[4])
{
	(void)a;
	mmu_invvpid(m, INVVPID_ALL, 0, 0);
	mmu_invvpid(m, INVVPID_SINGLE, 0, 0);
}
static void do_invept(struct mmu *m, const uint64_t a[4]) { mmu_invept(m, (enum invept_type)a[0], a[1]); }
static void do_invvpid(struct mmu *m, const uint64_t a[4]) { mmu_invvpid(m, (enum invvpid_type)a[0], (unsigned)a[1], a[2]); }
static void do_invlpg(struct mmu *m, const uint64_t a[4]) { mmu_invlpg(m, a[0]); }
static void do_invpcid(struct mmu *m, const uint64_t a[4]) { mmu_invpcid(m, (enum invpcid_type)a[0], 0, a[1]); }
static void do_cr3(struct mmu *m, const uint64_t a[4]) { (void)a; cr_assert(eq(int, mmu_set_cr3(m, RIG_ROOT), 0)); }
static void do_cpl(struct mmu *m, const uint64_t a[4]) { mmu_set_cpl(m, a[0], a[1], a[2]); }

static void enter(struct world *w, unsigned guest, uint64_t bits)
{
	struct ref2d *f = &w->ref;
	uint64_t cr0 = bits & 1 ? CR0_WP : 0, cr4 = CR4_PSE | CR4_PGE | (bits & 2 ? CR4_SMEP : 0) | (bits & 4 ? CR4_SMAP : 0), efer = EFER_NXE;
	if (w->mode >= RIG_PAE)
		cr4 |= CR4_PAE;
	if (w->mode >= RIG_LONG4)
		efer |= EFER_LMA;
	if (w->mode == RIG_LONG5)
		cr4 |= CR4_LA57;
	const bool paged = w->mode != RIG_OFF;
	for (unsigned k = 0; k < 2; k++) {
		struct mmu *m = w->r[k]->m[0];
		/* out of one guest before into another, as through the root */
		if (guest < GUESTS && m->in_guest)
			mmu_set_guest(m, NULL);
		mmu_set_guest(m, guest < GUESTS ? &w->guest[guest] : NULL);
		cr_assert(eq(int, mmu_load_paging(m, cr0 | (paged ? CR0_PG : 0), RIG_ROOT, cr4, efer, f->pdpte), 0));
	}
	const struct mmu_guest *g = &w->guest[guest];
	w->now = guest;
	f->ept = guest < GUESTS && g->ept;
	if (f->ept) {
		const struct ept_rig *e = &w->ept[(g->eptp & PAGE_MASK) == EPT_2];
		f->levels = e->levels;
		f->root = e->root;
		f->flags = g->eptp & EPTP_AD;
		f->modes = g->mode_execute;
		f->log = f->flags && g->pml_on;
		f->pml_index = g->pml_index;
	}
	f->wp = bits & 1;
	f->smep = paged && bits & 2;
	f->smap = paged && bits & 4;
}

static uint64_t bytes_of(const struct rig *r, uint64_t pa, unsigned n)
{
	uint64_t v = 0;
	memcpy(&v, r->mem.ram + pa, n);
	return v;
}

/* As the CPU does it: the inline way first. */
static int perform(struct mmu *m, uint64_t lin, unsigned size, unsigned access, uint64_t *v, hpa_t *pa, struct mmu_fault *f)
{
	memset(f, 0, sizeof *f);
	*pa = HPA(0);
	if (access & ACC_EXEC)
		return mmu_fetch(m, lin, pa, f);
	void *p = access & ACC_IMPLICIT ? NULL : mmu_fast(m, lin, size, access & (ACC_WRITE | ACC_RMW));
	if (p && access & ACC_WRITE)
		memcpy(p, v, size);
	else if (p)
		*v = 0, memcpy(v, p, size);
	else if (access & ACC_WRITE)
		return mmu_write(m, lin, v, size, access, f);
	else
		return *v = 0, mmu_read(m, lin, v, size, access, f);
	return 0;
}

struct tally { unsigned ok, pf, violation, misconfig, full, soft; };

static void access_once(struct world *w, unsigned step, struct tally *t)
{
	static const unsigned kinds[] = { ACC_READ, ACC_READ, ACC_WRITE, ACC_WRITE, ACC_EXEC, ACC_READ | ACC_IMPLICIT, ACC_RMW, ACC_WRITE | ACC_IMPLICIT };
	unsigned access = kinds[below(w, ARRAY_LEN(kinds))], size = (unsigned)1 << below(w, 4);
	uint64_t lin = page_lin(w->mode, (unsigned)below(w, PAGES)) + below(w, 0xff8), value = rng_u64(&w->rng) & MASK(8 * size), got[2];
	hpa_t pa[2];
	struct mmu_fault f[2];
	int failed[2];
	if (w->r[0]->m[0]->user && !(access & ACC_IMPLICIT))
		access |= ACC_USER;
	w->ref.ac = w->r[0]->m[0]->ac;
	struct ref2d_out want = ref2d_translate(&w->ref, lin, access);
	uint64_t expect = want.kind == MMU_OK ? bytes_of(w->r[0], want.hpa, size) : 0;
	const struct soft_tlb_entry *e = &w->r[0]->m[0]->soft[(lin >> 12) & (SOFT_TLB_N - 1)];
	t->soft += e->tag_r == ((lin & PAGE_MASK) | w->r[0]->m[0]->generation);
	for (unsigned k = 0; k < 2; k++) {
		got[k] = value;
		failed[k] = perform(w->r[k]->m[0], lin, size, access, &got[k], &pa[k], &f[k]);
	}
	cr_assert(eq(int, failed[0], failed[1]), "step %u", step);
	cr_assert(eq(int, memcmp(&f[0], &f[1], sizeof f[0]), 0), "step %u", step);
	cr_assert(eq(u64, got[0], got[1]), "step %u", step);
	cr_assert(eq(u64, pa[0].v, pa[1].v), "step %u", step);
	cr_assert(eq(u32, f[0].kind, (uint32_t)want.kind), "step %u guest %u lin %#llx access %#x qual %#llx gpa %#llx", step, w->now,
	          (unsigned long long)lin, access, (unsigned long long)want.qual, (unsigned long long)want.gpa);
	switch (want.kind) {
	case MMU_OK:
		t->ok++;
		if (access & ACC_EXEC)
			cr_assert(eq(u64, pa[0].v, want.hpa), "step %u", step);
		else if (access & ACC_WRITE)
			cr_assert(eq(u64, bytes_of(w->r[0], want.hpa, size), value), "step %u", step);
		else
			cr_assert(eq(u64, got[0], expect), "step %u guest %u", step, w->now);
		return;
	case MMU_PF:
		t->pf++;
		cr_assert(eq(u32, f[0].error_code, want.code), "step %u", step);
		break;
	case MMU_EPT_VIOLATION:
		t->violation++;
		cr_assert(eq(u64, f[0].qualification, want.qual), "step %u", step);
		cr_assert(eq(u64, f[0].suppress_ve, (uint64_t)want.sve), "step %u", step);
		break;
	case MMU_EPT_MISCONFIG:
		t->misconfig++;
		break;
	default:
		t->full++;
		break;
	}
	cr_assert(eq(u64, f[0].lin, lin), "step %u", step);
	if (want.kind != MMU_PF)
		cr_assert(eq(u64, f[0].gpa.v, want.gpa), "step %u", step);
}

static void compare_tables(const struct world *w, unsigned step)
{
	const uint64_t area[][2] = { { RIG_ROOT, w->r[0]->next_table }, { EPT_ROOT, w->ept[0].next }, { EPT_2, w->ept[1].next }, { LOG, LOG + 4096 } };
	for (unsigned i = 0; i < ARRAY_LEN(area); i++)
		for (uint64_t at = area[i][0]; at < area[i][1]; at += 8)
			cr_assert(eq(u64, bytes_of(w->r[0], at, 8), ref2d_get(&w->ref, at, 8)), "step %u: %#llx", step, (unsigned long long)at);
	cr_assert(eq(int, memcmp(w->r[0]->m[0]->tlbs->state, w->r[1]->m[0]->tlbs->state, w->r[0]->m[0]->tlbs->state_size), 0), "step %u", step);
	cr_assert(eq(int, memcmp(w->r[0]->caches->words, w->r[1]->caches->words, w->r[0]->caches->words_n * 8), 0), "step %u", step);
}

static void build(struct world *w, enum rig_mode mode, unsigned seed)
{
	rng_init(&w->rng, seed, "ept");
	w->mode = mode;
	for (unsigned k = 0; k < 2; k++)
		w->r[k] = small_rig(seed % 2);
	struct rig *r = w->r[0];
	for (unsigned i = 0; i < FRAMES; i++)
		for (unsigned k = 0; k < PAGE_SIZE; k += 8)
			mem_write64(&r->mem, HPA(RIG_DATA + i * PAGE_SIZE + k), (uint64_t)i << 32 | k);
	for (unsigned i = 0; i < PAGES && mode; i++)
		rig_put(r, mode, rig_entry(r, mode, RIG_ROOT, page_lin(mode, i), 1), random_leaf(w));
	for (unsigned k = 0; k < 2; k++) {
		struct ept_rig *e = &w->ept[k];
		*e = ept_rig_at(r, 4 + (seed + k) / 2 % 2, k ? EPT_2 : EPT_ROOT);
		for (uint64_t at = RIG_ROOT; at < r->next_table; at += PAGE_SIZE)
			w->at[k].table[w->at[k].tables++] = ept_map(e, at, 1, at, EPT_LEAF | EPT_XU);
		for (unsigned i = 0; i < FRAMES; i++)
			w->at[k].data[i] = ept_map(e, RIG_DATA + i * PAGE_SIZE, 1, RIG_DATA + (i * 5 + k) % FRAMES * PAGE_SIZE, EPT_LEAF | EPT_XU);
		w->at[k].pde = ept_entry(e, RIG_DATA, 2);
		w->at[k].pages = mem_read64(&r->mem, HPA(w->at[k].pde));
		for (unsigned level = 2; level <= e->levels; level++) {
			w->at[k].on[w->at[k].ons++] = ept_entry(e, RIG_ROOT, level);
			if (level == 2)
				w->at[k].on[w->at[k].ons++] = ept_entry(e, RIG_DATA, level);
		}
	}
	memcpy(w->r[1]->mem.ram, r->mem.ram, 0x4000000);
	w->ref = (struct ref2d){ .ram = malloc(RIG_RAM), .phys_bits = 46, .mode = mode ? (int)rig_levels(mode) : 0, .nxe = mode != RIG_OFF, .cr3 = RIG_ROOT,
	                         .pml = LOG, .x_only = seed % 3 != 0, .advanced = seed % 2 };
	memcpy(w->ref.ram, r->mem.ram, RIG_RAM);
	memcpy(w->ref.pdpte, r->mem.ram + RIG_ROOT, 32);
	static const uint8_t vpid[GUESTS] = { 1, 1, 2, 0, 0, 3 };
	for (unsigned i = 0; i < GUESTS; i++) {
		struct mmu_guest *g = &w->guest[i];
		const unsigned k = i % 2;
		*g = ept_guest(&w->ept[k], k ^ (seed / 2 % 2), vpid[i]);
		g->mode_execute = k ^ (seed / 4 % 2);
		g->pml_on = seed % 2;
		g->pml = LOG;
		g->pml_index = 511;
		if (i >= 4)
			*g = (struct mmu_guest){ .apic_access = MMU_NO_PAGE, .vpid = vpid[i] };
	}
	for (unsigned k = 0; k < 2; k++)
		w->r[k]->m[0]->ept_cap = ~0ull & ~(w->ref.x_only ? 0ull : CAP_X_ONLY) & ~(w->ref.advanced ? 0ull : CAP_ADVANCED);
}

static void run(enum rig_mode mode, bool detailed, unsigned seed)
{
	struct world *w = calloc(1, sizeof *w);
	struct tally t = { 0 };
	build(w, mode, seed);
	for (unsigned k = 0; k < 2; k++)
		mmu_set_detailed(w->r[k]->m[0], detailed);
	enter(w, GUESTS, 1);
	for (unsigned step = 0; step < 80000; step++) {
		mmu_drop_soft(w->r[1]->m[0]);
		unsigned op = (unsigned)below(w, 160);
		if (op == 0 && mode) {
			edit_guest(w);
			each(w, do_forget_guests, (uint64_t[4]){ 0 });
		} else if (op <= 2) {
			edit_ept(w);
			each(w, do_invept, (uint64_t[4]){ INVEPT_ALL });
		} else if (op == 3) {
			each(w, do_invept, (uint64_t[4]){ 1 + below(w, 2), below(w, 2) ? EPT_ROOT : EPT_2 });
		} else if (op == 4) {
			each(w, do_invvpid, (uint64_t[4]){ below(w, 4), below(w, 4), page_lin(mode, (unsigned)below(w, PAGES)) });
		} else if (op == 5) {
			each(w, do_invlpg, (uint64_t[4]){ page_lin(mode, (unsigned)below(w, PAGES)) });
		} else if (op == 6) {
			each(w, do_invpcid, (uint64_t[4]){ below(w, 4), page_lin(mode, (unsigned)below(w, PAGES)) });
		} else if (op == 7 && mode && mode != RIG_PAE) {
			each(w, do_cr3, (uint64_t[4]){ 0 });
		} else if (op < 12) {
			each(w, do_cpl, (uint64_t[4]){ mode ? below(w, 2) : 0, below(w, 2), !below(w, 8) });
		} else if (op < 18) {
			unsigned guest = (unsigned)below(w, GUESTS + 1);
			if (guest < GUESTS)
				w->guest[guest].pml_index = (uint16_t)(below(w, 8) ? below(w, 512) : 512 + below(w, 0x10000 - 512));
			enter(w, guest, below(w, 8));
		} else {
			access_once(w, step, &t);
		}
		cr_assert(eq(u64, w->r[0]->ledger[0].now, w->r[1]->ledger[0].now), "step %u op %u", step, op);
		if (step % 400 == 0)
			compare_tables(w, step);
		if (w->ref.ept && w->ref.log)
			cr_assert(eq(u16, w->r[0]->m[0]->guest.pml_index, (uint16_t)w->ref.pml_index), "step %u", step);
	}
	compare_tables(w, ~0u);
	cr_assert(eq(int, memcmp(w->r[0]->m[0]->stat, w->r[1]->m[0]->stat, sizeof w->r[0]->m[0]->stat), 0));
	cr_assert(ledger_audit(&w->r[0]->ledger[0]));
	cr_assert(t.ok > 5000 && t.violation > 1000 && t.misconfig > 100 && (t.pf > 1000 || !mode), "%u %u %u %u", t.ok, t.pf, t.violation, t.misconfig);
	cr_assert(t.soft > 1500, "the soft TLB hardly ever hit: %u", t.soft);
	cr_assert(seed % 2 == 0 || t.full > 20, "the log was full only %u times", t.full);
	free(w->ref.ram);
	rig_free(w->r[0]);
	rig_free(w->r[1]);
	free(w);
}
#define RUN(name, mode) \
Test(property_ept, name##_detailed, .timeout = 120) { for (unsigned seed = 1; seed <= 4; seed++) run(mode, true, seed); } \
Test(property_ept, name##_fast, .timeout = 120)     { for (unsigned seed = 5; seed <= 8; seed++) run(mode, false, seed); }
RUN(unpaged, RIG_OFF)
RUN(legacy,  RIG_LEGACY)
RUN(pae,     RIG_PAE)
RUN(four,    RIG_LONG4)
RUN(five,    RIG_LONG5)
