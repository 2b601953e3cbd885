/* sense.h - the next instruction as Popek and Goldberg see it, and as the present VM-execution controls do: is it
 * sensitive, is it privileged, would it cause a VM exit now, and by which control. Looking changes nothing. */
#ifndef UI_SESSION_SENSE_H
#define UI_SESSION_SENSE_H

#include "models/machine.h"

enum sense_verdict {
	SENSE_NONE,             /* not in a guest: there is nothing to exit from */
	SENSE_NO_EXIT,
	SENSE_EXIT,
	SENSE_FAULT,            /* a fault comes before the exit, or instead of it */
};

struct sense {
	const char *insn;               /* mnemonic */
	bool privileged, critical;      /* critical: sensitive but unprivileged */
	enum sense_verdict verdict;
	const char *reason;             /* SENSE_EXIT: name of the exit reason, "cr_access" */
	const char *control;            /* the control that decides, or NULL */
	char why[120];                  /* a few words */
};

/* False: there is no instruction to look at (not mapped, modelled software). */
bool sense_next(const struct machine *m, const struct cpu *c, struct sense *s);

#endif
