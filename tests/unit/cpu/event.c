/* event.c - delivery of exceptions and interrupts: frames, error codes, double faults, what comes
 * between instructions. */
#include "tests/unit/cpu/prot.h"

#define UD2  0x0f, 0x0b
#define FRAME(f, i, n) get((f), REG(f, R_RSP) + (uint64_t)(i) * (n), (n))

static void set_gate(struct fixture *f, unsigned vector, uint64_t raw)
{
	put(f, IDT_BASE + vector * (cpu_lma(f->cpu) ? 16 : 8), raw, 8);
}

/* ---- frames ---- */

Test(event, real_mode_pushes_flags_cs_ip)
{
	struct fixture *f = prot_new(FIXTURE_REAL16, 0);
	cpu_set_rflags(f->cpu, RFLAGS_IF | RFLAGS_CF, RFLAGS_IF | RFLAGS_STATUS);
	cr_expect(eq(int, STEP(f, UD2), VEC_UD));
	cr_expect(eq(u64, REG(f, R_RSP), 0xfff0 - 6));
	cr_expect(eq(u64, FRAME(f, 0, 2), 0));
	cr_expect(eq(u64, FRAME(f, 1, 2), FIXTURE_CODE >> 4));
	cr_expect(eq(u64, FRAME(f, 2, 2), RFLAGS_IF | RFLAGS_CF | 2));
	cr_expect(eq(u64, f->cpu->s.flags & RFLAGS_IF, 0));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_CS].sel, 0));
	fixture_free(f);
}

/* "interrupt gates clear IF; trap gates do not" */
Test(event, interrupt_gates_clear_if_and_trap_gates_do_not)
{
	for (unsigned type = DESC_INT32; type <= DESC_TRAP32; type++) {
		struct fixture *f = prot_new(FIXTURE_PROT32, 0);
		set_gate(f, VEC_UD, gate(0x18, STUB(VEC_UD), type, 0, 0));
		f->cpu->s.flags |= RFLAGS_IF | RFLAGS_NT | RFLAGS_AC;
		cr_expect(eq(int, STEP(f, UD2), VEC_UD));
		cr_expect(eq(u64, f->cpu->s.flags,
		             2 | RFLAGS_AC | (type == DESC_TRAP32 ? RFLAGS_IF : 0)));
		cr_expect(
			eq(u64, FRAME(f, 2, 4), 2 | RFLAGS_IF | RFLAGS_NT | RFLAGS_AC | RFLAGS_RF),
			"a fault's image has RF");
		fixture_free(f);
	}
}

Test(event, software_interrupts_push_rf_as_0)
{
	for (unsigned breakpoint = 0; breakpoint < 2; breakpoint++) {
		struct fixture *f = prot_new(FIXTURE_PROT32, 0);
		f->cpu->s.flags |= RFLAGS_RF;   /* as IRET leaves it to one instruction */
		if (breakpoint)
			STEP(f, 0xcc);
		else
			STEP(f, 0xcd, VEC_UD);
		cr_expect(eq(u64, FRAME(f, 2, 4), 2));
		fixture_free(f);
	}
}

Test(event, a_16_bit_gate_pushes_words)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	set_gate(f, VEC_GP, gate(0x18, STUB(VEC_GP), DESC_INT16, 0, 0));
	REG(f, R_RAX) = 0x800;
	EXPECT_FAULT(f, STEP(f, 0x8e, 0xd8), VEC_GP, 0x800);
	cr_expect(eq(u64, REG(f, R_RSP), FIXTURE_STACK - 8));
	cr_expect(eq(u64, FRAME(f, 0, 2), 0x800));
	cr_expect(eq(u64, FRAME(f, 1, 2), FIXTURE_CODE & 0xffff));
	fixture_free(f);
}

Test(event, an_outer_ring_switches_stacks)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 3);
	cr_expect(eq(int, STEP(f, 0xf4), VEC_GP), "HLT at CPL 3");
	cr_expect(eq(u64, REG(f, R_RSP), 0x7f00 - 24));
	cr_expect(eq(u64, FRAME(f, 0, 4), 0), "error code");
	cr_expect(eq(u64, FRAME(f, 1, 4), FIXTURE_CODE));
	cr_expect(eq(u64, FRAME(f, 2, 4), 0x3b));
	cr_expect(eq(u64, FRAME(f, 4, 4), FIXTURE_STACK));
	cr_expect(eq(u64, FRAME(f, 5, 4), 0x33));
	cr_expect(eq(u8, f->cpu->s.cpl, 0));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_SS].sel, 0x10));
	fixture_free(f);
}

