/* The board as a whole: wiring, routing, and that nothing a guest writes can break it. */
#include "rig.h"

#include <stdio.h>

#include "models/io/board.h"
#include "sim/rng.h"

struct pc {
	struct rig *r;
	struct board *b;
	struct apic_msg last;
	unsigned messages, requests;
	bool intr;
	struct snaps *snaps;
};

static bool take(void *who, const struct apic_msg *m)
{
	struct pc *p = who;
	p->last = *m;
	p->messages++;
	return true;
}
static void intr(void *who, unsigned pin, bool level)
{
	(void)pin;
	((struct pc *)who)->intr = level;
}
static void request(void *who, enum machine_request what, uint32_t value)
{
	(void)what, (void)value;
	((struct pc *)who)->requests++;
}

static struct pc *pc_new(void)
{
	struct pc *p = calloc(1, sizeof *p);
	struct err e = { "" };
	p->r = rig_new(1000000000);
	p->snaps = snaps_new();
	const struct snap_ram ram = { p->r->mem.ram, p->r->mem.ram_size, p->r->mem.flags };
	snaps_ram(p->snaps, &ram);
	p->r->mem.snaps = p->snaps;
	const struct board_config c = { .profile = &p->r->p, .cpus = 2, .ram = 2u << 20, .low_ram = 2u << 20,
	                                .disk = { "/proc/self/exe" }, .rtc_epoch = 1000000000, .test_device = true };
	const struct board_wiring w = { .mem = &p->r->mem, .evq = &p->r->q, .trace = &p->r->t, .snaps = p->snaps,
	                                .apic = { .send = take, .who = p }, .intr = { intr, p, 0 },
	                                .machine = { request, p } };
	p->b = board_new(&c, &w, &e);
	cr_assert(ne(ptr, p->b, NULL), "%s", e.text);
	return p;
}
static void pc_free(struct pc *p)
{
	board_free(p->b);
	snaps_free(p->snaps);
	rig_free(p->r);
	free(p);
}
static uint64_t pin(struct pc *p, unsigned port, unsigned size)
{
	struct io_at at = { .now = p->r->now };
	struct io_wire w = board_ports(p->b);
	return w.read(w.who, port, size, &at);
}
static void pout(struct pc *p, unsigned port, unsigned size, uint64_t v)
{
	struct io_at at = { .now = p->r->now };
	struct io_wire w = board_ports(p->b);
	w.write(w.who, port, size, v, &at);
}
static void rte(struct pc *p, unsigned n, uint32_t low)
{
	struct io_at at = { .now = p->r->now };
	struct io_wire w = board_mmio(p->b);
	w.write(w.who, 0xfec00000, 4, 0x10 + 2 * n, &at);
	w.write(w.who, 0xfec00010, 4, low, &at);
}
static void run(struct pc *p, cycle_t n)
{
	p->r->now += n;
	evq_run(&p->r->q, p->r->now);
	pin(p, 0x80, 1);
}

/* ISA IRQs reach both controllers; the timer is I/O APIC pin 2. */
Test(board, the_timer_reaches_both_interrupt_controllers)
{
	struct pc *p = pc_new();
	rte(p, 2, 0x31);
	pout(p, 0x21, 1, 0xfe);
	pout(p, 0x43, 1, 0x34);
	pout(p, 0x40, 1, 100);
	pout(p, 0x40, 1, 0);
	run(p, 1000000);
	cr_expect(p->intr);
	cr_expect(ge(u32, p->messages, 1));
	cr_expect(eq(u8, p->last.vector, 0x31));
	struct pic_wire pic = board_pic(p->b);
	cr_expect(pic.pending(pic.who));
	cr_expect(eq(u8, pic.acknowledge(pic.who), 0x08));
	pc_free(p);
}

Test(board, an_idle_board_has_nothing_to_do)
{
	struct pc *p = pc_new();
	cr_expect(eq(u64, evq_next(&p->r->q), NEVER));
	pc_free(p);
}

Test(board, unused_places_read_all_ones)
{
	struct pc *p = pc_new();
	struct io_at at = { 0 };
	struct io_wire w = board_mmio(p->b);
	cr_expect(eq(u64, w.read(w.who, 0xfed00000, 4, &at), 0xffffffff), "no HPET");
	cr_expect(eq(u64, pin(p, 0x2f8, 1), 0xff), "no COM2");
	cr_expect(eq(u64, pin(p, 0x5658, 4), 0xffffffff));
	pc_free(p);
}

