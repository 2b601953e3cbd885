/* Packets: framing, checksums, escapes, bounds. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "ui/gdb/packet.h"

static struct gdb_parser parser;

static enum gdb_input feed_n(const char *p, size_t n)
{
	enum gdb_input last = GDB_MORE;
	for (size_t i = 0; i < n; i++)
		last = gdb_parse(&parser, (uint8_t)p[i]);
	return last;
}
static enum gdb_input feed(const char *p) { return feed_n(p, strlen(p)); }

static void fresh(void) { memset(&parser, 0, sizeof parser); }
TestSuite(gdb_packet, .init = fresh);

#define ROW(name, bytes, want) Test(gdb_packet, name) { cr_expect(eq(int, feed(bytes), want)); }
ROW(a_packet, "$g#67", GDB_PACKET)
ROW(an_empty_packet, "$#00", GDB_PACKET)
ROW(capital_digits, "$mf#D3", GDB_PACKET)
ROW(a_wrong_checksum, "$g#68", GDB_BAD)
ROW(a_checksum_of_no_digits, "$g#zz", GDB_BAD)
ROW(half_a_checksum, "$g#6", GDB_MORE)
ROW(acknowledged, "+", GDB_ACK)
ROW(not_acknowledged, "-", GDB_NAK)
ROW(interrupt, "\003", GDB_INTERRUPT)
ROW(an_interrupt_byte_inside_is_data, "$\003#03", GDB_PACKET)
ROW(noise_before_a_packet, "xyz#00$g#67", GDB_PACKET)
ROW(a_packet_that_was_cut_off, "$mfff$g#67", GDB_PACKET)
ROW(an_escape_without_its_byte, "$}#7d", GDB_BAD)

Test(gdb_packet, escapes_are_undone)
{
	cr_assert(eq(int, feed("$a}\003}]#bb"), GDB_PACKET));
	cr_expect(eq(sz, parser.n, 3));
	cr_expect(eq(int, memcmp(parser.data, "a#}", 3), 0));
	cr_expect(eq(int, parser.data[3], 0));
}

Test(gdb_packet, what_is_framed_is_parsed_again)
{
	char data[256], frame[600];
	for (int i = 0; i < 256; i++)
		data[i] = (char)i;
	size_t n = gdb_frame(data, sizeof data, frame);
	cr_assert(eq(int, feed_n(frame, n), GDB_PACKET));
	cr_assert(eq(sz, parser.n, sizeof data));
	cr_expect(eq(int, memcmp(parser.data, data, sizeof data), 0));
}

Test(gdb_packet, the_longest_packet_and_one_byte_more)
{
	static char data[GDB_PACKET_MAX + 1], frame[GDB_FRAME_MAX + 2];
	memset(data, 'a', sizeof data);
	size_t n = gdb_frame(data, GDB_PACKET_MAX, frame);
	cr_expect(eq(int, feed_n(frame, n), GDB_PACKET));
	cr_expect(eq(sz, parser.n, GDB_PACKET_MAX));
	n = gdb_frame(data, GDB_PACKET_MAX + 1, frame);
	cr_expect(eq(int, feed_n(frame, n), GDB_BAD));
	cr_expect(eq(int, feed("$g#67"), GDB_PACKET));
}

Test(gdb_packet, a_full_reply_says_so)
{
	static struct gdb_reply o;
	static char data[GDB_PACKET_MAX];
	reply_clear(&o);
	reply_bytes(&o, data, GDB_PACKET_MAX);
	cr_expect(not(o.full));
	reply_text(&o, "x");
	cr_expect(o.full);
	cr_expect(eq(sz, o.n, GDB_PACKET_MAX));
}

Test(gdb_packet, numbers)
{
	uint64_t v;
	const char *p = "ffffffffffffffff,";
	cr_expect(take_number(&p, &v));
	cr_expect(eq(u64, v, ~0ull));
	cr_expect(take_char(&p, ','));
	p = "10000000000000000";
	cr_expect(not(take_number(&p, &v)), "17 digits");
	p = "";
	cr_expect(not(take_number(&p, &v)));
	p = "-1";
	cr_expect(not(take_number(&p, &v)));
}

Test(gdb_packet, bytes)
{
	uint8_t b[2];
	const char *p = "0fF0";
	cr_expect(take_bytes(&p, b, 2));
	cr_expect(eq(int, b[0], 0x0f));
	cr_expect(eq(int, b[1], 0xf0));
	p = "0f1";
	cr_expect(not(take_bytes(&p, b, 2)));
}
