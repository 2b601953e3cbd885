/* ticks.h - from the CPU clock to a chip's own oscillator and back, exactly.
 *
 * Tick k of an oscillator of f hertz falls on the first cycle c with floor(c * f / hz) >= k. Both
 * directions are integer arithmetic in 128 bits, so nothing drifts however long a run is. */
#ifndef IO_TICKS_H
#define IO_TICKS_H

#include "sim/base.h"

static inline uint64_t ticks_at(cycle_t c, uint64_t f, uint64_t hz)
{
	return (uint64_t)((unsigned __int128)c * f / hz);
}

static inline cycle_t ticks_cycle(uint64_t tick, uint64_t f, uint64_t hz)
{
	return (cycle_t)(((unsigned __int128)tick * hz + f - 1) / f);
}

#endif
