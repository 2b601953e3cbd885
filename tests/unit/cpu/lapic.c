/* The local APIC. Sentences in quotes: SDM Vol. 3A, "Advanced Programmable Interrupt Controller (APIC)". */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/cpu.h"
#include "models/cpu/lapic.h"

#define HZ 2000000000ull                /* two cycles a count of the timer at 1 GHz */

struct rig { struct profile p; struct evq q; struct cpu *c; struct lapic *l; struct apic_msg last; unsigned sent; int eoi; };

static struct rig r;

static bool send(void *who, const struct apic_msg *m)
{
	(void)who;
	r.last = *m;
	r.sent++;
	return true;
}
static void eoi_out(void *who, uint8_t vector)
{
	(void)who;
	r.eoi = vector;
}

static void setup_number(unsigned number)
{
	const struct apic_wire bus = { send, eoi_out, NULL };
	memset(&r, 0, sizeof r);
	r.eoi = -1;
	profile_defaults(&r.p);
	r.p.hz = HZ;
	r.p.apic_timer_hz = 1000000000;
	r.c = calloc(1, sizeof *r.c);
	r.c->profile = &r.p;
	r.c->number = (uint8_t)number;
	r.l = lapic_new(r.c, &r.q, &bus);
	lapic_mmio_write(r.l, 0xf0, 0x1ff);
}
static void setup(void) { setup_number(0); }
static void teardown(void)
{
	lapic_free(r.l);
	free(r.c);
}
TestSuite(lapic, .init = setup, .fini = teardown);

static uint32_t rd(unsigned off) { return lapic_mmio_read(r.l, off); }
static void wr(unsigned off, uint32_t v) { lapic_mmio_write(r.l, off, v); }
static bool wrmsr(uint32_t msr, uint64_t v) { return lapic_msr_write(r.l, msr, v); }
static void pass(cycle_t cycles)
{
	r.c->ledger.now += cycles;
	evq_run(&r.q, r.c->ledger.now);
}
static bool irr(unsigned v) { return r.l->s.irr[v / 32] >> v % 32 & 1; }
static void fixed(uint8_t vector, bool level)
{
	const struct apic_msg m = { .vector = vector, .level = 1, .trigger = level, .from = 0xff };
	lapic_accept(r.l, &m);
}
static void x2apic_on(void)
{
	cr_assert(wrmsr(0x1b, r.l->s.base | BIT(10)));
}

Test(lapic, virtual_wire_mode_at_power_up)
{
	lapic_reset(r.l, false);
	cr_expect(eq(u64, r.l->s.base, 0xfee00900));
	cr_expect(eq(u32, rd(0x30), 0x00050014));
	cr_expect(eq(u32, rd(0x350), 0x700));
	cr_expect(eq(u32, rd(0x360), 0x400));
	cr_expect(lapic_extint_enabled(r.l));
}

/* "the processor priority class is the maximum of the task priority class and the class of the highest in service" */
Test(lapic, priorities)
{
	fixed(0x55, false);
	cr_expect(eq(int, lapic_pending(r.l), 0x55));
	wr(0x80, 0x50);
	cr_expect(eq(int, lapic_pending(r.l), -1), "same class");
	wr(0x80, 0x4f);
	cr_expect(eq(int, lapic_pending(r.l), 0x55));
	cr_expect(eq(u32, rd(0xa0), 0x4f));
	lapic_ack(r.l, 0x55);
	cr_expect(eq(u32, rd(0xa0), 0x50));
	fixed(0x5f, false);
	cr_expect(eq(int, lapic_pending(r.l), -1));
	fixed(0x60, false);
	cr_expect(eq(int, lapic_pending(r.l), 0x60));
	lapic_ack(r.l, 0x60);
	wr(0xb0, 0);
	cr_expect(eq(int, lapic_pending(r.l), -1), "0x55 is still in service");
	wr(0xb0, 0);
	cr_expect(eq(int, lapic_pending(r.l), 0x5f));
}

Test(lapic, cr8_is_the_task_priority_class)
{
	lapic_set_cr8(r.l, 9);
	cr_expect(eq(u32, rd(0x80), 0x90));
	wr(0x80, 0x3c);
	cr_expect(eq(u32, lapic_cr8(r.l), 3));
}

