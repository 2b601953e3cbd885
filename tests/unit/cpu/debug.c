/* debug.c - breakpoints, single step, general detect. SDM Vol. 3B, "Debug Exceptions". */
#include "tests/unit/cpu/prot.h"

#define DR6_BASE 0xffff0ff0u
#define L(i, rw, len) (2ull << 2 * (i) | (uint64_t)(rw) << (16 + 4 * (i)) | (uint64_t)(len) << (18 + 4 * (i)))
enum { EXEC, WRITE, IO, DATA_RW };
enum { LEN1, LEN2, LEN8, LEN4 };

static struct fixture *armed(uint64_t dr0, uint64_t dr7)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.dr[0] = dr0;
	dr_write(f->cpu, 7, dr7);
	return f;
}

/* ---- data: MOV EAX,[RBX] (8B 03), MOV [RBX],EAX (89 03) ---- */
#define ROW(name, rw, len, at, opcode, off, hit) \
Test(debug_data, name) \
{ \
	struct fixture *f = armed(at, L(0, rw, len)); \
	REG(f, R_RBX) = off; \
	CODE_BYTES(f, opcode, 0x03, 0x90); \
	int v = fixture_run(f, 1); \
	if (v == NONE) \
		v = fixture_run(f, 1); \
	cr_expect(eq(int, v, hit ? VEC_DB : NONE)); \
	if (hit) { \
		cr_expect(eq(u64, f->cpu->s.dr[6], DR6_BASE | 1)); \
		cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE + 2), "a trap: after the instruction"); \
	} \
	fixture_free(f); \
}
#define D FIXTURE_DATA
ROW(a_write_hits_a_write_breakpoint,      WRITE,   LEN4, D,     0x89, D,     1)
ROW(a_read_does_not,                      WRITE,   LEN4, D,     0x8b, D,     0)
ROW(a_read_hits_a_data_breakpoint,        DATA_RW, LEN4, D,     0x8b, D,     1)
ROW(the_last_byte_of_an_access_counts,    DATA_RW, LEN1, D + 3, 0x8b, D,     1)
ROW(the_byte_after_does_not,              DATA_RW, LEN1, D + 4, 0x8b, D,     0)
ROW(the_last_byte_of_a_breakpoint_counts, DATA_RW, LEN4, D,     0x8b, D + 3, 1)
ROW(the_address_is_aligned_to_its_length, DATA_RW, LEN4, D + 2, 0x8b, D - 3, 1)
ROW(eight_bytes,                          DATA_RW, LEN8, D,     0x8b, D + 7, 1)
ROW(across_pages,                         WRITE,   LEN1, D + 0x1000, 0x89, D + 0xffe, 1)
#undef ROW

/* Disabled again, nothing is watched and the fast way is back. */
Test(debug_data, disabling_ends_it)
{
	struct fixture *f = armed(D, L(0, WRITE, LEN4));
	cr_expect(eq(u8, f->cpu->watch, 1));
	dr_write(f->cpu, 7, 0);
	cr_expect(eq(u8, f->cpu->watch, 0));
	REG(f, R_RBX) = D;
	cr_expect(eq(int, STEP(f, 0x89, 0x03), NONE));
	fixture_free(f);
}

/* ---- instructions ---- */

Test(debug_fetch, faults_before_the_instruction)
{
	struct fixture *f = armed(FIXTURE_CODE + 1, L(0, EXEC, LEN1));
	REG(f, R_RAX) = 0;
	CODE_BYTES(f, 0x90, 0x48, 0xff, 0xc0);
	fixture_run(f, 1);
	cr_expect(eq(int, fixture_run(f, 1), VEC_DB));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE + 1));
	cr_expect(eq(u64, REG(f, R_RAX), 0));
	cr_expect(eq(u64, get(f, REG(f, R_RSP) + 16, 8) & RFLAGS_RF, 0), "its frame has RF clear");
	fixture_free(f);
}

/* "When RF is set, ... instruction breakpoints are masked for one instruction" */
Test(debug_fetch, rf_lets_one_instruction_pass)
{
	struct fixture *f = armed(FIXTURE_CODE, L(0, EXEC, LEN1));
	CODE_BYTES(f, 0x90, 0xeb, 0xfd);        /* NOP; JMP back */
	f->cpu->s.flags |= RFLAGS_RF;
	cr_expect(eq(int, fixture_run(f, 2), NONE));
	cr_expect(eq(u64, f->cpu->s.flags & RFLAGS_RF, 0));
	cr_expect(eq(int, fixture_run(f, 1), VEC_DB));
	fixture_free(f);
}

/* A breakpoint on the debug handler's own first instruction goes on for ever, as on the processor: the run ends by its
 * limit all the same. So does a watched stack. */
Test(debug_fetch, an_endless_loop_of_debug_exceptions_obeys_the_limit)
{
	struct fixture *f = armed(STUB(VEC_DB), L(0, EXEC, LEN1));
	CODE_BYTES(f, 0xf1);
	cr_expect(eq(int, cpu_run(f->cpu, f->cpu->ledger.now + 100000, 0), STOP_DEADLINE));
	fixture_free(f);
	f = armed(0x300000 - 8, L(0, WRITE, LEN8));
	put(f, TSS_BASE + 36, 0x300000, 8);
	put(f, IDT_BASE + 16 * VEC_DB, gate(0x08, STUB(VEC_DB), DESC_INT32, 0, 1), 8);
	CODE_BYTES(f, 0xf1);
	cr_expect(eq(int, cpu_run(f->cpu, f->cpu->ledger.now + 100000, 0), STOP_DEADLINE));
	fixture_free(f);
}

/* ---- single step ---- */

Test(debug_step, traps_after_each_instruction)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.flags |= RFLAGS_TF;
	cpu_attention(f->cpu);
	CODE_BYTES(f, 0x90, 0x90);
	fixture_run(f, 1);
	cr_expect(eq(int, fixture_run(f, 1), VEC_DB));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE + 1));
	cr_expect(eq(u64, f->cpu->s.dr[6], DR6_BASE | BIT(14)));
	cr_expect(eq(u64, f->cpu->s.flags & RFLAGS_TF, 0), "the handler is not stepped");
	cr_expect(eq(u64, get(f, REG(f, R_RSP) + 16, 8) & RFLAGS_TF, RFLAGS_TF));
	fixture_free(f);
}

Test(debug_step, starts_one_instruction_after_popf)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	put(f, FIXTURE_STACK, 2 | RFLAGS_TF, 8);
	CODE_BYTES(f, 0x9d, 0x90, 0x90);
	cr_expect(eq(int, fixture_run(f, 2), NONE));
	cr_expect(eq(int, fixture_run(f, 1), VEC_DB));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE + 2));
	fixture_free(f);
}

Test(debug_step, stops_after_each_iteration_of_rep)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.flags |= RFLAGS_TF;
	cpu_attention(f->cpu);
	REG(f, R_RCX) = 3;
	REG(f, R_RDI) = FIXTURE_DATA;
	CODE_BYTES(f, 0xf3, 0xaa, 0x90);
	cr_expect(eq(int, fixture_run(f, 1), VEC_DB));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE), "it is not done");
	cr_expect(eq(u64, REG(f, R_RCX), 2));
	cr_expect(eq(u64, get(f, REG(f, R_RSP) + 16, 8) & RFLAGS_RF, RFLAGS_RF));
	fixture_free(f);
}

Test(debug_step, mov_ss_suppresses_it)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	f->cpu->s.flags |= RFLAGS_TF;
	cpu_attention(f->cpu);
	REG(f, R_RAX) = 0x10;
	CODE_BYTES(f, 0x8e, 0xd0, 0x90, 0x90);
	cr_expect(eq(int, fixture_run(f, 2), NONE));
	cr_expect(eq(int, fixture_run(f, 1), VEC_DB));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE + 3));
	fixture_free(f);
}

/* ---- registers ---- */

Test(debug_reg, gd_faults_and_is_cleared)
{
	struct fixture *f = armed(0, BIT(13));
	cr_expect(eq(int, STEP(f, 0x0f, 0x21, 0xc0), VEC_DB));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE));
	cr_expect(eq(u64, f->cpu->s.dr[6], DR6_BASE | BIT(13)));
	cr_expect(eq(u64, f->cpu->s.dr[7], 0x400));
	fixture_free(f);
}
Test(debug_reg, dr4_is_dr6_unless_de)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	cr_expect(eq(int, STEP(f, 0x0f, 0x21, 0xe0), NONE));
	cr_expect(eq(u64, REG(f, R_RAX), DR6_BASE));
	f->cpu->s.cr4 |= CR4_DE;
	cr_expect(eq(int, STEP(f, 0x0f, 0x21, 0xe0), VEC_UD));
	fixture_free(f);
}
Test(debug_reg, upper_halves_of_dr6_and_dr7_are_gp)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	REG(f, R_RAX) = BIT(32);
	EXPECT_FAULT(f, STEP(f, 0x0f, 0x23, 0xf8), VEC_GP, 0);
	fixture_free(f);
}
Test(debug_reg, fixed_bits)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	dr_write(f->cpu, 6, 0);
	cr_expect(eq(u64, f->cpu->s.dr[6], 0xffff0ff0));
	dr_write(f->cpu, 6, 0xffffffff);
	cr_expect(eq(u64, f->cpu->s.dr[6], 0xffffeff0 | 0xf));
	dr_write(f->cpu, 7, 0);
	cr_expect(eq(u64, f->cpu->s.dr[7], 0x400));
	fixture_free(f);
}
Test(debug_reg, int1_is_a_trap_that_sets_nothing)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 3);
	STEP(f, 0xf1);
	cr_expect(eq(u64, RIP(f), STUB(VEC_DB)));
	cr_expect(eq(u64, f->cpu->s.dr[6], DR6_BASE));
	cr_expect(eq(u64, get(f, REG(f, R_RSP), 8), FIXTURE_CODE + 1));
	fixture_free(f);
}

/* "BTF (single-step on branches) flag: when set, the processor treats the TF flag in the EFLAGS register as a “single-step on
 * branches” flag"; it is cleared with the trap. SDM Vol. 3B, "IA32_DEBUGCTL MSR" */
Test(debug_step, btf_steps_from_branch_to_branch)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	f->cpu->s.debugctl = 2;
	f->cpu->s.flags |= RFLAGS_TF;
	cpu_attention(f->cpu);
	fixture_code(f, (uint8_t[]){ 0x90, 0x48, 0xff, 0xc0 /* inc rax */, 0xeb, 0x02, 0x90, 0x90, 0x90 }, 9);
	cr_expect(eq(int, fixture_run(f, 3), -1));      /* the trap comes before the next instruction */
	cr_expect(eq(int, fixture_run(f, 1), VEC_DB));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE + 8));
	cr_expect(eq(u64, f->cpu->s.dr[6] & 0x4000, 0x4000));
	cr_expect(eq(u64, f->cpu->s.debugctl, 0));
	fixture_free(f);
}
