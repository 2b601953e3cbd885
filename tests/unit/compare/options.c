/* Sweeps, lists and plans from text; what is wrong is refused with a way out. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "made_up.h"

static void values(const char *text, const char *want)
{
	struct err e = { "" };
	struct sweep s;
	char got[512] = "";

	cr_assert(eq(int, sweep_parse(&s, text, &e), 0), "%s", e.text);
	for (size_t i = 0; i < s.n; i++)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%lu", i ? " " : "", (unsigned long)s.value[i]);
	cr_expect(eq(str, got, (char *)want));
	free(s.value);
}
#define VALUES(name, text, want) Test(sweep, name) { values(text, want); }
VALUES(steps, "updates=0..10:5", "0 5 10")
VALUES(steps_that_do_not_meet_the_end, "updates=0..10:4", "0 4 8")
VALUES(factors, "size=1m..8m:x2", "1048576 2097152 4194304 8388608")
VALUES(factors_from_zero, "n=0..8:x4", "0 1 4")
VALUES(eight_steps_unless_told, "n=0..16", "0 2 4 6 8 10 12 14 16")
VALUES(doubling_over_a_wide_range, "n=1..16", "1 2 4 8 16")
VALUES(one_value, "n=5..5", "5")
VALUES(near_the_end_of_numbers, "n=18446744073709551614..18446744073709551615:1", "18446744073709551614 18446744073709551615")

static void refused(const char *text, const char *want)
{
	struct err e = { "" };
	struct sweep s;

	cr_expect(eq(int, sweep_parse(&s, text, &e), -1));
	cr_expect(says(e.text, want), "%s", e.text);
	free(s.value);
}
#define REFUSED(name, text, want) Test(sweep, refuses_##name) { refused(text, want); }
REFUSED(nothing, "", "expected name=a..b")
REFUSED(no_name, "=1..2", "expected name=a..b")
REFUSED(no_range, "n=1", "expected name=a..b")
REFUSED(no_number, "n=a..b", "a number was expected")
REFUSED(backwards, "n=2..1", "2 is larger than 1")
REFUSED(step_zero, "n=1..2:0", "expected a step of at least 1")
REFUSED(factor_one, "n=1..2:x1", "xFACTOR of at least 2")
REFUSED(too_many, "n=0..1000000:1", "more than 256 values")
REFUSED(unknown_rows, "stlb.latencyy=1..2", "did you mean 'stlb.latency'?")
REFUSED(odd_names, "n;m=1..2", "not a name")

Test(sweep, knows_whose_name_it_is)
{
	struct err e = { "" };
	struct sweep s;

	cr_assert(eq(int, sweep_parse(&s, "stlb.latency=1..2", &e), 0));
	cr_expect(s.row);
	free(s.value);
	cr_assert(eq(int, sweep_parse(&s, "updates=1..2", &e), 0));
	cr_expect(not(s.row));
	free(s.value);
}

Test(names, split_without_blanks_around)
{
	struct names t = { NULL, 0 };

	names_split(&t, " gups size=16m , forkwait,", ',');
	cr_assert(eq(sz, t.n, 3));
	cr_expect(eq(str, t.v[0], (char *)"gups size=16m"));
	cr_expect(eq(str, t.v[1], (char *)"forkwait"));
	cr_expect(eq(str, t.v[2], (char *)""));
	names_fini(&t);
}

Test(plan, standard_parameters_stand_before_given_ones)
{
	struct compare_options o;
	struct err e = { "" };
	struct plan p;

	compare_options_init(&o);
	names_split(&o.workload, "gups n=5,cr8", ',');
	names_add(&o.technique, "native", 6);
	cr_assert(eq(int, plan_make(&p, &o, &e), 0), "%s", e.text);
	cr_assert(eq(sz, p.n, 2));
	cr_expect(eq(str, p.spec[0].cmdline, (char *)"gups size=32m n=200000 n=5"));
	cr_expect(eq(str, p.spec[1].cmdline, (char *)"cr8 n=5000"));
	plan_fini(&p);
	compare_options_fini(&o);
}

Test(plan, all_combinations_in_order)
{
	struct compare_options o;
	struct err e = { "" };
	struct plan p;

	compare_options_init(&o);
	names_split(&o.workload, "in,cr8", ',');
	names_split(&o.profile, "skylake,prescott", ',');
	names_add(&o.technique, "native", 6);
	o.sweep = xstrdup("n=1..3:1");
	cr_assert(eq(int, plan_make(&p, &o, &e), 0), "%s", e.text);
	cr_assert(eq(sz, p.n, 12));
	cr_expect(eq(str, p.spec[plan_at(&p, 1, 1, 2, 0)].cmdline, (char *)"cr8 n=5000 n=3"));
	cr_expect(eq(str, p.spec[plan_at(&p, 1, 1, 2, 0)].profile, (char *)"prescott"));
	plan_fini(&p);
	compare_options_fini(&o);
}

Test(plan, several_cpus_have_a_workload_of_their_own)
{
	struct compare_options o;
	struct err e = { "" };
	struct plan p;

	compare_options_init(&o);
	names_add(&o.technique, "native", 6);
	o.cpus = 4;
	cr_assert(eq(int, plan_make(&p, &o, &e), 0), "%s", e.text);
	cr_assert(eq(sz, p.n, 1));
	cr_expect(eq(str, p.spec[0].cmdline, (char *)"smp n=3"));
	cr_expect(eq(u32, p.spec[0].cpus, 4));
	plan_fini(&p);
	compare_options_fini(&o);
}

static void plan_refused(const char *technique, const char *ram, const char *image, const char *want)
{
	struct compare_options o;
	struct err e = { "" };
	struct plan p;

	compare_options_init(&o);
	names_add(&o.technique, technique, strlen(technique));
	o.ram = xstrdup(ram);
	o.image = xstrdup(image);
	cr_expect(eq(int, plan_make(&p, &o, &e), -1));
	cr_expect(says(e.text, want), "%s", e.text);
	plan_fini(&p);
	compare_options_fini(&o);
}
#define PLAN_REFUSED(name, technique, ram, image, want) Test(plan, refuses_##name) { plan_refused(technique, ram, image, want); }
PLAN_REFUSED(unknown_techniques, "vmx/nix", "64M", "kernel64", "unknown technique 'nix'")
PLAN_REFUSED(illegal_pairs, "native/ept", "64M", "kernel64", "is not possible")
PLAN_REFUSED(empty_techniques, "", "64M", "kernel64", "expected CPU/MMU")
PLAN_REFUSED(half_techniques, "/ept", "64M", "kernel64", "expected CPU/MMU")
PLAN_REFUSED(endless_techniques, "vmx/eptttttttttttttttttttttttttttttttttttttt", "64M", "kernel64", "expected CPU/MMU")
PLAN_REFUSED(page_sizes_of_others, "native:2M", "64M", "kernel64", "only EPT has a page size")
PLAN_REFUSED(unknown_page_sizes, "ept:3M", "64M", "kernel64", "unknown page size '3M'")
PLAN_REFUSED(no_memory, "native", "0", "kernel64", "expected 1M..16G")
PLAN_REFUSED(too_much_memory, "native", "17G", "kernel64", "expected 1M..16G")
PLAN_REFUSED(missing_images, "native", "64M", "nix", "nix: no such image")
