/* cache.c - the code cache of a virtual CPU: see cache.h for where everything lies.
 *
 * Blocks are found by guest linear address. What is there may change in three ways, and each is watched:
 *   the bytes       guest pages that code came from are traced (pager->trace): a write drops the blocks it hits
 *   the mapping     after a change of the address space, and after INVLPG, every such page is looked up again before the next
 *                   entry; blocks of a page that lies elsewhere now are dropped
 *   the mode        64-bit or 32-bit code: the cache is dropped
 * A dropped block's code stays where it is, without a way in: chained exits lead to their stubs again, its entry in the table of
 * indirect branches goes. Room is had by dropping everything (VMware's monitor does the same).
 * Source: Adams and Agesen 2006, sections 3.1 and 3.3; Agesen et al. 2012.
 * Timing: BT_* rows of cost.def, and every reference to descriptors, points, code and the guest's bytes and tables.
 * Simplified: code that a device writes by DMA over translated code is not noticed. */
#include "models/vmm/bt/cache.h"

#include <string.h>

#include "models/mmu/pte.h"
#include "models/vmm/virt.h"
#include "models/vmm/ring/ring.h"

#define NOWHERE    (~0ull)
#define WRITES_MAX 32                   /* to translated bytes of a page, before its code is interpreted */

/* ---- memory ---- */

uint64_t bt_get(struct vcpu *v, uint64_t at, unsigned size) { return mmu_phys_read(&v->cpu->mmu, HPA(at), size, WHY_TRANSLATE); }
void bt_put(struct vcpu *v, uint64_t at, unsigned size, uint64_t x) { mmu_phys_write(&v->cpu->mmu, HPA(at), size, x, WHY_TRANSLATE); }

#define SIZE(member)           sizeof ((struct bt_desc *)0)->member
#define SET(v, n, member, x)   bt_put(v, BT_DESC(bt_state(v), n, member), SIZE(member), x)
#define AT(v, n, member, i)    (BT_DESC(bt_state(v), n, member) + (i) * SIZE(member[0]))
#define SETI(v, n, member, i, x) bt_put(v, AT(v, n, member, i), SIZE(member[0]), x)
#define PAGE_AT(v, n, member)  (bt_state(v)->pages + (uint64_t)(n) * sizeof(struct bt_page) + offsetof(struct bt_page, member))
#define PAGE_GET(v, n, member) bt_get(v, PAGE_AT(v, n, member), sizeof ((struct bt_page *)0)->member)
#define PAGE_SET(v, n, member, x) bt_put(v, PAGE_AT(v, n, member), sizeof ((struct bt_page *)0)->member, x)

/* n bytes from a multiple of 8 on. */
static void put_bytes(struct vcpu *v, uint64_t at, const void *from, unsigned n)
{
	const uint8_t *b = from;
	for (unsigned i = 0; i < n; i += 8) {
		uint64_t x = 0;
		memcpy(&x, b + i, n - i < 8 ? n - i : 8);
		bt_put(v, at + i, 8, x);
	}
}

uint64_t bt_lin(const struct vcpu *v, uint32_t off)
{
	const struct bt_state *s = bt_state(v);
	return (s->wide ? RING_CORNER_64 : RING_CORNER_32) + (uint64_t)s->first_page * PAGE_SIZE + off;
}

bool bt_inside(const struct vcpu *v, uint64_t lin)
{
	const struct bt_state *s = bt_state(v);
	return s->ready && lin - bt_lin(v, 0) < s->code_from + s->code_max;
}

static uint64_t table_at(const struct vcpu *v, uint64_t pc)
{
	const struct bt_state *s = bt_state(v);
	return s->corner + PAGE_SIZE + (uint64_t)bt_slot(pc) * bt_slot_bytes(s->wide);
}

static hpa_t own_pages(struct vm *vm, uint64_t bytes)
{
	hpa_t first = HPA(0), page;
	for (uint64_t n = 0; n < bytes; n += PAGE_SIZE) {
		page = vmm_page(vm->vmm);
		if (!page.v)
			return HPA(0);
		if (!n)
			first = page;
	}
	return first;
}

int bt_cache_init(struct vcpu *v)
{
	struct vm *vm = v->vm;
	struct bt_state *s = bt_state(v);
	const unsigned all = (RING_PAGES - RING_CODE) / vm->config.vcpus, table = BT_SLOTS * 16 / PAGE_SIZE;
	unsigned code = (bt_of(vm)->cache_kb + 3) / 4;
	if (all < table + 3)
		return -1;
	if (code > all - table - 1)
		code = all - table - 1;
	s->first_page = RING_CODE + v->number * all;
	s->code_from = (1 + table) * PAGE_SIZE;
	s->code_max = code * PAGE_SIZE;
	s->blocks_max = s->code_max / 64;
	s->points_max = s->code_max / 3;
	for (unsigned i = 0; i < 1 + table + code; i++) {
		if (ring_page_add(vm, s->first_page + i))
			return -1;
		hpa_t at = ring_page_hpa(vm, s->first_page + i);
		if (!i)
			s->corner = at.v;
		else if (at.v != s->corner + i * PAGE_SIZE)
			return -1;
	}
	if (ring_page_add(vm, RING_SHARED + v->number))
		return -1;
	const uint64_t hash = BT_HASH * 4, pages = BT_PAGES_MAX * sizeof(struct bt_page), hot = BT_HOT * 16,
	               blocks = s->blocks_max * sizeof(struct bt_desc), points = s->points_max * sizeof(struct bt_point);
	hpa_t own = own_pages(vm, hash + pages + hot + blocks + points);
	if (!own.v)
		return -1;
	s->hash = own.v;
	s->pages = s->hash + hash;
	s->hot = s->pages + pages;
	s->blocks = s->hot + hot;
	s->points = s->blocks + blocks;
	s->emulated = ~0ull;
	return 0;
}

/* ---- dropping ---- */

static unsigned hash_of(uint64_t pc) { return (unsigned)(pc ^ pc >> 12) & (BT_HASH - 1); }

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

static void drop(struct vcpu *v, uint32_t n)
{
	struct bt_state *s = bt_state(v);
	uint64_t pc = BT_GET(v, n, pc);
	vmm_cost(v->cpu, VMM_COST_BT_DROP);
	uint64_t at = s->hash + 4 * hash_of(pc);
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
	if (bt_get(v, table_at(v, pc), half) == (-pc & MASK(8 * half)))
		bt_put(v, table_at(v, pc), half, bt_slot(pc) ? 0 : 1);
	SET(v, n, live, 0);
	if (s->link == n + 1)
		s->link = 0;
	s->last_at = 0;
	v->vm->stat[VMM_STAT_BT_DROPPED]++;
}

static void trace_page(struct vcpu *v, uint64_t frame, bool on)
{
	const struct pager *p = v->vm->pager;
	if (p->trace)
		(p->trace)(v, frame, on);       /* `trace` is a macro, too */
}

void bt_flush(struct vcpu *v)
{
	struct bt_state *s = bt_state(v);
	if (!s->blocks_n && !s->pages_n)
		return;
	vmm_cost(v->cpu, VMM_COST_BT_FLUSH);
	const unsigned half = bt_slot_bytes(s->wide) / 2;
	for (uint32_t n = 0; n < s->blocks_n; n++) {
		uint64_t pc = BT_GET(v, n, pc);
		bt_put(v, s->hash + 4 * hash_of(pc), 4, 0);
		bt_put(v, table_at(v, pc), half, bt_slot(pc) ? 0 : 1);
	}
	for (uint32_t n = 0; n < s->pages_n; n++)
		trace_page(v, PAGE_GET(v, n, frame), false);
	struct cpu *c = v->cpu;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_BT_FLUSH, v->vm->number, v->number, s->blocks_n, s->code);
	s->code = s->blocks_n = s->points_n = s->pages_n = 0;
	s->link = s->want_table = 0;
	s->last_at = 0;
	v->vm->stat[VMM_STAT_BT_FLUSHES]++;
	v->vm->stat[VMM_STAT_BT_USED] = 0;
}

static void environment(const struct vcpu *v, struct bt_env *e)
{
	const struct bt *b = bt_of(v->vm);
	const struct bt_state *s = bt_state(v);
	*e = (struct bt_env){ .decoder = v->model->decoder, .profile = v->cpu->profile, .wide = s->wide,
		.shared = (s->wide ? RING_CORNER_64 : RING_CORNER_32) + (uint64_t)(RING_SHARED + v->number) * PAGE_SIZE,
		.head = bt_lin(v, 0), .table = bt_lin(v, PAGE_SIZE), .limit = b->limit, .rdtsc = b->rdtsc,
		.simulated = b->adaptive ? bt_simulated : NULL };
}

bool bt_mode(struct vcpu *v, bool wide)
{
	struct bt_state *s = bt_state(v);
	struct bt_block *b = &bt_of(v->vm)->block;
	struct bt_env e;
	if (s->ready && s->wide == wide)
		return false;
	bt_flush(v);
	s->wide = wide;
	s->ready = 1;
	environment(v, &e);
	bt_head(&e, b);
	vmm_cost(v->cpu, VMM_COST_BT_BLOCK);
	put_bytes(v, s->corner, b->code, b->len);
	for (unsigned i = 0; i < BT_SLOTS * bt_slot_bytes(wide); i += 8)
		bt_put(v, s->corner + PAGE_SIZE + i, 8, !i);
	return true;
}

