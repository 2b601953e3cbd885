/* exec_string.c - MOVS CMPS STOS LODS SCAS, and repetition.
 *
 * A body is one iteration; uop_rep and uop_rep_while repeat it. Between iterations a pending event may be taken: RIP then
 * still names the instruction, rCX, rSI and rDI say how far it came, and it counts as executed when it completes.
 * MOVS and STOS over many elements of one page (detailed: one line) are done at once.
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

/* Host pointer to bytes at off in segment seg, and in *room how many bytes from there the same
 * soft-TLB entry and line serve (fast speed: entry alone); NULL when the first `size` need the slow
 * way. Changes nothing. */
static uint8_t *run_of(const struct cpu *c, const struct uop *u, enum seg_reg seg, uint64_t off,
                       bool write, uint64_t *room, uint32_t *slot)
{
	const struct seg *s = &c->s.seg[seg];
	const struct mmu *m = &c->mmu;
	uint64_t lin = (s->base + off) & c->lin_mask, left = PAGE_SIZE - (lin & 0xfff);
	const struct soft_tlb_entry *e = &m->soft[(lin >> PAGE_SHIFT) & (SOFT_TLB_N - 1)];
	if ((write ? e->tag_w : e->tag_r) != ((lin & PAGE_MASK) | m->generation))
		return NULL;
	if (m->detailed) {
		uint64_t pa = SOFT_PA(e) | (lin & 0xfff), line = pa >> 6;
		if ((write ? m->l1d_mru_dirty : m->l1d_mru)[line & m->l1d_set_mask] != line)
			return NULL;
		left = 64 - (pa & 63);
	}
	uint64_t limit = write ? s->lim_w : s->lim_r, top = MASK(64 - u->ash);
	if (off > top - left || off + left > limit || off + left < off)
		return NULL;    /* near an edge: one by one */
	*room = left;
	*slot = SOFT_SLOT(e);
	return (uint8_t *)(e->host + lin);
}

/* When the iterations are to be interrupted. */
static cycle_t leave_at(const struct cpu *c)
{
	return c->deadline == DEADLINE_INSN ? c->rep_deadline : c->deadline;
}

/* MOVS and STOS, upwards: as many of `count` more iterations as touch nothing that the one before
 * did not, at once. They cost what they cost one by one, and leave the same. */
static uint64_t many(struct cpu *c, const struct uop *u, uint64_t count, cycle_t each)
{
	struct mmu *m = &c->mmu;
	bool movs = u->body == exec_movs;
	unsigned size = u->msz;
	uint64_t room_from = ~0ull, room_to;
	uint32_t slot_from = 0, slot_to;
	uint8_t *from = NULL, *to = run_of(c, u, SEG_ES, index_of(c, u, R_RDI), true, &room_to,
	                                   &slot_to);
	if (!to || (movs && !(from = run_of(c, u, u->seg, index_of(c, u, R_RSI), false, &room_from,
	                                    &slot_from))))
		return 0;
	if (m->detailed && m->dtlb_mru != slot_to)
		return 0;
	uint64_t n = (room_from < room_to ? room_from : room_to) / size,
	        due = (leave_at(c) - c->ledger.now + each - 1) / each;
	n = n < count ? n : count;
	n = n < due ? n : due;
	if (movs && (to + n * size <= from || from + n * size <= to))
		memcpy(to, from, n * size);
	else    /* STOS, and what copies its own output */
		for (uint64_t i = 0; i < n; i++)
			memmove(to + i * size,
			        movs ? from + i * size : (const uint8_t *)&c->s.r[R_RAX], size);
	if (m->detailed && movs && slot_from != slot_to && n) {
		m->tlb_stamp[0] += 2 * n;
		m->tlb_stamp[slot_from] = m->tlb_stamp[0] - 1;
		m->tlb_stamp[slot_to] = m->tlb_stamp[0];
	}
	if (movs)
		reg_set(c, R_RSI, asize(u), c->s.r[R_RSI] + n * size);
	reg_set(c, R_RDI, asize(u), c->s.r[R_RDI] + n * size);
	ledger_charge(&c->ledger, WHY_EXECUTE, n * each);
	return n;
}

/* True when the instruction is complete, false when an event is to be looked at first. */
static bool repeat(struct cpu *c, const struct uop *u, bool condition)
{
	unsigned n = asize(u);
	uint64_t count = reg_get(c, R_RCX, n);
	cycle_t each = c->profile->cost[COST_STRING];
	bool upwards = (u->body == exec_movs || u->body == exec_stos) && !(c->s.flags & RFLAGS_DF);
	c->cur = u;
	while (count) {
		u->body(c, u);
		reg_set(c, R_RCX, n, --count);
		ledger_charge(&c->ledger, WHY_EXECUTE, each);
		if (condition && flag_zf(c) != !!(u->flags & UOP_REP))
			break;
		if (upwards && count && c->ledger.now < leave_at(c)) {
			count -= many(c, u, count, each);
			reg_set(c, R_RCX, n, count);
		}
		if (c->ledger.now >= leave_at(c) && count)
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
