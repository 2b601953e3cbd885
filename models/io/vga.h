/* vga.h - a VGA in 80x25 text mode. */
#ifndef IO_VGA_H
#define IO_VGA_H

#include "models/io/chip.h"

#define VGA_TEXT_BASE  0xb8000u
#define VGA_TEXT_BYTES 0x8000u

struct vga_state {              /* plain */
	uint8_t text[VGA_TEXT_BYTES];   /* character, attribute */
	uint8_t crtc[32], seq[8], gfx[16], attr[32], dac[768];
	uint8_t crtc_i, seq_i, gfx_i, attr_i;
	uint8_t attr_data;              /* flip-flop: the next write to 3C0H is data */
	uint8_t misc, feature, dac_mask;
	uint16_t dac_read, dac_write;   /* byte positions in dac[] */
	uint8_t dac_state, pad[3];
};

struct vga {
	struct chip chip;
	struct vga_state s;
};

extern const struct dev_ops vga_dev;
extern const struct io_ops vga_io, vga_text_io;

void vga_screen_text(const struct vga *v, char lines[25][80 * 4 + 1]);  /* UTF-8, trailing blanks kept off */

#endif
