/* Physical memory: layout, sparseness, flags and who is told. */
#include "tests/unit/mmu/rig.h"

#include <sys/mman.h>

static struct mem mem;
static struct err e;
static unsigned dropped, written;
static hpa_t last;
static unsigned last_len;

static void on_drop(void *who, hpa_t page) { (void)who; dropped++; last = page; }
static void on_code(void *who, hpa_t pa, unsigned len) { (void)who; written++; last = pa; last_len = len; }

static void start(void)
{
	cr_assert(eq(int, mem_init(&mem, 5ull << 30, &e), 0));
	mem.drop_writable = on_drop;
	mem.code_written = on_code;
}
static void stop(void) { mem_fini(&mem); }
TestSuite(mem, .init = start, .fini = stop);

Test(mem, layout_of_a_pc)
{
	static const struct { uint64_t pa; long long off; } row[] = {
		{ 0, 0 }, { 0x9ffff, 0x9ffff }, { 0xa0000, -1 }, { 0xbffff, -1 }, { 0xc0000, 0xc0000 },
		{ 0xbfffffff, 0xbfffffff }, { 0xc0000000, -1 }, { 0xfee00000, -1 }, { 0xffffffff, -1 },
		{ 0x100000000, 0xc0000000 }, { 0x17fffffff, 0x13fffffff }, { 0x180000000, -1 }, { ~0ull, -1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		cr_expect(eq(i64, mem_offset(&mem, HPA(row[i].pa)), row[i].off), "%#llx", (unsigned long long)row[i].pa);
}

Test(mem, small_ram_ends_where_it_ends)
{
	struct mem small;
	cr_assert(eq(int, mem_init(&small, 1 << 20, &e), 0));
	cr_expect(eq(i64, mem_offset(&small, HPA(0xfffff)), 0xfffff));
	cr_expect(eq(i64, mem_offset(&small, HPA(0x100000)), -1));
	cr_expect(eq(i64, mem_offset(&small, HPA(MEM_HIGH)), -1));
	mem_fini(&small);
}

Test(mem, absent_bytes_read_as_ones_and_swallow_writes)
{
	uint8_t buf[16] = { 0 };
	cr_expect(not(mem_write(&mem, HPA(0x9fff8), "0123456789abcdef", 16)), "half of it is in the hole");
	cr_expect(not(mem_read(&mem, HPA(0x9fff8), buf, 16)));
	cr_expect(eq(int, memcmp(buf, "01234567\xff\xff\xff\xff\xff\xff\xff\xff", 16), 0));
	cr_expect(mem_write(&mem, HPA(0x1ffe), "abcd", 4));
	cr_expect(mem_peek(&mem, HPA(0x1ffe), buf, 4));
	cr_expect(eq(int, memcmp(buf, "abcd", 4), 0), "across pages");
}

/* "An idle machine with 4 GB of RAM under 64 MB; growth with pages touched only." */
Test(mem, pages_never_touched_cost_nothing)
{
	static unsigned char in_core[(5ull << 30) / 4096];
	for (unsigned i = 0; i < 10; i++)
		mem_write64(&mem, HPA(i * 0x10000000ull), 1);
	cr_assert(eq(int, mincore(mem.ram, 5ull << 30, in_core), 0));
	size_t n = 0;
	for (size_t i = 0; i < sizeof in_core; i++)
		n += in_core[i] & 1;
	cr_expect(le(sz, n, 10 * 512), "%zu pages (a host may use huge ones)", n);
}

Test(mem, gaining_a_slow_write_flag_drops_cached_pointers_once)
{
	mem_flag_set(&mem, HPA(0x5000), PAGE_WATCH);
	cr_expect(eq(u32, dropped, 0), "nobody writes there");
	*mem_flags(&mem, HPA(0x5000)) = PAGE_WRITER;
	mem_flag_set(&mem, HPA(0x5123), PAGE_CODE);
	cr_expect(eq(u32, dropped, 1));
	cr_expect(eq(u64, last.v, 0x5000));
	mem_flag_set(&mem, HPA(0x5000), PAGE_CODE);
	cr_expect(eq(u32, dropped, 1));
	*mem_flags(&mem, HPA(0x5000)) |= PAGE_WRITER;   /* back in somebody's hand */
	mem_flag_set(&mem, HPA(0x5000), PAGE_WATCH);
	cr_expect(eq(u32, dropped, 2));
	mem_flag_set(&mem, HPA(0xa0000), PAGE_CODE);
	cr_expect(eq(u32, dropped, 2), "a device has no flags");
}

Test(mem, overwritten_code_is_reported_by_every_writer)
{
	mem_flag_set(&mem, HPA(0x5000), PAGE_CODE);
	mem_write64(&mem, HPA(0x4ffc), 0);
	cr_expect(eq(u32, written, 1));
	cr_expect(eq(u64, last.v, 0x5000));
	cr_expect(eq(u32, last_len, 4));
	mem_write64(&mem, HPA(0x6000), 0);
	cr_expect(eq(u32, written, 1));
}
