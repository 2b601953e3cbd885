/* msr.c - model-specific registers: the table msr.def and the registers that are more than storage.
 *
 * Timing: base costs MSR_READ and MSR_WRITE. Source: SDM Vol. 4; Vol. 3A for each register's
 * meaning.
 * Simplified: memory types (PAT, MTRRs) are kept and checked but do not change what an access
 * costs. */
#include <string.h>

#include "models/cpu/cet.h"
#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

struct msr_def;
typedef bool msr_read_fn(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v);
/* May the value be written? Asked before msr_write_fn, which then just does it; VM entry asks without writing. */
typedef bool msr_valid_fn(const struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v);
typedef void msr_write_fn(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v);

struct msr_def {
	uint32_t first, count;
	uint32_t home;          /* offset in struct cpu_state, NO_HOME */
	uint16_t feature;
	uint64_t reset, valid;
	msr_read_fn *read;
	msr_valid_fn *can;
	msr_write_fn *write;
};
#define NO_HOME (~0u)

#define ARGS_() ((void)c, (void)m, (void)nr, (void)v)
#define VALID(access) static bool msr_valid_##access(const struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
#define WRITE(access) static void msr_write_##access(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)

static uint64_t *home(struct cpu *c, const struct msr_def *m, uint32_t nr)
{
	return m->home == NO_HOME ? NULL : (uint64_t *)((char *)&c->s + m->home) + (nr - m->first);
}

/* ---- storage ---- */

static bool msr_read_RW(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	const uint64_t *p = home(c, m, nr);
	*v = p ? *p : m->reset;
	return true;
}
VALID(RW) { ARGS_(); return !(v & ~m->valid); }
WRITE(RW) { *home(c, m, nr) = v; }

#define msr_read_RO msr_read_RW
VALID(RO) { ARGS_(); return false; }
WRITE(RO) { ARGS_(); }

#define msr_read_WI msr_read_RW
VALID(WI) { ARGS_(); return true; }
#define msr_write_WI msr_write_RO

#define msr_read_CANON msr_read_RW
VALID(CANON) { ARGS_(); return canonical_max(c, v); }
#define msr_write_CANON msr_write_RW

/* ---- control-flow enforcement ---- */

static bool msr_read_CET(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	return cet_exists(c) && msr_read_RW(c, m, nr, v);
}
/* "SUPPRESS ... and TRACKER cannot both be written as 1" */
VALID(CET)
{
	ARGS_();
	return cet_exists(c) && !(v & cet_reserved(c)) && canonical_max(c, v) && (~v & (CET_SUPPRESS | CET_TRACKER));
}
WRITE(CET) { *home(c, m, nr) = v; cet_changed(c); }

#define msr_read_SSP msr_read_RW
VALID(SSP) { ARGS_(); return !(v & 3) && canonical_max(c, v); }
#define msr_write_SSP msr_write_RW

#define msr_read_XSS msr_read_RW
VALID(XSS) { ARGS_(); return !(v & ~xss_valid_bits(c)); }
#define msr_write_XSS msr_write_RW

/* ---- time ---- */

static bool msr_read_TSC(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	(void)m, (void)nr;
	*v = cpu_tsc(c);
	return true;
}
/* "if an execution of WRMSR to IA32_TIME_STAMP_COUNTER adds X to the TSC, the logical processor
 * also adds X to IA32_TSC_ADJUST", and the other way round. SDM Vol. 3B, "Time-Stamp Counter
 * Adjustment". */
static void tsc_add(struct cpu *c, uint64_t by)
{
	c->s.tsc_offset += by;
	c->s.tsc_adjust += by;
	if (c->lapic)
		lapic_tsc_changed(c->lapic);
}
#define msr_valid_TSC msr_valid_WI
WRITE(TSC) { ARGS_(); tsc_add(c, v - cpu_tsc(c)); }

#define msr_read_TSC_ADJUST msr_read_RW
#define msr_valid_TSC_ADJUST msr_valid_WI
WRITE(TSC_ADJUST) { ARGS_(); tsc_add(c, v - c->s.tsc_adjust); }

static bool msr_read_PLATFORM(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	(void)m, (void)nr;
	uint64_t ratio = c->profile->hz / 100000000;
	*v = (ratio & 0xff) << 8 | (ratio & 0xff) << 40;
	return true;
}
#define msr_valid_PLATFORM msr_valid_RO
#define msr_write_PLATFORM msr_write_RO

/* ---- modes ---- */

#define msr_read_LOCKED msr_read_RW
/* "Lock bit: when set, further writes cause #GP(0)" until RESET. 0 lock | 2 VMX outside SMX; there is no SMX */
VALID(LOCKED) { ARGS_(); return !(c->s.feature_control & 1) && !(v & ~5ull); }
#define msr_write_LOCKED msr_write_RW

