/* realmode.S - 16-bit code in real-address mode: a boot sector that needs no BIOS service.
 * A flat binary of 512 bytes: load it at 0x7C00 and start at 0000:7C00 (a disk's first sector).
 * prints: hello from 16-bit real mode                                                        */
	.code16
	.text
	.globl	_start
_start:
	ljmp	$0, $1f			/* some loaders start at 07C0:0000 */
1:	cli
	xor	%ax, %ax
	mov	%ax, %ds
	mov	$hello, %si
next:	mov	$0x3FD, %dx		/* wait until the transmitter is free */
2:	in	%dx, %al
	test	$0x20, %al
	jz	2b
	lodsb
	test	%al, %al
	jz	done
	mov	$0x3F8, %dx
	out	%al, %dx
	jmp	next

done:	xor	%eax, %eax
	mov	$0xF4, %dx		/* isa-debug-exit: value 0, status 1 */
	out	%eax, %dx
	mov	$shutdown, %si
	mov	$0x8900, %dx		/* Bochs' shutdown port */
3:	lodsb
	out	%al, %dx
	test	%al, %al
	jnz	3b
4:	hlt
	jmp	4b

hello:	.asciz	"hello from 16-bit real mode\n"
shutdown:
	.asciz	"Shutdown"

	.org	510
	.word	0xAA55			/* boot signature */
