/* call.c - the hypercalls, a function each: hypercall.def. Arguments are the guest's and hostile: whatever they are, the answer is a
 * number. What is a pointer is read as the guest's kernel reads it (pv_read); what is a page table's is checked by frame.c under
 * pv/direct, and is the pager's affair under pv/shadow, which never lets the hardware see the guest's own tables. */
#include "models/vmm/pv/pv.h"

#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/mmu/pte.h"
#include "models/vmm/exit.h"

#define TEXT_MAX 4096
#define GDT_MAX  (8 * PAGE_SIZE)
#define NS       1000000000ull

struct args { uint64_t a, b, c, d; };
typedef int64_t call_fn(struct vcpu *v, const struct args *a);
#define HYPERCALL(nr, NAME, name, ...) static call_fn call_##name;
#include "models/vmm/pv/hypercall.def"
static call_fn *const calls[PV_CALLS] = {
#define HYPERCALL(nr, NAME, name, ...) [nr] = call_##name,
#include "models/vmm/pv/hypercall.def"
};

static bool wide(const struct vcpu *v) { return v->s.efer & EFER_LMA; }
static struct pv_state *state(const struct vcpu *v) { return &pv_of(v->vm)->s; }

void serve_hypercall(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	const uint64_t *r = c->s.r, nr = wide(v) ? r[R_RAX] : (uint32_t)r[R_RAX], mask = wide(v) ? ~0ull : MASK(32);
	struct args a = wide(v) ? (struct args){ r[R_RDI], r[R_RSI], r[R_RDX], r[R_R10] } :
	                          (struct args){ r[R_RBX] & mask, r[R_RCX] & mask, r[R_RDX] & mask, r[R_RSI] & mask };
	int64_t result = PV_ENOSYS;
	vmm_cost(c, nr < PV_CALLS ? hypercall_rows[nr].cost : VMM_COST_PV_CALL);
	if (nr < PV_CALLS) {
		pv_of(v->vm)->stat[nr]++;
		result = calls[nr](v, &a);
	}
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_HYPERCALL, v->vm->number, nr, (uint64_t)result, a.a);
	if (nr != PV_CALL_IRET || result < 0)
		c->s.r[R_RAX] = (uint64_t)result & mask;
}

/* ---- small ones ---- */

static int64_t call_version(struct vcpu *v, const struct args *a)
{
	(void)v, (void)a;
	return PV_VERSION;
}

static void port_write(struct vcpu *v, uint16_t port, uint8_t x)
{
	const struct io_wire *w = &v->model->port;
	struct io_at at = { .cpu = v->number, .now = v->cpu->ledger.now };
	vcpu_now(v);
	if (w->write)
		w->write(w->who, port, 1, x, &at);
}

/* To the serial port's transmitter, so that it is the same console. */
static int64_t call_console_write(struct vcpu *v, const struct args *a)
{
	uint64_t done = 0, n = a->b < TEXT_MAX ? a->b : TEXT_MAX;
	vmm_cost(v->cpu, VMM_COST_DEVICE);
	while (done < n) {
		uint8_t bytes[64];
		unsigned k = n - done < sizeof bytes ? (unsigned)(n - done) : (unsigned)sizeof bytes;
		if (!pv_read(v, a->a + done, bytes, k))
			return done ? (int64_t)done : PV_EFAULT;
		for (unsigned i = 0; i < k; i++)
			port_write(v, 0x3f8, bytes[i]);
		done += k;
	}
	return (int64_t)done;
}

static int64_t call_shutdown(struct vcpu *v, const struct args *a)
{
	vmm_cost(v->cpu, VMM_COST_DEVICE);
	port_write(v, 0xf4, (uint8_t)a->a);
	return 0;
}

static int64_t call_yield(struct vcpu *v, const struct args *a)
{
	(void)a;
	v->vm->vmm->s.slice_end[v->cpu->number] = v->cpu->ledger.now;
	return 0;
}

/* ---- what is registered ---- */

