#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ui/export/ledger_text.h"
#include "ui/export/result.h"
#include "ui/session/session.h"

static struct session s;
static struct run *r;
static struct err e;

/* A machine that runs INC AX; OUT E9H, AL (nobody there); JMP back, in real mode at 1000H. */
static void begin(void)
{
	struct options o = { .quiet = true, .max_cycles = NEVER };
	struct setup x;

	session_init(&s, &o);
	setup_init(&x);
	setup_set(&x, "ram", "1M", NULL, &e);
	setup_finish(&x, &e);
	r = session_machine(&s, &x, &e);
	cr_assert_not_null(r, "%s", e.text);
	r->echo = false;
	r->m->cpu[0]->s.seg[SEG_CS].base = 0;
	r->m->cpu[0]->s.rip = 0x1000;
	mem_write(&r->m->mem, HPA(0x1000), "\x40\xe6\xe9\xeb\xfb", 5);
	cpu_restored(r->m->cpu[0]);
}
static void end(void) { session_fini(&s); }
TestSuite(session, .init = begin, .fini = end);

Test(session, stops_at_the_instruction_limit_exactly)
{
	cr_expect(eq(int, (int)run_until(r, NEVER, 100), MACHINE_STOP_ICOUNT));
	cr_expect(eq(u64, machine_icount(r->m), 100));
	s.o.max_instructions = 150;
	cr_expect(eq(int, (int)run_until(r, NEVER, 100), MACHINE_STOP_ICOUNT));
	cr_expect(eq(u64, machine_icount(r->m), 150), "the session's own limit counts from the start");
	cr_expect(eq(int, run_status(r), 1));
}

Test(session, stops_at_the_cycle_limit_of_the_session)
{
	s.o.max_cycles = 50000;
	cr_expect(eq(int, (int)run_until(r, NEVER, 0), MACHINE_STOP_CYCLES));
	cr_expect(machine_now(r->m) >= 50000 && machine_now(r->m) < 53000, "at %" PRIu64, machine_now(r->m));
}

/* "The sum over causes equals the clock, always": at every instruction boundary the run comes back at. */
Test(session, every_step_balances)
{
	for (unsigned i = 0; i < 200; i++) {
		run_until(r, NEVER, 1);
		cr_assert(eq(u64, machine_icount(r->m), i + 1));
		cr_assert(ledger_audit(&r->m->cpu[0]->ledger), "after %u instructions", i + 1);
	}
}

Test(session, the_input_script_ends_the_run)
{
	cr_assert(eq(int, input_parse(&r->input, "@wait 10000\n@exit 5\n", 20, "in", &e), 0));
	cr_expect(eq(int, (int)run_until(r, NEVER, 0), MACHINE_STOP_USER));
	cr_expect(eq(int, run_status(r), 5));
	cr_expect(machine_now(r->m) >= 10000 && machine_now(r->m) < 13000, "at %" PRIu64, machine_now(r->m));
}

Test(session, sentences_name_the_place)
{
	char text[200];

	run_until(r, NEVER, 3);
	cr_expect_not_null(strstr(stop_sentence(r, text, sizeof text), "the instruction limit was reached, cpu0 at 0x1000"), "%s", text);
}

static void add(void *arg, const char *name, uint64_t value, const char *unit, const char *sentence)
{
	(void)sentence;
	if (strstr(name, ".ledger.")) {
		cr_expect(eq(str, (char *)unit, "Cycle"));
		*(uint64_t *)arg += value;
	}
}

Test(session, results_by_name_add_up)
{
	uint64_t sum = 0, v = 0;

	run_until(r, NEVER, 1000);
	result_each(r->m, add, &sum);
	cr_expect(eq(u64, sum, r->m->cpu[0]->ledger.now));
	cr_expect(result_get(r->m, "sim.instructions", &v) && v == 1000);
	cr_expect(result_get(r->m, "cpu0.port.out", &v) && v > 300);
	cr_expect(not(result_get(r->m, "cpu0.port.uot", &v)));
}

Test(digits, in_groups_of_three)
{
	char buf[40];

	cr_expect(eq(str, (char *)digits(0, buf, sizeof buf), "0"));
	cr_expect(eq(str, (char *)digits(999, buf, sizeof buf), "999"));
	cr_expect(eq(str, (char *)digits(1234567, buf, sizeof buf), "1 234 567"));
	cr_expect(eq(str, (char *)digits(~0ull, buf, sizeof buf), "18 446 744 073 709 551 615"));
}
