/* console.c - text out of the first serial port, a 16550 at 0x3F8.
 * Simplified: polled, no input.  Line speed matters to nobody in a virtual machine, but a real UART
 * gets 115200 baud, 8N1.  Source: National Semiconductor PC16550D data sheet. */
#include "kernel.h"

#ifndef PV				/* pv.c has console_put() by hypercall */
enum {
	THR = 0x3F8,		/* transmitter holding register; with DLAB set: divisor, low byte */
	DLM = 0x3F9,		/* with DLAB set: divisor, high byte */
	FCR = 0x3FA,
	LCR = 0x3FB,
	LSR = 0x3FD,
	LCR_8N1 = 0x03,
	LCR_DLAB = 0x80,
	LSR_THRE = 0x20,
};

static void uart_init(void)
{
	outb(LCR, LCR_DLAB | LCR_8N1);
	outb(THR, 1);
	outb(DLM, 0);
	outb(LCR, LCR_8N1);
	outb(FCR, 1);
}

void console_put(char c)
{
	static bool ready;

	if (!ready) {
		uart_init();
		ready = true;
	}
	while (!(inb(LSR) & LSR_THRE))
		;
	outb(THR, (uint8_t)c);
}

#endif

static void put(void *unused, char c)
{
	(void)unused;
	console_put(c);
}

void kprintf(const char *text, ...)
{
	va_list values;

	va_start(values, text);
	format(put, NULL, text, values);
	va_end(values);
}

void panic(const char *text, ...)
{
	va_list values;

	irq_disable();
	kprintf("panic: ");
	va_start(values, text);
	format(put, NULL, text, values);
	va_end(values);
	kprintf("\n");
	power_off(EXIT_PANIC);
}
