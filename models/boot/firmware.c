/* firmware.c - see firmware.h. */
#include "models/boot/firmware.h"

#include <string.h>

#include "models/boot/image.h"
#include "models/io/board.h"

#define IRET_AT      0xE1000u
#define TICK_AT      0xE1010u
#define RESET_AT     0xFFFF0u
#define BDA          0x400u
#define EBDA         0x9FC00u
#define IA32_IRET    0xCF

unsigned firmware_memory_map(const struct machine *m, struct memory_range map[MEMORY_RANGES_MAX])
{
	unsigned n = 0;
	map[n++] = (struct memory_range){ 0, EBDA, RANGE_RAM };
	map[n++] = (struct memory_range){ EBDA, 0xA0000 - EBDA, RANGE_RESERVED };
	map[n++] = (struct memory_range){ FIRMWARE_GDT, FIRMWARE_END - FIRMWARE_GDT,
	                                  RANGE_RESERVED };
	map[n++] = (struct memory_range){ 0x100000, m->mem.low_size - 0x100000, RANGE_RAM };
	if (m->mem.ram_size > m->mem.low_size)
		map[n++] = (struct memory_range){ MEM_HIGH, m->mem.ram_size - m->mem.low_size,
		                                  RANGE_RAM };
	return n;
}

static void bios_data_area(struct machine *m)
{
	static const struct { uint16_t off, value; } words[] = {
		{ 0x00, 0x3f8 },                /* COM1 */
		{ 0x0e, EBDA >> 4 },
		{ 0x10, 0x0226 },               /* equipment: one serial port, 80x25 colour, FPU */
		{ 0x13, EBDA >> 10 },           /* base memory in KB */
		{ 0x4a, 80 },                   /* columns */
		{ 0x63, 0x3d4 },                /* CRTC port */
	};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		mem_write(&m->mem, HPA(BDA + words[i].off), &words[i].value, 2);
	uint8_t mode = 3, rows = 24;
	mem_write(&m->mem, HPA(BDA + 0x49), &mode, 1);
	mem_write(&m->mem, HPA(BDA + 0x84), &rows, 1);
	mem_write32(&m->mem, HPA(EBDA), 1);     /* the EBDA's size in KB */
}

enum { PIC_MASTER = 0x08, PIC_SLAVE = 0x70 };   /* first vectors */

static void interrupt_vectors(struct machine *m)
{
	static const uint8_t tick[] = {
		0x50, 0x1E,                             /* push ax; push ds */
		0x31, 0xC0, 0x8E, 0xD8,                 /* xor ax, ax; mov ds, ax */
		0x66, 0xFF, 0x06, 0x6C, 0x04,           /* inc dword [46CH]: ticks since midnight */
		/* mov al, 20H; out 20H, al: end of interrupt */
		0xB0, 0x20, 0xE6, 0x20,
		0x1F, 0x58, IA32_IRET,                  /* pop ds; pop ax; iret */
	};
	/* The reset vector, for guests that jump there: the jump itself resets no chip, so ask
	 * for INIT. */
	static const uint8_t reset[] = {
		0xBA, 0xF9, 0x0C, 0xB0, 0x04, 0xEE,     /* mov dx, 0CF9H; mov al, 4; out dx, al */
		0xF4, 0xEB, 0xFD,                       /* hlt; jmp $-1 */
	};
	uint8_t iret = IA32_IRET;
	mem_write(&m->mem, HPA(IRET_AT), &iret, 1);
	for (uint32_t v = 0; v < 256; v++)
		mem_write32(&m->mem, HPA(v * 4), (IRET_AT >> 4) << 16 | (IRET_AT & 15));
	mem_write(&m->mem, HPA(TICK_AT), tick, sizeof tick);
	mem_write32(&m->mem, HPA(PIC_MASTER * 4), (TICK_AT >> 4) << 16 | (TICK_AT & 15));
	mem_write(&m->mem, HPA(RESET_AT), reset, sizeof reset);
}

/* What a PC's firmware leaves the interrupt controllers and the timer doing: vectors 08H and 70H,
 * the timer's 18.2 ticks a second the only interrupt that is not masked. */
