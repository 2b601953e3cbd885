/* vm.c - a virtual machine as the VMM keeps it: its memory, its devices' registers, its end. */
#include "models/vmm/nested/nested.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/cpuid.h"
#include "models/cpu/decode.h"
#include "models/cpu/lapic.h"

const struct pager *const pagers[] = {
#define PAGER(name) &pager_##name,
#include "models/vmm/pager.def"
};
const size_t pagers_n = ARRAY_LEN(pagers);

/* ---- guest-physical memory ---- */

bool vm_gpa_to_hpa(const struct vm *vm, gpa_t gpa, hpa_t *hpa)
{
	int64_t off = mem_offset(&vm->mem, HPA(gpa.v));
	if (off < 0)
		return false;
	*hpa = HPA(vm->base.v + (uint64_t)off);
	return true;
}

/* Reference by reference, 8 bytes at most, none across a page or out of line. */
static unsigned piece(uint64_t at, unsigned left)
{
	unsigned n = 8 - (at & 7);
	while (n > left || (n & (n - 1)))
		n--;
	return n;
}

bool vcpu_read_gpa(struct vcpu *v, gpa_t gpa, void *buf, unsigned n)
{
	uint8_t *to = buf;
	hpa_t hpa;
	if (!nested_gpa(v, gpa, &gpa) || !vm_gpa_to_hpa(v->vm, gpa, &hpa) || !vm_gpa_to_hpa(v->vm, GPA(gpa.v + n - 1), &(hpa_t){ 0 }))
		return false;
	while (n) {
		unsigned k = piece(gpa.v, n);
		vm_gpa_to_hpa(v->vm, gpa, &hpa);
		uint64_t x = mmu_phys_read(&v->cpu->mmu, hpa, k, WHY_EXIT_SERVICE);
		memcpy(to, &x, k);
		to += k, n -= k, gpa.v += k;
	}
	return true;
}

enum written vcpu_write_gpa(struct vcpu *v, gpa_t gpa, const void *buf, unsigned n)
{
	const uint8_t *from = buf;
	hpa_t hpa;
	if (!nested_gpa(v, gpa, &gpa))
		return WRITTEN_NOT;
	gpa_t at = gpa;
	if (!vm_gpa_to_hpa(v->vm, gpa, &hpa) || !vm_gpa_to_hpa(v->vm, GPA(gpa.v + n - 1), &(hpa_t){ 0 }))
		return WRITTEN_NOT;
	for (unsigned left = n; left;) {
		unsigned k = piece(at.v, left);
		uint64_t x = 0;
		memcpy(&x, from, k);
		vm_gpa_to_hpa(v->vm, at, &hpa);
		mmu_phys_write(&v->cpu->mmu, hpa, k, x, WHY_EXIT_SERVICE);
		from += k, left -= k, at.v += k;
	}
	const struct pager *p = v->vm->pager;
	return p && p->write && p->write(v, gpa, buf, n) ? WRITTEN_WATCHED : WRITTEN;
}

/* ---- devices ---- */

/* A device model has written guest memory by DMA: page tables, descriptors, code may lie there that the pager and the technique keep
 * copies of. Whoever runs comes back at once, and before one of the VM's is entered again they are told, as of a write of a virtual CPU's.
 * Ranges that touch become one; when there are too many, the last one covers what it need not. */
static void device_wrote(void *who, hpa_t pa, uint64_t n)
{
	struct vm *vm = who;
	struct vm_wrote *w = &vm->wrote;
	uint64_t to = pa.v + n;
	unsigned i = 0;
	if (!vm->pager->write || !n || mem_offset(vm->parts.mem, pa) < 0)
		return;
	while (i < w->n && (pa.v > w->range[i].to || to < w->range[i].from))
		i++;
	if (i == VM_WROTE)
		i--;
	if (i == w->n) {
		w->range[w->n].from = pa.v;
		w->range[w->n++].to = to;
	}
	if (pa.v < w->range[i].from)
		w->range[i].from = pa.v;
	if (to > w->range[i].to)
		w->range[i].to = to;
	for (unsigned k = 0; k < vm->config.vcpus; k++)
		if (vcpu_in_guest(vm->vcpu[k]))
			vmm_kick(vm->vmm, vm->vcpu[k]->cpu);
}

#define PIECE (PAGE_SIZE / 2)   /* "all of a page" means that it is not traced any more: less than that at a time */

void vcpu_device_writes(struct vcpu *v)
{
	struct vm_wrote *w = &v->vm->wrote;
	while (w->n) {
		w->n--;
		const uint64_t to = w->range[w->n].to;
		for (uint64_t at = w->range[w->n].from; at < to;) {
			const uint64_t room = PIECE - (at & (PIECE - 1)), n = to - at < room ? to - at : room;
			if (mem_offset(&v->vm->mem, HPA(at)) >= 0)
				v->vm->pager->write(v, GPA(at), NULL, (unsigned)n);
			at += n;
		}
	}
}

