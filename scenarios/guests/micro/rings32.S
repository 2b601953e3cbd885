/* rings32.S - a kernel of two rings that looks at itself: what a virtual machine must not show otherwise.
 *
 * Ring 0 sets up its tables, prints what the sensitive instructions tell it, and goes to ring 3, which asks for lines by INT 0x80,
 * tries CLI (#GP) and divides by zero. Paging is off, no interrupt comes from outside.
 * On a machine whose critical instructions do not trap, the same image in ring 1 prints something else.
 * prints:	cs 8 ss 10 gdt 0 idt 0 if 0 sti 1 popf 0 msw 1 tr 28 dpl 0 limit ffffffff pushed cs 8
 *		ring 3 is here
 *		ring 3 may not CLI: #GP in ring 3
 *		and goes on
 *		#DE in ring 3
 *		all is as on the bare machine							*/
#include "console.inc"

	.section .multiboot, "a"
	.balign	4
	.long	0x1BADB002, 0, -0x1BADB002

	.text
	.globl	_start

/* "text " and EAX in hexadecimal */
.macro SHOW text
	mov	%eax, value
	mov	$1f, %esi
	call	line
	.section .rodata
1:	.asciz	"\text "
	.text
	call	hex
.endm

_start:
	mov	$stack0, %esp
	lgdt	gdt_pointer
	ljmp	$8, $1f
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	/* gates: 0 #DE, 13 #GP, 0x80 for ring 3 */
	mov	$divide, %eax
	mov	$idt, %ebx
	mov	$0x8E00, %ecx
	call	gate
	mov	$protection, %eax
	mov	$idt + 13 * 8, %ebx
	call	gate
	mov	$service, %eax
	mov	$idt + 0x80 * 8, %ebx
	mov	$0xEE00, %ecx
	call	gate
	lidt	idt_pointer
	movl	$tss, %eax
	mov	%ax, gdt + 0x28 + 2
	shr	$16, %eax
	mov	%al, gdt + 0x28 + 4
	mov	%ah, gdt + 0x28 + 7
	mov	$0x28, %eax
	ltr	%ax

	xor	%eax, %eax
	mov	%cs, %ax
	SHOW	"cs"
	push	%ss
	pop	%eax
	movzwl	%ax, %eax
	SHOW	"ss"
	sgdt	scratch
	mov	scratch + 2, %eax
	sub	$gdt, %eax
	SHOW	"gdt"
	sidt	scratch
	mov	scratch + 2, %eax
	sub	$idt, %eax
	SHOW	"idt"
	pushf
	pop	%eax
	call	interrupts
	SHOW	"if"
	sti
	pushf
	pop	%eax
	cli
	call	interrupts
	SHOW	"sti"
	sti
	pushl	$2			/* IF 0 by POPF */
	popf
	pushf
	pop	%eax
	call	interrupts
	SHOW	"popf"
	smsw	%ax
	and	$1, %eax
	SHOW	"msw"
	str	%ax
	movzwl	%ax, %eax
	SHOW	"tr"
	mov	$8, %ecx
	xor	%eax, %eax
	lar	%ecx, %eax
	shr	$13, %eax
	and	$3, %eax
	SHOW	"dpl"
	mov	$8, %ecx
	lsl	%ecx, %eax
	SHOW	"limit"
	push	%cs
	call	far_target
	call	newline

	mov	$0x23, %eax		/* to ring 3; its data segment will do for the handlers too */
	mov	%eax, %ds
	mov	%eax, %es
	pushl	$0x23
	pushl	$stack3
	pushl	$2
	pushl	$0x1B
	pushl	$user
	iret

interrupts:
	shr	$9, %eax
	and	$1, %eax
	ret

far_target:
	mov	4(%esp), %eax
	movzwl	%ax, %eax
	SHOW	"pushed cs"
	lret

/* EAX: handler; EBX: gate; ECX: type */
gate:	mov	%ax, (%ebx)
	movw	$8, 2(%ebx)
	mov	%cx, 4(%ebx)
	shr	$16, %eax
	mov	%ax, 6(%ebx)
	ret

/* ---- ring 3 ---- */
user:	mov	$hello, %esi
	int	$0x80
	mov	$asked, %esi
	int	$0x80
	cli
	mov	$after, %esi
	int	$0x80
	xor	%edx, %edx
	mov	$1, %eax
	xor	%ecx, %ecx
	div	%ecx
	mov	$done, %esi
	int	$0x80
	xor	%esi, %esi
	int	$0x80
	jmp	user

/* ---- handlers ---- */
service:
	push	%eax
	push	%edx
	test	%esi, %esi
	jz	end
	call	line
	pop	%edx
	pop	%eax
	iret
end:	POWER_OFF

/* Error code, EIP, CS: say from which ring, go on behind CLI, which is one byte. */
protection:
	push	%eax
	push	%esi
	push	%edx
	mov	20(%esp), %eax
	and	$3, %eax
	SHOW	"#GP in ring"
	call	newline
	pop	%edx
	pop	%esi
	pop	%eax
	add	$4, %esp
	incl	(%esp)
	iret

divide:	push	%eax
	push	%esi
	push	%edx
	mov	16(%esp), %eax
	and	$3, %eax
	SHOW	"#DE in ring"
	call	newline
	pop	%edx
	pop	%esi
	pop	%eax
	addl	$2, (%esp)
	iret

/* ---- text: ESI the string; AL, DX, ESI change ---- */
put:	push	%eax
	mov	$0x3FD, %dx
1:	in	%dx, %al
	test	$0x20, %al
	jz	1b
	pop	%eax
	mov	$0x3F8, %dx
	out	%al, %dx
	ret
line:	lodsb
	test	%al, %al
	jz	1f
	call	put
	jmp	line
1:	ret
newline:
	mov	$10, %al
	jmp	put

/* `value` without leading zeroes, and a blank */
hex:	push	%ecx
	push	%ebx
	mov	value, %ebx
	mov	$8, %ecx
1:	cmp	$1, %ecx
	je	2f
	test	$0xF0000000, %ebx
	jnz	2f
	shl	$4, %ebx
	loop	1b
2:	rol	$4, %ebx
	mov	%bl, %al
	and	$15, %al
	cmp	$10, %al
	jb	3f
	add	$'a' - '0' - 10, %al
3:	add	$'0', %al
	call	put
	loop	2b
	mov	$' ', %al
	call	put
	pop	%ebx
	pop	%ecx
	ret

	.section .rodata
hello:	.asciz	"ring 3 is here\n"
asked:	.asciz	"ring 3 may not CLI: "
after:	.asciz	"and goes on\n"
done:	.asciz	"all is as on the bare machine\n"
	.balign	8
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
idt_pointer:
	.word	0x81 * 8 - 1
	.long	idt

	.data
	.balign	8
gdt:	.quad	0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF, 0x0000890000000067
gdt_end:
value:	.long	0
scratch:
	.quad	0
tss:	.long	0, stack0, 0x10
	.skip	0x68 - 12 - 4
	.long	0x680000
	.bss
	.balign	16
idt:	.skip	0x81 * 8
	.skip	2048
stack0:
	.skip	1024
stack3:
