/* exec_cet.c - instructions of control-flow enforcement, and near transfers while it is in force.
 *
 * decode.c binds the bodies cet_* by the block's key: CALL, RET and indirect JMP that have a shadow stack to keep or a tracker
 * to set; ENDBRANCH; and, where the tracker waits, whatever stands where ENDBRANCH should. A near call pushes its return
 * address (EIP or RIP; IP zero-extended) and a near return compares it; "CALL with a displacement of 0" pushes nothing, being
 * how position-independent code asks where it is.
 *
 * Source: SDM Vol. 1, "Shadow Stacks", "Indirect Branch Tracking", "Legacy Code Page Bitmap"; Vol. 2, each instruction.
 * Timing: the base costs of the ordinary forms, plus LOAD or STORE for the shadow stack; other instructions as insn_sys.def
 * says (assumed); references are timed as they happen.
 * Simplified: enclaves do not exist. */
#include "models/cpu/access.h"
#include "models/cpu/cet.h"
#include "models/cpu/exec.h"
#include "models/cpu/sys.h"

/* ---- near transfers, under uop_call_end ---- */

static bool in_64(const struct cpu *c) { return cpu_long64(c); }

/* Bytes of a near return address on the shadow stack. */
static unsigned slot_size(const struct uop *u) { return u->osz == 8 ? 8 : 4; }

static void wait_for_endbranch(struct cpu *c, const struct uop *u)
{
	uint64_t *v = cet_msr(c, c->s.cpl);
	if (!(c->cet & KEY_IBT) || *v & CET_SUPPRESS || (u->notrack && *v & CET_NO_TRACK_EN))
		return;
	*v |= CET_TRACKER;
	cet_changed(c);
}

void cet_jmp(struct cpu *c, const struct uop *u)
{
	near_jump(c, u, op_get(c, u, 0));
	wait_for_endbranch(c, u);
}

void cet_call(struct cpu *c, const struct uop *u)
{
	const bool direct = u->kind[0] == OPK_IMM;
	const uint64_t to = direct ? near_relative(c, u) : op_get(c, u, 0);
	const unsigned n = slot_size(u);
	const bool ss = c->cet & KEY_SS && !(direct && u->imm == 0);
	near_check(c, u, to);
	if (ss) {
		cpu_probe(c, u, stack_linear(c, c->s.r[R_RSP] - u->osz, u->osz, true), u->osz, ACC_WRITE);
		ss_probe(c, c->s.ssp - n, n, c->s.cpl);
	}
	cpu_push(c, u, u->osz, c->next_rip);
	if (ss) {
		ss_store(c, c->s.ssp - n, n, c->next_rip & MASK(8 * u->osz), c->s.cpl);
		c->s.ssp -= n;
	}
	c->next_rip = to;
	if (!direct)
		wait_for_endbranch(c, u);
}

void cet_ret(struct cpu *c, const struct uop *u)
{
	const unsigned n = slot_size(u);
	uint64_t before = c->s.r[R_RSP], to = cpu_pop(c, u, u->osz), after = c->s.r[R_RSP];
	c->s.r[R_RSP] = before;
	if (ss_load(c, c->s.ssp, n, c->s.cpl) != to)
		cpu_raise_ec(c, VEC_CP, CP_NEAR_RET);
	near_check(c, u, to);
	c->s.r[R_RSP] = after;
	c->s.ssp += n;
	if (u->kind[0] == OPK_IMM)
		reg_set(c, R_RSP, stack_size(c), after + (uint16_t)u->imm);
	c->next_rip = to;
}

/* ---- the tracker ---- */

void cet_endbr(struct cpu *c, const struct uop *u)
{
	(void)u;
	*cet_msr(c, c->s.cpl) &= ~(uint64_t)(CET_TRACKER | CET_SUPPRESS);
	cet_changed(c);
}

/* Is the page this code lies on marked in the legacy code page bitmap: one bit a page, from the page the MSR names on? */
static bool legacy_page(struct cpu *c, uint64_t msr)
{
	uint64_t lin = (c->s.seg[SEG_CS].base + c->s.rip) & c->lin_mask, page = (lin & MASK(48)) >> 12;
	uint64_t at = (msr & ~0xfffull) + page / 8;
	return cpu_sys_load(c, cpu_lma(c) ? at : (uint32_t)at, 1) >> page % 8 & 1;
}

/* Tracking waits for ENDBRANCH, and this is something else. Legacy code may have leave; then the instruction is looked up
 * again, the tracker idle, as one that is not tracked. */
void cet_missing(struct cpu *c, const struct uop *u)
{
	(void)u;
	uint64_t *v = cet_msr(c, c->s.cpl);
	if (!(*v & CET_LEG_IW_EN) || !legacy_page(c, *v))
		cpu_raise_ec(c, VEC_CP, CP_ENDBRANCH);
	*v &= ~(uint64_t)CET_TRACKER;
	if (!(*v & CET_SUPPRESS_DIS))
		*v |= CET_SUPPRESS;
	cet_changed(c);
	c->next_rip = c->s.rip;         /* with UOP_REP: not executed yet */
}

/* ---- shadow-stack management ---- */

static void need_shadow_stack(struct cpu *c)
{
	if (!(c->cet & KEY_SS))
		cpu_raise(c, VEC_UD);
}

static void flags_cf(struct cpu *c, bool cf) { flags_set_status(c, cf ? RFLAGS_CF : 0); }

/* SSP and the last element to pop are read, which may fault: a shadow stack has an end. */
void insn_incssp(struct cpu *c, const struct uop *u)
{
	need_shadow_stack(c);
	unsigned n = u->sz[0], count = c->s.r[u->reg[0]] & 0xff, last = count ? count - 1 : 0;
	ss_load(c, c->s.ssp, n, c->s.cpl);
	ss_load(c, c->s.ssp + (uint64_t)last * n, n, c->s.cpl);
	c->s.ssp += (uint64_t)count * n;
}

/* A no-operation while shadow stacks are off, so that software can ask. */
void insn_rdssp(struct cpu *c, const struct uop *u)
{
	if (c->cet & KEY_SS)
		reg_set(c, u->reg[0], u->sz[0], c->s.ssp);
}

/* Pop the token RSTORSSP left behind and put a restore token onto the stack it came from. */
void insn_saveprevssp(struct cpu *c, const struct uop *u)
{
	(void)u;
	need_shadow_stack(c);
	const unsigned cpl = c->s.cpl;
	const bool hole = flag_cf(c);
	uint64_t ssp = c->s.ssp;
	if (ssp & 7)
		cpu_gp0(c);
	const uint64_t token = ss_load(c, ssp, 8, cpl);
	ssp += 8;
	if (hole) {     /* "the alignment hole can be present only when in legacy/compatibility mode" */
		if (in_64(c) || ss_load(c, ssp, 4, cpl) != 0)
			cpu_gp0(c);
		ssp += 4;
	}
	if (!(token & 2) || (!in_64(c) && token >> 32))
		cpu_gp0(c);
	const uint64_t old = token & ~3ull, top = old & ~7ull;
	ss_probe(c, top - 8, (unsigned)(old - top) + 8, cpl);
	ss_store(c, old - 4, 4, 0, cpl);
	ss_store(c, top - 8, 8, old | in_64(c), cpl);
	c->s.ssp = ssp;
}

static uint64_t token_address(struct cpu *c, const struct uop *u, unsigned size, bool write)
{
	uint64_t lin = ea_linear(c, u, size, write);
	if (lin & (size - 1))
		cpu_gp0(c);
	return lin;
}

/* A restore token holds the address behind itself, bit 0 the mode it was made in. What replaces it tells where SSP was. */
void insn_rstorssp(struct cpu *c, const struct uop *u)
{
	need_shadow_stack(c);
	const unsigned cpl = c->s.cpl;
	const uint64_t lin = token_address(c, u, 8, false), previous = c->s.ssp | in_64(c) | 2;
	ss_probe(c, lin, 8, cpl);
	const uint64_t token = ss_load(c, lin, 8, cpl);
	const bool good = (token & 3) == (uint64_t)in_64(c) && !(!in_64(c) && token >> 32) &&
	                  (((token & ~1ull) - 8) & ~7ull) == lin;
	ss_exchange(c, lin, good ? token : ~token, previous, cpl);
	if (!good)
		cpu_raise_ec(c, VEC_CP, CP_RSTORSSP);
	c->s.ssp = lin;
	flags_cf(c, token & 4);         /* an alignment hole lies below the token */
}

static void write_ss(struct cpu *c, const struct uop *u, unsigned cpl)
{
	unsigned n = u->sz[0];
	uint64_t lin = token_address(c, u, n, true);
	ss_store(c, lin, n, reg_get(c, u->reg[1], n), cpl);
}

void insn_wrss(struct cpu *c, const struct uop *u)
{
	need_shadow_stack(c);
	if (!(*cet_msr(c, c->s.cpl) & CET_WR_SHSTK_EN))
		cpu_raise(c, VEC_UD);
	write_ss(c, u, c->s.cpl);
}

/* To a user's shadow stack: a user-mode access. */
void insn_wruss(struct cpu *c, const struct uop *u)
{
	if (!(c->s.cr4 & CR4_CET) || c->s.mode <= MODE_V86)
		cpu_raise(c, VEC_UD);
	need_cpl0(c);
	write_ss(c, u, 3);
}

static void need_supervisor_stacks(struct cpu *c)
{
	if (c->s.mode <= MODE_V86 || !cet_on(c, 0, CET_SH_STK_EN))
		cpu_raise(c, VEC_UD);
	need_cpl0(c);
}

void insn_setssbsy(struct cpu *c, const struct uop *u)
{
	(void)u;
	need_supervisor_stacks(c);
	const uint64_t at = c->s.pl_ssp[0];
	if (at & 7)
		cpu_gp0(c);
	if (!ss_exchange(c, at, at, at | 1, 0))
		cpu_raise_ec(c, VEC_CP, CP_SETSSBSY);
	c->s.ssp = at;
}

void insn_clrssbsy(struct cpu *c, const struct uop *u)
{
	need_supervisor_stacks(c);
	const uint64_t lin = token_address(c, u, 8, false);
	bool good = ss_exchange(c, lin, lin | 1, lin, 0);
	flags_cf(c, !good);
	c->s.ssp = 0;
}