void vcpu_now(struct vcpu *v)
{
	v->model->ledger.now = v->cpu->ledger.now;
}

static struct io_at at(struct vcpu *v)
{
	vcpu_now(v);
	vmm_cost(v->cpu, VMM_COST_DEVICE);
	return (struct io_at){ .cpu = v->number, .now = v->cpu->ledger.now };
}

uint64_t vm_mmio_read(struct vcpu *v, gpa_t gpa, unsigned size)
{
	struct io_at a = at(v);
	const struct io_wire *w = &v->vm->mem.mmio;
	if (!nested_gpa(v, gpa, &gpa))
		return MASK(8 * size);
	return w->read ? w->read(w->who, gpa.v, size, &a) & MASK(8 * size) : MASK(8 * size);
}

void vm_mmio_write(struct vcpu *v, gpa_t gpa, unsigned size, uint64_t x)
{
	struct io_at a = at(v);
	const struct io_wire *w = &v->vm->mem.mmio;
	if (w->write && nested_gpa(v, gpa, &gpa))
		w->write(w->who, gpa.v, size, x, &a);
}

/* ---- life ---- */

void vcpu_refuse(struct vcpu *v, const char *what)
{
	struct vm *vm = v->vm;
	struct cpu *c = v->cpu, *m = v->model;
	if (!vm->refused[0])
		snprintf(vm->refused, sizeof vm->refused, "%s", what);
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_REFUSED, vm->number, vcpu_peek(v, VMCS_GUEST_RIP),
	      vcpu_peek(v, VMCS_EXIT_REASON), 0);
	if (m->machine.request)
		m->machine.request(m->machine.who, MACHINE_SHUTDOWN, 0);
}

/* "shadow" alone is the variant most VMMs have. */
static const struct pager *pager_find(const char *name)
{
	name = strcmp(name, "shadow") ? name : pager_shadow_wp.name;
	for (size_t i = 0; i < pagers_n; i++)
		if (!strcmp(pagers[i]->name, name))
			return pagers[i];
	return NULL;
}

/* What no VM is offered, and what its pager does not allow. */
static void hide(struct cpu *model, enum feature f)
{
	model->hidden[f / 64] |= BIT(f % 64);
}

static void mask_features(struct cpu *model, const struct virt *virt, const struct pager *p, bool nested)
{
	static const uint16_t never[] = { FEATURE_VMX, FEATURE_MONITOR, FEATURE_PERFMON, FEATURE_PDCM, FEATURE_SHSTK, FEATURE_IBT };
	static const uint16_t owned[] = { FEATURE_PCID, FEATURE_INVPCID, FEATURE_PKU };
	/* whose kernel is not the hardware's supervisor, or whose VMM is where a wider address space has it twice */
	static const uint16_t ringed[] = { FEATURE_SMEP, FEATURE_SMAP, FEATURE_LA57, FEATURE_UMIP, FEATURE_FSGSBASE, FEATURE_XSAVES, FEATURE_VME };
	for (size_t i = nested ? 1 : 0; i < ARRAY_LEN(never); i++)      /* VMX is the first */
		hide(model, (enum feature)never[i]);
	for (size_t i = 0; i < ARRAY_LEN(owned) && p->page_fault; i++)
		hide(model, (enum feature)owned[i]);
	for (size_t i = 0; i < ARRAY_LEN(ringed) && virt->ring; i++)
		hide(model, (enum feature)ringed[i]);
	cpuid_init(model);
	decoder_free(model->decoder);   /* what is hidden is no instruction either: #UD */
	model->decoder = decoder_new(model);
}

static bool vcpu_valid(void *who, const void *state)
{
	struct vcpu_state s;
	const struct vcpu *v = who;
	memcpy(&s, state, sizeof s);
	return !(s.vmcs % PAGE_SIZE) && s.vmcs < v->vm->vmm->p.mem->low_size && !(s.apic_page % PAGE_SIZE) &&
	       mem_offset(v->vm->vmm->p.mem, HPA(s.apic_page)) >= 0 && s.apicv <= APICV_OFF && s.runnable <= 1 && s.launched <= 1 && s.halted <= 1 &&
	       s.interpreting <= INTERPRET_MODEL;
}

static bool wrote_valid(void *who, const void *state)
{
	const struct vm *vm = who;
	struct vm_wrote w;
	memcpy(&w, state, sizeof w);
	for (unsigned i = 0; i < w.n && w.n <= VM_WROTE; i++)
		if (w.range[i].from > w.range[i].to || w.range[i].to - w.range[i].from > vm->config.ram)
			return false;
	return w.n <= VM_WROTE;
}

