/* memory.c - memory and computing: random updates, pointer chase, streams, sieve. */
#include "user.h"

/* The largest power of two that is not above x. */
static uint32_t power_of_two(uint32_t x)
{
	uint32_t power = 1;

	while (power <= x / 2)
		power *= 2;
	return power;
}

/* Random updates as in HPCC RandomAccess: read, exclusive or, write.  2^k words. */
int user_gups(const struct params *p)
{
	uint32_t words = power_of_two(p->size / sizeof(uint32_t));
	uint32_t *table = map(p, p->size), x = random_start(p->seed), sum = 0;

	for (uint32_t i = 0; i < words; i++)
		table[i] = i;
	roi_start();
	for (uint32_t i = 0; i < p->n; i++) {
		random_next(&x);
		table[x & (words - 1)] ^= x;
	}
	roi_stop();
	for (uint32_t i = 0; i < words; i++)
		sum = checksum(sum, table[i]);
	print("gups n=%u: %u words, checksum 0x%08x: ok\n", p->n, words, sum);
	return 0;
}

/* One node per cache line, linked to a single cycle in random order (Sattolo's shuffle). */
struct node {
	uint32_t next;
	uint32_t visits;
	uint32_t rest[14];
};

int user_chase(const struct params *p)
{
	uint32_t count = p->size / sizeof(struct node), x = random_start(p->seed), at = 0;
	struct node *node = map(p, p->size);

	for (uint32_t i = 0; i < count; i++)
		node[i].next = i;
	for (uint32_t i = count - 1; i > 0; i--) {
		uint32_t j = random_next(&x) % i, t = node[i].next;

		node[i].next = node[j].next;
		node[j].next = t;
	}
	roi_start();
	for (uint32_t i = 0; i < p->n; i++)
		at = node[at].next;
	roi_stop();
	print("chase n=%u: %u nodes, ends at %u: ok\n", p->n, count, at);
	return 0;
}

int user_stream(const struct params *p)
{
	uint32_t words = p->size / 3 / sizeof(uint32_t), sum = 0;
	uint32_t *a = map(p, p->size), *b = a + words, *c = b + words;

	for (uint32_t i = 0; i < words; i++)
		a[i] = i * 2654435761u;
	roi_start();
	for (uint32_t turn = 0; turn < p->n; turn++) {
		for (uint32_t i = 0; i < words; i++)
			b[i] = a[i];
		for (uint32_t i = 0; i < words; i++)
			c[i] = a[i] + b[i];
		a[turn % words]++;
	}
	roi_stop();
	for (uint32_t i = 0; i < words; i++)
		sum = checksum(sum, c[i]);
	print("stream n=%u: %u words each, checksum 0x%08x: ok\n", p->n, words, sum);
	return 0;
}

int user_sieve(const struct params *p)
{
	uint8_t *composite = map(p, p->n);
	uint32_t primes = 0;

	roi_start();
	for (uint32_t i = 2; i < p->n; i++) {
		if (composite[i])
			continue;
		primes++;
		for (uint32_t j = i; j <= (p->n - 1) / i; j++)
			composite[i * j] = 1;
	}
	roi_stop();
	print("sieve n=%u: %u primes: ok\n", p->n, primes);
	return 0;
}
