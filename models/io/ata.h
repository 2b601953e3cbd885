/* ata.h - a channel's drives as its registers (ide.c) see them. */
#ifndef IO_ATA_H
#define IO_ATA_H

#include "models/io/ide.h"

#define ST_BSY  0x80
#define ST_DRDY 0x40
#define ST_DSC  0x10
#define ST_DRQ  0x08
#define ST_READY (ST_DRDY | ST_DSC)
#define DEV_DEV 0x10
#define CTL_NIEN 0x02
#define BMIC_START 0x01
#define BMIC_TO_MEMORY 0x08
#define BMIS_ACTIVE 0x01
#define BMIS_ERROR 0x02
#define BMIS_IRQ 0x04
#define ACCESS_NS 20000u
#define SECTOR_NS 4000u

enum phase { IDLE, BUSY_IN /* fetching a block */, DATA_IN, DATA_OUT, BUSY_OUT /* storing one */, DMA_WAIT /* for start */,
             DMA_RUN, BUSY_DONE /* then ready, with an interrupt */, RESET };

static inline unsigned ata_channel(const struct ide *d, const struct ide_channel *c)
{
	return (unsigned)(c - d->s.ch);
}
static inline unsigned ata_selected(const struct ide_channel *c) { return c->device & DEV_DEV ? 1 : 0; }
bool ata_present(struct ide *d, const struct ide_channel *c, unsigned drive);

void ata_command(struct ide *d, struct ide_channel *c, uint8_t code);
void ata_next_in(struct ide *d, struct ide_channel *c, uint64_t latency);       /* fetch the next block: ns before its sectors' */
void ata_dma_start(struct ide *d, struct ide_channel *c);                       /* once both the drive and the bus master are ready */
void ata_after(struct ide *d, struct ide_channel *c, enum phase phase, uint64_t ns);
void ata_irq(struct ide *d, struct ide_channel *c, bool on);                    /* INTRQ, through nIEN */
void ata_signature(struct ide_channel *c);                                      /* what reset leaves in the task file */
void ata_defaults(struct ide_channel *c);
void ata_event(void *dev, cycle_t now, uint32_t code, uint64_t arg);            /* of chip: code is the channel */

#endif
