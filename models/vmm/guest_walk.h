/* guest_walk.h - a guest's paging structures walked by software, with everything found on the way. See guest_walk.c. */
#ifndef VMM_GUEST_WALK_H
#define VMM_GUEST_WALK_H

#include "models/vmm/vmm.h"

/* What decides how a guest's linear addresses are translated, as the guest believes it to be. */
struct guest_regs {
	struct paging g;                /* levels 0: paging is off */
	uint64_t cr3, pdpte[4];
	uint64_t efer;
	uint32_t pkru;
	bool ac;                        /* EFLAGS.AC: lifts SMAP */
};
struct guest_walk {
	unsigned top, leaf;             /* levels of the first and last entry read; paging off: 0 */
	struct { uint64_t at, entry; bool w, u, x; } level[6];  /* guest-physical address, value, rights down to here */
	unsigned shift;                 /* of the page mapped */
	uint64_t gpa;                   /* of the byte */
	bool w, u, x, dirty, global;    /* rights of the page: all levels together */
	uint32_t error;                 /* #PF error code when the walk failed */
};

void guest_regs_get(struct vcpu *v, struct guest_regs *r);      /* VMREADs */
/* True: translated and allowed; accessed and dirty flags are set as the access would. Each reference is made and charged
 * to `why`. */
bool guest_walk(struct vcpu *v, const struct guest_regs *r, uint64_t lin, unsigned access, enum why why, struct guest_walk *w);
/* The four PDPTEs of PAE paging at cr3, read and charged; false: reserved bits are set. */
bool guest_pdptes(struct vcpu *v, uint64_t cr3, uint64_t pdpte[4]);

#endif
