/* pvh.c - ELF kernels with a PVH entry point: 32-bit protected mode, EBX = hvm_start_info.
 * Source: Xen, "x86/HVM direct boot ABI". */
#include <stdlib.h>
#include <string.h>

#include "models/boot/firmware.h"
#include "models/boot/image.h"

#define START_INFO    0x9000u
#define START_MMAP    0x9100u
#define START_MODULE  0x9300u
#define START_CMDLINE 0x9400u
#define CMDLINE_MAX   (0x10000u - START_CMDLINE)
#define START_MAGIC   0x336ec578u

struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};
struct start_module { uint64_t paddr, size, cmdline_paddr, reserved; };
struct start_range { uint64_t addr, size; uint32_t type, reserved; };

static bool probe(const struct file *f)
{
	uint32_t entry;
	return elf_pvh_entry(f, &entry);
}

static int load(struct machine *m, const struct file *f, const struct boot_image *image,
                struct err *e)
{
	uint32_t entry = 0;
	uint64_t ignored, top;
	elf_pvh_entry(f, &entry);
	if (elf_load(m, f, &ignored, &top, e))
		return -1;
	struct start_info info = { .magic = START_MAGIC, .version = 1,
	                           .rsdp_paddr = firmware_rsdp(m), .memmap_paddr = START_MMAP };
	const char *cmdline = image->cmdline ? image->cmdline : "";
	if (strlen(cmdline) >= CMDLINE_MAX)
		return err_set(e, f->path, NULL, "command line of %zu bytes: at most %u",
		               strlen(cmdline), CMDLINE_MAX - 1);
	mem_write(&m->mem, HPA(START_CMDLINE), cmdline, strlen(cmdline) + 1);
	info.cmdline_paddr = START_CMDLINE;
	if (image->n_modules)
		return err_set(e, f->path, "use --initrd", "PVH kernels take one module here");
	if (image->initrd) {
		struct file initrd;
		uint64_t at = (top + PAGE_SIZE - 1) & PAGE_MASK;
		if (file_read(&initrd, image->initrd, m->mem.ram_size, e))
			return -1;
		int failed = image_place(m, &initrd, 0, initrd.size, at, 0, "the initrd", e);
		struct start_module mod = { .paddr = at, .size = initrd.size };
		file_free(&initrd);
		if (failed)
			return -1;
		mem_write(&m->mem, HPA(START_MODULE), &mod, sizeof mod);
		info.nr_modules = 1;
		info.modlist_paddr = START_MODULE;
	}
	struct memory_range map[MEMORY_RANGES_MAX];
	info.memmap_entries = firmware_memory_map(m, map);
	for (unsigned i = 0; i < info.memmap_entries; i++) {
		struct start_range r = { map[i].base, map[i].size, map[i].type, 0 };
		mem_write(&m->mem, HPA(START_MMAP + i * sizeof r), &r, sizeof r);
	}
	mem_write(&m->mem, HPA(START_INFO), &info, sizeof info);
	m->cpu[0]->s.r[R_RBX] = START_INFO;
	entry_protected32(m->cpu[0], entry);
	return 0;
}

const struct image_format format_pvh = { "PVH", probe, load };
