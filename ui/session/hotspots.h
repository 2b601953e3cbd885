/* hotspots.h - where the time of a run went, by address: the run is executed once more up to now and looked at every few
 * instructions. The time since the last look is put down to the place that runs. Always the same for the same stretch. */
#ifndef UI_SESSION_HOTSPOTS_H
#define UI_SESSION_HOTSPOTS_H

#include "ui/session/travel.h"

struct hotspot { uint64_t lin; unsigned acct; cycle_t cycles; };        /* acct: of the ledger, by VM and by kernel or user */
struct hotspots {
	struct moment from, to;
	struct hotspot *at;             /* by account, then by address */
	size_t n;
	cycle_t total;
	unsigned looks;
};

/* Over the last `insns` instructions before now at most; `stop` may end it early (then it covers less). Now stays now. */
void hotspots_take(struct hotspots *h, const struct run *r, struct timeline *t, uint64_t insns, unsigned looks,
                   bool (*stop)(void *who), void *who);
void hotspots_fini(struct hotspots *h);
cycle_t hotspots_at(const struct hotspots *h, unsigned acct, uint64_t from, uint64_t to);      /* cycles in [from, to) */
/* The symbols of the software an account pays for. */
const struct symtab *hotspots_symbols(const struct machine *m, unsigned acct);

#endif
