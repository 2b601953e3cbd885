/* cpuid.h - what this CPU says it has, by name.
 *
 * A feature is a row of cpuid.def. Decoding asks cpu_has(): an instruction whose feature is not
 * advertised is #UD, so CPUID and behaviour cannot drift apart. Source: SDM Vol. 2A, "CPUID". */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include "models/cpu/cpu.h"

/* Generations, oldest first: a profile's name says which it is; an unknown name is the newest. */
enum cpu_generation { GEN_PRESCOTT, GEN_CORE2, GEN_NEHALEM, GEN_SANDYBRIDGE, GEN_HASWELL,
                      GEN_SKYLAKE };
enum cpu_generation cpu_generation(const struct profile *p);

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

enum feature {
#define FEATURE(NAME, name, leaf, sub, reg, bit, since, modelled, sentence) FEATURE_##NAME,
#include "models/cpu/cpuid.def"
	FEATURE_N
};
_Static_assert(FEATURE_N <= 256, "cpu->features is four words");

struct feature_row { const char *name; uint32_t leaf, sub; uint8_t reg, bit, since, modelled; const char *sentence; };
extern const struct feature_row feature_rows[FEATURE_N];

static inline bool cpu_has(const struct cpu *c, enum feature f)
{
	return c->features[f / 64] >> (f % 64) & 1;
}

void cpuid_init(struct cpu *c);         /* fills c->features from the profile, less c->hidden: RESET */
/* EAX, EBX, ECX, EDX of a leaf, as the CPUID instruction would return them now. */
void cpuid_leaf(const struct cpu *c, uint32_t leaf, uint32_t sub, uint32_t out[4]);

#endif
