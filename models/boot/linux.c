/* linux.c - the Linux boot protocol, 64-bit entry where the kernel has one, else 32-bit.
 * Source: Linux, Documentation/x86/boot.rst and zero-page.rst.
 * Simplified: no setup_data, no EFI; the kernel's real-mode code is not run: we fill the zero page ourselves. */
#include <string.h>

#include "models/boot/firmware.h"
#include "models/boot/image.h"

#define BOOT_PARAMS   0x10000u
#define COMMAND_LINE  0x20000u
#define COMMAND_MAX   0x8000u
#define PAGE_TABLES   0x70000u          /* PML4, PDPT, four page directories: identity map of 4 GB */

/* Offsets in the setup header (same in the file and the zero page). */
enum {
	HDR = 0x1f1, SETUP_SECTS = 0x1f1, BOOT_FLAG = 0x1fe, JUMP = 0x200, MAGIC = 0x202, VERSION = 0x206, TYPE_OF_LOADER = 0x210,
	LOADFLAGS = 0x211, CODE32_START = 0x214, RAMDISK_IMAGE = 0x218, RAMDISK_SIZE = 0x21c, CMD_LINE_PTR = 0x228,
	INITRD_ADDR_MAX = 0x22c, KERNEL_ALIGNMENT = 0x230, RELOCATABLE = 0x234, XLOADFLAGS = 0x236, CMDLINE_SIZE = 0x238,
	PREF_ADDRESS = 0x258, INIT_SIZE = 0x260, HDR_MAX = 0x290,
	ZP_RSDP = 0x070, ZP_E820_N = 0x1e8, ZP_E820 = 0x2d0,
	ZP_VIDEO_MODE = 0x006, ZP_COLS = 0x007, ZP_LINES = 0x00e, ZP_IS_VGA = 0x00f, ZP_POINTS = 0x010,
};
#define LOADED_HIGH BIT(0)
#define KERNEL_64   BIT(0)              /* xloadflags */

static bool probe(const struct file *f)
{
	return file_at(f, MAGIC, 4) && !memcmp(f->bytes + MAGIC, "HdrS", 4) &&
	       le16(f->bytes + BOOT_FLAG) == 0xAA55;
}

static void identity_map(struct machine *m)
{
	const uint64_t present_rw = 3, large = BIT(7);
	mem_write64(&m->mem, HPA(PAGE_TABLES), (PAGE_TABLES + 0x1000) | present_rw);
	for (uint64_t i = 0; i < 4; i++) {
		uint64_t pd = PAGE_TABLES + 0x2000 + i * 0x1000;
		mem_write64(&m->mem, HPA(PAGE_TABLES + 0x1000 + i * 8), pd | present_rw);
		for (uint64_t k = 0; k < 512; k++)
			mem_write64(&m->mem, HPA(pd + k * 8),
			            (i << 30 | k << 21) | large | present_rw);
	}
}

static void put(uint8_t *zp, unsigned off, uint64_t v, unsigned n)
{
	memcpy(zp + off, &v, n);
}

static int load_initrd(struct machine *m, const char *path, uint8_t *zp, uint64_t kernel_top,
                       uint64_t max, struct err *e)
{
	struct file f;
	if (file_read(&f, path, m->mem.ram_size, e))
		return -1;
	uint64_t limit = max + 1 < m->mem.low_size ? max + 1 : m->mem.low_size;
	uint64_t at = f.size < limit ? (limit - f.size) & PAGE_MASK : 0;
	int failed = at < kernel_top
		? err_set(e, path, "give the machine more memory: --ram 1G",
		          "%zu bytes do not fit between the kernel's end at %#llx and %#llx",
		          f.size, (unsigned long long)kernel_top, (unsigned long long)limit)
		: image_place(m, &f, 0, f.size, at, 0, "the initrd", e);
	put(zp, RAMDISK_IMAGE, at, 4);
	put(zp, RAMDISK_SIZE, f.size, 4);
	file_free(&f);
	return failed;
}

static int load(struct machine *m, const struct file *f, const struct boot_image *image,
                struct err *e)
{
	const uint8_t *h = f->bytes;
	if (!file_at(f, 0, HDR_MAX))
		return err_set(e, f->path, NULL,
		               "Linux setup header cut off: the file has %zu bytes", f->size);
	unsigned version = le16(h + VERSION);
	if (version < 0x202 || !(h[LOADFLAGS] & LOADED_HIGH))
		return err_set(e, f->path, NULL, "Linux boot protocol %u.%02u, loadflags %#x: expected 2.02 or later and a kernel loaded high (bzImage)",
		               version >> 8, version & 0xff, h[LOADFLAGS]);
	uint64_t setup = ((h[SETUP_SECTS] ? h[SETUP_SECTS] : 4) + 1) * 512ull;
	if (setup >= f->size)
		return err_set(e, f->path, NULL, "setup_sects %u: the protected-mode kernel would start at %#llx, beyond the file's end",
		               h[SETUP_SECTS], (unsigned long long)setup);
	bool wide = version >= 0x20c && (le16(h + XLOADFLAGS) & KERNEL_64);
	uint64_t at = version >= 0x20a && le64(h + PREF_ADDRESS) ? le64(h + PREF_ADDRESS) :
	              le32(h + CODE32_START);
	uint64_t room = version >= 0x20a ? le32(h + INIT_SIZE) : 0, n = f->size - setup;
	if (room < n)
		room = n;
	if (image_place(m, f, setup, n, at, room - n, "the protected-mode kernel", e))
		return -1;

	uint8_t zp[PAGE_SIZE] = { 0 };
	/* the header ends where its first jump goes */
	size_t header = 0x202u + h[JUMP + 1] - HDR;
	memcpy(zp + HDR, h + HDR, header > HDR_MAX - HDR ? HDR_MAX - HDR : header);
	put(zp, TYPE_OF_LOADER, 0xff, 1);
	put(zp, CODE32_START, at, 4);
	put(zp, CMD_LINE_PTR, COMMAND_LINE, 4);
	put(zp, ZP_RSDP, firmware_rsdp(m), 8);
	put(zp, ZP_VIDEO_MODE, 3, 1);
	put(zp, ZP_COLS, 80, 1);
	put(zp, ZP_LINES, 25, 1);
	put(zp, ZP_IS_VGA, 1, 1);
	put(zp, ZP_POINTS, 16, 2);

	const char *cmdline = image->cmdline ? image->cmdline : "";
	uint64_t limit = version >= 0x206 && le32(h + CMDLINE_SIZE) < COMMAND_MAX ?
	                 le32(h + CMDLINE_SIZE) : 255;
	if (strlen(cmdline) > limit)
		return err_set(e, f->path, NULL,
		               "command line of %zu bytes: this kernel takes at most %llu",
		               strlen(cmdline), (unsigned long long)limit);
	mem_write(&m->mem, HPA(COMMAND_LINE), cmdline, strlen(cmdline) + 1);
	if (image->n_modules)
		return err_set(e, f->path, "use --initrd", "Linux takes an initrd, not modules");
	uint64_t max = version >= 0x203 ? le32(h + INITRD_ADDR_MAX) : 0x37ffffff;
	if (image->initrd && load_initrd(m, image->initrd, zp, at + room, max, e))
		return -1;

	struct memory_range map[MEMORY_RANGES_MAX];
	unsigned ranges = firmware_memory_map(m, map);
	put(zp, ZP_E820_N, ranges, 1);
	for (unsigned i = 0; i < ranges; i++) {
		put(zp, ZP_E820 + i * 20, map[i].base, 8);
		put(zp, ZP_E820 + i * 20 + 8, map[i].size, 8);
		put(zp, ZP_E820 + i * 20 + 16, map[i].type, 4);
	}
	mem_write(&m->mem, HPA(BOOT_PARAMS), zp, sizeof zp);

	struct cpu *c = m->cpu[0];
	c->s.r[R_RSI] = BOOT_PARAMS;
	if (wide) {
		identity_map(m);
		firmware_long_gdt(m);
		entry_long64(c, at + 0x200, PAGE_TABLES);
	} else {
		entry_protected32(c, (uint32_t)at);
	}
	return 0;
}

const struct image_format format_linux = { "Linux", probe, load };
