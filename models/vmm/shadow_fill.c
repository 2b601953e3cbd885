/* shadow_fill.c - shadow entries: made at page faults, dropped or renewed when the guest's tables change.
 *
 * A leaf carries the rights of all the guest's levels together; entries above it allow everything. So one shadow of a guest
 * table can serve wherever the rights above are the same: they are part of its role. A leaf is writable only when the guest's
 * dirty flag is set already, and exists only when its accessed flag is: the first access and the first write fault, and the
 * walk of that fault sets the flags as the hardware would have.
 *
 *   guest paging   shadow tables                       a guest table of 4-byte entries has several shadows:
 *   off            PAE, direct                         a page directory four (1 GB each), a page table two (2 MB each)
 *   32-bit, PAE    PAE, private page-directory-pointer table for each vCPU
 *   4-, 5-level    the same number of levels
 *
 * CR0.WP = 0: the hardware's CR0.WP stays 1. A supervisor write to a read-only user page gives the supervisor a writable
 * leaf and takes it from the user (and, under SMEP, from instruction fetch); the user's next access turns it round.
 *
 * A kernel in ring 3 (Intel 64, beside the VMM) has a tree of its own, where every leaf is the user's for the hardware and
 * CR0.WP = 0 makes all writable; the tree of its user has leaves of the guest's user pages alone. No leaf of the two is global: a user
 * must not meet the kernel's in the TLB.
 * Simplified: SMAP does not guard such a page while it is the supervisor's; pages of 1 GB become pieces of 2 MB. */
#include <string.h>

#include "models/mmu/pte.h"
#include "models/mmu/walk.h"
#include "models/vmm/shadow.h"

#define FLOOD 3                 /* unless configured: trapped writes to a table with no fill between: it is being filled or no table any more (as KVM) */
enum { SPLINTER = 1, SPLINTER_4M = 2, SPLINTER_1G = 4 };
#define ENTRY_ADDRESS (MASK(52) & PAGE_MASK)

uint32_t shadow_mode_role(const struct guest_regs *r)
{
	const struct paging *g = &r->g;
	if (!g->levels)
		return 0;
	return (uint32_t)g->levels << 16 | (uint32_t)g->smap << 15 | (uint32_t)g->smep << 14 | (uint32_t)g->wp << 13 |
	       (g->large >> 2 & 1u) << 12 | (uint32_t)g->nx << 11;
}

static uint32_t rights(bool w, bool u, bool x)
{
	return (w ? ROLE_W : 0) | (u ? ROLE_U : 0) | (x ? ROLE_X : 0);
}

/* ---- one entry, one table ---- */

static uint64_t leaf(struct shadow *s, const struct guest_regs *r, const struct guest_walk *w, unsigned access, uint64_t gpa, bool large,
                     bool kernel, bool guarded)
{
	bool writable = w->w && w->dirty, user = w->u, execute = w->x;
	hpa_t hpa;
	vm_gpa_to_hpa(s->vm, GPA(gpa), &hpa);
	const bool split = shadow_split(s, r);
	if (kernel) {
		writable |= !r->g.wp && w->dirty;
		user = true;
	} else if (!split && r->g.levels && !r->g.wp && !w->w && w->dirty) {
		if (!user) {
			writable = true;
		} else if (access_writes(access) && !(access & ACC_USER)) {
			writable = true, user = false;
			execute &= !r->g.smep;
		}
	}
	return (hpa.v & PAGE_MASK) | PTE_P | PTE_A | (writable && !guarded ? PTE_RW | PTE_D : 0) | (user ? PTE_US : 0) |
	       (large ? PTE_PS : 0) | (!w->global ? 0 : split ? SHADOW_KEPT : PTE_G) |
	       (!execute && (s->nx || r->efer & EFER_NXE) ? PTE_XD : 0);
}

