/* vmm.c - life of the modelled VMM, and its own memory.
 *
 * Host-physical memory:  0-1 MB unused | the VMM's heap: VMCSs, bitmaps, EPT | ... | VMs' memory and shadow tables, from the top
 * down (below 3 GB), or from 4 GB up when they do not fit there. The heap only grows: what a VM's tables took is kept for it.
 *
 * The boot of the VMM is not simulated: at the first vmm_start() every CPU is as its boot would have left it, in VMX root
 * operation, 64-bit mode, with its local APIC enabled. Nothing is fetched in root operation, so there are no page tables
 * behind the host's CR3. */
#include "models/vmm/nested/nested.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/vmm/ring/ring.h"

#define HEAP_START (1ull << 20)
#define SLICE_US   1000                 /* a turn while others wait: a millisecond */
#define APIC_SVR   0x0f0
#define APIC_EOI   0x0b0

void vmm_cost(struct cpu *c, enum vmm_cost what)
{
	const struct vmm *v = vmm_of(c);
	const cycle_t n = v ? v->cost[what] : vmm_cost_rows[what].cycles;
	ledger_charge(&c->ledger, vmm_cost_rows[what].why, n);
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_PHASE, what, n, 0, 0);
}

/* ---- memory ---- */

hpa_t vmm_page(struct vmm *v)
{
	if (v->s.heap + PAGE_SIZE > v->s.low)
		return HPA(0);
	v->s.heap += PAGE_SIZE;
	return HPA(v->s.heap - PAGE_SIZE);
}

int vmm_cut(struct vmm *v, uint64_t size, uint64_t align, bool low, hpa_t *base, struct err *e)
{
	const uint64_t reserve = 8ull << 20;    /* for the heap, at least */
	const struct mem *m = v->p.mem;
	if (v->s.low > size) {
		uint64_t at = (v->s.low - size) & ~(align - 1);
		if (at >= v->s.heap + reserve) {
			v->s.low = at;
			*base = HPA(at);
			return 0;
		}
	}
	uint64_t at = (v->s.high + align - 1) & ~(align - 1), end = MEM_HIGH + (m->ram_size - m->low_size);
	if (!low && at + size <= end) {
		v->s.high = at + size;
		*base = HPA(at);
		return 0;
	}
	return err_set(e, NULL, "give the machine more memory than its VMs together, and some for the VMM",
	               "the machine's %llu MB have no room for %llu MB more", (unsigned long long)(m->ram_size >> 20),
	               (unsigned long long)(size >> 20));
}

int vmm_place(struct vmm *v, uint64_t ram, unsigned page_shift, hpa_t *base, struct err *e)
{
	uint64_t align = page_shift == 30 ? 1ull << 30 : 2ull << 20;
	return vmm_cut(v, ram, align, false, base, e);
}

/* ---- life ---- */

/* A VM exit has completed, or the VMM begins. */
static void root_run(void *who, struct cpu *c)
{
	struct vmm *v = who;
	c->ledger.acct = ACCT_VMM;
	uint32_t current = v->s.current[c->number];
	if (current && v->vcpu[current - 1]->s.launched && v->vcpu[current - 1]->s.interpreting != INTERPRET_MODEL)
		v->vcpu[current - 1]->vm->virt->serve(v->vcpu[current - 1]);
	vmm_run(v, c);
}

/* An interrupt while the CPU was idle in root operation. */
static void root_event(void *who, struct cpu *c, const struct cpu_event *ev)
{
	(void)ev;
	c->ledger.acct = ACCT_VMM;
	host_interrupt(c);
	vmm_run(who, c);
}

void host_interrupt(struct cpu *c)
{
	vmm_cost(c, VMM_COST_HOST_IRQ);
	lapic_mmio_write(c->lapic, APIC_EOI, 0);
}

void vmm_kick(struct vmm *v, struct cpu *c)
{
	const struct apic_msg m = { .dest = c->number, .delivery = APIC_FIXED, .vector = HOST_VECTOR, .level = 1, .from = 0xff };
	(void)v;
	c->apic.send(c->apic.who, &m);
}

/* The host's timer: the turn of the virtual CPU on that physical one is over. */
static void slice_over(void *who, cycle_t now, uint32_t code, uint64_t arg)
{
	struct vmm *v = who;
	struct vcpu *holder = vmm_holder(v, v->p.cpu[code]);
	(void)now, (void)arg;
	if (cpu_root_modelled(v->p.cpu[code]))
		return;                 /* the VMM is at work there, and looks at the time before it enters anybody */
	if (holder)
		vcpu_switch_step(holder, STEP_INTERRUPT);
	vmm_kick(v, v->p.cpu[code]);
}

