/* pieces.S - what programs are put together from. Each piece is copied anywhere, so it names places outside itself by their
 * address only; words of anycode.h in it are replaced. All may run in ring 0 and in ring 3: what is not allowed there faults,
 * and the program goes on with the next piece. The stack is at its top at the end of each. */
#include "anycode.h"

#ifdef __x86_64__
#define AX %rax
#define CX %rcx
#define DX %rdx
#define BX %rbx
#define SI %rsi
#define DI %rdi
#define BP %rbp
#define SP %rsp
#define WORD 8
#define PUSHF pushfq
#define POPF popfq
#define IRET iretq
#else
#define AX %eax
#define CX %ecx
#define DX %edx
#define BX %ebx
#define SI %esi
#define DI %edi
#define BP %ebp
#define SP %esp
#define WORD 4
#define PUSHF pushfl
#define POPF popfl
#define IRET iretl
#endif

	.section .rodata
	.balign	4
	.globl	pieces
pieces:
	.text
.macro PIECE
	.pushsection .rodata
	.long	99f
	.popsection
99:
.endm

/* Critical: shows the real machine in ring 3, where that is not the guest's. */
.macro CRITICAL
	.pushsection .rodata
	.long	99f + PIECE_CRITICAL
	.popsection
99:
.endm

	.globl	prologue, prologue_end, epilogue, epilogue_end, to_kernel, to_kernel_end
prologue:
	movl	$NEXT, resume
prologue_end:
epilogue:
	int	$INT_DONE
epilogue_end:
to_kernel:
	int	$INT_KERNEL
to_kernel_end:

/* ---- registers, arithmetic, flags ---- */
	PIECE; mov	$ANY, %eax
	PIECE; mov	$ANY, %ecx
	PIECE; mov	$ANY, %edx
	PIECE; mov	$ANY, %ebx
	PIECE; mov	$SOME, %ebp
	PIECE; add	AX, CX
	PIECE; adc	$ANY, %edx
	PIECE; sub	DX, AX
	PIECE; sbb	BX, SI
	PIECE; xor	CX, DI
	PIECE; and	$ANY, %ebx
	PIECE; test	%al, %dh
	PIECE; cmp	$SOME, %eax
	PIECE; neg	DX
	PIECE; inc	%ecx
	PIECE; dec	%bl
	PIECE; not	SI
	PIECE; shl	$3, AX
	PIECE; sar	%cl, BX
	PIECE; rol	%cl, %edx
	PIECE; rcr	$1, %eax
	PIECE; shld	$5, CX, AX
	PIECE; imul	CX, AX
	PIECE; mul	%ebx
	PIECE; div	%ecx
	PIECE; idiv	%bl
	PIECE; movzx	%al, %edx
	PIECE; movsx	%cx, %ebx
	PIECE; cwtl
	PIECE; cltd
	PIECE; bswap	AX
	PIECE; bsf	CX, DX
	PIECE; setc	%al
	PIECE; setle	%bh
	PIECE; cmovs	CX, AX
	PIECE; cmovo	DX, BX
	PIECE; lahf
	PIECE; sahf
	PIECE; stc
	PIECE; cmc
	PIECE; std; cld
	PIECE; lea	SOME(AX,CX,4), DX
	PIECE; xchg	AX, DI
	PIECE; bt	$7, AX
	PIECE; btc	%ecx, %edx
	PIECE; cmpxchg	CX, DX
	PIECE; xadd	AX, BX

/* ---- memory ---- */
	PIECE; mov	$DATA, %edi; mov AX, (DI)
	PIECE; mov	$DATA, %esi; mov (SI), DX
	PIECE; mov	$DATA, %ebx; add CX, WORD(BX)
	PIECE; mov	DATA, %eax
	PIECE; movl	$ANY, DATA
	PIECE; addb	$0x35, DATA
	PIECE; mov	$DATA, %edi; and $3, %ecx; mov %al, (DI,CX,8)
	PIECE; mov	$DATA, %edi; lock; incl (DI)
	PIECE; mov	$DATA, %edi; xchg AX, (DI)
	PIECE; mov	$DATA, %edi; lock; cmpxchg CX, (DI)
	PIECE; mov	$DATA, %edi; bts %ebp, (DI)
	PIECE; mov	(AX), CX
	PIECE; mov	CX, (DX)
	PIECE; mov	$DATA, %edi; mov $DATA, %esi; movsb; movsl
	PIECE; mov	$DATA, %edi; mov $DATA, %esi; mov $5, %ecx; rep movsl
	PIECE; mov	$DATA, %edi; mov $9, %ecx; rep stosb
	PIECE; mov	$DATA, %edi; mov $DATA, %esi; mov $7, %ecx; repe cmpsb
	PIECE; mov	$DATA, %edi; mov $11, %ecx; repne scasb
	PIECE; mov	$DATA, %esi; lodsw
	PIECE; mov	$DATA, %edi; mov $-1, %ecx; rep movsl
	PIECE; mov	$DATA, %ebx; xlat

