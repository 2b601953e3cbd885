/* fpstate.h - the x87, SSE, PKRU and CET state as FXSAVE and the XSAVE family lay it out.
 * CPUID leaf 0DH tells software these numbers: cpuid.c takes them from here. */
#ifndef CPU_FPSTATE_H
#define CPU_FPSTATE_H

#include "models/cpu/cpu.h"

enum { XSTATE_X87 = 1, XSTATE_SSE = 2, XSTATE_AVX = 4, XSTATE_PKRU = 512,
       XSTATE_CET_U = 2048, XSTATE_CET_S = 4096 /* chosen by IA32_XSS */ };
enum {
	XSAVE_HEADER = 512, XSAVE_EXTENDED = 576,
	XSAVE_PKRU_OFFSET = 576, XSAVE_PKRU_SIZE = 8, XSAVE_CET_U_SIZE = 16, XSAVE_CET_S_SIZE = 24, XSAVE_MAX = 624
};

/* Where component `bit` begins when those in `mask` are saved: without CET's the standard and compacted formats agree, as
 * PKRU comes first. */
static inline unsigned xsave_offset(uint64_t mask, uint64_t bit)
{
	unsigned at = XSAVE_EXTENDED;
	at += mask & XSTATE_PKRU && bit > XSTATE_PKRU ? XSAVE_PKRU_SIZE : 0;
	at += mask & XSTATE_CET_U && bit > XSTATE_CET_U ? XSAVE_CET_U_SIZE : 0;
	at += mask & XSTATE_CET_S && bit > XSTATE_CET_S ? XSAVE_CET_S_SIZE : 0;
	return at;
}
/* Bytes an XSAVE area needs for the components in `mask`. */
static inline unsigned xsave_size(uint64_t mask) { return xsave_offset(mask, ~0ull); }
/* XCR0 & XINUSE, which XGETBV with ECX = 1 returns. */
uint64_t xsave_in_use(const struct cpu *c);
void fpu_reset(struct cpu *c);          /* RESET; INIT leaves all of it alone */

#endif
