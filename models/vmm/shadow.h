/* shadow.h - inside the shadow pagers: where everything lies in the memory they were given.
 *
 * All state is in simulated host-physical memory, reached by timed references, as a VMM's own structures are:
 *
 *   control   struct shadow_control       lists, counters
 *   vcpus     struct shadow_vcpu each     the root it runs on
 *   pages     4 KB each                   the shadow tables the hardware walks
 *   heads     struct shadow_head each     what each of them shadows
 *   links     8 bytes per shadow entry    chains: leaves of one guest page; parents of one shadow table
 *   frames    struct shadow_frame per guest page: its chain of leaves, its shadow tables
 *   regions   struct shadow_region per 2 MB of guest memory: leaves that map it whole, guarded pages in it
 *
 * A shadow entry is named by its slot: page number * 512 + index. 0 ends every list: numbers are stored plus one. */
#ifndef VMM_SHADOW_H
#define VMM_SHADOW_H

#include "models/vmm/guest_walk.h"
#include "models/vmm/ring/corner.h"

/* What tells the variants apart. */
enum {
	SHADOW_KEYED = 1,       /* tables are kept, found by guest table and role; else they are one tree, dropped as a TLB is */
	SHADOW_GLOBAL = 2,      /* global translations outlive a CR3 load (one tree) */
	SHADOW_UNSYNC = 4,      /* guest tables of the lowest level may go out of step */
	SHADOW_AGILE = 8,       /* no leaves: they are the guest's own; EPT guards (agile.c) */
};

/* Ignored by the hardware: the guest's entry is global, the shadow's is not. */
#define SHADOW_KEPT     BIT(9)

struct shadow_control {         /* plain, in simulated memory */
	uint32_t free, free_n;          /* list of free pages */
	uint32_t newest, oldest;        /* pages in use, by age of their last use as a root or of their making */
	uint32_t unsync;                /* list of pages out of step */
	uint32_t pad[11];
};
struct shadow_vcpu {
	uint32_t root;                  /* page the hardware's CR3 names */
	uint32_t stale;                 /* translations of this guest are to be flushed before it is entered again */
	uint64_t fault_gpa, restart_rip;/* of the last write to a guarded table; of the last restart, with its page */
	uint32_t restarts, cpu;         /* cpu: the physical one it was entered on last, plus one */
	uint32_t other, user;           /* beside the VMM, Intel 64: the root of the other privilege; it is on its user's */
	uint64_t pad2[3];
};
struct shadow_head {            /* one cache line */
	uint64_t gfn;                   /* guest table (page number), or the first page a direct table maps */
	uint32_t role;
	uint32_t same;                  /* next table of the same guest page */
	uint32_t parents;               /* chain of entries that lead here */
	uint32_t newer, older;          /* by age; newer: also next in the free list */
	uint32_t unsync;                /* next out of step */
	uint16_t pins;                  /* vCPUs running on it */
	uint16_t writes;                /* trapped writes since it was last filled */
	uint8_t live, out_of_step, obsolete, has_global;
	uint8_t splinters;              /* level 1: maps parts of a large guest page; level 2: of one of 4 MB (2), 1 GB (4) */
	uint8_t pad[23];
};
struct shadow_frame { uint32_t leaves, tables; };       /* tables 31:24: how often its writes are traced, beside the VMM */
#define FRAME_TABLES MASK(24)
struct shadow_region { uint32_t leaves, guarded; };
_Static_assert(sizeof(struct shadow_head) == 64 && sizeof(struct shadow_control) == 64 && sizeof(struct shadow_vcpu) == 64,
               "one cache line each");

/* Role: what makes two shadows of one guest table different.
 *   15 smap | 14 smep | 13 wp | 12 pse | 11 nxe | 10 x | 9 u | 8 w | 7 private | 6 direct | 5:4 quadrant | 3 corner | 2:0 level
 *   ... 19 kernel | guest levels 18:16
 * u, w, x: rights of all the levels above. Quadrant: a guest table of 4-byte entries needs two or four shadow tables. */
#define ROLE_LEVEL(r)   ((r) & 7)
#define ROLE_QUAD(r)    ((r) >> 4 & 3)
#define ROLE_CORNER     BIT(3)          /* a page directory with the VMM's corner in its last two entries */
#define ROLE_DIRECT     BIT(6)          /* part of a large guest page, or of an unpaged guest: no guest table behind it */
#define ROLE_PRIVATE    BIT(7)          /* one vCPU's own: not found by key */
#define ROLE_W          BIT(8)
#define ROLE_U          BIT(9)
#define ROLE_X          BIT(10)
#define ROLE_MODE       (0x1full << 11 | 7ull << 16)
#define ROLE_KERNEL     BIT(19)         /* beside the VMM, Intel 64: of the kernel's root, where everything is the user's for the hardware */
#define ROLE_GUEST(r)   ((r) >> 16 & 7)

struct shadow {                 /* wiring, but for `why` and `c`, which hold for one operation */
	struct vm *vm;
	unsigned policy;
	bool nx;                        /* the hardware's EFER.NXE is always set for the guest */
	bool ring;                      /* the guest runs beside the VMM: every root has the VMM's corner */
	uint32_t pages;                 /* in the pool */
	uint64_t frames, regions;
	uint64_t control, vcpus, table, head, link, frame, region;      /* host-physical addresses */
	struct cpu *c;
	enum why why;
};

