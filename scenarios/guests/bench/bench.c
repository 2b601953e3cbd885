/* bench.c - a CPU-bound 64-bit guest for measuring how fast a simulator runs on its host.
 *
 * command line: rounds=10 sieve=1000000 copy=1000000 chase=1000000 span=8m (numbers, or with k or m)
 *	one round = sieve of Eratosthenes over `sieve` bytes, copy of `copy` bytes, pointer chase of
 *	`chase` steps through `span` bytes, at most 8 MiB; 0 leaves a part out.
 * prints: the parameters, a checksum of all results, and the number of guest instructions that the
 *	measured loops executed (exact for the loops; what surrounds them is under 1 %).
 * No device but the UART, no interrupt, no clock.                                                */
#include "loops.h"

enum {
	SIEVE_MAX = 16 << 20,
	COPY_MAX = 16 << 20,
	NODE_BYTES = 64,	/* one cache line each */
	NODES_MAX = 128 * 1024,	/* 8 MiB */
};

struct node {
	struct node *next;
	uint8_t rest[NODE_BYTES - sizeof(struct node *)];
};

static uint8_t sieve[SIEVE_MAX];
/* Not a power of two apart: each access would evict the other's entry in a direct-mapped
 * translation cache (simulators have such), and the copy would measure nothing else. */
enum { APART = 3 * 4096 / 8 };
static uint64_t copy_from[COPY_MAX / 8 + APART], copy_to[COPY_MAX / 8 + APART];
static struct node nodes[NODES_MAX];
static uint64_t instructions;

static void put_char(char c)
{
	uint8_t status;

	do
		__asm__ volatile("inb %w1, %b0" : "=a"(status) : "Nd"(0x3FD));
	while (!(status & 0x20));
	__asm__ volatile("outb %b0, %w1" : : "a"(c), "Nd"(0x3F8));
}

static void put_text(const char *s)
{
	while (*s)
		put_char(*s++);
}

static void put_number(uint64_t n)
{
	if (n >= 10)
		put_number(n / 10);
	put_char((char)('0' + n % 10));
}

static void put_field(const char *name, uint64_t n)
{
	put_text(name);
	put_number(n);
}

/* The value of "name=" in the command line, which may end in k or m; else `otherwise`. */
static uint64_t parameter(const char *line, const char *name, uint64_t otherwise)
{
	for (; *line; line++) {
		const char *a = line, *b = name;
		uint64_t n = 0;

		while (*b && *a == *b)
			a++, b++;
		if (*b || *a != '=')
			continue;
		for (a++; *a >= '0' && *a <= '9'; a++)
			n = n * 10 + (uint64_t)(*a - '0');
		if (*a == 'k' || *a == 'K')
			n <<= 10;
		if (*a == 'm' || *a == 'M')
			n <<= 20;
		return n;
	}
	return otherwise;
}

static uint64_t at_most(uint64_t n, uint64_t limit)
{
	return n < limit ? n : limit;
}

static uint64_t run_sieve(uint64_t n)
{
	if (n < 3)
		return 0;
	fill_bytes(sieve, n);
	sieve[0] = sieve[1] = 0;
	instructions += n * FILL_BYTES_INSNS;
	for (uint64_t p = 2; p * p < n; p++) {
		if (!sieve[p])
			continue;
		cross_out(sieve, p * p, p, n);
		instructions += (n - p * p + p - 1) / p * CROSS_OUT_INSNS;
	}
	instructions += n * SUM_BYTES_INSNS;
	return sum_bytes(sieve, n);
}

static uint64_t run_copy(uint64_t bytes, uint64_t round)
{
	uint64_t words = bytes / 8;

	if (!words)
		return 0;
	copy_from[round % words] += round + 1;
	copy_words(copy_to, copy_from, words);
	instructions += words * COPY_WORDS_INSNS;
	return copy_to[round % words];
}

/* A single cycle through all nodes in an order that no prefetcher guesses (Sattolo's shuffle). */
static void chase_prepare(uint32_t n)
{
	static uint32_t order[NODES_MAX];
	uint32_t x = 2463534242u;

	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t j, t;

		x ^= x << 13, x ^= x >> 17, x ^= x << 5;
		j = x % i;
		t = order[i], order[i] = order[j], order[j] = t;
	}
	for (uint32_t i = 0; i < n; i++)
		nodes[order[i]].next = &nodes[order[(i + 1) % n]];
}

static uint64_t run_chase(uint64_t steps)
{
	static struct node *at = nodes;

	if (!steps)
		return 0;
	at = chase(at, steps);
	instructions += steps * CHASE_INSNS;
	return (uint64_t)(at - nodes);
}

static const char *command_line(const uint32_t *info)
{
	return info[0] & 4 ? (const char *)(uintptr_t)info[4] : "";	/* flags bit 2; cmdline */
}

void bench_main(const uint32_t *multiboot_info)
{
	static char line[256];
	const char *given = command_line(multiboot_info);
	uint64_t rounds, n, bytes, steps, span, sum = 0;

	for (unsigned i = 0; i + 1 < sizeof(line) && given[i]; i++)
		line[i] = given[i];
	rounds = parameter(line, "rounds", 10);
	n = at_most(parameter(line, "sieve", 1000000), SIEVE_MAX);
	bytes = at_most(parameter(line, "copy", 1000000), COPY_MAX);
	steps = parameter(line, "chase", 1000000);
	span = at_most(parameter(line, "span", sizeof nodes), sizeof nodes);
	if (span < 2 * NODE_BYTES)
		span = 2 * NODE_BYTES;

	put_field("bench64 rounds=", rounds);
	put_field(" sieve=", n);
	put_field(" copy=", bytes);
	put_field(" chase=", steps);
	put_field(" span=", span);
	put_text("\n");

	if (steps)
		chase_prepare((uint32_t)(span / NODE_BYTES));
	roi_begin();
	for (uint64_t round = 0; round < rounds; round++) {
		sum = sum * 31 + run_sieve(n);
		sum = sum * 31 + run_copy(bytes, round);
		sum = sum * 31 + run_chase(steps);
	}
	roi_end();

	put_field("bench64: checksum ", sum);
	put_field(", instructions ", instructions);
	put_text(": ok\n");
}
