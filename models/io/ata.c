/* ata.c - the drives of an IDE channel: commands, and how their data moves.
 * Source: ATA/ATAPI-7 Vol. 1 and 2 (T13/1532D); Programming Interface for Bus Master IDE Controller 1.0.
 *
 *   PRD     address (bit 0 zero) | byte count, 0: 64 KB | 31 of the second word: last entry
 *
 * Time: a command takes 20 us to reach the medium and 4 us a sector (a fast drive on a 133 MB/s bus: the point is
 * that polling loops and interrupts both do their work). A DMA transfer moves its memory at its end.
 * Simplified: no packet devices, no media errors but addresses beyond the end, no power management beyond answering;
 * the drives share a task file, as they do electrically. */
#include "models/io/ata.h"

#include <stdio.h>
#include <string.h>

#define ST_ERR  0x01
#define ER_ABRT 0x04
#define ER_IDNF 0x10
#define DEV_LBA 0x40
#define PRD_MAX 8192                    /* entries in a table of 64 KB, the most there can be */
#define HEADS   16
#define SECTORS 63

static struct disk *disk_of(struct ide *d, const struct ide_channel *c, unsigned drive)
{
	return &d->disk[2 * ata_channel(d, c) + drive];
}

bool ata_present(struct ide *d, const struct ide_channel *c, unsigned drive)
{
	return disk_present(disk_of(d, c, drive));
}

void ata_irq(struct ide *d, struct ide_channel *c, bool on)
{
	c->irq = on;
	bool line = on && !(c->control & CTL_NIEN);
	if (line)
		c->bm_status |= BMIS_IRQ;
	irq_set(&d->irq[ata_channel(d, c)], line);
}

void ata_after(struct ide *d, struct ide_channel *c, enum phase phase, uint64_t ns)
{
	struct evq *q = d->chip.env->evq;
	c->phase = phase;
	c->status = ST_BSY | ST_READY;
	evq_cancel(q, d->chip.owner, ata_channel(d, c));
	evq_add(q, d->chip.owner, chip_now(&d->chip) + chip_ns(&d->chip, ns), ata_channel(d, c), 0);
}

static void finish(struct ide *d, struct ide_channel *c, uint8_t error)
{
	c->phase = IDLE;
	c->error = error;
	c->status = ST_READY | (error ? ST_ERR : 0);
	chip_trace(&d->chip, IO_TRACE_IDE_DONE, ata_channel(d, c), c->status, c->error, 0);
	ata_irq(d, c, true);
}

static void data_ready(struct ide *d, struct ide_channel *c, enum phase phase, uint32_t bytes,
                       bool irq)
{
	c->phase = phase;
	c->pos = 0;
	c->end = bytes;
	c->status = ST_READY | ST_DRQ;
	chip_trace(&d->chip, IO_TRACE_IDE_DONE, ata_channel(d, c), c->status, 0, 0);
	if (irq)
		ata_irq(d, c, true);
}

/* ---- addresses ---- */
struct address { uint64_t lba; uint32_t count; bool bad; };

static struct address address_of(struct ide *d, const struct ide_channel *c, bool ext)
{
	const struct ide_drive *v = &c->d[ata_selected(c)];
	struct address a = { .count = c->count[0] ? c->count[0] : 256 };
	if (ext) {
		a.lba = (uint64_t)c->lba_high[1] << 40 | (uint64_t)c->lba_mid[1] << 32 |
		        (uint64_t)c->lba_low[1] << 24
		        | (uint64_t)c->lba_high[0] << 16 | (uint64_t)c->lba_mid[0] << 8 |
		        c->lba_low[0];
		a.count = (uint32_t)c->count[1] << 8 | c->count[0];
		if (!a.count)
			a.count = 65536;
	} else if (c->device & DEV_LBA) {
		a.lba = (uint64_t)(c->device & 15) << 24 | (uint64_t)c->lba_high[0] << 16 |
		        (uint64_t)c->lba_mid[0] << 8 | c->lba_low[0];
	} else {
		uint64_t cyl = (uint64_t)c->lba_high[0] << 8 | c->lba_mid[0];
		a.bad = c->lba_low[0] == 0 || c->lba_low[0] > v->sectors ||
		        (c->device & 15) >= v->heads;
		a.lba = (cyl * v->heads + (c->device & 15)) * v->sectors + c->lba_low[0] - 1u;
	}
	uint64_t size = disk_of(d, c, ata_selected(c))->sectors;
	a.bad |= a.lba >= size || a.count > size - a.lba;
	return a;
}

