/* classify.h - Popek and Goldberg, measured: which instructions are privileged, sensitive, critical, innocuous.
 *
 * Nothing is looked up: every instruction the decoder knows, in all its forms, is executed on a bare CPU in ring 0 and in
 * ring 3, from systematically varied states, and what happened is compared.
 *
 *   privileged           executed in ring 0 in some state; trapped in ring 3 in every state in which ring 0 did not
 *   control-sensitive    in some state, without a trap, it changed a resource: a privileged register, a segment's
 *                        descriptor, the interrupt flag, the ring itself
 *   behaviour-sensitive  in two states that differ in a resource or in the ring alone, it gave a program different
 *                        results, without a trap
 *   critical             sensitive and not privileged
 *   innocuous            neither privileged nor sensitive
 *
 * A trap is an exception, or that what ring 3 executed ended in ring 0 (SYSCALL): its handlers have control then.
 *
 * Popek and Goldberg, "Formal Requirements for Virtualizable Third Generation Architectures", theorem 1: a VMM may be
 * built if the sensitive instructions are a subset of the privileged ones. Memory traps do not count: all memory of
 * the experiments may be touched. Time is a resource (RDTSC); caches are not. */
#ifndef UI_CLASSIFY_CLASSIFY_H
#define UI_CLASSIFY_CLASSIFY_H

#include <stdio.h>

#include "models/cpu/sensitivity.h"
#include "models/profile.h"
#include "sim/err.h"

enum class_mode { CLASS_IA32, CLASS_INTEL64, CLASS_MODES };
struct verdict {
	enum insn insn;
	enum insn_form shape;
	enum class_mode mode;
	unsigned states;                /* executions without a trap, both rings */
	bool ring0, ring3;              /* it did execute there */
	bool privileged, control, behaviour;
	char evidence[240];             /* of the sensitivity: two runs, or one run's change */
	uint8_t code[15], length;       /* the encoding that showed it, or the first */
};

static inline bool verdict_critical(const struct verdict *v) { return (v->control || v->behaviour) && !v->privileged; }
static inline bool verdict_unknown(const struct verdict *v) { return !v->ring0 && !v->ring3; }  /* it trapped in every state */
const char *verdict_word(const struct verdict *v);      /* "privileged", "critical", "innocuous", "not executed" */
void verdict_name(const struct verdict *v, char *buf, size_t n);        /* "mov sreg", "ret far" */

struct verdicts { struct verdict *v; size_t n; };

struct class_options {
	const struct profile *profile;
	bool umip;                      /* CR4.UMIP is set */
	bool trap_critical;             /* the what-if machine, whatever the profile says */
};
/* NULL with err: the profile does not do. The caller frees v. */
int classify(const struct class_options *o, struct verdicts *all, struct err *e);

void classify_print(FILE *f, const struct verdicts *all, bool every);
void classify_json(FILE *f, const struct verdicts *all);

#endif
