/* frame.c - types and counts of page frames, on a VM of 64 pages in plain memory. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/mmu/mem.h"
#include "models/mmu/pte.h"
#include "models/vmm/pv/abi.h"
#include "models/vmm/pv/frame.h"

enum { PAGES = 1100, BASE = 0x40000000, TABLE = 0x1000 };
static uint64_t ram[PAGES * 512], counts[2 + 2 * PAGES];

static uint64_t *cell(uint64_t pa)
{
	return pa >= BASE ? &ram[(pa - BASE) / 8] : &counts[(pa - TABLE) / 8];
}
static uint64_t read8(void *who, uint64_t pa) { (void)who; return *cell(pa); }
static void write8(void *who, uint64_t pa, uint64_t x) { (void)who; *cell(pa) = x; }

static struct frames fresh(bool wide)
{
	memset(ram, 0, sizeof ram);
	memset(counts, 0, sizeof counts);
	struct frames f = { .base = BASE, .n = PAGES, .table = TABLE, .wide = wide, .nx = true, .read = read8, .write = write8,
	                    .corner = { 0x7003, 0x8003 } };
	frames_begin(&f);
	frames_flushed(&f);
	return f;
}

static uint64_t machine(uint64_t frame) { return BASE + frame * PAGE_SIZE; }
static uint64_t *entry(uint64_t frame, unsigned i) { return &ram[frame * 512 + i]; }
static uint64_t entry_pa(uint64_t frame, unsigned i) { return machine(frame) + 8 * i; }
enum { TABLE_BITS = PTE_P | PTE_RW | PTE_US };

/* 1: L4 -> 2: L3 -> 3: L2 -> 4: L1 -> pages 10 (writable), 4 (its own table, read-only) */
static struct frames tree(void)
{
	struct frames f = fresh(true);
	*entry(1, 0) = machine(2) | TABLE_BITS;
	*entry(2, 0) = machine(3) | TABLE_BITS;
	*entry(3, 0) = machine(4) | TABLE_BITS;
	*entry(4, 0) = machine(10) | TABLE_BITS;
	*entry(4, 1) = machine(4) | PTE_P;
	return f;
}

static void sound(struct frames *f)
{
	static uint32_t scratch[2 * PAGES];
	uint64_t where;
	const char *wrong = frames_audit(f, NULL, 0, scratch, &where);
	cr_assert(eq(ptr, (void *)wrong, NULL), "%s: frame %lu", wrong, (unsigned long)where);
}

/* All that is to be taken apart is. */
static void settle(struct frames *f)
{
	while (counts[0] >> 32)
		frames_begin(f);
	frames_begin(f);
}

