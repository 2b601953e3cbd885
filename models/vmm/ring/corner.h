/* corner.h - the VMM's corner as whoever builds page tables sees it: the entries that lead to it. See corner.c.
 * A root for IA-32e paging has PML4 entry 256 always. A root for PAE paging has entries 510 and 511 in the page directory of its
 * last gigabyte always, and ring_corner_pdpte() as entry 3 while it has no page directory of its own there. */
#ifndef VMM_RING_CORNER_H
#define VMM_RING_CORNER_H

#include "models/vmm/ring/ring.h"

#define RING_PD_SLOT 510                /* and 511 */
#define RING_ENTRY   (1ull << 10)       /* ignored by the hardware: this entry leads to the VMM's corner */

int ring_corner_make(struct vm *vm, struct err *e);     /* at VM creation; again: nothing */
uint64_t ring_corner_pml4e(const struct vm *vm, bool kernel);   /* of the root of a guest's kernel, or its user */
uint64_t ring_corner_pdpte(const struct vm *vm);
uint64_t ring_corner_pde(const struct vm *vm, unsigned i);      /* i: 0, 1 */
bool ring_corner_has(const struct vcpu *v, uint64_t lin);       /* is it in the part no guest may use? Intel 64: all that the entry covers */

#endif
