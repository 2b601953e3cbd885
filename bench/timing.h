/* timing.h - host time for the benchmarks here: a clock, and many durations in a line. */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static inline void summary(FILE *f, const char *what, double *ms, unsigned n)
{
	qsort(ms, n, sizeof *ms, by_value);
	fprintf(f, "  %-34s median %7.2f ms   95 %% under %7.2f ms   longest %7.2f ms   (%u)\n", what, ms[n / 2], ms[n * 95 / 100], ms[n - 1], n);
}

#endif
