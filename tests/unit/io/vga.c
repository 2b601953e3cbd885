/* The VGA in text mode. */
#include "rig.h"

#include "models/io/vga.h"

struct screen { struct rig *r; struct vga v; };

static struct screen *screen_new(void)
{
	struct screen *s = calloc(1, sizeof *s);
	s->r = rig_new(1000000000);
	chip_init(&s->v.chip, "vga", &vga_dev, &s->r->env);
	bus_map(&s->r->bus, BUS_PORT, 0x3c0, 32, &vga_io, &s->v);
	bus_map(&s->r->bus, BUS_MMIO, VGA_TEXT_BASE, VGA_TEXT_BYTES, &vga_text_io, &s->v);
	return s;
}
static void screen_free(struct screen *s)
{
	rig_free(s->r);
	free(s);
}
static void poke(struct screen *s, unsigned off, unsigned size, uint64_t v)
{
	struct io_at at = { 0 };
	bus_write(&s->r->bus, BUS_MMIO, VGA_TEXT_BASE + off, size, v, &at);
}
static char lines[25][80 * 4 + 1];

Test(vga, text_is_readable)
{
	struct screen *s = screen_new();
	poke(s, 0, 4, 0x07690748);
	poke(s, 160 * 24 + 2 * 79, 2, 0x0701);
	poke(s, 160, 2, 0x07db);
	vga_screen_text(&s->v, lines);
	cr_expect(eq(str, lines[0], "Hi"));
	cr_expect(eq(str, lines[1], "\u2588"), "a full block");
	cr_expect(eq(sz, strlen(lines[24]), 79 + 3), "a smiling face in the corner");
	struct io_at at = { 0 };
	cr_expect(eq(u64, bus_read(&s->r->bus, BUS_MMIO, VGA_TEXT_BASE, 8, &at), 0x0720072007690748));
	screen_free(s);
}

Test(vga, a_screen_of_wide_characters_fits)
{
	struct screen *s = screen_new();
	for (unsigned i = 0; i < VGA_TEXT_BYTES; i += 2)
		poke(s, i, 1, 0xb0);
	vga_screen_text(&s->v, lines);
	cr_expect(eq(sz, strlen(lines[24]), 80 * 3));
	screen_free(s);
}

/* An index and its data are written as one word. */
Test(vga, the_start_address_scrolls)
{
	struct screen *s = screen_new();
	poke(s, 160, 1, 'x');
	rig_out(s->r, 0x3d4, 2, 80 << 8 | 0x0d);
	vga_screen_text(&s->v, lines);
	cr_expect(eq(str, lines[0], "x"));
	rig_out(s->r, 0x3d4, 2, 0xff0c);
	rig_out(s->r, 0x3d4, 2, 0xff0d);
	vga_screen_text(&s->v, lines);
	cr_expect(eq(u8, in8(s->r, 0x3d5), 0xff), "wraps inside the window");
	screen_free(s);
}

Test(vga, registers_beyond_the_last_do_not_exist)
{
	struct screen *s = screen_new();
	for (unsigned port = 0x3c4; port <= 0x3d4; port += port == 0x3c4 ? 10 : 6)
		for (unsigned i = 0; i < 256; i++) {
			rig_out(s->r, port, 2, 0x5500 | i);
			in8(s->r, port + 1);
		}
	out8(s->r, 0x3d4, 0xff);
	cr_expect(eq(u8, in8(s->r, 0x3d5), 0));
	screen_free(s);
}

/* "Protect: CRTC registers 0-7 are write protected" by bit 7 of the Vertical Retrace End register. */
Test(vga, crtc_protection)
{
	struct screen *s = screen_new();
	rig_out(s->r, 0x3d4, 2, 0x1100);
	rig_out(s->r, 0x3d4, 2, 0x0011);
	rig_out(s->r, 0x3d4, 2, 0xaa00);
	cr_expect(eq(u8, (out8(s->r, 0x3d4, 0), in8(s->r, 0x3d5)), 0xaa));
	rig_out(s->r, 0x3d4, 2, 0x8011);
	rig_out(s->r, 0x3d4, 2, 0x5500);
	cr_expect(eq(u8, (out8(s->r, 0x3d4, 0), in8(s->r, 0x3d5)), 0xaa));
	screen_free(s);
}

/* Attribute registers: one port for index and data in turn; reading input status 1 starts with the index. */
Test(vga, attribute_flip_flop)
{
	struct screen *s = screen_new();
	in8(s->r, 0x3da);
	out8(s->r, 0x3c0, 0x05);
	out8(s->r, 0x3c0, 0x3f);
	out8(s->r, 0x3c0, 0x06);
	in8(s->r, 0x3da);
	out8(s->r, 0x3c0, 0x25);
	cr_expect(eq(u8, in8(s->r, 0x3c1), 0x3f));
	screen_free(s);
}

Test(vga, palette_reads_back_and_wraps)
{
	struct screen *s = screen_new();
	out8(s->r, 0x3c8, 255);
	for (int i = 0; i < 4; i++)
		out8(s->r, 0x3c9, (uint8_t)(0xc1 + i));
	out8(s->r, 0x3c7, 255);
	cr_expect(eq(u8, in8(s->r, 0x3c9), 1));
	cr_expect(eq(u8, in8(s->r, 0x3c9), 2));
	cr_expect(eq(u8, in8(s->r, 0x3c9), 3));
	cr_expect(eq(u8, in8(s->r, 0x3c9), 4), "entry 0");
	screen_free(s);
}

Test(vga, retrace_comes_seventy_times_a_second)
{
	struct screen *s = screen_new();
	unsigned n = 0;
	bool last = false;
	for (unsigned us = 0; us < 1000000; us += 100) {
		rig_run(s->r, 100000);
		bool now = in8(s->r, 0x3da) & 8;
		n += now && !last;
		last = now;
	}
	cr_expect(eq(u32, n, 70));
	screen_free(s);
}
