/* pmu.c - performance counters: what they count, at which privilege, and what an overflow does. */
#include <stdio.h>

#include "tests/unit/cpu/prot.h"

enum { PMC0 = 0xc1, A_PMC0 = 0x4c1, SELECT0 = 0x186, FIXED0 = 0x309, CAPABILITIES = 0x345, FIXED_CTRL = 0x38d, STATUS = 0x38e,
       GLOBAL = 0x38f, CLEAR = 0x390 };
enum { USR = 1 << 16, OS = 1 << 17, EDGE = 1 << 18, INT = 1 << 20, EN = 1 << 22, CYCLES = 0x3c, INSTRUCTIONS = 0xc0 };
#define TOP (1ull << 48)

static struct fixture *f;
static void set_up(void) { f = prot_new(FIXTURE_LONG64, 0); }
static void done(void) { fixture_free(f); }
TestSuite(pmu, .init = set_up, .fini = done);

static void wr(uint32_t nr, uint64_t v) { cr_assert(msr_write(f->cpu, nr, v), "MSR %#x = %#llx", nr, (unsigned long long)v); }
static uint64_t rd(uint32_t nr) { uint64_t v = ~0ull; cr_assert(msr_read(f->cpu, nr, &v), "MSR %#x", nr); return v; }
static bool refuses(uint32_t nr, uint64_t v) { return !msr_write(f->cpu, nr, v); }
static void nops(unsigned n)
{
	uint8_t code[64];
	memset(code, 0x90, sizeof code);
	fixture_code(f, code, n);
	cr_assert(eq(int, fixture_run(f, n), NONE));
}

