/* Access rights, reserved bits and error codes: bits of entries and registers enumerated, in every paging mode, against
 * the plain walker of ref.h. The idea is kvm-unit-tests' access test: all combinations, not chosen ones. */
#include "tests/unit/mmu/rig.h"
#include "tests/unit/mmu/ref.h"

static struct rig *r;
static void start(void) { r = rig_new(1); }
static void stop(void) { rig_free(r); }
TestSuite(access, .init = start, .fini = stop, .timeout = 100);

static struct ref_regs regs_of(const struct mmu *m, enum rig_mode mode)
{
	struct ref_regs g = {
		.mode = (int)rig_levels(mode), .wp = m->cr0 & CR0_WP, .pse = m->cr4 & CR4_PSE, .smep = m->cr4 & CR4_SMEP,
		.smap = m->cr4 & CR4_SMAP, .pke = m->cr4 & CR4_PKE, .nxe = m->efer & EFER_NXE, .ac = m->ac, .pkru = (uint32_t)m->pkru,
		.phys_bits = (unsigned)r->profile.phys_bits, .cr3 = m->cr3,
	};
	memcpy(g.pdpte, m->pdpte, sizeof g.pdpte);
	return g;
}

/* One access by both walkers. */
static bool agree(struct mmu *m, enum rig_mode mode, uint64_t lin, unsigned access, const char *what, unsigned long long detail)
{
	struct ref_regs g = regs_of(m, mode);
	struct ref_out want = ref_translate(&r->mem, &g, lin, access);
	struct mmu_fault f = { 0 };
	hpa_t pa = HPA(0);
	int got;
	m->user = (access & ACC_USER) != 0;
	if (access & ACC_EXEC)
		got = mmu_fetch(m, lin, &pa, &f);
	else
		got = mmu_probe(m, lin, 1, access, &f);
	bool ok = (got != 0) == want.fault;
	if (ok && want.fault)
		ok = f.kind == MMU_PF && f.error_code == want.code && f.lin == lin;
	else if (ok && m->stat[MMU_STAT_WALK])
		ok = m->last_walk.hpa.v == want.pa && (!(access & ACC_EXEC) || pa.v == want.pa);
	for (unsigned i = 0; ok && i < want.n; i++)
		ok = rig_get(r, mode, want.after[i].at) == (mode == RIG_LEGACY ? (uint32_t)want.after[i].value : want.after[i].value);
	cr_assert(ok, "%s %#llx: mode %d cr0 %#llx cr4 %#llx efer %#llx pkru %#llx ac %d lin %#llx access %#x: got %d code %#x pa %#llx, want %d code %#x pa %#llx",
	          what, detail, mode, (unsigned long long)m->cr0, (unsigned long long)m->cr4, (unsigned long long)m->efer,
	          (unsigned long long)m->pkru, m->ac, (unsigned long long)lin, access, got, f.error_code,
	          (unsigned long long)m->last_walk.hpa.v, want.fault, want.code, (unsigned long long)want.pa);
	return ok;
}

static const unsigned accesses[] = {
	ACC_READ, ACC_WRITE, ACC_EXEC, ACC_READ | ACC_RMW, ACC_READ | ACC_IMPLICIT, ACC_WRITE | ACC_IMPLICIT,
	ACC_READ | ACC_USER, ACC_WRITE | ACC_USER, ACC_EXEC | ACC_USER, ACC_READ | ACC_RMW | ACC_USER,
};

/* Entries worth telling apart: not present; every mix of rights; one with a reserved bit. */
static unsigned entries(uint64_t *e, bool leaf, uint64_t reserved, bool nx)
{
	unsigned n = 0;
	e[n++] = RWU & ~PTE_P;
	for (unsigned i = 0; i < (leaf ? 16 : 4); i++)
		for (unsigned k = 0; k < (nx ? 2 : 1); k++)
			e[n++] = PTE_P | (i & 1 ? PTE_RW : 0) | (i & 2 ? PTE_US : 0) | (i & 4 ? PTE_A : 0) | (i & 8 ? PTE_D : 0) | (k ? PTE_XD : 0);
	if (reserved)
		e[n++] = RWU | reserved;
	return n;
}

/* Shadow-stack accesses, and ordinary ones to shadow stacks: with CR4.CET, which needs CR0.WP. */
static const unsigned shadow_accesses[] = {
	ACC_READ | ACC_SS, ACC_WRITE | ACC_SS, ACC_READ | ACC_RMW | ACC_SS, ACC_READ | ACC_SS | ACC_USER, ACC_WRITE | ACC_SS | ACC_USER,
	ACC_READ | ACC_RMW | ACC_SS | ACC_USER, ACC_READ, ACC_WRITE | ACC_USER,
};

