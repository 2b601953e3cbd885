/* technique.c - refusing pairs of techniques, with the reason. */
#include "ui/cli/technique.h"

#include <stdio.h>
#include <string.h>

const struct technique_row technique_rows[] = {
#define TECHNIQUE(cpu, mmus, usual, what, why) { cpu, mmus, usual, what, why },
#include "ui/cli/technique.def"
};
const size_t technique_rows_n = ARRAY_LEN(technique_rows);

const struct mmu_row mmu_rows[] = {
#define MMU(name, what, more) { name, what, more },
#include "ui/cli/mmu.def"
};
const size_t mmu_rows_n = ARRAY_LEN(mmu_rows);

static const char *cpu_at(const void *table, size_t i)
{
	return ((const struct technique_row *)table)[i].cpu;
}
static const char *mmu_at(const void *table, size_t i) { return ((const struct mmu_row *)table)[i].name; }

static int unknown(const char *flag, const char *word, const char *near, const char *list, struct err *e)
{
	char hint[120];

	snprintf(hint, sizeof hint, "%s%s%sall: vmscope list %s",
	         near ? "did you mean '" : "", near ? near : "", near ? "'? " : "", list);
	return err_set(e, flag, hint, "unknown technique '%s'", word);
}

/* "shadow.wp" is a variant of "shadow". */
static size_t base_length(const char *mmu)
{
	return strcspn(mmu, ".");
}

static bool has_word(const char *words, const char *w, size_t n)
{
	for (const char *p = words; *p; p += strcspn(p, " "), p += *p == ' ')
		if (strcspn(p, " ") == n && memcmp(p, w, n) == 0)
			return true;
	return false;
}

const char *technique_mmu(const char *cpu)
{
	for (size_t i = 0; i < technique_rows_n; i++)
		if (strcmp(technique_rows[i].cpu, cpu) == 0)
			return technique_rows[i].usual;
	return NULL;
}

bool technique_is_mmu(const char *word, size_t n)
{
	for (size_t i = 0; i < mmu_rows_n; i++)
		if (strlen(mmu_rows[i].name) == n && memcmp(mmu_rows[i].name, word, n) == 0)
			return true;
	return false;
}

int technique_check(const char *cpu, const char *mmu, struct err *e)
{
	const struct technique_row *r = NULL;
	bool known = false;

	if (!cpu)
		cpu = mmu && strcmp(mmu, "native") != 0 ? "vmx" : "native";
	for (size_t i = 0; i < technique_rows_n; i++)
		if (strcmp(technique_rows[i].cpu, cpu) == 0)
			r = &technique_rows[i];
	if (!r)
		return unknown("--cpu", cpu, err_nearest(cpu, cpu_at, technique_rows,
		                                         technique_rows_n), "techniques", e);
	for (size_t i = 0; mmu && i < mmu_rows_n; i++)
		known |= strcmp(mmu_rows[i].name, mmu) == 0;
	if (mmu && !known)
		return unknown("--mmu", mmu, err_nearest(mmu, mmu_at, mmu_rows, mmu_rows_n), "mmus", e);
	if (mmu && !has_word(r->mmus, mmu, base_length(mmu))) {
		char hint[80];

		snprintf(hint, sizeof hint, "--cpu %s goes with --mmu %s", cpu, r->mmus);
		return err_set(e, NULL, hint, "--cpu %s with --mmu %s is not possible: %s", cpu,
		               mmu, r->why);
	}
	return 0;
}
