/* start.S - into C, traps, and the way back into the program, for IA-32 and Intel 64. */
#include "anycode.h"
#include "console.inc"

#ifdef __x86_64__
#include "start64.inc"
	.globl	stack_top
start64:
	mov	$stack_top, %rsp
	mov	%edi, %edi
	call	anycode_main
#else
	.section .multiboot, "a"
	.balign	4
	.long	0x1BADB002, 0, -0x1BADB002

	.text
	.globl	_start
_start:
	mov	$stack_top, %esp
	push	%ebx
	call	anycode_main
#endif
	.globl	restart
restart:
	mov	$stack_top, %esp
	call	anycode_next

	.globl	power_off
power_off:
	POWER_OFF

/* Vectors with an error code of their own: 8, 10 to 14, 17, 21. */
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push	$0
	.endif
	push	$vector
	jmp	trap
	.set	vector, vector + 1
	.endr

	.globl	tables_load, trap, frame_go, syscall_entry, sysenter_entry
#ifdef __x86_64__
tables_load:
	lgdt	(%rdi)
	lidt	(%rsi)
	pushq	$KCODE
	pushq	$1f
	lretq
1:	mov	$UDATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	$KDATA, %eax
	mov	%eax, %ss
	mov	$TSS, %eax
	ltr	%ax
	xor	%eax, %eax
	lldt	%ax
	ret

/* Neither says where it was: the program's mode is known to C. */
syscall_entry:
	mov	%rsp, entered_sp
	mov	$stack_top, %rsp
	pushq	$KDATA
	push	entered_sp
	push	%r11
	pushq	$KCODE
	push	%rcx
	push	$0
	push	$SYSCALLED
	jmp	trap
sysenter_entry:
	pushq	$KDATA
	pushq	$0
	pushfq
	pushq	$KCODE
	pushq	$0
	push	$0
	push	$SYSENTERED

trap:	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	mov	%rsp, %rbx
	and	$-16, %rsp
	cld
	call	anycode_trap
	mov	%rbx, %rdi
frame_go:
	mov	%rdi, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq
#else
tables_load:
	mov	4(%esp), %eax
	lgdt	(%eax)
	mov	8(%esp), %eax
	lidt	(%eax)
	ljmp	$KCODE, $1f
1:	mov	$UDATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$KDATA, %eax
	mov	%eax, %ss
	mov	$TSS, %eax
	ltr	%ax
	xor	%eax, %eax
	lldt	%ax
	ret

syscall_entry:
	ud2
sysenter_entry:
	push	$UDATA
	push	$0
	pushf
	push	$UCODE
	push	$0
	push	$0
	push	$SYSENTERED

trap:	push	%eax
	push	%ecx
	push	%edx
	push	%ebx
	push	%ebp
	push	%esi
	push	%edi
	mov	$UDATA, %eax		/* the program loads others */
	mov	%eax, %ds
	mov	%eax, %es
	cld
	mov	%esp, %ebx
	push	%esp
	call	anycode_trap
	mov	%ebx, %esp
	jmp	1f
frame_go:
	mov	4(%esp), %esp
1:	testl	$3, 40(%esp)		/* cs */
	jnz	2f
	mov	return_sp, %ebx		/* into ring 0: IRET leaves the stack as it is, so it must be the program's */
	mov	44(%esp), %eax
	mov	%eax, -4(%ebx)
	mov	40(%esp), %eax
	mov	%eax, -8(%ebx)
	mov	36(%esp), %eax
	mov	%eax, -12(%ebx)
	sub	$12, %ebx
	mov	%ebx, 28(%esp)		/* in the place of the vector */
	pop	%edi
	pop	%esi
	pop	%ebp
	pop	%ebx
	pop	%edx
	pop	%ecx
	pop	%eax
	pop	%esp
	iret
2:	pop	%edi
	pop	%esi
	pop	%ebp
	pop	%ebx
	pop	%edx
	pop	%ecx
	pop	%eax
	add	$8, %esp
	iret
#endif

	.bss
	.globl	program_stack_top, data, code, guard, resume, user_start, user_end
	.balign	4096			/* ring 3's too, up to user_end */
user_start:
resume:	.skip	4096
code:	.skip	16384
data:	.skip	16384
guard:	.skip	4096			/* not mapped */
	.skip	8192
program_stack_top:
	.skip	4096
user_end:
entered_sp:
	.skip	8
#ifndef __x86_64__
	.balign	16
	.skip	8192
	.globl	stack_top
stack_top:
#endif
