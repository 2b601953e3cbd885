/* flags.h - RFLAGS, kept lazily.
 *
 * An arithmetic instruction stores its result and its carry vector; a flag is computed when
 * somebody asks.
 *   ZF = cc_zr == 0                       (result, sign-extended to 64 bits)
 *   SF = bit 63 of cc_sp                  (the same, unless POPF and friends set flags by hand)
 *   PF = even parity of cc_sp's low byte
 *   cc_aux: 63 carry out | 62 carry into the sign bit | 3 carry out of bit 3; so CF = bit 63,
 *           OF = bit 63 ^ bit 62, AF = bit 3. A borrow is a carry here, as in the flags. */
#ifndef CPU_FLAGS_H
#define CPU_FLAGS_H

#include "models/cpu/cpu.h"

static inline bool flag_cf(const struct cpu *c) { return c->s.cc_aux >> 63; }
static inline bool flag_zf(const struct cpu *c) { return c->s.cc_zr == 0; }
static inline bool flag_sf(const struct cpu *c) { return c->s.cc_sp >> 63; }
static inline bool flag_of(const struct cpu *c) { return (c->s.cc_aux ^ c->s.cc_aux << 1) >> 63; }
static inline bool flag_af(const struct cpu *c) { return c->s.cc_aux >> 3 & 1; }
static inline bool flag_pf(const struct cpu *c) { return !__builtin_parity(c->s.cc_sp & 0xff); }

/* Condition codes as encoded in Jcc: bit 0 negates. SDM Vol. 1, "EFLAGS Condition Codes". */
static inline bool flag_cc(const struct cpu *c, unsigned cc)
{
	bool v;
	switch (cc >> 1) {
	case 0: v = flag_of(c); break;
	case 1: v = flag_cf(c); break;
	case 2: v = flag_zf(c); break;
	case 3: v = flag_cf(c) || flag_zf(c); break;
	case 4: v = flag_sf(c); break;
	case 5: v = flag_pf(c); break;
	case 6: v = flag_sf(c) != flag_of(c); break;
	default: v = flag_zf(c) || (flag_sf(c) != flag_of(c)); break;
	}
	return v ^ (cc & 1);
}

static inline uint64_t flags_status(const struct cpu *c)
{
	return (uint64_t)flag_cf(c) | (uint64_t)flag_pf(c) << 2 | (uint64_t)flag_af(c) << 4 |
	       (uint64_t)flag_zf(c) << 6 | (uint64_t)flag_sf(c) << 7 | (uint64_t)flag_of(c) << 11;
}

static inline void flags_set_status(struct cpu *c, uint64_t f)
{
	uint64_t cf = f & 1, of = f >> 11 & 1;
	c->s.cc_zr = !(f & RFLAGS_ZF);
	c->s.cc_sp = (f & RFLAGS_SF) << 56 | !(f & RFLAGS_PF);
	c->s.cc_aux = cf << 63 | (cf ^ of) << 62 | (f & RFLAGS_AF) >> 1;
}

static inline void flags_set_cf(struct cpu *c, bool cf)         /* CF alone */
{
	bool of = flag_of(c);
	c->s.cc_aux = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62 | (c->s.cc_aux & 8);
}

static inline uint64_t cpu_rflags(const struct cpu *c) { return c->s.flags | flags_status(c); }

/* Overwrite the bits in mask. The caller has decided which may change; whoever changes IF, TF, VM,
 * AC or IOPL calls cpu_mode_changed() (AC, VM) and cpu_attention() (IF, TF) afterwards. */
static inline void cpu_set_rflags(struct cpu *c, uint64_t v, uint64_t mask)
{
	uint64_t all = (cpu_rflags(c) & ~mask) | (v & mask);
	flags_set_status(c, all);
	c->s.flags = (all & ~(uint64_t)RFLAGS_STATUS) | 2;
}

#endif
