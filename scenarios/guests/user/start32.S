/* start32.S - the beginning of every program and its system calls, IA-32. */

/* A paravirtual kernel's programs enter it by INT 0x80, directly: SYSENTER leads to the VMM. */
.macro FAST_CALL
#ifdef PV
	int	$0x80
#else
	mov	%esp, %ecx
	mov	$8f, %edx
	sysenter
8:
#endif
.endm

	.text

/* Entered from the kernel: EBX = parameters, ESI = the program's main function. */
	.globl	user_start
user_start:
	push	%ebx
	call	*%esi
	mov	%eax, %ebx
	mov	$1, %eax		/* exit */
	int	$0x80

/* intptr_t sys(nr, a, b, c): the kernel wants the number in EAX and then EBX, ESI, EDI; SYSENTER
 * says neither where it came from nor which stack it had, so EDX and ECX do. */
	.globl	sys
	.balign	16
sys:	push	%ebx
	push	%esi
	push	%edi
	mov	16(%esp), %eax
	mov	20(%esp), %ebx
	mov	24(%esp), %esi
	mov	28(%esp), %edi
	FAST_CALL
	pop	%edi
	pop	%esi
	pop	%ebx
	ret

	.globl	loop_fast
	.balign	64
loop_fast:
	push	%edi
	mov	8(%esp), %edi
1:	xor	%eax, %eax
	FAST_CALL
	dec	%edi
	jnz	1b
	pop	%edi
	ret

	.globl	loop_int80
	.balign	64
loop_int80:
	mov	4(%esp), %ecx
1:	xor	%eax, %eax
	int	$0x80
	dec	%ecx
	jnz	1b
	ret

	.globl	loop_store
	.balign	64
loop_store:
	mov	4(%esp), %ecx
	mov	8(%esp), %edx
1:	mov	%al, (%edx)
	dec	%ecx
	jnz	1b
	ret

	.globl	loop_divide
	.balign	64
loop_divide:
	push	%edi
	mov	8(%esp), %edi
	xor	%ecx, %ecx
1:	div	%ecx
	dec	%edi
	jnz	1b
	pop	%edi
	ret
