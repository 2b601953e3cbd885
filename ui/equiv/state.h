/* state.h - what a guest sees of its CPU: the same list for a bare CPU and for a virtual one. Looks only. */
#ifndef UI_EQUIV_STATE_H
#define UI_EQUIV_STATE_H

#include "models/vmm/vmm.h"

enum seen_id {
#define SEEN(ID, name, bare, virtual) SEEN_##ID,
#include "ui/equiv/state.def"
	SEEN_N
};

struct seen { uint64_t at[SEEN_N]; };
extern const char *const seen_names[SEEN_N];

/* Outside 64-bit mode: the lower halves of eight general registers; the rest is nobody's. */
void seen_bare(const struct cpu *c, struct seen *o);
bool seen_boundary(const struct vcpu *v);        /* ... where an instruction of the guest begins, */
bool seen_translated(const struct vcpu *v);      /* which may be translated: then some have no place of their own */
void seen_virtual(const struct vcpu *v, struct seen *o);        /* its instructions run on its physical CPU, between two of them */

#endif
