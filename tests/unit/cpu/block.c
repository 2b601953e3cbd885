/* Blocks of decoded instructions: self-modifying code, page crossings, what does not decode, and that nothing about how
 * a CPU is driven shows in its state or its time. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/cpu/block.h"
#include "models/cpu/flags.h"
#include "tests/unit/cpu/fixture.h"

static uint64_t reg(const struct fixture *f, unsigned r) { return f->cpu->s.r[r]; }

#define CODE(f, ...) do { static const uint8_t bytes_[] = { __VA_ARGS__ }; fixture_code(f, bytes_, sizeof bytes_); } while (0)

/* "for Intel486 and later: a write to an instruction in a code segment ... is checked": the very next instruction is new. */
Test(block, a_store_into_the_next_instruction_is_seen_by_it)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	CODE(f, 0xc6, 0x05, 0x02, 0x00, 0x00, 0x00, 0x2a,      /* mov byte [rip + 2], 42 */
	        0xb0, 0x01, 0x90,                               /* mov al, 1; nop: rip + 2 is the nop's place */
	        0xf4);
	f->cpu->s.r[R_RAX] = 0;
	uint8_t *code = fixture_at(f, FIXTURE_CODE);
	code[2] = 0x01;                                         /* rip + 1: the immediate of MOV AL */
	fixture_run(f, 2);
	cr_expect(eq(u64, reg(f, R_RAX), 42));
	fixture_free(f);
}

Test(block, a_loop_that_patches_itself_runs_new_code_each_time)
{
	struct fixture *f = fixture_new(FIXTURE_PROT32);
	CODE(f, 0x05, 0x00, 0x00, 0x00, 0x00,                   /* add eax, imm32 */
	        0xff, 0x05, 0x01, 0x00, 0x01, 0x00,             /* inc dword [0x10001] */
	        0xe2, 0xf3,                                     /* loop */
	        0xf4);
	f->cpu->s.r[R_RAX] = 0;
	f->cpu->s.r[R_RCX] = 5;
	fixture_run(f, 15);
	cr_expect(eq(u64, reg(f, R_RAX), 0 + 1 + 2 + 3 + 4));
	cr_expect(lt(u64, 3, f->cpu->blocks_dropped));
	fixture_free(f);
}

Test(block, data_beside_code_drops_no_block)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	CODE(f, 0xff, 0x05, 0xfa, 0x07, 0x00, 0x00,             /* inc dword [rip + 0x7fa]: on the same page */
	        0xff, 0xc9, 0x75, 0xf6, 0xf4);                  /* dec ecx; jnz; hlt */
	f->cpu->s.r[R_RCX] = 100;
	fixture_run(f, 1000);
	uint32_t n;
	memcpy(&n, fixture_at(f, FIXTURE_CODE + 0x800), 4);
	cr_expect(eq(u32, n, 100));
	cr_expect(eq(u64, f->cpu->blocks_dropped, 0));
	fixture_free(f);
}

Test(block, an_instruction_may_cross_a_page_and_its_second_half_may_change)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	static const uint8_t mov[] = { 0xb8, 0x11, 0x22, 0x33, 0x44, 0xeb, 0xf9 };      /* mov eax, 0x44332211; jmp back to it */
	uint64_t at = FIXTURE_CODE + 0xffd;
	memcpy(fixture_at(f, at), mov, sizeof mov);
	f->cpu->s.rip = at;
	fixture_run(f, 3);
	cr_expect(eq(u64, reg(f, R_RAX), 0x44332211));
	mem_write(&f->mem, HPA(FIXTURE_CODE + 0x1000), (uint8_t[]){ 0x55 }, 1);         /* its fourth byte, on the second page */
	fixture_run(f, 2);
	cr_expect(eq(u64, reg(f, R_RAX), 0x44552211));
	fixture_free(f);
}

