/* privop.h - every privileged operation of this kernel, by name.
 *
 * Nothing outside the file included at the end contains a privileged or sensitive instruction, but
 * for boot.S and ap.S, which run before there is a kernel.  A paravirtual build (PV=1) is the same
 * kernel with another implementation of these names.  In C:
 *
 *	interrupts	irq_enable irq_disable irq_save irq_restore irq_wait
 *	ports		inb inw inl outb outw outl insw
 *	paging		pte_write root_load fault_address
 *			tlb_flush_page tlb_flush_user tlb_flush_all
 *	tables		gdt_load idt_load task_load idt_write stack_set
 *	the rest	msr_write tsc_read cpuid halt_forever machine_end
 *	for the twin	pte_read table_link table_unlink root_made root_leaving updates_begin
 *			updates_end image_end irq_acknowledge irq_each tick_next
 *
 * In assembly, as macros: RETURN_FROM_TRAP, ENTER_FAST, RETURN_FAST, RETURN_FAST_NULL; and as strings for the
 * measured loops of workload.c: OP_IN, OP_TPR, OP_CLI_STI, OP_CPUID, OP_RDTSC, OP_PTE_WRITE. */
#ifndef PRIVOP_H
#define PRIVOP_H

#ifdef PV
#include "privop_pv.h"
#else
#include "privop_native.h"
#endif

#endif
