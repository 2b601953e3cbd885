/* pv.c - paravirtualization: a kernel that knows it has a VMM (technique "pv"), on the rings of models/vmm/ring.
 *
 * What arrives:
 *   SYSCALL of the kernel, INT 82H      a hypercall: exit reason "hypercall", the number as its qualification (call.c)
 *   SYSCALL of a program                bounced: onto the kernel's stack, to the entry it registered (Intel 64)
 *   exceptions, INT n                   bounced, to the trap table's handlers; a page fault's address is in the shared page
 *   interrupts of its virtual devices   events: a bit in the shared page, and a call of the event handler unless masked
 *   IA-32, INT n registered as fast     nothing: the gate leads into ring 1
 * All else is as for any guest in rings: privileged instructions trap and are emulated.
 *
 * The kernel masks events by a byte of the shared page; the VMM reads it, and sets it at each entry into the kernel.
 * The record's IF is always 1: devices interrupt the VMM's part of the virtual CPU whenever they like, and the kernel when it likes.
 * Source: Barham et al. 2003, 3.2 "Control Transfer", 3.3.2 "CPU".
 * Timing: PV_* of cost.def; each word of a frame and each look at the shared page is a reference.
 * Simplified: one virtual CPU. A kernel without a handler for an exception, or whose stack is not there, is shut down. */
#include "models/vmm/pv/pv.h"

#include <stdlib.h>
#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/vmm/exit.h"

static bool wide(const struct vcpu *v) { return v->s.efer & EFER_LMA; }

/* ---- memory ---- */

bool pv_linear(const struct vcpu *v, uint64_t lin)
{
	if (!wide(v))
		return lin < RING_CORNER_32;
	return (lin >> 47 == 0 || lin >> 47 == 0x1ffff) && BITS(lin, 47, 39) != RING_PML4_SLOT;
}

/* A page that the shadow has no entry for yet, or not enough rights: by the guest's own tables. */
static bool by_walk(struct vcpu *v, uint64_t lin, uint8_t *at, unsigned n, bool write)
{
	gpa_t gpa;
	uint32_t error;
	if (pv_is_direct(v->vm) || vcpu_walk(v, lin, write ? ACC_WRITE : ACC_READ, &gpa, &error) != PAGED_FIXED)
		return false;
	return write ? vcpu_write_gpa(v, gpa, at, n) : vcpu_read_gpa(v, gpa, at, n);
}

static bool reach(struct vcpu *v, uint64_t lin, uint8_t *at, unsigned n, bool write)
{
	const unsigned access = wide(v) ? ACC_USER : 0;
	while (n) {
		const unsigned room = 8 - (lin & 7), k = n < room ? n : room;
		struct mmu_fault f;
		if (!pv_linear(v, lin) || !pv_linear(v, lin + k - 1))
			return false;
		bool fault = write ? mmu_write(&v->cpu->mmu, lin, at, k, ACC_WRITE | access, &f) != 0 :
		                     mmu_read(&v->cpu->mmu, lin, at, k, ACC_READ | access, &f) != 0;
		if (fault && !by_walk(v, lin, at, k, write))
			return false;
		lin += k, at += k, n -= k;
	}
	return true;
}

bool pv_read(struct vcpu *v, uint64_t lin, void *to, unsigned n) { return reach(v, lin, to, n, false); }
bool pv_write(struct vcpu *v, uint64_t lin, const void *from, unsigned n)
{
	uint8_t bytes[64];
	memcpy(bytes, from, n);
	return reach(v, lin, bytes, n, true);
}

static bool shared_at(const struct vcpu *v, unsigned at, hpa_t *hpa)
{
	const struct pv_state *s = &pv_of(v->vm)->s;
	return s->shared != PV_NOWHERE && vm_gpa_to_hpa(v->vm, GPA(s->shared + at), hpa);
}

