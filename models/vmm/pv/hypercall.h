/* hypercall.h - the table of hypercalls: hypercall.def as rows. */
#ifndef PV_HYPERCALL_H
#define PV_HYPERCALL_H

#include "models/vmm/vmm.h"
#include "models/vmm/pv/abi.h"

struct hypercall_row { const char *name, *arguments, *checks, *sentence; enum vmm_cost cost; };
extern const struct hypercall_row hypercall_rows[PV_CALLS];
extern const struct stat_row hypercall_stat_rows[PV_CALLS];

#endif
