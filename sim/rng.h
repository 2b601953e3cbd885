/* rng.h - seeded, named random streams: adding a device does not shift the others. xoshiro256**. */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include "sim/base.h"

struct rng { uint64_t s[4]; };
void rng_init(struct rng *r, uint64_t seed, const char *stream);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);     /* uniform in [0, n) */

#endif
