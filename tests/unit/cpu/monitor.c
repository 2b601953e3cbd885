/* monitor.c - MONITOR and MWAIT, RDRAND and RDSEED, on one CPU; tests/unit/machine/monitor.c has several. */
#include "models/cpu/flags.h"
#include "tests/unit/cpu/prot.h"

#define MONITOR 0x0f, 0x01, 0xc8
#define MWAIT   0x0f, 0x01, 0xc9
#define LINE    (FIXTURE_DATA + 0x40)

static struct fixture *f;
static void set_up(void)
{
	f = prot_new(FIXTURE_LONG64, 0);
	REG(f, R_RAX) = LINE + 8;
	REG(f, R_RCX) = REG(f, R_RDX) = 0;
}
static void done(void) { fixture_free(f); }
TestSuite(monitor, .init = set_up, .fini = done);

static bool waits(void) { return f->cpu->s.activity == ACTIVITY_HLT && f->cpu->s.mwait; }

Test(monitor, arms_the_line_of_its_address)
{
	cr_expect(eq(int, STEP(f, MONITOR), NONE));
	cr_expect(eq(u64, f->cpu->s.monitor_pa, LINE));
}
Test(monitor, takes_the_segment_a_prefix_names)
{
	f->cpu->s.seg[SEG_FS].base = 0x1000;
	cr_expect(eq(int, STEP(f, 0x64, MONITOR), NONE));
	cr_expect(eq(u64, f->cpu->s.monitor_pa, LINE + 0x1000));
}
Test(monitor, takes_the_address_size_a_prefix_names)
{
	REG(f, R_RAX) |= 1ull << 40;
	cr_expect(eq(int, STEP(f, 0x67, MONITOR), NONE));
	cr_expect(eq(u64, f->cpu->s.monitor_pa, LINE));
}
Test(monitor, no_extension_is_defined)
{
	REG(f, R_RCX) = 1;
	EXPECT_FAULT(f, STEP(f, MONITOR), VEC_GP, 0);
}
Test(monitor, is_a_load)
{
	REG(f, R_RAX) = 0x40000000;             /* not mapped */
	EXPECT_FAULT(f, STEP(f, MONITOR), VEC_PF, 0);
	cr_expect(eq(u64, f->cpu->s.monitor_pa, MONITOR_NONE));
}
Test(monitor, is_undefined_outside_ring_0)
{
	fixture_ring3(f);
	cr_expect(eq(int, STEP(f, MONITOR), VEC_UD));
}
Test(monitor, misc_enable_turns_it_off_and_cpuid_says_so)
{
	uint32_t r[4];
	cpuid_leaf(f->cpu, 1, 0, r);
	cr_expect(ne(u32, r[CPUID_ECX] & 8, 0));
	cpuid_leaf(f->cpu, 5, 0, r);
	cr_expect(eq(u32, r[CPUID_EAX], 64));
	f->cpu->s.misc_enable &= ~MISC_ENABLE_MONITOR;
	cpuid_leaf(f->cpu, 1, 0, r);
	cr_expect(eq(u32, r[CPUID_ECX] & 8, 0));
	cr_expect(eq(int, STEP(f, MWAIT), VEC_UD));
}

Test(monitor, what_is_hidden_is_undefined)
{
	f->cpu->hidden[FEATURE_MONITOR / 64] |= BIT(FEATURE_MONITOR % 64);
	cpuid_init(f->cpu);
	cr_expect(eq(int, STEP(f, MONITOR), VEC_UD));
	cpu_reset(f->cpu, false);
	cr_expect(not(cpu_has(f->cpu, FEATURE_MONITOR)), "over a reset too");
}

/* "If the preceding MONITOR instruction did not successfully arm an address range ... execution will resume at the
 * instruction following the MWAIT" */
Test(monitor, mwait_without_an_armed_line_goes_on)
{
	cr_expect(eq(int, STEP(f, MWAIT), NONE));
	cr_expect(eq(u32, f->cpu->s.activity, ACTIVITY_ACTIVE));
}
Test(monitor, a_store_between_monitor_and_mwait_counts)
{
	STEP(f, MONITOR);
	put(f, LINE + 63, 1, 1);
	STEP(f, MWAIT);
	cr_expect(not(waits()));
}
#define STORE(name, at, size, wakes) \
Test(monitor, name) \
{ \
	STEP(f, MONITOR); \
	STEP(f, MWAIT); \
	cr_assert(waits()); \
	cr_expect(not(cpu_can_wake(f->cpu))); \
	put(f, at, 1, size); \
	cr_expect(eq(int, cpu_can_wake(f->cpu), wakes)); \
	cpu_service(f->cpu); \
	cr_expect(eq(int, waits(), !(wakes))); \
	cr_expect(eq(u64, f->cpu->stat[CPU_STAT_MWAIT_STORE], wakes)); \
}
STORE(a_store_to_the_first_byte_wakes,     LINE,      1, true)
STORE(a_store_to_the_last_byte_wakes,      LINE + 63, 1, true)
STORE(a_store_that_reaches_the_line_wakes, LINE - 4,  8, true)
STORE(a_store_before_the_line_does_not,    LINE - 8,  8, false)
STORE(a_store_behind_the_line_does_not,    LINE + 64, 8, false)
#undef STORE

