/* disk.c - one sector at a time from the first IDE disk, by PIO or by bus-master DMA.
 * Both ways sleep until the disk interrupts (IRQ 14).  Without a disk every read says no.
 * Simplified: primary master only, 28-bit LBA, reads only.
 * Sources: ATA/ATAPI-6; Intel "Programming Interface for Bus Master IDE Controller" 1.0;
 * PCI Local Bus Specification 2.1, "Configuration Mechanism #1".                              */
#include "kernel.h"

enum {
	DATA = 0x1F0, COUNT = 0x1F2, LBA_LOW, LBA_MIDDLE, LBA_HIGH, DEVICE,
	STATUS, COMMAND = STATUS,	/* read, write */
	CONTROL = 0x3F6,
	DEVICE_MASTER_LBA = 0xE0,
	STATUS_ERR = 0x01, STATUS_DRQ = 0x08, STATUS_DF = 0x20, STATUS_BSY = 0x80,
	READ_SECTORS = 0x20, READ_DMA = 0xC8, IDENTIFY = 0xEC,

	BM_COMMAND = 0, BM_STATUS = 2, BM_TABLE = 4,	/* from the bus-master base */
	BM_START = 1, BM_TO_MEMORY = 8,
	BM_ERROR = 2, BM_INTERRUPT = 4,

	PCI_ADDRESS = 0xCF8, PCI_DATA = 0xCFC,
	PCI_COMMAND = 0x04, PCI_CLASS = 0x08, PCI_BAR4 = 0x20,
	PCI_IO = 1, PCI_BUS_MASTER = 4,
	PCI_CLASS_IDE = 0x0101,
};

struct region_descriptor {		/* one entry of the DMA engine's table */
	uint32_t address;
	uint32_t bytes_and_end;		/* bit 31: the last entry */
};

static struct {
	bool probed;
	uint32_t sectors;		/* 0: no disk */
	uint16_t bus_master;		/* I/O base, 0: no DMA */
	uintptr_t frame;		/* DMA: the table, and at + 2 KiB the sector */
	volatile bool done;		/* the interrupt came */
} disk;

/* --- finding it ------------------------------------------------------------------------------- */

static uint32_t pci_read(unsigned function, unsigned offset)
{
	outl(PCI_ADDRESS, 0x80000000u | function << 8 | offset);
	return inl(PCI_DATA);
}

static void pci_write(unsigned function, unsigned offset, uint32_t value)
{
	outl(PCI_ADDRESS, 0x80000000u | function << 8 | offset);
	outl(PCI_DATA, value);
}

/* Bus 0 only: device * 8 + function of the IDE controller. */
static void bus_master_find(void)
{
	for (unsigned function = 0; function < 256; function++) {
		if (pci_read(function, PCI_CLASS) >> 16 != PCI_CLASS_IDE)
			continue;
		disk.bus_master = pci_read(function, PCI_BAR4) & 0xFFF0;
		pci_write(function, PCI_COMMAND,
			  (pci_read(function, PCI_COMMAND) & 0xFFFF) | PCI_IO | PCI_BUS_MASTER);
		disk.frame = frame_alloc_zeroed(PAGE_BYTES);
		return;
	}
}

static uint8_t wait_not_busy(void)
{
	uint8_t status;

	do
		status = inb(STATUS);
	while (status & STATUS_BSY);
	return status;
}

static void probe(void)
{
	uint16_t identity[SECTOR_BYTES / 2];
	uint8_t status;

	disk.probed = true;
	outb(DEVICE, DEVICE_MASTER_LBA);
	status = inb(STATUS);
	if (status == 0 || status == 0xFF)	/* nobody drives the bus */
		return;
	outb(COMMAND, IDENTIFY);
	status = wait_not_busy();
	if (!(status & STATUS_DRQ) || inb(LBA_MIDDLE) || inb(LBA_HIGH))	/* not an ATA disk */
		return;
	insw(DATA, identity, SECTOR_BYTES / 2);
	disk.sectors = identity[60] | (uint32_t)identity[61] << 16;
	bus_master_find();
	pic_enable(IRQ_DISK, true);
}

/* --- reading ---------------------------------------------------------------------------------- */

void disk_interrupt(void)
{
	inb(STATUS);			/* reading it withdraws the request */
	disk.done = true;
	proc_wakeup(&disk);
}

static void command(uint32_t sector, uint8_t code)
{
	wait_not_busy();
	disk.done = false;
	outb(DEVICE, DEVICE_MASTER_LBA | (sector >> 24 & 15));
	outb(COUNT, 1);
	outb(LBA_LOW, (uint8_t)sector);
	outb(LBA_MIDDLE, (uint8_t)(sector >> 8));
	outb(LBA_HIGH, (uint8_t)(sector >> 16));
	outb(COMMAND, code);
}

static void wait_for_interrupt(void)
{
	uintptr_t flags = irq_save();

	while (!disk.done)
		proc_sleep(&disk);
	irq_restore(flags);
}

static bool read_pio(uint32_t sector, void *to)
{
	uint8_t status;

	command(sector, READ_SECTORS);
	wait_for_interrupt();
	status = wait_not_busy();
	if (status & (STATUS_ERR | STATUS_DF) || !(status & STATUS_DRQ))
		return false;
	insw(DATA, to, SECTOR_BYTES / 2);
	return true;
}

static bool read_dma(uint32_t sector, void *to)
{
	struct region_descriptor *table = direct(disk.frame);
	uint8_t status;

	if (!disk.bus_master)
		return false;
	table->address = (uint32_t)disk.frame + 2048;
	table->bytes_and_end = SECTOR_BYTES | 1u << 31;
	outl(disk.bus_master + BM_TABLE, (uint32_t)disk.frame);
	outb(disk.bus_master + BM_COMMAND, BM_TO_MEMORY);
	outb(disk.bus_master + BM_STATUS, BM_ERROR | BM_INTERRUPT);	/* write 1 to clear */
	command(sector, READ_DMA);
	outb(disk.bus_master + BM_COMMAND, BM_TO_MEMORY | BM_START);
	wait_for_interrupt();
	while (!((status = inb(disk.bus_master + BM_STATUS)) & (BM_INTERRUPT | BM_ERROR)))
		;
	outb(disk.bus_master + BM_COMMAND, 0);
	if (status & BM_ERROR || wait_not_busy() & (STATUS_ERR | STATUS_DF))
		return false;
	memcpy(to, direct(disk.frame + 2048), SECTOR_BYTES);
	return true;
}

bool disk_read(uint32_t sector, void *to, bool dma)
{
	if (!disk.probed)
		probe();
	if (sector >= disk.sectors)
		return false;
	return dma ? read_dma(sector, to) : read_pio(sector, to);
}

void disk_quiesce(void)
{
	pic_enable(IRQ_DISK, false);
	if (disk.frame)
		frame_free(disk.frame, PAGE_BYTES);
	memset(&disk, 0, sizeof(disk));
}
