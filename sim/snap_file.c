/* snap_file.c - a snapshot as a file.
 *
 *   magic "VMSCSNAP" | u32 format | u32 sections | u64 RAM bytes, disks' changes included | u64 pages that follow |
 *   u64 checksum of this head
 *   per section:  name[24] | u32 version | u32 0 | u64 size | bytes | u64 checksum of all of these
 *   per page:     u64 page number, ascending | 4096 bytes       (zero pages are left out)
 *   u64 checksum of the pages
 *
 * Numbers are little-endian. A file is written beside its final name, synced and renamed, so that a
 * crash leaves the old one. A file being read is hostile: it is read whole (its size is bounded by
 * the machine's own), every length, name, version, order and checksum is checked, and only then
 * does anything change. */
#include "sim/snap_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT 1
static const char magic[8] = "VMSCSNAP";

struct head {
	char magic[8];
	uint32_t format, sections;
	uint64_t ram, pages, sum;
};

struct section_head {           /* a multiple of 8 bytes: the checksum runs over pieces of eight */
	char name[24];
	uint32_t version, zero;
	uint64_t size;
};

/* ---- writing ---- */

struct out { FILE *f; uint64_t sum; bool bad; };

static void put(struct out *o, const void *bytes, size_t n)
{
	o->sum = snap_mix(o->sum, bytes, n);
	if (fwrite(bytes, 1, n, o->f) != n)
		o->bad = true;
}

static void put_sum(struct out *o)
{
	uint64_t sum = o->sum;

	put(o, &sum, sizeof sum);
	o->sum = 0;
}

static void write_all(struct snaps *s, struct out *o)
{
	struct page_scan *scan = page_scan_new(s);
	struct head h = { .format = FORMAT, .sections = (uint32_t)s->sections,
	                  .ram = s->pages * PAGE_SIZE };

	memcpy(h.magic, magic, sizeof magic);
	for (uint64_t p = page_scan_next(scan, 0); p < s->pages; p = page_scan_next(scan, p + 1))
		h.pages++;
	h.sum = snap_mix(0, &h, offsetof(struct head, sum));
	put(o, &h, sizeof h);
	o->sum = 0;
	for (size_t i = 0; i < s->sections; i++) {
		const struct section *sec = &s->section[i];
		struct section_head sh = { .version = sec->version, .size = sec->size };

		memcpy(sh.name, sec->name, sizeof sh.name);
		put(o, &sh, sizeof sh);
		put(o, sec->state, sec->size);
		put_sum(o);
	}
	for (uint64_t p = page_scan_next(scan, 0); p < s->pages; p = page_scan_next(scan, p + 1)) {
		put(o, &p, 8);
		put(o, page_bytes(s, p), PAGE_SIZE);
	}
	put_sum(o);
	page_scan_free(scan);
}

/* The folder's entry must reach the disk too, or the rename may be lost. Failure is not an error:
 * some file systems cannot sync a folder. */
static void sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[4096];
	int fd;

	snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1,
	         slash ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

int snap_save(struct snaps *s, const char *path, struct err *e)
{
	char tmp[4096];
	struct out o = { 0 };
	mode_t mask = umask(0);
	int fd;

	umask(mask);
	if ((size_t)snprintf(tmp, sizeof tmp, "%s.XXXXXX", path) >= sizeof tmp)
		return err_set(e, path, NULL, "the file name is too long");
	fd = mkstemp(tmp);
	if (fd < 0)
		return err_set(e, path, NULL, "cannot write here: %s", strerror(errno));
	/* mkstemp makes private files; a snapshot is as public as any output */
	fchmod(fd, 0666 & ~mask);
	o.f = fdopen(fd, "wb");
	if (!o.f) {
		close(fd);
		unlink(tmp);
		return err_set(e, path, NULL, "cannot write here: %s", strerror(errno));
	}
	write_all(s, &o);
	if (fflush(o.f) != 0 || fsync(fd) != 0)
		o.bad = true;
	if (fclose(o.f) != 0)
		o.bad = true;
	if (o.bad || rename(tmp, path) != 0) {
		int why = errno;

		unlink(tmp);
		return err_set(e, path, NULL, "the snapshot could not be written: %s",
		               strerror(why));
	}
	sync_folder(path);
	return 0;
}

