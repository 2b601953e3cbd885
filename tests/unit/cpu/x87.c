/* x87.c - the x87 unit's rules that random comparison does not show: deferred exceptions, the
 * environment's four formats, availability, the stack's corners. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/cpu/x87.h"
#include "tests/unit/cpu/fixture.h"

static struct fixture *f;

static void start(enum fixture_mode mode)
{
	f = fixture_new(mode);
	f->cpu->s.r[R_RDI] = mode == FIXTURE_REAL16 ? 0x4000 : FIXTURE_DATA;
	x87_init(f->cpu);
}
static void start64(void) { start(FIXTURE_LONG64); }
static void stop(void) { fixture_free(f); }
TestSuite(x87, .init = start64, .fini = stop);

/* After an exception the CPU has halted in its handler: wake it. */
#define RUN(n, ...) (f->cpu->s.activity = ACTIVITY_ACTIVE, \
	fixture_code(f, (uint8_t[]){ __VA_ARGS__ }, sizeof (uint8_t[]){ __VA_ARGS__ }), \
	fixture_run(f, n))
#define FLD1  0xd9, 0xe8
#define FLDZ  0xd9, 0xee
#define FLDPI 0xd9, 0xeb
#define FDIVP 0xde, 0xf9
#define FADDP 0xde, 0xc1
#define FNOP  0xd9, 0xd0
#define FWAIT 0x9b
#define FNINIT 0xdb, 0xe3
#define FNSTSW_AX 0xdf, 0xe0

static void *data(unsigned at) { return fixture_at(f, FIXTURE_DATA + at); }
static uint32_t data32(unsigned at) { uint32_t v; memcpy(&v, data(at), 4); return v; }
static uint16_t data16(unsigned at) { uint16_t v; memcpy(&v, data(at), 2); return v; }
static void st0_is(uint16_t se, uint64_t mant)
{
	struct x87_reg r = x87_raw(f->cpu, 0);
	cr_expect(eq(u16, r.se, se));
	cr_expect(eq(u64, r.mant, mant));
}
static void load_st0(uint16_t se, uint64_t mant)
{
	x87_push(f->cpu, (struct x87_reg){ .mant = mant, .se = se });
}

/* ---- exceptions ---- */
/* "the processor ... invokes the exception handler just before it executes the next waiting
 * instruction" */
Test(x87, an_unmasked_exception_waits_for_the_next_waiting_instruction)
{
	f->cpu->s.fcw = 0x37f & ~FP_ZE;
	cr_expect(eq(i32, RUN(5, FLD1, FLDZ, FDIVP, FNSTSW_AX, FWAIT), VEC_MF));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE + 8));
	cr_expect(eq(u16, (uint16_t)f->cpu->s.r[R_RAX], FSW_B | FSW_ES | FP_ZE | 6 << 11), "no result, no pop");
}

Test(x87, the_same_exception_masked_yields_infinity)
{
	cr_expect(eq(i32, RUN(4, FLD1, FLDZ, FDIVP, FWAIT), -1));
	st0_is(0x7fff, BIT(63));
	cr_expect(eq(u16, f->cpu->s.fsw & FP_ALL, FP_ZE));
}

Test(x87, unmasking_a_flag_that_is_set_makes_it_pending)
{
	uint16_t cw = 0x37b;
	memcpy(data(0), &cw, 2);
	cr_expect(eq(i32, RUN(5, FLD1, FLDZ, FDIVP, 0xd9, 0x2f /* fldcw [rdi] */, FNOP), VEC_MF));
}

Test(x87, fninit_and_fnclex_do_not_wait)
{
	f->cpu->s.fcw = 0x37b;
	cr_expect(eq(i32, RUN(5, FLD1, FLDZ, FDIVP, 0xdb, 0xe2 /* fnclex */, FWAIT), -1));
	cr_expect(eq(u16, f->cpu->s.fsw & 0x80ff, 0));
	f->cpu->s.fsw |= FP_ZE | FSW_ES;
	cr_expect(eq(i32, RUN(2, FNINIT, FWAIT), -1));
	cr_expect(eq(u16, f->cpu->s.fcw, 0x37f));
	cr_expect(eq(u16, f->cpu->s.ftw, 0xffff));
}

Test(x87, without_cr0_ne_a_pending_exception_is_ignored)
{
	f->cpu->s.cr0 &= ~CR0_NE;
	f->cpu->s.fsw = FP_ZE | FSW_ES | FSW_B;
	f->cpu->s.fcw = 0x37b;
	cr_expect(eq(i32, RUN(1, FLD1), -1));
}

