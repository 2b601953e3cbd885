/* sse.c - SSE's rules that random comparison does not show: availability, alignment, where
 * exceptions go, and the boundaries of arithmetic by hand, for hosts that are no x86. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/cpu/sse.h"
#include "tests/unit/cpu/fixture.h"

static struct fixture *f;
static void start(void)
{
	f = fixture_new(FIXTURE_LONG64);
	f->cpu->s.r[R_RDI] = FIXTURE_DATA;
}
static void stop(void) { fixture_free(f); }
TestSuite(sse, .init = start, .fini = stop);

/* After an exception the CPU has halted in its handler: wake it. */
#define RUN(n, ...) (f->cpu->s.activity = ACTIVITY_ACTIVE, \
	fixture_code(f, (uint8_t[]){ __VA_ARGS__ }, sizeof (uint8_t[]){ __VA_ARGS__ }), \
	fixture_run(f, n))
#define ADDPS 0x0f, 0x58, 0xc1
static uint64_t (*xmm(void))[2] { return f->cpu->s.xmm; }

/* ---- availability ---- */
#define UNAVAILABLE(name, set0, clear4, vec) \
Test(sse, name) \
{ \
	f->cpu->s.cr0 |= set0; \
	f->cpu->s.cr4 &= ~(uint64_t)(clear4); \
	cr_expect(eq(i32, RUN(1, ADDPS), vec)); \
	cr_expect(eq(i32, RUN(1, 0x66, 0x0f, 0xfe, 0xc1 /* paddd */), vec)); \
	cr_expect(eq(i32, RUN(1, 0x0f, 0x10, 0x07 /* movups */), vec)); \
}
UNAVAILABLE(em_is_ud, CR0_EM, 0, VEC_UD)
UNAVAILABLE(no_osfxsr_is_ud, 0, CR4_OSFXSR, VEC_UD)
UNAVAILABLE(ts_is_nm, CR0_TS, 0, VEC_NM)
UNAVAILABLE(em_comes_before_ts, CR0_EM | CR0_TS, 0, VEC_UD)

/* ---- alignment ---- */
#define ALIGNMENT(name, vec, ...) \
Test(sse, name) \
{ \
	f->cpu->s.r[R_RDI] = FIXTURE_DATA + 8; \
	cr_expect(eq(i32, RUN(1, __VA_ARGS__), vec)); \
	f->cpu->s.r[R_RDI] = FIXTURE_DATA + 16; \
	cr_expect(eq(i32, RUN(1, __VA_ARGS__), -1)); \
	f->cpu->s.r[R_RDI] = FIXTURE_DATA + 8;          /* now that the page is at hand */ \
	cr_expect(eq(i32, RUN(1, __VA_ARGS__), vec)); \
}
ALIGNMENT(movaps_load_is_aligned, VEC_GP, 0x0f, 0x28, 0x07)
ALIGNMENT(movaps_store_is_aligned, VEC_GP, 0x0f, 0x29, 0x07)
ALIGNMENT(addps_is_aligned, VEC_GP, 0x0f, 0x58, 0x07)
ALIGNMENT(pxor_is_aligned, VEC_GP, 0x66, 0x0f, 0xef, 0x07)
ALIGNMENT(movups_is_not, -1, 0x0f, 0x10, 0x07)
ALIGNMENT(movdqu_store_is_not, -1, 0xf3, 0x0f, 0x7f, 0x07)
ALIGNMENT(cvtps2pd_is_not, -1, 0x0f, 0x5a, 0x07)
ALIGNMENT(pcmpistri_is_not, -1, 0x66, 0x0f, 0x3a, 0x63, 0x07, 0)

Test(sse, a_load_across_pages_reads_both)
{
	uint64_t v[2] = { 0x1122334455667788, 0x99aabbccddeeff00 };
	memcpy(fixture_at(f, FIXTURE_DATA + 4096 - 5), v, 16);
	f->cpu->s.r[R_RDI] = FIXTURE_DATA + 4096 - 5;
	RUN(1, 0x0f, 0x10, 0x07);
	cr_expect_arr_eq(xmm()[0], v, 16);
}

