/* screen.h - the terminal: the only file that knows curses. Whatever happens, the terminal is restored. */
#ifndef UI_TUI_SCREEN_H
#define UI_TUI_SCREEN_H

#include "sim/err.h"
#include "ui/tui/canvas.h"

/* Keys beyond characters. */
enum { KEY_NONE_ = -1, SCREEN_UP = 0x110000, SCREEN_DOWN, SCREEN_LEFT, SCREEN_RIGHT, SCREEN_PAGE_UP, SCREEN_PAGE_DOWN, SCREEN_HOME, SCREEN_END,
       SCREEN_BACKSPACE, SCREEN_DELETE, SCREEN_BACKTAB, SCREEN_RESIZE, SCREEN_CLOSED };

int screen_open(bool mono, struct err *e);      /* -1: no terminal */
void screen_close(void);
void screen_size(int *w, int *h);
bool screen_utf8(void);                         /* the locale's encoding */
void screen_show(const struct canvas *k);
int screen_key(int wait_ms);                    /* a character, SCREEN_*, or KEY_NONE_ when none came in time; -1 waits for ever */

#endif
