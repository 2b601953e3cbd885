/* fpstate.c - FXSAVE, FXRSTOR and the XSAVE family: layouts, what is written and what is not, every
 * #GP. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/cpu/fpstate.h"
#include "models/cpu/sse.h"
#include "models/cpu/sys.h"
#include "tests/unit/cpu/fixture.h"

static struct fixture *f;
static uint8_t *area(void) { return fixture_at(f, FIXTURE_DATA); }
static void start(void)
{
	f = fixture_new(FIXTURE_LONG64);
	struct cpu_state *s = &f->cpu->s;
	s->cr4 |= CR4_OSXSAVE;
	s->xcr0 = XSTATE_X87 | XSTATE_SSE | XSTATE_PKRU;
	s->r[R_RDI] = FIXTURE_DATA;
	s->r[R_RAX] = s->r[R_RDX] = ~0ull;
	x87_init(f->cpu);
	memset(s->st, 0, sizeof s->st);
	memset(area(), 0xee, 1024);
}
static void stop(void) { fixture_free(f); }
TestSuite(fpstate, .init = start, .fini = stop);

/* After an exception the CPU has halted in its handler: wake it. */
#define RUN(n, ...) (f->cpu->s.activity = ACTIVITY_ACTIVE, \
	fixture_code(f, (uint8_t[]){ __VA_ARGS__ }, sizeof (uint8_t[]){ __VA_ARGS__ }), \
	fixture_run(f, n))
#define FXSAVE    0x0f, 0xae, 0x07
#define FXSAVE64  0x48, 0x0f, 0xae, 0x07
#define FXRSTOR   0x0f, 0xae, 0x0f
#define FXRSTOR64 0x48, 0x0f, 0xae, 0x0f
#define XSAVE64   0x48, 0x0f, 0xae, 0x27
#define XRSTOR64  0x48, 0x0f, 0xae, 0x2f
#define XSAVEOPT64 0x48, 0x0f, 0xae, 0x37
#define XSAVEC64  0x48, 0x0f, 0xc7, 0x27
#define XSAVES64  0x48, 0x0f, 0xc7, 0x2f
#define XRSTORS64 0x48, 0x0f, 0xc7, 0x1f
#define XGETBV    0x0f, 0x01, 0xd0

static uint64_t get64(unsigned at) { uint64_t v; memcpy(&v, area() + at, 8); return v; }
static uint32_t get32(unsigned at) { uint32_t v; memcpy(&v, area() + at, 4); return v; }
static void put64(unsigned at, uint64_t v) { memcpy(area() + at, &v, 8); }
static void header(uint64_t bv, uint64_t comp)
{
	memset(area() + XSAVE_HEADER, 0, 64);
	put64(XSAVE_HEADER, bv);
	put64(XSAVE_HEADER + 8, comp);
}
static void legal_image(void)
{
	memset(area(), 0, 1024);
	put64(0, 0x37f);
	put64(24, MXCSR_INIT);
}
static void some_state(void)
{
	struct cpu_state *s = &f->cpu->s;
	x87_push(f->cpu, (struct x87_reg){ .mant = 0xc90fdaa22168c235, .se = 0x4000 });
	s->fip = 0x1122334455667788;
	s->fdp = 0x99aabbccddeeff00;
	s->fcs = 0x8, s->fds = 0x10;
	s->fop = 0x123;
	s->mxcsr = 0x1fa0;
	for (unsigned i = 0; i < 16; i++)
		s->xmm[i][0] = i, s->xmm[i][1] = ~(uint64_t)i;
	s->pkru = 0x55555554;
}