/* The guest's entry that entry `i` of a lowest-level shadow table stands for. */
static uint64_t guest_entry(struct shadow *s, uint64_t gfn, uint32_t role, unsigned i)
{
	unsigned bytes = ROLE_GUEST(role) == 2 ? 4 : 8;
	hpa_t hpa;
	if (!vm_gpa_to_hpa(s->vm, GPA((gfn << PAGE_SHIFT) + (ROLE_QUAD(role) * 512 + i) * bytes), &hpa))
		return 0;
	return shadow_ref(s, hpa.v, bytes);
}

/* What the leaf for a guest entry would be, not for any access in particular; 0: none. */
static uint64_t wanted(struct shadow *s, const struct guest_regs *r, uint32_t role, uint64_t entry)
{
	const struct paging *g = &r->g;
	struct guest_walk w = { .w = role & ROLE_W && entry & PTE_RW, .u = role & ROLE_U && entry & PTE_US,
	                        .x = role & ROLE_X && !(g->nx && g->levels > 2 && entry & PTE_XD),
	                        .dirty = entry & PTE_D, .global = g->pge && entry & PTE_G, .gpa = entry & g->address[1][0] };
	int64_t frame = shadow_frame_of(s, w.gpa);
	if ((entry & (PTE_P | PTE_A)) != (PTE_P | PTE_A) || entry & g->reserved[1][0] || frame < 0)
		return 0;
	const bool kernel = role & ROLE_KERNEL;
	if (shadow_split(s, r) && !kernel && !w.u)
		return 0;
	return leaf(s, r, &w, 0, w.gpa, false, kernel, shadow_guarded(s, (uint64_t)frame));
}

/* A table back in step: each entry against the guest's, eight at a reference. */
static void sync_table(struct shadow *s, const struct guest_regs *r, uint32_t page)
{
	uint32_t role = (uint32_t)HEAD(s, page, role);
	uint64_t gfn = HEAD(s, page, gfn);
	struct mem *mem = s->c->mmu.mem;
	for (unsigned i = 0; i < 512; i++) {
		uint64_t pa = shadow_slot_pa(s, page * 512 + i), entry;
		if (!(i & 7))
			(void)shadow_ref(s, pa, 8);
		entry = mem_read64(mem, HPA(pa));
		if (!(entry & PTE_P))
			continue;
		vmm_cost(s->c, VMM_COST_SHADOW_SYNC_ENTRY);
		uint64_t want = wanted(s, r, role, guest_entry(s, gfn, role, i));
		/* it may lack the right to write (not asked for yet, or guarded); any other difference ends it */
		if (!want || (entry ^ want) & ~(PTE_RW | PTE_D) || entry & ~want & PTE_RW)
			shadow_drop_entry(s, page * 512 + i, 1);
	}
	s->vm->stat[VMM_STAT_SHADOW_SYNCS]++;
}

static void back_in_step(struct shadow *s, const struct guest_regs *r, uint32_t page)
{
	int64_t frame = shadow_frame_of(s, HEAD(s, page, gfn) << PAGE_SHIFT);
	vmm_cost(s->c, VMM_COST_SHADOW_SYNC);
	shadow_in_step(s, page);
	shadow_guard(s, (uint64_t)frame);       /* first: what it maps may be itself */
	sync_table(s, r, page);
}

void shadow_sync_all(struct shadow *s, const struct guest_regs *r)
{
	uint32_t p;
	while ((p = (uint32_t)CONTROL(s, unsync))) {
		uint32_t page = p - 1, role = (uint32_t)HEAD(s, page, role);
		if ((role & ROLE_MODE) != shadow_mode_role(r))
			shadow_zap(s, page);    /* under other rules: of no use now */
		else
			back_in_step(s, r, page);
	}
}

/* ---- building ---- */

/* May this translation be one 2 MB leaf? */
static bool fits_large(struct shadow *s, const struct guest_regs *r, const struct guest_walk *w, uint64_t *base)
{
	hpa_t first, last;
	if (s->vm->config.page_shift < 21 || (r->g.levels && w->shift < 21))
		return false;
	*base = w->gpa & ~MASK(21);
	if (!vm_gpa_to_hpa(s->vm, GPA(*base), &first) || !vm_gpa_to_hpa(s->vm, GPA(*base + MASK(21)), &last))
		return false;
	if (first.v & MASK(21) || last.v - first.v != MASK(21) || *base == 0)   /* the first 2 MB have holes for devices */
		return false;
	int64_t frame = shadow_frame_of(s, *base);
	return !shadow_ref(s, s->region + ((uint64_t)frame >> 9) * sizeof(struct shadow_region) + 4, 4);
}

/* The table an entry at `level` shall lead to. */
static uint32_t child(struct shadow *s, const struct guest_regs *r, const struct guest_walk *w, uint64_t lin, unsigned level, bool kernel)
{
	const unsigned below = level - 1;
	const bool direct = !r->g.levels || w->leaf > below;
	uint32_t role = below | shadow_mode_role(r) | (kernel ? ROLE_KERNEL : 0), quadrant = 0, found = 0;
	uint64_t gfn;
	if (s->ring && level == 3 && r->g.levels < 4 && lin >> 30 == 3)
		role |= ROLE_CORNER;
	if (direct) {
		role |= ROLE_DIRECT | rights(w->w, w->u, w->x);
		gfn = (w->gpa & ~MASK(12 + 9 * below)) >> PAGE_SHIFT;
	} else {
		role |= level > w->top ? rights(true, true, true) : rights(w->level[level].w, kernel || w->level[level].u, w->level[level].x);
		gfn = w->level[below].at >> PAGE_SHIFT;
		if (r->g.levels == 2)
			quadrant = below == 2 ? lin >> 30 & 3 : lin >> 21 & 1;
		role |= quadrant << 4;
		if (s->policy & SHADOW_KEYED)
			found = shadow_find(s, gfn, role);
		/* INVLPG reached what was linked then: what is linked now, or leads there, must be right */
		if (found && (below > 1 || HEAD(s, found - 1, out_of_step)))
			shadow_sync_all(s, r);
	}
	return found ? found - 1 : shadow_new(s, gfn, role);
}

/* A write to a guarded guest table: let it go out of step instead, when all its shadows are of the lowest level. */
static bool go_out_of_step(struct shadow *s, uint64_t frame)
{
	uint32_t first = shadow_tables(s, frame);
	if (!(s->policy & SHADOW_UNSYNC) || (s->ring && shadow_traced(s, frame)))
		return false;
	for (uint32_t p = first; p; p = (uint32_t)HEAD(s, p - 1, same))
		if (ROLE_LEVEL(HEAD(s, p - 1, role)) != 1)
			return false;
	for (uint32_t p = first; p; p = (uint32_t)HEAD(s, p - 1, same)) {
		if (HEAD(s, p - 1, out_of_step))
			continue;
		SET_HEAD(s, p - 1, out_of_step, 1);
		SET_HEAD(s, p - 1, unsync, CONTROL(s, unsync));
		SET_CONTROL(s, unsync, p);
		s->vm->stat[VMM_STAT_SHADOW_UNSYNCS]++;
	}
	return true;
}

