/* fixture.h - a CPU in VMX root operation with one VMCS, its guest 64-bit on the host's own page tables.
 *
 *     struct vmx_fixture *f = vmx_fixture_new();
 *     vmx_guest_code(f, (uint8_t[]){ 0x0f, 0xa2 }, 2);                cpuid
 *     cr_assert(eq(u32, vmx_run(f), EXIT_CPUID));
 *     cr_assert(eq(u64, vmx_field(f, VMCS_EXIT_INSN_LENGTH), 2));
 *
 * Beyond tests/unit/cpu/fixture.h's memory: the guest's code at VMX_GUEST_CODE, its stack below VMX_GUEST_STACK; regions and
 * bitmaps at the addresses below; HOST_RIP is a HLT. The guest has the host's GDT, IDT and TSS. */
#ifndef TESTS_VMX_FIXTURE_H
#define TESTS_VMX_FIXTURE_H

#include "models/cpu/vmx/vmx.h"
#include "tests/unit/cpu/fixture.h"

enum {
	VMX_GUEST_CODE = 0x400000, VMX_GUEST_STACK = 0x420000, VMX_GUEST_DATA = 0x430000, VMX_HOST_RIP = 0x9000,
	AT_VMXON = 0x300000, AT_VMCS = 0x301000, AT_VMCS2 = 0x302000, AT_SHADOW_VMCS = 0x303000, AT_IO_A = 0x304000,
	AT_IO_B = 0x305000, AT_MSR_BITMAPS = 0x306000, AT_VMREAD_BITMAP = 0x307000, AT_VMWRITE_BITMAP = 0x308000,
	AT_VIRTUAL_APIC = 0x309000, AT_APIC_ACCESS = 0x30a000, AT_EPTP_LIST = 0x30b000, AT_MSR_AREA = 0x30c000,
	AT_PML = 0x30d000, AT_VE_INFO = 0x30e000, AT_POSTED = 0x30f000,
	AT_EPT_PML4 = 0x310000, AT_EPT_PDPT = 0x311000, AT_EPT_PD = 0x312000, AT_SPARE = 0x313000,
};

struct vmx_fixture {
	struct fixture *f;
	struct cpu *c;
	bool launched;
	unsigned error;                 /* VM-instruction error of the last entry, 0: none */
};

struct vmx_fixture *vmx_fixture_bare(void);     /* 64-bit mode, CR4.VMXE set, regions' revisions written; outside VMX operation */
struct vmx_fixture *vmx_fixture_new(void);      /* in root operation, the VMCS current and ready for VMLAUNCH */
void vmx_fixture_free(struct vmx_fixture *f);
void vmx_guest_code(struct vmx_fixture *f, const void *bytes, unsigned n);      /* and GUEST_RIP before it */
/* VMLAUNCH or VMRESUME and run until the host's HLT: the exit reason with its upper bits, or VMX_NO_ENTRY. */
enum { VMX_NO_ENTRY = 0xffff };
uint32_t vmx_run(struct vmx_fixture *f);
uint32_t vmx_run_code(struct vmx_fixture *f, const void *bytes, unsigned n);    /* both */
void vmx_identity_ept(struct vmx_fixture *f);   /* EPT with 2 MB pages for all RAM, "enable EPT" on */

/* Fields of the current VMCS, whoever runs. */
static inline uint64_t vmx_field(const struct vmx_fixture *f, enum vmcs_field n) { return f->c->vmcs->f[n]; }
static inline void vmx_set_field(struct vmx_fixture *f, enum vmcs_field n, uint64_t v) { f->c->vmcs->f[n] = v; }
/* Controls by name; secondary ones are activated as needed. */
void vmx_control(struct vmx_fixture *f, enum vmx_control n, bool on);

/* Code in root operation, at FIXTURE_CODE: as fixture_run(). */
int vmx_root_code(struct vmx_fixture *f, const void *bytes, unsigned n, uint64_t count);

#endif
