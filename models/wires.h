/* wires.h - what joins a machine's parts. In a virtual machine they end at the VMM, or at the host's wires of the same kind.
 *
 * Source: SDM Vol. 3A, "Interrupt Distribution", "Local Vector Table" (LINT0, LINT1).
 * Timing: none; a message arrives within the instruction or event that sent it. */
#ifndef MODELS_WIRES_H
#define MODELS_WIRES_H

#include "models/machine.h"

struct apic_wire wire_apic(struct machine *m);                          /* messages among local APICs, I/O APIC and MSIs; EOIs */
struct irq_wire wire_pin(struct machine *m, unsigned pin);              /* LINT0 or LINT1 of every CPU */
struct machine_wire wire_requests(struct machine *m);                   /* reset, shutdown, suspend, exit */
void wire_memory(struct machine *m);                                    /* what is not RAM, and who is told of writes */
void wire_attention(struct machine *m, struct lapic *l);                /* a virtual CPU's APIC has something: to the VMM */

/* The running CPU comes back to the scheduler after the present instruction. */
void machine_reschedule(void *machine);

#endif