static bool msr_read_VMX(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	(void)m;
	return vmx_msr_read(c, nr, v);
}
#define msr_valid_VMX msr_valid_RO
#define msr_write_VMX msr_write_RO

#define msr_read_EFER msr_read_RW
VALID(EFER) { ARGS_(); return efer_valid(c, v); }
WRITE(EFER) { ARGS_(); efer_write(c, v); }

/* 34 XD disable | 23 xTPR disable | 22 limit CPUID | 18 MONITOR | 16 EIST | 12 PEBS unavailable, 11
 * BTS unavailable, 7 performance monitoring available: read-only | 3 thermal control | 0 fast
 * strings */
#define MISC_WRITABLE 0x400c50009ull
#define MISC_FIXED    0x1880ull
static bool msr_read_MISC_ENABLE(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	msr_read_RW(c, m, nr, v);
	if (cpu_has(c, FEATURE_PERFMON))
		*v |= BIT(7);
	if (!cpu_has(c, FEATURE_MONITOR))
		*v &= ~MISC_ENABLE_MONITOR;
	return true;
}
VALID(MISC_ENABLE) { ARGS_(); return !(v & ~(MISC_WRITABLE | MISC_FIXED)); }
WRITE(MISC_ENABLE) { ARGS_(); c->s.misc_enable = (v & MISC_WRITABLE) | (c->s.misc_enable & MISC_FIXED); }

/* ---- performance monitoring (pmu.c) ---- */

#define PMU_READ(access, value) \
static bool msr_read_##access(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v) \
{ \
	ARGS_(); \
	*v = value; \
	return true; \
}
static bool general(const struct cpu *c, const struct msr_def *m, uint32_t nr) { return nr - m->first < pmu_general(c); }

static bool msr_read_PMC(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	*v = general(c, m, nr) ? pmu_read(c, nr - m->first) : 0;
	return general(c, m, nr);
}
VALID(PMC) { ARGS_(); return general(c, m, nr); }
WRITE(PMC) { ARGS_(); pmu_write(c, nr - m->first, (uint64_t)(int32_t)v & PMU_MASK); }

static bool full_width(const struct cpu *c) { return cpu_generation(c->profile) >= GEN_SANDYBRIDGE; }
static bool msr_read_A_PMC(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	return full_width(c) && msr_read_PMC(c, m, nr, v);
}
VALID(A_PMC) { ARGS_(); return full_width(c) && general(c, m, nr) && !(v & ~PMU_MASK); }
WRITE(A_PMC) { ARGS_(); pmu_write(c, nr - m->first, v); }
PMU_READ(PERF_CAP, full_width(c) ? BIT(13) : 0)
#define msr_valid_PERF_CAP msr_valid_RO
#define msr_write_PERF_CAP msr_write_RO

PMU_READ(FIXED_CTR, pmu_read(c, PMU_GENERAL_MAX + (nr - m->first)))
VALID(FIXED_CTR) { ARGS_(); return !(v & ~PMU_MASK); }
WRITE(FIXED_CTR) { ARGS_(); pmu_write(c, PMU_GENERAL_MAX + (nr - m->first), v); }

/* Registers that decide what counts: what was counted so far is settled first. */
#define msr_read_PMU msr_read_RW
#define msr_valid_PMU msr_valid_RW
WRITE(PMU) { pmu_changed(c); *home(c, m, nr) = v; pmu_changed(c); }
static bool msr_read_PERFEVTSEL(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	return general(c, m, nr) && msr_read_RW(c, m, nr, v);
}
VALID(PERFEVTSEL) { return general(c, m, nr) && msr_valid_RW(c, m, nr, v); }
#define msr_write_PERFEVTSEL msr_write_PMU
#define msr_read_PERF_GLOBAL msr_read_RW
VALID(PERF_GLOBAL) { ARGS_(); return !(v & ~pmu_global_valid(c)); }
#define msr_write_PERF_GLOBAL msr_write_PMU

static bool msr_read_PMU_STATUS(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	pmu_changed(c);
	return msr_read_RW(c, m, nr, v);
}
#define msr_valid_PMU_STATUS msr_valid_RO
#define msr_write_PMU_STATUS msr_write_RO
#define msr_read_PMU_OVF msr_read_RW
/* 63 CondChgd and 62 OvfBuf are never set, but may be cleared */
VALID(PMU_OVF) { ARGS_(); return !(v & ~(pmu_global_valid(c) | 3ull << 62)); }
WRITE(PMU_OVF) { ARGS_(); pmu_changed(c); c->s.pmu.status &= ~v; }

