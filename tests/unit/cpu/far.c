/* far.c - far JMP, CALL and RET, call gates, IRET, fast system calls. */
#include "tests/unit/cpu/prot.h"

#define FRAME(f, i, n) get((f), REG(f, R_RSP) + (uint64_t)(i) * (n), (n))
/* JMP ptr16:32 (EA), CALL ptr16:32 (9A) */
#define FAR(f, op, selector, off) STEP(f, op, (off) & 0xff, (off) >> 8 & 0xff, (off) >> 16 & 0xff, (off) >> 24, (selector) & 0xff, (selector) >> 8)
#define TARGET 0x20000u

/* ---- to code segments: JMP 48H:TARGET ---- */
#define ROW(name, cpl, selector, attr, limit, vec, ec) \
Test(far, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_PROT32, cpl); \
	put_desc(f, 0x48, descriptor(0, limit, attr)); \
	int v = FAR(f, 0xea, selector, TARGET); \
	EXPECT_FAULT(f, v, vec, ec); \
	if (v == NONE) { \
		cr_expect(eq(u64, RIP(f), TARGET)); \
		cr_expect(eq(u16, f->cpu->s.seg[SEG_CS].sel, ((selector) & ~3) | cpl)); \
	} \
	fixture_free(f); \
}
ROW(jmp_to_code_of_the_same_level,        0, 0x48, CODE(0) | G32, 0xfffff, NONE, 0)
ROW(jmp_replaces_rpl_by_cpl,              3, 0x48, CODE(3) | G32, 0xfffff, NONE, 0)
ROW(jmp_to_null_is_gp0,                   0, 0x00, CODE(0) | G32, 0xfffff, VEC_GP, 0)
ROW(jmp_beyond_the_table,                 0, 0x800, CODE(0) | G32, 0xfffff, VEC_GP, 0x800)
ROW(jmp_to_data_is_gp,                    0, 0x48, DATA(0) | G32, 0xfffff, VEC_GP, 0x48)
ROW(jmp_with_rpl_above_cpl_is_gp,         0, 0x4b, CODE(0) | G32, 0xfffff, VEC_GP, 0x48)
ROW(jmp_to_a_more_privileged_one_is_gp,   3, 0x4b, CODE(0) | G32, 0xfffff, VEC_GP, 0x48)
ROW(jmp_to_a_less_privileged_one_is_gp,   0, 0x48, CODE(3) | G32, 0xfffff, VEC_GP, 0x48)
ROW(jmp_to_conforming_keeps_cpl,          3, 0x4b, CONF(0) | G32, 0xfffff, NONE, 0)
ROW(jmp_to_conforming_outwards_is_gp,     0, 0x48, CONF(3) | G32, 0xfffff, VEC_GP, 0x48)
ROW(jmp_to_absent_code_is_np,             0, 0x48, ABSENT(CODE(0)) | G32, 0xfffff, VEC_NP, 0x48)
ROW(jmp_beyond_the_limit_is_gp0,          0, 0x48, CODE(0) | SEG_DB, TARGET - 1, VEC_GP, 0)
ROW(jmp_to_the_limit_is_not,              0, 0x48, CODE(0) | SEG_DB, TARGET, NONE, 0)
ROW(jmp_to_a_busy_tss_is_gp,              0, 0x48, SYS(DESC_TSS32_BUSY, 0), 0x67, VEC_GP, 0x48)
#undef ROW

Test(far, call_pushes_cs_and_eip_and_ret_takes_them)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	put_desc(f, 0x48, descriptor(0, 0xfffff, CODE(0) | G32));
	put(f, TARGET, 0x08ca, 3);      /* RETF 8 */
	cr_expect(eq(int, FAR(f, 0x9a, 0x48, TARGET), NONE));
	cr_expect(eq(u64, FRAME(f, 0, 4), FIXTURE_CODE + 7));
	cr_expect(eq(u64, FRAME(f, 1, 4), 0x18));
	fixture_run(f, 1);
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE + 7));
	cr_expect(eq(u64, REG(f, R_RSP), FIXTURE_STACK + 8));
	fixture_free(f);
}