/* Before there is one, events are masked. */
uint8_t pv_shared_read(struct vcpu *v, unsigned at)
{
	hpa_t hpa;
	return shared_at(v, at, &hpa) ? (uint8_t)mmu_phys_read(&v->cpu->mmu, hpa, 1, WHY_EXIT_SERVICE) : at == PV_SHARED_MASK;
}

void pv_shared_write(struct vcpu *v, unsigned at, unsigned size, uint64_t x)
{
	hpa_t hpa;
	if (shared_at(v, at, &hpa))
		mmu_phys_write(&v->cpu->mmu, hpa, size, x, WHY_EXIT_SERVICE);
}

/* ---- entering the kernel ---- */

bool pv_segment(struct vcpu *v, enum seg_reg i, const struct pv_segment *to)
{
	if (vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES + i)) == to->sel && vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + i)) == to->attr)
		return false;
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES + i), to->sel);
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_BASE + i), 0);
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_LIMIT + i), 0xffffffff);
	vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + i), to->attr);
	return true;
}

static void crash(struct vcpu *v)
{
	struct cpu *m = v->model;
	if (m->machine.request)
		m->machine.request(m->machine.who, MACHINE_SHUTDOWN, 0);
}

enum { BOUNCE_SYSCALL = 256, BOUNCE_EVENT = 257 };

static struct pv_segment now_in(struct vcpu *v, enum seg_reg i)
{
	return (struct pv_segment){ .sel = (uint16_t)vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES + i)),
	                            .attr = (uint32_t)vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + i)) };
}

/* What the hardware would do through a gate of the kernel's: a frame on its stack, and its handler. */
static void bounce(struct vcpu *v, uint64_t handler, unsigned vector, bool has_error, uint32_t error)
{
	struct pv_state *s = &pv_of(v->vm)->s;
	const bool user = ring_virtual_cpl(v) != 0, big = wide(v);
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS), rip = vcpu_get(v, VMCS_GUEST_RIP);
	uint64_t sp = vcpu_get(v, VMCS_GUEST_RSP), word[6], old_sp = sp;
	unsigned n = 0;
	vmm_cost(v->cpu, VMM_COST_PV_BOUNCE);
	trace(v->cpu->trace, v->cpu->ledger.now, v->cpu->number, VMM_TRACE_BOUNCE, v->vm->number, vector, user, rip);
	struct pv_segment cs = now_in(v, SEG_CS), ss = now_in(v, SEG_SS);
	if (has_error)
		word[n++] = error;
	word[n++] = rip;
	word[n++] = cs.sel;
	word[n++] = (flags & ~(uint64_t)RFLAGS_IF) | (pv_shared_read(v, PV_SHARED_MASK) ? 0 : RFLAGS_IF);
	if (big || user) {
		word[n++] = sp;
		word[n++] = ss.sel;
	}
	if (user) {
		s->user_cs = cs;
		s->user_ss = ss;
		sp = s->sp;
		pv_segment(v, SEG_CS, &s->cs);
		pv_segment(v, SEG_SS, &s->ss);
		ring_privilege(v, 0);
	} else if (big) {
		sp &= ~15ull;
	}
	/* its own address space: after a world switch another one's is still loaded */
	if (!ring_load_real(v))
		return;
	uint32_t narrow[6];
	for (unsigned i = 0; i < n; i++)
		narrow[i] = (uint32_t)word[i];
	sp -= n * (big ? 8 : 4);
	if (!big)
		sp &= 0xffffffff;
	if (!handler || !pv_write(v, sp, big ? (const void *)word : narrow, n * (big ? 8 : 4))) {
		vcpu_set(v, VMCS_GUEST_RSP, old_sp);
		crash(v);
		return;
	}
	vcpu_set(v, VMCS_GUEST_RSP, sp);
	vcpu_set(v, VMCS_GUEST_RIP, handler);
	vcpu_set(v, VMCS_GUEST_RFLAGS, (flags & ~(uint64_t)(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_AC)) | RFLAGS_IF);
	pv_shared_write(v, PV_SHARED_MASK, 1, 1);
}