/* "The TMR bit is cleared for edge-triggered interrupts and set for level"; EOI broadcasts only the latter. */
Test(lapic, eoi_is_broadcast_for_level_triggered_vectors)
{
	fixed(0x41, false);
	lapic_ack(r.l, 0x41);
	wr(0xb0, 0);
	cr_expect(eq(int, r.eoi, -1));
	fixed(0x41, true);
	cr_expect(eq(u32, rd(0x1a0), 2));
	lapic_ack(r.l, 0x41);
	wr(0xb0, 0);
	cr_expect(eq(int, r.eoi, 0x41));
	fixed(0x41, false);
	cr_expect(eq(u32, rd(0x1a0), 0));
}

/* "Vectors 0-15 are reserved": received illegal vector; the register shows what was before its last write. */
Test(lapic, illegal_vectors_and_registers_are_errors)
{
	fixed(0x0f, false);
	cr_expect(eq(int, lapic_pending(r.l), -1));
	cr_expect(eq(u32, rd(0x280), 0));
	wr(0x280, 0);
	cr_expect(eq(u32, rd(0x280), 0x40));
	wr(0x280, 0);
	cr_expect(eq(u32, rd(0x280), 0));
	wr(0x370, 0xfe);
	wr(0x300, 0x00004005);
	cr_expect(eq(u32, r.sent, 0));
	cr_expect(irr(0xfe), "the error entry of the LVT");
	wr(0x280, 0);
	cr_expect(eq(u32, rd(0x280), 0x20));
	rd(0x40);
	wr(0x280, 0);
	cr_expect(eq(u32, rd(0x280), 0x80));
}

Test(lapic, software_disabled_masks_the_lvt_and_takes_no_vectors)
{
	wr(0x320, 0x31);
	wr(0xf0, 0xff);
	cr_expect(eq(u32, rd(0x320), 0x10031));
	wr(0x320, 0x31);
	cr_expect(eq(u32, rd(0x320), 0x10031), "the mask cannot be cleared");
	fixed(0x50, false);
	cr_expect(not(irr(0x50)));
	const struct apic_msg nmi = { .delivery = APIC_NMI, .from = 1 };
	cr_expect(lapic_accept(r.l, &nmi));
	cr_expect(eq(u8, r.c->s.nmi_pending, 1));
}

Test(lapic, init_and_startup)
{
	const struct apic_msg init = { .delivery = APIC_INIT, .level = 1, .from = 1 }, off = { .delivery = APIC_INIT, .trigger = 1, .from = 1 },
	                      sipi = { .delivery = APIC_SIPI, .vector = 0x9f, .from = 1 };
	lapic_accept(r.l, &off);
	cr_expect(eq(u8, r.c->s.init_pending, 0), "INIT level de-assert");
	lapic_accept(r.l, &sipi);
	lapic_accept(r.l, &init);
	cr_expect(eq(u8, r.c->s.init_pending, 1));
	cr_expect(eq(u8, r.c->s.sipi_pending, 0), "one from before the INIT is gone");
	lapic_accept(r.l, &sipi);
	cr_expect(eq(u8, r.c->s.sipi_vector, 0x9f));
}

