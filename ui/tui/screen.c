/* screen.c - see screen.h. */
#define _XOPEN_SOURCE_EXTENDED 1
#include "ui/tui/screen.h"

#include <curses.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

enum { LOOK_NONE = 0, LOOK_BOLD = 1, LOOK_DIM = 2, LOOK_REVERSE = 4, LOOK_UNDERLINE = 8 };
#define DEFAULT (-1)
#define GREEN COLOR_GREEN
#define BLUE COLOR_BLUE
#define CYAN COLOR_CYAN
#define RED COLOR_RED
#define YELLOW COLOR_YELLOW
#define MAGENTA COLOR_MAGENTA
#define NONE LOOK_NONE
#define BOLD LOOK_BOLD
#define DIM LOOK_DIM
#define REVERSE LOOK_REVERSE
#define UNDERLINE LOOK_UNDERLINE
static const struct { short colour; uint8_t look; } looks[STYLE_N] = {
#define STYLE(NAME, colour, mono, sentence) [STYLE_##NAME] = { colour, mono },
#include "ui/tui/style.def"
};

static struct { bool open, colour; } screen;

static attr_t attributes(uint8_t look)
{
	return (look & LOOK_BOLD ? A_BOLD : 0) | (look & LOOK_DIM ? A_DIM : 0) | (look & LOOK_REVERSE ? A_REVERSE : 0) |
	       (look & LOOK_UNDERLINE ? A_UNDERLINE : 0);
}

int screen_open(bool mono, struct err *e)
{
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return err_set(e, NULL, "without a terminal: vmscope run or vmscope boot", "the stepping screen needs a terminal");
	setlocale(LC_CTYPE, "");
	if (!newterm(NULL, stdout, stdin))
		return err_set(e, NULL, "set TERM to what the terminal is, for example TERM=xterm", "the terminal type '%s' is unknown",
		               getenv("TERM") ? getenv("TERM") : "");
	screen.open = true;
	atexit(screen_close);
	raw();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	set_escdelay(25);
	screen.colour = !mono && !getenv("NO_COLOR") && has_colors();
	if (screen.colour) {
		start_color();
		use_default_colors();
		for (short i = 0; i < STYLE_N; i++)
			init_pair((short)(i + 1), looks[i].colour, -1);
	}
	return 0;
}

void screen_close(void)
{
	if (screen.open)
		endwin();
	screen.open = false;
}

void screen_size(int *w, int *h) { getmaxyx(stdscr, *h, *w); }
bool screen_utf8(void) { return strcmp(nl_langinfo(CODESET), "UTF-8") == 0; }

void screen_show(const struct canvas *k)
{
	for (int y = 0; y < k->h; y++)
		for (int x = 0; x < k->w; x++) {
			const struct cell *p = &k->cell[y * k->w + x];
			wchar_t text[2] = { (wchar_t)p->ch, 0 };
			cchar_t out;
			setcchar(&out, text, attributes(looks[p->style].look), screen.colour ? (short)(p->style + 1) : 0, NULL);
			mvadd_wch(y, x, &out);
		}
	if (k->cursor_x >= 0)
		move(k->cursor_y, k->cursor_x);
	curs_set(k->cursor_x >= 0);
	refresh();
}

int screen_key(int wait_ms)
{
	static const struct { int curses, ours; } keys[] = {
		{ KEY_UP, SCREEN_UP }, { KEY_DOWN, SCREEN_DOWN }, { KEY_LEFT, SCREEN_LEFT }, { KEY_RIGHT, SCREEN_RIGHT },
		{ KEY_PPAGE, SCREEN_PAGE_UP }, { KEY_NPAGE, SCREEN_PAGE_DOWN }, { KEY_HOME, SCREEN_HOME }, { KEY_END, SCREEN_END },
		{ KEY_BACKSPACE, SCREEN_BACKSPACE }, { KEY_DC, SCREEN_DELETE }, { KEY_BTAB, SCREEN_BACKTAB }, { KEY_RESIZE, SCREEN_RESIZE },
		{ KEY_ENTER, '\n' },
	};
	wint_t ch;
	timeout(wait_ms);
	int got = get_wch(&ch);
	if (got == ERR)
		return wait_ms < 0 || !isatty(STDIN_FILENO) ? SCREEN_CLOSED : KEY_NONE_;
	if (got == OK)
		return ch == '\r' ? '\n' : ch == 0x7f || ch == '\b' ? SCREEN_BACKSPACE : (int)ch;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if ((int)ch == keys[i].curses)
			return keys[i].ours;
	return KEY_NONE_;
}
