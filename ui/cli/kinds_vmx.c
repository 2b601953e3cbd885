/* kinds_vmx.c - the tables of VMX operation as lists of items: VMCS fields, controls, exit reasons. */
#include <stdio.h>

#include "models/vmm/bt/translate.h"
#include "models/vmm/exit.h"
#include "models/vmm/nested/nested.h"
#include "models/vmm/pv/hypercall.h"
#include "ui/cli/item.h"

static const char *const words[VMX_WORDS] = {
	[VMX_WORD_PIN] = "pin-based", [VMX_WORD_PROC] = "processor-based", [VMX_WORD_PROC2] = "secondary",
	[VMX_WORD_EXIT] = "VM-exit", [VMX_WORD_ENTRY] = "VM-entry",
};

void each_vmcs(item_fn *fn, void *arg)
{
	static const char *const width[] = { "16 bits", "64 bits", "32 bits", "natural width" };
	static const char *const type[] = { "control", "read-only", "guest state", "host state" };

	for (unsigned i = 0; i < VMCS_N; i++) {
		const struct vmcs_row *r = &vmcs_rows[i];
		enum vmcs_field f = (enum vmcs_field)i;
		char number[16], detail[64], more[160];
		int n;

		snprintf(number, sizeof number, "%04XH", r->encoding);
		snprintf(detail, sizeof detail, "%s, %s, %s", number, width[vmcs_width(f)],
		         type[vmcs_type(f)]);
		n = snprintf(more, sizeof more, "SDM Vol. 3C, \"%s\"", vmcs_section(f));
		if (r->needs != VMX_ALWAYS)
			snprintf(more + n, sizeof more - (size_t)n,
			         "\nexists where the control %s may be 1",
			         vmx_control_rows[r->needs].name);
		fn(arg, &(struct item){ r->name, number, detail, r->sentence, more });
	}
}

void each_control(item_fn *fn, void *arg)
{
	static const char *const title[VMX_WORDS] = {
		[VMX_WORD_PIN] = "Pin-Based VM-Execution Controls",
		[VMX_WORD_PROC] = "Processor-Based VM-Execution Controls",
		[VMX_WORD_PROC2] = "Processor-Based VM-Execution Controls",
		[VMX_WORD_EXIT] = "VM-Exit Controls",
		[VMX_WORD_ENTRY] = "VM-Entry Controls",
	};

	for (unsigned i = 0; i < VMX_CONTROLS; i++) {
		const struct vmx_control_row *r = &vmx_control_rows[i];
		char detail[40], more[80];

		snprintf(detail, sizeof detail, "%s bit %u", words[r->word], r->bit);
		snprintf(more, sizeof more, "SDM Vol. 3C, \"%s\"", title[r->word]);
		fn(arg, &(struct item){ r->name, NULL, detail, r->sentence, more });
	}
}

void each_exit(item_fn *fn, void *arg)
{
	for (unsigned i = 0; i < EXIT_REASONS; i++) {
		char name[48], number[16];

		if (!exit_reason_rows[i].name)
			continue;
		snprintf(name, sizeof name, "exit.%s", exit_reason_rows[i].name);
		snprintf(number, sizeof number, "reason %u", i);
		const char *service = exit_services[i].sentence;
		const char *nested = nested_reflects_sentence(i);
		char more[480];

		snprintf(more, sizeof more, "%s\n    the modelled VMM: %s%s%s", i < EXIT_FLAGS ? "SDM Vol. 3D, \"VMX Basic Exit Reasons\"" :
		         "no reason of VMX: what a VMM in rings makes of a trap; docs/ring.md",
		         service ? service : "does not have it happen; it would refuse to go on, by name",
		         nested ? "\n    of a nested guest: " : "", nested ? nested : "");
		fn(arg, &(struct item){ name, exit_reason_rows[i].name, number,
		                        exit_reason_rows[i].sentence, more });
	}
}

void each_vmm_cost(item_fn *fn, void *arg)
{
	for (unsigned i = 0; i < VMM_COSTS; i++) {
		const struct vmm_cost_row *r = &vmm_cost_rows[i];
		char name[40], detail[64];

		snprintf(name, sizeof name, "vmm.%s", r->name);
		snprintf(detail, sizeof detail, "%llu cycles, %s", (unsigned long long)r->cycles, ledger_why[r->why].name);
		fn(arg, &(struct item){ name, NULL, detail, r->sentence, "source: docs/timing.md" });
	}
}

void each_hypercall(item_fn *fn, void *arg)
{
	for (unsigned i = 0; i < PV_CALLS; i++) {
		const struct hypercall_row *r = &hypercall_rows[i];
		char detail[64], more[320];

		snprintf(detail, sizeof detail, "%u (%s)", i, r->arguments);
		snprintf(more, sizeof more, "checked: %s\n    cost: vmm.%s and its references; docs/pv.md", r->checks,
		         vmm_cost_rows[r->cost].name);
		fn(arg, &(struct item){ r->name, NULL, detail, r->sentence, more });
	}
}

void each_translation(item_fn *fn, void *arg)
{
	for (size_t i = 0; i < bt_rows_n; i++)
		fn(arg, &(struct item){ bt_rows[i].insn, NULL, bt_rows[i].how, bt_rows[i].sentence, "docs/bt.md" });
}

void each_callout(item_fn *fn, void *arg)
{
	for (unsigned i = 1; i < BT_CALLOUTS; i++)
		fn(arg, &(struct item){ bt_callout_rows[i].name, NULL, "", bt_callout_rows[i].sentence, "counted by bt.callouts.*; see docs/bt.md" });
}
