/* Loaders: what a good image becomes, and what each kind of bad one is told. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <elf.h>
#include <string.h>

#include "models/boot/firmware.h"
#include "models/boot/image.h"
#include "models/symbols.h"

static struct machine *m;
static struct err e;
static uint8_t bytes[64 * 1024];
static struct file f;
static struct boot_image image;

static void start(void)
{
	struct machine_config c;
	machine_config_defaults(&c);
	c.ram = 16 << 20;
	m = machine_new(&c, &e);
	cr_assert(m != NULL, "%s", e.text);
	memset(bytes, 0, sizeof bytes);
	f = (struct file){ "image", bytes, sizeof bytes };
	image = (struct boot_image){ .kernel = "dir/image", .cmdline = "a b" };
	e.text[0] = 0;
}
static void stop(void)
{
	machine_free(m);
}
TestSuite(image, .init = start, .fini = stop);

static void put32(size_t at, uint32_t v)
{
	memcpy(bytes + at, &v, 4);
}

/* A Multiboot header with the address fields, loading the whole file at `load`. */
static void multiboot(size_t at, uint32_t flags, uint32_t load, uint32_t load_end, uint32_t bss_end, uint32_t entry)
{
	put32(at, 0x1BADB002);
	put32(at + 4, flags);
	put32(at + 8, -(0x1BADB002 + flags));
	put32(at + 12, load + (uint32_t)at);
	put32(at + 16, load);
	put32(at + 20, load_end);
	put32(at + 24, bss_end);
	put32(at + 28, entry);
}

#define REFUSED(part) do { \
	cr_expect(eq(int, image_load(m, &f, &image, &e), -1)); \
	cr_expect(strstr(e.text, part) != NULL, "message was: %s", e.text); \
	cr_expect(strncmp(e.text, "image: ", 7) == 0, "message was: %s", e.text); \
} while (0)

/* As a PC's firmware leaves it; RESET alone has every exception unmasked and no register empty. */
Test(image, the_x87_unit_is_initialised_on_entry)
{
	entry_protected32(m->cpu[0], 0x100000);
	cr_expect(eq(u16, m->cpu[0]->s.fcw, 0x37f));
	cr_expect(eq(u16, m->cpu[0]->s.ftw, 0xffff));
}

/* "EAX must contain the magic value 0x2BADB002 ... EBX must contain the 32-bit physical address of the Multiboot information" */
Test(image, multiboot_entry_state)
{
	multiboot(64, 0x10003, 0x100000, 0, 0x120000, 0x100100);
	bytes[0x100] = 0xf4;
	cr_assert(eq(int, image_load(m, &f, &image, &e), 0), "%s", e.text);
	const struct cpu_state *s = &m->cpu[0]->s;
	cr_expect(eq(u64, s->r[R_RAX], 0x2BADB002));
	cr_expect(eq(u64, s->rip, 0x100100));
	cr_expect(eq(u64, s->cr0 & (CR0_PE | CR0_PG), CR0_PE));
	cr_expect(eq(int, s->cpl, 0));
	cr_expect(eq(u32, mem_read32(&m->mem, HPA(0x100100)), 0xf4));
	uint32_t info = (uint32_t)s->r[R_RBX], cmdline = mem_read32(&m->mem, HPA(info + 16));
	char text[16];
	mem_read(&m->mem, HPA(cmdline), text, sizeof text);
	cr_expect(eq(str, text, "image a b"));
	/* mem_upper: KB from 1 MB to the first hole */
	cr_expect(eq(u32, mem_read32(&m->mem, HPA(info + 8)), 15 * 1024));
}

Test(image, multiboot_refuses_unknown_required_features)
{
	multiboot(64, 0x10008, 0x100000, 0, 0, 0x100000);
	REFUSED("requires unknown features: flags 0x10008");
}
Test(image, multiboot_refuses_a_load_address_before_the_file)
{
	multiboot(64, 0x10000, 0x100000, 0, 0, 0x100000);
	put32(64 + 12, 0x100000 + 65);
	REFUSED("does not match header_addr");
}
Test(image, multiboot_refuses_data_beyond_memory)
{
	multiboot(0, 0x10000, 0x100000, 0, 0x2000000, 0x100000);
	REFUSED("do not fit into 16 MB of low memory");
}
Test(image, multiboot_refuses_a_load_end_beyond_the_file)
{
	multiboot(0, 0x10000, 0x100000, 0x100000 + sizeof bytes + 1, 0, 0x100000);
	REFUSED("lie outside the file");
}
Test(image, multiboot_refuses_the_vga_hole)
{
	multiboot(0, 0x10000, 0x98000, 0, 0, 0x98000);
	REFUSED("VGA hole");
}

