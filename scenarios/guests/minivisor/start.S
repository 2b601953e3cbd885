/* start.S - into long mode and C; into the guest and back; exceptions of minivisor itself.
 * Source: SDM Vol. 3C, "VMLAUNCH/VMRESUME", "Loading Host State". */
#include "../micro/start64.inc"

start64:
	mov	%edi, %edi		/* the upper half is not zero by contract */
	call	minivisor_main
1:	hlt
	jmp	1b

/* Offsets in struct registers. */
#define RAX 0
#define RCX 8
#define RDX 16
#define RBX 24
#define RBP 40
#define RSI 48
#define RDI 56
#define R(n) (8 * (n))

#define HOST_RSP 0x6C14

/* bool vm_enter(struct registers *r, bool launch)
 * VM entry loads RSP, RIP and RFLAGS from the VMCS; the other registers are ours to load, and ours to save when
 * a VM exit comes back at vm_exit_point with RSP as it was told here:
 *
 *	RSP ->	r | r15 r14 r13 r12 rbp rbx | return address						*/
	.globl	vm_enter, vm_exit_point
vm_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	mov	$HOST_RSP, %eax
	vmwrite	%rsp, %rax
	test	%sil, %sil		/* MOV leaves ZF alone */
	mov	RAX(%rdi), %rax
	mov	RCX(%rdi), %rcx
	mov	RDX(%rdi), %rdx
	mov	RBX(%rdi), %rbx
	mov	RBP(%rdi), %rbp
	mov	RSI(%rdi), %rsi
	mov	R(8)(%rdi), %r8
	mov	R(9)(%rdi), %r9
	mov	R(10)(%rdi), %r10
	mov	R(11)(%rdi), %r11
	mov	R(12)(%rdi), %r12
	mov	R(13)(%rdi), %r13
	mov	R(14)(%rdi), %r14
	mov	R(15)(%rdi), %r15
	mov	RDI(%rdi), %rdi
	jnz	1f
	vmresume
	jmp	2f
1:	vmlaunch
2:	xor	%eax, %eax		/* still here: VM entry failed */
	jmp	3f

vm_exit_point:
	push	%rdi			/* the guest's */
	mov	8(%rsp), %rdi
	mov	%rax, RAX(%rdi)
	mov	%rcx, RCX(%rdi)
	mov	%rdx, RDX(%rdi)
	mov	%rbx, RBX(%rdi)
	mov	%rbp, RBP(%rdi)
	mov	%rsi, RSI(%rdi)
	mov	%r8, R(8)(%rdi)
	mov	%r9, R(9)(%rdi)
	mov	%r10, R(10)(%rdi)
	mov	%r11, R(11)(%rdi)
	mov	%r12, R(12)(%rdi)
	mov	%r13, R(13)(%rdi)
	mov	%r14, R(14)(%rdi)
	mov	%r15, R(15)(%rdi)
	pop	RDI(%rdi)
	mov	$1, %eax
3:	pop	%rdi
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/* An exception in minivisor is a mistake in minivisor: say which and where.
 * Those with an error code have it on top of RIP. */
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	32
	.balign	16
	mov	$vector, %edi
	jmp	trap
	.set	vector, vector + 1
	.endr
trap:	mov	(%rsp), %rsi
	mov	8(%rsp), %rdx
	and	$-16, %rsp
	call	root_trap
