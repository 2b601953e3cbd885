/* The 16550A. Sentences in quotes: National Semiconductor PC16550D data sheet. */
#include "rig.h"

#include "models/io/uart16550.h"

enum { RBR = 0x3f8, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define CHAR 2000u

struct com { struct rig *r; struct uart16550 u; char out[64]; size_t n; };

static void sent(void *who, const uint8_t *bytes, size_t n)
{
	struct com *c = who;
	for (size_t i = 0; i < n && c->n < sizeof c->out - 1; i++)
		c->out[c->n++] = (char)bytes[i];
}
static struct com *com_new(void)
{
	struct com *c = calloc(1, sizeof *c);
	c->r = rig_new(1000000000);
	c->u.irq = rig_wire(c->r, 4);
	c->u.sent = sent;
	c->u.who = c;
	chip_init(&c->u.chip, "com1", &uart16550_dev, &c->r->env);
	bus_map(&c->r->bus, BUS_PORT, 0x3f8, 8, &uart16550_io, &c->u);
	return c;
}
static void com_free(struct com *c)
{
	rig_free(c->r);
	free(c);
}
static void type(struct com *c, const char *s) { uart16550_input(&c->u, (const uint8_t *)s, strlen(s)); }

Test(uart16550, what_is_written_is_sent)
{
	struct com *c = com_new();
	for (const char *s = "hello"; *s; s++) {
		while (!(in8(c->r, LSR) & 0x20))
			rig_run(c->r, 100);
		out8(c->r, RBR, (uint8_t)*s);
	}
	cr_expect(eq(str, c->out, "hello"));
	cr_expect(eq(u8, in8(c->r, LSR) & 0x40, 0));
	rig_run(c->r, 2 * CHAR);
	cr_expect(eq(u8, in8(c->r, LSR), 0x60));
	com_free(c);
}

Test(uart16550, scratch_divisor_and_identity)
{
	struct com *c = com_new();
	out8(c->r, SCR, 0xa5);
	cr_expect(eq(u8, in8(c->r, SCR), 0xa5));
	out8(c->r, LCR, 0x83);
	out8(c->r, RBR, 0x0c);
	out8(c->r, IER, 0x01);
	cr_expect(eq(u8, in8(c->r, RBR), 0x0c));
	out8(c->r, LCR, 0x03);
	cr_expect(eq(u32, c->u.s.divisor, 0x10c));
	cr_expect(eq(u8, in8(c->r, IER), 0));
	out8(c->r, IER, 0xff);
	cr_expect(eq(u8, in8(c->r, IER), 0x0f), "bits 7:4 are zero");
	cr_expect(eq(u8, in8(c->r, IIR) & 0xc0, 0));
	out8(c->r, IIR, 1);
	cr_expect(eq(u8, in8(c->r, IIR) & 0xc0, 0xc0), "FIFOs on: a 16550A");
	com_free(c);
}

/* "the interrupt is cleared by reading the IIR (if source of interrupt) or writing into the THR" */
Test(uart16550, transmitter_empty_interrupt)
{
	struct com *c = com_new();
	out8(c->r, MCR, 0x08);
	out8(c->r, IER, 0x02);
	cr_expect(c->r->lamp[4], "enabling it while empty interrupts");
	cr_expect(eq(u8, in8(c->r, IIR), 0x02));
	cr_expect(not(c->r->lamp[4]));
	cr_expect(eq(u8, in8(c->r, IIR), 0x01));
	out8(c->r, RBR, 'x');
	cr_expect(not(c->r->lamp[4]));
	rig_run(c->r, CHAR);
	cr_expect(c->r->lamp[4]);
	com_free(c);
}

/* xv6 clears MCR and lives on receiver interrupts. */
Test(uart16550, the_interrupt_needs_no_out2)
{
	struct com *c = com_new();
	out8(c->r, MCR, 0);
	out8(c->r, IER, 0x01);
	type(c, "x");
	rig_run(c->r, CHAR);
	cr_expect(c->r->lamp[4]);
	com_free(c);
}

Test(uart16550, received_characters_wait_for_room)
{
	struct com *c = com_new();
	type(c, "ab");
	rig_run(c->r, CHAR);
	cr_expect(eq(u8, in8(c->r, LSR) & 0x03, 0x01));
	rig_run(c->r, 10 * CHAR);
	cr_expect(eq(u8, in8(c->r, RBR), 'a'));
	cr_expect(eq(u8, in8(c->r, LSR) & 0x03, 0x00), "no overrun");
	rig_run(c->r, CHAR);
	cr_expect(eq(u8, in8(c->r, RBR), 'b'));
	com_free(c);
}

/* "the FIFO has reached its trigger level"; time-out: "no characters ... during the last 4 char. times and there is at
 * least 1 char. in it" */
Test(uart16550, fifo_trigger_and_timeout)
{
	struct com *c = com_new();
	out8(c->r, MCR, 0x08);
	out8(c->r, IIR, 0x81);          /* trigger at 8 */
	out8(c->r, IER, 0x01);
	type(c, "12345678");
	rig_run(c->r, 7 * CHAR);
	cr_expect(not(c->r->lamp[4]));
	rig_run(c->r, CHAR);
	cr_expect(eq(u8, in8(c->r, IIR), 0xc4));
	for (char want = '1'; want <= '8'; want++)
		cr_expect(eq(u8, in8(c->r, RBR), (uint8_t)want));
	cr_expect(not(c->r->lamp[4]));
	type(c, "z");
	rig_run(c->r, CHAR);
	cr_expect(not(c->r->lamp[4]));
	rig_run(c->r, 4 * CHAR);
	cr_expect(eq(u8, in8(c->r, IIR), 0xcc));
	in8(c->r, RBR);
	cr_expect(not(c->r->lamp[4]));
	com_free(c);
}

/* Loopback: "the transmitter ... is set to the marking state; ... looped back into the Receiver"; DTR RTS OUT1 OUT2 are
 * "internally connected to the four MODEM Control inputs" */
Test(uart16550, loopback)
{
	struct com *c = com_new();
	out8(c->r, MCR, 0x1a);
	cr_expect(eq(u8, in8(c->r, MSR) & 0xf0, 0x90), "RTS -> CTS, OUT2 -> DCD");
	out8(c->r, MCR, 0x15);
	cr_expect(eq(u8, in8(c->r, MSR) & 0xf0, 0x60), "DTR -> DSR, OUT1 -> RI");
	out8(c->r, RBR, 0x42);
	cr_expect(eq(u8, in8(c->r, LSR) & 1, 1));
	cr_expect(eq(u8, in8(c->r, RBR), 0x42));
	cr_expect(eq(sz, c->n, 0), "nothing reaches the line");
	out8(c->r, RBR, 1);
	out8(c->r, RBR, 2);
	cr_expect(eq(u8, in8(c->r, LSR) & 2, 2), "overrun");
	cr_expect(eq(u8, in8(c->r, LSR) & 2, 0), "cleared by reading");
	cr_expect(eq(u8, in8(c->r, RBR), 2));
	com_free(c);
}

Test(uart16550, modem_status_deltas_clear_on_reading)
{
	struct com *c = com_new();
	cr_expect(eq(u8, in8(c->r, MSR), 0xb0));
	out8(c->r, MCR, 0x10);
	cr_expect(eq(u8, in8(c->r, MSR), 0x0b));
	cr_expect(eq(u8, in8(c->r, MSR), 0x00));
	com_free(c);
}

Test(uart16550, typed_ahead_input_is_bounded)
{
	struct com *c = com_new();
	char *big = malloc(UART_QUEUE + 11);
	memset(big, 'x', UART_QUEUE + 10);
	big[UART_QUEUE + 10] = 0;
	type(c, big);
	cr_expect(eq(u64, c->r->stat[IO_STAT_INPUT_LOST], 10));
	free(big);
	com_free(c);
}
