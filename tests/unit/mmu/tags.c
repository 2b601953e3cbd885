/* Tags of translations, and invalidations that really are selective: who must walk again, and who must not. */
#include "tests/unit/mmu/ept_rig.h"

static struct rig *r;
static void start(void) { r = rig_new(1); }
static void stop(void) { rig_free(r); }
TestSuite(tags, .init = start, .fini = stop);

#define EPT_2 0x3200000ull
#define P 0x7f0000400000ull
#define Q 0x7f0000403000ull             /* another page */
#define G 0x7f0000406000ull             /* a global one */

enum { A, B, C, S, ROOT, CONTEXTS };
/* VPID 1 with EPT 1, VPID 1 with EPT 2, VPID 2 with EPT 1, VPID 3 without EPT, root operation */
#define ALL (1 << A | 1 << B | 1 << C | 1 << S | 1 << ROOT)

static unsigned present;                /* contexts in play: fast speed's sets have room for four */
static struct ept_rig ept[2];
static struct mmu_guest guest[ROOT];

static void go(unsigned context)
{
	struct mmu *m = r->m[0];
	mmu_set_guest(m, NULL);
	if (context != ROOT)
		mmu_set_guest(m, &guest[context]);
	cr_assert(eq(int, mmu_load_paging(m, CR0_PG, RIG_ROOT, CR4_PAE | CR4_PGE, EFER_LMA | EFER_NXE, NULL), 0));
}

static void build(bool detailed)
{
	static const uint64_t lin[] = { P, Q, G };
	for (unsigned i = 0; i < 3; i++)
		rig_map(r, RIG_LONG4, lin[i], 1, RIG_DATA + i * PAGE_SIZE, RWUAD | (lin[i] == G ? PTE_G : 0));
	for (unsigned k = 0; k < 2; k++) {
		ept[k] = ept_rig_at(r, 4, k ? EPT_2 : EPT_ROOT);
		ept_map_all(&ept[k], 2, EPT_LEAF);
	}
	guest[A] = ept_guest(&ept[0], false, 1);
	guest[B] = ept_guest(&ept[1], false, 1);
	guest[C] = ept_guest(&ept[0], false, 2);
	guest[S] = (struct mmu_guest){ .apic_access = MMU_NO_PAGE, .vpid = 3 };
	mmu_set_detailed(r->m[0], detailed);
	present = detailed ? ALL : ALL & ~(1 << S);
}

/* Does this context have to walk for this page? */
static bool walks(unsigned context, uint64_t lin)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	go(context);
	uint64_t before = m->stat[MMU_STAT_WALK];
	cr_assert(eq(int, mmu_probe(m, lin, 1, ACC_READ, &f), 0));
	return m->stat[MMU_STAT_WALK] != before;
}

static void warm(void)
{
	for (unsigned i = 0; i < CONTEXTS; i++) {
		if (!(present >> i & 1))
			continue;
		walks(i, P);
		walks(i, Q);
		walks(i, G);
	}
}

static void expect(unsigned p, unsigned q, unsigned g, const char *what)
{
	for (unsigned i = 0; i < CONTEXTS; i++) {
		if (!(present >> i & 1))
			continue;
		cr_expect(eq(int, walks(i, P), p >> i & 1), "%s: context %u, page P", what, i);
		cr_expect(eq(int, walks(i, Q), q >> i & 1), "%s: context %u, page Q", what, i);
		cr_expect(eq(int, walks(i, G), g >> i & 1), "%s: context %u, the global page", what, i);
	}
}

