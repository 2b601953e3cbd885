/* critical64.S - Intel 64's critical instructions, one at a time: see critical.inc. No interrupt comes from outside. */
#define DATA_RING3	0x23		/* data for ring 3 */
#define CODE_RING3	0x2B		/* 64-bit code for ring 3 */
#define WORD		.quad
#define WORD_BYTES	8
#define CURSOR		%rsi
#define LAST		%rbp
#define ENTRY		%rbx
#define NAME		%rdi
#include "start64.inc"
#include "console.inc"
#include "critical.inc"

/* To ring 3, by instructions that trap: SYSRET, when pages are the user's. */
.macro USER
	orl	$4, pml4
	orl	$4, pdpt
	orl	$4, page_directory
	mov	%cr3, %rax
	mov	%rax, %cr3
	mov	$0xC0000080, %ecx		/* IA32_EFER.SCE */
	rdmsr
	or	$1, %eax
	wrmsr
	mov	$0xC0000081, %ecx		/* IA32_STAR */
	mov	$((DATA_RING3 - 8) << 16) | 8, %edx
	xor	%eax, %eax
	wrmsr
	mov	$1f, %ecx
	mov	$0x3002, %r11d
	sysretq
1:
.endm

	.section .rodata.cases, "a"
	.balign	8
cases:

	.text
start64:
	mov	16(%rdi), %esi		/* the command line, by the multiboot information */
	lgdt	all_pointer
	mov	$14, %ecx		/* every gate leads to the end */
	mov	$idt, %ebx
1:	mov	$end, %eax
	mov	%ax, (%rbx)
	movl	$0x8E000008, 2(%rbx)
	shr	$16, %eax
	mov	%ax, 6(%rbx)
	add	$16, %ebx
	loop	1b
	lidt	idt_pointer
	mov	$tss, %eax
	mov	%ax, all + 0x30 + 2
	shr	$16, %eax
	mov	%al, all + 0x30 + 4
	mov	$0x30, %eax
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
	smsw	%rax
	jmp	end
	CASE	cpuid
	mov	$1, %eax
	cpuid
	jmp	end

	/* flags */
	CASE	pushf
	pushfq
	jmp	end
	CASE	pushfw
	pushfw
	jmp	end
	CASE	popf
	pushq	$0x202
	popfq
	cli
	jmp	end
	CASE	popfw
	pushw	$0x202
	popfw
	cli
	jmp	end
	CASE	iret			/* all to ring 3, where POWER_OFF is #GP, and its handler ends the run */
	pushq	$DATA_RING3
	pushq	$stack_top
	pushq	$2
	pushq	$CODE_RING3
	pushq	$end
	iretq
	CASE	iretd
	sub	$20, %rsp
	movl	$end, (%rsp)
	movl	$CODE_RING3, 4(%rsp)
	movl	$2, 8(%rsp)
	movl	$stack_top, 12(%rsp)
	movl	$DATA_RING3, 16(%rsp)
	iretl

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
	mov	$0x10, %ecx
	verr	%cx
	jmp	end
	CASE	verw
	mov	$0x10, %ecx
	verw	%cx
	jmp	end

	/* selectors */
	CASE	mov_from_cs
	mov	%cs, %eax
	jmp	end
	CASE	mov_to_ss
	mov	$DATA_RING3, %eax
	mov	%eax, %ss
	jmp	end
	CASE	lss
	lss	pointer, %eax
	jmp	end

	/* control transfers */
	CASE	call_far
	lcall	*code
	CASE	jmp_far
	ljmp	*code
	CASE	ret_far
	pushq	$DATA_RING3
	pushq	$stack_top
	pushq	$CODE_RING3
	pushq	$end
	lretq

	/* other encodings: 16 and 32 bits, memory */
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
	CASE	verw_mem
	movw	$0x10, scratch
	verw	scratch
	jmp	end
	CASE	mov_mem_cs
	mov	%cs, scratch
	jmp	end
	CASE	ret_far_32
	sub	$16, %rsp
	movl	$end, (%rsp)
	movl	$CODE_RING3, 4(%rsp)
	movl	$stack_top, 8(%rsp)
	movl	$DATA_RING3, 12(%rsp)
	lretl
	CASE	popf_iopl
	pushq	$0x3002
	popfq
	jmp	end

	/* in ring 3, IF clear, IOPL 3 */
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
	CASE	user_pushf
	USER
	pushfq
	jmp	end
	CASE	user_popf
	USER
	pushq	$0x3202
	popfq
	jmp	end

	/* nothing escapes the VMM where nothing is to be changed */
	CASE	popf_same
	pushq	$0x8D7
	popfq
	jmp	end
	CASE	user_lar
	USER
	mov	$8, %ecx
	lar	%ecx, %eax
	jmp	end

	/* critical, but this VMM loses nothing by them: what ring 3 must not load is not present, gates are the VMM's own, CR4.TSD and
	 * CR4.PCE make time-stamps and counters trap */
	CASE	mov_to_ds
	mov	$0x13, %eax
	mov	%eax, %ds
	jmp	end
	CASE	pop_fs
	pushq	$0x13
	pop	%fs
	jmp	end
	CASE	lfs
	lfs	kernel_pointer, %eax
	jmp	end
	CASE	lgs
	lgs	kernel_pointer, %eax
	jmp	end
	CASE	int
	int	$0x0D
	CASE	int3
	int3
	CASE	int1
	.byte	0xF1
	CASE	rdtsc
	rdtsc
	jmp	end
	CASE	rdtscp
	rdtscp
	jmp	end
	CASE	rdpmc
	xor	%ecx, %ecx
	rdpmc
	jmp	end
	CASE	rdpid
	mov	$0xC0000103, %ecx	/* IA32_TSC_AUX */
	mov	$7, %eax
	xor	%edx, %edx
	wrmsr
	rdpid	%rax
	jmp	end

	.data
	.balign	8
all:	.quad	0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0, 0x00CFF3000000FFFF, 0x00AFFB000000FFFF, 0x0000890000000067, 0
all_end:
all_pointer:
	.word	all_end - all - 1
	.quad	all
idt_pointer:
	.word	14 * 16 - 1
	.quad	idt
pointer:
	.long	stack_top
	.word	DATA_RING3
kernel_pointer:
	.long	stack_top
	.word	0x13
code:	.long	end
	.word	CODE_RING3
	.balign	8
tss:	.long	0
	.quad	stack_top
	.skip	0x68 - 12 - 4
	.long	0x680000
	.section .rodata.cases, "a"
cases_end:
	.bss
	.balign	16
idt:	.skip	14 * 16
	.balign	4096			/* not on a page of tables, whose writes a VMM may watch */
scratch:
	.skip	4096
	.text
