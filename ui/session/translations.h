/* translations.h - binary translation for people: a block of guest code and what it was translated to, line by line. Looks only. */
#ifndef UI_SESSION_TRANSLATIONS_H
#define UI_SESSION_TRANSLATIONS_H

#include "models/vmm/bt/cache.h"
#include "ui/session/session.h"

struct translation_line {
	bool begins;                    /* an instruction of the guest's begins here: */
	uint64_t rip, at;               /* its address, and that of the translated one */
	char guest[96], code[96];
	char note[120];                 /* what a callout is, where a way out leads; "": nothing to say */
	bool leaves;                    /* a way out of the block */
};
/* fn sees each translated instruction of a block, in order; false ends it. */
void translation_lines(const struct bt_seen *b, const struct vcpu *v, const struct symtab *symbols,
                       bool (*fn)(void *who, const struct translation_line *l), void *who);
/* The block of translated code that has this linear address; false: none has. */
bool translation_at(const struct vcpu *v, uint64_t lin, struct bt_seen *b);
/* Its point there, NULL: no instruction begins there. */
const struct bt_point *translation_point(const struct bt_seen *b, uint64_t lin);
/* The virtual CPU under bt whose translated code this CPU executes; NULL: it does not. */
const struct vcpu *translation_runs(const struct machine *m, const struct cpu *c);
/* The virtual CPUs of a run that is a virtual machine under bt; NULL: it is none, or no more. */
const struct vcpu *translations_of(const struct run *r, unsigned vcpu);
int translations_write(struct session *s, const char *path, struct err *e);

#endif