enum paged shadow_fill(struct shadow *s, struct vcpu *v, const struct guest_regs *r, const struct guest_walk *w, uint64_t lin,
                       unsigned access, bool *same)
{
	const unsigned top = r->g.levels >= 4 ? r->g.levels : 3;
	uint64_t base, gpa = w->gpa;
	const bool large = fits_large(s, r, w, &base);
	const unsigned bottom = large ? 2 : 1;
	const bool kernel = shadow_split(s, r) && !VCPU(s, v->number, user);
	uint32_t path[6] = { 0 }, page = (uint32_t)VCPU(s, v->number, root) - 1;
	uint64_t frame = (uint64_t)shadow_frame_of(s, gpa);
	for (unsigned level = top; level > bottom; level--) {
		uint32_t slot = page * 512 + (uint32_t)BITS(lin, 12 + 9 * level - 1, 12 + 9 * (level - 1));
		uint64_t entry = shadow_ref(s, shadow_slot_pa(s, slot), 8);
		path[level] = page;
		if (entry & PTE_P && level == 2 && entry & PTE_PS) {
			shadow_drop_entry(s, slot, level);
			entry = 0;
		}
		if (entry & PTE_P && !shadow_is_corner(s, entry)) {
			page = shadow_page_of(s, entry);
		} else {
			page = child(s, r, w, lin, level, kernel);
			shadow_set_table(s, slot, page);
		}
		if (HEAD(s, page, writes))
			SET_HEAD(s, page, writes, 0);
	}
	path[bottom] = page;
	/* making the path may have made guest tables of pages that were none */
	bool guarded = (s->policy & SHADOW_KEYED || s->ring) && shadow_guarded(s, frame);
	if (guarded && access_writes(access)) {
		if (!go_out_of_step(s, frame))
			return PAGED_EMULATE;
		guarded = false;
	}
	uint32_t slot = page * 512 + (uint32_t)BITS(lin, 12 + 9 * bottom - 1, 12 + 9 * (bottom - 1));
	uint64_t old = shadow_ref(s, shadow_slot_pa(s, slot), 8), new = leaf(s, r, w, access, large ? base : gpa, large, kernel, guarded);
	vmm_cost(s->c, VMM_COST_SHADOW_FILL);
	*same = old == new;
	if (large && old & PTE_P && !(old & PTE_PS))
		shadow_drop_entry(s, slot, 2);
	if (!*same)
		shadow_set_leaf(s, slot, new, bottom);
	s->vm->stat[VMM_STAT_SHADOW_FILLS]++;
	if (s->policy & SHADOW_KEYED)
		return PAGED_FIXED;
	/* one tree: what a later INVLPG or CR3 load must know */
	for (unsigned level = bottom; w->global && level <= top; level++)
		if (!HEAD(s, path[level], has_global))
			SET_HEAD(s, path[level], has_global, 1);
	if (w->shift > PAGE_SHIFT && !large)
		SET_HEAD(s, path[1], splinters, SPLINTER);
	if (w->shift > 21)
		SET_HEAD(s, path[2], splinters, HEAD(s, path[2], splinters) | (w->shift == 22 ? SPLINTER_4M : SPLINTER_1G));
	return PAGED_FIXED;
}

/* ---- guest tables that change ---- */

/* Entries [first, last] of a guest table, counted as the guest does: their shadow entries follow. */
static void entries_written(struct shadow *s, const struct guest_regs *r, uint32_t page, unsigned first, unsigned last)
{
	uint32_t role = (uint32_t)HEAD(s, page, role);
	unsigned level = ROLE_LEVEL(role);
	bool narrow = ROLE_GUEST(role) == 2, twice = narrow && level == 2;      /* a guest PDE of 4 MB has two shadow entries */
	for (unsigned i = first; i <= last; i++) {
		unsigned at = i & 511;
		if (narrow && i >> (twice ? 8 : 9) != ROLE_QUAD(role))
			continue;
		if (twice)
			at = (i & 255) * 2;
		shadow_drop_entry(s, page * 512 + at, level);
		if (twice)
			shadow_drop_entry(s, page * 512 + at + 1, level);
		/* renewed at once when it is there and in use: the next access would fault for nothing */
		if (level == 1 && r && (role & ROLE_MODE) == shadow_mode_role(r)) {
			uint64_t new = wanted(s, r, role, guest_entry(s, HEAD(s, page, gfn), role, at));
			if (new)
				shadow_set_leaf(s, page * 512 + at, new, 1);
		}
	}
}

