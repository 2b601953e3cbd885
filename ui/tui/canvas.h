/* canvas.h - what the screen shows, as a grid of characters with styles. Panes draw here; screen.c carries it to the
 * terminal, tests read it as text. No curses in sight. */
#ifndef UI_TUI_CANVAS_H
#define UI_TUI_CANVAS_H

#include <stdarg.h>
#include <stdint.h>

#include "sim/base.h"

/* Styles by meaning; style.def says how each looks in colour and without. */
enum style {
#define STYLE(NAME, colour, mono, sentence) STYLE_##NAME,
#include "ui/tui/style.def"
	STYLE_N
};

struct cell { uint32_t ch; uint8_t style; };
struct canvas {
	int w, h;
	struct cell *cell;
	bool ascii;                     /* lines and marks from ASCII alone */
	int cursor_x, cursor_y;         /* where typing happens, -1: nowhere */
};

/* Line-drawing and marks: the UTF-8 character and its ASCII twin. */
enum glyph { GLYPH_H, GLYPH_V, GLYPH_TL, GLYPH_TR, GLYPH_BL, GLYPH_BR, GLYPH_HERE, GLYPH_BREAK, GLYPH_BAR, GLYPH_HALF, GLYPH_MORE, GLYPH_LESS,
             GLYPH_RIGHT, GLYPH_DOWN, GLYPH_DOT, GLYPH_MID, GLYPH_LOW, GLYPH_BLANK, GLYPH_N };
uint32_t glyph(const struct canvas *k, enum glyph g);

void canvas_resize(struct canvas *k, int w, int h);
void canvas_free(struct canvas *k);
void canvas_clear(struct canvas *k);
void canvas_put(struct canvas *k, int x, int y, enum style s, uint32_t ch);
/* UTF-8 text, clipped at column `end`; returns the column after it. */
int canvas_text(struct canvas *k, int x, int y, int end, enum style s, const char *text);
void canvas_box(struct canvas *k, int x, int y, int w, int h, enum style s, const char *title);
/* All rows as UTF-8 lines without trailing blanks; the caller frees it. */
char *canvas_dump(const struct canvas *k);

#endif
