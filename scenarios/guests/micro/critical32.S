/* critical32.S - IA-32's critical instructions, one at a time: see critical.inc. Paging is off; no interrupt comes from outside. */
#define SELECTOR_RING1	0x11		/* kernel data, but for ring 1: #GP in ring 0, where its descriptor says DPL 0 */
#define CODE_RING1	0x09
#define WORD		.long
#define WORD_BYTES	4
#define CURSOR		%esi
#define LAST		%ebp
#define ENTRY		%ebx
#define NAME		%edi
#include "console.inc"
#include "critical.inc"

	.section .multiboot, "a"
	.balign	4
	.long	0x1BADB002, 0, -0x1BADB002
	.section .rodata.cases, "a"
	.balign	4
cases:

/* To ring 3, by an instruction that traps. Data segments stay the kernel's. */
.macro USER
	mov	$0x174, %ecx			/* IA32_SYSENTER_CS */
	mov	$0x10, %eax
	xor	%edx, %edx
	wrmsr
	mov	$1f, %edx
	mov	$stack_top, %ecx
	sysexit
1:
.endm

	.text
	.globl	_start
_start:
	mov	$stack_top, %esp
	mov	16(%ebx), %esi		/* the command line, by the multiboot information */
	lgdt	gdt_pointer
	ljmp	$8, $1f
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$14, %ecx		/* every gate leads to the end */
	mov	$idt, %ebx
1:	mov	$end, %eax
	mov	%ax, (%ebx)
	movl	$0x8E000008, 2(%ebx)
	shr	$16, %eax
	mov	%ax, 6(%ebx)
	add	$8, %ebx
	loop	1b
	lidt	idt_pointer
	movl	$tss, %eax
	mov	%ax, gdt + 0x18 + 2
	shr	$16, %eax
	mov	%al, gdt + 0x18 + 4
	mov	$0x18, %eax
	ltr	%ax
	CHOOSE

	/* what tells of the machine */
	CASE	sgdt
	sgdt	scratch
	jmp	end
	CASE	sidt
	sidt	scratch
	jmp	end
	CASE	sldt
	sldt	%eax
	jmp	end
	CASE	str
	str	%eax
	jmp	end
	CASE	smsw
	smsw	%eax
	jmp	end
	CASE	cpuid
	mov	$1, %eax
	cpuid
	jmp	end

	/* flags */
	CASE	pushf
	pushf
	jmp	end
	CASE	pushfw
	pushfw
	jmp	end
	CASE	popf
	pushl	$0x202
	popf
	cli
	jmp	end
	CASE	popfw
	pushw	$0x202
	popfw
	cli
	jmp	end
	CASE	iret
	pushl	$2
	pushl	$CODE_RING1
	pushl	$end
	iret
	CASE	iretw
	pushw	$2
	pushw	$CODE_RING1
	pushw	$0x7000
	iretw

	/* descriptors, looked at */
	CASE	lar
	mov	$8, %ecx
	lar	%ecx, %eax
	jmp	end
	CASE	lsl
	mov	$8, %ecx
	lsl	%ecx, %eax
	jmp	end
	CASE	verr
	mov	$SELECTOR_RING1, %ecx
	verr	%cx
	jmp	end
	CASE	verw
	mov	$SELECTOR_RING1, %ecx
	verw	%cx
	jmp	end

	/* selectors */
	CASE	mov_from_cs
	mov	%cs, %eax
	jmp	end
	CASE	mov_to_ds
	mov	$SELECTOR_RING1, %eax
	mov	%eax, %ds
	jmp	end
	CASE	mov_to_ss
	mov	$SELECTOR_RING1, %eax
	mov	%eax, %ss
	jmp	end
	CASE	push_cs
	push	%cs
	jmp	end
	CASE	pop_es
	pushl	$SELECTOR_RING1
	pop	%es
	jmp	end
	CASE	lds
	lds	pointer, %eax
	jmp	end
	CASE	les
	les	pointer, %eax
	jmp	end
	CASE	lfs
	lfs	pointer, %eax
	jmp	end
	CASE	lgs
	lgs	pointer, %eax
	jmp	end
	CASE	lss
	lss	pointer, %esp
	jmp	end

	/* control transfers */
	CASE	call_far
	lcall	$8, $end
	CASE	jmp_far
	ljmp	$CODE_RING1, $end
	CASE	ret_far
	pushl	$CODE_RING1
	pushl	$end
	lret

	/* other encodings: 16 bits, memory */
	CASE	sgdt_16
	.byte	0x66
	sgdt	scratch
	jmp	end
	CASE	sldt_mem
	sldt	scratch
	jmp	end
	CASE	str_mem
	str	scratch
	jmp	end
	CASE	smsw_mem
	smsw	scratch
	jmp	end
	CASE	lar_mem
	movw	$8, scratch
	larw	scratch, %ax
	jmp	end
	CASE	verr_mem
	movw	$SELECTOR_RING1, scratch
	verr	scratch
	jmp	end
	CASE	mov_mem_cs
	mov	%cs, scratch
	jmp	end
	CASE	mov_mem_ss
	mov	%ss, scratch
	jmp	end
	CASE	push_cs_16
	.byte	0x66
	push	%cs
	jmp	end
	CASE	push_ss
	push	%ss
	jmp	end
	CASE	call_far_mem
	lcall	*code
	CASE	ret_far_imm
	pushl	$0
	pushl	$0
	pushl	$CODE_RING1
	pushl	$end
	lret	$8
	CASE	popf_iopl
	pushl	$0x3002
	popf
	jmp	end
	CASE	popf_off		/* of interrupts that STI, which traps, has let in */
	sti
	nop
	pushl	$2
	popf
	jmp	end

	/* in ring 3 */
	CASE	user_sgdt
	USER
	sgdt	scratch
	jmp	end
	CASE	user_str
	USER
	str	%eax
	jmp	end
	CASE	user_smsw
	USER
	smsw	%eax
	jmp	end
	CASE	user_pushf		/* IF is clear, which the VMM's is not */
	USER
	pushf
	jmp	end

	/* nothing escapes the VMM where nothing is to be changed, and ring 3 has no more of a kernel's selectors than ring 1 */
	CASE	popf_same
	pushl	$0x8D7
	popf
	jmp	end
	CASE	user_popf
	USER
	pushl	$0x3202
	popf
	jmp	end
	CASE	user_mov_from_cs
	USER
	mov	%cs, %eax
	jmp	end
	CASE	user_lar
	USER
	mov	$8, %ecx
	lar	%ecx, %eax
	jmp	end

	/* critical, but no VMM misses them: their gates are its own; CR4.TSD and CR4.PCE make the last ones trap */
	CASE	int
	int	$0x0D
	CASE	int3
	int3
	CASE	int1
	.byte	0xF1
	CASE	into
	mov	$0x7FFFFFFF, %eax
	inc	%eax
	into
	CASE	rdtsc
	rdtsc
	jmp	end
	CASE	rdpmc
	xor	%ecx, %ecx
	rdpmc
	jmp	end

	.data
	.balign	8
gdt:	.quad	0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x0000890000000067, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
idt_pointer:
	.word	14 * 8 - 1
	.long	idt
pointer:
	.long	stack_top
	.word	SELECTOR_RING1
code:	.long	end
	.word	8
	.balign	8
tss:	.long	0, stack_top, 0x10
	.skip	0x68 - 12 - 4
	.long	0x680000
	.section .rodata.cases, "a"
cases_end:
	.bss
	.balign	16
idt:	.skip	14 * 8
	.balign	4096			/* not on a page of tables, whose writes a VMM may watch */
scratch:
	.skip	2048
stack_top:
