/* page_scan.c - which pages hold something. RAM is one lazily backed mapping: looking at every page
 * of a large machine would make the host back them all. Where the host tells (Linux:
 * /proc/self/pagemap) untouched pages are passed over; elsewhere each page is looked at. The answer
 * is the same. */
#include "sim/snap_impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOUCHED (3ull << 62)            /* present, or swapped out */
enum { WINDOW = 4096 };

struct page_scan {
	const struct snaps *s;
	int fd;                         /* -1: the host does not tell */
	uint64_t first, n;              /* the pages that `entry` speaks of */
	uint64_t entry[WINDOW];
};

struct page_scan *page_scan_new(const struct snaps *s)
{
	struct page_scan *scan = xcalloc(1, sizeof *scan);

	scan->s = s;
	scan->fd = sysconf(_SC_PAGESIZE) == PAGE_SIZE ?
	           open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC) : -1;
	return scan;
}

void page_scan_free(struct page_scan *scan)
{
	if (scan->fd >= 0)
		close(scan->fd);
	free(scan);
}

/* Fill the window from `page` on, at most to the end of its memory. */
static bool look(struct page_scan *scan, uint64_t page)
{
	uint64_t local = page, want;
	const struct snap_ram *m = page_home(scan->s, &local);
	uintptr_t at = (uintptr_t)(m->bytes + local * PAGE_SIZE);
	ssize_t got;

	if (at % PAGE_SIZE)
		return false;           /* no mapping of its own: its pages are not the host's */
	want = m->size / PAGE_SIZE - local < WINDOW ? m->size / PAGE_SIZE - local : WINDOW;
	got = pread(scan->fd, scan->entry, want * 8, (off_t)(at / PAGE_SIZE * 8));
	if (got <= 0)
		return false;
	scan->first = page;
	scan->n = (uint64_t)got / 8;
	return scan->n > 0;
}

uint64_t page_scan_next(struct page_scan *scan, uint64_t from)
{
	for (uint64_t p = from; p < scan->s->pages; p++) {
		bool known = p - scan->first < scan->n || (scan->fd >= 0 && look(scan, p));

		if (known && !(scan->entry[p - scan->first] & TOUCHED))
			continue;
		if (!page_is_zero(page_bytes(scan->s, p)))
			return p;
	}
	return scan->s->pages;
}
