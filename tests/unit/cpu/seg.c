/* seg.c - segment registers: loads, limits, queries. Each row is one rule of SDM Vol. 2B "MOV",
 * Vol. 3A "Protection". */
#include "tests/unit/cpu/prot.h"

/* ---- loads ---- */

/* MOV to a segment register with the descriptor at 48H: DS (8E D8) or SS (8E D0). */
#define ROW(name, cpl, modrm, selector, attr, vec, ec) \
Test(seg, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_PROT32, cpl); \
	put_desc(f, 0x48, descriptor(0x1000, 0xfff, attr)); \
	REG(f, R_RAX) = selector; \
	int v = STEP(f, 0x8e, modrm); \
	EXPECT_FAULT(f, v, vec, ec); \
	if (v == NONE) \
		cr_expect(eq(u16, f->cpu->s.seg[modrm == 0xd8 ? SEG_DS : SEG_SS].sel, selector)); \
	fixture_free(f); \
}
ROW(data_segment_loads,                       0, 0xd8, 0x48, DATA(0),         NONE,   0)
ROW(read_only_data_loads_into_ds,             0, 0xd8, 0x48, RODATA(0),       NONE,   0)
ROW(readable_code_loads_into_ds,              0, 0xd8, 0x48, CODE(0),         NONE,   0)
ROW(execute_only_code_does_not,               0, 0xd8, 0x48, XCODE(0),        VEC_GP, 0x48)
ROW(a_system_descriptor_does_not,             0, 0xd8, 0x48, SYS(DESC_LDT, 0), VEC_GP, 0x48)
ROW(not_present_data_is_np,                   0, 0xd8, 0x48, ABSENT(DATA(0)), VEC_NP, 0x48)
ROW(type_is_checked_before_presence,          0, 0xd8, 0x48, ABSENT(XCODE(0)), VEC_GP, 0x48)
ROW(rpl_above_dpl_is_gp,                      0, 0xd8, 0x49, DATA(0),         VEC_GP, 0x48)
ROW(rpl_equal_to_dpl_is_not,                  0, 0xd8, 0x4b, DATA(3),         NONE,   0)
ROW(cpl_above_dpl_is_gp,                      3, 0xd8, 0x48, DATA(2),         VEC_GP, 0x48)
ROW(conforming_code_loads_from_any_ring,      3, 0xd8, 0x4b, CONF(0),         NONE,   0)
ROW(beyond_the_table_is_gp,                   0, 0xd8, 0x800, DATA(0),        VEC_GP, 0x800)
ROW(beyond_keeps_ti_and_drops_rpl,            0, 0xd8, 0x807, DATA(0),        VEC_GP, 0x804)
ROW(an_ldt_selector_without_ldt_is_gp,        0, 0xd8, 0x100c, DATA(0),       VEC_GP, 0x100c)
ROW(null_loads_into_ds,                       0, 0xd8, 0x03, DATA(0),         NONE,   0)
ROW(null_into_ss_is_gp0,                      0, 0xd0, 0x00, DATA(0),         VEC_GP, 0)
ROW(ss_takes_writable_data,                   0, 0xd0, 0x48, DATA(0),         NONE,   0)
ROW(ss_refuses_read_only_data,                0, 0xd0, 0x48, RODATA(0),       VEC_GP, 0x48)
ROW(ss_refuses_code,                          0, 0xd0, 0x48, CODE(0),         VEC_GP, 0x48)
ROW(ss_wants_rpl_equal_to_cpl,                0, 0xd0, 0x49, DATA(1),         VEC_GP, 0x48)
ROW(ss_wants_dpl_equal_to_cpl,                0, 0xd0, 0x48, DATA(3),         VEC_GP, 0x48)
ROW(ss_not_present_is_ss,                     0, 0xd0, 0x48, ABSENT(DATA(0)), VEC_SS, 0x48)
#undef ROW

/* "the processor sets this bit whenever it loads the segment selector for the segment into a
 * segment register" */
