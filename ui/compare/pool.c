/* pool.c - cases run in worker processes, as many at a time as there are CPUs.
 *
 * A worker runs one case and leaves its record in an unnamed file; the parent reads it when the worker has ended and keeps
 * it in the folder of results. What a worker does cannot hurt the others: one that dies is a row that says so. The order in
 * which they end has no influence on anything. Ctrl-C reaches all of them; finished ones are kept. */
#include "ui/compare/compare.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "ui/session/session.h"

struct worker { pid_t pid; size_t at; FILE *out; };

enum { WORKER_INTERRUPTED = 90, WORKER_CANNOT_WRITE = 91, JOBS_MAX = 256 };

static void work(const struct case_spec *spec, const char *identity, FILE *out)
{
	struct case_record r;
	int status = 0;

#ifdef __linux__
	prctl(PR_SET_PDEATHSIG, SIGKILL);       /* nobody would read the result */
#endif
	if (!case_run(spec, &r))
		status = WORKER_INTERRUPTED;
	else if (record_write(out, &r, identity) != 0)
		status = WORKER_CANNOT_WRITE;
	_exit(status);
}

static int start(struct worker *w, const struct case_spec *spec, const char *identity, size_t at, struct err *e)
{
	w->out = tmpfile();
	w->at = at;
	if (!w->out)
		return err_set(e, NULL, NULL, "cannot make a temporary file: %s", strerror(errno));
	fflush(NULL);
	w->pid = fork();
	if (w->pid < 0) {
		fclose(w->out);
		return err_set(e, NULL, NULL, "cannot start a worker process: %s", strerror(errno));
	}
	if (w->pid == 0)
		work(spec, identity, w->out);
	return 0;
}

static void died(struct case_record *r, int status)
{
	char text[128];

	memset(r, 0, sizeof *r);
	r->end = CASE_CRASHED;
	if (WIFSIGNALED(status))
		snprintf(text, sizeof text, "the worker was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == WORKER_CANNOT_WRITE)
		snprintf(text, sizeof text, "the worker could not write its result: is the disk of temporary files full?");
	else
		snprintf(text, sizeof text, "the worker ended with status %d: a defect of vmscope", WEXITSTATUS(status));
	r->why = xstrdup(text);
}

static int collect(struct comparison *c, struct worker *w, int status, const char *identity, struct err *e)
{
	struct case_record *r = &c->record[w->at];
	bool interrupted = WIFEXITED(status) && WEXITSTATUS(status) == WORKER_INTERRUPTED;
	int bad = 0;

	rewind(w->out);
	if (interrupted || session_interrupted())
		memset(r, 0, sizeof *r);
	if (interrupted) {
		r->end = CASE_NOT_RUN;
	} else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !record_read(w->out, r, identity)) {
		if (session_interrupted() && WIFSIGNALED(status))
			r->end = CASE_NOT_RUN;
		else
			died(r, status);
	} else if (c->options.results) {
		bad = store_put(c->options.results, identity, r, e);
	}
	fclose(w->out);
	return bad;
}

static void say(const struct comparison *c, size_t done, const struct worker *w, size_t running, bool clear)
{
	if (c->options.quiet || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K");
	if (!clear) {
		fprintf(stderr, "%zu of %zu cases done", done, c->plan.n);
		for (size_t i = 0; i < running && i < 2; i++) {
			const struct case_spec *s = &c->plan.spec[w[i].at];

			fprintf(stderr, "%s %.14s %.18s", i ? "," : "; now", s->workload, s->technique);
		}
	}
	fflush(stderr);
}

static unsigned job_count(unsigned asked)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned n = asked ? asked : online > 0 ? (unsigned)online : 1;

	return n < JOBS_MAX ? n : JOBS_MAX;
}

static void stop_all(const struct worker *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kill(w[i].pid, SIGTERM);
}

/* Cases that still have to be run, in order. */
static size_t next_case(const struct comparison *c, const bool *have, size_t at)
{
	while (at < c->plan.n && have[at])
		at++;
	return at;
}

static int reap(struct comparison *c, struct worker *w, size_t *running, char **identity, size_t *done, struct err *e)
{
	int bad = 0;

	for (size_t i = 0; i < *running;) {
		int status = 0;
		pid_t got = waitpid(w[i].pid, &status, WNOHANG);

		if (got == 0 || (got < 0 && errno == EINTR)) {
			i++;
			continue;
		}
		bad |= collect(c, &w[i], status, identity[w[i].at], e);
		++*done;
		w[i] = w[--*running];
	}
	return bad;
}

int pool_run(struct comparison *c, char **identity, struct err *e)
{
	static const struct timespec nap = { .tv_nsec = 2000000 };
	unsigned jobs = job_count(c->options.jobs);
	struct worker w[JOBS_MAX];
	bool *have = xcalloc(c->plan.n, sizeof *have), stopped = false;
	size_t running = 0, done = 0, at;
	int bad = 0;

	for (size_t i = 0; i < c->plan.n; i++)
		c->record[i].end = CASE_NOT_RUN;
	for (size_t i = 0; c->options.results && !c->options.fresh && i < c->plan.n; i++) {
		struct case_record r;

		have[i] = store_get(c->options.results, identity[i], &r);
		if (have[i])
			c->record[i] = r;
		c->stored += have[i];
	}
	done = c->stored;
	at = next_case(c, have, 0);
	while (running || (at < c->plan.n && !bad && !session_interrupted())) {
		while (running < jobs && at < c->plan.n && !bad && !session_interrupted()) {
			bad = start(&w[running], &c->plan.spec[at], identity[at], at, e);
			running += !bad;
			at = next_case(c, have, at + 1);
		}
		if ((bad || session_interrupted()) && !stopped) {
			stop_all(w, running);
			stopped = true;
		}
		say(c, done, w, running, false);
		nanosleep(&nap, NULL);
		bad |= reap(c, w, &running, identity, &done, e);
	}
	say(c, done, w, running, true);
	c->interrupted = session_interrupted();
	free(have);
	return bad ? -1 : 0;
}
