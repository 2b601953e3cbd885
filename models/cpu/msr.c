/* msr.c - model-specific registers: the table msr.def and the registers that are more than storage.
 *
 * Timing: base costs MSR_READ and MSR_WRITE. Source: SDM Vol. 4; Vol. 3A for each register's
 * meaning.
 * Simplified: memory types (PAT, MTRRs) are kept and checked but do not change what an access
 * costs. */
#include <string.h>

#include "models/cpu/lapic.h"
#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmx.h"

struct msr_def;
typedef bool msr_read_fn(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v);
typedef bool msr_write_fn(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v);

struct msr_def {
	uint32_t first, count;
	uint32_t home;          /* offset in struct cpu_state, NO_HOME */
	uint16_t feature;
	uint64_t reset, valid;
	msr_read_fn *read;
	msr_write_fn *write;
};
#define NO_HOME (~0u)

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
static bool msr_write_RW(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	if (v & ~m->valid)
		return false;
	*home(c, m, nr) = v;
	return true;
}
#define msr_read_RO msr_read_RW
static bool msr_write_RO(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	(void)c, (void)m, (void)nr, (void)v;
	return false;
}
#define msr_read_WI msr_read_RW
static bool msr_write_WI(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	(void)c, (void)m, (void)nr, (void)v;
	return true;
}
#define msr_read_CANON msr_read_RW
static bool msr_write_CANON(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	if (!canonical_max(c, v))
		return false;
	*home(c, m, nr) = v;
	return true;
}

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
static bool msr_write_TSC(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	(void)m, (void)nr;
	tsc_add(c, v - cpu_tsc(c));
	return true;
}
#define msr_read_TSC_ADJUST msr_read_RW
static bool msr_write_TSC_ADJUST(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	(void)m, (void)nr;
	tsc_add(c, v - c->s.tsc_adjust);
	return true;
}

static bool msr_read_PLATFORM(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	(void)m, (void)nr;
	uint64_t ratio = c->profile->hz / 100000000;
	*v = (ratio & 0xff) << 8 | (ratio & 0xff) << 40;
	return true;
}
#define msr_write_PLATFORM msr_write_RO

/* ---- modes ---- */

#define msr_read_LOCKED msr_read_RW
static bool msr_write_LOCKED(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	uint64_t *p = home(c, m, nr);
	if (*p & 1)     /* "Lock bit: when set, further writes cause #GP(0)" until RESET */
		return false;
	if (v & ~5ull)  /* 0 lock | 2 VMX outside SMX; there is no SMX */
		return false;
	*p = v;
	return true;
}

static bool msr_read_VMX(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	(void)m;
	return vmx_msr_read(c, nr, v);
}
#define msr_write_VMX msr_write_RO

#define msr_read_EFER msr_read_RW
static bool msr_write_EFER(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	(void)m, (void)nr;
	return efer_write(c, v);
}

/* 34 XD disable | 23 xTPR disable | 22 limit CPUID | 18 MONITOR | 16 EIST | 12 PEBS unavailable, 11
 * BTS unavailable, 7 performance monitoring available: read-only | 3 thermal control | 0 fast
 * strings */
#define msr_read_MISC_ENABLE msr_read_RW
static bool msr_write_MISC_ENABLE(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	const uint64_t writable = 0x400c50009, fixed = 0x1880;
	(void)m, (void)nr;
	if (v & ~(writable | fixed))
		return false;
	c->s.misc_enable = (v & writable) | (c->s.misc_enable & fixed);
	return true;
}

/* ---- memory types ---- */

/* 0 UC, 1 WC, 4 WT, 5 WP, 6 WB; 7 UC- in the PAT alone. */
static bool memory_type(unsigned t, bool pat)
{
	return t == 0 || t == 1 || (t >= 4 && t <= 6) || (pat && t == 7);
}
#define msr_read_MEMTYPES msr_read_RW
static bool msr_write_MEMTYPES(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	for (unsigned i = 0; i < 64; i += 8)
		if (!memory_type(v >> i & 0xff, nr == 0x277))
			return false;
	*home(c, m, nr) = v;
	return true;
}
#define msr_read_MTRR_DEF msr_read_RW
static bool msr_write_MTRR_DEF(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	if (v & ~0xcffull || !memory_type(v & 0xff, false))
		return false;
	*home(c, m, nr) = v;
	return true;
}
#define msr_read_MTRR_PHYS msr_read_RW
static bool msr_write_MTRR_PHYS(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	uint64_t address = MASK(c->profile->phys_bits) & PAGE_MASK;
	bool mask = nr & 1;
	if (v & ~(address | (mask ? 0x800 : 0xff)) || (!mask && !memory_type(v & 0xff, false)))
		return false;
	*home(c, m, nr) = v;
	return true;
}

/* ---- the local APIC's ---- */

static bool msr_read_LAPIC(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t *v)
{
	(void)m;
	return c->lapic && lapic_msr_read(c->lapic, nr, v);
}
static bool msr_write_LAPIC(struct cpu *c, const struct msr_def *m, uint32_t nr, uint64_t v)
{
	(void)m;
	return c->lapic && lapic_msr_write(c->lapic, nr, v);
}

/* ---- the table ---- */

static const struct msr_def msrs[] = {
#define H(field) offsetof(struct cpu_state, field)
#define NOWHERE NO_HOME
#define FEATURE_ALWAYS FEATURE_N
#define MSR(nr, n, NAME, name, where, rst, access, bits, feat, sentence) \
	{ .first = nr, .count = n, .home = where, .feature = FEATURE_##feat, .reset = rst, .valid = bits, \
	  .read = msr_read_##access, .write = msr_write_##access },
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
	return m && m->write(c, m, nr, v);
}

void msr_reset(struct cpu *c)
{
	for (size_t i = 0; i < ARRAY_LEN(msrs); i++)
		for (uint32_t k = 0; k < msrs[i].count && msrs[i].home != NO_HOME; k++)
			*home(c, &msrs[i], msrs[i].first + k) = msrs[i].reset;
}
