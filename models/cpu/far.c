/* far.c - far JMP, CALL and RET: direct, and through call gates and task gates.
 *
 * Each form checks everything, writes the stack, and only then loads CS, SS and RIP.
 * Source: SDM Vol. 2, "JMP", "CALL", "RET"; Vol. 3A, "Privilege Level Checking When Transferring
 * Program Control Between Code Segments", "Call Gates", "Stack Switching in IA-32e Mode".
 * Timing: base cost FAR; a gate or a return outwards charges the rest of GATE; references are timed
 * as they happen. */
#include "models/cpu/access.h"
#include "models/cpu/cet.h"
#include "models/cpu/sys.h"

/* Go on at rip with the state as loaded: RIP of this instruction no longer exists. */
static void go(struct cpu *c, uint64_t rip)
{
	c->next_rip = rip;
}

static void charge_gate(struct cpu *c)
{
	uint64_t far = c->profile->cost[COST_FAR], gate = c->profile->cost[COST_GATE];
	if (gate > far)
		ledger_charge(&c->ledger, WHY_EXECUTE, gate - far);
}

struct target { uint16_t sel; uint64_t off; };

/* ptr16:16, ptr16:32 in the instruction; m16:16, m16:32, m16:64 in memory. */
static struct target target_of(struct cpu *c, const struct uop *u)
{
	struct target t = { 0 };
	if (u->kind[0] == OPK_IMM) {
		t.sel = (uint16_t)(u->imm >> 32);
		t.off = (uint32_t)u->imm;
	} else {
		uint8_t buf[10];
		unsigned n = u->osz;
		cpu_load_bytes(c, u, ea_linear(c, u, n + 2, false), buf, n + 2);
		memcpy(&t.off, buf, n);
		memcpy(&t.sel, buf + n, 2);
	}
	return t;
}

/* ---- real and virtual-8086 mode ---- */

static void real_jump(struct cpu *c, struct target t)
{
	if (t.off > c->s.seg[SEG_CS].limit)
		cpu_gp0(c);
	seg_load_real(c, SEG_CS, t.sel);
	cpu_mode_changed(c);
	go(c, t.off);
}

/* ---- code segments as targets ---- */

/* A jump or call straight to a code segment: CPL does not change. */
static void check_direct(struct cpu *c, uint16_t sel, struct desc *d)
{
	unsigned dpl = desc_dpl(d);
	if (d->attr & TYPE_CONFORMING ? dpl > c->s.cpl : (sel & 3) > c->s.cpl || dpl != c->s.cpl)
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	if (cpu_lma(c) && d->attr & SEG_L && d->attr & SEG_DB)
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	if (!(d->attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(sel));
}

/* The stack of this level, for frames that do not switch. */
static struct frame own_stack(const struct cpu *c)
{
	uint64_t mask = MASK(stack_size(c) * 8);
	return (struct frame){ .mask = mask, .sp = c->s.r[R_RSP] & mask, .cpl = c->s.cpl };
}
static void commit_sp(struct cpu *c, const struct frame *f)
{
	c->s.r[R_RSP] = (c->s.r[R_RSP] & ~f->mask) | f->sp;
}

/* Is the code segment 64-bit code? */
static bool is_64(const struct cpu *c, const struct desc *cs) { return cpu_lma(c) && cs->attr & SEG_L; }

/* ---- call gates ---- */

struct call_gate { uint16_t sel; uint64_t off; unsigned size, params; };

static void read_call_gate(struct cpu *c, uint16_t sel, const struct desc *d, struct call_gate *g)
{
	if (desc_dpl(d) < c->s.cpl || desc_dpl(d) < (sel & 3u))
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	if (!(d->attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(sel));
	g->sel = (uint16_t)(d->raw >> 16);
	g->off = (d->raw & 0xffff) | (d->raw >> 32 & 0xffff0000);
	g->params = d->raw >> 32 & 31;
	g->size = SEG_TYPE(d->attr) & 8 ? 4 : 2;
	if (cpu_lma(c)) {
		/* desc_upper() adds the legacy base field, which in a gate means something else:
		 * take the raw half */
		struct desc none = { .base = 0 };
		g->off |= desc_upper(c, sel, &none, VEC_GP);
		g->size = 8;
		g->params = 0;
	} else if (g->size == 2) {
		g->off &= 0xffff;
	}
}

/* The code segment a gate names. True: more privileged, the stack switches (CALL only). */
static bool check_gate_code(struct cpu *c, const struct call_gate *g, bool call, struct desc *cs)
{
	if (sel_null(g->sel))
		cpu_gp0(c);
	desc_need(c, g->sel, VEC_GP, cs);
	unsigned dpl = desc_dpl(cs);
	bool conforming = cs->attr & TYPE_CONFORMING;
	if (!desc_is_code(cs) || dpl > c->s.cpl || (!call && !conforming && dpl != c->s.cpl))
		cpu_raise_ec(c, VEC_GP, sel_error(g->sel));
	if (cpu_lma(c) && (!(cs->attr & SEG_L) || cs->attr & SEG_DB))
		cpu_raise_ec(c, VEC_GP, sel_error(g->sel));
	if (!(cs->attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(g->sel));
	return call && !conforming && dpl < c->s.cpl;
}

static void jmp_gate(struct cpu *c, uint16_t sel, const struct desc *d)
{
	struct call_gate g;
	struct desc cs;
	struct cet_plan shadow = { 0 };
	read_call_gate(c, sel, d, &g);
	check_gate_code(c, &g, false, &cs);
	cs_check_offset(c, &cs, g.off);
	cet_jump(c, is_64(c, &cs), &shadow);
	desc_accessed(c, &cs);
	charge_gate(c);
	cs_load(c, g.sel, &cs, c->s.cpl);
	cet_commit(c, &shadow);
	go(c, g.off);
}

/* To a more privileged level: the stack comes from the TSS, parameters are copied. */
static void call_gate_inner(struct cpu *c, const struct call_gate *g, struct desc *cs)
{
	unsigned cpl = desc_dpl(cs), size = g->size;
	struct desc ssd;
	struct frame st = { .cpl = cpl, .v = VEC_SS, .mask = ~0ull };
	struct cet_plan shadow = { 0 };
	uint16_t ss = (uint16_t)cpl;
	uint32_t params[31];
	if (size == 8) {
		st.sp = tss_stack64(c, cpl);
		if (!canonical_now(c, st.sp))
			cpu_raise_ec(c, VEC_SS, 0);
	} else {
		tss_stack(c, cpl, &ss, &st.sp);
		seg_check_stack(c, ss, cpl, VEC_TS, &ssd);
		st.base = ssd.base;
		st.mask = ssd.attr & SEG_DB ? 0xffffffff : 0xffff;
		st.sp &= st.mask;
		st.seg = &ssd;
		st.error = sel_error(ss);
	}
	cs_check_offset(c, cs, g->off);
	uint64_t old_mask = MASK(stack_size(c) * 8), old_sp = c->s.r[R_RSP];
	for (unsigned i = 0; i < g->params; i++) {
		uint64_t lin = stack_linear(c, (old_sp + i * size) & old_mask, size, false);
		params[i] = size == 4 ? cpu_load32(c, NULL, lin) : cpu_load16(c, NULL, lin);
	}
	frame_push(c, &st, size, c->s.seg[SEG_SS].sel);
	frame_push(c, &st, size, old_sp);
	for (unsigned i = g->params; i-- > 0; )
		frame_push(c, &st, size, params[i]);
	frame_push(c, &st, size, c->s.seg[SEG_CS].sel);
	frame_push(c, &st, size, c->next_rip);
	desc_accessed(c, cs);
	if (size != 8)
		desc_accessed(c, &ssd);
	cet_enter(c, cpl, size == 8, 0, c->next_rip, &shadow);
	ledger_charge(&c->ledger, WHY_EXECUTE, c->profile->ring_flow);
	if (size != 8)
		seg_set(c, SEG_SS, ss, &ssd);
	cs_load(c, g->sel, cs, cpl);
	if (size == 8)
		seg_set_null(c, SEG_SS, ss);
	commit_sp(c, &st);
	cet_commit(c, &shadow);
	go(c, g->off);
}

static void call_gate(struct cpu *c, uint16_t sel, const struct desc *d)
{
	struct call_gate g;
	struct desc cs;
	struct cet_plan shadow = { 0 };
	read_call_gate(c, sel, d, &g);
	bool inner = check_gate_code(c, &g, true, &cs);
	charge_gate(c);
	if (inner) {
		call_gate_inner(c, &g, &cs);
		return;
	}
	cs_check_offset(c, &cs, g.off);
	struct frame st = own_stack(c);
	/* a 64-bit gate's frame is 64 bits wide even when called from compatibility mode */
	if (g.size == 8)
		st.mask = ~0ull, st.sp = c->s.r[R_RSP];
	frame_push(c, &st, g.size, c->s.seg[SEG_CS].sel);
	frame_push(c, &st, g.size, c->next_rip);
	desc_accessed(c, &cs);
	cet_enter(c, c->s.cpl, g.size == 8, 0, c->next_rip, &shadow);
	cs_load(c, g.sel, &cs, c->s.cpl);
	commit_sp(c, &st);
	cet_commit(c, &shadow);
	go(c, g.off);
}

/* ---- JMP, CALL ---- */

static void transfer(struct cpu *c, const struct uop *u, bool call)
{
	struct target t = target_of(c, u);
	struct desc d;
	struct cet_plan shadow = { 0 };
	if (c->s.mode <= MODE_V86) {
		if (call) {
			if (t.off > c->s.seg[SEG_CS].limit)
				cpu_gp0(c);
			struct frame st = own_stack(c);
			frame_push(c, &st, u->osz, c->s.seg[SEG_CS].sel);
			frame_push(c, &st, u->osz, c->next_rip);
			commit_sp(c, &st);
		}
		real_jump(c, t);
		return;
	}
	if (sel_null(t.sel))
		cpu_gp0(c);
	desc_need(c, t.sel, VEC_GP, &d);
	if (desc_is_code(&d)) {
		check_direct(c, t.sel, &d);
		cs_check_offset(c, &d, t.off);
		if (call) {
			struct frame st = own_stack(c);
			frame_push(c, &st, u->osz, c->s.seg[SEG_CS].sel);
			frame_push(c, &st, u->osz, c->next_rip);
			desc_accessed(c, &d);
			cet_enter(c, c->s.cpl, is_64(c, &d), 0, c->next_rip, &shadow);
			commit_sp(c, &st);
		} else {
			cet_jump(c, is_64(c, &d), &shadow);
		}
		desc_accessed(c, &d);
		cs_load(c, t.sel, &d, c->s.cpl);
		cet_commit(c, &shadow);
		go(c, t.off);
		return;
	}
	int type = desc_system(&d);
	bool lma = cpu_lma(c);
	if (type == DESC_CALL32 || (type == DESC_CALL16 && !lma)) {
		if (call)
			call_gate(c, t.sel, &d);
		else
			jmp_gate(c, t.sel, &d);
		return;
	}
	if (!lma && (type == DESC_TASK_GATE || type == DESC_TSS16 || type == DESC_TSS32)) {
		if (desc_dpl(&d) < c->s.cpl || desc_dpl(&d) < (t.sel & 3u))
			cpu_raise_ec(c, VEC_GP, sel_error(t.sel));
		if (!(d.attr & SEG_P))
			cpu_raise_ec(c, VEC_NP, sel_error(t.sel));
		enum task_how how = call ? TASK_CALL : TASK_JMP;
		if (type == DESC_TASK_GATE)
			task_gate(c, (uint16_t)(d.raw >> 16), how, c->next_rip, false, 0);
		else
			task_switch(c, t.sel, &d, how, c->next_rip, false, 0);
		return;
	}
	cpu_raise_ec(c, VEC_GP, sel_error(t.sel));
}

void insn_jmp_far(struct cpu *c, const struct uop *u) { transfer(c, u, false); }
void insn_call_far(struct cpu *c, const struct uop *u) { transfer(c, u, true); }

/* ---- RET ---- */

static uint64_t peek_stack(struct cpu *c, uint64_t off, unsigned size)
{
	uint64_t lin = stack_linear(c, c->s.r[R_RSP] + off, size, false);
	return size == 8 ? cpu_load64(c, NULL, lin) :
	       size == 4 ? cpu_load32(c, NULL, lin) :
	                   cpu_load16(c, NULL, lin);
}

static void add_sp(struct cpu *c, uint64_t n)
{
	uint64_t mask = MASK(stack_size(c) * 8);
	c->s.r[R_RSP] = (c->s.r[R_RSP] & ~mask) | ((c->s.r[R_RSP] + n) & mask);
}

void insn_ret_far(struct cpu *c, const struct uop *u)
{
	unsigned n = u->osz;
	uint64_t release = u->kind[0] == OPK_IMM ? (uint16_t)u->imm : 0;
	uint64_t rip = peek_stack(c, 0, n);
	uint16_t sel = (uint16_t)peek_stack(c, n, n);
	struct desc d, ssd;
	struct cet_plan shadow = { 0 };
	if (c->s.mode <= MODE_V86) {
		if (rip > c->s.seg[SEG_CS].limit)
			cpu_gp0(c);
		add_sp(c, 2 * n + release);
		real_jump(c, (struct target){ sel, rip });
		return;
	}
	if (sel_null(sel))
		cpu_gp0(c);
	desc_need(c, sel, VEC_GP, &d);
	unsigned rpl = sel & 3;
	if (!desc_is_code(&d) || rpl < c->s.cpl ||
	    (cpu_lma(c) && d.attr & SEG_L && d.attr & SEG_DB))
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	if (d.attr & TYPE_CONFORMING ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl)
		cpu_raise_ec(c, VEC_GP, sel_error(sel));
	if (!(d.attr & SEG_P))
		cpu_raise_ec(c, VEC_NP, sel_error(sel));
	if (rpl == c->s.cpl) {
		cs_check_offset(c, &d, rip);
		desc_accessed(c, &d);
		cet_return(c, rpl, sel, d.base, rip, is_64(c, &d), false, &shadow);
		add_sp(c, 2 * n + release);
		cs_load(c, sel, &d, c->s.cpl);
		cet_commit(c, &shadow);
		go(c, rip);
		return;
	}
	/* to an outer level: its stack pointer lies above the parameters */
	charge_gate(c);
	uint64_t sp = peek_stack(c, 2 * n + release, n);
	uint16_t ss = (uint16_t)peek_stack(c, 3 * n + release, n);
	bool null_ss = sel_null(ss);
	/* a 64-bit return may go to rings 0-2 with a null SS */
	if (null_ss && !(cpu_lma(c) && d.attr & SEG_L && rpl != 3))
		cpu_gp0(c);
	if (null_ss && (ss & 3) != rpl)
		cpu_gp0(c);
	if (!null_ss)
		seg_check_stack(c, ss, rpl, VEC_GP, &ssd);
	cs_check_offset(c, &d, rip);
	desc_accessed(c, &d);
	if (!null_ss)
		desc_accessed(c, &ssd);
	cet_return(c, rpl, sel, d.base, rip, is_64(c, &d), false, &shadow);
	cs_load(c, sel, &d, rpl);
	if (null_ss)
		seg_set_null(c, SEG_SS, ss);
	else
		seg_set(c, SEG_SS, ss, &ssd);
	uint64_t mask = MASK(stack_size(c) * 8);
	c->s.r[R_RSP] = (c->s.r[R_RSP] & ~mask) | ((sp + release) & mask);
	seg_drop_inner(c);
	cet_commit(c, &shadow);
	go(c, rip);
}
