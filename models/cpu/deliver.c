/* deliver.c - an exception or interrupt on its way to its handler.
 *
 * A flow of named phases (flow.def); it commits nothing before its last possible fault, so a fault inside it meets the
 * state the first event met. Two faults make a double fault by the manual's table, three shut the CPU down.
 * Source: SDM Vol. 3A, "Interrupt and Exception Handling", "Conditions for Generating a Double Fault",
 * "64-Bit Mode Stack Frame"; Vol. 2A, "INT n".
 * Timing: profile rows exception.flow, interrupt.flow, exception.ring, divided by flow.def; references on top. */
#include "models/cpu/access.h"
#include "models/cpu/cet.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

/* ---- the stages of one delivery ---- */

static bool is_software(const struct cpu_event *ev)
{
	return ev->type == EVENT_SOFTWARE || ev->type == EVENT_SOFT_EXC ||
	       ev->type == EVENT_PRIV_SOFTWARE;
}

static enum flow_phase phase_of(const struct flow *f, enum flow_phase exception,
                                enum flow_phase interrupt)
{
	return f->id == FLOW_INTERRUPT ? interrupt : exception;
}
#define DELIVERY_PHASE(f, P) phase_of(f, PHASE_EXCEPTION_##P, PHASE_INTERRUPT_##P)

/* RFLAGS as the handler finds them. "For any fault-class exception except a debug exception
 * generated in response to an instruction breakpoint, the value pushed for RF is 1. ... For other
 * cases, the value pushed for RF is the value that was in EFLAGS.RF at the time the event handler
 * was called. ... Software-generated interrupts (RF is pushed as 0 ...)" SDM Vol. 3B, "Instruction-Breakpoint Exception Condition" */
uint64_t event_flags(const struct cpu *c, const struct cpu_event *ev)
{
	uint64_t fl = cpu_rflags(c);
	if (c->injecting)
		return fl;      /* VM entry's event: as the VMM has them */
	bool fault = ev->type == EVENT_HARDWARE && ev->vector != VEC_MC &&
	             (ev->vector != VEC_DB || ev->dr6 & BIT(13));
	if (ev->type >= EVENT_SOFTWARE && ev->type <= EVENT_SOFT_EXC)
		fl &= ~(uint64_t)RFLAGS_RF;
	return fault ? fl | RFLAGS_RF : fl;
}

/* The registers an exception sets before its handler can be found. */
static void announce(struct cpu *c, const struct cpu_event *ev)
{
	if (ev->type == EVENT_HARDWARE && ev->vector == VEC_PF)
		c->s.cr2 = ev->cr2;
	/* an injected debug exception modifies none of these: the VMM has */
	if (ev->vector == VEC_DB && !c->injecting &&
	    (ev->type == EVENT_HARDWARE || (ev->type == EVENT_PRIV_SOFTWARE && ev->dr6))) {
		c->s.dr[6] = (c->s.dr[6] & ~0xfull) | ev->dr6;
		c->s.dr[7] &= ~BIT(13);         /* GD: the handler may use the debug registers */
		c->s.debugctl &= ~(uint64_t)(DEBUGCTL_LBR | DEBUGCTL_BTF);
		debug_changed(c);
	}
	if (ev->type == EVENT_NMI)
		c->s.nmi_blocked = 1;
}

static void count(struct cpu *c, const struct cpu_event *ev)
{
	cycle_t now = c->ledger.now;
	switch (ev->type) {
	case EVENT_EXTERNAL:
		c->stat[CPU_STAT_INTERRUPT]++;
		trace(c->trace, now, c->number, CPU_TRACE_INTERRUPT, ev->vector, c->s.rip, 0, 0);
		break;
	case EVENT_NMI:
		c->stat[CPU_STAT_NMI]++;
		trace(c->trace, now, c->number, CPU_TRACE_NMI, c->s.rip, 0, 0, 0);
		break;
	case EVENT_HARDWARE:
		c->stat[CPU_STAT_EXCEPTION]++;
		trace(c->trace, now, c->number, CPU_TRACE_EXCEPTION, ev->vector, ev->error,
		      c->s.rip, ev->cr2);
		break;
	default:
		c->stat[CPU_STAT_SOFT_INT]++;
		trace(c->trace, now, c->number, CPU_TRACE_SOFT_INT, ev->vector, c->s.rip, 0, 0);
		break;
	}
}