static struct pv_trap_slot trap_of(struct vcpu *v, unsigned vector)
{
	const struct pv_state *s = &pv_of(v->vm)->s;
	const uint64_t at = s->traps + vector * sizeof(struct pv_trap_slot);
	struct mmu *m = &v->cpu->mmu;
	return (struct pv_trap_slot){ mmu_phys_read(m, HPA(at), 8, WHY_EXIT_SERVICE), mmu_phys_read(m, HPA(at + 8), 8, WHY_EXIT_SERVICE) };
}

/* ---- events ---- */

void pv_raise(struct vcpu *v, unsigned port)
{
	const unsigned at = (unsigned)offsetof(struct pv_shared, pending) + port / 8;
	pv_shared_write(v, at, 1, pv_shared_read(v, at) | 1u << port % 8);
	if (!(pv_shared_read(v, PV_SHARED_MASKED + port / 8) >> port % 8 & 1))
		pv_shared_write(v, PV_SHARED_UPCALL, 1, 1);
}

#define EVENT_VECTORS 32        /* where the 8259s put their 16 lines, and the timer: port 0 */

/* Interrupts of virtual devices become bits, all that are due. */
static void collect(struct vcpu *v)
{
	while (v->s.pending_event >> 31 && (v->s.pending_event >> 8 & 7) == EVENT_EXTERNAL) {
		const unsigned port = (v->s.pending_event & 0xff) - EVENT_VECTORS;
		v->s.pending_event = 0;
		if (port == PV_PORT_TIMER)
			lapic_mmio_write(v->model->lapic, 0x0b0 /* EOI */, 0);
		if (port < 16)
			pv_raise(v, port);
		vcpu_interrupt(v);
	}
}

static void deliver_exception(struct vcpu *v)
{
	const uint32_t info = v->s.pending_event, error = v->s.pending_error;
	const unsigned vector = info & 0xff;
	vcpu_injected(v);
	if (vector == VEC_PF)
		pv_shared_write(v, (unsigned)offsetof(struct pv_shared, cr2), 8, v->cpu->s.cr2);
	bounce(v, trap_of(v, vector).handler, vector, info >> 11 & 1, error);
	vcpu_interrupt(v);      /* what it held back */
}

static bool pv_enter(struct vcpu *v)
{
	collect(v);
	if (v->s.pending_event) {
		deliver_exception(v);
		collect(v);
	}
	if (pv_shared_read(v, PV_SHARED_UPCALL) && !pv_shared_read(v, PV_SHARED_MASK)) {
		v->vm->stat[VMM_STAT_INJECTED]++;
		bounce(v, pv_of(v->vm)->s.event, BOUNCE_EVENT, false, 0);
	}
	if (*v->vm->parts.stop)
		return false;
	return ring_enter(v);
}

/* ---- back from the guest ---- */

static void call(struct vcpu *v)
{
	ring_exit(v, EXIT_HYPERCALL, wide(v) ? v->cpu->s.r[R_RAX] : (uint32_t)v->cpu->s.r[R_RAX], 0);
}

/* INT n met a gate that is the VMM's alone. */
static bool software_interrupt(struct vcpu *v, const struct ring_frame *f)
{
	const unsigned vector = f->error >> 3 & 0xff;
	const bool user = ring_virtual_cpl(v) != 0;
	struct pv_trap_slot t = trap_of(v, vector);
	if (!t.handler || (user && !(t.flags & PV_TRAP_USER))) {
		vcpu_inject(v, VEC_GP, true, vector << 3 | 2);
		return true;
	}
	vcpu_set(v, VMCS_GUEST_RIP, vcpu_get(v, VMCS_GUEST_RIP) + 2);
	bounce(v, t.handler, vector, false, 0);
	return true;
}

/* A program's RDTSC that the VMM has trapped. */
static bool reads_time(struct vcpu *v, const struct ring_frame *f)
{
	uint8_t code[3] = { 0 };
	return pv_read(v, f->rip, code, 3) && code[0] == 0x0f && (code[1] == 0x31 || (code[1] == 0x01 && code[2] == 0xf9));
}

