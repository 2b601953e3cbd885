/* cet.c - control-flow enforcement: shadow stacks, indirect-branch tracking, their pages, MSRs and transfers.
 * Every row's expectation is the manual's: SDM Vol. 1, "Control-flow Enforcement Technology (CET)"; Vol. 2, the pseudocode of
 * each instruction; Vol. 3A, "Access Rights", "Page-Fault Exceptions". */
#include "models/cpu/cet.h"
#include "models/cpu/decode.h"
#include "models/cpu/fpstate.h"
#include "models/mmu/pte.h"
#include "tests/unit/cpu/prot.h"

#define PAGE_DIR 0x3000u
#define PLAIN    0x800000u      /* what the fixture maps: a user's ordinary memory */
#define ABSENT_  0xa00000u
#define USER_SS  0xc00000u
#define SUPER_SS 0xe00000u
#define TOP      0x1000u        /* the shadow stacks in use end here */
#define TOKEN    (SUPER_SS + TOP - 8)   /* leaves its frame in one block of 32 bytes */
#define SSP(f)   ((f)->cpu->s.ssp)
#define WORD(f, at) get((f), (at), 8)

static void map(struct fixture *f, uint64_t at, uint64_t flags)
{
	put(f, PAGE_DIR + (at >> 21) * 8, at | flags | (flags ? PTE_PS : 0), 8);
}

/* A CPU that has it, with pages of each kind; u and s: the two MSRs. */
static struct fixture *cet_new(enum fixture_mode mode, unsigned cpl, uint64_t u, uint64_t s)
{
	struct fixture *f = prot_new(mode, 0);
	struct cpu *c = f->cpu;
	f->profile.cet_shstk = f->profile.cet_ibt = 1;
	cpuid_init(c);
	decoder_free(c->decoder);
	c->decoder = decoder_new(c);
	if (mode == FIXTURE_LONG64) {
		map(f, ABSENT_, 0);
		map(f, USER_SS, PTE_P | PTE_US | PTE_A | PTE_D);
		map(f, SUPER_SS, PTE_P | PTE_A | PTE_D);
	}
	c->s.cr0 |= CR0_WP;
	c->s.cr4 |= CR4_CET;
	c->s.u_cet = u;
	c->s.s_cet = s;
	c->s.ssp = (cpl == 3 ? USER_SS : SUPER_SS) + TOP;
	c->s.pl_ssp[0] = TOKEN;
	put(f, TOKEN, TOKEN, 8);
	cpu_restored(c);
	if (cpl == 3)
		fixture_ring3(f);
	return f;
}
static struct fixture *user(void) { return cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN, 0); }
static struct fixture *kernel(void) { return cet_new(FIXTURE_LONG64, 0, 0, CET_SH_STK_EN); }

/* ---- near transfers ---- */

Test(cet, a_near_call_pushes_its_return_address_twice_and_ret_compares)
{
	struct fixture *f = user();
	put(f, FIXTURE_CODE + 0x15, 0xc3, 1);
	cr_expect(eq(int, STEP(f, 0xe8, 0x10, 0, 0, 0), NONE));
	cr_expect(eq(u64, SSP(f), USER_SS + TOP - 8));
	cr_expect(eq(u64, WORD(f, SSP(f)), FIXTURE_CODE + 5));
	cr_expect(eq(u64, WORD(f, REG(f, R_RSP)), FIXTURE_CODE + 5));
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE + 5));
	cr_expect(eq(u64, SSP(f), USER_SS + TOP));
	cr_expect(eq(u64, REG(f, R_RSP), FIXTURE_STACK));
	fixture_free(f);
}

Test(cet, another_return_address_is_cp_1_and_changes_nothing)
{
	struct fixture *f = user();
	put(f, FIXTURE_CODE + 0x15, 0xc3, 1);
	STEP(f, 0xe8, 0x10, 0, 0, 0);
	put(f, REG(f, R_RSP), FIXTURE_CODE + 6, 8);
	uint64_t rsp = REG(f, R_RSP), ssp = SSP(f);
	int v = fixture_run(f, 1);
	EXPECT_FAULT(f, v, VEC_CP, CP_NEAR_RET);
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE + 0x15));
	cr_expect(eq(u64, f->cpu->s.pl_ssp[3], ssp), "the user's SSP, put away by the delivery");
	cr_expect(eq(u64, get(f, REG(f, R_RSP) + 32, 8), rsp), "in the handler's frame");
	fixture_free(f);
}

/* "call with a displacement of 0" asks where it is and never returns */
Test(cet, a_call_of_the_next_instruction_pushes_nothing)
{
	struct fixture *f = user();
	cr_expect(eq(int, STEP(f, 0xe8, 0, 0, 0, 0), NONE));
	cr_expect(eq(u64, SSP(f), USER_SS + TOP));
	cr_expect(eq(u64, REG(f, R_RSP), FIXTURE_STACK - 8));
	REG(f, R_RAX) = FIXTURE_CODE + 2;       /* an indirect one does push */
	cr_expect(eq(int, STEP(f, 0xff, 0xd0), NONE));
	cr_expect(eq(u64, SSP(f), USER_SS + TOP - 8));
	fixture_free(f);
}

Test(cet, protected_mode_has_slots_of_four_bytes)
{
	struct fixture *f = cet_new(FIXTURE_PROT32, 0, 0, CET_SH_STK_EN);
	put(f, FIXTURE_CODE + 0x15, 0x0008c2, 3);       /* RET 8 */
	cr_expect(eq(int, STEP(f, 0xe8, 0x10, 0, 0, 0), NONE));
	cr_expect(eq(u64, SSP(f), SUPER_SS + TOP - 4));
	cr_expect(eq(u64, get(f, SSP(f), 4), FIXTURE_CODE + 5));
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u64, SSP(f), SUPER_SS + TOP));
	cr_expect(eq(u64, REG(f, R_RSP), FIXTURE_STACK + 8));
	fixture_free(f);
}

Test(cet, while_it_is_off_nothing_of_it_happens)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 3, 0, 0);
	STEP(f, 0xe8, 0x10, 0, 0, 0);
	cr_expect(eq(u64, SSP(f), USER_SS + TOP));
	cr_expect(eq(u32, f->cpu->cet, 0));
	REG(f, R_RAX) = 7;
	cr_expect(eq(int, STEP(f, 0xf3, 0x48, 0x0f, 0x1e, 0xc8), NONE), "RDSSPQ RAX");
	cr_expect(eq(u64, REG(f, R_RAX), 7));
	fixture_free(f);
}

/* ---- pages: where the shadow stack is, and the #PF of a call (store) or return (load) ---- */

