/* A VM reaches nothing but its own, whatever it executes: random hostile guests under every technique. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "sim/rng.h"
#include "tests/fuzz/fuzz.h"

/* Entries of its page tables point anywhere below 4 GB, mostly near; code is mostly of pieces. */
static size_t hostile(struct rng *rng, unsigned technique, uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)rng_below(rng, 256);
	to[0] = (uint8_t)technique;
	if (rng_below(rng, 4))
		to[1] &= (uint8_t)~2u;  /* real mode seldom: it is interpreted */
	for (size_t i = 512; i < n; i++)
		if (rng_below(rng, 8))
			to[i] &= 127;
	return 512 + rng_below(rng, n - 512);
}

#define EACH 36

Test(isolation, whatever_a_guest_executes, .timeout = 120)
{
	struct rng rng;
	static uint8_t input[1024];
	rng_init(&rng, 7, "isolation");
	for (unsigned t = 0; t < isolation_techniques; t++)
		for (unsigned i = 0; i < EACH; i++)
			fuzz_isolation(input, hostile(&rng, t, input, sizeof input));
}
