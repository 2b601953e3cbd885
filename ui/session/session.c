/* session.c - running machines for a person; see session.h. */
#include "ui/session/session.h"
#include "ui/session/translations.h"
#include "ui/session/travel.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/symbols.h"
#include "models/vmm/vmm.h"
#include "ui/export/ledger_text.h"
#include "ui/export/outfile.h"
#include "ui/export/result.h"
#include "ui/export/trace_file.h"
#include "ui/session/progress.h"
#include "ui/session/stops_impl.h"
#include "ui/session/vm_entry.h"
#include "ui/session/where.h"

#define SLICE 20000000          /* cycles between two looks at progress and input */

/* ---- Ctrl-C, and what a BUG can say: the one machine that runs now ---- */

static struct machine *volatile running;
static volatile sig_atomic_t interrupts;

static void on_sigint(int sig)
{
	struct machine *m = running;

	if (++interrupts > 1)
		_exit(128 + sig);
	if (m)
		machine_interrupt(m);
}

void session_signals(void)
{
	struct sigaction a = { .sa_handler = on_sigint };

	sigemptyset(&a.sa_mask);
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	signal(SIGPIPE, SIG_IGN);       /* a closed pipe is a write error, reported like a full disk */
}

bool session_interrupted(void)
{
	return interrupts != 0;
}

/* Called by BUG(): where the machine was, and what had just happened. */
void bug_context(void);
void bug_context(void)
{
	const struct machine *m = running;
	char line[256];

	if (!m)
		return;
	fprintf(stderr, "  at cycle %" PRIu64 ", instruction %" PRIu64 ", cpu%u rip %#" PRIx64 "\n", machine_now(m),
	        machine_icount(m), m->s.running, cpu_rip(m->cpu[m->s.running]));
	for (uint64_t i = m->trace.count > 16 ? m->trace.count - 16 : 0; i < m->trace.count; i++) {
		trace_format(&m->trace, &m->trace.ring[i & (m->trace.ring_size - 1)], line, sizeof line);
		fprintf(stderr, "  %s\n", line);
	}
}

/* ---- console ---- */

static void console_keep(struct run *r, const uint8_t *bytes, size_t n)
{
	if (r->console_n + n > r->console_room) {
		if (r->console_n + n > CONSOLE_MAX) {   /* forget the older half */
			size_t gone = r->console_n / 2;

			memmove(r->console, r->console + gone, r->console_n - gone);
			r->console_n -= gone;
			r->line = r->line > gone ? r->line - gone : 0;
			r->watch_at = r->watch_at > gone ? r->watch_at - gone : 0;
			r->input.seen = r->input.seen > gone ? r->input.seen - gone : 0;
			r->input.scanned = r->input.scanned > gone ? r->input.scanned - gone : 0;
			r->keys.seen = r->keys.seen > gone ? r->keys.seen - gone : 0;
			r->keys.scanned = r->keys.scanned > gone ? r->keys.scanned - gone : 0;
		}
		while (r->console_n + n > r->console_room) {
			r->console_room = r->console_room ? 2 * r->console_room : 4096;
			r->console = xrealloc(r->console, r->console_room);
		}
	}
	memcpy(r->console + r->console_n, bytes, n);
	r->console_n += n;
}

/* The run whose machine really runs. */
static struct run *runner(struct run *r)
{
	return r->host ? r->host : r;
}

/* Inside the run: nothing here may run the machine or feed it. What the text sets off happens at the next boundary. */
static void on_console(void *who, const uint8_t *bytes, size_t n)
{
	struct run *r = who;

	if (r->echo && !run_recorded(r)) {
		progress_clear(r->session->progress);
		fwrite(bytes, 1, n, stdout);
		if (memchr(bytes, '\n', n))
			fflush(stdout);
	}
	console_keep(r, bytes, n);
	for (size_t i = r->console_n - n; i < r->console_n; i++)
		if (r->console[i] == '\n') {
			if (r->console_line)
				r->console_line(r->console_who, r, r->console + r->line, i - r->line);
			r->line = i + 1;
		}
	for (; r->watch && !r->watch_hit && r->watch_at + r->watch_n <= r->console_n; r->watch_at++)
		if (memcmp(r->console + r->watch_at, r->watch, r->watch_n) == 0) {
			r->watch_hit = true;
			run_ask_stop(r);
		}
	if (input_ready(&r->input, r->console, r->console_n) || input_ready(&r->keys, r->console, r->console_n)) {
		runner(r)->pause = true;
		machine_interrupt(runner(r)->m);
	}
}

