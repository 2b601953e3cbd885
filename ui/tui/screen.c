/* screen.c - see screen.h. */
#define _XOPEN_SOURCE_EXTENDED 1
#include "ui/tui/screen.h"

#include <curses.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <termios.h>
#include <time.h>
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

/* ---- whatever happens ----
 *
 * Signals that end the program are noted and looked at where a key is read; a second one, and a crash, restore the
 * terminal from the handler with what was prepared: write() and tcsetattr() are all that is allowed there. */

static const int ending[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT }, crashing[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static struct sigaction before_ending[ARRAY_LEN(ending)], before_crashing[ARRAY_LEN(crashing)];
static volatile sig_atomic_t ended, poked;
static struct termios cooked;
static char restore_text[200];
static size_t restore_n;

static void restore_terminal(void)
{
	if (write(STDOUT_FILENO, restore_text, restore_n) < 0 || tcsetattr(STDIN_FILENO, TCSANOW, &cooked) != 0)
		return;
}

static void on_ending(int sig)
{
	if (sig == SIGINT) {            /* from kill: as the key */
		poked = 1;
		return;
	}
	if (ended) {
		restore_terminal();
		_exit(128 + sig);
	}
	ended = sig;
}

static void on_crash(int sig)
{
	restore_terminal();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void prepare(void)
{
	static const char *const names[] = { "rmkx", "cnorm", "sgr0", "rmcup" };
	tcgetattr(STDIN_FILENO, &cooked);
	restore_n = 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *text = tigetstr((char *)(uintptr_t)names[i]);
		size_t n = text && text != (const char *)-1 ? strlen(text) : 0;
		if (restore_n + n < sizeof restore_text) {
			memcpy(restore_text + restore_n, text, n);
			restore_n += n;
		}
	}
	ended = poked = 0;
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		sigaction(ending[i], &(struct sigaction){ .sa_handler = on_ending }, &before_ending[i]);
	for (size_t i = 0; i < ARRAY_LEN(crashing); i++)
		sigaction(crashing[i], &(struct sigaction){ .sa_handler = on_crash }, &before_crashing[i]);
}

void bug_begins(void);
void bug_begins(void) { screen_close(); }

int screen_open(bool mono, struct err *e)
{
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return err_set(e, NULL, "without a terminal: vmscope run or vmscope boot", "the stepping screen needs a terminal");
	setlocale(LC_CTYPE, "");
	struct termios was;
	tcgetattr(STDIN_FILENO, &was);
	if (!newterm(NULL, stdout, stdin))
		return err_set(e, NULL, "set TERM to what the terminal is, for example TERM=xterm", "the terminal type '%s' is unknown",
		               getenv("TERM") ? getenv("TERM") : "");
	prepare();
	cooked = was;
	screen.open = true;
	atexit(screen_close);
	raw();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	set_escdelay(25);
	screen.colour = !mono && !(getenv("NO_COLOR") && *getenv("NO_COLOR")) && has_colors();
	if (screen.colour) {
		start_color();
		use_default_colors();
		for (short i = 0; i < STYLE_N; i++)
			init_pair((short)(i + 1), looks[i].colour, -1);
	}
	return 0;
}

/* What ended the screen from outside is handed on, now that the terminal is as it was. */
void screen_close(void)
{
	if (!screen.open)
		return;
	screen.open = false;
	endwin();
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		sigaction(ending[i], &before_ending[i], NULL);
	for (size_t i = 0; i < ARRAY_LEN(crashing); i++)
		sigaction(crashing[i], &before_crashing[i], NULL);
	if (ended)
		raise(ended);
}

/* Ctrl-Z: the terminal is the shell's until fg. */
void screen_suspend(void)
{
	def_prog_mode();
	endwin();
	raise(SIGTSTP);
	reset_prog_mode();
	clearok(curscr, TRUE);
	refresh();
}

bool screen_is_open(void) { return screen.open; }
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

/* ---- keys ---- */

int64_t screen_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct screen_mouse last_mouse;
struct screen_mouse screen_mouse(void) { return last_mouse; }

void screen_mouse_on(bool on)
{
	if (screen.open)
		mousemask(on ? BUTTON1_CLICKED | BUTTON1_PRESSED | BUTTON1_DOUBLE_CLICKED | BUTTON4_PRESSED | BUTTON5_PRESSED : 0, NULL);
}

static int key_of(int got, wint_t ch)
{
	static const struct { int curses, ours; } keys[] = {
		{ KEY_UP, SCREEN_UP }, { KEY_DOWN, SCREEN_DOWN }, { KEY_LEFT, SCREEN_LEFT }, { KEY_RIGHT, SCREEN_RIGHT },
		{ KEY_PPAGE, SCREEN_PAGE_UP }, { KEY_NPAGE, SCREEN_PAGE_DOWN }, { KEY_HOME, SCREEN_HOME }, { KEY_END, SCREEN_END },
		{ KEY_BACKSPACE, SCREEN_BACKSPACE }, { KEY_DC, SCREEN_DELETE }, { KEY_BTAB, SCREEN_BACKTAB }, { KEY_RESIZE, SCREEN_RESIZE },
		{ KEY_ENTER, '\n' },
	};
	if (got == OK)
		return ch == '\r' ? '\n' : ch == 0x7f || ch == '\b' ? SCREEN_BACKSPACE : (int)ch;
	if ((int)ch == KEY_MOUSE) {
		MEVENT event;
		if (getmouse(&event) != OK)
			return KEY_NONE_;
		last_mouse = (struct screen_mouse){ event.x, event.y, event.bstate & BUTTON4_PRESSED ? -1 : event.bstate & BUTTON5_PRESSED ? 1 : 0,
		                                    event.bstate & BUTTON1_DOUBLE_CLICKED };
		return SCREEN_MOUSE;
	}
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if ((int)ch == keys[i].curses)
			return keys[i].ours;
	return KEY_NONE_;
}

static bool gone(void)
{
	return ended || !isatty(STDIN_FILENO);
}

int screen_key(int wait_ms)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	wint_t ch;
	timeout(0);
	for (bool polled = false;; polled = true) {
		int got = get_wch(&ch), key = got == ERR ? KEY_NONE_ : key_of(got, ch);
		if (gone())
			return SCREEN_CLOSED;
		if (key != KEY_NONE_)
			return key;
		if (poked) {
			poked = 0;
			return 3;
		}
		if (polled && in.revents && got == ERR)         /* something was there, and it was the end */
			return SCREEN_CLOSED;
		if (got != ERR)
			continue;
		in.revents = 0;
		int n = poll(&in, 1, wait_ms);
		if (n == 0)
			return KEY_NONE_;
	}
}

/* A key that stops a run stays to be done when it says more than that. */
bool screen_waiting(bool any)
{
	wint_t ch;
	if (!screen.open)
		return false;
	if (gone() || poked) {
		poked = 0;
		return true;
	}
	timeout(0);
	int got = get_wch(&ch);
	if (got == ERR)
		return false;
	bool stops = got == OK && (ch == 3 || ch == 27 || ch == 26);
	if (!(stops && ch != 26) && !(any && got == OK && ch == ' ')) {
		if (got == OK)
			unget_wch((wchar_t)ch);
		else
			ungetch((int)ch);
	}
	return stops || any;
}
