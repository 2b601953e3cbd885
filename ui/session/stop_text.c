/* stop_text.c - operands of stops: words, numbers, symbols. */
#include <stdlib.h>
#include <string.h>

#include "models/symbols.h"
#include "ui/session/stops_impl.h"

const char *stop_word(const char **p, char *buf, size_t n)
{
	*p += strspn(*p, " \t");
	size_t len = strcspn(*p, " \t");
	size_t k = len < n ? len : n - 1;
	memcpy(buf, *p, k);
	buf[k] = '\0';
	*p += len;
	*p += strspn(*p, " \t");
	return buf;
}

static const char *symbol_name(const void *table, size_t i)
{
	return ((const struct symtab *)table)->sym[i].name;
}

static int number_or_symbol(const struct run *r, const char *text, uint64_t *v, struct err *e)
{
	const struct symtab *t = run_face(r)->m->symbols;
	if (parse_number(text, v) || symtab_find(t, text, v))
		return 0;
	if (!t->n)
		return err_set(e, NULL, "an address as 0x1000", "'%s' is no number, and the kernel has no symbols", text);
	const char *near = err_nearest(text, symbol_name, t, t->n);
	char hint[160];
	snprintf(hint, sizeof hint, near ? "did you mean '%s'?" : "an address as 0x1000, or a symbol of the kernel", near);
	return err_set(e, NULL, hint, "'%s' is neither a number nor a symbol of the kernel", text);
}

int stop_address(const struct run *r, const char *text, uint64_t *v, struct err *e)
{
	char name[96];
	size_t n = strcspn(text, "+-");
	uint64_t off = 0;
	if (!*text)
		return err_set(e, NULL, "as in: break main, break 0x100000", "an address or a symbol is missing");
	if (n == 0 || text[n] == '\0' || n >= sizeof name || !parse_number(text + n + 1, &off))
		return number_or_symbol(r, text, v, e);
	memcpy(name, text, n);
	name[n] = '\0';
	if (number_or_symbol(r, name, v, e) != 0)
		return -1;
	*v = text[n] == '+' ? *v + off : *v - off;
	return 0;
}