static void enumerate(enum rig_mode mode, unsigned leaf_level, bool detailed, bool cet)
{
	const unsigned *list = cet ? shadow_accesses : accesses, n_list = cet ? ARRAY_LEN(shadow_accesses) : ARRAY_LEN(accesses);
	struct mmu *m = r->m[0];
	const uint64_t lin = mode >= RIG_LONG4 ? 0x7f1234600123 : 0xc1400123;
	const unsigned top = mode == RIG_PAE ? 2 : rig_levels(mode);
	uint64_t leaf_at = rig_entry(r, mode, RIG_ROOT, lin, leaf_level), upper_at = leaf_level < top ? rig_entry(r, mode, RIG_ROOT, lin, leaf_level + 1) : 0;
	uint64_t below = upper_at ? rig_get(r, mode, upper_at) & ~0xfffull : 0, leaf[40], upper[16], pkey = mode >= RIG_LONG4 ? 3ull << 59 : 0;
	uint64_t page = (leaf_level == 3 ? 0x40000000 : RIG_DATA) | (leaf_level > 1 ? PTE_PS : 0);
	uint64_t reserved = mode != RIG_LEGACY ? BIT(51) : leaf_level == 2 ? BIT(21) : 0;
	unsigned n_leaf = entries(leaf, true, reserved, mode != RIG_LEGACY);
	unsigned n_upper = upper_at ? entries(upper, false, mode != RIG_LEGACY ? BIT(50) : 0, mode != RIG_LEGACY) : 1;
	mmu_set_detailed(m, detailed);
	for (unsigned regs = 0; regs < 32; regs++) {
		uint64_t cr4 = CR4_PSE | (regs & 1 ? CR4_SMEP : 0) | (regs & 2 ? CR4_SMAP : 0) | (regs & 4 ? CR4_PKE : 0);
		if (cet && !(regs & 8))
			continue;
		rig_paging(m, mode, regs & 8 ? CR0_WP : 0, cr4 | (cet ? CR4_CET : 0), regs & 16 ? EFER_NXE : 0);
		for (unsigned rights = 0; rights < (regs & 4 && mode >= RIG_LONG4 ? 4 : 1); rights++) {
			mmu_set_pkru(m, rights << 6);
			for (unsigned i = 0; i < n_leaf; i++) {
				for (unsigned k = 0; k < n_upper; k++) {
					for (unsigned a = 0; a < n_list * 2; a++) {
						if (upper_at)
							rig_put(r, mode, upper_at, below | upper[k]);
						rig_put(r, mode, leaf_at, page | leaf[i] | pkey);
						m->ac = a & 1;
						mmu_flush_all(m);
						agree(m, mode, lin, list[a / 2], "leaf", leaf[i]);
					}
				}
			}
		}
	}
}

#define MODE(name, mode, level) \
Test(access, name##_detailed) { enumerate(mode, level, true, false); } \
Test(access, name##_fast)     { enumerate(mode, level, false, false); } \
Test(access, name##_shadow_stacks) { enumerate(mode, level, level & 1, true); }
MODE(legacy_4k, RIG_LEGACY, 1)
MODE(legacy_4m, RIG_LEGACY, 2)
MODE(pae_4k,    RIG_PAE,    1)
MODE(pae_2m,    RIG_PAE,    2)
MODE(four_4k,   RIG_LONG4,  1)
MODE(four_2m,   RIG_LONG4,  2)
MODE(four_1g,   RIG_LONG4,  3)
MODE(five_4k,   RIG_LONG5,  1)
MODE(five_2m,   RIG_LONG5,  2)

/* Every single bit of an entry at every level, with several widths of a physical address. */
static void every_bit(enum rig_mode mode, unsigned phys_bits)
{
	struct mmu *m = r->m[0];
	const uint64_t lin = mode >= RIG_LONG4 ? 0x7f1234600123 : 0xc1400123;
	r->profile.phys_bits = phys_bits;
	for (unsigned nx = 0; nx < 2; nx++) {
		for (unsigned pse = 0; pse < 2; pse++) {
			for (unsigned level = 1; level <= (mode == RIG_PAE ? 2 : rig_levels(mode)); level++) {
				uint64_t at = rig_entry(r, mode, RIG_ROOT, lin, level), old = rig_get(r, mode, at);
				if (level == 1)
					old = RIG_DATA | RWU;
				for (unsigned bit = 0; bit < (mode == RIG_LEGACY ? 32 : 64); bit++) {
					for (unsigned ps = 0; ps < 2; ps++) {
						uint64_t address = ps && level > 1 ? 0 : old & ~0xfffull;
						uint64_t e = (address | RWU | (ps ? PTE_PS : 0)) ^ BIT(bit);
						rig_put(r, mode, at, e);
						rig_paging(m, mode, 0, pse ? CR4_PSE : 0, nx ? EFER_NXE : 0);
						mmu_flush_all(m);
						agree(m, mode, lin, ACC_READ | ACC_USER, "entry", e);
					}
				}
				rig_put(r, mode, at, old);
			}
		}
	}
}
#define WIDTH(bits) \
Test(access, every_bit_legacy_##bits) { every_bit(RIG_LEGACY, bits); } \
Test(access, every_bit_pae_##bits)    { every_bit(RIG_PAE, bits); } \
Test(access, every_bit_four_##bits)   { every_bit(RIG_LONG4, bits); } \
Test(access, every_bit_five_##bits)   { every_bit(RIG_LONG5, bits); }
WIDTH(32)
WIDTH(36)
WIDTH(39)
WIDTH(46)
WIDTH(52)

/* "PSE-36": bits 39:32 of the address of a 4-MByte page stand in bits 20:13 of its PDE. */
Test(access, pse36_page_above_4g)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	rig_put(r, RIG_LEGACY, RIG_ROOT + 4 * 3, 0xffc00000 | 0x25u << 13 | RWU | PTE_PS);
	rig_paging(m, RIG_LEGACY, 0, CR4_PSE, 0);
	cr_assert(eq(int, mmu_probe(m, 0xc12345, 1, ACC_READ, &f), 0));
	cr_expect(eq(u64, m->last_walk.hpa.v, 0x25ffc12345));
	cr_expect(eq(u32, m->last_walk.page_shift, 22));
}

/* "If CR4.PSE = 0, bit 7 of a PDE is ignored." */
Test(access, ps_is_ignored_without_pse)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	uint64_t at = rig_map(r, RIG_LEGACY, 0xc05000, 1, RIG_DATA, RWU);
	uint64_t pde = rig_entry(r, RIG_LEGACY, RIG_ROOT, 0xc05000, 2);
	(void)at;
	rig_put(r, RIG_LEGACY, pde, rig_get(r, RIG_LEGACY, pde) | PTE_PS);
	rig_paging(m, RIG_LEGACY, 0, 0, 0);
	cr_assert(eq(int, mmu_probe(m, 0xc05678, 1, ACC_READ, &f), 0));
	cr_expect(eq(u64, m->last_walk.hpa.v, RIG_DATA + 0x678));
}

Test(access, a_non_canonical_address_is_no_page_fault)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	static const struct { enum rig_mode mode; uint64_t lin; uint32_t kind; } row[] = {
		{ RIG_LONG4, 0x00007fffffffffff, MMU_PF }, { RIG_LONG4, 0x0000800000000000, MMU_NONCANONICAL },
		{ RIG_LONG4, 0xffff7fffffffffff, MMU_NONCANONICAL }, { RIG_LONG4, 0xffff800000000000, MMU_PF },
		{ RIG_LONG5, 0x0000800000000000, MMU_PF }, { RIG_LONG5, 0x00ffffffffffffff, MMU_PF },
		{ RIG_LONG5, 0x0100000000000000, MMU_NONCANONICAL }, { RIG_LONG5, 0xfeffffffffffffff, MMU_NONCANONICAL },
		{ RIG_LONG5, 0xff00000000000000, MMU_PF },
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		m->cr4 = m->cr0 = 0;
		rig_paging(m, row[i].mode, 0, 0, 0);
		f.kind = MMU_OK;
		cr_assert(eq(int, mmu_probe(m, row[i].lin, 1, ACC_READ, &f), -1));
		cr_expect(eq(u32, f.kind, row[i].kind), "row %zu", i);
		cr_expect(eq(u64, f.lin, row[i].lin));
		hpa_t pa;
		f.kind = MMU_OK;
		cr_assert(eq(int, mmu_fetch(m, row[i].lin, &pa, &f), -1));
		cr_expect(eq(u32, f.kind, row[i].kind), "fetch, row %zu", i);
	}
}

/* An access of which the last byte is beyond the canonical range faults there. */
Test(access, crossing_into_the_hole)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	rig_map(r, RIG_LONG4, 0x7ffffffff000, 1, RIG_DATA, RWU);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	cr_assert(eq(int, mmu_probe(m, 0x7ffffffffffe, 4, ACC_READ, &f), -1));
	cr_expect(eq(u32, f.kind, MMU_NONCANONICAL));
	cr_expect(eq(u64, f.lin, 0x800000000000));
}
