/* x87_arith.c - x87 arithmetic, rounding, remainders, comparisons.
 * Source: SDM Vol. 2A, the instructions' pages; Vol. 1, "x87 FPU Floating-Point Exception
 * Conditions". */
#include "models/cpu/flags.h"
#include "models/cpu/x87.h"

/* The operand that is not ST(0): memory in the format the opcode says, or ST(i). */
static struct fnum other_operand(struct cpu *c, const struct uop *u)
{
	uint64_t v = 0;
	if (!x87_mem(u))
		return x87_get(c, x87_sti(u));
	/* D8 single, DA 32-bit integer, DC double, DE 16-bit integer */
	static const uint8_t size[8] = { [0] = 4, [2] = 4, [4] = 8, [6] = 2 };
	unsigned n = size[x87_opcode(u)];
	cpu_load_bytes(c, u, ea_linear(c, u, n, false), &v, n);
	switch (x87_opcode(u)) {
	case 0: return f_from_f32((uint32_t)v, false);
	case 2: return f_from_int((int32_t)v);
	case 4: return f_from_f64(v, false);
	default: return f_from_int((int16_t)v);
	}
}

/* Flags, then the result into ST(i) unless an unmasked exception forbids it. */
static bool finish(struct cpu *c, const struct fctl *f, unsigned i, struct fnum r)
{
	bool ok = x87_commit(c, f->raised, f->up);
	if (ok)
		x87_set(c, i, r);
	return ok;
}

/* FADD, FMUL, FSUB, FSUBR, FDIV, FDIVR with their P and I forms. ModRM.reg says which: ST(0) op
 * other; only the destination differs between D8 and DC/DE. */
void x87_farith(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	bool mem = x87_mem(u);
	struct fnum b = other_operand(c, u), a = x87_get(c, 0), r;
	unsigned dst = mem || x87_opcode(u) == 0 ? 0 : x87_sti(u);
	bool pop = !mem && x87_opcode(u) == 6;
	x87_note(c, u);
	if (x87_empty(c, 0) || (!mem && x87_empty(c, x87_sti(u)))) {
		if (x87_stack_fault(c, false)) {
			x87_set_raw(c, dst, X87_INDEFINITE);
			if (pop)
				x87_pop(c);
		}
		return;
	}
	struct fctl f = x87_ctl(c);
	switch (x87_modrm_reg(u)) {
	case 0: r = f_add(&f, a, b); break;
	case 1: r = f_mul(&f, a, b); break;
	case 4: r = f_sub(&f, a, b); break;
	case 5: r = f_sub(&f, b, a); break;
	case 6: r = f_div(&f, a, b); break;
	default: r = f_div(&f, b, a); break;
	}
	if (finish(c, &f, dst, r) && pop)
		x87_pop(c);
}

/* One-operand instructions on ST(0): false when there is nothing to compute. */
static bool unary(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	x87_note(c, u);
	if (!x87_empty(c, 0))
		return true;
	if (x87_stack_fault(c, false))
		x87_set_raw(c, 0, X87_INDEFINITE);
	return false;
}

static bool binary(struct cpu *c, const struct uop *u)  /* ST(0) and ST(1) */
{
	x87_enter(c);
	x87_note(c, u);
	if (!x87_empty(c, 0) && !x87_empty(c, 1))
		return true;
	if (x87_stack_fault(c, false))
		x87_set_raw(c, 0, X87_INDEFINITE);
	return false;
}

static void set_sign(struct cpu *c, const struct uop *u, uint16_t keep, uint16_t flip)
{
	if (!unary(c, u))
		return;
	struct x87_reg r = x87_raw(c, 0);
	r.se = (r.se & keep) ^ flip;
	x87_set_raw(c, 0, r);
	c->s.fsw &= (uint16_t)~FSW_C1;
}
void x87_fabs(struct cpu *c, const struct uop *u) { set_sign(c, u, 0x7fff, 0); }
void x87_fchs(struct cpu *c, const struct uop *u) { set_sign(c, u, 0xffff, 0x8000); }

