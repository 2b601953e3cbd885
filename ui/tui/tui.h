/* tui.h - the stepping screen: a machine with its timeline, panes on a canvas, keys and commands.
 *
 *   tui.c      the loop: draw, a key, an action           canvas.c   the grid everything is drawn on
 *   layout.c   which panes stand where                    screen.c   the terminal
 *   pane.c     frames, scrolling, search; pane_*.c each   travel.c   steps and ways back on the timeline
 *   action.c   what keys do (action.def)                  prompt.c   the command line (command.def)
 *   banner.c   the first two lines: who, where, when
 *
 * Drawing reads state through peeks and field views alone: no cycle, no statistic, no hash changes. */
#ifndef UI_TUI_TUI_H
#define UI_TUI_TUI_H

#include "ui/session/session.h"
#include "ui/session/travel.h"
#include "ui/tui/canvas.h"

enum pane_id {
#define PANE(NAME, name, draw, sentence) PANE_##NAME,
#include "ui/tui/pane.def"
	PANE_N
};

struct pane_view {              /* one pane's own view state */
	int top;                        /* first line shown */
	int lines;                      /* lines it had when last drawn */
	int wanted;                     /* a line that must be visible, -1: none */
	uint64_t address;               /* memory, stack, code: where to look; ~0: follow the CPU */
	int choice;                     /* the pane's own: which group, which VM ... */
};

struct place { enum pane_id pane; int x, y, w, h; };
#define PLACES_MAX 16

struct before {                 /* what the registers and fields were before the last step: for the marks */
	uint64_t *value;
	size_t n;
};

struct tui {
	struct run *run;
	struct machine *m;
	struct timeline *timeline;
	struct travel *travel;
	struct canvas canvas;
	unsigned cpu;                   /* the CPU looked at */
	unsigned layout;                /* row of layout.def */
	enum pane_id focus;
	bool zoomed, help, quit, mono;
	bool backwards;                 /* the last step went that way */
	struct pane_view view[PANE_N];
	struct place place[PLACES_MAX];
	unsigned places;
	struct before before;
	char message[200];
	bool bad;                       /* the message is an error */
	char search[80];
	struct prompt { char text[200]; int n, cursor; char kind; /* ':' '/' or 0: not typing */ char *history[50]; int lines, at; } prompt;
	int prefix;                     /* a key waiting for its second: 'r' (reverse) or 0 */
	uint64_t count;                 /* a number typed before a key */
};

/* ---- life (tui.c) ---- */
struct tui *tui_new(struct run *r, int w, int h, bool ascii);
void tui_free(struct tui *t);
void tui_draw(struct tui *t);                   /* everything to the canvas */
void tui_key(struct tui *t, int key);           /* one key, as from screen_key() */
void tui_say(struct tui *t, bool bad, const char *fmt, ...) PRINTF(3, 4);
/* Take over a run from the terminal until the user leaves: why the run stopped last. -1 with err: no terminal. */
int tui_run(struct run *r, bool mono, bool ascii, struct err *e);

/* ---- the banner (banner.c) ---- */
#define BANNER_ROWS 2
void banner_draw(struct tui *t);

/* ---- going (travel.c) ---- */
enum travel_kind { TRAVEL_INSN, TRAVEL_OVER, TRAVEL_EVENT, TRAVEL_EXIT, TRAVEL_CONTINUE };
void travel(struct tui *t, enum travel_kind kind, bool back, uint64_t n);
void travel_goto(struct tui *t, struct moment at);
bool travel_hit(const struct tui *t, uint64_t lin);     /* a breakpoint there */

/* ---- panes (pane.c) ---- */
struct pane_out {
	struct tui *t;
	struct pane_view *view;
	int x, y, w, h;                 /* the inside */
	int line, col;                  /* writing position; line counts from the pane's first */
};
struct pane_row { const char *name, *sentence; void (*draw)(struct tui *t, struct pane_out *o); };
extern const struct pane_row pane_rows[PANE_N];
void put(struct pane_out *o, enum style s, const char *fmt, ...) PRINTF(3, 4);
void put_glyph(struct pane_out *o, enum style s, enum glyph g);
void put_at(struct pane_out *o, int col);       /* move right to a column */
void nl(struct pane_out *o);
void here(struct pane_out *o);                  /* the present line is the one to keep in view */
/* A field by its full name ("cpu0.rax"): value in `style`, or CHANGED when the last step changed it. */
void put_field(struct pane_out *o, const char *name, const char *label, bool bits);
void pane_draw(struct tui *t, const struct place *p);

/* ---- layouts (layout.c) ---- */
struct layout_row { const char *name, *spec, *sentence; int w, h; };
extern const struct layout_row layout_rows[];
extern const unsigned layout_rows_n;
unsigned layout_for(int w, int h);              /* the default for a terminal of this size */
void layout_apply(struct tui *t);               /* t->place from t->layout and the canvas */

/* ---- actions (action.c): what a key or a command's name does ---- */
struct action_row { const char *keys, *name, *sentence; void (*run)(struct tui *t); };
extern const struct action_row action_rows[];
extern const size_t action_rows_n;
const struct action_row *action_by_key(int prefix, int key);
const char *key_name(int key, char *buf, size_t n);

/* ---- the command line (prompt.c) ---- */
struct command { const char *name, *operands, *sentence; int (*run)(struct tui *t, char *args, struct err *e); };
extern const struct command tui_commands[];
extern const size_t tui_commands_n;
int prompt_run(struct tui *t, const char *line, struct err *e);
void prompt_key(struct tui *t, int key);

/* ---- shared by panes ---- */
/* Disassemble at a linear address: text, length; 0: unreadable. */
unsigned disassemble(const struct tui *t, uint64_t lin, char *buf, size_t n);
const char *symbol_text(const struct tui *t, uint64_t addr, char *buf, size_t n);       /* "name+0x12" or "" */
static inline const struct cpu *looked_at(const struct tui *t) { return t->m->cpu[t->cpu]; }

#endif
