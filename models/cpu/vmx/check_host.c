/* check_host.c - tests of the host-state area. A failure is VM-instruction error 8. Most rows are tests of check.c.
 * Source: SDM Vol. 3C, "Checks on Host Control Registers, MSRs, and SSP", "Checks Related to Address-Space Size". */
#include "models/cpu/vmx/check.h"

/* "the values of the LMA and LME bits in the field must each be that of the 'host address-space size' VM-exit control" */
uint64_t test_host_64(const struct check_view *w, enum vmcs_field f, uint64_t v, uint64_t arg)
{
	(void)f;
	return !(v & arg) == !ctl_on(w, EXIT_HOST_64) ? 0 : arg;
}
