/* task.c - hardware task switches. SDM Vol. 3A, "Task Switching". */
#include "tests/unit/cpu/prot.h"

#define TSS2   0x300000u
#define ENTRY  0x20000u
#define STACK2 0x310000u

/* A second, runnable task at selector 48H: CS 18H, SS 10H. */
static struct fixture *two_tasks(void)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	put_desc(f, 0x48, descriptor(TSS2, 0x67, SYS(DESC_TSS32, 0)));
	put(f, TSS2 + 32, ENTRY, 4);
	put(f, TSS2 + 36, 2 | RFLAGS_IF, 4);
	for (unsigned i = 0; i < 8; i++)
		put(f, TSS2 + 40 + 4 * i, 0x1000 + i, 4);
	put(f, TSS2 + 40 + 4 * R_RSP, STACK2, 4);
	static const uint16_t sel[] = { 0x10, 0x18, 0x10, 0x10, 0, 0 };
	for (unsigned i = 0; i < 6; i++)
		put(f, TSS2 + 72 + 4 * i, sel[i], 4);
	put(f, ENTRY, 0xcf, 1);         /* IRET */
	return f;
}
static bool busy(struct fixture *f, uint16_t s) { return get_desc(f, s) >> 41 & 1; }
#define JMP(f, s)  STEP(f, 0xea, 0, 0, 0, 0, (s), 0)
#define CALL(f, s) STEP(f, 0x9a, 0, 0, 0, 0, (s), 0)

Test(task, jmp_saves_loads_and_moves_the_busy_bit)
{
	struct fixture *f = two_tasks();
	REG(f, R_RBX) = 0xb0b0;
	cr_expect(eq(int, JMP(f, 0x48), NONE));
	cr_expect(eq(u64, RIP(f), ENTRY));
	cr_expect(eq(u64, REG(f, R_RAX), 0x1000));
	cr_expect(eq(u64, REG(f, R_RSP), STACK2));
	cr_expect(eq(u64, get(f, TSS_BASE + 32, 4), FIXTURE_CODE + 7), "EIP saved: after the jump");
	cr_expect(eq(u64, get(f, TSS_BASE + 40 + 4 * R_RBX, 4), 0xb0b0));
	cr_expect(eq(u64, get(f, TSS_BASE + 76, 2), 0x18));
	cr_expect(not(busy(f, 0x40)));
	cr_expect(busy(f, 0x48));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_TR].sel, 0x48));
	cr_expect(eq(u64, f->cpu->s.flags, 2 | RFLAGS_IF));
	cr_expect(eq(u64, f->cpu->s.cr0 & CR0_TS, CR0_TS));
	cr_expect(eq(u64, ledger_by_why(&f->cpu->ledger, WHY_TASK_SWITCH), f->profile.task_flow));
	fixture_free(f);
}

Test(task, call_nests_and_iret_returns)
{
	struct fixture *f = two_tasks();
	cr_expect(eq(int, CALL(f, 0x48), NONE));
	cr_expect(eq(u64, get(f, TSS2, 2), 0x40), "back link");
	cr_expect(eq(u64, f->cpu->s.flags, 2 | RFLAGS_IF | RFLAGS_NT));
	cr_expect(busy(f, 0x40));
	cr_expect(busy(f, 0x48));
	cr_expect(eq(int, fixture_run(f, 1), NONE));
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE + 7));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_TR].sel, 0x40));
	cr_expect(busy(f, 0x40));
	cr_expect(not(busy(f, 0x48)));
	cr_expect(eq(u64, get(f, TSS2 + 36, 4) & RFLAGS_NT, 0),
	          "NT cleared in the image IRET leaves");
	cr_expect(eq(u64, get(f, TSS2 + 32, 4), ENTRY + 1));
	fixture_free(f);
}

Test(task, an_exception_through_a_task_gate_pushes_its_error_code_there)
{
	struct fixture *f = two_tasks();
	put(f, IDT_BASE + VEC_GP * 8, gate(0x48, 0, DESC_TASK_GATE, 0, 0), 8);
	put(f, ENTRY, 0xf4, 1);
	REG(f, R_RAX) = 0x800;
	EXPECT_FAULT(f, STEP(f, 0x8e, 0xd8), VEC_GP, 0x800);
	cr_expect(eq(u64, REG(f, R_RSP), STACK2 - 4));
	cr_expect(eq(u64, get(f, STACK2 - 4, 4), 0x800));
	cr_expect(eq(u64, get(f, TSS_BASE + 32, 4), FIXTURE_CODE), "the faulting instruction");
	cr_expect(eq(u64, get(f, TSS_BASE + 36, 4) & RFLAGS_RF, RFLAGS_RF));
	fixture_free(f);
}

Test(task, a_16_bit_tss)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	put_desc(f, 0x48, descriptor(TSS2, 0x2b, SYS(DESC_TSS16, 0)));
	put(f, TSS2 + 14, 0x9000, 2);
	put(f, TSS2 + 16, 2, 2);
	put(f, TSS2 + 18 + 2 * R_RBX, 0x1234, 2);
	static const uint16_t sel[] = { 0x10, 0x18, 0x10, 0x10 };
	for (unsigned i = 0; i < 4; i++)
		put(f, TSS2 + 34 + 2 * i, sel[i], 2);
	cr_expect(eq(int, JMP(f, 0x48), NONE));
	cr_expect(eq(u64, RIP(f), 0x9000));
	cr_expect(eq(u64, REG(f, R_RBX), 0xffff1234));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_FS].sel, 0));
	fixture_free(f);
}

/* ---- what goes wrong before the switch: the old task's fault ---- */
#define ROW(name, raw, vec, ec) \
Test(task_before, name) \
{ \
	struct fixture *f = two_tasks(); \
	put_desc(f, 0x48, raw); \
	EXPECT_FAULT(f, JMP(f, 0x48), vec, ec); \
	cr_expect(eq(u16, f->cpu->s.seg[SEG_TR].sel, 0x40)); \
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE)); \
	fixture_free(f); \
}
ROW(limit_66h_is_ts,      descriptor(TSS2, 0x66, SYS(DESC_TSS32, 0)),           VEC_TS, 0x48)
ROW(absent_is_np,         descriptor(TSS2, 0x67, ABSENT(SYS(DESC_TSS32, 0))),   VEC_NP, 0x48)
ROW(busy_is_gp,           descriptor(TSS2, 0x67, SYS(DESC_TSS32_BUSY, 0)),      VEC_GP, 0x48)
ROW(a_gate_to_a_busy_one_is_gp, gate(0x40, 0, DESC_TASK_GATE, 0, 0),            VEC_GP, 0x40)
ROW(a_gate_to_null_is_gp, gate(0, 0, DESC_TASK_GATE, 0, 0),                     VEC_GP, 0)
ROW(a_gate_to_the_ldt_is_gp, gate(0x4c, 0, DESC_TASK_GATE, 0, 0),               VEC_GP, 0x4c)
#undef ROW

/* ---- and after it: the new task's fault, at its EIP. SDM, "Exception Conditions Checked During a
 * Task Switch".
 * The first fault counts: with CS or SS not loaded its handler cannot be reached either, which ends
 * in a shutdown. ---- */
struct first { int vector; uint32_t error; uint64_t rip; };
static void see_first(void *who, const struct trace_record *r)
{
	struct first *s = who;
	if (s->vector == NONE)
		*s = (struct first){ (int)r->a[0], (uint32_t)r->a[1], r->a[2] };
}
#define ROW(name, where, value, vec, ec) \
Test(task_after, name) \
{ \
	struct fixture *f = two_tasks(); \
	put_desc(f, 0x50, descriptor(0, 0xfffff, ABSENT(CODE(0)) | G32)); \
	put_desc(f, 0x58, descriptor(0, 0xfffff, ABSENT(DATA(0)) | G32)); \
	put(f, TSS2 + where, value, 4); \
	struct first s = { NONE, ec, ENTRY }; \
	struct err e = { "" }; \
	cr_assert(eq(int, trace_listen(&f->trace, "exception", see_first, &s, &e), 0)); \
	JMP(f, 0x48); \
	cr_expect(eq(int, s.vector, vec)); \
	cr_expect(eq(u32, s.error, ec)); \
	cr_expect(eq(u64, s.rip, ENTRY)); \
	cr_expect(eq(u16, f->cpu->s.seg[SEG_TR].sel, 0x48)); \
	fixture_free(f); \
}
ROW(ldt_that_is_none_is_ts,          96, 0x10, VEC_TS, 0x10)
ROW(cs_null_is_ts,                   76, 0,    VEC_TS, 0)
ROW(cs_data_is_ts,                   76, 0x10, VEC_TS, 0x10)
ROW(cs_absent_is_np,                 76, 0x50, VEC_NP, 0x50)
ROW(cs_beyond_the_gdt_is_ts,         76, 0x800, VEC_TS, 0x800)
ROW(ss_null_is_ts,                   80, 0,    VEC_TS, 0)
ROW(ss_code_is_ts,                   80, 0x18, VEC_TS, 0x18)
ROW(ss_absent_is_ss,                 80, 0x58, VEC_SS, 0x58)
ROW(ds_null_is_fine,                 84, 0,    NONE, 0)
ROW(ds_absent_is_np,                 84, 0x58, VEC_NP, 0x58)
ROW(ds_system_is_ts,                 84, 0x40, VEC_TS, 0x40)
#undef ROW

/* "If the T flag is set, a debug exception is generated after the switch, before the first
 * instruction" */
Test(task_after, the_t_flag_traps_with_bt)
{
	struct fixture *f = two_tasks();
	put(f, TSS2 + 100, 1, 2);
	cr_expect(eq(int, JMP(f, 0x48), NONE));
	cr_expect(eq(int, fixture_run(f, 1), VEC_DB));
	cr_expect(eq(u64, f->cpu->s.dr[6], 0xffff0ff0 | BIT(15)));
	cr_expect(eq(u64, f->fault_rip, ENTRY));
	fixture_free(f);
}
