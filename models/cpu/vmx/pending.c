/* pending.c - parts of VMX operation that are on their way: weak, so that each yields to its file as that arrives. This
 * file goes when all have. */
#include "models/cpu/vmx/vmx.h"

#define WEAK __attribute__((weak))
WEAK void vmx_apic_entered(struct cpu *c) { (void)c; }
WEAK void vmx_virtual_interrupt(struct cpu *c) { (void)c; }
WEAK bool vmx_posted(struct cpu *c, uint8_t vector) { (void)c, (void)vector; return false; }
WEAK bool vmx_tpr_read(struct cpu *c, uint64_t *cr8)
{
	(void)c, (void)cr8;
	return false;
}
WEAK bool vmx_tpr_write(struct cpu *c, const struct uop *u, uint64_t cr8)
{
	(void)c, (void)u, (void)cr8;
	return false;
}
WEAK bool vmx_x2apic_read(struct cpu *c, uint32_t msr, uint64_t *v)
{
	(void)c, (void)msr, (void)v;
	return false;
}
WEAK bool vmx_x2apic_write(struct cpu *c, const struct uop *u, uint32_t msr, uint64_t v)
{
	(void)c, (void)u, (void)msr, (void)v;
	return false;
}
