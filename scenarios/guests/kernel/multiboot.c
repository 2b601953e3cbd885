/* multiboot.c - the loader's information structure: how much RAM, which command line.
 * Source: Multiboot Specification 0.6.96, "Boot information format".               */
#include "kernel.h"

struct multiboot {
	uint32_t flags;			/* which of the following are valid */
	uint32_t mem_lower, mem_upper;	/* bit 0: KiB below 640 KiB, KiB above 1 MiB */
	uint32_t boot_device;
	uint32_t cmdline;		/* bit 2 */
	uint32_t modules[2], symbols[4];
	uint32_t mmap_length, mmap_addr;	/* bit 6 */
};

struct multiboot_range {
	uint32_t size;			/* of the rest of this entry */
	uint64_t base, length;
	uint32_t type;			/* 1: RAM */
} __attribute__((packed));

struct boot_info boot_info;

/* The end of the RAM that begins at or below 1 MiB, where the kernel is. */
static uintptr_t ram_end(const struct multiboot *info)
{
	uint64_t end = info->flags & 1 ? KERNEL_LOAD + (uint64_t)info->mem_upper * 1024 : 0;
	uint32_t at = info->mmap_addr;

	while (info->flags & 64 && at < info->mmap_addr + info->mmap_length) {
		const struct multiboot_range *r = direct(at);

		if (r->type == 1 && r->base <= KERNEL_LOAD && r->base + r->length > KERNEL_LOAD)
			end = r->base + r->length;
		at += r->size + sizeof(r->size);
	}
	return end < RAM_LIMIT ? (uintptr_t)end : RAM_LIMIT;
}

void multiboot_read(uintptr_t physical)
{
	const struct multiboot *info = direct(physical);

	boot_info.ram_bytes = ram_end(info) & -(uintptr_t)PAGE_BYTES;
	if (info->flags & 4) {
		const char *line = direct(info->cmdline);

		for (unsigned i = 0; i + 1 < sizeof(boot_info.line) && line[i]; i++)
			boot_info.line[i] = line[i];
	}
}