/* SDM Vol. 3A, "64-Bit Mode Stack Frame": SS:RSP always, aligned to 16 bytes; "the new SS is forced
 * to NULL". */
Test(event, a_64_bit_frame_is_aligned_and_complete)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	REG(f, R_RSP) = FIXTURE_STACK + 5;
	cr_expect(eq(int, STEP(f, UD2), VEC_UD));
	cr_expect(eq(u64, REG(f, R_RSP), FIXTURE_STACK - 40));
	cr_expect(eq(u64, FRAME(f, 3, 8), FIXTURE_STACK + 5));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_SS].sel, 0x10), "same ring: SS stays");
	fixture_free(f);
	f = prot_new(FIXTURE_LONG64, 3);
	cr_expect(eq(int, STEP(f, UD2), VEC_UD));
	cr_expect(eq(u64, REG(f, R_RSP), 0x7f00 - 40));
	cr_expect(eq(u16, f->cpu->s.seg[SEG_SS].sel, 0));
	cr_expect(eq(u64, FRAME(f, 4, 8), 0x33));
	fixture_free(f);
}

Test(event, ist_switches_without_a_change_of_ring)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	put(f, TSS_BASE + 36 + 8 * 2, 0x300000, 8);     /* IST3 */
	set_gate(f, VEC_UD, gate(0x08, STUB(VEC_UD), DESC_INT32, 0, 3));
	cr_expect(eq(int, STEP(f, UD2), VEC_UD));
	cr_expect(eq(u64, REG(f, R_RSP), 0x300000 - 40));
	fixture_free(f);
}

/* ---- gates that are wrong: INT 30H-like, vector 20 here; the error code names the IDT entry
 * ---- */
#define ROW(name, mode, cpl, raw, vec, ec) \
Test(event_gate, name) \
{ \
	struct fixture *f = prot_new(mode, cpl); \
	set_gate(f, 20, raw); \
	put_desc(f, 0x48, descriptor(0, 0xfffff, ABSENT(CODE(0)) | G32)); \
	put_desc(f, 0x50, descriptor(0, 0xfffff, CODE(3) | G32)); \
	put_desc(f, 0x58, descriptor(0, 0xfff, CODE(0) | SEG_DB)); \
	EXPECT_FAULT(f, STEP(f, 0xcd, 20), vec, ec); \
	if ((vec) != NONE) \
		cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE)); \
	fixture_free(f); \
}
#define G(sel, type, dpl) gate(sel, STUB(20), type, dpl, 0)
ROW(a_good_one,                       FIXTURE_PROT32, 0, G(0x18, DESC_INT32, 0), NONE, 0)
ROW(dpl_below_cpl_is_gp,              FIXTURE_PROT32, 3, G(0x18, DESC_INT32, 2), VEC_GP, 20 * 8 + 2)
ROW(dpl_equal_to_cpl_is_not,          FIXTURE_PROT32, 3, G(0x18, DESC_INT32, 3), NONE, 0)
ROW(not_present_is_np,                FIXTURE_PROT32, 0, G(0x18, DESC_INT32, 0) & ~BIT(47), VEC_NP, 20 * 8 + 2)
ROW(privilege_comes_before_presence,  FIXTURE_PROT32, 3, G(0x18, DESC_INT32, 0) & ~BIT(47), VEC_GP, 20 * 8 + 2)
ROW(a_call_gate_is_no_gate,           FIXTURE_PROT32, 0, G(0x18, DESC_CALL32, 0), VEC_GP, 20 * 8 + 2)
ROW(null_code_is_gp0,                 FIXTURE_PROT32, 0, G(0, DESC_INT32, 0), VEC_GP, 0)
ROW(data_is_no_code,                  FIXTURE_PROT32, 0, G(0x10, DESC_INT32, 0), VEC_GP, 0x10)
ROW(code_beyond_the_gdt,              FIXTURE_PROT32, 0, G(0x800, DESC_INT32, 0), VEC_GP, 0x800)
ROW(code_not_present_is_np,           FIXTURE_PROT32, 0, G(0x48, DESC_INT32, 0), VEC_NP, 0x48)
ROW(code_less_privileged_is_gp,       FIXTURE_PROT32, 0, G(0x50, DESC_INT32, 0), VEC_GP, 0x50)
ROW(offset_beyond_the_limit_is_gp0,   FIXTURE_PROT32, 0, G(0x58, DESC_INT32, 0), VEC_GP, 0)
ROW(in_64_bit_mode_16_bit_gates_are_none, FIXTURE_LONG64, 0, G(0x08, DESC_INT16, 0), VEC_GP, 20 * 8 + 2)
ROW(nor_task_gates,                   FIXTURE_LONG64, 0, G(0x08, DESC_TASK_GATE, 0), VEC_GP, 20 * 8 + 2)
ROW(and_the_code_must_be_64_bit,      FIXTURE_LONG64, 0, G(0x18, DESC_INT32, 0), VEC_GP, 0x18)
#undef ROW

/* "A #GP is generated if the vector selects an entry beyond the limit of the IDT": bytes of the
 * last one count. */
Test(event_gate, the_idt_limit_is_inclusive)
{
	for (unsigned short_by = 0; short_by < 2; short_by++) {
		struct fixture *f = prot_new(FIXTURE_PROT32, 0);
		set_gate(f, 20, G(0x18, DESC_INT32, 0));
		f->cpu->s.idtr.limit = 20 * 8 + 7 - short_by;
		EXPECT_FAULT(f, STEP(f, 0xcd, 20), short_by ? VEC_GP : NONE, 20 * 8 + 2);
		fixture_free(f);
	}
}

/* ---- inner stacks that are wrong: from ring 3, the TSS's SS0 ---- */
#define ROW(name, ss, attr, vec, ec) \
Test(event_stack, name) \
{ \
	struct fixture *f = prot_new(FIXTURE_PROT32, 3); \
	put_desc(f, 0x48, descriptor(0, 0xfffff, attr)); \
	put_desc(f, 0x50, descriptor(0, 0x13, DATA(0) | SEG_DB)); \
	put(f, TSS_BASE + 8, ss, 2); \
	struct desc cs; \
	uint16_t got_ss; \
	uint64_t sp; \
	f->cpu->ext = 0; \
	if (setjmp(f->cpu->fault_exit) == 0) { \
		tss_stack(f->cpu, 0, &got_ss, &sp); \
		seg_check_stack(f->cpu, got_ss, 0, VEC_TS, &cs); \
		cr_expect(eq(int, NONE, vec)); \
	} else { \
		cr_expect(eq(int, f->cpu->fault.vector, vec)); \
		cr_expect(eq(u32, f->cpu->fault.error, ec)); \
	} \
	fixture_free(f); \
}
ROW(a_good_one,            0x48, DATA(0) | G32, NONE, 0)
ROW(null_is_ts,            0x00, DATA(0) | G32, VEC_TS, 0)
ROW(beyond_the_gdt_is_ts,  0x800, DATA(0) | G32, VEC_TS, 0x800)
ROW(wrong_rpl_is_ts,       0x49, DATA(0) | G32, VEC_TS, 0x48)
ROW(wrong_dpl_is_ts,       0x48, DATA(3) | G32, VEC_TS, 0x48)
ROW(read_only_is_ts,       0x48, RODATA(0) | G32, VEC_TS, 0x48)
ROW(not_present_is_ss,     0x48, ABSENT(DATA(0)) | G32, VEC_SS, 0x48)
#undef ROW

/* ---- double faults. SDM Vol. 3A, "Conditions for Generating a Double Fault" ---- */

/* A benign first and a contributory second are handled one after the other. */
Test(event_double, benign_then_contributory_is_serial)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	set_gate(f, VEC_UD, 0);
	EXPECT_FAULT(f, STEP(f, UD2), VEC_GP, VEC_UD * 8 + 2 + 1);
	fixture_free(f);
}
Test(event_double, contributory_then_contributory_is_df)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	set_gate(f, VEC_GP, gate(0x18, 0, DESC_INT32, 0, 0) & ~BIT(47));
	REG(f, R_RAX) = 0x800;
	EXPECT_FAULT(f, STEP(f, 0x8e, 0xd8), VEC_DF, 0);
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE));
	fixture_free(f);
}
Test(event_double, a_fault_in_the_double_fault_handler_shuts_down)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	set_gate(f, VEC_GP, 0);
	set_gate(f, VEC_DF, 0);
	REG(f, R_RAX) = 0x800;
	STEP(f, 0x8e, 0xd8);
	cr_expect(eq(int, f->cpu->s.activity, ACTIVITY_SHUTDOWN));
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE));
	fixture_free(f);
}
Test(event_double, page_faults_all_the_way_down_shut_the_cpu_down)
{
	struct fixture *f = prot_new(FIXTURE_LONG64, 0);
	/* no page holds the IDT any more: #PF, #PF again makes #DF, and that one's #PF the
	 * shutdown */
	put(f, 0x3000, 0, 8);
	mmu_flush_all(&f->cpu->mmu);
	f->cpu->s.idtr.base = 0x1000;
	STEP(f, 0x90);
	cr_expect(eq(int, f->cpu->s.activity, ACTIVITY_SHUTDOWN));
	fixture_free(f);
}

