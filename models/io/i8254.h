/* i8254.h - the 8254 interval timer and system control port B (61H), which holds counter 2's gate
 * and output. */
#ifndef IO_I8254_H
#define IO_I8254_H

#include "models/io/chip.h"

#define I8254_HZ 1193182u

struct i8254_counter {          /* plain */
	uint64_t start;                 /* tick at which the element was loaded with `count` */
	/* ticks counted before the gate last closed (modes 0 and 4) */
	uint64_t held;
	uint32_t count;                 /* loaded into the counting element: 1..65536 */
	/* count register waiting for the end of the period or a trigger; 0: none */
	uint32_t next;
	uint16_t latch;                 /* latched count */
	uint8_t control;                /* RW1 RW0 M2 M1 M0 BCD */
	uint8_t status;                 /* latched status */
	uint8_t low;                    /* first byte of a two-byte write */
	uint8_t write_high, read_high;  /* flip-flops of two-byte access */
	uint8_t latched;                /* bytes of `latch` still to be read */
	uint8_t status_latched;
	/* counting was started by a load, or a trigger in modes 1 and 5 */
	uint8_t loaded;
	uint8_t stopped;                /* mode 0: between the bytes of a new count */
	uint8_t gate, pad;
};
struct i8254_state {
	struct i8254_counter c[3];
	uint8_t port_b;                 /* 61H: what was written, bits 3:0 */
	uint8_t out0, pad[6];
};

struct i8254 {
	struct chip chip;
	struct i8254_state s;
	struct irq_wire irq;            /* OUT0 */
};

extern const struct dev_ops i8254_dev;
extern const struct io_ops i8254_io, port_b_io;

#endif
