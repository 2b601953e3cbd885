/* Random kernel and user code (scenarios/guests/anycode) does under every technique what it does on the bare machine. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/guest_run.h"

enum { SEEDS = 4 };
#define LIMIT 4000000000u

static void sum_of(const char *kernel, const char *cmdline, const char *keys, char to[128])
{
	struct session s;
	struct run *r = guest_run(&s, kernel, cmdline, "%s", keys);
	run_until(r->host ? r->host : r, LIMIT, 0);
	const struct run *guest = run_face(r);
	snprintf(to, 128, "%.*s", (int)guest->console_n, guest->console);
	session_fini(&s);
}

/* user: programs may execute what is critical. */
static void same(unsigned width, const char *keys, bool user)
{
	char kernel[64], cmdline[64], bare[128], test[128];
	snprintf(kernel, sizeof kernel, "build/guests/anycode%u.elf", width);
	for (unsigned seed = 1; seed <= SEEDS; seed++) {
		snprintf(cmdline, sizeof cmdline, "seed=%u kernel=%u", seed, !user);
		sum_of(kernel, cmdline, "", bare);
		cr_assert(strstr(bare, "sum"), "%s: no end on the bare machine: %s", cmdline, bare);
		sum_of(kernel, cmdline, keys, test);
		cr_expect_str_eq(test, bare, "%s, %u bits, under %s", cmdline, width, keys);
	}
}

#define ANYCODE(name, keys, user) \
	Test(anycode, name##_32, .timeout = 120) { same(32, keys, user); } \
	Test(anycode, name##_64, .timeout = 120) { same(64, keys, user); }
ANYCODE(under_ept, "cpu=vmx mmu=ept", true)
ANYCODE(under_agile, "cpu=vmx mmu=agile", true)
ANYCODE(under_shadow_unsync, "cpu=vmx mmu=shadow.unsync", true)
ANYCODE(under_shadow_vtlb, "cpu=vmx mmu=shadow.vtlb", true)
ANYCODE(under_trap, "cpu=trap mmu=shadow.wp trap.critical=true", true)
ANYCODE(under_trap_with_a_virtual_tlb, "cpu=trap mmu=shadow.vtlb trap.critical=true", true)
ANYCODE(translated, "cpu=bt mmu=shadow.wp", false)
ANYCODE(translated_unsync, "cpu=bt mmu=shadow.unsync bt_adaptive=false", false)
ANYCODE(translated_in_blocks_of_one_instruction, "cpu=bt mmu=shadow.wp bt_block=1", false)
ANYCODE(translated_in_a_cache_that_overflows, "cpu=bt mmu=shadow.flush bt_cache=16K bt_chain=false", false)