/* ---- FXSAVE ---- */
Test(fpstate, fxsave_lays_out_as_the_manual_draws)
{
	some_state();
	RUN(1, FXSAVE);
	cr_expect(eq(u32, get32(0), 0x37f | 7u << 27));
	cr_expect(eq(u32, get32(4), 0x80 | 0x123u << 16));
	cr_expect(eq(u32, get32(8), 0x55667788));
	cr_expect(eq(u32, get32(12), 0x8));
	cr_expect(eq(u32, get32(16), 0xddeeff00));
	cr_expect(eq(u32, get32(20), 0x10));
	cr_expect(eq(u32, get32(24), 0x1fa0));
	cr_expect(eq(u32, get32(28), 0xffff));
	cr_expect(eq(u64, get64(32), 0xc90fdaa22168c235));
	cr_expect(eq(u64, get64(40), 0x4000));
	cr_expect(eq(u64, get64(160 + 16 * 15), 15));
	cr_expect(eq(u64, get64(416), 0xeeeeeeeeeeeeeeee), "bytes from 416 on stay");
	RUN(1, FXSAVE64);
	cr_expect(eq(u64, get64(8), 0x1122334455667788));
	cr_expect(eq(u64, get64(16), 0x99aabbccddeeff00));
}

Test(fpstate, fxrstor_brings_back_what_fxsave64_saved)
{
	some_state();
	struct cpu_state was = f->cpu->s;
	RUN(1, FXSAVE64);
	x87_reset(f->cpu);
	memset(f->cpu->s.xmm, 0, sizeof f->cpu->s.xmm);
	f->cpu->s.mxcsr = MXCSR_INIT;
	RUN(1, FXRSTOR64);
	cr_expect_arr_eq(f->cpu->s.st, was.st, sizeof was.st);
	cr_expect_arr_eq(f->cpu->s.xmm, was.xmm, sizeof was.xmm);
	cr_expect(eq(u64, f->cpu->s.fip, was.fip));
	cr_expect(eq(u16, f->cpu->s.ftw, was.ftw));
	cr_expect(eq(u16, f->cpu->s.fsw, was.fsw));
	cr_expect(eq(u32, f->cpu->s.mxcsr, was.mxcsr));
}

Test(fpstate, fxsave_misaligned_is_gp_and_fxrstor_of_reserved_mxcsr_bits_too)
{
	f->cpu->s.r[R_RDI] += 8;
	cr_expect(eq(i32, RUN(1, FXSAVE), VEC_GP));
	f->cpu->s.r[R_RDI] -= 8;
	legal_image();
	put64(24, 0x10000);
	cr_expect(eq(i32, RUN(1, FXRSTOR), VEC_GP));
}

Test(fpstate, fxsave_across_a_missing_page_writes_nothing)
{
	f->cpu->s.r[R_RDI] = FIXTURE_RAM - 256;
	memset(fixture_at(f, FIXTURE_RAM - 256), 0xee, 256);
	cr_expect(eq(i32, RUN(1, FXSAVE), VEC_PF));
	cr_expect(eq(u8, *(uint8_t *)fixture_at(f, FIXTURE_RAM - 256), 0xee));
}

Test(fpstate, restoring_an_unmasked_flag_makes_it_pending)
{
	legal_image();
	put64(0, 0x37e | FP_IE << 16);
	cr_expect(eq(i32, RUN(2, FXRSTOR, 0x9b), VEC_MF));
}

/* ---- XSAVE ---- */
Test(fpstate, xsave_needs_osxsave_and_no_ts)
{
	f->cpu->s.cr0 |= CR0_TS;
	cr_expect(eq(i32, RUN(1, XSAVE64), VEC_NM));
	f->cpu->s.cr4 &= ~CR4_OSXSAVE;
	cr_expect(eq(i32, RUN(1, XSAVE64), VEC_UD));
}

Test(fpstate, xsave_is_64_byte_aligned)
{
	f->cpu->s.r[R_RDI] += 16;
	cr_expect(eq(i32, RUN(1, XSAVE64), VEC_GP));
	cr_expect(eq(i32, RUN(1, XRSTOR64), VEC_GP));
}

/* "XSTATE_BV[i] is written with XINUSE[i] if RFBM[i] = 1, and is left if RFBM[i] = 0" */
Test(fpstate, xsave_keeps_header_bits_it_was_not_asked_for)
{
	some_state();
	header(XSTATE_SSE | BIT(40), 0);
	f->cpu->s.r[R_RAX] = XSTATE_X87;
	f->cpu->s.r[R_RDX] = 0;
	RUN(1, XSAVE64);
	cr_expect(eq(u64, get64(XSAVE_HEADER), XSTATE_X87 | XSTATE_SSE | BIT(40)));
	cr_expect(eq(u64, get64(160), 0xeeeeeeeeeeeeeeee), "XMM registers were not asked for");
	cr_expect(eq(u32, get32(24), 0xeeeeeeee), "nor MXCSR");
}