Test(frame, a_pinned_tree_is_counted_down_to_its_pages)
{
	struct frames f = tree();
	cr_assert(eq(int, frame_pin(&f, 1, 4), 0));
	static const struct { unsigned frame; enum frame_type type; unsigned count, refs; } want[] = {
		{ 1, FRAME_L4, 1, 1 }, { 2, FRAME_L3, 1, 1 }, { 3, FRAME_L2, 1, 1 }, { 4, FRAME_L1, 1, 2 }, { 10, FRAME_WRITABLE, 1, 1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		struct frame_view v = frame_view(&f, want[i].frame);
		cr_expect(eq(int, (int)v.type, (int)want[i].type), "frame %u", want[i].frame);
		cr_expect(eq(uint, v.count, want[i].count), "frame %u", want[i].frame);
		cr_expect(eq(uint, v.refs, want[i].refs), "frame %u", want[i].frame);
	}
	cr_expect(eq(u64, *entry(1, 256), 0x7003), "the VMM's corner is in the root");
	sound(&f);
}

Test(frame, what_is_unpinned_is_memory_again_and_the_corner_is_gone)
{
	struct frames f = tree();
	cr_assert(eq(int, frame_pin(&f, 1, 4), 0));
	cr_assert(eq(int, frame_unpin(&f, 1), 0));
	cr_expect(eq(int, frame_get(&f, 1, FRAME_WRITABLE), PV_EAGAIN), "it is still to be taken apart");
	frames_begin(&f);
	for (unsigned i = 1; i <= 10; i++)
		cr_expect(eq(uint, frame_view(&f, i).count, 0), "frame %u", i);
	cr_expect(eq(u64, *entry(1, 256), 0));
	sound(&f);
	cr_expect(eq(int, frame_get(&f, 1, FRAME_WRITABLE), 0));
	cr_expect(eq(int, frame_unpin(&f, 1), PV_ENOENT));
}

Test(frame, taking_apart_stops_and_goes_on)
{
	struct frames f = tree();
	cr_assert(eq(int, frame_pin(&f, 1, 4), 0));
	frame_unpin(&f, 1);
	unsigned steps = 0;
	while (counts[0] >> 32 && steps++ < 100) {
		frames_work(&f, 100);
		sound(&f);
	}
	cr_expect(eq(uint, steps, 21), "4 * 512 entries, 100 at a time");
}

/* A table that is refused leaves no trace. */
#define REFUSED(name, of, index, value, error) \
	Test(frame, name) { \
		struct frames f = tree(); \
		*entry(of, index) = (value); \
		cr_expect(eq(int, frame_pin(&f, 1, 4), error)); \
		settle(&f); \
		for (unsigned i = 0; i < 20; i++) \
			cr_expect(eq(uint, frame_view(&f, i).refs, 0), "frame %u", i); \
		sound(&f); \
	}
REFUSED(a_writable_mapping_of_a_table,          4, 2, machine(3) | TABLE_BITS, PV_EBUSY)
REFUSED(a_table_that_maps_itself_writable,      4, 2, machine(4) | TABLE_BITS, PV_EBUSY)
REFUSED(a_root_that_leads_to_itself,            1, 7, machine(1) | TABLE_BITS, PV_EBUSY)
REFUSED(a_page_table_used_on_two_levels,        3, 5, machine(2) | TABLE_BITS, PV_EBUSY)
REFUSED(a_page_below_the_vm,                    4, 2, (machine(0) - PAGE_SIZE) | TABLE_BITS, PV_EPERM)
REFUSED(a_page_above_the_vm,                    4, 511, machine(PAGES) | PTE_P, PV_EPERM)
REFUSED(a_table_that_is_not_the_vms,            2, 9, 0x1000 | TABLE_BITS, PV_EPERM)
REFUSED(a_large_page_that_is_not_aligned,       3, 1, machine(1) | PTE_PS | PTE_P, PV_EINVAL)
REFUSED(a_large_page_that_ends_outside,         3, 1, machine(1024) | PTE_PS | PTE_P, PV_EPERM)
REFUSED(a_page_of_one_gigabyte,                 2, 1, machine(0) | PTE_PS | PTE_P, PV_EINVAL)
REFUSED(a_global_page,                          4, 2, machine(11) | PTE_G | PTE_P, PV_EINVAL)
REFUSED(a_reserved_bit,                         4, 2, machine(11) | BIT(52) | PTE_P, PV_EINVAL)
REFUSED(something_in_the_corner,                1, 256, machine(5) | TABLE_BITS, PV_EPERM)
REFUSED(a_large_writable_page_over_tables,      3, 1, machine(0) | TABLE_BITS | PTE_PS, PV_EBUSY)

Test(frame, updates_are_checked_and_counted)
{
	struct frames f = tree();
	cr_assert(eq(int, frame_pin(&f, 1, 4), 0));
	cr_expect(eq(int, frame_update(&f, entry_pa(4, 7), machine(11) | TABLE_BITS), 0));
	cr_expect(eq(u64, *entry(4, 7), machine(11) | TABLE_BITS));
	cr_expect(eq(uint, frame_view(&f, 11).count, 1));
	cr_expect(eq(int, frame_update(&f, entry_pa(4, 7), machine(3) | TABLE_BITS), PV_EBUSY));
	cr_expect(eq(u64, *entry(4, 7), machine(11) | TABLE_BITS), "refused: nothing changed");
	cr_expect(eq(int, frame_update(&f, entry_pa(4, 7), machine(3) | PTE_P), 0), "a table may be read");
	cr_expect(eq(uint, frame_view(&f, 11).count, 0));
	cr_expect(eq(int, frame_update(&f, entry_pa(1, 256), 0), PV_EPERM), "the corner");
	cr_expect(eq(int, frame_update(&f, entry_pa(10, 0), 0), PV_EINVAL), "no table");
	cr_expect(eq(int, frame_update(&f, entry_pa(4, 0) + 1, 0), PV_EINVAL));
	cr_expect(eq(int, frame_update(&f, machine(PAGES), 0), PV_EPERM));
	cr_expect(eq(int, frame_update(&f, 8, 0), PV_EPERM));
	sound(&f);
}

Test(frame, a_page_that_was_writable_becomes_a_table_only_after_a_flush)
{
	struct frames f = tree();
	cr_assert(eq(int, frame_pin(&f, 1, 4), 0));
	cr_assert(not(f.flush));
	cr_assert(eq(int, frame_update(&f, entry_pa(4, 0), 0), 0));
	cr_assert(not(f.flush), "its translation may stay for now");
	cr_assert(eq(int, frame_get(&f, 10, FRAME_L1), 0));
	cr_assert(f.flush);
	frames_flushed(&f);
	frame_put(&f, 10);
	frames_begin(&f);
	cr_assert(not(f.flush));
	cr_assert(eq(int, frame_get(&f, 10, FRAME_WRITABLE), 0));
	cr_assert(f.flush, "paging-structure caches may still lead into it");
}

Test(frame, a_large_page_counts_its_512_frames)
{
	struct frames f = tree();
	*entry(3, 3) = machine(512) | TABLE_BITS | PTE_PS;
	cr_assert(eq(int, frame_pin(&f, 1, 4), 0));
	cr_expect(eq(uint, frame_view(&f, 512).count, 1));
	cr_expect(eq(uint, frame_view(&f, 1023).count, 1));
	cr_expect(eq(uint, frame_view(&f, 1024).count, 0));
	cr_expect(eq(int, frame_update(&f, entry_pa(3, 3), machine(512) | PTE_P | PTE_PS), 0));
	cr_expect(eq(uint, frame_view(&f, 512).count, 0));
	cr_expect(eq(uint, frame_view(&f, 512).refs, 1));
	sound(&f);
}

Test(frame, one_call_checks_a_bounded_number_of_tables)
{
	struct frames f = tree();
	for (unsigned i = 0; i < 100; i++)
		*entry(3, i + 1) = machine(100 + i) | TABLE_BITS;
	cr_expect(eq(int, frame_pin(&f, 1, 4), PV_E2BIG));
	settle(&f);
	for (unsigned i = 0; i < 60; i++)
		cr_assert(eq(int, frame_pin(&f, 100 + i, 1), 0), "lower tables first");
	frames_begin(&f);
	cr_expect(eq(int, frame_pin(&f, 1, 4), 0));
	sound(&f);
}

Test(frame, counts_do_not_overflow)
{
	struct frames f = tree();
	counts[2 + 2 * 10] = (uint64_t)FRAME_COUNT_MAX << 32 | FRAME_WRITABLE;
	cr_expect(eq(int, frame_pin(&f, 1, 4), PV_EBUSY));
}

Test(frame, pae_roots_have_the_corner_behind_their_fourth_entry)
{
	struct frames f = fresh(false);
	*entry(1, 0) = machine(2) | PTE_P;
	*entry(2, 0) = machine(4) | TABLE_BITS;
	*entry(4, 0) = machine(10) | TABLE_BITS;
	cr_expect(eq(int, frame_pin(&f, 1, 3), PV_EINVAL), "no fourth entry");
	*entry(1, 3) = machine(3) | PTE_P;
	frames_begin(&f);
	cr_assert(eq(int, frame_pin(&f, 1, 3), 0));
	cr_expect(eq(int, (int)frame_view(&f, 3).type, FRAME_L2_TOP));
	cr_expect(eq(u64, *entry(3, 510), 0x7003));
	cr_expect(eq(u64, *entry(3, 511), 0x8003));
	cr_expect(eq(int, frame_update(&f, entry_pa(3, 511), 0), PV_EPERM));
	cr_expect(eq(int, frame_update(&f, entry_pa(1, 3), 0), PV_EINVAL));
	cr_expect(eq(int, frame_update(&f, entry_pa(1, 1), machine(3) | PTE_P), PV_EBUSY), "the corner at another address");
	cr_expect(eq(int, frame_update(&f, entry_pa(1, 1), machine(5) | TABLE_BITS), PV_EINVAL), "RW is reserved in a PDPTE");
	cr_expect(not(f.top));
	cr_expect(eq(int, frame_update(&f, entry_pa(1, 1), machine(5) | PTE_P), 0));
	cr_expect(f.top, "the CPU's copies of the PDPTEs");
	sound(&f);
}

/* Random entries, near right and wrong, in random tables; pins and unpins; after each the counts are counted anew. */
Test(frame, random_calls_leave_the_counts_right)
{
	struct frames f = tree();
	uint64_t x = 88172645463325252ull;
	unsigned done[2] = { 0, 0 };
	cr_assert(eq(int, frame_pin(&f, 1, 4), 0));
	for (unsigned n = 0; n < 30000; n++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		unsigned a = (unsigned)(x >> 8) % 16, b = (unsigned)(x >> 16) % 16, index = (x >> 24) % 8 ? (unsigned)(x >> 27) % 4 : (unsigned)(x >> 27) % 512;
		uint64_t bits = (x >> 40) % 16 | ((x >> 44) % 32 == 0 ? PTE_PS : 0) | ((x >> 49) % 4 ? PTE_P : 0);
		int error = 0;
		switch ((x >> 51) % 16) {
		case 0: error = frame_pin(&f, a, 1 + b % 5); break;
		case 1: error = frame_unpin(&f, a); break;
		case 2: if (!frame_view(&f, a).count && !frame_view(&f, a).taken_apart) *entry(a, index) = machine(b) | bits; break;
		case 3: frames_work(&f, (unsigned)(x >> 32) % 700); break;
		case 4: if (f.flush) frames_flushed(&f); break;
		default: error = frame_update(&f, entry_pa(a, index), machine(b % 8 ? b : (x >> 33) % 1200) | bits);
		}
		frames_begin(&f);
		done[error != 0]++;
		if (n % 16 == 0)
			sound(&f);
	}
	sound(&f);
	cr_expect(done[0] > 3000 && done[1] > 3000, "%u done, %u refused", done[0], done[1]);
}
