/* flat.h - results and statistics as lists of names and values. */
#ifndef UI_DIFF_FLAT_H
#define UI_DIFF_FLAT_H

#include "sim/err.h"

struct flat {
	struct flat_value { char *name, *value; size_t order; } *v;
	size_t n, room;
};

/* A JSON document: names are paths, machines.0.stats.cpu0.walk; lines of a --stats table: their names. */
int flat_json(struct flat *f, const char *path, struct err *e);
int flat_table(struct flat *f, const char *path, struct err *e);
void flat_fini(struct flat *f);
const struct flat_value *flat_find(const struct flat *f, const char *name);     /* in a sorted one */
void flat_sort(struct flat *f);

#endif