/* ---- sessions and machines ---- */

void session_init(struct session *s, const struct options *o)
{
	memset(s, 0, sizeof *s);
	s->o = *o;
	s->progress = progress_new(o->quiet);
}

static void run_free(struct run *r)
{
	if (r->travel)
		travel_close(r->travel);
	for (unsigned i = 0; i < r->vms; i++)
		run_free(r->vm[i]);
	stops_free(r->stops);
	if (!r->host)           /* a host frees its virtual machines */
		machine_free(r->m);
	setup_fini(&r->setup);
	input_fini(&r->input);
	input_fini(&r->keys);
	free(r->console);
	free(r);
}

void session_fini(struct session *s)
{
	running = NULL;
	progress_free(s->progress);
	for (unsigned i = 0; i < TRACE_FILES_MAX; i++)
		trace_export_free(s->trace_export[i]);
	for (size_t i = 0; i < s->n; i++)
		run_free(s->runs[i]);
	free(s->runs);
	guide_free(&s->guide);
	memset(s, 0, sizeof *s);
}

static struct run *run_new(struct session *s, struct setup *setup)
{
	struct run *r = xcalloc(1, sizeof *r);

	r->session = s;
	r->setup = *setup;
	memset(setup, 0, sizeof *setup);
	if (s->o.seed_given)
		r->setup.config.seed = s->o.seed;
	r->echo = true;
	return r;
}

/* What is typed goes to the first machine of the session, or to its first virtual one. */
static int load_input(struct run *r, struct err *e)
{
	const struct options *o = &r->session->o;

	if (o->input && input_load(&r->input, o->input, e) != 0)
		return -1;
	return o->keys ? input_load(&r->keys, o->keys, e) : 0;
}

struct run *session_vm(struct run *host, struct setup *setup, struct err *e)
{
	struct session *s = host->session;
	struct run *r = run_new(s, setup);

	r->host = host;
	snprintf(r->name, sizeof r->name, "%.8s.vm%u", host->name, host->vms + 1);
	r->m = machine_vm(host->m, &r->setup.config, &r->setup.vm, e);
	if (!r->m) {
		run_free(r);
		return NULL;
	}
	host->vm[host->vms++] = r;
	machine_on_console(r->m, on_console, r);
	if (s->n && host == s->runs[0] && host->vms == 1) {
		input_fini(&host->input);
		input_fini(&host->keys);
		if (load_input(r, e) != 0)
			return NULL;
	}
	return r;
}

/* The machine under a virtual one: as big as the guest's memory, the VMM's tables and its code ask for. */
static void host_setup(struct setup *host, const struct setup *guest)
{
	uint64_t ram = guest->config.ram, huge = 1ull << guest->vm.page_shift;

	setup_init(host);
	host->config = guest->config;
	memset(host->config.disk, 0, sizeof host->config.disk);
	host->config.ram = ((ram + ram / 16 + (64ull << 20) + guest->vm.shadow_limit) | ((2ull << 20) - 1)) + 1 + (huge > 2ull << 20 ? 2 * huge : 0);
	if (host->config.ram + ram > MEM_LOW_MAX)       /* the guest's memory must not straddle the PCI hole */
		host->config.ram += ram + MEM_HIGH - MEM_LOW_MAX;
	host->config.cpus = guest->host_cpus ? guest->host_cpus : guest->config.cpus;
	snprintf(host->profile, sizeof host->profile, "%s", guest->profile);
}

static struct run *machine_run_new(struct session *s, struct setup *setup, struct err *e)
{
	struct run *r = run_new(s, setup);

