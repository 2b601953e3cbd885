/* reflect.c - exceptions, interrupts and system calls that are the guest's own: into its IDT or its MSRs, as the CPU would.
 *
 * The usual cases are carried out here: an interrupt or trap gate of the mode's width to code of ring 0 in the GDT, from ring 3 or
 * from ring 0. Whatever is not usual (task gates, 16-bit gates, IST, conforming code, LDTs, stacks with limits, memory without a shadow
 * entry, faults) is delivered by the interpreter, from the start: nothing has changed until the end.
 * Source: SDM Vol. 3A, "Interrupt and Exception Handling"; Vol. 2B, "SYSCALL", "SYSENTER"; Adams and Agesen 2006.
 * Timing: RING_REFLECT or RING_SYSCALL; loads of gate, descriptors and TSS, stores of the frame, fields of the record. */
#include "models/vmm/ring/ring.h"

#include <string.h>

#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

#define FLAT (SEG_G | SEG_P | SEG_S | TYPE_ACCESSED)

struct gate { uint16_t sel; uint64_t to; bool interrupt; unsigned dpl; };

static bool wide_now(const struct vcpu *v) { return v->s.efer & EFER_LMA; }

static bool read_gate(struct vcpu *v, unsigned vector, struct gate *g)
{
	const bool wide = wide_now(v);
	const unsigned size = wide ? 16 : 8;
	uint64_t word[2] = { 0, 0 };
	const uint64_t lin = vcpu_get(v, VMCS_GUEST_IDTR_BASE) + vector * size;
	if (vector * size + size - 1 > vcpu_get(v, VMCS_GUEST_IDTR_LIMIT) || !ring_read(v, wide ? lin : lin & 0xffffffff, word, size))
		return false;
	const unsigned attr = word[0] >> 40 & 0xff, type = attr & 0x1f;
	if (!(attr & 0x80) || (type != DESC_INT32 && type != DESC_TRAP32) || (wide && word[0] >> 32 & 7))
		return false;
	*g = (struct gate){ .sel = (uint16_t)(word[0] >> 16), .to = (word[0] & 0xffff) | (word[0] >> 32 & 0xffff0000) | word[1] << 32,
	                    .interrupt = type == DESC_INT32, .dpl = attr >> 5 & 3 };
	return true;
}

/* Where the frame goes. */
struct stack { uint64_t sp, base, limit; uint16_t ss; struct desc d; };

static bool flat_stack(const struct desc *d)
{
	return d->attr & SEG_DB && !(d->attr & TYPE_CODE) && d->attr & TYPE_WRITE && !(d->attr & TYPE_DOWN);
}

static bool find_stack(struct vcpu *v, bool inner, struct stack *st)
{
	const bool wide = wide_now(v);
	memset(st, 0, sizeof *st);
	if (!inner) {
		st->sp = vcpu_get(v, VMCS_GUEST_RSP);
		if (wide) {
			st->sp &= ~15ull;
			return true;
		}
		st->d.attr = (uint32_t)vcpu_get(v, VMCS_GUEST_SS_ACCESS);
		st->base = vcpu_get(v, VMCS_GUEST_SS_BASE);
		st->limit = vcpu_get(v, VMCS_GUEST_SS_LIMIT);
		return flat_stack(&st->d);
	}
	const uint64_t tss = vcpu_get(v, VMCS_GUEST_TR_BASE) + 4;
	if (vcpu_get(v, VMCS_GUEST_TR_LIMIT) < 11 || !(vcpu_get(v, VMCS_GUEST_TR_ACCESS) & 8))
		return false;
	if (wide) {
		if (!ring_read(v, tss, &st->sp, 8) || (uint64_t)((int64_t)(st->sp << 16) >> 16) != st->sp)
			return false;
		st->sp &= ~15ull;
		return true;
	}
	uint64_t both;
	if (!ring_read(v, tss & 0xffffffff, &both, 8))
		return false;
	st->sp = both & 0xffffffff;
	st->ss = (uint16_t)(both >> 32);
	if (st->ss & 3 || !ring_guest_descriptor(v, st->ss, &st->d) || desc_dpl(&st->d) || !flat_stack(&st->d))
		return false;
	st->base = st->d.base;
	st->limit = st->d.limit;
	return true;
}

static bool push(struct vcpu *v, struct stack *st, const uint64_t *word, unsigned n)
{
	const bool wide = wide_now(v);
	const unsigned size = wide ? 8 : 4;
	if (!wide && (st->sp < n * size || st->sp - 1 > st->limit))
		return false;
	for (unsigned i = 0; i < n; i++) {
		st->sp -= size;
		const uint64_t lin = st->base + st->sp;
		if (!ring_write(v, wide ? lin : lin & 0xffffffff, &word[i], size))
			return false;
	}
	return true;
}

static bool deliver(struct vcpu *v)
{
	const uint32_t info = v->s.pending_event, type = info >> 8 & 7;
	const bool wide = wide_now(v), software = type >= EVENT_SOFTWARE && type <= EVENT_SOFT_EXC, error = info >> 11 & 1;
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS), cs = vcpu_get(v, VMCS_GUEST_CS);
	const unsigned cpl = ring_virtual_cpl(v);
	struct gate g;
	struct desc code;
	struct stack st;
	if (type == EVENT_NMI || type == EVENT_PRIV_SOFTWARE || type == EVENT_OTHER || flags & RFLAGS_VM || v->cpu->s.dr[7] & DR7_ENABLED)
		return false;
	vmm_cost(v->cpu, VMM_COST_RING_REFLECT);
	ring_privilege(v, 0);                   /* its tables are its kernel's */
	if (!read_gate(v, info & 0xff, &g) || (software && g.dpl < cpl))
		return false;
	if (!ring_guest_descriptor(v, g.sel, &code) || !desc_is_code(&code) || code.attr & TYPE_CONFORMING || desc_dpl(&code))
		return false;
	if (wide ? !(code.attr & SEG_L) || code.attr & SEG_DB || (uint64_t)((int64_t)(g.to << 16) >> 16) != g.to
	         : !(code.attr & SEG_DB) || g.to > code.limit)
		return false;
	if (!find_stack(v, cpl, &st))
		return false;
	const uint64_t back = vcpu_get(v, VMCS_GUEST_RIP) + (software ? v->s.pending_length : 0);
	const uint64_t pushed = software ? flags & ~(uint64_t)RFLAGS_RF : flags;
	uint64_t word[6] = { vcpu_get(v, VMCS_GUEST_SS), vcpu_get(v, VMCS_GUEST_RSP), pushed, cs, back, v->s.pending_error };
	const unsigned skip = wide || cpl ? 0 : 2;
	if (!push(v, &st, word + skip, 5 - skip + error))
		return false;
	ring_set_segment(v, SEG_CS, g.sel & 0xfffc, code.base, code.limit, code.attr);
	if (cpl && wide)
		ring_set_segment(v, SEG_SS, 0, 0, 0, SEG_UNUSABLE | SEG_DB);
	else if (cpl)
		ring_set_segment(v, SEG_SS, st.ss, st.d.base, st.d.limit, st.d.attr);
	vcpu_set(v, VMCS_GUEST_RSP, st.sp);
	vcpu_set(v, VMCS_GUEST_RIP, g.to);
	vcpu_set(v, VMCS_GUEST_RFLAGS, flags & ~(uint64_t)(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM | (g.interrupt ? RFLAGS_IF : 0)));
	if (v->s.blocking)
		vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY) & ~3ull);
	return true;
}

bool ring_reflect(struct vcpu *v)
{
	const uint32_t event = v->s.pending_event;
	bool done = deliver(v);
	vcpu_injected(v);
	if (!done)
		v->s.pending_event = event;     /* the interpreter's */
	return done;
}

/* ---- system calls: the physical CPU has carried them out for the VMM; what they would have done in the guest ---- */

static void kernel_segments(struct vcpu *v, uint16_t cs)
{
	const uint32_t width = wide_now(v) ? SEG_L : SEG_DB;
	ring_set_segment(v, SEG_CS, cs, 0, 0xffffffff, FLAT | TYPE_CODE | TYPE_READ | width);
	ring_set_segment(v, SEG_SS, (uint16_t)(cs + 8), 0, 0xffffffff, FLAT | TYPE_WRITE | SEG_DB);
}

/* RCX and R11 hold the return address and the flags, the real ones. */
static void fast_call(struct vcpu *v)
{
	struct cpu *c = v->cpu;
	const struct cpu_state *m = &v->model->s;
	const uint64_t virtual = RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP;
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS) & ~(uint64_t)RFLAGS_RF;
	if (!(v->s.efer & EFER_SCE)) {          /* "#UD": RCX and R11 are lost, the price of letting users call at full speed */
		vcpu_set(v, VMCS_GUEST_RIP, vcpu_get(v, VMCS_GUEST_RIP) - 2);
		vcpu_inject(v, VEC_UD, false, 0);
		return;
	}
	c->s.r[R_R11] = (c->s.r[R_R11] & ~virtual) | (flags & virtual);
	vcpu_set(v, VMCS_GUEST_RFLAGS, flags & ~m->fmask);
	vcpu_set(v, VMCS_GUEST_RIP, m->lstar);
	kernel_segments(v, (uint16_t)(m->star >> 32) & 0xfffc);
}

static void enter_call(struct vcpu *v)
{
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS);
	vcpu_set(v, VMCS_GUEST_RFLAGS, flags & ~(uint64_t)(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF));
	vcpu_set(v, VMCS_GUEST_RIP, vcpu_get(v, VMCS_GUEST_SYSENTER_EIP));
	vcpu_set(v, VMCS_GUEST_RSP, vcpu_get(v, VMCS_GUEST_SYSENTER_ESP));
	kernel_segments(v, vcpu_get(v, VMCS_GUEST_SYSENTER_CS) & 0xfffc);
}

void ring_system_call(struct vcpu *v, const struct ring_frame *f)
{
	vmm_cost(v->cpu, VMM_COST_RING_SYSCALL);
	vmx_tell_exit(v->cpu, EXIT_SYSTEM_CALL, f->vector == RING_STUB_SYSENTER, ring_peek(v, VMCS_GUEST_RIP), 2);
	if (f->vector == RING_STUB_SYSCALL)
		fast_call(v);
	else
		enter_call(v);
}
