/* main.c - minitrap's own tables, its lines on the serial port, and what happens at a trap. */
#include "minitrap.h"

enum { THR = 0x3F8, LSR = 0x3FD, LSR_THRE = 0x20 };

struct guest guest;
_Alignas(4096) uint64_t gdt[4096 / sizeof(uint64_t)];
static uint64_t idt[256];
static uint32_t tss[26];
extern char stack_top[];

static inline void outb(uint16_t port, uint8_t v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void put(void *unused, char c)
{
	(void)unused;
	while (!(inb(LSR) & LSR_THRE))
		;
	outb(THR, (uint8_t)c);
}

void print(const char *text, ...)
{
	va_list values;

	va_start(values, text);
	format(put, NULL, text, values);
	va_end(values);
}

void power_off(uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"((uint16_t)0xF4));	/* QEMU's isa-debug-exit */
	for (const char *s = "Shutdown"; *s; s++)
		outb(0x8900, (uint8_t)*s);					/* Bochs */
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

void die(const char *text, ...)
{
	va_list values;

	print("minitrap: ");
	va_start(values, text);
	format(put, NULL, text, values);
	va_end(values);
	print("\n");
	power_off(2);
}

void finish(uint32_t value)
{
	print("minitrap: %u traps: %u instructions emulated, %u events reflected\n", guest.traps, guest.emulated, guest.reflected);
	power_off(value);
}

static void tables_make(void)
{
	struct table g = { GDT_ENTRIES * sizeof *gdt - 1, (uint32_t)gdt }, i = { sizeof idt - 1, (uint32_t)idt };
	uint32_t at = (uint32_t)tss;

	gdt[GDT_CS] = 0x00CF9B000000FFFF;
	gdt[GDT_DS] = 0x00CF93000000FFFF;
	gdt[GDT_TSS] = (uint64_t)(at & 0xFF000000) << 32 | (uint64_t)(0x8900 | (at >> 16 & 0xFF)) << 32 | at << 16 | (sizeof tss - 1);
	tss[1] = (uint32_t)stack_top;
	tss[2] = SEL_DS;
	tss[25] = (sizeof tss) << 16;		/* no I/O map: every port traps */
	for (unsigned v = 0; v < 256; v++) {
		uint32_t stub = (uint32_t)trap_stubs + 16 * v;

		idt[v] = (uint64_t)((stub & 0xFFFF0000) | 0x8E00) << 32 | SEL_CS << 16 | (stub & 0xFFFF);
	}
	tables_load(&g, &i);
}

void minitrap_trap(struct frame *f);
void minitrap_trap(struct frame *f)
{
	if (!(f->cs & 3))
		die("exception %u, error %x, in minitrap itself at %x", f->vector, f->error, f->eip);
	guest.traps++;
	if (f->vector == GP || f->vector == NP || f->vector == UD || f->vector == SS)
		emulate(f);
	else
		reflect(f, f->vector, f->vector == 8 || f->vector == 17, f->error, 0);
}

void minitrap_main(const void *multiboot) __attribute__((noreturn));
void minitrap_main(const void *multiboot)
{
	struct frame f;

	tables_make();
	guest_load(multiboot, &f);
	guest_go(&f);
}