/* ---- exceptions ---- */
Test(sse, an_unmasked_exception_is_xm_flags_set_and_no_result)
{
	xmm()[0][0] = 0x3f800000, xmm()[1][0] = 0;
	f->cpu->s.mxcsr = 0x1f80 & ~(FP_ZE << 7);
	cr_expect(eq(i32, RUN(1, 0xf3, 0x0f, 0x5e, 0xc1 /* divss */), VEC_XM));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE));
	cr_expect(eq(u32, f->cpu->s.mxcsr & FP_ALL, FP_ZE));
	cr_expect(eq(u64, xmm()[0][0], 0x3f800000));
	f->cpu->s.cr4 &= ~CR4_OSXMMEXCPT;
	cr_expect(eq(i32, RUN(1, 0xf3, 0x0f, 0x5e, 0xc1), VEC_UD));
}

/* "if an unmasked pre-computation exception is found in any element, no post-computation exceptions
 * are reported" */
Test(sse, a_pre_computation_exception_hides_rounding)
{
	xmm()[0][0] = 0x000000013f800001, xmm()[1][0] = 0x3f80000033800000;     /* lane 1: a denormal; lane 0: inexact */
	f->cpu->s.mxcsr = 0x1f80 & ~(FP_DE << 7);
	cr_expect(eq(i32, RUN(1, ADDPS), VEC_XM));
	cr_expect(eq(u32, f->cpu->s.mxcsr & FP_ALL, FP_DE));
}

Test(sse, flags_are_sticky_and_do_not_raise_later)
{
	f->cpu->s.mxcsr = 0x1f80 & ~(FP_PE << 7);
	f->cpu->s.mxcsr |= FP_PE;
	cr_expect(eq(i32, RUN(1, ADDPS), -1));
	cr_expect(ne(int, (int)(f->cpu->s.mxcsr & FP_PE), 0));
}

Test(sse, ldmxcsr_of_a_reserved_bit_is_gp)
{
	uint32_t v = 0x11f80;
	memcpy(fixture_at(f, FIXTURE_DATA), &v, 4);
	cr_expect(eq(i32, RUN(1, 0x0f, 0xae, 0x17), VEC_GP));
	cr_expect(eq(u32, f->cpu->s.mxcsr, 0x1f80));
}

/* ---- arithmetic: single precision, op a, b = r with flags, under MXCSR ---- */
#define SINGLE(name, opcode, csr, a, b, r, flags) \
Test(sse, name) \
{ \
	xmm()[0][0] = a, xmm()[1][0] = b; \
	f->cpu->s.mxcsr = 0x1f80 | (csr); \
	cr_expect(eq(i32, RUN(1, 0xf3, 0x0f, opcode, 0xc1), -1)); \
	cr_expect(eq(u32, (uint32_t)xmm()[0][0], r)); \
	cr_expect(eq(u32, f->cpu->s.mxcsr & FP_ALL, flags)); \
}
enum { ADD = 0x58, MUL = 0x59, SUB = 0x5c, MIN = 0x5d, DIV = 0x5e, MAX = 0x5f, SQRT = 0x51 };
enum { DOWN = 1 << 13, UP = 2 << 13, ZERO = 3 << 13 };
SINGLE(one_plus_one, ADD, 0, 0x3f800000, 0x3f800000, 0x40000000, 0)
SINGLE(halfway_goes_to_even, ADD, 0, 0x3f800000, 0x33800000, 0x3f800000, FP_PE)
SINGLE(halfway_goes_up_when_odd, ADD, 0, 0x3f800001, 0x33800000, 0x3f800002, FP_PE)
SINGLE(rounding_up, ADD, UP, 0x3f800000, 0x00800000, 0x3f800001, FP_PE)
SINGLE(rounding_down_a_negative, ADD, DOWN, 0xbf800000, 0x80800000, 0xbf800001, FP_PE)
SINGLE(rounding_to_zero, ADD, ZERO, 0x3f7fffff, 0x33000000, 0x3f7fffff, FP_PE)
SINGLE(x_minus_x_is_plus_zero, SUB, 0, 0x3f800000, 0x3f800000, 0, 0)
SINGLE(x_minus_x_is_minus_zero_rounding_down, SUB, DOWN, 0x3f800000, 0x3f800000, 0x80000000, 0)
SINGLE(inf_minus_inf_is_invalid, SUB, 0, 0x7f800000, 0x7f800000, 0xffc00000, FP_IE)
SINGLE(zero_times_inf_is_invalid, MUL, 0, 0, 0xff800000, 0xffc00000, FP_IE)
SINGLE(zero_by_zero_is_invalid, DIV, 0, 0, 0x80000000, 0xffc00000, FP_IE)
SINGLE(one_by_zero, DIV, 0, 0x3f800000, 0x80000000, 0xff800000, FP_ZE)
SINGLE(a_denormal_by_zero_is_ze_alone, DIV, 0, 1, 0, 0x7f800000, FP_ZE)
SINGLE(overflow_to_infinity, MUL, 0, 0x7f7fffff, 0x40000000, 0x7f800000, FP_OE | FP_PE)
SINGLE(overflow_to_the_largest, MUL, ZERO, 0x7f7fffff, 0x40000000, 0x7f7fffff, FP_OE | FP_PE)
SINGLE(exact_denormal_is_no_underflow, MUL, 0, 0x00800000, 0x3f000000, 0x00400000, 0)
SINGLE(inexact_denormal_is_underflow, MUL, 0, 0x00800001, 0x3f000000, 0x00400000, FP_UE | FP_PE)
SINGLE(tininess_is_found_after_rounding, MUL, 0, 0x00ffffff, 0x3f000000, 0x00800000, FP_PE | FP_UE)
SINGLE(a_denormal_operand_is_flagged, ADD, 0, 1, 0x3f800000, 0x3f800000, FP_DE | FP_PE)
SINGLE(daz_makes_it_zero, ADD, 0x40, 1, 0x3f800000, 0x3f800000, 0)
SINGLE(ftz_flushes_and_flags, MUL, 0x8000, 0x00800000, 0x3f000000, 0, FP_UE | FP_PE)
SINGLE(the_first_nan_is_taken, ADD, 0, 0x7fc00001, 0xffc00002, 0x7fc00001, 0)
SINGLE(a_signalling_nan_is_quieted, ADD, 0, 0x3f800000, 0x7f800001, 0x7fc00001, FP_IE)
SINGLE(min_of_a_nan_is_the_source, MIN, 0, 0x7fc00001, 0x3f800000, 0x3f800000, FP_IE)
SINGLE(max_of_zeros_is_the_source, MAX, 0, 0, 0x80000000, 0x80000000, 0)
SINGLE(sqrt_of_minus_zero, SQRT, 0, 0, 0x80000000, 0x80000000, 0)
SINGLE(sqrt_of_a_negative_is_invalid, SQRT, 0, 0, 0xbf800000, 0xffc00000, FP_IE)
SINGLE(sqrt_of_two, SQRT, 0, 0, 0x40000000, 0x3fb504f3, FP_PE)

/* ---- conversions ---- */
Test(sse, a_number_too_large_becomes_the_integer_indefinite)
{
	xmm()[0][0] = 0x41e0000000000000;       /* 2^31 */
	RUN(1, 0xf2, 0x0f, 0x2d, 0xc0 /* cvtsd2si eax, xmm0 */);
	cr_expect(eq(u64, f->cpu->s.r[R_RAX], 0x80000000));
	cr_expect(eq(u32, f->cpu->s.mxcsr & FP_ALL, FP_IE));
	RUN(1, 0xf2, 0x48, 0x0f, 0x2d, 0xc0 /* rax */);
	cr_expect(eq(u64, f->cpu->s.r[R_RAX], 0x80000000));
}

Test(sse, minus_2_to_the_31_fits)
{
	xmm()[0][0] = 0xc1e0000000000000;
	RUN(1, 0xf2, 0x0f, 0x2c, 0xc0 /* cvttsd2si eax, xmm0 */);
	cr_expect(eq(u64, f->cpu->s.r[R_RAX], 0x80000000));
	cr_expect(eq(u32, f->cpu->s.mxcsr & FP_ALL, 0));
}

