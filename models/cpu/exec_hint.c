/* exec_hint.c - NOP, prefetches, fences, cache-line flushes.
 * Source: SDM Vol. 2. Prefetches never fault and are taken as hints not to follow; CLFLUSH and relatives check their
 * address as a load does and cost as much.
 * Simplified: a flush leaves the line in the modelled caches. */
#include "models/cpu/hot.h"

HOT(h_nop) { NEXT(c, u); }

uop_fn *bind_nop(struct uop *u, uint32_t key)
{
	(void)u, (void)key;
	return h_nop;
}

void exec_nop(struct cpu *c, const struct uop *u)
{
	(void)c, (void)u;
}

void exec_clflush(struct cpu *c, const struct uop *u)
{
	(void)cpu_load8(c, u, ea_linear(c, u, 1, false));
}
