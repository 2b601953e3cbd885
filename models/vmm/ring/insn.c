/* insn.c - instructions of a guest's kernel that VMX has no exit for, carried out on the record: IRET, SYSRET, SYSEXIT, CLI, STI, PUSHF,
 * POPF, SWAPGS, INT n.
 *
 * The usual cases only: whatever would fault, single-steps, changes to virtual-8086 mode or another task, uses an LDT or memory without a
 * shadow entry is left to the interpreter, from the start.
 * Source: SDM Vol. 2, each instruction; Vol. 3A, "Returning from an Exception- or Interrupt-Handler Procedure".
 * Timing: RING_RETURN, RING_FLAGS; loads and stores of the guest's stack and descriptors, fields of the record.
 * Simplified: a return to the user checks data segments by their recorded rights. */
#include "models/vmm/ring/ring.h"

#include "models/cpu/decode.h"
#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "models/vmm/exit.h"

#define FLAT (SEG_G | SEG_P | SEG_S | TYPE_ACCESSED)
/* What a kernel's POPF and IRET may change. */
#define KERNEL_FLAGS ((uint64_t)(RFLAGS_STATUS | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID | RFLAGS_IF | RFLAGS_IOPL))

static bool wide_now(const struct vcpu *v) { return v->s.efer & EFER_LMA; }
static bool canonical(uint64_t a) { return (uint64_t)((int64_t)(a << 16) >> 16) == a; }

/* The instruction is over: the shadow of STI and MOV SS with it. */
static void over(struct vcpu *v)
{
	if (v->s.blocking)
		vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY) & ~3ull);
}

/* The stack of the guest's kernel as one piece of linear memory. */
static bool stack(struct vcpu *v, uint64_t *lin)
{
	const uint64_t sp = vcpu_get(v, VMCS_GUEST_RSP);
	*lin = sp;
	if (wide_now(v))
		return vcpu_get(v, VMCS_GUEST_CS_ACCESS) & SEG_L;
	const uint64_t attr = vcpu_get(v, VMCS_GUEST_SS_ACCESS), limit = vcpu_get(v, VMCS_GUEST_SS_LIMIT);
	*lin = (sp + vcpu_get(v, VMCS_GUEST_SS_BASE)) & 0xffffffff;
	return attr & SEG_DB && !(attr & TYPE_DOWN) && sp >= 64 && sp + 64 <= limit && *lin <= 0xffffff00;
}

/* ---- returns ---- */

static const enum seg_reg data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

static bool inner(struct vcpu *v, unsigned i)
{
	const uint32_t attr = (uint32_t)vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + (int)i));
	return !(attr & SEG_UNUSABLE) && ring_inner(attr);
}

/* Data segments that the user may not have become null. */
static void drop_inner(struct vcpu *v)
{
	for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
		if (!inner(v, data[i]))
			continue;
		/* the base stays: 64-bit code goes on using FS's and GS's */
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES + (int)data[i]), 0);
		vcpu_set(v, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS + (int)data[i]), SEG_UNUSABLE);
	}
}

static bool code_for(struct vcpu *v, uint16_t sel, uint64_t rip, struct desc *d)
{
	if ((sel & 3) != 0 && (sel & 3) != 3)
		return false;
	if (!ring_guest_descriptor(v, sel, d) || !desc_is_code(d) || d->attr & TYPE_CONFORMING || desc_dpl(d) != (sel & 3u))
		return false;
	if (wide_now(v) && d->attr & SEG_L)
		return !(d->attr & SEG_DB) && canonical(rip);
	return rip <= d->limit;
}

static bool stack_for(struct vcpu *v, uint16_t ss, unsigned cpl, bool null_allowed, struct desc *d)
{
	if (sel_null(ss)) {
		*d = (struct desc){ .attr = SEG_UNUSABLE | SEG_DB | (uint32_t)cpl << 5 };
		return null_allowed && (ss & 3) == cpl;
	}
	return (ss & 3) == cpl && ring_guest_descriptor(v, ss, d) && desc_is_data(d) && d->attr & TYPE_WRITE && desc_dpl(d) == cpl;
}

static bool iret(struct vcpu *v, unsigned size)
{
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS);
	uint64_t lin, word[5] = { 0 };
	struct desc cs, ss;
	const bool wide = wide_now(v);
	if (size < 4 || flags & (RFLAGS_NT | RFLAGS_VM | RFLAGS_TF) || !stack(v, &lin) || vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY) & 8)
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (!ring_read(v, lin + i * size, &word[i], size))
			return false;
	const uint16_t sel = (uint16_t)word[1];
	const unsigned cpl = sel & 3;
	if (word[2] & (RFLAGS_VM | RFLAGS_VIF | RFLAGS_VIP) || !code_for(v, sel, word[0], &cs))
		return false;
	const bool more = wide || cpl;
	for (unsigned i = 3; i < 5 && more; i++)
		if (!ring_read(v, lin + i * size, &word[i], size))
			return false;
	if (more && !stack_for(v, (uint16_t)word[4], cpl, wide && cs.attr & SEG_L && !cpl, &ss))
		return false;
	if (more && !(cs.attr & SEG_L) && !(ss.attr & SEG_DB))
		return false;           /* a 16-bit stack: SP alone is loaded */
	const uint64_t mask = KERNEL_FLAGS | RFLAGS_RF;
	vcpu_set(v, VMCS_GUEST_RFLAGS, (flags & ~mask) | (word[2] & mask) | 2);
	vcpu_set(v, VMCS_GUEST_RIP, word[0]);
	ring_set_segment(v, SEG_CS, sel, cs.base, cs.limit, cs.attr);
	vcpu_set(v, VMCS_GUEST_RSP, more ? word[3] : vcpu_get(v, VMCS_GUEST_RSP) + 3 * size);
	if (more)
		ring_set_segment(v, SEG_SS, (uint16_t)word[4], ss.base, ss.limit, ss.attr);
	if (cpl)
		drop_inner(v);
	over(v);
	return true;
}

static void user_segments(struct vcpu *v, uint16_t cs, uint16_t ss, uint32_t width)
{
	ring_set_segment(v, SEG_CS, cs | 3, 0, 0xffffffff, FLAT | TYPE_CODE | TYPE_READ | 3 << 5 | width);
	ring_set_segment(v, SEG_SS, ss | 3, 0, 0xffffffff, FLAT | TYPE_WRITE | SEG_DB | 3 << 5);
}

static bool sysret(struct vcpu *v, unsigned size)
{
	const struct cpu *c = v->cpu;
	const uint16_t sel = (uint16_t)(v->model->s.star >> 48);
	const bool to64 = size == 8;
	const uint64_t rip = c->s.r[R_RCX], fl = c->s.r[R_R11] & 0x3c7fd7;
	if (!(vcpu_get(v, VMCS_GUEST_CS_ACCESS) & SEG_L) || !(v->s.efer & EFER_SCE) || (to64 && !canonical(rip)))
		return false;
	if ((fl | vcpu_get(v, VMCS_GUEST_RFLAGS)) & RFLAGS_TF)
		return false;
	vcpu_set(v, VMCS_GUEST_RFLAGS, (fl & ~(uint64_t)RFLAGS_RF) | 2);
	vcpu_set(v, VMCS_GUEST_RIP, to64 ? rip : rip & 0xffffffff);
	user_segments(v, (uint16_t)(to64 ? sel + 16 : sel), (uint16_t)(sel + 8), to64 ? SEG_L : SEG_DB);
	over(v);
	return true;
}

static bool sysexit(struct vcpu *v, unsigned size)
{
	const struct cpu *c = v->cpu;
	const uint64_t sel = vcpu_get(v, VMCS_GUEST_SYSENTER_CS) & 0xfffc, rip = c->s.r[R_RDX], sp = c->s.r[R_RCX];
	const bool to64 = size == 8;
	if (!sel || (to64 && (!canonical(rip) || !canonical(sp))) || vcpu_get(v, VMCS_GUEST_RFLAGS) & RFLAGS_TF)
		return false;
	const uint16_t cs = (uint16_t)(sel + (to64 ? 32 : 16));
	vcpu_set(v, VMCS_GUEST_RIP, to64 ? rip : rip & 0xffffffff);
	vcpu_set(v, VMCS_GUEST_RSP, to64 ? sp : sp & 0xffffffff);
	user_segments(v, cs, (uint16_t)(cs + 8), to64 ? SEG_L : SEG_DB);
	for (unsigned i = 0; i < ARRAY_LEN(data) && !wide_now(v); i++)
		if (inner(v, data[i]))
			v->s.segments_changed |= (uint32_t)BIT(data[i]);        /* the user keeps it: segment.c */
	over(v);
	return true;
}

