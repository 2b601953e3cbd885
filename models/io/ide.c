/* ide.c - the IDE function 00:01.1 of the PIIX3 and the drives behind it.
 * Source: ATA/ATAPI-7 Vol. 1 and 2 (T13/1532D); Intel 82371SB data sheet; Programming Interface for Bus Master IDE
 * Controller 1.0.
 *
 *   status  BSY DRDY DF DSC DRQ - - ERR       device  - LBA - DEV head/LBA 27:24      control  HOB - - - - SRST nIEN 0
 *   BMIC    3 direction: 1 to memory | 0 start       BMIS  2 interrupt | 1 error | 0 active
 *   PRD     address (bit 0 zero) | byte count, 0: 64 KB | 31 of the second word: last entry
 *
 * Time: a command takes 20 us to reach the medium and 4 us a sector (a fast drive on a 133 MB/s bus: the point is
 * that polling loops and interrupts both do their work). A DMA transfer moves its memory at its end.
 * A channel with no drive floats: reads 7FH. With only a master, the slave's status reads 0.
 * Simplified: no packet devices, no media errors but addresses beyond the end, no power management beyond answering;
 * the drives share a task file, as they do electrically. */
#include "models/io/ide.h"

#include <stdio.h>
#include <string.h>

#define ST_BSY  0x80
#define ST_DRDY 0x40
#define ST_DSC  0x10
#define ST_DRQ  0x08
#define ST_ERR  0x01
#define ST_READY (ST_DRDY | ST_DSC)
#define ER_ABRT 0x04
#define ER_IDNF 0x10
#define DEV_LBA 0x40
#define DEV_DEV 0x10
#define CTL_HOB 0x80
#define CTL_SRST 0x04
#define CTL_NIEN 0x02
#define BMIC_START 0x01
#define BMIC_TO_MEMORY 0x08
#define BMIS_ACTIVE 0x01
#define BMIS_ERROR 0x02
#define BMIS_IRQ 0x04
#define FLOATING 0x7f

#define ACCESS_NS 20000u
#define SECTOR_NS 4000u
#define RESET_NS  100000u
#define PRD_MAX   8192                  /* entries in a table of 64 KB, the most there can be */

#define HEADS   16
#define SECTORS 63

enum phase { IDLE, BUSY_IN /* fetching a block */, DATA_IN, DATA_OUT, BUSY_OUT /* storing one */, DMA_WAIT /* for start */,
             DMA_RUN, BUSY_DONE /* then ready, with an interrupt */, RESET };

/* ---- helpers ---- */
static unsigned number(const struct ide *d, const struct ide_channel *c)
{
	return (unsigned)(c - d->s.ch);
}
static unsigned selected(const struct ide_channel *c) { return c->device & DEV_DEV ? 1 : 0; }
static struct disk *disk_of(struct ide *d, const struct ide_channel *c, unsigned drive)
{
	return &d->disk[2 * number(d, c) + drive];
}
static bool present(struct ide *d, const struct ide_channel *c, unsigned drive)
{
	return disk_present(disk_of(d, c, drive));
}
static bool any(struct ide *d, const struct ide_channel *c)
{
	return present(d, c, 0) || present(d, c, 1);
}

static void set_irq(struct ide *d, struct ide_channel *c, bool on)
{
	c->irq = on;
	bool line = on && !(c->control & CTL_NIEN);
	if (line)
		c->bm_status |= BMIS_IRQ;
	irq_set(&d->irq[number(d, c)], line);
}

static void after(struct ide *d, struct ide_channel *c, enum phase phase, uint64_t ns)
{
	struct evq *q = d->chip.env->evq;
	c->phase = phase;
	c->status = ST_BSY | ST_READY;
	evq_cancel(q, d->chip.owner, number(d, c));
	evq_add(q, d->chip.owner, chip_now(&d->chip) + chip_ns(&d->chip, ns), number(d, c), 0);
}

static void finish(struct ide *d, struct ide_channel *c, uint8_t error)
{
	c->phase = IDLE;
	c->error = error;
	c->status = ST_READY | (error ? ST_ERR : 0);
	chip_trace(&d->chip, IO_TRACE_IDE_DONE, number(d, c), c->status, c->error, 0);
	set_irq(d, c, true);
}

static void data_ready(struct ide *d, struct ide_channel *c, enum phase phase, uint32_t bytes,
                       bool irq)
{
	c->phase = phase;
	c->pos = 0;
	c->end = bytes;
	c->status = ST_READY | ST_DRQ;
	chip_trace(&d->chip, IO_TRACE_IDE_DONE, number(d, c), c->status, 0, 0);
	if (irq)
		set_irq(d, c, true);
}

/* ---- addresses ---- */
struct address { uint64_t lba; uint32_t count; bool bad; };

static struct address address_of(struct ide *d, const struct ide_channel *c, bool ext)
{
	const struct ide_drive *v = &c->d[selected(c)];
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
	uint64_t size = disk_of(d, c, selected(c))->sectors;
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
	snprintf(serial, sizeof serial, "VMSCOPE%u", 2 * number(d, c) + c->drive);
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

static void next_in(struct ide *d, struct ide_channel *c, uint64_t latency)
{
	after(d, c, BUSY_IN, latency + block_sectors(c) * SECTOR_NS);
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

static void dma_start(struct ide *d, struct ide_channel *c)
{
	if (c->phase == DMA_WAIT && c->bm_command & BMIC_START)
		after(d, c, DMA_RUN, ACCESS_NS + (uint64_t)c->left * SECTOR_NS);
}

/* ---- reset ---- */
static void signature(struct ide *d, struct ide_channel *c)
{
	c->count[0] = c->lba_low[0] = 1;
	c->lba_mid[0] = c->lba_high[0] = 0;
	c->device &= DEV_DEV;
	c->error = 1;                           /* no error detected */
	(void)d;
}

static void drive_defaults(struct ide_channel *c)
{
	for (int i = 0; i < 2; i++)
		c->d[i] = (struct ide_drive){ .heads = HEADS, .sectors = SECTORS, .mdma = 4 };
}

/* ---- events ---- */
static void event(void *dev, cycle_t now, uint32_t code, uint64_t arg)
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
		signature(d, c);
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
		next_in(d, c, ACCESS_NS);
		break;
	case PIO_OUT:                           /* the first block is asked for without an interrupt */
		data_ready(d, c, DATA_OUT, block_sectors(c) * SECTOR, false);
		break;
	case DMA:
		c->phase = DMA_WAIT;
		c->status = ST_READY | ST_DRQ;
		dma_start(d, c);
		break;
	default:
		after(d, c, BUSY_DONE, ACCESS_NS);
	}
}

static void command(struct ide *d, struct ide_channel *c, uint8_t v)
{
	if (v >> 4 == 1 || v >> 4 == 7)
		v &= 0xf0;                      /* recalibrate and seek have 16 codes */
	const struct command *k = &commands[v];
	c->drive = (uint8_t)selected(c);
	if (v == 0x90)
		c->drive = present(d, c, 0) ? 0 : 1;
	if (!present(d, c, c->drive) || c->status & ST_BSY)
		return;
	c->command = v;
	c->error = 0;
	set_irq(d, c, false);
	chip_count(&d->chip, IO_STAT_IDE_COMMAND);
	chip_trace(&d->chip, IO_TRACE_IDE_COMMAND, number(d, c), v, address_of(d, c, k->ext).lba,
	           c->count[0]);
	switch ((enum kind)k->kind) {
	case PIO_IN: case PIO_OUT: case DMA: case VERIFY:
		transfer(d, c, k);
		break;
	case IDENTIFY:
		c->left = 0;
		after(d, c, BUSY_IN, ACCESS_NS);
		break;
	case DIAGNOSTIC:
		signature(d, c);
		c->phase = IDLE;
		c->status = ST_READY;
		set_irq(d, c, true);
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
		after(d, c, BUSY_DONE, ACCESS_NS);
		break;
	case ABORT:
		finish(d, c, ER_ABRT);
		break;
	}
}

/* ---- registers ---- */
static uint64_t data_read(struct ide *d, struct ide_channel *c, unsigned size)
{
	uint64_t v = 0;
	if (c->phase != DATA_IN)
		return MASK(8 * size);
	for (unsigned i = 0; i < size && c->pos < c->end; i++)
		v |= (uint64_t)c->buf[c->pos++] << 8 * i;
	if (c->pos >= c->end) {
		if (c->left)
			next_in(d, c, 0);
		else {
			c->phase = IDLE;
			c->status = ST_READY;
		}
	}
	return v;
}

static void data_write(struct ide *d, struct ide_channel *c, unsigned size, uint64_t v)
{
	if (c->phase != DATA_OUT)
		return;
	for (unsigned i = 0; i < size && c->pos < c->end; i++)
		c->buf[c->pos++] = (uint8_t)(v >> 8 * i);
	if (c->pos >= c->end)
		after(d, c, BUSY_OUT, ACCESS_NS + c->end / SECTOR * SECTOR_NS);
}

static uint8_t status(struct ide *d, struct ide_channel *c)
{
	if (!present(d, c, selected(c)))
		return present(d, c, 0) ? 0 : FLOATING;
	return c->status;
}

static uint64_t task_read(struct ide *d, struct ide_channel *c, uint64_t off)
{
	unsigned hob = c->control & CTL_HOB ? 1 : 0;
	if (!any(d, c) || (!present(d, c, 0) && !selected(c)))
		return FLOATING;
	switch (off + 1) {
	case 1: return c->error;
	case 2: return c->count[hob];
	case 3: return c->lba_low[hob];
	case 4: return c->lba_mid[hob];
	case 5: return c->lba_high[hob];
	case 6: return c->device | 0xa0;
	default:
		set_irq(d, c, false);
		return status(d, c);
	}
}

static void push(uint8_t r[2], uint8_t v)
{
	r[1] = r[0];
	r[0] = v;
}

static void task_write(struct ide *d, struct ide_channel *c, uint64_t off, uint8_t v)
{
	/* "a write to any Command register ... clears HOB" */
	c->control &= (uint8_t)~CTL_HOB;
	if (!any(d, c) || c->status & ST_BSY)
		return;
	switch (off + 1) {
	case 1: push(c->feature, v); break;
	case 2: push(c->count, v); break;
	case 3: push(c->lba_low, v); break;
	case 4: push(c->lba_mid, v); break;
	case 5: push(c->lba_high, v); break;
	case 6: c->device = v & 0x5f; break;
	case 7: command(d, c, v); break;
	}
}

static void control_write(struct ide *d, struct ide_channel *c, uint8_t v)
{
	uint8_t old = c->control;
	c->control = v & (CTL_HOB | CTL_SRST | CTL_NIEN);
	if (v & CTL_SRST && !(old & CTL_SRST)) {
		evq_cancel(d->chip.env->evq, d->chip.owner, number(d, c));
		c->phase = RESET;
		c->status = ST_BSY;
		c->left = 0;
		c->bm_status &= (uint8_t)~BMIS_ACTIVE;
		c->irq = 0;
		drive_defaults(c);
	} else if (old & CTL_SRST && !(v & CTL_SRST))
		after(d, c, RESET, RESET_NS);
	set_irq(d, c, c->irq);
}

/* One handler a channel: the bus gives the chip, the table the channel. */
#define HANDLERS(n) \
static uint64_t data_read##n(void *dev, uint64_t off, unsigned size, struct io_at *at) \
{ (void)off, (void)at; struct ide *d = dev; return data_read(d, &d->s.ch[n], size); } \
static void data_write##n(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at) \
{ (void)off, (void)at; struct ide *d = dev; data_write(d, &d->s.ch[n], size, v); } \
static uint64_t task_read##n(void *dev, uint64_t off, unsigned size, struct io_at *at) \
{ (void)size, (void)at; struct ide *d = dev; return task_read(d, &d->s.ch[n], off); } \
static void task_write##n(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at) \
{ (void)size, (void)at; struct ide *d = dev; task_write(d, &d->s.ch[n], off, (uint8_t)v); } \
static uint64_t control_read##n(void *dev, uint64_t off, unsigned size, struct io_at *at) \
{ (void)off, (void)size, (void)at; struct ide *d = dev; return status(d, &d->s.ch[n]); } \
static void control_write##n(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at) \
{ (void)off, (void)size, (void)at; struct ide *d = dev; control_write(d, &d->s.ch[n], (uint8_t)v); }
HANDLERS(0)
HANDLERS(1)

const struct io_ops ide_data_io[2] = { { data_read0, data_write0, 1, 4, true },
                                       { data_read1, data_write1, 1, 4, true } };
const struct io_ops ide_task_io[2] = { { task_read0, task_write0, 1, 1, true },
                                       { task_read1, task_write1, 1, 1, true } };
const struct io_ops ide_control_io[2] = { { control_read0, control_write0, 1, 1, true },
                                          { control_read1, control_write1, 1, 1, true } };

/* ---- bus master registers: 8 bytes a channel ---- */
static uint8_t bm_byte(const struct ide_channel *c, unsigned off)
{
	switch (off) {
	case 0: return c->bm_command;
	case 2: return c->bm_status;
	case 4: case 5: case 6: case 7: return (uint8_t)(c->bm_prd >> 8 * (off - 4));
	}
	return 0;
}

static void bm_byte_write(struct ide *d, struct ide_channel *c, unsigned off, uint8_t v)
{
	switch (off) {
	case 0: {
		bool start = v & ~c->bm_command & BMIC_START;
		c->bm_command = v & (BMIC_START | BMIC_TO_MEMORY);
		if (start) {
			c->bm_status |= BMIS_ACTIVE;
			dma_start(d, c);
		} else if (!(v & BMIC_START)) {         /* stopped: a transfer under way is lost */
			c->bm_status &= (uint8_t)~BMIS_ACTIVE;
			if (c->phase == DMA_RUN) {
				evq_cancel(d->chip.env->evq, d->chip.owner, number(d, c));
				c->phase = DMA_WAIT;
				c->status = ST_READY | ST_DRQ;
			}
		}
		break;
	}
	case 2:
		c->bm_status = (uint8_t)((c->bm_status & BMIS_ACTIVE) | (v & 0x60) |
		                         (c->bm_status & ~v & (BMIS_IRQ | BMIS_ERROR)));
		break;
	case 4: case 5: case 6: case 7:
		c->bm_prd = (c->bm_prd & ~(0xffu << 8 * (off - 4))) | (uint32_t)v << 8 * (off - 4);
		c->bm_prd &= ~3u;
		break;
	}
}

