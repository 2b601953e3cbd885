/* packet.c - see packet.h. */
#include "ui/gdb/packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { OUTSIDE, INSIDE, SUM_HIGH, SUM_LOW };

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum gdb_input outside(struct gdb_parser *p, uint8_t byte)
{
	switch (byte) {
	case '+': return GDB_ACK;
	case '-': return GDB_NAK;
	case 3: return GDB_INTERRUPT;
	case '$':
		p->state = INSIDE;
		p->n = 0;
		p->sum = 0;
		p->escaped = p->overflow = false;
	}
	return GDB_MORE;
}

static void inside(struct gdb_parser *p, uint8_t byte)
{
	if (byte == '#') {
		p->state = SUM_HIGH;
		return;
	}
	if (byte == '$') {              /* a packet that was never finished: this one begins */
		p->n = 0;
		p->sum = 0;
		p->escaped = p->overflow = false;
		return;
	}
	p->sum = (uint8_t)(p->sum + byte);
	if (byte == '}' && !p->escaped) {
		p->escaped = true;
		return;
	}
	if (p->n == GDB_PACKET_MAX)
		p->overflow = true;
	else
		p->data[p->n++] = (char)(p->escaped ? byte ^ 0x20 : byte);
	p->escaped = false;
}

enum gdb_input gdb_parse(struct gdb_parser *p, uint8_t byte)
{
	int d = digit((char)byte);
	switch (p->state) {
	case OUTSIDE:
		return outside(p, byte);
	case INSIDE:
		inside(p, byte);
		return GDB_MORE;
	case SUM_HIGH:
		p->overflow |= d < 0;
		p->want = (uint8_t)((d & 15) << 4);
		p->state = SUM_LOW;
		return GDB_MORE;
	default:
		p->state = OUTSIDE;
		p->data[p->n] = '\0';
		return d < 0 || p->overflow || p->escaped || (p->want | d) != p->sum ? GDB_BAD : GDB_PACKET;
	}
}

void reply_clear(struct gdb_reply *o)
{
	o->n = 0;
	o->full = false;
	o->data[0] = '\0';
}

void reply_bytes(struct gdb_reply *o, const void *p, size_t n)
{
	size_t room = GDB_PACKET_MAX - o->n, k = n < room ? n : room;
	memcpy(o->data + o->n, p, k);
	o->n += k;
	o->data[o->n] = '\0';
	o->full |= k < n;
}

void reply_text(struct gdb_reply *o, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	reply_bytes(o, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

void reply_hex(struct gdb_reply *o, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n && !o->full; i++) {
		uint8_t b = ((const uint8_t *)p)[i];
		reply_bytes(o, (char[]){ digits[b >> 4], digits[b & 15] }, 2);
	}
}

size_t gdb_frame(const char *data, size_t n, char *out)
{
	uint8_t sum = 0;
	char *p = out;
	*p++ = '$';
	for (size_t i = 0; i < n; i++) {
		char c = data[i];
		if (c == '#' || c == '$' || c == '}' || c == '*') {
			*p++ = '}';
			c = (char)(c ^ 0x20);
		}
		*p++ = c;
	}
	for (const char *q = out + 1; q < p; q++)
		sum = (uint8_t)(sum + (uint8_t)*q);
	snprintf(p, 4, "#%02x", sum);
	return (size_t)(p - out) + 3;
}

bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	++*p;
	return true;
}

bool take_word(const char **p, const char *word)
{
	size_t n = strlen(word);
	if (strncmp(*p, word, n) != 0)
		return false;
	*p += n;
	return true;
}

bool take_number(const char **p, uint64_t *v)
{
	unsigned n = 0;
	for (*v = 0; digit(**p) >= 0; ++*p)
		if (++n > 16)
			return false;
		else
			*v = *v << 4 | (uint64_t)digit(**p);
	return n > 0;
}

bool take_bytes(const char **p, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int high = digit((*p)[0]), low = high < 0 ? -1 : digit((*p)[1]);
		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
		*p += 2;
	}
	return true;
}