/* The guest's own, at once: nothing is emulated for a program, and descriptors are good (accessed) or are not. */
static bool protection(struct vcpu *v, const struct ring_frame *f, bool user)
{
	if ((f->error & 7) == 2) {
		if (f->error >> 3 != PV_INT || user)
			return software_interrupt(v, f);
		vcpu_set(v, VMCS_GUEST_RIP, f->rip + 2);
		call(v);
		return true;
	}
	if (f->error & 0xfffc) {
		if (!ring_segment_fault(v, f->error & 0xfffc))
			vcpu_inject(v, (enum vector)f->vector, true, f->error);
		return true;
	}
	if (!user || (f->vector == VEC_GP && reads_time(v, f)))
		return false;
	vcpu_inject(v, (enum vector)f->vector, true, 0);
	return true;
}

static bool pv_came(struct vcpu *v, struct ring_frame *f)
{
	const bool user = ring_virtual_cpl(v) != 0;
	switch (f->vector) {
	case RING_STUB_SYSCALL:
		if (user) {
			/* the flags a program may set; RCX and R11 are the instruction's */
			bounce(v, pv_of(v->vm)->s.syscall, BOUNCE_SYSCALL, false, 0);
		} else {
			call(v);
		}
		return true;
	case RING_STUB_SYSENTER:
		vcpu_set(v, VMCS_GUEST_RIP, v->s.entered_rip);
		vcpu_inject(v, VEC_UD, false, 0);
		return true;
	case PV_INT:                            /* by a gate of its own */
		call(v);
		return true;
	case VEC_GP: case VEC_NP: case VEC_SS: case VEC_TS:
		return protection(v, f, user);
	default:
		return false;
	}
}

/* ---- IA-32: gates of the CPU's own IDT ---- */

void pv_gates(struct vcpu *v, bool on)
{
	const struct pv_state *s = &pv_of(v->vm)->s;
	struct cpu *c = v->cpu;
	if (wide(v))
		return;
	const hpa_t page = ring_page_hpa(v->vm, RING_CPU + 4 * c->number), idt = HPA(page.v + RING_IDT32_AT), tss = HPA(page.v + RING_TSS32_AT);
	const uint64_t stub = RING_CORNER_32 + 16 * PV_INT, attr = SEG_P | DESC_INT32;
	uint64_t gate = (stub & 0xffff) | (uint64_t)RING_SEL_CS << 16 | attr << 40 | (stub >> 16 & 0xffff) << 48;
	mmu_phys_write(&c->mmu, HPA(idt.v + 8 * PV_INT), 8, on ? gate | 1ull << 45 : gate, WHY_EXIT_SERVICE);
	if (!s->fast)
		return;
	const unsigned vector = s->fast - 1;
	struct pv_trap_slot t = trap_of(v, vector);
	if (on) {
		gate = (t.handler & 0xffff) | (uint64_t)((s->cs.sel & ~3u) | 1) << 16 | (uint64_t)(SEG_P | DESC_TRAP32) << 40 | 3ull << 45 |
		       (t.handler >> 16 & 0xffff) << 48;
		mmu_phys_write(&c->mmu, HPA(tss.v + 12), 4, s->sp, WHY_EXIT_SERVICE);
		mmu_phys_write(&c->mmu, HPA(tss.v + 16), 4, (s->ss.sel & ~3u) | 1, WHY_EXIT_SERVICE);
	} else {
		const uint64_t to = RING_CORNER_32 + 16 * vector;
		gate = (to & 0xffff) | (uint64_t)RING_SEL_CS << 16 | attr << 40 | (to >> 16 & 0xffff) << 48;
	}
	mmu_phys_write(&c->mmu, HPA(idt.v + 8 * vector), 8, gate, WHY_EXIT_SERVICE);
}

