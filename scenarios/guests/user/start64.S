/* start64.S - the beginning of every program and its system calls, Intel 64. */
	.text

/* Entered from the kernel: RDI = parameters, RSI = the program's main function. */
	.globl	user_start
user_start:
	call	*%rsi
	mov	%eax, %edi
	mov	$1, %eax		/* exit */
	syscall

/* intptr_t sys(nr, a, b, c): the kernel wants the number in RAX and then RDI, RSI, RDX. */
	.globl	sys
	.balign	16
sys:	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	syscall
	ret

	.globl	loop_fast
	.balign	64
loop_fast:
1:	xor	%eax, %eax
	syscall
	dec	%edi
	jnz	1b
	ret

	.globl	loop_int80
	.balign	64
loop_int80:
1:	xor	%eax, %eax
	int	$0x80
	dec	%edi
	jnz	1b
	ret

	.globl	loop_store
	.balign	64
loop_store:
1:	mov	%al, (%rsi)
	dec	%edi
	jnz	1b
	ret

	.globl	loop_divide
	.balign	64
loop_divide:
	xor	%ecx, %ecx
1:	div	%ecx
	dec	%edi
	jnz	1b
	ret
