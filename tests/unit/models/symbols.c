/* Names for addresses, addresses for names. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "models/symbols.h"

Test(symbols, a_global_one_before_those_of_a_file)
{
	struct symtab *t = symtab_new();
	uint64_t at = 0;
	symtab_add(t, "memset", 0x1000, 16, true, false);
	symtab_add(t, "memset", 0x3000, 16, true, true);
	symtab_add(t, "memset", 0x2000, 16, true, false);
	symtab_add(t, "only", 0x500, 16, true, false);
	symtab_sort(t);
	cr_expect(symtab_find(t, "memset", &at));
	cr_expect(eq(u64, at, 0x3000));
	cr_expect(symtab_find(t, "only", &at));
	cr_expect(eq(u64, at, 0x500));
	cr_expect(not(symtab_find(t, "nothing", &at)));
	symtab_free(t);
}

Test(symbols, the_one_that_covers_an_address)
{
	struct symtab *t = symtab_new();
	uint64_t off = 0;
	symtab_add(t, "a", 0x1000, 16, true, true);
	symtab_add(t, "label", 0x1000, 0, false, false);
	symtab_add(t, "b", 0x2000, 0, false, true);
	symtab_sort(t);
	cr_expect(eq(str, symtab_at(t, 0x100f, &off)->name, "a"), "a function before a label");
	cr_expect(eq(u64, off, 15));
	cr_expect(zero(ptr, (void *)symtab_at(t, 0x1010, &off)), "behind its size");
	cr_expect(eq(str, symtab_at(t, 0x2fff, &off)->name, "b"), "without a size it reaches on");
	cr_expect(zero(ptr, (void *)symtab_at(t, 0xfff, &off)));
	symtab_free(t);
}
