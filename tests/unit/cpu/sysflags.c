/* sysflags.c - who may change which flag. SDM Vol. 2, "CLI", "STI", "PUSHF", "POPF". */
#include "tests/unit/cpu/prot.h"

/* POPFD with every bit in the image, TF apart */
#define ROW(name, cpl, iopl, want) \
Test(popf, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_PROT32, cpl); \
	f->cpu->s.flags = 2 | (iopl) << 12 | RFLAGS_RF; \
	put(f, FIXTURE_STACK, 0xffffffff & ~RFLAGS_TF, 4); \
	cr_expect(eq(int, STEP(f, 0x9d), NONE)); \
	cr_expect(eq(u64, cpu_rflags(f->cpu), want)); \
	fixture_free(f); \
}
#define ANY (RFLAGS_STATUS | 2 | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID)
ROW(at_cpl_0,            0, 0, ANY | RFLAGS_IF | RFLAGS_IOPL)
ROW(at_cpl_3_iopl_2,     3, 2ull, ANY | 2ull << 12)
ROW(at_cpl_3_iopl_3,     3, 3ull, ANY | RFLAGS_IF | RFLAGS_IOPL)
#undef ROW

Test(popf, sixteen_bits_leave_the_upper_half)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	f->cpu->s.flags = 2 | RFLAGS_AC;
	put(f, FIXTURE_STACK, 0xffff & ~RFLAGS_TF, 2);
	cr_expect(eq(int, STEP(f, 0x66, 0x9d), NONE));
	cr_expect(eq(u64, f->cpu->s.flags, 2 | RFLAGS_AC | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_DF | RFLAGS_NT));
	fixture_free(f);
}

/* "VM and RF are cleared in the image" */
Test(pushf, hides_rf)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	f->cpu->s.flags |= RFLAGS_RF | RFLAGS_AC;
	STEP(f, 0x9c);
	cr_expect(eq(u64, get(f, FIXTURE_STACK - 4, 4), 2 | RFLAGS_AC));
	fixture_free(f);
}

/* CLI (FA) and STI (FB) by CPL and IOPL; CR4.PVI lets VIF stand in at CPL 3. */
#define ROW(name, cpl, iopl, cr4_bits, before, opcode, vec, after) \
Test(cli_sti, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_PROT32, cpl); \
	f->cpu->s.flags = 2 | (uint64_t)(iopl) << 12 | (before); \
	f->cpu->s.cr4 |= cr4_bits; \
	EXPECT_FAULT(f, STEP(f, opcode), vec, 0); \
	if ((vec) == NONE) \
		cr_expect(eq(u64, f->cpu->s.flags & (RFLAGS_IF | RFLAGS_VIF | RFLAGS_VIP), after)); \
	fixture_free(f); \
}
ROW(cli_at_cpl_0,                   0, 0, 0, RFLAGS_IF, 0xfa, NONE, 0)
ROW(sti_at_cpl_0,                   0, 0, 0, 0, 0xfb, NONE, RFLAGS_IF)
ROW(cli_with_iopl_below_cpl,        3, 2, 0, RFLAGS_IF, 0xfa, VEC_GP, 0)
ROW(cli_with_iopl_equal_to_cpl,     3, 3, 0, RFLAGS_IF, 0xfa, NONE, 0)
ROW(pvi_cli_clears_vif,             3, 0, CR4_PVI, RFLAGS_IF | RFLAGS_VIF, 0xfa, NONE, RFLAGS_IF)
ROW(pvi_sti_sets_vif,               3, 0, CR4_PVI, RFLAGS_IF, 0xfb, NONE, RFLAGS_IF | RFLAGS_VIF)
ROW(pvi_sti_with_vip_is_gp,         3, 0, CR4_PVI, RFLAGS_IF | RFLAGS_VIP, 0xfb, VEC_GP, 0)
#undef ROW

Test(stac, is_ud_in_ring_3)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 3);
	cr_expect(eq(int, STEP(f, 0x0f, 0x01, 0xcb), VEC_UD));
	fixture_free(f);
	f = prot_new(FIXTURE_LONG64, 0);
	cr_expect(eq(int, STEP(f, 0x0f, 0x01, 0xcb), NONE));
	cr_expect(eq(u64, f->cpu->s.flags & RFLAGS_AC, RFLAGS_AC));
	cr_expect(eq(int, STEP(f, 0x0f, 0x01, 0xca), NONE));
	cr_expect(eq(u64, f->cpu->s.flags & RFLAGS_AC, 0));
	fixture_free(f);
}

/* "#AC(0) if alignment checking is enabled and an unaligned memory reference is made while CPL is 3" */
Test(align, checked_at_cpl_3_with_am_and_ac)
{
	for (unsigned bits = 0; bits < 4; bits++) {
		struct fixture *f = prot_new(FIXTURE_LONG64, 3);
		cr0_write(f->cpu, f->cpu->s.cr0 | (bits & 1 ? CR0_AM : 0));
		f->cpu->s.flags |= bits & 2 ? RFLAGS_AC : 0;
		flags_changed(f->cpu);
		REG(f, R_RBX) = FIXTURE_DATA + 2;
		EXPECT_FAULT(f, STEP(f, 0x8b, 0x03), bits == 3 ? VEC_AC : NONE, 0);
		fixture_free(f);
	}
}
