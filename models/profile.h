/* profile.h - a CPU profile: numbers only. Rows: profile.def (geometry, latencies) and
 * cpu/cost.def. */
#ifndef MODELS_PROFILE_H
#define MODELS_PROFILE_H

#include "sim/base.h"
#include "sim/err.h"

enum cost {
#define COST(NAME, key, dflt, sentence) COST_##NAME,
#include "models/cpu/cost.def"
	COST_N
};

enum profile_unit { UNIT_HERTZ, UNIT_BITS, UNIT_BYTES, UNIT_COUNT, UNIT_CYCLES, UNIT_NANOSECONDS,
                    UNIT_PERCENT, UNIT_BOOL };

struct profile {
	char name[32];
#define ROW(name, key, unit, min, max, dflt, sentence) uint64_t name;
#include "models/profile.def"
	uint64_t cost[COST_N];          /* cycles */
};

struct profile_row {
	const char *key, *sentence;
	enum profile_unit unit;
	uint64_t min, max, dflt;
	size_t off;                     /* in struct profile */
};
extern const struct profile_row profile_rows[];        /* profile.def, then cost.def as "cost.key" */
extern const size_t profile_rows_n;
const char *profile_unit_name(enum profile_unit u);

void profile_defaults(struct profile *p);
/* Set one row by key; err names the key (with a suggestion) or the range. `where` as in err_set. */
int profile_set(struct profile *p, const char *key, uint64_t value, const char *where,
                struct err *e);
/* Rows that must fit together: ways divide entries, sizes are powers of two where indexed,
 * L2 >= L1. */
int profile_check(const struct profile *p, const char *where, struct err *e);

static inline cycle_t profile_ns(const struct profile *p, uint64_t ns)
{
	return (cycle_t)((unsigned __int128)ns * p->hz / 1000000000u);
}

#endif
