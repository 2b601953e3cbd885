/* screen.h - the terminal: the only file that knows curses. Whatever happens, the terminal is restored. */
#ifndef UI_TUI_SCREEN_H
#define UI_TUI_SCREEN_H

#include "sim/err.h"
#include "ui/tui/canvas.h"

/* Keys beyond characters. */
enum { KEY_NONE_ = -1, SCREEN_UP = 0x110000, SCREEN_DOWN, SCREEN_LEFT, SCREEN_RIGHT, SCREEN_PAGE_UP, SCREEN_PAGE_DOWN, SCREEN_HOME, SCREEN_END,
       SCREEN_BACKSPACE, SCREEN_DELETE, SCREEN_BACKTAB, SCREEN_RESIZE, SCREEN_CLOSED, SCREEN_MOUSE, SCREEN_WHEEL_UP, SCREEN_WHEEL_DOWN };

int screen_open(bool mono, struct err *e);      /* -1: no terminal */
void screen_close(void);
bool screen_is_open(void);
void screen_size(int *w, int *h);
bool screen_utf8(void);                         /* the locale's encoding */
void screen_show(const struct canvas *k);
/* Is a long run to stop? Ctrl-C, Esc, Ctrl-Z, the terminal gone; any: every key. Only what means nothing else is taken. */
bool screen_waiting(bool any);
void screen_suspend(void);                      /* until the shell's fg */
int64_t screen_ms(void);                        /* the host's clock */
/* The mouse is the terminal's until it is asked for. */
void screen_mouse_on(bool on);
struct screen_mouse { int x, y, wheel; bool twice; };   /* wheel: -1 up, 1 down */
struct screen_mouse screen_mouse(void);         /* after SCREEN_MOUSE */
int screen_key(int wait_ms);                    /* a character, SCREEN_*, or KEY_NONE_ when none came in time; -1 waits for ever */

#endif
