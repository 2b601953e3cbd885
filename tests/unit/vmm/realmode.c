/* A guest in real mode that the hardware runs ("unrestricted guest"), and an exception that the VMM injects there: it has no error code. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "models/boot/image.h"
#include "models/machine.h"
#include "models/vmm/vmm.h"

enum { CODE = 0x2000, HANDLER = 0x3000, SEEN = 0x4000, STACK = 0x8000 };

static void bad_msr(const char *mmu)
{
	/* mov ecx, 0x12345678; rdmsr */
	static const uint8_t code[] = { 0x66, 0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x32, 0xf4 };
	/* mov [SEEN], sp; pop ax; mov [SEEN + 2], ax; cli; hlt */
	static const uint8_t handler[] = { 0x89, 0x26, 0x00, 0x40, 0x58, 0xa3, 0x02, 0x40, 0xfa, 0xf4 };
	struct machine_config k;
	struct err e = { "" };
	machine_config_defaults(&k);
	k.ram = 64 << 20;
	struct machine *m = machine_new(&k, &e);
	struct vm_config v = { .cpu = "vmx", .mmu = mmu, .vcpus = 1, .page_shift = 12, .tags = true, .ram = 16 << 20 };
	k.ram = 16 << 20;
	struct machine *vm = machine_vm(m, &k, &v, &e);
	cr_assert(vm != NULL, "%s", e.text);
	mem_write(&vm->mem, HPA(CODE), code, sizeof code);
	mem_write(&vm->mem, HPA(HANDLER), handler, sizeof handler);
	mem_write32(&vm->mem, HPA(4 * 13), HANDLER);
	entry_real(vm->cpu[0], 0, CODE);
	vm->cpu[0]->s.r[4] = STACK;     /* SP */
	cpu_restored(vm->cpu[0]);
	(void)machine_run(m, 1000000, 0);
	cr_expect_eq(m->vmm->vm[0]->refused[0], 0, "%s: %s", mmu, m->vmm->vm[0]->refused);
	cr_expect_eq(mem_read32(&vm->mem, HPA(SEEN)), (uint32_t)((CODE + 6) << 16 | (STACK - 6)), "%s: %#x", mmu, mem_read32(&vm->mem, HPA(SEEN)));
	machine_free(m);
}

Test(realmode_vm, an_injected_fault_pushes_no_error_code_under_ept) { bad_msr("ept"); }
Test(realmode_vm, an_injected_fault_pushes_no_error_code_under_agile) { bad_msr("agile"); }
Test(realmode_vm, an_injected_fault_pushes_no_error_code_when_interpreted) { bad_msr("shadow.wp"); }
