/* snap.h - snapshots: the machine's whole state at one moment, cheap to take, exact to restore.
 *
 * State is a list of sections (name, pointer, size: plain structs without pointers) plus RAM.
 * RAM is copy-on-write by page: taking a snapshot marks every page clean; whoever writes a
 * clean page calls snap_before_write() first, which keeps the old contents in the newest
 * snapshot. So a snapshot costs the sections plus the pages written after it. The file form is
 * versioned and checksummed, written to a temporary name, synced and renamed; a file is hostile
 * input when read. */
#ifndef SIM_SNAP_H
#define SIM_SNAP_H

#include "sim/base.h"
#include "sim/err.h"

#define RAM_CLEAN 0x80          /* page flag: unchanged since the newest snapshot */

struct snap_ram {               /* borrowed from models/mmu/mem.c */
	uint8_t *bytes;
	uint64_t size;          /* bytes, a multiple of the page size */
	uint8_t *flags;         /* one byte a page; RAM_CLEAN is ours, the rest the owner's */
};

struct snap;                    /* one snapshot */
struct snaps;                   /* all of one machine's, oldest first */

struct snaps *snaps_new(void);
void snaps_free(struct snaps *s);
void snaps_section(struct snaps *s, const char *name, uint32_t version, void *state, size_t size);
/* A file is hostile: its checksums can be right and its numbers not. Whoever uses a section's
 * numbers as indices says here what is possible; snap_load() asks before anything changes. `state`
 * is unaligned bytes of the section's size. */
void snaps_valid(struct snaps *s, const char *name, bool (*valid)(void *who, const void *state),
                 void *who);
void snaps_ram(struct snaps *s, const struct snap_ram *ram);
/* Another memory kept page by page like RAM (what was written to a disk), after snaps_ram().
 * Returns the number its first page has for snap_before_write(); RAM's pages begin at 0. */
uint64_t snaps_memory(struct snaps *s, const struct snap_ram *memory);
/* Hooks: `taken` after a snapshot was taken (drop fast write paths), `restored` after state changed
 * under everyone's feet (drop everything derived: decoded blocks, soft TLBs). */
void snaps_hook(struct snaps *s, void (*taken)(void *who), void (*restored)(void *who), void *who);
void snap_before_write(struct snaps *s, uint64_t page);

struct snap *snap_take(struct snaps *s, const char *label);
void snap_restore(struct snaps *s, const struct snap *sn);      /* sn and older ones stay valid; newer ones too */
void snap_drop(struct snaps *s, struct snap *sn);
uint64_t snaps_hash(const struct snaps *s);                     /* of the present state, RAM included; zero pages count as absent */
/* First section and byte that differ between the present state and sn; false when equal. */
bool snap_differs(const struct snaps *s, const struct snap *sn, char *where, size_t n);
uint64_t snap_bytes(const struct snap *sn);                     /* host memory it holds */
int snap_save(struct snaps *s, const char *path, struct err *e);   /* the present state */
int snap_load(struct snaps *s, const char *path, struct err *e);   /* all or nothing */

#endif
