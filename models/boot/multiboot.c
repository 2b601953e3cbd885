/* multiboot.c - Multiboot 1 images: ELF, or any format with the address fields ("a.out kludge").
 * Source: Multiboot Specification version 0.6.96. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/boot/firmware.h"
#include "models/boot/image.h"

#define HEADER_MAGIC   0x1BADB002u
#define LOADER_MAGIC   0x2BADB002u
#define HEADER_SEARCH  8192
#define WANT_ADDRESSES BIT(16)
#define WANT_UNKNOWN   0xfff8u          /* required features we do not know: bits 15:3 */

/* Where the information structure lives: high in low memory, away from where images that begin in
 * real mode load. */
#define INFO        0x80000u
#define INFO_MMAP   0x80100u
#define INFO_MODS   0x80300u
#define INFO_TEXT   0x80400u
#define INFO_END    0x88000u

enum { INFO_HAS_MEMORY = BIT(0), INFO_HAS_CMDLINE = BIT(2), INFO_HAS_MODS = BIT(3),
       INFO_HAS_MMAP = BIT(6), INFO_HAS_NAME = BIT(9) };

struct mbi {                    /* Multiboot information, the fields we fill */
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name,
	        apm_table;
};
struct mbi_module { uint32_t start, end, string, reserved; };
struct mbi_range { uint32_t size; uint64_t base, length; uint32_t type; } __attribute__((packed));

static const uint8_t *header_find(const struct file *f)
{
	for (uint64_t at = 0; at + 12 <= f->size && at < HEADER_SEARCH; at += 4) {
		const uint8_t *p = f->bytes + at;
		if (le32(p) == HEADER_MAGIC && le32(p) + le32(p + 4) + le32(p + 8) == 0)
			return p;
	}
	return NULL;
}

static bool probe(const struct file *f)
{
	return header_find(f) != NULL;
}

static int load_by_addresses(struct machine *m, const struct file *f, const uint8_t *h,
                             uint64_t *entry, uint64_t *top, struct err *e)
{
	uint64_t at = (uint64_t)(h - f->bytes);
	if (!file_at(f, at, 32))
		return err_set(e, f->path, NULL,
		               "Multiboot header at %#llx: address fields cut off",
		               (unsigned long long)at);
	uint32_t header_addr = le32(h + 12), load = le32(h + 16), load_end = le32(h + 20),
	        bss_end = le32(h + 24);
	if (load > header_addr || header_addr - load > at)
		return err_set(e, f->path, NULL, "Multiboot header: load_addr %#x does not match header_addr %#x at file offset %#llx",
		               load, header_addr, (unsigned long long)at);
	uint64_t from = at - (header_addr - load);
	uint64_t n = load_end ? (uint64_t)load_end - load : f->size - from;
	if (load_end && load_end < load)
		return err_set(e, f->path, NULL,
		               "Multiboot header: load_end_addr %#x is below load_addr %#x",
		               load_end, load);
	if (bss_end && bss_end < load + n)
		return err_set(e, f->path, NULL, "Multiboot header: bss_end_addr %#x is below the end of the loaded data", bss_end);
	*entry = le32(h + 28);
	*top = bss_end ? bss_end : load + n;
	return image_place(m, f, from, n, load, *top - load - n, "the loaded part", e);
}

struct text { uint32_t at; };   /* bump allocator for strings */

static uint32_t put_text(struct machine *m, struct text *t, const char *s, const char *where,
                         struct err *e)
{
	size_t n = strlen(s) + 1;
	if (n > INFO_END - t->at) {
		err_set(e, where, NULL, "command lines longer than %u bytes", INFO_END - INFO_TEXT);
		return 0;
	}
	uint32_t at = t->at;
	mem_write(&m->mem, HPA(at), s, n);
	t->at += (uint32_t)n;
	return at;
}