Test(seg, loading_sets_the_accessed_bit_in_memory)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	put_desc(f, 0x48, descriptor(0, 0xfff, DATA(0) & ~1u));
	REG(f, R_RAX) = 0x48;
	cr_expect(eq(int, STEP(f, 0x8e, 0xd8), NONE));
	cr_expect(eq(u64, get_desc(f, 0x48), descriptor(0, 0xfff, DATA(0))));
	fixture_free(f);
}

Test(seg, mov_to_cs_is_ud)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	cr_expect(eq(int, STEP(f, 0x8e, 0xc8), VEC_UD));
	fixture_free(f);
}

/* 64-bit mode: "null selectors ... are allowed in SS if CPL < 3 and RPL = CPL" */
#define ROW(name, cpl, sel, vec) \
Test(seg, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_LONG64, cpl); \
	REG(f, R_RAX) = sel; \
	EXPECT_FAULT(f, STEP(f, 0x8e, 0xd0), vec, 0); \
	fixture_free(f); \
}
ROW(null_ss_is_legal_in_64_bit_ring_0,        0, 0, NONE)
ROW(null_ss_wants_rpl_equal_to_cpl,           0, 1, VEC_GP)
ROW(null_ss_is_gp_in_64_bit_ring_3,           3, 3, VEC_GP)
#undef ROW

Test(seg, a_null_load_clears_the_base_of_fs)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.seg[SEG_FS].base = 0x123456789000;
	REG(f, R_RAX) = 0;
	cr_expect(eq(int, STEP(f, 0x8e, 0xe0), NONE));
	cr_expect(eq(u64, f->cpu->s.seg[SEG_FS].base, 0));
	fixture_free(f);
}

/* ---- limits: MOV EAX, [EBX] (8B 03), MOV [EBX], EAX (89 03) through DS = 48H ---- */
#define ROW(name, attr, limit, opcode, off, vec) \
Test(seg_limit, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_PROT32, 0); \
	put_desc(f, 0x48, descriptor(FIXTURE_DATA, limit, attr)); \
	REG(f, R_RAX) = 0x48; \
	REG(f, R_RBX) = off; \
	CODE_BYTES(f, 0x8e, 0xd8, opcode, 0x03); \
	EXPECT_FAULT(f, fixture_run(f, 2), vec, 0); \
	fixture_free(f); \
}
ROW(the_last_double_word_is_inside,           DATA(0), 0xfff, 0x8b, 0xffc, NONE)
ROW(one_byte_further_is_outside,              DATA(0), 0xfff, 0x8b, 0xffd, VEC_GP)
ROW(the_first_byte_beyond_is_outside,         DATA(0), 0xfff, 0x8b, 0x1000, VEC_GP)
ROW(a_huge_offset_is_outside,                 DATA(0), 0xfff, 0x8b, 0xffffffff, VEC_GP)
ROW(limit_0_holds_one_byte,                   DATA(0), 0, 0x8a, 0, NONE)
ROW(limit_0_does_not_hold_two,                DATA(0), 0, 0x8b, 0, VEC_GP)
ROW(granularity_scales_the_limit,             DATA(0) | SEG_G, 0, 0x8b, 0xffc, NONE)
ROW(and_not_beyond,                           DATA(0) | SEG_G, 0, 0x8b, 0xffd, VEC_GP)
ROW(a_read_only_segment_reads,                RODATA(0), 0xfff, 0x8b, 0, NONE)
ROW(a_read_only_segment_does_not_write,       RODATA(0), 0xfff, 0x89, 0, VEC_GP)
ROW(code_does_not_write,                      CODE(0), 0xfff, 0x89, 0, VEC_GP)
ROW(expand_down_starts_above_the_limit,       DATA(0) | 4 | SEG_DB, 0xfff, 0x8b, 0x1000, NONE)
ROW(expand_down_excludes_the_limit,           DATA(0) | 4 | SEG_DB, 0xfff, 0x8b, 0xfff, VEC_GP)
ROW(expand_down_16_ends_at_ffff,              DATA(0) | 4, 0xfff, 0x8b, 0xfffc, NONE)
ROW(expand_down_16_does_not_go_beyond,        DATA(0) | 4, 0xfff, 0x8b, 0xfffd, VEC_GP)
#undef ROW

Test(seg_limit, a_null_segment_faults_when_used)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	REG(f, R_RAX) = 0;
	CODE_BYTES(f, 0x8e, 0xd8, 0x8b, 0x03);
	EXPECT_FAULT(f, fixture_run(f, 2), VEC_GP, 0);
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE + 2));
	fixture_free(f);
}

Test(seg_limit, outside_the_stack_segment_is_ss)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	struct desc tiny = { .limit = 0xfff, .attr = DATA(0) | SEG_DB };
	seg_set(f->cpu, SEG_SS, 0x48, &tiny);
	/* the handler's frame does not fit either: #DF through the same stack shuts the CPU down;
	 * #SS was first */
	REG(f, R_RBP) = 0x1000;
	REG(f, R_RSP) = 0x800;
	EXPECT_FAULT(f, STEP(f, 0x8b, 0x45, 0x00), VEC_SS, 0);
	fixture_free(f);
}

Test(seg_limit, there_is_none_in_64_bit_mode)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	put_desc(f, 0x48, descriptor(0x1000, 0, RODATA(0)));
	REG(f, R_RAX) = 0x48;
	REG(f, R_RBX) = FIXTURE_DATA;
	CODE_BYTES(f, 0x8e, 0xd8, 0x89, 0x03);
	cr_expect(eq(int, fixture_run(f, 2), NONE));
	cr_expect(eq(u32, (uint32_t)get(f, FIXTURE_DATA, 4), 0x48));
	fixture_free(f);
}

/* ---- queries: EAX after LAR EAX, ECX (0F 02 C1) and LSL (0F 03 C1), ZF ---- */
#define ROW(name, op, cpl, sel, attr, limit, zf, want) \
Test(segquery, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_PROT32, cpl); \
	put_desc(f, 0x48, descriptor(0x12345678, limit, attr)); \
	REG(f, R_RAX) = 0x55555555; \
	REG(f, R_RCX) = sel; \
	cr_expect(eq(int, STEP(f, 0x0f, op, 0xc1), NONE)); \
	cr_expect(eq(int, flag_zf(f->cpu), zf)); \
	cr_expect(eq(u64, REG(f, R_RAX), zf ? want : 0x55555555)); \
	fixture_free(f); \
}
ROW(lar_shows_the_rights,                     2, 0, 0x48, DATA(0), 0x12345, 1, 0x019300)
ROW(lar_hides_what_cpl_may_not_see,           2, 3, 0x4b, DATA(0), 0, 0, 0)
ROW(lar_sees_conforming_code_from_ring_3,     2, 3, 0x4b, CONF(0), 0, 1, 0x9f00)
ROW(lar_hides_what_rpl_may_not_see,           2, 0, 0x4b, DATA(0), 0, 0, 0)
ROW(lar_knows_a_task_gate,                    2, 0, 0x48, SYS(DESC_TASK_GATE, 0), 0, 1, 0x8500)
ROW(lar_does_not_know_an_interrupt_gate,      2, 0, 0x48, SYS(DESC_INT32, 0), 0, 0, 0)
ROW(lar_of_null_fails,                        2, 0, 0x00, DATA(0), 0, 0, 0)
ROW(lar_beyond_the_table_fails,               2, 0, 0x800, DATA(0), 0, 0, 0)
ROW(lsl_gives_bytes,                          3, 0, 0x48, DATA(0), 0x12345, 1, 0x12345)
ROW(lsl_scales_by_granularity,                3, 0, 0x48, DATA(0) | SEG_G, 0x12345, 1, 0x12345fff)
ROW(lsl_does_not_know_a_call_gate,            3, 0, 0x48, SYS(DESC_CALL32, 0), 0, 0, 0)
ROW(lsl_knows_a_busy_tss,                     3, 0, 0x48, SYS(DESC_TSS32_BUSY, 0), 0x67, 1, 0x67)
#undef ROW

/* VERR ECX (0F 00 E1), VERW ECX (0F 00 E9) */
#define ROW(name, modrm, cpl, sel, attr, zf) \
Test(segquery, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_PROT32, cpl); \
	put_desc(f, 0x48, descriptor(0, 0, attr)); \
	REG(f, R_RCX) = sel; \
	cr_expect(eq(int, STEP(f, 0x0f, 0x00, modrm), NONE)); \
	cr_expect(eq(int, flag_zf(f->cpu), zf)); \
	fixture_free(f); \
}
ROW(verr_accepts_readable_code,               0xe1, 0, 0x48, CODE(0),   1)
ROW(verr_refuses_execute_only_code,           0xe1, 0, 0x48, XCODE(0),  0)
ROW(verr_refuses_a_more_privileged_segment,   0xe1, 3, 0x4b, DATA(0),   0)
ROW(verw_accepts_writable_data,               0xe9, 0, 0x48, DATA(0),   1)
ROW(verw_refuses_read_only_data,              0xe9, 0, 0x48, RODATA(0), 0)
ROW(verw_refuses_code,                        0xe9, 0, 0x48, CODE(0),   0)
#undef ROW

/* ARPL CX, BX (63 D9) */
Test(segquery, arpl_raises_rpl_and_says_so)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	REG(f, R_RCX) = 0xffff0048;
	REG(f, R_RBX) = 0x0003;
	cr_expect(eq(int, STEP(f, 0x63, 0xd9), NONE));
	cr_expect(eq(u64, REG(f, R_RCX), 0xffff004b));
	cr_expect(eq(int, flag_zf(f->cpu), 1));
	cr_expect(eq(int, STEP(f, 0x63, 0xd9), NONE));
	cr_expect(eq(int, flag_zf(f->cpu), 0));
	fixture_free(f);
}

Test(segquery, they_are_ud_in_real_mode)
{
	struct fixture *f = prot_new(FIXTURE_REAL16, 0);
	cr_expect(eq(int, STEP(f, 0x0f, 0x02, 0xc1), VEC_UD));
	fixture_free(f);
}

/* ---- the rest ---- */

Test(segload, lds_loads_both_halves)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	put_desc(f, 0x48, descriptor(0, 0xfffff, DATA(0) | G32));
	put(f, FIXTURE_DATA, 0x48cafebabeull, 6);
	REG(f, R_RBX) = FIXTURE_DATA;
	cr_expect(eq(int, STEP(f, 0xc5, 0x03), NONE));
	cr_expect(eq(u64, REG(f, R_RAX), 0xcafebabe));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_DS].sel, 0x48));
	fixture_free(f);
}

/* Swaps, at ring 0 of 64-bit mode only. */
Test(segload, swapgs)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.seg[SEG_GS].base = 1;
	f->cpu->s.kernel_gs_base = 2;
	cr_expect(eq(int, STEP(f, 0x0f, 0x01, 0xf8), NONE));
	cr_expect(eq(u64, f->cpu->s.seg[SEG_GS].base, 2));
	cr_expect(eq(u64, f->cpu->s.kernel_gs_base, 1));
	fixture_ring3(f);
	EXPECT_FAULT(f, STEP(f, 0x0f, 0x01, 0xf8), VEC_GP, 0);
	fixture_free(f);
}

/* "If CR4.FSGSBASE[bit 16] = 0": #UD; "If the source register contains a non-canonical address":
 * #GP(0) */
Test(segload, wrfsbase)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 3);
	REG(f, R_RAX) = 0x00123456789abcde;
	cr_expect(eq(int, STEP(f, 0xf3, 0x48, 0x0f, 0xae, 0xd0), VEC_UD));
	fixture_free(f);
	f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.cr4 |= CR4_FSGSBASE;
	REG(f, R_RAX) = 0x00123456789abcde;
	cr_expect(eq(int, STEP(f, 0xf3, 0x48, 0x0f, 0xae, 0xd0), NONE));
	cr_expect(eq(u64, f->cpu->s.seg[SEG_FS].base, 0x00123456789abcde),
	          "57-bit addresses are canonical for this CPU");
	REG(f, R_RAX) = 0x0123456789abcdef;
	EXPECT_FAULT(f, STEP(f, 0xf3, 0x48, 0x0f, 0xae, 0xd0), VEC_GP, 0);
	fixture_free(f);
}

