/* fpstate.h - the x87, SSE and PKRU state as FXSAVE and the XSAVE family lay it out.
 * CPUID leaf 0DH tells software these numbers: cpuid.c takes them from here. */
#ifndef CPU_FPSTATE_H
#define CPU_FPSTATE_H

#include "models/cpu/cpu.h"

enum { XSTATE_X87 = 1, XSTATE_SSE = 2, XSTATE_AVX = 4, XSTATE_PKRU = 512 };
enum {
	XSAVE_HEADER = 512, XSAVE_EXTENDED = 576,
	XSAVE_PKRU_OFFSET = 576, XSAVE_PKRU_SIZE = 8, XSAVE_MAX = 584
};

/* Bytes an XSAVE area needs for the components in `mask` (standard and compacted formats agree:
 * PKRU comes first). */
static inline unsigned xsave_size(uint64_t mask)
{
	return mask & XSTATE_PKRU ? XSAVE_MAX : XSAVE_EXTENDED;
}
/* XCR0 & XINUSE, which XGETBV with ECX = 1 returns. */
uint64_t xsave_in_use(const struct cpu *c);
void fpu_reset(struct cpu *c);          /* RESET; INIT leaves all of it alone */

#endif
