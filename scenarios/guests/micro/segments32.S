/* segments32.S - everything a kernel can do with segments, and what it gets: accessed bits, limits both ways, bases that wrap
 * round, LDT, gates, tasks, ring 3, and selectors and addresses that are nobody's or a VMM's.
 * prints: one line a case: its name, then a value or the exception with its error code.  Under every technique that works the
 * same as on the bare machine.
 * Memory: 1 MB the image; 2 MB plain data; 4 MB what the last 4 MB of linear space show once paging is on.       */
#include "console.inc"

#define PLAIN		0x200000
#define D(base, limit, attr) \
	.long	((limit) & 0xFFFF) | ((base) & 0xFFFF) << 16, \
		((base) >> 16 & 0xFF) | (attr) << 8 | ((limit) & 0xF0000) | ((base) & 0xFF000000)
/* attr: G 8000H, D/B 4000H; P 80H, DPL 60H, S 10H, type */

#define KCODE	0x08
#define KDATA	0x10
#define FRESH	0x18	/* accessed bit clear */
#define SHORT	0x20	/* 1 KB at PLAIN */
#define ABSENT	0x28
#define HIGH	0x30	/* base FFFFF000H: wraps round at once */
#define THREE	0x38	/* base C0000000H */
#define DOWN	0x40	/* expand-down from 1000H, base 0 */
#define DOWN2	0x48	/* expand-down, PLAIN at its end */
#define LDT	0x50
#define TSS	0x58
#define GATE	0x60
#define CONF	0x68
#define XCODE	0x70
#define CODE16	0x78
#define UCODE	0x80
#define UDATA	0x88
#define MOVES	0x90	/* a descriptor that changes */
#define TASK	0x98
#define RODATA	0xA0
#define UGATE	0xA8	/* call gate for ring 3 */
#define FLAT16	0xB0	/* data, 16-bit expand-down */
#define TASKGATE 0xB8
#define SIZE	0xC0

	.section .multiboot, "a"
	.balign	4
	.long	0x1BADB002, 0, -0x1BADB002

/* CASE(name, instructions): prints the name and EAX, or the exception's vector and error code. */
#define CASE(name, ...) \
	movl $8f, resume; mov %esp, resume_esp; xor %eax, %eax; __VA_ARGS__; \
8:	call report; .section .rodata; 9: .asciz name; .previous; .long 9b

	.text
	.globl	_start
_start:
	mov	$stack_top, %esp
	/* descriptors whose bases are addresses in the image */
	mov	$ldt, %eax
	mov	%ax, gdt + LDT + 2
	shr	$16, %eax
	mov	%al, gdt + LDT + 4
	mov	$tss, %eax
	mov	%ax, gdt + TSS + 2
	shr	$16, %eax
	mov	%al, gdt + TSS + 4
	mov	$task, %eax
	mov	%ax, gdt + TASK + 2
	shr	$16, %eax
	mov	%al, gdt + TASK + 4
	mov	$sixteen_code, %eax
	mov	%ax, gdt + CODE16 + 2
	shr	$16, %eax
	mov	%al, gdt + CODE16 + 4
	mov	$gate_entry, %eax
	mov	%ax, gdt + GATE
	mov	%ax, gdt + UGATE
	shr	$16, %eax
	mov	%ax, gdt + GATE + 6
	mov	%ax, gdt + UGATE + 6
	/* all exceptions */
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
	mov	$from_user, %eax
	mov	%ax, idt + 8 * 0x80
	movw	$KCODE, idt + 8 * 0x80 + 2
	movw	$0xEE00, idt + 8 * 0x80 + 4
	shr	$16, %eax
	mov	%ax, idt + 8 * 0x80 + 6
	lgdt	gdt_pointer
	lidt	idt_pointer
	ljmp	$KCODE, $1f
