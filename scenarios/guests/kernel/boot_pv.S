/* boot_pv.S - the beginning of the paravirtual kernel, and three helpers in assembly.
 *
 * The ELF note tells the loader what this is; it enters at pv_entry, at KERNBASE, with page
 * tables made: models/vmm/pv/abi.h.  The multiboot header is for the loader's sake, which reads where
 * the image goes from it.  A loader that knows no note enters _start as on a bare machine: it says
 * what is missing on the first serial port and ends with status 2. */
#include "layout.h"
#include "privop.h"

#ifdef __x86_64__
#define HEADER_FLAGS	(1 << 16 | 1 << 1)
#define WIDE		1
#else
#define HEADER_FLAGS	(1 << 1)
#define WIDE		0
#endif

	.section .note.vmscope, "a", @note
	.balign	4
	.long	8, 24, PV_NOTE
	.asciz	"vmscope"
	.long	PV_VERSION, WIDE
#ifdef __x86_64__
	.quad	pv_entry, KERNBASE
#else
	.long	pv_entry, 0, KERNBASE, 0
#endif

	.section .boot, "awx"
	.balign	4
multiboot_header:
	.long	0x1BADB002, HEADER_FLAGS, -(0x1BADB002 + HEADER_FLAGS)
	.long	multiboot_header, KERNEL_LOAD, load_end_physical, bss_end_physical, _start

	.code32
	.globl	_start
_start:
	mov	$complaint, %esi
	mov	$0x3F8, %edx
1:	lodsb
	test	%al, %al
	jz	2f
	out	%al, %dx
	jmp	1b
2:	mov	$2, %al
	out	%al, $0xF4
3:	cli
	hlt
	jmp	3b
complaint:
	.asciz	"a paravirtual kernel, which needs a VMM with vmscope's hypercalls\n"

	.text
#ifdef __x86_64__
	.code64
pv_entry:
	mov	$boot_stack_top, %rsp
	xor	%ebp, %ebp
	mov	%rbx, %rbp
	mov	%rsi, %rdi
	call	pv_begin
	mov	%rbp, %rdi
	xor	%ebp, %ebp
	call	kernel_main
	ud2

.macro KEEP
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
.endm
.macro GIVE_BACK
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
.endm
	.globl	pv_op_pte_write, pv_op_deliver
pv_op_pte_write:
	KEEP
	mov	%rdx, %rdi
	mov	%rax, %rsi
	call	pv_entry_write
	GIVE_BACK
	ret
pv_op_deliver:
	KEEP
	mov	$PV_CALL_EVENT_DELIVER, %eax
	syscall
	GIVE_BACK
	ret
#else
pv_entry:
	mov	$boot_stack_top, %esp
	xor	%ebp, %ebp
	push	%ebx
	push	%esi
	call	pv_begin
	add	$4, %esp
	call	kernel_main
	ud2

	.globl	pv_op_pte_write, pv_op_deliver
pv_op_pte_write:
	push	%eax
	push	%ecx
	push	%edx
	push	$0
	push	%eax
	push	%edx
	call	pv_entry_write
	add	$12, %esp
	pop	%edx
	pop	%ecx
	pop	%eax
	ret
pv_op_deliver:
	push	%eax
	mov	$PV_CALL_EVENT_DELIVER, %eax
	int	$PV_INT
	pop	%eax
	ret
#endif

	.bss
	.balign	PAGE_BYTES
	.globl	pv_page, boot_stack, boot_stack_top
pv_page:	.skip	PAGE_BYTES
boot_stack:	.skip	2 * PAGE_BYTES
boot_stack_top:
