/* anycode.h - what the C and the assembly of anycode share. */
#ifndef ANYCODE_H
#define ANYCODE_H

/* Selectors. */
#define KCODE	0x08
#define KDATA	0x10
#ifdef __x86_64__			/* as SYSRET and SYSEXIT want them */
#define UDATA	0x1B
#define UCODE	0x23
#else
#define UCODE	0x1B
#define UDATA	0x23
#endif
#define TSS	0x28

/* Software interrupts of the program. */
#define INT_PLAIN  0x40		/* go on behind it */
#define INT_DONE   0x41		/* the program is at its end */
#define INT_KERNEL 0x42		/* go on in ring 0 */
#define SYSCALLED  0x50		/* no vector: SYSCALL, SYSENTER came */
#define SYSENTERED 0x51

/* Words in a piece that the generator replaces. */
#define ANY	0x5A5A5A51	/* by any number */
#define SOME	0x5A5A5A52	/* by a small one */
#define DATA	0x5A5A5A53	/* by an address in the data pages */
#define NEXT	0x5A5A5A54	/* by where the next piece begins */
#define FORWARD	0x5A5A5A55	/* by the distance to where one of the next pieces begins */
#define HERE	0x5A5A5A56	/* by where this piece begins */

#define PIECE_CRITICAL 0x80000000	/* in pieces[] */

#ifndef __ASSEMBLER__
#include "../lib/lib.h"

/* As trap: builds it; ends as the CPU's own frame does. */
struct frame {
#ifdef __x86_64__
	uintptr_t r15, r14, r13, r12, r11, r10, r9, r8;
#endif
	uintptr_t di, si, bp, bx, dx, cx, ax;
	uintptr_t vector, error, ip, cs, flags, sp, ss;	/* IA-32: sp and ss only if cs is ring 3's */
};

extern const uint32_t pieces[];			/* where each begins; 0 at the end, behind where the last ends */
extern const uint8_t prologue[], prologue_end[], epilogue[], epilogue_end[], to_kernel[], to_kernel_end[];
extern const uint8_t trap_stubs[256][16];
extern uint32_t resume;				/* where the program goes on after a fault */
extern uint8_t stack_top[], program_stack_top[];
extern uint8_t data[], code[];
extern uint8_t guard[], user_start[], user_end[], bss_end[];

void tables_load(const void *gdt_pointer, const void *idt_pointer);
void syscall_entry(void), sysenter_entry(void);
void frame_go(const struct frame *f) __attribute__((noreturn));
void anycode_main(const uint32_t *multiboot) __attribute__((noreturn));
void anycode_trap(struct frame *f);
void restart(void) __attribute__((noreturn));		/* anycode_next() on an empty stack */
void anycode_next(void) __attribute__((noreturn));
void power_off(void) __attribute__((noreturn));
#endif
#endif
