/* Fuzz target: snapshot files. The first byte chooses: even, the rest is a file as it is; odd, the rest are changes to a
 * valid file ({ section, 2 bytes offset, what } each) whose checksums are then made right again, so that impossible states
 * come in with nothing to show for it. Refused whole, or loaded and then run for a moment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "models/machine.h"
#include "sim/snap_impl.h"
#include "tests/fuzz/fuzz.h"

enum { HEAD = 40, SECTION_HEAD = 40 };

static void sum_at(uint8_t *p, const uint8_t *from)
{
	uint64_t sum = snap_mix(0, from, (size_t)(p - from));

	memcpy(p, &sum, 8);
}

/* Walk the file by the valid one's sizes, which no change touches: changes go into the sections' bytes and RAM only. */
static void mend(uint8_t *file, size_t n, const struct snaps *s)
{
	size_t at = HEAD;

	sum_at(file + 32, file);
	for (size_t i = 0; i < s->sections; i++) {
		size_t end = at + SECTION_HEAD + s->section[i].size;

		sum_at(file + end, file + at);
		at = end + 8;
	}
	sum_at(file + n - 8, file + at);
}

/* Where in the file byte `off` of section k's state is. */
static size_t state_at(size_t k, size_t off, const struct snaps *s)
{
	size_t at = HEAD + SECTION_HEAD;

	for (size_t i = 0; i < k; i++)
		at += SECTION_HEAD + s->section[i].size + 8;
	return at + off % s->section[k].size;
}

static size_t slurp(const char *path, uint8_t **bytes)
{
	FILE *f = fopen(path, "rb");
	size_t n = 0, got;

	*bytes = NULL;
	do {
		*bytes = xrealloc(*bytes, n + 65536);
		got = fread(*bytes + n, 1, 65536, f);
		n += got;
	} while (got);
	fclose(f);
	return n;
}

static void spill(const char *path, const uint8_t *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(bytes, 1, n, f) != n)
		abort();
	fclose(f);
}

int fuzz_snapshot(const uint8_t *data, size_t n)
{
	struct machine_config c;
	struct err e = { "" };
	char path[64];
	bool raw = n == 0 || !(data[0] & 1);
	uint64_t before;

	static uint8_t *valid;          /* a snapshot of the machine as it begins, kept from one call to the next */
	static size_t valid_n;

	snprintf(path, sizeof path, "/tmp/vmscope-fuzz-%d", (int)getpid());
	machine_config_defaults(&c);
	c.ram = 1 << 20;
	c.trace_ring = 64;
	c.profile.l2_size = 65536;      /* small sections: more attempts in a second */
	c.profile.l3_size = 0;
	c.profile.stlb_4k = 0;
	struct machine *m = machine_new(&c, &e);
	if (!m)
		abort();
	/* a little code, so that the CPU has something to run: INC EAX; OUT 80H, AL; JMP back */
	mem_write(&m->mem, HPA(0xfff0), "\x40\xe6\x80\xeb\xfb", 5);
	if (raw) {
		spill(path, data + (n > 0), n - (n > 0));
	} else {
		uint8_t *file;
		size_t len;

		if (!valid) {
			if (snap_save(m->snaps, path, &e))
				abort();
			valid_n = slurp(path, &valid);
		}
		len = valid_n;
		file = memcpy(xcalloc(len, 1), valid, len);
		for (size_t i = 1; i + 4 <= n; i += 4)
			file[state_at(data[i] % m->snaps->sections, data[i + 1] | (size_t)data[i + 2] << 8, m->snaps)] = data[i + 3];
		mend(file, len, m->snaps);
		spill(path, file, len);
		free(file);
	}
	before = machine_hash(m);
	if (snap_load(m->snaps, path, &e) == 0)
		machine_run(m, machine_now(m) + 20000, 1000);
	else if (!e.text[0] || machine_hash(m) != before)
		abort();        /* refused without a word, or half loaded */
	unlink(path);
	machine_free(m);
	return 0;
}
