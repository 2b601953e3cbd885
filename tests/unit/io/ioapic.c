/* The I/O APIC. Sentences in quotes: Intel 82093AA data sheet. */
#include "rig.h"

#include "models/io/ioapic.h"

struct apic { struct rig *r; struct ioapic a; struct apic_msg last; unsigned sent; bool refuse; };

static bool take(void *who, const struct apic_msg *m)
{
	struct apic *a = who;
	a->last = *m;
	a->sent++;
	return !a->refuse;
}
static struct apic *apic_new(void)
{
	struct apic *a = calloc(1, sizeof *a);
	a->r = rig_new(0);
	a->a.bus = (struct apic_wire){ .send = take, .who = a };
	chip_init(&a->a.chip, "ioapic", &ioapic_dev, &a->r->env);
	bus_map(&a->r->bus, BUS_MMIO, IOAPIC_BASE, 0x1000, &ioapic_io, &a->a);
	return a;
}
static void apic_free(struct apic *a)
{
	rig_free(a->r);
	free(a);
}
static void wr(struct apic *a, unsigned off, uint32_t v)
{
	struct io_at at = { 0 };
	bus_write(&a->r->bus, BUS_MMIO, IOAPIC_BASE + off, 4, v, &at);
}
static uint32_t reg(struct apic *a, unsigned n)
{
	struct io_at at = { 0 };
	wr(a, 0, n);
	return (uint32_t)bus_read(&a->r->bus, BUS_MMIO, IOAPIC_BASE + 0x10, 4, &at);
}
static void set(struct apic *a, unsigned n, uint32_t v)
{
	wr(a, 0, n);
	wr(a, 0x10, v);
}
static void entry(struct apic *a, unsigned pin, uint64_t e)
{
	set(a, 0x10 + 2 * pin, (uint32_t)e);
	set(a, 0x11 + 2 * pin, (uint32_t)(e >> 32));
}
#define LEVEL BIT(15)
#define LOW   BIT(13)
#define RIRR  BIT(14)
#define MASKED BIT(16)

Test(ioapic, version_and_id)
{
	struct apic *a = apic_new();
	cr_expect(eq(u32, reg(a, 1), 0x00170020));
	set(a, 1, 0);
	cr_expect(eq(u32, reg(a, 1), 0x00170020));
	set(a, 0, 0xffffffff);
	cr_expect(eq(u32, reg(a, 0), 0x0f000000));
	cr_expect(eq(u32, reg(a, 2), 0x0f000000), "the arbitration ID follows the ID");
	cr_expect(eq(u32, reg(a, 0x3f), 0x00000000));
	cr_expect(eq(u32, reg(a, 0x40), 0), "beyond pin 23");
	apic_free(a);
}

Test(ioapic, an_edge_sends_one_message)
{
	struct apic *a = apic_new();
	entry(a, 5, 0x0300000000000855 | 0x100);
	ioapic_set(&a->a, 5, true);
	ioapic_set(&a->a, 5, true);
	cr_expect(eq(u32, a->sent, 1));
	cr_expect(eq(u8, a->last.vector, 0x55));
	cr_expect(eq(u8, a->last.delivery, APIC_LOWEST));
	cr_expect(eq(u8, a->last.logical, 1));
	cr_expect(eq(u32, a->last.dest, 3));
	cr_expect(eq(u8, a->last.trigger, 0));
	apic_free(a);
}

/* "When this bit is 1, the interrupt signal is masked. Edge-sensitive interrupts signaled on a masked interrupt pin are
 * ignored" */
Test(ioapic, a_masked_edge_is_lost_a_masked_level_is_not)
{
	struct apic *a = apic_new();
	entry(a, 5, MASKED | 0x55);
	ioapic_set(&a->a, 5, true);
	entry(a, 5, 0x55);
	cr_expect(eq(u32, a->sent, 0));
	entry(a, 6, MASKED | LEVEL | 0x56);
	ioapic_set(&a->a, 6, true);
	cr_expect(eq(u32, a->sent, 0));
	entry(a, 6, LEVEL | 0x56);
	cr_expect(eq(u32, a->sent, 1));
	apic_free(a);
}

/* Remote IRR: "set to 1 when local APIC(s) accept the level interrupt ... reset to 0 when an EOI message is received" */
Test(ioapic, a_level_waits_for_eoi_and_comes_again_while_asserted)
{
	struct apic *a = apic_new();
	entry(a, 6, LEVEL | 0x56);
	ioapic_set(&a->a, 6, true);
	cr_expect(eq(u32, reg(a, 0x10 + 12) & RIRR, RIRR));
	ioapic_set(&a->a, 6, false);
	ioapic_set(&a->a, 6, true);
	cr_expect(eq(u32, a->sent, 1));
	ioapic_eoi(&a->a, 0x57);
	cr_expect(eq(u32, a->sent, 1));
	wr(a, 0x40, 0x56);
	cr_expect(eq(u32, a->sent, 2), "the EOI register");
	ioapic_set(&a->a, 6, false);
	ioapic_eoi(&a->a, 0x56);
	cr_expect(eq(u32, a->sent, 2));
	cr_expect(eq(u32, reg(a, 0x10 + 12) & RIRR, 0));
	apic_free(a);
}

Test(ioapic, remote_irr_is_not_set_when_nobody_accepts)
{
	struct apic *a = apic_new();
	a->refuse = true;
	entry(a, 6, LEVEL | 0x56);
	ioapic_set(&a->a, 6, true);
	cr_expect(eq(u32, reg(a, 0x10 + 12) & RIRR, 0));
	apic_free(a);
}

Test(ioapic, status_bits_are_read_only_and_an_edge_entry_forgets_remote_irr)
{
	struct apic *a = apic_new();
	entry(a, 6, LEVEL | 0x56);
	ioapic_set(&a->a, 6, true);
	set(a, 0x10 + 12, LEVEL | 0x56);
	cr_expect(eq(u32, reg(a, 0x10 + 12), LEVEL | RIRR | 0x56));
	set(a, 0x10 + 13, 0x01ffffff);
	cr_expect(eq(u32, reg(a, 0x10 + 13), 0x01000000));
	set(a, 0x10 + 12, 0x56);
	cr_expect(eq(u32, reg(a, 0x10 + 12), 0x56));
	apic_free(a);
}

Test(ioapic, active_low_means_the_low_level)
{
	struct apic *a = apic_new();
	ioapic_set(&a->a, 16, true);
	entry(a, 16, LEVEL | LOW | 0x60);
	cr_expect(eq(u32, a->sent, 0));
	ioapic_set(&a->a, 16, false);
	cr_expect(eq(u32, a->sent, 1));
	apic_free(a);
}

Test(ioapic, everything_is_masked_after_reset_and_pin_24_does_not_exist)
{
	struct apic *a = apic_new();
	for (unsigned pin = 0; pin < 24; pin++)
		cr_expect(eq(u32, reg(a, 0x10 + 2 * pin), MASKED));
	ioapic_set(&a->a, 24, true);
	ioapic_set(&a->a, 0xffffffff, true);
	cr_expect(eq(u32, a->sent, 0));
	apic_free(a);
}
