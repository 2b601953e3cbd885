/* load.c - the guest's kernel: a multiboot module becomes a running image in the guest's memory, and minivisor does for it
 * what the boot loader did for minivisor. */
#include "minivisor.h"

#include "../lib/image.h"

void image_place(uint32_t gpa, const void *from, uint64_t n, uint64_t with_zeroes)
{
	if (gpa + with_zeroes > options.ram || n > with_zeroes)
		die("the guest's image does not fit into its %u MiB", (unsigned)(options.ram >> 20));
	memcpy(guest_memory(gpa), from, n);
	memset((char *)guest_memory(gpa) + n, 0, with_zeroes - n);
}

static const char *without_folder(const char *text)
{
	for (const char *s = text; *s && *s != ' '; s++)
		if (*s == '/')
			text = s + 1;
	return text;
}

uint32_t guest_load(const void *information)
{
	const struct multiboot *info = information;
	const struct module *m = (const void *)(uintptr_t)info->module_list;
	struct multiboot *own = guest_memory(GUEST_INFO);
	char *line = (char *)(own + 1);
	const char *text;
	uint32_t entry;

	if (!(info->flags & 8) || !info->modules)
		die("no guest: give a kernel as a module, --module \"kernel64.elf forkwait n=10\"");
	if (m->start < HOME)
		die("the module lies where the guest's memory will be: the machine needs more than 128 MiB of RAM");
	entry = image_load((const void *)(uintptr_t)m->start, m->end - m->start);
	text = (const void *)(uintptr_t)m->string;
	*own = (struct multiboot){ .flags = 1 | 4, .mem_lower = 640, .mem_upper = (uint32_t)(options.ram >> 10) - 1024,
				   .cmdline = (uint32_t)(GUEST_INFO + sizeof(*own)) };
	for (unsigned i = 0; i < 1024; i++)
		line[i] = i < 1023 ? text[i] : '\0';
	print("minivisor: guest %s\n", without_folder(text));
	return entry;
}