/* EXT: "an external event" struck first. INT n is not one. */
Test(event_double, ext_is_clear_for_int_n_and_set_for_an_nmi)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	set_gate(f, 2, 0);
	EXPECT_FAULT(f, STEP(f, 0xcd, 2), VEC_GP, 2 * 8 + 2);
	fixture_free(f);
	f = prot_new(FIXTURE_PROT32, 0);
	set_gate(f, 2, 0);
	f->cpu->s.nmi_pending = 1;
	cpu_attention(f->cpu);
	EXPECT_FAULT(f, STEP(f, 0x90), VEC_GP, 2 * 8 + 2 + 1);
	fixture_free(f);
}

/* ---- between instructions ---- */

static uint8_t acknowledge(void *who)
{
	struct fixture *f = who;
	f->cpu->s.intr_line = 0;
	return 20;
}
static void interrupt(struct fixture *f)
{
	f->cpu->pic = (struct pic_wire){ .acknowledge = acknowledge, .who = f };
	f->cpu->s.intr_line = 1;
	cpu_attention(f->cpu);
}
static struct fixture *with_handler(void)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 0);
	set_gate(f, 20, G(0x18, DESC_INT32, 0));
	set_gate(f, VEC_NMI, gate(0x18, STUB(VEC_NMI), DESC_INT32, 0, 0));
	return f;
}
static uint64_t pushed_eip(struct fixture *f) { return FRAME(f, 0, 4); }

Test(event_between, an_interrupt_waits_for_if)
{
	struct fixture *f = with_handler();
	interrupt(f);
	CODE_BYTES(f, 0x90, 0x90);
	fixture_run(f, 2);
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE + 2));
	f->cpu->s.flags |= RFLAGS_IF;
	cpu_attention(f->cpu);
	fixture_run(f, 1);
	cr_expect(eq(u64, RIP(f), STUB(20) + 1), "the handler's HLT");
	cr_expect(eq(u64, pushed_eip(f), FIXTURE_CODE + 2));
	fixture_free(f);
}

/* "maskable hardware interrupts remain blocked on the instruction boundary following an execution
 * of STI" */
Test(event_between, sti_lets_one_instruction_pass)
{
	struct fixture *f = with_handler();
	interrupt(f);
	CODE_BYTES(f, 0xfb, 0x90, 0x90);
	fixture_run(f, 3);
	cr_expect(eq(u64, pushed_eip(f), FIXTURE_CODE + 2));
	fixture_free(f);
}
Test(event_between, sti_with_if_set_blocks_nothing)
{
	struct fixture *f = with_handler();
	f->cpu->s.flags |= RFLAGS_IF;
	CODE_BYTES(f, 0xfb, 0x90, 0x90);
	fixture_run(f, 1);
	interrupt(f);
	fixture_run(f, 1);
	cr_expect(eq(u64, pushed_eip(f), FIXTURE_CODE + 1));
	fixture_free(f);
}
Test(event_between, an_nmi_waits_behind_mov_ss)
{
	struct fixture *f = with_handler();
	REG(f, R_RAX) = 0x10;
	CODE_BYTES(f, 0x8e, 0xd0, 0x90, 0x90);
	fixture_run(f, 1);
	f->cpu->s.nmi_pending = 1;
	cpu_attention(f->cpu);
	fixture_run(f, 2);
	cr_expect(eq(u64, pushed_eip(f), FIXTURE_CODE + 3));
	fixture_free(f);
}

/* "the processor ... blocks subsequent NMIs until the next execution of the IRET instruction" */
Test(event_between, nmis_are_blocked_until_iret)
{
	struct fixture *f = with_handler();
	put(f, STUB(VEC_NMI), 0xcf90, 2);       /* NOP; IRET */
	CODE_BYTES(f, 0x90, 0x90);
	f->cpu->s.nmi_pending = 1;
	cpu_attention(f->cpu);
	fixture_run(f, 1);
	f->cpu->s.nmi_pending = 1;
	cpu_attention(f->cpu);
	cr_expect(eq(u64, RIP(f), STUB(VEC_NMI) + 1));
	fixture_run(f, 1);
	cr_expect(eq(u8, f->cpu->s.nmi_blocked, 0));
	fixture_run(f, 1);
	cr_expect(eq(u64, RIP(f), STUB(VEC_NMI) + 1), "the second one came after IRET");
	cr_expect(eq(u64, f->cpu->stat[CPU_STAT_NMI], 2));
	fixture_free(f);
}

Test(event_between, an_nmi_comes_before_an_interrupt)
{
	struct fixture *f = with_handler();
	set_gate(f, VEC_NMI, gate(0x18, STUB(VEC_NMI), DESC_TRAP32, 0, 0));
	f->cpu->s.flags |= RFLAGS_IF;
	f->cpu->s.nmi_pending = 1;
	interrupt(f);
	STEP(f, 0x90);
	cr_expect(eq(u64, pushed_eip(f), STUB(VEC_NMI)),
	          "then the interrupt, before the NMI handler's first instruction");
	fixture_free(f);
}

Test(event_between, hlt_wakes_for_an_interrupt)
{
	struct fixture *f = with_handler();
	f->cpu->s.flags |= RFLAGS_IF;
	STEP(f, 0xf4);
	cr_expect(eq(int, f->cpu->s.activity, ACTIVITY_HLT));
	cr_expect(not(cpu_can_wake(f->cpu)));
	interrupt(f);
	cr_expect(cpu_can_wake(f->cpu));
	cpu_service(f->cpu);
	cr_expect(eq(int, f->cpu->s.activity, ACTIVITY_ACTIVE));
	cr_expect(eq(u64, pushed_eip(f), FIXTURE_CODE + 1));
	fixture_free(f);
}

Test(event_between, init_and_sipi_start_an_application_processor)
{
	struct fixture *f = with_handler();
	f->cpu->lapic->s.base &= ~BIT(8);       /* not the bootstrap processor */
	f->cpu->s.init_pending = 1;
	cpu_attention(f->cpu);
	cpu_service(f->cpu);
	cr_expect(eq(int, f->cpu->s.activity, ACTIVITY_WAIT_SIPI));
	cr_expect(not(cpu_can_wake(f->cpu)));
	f->cpu->s.sipi_pending = 1;
	f->cpu->s.sipi_vector = 0x9a;
	cr_expect(cpu_can_wake(f->cpu));
	cpu_service(f->cpu);
	cr_expect(eq(int, f->cpu->s.activity, ACTIVITY_ACTIVE));
	cr_expect(eq(u64, f->cpu->s.seg[SEG_CS].base, 0x9a000));
	cr_expect(eq(u64, RIP(f), 0));
	fixture_free(f);
}

/* ---- flows ---- */

Test(flow, shares_sum_to_a_hundred)
{
	unsigned got[FLOW_N] = { 0 };
#define FLOW(NAME, name, row, why, sentence)
#define PHASE(FLOW, NAME, name, share, sentence) got[FLOW_##FLOW] += share;
#include "models/cpu/flow.def"
	for (unsigned i = 0; i < FLOW_N; i++)
		cr_expect(eq(uint, got[i], 100), "%s", flow_rows[i].name);
}

Test(flow, an_exception_costs_exactly_its_row_and_a_ring_change_its_own)
{
	for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
		struct fixture *f = prot_new(FIXTURE_PROT32, cpl);
		uint64_t before = ledger_by_why(&f->cpu->ledger, WHY_EXCEPTION);
		cr_expect(eq(int, STEP(f, UD2), VEC_UD));
		cr_expect(eq(u64, ledger_by_why(&f->cpu->ledger, WHY_EXCEPTION) - before,
		             f->profile.exc_flow + (cpl ? f->profile.ring_flow : 0)));
		cr_expect(ledger_audit(&f->cpu->ledger));
		fixture_free(f);
	}
}

struct seen { unsigned n; uint64_t phase[16]; };
static void see(void *who, const struct trace_record *r)
{
	struct seen *s = who;
	if (s->n < 16)
		s->phase[s->n++] = r->a[1];
}
Test(flow, its_phases_are_traced_in_order)
{
	struct fixture *f = prot_new(FIXTURE_PROT32, 3);
	struct seen s = { 0 };
	struct err e = { "" };
	cr_assert(eq(int, trace_listen(&f->trace, "phase", see, &s, &e), 0));
	STEP(f, UD2);
	cr_assert(eq(uint, s.n, 6));
	for (unsigned i = 0; i < 6; i++)
		cr_expect(eq(u64, s.phase[i], PHASE_EXCEPTION_RECOGNISE + i));
	fixture_free(f);
}