/* ---- the stack ---- */
	PIECE; push	AX; pop BX
	PIECE; push	$ANY; pop CX
	PIECE; push	SP; pop DX
	PIECE; mov	SP, AX
	PIECE; mov	SP, BX; and $-16, SP; push AX; mov BX, SP
	PIECE; push	BP; mov SP, BP; sub $32, SP; mov AX, -16(BP); leave
	PIECE; enter	$16, $1; leave
	PIECE; push	DX; add AX, (SP); pop DX
	PIECE; sub	$16, SP; pop (SP); add $16 - WORD, SP
	PIECE; xchg	SP, BX; mov BX, SP
	PIECE; PUSHF; pop AX
	PIECE; pushfw; pop %cx
	PIECE; PUSHF; xorl $0x8D5, (SP); POPF
	PIECE; push	$0x202; POPF
	PIECE; push	$0x3002; POPF
	PIECE; push	$0x40246; POPF
	PIECE; push	$0x204006; POPF
	PIECE; push	$0x102; POPF; nop; inc %eax; push AX; pop AX
	PIECE; push	$0x302; POPF; PUSHF; pop CX
	PIECE; push	$0x102; POPF; int $INT_PLAIN; nop

/* ---- where to go ---- */
	PIECE; jmp	1f; ud2; 1:
	PIECE; test	%eax, %eax; jz 1f; inc %edx; 1:
	PIECE; .byte 0xE9; .long FORWARD
	PIECE; .byte 0x0F, 0x82; .long FORWARD	/* JC */
	PIECE; .byte 0x0F, 0x85; .long FORWARD	/* JNZ */
	PIECE; .byte 0x0F, 0x8F; .long FORWARD	/* JG */
	PIECE; mov	$5, %ecx; 1: add CX, AX; loop 1b
	PIECE; mov	$20, %edx; 1: xor DX, BX; dec %edx; jnz 1b
	PIECE; jecxz	1f; mov %ecx, %eax; 1:
	PIECE; call	1f; jmp 2f; 1: inc %ebx; ret; 2:
	PIECE; call	1f; 1: pop SI
	PIECE; call	1f; jmp 2f; 1: push $ANY; add %eax, %edx; ret $WORD; 2:
	PIECE; push	$NEXT; ret
	PIECE; mov	$NEXT, %eax; jmp *AX
	PIECE; mov	$NEXT, %eax; mov AX, data; jmp *data
	PIECE; mov	$HERE, %eax; add $1f - 99b, %eax; call *AX; jmp 2f; 1: ret; 2:
	PIECE; mov	$4, %ebx; 1: call 2f; dec %ebx; jnz 1b; jmp 3f; 2: test $1, %bl; jz 4f; ret; 4: inc %eax; ret; 3:
	PIECE; mov	$ANY, %eax; jmp *AX
	PIECE; mov	$ANY, %ecx; call *CX

/* ---- other rings ---- */
	PIECE; int	$INT_PLAIN
	PIECE; int	$INT_KERNEL
	PIECE; int	$INT_KERNEL
	PIECE; int3
	PIECE; int	$0x20
	PIECE; int	$0x60
	PIECE; ud2
	PIECE; .byte	0xF1				/* INT1 */
	PIECE; push	$KDATA; push $program_stack_top; PUSHF; push $KCODE; push $NEXT; IRET
	PIECE; push	$UDATA; push $program_stack_top; push $0x202; push $UCODE; push $NEXT; IRET
	PIECE; push	$UDATA; push $program_stack_top; push $0x3002; push $UCODE; push $NEXT; IRET
	PIECE; push	$UDATA; push $program_stack_top; push $0x102; push $UCODE; push $NEXT; IRET
	PIECE; PUSHF; push $ANY; push $NEXT; IRET
	PIECE; syscall
	PIECE; sysenter
