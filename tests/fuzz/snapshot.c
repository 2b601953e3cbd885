/* Fuzz target: snapshot files. The first byte's low bits choose: even, the rest is a file as it is;
 * odd, the rest are changes to a valid file whose checksums are then made right again, so that
 * impossible states come in with nothing to show for it: 1 { section, 2 bytes offset, what }, 3
 * { 3 bytes offset in the file, what }. Refused whole, or loaded and then run for a moment; and an
 * older snapshot brings everything back. */
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

/* Walk the file by the valid one's sizes, whatever the changed one says. */
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

/* The machine every input is loaded into, as it begins, and what a snapshot file of it looks like. */
static struct {
	struct machine *m;
	struct snap *fresh;
	uint64_t hash;
	uint8_t *file;
	size_t n;
} one;

static void begin(const char *path)
{
	struct machine_config c;
	struct err e = { "" };

	machine_config_defaults(&c);
	c.ram = 1 << 20;
	c.trace_ring = 64;
	c.profile.l2_size = 65536;      /* small sections: more attempts in a second */
	c.profile.l3_size = 0;
	c.profile.stlb_4k = 0;
	one.m = machine_new(&c, &e);
	if (!one.m)
		abort();
	/* a little code, so that the CPU has something to run: INC EAX; OUT 80H, AL; JMP back */
	mem_write(&one.m->mem, HPA(0xfff0), "\x40\xe6\x80\xeb\xfb", 5);
	if (snap_save(one.m->snaps, path, &e))
		abort();
	one.n = slurp(path, &one.file);
	one.fresh = snap_take(one.m->snaps, "fresh");
	one.hash = machine_hash(one.m);
}

/* The valid file with changes: in the sections' bytes, or anywhere. */
static uint8_t *bend(const uint8_t *data, size_t n, bool anywhere)
{
	uint8_t *file = memcpy(xcalloc(one.n, 1), one.file, one.n);

	for (size_t i = 0; i + 4 <= n; i += 4) {
		size_t off = data[i + 1] | (size_t)data[i + 2] << 8;
		if (anywhere)
			off = (off | (size_t)data[i] << 16) % one.n;
		else
			off = state_at(data[i] % one.m->snaps->sections, off, one.m->snaps);
		file[off] = data[i + 3];
	}
	mend(file, one.n, one.m->snaps);
	return file;
}

int fuzz_snapshot(const uint8_t *data, size_t n)
{
	struct err e = { "" };
	char path[64];
	unsigned kind = n ? data[0] & 3 : 0;

	snprintf(path, sizeof path, "/tmp/vmscope-fuzz-%d", (int)getpid());
	if (!one.m)
		begin(path);
	data += n > 0, n -= n > 0;
	if (kind & 1) {
		uint8_t *file = bend(data, n, kind == 3);
		spill(path, file, one.n);
		free(file);
	} else {
		spill(path, data, n);
	}
	if (snap_load(one.m->snaps, path, &e) == 0)
		machine_run(one.m, machine_now(one.m) + 20000, 1000);
	else if (!e.text[0] || machine_hash(one.m) != one.hash)
		abort();        /* refused without a word, or half loaded */
	snap_restore(one.m->snaps, one.fresh);
	if (machine_hash(one.m) != one.hash)
		abort();        /* what was loaded left something behind */
	unlink(path);
	return 0;
}