	snprintf(r->name, sizeof r->name, "m%zu", s->n);
	r->m = machine_new(&r->setup.config, e);
	if (!r->m) {
		run_free(r);
		return NULL;
	}
	s->runs = xrealloc(s->runs, (s->n + 1) * sizeof *s->runs);
	s->runs[s->n++] = r;
	r->m->reset_on_shutdown = r->setup.reset_on_shutdown;
	machine_on_console(r->m, on_console, r);
	for (unsigned i = 0; i < s->o.n_traces; i++) {
		if (!s->trace_export[i] && !(s->trace_export[i] = trace_export_new(s->o.trace[i], e)))
			return NULL;
		if (trace_export_listen(s->trace_export[i], r, e) != 0)
			return NULL;
	}
	return s->n == 1 && load_input(r, e) != 0 ? NULL : r;
}

struct run *session_machine(struct session *s, struct setup *setup, struct err *e)
{
	struct setup host;
	struct run *r;

	if (!setup_virtual(setup))
		return machine_run_new(s, setup, e);
	host_setup(&host, setup);
	r = machine_run_new(s, &host, e);
	return r && session_vm(r, setup, e) ? r : NULL;
}

int run_boot(struct run *r, const struct boot_image *image, struct err *e)
{
	struct run *face = run_face(r);

	r->image = face->image = setup_keep(&face->setup, image->kernel);
	if (machine_boot(face->m, image, e) != 0)
		return -1;
	if (r->session->o.restore && r->session->n && r == r->session->runs[0])
		return snap_load(r->m->snaps, r->session->o.restore, e);
	return 0;
}

/* ---- running ---- */

/* A virtual machine's time is its host's. */
static cycle_t run_now(const struct run *r)
{
	return machine_now(r->host ? r->host->m : r->m);
}

static void feed(struct run *r, struct input *in, bool keyboard)
{
	const struct input_step *s;
	uint8_t codes[1024];

	while ((s = input_next(in, r->console, r->console_n, run_now(r))) != NULL) {
		if (s->kind == INPUT_EXIT) {
			r->exit_asked = true;
			r->exit_status = (int)(s->value & 0xff);
			return;
		}
		if (!keyboard) {
			machine_serial_input(r->m, (const uint8_t *)s->bytes, s->n);
			continue;
		}
		for (size_t at = 0; at < s->n; at += 200)
			machine_key_input(r->m, codes, keys_for(s->bytes + at, s->n - at < 200 ? s->n - at : 200, codes, sizeof codes));
	}
}

static cycle_t least(cycle_t a, cycle_t b)
{
	return a < b ? a : b;
}

/* When a script next wants to do something because time has passed. */
static cycle_t scripts_wake(const struct run *r)
{
	cycle_t when = least(input_wake(&r->input), input_wake(&r->keys));

	for (unsigned i = 0; i < r->vms; i++)
		when = least(when, scripts_wake(r->vm[i]));
	return when;
}

/* Nothing will ever happen, but the script waits for time to pass: it has passed. */
static bool end_wait(struct run *r)
{
	struct input *in[] = { &r->input, &r->keys };
	bool any = false;

	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		if (input_wake(in[i]) != NEVER) {
			in[i]->wake = 1;
			any = true;
		}
	for (unsigned i = 0; i < r->vms; i++)
		any |= end_wait(r->vm[i]);
	return any;
}

void run_ask_stop(struct run *r)
{
	r = runner(r);
	r->pause = r->stop_asked = true;
	machine_interrupt(r->m);
}

/* --stop, as the first run begins: its kernels are loaded, what the stops name is there. */
static int add_stops(struct run *r, struct err *e)
{
	struct options *o = &r->session->o;
	unsigned n = o->n_stops;

	o->n_stops = 0;
	for (unsigned i = 0; i < n; i++)
		if (!stops_add(run_face(r), o->stop[i], e)) {
			struct err why = *e;

			e->text[0] = '\0';
			return err_set(e, "--stop", NULL, "%s", why.text);
		}
	return 0;
}

