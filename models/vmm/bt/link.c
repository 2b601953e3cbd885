/* link.c - blocks chained to one another, in the table of indirect branches, and dropped.
 *
 * A dropped block's code stays where it is, without a way in: chained exits lead to their stubs again, its entry in the table of
 * indirect branches goes. Jumps are changed in place, by one store where they lie in one line.
 * Timing: BT_CHAIN, BT_DROP, references. */
#include "models/vmm/bt/inside.h"

/* The displacement of an exit, to another offset in the code. */
static void set_jump(struct vcpu *v, uint32_t n, unsigned exit, uint32_t to)
{
	const struct bt_state *s = bt_state(v);
	uint32_t site = (uint32_t)BT_GET(v, n, code) + (uint32_t)BT_GETI(v, n, site, exit);
	uint64_t at = s->corner + s->code_from + site;
	uint32_t d = to - (site + 4);
	if ((at & 63) <= 60) {
		bt_put(v, at, 4, d);
		return;
	}
	for (unsigned i = 0; i < 4; i++)
		bt_put(v, at + i, 1, d >> 8 * i & 0xff);
}

static void unlink_from_target(struct vcpu *v, uint32_t n, unsigned exit)
{
	uint32_t to = (uint32_t)BT_GETI(v, n, to, exit), me = n * 2 + exit + 1;
	if (!to)
		return;
	uint64_t at = BT_DESC(bt_state(v), to - 1, in);
	for (uint32_t k; (k = (uint32_t)bt_get(v, at, 4)); at = AT(v, (k - 1) / 2, in_next, (k - 1) & 1))
		if (k == me) {
			bt_put(v, at, 4, BT_GETI(v, n, in_next, exit));
			break;
		}
	SETI(v, n, to, exit, 0);
}

static void unlink_from_list(struct vcpu *v, uint64_t at, uint32_t n, uint32_t page)
{
	for (uint32_t k; (k = (uint32_t)bt_get(v, at, 4));) {
		unsigned i = BT_GETI(v, k - 1, page, 0) == page ? 0 : 1;
		if (k == n + 1) {
			bt_put(v, at, 4, BT_GETI(v, n, page_next, i));
			return;
		}
		at = AT(v, k - 1, page_next, i);
	}
}

void bt_drop(struct vcpu *v, uint32_t n)
{
	struct bt_state *s = bt_state(v);
	uint64_t pc = BT_GET(v, n, pc);
	vmm_cost(v->cpu, VMM_COST_BT_DROP);
	uint64_t at = s->hash + 4 * bt_hash_of(pc);
	for (uint32_t k; (k = (uint32_t)bt_get(v, at, 4)); at = BT_DESC(s, k - 1, hash_next))
		if (k == n + 1) {
			bt_put(v, at, 4, BT_GET(v, n, hash_next));
			break;
		}
	for (uint32_t k = (uint32_t)BT_GET(v, n, in), next; k; k = next) {
		uint32_t from = (k - 1) / 2;
		unsigned exit = (k - 1) & 1;
		next = (uint32_t)BT_GETI(v, from, in_next, exit);
		SETI(v, from, to, exit, 0);
		set_jump(v, from, exit, (uint32_t)BT_GET(v, from, code) + (uint32_t)BT_GETI(v, from, stub, exit));
	}
	SET(v, n, in, 0);
	for (unsigned i = 0; i < BT_GET(v, n, exits); i++)
		unlink_from_target(v, n, i);
	for (unsigned i = 0; i < 2; i++) {
		uint32_t page = (uint32_t)BT_GETI(v, n, page, i);
		if (page)
			unlink_from_list(v, PAGE_AT(v, page - 1, first), n, page);
	}
	const unsigned half = bt_slot_bytes(s->wide) / 2;
	if (bt_get(v, bt_table_at(v, pc), half) == (-pc & MASK(8 * half)))
		bt_put(v, bt_table_at(v, pc), half, bt_slot(pc) ? 0 : 1);
	SET(v, n, live, 0);
	if (s->link == n + 1)
		s->link = 0;
	s->last_at = 0;
	v->vm->stat[VMM_STAT_BT_DROPPED]++;
}

void bt_link(struct vcpu *v, uint32_t from, unsigned exit, uint32_t to)
{
	struct cpu *c = v->cpu;
	uint32_t n = from - 1;
	if (BT_GETI(v, n, to, exit))
		return;
	vmm_cost(c, VMM_COST_BT_CHAIN);
	set_jump(v, n, exit, (uint32_t)BT_GET(v, to - 1, code));
	SETI(v, n, to, exit, to);
	SETI(v, n, in_next, exit, BT_GET(v, to - 1, in));
	SET(v, to - 1, in, n * 2 + exit + 1);
	v->vm->stat[VMM_STAT_BT_CHAINED]++;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_BT_CHAIN, v->vm->number, BT_GET(v, n, pc), BT_GET(v, to - 1, pc), exit);
}

void bt_table_put(struct vcpu *v, uint64_t pc, uint32_t block)
{
	const unsigned half = bt_slot_bytes(bt_state(v)->wide) / 2;
	bt_put(v, bt_table_at(v, pc), half, -pc & MASK(8 * half));
	bt_put(v, bt_table_at(v, pc) + half, half, bt_code_lin(v, block));
}
