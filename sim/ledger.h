/* ledger.h - every cycle has an owner.
 *
 * Each CPU has one ledger. Its clock advances by ledger_charge() and by nothing else, so
 * the sum over all accounts and causes equals the clock: ledger_audit() proves it.
 *
 * An account says who spent the cycle: machine-wide hardware and idle, the VMM, and per
 * virtual machine its kernel and its user code (VM 0 is the bare machine's own software).
 *
 * The block interpreter advances `now` instruction by instruction and books the block's base
 * costs once per block (from the block's own running sum): between instructions of one block
 * the books lag by that much and ledger_audit() may only be asked at an instruction boundary
 * the interpreter has returned at. */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include "sim/base.h"

enum why {
#define WHY(NAME, name, sentence) WHY_##NAME,
#include "sim/ledger.def"
	WHY_N
};

#define LEDGER_VMS_MAX 16

enum account {
	ACCT_IDLE,              /* halted */
	ACCT_VMM,               /* modelled or simulated root-side software */
	ACCT_HARDWARE,          /* world switches: VM exits and entries */
	ACCT_GUEST,             /* first of the pairs: ACCT_GUEST + 2*vm = kernel, +1 = user */
	ACCT_N = ACCT_GUEST + 2 * LEDGER_VMS_MAX
};

struct ledger {                 /* plain state: copied into snapshots as it is */
	cycle_t now;                        /* the clock of this CPU */
	uint32_t acct;                      /* who is spending now */
	uint32_t pad;
	uint64_t spent[ACCT_N][WHY_N];      /* cycles */
};

static inline void ledger_charge(struct ledger *l, enum why why, cycle_t cycles)
{
	l->now += cycles;
	l->spent[l->acct][why] += cycles;
}

/* Book cycles already counted in `now` (the block interpreter only). */
static inline void ledger_book(struct ledger *l, enum why why, cycle_t cycles)
{
	l->spent[l->acct][why] += cycles;
}

struct ledger_why_row { const char *name, *sentence; };
extern const struct ledger_why_row ledger_why[WHY_N];

const char *ledger_acct_name(unsigned acct, char *buf, size_t n);  /* "idle", "vmm", "vm0.kernel" */
uint64_t ledger_sum(const struct ledger *l);                        /* over all accounts and causes */
bool ledger_audit(const struct ledger *l);                          /* sum == clock */
uint64_t ledger_by_why(const struct ledger *l, enum why why);
uint64_t ledger_by_acct(const struct ledger *l, unsigned acct);

#endif
