/* emulate.c - carry out the instruction at the guest's RIP in software.
 *
 * Needed where the hardware cannot make an access for the guest: device registers, and page tables a shadow pager guards.
 * The instruction is fetched through the guest's own translation, decoded by the CPU's decoder, its memory operands are
 * reached as the guest would reach them (segments, page tables, rights: faults are injected), and what changes is
 * committed at the end; so a fault leaves no trace. REP runs at most EMU_REP iterations, then the guest goes on.
 * One file holds the machinery, emulate_op.c the operations, emulate.def the table.
 *
 * Source: SDM Vol. 2; Vol. 3C, "Instruction Emulation" is left to software by the manual. KVM's way is the same.
 * Timing: EMULATE, EMULATE_OP (once more for each iteration of REP), GUEST_WALK; every reference and VMREAD on top.
 * Simplified: alignment checks and data breakpoints of the guest are not applied to emulated accesses; LOCK is implied,
 * as CPUs interleave by whole instructions. */
#include "models/vmm/emulate.h"
#include "models/vmm/nested/nested.h"

#include <string.h>

#include "models/cpu/exec.h"

static emu_op *const ops[INSN_N] = {
#define EMU(MNEMONIC, op) [INSN_##MNEMONIC] = op_##op,
#include "models/vmm/emulate.def"
};

/* ---- faults ---- */

bool emu_fault(struct emu *e, enum vector vec, bool has_error, uint32_t error)
{
	e->faulted = true;
	vcpu_inject(e->v, vec, has_error, error);
	return false;
}

static bool page_fault(struct emu *e, uint64_t lin, uint32_t error)
{
	e->v->cpu->s.cr2 = lin;
	return emu_fault(e, VEC_PF, true, error);
}

/* ---- addresses ---- */

uint64_t emu_offset(const struct emu *e)
{
	const struct uop *u = &e->u;
	uint64_t o = e->r[u->base] + (e->r[u->index] << u->scale) + (uint64_t)u->disp;
	return o << u->ash >> u->ash;
}

static enum vmcs_field segment_field(enum vmcs_field of_es, enum seg_reg seg)
{
	return (enum vmcs_field)(of_es + (int)seg);
}

/* SDM Vol. 3A, "Limit Checking" and "Type Checking". */
static bool inside(struct emu *e, enum seg_reg seg, uint64_t off, unsigned size, bool write)
{
	uint32_t attr = (uint32_t)vcpu_get(e->v, segment_field(VMCS_GUEST_ES_ACCESS, seg));
	uint32_t limit = (uint32_t)vcpu_get(e->v, segment_field(VMCS_GUEST_ES_LIMIT, seg));
	uint64_t last = off + size - 1, top = attr & SEG_DB ? 0xffffffff : 0xffff;
	bool code = attr & 8;
	if (e->mode <= MODE_V86)
		return last <= limit;
	if (attr & SEG_UNUSABLE || !(attr & SEG_P) || (write ? code || !(attr & 2) : code && !(attr & 2)))
		return false;
	return !code && attr & 4 ? off > limit && last <= top : last <= limit;
}

/* The linear address of [off, off+size) in a segment, or a fault. */
static bool linear(struct emu *e, enum seg_reg seg, uint64_t off, unsigned size, bool write, uint64_t *lin)
{
	uint64_t base = 0;
	if (e->mode != MODE_LONG64 || seg == SEG_FS || seg == SEG_GS)
		base = vcpu_get(e->v, segment_field(VMCS_GUEST_ES_BASE, seg));
	*lin = (base + off) & e->mask;
	bool crooked = e->align && *lin & (e->align - 1u);
	if (e->mode == MODE_LONG64) {
		unsigned n = e->regs.g.canonical;
		uint64_t end = *lin + size - 1;
		if ((uint64_t)((int64_t)(*lin << n) >> n) != *lin || (uint64_t)((int64_t)(end << n) >> n) != end || crooked)
			return emu_fault(e, seg == SEG_SS && !crooked ? VEC_SS : VEC_GP, true, 0);
	} else if (!inside(e, seg, off, size, write) || crooked) {
		return emu_fault(e, seg == SEG_SS && !crooked ? VEC_SS : VEC_GP, true, 0);
	}
	return true;
}

static bool translate(struct emu *e, uint64_t lin, unsigned access, gpa_t *gpa)
{
	struct guest_walk w;
	unsigned i = (access & ACC_WRITE) != 0;
	uint64_t page = lin & PAGE_MASK;
	if (!(e->last[i].valid && e->last[i].lin == page && e->last[i].access == access)) {
		if (!guest_walk(e->v, &e->regs, lin, access, WHY_EXIT_SERVICE, &w))
			return page_fault(e, lin, w.error);
		e->last[i].lin = page, e->last[i].gpa = w.gpa & PAGE_MASK, e->last[i].access = access, e->last[i].valid = true;
	}
	*gpa = GPA(e->last[i].gpa | (lin & 0xfff));
	return true;
}

bool emu_place(struct emu *e, enum seg_reg seg, uint64_t off, unsigned size, unsigned access, struct emu_place *p)
{
	uint64_t lin;
	unsigned room;
	if (!linear(e, seg, off, size, access & ACC_WRITE, &lin))
		return false;
	access |= e->user ? ACC_USER : 0;
	room = PAGE_SIZE - (lin & 0xfff);
	p->piece[0].n = size < room ? size : room;
	p->piece[1].n = size - p->piece[0].n;
	if (!translate(e, lin, access, &p->piece[0].gpa))
		return false;
	return !p->piece[1].n || translate(e, (lin + room) & e->mask, access, &p->piece[1].gpa);
}

/* ---- bytes: RAM, or a device in naturally aligned pieces ---- */

static unsigned device_piece(uint64_t gpa, unsigned left)
{
	unsigned n = 8;
	while (n > left || gpa & (n - 1))
		n >>= 1;
	return n;
}

void emu_read(struct emu *e, const struct emu_place *p, void *to)
{
	uint8_t *b = to;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t gpa = p->piece[i].gpa.v;
		unsigned left = p->piece[i].n;
		if (!left || vcpu_read_gpa(e->v, GPA(gpa), b, left)) {
			b += left;
			continue;
		}
		e->needed = true;
		while (left) {
			unsigned n = device_piece(gpa, left);
			uint64_t x = vm_mmio_read(e->v, GPA(gpa), n);
			memcpy(b, &x, n);
			b += n, gpa += n, left -= n;
		}
	}
}

void emu_write(struct emu *e, const struct emu_place *p, const void *from)
{
	const uint8_t *b = from;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t gpa = p->piece[i].gpa.v;
		unsigned left = p->piece[i].n;
		enum written w = left ? vcpu_write_gpa(e->v, GPA(gpa), b, left) : WRITTEN;
		e->needed |= w != WRITTEN;
		if (w != WRITTEN_NOT) {
			b += left;
			continue;
		}
		while (left) {
			unsigned n = device_piece(gpa, left);
			uint64_t x = 0;
			memcpy(&x, b, n);
			vm_mmio_write(e->v, GPA(gpa), n, x);
			b += n, gpa += n, left -= n;
		}
	}
}

/* ---- the guest's state ---- */

static enum cpu_mode mode_of(const struct emu *e, uint32_t cs, uint64_t cr0)
{
	if (!(cr0 & CR0_PE))
		return cs & SEG_DB ? MODE_REAL32 : MODE_REAL16;
	if (e->rflags & RFLAGS_VM)
		return MODE_V86;
	if (e->regs.efer & EFER_LMA)
		return cs & SEG_L ? MODE_LONG64 : cs & SEG_DB ? MODE_COMPAT32 : MODE_COMPAT16;
	return cs & SEG_DB ? MODE_PROT32 : MODE_PROT16;
}

static void begin(struct emu *e, struct vcpu *v, uint32_t *cs)
{
	*e = (struct emu){ .v = v };
	guest_regs_get(v, &e->regs);
	*cs = (uint32_t)vcpu_get(v, VMCS_GUEST_CS_ACCESS);
	e->rflags = vcpu_get(v, VMCS_GUEST_RFLAGS);
	/* PE of the register itself: nobody hides it */
	e->mode = mode_of(e, *cs, vcpu_get(v, VMCS_GUEST_CR0));
	e->user = e->mode > MODE_REAL32 && SEG_DPL(vcpu_get(v, VMCS_GUEST_SS_ACCESS)) == 3;
	e->mask = e->mode == MODE_LONG64 ? ~0ull : MASK(32);
	memcpy(e->r, v->cpu->s.r, 16 * sizeof e->r[0]);
	e->r[R_RSP] = vcpu_get(v, VMCS_GUEST_RSP);
	e->r[R_RIP] = vcpu_get(v, VMCS_GUEST_RIP);
}

unsigned emu_stack_size(struct emu *e)
{
	if (e->mode == MODE_LONG64)
		return 8;
	return vcpu_get(e->v, VMCS_GUEST_SS_ACCESS) & SEG_DB ? 4 : 2;
}

/* Fetch and decode. False: a fault was injected, or (not faulted) it lies outside RAM. */
static bool fetch(struct emu *e)
{
	uint64_t base = e->mode == MODE_LONG64 ? 0 : vcpu_get(e->v, VMCS_GUEST_CS_BASE), lin = (base + e->r[R_RIP]) & e->mask;
	unsigned room = PAGE_SIZE - (lin & 0xfff), n = room < INSN_BYTES_MAX ? room : INSN_BYTES_MAX;
	uint8_t bytes[INSN_BYTES_MAX] = { 0 };
	const struct cpu *c = e->v->cpu;
	gpa_t gpa;
	unsigned access = ACC_EXEC | (e->user ? ACC_USER : 0);
	if (!translate(e, lin, access, &gpa) || !vcpu_read_gpa(e->v, gpa, bytes, n))
		return false;
	if (decode(c->decoder, c->profile, e->mode, bytes, n, &e->u))
		return true;
	if (!translate(e, (lin + room) & e->mask, access, &gpa) || !vcpu_read_gpa(e->v, gpa, bytes + n, INSN_BYTES_MAX - n))
		return false;
	return decode(c->decoder, c->profile, e->mode, bytes, INSN_BYTES_MAX, &e->u);
}

static void commit(struct emu *e)
{
	struct vcpu *v = e->v;
	uint64_t rflags = e->rflags & ~(uint64_t)RFLAGS_RF, sp = vcpu_get(v, VMCS_GUEST_RSP);
	memcpy(v->cpu->s.r, e->r, 16 * sizeof e->r[0]);
	if (sp != e->r[R_RSP])
		vcpu_set(v, VMCS_GUEST_RSP, e->r[R_RSP]);
	if (e->again) {
		vcpu_set(v, VMCS_GUEST_RFLAGS, e->rflags);
		return;
	}
	uint64_t rip = e->r[R_RIP] + e->u.len;
	vcpu_set(v, VMCS_GUEST_RIP, e->mode == MODE_LONG64 ? rip : rip & 0xffffffff);
	vcpu_set(v, VMCS_GUEST_RFLAGS, rflags);
	uint64_t blocking = vcpu_get(v, VMCS_GUEST_INTERRUPTIBILITY);
	if (blocking & 3)
		vcpu_set(v, VMCS_GUEST_INTERRUPTIBILITY, blocking & ~3ull);
	if (rflags & RFLAGS_TF)         /* the single-step trap that the hardware would have left pending: BS */
		vcpu_set(v, VMCS_GUEST_PENDING_DEBUG, vcpu_get(v, VMCS_GUEST_PENDING_DEBUG) | BIT(14));
	nested_stepped(v);
}

static enum emulated refused(struct emu *e)
{
	struct vcpu *v = e->v;
	struct cpu *c = v->cpu;
	if (v->vm->pager && v->vm->pager->restart && v->vm->pager->restart(v))
		return EMULATED;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_EMULATE_REFUSED, v->vm->number, e->r[R_RIP], e->u.row, 0);
	return EMULATE_UNKNOWN;
}

static bool stores_repeatedly(const struct uop *u)
{
	static const uint16_t string[] = { INSN_MOVSB, INSN_MOVSW, INSN_MOVSD, INSN_MOVSQ, INSN_STOSB, INSN_STOSW, INSN_STOSD, INSN_STOSQ };
	for (size_t i = 0; i < ARRAY_LEN(string); i++)
		if (u->row == string[i])
			return u->kind[0] == OPK_NONE && u->flags & (UOP_REP | UOP_REPNE);
	return false;
}

enum emulated vcpu_emulate(struct vcpu *v)
{
	struct emu e;
	struct cpu *c = v->cpu;
	uint32_t cs;
	vmm_cost(c, VMM_COST_EMULATE);
	begin(&e, v, &cs);
	if (vcpu_watched(v))
		return refused(&e);
	if (!fetch(&e))
		return e.faulted ? EMULATE_INJECTED : refused(&e);
	struct uop *u = &e.u;
	if (u->base == R_RIP)           /* the decoder leaves the instruction's length to be added */
		u->disp += u->len;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_EMULATE, v->vm->number, e.r[R_RIP], u->row, u->len);
	if (u->row == INSN_INVALID) {
		emu_fault(&e, u->body == exec_ud ? VEC_UD : VEC_GP, u->body != exec_ud, 0);
		return EMULATE_INJECTED;
	}
	/* A repeated store clears or copies pages and is no update of a table: the table is given up and the instruction runs by
	 * itself, as under KVM, which carries out only instructions that are known to write page tables. */
	if (stores_repeatedly(u) && v->vm->pager && v->vm->pager->restart && v->vm->pager->restart(v))
		return EMULATED_IN_VAIN;
	v->vm->stat[VMM_STAT_EMULATED]++;
	bool special = u->flags & UOP_VEX;
	for (unsigned i = 0; i < 3; i++)
		special |= u->kind[i] > OPK_IMM && u->kind[i] != OPK_XMM;
	if (!ops[u->row] || special)
		return refused(&e);
	vmm_cost(c, VMM_COST_EMULATE_OP);
	if (!ops[u->row](&e)) {
		if (!e.faulted)
			return refused(&e);
		if (e.again)            /* REP: the iterations before the fault have happened */
			commit(&e);
		return EMULATE_INJECTED;
	}
	commit(&e);
	return e.needed ? EMULATED : EMULATED_IN_VAIN;
}
