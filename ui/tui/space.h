/* space.h - whose translation a pane shows: the tables of the CPU as it is, a guest's own, a VMM's shadow, EPT.
 *
 *   native   linear -> physical                         one dimension, the system's own tables
 *   shadow   linear -> host-physical                    the VMM's shadow, in the host's memory
 *            linear -> guest-physical                   the guest's own tables, in the guest's
 *   EPT      linear -> guest-physical -> host-physical  the guest's tables, each found through EPT
 * A guest that does not run just now, because its VMM does, is looked at through its VMCS. */
#ifndef UI_TUI_SPACE_H
#define UI_TUI_SPACE_H

#include "models/vmm/vmm.h"
#include "ui/tui/tui.h"

enum space_id { SPACE_HARDWARE /* what the CPU, or the guest on it, is translated by */, SPACE_GUEST /* the guest's own tables */ };

/* The MMU to look through; good until the next call for the same id. NULL: there is no such one. */
const struct mmu *space_of(const struct tui *t, enum space_id id);
bool space_in_vm(const struct tui *t);          /* the CPU runs a guest, or a VMM that has one on it */
bool space_shadowed(const struct tui *t);       /* that guest has no EPT: a VMM's shadow translates for it */
const struct vcpu *space_vcpu(const struct tui *t);     /* the modelled VMM's virtual CPU here, or NULL */
/* The next instruction's address, and what it reads and writes: at most `n`. The guest's while a modelled VMM has the CPU. */
struct operand { uint64_t lin; unsigned size, access; };
uint64_t space_rip(const struct tui *t);
unsigned operands(const struct tui *t, struct operand *o, unsigned n);

#endif
