/* pmu.h - what a CPU keeps of performance monitoring: plain data, part of struct cpu_state. See pmu.c. */
#ifndef CPU_PMU_H
#define CPU_PMU_H

#include "sim/base.h"

enum { PMU_GENERAL_MAX = 8, PMU_FIXED = 3, PMU_COUNTERS = PMU_GENERAL_MAX + PMU_FIXED };
enum { LBR_MAX = 32 };
#define PMU_MASK MASK(48)       /* a counter's width */

struct pmu_state {
	uint64_t select[PMU_GENERAL_MAX];       /* IA32_PERFEVTSELx */
	uint64_t fixed_ctrl, global, status;    /* IA32_FIXED_CTR_CTRL, IA32_PERF_GLOBAL_CTRL, IA32_PERF_GLOBAL_STATUS */
	uint64_t count[PMU_COUNTERS];           /* general counters first, fixed ones from PMU_GENERAL_MAX */
	uint64_t from[PMU_COUNTERS];            /* of those that count: how much of its event there had been when `count` was right */
	uint64_t lbr[3][LBR_MAX], lbr_select, lbr_tos;  /* last-branch registers: kept, nothing is recorded */
	uint32_t counting;                      /* counters that have been counting since */
	uint16_t enabled;                       /* counters that count at some privilege level */
	uint16_t user;                          /* `counting` are those of CPL 1-3 */
};

#endif