/* The console is a face, the queue behind it state: same bytes, whatever is looked at. */
static char said[16];
static size_t said_n;
static void hear(void *who, const uint8_t *bytes, size_t n)
{
	(void)who;
	for (size_t i = 0; i < n && said_n < sizeof said - 1; i++)
		said[said_n++] = (char)bytes[i];
}
Test(board, faces)
{
	struct pc *p = pc_new();
	static char lines[25][80 * 4 + 1];
	struct io_at at = { 0 };
	struct io_wire w = board_mmio(p->b);
	board_on_console(p->b, hear, NULL);
	pout(p, 0x3f8, 1, '!');
	cr_expect(eq(str, said, "!"));
	w.write(w.who, 0xb8000, 1, 'A', &at);
	board_screen_text(p->b, lines);
	cr_expect(eq(str, lines[0], "A"));
	board_serial_input(p->b, (const uint8_t *)"k", 1);
	run(p, 100000);
	cr_expect(eq(u64, pin(p, 0x3f8, 1), 'k'));
	board_key_input(p->b, (const uint8_t *)"\x1e", 1);
	run(p, 1000000);
	cr_expect(eq(u64, pin(p, 0x60, 1), 0x1e));
	pc_free(p);
}

Test(board, s3_marks_the_shutdown_byte)
{
	struct pc *p = pc_new();
	pout(p, 0x70, 1, 0x0b), pout(p, 0x71, 1, 0x22);
	for (unsigned i = 1; i <= 5; i += 2)
		pout(p, 0x70, 1, i), pout(p, 0x71, 1, 0xff);
	pout(p, 0x602, 2, 0x400);
	pout(p, 0x604, 2, 0x2400);
	cr_expect(eq(u32, p->requests, 1));
	run(p, 1000000000);
	cr_expect(eq(u32, p->requests, 2));
	pout(p, 0x70, 1, 0x0f);
	cr_expect(eq(u64, pin(p, 0x71, 1), 0xfe));
	pc_free(p);
}

/* Ports and addresses where something is, mostly; sizes and values without mercy. */
static uint64_t place(struct rng *g, bool *mmio)
{
	static const struct { uint64_t base; uint32_t n; bool mmio; } where[] = {
		{ 0x20, 2, false }, { 0x40, 4, false }, { 0x60, 5, false }, { 0x70, 2, false }, { 0x80, 0x80, false },
		{ 0x170, 8, false }, { 0x1f0, 8, false }, { 0x370, 0x90, false }, { 0x4d0, 2, false }, { 0x510, 8, false },
		{ 0x600, 16, false }, { 0xafe0, 4, false }, { 0xc000, 16, false }, { 0xcf8, 8, false }, { 0x2000, 24, false },
		{ 0, 0x10000, false }, { 0xb8000, 0x8000, true }, { 0xfec00000, 0x100, true }, { 0xff000000, 0x10000, true },
		{ 0xa0000, 0x20000, true }, { 0xfed00000, 0x400000, true },
	};
	size_t i = rng_below(g, ARRAY_LEN(where));
	*mmio = where[i].mmio;
	return where[i].base + rng_below(g, where[i].n);
}

static uint64_t hammer(struct pc *p, uint64_t seed)
{
	struct rng g;
	uint64_t sum = 0;
	rng_init(&g, seed, "hammer");
	for (int i = 0; i < 100000; i++) {
		bool mmio;
		uint64_t at_addr = place(&g, &mmio), v = rng_u64(&g);
		unsigned size = 1u << rng_below(&g, mmio ? 4 : 3);
		struct io_at at = { .now = p->r->now };
		struct io_wire w = mmio ? board_mmio(p->b) : board_ports(p->b);
		if (rng_below(&g, 4) == 0)
			v &= 0xff;
		if (rng_below(&g, 2))
			w.write(w.who, at_addr, size, v, &at);
		else
			sum = sum * 31 + w.read(w.who, at_addr, size, &at);
		cr_assert(lt(u64, at.cost, 100000));
		if (rng_below(&g, 16) == 0)
			board_eoi(p->b, (uint8_t)v);
		if (rng_below(&g, 64) == 0) {
			uint8_t key = (uint8_t)v;
			board_key_input(p->b, &key, 1);
			board_serial_input(p->b, &key, 1);
		}
		struct pic_wire pic = board_pic(p->b);
		if (p->intr && rng_below(&g, 2))
			sum += pic.acknowledge(pic.who);
		p->r->now += rng_below(&g, 3000);
		evq_run(&p->r->q, p->r->now);
		cr_assert(lt(u32, p->r->q.s.n, 64), "events pile up");
	}
	return sum;
}

Test(board, survives_a_hundred_thousand_random_accesses, .timeout = 100)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct pc *p = pc_new();
		hammer(p, seed);
		pc_free(p);
	}
}

/* Two boards in one process, fed the same, say the same: nothing is shared, nothing depends on the host. */
Test(board, two_boards_do_the_same, .timeout = 100)
{
	struct pc *a = pc_new(), *b = pc_new();
	uint64_t x = hammer(a, 7);
	cr_expect(eq(u64, x, hammer(b, 7)));
	cr_expect(eq(u64, snaps_hash(a->snaps), snaps_hash(b->snaps)));
	pc_free(a);
	pc_free(b);
}
