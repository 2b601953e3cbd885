/* tpr64.S - the task priority register: what waits for CR8, and what CR8 does not take.
 *
 * For each priority class p from 0 to 15: CR8 = p, then a self-IPI of vector 37H (class 3) and one of A9H (class 10), in x2APIC mode.
 * Printed are the handlers that ran at once, then those that ran when CR8 became 0: each handler prints its letter.
 * Last: CR8 = 16 and CR8 = -1, which are #GP.
 * prints: 0:3a| ... 3:a|3 ... a:|a3 ...								*/
#include "start64.inc"
#include "console.inc"

.macro PUT_AL
	call	put
.endm

start64:
	/* IDT: 13, 37H, A9H */
	mov	$13, %ecx
	mov	$protection, %eax
	call	gate
	mov	$0x37, %ecx
	mov	$low, %eax
	call	gate
	mov	$0xA9, %ecx
	mov	$high, %eax
	call	gate
	lidt	idt_pointer
	mov	$0x1B, %ecx		/* IA32_APIC_BASE: x2APIC */
	rdmsr
	or	$0xC00, %eax
	wrmsr
	mov	$0x80F, %ecx		/* spurious vector: enable */
	mov	$0x1FF, %eax
	xor	%edx, %edx
	wrmsr
	sti
	xor	%ebx, %ebx
next:	mov	%ebx, %eax
	add	$'0', %al
	cmp	$'9', %al
	jbe	1f
	add	$'a' - '9' - 1, %al
1:	PUT_AL
	mov	$':', %al
	PUT_AL
	mov	%rbx, %cr8
	mov	$0x83F, %ecx		/* SELF IPI */
	xor	%edx, %edx
	mov	$0x37, %eax
	wrmsr
	mov	$0xA9, %eax
	wrmsr
	nop
	mov	%cr8, %rdx
	cmp	%rbx, %rdx
	jne	wrong
	mov	$'|', %al
	PUT_AL
	xor	%r9d, %r9d
	mov	%r9, %cr8
	nop
	mov	$'\n', %al
	PUT_AL
	inc	%ebx
	cmp	$16, %ebx
	jb	next

	mov	$16, %eax
	mov	%rax, %cr8
	mov	$-1, %rax
	mov	%rax, %cr8
	mov	%cr8, %rax
	test	%eax, %eax
	jz	end
wrong:	PUTS	text_wrong
end:	POWER_OFF

put:	push	%rdx
	push	%rax
	mov	$0x3FD, %dx
1:	in	%dx, %al
	test	$0x20, %al
	jz	1b
	pop	%rax
	mov	$0x3F8, %dx
	out	%al, %dx
	pop	%rdx
	ret

low:	push	%rax
	mov	$'3', %al
	jmp	1f
high:	push	%rax
	mov	$'a', %al
1:	PUT_AL
	push	%rcx
	push	%rdx
	mov	$0x80B, %ecx		/* EOI */
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	pop	%rdx
	pop	%rcx
	pop	%rax
	iretq

/* Error code, RIP: MOV to CR8 has four bytes. */
protection:
	push	%rsi
	push	%rdx
	push	%rax
	PUTS	text_gp
	pop	%rax
	pop	%rdx
	pop	%rsi
	add	$8, %rsp
	addq	$4, (%rsp)
	iretq

/* ECX: vector; EAX: handler */
gate:	shl	$4, %ecx
	mov	%ax, idt(%rcx)
	mov	%cs, idt + 2(%rcx)
	movw	$0x8E00, idt + 4(%rcx)
	shr	$16, %eax
	mov	%ax, idt + 6(%rcx)
	ret

	.section .rodata
text_gp:
	.asciz	"#GP\n"
text_wrong:
	.asciz	"CR8 is another one\n"
idt_pointer:
	.word	4095
	.quad	idt
	.bss
	.balign	16
idt:	.skip	4096
