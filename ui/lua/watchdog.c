/* watchdog.c - a timer that notices when nothing moves. It never changes a result: a run either
 * ends by itself or not. */
#include "ui/lua/watchdog.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { SECONDS = 10, PATIENCE = 3 };

static volatile sig_atomic_t alive, running, silent;

static void tick(int sig)
{
	static const char text[] = "the scenario: one library call took more than 30 seconds of host time\n"
	                           "    patterns against long strings can take very long; cut the string first\n";

	(void)sig;
	silent = alive || running ? 0 : silent + 1;
	alive = 0;
	if (silent >= PATIENCE) {
		ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);

		(void)written;
		_exit(2);
	}
}

static void timer(unsigned seconds)
{
	struct itimerval t = { { seconds, 0 }, { seconds, 0 } };

	setitimer(ITIMER_REAL, &t, NULL);
}

void watchdog_start(void)
{
	struct sigaction a = { .sa_handler = tick, .sa_flags = SA_RESTART };

	sigemptyset(&a.sa_mask);
	sigaction(SIGALRM, &a, NULL);
	alive = running = silent = 0;
	timer(SECONDS);
}

void watchdog_alive(void)
{
	alive = 1;
}

void watchdog_machine(bool is)
{
	running = is;
	alive = 1;
}

void watchdog_stop(void)
{
	timer(0);
}
