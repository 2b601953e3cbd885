/* random.c - RDRAND and RDSEED.
 *
 * Both draw from one generator that is part of the CPU's state, seeded at RESET by the run's seed and the CPU's number: runs
 * with the same seed see the same values, a restored snapshot goes on with those it would have seen.
 * Source: SDM Vol. 2B, "RDRAND", "RDSEED"; Vol. 1, "Random Number Generator Instructions".
 * Timing: base cost RANDOM.
 * Simplified: a value is always ready: CF is 1. */
#include <stdio.h>

#include "models/cpu/access.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

void random_reset(struct cpu *c)
{
	char stream[16];
	snprintf(stream, sizeof stream, "cpu%u.random", c->number);
	rng_init(&c->s.random, c->seed, stream);
}

/* "CF is 1 if the destination is valid; OF, SF, ZF, AF and PF are cleared." */
static void draw(struct cpu *c, const struct uop *u, enum vmx_intercept i)
{
	vmx_intercept(c, u, i);
	reg_set(c, u->reg[0], u->sz[0], rng_u64(&c->s.random));
	flags_set_status(c, RFLAGS_CF);
}

void insn_rdrand(struct cpu *c, const struct uop *u) { draw(c, u, VMX_I_RDRAND); }
void insn_rdseed(struct cpu *c, const struct uop *u) { draw(c, u, VMX_I_RDSEED); }