/* In 64-bit mode a far return pops 32 bits unless REX.W asks for 64. */
Test(far, ret_in_64_bit_mode_pops_by_operand_size)
{
	for (unsigned wide = 0; wide < 2; wide++) {
		struct fixture *f = prot_new(FIXTURE_LONG64, 0);
		put(f, FIXTURE_STACK, TARGET, 8);
		put(f, FIXTURE_STACK + (wide ? 8 : 4), 0x08, 8);
		cr_expect(eq(int, wide ? STEP(f, 0x48, 0xcb) : STEP(f, 0xcb), NONE));
		cr_expect(eq(u64, RIP(f), TARGET));
		cr_expect(eq(u64, REG(f, R_RSP), FIXTURE_STACK + (wide ? 16 : 8)));
		fixture_free(f);
	}
}

Test(far, real_mode_call_and_return)
{
	struct fixture *f = prot_new(FIXTURE_REAL16, 0);
	put(f, 0x34560 + 0x12, 0xcb, 1);
	cr_expect(eq(int, STEP(f, 0x9a, 0x12, 0x00, 0x56, 0x34), NONE));
	cr_expect(eq(u64, f->cpu->s.seg[SEG_CS].base, 0x34560));
	fixture_run(f, 1);
	cr_expect(eq(u64, RIP(f), 5));
	cr_expect(eq(u64, REG(f, R_RSP), 0xfff0));
	fixture_free(f);
}

/* SDM: "If the segment descriptor ... has both the L-bit and the D-bit set": #GP(selector) */
Test(far, l_and_d_together_are_gp_in_ia32e_mode)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	put_desc(f, 0x48, descriptor(0, 0xfffff, CODE(0) | G64 | SEG_DB));
	put(f, FIXTURE_DATA, (uint64_t)0x48 << 32 | TARGET, 6);
	REG(f, R_RBX) = FIXTURE_DATA;
	EXPECT_FAULT(f, STEP(f, 0xff, 0x2b), VEC_GP, 0x48);
	fixture_free(f);
}

/* ---- call gates: CALL 50H:0; the gate leads to 48H:TARGET ---- */
#define ROW(name, cpl, rpl, gate_dpl, gate_p, code, vec, ec) \
Test(call_gate, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_PROT32, cpl); \
	put_desc(f, 0x48, descriptor(0, 0xfffff, (code) | G32)); \
	put_desc(f, 0x50, gate(0x48, TARGET, DESC_CALL32, gate_dpl, 0) & ~(gate_p ? 0 : BIT(47))); \
	int v = FAR(f, 0x9a, 0x50 | rpl, 0); \
	EXPECT_FAULT(f, v, vec, ec); \
	if (v == NONE) \
		cr_expect(eq(u64, RIP(f), TARGET)); \
	fixture_free(f); \
}
ROW(same_level,                    0, 0, 0, 1, CODE(0), NONE, 0)
ROW(inwards,                       3, 3, 3, 1, CODE(0), NONE, 0)
ROW(dpl_below_cpl_is_gp,           3, 3, 2, 1, CODE(0), VEC_GP, 0x50)
ROW(dpl_below_rpl_is_gp,           0, 3, 2, 1, CODE(0), VEC_GP, 0x50)
ROW(absent_is_np,                  0, 0, 0, 0, CODE(0), VEC_NP, 0x50)
ROW(absent_code_is_np,             0, 0, 0, 1, ABSENT(CODE(0)), VEC_NP, 0x48)
ROW(data_is_gp,                    0, 0, 0, 1, DATA(0), VEC_GP, 0x48)
ROW(outwards_is_gp,                0, 0, 3, 1, CODE(3), VEC_GP, 0x48)
#undef ROW

/* SDM Vol. 3A, "Stack Switching": parameters are copied, then CS:EIP; RET n releases them on both
 * stacks. */
