#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "ui/cli/technique.h"
#include "ui/session/setup.h"

#define NUMBER(test, text, want) \
Test(parse_number, test) \
{ \
	uint64_t v = 0; \
	cr_assert(parse_number(text, &v)); \
	cr_expect(eq(u64, v, want)); \
}
NUMBER(plain, "12", 12)
NUMBER(hexadecimal, "0x10", 16)
NUMBER(kilo, "4K", 4096)
NUMBER(mega, "512M", 512ull << 20)
NUMBER(small_giga, "1g", 1ull << 30)
NUMBER(exponent, "2e9", 2000000000)
NUMBER(with_a_point, "3.8e9", 3800000000)
NUMBER(largest, "18446744073709551615", ~0ull)
NUMBER(hexadecimal_with_e, "0x1e3", 0x1e3)

#define NO_NUMBER(test, text) \
Test(parse_number, test) \
{ \
	uint64_t v; \
	cr_expect(not(parse_number(text, &v))); \
}
NO_NUMBER(empty, "")
NO_NUMBER(negative, "-1")
NO_NUMBER(too_large, "18446744073709551616")
NO_NUMBER(too_large_when_scaled, "99999999999T")
NO_NUMBER(a_fraction, "1.5")
NO_NUMBER(rest, "12MB")
NO_NUMBER(word, "many")
NO_NUMBER(not_a_number, "nan")
NO_NUMBER(beyond_2_to_64, "1e20")

static struct setup s;
static struct err e;

static void begin(void) { setup_init(&s); e.text[0] = '\0'; }
static void end(void) { setup_fini(&s); }
TestSuite(setup, .init = begin, .fini = end);

Test(setup, single_rows_override_the_profile_in_any_order)
{
	cr_assert(eq(int, setup_set(&s, "l2.latency", "99", NULL, &e), 0));
	cr_assert(eq(int, setup_set(&s, "profile", "prescott", NULL, &e), 0));
	cr_assert(eq(int, setup_finish(&s, &e), 0), "%s", e.text);
	cr_expect(eq(u64, s.config.profile.l2_latency, 99));
	cr_expect(eq(u64, s.config.profile.hz, 3800000000));
	cr_expect(eq(str, s.config.profile.name, "prescott"));
}

Test(setup, every_key_has_a_case)
{
	for (size_t i = 0; i < config_rows_n; i++) {
		struct err x = { "" };

		setup_set(&s, config_rows[i].key, "", "here", &x);
		cr_expect_null(strstr(x.text, "unknown key"), "%s", x.text);
	}
}

Test(setup, rows_that_do_not_fit_together_are_refused)
{
	cr_assert(eq(int, setup_set(&s, "dtlb.4k.ways", "7", "x.lua:9", &e), 0));
	cr_expect(eq(int, setup_finish(&s, &e), -1));
	cr_expect_not_null(strstr(e.text, "x.lua:9: dtlb.4k: 64 entries in 7 ways"), "%s", e.text);
}

Test(setup, every_profile_loads)
{
	static const char *const name[] = { "prescott", "core2", "nehalem", "sandybridge", "haswell", "skylake", "opteron" };

	for (size_t i = 0; i < ARRAY_LEN(name); i++) {
		struct setup x;
		struct err why = { "" };

		setup_init(&x);
		setup_set(&x, "profile", name[i], NULL, &why);
		cr_expect(eq(int, setup_finish(&x, &why), 0), "%s", why.text);
		setup_fini(&x);
	}
}

/* ---- keys of single techniques ---- */

/* key = value under that technique: 0 or the refusal. */
static int given(const char *cpu, const char *mmu, const char *key, const char *value)
{
	cr_assert(eq(int, setup_set(&s, "cpu", cpu, NULL, &e), 0));
	cr_assert(eq(int, setup_set(&s, "mmu", mmu, NULL, &e), 0));
	cr_assert(eq(int, setup_set(&s, key, value, "x.lua:3", &e), 0), "%s", e.text);
	cr_assert(eq(int, setup_finish(&s, &e), 0), "%s", e.text);
	return setup_keys_used(&s, &e);
}

#define UNUSED(test, cpu, mmu, key, value, says) \
Test(setup, test) \
{ \
	cr_expect(eq(int, given(cpu, mmu, key, value), -1)); \
	cr_expect_not_null(strstr(e.text, "x.lua:3: " key " has no effect " says), "%s", e.text); \
}
UNUSED(translation_is_a_matter_of_bt, "vmx", "ept", "bt_chain", "true", "under vmx/ept: it is of use under bt\n    leave it out, or choose cpu = bt")
UNUSED(no_vmm_is_below_a_native_kernel, "native", "native", "nested", "true", "on the bare machine: it is of use under vmx/ept or trap")
UNUSED(slices_are_a_vmms, "native", "native", "slice", "5000", "on the bare machine: it is of use under any VMM")
UNUSED(a_page_needs_a_table_of_the_vmms, "pv", "direct", "page", "2M", "under pv/direct: it is of use under ept or shadow")
UNUSED(ept_has_no_shadow_tables, "vmx", "ept", "shadow_limit", "1M", "under vmx/ept: it is of use under shadow or agile")
UNUSED(one_tree_is_never_flooded, "vmx", "shadow.vtlb", "shadow_flood", "3", "under vmx/shadow.vtlb")
UNUSED(tags_are_of_vmx, "bt", "shadow.wp", "tags", "false", "under bt/shadow.wp: it is of use under vmx\n")
UNUSED(a_phase_of_another_vmm, "vmx", "ept", "vmm.pv_call", "3", "under vmx/ept: it is of use under pv\n")
UNUSED(no_phases_on_the_bare_machine, "native", "native", "vmm.cpuid", "3", "on the bare machine: it is of use under any VMM")

#define USED(test, cpu, mmu, key, value) \
Test(setup, test) { cr_expect(eq(int, given(cpu, mmu, key, value), 0), "%s", e.text); }
USED(bt_uses_its_keys, "bt", "shadow.wp", "bt_chain", "false")
USED(shadow_alone_is_shadow_wp, "vmx", "shadow", "shadow_flood", "3")
USED(agile_has_shadow_tables, "vmx", "agile", "shadow_limit", "1M")
USED(trap_inside_trap, "trap", "shadow.wp", "nested", "true")
USED(shadows_of_every_vmm_have_large_pages, "pv", "shadow.wp", "page", "2M")
USED(a_phase_of_its_own, "trap", "shadow.wp", "vmm.ring_flags", "3")
USED(other_cpus_flush_for_ept, "vmx", "ept", "vmm.shadow_remote", "3")
USED(a_seed_is_everybodys, "native", "native", "seed", "3")

/* Every name in the tables is one of a technique. */
Test(setup, who_uses_a_key_exists)
{
	for (size_t i = 0; i < config_rows_n; i++) {
		bool any = false;

		for (size_t c = 0; c < technique_rows_n; c++)
			for (size_t m = 0; m < mmu_rows_n; m++)
				any |= setup_key_used(config_rows[i].key, technique_rows[c].cpu, mmu_rows[m].name);
		cr_expect(any, "%s", config_rows[i].key);
	}
}

#define REFUSED(test, row, value, says) \
Test(setup, test) \
{ \
	cr_expect(eq(int, setup_set(&s, row, value, "x.lua:3", &e), -1)); \
	cr_expect_not_null(strstr(e.text, says), "%s", e.text); \
}
REFUSED(unknown_keys_get_a_suggestion, "rm", "1", "x.lua:3: unknown key 'rm'\n    did you mean 'ram'?")
REFUSED(no_cpu, "cpus", "0", "cpus = 0: expected 1..16")
REFUSED(too_many_cpus, "cpus", "17", "cpus = 17: expected 1..16")
REFUSED(too_little_ram, "ram", "1048575", "ram = 1048575: expected 1048576..")
REFUSED(ram_that_is_no_multiple, "ram", "1048577", "expected a multiple of 4096")
REFUSED(speed_is_one_of_two, "speed", "quick", "expected detailed or fast")
REFUSED(a_ring_is_a_power_of_two, "trace_ring", "1000", "expected a power of two")
REFUSED(a_flag_is_true_or_false, "test_device", "maybe", "expected true or false")
REFUSED(a_row_out_of_range, "phys_bits", "53", "phys_bits = 53: expected 32..52 bits")
