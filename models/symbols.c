/* symbols.c - see symbols.h. */
#include "models/symbols.h"

#include <stdlib.h>
#include <string.h>

#include "sim/err.h"

#define REACH 0x10000   /* a symbol without a size names what follows it this far */

struct symtab *symtab_new(void)
{
	return xcalloc(1, sizeof(struct symtab));
}

void symtab_free(struct symtab *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->sym[i].name);
	free(t->sym);
	free(t);
}

void symtab_add(struct symtab *t, const char *name, uint64_t addr, uint64_t size, bool function, bool global)
{
	if (t->n == t->room) {
		t->room = t->room ? t->room * 2 : 256;
		t->sym = xrealloc(t->sym, t->room * sizeof *t->sym);
	}
	t->sym[t->n] = (struct symbol){ xstrdup(name), addr, size, (uint32_t)t->n, function, global };
	t->n++;
}

/* By address; at one address functions first, then file order, so that the answer never depends on
 * the sort. */
static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;
	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	if (x->function != y->function)
		return x->function ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

void symtab_sort(struct symtab *t)
{
	if (t->n)
		qsort(t->sym, t->n, sizeof *t->sym, by_address);
}

bool symtab_find(const struct symtab *t, const char *name, uint64_t *addr)
{
	bool found = false;
	for (size_t i = 0; t && i < t->n; i++)
		if ((!found || t->sym[i].global) && !strcmp(t->sym[i].name, name)) {
			*addr = t->sym[i].addr;
			found = true;
			if (t->sym[i].global)
				break;
		}
	return found;
}

const struct symbol *symtab_at(const struct symtab *t, uint64_t addr, uint64_t *offset)
{
	size_t lo = 0, hi = t ? t->n : 0;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (t->sym[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return NULL;
	const struct symbol *s = &t->sym[lo - 1];
	/* the first at that address: a function if there is one */
	while (s > t->sym && s[-1].addr == s->addr)
		s--;
	uint64_t off = addr - s->addr;
	if (off >= (s->size ? s->size : REACH))
		return NULL;
	*offset = off;
	return s;
}
