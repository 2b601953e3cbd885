/* cache.c - the code cache of a virtual CPU: see cache.h for where everything lies.
 *
 * Blocks are found by guest linear address. What is there may change in three ways, and each is watched:
 *   the bytes       guest pages that code came from are traced (pager->trace): a write drops the blocks it hits
 *   the mapping     after a change of the address space, and after INVLPG, every such page is looked up again before the next
 *                   entry; blocks of a page that lies elsewhere now are dropped
 *   the mode        64-bit or 32-bit code: the cache is dropped
 * Room is had by dropping everything (VMware's monitor does the same).
 *
 *   cache.c     memory, the whole cache, finding blocks
 *   make.c      a block is translated and entered
 *   link.c      blocks chained, and dropped
 *   changed.c   what was translated is not there any more
 *   where.c     from a place in the cache to the guest's; looking
 *
 * Source: Adams and Agesen 2006, sections 3.1 and 3.3; Agesen et al. 2012.
 * Timing: BT_* rows of cost.def, and every reference to descriptors, points, code and the guest's bytes and tables. */
#include "models/vmm/bt/inside.h"

#include <string.h>

#include "models/vmm/ring/ring.h"
#include "models/vmm/virt.h"

/* ---- memory ---- */

uint64_t bt_get(struct vcpu *v, uint64_t at, unsigned size) { return mmu_phys_read(&v->cpu->mmu, HPA(at), size, WHY_TRANSLATE); }
void bt_put(struct vcpu *v, uint64_t at, unsigned size, uint64_t x) { mmu_phys_write(&v->cpu->mmu, HPA(at), size, x, WHY_TRANSLATE); }

void bt_put_bytes(struct vcpu *v, uint64_t at, const void *from, unsigned n)
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

uint64_t bt_table_at(const struct vcpu *v, uint64_t pc)
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
	const unsigned all = (RING_PAGES - RING_CODE) / vm->config.vcpus, table = BT_TABLE_PAGES;
	unsigned code = (bt_of(vm)->cache_kb + 3) / 4;
	if (code > all - table - 1)
		code = all - table - 1;
	s->first_page = RING_CODE + v->number * all;
	s->code_from = (1 + table) * PAGE_SIZE;
	s->code_max = code * PAGE_SIZE;
	s->blocks_max = s->code_max / 32;
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

/* ---- the whole cache ---- */

void bt_trace_page(struct vcpu *v, uint64_t frame, bool on)
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
		bt_put(v, s->hash + 4 * bt_hash_of(pc), 4, 0);
		bt_put(v, bt_table_at(v, pc), half, bt_slot(pc) ? 0 : 1);
	}
	for (uint32_t n = 0; n < s->pages_n; n++)
		bt_trace_page(v, PAGE_GET(v, n, frame), false);
	struct cpu *c = v->cpu;
	trace(c->trace, c->ledger.now, c->number, VMM_TRACE_BT_FLUSH, v->vm->number, v->number, s->blocks_n, s->code);
	s->code = s->blocks_n = s->points_n = s->pages_n = 0;
	s->link = s->want_table = 0;
	s->last_at = 0;
	v->vm->stat[VMM_STAT_BT_FLUSHES]++;
	v->vm->stat[VMM_STAT_BT_USED] = 0;
}

void bt_environment(const struct vcpu *v, struct bt_env *e)
{
	const struct bt *b = bt_of(v->vm);
	const struct bt_state *s = bt_state(v);
	*e = (struct bt_env){ .decoder = v->model->decoder, .profile = v->cpu->profile, .wide = s->wide, .iopl = bt_iopl(&s->shared),
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
	bt_environment(v, &e);
	bt_head(&e, b);
	vmm_cost(v->cpu, VMM_COST_BT_BLOCK);
	bt_put_bytes(v, s->corner, b->code, b->len);
	for (unsigned i = 0; i < BT_SLOTS * bt_slot_bytes(wide); i += 8)
		bt_put(v, s->corner + PAGE_SIZE + i, 8, !i);
	return true;
}

void bt_head_again(struct vcpu *v)
{
	struct bt_block *b = &bt_of(v->vm)->block;
	struct bt_env e;
	bt_environment(v, &e);
	bt_head(&e, b);
	bt_put_bytes(v, bt_state(v)->corner + BT_HEAD_POPF_SEEN, b->code + BT_HEAD_POPF_SEEN, BT_HEAD_BYTES - BT_HEAD_POPF_SEEN);
}

/* ---- finding ---- */

uint32_t bt_find(struct vcpu *v, uint64_t pc)
{
	const struct bt_state *s = bt_state(v);
	vmm_cost(v->cpu, VMM_COST_BT_FIND);
	v->vm->stat[VMM_STAT_BT_LOOKUPS]++;
	uint32_t k = (uint32_t)bt_get(v, s->hash + 4 * bt_hash_of(pc), 4);
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