static void pv_take_up(struct vcpu *v)
{
	ring_take_up(v);
	pv_gates(v, true);
}

static void pv_put_away(struct vcpu *v) { pv_gates(v, false); }

/* ---- life ---- */

static bool own_page(const struct vm *vm, uint64_t pa)
{
	return !(pa & ~PAGE_MASK) && pa < vm->vmm->p.mem->low_size;
}

static bool pv_valid(void *who, const void *state)
{
	const struct vm *vm = who;
	const uint64_t frames = vm->mem.low_size >> PAGE_SHIFT;
	struct pv_state s;
	memcpy(&s, state, sizeof s);
	return own_page(vm, s.traps) && own_page(vm, s.pdpt) && s.fast <= 256 && (s.shared == PV_NOWHERE || !(s.shared & ~PAGE_MASK)) &&
	       (s.root == PV_NOWHERE || s.root < frames) && (s.user_root == PV_NOWHERE || s.user_root < frames);
}

static int pv_vm_init(struct vm *vm, struct err *e)
{
	struct vmm *m = vm->vmm;
	char name[32];
	if (vm->config.vcpus > 1)
		return err_set(e, vm->config.name[0] ? vm->config.name : NULL, "cpus = 1", "a paravirtual VM has one virtual CPU, not %u", vm->config.vcpus);
	struct pv *p = vm->technique = xcalloc(1, sizeof *p);
	p->s.shared = p->s.user_root = p->s.root = PV_NOWHERE;
	snprintf(name, sizeof name, "vm%u.pv", vm->number);
	snaps_section(m->p.snaps, name, 1, &p->s, sizeof p->s);
	snaps_valid(m->p.snaps, name, pv_valid, vm);
	snprintf(name, sizeof name, "vm%u.hypercalls", vm->number);
	snaps_section(m->p.snaps, name, 1, p->stat, sizeof p->stat);
	if (m->p.stats) {
		snprintf(name, sizeof name, "vm%u", vm->number);
		stats_add(m->p.stats, name, hypercall_stat_rows, PV_CALLS, p->stat);
	}
	return 0;
}

static void pv_vm_fini(struct vm *vm)
{
	free(vm->technique);
	vm->technique = NULL;
}

static void pv_vcpu_init(struct vcpu *v)
{
	struct pv_state *s = &pv_of(v->vm)->s;
	const struct cpu_state *k = &v->model->s;
	s->traps = vmm_page(v->vm->vmm).v;
	s->cs = (struct pv_segment){ .sel = k->seg[SEG_CS].sel, .attr = k->seg[SEG_CS].attr };
	s->ss = (struct pv_segment){ .sel = k->seg[SEG_SS].sel, .attr = k->seg[SEG_SS].attr };
	cpu_set_rflags(v->model, RFLAGS_IF, RFLAGS_IF);
	lapic_mmio_write(v->model->lapic, 0x0f0 /* SVR */, 0x1ff);
	lapic_mmio_write(v->model->lapic, 0x320 /* LVT timer */, EVENT_VECTORS + PV_PORT_TIMER);
	lapic_mmio_write(v->model->lapic, 0x3e0 /* divider */, 0xb);
}

static const struct ring_hooks hooks = { .vm_init = pv_vm_init, .vm_fini = pv_vm_fini, .vcpu_init = pv_vcpu_init, .came = pv_came,
                                         .kernel_syscalls = true };

const struct virt virt_pv = {
	.name = "pv", .hooks = &hooks, .ring = true, .able = ring_able, .vm_init = ring_vm_init, .vm_fini = ring_vm_fini,
	.boot = ring_boot, .create = ring_create, .get = ring_get, .set = ring_set, .peek = ring_peek, .has = ring_has,
	.take_up = pv_take_up, .put_away = pv_put_away, .serve = ring_serve, .enter = pv_enter, .in_guest = ring_in_guest, .flush = ring_flush,
	.fits = ring_fits, .arm = ring_arm, .written = ring_written,
};