/* The base of DS is 0 while in 64-bit mode, and comes back in compatibility mode. */
Test(segload, bases_return_with_compatibility_mode)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	put_desc(f, 0x48, descriptor(FIXTURE_DATA, 0xfff, DATA(0)));
	put(f, FIXTURE_DATA + 0x10, 0x11223344, 4);
	put(f, 0x10, 0x55667788, 4);
	REG(f, R_RAX) = 0x48;
	REG(f, R_RBX) = 0x10;
	/* mov ds, eax; mov ecx, [rbx]; ljmp to 32-bit code; mov edx, [ebx] */
	put(f, FIXTURE_DATA, (uint64_t)0x18 << 32 | (FIXTURE_CODE + 0x20), 6);
	REG(f, R_RDI) = FIXTURE_DATA;
	CODE_BYTES(f, 0x8e, 0xd8, 0x8b, 0x0b, 0xff, 0x2f);
	put(f, FIXTURE_CODE + 0x20, 0x138b, 2);
	cr_expect(eq(int, fixture_run(f, 4), NONE));
	cr_expect(eq(u64, REG(f, R_RCX), 0x55667788));
	cr_expect(eq(u64, REG(f, R_RDX), 0x11223344));
	cr_expect(eq(int, f->cpu->s.mode, MODE_COMPAT32));
	fixture_free(f);
}

/* PUSH FS (0F A0), POP GS (0F A9): 8 bytes in 64-bit mode, 2 with an operand-size prefix. */
#define ROW(name, mode, moved, ...) \
Test(segload, name) \
{ \
	struct fixture *f = prot_new(mode, 0); \
	put(f, FIXTURE_STACK, 0x10, 8); \
	cr_expect(eq(int, STEP(f, __VA_ARGS__), NONE)); \
	cr_expect(eq(i64, (int64_t)(REG(f, R_RSP) - FIXTURE_STACK), moved)); \
	fixture_free(f); \
}
ROW(push_fs_moves_8_in_64_bit_mode,  FIXTURE_LONG64, -8, 0x0f, 0xa0)
ROW(push_fs_moves_2_with_66h,        FIXTURE_LONG64, -2, 0x66, 0x0f, 0xa0)
ROW(push_fs_moves_4_in_32_bit_mode,  FIXTURE_PROT32, -4, 0x0f, 0xa0)
ROW(pop_gs_moves_8_in_64_bit_mode,   FIXTURE_LONG64,  8, 0x0f, 0xa9)
ROW(pop_gs_moves_4_in_32_bit_mode,   FIXTURE_PROT32,  4, 0x0f, 0xa9)
#undef ROW

/* "a 16-bit move is performed" by recent processors: the slot's upper half stays. SDM Vol. 2B, "PUSH" */
Test(segload, push_of_a_segment_writes_16_bits_of_a_32_bit_slot)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	put(f, FIXTURE_STACK - 4, 0xffffffff, 4);
	cr_expect(eq(int, STEP(f, 0x1e), NONE));
	cr_expect(eq(u64, get(f, FIXTURE_STACK - 4, 4), 0xffff0010));
	fixture_free(f);
}

/* POP SS that faults leaves RSP alone. */
Test(segload, a_pop_that_faults_moves_nothing)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	put(f, FIXTURE_STACK, 0x800, 4);
	EXPECT_FAULT(f, STEP(f, 0x17), VEC_GP, 0x800);
	cr_expect(eq(u64, REG(f, R_RSP), FIXTURE_STACK - 16), "the frame lies right below");
	fixture_free(f);
}