/* ---- IDENTIFY DEVICE ---- */
static void text(uint8_t *w, const char *s, unsigned n)         /* bytes of each word swapped, padded with blanks */
{
	for (unsigned i = 0; i < n; i++)
		w[i ^ 1] = (uint8_t)(*s ? *s++ : ' ');
}

static void identify(struct ide *d, struct ide_channel *c)
{
	const struct ide_drive *v = &c->d[c->drive];
	uint64_t size = disk_of(d, c, c->drive)->sectors, cyl = size / (HEADS * SECTORS);
	uint32_t lba28 = size > 0xfffffff ? 0xfffffff : (uint32_t)size;
	uint16_t w[256] = { 0 };
	uint64_t chs_cyl = v->heads && v->sectors ? size / ((uint64_t)v->heads * v->sectors) : 0;
	char serial[21];
	if (cyl > 16383)
		cyl = 16383;
	if (chs_cyl > 65535)
		chs_cyl = 65535;
	uint32_t chs = (uint32_t)chs_cyl * v->heads * v->sectors;
	w[0] = 0x0040;                                  /* fixed drive */
	w[1] = (uint16_t)cyl;
	w[3] = HEADS;
	w[6] = SECTORS;
	w[47] = 0x8000 | IDE_BLOCK_MAX;
	w[48] = 1;                                      /* 32-bit data register */
	w[49] = 0x0b00;                                 /* LBA, DMA, IORDY */
	w[51] = 0x0200;
	w[53] = 7;                                      /* words 54-58, 64-70, 88 are valid */
	w[54] = (uint16_t)chs_cyl;
	w[55] = v->heads;
	w[56] = v->sectors;
	w[57] = (uint16_t)chs;
	w[58] = (uint16_t)(chs >> 16);
	w[59] = v->multiple ? 0x100 | v->multiple : 0;
	w[60] = (uint16_t)lba28;
	w[61] = (uint16_t)(lba28 >> 16);
	w[63] = (uint16_t)(7 | v->mdma << 8);
	w[64] = 3;                                      /* PIO 3 and 4 */
	w[65] = w[66] = w[67] = w[68] = 120;
	w[80] = 0x00f0;                                 /* ATA/ATAPI-4 to -7 */
	w[82] = w[85] = 0x4020;                         /* NOP; write cache */
	w[83] = w[86] = 0x7400;                         /* FLUSH CACHE (EXT), 48-bit addresses */
	w[84] = w[87] = 0x4000;
	w[86] &= 0x3fff;
	w[88] = (uint16_t)(0x3f | v->udma << 8);
	w[93] = (uint16_t)(0x6001 | (c->drive ? 0x0200 : 0));   /* 80-conductor cable */
	for (int i = 0; i < 4; i++)
		w[100 + i] = (uint16_t)(size >> 16 * i);
	memcpy(c->buf, w, SECTOR);
	snprintf(serial, sizeof serial, "VMSCOPE%u", 2 * ata_channel(d, c) + c->drive);
	text(c->buf + 20, serial, 20);
	text(c->buf + 46, "1.0", 8);
	text(c->buf + 54, "VMSCOPE HARDDISK", 40);
}

/* ---- moving data ---- */
static uint32_t block_sectors(const struct ide_channel *c)
{
	bool multiple = c->command == 0xc4 || c->command == 0x29 || c->command == 0xc5 ||
	                c->command == 0x39;
	uint32_t n = multiple ? c->d[c->drive].multiple : 1;
	if (n > IDE_BLOCK_MAX)
		n = IDE_BLOCK_MAX;
	return c->left < n ? c->left : n;
}

void ata_next_in(struct ide *d, struct ide_channel *c, uint64_t latency)
{
	ata_after(d, c, BUSY_IN, latency + block_sectors(c) * SECTOR_NS);
}