static bool state_valid(void *who, const void *state)
{
	const struct vmm *v = who;
	struct vmm_state s;
	memcpy(&s, state, sizeof s);
	for (unsigned i = 0; i < CPUS_MAX; i++)
		if (s.current[i] > v->vcpus)
			return false;
	return s.heap >= HEAP_START && s.heap % PAGE_SIZE == 0 && s.heap <= s.low && s.low <= v->p.mem->low_size;
}

struct vmm *vmm_new(const struct vmm_parts *p, struct err *e)
{
	struct vmm *v = xcalloc(1, sizeof *v);
	(void)e;
	v->p = *p;
	v->s.heap = HEAP_START;
	v->s.low = p->mem->low_size;
	v->s.high = MEM_HIGH;
	v->slice = (cycle_t)((unsigned __int128)p->profile->hz * SLICE_US / 1000000);
	for (unsigned i = 0; i < VMM_COSTS; i++)
		v->cost[i] = vmm_cost_rows[i].cycles;
	v->owner = evq_owner(p->evq, "vmm", slice_over, v);
	snaps_section(p->snaps, "vmm", 1, &v->s, sizeof v->s);
	snaps_valid(p->snaps, "vmm", state_valid, v);
	return v;
}

void vmm_free(struct vmm *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < v->vms; i++) {
		struct vm *vm = v->vm[i];
		if (vm->virt->vm_fini)
			vm->virt->vm_fini(vm);
		if (vm->pager->fini)
			vm->pager->fini(vm);
		for (unsigned k = 0; k < vm->config.vcpus; k++) {
			nested_free(vm->vcpu[k]);
			free(vm->vcpu[k]);
		}
		free(vm);
	}
	free(v);
}

/* As the VMM's boot leaves a CPU. */
static void boot_cpu(struct vmm *v, struct cpu *c)
{
	c->s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	c->s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_VMXE;
	c->s.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	c->s.cr3 = 0;
	c->s.feature_control = 5;
	c->s.seg[SEG_CS].attr = SEG_G | SEG_L | SEG_P | SEG_S | 11;
	c->s.activity = ACTIVITY_ACTIVE;
	cpu_restored(c);
	mmu_load_paging(&c->mmu, c->s.cr0, c->s.cr3, c->s.cr4, c->s.efer, c->mmu.pdpte);
	lapic_mmio_write(c->lapic, APIC_SVR, 0x1ff);
	c->root = (struct root_software){ root_run, root_event, v };
	c->ledger.acct = ACCT_VMM;
	v->vm[0]->virt->boot(c);
	for (unsigned i = c->number; i < v->vcpus; i += v->p.cpus)
		vcpu_create(v->vcpu[i]);
	c->vmx.service = 1;
	cpu_attention(c);
}

void vmm_start(struct vmm *v)
{
	if (v->s.started || !v->vcpus)
		return;
	v->s.started = 1;
	for (unsigned i = 0; i < v->p.cpus; i++)
		boot_cpu(v, v->p.cpu[i]);
}

static struct vcpu *vcpu_of(const struct vmm *v, const struct cpu *model)
{
	for (unsigned i = 0; i < v->vcpus; i++)
		if (v->vcpu[i]->model == model)
			return v->vcpu[i];
	return NULL;
}

void vmm_resetting(struct vmm *v, const struct cpu *const *model, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct vcpu *k = vcpu_of(v, model[i]);
		vcpu_registers_out(k);
		vcpu_now(k);
	}
}

/* Virtual CPUs that run meanwhile are called back: their registers are no more. */
void vmm_reset(struct vmm *v, const struct cpu *const *model, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct vcpu *k = vcpu_of(v, model[i]);
		k->s.reload = 1;
		vmm_kick(v, k->cpu);
	}
}

void vmm_attention(struct vmm *v, struct cpu *model)
{
	for (unsigned i = 0; i < v->vcpus; i++)
		if (v->vcpu[i]->model == model) {
			vcpu_wake(v->vcpu[i]);
			return;
		}
}

uint64_t vmm_linear(const struct vmm *m, const struct cpu *c, uint64_t lin, bool *begins)
{
	const struct vcpu *v = vmm_holder(m, c);
	const struct virt *virt = v ? v->vm->virt : NULL;
	*begins = true;
	return virt && virt->hooks && virt->hooks->linear ? virt->hooks->linear(v, lin, begins) : lin;
}

/* The hardware has what neither the VMM nor its record keeps from the guest. */
uint64_t vcpu_rflags_peek(const struct vcpu *v)
{
	const uint64_t hard = RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID;
	const struct ring_hooks *h = v->vm->virt->hooks;
	uint64_t flags = (cpu_rflags(v->cpu) & hard) | (vcpu_peek(v, VMCS_GUEST_RFLAGS) & ~hard);
	bool on;
	if (h && h->vif && h->vif(v, &on))
		flags = (flags & ~(uint64_t)RFLAGS_IF) | (on ? RFLAGS_IF : 0);
	return flags;
}
