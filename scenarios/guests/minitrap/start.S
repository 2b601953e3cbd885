/* start.S - from the boot loader into C; traps from the guest and the way back.
 * Source: Multiboot Specification 0.6.96; SDM Vol. 3A, "Exception and Interrupt Handling". */
	.section .multiboot, "a"
	.balign	4
	.long	0x1BADB002, 0, -0x1BADB002

	.text
	.globl	_start
_start:
	cli
	mov	$stack_top, %esp
	push	%ebx			/* multiboot information */
	call	minitrap_main

/* void tables_load(const struct table *gdt, const struct table *idt): GDT, IDT, our segments, our task register */
	.globl	tables_load
tables_load:
	mov	4(%esp), %eax
	lgdt	(%eax)
	mov	8(%esp), %eax
	lidt	(%eax)
	ljmp	$(7 * 8), $1f
1:	mov	$(8 * 8), %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$(9 * 8), %eax
	ltr	%ax
	ret

/* Vectors with an error code of their own: 8, 10 to 14, 17, 21. A software interrupt never gets here: our gates are ring 0's. */
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

trap:	pushal
	push	%ds
	push	%es
	push	%fs
	push	%gs
	mov	$(8 * 8), %eax
	mov	%eax, %ds
	mov	%eax, %es
	cld
	push	%esp
	call	minitrap_trap
	pop	%eax

/* void guest_go(struct frame *): a fault here, at a segment the guest has made unusable meanwhile, is the guest's to see */
leave:	pop	%gs
	pop	%fs
	pop	%es
	pop	%ds
	popal
	add	$8, %esp
	iret

	.globl	guest_go
guest_go:
	mov	4(%esp), %esp
	jmp	leave

	.bss
	.balign	16
	.skip	8192
	.globl	stack_top
stack_top:
