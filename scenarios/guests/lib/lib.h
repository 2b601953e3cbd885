/* lib.h - the few functions that kernel and user programs both need; compiled once for each. */
#ifndef LIB_H
#define LIB_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
bool same_text(const char *a, const char *b);

/* format - a small printf: %s %c %d %u %x, and %lx of unsigned long; a width, and 0 to fill with.
 * Calls put(to, character) for each character of the result.                                   */
void format(void (*put)(void *to, char c), void *to, const char *text, va_list values);

/* A running checksum: equal sums mean equal values in equal order, near enough (FNV-1a's step). */
static inline uint32_t checksum(uint32_t sum, uint32_t value)
{
	sum = (sum ^ value) * 16777619u;
	return sum ^ sum >> 15;
}

/* The next random number (xorshift32, Marsaglia 2003); the state must not be 0. */
static inline uint32_t random_next(uint32_t *state)
{
	uint32_t x = *state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

static inline uint32_t random_start(uint32_t seed)
{
	return seed ? seed : 2463534242u;
}

#endif
