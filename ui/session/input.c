/* input.c - scripts of what is typed to a guest; see input.h for their form. */
#include "ui/session/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/session/setup.h"

#define INPUT_MAX (16u << 20)

static struct input_step *step_add(struct input *in, enum input_kind kind)
{
	/* grown by doubling: n is a power of two exactly when it is full */
	if ((in->n & (in->n - 1)) == 0)
		in->step = xrealloc(in->step, (in->n ? 2 * in->n : 1) * sizeof *in->step);
	in->step[in->n] = (struct input_step){ .kind = kind };
	return &in->step[in->n++];
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A string in double quotes with C's escapes, alone on the rest of the line. */
static int quoted(const char *p, const char *end, struct input_step *s, const char *where,
                  struct err *e)
{
	static const char from[] = "nrte\\\"", to[] = "\n\r\t\033\\\"";

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (p == end || *p != '"')
		return err_set(e, where, "for example: @expect \"login: \"",
		               "a text in double quotes was expected");
	s->bytes = xcalloc((size_t)(end - p) + 1, 1);
	for (p++; p < end && *p != '"'; p++) {
		const char *at;

		if (*p != '\\') {
			s->bytes[s->n++] = *p;
		} else if (p + 3 < end && p[1] == 'x' && hex(p[2]) >= 0 && hex(p[3]) >= 0) {
			s->bytes[s->n++] = (char)(hex(p[2]) * 16 + hex(p[3]));
			p += 3;
		} else if (p + 1 < end && p[1] && (at = strchr(from, p[1])) != NULL) {
			s->bytes[s->n++] = to[at - from];
			p++;
		} else {
			return err_set(e, where, "known: \\n \\r \\t \\e \\xNN \\\\ \\\"",
			               "unknown escape after '\\'");
		}
	}
	if (p == end)
		return err_set(e, where, NULL, "the closing '\"' is missing");
	return 0;
}

static bool word(const char **p, const char *end, const char *name)
{
	size_t n = strlen(name);

	if ((size_t)(end - *p) < n || memcmp(*p, name, n) != 0 ||
	    (*p + n < end && (*p)[n] != ' ' && (*p)[n] != '\t'))
		return false;
	*p += n;
	return true;
}

static int number(const char *p, const char *end, struct input_step *s, const char *where,
                  struct err *e)
{
	char text[32];

	while (p < end && *p == ' ')
		p++;
	snprintf(text, sizeof text, "%.*s", (int)(end - p < 31 ? end - p : 31), p);
	if (!parse_number(text, &s->value))
		return err_set(e, where, NULL, "'%s': a number was expected", text);
	return 0;
}

static int command(struct input *in, const char *p, const char *end, const char *where,
                   struct err *e)
{
	if (word(&p, end, "#"))
		return 0;
	if (word(&p, end, "expect"))
		return quoted(p, end, step_add(in, INPUT_EXPECT), where, e);
	if (word(&p, end, "send"))
		return quoted(p, end, step_add(in, INPUT_SEND), where, e);
	if (word(&p, end, "wait"))
		return number(p, end, step_add(in, INPUT_WAIT), where, e);
	if (word(&p, end, "exit"))
		return number(p, end, step_add(in, INPUT_EXIT), where, e);
	return err_set(e, where, "known: @expect @send @wait @exit @# @@",
	               "unknown command '@%.*s'",
	               (int)(end - p < 40 ? end - p : 40), p);
}

int input_parse(struct input *in, const char *text, size_t n, const char *where, struct err *e)
{
	unsigned line = 0;

	memset(in, 0, sizeof *in);
	for (const char *p = text; p < text + n;) {
		const char *nl = memchr(p, '\n', (size_t)(text + n - p)), *end = nl ? nl : text + n,
		        *next = nl ? nl + 1 : end;
		char at[256];

		snprintf(at, sizeof at, "%s:%u", where, ++line);
		if (end > p && end[-1] == '\r')
			end--;
		if (end > p && *p == '@' && !(end > p + 1 && p[1] == '@')) {
			if (command(in, p + 1, end, at, e) != 0)
				return -1;
		} else {
			struct input_step *s = step_add(in, INPUT_SEND);

			p += end > p && *p == '@';
			s->n = (size_t)(end - p) + 1;
			s->bytes = xcalloc(s->n, 1);
			memcpy(s->bytes, p, s->n - 1);
			s->bytes[s->n - 1] = '\n';
		}
		p = next;
	}
	return 0;
}

int input_load(struct input *in, const char *path, struct err *e)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	char *text = NULL;
	size_t n = 0, got;
	int status;

	memset(in, 0, sizeof *in);
	if (!f)
		return err_set(e, path, NULL, "cannot open: %s", strerror(errno));
	do {
		text = xrealloc(text, n + 65536);
		got = fread(text + n, 1, 65536, f);
		n += got;
	} while (got && n <= INPUT_MAX);
	if (f != stdin)
		fclose(f);
	status = n > INPUT_MAX ? err_set(e, path, NULL, "longer than 16 MB") :
	         input_parse(in, text, n, path, e);
	free(text);
	return status;
}

void input_fini(struct input *in)
{
	for (size_t i = 0; i < in->n; i++)
		free(in->step[i].bytes);
	free(in->step);
	memset(in, 0, sizeof *in);
}

/* ---- running ---- */

static bool find(struct input *in, const char *console, size_t n)
{
	const struct input_step *s = &in->step[in->at];

	if (in->scanned < in->seen)
		in->scanned = in->seen;
	for (; in->scanned + s->n <= n; in->scanned++)
		if (memcmp(console + in->scanned, s->bytes, s->n) == 0)
			return true;
	return false;
}

bool input_ready(struct input *in, const char *console, size_t n)
{
	return in->at < in->n && in->step[in->at].kind == INPUT_EXPECT && find(in, console, n);
}

cycle_t input_wake(const struct input *in)
{
	return in->at < in->n && in->step[in->at].kind == INPUT_WAIT && in->wake ? in->wake : NEVER;
}

const struct input_step *input_next(struct input *in, const char *console, size_t n, cycle_t now)
{
	while (in->at < in->n) {
		struct input_step *s = &in->step[in->at];

		switch (s->kind) {
		case INPUT_EXPECT:
			if (!find(in, console, n))
				return NULL;
			in->seen = in->scanned + s->n;
			in->at++;
			break;
		case INPUT_WAIT:
			if (!in->wake)
				in->wake = now + s->value;
			if (now < in->wake)
				return NULL;
			in->wake = 0;
			in->at++;
			break;
		default:
			in->at++;
			return s;
		}
	}
	return NULL;
}

/* ---- keyboard ---- */

/* US layout, scan code set 1: index is the make code. */
static const char plain[] = "\0\0331234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\0\033!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

size_t keys_for(const char *text, size_t n, uint8_t *codes, size_t room)
{
	enum { SHIFT = 0x2a, CTRL = 0x1d, RELEASE = 0x80 };
	size_t out = 0;

	for (size_t i = 0; i < n && out + 4 <= room; i++) {
		char c = text[i] == '\r' ? '\n' : text[i];
		uint8_t modifier = 0;
		const char *at = c ? memchr(plain, c, sizeof plain - 1) : NULL;
		unsigned code = at ? (unsigned)(at - plain) : 0;

		if (!code && c && (at = memchr(shifted, c, sizeof shifted - 1)) != NULL) {
			code = (unsigned)(at - shifted);
			modifier = SHIFT;
		}
		if (!code && c > 0 && c < 27) {         /* Control-A ... */
			at = memchr(plain, c - 1 + 'a', sizeof plain - 1);
			code = (unsigned)(at - plain);
			modifier = CTRL;
		}
		if (!code)
			continue;
		if (modifier)
			codes[out++] = modifier;
		codes[out++] = (uint8_t)code;
		codes[out++] = (uint8_t)(code | RELEASE);
		if (modifier)
			codes[out++] = modifier | RELEASE;
	}
	return out;
}
