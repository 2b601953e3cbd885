/* cache.h - a virtual CPU's code cache: blocks, how they are found, chained, dropped. See cache.c.
 *
 * In the corner of the guest's address space, from RING_CODE on, of each virtual CPU its own part:
 *
 *   head    1 KB   the lookup of indirect branches, POPF's table       translate.h
 *   table          BT_SLOTS entries of that lookup
 *   code           blocks, one behind the other, until it is full: then everything is dropped
 *
 * and in the VMM's own memory, reached by timed references like the code itself:
 *
 *   hash           by guest address: the first of a list of blocks (numbers are stored plus one, 0 ends a list)
 *   pages          struct bt_page: guest pages that code was translated from
 *   blocks         struct bt_desc each
 *   points         struct bt_point, of all blocks: the side table */
#ifndef VMM_BT_CACHE_H
#define VMM_BT_CACHE_H

#include "models/vmm/bt/translate.h"
#include "models/vmm/guest_walk.h"
#include "models/vmm/vmm.h"

#define BT_HASH       4096
#define BT_PAGES_MAX  1024
#define BT_HOT        256               /* counters of instructions that trap */
#define BT_TABLE_PAGES (BT_SLOTS * 16 / PAGE_SIZE)
#define BT_PAGES_MIN  (1 + BT_TABLE_PAGES + 2)  /* of a virtual CPU: head, table, and code at least */

struct bt_page {
	uint64_t lin, frame;            /* page numbers: linear, guest-physical */
	uint32_t first;                 /* block that begins or ends there, plus one */
	uint32_t writes;                /* writes that hit translated bytes */
	uint32_t interpreted;           /* instructions, since they were too many */
	uint32_t pad;
};
struct bt_desc {
	uint64_t pc, exit[2];           /* the guest's; targets of direct branches */
	uint32_t code, point;           /* offset of its code; index of its first point */
	uint16_t len, guest_len, points, insns;
	uint16_t site[2], stub[2];      /* struct bt_exit */
	uint16_t exits, live;
	uint32_t hash_next;
	uint32_t page[2], page_next[2]; /* pages (plus one) its bytes come from, and its successor in each one's list */
	uint32_t to[2];                 /* the blocks its exits are chained to, plus one */
	uint32_t in, in_next[2];        /* exits that lead here: block * 2 + exit, plus one */
	uint8_t last[16];               /* its last instruction, when that is a callout */
	uint32_t last_at;               /* and where in the guest's block it is */
	uint32_t pad[4];
};
_Static_assert(sizeof(struct bt_desc) == 128 && sizeof(struct bt_page) == 32 && sizeof(struct bt_point) == 8, "as laid out in memory");

struct bt_state {               /* plain */
	uint64_t hash, pages, hot, blocks, points;      /* host-physical: the parts in the VMM's own memory */
	uint64_t corner;                /* host-physical: of its part of the corner */
	uint32_t first_page, code_from; /* its first page in the corner; offset of the code behind head and table */
	uint32_t code_max, blocks_max, points_max;
	uint32_t code, blocks_n, points_n, pages_n;     /* in use */
	uint32_t ready, wide;           /* the head has been written, for 64-bit code */
	uint32_t verify;                /* the guest's translations may be others: look where the pages lie now */
	uint32_t link, link_exit;       /* the exit that led out, to be chained: block plus one */
	uint32_t want_table;            /* the lookup missed table_pc */
	uint32_t time_wanted;           /* the kernel has read the time since the guest's user ran last */
	uint32_t cr8_lent;              /* the shared page has the guest's CR8 */
	uint64_t link_pc, table_pc;
	uint64_t cr0, cr3, cr4;         /* when pages were looked at last */
	uint64_t last_pc, last_at;      /* where it came back from: a clean point; last_at 0: none */
	uint64_t fault_pc, emulated;    /* of the last page fault: and how many emulations there had been; ~0: none */
	struct bt_shared shared;        /* as it was written last */
};
struct bt {                     /* of a VM: vm->technique */
	struct bt_state s[VCPUS_MAX];
	struct bt_block block;          /* being made; nothing of it lasts */
	uint8_t insn[16];               /* of the callout being served, */
	bool insn_known;
	unsigned limit, cache_kb;
	enum bt_rdtsc rdtsc;
	bool chain, adaptive;
};
static inline struct bt *bt_of(const struct vm *vm) { return vm->technique; }
static inline struct bt_state *bt_state(const struct vcpu *v) { return &bt_of(v->vm)->s[v->number]; }

static inline bool bt_iopl(const struct bt_shared *x) { return (x->flags_delta + RFLAGS_IF) & RFLAGS_IOPL; }

int bt_cache_init(struct vcpu *v);      /* -1: no memory */
void bt_head_again(struct vcpu *v);     /* the virtual IOPL is 0 now, or no longer: POPF in the cache is to know */
bool bt_mode(struct vcpu *v, bool wide);/* the cache is for such code now; what was there goes */
void bt_flush(struct vcpu *v);
uint64_t bt_lin(const struct vcpu *v, uint32_t off);    /* of an offset in its part of the corner */
bool bt_inside(const struct vcpu *v, uint64_t lin);

uint32_t bt_find(struct vcpu *v, uint64_t pc);          /* block number plus one, 0: there is none */
/* Translate; 0: *fault tells the guest's page fault, or (error ~0) the code is not in RAM or its page is written too often. */
struct bt_fault { uint64_t lin; uint32_t error; };
uint32_t bt_make(struct vcpu *v, const struct guest_regs *r, uint64_t pc, struct bt_fault *fault);
void bt_link(struct vcpu *v, uint32_t from, unsigned exit, uint32_t to);
void bt_table_put(struct vcpu *v, uint64_t pc, uint32_t block);
void bt_verify(struct vcpu *v, const struct guest_regs *r);
bool bt_written(struct vcpu *v, uint64_t gpa, unsigned n);      /* true: the instruction that writes is to be interpreted */
void bt_drop_at(struct vcpu *v, uint64_t pc);           /* blocks with this instruction: it will be translated otherwise */

/* Where the CPU is: its point, and the block (~0: the head). False: nowhere an instruction begins. */
bool bt_where(struct vcpu *v, uint64_t rip, struct bt_point *p, uint32_t *block);
/* The guest's instruction at pc, in that block: by the page its code came from, for no shadow need map it. False: it crosses pages. */
bool bt_guest_insn(struct vcpu *v, uint32_t block, uint64_t pc, uint8_t insn[16]);
/* For people, without a cost: the guest's address for one in the cache; *begins: its instruction begins there. */
uint64_t bt_peek(const struct vcpu *v, uint64_t lin, bool *begins);
/* Likewise: the block of that number, dropped ones too; false: there is none. */
struct bt_seen {
	struct bt_desc d;
	uint64_t at;                    /* linear, of its code */
	bool wide, guest_there;         /* guest_there: its page is where it was */
	uint8_t guest[BT_INSNS_MAX * INSN_BYTES_MAX], code[BT_CODE_MAX];
	struct bt_point point[BT_POINTS_MAX];
};
bool bt_see(const struct vcpu *v, unsigned n, struct bt_seen *o);
uint64_t bt_get(struct vcpu *v, uint64_t at, unsigned size);
void bt_put(struct vcpu *v, uint64_t at, unsigned size, uint64_t x);
#define BT_DESC(s, n, member)     ((s)->blocks + (uint64_t)(n) * sizeof(struct bt_desc) + offsetof(struct bt_desc, member))
#define BT_GET(v, n, member)      bt_get(v, BT_DESC(bt_state(v), n, member), sizeof ((struct bt_desc *)0)->member)
#define BT_GETI(v, n, member, i)  bt_get(v, BT_DESC(bt_state(v), n, member) + (i) * sizeof ((struct bt_desc *)0)->member[0], sizeof ((struct bt_desc *)0)->member[0])
uint64_t bt_code_lin(struct vcpu *v, uint32_t block);   /* where its code is; block plus one */

/* adapt.c */
bool bt_simulated(void *who, uint64_t pc);
void bt_trapped(struct vcpu *v, uint64_t pc);           /* it had to be emulated */
void bt_simulated_once(struct vcpu *v, uint64_t pc, bool needed);       /* its callout; needed: the hardware could not have done it */

#endif