Test(x87, ts_and_em_make_instructions_nm)
{
	f->cpu->s.cr0 |= CR0_TS;
	cr_expect(eq(i32, RUN(1, FNINIT), VEC_NM));
	f->cpu->s.cr0 ^= CR0_TS | CR0_EM;
	cr_expect(eq(i32, RUN(1, FLD1), VEC_NM));
}

/* "WAIT: #NM if CR0.MP and CR0.TS are both set" */
Test(x87, fwait_needs_mp_and_ts_for_nm)
{
	f->cpu->s.cr0 |= CR0_TS | CR0_MP;
	cr_expect(eq(i32, RUN(1, FWAIT), VEC_NM));
	f->cpu->s.cr0 &= ~CR0_MP;
	cr_expect(eq(i32, RUN(1, FWAIT), -1));
	f->cpu->s.cr0 = (f->cpu->s.cr0 & ~CR0_TS) | CR0_EM;
	cr_expect(eq(i32, RUN(1, FWAIT), -1));
}

/* ---- the stack ---- */
Test(x87, the_ninth_push_overflows_with_c1_set)
{
	for (unsigned i = 0; i < 8; i++)
		load_st0(0x3fff, BIT(63));
	RUN(1, FLD1);
	cr_expect(eq(u16, f->cpu->s.fsw & (FSW_SF | FSW_C1 | FP_IE), FSW_SF | FSW_C1 | FP_IE));
	st0_is(0xffff, 3ull << 62);
}

Test(x87, adding_to_an_empty_register_underflows_with_c1_clear)
{
	f->cpu->s.fsw |= FSW_C1;
	RUN(2, FLD1, 0xd8, 0xc1 /* fadd st0, st1 */);
	cr_expect(eq(u16, f->cpu->s.fsw & (FSW_SF | FSW_C1 | FP_IE), FSW_SF | FP_IE));
	st0_is(0xffff, 3ull << 62);
}

Test(x87, an_unmasked_stack_fault_changes_nothing_but_the_status)
{
	f->cpu->s.fcw = 0x37e;
	RUN(1, 0xd9, 0x1f /* fstp dword [rdi] */);
	cr_expect(eq(u16, f->cpu->s.fsw, FSW_B | FSW_ES | FSW_SF | FP_IE));
	cr_expect(eq(u32, data32(0), 0), "nothing stored");
}

Test(x87, tags_follow_the_contents)
{
	load_st0(0, 0);
	load_st0(0x3fff, BIT(63));
	load_st0(0x7fff, BIT(63));
	load_st0(0x1234, 1);            /* unnormal */
	cr_expect(eq(u16, f->cpu->s.ftw, FTW_ZERO << 14 | FTW_VALID << 12 | FTW_SPECIAL << 10 | FTW_SPECIAL << 8 | 0xff));
}

/* ---- faults of memory operands leave no trace ---- */
Test(x87, a_faulting_store_does_not_pop)
{
	f->cpu->s.r[R_RDI] = 64ull << 20;       /* not mapped */
	load_st0(0x3fff, BIT(63) | 1);
	cr_expect(eq(i32, RUN(1, 0xd9, 0x1f /* fstp dword [rdi] */), VEC_PF));
	cr_expect(eq(u16, f->cpu->s.fsw, 7 << 11), "no PE, TOP unchanged");
	cr_expect(eq(u64, f->cpu->s.fip, 0));
}

/* ---- arithmetic: corners by hand, for hosts without an x87 ---- */
Test(x87, precision_control_rounds_the_significand_only)
{
	f->cpu->s.fcw = 0x7f;           /* 24 bits */
	load_st0(0x0001, BIT(63));
	load_st0(0x3fff, BIT(63) | BIT(39));    /* 1 + 2^-24: halfway */
	RUN(1, 0xd8, 0xc9 /* fmul st0, st1 */);
	st0_is(0x0001, BIT(63));
	cr_expect(eq(u16, f->cpu->s.fsw & FP_ALL, FP_PE), "the smallest 80-bit exponent is no underflow");
}

Test(x87, unmasked_overflow_wraps_the_exponent)
{
	f->cpu->s.fcw = 0x377;
	load_st0(0x7ffe, BIT(63));
	RUN(1, 0xd8, 0xc8 /* fmul st0, st0 */);
	st0_is((uint16_t)(0x7ffe + 0x7ffe - 0x3fff - 24576), BIT(63));
	cr_expect(eq(u16, f->cpu->s.fsw & (FP_ALL | FSW_ES), FP_OE | FSW_ES));
}

Test(x87, pseudo_denormals_count_and_unnormals_are_invalid)
{
	load_st0(0, BIT(63));           /* pseudo-denormal: 2^-16382 */
	RUN(1, 0xd8, 0xc0 /* fadd st0, st0 */);
	st0_is(2, BIT(63));
	cr_expect(eq(u16, f->cpu->s.fsw & FP_ALL, FP_DE));
	load_st0(0x4000, 1);
	RUN(1, 0xd8, 0xc0);
	st0_is(0xffff, 3ull << 62);
	cr_expect(ne(int, (int)(f->cpu->s.fsw & FP_IE), 0));
}

