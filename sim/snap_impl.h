/* snap_impl.h - what snap.c (in memory) and snap_file.c (on disk) share; nobody else
 * includes it. */
#ifndef SIM_SNAP_IMPL_H
#define SIM_SNAP_IMPL_H

#include "sim/snap.h"

#define SNAP_MEMORIES 8

struct chunk { uint32_t refs, pad; uint8_t bytes[]; };          /* shared by the snapshots that have it in common */

struct kept_page { uint64_t page; struct chunk *bytes; };       /* NULL: all zero */
struct page_map {
	struct kept_page *kept;         /* in the order they were kept */
	uint32_t *slot;                 /* open addressing: index into kept, plus 1 */
	size_t n, room;                 /* room: slots, a power of two; kept has half as many */
};

struct section {
	char name[24];
	uint32_t version;
	void *state;
	size_t size;
	bool (*valid)(void *who, const void *state);
	void *who;
};
struct snap_hook { void (*taken)(void *who), (*restored)(void *who); void *who; };

struct snap {
	char label[32];
	struct snap *older, *newer;
	struct chunk ***section;        /* [section][chunk of a page's size] */
	/* old contents of pages written before the successor was taken */
	struct page_map pages;
	/* bytes of sections not shared with the predecessor when taken */
	uint64_t own;
};

struct snaps {
	struct section *section;
	size_t sections;
	struct snap_ram memory[SNAP_MEMORIES];  /* RAM first */
	unsigned memories;
	uint64_t pages;                 /* of all of them, numbered through */
	struct snap_hook *hook;
	size_t hooks;
	struct snap *oldest, *newest;
};

/* The memory that has page *page, and the page's number in it. */
static inline const struct snap_ram *page_home(const struct snaps *s, uint64_t *page)
{
	const struct snap_ram *m = s->memory;

	while (*page >= m->size / PAGE_SIZE) {
		*page -= m->size / PAGE_SIZE;
		m++;
	}
	return m;
}
static inline uint8_t *page_bytes(const struct snaps *s, uint64_t page)
{
	const struct snap_ram *m = page_home(s, &page);

	return m->bytes + page * PAGE_SIZE;
}
static inline uint8_t *page_flags(const struct snaps *s, uint64_t page)
{
	const struct snap_ram *m = page_home(s, &page);

	return &m->flags[page];
}

size_t section_chunks(const struct section *s);
bool page_is_zero(const uint8_t *p);
uint64_t snap_mix(uint64_t h, const void *bytes, size_t n);     /* hash and checksum */
void snaps_tell_restored(struct snaps *s);

/* page_scan.c: the pages that are not all zero, in order. */
struct page_scan;
struct page_scan *page_scan_new(const struct snaps *s);
void page_scan_free(struct page_scan *scan);
uint64_t page_scan_next(struct page_scan *scan, uint64_t from);        /* the first at or after `from`, or the number of pages */

#endif
