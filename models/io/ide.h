/* ide.h - the IDE controller: two channels of two drives, PIO and bus-master DMA. */
#ifndef IO_IDE_H
#define IO_IDE_H

#include "models/io/disk.h"
#include "models/io/pci.h"

#define IDE_BLOCK_MAX 16                /* sectors of a READ/WRITE MULTIPLE block */

struct ide_drive {              /* plain */
	/* geometry of CHS addresses: INITIALIZE DEVICE PARAMETERS */
	uint16_t heads, sectors;
	uint8_t multiple;               /* sectors a block; 0: READ MULTIPLE is off */
	uint8_t mdma, udma;             /* transfer modes selected, one bit each */
	uint8_t pad;
};
struct ide_channel {            /* plain */
	/* command block; [1] is what was written before, for 48-bit commands */
	uint8_t feature[2], count[2], lba_low[2], lba_mid[2], lba_high[2];
	uint8_t device, status, error, control, command;
	uint8_t irq;                    /* INTRQ before nIEN */
	uint8_t phase;                  /* what the drive is doing */
	uint8_t bm_command, bm_status;
	uint8_t drive;                  /* that runs the command */
	uint32_t bm_prd;
	uint64_t lba;                   /* next sector */
	uint32_t left;                  /* sectors still to move */
	uint32_t pos, end;              /* in buf */
	uint32_t pad;
	struct ide_drive d[2];
	uint8_t buf[IDE_BLOCK_MAX * SECTOR];
};
struct ide_state { struct ide_channel ch[2]; };

struct ide {
	struct chip chip;
	struct ide_state s;
	struct disk disk[4];            /* 0 and 1: primary master and slave */
	struct irq_wire irq[2];
	struct pci_device pci;
};

extern const struct dev_ops ide_dev;
/* Primary and secondary: data register, the other seven, device control. */
extern const struct io_ops ide_data_io[2], ide_task_io[2], ide_control_io[2];

int ide_attach(struct ide *d, const char *const image[4], const char *where, struct pci *bus,
               struct err *e);
void ide_fini(struct ide *d);

#endif
