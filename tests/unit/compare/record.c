/* Records survive the way through a file, and nothing else does. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "made_up.h"

static char *bytes;
static size_t size;

static void written(const struct case_record *r, const char *identity)
{
	FILE *f = open_memstream(&bytes, &size);

	cr_assert(eq(int, record_write(f, r, identity), 0));
	fclose(f);
}

static bool read_back(const char *p, size_t n, struct case_record *r, const char *identity)
{
	FILE *f = fmemopen((void *)p, n, "rb");
	bool ok = record_read(f, r, identity);

	fclose(f);
	return ok;
}

Test(record, comes_back_as_it_was)
{
	struct comparison c;
	struct case_record r;

	made_up(&c);
	c.record[1].why = xstrdup("because\nof two lines");
	written(&c.record[1], "id\nof it\n");
	cr_assert(read_back(bytes, size, &r, "id\nof it\n"));
	cr_expect(eq(u64, r.cycles.region, c.record[1].cycles.region));
	cr_expect(eq(str, r.why, (char *)"because\nof two lines"));
	cr_expect(eq(str, r.console, (char *)"hello\nworld\n"));
	cr_assert(eq(sz, r.numbers, c.record[1].numbers));
	for (size_t i = 0; i < r.numbers; i++) {
		cr_expect(eq(str, r.number[i].name, c.record[1].number[i].name));
		cr_expect(eq(u64, r.number[i].whole, c.record[1].number[i].whole));
		cr_expect(eq(u64, r.number[i].region, c.record[1].number[i].region));
	}
	cr_assert(eq(sz, r.pages, 2));
	cr_expect(eq(int, memcmp(r.page[1].bytes, c.record[1].page[1].bytes, PAGE_SIZE), 0));
	case_record_fini(&r);
	comparison_fini(&c);
	free(bytes);
}

Test(record, of_another_identity_is_not_read)
{
	struct comparison c;
	struct case_record r;

	made_up(&c);
	written(&c.record[0], "skylake");
	cr_expect(not(read_back(bytes, size, &r, "haswell")));
	free(bytes);
	comparison_fini(&c);
}

Test(record, cut_short_is_not_read)
{
	struct comparison c;
	struct case_record r;

	made_up(&c);
	written(&c.record[0], "x");
	for (size_t n = 1; n + 1 < size; n += n < 600 ? 1 : 97)         /* the last byte is a newline */
		cr_expect(not(read_back(bytes, n, &r, "x")), "%zu of %zu bytes", n, size);
	free(bytes);
	comparison_fini(&c);
}

Test(record, bent_is_survived)
{
	struct comparison c;
	struct case_record r;

	made_up(&c);
	written(&c.record[0], "x");
	for (size_t i = 0; i < 700 && i < size; i++) {
		char was = bytes[i];

		bytes[i] = '9';
		if (read_back(bytes, size, &r, "x"))
			case_record_fini(&r);
		bytes[i] = was;
	}
	cr_assert(read_back(bytes, size, &r, "x"));
	case_record_fini(&r);
	free(bytes);
	comparison_fini(&c);
}

Test(store, keeps_and_finds)
{
	char folder[] = "/tmp/vmscope-store-XXXXXX";
	struct err e = { "" };
	struct comparison c;
	struct case_record r;
	char command[64];

	made_up(&c);
	cr_assert(mkdtemp(folder) != NULL);
	cr_expect(eq(int, store_open(folder, &e), 0));
	cr_expect(not(store_get(folder, "a", &r)));
	cr_expect(eq(int, store_put(folder, "a", &c.record[2], &e), 0), "%s", e.text);
	cr_expect(not(store_get(folder, "b", &r)));
	cr_assert(store_get(folder, "a", &r));
	cr_expect(eq(u64, r.cycles.region, c.record[2].cycles.region));
	case_record_fini(&r);
	snprintf(command, sizeof command, "rm -r %s", folder);
	cr_expect(eq(int, system(command), 0));
	cr_expect(eq(int, store_put(folder, "a", &c.record[2], &e), -1));
	cr_expect(says(e.text, "cannot write"));
	comparison_fini(&c);
}
