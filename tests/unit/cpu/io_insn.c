/* io_insn.c - ports: permission, the string forms, time. SDM Vol. 1, "Input/Output". */
#include "tests/unit/cpu/prot.h"

struct log { unsigned n; struct { uint64_t port, v; unsigned size; } w[8]; };
static struct log seen;

static uint64_t port_read(void *who, uint64_t port, unsigned size, struct io_at *at)
{
	(void)who, (void)size;
	at->cost = 100;
	return 0x1122334400000000 | port;
}
static void port_write(void *who, uint64_t port, unsigned size, uint64_t v, struct io_at *at)
{
	(void)who;
	at->cost = 50;
	if (seen.n < 8) {
		seen.w[seen.n].port = port, seen.w[seen.n].v = v, seen.w[seen.n].size = size;
		seen.n++;
	}
}
static struct fixture *wired(enum fixture_mode mode, unsigned cpl)
{
	struct fixture *f = prot_new(mode, cpl);
	f->cpu->port = (struct io_wire){ port_read, port_write, NULL };
	seen.n = 0;
	return f;
}

/* ---- the permission bitmap: at 68H in the TSS, CPL 3, IOPL 0: IN of `size` at a port ---- */
#define ROW(name, tss_limit, map, bits, port, opcode, vec) \
Test(io_permission, name) \
{ \
	struct fixture *f = wired(FIXTURE_PROT32, 3); \
	f->cpu->s.seg[SEG_TR].limit = tss_limit; \
	put(f, TSS_BASE + 102, map, 2); \
	put(f, TSS_BASE + (map), bits, 8); \
	REG(f, R_RDX) = port; \
	EXPECT_FAULT(f, STEP(f, opcode), vec, 0); \
	fixture_free(f); \
}
enum { INB = 0xec, IND = 0xed };
ROW(a_clear_bit_permits,                     0x6f, 0x68, 0,        5,  INB, NONE)
ROW(a_set_bit_does_not,                      0x6f, 0x68, BIT(5),   5,  INB, VEC_GP)
ROW(every_byte_of_a_wide_access_counts,      0x6f, 0x68, BIT(8),   5,  IND, VEC_GP)
ROW(and_none_beyond,                         0x6f, 0x68, BIT(9),   5,  IND, NONE)
ROW(the_second_byte_must_be_in_the_tss,      0x68, 0x68, 0,        0,  INB, VEC_GP)
ROW(it_is_when_the_limit_holds_two,          0x69, 0x68, 0,        0,  INB, NONE)
ROW(a_map_beyond_the_limit_permits_nothing,  0x6f, 0x70, 0,        0,  INB, VEC_GP)
ROW(a_tss_without_the_map_base_neither,      0x66, 0x68, 0,        0,  INB, VEC_GP)
#undef ROW

Test(io_permission, iopl_3_needs_no_map)
{
	struct fixture *f = wired(FIXTURE_PROT32, 3);
	f->cpu->s.flags |= RFLAGS_IOPL;
	cr_expect(eq(int, STEP(f, 0xe4, 0x80), NONE));
	fixture_free(f);
}

/* ---- data and time ---- */

Test(io, in_writes_as_wide_as_it_reads)
{
	struct fixture *f = wired(FIXTURE_LONG64, 0);
	REG(f, R_RAX) = ~0ull;
	REG(f, R_RDX) = 0x3f8;
	STEP(f, 0xec);
	cr_expect(eq(u64, REG(f, R_RAX), 0xfffffffffffffff8));
	STEP(f, 0x66, 0xed);
	cr_expect(eq(u64, REG(f, R_RAX), 0xffffffffffff03f8));
	STEP(f, 0xed);
	cr_expect(eq(u64, REG(f, R_RAX), 0x3f8));
	fixture_free(f);
}

Test(io, the_devices_cost_is_charged_as_io)
{
	struct fixture *f = wired(FIXTURE_LONG64, 0);
	STEP(f, 0xe4, 0x80);
	STEP(f, 0xe6, 0x80);
	cr_expect(eq(u64, ledger_by_why(&f->cpu->ledger, WHY_IO), 150));
	cr_expect(ledger_audit(&f->cpu->ledger));
	fixture_free(f);
}

Test(io, rep_outsb_writes_each_byte_and_counts_once)
{
	struct fixture *f = wired(FIXTURE_LONG64, 0);
	put(f, FIXTURE_DATA, 0x636261, 3);
	REG(f, R_RSI) = FIXTURE_DATA;
	REG(f, R_RCX) = 3;
	REG(f, R_RDX) = 0xe9;
	uint64_t before = f->cpu->s.icount;
	cr_expect(eq(int, STEP(f, 0xf3, 0x6e), NONE));
	cr_expect(eq(u64, f->cpu->s.icount, before + 1));
	cr_expect(eq(uint, seen.n, 3));
	cr_expect(eq(u64, seen.w[2].v, 0x63));
	cr_expect(eq(u64, REG(f, R_RSI), FIXTURE_DATA + 3));
	cr_expect(eq(u64, REG(f, R_RCX), 0));
	fixture_free(f);
}

Test(io, rep_with_zero_does_nothing)
{
	struct fixture *f = wired(FIXTURE_LONG64, 0);
	REG(f, R_RCX) = 0;
	cr_expect(eq(int, STEP(f, 0xf3, 0x6e), NONE));
	cr_expect(eq(uint, seen.n, 0));
	cr_expect(eq(u64, RIP(f), FIXTURE_CODE + 2));
	fixture_free(f);
}

/* The destination is looked at first: a port read twice may have lost something. */
Test(io, ins_to_a_bad_address_reads_no_port)
{
	struct fixture *f = wired(FIXTURE_LONG64, 0);
	REG(f, R_RDI) = 0x40000000;
	uint64_t before = f->cpu->stat[CPU_STAT_PORT_IN];
	cr_expect(eq(int, STEP(f, 0x6c), VEC_PF));
	cr_expect(eq(u64, f->cpu->stat[CPU_STAT_PORT_IN], before));
	cr_expect(eq(u64, f->cpu->s.cr2, 0x40000000));
	fixture_free(f);
}

/* CR4.DE and R/W = 10: I/O breakpoints. */
Test(io, breakpoints_trap)
{
	struct fixture *f = wired(FIXTURE_LONG64, 0);
	f->cpu->s.cr4 |= CR4_DE;
	f->cpu->s.dr[0] = 0x80;
	dr_write(f->cpu, 7, 2 | 2ull << 16);
	CODE_BYTES(f, 0xe6, 0x80, 0x90);
	fixture_run(f, 1);
	cr_expect(eq(int, fixture_run(f, 1), VEC_DB));
	cr_expect(eq(u64, f->cpu->s.dr[6], 0xffff0ff1));
	fixture_free(f);
}
