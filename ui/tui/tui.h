/* tui.h - the stepping screen: a machine with its timeline, panes on a canvas, keys and commands.
 *
 *   tui.c      the loop: draw, a key, an action           canvas.c   the grid everything is drawn on
 *   layout.c   which panes stand where                    screen.c   the terminal
 *   pane.c     frames, scrolling, search; pane_*.c each   travel.c   steps and ways back on the timeline
 *   action.c   what keys do (action.def)                  prompt.c   the command line (command.def)
 *   banner.c   the first two lines: who, where, when      popup.c    a text over the panes: help, explanations, results
 *   pane_guide.c  the pages of a scenario's guide
 *   chosen.c   what Enter does at the cursor              complete.c what Tab completes
 *
 * Drawing reads state through peeks and field views alone: no cycle, no statistic, no hash changes. */
#ifndef UI_TUI_TUI_H
#define UI_TUI_TUI_H

#include "ui/session/history.h"
#include "ui/session/hotspots.h"
#include "ui/session/micro.h"
#include "ui/session/session.h"
#include "ui/session/source.h"
#include "ui/session/travel.h"
#include "ui/tui/canvas.h"

enum pane_id {
#define PANE(NAME, name, draw, sentence) PANE_##NAME,
#include "ui/tui/pane.def"
	PANE_N
};

/* What a place in a pane stands for: Enter explains it, or goes there. */
enum link_kind { LINK_NONE, LINK_EXPLAIN /* name */, LINK_FIELD /* name: "cpu0.cr0" */, LINK_MOMENT /* at */, LINK_ADDRESS /* address */,
                 LINK_ACT /* act */ };
struct tui;
struct link {
	enum link_kind kind;
	char name[80];
	uint64_t address;
	struct moment at;
	void (*act)(struct tui *t, const struct link *l);
};

struct pane_view {              /* one pane's own view state */
	int cursor;                     /* the line with the cursor, -1: none, the pane follows what happens */
	int item, items;                /* which of the links on it; how many there are */
	int top;                        /* first line shown */
	int lines;                      /* lines it had when last drawn */
	int wanted;                     /* a line that must be visible, -1: none */
	uint64_t address;               /* memory, stack, code: where to look; ~0: follow the CPU */
	uint32_t folded;                /* its sections that are, a bit each */
	int choice;                     /* the pane's own: which group, which VM ... */
};

struct place { enum pane_id pane; int x, y, w, h; };
#define PLACES_MAX 16

#define SEEN_MAX 2048
struct seen { uint64_t at; unsigned n; uint8_t byte[SEEN_MAX]; };       /* memory a pane showed, from `at` on */

#define SPEC_MAX  400
#define SAVED_MAX 30
struct saved { char name[24], spec[SPEC_MAX]; };        /* an arrangement of the user's */

struct before {                 /* what the registers and fields were before the last step: for the marks */
	uint64_t *value, *stat;
	size_t n, stats;
};

