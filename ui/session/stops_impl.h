/* stops_impl.h - between the files of stops.h: the list, and how a kind hangs on the machine.
 *
 *   stops.c        the list, what was hit, silence while time is travelled
 *   stop_text.c    operands: words, numbers, symbols
 *   stop_field.c   what has a value: fields, VMCS fields, the ledger
 *   stop_memory.c  break, watch       stop_insn.c   insn
 *   stop_event.c   catch              stop_look.c   change, ledger, when: asked at each boundary
 *
 * Two ways a stop comes about. Something that has just happened (an access, an event) is noted by stop_note(), which asks the
 * machine to stop at the next boundary; something about to happen (an instruction) stops the run before it. Both are matters
 * of state alone, never of how the run was driven: so going backwards finds the same moments (sim/timeline.h). */
#ifndef UI_SESSION_STOPS_IMPL_H
#define UI_SESSION_STOPS_IMPL_H

#include "ui/session/stops.h"

#define STOPS_MAX 128

struct stops;

struct stopper {                /* one stop */
	struct stop s;
	unsigned vm;                    /* holds while this virtual machine runs; 0: always */
	uint32_t model_id;              /* of the breakpoint or watch in models/ */
	bool noted;                     /* since the run stopped last */
	bool was_hit;                   /* it is among what stopped it */
	/* Hang it on the machine, or take it off. False: no room, e says so. */
	bool (*arm)(struct stops *k, struct stopper *p, bool on, struct err *e);
	/* break */
	uint64_t lin;
	int cpu;
	/* watch */
	enum stop_space space;
	uint64_t address;
	uint32_t n;
	unsigned access;
	/* the other kinds */
	void *own;
	void (*own_free)(struct stops *k, void *own);
	bool fresh;                     /* asked at each boundary: nothing is known of the boundary before */
	uint64_t last;                  /* its value there */
};

/* What has a value that may change. */
struct stop_value {
	/* False: it has none now. */
	bool (*read)(const struct stops *k, const struct stopper *p, const struct stop_value *v, uint64_t *x);
	const struct field_group *group;        /* a field, bits hi..lo of it */
	const struct field_row *row;
	unsigned cpu, hi, lo;                   /* cpu: of the machine or, of a virtual one, the virtual CPU */
	int vmcs;                               /* enum vmcs_field */
	int account, why;                       /* ledger; -1: all of them */
	uint64_t limit;
	void *predicate;                        /* when */
};

struct stops {
	struct run *r;                  /* the one whose machine really runs */
	struct stopper **at;
	size_t n, room;
	uint32_t next_id;
	unsigned quiet;                 /* silenced, this many times over */
	bool any;                       /* something was noted since the run stopped last: */
	struct stop_hit pending, hit;
	bool was_hit;                   /* `hit` is what stopped the run last */
	struct { bool known; uint64_t pa; unsigned n; } value;  /* where `after` is to be read; what pending is of */
	struct { uint64_t icount, cycles, now; } looked;        /* the boundary looked at last */
	bool listens;                   /* to the trace, for `catch` */
};

/* ---- stops.c ---- */
struct stops *stops_of(struct run *r);          /* made when there is none */
void stops_free(struct stops *k);
void stops_begin(struct stops *k);              /* a run begins */
void stops_stopped(struct stops *k);            /* it came back with MACHINE_STOP_BREAK */
/* Re-execution: nothing stops. `on` may be nested. */
void stops_quiet(struct run *r, bool on);
/* Present conditions do not stop the run: it goes on from here. */
void stops_pass(struct run *r);
/* Searching backwards, hits are not counted. */
uint64_t *stops_counts(struct run *r);          /* to be given back; NULL: there are no stops */
void stops_counts_put(struct run *r, uint64_t *counts);
/* All but one are off, for a while: was_off has room for STOPS_MAX. False: there is no such stop, nothing was done. */
bool stops_alone(struct run *r, uint32_t id, bool *was_off);
void stops_restore(struct run *r, const bool *was_off);
/* What happens just now is what p waits for. */
void stop_note(struct stops *k, struct stopper *p, const struct stop_hit *h);
/* The same before an instruction: no request to stop, the caller does. */
void stop_note_here(struct stops *k, struct stopper *p, const struct stop_hit *h);
bool stop_running(const struct stops *k, const struct stopper *p, unsigned cpu);        /* its machine runs there */
void stop_sentence_of(struct stop_hit *h, const struct stopper *p, const char *fmt, ...) PRINTF(3, 4);

/* ---- the list has changed, or silence has: hang the kinds on the machine ---- */
void stop_look_changed(struct stops *k);
void stop_insn_changed(struct stops *k);
void stop_event_changed(struct stops *k);

/* ---- stop_text.c ---- */
const char *stop_word(const char **p, char *buf, size_t n);     /* the next one, by blanks; "" at the end */
/* A number, a symbol of the kernel r shows, either with +N or -N. */
int stop_address(const struct run *r, const char *text, uint64_t *v, struct err *e);

/* ---- kinds: read the operands, set what they need ---- */
typedef int stop_parse(struct stops *k, struct run *r, struct stopper *p, const char *operands, struct err *e);
#define STOP(ID, name, operands, parse, sentence, more) stop_parse parse;
#include "ui/session/stop.def"
bool stop_arm_nothing(struct stops *k, struct stopper *p, bool on, struct err *e);      /* the list is looked through */
/* stop_field.c: cr0, cpu1.cr0.pg, com1.lcr, vmcs.guest_rip, cpu0.vmcs.exit_reason. */
int stop_find_field(struct stops *k, struct run *r, struct stopper *p, struct stop_value *v, const char *name, struct err *e);
void stop_set_when(struct stopper *p, void *predicate);
bool stop_arm_break(struct stops *k, struct stopper *p, bool on, struct err *e);
int stop_set_memory(struct stops *k, struct run *r, struct stopper *p, struct err *e);  /* space, address, n, access are set */
uint64_t stop_read(const struct machine *m, uint64_t pa, unsigned n);

#endif
