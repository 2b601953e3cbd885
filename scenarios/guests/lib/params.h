/* params.h - what a workload can be told on the command line; kernel and user programs share it. */
#ifndef PARAMS_H
#define PARAMS_H

#include <stdint.h>

struct params {
	uint32_t n;		/* n=	 how often */
	uint32_t size;		/* size= bytes of memory to work on */
	uint32_t seed;		/* seed= of the random numbers */
	uint32_t hz;		/* hz=	 timer interrupts per second, 0: none */
	uint32_t page_bytes;	/* pages=4k or 2m */
	uint32_t updates;	/* updates= page-table updates per 1000 memory accesses */
	uint32_t tsc;		/* tsc=1 prints TSC cycles of the region of interest */
};

/* Which of them a workload listens to; the others are refused. */
enum {
	N = 1,
	SIZE = 2,
	SEED = 4,
	HZ = 8,
	PAGES = 16,
	UPDATES = 32,
};

#endif
