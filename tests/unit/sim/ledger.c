#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "sim/ledger.h"
#include "sim/rng.h"

/* "Every cycle has an owner": the sum over accounts and causes equals the clock. */
Test(ledger, sum_equals_clock_whatever_is_charged)
{
	static struct ledger l;
	struct rng r;

	rng_init(&r, 1, "ledger");
	for (unsigned i = 0; i < 10000; i++) {
		l.acct = (uint32_t)rng_below(&r, ACCT_N);
		ledger_charge(&l, (enum why)rng_below(&r, WHY_N), rng_below(&r, 1000));
		cr_assert(ledger_audit(&l));
	}
	cr_expect(eq(u64, ledger_sum(&l), l.now));
}

Test(ledger, an_unowned_cycle_is_noticed)
{
	static struct ledger l;

	l.now++;
	cr_expect(not(ledger_audit(&l)));
}

Test(ledger, by_cause_and_by_account)
{
	static struct ledger l;

	l.acct = ACCT_GUEST;
	ledger_charge(&l, WHY_EXECUTE, 5);
	l.acct = ACCT_IDLE;
	ledger_charge(&l, WHY_EXECUTE, 2);
	ledger_charge(&l, WHY_HALT, 40);
	cr_expect(eq(u64, ledger_by_why(&l, WHY_EXECUTE), 7));
	cr_expect(eq(u64, ledger_by_acct(&l, ACCT_IDLE), 42));
	cr_expect(eq(u64, ledger_by_acct(&l, ACCT_GUEST), 5));
}

Test(ledger, booking_does_not_move_the_clock)
{
	static struct ledger l;

	ledger_book(&l, WHY_EXECUTE, 9);
	cr_expect(eq(u64, l.now, 0));
	cr_expect(eq(u64, ledger_sum(&l), 9));
}

#define NAME(test, acct, want) \
Test(ledger_names, test) \
{ \
	char buf[32]; \
	cr_expect(eq(str, (char *)ledger_acct_name(acct, buf, sizeof buf), want)); \
}
NAME(idle, ACCT_IDLE, "idle")
NAME(vmm, ACCT_VMM, "vmm")
NAME(hardware, ACCT_HARDWARE, "hardware")
NAME(kernel_of_vm_0, ACCT_GUEST, "vm0.kernel")
NAME(user_of_the_last_vm, ACCT_N - 1, "vm15.user")

Test(ledger_names, every_cause_has_a_name_and_a_sentence)
{
	for (unsigned w = 0; w < WHY_N; w++) {
		cr_assert_not_null(ledger_why[w].name);
		cr_assert_not_null(ledger_why[w].sentence);
		for (unsigned v = 0; v < w; v++)
			cr_expect(ne(str, (char *)ledger_why[w].name, (char *)ledger_why[v].name));
	}
}
