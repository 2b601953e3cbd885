#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "models/machine.h"
#include "models/mmu/cache.h"
#include "models/mmu/tlb.h"

/* A snapshot file with right checksums and a state no machine can be in: made by saving a machine that was bent. */
static struct machine *m;
static struct err e;
static char path[64];

static void begin(void)
{
	struct machine_config c;

	machine_config_defaults(&c);
	c.ram = 1 << 20;
	m = machine_new(&c, &e);
	cr_assert_not_null(m);
	snprintf(path, sizeof path, "/tmp/vmscope-states-%d", (int)getpid());
}
static void end(void)
{
	unlink(path);
	machine_free(m);
}
TestSuite(snapshot_states, .init = begin, .fini = end);

#define REFUSED(test, place, value, section) \
Test(snapshot_states, test) \
{ \
	uint64_t before = machine_hash(m); \
	__typeof__(place) was = place; \
	place = (__typeof__(place))(value); \
	cr_assert(eq(int, snap_save(m->snaps, path, &e), 0)); \
	place = was; \
	cr_expect(eq(int, snap_load(m->snaps, path, &e), -1)); \
	cr_expect_not_null(strstr(e.text, "section '" section "' holds a state this machine cannot be in"), "%s", e.text); \
	cr_expect(eq(u64, machine_hash(m), before)); \
}
REFUSED(a_cpu_that_is_not_there_runs, m->s.running, 1, "machine")
REFUSED(an_unknown_reason_to_stop, m->s.stop, 99, "machine")
REFUSED(more_events_than_fit, m->evq.s.n, EVQ_MAX + 1, "events")
REFUSED(ring_4, m->cpu[0]->s.cpl, 4, "cpu0.state")
REFUSED(a_mode_that_is_none, m->cpu[0]->s.mode, MODE_LONG64 + 1, "cpu0.state")
REFUSED(the_zero_register_is_not_zero, m->cpu[0]->s.r[R_ZERO], 1, "cpu0.state")
REFUSED(an_account_that_is_none, m->cpu[0]->ledger.acct, ACCT_N, "cpu0.ledger")
REFUSED(a_tlb_entry_beyond_the_tlb, m->cpu[0]->mmu.dtlb_mru, m->cpu[0]->mmu.tlbs->n, "cpu0.mmu")
REFUSED(an_entry_nobody_counted, m->cpu[0]->mmu.tlbs->tag[m->cpu[0]->mmu.tlbs->array[DTLB_4K].base], TAG_V, "cpu0.tlb")
REFUSED(a_count_of_entries_that_are_not_there, m->cpu[0]->mmu.tlbs->live[STLB_4K], 7, "cpu0.tlb")
REFUSED(a_line_in_l1_that_l3_does_not_have, m->caches->core[0].l1d.word[0], 5 << 18 | 1, "caches")
REFUSED(a_line_of_a_cpu_that_is_not_there, m->caches->l3.word[0], 1ull << 17, "caches")
