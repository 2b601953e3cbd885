/* frame.c - stacks that are not in SS:RSP yet: the inner stack of an interrupt or call gate while
 * it is being filled.
 * Nothing is committed until the last push has succeeded. Source: SDM Vol. 3A, "Stack
 * Switching". */
#include "models/cpu/access.h"
#include "models/cpu/sys.h"

void sys_store_as(struct cpu *c, uint64_t lin, unsigned size, uint64_t v, unsigned cpl)
{
	struct mmu_fault f;
	if (!c->watch && !c->mmu.tells) {
		/* the table of the privilege level that will be in force, for this one access */
		struct soft_tlb_entry *was = c->mmu.soft;
		c->mmu.soft = c->mmu.table[cpl == 3 ? SOFT_USER : SOFT_SUPER];
		void *p = mmu_fast(&c->mmu, lin, size, true);
		c->mmu.soft = was;
		if (likely(p != NULL)) {
			memcpy(p, &v, size);
			return;
		}
	}
	if (mmu_write(&c->mmu, lin, &v, size, ACC_WRITE | (cpl == 3 ? ACC_USER : 0), &f))
		cpu_raise_mmu(c, &f, SEG_SS);
	if (c->watch)
		debug_data(c, lin, size, true);
}

void frame_push(struct cpu *c, struct frame *f, unsigned size, uint64_t v)
{
	uint64_t sp = (f->sp - size) & f->mask, lin;
	if (f->seg) {
		const struct desc *d = f->seg;
		uint64_t last = sp + size - 1, top = d->attr & SEG_DB ? 0xffffffff : 0xffff;
		if (d->attr & TYPE_DOWN ? sp <= d->limit || last > top : last > d->limit)
			cpu_raise_ec(c, f->v, f->error);
		lin = (f->base + sp) & (cpu_lma(c) ? ~0ull : 0xffffffff);
	} else if (f->mask == ~0ull) {
		lin = f->base + sp;
	} else {
		lin = seg_linear(c, NULL, SEG_SS, sp, size, true);
	}
	sys_store_as(c, lin, size, v, f->cpl);
	f->sp = sp;
}

void tss_stack(struct cpu *c, unsigned cpl, uint16_t *ss, uint64_t *sp)
{
	const struct seg *tr = &c->s.seg[SEG_TR];
	bool big = SEG_TYPE(tr->attr) & 8;
	uint32_t off = big ? 4 + 8 * cpl : 2 + 4 * cpl;
	if (off + (big ? 5 : 3) > tr->limit)
		cpu_raise_ec(c, VEC_TS, sel_error(tr->sel));
	uint64_t lin = (tr->base + off) & 0xffffffff;
	*sp = cpu_sys_load(c, lin, big ? 4 : 2);
	*ss = (uint16_t)cpu_sys_load(c, (lin + (big ? 4 : 2)) & 0xffffffff, 2);
}

uint64_t tss_stack64(struct cpu *c, unsigned slot)
{
	const struct seg *tr = &c->s.seg[SEG_TR];
	uint32_t off = 4 + 8 * slot;
	if (off + 7 > tr->limit)
		cpu_raise_ec(c, VEC_TS, sel_error(tr->sel));
	return cpu_sys_load(c, tr->base + off, 8);
}