static Elf32_Ehdr *elf32(void)
{
	Elf32_Ehdr *h = (Elf32_Ehdr *)bytes;
	memcpy(h->e_ident, ELFMAG, SELFMAG);
	h->e_ident[EI_CLASS] = ELFCLASS32;
	h->e_ident[EI_DATA] = ELFDATA2LSB;
	h->e_machine = EM_386;
	h->e_entry = 0xC0100000;
	h->e_phoff = 0x100;
	h->e_phnum = 1;
	h->e_phentsize = sizeof(Elf32_Phdr);
	Elf32_Phdr *p = (Elf32_Phdr *)(bytes + 0x100);
	*p = (Elf32_Phdr){ PT_LOAD, 0x1000, 0xC0100000, 0x100000, 0x100, 0x200, 5, 0 };
	/* Multiboot without address fields */
	put32(0x400, 0x1BADB002);
	put32(0x408, -0x1BADB002u);
	return h;
}
Test(image, elf_segments_go_to_physical_addresses)
{
	elf32();
	bytes[0x1000] = 0x90;
	cr_assert(eq(int, image_load(m, &f, &image, &e), 0), "%s", e.text);
	cr_expect(eq(u64, m->cpu[0]->s.rip, 0x100000));
	cr_expect(eq(u32, mem_read32(&m->mem, HPA(0x100000)), 0x90));
}
Test(image, elf_refuses_a_segment_outside_the_file)
{
	elf32();
	((Elf32_Phdr *)(bytes + 0x100))->p_offset = sizeof bytes;
	REFUSED("program header 0: bytes");
}
Test(image, elf_refuses_more_file_than_memory)
{
	elf32();
	((Elf32_Phdr *)(bytes + 0x100))->p_filesz = 0x300;
	REFUSED("0x300 bytes in the file, only 0x200 in memory");
}
Test(image, elf_refuses_program_headers_outside_the_file)
{
	elf32()->e_phoff = 0xfffffff0;
	REFUSED("program header 0 lies outside the file");
}
Test(image, elf_without_an_entry_contract_says_what_is_missing)
{
	elf32();
	put32(0x400, 0);
	REFUSED("neither a Multiboot 1 header");
}
Test(image, pvh_note_gives_the_entry)
{
	elf32()->e_phnum = 2;
	put32(0x400, 0);
	*(Elf32_Phdr *)(bytes + 0x100 + sizeof(Elf32_Phdr)) = (Elf32_Phdr){ PT_NOTE, 0x2000, 0, 0, 20, 20, 4, 4 };
	put32(0x2000, 4);
	put32(0x2004, 4);
	put32(0x2008, 18);
	memcpy(bytes + 0x200c, "Xen", 4);
	put32(0x2010, 0x100040);
	cr_assert(eq(int, image_load(m, &f, &image, &e), 0), "%s", e.text);
	cr_expect(eq(u64, m->cpu[0]->s.rip, 0x100040));
	cr_expect(eq(u32, mem_read32(&m->mem, HPA(m->cpu[0]->s.r[R_RBX])), 0x336ec578));
}
Test(image, boot_sector_starts_in_real_mode)
{
	bytes[510] = 0x55;
	bytes[511] = 0xAA;
	image.cmdline = NULL;
	cr_assert(eq(int, image_load(m, &f, &image, &e), 0), "%s", e.text);
	cr_expect(eq(u64, m->cpu[0]->s.rip, 0x7c00));
	cr_expect(eq(u64, m->cpu[0]->s.cr0 & CR0_PE, 0));
}
Test(image, unknown_bytes_are_refused_with_a_way_out)
{
	REFUSED("no known format");
	cr_expect(strstr(e.text, "--base") != NULL);
}
Test(image, flat_goes_where_the_user_says)
{
	image = (struct boot_image){ .kernel = "image", .flat_base = 0x12345 };
	cr_assert(eq(int, image_load(m, &f, &image, &e), 0), "%s", e.text);
	cr_expect(eq(int, m->cpu[0]->s.seg[SEG_CS].sel, 0x1000));
	cr_expect(eq(u64, m->cpu[0]->s.rip, 0x2345));
}

