/* peek.c - looking at translations: the walk of walk.c, through both dimensions, from memory alone, with no consequence. */
#include <string.h>

#include "models/mmu/pte.h"
#include "models/mmu/tlb.h"
#include "models/mmu/walk.h"

static bool peek(const struct mmu *m, uint64_t lin, unsigned access, bool ask, struct walk_record *out)
{
	*out = (struct walk_record){ .lin = lin, .access = access, .page_shift = PAGE_SHIFT, .gpa = GPA(lin),
	                             .hpa = HPA(lin) };
	if (!m->paging.levels && !m->guest.ept)
		return true;
	unsigned extra = m->paging.canonical;
	if ((uint64_t)((int64_t)(lin << extra) >> extra) != lin) {
		out->fault = (struct mmu_fault){ .kind = MMU_NONCANONICAL, .lin = lin };
		return false;
	}
	struct walk w = { .m = m, .rec = out, .lin = lin, .access = access, .ask = ask };
	return walk(&w);
}

bool mmu_peek(const struct mmu *m, uint64_t lin, struct walk_record *out)
{
	return peek(m, lin, 0, false, out);
}

bool mmu_peek_access(const struct mmu *m, uint64_t lin, unsigned access, struct walk_record *out)
{
	return peek(m, lin, access, true, out);
}

unsigned mmu_peek_tlb(const struct mmu *m, uint64_t lin, bool fetch, hpa_t *pa)
{
	static const uint8_t shift[] = { [SIZE_4K] = 12, [SIZE_2M] = 21, [SIZE_1G] = 30 };
	static const uint8_t arrays[2][2][3] = {        /* data, fetch; first, second level */
		{ { DTLB_4K, DTLB_2M, DTLB_1G }, { STLB_4K, STLB_4K, STLB_1G } },
		{ { ITLB_4K, ITLB_2M, TLB_ARRAYS }, { STLB_4K, STLB_4K, STLB_1G } },
	};
	for (unsigned level = 1; m->detailed && level <= 2; level++)
		for (unsigned size = SIZE_4K; size <= SIZE_1G; size++) {
			const uint8_t id = arrays[fetch][level - 1][size];
			uint32_t i = id == TLB_ARRAYS ? 0 : tlb_find(m->tlbs, (enum tlb_id)id, lin, shift[size], (enum tlb_size)size, m->paging.pcid, m->context);
			if (i) {
				*pa = HPA(INFO_ADDR(m->tlbs->info[i]) | (lin & MASK(shift[size])));
				return level;
			}
		}
	return 0;
}

void mmu_lens(struct mmu *lens, const struct mmu *like, struct mem *mem, const struct mmu_regs *r)
{
	memset(lens, 0, sizeof *lens);
	lens->mem = mem;
	lens->profile = like->profile;
	lens->tlbs = like->tlbs;
	lens->ept_cap = like->ept_cap;
	lens->cr0 = r->cr0;
	lens->cr3 = r->cr3;
	lens->cr4 = r->cr4;
	lens->efer = r->efer;
	lens->pkru = r->pkru;
	lens->ac = r->ac;
	memcpy(lens->pdpte, r->pdpte, sizeof lens->pdpte);
	lens->in_guest = r->shadow || r->eptp;
	lens->guest = (struct mmu_guest){ .eptp = r->eptp, .apic_access = MMU_NO_PAGE, .ept = r->eptp != 0, .agile = r->agile,
	                                  .mode_execute = r->mode_execute };
	paging_update(lens);
}

bool mmu_peek_bytes(const struct mmu *m, uint64_t lin, void *buf, size_t n)
{
	struct walk_record rec;
	for (uint8_t *to = buf; n;) {
		size_t k = PAGE_SIZE - (lin & 0xfff);
		if (k > n)
			k = n;
		if (!mmu_peek(m, lin, &rec) || !mem_peek(m->mem, rec.hpa, to, k))
			return false;
		lin += k, to += k, n -= k;
	}
	return true;
}
