/* corner.c - the VMM's corner of every linear address space: which host-physical page lies where in it, and its page tables.
 *
 * Each VM has one set of tables, whatever its mode and however many shadow roots it has:
 *
 *   vm->corner + 0   PDPT   entry 0: PD                     } Intel 64: PML4 entry 256 leads here
 *              + 1   PD     entries 0, 1: the PTs           }
 *              + 2   PD     entries 510, 511: the PTs       IA-32, where a guest has nothing in its last gigabyte
 *              + 3   PTs    512 pages each
 *
 * Who may reach what, by the U/S bits of entries of both ends together (SDM Vol. 3A, "Determination of Access Rights"):
 *
 *                      PTE   Intel 64, root of the guest's kernel   of its user   IA-32
 *   the VMM's pages     S                 S                            S            S   (segments stop ring 1)
 *   the VM's own        U                 U                            S            S
 *   entry above                           U                            S            S
 *
 * The VMM's own pages are the same for all its VMs, and global: a change of the address space keeps their translations.
 * Where a page is is read from these tables; there is no other record. Memory is never given back.
 * Timing: none: a VMM makes its corner before the VM runs, and who adds a page then charges what that takes. */
#include "models/vmm/ring/corner.h"

#include "models/mmu/pte.h"

#define TABLES 5
#define PLAIN  (PTE_P | PTE_RW | PTE_A)

static hpa_t pte_at(const struct vm *vm, unsigned page) { return HPA(vm->corner.v + 3 * PAGE_SIZE + page * 8); }

static struct mem *host(const struct vm *vm) { return vm->vmm->p.mem; }

hpa_t ring_page_hpa(const struct vm *vm, unsigned page)
{
	if (!vm->corner.v || page >= RING_PAGES)
		return HPA(0);
	uint64_t entry = mem_read64(host(vm), pte_at(vm, page));
	return HPA(entry & PTE_P ? entry & MASK(52) & PAGE_MASK : 0);
}

/* A page that is there already stays. */
static int put(struct vm *vm, unsigned page, uint64_t rights)
{
	if (ring_page_hpa(vm, page).v)
		return 0;
	hpa_t at = vmm_page(vm->vmm);
	if (!at.v)
		return -1;
	mem_write64(host(vm), pte_at(vm, page), at.v | PLAIN | PTE_D | rights);
	return 0;
}

int ring_page_add(struct vm *vm, unsigned page)
{
	if (!vm->corner.v || page < RING_SHARED || page >= RING_PAGES)
		return -1;
	return put(vm, page, PTE_US);
}

uint64_t ring_page_lin(const struct vcpu *v, unsigned page)
{
	return (v->s.efer & EFER_LMA ? RING_CORNER_64 : RING_CORNER_32) + (uint64_t)page * PAGE_SIZE;
}

/* The first VM's pages of the VMM's own are everybody's. */
static int own_pages(struct vm *vm)
{
	struct vmm *m = vm->vmm;
	if (m->vms) {
		for (unsigned page = 0; page < RING_SHARED; page++)
			mem_write64(host(vm), pte_at(vm, page), mem_read64(host(vm), pte_at(m->vm[0], page)));
		return 0;
	}
	int bad = put(vm, RING_STUBS, PTE_G) | put(vm, RING_IDT, PTE_G);
	for (unsigned i = 0; i < m->p.cpus; i++) {
		for (unsigned k = 0; k < 4; k++)
			bad |= put(vm, RING_CPU + 4 * i + k, PTE_G);
		for (unsigned k = 0; k < 16; k++)
			bad |= put(vm, RING_GDT + 16 * i + k, PTE_G);
	}
	return bad;
}

int ring_corner_make(struct vm *vm, struct err *e)
{
	hpa_t table[TABLES];
	if (vm->corner.v)
		return 0;
	for (unsigned i = 0; i < TABLES; i++)
		if (!(table[i] = vmm_page(vm->vmm)).v)
			return err_set(e, vm->config.name, "give the machine more memory",
			               "no memory is left for the VMM's corner of the guest's address space");
	struct mem *m = host(vm);
	vm->corner = table[0];          /* pages of the heap follow each other */
	mem_write64(m, table[0], table[1].v | PLAIN | PTE_US);
	for (unsigned i = 0; i < 2; i++) {
		mem_write64(m, HPA(table[1].v + 8 * i), table[3 + i].v | PLAIN | PTE_US);
		mem_write64(m, HPA(table[2].v + 8 * (RING_PD_SLOT + i)), ring_corner_pde(vm, i));
	}
	if (own_pages(vm))
		return err_set(e, vm->config.name, "give the machine more memory", "no memory is left for the VMM's own pages");
	return 0;
}

uint64_t ring_corner_pml4e(const struct vm *vm, bool kernel)
{
	return vm->corner.v | PLAIN | RING_ENTRY | (kernel ? PTE_US : 0);
}

uint64_t ring_corner_pdpte(const struct vm *vm) { return (vm->corner.v + 2 * PAGE_SIZE) | PTE_P | RING_ENTRY; }

uint64_t ring_corner_pde(const struct vm *vm, unsigned i) { return (vm->corner.v + (3 + i) * PAGE_SIZE) | PLAIN | RING_ENTRY; }

bool ring_corner_has(const struct vcpu *v, uint64_t lin)
{
	if (v->s.efer & EFER_LMA)
		return BITS(lin, 47, 39) == RING_PML4_SLOT;
	return lin >= RING_CORNER_32 && lin >> 32 == 0;
}
