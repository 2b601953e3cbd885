/* hook.c - where a lab puts its own code: called at every VM exit before minivisor looks at it.
 * True: handled, enter the guest again. To build with another file: make -C scenarios/guests OUT=... HOOK=my_hook.c */
#include "minivisor.h"

bool lab_exit(struct guest *g, unsigned reason, uint64_t qualification)
{
	(void)g, (void)reason, (void)qualification;
	return false;
}
