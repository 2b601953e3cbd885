/* direct.c - pv/direct: the hardware walks the guest's own page tables (pager "direct").
 *
 * The guest's entries hold machine addresses: its memory is one piece, so that is its physical address plus vm->base, which the loader's
 * struct pv_start tells it. What may stand in a table, and that it changes by hypercalls alone, is frame.c's affair; here it meets
 * the virtual CPU:
 *
 *   CR3     Intel 64: the frame that new_root named; while a program runs the other one, which lacks the kernel's half, for both run in ring 3.
 *           IA-32: a page of the VMM's with a copy of the four PDPTEs, for the guest's may lie above 4 GB, and the CPU keeps copies anyway.
 *   #PF     always the guest's own. A write to a page table is one: there is nothing hidden to repair.
 *   TLBs    the guest flushes what it changes; the VMM flushes all when a frame changes its type and somebody might still hold the old one.
 *
 * The tables that the loader made hold guest-physical addresses; they become machine addresses, are checked and pinned before the VM
 * starts, which is not timed.
 * Source: Barham et al. 2003, 3.3.3 "Physical memory", 4.2 "Virtual Address Translation".
 * Timing: PV_* of cost.def; each reference to a table or a frame's counts.
 * Devices of the VM may not write to its page tables either (mem->device_may).
 * Simplified: writes to page tables are refused, not emulated ("writable page tables" are a convenience Xen gave up again). */
#include "models/vmm/pv/pv.h"

#include <stdlib.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "models/mmu/pte.h"
#include "models/vmm/ring/corner.h"

struct direct {
	struct frames f;                /* first: vm->paging is both */
	struct vm *vm;
	struct cpu *c;                  /* whose time it is; NULL: nobody's */
};

bool pv_is_direct(const struct vm *vm) { return vm->pager == &pager_direct; }

static bool wide(const struct vcpu *v) { return v->s.efer & EFER_LMA; }
static struct direct *direct_of(const struct vm *vm) { return vm->paging; }

static uint64_t timed_read(void *who, uint64_t pa)
{
	struct direct *d = who;
	return d->c ? mmu_phys_read(&d->c->mmu, HPA(pa), 8, WHY_EXIT_SERVICE) : mem_read64(d->vm->vmm->p.mem, HPA(pa));
}

static void timed_write(void *who, uint64_t pa, uint64_t x)
{
	struct direct *d = who;
	if (d->c)
		mmu_phys_write(&d->c->mmu, HPA(pa), 8, x, WHY_EXIT_SERVICE);
	else
		mem_write64(d->vm->vmm->p.mem, HPA(pa), x);
}

static void spent(void *who, enum frame_spent what)
{
	struct direct *d = who;
	if (d->c)
		vmm_cost(d->c, what == FRAME_SPENT_TABLE ? VMM_COST_PV_CHECK_TABLE : VMM_COST_PV_CHECK_ENTRY);
}

/* A device of the VM's own would write into a table otherwise, unseen. */
static bool device_may(void *who, hpa_t pa, uint64_t n)
{
	struct direct *d = who;
	for (uint64_t i = pa.v >> PAGE_SHIFT; i <= (pa.v + n - 1) >> PAGE_SHIFT; i++) {
		if (i >= d->f.n)
			continue;
		struct frame_view f = frame_view(&d->f, i);
		if (f.taken_apart || (f.type >= FRAME_L1 && f.count))
			return false;
	}
	return true;
}

/* ---- life ---- */

static uint64_t direct_needs(const struct vm_config *c)
{
	return (frames_bytes(c->ram >> PAGE_SHIFT) + MASK(21)) & ~MASK(21);
}

static int direct_vm_init(struct vm *vm, struct err *e)
{
	struct direct *d = vm->paging = xcalloc(1, sizeof *d);
	d->vm = vm;
	d->f = (struct frames){ .base = vm->base.v, .n = vm->mem.low_size >> PAGE_SHIFT, .table = vm->tables.v, .nx = true,
	                        .read = timed_read, .write = timed_write, .spent = spent, .who = d };
	vm->parts.mem->device_may = device_may;
	vm->parts.mem->device_who = d;
	return ring_corner_make(vm, e);
}

static void direct_fini(struct vm *vm)
{
	free(vm->paging);
	vm->paging = NULL;
}

/* ---- the beginning ---- */

/* A table of the loader's and all below it: machine addresses; on Intel 64 the kernel's pages are the user's, as ring 3 is. Nobody has
 * checked them yet: what lies outside the VM's memory is left alone, and no table is gone through twice. */
static void make_machine(struct direct *d, uint8_t *done, uint64_t table, unsigned level)
{
	struct mem *m = d->vm->vmm->p.mem;
	if (table >> PAGE_SHIFT >= d->f.n || done[table >> PAGE_SHIFT])
		return;
	done[table >> PAGE_SHIFT] = 1;
	table &= PAGE_MASK;
	for (unsigned i = 0; i < (level == 3 && !d->f.wide ? 4u : 512u); i++) {
		hpa_t at = HPA(d->f.base + table + 8 * i);
		uint64_t entry = mem_read64(m, at);
		if (!(entry & PTE_P))
			continue;
		if (level > 1)
			make_machine(d, done, entry & MASK(52) & PAGE_MASK, level - 1);
		mem_write64(m, at, (entry + d->f.base) | (d->f.wide ? PTE_US : 0));
	}
}

static void tell_start(struct vcpu *v)
{
	hpa_t at;
	if (!vm_gpa_to_hpa(v->vm, GPA(v->model->s.r[R_RSI] & MASK(30)), &at))
		return;
	struct mem *m = v->vm->vmm->p.mem;
	mem_write32(m, HPA(at.v + offsetof(struct pv_start, flags)), PV_DIRECT | (wide(v) ? PV_TWO_ROOTS : 0));
	mem_write64(m, HPA(at.v + offsetof(struct pv_start, base)), v->vm->base.v);
}

static void load_cr3(struct vcpu *v, bool kernel)
{
	const struct pv_state *s = &pv_of(v->vm)->s;
	const uint64_t frame = kernel || s->user_root == PV_NOWHERE ? s->root : s->user_root;
	if (wide(v))
		vcpu_set(v, VMCS_GUEST_CR3, v->vm->base.v + (frame << PAGE_SHIFT));
}

static void load_pdpt(struct vcpu *v)
{
	struct direct *d = direct_of(v->vm);
	const struct pv_state *s = &pv_of(v->vm)->s;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t entry = d->f.read(d, v->vm->base.v + (s->root << PAGE_SHIFT) + 8 * i);
		d->f.write(d, s->pdpt + 8 * i, entry);
		v->s.pdpte[i] = entry & PTE_P ? entry - v->vm->base.v : entry;
	}
	vcpu_set(v, VMCS_GUEST_CR3, s->pdpt);
	vcpu_invalidate(v, INVVPID_SINGLE_NOT_GLOBAL, 0);
}

static void direct_vcpu_init(struct vcpu *v)
{
	struct direct *d = direct_of(v->vm);
	struct pv_state *s = &pv_of(v->vm)->s;
	const uint64_t root = v->s.cr3 >> PAGE_SHIFT;
	d->f.wide = wide(v);
	d->f.corner[0] = d->f.wide ? ring_corner_pml4e(v->vm, false) : ring_corner_pde(v->vm, 0);
	d->f.corner[1] = ring_corner_pde(v->vm, 1);
	uint8_t *done = xcalloc(d->f.n, 1);
	make_machine(d, done, v->s.cr3, d->f.wide ? 4 : 3);
	free(done);
	tell_start(v);
	v->vm->entry_base = v->vm->base.v;
	frames_flushed(&d->f);
	d->f.budget = UINT32_MAX;
	if (frame_pin(&d->f, root, d->f.wide ? 4 : 3) || frame_get(&d->f, root, frame_root_type(&d->f))) {
		vcpu_refuse(v, "the page tables a paravirtual kernel starts with are not valid");
		return;
	}
	d->f.flush = false;
	s->root = root;
	s->user_root = PV_NOWHERE;
	if (d->f.wide) {
		load_cr3(v, true);
	} else {
		s->pdpt = vmm_page(v->vm->vmm).v;
		load_pdpt(v);
	}
}

/* ---- hypercalls ---- */

struct frames *direct_begin(struct vcpu *v)
{
	struct direct *d = direct_of(v->vm);
	d->c = v->cpu;
	d->f.top = false;
	frames_begin(&d->f);
	return &d->f;
}

void direct_end(struct vcpu *v)
{
	struct direct *d = direct_of(v->vm);
	if (d->f.top)
		load_pdpt(v);
	if (d->f.flush) {
		frames_flushed(&d->f);
		vcpu_invalidate(v, INVVPID_SINGLE_NOT_GLOBAL, 0);
	}
	d->f.top = false;
	d->c = NULL;
}

int direct_new_root(struct vcpu *v, uint64_t frame, uint64_t user)
{
	struct direct *d = direct_of(v->vm);
	struct pv_state *s = &pv_of(v->vm)->s;
	const enum frame_type t = frame_root_type(&d->f);
	int error = frame_get(&d->f, frame, t);
	if (error)
		return error;
	error = user == PV_NOWHERE ? 0 : frame_get(&d->f, user, t);
	if (error) {
		frame_put(&d->f, frame);
		return error;
	}
	frame_put(&d->f, s->root);
	if (s->user_root != PV_NOWHERE)
		frame_put(&d->f, s->user_root);
	s->root = frame;
	s->user_root = user;
	v->s.cr3 = frame << PAGE_SHIFT;
	if (d->f.wide) {
		load_cr3(v, true);      /* the kernel called */
		vcpu_invalidate(v, INVVPID_SINGLE_NOT_GLOBAL, 0);
	} else {
		load_pdpt(v);
	}
	frames_flushed(&d->f);          /* no translation outlives it */
	return 0;
}

/* The table that maps lin by 4 KB pages, or the entry of a large one. Under pv/shadow: guest-physical. */
int direct_entry_of(struct vcpu *v, uint64_t lin, uint64_t *at)
{
	struct vm *vm = v->vm;
	const uint64_t base = pv_is_direct(vm) ? vm->base.v : 0;
	uint64_t table = base + (v->s.cr3 & PAGE_MASK & MASK(52));
	for (unsigned level = wide(v) ? 4 : 3;; level--) {
		*at = table + 8 * BITS(lin, 12 + 9 * (level - 1) + 8, 12 + 9 * (level - 1));
		if (level == 3 && !wide(v))
			*at = table + 8 * BITS(lin, 31, 30);
		if (level == 1)
			return 0;
		hpa_t hpa;
		if (!vm_gpa_to_hpa(vm, GPA(*at - base), &hpa))
			return PV_EFAULT;
		uint64_t entry = mmu_phys_read(&v->cpu->mmu, hpa, 8, WHY_EXIT_SERVICE);
		vmm_cost(v->cpu, VMM_COST_GUEST_WALK);
		if (!(entry & PTE_P))
			return PV_ENOENT;
		if (level == 2 && entry & PTE_PS)
			return 0;
		table = entry & MASK(52) & PAGE_MASK;
	}
}

const struct frames *direct_peek(const struct vm *vm) { return &direct_of(vm)->f; }

/* ---- exits ---- */

static enum paged direct_page_fault(struct vcpu *v, uint64_t lin, uint32_t error, gpa_t *gpa)
{
	(void)gpa;
	v->cpu->s.cr2 = lin;
	vcpu_inject(v, VEC_PF, true, error);
	return PAGED_INJECT;
}

/* Control registers are the VMM's; a kernel that knows it has one does not write them. After a reset (vcpu_renew) its memory
 * holds what nobody has checked: such a VM is not run again. */
static bool direct_cr_written(struct vcpu *v, unsigned cr, uint64_t old, uint64_t now)
{
	if (cr == 0 && old == ~now)
		vcpu_refuse(v, "a reset under pv/direct: its page tables would have to be checked anew");
	return cr == 0 && !((old ^ now) & (CR0_PG | CR0_PE | CR0_WP));
}

static void direct_invlpg(struct vcpu *v, uint64_t lin) { vcpu_invalidate(v, INVVPID_ADDRESS, lin); }

static void direct_privilege(struct vcpu *v, bool kernel) { load_cr3(v, kernel); }

static uint64_t direct_memory(const struct vm *vm) { return frames_bytes(direct_of(vm)->f.n); }

const struct pager pager_direct = {
	.name = "direct", .needs = direct_needs, .vm_init = direct_vm_init, .vcpu_init = direct_vcpu_init, .fini = direct_fini,
	.page_fault = direct_page_fault, .cr_written = direct_cr_written, .invlpg = direct_invlpg, .memory = direct_memory,
	.privilege = direct_privilege,
};