static bool move_sectors(struct ide *d, struct ide_channel *c, uint32_t n, bool write)
{
	struct disk *m = disk_of(d, c, c->drive);
	for (uint32_t i = 0; i < n; i++, c->lba++, c->left--)
		if (!(write ? disk_write(m, c->lba, c->buf + i * SECTOR) :
		      disk_read(m, c->lba, c->buf + i * SECTOR)))
			return false;
	d->chip.env->stat[write ? IO_STAT_IDE_WRITE : IO_STAT_IDE_READ] += n;
	return true;
}

/* Walk the PRD table and move everything. */
static void dma(struct ide *d, struct ide_channel *c)
{
	bool to_memory = c->bm_command & BMIC_TO_MEMORY;
	uint32_t table = c->bm_prd, have = 0, pos = SECTOR;
	uint32_t addr = 0;
	bool last = false, failed = false;
	struct mem *mem = d->chip.env->mem;
	uint64_t moved = 0;
	for (unsigned entries = 0; c->left || pos < SECTOR;) {
		if (!have) {
			if (last || entries++ == PRD_MAX)
				break;
			addr = mem_read32(mem, HPA(table)) & ~1u;
			uint32_t w = mem_read32(mem, HPA(table + 4));
			table += 8;
			have = w & 0xfffe ? w & 0xfffe : 65536;
			last = w >> 31;
		}
		if (pos == SECTOR && to_memory) {
			failed = !move_sectors(d, c, 1, false);
			if (failed)
				break;
			pos = 0;
		} else if (pos == SECTOR)
			pos = 0;
		uint32_t n = SECTOR - pos < have ? SECTOR - pos : have;
		failed = to_memory && mem->device_may && !mem->device_may(mem->device_who, HPA(addr), n);
		if (failed)
			break;
		if (to_memory) {
			mem_write(mem, HPA(addr), c->buf + pos, n);
			if (mem->device_wrote)
				mem->device_wrote(mem->wrote_who, HPA(addr), n);
		} else
			mem_read(mem, HPA(addr), c->buf + pos, n);
		addr += n;
		have -= n;
		pos += n;
		moved += n;
		if (pos == SECTOR && !to_memory) {
			failed = !move_sectors(d, c, 1, true);
			if (failed)
				break;
		}
	}
	d->chip.env->stat[IO_STAT_IDE_DMA] += moved;
	chip_trace(&d->chip, IO_TRACE_DMA, c->bm_prd, moved, !to_memory, 0);
	if (failed) {
		c->bm_status = (uint8_t)((c->bm_status & ~BMIS_ACTIVE) | BMIS_ERROR);
		finish(d, c, ER_ABRT);
	} else if (c->left || pos < SECTOR) {
		/* "the PRD's specified a smaller size than the IDE transfer": active clears, the
		 * drive still waits */
		c->bm_status &= (uint8_t)~BMIS_ACTIVE;
		c->phase = DMA_WAIT;
		c->status = ST_READY | ST_DRQ;
	} else {
		if (last && !have)
			c->bm_status &= (uint8_t)~BMIS_ACTIVE;
		finish(d, c, 0);
	}
}

void ata_dma_start(struct ide *d, struct ide_channel *c)
{
	if (c->phase == DMA_WAIT && c->bm_command & BMIC_START)
		ata_after(d, c, DMA_RUN, ACCESS_NS + (uint64_t)c->left * SECTOR_NS);
}

/* ---- reset ---- */
void ata_signature(struct ide_channel *c)
{
	c->count[0] = c->lba_low[0] = 1;
	c->lba_mid[0] = c->lba_high[0] = 0;
	c->device &= DEV_DEV;
	c->error = 1;                           /* no error detected */
}

void ata_defaults(struct ide_channel *c)
{
	for (int i = 0; i < 2; i++)
		c->d[i] = (struct ide_drive){ .heads = HEADS, .sectors = SECTORS, .mdma = 4 };
}

