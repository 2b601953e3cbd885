/* make.c - a block is made: the guest's code read, translated, entered in the cache; its pages are traced from then on.
 * Timing: BT_BLOCK, BT_INSN, the walk to the guest's code, every reference. */
#include "models/vmm/bt/inside.h"

#include <string.h>

#include "models/vmm/virt.h"

#define WRITES_MAX   32                 /* to translated bytes of a page, before its code is interpreted */
#define WRITES_AGAIN 8                  /* so many, when it has been tried anew */
#define PATIENCE     512                /* instructions interpreted before that: what was patched at boot is run for good */

/* Another page that code was translated from, at another linear address, may be the same one. */
void bt_page_moved(struct vcpu *v, uint32_t page, uint64_t frame)
{
	const struct bt_state *s = bt_state(v);
	uint64_t old = PAGE_GET(v, page, frame);
	bool other = false;
	PAGE_SET(v, page, frame, frame);
	for (uint32_t n = 0; n < s->pages_n; n++)
		other |= PAGE_GET(v, n, frame) == old;
	if (!other && old != NOWHERE)
		bt_trace_page(v, old, false);
	if (frame != NOWHERE)
		bt_trace_page(v, frame, true);
}

static uint32_t page_of(struct vcpu *v, uint64_t lin, uint64_t frame)
{
	struct bt_state *s = bt_state(v);
	for (uint32_t n = 0; n < s->pages_n; n++)
		if (PAGE_GET(v, n, lin) == lin) {
			if (PAGE_GET(v, n, frame) != frame)
				bt_page_moved(v, n, frame);
			return n + 1;
		}
	if (s->pages_n == BT_PAGES_MAX)
		return 0;
	uint32_t n = s->pages_n++;
	PAGE_SET(v, n, lin, lin);
	PAGE_SET(v, n, frame, frame);
	PAGE_SET(v, n, first, 0);
	PAGE_SET(v, n, writes, 0);
	PAGE_SET(v, n, interpreted, 0);
	bt_trace_page(v, frame, true);
	return n + 1;
}

static bool page_hostile(struct vcpu *v, uint64_t lin)
{
	struct bt_state *s = bt_state(v);
	for (uint32_t n = 0; n < s->pages_n; n++) {
		if (PAGE_GET(v, n, lin) != lin)
			continue;
		if (PAGE_GET(v, n, writes) <= WRITES_MAX)
			return false;
		uint32_t asked = (uint32_t)PAGE_GET(v, n, interpreted) + 1;
		bool still = asked <= PATIENCE;
		PAGE_SET(v, n, interpreted, still ? asked : 0);
		if (!still)
			PAGE_SET(v, n, writes, WRITES_MAX - WRITES_AGAIN);
		return still;
	}
	return false;
}

/* Up to n bytes of guest code; more when its only instruction goes on behind the page. */
static bool fetch(struct vcpu *v, const struct guest_regs *r, uint64_t lin, void *buf, unsigned n, uint64_t *frame, struct bt_fault *f)
{
	struct guest_walk w;
	*f = (struct bt_fault){ lin, ~0u };
	if (!guest_walk(v, r, lin, ACC_EXEC, WHY_TRANSLATE, &w)) {
		f->error = w.error;
		return false;
	}
	*frame = w.gpa >> PAGE_SHIFT;
	return vcpu_read_gpa(v, GPA(w.gpa), buf, n);
}

