/* ide.c - the registers of the IDE function 00:01.1 of the PIIX3; the drives behind them: ata.c.
 * Source: ATA/ATAPI-7 Vol. 1 and 2 (T13/1532D); Intel 82371SB data sheet; Programming Interface for Bus Master IDE
 * Controller 1.0.
 *
 *   status  BSY DRDY DF DSC DRQ - - ERR       device  - LBA - DEV head/LBA 27:24      control  HOB - - - - SRST nIEN 0
 *   BMIC    3 direction: 1 to memory | 0 start       BMIS  2 interrupt | 1 error | 0 active
 *
 * A channel with no drive floats: reads 7FH. With only a master, the slave's status reads 0. */
#include <string.h>

#include "models/io/ata.h"

#define CTL_HOB 0x80
#define CTL_SRST 0x04
#define FLOATING 0x7f
#define RESET_NS  100000u

/* ---- registers ---- */
static bool any(struct ide *d, const struct ide_channel *c)
{
	return ata_present(d, c, 0) || ata_present(d, c, 1);
}

static uint64_t data_read(struct ide *d, struct ide_channel *c, unsigned size)
{
	uint64_t v = 0;
	if (c->phase != DATA_IN)
		return MASK(8 * size);
	for (unsigned i = 0; i < size && c->pos < c->end; i++)
		v |= (uint64_t)c->buf[c->pos++] << 8 * i;
	if (c->pos >= c->end) {
		if (c->left)
			ata_next_in(d, c, 0);
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
		ata_after(d, c, BUSY_OUT, ACCESS_NS + c->end / SECTOR * SECTOR_NS);
}

static uint8_t status(struct ide *d, struct ide_channel *c)
{
	if (!ata_present(d, c, ata_selected(c)))
		return ata_present(d, c, 0) ? 0 : FLOATING;
	return c->status;
}

static uint64_t task_read(struct ide *d, struct ide_channel *c, uint64_t off)
{
	unsigned hob = c->control & CTL_HOB ? 1 : 0;
	if (!any(d, c) || (!ata_present(d, c, 0) && !ata_selected(c)))
		return FLOATING;
	switch (off + 1) {
	case 1: return c->error;
	case 2: return c->count[hob];
	case 3: return c->lba_low[hob];
	case 4: return c->lba_mid[hob];
	case 5: return c->lba_high[hob];
	case 6: return c->device | 0xa0;
	default:
		ata_irq(d, c, false);
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
	case 7: ata_command(d, c, v); break;
	}
}

static void control_write(struct ide *d, struct ide_channel *c, uint8_t v)
{
	uint8_t old = c->control;
	c->control = v & (CTL_HOB | CTL_SRST | CTL_NIEN);
	if (v & CTL_SRST && !(old & CTL_SRST)) {
		evq_cancel(d->chip.env->evq, d->chip.owner, ata_channel(d, c));
		c->phase = RESET;
		c->status = ST_BSY;
		c->left = 0;
		c->bm_status &= (uint8_t)~BMIS_ACTIVE;
		c->irq = 0;
		ata_defaults(c);
	} else if (old & CTL_SRST && !(v & CTL_SRST))
		ata_after(d, c, RESET, RESET_NS);
	ata_irq(d, c, c->irq);
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
			ata_dma_start(d, c);
		} else if (!(v & BMIC_START)) {         /* stopped: a transfer under way is lost */
			c->bm_status &= (uint8_t)~BMIS_ACTIVE;
			if (c->phase == DMA_RUN) {
				evq_cancel(d->chip.env->evq, d->chip.owner, ata_channel(d, c));
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
		ata_defaults(c);
		ata_signature(c);
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

const struct dev_ops ide_dev = { DEV_STATE(ide), .reset = reset, .event = ata_event, .valid = valid,
                                 DEV_FIELDS(fields) };