Test(block, the_second_half_faults_when_its_page_is_absent)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	uint64_t at = 0x400000 - 2;     /* the last two bytes of a 2 MB page; the next one is taken away */
	memcpy(fixture_at(f, at), (uint8_t[]){ 0xb8, 0x11 }, 2);
	memset(fixture_at(f, 0x3000 + 8 * 2), 0, 8);
	f->cpu->s.rip = at;
	cr_expect(eq(int, fixture_run(f, 1), VEC_PF));
	cr_expect(eq(u64, f->fault_rip, at));
	cr_expect(eq(u64, f->cpu->s.cr2, 0x400000));
	fixture_free(f);
}

Test(block, sixteen_bytes_are_a_general_protection_fault)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	CODE(f, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90);
	cr_expect(eq(int, fixture_run(f, 1), VEC_GP));
	cr_expect(eq(u32, f->error, 0));
	fixture_free(f);
}

/* "LOCK ... #UD if the LOCK prefix is used with an instruction not listed, or without a memory destination." */
Test(block, lock_where_it_may_not_be_is_an_invalid_opcode)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	CODE(f, 0xf0, 0x01, 0xc8);              /* lock add eax, ecx */
	cr_expect(eq(int, fixture_run(f, 1), VEC_UD));
	CODE(f, 0xf0, 0x8b, 0x07);              /* lock mov eax, [rdi] */
	f->cpu->s.r[R_RDI] = FIXTURE_DATA;
	cr_expect(eq(int, fixture_run(f, 1), VEC_UD));
	fixture_free(f);
}

Test(block, what_cpuid_does_not_advertise_is_an_invalid_opcode)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	CODE(f, 0xc5, 0xfc, 0x77);              /* vzeroall: AVX */
	cr_expect(eq(int, fixture_run(f, 1), VEC_UD));
	fixture_free(f);
}

Test(block, code_beyond_the_segment_limit_is_a_general_protection_fault)
{
	struct fixture *f = fixture_new(FIXTURE_REAL16);
	memset(fixture_at(f, FIXTURE_CODE + 0xfff0), 0x90, 16);
	f->cpu->s.rip = 0xfff0;
	cr_expect(eq(int, fixture_run(f, 100), VEC_GP));
	cr_expect(eq(u64, f->fault_rip, 0x10000));
	fixture_free(f);
}

Test(block, an_instruction_across_the_segment_limit_is_a_general_protection_fault)
{
	struct fixture *f = fixture_new(FIXTURE_REAL16);
	memcpy(fixture_at(f, FIXTURE_CODE + 0xfffd), (uint8_t[]){ 0x90, 0xb8, 0x01, 0x00 }, 4);
	f->cpu->s.rip = 0xfffd;
	cr_expect(eq(int, fixture_run(f, 100), VEC_GP));
	cr_expect(eq(u64, f->fault_rip, 0xfffe));
	fixture_free(f);
}

Test(block, a_jump_out_of_the_canonical_range_faults_at_the_jump)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	CODE(f, 0xff, 0xe0);                    /* jmp rax */
	f->cpu->s.r[R_RAX] = 0x0000800000000000;
	cr_expect(eq(int, fixture_run(f, 1), VEC_GP));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE));
	CODE(f, 0xc3);                          /* ret: RSP stays */
	uint64_t to = 0x0000800000000000;
	memcpy(fixture_at(f, FIXTURE_STACK), &to, 8);
	f->cpu->s.r[R_RSP] = FIXTURE_STACK;
	cr_expect(eq(int, fixture_run(f, 1), VEC_GP));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE));
	uint64_t pushed;                        /* by the delivery: RSP as it was */
	memcpy(&pushed, fixture_at(f, reg(f, R_RSP) + 32), 8);
	cr_expect(eq(u64, pushed, FIXTURE_STACK));
	fixture_free(f);
}