/* ---- events ---- */
void ata_event(void *dev, cycle_t now, uint32_t code, uint64_t arg)
{
	struct ide *d = dev;
	struct ide_channel *c = &d->s.ch[code & 1];
	(void)arg;
	bus_clock(d->chip.env->bus, now);
	uint32_t n = block_sectors(c);
	switch ((enum phase)c->phase) {
	case BUSY_IN:
		if (c->command == 0xec) {
			identify(d, c);
			data_ready(d, c, DATA_IN, SECTOR, true);
		} else if (move_sectors(d, c, n, false))
			data_ready(d, c, DATA_IN, n * SECTOR, true);
		else
			finish(d, c, ER_ABRT);
		break;
	case BUSY_OUT:
		if (c->end && !move_sectors(d, c, c->end / SECTOR, true))
			finish(d, c, ER_ABRT);
		else if (c->left)
			data_ready(d, c, DATA_OUT, block_sectors(c) * SECTOR, true);
		else
			finish(d, c, 0);
		break;
	case DMA_RUN:
		dma(d, c);
		break;
	case BUSY_DONE:
		finish(d, c, 0);
		break;
	case RESET:
		c->phase = IDLE;
		ata_signature(c);
		c->status = ST_READY;
		break;
	default:
		break;
	}
}

/* ---- commands ---- */
enum kind { ABORT, PIO_IN, PIO_OUT, DMA, NO_DATA, IDENTIFY, DIAGNOSTIC, FEATURES, MULTIPLE,
            PARAMETERS, VERIFY, MAX_ADDRESS,
            POWER_MODE };
struct command { uint8_t kind; bool ext; };

static const struct command commands[256] = {
	[0x20] = { PIO_IN, false },  [0x21] = { PIO_IN, false },  [0x24] = { PIO_IN, true },
	[0x29] = { PIO_IN, true },   [0xc4] = { PIO_IN, false },
	[0x30] = { PIO_OUT, false }, [0x31] = { PIO_OUT, false }, [0x34] = { PIO_OUT, true },
	[0x39] = { PIO_OUT, true },  [0xc5] = { PIO_OUT, false },
	[0xc8] = { DMA, false },     [0xc9] = { DMA, false },     [0x25] = { DMA, true },
	[0xca] = { DMA, false },     [0xcb] = { DMA, false },     [0x35] = { DMA, true },
	[0x40] = { VERIFY, false },  [0x41] = { VERIFY, false },  [0x42] = { VERIFY, true },
	[0xf8] = { MAX_ADDRESS, false }, [0x27] = { MAX_ADDRESS, true },
	[0xec] = { IDENTIFY, false }, [0x90] = { DIAGNOSTIC, false }, [0xef] = { FEATURES, false },
	[0xc6] = { MULTIPLE, false }, [0x91] = { PARAMETERS, false }, [0xe5] = { POWER_MODE, false }, [0x98] = { POWER_MODE, false },
	[0x10] = { NO_DATA, false }, [0x70] = { NO_DATA, false },               /* recalibrate, seek */
	[0xe7] = { NO_DATA, false }, [0xea] = { NO_DATA, true },                /* FLUSH CACHE (EXT) */
	[0xe0] = { NO_DATA, false }, [0xe1] = { NO_DATA, false }, [0xe2] = { NO_DATA, false }, [0xe3] = { NO_DATA, false },
	[0xe6] = { NO_DATA, false }, [0x94] = { NO_DATA, false }, [0x95] = { NO_DATA, false }, [0x96] = { NO_DATA, false },
	[0x97] = { NO_DATA, false }, [0x99] = { NO_DATA, false },
};

/* SET FEATURES: those we have; false: aborted. */
static bool set_features(struct ide_channel *c)
{
	struct ide_drive *v = &c->d[c->drive];
	uint8_t mode = c->count[0];
	switch (c->feature[0]) {
	case 0x02: case 0x82:                   /* write cache on, off */
	case 0x55: case 0xaa:                   /* read look-ahead off, on */
	case 0x66: case 0xcc:                   /* defaults kept, restored at reset */
		return true;
	case 0x03:                              /* transfer mode */
		if (mode >> 3 <= 1)             /* PIO default, PIO flow control */
			v->mdma = v->udma = 0;
		else if (mode >> 3 == 4 && (mode & 7) <= 2)
			v->mdma = (uint8_t)(1 << (mode & 7)), v->udma = 0;
		else if (mode >> 3 == 8 && (mode & 7) <= 5)
			v->udma = (uint8_t)(1 << (mode & 7)), v->mdma = 0;
		else
			return false;
		return true;
	}
	return false;
}

