/* flat.c - images without a format of their own: boot sectors and flat binaries, started in real
 * mode below 1 MB, in 32-bit protected mode above. */
#include "models/boot/firmware.h"
#include "models/boot/image.h"

#define BOOT_SECTOR 0x7c00u

static int refuse_extras(const struct file *f, const struct boot_image *image, struct err *e)
{
	if (image->initrd || image->n_modules)
		return err_set(e, f->path, NULL, "a flat binary takes no initrd and no modules");
	if (image->cmdline && *image->cmdline)
		return err_set(e, f->path, NULL, "a flat binary takes no command line");
	return 0;
}

static bool sector_probe(const struct file *f)
{
	return f->size >= 512 && f->bytes[510] == 0x55 && f->bytes[511] == 0xAA;
}

static int sector_load(struct machine *m, const struct file *f, const struct boot_image *image,
                       struct err *e)
{
	if (refuse_extras(f, image, e) || image_place(m, f, 0, 512, BOOT_SECTOR, 0,
	                                              "the boot sector", e))
		return -1;
	m->cpu[0]->s.r[R_RDX] = 0x80;           /* booted from the first hard disk */
	m->cpu[0]->s.r[R_RSP] = BOOT_SECTOR;
	entry_real(m->cpu[0], 0, BOOT_SECTOR);
	return 0;
}

static bool flat_probe(const struct file *f)
{
	(void)f;
	return true;
}

static int flat_load(struct machine *m, const struct file *f, const struct boot_image *image,
                     struct err *e)
{
	uint64_t at = image->flat_base;
	if (refuse_extras(f, image, e) || image_place(m, f, 0, f->size, at, 0, "the flat binary",
	                                              e))
		return -1;
	if (at < 0x100000)
		entry_real(m->cpu[0], (uint16_t)(at >> 4 & 0xf000), (uint16_t)at);
	else
		entry_protected32(m->cpu[0], (uint32_t)at);
	return 0;
}

const struct image_format format_sector = { "boot sector", sector_probe, sector_load };
const struct image_format format_flat = { "flat", flat_probe, flat_load };
