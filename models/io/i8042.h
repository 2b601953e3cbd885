/* i8042.h - the keyboard controller with a PS/2 keyboard, and system control port A (92H). */
#ifndef IO_I8042_H
#define IO_I8042_H

#include "models/io/chip.h"

#define KBD_QUEUE 256                   /* bytes on their way from the keyboard; a power of two */

struct i8042_state {            /* plain */
	uint8_t ram[32];                /* controller RAM; byte 0 is the command byte */
	uint8_t status, out, outport, port_a;
	uint8_t command;                /* controller command waiting for its data byte; 0: none */
	uint8_t kbd_command;            /* keyboard command waiting for its data byte */
	uint8_t kbd_last;               /* last byte sent, for RESEND */
	uint8_t kbd_scanning, kbd_leds, kbd_set;
	uint8_t pad[2];
	uint32_t head, tail;            /* of the queue, free-running */
	uint8_t queue[KBD_QUEUE];
};

struct i8042 {
	struct chip chip;
	struct i8042_state s;
	struct irq_wire irq;            /* IRQ1 */
};

extern const struct dev_ops i8042_dev;
extern const struct io_ops i8042_data_io, i8042_command_io, port_a_io;

/* Scan codes of set 1, as a person would type them; translated to what the guest has chosen. */
void i8042_keys(struct i8042 *k, const uint8_t *scancodes, size_t n);

#endif
