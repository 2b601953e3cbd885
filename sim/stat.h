/* stat.h - statistics: counters with a name, a unit and a sentence.
 *
 * A module keeps its rows in a .def and its counters in a plain array:
 *     STAT(TLB_MISS_D, "tlb.d.miss", COUNT, "data-TLB lookups that found no entry")
 *     uint64_t stat[MMU_STAT_N];      m->stat[MMU_STAT_TLB_MISS_D]++;
 * and tells the registry once, while the machine is built, under a prefix ("cpu0"). Printed,
 * scripted and listed name: prefix + "." + name. */
#ifndef SIM_STAT_H
#define SIM_STAT_H

#include "sim/base.h"

enum stat_unit { STAT_COUNT, STAT_CYCLES, STAT_BYTES, STAT_UNIT_N };

struct stat_row { const char *name; enum stat_unit unit; const char *sentence; };

struct stat_set {
	char prefix[24];
	const struct stat_row *rows;
	size_t n;
	uint64_t *values;               /* borrowed: the module's array */
};

struct stats { struct stat_set *sets; size_t n, room; };

void stats_fini(struct stats *s);
void stats_add(struct stats *s, const char *prefix, const struct stat_row *rows, size_t n,
               uint64_t *values);
/* Value by full name; false when there is none. */
bool stats_get(const struct stats *s, const char *name, uint64_t *value);
void stats_reset(struct stats *s);
/* Call fn for each in registration order. */
typedef void stats_visit(void *arg, const char *name, const struct stat_row *row, uint64_t value);
void stats_each(const struct stats *s, stats_visit *fn, void *arg);

#endif