static void sections(struct vm *vm)
{
	struct vmm *m = vm->vmm;
	char name[32];
	snprintf(name, sizeof name, "vm%u.stat", vm->number);
	snaps_section(m->p.snaps, name, 1, vm->stat, sizeof vm->stat);
	snprintf(name, sizeof name, "vm%u.wrote", vm->number);
	snaps_section(m->p.snaps, name, 1, &vm->wrote, sizeof vm->wrote);
	snaps_valid(m->p.snaps, name, wrote_valid, vm);
	snprintf(name, sizeof name, "vm%u.refused", vm->number);
	snaps_section(m->p.snaps, name, 1, vm->refused, sizeof vm->refused);
	for (unsigned i = 0; i < vm->config.vcpus; i++) {
		snprintf(name, sizeof name, "vm%u.vcpu%u", vm->number, i);
		snaps_section(m->p.snaps, name, 1, &vm->vcpu[i]->s, sizeof vm->vcpu[i]->s);
		snaps_valid(m->p.snaps, name, vcpu_valid, vm->vcpu[i]);
	}
	if (m->p.stats) {
		snprintf(name, sizeof name, "vm%u", vm->number);
		stats_add(m->p.stats, name, vmm_stat_rows, VMM_STAT_N, vm->stat);
	}
}

static const struct virt *const virts[] = {
#define VIRT(name) &virt_##name,
#include "models/vmm/virt.def"
};

static const struct virt *virt_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(virts); i++)
		if (!name || !strcmp(virts[i]->name, name))
			return virts[i];
	return NULL;
}

/* The machine's own technique: a CPU is in VMX operation, or has the VMM's tables of rings; not both. */
static bool mixes(const struct vmm *m, const struct virt *virt)
{
	return m->vms && m->vm[0]->virt->ring != virt->ring;
}

struct vm *vmm_vm(struct vmm *m, const struct vm_config *c, const struct vm_parts *p, struct err *e)
{
	const struct pager *pager = pager_find(c->mmu);
	if (!pager) {
		err_set(e, NULL, "vmscope list techniques", "memory virtualization '%s' is not modelled", c->mmu);
		return NULL;
	}
	const struct virt *virt = virt_find(c->cpu);
	if (!virt) {
		err_set(e, NULL, "vmscope list techniques", "CPU virtualization '%s' is not modelled", c->cpu);
		return NULL;
	}
	if (mixes(m, virt)) {
		err_set(e, NULL, "give each a machine of its own", "'%s' beside '%s' on one machine is not modelled", virt->name,
		        m->vm[0]->virt->name);
		return NULL;
	}
	if (virt->able(m->p.cpu[0], pager, e) || nested_able(m->p.cpu[0], c, virt, pager, e))
		return NULL;
	struct vm *vm = xcalloc(1, sizeof *vm);
	vm->config = *c;
	vm->config.cpu = virt->name;
	vm->virt = virt;
	vm->config.mmu = pager->name;
	vm->number = m->vms + 1;
	vm->base = p->base;
	vm->mem = *p->mem;
	vm->parts = *p;
	vm->pager = pager;
	vm->vmm = m;
	uint64_t tables = pager->needs ? pager->needs(&vm->config) : 0;
	if ((tables && vmm_cut(m, tables, 2ull << 20, true, &vm->tables, e)) || (pager->vm_init && pager->vm_init(vm, e))) {
		free(vm);
		return NULL;
	}
	if (virt->vm_init && virt->vm_init(vm, e)) {
		if (pager->fini)
			pager->fini(vm);
		free(vm);
		return NULL;
	}
	for (unsigned i = 0; i < c->vcpus; i++) {
		struct vcpu *v = vm->vcpu[i] = xcalloc(1, sizeof *v);
		v->vm = vm;
		v->number = i;
		v->model = p->cpu[i];
		v->cpu = m->p.cpu[m->vcpus % m->p.cpus];
		mask_features(v->model, virt, pager, vm->config.nested && !virt->ring);
		m->vcpu[m->vcpus++] = v;
	}
	m->vm[m->vms++] = vm;
	p->mem->device_wrote = device_wrote;
	p->mem->wrote_who = vm;
	for (unsigned i = 0; i < VMM_COSTS; i++)
		if (c->cost[i].set)
			m->cost[i] = c->cost[i].cycles;
	if (c->slice)
		m->slice = c->slice;
	sections(vm);
	for (unsigned i = 0; i < c->vcpus; i++)
		nested_new(vm->vcpu[i]);
	return vm;
}
