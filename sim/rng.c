/* rng.c - xoshiro256** by Blackman and Vigna (2018), seeded through splitmix64 from the seed and
 * the stream's name. */
#include "sim/rng.h"

static uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void rng_init(struct rng *r, uint64_t seed, const char *stream)
{
	uint64_t h = 0xcbf29ce484222325;        /* FNV-1a of the name */

	for (; *stream; stream++)
		h = (h ^ (uint8_t)*stream) * 0x100000001b3;
	h ^= splitmix(&seed);
	for (unsigned i = 0; i < 4; i++)
		r->s[i] = splitmix(&h);
}

uint64_t rng_u64(struct rng *r)
{
	uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return out;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	/* 2^64 mod n: values below it would bias the result */
	uint64_t v, reject = n ? (0 - n) % n : 0;

	if (n == 0)
		return 0;
	do
		v = rng_u64(r);
	while (v < reject);
	return v % n;
}
