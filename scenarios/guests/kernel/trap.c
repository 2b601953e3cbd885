/* trap.c - where every exception, interrupt and system call arrives, with the interrupted program's
 * registers.  Interrupts are off on arrival and off again on return.
 *
 *	system call		  syscall.c, interrupts on
 *	interrupt		  the device's handler; a timer tick ends the user's turn
 *	page fault in a program	  space_fault(): a page comes in, or the program may not
 *	other fault in a program  one line, and the process is killed
 *	fault in the kernel	  panic */
#include "kernel.h"

static const char *const exception_name[VEC_IRQ] = {
	[0] = "divide error", [1] = "debug exception", [2] = "NMI", [3] = "breakpoint",
	[4] = "overflow", [5] = "BOUND range exceeded", [6] = "invalid opcode",
	[7] = "device not available", [8] = "double fault", [10] = "invalid TSS",
	[11] = "segment not present", [12] = "stack-segment fault", [13] = "general protection",
	[14] = "page fault", [16] = "x87 floating-point error", [17] = "alignment check",
	[18] = "machine check", [19] = "SIMD floating-point exception",
};

static const char *name_of(uintptr_t vector)
{
	const char *name = vector < VEC_IRQ ? exception_name[vector] : NULL;

	return name ? name : "unexpected vector";
}

static void kill(const struct trapframe *tf, uintptr_t address)
{
	kprintf("%s killed: %s", current->program, name_of(tf->vector));
	if (tf->vector == VEC_PAGE_FAULT)
		kprintf(tf->error & 2 ? ", write to " : ", read of ");
	if (tf->vector == VEC_PAGE_FAULT && address < USER_TOP)
		kprintf("0x%08lx", (unsigned long)address);
	else if (tf->vector == VEC_PAGE_FAULT)
		kprintf("a kernel address");
	kprintf("\n");
	proc_exit(KILLED + (int)tf->vector);
}

static void exception(struct trapframe *tf)
{
	uintptr_t address = tf->vector == VEC_PAGE_FAULT ? fault_address() : 0;

	if (!from_user(tf))
		panic("%s in the kernel at 0x%lx, error 0x%lx, address 0x%lx", name_of(tf->vector),
		      (unsigned long)tf->ip, (unsigned long)tf->error, (unsigned long)address);
	irq_enable();
	if (tf->vector != VEC_PAGE_FAULT || !space_fault(&current->space, address, tf->error & 2))
		kill(tf, address);
	irq_disable();
}

static void interrupt(unsigned irq)
{
	if (!irq_acknowledge(irq))
		return;
	if (irq == IRQ_TIMER) {
		timer_tick();
		turn_is_over = true;
	} else if (irq == IRQ_DISK) {
		disk_interrupt();
	}
}

void trap(struct trapframe *tf)
{
	if (tf->vector == VEC_SYSCALL) {
		irq_enable();
		syscall(tf);
		irq_disable();
	} else if (tf->vector >= VEC_IRQ) {
		irq_each((unsigned)tf->vector - VEC_IRQ, interrupt);
	} else {
		exception(tf);
	}
	if (turn_is_over && from_user(tf)) {
		turn_is_over = false;
		proc_yield();
	}
}
