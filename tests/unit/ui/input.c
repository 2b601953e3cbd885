#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "ui/session/input.h"

static struct input in;
static struct err e;

static int parse(const char *text)
{
	e.text[0] = '\0';
	return input_parse(&in, text, strlen(text), "in", &e);
}
static const struct input_step *next(const char *console, cycle_t now)
{
	return input_next(&in, console, strlen(console), now);
}
static void end(void) { input_fini(&in); }
TestSuite(input, .fini = end);

Test(input, lines_are_sent_with_a_newline)
{
	const struct input_step *s;

	cr_assert(eq(int, parse("ls\n@@at\r\nlast"), 0));
	s = next("", 0);
	cr_assert_not_null(s);
	cr_expect(s->n == 3 && memcmp(s->bytes, "ls\n", 3) == 0);
	s = next("", 0);
	cr_expect(s->n == 4 && memcmp(s->bytes, "@at\n", 4) == 0);
	s = next("", 0);
	cr_expect(s->n == 5 && memcmp(s->bytes, "last\n", 5) == 0);
	cr_expect_null(next("", 0));
}

Test(input, expect_waits_and_looks_only_at_what_came_since)
{
	cr_assert(eq(int, parse("@expect \"$ \"\none\n@expect \"$ \"\ntwo\n"), 0));
	cr_expect_null(next("boot", 0));
	cr_expect(not(input_ready(&in, "boot $", 6)));
	cr_expect(input_ready(&in, "boot $ ", 7));
	cr_expect_not_null(next("boot $ ", 0));
	cr_expect_null(next("boot $ ", 0), "the same prompt does not count twice");
	cr_expect_null(next("boot $ one", 0));
	cr_expect_not_null(next("boot $ one\n$ ", 0));
}

Test(input, waiting_is_in_simulated_time)
{
	cr_assert(eq(int, parse("@wait 100\nx\n"), 0));
	cr_expect_null(next("", 50));
	cr_expect(eq(u64, input_wake(&in), 150));
	cr_expect_null(next("", 149));
	cr_expect_not_null(next("", 150));
	cr_expect(eq(u64, input_wake(&in), NEVER));
}

Test(input, send_has_escapes_and_no_newline)
{
	const struct input_step *s;

	cr_assert(eq(int, parse("@# a comment\n@send \"a\\n\\x03\\\"\\\\\"\n@exit 7\n"), 0), "%s", e.text);
	s = next("", 0);
	cr_expect(s->n == 5 && memcmp(s->bytes, "a\n\003\"\\", 5) == 0);
	s = next("", 0);
	cr_expect(s->kind == INPUT_EXIT && s->value == 7);
}

#define WRONG(test, script, says) \
Test(input, test) \
{ \
	cr_expect(eq(int, parse(script), -1)); \
	cr_expect_not_null(strstr(e.text, says), "%s", e.text); \
}
WRONG(unknown_command, "ok\n@expct \"x\"\n", "in:2: unknown command '@expct \"x\"'\n    known: @expect")
WRONG(text_without_quotes, "@expect x\n", "in:1: a text in double quotes was expected")
WRONG(no_closing_quote, "@expect \"x\n", "in:1: the closing '\"' is missing")
WRONG(unknown_escape, "@send \"\\q\"\n", "unknown escape after '\\'")
WRONG(wait_without_a_number, "@wait soon\n", "'soon': a number was expected")

/* Scan code set 1: make code, then the same with bit 7. */
Test(keys, letters_shift_and_control)
{
	uint8_t codes[32];

	cr_expect(eq(sz, keys_for("a", 1, codes, sizeof codes), 2));
	cr_expect(codes[0] == 0x1e && codes[1] == 0x9e);
	cr_expect(eq(sz, keys_for("A\n", 2, codes, sizeof codes), 6));
	cr_expect(memcmp(codes, "\x2a\x1e\x9e\xaa\x1c\x9c", 6) == 0);
	cr_expect(eq(sz, keys_for("\003", 1, codes, sizeof codes), 4));
	cr_expect(memcmp(codes, "\x1d\x2e\xae\x9d", 4) == 0);
	cr_expect(eq(sz, keys_for("abc", 3, codes, 5), 2), "never more than there is room for");
	cr_expect(eq(sz, keys_for("\xc3\xa4", 2, codes, sizeof codes), 0), "no key, no code");
}
