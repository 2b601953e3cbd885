#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "sim/err.h"

Test(err, position_then_text_then_a_way_out)
{
	struct err e = { "" };

	cr_expect(eq(int, err_set(&e, "a.lua:14", "all keys: vmscope list config", "unknown key '%s'", "mem"), -1));
	cr_expect(eq(str, e.text, "a.lua:14: unknown key 'mem'\n    all keys: vmscope list config"));
}

Test(err, the_first_error_stays)
{
	struct err e = { "" };

	err_set(&e, NULL, NULL, "first");
	err_set(&e, NULL, NULL, "second");
	cr_expect(eq(str, e.text, "first"));
}

Test(err, a_long_message_is_cut_not_overrun)
{
	struct err e = { "" };
	char big[5000];

	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	err_set(&e, big, big, "%s", big);
	cr_expect(lt(sz, strlen(e.text), sizeof e.text));
}

static const char *word_at(const void *table, size_t i)
{
	return ((const char *const *)table)[i];
}

static const char *const words[] = { "ram", "cpus", "profile", "speed", "seed", "tlb_fill", "guest_cr3" };

#define NEAREST(test, typed, meant) \
Test(err_nearest, test) \
{ \
	const char *got = err_nearest(typed, word_at, words, ARRAY_LEN(words)); \
	cr_assert_not_null(got); \
	cr_expect(eq(str, (char *)got, meant)); \
}
NEAREST(letters_swapped, "profiel", "profile")
NEAREST(a_letter_left_out, "profle", "profile")
NEAREST(a_letter_doubled, "guest_cr33", "guest_cr3")
NEAREST(case_and_dash_do_not_count, "TLB-Fill", "tlb_fill")
NEAREST(ties_go_to_the_earlier, "sped", "speed")
NEAREST(cut_short, "prof", "profile")

Test(err_nearest, nothing_near)
{
	cr_expect_null(err_nearest("completely-different-word", word_at, words, ARRAY_LEN(words)));
	cr_expect_null(err_nearest("", word_at, words, ARRAY_LEN(words)));
}

Test(err, bug_exits_with_3, .exit_code = 3)
{
	BUG("on purpose");
}
