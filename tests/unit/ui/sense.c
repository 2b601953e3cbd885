/* The next instruction's meaning: foretold exits come true, foretold absences too, over a run of the teaching kernel. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "models/cpu/vmx/vmx.h"
#include "ui/session/sense.h"
#include "ui/session/travel.h"

static struct session session;
static unsigned exits;
static uint64_t reason;

static void seen(void *who, const struct trace_record *r)
{
	(void)who;
	exits++;
	reason = r->a[0];
}

/* What an instruction is about; others exit by the memory they touch or by events. */
static void foretold(const char *mmu, const char *cmdline, uint64_t skip, unsigned steps, unsigned least)
{
	static const struct options o = { .max_cycles = NEVER, .quiet = true };
	struct err e = { "" };
	struct setup setup;
	unsigned come_true = 0;
	session_init(&session, &o);
	setup_init(&setup);
	cr_assert(eq(int, setup_set(&setup, "ram", "64M", "test", &e), 0));
	cr_assert(eq(int, setup_set(&setup, "mmu", mmu, "test", &e), 0));
	cr_assert(eq(int, setup_finish(&setup, &e), 0), "%s", e.text);
	struct run *r = session_machine(&session, &setup, &e);
	cr_assert(r != NULL, "%s", e.text);
	cr_assert(eq(int, run_boot(r, &(struct boot_image){ .kernel = "build/guests/kernel64.elf", .cmdline = cmdline }, &e), 0));
	cr_assert(eq(int, trace_listen(&r->m->trace, "vm_exit", seen, NULL, &e), 0));
	if (skip)
		run_until(r, NEVER, skip);
	for (unsigned i = 0; i < steps; i++) {
		struct sense s;
		const struct cpu *c = r->m->cpu[r->m->s.running];
		bool known = sense_next(r->m, c, &s);
		exits = 0;
		if (run_until(r, NEVER, 1) != MACHINE_STOP_ICOUNT)
			break;
		if (!known || s.verdict == SENSE_NONE)
			continue;
		if (s.verdict == SENSE_EXIT) {
			cr_expect(exits > 0 && (reason >= EXIT_REASONS || strcmp(exit_reason_rows[reason].name, s.reason) == 0 ||
			          reason == EXIT_EPT_VIOLATION || reason == EXIT_EXTINT || reason == EXIT_EXCEPTION),
			          "%s: %s, found %u", s.insn, s.reason, (unsigned)reason);
			come_true++;
		} else if (s.verdict == SENSE_NO_EXIT && exits && (s.privileged || s.critical))
			cr_expect(reason == EXIT_EPT_VIOLATION || reason == EXIT_EXTINT || reason == EXIT_EXCEPTION || reason == EXIT_INTERRUPT_WINDOW, "%s (%s): %u", s.insn, s.why, (unsigned)reason);
	}
	cr_expect(ge(u32, come_true, least));
	session_fini(&session);
}

Test(sense, exits_come_true_under_ept) { foretold("ept", "in n=200000", 300000, 60000, 5); }
Test(sense, exits_come_true_under_shadow_paging) { foretold("shadow.wp", "forkwait n=20", 300000, 60000, 5); }

Test(sense, on_the_bare_machine_nothing_exits)
{
	static const struct options o = { .max_cycles = NEVER, .quiet = true };
	struct err e = { "" };
	struct setup setup;
	unsigned privileged = 0;
	session_init(&session, &o);
	setup_init(&setup);
	cr_assert(eq(int, setup_set(&setup, "ram", "64M", "test", &e), 0));
	cr_assert(eq(int, setup_finish(&setup, &e), 0));
	struct run *r = session_machine(&session, &setup, &e);
	cr_assert(r && run_boot(r, &(struct boot_image){ .kernel = "build/guests/kernel64.elf", .cmdline = "syscall n=1" }, &e) == 0, "%s", e.text);
	for (unsigned i = 0; i < 40000; i++) {
		struct sense s;
		cr_assert(sense_next(r->m, r->m->cpu[0], &s));
		cr_expect(eq(int, s.verdict, SENSE_NONE));
		privileged += s.privileged;
		run_until(r, NEVER, 1);
	}
	cr_expect(lt(u32, 3, privileged));      /* CR0, CR3, CR4, LGDT on the way to 64-bit mode */
	session_fini(&session);
}