static void chips(struct machine *m)
{
	static const struct { uint8_t port, value; } writes[] = {
		{ 0x20, 0x11 }, { 0x21, PIC_MASTER }, { 0x21, 0x04 }, { 0x21, 0x01 }, { 0x21, 0xFA },   /* 8259 ICW1-4, OCW1 */
		{ 0xA0, 0x11 }, { 0xA1, PIC_SLAVE }, { 0xA1, 0x02 }, { 0xA1, 0x01 }, { 0xA1, 0xFF },
		{ 0x43, 0x36 }, { 0x40, 0x00 }, { 0x40, 0x00 },         /* 8254 counter 0: mode 3, 65536 */
	};
	struct io_wire ports = board_ports(m->board);
	struct io_at at = { .cpu = 0, .now = machine_now(m) };
	for (size_t i = 0; i < ARRAY_LEN(writes); i++)
		ports.write(ports.who, writes[i].port, 1, writes[i].value, &at);
}

/* Descriptors: flat, 4 GB, ring 0.  base 31:24 | G D/L | limit 19:16 | access | base 23:0 | limit 15:0 */
#define GDT_CODE64 0x00AF9B000000FFFFull
#define GDT_CODE32 0x00CF9B000000FFFFull
#define GDT_DATA   0x00CF93000000FFFFull

static void boot_gdt(struct machine *m)
{
	const uint64_t gdt[] = { 0, GDT_CODE64, GDT_CODE32, GDT_DATA };
	mem_write(&m->mem, HPA(FIRMWARE_GDT), gdt, sizeof gdt);
}

void firmware_long_gdt(struct machine *m)
{
	mem_write64(&m->mem, HPA(FIRMWARE_GDT + FIRMWARE_CS), GDT_CODE64);
}

void firmware_multiboot_gdt(struct machine *m)
{
	mem_write64(&m->mem, HPA(FIRMWARE_GDT + MULTIBOOT_CS), GDT_CODE32);
	mem_write64(&m->mem, HPA(FIRMWARE_GDT + MULTIBOOT_DS), GDT_DATA);
}

uint64_t firmware_rsdp(const struct machine *m)
{
	(void)m;
	return FIRMWARE_RSDP;
}

/* Every CPU's MTRRs: write-back but for the VGA window and the PCI hole below 4 GB, which are uncached.
 * Source: SDM Vol. 3A, "Memory Type Range Registers (MTRRs)". */
static void memory_types(struct machine *m)
{
	enum { WB = 6, FIXED_AND_ENABLE = 0xc00, VALID = 0x800, VGA = 2 /* the row of A0000-BFFFF */ };
	for (unsigned i = 0; i < m->config.cpus; i++) {
		struct cpu_state *s = &m->cpu[i]->s;
		s->mtrr_def_type = FIXED_AND_ENABLE | WB;
		s->mtrr[0] = MEM_LOW_MAX;
		s->mtrr[1] = (MASK(m->config.profile.phys_bits) & ~(MEM_HIGH - MEM_LOW_MAX - 1)) |
		             VALID;
		for (unsigned k = 0; k < ARRAY_LEN(s->mtrr_fixed); k++)
			s->mtrr_fixed[k] = k == VGA ? 0 : 0x0606060606060606;
	}
}

void firmware_install(struct machine *m)
{
	interrupt_vectors(m);
	bios_data_area(m);
	boot_gdt(m);
	acpi_install(m);
	mptable_install(m);
	chips(m);
	memory_types(m);
}

static uint8_t cmos_read(struct machine *m, uint8_t index)
{
	struct io_wire ports = board_ports(m->board);
	struct io_at at = { .cpu = 0, .now = machine_now(m) };
	ports.write(ports.who, 0x70, 1, index, &at);
	return (uint8_t)ports.read(ports.who, 0x71, 1, &at);
}

bool firmware_warm_reset(struct machine *m)
{
	enum { SHUTDOWN_STATUS = 0x0f, JUMP_WITH_EOI = 0x05, JUMP = 0x0a, S3_RESUME = 0xfe };
	uint8_t status = cmos_read(m, SHUTDOWN_STATUS);
	uint32_t vector = 0;
	if (status == JUMP || status == JUMP_WITH_EOI)
		vector = mem_read32(&m->mem, HPA(BDA + 0x67));
	else if (status == S3_RESUME)
		vector = (mem_read32(&m->mem, HPA(FIRMWARE_ACPI + 12)) & 0xffff0) << 12;
	if (!vector)
		return false;
	entry_real(m->cpu[0], (uint16_t)(vector >> 16), (uint16_t)vector);
	return true;
}