enum machine_stop run_until(struct run *r, cycle_t until, uint64_t n)
{
	const struct options *o = &r->session->o;
	struct machine *m = r->m;
	uint64_t icount = machine_icount(m), end = n ? icount + n : 0;
	enum machine_stop why;

	until = least(until, o->max_cycles);
	if (o->max_instructions && (!end || end > o->max_instructions))
		end = o->max_instructions;
	if (add_stops(r, &r->session->late) != 0)
		return r->last = MACHINE_STOP_USER;
	if (r->session->stepper) {
		int (*stepper)(void *, struct run *, struct err *) = r->session->stepper;

		r->session->stepper = NULL;
		if (stepper(r->session->stepper_who, r, &r->session->late) != 1)
			return r->last;
	}
	r->started = true;
	r->stop_asked = false;
	stops_begin(r->stops);
	for (;;) {
		running = NULL;
		feed(r, &r->input, false);
		feed(r, &r->keys, true);
		for (unsigned i = 0; i < r->vms; i++) {
			feed(r->vm[i], &r->vm[i]->input, false);
			feed(r->vm[i], &r->vm[i]->keys, true);
			r->exit_asked |= r->vm[i]->exit_asked;
			r->exit_status |= r->vm[i]->exit_status;
		}
		icount = machine_icount(m);
		why = MACHINE_STOP_USER;
		if (r->exit_asked || r->stop_asked || interrupts)
			break;
		why = MACHINE_STOP_CYCLES;
		if (machine_now(m) >= until)
			break;
		why = MACHINE_STOP_ICOUNT;
		if (end && icount >= end)
			break;
		running = m;
		r->pause = false;
		why = machine_run(m, least(until, least(machine_now(m) + SLICE, scripts_wake(r))),
		                  end ? end - icount : 0);
		if (r->echo)
			fflush(stdout);
		progress_show(r->session->progress, r);
		if (why == MACHINE_STOP_IDLE && end_wait(r))
			continue;
		if (why == MACHINE_STOP_CYCLES || (why == MACHINE_STOP_USER && (r->pause || interrupts)))
			continue;
		break;
	}
	running = NULL;
	progress_clear(r->session->progress);
	r->last = why;
	if (why == MACHINE_STOP_BREAK)
		stops_stopped(r->stops);
	return why;
}

const char *stop_name(enum machine_stop why)
{
	static const char *const name[] = {
		[MACHINE_STOP_CYCLES] = "cycles", [MACHINE_STOP_ICOUNT] = "instructions", [MACHINE_STOP_GUEST_EXIT] = "guest-exit",
		[MACHINE_STOP_SHUTDOWN] = "shutdown", [MACHINE_STOP_RESET] = "reset", [MACHINE_STOP_IDLE] = "idle",
		[MACHINE_STOP_BREAK] = "break", [MACHINE_STOP_USER] = "user",
	};

	return name[why];
}

static const char *place(const struct run *r, char *buf, size_t n)
{
	const struct cpu *c = r->m->cpu[r->m->s.running];
	uint64_t rip = cpu_rip(c), off = 0;
	const struct symbol *sym = symtab_at(run_face(r)->m->symbols, rip, &off);

	if (sym)
		snprintf(buf, n, "cpu%u at %#" PRIx64 " (%s+%#" PRIx64 ")", c->number, rip, sym->name, off);
	else
		snprintf(buf, n, "cpu%u at %#" PRIx64, c->number, rip);
	return buf;
}

/* What the VMM met that it does not model, or NULL. */
static const char *refusal(const struct run *r)
{
	for (unsigned i = 0; r->m->vmm && i < r->m->vmm->vms; i++)
		if (r->m->vmm->vm[i]->refused[0])
			return r->m->vmm->vm[i]->refused;
	return NULL;
}

const char *stop_sentence(const struct run *r, char *buf, size_t n)
{
	char at[160];

	place(r, at, sizeof at);
	switch (r->last) {
	case MACHINE_STOP_CYCLES:
		snprintf(buf, n, "the cycle limit was reached, %s", at);
		break;
	case MACHINE_STOP_ICOUNT:
		snprintf(buf, n, "the instruction limit was reached, %s", at);
		break;
	case MACHINE_STOP_GUEST_EXIT:
		snprintf(buf, n, "the guest ended the run, exit status %d", run_status(r));
		break;
	case MACHINE_STOP_SHUTDOWN:
		if (refusal(r))
			snprintf(buf, n, "the VMM stopped the guest: %s", refusal(r));
		else
			snprintf(buf, n, "shutdown: a triple fault, %s", at);
		break;
	case MACHINE_STOP_RESET:
		snprintf(buf, n, "the guest asked for a reset, %s", at);
		break;
	case MACHINE_STOP_IDLE:
		snprintf(buf, n, "every CPU is halted and nothing can wake one, %s", at);
		break;
	case MACHINE_STOP_BREAK:
		if (stops_hit(r))
			snprintf(buf, n, "%s, %s", stops_hit(r)->why, at);
		else
			snprintf(buf, n, "breakpoint, %s", at);
		break;
	case MACHINE_STOP_USER:
		if (r->exit_asked)
			snprintf(buf, n, "the input script ended the run, exit status %d", r->exit_status);
		else
			snprintf(buf, n, "interrupted, %s", at);
		break;
	}
	return buf;
}

int run_status(const struct run *r)
{
	if (r->exit_asked)
		return r->exit_status;
	switch (r->last) {
	case MACHINE_STOP_GUEST_EXIT:
		return (int)(r->m->s.exit_status & 0xff);
	case MACHINE_STOP_IDLE:
	case MACHINE_STOP_BREAK:        /* where it was asked to */
		return 0;
	default:
		return 1;
	}
}

/* ---- the end ---- */

static void print_screen(const struct run *r)
{
	static char lines[25][80 * 4 + 1];
	int last = 24;

	machine_screen_text(run_face(r)->m, lines);
	while (last >= 0 && lines[last][strspn(lines[last], " ")] == '\0')
		last--;
	for (int i = 0; i <= last; i++) {
		size_t n = strlen(lines[i]);

		while (n && lines[i][n - 1] == ' ')
			n--;
		printf("%.*s\n", (int)n, lines[i]);
	}
}

int session_finish(struct session *s, struct err *e)
{
	char text[256];

	progress_clear(s->progress);
	fflush(stdout);
	for (unsigned i = 0; i < TRACE_FILES_MAX; i++)
		if (s->trace_export[i] && trace_export_close(s->trace_export[i], e) != 0)
			return -1;
	for (size_t i = 0; i < s->n; i++) {
		struct run *r = s->runs[i];

		if (!r->started)
			continue;
		if (s->o.screen)
			print_screen(r);
		const struct run *face = run_face(r);
		if (face->echo && face->console_n && face->console[face->console_n - 1] != '\n' && isatty(STDOUT_FILENO))
			putchar('\n');
		fflush(stdout);
		if (!s->o.quiet) {
			if (s->n > 1)
				fprintf(stderr, "%s: ", r->name);
			fprintf(stderr, "%s\n", stop_sentence(r, text, sizeof text));
			if (r->last == MACHINE_STOP_BREAK)
				where_print(stderr, r);
			else if (r->last != MACHINE_STOP_GUEST_EXIT || run_status(r))
				vm_entry_print(stderr, r->m);
			(s->o.ledger ? ledger_text_full : ledger_text_short)(stderr, r->m);
		} else if (s->o.ledger) {
			ledger_text_full(stderr, r->m);
		}
	}
	if (s->o.save && s->n && snap_save(s->runs[0]->m->snaps, s->o.save, e) != 0)
		return -1;
	for (unsigned i = 0; i < s->o.n_stats; i++)
		if (result_stats(s, s->o.stats[i], e) != 0)
			return -1;
	if (s->o.blocks && translations_write(s, s->o.blocks, e) != 0)
		return -1;
	return s->o.json ? result_json(s, s->o.json, e) : 0;
}
