/* random32.S - random segment descriptors, loaded and used at offsets where something changes: at 0, the limit, the end of
 * 64 KB and of 4 GB, where base plus offset wraps round, and in the last 4 MB of linear space.
 * prints: "random SEED: loads N, accesses N, faults N, sum SUM"; the sum is over all values read, exceptions and error codes. Under every
 * technique that works the same as on the bare machine.
 * command line: the seed, a decimal number (0), and "n=" iterations (1000).
 * Linear addresses from 4 MB on all show the 4 MB of RAM at 8 MB, so that every access that segmentation lets through works.  */
#include "console.inc"

#define KCODE	0x08
#define KDATA	0x10
#define SLOT	0x18
#define LDT	0x20
#define LSLOT	0x0C

	.section .multiboot, "a"
	.balign	4
	.long	0x1BADB002, 0, -0x1BADB002

	.text
	.globl	_start
_start:
	mov	$stack_top, %esp
	testl	$4, (%ebx)
	jz	1f
	mov	16(%ebx), %esi
	call	arguments
1:	mov	$ldt, %eax
	mov	%ax, gdt + LDT + 2
	shr	$16, %eax
	mov	%al, gdt + LDT + 4
	xor	%ecx, %ecx
1:	mov	%ecx, %eax
	shl	$4, %eax
	add	$stubs, %eax
	mov	%ax, idt(,%ecx,8)
	movw	$KCODE, idt + 2(,%ecx,8)
	movw	$0x8E00, idt + 4(,%ecx,8)
	shr	$16, %eax
	mov	%ax, idt + 6(,%ecx,8)
	inc	%ecx
	cmp	$32, %ecx
	jb	1b
	mov	$1, %ecx
	movl	$0x83, page_directory
1:	movl	$0x800083, page_directory(,%ecx,4)
	inc	%ecx
	cmp	$1024, %ecx
	jb	1b
	lgdt	gdt_pointer
	lidt	idt_pointer
	ljmp	$KCODE, $1f
1:	mov	$KDATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	%eax, %ss
	mov	$LDT, %eax
	lldt	%ax
	mov	$page_directory, %eax
	mov	%eax, %cr3
	mov	%cr4, %eax
	or	$0x10, %eax
	mov	%eax, %cr4
	mov	%cr0, %eax
	or	$0x80000000, %eax
	mov	%eax, %cr0

	mov	seed, %eax
	lea	0x9E3779B9(,%eax,8), %eax
	mov	%eax, state
	mov	n, %ebp
case:	call	make_descriptor
	call	make_offset
	call	random
	mov	%eax, %ebx
	and	$7, %eax			/* which register */
	cmp	$6, %eax
	jb	1f
	sub	$4, %eax
1:	mov	$SLOT, %edx
	test	$0x80, %bl
	jz	1f
	mov	$LSLOT, %edx
1:	test	$0x300, %ebx			/* a quarter with RPL 3 */
	jnz	1f
	or	$3, %edx
1:	mov	offset, %edi
	mov	base, %ecx
	add	%edi, %ecx
	cmp	$0x400000, %ecx			/* what this program itself lies in, and accesses that wrap round, are left alone */
	jb	next
	cmp	$0xFFFFFFF0, %ecx
	ja	next
	movl	$after, resume
	mov	%esp, resume_esp
	shr	$16, %ebx
	and	$7, %ebx			/* what to do */
	jmp	*cases(,%eax,4)

/* A register loaded from DX, then by EBX: load or store of 1, 2 or 4 bytes at EDI, read-modify-write, string. */
.macro REGISTER seg
	mov	%edx, %\seg
	incl	%ss:loads
	test	%ebx, %ebx
	jz	10f
	dec	%ebx
	jz	11f
	dec	%ebx
	jz	12f
	dec	%ebx
	jz	13f
	dec	%ebx
	jz	14f
	dec	%ebx
	jz	15f
	dec	%ebx
	jz	16f
	mov	$scratch, %edi
	mov	%ss:offset, %esi
	mov	$2, %ecx
	cld
	.ifc	\seg,es
	xchg	%esi, %edi
	rep movsb %ss:(%esi), %es:(%edi)
	.else
	rep movsb %\seg:(%esi), %es:(%edi)
	.endif
	mov	%ss:scratch, %eax
	jmp	used
10:	movb	%\seg:(%edi), %al
	jmp	used
11:	movl	%\seg:(%edi), %eax
	jmp	used
12:	movb	%al, %\seg:(%edi)
	jmp	used
13:	mov	%ebp, %\seg:(%edi)
	jmp	used
14:	addl	$0x1020304, %\seg:(%edi)
	jmp	used
15:	movw	%\seg:(%edi), %ax
	jmp	used
16:	mov	$0x77, %ecx
	lock xaddl %ecx, %\seg:(%edi)
	mov	%ecx, %eax
	jmp	used
.endm
with_fs: REGISTER fs
with_gs: REGISTER gs
with_es: REGISTER es
with_ds: REGISTER ds
with_ss: mov	%edx, %ss			/* only loaded: an exception would need it */
	mov	$KDATA, %eax
	mov	%eax, %ss
	incl	loads
	jmp	after
ask:	lsl	%edx, %eax
	jnz	after
	lar	%edx, %ecx
	add	%ecx, %eax
	jmp	after

used:	incl	%ss:accesses
after:	mov	$KDATA, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %fs
	mov	%ecx, %gs
	mov	%ecx, %ss
	mov	sum, %ecx
	rol	$5, %ecx
	xor	%eax, %ecx
	mov	vector, %eax
	shl	$8, %eax
	add	error, %eax
	add	%eax, %ecx
	add	gdt + SLOT + 4, %ecx		/* the accessed bit */
	xor	ldt + (LSLOT & ~7) + 4, %ecx
	mov	%ecx, sum
	movl	$0, vector
	movl	$0, error
next:	dec	%ebp
	jnz	case

	mov	$t_random, %esi
	call	text
	mov	seed, %ebx
	call	hex
	mov	$t_loads, %esi
	call	text
	mov	loads, %ebx
	call	hex
	mov	$t_accesses, %esi
	call	text
	mov	accesses, %ebx
	call	hex
	mov	$t_faults, %esi
	call	text
	mov	faults, %ebx
	call	hex
	mov	$t_sum, %esi
	call	text
	mov	sum, %ebx
	call	hex
	mov	$t_end, %esi
	call	text
	POWER_OFF

/* "12 n=500" */
arguments:
	call	number
	jc	1f
	mov	%eax, seed
1:	lodsb
	test	%al, %al
	jz	2f
	cmp	$'=', %al
	jne	3f
	call	number
	jc	2f
	mov	%eax, n
	ret
3:	cmp	$' ', %al
	jne	1b
	cmpl	$0, seed
	jne	1b
	call	number			/* behind the program's name */
	jc	1b
	mov	%eax, seed
	jmp	1b
2:	ret
number:	xor	%eax, %eax		/* at ESI; carry: none */
	xor	%ecx, %ecx
1:	movzbl	(%esi), %edx
	sub	$'0', %edx
	cmp	$9, %edx
	ja	2f
	imul	$10, %eax
	add	%edx, %eax
	inc	%esi
	inc	%ecx
	jmp	1b
2:	cmp	$1, %ecx
	ret

random:	mov	state, %eax
	mov	%eax, %ecx
	shl	$13, %ecx
	xor	%ecx, %eax
	mov	%eax, %ecx
	shr	$17, %ecx
	xor	%ecx, %eax
	mov	%eax, %ecx
	shl	$5, %ecx
	xor	%ecx, %eax
	mov	%eax, state
	ret

/* Descriptor of `base` and `limit` (in bytes) into both tables. */
make_descriptor:
	call	random
	mov	%eax, %ebx
	call	random
	mov	%eax, %edx			/* base: random, or one of eight interesting ones a little off */
	test	$1, %ebx
	jz	1f
	shr	$1, %ebx
	mov	%ebx, %ecx
	and	$7, %ecx
	mov	bases(,%ecx,4), %edx
	and	$7, %eax
	lea	-4(%edx,%eax), %edx
1:	mov	%edx, base
	call	random
	mov	%eax, %ebx			/* limit: 20 bits; half of them all ones or few */
	call	random
	and	$0xFFFFF, %eax
	test	$1, %ebx
	jz	1f
	or	$0xFFFFF, %eax
	test	$2, %ebx
	jz	1f
	and	$0xFFF, %eax
1:	shr	$2, %ebx
	mov	%eax, %esi
	call	random
	/* attributes: P, DPL 0 or 3, S nearly always; type, G, D/B, AVL random */
	mov	%eax, %edi
	and	$0xD0FF, %edi
	test	$0x70000, %eax
	jz	1f
	or	$0x90, %edi
	and	$~0x60, %edi
	test	$0x300000, %eax
	jnz	1f
	or	$0x60, %edi
