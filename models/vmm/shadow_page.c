/* shadow_page.c - the shadow pager's memory: shadow tables, what each shadows, and the chains between them.
 *
 * See shadow.h for the layout. A chain is a doubly linked list through the links of shadow entries: a leaf is in the chain
 * of the guest page it maps (the reverse map), any other entry in the chain of the shadow table it leads to (its parents).
 * Timing: every word is a reference through the caches; the code around them is in the rows of cost.def. */
#include "models/vmm/shadow.h"

#include "models/mmu/pte.h"

#define LIMIT_LEAST  (64 * PAGE_SIZE)
#define LIMIT_MOST   (64ull << 20)
enum { INDEX = 511 };

/* ---- memory ---- */

uint64_t shadow_layout(struct shadow *s, const struct vm_config *c, uint64_t base)
{
	uint64_t limit = c->shadow_limit ? c->shadow_limit : c->ram / 16, at = base;
	limit = limit < LIMIT_LEAST ? LIMIT_LEAST : limit > LIMIT_MOST ? LIMIT_MOST : limit;
	s->pages = (uint32_t)(limit / PAGE_SIZE);
	s->frames = (c->ram + PAGE_SIZE - 1) / PAGE_SIZE;
	s->regions = (c->ram + (2u << 20) - 1) >> 21;
	s->table = at, at += (uint64_t)s->pages * PAGE_SIZE;
	s->link = at, at += (uint64_t)s->pages * PAGE_SIZE;
	s->control = at, at += sizeof(struct shadow_control);
	s->vcpus = at, at += VCPUS_MAX * sizeof(struct shadow_vcpu);
	s->head = at, at += s->pages * sizeof(struct shadow_head);
	s->frame = at, at += s->frames * sizeof(struct shadow_frame);
	s->region = at, at += s->regions * sizeof(struct shadow_region);
	return at - base;
}

uint64_t shadow_ref(struct shadow *s, uint64_t pa, unsigned size)
{
	return mmu_phys_read(&s->c->mmu, HPA(pa), size, s->why);
}

void shadow_put(struct shadow *s, uint64_t pa, unsigned size, uint64_t v)
{
	mmu_phys_write(&s->c->mmu, HPA(pa), size, v, s->why);
}

int64_t shadow_frame_of(const struct shadow *s, uint64_t gpa)
{
	int64_t off = mem_offset(&s->vm->mem, HPA(gpa));
	return off < 0 ? -1 : off >> PAGE_SHIFT;
}

/* The VMM's own list of free pages is made before the VM runs, which is not timed. */
void shadow_pool_init(struct shadow *s)
{
	struct mem *mem = s->c->mmu.mem;
	struct shadow_control k = { .free = 1, .free_n = s->pages };
	mem_write(mem, HPA(s->control), &k, sizeof k);
	for (uint32_t i = 0; i < s->pages; i++)
		mem_write32(mem, HPA(HEAD_AT(s, i, newer)), i + 1 < s->pages ? i + 2 : 0);
}

/* ---- chains ---- */

static uint64_t link_at(const struct shadow *s, uint32_t slot, bool previous)
{
	return s->link + (uint64_t)slot * 8 + (previous ? 4 : 0);
}

static void chain_add(struct shadow *s, uint64_t head, uint32_t slot)
{
	uint32_t first = (uint32_t)shadow_ref(s, head, 4);
	shadow_put(s, link_at(s, slot, false), 4, first);
	shadow_put(s, link_at(s, slot, true), 4, 0);
	if (first)
		shadow_put(s, link_at(s, first - 1, true), 4, slot + 1);
	shadow_put(s, head, 4, slot + 1);
}

static void chain_remove(struct shadow *s, uint64_t head, uint32_t slot)
{
	uint32_t next = (uint32_t)shadow_ref(s, link_at(s, slot, false), 4), before = (uint32_t)shadow_ref(s, link_at(s, slot, true), 4);
	if (next)
		shadow_put(s, link_at(s, next - 1, true), 4, before);
	if (before)
		shadow_put(s, link_at(s, before - 1, false), 4, next);
	else
		shadow_put(s, head, 4, next);
}

static uint64_t frame_at(const struct shadow *s, uint64_t frame, bool tables)
{
	return s->frame + frame * sizeof(struct shadow_frame) + (tables ? 4 : 0);
}