/* ---- finding ---- */

uint32_t bt_find(struct vcpu *v, uint64_t pc)
{
	const struct bt_state *s = bt_state(v);
	vmm_cost(v->cpu, VMM_COST_BT_FIND);
	v->vm->stat[VMM_STAT_BT_LOOKUPS]++;
	uint32_t k = (uint32_t)bt_get(v, s->hash + 4 * hash_of(pc), 4);
	while (k && BT_GET(v, k - 1, pc) != pc)
		k = (uint32_t)BT_GET(v, k - 1, hash_next);
	if (k)
		v->vm->stat[VMM_STAT_BT_HITS]++;
	return k;
}

uint64_t bt_code_lin(struct vcpu *v, uint32_t block)
{
	return bt_lin(v, bt_state(v)->code_from + (uint32_t)BT_GET(v, block - 1, code));
}

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
		environment(v, &e);
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

/* ---- making ---- */

/* Another page that code was translated from, at another linear address, may be the same one. */
static void page_moved(struct vcpu *v, uint32_t page, uint64_t frame)
{
	const struct bt_state *s = bt_state(v);
	uint64_t old = PAGE_GET(v, page, frame);
	bool other = false;
	PAGE_SET(v, page, frame, frame);
	for (uint32_t n = 0; n < s->pages_n; n++)
		other |= PAGE_GET(v, n, frame) == old;
	if (!other && old != NOWHERE)
		trace_page(v, old, false);
	if (frame != NOWHERE)
		trace_page(v, frame, true);
}

static uint32_t page_of(struct vcpu *v, uint64_t lin, uint64_t frame)
{
	struct bt_state *s = bt_state(v);
	for (uint32_t n = 0; n < s->pages_n; n++)
		if (PAGE_GET(v, n, lin) == lin) {
			if (PAGE_GET(v, n, frame) != frame)
				page_moved(v, n, frame);
			return n + 1;
		}
	if (s->pages_n == BT_PAGES_MAX)
		return 0;
	uint32_t n = s->pages_n++;
	PAGE_SET(v, n, lin, lin);
	PAGE_SET(v, n, frame, frame);
	PAGE_SET(v, n, first, 0);
	PAGE_SET(v, n, writes, 0);
	trace_page(v, frame, true);
	return n + 1;
}

static bool page_hostile(struct vcpu *v, uint64_t lin)
{
	struct bt_state *s = bt_state(v);
	for (uint32_t n = 0; n < s->pages_n; n++)
		if (PAGE_GET(v, n, lin) == lin)
			return PAGE_GET(v, n, writes) > WRITES_MAX;
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
	const uint64_t head = s->hash + 4 * hash_of(b->pc);
	d.hash_next = (uint32_t)bt_get(v, head, 4);
	bt_put(v, head, 4, n + 1);
	put_bytes(v, BT_DESC(s, n, pc), &d, sizeof d);
	put_bytes(v, s->points + 8ull * s->points_n, b->point, b->points * 8);
	put_bytes(v, s->corner + s->code_from + s->code, b->code, b->len);
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
	environment(v, &e);
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

/* ---- chaining ---- */

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
	bt_put(v, table_at(v, pc), half, -pc & MASK(8 * half));
	bt_put(v, table_at(v, pc) + half, half, bt_code_lin(v, block));
}

/* ---- what was translated is not there any more ---- */

static void drop_page(struct vcpu *v, uint32_t page)
{
	for (uint32_t k; (k = (uint32_t)PAGE_GET(v, page, first));)
		drop(v, k - 1);
}

/* Where the guest's tables lead now, without a mark in them: as a TLB's entry would go on being used. */
static bool look(struct vcpu *v, const struct guest_regs *r, uint64_t lin, uint64_t *gpa, unsigned *page_shift)
{
	const struct paging *g = &r->g;
	uint64_t table = r->cr3 & (g->levels == 2 ? 0xfffff000 : MASK(52) & PAGE_MASK);
	unsigned level = g->levels;
	*gpa = lin;
	*page_shift = 32;
	if (!level)
		return true;
	if (level == 3) {
		if (!(r->pdpte[BITS(lin, 31, 30)] & PTE_P))
			return false;
		table = r->pdpte[BITS(lin, 31, 30)] & MASK(52) & PAGE_MASK;
		level = 2;
	}
	for (;; level--) {
		unsigned shift = 12 + (level - 1) * g->index_bits;
		hpa_t hpa;
		if (!vm_gpa_to_hpa(v->vm, GPA(table + BITS(lin, shift + g->index_bits - 1, shift) * g->entry_bytes), &hpa))
			return false;
		uint64_t entry = bt_get(v, hpa.v, g->entry_bytes);
		vmm_cost(v->cpu, VMM_COST_GUEST_WALK);
		if (!(entry & PTE_P))
			return false;
		bool large = entry & PTE_PS && g->large >> level & 1;
		table = entry & g->address[level][large];
		if (level > 1 && !large)
			continue;
		if (large && g->levels == 2)
			table |= BITS(entry, 20, 13) << 32;
		*page_shift = shift;
		*gpa = table | (lin & MASK(shift));
		return true;
	}
}

