/* elf.c - ELF images, 32- and 64-bit: segments to physical addresses, the PVH note, symbols.
 * Source: System V ABI, "Object Files" and its AMD64 supplement.
 * Simplified: only little-endian x86; no relocation (a kernel is linked where it runs). */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/boot/image.h"
#include "models/symbols.h"

#define NOTE_PHYS32_ENTRY 18
#define PHDRS_MAX 256
#define SYMBOLS_MAX (1u << 20)

struct elf {                    /* the header's fields, of either width */
	bool wide;
	uint64_t entry, phoff, shoff;
	unsigned phnum, phsize, shnum, shsize;
};
struct segment { uint32_t type; uint64_t off, vaddr, paddr, filesz, memsz; };
struct section { uint32_t type, link; uint64_t off, size, entsize; };

bool elf_probe(const struct file *f)
{
	return f->size >= EI_NIDENT && !memcmp(f->bytes, ELFMAG, SELFMAG);
}

static int elf_open(const struct file *f, struct elf *x, struct err *e)
{
	const uint8_t *p = f->bytes;
	if (!elf_probe(f))
		return err_set(e, f->path, NULL, "not an ELF file");
	x->wide = p[EI_CLASS] == ELFCLASS64;
	if ((!x->wide && p[EI_CLASS] != ELFCLASS32) || p[EI_DATA] != ELFDATA2LSB)
		return err_set(e, f->path, NULL, "ELF header: class %u, data %u; expected a little-endian ELF32 or ELF64", p[EI_CLASS], p[EI_DATA]);
	if (!file_at(f, 0, x->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
		return err_set(e, f->path, NULL, "ELF header cut off: the file has %zu bytes",
		               f->size);
	if (x->wide) {
		Elf64_Ehdr h;
		memcpy(&h, p, sizeof h);
		*x = (struct elf){ true, h.e_entry, h.e_phoff, h.e_shoff, h.e_phnum, h.e_phentsize,
		                   h.e_shnum, h.e_shentsize };
	} else {
		Elf32_Ehdr h;
		memcpy(&h, p, sizeof h);
		*x = (struct elf){ false, h.e_entry, h.e_phoff, h.e_shoff, h.e_phnum, h.e_phentsize,
		                   h.e_shnum, h.e_shentsize };
	}
	unsigned machine = le16(p + 18);
	if (machine != EM_386 && machine != EM_X86_64)
		return err_set(e, f->path, NULL,
		               "ELF header: machine %u is not x86 (expected %u or %u)", machine,
		               EM_386, EM_X86_64);
	if (x->phnum > PHDRS_MAX)
		return err_set(e, f->path, NULL, "ELF header: %u program headers, at most %u",
		               x->phnum, PHDRS_MAX);
	return 0;
}

static bool segment_at(const struct file *f, const struct elf *x, unsigned i, struct segment *s)
{
	size_t need = x->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	const void *p = x->phsize < need ? NULL :
	                file_at(f, x->phoff + (uint64_t)i * x->phsize, need);
	if (!p)
		return false;
	if (x->wide) {
		Elf64_Phdr h;
		memcpy(&h, p, sizeof h);
		*s = (struct segment){ h.p_type, h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz,
		                       h.p_memsz };
	} else {
		Elf32_Phdr h;
		memcpy(&h, p, sizeof h);
		*s = (struct segment){ h.p_type, h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz,
		                       h.p_memsz };
	}
	return true;
}

int elf_load(struct machine *m, const struct file *f, uint64_t *entry, uint64_t *top, struct err *e)
{
	struct elf x;
	struct segment s;
	if (elf_open(f, &x, e))
		return -1;
	*top = 0;
	*entry = x.entry;
	for (unsigned i = 0; i < x.phnum; i++) {
		char what[48];
		snprintf(what, sizeof what, "program header %u", i);
		if (!segment_at(f, &x, i, &s))
			return err_set(e, f->path, NULL, "%s lies outside the file", what);
		if (s.type != PT_LOAD || !s.memsz)
			continue;
		if (s.filesz > s.memsz)
			return err_set(e, f->path, NULL,
			               "%s: %#llx bytes in the file, only %#llx in memory", what,
			               (unsigned long long)s.filesz, (unsigned long long)s.memsz);
		if (image_place(m, f, s.off, s.filesz, s.paddr, s.memsz - s.filesz, what, e))
			return -1;
		/* An entry point given as a virtual address belongs to the segment that maps it. */
		if (x.entry - s.vaddr < s.memsz && s.vaddr != s.paddr)
			*entry = x.entry - s.vaddr + s.paddr;
		if (s.paddr + s.memsz > *top)
			*top = s.paddr + s.memsz;
	}
	if (!*top)
		return err_set(e, f->path, NULL, "no loadable segment");
	return 0;
}

const uint8_t *elf_note(const struct file *f, const char *owner, uint32_t type, uint32_t *size)
{
	struct elf x;
	struct segment s;
	struct err ignored = { "" };
	const size_t owner_size = strlen(owner) + 1;
	if (!elf_probe(f) || elf_open(f, &x, &ignored))
		return NULL;
	for (unsigned i = 0; i < x.phnum && segment_at(f, &x, i, &s); i++) {
		if (s.type != PT_NOTE)
			continue;
		for (uint64_t at = 0; at + 12 <= s.filesz;) {
			const uint8_t *n = file_at(f, s.off + at, 12);
			if (!n)
				break;
			uint64_t name = le32(n), desc = le32(n + 4);
			uint64_t name_off = s.off + at + 12,
			        desc_off = name_off + ((name + 3) & ~3ull);
			const char *who = name == owner_size ? file_at(f, name_off, name) : NULL;
			const uint8_t *d = file_at(f, desc_off, desc);
			if (who && d && !memcmp(who, owner, owner_size) && le32(n + 8) == type) {
				*size = (uint32_t)desc;
				return d;
			}
			at = desc_off - s.off + ((desc + 3) & ~3ull);
		}
	}
	return NULL;
}

bool elf_pvh_entry(const struct file *f, uint32_t *entry)
{
	uint32_t size;
	const uint8_t *d = elf_note(f, "Xen", NOTE_PHYS32_ENTRY, &size);
	if (!d || size < 4)
		return false;
	*entry = le32(d);
	return true;
}

static bool section_at(const struct file *f, const struct elf *x, unsigned i, struct section *s)
{
	size_t need = x->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
	const void *p = x->shsize < need || i >= x->shnum ? NULL :
	                file_at(f, x->shoff + (uint64_t)i * x->shsize, need);
	if (!p)
		return false;
	if (x->wide) {
		Elf64_Shdr h;
		memcpy(&h, p, sizeof h);
		*s = (struct section){ h.sh_type, h.sh_link, h.sh_offset, h.sh_size, h.sh_entsize };
	} else {
		Elf32_Shdr h;
		memcpy(&h, p, sizeof h);
		*s = (struct section){ h.sh_type, h.sh_link, h.sh_offset, h.sh_size, h.sh_entsize };
	}
	return true;
}

struct symtab *elf_symbols(const struct file *f)
{
	struct symtab *t = symtab_new();
	struct elf x;
	struct section s, str;
	struct err ignored = { "" };
	if (!elf_probe(f) || elf_open(f, &x, &ignored))
		return t;
	for (unsigned i = 0; i < x.shnum && section_at(f, &x, i, &s); i++) {
		size_t each = x.wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
		if (s.type != SHT_SYMTAB || !section_at(f, &x, s.link, &str) ||
		    !file_at(f, s.off, s.size) || !file_at(f, str.off, str.size))
			continue;
		for (uint64_t k = 0; k < s.size / each && k < SYMBOLS_MAX; k++) {
			const uint8_t *p = f->bytes + s.off + k * each;
			uint32_t name = le32(p);
			unsigned type = (x.wide ? p[4] : p[12]) & 15;
			unsigned shndx = x.wide ? le16(p + 6) : le16(p + 14);
			uint64_t value = x.wide ? le64(p + 8) : le32(p + 4);
			uint64_t size = x.wide ? le64(p + 16) : le32(p + 8);
			const char *text = name < str.size ?
			                   (const char *)f->bytes + str.off + name : NULL;
			if (!text || !*text || !memchr(text, 0, str.size - name) ||
			    shndx == SHN_UNDEF || type > STT_FUNC)
				continue;
			symtab_add(t, text, value, size, type == STT_FUNC, (x.wide ? p[4] : p[12]) >> 4 != STB_LOCAL);
		}
	}
	symtab_sort(t);
	return t;
}