#define ROW(name, cpl, at, store, vec, ec) \
Test(cet_pages, name) \
{ \
	struct fixture *f = (cpl) == 3 ? user() : kernel(); \
	SSP(f) = (at) + TOP / 2; \
	put(f, FIXTURE_STACK, FIXTURE_CODE, 8); \
	f->cpu->s.s_cet = (cpl) == 3 ? 0 : CET_SH_STK_EN; \
	/* the handler is to have a stack of its own */ \
	put(f, IDT_BASE + VEC_PF * 16 + 4, 1, 1); \
	put(f, TSS_BASE + 36, 0x7e00, 8); \
	f->cpu->s.ssp_table = 0x7000; \
	put(f, 0x7008, TOKEN, 8); \
	put(f, (at) == ABSENT_ ? PLAIN : (at) + TOP / 2, (at) == USER_SS || (at) == SUPER_SS ? FIXTURE_CODE : 0, 8); \
	int v = (store) ? STEP(f, 0xe8, 0x10, 0, 0, 0) : STEP(f, 0xc3); \
	EXPECT_FAULT(f, v, vec, ec); \
	if (v == VEC_PF) \
		cr_expect(eq(u64, f->cpu->s.cr2, (at) + TOP / 2 - ((store) ? 8 : 0))); \
	fixture_free(f); \
}
ROW(user_pushes_on_its_stack,           3, USER_SS,  1, NONE, 0)
ROW(user_pops_from_its_stack,           3, USER_SS,  0, NONE, 0)
ROW(user_pushes_on_a_supervisors,       3, SUPER_SS, 1, VEC_PF, PFEC_SS | PFEC_US | PFEC_WR | PFEC_P)
ROW(user_pops_from_a_supervisors,       3, SUPER_SS, 0, VEC_PF, PFEC_SS | PFEC_US | PFEC_P)
ROW(user_pushes_on_ordinary_memory,     3, PLAIN,    1, VEC_PF, PFEC_SS | PFEC_US | PFEC_WR | PFEC_P)
ROW(user_pops_from_ordinary_memory,     3, PLAIN,    0, VEC_PF, PFEC_SS | PFEC_US | PFEC_P)
ROW(user_pushes_where_nothing_is,       3, ABSENT_,  1, VEC_PF, PFEC_SS | PFEC_US | PFEC_WR)
ROW(user_pops_where_nothing_is,         3, ABSENT_,  0, VEC_PF, PFEC_SS | PFEC_US)
ROW(kernel_pushes_on_its_stack,         0, SUPER_SS, 1, NONE, 0)
ROW(kernel_pops_from_its_stack,         0, SUPER_SS, 0, NONE, 0)
ROW(kernel_pushes_on_a_users,           0, USER_SS,  1, VEC_PF, PFEC_SS | PFEC_WR | PFEC_P)
ROW(kernel_pops_from_a_users,           0, USER_SS,  0, VEC_PF, PFEC_SS | PFEC_P)
ROW(kernel_pushes_on_ordinary_memory,   0, PLAIN,    1, VEC_PF, PFEC_SS | PFEC_WR | PFEC_P)
#undef ROW

/* "R/W is 0 and dirty 1 in the entry that maps the page, and R/W 1 in every other entry" */
Test(cet_pages, the_last_entry_alone_is_read_only_and_it_is_dirty)
{
	static const struct { uint64_t leaf, above; bool ok; } k[] = {
		{ PTE_P | PTE_US | PTE_D, PTE_P | PTE_US | PTE_RW, true },
		{ PTE_P | PTE_US, PTE_P | PTE_US | PTE_RW, false },
		{ PTE_P | PTE_US | PTE_D | PTE_RW, PTE_P | PTE_US | PTE_RW, false },
		{ PTE_P | PTE_US | PTE_D, PTE_P | PTE_US, false },
	};
	for (unsigned i = 0; i < ARRAY_LEN(k); i++) {
		struct fixture *f = user();
		map(f, USER_SS, k[i].leaf);
		put(f, 0x2000, PAGE_DIR | k[i].above, 8);
		/* code and stack are read and written through a table of their own */
		if (!(k[i].above & PTE_RW)) {
			put(f, 0x2000, PAGE_DIR | PTE_P | PTE_US | PTE_RW, 8);
			put(f, 0x2008, PAGE_DIR | k[i].above, 8);
			SSP(f) += 1u << 30;
		}
		int v = STEP(f, 0xe8, 0x10, 0, 0, 0);
		cr_expect(eq(int, v, k[i].ok ? NONE : VEC_PF), "case %u", i);
		fixture_free(f);
	}
}

Test(cet_pages, ordinary_stores_are_kept_out_and_loads_are_not)
{
	struct fixture *f = user();
	REG(f, R_RBX) = USER_SS + 64;
	put(f, USER_SS + 64, 0x1234, 8);
	cr_expect(eq(int, STEP(f, 0x48, 0x8b, 0x03), NONE), "MOV RAX, [RBX]");
	cr_expect(eq(u64, REG(f, R_RAX), 0x1234));
	int v = STEP(f, 0x48, 0x89, 0x03);
	EXPECT_FAULT(f, v, VEC_PF, PFEC_US | PFEC_WR | PFEC_P);
	fixture_free(f);
}

/* A translation cached before CR4.CET was set says nothing of shadow stacks: it is walked again. */
Test(cet_pages, translations_of_before_are_walked_again)
{
	struct fixture *f = user();
	f->cpu->s.cr4 &= ~(uint64_t)CR4_CET;
	cpu_restored(f->cpu);
	REG(f, R_RBX) = USER_SS + 64;
	STEP(f, 0x48, 0x8b, 0x03);
	f->cpu->s.cr4 |= CR4_CET;
	mmu_set_paging(&f->cpu->mmu, f->cpu->s.cr0, f->cpu->s.cr4, f->cpu->s.efer);
	cpu_mode_changed(f->cpu);
	cr_expect(eq(int, STEP(f, 0xe8, 0x10, 0, 0, 0), NONE));
	cr_expect(eq(u64, SSP(f), USER_SS + TOP - 8));
	fixture_free(f);
}

/* ---- interrupts and exceptions ---- */

#define IRETQ(f, vector) put(f, STUB(vector), 0xcf48, 2)
/* A gate of an entry of the interrupt stack table, whose shadow stack's token is at `token`. */
static void ist(struct fixture *f, unsigned vector, unsigned entry, uint64_t token)
{
	put(f, IDT_BASE + vector * 16 + 4, entry, 1);
	put(f, TSS_BASE + 28 + 8 * entry, 0x7e00, 8);
	f->cpu->s.ssp_table = 0x7000;
	put(f, 0x7000 + 8 * entry, token, 8);
	put(f, token, token, 8);
}
static void allow(struct fixture *f, unsigned vector) { put(f, IDT_BASE + vector * 16 + 5, 0xee, 1); }

Test(cet_events, from_a_user_the_kernels_stack_is_taken_and_given_back)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN, CET_SH_STK_EN);
	allow(f, 30);
	IRETQ(f, 30);
	SSP(f) -= 16;
	STEP(f, 0xcd, 30);
	cr_expect(eq(u64, SSP(f), TOKEN), "no frame: the user's SSP is in an MSR");
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN | 1), "busy");
	cr_expect(eq(u64, f->cpu->s.pl_ssp[3], USER_SS + TOP - 16));
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE + 2));
	cr_expect(eq(u64, SSP(f), USER_SS + TOP - 16));
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN), "free");
	fixture_free(f);
}

/* #GP(0): the handler's own shadow stack is good */
#define ROW(name, ssp, token) \
Test(cet_events, name) \
{ \
	struct fixture *f = cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN, CET_SH_STK_EN); \
	allow(f, 30); \
	ist(f, VEC_GP, 1, SUPER_SS + TOP + 0x18); \
	f->cpu->s.pl_ssp[0] = (ssp); \
	put(f, (ssp), (token), 8); \
	int v = STEP(f, 0xcd, 30); \
	EXPECT_FAULT(f, v, VEC_GP, 0); \
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE)); \
	cr_expect(eq(u64, f->cpu->s.pl_ssp[3], USER_SS + TOP)); \
	fixture_free(f); \
}
ROW(a_busy_token_is_gp,                     TOKEN, TOKEN | 1)
ROW(a_token_that_is_not_its_address_is_gp,  TOKEN, TOKEN - 8)
ROW(a_token_on_4_bytes_is_gp,               TOKEN + 4, TOKEN + 4)
ROW(a_frame_across_32_bytes_is_gp,          TOKEN - 8, TOKEN - 8)
#undef ROW

Test(cet_events, at_one_level_a_frame_is_pushed_and_iret_checks_it)
{
	struct fixture *f = kernel();
	IRETQ(f, 30);
	SSP(f) -= 4;            /* a hole */
	put(f, SSP(f) - 4, ~0ull, 4);
	STEP(f, 0xcd, 30);
	uint64_t top = SUPER_SS + TOP - 8;
	cr_expect(eq(u64, SSP(f), top - 24));
	cr_expect(eq(u64, get(f, top, 4), 0), "the hole is cleared");
	cr_expect(eq(u64, WORD(f, top - 8), 0x08));
	cr_expect(eq(u64, WORD(f, top - 16), FIXTURE_CODE + 2));
	cr_expect(eq(u64, WORD(f, top - 24), top + 4));
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u64, SSP(f), top + 4));
	fixture_free(f);
}

static void tampered(unsigned slot, uint64_t value)
{
	struct fixture *f = kernel();
	IRETQ(f, 30);
	STEP(f, 0xcd, 30);
	put(f, SSP(f) + 8 * slot, value, 8);
	int v = fixture_run(f, 1);
	EXPECT_FAULT(f, v, VEC_CP, CP_FAR_RET);
	cr_expect(eq(u64, f->fault_rip, STUB(30)));
	fixture_free(f);
}
Test(cet_events, iret_with_another_cs_is_cp_2) { tampered(2, 0x08 | BIT(16)); }
Test(cet_events, iret_with_another_rip_is_cp_2) { tampered(1, FIXTURE_CODE + 3); }
Test(cet_events, iret_with_an_unaligned_old_ssp_is_cp_2) { tampered(0, SUPER_SS + TOP + 2); }

Test(cet_events, an_interrupt_stack_has_a_shadow_stack_too)
{
	struct fixture *f = kernel();
	const uint64_t token = SUPER_SS + 0x2018;
	IRETQ(f, 30);
	ist(f, 30, 2, token);
	STEP(f, 0xcd, 30);
	cr_expect(eq(u64, SSP(f), token - 24));
	cr_expect(eq(u64, WORD(f, token), token | 1));
	cr_expect(eq(u64, WORD(f, token - 24), SUPER_SS + TOP));
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u64, SSP(f), SUPER_SS + TOP));
	cr_expect(eq(u64, WORD(f, token), token), "free");
	fixture_free(f);
}

/* From compatibility mode, whose own addresses have 32 bits, to a kernel whose stack lies above 4 GB; and back. */
Test(cet_events, a_kernel_above_4_gb_is_entered_from_compatibility_mode)
{
	const uint64_t high = 8ull << 30;
	struct fixture *f = cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN, CET_SH_STK_EN);
	allow(f, 30);
	IRETQ(f, 30);
	put(f, 0x2000 + 8 * 8, PAGE_DIR | PTE_P | PTE_RW | PTE_US, 8);
	f->cpu->s.pl_ssp[0] = high + TOKEN;
	put(f, TOKEN, high + TOKEN, 8);
	f->cpu->s.seg[SEG_CS].sel = 0x3b;
	f->cpu->s.seg[SEG_CS].attr ^= SEG_L | SEG_DB;
	cpu_restored(f->cpu);
	cr_assert(eq(u8, f->cpu->s.mode, MODE_COMPAT32));
	STEP(f, 0xcd, 30);
	cr_expect(eq(u64, SSP(f), high + TOKEN));
	cr_expect(eq(u64, WORD(f, TOKEN), (high + TOKEN) | 1));
	/* "if returning to compatibility mode, SSP must be in low 4 GB": the kernel has put something else there */
	f->cpu->s.pl_ssp[3] = high;
	ist(f, VEC_GP, 1, SUPER_SS + 0x2018);
	int v = fixture_run(f, 1);
	EXPECT_FAULT(f, v, VEC_GP, 0);
	cr_expect(eq(u64, f->fault_rip, STUB(30)));
	fixture_free(f);
}

Test(cet_events, protected_mode_from_ring_3_and_back)
{
	struct fixture *f = cet_new(FIXTURE_PROT32, 3, CET_SH_STK_EN, CET_SH_STK_EN);
	put(f, IDT_BASE + 30 * 8 + 5, 0xee, 1);
	put(f, STUB(30), 0xcf, 1);
	STEP(f, 0xcd, 30);
	cr_expect(eq(u8, f->cpu->s.cpl, 0));
	cr_expect(eq(u64, SSP(f), TOKEN));
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN | 1));
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u8, f->cpu->s.cpl, 3));
	cr_expect(eq(u64, SSP(f), USER_SS + TOP));
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN));
	fixture_free(f);
}

/* Virtual-8086 mode knows nothing of it; IRET to it gives the kernel's stack back, and its interrupts take it again. */
Test(cet_events, to_virtual_8086_mode_and_back)
{
	struct fixture *f = cet_new(FIXTURE_PROT32, 0, CET_SH_STK_EN | CET_ENDBR_EN, CET_SH_STK_EN);
	const uint32_t frame[] = { 0, 0x1000, 2 | RFLAGS_VM | 3u << 12, 0xfff0, 0x2000, 0, 0, 0, 0 };
	put(f, IDT_BASE + 30 * 8 + 5, 0xee, 1);
	mem_write(&f->mem, HPA(FIXTURE_STACK), frame, sizeof frame);
	put(f, TOKEN, TOKEN | 1, 8);
	SSP(f) = TOKEN;
	cr_expect(eq(int, STEP(f, 0xcf), NONE));
	cr_assert(eq(u8, f->cpu->s.mode, MODE_V86));
	cr_expect(eq(u32, f->cpu->cet, 0));
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN));
	f->cpu->s.pl_ssp[3] = 0x1234;
	put(f, 0x10000, 0x1ecd, 2);     /* INT 30 */
	fixture_run(f, 1);
	cr_expect(eq(u8, f->cpu->s.cpl, 0));
	cr_expect(eq(u64, SSP(f), TOKEN));
	cr_expect(eq(u64, f->cpu->s.pl_ssp[3], 0x1234), "SSP was not a user's");
	fixture_free(f);
}

/* "Contributory exceptions": #CP is one. A #GP while it is being delivered makes a double fault. */
Test(cet_events, a_gp_while_delivering_cp_is_a_double_fault)
{
	struct fixture *f = user();
	put(f, FIXTURE_STACK, FIXTURE_CODE, 8);
	put(f, IDT_BASE + VEC_CP * 16, 0, 8);   /* no gate */
	int v = STEP(f, 0xc3);
	EXPECT_FAULT(f, v, VEC_DF, 0);
	fixture_free(f);
}

/* ---- far calls and returns ---- */

Test(cet_far, call_and_ret_at_one_level)
{
	struct fixture *f = user();
	put_desc(f, 0x48, descriptor(0, 0xfffff, CODE(3) | G64));
	put(f, 0x20000, 0xcb48, 2);             /* RETF, 64-bit */
	put(f, FIXTURE_DATA, 0x20000, 8);
	put(f, FIXTURE_DATA + 8, 0x4b, 2);
	REG(f, R_RBX) = FIXTURE_DATA;
	cr_expect(eq(int, STEP(f, 0x48, 0xff, 0x1b), NONE));    /* CALL FAR [RBX] */
	cr_expect(eq(u64, SSP(f), USER_SS + TOP - 24));
	cr_expect(eq(u64, WORD(f, SSP(f) + 16), 0x2b));
	cr_expect(eq(u64, WORD(f, SSP(f) + 8), FIXTURE_CODE + 3));
	cr_expect(eq(u64, WORD(f, SSP(f)), USER_SS + TOP));
	put(f, REG(f, R_RSP), FIXTURE_CODE + 4, 8);
	uint64_t ssp = SSP(f);
	int v = fixture_run(f, 1);
	EXPECT_FAULT(f, v, VEC_CP, CP_FAR_RET);
	cr_expect(eq(u64, f->cpu->s.pl_ssp[3], ssp));
	fixture_free(f);
}