static int64_t call_set_traps(struct vcpu *v, const struct args *a)
{
	struct pv_state *s = state(v);
	if (a->b > 256)
		return PV_E2BIG;
	for (uint64_t i = 0; i < a->b; i++) {
		struct pv_trap t;
		if (!pv_read(v, a->a + i * sizeof t, &t, sizeof t))
			return PV_EFAULT;
		if (t.vector > 255 || (t.handler && !pv_linear(v, t.handler)) || t.flags & ~(unsigned)(PV_TRAP_USER | PV_TRAP_FAST))
			return PV_EINVAL;
		const uint64_t at = s->traps + t.vector * sizeof(struct pv_trap_slot);
		const bool fast = !wide(v) && t.vector >= 32 && t.vector != PV_INT && (t.flags & (PV_TRAP_USER | PV_TRAP_FAST)) == (PV_TRAP_USER | PV_TRAP_FAST);
		if (s->fast == t.vector + 1 || fast)
			pv_gates(v, false);
		if (s->fast == t.vector + 1)
			s->fast = 0;
		mmu_phys_write(&v->cpu->mmu, HPA(at), 8, t.handler, WHY_EXIT_SERVICE);
		mmu_phys_write(&v->cpu->mmu, HPA(at + 8), 8, t.flags, WHY_EXIT_SERVICE);
		if (fast && t.handler)
			s->fast = t.vector + 1;
		if (!wide(v))
			pv_gates(v, true);
	}
	return 0;
}

static int64_t call_set_gdt(struct vcpu *v, const struct args *a)
{
	if (!a->b || a->b > GDT_MAX || a->b % 8)
		return PV_EINVAL;
	if (!pv_linear(v, a->a) || !pv_linear(v, a->a + a->b - 1))
		return PV_EFAULT;
	vcpu_set(v, VMCS_GUEST_GDTR_BASE, a->a);
	vcpu_set(v, VMCS_GUEST_GDTR_LIMIT, a->b - 1);
	state(v)->user_cs.attr = state(v)->user_ss.attr = 0;
	return 0;
}

static int64_t call_set_callbacks(struct vcpu *v, const struct args *a)
{
	if (!pv_linear(v, a->a) || !pv_linear(v, a->b))
		return PV_EINVAL;
	state(v)->event = a->a;
	state(v)->syscall = a->b;
	return 0;
}

static int64_t call_set_shared(struct vcpu *v, const struct args *a)
{
	gpa_t gpa;
	hpa_t hpa;
	uint32_t error;
	if (a->a % PAGE_SIZE)
		return PV_EINVAL;
	if (!pv_linear(v, a->a) || vcpu_walk(v, a->a, ACC_WRITE, &gpa, &error) != PAGED_FIXED || !vm_gpa_to_hpa(v->vm, gpa, &hpa))
		return PV_EFAULT;
	if (pv_is_direct(v->vm)) {      /* it stays memory: the VMM writes there */
		struct frames *f = direct_begin(v);
		int64_t frame = frame_number(f, hpa.v);
		int error_of = frame < 0 ? PV_EFAULT : frame_get(f, (uint64_t)frame, FRAME_WRITABLE);
		if (!error_of && state(v)->shared != PV_NOWHERE)
			frame_put(f, state(v)->shared >> PAGE_SHIFT);
		direct_end(v);
		if (error_of)
			return error_of;
	}
	state(v)->shared = gpa.v;
	return 0;
}

static int64_t call_stack_switch(struct vcpu *v, const struct args *a)
{
	struct pv_state *s = state(v);
	s->sp = a->a;
	if (!wide(v) && s->fast) {
		const hpa_t page = ring_page_hpa(v->vm, RING_CPU + 4 * v->cpu->number);
		mmu_phys_write(&v->cpu->mmu, HPA(page.v + RING_TSS32_AT + 12 - 0), 4, s->sp, WHY_EXIT_SERVICE);
	}
	return 0;
}

/* ---- page tables ---- */

static int update_entry(struct vcpu *v, uint64_t at, uint64_t value)
{
	if (pv_is_direct(v->vm))
		return frame_update(v->vm->paging, at, value);
	at &= ~7ull;
	return vcpu_write_gpa(v, GPA(at), &value, 8) ? 0 : PV_EPERM;
}

static void flush_page(struct vcpu *v, uint64_t lin)
{
	if (pv_linear(v, lin) && v->vm->pager->invlpg)
		v->vm->pager->invlpg(v, wide(v) ? lin : (uint32_t)lin);
}

static void flush_all(struct vcpu *v)
{
	if (pv_is_direct(v->vm))
		frames_flushed(v->vm->paging);
	else if (v->vm->pager->cr_written)
		(void)v->vm->pager->cr_written(v, 3, v->s.cr3, v->s.cr3);
	vcpu_invalidate(v, INVVPID_SINGLE_NOT_GLOBAL, 0);
}

static int update(struct vcpu *v, const struct pv_update *u)
{
	vmm_cost(v->cpu, VMM_COST_PV_UPDATE);
	switch (u->at & 7) {
	case PV_UPDATE_ENTRY:
		return update_entry(v, u->at, u->value);
	case PV_UPDATE_FLUSH:
		flush_page(v, u->value);
		return 0;
	case PV_UPDATE_FLUSH_ALL:
		flush_all(v);
		return 0;
	default:
		return PV_EINVAL;
	}
}

