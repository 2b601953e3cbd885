/* peek.c - looking at translations: the walk of walk.c, through both dimensions, from memory alone, with no consequence. */
#include "models/mmu/walk.h"

bool mmu_peek(const struct mmu *m, uint64_t lin, struct walk_record *out)
{
	*out = (struct walk_record){ .lin = lin, .page_shift = PAGE_SHIFT, .gpa = GPA(lin),
	                             .hpa = HPA(lin) };
	if (!m->paging.levels && !m->guest.ept)
		return true;
	unsigned extra = m->paging.canonical;
	if ((uint64_t)((int64_t)(lin << extra) >> extra) != lin) {
		out->fault = (struct mmu_fault){ .kind = MMU_NONCANONICAL, .lin = lin };
		return false;
	}
	struct walk w = { .m = m, .rec = out, .lin = lin };
	return walk(&w);
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