/* ---- reading ---- */

struct in {
	const uint8_t *bytes;
	size_t n, at;
	const char *path;
	struct err *e;
};

static const void *get(struct in *f, size_t n, const char *what)
{
	const uint8_t *p = f->bytes + f->at;

	if (n > f->n - f->at) {
		err_set(f->e, f->path, NULL, "the file ends in the middle of %s (byte %zu)", what,
		        f->n);
		return NULL;
	}
	f->at += n;
	return p;
}

static int check_sum(struct in *f, size_t from, const char *what)
{
	uint64_t sum = 0;
	const uint8_t *p = f->bytes + from;
	size_t n = f->at - from;
	const void *stored = get(f, 8, what);

	if (!stored)
		return -1;
	memcpy(&sum, stored, 8);
	if (sum != snap_mix(0, p, n))
		return err_set(f->e, f->path, "the file is damaged; take the snapshot again",
		               "wrong checksum of %s", what);
	return 0;
}

/* Check one section against the machine's own; *state is where its bytes begin. */
static int check_section(struct in *f, const struct section *sec, const void **state)
{
	struct section_head sh;
	size_t from = f->at;
	char what[48];
	const void *p;

	snprintf(what, sizeof what, "section '%s'", sec->name);
	if (!(p = get(f, sizeof sh, what)))
		return -1;
	memcpy(&sh, p, sizeof sh);
	if (memcmp(sh.name, sec->name, sizeof sh.name) != 0)
		return err_set(f->e, f->path, "restore it into a machine of the same configuration",
		               "%s was expected here (byte %zu)", what, from);
	if (sh.version != sec->version)
		return err_set(f->e, f->path, "take the snapshot again with this version of vmscope",
		               "%s has version %u, this vmscope reads version %u", what, sh.version,
		               sec->version);
	if (sh.size != sec->size)
		return err_set(f->e, f->path, "restore it into a machine of the same configuration",
		               "%s has %" PRIu64 " bytes, this machine's has %zu", what, sh.size,
		               sec->size);
	if (!(*state = get(f, sec->size, what)))
		return -1;
	if (check_sum(f, from, what) != 0)
		return -1;
	if (sec->valid && !sec->valid(sec->who, *state))
		return err_set(f->e, f->path, NULL, "%s holds a state this machine cannot be in",
		               what);
	return 0;
}

static int check_pages(struct in *f, uint64_t n, uint64_t limit)
{
	size_t from = f->at;
	uint64_t next = 0;

	for (uint64_t i = 0; i < n; i++) {
		const void *p = get(f, 8 + PAGE_SIZE, "RAM");
		uint64_t page;

		if (!p)
			return -1;
		memcpy(&page, p, 8);
		if (page < next || page >= limit)
			return err_set(f->e, f->path, NULL, "RAM page %" PRIu64 " is out of order or beyond the machine's %" PRIu64,
			               page, limit);
		next = page + 1;
	}
	if (check_sum(f, from, "RAM") != 0)
		return -1;
	if (f->at != f->n)
		return err_set(f->e, f->path, NULL, "%zu bytes too many at the end", f->n - f->at);
	return 0;
}

/* Put back RAM as the file has it: pages it lists, zero elsewhere. The old contents go to the
 * newest snapshot. */
static void apply_pages(struct snaps *s, const uint8_t *p, uint64_t n)
{
	static const uint8_t zero[PAGE_SIZE];

	struct page_scan *scan = page_scan_new(s);
	uint64_t used = page_scan_next(scan, 0);

	for (;;) {
		uint64_t page = used, number = NEVER;
		const uint8_t *want = zero;
		uint8_t *ram;

		if (n)
			memcpy(&number, p, 8);
		if (number <= page) {
			page = number;
			want = p + 8;
			p += 8 + PAGE_SIZE;
			n--;
		}
		if (page >= s->pages)
			break;
		if (used <= page)
			used = page_scan_next(scan, page + 1);
		ram = page_bytes(s, page);
		if (memcmp(ram, want, PAGE_SIZE) == 0)
			continue;
		snap_before_write(s, page);
		memcpy(ram, want, PAGE_SIZE);
	}
	page_scan_free(scan);
}

