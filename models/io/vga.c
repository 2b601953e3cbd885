/* vga.c - a VGA as a BIOS leaves it in mode 3: 80x25 colour text at B8000H; registers at 3B0H-3DFH.
 * Source: IBM VGA Technical Reference, as in FreeVGA's register summaries; characters are code page 437.
 *
 * Registers hold what was written; start address and cursor have effect, input status 1 shows the retraces of a
 * 70 Hz screen by the CPU clock.
 * Simplified: no graphics modes: A0000-B7FFF answers as if no memory were there, fonts cannot be loaded. */
#include "models/io/vga.h"

#include <string.h>

#define CRTC_START_HIGH  0x0c
#define CRTC_START_LOW   0x0d
#define CRTC_CURSOR_HIGH 0x0e
#define CRTC_CURSOR_LOW  0x0f
#define CRTC_RETRACE_END 0x11
#define CRTC_PROTECT     0x80           /* in CRTC_RETRACE_END: registers 0-7 are read-only */
#define IS1_DISABLED     0x01
#define IS1_VRETRACE     0x08

#define FRAME_NS   14286000u
#define LINE_NS    31778u
#define VISIBLE_NS 12711200u            /* 400 lines of 449 */
#define COLUMNS 80
#define ROWS    25

static uint8_t *index_reg(struct vga *v, unsigned port, uint8_t **data, unsigned *n)
{
	switch (port) {
	case 0x3c4: case 0x3c5: *data = v->s.seq; *n = sizeof v->s.seq; return &v->s.seq_i;
	case 0x3ce: case 0x3cf: *data = v->s.gfx; *n = sizeof v->s.gfx; return &v->s.gfx_i;
	default:                *data = v->s.crtc; *n = sizeof v->s.crtc; return &v->s.crtc_i;
	}
}

static uint8_t input_status_1(struct vga *v)
{
	cycle_t now = chip_now(&v->chip), frame = chip_ns(&v->chip, FRAME_NS),
	        line = chip_ns(&v->chip, LINE_NS);
	v->s.attr_data = 0;
	cycle_t at = frame ? now % frame : 0;
	if (at >= chip_ns(&v->chip, VISIBLE_NS))
		return IS1_VRETRACE | IS1_DISABLED;
	return line && at % line >= line - line / 5 ? IS1_DISABLED : 0;
}

static uint64_t vga_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct vga *v = dev;
	uint8_t *data, *index;
	unsigned port = 0x3c0 + (unsigned)off, n;
	(void)size, (void)at;
	switch (port) {
	case 0x3c0: return v->s.attr_i;
	case 0x3c1: return v->s.attr[v->s.attr_i & 31];
	case 0x3c2: return 0x10;                                /* a monitor is there */
	case 0x3c6: return v->s.dac_mask;
	case 0x3c7: return v->s.dac_state;
	case 0x3c8: return v->s.dac_write / 3 & 0xff;
	case 0x3c9: {
		uint8_t b = v->s.dac[v->s.dac_read % sizeof v->s.dac];
		v->s.dac_read = (v->s.dac_read + 1) % sizeof v->s.dac;
		return b;
	}
	case 0x3ca: return v->s.feature;
	case 0x3cc: return v->s.misc;
	case 0x3da: return input_status_1(v);
	case 0x3c4: case 0x3ce: case 0x3d4:
		return *index_reg(v, port, &data, &n);
	case 0x3c5: case 0x3cf: case 0x3d5:
		index = index_reg(v, port, &data, &n);
		return *index < n ? data[*index] : 0;
	default:
		return 0xff;
	}
}

static void attr_write(struct vga *v, uint8_t b)
{
	if (!v->s.attr_data)
		v->s.attr_i = b & 0x3f;
	else if ((v->s.attr_i & 31) < 0x15)
		v->s.attr[v->s.attr_i & 31] = b;
	v->s.attr_data ^= 1;
}

static void vga_write(void *dev, uint64_t off, unsigned size, uint64_t val, struct io_at *at)
{
	struct vga *v = dev;
	uint8_t *data, *index, b = (uint8_t)val;
	unsigned port = 0x3c0 + (unsigned)off, n;
	(void)size, (void)at;
	switch (port) {
	case 0x3c0: attr_write(v, b); break;
	case 0x3c2: v->s.misc = b; break;
	case 0x3c6: v->s.dac_mask = b; break;
	case 0x3c7: v->s.dac_read = b * 3; v->s.dac_state = 3; break;
	case 0x3c8: v->s.dac_write = b * 3; v->s.dac_state = 0; break;
	case 0x3c9:
		v->s.dac[v->s.dac_write % sizeof v->s.dac] = b & 0x3f;
		v->s.dac_write = (v->s.dac_write + 1) % sizeof v->s.dac;
		break;
	case 0x3da: v->s.feature = b; break;
	case 0x3c4: case 0x3ce: case 0x3d4:
		*index_reg(v, port, &data, &n) = b;
		break;
	case 0x3c5: case 0x3cf: case 0x3d5:
		index = index_reg(v, port, &data, &n);
		if (*index >= n || (port == 0x3d5 && *index < 8 &&
		                    v->s.crtc[CRTC_RETRACE_END] & CRTC_PROTECT))
			break;
		data[*index] = b;
		break;
	}
}

