/* standin.h - a virtual CPU on the bench: a CPU in VMX root operation whose guest is described by the VMCS fields a test
 * writes, and guest RAM that is the bench's RAM from `base` on. What would be injected is recorded instead. */
#ifndef TESTS_VMM_STANDIN_H
#define TESTS_VMM_STANDIN_H

#include "models/vmm/vmm.h"

struct standin {
	struct cpu *cpu;
	struct vmm vmm;                 /* one virtual CPU on one physical: nobody waits */
	struct vm vm;
	struct vcpu vcpu;
};

/* The guest's state is the CPU's own; afterwards the CPU is in root operation. */
void standin_init(struct standin *s, struct cpu *c);
void standin_capture(struct standin *s);        /* copy the CPU's state into the VMCS as a VM exit would */
int standin_injected(const struct standin *s, uint32_t *error);        /* the vector to be injected, or -1 */

#endif
