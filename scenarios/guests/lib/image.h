/* image.h - a multiboot module that is a kernel, put where its headers say: what both teaching hypervisors do for their guest.
 * Source: Multiboot Specification 0.6.96; ELF-32: System V ABI, "Program Header". */
#ifndef IMAGE_H
#define IMAGE_H

#include "lib.h"

struct multiboot {
	uint32_t flags;			/* which of the following are valid */
	uint32_t mem_lower, mem_upper;	/* bit 0: KiB below 640 KiB, KiB above 1 MiB */
	uint32_t boot_device, cmdline;	/* bit 1, bit 2 */
	uint32_t modules, module_list;	/* bit 3 */
};
struct module { uint32_t start, end, string, reserved; };
#define MULTIBOOT_LOADER 0x2BADB002	/* in EAX: a multiboot loader was here */

uint32_t image_load(const char *image, uint32_t bytes);		/* its entry point */

/* The hypervisor's: n bytes, then zeroes, to guest-physical memory; and its way to give up. */
void image_place(uint32_t at, const void *from, uint64_t n, uint64_t with_zeroes);
void die(const char *text, ...) __attribute__((noreturn));

#endif
