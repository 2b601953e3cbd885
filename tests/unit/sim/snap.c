#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/rng.h"
#include "sim/snap.h"

enum { PAGES = 40, STATE = 10000 };

/* A little world: two sections and RAM, written as a memory would write it. */
static uint8_t ram[PAGES * PAGE_SIZE], flags[PAGES], state[STATE], small[5];
static struct snaps *s;
static struct err e;
static unsigned taken, restored;
static char path[64];

static void on_taken(void *who) { (void)who; taken++; }
static void on_restored(void *who) { (void)who; restored++; }

static void setup(void)
{
	memset(ram, 0, sizeof ram);
	memset(flags, 0, sizeof flags);
	memset(state, 0, sizeof state);
	memset(small, 0, sizeof small);
	taken = restored = 0;
	e.text[0] = '\0';
	s = snaps_new();
	snaps_section(s, "state", 1, state, sizeof state);
	snaps_section(s, "small", 3, small, sizeof small);
	snaps_ram(s, &(struct snap_ram){ ram, sizeof ram, flags });
	snaps_hook(s, on_taken, on_restored, NULL);
	snprintf(path, sizeof path, "/tmp/vmscope-snap-%d", (int)getpid());
}
static void teardown(void)
{
	snaps_free(s);
	unlink(path);
}
TestSuite(snap, .init = setup, .fini = teardown);
TestSuite(snap_file, .init = setup, .fini = teardown);

static void poke(uint64_t at, uint8_t v)
{
	if (flags[at / PAGE_SIZE] & RAM_CLEAN)
		snap_before_write(s, at / PAGE_SIZE);
	ram[at] = v;
}

Test(snap, restores_sections_and_ram)
{
	struct snap *a;

	state[9999] = 1;
	small[4] = 2;
	poke(5000, 3);
	a = snap_take(s, "a");
	state[9999] = small[4] = 0;
	poke(5000, 9);
	poke(70000, 9);
	snap_restore(s, a);
	cr_expect(eq(u8, state[9999], 1));
	cr_expect(eq(u8, small[4], 2));
	cr_expect(eq(u8, ram[5000], 3));
	cr_expect(eq(u8, ram[70000], 0));
	cr_expect(eq(uint, taken, 1));
	cr_expect(eq(uint, restored, 1));
}

Test(snap, the_owner_s_page_flags_stay)
{
	flags[3] = 0x01;
	snap_take(s, "a");
	cr_expect(eq(u8, flags[3], 0x01 | RAM_CLEAN));
	poke(3 * PAGE_SIZE, 1);
	cr_expect(eq(u8, flags[3], 0x01));
}

Test(snap, an_older_one_can_be_restored_and_then_a_newer_one)
{
	struct snap *a, *b;

	poke(0, 1);
	a = snap_take(s, "a");
	poke(0, 2);
	b = snap_take(s, "b");
	poke(0, 3);
	snap_restore(s, a);
	cr_expect(eq(u8, ram[0], 1));
	poke(0, 4);
	snap_restore(s, b);
	cr_expect(eq(u8, ram[0], 2));
	snap_restore(s, a);
	cr_expect(eq(u8, ram[0], 1));
}

/* Property: whatever is written, taken, restored and dropped, each snapshot restores what a full copy kept. */
Test(snap, random_histories_agree_with_full_copies)
{
	struct copy { struct snap *sn; uint8_t ram[sizeof ram], state[STATE]; uint64_t hash; } *copy[12] = { 0 };
	struct rng r;
	char where[64];

	rng_init(&r, 5, "snap");
	for (unsigned i = 0; i < 12; i++)
		copy[i] = calloc(1, sizeof **copy);
	for (unsigned step = 0; step < 6000; step++) {
		struct copy *c = copy[rng_below(&r, 12)];

		switch (rng_below(&r, 20)) {
		case 0: case 1:
			if (c->sn)
				break;
			c->sn = snap_take(s, "x");
			memcpy(c->ram, ram, sizeof ram);
			memcpy(c->state, state, STATE);
			c->hash = snaps_hash(s);
			break;
		case 2:
			if (!c->sn)
				break;
			snap_restore(s, c->sn);
			cr_assert(eq(int, memcmp(ram, c->ram, sizeof ram), 0), "step %u", step);
			cr_assert(eq(int, memcmp(state, c->state, STATE), 0), "step %u", step);
			cr_assert(eq(u64, snaps_hash(s), c->hash));
			cr_assert(not(snap_differs(s, c->sn, where, sizeof where)), "step %u: %s", step, where);
			break;
		case 3:
			if (!c->sn)
				break;
			cr_assert(eq(int, snap_differs(s, c->sn, where, sizeof where),
			             memcmp(ram, c->ram, sizeof ram) != 0 || memcmp(state, c->state, STATE) != 0));
			break;
		case 4:
			if (!c->sn || rng_below(&r, 2))
				break;
			snap_drop(s, c->sn);
			c->sn = NULL;
			break;
		case 5:         /* a whole page becomes zero: kept without its bytes */
			for (uint64_t p = rng_below(&r, PAGES) * PAGE_SIZE, k = 0; k < PAGE_SIZE; k++)
				poke(p + k, 0);
			break;
		case 6:
			state[rng_below(&r, STATE)] = (uint8_t)rng_u64(&r);
			break;
		default:
			poke(rng_below(&r, sizeof ram), (uint8_t)rng_u64(&r));
		}
	}
	for (unsigned i = 0; i < 12; i++) {
		if (copy[i]->sn) {
			snap_restore(s, copy[i]->sn);
			cr_expect(eq(int, memcmp(ram, copy[i]->ram, sizeof ram), 0));
		}
		free(copy[i]);
	}
}

Test(snap, differs_names_the_first_place)
{
	struct snap *a = snap_take(s, "a");
	char where[64] = "";

	cr_expect(not(snap_differs(s, a, where, sizeof where)));
	poke(9 * PAGE_SIZE + 17, 1);
	poke(7 * PAGE_SIZE + 0x20, 1);
	cr_expect(snap_differs(s, a, where, sizeof where));
	cr_expect(eq(str, where, "RAM page 0x7, byte 0x20"));
	state[4097] = 1;
	cr_expect(snap_differs(s, a, where, sizeof where));
	cr_expect(eq(str, where, "section state, byte 0x1001"));
}

Test(snap, the_hash_sees_ram_its_place_and_sections)
{
	uint64_t h0 = snaps_hash(s), h1, h2;

	ram[0] = 1;
	h1 = snaps_hash(s);
	ram[0] = 0;
	ram[PAGE_SIZE] = 1;
	h2 = snaps_hash(s);
	ram[PAGE_SIZE] = 0;
	cr_expect(ne(u64, h0, h1));
	cr_expect(ne(u64, h1, h2));
	small[4] = 1;
	cr_expect(ne(u64, snaps_hash(s), h0));
	small[4] = 0;
	cr_expect(eq(u64, snaps_hash(s), h0));
}

Test(snap, costs_what_changes)
{
	struct snap *a, *b;

	memset(state, 7, sizeof state);
	a = snap_take(s, "a");
	b = snap_take(s, "b");
	cr_expect(lt(u64, STATE, snap_bytes(a)));
	cr_expect(lt(u64, snap_bytes(b), 1000), "equal sections are shared");
	ram[3 * PAGE_SIZE] = 0;
	for (unsigned p = 0; p < 4; p++)
		ram[p * PAGE_SIZE] = 1;         /* before any snapshot saw them they are zero: kept for nothing */
	poke(0, 1);
	cr_expect(lt(u64, PAGE_SIZE, snap_bytes(b)));
}

/* ---- files ---- */

static void fill(uint64_t seed)
{
	struct rng r;

	rng_init(&r, seed, "fill");
	for (unsigned i = 0; i < 3000; i++)
		poke(rng_below(&r, sizeof ram / 2), (uint8_t)rng_u64(&r));
	for (unsigned i = 0; i < STATE; i++)
		state[i] = (uint8_t)rng_u64(&r);
	small[0] = (uint8_t)seed;
}

Test(snap_file, comes_back_as_it_was)
{
	uint64_t h;

	fill(1);
	h = snaps_hash(s);
	cr_assert(eq(int, snap_save(s, path, &e), 0), "%s", e.text);
	fill(2);
	poke(sizeof ram - 1, 1);
	cr_assert(ne(u64, snaps_hash(s), h));
	cr_assert(eq(int, snap_load(s, path, &e), 0), "%s", e.text);
	cr_expect(eq(u64, snaps_hash(s), h));
	cr_expect(eq(uint, restored, 1));
}

Test(snap_file, zero_pages_are_left_out)
{
	struct stat st;

	poke(12345, 1);
	cr_assert(eq(int, snap_save(s, path, &e), 0));
	cr_assert(eq(int, stat(path, &st), 0));
	cr_expect(lt(u64, (uint64_t)st.st_size, STATE + 2 * PAGE_SIZE));
}

Test(snap_file, loading_keeps_snapshots_valid)
{
	struct snap *a;
	uint64_t h;

	fill(1);
	cr_assert(eq(int, snap_save(s, path, &e), 0));
	fill(2);
	h = snaps_hash(s);
	a = snap_take(s, "a");
	cr_assert(eq(int, snap_load(s, path, &e), 0));
	snap_restore(s, a);
	cr_expect(eq(u64, snaps_hash(s), h));
}

static uint8_t bytes[sizeof ram + STATE + 4096];
static size_t n_bytes;

static void slurp(void)
{
	FILE *f = fopen(path, "rb");

	n_bytes = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
}
static void spill(size_t n)
{
	FILE *f = fopen(path, "wb");

	fwrite(bytes, 1, n, f);
	fclose(f);
}

/* Any single damaged byte, anywhere, is refused and changes nothing. */
Test(snap_file, a_flipped_bit_anywhere_is_refused_and_changes_nothing, .timeout = 60)
{
	struct rng r;
	uint64_t h;

	fill(1);
	cr_assert(eq(int, snap_save(s, path, &e), 0));
	slurp();
	fill(2);
	h = snaps_hash(s);
	rng_init(&r, 9, "flip");
	for (unsigned i = 0; i < 600; i++) {
		size_t at = i < 200 ? i : rng_below(&r, n_bytes);
		uint8_t bit = (uint8_t)(1 << rng_below(&r, 8));

		bytes[at] ^= bit;
		spill(n_bytes);
		bytes[at] ^= bit;
		e.text[0] = '\0';
		cr_assert(eq(int, snap_load(s, path, &e), -1), "byte %zu", at);
		cr_assert(ne(chr, e.text[0], '\0'));
		cr_assert(eq(u64, snaps_hash(s), h), "byte %zu changed the machine", at);
	}
}

Test(snap_file, a_cut_or_lengthened_file_is_refused)
{
	struct rng r;

	fill(1);
	cr_assert(eq(int, snap_save(s, path, &e), 0));
	slurp();
	rng_init(&r, 9, "cut");
	for (unsigned i = 0; i < 200; i++) {
		spill(i < 50 ? i : rng_below(&r, n_bytes));
		e.text[0] = '\0';
		cr_assert(eq(int, snap_load(s, path, &e), -1));
	}
	bytes[n_bytes] = 0;
	spill(n_bytes + 1);
	e.text[0] = '\0';
	cr_assert(eq(int, snap_load(s, path, &e), -1));
	cr_expect_not_null(strstr(e.text, "1 bytes too many at the end"), "%s", e.text);
}

Test(snap_file, another_machine_s_file_is_refused_by_name)
{
	struct snaps *other = snaps_new();
	static uint8_t big[STATE + 1];

	cr_assert(eq(int, snap_save(s, path, &e), 0));
	snaps_section(other, "state", 1, big, sizeof big);
	snaps_section(other, "small", 3, small, sizeof small);
	snaps_ram(other, &(struct snap_ram){ ram, sizeof ram, flags });
	cr_expect(eq(int, snap_load(other, path, &e), -1));
	cr_expect_not_null(strstr(e.text, "section 'state' has 10000 bytes, this machine's has 10001"), "%s", e.text);
	snaps_free(other);
}

Test(snap_file, an_older_section_version_is_refused)
{
	struct snaps *other = snaps_new();

	cr_assert(eq(int, snap_save(s, path, &e), 0));
	snaps_section(other, "state", 1, state, sizeof state);
	snaps_section(other, "small", 4, small, sizeof small);
	snaps_ram(other, &(struct snap_ram){ ram, sizeof ram, flags });
	cr_expect(eq(int, snap_load(other, path, &e), -1));
	cr_expect_not_null(strstr(e.text, "section 'small' has version 3, this vmscope reads version 4"), "%s", e.text);
	snaps_free(other);
}

static bool never(void *who, const void *st) { (void)who; return ((const uint8_t *)st)[0] != 1; }

Test(snap_file, an_impossible_state_is_refused_even_with_right_checksums)
{
	uint64_t h;

	small[0] = 1;
	cr_assert(eq(int, snap_save(s, path, &e), 0));
	small[0] = 0;
	h = snaps_hash(s);
	snaps_valid(s, "small", never, NULL);
	cr_expect(eq(int, snap_load(s, path, &e), -1));
	cr_expect_not_null(strstr(e.text, "section 'small' holds a state this machine cannot be in"), "%s", e.text);
	cr_expect(eq(u64, snaps_hash(s), h));
}

Test(snap_file, missing_files_and_folders_are_named)
{
	cr_expect(eq(int, snap_load(s, "/nonexistent/x", &e), -1));
	cr_expect_not_null(strstr(e.text, "/nonexistent/x: cannot open: No such file"), "%s", e.text);
	e.text[0] = '\0';
	cr_expect(eq(int, snap_save(s, "/nonexistent/x", &e), -1));
	cr_expect_not_null(strstr(e.text, "/nonexistent/x: cannot write here: No such file"), "%s", e.text);
	e.text[0] = '\0';
	cr_expect(eq(int, snap_load(s, "/tmp", &e), -1));
	cr_expect_not_null(strstr(e.text, "not a regular file"), "%s", e.text);
}

Test(snap_file, a_failed_write_leaves_the_old_file)
{
	uint64_t h;

	if (access("/dev/full", W_OK) != 0)
		cr_skip("no /dev/full here");
	fill(1);
	h = snaps_hash(s);
	cr_assert(eq(int, snap_save(s, path, &e), 0));
	fill(2);
	/* writing beside a file in a folder that cannot take a new one */
	cr_expect(eq(int, snap_save(s, "/proc/vmscope-snapshot", &e), -1));
	e.text[0] = '\0';
	cr_assert(eq(int, snap_load(s, path, &e), 0));
	cr_expect(eq(u64, snaps_hash(s), h));
}