void shadow_written(struct shadow *s, const struct guest_regs *r, uint64_t gpa, unsigned n)
{
	int64_t frame = shadow_frame_of(s, gpa);
	const unsigned flood = s->vm->config.shadow_flood ? s->vm->config.shadow_flood : FLOOD;
	uint32_t next;
	if (frame < 0)
		return;
	for (uint32_t p = shadow_tables(s, (uint64_t)frame); p; p = next) {
		uint32_t page = p - 1, role = (uint32_t)HEAD(s, page, role);
		next = (uint32_t)HEAD(s, page, same);
		vmm_cost(s->c, VMM_COST_SHADOW_SYNC);
		s->vm->stat[VMM_STAT_SHADOW_SYNCS]++;
		unsigned writes = (unsigned)HEAD(s, page, writes) + 1, bytes = ROLE_GUEST(role) == 2 ? 4 : 8, off = gpa & 0xfff;
		if (writes >= flood && !HEAD(s, page, pins)) {
			shadow_zap(s, page);
			if (s->policy & SHADOW_AGILE)
				agile_nest(s, (uint64_t)frame);
			next = shadow_tables(s, (uint64_t)frame);       /* others may have gone with it: begin again, they count on */
			s->vm->stat[VMM_STAT_SHADOW_FLOODS]++;
			continue;
		}
		SET_HEAD(s, page, writes, writes < 0xffff ? writes : writes - 1);
		entries_written(s, r, page, off / bytes, (off + n - 1) / bytes);
		/* a dropped entry may have taken tables with it, but none of this guest page: those have keys and stay */
	}
}

/* ---- as a TLB does ---- */

static uint32_t slot_of(uint32_t page, uint64_t lin, unsigned level)
{
	return page * 512 + (uint32_t)BITS(lin, 12 + 9 * level - 1, 12 + 9 * (level - 1));
}

void shadow_drop_linear(struct shadow *s, uint32_t root, uint64_t lin)
{
	uint32_t page = root, above = 0;
	for (unsigned level = ROLE_LEVEL(HEAD(s, root, role)); level > 1; level--) {
		uint32_t slot = slot_of(page, lin, level);
		uint64_t entry = shadow_ref(s, shadow_slot_pa(s, slot), 8), split = level == 2 ? HEAD(s, page, splinters) : 0;
		if (split & SPLINTER_1G) {      /* the whole gigabyte was one page of the guest's */
			shadow_drop_entry(s, above, 3);
			return;
		}
		if (split & SPLINTER_4M)
			shadow_drop_entry(s, slot ^ 1, level);
		if (!(entry & PTE_P) || shadow_is_corner(s, entry))
			return;
		if (level == 2 && (entry & PTE_PS || split & SPLINTER_4M || HEAD(s, shadow_page_of(s, entry), splinters))) {
			shadow_drop_entry(s, slot, level);
			return;
		}
		page = shadow_page_of(s, entry);
		above = slot;
	}
	/* kept tables are in step unless they say otherwise */
	if (!(s->policy & SHADOW_KEYED) || HEAD(s, page, out_of_step))
		shadow_drop_entry(s, slot_of(page, lin, 1), 1);
}

bool shadow_drop_not_global(struct shadow *s, uint32_t page)
{
	unsigned level = ROLE_LEVEL(HEAD(s, page, role)), left = 0;
	for (unsigned i = 0; i < 512; i++) {
		uint32_t slot = page * 512 + i;
		if (!(i & 7))
			(void)shadow_ref(s, shadow_slot_pa(s, slot), 8);
		uint64_t entry = mem_read64(s->c->mmu.mem, HPA(shadow_slot_pa(s, slot)));
		if (!(entry & PTE_P) || shadow_is_corner(s, entry))
			continue;
		bool is_leaf = level == 1 || entry & PTE_PS, goes;
		if (is_leaf)
			goes = !(entry & (PTE_G | SHADOW_KEPT));
		else
			goes = !HEAD(s, shadow_page_of(s, entry), has_global) || shadow_drop_not_global(s, shadow_page_of(s, entry));
		if (goes)
			shadow_drop_entry(s, slot, level);
		else
			left++;
	}
	return !left;
}
