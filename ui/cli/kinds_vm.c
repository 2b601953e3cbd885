/* kinds_vm.c - ways to virtualize, as items: memory virtualization, pairs, the steps of a context switch, notions. */
#include <stdio.h>
#include <string.h>

#include "models/vmm/vmm.h"
#include "ui/cli/item.h"
#include "ui/cli/technique.h"

void each_mmu(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < mmu_rows_n; i++)
		fn(arg, &(struct item){ mmu_rows[i].name, NULL, "", mmu_rows[i].what, mmu_rows[i].more });
}

static const struct mmu_row *mmu_of(const char *name)
{
	for (size_t i = 0; i < mmu_rows_n; i++)
		if (strlen(mmu_rows[i].name) == strcspn(name, ":") && strncmp(mmu_rows[i].name, name, strcspn(name, ":")) == 0)
			return &mmu_rows[i];
	return &mmu_rows[0];
}

/* "bt/shadow.wp"; also "bt/shadow". */
static void pair(item_fn *fn, void *arg, const char *name)
{
	const char *slash = strchr(name, '/');
	const struct technique_row *cpu = technique_rows;
	char also[40], sentence[240], more[400];
	for (size_t i = 0; i < technique_rows_n; i++)
		if (strncmp(technique_rows[i].cpu, name, (size_t)(slash - name)) == 0)
			cpu = &technique_rows[i];
	const struct mmu_row *mmu = mmu_of(slash + 1);
	snprintf(also, sizeof also, "%.*s", (int)strcspn(name, "."), name);
	snprintf(sentence, sizeof sentence, "%s; %s", cpu->what, mmu->what);
	snprintf(more, sizeof more, "%s%s", mmu->more, strstr(name, ":whatif") ?
	         "\n    :whatif: on the machine whose critical instructions trap (--set trap.critical=1 with boot); on plain x86 it goes wrong" :
	         strstr(name, ":2M") ? "\n    :2M: EPT maps with pages of 2 MB where it can (--page 2M with boot)" : "");
	fn(arg, &(struct item){ name, strcmp(also, "vmx/shadow") == 0 && !strstr(name, ".wp") ? NULL : also, "", sentence, more });
}

void each_pair(item_fn *fn, void *arg)
{
	pair(fn, arg, "native/native");
#define PAIR(technique) pair(fn, arg, technique);
#include "ui/compare/all.def"
}

void each_switch_step(item_fn *fn, void *arg)
{
	static const struct { enum switch_step step; const char *name, *sentence; } row[] = {
		{ STEP_INTERRUPT, "the timer interrupts", "the slice of the virtual CPU that runs is over: the physical timer's interrupt" },
		{ STEP_VMM, "the VMM is entered", "the CPU leaves the guest through the VMM's gate, on the VMM's stack" },
		{ STEP_SAVE, "the state is saved", "the registers of the virtual CPU go into its record" },
		{ STEP_DECIDE, "the next is decided", "the scheduler chooses the virtual CPU that runs next" },
		{ STEP_TIMER, "the timer is armed", "for the end of that one's slice" },
		{ STEP_RESTORE, "its state is restored", "registers, floating point, MSRs and descriptor tables of the one that comes" },
		{ STEP_SPACE, "the address space is switched", "CR3 leads to its shadow tables, or its own under pv/direct" },
		{ STEP_JUMP, "the jump", "IRET into it" },
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		char number[16];
		snprintf(number, sizeof number, "step %u", (unsigned)row[i].step);
		fn(arg, &(struct item){ row[i].name, number, number, row[i].sentence,
		                        "of a context switch among virtual CPUs in rings: trace event switch_step; vmscope run scenarios/switch.lua" });
	}
}

void each_notion(item_fn *fn, void *arg)
{
#define NOTION(name, also, sentence, more) fn(arg, &(struct item){ name, also, "", sentence, more });
#include "ui/cli/notion.def"
}