/* What a guest is told of a file: where it lies is the host's affair, and a run may not depend on it. */
static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* A module is "path arguments": the path is read; its string is that without folders. */
static int put_module(struct machine *m, const char *spec, struct mbi_module *mod, uint64_t *top,
                      struct text *text, struct err *e)
{
	size_t n = strcspn(spec, " ");
	char *path = xcalloc(n + 1, 1);
	memcpy(path, spec, n);
	struct file f;
	uint64_t at = (*top + PAGE_SIZE - 1) & PAGE_MASK;
	int failed = file_read(&f, path, m->mem.ram_size, e);
	if (!failed) {
		f.path = path;
		failed = image_place(m, &f, 0, f.size, at, 0, "the module", e);
		*mod = (struct mbi_module){ (uint32_t)at, (uint32_t)(at + f.size), 0, 0 };
		*top = at + f.size;
		file_free(&f);
	}
	if (!failed && !(mod->string = put_text(m, text, spec + (base_name(path) - path), path, e)))
		failed = -1;
	free(path);
	return failed;
}

static int load(struct machine *m, const struct file *f, const struct boot_image *image,
                struct err *e)
{
	const uint8_t *h = header_find(f);
	uint32_t want = le32(h + 4);
	uint64_t entry, top;
	if (want & WANT_UNKNOWN)
		return err_set(e, f->path, NULL,
		               "Multiboot header at %#zx requires unknown features: flags %#x",
		               (size_t)(h - f->bytes), want);
	if (want & WANT_ADDRESSES ? load_by_addresses(m, f, h, &entry, &top, e) :
	    elf_load(m, f, &entry, &top, e))
		return -1;
	if (entry >> 32)
		return err_set(e, f->path, NULL,
		               "entry point %#llx is above 4 GB: Multiboot starts in 32-bit mode",
		               (unsigned long long)entry);

	struct text text = { INFO_TEXT };
	struct mbi info = { .flags = INFO_HAS_MEMORY | INFO_HAS_CMDLINE | INFO_HAS_MMAP |
	                    INFO_HAS_NAME };
	info.mem_lower = 639;
	info.mem_upper = (uint32_t)((m->mem.low_size - 0x100000) >> 10);

	const char *args = image->cmdline ? image->cmdline : "";
	size_t cmdline_size = strlen(image->kernel) + strlen(args) + 2;
	char *cmdline = xcalloc(cmdline_size, 1);
	snprintf(cmdline, cmdline_size, "%s%s%s", base_name(image->kernel), *args ? " " : "", args);
	info.cmdline = put_text(m, &text, cmdline, f->path, e);
	free(cmdline);
	info.boot_loader_name = put_text(m, &text, "vmscope", f->path, e);
	if (!info.cmdline || !info.boot_loader_name)
		return -1;

	struct mbi_module mods[1 + ARRAY_LEN(image->modules)];
	unsigned n = 0;
	if (image->initrd && put_module(m, image->initrd, &mods[n++], &top, &text, e))
		return -1;
	for (unsigned i = 0; i < image->n_modules; i++)
		if (put_module(m, image->modules[i], &mods[n++], &top, &text, e))
			return -1;
	if (n) {
		info.flags |= INFO_HAS_MODS;
		info.mods_count = n;
		info.mods_addr = INFO_MODS;
		mem_write(&m->mem, HPA(INFO_MODS), mods, n * sizeof mods[0]);
	}

	struct memory_range map[MEMORY_RANGES_MAX];
	unsigned ranges = firmware_memory_map(m, map);
	for (unsigned i = 0; i < ranges; i++) {
		struct mbi_range r = { sizeof r - 4, map[i].base, map[i].size, map[i].type };
		mem_write(&m->mem, HPA(INFO_MMAP + i * sizeof r), &r, sizeof r);
	}
	info.mmap_addr = INFO_MMAP;
	info.mmap_length = ranges * (uint32_t)sizeof(struct mbi_range);
	mem_write(&m->mem, HPA(INFO), &info, sizeof info);

	struct cpu *c = m->cpu[0];
	c->s.r[R_RAX] = LOADER_MAGIC;
	c->s.r[R_RBX] = INFO;
	entry_protected32(c, (uint32_t)entry);
	firmware_multiboot_gdt(m);
	for (enum seg_reg i = SEG_ES; i <= SEG_GS; i++)
		c->s.seg[i].sel = i == SEG_CS ? MULTIBOOT_CS : MULTIBOOT_DS;
	return pv_image(f) ? pv_finish(m, f, top, e) : 0;
}

const struct image_format format_multiboot = { "Multiboot 1", probe, load };
