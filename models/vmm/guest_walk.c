/* guest_walk.c - the VMM walks a guest's paging structures in software.
 *
 * Needed whenever an instruction is emulated, and by the shadow pagers at every page fault. The rules are the hardware
 * walker's (models/mmu/walk.c), and so are the tables of levels and reserved bits: paging_of(). No TLB and no
 * paging-structure cache helps: software reads memory.
 * Source: SDM Vol. 3A, "Paging"; Vol. 3C, "Virtualizing the TLB Hardware" (what such a walk must do for the guest).
 * Timing: GUEST_WALK (in a shadow fill: SHADOW_WALK) for the loop of one level, plus each reference through the caches; a flag that is set is a store. */
#include "models/vmm/guest_walk.h"
#include "models/vmm/nested/nested.h"

#include <string.h>

#include "models/mmu/pte.h"
#include "models/mmu/walk.h"

/* Does the pager keep the guest's CR3 and control registers to itself (shadow paging), or are they in the VMCS? */
static bool pager_owns(const struct vcpu *v)
{
	return !v->vm->pager || v->vm->pager->page_fault;
}

void guest_regs_get(struct vcpu *v, struct guest_regs *r)
{
	const struct vcpu_state *s = &v->s;
	uint64_t cr0 = s->cr0, cr4 = s->cr4;
	*r = (struct guest_regs){ .cr3 = s->cr3, .efer = s->efer, .pkru = v->cpu->s.pkru };
	if (!pager_owns(v)) {
		cr0 = vcpu_get(v, VMCS_GUEST_CR0);
		r->cr3 = vcpu_get(v, VMCS_GUEST_CR3);
		cr4 = vcpu_get(v, VMCS_GUEST_CR4);
		r->efer = vcpu_get(v, VMCS_GUEST_EFER);        /* EPT came after the control that keeps it there */
		if (v->vm->pager && vm_restricted(v->vm, v->cpu) && !(s->cr0 & CR0_PG))
			cr0 &= ~(uint64_t)CR0_PG;               /* its own, not the hardware's */
	}
	paging_of(&r->g, cr0, r->cr3, cr4, r->efer, (unsigned)v->cpu->profile->phys_bits);
	r->ac = vcpu_get(v, VMCS_GUEST_RFLAGS) & RFLAGS_AC;
	if (r->g.levels != 3)
		return;
	for (unsigned i = 0; i < 4; i++)
		r->pdpte[i] = pager_owns(v) ? s->pdpte[i] : vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + i));
}

/* A table outside RAM reads as all ones. */
static uint64_t read_entry(struct vcpu *v, uint64_t at, unsigned bytes, enum why why)
{
	hpa_t hpa;
	gpa_t gpa;
	if (!nested_gpa(v, GPA(at), &gpa) || !vm_gpa_to_hpa(v->vm, gpa, &hpa))
		return MASK(8 * bytes);
	return mmu_phys_read(&v->cpu->mmu, hpa, bytes, why);
}

static void set_flags(struct vcpu *v, uint64_t at, unsigned bytes, uint64_t *entry, uint64_t set, enum why why)
{
	hpa_t hpa;
	gpa_t gpa;
	if ((*entry & set) == set || !nested_gpa(v, GPA(at), &gpa) || !vm_gpa_to_hpa(v->vm, gpa, &hpa))
		return;
	*entry |= set;
	mmu_phys_write(&v->cpu->mmu, hpa, bytes, *entry, why);
}

bool guest_pdptes(struct vcpu *v, uint64_t cr3, uint64_t pdpte[4])
{
	const uint64_t reserved = ~MASK((unsigned)v->cpu->profile->phys_bits) | 0x1e6;
	for (unsigned i = 0; i < 4; i++) {
		pdpte[i] = read_entry(v, (cr3 & 0xffffffe0) + 8 * i, 8, WHY_EXIT_SERVICE);
		if (pdpte[i] & PTE_P && pdpte[i] & reserved)
			return false;
	}
	return true;
}

static bool fails(const struct guest_regs *r, unsigned access, uint32_t code, struct guest_walk *w)
{
	const struct paging *g = &r->g;
	w->error = code | (access_writes(access) ? PFEC_WR : 0) | (access & ACC_USER ? PFEC_US : 0);
	if (access & ACC_EXEC && (g->smep || (g->nx && g->levels > 2)))
		w->error |= PFEC_ID;
	return false;
}

