/* rewrite32.S - a 32-bit kernel that rewrites its own code, and reads it, while it runs it: what a binary translator must notice.
 *   1  an immediate of a function is changed before each of its 100 calls; the sum tells
 *   2  the instruction right behind the store is the one it changes
 *   3  code reads its own bytes
 *   4  what was rewritten so often is called 4000 times as it is
 * prints: rewritten code: ok                                                                  */
#include "console.inc"

	.section .multiboot, "a"
	.balign	4
	.long	0x1BADB002, 0, -0x1BADB002

	.text
	.globl	_start
_start:
	movl	$stack, %esp
	movl	$100, %ecx
	xorl	%ebx, %ebx
1:	movl	%ecx, value + 1
	call	value
	addl	%eax, %ebx
	decl	%ecx
	jnz	1b
	cmpl	$5050, %ebx
	jne	bad

	movl	$10, %ecx
2:	movb	%cl, next + 1
next:	movb	$0, %al
	cmpb	%cl, %al
	jne	bad
	decl	%ecx
	jnz	2b

	cmpb	$0xb8, value
	jne	bad
	cmpb	$0xbc, here
	jne	bad
here:	movl	$far, %esp		/* so far it is on the page of the code: each push is a write there, too */
	movl	$4000, %ecx
	xorl	%ebx, %ebx
4:	call	value
	addl	%eax, %ebx
	decl	%ecx
	jnz	4b
	cmpl	$4000, %ebx
	jne	bad
	PUTS	good
	jmp	off
bad:	PUTS	wrong
off:	POWER_OFF

value:	movl	$0, %eax
	ret

	.data
good:	.asciz	"rewritten code: ok\n"
wrong:	.asciz	"rewritten code: WRONG\n"
	.balign	16
	.skip	256
stack:
	.skip	8192
far:
