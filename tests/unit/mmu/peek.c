/* Looking changes nothing. */
#include "tests/unit/mmu/rig.h"

static struct rig *r;
static void start(void) { r = rig_new(1); }
static void stop(void) { rig_free(r); }
TestSuite(peek, .init = start, .fini = stop);

static uint64_t fnv(uint64_t h, const void *p, size_t n)
{
	for (const uint8_t *b = p; n--; b++)
		h = (h ^ *b) * 0x100000001b3;
	return h;
}

/* Everything an MMU is: the struct, its tables, TLBs, caches, memory, the books. */
static uint64_t hash(void)
{
	struct mmu *m = r->m[0];
	uint64_t h = fnv(0xcbf29ce484222325, m, sizeof *m);
	h = fnv(h, m->table, SOFT_TABLES * sizeof *m->table);
	h = fnv(h, m->tlbs->state, m->tlbs->state_size);
	h = fnv(h, r->caches->words, r->caches->words_n * 8);
	h = fnv(h, &r->ledger[0], sizeof r->ledger[0]);
	h = fnv(h, &r->trace.count, sizeof r->trace.count);
	h = fnv(h, r->mem.ram + RIG_ROOT, r->next_table - RIG_ROOT);
	return fnv(h, r->mem.flags, RIG_RAM >> PAGE_SHIFT);
}

Test(peek, changes_nothing)
{
	static const enum rig_mode modes[] = { RIG_OFF, RIG_LEGACY, RIG_PAE, RIG_LONG4, RIG_LONG5 };
	struct mmu *m = r->m[0];
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		enum rig_mode mode = modes[i];
		struct mmu_fault f;
		uint64_t lin = mode >= RIG_LONG4 ? 0x7f1234567000 : 0x41234000;
		if (mode) {
			mem_write(&r->mem, HPA(RIG_ROOT), (uint8_t[4096]){ 0 }, 4096);
			rig_map(r, mode, lin, 1, RIG_DATA, RWU);
			rig_map(r, mode, lin + 0x1000, 1, RIG_DATA + 0x5000, RWU);
		}
		m->cr0 = m->cr4 = m->efer = 0;
		rig_paging(m, mode, 0, 0, 0);
		rig_load(m, mode ? lin : 0x1000, ACC_READ, &f);
		uint64_t before = hash();
		struct walk_record rec;
		uint8_t buf[64];
		cr_expect(mmu_peek(m, mode ? lin + 0x1234 : 0x1234, &rec));
		cr_expect(mmu_peek_bytes(m, mode ? lin + 0xff0 : 0xff0, buf, 32));
		mmu_peek(m, 0x300000, &rec);
		cr_expect(eq(u32, rec.fault.kind, mode ? MMU_PF : MMU_OK));
		mmu_peek(m, 0x1234567890abcdef, &rec);
		mmu_peek_bytes(m, 0xfffffffffffffff0, buf, 32);
		cr_expect(eq(u64, hash(), before), "mode %d", mode);
	}
}

Test(peek, tells_every_reference)
{
	struct mmu *m = r->m[0];
	const uint64_t lin = 0x7f1234567000;
	struct walk_record rec;
	uint64_t at = rig_map(r, RIG_LONG4, lin, 1, RIG_DATA, PTE_P | PTE_XD);
	rig_paging(m, RIG_LONG4, 0, 0, EFER_NXE);
	cr_assert(mmu_peek(m, lin + 0x123, &rec), "rights are not asked");
	cr_expect(eq(u32, rec.n, 4));
	cr_expect(eq(u64, rec.hpa.v, RIG_DATA + 0x123));
	cr_expect(eq(u32, rec.page_shift, 12));
	cr_expect(eq(u32, rec.cycles, 0));
	for (unsigned i = 0; i < 4; i++) {
		cr_expect(eq(u8, rec.ref[i].level, 4 - i));
		cr_expect(eq(u8, rec.ref[i].served, LEVEL_NONE));
		cr_expect(eq(u16, rec.ref[i].index, (lin >> (39 - 9 * i)) & 511));
		cr_expect(eq(u64, rec.ref[i].entry_pa, rec.ref[i].table + rec.ref[i].index * 8u));
		cr_expect(eq(u64, rec.ref[i].entry, mem_read64(&r->mem, HPA(rec.ref[i].entry_pa))));
	}
	cr_expect(eq(u64, rec.ref[0].table, RIG_ROOT));
	cr_expect(eq(u64, rec.ref[3].entry_pa, at));
}

Test(peek, sees_memory_and_not_the_tlb)
{
	struct mmu *m = r->m[0];
	struct mmu_fault f;
	struct walk_record rec;
	uint64_t at = rig_map(r, RIG_LONG4, 0x400000, 1, RIG_DATA, RWU);
	rig_paging(m, RIG_LONG4, 0, 0, 0);
	rig_load(m, 0x400000, ACC_READ, &f);
	rig_put(r, RIG_LONG4, at, 0);
	cr_expect(not(mmu_peek(m, 0x400000, &rec)));
	cr_expect(eq(u32, rec.fault.kind, MMU_PF));
	rig_load(m, 0x400000, ACC_READ, &f);
	cr_expect(eq(u32, f.kind, MMU_OK), "the TLB still translates");
}
