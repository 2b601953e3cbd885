/* Sentences on lines that fit. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#include "ui/export/wrap.h"

static void wrapped(unsigned at, unsigned indent, unsigned width, const char *text, const char *want)
{
	char *got = NULL;
	size_t n;
	FILE *f = open_memstream(&got, &n);

	wrap(f, at, indent, width, text);
	fclose(f);
	cr_expect(eq(str, got, (char *)want));
	free(got);
}
#define WRAPPED(name, at, indent, width, text, want) Test(wrap, name) { wrapped(at, indent, width, text, want); }
WRAPPED(a_line_that_fits_stays, 0, 2, 24, "one two three four five", "one two three four five")
WRAPPED(the_word_that_passes_the_edge_begins_a_line, 0, 2, 22, "one two three four five", "one two three four\n  five")
WRAPPED(the_first_line_begins_where_it_was, 10, 2, 22, "one two three four", "one two\n  three four")
WRAPPED(a_newline_is_indented_too, 4, 4, 80, "one\n    two", "one\n    two")
WRAPPED(no_width_no_wrapping, 0, 2, 0, "one two three four five six seven eight nine ten", "one two three four five six seven eight nine ten")
WRAPPED(a_word_too_long_stands_alone, 0, 0, 20, "a aaaaaaaaaaaaaaaaaaaaaaaaaaaa b", "a\naaaaaaaaaaaaaaaaaaaaaaaaaaaa\nb")
WRAPPED(blanks_inside_stay, 0, 2, 40, "one  two", "one  two")
