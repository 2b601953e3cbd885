#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stddef.h>

#include "sim/field.h"

struct thing { uint64_t cr0; uint32_t line; uint16_t w; uint8_t b; };

static uint64_t get_double(const void *obj) { return ((const struct thing *)obj)->line * 2ull; }
static void set_half(void *obj, uint64_t v) { ((struct thing *)obj)->line = (uint32_t)(v / 2); }

static const struct field_bits cr0_bits[] = {
	{ 0, 0, "pe", "protection enable" }, { 31, 31, "pg", "paging" }, { 5, 4, "two", "a wide one" }, { 0 },
};
static const struct field_row rows[] = {
	{ .name = "cr0", .off = offsetof(struct thing, cr0), .size = 8, .bits = cr0_bits, .what = "CR0" },
	{ .name = "line", .off = offsetof(struct thing, line), .size = 4, .decimal = 1, .what = "a line" },
	{ .name = "w.x", .off = offsetof(struct thing, w), .size = 2, .what = "a word" },
	{ .name = "b", .off = offsetof(struct thing, b), .size = 1, .what = "a byte" },
	{ .name = "twice", .get = get_double, .what = "read-only" },
	{ .name = "half", .get = get_double, .set = set_half, .what = "both ways" },
};

static struct thing t;
static struct fields f;
static const struct field_group *g;
static const struct field_row *r;

static void setup(void)
{
	t = (struct thing){ .cr0 = 0x80000031, .line = 7, .w = 0xbeef, .b = 0xff };
	fields_add(&f, "cpu0", rows, ARRAY_LEN(rows), &t);
	fields_add(&f, "dev.a", rows, ARRAY_LEN(rows), &t);
}
static void teardown(void) { fields_fini(&f); }
TestSuite(field, .init = setup, .fini = teardown);

#define READS(test, name, want) \
Test(field, test) \
{ \
	cr_assert(fields_find(&f, name, &g, &r)); \
	cr_expect(eq(u64, field_read(g, r), want)); \
}
READS(eight_bytes, "cpu0.cr0", 0x80000031)
READS(four_bytes, "cpu0.line", 7)
READS(two_bytes_dotted, "cpu0.w.x", 0xbeef)
READS(one_byte, "cpu0.b", 0xff)
READS(by_getter, "cpu0.twice", 14)
READS(prefix_with_a_dot, "dev.a.line", 7)

Test(field, unknown_names_are_not_found)
{
	cr_expect(not(fields_find(&f, "cpu0.cr", &g, &r)));
	cr_expect(not(fields_find(&f, "cpu1.cr0", &g, &r)));
	cr_expect(not(fields_find(&f, "cr0", &g, &r)));
}

Test(field, writing_touches_only_its_bytes)
{
	cr_assert(fields_find(&f, "cpu0.w.x", &g, &r));
	cr_expect(field_write(g, r, 0x12345678));
	cr_expect(eq(u16, t.w, 0x5678));
	cr_expect(eq(u8, t.b, 0xff));
	cr_expect(eq(u32, t.line, 7));
}

Test(field, a_getter_alone_is_read_only)
{
	cr_assert(fields_find(&f, "cpu0.twice", &g, &r));
	cr_expect(not(field_write(g, r, 1)));
	cr_assert(fields_find(&f, "cpu0.half", &g, &r));
	cr_expect(field_write(g, r, 22));
	cr_expect(eq(u32, t.line, 11));
}

Test(field, text_names_the_set_bits)
{
	char buf[64];

	field_format(&rows[0], 0x80000031, buf, sizeof buf);
	cr_expect(eq(str, buf, "0x80000031 pe pg two=3"));
	field_format(&rows[1], 42, buf, sizeof buf);
	cr_expect(eq(str, buf, "42"));
}

Test(field, text_is_cut_at_the_buffer)
{
	char buf[8];

	cr_expect(eq(int, field_format(&rows[0], 0x80000031, buf, sizeof buf), 22));
	cr_expect(eq(str, buf, "0x80000"));
}