Test(call_gate, parameters_move_and_ret_n_releases_them)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 3);
	put_desc(f, 0x48, descriptor(0, 0xfffff, CODE(0) | G32));
	put_desc(f, 0x50, gate(0x48, TARGET, DESC_CALL32, 3, 2));
	put(f, FIXTURE_STACK, 0x2222222211111111, 8);
	put(f, TARGET, 0x08ca, 3);
	cr_expect(eq(int, FAR(f, 0x9a, 0x53, 0), NONE));
	cr_expect(eq(u8, f->cpu->s.cpl, 0));
	cr_expect(eq(u64, REG(f, R_RSP), 0x7f00 - 24));
	cr_expect(eq(u64, FRAME(f, 0, 4), FIXTURE_CODE + 7));
	cr_expect(eq(u64, FRAME(f, 1, 4), 0x3b));
	cr_expect(eq(u64, FRAME(f, 2, 4), 0x11111111));
	cr_expect(eq(u64, FRAME(f, 3, 4), 0x22222222));
	cr_expect(eq(u64, FRAME(f, 4, 4), FIXTURE_STACK));
	cr_expect(eq(u64, FRAME(f, 5, 4), 0x33));
	fixture_run(f, 1);
	cr_expect(eq(u8, f->cpu->s.cpl, 3));
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE + 7));
	cr_expect(eq(u64, REG(f, R_RSP), FIXTURE_STACK + 8));
	fixture_free(f);
}

Test(call_gate, a_64_bit_one_is_16_bytes_and_pushes_64)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 3);
	put_desc(f, 0x50, gate(0x08, TARGET, DESC_CALL32, 3, 0));
	put(f, FIXTURE_DATA, (uint64_t)0x53 << 32, 6);
	REG(f, R_RBX) = FIXTURE_DATA;
	cr_expect(eq(int, STEP(f, 0xff, 0x1b), NONE));
	cr_expect(eq(u64, RIP(f), TARGET));
	cr_expect(eq(u64, REG(f, R_RSP), 0x7f00 - 32));
	cr_expect(eq(u64, FRAME(f, 3, 8), 0x33));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_SS].sel, 0));
	fixture_free(f);
	f = prot_new(FIXTURE_LONG64, 3);
	put_desc(f, 0x50, gate(0x08, TARGET, DESC_CALL32, 3, 0));
	put_desc(f, 0x58, BIT(40));     /* the upper half must not have a type */
	put(f, FIXTURE_DATA, (uint64_t)0x53 << 32, 6);
	REG(f, R_RBX) = FIXTURE_DATA;
	EXPECT_FAULT(f, STEP(f, 0xff, 0x1b), VEC_GP, 0x50);
	fixture_free(f);
}

/* ---- returns outwards: data segments the new CPL may not have ---- */

/* "If ... the segment register contains ... a segment whose DPL is less than the new CPL": null,
 * but its base stays */
Test(iret, outwards_drops_inner_data_segments_and_keeps_bases)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.seg[SEG_GS].base = 0xffff800000001000;
	static const uint64_t frame[] = { TARGET, 0x2b, 0x202, FIXTURE_STACK, 0x33 };
	for (unsigned i = 0; i < 5; i++)
		put(f, FIXTURE_STACK + 8 * i, frame[i], 8);
	cr_expect(eq(int, STEP(f, 0x48, 0xcf), NONE));
	cr_expect(eq(u8, f->cpu->s.cpl, 3));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_GS].sel, 0));
	cr_expect(eq(u64, f->cpu->s.seg[SEG_GS].base, 0xffff800000001000));
	cr_expect(eq(u64, f->cpu->s.flags, 0x202));
	fixture_free(f);
}

