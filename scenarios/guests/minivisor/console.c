/* console.c - minivisor's own lines on the serial port, and the ways out.
 * The guest uses the same port; each line of minivisor begins with its name. */
#include "minivisor.h"

enum { THR = 0x3F8, LSR = 0x3FD, LSR_THRE = 0x20 };

static void put(void *unused, char c)
{
	(void)unused;
	while (!(inb(LSR) & LSR_THRE))
		;
	outb(THR, (uint8_t)c);
}

static void print_list(const char *text, va_list values)
{
	format(put, NULL, text, values);
}

void print(const char *text, ...)
{
	va_list values;

	va_start(values, text);
	print_list(text, values);
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

	print("minivisor: ");
	va_start(values, text);
	print_list(text, values);
	va_end(values);
	print("\n");
	power_off(2);
}

void root_trap(unsigned vector, uint64_t top, uint64_t next);
void root_trap(unsigned vector, uint64_t top, uint64_t next)
{
	bool code = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;

	die("exception %u in minivisor itself at %lx", vector, code ? next : top);
}
