/* rows.c - the modelled VMM's tables for others: costs of its software, statistics of a VM, trace events. */
#include "models/vmm/vmm.h"

const struct vmm_cost_row vmm_cost_rows[VMM_COSTS] = {
#define COST(NAME, name, cycles, why, sentence) { name, sentence, cycles, why },
#include "models/vmm/cost.def"
};

const struct stat_row vmm_stat_rows[VMM_STAT_N] = {
#define STAT(NAME, name, unit, sentence) { name, STAT_##unit, sentence },
#include "models/vmm/vmm_stat.def"
};

const struct trace_row vmm_trace_rows[] = {     /* at TRACE_VMM */
#define EVENT(NAME, name, args, sentence) { name, args, sentence },
#include "models/vmm/vmm_trace.def"
};
const size_t vmm_trace_rows_n = ARRAY_LEN(vmm_trace_rows);