/* The whole file, or NULL. A file longer than any valid one is not read to its end. */
static uint8_t *read_whole(const char *path, size_t most, size_t *n, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t *buf = NULL;
	size_t room = 0;
	struct stat st;

	if (fd < 0) {
		err_set(e, path, NULL, "cannot open: %s", strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		err_set(e, path, NULL, "not a regular file");
		return NULL;
	}
	*n = 0;
	for (;;) {
		ssize_t got;

		if (*n == room) {
			room = room ? 2 * room : 1 << 16;
			if (room > most + 1)
				room = most + 1;
			if (*n == room)
				break;
			buf = xrealloc(buf, room);
		}
		got = read(fd, buf + *n, room - *n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			err_set(e, path, NULL, "cannot read: %s", strerror(errno));
		if (got <= 0)
			break;
		*n += (size_t)got;
	}
	close(fd);
	if (*n > most)
		err_set(e, path, "restore it into a machine of the same configuration",
		        "longer than any snapshot of this machine can be (%zu bytes)", most);
	if (e->text[0]) {
		free(buf);
		return NULL;
	}
	return buf;
}

static int check_all(struct snaps *s, struct in *f, struct head *h, const void **states,
                     size_t *pages_at)
{
	const void *p = get(f, sizeof *h, "the head");

	if (!p)
		return -1;
	memcpy(h, p, sizeof *h);
	if (memcmp(h->magic, magic, sizeof magic) != 0)
		return err_set(f->e, f->path, NULL, "not a vmscope snapshot");
	if (h->format != FORMAT)
		return err_set(f->e, f->path, "take the snapshot again with this version of vmscope",
		               "snapshot format %u, this vmscope reads format %d", h->format,
		               FORMAT);
	if (h->sum != snap_mix(0, h, offsetof(struct head, sum)))
		return err_set(f->e, f->path, "the file is damaged; take the snapshot again",
		               "wrong checksum of the head");
	if (h->ram != s->pages * PAGE_SIZE || h->sections != s->sections)
		return err_set(f->e, f->path, "restore it into a machine of the same configuration",
		               "taken on a machine with %" PRIu64 " bytes of RAM and %u sections; this one has %" PRIu64
		               " and %zu", h->ram, h->sections, s->pages * PAGE_SIZE, s->sections);
	for (size_t i = 0; i < s->sections; i++)
		if (check_section(f, &s->section[i], &states[i]) != 0)
			return -1;
	*pages_at = f->at;
	if (h->pages > h->ram / PAGE_SIZE)
		return err_set(f->e, f->path, NULL,
		               "%" PRIu64 " pages of RAM in a machine of %" PRIu64, h->pages,
		               h->ram / PAGE_SIZE);
	return check_pages(f, h->pages, h->ram / PAGE_SIZE);
}

int snap_load(struct snaps *s, const char *path, struct err *e)
{
	size_t most = sizeof(struct head) + 8 + s->pages * (8 + PAGE_SIZE);
	struct in f = { .path = path, .e = e };
	const void **states;
	uint8_t *bytes;
	struct head h;
	size_t pages_at = 0;
	int status;

	for (size_t i = 0; i < s->sections; i++)
		most += sizeof(struct section_head) + 8 + s->section[i].size;
	bytes = read_whole(path, most, &f.n, e);
	if (!bytes)
		return -1;
	f.bytes = bytes;
	states = xcalloc(s->sections, sizeof *states);
	status = check_all(s, &f, &h, states, &pages_at);
	if (status == 0) {
		for (size_t i = 0; i < s->sections; i++)
			memcpy(s->section[i].state, states[i], s->section[i].size);
		apply_pages(s, bytes + pages_at, h.pages);
		snaps_tell_restored(s);
	}
	free(states);
	free(bytes);
	return status;
}
