/* What the hardware gets for a guest's descriptor: never an offset in the VMM's corner, everything else it can. The reference is written
 * apart: it asks offset by offset. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "models/cpu/sys.h"
#include "models/vmm/ring/ring.h"
#include "sim/rng.h"

#define FLAT_CODE 0x00cf9b000000ffffull
#define FLAT_DATA 0x00cf93000000ffffull
#define DPL(n)    ((uint64_t)(n) << 45)
#define PRESENT   BIT(47)

struct parts { uint32_t base, limit; unsigned type, dpl; bool present, user, big, pages; };

static struct parts parts(uint64_t d)
{
	uint32_t lo = (uint32_t)d, hi = (uint32_t)(d >> 32), limit = (hi & 0xf0000) | (lo & 0xffff);
	return (struct parts){ .base = (hi & 0xff000000) | (hi & 0xff) << 16 | lo >> 16, .limit = hi >> 23 & 1 ? limit << 12 | 0xfff : limit,
	                       .type = hi >> 8 & 15, .dpl = hi >> 13 & 3, .present = hi >> 15 & 1, .user = hi >> 12 & 1,
	                       .big = hi >> 22 & 1, .pages = hi >> 23 & 1 };
}

static uint64_t top(const struct parts *p) { return p->big ? 0xffffffff : 0xffff; }
static bool down(const struct parts *p) { return (p->type & 12) == 4; }
static bool inside(const struct parts *p, uint64_t off)
{
	return down(p) ? off > p->limit && off <= top(p) : off <= p->limit;
}
static bool corner(const struct parts *p, uint64_t off) { return ((p->base + off) & 0xffffffff) >= RING_CORNER_32; }

/* Offsets where something changes, and their neighbours. */
static unsigned offsets(const struct parts *g, const struct parts *h, struct rng *r, uint64_t o[64])
{
	const uint64_t at[] = { 0, g->limit, h->limit, top(g), 0xffff, 0xffffffff, RING_CORNER_32 - g->base, 0 - g->base };
	unsigned n = 0;
	for (unsigned i = 0; i < ARRAY_LEN(at); i++)
		for (int k = -2; k <= 2; k++)
			o[n++] = (uint32_t)(at[i] + (uint64_t)k);
	while (n < 64)
		o[n++] = (uint32_t)rng_u64(r);
	return n;
}

/* Is the part of the guest's run between its fixed end (0, or the top) and `off` free of the corner, with the whole page off is in? */
static bool reachable(const struct parts *g, uint64_t off)
{
	/* linear addresses of the run on this side of off: the corner is one interval, so its two ends tell */
	uint64_t from = down(g) ? off & ~0xfffull : 0, to = down(g) ? top(g) : off | 0xfff;
	uint64_t a = g->base + from, z = g->base + to;
	for (uint64_t lap = 0; lap <= 1; lap++) {
		uint64_t begin = RING_CORNER_32 + (lap << 32), end = 0xffffffff + (lap << 32);
		if (a <= end && z >= begin)
			return false;
	}
	return true;
}

