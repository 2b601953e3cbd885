/* frame.h - what each page of a paravirtual guest's memory is used as, under pv/direct.
 *
 * The hardware walks the guest's own page tables, so nothing may stand in one that the VMM has not seen. Every page frame of the VM has a
 * type and two counts in a table of the VMM's own memory:
 *
 *   type     none, writable, or a table of one level         a frame is never two of them at once
 *   count    how many entries, pins and CR3s use it as that type; it may change only while this is 0
 *   refs     how many entries, pins and CR3s name it at all, read-only mappings included
 *
 * A frame becomes a table when an entry of the level above, a pin or a CR3 wants it to: all its entries are read and
 * checked then, and what they name is counted, down to the pages. From then on its entries change through
 * frame_update() alone. When nothing uses it as a table any more it is taken apart, entry by entry, by frames_work(), which may stop
 * half-way and go on at the next call: the work of one call is bounded.
 *
 * A frame that was writable may be in TLBs as such for as long as nobody has flushed them, one that was a table in the
 * paging-structure caches: a stamp says since which flush, and a change of type asks for another flush when there was none.
 *
 * The VMM's corner is in each root: PML4 entry 256, or the last two entries of the page directory under the fourth PDPTE, which is a
 * type of its own. The guest finds them there and cannot change them.
 *
 * Source: Barham et al. 2003, 3.3.3 "Physical memory": types, reference counts, pinning. SDM Vol. 3A, "PAE Paging", "4-Level Paging".
 * Simplified: no 1 GB pages, no PAT bit, no PTE.G (Intel 64: the kernel's pages would outlive its root).
 * Time: each reference goes through `read` and `write`; what software does beside, through `spent`. */
#ifndef PV_FRAME_H
#define PV_FRAME_H

#include "sim/base.h"

enum frame_type { FRAME_NONE, FRAME_WRITABLE, FRAME_L1, FRAME_L2, FRAME_L3, FRAME_L4, FRAME_L2_TOP, FRAME_TYPES };
enum frame_spent { FRAME_SPENT_TABLE, FRAME_SPENT_ENTRY };

#define FRAME_COUNT_MAX 0xfffffu        /* uses of one frame as its type */
#define FRAME_TABLES_MAX 64             /* tables one call may have checked */
#define FRAME_WORK 4096                 /* entries one call takes apart */

struct frames {                 /* wiring, and `budget`, `flush`, which hold for one call */
	uint64_t base, n;               /* the VM's memory: machine address, pages */
	uint64_t table;                 /* frames_bytes(): where the counts are, by `read` and `write` */
	bool wide, nx;                  /* Intel 64; the hardware's EFER.NXE is set */
	uint64_t corner[2];             /* the VMM's own entries */
	uint64_t (*read)(void *who, uint64_t pa);       /* 8 bytes */
	void (*write)(void *who, uint64_t pa, uint64_t x);
	void (*spent)(void *who, enum frame_spent what);/* NULL: nobody asks */
	void *who;
	unsigned budget;                /* tables that may still be checked */
	bool flush;                     /* all of the VM's translations must go before it runs again: frames_flushed() then */
	bool top;                       /* an entry of a PAE root has changed: the CPU holds copies */
};

uint64_t frames_bytes(uint64_t pages);          /* of `table`, zeroed at the start */
void frames_begin(struct frames *f);            /* a call begins: what is left to take apart goes on */
void frames_work(struct frames *f, unsigned entries);
void frames_flushed(struct frames *f);          /* they have been: TLBs hold nothing of the past */
enum frame_type frame_root_type(const struct frames *f);
/* Machine address of a page of the VM, to its number; -1: it is not the VM's. */
int64_t frame_number(const struct frames *f, uint64_t machine);

/* 0, or an error of abi.h: nothing has changed then. */
int frame_get(struct frames *f, uint64_t number, enum frame_type type);         /* used once more as that */
void frame_put(struct frames *f, uint64_t number);                              /* once less */
int frame_pin(struct frames *f, uint64_t number, unsigned level);
int frame_unpin(struct frames *f, uint64_t number);
int frame_update(struct frames *f, uint64_t at, uint64_t value);                /* at: machine address of an entry */

/* For who looks: no counts change. */
struct frame_view { enum frame_type type; unsigned count, refs; bool pinned, taken_apart; };
struct frame_view frame_view(const struct frames *f, uint64_t number);
extern const char *const frame_type_names[FRAME_TYPES];
/* Does it all hold? Counts everything anew from the pins and the given uses as roots. NULL, or what is wrong and at
 * which frame. scratch: 2 * n. */
const char *frames_audit(const struct frames *f, const uint64_t *roots, unsigned roots_n, uint32_t *scratch, uint64_t *where);

#endif
