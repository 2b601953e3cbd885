/* technique.h - is a pair of techniques legal? */
#ifndef UI_CLI_TECHNIQUE_H
#define UI_CLI_TECHNIQUE_H

#include "sim/err.h"

struct technique_row { const char *cpu, *mmus, *usual, *what, *why; };
extern const struct technique_row technique_rows[];
extern const size_t technique_rows_n;
struct mmu_row { const char *name, *what, *more; };
extern const struct mmu_row mmu_rows[];
extern const size_t mmu_rows_n;

/* The memory virtualization a CPU virtualization goes with when none is named; NULL: there is no such. */
const char *technique_mmu(const char *cpu);
bool technique_is_mmu(const char *word, size_t n);      /* word[0..n-1] names a memory virtualization */
/* NULL means not given. 0 when the pair can be run. */
int technique_check(const char *cpu, const char *mmu, struct err *e);

#endif