#ifdef __x86_64__
	PIECE; mov	$NEXT, %ecx; mov $0x202, %r11d; sysretq
	PIECE; mov	$NEXT, %ecx; mov $0x3343, %r11d; sysretq
	PIECE; mov	$NEXT, %eax; pushq $KCODE; push AX; lretq
	PIECE; mov	$NEXT, %eax; pushq $UDATA; pushq $program_stack_top; pushq $UCODE; push AX; lretq
	PIECE; mov	$DATA, %edi; movl $NEXT, (DI); movw $KCODE, 4(DI); ljmp *(DI)
	PIECE; mov	$DATA, %edi; movl $NEXT, (DI); movw $UCODE, 4(DI); lcall *(DI)
#else
	PIECE; push	%cs; push $NEXT; lret
	PIECE; push	$UDATA; push $program_stack_top; push $UCODE; push $NEXT; lret
	PIECE; push	$KCODE; push $NEXT; lret
	PIECE; .byte	0xEA; .long NEXT; .word KCODE
	PIECE; .byte	0xEA; .long NEXT; .word UCODE
	PIECE; mov	$DATA, %edi; movl $NEXT, (DI); movw $KCODE, 4(DI); lcall *(DI)
	PIECE; mov	$program_stack_top, %ecx; mov $NEXT, %edx; sysexit
	PIECE; pushal; popal
	PIECE; into
	PIECE; mov	$DATA, %edi; bound %eax, (DI)
	PIECE; daa
	PIECE; aam
#endif

/* ---- sensitive, privileged or not ---- */
	PIECE; cli
	PIECE; sti
	PIECE; cli; PUSHF; pop AX; sti; nop; PUSHF; pop DX
	CRITICAL; mov	$DATA, %edi; sgdt (DI)
	CRITICAL; mov	$DATA, %edi; sidt (DI)
	CRITICAL; sldt	%eax
	CRITICAL; str	%ecx
	CRITICAL; smsw	%edx
	CRITICAL; mov	$DATA, %edi; smsw (DI)
	PIECE; mov	%cs, %eax
	PIECE; mov	%ss, %edx
	PIECE; mov	%ds, %ebx
	PIECE; mov	$DATA, %edi; mov %ss, (DI)
	CRITICAL; mov	$KCODE, %ecx; lar %ecx, %eax
	CRITICAL; mov	$UDATA, %ecx; lar %ecx, %eax
	CRITICAL; mov	$KDATA, %ecx; lsl %ecx, %edx
	CRITICAL; lsl	%ebx, %eax
	CRITICAL; mov	$KDATA, %ecx; verr %cx
	CRITICAL; mov	$KCODE, %ecx; verw %cx
	PIECE; mov	$KDATA, %eax; mov %eax, %ds; mov $UDATA, %eax; mov %eax, %ds
	PIECE; mov	$UDATA, %eax; mov %eax, %es
	PIECE; mov	$UDATA, %eax; mov %eax, %fs; mov %fs, %ecx
	PIECE; xor	%eax, %eax; mov %eax, %gs
	PIECE; mov	%ss, %eax; mov %eax, %ss; inc %ebx
	PIECE; mov	%eax, %fs
	PIECE; push	%fs; pop AX
	PIECE; mov	%cr0, AX
	PIECE; mov	%cr2, DX
	PIECE; mov	%cr4, CX
	PIECE; mov	%cr3, AX; mov AX, %cr3
	PIECE; mov	%cr0, AX; xor $8, AX; mov AX, %cr0
	PIECE; mov	%cr0, AX; xor $0x40000, AX; mov AX, %cr0
	PIECE; mov	%cr0, AX; xor $0x10000, AX; mov AX, %cr0
	PIECE; mov	%cr0, AX; and $~1, AX; mov AX, %cr0
	PIECE; mov	%cr4, AX; xor $4, AX; mov AX, %cr4
	PIECE; mov	%cr4, AX; xor $0x80, AX; mov AX, %cr4
	PIECE; mov	%cr4, AX; or $0x8000000, AX; mov AX, %cr4
	PIECE; clts
	PIECE; lmsw	%cx
	PIECE; wbinvd
	PIECE; mov	$DATA, %edi; invlpg (DI)
	PIECE; mov	%dr6, AX
	PIECE; mov	%dr7, CX
	PIECE; mov	$DATA, %eax; mov AX, %dr0
	PIECE; mov	%dr0, DX
	PIECE; mov	%dr5, DX
	/* breakpoints: on code, that comes next or is here; on the stack; on data. The first that strikes ends all (anycode_trap) */
	PIECE; mov	$NEXT, %eax; mov AX, %dr1; mov $0x404, %eax; mov AX, %dr7
	PIECE; mov	$NEXT, %eax; mov AX, %dr1; mov $0x404, %eax; mov AX, %dr7; mov $7, %ecx; xor %eax, %eax; cpuid
	PIECE; mov	$HERE, %eax; mov AX, %dr2; mov $0x410, %eax; mov AX, %dr7
	PIECE; mov	SP, AX; sub $WORD, AX; mov AX, %dr0; mov $0xD0401, %eax; mov AX, %dr7; push CX; pop DX
	PIECE; mov	$DATA, %edi; mov DI, %dr3; mov $0xF0000480, %eax; mov AX, %dr7; mov (DI), %ecx; inc %ecx
	PIECE; mov	$0x2400, %eax; mov AX, %dr7; mov %dr3, DX
	PIECE; mov	$0x2400, %eax; mov AX, %dr7; mov SP, %dr2
	PIECE; mov	$0x174, %ecx; rdmsr
	PIECE; mov	$0x176, %ecx; rdmsr
	PIECE; mov	$0xC0000080, %ecx; rdmsr
	PIECE; mov	$0xC0000082, %ecx; rdmsr
	PIECE; mov	$0x277, %ecx; rdmsr
	PIECE; mov	$0x12345, %ecx; rdmsr
	PIECE; mov	$0x277, %ecx; wrmsr
	PIECE; mov	$0xC0000102, %ecx; mov $SOME, %eax; xor %edx, %edx; wrmsr; rdmsr
	PIECE; mov	$0x21, %dx; in %dx, %al
	PIECE; in	$0x80, %al
	PIECE; out	%al, $0x80
	PIECE; mov	$0x21, %dx; mov $DATA, %edi; insb
	PIECE; mov	$0x80, %dx; mov $DATA, %esi; mov $3, %ecx; rep outsb
	PIECE; fninit
	PIECE; fld1; fldpi; faddp; mov $DATA, %edi; fstpl (DI)
	PIECE; fnstcw	data
	PIECE; movd	%eax, %xmm1; paddd %xmm1, %xmm1; movd %xmm1, %edx
