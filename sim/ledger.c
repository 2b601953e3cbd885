/* ledger.c - the names of causes and accounts, and the sums that prove every cycle has an owner. */
#include "sim/ledger.h"

#include <stdio.h>

const struct ledger_why_row ledger_why[WHY_N] = {
#define WHY(NAME, name, sentence) [WHY_##NAME] = { name, sentence },
#include "sim/ledger.def"
};

const char *ledger_acct_name(unsigned acct, char *buf, size_t n)
{
	static const char *const name[] = { [ACCT_IDLE] = "idle", [ACCT_VMM] = "vmm",
	                                    [ACCT_HARDWARE] = "hardware" };

	if (acct < ACCT_GUEST)
		snprintf(buf, n, "%s", name[acct]);
	else
		snprintf(buf, n, "vm%u.%s", (acct - ACCT_GUEST) / 2,
		         (acct - ACCT_GUEST) % 2 ? "user" : "kernel");
	return buf;
}

uint64_t ledger_by_acct(const struct ledger *l, unsigned acct)
{
	uint64_t sum = 0;

	for (unsigned w = 0; w < WHY_N; w++)
		sum += l->spent[acct][w];
	return sum;
}

uint64_t ledger_by_why(const struct ledger *l, enum why why)
{
	uint64_t sum = 0;

	for (unsigned a = 0; a < ACCT_N; a++)
		sum += l->spent[a][why];
	return sum;
}

uint64_t ledger_sum(const struct ledger *l)
{
	uint64_t sum = 0;

	for (unsigned a = 0; a < ACCT_N; a++)
		sum += ledger_by_acct(l, a);
	return sum;
}

bool ledger_audit(const struct ledger *l)
{
	return ledger_sum(l) == l->now;
}
