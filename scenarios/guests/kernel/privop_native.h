/* privop_native.h - privop.h on the bare machine: one instruction each, or as near as can be. */
#ifndef PRIVOP_NATIVE_H
#define PRIVOP_NATIVE_H

#ifdef __ASSEMBLER__

/* The stack holds ip, cs, flags (, sp, ss). */
#ifdef __x86_64__
#define RETURN_FROM_TRAP	iretq
#else
#define RETURN_FROM_TRAP	iret
#endif

/* RETURN_FAST: back to ring 3 after SYSCALL or SYSENTER, the stack holding ip, cs, flags, sp, ss.
 * SYSRET takes RIP from RCX and RFLAGS from R11; SYSEXIT takes EIP from EDX and ESP from ECX and
 * leaves EFLAGS alone, so that STI goes last: its shadow covers SYSEXIT.
 * RETURN_FAST_NULL: the same when the registers still are as SYSCALL or SYSENTER left them.     */
#ifdef __x86_64__
.macro RETURN_FAST
	mov	(%rsp), %rcx
	mov	16(%rsp), %r11
	mov	24(%rsp), %rsp
	sysretq
.endm
.macro RETURN_FAST_NULL
	sysretq
.endm
/* ENTER_FAST: what SYSCALL leaves becomes what INT 0x80 leaves. */
.macro ENTER_FAST
	mov	%rsp, user_stack
	mov	tss + 8, %rsp		/* tss.sp0 */
	push	$SEL_UDATA
	push	user_stack
	push	%r11
	push	$SEL_UCODE
	push	%rcx
.endm
#else
.macro RETURN_FAST
	mov	(%esp), %edx
	mov	12(%esp), %ecx
	sti
	sysexit
.endm
.macro RETURN_FAST_NULL
	sti
	sysexit
.endm
.macro ENTER_FAST
	mov	(%esp), %esp
	push	$SEL_UDATA
	push	%ecx
	pushf
	orl	$0x200, (%esp)		/* SYSENTER cleared IF; programs always run with it set */
	push	$SEL_UCODE
	push	%edx
.endm
#endif

#else /* C */

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t pte_t;

/* --- interrupts ------------------------------------------------------------------------------- */

static inline void irq_enable(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static inline void irq_disable(void)
{
	__asm__ volatile("cli" : : : "memory");
}

/* irq_save ... irq_restore: a stretch that no interrupt enters, whatever was before. */
static inline uintptr_t irq_save(void)
{
	uintptr_t flags;

	__asm__ volatile("pushf\n\tpop %0\n\tcli" : "=r"(flags) : : "memory");
	return flags;
}

static inline void irq_restore(uintptr_t flags)
{
	__asm__ volatile("push %0\n\tpopf" : : "r"(flags) : "memory", "cc");
}

/* Sleep until an interrupt has been taken; STI's shadow leaves no gap before HLT. */
static inline void irq_wait(void)
{
	__asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}

__attribute__((noreturn)) static inline void halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli\n\thlt");
}

/* --- ports ------------------------------------------------------------------------------------ */

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline void insw(uint16_t port, void *to, unsigned words)
{
	__asm__ volatile("rep insw" : "+D"(to), "+c"(words) : "d"(port) : "memory");
}

/* --- paging ----------------------------------------------------------------------------------- */

/* The one way to change a page-table entry.  On IA-32 an entry's upper half is always zero (RAM
 * ends below 4 GiB, XD is not used), so one store of the lower half is the whole change.        */
static inline void pte_write(pte_t *entry, pte_t value)
{
#ifdef __x86_64__
	*(volatile pte_t *)entry = value;
#else
	*(volatile uint32_t *)entry = (uint32_t)value;
#endif
}

static inline void root_load(uintptr_t physical)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(physical) : "memory");
}

