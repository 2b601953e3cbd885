/* The 8259A pair. Sentences in quotes: Intel 8259A data sheet. */
#include "rig.h"

#include "models/io/i8259.h"

struct pics { struct rig *r; struct i8259 p; };

static void init_words(struct rig *r, uint8_t icw4)
{
	static const struct { unsigned port; uint8_t v; } words[] = {
		{ 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 0x04 }, { 0xa0, 0x11 }, { 0xa1, 0x28 }, { 0xa1, 0x02 }, { 0xa1, 0x01 },
	};
	for (size_t i = 0; i < 3; i++)
		out8(r, words[i].port, words[i].v);
	out8(r, 0x21, icw4);
	for (size_t i = 3; i < ARRAY_LEN(words); i++)
		out8(r, words[i].port, words[i].v);
	out8(r, 0x21, 0);
	out8(r, 0xa1, 0);
}

static struct pics *pics_new(uint8_t icw4)
{
	struct pics *p = calloc(1, sizeof *p);
	p->r = rig_new(0);
	chip_init(&p->p.chip, "pic", &i8259_dev, &p->r->env);
	p->p.intr = rig_wire(p->r, 0);
	bus_map(&p->r->bus, BUS_PORT, 0x20, 2, &i8259_master_io, &p->p);
	bus_map(&p->r->bus, BUS_PORT, 0xa0, 2, &i8259_slave_io, &p->p);
	bus_map(&p->r->bus, BUS_PORT, 0x4d0, 2, &i8259_elcr_io, &p->p);
	init_words(p->r, icw4);
	return p;
}
static void pics_free(struct pics *p)
{
	rig_free(p->r);
	free(p);
}
static void raise(struct pics *p, unsigned irq) { i8259_set(&p->p, irq, true); }
static void lower(struct pics *p, unsigned irq) { i8259_set(&p->p, irq, false); }

Test(i8259, a_request_raises_int_and_yields_its_vector)
{
	struct pics *p = pics_new(1);
	cr_expect(not(p->r->lamp[0]));
	raise(p, 1);
	cr_expect(p->r->lamp[0]);
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x21));
	cr_expect(not(p->r->lamp[0]));
	out8(p->r, 0x20, 0x0b);
	cr_expect(eq(u8, in8(p->r, 0x20), 0x02), "in service");
	pics_free(p);
}

/* "IR0 has the highest priority ... further interrupts of the same or lower priority are inhibited" until EOI. */
Test(i8259, lower_priority_waits_for_eoi_higher_does_not)
{
	struct pics *p = pics_new(1);
	raise(p, 4);
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x24));
	raise(p, 5);
	cr_expect(not(p->r->lamp[0]));
	raise(p, 3);
	cr_expect(p->r->lamp[0]);
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x23));
	out8(p->r, 0x20, 0x20);         /* ends 3, the highest */
	cr_expect(not(p->r->lamp[0]));
	out8(p->r, 0x20, 0x20);         /* ends 4 */
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x25));
	pics_free(p);
}

Test(i8259, the_slave_comes_through_ir2)
{
	struct pics *p = pics_new(1);
	raise(p, 14);
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x2e));
	out8(p->r, 0x20, 0x0b);
	out8(p->r, 0xa0, 0x0b);
	cr_expect(eq(u8, in8(p->r, 0x20), 0x04));
	cr_expect(eq(u8, in8(p->r, 0xa0), 0x40));
	raise(p, 8);
	cr_expect(not(p->r->lamp[0]), "the master still serves IR2");
	out8(p->r, 0xa0, 0x20);
	out8(p->r, 0x20, 0x20);
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x28));
	pics_free(p);
}

/* "if the master ... special fully nested mode ... further interrupt requests from higher priority IRs within the slave
 * will be recognized by the master" */
Test(i8259, special_fully_nested_lets_the_slaves_higher_request_pass)
{
	struct pics *p = pics_new(0x11);
	raise(p, 14);
	i8259_acknowledge(&p->p);
	raise(p, 8);
	cr_expect(p->r->lamp[0]);
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x28));
	pics_free(p);
}

