/* dma32.S - a 32-bit kernel whose disk writes, by bus-master DMA, what a VMM without hardware help keeps copies of. Each sector goes to the
 * disk first and comes back over something that is in use; the kernel waits by looking at the sector's last byte, no port is touched meanwhile.
 *   1  a function that has been called: the new one is called, five times over
 *   2  a page table: after INVLPG its page is another
 *   3  a page directory: after a load of CR3 its table is another
 *   4  the GDT: after a load of ES the segment's base is another
 * Needs a disk of three sectors, which it overwrites. prints: written by the disk: ok                          */
#include "console.inc"

	.section .multiboot, "a"
	.balign	4
	.long	0x1BADB002, 0, -0x1BADB002

#define MARK 0x77
#define BM 0xC000
#define WINDOW 0x400000

.macro SEND value, port
	movb	\value, %al
	movw	\port, %dx
	outb	%al, %dx
.endm

	.text
	.globl	_start
_start:
	cli
	movl	$stack, %esp
	movl	$page_a, %eax
	movl	$gdt, %edi
	call	base
	lgdt	gdtr
	ljmp	$8, $1f
1:	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$table_a + 3, directory + 4
	movl	$page_a + 3, table_a
	movl	$page_c + 3, table_c
	movl	$0x83, directory
	movl	$directory, %eax
	movl	%eax, %cr3
	movl	%cr4, %eax
	orl	$0x10, %eax		/* PSE */
	movl	%eax, %cr4
	movl	%cr0, %eax
	orl	$0x80010000, %eax	/* PG, WP */
	movl	%eax, %cr0

	/* 1 */
	movl	$0xb8, buffer		/* mov eax, 0; ret */
	movl	$0xc300, buffer + 4
	xorl	%ebp, %ebp
2:	incl	%ebp
	movl	%ebp, buffer + 1
	movb	$0xc3, buffer + 5
	movl	$function, %edi
	call	change
	call	function
	cmpl	%ebp, %eax
	jne	bad
	cmpl	$5, %ebp
	jne	2b

	/* 2 */
	cmpl	$0xa, WINDOW
	jne	bad
	call	clear
	movl	$page_b + 3, buffer
	movl	$table_a, %edi
	call	change
	invlpg	WINDOW
	cmpl	$0xb, WINDOW
	jne	bad

	/* 3 */
	call	clear
	movl	$0x83, buffer
	movl	$table_c + 3, buffer + 4
	movl	$directory, %edi
	call	change
	movl	%cr3, %eax
	movl	%eax, %cr3
	cmpl	$0xc, WINDOW
	jne	bad

	/* 4 */
	movw	$24, %ax
	movw	%ax, %es
	cmpl	$0xa, %es:0
	jne	bad
	movl	$gdt, %esi
	movl	$buffer, %edi
	movl	$128, %ecx
	movw	$16, %ax
	movw	%ax, %es
	cld
	rep movsl
	movl	$page_b, %eax
	movl	$buffer, %edi
	call	base
	movl	$gdt, %edi
	call	change
	movw	$24, %ax
	movw	%ax, %es
	cmpl	$0xb, %es:0
	jne	bad

	movw	$16, %ax
	movw	%ax, %es
	PUTS	good
	jmp	off
bad:	PUTS	wrong
off:	POWER_OFF

/* The base of descriptor 3 of a table at edi. */
base:	movw	%ax, 24 + 2(%edi)
	shrl	$16, %eax
	movb	%al, 24 + 4(%edi)
	ret

clear:	movl	$128, %ecx
	movl	$buffer, %edi
	xorl	%eax, %eax
	cld
	rep stosl
	ret

/* The buffer to the disk and back, to edi. */
change:	movb	$MARK, buffer + 511
	movl	$buffer, %eax
	movb	$0xca, %cl
	movb	$0, %ch
	call	transfer
3:	movw	$BM + 2, %dx		/* there: by the interrupt's flag */
	inb	%dx, %al
	testb	$4, %al
	jz	3b
	movw	$0x1F7, %dx
	inb	%dx, %al
	movb	$0, 511(%edi)
	movl	%edi, %eax
	movb	$0xc8, %cl
	movb	$9, %ch
	call	transfer
4:	cmpb	$MARK, 511(%edi)
	jne	4b
	ret

/* A sector at eax; cl: the command; ch: the bus master's, 0 for a write. */
transfer:
	movl	%eax, prd
	SEND	$0, $BM
	movl	$prd, %eax
	movw	$BM + 4, %dx
	outl	%eax, %dx
	SEND	$6, $BM + 2
	SEND	$1, $0x1F2
	SEND	$0, $0x1F3
	SEND	$0, $0x1F4
	SEND	$0, $0x1F5
	SEND	$0xe0, $0x1F6
	SEND	%cl, $0x1F7
	orb	$1, %ch
	SEND	%ch, $BM
	ret

	.data
good:	.asciz	"written by the disk: ok\n"
wrong:	.asciz	"written by the disk: WRONG\n"
	.balign	8
prd:	.long	0, 0x80000200
gdtr:	.word	511
	.long	gdt
	.balign	4096
function:
	movl	$0, %eax
	ret
	.balign	4096
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
	.quad	0x0040930000000fff
	.balign	4096
page_a:	.long	0xa
	.balign	4096
page_b:	.long	0xb
	.balign	4096
page_c:	.long	0xc
	.balign	4096
directory:	.skip	4096
table_a:	.skip	4096
table_c:	.skip	4096
buffer:	.skip	512
	.skip	256
stack:
