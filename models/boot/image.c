/* image.c - choosing a format, placing parts in memory, entry states. */
#include "models/boot/image.h"

#include <stdlib.h>
#include <string.h>

#include "models/boot/firmware.h"
#include "models/cpu/flags.h"
#include "models/cpu/x87.h"
#include "models/symbols.h"

static const struct image_format *const formats[] = {
	&format_flat,           /* only when the user gave an address */
	&format_linux, &format_multiboot, &format_pvh, &format_sector,
};

int image_place(struct machine *m, const struct file *f, uint64_t off, uint64_t n, uint64_t pa,
                uint64_t zero,
                const char *what, struct err *e)
{
	const uint8_t *from = file_at(f, off, n);
	if (!from)
		return err_set(e, f->path, NULL,
		               "%s: bytes %#llx..%#llx lie outside the file (%zu bytes)", what,
		               (unsigned long long)off, (unsigned long long)(off + n), f->size);
	uint64_t end = pa + n + zero;
	if (end < pa || n + zero < n || end > m->mem.low_size)
		return err_set(e, f->path, "give the machine more memory: --ram 1G",
		               "%s: %#llx bytes at address %#llx do not fit into %llu MB of low memory", what,
		               (unsigned long long)(n + zero), (unsigned long long)pa,
		               (unsigned long long)(m->mem.low_size >> 20));
	if (pa < 0xC0000 && end > 0xA0000)
		return err_set(e, f->path, NULL,
		               "%s: address %#llx lies in the VGA hole A0000-BFFFF", what,
		               (unsigned long long)pa);
	mem_write(&m->mem, HPA(pa), from, n);
	return 0;
}

int image_load(struct machine *m, const struct file *f, const struct boot_image *image,
               struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		const struct image_format *format = formats[i];
		if (format == &format_flat ? !image->flat_base : !format->probe(f))
			continue;
		if (pv_check(m, f, e))
			return -1;
		firmware_install(m);
		symtab_free(m->symbols);
		m->symbols = elf_symbols(f);
		return format->load(m, f, image, e);
	}
	if (elf_probe(f))
		return err_set(e, f->path, "add a Multiboot 1 header or the PVH note, or load it flat: --base ADDRESS",
		               "an ELF file with neither a Multiboot 1 header in its first 8192 bytes nor a PVH note");
	return err_set(e, f->path, "load it as a flat binary: --base ADDRESS",
	               "no known format: no \"HdrS\" at 0x202, no Multiboot 1 header, no ELF, no boot signature 55 AA at 510");
}

void boot_image_forget(struct machine *m)
{
	free((char *)m->booted.kernel);
	free((char *)m->booted.initrd);
	free((char *)m->booted.cmdline);
	for (unsigned i = 0; i < m->booted.n_modules; i++)
		free((char *)m->booted.modules[i]);
	memset(&m->booted, 0, sizeof m->booted);
}

/* For a reboot: the caller's strings may be gone by then. */
static void remember(struct machine *m, const struct boot_image *image)
{
	boot_image_forget(m);
	m->booted = *image;
	m->booted.kernel = xstrdup(image->kernel);
	m->booted.initrd = image->initrd ? xstrdup(image->initrd) : NULL;
	m->booted.cmdline = image->cmdline ? xstrdup(image->cmdline) : NULL;
	for (unsigned i = 0; i < image->n_modules; i++)
		m->booted.modules[i] = xstrdup(image->modules[i]);
}

int machine_boot(struct machine *m, const struct boot_image *image, struct err *e)
{
	struct file f;
	if (file_read(&f, image->kernel, m->mem.ram_size, e))
		return -1;
	int failed = image_load(m, &f, image, e);
	file_free(&f);
	if (!failed && image != &m->booted)
		remember(m, image);
	return failed;
}

/* ---- entry states ---- */

static void segment(struct cpu *c, enum seg_reg i, uint16_t sel, uint64_t base, uint32_t limit,
                    uint32_t attr)
{
	c->s.seg[i] = (struct seg){ .base = base, .limit = limit, .attr = attr, .sel = sel };
}

static void flat_segments(struct cpu *c, uint32_t code_size)
{
	const uint32_t common = SEG_G | SEG_P | SEG_S;
	segment(c, SEG_CS, FIRMWARE_CS, 0, 0xffffffff, common | code_size | 11);
	for (enum seg_reg i = SEG_ES; i <= SEG_GS; i++)
		if (i != SEG_CS)
			segment(c, i, FIRMWARE_DS, 0, 0xffffffff, common | SEG_DB | 3);
	c->s.gdtr.base = FIRMWARE_GDT;
	c->s.gdtr.limit = FIRMWARE_GDT_LIMIT;
}

/* Firmware has run FNINIT: RESET itself leaves every exception unmasked and every
 * register in use. */
static void firmware_fpu(struct cpu *c)
{
	x87_init(c);
}

void entry_protected32(struct cpu *c, uint32_t eip)
{
	flat_segments(c, SEG_DB);
	c->s.cr0 = CR0_PE | CR0_ET;
	c->s.rip = eip;
	firmware_fpu(c);
	cpu_restored(c);
}

void entry_long64(struct cpu *c, uint64_t rip, uint64_t cr3)
{
	flat_segments(c, SEG_L);
	c->s.cr0 = CR0_PE | CR0_ET | CR0_PG;
	c->s.cr3 = cr3;
	c->s.cr4 = CR4_PAE;
	c->s.efer = EFER_LME | EFER_LMA;
	c->s.rip = rip;
	firmware_fpu(c);
	cpu_restored(c);
}

void entry_real(struct cpu *c, uint16_t cs, uint16_t ip)
{
	const uint32_t data = SEG_P | SEG_S | 3;
	for (enum seg_reg i = SEG_ES; i <= SEG_GS; i++)
		segment(c, i, 0, 0, 0xffff, data);
	segment(c, SEG_CS, cs, (uint64_t)cs << 4, 0xffff, data);
	c->s.rip = ip;
	firmware_fpu(c);
	cpu_restored(c);
}