static void enter_block(struct vcpu *v, const struct bt_block *b, const uint8_t *guest, const uint64_t frame[2])
{
	struct bt_state *s = bt_state(v);
	const uint32_t n = s->blocks_n++;
	struct bt_desc d = { .pc = b->pc, .code = s->code, .point = s->points_n, .len = b->len, .guest_len = b->guest_len,
	                     .points = b->points, .insns = b->insns, .exits = b->exits, .live = 1 };
	for (unsigned i = 0; i < b->exits; i++) {
		d.exit[i] = b->exit[i].target;
		d.site[i] = b->exit[i].site;
		d.stub[i] = b->exit[i].stub;
	}
	uint64_t last = b->pc + b->guest_len - 1;
	unsigned rest = b->guest_len - b->last;
	d.last_at = b->last;
	memcpy(d.last, guest + b->last, rest < sizeof d.last ? rest : sizeof d.last);
	d.page[0] = page_of(v, b->pc >> PAGE_SHIFT, frame[0]);
	if (last >> PAGE_SHIFT != b->pc >> PAGE_SHIFT)
		d.page[1] = page_of(v, last >> PAGE_SHIFT, frame[1]);
	for (unsigned i = 0; i < 2; i++)
		if (d.page[i]) {
			d.page_next[i] = (uint32_t)PAGE_GET(v, d.page[i] - 1, first);
			PAGE_SET(v, d.page[i] - 1, first, n + 1);
		}
	const uint64_t head = s->hash + 4 * bt_hash_of(b->pc);
	d.hash_next = (uint32_t)bt_get(v, head, 4);
	bt_put(v, head, 4, n + 1);
	bt_put_bytes(v, BT_DESC(s, n, pc), &d, sizeof d);
	bt_put_bytes(v, s->points + 8ull * s->points_n, b->point, b->points * 8);
	bt_put_bytes(v, s->corner + s->code_from + s->code, b->code, b->len);
	s->points_n += b->points;
	s->code += (b->len + 15u) & ~15u;
}

uint32_t bt_make(struct vcpu *v, const struct guest_regs *r, uint64_t pc, struct bt_fault *f)
{
	struct bt_state *s = bt_state(v);
	struct bt_block *b = &bt_of(v->vm)->block;
	struct cpu *c = v->cpu;
	struct bt_env e;
	uint8_t bytes[BT_INSNS_MAX * INSN_BYTES_MAX];
	uint64_t frame[2] = { 0, 0 };
	unsigned room = PAGE_SIZE - (unsigned)(pc & 0xfff), n = bt_of(v->vm)->limit * INSN_BYTES_MAX;
	n = n < room ? n : room;
	if (page_hostile(v, pc >> PAGE_SHIFT)) {
		*f = (struct bt_fault){ pc, ~0u };
		return 0;
	}
	if (s->code + BT_CODE_MAX > s->code_max || s->blocks_n == s->blocks_max || s->points_n + BT_POINTS_MAX > s->points_max ||
	    s->pages_n + 2 > BT_PAGES_MAX)
		bt_flush(v);
	bt_environment(v, &e);
	e.who = v;
	if (!fetch(v, r, pc, bytes, n, &frame[0], f))
		return 0;
	const uint64_t at = bt_lin(v, s->code_from + s->code);
	bt_translate(&e, pc, bytes, n, at, b);
	if (!b->insns) {
		if (!fetch(v, r, (pc & PAGE_MASK) + PAGE_SIZE, bytes + n, INSN_BYTES_MAX, &frame[1], f))
			return 0;
		e.limit = 1;
		bt_translate(&e, pc, bytes, n + INSN_BYTES_MAX, at, b);
		if (!b->insns)
			return 0;
	}
	vmm_cost(c, VMM_COST_BT_BLOCK);
	for (unsigned i = 0; i < b->insns; i++)
		vmm_cost(c, VMM_COST_BT_INSN);
	enter_block(v, b, bytes, frame);
	uint64_t *stat = v->vm->stat;
	stat[VMM_STAT_BT_BLOCKS]++;
	stat[VMM_STAT_BT_INSNS] += b->insns;
	stat[VMM_STAT_BT_GUEST_BYTES] += b->guest_len;
	stat[VMM_STAT_BT_BYTES] += b->len;
	stat[VMM_STAT_BT_EXITS] += b->exits;
	stat[VMM_STAT_BT_USED] = s->code;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_BT_TRANSLATE, v->vm->number, pc, at, b->insns);
	return s->blocks_n;
}