void bt_verify(struct vcpu *v, const struct guest_regs *r)
{
	struct bt_state *s = bt_state(v);
	uint64_t from = 1, to = 0, gpa = 0;
	for (uint32_t n = 0; n < s->pages_n; n++) {
		if (!PAGE_GET(v, n, first))
			continue;
		uint64_t lin = PAGE_GET(v, n, lin) << PAGE_SHIFT, now;
		bool there = true;
		if (lin >= from && lin < to) {
			now = gpa + (lin - from);
		} else {
			unsigned shift;
			there = look(v, r, lin, &now, &shift);
			from = lin & ~MASK(shift), to = there ? from + MASK(shift) : from;
			gpa = now - (lin - from);
		}
		if (!there || now >> PAGE_SHIFT != PAGE_GET(v, n, frame)) {
			drop_page(v, n);
			page_moved(v, n, there ? now >> PAGE_SHIFT : NOWHERE);
		}
	}
}

/* The pager does not trace the page any more, and the guest will write it by itself. True: the instruction that does lies on it. */
static bool given_up(struct vcpu *v, uint64_t frame)
{
	struct bt_state *s = bt_state(v);
	const uint64_t rip = vcpu_get(v, VMCS_GUEST_RIP) >> PAGE_SHIFT;
	bool own = false;
	for (uint32_t n = 0; n < s->pages_n; n++)
		if (PAGE_GET(v, n, frame) == frame) {
			drop_page(v, n);
			PAGE_SET(v, n, frame, NOWHERE); /* traced again when it is translated again */
			own |= PAGE_GET(v, n, lin) == rip;
			v->vm->stat[VMM_STAT_BT_REWRITTEN]++;
		}
	return own;
}

bool bt_written(struct vcpu *v, uint64_t gpa, unsigned len)
{
	struct bt_state *s = bt_state(v);
	if (len >= PAGE_SIZE)
		return given_up(v, gpa >> PAGE_SHIFT);
	for (uint32_t n = 0; n < s->pages_n; n++) {
		if (PAGE_GET(v, n, frame) != gpa >> PAGE_SHIFT)
			continue;
		uint64_t from = (PAGE_GET(v, n, lin) << PAGE_SHIFT) + (gpa & 0xfff);
		bool hit = false;
		for (uint32_t k = (uint32_t)PAGE_GET(v, n, first), next; k; k = next) {
			unsigned i = BT_GETI(v, k - 1, page, 0) == n + 1 ? 0 : 1;
			next = (uint32_t)BT_GETI(v, k - 1, page_next, i);
			uint64_t pc = BT_GET(v, k - 1, pc);
			if (pc < from + len && from < pc + BT_GET(v, k - 1, guest_len)) {
				drop(v, k - 1);
				hit = true;
			}
		}
		if (!hit)
			continue;
		v->vm->stat[VMM_STAT_BT_REWRITTEN]++;
		PAGE_SET(v, n, writes, PAGE_GET(v, n, writes) + 1);
		struct cpu *c = v->cpu;
		trace(c->trace, c->ledger.now, c->number, VMM_TRACE_BT_REWRITTEN, v->vm->number, from, len, 0);
	}
	return false;
}

void bt_drop_at(struct vcpu *v, uint64_t at)
{
	struct bt_state *s = bt_state(v);
	for (uint32_t n = 0; n < s->pages_n; n++) {
		if (PAGE_GET(v, n, lin) != at >> PAGE_SHIFT)
			continue;
		for (uint32_t k = (uint32_t)PAGE_GET(v, n, first), next; k; k = next) {
			unsigned i = BT_GETI(v, k - 1, page, 0) == n + 1 ? 0 : 1;
			next = (uint32_t)BT_GETI(v, k - 1, page_next, i);
			uint64_t pc = BT_GET(v, k - 1, pc);
			if (pc <= at && at < pc + BT_GET(v, k - 1, guest_len))
				drop(v, k - 1);
		}
	}
}