1:	mov	%esi, %ecx
	test	$0x8000, %edi
	jz	1f
	shl	$12, %ecx
	or	$0xFFF, %ecx
1:	mov	%ecx, limit
	/* put it together */
	mov	%edx, %eax
	shl	$16, %eax
	mov	%esi, %ecx
	and	$0xFFFF, %ecx
	or	%ecx, %eax
	mov	%edx, %ecx
	shr	$16, %ecx
	and	$0xFF, %ecx
	and	$0xFF000000, %edx
	or	%ecx, %edx
	shl	$8, %edi
	or	%edi, %edx
	and	$0xF0000, %esi
	or	%esi, %edx
	mov	%eax, gdt + SLOT
	mov	%edx, gdt + SLOT + 4
	mov	%eax, ldt + (LSLOT & ~7)
	mov	%edx, ldt + (LSLOT & ~7) + 4
	ret

make_offset:
	call	random
	mov	%eax, %ebx
	call	random
	mov	%eax, %edx
	and	$7, %eax
	sub	$4, %eax
	test	$4, %ebx
	jz	1f
	and	limit, %edx
1:	test	$8, %ebx
	jz	9f
	mov	%ebx, %ecx
	shr	$4, %ecx
	and	$7, %ecx
	mov	offsets(,%ecx,4), %edx
	cmp	$4, %ecx
	jb	1f
	sub	base, %edx			/* of a linear address */
1:	test	%ecx, %ecx
	jnz	1f
	mov	limit, %edx
1:	add	%eax, %edx
9:	mov	%edx, offset
	ret

	.balign	16
stubs:	.rept	32
	call	fault
	.balign	16
	.endr
fault:	cld
	pop	%ebx
	mov	$KDATA, %eax
	mov	%eax, %ds
	sub	$stubs, %ebx
	shr	$4, %ebx
	xor	%ecx, %ecx
	bt	%ebx, has_error
	jnc	1f
	pop	%ecx
1:	mov	%ebx, vector
	mov	%ecx, error
	incl	faults
	xor	%eax, %eax
	mov	resume_esp, %esp
	jmp	*resume

text:	lodsb
	test	%al, %al
	jz	1f
	call	char
	jmp	text
1:	ret
hex:	mov	$8, %ecx
1:	rol	$4, %ebx
	mov	%bl, %al
	and	$15, %al
	cmp	$10, %al
	jb	2f
	add	$39, %al
2:	add	$48, %al
	call	char
	loop	1b
	ret
char:	push	%eax
	mov	$0x3FD, %dx
1:	in	%dx, %al
	test	$0x20, %al
	jz	1b
	pop	%eax
	mov	$0x3F8, %dx
	out	%al, %dx
	ret

	.section .rodata
	.balign	4
cases:	.long	with_fs, with_gs, with_es, with_ds, with_ss, ask
bases:	.long	0, 0x400000, 0x80000000, 0xC0000000, 0xFFC00000, 0xFFFFF000, 0xFFFF0000, 0x00800000
offsets: .long	0, 0xFFFF, 0xFFFFFFF8, 0x100000, 0xFFC00000, 0x400000, 0xFFFFF000, 0xFFBFFFFC
has_error: .long 0x00027D00
t_random: .asciz "random "
t_loads: .asciz ": loads "
t_accesses: .asciz ", accesses "
t_faults: .asciz ", faults "
t_sum:	.asciz	", sum "
t_end:	.asciz	"\n"

	.data
n:	.long	1000
	.balign	4096
gdt:	.quad	0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0, 0x000082000000000F
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
idt_pointer:
	.word	8 * 32 - 1
	.long	idt
	.balign	4096
ldt:	.quad	0, 0
	.bss
	.balign	4096
page_directory: .skip 4096
idt:	.skip	8 * 32
seed:	.skip	4
state:	.skip	4
base:	.skip	4
limit:	.skip	4
offset:	.skip	4
loads:	.skip	4
accesses: .skip	4
faults:	.skip	4
sum:	.skip	4
scratch: .skip	16
resume:	.skip	4
resume_esp: .skip 4
vector:	.skip	4
error:	.skip	4
	.balign	16
	.skip	4096
stack_top:
