/* cet.c - control-flow enforcement: what is in force, accesses to shadow stacks, and what transfers that change CS do to SSP
 * and to the tracker.
 *
 * A shadow stack of a more privileged level begins with a token of 8 bytes at the address IA32_PLi_SSP (or an entry of the
 * interrupt shadow-stack table) holds: that address, bit 0 set while a CPU uses it. Below it lies, unless the transfer came
 * from CPL 3, the frame the return pops:
 *
 *    SSP+24  token, or whatever was there      a call at one level aligns SSP to 8 bytes first: the 4 bytes
 *    SSP+16  CS, zero-extended                 below it are cleared, so that a hole holds 0
 *    SSP+8   linear return address
 *    SSP     old SSP
 *
 * Source: SDM Vol. 1, "Shadow Stacks", "Shadow Stack Management"; Vol. 2, "CALL", "RET", "IRET", "INT n", "SYSCALL"; Vol. 3A,
 *         "Task Switching".
 * Timing: loads and stores through TLB and caches as any other; a token's exchange costs COST_LOCK on top. */
#include "models/cpu/cet.h"

#include "models/cpu/access.h"
#include "models/cpu/sys.h"

#define TOKEN_BUSY 1u

/* ---- what is in force ---- */

uint64_t cet_reserved(const struct cpu *c)
{
	uint64_t v = 0x3c0;
	if (!cpu_has(c, FEATURE_SHSTK))
		v |= CET_SH_STK_EN | CET_WR_SHSTK_EN;
	if (!cpu_has(c, FEATURE_IBT))
		v |= ~(uint64_t)(CET_SH_STK_EN | CET_WR_SHSTK_EN);
	return v;
}

void cet_changed(struct cpu *c)
{
	unsigned key = 0;
	if (c->s.cr4 & CR4_CET && c->s.mode > MODE_V86) {
		uint64_t v = *cet_msr(c, c->s.cpl);
		if (v & CET_SH_STK_EN)
			key |= KEY_SS;
		if (v & CET_ENDBR_EN)
			key |= v & CET_TRACKER ? KEY_IBT | KEY_WAIT : KEY_IBT;
	}
	c->cet = (uint16_t)key;
}

/* ---- accesses ---- */

static unsigned access_as(unsigned cpl) { return ACC_SS | (cpl == 3 ? ACC_USER : 0); }
/* Not c->lin_mask: a transfer from compatibility mode may be on its way to a 64-bit stack. */
static uint64_t linear(const struct cpu *c, uint64_t a) { return cpu_lma(c) ? a : (uint32_t)a; }

uint64_t ss_load(struct cpu *c, uint64_t lin, unsigned size, unsigned cpl)
{
	struct mmu_fault f;
	uint64_t v = 0;
	lin = linear(c, lin);
	if (mmu_read(&c->mmu, lin, &v, size, access_as(cpl) | ACC_READ, &f))
		cpu_raise_mmu(c, &f, SEG_DS);
	if (c->watch)
		debug_data(c, lin, size, false);
	return v;
}

void ss_store(struct cpu *c, uint64_t lin, unsigned size, uint64_t v, unsigned cpl)
{
	struct mmu_fault f;
	lin = linear(c, lin);
	if (mmu_write(&c->mmu, lin, &v, size, access_as(cpl) | ACC_WRITE, &f))
		cpu_raise_mmu(c, &f, SEG_DS);
	if (c->watch)
		debug_data(c, lin, size, true);
}

void ss_probe(struct cpu *c, uint64_t lin, unsigned size, unsigned cpl)
{
	struct mmu_fault f;
	if (mmu_probe(&c->mmu, linear(c, lin), size, access_as(cpl) | ACC_WRITE, &f))
		cpu_raise_mmu(c, &f, SEG_DS);
}

/* "shadow_stack_lock_cmpxchg8b": it writes whether or not the values agree. */
bool ss_exchange(struct cpu *c, uint64_t lin, uint64_t expected, uint64_t v, unsigned cpl)
{
	struct mmu_fault f;
	uint64_t found = 0;
	lin = linear(c, lin);
	if (mmu_read(&c->mmu, lin, &found, 8, access_as(cpl) | ACC_READ | ACC_RMW | ACC_LOCKED, &f))
		cpu_raise_mmu(c, &f, SEG_DS);
	ledger_charge(&c->ledger, WHY_EXECUTE, c->profile->cost[COST_LOCK]);
	ss_store(c, lin, 8, found == expected ? v : found, cpl);
	return found == expected;
}

/* ---- frames ---- */