1:	mov	$KDATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$0, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$TSS, %eax
	ltr	%ax
	movl	$0x11223344, PLAIN
	movl	$0x55667788, PLAIN + 0x1000

	/* ---- what registers hold ---- */
	CASE("ss", mov %ss, %eax)
	CASE("push cs", push %cs; pop %eax; movzwl %ax, %eax)
	CASE("mov cs", mov %cs, %eax)
	CASE("gdt limit", sgdt scratch; movzwl scratch, %eax)
	CASE("str", str %ax)
	CASE("sldt", sldt %ax)
	CASE("null ds", mov $0, %eax; mov %eax, %fs; mov %fs:0, %eax)
	CASE("null with rpl", mov $3, %eax; mov %eax, %fs; mov %fs, %eax)
	CASE("ss null", mov $0, %eax; mov %eax, %ss)
	CASE("ss rpl 3", mov $KDATA + 3, %eax; mov %eax, %ss)
	CASE("ss again", mov $KDATA, %eax; mov %eax, %ss; mov %ss, %eax)
	CASE("pop ss", push $KDATA; pop %ss; mov %ss, %eax)
	CASE("lss", movl $KDATA, scratch + 4; mov %esp, scratch; lss scratch, %esp; mov %ss, %eax)

	/* ---- accessed bits and absence ---- */
	CASE("fresh before", mov gdt + FRESH + 4, %eax)
	CASE("fresh", mov $FRESH, %ebx; mov %ebx, %es; mov %es:PLAIN, %eax)
	CASE("fresh after", mov gdt + FRESH + 4, %eax)
	CASE("absent", mov $ABSENT, %ebx; mov %ebx, %es)
	CASE("absent ss", mov $ABSENT, %ebx; mov %ebx, %ss)
	CASE("beyond", mov $SIZE, %ebx; mov %ebx, %es)
	CASE("system", mov $TSS, %ebx; mov %ebx, %es)
	CASE("execute only", mov $XCODE, %ebx; mov %ebx, %es)
	CASE("execute only after", mov gdt + XCODE + 4, %eax)
	CASE("code as data", mov $KCODE, %ebx; mov %ebx, %fs; mov %fs:PLAIN, %eax)
	CASE("write to code", movl $1, %fs:PLAIN)
	CASE("read only", mov $RODATA, %ebx; mov %ebx, %fs; movl $1, %fs:PLAIN)
	CASE("conforming", mov $CONF, %ebx; mov %ebx, %fs; mov %fs:PLAIN, %eax)

	/* ---- limits ---- */
	CASE("short in", mov $SHORT, %ebx; mov %ebx, %fs; mov %fs:0x3FC, %eax)
	CASE("short out", mov %fs:0x3FD, %eax)
	CASE("wrap low", mov $HIGH, %ebx; mov %ebx, %fs; mov %fs:0x1000 + PLAIN, %eax)
	CASE("wrap write", movl $0x1234, %fs:0x1000 + PLAIN + 8; mov PLAIN + 8, %eax)
	CASE("wrap three", mov $THREE, %ebx; mov %ebx, %gs; mov $0x40000000 + PLAIN, %ecx; mov %gs:(%ecx), %eax)
	CASE("wrap string", mov $0x40000000 + PLAIN, %esi; mov $PLAIN + 0x20, %edi; mov $KDATA, %ebx; mov %ebx, %es; mov $2, %ecx; cld; rep movsl %gs:(%esi), %es:(%edi); mov PLAIN + 0x20, %eax)
	CASE("down out", mov $DOWN, %ebx; mov %ebx, %fs; mov %fs:0xFFC, %eax)
	CASE("down in", mov %fs:PLAIN, %eax)
	CASE("down edge", mov %fs:0xFFE, %eax)
	CASE("down add", mov $3, %eax; addl %eax, %fs:PLAIN + 0x40; mov PLAIN + 0x40, %eax)
	CASE("down2 in", mov $DOWN2, %ebx; mov %ebx, %fs; mov %fs:-0x1000, %eax)
	CASE("down2 out", mov %fs:0, %eax)
	CASE("down 16", mov $FLAT16, %ebx; mov %ebx, %fs; mov %fs:0x2000, %eax)
	CASE("down 16 out", mov %fs:0x10000, %eax)
	CASE("down 16 low", mov %fs:0xFFF, %eax)
	CASE("lsl flat", mov $KDATA, %ebx; lsl %ebx, %eax)
	CASE("lsl short", mov $SHORT, %ebx; lsl %ebx, %eax)
	CASE("lsl tss", mov $TSS, %ebx; lsl %ebx, %eax)
	CASE("lar code", mov $KCODE, %ebx; lar %ebx, %eax)
	CASE("lar absent", mov $ABSENT, %ebx; lar %ebx, %eax)
	CASE("lar gate", mov $GATE, %ebx; lar %ebx, %eax)
	CASE("verr execute only", mov $XCODE, %ebx; verr %bx; setz %al)
	CASE("verw data", mov $KDATA, %ebx; verw %bx; setz %al)

	/* ---- LDT ---- */
	CASE("no ldt", mov $0x0C, %ebx; mov %ebx, %fs)
	CASE("lldt", mov $LDT, %ebx; lldt %bx; sldt %ax)
	CASE("ldt fresh", mov $0x0C, %ebx; mov %ebx, %fs; mov %fs:0, %eax)
	CASE("ldt accessed", mov ldt + 12, %eax)
	CASE("ldt beyond", mov $0x24, %ebx; mov %ebx, %gs)
	CASE("ldt changed", movb $0x10, ldt + 11; mov %fs:0, %eax)
	CASE("ldt again", mov $0x0C, %ebx; mov %ebx, %fs; mov %fs:0, %eax)
	CASE("ldt code", push $0; ljmp $0x1C, $1f; 1: pop %ebx; mov %cs, %eax)
	CASE("back", ljmp $KCODE, $1f; 1: mov %cs, %eax)
	CASE("lldt null", mov $0, %ebx; lldt %bx; mov $0x0C, %ebx; mov %ebx, %gs)

	/* ---- descriptors that change ---- */
	CASE("moves", mov $MOVES, %ebx; mov %ebx, %gs; mov %gs:0, %eax)
	CASE("moved", movb $0x10, gdt + MOVES + 3; mov %gs:0, %eax)
	CASE("moved, loaded", mov $MOVES, %ebx; mov %ebx, %gs; mov %gs:0, %eax)
	CASE("moved, absent", movb $0x13, gdt + MOVES + 5; mov %gs:0, %eax)
	CASE("absent, loaded", mov $MOVES, %ebx; mov %ebx, %gs)
	CASE("gs still", mov %gs:0, %eax)

	/* ---- selectors of nobody here ---- */
	.irp	s, 0xf000, 0xf008, 0xf010, 0xf020, 0xf030, 0xf040, 0xf048, 0xf050, 0xf058, 0xf060, 0xf068, 0xf080, 0xf088, 0xfff8
	CASE("ds \s", mov $\s, %ebx; mov %ebx, %fs)
	CASE("ss \s", mov $\s, %ebx; mov %ebx, %ss)
	CASE("jmp \s", ljmp $\s, $1f; 1:)
	CASE("lar \s", mov $\s, %ebx; lar %ebx, %eax; setz %al)
	.endr

	/* ---- gates, tasks ---- */
	CASE("fs null", mov $0, %ebx; mov %ebx, %fs; mov %ebx, %gs; mov %fs, %eax)
	CASE("call gate", lcall $GATE, $0)
	CASE("far call", push $1f; lcall $KCODE, $far_leaf; 1: pop %ebx)
	CASE("conforming call", lcall $CONF, $far_leaf)
	CASE("far ret rpl 0", push $KCODE; push $1f; lret; 1: mov %cs, %eax)
	CASE("iret", pushf; push $KCODE; push $1f; iret; 1: mov %cs, %eax)
	CASE("16-bit code", call sixteen)
	CASE("task", ljmp $TASK, $0)
	CASE("str after", str %ax)
	CASE("task gate", lcall $TASKGATE, $0)
	CASE("busy", mov gdt + TASK + 4, %eax)
	CASE("jmp data", ljmp $KDATA, $0)
	CASE("jmp tss busy", ljmp $TSS, $0)

	/* ---- ring 3 ---- */
	CASE("user", call user)
	CASE("user kernel data", movl $user_kernel, user_eip; call user)
	CASE("user gate", movl $user_gate, user_eip; call user)
	CASE("user kernel gate", movl $user_kgate, user_eip; call user)
	CASE("user jmp kernel", movl $user_jmp, user_eip; call user)
	CASE("user vmm cs", movl $user_vmm, user_eip; call user)
	CASE("user ss", movl $user_ss, user_eip; call user)
	CASE("user null ds", movl $user_ds, user_eip; call user)
	CASE("user corner", movl $user_corner, user_eip; call user)

	/* ---- the end of the linear space, now with pages there ---- */
	mov	$page_directory, %ebx
	movl	$0x00000087, (%ebx)		/* 4 MB pages: here, user too */
	movl	$0x00400087, 4(%ebx)
	movl	$0x00400087, 0xFFC(%ebx)	/* 4 MB: at the end too */
	mov	%ebx, %cr3
	mov	%cr4, %eax
	or	$0x10, %eax
	mov	%eax, %cr4
	mov	%cr0, %eax
	or	$0x80000000, %eax
	mov	%eax, %cr0
	mov	$KDATA, %eax
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	CASE("end ds", movl $0x0d0d0d0d, 0xFFC00000; mov 0xFFC00000, %eax)
	CASE("end es", movl $0x0e0e0e0e, %es:0xFFC01000; mov %es:0xFFC01000, %eax)
	CASE("end fs", movl $0x0f0f0f0f, %fs:0xFFFFFFFC; mov %fs:0xFFFFFFFC, %eax)
	CASE("end gs", movl $0xa0a0a0a0, %gs:0xFFE00000; mov %gs:0xFFE00000, %eax)
	CASE("end ss", mov %esp, %ecx; mov $0xFFFF0000, %esp; push $0x42; pop %eax; mov %ecx, %esp)
	CASE("end call", mov %esp, %ecx; mov $0xFFFF0000, %esp; call near_leaf; mov %ecx, %esp)
	CASE("end across", movl $0x01020304, 0xFFBFFFFE)
	CASE("end pagefault", mov 0xFF800000, %eax)
	CASE("end string", mov $0xFFC02000, %edi; mov $0x5A5A5A5A, %eax; mov $16, %ecx; cld; rep stosl; mov 0x40203C, %eax)
	CASE("end cmpxchg", mov $0x0d0d0d0d, %eax; mov $7, %ecx; lock cmpxchg %ecx, 0xFFC00000; mov 0xFFC00000, %eax)
	CASE("end high", mov $HIGH, %ebx; mov %ebx, %fs; mov %fs:0, %eax)
	CASE("end high 4", mov %fs:0xFFE, %eax)
	CASE("end three", mov $THREE, %ebx; mov %ebx, %gs; mov $0x3FC00000, %ecx; mov %gs:(%ecx), %eax)
	CASE("end down", mov $DOWN, %ebx; mov %ebx, %fs; mov %fs:0xFFC00000, %eax)
	CASE("end code", movb $0xC3, 0xFFC03000; mov $0xFFC03000, %ebx; call *%ebx; mov $1, %eax)
	CASE("end user", movl $user_corner, user_eip; call user)
	CASE("seen", mov 0x7FFFFC, %eax)
	PUTS	done
	POWER_OFF

