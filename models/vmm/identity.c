/* identity.c - EPT without "unrestricted guest": a guest without paging, behind its back, with it.
 *
 * There VM entry wants CR0.PE and CR0.PG. Real mode is interpreted (interpret.c); in protected mode without paging the hardware gets a
 * page directory of 4-MByte pages that maps every linear address to itself. The VMM keeps it in its own memory, mapped where the guest
 * has neither RAM nor a device, as KVM does (its identity_map_addr). While the guest believes paging off, MOV to and from CR3 exit
 * and CR3, CR4.PAE, CR4.PSE and EFER.LME are kept for it (s.cr3, read shadows, s.efer); with paging on the guest has its own CR3.
 * Profile with this: Nehalem, the first with EPT.
 * Source: SDM Vol. 3C, "Restrictions on VMX Operation" (CR0.PE, CR0.PG); "Checks on Guest Control Registers, Debug Registers, and MSRs".
 * Timing: the VMWRITEs; the page directory is made when the VM is. */
#include "models/vmm/exit.h"

#include "models/cpu/sys.h"

#define DIRECTORY_GPA 0xfffbc000ull     /* between the local APICs and the firmware: nothing is there */
#define PDE           0xe7ull           /* present, writable, user, accessed, dirty, 4 MBytes */

#define EPT_RWX 7ull
#define EPT_WB  (6ull << 3)

/* A path of its own through the EPT: its tables are made with the VM. */
void identity_init(struct vm *vm, hpa_t root)
{
	struct mem *m = vm->vmm->p.mem;
	hpa_t directory = vmm_page(vm->vmm);
	uint64_t table = root.v;
	for (unsigned i = 0; i < 1024; i++)
		mem_write32(m, HPA(directory.v + 4 * i), (uint32_t)(i << 22 | PDE));
	for (unsigned shift = 39; shift > 12; shift -= 9) {
		hpa_t next = vmm_page(vm->vmm);
		mem_write64(m, HPA(table + (DIRECTORY_GPA >> shift & 511) * 8), next.v | EPT_RWX);
		table = next.v;
	}
	mem_write64(m, HPA(table + (DIRECTORY_GPA >> 12 & 511) * 8), directory.v | EPT_RWX | EPT_WB);
}

void identity_load(struct vcpu *v)
{
	const struct vcpu_state *s = &v->s;
	const uint64_t exits = VMX_CTL(CR3_LOAD_EXITING) | VMX_CTL(CR3_STORE_EXITING);
	bool paging = s->cr0 & CR0_PG, lma = s->efer & EFER_LMA;
	uint64_t proc = vcpu_get(v, VMCS_PROC_CONTROLS) & ~exits, entry = vcpu_get(v, VMCS_ENTRY_CONTROLS) & ~VMX_CTL(ENTRY_GUEST_64);
	uint64_t cr4 = paging ? s->cr4 : (s->cr4 & ~(uint64_t)CR4_PAE) | CR4_PSE;
	vcpu_set(v, VMCS_CR0_SHADOW, s->cr0);
	vcpu_set(v, VMCS_CR4_SHADOW, s->cr4);
	vcpu_set(v, VMCS_GUEST_CR0, s->cr0 | CR0_NE | CR0_PE | CR0_PG);
	vcpu_set(v, VMCS_GUEST_CR4, cr4 | CR4_VMXE);
	vcpu_set(v, VMCS_GUEST_CR3, paging ? s->cr3 : DIRECTORY_GPA);
	/* "if CR0.PG is 1, LME must be LMA" */
	vcpu_set(v, VMCS_GUEST_EFER, paging ? s->efer : s->efer & ~(uint64_t)EFER_LME);
	vcpu_set(v, VMCS_ENTRY_CONTROLS, entry | (lma ? VMX_CTL(ENTRY_GUEST_64) : 0));
	vcpu_set(v, VMCS_PROC_CONTROLS, paging ? proc : proc | exits);
}
