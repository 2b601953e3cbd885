/* pending.c - parts of VMX operation that are on their way: weak, so that each yields to its file as that arrives. This
 * file goes when all have. */
#include "models/cpu/vmx/vmx.h"
#include "sim/err.h"

#define WEAK __attribute__((weak))
WEAK void vmx_exit(struct cpu *c, const struct vmx_exit *x)
{
	(void)c;
	BUG("a VM exit for reason %u before exit.c is there", x->reason);
}
WEAK enum vmx_result vmx_enter(struct cpu *c, bool launch, unsigned *error)
{
	(void)c, (void)launch;
	*error = VMX_ERR_CONTROLS;
	return VMX_FAIL_VALID;
}
WEAK void mmu_set_guest(struct mmu *m, const struct mmu_guest *g) { (void)m, (void)g; }
WEAK void mmu_invept(struct mmu *m, enum invept_type type, uint64_t eptp)
{
	(void)type, (void)eptp;
	mmu_flush_all(m);
}
WEAK void mmu_invvpid(struct mmu *m, enum invvpid_type type, unsigned vpid, uint64_t lin)
{
	(void)type, (void)vpid, (void)lin;
	mmu_flush_all(m);
}
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