/* ---- exceptions ---- */
	.balign	16
stubs:
	.rept	32
	call	fault
	.balign	16
	.endr
fault:	/* in its stub, [error code], EIP, CS, EFLAGS: never returns, so only the error code must be found */
	cld
	pop	%ebx
	mov	$KDATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	sub	$stubs, %ebx
	shr	$4, %ebx
	xor	%ecx, %ecx
	bt	%ebx, has_error
	jnc	1f
	pop	%ecx
1:	mov	%eax, %ss
	mov	%ebx, vector
	mov	%ecx, error
	movl	$1, failed
	mov	resume_esp, %esp
	jmp	*resume

/* "name value" or "name !vector(error)"; behind the call stands the name's address. */
report:	cli
	cld
	mov	$KDATA, %edx
	mov	%edx, %ds
	mov	%edx, %es
	mov	%eax, value
	pop	%ebp
	mov	(%ebp), %esi
	add	$4, %ebp
	call	text
	mov	$' ', %al
	call	char
	cmpl	$0, failed
	jne	1f
	mov	value, %ebx
	call	hex
	jmp	2f
1:	mov	$'!', %al
	call	char
	mov	vector, %ebx
	call	hex
	mov	$' ', %al
	call	char
	mov	error, %ebx
	call	hex
