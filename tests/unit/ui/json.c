#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/export/json.h"

static char *text;
static size_t n;
static FILE *f;
static struct json j;

static void begin(void) { f = open_memstream(&text, &n); json_init(&j, f, true); }
static char *done(void) { fflush(f); return text; }
static void end(void) { fclose(f); free(text); }
TestSuite(json, .init = begin, .fini = end);

Test(json, commas_and_nesting)
{
	json_object(&j, NULL);
	json_u64(&j, "a", 1);
	json_array(&j, "b");
	json_i64(&j, NULL, -2);
	json_object(&j, NULL);
	json_end_object(&j);
	json_end_array(&j);
	json_bool(&j, "c", true);
	json_null(&j, "d");
	json_end_object(&j);
	cr_expect(eq(str, done(), "{\"a\":1,\"b\":[-2,{}],\"c\":true,\"d\":null}\n"));
}

Test(json, indented_form)
{
	j.compact = false;
	json_object(&j, NULL);
	json_u64(&j, "a", 18446744073709551615ull);
	json_array(&j, "b");
	json_end_array(&j);
	json_end_object(&j);
	cr_expect(eq(str, done(), "{\n  \"a\": 18446744073709551615,\n  \"b\": []\n}\n"));
}

#define TEXT(test, in, want) \
Test(json, test) \
{ \
	json_array(&j, NULL); \
	json_bytes(&j, NULL, in, sizeof in - 1); \
	json_end_array(&j); \
	cr_expect(eq(str, done(), "[" want "]\n")); \
}
TEXT(quotes_and_backslash, "\"\\", "\"\\\"\\\\\"")
TEXT(control_characters, "\n\t\0\033\x7f", "\"\\n\\t\\u0000\\u001b\\u007f\"")
TEXT(utf8_stays, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"")
TEXT(broken_utf8_is_replaced, "\xff\xc3(\xe2\x82", "\"\\ufffd\\ufffd(\\ufffd\\ufffd\"")
TEXT(overlong_and_surrogates_are_replaced, "\xc0\x80\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"")

Test(json, what_is_no_number_is_null)
{
	json_array(&j, NULL);
	json_real(&j, NULL, 0.5);
	json_real(&j, NULL, NAN);
	json_end_array(&j);
	cr_expect(eq(str, done(), "[0.5,null]\n"));
}
