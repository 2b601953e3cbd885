/* Hypercalls with random and nearly right arguments leave the VMM and the other VM unharmed, and the counts right. */
#include <criterion/criterion.h>

#include "sim/rng.h"
#include "tests/fuzz/fuzz.h"

#define EACH 200

static void calls(bool wide)
{
	struct rng rng;
	static uint8_t input[4096];
	rng_init(&rng, 11, wide ? "hypercall64" : "hypercall32");
	for (unsigned i = 0; i < EACH; i++) {
		for (size_t k = 0; k < sizeof input; k++)
			input[k] = (uint8_t)rng_below(&rng, 256);
		input[0] = wide;
		fuzz_hypercall(input, 512 + rng_below(&rng, sizeof input - 512));
	}
}

Test(hypercall, whatever_a_64_bit_kernel_asks_for, .timeout = 120) { calls(true); }
Test(hypercall, whatever_a_32_bit_kernel_asks_for, .timeout = 120) { calls(false); }