Test(fpstate, xsave_writes_components_in_their_initial_configuration)
{
	header(~0ull, 0);
	RUN(1, XSAVE64);
	cr_expect(eq(u64, get64(XSAVE_HEADER) & 0x203, 0), "none in use");
	cr_expect(eq(u64, get64(160), 0), "written all the same");
	cr_expect(eq(u32, get32(24), MXCSR_INIT));
}

Test(fpstate, xsaveopt_and_xsavec_leave_them_out)
{
	header(0, 0);
	RUN(1, XSAVEOPT64);
	cr_expect(eq(u64, get64(160), 0xeeeeeeeeeeeeeeee));
	cr_expect(eq(u32, get32(24), MXCSR_INIT), "MXCSR is not part of the optimization");
	memset(area(), 0xee, 1024);
	RUN(1, XSAVEC64);
	cr_expect(eq(u64, get64(160), 0xeeeeeeeeeeeeeeee));
	cr_expect(eq(u32, get32(24), 0xeeeeeeee));
	cr_expect(eq(u64, get64(XSAVE_HEADER), 0));
	cr_expect(eq(u64, get64(XSAVE_HEADER + 8), BIT(63) | 0x203));
	cr_expect(eq(u64, get64(XSAVE_HEADER + 16), 0xeeeeeeeeeeeeeeee));
}

Test(fpstate, an_unusual_mxcsr_makes_xsavec_save_sse)
{
	f->cpu->s.mxcsr = 0x1f00;
	RUN(1, XSAVEC64);
	cr_expect(eq(u64, get64(XSAVE_HEADER), XSTATE_SSE));
	cr_expect(eq(u32, get32(24), 0x1f00));
}

#define ROUND_TRIP(name, save, restore) \
Test(fpstate, name) \
{ \
	some_state(); \
	memset(area() + XSAVE_HEADER, 0, 64); \
	struct cpu_state was = f->cpu->s; \
	cr_expect(eq(i32, RUN(1, save), -1)); \
	x87_reset(f->cpu); \
	memset(f->cpu->s.xmm, 0x77, sizeof f->cpu->s.xmm); \
	f->cpu->s.mxcsr = MXCSR_INIT; \
	f->cpu->s.pkru = 0; \
	cr_expect(eq(i32, RUN(1, restore), -1)); \
	cr_expect_arr_eq(f->cpu->s.st, was.st, sizeof was.st); \
	cr_expect_arr_eq(f->cpu->s.xmm, was.xmm, sizeof was.xmm); \
	cr_expect(eq(u64, f->cpu->s.fdp, was.fdp)); \
	cr_expect(eq(u32, f->cpu->s.mxcsr, was.mxcsr)); \
	cr_expect(eq(u32, f->cpu->s.pkru, was.pkru)); \
	cr_expect(eq(u64, f->cpu->mmu.pkru, was.pkru)); \
}
ROUND_TRIP(xsave_and_xrstor, XSAVE64, XRSTOR64)
ROUND_TRIP(xsaveopt_and_xrstor, XSAVEOPT64, XRSTOR64)
ROUND_TRIP(xsavec_and_xrstor, XSAVEC64, XRSTOR64)
ROUND_TRIP(xsaves_and_xrstors, XSAVES64, XRSTORS64)

Test(fpstate, xrstor_initialises_what_the_header_does_not_have)
{
	some_state();
	legal_image();
	put64(24, 0x1f00);
	RUN(1, XRSTOR64);
	cr_expect(eq(u16, f->cpu->s.ftw, 0xffff));
	cr_expect(eq(u16, f->cpu->s.fcw, 0x37f));
	cr_expect(eq(u64, f->cpu->s.xmm[5][1], 0));
	cr_expect(eq(u32, f->cpu->s.pkru, 0));
	cr_expect(eq(u32, f->cpu->s.mxcsr, 0x1f00), "the standard form loads MXCSR all the same");
	header(0, BIT(63) | 3);
	RUN(1, XRSTOR64);
	cr_expect(eq(u32, f->cpu->s.mxcsr, MXCSR_INIT), "the compacted form does not");
}

