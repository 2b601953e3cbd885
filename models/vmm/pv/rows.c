/* rows.c - the table of hypercalls for others; their statistics. */
#include "models/vmm/pv/hypercall.h"

const struct hypercall_row hypercall_rows[PV_CALLS] = {
#define HYPERCALL(nr, NAME, name, arguments, cost, checks, sentence) [nr] = { #name, arguments, checks, sentence, VMM_COST_##cost },
#include "models/vmm/pv/hypercall.def"
};

const struct stat_row hypercall_stat_rows[PV_CALLS] = {
#define HYPERCALL(nr, NAME, name, arguments, cost, checks, sentence) [nr] = { "hypercall." #name, STAT_COUNT, "hypercalls " #name ": " sentence },
#include "models/vmm/pv/hypercall.def"
};
