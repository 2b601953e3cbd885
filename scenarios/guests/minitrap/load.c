/* load.c - minitrap does for its guest what the boot loader did for minitrap: the first module is the guest's kernel, the others
 * are its modules. */
#include "minitrap.h"

#include "../lib/image.h"

enum { BOOT_GDT = 0x500, INFO = 0x600, STRINGS = 0x800, LOW_END = 0x8000, MODULES_MAX = 8, ALIGN = 0x10000 };

static uint32_t image_end;		/* guest-physical */

void image_place(uint32_t at, const void *from, uint64_t n, uint64_t with_zeroes)
{
	if (at >= guest.bytes || with_zeroes > guest.bytes - at || n > with_zeroes || at < LOW_END)
		die("the guest's image does not fit into its %u KiB", guest.bytes >> 10);
	memcpy((void *)(guest.base + at), from, n);
	memset((char *)(guest.base + at) + n, 0, with_zeroes - n);
	if (at + with_zeroes > image_end)
		image_end = (uint32_t)(at + with_zeroes);
}

static uint32_t align(uint32_t at) { return (at + ALIGN - 1) & ~(ALIGN - 1u); }

/* Text into the guest's low memory; where it is. */
static uint32_t string_place(uint32_t *at, const char *text)
{
	uint32_t here = *at;

	do {
		if (*at == LOW_END || !guest_write(*at, text, 1))
			die("the guest's command lines are too long");
		++*at;
	} while (*text++);
	return here;
}

static void modules_place(struct multiboot *own, const struct module *m, uint32_t n, uint32_t *text)
{
	struct module list[MODULES_MAX];
	uint32_t at = align(image_end);

	if (n > MODULES_MAX)
		die("at most %u modules", MODULES_MAX + 1);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t bytes = m[i].end - m[i].start;

		if (!guest_write(at, (const void *)m[i].start, bytes))
			die("module %u does not fit into the guest's memory", i + 1);
		list[i] = (struct module){ at, at + bytes, string_place(text, (const char *)m[i].string), 0 };
		at = align(at + bytes);
	}
	own->modules = n;
	own->module_list = INFO + sizeof(*own);
	guest_write(own->module_list, list, n * sizeof(*list));
}

void guest_load(const void *information, struct frame *f)
{
	static const uint64_t flat[] = { 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF };
	const struct multiboot *info = information;
	const struct module *m = (const void *)info->module_list;
	struct multiboot own = { .flags = 1 | 4 | 8, .mem_lower = 640 };
	uint32_t end, entry, text = STRINGS;

	if (!(info->flags & 8) || !info->modules || !(info->flags & 1))
		die("no guest: give a kernel as a module, --module rings32.elf");
	end = (1024 + info->mem_upper) << 10;
	for (uint32_t i = 0; i < info->modules; i++)
		if (align(m[i].end) > guest.base)
			guest.base = align(m[i].end);
	if (end < guest.base || end - guest.base < 2 << 20)
		die("the machine has no 2 MiB of memory left for a guest");
	guest.bytes = (end - guest.base) & ~0xFFFu;
	entry = image_load((const char *)m->start, m->end - m->start);
	own.mem_upper = (guest.bytes >> 10) - 1024;
	own.cmdline = string_place(&text, (const char *)m->string);
	modules_place(&own, m + 1, info->modules - 1, &text);
	guest_write(INFO, &own, sizeof own);
	guest_write(BOOT_GDT, flat, sizeof flat);
	guest.gdt = (struct table){ sizeof flat - 1, BOOT_GDT };
	guest.idt = (struct table){ 0x3FF, 0 };
	guest.cr0 = 0x11;
	*f = (struct frame){ .eax = MULTIBOOT_LOADER, .ebx = INFO, .eip = entry, .eflags = 2 };
	for (unsigned r = 0; r < SEGMENTS; r++)
		segment_set(f, r, r == CS ? 8 : 16, flat[r == CS ? 1 : 2]);
	print("minitrap: %u KiB at %x\n", guest.bytes >> 10, guest.base);
}
