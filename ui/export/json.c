/* json.c - a small JSON writer. Source: RFC 8259. */
#include "ui/export/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void json_init(struct json *j, FILE *f, bool compact)
{
	*j = (struct json){ .f = f, .first = true, .compact = compact };
}

/* Length of the valid UTF-8 sequence at p, 0 when there is none. */
static size_t utf8(const uint8_t *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xc2 &&
	             p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 &&
	             p[0] < 0xf5 ? 4 : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
	    (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;       /* overlong, a surrogate, beyond U+10FFFF */
	return len;
}

static void text(FILE *f, const char *v, size_t n)
{
	fputc('"', f);
	for (size_t i = 0; i < n;) {
		uint8_t c = (uint8_t)v[i];
		size_t len = utf8((const uint8_t *)v + i, n - i);

		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", f);
		else if (c == '\t')
			fputs("\\t", f);
		else if (c < 0x20 || c == 0x7f)
			fprintf(f, "\\u%04x", c);
		else if (len == 0)
			fputs("\\ufffd", f);
		else
			fwrite(v + i, 1, len, f);
		i += len ? len : 1;
	}
	fputc('"', f);
}

static void newline(struct json *j)
{
	if (j->compact)
		return;
	fputc('\n', j->f);
	for (unsigned i = 0; i < j->depth; i++)
		fputs("  ", j->f);
}

static void before(struct json *j, const char *key)
{
	if (!j->first)
		fputc(',', j->f);
	if (j->depth)
		newline(j);
	j->first = false;
	if (key) {
		text(j->f, key, strlen(key));
		fputs(j->compact ? ":" : ": ", j->f);
	}
}

static void begin(struct json *j, const char *key, char bracket)
{
	before(j, key);
	fputc(bracket, j->f);
	j->depth++;
	j->first = true;
}

static void end(struct json *j, char bracket)
{
	bool empty = j->first;

	j->depth--;
	j->first = false;
	if (!empty)
		newline(j);
	fputc(bracket, j->f);
	if (!j->depth)
		fputc('\n', j->f);
	if (!j->depth)
		j->first = true;        /* the next document of a stream */
}

void json_object(struct json *j, const char *key) { begin(j, key, '{'); }
void json_array(struct json *j, const char *key) { begin(j, key, '['); }
void json_end_object(struct json *j) { end(j, '}'); }
void json_end_array(struct json *j) { end(j, ']'); }
void json_u64(struct json *j, const char *key, uint64_t v)
{
	before(j, key);
	fprintf(j->f, "%" PRIu64, v);
}
void json_i64(struct json *j, const char *key, int64_t v)
{
	before(j, key);
	fprintf(j->f, "%" PRId64, v);
}
void json_number(struct json *j, const char *key, const char *digits) { before(j, key); fputs(digits, j->f); }
void json_bool(struct json *j, const char *key, bool v)
{
	before(j, key);
	fputs(v ? "true" : "false", j->f);
}
void json_null(struct json *j, const char *key) { before(j, key); fputs("null", j->f); }

void json_real(struct json *j, const char *key, double v)
{
	before(j, key);
	if (isfinite(v))
		fprintf(j->f, "%.15g", v);
	else
		fputs("null", j->f);
}

void json_bytes(struct json *j, const char *key, const char *v, size_t n)
{
	before(j, key);
	text(j->f, v, n);
}

void json_text(struct json *j, const char *key, const char *v)
{
	json_bytes(j, key, v, strlen(v));
}