void x87_fsqrt(struct cpu *c, const struct uop *u)
{
	if (!unary(c, u))
		return;
	struct fctl f = x87_ctl(c);
	struct fnum r = f_sqrt(&f, x87_get(c, 0));
	finish(c, &f, 0, r);
}

void x87_frndint(struct cpu *c, const struct uop *u)
{
	if (!unary(c, u))
		return;
	struct fctl f = x87_ctl_full(c);
	struct fnum r = f_round_int(&f, x87_get(c, 0));
	finish(c, &f, 0, r);
}

void x87_fscale(struct cpu *c, const struct uop *u)
{
	if (!binary(c, u))
		return;
	struct fctl f = x87_ctl_full(c);
	struct fnum r = f_scale(&f, x87_get(c, 0), x87_get(c, 1));
	finish(c, &f, 0, r);
}

/* ST(0) becomes its exponent; its significand is pushed. */
void x87_fxtract(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	x87_note(c, u);
	bool over = !x87_empty(c, 7);
	if (x87_empty(c, 0) || over) {
		if (x87_stack_fault(c, !x87_empty(c, 0))) {
			x87_set_raw(c, 0, X87_INDEFINITE);
			x87_push(c, X87_INDEFINITE);
		}
		return;
	}
	struct fctl f = x87_ctl_full(c);
	struct fnum a = x87_get(c, 0), e, m;
	if (f_is_nan(a)) {
		e = m = f_nan2(&f, a, (struct fnum){ .cls = F_ZERO });
	} else if (a.cls == F_INF) {
		e = m = a;
		e.sign = 0;
	} else if (a.cls == F_ZERO) {
		f.raised |= FP_ZE;
		e = (struct fnum){ .cls = F_INF, .sign = 1, .mant = BIT(63) };
		m = a;
	} else {
		f_denormal(&f, a);
		e = f_from_int(a.exp);
		m = a;
		m.exp = 0;
	}
	if (finish(c, &f, 0, e))
		x87_push(c, x87_pack(m));
}

static void remainder_(struct cpu *c, const struct uop *u, bool nearest)
{
	bool full = binary(c, u);
	c->s.fsw &= (uint16_t)~FSW_C2;
	if (!full)
		return;
	struct fctl f = x87_ctl_full(c);
	struct fnum r;
	uint64_t q;
	bool whole = f_rem(&f, x87_get(c, 0), x87_get(c, 1), nearest, &r, &q);
	if (!finish(c, &f, 0, r) || f_is_nan(r))
		return;
	c->s.fsw &= (uint16_t)~FSW_CC;
	if (!whole)
		c->s.fsw |= FSW_C2;
	else
		c->s.fsw |= (uint16_t)((q & 4 ? FSW_C0 : 0) | (q & 2 ? FSW_C3 : 0) |
		                       (q & 1 ? FSW_C1 : 0));
}
void x87_fprem(struct cpu *c, const struct uop *u) { remainder_(c, u, false); }
void x87_fprem1(struct cpu *c, const struct uop *u) { remainder_(c, u, true); }

/* ---- comparisons ---- */
static void set_cc(struct cpu *c, int order)
{
	static const uint16_t cc[] = { [F_LESS] = FSW_C0, [F_EQUAL] = FSW_C3, [F_GREATER] = 0,
	                               [F_UNORDERED] = FSW_C0 | FSW_C2 | FSW_C3 };
	c->s.fsw = (uint16_t)((c->s.fsw & ~FSW_CC) | cc[order]);
}

/* ST(0) with b, to C3, C2, C0. An unmasked exception leaves the stack alone; IE also leaves the
 * codes. */