Test(pmu, cpuid_leaf_0ah)
{
	uint32_t r[4];
	cpuid_leaf(f->cpu, 10, 0, r);
	cr_expect(eq(u32, r[CPUID_EAX], 7 << 24 | 48 << 16 | 4 << 8 | 2));
	cr_expect(eq(u32, r[CPUID_EBX], 0x60), "no branch events");
	cr_expect(eq(u32, r[CPUID_EDX], 48 << 5 | 3));
	cr_expect(eq(u64, rd(GLOBAL), 15), "at RESET the general counters are enabled");
}
Test(pmu, reserved_bits_and_missing_counters_are_gp)
{
	uint64_t v;
	cr_expect(refuses(GLOBAL, 16));
	cr_expect(refuses(GLOBAL, 1ull << 35));
	cr_expect(refuses(SELECT0, 1ull << 32));
	cr_expect(refuses(FIXED_CTRL, 4));
	cr_expect(refuses(FIXED0, TOP));
	cr_expect(refuses(STATUS, 0));
	cr_expect(not(msr_read(f->cpu, PMC0 + 4, &v)));
	cr_expect(not(msr_read(f->cpu, SELECT0 + 4, &v)));
}
Test(pmu, instructions_and_cycles)
{
	wr(SELECT0, INSTRUCTIONS | OS | EN);
	wr(SELECT0 + 1, CYCLES | OS | EN);
	cycle_t before = f->cpu->ledger.now;
	nops(20);
	cr_expect(eq(u64, rd(PMC0), 20));
	cr_expect(eq(u64, rd(PMC0 + 1), f->cpu->ledger.now - before));
	wr(GLOBAL, 2);
	nops(5);
	cr_expect(eq(u64, rd(PMC0), 20));
	cr_expect(lt(u64, f->cpu->ledger.now - before - 5, rd(PMC0 + 1)));
}
Test(pmu, fixed_counters)
{
	wr(FIXED_CTRL, 0x111);
	nops(5);
	cr_expect(eq(u64, rd(FIXED0), 0), "IA32_PERF_GLOBAL_CTRL 34:32 are 0");
	wr(GLOBAL, 7ull << 32);
	nops(7);
	cr_expect(eq(u64, rd(FIXED0), 7));
	cr_expect(eq(u64, rd(FIXED0 + 1), rd(FIXED0 + 2)));
}
Test(pmu, halted_time_is_not_counted)
{
	wr(SELECT0, CYCLES | OS | EN);
	cpu_idle(f->cpu, f->cpu->ledger.now + 1000);
	cr_expect(eq(u64, rd(PMC0), 0));
}
Test(pmu, privilege_levels)
{
	wr(SELECT0, INSTRUCTIONS | OS | EN);
	wr(SELECT0 + 1, INSTRUCTIONS | USR | EN);
	nops(3);
	fixture_ring3(f);
	nops(5);
	cr_expect(eq(u64, rd(PMC0), 3));
	cr_expect(eq(u64, rd(PMC0 + 1), 5));
}
Test(pmu, what_is_not_modelled_counts_nothing)
{
	wr(SELECT0, 0xc4 | OS | EN);                            /* branches */
	wr(SELECT0 + 1, INSTRUCTIONS | OS | EN | 1 << 24);      /* a counter mask */
	wr(SELECT0 + 2, CYCLES | OS | EN | EDGE);
	nops(10);
	for (unsigned i = 0; i < 3; i++)
		cr_expect(eq(u64, rd(PMC0 + i), 0));
}
Test(pmu, writes_extend_the_sign_but_for_full_width_ones)
{
	wr(PMC0, 0x80000000);
	cr_expect(eq(u64, rd(PMC0), TOP - 0x80000000));
	wr(PMC0, 0x100000001);
	cr_expect(eq(u64, rd(PMC0), 1));
	cr_expect(eq(u64, rd(CAPABILITIES), 1 << 13));
	wr(A_PMC0, 0x100000001);
	cr_expect(eq(u64, rd(PMC0), 0x100000001));
	cr_expect(refuses(A_PMC0, TOP));
}
/* However the run is cut up, the boundary behind the overflow is found. */
Test(pmu, an_overflow_is_found_at_its_instruction)
{
	for (unsigned step = 1; step <= 40; step += 39) {
		wr(GLOBAL, 1);
		wr(CLEAR, 1);
		wr(SELECT0, INSTRUCTIONS | OS | EN);
		wr(PMC0, (uint32_t)-20);
		nops(19);
		cr_expect(eq(u64, rd(STATUS), 0));
		nops(step);
		cr_expect(eq(u64, rd(STATUS), 1));
		cr_expect(eq(u64, rd(PMC0), step - 1));
	}
	wr(CLEAR, 1);
	cr_expect(eq(u64, rd(STATUS), 0));
}
Test(pmu, an_overflow_interrupts_by_the_local_apic)
{
	struct lapic *l = f->cpu->lapic;
	lapic_mmio_write(l, 0xf0, 0x1ff);
	lapic_mmio_write(l, 0x340, 4 << 8);                     /* an NMI */
	wr(SELECT0, INSTRUCTIONS | OS | EN | INT);
	wr(PMC0, (uint32_t)-10);
	fixture_code(f, (uint8_t[]){ 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90 }, 12);
	fixture_run(f, 10);
	cr_expect(eq(int, f->cpu->s.nmi_pending, 0));
	fixture_run(f, 1);
	cr_expect(eq(u64, get(f, REG(f, R_RSP), 8), FIXTURE_CODE + 10), "it strikes behind the tenth instruction");
	cr_expect(ne(u32, lapic_mmio_read(l, 0x340) & 1 << 16, 0), "the entry is masked now");
}
Test(pmu, rdpmc)
{
	wr(PMC0 + 1, 0x7654321);
	wr(FIXED0 + 2, 0xba9876543210);
	REG(f, R_RCX) = 1;
	STEP(f, 0x0f, 0x33);
	cr_expect(eq(u64, REG(f, R_RAX), 0x7654321));
	REG(f, R_RCX) = 1 << 30 | 2;
	STEP(f, 0x0f, 0x33);
	cr_expect(eq(u64, REG(f, R_RAX), 0x76543210));
	cr_expect(eq(u64, REG(f, R_RDX), 0xba98));
	static const uint32_t wrong[] = { 4, 1u << 30 | 3, 1u << 31 };
	for (unsigned i = 0; i < 3; i++) {
		REG(f, R_RCX) = wrong[i];
		cr_expect(eq(int, STEP(f, 0x0f, 0x33), VEC_GP), "%#x", wrong[i]);
		fixture_free(f);
		set_up();
	}
}
Test(pmu, rdpmc_in_ring_3_needs_pce)
{
	fixture_ring3(f);
	REG(f, R_RCX) = 0;
	f->cpu->s.cr4 |= CR4_PCE;
	cr_expect(eq(int, STEP(f, 0x0f, 0x33), NONE));
	f->cpu->s.cr4 &= ~(uint64_t)CR4_PCE;
	cr_expect(eq(int, STEP(f, 0x0f, 0x33), VEC_GP));
}
Test(pmu, instructions_in_the_middle_of_a_block)
{
	wr(SELECT0, INSTRUCTIONS | OS | EN);
	REG(f, R_RCX) = 0;
	CODE_BYTES(f, 0x90, 0x90, 0x0f, 0x33, 0x90);            /* nop; nop; rdpmc; nop */
	fixture_run(f, 4);
	cr_expect(eq(u64, REG(f, R_RAX), 2));
}
Test(pmu, generations)
{
	static const struct { const char *name; unsigned general; } row[] = { { "prescott", 0 }, { "core2", 2 }, { "nehalem", 4 } };
	for (unsigned i = 0; i < 3; i++) {
		uint64_t v;
		snprintf(f->profile.name, sizeof f->profile.name, "%s", row[i].name);
		cpuid_init(f->cpu);
		cr_expect(eq(u32, pmu_general(f->cpu), row[i].general));
		cr_expect(eq(int, msr_read(f->cpu, GLOBAL, &v), row[i].general > 0));
	}
}