Test(cet_far, ret_needs_an_aligned_stack)
{
	struct fixture *f = user();
	put(f, FIXTURE_STACK, FIXTURE_CODE, 8);
	put(f, FIXTURE_STACK + 8, 0x2b, 8);
	SSP(f) -= 4;
	int v = STEP(f, 0x48, 0xcb);
	EXPECT_FAULT(f, v, VEC_CP, CP_FAR_RET);
	fixture_free(f);
}

/* Outwards to CPL 3 nothing is popped: the token at SSP is given back and IA32_PL3_SSP comes in. */
Test(cet_far, ret_to_a_user)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 0, CET_SH_STK_EN, CET_SH_STK_EN);
	put(f, FIXTURE_STACK, FIXTURE_CODE, 8);
	put(f, FIXTURE_STACK + 8, 0x2b, 8);
	put(f, FIXTURE_STACK + 16, 0x123450, 8);
	put(f, FIXTURE_STACK + 24, 0x33, 8);
	SSP(f) = TOKEN;
	put(f, TOKEN, TOKEN | 1, 8);
	f->cpu->s.pl_ssp[3] = USER_SS + 0x20;
	cr_expect(eq(int, STEP(f, 0x48, 0xcb), NONE));
	cr_expect(eq(u64, SSP(f), USER_SS + 0x20));
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN));
	cr_expect(eq(u8, f->cpu->s.cpl, 3));
	cr_expect(eq(u32, f->cpu->cet, KEY_SS));
	fixture_free(f);
}

Test(cet_far, a_call_gate_to_the_kernel_takes_its_stack)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN, CET_SH_STK_EN);
	put(f, GDT_BASE + 0x50, gate(0x08, 0x20000, DESC_CALL32, 3, 0), 8);
	put(f, GDT_BASE + 0x58, 0, 8);
	put(f, FIXTURE_DATA + 8, 0x53, 2);
	REG(f, R_RBX) = FIXTURE_DATA;
	cr_expect(eq(int, STEP(f, 0x48, 0xff, 0x1b), NONE));
	cr_expect(eq(u8, f->cpu->s.cpl, 0));
	cr_expect(eq(u64, SSP(f), TOKEN));
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN | 1));
	cr_expect(eq(u64, f->cpu->s.pl_ssp[3], USER_SS + TOP));
	fixture_free(f);
}

/* ---- system calls ---- */

Test(cet_system, syscall_puts_the_users_ssp_away_and_sysret_brings_it_back)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN, CET_SH_STK_EN | CET_ENDBR_EN | CET_SUPPRESS);
	f->cpu->s.star = 0x08ull << 32 | 0x18ull << 48;
	f->cpu->s.lstar = 0x20000;
	put(f, 0x20000, 0xfa1e0ff3, 4);
	put(f, 0x20004, 0x070f48, 3);           /* SYSRETQ */
	STEP(f, 0x0f, 0x05);
	cr_expect(eq(u64, f->cpu->s.pl_ssp[3], USER_SS + TOP));
	cr_expect(eq(u64, SSP(f), 0));
	cr_expect(eq(u64, f->cpu->s.s_cet, CET_SH_STK_EN | CET_ENDBR_EN | CET_TRACKER));
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u64, f->cpu->s.s_cet, CET_SH_STK_EN | CET_ENDBR_EN));
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u64, SSP(f), USER_SS + TOP));
	fixture_free(f);
}

Test(cet_system, sysenter_and_sysexit_do_so_too)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN, CET_SH_STK_EN);
	f->cpu->s.sysenter_cs = 0x08;
	f->cpu->s.sysenter_eip = 0x20000;
	put(f, 0x20000, 0x350f48, 3);           /* SYSEXIT, 64-bit */
	STEP(f, 0x0f, 0x34);
	cr_expect(eq(u64, f->cpu->s.pl_ssp[3], USER_SS + TOP));
	cr_expect(eq(u64, SSP(f), 0));
	REG(f, R_RDX) = FIXTURE_CODE;
	REG(f, R_RCX) = FIXTURE_STACK;
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u64, SSP(f), USER_SS + TOP));
	fixture_free(f);
}

/* ---- shadow-stack management ---- */

#define INCSSPQ_RAX 0xf3, 0x48, 0x0f, 0xae, 0xe8
#define RDSSPQ_RAX  0xf3, 0x48, 0x0f, 0x1e, 0xc8
#define SAVEPREVSSP 0xf3, 0x0f, 0x01, 0xea
#define RSTORSSP_RBX 0xf3, 0x0f, 0x01, 0x2b
#define WRSSQ_RBX_RAX 0x48, 0x0f, 0x38, 0xf6, 0x03
#define WRUSSQ_RBX_RAX 0x66, 0x48, 0x0f, 0x38, 0xf5, 0x03
#define SETSSBSY_   0xf3, 0x0f, 0x01, 0xe8
#define CLRSSBSY_RBX 0xf3, 0x0f, 0xae, 0x33

Test(cet_insn, all_but_rdssp_are_ud_without_shadow_stacks)
{
	static const uint8_t code[][6] = { { INCSSPQ_RAX }, { SAVEPREVSSP }, { RSTORSSP_RBX }, { WRSSQ_RBX_RAX }, { SETSSBSY_ },
		                           { CLRSSBSY_RBX } };
	for (unsigned i = 0; i < ARRAY_LEN(code); i++)
		for (unsigned has = 0; has < 2; has++) {
			struct fixture *f = has ? cet_new(FIXTURE_LONG64, 0, CET_SH_STK_EN, 0) : prot_new(FIXTURE_LONG64, 0);
			REG(f, R_RBX) = SUPER_SS;
			fixture_code(f, code[i], sizeof code[i]);
			cr_expect(eq(int, fixture_run(f, 1), VEC_UD), "%u, %u", i, has);
			fixture_free(f);
		}
}

Test(cet_insn, wruss_is_ud_without_cr4_cet_and_gp_outside_ring_0)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	cr_expect(eq(int, STEP(f, WRUSSQ_RBX_RAX), VEC_UD));
	fixture_free(f);
	f = user();
	int v = STEP(f, WRUSSQ_RBX_RAX);
	EXPECT_FAULT(f, v, VEC_GP, 0);
	fixture_free(f);
}

Test(cet_insn, rdssp_and_incssp)
{
	struct fixture *f = user();
	cr_expect(eq(int, STEP(f, RDSSPQ_RAX), NONE));
	cr_expect(eq(u64, REG(f, R_RAX), USER_SS + TOP));
	SSP(f) -= 0x800;
	REG(f, R_RAX) = 0xabcd00 | 255;         /* bits 7:0 count */
	cr_expect(eq(int, STEP(f, INCSSPQ_RAX), NONE));
	cr_expect(eq(u64, SSP(f), USER_SS + 0x800 + 255 * 8));
	REG(f, R_RAX) = 3;
	cr_expect(eq(int, STEP(f, 0xf3, 0x0f, 0xae, 0xe8), NONE), "INCSSPD");
	cr_expect(eq(u64, SSP(f), USER_SS + 0x800 + 255 * 8 + 12));
	/* the last element popped is read: it lies on the page after the stack */
	SSP(f) = USER_SS + (2u << 20) - 16;
	map(f, SUPER_SS, 0);
	mmu_invlpg(&f->cpu->mmu, SUPER_SS);
	REG(f, R_RAX) = 2;
	cr_expect(eq(int, STEP(f, INCSSPQ_RAX), NONE));
	SSP(f) = USER_SS + (2u << 20) - 16;
	REG(f, R_RAX) = 3;
	int v = STEP(f, INCSSPQ_RAX);
	EXPECT_FAULT(f, v, VEC_PF, PFEC_SS | PFEC_US);
	fixture_free(f);
}