2:	mov	$'\n', %al
	call	char
	movl	$0, failed
	jmp	*%ebp

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

/* ---- what is called ---- */
gate_entry:
	mov	%cs, %eax
	lret
far_leaf:
	mov	4(%esp), %eax		/* the CS that was pushed */
	lret
near_leaf:
	mov	$0x99, %eax
	ret
sixteen:
	ljmp	$CODE16, $0
	.code16
sixteen_code:
	mov	$0x1234, %ax
	push	%ax
	pop	%bx
	ljmpl	$KCODE, $1f
	.code32
1:	movzwl	%bx, %eax
	ret

/* To ring 3 at user_eip; what it passes in EAX by INT 80H is returned. */
user:	mov	%esp, tss + 4
	push	$UDATA + 3
	push	$user_stack_top
	push	$0x2
	push	$UCODE + 3
	push	user_eip
	mov	$UDATA + 3, %eax
	mov	%eax, %ds
	mov	%eax, %es
	iret
from_user:
	mov	$KDATA, %edx
	mov	%edx, %ds
	mov	%edx, %es
	mov	tss + 4, %esp
	ret
user_plain:
	mov	%cs, %eax
	shl	$16, %eax
	mov	%ss, %ax
	int	$0x80
user_kernel:
	mov	$KDATA, %ebx
	mov	%ebx, %fs
	int	$0x80