static inline void tlb_flush_page(uintptr_t address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* All translations that are not global: the user half. */
static inline void tlb_flush_user(void)
{
	uintptr_t cr3;

	__asm__ volatile("mov %%cr3, %0\n\tmov %0, %%cr3" : "=r"(cr3) : : "memory");
}

/* Everything, global pages too: that is what toggling CR4.PGE does. */
static inline void tlb_flush_all(void)
{
	uintptr_t cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 & ~(uintptr_t)0x80) : "memory");
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
}

static inline uintptr_t fault_address(void)
{
	uintptr_t cr2;

	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	return cr2;
}

/* --- descriptor tables ------------------------------------------------------------------------ */

struct table_pointer {
	uint16_t limit;
	uintptr_t base;
} __attribute__((packed));

static inline void gdt_load(const void *table, unsigned bytes)
{
	struct table_pointer p = { (uint16_t)(bytes - 1), (uintptr_t)table };

	__asm__ volatile("lgdt %0" : : "m"(p));
}

static inline void idt_load(const void *table, unsigned bytes)
{
	struct table_pointer p = { (uint16_t)(bytes - 1), (uintptr_t)table };

	__asm__ volatile("lidt %0" : : "m"(p));
}

static inline void task_load(uint16_t selector)
{
	__asm__ volatile("ltr %0" : : "r"(selector));
}

struct gate {
	uint32_t word[sizeof(uintptr_t) / 2];	/* two for IA-32, four for Intel 64 */
};

static inline void idt_write(struct gate *gate, struct gate value)
{
	*gate = value;
}

/* The stack on which the next entry from ring 3 starts; `slot` is the TSS's sp0. */
static inline void stack_set(uintptr_t *slot, uintptr_t top)
{
	*slot = top;
}

/* --- the rest --------------------------------------------------------------------------------- */

static inline void msr_write(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static inline uint64_t tsc_read(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

struct cpuid {
	uint32_t a, b, c, d;
};

static inline struct cpuid cpuid(uint32_t leaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(0));
	return r;
}

/* --- what a paravirtual kernel has to do and this one has not -------------------------------- */

extern char kernel_end[];
static inline void *image_end(void) { return kernel_end; }
static inline void machine_end(uint32_t value) { (void)value; }
bool pic_acknowledge(unsigned irq);
static inline bool irq_acknowledge(unsigned irq) { return pic_acknowledge(irq); }
/* The lines that one interrupt stands for. */
static inline void irq_each(unsigned irq, void (*handler)(unsigned)) { handler(irq); }
static inline void tick_next(void) { }
/* Entries between these two may take effect together, at the end. */
static inline void updates_begin(void) { }
static inline void updates_end(void) { }
#define pte_read(entry) (*(entry))
/* An entry above the lowest level leads to an empty table; or no longer to one. */
static inline void table_link(pte_t *entry, pte_t value, int level) { (void)level; pte_write(entry, value); }
static inline void table_unlink(pte_t *entry, int level) { (void)level; pte_write(entry, 0); }
/* A top table has the kernel's half; or is not loaded any more and will be taken apart. */
static inline void root_made(uintptr_t root) { (void)root; }
static inline void root_leaving(uintptr_t root) { (void)root; }

/* The measured loops' bodies: rAX, rBX, rCX and rDX are theirs. */
#define OP_IN		"in $0x80, %%al"
#define OP_CLI_STI	"cli\n\tsti"
#define OP_CPUID	"xor %%eax, %%eax\n\tcpuid"
#define OP_RDTSC	"rdtsc"
/* OP_TPR: rAX = 0, rDX = the TPR in local APIC memory.
 * OP_PTE_WRITE: rDX = the entry, rAX = its value, rCX = the bits to flip. */
#ifdef __x86_64__
#define OP_TPR		"mov %%rax, %%cr8"
#define OP_PTE_WRITE	"xor %%rcx, %%rax\n\tmov %%rax, (%%rdx)"
#else
#define OP_TPR		"mov %%eax, (%%edx)"
#define OP_PTE_WRITE	"xor %%ecx, %%eax\n\tmov %%eax, (%%edx)"
#endif

#endif /* __ASSEMBLER__ */
#endif