static void invalidations(bool detailed)
{
	struct mmu *m = r->m[0];
	build(detailed);
	warm();
	expect(0, 0, 0, "nothing happened");

	mmu_invept(m, INVEPT_SINGLE, guest[A].eptp);
	expect(1 << A | 1 << C, 1 << A | 1 << C, 1 << A | 1 << C, "INVEPT of one");
	mmu_invept(m, INVEPT_ALL, 0);
	expect(1 << A | 1 << B | 1 << C, 1 << A | 1 << B | 1 << C, 1 << A | 1 << B | 1 << C, "INVEPT of all");

	mmu_invvpid(m, INVVPID_ADDRESS, 1, P);
	expect(1 << A | 1 << B, 0, 0, "INVVPID of an address");
	mmu_invvpid(m, INVVPID_ADDRESS, 1, G);
	expect(0, 0, 1 << A | 1 << B, "INVVPID of a global page's address");
	mmu_invvpid(m, INVVPID_SINGLE, 2, 0);
	expect(1 << C, 1 << C, 1 << C, "INVVPID of one");
	mmu_invvpid(m, INVVPID_SINGLE_NOT_GLOBAL, 1, 0);
	expect(1 << A | 1 << B, 1 << A | 1 << B, 0, "INVVPID of one but for globals");
	mmu_invvpid(m, INVVPID_ALL, 0, 0);
	expect(ALL & ~(1 << ROOT), ALL & ~(1 << ROOT), ALL & ~(1 << ROOT), "INVVPID of all but VPID 0");

	/* by a guest: its VPID, under every EPT */
	go(A);
	mmu_invlpg(m, P);
	expect(1 << A | 1 << B, 0, 0, "INVLPG in a guest");
	go(C);
	mmu_set_cr3(m, RIG_ROOT);
	expect(1 << C, 1 << C, 0, "MOV to CR3 in a guest");
	go(B);
	mmu_invpcid(m, INVPCID_ALL_GLOBAL, 0, 0);
	expect(1 << A | 1 << B, 1 << A | 1 << B, 1 << A | 1 << B, "INVPCID of all in a guest");
	go(B);
	mmu_invpcid(m, INVPCID_ADDRESS, 0, Q);
	expect(0, 1 << A | 1 << B, 0, "INVPCID of an address in a guest");
	go(C);
	mmu_set_paging(m, m->cr0, m->cr4 & ~CR4_PGE, m->efer);
	mmu_set_paging(m, m->cr0, m->cr4 | CR4_PGE, m->efer);
	expect(1 << C, 1 << C, 1 << C, "CR4.PGE in a guest");
	go(ROOT);
	mmu_set_cr3(m, RIG_ROOT);
	expect(1 << ROOT, 1 << ROOT, 0, "MOV to CR3 in root operation");

	/* an untagged guest comes and goes */
	struct mmu_guest untagged = guest[A];
	untagged.vpid = 0;
	go(ROOT);
	mmu_set_guest(m, &untagged);
	mmu_set_guest(m, NULL);
	expect(1 << ROOT, 1 << ROOT, 1 << ROOT, "a guest without a VPID");
}
Test(tags, invalidations_are_selective)      { invalidations(true); }
Test(tags, invalidations_are_selective_fast) { invalidations(false); }

/* Nothing of the root's or of another untagged guest is seen by an untagged guest. */
Test(tags, vpid_0_is_flushed_at_entry_and_at_exit)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	build(true);
	ept_map(&ept[1], RIG_DATA, 2, 0x2800000, EPT_LEAF);     /* the guest's data is elsewhere */
	mem_write32(&r->mem, HPA(RIG_DATA), 0x11111111);
	mem_write32(&r->mem, HPA(0x2800000), 0x22222222);
	struct mmu_guest with = ept_guest(&ept[1], false, 0), without = { .apic_access = MMU_NO_PAGE };
	go(ROOT);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect(eq(u32, rig_load(m, P, ACC_READ, &f), 0x11111111));
		mmu_set_guest(m, &with);
		cr_expect(eq(u32, rig_load(m, P, ACC_READ, &f), 0x22222222));
		mmu_set_guest(m, NULL);
		cr_expect(eq(u32, rig_load(m, P, ACC_READ, &f), 0x11111111));
		uint64_t walk = m->stat[MMU_STAT_WALK];
		mmu_set_guest(m, &without);
		cr_expect(eq(u32, rig_load(m, P, ACC_READ, &f), 0x11111111));
		cr_expect(eq(u64, m->stat[MMU_STAT_WALK], walk + 1), "by a walk of its own");
		mmu_set_guest(m, NULL);
		rig_load(m, P, ACC_READ, &f);
		cr_expect(eq(u64, m->stat[MMU_STAT_WALK], walk + 2));
	}
}

/* "EPTP switching ... does not invalidate": the mappings of both hierarchies live side by side. */
Test(tags, from_guest_to_guest_nothing_is_flushed)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	build(true);
	struct mmu_guest one = ept_guest(&ept[0], false, 0), two = ept_guest(&ept[1], false, 0);
	mmu_set_guest(m, &one);
	cr_assert(eq(int, mmu_load_paging(m, CR0_PG, RIG_ROOT, CR4_PAE, EFER_LMA, NULL), 0));
	rig_load(m, P, ACC_READ, &f);
	mmu_set_guest(m, &two);
	rig_load(m, P, ACC_READ, &f);
	uint64_t walk = m->stat[MMU_STAT_WALK];
	cr_expect(eq(u64, walk, 2), "another EPT: another mapping");
	mmu_set_guest(m, &one);
	rig_load(m, P, ACC_READ, &f);
	mmu_set_guest(m, &two);
	rig_load(m, P, ACC_READ, &f);
	cr_expect(eq(u64, m->stat[MMU_STAT_WALK], walk));
}

