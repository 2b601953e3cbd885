/* rows.c - the MMU's tables for others: statistics, trace events, fields. */
#include <stddef.h>

#include "models/mmu/mmu.h"

const struct stat_row mmu_stat_rows[MMU_STAT_N] = {
#define STAT(NAME, name, unit, sentence) { name, STAT_##unit, sentence },
#include "models/mmu/mmu_stat.def"
};

const struct trace_row mmu_trace_rows[] = {
#define EVENT(NAME, name, args, sentence) { name, args, sentence },
#include "models/mmu/mmu_trace.def"
};
const size_t mmu_trace_rows_n = ARRAY_LEN(mmu_trace_rows);

/* All read-only: a register changes through mmu_set_cr3 and the like, which flush. */
#define GET(fn, expr) static uint64_t fn(const void *obj) { const struct mmu *m = obj; return expr; }
GET(get_levels, m->paging.levels)
GET(get_pcid, m->paging.pcid)
GET(get_cr3, m->cr3)
GET(get_pdpte0, m->pdpte[0])
GET(get_pdpte1, m->pdpte[1])
GET(get_pdpte2, m->pdpte[2])
GET(get_pdpte3, m->pdpte[3])
GET(get_pkru, m->pkru)
GET(get_walk_lin, m->last_walk.lin)
GET(get_walk_pa, m->last_walk.hpa.v)
GET(get_walk_refs, m->last_walk.n)
GET(get_walk_cycles, m->last_walk.cycles)

const struct field_row mmu_fields[] = {
	{ .name = "levels",      .size = 1, .decimal = 1, .get = get_levels, .what = "levels of the paging mode in force; 0: paging is off" },
	{ .name = "pcid",        .size = 2, .get = get_pcid,     .what = "current process-context identifier" },
	{ .name = "cr3",         .size = 8, .get = get_cr3,      .what = "base of the paging structures, as the MMU obeys it" },
	{ .name = "pdpte0",      .size = 8, .get = get_pdpte0,   .what = "page-directory-pointer-table entry for 0-1 GB (PAE paging)" },
	{ .name = "pdpte1",      .size = 8, .get = get_pdpte1,   .what = "page-directory-pointer-table entry for 1-2 GB (PAE paging)" },
	{ .name = "pdpte2",      .size = 8, .get = get_pdpte2,   .what = "page-directory-pointer-table entry for 2-3 GB (PAE paging)" },
	{ .name = "pdpte3",      .size = 8, .get = get_pdpte3,   .what = "page-directory-pointer-table entry for 3-4 GB (PAE paging)" },
	{ .name = "pkru",        .size = 4, .get = get_pkru,     .what = "protection-key rights for user pages" },
	{ .name = "walk.lin",    .size = 8, .get = get_walk_lin, .what = "linear address of the most recent page walk" },
	{ .name = "walk.pa",     .size = 8, .get = get_walk_pa,  .what = "physical address it found" },
	{ .name = "walk.refs",   .size = 4, .decimal = 1, .get = get_walk_refs, .what = "steps it took" },
	{ .name = "walk.cycles", .size = 4, .decimal = 1, .get = get_walk_cycles, .what = "cycles it took" },
};
const size_t mmu_fields_n = ARRAY_LEN(mmu_fields);