static uint64_t region_at(const struct shadow *s, uint64_t frame, bool guarded)
{
	return s->region + (frame >> 9) * sizeof(struct shadow_region) + (guarded ? 4 : 0);
}

/* Chain a leaf belongs to, from what it maps. */
static uint64_t leaf_chain(const struct shadow *s, uint64_t entry, unsigned level)
{
	uint64_t frame = ((entry & MASK(52) & PAGE_MASK) - s->vm->base.v) >> PAGE_SHIFT;
	return level > 1 ? region_at(s, frame, false) : frame_at(s, frame, false);
}

/* ---- age ---- */

static void age_remove(struct shadow *s, uint32_t page)
{
	uint32_t newer = (uint32_t)HEAD(s, page, newer), older = (uint32_t)HEAD(s, page, older);
	if (newer)
		SET_HEAD(s, newer - 1, older, older);
	else
		SET_CONTROL(s, newest, older);
	if (older)
		SET_HEAD(s, older - 1, newer, newer);
	else
		SET_CONTROL(s, oldest, newer);
}

static void age_add(struct shadow *s, uint32_t page)
{
	uint32_t first = (uint32_t)CONTROL(s, newest);
	SET_HEAD(s, page, newer, 0);
	SET_HEAD(s, page, older, first);
	if (first)
		SET_HEAD(s, first - 1, newer, page + 1);
	else
		SET_CONTROL(s, oldest, page + 1);
	SET_CONTROL(s, newest, page + 1);
}

void shadow_used(struct shadow *s, uint32_t page)
{
	if (CONTROL(s, newest) == page + 1)
		return;
	age_remove(s, page);
	age_add(s, page);
}

/* ---- tables ---- */

void shadow_stale(struct shadow *s)
{
	for (unsigned i = 0; i < s->vm->config.vcpus; i++)
		if (!VCPU(s, i, stale))
			SET_VCPU(s, i, stale, 1);
}

static void set_tables(struct shadow *s, uint64_t frame, uint32_t first)
{
	if (s->ring)
		first |= (uint32_t)(shadow_ref(s, frame_at(s, frame, true), 4) & ~FRAME_TABLES);
	shadow_put(s, frame_at(s, frame, true), 4, first);
}

uint32_t shadow_tables(struct shadow *s, uint64_t frame)
{
	return (uint32_t)(shadow_ref(s, frame_at(s, frame, true), 4) & FRAME_TABLES);
}

uint32_t shadow_find(struct shadow *s, uint64_t gfn, uint32_t role)
{
	int64_t frame = shadow_frame_of(s, gfn << PAGE_SHIFT);
	if (frame < 0)
		return 0;
	uint32_t p = shadow_tables(s, (uint64_t)frame);
	while (p && HEAD(s, p - 1, role) != role)
		p = (uint32_t)HEAD(s, p - 1, same);
	return p;
}

/* Is a guest page guarded because of these tables? All that are out of step: no. */
static bool guards(struct shadow *s, uint32_t first)
{
	for (uint32_t p = first; p; p = (uint32_t)HEAD(s, p - 1, same))
		if (!HEAD(s, p - 1, out_of_step))
			return true;
	return false;
}

static void use_frame(struct shadow *s, uint64_t frame, uint32_t page)
{
	uint32_t first = shadow_tables(s, frame);
	SET_HEAD(s, page, same, first);
	set_tables(s, frame, page + 1);
	if (!first)
		shadow_put(s, region_at(s, frame, true), 4, shadow_ref(s, region_at(s, frame, true), 4) + 1);
	if (!guards(s, first))
		shadow_guard(s, frame);
}

static bool is_pdpt(uint64_t role) { return ROLE_LEVEL(role) == 3 && ROLE_GUEST(role) < 4; }

/* What a table of a guest beside the VMM has from the start: its part of the way to the VMM's corner. */
static void place_corner(struct shadow *s, uint32_t page, uint32_t role)
{
	uint64_t at = shadow_page_pa(s, page);
	if (ROLE_LEVEL(role) == 4)
		shadow_put(s, at + 8 * RING_PML4_SLOT, 8, ring_corner_pml4e(s->vm, role & ROLE_KERNEL));
	if (is_pdpt(role))
		shadow_put(s, at + 8 * 3, 8, ring_corner_pdpte(s->vm));
	for (unsigned i = 0; i < 2 && role & ROLE_CORNER; i++)
		shadow_put(s, at + 8 * (RING_PD_SLOT + i), 8, ring_corner_pde(s->vm, i));
}

/* A page goes back to the pool empty. */
static void take_corner(struct shadow *s, uint32_t page, uint32_t role)
{
	uint64_t at = shadow_page_pa(s, page);
	if (ROLE_LEVEL(role) == 4)
		shadow_put(s, at + 8 * RING_PML4_SLOT, 8, 0);
	if (is_pdpt(role))
		shadow_put(s, at + 8 * 3, 8, 0);
	for (unsigned i = 0; i < 2 && role & ROLE_CORNER; i++)
		shadow_put(s, at + 8 * (RING_PD_SLOT + i), 8, 0);
}

/* An entry becomes absent. With PAE paging the last gigabyte never is: the corner is in it; and the hardware keeps PDPTEs in registers. */
static void clear(struct shadow *s, uint32_t slot)
{
	bool pdpte = s->ring && is_pdpt(HEAD(s, slot >> 9, role));
	shadow_put(s, shadow_slot_pa(s, slot), 8, pdpte && (slot & INDEX) == 3 ? ring_corner_pdpte(s->vm) : 0);
	if (pdpte)
		shadow_stale(s);
}

uint32_t shadow_new(struct shadow *s, uint64_t gfn, uint32_t role)
{
	uint32_t page = (uint32_t)CONTROL(s, free) - 1;
	vmm_cost(s->c, VMM_COST_SHADOW_PAGE);
	SET_CONTROL(s, free, HEAD(s, page, newer));
	SET_CONTROL(s, free_n, CONTROL(s, free_n) - 1);
	mem_write(s->c->mmu.mem, HPA(HEAD_AT(s, page, gfn)), &(struct shadow_head){ .gfn = gfn, .role = role, .live = 1 }, sizeof(struct shadow_head));
	for (unsigned i = 0; i < PAGE_SIZE; i += 64)            /* cleared a line at a time */
		shadow_put(s, shadow_page_pa(s, page) + i, 8, 0);
	if (s->ring)
		place_corner(s, page, role);
	age_add(s, page);
	int64_t frame = shadow_frame_of(s, gfn << PAGE_SHIFT);
	if (s->policy & SHADOW_KEYED && !(role & (ROLE_DIRECT | ROLE_PRIVATE)) && frame >= 0)
		use_frame(s, (uint64_t)frame, page);
	uint64_t *stat = s->vm->stat;
	stat[VMM_STAT_SHADOW_MADE]++;
	stat[VMM_STAT_SHADOW_BYTES] += PAGE_SIZE;
	if (stat[VMM_STAT_SHADOW_BYTES] > stat[VMM_STAT_SHADOW_PEAK])
		stat[VMM_STAT_SHADOW_PEAK] = stat[VMM_STAT_SHADOW_BYTES];
	return page;
}

void shadow_set_table(struct shadow *s, uint32_t slot, uint32_t child)
{
	bool pdpt = ROLE_LEVEL(HEAD(s, slot >> 9, role)) == 3 && ROLE_GUEST(HEAD(s, slot >> 9, role)) < 4;
	uint64_t all = pdpt ? PTE_P : PTE_P | PTE_RW | PTE_US | PTE_A;  /* rights are the leaves'; PDPTEs have none */
	shadow_put(s, shadow_slot_pa(s, slot), 8, shadow_page_pa(s, child) | all);
	if (pdpt && s->ring)
		shadow_stale(s);
	chain_add(s, HEAD_AT(s, child, parents), slot);
}

void shadow_set_leaf(struct shadow *s, uint32_t slot, uint64_t entry, unsigned level)
{
	uint64_t old = shadow_ref(s, shadow_slot_pa(s, slot), 8);
	if (old & PTE_P && (old ^ entry) & MASK(52) & PAGE_MASK) {
		shadow_drop_entry(s, slot, level);
		old = 0;
	}
	shadow_put(s, shadow_slot_pa(s, slot), 8, entry);
	if (!(old & PTE_P))
		chain_add(s, leaf_chain(s, entry, level), slot);
}

/* A table no entry leads to: what has no guest table behind it is of no use any more, and in a single tree nothing is. */
static void orphaned(struct shadow *s, uint32_t page)
{
	bool keep = s->policy & SHADOW_KEYED && !(HEAD(s, page, role) & ROLE_DIRECT);
	if (!keep && !HEAD(s, page, pins) && !HEAD(s, page, parents))
		shadow_zap(s, page);
}