/* ---- shadow_page.c: memory, chains, tables ---- */
/* Has the guest, whose kernel is in ring 3, two roots for one CR3? */
static inline bool shadow_split(const struct shadow *s, const struct guest_regs *r) { return s->ring && r->g.levels >= 4; }
/* An entry that is not the pager's own: it leads to the VMM's corner. */
static inline bool shadow_is_corner(const struct shadow *s, uint64_t entry) { return s->ring && entry & RING_ENTRY; }
uint64_t shadow_layout(struct shadow *s, const struct vm_config *c, uint64_t base);     /* bytes from base */
void shadow_pool_init(struct shadow *s);
uint64_t shadow_ref(struct shadow *s, uint64_t pa, unsigned size);
void shadow_put(struct shadow *s, uint64_t pa, unsigned size, uint64_t v);
#define HEAD_AT(s, page, member)  ((s)->head + (uint64_t)(page) * sizeof(struct shadow_head) + offsetof(struct shadow_head, member))
#define HEAD(s, page, member)     shadow_ref(s, HEAD_AT(s, page, member), sizeof ((struct shadow_head *)0)->member)
#define SET_HEAD(s, page, member, v) shadow_put(s, HEAD_AT(s, page, member), sizeof ((struct shadow_head *)0)->member, v)
#define VCPU_AT(s, n, member)     ((s)->vcpus + (uint64_t)(n) * sizeof(struct shadow_vcpu) + offsetof(struct shadow_vcpu, member))
#define VCPU(s, n, member)        shadow_ref(s, VCPU_AT(s, n, member), sizeof ((struct shadow_vcpu *)0)->member)
#define SET_VCPU(s, n, member, v) shadow_put(s, VCPU_AT(s, n, member), sizeof ((struct shadow_vcpu *)0)->member, v)
#define CONTROL_AT(s, member)     ((s)->control + offsetof(struct shadow_control, member))
#define CONTROL(s, member)        shadow_ref(s, CONTROL_AT(s, member), 4)
#define SET_CONTROL(s, member, v) shadow_put(s, CONTROL_AT(s, member), 4, v)
static inline uint64_t shadow_page_pa(const struct shadow *s, uint32_t page) { return s->table + (uint64_t)page * PAGE_SIZE; }
static inline uint64_t shadow_slot_pa(const struct shadow *s, uint32_t slot) { return s->table + (uint64_t)slot * 8; }
static inline uint32_t shadow_page_of(const struct shadow *s, uint64_t entry) { return (uint32_t)(((entry & MASK(52) & PAGE_MASK) - s->table) >> PAGE_SHIFT); }
/* Number of the guest page in RAM, or -1. */
int64_t shadow_frame_of(const struct shadow *s, uint64_t gpa);
int64_t shadow_gpa_of(const struct shadow *s, uint64_t hpa);    /* of an address in the guest's RAM */

uint32_t shadow_find(struct shadow *s, uint64_t gfn, uint32_t role);            /* page number plus one, or 0 */
uint32_t shadow_new(struct shadow *s, uint64_t gfn, uint32_t role);             /* page number; there must be free ones */
void shadow_make_room(struct shadow *s, unsigned n);            /* at least n free pages: the oldest go */
void shadow_used(struct shadow *s, uint32_t page);              /* it is the newest now */
void shadow_set_table(struct shadow *s, uint32_t slot, uint32_t child);         /* an absent entry leads to a table */
void shadow_set_leaf(struct shadow *s, uint32_t slot, uint64_t entry, unsigned level);  /* an entry becomes a leaf */
void shadow_drop_entry(struct shadow *s, uint32_t slot, unsigned level);        /* whatever it is: absent */
void shadow_zap(struct shadow *s, uint32_t page);               /* the table goes, and the tables only it leads to */
bool shadow_guarded(struct shadow *s, uint64_t frame);          /* is it a page whose writes must trap: a guest table, or traced? */
bool shadow_traced(struct shadow *s, uint64_t frame);
void shadow_trace(struct shadow *s, uint64_t frame, bool on);   /* once more, or once less */
bool shadow_untrace(struct shadow *s, uint64_t frame);          /* not at all any more; false: it was not */
uint32_t shadow_tables(struct shadow *s, uint64_t frame);       /* the first shadow of a guest table, plus one */
void shadow_guard(struct shadow *s, uint64_t frame);            /* no leaf maps it writable any more */
bool shadow_unguard(struct shadow *s, uint64_t frame);          /* it is no guest table; false: it was none */
void shadow_in_step(struct shadow *s, uint32_t page);           /* off the list of those that are not */
void shadow_stale(struct shadow *s);                            /* every vCPU must flush its translations */

/* ---- shadow_fill.c: entries ---- */
uint32_t shadow_mode_role(const struct guest_regs *r);
enum paged shadow_fill(struct shadow *s, struct vcpu *v, const struct guest_regs *r, const struct guest_walk *w, uint64_t lin,
                       unsigned access, bool *same);
/* A guest table may have changed here. r NULL: written by a device. */
void shadow_written(struct shadow *s, const struct guest_regs *r, uint64_t gpa, unsigned n);
void shadow_sync_all(struct shadow *s, const struct guest_regs *r);
void shadow_drop_linear(struct shadow *s, uint32_t root, uint64_t lin);         /* INVLPG */
bool shadow_drop_not_global(struct shadow *s, uint32_t page);                   /* true: nothing is left in it */

/* ---- shadow.c ---- */
enum paged shadow_inject(struct vcpu *v, uint64_t lin, uint32_t error);          /* the guest's own #PF, or what it makes */

/* ---- agile.c ---- */
void agile_guard(struct shadow *s, uint64_t frame, bool on);
void agile_nest(struct shadow *s, uint64_t frame);               /* not to be shadowed for a while */

#endif