struct tui {
	struct run *run;
	struct machine *m;
	struct timeline *timeline;
	struct travel *travel;
	struct micro *micro;            /* what happened inside the last instruction */
	struct history *history;        /* what has happened, and who ran */
	struct canvas canvas;
	unsigned cpu;                   /* the CPU looked at */
	unsigned layout;                /* row of layout.def */
	char spec[SPEC_MAX];            /* an arrangement that is no row: what was changed, or the user's; "": none */
	struct saved saved[SAVED_MAX];
	unsigned saves;
	bool echo[MACHINE_VMS_MAX];     /* of the virtual machines' consoles, before the screen */
	enum pane_id focus;
	bool zoomed, quit, mono, mouse;
	int64_t patience, last_asked;   /* host's clock: when progress was shown, when somebody asked */
	bool endless;                   /* it goes on until something stops it: any key does */
	bool backwards;                 /* the last step went that way */
	struct pane_view view[PANE_N];
	struct place place[PLACES_MAX];
	unsigned places;
	struct before before;
	struct { uint64_t key[64]; unsigned n; } unfolded;      /* paging structures shown in the pane of tables */
	char message[200];
	bool bad;                       /* the message is an error */
	char search[80];
	struct { struct seen now, before; } memory, stack;      /* what these panes show, and showed before the last step */
	struct link chosen;             /* at the cursor of the pane that has the keys, as last drawn */
	struct { int from, to, best; } seek;    /* to: 1 the next line with the searched text, -1 the one before, 0 none is looked for */
	struct popup { char title[80], *text; int top, lines, shown; } popup;   /* text NULL: none */
	struct { cycle_t at, from, to; int x, w, zoom; } lanes;         /* at: the cross-hair, NEVER: none; the rest as last drawn */
	struct source *source;          /* of the guest's image; made when it is first looked at */
	struct hotspots hot;            /* the last profile taken */
	char *printed;                  /* what Lua printed since the last key */
	size_t printed_n;
	struct prompt { char text[400]; int n, cursor; char kind; /* ':' '/' or 0: not typing */ char *history[50]; int lines, at; } prompt;
	int prefix;                     /* a key waiting for its second: 'r' (reverse) or 0 */
	uint64_t count;                 /* a number typed before a key */
};

/* ---- life (tui.c) ---- */
struct tui *tui_new(struct run *r, int w, int h, bool ascii);
void tui_free(struct tui *t);
void tui_draw(struct tui *t);                   /* everything to the canvas */
void tui_key(struct tui *t, int key);           /* one key, as from screen_key() */
bool tui_patience(struct tui *t, const char *what);     /* asked now and then by what takes long: is it to stop? Says so meanwhile */
void tui_printed(struct tui *t, const char *title);      /* what Lua printed: the message line, or a popup when it is longer */
void tui_say(struct tui *t, bool bad, const char *fmt, ...) PRINTF(3, 4);
/* Take over a run from the terminal until the user leaves: why the run stopped last. -1 with err: no terminal. */
int tui_run(struct run *r, bool mono, bool ascii, struct err *e);

/* ---- the banner (banner.c) ---- */
#define BANNER_ROWS 2
void banner_draw(struct tui *t);

/* ---- going (travel.c) ---- */
enum travel_kind { TRAVEL_MICRO, TRAVEL_INSN, TRAVEL_OVER, TRAVEL_EVENT, TRAVEL_EXIT, TRAVEL_ENTRY, TRAVEL_CONTINUE };
void travel(struct tui *t, enum travel_kind kind, bool back, uint64_t n);
void travel_goto(struct tui *t, struct moment at);
/* When a pane on the screen shows micro-steps and there is no record of the last instruction: one is made, going back and
 * forth unseen to the very same state. */
void travel_record(struct tui *t);
void travel_goto_cycle(struct tui *t, cycle_t cycle);
int travel_nth(struct tui *t, const char *what, uint64_t n, struct err *e);
bool travel_hit(const struct tui *t, uint64_t lin);     /* a breakpoint there */
void stops_toggle_here(struct tui *t);  /* stops.c: a breakpoint at the next instruction, or none */

/* ---- panes (pane.c) ---- */
struct pane_out {
	struct tui *t;
	struct pane_view *view;
	int x, y, w, h;                 /* the inside */
	int line, col;                  /* writing position; line counts from the pane's first */
	int item;                       /* links so far on this line */
	char text[256];                 /* of this line so far, for searching */
	size_t n;
};
struct pane_row { const char *name, *sentence; void (*draw)(struct tui *t, struct pane_out *o); };
extern const struct pane_row pane_rows[PANE_N];
void put(struct pane_out *o, enum style s, const char *fmt, ...) PRINTF(3, 4);
void put_glyph(struct pane_out *o, enum style s, enum glyph g);
/* Text that stands for something. */
void put_link(struct pane_out *o, enum style s, const struct link *l, const char *fmt, ...) PRINTF(4, 5);
void put_named(struct pane_out *o, enum style s, const char *name, const char *fmt, ...) PRINTF(4, 5);      /* Enter explains `name` */
bool pane_shows(const struct pane_out *o);      /* the present line will be seen: what is costly to make need not be made otherwise */
enum style acct_style(unsigned acct);            /* of a ledger account */
/* A bar of v in `whole` over the rest of the line, or over w columns when w > 0. */
void put_bar(struct pane_out *o, enum style s, uint64_t v, uint64_t whole, int w);
void put_at(struct pane_out *o, int col);       /* move right to a column */
void nl(struct pane_out *o);
void here(struct pane_out *o);                  /* the present line is the one to keep in view */
/* A field by its full name ("cpu0.rax"): value in `style`, or CHANGED when the last step changed it. */
void put_field(struct pane_out *o, const char *name, const char *label, bool bits);
bool field_changed(const struct tui *t, const char *name);       /* by the last step */
void pane_draw(struct tui *t, const struct place *p);

/* ---- a text over the panes (popup.c) ---- */
void popup_show(struct tui *t, const char *title, char *text);          /* takes the text, which is freed */
void popup_close(struct tui *t);
void popup_draw(struct tui *t);
bool popup_key(struct tui *t, int key);         /* false: not its key */
void popup_help(struct tui *t);

/* ---- what Enter does (chosen.c) ---- */
void chosen_enter(struct tui *t);
/* The timeline pane's cross-hair: by columns; how much is seen; to a branch's end. */
void lanes_move(struct tui *t, int64_t by);
void lanes_zoom(struct tui *t, int by);
void timeline_to_branch(struct tui *t, const struct link *l);
void explain_field(struct tui *t, const char *name);    /* "cpu0.cr0": its value, its bits, what vmscope explain says */
void explain_name(struct tui *t, const char *name);
/* A field's value and row by its full name; "cpu0.vmcs.guest_rip" too. */
bool field_named(const struct tui *t, const char *name, uint64_t *v, struct field_row *row);
void history_of_field(struct tui *t, const char *name);         /* its values and when they came, by going over the past again */

/* ---- the guide (pane_guide.c) ---- */
enum pane_id guide_pane(const struct tui *t);   /* what the page wants to be shown: "shown" in a layout */
void guide_after_key(struct tui *t);

/* ---- layouts (layout.c) ---- */
struct layout_row { const char *name, *spec, *sentence; int w, h; };
extern const struct layout_row layout_rows[];
extern const unsigned layout_rows_n;
unsigned layout_guide(int w, int h);            /* the same when a guide leads */
unsigned layout_for(int w, int h);              /* the default for a terminal of this size */
const char *layout_spec(const struct tui *t);   /* the one in force */
int spec_check(const char *spec, struct err *e);        /* does it mean anything? */
int layout_by_name(struct tui *t, const char *name, struct err *e);     /* a row's, or a saved one */
bool layout_put(struct tui *t, enum pane_id pane);       /* in place of the one with the keys; false: no room */
void saved_load(struct tui *t);
int saved_save(struct tui *t, const char *name, struct err *e);
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
void complete(struct tui *t);                   /* the word before the prompt's cursor */

/* ---- shared by panes ---- */
bool device_choose(struct tui *t, const char *name);    /* for the pane devices; false: no such device */
struct source *tui_source(struct tui *t);
/* Disassemble at a linear address: text, length; 0: unreadable. */
unsigned disassemble(const struct tui *t, uint64_t lin, char *buf, size_t n);
const char *symbol_text(const struct tui *t, uint64_t addr, char *buf, size_t n);       /* "name+0x12" or "" */
static inline const struct cpu *looked_at(const struct tui *t) { return t->m->cpu[t->cpu]; }

#endif
