/* A disk's changes: in memory only, and part of every snapshot. */
#include "rig.h"

#include <stdio.h>
#include <unistd.h>

#include "models/io/disk.h"
#include "sim/snap.h"

#define PAGES 4

static char path[64], saved[80];
static uint8_t ram[PAGE_SIZE], flags[1], sector[SECTOR];
static struct snaps *snaps;
static struct disk d;

static void setup(void)
{
	struct err e = { "" };
	snprintf(path, sizeof path, "/tmp/vmscope-disk-XXXXXX");
	int fd = mkstemp(path);
	for (unsigned i = 0; i < PAGES * PAGE_SIZE - 100; i++)
		cr_assert(eq(sz, (size_t)write(fd, &(uint8_t){ (uint8_t)(i / SECTOR) }, 1), 1));
	close(fd);
	snaps = snaps_new();
	snaps_ram(snaps, &(struct snap_ram){ ram, sizeof ram, flags });
	cr_assert(eq(int, disk_open(&d, path, NULL, snaps, &e), 0), "%s", e.text);
}
static void teardown(void)
{
	snaps_free(snaps);
	disk_close(&d);
	unlink(path);
}
TestSuite(disk, .init = setup, .fini = teardown);

static uint8_t first(uint64_t lba)
{
	cr_assert(disk_read(&d, lba, sector));
	return sector[0];
}
static void fill(uint64_t lba, uint8_t v)
{
	memset(sector, v, sizeof sector);
	cr_assert(disk_write(&d, lba, sector));
}

Test(disk, the_last_sector_is_filled_up_with_zeros)
{
	cr_expect(eq(u64, d.sectors, PAGES * 8));
	cr_expect(eq(u8, first(31), 31));
	cr_expect(eq(u8, sector[SECTOR - 101], 31));
	cr_expect(eq(u8, sector[SECTOR - 100], 0));
	cr_expect(not(disk_read(&d, 32, sector)));
	cr_expect(not(disk_read(&d, ~0ull, sector)));
	cr_expect(not(disk_write(&d, 32, sector)));
}

Test(disk, snapshots_keep_it)
{
	fill(5, 0xaa);
	struct snap *a = snap_take(snaps, "a");
	uint64_t hash = snaps_hash(snaps);
	char where[64];
	fill(5, 0xbb);
	fill(20, 0xcc);
	cr_expect(snap_differs(snaps, a, where, sizeof where));
	struct snap *b = snap_take(snaps, "b");
	fill(20, 0xdd);
	snap_restore(snaps, a);
	cr_expect(eq(u8, first(5), 0xaa));
	cr_expect(eq(u8, first(20), 20));
	cr_expect(eq(u64, snaps_hash(snaps), hash));
	snap_restore(snaps, b);
	cr_expect(eq(u8, first(5), 0xbb));
	cr_expect(eq(u8, first(20), 0xcc));
}

/* "Untouched is all zero": writing the image's own bytes back leaves no change behind. */
Test(disk, a_change_taken_back_is_no_change)
{
	uint64_t hash = snaps_hash(snaps);
	fill(7, 1);
	cr_expect(ne(u64, snaps_hash(snaps), hash));
	fill(7, 7);
	cr_expect(eq(u64, snaps_hash(snaps), hash));
}

Test(disk, a_snapshot_file_has_it)
{
	struct err e = { "" };
	snprintf(saved, sizeof saved, "%s.snap", path);
	ram[10] = 1;
	fill(9, 0x99);
	cr_assert(eq(int, snap_save(snaps, saved, &e), 0), "%s", e.text);
	ram[10] = 2;
	fill(9, 0x11);
	fill(30, 0x22);
	cr_assert(eq(int, snap_load(snaps, saved, &e), 0), "%s", e.text);
	cr_expect(eq(u8, ram[10], 1));
	cr_expect(eq(u8, first(9), 0x99));
	cr_expect(eq(u8, first(30), 30));
	unlink(saved);
}
