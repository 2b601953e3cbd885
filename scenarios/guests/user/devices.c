/* devices.c - disk, serial line, timer. */
#include "user.h"

enum { SECTOR_BYTES = 512 };

static int read_disk(const char *name, const struct params *p, bool dma)
{
	uint32_t sector[SECTOR_BYTES / sizeof(uint32_t)], sum = 0;

	roi_start();
	for (uint32_t i = 0; i < p->n; i++) {
		if (sys(SYS_disk_read, i, (uintptr_t)sector, dma)) {
			print("%s n=%u: sector %u cannot be read (is there a disk?): FAILED\n",
			      name, p->n, i);
			return 1;
		}
		for (unsigned word = 0; word < SECTOR_BYTES / sizeof(uint32_t); word++)
			sum = checksum(sum, sector[word]);
	}
	roi_stop();
	print("%s n=%u: checksum 0x%08x: ok\n", name, p->n, sum);
	return 0;
}

int user_disk(const struct params *p)
{
	return read_disk("disk", p, false);
}

int user_diskdma(const struct params *p)
{
	return read_disk("diskdma", p, true);
}

int user_uart(const struct params *p)
{
	char line[64];

	for (unsigned i = 0; i < 63; i++)
		line[i] = (char)(' ' + i);
	line[63] = '\n';
	roi_start();
	for (uint32_t left = p->n; left;) {
		uint32_t part = left < sizeof(line) ? left : sizeof(line);

		sys(SYS_write, (uintptr_t)line, part, 0);
		left -= part;
	}
	roi_stop();
	print("%suart n=%u: ok\n", p->n % sizeof(line) ? "\n" : "", p->n);
	return 0;
}

int user_timer(const struct params *p)
{
	roi_start();
	for (uint32_t i = 0; i < p->n; i++)
		if (sys(SYS_sleep, 1, 0, 0))
			fail("timer: hz=0, no tick will come");
	roi_stop();
	print("timer n=%u: ok\n", p->n);
	return 0;
}