Test(sse, cvtsi2sd_of_the_largest_integer_rounds)
{
	f->cpu->s.r[R_RAX] = INT64_MAX;
	RUN(1, 0xf2, 0x48, 0x0f, 0x2a, 0xc0);
	cr_expect(eq(u64, xmm()[0][0], 0x43e0000000000000));
	cr_expect(eq(u32, f->cpu->s.mxcsr & FP_ALL, FP_PE));
	RUN(1, 0xf2, 0x48, 0x0f, 0x2a, 0xc0);           /* the short way, PE being set */
	cr_expect(eq(u64, xmm()[0][0], 0x43e0000000000000));
}

/* ---- the approximations' bound: |relative error| <= 1.5 * 2^-12 ---- */
Test(sse, rcp_and_rsqrt_keep_their_bound)
{
	for (uint32_t v = 0x3f800000; v < 0x40800000; v += 0x3333) {
		float x, r;
		memcpy(&x, &v, 4);
		xmm()[1][0] = v;
		RUN(1, 0xf3, 0x0f, 0x53, 0xc1);
		memcpy(&r, xmm()[0], 4);
		double e = (double)r * x - 1;
		cr_assert(e <= 1.5 / 4096 && e >= -1.5 / 4096, "rcpss %a = %a", x, r);
		RUN(1, 0xf3, 0x0f, 0x52, 0xc1);
		memcpy(&r, xmm()[0], 4);
		e = (double)r * r * x - 1;
		cr_assert(e <= 3.0 / 4096 && e >= -3.0 / 4096, "rsqrtss %a = %a", x, r);
	}
}

/* ---- faults of stores ---- */
Test(sse, maskmovdqu_with_an_empty_mask_touches_nothing)
{
	f->cpu->s.r[R_RDI] = 64ull << 20;       /* not mapped */
	cr_expect(eq(i32, RUN(1, 0x66, 0x0f, 0xf7, 0xc1), -1));
	xmm()[1][0] = 0x80;
	cr_expect(eq(i32, RUN(1, 0x66, 0x0f, 0xf7, 0xc1), VEC_PF));
}

/* The implied operand is DS:[RDI]: #GP(0), not #SS(0). An SS prefix means something outside 64-bit mode only. */
Test(sse, maskmov_of_a_non_canonical_address)
{
	f->cpu->s.r[R_RDI] = 1ull << 62;
	xmm()[1][0] = 0x80;
	f->cpu->s.st[1].mant = 0x80;
	cr_expect(eq(i32, RUN(1, 0x66, 0x0f, 0xf7, 0xc1), VEC_GP));
	cr_expect(eq(i32, RUN(1, 0x36, 0x66, 0x0f, 0xf7, 0xc1), VEC_GP));
	cr_expect(eq(i32, RUN(1, 0x0f, 0xf7, 0xc1), VEC_GP));
}

Test(sse, maskmov_beyond_a_limit)
{
	fixture_free(f);
	f = fixture_new(FIXTURE_PROT32);
	for (unsigned i = SEG_ES; i <= SEG_DS; i++)
		if (i != SEG_CS) {
			f->cpu->s.seg[i].limit = FIXTURE_DATA - 1;
			seg_derive(f->cpu, (enum seg_reg)i);
		}
	f->cpu->s.r[R_RDI] = FIXTURE_DATA;
	xmm()[1][0] = 0x80;
	f->cpu->s.st[1].mant = 0x80;
	cr_expect(eq(i32, RUN(1, 0x66, 0x0f, 0xf7, 0xc1), VEC_GP));
	cr_expect(eq(i32, RUN(1, 0x36, 0x66, 0x0f, 0xf7, 0xc1), VEC_SS));
	cr_expect(eq(i32, RUN(1, 0x0f, 0xf7, 0xc1), VEC_GP));
	cr_expect(eq(i32, RUN(1, 0x36, 0x0f, 0xf7, 0xc1), VEC_SS));
}

Test(sse, avx_and_aes_are_ud)
{
	cr_expect(eq(i32, RUN(1, 0xc5, 0xf8, 0x58, 0xc1 /* vaddps */), VEC_UD));
	cr_expect(eq(i32, RUN(1, 0x66, 0x0f, 0x38, 0xdc, 0xc1 /* aesenc */), VEC_UD));
	cr_expect(eq(i32, RUN(1, 0x66, 0x0f, 0x3a, 0x44, 0xc1, 0 /* pclmulqdq */), VEC_UD));
}
