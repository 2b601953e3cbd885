/* exec_string.c - MOVS CMPS STOS LODS SCAS, and repetition.
 *
 * A body is one iteration; uop_rep and uop_rep_while repeat it. Between iterations a pending event may be taken: RIP then
 * still names the instruction, rCX, rSI and rDI say how far it came, and it counts as executed when it completes.
 * Time: `string` for an iteration, booked as it happens; the base cost, `rep`, once, at the end.
 * Source: SDM Vol. 2, "REP/REPE/REPZ/REPNE/REPNZ". */
#include "models/cpu/hot.h"

/* rSI, rDI and rCX have the address size. */
static inline unsigned asize(const struct uop *u) { return 8 - u->ash / 8; }

static inline uint64_t index_of(const struct cpu *c, const struct uop *u, unsigned r)
{
	return c->s.r[r] << u->ash >> u->ash;
}

static inline void advance(struct cpu *c, const struct uop *u, unsigned r)
{
	int64_t step = c->s.flags & RFLAGS_DF ? -(int64_t)u->msz : u->msz;
	reg_set(c, r, asize(u), c->s.r[r] + (uint64_t)step);
}

static uint64_t load(struct cpu *c, const struct uop *u, enum seg_reg seg, unsigned r)
{
	uint64_t lin = seg_linear(c, u, seg, index_of(c, u, r), u->msz, false);
	switch (u->msz) {
	case 1: return cpu_load8(c, u, lin);
	case 2: return cpu_load16(c, u, lin);
	case 4: return cpu_load32(c, u, lin);
	default: return cpu_load64(c, u, lin);
	}
}

static void store(struct cpu *c, const struct uop *u, uint64_t v)
{
	uint64_t lin = seg_linear(c, u, SEG_ES, index_of(c, u, R_RDI), u->msz, true);
	switch (u->msz) {
	case 1: cpu_store8(c, u, lin, (uint8_t)v); break;
	case 2: cpu_store16(c, u, lin, (uint16_t)v); break;
	case 4: cpu_store32(c, u, lin, (uint32_t)v); break;
	default: cpu_store64(c, u, lin, v); break;
	}
}

void exec_movs(struct cpu *c, const struct uop *u)
{
	store(c, u, load(c, u, u->seg, R_RSI));
	advance(c, u, R_RSI);
	advance(c, u, R_RDI);
}

void exec_stos(struct cpu *c, const struct uop *u)
{
	store(c, u, c->s.r[R_RAX]);
	advance(c, u, R_RDI);
}

void exec_lods(struct cpu *c, const struct uop *u)
{
	uint64_t v = load(c, u, u->seg, R_RSI);
	reg_set(c, R_RAX, u->msz, v);
	advance(c, u, R_RSI);
}

void exec_cmps(struct cpu *c, const struct uop *u)
{
	uint64_t a = load(c, u, u->seg, R_RSI), b = load(c, u, SEG_ES, R_RDI);
	(void)alu_by_size(sub, c, u->msz, a, b);
	advance(c, u, R_RSI);
	advance(c, u, R_RDI);
}

void exec_scas(struct cpu *c, const struct uop *u)
{
	uint64_t b = load(c, u, SEG_ES, R_RDI);
	(void)alu_by_size(sub, c, u->msz, reg_get(c, R_RAX, u->msz), b);
	advance(c, u, R_RDI);
}

/* ---- repetition ---- */

/* True when the instruction is complete, false when an event is to be looked at first. */
static bool repeat(struct cpu *c, const struct uop *u, bool condition)
{
	unsigned n = asize(u);
	uint64_t count = reg_get(c, R_RCX, n);
	cycle_t each = c->profile->cost[COST_STRING];
	c->cur = u;
	while (count) {
		u->body(c, u);
		reg_set(c, R_RCX, n, --count);
		ledger_charge(&c->ledger, WHY_EXECUTE, each);
		if (condition && flag_zf(c) != !!(u->flags & UOP_REP))
			break;
		if (c->ledger.now >= c->deadline && count)
			return false;
	}
	return true;
}

const struct uop *uop_rep(struct cpu *c, const struct uop *u)
{
	if (!repeat(c, u, false))
		return u;
	NEXT(c, u);
}

const struct uop *uop_rep_while(struct cpu *c, const struct uop *u)
{
	if (!repeat(c, u, true))
		return u;
	NEXT(c, u);
}

uop_fn *bind_rep(struct uop *u, uint32_t key)
{
	(void)key;
	return u->flags & (UOP_REP | UOP_REPNE) ? uop_rep : NULL;
}

uop_fn *bind_rep_while(struct uop *u, uint32_t key)
{
	(void)key;
	return u->flags & (UOP_REP | UOP_REPNE) ? uop_rep_while : NULL;
}
