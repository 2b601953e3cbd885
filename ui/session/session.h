/* session.h - running machines for a person: console, typed input, limits, progress, Ctrl-C, and what is written at
 * the end. Commands and Lua run machines through here alone. */
#ifndef UI_SESSION_SESSION_H
#define UI_SESSION_SESSION_H

#include <stdio.h>

#include "models/machine.h"
#include "ui/session/guide.h"
#include "ui/session/input.h"
#include "ui/session/setup.h"

#define STATS_FILES_MAX 8
#define TRACE_FILES_MAX 4

struct options {                /* what the common flags say */
	const char *json, *stats[STATS_FILES_MAX], *trace[TRACE_FILES_MAX], *input, *keys, *save, *restore, *blocks;
	unsigned n_stats, n_traces;
	const char *stop[32];           /* of the first run: stops.h */
	unsigned n_stops;
	const char *const *allow;       /* folders whose files may be read */
	unsigned allows;
	uint64_t seed, max_instructions;
	cycle_t max_cycles;             /* NEVER: no limit */
	bool seed_given, quiet, ledger, screen;
};

struct session;
struct stops;                   /* stops.h */

struct run {                    /* one machine of a session, real or virtual */
	struct session *session;
	struct run *host;               /* of a virtual machine: it runs when its host does */
	struct run *vm[MACHINE_VMS_MAX];/* its virtual machines */
	unsigned vms;
	struct machine *m;
	struct setup setup;             /* owns the strings of the configuration */
	char name[16];                  /* "m0" */
	struct travel *travel;          /* ui/session/travel.h: it goes back and forth in time, or NULL */
	const char *image;              /* what was booted, or NULL */
	char *console;                  /* what the guest printed on COM1, at most CONSOLE_MAX, the newest */
	size_t console_n, console_room;
	size_t line;                    /* where its last line begins */
	bool echo;                      /* to stdout */
	struct input input, keys;
	enum machine_stop last;
	struct stops *stops;            /* of a real machine, its virtual ones' too; NULL: none was ever added */
	bool started;
	bool pause;                     /* somebody inside the run wants the loop to look at `stop_asked` and the input */
	bool stop_asked;                /* Lua: come back */
	bool touched;                   /* Lua wrote registers or memory, or typed something */
	bool exit_asked;                /* the input script: end with exit_status */
	int exit_status;
	void (*console_line)(void *who, struct run *r, const char *line, size_t n);
	void *console_who;
	const char *watch;              /* ask the run to stop when the console shows this, from watch_at on */
	size_t watch_n, watch_at;
	bool watch_hit;
};

struct session {
	struct options o;
	struct run **runs;
	size_t n;
	struct trace_export *trace_export[TRACE_FILES_MAX];
	struct progress *progress;
	struct err late;                /* what went wrong where no error can be returned */
	/* The scenario language on a command line; ui/lua installs it. eval: one line with m, vm and cpu bound; what it prints goes
	 * to `print`, its values, if any, to *values (the caller frees them). -1: err says why. names: what a word that begins
	 * with `prefix` ("m:ru") could become. */
	struct line_eval {
		int (*eval)(void *who, struct run *r, unsigned cpu, const char *text, char **values, struct err *e);
		void (*names)(void *who, struct run *r, unsigned cpu, const char *prefix, void (*fn)(void *arg, const char *name), void *arg);
		bool (*failed)(void *who, struct err *e);       /* a listener's error that stopped the run: taken out */
		/* A condition asked again and again from inside the run (stops.h, `when`): an expression with m, vm and cpu bound.
		 * NULL: err says why. An error while it is asked ends the run, as a listener's does. */
		void *(*predicate)(void *who, struct run *r, const char *text, struct err *e);
		bool (*holds)(void *who, void *predicate);
		void (*forget)(void *who, void *predicate);
		void *who;
	} line;
	struct guide guide;             /* pages for the stepping screen; n 0: none */
	void (*print)(void *who, const char *text, size_t n);   /* NULL: what Lua prints goes to stdout */
	void *print_who;
	/* When set, the first run goes to it instead: somebody steps through it. 1: the run goes on from there to its end;
	 * -1 with err: it could not begin. */
	int (*stepper)(void *who, struct run *r, struct err *e);
	void *stepper_who;
};

#define CONSOLE_MAX (16u << 20)

void session_init(struct session *s, const struct options *o);
void session_fini(struct session *s);

/* Build the machine of a finished setup; the run owns both. setup is left empty. */
struct run *session_machine(struct session *s, struct setup *setup, struct err *e);
/* A virtual machine on a run's machine; owned by it. setup: as above, a technique other than native. */
struct run *session_vm(struct run *host, struct setup *setup, struct err *e);
/* What a person sees: the first virtual machine, or the machine itself. */
static inline struct run *run_face(const struct run *r) { return r->vms ? r->vm[0] : (struct run *)(uintptr_t)r; }
int run_boot(struct run *r, const struct boot_image *image, struct err *e);
/* As machine_run, under the session's limits. MACHINE_STOP_USER: Ctrl-C, or run_pause with stop_asked. */
enum machine_stop run_until(struct run *r, cycle_t until, uint64_t n);
void run_ask_stop(struct run *r);               /* from a callback inside the run */
const char *stop_name(enum machine_stop why);   /* "guest-exit" */
const char *stop_sentence(const struct run *r, char *buf, size_t n);
/* Exit status of the program by design: 0 ok, 1 the guest failed; a guest's own is passed on. */
int run_status(const struct run *r);

/* Write everything the options ask for. */
int session_finish(struct session *s, struct err *e);
bool session_interrupted(void);                 /* Ctrl-C was pressed */
void session_signals(void);                     /* install the handler */

#endif
