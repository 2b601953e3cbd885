/* entry32.S - the ways into the kernel and out of it, IA-32.
 * Reading order: trap_stubs, trap_common, trap_return, entry_int80, entry_fast, context_switch. */
#include "layout.h"
#include "privop.h"

#define ERROR_CODE_VECTORS 0x60227D00	/* 8, 10-14, 17, 21, 29, 30: SDM Vol. 3A, Table 6-1 */

/* The order of struct trapframe (arch.h), last field first. */
.macro SAVE
	pusha
	push	%ds
	push	%es
.endm

.macro RESTORE
	pop	%es
	pop	%ds
	popa
	add	$8, %esp		/* vector, error code */
.endm

/* The kernel trusts no segment register of the interrupted program. */
.macro CALL_TRAP
	mov	$SEL_KDATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	cld
	push	%esp
	call	trap
	add	$4, %esp
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
	CALL_TRAP
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

/* SYSENTER: ECX = user's ESP, EDX = return address, interrupts off, ESP = &tss.sp0. */
	.globl	entry_fast
entry_fast:
	test	%eax, %eax
	jz	1f
	ENTER_FAST
	push	$0
	push	$VEC_SYSCALL
	SAVE
	CALL_TRAP
	RESTORE
	RETURN_FAST
1:	RETURN_FAST_NULL

/* Handlers of the pgfault and divzero workloads: skip the two-byte instruction, do nothing else. */
	.globl	skip_page_fault, skip_divide
	.balign	16
skip_page_fault:
	add	$4, %esp		/* error code */
skip_divide:
	addl	$2, (%esp)
	RETURN_FROM_TRAP

/* void context_switch(struct context **save, struct context *load) */
	.globl	context_switch
	.balign	16
context_switch:
	mov	4(%esp), %eax
	mov	8(%esp), %edx
	push	%ebp
	push	%ebx
	push	%esi
	push	%edi
	mov	%esp, (%eax)
	mov	%edx, %esp
	pop	%edi
	pop	%esi
	pop	%ebx
	pop	%ebp
	ret

/* void stack_wipe(void *bottom): zero the current stack from its bottom up to the stack pointer. */
	.globl	stack_wipe
stack_wipe:
	mov	%edi, %edx
	mov	4(%esp), %edi
	mov	%esp, %ecx
	sub	%edi, %ecx
	xor	%eax, %eax
	rep stosb
	mov	%edx, %edi
	ret

/* The simulator finds these two by name and measures from one to the other. */
	.globl	roi_begin, roi_end
	.balign	16
roi_begin:
	ret
	.balign	16
roi_end:
	ret
