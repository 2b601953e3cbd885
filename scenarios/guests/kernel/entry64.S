/* entry64.S - the ways into the kernel and out of it, Intel 64.
 * Reading order: trap_stubs, trap_common, trap_return, entry_int80, entry_fast, context_switch. */
#include "layout.h"
#include "privop.h"

#define ERROR_CODE_VECTORS 0x60227D00	/* 8, 10-14, 17, 21, 29, 30: SDM Vol. 3A, Table 6-1 */

/* The order of struct trapframe (arch.h), last field first. */
.macro SAVE
	push	%rax
	push	%rbx
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%rbp
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
.endm

.macro RESTORE
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rbp
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rbx
	pop	%rax
	add	$16, %rsp		/* vector, error code */
.endm

	.text

/* One stub of 16 bytes for each exception and interrupt line; gate v points to trap_stubs + 16v. */
	.globl	trap_stubs
	.balign	16
trap_stubs:
	.set	vector, 0
	.rept	VEC_IRQ + 16
	.balign	16
	.if	!((ERROR_CODE_VECTORS >> vector) & 1)
	push	$0
	.endif
	push	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

	.globl	trap_common
trap_common:
	SAVE
	cld
	mov	%rsp, %rdi
	call	trap
	.globl	trap_return
trap_return:
	RESTORE
	RETURN_FROM_TRAP

	.globl	entry_int80
entry_int80:
	test	%eax, %eax
	jz	1f			/* the empty system call ends here */
	push	$0
	push	$VEC_SYSCALL
	jmp	trap_common
1:	RETURN_FROM_TRAP

/* SYSCALL: RCX = return address, R11 = RFLAGS, interrupts off, still on the user's stack. */
	.globl	entry_fast
entry_fast:
	test	%eax, %eax
	jz	1f
	ENTER_FAST
	push	$0
	push	$VEC_SYSCALL
	SAVE
	cld
	mov	%rsp, %rdi
	call	trap
	RESTORE
	RETURN_FAST
1:	RETURN_FAST_NULL

/* Handlers of the pgfault and divzero workloads: skip the two-byte instruction, do nothing else. */
	.globl	skip_page_fault, skip_divide
	.balign	16
skip_page_fault:
	add	$8, %rsp		/* error code */
skip_divide:
	addq	$2, (%rsp)
	RETURN_FROM_TRAP

/* void context_switch(struct context **save, struct context *load) */
	.globl	context_switch
	.balign	16
context_switch:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, (%rdi)
	mov	%rsi, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret

/* void stack_wipe(void *bottom): zero the current stack from its bottom up to the stack pointer. */
	.globl	stack_wipe
stack_wipe:
	mov	%rsp, %rcx
	sub	%rdi, %rcx
	xor	%eax, %eax
	rep stosb
	ret

/* The simulator finds these two by name and measures from one to the other. */
	.globl	roi_begin, roi_end
	.balign	16
roi_begin:
	ret
	.balign	16
roi_end:
	ret

	.bss
	.balign	8
	.globl	user_stack
user_stack:				/* where entry_fast keeps RSP for five instructions */
	.skip	8
