/* guest.c - the VMM's own view of its guest's memory: the same address space, so its loads and stores go through the shadow tables in
 * force, as the guest's would; and the guest's descriptors, read like that.
 *
 * Intel 64: what the guest may reach are user pages of its root, and only such are touched: the corner is not. IA-32: all below the
 * corner. A page that has no shadow entry, or may not be written (a guest's table that is guarded, code that is traced), makes the
 * access fail: whoever wanted it leaves the work to the interpreter, which walks the guest's own tables.
 * Timing: a load or a store through TLBs and caches. */
#include "models/vmm/ring/ring.h"

#include "models/cpu/sys.h"

static bool place(struct vcpu *v, uint64_t lin, unsigned n, unsigned *access)
{
	const bool wide = v->s.efer & EFER_LMA;
	*access = wide ? ACC_USER : 0;
	if (v->s.real_changed && !ring_load_real(v))
		return false;
	return wide || (lin >> 32 == 0 && lin + n <= RING_CORNER_32);
}

bool ring_read(struct vcpu *v, uint64_t lin, void *buf, unsigned n)
{
	struct mmu_fault f;
	unsigned access;
	return place(v, lin, n, &access) && !mmu_read(&v->cpu->mmu, lin, buf, n, ACC_READ | access, &f);
}

bool ring_write(struct vcpu *v, uint64_t lin, const void *buf, unsigned n)
{
	struct mmu_fault f;
	unsigned access;
	return place(v, lin, n, &access) && !mmu_write(&v->cpu->mmu, lin, buf, n, ACC_WRITE | access, &f);
}

/* In the GDT; for LDTs there is the interpreter. */
bool ring_guest_descriptor(struct vcpu *v, uint16_t sel, struct desc *d)
{
	if (sel_null(sel) || sel & 4 || (sel | 7u) > vcpu_get(v, VMCS_GUEST_GDTR_LIMIT))
		return false;
	uint64_t raw, lin = vcpu_get(v, VMCS_GUEST_GDTR_BASE) + (sel & ~7u);
	if (!ring_read(v, v->s.efer & EFER_LMA ? lin : lin & 0xffffffff, &raw, 8))
		return false;
	*d = (struct desc){ .raw = raw, .base = (raw >> 16 & 0xffffff) | (raw >> 56) << 24, .attr = raw >> 40 & 0xf0ff,
	                    .limit = (uint32_t)(raw & 0xffff) | (uint32_t)(raw >> 48 & 15) << 16 };
	if (d->attr & SEG_G)
		d->limit = d->limit << 12 | 0xfff;
	return d->attr & SEG_P && d->attr & SEG_S && d->attr & TYPE_ACCESSED;
}

void ring_set_segment(struct vcpu *v, enum seg_reg i, uint16_t sel, uint64_t base, uint32_t limit, uint32_t attr)
{
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES + i), sel);
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_BASE + i), base);
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_LIMIT + i), limit);
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + i), attr);
}
