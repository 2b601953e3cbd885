/* task_switch.c - task switches of a 32-bit guest exit, after the checks that come before them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "tests/unit/vmx/fixture.h"

enum { GUEST_PD = AT_SPARE, GUEST_GDT = 0x314000, GUEST_TSS2 = 0x315000, GUEST_IDT = 0x316000, TSS_SEL = 0x48 };

static struct vmx_fixture *f;
static void put64(uint64_t pa, uint64_t v) { memcpy(fixture_at(f->f, pa), &v, sizeof v); }

/* 32-bit paging with 4 MB pages; a GDT with a second TSS; vector 30H is a task gate to it. */
static void set_up(void)
{
	f = vmx_fixture_new();
	for (uint32_t i = 0; i < FIXTURE_RAM >> 22; i++) {
		uint32_t pde = i << 22 | 0x83;
		memcpy(fixture_at(f->f, GUEST_PD + 4 * i), &pde, 4);
	}
	memcpy(fixture_at(f->f, GUEST_GDT), fixture_at(f->f, vmx_field(f, VMCS_GUEST_GDTR_BASE)), 0x40);
	put64(GUEST_GDT + TSS_SEL, 0x67 | (uint64_t)(GUEST_TSS2 & 0xffffff) << 16 | 0x89ull << 40);
	put64(GUEST_IDT + 8 * 0x30, (uint64_t)TSS_SEL << 16 | 0x85ull << 40);
	vmx_control(f, VMX_ENTRY_GUEST_64, false);
	vmx_control(f, VMX_ENTRY_LOAD_EFER, true);
	vmx_control(f, VMX_EXIT_LOAD_EFER, true);
	vmx_set_field(f, VMCS_GUEST_EFER, 0);
	vmx_set_field(f, VMCS_GUEST_CR3, GUEST_PD);
	vmx_set_field(f, VMCS_GUEST_CR4, CR4_VMXE | CR4_PSE);
	vmx_set_field(f, VMCS_GUEST_CS, 0x18);
	vmx_set_field(f, VMCS_GUEST_CS_ACCESS, 0xc09b);
	vmx_set_field(f, VMCS_GUEST_GDTR_BASE, GUEST_GDT);
	vmx_set_field(f, VMCS_GUEST_GDTR_LIMIT, TSS_SEL + 7);
	vmx_set_field(f, VMCS_GUEST_IDTR_BASE, GUEST_IDT);
	vmx_set_field(f, VMCS_GUEST_IDTR_LIMIT, 0x1ff);
	vmx_set_field(f, VMCS_EXCEPTION_BITMAP, 0xffffffff);
}
static void done(void) { vmx_fixture_free(f); }
TestSuite(vmx_task_switch, .init = set_up, .fini = done);

static void run(const uint8_t *code, unsigned n, uint64_t length, uint64_t source)
{
	vmx_run_code(f, code, n);
	cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_REASON), EXIT_TASK_SWITCH));
	cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_QUALIFICATION), TSS_SEL | source << 30));
	cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_INSN_LENGTH), length));
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_RIP), VMX_GUEST_CODE));
	cr_expect(eq(u64, vmx_field(f, VMCS_GUEST_TR), 0x40), "nothing has been switched");
}

Test(vmx_task_switch, by_jmp) { run((uint8_t[]){ 0xea, 0, 0, 0, 0, TSS_SEL, 0 }, 7, 7, 2); }
Test(vmx_task_switch, by_call) { run((uint8_t[]){ 0x9a, 0, 0, 0, 0, TSS_SEL, 0 }, 7, 7, 0); }
Test(vmx_task_switch, by_a_task_gate_in_the_idt)
{
	run((uint8_t[]){ 0xcd, 0x30 }, 2, 2, 3);
	cr_expect(eq(u64, vmx_field(f, VMCS_IDT_VECTORING), 0x80000430), "INT n was being delivered");
}
Test(vmx_task_switch, a_busy_tss_faults_first)
{
	put64(GUEST_GDT + TSS_SEL, 0x67 | (uint64_t)(GUEST_TSS2 & 0xffffff) << 16 | 0x8bull << 40);
	vmx_run_code(f, (uint8_t[]){ 0xea, 0, 0, 0, 0, TSS_SEL, 0 }, 7);
	cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_REASON), EXIT_EXCEPTION));
	cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_INTR_INFO) & 0xff, VEC_GP));
	cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_INTR_ERROR), TSS_SEL));
}
Test(vmx_task_switch, a_short_tss_faults_first)
{
	put64(GUEST_GDT + TSS_SEL, 0x66 | (uint64_t)(GUEST_TSS2 & 0xffffff) << 16 | 0x89ull << 40);
	vmx_run_code(f, (uint8_t[]){ 0xea, 0, 0, 0, 0, TSS_SEL, 0 }, 7);
	cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_REASON), EXIT_EXCEPTION));
	cr_expect(eq(u64, vmx_field(f, VMCS_EXIT_INTR_INFO) & 0xff, VEC_TS));
}
