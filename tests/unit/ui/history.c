/* What has happened: kept once however often it is executed, apart for each branch; all time has an owner. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "ui/session/history.h"

static struct session session;

static struct run *open_run(const char *mmu, unsigned cpus)
{
	static const struct options o = { .max_cycles = NEVER, .quiet = true };
	struct err e = { "" };
	struct setup setup;
	char text[8];
	snprintf(text, sizeof text, "%u", cpus);
	session_init(&session, &o);
	setup_init(&setup);
	cr_assert(eq(int, setup_set(&setup, "ram", "64M", "test", &e), 0));
	cr_assert(eq(int, setup_set(&setup, "cpus", text, "test", &e), 0));
	cr_assert(eq(int, setup_set(&setup, "mmu", mmu, "test", &e), 0));
	cr_assert(eq(int, setup_finish(&setup, &e), 0), "%s", e.text);
	struct run *r = session_machine(&session, &setup, &e);
	cr_assert(r != NULL, "%s", e.text);
	cr_assert(eq(int, run_boot(r, &(struct boot_image){ .kernel = "build/guests/kernel64.elf", .cmdline = "forkwait n=2" }, &e), 0));
	return r;
}

static uint64_t sum_of(struct history *h, unsigned cpu, cycle_t to, struct lane *l)
{
	uint64_t sum = 0;
	history_lane(h, cpu, 0, to, l);
	for (unsigned o = 0; o < OWNERS; o++)
		sum += l->spent[o];
	return sum;
}

Test(history, executing_again_adds_nothing)
{
	struct run *r = open_run("shadow.wp", 1);
	struct travel *v = travel_open(r);
	struct err e = { "" };
	struct history *h = history_open(r, travel_timeline(v), &e);
	struct lane a, b;
	cr_assert(h != NULL, "%s", e.text);
	travel_step(v, 300000);
	size_t n = history_count(h);
	uint64_t sum = sum_of(h, 0, NEVER, &a);
	struct happening middle = *history_at(h, n / 2);
	cr_expect(lt(sz, 100, n));
	travel_back(v, 200000);
	cr_expect(lt(sz, history_count(h), n));
	travel_step(v, 100);
	travel_back(v, 50000);
	travel_step(v, 249900);
	cr_expect(eq(sz, history_count(h), n));
	cr_expect(eq(u64, history_at(h, n / 2)->r.cycle, middle.r.cycle));
	cr_expect(eq(u64, sum_of(h, 0, NEVER, &b), sum));
	cr_expect(eq(int, memcmp(&a, &b, sizeof a), 0));
	for (size_t i = 1; i < n; i++)
		cr_expect(le(u64, history_at(h, i - 1)->r.cycle, history_at(h, i)->r.cycle));
	history_close(h);
	travel_close(v);
	session_fini(&session);
}

Test(history, all_time_has_its_owner_by_the_ledger)
{
	struct run *r = open_run("ept", 1);
	struct travel *v = travel_open(r);
	struct err e = { "" };
	struct history *h = history_open(r, travel_timeline(v), &e);
	struct lane l;
	travel_step(v, 400000);
	const struct ledger *g = &r->m->cpu[0]->ledger;
	uint64_t sum = sum_of(h, 0, NEVER, &l);
	cr_expect(le(u64, sum, g->now));
	cr_expect(ge(u64, sum + 2 * history_grain(h), g->now));
	cr_expect(le(u64, l.spent[OWNER_VMM], ledger_by_acct(g, ACCT_VMM)));
	cr_expect(ge(u64, l.spent[OWNER_VMM] * 100, ledger_by_acct(g, ACCT_VMM) * 95));
	cr_expect(lt(u64, sum / 2, l.spent[OWNER_GUEST + 2]));
	cr_expect(eq(u32, l.exits, (uint32_t)({ uint64_t n = 0; for (size_t i = 0; i < history_count(h); i++) n += history_at(h, i)->r.event == CPU_TRACE_VM_EXIT; n; })));
	history_close(h);
	travel_close(v);
	session_fini(&session);
}

Test(history, a_branch_forgets_what_was_after_its_fork)
{
	struct run *r = open_run("ept", 1);
	struct travel *v = travel_open(r);
	struct timeline *t = travel_timeline(v);
	struct err e = { "" };
	struct history *h = history_open(r, t, &e);
	travel_step(v, 300000);
	size_t n = history_count(h);
	travel_back(v, 298000);
	size_t before = history_count(h);
	timeline_changed(t);
	cr_expect(eq(sz, timeline_present(t), 1));
	cr_expect(eq(sz, history_count(h), before));
	travel_step(v, 1000);
	size_t here = history_count(h);
	struct lane l;
	cr_expect(ge(u64, sum_of(h, 0, NEVER, &l) + 3 * history_grain(h), r->m->cpu[0]->ledger.now));
	timeline_switch(t, 0, timeline_branch(t, 0).end);
	cr_expect(eq(sz, history_count(h), n));
	timeline_switch(t, 1, timeline_branch(t, 1).end);
	cr_expect(eq(sz, history_count(h), here));
	history_close(h);
	travel_close(v);
	session_fini(&session);
}

Test(history, listening_is_apart)
{
	uint64_t hash[2];
	for (int with = 0; with < 2; with++) {
		struct run *r = open_run("ept", 2);
		struct travel *v = travel_open(r);
		struct err e = { "" };
		struct history *h = with ? history_open(r, travel_timeline(v), &e) : NULL;
		travel_step(v, 100000);
		hash[with] = machine_hash(r->m) ^ r->m->trace.hash;
		cr_expect(eq(u64, r->m->trace.count, 0));
		history_close(h);
		travel_close(v);
		session_fini(&session);
	}
	cr_expect(eq(u64, hash[0], hash[1]));
}

#define WORDS(name, reason, qual, info, gpa, want) Test(history, name) \
	{ \
		char buf[160]; \
		cr_expect(eq(str, (char *)(uintptr_t)exit_words(reason, qual, info, gpa, buf, sizeof buf), want)); \
	}
WORDS(words_mov_to_cr3, 28, 0x003, 0, 0, "mov cr3, rax")
WORDS(words_mov_from_cr8, 28, 0x918, 0, 0, "mov r9, cr8")
WORDS(words_clts, 28, 0x20, 0, 0, "clts")
WORDS(words_lmsw, 28, 0x12340070, 0, 0, "lmsw 0x1234 from memory")
WORDS(words_out, 30, 0x3f80000, 0, 0, "out 0x3f8, 1 byte")
WORDS(words_in_immediate, 30, 0x00640048 | 1, 0, 0, "in 0x64, 2 bytes, port as immediate")
WORDS(words_rep_ins, 30, 0x01f00039, 0, 0, "rep ins 0x1f0, 2 bytes")
WORDS(words_page_fault, 0, 0x1234, 0x80000b0e, 0, "#PF at 0x1234")
WORDS(words_interrupt, 1, 0, 0x800000ec, 0, "interrupt 0xec")
WORDS(words_ept_write, 48, 0x18a, 0, 0x5000, "write gpa 0x5000, EPT allows r")
WORDS(words_ept_walk, 48, 0x82, 0, 0x5000, "write gpa 0x5000, EPT allows nothing; by the walk of the guest's tables")
WORDS(words_mov_dr, 29, 0x117, 0, 0, "mov rcx, dr7")
WORDS(words_invlpg, 14, 0x7000, 0, 0, "linear 0x7000")
WORDS(words_failed_entry, 0x80000021, 2, 0, 0, "the VM entry failed, qualification 2")
WORDS(words_of_cpuid_are_none, 10, 0, 0, 0, "")