/* "the larger significand"; of equal ones the positive */
Test(x87, of_two_nans_the_larger_significand_wins)
{
	load_st0(0x7fff, 0xc000000000000005);
	load_st0(0xffff, 0xc000000000000004);
	RUN(1, 0xd8, 0xc1);
	st0_is(0x7fff, 0xc000000000000005);
	cr_expect(eq(u16, f->cpu->s.fsw & FP_ALL, 0));
}

Test(x87, fprem_leaves_c2_when_64_or_more_apart)
{
	load_st0(0x3fff, BIT(63) | BIT(62));
	load_st0(0x3fff + 64, BIT(63) | 12345);
	RUN(1, 0xd9, 0xf8);
	cr_expect(ne(int, (int)(f->cpu->s.fsw & FSW_C2), 0));
	RUN(1, 0xd9, 0xf8);
	cr_expect(eq(u16, f->cpu->s.fsw & FSW_C2, 0));
}

/* 7 = 3 * 2 + 1: the quotient's low bits 010 are C0, C3, C1 */
Test(x87, fprem_reports_the_quotients_low_bits)
{
	load_st0(0x4000, BIT(63) | BIT(62));            /* 3 */
	load_st0(0x4001, BIT(63) | BIT(62) | BIT(61));  /* 7 */
	RUN(1, 0xd9, 0xf8);
	st0_is(0x3fff, BIT(63));
	cr_expect(eq(u16, f->cpu->s.fsw & FSW_CC, FSW_C3));
}

Test(x87, fbstp_writes_digits_and_fbld_reads_them)
{
	static const uint8_t want[10] = { 0x89, 0x67, 0x45, 0x23, 0x01, 0, 0, 0, 0, 0x80 };
	x87_push(f->cpu, x87_pack(f_from_int(-123456789)));
	RUN(1, 0xdf, 0x37);
	cr_expect_arr_eq(data(0), want, 10);
	RUN(1, 0xdf, 0x27);
	cr_expect(eq(u64, x87_raw(f->cpu, 0).mant, x87_pack(f_from_int(-123456789)).mant));
	x87_push(f->cpu, x87_pack(f_from_int(1000000000000000000)));    /* 19 digits */
	RUN(1, 0xdf, 0x37);
	cr_expect(eq(u16, data16(8), 0xffff));
	cr_expect(eq(u16, data16(6), 0xc000));
}

/* ---- transcendental ---- */
/* SDM Vol. 1, "Approximation of Pi": 66 bits, so the sine of 80-bit pi is not quite true. */
Test(x87, fsin_of_pi_shows_the_66_bit_pi)
{
	RUN(2, FLDPI, 0xd9, 0xfe);
	st0_is(0x8000 | (0x3fff - 64), BIT(63));
}

Test(x87, fsin_from_2_to_the_63_on_sets_c2_and_keeps_the_operand)
{
	load_st0(0x3fff + 63, BIT(63));
	RUN(1, 0xd9, 0xfe);
	cr_expect(ne(int, (int)(f->cpu->s.fsw & FSW_C2), 0));
	st0_is(0x3fff + 63, BIT(63));
	load_st0(0x3fff + 62, ~0ull);
	RUN(1, 0xd9, 0xfe);
	cr_expect(eq(u16, f->cpu->s.fsw & FSW_C2, 0));
}

Test(x87, exact_transcendental_results_raise_nothing)
{
	x87_push(f->cpu, x87_pack(f_from_int(3)));
	x87_push(f->cpu, x87_pack(f_from_int(8)));
	RUN(1, 0xd9, 0xf1 /* fyl2x: 3 * log2(8) */);
	st0_is(x87_pack(f_from_int(9)).se, x87_pack(f_from_int(9)).mant);
	cr_expect(eq(u16, f->cpu->s.fsw & FP_ALL, 0));
}

/* ---- the environment ---- */
static void environment(void)
{
	f->cpu->s.fop = 0x5a5;
	f->cpu->s.fip = 0x12345;
	f->cpu->s.fcs = 0x1000;
	f->cpu->s.fdp = 0x6789a;
	f->cpu->s.fds = 0x2000;
	f->cpu->s.fsw = 0x3800;
}

Test(x87, fnstenv_protected_32_bits_then_masks_all)
{
	environment();
	f->cpu->s.fcw = 0x340;
	RUN(1, 0xd9, 0x37);
	static const uint32_t want[7] = { 0xffff0340, 0xffff3800, 0xffffffff, 0x12345, 0x5a51000, 0x6789a, 0xffff2000 };
	cr_expect_arr_eq(data(0), want, sizeof want);
	cr_expect(eq(u16, f->cpu->s.fcw, 0x37f));
}

Test(x87, fnstenv_protected_16_bits)
{
	environment();
	RUN(1, 0x66, 0xd9, 0x37);
	static const uint16_t want[7] = { 0x37f, 0x3800, 0xffff, 0x2345, 0x1000, 0x789a, 0x2000 };
	cr_expect_arr_eq(data(0), want, sizeof want);
}

/* FIP and FDP as linear addresses: 0x12345 + 0x10000, 0x6789a + 0x20000 */
Test(x87_real, fnstenv_real_mode_both_sizes)
{
	start(FIXTURE_REAL16);
	environment();
	RUN(1, 0xd9, 0x35);             /* [di], 16 bits */
	static const uint16_t want[7] = { 0x37f, 0x3800, 0xffff, 0x2345, 0x2000 | 0x5a5, 0x789a, 0x8000 };
	cr_expect_arr_eq(fixture_at(f, 0x4000), want, sizeof want);
	environment();
	RUN(1, 0x66, 0xd9, 0x35);
	static const uint32_t want32[7] = { 0xffff037f, 0xffff3800, 0xffffffff, 0xffff2345, 0x2000 | 0x5a5, 0xffff789a, 0x8000 };
	cr_expect_arr_eq(fixture_at(f, 0x4000), want32, sizeof want32);
	stop();
}

Test(x87, fnsave_initialises_and_frstor_brings_back)
{
	RUN(3, FLDPI, FLD1, FLDZ);
	struct cpu_state was = f->cpu->s;
	RUN(1, 0xdd, 0x37);
	cr_expect(eq(u16, f->cpu->s.fcw, 0x37f));
	cr_expect(eq(u16, f->cpu->s.ftw, 0xffff));
	cr_expect(eq(u16, f->cpu->s.fsw, 0));
	memset(f->cpu->s.st, 0, sizeof f->cpu->s.st);
	RUN(1, 0xdd, 0x27);
	cr_expect(eq(u16, f->cpu->s.fsw, was.fsw));
	cr_expect(eq(u16, f->cpu->s.ftw, was.ftw));
	cr_expect(eq(u64, f->cpu->s.fip, was.fip));
	cr_expect(eq(u16, f->cpu->s.fop, was.fop));
	cr_expect_arr_eq(f->cpu->s.st, was.st, sizeof was.st);
}

Test(x87, pointers_follow_waiting_instructions_only)
{
	RUN(1, 0xd9, 0x07 /* fld dword [rdi] */);
	cr_expect(eq(u64, f->cpu->s.fip, FIXTURE_CODE));
	cr_expect(eq(u64, f->cpu->s.fdp, FIXTURE_DATA));
	cr_expect(eq(u16, f->cpu->s.fop, 0x107));
	RUN(2, 0x90, FNSTSW_AX);
	cr_expect(eq(u64, f->cpu->s.fip, FIXTURE_CODE));
	RUN(2, 0x90, FLD1);
	cr_expect(eq(u64, f->cpu->s.fip, FIXTURE_CODE + 1));
	cr_expect(eq(u64, f->cpu->s.fdp, FIXTURE_DATA), "no memory operand: FDP stays");
}

/* ---- MMX ---- */
Test(x87, an_mmx_write_resets_top_tags_all_and_sets_the_exponent)
{
	RUN(1, FLD1);
	RUN(1, 0x0f, 0x6e, 0xd8 /* movd mm3, eax */);
	cr_expect(eq(u16, f->cpu->s.fsw & FSW_TOP, 0));
	cr_expect(eq(u8, x87_abridged(f->cpu), 0xff));
	cr_expect(eq(u16, f->cpu->s.st[3].se, 0xffff));
	RUN(1, 0x0f, 0x77);
	cr_expect(eq(u16, f->cpu->s.ftw, 0xffff));
}

Test(x87, mmx_is_ud_under_em_nm_under_ts_and_mf_when_pending)
{
	f->cpu->s.cr0 |= CR0_EM | CR0_TS;
	cr_expect(eq(i32, RUN(1, 0x0f, 0x77), VEC_UD));
	f->cpu->s.cr0 &= ~CR0_EM;
	cr_expect(eq(i32, RUN(1, 0x0f, 0x77), VEC_NM));
	f->cpu->s.cr0 &= ~CR0_TS;
	f->cpu->s.fcw = 0x37e;
	f->cpu->s.fsw = FSW_ES | FSW_B | FP_IE;
	cr_expect(eq(i32, RUN(1, 0x0f, 0x77), VEC_MF));
}