#define BAD_HEADER(name, bv, comp, at, insn) \
Test(fpstate, name) \
{ \
	legal_image(); \
	header(bv, comp); \
	if (at) \
		area()[XSAVE_HEADER + at] = 1; \
	struct cpu_state was = f->cpu->s; \
	cr_expect(eq(i32, RUN(1, insn), VEC_GP)); \
	cr_expect_arr_eq(f->cpu->s.xmm, was.xmm, sizeof was.xmm); \
}
BAD_HEADER(a_component_outside_xcr0_is_gp, XSTATE_AVX, 0, 0, XRSTOR64)
BAD_HEADER(xcomp_bv_without_bit_63_is_gp, 3, 3, 0, XRSTOR64)
BAD_HEADER(byte_16_of_the_header_is_gp, 3, 0, 16, XRSTOR64)
BAD_HEADER(compacted_bv_outside_comp_is_gp, 3, BIT(63) | 1, 0, XRSTOR64)
BAD_HEADER(compacted_comp_outside_xcr0_is_gp, 1, BIT(63) | 7, 0, XRSTOR64)
BAD_HEADER(compacted_byte_63_is_gp, 3, BIT(63) | 3, 63, XRSTOR64)
BAD_HEADER(xrstors_takes_the_compacted_form_only, 3, 0, 0, XRSTORS64)

Test(fpstate, the_standard_form_ignores_header_bytes_from_24_on)
{
	legal_image();
	header(3, 0);
	area()[XSAVE_HEADER + 24] = 1;
	cr_expect(eq(i32, RUN(1, XRSTOR64), -1));
}

Test(fpstate, xsaves_outside_ring_0_is_gp)
{
	fixture_ring3(f);
	cr_expect(eq(i32, RUN(1, XSAVES64), VEC_GP));
	fixture_free(f);
	start();
	fixture_ring3(f);
	cr_expect(eq(i32, RUN(1, XSAVEC64), -1));
}

Test(fpstate, xgetbv_1_says_what_is_in_use)
{
	f->cpu->s.r[R_RCX] = 1;
	RUN(1, XGETBV);
	cr_expect(eq(u64, f->cpu->s.r[R_RAX], 0));
	some_state();
	RUN(1, XGETBV);
	cr_expect(eq(u64, f->cpu->s.r[R_RAX], 0x203));
}

/* What CPUID says is where XSAVE puts it. */
Test(fpstate, cpuid_describes_the_area)
{
	uint32_t o[4];
	cpuid_leaf(f->cpu, 0xd, 0, o);
	cr_expect(eq(u32, o[CPUID_EAX], (uint32_t)xcr0_valid_bits(f->cpu)));
	cr_expect(eq(u32, o[CPUID_EBX], XSAVE_PKRU_OFFSET + XSAVE_PKRU_SIZE));
	cpuid_leaf(f->cpu, 0xd, 9, o);
	cr_expect(eq(u32, o[CPUID_EAX], 8));
	some_state();
	RUN(1, XSAVEC64);
	cr_expect(eq(u32, get32(o[CPUID_EBX]), 0x55555554));
}

/* SDM Vol. 2A, CPUID: "If EAX[3] is enumerated as 0 and EAX[1] is enumerated as 1, EBX enumerates the size of the XSAVE area containing all states
 * enabled by XCR0. If EAX[1] and EAX[3] are both enumerated as 0, EBX enumerates zero." */
Test(fpstate, cpuid_has_the_compacted_size_without_xsaves)
{
	uint32_t o[4];
	f->cpu->features[FEATURE_XSAVES / 64] &= ~BIT(FEATURE_XSAVES % 64);
	cpuid_leaf(f->cpu, 0xd, 1, o);
	cr_expect(eq(u32, o[CPUID_EBX], XSAVE_PKRU_OFFSET + XSAVE_PKRU_SIZE));
	cr_expect(eq(u32, o[CPUID_ECX], 0));
	f->cpu->features[FEATURE_XSAVEC / 64] &= ~BIT(FEATURE_XSAVEC % 64);
	cpuid_leaf(f->cpu, 0xd, 1, o);
	cr_expect(eq(u32, o[CPUID_EBX], 0));
}