void serve_return(struct vcpu *v)
{
	const unsigned row = (unsigned)vcpu_get(v, VMCS_EXIT_INSN_INFO), size = (unsigned)vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	vmm_cost(v->cpu, VMM_COST_RING_RETURN);
	bool done = row == INSN_SYSRET ? sysret(v, size) : row == INSN_SYSEXIT ? sysexit(v, size) : iret(v, size);
	if (!done)
		vcpu_interpret_light(v);
}

/* ---- flags ---- */

static bool cli_sti(struct vcpu *v, bool on)
{
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS);
	vcpu_set(v, VMCS_GUEST_RFLAGS, on ? flags | RFLAGS_IF : flags & ~(uint64_t)RFLAGS_IF);
	vcpu_skip(v);
	if (on && !(flags & RFLAGS_IF))
		vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY) | 1);
	return true;
}

static bool pushf(struct vcpu *v, unsigned size)
{
	uint64_t lin, fl = vcpu_get(v, VMCS_GUEST_RFLAGS) & ~(uint64_t)(RFLAGS_VM | RFLAGS_RF);
	if (!stack(v, &lin) || !ring_write(v, lin - size, &fl, size))
		return false;
	vcpu_set(v, VMCS_GUEST_RSP, vcpu_get(v, VMCS_GUEST_RSP) - size);
	vcpu_skip(v);
	return true;
}

static bool popf(struct vcpu *v, unsigned size)
{
	const uint64_t flags = vcpu_get(v, VMCS_GUEST_RFLAGS), mask = size == 2 ? KERNEL_FLAGS & 0xffff : KERNEL_FLAGS;
	uint64_t lin, fl = 0;
	if (flags & RFLAGS_TF || !stack(v, &lin) || !ring_read(v, lin, &fl, size) || fl & RFLAGS_TF)
		return false;
	vcpu_set(v, VMCS_GUEST_RSP, vcpu_get(v, VMCS_GUEST_RSP) + size);
	vcpu_set(v, VMCS_GUEST_RFLAGS, (flags & ~mask & ~(uint64_t)RFLAGS_RF) | (fl & mask) | 2);
	vcpu_skip(v);
	return true;
}

void serve_flags(struct vcpu *v)
{
	const unsigned row = (unsigned)vcpu_get(v, VMCS_EXIT_INSN_INFO), size = (unsigned)vcpu_get(v, VMCS_EXIT_QUALIFICATION);
	vmm_cost(v->cpu, VMM_COST_RING_FLAGS);
	bool done = row == INSN_CLI || row == INSN_STI                            ? cli_sti(v, row == INSN_STI) :
	            row == INSN_PUSHF || row == INSN_PUSHFD || row == INSN_PUSHFQ ? pushf(v, size) :
	                                                                            popf(v, size);
	if (!done)
		vcpu_interpret_light(v);
}

/* ---- SWAPGS, and what else concerns segments ---- */

void serve_segment(struct vcpu *v)
{
	struct cpu_state *m = &v->model->s;
	/* the qualification is an operand size for SWAPGS alone */
	if (!vcpu_get(v, VMCS_EXIT_QUALIFICATION) || vcpu_get(v, VMCS_EXIT_INSN_INFO) != INSN_SWAPGS) {
		vcpu_interpret_light(v);
		return;
	}
	vmm_cost(v->cpu, VMM_COST_SIMPLE);
	const uint64_t gs = vcpu_get(v, VMCS_GUEST_GS_BASE);
	vcpu_set(v, VMCS_GUEST_GS_BASE, m->kernel_gs_base);
	m->kernel_gs_base = gs;
	vcpu_skip(v);
}

/* ---- INT n ---- */

/* Qualification: the error code of the #GP that the VMM's gates make of it. Delivered as an event; from the start when that fails. */
void serve_int(struct vcpu *v)
{
	const unsigned length = (unsigned)vcpu_get(v, VMCS_EXIT_INSN_LENGTH), vector = vcpu_get(v, VMCS_EXIT_QUALIFICATION) >> 3 & 0xff;
	if (!length) {
		vcpu_interpret_light(v);
		return;
	}
	const unsigned type = length == 1 ? EVENT_SOFT_EXC : EVENT_SOFTWARE;
	over(v);
	v->s.pending_event = 1u << 31 | type << 8 | vector;
	v->s.pending_error = 0;
	v->s.pending_length = length;
}