/* A cache that is full is emptied: straight code too large for it. */
Test(block, more_code_than_the_cache_holds_runs)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	uint64_t n = 300000;
	for (uint64_t i = 0; i < n; i++)        /* inc eax; jmp $ + 2 */
		memcpy(fixture_at(f, 0x400000 + 4 * i), (uint8_t[]){ 0xff, 0xc0, 0xeb, 0x00 }, 4);
	f->cpu->s.rip = 0x400000;
	f->cpu->s.r[R_RAX] = 0;
	cr_expect(eq(int, fixture_run(f, 2 * n), -1));
	cr_expect(eq(u64, reg(f, R_RAX), n));
	cr_expect(eq(u64, f->cpu->s.icount, 2 * n));
	fixture_free(f);
}

/* Two accesses of one instruction whose lines share a set of L1D: neither may wait for the other to be the latest. */
Test(block, a_call_through_memory_that_shares_a_cache_set_with_the_stack)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	CODE(f, 0xff, 0x17);                    /* call [rdi] */
	uint64_t to = FIXTURE_CODE + 0x100;
	memcpy(fixture_at(f, FIXTURE_DATA), &to, 8);
	f->cpu->s.r[R_RDI] = FIXTURE_DATA;
	f->cpu->s.r[R_RSP] = FIXTURE_STACK + 8;
	for (unsigned i = 0; i < 3; i++) {
		f->cpu->s.r[R_RSP] = FIXTURE_STACK + 8;
		f->cpu->s.rip = FIXTURE_CODE;
		block_forget(f->cpu);
		fixture_run(f, 1);
		cr_expect(eq(u64, f->cpu->s.rip, to));
		cr_expect(eq(u64, reg(f, R_RSP), FIXTURE_STACK));
	}
	fixture_free(f);
}

/* ---- driven this way or that ---- */

/* A bit of everything: a loop with loads, stores, calls, REP MOVS, and a fault that HLTs at its end. */
static struct fixture *program(void)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	CODE(f, 0x48, 0xc7, 0xc1, 0x20, 0x00, 0x00, 0x00,       /*  0 mov rcx, 32 */
	        0x51,                                           /*  7 push rcx */
	        0x48, 0x8d, 0x37,                               /*  8 lea rsi, [rdi] */
	        0xf3, 0xa4,                                     /* 11 rep movsb */
	        0x59,                                           /* 13 pop rcx */
	        0xe8, 0x06, 0x00, 0x00, 0x00,                   /* 14 call +6 */
	        0xff, 0xc9, 0x75, 0xef,                         /* 19 dec ecx; jnz 6: -> push */
	        0x0f, 0x0b,                                     /* 23 ud2 */
	        0x48, 0x01, 0x0f, 0x48, 0x8b, 0x17, 0xc3);      /* 25 add [rdi], rcx; mov rdx, [rdi]; ret */
	uint8_t *code = fixture_at(f, FIXTURE_CODE);
	code[22] = 0xf0;                                        /* back to 7 */
	f->cpu->s.r[R_RDI] = FIXTURE_DATA;
	return f;
}

static void same(const struct fixture *a, const struct fixture *b)
{
	const struct cpu *x = a->cpu, *y = b->cpu;
	for (size_t i = 0; i < sizeof x->s / 8; i++)
		cr_expect(eq(u64, ((const uint64_t *)&x->s)[i], ((const uint64_t *)&y->s)[i]), "state at %#zx", i * 8);
	cr_expect(zero(int, memcmp(&x->ledger, &y->ledger, sizeof x->ledger)), "ledger: %llu and %llu cycles",
	          (unsigned long long)x->ledger.now, (unsigned long long)y->ledger.now);
	cr_expect(zero(int, memcmp(x->mmu.stat, y->mmu.stat, sizeof x->mmu.stat)));
	cr_expect(zero(int, memcmp(a->mem.ram, b->mem.ram, FIXTURE_RAM)));
	cr_expect(ledger_audit(&x->ledger));
}

Test(block, stepped_and_run_through_are_the_same)
{
	struct fixture *a = program(), *b = program();
	cr_assert(eq(int, fixture_run(a, 0), VEC_UD));
	unsigned steps = 0;
	while (cpu_run(b->cpu, NEVER, 1) == STOP_ICOUNT)
		steps++;
	cr_expect(lt(uint, 200, steps));
	same(a, b);
	fixture_free(a);
	fixture_free(b);
}