/* What IRETD may change: by CPL and IOPL. All flags are asked for. */
#define ROW(name, cpl, iopl, want) \
Test(iret, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_PROT32, cpl); \
	f->cpu->s.flags = 2 | (iopl) << 12; \
	put(f, FIXTURE_STACK, TARGET, 4); \
	put(f, FIXTURE_STACK + 4, cpl ? 0x3b : 0x18, 4); \
	put(f, FIXTURE_STACK + 8, 0xfffdffff & ~RFLAGS_TF, 4); \
	cr_expect(eq(int, STEP(f, 0xcf), NONE)); \
	cr_expect(eq(u64, cpu_rflags(f->cpu), want)); \
	fixture_free(f); \
}
#define ALL (RFLAGS_STATUS | 2 | RFLAGS_DF | RFLAGS_NT | RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)
ROW(flags_at_cpl_0,                0, 0, ALL | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP)
ROW(flags_at_cpl_3_iopl_0,         3, 0, ALL)
ROW(flags_at_cpl_3_iopl_3,         3, 3, ALL | RFLAGS_IF | RFLAGS_IOPL)
#undef ROW

Test(iret, to_virtual_8086_mode)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	static const uint32_t frame[] = { 0x100,  0x1000, RFLAGS_VM | 2 | RFLAGS_IF,
		                          0xff00, 0x2000, 0x3000,
		                          0x4000, 0x5000, 0x6000 };
	for (unsigned i = 0; i < 9; i++)
		put(f, FIXTURE_STACK + 4 * i, frame[i], 4);
	cr_expect(eq(int, STEP(f, 0xcf), NONE));
	cr_expect(eq(int, f->cpu->s.mode, MODE_V86));
	cr_expect(eq(u8, f->cpu->s.cpl, 3));
	cr_expect(eq(u64, f->cpu->s.seg[SEG_CS].base, 0x10000));
	cr_expect(eq(u64, f->cpu->s.seg[SEG_ES].base, 0x30000));
	cr_expect(eq(u64, f->cpu->s.seg[SEG_GS].base, 0x60000));
	cr_expect(eq(u64, REG(f, R_RSP), 0xff00));
	fixture_free(f);
}

Test(iret, nt_in_ia32e_mode_is_gp0)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.flags |= RFLAGS_NT;
	EXPECT_FAULT(f, STEP(f, 0x48, 0xcf), VEC_GP, 0);
	fixture_free(f);
}

Test(iret, to_a_non_canonical_address_is_gp0_before_it_leaves)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	static const uint64_t frame[] = { 0x800000000000, 0x2b, 0x202, FIXTURE_STACK, 0x33 };
	for (unsigned i = 0; i < 5; i++)
		put(f, FIXTURE_STACK + 8 * i, frame[i], 8);
	EXPECT_FAULT(f, STEP(f, 0x48, 0xcf), VEC_GP, 0);
	cr_expect(eq(u64, FRAME(f, 2, 8), 0x08), "it struck in ring 0");
	fixture_free(f);
}

/* ---- virtual-8086 mode ---- */

static struct fixture *v86(unsigned iopl)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	f->cpu->s.flags = 2 | RFLAGS_VM | RFLAGS_IF | iopl << 12;
	f->cpu->s.seg[SEG_CS].attr = 0;
	cpu_mode_changed(f->cpu);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		seg_set_v86(f->cpu, (enum seg_reg)i, i == SEG_CS ? FIXTURE_CODE >> 4 : 0x2000);
	REG(f, R_RSP) = 0x1000;
	f->cpu->s.seg[SEG_TR].limit = 0xfff;
	put(f, TSS_BASE + 102, 0x100, 2);
	return f;
}
static int v86_step(struct fixture *f, const uint8_t *b, unsigned n)
{
	mem_write(&f->mem, HPA(FIXTURE_CODE), b, n);
	f->cpu->s.rip = 0;
	return fixture_run(f, 1);
}
/* IOPL-sensitive there: CLI, STI, PUSHF, POPF, INT n, IRET */
#define ROW(name, iopl, vec, ...) \
Test(v86, name) \
{ \
	struct fixture *f = v86(iopl); \
	static const uint8_t b[] = { __VA_ARGS__ }; \
	EXPECT_FAULT(f, v86_step(f, b, sizeof b), vec, 0); \
	fixture_free(f); \
}
ROW(cli_with_iopl_3,    3, NONE,   0xfa)
ROW(cli_with_iopl_2,    2, VEC_GP, 0xfa)
ROW(sti_with_iopl_2,    2, VEC_GP, 0xfb)
ROW(pushf_with_iopl_2,  2, VEC_GP, 0x9c)
ROW(popf_with_iopl_2,   2, VEC_GP, 0x9d)
ROW(iret_with_iopl_2,   2, VEC_GP, 0xcf)
ROW(int_with_iopl_2,    2, VEC_GP, 0xcd, 0x10)
ROW(hlt_always,         3, VEC_GP, 0xf4)
ROW(lar_is_ud,          3, VEC_UD, 0x0f, 0x02, 0xc0)
ROW(lldt_is_ud,         3, VEC_UD, 0x0f, 0x00, 0xd0)
ROW(mov_from_cr_is_gp,  3, VEC_GP, 0x0f, 0x20, 0xc0)
#undef ROW