user_gate:
	lcall	$UGATE, $0
	int	$0x80
user_kgate:
	lcall	$GATE, $0
	int	$0x80
user_jmp:
	ljmp	$KCODE, $user_plain
user_vmm:
	ljmp	$0xf008, $user_plain
user_ss:
	mov	$KDATA + 3, %ebx
	mov	%ebx, %ss
	int	$0x80
user_ds:
	mov	%fs, %eax	/* what the kernel left there is null here */
	int	$0x80
user_corner:
	mov	0xFFFFFFFC, %eax
	int	$0x80

/* The task: notes where it came from, and goes back. */
task_entry:
	str	%ax
	mov	%eax, value
	cmpl	$0, task_called
	jne	1f
	movl	$1, task_called
	ljmp	$TSS, $0
1:	iret
	jmp	task_entry

	.section .rodata
done:	.asciz	"done\n"
has_error: .long 0x00027D00	/* 8, 10 to 14, 17 */

	.data
	.balign	8
gdt:	.quad	0
	D(0, 0xFFFFF, 0xC09B)
	D(0, 0xFFFFF, 0xC093)
	D(0, 0xFFFFF, 0xC092)
	D(PLAIN, 0x3FF, 0x4093)
	D(0, 0xFFFFF, 0xC013)
	D(0xFFFFF000, 0xFFFFF, 0xC093)
	D(0xC0000000, 0xFFFFF, 0xC093)
	D(0, 0, 0xC097)
	D(PLAIN + 0x2000, 0xFFFFD, 0xC097)
	D(0, 31, 0x0082)
	D(0, 103, 0x0089)
	.long	KCODE << 16, 0x8C00
	D(0, 0xFFFFF, 0xC09F)
	D(0, 0xFFFFF, 0xC098)
	D(0, 0xFFFF, 0x009B)
	D(0, 0xFFFFF, 0xC0FB)
	D(0, 0xFFFFF, 0xC0F3)
	D(PLAIN, 0xFFF, 0x4093)
	D(0, 103, 0x0089)
	D(0, 0xFFFFF, 0xC091)
	.long	KCODE << 16, 0xEC00
	D(PLAIN, 0xFFF, 0x0097)
	.long	TASK << 16, 0x8500
gdt_pointer:
	.word	SIZE - 1
	.long	gdt
	.balign	8
ldt:	.quad	0
	D(PLAIN, 0xFFF, 0x4092)
	.quad	0
	D(0, 0xFFFFF, 0xC09A)
idt_pointer:
	.word	8 * 0x81 - 1
	.long	idt
	.balign	8
tss:	.long	0, stack_top, KDATA
	.fill	22, 4, 0
	.long	104 << 16
task:	.long	0, stack_top, KDATA, 0, 0, 0, 0, 0
	.long	task_entry, 2, 0, 0, 0, 0, task_stack_top, 0, 0, 0
	.long	KDATA, KCODE, KDATA, KDATA, 0, 0, 0
	.long	104 << 16
user_eip: .long user_plain
	.bss
	.balign	4096
page_directory: .skip 4096
idt:	.skip	8 * 0x81
scratch: .skip	16
resume:	.skip	4
resume_esp: .skip 4
vector:	.skip	4
error:	.skip	4
failed:	.skip	4
value:	.skip	4
task_called: .skip 4
	.balign	16
	.skip	4096
stack_top:
	.skip	4096
user_stack_top:
	.skip	4096
task_stack_top:
