/* The IDE controller. Sentences in quotes: ATA/ATAPI-7. */
#include "rig.h"

#include <stdio.h>
#include <unistd.h>

#include "models/io/ide.h"

#define SECTORS 2048u

struct ata { struct rig *r; struct ide d; struct pci p; char path[64]; };

enum { DATA = 0x1f0, ERROR, COUNT, LOW, MID, HIGH, DEVICE, STATUS, CONTROL = 0x3f6 };
#define BM 0xc000

static struct ata *ata_new(bool slave_only)
{
	struct ata *a = calloc(1, sizeof *a);
	struct err e = { "" };
	a->r = rig_new(1000000000);
	a->d.irq[0] = rig_wire(a->r, 14);
	a->d.irq[1] = rig_wire(a->r, 15);
	chip_init(&a->p.chip, "pci", &pci_dev, &a->r->env);
	chip_init(&a->d.chip, "ide", &ide_dev, &a->r->env);
	for (unsigned i = 0; i < 2; i++) {
		bus_map(&a->r->bus, BUS_PORT, i ? 0x170 : 0x1f0, 1, &ide_data_io[i], &a->d);
		bus_map(&a->r->bus, BUS_PORT, i ? 0x171 : 0x1f1, 7, &ide_task_io[i], &a->d);
		bus_map(&a->r->bus, BUS_PORT, i ? 0x376 : 0x3f6, 1, &ide_control_io[i], &a->d);
	}
	snprintf(a->path, sizeof a->path, "/tmp/vmscope-ide-%d-XXXXXX", (int)getpid());
	int fd = mkstemp(a->path);
	cr_assert(ge(int, fd, 0));
	for (unsigned s = 0; s < SECTORS; s++) {
		uint8_t b[SECTOR];
		memset(b, (int)(s * 7 + 1), sizeof b);
		b[0] = (uint8_t)s, b[1] = (uint8_t)(s >> 8);
		cr_assert(eq(sz, (size_t)write(fd, b, sizeof b), SECTOR));
	}
	close(fd);
	const char *image[4] = { slave_only ? NULL : a->path, slave_only ? a->path : NULL, NULL, NULL };
	cr_assert(eq(int, ide_attach(&a->d, image, NULL, &a->p, &e), 0), "%s", e.text);
	return a;
}
static void ata_free(struct ata *a)
{
	unlink(a->path);
	ide_fini(&a->d);
	rig_free(a->r);
	free(a);
}
static void lba28(struct ata *a, uint32_t lba, uint8_t count)
{
	out8(a->r, COUNT, count);
	out8(a->r, LOW, (uint8_t)lba);
	out8(a->r, MID, (uint8_t)(lba >> 8));
	out8(a->r, HIGH, (uint8_t)(lba >> 16));
	out8(a->r, DEVICE, (uint8_t)(0xe0 | lba >> 24));
}
static uint8_t wait(struct ata *a)
{
	for (int i = 0; i < 1000 && in8(a->r, CONTROL) & 0x80; i++)
		rig_run(a->r, 1000000);
	return in8(a->r, STATUS);
}
static void read_data(struct ata *a, uint8_t *b, unsigned n)
{
	for (unsigned i = 0; i < n; i += 2) {
		uint64_t v = rig_in(a->r, DATA, 2);
		b[i] = (uint8_t)v, b[i + 1] = (uint8_t)(v >> 8);
	}
}
static void expect_sector(const uint8_t *b, unsigned s)
{
	cr_expect(eq(u32, b[0] | b[1] << 8, s & 0xffff));
	cr_expect(eq(u8, b[511], (uint8_t)(s * 7 + 1)));
}

Test(ide, identify)
{
	struct ata *a = ata_new(false);
	uint8_t b[512];
	out8(a->r, DEVICE, 0xa0);
	out8(a->r, STATUS, 0xec);
	cr_expect(eq(u8, in8(a->r, CONTROL) & 0x88, 0x80), "busy, no data yet");
	cr_expect(eq(u8, wait(a), 0x58));
	read_data(a, b, 512);
	cr_expect(eq(u32, b[120] | b[121] << 8 | (uint32_t)b[122] << 16 | (uint32_t)b[123] << 24, SECTORS));
	cr_expect(eq(u32, b[200] | b[201] << 8, SECTORS));
	cr_expect(eq(u8, b[55], 'V'), "characters are swapped in words");
	cr_expect(eq(u8, in8(a->r, STATUS), 0x50));
	ata_free(a);
}

/* "the device shall ... set the DRQ bit ... assert INTRQ" for each block; "INTRQ is negated by reading Status" */
Test(ide, read_sectors_by_pio)
{
	struct ata *a = ata_new(false);
	uint8_t b[512];
	lba28(a, 5, 3);
	out8(a->r, STATUS, 0x20);
	for (unsigned s = 5; s < 8; s++) {
		cr_expect(not(a->r->lamp[14]));
		rig_run(a->r, 1000000);
		cr_expect(a->r->lamp[14]);
		cr_expect(eq(u8, in8(a->r, CONTROL), 0x58));
		cr_expect(a->r->lamp[14], "the alternate status does not clear it");
		cr_expect(eq(u8, in8(a->r, STATUS), 0x58));
		cr_expect(not(a->r->lamp[14]));
		read_data(a, b, 512);
		expect_sector(b, s);
	}
	cr_expect(eq(u8, wait(a), 0x50));
	cr_expect(eq(u64, a->r->stat[IO_STAT_IDE_READ], 3));
	ata_free(a);
}

Test(ide, writes_go_to_memory_not_to_the_file)
{
	struct ata *a = ata_new(false);
	uint8_t b[512];
	lba28(a, 9, 1);
	out8(a->r, STATUS, 0x30);
	cr_expect(eq(u8, in8(a->r, STATUS), 0x58), "data is wanted at once");
	cr_expect(not(a->r->lamp[14]), "without an interrupt");
	for (int i = 0; i < 128; i++)
		rig_out(a->r, DATA, 4, 0xa5a5a5a5);
	rig_run(a->r, 1000000);
	cr_expect(a->r->lamp[14]);
	cr_expect(eq(u8, wait(a), 0x50));
	lba28(a, 9, 1);
	out8(a->r, STATUS, 0x20);
	wait(a);
	read_data(a, b, 512);
	cr_expect(eq(u8, b[0], 0xa5));
	cr_expect(eq(u8, b[511], 0xa5));
	FILE *f = fopen(a->path, "rb");
	fseek(f, 9 * 512, SEEK_SET);
	cr_assert(eq(sz, fread(b, 1, 512, f), 512));
	fclose(f);
	expect_sector(b, 9);
	ata_free(a);
}

/* "IDNF ... a requested user-accessible address could not be found" */
Test(ide, addresses_end_at_the_medium)
{
	struct ata *a = ata_new(false);
	const struct { uint32_t lba; uint8_t count; bool ok; } row[] = {
		{ SECTORS - 1, 1, true }, { SECTORS, 1, false }, { SECTORS - 1, 2, false }, { SECTORS - 256, 0, true },
		{ SECTORS - 255, 0, false }, { 0xfffffff, 1, false }, { 0, 1, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		out8(a->r, CONTROL, 4);
		out8(a->r, CONTROL, 0);
		wait(a);
		lba28(a, row[i].lba, row[i].count);
		out8(a->r, STATUS, 0x20);
		uint8_t s = wait(a);
		cr_expect(eq(u8, s & 1, !row[i].ok), "sector %#x", row[i].lba);
		if (!row[i].ok)
			cr_expect(eq(u8, in8(a->r, ERROR), 0x10));
	}
	ata_free(a);
}

Test(ide, lba48_uses_what_was_written_before)
{
	struct ata *a = ata_new(false);
	uint8_t b[512];
	const struct { unsigned reg; uint8_t v; } words[] = { { COUNT, 0 }, { COUNT, 1 }, { LOW, 0 }, { LOW, 0x34 }, { MID, 0 },
	                                                      { MID, 0x02 }, { HIGH, 0 }, { HIGH, 0 }, { DEVICE, 0x40 } };
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		out8(a->r, words[i].reg, words[i].v);
	out8(a->r, STATUS, 0x24);
	cr_expect(eq(u8, wait(a), 0x58));
	read_data(a, b, 512);
	expect_sector(b, 0x234);
	out8(a->r, CONTROL, 0x80);
	cr_expect(eq(u8, in8(a->r, LOW), 0), "HOB shows the previous contents");
	out8(a->r, CONTROL, 0);
	out8(a->r, LOW, 0x01);          /* the previous one becomes 34H: beyond the end */
	out8(a->r, STATUS, 0x24);
	cr_expect(eq(u8, wait(a) & 1, 1));
	ata_free(a);
}

Test(ide, chs_addresses)
{
	struct ata *a = ata_new(false);
	uint8_t b[512];
	out8(a->r, COUNT, 1), out8(a->r, LOW, 2), out8(a->r, MID, 1), out8(a->r, HIGH, 0), out8(a->r, DEVICE, 0xa3);
	out8(a->r, STATUS, 0x20);
	cr_expect(eq(u8, wait(a), 0x58));
	read_data(a, b, 512);
	expect_sector(b, (1 * 16 + 3) * 63 + 1);
	out8(a->r, LOW, 0);
	out8(a->r, STATUS, 0x20);
	cr_expect(eq(u8, wait(a) & 1, 1), "sectors count from 1");
	ata_free(a);
}

/* "If ... Read Multiple is disabled, the device shall ... abort" */
Test(ide, multiple)
{
	struct ata *a = ata_new(false);
	uint8_t b[8192];
	lba28(a, 0, 10);
	out8(a->r, STATUS, 0xc4);
	cr_expect(eq(u8, wait(a) & 1, 1));
	out8(a->r, COUNT, 3);
	out8(a->r, STATUS, 0xc6);
	cr_expect(eq(u8, wait(a) & 1, 1), "3 is no power of two");
	out8(a->r, COUNT, 32);
	out8(a->r, STATUS, 0xc6);
	cr_expect(eq(u8, wait(a) & 1, 1), "32 is too many");
	out8(a->r, COUNT, 8);
	out8(a->r, STATUS, 0xc6);
	cr_expect(eq(u8, wait(a), 0x50));
	unsigned before = a->r->rises[14];
	lba28(a, 0, 10);
	out8(a->r, STATUS, 0xc4);
	wait(a);
	read_data(a, b, 8 * 512);
	cr_expect(eq(u8, wait(a), 0x58));
	read_data(a, b, 2 * 512);
	expect_sector(b + 512, 9);
	cr_expect(eq(u32, a->r->rises[14] - before, 2), "one interrupt a block");
	cr_expect(eq(u8, wait(a), 0x50));
	ata_free(a);
}

static void prd(struct ata *a, unsigned i, uint32_t addr, uint32_t count, bool last)
{
	mem_write32(&a->r->mem, HPA(0x1000 + 8 * i), addr);
	mem_write32(&a->r->mem, HPA(0x1004 + 8 * i), count | (uint32_t)last << 31);
}
static void dma_go(struct ata *a, uint8_t command, uint8_t count, bool to_memory)
{
	rig_out(a->r, BM + 4, 4, 0x1000);
	out8(a->r, BM + 2, 0x06);
	lba28(a, 16, count);
	out8(a->r, STATUS, command);
	out8(a->r, BM, to_memory ? 0x09 : 0x01);
}

Test(ide, dma_scatters_by_the_table)
{
	struct ata *a = ata_new(false);
	uint8_t b[1024];
	prd(a, 0, 0x8000, 100, false);
	prd(a, 1, 0x9000, 924, true);
	dma_go(a, 0xc8, 2, true);
	cr_expect(eq(u8, in8(a->r, BM + 2) & 7, 1), "active");
	rig_run(a->r, 10000000);
	cr_expect(a->r->lamp[14]);
	cr_expect(eq(u8, in8(a->r, BM + 2) & 7, 4), "done: interrupt, not active");
	cr_expect(eq(u8, in8(a->r, STATUS), 0x50));
	mem_read(&a->r->mem, HPA(0x8000), b, 100);
	mem_read(&a->r->mem, HPA(0x9000), b + 100, 924);
	expect_sector(b, 16);
	expect_sector(b + 512, 17);
	cr_expect(eq(u8, b[99], (uint8_t)(16 * 7 + 1)));
	out8(a->r, BM + 2, 0x04);
	cr_expect(eq(u8, in8(a->r, BM + 2) & 7, 0));
	ata_free(a);
}

Test(ide, dma_writes)
{
	struct ata *a = ata_new(false);
	uint8_t b[512];
	memset(b, 0x3c, sizeof b);
	mem_write(&a->r->mem, HPA(0x8000), b, 512);
	prd(a, 0, 0x8000, 512, true);
	dma_go(a, 0xca, 1, false);
	rig_run(a->r, 10000000);
	cr_expect(eq(u8, in8(a->r, STATUS), 0x50));
	lba28(a, 16, 1);
	out8(a->r, STATUS, 0x20);
	wait(a);
	read_data(a, b, 512);
	cr_expect(eq(u8, b[300], 0x3c));
	ata_free(a);
}

/* Bus master programming interface: "Interrupt 0, Active 0: ... the PRD's specified a smaller size than the IDE transfer" */
Test(ide, a_table_too_short_leaves_the_drive_waiting)
{
	struct ata *a = ata_new(false);
	prd(a, 0, 0x8000, 512, true);
	dma_go(a, 0xc8, 2, true);
	rig_run(a->r, 10000000);
	cr_expect(eq(u8, in8(a->r, BM + 2) & 7, 0));
	cr_expect(eq(u8, in8(a->r, CONTROL), 0x58));
	cr_expect(not(a->r->lamp[14]));
	ata_free(a);
}

/* A hostile table: beyond memory, without an end, of two-byte pieces. */
Test(ide, a_table_without_an_end_ends)
{
	struct ata *a = ata_new(false);
	for (unsigned i = 0; i < 16384; i++)
		prd(a, i, 0xfffffff0 + 2 * i, 2, false);
	dma_go(a, 0xc8, 0, true);
	rig_run(a->r, 10000000);
	cr_expect(eq(u8, in8(a->r, BM + 2) & 1, 0));
	rig_out(a->r, BM + 4, 4, 0xfffffffc);
	out8(a->r, BM, 0);
	out8(a->r, BM, 0x09);
	rig_run(a->r, 10000000);
	cr_expect(lt(u32, in8(a->r, BM), 16));
	ata_free(a);
}

Test(ide, absent_drives)
{
	struct ata *a = ata_new(false);
	cr_expect(eq(u8, in8(a->r, 0x177), 0x7f), "no drive on the channel: it floats");
	out8(a->r, 0x177, 0xec);
	cr_expect(not(a->r->lamp[15]));
	out8(a->r, DEVICE, 0xb0);
	cr_expect(eq(u8, in8(a->r, STATUS), 0), "device 0 answers for the absent device 1");
	out8(a->r, STATUS, 0xec);
	rig_run(a->r, 1000000);
	cr_expect(not(a->r->lamp[14]));
	ata_free(a);
}

Test(ide, a_slave_alone_works)
{
	struct ata *a = ata_new(true);
	uint8_t b[512];
	lba28(a, 3, 1);
	out8(a->r, DEVICE, 0xf0);
	cr_expect(eq(u8, in8(a->r, STATUS), 0x50));
	out8(a->r, STATUS, 0x20);
	cr_expect(eq(u8, wait(a), 0x58));
	read_data(a, b, 512);
	expect_sector(b, 3);
	ata_free(a);
}

/* Software reset: signature 01 01 00 00, error 01. nIEN holds the line back. */
Test(ide, software_reset_and_nien)
{
	struct ata *a = ata_new(false);
	out8(a->r, CONTROL, 0x06);
	cr_expect(eq(u8, in8(a->r, CONTROL), 0x80));
	out8(a->r, CONTROL, 0x02);
	cr_expect(eq(u8, wait(a), 0x50));
	cr_expect(eq(u8, in8(a->r, COUNT), 1));
	cr_expect(eq(u8, in8(a->r, LOW), 1));
	cr_expect(eq(u8, in8(a->r, MID), 0));
	cr_expect(eq(u8, in8(a->r, ERROR), 1));
	lba28(a, 0, 1);
	out8(a->r, STATUS, 0x20);
	rig_run(a->r, 1000000);
	cr_expect(not(a->r->lamp[14]));
	out8(a->r, CONTROL, 0);
	cr_expect(a->r->lamp[14], "held back, not lost");
	ata_free(a);
}

Test(ide, unknown_commands_abort)
{
	struct ata *a = ata_new(false);
	const uint8_t bad[] = { 0x00, 0x08, 0xa0, 0xa1, 0xb0, 0xff };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		out8(a->r, STATUS, bad[i]);
		cr_expect(eq(u8, wait(a) & 1, 1), "command %#x", bad[i]);
		cr_expect(eq(u8, in8(a->r, ERROR), 4));
	}
	out8(a->r, STATUS, 0xe7);
	cr_expect(eq(u8, wait(a), 0x50), "FLUSH CACHE");
	ata_free(a);
}

Test(ide, an_image_that_is_none_is_refused_by_name)
{
	struct disk d;
	struct err e = { "" };
	cr_expect(eq(int, disk_open(&d, "/nonexistent/x.img", "here", NULL, &e), -1));
	cr_expect(eq(str, e.text, "here: disk image '/nonexistent/x.img': No such file or directory"));
	memset(&e, 0, sizeof e);
	cr_expect(eq(int, disk_open(&d, "/", "here", NULL, &e), -1));
	cr_expect(strstr(e.text, "is not a regular file") != NULL, "%s", e.text);
	memset(&e, 0, sizeof e);
	cr_expect(eq(int, disk_open(&d, NULL, NULL, NULL, &e), 0));
	cr_expect(not(disk_present(&d)));
}
