#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/evq.h"
#include "sim/rng.h"

static struct evq q;
static struct { cycle_t when; uint32_t code; uint64_t arg; uint32_t who; } ran[1000];
static unsigned n_ran, n_moved;
static uint32_t a, b;

static void record(void *who, cycle_t now, uint32_t code, uint64_t arg)
{
	ran[n_ran].when = now;
	ran[n_ran].code = code;
	ran[n_ran].who = *(uint32_t *)who;
	ran[n_ran++].arg = arg;
	if (code == 99)                 /* once more, a little later */
		evq_add(&q, *(uint32_t *)who, now + 10, 1, 0);
}
static void moved(void *who) { (void)who; n_moved++; }

static void setup(void)
{
	memset(&q, 0, sizeof q);
	n_ran = n_moved = 0;
	a = evq_owner(&q, "a", record, &a);
	b = evq_owner(&q, "b", record, &b);
}
TestSuite(evq, .init = setup);

Test(evq, runs_by_cycle_then_owner_then_sequence)
{
	evq_add(&q, b, 20, 1, 0);
	evq_add(&q, a, 20, 2, 0);
	evq_add(&q, a, 20, 3, 0);
	evq_add(&q, a, 10, 4, 0);
	evq_run(&q, 20);
	cr_assert(eq(uint, n_ran, 4));
	cr_expect(eq(u32, ran[0].code, 4));
	cr_expect(eq(u32, ran[1].code, 2));
	cr_expect(eq(u32, ran[2].code, 3));
	cr_expect(eq(u32, ran[3].code, 1));
}

Test(evq, boundary_is_inclusive)
{
	evq_add(&q, a, 20, 1, 0);
	evq_run(&q, 19);
	cr_expect(eq(uint, n_ran, 0));
	evq_run(&q, 20);
	cr_expect(eq(uint, n_ran, 1));
	cr_expect(eq(u64, evq_next(&q), NEVER));
}

Test(evq, handlers_are_told_the_event_s_own_cycle_and_may_add)
{
	evq_add(&q, a, 20, 99, 7);
	evq_run(&q, 100);
	cr_assert(eq(uint, n_ran, 2));
	cr_expect(eq(u64, ran[0].when, 20));
	cr_expect(eq(u64, ran[0].arg, 7));
	cr_expect(eq(u64, ran[1].when, 30));
}

Test(evq, cancel_takes_one_owner_s_code)
{
	evq_add(&q, a, 5, 1, 0);
	evq_add(&q, a, 6, 1, 0);
	evq_add(&q, a, 7, 2, 0);
	evq_add(&q, b, 8, 1, 0);
	cr_expect(eq(uint, evq_cancel(&q, a, 1), 2));
	cr_expect(eq(uint, evq_cancel(&q, a, 1), 0));
	evq_run(&q, 100);
	cr_assert(eq(uint, n_ran, 2));
	cr_expect(eq(u32, ran[0].code, 2));
	cr_expect(eq(u32, ran[1].who, b));
}

Test(evq, tells_when_the_earliest_moves)
{
	q.moved = moved;
	evq_add(&q, a, 50, 1, 0);
	cr_expect(eq(uint, n_moved, 1));
	evq_add(&q, a, 60, 1, 0);
	cr_expect(eq(uint, n_moved, 1));
	evq_add(&q, a, 40, 2, 0);
	cr_expect(eq(uint, n_moved, 2));
	evq_cancel(&q, a, 2);
	cr_expect(eq(uint, n_moved, 3));
}

/* Against a reference: sort by (when, owner, seq). */
Test(evq, random_operations_agree_with_a_sorted_list)
{
	struct { cycle_t when; uint32_t owner, code; uint64_t seq; bool live; } ref[EVQ_MAX];
	unsigned n = 0;
	struct rng r;

	rng_init(&r, 3, "evq");
	for (unsigned round = 0; round < 300; round++) {
		cycle_t last = 0;
		uint32_t last_owner = 0;
		unsigned live = 0;

		n = 0;
		n_ran = 0;
		for (unsigned i = 0; i < 60; i++) {
			ref[n].when = rng_below(&r, 40);
			ref[n].owner = rng_below(&r, 2) ? a : b;
			ref[n].code = (uint32_t)rng_below(&r, 5);
			ref[n].live = true;
			evq_add(&q, ref[n].owner, ref[n].when, ref[n].code, i);
			n++;
			if (rng_below(&r, 10) == 0) {
				uint32_t owner = rng_below(&r, 2) ? a : b, code = (uint32_t)rng_below(&r, 5);
				unsigned gone = 0;

				for (unsigned k = 0; k < n; k++)
					if (ref[k].live && ref[k].owner == owner && ref[k].code == code) {
						ref[k].live = false;
						gone++;
					}
				cr_assert(eq(uint, evq_cancel(&q, owner, code), gone));
			}
		}
		for (unsigned k = 0; k < n; k++)
			live += ref[k].live;
		evq_run(&q, 40);
		cr_assert(eq(uint, n_ran, live));
		for (unsigned k = 0; k < n_ran; k++) {
			cr_assert(ran[k].when >= last);
			if (k && ran[k].when == last) {
				cr_assert(ran[k].who >= last_owner);
				if (ran[k].who == last_owner)
					cr_assert(ran[k].arg > ran[k - 1].arg);
			}
			last = ran[k].when;
			last_owner = ran[k].who;
			cr_assert(ref[ran[k].arg].live);
			ref[ran[k].arg].live = false;
		}
	}
}

Test(evq, an_emptied_queue_leaves_no_remains)
{
	static struct event zero[EVQ_MAX];

	for (unsigned i = 0; i < 20; i++)
		evq_add(&q, a, i * 7 % 5, i, i);
	evq_run(&q, 100);
	cr_expect(eq(int, memcmp(q.s.heap, zero, sizeof zero), 0), "a snapshot depends on pending events alone");
}

Test(evq, too_many_events_are_a_bug, .exit_code = 3)
{
	for (unsigned i = 0; i <= EVQ_MAX; i++)
		evq_add(&q, a, i, 0, 0);
}

Test(evq, a_state_from_a_file_is_checked)
{
	struct evq_state s;

	evq_add(&q, a, 5, 1, 0);
	evq_add(&q, b, 6, 1, 0);
	s = q.s;
	cr_expect(evq_valid(&q, &s));
	s.n = EVQ_MAX + 1;
	cr_expect(not(evq_valid(&q, &s)));
	s = q.s;
	s.heap[1].owner = 2;
	cr_expect(not(evq_valid(&q, &s)));
	s = q.s;
	s.heap[1].when = 4;
	cr_expect(not(evq_valid(&q, &s)), "a heap out of order");
}