Test(block, cut_at_any_cycle_is_the_same)
{
	struct fixture *a = program();
	fixture_run(a, 0);
	for (cycle_t step = 1; step < 60; step += 7) {
		struct fixture *b = program();
		cycle_t until = 0;
		while (cpu_run(b->cpu, until, 0) == STOP_DEADLINE) {
			cr_assert(ledger_audit(&b->cpu->ledger));
			until += step;
		}
		same(a, b);
		fixture_free(b);
	}
	fixture_free(a);
}

/* What a snapshot does: the state is written over itself, everything derived is rebuilt. */
Test(block, restored_between_any_two_instructions_is_the_same)
{
	struct fixture *a = program(), *b = program();
	fixture_run(a, 0);
	while (cpu_run(b->cpu, NEVER, 3) == STOP_ICOUNT)
		cpu_restored(b->cpu);
	same(a, b);
	fixture_free(a);
	fixture_free(b);
}

/* An event due at cycle t is taken at the first instruction boundary at or after it. */
Test(block, a_deadline_is_met_at_the_first_boundary_after_it)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	uint8_t nops[64];
	memset(nops, 0x90, sizeof nops);
	fixture_code(f, nops, sizeof nops);
	fixture_run(f, 1);                      /* fetched */
	for (unsigned i = 0; i < 20; i++) {
		cycle_t t = f->cpu->ledger.now + 1;
		cr_expect(eq(int, cpu_run(f->cpu, t, 0), STOP_DEADLINE));
		cr_expect(eq(u64, f->cpu->ledger.now, t));
		cr_expect(eq(u64, f->cpu->s.rip, FIXTURE_CODE + 2 + i));
	}
	fixture_free(f);
}

Test(block, a_repeated_string_instruction_counts_once_and_can_be_interrupted)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	CODE(f, 0xf3, 0xaa, 0xf4);              /* rep stosb */
	f->cpu->s.r[R_RDI] = FIXTURE_DATA;
	f->cpu->s.r[R_RCX] = 100;
	f->cpu->s.r[R_RAX] = 0x77;
	unsigned stops = 0;
	while (reg(f, R_RCX)) {
		cpu_run(f->cpu, f->cpu->ledger.now + 10, 0);
		cr_assert(ledger_audit(&f->cpu->ledger));
		cr_assert(eq(u64, f->cpu->s.rip, reg(f, R_RCX) ? FIXTURE_CODE : FIXTURE_CODE + 2));
		stops++;
	}
	cr_expect(lt(uint, 10, stops));
	cr_expect(eq(u64, f->cpu->s.icount, 1));
	cr_expect(eq(u8, ((uint8_t *)fixture_at(f, FIXTURE_DATA))[99], 0x77));
	fixture_free(f);
}

Test(block, a_fault_in_a_repetition_leaves_what_was_done)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	CODE(f, 0xf3, 0xaa);
	memset(fixture_at(f, 0x3000 + 8 * 3), 0, 8);    /* no page at 6 MB */
	f->cpu->s.r[R_RDI] = 0x600000 - 10;
	f->cpu->s.r[R_RCX] = 100;
	cr_expect(eq(int, fixture_run(f, 1), VEC_PF));
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE));
	cr_expect(eq(u64, reg(f, R_RCX), 90));
	cr_expect(eq(u64, reg(f, R_RDI), 0x600000));
	cr_expect(eq(u64, f->cpu->s.cr2, 0x600000));
	fixture_free(f);
}

/* ---- somebody looks ---- */

static bool at_third(void *who, struct cpu *c, uint64_t lin)
{
	(void)c;
	unsigned *calls = who;
	++*calls;
	return lin == FIXTURE_CODE + 2;
}

Test(block, a_breakpoint_stops_before_its_instruction)
{
	struct fixture *f = fixture_new(FIXTURE_LONG64);
	unsigned calls = 0;
	CODE(f, 0x90, 0x90, 0x90, 0x90);
	f->cpu->breakpoints = 1;
	f->cpu->break_hit = at_third;
	f->cpu->break_who = &calls;
	cr_expect(eq(int, cpu_run(f->cpu, NEVER, 0), STOP_BREAK));
	cr_expect(eq(u64, f->cpu->s.rip, FIXTURE_CODE + 2));
	cr_expect(eq(u64, f->cpu->s.icount, 2));
	cr_expect(eq(uint, calls, 3));
	fixture_free(f);
}

static uint64_t rom(void *who, uint64_t addr, unsigned size, struct io_at *at)
{
	(void)who, (void)size;
	at->cost = 5;
	return addr == 0xa0000 ? 0x40 : addr == 0xa0001 ? 0xf4 : 0;     /* inc ax; hlt */
}

Test(block, code_is_fetched_from_a_device)
{
	struct fixture *f = fixture_new(FIXTURE_REAL16);
	f->mem.mmio.read = rom;
	f->cpu->s.seg[SEG_CS].sel = 0xa000;
	f->cpu->s.seg[SEG_CS].base = 0xa0000;
	f->cpu->s.rip = 0;
	f->cpu->s.r[R_RAX] = 7;
	cpu_restored(f->cpu);
	cr_expect(eq(int, cpu_run(f->cpu, NEVER, 2), STOP_HALTED));
	cr_expect(eq(u64, reg(f, R_RAX), 8));
	fixture_free(f);
}

/* RF is in force until the instruction has completed: what it began to do, an EPT violation in its midst, say, it goes on to do. Wherever it is
 * interrupted, everything but RF is as without it. */
Test(block, rf_changes_nothing_of_rep)
{
	static const cycle_t pieces[] = { 1, 7, 100, 3000, NEVER };
	for (unsigned k = 0; k < ARRAY_LEN(pieces); k++) {
		struct fixture *f[2];
		for (unsigned rf = 0; rf < 2; rf++) {
			f[rf] = fixture_new(FIXTURE_LONG64);
			struct cpu *c = f[rf]->cpu;
			CODE(f[rf], 0xf3, 0xa4, 0xf4);          /* rep movsb; hlt */
			c->s.r[R_RSI] = FIXTURE_DATA + 0x123;
			c->s.r[R_RDI] = FIXTURE_DATA + 0x3456;
			c->s.r[R_RCX] = 9000;
			if (rf) {
				c->s.flags |= RFLAGS_RF;
				cpu_attention(c);
			}
		}
		while (f[0]->cpu->s.r[R_RCX]) {
			for (unsigned rf = 0; rf < 2; rf++) {
				struct cpu *c = f[rf]->cpu;
				cpu_run(c, pieces[k] == NEVER ? NEVER : c->ledger.now + pieces[k], 0);
			}
			cr_assert(eq(u64, f[1]->cpu->ledger.now, f[0]->cpu->ledger.now));
			cr_assert(memcmp(f[1]->cpu->s.r, f[0]->cpu->s.r, sizeof f[0]->cpu->s.r) == 0);
			cr_assert(memcmp(f[1]->cpu->mmu.stat, f[0]->cpu->mmu.stat, sizeof f[0]->cpu->mmu.stat) == 0);
			if (f[1]->cpu->s.r[R_RCX])
				cr_assert(eq(u64, f[1]->cpu->s.flags & RFLAGS_RF, RFLAGS_RF));
		}
		for (unsigned rf = 0; rf < 2; rf++)
			cpu_run(f[rf]->cpu, NEVER, 0);
		cr_expect(eq(u64, f[1]->cpu->s.icount, f[0]->cpu->s.icount));
		cr_expect(eq(u64, f[1]->cpu->s.flags & RFLAGS_RF, 0));
		cr_expect(eq(u64, f[1]->cpu->ledger.now, f[0]->cpu->ledger.now));
		cr_expect(memcmp(fixture_at(f[1], FIXTURE_DATA), fixture_at(f[0], FIXTURE_DATA), 0x8000) == 0);
		fixture_free(f[0]);
		fixture_free(f[1]);
	}
}