void event_settle(struct cpu *c, uint64_t rip)
{
	c->s.rip = rip;
	c->s.shadow = 0;
	cpu_unmark(c);
	cpu_attention(c);
}

/* Through the interrupt vector table. SDM Vol. 3B, "Interrupt and Exception Handling" (8086
 * emulation). */
static void deliver_real(struct cpu *c, const struct cpu_event *ev, uint64_t back, struct flow *f)
{
	flow_phase(c, f, DELIVERY_PHASE(f, GATE));
	uint32_t off = ev->vector * 4u;
	if (off + 3 > c->s.idtr.limit)
		cpu_raise_ec(c, VEC_GP, off + 2);
	uint32_t entry = (uint32_t)cpu_sys_load(c, (c->s.idtr.base + off) & 0xffffffff, 4);
	flow_phase(c, f, DELIVERY_PHASE(f, PUSH));
	unsigned ss = stack_size(c);
	struct frame st = { .sp = c->s.r[R_RSP] & MASK(ss * 8), .mask = MASK(ss * 8), .cpl = 0 };
	frame_push(c, &st, 2, cpu_rflags(c));
	frame_push(c, &st, 2, c->s.seg[SEG_CS].sel);
	frame_push(c, &st, 2, back);
	flow_phase(c, f, DELIVERY_PHASE(f, LOAD));
	c->s.r[R_RSP] = (c->s.r[R_RSP] & ~st.mask) | st.sp;
	c->s.flags &= ~(uint64_t)(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
	seg_load_real(c, SEG_CS, (uint16_t)(entry >> 16));
	cpu_mode_changed(c);
	event_settle(c, entry & 0xffff);
}

struct gate { uint16_t sel; uint64_t off; unsigned type, ist; };

/* The IDT entry, checked. Error codes name the vector with the IDT bit (1) set. */
static void read_gate(struct cpu *c, const struct cpu_event *ev, struct gate *g)
{
	bool lma = cpu_lma(c);
	uint32_t off = ev->vector * (lma ? 16u : 8u), error = ev->vector * 8u + 2;
	if (off + (lma ? 15 : 7) > c->s.idtr.limit)
		cpu_raise_ec(c, VEC_GP, error);
	uint64_t lin = c->s.idtr.base + off, mask = lma ? ~0ull : 0xffffffff;
	uint64_t lo = cpu_sys_load(c, lin & mask, 8);
	uint64_t hi = lma ? cpu_sys_load(c, lin + 8, 8) : 0;
	unsigned attr = lo >> 40 & 0xff;
	g->type = attr & 0x1f;
	g->sel = (uint16_t)(lo >> 16);
	g->off = (lo & 0xffff) | (lo >> 32 & 0xffff0000) | hi << 32;
	g->ist = lma ? lo >> 32 & 7 : 0;
	bool known = g->type == DESC_INT32 || g->type == DESC_TRAP32 ||
	             (!lma && (g->type == DESC_TASK_GATE || g->type == DESC_INT16 ||
	                       g->type == DESC_TRAP16));
	if (!known)
		cpu_raise_ec(c, VEC_GP, error);
	if ((ev->type == EVENT_SOFTWARE || ev->type == EVENT_SOFT_EXC) &&
	    (attr >> 5 & 3) < c->s.cpl)
		cpu_raise_ec(c, VEC_GP, error);
	if (!(attr & 0x80))
		cpu_raise_ec(c, VEC_NP, error);
	if (g->type == DESC_INT16 || g->type == DESC_TRAP16)
		g->off &= 0xffff;
}

/* IF cleared by interrupt gates alone; the rest by all. */
static void handler_flags(struct cpu *c, const struct gate *g)
{
	uint64_t clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM;
	if (!(g->type & 1))
		clear |= RFLAGS_IF;
	c->s.flags &= ~clear;
}

/* The handler's code segment, checked; true when it is more privileged. */
static bool handler_code(struct cpu *c, const struct gate *g, struct desc *cs)
{
	if (sel_null(g->sel))
		cpu_raise_ec(c, VEC_GP, 0);
	desc_need(c, g->sel, VEC_GP, cs);
	if (!desc_is_code(cs) || desc_dpl(cs) > c->s.cpl)
		cpu_raise_ec(c, VEC_GP, sel_error(g->sel));
	if (cpu_lma(c) && (!(cs->attr & SEG_L) || cs->attr & SEG_DB))
		cpu_raise_ec(c, VEC_GP, sel_error(g->sel));
	if (!(cs->attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(g->sel));
	bool inner = !(cs->attr & TYPE_CONFORMING) && desc_dpl(cs) < c->s.cpl;
	if (cpu_v86(c) && (!inner || desc_dpl(cs) != 0))
		cpu_raise_ec(c, VEC_GP, sel_error(g->sel));
	return inner;
}

/* The what-if machine: a program that asks for a handler gets ring 0, or #GP. */
static void enters_ring0(struct cpu *c, const struct cpu_event *ev, unsigned cpl)
{
	if (unlikely(c->trap_key) && cpl && !cpu_v86(c) && is_software(ev))
		cpu_raise_ec(c, VEC_GP, ev->vector * 8u + 2);
}

/* 16- and 32-bit gates. */
static void deliver_legacy(struct cpu *c, const struct cpu_event *ev, const struct gate *g,
                           uint64_t back, struct flow *f)
{
	unsigned size = g->type & 8 ? 4 : 2;
	uint64_t fl = event_flags(c, ev);
	struct desc cs, ssd;
	struct frame st = { .v = VEC_SS };
	struct cet_plan shadow = { 0 };
	uint16_t ss = 0;
	flow_phase(c, f, DELIVERY_PHASE(f, CODE));
	bool inner = handler_code(c, g, &cs), v86 = cpu_v86(c);
	unsigned cpl = inner ? desc_dpl(&cs) : c->s.cpl;
	enters_ring0(c, ev, cpl);
	if (inner) {
		flow_phase(c, f, DELIVERY_PHASE(f, STACK));
		flow_extra(c, f, c->profile->ring_flow);
		tss_stack(c, cpl, &ss, &st.sp);
		seg_check_stack(c, ss, cpl, VEC_TS, &ssd);
		st.base = ssd.base;
		st.mask = ssd.attr & SEG_DB ? 0xffffffff : 0xffff;
		st.seg = &ssd;
		st.error = sel_error(ss);
		st.sp &= st.mask;
	} else {
		st.mask = MASK(stack_size(c) * 8);
		st.sp = c->s.r[R_RSP] & st.mask;
	}
	st.cpl = cpl;
	if (g->off > cs.limit)
		cpu_raise_ec(c, VEC_GP, 0);
	flow_phase(c, f, DELIVERY_PHASE(f, PUSH));
	if (inner && v86) {
		frame_push(c, &st, size, c->s.seg[SEG_GS].sel);
		frame_push(c, &st, size, c->s.seg[SEG_FS].sel);
		frame_push(c, &st, size, c->s.seg[SEG_DS].sel);
		frame_push(c, &st, size, c->s.seg[SEG_ES].sel);
	}
	if (inner) {
		frame_push(c, &st, size, c->s.seg[SEG_SS].sel);
		frame_push(c, &st, size, c->s.r[R_RSP]);
	}
	frame_push(c, &st, size, fl);
	frame_push(c, &st, size, c->s.seg[SEG_CS].sel);
	frame_push(c, &st, size, back);
	if (ev->has_error)
		frame_push(c, &st, size, ev->error);
	desc_accessed(c, &cs);
	if (inner)
		desc_accessed(c, &ssd);
	cet_enter(c, cpl, false, 0, back, &shadow);

	flow_phase(c, f, DELIVERY_PHASE(f, LOAD));
	handler_flags(c, g);
	if (inner && v86) {
		seg_set_null(c, SEG_GS, 0);
		seg_set_null(c, SEG_FS, 0);
		seg_set_null(c, SEG_DS, 0);
		seg_set_null(c, SEG_ES, 0);
	}
	if (inner)
		seg_set(c, SEG_SS, ss, &ssd);
	c->s.r[R_RSP] = (c->s.r[R_RSP] & ~st.mask) | st.sp;
	cs_load(c, g->sel, &cs, cpl);
	cet_commit(c, &shadow);
	event_settle(c, g->off);
}

/* 64-bit gates: always SS:RSP, a 16-byte-aligned frame, perhaps an IST stack. */
static void deliver_64(struct cpu *c, const struct cpu_event *ev, const struct gate *g,
                       uint64_t back, struct flow *f)
{
	struct desc cs;
	struct cet_plan shadow = { 0 };
	flow_phase(c, f, DELIVERY_PHASE(f, CODE));
	bool inner = handler_code(c, g, &cs);
	unsigned cpl = inner ? desc_dpl(&cs) : c->s.cpl;
	enters_ring0(c, ev, cpl);
	struct frame st = { .mask = ~0ull, .cpl = cpl, .sp = c->s.r[R_RSP], .v = VEC_SS };
	if (inner || g->ist) {
		flow_phase(c, f, DELIVERY_PHASE(f, STACK));
		flow_extra(c, f, c->profile->ring_flow);
		st.sp = tss_stack64(c, g->ist ? 3 + g->ist : cpl);
		if (!canonical_now(c, st.sp))
			cpu_raise_ec(c, VEC_SS, 0);
	}
	st.sp &= ~15ull;
	if (!canonical_now(c, g->off))
		cpu_raise_ec(c, VEC_GP, 0);
	flow_phase(c, f, DELIVERY_PHASE(f, PUSH));
	frame_push(c, &st, 8, c->s.seg[SEG_SS].sel);
	frame_push(c, &st, 8, c->s.r[R_RSP]);
	frame_push(c, &st, 8, event_flags(c, ev));
	frame_push(c, &st, 8, c->s.seg[SEG_CS].sel);
	frame_push(c, &st, 8, back);
	if (ev->has_error)
		frame_push(c, &st, 8, ev->error);
	desc_accessed(c, &cs);
	cet_enter(c, cpl, true, g->ist, back, &shadow);

	flow_phase(c, f, DELIVERY_PHASE(f, LOAD));
	handler_flags(c, g);
	cs_load(c, g->sel, &cs, cpl);
	if (inner)
		seg_set_null(c, SEG_SS, (uint16_t)cpl);
	c->s.r[R_RSP] = st.sp;
	cet_commit(c, &shadow);
	event_settle(c, g->off);
}

static void deliver(struct cpu *c, const struct cpu_event *ev)
{
	struct flow f;
	struct gate g;
	/* INT n, INT3, INTO, INT1 return after themselves */
	uint64_t back = c->s.rip + (is_software(ev) ? ev->len : 0);
	if (!cpu_long64(c))
		back &= 0xffffffff;
	flow_begin(c, &f,
	           ev->type == EVENT_EXTERNAL || ev->type == EVENT_NMI ? FLOW_INTERRUPT :
	                                                                 FLOW_EXCEPTION);
	flow_phase(c, &f, DELIVERY_PHASE(&f, RECOGNISE));
	if (f.id == FLOW_INTERRUPT)
		flow_phase(c, &f, PHASE_INTERRUPT_ACK);
	if (cpu_real(c)) {
		deliver_real(c, ev, back, &f);
	} else {
		flow_phase(c, &f, DELIVERY_PHASE(&f, GATE));
		read_gate(c, ev, &g);
		if (g.type == DESC_TASK_GATE)
			enters_ring0(c, ev, c->s.cpl), task_gate(c, g.sel, TASK_INT, back, ev->has_error, ev->error);
		else if (cpu_lma(c))
			deliver_64(c, ev, &g, back, &f);
		else
			deliver_legacy(c, ev, &g, back, &f);
	}
	flow_end(c, &f);
}

/* ---- faults while delivering ---- */

enum { CLASS_NONE, CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT, CLASS_DOUBLE };

static unsigned class_of(const struct cpu_event *ev)
{
	if (ev->type != EVENT_HARDWARE)
		return CLASS_BENIGN;
	switch (ev->vector) {
	case VEC_DE: case VEC_TS: case VEC_NP: case VEC_SS: case VEC_GP: case VEC_CP:
		return CLASS_CONTRIBUTORY;
	case VEC_PF: case VEC_VE:
		return CLASS_PAGE_FAULT;
	case VEC_DF:
		return CLASS_DOUBLE;
	default:
		return CLASS_BENIGN;
	}
}

/* SDM Vol. 3A, "Conditions for Generating a Double Fault": rows first, columns second. */
static bool makes_double_fault(unsigned first, unsigned second)
{
	if (first == CLASS_CONTRIBUTORY)
		return second == CLASS_CONTRIBUTORY;
	return first == CLASS_PAGE_FAULT &&
	       (second == CLASS_CONTRIBUTORY || second == CLASS_PAGE_FAULT);
}

/* One attempt. false: c->fault struck, state as before. A function of its own so that setjmp meets
 * no live local. */
static bool attempt(struct cpu *c, const struct cpu_event *ev)
{
	if (setjmp(c->fault_exit))
		return false;
	deliver(c, ev);
	return true;
}

static void shut_down(struct cpu *c)
{
	if (vmx_triple_fault(c))
		return;
	c->s.activity = ACTIVITY_SHUTDOWN;
	trace(c->trace, c->ledger.now, c->number, CPU_TRACE_SHUTDOWN, c->s.rip, 0, 0, 0);
	cpu_attention(c);
}

/* In a guest the event may cause a VM exit instead; c->delivering is then the event it struck, for the
 * IDT-vectoring information. An event that VM entry injects does so only by what goes wrong. */
static void deliver_or_exit(struct cpu *c, const struct cpu_event *first)
{
	struct cpu_event ev = *first, struck;
	bool up = c->vmx.deprivileged && c->s.cpl;      /* to modelled software in ring 0 */
	struct vmx_exit x;
	jmp_buf outer;
	memcpy(&outer, &c->fault_exit, sizeof outer);
	c->block = NULL;
	if (up)
		c->ledger.acct = ACCT_HARDWARE;
	/* BS waits for nobody: a fault in the stepped instruction, or an interrupt, drops it. Data
	 * breakpoints stay. */
	if (ev.vector != VEC_DB || ev.type != EVENT_HARDWARE)
		c->s.pending_dbg &= ~BIT(14);
	for (;;) {
		if (!c->injecting && vmx_event_exits(c, &ev, &x)) {
			vmx_leave(c, &x);
			break;
		}
		announce(c, &ev);
		count(c, &ev);
		c->s.in_delivery = (uint8_t)class_of(&ev);
		c->ext = !(ev.type == EVENT_SOFTWARE || ev.type == EVENT_SOFT_EXC);
		c->delivering = &ev;
		bool done = attempt(c, &ev);
		c->ext = 0;
		if (done) {
			/* INT n has executed; a fault leaves the instruction unexecuted */
			if (is_software(&ev) && !c->injecting)
				c->s.icount++;
			if (c->vmx.guest && vmx_on(c, MTF))
				c->vmx.mtf_pending = 1;
			break;
		}
		if (c->fault.type == EVENT_VM_EXIT) {
			vmx_leave(c, &c->exit);
			break;
		}
		/* before two faults become one: "... encounters an exception while attempting to call the double-fault
		 * handler and that exception itself does not cause a VM exit due to the exception bitmap" */
		struck = ev;
		c->delivering = &struck;
		if (vmx_event_exits(c, &c->fault, &x)) {
			vmx_leave(c, &x);
			break;
		}
		c->injecting = 0;
		unsigned was = c->s.in_delivery, now = class_of(&c->fault);
		if (was == CLASS_DOUBLE && (now == CLASS_CONTRIBUTORY || now == CLASS_PAGE_FAULT)) {
			shut_down(c);
			break;
		}
		if (makes_double_fault(was, now))
			ev = (struct cpu_event){ .vector = VEC_DF,
				                 .type = EVENT_HARDWARE,
				                 .has_error = 1 };
		else
			ev = c->fault;
	}
	c->delivering = NULL;
	c->injecting = c->iret_unblocked = 0;
	c->s.in_delivery = CLASS_NONE;
	if (up) {
		c->ledger.acct = ACCT_GUEST;
		cpu_mode_changed(c);
	}
	memcpy(&c->fault_exit, &outer, sizeof outer);
}

void cpu_deliver(struct cpu *c, const struct cpu_event *ev)
{
	deliver_or_exit(c, ev);
}

void cpu_inject(struct cpu *c, const struct cpu_event *ev)
{
	c->injecting = 1;
	deliver_or_exit(c, ev);
}
