/* progress.c - the progress line. It alone of all output reads the host's clock, and it goes to a
 * terminal only. */
#include "ui/session/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 78 };

struct progress {
	double begun, last;
	uint64_t last_icount;
	const struct run *last_run;
	bool shown;
};

static double host_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct progress *progress_new(bool quiet)
{
	struct progress *p;

	if (quiet || !isatty(STDERR_FILENO))
		return NULL;
	p = xcalloc(1, sizeof *p);
	p->begun = p->last = host_seconds();
	return p;
}

void progress_free(struct progress *p)
{
	progress_clear(p);
	free(p);
}

void progress_clear(struct progress *p)
{
	if (!p || !p->shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	p->shown = false;
}

/* The last line with something on it, control characters left out. */
static void last_line(const struct run *r, char *buf, size_t room)
{
	size_t end = r->console_n, begin, n = 0;

	while (end && (uint8_t)r->console[end - 1] <= ' ')
		end--;
	for (begin = end; begin && r->console[begin - 1] != '\n';)
		begin--;
	for (; begin < end && n + 1 < room; begin++)
		if ((uint8_t)r->console[begin] >= ' ' && (uint8_t)r->console[begin] < 0x7f)
			buf[n++] = r->console[begin];
	buf[n] = '\0';
}

void progress_show(struct progress *p, const struct run *r)
{
	double now;
	uint64_t icount;
	char line[200], said[80];

	if (!p || (now = host_seconds()) - p->last < 0.5)
		return;
	icount = machine_icount(r->m);
	if (p->last_run != r) {         /* its count begins anew */
		p->last_run = r;
		p->last_icount = icount;
		p->last = now;
		return;
	}
	last_line(r, said, sizeof said);
	snprintf(line, sizeof line, "%.3f s simulated, %.1f MIPS | %s",
	         (double)machine_now(r->m) / (double)r->m->config.profile.hz,
	         (double)(icount - p->last_icount) / (now - p->last) / 1e6, said);
	fprintf(stderr, "\r%.*s\033[K", WIDTH, line);
	fflush(stderr);
	p->shown = true;
	p->last = now;
	p->last_icount = icount;
}
