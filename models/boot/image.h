/* image.h - kernel images: recognise a format, check it, place it in memory, set the CPU's
 * entry state.
 *
 * Images are hostile input: every offset and size is checked before use, and an image is refused
 * with what is wrong and where in the file. Formats, in the order they are tried:
 *   Linux      "HdrS" at 202H: the 64-bit or 32-bit boot protocol (Linux: Documentation/x86/boot)
 *   Multiboot  a Multiboot 1 header in the first 8 KB (Multiboot Specification 0.6.96)
 *   PVH        an ELF with the note XEN_ELFNOTE_PHYS32_ENTRY (Xen: the x86/HVM direct boot ABI)
 *   boot sector  55 AA at offset 510: loaded at 7C00H, real mode
 *   flat       anything, when the user says where */
#ifndef BOOT_IMAGE_H
#define BOOT_IMAGE_H

#include "models/machine.h"

struct file {                   /* a whole file in memory */
	const char *path;
	uint8_t *bytes;
	size_t size;
};
int file_read(struct file *f, const char *path, size_t limit, struct err *e);
void file_free(struct file *f);
/* A view of [off, off+n) or NULL when it lies outside. */
const void *file_at(const struct file *f, uint64_t off, uint64_t n);
static inline uint16_t le16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t le32(const uint8_t *p) { return le16(p) | (uint32_t)le16(p + 2) << 16; }
static inline uint64_t le64(const uint8_t *p) { return le32(p) | (uint64_t)le32(p + 4) << 32; }

/* One format. probe: is it this? load: check and place; -1 with err set. */
struct image_format {
	const char *name;
	bool (*probe)(const struct file *f);
	int (*load)(struct machine *m, const struct file *f, const struct boot_image *image,
	            struct err *e);
};
extern const struct image_format format_linux, format_multiboot, format_pvh, format_sector,
        format_flat;

/* machine_boot() once the file is in memory. */
int image_load(struct machine *m, const struct file *f, const struct boot_image *image,
               struct err *e);

/* ---- shared by the formats ---- */
/* Copy into RAM; refuse what does not fit. `what` names the part in the message. */
int image_place(struct machine *m, const struct file *f, uint64_t off, uint64_t n, uint64_t pa,
                uint64_t zero, const char *what, struct err *e);
/* ELF program headers (32- and 64-bit) to their physical addresses; *top: end of the
 * highest segment. */
int elf_load(struct machine *m, const struct file *f, uint64_t *entry, uint64_t *top,
             struct err *e);
bool elf_probe(const struct file *f);
/* The contents of the first note of that owner and type, or NULL. */
const uint8_t *elf_note(const struct file *f, const char *owner, uint32_t type, uint32_t *size);
/* XEN_ELFNOTE_PHYS32_ENTRY, if the file has it. */
bool elf_pvh_entry(const struct file *f, uint32_t *entry);
struct symtab *elf_symbols(const struct file *f);

/* pv.c. Does the image say that it is a paravirtual kernel (models/vmm/pv/abi.h)? And once the multiboot loader has placed it, with
 * *top the end of all that is in memory: its page tables and its entry state. */
bool pv_image(const struct file *f);
int pv_check(const struct machine *m, const struct file *f, struct err *e);     /* is this the machine for it? */
int pv_finish(struct machine *m, const struct file *f, uint64_t top, struct err *e);

void boot_image_forget(struct machine *m);      /* free machine->booted */

/* Entry states. The boot GDT (firmware.h): 08H 64-bit code, 10H code, 18H data, flat. */
void entry_protected32(struct cpu *c, uint32_t eip);
void entry_long64(struct cpu *c, uint64_t rip, uint64_t cr3);
void entry_real(struct cpu *c, uint16_t cs, uint16_t ip);

#endif
