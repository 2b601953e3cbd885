/* msr.c - a virtual CPU's MSRs by number, wherever they are now: VMCS fields, the physical CPU's registers, the model.
 *
 * For the MSR areas of vmcs12, which L0 goes through in software. What a guest reads and writes without an exit (own_msrs of
 * virt_vmx.c) is never in the model while the virtual CPU runs.
 * Source: SDM Vol. 3C, "Loading MSRs", "Saving MSRs". */
#include "models/vmm/exit.h"
#include "models/vmm/nested/nested.h"

#include "models/cpu/sys.h"

static const struct { uint32_t nr; enum vmcs_field f; } in_fields[] = {
	{ 0x174, VMCS_GUEST_SYSENTER_CS }, { 0x175, VMCS_GUEST_SYSENTER_ESP }, { 0x176, VMCS_GUEST_SYSENTER_EIP },
	{ 0x1d9, VMCS_GUEST_DEBUGCTL }, { 0x277, VMCS_GUEST_PAT }, { 0xc0000080, VMCS_GUEST_EFER },
	{ 0xc0000100, VMCS_GUEST_FS_BASE }, { 0xc0000101, VMCS_GUEST_GS_BASE },
};
/* STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE, TSC_AUX: the world switch saves them. */
static bool in_cpu(uint32_t nr)
{
	return (nr >= 0xc0000081 && nr <= 0xc0000084) || nr == 0xc0000102 || nr == 0xc0000103 || nr == 0xda0;
}

static int field(uint32_t nr)
{
	for (size_t i = 0; i < ARRAY_LEN(in_fields); i++)
		if (in_fields[i].nr == nr)
			return (int)in_fields[i].f;
	return -1;
}

bool nested_msr_read(struct vcpu *v, uint32_t nr, uint64_t *x)
{
	int f = field(nr);
	vcpu_now(v);
	if (!msr_read(v->model, nr, x))
		return false;
	if (f >= 0)
		*x = vcpu_get(v, (enum vmcs_field)f);
	else if (in_cpu(nr))
		return msr_read(v->cpu, nr, x);
	return true;
}

bool nested_msr_write(struct vcpu *v, uint32_t nr, uint64_t x)
{
	int f = field(nr);
	vcpu_now(v);
	if (f < 0 && !in_cpu(nr))
		return vcpu_write_msr(v, nr, x);
	if (nr == 0xc0000080)
		return vcpu_write_msr(v, nr, x);
	if (!msr_valid(v->model, nr, x))
		return false;
	if (f >= 0)
		vcpu_set(v, (enum vmcs_field)f, x);
	else
		return msr_write(v->cpu, nr, x);
	return true;
}
