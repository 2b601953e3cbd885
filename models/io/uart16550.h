/* uart16550.h - a 16550A serial port. */
#ifndef IO_UART16550_H
#define IO_UART16550_H

#include "models/io/chip.h"

#define UART_FIFO  16
#define UART_QUEUE 16384                /* bytes typed ahead; a power of two */

struct uart16550_state {        /* plain */
	uint8_t ier, fcr, lcr, mcr, lsr, msr, scr;
	uint8_t thri;                   /* transmitter-empty interrupt pending */
	uint8_t timeout;                /* character-timeout indication */
	uint8_t irq, rx_n, rx_head;
	uint16_t divisor, pad;
	cycle_t tx_done;                /* when the last character will have left */
	uint8_t rx[UART_FIFO];
	uint8_t rx_err[UART_FIFO];      /* LSR bits of each character */
	uint32_t head, tail;            /* of the queue, free-running */
	uint8_t queue[UART_QUEUE];
};

struct uart16550 {
	struct chip chip;
	struct uart16550_state s;
	struct irq_wire irq;
	void (*sent)(void *who, const uint8_t *bytes, size_t n);
	void *who;
};

extern const struct dev_ops uart16550_dev;
extern const struct io_ops uart16550_io;

void uart16550_input(struct uart16550 *u, const uint8_t *bytes, size_t n);

#endif
