/* corner.c - the VMM's corner: its pages, the same for all VMs or a VM's own, and what becomes of a guest that wants that place. */
#include "models/vmm/ring/corner.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/mmu/pte.h"
#include "tests/unit/cpu/fixture.h"
#include "tests/unit/vmm/standin.h"

#define BASE   0x200000u
#define MEMORY 0x400000u
#define TABLES 0x700000u
#define HEAP   0xb00000u
#define CR3    0x10000u

struct corner_rig {
	struct fixture *f;
	struct standin s;
	struct vmm vmm;
	struct vm second;
};

static uint64_t record_get(struct vcpu *v, enum vmcs_field f) { return v->cpu->vmcs->f[f]; }
static void record_set(struct vcpu *v, enum vmcs_field f, uint64_t x) { v->cpu->vmcs->f[f] = x; }
static uint64_t record_peek(const struct vcpu *v, enum vmcs_field f) { return v->cpu->vmcs->f[f]; }
static bool record_has(const struct vcpu *v, enum vmcs_field f) { return (void)v, (void)f, true; }
static bool record_in_guest(const struct vcpu *v) { return v->number == 1; }
static void record_flush(struct vcpu *v, enum invvpid_type type, uint64_t lin) { (void)v, (void)type, (void)lin; }
static const struct virt record = { .name = "record", .ring = true, .get = record_get, .set = record_set, .peek = record_peek,
                                    .has = record_has, .flush = record_flush, .in_guest = record_in_guest };

static struct corner_rig *rig_new(uint64_t heap_end)
{
	struct corner_rig *g = calloc(1, sizeof *g);
	g->f = fixture_new(FIXTURE_LONG64);
	standin_init(&g->s, g->f->cpu);
	g->vmm.p = (struct vmm_parts){ .mem = &g->f->mem, .cpu = &g->f->cpu, .cpus = 1 };
	g->vmm.s.heap = HEAP;
	g->vmm.s.low = heap_end;
	struct vm *vm = &g->s.vm;
	vm->vmm = &g->vmm;
	vm->virt = &record;
	vm->base = HPA(BASE);
	vm->tables = HPA(TABLES);
	vm->mem.ram = g->f->mem.ram + BASE;
	vm->mem.ram_size = vm->mem.low_size = MEMORY;
	vm->config.ram = MEMORY;
	vm->config.page_shift = 12;
	return g;
}

static void rig_free(struct corner_rig *g)
{
	fixture_free(g->f);
	free(g);
}

Test(corner, the_vmms_pages_are_everybodys_and_a_vms_own_are_not)
{
	struct corner_rig *g = rig_new(FIXTURE_RAM);
	struct err e = { "" };
	struct vm *a = &g->s.vm, *b = &g->second;
	*b = *a;
	cr_assert(eq(int, ring_corner_make(a, &e), 0), "%s", e.text);
	g->vmm.vm[g->vmm.vms++] = a;
	cr_assert(eq(int, ring_corner_make(b, &e), 0), "%s", e.text);
	cr_expect(ne(u64, a->corner.v, b->corner.v));
	const unsigned own[] = { RING_STUBS, RING_IDT, RING_CPU, RING_CPU + 3, RING_GDT, RING_GDT + 15 };
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		cr_expect(ne(u64, ring_page_hpa(a, own[i]).v, 0), "page %u", own[i]);
		cr_expect(eq(u64, ring_page_hpa(a, own[i]).v, ring_page_hpa(b, own[i]).v), "page %u", own[i]);
	}
	cr_expect(eq(u64, ring_page_hpa(a, RING_CPU + 4).v, 0), "there is no second CPU");
	cr_expect(eq(u64, ring_page_hpa(a, RING_CODE).v, 0));
	cr_expect(eq(int, ring_page_add(a, RING_CODE), 0));
	hpa_t page = ring_page_hpa(a, RING_CODE);
	cr_expect(ne(u64, page.v, 0));
	cr_expect(eq(u64, ring_page_hpa(b, RING_CODE).v, 0));
	cr_expect(eq(int, ring_page_add(a, RING_CODE), 0), "again: the same");
	cr_expect(eq(u64, ring_page_hpa(a, RING_CODE).v, page.v));
	cr_expect(eq(int, ring_page_add(a, RING_PAGES - 1), 0));
	rig_free(g);
}

Test(corner, only_a_vms_own_pages_are_added)
{
	struct corner_rig *g = rig_new(FIXTURE_RAM);
	struct err e = { "" };
	cr_expect(eq(int, ring_page_add(&g->s.vm, RING_CODE), -1), "there is no corner yet");
	cr_assert(eq(int, ring_corner_make(&g->s.vm, &e), 0));
	cr_expect(eq(int, ring_page_add(&g->s.vm, RING_SHARED - 1), -1));
	cr_expect(eq(int, ring_page_add(&g->s.vm, RING_SHARED), 0));
	cr_expect(eq(int, ring_page_add(&g->s.vm, RING_PAGES), -1));
	cr_expect(eq(u64, ring_page_hpa(&g->s.vm, RING_PAGES).v, 0));
	rig_free(g);
}

Test(corner, without_memory_there_is_no_vm)
{
	struct corner_rig *g = rig_new(HEAP + 4 * PAGE_SIZE);
	struct err e = { "" };
	cr_expect(eq(int, pager_shadow_wp.vm_init(&g->s.vm, &e), -1));
	cr_expect(strstr(e.text, "the VMM's corner") != NULL, "%s", e.text);
	rig_free(g);
}

