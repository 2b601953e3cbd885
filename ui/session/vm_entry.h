/* vm_entry.h - VM entries that failed, told to a person: which checks, what they found, what was expected. */
#ifndef UI_SESSION_VM_ENTRY_H
#define UI_SESSION_VM_ENTRY_H

#include <stdio.h>

#include "models/machine.h"
#include "models/cpu/vmx/vmx.h"

/* What one failed check says in words. */
struct check_text {
	const char *field;              /* "guest_rflags" */
	char found[160];                /* "0x0", "0x80050011 pe et am pg" */
	char wrong[160];                /* "bit 1 is 0", "bits 63:32", "bit 5 (ne) is 0" */
	char consequence[96];           /* "VM-instruction error 7: ..." */
};
void check_text(struct check_text *t, const struct vmx_failure *x);

/* The last VM entry of each CPU that failed and was followed by none that succeeded: a readable list. False: there is none. */
bool vm_entry_print(FILE *out, const struct machine *m);

#endif