/* ---- destinations ---- */
static bool hit(uint32_t dest, bool logical, bool x2)
{
	const struct apic_msg m = { .dest = dest, .logical = logical, .x2apic = x2, .vector = 0x40, .from = 0xff };
	return lapic_matches(r.l, &m);
}
Test(lapic, physical_destinations)
{
	cr_expect(hit(0, false, false));
	cr_expect(not(hit(1, false, false)));
	cr_expect(hit(0xff, false, false), "broadcast");
	wr(0x20, 0x05000000);
	cr_expect(hit(5, false, false));
	cr_expect(not(hit(0, false, false)));
	x2apic_on();
	cr_expect(hit(0, false, true), "the x2APIC ID is what it was at power-up");
	cr_expect(hit(0xffffffff, false, true));
	cr_expect(not(hit(0xff, false, true)));
}
/* Flat: any common bit. Cluster: same bits 7:4 (or 15, broadcast) and a common bit in 3:0. */
Test(lapic, logical_destinations_exhaustively)
{
	for (unsigned cluster = 0; cluster < 2; cluster++) {
		wr(0xe0, cluster ? 0x0fffffff : 0xffffffff);
		for (unsigned id = 0; id < 256; id++) {
			wr(0xd0, id << 24);
			for (unsigned mda = 0; mda < 256; mda++) {
				bool want = mda == 0xff || (!cluster ? (id & mda) != 0
				            : (id >> 4 == mda >> 4 || mda >> 4 == 15) && (id & mda & 15));
				cr_assert(eq(int, hit(mda, true, false), want), "id %#x mda %#x cluster %u", id, mda, cluster);
			}
		}
	}
}
/* "Logical x2APIC ID = [(x2APIC ID[19:4] << 16) | (1 << x2APIC ID[3:0])]" */
Test(lapic, x2apic_logical_destinations)
{
	teardown();
	setup_number(11);
	x2apic_on();
	uint64_t v = 0;
	cr_expect(lapic_msr_read(r.l, 0x80d, &v));
	cr_expect(eq(u64, v, 1 << 11));
	cr_expect(hit(1 << 11, true, true));
	cr_expect(not(hit(1 << 10, true, true)));
	cr_expect(not(hit(0x10000 | 1 << 11, true, true)));
	cr_expect(hit(0xffffffff, true, true));
}
Test(lapic, shorthands)
{
	struct apic_msg m = { .shorthand = 1, .from = 0 };
	cr_expect(lapic_matches(r.l, &m));
	m.from = 1;
	cr_expect(not(lapic_matches(r.l, &m)));
	m.shorthand = 3;
	cr_expect(lapic_matches(r.l, &m));
	m.from = 0;
	cr_expect(not(lapic_matches(r.l, &m)));
	m.shorthand = 2;
	cr_expect(lapic_matches(r.l, &m));
	cr_expect(wrmsr(0x1b, 0xfee00100));
	cr_expect(not(lapic_matches(r.l, &m)), "globally disabled");
}
Test(lapic, interrupt_command_register)
{
	wr(0x310, 0x03000000);
	wr(0x300, 0x000c4c99);
	cr_expect(eq(u32, r.last.dest, 3));
	cr_expect(eq(u8, r.last.logical, 1));
	cr_expect(eq(u8, r.last.delivery, APIC_NMI));
	cr_expect(eq(u8, r.last.shorthand, 3));
	cr_expect(eq(u32, rd(0x300), 0x000c4c99), "delivery status reads idle");
	wr(0x300, 0x00000340);
	cr_expect(eq(u32, r.sent, 1), "delivery mode 3 is reserved");
}