void shadow_drop_entry(struct shadow *s, uint32_t slot, unsigned level)
{
	uint64_t entry = shadow_ref(s, shadow_slot_pa(s, slot), 8);
	if (!(entry & PTE_P) || shadow_is_corner(s, entry))
		return;
	clear(s, slot);
	if (entry & PTE_SWITCH && s->policy & SHADOW_AGILE)
		return;
	if (level == 1 || entry & PTE_PS) {
		chain_remove(s, leaf_chain(s, entry, level), slot);
		return;
	}
	uint32_t child = shadow_page_of(s, entry);
	chain_remove(s, HEAD_AT(s, child, parents), slot);
	orphaned(s, child);
}

static void remove_same(struct shadow *s, uint32_t page, uint64_t frame)
{
	uint32_t before = 0, p = shadow_tables(s, frame);
	for (; p && p != page + 1; p = (uint32_t)HEAD(s, p - 1, same))
		before = p;
	if (p && before)
		SET_HEAD(s, before - 1, same, HEAD(s, page, same));
	else if (p)
		set_tables(s, frame, (uint32_t)HEAD(s, page, same));
}

void shadow_in_step(struct shadow *s, uint32_t page)
{
	uint64_t at = CONTROL_AT(s, unsync);
	for (uint32_t p; (p = (uint32_t)shadow_ref(s, at, 4)); at = HEAD_AT(s, p - 1, unsync)) {
		if (p != page + 1)
			continue;
		shadow_put(s, at, 4, HEAD(s, page, unsync));
		break;
	}
	SET_HEAD(s, page, out_of_step, 0);
}

bool shadow_guarded(struct shadow *s, uint64_t frame)
{
	uint32_t x = (uint32_t)shadow_ref(s, frame_at(s, frame, true), 4);
	return x & ~FRAME_TABLES || guards(s, x);
}

static void scan_drop(struct shadow *s, uint32_t page, unsigned level)
{
	for (unsigned i = 0; i <= INDEX; i++) {
		/* a line of eight entries is one reference; empty ones are passed over in it */
		uint64_t pa = shadow_slot_pa(s, page * 512 + i);
		if (!(i & 7))
			(void)shadow_ref(s, pa, 8);
		if (mem_read64(s->c->mmu.mem, HPA(pa)) & PTE_P)
			shadow_drop_entry(s, page * 512 + i, level);
	}
}

void shadow_zap(struct shadow *s, uint32_t page)
{
	uint32_t role = (uint32_t)HEAD(s, page, role), parent;
	unsigned level = ROLE_LEVEL(role);
	if (!HEAD(s, page, live) || HEAD(s, page, obsolete) == 2)
		return;
	bool was = HEAD(s, page, obsolete);
	SET_HEAD(s, page, obsolete, 2);         /* under way: a chain of orphans does not come back here */
	vmm_cost(s->c, VMM_COST_SHADOW_ZAP);
	scan_drop(s, page, level);
	while ((parent = (uint32_t)HEAD(s, page, parents))) {
		clear(s, parent - 1);
		chain_remove(s, HEAD_AT(s, page, parents), parent - 1);
	}
	if (HEAD(s, page, out_of_step))
		shadow_in_step(s, page);
	int64_t frame = shadow_frame_of(s, HEAD(s, page, gfn) << PAGE_SHIFT);
	if (!was && s->policy & SHADOW_KEYED && !(role & (ROLE_DIRECT | ROLE_PRIVATE)) && frame >= 0) {
		remove_same(s, page, (uint64_t)frame);
		if (!shadow_tables(s, (uint64_t)frame)) {
			if (s->policy & SHADOW_AGILE)
				agile_guard(s, (uint64_t)frame, false);
			shadow_put(s, region_at(s, (uint64_t)frame, true), 4, shadow_ref(s, region_at(s, (uint64_t)frame, true), 4) - 1);
		}
	}
	if (HEAD(s, page, pins)) {      /* a vCPU runs on it: it stays, empty, until that one has another root */
		SET_HEAD(s, page, obsolete, 1);
	} else {
		if (s->ring)
			take_corner(s, page, role);
		age_remove(s, page);
		SET_HEAD(s, page, live, 0);
		SET_HEAD(s, page, newer, CONTROL(s, free));
		SET_CONTROL(s, free, page + 1);
		SET_CONTROL(s, free_n, CONTROL(s, free_n) + 1);
		s->vm->stat[VMM_STAT_SHADOW_BYTES] -= PAGE_SIZE;
	}
	s->vm->stat[VMM_STAT_SHADOW_ZAPS]++;
	shadow_stale(s);                /* the paging-structure caches may lead to it */
}

