/* cpuid.c - CPUID leaves, put together from the feature table (cpuid.def) and the profile's
 * geometry.
 *
 * Topology: one package, one thread a core, as many cores as the machine has CPUs; the APIC ID's low
 * bits number the core.
 * An input above the highest leaf yields the highest basic leaf, as on Intel processors.
 * Source: SDM Vol. 2A, "CPUID". */
#include "models/cpu/cpuid.h"

#include <stdio.h>
#include <string.h>

#include "models/cpu/lapic.h"
#include "models/cpu/fpstate.h"
#include "models/cpu/sys.h"
#include "models/mmu/cache.h"

const struct feature_row feature_rows[FEATURE_N] = {
#define FEATURE(NAME, name, leaf, sub, reg, bit, since, modelled, sentence) \
	[FEATURE_##NAME] = { name, leaf, sub, reg, bit, since, modelled, sentence },
#include "models/cpu/cpuid.def"
};

/* Names, signatures (family, model, stepping as CPUID.1:EAX packs them) and highest basic
 * leaves. */
static const struct { const char *name; uint32_t signature, leaves; } generations[] = {
	[GEN_PRESCOTT]    = { "prescott",    0x00000F4A, 0x05 },
	[GEN_CORE2]       = { "core2",       0x000006FB, 0x0A },
	[GEN_NEHALEM]     = { "nehalem",     0x000106A5, 0x0B },
	[GEN_SANDYBRIDGE] = { "sandybridge", 0x000206A7, 0x0D },
	[GEN_HASWELL]     = { "haswell",     0x000306C3, 0x0D },
	[GEN_SKYLAKE]     = { "skylake",     0x000506E3, 0x18 },
};

enum cpu_generation cpu_generation(const struct profile *p)
{
	for (unsigned i = 0; i < ARRAY_LEN(generations); i++)
		if (!strcmp(p->name, generations[i].name))
			return (enum cpu_generation)i;
	return GEN_SKYLAKE;
}

static void advertise(struct cpu *c, enum feature f, bool on)
{
	uint64_t bit = BIT(f % 64);
	c->features[f / 64] = on ? c->features[f / 64] | bit : c->features[f / 64] & ~bit;
}

void cpuid_init(struct cpu *c)
{
	unsigned gen = cpu_generation(c->profile);
	memset(c->features, 0, sizeof c->features);
	for (unsigned i = 0; i < FEATURE_N; i++)
		advertise(c, (enum feature)i,
		          feature_rows[i].modelled && feature_rows[i].since <= gen &&
		          !(c->hidden[i / 64] & BIT(i % 64)));
	if (c->profile->lin_bits < 57)
		advertise(c, FEATURE_LA57, false);
	if (!c->profile->cet_shstk)
		advertise(c, FEATURE_SHSTK, false);
	if (!c->profile->cet_ibt)
		advertise(c, FEATURE_IBT, false);
}

/* ---- leaves ---- */

static void features(const struct cpu *c, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	for (unsigned i = 0; i < FEATURE_N; i++) {
		const struct feature_row *r = &feature_rows[i];
		if (r->leaf == leaf && r->sub == sub && cpu_has(c, (enum feature)i))
			out[r->reg] |= 1u << r->bit;
	}
}

static uint32_t leaves(const struct cpu *c)
{
	if (c->s.misc_enable & BIT(22))         /* limit CPUID to leaf 3, for old software */
		return 3;
	return generations[cpu_generation(c->profile)].leaves;
}

static void vendor(const struct cpu *c, uint32_t o[4])
{
	o[CPUID_EAX] = leaves(c);
	memcpy(&o[CPUID_EBX], "Genu", 4);
	memcpy(&o[CPUID_EDX], "ineI", 4);
	memcpy(&o[CPUID_ECX], "ntel", 4);
}

static uint32_t apic_id(const struct cpu *c)
{
	return c->lapic ? c->lapic->s.id : c->number;
}

/* Bits of the APIC ID that number the cores. */
static unsigned core_bits(const struct cpu *c)
{
	unsigned n = 0;
	while (1u << n < c->mmu.caches->cpus)
		n++;
	return n;
}

static void version(const struct cpu *c, uint32_t o[4])
{
	features(c, 1, 0, o);
	o[CPUID_EAX] = generations[cpu_generation(c->profile)].signature;
	o[CPUID_EBX] = c->number << 24 | 1u << (16 + core_bits(c)) | 64 / 8 << 8;
	if (core_bits(c))
		o[CPUID_EDX] |= BIT(28);        /* HTT: several APIC IDs in the package */
	if (c->s.cr4 & CR4_OSXSAVE)
		o[CPUID_ECX] |= BIT(27);
	if (c->lapic && !(c->lapic->s.base & BIT(11)))
		o[CPUID_EDX] &= ~(uint32_t)BIT(9);
	if (!(c->s.misc_enable & MISC_ENABLE_MONITOR))
		o[CPUID_ECX] &= ~(uint32_t)BIT(3);
}

/* Leaf 5: the smallest and largest line MONITOR watches | 0 extensions are enumerated, 1 interrupts may end MWAIT while
 * masked. No C-state has sub-states: every hint is C1. */
static void monitor_leaf(const struct cpu *c, uint32_t o[4])
{
	if (!cpu_has(c, FEATURE_MONITOR))
		return;
	o[CPUID_EAX] = o[CPUID_EBX] = MONITOR_LINE;
	o[CPUID_ECX] = 3;
}

/* Leaf 4: one cache a subleaf. */
static void cache_leaf(const struct cpu *c, uint32_t sub, uint32_t o[4])
{
	const struct profile *p = c->profile;
	unsigned others = (1u << core_bits(c)) - 1;
	struct { unsigned type, level, sharing; uint64_t size, ways; } k[] = {
		{ 1, 1, 0, p->l1d_size, p->l1d_ways }, { 2, 1, 0, p->l1i_size, p->l1i_ways },
		{ 3, 2, 0, p->l2_size, p->l2_ways }, { 3, 3, others, p->l3_size, p->l3_ways },
	};
	if (sub >= ARRAY_LEN(k) || !k[sub].size)
		return;
	o[CPUID_EAX] = k[sub].type | k[sub].level << 5 | BIT(8) | k[sub].sharing << 14 |
	               others << 26;
	o[CPUID_EBX] = (uint32_t)((p->line - 1) | (k[sub].ways - 1) << 22);
	o[CPUID_ECX] = (uint32_t)(k[sub].size / (k[sub].ways * p->line) - 1);
}

/* Leaf 0BH: no threads within a core; cores within the package. */
static void topology_leaf(const struct cpu *c, uint32_t sub, uint32_t o[4])
{
	if (sub == 0)
		o[CPUID_EBX] = 1, o[CPUID_ECX] = 1 << 8;
	else if (sub == 1)
		o[CPUID_EAX] = core_bits(c), o[CPUID_EBX] = c->mmu.caches->cpus, o[CPUID_ECX] = 2 << 8;
	o[CPUID_ECX] |= sub & 0xff;
	o[CPUID_EDX] = apic_id(c);
}

/* Leaf 0DH: the XSAVE area (fpstate.h). Subleaf n: size and place of component n. */
static void xsave_leaf(const struct cpu *c, uint32_t sub, uint32_t o[4])
{
	if (!cpu_has(c, FEATURE_XSAVE))
		return;
	uint64_t all = xcr0_valid_bits(c);
	if (sub == 0) {
		o[CPUID_EAX] = (uint32_t)all;
		o[CPUID_EBX] = xsave_size(c->s.xcr0);
		o[CPUID_ECX] = xsave_size(all);
	} else if (sub == 1) {
		features(c, 13, 1, o);
		if (cpu_has(c, FEATURE_XSAVEC))
			o[CPUID_EBX] = xsave_size(c->s.xcr0);
		if (cpu_has(c, FEATURE_XSAVES)) {
			o[CPUID_EBX] = xsave_size(c->s.xcr0 | c->s.msr_misc[1] /* IA32_XSS */);
			o[CPUID_ECX] = (uint32_t)xss_valid_bits(c);
		}
	} else if (sub == 11 && xss_valid_bits(c) & XSTATE_CET_U) {
		o[CPUID_EAX] = XSAVE_CET_U_SIZE;
		o[CPUID_ECX] = 1;       /* IA32_XSS chooses it */
	} else if (sub == 12 && xss_valid_bits(c) & XSTATE_CET_S) {
		o[CPUID_EAX] = XSAVE_CET_S_SIZE;
		o[CPUID_ECX] = 1;
	} else if (sub == 9 && all & XSTATE_PKRU) {
		o[CPUID_EAX] = XSAVE_PKRU_SIZE;
		o[CPUID_EBX] = XSAVE_PKRU_OFFSET;
	}
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	return b ? gcd(b, a % b) : a;
}

/* Leaf 15H: TSC frequency = crystal * EBX / EAX. The crystal is the local APIC timer's clock. */
static void crystal_leaf(const struct cpu *c, uint32_t o[4])
{
	uint64_t crystal = c->profile->apic_timer_hz, g = gcd(c->profile->hz, crystal);
	if (crystal > UINT32_MAX || c->profile->hz / g > UINT32_MAX)
		return;
	o[CPUID_EAX] = (uint32_t)(crystal / g);
	o[CPUID_EBX] = (uint32_t)(c->profile->hz / g);
	o[CPUID_ECX] = (uint32_t)crystal;
}

/* Leaf 18H: one TLB a subleaf: page sizes (4K 1, 2M 2, 4M 4, 1G 8), ways, sets, type and level. */
static void tlb_leaf(const struct cpu *c, uint32_t sub, uint32_t o[4])
{
	const struct profile *p = c->profile;
	struct { unsigned type, level, sizes; uint64_t n, ways; } k[] = {
		{ 2, 1, 1, p->itlb_4k, p->itlb_4k_ways }, { 2, 1, 6, p->itlb_2m, p->itlb_2m_ways },
		{ 1, 1, 1, p->dtlb_4k, p->dtlb_4k_ways }, { 1, 1, 6, p->dtlb_2m, p->dtlb_2m_ways },
		{ 1, 1, 8, p->dtlb_1g, p->dtlb_1g_ways },
		{ 3, 2, p->stlb_2m_shared ? 3 : 1, p->stlb_4k, p->stlb_4k_ways },
		{ 3, 2, 8, p->stlb_1g, p->stlb_1g_ways },
	};
	if (sub == 0)
		o[CPUID_EAX] = ARRAY_LEN(k) - 1;
	if (sub >= ARRAY_LEN(k) || !k[sub].n)
		return;
	o[CPUID_EBX] = k[sub].sizes | (uint32_t)k[sub].ways << 16;
	o[CPUID_ECX] = (uint32_t)(k[sub].n / k[sub].ways);
	o[CPUID_EDX] = k[sub].type | k[sub].level << 5 | (k[sub].n == k[sub].ways ? BIT(8) : 0);
}

static void basic(const struct cpu *c, uint32_t leaf, uint32_t sub, uint32_t o[4])
{
	uint64_t mhz = c->profile->hz / 1000000;
	switch (leaf) {
	case 0x00: vendor(c, o); break;
	case 0x01: version(c, o); break;
	case 0x02: o[CPUID_EAX] = 0x00feff01; break;    /* FFH: see leaf 4; FEH: see leaf 18H */
	case 0x04: cache_leaf(c, sub, o); break;
	case 0x05: monitor_leaf(c, o); break;
	case 0x06: features(c, 6, 0, o); break;
	case 0x07: features(c, 7, sub, o); break;
	case 0x0a: pmu_leaf(c, o); break;
	case 0x0b: topology_leaf(c, sub, o); break;
	case 0x0d: xsave_leaf(c, sub, o); break;
	case 0x15: crystal_leaf(c, o); break;
	case 0x16:
		o[CPUID_EAX] = (uint32_t)mhz, o[CPUID_EBX] = (uint32_t)mhz, o[CPUID_ECX] = 100;
		break;
	case 0x18: tlb_leaf(c, sub, o); break;
	default: break;         /* reserved, or nothing of it is modelled: zeros */
	}
}

/* 48 bytes over three leaves: "vmscope skylake CPU @ 2.20GHz". */
static void brand(const struct cpu *c, uint32_t leaf, uint32_t o[4])
{
	char text[48] = { 0 };
	uint64_t hz = c->profile->hz;
	snprintf(text, sizeof text, "vmscope %.20s CPU @ %u.%02uGHz", c->profile->name,
	         (unsigned)(hz / 1000000000), (unsigned)(hz / 10000000 % 100));
	memcpy(o, text + 16 * leaf, 16);
}

static unsigned associativity(uint64_t ways)
{
	return ways >= 16 ? 8 : ways >= 8 ? 6 : ways >= 4 ? 4 : (unsigned)ways;
}

static void extended(const struct cpu *c, uint32_t leaf, uint32_t o[4])
{
	const struct profile *p = c->profile;
	switch (leaf & 0xff) {
	case 0: o[CPUID_EAX] = 0x80000008; break;
	case 1:
		features(c, leaf, 0, o);
		if (!cpu_long64(c))
			o[CPUID_EDX] &= ~(uint32_t)BIT(11);     /* SYSCALL: in 64-bit mode only */
		if (c->s.misc_enable & BIT(34))
			o[CPUID_EDX] &= ~(uint32_t)BIT(20);     /* XD bit disabled */
		break;
	case 2: case 3: case 4: brand(c, (leaf & 0xff) - 2, o); break;
	case 6:
		o[CPUID_ECX] = (uint32_t)(p->line | associativity(p->l2_ways) << 12 |
		                          p->l2_size / 1024 << 16);
		break;
	case 7: features(c, leaf, 0, o); break;
	case 8:
		o[CPUID_EAX] =
			(uint32_t)(p->phys_bits | (cpu_has(c, FEATURE_LA57) ? 57u : 48u) << 8);
		break;
	default: break;
	}
}

void cpuid_leaf(const struct cpu *c, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	memset(out, 0, 16);
	if (leaf >= 0x80000000 && leaf <= 0x80000008)
		extended(c, leaf, out);
	else
		basic(c, leaf <= leaves(c) ? leaf : leaves(c), sub, out);
}
