/* canvas.c - see canvas.h. */
#include "ui/tui/canvas.h"

#include <stdlib.h>
#include <string.h>

#include "sim/err.h"

static const struct { uint32_t utf8; char ascii; } glyphs[GLYPH_N] = {
	[GLYPH_H] = { 0x2500, '-' }, [GLYPH_V] = { 0x2502, '|' }, [GLYPH_TL] = { 0x250c, '+' }, [GLYPH_TR] = { 0x2510, '+' },
	[GLYPH_BL] = { 0x2514, '+' }, [GLYPH_BR] = { 0x2518, '+' }, [GLYPH_HERE] = { 0x25b6, '>' }, [GLYPH_BREAK] = { 0x25cf, '*' },
	[GLYPH_BAR] = { 0x2588, '#' }, [GLYPH_HALF] = { 0x258c, '=' }, [GLYPH_MORE] = { 0x25bc, 'v' }, [GLYPH_LESS] = { 0x25b2, '^' },
	[GLYPH_RIGHT] = { 0x2192, '>' }, [GLYPH_DOWN] = { 0x2193, 'v' }, [GLYPH_DOT] = { 0x00b7, '.' },
	[GLYPH_MID] = { 0x2592, '+' }, [GLYPH_LOW] = { 0x2591, ':' }, [GLYPH_BLANK] = { ' ', ' ' },
};

uint32_t glyph(const struct canvas *k, enum glyph g)
{
	return k->ascii ? (uint32_t)glyphs[g].ascii : glyphs[g].utf8;
}

void canvas_resize(struct canvas *k, int w, int h)
{
	k->w = w > 0 ? w : 1;
	k->h = h > 0 ? h : 1;
	k->cell = xrealloc(k->cell, (size_t)k->w * (size_t)k->h * sizeof *k->cell);
	canvas_clear(k);
}

void canvas_free(struct canvas *k)
{
	free(k->cell);
	k->cell = NULL;
}

void canvas_clear(struct canvas *k)
{
	for (int i = 0; i < k->w * k->h; i++)
		k->cell[i] = (struct cell){ ' ', STYLE_NORMAL };
	k->cursor_x = k->cursor_y = -1;
}

void canvas_put(struct canvas *k, int x, int y, enum style s, uint32_t ch)
{
	if (x >= 0 && x < k->w && y >= 0 && y < k->h)
		k->cell[y * k->w + x] = (struct cell){ ch < ' ' || ch == 0x7f ? '.' : ch, (uint8_t)s };
}

/* One code point of possibly broken UTF-8: broken bytes come out as '?'. */
static uint32_t next_char(const char **p)
{
	const uint8_t *s = (const uint8_t *)*p;
	unsigned n = s[0] < 0x80 ? 0 : s[0] >> 5 == 6 ? 1 : s[0] >> 4 == 14 ? 2 : s[0] >> 3 == 30 ? 3 : 4;
	uint32_t ch = n == 0 ? s[0] : s[0] & (0x3fu >> n);
	if (n == 4) {
		++*p;
		return '?';
	}
	for (unsigned i = 1; i <= n; i++) {
		if (s[i] >> 6 != 2) {
			*p += i;
			return '?';
		}
		ch = ch << 6 | (s[i] & 0x3f);
	}
	*p += n + 1;
	return ch;
}

int canvas_text(struct canvas *k, int x, int y, int end, enum style s, const char *text)
{
	while (*text && x < end) {
		uint32_t ch = next_char(&text);
		if (ch == '\t') {
			for (int i = 0; i < 4 && x < end; i++)
				canvas_put(k, x++, y, s, ' ');
			continue;
		}
		canvas_put(k, x++, y, s, k->ascii && ch > 0x7e ? '?' : ch);
	}
	return x;
}

void canvas_box(struct canvas *k, int x, int y, int w, int h, enum style s, const char *title)
{
	for (int i = 1; i < w - 1; i++) {
		canvas_put(k, x + i, y, STYLE_DIM, glyph(k, GLYPH_H));
		canvas_put(k, x + i, y + h - 1, STYLE_DIM, glyph(k, GLYPH_H));
	}
	for (int i = 1; i < h - 1; i++) {
		canvas_put(k, x, y + i, STYLE_DIM, glyph(k, GLYPH_V));
		canvas_put(k, x + w - 1, y + i, STYLE_DIM, glyph(k, GLYPH_V));
	}
	canvas_put(k, x, y, STYLE_DIM, glyph(k, GLYPH_TL));
	canvas_put(k, x + w - 1, y, STYLE_DIM, glyph(k, GLYPH_TR));
	canvas_put(k, x, y + h - 1, STYLE_DIM, glyph(k, GLYPH_BL));
	canvas_put(k, x + w - 1, y + h - 1, STYLE_DIM, glyph(k, GLYPH_BR));
	canvas_text(k, x + 2, y, x + w - 1, s, title);
}

static size_t encode(uint32_t ch, char *out)
{
	if (ch < 0x80) {
		out[0] = (char)ch;
		return 1;
	}
	if (ch < 0x800) {
		out[0] = (char)(0xc0 | ch >> 6);
		out[1] = (char)(0x80 | (ch & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | ch >> 12);
	out[1] = (char)(0x80 | (ch >> 6 & 0x3f));
	out[2] = (char)(0x80 | (ch & 0x3f));
	return 3;
}

char *canvas_dump(const struct canvas *k)
{
	char *text = xcalloc(1, (size_t)k->h * ((size_t)k->w * 3 + 1) + 1), *p = text;
	for (int y = 0; y < k->h; y++) {
		int end = k->w;
		while (end > 0 && k->cell[y * k->w + end - 1].ch == ' ')
			end--;
		for (int x = 0; x < end; x++)
			p += encode(k->cell[y * k->w + x].ch, p);
		*p++ = '\n';
	}
	return text;
}
