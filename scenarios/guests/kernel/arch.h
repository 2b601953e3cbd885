/* arch.h - the registers of an interrupted program, as entry32.S or entry64.S saves them. */
#ifndef ARCH_H
#define ARCH_H

#include <stdint.h>

struct trapframe {
#ifdef __x86_64__
	uintptr_t r15, r14, r13, r12, r11, r10, r9, r8, bp, di, si, dx, cx, bx, ax;
#else
	uintptr_t es, ds, di, si, bp, unused_sp, bx, dx, cx, ax;
#endif
	uintptr_t vector, error;	/* error is 0 where the processor pushes none */
	uintptr_t ip, cs, flags;	/* from here on pushed by the processor */
	uintptr_t sp, ss;		/* IA-32: only on entry from ring 3 */
};

/* System-call arguments, and the two values a program starts with. */
#ifdef __x86_64__
#define ARG0 di
#define ARG1 si
#define ARG2 dx
#else
#define ARG0 bx
#define ARG1 si
#define ARG2 di
#endif

/* What context_switch() leaves on a kernel stack: the registers that a C function must keep. */
struct context {
#ifdef __x86_64__
	uintptr_t r15, r14, r13, r12, bx, bp;
#else
	uintptr_t di, si, bx, bp;
#endif
	uintptr_t ip;
};

#define FLAGS_IF	0x200
#define FLAGS_FIXED	0x002	/* bit 1 is always set */

static inline int from_user(const struct trapframe *tf)
{
	return (tf->cs & 3) == 3;
}

#endif
