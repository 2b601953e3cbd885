#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "sim/err.h"
#include "sim/trace.h"

static const struct trace_row cpu_rows[] = {
	{ "insn", "rip cs", "an instruction" },
	{ "exception", "vector# error rip cr2", "an exception" },
	{ "bare", "", "no arguments" },
};
static const struct trace_row mmu_rows[] = { { "tlb_fill", "gva gpa size", "filled" }, { "tlb_flush", "why#", "flushed" } };
enum { INSN = TRACE_CPU, EXCEPTION, BARE, TLB_FILL = TRACE_MMU, TLB_FLUSH };

static struct trace t;
static struct err e;
static unsigned heard;
static struct trace_record last;
static unsigned disk;

static void hear(void *who, const struct trace_record *r) { (void)who; heard++; last = *r; }

static void setup(void)
{
	trace_init(&t, 8);
	trace_rows(&t, TRACE_CPU, cpu_rows, ARRAY_LEN(cpu_rows));
	trace_rows(&t, TRACE_MMU, mmu_rows, ARRAY_LEN(mmu_rows));
	trace_component(&t, "cpu0");
	trace_component(&t, "cpu1");
	disk = trace_component(&t, "disk");
	e.text[0] = '\0';
	heard = 0;
}
static void teardown(void) { trace_fini(&t); }
TestSuite(trace, .init = setup, .fini = teardown);

Test(trace, nobody_listens_nothing_is_written)
{
	trace(&t, 1, 0, INSN, 1, 2, 0, 0);
	cr_expect(eq(u64, t.count, 0));
	cr_expect(not(trace_on(&t, INSN)));
}

Test(trace, a_listener_hears_what_it_asked_for)
{
	cr_assert(eq(int, trace_listen(&t, "insn,tlb*", hear, NULL, &e), 0));
	trace(&t, 1, 0, INSN, 1, 2, 0, 0);
	trace(&t, 2, 0, EXCEPTION, 14, 2, 0, 0);
	trace(&t, 3, 1, TLB_FLUSH, 1, 0, 0, 0);
	cr_expect(eq(uint, heard, 2));
	cr_expect(eq(u64, last.cycle, 3));
	cr_expect(eq(u64, t.count, 2));
	trace_unlisten(&t, hear, NULL);
	cr_expect(not(trace_on(&t, INSN)));
}

Test(trace, a_listener_apart_leaves_no_mark)
{
	cr_assert(eq(int, trace_listen(&t, "insn", NULL, NULL, &e), 0));
	const uint64_t hash = t.hash;
	cr_assert(eq(int, trace_listen_apart(&t, "tlb*", hear, NULL, &e), 0));
	trace(&t, 2, 1, TLB_FLUSH, 7, 0, 0, 0);
	cr_expect(eq(uint, heard, 1));
	cr_expect(eq(u64, last.a[0], 7));
	cr_expect(eq(u64, t.count, 0));
	cr_expect(eq(u64, t.hash, hash));
	trace(&t, 3, 0, INSN, 1, 2, 0, 0);
	cr_expect(eq(u64, t.count, 1));
	trace_unlisten(&t, hear, NULL);
	cr_expect(not(trace_on(&t, TLB_FLUSH)));
}

Test(trace, all_means_all)
{
	cr_assert(eq(int, trace_listen(&t, "all", hear, NULL, &e), 0));
	trace(&t, 1, 0, BARE, 0, 0, 0, 0);
	trace(&t, 1, 0, TLB_FILL, 0, 0, 0, 0);
	cr_expect(eq(uint, heard, 2));
}

Test(trace, unknown_names_come_with_a_suggestion)
{
	cr_expect(eq(int, trace_listen(&t, "insn,exceptoin", hear, NULL, &e), -1));
	cr_expect(eq(str, e.text, "unknown trace event 'exceptoin'\n    did you mean 'exception'? all names: vmscope list events"));
	cr_expect(not(trace_on(&t, INSN)), "nothing of a wrong filter counts");
}

#define TEXT(test, want, ...) \
Test(trace, test) \
{ \
	struct trace_record r = { __VA_ARGS__ }; \
	char buf[128]; \
	trace_format(&t, &r, buf, sizeof buf); \
	cr_expect(eq(str, buf, want)); \
}
TEXT(text_of_a_fill, "      1042 cpu0 tlb_fill gva=0x1000 gpa=0x2000 size=0x1000",
     .cycle = 1042, .component = 0, .event = TLB_FILL, .a = { 0x1000, 0x2000, 0x1000, 9 })
TEXT(decimal_where_the_row_says_so, "         7 cpu1 exception vector=14 error=0x2 rip=0x10 cr2=0x20",
     .cycle = 7, .component = 1, .event = EXCEPTION, .a = { 14, 2, 16, 32 })
TEXT(no_arguments, "         7 disk bare", .cycle = 7, .component = 2, .event = BARE)

Test(trace, components_are_numbered_in_order)
{
	cr_expect(eq(uint, disk, 2));
}

Test(trace, text_is_cut_at_the_buffer)
{
	struct trace_record r = { .cycle = 1, .event = EXCEPTION };
	char buf[20];

	cr_expect(lt(int, 20, trace_format(&t, &r, buf, sizeof buf)));
	cr_expect(eq(sz, strlen(buf), 19));
}

Test(trace, the_ring_keeps_the_last)
{
	cr_assert(eq(int, trace_listen(&t, "insn", NULL, NULL, &e), 0));
	for (uint64_t i = 0; i < 20; i++)
		trace(&t, i, 0, INSN, i, 0, 0, 0);
	cr_expect(eq(u64, t.count, 20));
	for (uint64_t i = 12; i < 20; i++)
		cr_expect(eq(u64, t.ring[i & 7].cycle, i));
}

Test(trace, the_hash_sees_every_byte)
{
	struct trace u;

	trace_init(&u, 8);
	trace_rows(&u, TRACE_CPU, cpu_rows, ARRAY_LEN(cpu_rows));
	cr_assert(eq(int, trace_listen(&t, "insn", NULL, NULL, &e), 0));
	cr_assert(eq(int, trace_listen(&u, "insn", NULL, NULL, &e), 0));
	trace(&t, 1, 0, INSN, 1, 2, 3, 4);
	trace(&u, 1, 0, INSN, 1, 2, 3, 4);
	cr_expect(eq(u64, t.hash, u.hash));
	trace(&t, 1, 0, INSN, 1, 2, 3, 4);
	trace(&u, 1, 0, INSN, 1, 2, 3, 4 | BIT(63));
	cr_expect(ne(u64, t.hash, u.hash));
	trace_fini(&u);
}

Test(trace, a_ring_that_is_no_power_of_two_is_a_bug, .exit_code = 3)
{
	trace_init(&t, 100);
}