static uint64_t random_descriptor(struct rng *r)
{
	static const uint32_t near[] = { 0, 0x1000, 0x100000, 0x7fffffff, 0xc0000000, RING_CORNER_32, 0xffffffff, 0xfffff000 };
	uint64_t x = rng_u64(r);
	uint32_t base = (uint32_t)rng_u64(r), limit = (uint32_t)rng_u64(r) & 0xfffff;
	if (x >> 60 & 1)
		base = near[x >> 56 & 7] + (uint32_t)(x >> 52 & 15) - 8;
	if (x >> 61 & 1)
		limit = x >> 62 & 1 ? 0xfffff : (uint32_t)(x & 0xf);
	return (uint64_t)(limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (x & 0xff) << 40 | (uint64_t)(limit >> 16) << 48 |
	       (x >> 8 & 0xf) << 52 | (uint64_t)(base >> 24) << 56;
}

Test(descriptor, no_offset_leads_into_the_corner_and_no_other_is_lost)
{
	struct rng r;
	unsigned cut = 0, empty = 0;
	rng_init(&r, 1, "descriptor");
	for (unsigned n = 0; n < 300000; n++) {
		uint64_t raw = random_descriptor(&r), got = ring_descriptor(raw, false), o[64];
		const struct parts g = parts(raw), h = parts(got);
		if (!h.present)
			continue;
		cr_assert(g.present && g.user && g.type & 1 && g.dpl != 1 && g.dpl != 2, "%016lx is loaded without the VMM", raw);
		cr_assert(eq(u32, h.base, g.base), "%016lx", raw);
		cr_assert(eq(uint, h.dpl, (g.type & 12) == 12 || g.dpl ? g.dpl : 1), "%016lx", raw);
		bool was_down = down(&g), gone = !was_down && down(&h);
		cut += g.limit != h.limit, empty += gone;
		for (unsigned i = 0, k = offsets(&g, &h, &r, o); i < k; i++) {
			if (inside(&h, o[i]))
				cr_assert(inside(&g, o[i]) && !corner(&g, o[i]), "%016lx -> %016lx: offset %lx", raw, got, o[i]);
			else if (inside(&g, o[i]))
				cr_assert(not(reachable(&g, o[i])), "%016lx -> %016lx: offset %lx is lost", raw, got, o[i]);
		}
	}
	cr_expect(lt(uint, 1000, cut));
	cr_expect(lt(uint, 10, empty));
}

Test(descriptor, what_is_loaded_for_a_register_keeps_off_the_corner_too)
{
	struct rng r;
	rng_init(&r, 2, "own");
	for (unsigned n = 0; n < 300000; n++) {
		uint64_t raw = random_descriptor(&r), o[64];
		enum seg_reg i = (enum seg_reg)(n % 6);
		uint64_t got = ring_descriptor_own(raw, i, false);
		const struct parts g = parts(raw), h = parts(got);
		if (!got) {
			cr_assert(not(g.present && g.user && !(i == SEG_CS && g.type & 8 && g.base >= RING_CORNER_32)), "%016lx", raw);
			continue;
		}
		cr_assert(h.present && h.user && h.type & 1, "%016lx", raw);
		cr_assert(h.dpl > 0 || (g.type & 12) == 12, "%016lx -> %016lx in ring 0", raw, got);
		for (unsigned j = 0, k = offsets(&g, &h, &r, o); j < k; j++)
			if (inside(&h, o[j]))
				cr_assert(inside(&g, o[j]) && !corner(&g, o[j]), "%016lx -> %016lx: offset %lx", raw, got, o[j]);
	}
}

Test(descriptor, flat_segments_are_cut_at_the_corner)
{
	cr_expect(eq(u64, ring_descriptor(FLAT_CODE, false), 0x00cfbb000000fbffull));
	cr_expect(eq(u64, ring_descriptor(FLAT_DATA, false), 0x00cfb3000000fbffull));
	cr_expect(eq(u64, ring_descriptor(FLAT_DATA | DPL(3), false), 0x00cff3000000fbffull));
}

Test(descriptor, on_intel_64_the_user_loads_only_what_is_its_own)
{
	cr_expect(eq(u64, ring_descriptor(FLAT_DATA | DPL(3), true), FLAT_DATA | DPL(3)));
	cr_expect(eq(u64, ring_descriptor(FLAT_DATA, true), FLAT_DATA & ~PRESENT));
	cr_expect(eq(u64, ring_descriptor_own(FLAT_DATA, SEG_SS, true), FLAT_DATA | DPL(3)));
	cr_expect(eq(u64, ring_descriptor_own(0x00af9b000000ffffull, SEG_CS, true), 0x00affb000000ffffull));
}

/* Gates, task-state segments and tables; absent ones; accessed bits the CPU would set in the copy. */
Test(descriptor, the_hardware_does_not_load_what_the_vmm_must_see)
{
	for (unsigned type = 0; type < 16; type++)
		for (unsigned dpl = 0; dpl < 4; dpl++)
			cr_expect(zero(u64, ring_descriptor(PRESENT | (uint64_t)type << 40 | DPL(dpl) | 0x1234, false) & PRESENT), "%u", type);
	cr_expect(zero(u64, ring_descriptor(FLAT_DATA & ~BIT(40), false) & PRESENT));
	cr_expect(zero(u64, ring_descriptor(FLAT_DATA & ~PRESENT, false) & PRESENT));
	cr_expect(zero(u64, ring_descriptor(FLAT_DATA | DPL(1), false) & PRESENT));
	cr_expect(zero(u64, ring_descriptor(FLAT_CODE | DPL(2), false) & PRESENT));
	cr_expect(zero(u64, ring_descriptor(FLAT_CODE | 0xffull << 56 | 0xf0ull << 32, false) & PRESENT), "code in the corner");
}

Test(descriptor, hidden_parts_become_descriptors_where_there_are_any)
{
	uint64_t raw;
	cr_assert(ring_descriptor_of(0, 0xffffffff, 0xc09b, &raw));
	cr_expect(eq(u64, raw, FLAT_CODE));
	cr_assert(ring_descriptor_of(0x12345678, 0xfffff, 0x4093, &raw));
	cr_expect(eq(u64, raw, 0x124f93345678ffffull));
	cr_expect(not(ring_descriptor_of(0, 0xffffffff, 0x4093, &raw)), "4 GB of bytes");
	cr_expect(not(ring_descriptor_of(0, 0xfffffffe, 0xc093, &raw)), "pages and a half");
}
