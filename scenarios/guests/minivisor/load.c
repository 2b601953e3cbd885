/* load.c - the guest's kernel: a multiboot module becomes a running image in the guest's memory, and minivisor does for it
 * what the boot loader did for minivisor.
 * Source: Multiboot Specification 0.6.96; ELF-32: System V ABI, "Program Header". */
#include "minivisor.h"

struct multiboot {
	uint32_t flags;			/* which of the following are valid */
	uint32_t mem_lower, mem_upper;	/* bit 0: KiB below 640 KiB, KiB above 1 MiB */
	uint32_t boot_device, cmdline;	/* bit 1, bit 2 */
	uint32_t modules, module_list;	/* bit 3 */
};
struct module { uint32_t start, end, string, reserved; };

struct header {				/* in the image's first 8 KiB */
	uint32_t magic, flags, checksum;
	uint32_t at, load, load_end, bss_end, entry;	/* with bit 16 of the flags */
};
enum { HEADER_MAGIC = 0x1BADB002, HEADER_ADDRESSES = 1 << 16 };

struct elf { uint32_t magic; uint8_t class, rest[19]; uint32_t entry, segments; uint8_t more[12]; uint16_t segment_size, n; };
struct segment { uint32_t type, offset, virtual, physical, file_bytes, bytes; };
enum { ELF_MAGIC = 0x464C457F, ELF_32 = 1, SEGMENT_LOAD = 1 };

static void place(uint32_t gpa, const void *from, uint64_t n, uint64_t with_zeroes)
{
	if (gpa + with_zeroes > options.ram || n > with_zeroes)
		die("the guest's image does not fit into its %u MiB", (unsigned)(options.ram >> 20));
	memcpy(guest_memory(gpa), from, n);
	memset((char *)guest_memory(gpa) + n, 0, with_zeroes - n);
}

static const struct header *find_header(const char *image, uint32_t bytes)
{
	for (uint32_t at = 0; at + sizeof(struct header) <= bytes && at < 8192; at += 4) {
		const struct header *h = (const void *)(image + at);

		if (h->magic == HEADER_MAGIC && !(h->magic + h->flags + h->checksum))
			return h;
	}
	die("the module is no multiboot image");
}

/* The image says itself where it goes (kernel64.elf), or its ELF program headers do (kernel32.elf). */
static uint32_t load_image(const char *image, uint32_t bytes)
{
	const struct header *h = find_header(image, bytes);
	const struct elf *elf = (const void *)image;

	if (h->flags & HEADER_ADDRESSES) {
		const char *from = (const char *)h - (h->at - h->load);
		uint32_t n = h->load_end ? h->load_end - h->load : (uint32_t)(image + bytes - from);

		if (from < image || n > image + bytes - from)
			die("the module's multiboot header is wrong");
		place(h->load, from, n, h->bss_end ? h->bss_end - h->load : n);
		return h->entry;
	}
	if (elf->magic != ELF_MAGIC || elf->class != ELF_32)
		die("the module is neither ELF-32 nor says where it is to be loaded");
	for (unsigned i = 0; i < elf->n; i++) {
		const struct segment *s = (const void *)(image + elf->segments + i * elf->segment_size);

		if (s->type == SEGMENT_LOAD)
			place(s->physical, image + s->offset, s->file_bytes, s->bytes);
	}
	return elf->entry;
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
	entry = load_image((const void *)(uintptr_t)m->start, m->end - m->start);
	text = (const void *)(uintptr_t)m->string;
	*own = (struct multiboot){ .flags = 1 | 4, .mem_lower = 640, .mem_upper = (uint32_t)(options.ram >> 10) - 1024,
				   .cmdline = (uint32_t)(GUEST_INFO + sizeof(*own)) };
	for (unsigned i = 0; i < 1024; i++)
		line[i] = i < 1023 ? text[i] : '\0';
	print("minivisor: guest %s\n", without_folder(text));
	return entry;
}