/* A 32-bit guest whose last page table maps the first page of the corner for its user too, and not the second. */
static struct corner_rig *guest_with_a_page_there(const struct pager *p)
{
	struct corner_rig *g = rig_new(FIXTURE_RAM);
	struct err e = { "" };
	struct vcpu *v = &g->s.vcpu;
	mem_write32(&g->f->mem, HPA(BASE + CR3 + 1023 * 4), (CR3 + PAGE_SIZE) | PTE_P | PTE_RW | PTE_US);
	mem_write32(&g->f->mem, HPA(BASE + CR3 + PAGE_SIZE), 0x20000 | PTE_P | PTE_RW | PTE_US);
	g->s.vm.pager = p;
	v->s.cr0 = CR0_PE | CR0_PG;
	v->s.cr3 = CR3;
	cr_assert(eq(int, p->vm_init(&g->s.vm, &e), 0), "%s", e.text);
	p->vcpu_init(v);
	return g;
}

Test(corner, a_guest_that_uses_what_it_maps_there_is_refused_by_name)
{
	struct corner_rig *g = guest_with_a_page_there(&pager_shadow_wp);
	gpa_t gpa = GPA(0);
	pager_shadow_wp.page_fault(&g->s.vcpu, 0xffc00123, PFEC_P | PFEC_US, &gpa);
	cr_expect(eq(str, g->s.vm.refused, "the guest uses the VMM's part of the address space, at 0xffc00123"));
	pager_shadow_wp.fini(&g->s.vm);
	rig_free(g);
}

Test(corner, a_fault_there_that_is_the_guests_own_is_injected)
{
	struct corner_rig *g = guest_with_a_page_there(&pager_shadow_flush);
	gpa_t gpa = GPA(0);
	uint32_t error;
	/* for the hardware the page is present, and the VMM's */
	enum paged p = pager_shadow_flush.page_fault(&g->s.vcpu, 0xffc01123, PFEC_P | PFEC_US | PFEC_WR, &gpa);
	cr_expect(eq(int, p, PAGED_INJECT));
	cr_expect(eq(int, standin_injected(&g->s, &error), VEC_PF));
	cr_expect(eq(u32, error, PFEC_US | PFEC_WR));
	cr_expect(eq(str, g->s.vm.refused, ""));
	pager_shadow_flush.fini(&g->s.vm);
	rig_free(g);
}

Test(corner, the_real_control_registers_have_nothing_of_vmx)
{
	struct corner_rig *g = guest_with_a_page_there(&pager_shadow_vtlb);
	const uint64_t *f = g->f->cpu->vmcs->f;
	cr_expect(eq(u64, f[VMCS_GUEST_CR0], CR0_PE | CR0_PG | CR0_WP | CR0_NE));
	cr_expect(eq(u64, f[VMCS_GUEST_CR4], CR4_PAE | CR4_PGE));
	pager_shadow_vtlb.fini(&g->s.vm);
	rig_free(g);
}

/* Two virtual CPUs with one page directory, PAE paging: when one gives its shadow up, the other's registers do not lead there any more. */
Test(corner, another_cpu_loses_the_pdpte_of_a_page_directory_that_is_given_up)
{
	struct corner_rig *g = rig_new(FIXTURE_RAM);
	struct fixture *other = fixture_new(FIXTURE_LONG64);
	struct vcpu second = { .vm = &g->s.vm, .number = 1, .cpu = other->cpu, .model = other->cpu }, *v = &g->s.vcpu;
	struct err e = { "" };
	gpa_t gpa = GPA(0);
	other->cpu->mmu.mem = &g->f->mem;
	other->cpu->vmcs = &other->cpu->vmx.slot[0];
	mem_write64(&g->f->mem, HPA(BASE + CR3), (CR3 + PAGE_SIZE) | PTE_P);
	mem_write64(&g->f->mem, HPA(BASE + CR3 + PAGE_SIZE), (CR3 + 2 * PAGE_SIZE) | PTE_P | PTE_RW | PTE_US);
	mem_write64(&g->f->mem, HPA(BASE + CR3 + 2 * PAGE_SIZE), 0x20000 | PTE_P | PTE_RW | PTE_US);
	g->s.vm.pager = &pager_shadow_wp;
	g->s.vm.config.vcpus = 2;
	g->s.vm.vcpu[1] = &second;
	cr_assert(eq(int, pager_shadow_wp.vm_init(&g->s.vm, &e), 0), "%s", e.text);
	for (unsigned i = 0; i < 2; i++) {
		struct vcpu *k = i ? &second : v;
		k->s.cr0 = CR0_PE | CR0_PG;
		k->s.cr4 = CR4_PAE;
		k->s.cr3 = CR3;
		pager_shadow_wp.vcpu_init(k);
		cr_assert(eq(int, pager_shadow_wp.page_fault(k, 0x10, 0, &gpa), PAGED_FIXED));
	}
	const uint64_t *f = other->cpu->vmcs->f;
	cr_assert(eq(int, mmu_load_paging(&other->cpu->mmu, f[VMCS_GUEST_CR0], f[VMCS_GUEST_CR3], f[VMCS_GUEST_CR4], f[VMCS_GUEST_EFER], NULL), 0));
	cr_assert(other->cpu->mmu.pdpte[0] & PTE_P);
	const uint64_t corner = other->cpu->mmu.pdpte[3];
	for (unsigned i = 0; i < 3; i++)        /* it is being filled, or no table any more */
		pager_shadow_wp.write(v, GPA(CR3 + PAGE_SIZE + 8 * i), (uint8_t[8]){ 0 }, 8);
	cr_expect(eq(u64, other->cpu->mmu.pdpte[0], 0));
	cr_expect(eq(u64, other->cpu->mmu.pdpte[3], corner), "the VMM's corner stays");
	cr_expect(eq(u64, corner, ring_corner_pdpte(&g->s.vm)));
	pager_shadow_wp.fini(&g->s.vm);
	fixture_free(other);
	rig_free(g);
}
