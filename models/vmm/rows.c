/* rows.c - the modelled VMM's tables for others: statistics of a VM, trace events. */
#include "models/vmm/vmm.h"

const struct stat_row vmm_stat_rows[VMM_STAT_N] = {
#define STAT(NAME, name, unit, sentence) { name, STAT_##unit, sentence },
#include "models/vmm/vmm_stat.def"
};

const struct trace_row vmm_trace_rows[] = {     /* at TRACE_VMM */
#define EVENT(NAME, name, args, sentence) { name, args, sentence },
#include "models/vmm/vmm_trace.def"
};
const size_t vmm_trace_rows_n = ARRAY_LEN(vmm_trace_rows);
