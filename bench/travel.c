/* travel.c - how long a step back takes, anywhere in a long run.
 *
 *   travel [--cycles N] [--samples N] [--kernel IMAGE --cmdline TEXT] [--initrd F] [KEY=VALUE ...]
 *
 * Runs a guest for N simulated cycles (a thousand million), under native, vmx/ept and vmx/shadow.wp unless keys say
 * otherwise, then goes to random moments and measures in host time what a person would wait for there: a step back, a
 * second one, back to the last exception or interrupt. Figures are printed, never asserted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/timing.h"
#include "sim/rng.h"
#include "ui/session/travel.h"

static int measure(const char *const *keys, size_t n_keys, const struct boot_image *image, cycle_t cycles, unsigned samples)
{
	const struct options o = { .max_cycles = NEVER, .quiet = true };
	struct session s;
	struct setup setup;
	struct err e = { "" };
	struct run *r = NULL;
	session_init(&s, &o);
	setup_init(&setup);
	bool ok = true;
	for (size_t i = 0; i < n_keys && ok; i++)
		ok = setup_set_pair(&setup, keys[i], "bench", &e) == 0;
	ok = ok && setup_finish(&setup, &e) == 0 && (r = session_machine(&s, &setup, &e)) && run_boot(r, image, &e) == 0;
	if (!ok) {
		fprintf(stderr, "travel: %s\n", e.text);
		return 2;
	}
	struct travel *v = travel_open(r);
	struct timeline *t = travel_timeline(v);
	double from = now_ms();
	timeline_run(t, cycles, 0);
	double took = now_ms() - from;
	const struct moment last = timeline_now(t);
	printf("%s %s\n  %.2fe9 cycles, %llu million instructions in %.1f s; a snapshot every %llu thousand instructions, %llu MB of them\n",
	       n_keys > 1 ? keys[1] : "mmu=native", image->cmdline, (double)last.cycle / 1e9, (unsigned long long)(last.step / 1000000), took / 1e3,
	       (unsigned long long)(timeline_interval(t) / 1000), (unsigned long long)(timeline_bytes(t) >> 20));
	double *ms = calloc(3 * (size_t)samples, sizeof *ms), *first = ms, *second = ms + samples, *event = ms + 2 * samples;
	struct rng rng;
	rng_init(&rng, 1, "bench");
	for (unsigned i = 0; i < samples; i++) {
		timeline_goto(t, (struct moment){ 1 + rng_below(&rng, last.step - 1), 0 });
		from = now_ms();
		travel_back(v, 1);
		first[i] = now_ms() - from;
		from = now_ms();
		travel_back(v, 1);
		second[i] = now_ms() - from;
		from = now_ms();
		travel_back_event(v, "exception,interrupt", &e);
		event[i] = now_ms() - from;
	}
	summary(stdout, "a step back", first, samples);
	summary(stdout, "one more", second, samples);
	summary(stdout, "to the last exception or interrupt", event, samples);
	free(ms);
	travel_close(v);
	session_fini(&s);
	return 0;
}

int main(int argc, char **argv)
{
	struct boot_image image = { .kernel = "build/guests/kernel64.elf", .cmdline = "forkwait n=100000" };
	const char *keys[16] = { "ram=64M" };
	size_t n = 1;
	cycle_t cycles = 1000000000;
	unsigned samples = 60;
	for (int i = 1; i < argc; i++) {
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;
		uint64_t number = 0;
		if (strchr(argv[i], '=') && n < ARRAY_LEN(keys))
			keys[n++] = argv[i];
		else if (next && !strcmp(argv[i], "--kernel"))
			image.kernel = argv[++i];
		else if (next && !strcmp(argv[i], "--cmdline"))
			image.cmdline = argv[++i];
		else if (next && !strcmp(argv[i], "--initrd"))
			image.initrd = argv[++i];
		else if (next && !strcmp(argv[i], "--cycles") && parse_number(next, &number) && number)
			cycles = number, i++;
		else if (next && !strcmp(argv[i], "--samples") && parse_number(next, &number) && number && number < 100000)
			samples = (unsigned)number, i++;
		else
			return fprintf(stderr, "usage: travel [--cycles N] [--samples N] [--kernel IMAGE] [--cmdline TEXT] [--initrd F] [KEY=VALUE ...]\n"), 2;
	}
	if (n > 1)
		return measure(keys, n, &image, cycles, samples);
	static const char *const techniques[] = { NULL, "mmu=ept", "mmu=shadow.wp" };
	for (size_t i = 0; i < ARRAY_LEN(techniques); i++) {
		keys[1] = techniques[i];
		int status = measure(keys, techniques[i] ? 2 : 1, &image, cycles, samples);
		if (status)
			return status;
	}
	return 0;
}
