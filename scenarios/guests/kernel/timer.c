/* timer.c - the two 8259 interrupt controllers and channel 0 of the 8254 timer.
 * Sources: Intel 8259A and 82C54 data sheets.                                    */
#include "kernel.h"

enum {
	PIC1 = 0x20, PIC2 = 0xA0,	/* command; data at + 1 */
	ICW1 = 0x11,			/* initialise, ICW4 follows, cascade, edge-triggered */
	ICW4 = 0x01,			/* 8086 mode */
	OCW2_EOI = 0x20,
	OCW3_READ_ISR = 0x0B,
	CASCADE = 2,			/* the second chip hangs on this line of the first */
	PIT_CHANNEL0 = 0x40, PIT_MODE = 0x43,
	PIT_RATE_GENERATOR = 0x34,	/* channel 0, low byte then high byte, mode 2 */
	PIT_HZ = 1193182,
};

static uint32_t ticks, ticks_per_second;

void pic_init(void)
{
	outb(PIC1, ICW1);
	outb(PIC2, ICW1);
	outb(PIC1 + 1, VEC_IRQ);
	outb(PIC2 + 1, VEC_IRQ + 8);
	outb(PIC1 + 1, 1 << CASCADE);
	outb(PIC2 + 1, CASCADE);
	outb(PIC1 + 1, ICW4);
	outb(PIC2 + 1, ICW4);
	outb(PIC1 + 1, (uint8_t)~(1 << CASCADE));	/* all lines masked but the second chip's */
	outb(PIC2 + 1, 0xFF);
}

void pic_enable(unsigned irq, bool on)
{
	uint16_t port = irq < 8 ? PIC1 + 1 : PIC2 + 1;
	uint8_t bit = (uint8_t)(1 << irq % 8), mask = inb(port);

	outb(port, on ? mask & (uint8_t)~bit : mask | bit);
}

/* End of interrupt.  A chip whose request went away says line 7 without an in-service bit: such a
 * spurious interrupt is not acknowledged there; false.                                           */
bool pic_acknowledge(unsigned irq)
{
	uint16_t chip = irq < 8 ? PIC1 : PIC2;
	bool spurious = false;

	if (irq % 8 == 7) {
		outb(chip, OCW3_READ_ISR);
		spurious = !(inb(chip) & 0x80);
	}
	if (!spurious)
		outb(chip, OCW2_EOI);
	if (irq >= 8)
		outb(PIC1, OCW2_EOI);
	return !spurious;
}

/* hz = 0 stops the timer. */
void timer_start(uint32_t hz)
{
	ticks_per_second = hz;
#ifdef PV
	clock_start(hz);		/* pv.c */
#else
	pic_enable(IRQ_TIMER, false);
	if (!hz)
		return;
	outb(PIT_MODE, PIT_RATE_GENERATOR);
	outb(PIT_CHANNEL0, (uint8_t)(PIT_HZ / hz));
	outb(PIT_CHANNEL0, (uint8_t)(PIT_HZ / hz >> 8));
	pic_enable(IRQ_TIMER, true);
#endif
}

void timer_tick(void)
{
	tick_next();
	ticks++;
	proc_wakeup(&ticks);
}

/* false: the timer is off, so this would last for ever. */
bool timer_sleep(uint32_t count)
{
	uintptr_t flags = irq_save();
	uint32_t start = ticks;

	while (ticks_per_second && ticks - start < count)
		proc_sleep(&ticks);
	irq_restore(flags);
	return ticks_per_second;
}

void timer_quiesce(void)
{
	timer_start(0);
	ticks = 0;
}