static uint32_t guest_physical(const struct mmu *m)
{
	uint32_t n = 0;
	for (enum tlb_id id = NESTED; id <= EPT_PML5E; id++)
		n += m->tlbs->live[id];
	return n;
}

/* "INVVPID ... does not invalidate guest-physical mappings"; neither do an untagged guest's entry and exit. */
Test(tags, guest_physical_mappings_belong_to_ept_alone)
{
	struct mmu *m = r->m[0];
	build(true);
	warm();
	uint32_t n = guest_physical(m);
	cr_assert(eq(u32, n, 6), "of each EPT: a 2 MB page of tables, a PDPTE, a PML4E");
	mmu_invvpid(m, INVVPID_ALL, 0, 0);
	go(A);
	mmu_set_cr3(m, RIG_ROOT);
	mmu_invpcid(m, INVPCID_ALL_GLOBAL, 0, 0);
	struct mmu_guest untagged = guest[A];
	untagged.vpid = 0;
	mmu_set_guest(m, NULL);
	mmu_set_guest(m, &untagged);
	mmu_set_guest(m, NULL);
	cr_expect(eq(u32, guest_physical(m), n));
	/* two guests of one EPT share them: the second's first walk finds the first's */
	mmu_invept(m, INVEPT_SINGLE, guest[B].eptp);
	cr_expect(guest_physical(m) < n && guest_physical(m) > 0, "those of the other EPT stay");
	mmu_invept(m, INVEPT_ALL, 0);
	cr_expect(eq(u32, guest_physical(m), 0));
	walks(A, P);
	uint64_t hits = m->stat[MMU_STAT_NESTED_HIT];
	walks(C, P);
	cr_expect(m->stat[MMU_STAT_NESTED_HIT] > hits);
}

/* Coming back to a context finds its soft entries and its block links again; a change elsewhere leaves them, one of its own
 * does not. */
Test(tags, soft_entries_and_links_outlive_a_visit_to_another_context)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	hpa_t pa;
	build(true);
	go(A);
	rig_load(m, P, ACC_READ, &f);
	cr_assert(eq(int, mmu_fetch(m, Q, &pa, &f), 0));
	uint64_t epoch = m->epoch;
	go(ROOT);
	cr_expect(eq(ptr, mmu_fast(m, P, 4, false), NULL), "another context's soft entry is no hit");
	cr_expect(ne(u64, m->epoch, epoch));
	mmu_set_cr3(m, RIG_ROOT);
	mmu_invvpid(m, INVVPID_SINGLE, 2, 0);
	mmu_invept(m, INVEPT_SINGLE, guest[B].eptp);
	go(A);
	cr_expect(ne(ptr, mmu_fast(m, P, 4, false), NULL));
	cr_expect(eq(u64, m->epoch, epoch));
	go(ROOT);
	mmu_invvpid(m, INVVPID_ADDRESS, 1, Q);
	go(A);
	cr_expect(ne(ptr, mmu_fast(m, P, 4, false), NULL), "another page");
	cr_expect(ne(u64, m->epoch, epoch), "code was fetched there");
	epoch = m->epoch;
	go(ROOT);
	mmu_void_links(m);
	go(A);
	cr_expect(ne(u64, m->epoch, epoch), "blocks are gone");
	go(ROOT);
	mmu_invvpid(m, INVVPID_SINGLE, 1, 0);
	go(A);
	cr_expect(eq(ptr, mmu_fast(m, P, 4, false), NULL));
	/* more contexts than are kept: the oldest begins anew, and nobody finds another's */
	rig_load(m, P, ACC_READ, &f);
	for (unsigned i = 0; i < 40; i++) {
		struct mmu_guest g = guest[A];
		g.vpid = (uint16_t)(100 + i);
		mmu_set_guest(m, NULL);
		mmu_set_guest(m, &g);
		cr_expect(eq(ptr, mmu_fast(m, P, 4, false), NULL));
	}
	go(A);
	cr_expect(eq(ptr, mmu_fast(m, P, 4, false), NULL));
	cr_expect(eq(int, walks(A, P), 0));
}
