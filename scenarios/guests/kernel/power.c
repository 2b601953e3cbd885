/* power.c - leaving the machine: first tidy (quiesce), then off. */
#include "kernel.h"

extern char boot_stack[];
void stack_wipe(void *bottom);

/* quiesce - bring memory into a state that does not depend on when interrupts arrived, so that
 * a hash of RAM at the end is the same however the machine is virtualized.
 *
 * What time has touched, and what becomes of it:
 *	clocks, processes,	zeroed by their owners
 *	pipes, drivers
 *	free frames		zeroed if they were ever used; the free list is rebuilt in ascending
 *				order; a frame too few is a leak: panic
 *	user page tables	gone with their processes
 *	kernel page tables	accessed and dirty bits are set from the start (vm.c), so that the
 *				processor never writes them; so are the GDT's (cpu.c)
 *	dead stack		zeroed below this function: interrupts left their frames there
 *
 * What a workload was asked to keep of the clock (tsc=1) is not covered. */
void quiesce(void)
{
	irq_disable();
	timer_quiesce();
	disk_quiesce();
	pipe_quiesce();
	proc_quiesce();
	vm_direct_map(LARGE_PAGE_BYTES);
	frame_quiesce();
	stack_wipe(boot_stack);
}

void power_off(uint32_t value)
{
	irq_disable();
	machine_end(value);
	outl(0xF4, value);		/* QEMU's isa-debug-exit: process status value * 2 + 1 */
	for (const char *s = "Shutdown"; *s; s++)
		outb(0x8900, (uint8_t)*s);	/* Bochs */
	halt_forever();
}