Test(v86, an_exception_pushes_every_segment_and_nulls_them)
{
	struct fixture *f = v86(3);
	cr_expect(eq(int, v86_step(f, (uint8_t[]){ 0x0f, 0x0b }, 2), VEC_UD));
	cr_expect(eq(u64, REG(f, R_RSP), 0x7f00 - 36));
	static const uint32_t want[] = { 0,
		                         FIXTURE_CODE >> 4,
		                         RFLAGS_VM | RFLAGS_RF | RFLAGS_IF | RFLAGS_IOPL | 2,
		                         0x1000,
		                         0x2000,
		                         0x2000,
		                         0x2000,
		                         0x2000,
		                         0x2000 };
	for (unsigned i = 0; i < 9; i++)
		cr_expect(eq(u64, FRAME(f, i, 4), want[i]), "slot %u", i);
	cr_expect(eq(u16, f->cpu->s.seg[SEG_DS].sel, 0));
	cr_expect(eq(int, f->cpu->s.mode, MODE_PROT32));
	fixture_free(f);
}

/* CR4.VME: "the interrupt redirection bit map": a clear bit sends INT n to the program's own
 * handler. */
Test(v86, vme_redirects_int_n_by_its_bitmap)
{
	for (unsigned bit = 0; bit < 2; bit++) {
		struct fixture *f = v86(0);
		f->cpu->s.cr4 |= CR4_VME;
		put(f, TSS_BASE + 0x100 - 32 + 0x21 / 8, bit << (0x21 & 7), 1);
		put(f, 0x21 * 4, 0x30001234, 4);
		f->cpu->s.flags |= RFLAGS_VIF;
		EXPECT_FAULT(f, v86_step(f, (uint8_t[]){ 0xcd, 0x21 }, 2), bit ? VEC_GP : NONE, 0);
		if (!bit) {
			cr_expect(eq(u64, RIP(f), 0x1234));
			cr_expect(eq(u64, f->cpu->s.seg[SEG_CS].base, 0x30000));
			cr_expect(eq(u64, get(f, 0x20000 + 0x1000 - 2, 2),
			             2 | RFLAGS_IF | RFLAGS_IOPL),
			          "VIF stands in for IF, IOPL reads 3");
			cr_expect(eq(u64, f->cpu->s.flags & (RFLAGS_VIF | RFLAGS_IF), RFLAGS_IF));
		}
		fixture_free(f);
	}
}

/* ---- fast system calls ---- */

Test(fastcall, syscall_and_sysret)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 3);
	f->cpu->s.star = 0x0018ull << 48 | 0x0008ull << 32;
	f->cpu->s.lstar = TARGET;
	f->cpu->s.fmask = RFLAGS_IF | RFLAGS_DF;
	f->cpu->s.flags |= RFLAGS_IF | RFLAGS_DF;
	cr_expect(eq(int, STEP(f, 0x0f, 0x05), NONE));
	cr_expect(eq(u64, RIP(f), TARGET));
	cr_expect(eq(u64, REG(f, R_RCX), FIXTURE_CODE + 2));
	cr_expect(eq(u64, REG(f, R_R11), 2 | RFLAGS_IF | RFLAGS_DF));
	cr_expect(eq(u64, f->cpu->s.flags, 2));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_CS].sel, 0x08));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_SS].sel, 0x10));
	cr_expect(eq(u8, f->cpu->s.cpl, 0));
	put(f, TARGET, 0x070f48, 3);    /* SYSRETQ */
	fixture_run(f, 1);
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE + 2));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_CS].sel, 0x2b));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_SS].sel, 0x23));
	cr_expect(eq(u8, f->cpu->s.cpl, 3));
	cr_expect(eq(u64, f->cpu->s.flags, 2 | RFLAGS_IF | RFLAGS_DF));
	fixture_free(f);
}
/* Without REX.W: "return to compatibility mode", CS = STAR[63:48] as it is, EIP from ECX */
Test(fastcall, sysret_without_rex_w_goes_to_compatibility_mode)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.star = 0x0038ull << 48;
	REG(f, R_RCX) = 0xdead000000000000 | TARGET;
	REG(f, R_R11) = 2;
	cr_expect(eq(int, STEP(f, 0x0f, 0x07), NONE));
	cr_expect(eq(u64, RIP(f), TARGET));
	cr_expect(eq(int, f->cpu->s.mode, MODE_COMPAT32));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_CS].sel, 0x3b));
	fixture_free(f);
}

/* SYSEXIT with REX.W: CS = IA32_SYSENTER_CS + 32 */
Test(fastcall, sysexit_with_rex_w_goes_to_64_bit_mode)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.sysenter_cs = 0x08;
	REG(f, R_RDX) = TARGET;
	REG(f, R_RCX) = 0x7ffffffff000;
	cr_expect(eq(int, STEP(f, 0x48, 0x0f, 0x35), NONE));
	cr_expect(eq(int, f->cpu->s.mode, MODE_LONG64));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_CS].sel, 0x2b));
	cr_expect(eq(u64, REG(f, R_RSP), 0x7ffffffff000));
	fixture_free(f);
}

/* "If RCX contains a non-canonical address": #GP(0), on Intel processors still at CPL 0 */
Test(fastcall, sysret_to_a_non_canonical_address_faults_in_ring_0)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	REG(f, R_RCX) = 0x800000000000;
	EXPECT_FAULT(f, STEP(f, 0x48, 0x0f, 0x07), VEC_GP, 0);
	cr_expect(eq(u64, FRAME(f, 2, 8), 0x08));
	fixture_free(f);
}
Test(fastcall, syscall_without_sce_or_outside_64_bit_mode_is_ud)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.efer &= ~(uint64_t)EFER_SCE;
	cr_expect(eq(int, STEP(f, 0x0f, 0x05), VEC_UD));
	fixture_free(f);
	f = prot_new(FIXTURE_PROT32, 0);
	cr_expect(eq(int, STEP(f, 0x0f, 0x05), VEC_UD));
	fixture_free(f);
}
Test(fastcall, sysenter_and_sysexit)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 3);
	f->cpu->s.sysenter_cs = 0x18;
	f->cpu->s.sysenter_esp = 0x9000;
	f->cpu->s.sysenter_eip = TARGET;
	f->cpu->s.flags |= RFLAGS_IF;
	cr_expect(eq(int, STEP(f, 0x0f, 0x34), NONE));
	cr_expect(eq(u64, RIP(f), TARGET));
	cr_expect(eq(u64, REG(f, R_RSP), 0x9000));
	cr_expect(eq(u64, f->cpu->s.flags & RFLAGS_IF, 0));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_SS].sel, 0x20));
	REG(f, R_RDX) = FIXTURE_CODE;
	REG(f, R_RCX) = FIXTURE_STACK;
	put(f, TARGET, 0x350f, 2);
	fixture_run(f, 1);
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_CS].sel, 0x2b));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_SS].sel, 0x33));
	fixture_free(f);
	f = prot_new(FIXTURE_PROT32, 3);
	EXPECT_FAULT(f, STEP(f, 0x0f, 0x34), VEC_GP, 0);        /* IA32_SYSENTER_CS = 0 */
	fixture_free(f);
}
