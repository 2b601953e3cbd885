/* symbols.h - the kernel image's symbol table: names for addresses, addresses for names. */
#ifndef MODELS_SYMBOLS_H
#define MODELS_SYMBOLS_H

#include "sim/base.h"

struct symbol { char *name; uint64_t addr, size; uint32_t order; bool function, global; };
struct symtab { struct symbol *sym; size_t n, room; };

struct symtab *symtab_new(void);
void symtab_free(struct symtab *t);
void symtab_add(struct symtab *t, const char *name, uint64_t addr, uint64_t size, bool function, bool global);
void symtab_sort(struct symtab *t);             /* by address; call once after the last add */
/* Of several of that name a global one, else the lowest. */
bool symtab_find(const struct symtab *t, const char *name, uint64_t *addr);
/* The symbol at or before addr that covers it (or has no size and lies within 64 KB), and the
 * offset in it; NULL: none. */
const struct symbol *symtab_at(const struct symtab *t, uint64_t addr, uint64_t *offset);

#endif
