/* pv.h - inside the paravirtual technique (virt "pv"): what its files share. docs/pv.md tells the story.
 *
 *   abi.h, hypercall.def   what guests and the VMM agree on        call.c    the hypercalls
 *   pv.c                   the technique: hooks of models/vmm/ring, entry into the guest's kernel, events
 *   frame.c                types and counts of page frames         direct.c  the pager of pv/direct */
#ifndef PV_PV_H
#define PV_PV_H

#include "models/vmm/pv/frame.h"
#include "models/vmm/pv/hypercall.h"
#include "models/vmm/ring/ring.h"

struct pv_segment { uint16_t sel, pad; uint32_t attr; };
struct pv_state {               /* plain: of one virtual CPU */
	uint64_t traps;                 /* host-physical: a page, struct pv_trap_slot for each vector */
	uint64_t shared;                /* guest-physical: struct pv_shared; NOWHERE: none */
	uint64_t event, syscall;        /* where the kernel is entered */
	uint64_t sp;                    /* its stack for entries from a program */
	struct pv_segment cs, ss, user_cs, user_ss;     /* the kernel's; those that programs had last */
	uint64_t root, user_root;       /* pv/direct: frames that CR3 names; user_root: NOWHERE: none */
	uint64_t pdpt;                  /* pv/direct, IA-32: host-physical: what CR3 names, a copy of the guest's */
	uint32_t fast, kernel_ss;       /* IA-32: vector with a gate of its own, plus one; the stack segment for it */
};
#define PV_NOWHERE (~0ull)

struct pv {                     /* of a VM: vm->technique */
	struct pv_state s;              /* one virtual CPU */
	uint64_t stat[PV_CALLS];
};
static inline struct pv *pv_of(const struct vm *vm) { return vm->technique; }

struct pv_trap_slot { uint64_t handler, flags; };

/* ---- pv.c ---- */
bool pv_linear(const struct vcpu *v, uint64_t lin);             /* may the guest have something there? */
bool pv_read(struct vcpu *v, uint64_t lin, void *to, unsigned n);       /* its memory, as its kernel reaches it; false: it cannot */
bool pv_write(struct vcpu *v, uint64_t lin, const void *from, unsigned n);
uint8_t pv_shared_read(struct vcpu *v, unsigned at);
void pv_shared_write(struct vcpu *v, unsigned at, unsigned size, uint64_t x);
void pv_raise(struct vcpu *v, unsigned port);
bool pv_segment(struct vcpu *v, enum seg_reg i, const struct pv_segment *to);
void pv_gates(struct vcpu *v, bool on);                         /* IA-32: gates of the CPU's IDT, and the stack for them */

/* ---- direct.c ---- */
bool pv_is_direct(const struct vm *vm);
struct frames *direct_begin(struct vcpu *v);                    /* a hypercall begins */
void direct_end(struct vcpu *v);                                /* what it changed takes effect */
int direct_new_root(struct vcpu *v, uint64_t frame, uint64_t user);
int direct_entry_of(struct vcpu *v, uint64_t lin, uint64_t *at);/* machine address of the entry that maps lin */
const struct frames *direct_peek(const struct vm *vm);          /* for people: untimed */

#endif