/* May the access be made through rights w->w, u, x? -1, or what the error code says beyond the access. */
static int denied(const struct guest_regs *r, const struct guest_walk *w, uint64_t entry, unsigned access)
{
	const struct paging *g = &r->g;
	const bool user = access & ACC_USER, write = access_writes(access);
	bool no = user && !w->u;
	int pk = 0;
	if (access & ACC_EXEC) {
		no |= !w->x || (!user && w->u && g->smep);
	} else {
		no |= write && !w->w && (user || g->wp);
		no |= !user && w->u && g->smap && (access & ACC_IMPLICIT || !r->ac);
		unsigned rights = g->pke && w->u ? r->pkru >> 2 * PTE_PK(entry) & 3 : 0;
		if (rights & 1 || (rights & 2 && write && (user || g->wp)))
			pk = PFEC_PK;
	}
	return no || pk ? pk : -1;
}

bool guest_walk(struct vcpu *v, const struct guest_regs *r, uint64_t lin, unsigned access, enum why why, struct guest_walk *w)
{
	const struct paging *g = &r->g;
	const unsigned bytes = g->entry_bytes;
	*w = (struct guest_walk){ .w = true, .u = true, .x = true, .shift = PAGE_SHIFT, .gpa = lin };
	if (!g->levels) {
		w->dirty = true;
		return true;
	}
	uint64_t table = r->cr3 & (g->levels == 2 ? 0xfffff000 : MASK(52) & PAGE_MASK);
	w->top = g->levels;
	if (g->levels == 3) {
		uint64_t pdpte = r->pdpte[BITS(lin, 31, 30)];
		if (!(pdpte & PTE_P))
			return fails(r, access, 0, w);
		table = pdpte & MASK(52) & PAGE_MASK;
		w->top = 2;
	}
	for (unsigned level = w->top;; level--) {
		unsigned shift = 12 + (level - 1) * g->index_bits;
		uint64_t at = table + BITS(lin, shift + g->index_bits - 1, shift) * bytes, entry = read_entry(v, at, bytes, why);
		vmm_cost(v->cpu, why == WHY_SHADOW_FILL ? VMM_COST_SHADOW_WALK : VMM_COST_GUEST_WALK);
		w->level[level].at = at;
		w->level[level].entry = entry;
		if (!(entry & PTE_P))
			return fails(r, access, 0, w);
		bool large = entry & PTE_PS && g->large >> level & 1;
		if (entry & g->reserved[level][large])
			return fails(r, access, PFEC_P | PFEC_RSVD, w);
		w->w &= (entry & PTE_RW) != 0;
		w->u &= (entry & PTE_US) != 0;
		w->x &= !(g->nx && entry & PTE_XD && g->levels > 2);
		w->level[level].w = w->w, w->level[level].u = w->u, w->level[level].x = w->x;
		w->leaf = level;
		table = (entry & g->address[level][large]) - v->vm->entry_base;
		if (level > 1 && !large) {
			set_flags(v, at, bytes, &w->level[level].entry, PTE_A, why);
			continue;
		}
		if (large)
			w->shift = shift;
		if (large && g->levels == 2)
			table |= BITS(entry, 20, 13) << 32;
		int no = denied(r, w, g->levels >= 4 ? entry : 0, access);
		if (no >= 0)
			return fails(r, access, PFEC_P | (uint32_t)no, w);
		set_flags(v, at, bytes, &w->level[level].entry, access_writes(access) ? PTE_A | PTE_D : PTE_A, why);
		w->dirty = w->level[level].entry & PTE_D;
		w->global = g->pge && entry & PTE_G;
		w->gpa = table | (lin & MASK(w->shift));
		return true;
	}
}

enum paged vcpu_walk(struct vcpu *v, uint64_t lin, unsigned access, gpa_t *gpa, uint32_t *error)
{
	struct guest_regs r;
	struct guest_walk w;
	guest_regs_get(v, &r);
	if (!guest_walk(v, &r, lin, access, WHY_EXIT_SERVICE, &w)) {
		*error = w.error;
		return PAGED_INJECT;
	}
	*gpa = GPA(w.gpa);
	return PAGED_FIXED;
}
