/* time32.S - a kernel of two rings that sets its time-stamp counter: after that it is not the processor's any more, for a guest.
 *   1  WRMSR puts it short of a carry into its upper half; it goes on from there and never back
 *   2  RDTSC leaves all flags as they are
 *   3  ring 0 and ring 3 read the same counter, in turns
 *   4  with CR4.TSD set it is #GP in ring 3, and works in ring 0
 * prints: time: ok                                                                             */
#include "console.inc"

#define TSC	0x10			/* the MSR */
#define STATUS	0x8D5			/* of the flags */

	.section .multiboot, "a"
	.balign	4
	.long	0x1BADB002, 0, -0x1BADB002

	.text
	.globl	_start

/* EDX:EAX is not before `last`, and is it now. Changes EBX. */
.macro LATER
	mov	%edx, %ebx
	cmp	last, %eax
	sbb	last + 4, %ebx
	jc	bad
	mov	%eax, last
	mov	%edx, last + 4
.endm

_start:
	mov	$stack0, %esp
	lgdt	gdt_pointer
	ljmp	$8, $1f
1:	mov	$0x23, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	$0x10, %eax
	mov	%eax, %ss
	mov	$protection, %eax
	mov	$idt + 13 * 8, %ebx
	mov	$0x8E00, %ecx
	call	gate
	mov	$service, %eax
	mov	$idt + 0x80 * 8, %ebx
	mov	$0xEE00, %ecx
	call	gate
	lidt	idt_pointer
	mov	$tss, %eax
	mov	%ax, gdt + 0x28 + 2
	shr	$16, %eax
	mov	%al, gdt + 0x28 + 4
	mov	%ah, gdt + 0x28 + 7
	mov	$0x28, %eax
	ltr	%ax

	/* 1 */
	mov	$0x12345678, %edx
	mov	%edx, last + 4
	mov	$0xFFFFE000, %eax
	mov	%eax, last
	mov	$TSC, %ecx
	wrmsr
	mov	$2000, %ecx
1:	rdtsc
	LATER
	loop	1b
	cmp	$0x12345679, %edx
	jne	bad

	/* 2: all combinations */
	mov	$STATUS, %esi
1:	push	%esi
	popf
	rdtsc
	pushf
	pop	%ebx
	xor	%esi, %ebx
	test	$STATUS, %ebx
	jnz	bad
	dec	%esi
	and	$STATUS, %esi
	jnz	1b
	rdtsc
	LATER

	/* 3 */
	pushl	$0x23
	pushl	$stack3
	pushl	$2
	pushl	$0x1B
	pushl	$user
	iret

/* ---- ring 3 ---- */
user:	mov	$50, %ecx
1:	rdtsc
	LATER
	int	$0x80
	rdtsc
	LATER
	loop	1b
	mov	$1, %ecx			/* 4 */
	movl	$TSC, asked
	int	$0x80
forbidden:
	rdtsc
	jmp	bad3
after:	cmpl	$1, faults
	jne	bad3
	mov	$good, %esi
	jmp	2f
bad3:	mov	$wrong, %esi
2:	movl	$0, asked
	movl	%esi, text
	int	$0x80
	jmp	.

/* ---- ring 0 ---- */
service:
	rdtsc
	LATER
	cmpl	$0, text
	jne	off
	cmpl	$TSC, asked
	jne	1f
	mov	%cr4, %eax
	or	$4, %eax
	mov	%eax, %cr4
	rdtsc
	LATER
1:	iret

protection:
	rdtsc
	LATER
	cmpl	$forbidden, 4(%esp)
	jne	bad
	cmpl	$0x1B, 8(%esp)
	jne	bad
	incl	faults
	movl	$after, 4(%esp)
	add	$4, %esp
	iret

bad:	mov	%cs, %eax
	test	$3, %al
	jnz	bad3
	PUTS	wrong
	jmp	1f
off:	cmpl	$good, text
	jne	bad
	PUTS	good
1:	POWER_OFF

/* EAX: handler; EBX: gate; ECX: type */
gate:	mov	%ax, (%ebx)
	movw	$8, 2(%ebx)
	mov	%cx, 4(%ebx)
	shr	$16, %eax
	mov	%ax, 6(%ebx)
	ret

	.data
good:	.asciz	"time: ok\n"
wrong:	.asciz	"time: WRONG\n"
	.balign	8
last:	.quad	0
faults:	.long	0
asked:	.long	0
text:	.long	0
	.balign	4096			/* a VMM may watch writes to the page of descriptors */
gdt:	.quad	0
	.quad	0x00CF9A000000FFFF		/* 08 code */
	.quad	0x00CF92000000FFFF		/* 10 data */
	.quad	0x00CFFA000000FFFF		/* 18 code, ring 3 */
	.quad	0x00CFF2000000FFFF		/* 20 data, ring 3 */
	.quad	0x0000890000000067		/* 28 TSS */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
idt_pointer:
	.word	256 * 8 - 1
	.long	idt
	.balign	8
tss:	.long	0, stack0, 0x10
	.skip	104 - 12
	.balign	4096
idt:	.skip	256 * 8
	.skip	1024
stack0:	.skip	1024
stack3:
