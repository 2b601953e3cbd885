/* stub.h - a debugging session without its socket: what the files of this folder share. */
#ifndef UI_GDB_STUB_H
#define UI_GDB_STUB_H

#include "ui/gdb/gdb.h"
#include "ui/gdb/packet.h"
#include "ui/gdb/regs.h"
#include "ui/session/view.h"
#include "ui/session/travel.h"

#define POINTS_MAX 256          /* more than stops.h has room for */
#define NAMES_MAX  32

/* What is inserted, by the digit of its packet Z. */
enum point_type { POINT_SOFTWARE, POINT_HARDWARE, POINT_WRITE, POINT_READ, POINT_ACCESS, POINT_TYPES };
struct point {
	uint8_t type;
	uint32_t length, id;            /* id: of the stop behind it */
	uint64_t address;
};
struct point_hit {
	bool own;                       /* one of gdb's own: */
	struct point point;
	unsigned cpu;                   /* the physical CPU */
	char why[160];
};

enum gdb_over { OVER_NOT, OVER_DETACHED, OVER_KILLED };

struct gdb {
	struct run *r;
	struct travel *travel;
	struct view view;
	enum gdb_arch arch;
	char *xml;
	unsigned thread, thread_go;     /* of g and m; of c and s (0: any) */
	enum view_memory memory;        /* what m and M mean */
	bool no_ack, says_swbreak, says_hwbreak;
	bool touched;                   /* state was changed by hand, and the timeline does not know yet */
	bool entered;                   /* a guest was entered in the step under way */
	bool ended;                     /* the run has come to its end: the next continue says so for good */
	enum gdb_over over;
	char stop[200];                 /* the last stop reply */
	struct point point[POINTS_MAX];
	unsigned points;
	struct { char name[24]; struct moment at; size_t branch; } name[NAMES_MAX];
	unsigned names;
	struct {                        /* of the machine and each of its virtual ones */
		bool echo;                      /* to stdout, what it prints */
		size_t printed;                 /* so much of it was printed */
	} console[1 + MACHINE_VMS_MAX];
	struct gdb_reply text;          /* what a monitor command says */
	/* The way out: a packet at once (console text O...), and whether the client wants the run to stop. May be NULL. */
	void (*send)(void *who, const char *data, size_t n);
	bool (*interrupted)(void *who);
	void *who;
};

/* ---- life (answer.c) ---- */
struct gdb *gdb_new(struct run *r, enum gdb_arch arch);
void gdb_free(struct gdb *g);
/* One packet's data in, its answer out. False: none is sent (the packet k). */
bool gdb_answer(struct gdb *g, const char *data, size_t n, struct gdb_reply *o);

/* ---- going (go.c) ---- */
enum go { GO_CONTINUE, GO_STEP, GO_RANGE, GO_BACK_STEP, GO_BACK_CONTINUE };
void gdb_go(struct gdb *g, enum go how, unsigned thread, uint64_t low, uint64_t high, struct gdb_reply *o);
/* Present a moment that was reached otherwise (a monitor command). */
void gdb_arrived(struct gdb *g);
void gdb_settle(struct gdb *g);         /* tell the timeline of changes made by hand */
void gdb_console(struct gdb *g);        /* print what the guest printed meanwhile */

/* ---- break- and watchpoints (point.c) ---- */
/* 1: done; 0: this kind cannot be had; -1: e. */
int point_set(struct gdb *g, enum point_type type, uint64_t address, uint32_t length, struct err *e);
void point_unset(struct gdb *g, enum point_type type, uint64_t address, uint32_t length);
void points_clear(struct gdb *g);
bool points_watch(const struct gdb *g);         /* some are watchpoints */
/* What stopped the run just now. False: no stop did. */
bool point_hit(struct gdb *g, struct point_hit *h);

/* ---- monitor (monitor.c) ---- */
/* What it says is in g->text. False: it went wrong, and that is what it says. */
bool gdb_monitor(struct gdb *g, const char *line);

#endif
