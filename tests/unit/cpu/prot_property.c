/* prot_property.c - random bytes at random privilege with random descriptors: whatever a program does with the protected
 * architecture, the model stays whole.
 *
 * After every run: the books balance, CPL is what CS and SS say, the mode is what the registers say. A BUG or a failed
 * assertion ends the process, which Criterion reports. VMSCOPE_PROT_CASES sets the number of cases. */
#include <stdlib.h>

#include "sim/rng.h"
#include "tests/unit/cpu/prot.h"

static const uint8_t favourites[][4] = {
	{ 2, 0x8e, 0xd8 }, { 2, 0x8e, 0xd0 }, { 2, 0x0f, 0x05 }, { 2, 0x0f, 0x34 }, { 2, 0x0f, 0x35 }, { 2, 0xcd, 0x14 }, { 1, 0xcf }, { 1, 0xcb },
	{ 2, 0xff, 0x2b }, { 2, 0xff, 0x1b }, { 3, 0x0f, 0x00, 0xd8 }, { 3, 0x0f, 0x00, 0xd0 }, { 3, 0x0f, 0x22, 0xc0 }, { 3, 0x0f, 0x22, 0xd8 },
	{ 3, 0x0f, 0x22, 0xe0 }, { 2, 0x0f, 0x30 }, { 1, 0x9d }, { 1, 0xfb }, { 1, 0xf1 }, { 3, 0x0f, 0x23, 0xf8 }, { 2, 0x0f, 0x0b }, { 1, 0x6d },
	{ 3, 0x0f, 0x01, 0x13 }, { 3, 0x0f, 0x01, 0x1b }, { 1, 0x17 }, { 2, 0xc5, 0x03 }, { 3, 0x0f, 0x02, 0xc1 },
};

static void random_tables(struct fixture *f, struct rng *r)
{
	for (uint16_t s = 0x48; s < 0x100; s += 8) {
		uint64_t v = rng_u64(r);
		if (rng_below(r, 2))
			v = descriptor(rng_below(r, 2) ? TSS_BASE : 0, (uint32_t)rng_u64(r) & 0xfffff, (uint32_t)rng_u64(r) & 0xf0ff);
		put_desc(f, s, v);
	}
	for (unsigned v = 0; v < 32; v++)
		if (!rng_below(r, 4))
			put(f, IDT_BASE + v * (cpu_lma(f->cpu) ? 16 : 8), gate((uint16_t)rng_below(r, 0x100), STUB(v), (unsigned)rng_below(r, 16),
			    (unsigned)rng_below(r, 4), (unsigned)rng_below(r, 8)), 8);
	for (unsigned i = 0; i < 104; i += 4)
		if (!rng_below(r, 3))
			put(f, TSS_BASE + i, rng_below(r, 2) ? rng_below(r, 0x100) : rng_u64(r) & 0xffffff, 4);
}

static uint64_t pick(struct rng *r)
{
	switch (rng_below(r, 6)) {
	case 0: return rng_below(r, 0x104);             /* a selector */
	case 1: return FIXTURE_DATA + rng_below(r, 64);
	case 2: return FIXTURE_STACK + rng_below(r, 64);
	case 3: return rng_u64(r) & 0xc0050033;         /* CR0-like */
	case 4: return 0xc0000080 + rng_below(r, 4);    /* an MSR */
	default: return rng_u64(r);
	}
}

static void check(struct fixture *f, uint64_t seed)
{
	const struct cpu_state *s = &f->cpu->s;
	cr_assert(ledger_audit(&f->cpu->ledger), "seed %lu: the books", seed);
	cr_assert(s->cpl <= 3, "seed %lu", seed);
	cr_assert(eq(u64, s->flags & 2, 2), "seed %lu", seed);
	if (!(s->cr0 & CR0_PE))
		cr_assert(s->mode <= MODE_REAL32 && s->cpl == 0, "seed %lu", seed);
	if (s->efer & EFER_LMA)
		cr_assert(s->cr0 & CR0_PG && s->cr4 & CR4_PAE && s->efer & EFER_LME && s->mode >= MODE_COMPAT16, "seed %lu", seed);
	if (s->mode == MODE_V86)
		cr_assert(eq(u8, s->cpl, 3), "seed %lu", seed);
	cr_assert(eq(u8, f->cpu->ext, 0), "seed %lu", seed);
	cr_assert(f->cpu->delivering == NULL, "seed %lu", seed);
	cr_assert(eq(u8, f->cpu->mmu.user, s->cpl == 3), "seed %lu", seed);
}

Test(prot_property, random_bytes_at_random_privilege_with_random_descriptors, .timeout = 600)
{
	const char *env = getenv("VMSCOPE_PROT_CASES");
	uint64_t cases = env ? strtoull(env, NULL, 0) : 1500;
	for (uint64_t seed = 0; seed < cases; seed++) {
		struct rng r;
		rng_init(&r, seed, "prot");
		enum fixture_mode mode = (enum fixture_mode)rng_below(&r, 3);
		struct fixture *f = prot_new(mode, mode == FIXTURE_REAL16 ? 0 : (unsigned)rng_below(&r, 2) * 3);
		if (mode != FIXTURE_REAL16)
			random_tables(f, &r);
		uint8_t code[64];
		for (unsigned n = 0; n < sizeof code; ) {
			const uint8_t *p = favourites[rng_below(&r, ARRAY_LEN(favourites))];
			if (rng_below(&r, 4)) {
				for (unsigned i = 1; i <= p[0] && n < sizeof code; i++)
					code[n++] = p[i];
			} else {
				code[n++] = (uint8_t)rng_u64(&r);
			}
		}
		fixture_code(f, code, sizeof code);
		for (unsigned i = 0; i < 16; i++)
			if (i != R_RSP)
				REG(f, i) = pick(&r);
		for (unsigned i = 0; i < 32; i++)
			put(f, FIXTURE_STACK + 4 * i, pick(&r), 4);
		for (unsigned i = 0; i < 8; i++)
			put(f, FIXTURE_DATA + 4 * i, pick(&r), 4);
		if (!rng_below(&r, 8))
			f->cpu->s.flags |= RFLAGS_TF;
		if (!rng_below(&r, 8))
			f->cpu->s.nmi_pending = 1;
		cpu_attention(f->cpu);
		for (unsigned i = 0; i < 24; i++) {
			/* with a limit in cycles: a handler that faults at once on a fresh stack each time goes on for ever */
			cpu_run(f->cpu, f->cpu->ledger.now + 20000, 1);
			check(f, seed);
		}
		fixture_free(f);
	}
}
