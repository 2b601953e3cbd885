/* cpu.c - the processor's own tables: GDT, TSS, IDT, and the MSRs of the fast system calls.
 * Sources: SDM Vol. 3A, "Segment Descriptors", "Task-State Segment (TSS)", "Interrupt Descriptor
 * Table (IDT)"; Vol. 2B, SYSENTER and SYSCALL. */
#include "kernel.h"

enum {
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	TSS_BYTES = 104,
	TSS_WORDS = (TSS_BYTES - 4 - sizeof(uintptr_t)) / 4,
};
#define MSR_STAR	0xC0000081
#define MSR_LSTAR	0xC0000082
#define MSR_FMASK	0xC0000084

/* Of the TSS only the kernel's stack is used; rest[0] is SS0 on IA-32, and the upper half of the
 * last word is the I/O bitmap's offset: behind the limit, so there is none.  The structure starts
 * 4 bytes before the TSS so that sp0 is aligned in both images; entry*.S finds it at tss + 8. */
struct tss {
	uint32_t before;
	uint32_t link;
	uintptr_t sp0;
	uint32_t rest[TSS_WORDS];
};

/* Accessed bits are set beforehand, so that the processor never writes a descriptor. */
#define FLAT_CODE32	0x00CF9B000000FFFFull
#define FLAT_CODE64	0x00AF9B000000FFFFull
#define FLAT_DATA	0x00CF93000000FFFFull
#define RING3		0x0000600000000000ull

static uint64_t gdt[] = {
	[SEL_KDATA / 8] = FLAT_DATA,
	[SEL_UDATA / 8] = FLAT_DATA | RING3,
#ifdef __x86_64__
	[SEL_KCODE / 8] = FLAT_CODE64,
	[SEL_UCODE / 8] = FLAT_CODE64 | RING3,
#else
	[SEL_KCODE / 8] = FLAT_CODE32,
	[SEL_UCODE / 8] = FLAT_CODE32 | RING3,
#endif
	[SEL_TSS / 8] = 0,
	[SEL_TSS / 8 + 1] = 0,		/* Intel 64: upper half of the TSS's address */
};

struct tss tss;
static struct gate idt[VECTORS];

extern char trap_stubs[];		/* 16 bytes each */
void entry_int80(void);
void entry_fast(void);
void skip_page_fault(void);
void skip_divide(void);

/* An interrupt gate: interrupts go off on the way in. */
static void gate_set(unsigned vector, uintptr_t handler, unsigned ring)
{
	struct gate g = { {
		SEL_KCODE << 16 | (uint32_t)(handler & 0xFFFF),
		(uint32_t)(handler & 0xFFFF0000) | 0x8E00 | ring << 13,
	} };

#ifdef __x86_64__
	g.word[2] = (uint32_t)(handler >> 32);
#endif
	idt_write(&idt[vector], g);
}

static void gate_default(unsigned vector)
{
	gate_set(vector, (uintptr_t)trap_stubs + 16 * vector, 0);
}

static void tss_init(void)
{
	uint64_t base = (uintptr_t)&tss.link;

	tss.rest[TSS_WORDS - 1] = TSS_BYTES << 16;
#ifdef __x86_64__
	gdt[SEL_TSS / 8 + 1] = base >> 32;
#else
	tss.rest[0] = SEL_KDATA;
#endif
	gdt[SEL_TSS / 8] = (TSS_BYTES - 1) | (base & 0xFFFFFF) << 16 |
			   0x0000890000000000ull | (base >> 24 & 0xFF) << 56;
}

static void fast_syscall_init(void)
{
#ifdef __x86_64__
	msr_write(MSR_STAR, (uint64_t)(SEL_KDATA | 3) << 48 | (uint64_t)SEL_KCODE << 32);
	msr_write(MSR_LSTAR, (uintptr_t)entry_fast);
	msr_write(MSR_FMASK, FLAGS_IF | 0x400 /* DF */ | 0x100 /* TF */);
#else
	if (!(cpuid(1).d & 1 << 11))
		panic("this processor has no SYSENTER");
	msr_write(MSR_SYSENTER_CS, SEL_KCODE);
	msr_write(MSR_SYSENTER_ESP, (uintptr_t)&tss.sp0);	/* it loads ESP from there */
	msr_write(MSR_SYSENTER_EIP, (uintptr_t)entry_fast);
#endif
}

void cpu_init(void)
{
	tss_init();
	gdt_load(gdt, sizeof(gdt));
	task_load(SEL_TSS);
	for (unsigned v = 0; v < VEC_IRQ + 16; v++)
		gate_default(v);
	gate_set(VEC_SYSCALL, (uintptr_t)entry_int80, 3);
	idt_load(idt, sizeof(idt));
	fast_syscall_init();
}

void cpu_stack_set(uintptr_t top)
{
	stack_set(&tss.sp0, top);
}

/* For the workloads pgfault and divzero: handlers that only step over the instruction. */
void cpu_trap_skip(bool on)
{
	if (on) {
		gate_set(VEC_PAGE_FAULT, (uintptr_t)skip_page_fault, 0);
		gate_set(VEC_DIVIDE, (uintptr_t)skip_divide, 0);
	} else {
		gate_default(VEC_PAGE_FAULT);
		gate_default(VEC_DIVIDE);
	}
}