static bool set_multiple(struct ide_channel *c)
{
	uint8_t n = c->count[0];
	if (n > IDE_BLOCK_MAX || n & (n - 1))
		return false;
	c->d[c->drive].multiple = n;
	return true;
}

static void max_address(struct ide *d, struct ide_channel *c, bool ext)
{
	uint64_t last = disk_of(d, c, c->drive)->sectors - 1;
	if (!ext && last > 0xfffffff)
		last = 0xfffffff;
	c->lba_low[0] = (uint8_t)last;
	c->lba_mid[0] = (uint8_t)(last >> 8);
	c->lba_high[0] = (uint8_t)(last >> 16);
	if (ext) {
		c->lba_low[1] = (uint8_t)(last >> 24);
		c->lba_mid[1] = (uint8_t)(last >> 32);
		c->lba_high[1] = (uint8_t)(last >> 40);
	} else
		c->device = (uint8_t)((c->device & 0xf0) | (last >> 24 & 15));
}

static void transfer(struct ide *d, struct ide_channel *c, const struct command *k)
{
	struct address a = address_of(d, c, k->ext);
	bool multiple = c->command == 0xc4 || c->command == 0x29 || c->command == 0xc5 ||
	                c->command == 0x39;
	if (multiple && !c->d[c->drive].multiple) {
		finish(d, c, ER_ABRT);
		return;
	}
	if (a.bad) {
		finish(d, c, ER_IDNF);
		return;
	}
	c->lba = a.lba;
	c->left = a.count;
	c->end = 0;
	switch (k->kind) {
	case PIO_IN:
		ata_next_in(d, c, ACCESS_NS);
		break;
	case PIO_OUT:                           /* the first block is asked for without an interrupt */
		data_ready(d, c, DATA_OUT, block_sectors(c) * SECTOR, false);
		break;
	case DMA:
		c->phase = DMA_WAIT;
		c->status = ST_READY | ST_DRQ;
		ata_dma_start(d, c);
		break;
	default:
		ata_after(d, c, BUSY_DONE, ACCESS_NS);
	}
}

void ata_command(struct ide *d, struct ide_channel *c, uint8_t v)
{
	if (v >> 4 == 1 || v >> 4 == 7)
		v &= 0xf0;                      /* recalibrate and seek have 16 codes */
	const struct command *k = &commands[v];
	c->drive = (uint8_t)ata_selected(c);
	if (v == 0x90)
		c->drive = ata_present(d, c, 0) ? 0 : 1;
	if (!ata_present(d, c, c->drive) || c->status & ST_BSY)
		return;
	c->command = v;
	c->error = 0;
	ata_irq(d, c, false);
	chip_count(&d->chip, IO_STAT_IDE_COMMAND);
	chip_trace(&d->chip, IO_TRACE_IDE_COMMAND, ata_channel(d, c), v, address_of(d, c, k->ext).lba,
	           c->count[0]);
	switch ((enum kind)k->kind) {
	case PIO_IN: case PIO_OUT: case DMA: case VERIFY:
		transfer(d, c, k);
		break;
	case IDENTIFY:
		c->left = 0;
		ata_after(d, c, BUSY_IN, ACCESS_NS);
		break;
	case DIAGNOSTIC:
		ata_signature(c);
		c->phase = IDLE;
		c->status = ST_READY;
		ata_irq(d, c, true);
		break;
	case FEATURES:
		finish(d, c, set_features(c) ? 0 : ER_ABRT);
		break;
	case MULTIPLE:
		finish(d, c, set_multiple(c) ? 0 : ER_ABRT);
		break;
	case PARAMETERS:
		if (c->count[0]) {
			c->d[c->drive].sectors = c->count[0];
			c->d[c->drive].heads = (c->device & 15) + 1;
		}
		finish(d, c, c->count[0] ? 0 : ER_ABRT);
		break;
	case MAX_ADDRESS:
		max_address(d, c, k->ext);
		finish(d, c, 0);
		break;
	case POWER_MODE:
		c->count[0] = 0xff;             /* active */
		finish(d, c, 0);
		break;
	case NO_DATA:
		ata_after(d, c, BUSY_DONE, ACCESS_NS);
		break;
	case ABORT:
		finish(d, c, ER_ABRT);
		break;
	}
}
