/* The classification is measured, and agrees with what the table of instructions says, with the published list, and with
 * what a changed machine does. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/sensitivity.h"
#include "ui/classify/classify.h"
#include "ui/lua/profile_file.h"

static struct verdicts measure_on(bool umip, bool trap)
{
	static struct profile p;
	struct err e = { "" };
	struct verdicts all;
	cr_assert(eq(int, profile_load("skylake", &p, NULL, &e), 0), "%s", e.text);
	const struct class_options o = { &p, umip, trap };
	cr_assert(eq(int, classify(&o, &all, &e), 0), "%s", e.text);
	return all;
}

static struct verdicts measure(bool umip) { return measure_on(umip, false); }

static const struct verdict *find(const struct verdicts *all, enum class_mode mode, const char *name)
{
	for (size_t i = 0; i < all->n; i++) {
		char text[64];
		verdict_name(&all->v[i], text, sizeof text);
		if (all->v[i].mode == mode && strcmp(text, name) == 0)
			return &all->v[i];
	}
	cr_assert(false, "no %s", name);
	return NULL;
}

/* Robin and Irvine, "Analysis of the Intel Pentium's Ability to Support a Secure Virtual Machine Monitor", section 3.3. */
Test(classify, finds_the_published_critical_instructions)
{
	static const char *const published[] = { "sgdt", "sidt", "sldt", "smsw", "pushfd", "popfd", "lar", "lsl", "verr", "verw", "pop sreg", "push sreg",
	                                         "call far", "jmp far", "int", "ret far", "str", "mov sreg" };
	struct verdicts all = measure(false);
	for (size_t i = 0; i < ARRAY_LEN(published); i++)
		cr_expect(verdict_critical(find(&all, CLASS_IA32, published[i])), "%s", published[i]);
	free(all.v);
}

Test(classify, agrees_with_the_table_of_instructions)
{
	static const char *const words[] = { [INSN_INNOCUOUS] = "innocuous", [INSN_PRIVILEGED] = "privileged", [INSN_SENSITIVE] = "critical" };
	struct verdicts all = measure(false);
	cr_expect(lt(sz, 1000, all.n));
	for (size_t i = 0; i < all.n; i++) {
		const struct verdict *v = &all.v[i];
		char name[64];
		verdict_name(v, name, sizeof name);
		if (!verdict_unknown(v))
			cr_expect(strcmp(verdict_word(v), words[insn_sensitivity(v->insn, v->shape)]) == 0, "%s (mode %d): measured %s, table %s: %s",
			          name, v->mode, verdict_word(v), words[insn_sensitivity(v->insn, v->shape)], v->evidence);
	}
	free(all.v);
}

Test(classify, user_mode_instruction_prevention_makes_five_privileged)
{
	static const char *const five[] = { "sgdt", "sidt", "sldt", "smsw", "str" };
	struct verdicts all = measure(true);
	for (size_t i = 0; i < ARRAY_LEN(five); i++)
		for (unsigned mode = 0; mode < CLASS_MODES; mode++)
			cr_expect(find(&all, (enum class_mode)mode, five[i])->privileged, "%s", five[i]);
	cr_expect(verdict_critical(find(&all, CLASS_IA32, "popfd")));
	free(all.v);
}

Test(classify, evidence_is_given_for_each_critical_instruction)
{
	struct verdicts all = measure(false);
	for (size_t i = 0; i < all.n; i++)
		if (verdict_critical(&all.v[i]))
			cr_expect(lt(sz, 10, strlen(all.v[i].evidence)), "%s", insn_name(all.v[i].insn));
	free(all.v);
}

/* Popek and Goldberg, theorem 1: on the machine whose critical instructions trap, the sensitive instructions are a subset of
 * the privileged ones. What was critical is privileged there. */
Test(classify, nothing_is_critical_on_the_what_if_machine)
{
	struct verdicts plain = measure(false), what_if = measure_on(false, true);
	char text[16384] = { 0 };
	cr_expect(eq(sz, plain.n, what_if.n));
	for (size_t i = 0; i < plain.n; i++) {
		const struct verdict *v = &plain.v[i], *w = &what_if.v[i];
		cr_expect(not(verdict_critical(w)), "%s: %s", insn_name(w->insn), w->evidence);
		const char *want = verdict_critical(v) ? "privileged" : verdict_word(v);
		cr_expect(strcmp(verdict_word(w), want) == 0, "%s (mode %d): %s, not %s", insn_name(w->insn), w->mode, verdict_word(w), want);
	}
	FILE *f = fmemopen(text, sizeof text - 1, "w");
	classify_print(f, &what_if, false);
	fclose(f);
	cr_expect(strstr(text, "are a subset of the privileged ones") != NULL);
	cr_expect(strstr(text, "are no subset") == NULL);
	free(plain.v);
	free(what_if.v);
}

Test(classify, the_profile_row_of_umip_is_what_cr4_umip_does)
{
	static struct profile p;
	struct err e = { "" };
	struct verdicts bit = measure(true), row;
	cr_assert(eq(int, profile_load("skylake", &p, NULL, &e), 0));
	cr_assert(eq(int, profile_set(&p, "trap.umip", 1, NULL, &e), 0));
	cr_assert(eq(int, classify(&(struct class_options){ .profile = &p }, &row, &e), 0));
	for (size_t i = 0; i < bit.n; i++)
		cr_expect(strcmp(verdict_word(&bit.v[i]), verdict_word(&row.v[i])) == 0, "%s", insn_name(bit.v[i].insn));
	free(bit.v);
	free(row.v);
}
