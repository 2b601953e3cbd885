/* reflect.c - an event for the guest goes through the guest's own IDT, as on a processor; and IRET.
 * Source: SDM Vol. 3A, "Exception- or Interrupt-Handler Procedures"; Vol. 2A, IRET. Its checks of privilege are made; what fails
 * twice ends the guest. */
#include "minitrap.h"

/* Flags the hardware has for the guest as they are; the others are virtual. */
enum { REAL = 0x8D5 | 1 << 10 /* DF */ | TF | 1 << 18 /* AC */ | 1 << 21 /* ID */ };

uint32_t guest_flags(const struct frame *f) { return (f->eflags & REAL) | 2 | guest.flags; }

/* IF and IOPL as the virtual CPL may change them. */
void guest_set_flags(struct frame *f, uint32_t flags)
{
	uint32_t may = NT;

	if (guest.cpl <= (guest.flags >> 12 & 3))
		may |= IF;
	if (!guest.cpl)
		may |= IOPL;
	f->eflags = (flags & REAL) | 2;
	guest.flags = (guest.flags & ~may) | (flags & may);
}

static void push(const struct segment *ss, uint32_t *esp, uint32_t v)
{
	*esp -= 4;
	if (!segment_write(ss, *esp, &v, 4))
		die("the guest's stack %x:%x is not there", ss->selector, *esp);
}

static uint32_t pop(uint32_t *esp)
{
	uint32_t v;

	if (!segment_read(&guest.segment[SS], *esp, &v, 4))
		die("the guest's stack %x:%x is not there", guest.segment[SS].selector, *esp);
	*esp += 4;
	return v;
}

void reflect(struct frame *f, uint32_t vector, bool has_error, uint32_t error, uint32_t length)
{
	struct { uint16_t low, selector; uint8_t zero, type; uint16_t high; } gate;
	const struct segment cs = guest.segment[CS], outer = guest.segment[SS];
	struct segment ss = outer;
	uint32_t esp = f->esp, flags = guest_flags(f), dpl;
	uint64_t code;

	if (vector * 8 + 7 > guest.idt.limit || !guest_read(guest.idt.base + vector * 8, &gate, 8) || !(gate.type & 0x80) ||
	    (gate.type & 0x1E) != 0xE)
		die("exception or interrupt %u at %x:%x, and the guest has no gate for it", vector, cs.selector, f->eip);
	if (length && (gate.type >> 5 & 3) < guest.cpl) {
		inject_gp(f, vector * 8 + 2);
		return;
	}
	code = guest_descriptor(gate.selector);
	dpl = code >> 42 & 1 ? guest.cpl : segment_dpl(code);		/* conforming */
	if (!(code >> 47 & 1) || !(code >> 43 & 1) || dpl > guest.cpl)
		die("the guest's gate %u leads to selector %x, which is no code for it", vector, gate.selector);
	if (dpl < guest.cpl) {
		struct { uint32_t esp; uint32_t ss; } inner;

		if (!guest.tss || !guest_read(guest.tss + 4 + 8 * dpl, &inner, 8))
			die("the guest has no task state to take a stack from");
		ss = (struct segment){ inner.ss & 0xFFFF, guest_descriptor(inner.ss & 0xFFFF) };
		push(&ss, &inner.esp, outer.selector);
		push(&ss, &inner.esp, esp);
		esp = inner.esp;
	}
	push(&ss, &esp, flags);
	push(&ss, &esp, cs.selector);
	push(&ss, &esp, f->eip + length);
	if (has_error)
		push(&ss, &esp, error);
	if (!(gate.type & 1))
		guest.flags &= ~IF;
	guest.flags &= ~NT;
	f->eflags &= ~TF;
	guest.cpl = dpl;
	f->eip = gate.low | (uint32_t)gate.high << 16;
	f->esp = esp;
	segment_set(f, CS, (gate.selector & ~3u) | dpl, code);
	segment_set(f, SS, ss.selector, ss.descriptor);
	guest.reflected++;
}

void inject_gp(struct frame *f, uint32_t error) { reflect(f, GP, true, error, 0); }

void guest_iret(struct frame *f)
{
	struct segment ss = guest.segment[SS];
	uint32_t esp = f->esp, eip = pop(&esp), cs = pop(&esp) & 0xFFFF, flags = pop(&esp), rpl = cs & 3;
	uint64_t code = guest_descriptor(cs);

	if (!(code >> 47 & 1) || !(code >> 43 & 1) || rpl < guest.cpl || flags & VM) {
		inject_gp(f, cs & ~3u);
		return;
	}
	if (rpl > guest.cpl) {
		uint32_t to = pop(&esp);

		ss.selector = pop(&esp) & 0xFFFF;
		ss.descriptor = guest_descriptor(ss.selector);
		esp = to;
	}
	guest_set_flags(f, flags);
	guest.cpl = rpl;
	f->eip = eip;
	f->esp = esp;
	segment_set(f, CS, cs, code);
	segment_set(f, SS, ss.selector, ss.descriptor);
	for (unsigned r = 0; r < SEGMENTS; r++)		/* an inner ring's data is not for the outer one */
		if (r != CS && r != SS && segment_dpl(guest.segment[r].descriptor) < rpl)
			segment_set(f, r, 0, 0);
}