/* Last-branch registers, model-specific: 4 pairs on Core 2 at numbers of their own, then 16, then 32 with an INFO each. */
static bool lbr_there(const struct cpu *c, uint32_t i)
{
	enum cpu_generation gen = cpu_generation(c->profile);
	return gen >= GEN_NEHALEM && i < (gen >= GEN_SKYLAKE ? LBR_MAX : LBR_MAX / 2);
}
#define LBR(access, there) \
static bool msr_read_##access(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v) \
{ \
	return (there) && msr_read_RW(c, m, nr, v); \
} \
VALID(access) { ARGS_(); return there; }
LBR(LBR, lbr_there(c, nr - m->first))
LBR(LBR_OLD, cpu_generation(c->profile) == GEN_CORE2)
LBR(LBR_INFO, cpu_generation(c->profile) >= GEN_SKYLAKE)
#undef LBR
#define msr_write_LBR msr_write_RW
#define msr_write_LBR_OLD msr_write_RW
#define msr_write_LBR_INFO msr_write_RW

/* ---- memory types ---- */

/* 0 UC, 1 WC, 4 WT, 5 WP, 6 WB; 7 UC- in the PAT alone. */
static bool memory_type(unsigned t, bool pat)
{
	return t == 0 || t == 1 || (t >= 4 && t <= 6) || (pat && t == 7);
}
#define msr_read_MEMTYPES msr_read_RW
VALID(MEMTYPES)
{
	ARGS_();
	for (unsigned i = 0; i < 64; i += 8)
		if (!memory_type(v >> i & 0xff, nr == 0x277))
			return false;
	return true;
}
#define msr_write_MEMTYPES msr_write_RW

#define msr_read_MTRR_DEF msr_read_RW
VALID(MTRR_DEF) { ARGS_(); return !(v & ~0xcffull) && memory_type(v & 0xff, false); }
#define msr_write_MTRR_DEF msr_write_RW

#define msr_read_MTRR_PHYS msr_read_RW
VALID(MTRR_PHYS)
{
	ARGS_();
	uint64_t address = MASK(c->profile->phys_bits) & PAGE_MASK;
	bool mask = nr & 1;
	return !(v & ~(address | (mask ? 0x800 : 0xff))) && (mask || memory_type(v & 0xff, false));
}
#define msr_write_MTRR_PHYS msr_write_RW

/* ---- the local APIC's ---- */

static bool msr_read_LAPIC(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	(void)m;
	return c->lapic && lapic_msr_read(c->lapic, nr, v);
}
VALID(LAPIC) { ARGS_(); return c->lapic && lapic_msr_valid(c->lapic, nr, v); }
WRITE(LAPIC) { ARGS_(); lapic_msr_write(c->lapic, nr, v); }

/* ---- the table ---- */

static const struct msr_def msrs[] = {
#define H(field) offsetof(struct cpu_state, field)
#define NOWHERE NO_HOME
#define FEATURE_ALWAYS FEATURE_N
#define MSR(nr, n, NAME, name, where, rst, access, bits, feat, sentence) \
	{ .first = nr, .count = n, .home = where, .feature = FEATURE_##feat, .reset = rst, .valid = bits, \
	  .read = msr_read_##access, .can = msr_valid_##access, .write = msr_write_##access },
#include "models/cpu/msr.def"
};
const struct msr_row msr_list[] = {
#define MSR(nr, n, NAME, name, where, rst, access, bits, feat, sentence) { nr, n, name, sentence },
#include "models/cpu/msr.def"
};
const size_t msr_list_n = ARRAY_LEN(msr_list);

static const struct msr_def *find(const struct cpu *c, uint32_t nr)
{
	for (size_t i = 0; i < ARRAY_LEN(msrs); i++) {
		const struct msr_def *m = &msrs[i];
		if (nr - m->first < m->count)
			return m->feature == FEATURE_N || cpu_has(c, (enum feature)m->feature) ?
			               m :
			               NULL;
	}
	return NULL;
}

bool msr_read(struct cpu *c, uint32_t nr, uint64_t *v)
{
	const struct msr_def *m = find(c, nr);
	return m && m->read(c, m, nr, v);
}

bool msr_write(struct cpu *c, uint32_t nr, uint64_t v)
{
	const struct msr_def *m = find(c, nr);
	if (!m || !m->can(c, m, nr, v))
		return false;
	m->write(c, m, nr, v);
	return true;
}

bool msr_valid(const struct cpu *c, uint32_t nr, uint64_t v)
{
	const struct msr_def *m = find(c, nr);
	return m && m->can(c, m, nr, v);
}

void msr_reset(struct cpu *c)
{
	for (size_t i = 0; i < ARRAY_LEN(msrs); i++)
		for (uint32_t k = 0; k < msrs[i].count && msrs[i].home != NO_HOME; k++)
			*home(c, &msrs[i], msrs[i].first + k) = msrs[i].reset;
}