Test(cet_insn, wrss_writes_when_it_may_and_aligned)
{
	struct fixture *f = user();
	REG(f, R_RBX) = USER_SS + 8;
	REG(f, R_RAX) = 0x1122334455667788;
	cr_expect(eq(int, STEP(f, WRSSQ_RBX_RAX), VEC_UD), "WR_SHSTK_EN is 0");
	fixture_free(f);
	f = cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN | CET_WR_SHSTK_EN, 0);
	REG(f, R_RBX) = USER_SS + 8;
	REG(f, R_RAX) = 0x1122334455667788;
	cr_expect(eq(int, STEP(f, WRSSQ_RBX_RAX), NONE));
	cr_expect(eq(u64, WORD(f, USER_SS + 8), 0x1122334455667788));
	REG(f, R_RBX) = USER_SS + 4;
	cr_expect(eq(int, STEP(f, 0x0f, 0x38, 0xf6, 0x03), NONE), "WRSSD");
	cr_expect(eq(u64, get(f, USER_SS + 4, 4), 0x55667788));
	int v = STEP(f, WRSSQ_RBX_RAX);
	EXPECT_FAULT(f, v, VEC_GP, 0);
	fixture_free(f);
	f = cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN | CET_WR_SHSTK_EN, 0);
	REG(f, R_RBX) = PLAIN;
	v = STEP(f, WRSSQ_RBX_RAX);
	EXPECT_FAULT(f, v, VEC_PF, PFEC_SS | PFEC_US | PFEC_WR | PFEC_P);
	fixture_free(f);
}

Test(cet_insn, wruss_writes_as_a_user)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 0, 0, 0);
	REG(f, R_RBX) = USER_SS + 16;
	REG(f, R_RAX) = 77;
	cr_expect(eq(int, STEP(f, WRUSSQ_RBX_RAX), NONE));
	cr_expect(eq(u64, WORD(f, USER_SS + 16), 77));
	REG(f, R_RBX) = SUPER_SS + 16;
	int v = STEP(f, WRUSSQ_RBX_RAX);
	EXPECT_FAULT(f, v, VEC_PF, PFEC_SS | PFEC_US | PFEC_WR | PFEC_P);
	fixture_free(f);
}

/* From one stack to another and back: RSTORSSP leaves a token that SAVEPREVSSP turns into one to come back by. */
Test(cet_insn, stacks_are_switched_by_tokens)
{
	struct fixture *f = user();
	const uint64_t other = USER_SS + 0x8000, old = USER_SS + TOP;
	put(f, other - 8, other | 1, 8);        /* made in 64-bit mode */
	REG(f, R_RBX) = other - 8;
	cr_expect(eq(int, STEP(f, RSTORSSP_RBX), NONE));
	cr_expect(eq(u64, SSP(f), other - 8));
	cr_expect(eq(u64, WORD(f, other - 8), old | 3));
	cr_expect(eq(u64, cpu_rflags(f->cpu) & RFLAGS_STATUS, 0));
	cr_expect(eq(int, STEP(f, SAVEPREVSSP), NONE));
	cr_expect(eq(u64, SSP(f), other));
	cr_expect(eq(u64, WORD(f, old - 8), old | 1));
	REG(f, R_RBX) = old - 8;
	cr_expect(eq(int, STEP(f, RSTORSSP_RBX), NONE));
	cr_expect(eq(u64, SSP(f), old - 8));
	fixture_free(f);
}

#define ROW(name, at, token, vec, ec) \
Test(cet_insn, name) \
{ \
	struct fixture *f = user(); \
	REG(f, R_RBX) = (at); \
	put(f, (at), (token), 8); \
	int v = STEP(f, RSTORSSP_RBX); \
	EXPECT_FAULT(f, v, vec, ec); \
	cr_expect(eq(u64, WORD(f, (at)), (uint64_t)(token)), "the token is as it was"); \
	fixture_free(f); \
}
ROW(rstorssp_unaligned_is_gp,               USER_SS + 4,  (USER_SS + 12) | 1, VEC_GP, 0)
ROW(rstorssp_of_another_mode_is_cp_4,       USER_SS + 8,  USER_SS + 16,       VEC_CP, CP_RSTORSSP)
ROW(rstorssp_of_a_previous_token_is_cp_4,   USER_SS + 8,  (USER_SS + 16) | 3, VEC_CP, CP_RSTORSSP)
ROW(rstorssp_of_another_address_is_cp_4,    USER_SS + 8,  (USER_SS + 32) | 1, VEC_CP, CP_RSTORSSP)
#undef ROW

Test(cet_insn, saveprevssp_wants_a_previous_token)
{
	struct fixture *f = user();
	put(f, SSP(f) - 8, (USER_SS + 0x40) | 1, 8);
	SSP(f) -= 8;
	int v = STEP(f, SAVEPREVSSP);
	EXPECT_FAULT(f, v, VEC_GP, 0);
	fixture_free(f);
}

Test(cet_insn, setssbsy_takes_and_clrssbsy_gives_back)
{
	struct fixture *f = kernel();
	SSP(f) = 0;
	cr_expect(eq(int, STEP(f, SETSSBSY_), NONE));
	cr_expect(eq(u64, SSP(f), TOKEN));
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN | 1));
	REG(f, R_RBX) = TOKEN;
	cr_expect(eq(int, STEP(f, CLRSSBSY_RBX), NONE));
	cr_expect(eq(u64, SSP(f), 0));
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN));
	cr_expect(eq(u64, cpu_rflags(f->cpu) & RFLAGS_STATUS, 0));
	cr_expect(eq(int, STEP(f, CLRSSBSY_RBX), NONE));
	cr_expect(eq(u64, cpu_rflags(f->cpu) & RFLAGS_STATUS, RFLAGS_CF), "it was not busy");
	fixture_free(f);
}

Test(cet_insn, setssbsy_of_a_busy_stack_is_cp_5)
{
	struct fixture *f = kernel();
	put(f, TOKEN, TOKEN | 1, 8);
	int v = STEP(f, SETSSBSY_);
	EXPECT_FAULT(f, v, VEC_CP, CP_SETSSBSY);
	fixture_free(f);
	f = cet_new(FIXTURE_LONG64, 3, 0, CET_SH_STK_EN);
	ist(f, VEC_GP, 1, SUPER_SS + 0x2018);
	v = STEP(f, SETSSBSY_);
	EXPECT_FAULT(f, v, VEC_GP, 0);
	fixture_free(f);
}

/* ---- indirect-branch tracking ---- */

#define TARGET 0x20000u
#define ENDBR64 0xfa1e0ff3u
#define ENDBR32 0xfb1e0ff3u

static struct fixture *tracked(uint64_t more) { return cet_new(FIXTURE_LONG64, 3, CET_ENDBR_EN | more, 0); }

/* JMP RAX to `bytes` at TARGET; the vector, and where it struck. */
#define ROW(name, more, bytes, vec, ec) \
Test(cet_ibt, name) \
{ \
	struct fixture *f = tracked(more); \
	put(f, TARGET, (bytes), 8); \
	REG(f, R_RAX) = TARGET; \
	cr_expect(eq(int, STEP(f, 0xff, 0xe0), NONE)); \
	cr_expect(eq(u64, RIP(f), TARGET)); \
	int v = fixture_run(f, 1); \
	EXPECT_FAULT(f, v, vec, ec); \
	if (v != NONE) \
		cr_expect(eq(u64, f->fault_rip, TARGET)); \
	else \
		cr_expect(eq(u64, f->cpu->s.u_cet & CET_TRACKER, 0)); \
	fixture_free(f); \
}
ROW(endbr64_is_where_a_jump_may_land,      0, ENDBR64, NONE, 0)
ROW(anything_else_is_cp_3,                 0, 0x90909090, VEC_CP, CP_ENDBRANCH)
ROW(endbr32_is_not_it_in_64_bit_mode,      0, ENDBR32, VEC_CP, CP_ENDBRANCH)
ROW(an_undefined_opcode_is_cp_3_first,     0, 0x0b0f, VEC_CP, CP_ENDBRANCH)
ROW(so_is_a_privileged_instruction,        0, 0xf4, VEC_CP, CP_ENDBRANCH)
ROW(suppressed_tracking_tracks_nothing,    CET_SUPPRESS, 0x90, NONE, 0)
#undef ROW

/* The 3EH prefix counts when NO_TRACK_EN is set. */
Test(cet_ibt, a_branch_may_ask_not_to_be_tracked)
{
	for (unsigned i = 0; i < 2; i++) {
		struct fixture *f = tracked(i ? CET_NO_TRACK_EN : 0);
		put(f, TARGET, 0x90, 8);
		REG(f, R_RAX) = TARGET;
		STEP(f, 0x3e, 0xff, 0xe0);
		cr_expect(eq(u64, f->cpu->s.u_cet & CET_TRACKER, i ? 0 : CET_TRACKER));
		cr_expect(eq(int, fixture_run(f, 1), i ? NONE : VEC_CP));
		fixture_free(f);
	}
}

Test(cet_ibt, direct_branches_and_returns_are_not_tracked)
{
	struct fixture *f = tracked(0);
	put(f, FIXTURE_STACK, TARGET, 8);
	STEP(f, 0xeb, 0x10);
	cr_expect(eq(u64, f->cpu->s.u_cet, CET_ENDBR_EN));
	STEP(f, 0xe8, 0x10, 0, 0, 0);
	cr_expect(eq(u64, f->cpu->s.u_cet, CET_ENDBR_EN));
	REG(f, R_RSP) = FIXTURE_STACK;
	STEP(f, 0xc3);
	cr_expect(eq(u64, f->cpu->s.u_cet, CET_ENDBR_EN));
	REG(f, R_RAX) = TARGET;
	STEP(f, 0xff, 0xd0);
	cr_expect(eq(u64, f->cpu->s.u_cet, CET_ENDBR_EN | CET_TRACKER), "CALL RAX");
	fixture_free(f);
}

Test(cet_ibt, int3_is_let_through_for_debuggers)
{
	struct fixture *f = tracked(0);
	allow(f, VEC_BP);
	put(f, TARGET, 0xcc, 1);
	REG(f, R_RAX) = TARGET;
	STEP(f, 0xff, 0xe0);
	fixture_run(f, 1);
	cr_expect(eq(u64, RIP(f), STUB(VEC_BP)));
	cr_expect(eq(u64, f->cpu->s.u_cet, CET_ENDBR_EN | CET_TRACKER), "it still waits");
	fixture_free(f);
}

/* A fetch's page fault comes before a missing ENDBRANCH. */
Test(cet_ibt, a_page_that_is_absent_faults_first)
{
	struct fixture *f = tracked(0);
	REG(f, R_RAX) = ABSENT_;
	STEP(f, 0xff, 0xe0);
	int v = fixture_run(f, 1);
	EXPECT_FAULT(f, v, VEC_PF, PFEC_US | PFEC_ID);
	cr_expect(eq(u64, f->cpu->s.u_cet, CET_ENDBR_EN | CET_TRACKER), "the user's tracker waits on");
	fixture_free(f);
}

Test(cet_ibt, the_legacy_bitmap_lets_a_page_through)
{
	const uint64_t bitmap = FIXTURE_DATA;
	for (unsigned i = 0; i < 3; i++) {
		struct fixture *f = tracked(CET_LEG_IW_EN | bitmap | (i == 1 ? CET_SUPPRESS_DIS : 0));
		put(f, bitmap + (TARGET >> 15), i == 2 ? 0 : 1u << (TARGET >> 12 & 7), 1);
		put(f, TARGET, 0xc0ff48, 3);    /* INC RAX */
		REG(f, R_RAX) = TARGET;
		STEP(f, 0xff, 0xe0);
		uint64_t n = f->cpu->s.icount;
		int v = fixture_run(f, 1);
		EXPECT_FAULT(f, v, i == 2 ? VEC_CP : NONE, CP_ENDBRANCH);
		if (i < 2) {
			cr_expect(eq(u64, REG(f, R_RAX), TARGET + 1));
			cr_expect(eq(u64, f->cpu->s.icount, n + 1), "one instruction");
			cr_expect(eq(u64, f->cpu->s.u_cet & (CET_TRACKER | CET_SUPPRESS), i ? 0 : CET_SUPPRESS));
		}
		fixture_free(f);
	}
}

Test(cet_ibt, endbranch_ends_suppression)
{
	struct fixture *f = tracked(CET_SUPPRESS);
	STEP(f, 0xf3, 0x0f, 0x1e, 0xfb);
	cr_expect(eq(u64, f->cpu->s.u_cet, CET_ENDBR_EN | CET_SUPPRESS), "ENDBR32 is a NOP here");
	STEP(f, 0xf3, 0x0f, 0x1e, 0xfa);
	cr_expect(eq(u64, f->cpu->s.u_cet, CET_ENDBR_EN));
	fixture_free(f);
}

Test(cet_ibt, a_handler_must_begin_with_endbranch)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 3, CET_ENDBR_EN, CET_ENDBR_EN);
	allow(f, 30);
	put(f, STUB(VEC_CP), ENDBR64, 4);
	STEP(f, 0xcd, 30);
	cr_expect(eq(u64, f->cpu->s.s_cet, CET_ENDBR_EN | CET_TRACKER));
	int v = fixture_run(f, 1);
	EXPECT_FAULT(f, v, VEC_CP, CP_ENDBRANCH);
	cr_expect(eq(u64, f->fault_rip, STUB(30)));
	fixture_free(f);
}

Test(cet_ibt, in_protected_mode_it_is_endbr32)
{
	for (unsigned i = 0; i < 2; i++) {
		struct fixture *f = cet_new(FIXTURE_PROT32, 0, 0, CET_ENDBR_EN);
		put(f, TARGET, i ? ENDBR64 : ENDBR32, 4);
		put(f, STUB(VEC_CP), (uint64_t)0xf4 << 32 | ENDBR32, 5);
		REG(f, R_RAX) = TARGET;
		STEP(f, 0xff, 0xe0);
		cr_expect(eq(int, fixture_run(f, 1), i ? VEC_CP : NONE));
		fixture_free(f);
	}
}

Test(cet_ibt, far_jumps_are_tracked_and_end_suppression)
{
	struct fixture *f = cet_new(FIXTURE_PROT32, 0, 0, CET_ENDBR_EN | CET_SUPPRESS);
	cr_expect(eq(int, STEP(f, 0xea, 0, 0, 2, 0, 0x18, 0), NONE));
	cr_expect(eq(u64, f->cpu->s.s_cet, CET_ENDBR_EN | CET_TRACKER));
	fixture_free(f);
}

/* Tracking is part of what a block was decoded for: the same bytes, tracked and not. */
Test(cet_ibt, the_same_code_with_tracking_on_and_off)
{
	struct fixture *f = tracked(0);
	put(f, TARGET, 0x90, 1);
	for (unsigned i = 0; i < 4; i++) {
		f->cpu->s.cpl = 3;
		f->cpu->s.u_cet = i & 1 ? 0 : CET_ENDBR_EN;
		cet_changed(f->cpu);
		REG(f, R_RAX) = TARGET;
		STEP(f, 0xff, 0xe0);
		int v = fixture_run(f, 1);
		EXPECT_FAULT(f, v, i & 1 ? NONE : VEC_CP, CP_ENDBRANCH);
		if (v != NONE) {        /* back to the user */
			f->cpu->s.r[R_RSP] = FIXTURE_STACK;
			for (unsigned s = SEG_ES; s <= SEG_GS; s++)
				f->cpu->s.seg[s] = (struct seg){ .sel = 0x33, .limit = 0xffffffff, .attr = SEG_G | SEG_DB | SEG_P | SEG_S | 3 };
			f->cpu->s.seg[SEG_CS].attr = SEG_G | SEG_L | SEG_P | SEG_S | 11;
			fixture_ring3(f);
		}
	}
	fixture_free(f);
}

/* ---- registers ---- */

#define ROW(name, nr, value, ok) \
Test(cet_msr, name) \
{ \
	struct fixture *f = cet_new(FIXTURE_LONG64, 0, 0, 0); \
	uint64_t v = 0; \
	cr_expect(eq(int, msr_write(f->cpu, nr, value), ok)); \
	cr_expect(msr_read(f->cpu, nr, &v)); \
	if (ok) \
		cr_expect(eq(u64, v, value)); \
	fixture_free(f); \
}
ROW(every_bit_but_the_reserved,      0x6a0, 0x7ffffffff43full, 1)
ROW(both_states_of_the_tracker,      0x6a0, 0xc00, 0)
ROW(bit_6_is_reserved,               0x6a2, BIT(6), 0)
ROW(bit_9_is_reserved,               0x6a2, BIT(9), 0)
ROW(the_bitmap_is_canonical,         0x6a2, BIT(62), 0)
ROW(pl0_ssp_on_4_bytes,              0x6a4, 0x1004, 1)
ROW(pl0_ssp_unaligned,               0x6a4, 0x1002, 0)
ROW(pl3_ssp_unaligned,               0x6a7, 0x1001, 0)
ROW(pl3_ssp_not_canonical,           0x6a7, BIT(60), 0)
ROW(the_table_anywhere_canonical,    0x6a8, 0x1001, 1)
ROW(the_table_not_canonical,         0x6a8, BIT(60), 0)
ROW(xss_has_two_components,          0xda0, 0x1800, 1)
ROW(xss_has_no_others,               0xda0, 0x0400, 0)
#undef ROW

Test(cet_msr, there_are_none_without_the_feature)
{
	static const uint32_t nr[] = { 0x6a0, 0x6a2, 0x6a4, 0x6a5, 0x6a6, 0x6a7, 0x6a8 };
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	uint64_t v;
	for (unsigned i = 0; i < ARRAY_LEN(nr); i++) {
		cr_expect(not(msr_read(f->cpu, nr[i], &v)), "%x", nr[i]);
		cr_expect(not(msr_write(f->cpu, nr[i], 0)), "%x", nr[i]);
	}
	cr_expect(not(msr_write(f->cpu, 0xda0, 0x800)));
	cr_expect(eq(u64, cr4_valid_bits(f->cpu) & CR4_CET, 0));
	fixture_free(f);
}

/* With one of the two features the other one's bits are reserved. */
Test(cet_msr, each_feature_has_its_bits)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 0, 0, 0);
	f->profile.cet_ibt = 0;
	cpuid_init(f->cpu);
	cr_expect(msr_write(f->cpu, 0x6a0, 3));
	cr_expect(not(msr_write(f->cpu, 0x6a0, 4)));
	f->profile.cet_ibt = 1;
	f->profile.cet_shstk = 0;
	cpuid_init(f->cpu);
	cr_expect(msr_write(f->cpu, 0x6a0, 4));
	cr_expect(not(msr_write(f->cpu, 0x6a0, 1)));
	cr_expect(not(msr_write(f->cpu, 0x6a4, 0)));
	fixture_free(f);
}

Test(cet_msr, cr4_cet_needs_cr0_wp)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 0, 0, 0);
	REG(f, R_RAX) = f->cpu->s.cr0 & ~(uint64_t)CR0_WP;
	int v = STEP(f, 0x0f, 0x22, 0xc0);
	EXPECT_FAULT(f, v, VEC_GP, 0);
	fixture_free(f);
	f = cet_new(FIXTURE_LONG64, 0, 0, 0);
	f->cpu->s.cr4 &= ~(uint64_t)CR4_CET;
	f->cpu->s.cr0 &= ~(uint64_t)CR0_WP;
	cpu_restored(f->cpu);
	REG(f, R_RAX) = f->cpu->s.cr4 | CR4_CET;
	v = STEP(f, 0x0f, 0x22, 0xe0);
	EXPECT_FAULT(f, v, VEC_GP, 0);
	fixture_free(f);
}

Test(cet_msr, cpuid_tells)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 0, 0, 0);
	uint32_t o[4];
	cpuid_leaf(f->cpu, 7, 0, o);
	cr_expect(eq(u32, o[CPUID_ECX] >> 7 & 1, 1));
	cr_expect(eq(u32, o[CPUID_EDX] >> 20 & 1, 1));
	cpuid_leaf(f->cpu, 13, 1, o);
	cr_expect(eq(u32, o[CPUID_ECX], 0x1800));
	cpuid_leaf(f->cpu, 13, 11, o);
	cr_expect(eq(u32, o[CPUID_EAX], 16));
	cr_expect(eq(u32, o[CPUID_EBX], 0));
	cr_expect(eq(u32, o[CPUID_ECX], 1));
	cpuid_leaf(f->cpu, 13, 12, o);
	cr_expect(eq(u32, o[CPUID_EAX], 24));
	fixture_free(f);
}

/* ---- XSAVES, XRSTORS: components 11 and 12 ---- */

Test(cet_xsave, both_components_come_back)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 0, 0x1234000 | CET_SH_STK_EN, 0);
	struct cpu_state *s = &f->cpu->s;
	s->cr4 |= CR4_OSXSAVE;
	s->xcr0 = XSTATE_X87 | XSTATE_SSE | XSTATE_PKRU;
	msr_write(f->cpu, 0xda0, 0x1800);
	for (unsigned i = 0; i < 4; i++)
		s->pl_ssp[i] = 0x1000 * (i + 1);
	cpu_restored(f->cpu);
	REG(f, R_RBX) = FIXTURE_DATA;
	REG(f, R_RAX) = 0x1a00;         /* PKRU, CET_U, CET_S */
	REG(f, R_RDX) = 0;
	cr_expect(eq(int, STEP(f, 0x0f, 0xc7, 0x2b), NONE), "XSAVES");
	cr_expect(eq(u64, WORD(f, FIXTURE_DATA + 512), 0x1800), "XSTATE_BV: PKRU is in its initial state");
	cr_expect(eq(u64, WORD(f, FIXTURE_DATA + 520), BIT(63) | 0x1a00));
	cr_expect(eq(u64, WORD(f, FIXTURE_DATA + 584), 0x1234001));
	cr_expect(eq(u64, WORD(f, FIXTURE_DATA + 592), 0x4000));
	cr_expect(eq(u64, WORD(f, FIXTURE_DATA + 600), 0x1000));
	cr_expect(eq(u64, WORD(f, FIXTURE_DATA + 616), 0x3000));
	s->u_cet = 0;
	memset(s->pl_ssp, 0, sizeof s->pl_ssp);
	cr_expect(eq(int, STEP(f, 0x0f, 0xc7, 0x1b), NONE), "XRSTORS");
	cr_expect(eq(u64, s->u_cet, 0x1234001));
	for (unsigned i = 0; i < 4; i++)
		cr_expect(eq(u64, s->pl_ssp[i], 0x1000 * (i + 1)));
	/* the initial configuration is zero */
	put(f, FIXTURE_DATA + 512, 0, 8);
	cr_expect(eq(int, STEP(f, 0x0f, 0xc7, 0x1b), NONE));
	cr_expect(eq(u64, s->u_cet | s->pl_ssp[0] | s->pl_ssp[3], 0));
	fixture_free(f);
}

/* "XRSTORS ... #GP if it would load a reserved value", and nothing is loaded. */
Test(cet_xsave, what_wrmsr_refuses_xrstors_refuses)
{
	struct fixture *f = cet_new(FIXTURE_LONG64, 0, CET_SH_STK_EN, 0);
	struct cpu_state *s = &f->cpu->s;
	s->cr4 |= CR4_OSXSAVE;
	s->xcr0 = XSTATE_X87 | XSTATE_SSE;
	msr_write(f->cpu, 0xda0, 0x1800);
	cpu_restored(f->cpu);
	put(f, FIXTURE_DATA + 512, 0x800, 8);
	put(f, FIXTURE_DATA + 520, BIT(63) | 0x800, 8);
	put(f, FIXTURE_DATA + 584, 1, 8);       /* IA32_PL3_SSP */
	REG(f, R_RBX) = FIXTURE_DATA;
	REG(f, R_RAX) = 0x800;
	REG(f, R_RDX) = 0;
	int v = STEP(f, 0x0f, 0xc7, 0x1b);
	EXPECT_FAULT(f, v, VEC_GP, 0);
	cr_expect(eq(u64, s->u_cet, CET_SH_STK_EN));
	fixture_free(f);
}

/* ---- tasks ---- */

#define TSS2 0x300000u

static struct fixture *tasks(void)
{
	struct fixture *f = cet_new(FIXTURE_PROT32, 0, 0, CET_SH_STK_EN);
	put_desc(f, 0x40, descriptor(TSS_BASE, 0x6b, SYS(DESC_TSS32_BUSY, 0)));
	f->cpu->s.seg[SEG_TR].limit = 0x6b;
	put_desc(f, 0x48, descriptor(TSS2, 0x6b, SYS(DESC_TSS32, 0)));
	put(f, TSS2 + 32, TARGET, 4);
	put(f, TSS2 + 36, 2, 4);
	put(f, TSS2 + 40 + 4 * R_RSP, 0x310000, 4);
	static const uint16_t sel[] = { 0x10, 0x18, 0x10, 0x10, 0, 0 };
	for (unsigned i = 0; i < 6; i++)
		put(f, TSS2 + 72 + 4 * i, sel[i], 4);
	put(f, TSS2 + 104, TOKEN, 4);
	put(f, TARGET, 0xcf, 1);        /* IRET */
	return f;
}
#define CALL_TASK(f) STEP(f, 0x9a, 0, 0, 0, 0, 0x48, 0)

Test(cet_task, a_called_task_has_its_own_shadow_stack)
{
	struct fixture *f = tasks();
	SSP(f) = SUPER_SS + 0x8000;
	cr_expect(eq(int, CALL_TASK(f), NONE));
	cr_expect(eq(u64, SSP(f), TOKEN - 24));
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN | 1));
	cr_expect(eq(u64, WORD(f, TOKEN - 8), 0x18));
	cr_expect(eq(u64, WORD(f, TOKEN - 16), FIXTURE_CODE + 7));
	cr_expect(eq(u64, WORD(f, TOKEN - 24), SUPER_SS + 0x8000));
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE + 7));
	cr_expect(eq(u64, SSP(f), SUPER_SS + 0x8000));
	cr_expect(eq(u64, WORD(f, TOKEN), TOKEN));
	fixture_free(f);
}

Test(cet_task, a_task_without_room_for_ssp_is_ts)
{
	struct fixture *f = tasks();
	put_desc(f, 0x48, descriptor(TSS2, 0x67, SYS(DESC_TSS32, 0)));
	int v = CALL_TASK(f);
	EXPECT_FAULT(f, v, VEC_TS, 0x48);
	fixture_free(f);
	f = tasks();
	put_desc(f, 0x48, descriptor(TSS2, 0x6b, SYS(DESC_TSS16, 0)));
	v = CALL_TASK(f);
	EXPECT_FAULT(f, v, VEC_TS, 0x48);
	fixture_free(f);
}

Test(cet_task, another_return_address_is_cp_2_in_the_old_task)
{
	struct fixture *f = tasks();
	CALL_TASK(f);
	put(f, SSP(f) + 8, FIXTURE_CODE + 8, 8);
	int v = fixture_run(f, 1);
	EXPECT_FAULT(f, v, VEC_CP, CP_FAR_RET);
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE + 7));
	fixture_free(f);
}

/* ---- pieces ---- */

/* A program of calls, indirect jumps and interrupts, one instruction at a time and all at once: the same state, the same
 * time. */
static void program(struct fixture *f)
{
	static const uint8_t code[] = {
		0xf3, 0x0f, 0x1e, 0xfa,                 /*  0 endbr64 */
		0xe8, 0x07, 0, 0, 0,                    /*  4 call 10h */
		0xff, 0xc9,                             /*  9 dec ecx */
		0x75, 0xf7,                             /*  b jnz 4 */
		0xcd, 30,                               /*  d int 30: HLT */
		0x90,                                   /*  f */
		0x48, 0x8d, 0x05, 0x03, 0, 0, 0,        /* 10 lea rax, [1ah] */
		0xff, 0xe0,                             /* 17 jmp rax */
		0x90,                                   /* 19 */
		0xf3, 0x0f, 0x1e, 0xfa,                 /* 1a endbr64 */
		0xc3,                                   /* 1e ret */
	};
	fixture_code(f, code, sizeof code);
	allow(f, 30);
	REG(f, R_RCX) = 50;
}

Test(cet, stepped_or_run_through_it_is_the_same)
{
	struct fixture *a = cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN | CET_ENDBR_EN, CET_SH_STK_EN),
	               *b = cet_new(FIXTURE_LONG64, 3, CET_SH_STK_EN | CET_ENDBR_EN, CET_SH_STK_EN);
	program(a);
	program(b);
	a->vector = -1;
	cpu_run(a->cpu, NEVER, 0);
	unsigned n = 0;
	while (cpu_run(b->cpu, NEVER, 1) == STOP_ICOUNT)
		n++;
	cr_expect(lt(u32, 350, n));
	cr_expect(eq(int, a->vector, NONE));
	cr_expect(eq(u32, a->cpu->s.activity, ACTIVITY_HLT));
	cr_expect(eq(u64, SSP(a), TOKEN));
	cr_expect(eq(u64, a->cpu->s.pl_ssp[3], USER_SS + TOP));
	cr_expect(eq(u64, a->cpu->ledger.now, b->cpu->ledger.now));
	cr_expect(eq(int, memcmp(&a->cpu->s, &b->cpu->s, sizeof a->cpu->s), 0));
	cr_expect(eq(int, memcmp(a->mem.ram, b->mem.ram, FIXTURE_RAM), 0));
	fixture_free(a);
	fixture_free(b);
}
