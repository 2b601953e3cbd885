/* disk.h - the medium of a drive: an image file that is only read, and the sectors written
 * since, in memory.
 *
 * What was written is kept as the exclusive-or with the image, in lazily backed memory of the
 * image's size: an untouched disk costs nothing and is all zero, which is what snapshots
 * leave out. */
#ifndef IO_DISK_H
#define IO_DISK_H

#include "sim/base.h"
#include "sim/err.h"
#include "sim/snap.h"

#define SECTOR 512u

struct disk {
	int fd;                         /* -1: no medium */
	uint64_t sectors;
	uint64_t size;                  /* of the overlay: a multiple of the page size */
	uint8_t *overlay, *flags;
	struct snaps *snaps;
	uint64_t first_page;            /* of the overlay in the snapshots' numbering */
};

/* path NULL: no medium. */
int disk_open(struct disk *d, const char *path, const char *where, struct snaps *snaps,
              struct err *e);
void disk_close(struct disk *d);
static inline bool disk_present(const struct disk *d) { return d->sectors != 0; }
/* One sector; false when there is no such sector or the file cannot be read. */
bool disk_read(const struct disk *d, uint64_t lba, uint8_t buf[SECTOR]);
bool disk_write(struct disk *d, uint64_t lba, const uint8_t buf[SECTOR]);

#endif