static void linux_header(unsigned version)
{
	bytes[0x1f1] = 1;
	bytes[0x1fe] = 0x55;
	bytes[0x1ff] = 0xAA;
	bytes[0x201] = 0x66;
	memcpy(bytes + 0x202, "HdrS", 4);
	bytes[0x206] = (uint8_t)version;
	bytes[0x207] = (uint8_t)(version >> 8);
	bytes[0x211] = 1;
	put32(0x214, 0x100000);
	put32(0x22c, 0x7fffffff);
	put32(0x238, 255);
}
Test(image, linux_enters_at_code32_start_with_esi)
{
	linux_header(0x206);
	bytes[1024] = 0xcc;
	cr_assert(eq(int, image_load(m, &f, &image, &e), 0), "%s", e.text);
	const struct cpu_state *s = &m->cpu[0]->s;
	cr_expect(eq(u64, s->rip, 0x100000));
	cr_expect(eq(u32, mem_read32(&m->mem, HPA(0x100000)), 0xcc));
	cr_expect(eq(int, s->seg[SEG_CS].sel, 0x10));
	cr_expect(eq(u32, mem_read32(&m->mem, HPA(s->r[R_RSI] + 0x202)), 0x53726448));
}
Test(image, linux_64_bit_kernels_are_entered_in_long_mode)
{
	linux_header(0x20f);
	bytes[0x236] = 1;
	cr_assert(eq(int, image_load(m, &f, &image, &e), 0), "%s", e.text);
	cr_expect(eq(int, m->cpu[0]->s.mode, MODE_LONG64));
	cr_expect(eq(u64, m->cpu[0]->s.rip, 0x100200));
}
Test(image, linux_refuses_an_old_protocol)
{
	linux_header(0x201);
	REFUSED("boot protocol 2.01");
}
Test(image, linux_refuses_a_setup_beyond_the_file)
{
	linux_header(0x206);
	bytes[0x1f1] = 255;
	REFUSED("beyond the file's end");
}
Test(image, linux_refuses_a_long_command_line)
{
	static char text[300];
	memset(text, 'x', sizeof text - 1);
	linux_header(0x206);
	image.cmdline = text;
	REFUSED("command line of 299 bytes: this kernel takes at most 255");
}

/* ---- what firmware leaves ---- */
static unsigned sum(uint64_t at, unsigned n)
{
	uint8_t total = 0, b;
	while (n--) {
		mem_read(&m->mem, HPA(at++), &b, 1);
		total = (uint8_t)(total + b);
	}
	return total;
}
/* "the sum of all bytes must be 0" */
Test(image, firmware_tables_sum_to_zero)
{
	firmware_install(m);
	cr_expect(eq(uint, sum(FIRMWARE_RSDP, 20), 0));
	uint32_t rsdt = mem_read32(&m->mem, HPA(FIRMWARE_RSDP + 16));
	uint32_t n = mem_read32(&m->mem, HPA(rsdt + 4));
	cr_expect(eq(uint, sum(rsdt, n), 0));
	cr_assert(eq(u32, n, 36 + 2 * 4));
	for (unsigned i = 0; i < 2; i++) {
		uint32_t t = mem_read32(&m->mem, HPA(rsdt + 36 + 4 * i));
		cr_expect(eq(uint, sum(t, mem_read32(&m->mem, HPA(t + 4))), 0));
	}
	cr_expect(eq(uint, sum(FIRMWARE_MP, 16), 0));
	cr_expect(eq(uint, sum(FIRMWARE_MP + 16, mem_read32(&m->mem, HPA(FIRMWARE_MP + 20)) & 0xffff), 0));
}
