/* privop_pv.h - privop.h for the paravirtual kernel: hypercalls, and a page shared with the VMM.
 *
 * The interface is models/vmm/pv/abi.h.  What stays an instruction although it is privileged
 * (ports, MOV to CR8) traps, and the VMM carries it out; RDTSC and CPUID need no privilege.
 * Page-table entries hold machine addresses: what is in a table is pv_base more than what vm.c
 * says.  A table that belongs to a pinned tree is read-only, and changes by hypercall alone;
 * one that does not is memory like any other (pv.c). */
#ifndef PRIVOP_PV_H
#define PRIVOP_PV_H

#include "models/vmm/pv/abi.h"

#ifdef __ASSEMBLER__

/* The stack holds ip, cs, flags (, sp, ss).  IA-32: back to a program without the VMM, unless
 * something is pending. */
#ifdef __x86_64__
.macro RETURN_FROM_TRAP
	push	%rcx
	push	%r11
	push	%rax
	mov	$PV_CALL_IRET, %eax
	syscall
.endm
.macro ENTER_FAST			/* the VMM left the stack as INT 0x80 would */
.endm
#else
.macro RETURN_FROM_TRAP
	testb	$3, 4(%esp)
	jz	8f
	movb	$0, pv_page + PV_SHARED_MASK
	cmpb	$0, pv_page + PV_SHARED_UPCALL
	jne	8f
	iret
8:	push	%eax
	mov	$PV_CALL_IRET, %eax
	int	$PV_INT
.endm
.macro ENTER_FAST			/* programs use INT 0x80 */
.endm
#endif
.macro RETURN_FAST
	RETURN_FROM_TRAP
.endm
.macro RETURN_FAST_NULL
	RETURN_FROM_TRAP
.endm

#else /* C */

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t pte_t;

extern volatile struct pv_shared pv_page;
extern uint64_t pv_base;		/* machine address of the kernel's physical address 0 */

static inline intptr_t pv_call(unsigned nr, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d)
{
	intptr_t r;

#ifdef __x86_64__
	register uintptr_t r10 __asm__("r10") = d;

	__asm__ volatile("syscall" : "=a"(r) : "a"((uintptr_t)nr), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
#else
	__asm__ volatile("int %1" : "=a"(r) : "i"(PV_INT), "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d)
			 : "memory");
#endif
	return r;
}

/* --- interrupts: events, masked in the shared page ----------------------------------------------- */

static inline void irq_disable(void)
{
	pv_page.mask = 1;
	__asm__ volatile("" : : : "memory");
}

static inline void irq_enable(void)
{
	__asm__ volatile("" : : : "memory");
	pv_page.mask = 0;
	if (pv_page.upcall)
		pv_call(PV_CALL_EVENT_DELIVER, 0, 0, 0, 0);
}

static inline uintptr_t irq_save(void)
{
	uintptr_t was_on = !pv_page.mask;

	irq_disable();
	return was_on;
}

static inline void irq_restore(uintptr_t was_on)
{
	if (was_on)
		irq_enable();
}

/* Unmasks and waits in one. */
static inline void irq_wait(void)
{
	pv_call(PV_CALL_BLOCK_, 0, 0, 0, 0);
	irq_disable();
}

__attribute__((noreturn)) static inline void halt_forever(void)
{
	for (;;)
		pv_call(PV_CALL_SHUTDOWN_, 0, 0, 0, 0);
}

/* --- ports: they trap -------------------------------------------------------------------------- */

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

/* --- paging: pv.c ------------------------------------------------------------------------------- */

void pte_write(pte_t *entry, pte_t value);
void root_load(uintptr_t physical);
void tlb_flush_page(uintptr_t address);
void tlb_flush_all(void);
void updates_begin(void);
void updates_end(void);
void table_link(pte_t *entry, pte_t value, int level);
void table_unlink(pte_t *entry, int level);
void root_made(uintptr_t root);
void root_leaving(uintptr_t root);

static inline void tlb_flush_user(void)
{
	tlb_flush_all();
}

/* What a table holds, as vm.c understands it. */
static inline pte_t pte_read(const pte_t *entry)
{
	pte_t value = *(const volatile pte_t *)entry;

	return value & 1 ? value - pv_base : value;
}

static inline uintptr_t fault_address(void)
{
	return (uintptr_t)pv_page.cr2;
}

/* --- descriptor tables -------------------------------------------------------------------------- */

struct gate {
	uint32_t word[sizeof(uintptr_t) / 2];
};

void gdt_load(const void *table, unsigned bytes);
void idt_load(const void *table, unsigned bytes);
void idt_write(struct gate *gate, struct gate value);
void stack_set(uintptr_t *slot, uintptr_t top);

static inline void task_load(uint16_t selector)
{
	(void)selector;
}

/* --- the rest ----------------------------------------------------------------------------------- */

void msr_write(uint32_t msr, uint64_t v);	/* those of fast system calls only */

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

void *image_end(void);
void machine_end(uint32_t value);
bool irq_acknowledge(unsigned irq);
void irq_each(unsigned irq, void (*handler)(unsigned));
void tick_next(void);
void clock_start(uint32_t hz);

/* The measured loops' bodies.  Raising the priority threshold is a store to the ports' mask. */
#define OP_IN		"in $0x80, %%al"
#define OP_CLI_STI	"movb $1, pv_page\n\tmovb $0, pv_page\n\tcmpb $0, pv_page + 1\n\t" \
			"je 2f\n\tcall pv_op_deliver\n2:"
#define OP_CPUID	"xor %%eax, %%eax\n\tcpuid"
#define OP_RDTSC	"rdtsc"
#define OP_TPR		"mov %%eax, pv_page + 16"
#ifdef __x86_64__
#define OP_PTE_WRITE	"xor %%rcx, %%rax\n\tcall pv_op_pte_write"
#else
#define OP_PTE_WRITE	"xor %%ecx, %%eax\n\tcall pv_op_pte_write"
#endif

#endif /* __ASSEMBLER__ */
#endif
