/* ept.c - the pager "ept": a VM's memory mapped by extended page tables.
 *
 * Tables of four levels in the VMM's memory, write-back, no accessed and dirty flags. An entry is made at the first violation, or all of
 * them at the start; its page is the largest that config.page_shift and the CPU allow and that is RAM throughout, so the piece around
 * the VGA window is mapped by 4-KByte pages. What is not RAM stays unmapped: every access to a device exits.
 * Source: SDM Vol. 3C, "The Extended Page Table Mechanism (EPT)".
 * Timing: EPT_MAP, EPT_LEVEL and a reference a level, EPT_TABLE for each new table. */
#include "models/vmm/vmm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPT_RWX      7ull
#define EPT_WB       (6ull << 3)
#define EPT_LARGE    BIT(7)
#define EPTP_4_LEVEL (3ull << 3)
#define EPTP_WB      6ull
#define ADDRESS      (MASK(52) & PAGE_MASK)

struct ept { uint64_t root, pages, apic; };     /* plain; pages: tables there are; apic: the APIC-access page, 0: none */
#define APIC_GPA     0xfee00000ull

static bool ept_valid(void *who, const void *state)
{
	const struct vm *vm = who;
	struct ept s;
	memcpy(&s, state, sizeof s);
	return !(s.root % PAGE_SIZE) && !(s.apic % PAGE_SIZE) && s.apic < vm->vmm->p.mem->low_size && s.root < vm->vmm->p.mem->low_size;
}

static int ept_vm_init(struct vm *vm, struct err *e)
{
	struct ept *t = xcalloc(1, sizeof *t);
	char name[24];
	(void)e;
	t->root = vmm_page(vm->vmm).v;
	t->apic = vmx_may_be(vm->vmm->p.cpu[0], VMX_VIRTUALIZE_APIC) ? vmm_page(vm->vmm).v : 0;
	t->pages = 1;
	vm->paging = t;
	vm->stat[VMM_STAT_EPT_BYTES] = PAGE_SIZE;
	if (vm_restricted(vm, vm->vmm->p.cpu[0])) {
		identity_init(vm, HPA(t->root));
		t->pages += 4;
		vm->stat[VMM_STAT_EPT_BYTES] += 4 * PAGE_SIZE;
	}
	snprintf(name, sizeof name, "vm%u.ept", vm->number);
	snaps_section(vm->vmm->p.snaps, name, 1, t, sizeof *t);
	snaps_valid(vm->vmm->p.snaps, name, ept_valid, vm);
	return 0;
}

static void ept_fini(struct vm *vm) { free(vm->paging); }

/* ---- building ---- */

/* Is the page of that size around gpa RAM throughout, and in one piece? */
static bool whole(const struct vm *vm, uint64_t gpa, unsigned shift)
{
	uint64_t size = 1ull << shift, first = gpa & ~(size - 1);
	int64_t a = mem_offset(&vm->mem, HPA(first)), b = mem_offset(&vm->mem, HPA(first + size - 1));
	bool vga = shift > PAGE_SHIFT && first < 0x100000;
	return a >= 0 && b >= 0 && (uint64_t)(b - a) == size - 1 && !vga && !((vm->base.v + (uint64_t)a) & (size - 1));
}

unsigned ept_largest(const struct vcpu *v, uint64_t gpa)
{
	uint64_t cap = vmx_ept_vpid_cap(v->cpu);
	if (v->vm->config.page_shift >= 30 && cap & EPT_CAP_1G && whole(v->vm, gpa, 30))
		return 30;
	if (v->vm->config.page_shift >= 21 && cap & EPT_CAP_2M && whole(v->vm, gpa, 21))
		return 21;
	return 12;
}

static uint64_t get(struct vcpu *v, uint64_t at)
{
	vmm_cost(v->cpu, VMM_COST_EPT_LEVEL);
	return mmu_phys_read(&v->cpu->mmu, HPA(at), 8, WHY_EXIT_SERVICE);
}

static void put(struct vcpu *v, uint64_t at, uint64_t x) { mmu_phys_write(&v->cpu->mmu, HPA(at), 8, x, WHY_EXIT_SERVICE); }

/* A cleared page: 64 lines are written. 0: there is none. */
static uint64_t new_table(struct vcpu *v)
{
	struct ept *t = v->vm->paging;
	uint64_t page = vmm_page(v->vm->vmm).v;
	if (!page)
		return 0;
	vmm_cost(v->cpu, VMM_COST_EPT_TABLE);
	for (unsigned i = 0; i < PAGE_SIZE; i += 64)
		put(v, page + i, 0);
	t->pages++;
	v->vm->stat[VMM_STAT_EPT_BYTES] += PAGE_SIZE;
	return page;
}

