/* uart16550.c - a serial port with FIFOs: COM1 at 3F8H, IRQ4.
 * Source: National Semiconductor PC16550D data sheet; TL16C550C for the FIFO time-out.
 *
 *   IER  EDSSI ELSI ETBEI ERBFI            LSR  ERR TEMT THRE BI FE PE OE DR
 *   IIR  FIFO FIFO 0 0 ID2 ID1 ID0 /IP     MCR  LOOP OUT2 OUT1 RTS DTR
 *   FCR  RXT1 RXT0 - - DMA XRES RRES EN    MSR  DCD RI DSR CTS dDCD TERI dDSR dCTS
 *
 * A character takes 2 us to send whatever the divisor says: long enough that polling loops and transmitter interrupts
 * both do their work, short enough that a console does not rule the simulated time. Characters received come at the
 * same pace, and wait outside while the receiver is full: the other end honours flow control, nothing overruns.
 * The interrupt reaches the bus whatever MCR.OUT2 says, as in QEMU: IBM's gate is missing on many boards, and kernels
 * (xv6) leave OUT2 clear and wait for interrupts.
 * Simplified: no parity, framing or break from the line (a break is seen in loopback). */
#include "models/io/uart16550.h"

#include <string.h>

#define IER_RDA 0x01
#define IER_THRE 0x02
#define IER_LS  0x04
#define IER_MS  0x08
#define FCR_EN  0x01
#define FCR_RRES 0x02
#define FCR_XRES 0x04
#define LCR_DLAB 0x80
#define LCR_BREAK 0x40
#define MCR_LOOP 0x10
#define LSR_DR  0x01
#define LSR_OE  0x02
#define LSR_BI  0x10
#define LSR_ERRORS 0x1e
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define LSR_FIFO_ERR 0x80
#define MSR_ATTACHED 0xb0               /* DCD, DSR, CTS: somebody listens */

#define CHAR_NS 2000u

enum { EV_TX, EV_RX, EV_TIMEOUT };

static bool fifo(const struct uart16550 *u) { return u->s.fcr & FCR_EN; }
static unsigned trigger(const struct uart16550 *u)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };
	return fifo(u) ? level[u->s.fcr >> 6] : 1;
}
static cycle_t char_time(const struct uart16550 *u) { return chip_ns(&u->chip, CHAR_NS); }

static uint8_t lsr(const struct uart16550 *u)
{
	cycle_t now = chip_now(&u->chip);
	uint8_t v = u->s.lsr & LSR_OE;
	if (u->s.rx_n)
		v |= LSR_DR | (u->s.rx_err[u->s.rx_head] & LSR_ERRORS);
	for (unsigned i = 0; fifo(u) && i < u->s.rx_n; i++)
		if (u->s.rx_err[(u->s.rx_head + i) % UART_FIFO])
			v |= LSR_FIFO_ERR;
	if (now + char_time(u) >= u->s.tx_done)         /* the last one is in the shift register */
		v |= LSR_THRE;
	if (now >= u->s.tx_done)
		v |= LSR_TEMT;
	return v;
}

/* Highest-priority interrupt: line status, received data, time-out, transmitter empty, modem
 * status; 1: none. */
static uint8_t iir(const struct uart16550 *u)
{
	if (u->s.ier & IER_LS && lsr(u) & LSR_ERRORS)
		return 0x06;
	if (u->s.ier & IER_RDA && u->s.rx_n >= trigger(u))
		return 0x04;
	if (u->s.ier & IER_RDA && u->s.timeout && u->s.rx_n)
		return 0x0c;
	if (u->s.ier & IER_THRE && u->s.thri)
		return 0x02;
	if (u->s.ier & IER_MS && u->s.msr & 0x0f)
		return 0x00;
	return 0x01;
}

static void update(struct uart16550 *u)
{
	bool irq = !(iir(u) & 1);
	if (irq != u->s.irq) {
		u->s.irq = irq;
		irq_set(&u->irq, irq);
	}
}

static void at_time(struct uart16550 *u, uint32_t code, cycle_t when)
{
	evq_cancel(u->chip.env->evq, u->chip.owner, code);
	evq_add(u->chip.env->evq, u->chip.owner, when, code, 0);
}

/* ---- transmitter ---- */
static void receive(struct uart16550 *u, uint8_t byte, uint8_t err);

/* Tell about THR empty: now, or when the event comes. */
static void thr_empty(struct uart16550 *u)
{
	if (lsr(u) & LSR_THRE)
		u->s.thri = 1;
	else if (u->s.ier & IER_THRE)
		at_time(u, EV_TX, u->s.tx_done - char_time(u));
}