/* ---- timer ---- */
Test(lapic, one_shot_timer)
{
	wr(0x3e0, 0xb);                 /* divide by 1 */
	wr(0x320, 0x31);
	wr(0x380, 1000);
	pass(1000);
	cr_expect(eq(u32, rd(0x390), 500));
	pass(999);
	cr_expect(not(irr(0x31)));
	pass(1);
	cr_expect(irr(0x31));
	cr_expect(eq(u32, rd(0x390), 0));
	cr_expect(eq(u64, evq_next(&r.q), NEVER));
}
/* Divide configuration 0000 to 1011: 2, 4, 8, 16, 32, 64, 128, 1. */
Test(lapic, divider)
{
	const struct { uint32_t code; unsigned by; } row[] = { { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 } };
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		wr(0x3e0, row[i].code);
		wr(0x380, 1000);
		pass(100 * 2 * row[i].by);
		cr_expect(eq(u32, rd(0x390), 900), "code %u", row[i].code);
	}
}
Test(lapic, periodic_timer_keeps_its_phase)
{
	wr(0x3e0, 0xb);
	wr(0x320, 0x20031);
	wr(0x380, 333);
	for (int i = 1; i <= 1000; i++) {
		pass(665);
		cr_assert(not(irr(0x31)), "period %d", i);
		pass(1);
		cr_assert(irr(0x31), "period %d", i);
		lapic_ack(r.l, 0x31);
		wr(0xb0, 0);
	}
}
/* Changing the mode goes on counting; a one-shot that ran out stays at 0. */
Test(lapic, mode_changes)
{
	wr(0x3e0, 0xb);
	wr(0x320, 0x10031);
	wr(0x380, 1000);
	pass(1500);
	wr(0x320, 0x30031);
	cr_expect(eq(u32, rd(0x390), 250));
	pass(1000);
	cr_expect(eq(u32, rd(0x390), 750), "wrapped");
	wr(0x320, 0x10031);
	cr_expect(eq(u32, rd(0x390), 750));
	pass(1500);
	cr_expect(eq(u32, rd(0x390), 0));
	wr(0x320, 0x30031);
	cr_expect(eq(u32, rd(0x390), 0));
	pass(5000);
	cr_expect(eq(u32, rd(0x390), 0));
}
Test(lapic, a_masked_timer_needs_no_event)
{
	wr(0x320, 0x30031);
	wr(0x380, 1000);
	cr_expect(eq(u64, evq_next(&r.q), NEVER));
}
/* A period shorter than anything must not stop the world. */
Test(lapic, a_tiny_period_is_coalesced_while_pending)
{
	wr(0x3e0, 0xb);
	wr(0x320, 0x20031);
	wr(0x380, 1);
	pass(2);
	cr_expect(irr(0x31));
	pass(2);
	cr_expect(ge(u64, evq_next(&r.q), r.c->ledger.now + HZ / 1000000));
}
/* "A write ... of a non-zero value arms the timer"; it "generates a single timer interrupt and disarms". */
Test(lapic, tsc_deadline)
{
	uint64_t v;
	cr_expect(wrmsr(0x6e0, 5000));
	cr_expect(lapic_msr_read(r.l, 0x6e0, &v));
	cr_expect(eq(u64, v, 0), "not in TSC-deadline mode: ignored");
	wr(0x320, 0x40031);
	cr_expect(wrmsr(0x6e0, 5000));
	wr(0x380, 100);
	cr_expect(eq(u32, rd(0x380), 0), "the initial count is not used");
	pass(4999);
	cr_expect(not(irr(0x31)));
	pass(1);
	cr_expect(irr(0x31));
	lapic_msr_read(r.l, 0x6e0, &v);
	cr_expect(eq(u64, v, 0));
	lapic_ack(r.l, 0x31);
	wrmsr(0x6e0, 1);
	pass(0);
	cr_expect(irr(0x31), "a deadline in the past fires at once");
	wrmsr(0x6e0, ~0ull);
	wrmsr(0x6e0, 0);
	cr_expect(eq(u64, evq_next(&r.q), NEVER), "0 disarms");
}

/* ---- LINT pins ---- */
Test(lapic, lint_pins)
{
	lapic_lint(r.l, 1, true);
	cr_expect(eq(u8, r.c->s.nmi_pending, 1));
	lapic_lint(r.l, 0, true);
	cr_expect(eq(u8, r.c->s.intr_line, 1));
	cr_expect(lapic_extint_enabled(r.l));
	wr(0x350, 0x10700);
	cr_expect(not(lapic_extint_enabled(r.l)));
	lapic_lint(r.l, 0, false);
	wr(0x350, 0x8045);              /* fixed, level */
	lapic_lint(r.l, 0, true);
	cr_expect(irr(0x45));
	cr_expect(eq(u32, rd(0x350), 0xc045), "remote IRR");
	lapic_ack(r.l, 0x45);
	wr(0xb0, 0);
	cr_expect(irr(0x45), "still asserted: again");
	cr_expect(wrmsr(0x1b, 0xfee00100));
	cr_expect(lapic_extint_enabled(r.l), "a disabled APIC passes INTR on");
}

