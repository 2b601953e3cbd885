/* watch.h - watchpoints: somebody is told of accesses to memory. Costs no simulated time, and nothing at all while none is set.
 *
 * The fast paths to memory live on soft TLB entries (models/mmu/mmu.h). A page with something watched on it gets none, so its
 * accesses take the slow way, which costs the same cycles and looks:
 *   host-physical   the page has PAGE_WATCH; whoever reaches memory passes mem_before_read or mem_before_write: instructions,
 *                   page walks, devices' DMA, the modelled VMM, references to VMCSs and bitmaps
 *   linear          the accesses of instructions (the processor's own to descriptors and stacks too), in any address space
 *   guest-physical  the same where EPT is in force; elsewhere it is host-physical
 * Fetching instructions is no access, as for the processor's data breakpoints. A read-modify-write is a read, then a write. */
#ifndef MODELS_WATCH_H
#define MODELS_WATCH_H

#include "models/mmu/mmu.h"

#define WATCHES_MAX 64

struct machine;

enum watch_space { WATCH_LINEAR, WATCH_GUEST, WATCH_HOST };
enum { WATCH_READ = 1, WATCH_WRITE = 2 };

struct watch {
	uint32_t id;            /* given by watch_add, never reused in one machine */
	enum watch_space space;
	unsigned access;        /* bits */
	uint64_t first, last;   /* bytes */
	unsigned vm;            /* linear: while this virtual machine runs; 0: whoever runs */
};

enum watch_by { WATCH_BY_INSTRUCTION, WATCH_BY_WALK, WATCH_BY_DEVICE, WATCH_BY_VMM, WATCH_BY_CPU };
struct watch_access {
	unsigned cpu;           /* the one whose turn it is, for a device's */
	uint64_t address;       /* of the first byte that is watched, in the watch's space */
	unsigned size;          /* bytes from there */
	bool write;
	enum watch_by by;
};

struct watches {
	struct machine *m;
	struct watch at[WATCHES_MAX];
	unsigned n, physical, linear;   /* how many there are; those that look at RAM pages; those that look at translations */
	uint32_t next_id;
	bool quiet;             /* machine_stops_changed() */
	void (*hit)(void *who, const struct watch *w, const struct watch_access *a);
	void *hit_who;
};

/* The new watch's id, or 0 when there are WATCHES_MAX. machine_stops_changed() makes it count. */
uint32_t watch_add(struct watches *s, const struct watch *w);
bool watch_remove(struct watches *s, uint32_t id);
const char *watch_by_text(enum watch_by by);

/* ---- hooks: mem->watched, mmu->watches_page, mmu->watch_seen, mmu->watch_walk ---- */
void watch_physical(struct watches *s, hpa_t pa, unsigned len, bool write, enum mem_by by);
bool watch_page(void *who, const struct mmu *m, uint64_t lin);
void watch_walk(void *who, const struct mmu *m, gpa_t gpa, unsigned size, bool write);
void watch_linear(void *who, const struct mmu *m, uint64_t lin, hpa_t pa, unsigned size, bool write);

#endif