/* Index and data registers are often written as one word: the bus splits it, low byte first. */
const struct io_ops vga_io = { vga_read, vga_write, 1, 1, true };

static uint64_t text_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct vga *v = dev;
	uint64_t value = 0;
	(void)at;
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)v->s.text[(off + i) % VGA_TEXT_BYTES] << 8 * i;
	return value;
}
static void text_write(void *dev, uint64_t off, unsigned size, uint64_t value, struct io_at *at)
{
	struct vga *v = dev;
	(void)at;
	for (unsigned i = 0; i < size; i++)
		v->s.text[(off + i) % VGA_TEXT_BYTES] = (uint8_t)(value >> 8 * i);
}
const struct io_ops vga_text_io = { text_read, text_write, 1, 8, true };

/* Code page 437 beyond ASCII, as Unicode. */
static const uint16_t cp437_low[32] = {
	' ', 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9, 0x2642,
	        0x2640, 0x266a, 0x266b, 0x263c,
	0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8, 0x2191, 0x2193, 0x2192,
	        0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
};
static const uint16_t cp437_high[129] = {
	0x2302,
	0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8,
	        0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
	0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc,
	        0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192,
	0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac,
	        0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
	0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551,
	        0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
	0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569,
	        0x2566, 0x2560, 0x2550, 0x256c, 0x2567,
	0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c,
	        0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
	0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9,
	        0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
	0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248, 0x00b0, 0x2219, 0x00b7,
	        0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

static size_t put_utf8(char *out, uint8_t c)
{
	unsigned u = c < 32 ? cp437_low[c] : c < 127 ? c : cp437_high[c - 127];
	if (u < 0x80) {
		out[0] = (char)u;
		return 1;
	}
	if (u < 0x800) {
		out[0] = (char)(0xc0 | u >> 6);
		out[1] = (char)(0x80 | (u & 63));
		return 2;
	}
	out[0] = (char)(0xe0 | u >> 12);
	out[1] = (char)(0x80 | (u >> 6 & 63));
	out[2] = (char)(0x80 | (u & 63));
	return 3;
}

void vga_screen_text(const struct vga *v, char lines[25][80 * 4 + 1])
{
	unsigned start = (unsigned)v->s.crtc[CRTC_START_HIGH] << 8 | v->s.crtc[CRTC_START_LOW];
	for (unsigned row = 0; row < ROWS; row++) {
		size_t n = 0, end = 0;
		for (unsigned col = 0; col < COLUMNS; col++) {
			uint8_t c = v->s.text[2 * (start + row * COLUMNS + col) % VGA_TEXT_BYTES];
			n += put_utf8(lines[row] + n, c);
			if (c != ' ' && c != 0)
				end = n;
		}
		lines[row][end] = '\0';
	}
}

static void reset(void *dev)
{
	struct vga *v = dev;
	static const uint8_t crtc[25] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
	                                  0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00,
	                                  0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3,
	                                  0xff };
	static const uint8_t seq[5] = { 0x03, 0x00, 0x03, 0x00, 0x02 };
	static const uint8_t gfx[9] = { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x00, 0xff };
	static const uint8_t attr[21] = { 0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c,
	                                  0x3d, 0x3e, 0x3f, 0x0c, 0, 0x0f, 8, 0 };
	memset(&v->s, 0, sizeof v->s);
	memcpy(v->s.crtc, crtc, sizeof crtc);
	memcpy(v->s.seq, seq, sizeof seq);
	memcpy(v->s.gfx, gfx, sizeof gfx);
	memcpy(v->s.attr, attr, sizeof attr);
	v->s.attr_i = 0x20;
	v->s.misc = 0x67;
	v->s.dac_mask = 0xff;
	for (unsigned i = 0; i < VGA_TEXT_BYTES; i += 2) {
		v->s.text[i] = ' ';
		v->s.text[i + 1] = 0x07;
	}
}

static const struct field_row fields[] = {
	FIELD(vga_state, misc, "misc", "Miscellaneous Output Register"),
	FIELD(vga_state, crtc[CRTC_START_HIGH], "crtc.start_high", "Start Address High"),
	FIELD(vga_state, crtc[CRTC_START_LOW], "crtc.start_low", "Start Address Low"),
	FIELD(vga_state, crtc[CRTC_CURSOR_HIGH], "crtc.cursor_high", "Cursor Location High"),
	FIELD(vga_state, crtc[CRTC_CURSOR_LOW], "crtc.cursor_low", "Cursor Location Low"),
	FIELD(vga_state, seq_i, "seq.index", "Sequencer index"),
	FIELD(vga_state, gfx_i, "gfx.index", "Graphics Controller index"),
	FIELD(vga_state, attr_i, "attr.index", "Attribute Controller index"),
};

const struct dev_ops vga_dev = { DEV_STATE(vga), .reset = reset, DEV_FIELDS(fields) };