/* A store by code takes the slow way even where a pointer to write through is kept. */
Test(monitor, a_store_by_this_cpu_disarms)
{
	REG(f, R_RBX) = LINE;
	STEP(f, 0x88, 0x03);                    /* mov [rbx], al: the page has a cached pointer now */
	STEP(f, MONITOR);
	STEP(f, 0x88, 0x43, 0x40);              /* another line of the page */
	cr_expect(eq(u64, f->cpu->s.monitor_pa, LINE));
	STEP(f, 0x88, 0x43, 0x3f);
	cr_expect(eq(u64, f->cpu->s.monitor_pa, MONITOR_NONE));
}
Test(monitor, other_extensions_of_mwait_are_gp)
{
	STEP(f, MONITOR);
	REG(f, R_RCX) = 2;
	EXPECT_FAULT(f, STEP(f, MWAIT), VEC_GP, 0);
}
Test(monitor, a_masked_interrupt_ends_mwait_only_when_asked_to)
{
	for (unsigned asked = 0; asked < 2; asked++) {
		STEP(f, MONITOR);
		REG(f, R_RCX) = asked;
		STEP(f, MWAIT);
		REG(f, R_RCX) = 0;
		cr_assert(waits());
		f->cpu->s.intr_line = 1;
		cr_expect(eq(int, cpu_can_wake(f->cpu), asked));
		cpu_service(f->cpu);
		cr_expect(eq(int, waits(), !asked));
		cr_expect(eq(int, f->cpu->s.intr_line, 1), "still pending");
		f->cpu->s.intr_line = 0;
		cpu_wake(f->cpu);
		cr_expect(eq(u64, f->cpu->s.monitor_pa, MONITOR_NONE));
	}
}
Test(monitor, an_nmi_ends_mwait)
{
	STEP(f, MONITOR);
	STEP(f, MWAIT);
	f->cpu->s.nmi_pending = 1;
	cr_expect(cpu_can_wake(f->cpu));
	cpu_service(f->cpu);
	cr_expect(not(waits()));
	cr_expect(eq(u64, RIP(f), STUB(VEC_NMI)));
}

/* ---- RDRAND, RDSEED ---- */

TestSuite(random, .init = set_up, .fini = done);

Test(random, sizes_and_flags)
{
	REG(f, R_RBX) = REG(f, R_RSI) = REG(f, R_R9) = ~0ull;
	cpu_set_rflags(f->cpu, RFLAGS_STATUS & ~(uint64_t)RFLAGS_CF, RFLAGS_STATUS);
	cr_expect(eq(int, STEP(f, 0x0f, 0xc7, 0xf3), NONE));            /* rdrand ebx */
	cr_expect(eq(u64, REG(f, R_RBX) >> 32, 0));
	cr_expect(eq(u64, cpu_rflags(f->cpu) & RFLAGS_STATUS, RFLAGS_CF));
	STEP(f, 0x66, 0x0f, 0xc7, 0xfe);                                /* rdseed si */
	cr_expect(eq(u64, REG(f, R_RSI) >> 16, MASK(48)));
	cr_expect(ne(u64, REG(f, R_RSI), ~0ull));
	STEP(f, 0x49, 0x0f, 0xc7, 0xf1);                                /* rdrand r9 */
	cr_expect(ne(u64, REG(f, R_R9) >> 32, 0));
	cr_expect(ne(u64, REG(f, R_R9) >> 32, MASK(32)));
}
Test(random, the_seed_decides)
{
	uint64_t v[3];
	for (unsigned i = 0; i < 3; i++) {
		f->cpu->seed = i == 2;
		random_reset(f->cpu);
		STEP(f, 0x48, 0x0f, 0xc7, 0xf0);
		v[i] = REG(f, R_RAX);
	}
	cr_expect(eq(u64, v[0], v[1]));
	cr_expect(ne(u64, v[0], v[2]));
}
Test(random, is_state)
{
	struct cpu_state before = f->cpu->s;
	STEP(f, 0x48, 0x0f, 0xc7, 0xf0);
	uint64_t v = REG(f, R_RAX);
	f->cpu->s = before;
	STEP(f, 0x48, 0x0f, 0xc7, 0xf8);
	cr_expect(eq(u64, REG(f, R_RAX), v));
}
