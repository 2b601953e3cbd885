/* ulib.c - printing, failing, memory. */
#include "user.h"

struct line {
	char text[160];
	unsigned used;
};

static void put(void *to, char c)
{
	struct line *line = to;

	if (line->used < sizeof(line->text))
		line->text[line->used++] = c;
}

/* One system call for the whole line, so that lines of several processes do not mix. */
void print(const char *text, ...)
{
	struct line line;
	va_list values;

	line.used = 0;
	va_start(values, text);
	format(put, &line, text, values);
	va_end(values);
	sys(SYS_write, (uintptr_t)line.text, line.used, 0);
}

void fail(const char *what)
{
	print("%s: FAILED\n", what);
	for (;;)
		exit(1);
}

void *map(const struct params *p, uint32_t bytes)
{
	intptr_t address = sys(SYS_mmap, bytes, p->page_bytes, 1);

	if (address == 0 || address == -1)
		fail("mmap");
	return (void *)address;
}