#ifdef __x86_64__
	PIECE; swapgs
	PIECE; mov	%cr8, %rax
	PIECE; mov	$9, %eax; mov %rax, %cr8
	PIECE; mov	$DATA, %eax; mov %rax, %fs:(%rax)
	PIECE; mov	98f(%rip), %eax; 98: inc %edx
	PIECE; lea	98f(%rip), %rbx; 98: mov (%rbx), %ecx
	PIECE; add	%r8, %r9; xor %r10, %r11; push %r12; pop %r15
	PIECE; mov	%gs:data, %eax
#else
	PIECE; mov	%fs:data, %eax
	PIECE; push	%ds; push %es; pop %es; pop %ds
	PIECE; push	%ss; pop %ss; inc %ecx
	PIECE; mov	$DATA, %edi; les (DI), %eax; mov $UDATA, %eax; mov %eax, %es
	PIECE; mov	$DATA, %edi; arpl %cx, (DI)
#endif

/* ---- code that reads and writes code ---- */
	PIECE; mov	$HERE, %esi; mov (SI), %eax; mov 3(SI), %edx
	PIECE; mov	$NEXT, %esi; mov (SI), %ecx
	PIECE; mov	$HERE, %edi; mov %eax, 1f - 99b + 1(DI); jmp 1f; 1: mov $0x1234567, %ebx
	PIECE; mov	$HERE, %edi; mov %al, 1f - 99b + 1(DI); 1: mov $0x1234567, %ecx
	PIECE; mov	$HERE, %edi; mov $3, %ecx; 1: addb $0, %al; incb 1b - 99b + 1(DI); loop 1b
	PIECE; mov	$NEXT, %edi; mov (DI), %al; mov %al, (DI)
	PIECE; mov	$NEXT, %edi; movb $0x90, (DI)
	PIECE
	.section .rodata
	.long	0