/* "If the IR input goes low before this time a DEFAULT IR7 will occur when the CPU acknowledges the interrupt." */
Test(i8259, a_vanished_request_is_the_default_ir7_without_isr)
{
	struct pics *p = pics_new(1);
	raise(p, 3);
	lower(p, 3);
	cr_expect(not(p->r->lamp[0]));
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x27));
	out8(p->r, 0x20, 0x0b);
	cr_expect(eq(u8, in8(p->r, 0x20), 0));
	cr_expect(eq(u64, p->r->stat[IO_STAT_PIC_SPURIOUS], 1));
	pics_free(p);
}

Test(i8259, an_edge_interrupts_once_a_level_until_it_falls)
{
	struct pics *p = pics_new(1);
	raise(p, 5);
	i8259_acknowledge(&p->p);
	out8(p->r, 0x20, 0x20);
	cr_expect(not(p->r->lamp[0]));
	lower(p, 5);
	out8(p->r, 0x4d0, 0xff);
	cr_expect(eq(u8, in8(p->r, 0x4d0), 0xf8), "IRQ 0-2 are edge-triggered for good");
	raise(p, 5);
	i8259_acknowledge(&p->p);
	cr_expect(not(p->r->lamp[0]));
	out8(p->r, 0x20, 0x20);
	cr_expect(p->r->lamp[0]);
	lower(p, 5);
	cr_expect(not(p->r->lamp[0]));
	pics_free(p);
}

/* "In this mode the 8259A will operate in AEOI mode continuously": no ISR bit stays. */
Test(i8259, automatic_eoi_leaves_nothing_in_service)
{
	struct pics *p = pics_new(3);
	raise(p, 6);
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x26));
	out8(p->r, 0x20, 0x0b);
	cr_expect(eq(u8, in8(p->r, 0x20), 0));
	pics_free(p);
}

Test(i8259, rotation_makes_the_ended_level_the_lowest)
{
	struct pics *p = pics_new(1);
	raise(p, 0);
	i8259_acknowledge(&p->p);
	out8(p->r, 0x20, 0xa0);         /* rotate on non-specific EOI */
	lower(p, 0);
	raise(p, 0);
	raise(p, 1);
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x21));
	out8(p->r, 0x20, 0xc6);         /* set priority: IR6 the lowest, IR7 the highest */
	out8(p->r, 0x20, 0x61);         /* specific EOI of 1 */
	raise(p, 7);
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x27));
	pics_free(p);
}

/* "when a mask bit is set in OCW1, it inhibits further interrupts at that level and enables interrupts from all other
 * levels (lower as well as higher) that are not masked." */
Test(i8259, special_mask_mode_lets_lower_levels_pass)
{
	struct pics *p = pics_new(1);
	raise(p, 2 + 1);
	i8259_acknowledge(&p->p);
	raise(p, 6);
	out8(p->r, 0x21, 0x08);
	cr_expect(not(p->r->lamp[0]));
	out8(p->r, 0x20, 0x68);
	cr_expect(p->r->lamp[0]);
	cr_expect(eq(u8, i8259_acknowledge(&p->p), 0x26));
	out8(p->r, 0x20, 0x20);
	out8(p->r, 0x20, 0x0b);
	cr_expect(eq(u8, in8(p->r, 0x20), 0x08), "a non-specific EOI does not clear a masked level");
	pics_free(p);
}

/* "the 8259A treats the next RD pulse ... as an interrupt acknowledge": 1 in bit 7 and the level. */
Test(i8259, poll_acknowledges)
{
	struct pics *p = pics_new(1);
	out8(p->r, 0x20, 0x0c);
	cr_expect(eq(u8, in8(p->r, 0x20) & 0x80, 0));
	raise(p, 4);
	out8(p->r, 0x20, 0x0c);
	cr_expect(eq(u8, in8(p->r, 0x20), 0x84));
	out8(p->r, 0x20, 0x0b);
	cr_expect(eq(u8, in8(p->r, 0x20), 0x10));
	pics_free(p);
}

/* "The Interrupt Mask Register is cleared"; "following initialization, an IR input must make a low-to-high transition" */
Test(i8259, icw1_clears_mask_and_edges)
{
	struct pics *p = pics_new(1);
	out8(p->r, 0x21, 0xff);
	raise(p, 4);
	init_words(p->r, 1);
	cr_expect(eq(u8, in8(p->r, 0x21), 0));
	cr_expect(not(p->r->lamp[0]));
	lower(p, 4);
	raise(p, 4);
	cr_expect(p->r->lamp[0]);
	pics_free(p);
}
