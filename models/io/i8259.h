/* i8259.h - the pair of 8259A interrupt controllers, master and slave. */
#ifndef IO_I8259_H
#define IO_I8259_H

#include "models/io/chip.h"

struct i8259_one {              /* plain: one chip */
	uint8_t lines;                  /* levels on IR0..IR7 */
	uint8_t edge;                   /* rising edges not yet acknowledged */
	uint8_t imr, isr;
	uint8_t elcr;                   /* 1: level-triggered */
	uint8_t base;                   /* ICW2: vector of IR0 */
	uint8_t icw1, icw3, icw4;
	uint8_t step;                   /* next initialisation word expected: 0 none, 2, 3, 4 */
	uint8_t lowest;                 /* IR with the lowest priority */
	uint8_t special_mask, rotate_aeoi, read_isr, poll;
	uint8_t out;                    /* INT pin */
};
struct i8259_state { struct i8259_one chip[2]; };

struct i8259 {
	struct chip chip;
	struct i8259_state s;
	struct irq_wire intr;           /* the master's INT */
};

extern const struct dev_ops i8259_dev;
extern const struct io_ops i8259_master_io, i8259_slave_io, i8259_elcr_io;

void i8259_set(struct i8259 *p, unsigned irq, bool level);      /* 0..15; 2 is the cascade and ignored */
bool i8259_pending(struct i8259 *p);
uint8_t i8259_acknowledge(struct i8259 *p);                     /* the INTA cycles: yields a vector */

#endif