static bool map(struct vcpu *v, uint64_t gpa)
{
	const struct ept *t = v->vm->paging;
	const bool apic = gpa >> PAGE_SHIFT == APIC_GPA >> PAGE_SHIFT;
	unsigned shift = apic ? PAGE_SHIFT : ept_largest(v, gpa);
	uint64_t page = gpa & ~MASK(shift), table = t->root;
	hpa_t hpa;
	vmm_cost(v->cpu, VMM_COST_EPT_MAP);
	for (unsigned s = 39; s > shift; s -= 9) {
		uint64_t at = table + (gpa >> s & 511) * 8, entry = get(v, at);
		if (!(entry & EPT_RWX)) {
			uint64_t new = new_table(v);
			if (!new)
				return false;
			entry = new | EPT_RWX;
			put(v, at, entry);
		} else if (entry & EPT_LARGE && s < 39) {
			return true;            /* another virtual CPU's violation has mapped it */
		}
		table = entry & ADDRESS;
	}
	hpa = HPA(t->apic);
	if (!apic)
		vm_gpa_to_hpa(v->vm, GPA(page), &hpa);
	put(v, table + (gpa >> shift & 511) * 8, hpa.v | EPT_RWX | EPT_WB | (shift > 12 ? EPT_LARGE : 0));
	v->vm->stat[VMM_STAT_EPT_FILLS]++;
	trace(v->cpu->trace, v->cpu->ledger.now, v->cpu->number, VMM_TRACE_EPT_MAP, v->vm->number, page, hpa.v, 1ull << shift);
	return true;
}

static enum paged ept_violation(struct vcpu *v, gpa_t gpa, uint64_t qualification)
{
	(void)qualification;
	bool apic = gpa.v >> PAGE_SHIFT == APIC_GPA >> PAGE_SHIFT && (v->s.apicv == APICV_ACCESS || v->s.apicv == APICV_FULL);
	if (!apic && mem_offset(&v->vm->mem, HPA(gpa.v)) < 0)
		return PAGED_EMULATE;
	if (!map(v, gpa.v))
		vcpu_refuse(v, "the VMM's memory is used up: give the machine more");
	return PAGED_FIXED;
}

/* ---- the local APIC's page ---- */

uint64_t ept_apic_page(const struct vm *vm)
{
	const struct ept *t = vm->paging;
	return t->apic;
}

void ept_apic_unmap(struct vcpu *v)
{
	struct ept *t = v->vm->paging;
	uint64_t table = t->root, at = 0;
	if (!t->apic)
		return;
	t->apic = 0;
	for (unsigned s = 39; s >= 12; s -= 9) {
		at = table + (APIC_GPA >> s & 511) * 8;
		uint64_t entry = get(v, at);
		if (!(entry & EPT_RWX))
			return;
		table = entry & ADDRESS;
	}
	put(v, at, 0);
	for (unsigned i = 0; i < v->vm->config.vcpus; i++) {
		struct vcpu *other = v->vm->vcpu[i];
		if (other == v) {
			vmx_root_invept(v->cpu, INVEPT_SINGLE, t->root | EPTP_4_LEVEL | EPTP_WB);
			continue;
		}
		vmm_cost(v->cpu, VMM_COST_SHADOW_REMOTE);
		mmu_flush_all(&other->cpu->mmu);
	}
}

static void map_all(struct vcpu *v)
{
	const struct mem *m = &v->vm->mem;
	uint64_t high = m->ram_size - m->low_size;
	const struct { uint64_t from, to; } pieces[] = {
		{ 0, m->low_size }, { MEM_HIGH, MEM_HIGH + high },
	};
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
		for (uint64_t at = pieces[i].from; at < pieces[i].to;) {
			if (mem_offset(m, HPA(at)) < 0) {
				at += PAGE_SIZE;
				continue;
			}
			if (!map(v, at))
				return;         /* the guest's violations will say so */
			at = (at & ~MASK(ept_largest(v, at))) + (1ull << ept_largest(v, at));
		}
}

static void ept_vcpu_init(struct vcpu *v)
{
	const struct ept *t = v->vm->paging;
	uint64_t want = VMX_CTL(ENABLE_EPT) | (vmx_may_be(v->cpu, VMX_UNRESTRICTED) ? VMX_CTL(UNRESTRICTED) : 0);
	vcpu_set(v, VMCS_PROC2_CONTROLS, vcpu_get(v, VMCS_PROC2_CONTROLS) | want);
	vcpu_set(v, VMCS_EPTP, t->root | EPTP_4_LEVEL | EPTP_WB);
	if (v->vm->config.eager && v->number == 0)
		map_all(v);
}

static uint64_t ept_memory(const struct vm *vm)
{
	const struct ept *t = vm->paging;
	return t->pages * PAGE_SIZE;
}

const struct pager pager_ept = {
	.name = "ept", .vm_init = ept_vm_init, .vcpu_init = ept_vcpu_init, .fini = ept_fini, .ept_violation = ept_violation,
	.memory = ept_memory,
};