static struct frames *begin(struct vcpu *v) { return pv_is_direct(v->vm) ? direct_begin(v) : NULL; }
static int64_t end(struct vcpu *v, int64_t result)
{
	if (pv_is_direct(v->vm))
		direct_end(v);
	return result;
}

static int64_t call_mmu_update(struct vcpu *v, const struct args *a)
{
	const uint64_t n = a->b < PV_BATCH_MAX ? a->b : PV_BATCH_MAX;
	int64_t done = 0;
	int error = 0;
	begin(v);
	for (; (uint64_t)done < n && !error; done += !error) {
		struct pv_update u;
		error = pv_read(v, a->a + (uint64_t)done * sizeof u, &u, sizeof u) ? update(v, &u) : PV_EFAULT;
	}
	return end(v, done ? done : error);
}

static int64_t call_update_va(struct vcpu *v, const struct args *a)
{
	const uint64_t value = wide(v) ? a->b : a->b | a->c << 32;
	uint64_t at;
	begin(v);
	vmm_cost(v->cpu, VMM_COST_PV_UPDATE);
	int error = pv_linear(v, a->a) ? direct_entry_of(v, a->a, &at) : PV_EPERM;
	if (!error)
		error = update_entry(v, at, value);
	if (!error && a->d & PV_VA_FLUSH)
		flush_page(v, a->a);
	return end(v, error);
}

static uint64_t frame_of(const struct frames *f, uint64_t page)
{
	return page >> 40 ? PV_NOWHERE : (uint64_t)frame_number(f, page << PAGE_SHIFT);
}

static int64_t call_pin(struct vcpu *v, const struct args *a)
{
	struct frames *f = begin(v);
	if (!f)
		return 0;
	uint64_t frame = frame_of(f, a->a);
	return end(v, frame == PV_NOWHERE ? PV_EPERM : a->b > 4 ? PV_EINVAL : frame_pin(f, frame, (unsigned)a->b));
}

static int64_t call_unpin(struct vcpu *v, const struct args *a)
{
	struct frames *f = begin(v);
	if (!f)
		return 0;
	uint64_t frame = frame_of(f, a->a);
	int error = frame == PV_NOWHERE ? PV_EPERM : frame_unpin(f, frame);
	frames_work(f, FRAME_WORK);     /* the kernel is about to use them as memory */
	return end(v, error);
}

static int64_t call_new_root(struct vcpu *v, const struct args *a)
{
	struct frames *f = begin(v);
	if (f) {
		uint64_t frame = frame_of(f, a->a), user = a->b && wide(v) ? frame_of(f, a->b) : PV_NOWHERE;
		bool none = frame == PV_NOWHERE || (a->b && wide(v) && user == PV_NOWHERE);
		return end(v, none ? PV_EPERM : direct_new_root(v, frame, user));
	}
	uint64_t old = v->s.cr3, now = a->a << PAGE_SHIFT;
	hpa_t hpa;
	if (a->a >> 40 || !vm_gpa_to_hpa(v->vm, GPA(now), &hpa))
		return PV_EPERM;
	v->s.cr3 = now;
	if (v->vm->pager->cr_written(v, 3, old, now))
		return 0;
	v->s.cr3 = old;
	return PV_EINVAL;
}

static int64_t call_flush(struct vcpu *v, const struct args *a)
{
	const uint64_t all = wide(v) ? ~0ull : MASK(32);
	begin(v);
	if (a->a == all)
		flush_all(v);
	else
		flush_page(v, a->a);
	return end(v, 0);
}

/* ---- events, time ---- */

static int64_t call_event_send(struct vcpu *v, const struct args *a)
{
	if (a->a >= PV_PORTS)
		return PV_EINVAL;
	pv_raise(v, (unsigned)a->a);
	return 0;
}

/* On the way back to the guest they are looked at anyway. */
static int64_t call_event_deliver(struct vcpu *v, const struct args *a)
{
	(void)v, (void)a;
	return 0;
}

static int64_t call_block(struct vcpu *v, const struct args *a)
{
	(void)a;
	pv_shared_write(v, PV_SHARED_MASK, 1, 0);
	if (pv_shared_read(v, PV_SHARED_UPCALL))
		return 0;
	vmm_cost(v->cpu, VMM_COST_HALT);
	v->s.halted = 1;
	v->s.blocked = 0;
	trace(v->cpu->trace, v->cpu->ledger.now, v->cpu->number, VMM_TRACE_VCPU_HALT, v->vm->number, v->number, 1, 0);
	return 0;
}

