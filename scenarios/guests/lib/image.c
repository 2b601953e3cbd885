/* image.c - see image.h. */
#include "image.h"

struct header {				/* in the image's first 8 KiB */
	uint32_t magic, flags, checksum;
	uint32_t at, load, load_end, bss_end, entry;	/* with bit 16 of the flags */
};
enum { HEADER_MAGIC = 0x1BADB002, HEADER_ADDRESSES = 1 << 16 };

struct elf { uint32_t magic; uint8_t class, rest[19]; uint32_t entry, segments; uint8_t more[12]; uint16_t segment_size, n; };
struct segment { uint32_t type, offset, virtual, physical, file_bytes, bytes; };
enum { ELF_MAGIC = 0x464C457F, ELF_32 = 1, SEGMENT_LOAD = 1 };

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
uint32_t image_load(const char *image, uint32_t bytes)
{
	const struct header *h = find_header(image, bytes);
	const struct elf *elf = (const void *)image;

	if (h->flags & HEADER_ADDRESSES) {
		const char *from = (const char *)h - (h->at - h->load);
		uint32_t n = h->load_end ? h->load_end - h->load : (uint32_t)(image + bytes - from);

		if (from < image || n > (uint32_t)(image + bytes - from))
			die("the module's multiboot header is wrong");
		image_place(h->load, from, n, h->bss_end ? h->bss_end - h->load : n);
		return h->entry;
	}
	if (elf->magic != ELF_MAGIC || elf->class != ELF_32)
		die("the module is neither ELF-32 nor says where it is to be loaded");
	for (unsigned i = 0; i < elf->n; i++) {
		const struct segment *s = (const void *)(image + elf->segments + i * elf->segment_size);

		if (s->type == SEGMENT_LOAD)
			image_place(s->physical, image + s->offset, s->file_bytes, s->bytes);
	}
	return elf->entry;
}
