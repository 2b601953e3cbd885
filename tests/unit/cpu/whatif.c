/* The what-if machine (profile: trap.critical): critical instructions are #GP(0) outside ring 0, and as ever in ring 0. */
#include "models/cpu/decode.h"
#include "models/cpu/sensitivity.h"
#include "tests/unit/cpu/prot.h"

#define P32 FIXTURE_PROT32
#define L64 FIXTURE_LONG64

static struct fixture *what_if(enum fixture_mode mode, unsigned cpl)
{
	struct fixture *f = prot_new(mode, cpl);
	f->profile.trap_critical = 1;
	f->cpu->trap_key = KEY_TRAP;
	REG(f, R_RBX) = FIXTURE_DATA;
	REG(f, R_RCX) = 0;
	return f;
}

/* traps outside ring 0 alone; ring 0 executes it (whatever else it raises there) without #GP(0) at itself */
#define ROW(name, mode, ...) \
Test(whatif, name) \
{ \
	struct fixture *f = what_if(mode, 3); \
	EXPECT_FAULT(f, STEP(f, __VA_ARGS__), VEC_GP, 0); \
	cr_expect(eq(u64, f->fault_rip, FIXTURE_CODE)); \
	fixture_free(f); \
	f = prot_new(mode, 3); \
	REG(f, R_RBX) = FIXTURE_DATA; \
	REG(f, R_RCX) = 0; \
	cr_expect(eq(int, STEP(f, __VA_ARGS__), NONE), "on plain x86 it does not trap"); \
	fixture_free(f); \
	f = what_if(mode, 0); \
	cr_expect(eq(int, STEP(f, __VA_ARGS__), NONE), "ring 0"); \
	fixture_free(f); \
}
ROW(sgdt,        L64, 0x0f, 0x01, 0x03)
ROW(sgdt_32,     P32, 0x0f, 0x01, 0x03)
ROW(sidt,        L64, 0x0f, 0x01, 0x0b)
ROW(sldt,        P32, 0x0f, 0x00, 0xc1)
ROW(str,         L64, 0x0f, 0x00, 0xc9)
ROW(smsw,        P32, 0x0f, 0x01, 0xe1)
ROW(pushf_64,    L64, 0x9c)
ROW(pushf_32,    P32, 0x9c)
ROW(popf_64,     L64, 0x9d)
ROW(popf_16,     P32, 0x66, 0x9d)
ROW(lar,         L64, 0x0f, 0x02, 0xc1)
ROW(lsl,         P32, 0x0f, 0x03, 0xc1)
ROW(verr,        L64, 0x0f, 0x00, 0xe1)
ROW(verw,        P32, 0x0f, 0x00, 0xe9)
ROW(mov_from_cs, L64, 0x8c, 0xc9)
ROW(mov_to_ds,   P32, 0x8e, 0xd9)
ROW(push_cs,     P32, 0x0e)
ROW(pop_fs,      L64, 0x0f, 0xa1)
ROW(cpuid,       L64, 0x0f, 0xa2)
ROW(rdtsc,       P32, 0x0f, 0x31)
ROW(rdtscp,      L64, 0x0f, 0x01, 0xf9)
#undef ROW

/* innocuous and self-trapping ones: as on plain x86 */
#define ROW(name, mode, ring, vec, ec, ...) \
Test(whatif, name) \
{ \
	struct fixture *f = what_if(mode, ring); \
	EXPECT_FAULT(f, STEP(f, __VA_ARGS__), vec, ec); \
	fixture_free(f); \
}
ROW(mov_from_ds_does_not_trap, P32, 3, NONE, 0, 0x8c, 0xd9)
ROW(near_ret_does_not_trap,    L64, 3, NONE, 0, 0xff, 0xd3)
ROW(mov_to_cr3_is_gp_as_ever,  L64, 3, VEC_GP, 0, 0x0f, 0x22, 0xd8)
ROW(int_to_ring0_checks_its_gate, L64, 3, VEC_GP, 0x1e * 8 + 2, 0xcd, 0x1e)
ROW(pushf_crossing_nothing_in_ring0, L64, 0, NONE, 0, 0x9c)
#undef ROW

/* "A software interrupt whose gate lets ring 3 through and leads to ring 0": control is with ring 0 */
Test(whatif, int_through_a_gate_to_ring_0_needs_no_change_but_one_to_ring_3_traps)
{
	struct fixture *f = what_if(P32, 3);
	put(f, IDT_BASE + 0x1e * 8, gate(0x18, STUB(0x1e), 0xe, 3, 0), 8);
	CODE_BYTES(f, 0xcd, 0x1e);
	fixture_run(f, 1);
	cr_expect(eq(int, f->cpu->s.cpl, 0));
	cr_expect(eq(u64, RIP(f) & ~1ull, STUB(0x1e)));
	fixture_free(f);
	f = what_if(P32, 3);
	put(f, IDT_BASE + 0x1e * 8, gate(0x3b, STUB(0x1e), 0xe, 3, 0), 8);
	EXPECT_FAULT(f, STEP(f, 0xcd, 0x1e), VEC_GP, 0x1e * 8 + 2);
	fixture_free(f);
}

/* The same bytes are executed by ring 0 and by ring 3: blocks are kept apart by their key. */
Test(whatif, one_page_of_code_serves_both_rings)
{
	struct fixture *f = what_if(L64, 0);
	cr_expect(eq(int, STEP(f, 0x9c, 0x9c), NONE));
	fixture_ring3(f);
	RIP(f) = FIXTURE_CODE;
	EXPECT_FAULT(f, fixture_run(f, 1), VEC_GP, 0);
	fixture_free(f);
}

/* Rings 1 and 2 are not ring 0 either: a deprivileged IA-32 kernel is in ring 1. */
Test(whatif, ring_1_traps)
{
	struct fixture *f = what_if(P32, 0);
	struct cpu *c = f->cpu;
	put_desc(f, 0x48, descriptor(0, 0xfffff, CODE(1) | G32));
	put_desc(f, 0x50, descriptor(0, 0xfffff, DATA(1) | G32));
	c->s.seg[SEG_CS].sel = 0x49, c->s.seg[SEG_CS].attr = CODE(1) | G32;
	c->s.seg[SEG_SS].sel = 0x51, c->s.seg[SEG_SS].attr = DATA(1) | G32;
	c->s.cpl = 1;
	cpu_mode_changed(c);
	EXPECT_FAULT(f, STEP(f, 0x0e), VEC_GP, 0);
	fixture_free(f);
}

/* Decoded for the what-if machine an instruction is what it was: its form and sensitivity are found. */
Test(whatif, decoding_keeps_the_form)
{
	struct fixture *f = what_if(L64, 3);
	struct uop u;
	cr_assert(decode(f->cpu->decoder, &f->profile, MODE_LONG64 | KEY_USER | KEY_TRAP, (uint8_t[]){ 0xff, 0x1b, 0, 0 }, 4, &u));
	cr_expect(eq(int, uop_form(&u), FORM_FAR));
	cr_expect(insn_trapped(&u, MODE_LONG64));
	fixture_free(f);
}
