/* boot.S - from a multiboot-1 loader to kernel_main(): paging on, then up to KERNBASE.
 *
 * The loader enters _start in 32-bit protected mode without paging, EBX = multiboot information.
 * Both images build the same three tables, one page directory of 2 MiB pages that is entered twice:
 *
 *	IA-32 (PAE)	 root[0], root[2] ------------------------> kernel_pd   0..1 GiB of RAM
 *	Intel 64	 root[0] -> kernel_pdpt[0]
 *			 root[511] -> kernel_pdpt[510] -----------> kernel_pd
 *
 * The low copy lets the next instruction be fetched after paging is on; vm_init() removes it.
 * kernel64 is an ELF64, which multiboot 1 does not know: its header carries the load addresses
 * itself (flag bit 16).  kernel32 is loaded by its ELF program headers.
 * Sources: Multiboot Specification 0.6.96; SDM Vol. 3A, "PAE Paging" and "Initializing IA-32e
 * Mode". */
#include "layout.h"

#define PHYS(symbol)	((symbol) - KERNBASE)
#define TABLE		0x27		/* P, RW, US, A */
#define LARGE_LEAF	0x1E3		/* P, RW, A, D, PS, G: the processor never writes it */
#define CR0_WP_PG	(1 << 31 | 1 << 16)
#define CR0_CD_NW	(1 << 30 | 1 << 29)	/* some firmware leaves the caches off */
#define CR4_PAE_PGE	(1 << 5 | 1 << 7)
#define MSR_EFER	0xC0000080
#define EFER_LME_SCE	(1 << 8 | 1 << 0)

#ifdef __x86_64__
#define HEADER_FLAGS	(1 << 16 | 1 << 1)	/* addresses given; memory map wanted */
#else
#define HEADER_FLAGS	(1 << 1)
#endif

	.section .boot, "awx"
	.balign	4
multiboot_header:
	.long	0x1BADB002, HEADER_FLAGS, -(0x1BADB002 + HEADER_FLAGS)
	.long	multiboot_header, KERNEL_LOAD, load_end_physical, bss_end_physical, _start

	.code32
	.globl	_start
_start:
	cld
	mov	$PHYS(kernel_pd), %edi
	mov	$LARGE_LEAF, %eax
	mov	$512, %ecx
1:	mov	%eax, (%edi)
	movl	$0, 4(%edi)
	add	$LARGE_PAGE_BYTES, %eax
	add	$8, %edi
	loop	1b

#ifdef __x86_64__
	movl	$PHYS(kernel_pdpt) + TABLE, PHYS(kernel_root)
	movl	$PHYS(kernel_pdpt) + TABLE, PHYS(kernel_root) + 511 * 8
	movl	$PHYS(kernel_pd) + TABLE, PHYS(kernel_pdpt)
	movl	$PHYS(kernel_pd) + TABLE, PHYS(kernel_pdpt) + 510 * 8
	movl	$PHYS(device_pd) + TABLE, PHYS(kernel_pdpt) + 511 * 8
#else
	movl	$PHYS(kernel_pd) + 1, PHYS(kernel_root)	/* a PDPTE has P and nothing else */
	movl	$PHYS(kernel_pd) + 1, PHYS(kernel_root) + 2 * 8
	movl	$PHYS(device_pd) + 1, PHYS(kernel_root) + 3 * 8
#endif
	mov	$PHYS(kernel_root), %eax
	mov	%eax, %cr3
	mov	%cr4, %eax
	or	$CR4_PAE_PGE, %eax
	mov	%eax, %cr4
#ifdef __x86_64__
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME_SCE, %eax
	wrmsr
#endif
	mov	%cr0, %eax
	and	$~CR0_CD_NW, %eax
	or	$CR0_WP_PG, %eax
	mov	%eax, %cr0
	lgdt	boot_gdt_pointer
	ljmp	$SEL_KCODE, $2f

#ifdef __x86_64__
	.code64
#endif
2:	mov	$SEL_KDATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
#ifdef __x86_64__
	mov	$boot_stack_top, %rsp
	xor	%ebp, %ebp
	mov	%ebx, %edi
	mov	$kernel_main, %rax
	call	*%rax
#else
	mov	$boot_stack_top, %esp
	xor	%ebp, %ebp
	push	%ebx
	mov	$kernel_main, %eax
	call	*%eax
#endif
3:	hlt
	jmp	3b

	.balign	8
boot_gdt:
	.quad	0
#ifdef __x86_64__
	.quad	0x00AF9B000000FFFF	/* 64-bit code, ring 0, accessed */
#else
	.quad	0x00CF9B000000FFFF	/* 32-bit code, ring 0, accessed */
#endif
	.quad	0x00CF93000000FFFF	/* data */
boot_gdt_pointer:
	.word	. - boot_gdt - 1
	.long	boot_gdt

	.bss
	.balign	PAGE_BYTES
	.globl	kernel_root, kernel_pdpt, kernel_pd, device_pd, boot_stack, boot_stack_top
kernel_root:	.skip	PAGE_BYTES
kernel_pdpt:	.skip	PAGE_BYTES
kernel_pd:	.skip	PAGE_BYTES
device_pd:	.skip	PAGE_BYTES
boot_stack:	.skip	2 * PAGE_BYTES
boot_stack_top:
