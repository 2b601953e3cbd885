#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "ui/cli/technique.h"

/* Pairs of the design's table: legal ones run, all others are refused with the reason. */
#define PAIR(test, cpu, mmu, want, says) \
Test(technique, test) \
{ \
	struct err e = { "" }; \
	cr_expect(eq(int, technique_check(cpu, mmu, &e), want)); \
	cr_expect_not_null(strstr(e.text, says), "%s", e.text); \
}
PAIR(nothing_given_is_native, NULL, NULL, 0, "")
PAIR(native_native, "native", "native", 0, "")
PAIR(native_shadow, "native", "shadow", -1, "is not possible: on the bare machine")
PAIR(native_ept, "native", "ept", -1, "--cpu native goes with --mmu native")
PAIR(trap_shadow, "trap", "shadow", 0, "")
PAIR(trap_ept, "trap", "ept", -1, "is not possible")
PAIR(trap_native, "trap", "native", -1, "is not possible")
PAIR(bt_shadow_variant, "bt", "shadow.wp", 0, "")
PAIR(pv_direct, "pv", "direct", 0, "")
PAIR(pv_agile, "pv", "agile", -1, "is not possible")
PAIR(vmx_shadow, "vmx", "shadow", 0, "")
PAIR(vmx_agile, "vmx", "agile", 0, "")
PAIR(vmx_direct, "vmx", "direct", -1, "is not possible")
PAIR(ept_alone_means_vmx, NULL, "ept", 0, "")
PAIR(unknown_cpu, "kvm", NULL, -1, "unknown technique 'kvm'")
PAIR(unknown_mmu, "vmx", "etp", -1, "did you mean 'ept'?")