static uint64_t bm_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct ide *d = dev;
	uint64_t v = 0;
	(void)at;
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)bm_byte(&d->s.ch[(off + i) >> 3 & 1], (off + i) & 7) << 8 * i;
	return v;
}
static void bm_write(void *dev, uint64_t off, unsigned size, uint64_t v, struct io_at *at)
{
	struct ide *d = dev;
	(void)at;
	for (unsigned i = 0; i < size; i++)
		bm_byte_write(d, &d->s.ch[(off + i) >> 3 & 1], (off + i) & 7,
		              (uint8_t)(v >> 8 * i));
}
static const struct io_ops bm_io = { bm_read, bm_write, 1, 4, true };

/* ---- life ---- */
int ide_attach(struct ide *d, const char *const image[4], const char *where, struct pci *bus,
               struct err *e)
{
	for (int i = 0; i < 4; i++)
		d->disk[i].fd = -1;
	for (int i = 0; i < 4; i++)
		if (disk_open(&d->disk[i], image[i], where, d->chip.env->snaps, e))
			return -1;
	pci_header(&d->pci, 1 << 3 | 1, 0x8086, 0x7010, 0x00, 0x010180);
	d->pci.config[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MASTER;
	d->pci.config[PCI_STATUS] = 0x80;
	d->pci.config[PCI_STATUS + 1] = 0x02;
	d->pci.config[PCI_BAR0 + 4 * 4 + 1] = 0xc0;             /* BAR4 at C000H, as a BIOS would */
	d->pci.config[0x41] = d->pci.config[0x43] = 0x80;       /* both channels decode */
	for (unsigned r = 0x40; r < 0x45; r++)
		d->pci.writable[r] = 0xff;
	d->pci.bar[4].ops = &bm_io;
	d->pci.bar[4].size = 16;
	d->pci.bar[4].io = true;
	pci_add(bus, &d->pci, d);
	return 0;
}

void ide_fini(struct ide *d)
{
	for (int i = 0; i < 4; i++)
		disk_close(&d->disk[i]);
}

static void reset(void *dev)
{
	struct ide *d = dev;
	for (unsigned i = 0; i < 2; i++) {
		struct ide_channel *c = &d->s.ch[i];
		evq_cancel(d->chip.env->evq, d->chip.owner, i);
		memset(c, 0, sizeof *c);
		drive_defaults(c);
		signature(d, c);
		c->status = ST_READY;
		irq_set(&d->irq[i], false);
	}
}

static bool valid(void *dev, const void *state)
{
	struct ide_state s;
	(void)dev;
	memcpy(&s, state, sizeof s);
	for (int i = 0; i < 2; i++)
		if (s.ch[i].pos > sizeof s.ch[i].buf || s.ch[i].end > sizeof s.ch[i].buf ||
		    s.ch[i].drive > 1)
			return false;
	return true;
}

static const struct field_bits status_bits[] = {
	{ 7, 7, "bsy", "busy" }, { 6, 6, "drdy", "ready" }, { 4, 4, "dsc", "seek complete" }, { 3, 3, "drq", "data request" },
	{ 0, 0, "err", "error" }, { 0, 0, NULL, NULL },
};
#define CHANNEL(i, n) \
	FIELD_BITS(ide_state, ch[i].status, n ".status", status_bits, "Status register"), \
	FIELD(ide_state, ch[i].error, n ".error", "Error register"), \
	FIELD(ide_state, ch[i].command, n ".command", "last command"), \
	FIELD(ide_state, ch[i].device, n ".device", "Device register"), \
	FIELD(ide_state, ch[i].control, n ".control", "Device Control register"), \
	FIELD(ide_state, ch[i].lba, n ".lba", "next sector"), \
	FIELD(ide_state, ch[i].left, n ".left", "sectors left"), \
	FIELD(ide_state, ch[i].bm_command, n ".bmic", "Bus Master IDE Command"), \
	FIELD(ide_state, ch[i].bm_status, n ".bmis", "Bus Master IDE Status"), \
	FIELD(ide_state, ch[i].bm_prd, n ".bmidtp", "Descriptor Table Pointer"), \
	FIELD(ide_state, ch[i].irq, n ".irq", "INTRQ")
static const struct field_row fields[] = { CHANNEL(0, "0"), CHANNEL(1, "1") };

const struct dev_ops ide_dev = { DEV_STATE(ide), .reset = reset, .event = event, .valid = valid,
                                 DEV_FIELDS(fields) };