/* CS, linear return address and old SSP below `ssp`, which is aligned; the new top. */
static uint64_t push_frame(struct cpu *c, uint64_t ssp, unsigned cpl, uint64_t cs, uint64_t lip, uint64_t old)
{
	ss_probe(c, ssp - 24, 24, cpl);
	ss_store(c, ssp - 8, 8, cs, cpl);
	ss_store(c, ssp - 16, 8, lip, cpl);
	ss_store(c, ssp - 24, 8, old, cpl);
	return ssp - 24;
}

/* The same on the stack in use: align it first. */
static uint64_t push_own(struct cpu *c, unsigned cpl, uint64_t cs, uint64_t lip)
{
	uint64_t old = c->s.ssp, top = old & ~7ull;
	ss_probe(c, top - 24, (unsigned)(old - top) + 24, cpl);
	ss_store(c, old - 4, 4, 0, cpl);
	return push_frame(c, top, cpl, cs, lip, old);
}

/* Take possession of the shadow stack whose token is at ssp. "Token and CS:LIP:oldSSP pushed on shadow stack must be contained
 * in a naturally aligned 32-byte region." */
static void take_stack(struct cpu *c, uint64_t ssp, unsigned cpl, bool to64)
{
	if (ssp & 7 || (ssp & ~31ull) != ((ssp - 24) & ~31ull) || (!to64 && ssp >> 32))
		cpu_gp0(c);
	if (!ss_exchange(c, ssp, ssp, ssp | TOKEN_BUSY, cpl))
		cpu_gp0(c);
}

static void cp(struct cpu *c, unsigned error) { cpu_raise_ec(c, VEC_CP, error); }

struct popped { uint64_t ssp, lip, cs; };

static struct popped pop_frame(struct cpu *c, unsigned cpl)
{
	uint64_t at = c->s.ssp;
	if (at & 7)
		cp(c, CP_FAR_RET);
	struct popped f;
	f.cs = ss_load(c, at + 16, 8, cpl);
	f.lip = ss_load(c, at + 8, 8, cpl);
	f.ssp = ss_load(c, at, 8, cpl);
	return f;
}

/* ---- transfers ---- */

void cet_enter_slow(struct cpu *c, unsigned cpl, bool to64, unsigned ist, uint64_t back, struct cet_plan *p)
{
	const unsigned from = c->s.cpl;
	const bool inner = cpl < from;
	const uint64_t lip = (c->s.seg[SEG_CS].base + back) & c->lin_mask;
	*p = (struct cet_plan){ .ssp = c->s.ssp, .track = 1, .save = inner && from == 3 && c->cet & KEY_SS };
	if (!cet_on(c, cpl, CET_SH_STK_EN))
		return;
	if (!inner && !ist) {
		if (!to64 && c->s.ssp >> 32)
			cpu_gp0(c);
		p->ssp = push_own(c, cpl, c->s.seg[SEG_CS].sel, lip);
		return;
	}
	p->ssp = ist ? cpu_sys_load(c, c->s.ssp_table + 8ull * ist, 8) : c->s.pl_ssp[cpl];
	take_stack(c, p->ssp, cpl, to64);
	if (from != 3)
		p->ssp = push_frame(c, p->ssp, cpl, c->s.seg[SEG_CS].sel, lip, c->s.ssp);
}

void cet_return_slow(struct cpu *c, unsigned rpl, uint16_t sel, uint64_t base, uint64_t rip, bool to64, bool stacks,
                     struct cet_plan *p)
{
	const unsigned from = c->s.cpl;
	const bool outer = rpl > from, was_on = c->cet & KEY_SS;
	uint64_t next = c->s.ssp, token = c->s.ssp;
	*p = (struct cet_plan){ .ssp = c->s.ssp };
	if (was_on && c->s.ssp & 7)
		cp(c, CP_FAR_RET);
	if (was_on && !(outer && rpl == 3)) {
		const struct popped f = pop_frame(c, from);
		const uint64_t lip = to64 ? rip : (uint32_t)(base + rip);
		if (f.cs != sel || f.lip != lip || f.ssp & 3)
			cp(c, CP_FAR_RET);
		next = f.ssp;
		token += 24;
	}
	if (outer && rpl == 3)
		next = c->s.pl_ssp[3];
	if (cet_on(c, rpl, CET_SH_STK_EN)) {
		if (!to64 && next >> 32)
			cpu_gp0(c);
		p->ssp = next;
	} else {
		p->ssp = token;
	}
	/* the stack is free again when its token is at hand: nobody minds if it is not */
	if (was_on && (outer || (stacks && next != token)))
		ss_exchange(c, token, token | TOKEN_BUSY, token, from);
}

void cet_jump_slow(struct cpu *c, bool to64, struct cet_plan *p)
{
	if (c->cet & KEY_SS && !to64 && c->s.ssp >> 32)
		cpu_gp0(c);
	*p = (struct cet_plan){ .ssp = c->s.ssp, .track = 1 };
}

/* "adjust so bits 63:N get the value of bit N-1, where N is the CPU's maximum linear-address width" */
static uint64_t adjusted(const struct cpu *c, uint64_t a)
{
	unsigned n = 64 - (cpu_has(c, FEATURE_LA57) ? 57 : 48);
	return (uint64_t)((int64_t)(a << n) >> n);
}

void cet_commit_slow(struct cpu *c, const struct cet_plan *p)
{
	if (p->save)
		c->s.pl_ssp[3] = adjusted(c, c->s.ssp);
	c->s.ssp = p->ssp;
	if (p->track)
		cet_track(c, c->s.cpl);
	cet_changed(c);
}

void cet_track(struct cpu *c, unsigned cpl)
{
	uint64_t *v = cet_msr(c, cpl);
	if (cet_on(c, cpl, CET_ENDBR_EN))
		*v = (*v & ~(uint64_t)CET_SUPPRESS) | CET_TRACKER;
	cet_changed(c);
}

/* "OS supporting Ring 0 to Ring 0 system calls or Ring 1/2 to ring 0 system call must preserve the contents of IA32_PL3_SSP" */
void cet_system_call(struct cpu *c)
{
	if (likely(!(c->s.cr4 & CR4_CET)))
		return;
	if (c->cet & KEY_SS)
		c->s.pl_ssp[3] = adjusted(c, c->s.ssp);
	if (cet_on(c, 0, CET_SH_STK_EN))
		c->s.ssp = 0;
	cet_track(c, 0);
}

void cet_system_return(struct cpu *c)
{
	if (cet_on(c, 3, CET_SH_STK_EN))
		c->s.ssp = c->s.pl_ssp[3];
	cet_changed(c);
}

/* ---- tasks ---- */

/* Before the commit point, in the old task. */
void cet_task_leave(struct cpu *c, bool calls, bool returns, unsigned new_cpl, uint64_t back, struct cet_task *t)
{
	const unsigned from = c->s.cpl;
	*t = (struct cet_task){ .ssp = c->s.ssp };
	if (!(c->cet & KEY_SS))
		return;
	if (calls) {
		if (new_cpl < from && from == 3) {
			c->s.pl_ssp[3] = c->s.ssp;
		} else {
			t->push = true;
			t->cs = c->s.seg[SEG_CS].sel;
			t->lip = (c->s.seg[SEG_CS].base + back) & c->lin_mask;
		}
	} else if (returns) {
		uint64_t token = c->s.ssp;
		if (new_cpl == from || new_cpl < 3) {
			const struct popped f = pop_frame(c, from);
			*t = (struct cet_task){ .ssp = f.ssp, .cs = f.cs, .lip = f.lip, .verify = true };
			token += 24;
		} else {
			t->ssp = c->s.pl_ssp[3];
		}
		ss_exchange(c, token, token | TOKEN_BUSY, token, from);
		c->s.ssp = 0;
	}
}

/* In the new task, its segments loaded: faults are its own. */
void cet_task_arrive(struct cpu *c, bool returns, uint64_t new_ssp, const struct cet_task *t)
{
	const unsigned cpl = c->s.cpl;
	const bool ss = cet_on(c, cpl, CET_SH_STK_EN);
	if (cpu_v86(c)) {
		if (ss || cet_on(c, cpl, CET_ENDBR_EN))
			cpu_raise_ec(c, VEC_TS, sel_error(c->s.seg[SEG_TR].sel));
		return;
	}
	if (!returns) {
		if (ss) {
			if (new_ssp & 7)
				cpu_raise_ec(c, VEC_TS, sel_error(c->s.seg[SEG_TR].sel));
			take_stack(c, new_ssp, cpl, false);
			c->s.ssp = t->push ? push_frame(c, new_ssp, cpl, t->cs, t->lip, t->ssp) : new_ssp;
		}
		cet_track(c, cpl);
		return;
	}
	const uint64_t lip = (c->s.seg[SEG_CS].base + c->s.rip) & c->lin_mask;
	if (t->verify && (t->cs != c->s.seg[SEG_CS].sel || t->lip != lip))
		cp(c, CP_FAR_RET);
	if (!ss)
		return;
	if (t->ssp & 3 || t->ssp >> 32)
		cp(c, CP_FAR_RET);
	c->s.ssp = t->ssp;
}
