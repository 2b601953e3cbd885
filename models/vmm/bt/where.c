/* where.c - from a place in the cache to the guest's: for the VMM, which pays for it, and for people, who do not.
 * Timing: BT_WHERE, references to blocks and points; none for what is called peek and see. */
#include "models/vmm/bt/inside.h"

#include <string.h>

#include "models/vmm/ring/ring.h"

bool bt_guest_insn(struct vcpu *v, uint32_t block, uint64_t pc, uint8_t insn[16])
{
	const uint32_t page = (uint32_t)BT_GETI(v, block, page, 0);
	const unsigned room = PAGE_SIZE - (unsigned)(pc & 0xfff);
	if (!page || BT_GETI(v, block, page, 1))
		return false;
	const uint64_t frame = PAGE_GET(v, page - 1, frame);
	memset(insn, 0, 16);
	return frame != NOWHERE && vcpu_read_gpa(v, GPA(frame << PAGE_SHIFT | (pc & 0xfff)), insn, room < INSN_BYTES_MAX ? room : INSN_BYTES_MAX);
}

typedef uint64_t getter(struct vcpu *v, uint64_t at, unsigned size);

static uint64_t peek(struct vcpu *v, uint64_t at, unsigned size)
{
	uint64_t x = 0;
	(void)mem_peek(v->cpu->mmu.mem, HPA(at), &x, size);
	return x;
}

static struct bt_point point_get(struct vcpu *v, getter *get, uint32_t index)
{
	struct bt_point p;
	uint64_t x = get(v, bt_state(v)->points + 8ull * index, 8);
	memcpy(&p, &x, 8);
	return p;
}

#define GET(v, n, member) get(v, BT_DESC(bt_state(v), n, member), SIZE(member))

/* *first: no point before it in its block says the same. */
static bool where(struct vcpu *v, getter *get, uint64_t rip, struct bt_point *p, uint32_t *block, bool *first)
{
	const struct bt_state *s = bt_state(v);
	uint64_t off = rip - bt_lin(v, 0);
	*block = ~0u;
	*first = false;
	if (off < s->code_from) {
		struct bt_block *b = &bt_of(v->vm)->block;
		struct bt_env e;
		bt_environment(v, &e);
		bt_head(&e, b);         /* what a VMM has as a constant */
		const struct bt_point *q = bt_point_find(b->point, b->points, (unsigned)off);
		if (q)
			*p = *q;
		return q != NULL;
	}
	off -= s->code_from;
	uint32_t lo = 0, hi = s->blocks_n;
	while (hi - lo > 1) {
		uint32_t mid = (lo + hi) / 2;
		if (GET(v, mid, code) <= off)
			lo = mid;
		else
			hi = mid;
	}
	if (!hi || off - GET(v, lo, code) >= GET(v, lo, len))
		return false;
	*block = lo;
	uint32_t from = (uint32_t)GET(v, lo, point), a = 0, n = (uint32_t)GET(v, lo, points);
	uint32_t at = (uint32_t)(off - GET(v, lo, code));
	while (n - a > 1) {
		uint32_t mid = (a + n) / 2;
		if (point_get(v, get, from + mid).at <= at)
			a = mid;
		else
			n = mid;
	}
	*p = point_get(v, get, from + a);
	*first = bt_point_clean(p);
	if (a && *first) {
		struct bt_point before = point_get(v, get, from + a - 1);
		*first = !bt_point_clean(&before) || before.guest != p->guest;
	}
	return p->at == at;
}

bool bt_where(struct vcpu *v, uint64_t rip, struct bt_point *p, uint32_t *block)
{
	bool first;
	vmm_cost(v->cpu, VMM_COST_BT_WHERE);
	return where(v, bt_get, rip, p, block, &first);
}

uint64_t bt_peek(const struct vcpu *at, uint64_t lin, bool *begins)
{
	struct vcpu *v = (struct vcpu *)at;     /* nothing of it changes: peek() */
	struct bt_point p;
	uint32_t block;
	bool first;
	getter *const get = peek;
	*begins = false;
	if (!where(v, peek, lin, &p, &block, &first))
		return lin;
	*begins = first;
	switch (BT_RIP(&p)) {
	case BT_AT:    return GET(v, block, pc) + p.guest;
	case BT_EXIT0: return GET(v, block, exit[0]);
	case BT_EXIT1: return GET(v, block, exit[1]);
	case BT_IN_CX: return v->cpu->s.r[R_RCX];
	case BT_IN_PC: return peek(v, ring_page_hpa(v->vm, RING_SHARED + v->number).v + offsetof(struct bt_shared, pc), 8);
	}
	return lin;
}

bool bt_see(const struct vcpu *at, unsigned n, struct bt_seen *o)
{
	struct vcpu *v = (struct vcpu *)at;     /* nothing of it changes */
	const struct bt_state *s = bt_state(v);
	const struct mem *m = v->cpu->mmu.mem;
	if (!s->ready || n >= s->blocks_n || !mem_peek(m, HPA(BT_DESC(s, n, pc)), &o->d, sizeof o->d) || o->d.guest_len > sizeof o->guest ||
	    o->d.len > sizeof o->code || o->d.points > BT_POINTS_MAX)
		return false;
	o->at = bt_lin(v, s->code_from + o->d.code);
	o->wide = s->wide;
	bool all = mem_peek(m, HPA(s->corner + s->code_from + o->d.code), o->code, o->d.len) &&
	           mem_peek(m, HPA(s->points + 8ull * o->d.point), o->point, 8ull * o->d.points);
	o->guest_there = true;
	for (unsigned i = 0; i < o->d.guest_len; i++) {
		uint64_t lin = o->d.pc + i, frame;
		unsigned k = lin >> PAGE_SHIFT != o->d.pc >> PAGE_SHIFT;
		getter *const get = peek;
		hpa_t hpa;
		o->guest[i] = 0x90;
		frame = o->d.page[k] ? get(v, PAGE_AT(v, o->d.page[k] - 1, frame), 8) : NOWHERE;
		if (frame == NOWHERE || !vm_gpa_to_hpa(v->vm, GPA(frame << PAGE_SHIFT | (lin & 0xfff)), &hpa) || !mem_peek(m, hpa, &o->guest[i], 1))
			o->guest_there = false;
	}
	return all;
}
