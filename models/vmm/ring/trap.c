/* trap.c - what a guest in rings came back for: from the vector on the VMM's stack to an exit reason as VT-x would give it.
 *
 *   #PF                    exception: the pager; the error code's U/S bit as the guest's kernel would see it
 *   #GP(0)                 the instruction at RIP, decoded: a row of trap.def; of a user, or without a row: carried out by the
 *                          interpreter, which raises what the guest has coming
 *   #GP, #NP, #SS, #TS     with a selector: a descriptor that is not copied yet, or what the guest's own tables say (segment.c)
 *   #GP with the IDT bit   INT n
 *   other exceptions       the guest's own
 *   interrupts             the host's
 *   SYSCALL, SYSENTER      the guest's own (reflect.c)
 *
 * So exit services, hooks, statistics and traces are those of VMX. What VMX has no exit for has reasons of its own (96 and up).
 * Source: SDM Vol. 3C, "Exit Qualification" (formats); Vol. 3A, "Error Code".
 * Timing: RING_DECODE and the references to the guest's code; the stores of reason, qualification and length into the record.
 * Simplified: the bytes of an instruction are read in two references. */
#include "models/vmm/ring/ring.h"

#include <stdio.h>
#include <string.h>

#include "models/cpu/decode.h"
#include "models/cpu/flags.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"
#include "models/vmm/exit.h"

/* ---- the exit ---- */

void ring_exit(struct vcpu *v, uint32_t reason, uint64_t qualification, unsigned length)
{
	vcpu_set(v, VMCS_EXIT_REASON, reason);
	vcpu_set(v, VMCS_EXIT_QUALIFICATION, qualification);
	vcpu_set(v, VMCS_EXIT_INSN_LENGTH, length);
	vmx_tell_exit(v->cpu, reason, qualification, ring_peek(v, VMCS_GUEST_RIP), length);
	vcpu_serve(v);
}

static void exception(struct vcpu *v, unsigned vector, bool has_error, uint32_t error, uint64_t qualification)
{
	vcpu_set(v, VMCS_EXIT_INTR_INFO, 1u << 31 | (has_error ? 1u << 11 : 0) | EVENT_HARDWARE << 8 | vector);
	if (has_error)
		vcpu_set(v, VMCS_EXIT_INTR_ERROR, error);
	ring_exit(v, EXIT_EXCEPTION, qualification, 0);
}

/* ---- instructions ---- */

struct trapped {
	struct uop u;
	enum cpu_mode mode;
	uint64_t mask;                  /* of linear addresses */
	uint64_t qualification;
};

static enum cpu_mode mode_of(struct vcpu *v)
{
	const uint32_t cs = (uint32_t)vcpu_get(v, VMCS_GUEST_CS_ACCESS);
	if (v->s.efer & EFER_LMA)
		return cs & SEG_L ? MODE_LONG64 : cs & SEG_DB ? MODE_COMPAT32 : MODE_COMPAT16;
	return cs & SEG_DB ? MODE_PROT32 : MODE_PROT16;
}

/* False: its bytes are not to be had this way. */
static bool fetch(struct vcpu *v, struct trapped *t)
{
	uint8_t bytes[16] = { 0 };
	t->mode = mode_of(v);
	t->mask = t->mode == MODE_LONG64 ? ~0ull : MASK(32);
	const uint64_t base = t->mode == MODE_LONG64 ? 0 : vcpu_get(v, VMCS_GUEST_CS_BASE), lin = (base + vcpu_get(v, VMCS_GUEST_RIP)) & t->mask;
	const unsigned room = PAGE_SIZE - (lin & 0xfff), n = room < INSN_BYTES_MAX ? room : INSN_BYTES_MAX, half = n < 8 ? n : 8;
	const struct ring_hooks *h = ring_hooks(v->vm);
	const uint8_t *known = h->insn ? h->insn(v) : NULL;
	if (known)                      /* and decoded: by the translator, long ago */
		return decode(v->cpu->decoder, v->cpu->profile, t->mode, known, INSN_BYTES_MAX, &t->u);
	vmm_cost(v->cpu, VMM_COST_RING_DECODE);
	if (!ring_read(v, lin, bytes, half) || (n > half && !ring_read(v, lin + half, bytes + half, n - half)))
		return false;
	if (decode(v->cpu->decoder, v->cpu->profile, t->mode, bytes, n, &t->u))
		return true;
	if (n == INSN_BYTES_MAX || !ring_read(v, lin + n, bytes + n, INSN_BYTES_MAX - n))
		return false;
	return decode(v->cpu->decoder, v->cpu->profile, t->mode, bytes, INSN_BYTES_MAX, &t->u);
}

static uint64_t reg_of(struct vcpu *v, unsigned r)
{
	return r == R_ZERO ? 0 : r == R_RIP ? vcpu_get(v, VMCS_GUEST_RIP) : vcpu_reg(v, r);
}

static uint64_t operand(struct vcpu *v, const struct trapped *t)
{
	const struct uop *u = &t->u;
	uint64_t o = reg_of(v, u->base) + (reg_of(v, u->index) << u->scale) + (uint64_t)u->disp + (u->base == R_RIP ? u->len : 0);
	o = o << u->ash >> u->ash;
	if (t->mode != MODE_LONG64 || u->seg >= SEG_FS)
		o += vcpu_get(v, (enum vmcs_field)(VMCS_GUEST_ES_BASE + u->seg));
	return o & t->mask;
}

/* Each fills in the qualification; false: the interpreter is to do it. */
typedef bool trap_fn(struct vcpu *v, struct trapped *t);

static bool trap_plain(struct vcpu *v, struct trapped *t)
{
	(void)v, (void)t;
	return true;
}

/* For routines of rings alone: what it is, and its operand size. */
static bool trap_insn(struct vcpu *v, struct trapped *t)
{
	vcpu_set(v, VMCS_EXIT_INSN_INFO, t->u.row);
	t->qualification = t->u.osz;
	return true;
}

static bool trap_invlpg(struct vcpu *v, struct trapped *t)
{
	t->qualification = operand(v, t);
	return true;
}

static bool trap_clts(struct vcpu *v, struct trapped *t)
{
	(void)v;
	t->qualification = 2 << 4;
	return true;
}

static bool trap_lmsw(struct vcpu *v, struct trapped *t)
{
	if (t->u.kind[0] != OPK_REG)
		return false;
	t->qualification = 3 << 4 | (vcpu_reg(v, t->u.reg[0]) & 0xffff) << 16;
	return true;
}

/* IOPL 3 gives ports to users; the VMM's guests have no I/O bitmap that counts but the interpreter's. */
static bool trap_io(struct vcpu *v, struct trapped *t)
{
	const struct uop *u = &t->u;
	const bool in = u->row == INSN_IN, imm = u->kind[in ? 1 : 0] == OPK_IMM;
	const unsigned size = u->sz[in ? 0 : 1];
	const uint64_t port = imm ? (uint64_t)u->imm & 0xff : v->cpu->s.r[R_RDX] & 0xffff;
	t->qualification = (size - 1) | (in ? 8 : 0) | (imm ? 64 : 0) | port << 16;
	return size == 1 || size == 2 || size == 4;
}

/* A page's worth of elements or the rest of them; the bounds of the segment are the interpreter's affair where there are any. */
static bool trap_string(struct vcpu *v, struct trapped *t)
{
	(void)v, (void)t;
	return false;
}

static const struct { trap_fn *fn; uint16_t reason; } traps[INSN_N] = {
#define TRAP(MNEMONIC, how, REASON) [INSN_##MNEMONIC] = { trap_##how, EXIT_##REASON },
#include "models/vmm/ring/trap.def"
};

/* MOV by its operands. */
static bool move(struct vcpu *v, struct trapped *t, uint32_t *reason)
{
	const struct uop *u = &t->u;
	const bool to = u->kind[0] == OPK_CR, from = u->kind[1] == OPK_CR;
	if (to || from) {
		const unsigned cr = u->reg[to ? 0 : 1], reg = u->reg[to ? 1 : 0];
		*reason = EXIT_CR_ACCESS;
		t->qualification = cr | (from ? 1 << 4 : 0) | reg << 8;
		return cr == 0 || cr == 3 || cr == 4 || cr == 8 || cr == 2;
	}
	(void)v;
	*reason = u->kind[0] == OPK_DR || u->kind[1] == OPK_DR   ? EXIT_MOV_DR :
	          u->kind[0] == OPK_SEG || u->kind[1] == OPK_SEG ? EXIT_SEGMENT :
	                                                           EXIT_TRAPPED;
	return true;
}

static void instruction(struct vcpu *v)
{
	struct trapped t = { .qualification = 0 };
	uint32_t reason = EXIT_TRAPPED;
	/* what a user may not do is the guest's own affair; the time it may read */
	const bool kernel = ring_virtual_cpl(v) == 0;
	if (!fetch(v, &t)) {
		ring_exit(v, EXIT_TRAPPED, 0, 0);
		return;
	}
	const unsigned row = t.u.row;
	const bool tsc = (row == INSN_RDTSC || row == INSN_RDTSCP) && !(v->s.cr4 & CR4_TSD) && !v->cpu->trap_key;
	if (!kernel && !tsc) {
		ring_exit(v, EXIT_TRAPPED, 0, t.u.len);
		return;
	}
	if (row == INSN_MOV && !move(v, &t, &reason))
		reason = EXIT_TRAPPED;
	if (traps[row].fn)
		reason = traps[row].fn(v, &t) ? traps[row].reason : EXIT_TRAPPED;
	if (t.u.flags & UOP_LOCK || v->cpu->s.dr[7] & DR7_ENABLED)      /* (the guest's are loaded) */
		reason = EXIT_TRAPPED;
	ring_exit(v, reason, t.qualification, t.u.len);
}

void serve_interpret(struct vcpu *v) { vcpu_interpret_light(v); }

/* ---- events ---- */

/* Which form of INT n it was tells its length. */
static void interrupt(struct vcpu *v, uint32_t error)
{
	struct trapped t = { .qualification = 0 };
	const unsigned vector = error >> 3 & 0xff;
	bool plain = fetch(v, &t) && !(vcpu_get(v, VMCS_GUEST_RFLAGS) & RFLAGS_TF) &&
	             ((t.u.row == INSN_INT && ((uint64_t)t.u.imm & 0xff) == vector) || (t.u.row == INSN_INT3 && vector == VEC_BP));
	ring_exit(v, EXIT_INT, error, plain ? t.u.len : 0);
}

static void selector(struct vcpu *v, const struct ring_frame *f)
{
	if (f->error & 2) {
		interrupt(v, f->error);
		return;
	}
	if (!ring_segment_fault(v, f->error & 0xfffc))
		instruction(v);
}

static void refuse_vector(struct vcpu *v, unsigned vector)
{
	char what[64];
	snprintf(what, sizeof what, "vector %u has no service in the VMM", vector);
	vcpu_refuse(v, what);
}

void ring_trap(struct vcpu *v, const struct ring_frame *f)
{
	struct cpu *c = v->cpu;
	vmm_cost(c, VMM_COST_RING_DISPATCH);
	switch (f->vector) {
	case VEC_GP: case VEC_NP: case VEC_SS: case VEC_TS:
		if (f->error & 0xfffe)
			selector(v, f);
		else if (f->vector == VEC_GP)
			instruction(v);
		else
			ring_exit(v, EXIT_TRAPPED, 0, 0);
		return;
	case VEC_PF: {
		const bool kernel = ring_virtual_cpl(v) == 0;
		exception(v, VEC_PF, true, kernel ? f->error & ~(uint32_t)PFEC_US : f->error, v->s.cr2);
		return;
	}
	case VEC_AC:
		exception(v, VEC_AC, true, f->error, 0);
		return;
	case VEC_NMI: case VEC_DF: case VEC_MC:
		refuse_vector(v, f->vector);
		return;
	case RING_STUB_SYSCALL: case RING_STUB_SYSENTER:
		ring_system_call(v, f);
		return;
	default:
		break;
	}
	if (f->vector < 32) {
		exception(v, f->vector, false, 0, f->vector == VEC_DB ? c->s.dr[6] & 0x400f : 0);
		return;
	}
	vcpu_set(v, VMCS_EXIT_INTR_INFO, 1u << 31 | EVENT_EXTERNAL << 8 | f->vector);
	ring_exit(v, EXIT_EXTINT, 0, 0);
}
