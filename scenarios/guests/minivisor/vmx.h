/* vmx.h - VMX in C: the instructions, and the names of what minivisor uses of VMCS fields, controls and exit reasons.
 * Source: SDM Vol. 3C, "VMX Instruction Reference"; Vol. 3D, "Field Encoding in VMCS", "VMX Basic Exit Reasons". */
#ifndef MINIVISOR_VMX_H
#define MINIVISOR_VMX_H

#include <stdbool.h>
#include <stdint.h>

enum {			/* model-specific registers */
	IA32_FEATURE_CONTROL = 0x3A, IA32_SYSENTER_CS = 0x174, IA32_VMX_BASIC = 0x480, IA32_VMX_CR0_FIXED0 = 0x486,
	IA32_VMX_CR0_FIXED1 = 0x487, IA32_VMX_CR4_FIXED0 = 0x488, IA32_VMX_CR4_FIXED1 = 0x489, IA32_VMX_PROCBASED_CTLS2 = 0x48B,
	IA32_VMX_EPT_VPID_CAP = 0x48C, IA32_VMX_TRUE_PINBASED_CTLS = 0x48D, IA32_VMX_TRUE_PROCBASED_CTLS = 0x48E,
	IA32_VMX_TRUE_EXIT_CTLS = 0x48F, IA32_VMX_TRUE_ENTRY_CTLS = 0x490, IA32_VMX_VMFUNC = 0x491,
};
#define IA32_EFER	0xC0000080u

enum {			/* VMCS fields */
	VPID = 0x0000, GUEST_ES = 0x0800, GUEST_TR = 0x080E, HOST_ES = 0x0C00, HOST_CS = 0x0C02, HOST_TR = 0x0C0C,
	IO_BITMAP_A = 0x2000, IO_BITMAP_B = 0x2002, MSR_BITMAPS = 0x2004, EPT_POINTER = 0x201A, GUEST_PHYSICAL = 0x2400,
	LINK_POINTER = 0x2800, GUEST_EFER = 0x2806, HOST_EFER = 0x2C02,
	PIN_CONTROLS = 0x4000, PROC_CONTROLS = 0x4002, EXIT_CONTROLS = 0x400C, ENTRY_CONTROLS = 0x4012, ENTRY_INTR_INFO = 0x4016,
	ENTRY_INTR_ERROR = 0x4018, ENTRY_INSN_LENGTH = 0x401A, PROC2_CONTROLS = 0x401E,
	INSN_ERROR = 0x4400, EXIT_REASON = 0x4402, EXIT_INTR_INFO = 0x4404, IDT_VECTORING = 0x4408, IDT_VECTORING_ERROR = 0x440A,
	EXIT_INSN_LENGTH = 0x440C, GUEST_ES_LIMIT = 0x4800, GUEST_GDTR_LIMIT = 0x4810, GUEST_IDTR_LIMIT = 0x4812,
	GUEST_ES_ACCESS = 0x4814, GUEST_INTERRUPTIBILITY = 0x4824, GUEST_ACTIVITY = 0x4826,
	CR0_MASK = 0x6000, CR4_MASK = 0x6002, CR0_SHADOW = 0x6004, CR4_SHADOW = 0x6006, EXIT_QUALIFICATION = 0x6400,
	GUEST_LINEAR = 0x640A, GUEST_CR0 = 0x6800, GUEST_CR3 = 0x6802, GUEST_CR4 = 0x6804, GUEST_ES_BASE = 0x6806, GUEST_DR7 = 0x681A,
	GUEST_RSP = 0x681C, GUEST_RIP = 0x681E, GUEST_RFLAGS = 0x6820,
	HOST_CR0 = 0x6C00, HOST_CR3 = 0x6C02, HOST_CR4 = 0x6C04, HOST_TR_BASE = 0x6C0A, HOST_GDTR_BASE = 0x6C0C,
	HOST_IDTR_BASE = 0x6C0E, HOST_RSP = 0x6C14, HOST_RIP = 0x6C16,
};
/* Segment registers in the order of their fields: field of ES + 2 * number. */
enum { ES, CS, SS, DS, FS, GS, LDTR, TR };

enum {			/* controls */
	PIN_EXTERNAL_INTERRUPT = 1 << 0,
	PROC_INTERRUPT_WINDOW = 1 << 2, PROC_HLT = 1 << 7, PROC_IO_BITMAPS = 1 << 25, PROC_MSR_BITMAPS = 1 << 28,
	PROC2_EPT = 1 << 1, PROC2_RDTSCP = 1 << 3, PROC2_VPID = 1 << 5, PROC2_UNRESTRICTED = 1 << 7, PROC2_INVPCID = 1 << 12,
	EXIT_HOST_64 = 1 << 9, EXIT_ACKNOWLEDGE = 1 << 15, EXIT_SAVE_EFER = 1 << 20, EXIT_LOAD_EFER = 1 << 21,
	ENTRY_LOAD_EFER = 1 << 15,
};
#define PROC_SECONDARY	0x80000000u

enum {			/* basic exit reasons */
	REASON_EXTERNAL_INTERRUPT = 1, REASON_TRIPLE_FAULT = 2, REASON_INTERRUPT_WINDOW = 7, REASON_CPUID = 10, REASON_HLT = 12,
	REASON_INVD = 13, REASON_VMCALL = 18, REASON_VMXON = 27, REASON_CR_ACCESS = 28, REASON_IO = 30, REASON_RDMSR = 31,
	REASON_WRMSR = 32, REASON_INVALID_STATE = 33, REASON_EPT_VIOLATION = 48, REASON_EPT_MISCONFIG = 49, REASONS = 70,
};

/* ---- instructions ---- */

/* CF = 1: VMfailInvalid, ZF = 1: VMfailValid. */
static inline bool vmxon(uint64_t region)
{
	bool failed;

	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region) : "memory");
	return !failed;
}

static inline bool vmclear(uint64_t region)
{
	bool failed;

	__asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(region) : "memory");
	return !failed;
}

static inline bool vmptrld(uint64_t region)
{
	bool failed;

	__asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(region) : "memory");
	return !failed;
}

static inline uint64_t vmread(uint32_t field)
{
	uint64_t v = 0;

	__asm__ volatile("vmread %1, %0" : "+r"(v) : "r"((uint64_t)field) : "cc");
	return v;
}

static inline void vmwrite(uint32_t field, uint64_t v)
{
	__asm__ volatile("vmwrite %1, %0" : : "r"((uint64_t)field), "r"(v) : "cc");
}

static inline uint64_t rdmsr(uint32_t nr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(nr));
	return (uint64_t)high << 32 | low;
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

#endif
