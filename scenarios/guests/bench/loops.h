/* loops.h - the loops of loops.S and what one iteration of each costs in instructions. */
#ifndef BENCH_LOOPS_H
#define BENCH_LOOPS_H

#include <stdint.h>

enum {
	FILL_BYTES_INSNS = 4,	/* per byte set */
	CROSS_OUT_INSNS = 4,	/* per byte cleared */
	SUM_BYTES_INSNS = 4,	/* per byte added */
	COPY_WORDS_INSNS = 5,	/* per 8 bytes copied */
	CHASE_INSNS = 3,	/* per step */
};

void fill_bytes(uint8_t *sieve, uint64_t n);
void cross_out(uint8_t *sieve, uint64_t start, uint64_t step, uint64_t end);
uint64_t sum_bytes(const uint8_t *sieve, uint64_t n);
void copy_words(uint64_t *to, const uint64_t *from, uint64_t words);
void *chase(void *node, uint64_t steps);

/* The simulator finds these two by name and measures from one to the other. */
void roi_begin(void);
void roi_end(void);

#endif