void shadow_make_room(struct shadow *s, unsigned n)
{
	if (CONTROL(s, free_n) >= n)
		return;
	n += s->pages / 16;             /* more at once, so that this is not needed at every turn */
	for (uint32_t p = (uint32_t)CONTROL(s, oldest), next; p && CONTROL(s, free_n) < n; p = next) {
		next = (uint32_t)HEAD(s, p - 1, newer);
		if (HEAD(s, p - 1, pins) || HEAD(s, p - 1, role) & ROLE_PRIVATE)
			continue;
		shadow_zap(s, p - 1);
		/* its orphans went with it: the one remembered may be among them */
		if (next && !HEAD(s, next - 1, live))
			next = (uint32_t)CONTROL(s, oldest);
	}
}

/* ---- guarding ---- */

void shadow_guard(struct shadow *s, uint64_t frame)
{
	uint32_t slot;
	bool changed = false;
	while ((slot = (uint32_t)shadow_ref(s, region_at(s, frame, false), 4))) {       /* no large leaf may cover it */
		shadow_drop_entry(s, slot - 1, 2);
		changed = true;
	}
	if (s->policy & SHADOW_AGILE) {
		agile_guard(s, frame, true);
		s->vm->stat[VMM_STAT_SHADOW_GUARDS]++;
		vmm_cost(s->c, VMM_COST_SHADOW_GUARD);
		return;
	}
	uint64_t length = 0;
	for (slot = (uint32_t)shadow_ref(s, frame_at(s, frame, false), 4); slot; slot = (uint32_t)shadow_ref(s, link_at(s, slot - 1, false), 4)) {
		uint64_t pa = shadow_slot_pa(s, slot - 1), entry = shadow_ref(s, pa, 8);
		length++;
		if (!(entry & PTE_RW))
			continue;
		shadow_put(s, pa, 8, entry & ~(uint64_t)PTE_RW);
		changed = true;
	}
	if (length > s->vm->stat[VMM_STAT_SHADOW_RMAP])
		s->vm->stat[VMM_STAT_SHADOW_RMAP] = length;
	s->vm->stat[VMM_STAT_SHADOW_GUARDS]++;
	vmm_cost(s->c, VMM_COST_SHADOW_GUARD);
	if (changed)
		shadow_stale(s);
}

bool shadow_unguard(struct shadow *s, uint64_t frame)
{
	uint32_t p = shadow_tables(s, frame);
	if (!p)
		return false;
	for (; p; p = shadow_tables(s, frame))
		shadow_zap(s, p - 1);
	return true;
}

/* ---- tracing: pages that are no tables, whose writes somebody wants to know ---- */

#define TRACES 255

static unsigned traces(struct shadow *s, uint64_t frame)
{
	return (unsigned)shadow_ref(s, frame_at(s, frame, true), 4) >> 24;
}

static void set_traces(struct shadow *s, uint64_t frame, unsigned n)
{
	uint64_t at = frame_at(s, frame, true), region = region_at(s, frame, true), old = shadow_ref(s, at, 4);
	shadow_put(s, at, 4, (old & FRAME_TABLES) | (uint64_t)n << 24);
	if (!n != !(old >> 24))         /* no large leaf may cover it */
		shadow_put(s, region, 4, shadow_ref(s, region, 4) + (n ? 1 : ~0ull));
}

bool shadow_traced(struct shadow *s, uint64_t frame) { return traces(s, frame); }

void shadow_trace(struct shadow *s, uint64_t frame, bool on)
{
	unsigned n = traces(s, frame);
	if (on ? n == TRACES : !n)
		return;
	if (on && !shadow_guarded(s, frame))
		shadow_guard(s, frame);
	set_traces(s, frame, on ? n + 1 : n - 1);
}

bool shadow_untrace(struct shadow *s, uint64_t frame)
{
	bool was = traces(s, frame);
	if (was)
		set_traces(s, frame, 0);
	return was;
}
