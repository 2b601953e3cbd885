/* disk.c - an image file under a copy-on-write overlay (disk.h). */
#include "models/io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_MAX (1ull << 44)           /* bytes; LBA48 could do more, address space could not */

int disk_open(struct disk *d, const char *path, const char *where, struct snaps *snaps,
              struct err *e)
{
	struct stat st;
	*d = (struct disk){ .fd = -1, .snaps = snaps };
	if (!path)
		return 0;
	d->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (d->fd < 0)
		return err_set(e, where, NULL, "disk image '%s': %s", path, strerror(errno));
	if (fstat(d->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		disk_close(d);
		return err_set(e, where, "a raw image is expected",
		               "disk image '%s' is not a regular file", path);
	}
	if (st.st_size == 0 || (uint64_t)st.st_size > DISK_MAX) {
		disk_close(d);
		return err_set(e, where, NULL, "disk image '%s' has %lld bytes: expected 1 to %llu",
		               path, (long long)st.st_size,
		               DISK_MAX);
	}
	d->size = ((uint64_t)st.st_size + PAGE_SIZE - 1) & PAGE_MASK;
	void *p = mmap(NULL, d->size, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *f = mmap(NULL, d->size / PAGE_SIZE, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	d->overlay = p == MAP_FAILED ? NULL : p;
	d->flags = f == MAP_FAILED ? NULL : f;
	if (!d->overlay || !d->flags) {
		disk_close(d);
		return err_set(e, where, NULL,
		               "disk image '%s': no address space for %lld bytes of changes", path,
		               (long long)st.st_size);
	}
	d->sectors = ((uint64_t)st.st_size + SECTOR - 1) / SECTOR;
	if (snaps) {
		const struct snap_ram changes = { d->overlay, d->size, d->flags };
		d->first_page = snaps_memory(snaps, &changes);
	}
	return 0;
}

void disk_close(struct disk *d)
{
	if (d->overlay)
		munmap(d->overlay, d->size);
	if (d->flags)
		munmap(d->flags, d->size / PAGE_SIZE);
	if (d->fd >= 0)
		close(d->fd);
	*d = (struct disk){ .fd = -1 };
}

/* A sector of the image; what lies beyond the end of the file is zero. */
static bool image_read(const struct disk *d, uint64_t lba, uint8_t buf[SECTOR])
{
	size_t got = 0;
	if (lba >= d->sectors)
		return false;
	while (got < SECTOR) {
		ssize_t n = pread(d->fd, buf + got, SECTOR - got, (off_t)(lba * SECTOR + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	memset(buf + got, 0, SECTOR - got);
	return true;
}

bool disk_read(const struct disk *d, uint64_t lba, uint8_t buf[SECTOR])
{
	if (!image_read(d, lba, buf))
		return false;
	const uint8_t *o = d->overlay + lba * SECTOR;
	for (unsigned i = 0; i < SECTOR; i++)
		buf[i] ^= o[i];
	return true;
}

bool disk_write(struct disk *d, uint64_t lba, const uint8_t buf[SECTOR])
{
	uint8_t image[SECTOR];
	if (!image_read(d, lba, image))
		return false;
	uint8_t *o = d->overlay + lba * SECTOR;
	uint64_t page = lba * SECTOR / PAGE_SIZE;
	if (d->flags[page] & RAM_CLEAN)
		snap_before_write(d->snaps, d->first_page + page);
	for (unsigned i = 0; i < SECTOR; i++)
		o[i] = image[i] ^ buf[i];
	return true;
}
