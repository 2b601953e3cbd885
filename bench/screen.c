/* screen.c - does the stepping screen feel instant? Host time of a step, of drawing all panes, and of what the terminal is
 * sent, for terminals of three sizes under three techniques, and steps a second with a key held down.
 *
 *   screen [--steps N] [--skip N]
 *
 * A pseudo-terminal takes the place of the terminal; a child reads it empty. Aims: a redraw after a step under 20 ms, a
 * hundred steps a second. Figures are printed on stderr, never asserted. */
#define _XOPEN_SOURCE 700
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "bench/timing.h"
#include "ui/tui/screen.h"
#include "ui/tui/tui.h"

/* Standard input and output become a terminal of this size. */
static pid_t terminal(int w, int h)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
		return -1;
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	struct winsize size = { .ws_row = (unsigned short)h, .ws_col = (unsigned short)w };
	pid_t pid = fork();
	if (pid == 0) {
		char buf[65536];
		close(slave);
		while (read(master, buf, sizeof buf) > 0)
			;
		_exit(0);
	}
	close(master);
	ioctl(slave, TIOCSWINSZ, &size);
	dup2(slave, 0);
	dup2(slave, 1);
	close(slave);
	return pid;
}

static int measure(const char *mmu, int w, int h, unsigned steps, uint64_t skip)
{
	static const struct options o = { .max_cycles = NEVER, .quiet = true };
	struct session s;
	struct setup setup;
	struct err e = { "" };
	struct run *r = NULL;
	double *step = calloc(steps, sizeof *step), *draw = calloc(steps, sizeof *draw), *show = calloc(steps, sizeof *show), *all = calloc(steps, sizeof *all);
	session_init(&s, &o);
	setup_init(&setup);
	bool ok = setup_set(&setup, "mmu", mmu, "bench", &e) == 0 && setup_set(&setup, "ram", "128M", "bench", &e) == 0 && setup_finish(&setup, &e) == 0 &&
	          (r = session_machine(&s, &setup, &e)) != NULL &&
	          run_boot(r, &(struct boot_image){ .kernel = "build/guests/kernel64.elf", .cmdline = "forkwait n=200" }, &e) == 0;
	if (!ok || screen_open(false, &e) != 0) {
		fprintf(stderr, "screen: %s\n", e.text);
		return 2;
	}
	struct tui *t = tui_new(r, w, h, false);
	char keys[40];
	snprintf(keys, sizeof keys, ":step %llu\n", (unsigned long long)skip);
	for (const char *p = keys; *p; p++)
		tui_key(t, *p);
	tui_draw(t);
	screen_show(&t->canvas);
	double from = now_ms();
	for (unsigned i = 0; i < steps; i++) {
		double a = now_ms();
		tui_key(t, 's');
		double b = now_ms();
		tui_draw(t);
		double c = now_ms();
		screen_show(&t->canvas);
		double d = now_ms();
		step[i] = b - a;
		draw[i] = c - b;
		show[i] = d - c;
		all[i] = d - a;
	}
	double took = now_ms() - from;
	screen_close();
	fprintf(stderr, "%s, %dx%d, %zu panes: %.0f steps a second, each drawn\n", mmu, w, h, (size_t)t->places, steps * 1e3 / took);
	summary(stderr, "step", step, steps);
	summary(stderr, "draw", draw, steps);
	summary(stderr, "show", show, steps);
	summary(stderr, "all", all, steps);
	tui_free(t);
	session_fini(&s);
	free(step), free(draw), free(show), free(all);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct { int w, h; } sizes[] = { { 80, 24 }, { 120, 40 }, { 200, 60 } };
	static const char *const mmus[] = { "native", "ept", "shadow.wp" };
	uint64_t steps = 300, skip = 1000000;
	for (int i = 1; i + 1 < argc; i += 2)
		if (!parse_number(argv[i + 1], strcmp(argv[i], "--steps") == 0 ? &steps : &skip))
			return 2;
	setenv("TERM", "xterm-256color", 0);
	for (size_t m = 0; m < ARRAY_LEN(mmus); m++)
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			pid_t reader = terminal(sizes[i].w, sizes[i].h);
			int status = reader > 0 ? measure(mmus[m], sizes[i].w, sizes[i].h, (unsigned)steps, skip) : 2;
			if (reader > 0) {
				kill(reader, SIGKILL);
				waitpid(reader, NULL, 0);
			}
			if (status)
				return status;
		}
	return 0;
}
