/* hello32.S - the smallest multiboot guest: 32-bit protected mode, paging off, one line.
 * prints: hello from 32-bit protected mode                                              */
#include "console.inc"

	.section .multiboot, "a"
	.balign	4
	.long	0x1BADB002, 0, -0x1BADB002

	.text
	.globl	_start
_start:
	PUTS	hello
	POWER_OFF

hello:	.asciz	"hello from 32-bit protected mode\n"
