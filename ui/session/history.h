/* history.h - what has happened in a run that travels, kept beside the timeline: the last events with their moments, and who
 * had each CPU when. Every branch of the timeline has its own. What is executed again is known already and not added twice.
 *
 * Listens to the trace apart: nothing of the run's own trace, count or hash changes. */
#ifndef UI_SESSION_HISTORY_H
#define UI_SESSION_HISTORY_H

#include "models/cpu/vmx/vmx.h"
#include "ui/session/travel.h"

struct happening {
	struct moment at;               /* going there ends behind it, at the next boundary */
	struct trace_record r;
	/* of a VM exit */
	uint64_t gpa;                   /* EPT violation or misconfiguration */
	uint32_t intr_info;             /* an event that exited */
	cycle_t took;                   /* until the VM entry after it on the same CPU; 0: not yet */
};

enum owner {                    /* who has a CPU */
	OWNER_IDLE, OWNER_VMM, OWNER_HARDWARE,
	OWNER_GUEST,                    /* kernel of VM 0 (the bare machine's own software), user; of VM 1 ... */
	OWNER_VMS = 8,                  /* VMs told apart; others count with the last */
	OWNERS = OWNER_GUEST + 2 * OWNER_VMS
};
struct lane { cycle_t spent[OWNERS]; uint32_t exits, interrupts, exceptions; };

struct history;
struct history *history_open(struct run *r, struct timeline *t, struct err *e);
void history_close(struct history *h);

/* The events of the present branch that are not later than now, oldest first; the oldest may have been forgotten. */
size_t history_count(struct history *h);
const struct happening *history_at(struct history *h, size_t i);
uint64_t history_forgotten(struct history *h);
/* What a CPU did in a stretch of time, as fine as it is still known: cycles by owner, events. */
void history_lane(struct history *h, unsigned cpu, cycle_t from, cycle_t to, struct lane *l);
cycle_t history_grain(struct history *h);       /* the width of what is known */
/* The fields of the CPU's VMCS as its last VM entry found them, or as its last VM exit left them; NULL: not known. */
const uint64_t *history_vmcs(struct history *h, unsigned cpu, bool entry);

/* "mov cr3, rax", "write at gpa 0x1000: not present": a VM exit's qualification in words, "" when there is nothing to say. */
const char *exit_words(uint32_t reason, uint64_t qualification, uint32_t intr_info, uint64_t gpa, char *buf, size_t n);

#endif