/* The virtual local APIC's timer, which the guest does not see. */
static int64_t call_set_timer(struct vcpu *v, const struct args *a)
{
	const struct profile *p = v->cpu->profile;
	uint64_t ns = wide(v) ? a->a : a->a | a->b << 32;
	unsigned __int128 counts = (unsigned __int128)ns * p->apic_timer_hz / NS;
	vmm_cost(v->cpu, VMM_COST_DEVICE);
	vcpu_now(v);
	if (ns && !counts)
		counts = 1;
	lapic_mmio_write(v->model->lapic, 0x380 /* initial count */, counts > 0xffffffff ? 0xffffffff : (uint32_t)counts);
	return 0;
}

/* ---- back to what was interrupted ---- */

#define FLAGS_ANYBODYS (RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF | RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)

/* A program's code or stack segment: the one it had last, or what the guest's GDT says. */
static bool user_segment(struct vcpu *v, enum seg_reg i, uint16_t sel)
{
	struct pv_state *s = state(v);
	struct pv_segment *known = i == SEG_CS ? &s->user_cs : &s->user_ss;
	if (!(known->attr && known->sel == sel)) {
		uint64_t raw, at = vcpu_get(v, VMCS_GUEST_GDTR_BASE) + (sel & 0xfff8);
		if (sel & 4 || (sel & 3) != 3 || (sel & 0xfff8u) + 7 > vcpu_get(v, VMCS_GUEST_GDTR_LIMIT) || !pv_read(v, at, &raw, 8))
			return false;
		uint32_t attr = (uint32_t)(raw >> 40 & 0xf0ff) | TYPE_ACCESSED;
		const uint32_t want = i == SEG_CS ? SEG_S | SEG_P | TYPE_CODE : SEG_S | SEG_P | TYPE_WRITE;
		if ((attr & want) != want || (i == SEG_SS && attr & TYPE_CODE) || SEG_DPL(attr) != 3 || (i == SEG_CS && attr & TYPE_CONFORMING))
			return false;
		if ((raw >> 16 & 0xffffff) | raw >> 56 || !(raw >> 55 & 1) || (raw & 0xffff) != 0xffff || (raw >> 48 & 15) != 15)
			return false;           /* flat ones: base 0, limit 4 GB */
		*known = (struct pv_segment){ .sel = sel, .attr = attr };
	}
	pv_segment(v, i, known);
	return true;
}

static int64_t call_iret(struct vcpu *v, const struct args *a)
{
	const bool big = wide(v);
	uint64_t w[8], sp = vcpu_get(v, VMCS_GUEST_RSP);
	uint32_t narrow[6] = { 0 };
	struct cpu *c = v->cpu;
	(void)a;
	if (big) {
		if (!pv_read(v, sp, w, sizeof w))
			return PV_EFAULT;
	} else {
		if (!pv_read(v, sp, narrow, 16) || (narrow[2] & 3 && !pv_read(v, sp + 16, narrow + 4, 8)))
			return PV_EFAULT;
		for (unsigned i = 0; i < 6; i++)
			w[i < 1 ? 0 : i + 2] = narrow[i];
		w[1] = c->s.r[R_R11], w[2] = c->s.r[R_RCX];
	}
	const uint64_t rip = w[3], cs = w[4], flags = w[5];
	const bool user = cs & 3;
	if (!pv_linear(v, rip))
		return PV_EINVAL;
	if (user) {
		if (!user_segment(v, SEG_CS, (uint16_t)cs) || !user_segment(v, SEG_SS, (uint16_t)w[7])) {
			pv_segment(v, SEG_CS, &state(v)->cs);
			pv_segment(v, SEG_SS, &state(v)->ss);
			return PV_EINVAL;
		}
	}
	c->s.r[R_RAX] = w[0];
	if (big)
		c->s.r[R_R11] = w[1];
	c->s.r[R_RCX] = w[2];
	vcpu_set(v, VMCS_GUEST_RIP, rip);
	vcpu_set(v, VMCS_GUEST_RSP, big || user ? w[6] : sp + 16);
	vcpu_set(v, VMCS_GUEST_RFLAGS, (flags & FLAGS_ANYBODYS) | RFLAGS_IF | 2);
	pv_shared_write(v, PV_SHARED_MASK, 1, !user && !(flags & RFLAGS_IF));
	return 0;
}