static void compare(struct cpu *c, struct fnum b, bool missing, bool signal_quiet, unsigned pops)
{
	if (x87_empty(c, 0) || missing) {
		if (!x87_stack_fault(c, false))
			return;
		set_cc(c, F_UNORDERED);
	} else {
		struct fctl f = x87_ctl_full(c);
		int order = f_compare(&f, x87_get(c, 0), b, signal_quiet);
		bool ok = x87_commit(c, f.raised, false);
		if (!(f.raised & ~c->s.fcw & FP_IE))
			set_cc(c, order);
		if (!ok)
			return;
	}
	while (pops--)
		x87_pop(c);
}

static void compare_operand(struct cpu *c, const struct uop *u, bool signal_quiet, unsigned pops)
{
	x87_enter(c);
	struct fnum b = other_operand(c, u);
	x87_note(c, u);
	compare(c, b, !x87_mem(u) && x87_empty(c, x87_sti(u)), signal_quiet, pops);
}
void x87_fcom(struct cpu *c, const struct uop *u) { compare_operand(c, u, true, 0); }
void x87_fcomp(struct cpu *c, const struct uop *u) { compare_operand(c, u, true, 1); }
/* DE D9 and DA E9: ModRM names ST(1) */
void x87_fcompp(struct cpu *c, const struct uop *u) { compare_operand(c, u, true, 2); }
void x87_fucom(struct cpu *c, const struct uop *u) { compare_operand(c, u, false, 0); }
void x87_fucomp(struct cpu *c, const struct uop *u) { compare_operand(c, u, false, 1); }
void x87_fucompp(struct cpu *c, const struct uop *u) { compare_operand(c, u, false, 2); }

void x87_ftst(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	x87_note(c, u);
	compare(c, (struct fnum){ .cls = F_ZERO }, false, true, 0);
}

static void compare_flags(struct cpu *c, const struct uop *u, bool signal_quiet, bool pop)
{
	static const uint64_t flags[] = { [F_LESS] = RFLAGS_CF, [F_EQUAL] = RFLAGS_ZF,
	                                  [F_GREATER] = 0,
	                                  [F_UNORDERED] = RFLAGS_CF | RFLAGS_PF | RFLAGS_ZF };
	x87_enter(c);
	x87_note(c, u);
	int order = F_UNORDERED;
	bool ok = true;
	if (x87_empty(c, 0) || x87_empty(c, x87_sti(u))) {
		if (!x87_stack_fault(c, false))
			return;
	} else {
		struct fctl f = x87_ctl_full(c);
		order = f_compare(&f, x87_get(c, 0), x87_get(c, x87_sti(u)), signal_quiet);
		ok = x87_commit(c, f.raised, false);
		if (f.raised & ~c->s.fcw & FP_IE)
			return;
	}
	flags_set_status(c, flags[order]);
	if (pop && ok)
		x87_pop(c);
}
void x87_fcomi(struct cpu *c, const struct uop *u) { compare_flags(c, u, true, false); }
void x87_fcomip(struct cpu *c, const struct uop *u) { compare_flags(c, u, true, true); }
void x87_fucomi(struct cpu *c, const struct uop *u) { compare_flags(c, u, false, false); }
void x87_fucomip(struct cpu *c, const struct uop *u) { compare_flags(c, u, false, true); }

/* Class of ST(0) in C3, C2, C0; its sign in C1, also when empty. */
void x87_fxam(struct cpu *c, const struct uop *u)
{
	x87_enter(c);
	x87_note(c, u);
	struct x87_reg r = x87_raw(c, 0);
	struct fnum a = x87_get(c, 0);
	uint16_t cc;
	if (x87_empty(c, 0))
		cc = FSW_C3 | FSW_C0;
	else if (a.cls == F_UNSUPPORTED)
		cc = 0;
	else if (f_is_nan(a))
		cc = FSW_C0;
	else if (a.cls == F_INF)
		cc = FSW_C2 | FSW_C0;
	else if (a.cls == F_ZERO)
		cc = FSW_C3;
	else
		cc = a.denormal ? FSW_C3 | FSW_C2 : FSW_C2;
	c->s.fsw = (uint16_t)((c->s.fsw & ~FSW_CC) | cc | (r.se >> 15 ? FSW_C1 : 0));
}