/* ---- IA32_APIC_BASE and x2APIC ---- */
Test(lapic, apic_base_transitions)
{
	enum { DISABLED, INVALID, XAPIC, X2APIC };
	static const uint64_t bits[4] = { 0, BIT(10), BIT(11), BIT(10) | BIT(11) };
	static const bool legal[4][4] = {       /* from, to */
		[DISABLED] = { true, false, true, false },
		[XAPIC] = { true, false, true, true },
		[X2APIC] = { true, false, false, true },
	};
	for (unsigned from = 0; from < 4; from++)
		for (unsigned to = 0; from != INVALID && to < 4; to++) {
			lapic_reset(r.l, false);
			if (from == DISABLED)
				cr_assert(wrmsr(0x1b, 0xfee00100));
			if (from == X2APIC)
				x2apic_on();
			cr_expect(eq(int, wrmsr(0x1b, 0xfee00100 | bits[to]), legal[from][to]), "from %u to %u", from, to);
		}
}
Test(lapic, apic_base_reserved_bits)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		bool reserved = bit < 8 || bit == 9 || bit >= r.p.phys_bits;
		if (bit == 10 || bit == 11)
			continue;
		cr_expect(eq(int, wrmsr(0x1b, 0xfee00900 | BIT(bit)), !reserved), "bit %u", bit);
	}
}
Test(lapic, disabling_returns_to_power_up_state)
{
	wr(0x320, 0x31);
	wr(0xd0, 0x01000000);
	wrmsr(0x1b, 0xfee00100);
	wrmsr(0x1b, 0xfee00900);
	cr_expect(eq(u32, rd(0x320), 0x10000));
	cr_expect(eq(u32, rd(0xd0), 0));
	cr_expect(eq(u32, rd(0xf0), 0xff));
}

/* Every MSR of the range against the SDM's table "Local APIC Register Address Map Supported by x2APIC". */
Test(lapic, x2apic_msrs)
{
	uint64_t v;
	for (uint32_t m = 0x800; m < 0x900; m++)
		cr_assert(not(lapic_msr_read(r.l, m, &v)), "%#x outside x2APIC mode", m);
	x2apic_on();
	for (uint32_t m = 0x800; m < 0x900; m++) {
		unsigned i = m - 0x800;
		bool ro = i == 0x02 || i == 0x03 || i == 0x0a || i == 0x0d || (i >= 0x10 && i < 0x28) || i == 0x39;
		bool rw = i == 0x08 || i == 0x0f || i == 0x28 || i == 0x30 || (i >= 0x32 && i <= 0x38) || i == 0x3e;
		bool wo = i == 0x0b || i == 0x3f;
		cr_expect(eq(int, lapic_msr_read(r.l, m, &v), ro || rw), "read %#x", m);
		if (i == 0x30)
			continue;
		cr_expect(eq(int, wrmsr(m, 0), rw || wo), "write %#x", m);
		cr_expect(not(wrmsr(m, BIT(32))), "bit 32 of %#x", m);
	}
}
Test(lapic, x2apic_reserved_bits)
{
	x2apic_on();
	const struct { uint32_t msr; uint64_t v; bool ok; } row[] = {
		{ 0x808, 0xff, true }, { 0x808, 0x100, false }, { 0x80b, 1, false }, { 0x828, 1, false }, { 0x80f, 0x3ff, true },
		{ 0x80f, 0x400, false }, { 0x832, 0x700ff, true }, { 0x832, 0x80000, false }, { 0x832, 0x100, false },
		{ 0x835, 0x1a7ff, true }, { 0x835, 0x20000, false }, { 0x837, 0x400, false }, { 0x83e, 0xb, true }, { 0x83e, 4, false },
		{ 0x83f, 0xff, true }, { 0x83f, 0x100, false }, { 0x830, 0x2000, false }, { 0x830, BIT(16), false }, { 0x830, BIT(20), false },
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		cr_expect(eq(int, wrmsr(row[i].msr, row[i].v), row[i].ok), "%#x = %#lx", row[i].msr, (unsigned long)row[i].v);
}
Test(lapic, self_ipi)
{
	x2apic_on();
	cr_expect(wrmsr(0x83f, 0x77));
	cr_expect(irr(0x77));
	cr_expect(wrmsr(0x830, (uint64_t)0x12345 << 32 | 0x40));
	cr_expect(eq(u32, r.last.dest, 0x12345));
	cr_expect(eq(u8, r.last.x2apic, 1));
}