static void transmit(struct uart16550 *u, uint8_t byte)
{
	cycle_t now = chip_now(&u->chip);
	u->s.thri = 0;
	if (u->s.mcr & MCR_LOOP) {
		receive(u, byte, 0);
		u->s.thri = 1;
		return;
	}
	chip_count(&u->chip, IO_STAT_UART_TX);
	chip_trace(&u->chip, IO_TRACE_UART_TX, byte, 0, 0, 0);
	if (u->sent)
		u->sent(u->who, &byte, 1);
	/* a guest that writes faster than it may does not stretch time without end: a full
	 * FIFO's worth */
	cycle_t most = now + (UART_FIFO + 1) * char_time(u);
	u->s.tx_done = (u->s.tx_done > now ? u->s.tx_done : now) + char_time(u);
	if (u->s.tx_done > most)
		u->s.tx_done = most;
	if (u->s.tx_done > now + char_time(u) || !(u->s.ier & IER_THRE))
		thr_empty(u);
	else    /* straight into the shift register: THR is empty again after a moment, an edge software can see */
		at_time(u, EV_TX, now + char_time(u) / 16);
}

/* ---- receiver ---- */
static void receive(struct uart16550 *u, uint8_t byte, uint8_t err)
{
	unsigned room = fifo(u) ? UART_FIFO : 1;
	if (u->s.rx_n >= room) {
		u->s.lsr |= LSR_OE;
		if (fifo(u))
			return;                 /* the FIFO keeps what it has; a single register is overwritten */
		u->s.rx_n = 0;
	}
	unsigned i = (u->s.rx_head + u->s.rx_n) % UART_FIFO;
	u->s.rx[i] = byte;
	u->s.rx_err[i] = err;
	u->s.rx_n++;
	u->s.timeout = 0;
	if (u->s.rx_n < trigger(u) && u->s.ier & IER_RDA)
		at_time(u, EV_TIMEOUT, chip_now(&u->chip) + 4 * char_time(u));
}

static void pump(struct uart16550 *u)
{
	evq_cancel(u->chip.env->evq, u->chip.owner, EV_RX);
	if (u->s.head != u->s.tail && u->s.rx_n < (fifo(u) ? UART_FIFO : 1u))
		evq_add(u->chip.env->evq, u->chip.owner, chip_now(&u->chip) + char_time(u), EV_RX,
		        0);
}

void uart16550_input(struct uart16550 *u, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (u->s.head - u->s.tail == UART_QUEUE) {
			u->chip.env->stat[IO_STAT_INPUT_LOST] += n - i;
			break;
		}
		u->s.queue[u->s.head++ % UART_QUEUE] = bytes[i];
	}
	pump(u);
}

static void event(void *dev, cycle_t now, uint32_t code, uint64_t arg)
{
	struct uart16550 *u = dev;
	(void)arg;
	bus_clock(u->chip.env->bus, now);
	if (code == EV_TX)
		thr_empty(u);
	else if (code == EV_TIMEOUT)
		u->s.timeout = u->s.rx_n > 0;
	else if (u->s.head != u->s.tail && u->s.rx_n < (fifo(u) ? UART_FIFO : 1u)) {
		uint8_t byte = u->s.queue[u->s.tail++ % UART_QUEUE];
		chip_count(&u->chip, IO_STAT_UART_RX);
		chip_trace(&u->chip, IO_TRACE_UART_RX, byte, 0, 0, 0);
		receive(u, byte, 0);
		pump(u);
	}
	update(u);
}

static void flush_rx(struct uart16550 *u)
{
	u->s.rx_n = u->s.rx_head = u->s.timeout = 0;
	pump(u);
}

/* Modem inputs: the line's, or in loopback the outputs DTR RTS OUT1 OUT2 -> DSR CTS RI DCD. */
static uint8_t modem_inputs(const struct uart16550 *u)
{
	uint8_t m = u->s.mcr;
	if (!(m & MCR_LOOP))
		return MSR_ATTACHED;
	return (uint8_t)((m & 1) << 5 | (m & 2) << 3 | (m & 4) << 4 | (m & 8) << 4);
}

static void modem(struct uart16550 *u)
{
	uint8_t old = u->s.msr & 0xf0, in = modem_inputs(u), delta = (old ^ in) >> 4;
	delta &= (uint8_t)~0x04;
	if (old & 0x40 && !(in & 0x40))
		delta |= 0x04;                  /* TERI: trailing edge of RI only */
	u->s.msr = in | (u->s.msr & 0x0f) | delta;
}

static uint64_t uart_read(void *dev, uint64_t off, unsigned size, struct io_at *at)
{
	struct uart16550 *u = dev;
	uint8_t v = 0;
	(void)size, (void)at;
	switch (off) {
	case 0:
		if (u->s.lcr & LCR_DLAB)
			return u->s.divisor & 0xff;
		if (u->s.rx_n) {
			v = u->s.rx[u->s.rx_head];
			u->s.rx_head = (u->s.rx_head + 1) % UART_FIFO;
			u->s.rx_n--;
			u->s.timeout = 0;
			if (u->s.rx_n && u->s.ier & IER_RDA)
				at_time(u, EV_TIMEOUT, chip_now(&u->chip) + 4 * char_time(u));
			pump(u);
		}
		break;
	case 1:
		return u->s.lcr & LCR_DLAB ? u->s.divisor >> 8 : u->s.ier;
	case 2:
		v = iir(u);
		if (v == 0x02)
			u->s.thri = 0;          /* "reading the IIR (if source of interrupt)" */
		v |= fifo(u) ? 0xc0 : 0;
		break;
	case 3: return u->s.lcr;
	case 4: return u->s.mcr;
	case 5:
		v = lsr(u);
		u->s.lsr = 0;
		if (u->s.rx_n)
			u->s.rx_err[u->s.rx_head] = 0;
		break;
	case 6:
		v = u->s.msr;
		u->s.msr &= 0xf0;
		break;
	case 7: return u->s.scr;
	}
	update(u);
	return v;
}

static void uart_write(void *dev, uint64_t off, unsigned size, uint64_t val, struct io_at *at)
{
	struct uart16550 *u = dev;
	uint8_t v = (uint8_t)val, changed;
	(void)size, (void)at;
	switch (off) {
	case 0:
		if (u->s.lcr & LCR_DLAB)
			u->s.divisor = (u->s.divisor & 0xff00) | v;
		else
			transmit(u, v);
		break;
	case 1:
		if (u->s.lcr & LCR_DLAB) {
			u->s.divisor = (uint16_t)((u->s.divisor & 0xff) | v << 8);
			break;
		}
		changed = u->s.ier ^ v;
		u->s.ier = v & 0x0f;
		if (changed & v & IER_THRE)
			thr_empty(u);           /* enabling it while THR is empty interrupts at once */
		if (changed & v & IER_RDA && u->s.rx_n && u->s.rx_n < trigger(u))
			at_time(u, EV_TIMEOUT, chip_now(&u->chip) + 4 * char_time(u));
		break;
	case 2:
		changed = u->s.fcr ^ v;
		u->s.fcr = v & 0xc9;
		if (v & FCR_RRES || changed & FCR_EN)
			flush_rx(u);            /* switching FIFOs on or off clears them */
		break;
	case 3:
		if (v & ~u->s.lcr & LCR_BREAK && u->s.mcr & MCR_LOOP)
			receive(u, 0, LSR_BI);
		u->s.lcr = v;
		break;
	case 4:
		u->s.mcr = v & 0x1f;
		modem(u);
		break;
	case 7: u->s.scr = v; break;
	}
	update(u);
}

const struct io_ops uart16550_io = { uart_read, uart_write, 1, 1, false };

static void reset(void *dev)
{
	struct uart16550 *u = dev;
	struct evq *q = u->chip.env->evq;
	for (uint32_t code = EV_TX; code <= EV_TIMEOUT; code++)
		evq_cancel(q, u->chip.owner, code);
	u->s.ier = u->s.fcr = u->s.lcr = u->s.mcr = u->s.lsr = u->s.thri = u->s.timeout = 0;
	u->s.msr = MSR_ATTACHED;
	u->s.divisor = 12;
	u->s.tx_done = 0;
	u->s.rx_n = u->s.rx_head = 0;
	update(u);
	pump(u);
}

static const struct field_bits ier_bits[] = {
	{ 0, 0, "erbfi", "received data" }, { 1, 1, "etbei", "transmitter empty" }, { 2, 2, "elsi", "line status" },
	{ 3, 3, "edssi", "modem status" }, { 0, 0, NULL, NULL },
};
static const struct field_row fields[] = {
	FIELD_BITS(uart16550_state, ier, "ier", ier_bits, "Interrupt Enable Register"),
	FIELD(uart16550_state, fcr, "fcr", "FIFO Control Register"),
	FIELD(uart16550_state, lcr, "lcr", "Line Control Register"),
	FIELD(uart16550_state, mcr, "mcr", "Modem Control Register"),
	FIELD(uart16550_state, msr, "msr", "Modem Status Register"),
	FIELD(uart16550_state, scr, "scr", "Scratch Register"),
	FIELD(uart16550_state, divisor, "divisor", "Divisor Latch"),
	FIELD(uart16550_state, rx_n, "rx", "characters in the receiver"),
	FIELD(uart16550_state, irq, "irq", "interrupt line"),
};

static bool valid(void *dev, const void *state)
{
	struct uart16550_state s;
	(void)dev;
	memcpy(&s, state, sizeof s);
	return s.rx_head < UART_FIFO && s.rx_n <= UART_FIFO;
}

const struct dev_ops uart16550_dev = { DEV_STATE(uart16550), .reset = reset, .event = event,
                                       .valid = valid, DEV_FIELDS(fields) };
