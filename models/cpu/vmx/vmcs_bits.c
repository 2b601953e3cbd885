/* vmcs_bits.c - the named bits of VMCS fields: controls by control.def, registers as the CPU's own fields name them, and
 * the few formats that exist in a VMCS alone.
 * Source: SDM Vol. 3C, "Guest Non-Register State", "VM-Entry Controls for Event Injection", "Extended-Page-Table Pointer". */
#include <string.h>

#include "models/cpu/vmx/vmx.h"

#define END { 0, 0, NULL, NULL }

/* One array of bits a word of controls: rows of other words vanish. */
#define ROW(bit, name, sentence) { bit, bit, name, sentence },
#define CONTROL(WORD, NAME, bit, since, name, sentence) WORD##_(bit, name, sentence)
#define PIN_(bit, name, sentence) ROW(bit, name, sentence)
#define PROC_(bit, name, sentence)
#define PROC2_(bit, name, sentence)
#define EXIT_(bit, name, sentence)
#define ENTRY_(bit, name, sentence)
static const struct field_bits pin_bits[] = {
#include "models/cpu/vmx/control.def"
	END
};
#undef PIN_
#undef PROC_
#define PIN_(bit, name, sentence)
#define PROC_(bit, name, sentence) ROW(bit, name, sentence)
#define CONTROL(WORD, NAME, bit, since, name, sentence) WORD##_(bit, name, sentence)
static const struct field_bits proc_bits[] = {
#include "models/cpu/vmx/control.def"
	END
};
#undef PROC_
#undef PROC2_
#define PROC_(bit, name, sentence)
#define PROC2_(bit, name, sentence) ROW(bit, name, sentence)
#define CONTROL(WORD, NAME, bit, since, name, sentence) WORD##_(bit, name, sentence)
static const struct field_bits proc2_bits[] = {
#include "models/cpu/vmx/control.def"
	END
};
#undef PROC2_
#undef EXIT_
#define PROC2_(bit, name, sentence)
#define EXIT_(bit, name, sentence) ROW(bit, name, sentence)
#define CONTROL(WORD, NAME, bit, since, name, sentence) WORD##_(bit, name, sentence)
static const struct field_bits exit_bits[] = {
#include "models/cpu/vmx/control.def"
	END
};
#undef EXIT_
#undef ENTRY_
#define EXIT_(bit, name, sentence)
#define ENTRY_(bit, name, sentence) ROW(bit, name, sentence)
#define CONTROL(WORD, NAME, bit, since, name, sentence) WORD##_(bit, name, sentence)
static const struct field_bits entry_bits[] = {
#include "models/cpu/vmx/control.def"
	{ 10, 10, "entry_to_smm", "system-management mode: not modelled" },
	{ 11, 11, "deactivate_dual_monitor", "dual-monitor treatment: not modelled" },
	END
};

static const struct field_bits event_bits[] = {
	{ 7, 0, "vector", "vector" }, { 10, 8, "type", "0 external, 2 NMI, 3 hardware exception, 4 software interrupt, 5 INT1, 6 INT3 or INTO, 7 other" },
	{ 11, 11, "error_code", "an error code goes with it" }, { 12, 12, "nmi_unblocking", "reported, never injected" },
	{ 31, 31, "valid", "there is an event" }, END
};
static const struct field_bits interruptibility_bits[] = {
	{ 0, 0, "sti", "blocking by STI" }, { 1, 1, "mov_ss", "blocking by MOV SS" }, { 2, 2, "smi", "blocking by SMI" },
	{ 3, 3, "nmi", "blocking by NMI" }, { 4, 4, "enclave", "enclave interruption" }, END
};
static const struct field_bits pending_debug_bits[] = {
	{ 0, 0, "b0", "breakpoint 0 met" }, { 1, 1, "b1", "breakpoint 1 met" }, { 2, 2, "b2", "breakpoint 2 met" }, { 3, 3, "b3", "breakpoint 3 met" },
	{ 12, 12, "enabled", "an enabled breakpoint was met" }, { 14, 14, "bs", "single step" }, { 16, 16, "rtm", "in a transaction" }, END
};
static const struct field_bits eptp_bits[] = {
	{ 2, 0, "type", "memory type of the tables: 0 UC, 6 WB" }, { 5, 3, "walk", "levels less 1" }, { 6, 6, "ad", "accessed and dirty flags" },
	{ 7, 7, "sss", "supervisor shadow-stack control" }, END
};
static const struct field_bits reason_bits[] = {
	{ 15, 0, "basic", "basic exit reason" }, { 28, 28, "mtf", "pending MTF VM exit" }, { 29, 29, "root", "from VMX root operation" },
	{ 31, 31, "entry_failure", "VM entry failed" }, END
};

static const struct field_bits *of_cpu_field(const char *name)
{
	for (size_t i = 0; i < cpu_fields_n; i++)
		if (strcmp(cpu_fields[i].name, name) == 0)
			return cpu_fields[i].bits;
	return NULL;
}

const struct field_bits *vmcs_bits(enum vmcs_field f)
{
	switch (f) {
	case VMCS_PIN_CONTROLS:           return pin_bits;
	case VMCS_PROC_CONTROLS:          return proc_bits;
	case VMCS_PROC2_CONTROLS:         return proc2_bits;
	case VMCS_EXIT_CONTROLS:          return exit_bits;
	case VMCS_ENTRY_CONTROLS:         return entry_bits;
	case VMCS_ENTRY_INTR_INFO:
	case VMCS_EXIT_INTR_INFO:
	case VMCS_IDT_VECTORING:          return event_bits;
	case VMCS_GUEST_INTERRUPTIBILITY: return interruptibility_bits;
	case VMCS_GUEST_PENDING_DEBUG:    return pending_debug_bits;
	case VMCS_EPTP:                   return eptp_bits;
	case VMCS_EXIT_REASON:            return reason_bits;
	case VMCS_GUEST_CR0: case VMCS_HOST_CR0: case VMCS_CR0_MASK: case VMCS_CR0_SHADOW: return of_cpu_field("cr0");
	case VMCS_GUEST_CR4: case VMCS_HOST_CR4: case VMCS_CR4_MASK: case VMCS_CR4_SHADOW: return of_cpu_field("cr4");
	case VMCS_GUEST_EFER: case VMCS_HOST_EFER: return of_cpu_field("efer");
	case VMCS_GUEST_S_CET: case VMCS_HOST_S_CET: return of_cpu_field("s_cet");
	case VMCS_GUEST_RFLAGS:           return of_cpu_field("rflags");
	case VMCS_GUEST_DR7:              return of_cpu_field("dr7");
	default:
		return f >= VMCS_GUEST_ES_ACCESS && f <= VMCS_GUEST_TR_ACCESS ? of_cpu_field("cs.attr") : NULL;
	}
}
