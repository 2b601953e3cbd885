/* pane_vmcs.c - the current VMCS, area by area, with the controls' names. */
#include <inttypes.h>

#include "models/cpu/vmx/vmcs.h"
#include "ui/tui/tui.h"

void draw_vmcs(struct tui *t, struct pane_out *o);

static void controls(struct pane_out *o, enum vmx_word word, uint64_t value)
{
	for (unsigned i = 0; i < VMX_CONTROLS; i++)
		if (vmx_control_rows[i].word == word && value >> vmx_control_rows[i].bit & 1) {
			put(o, STYLE_GOOD, "    %s", vmx_control_rows[i].name);
			nl(o);
		}
}

void draw_vmcs(struct tui *t, struct pane_out *o)
{
	static const struct { enum vmcs_field field; enum vmx_word word; } words[] = {
		{ VMCS_PIN_CONTROLS, VMX_WORD_PIN }, { VMCS_PROC_CONTROLS, VMX_WORD_PROC }, { VMCS_PROC2_CONTROLS, VMX_WORD_PROC2 },
		{ VMCS_EXIT_CONTROLS, VMX_WORD_EXIT }, { VMCS_ENTRY_CONTROLS, VMX_WORD_ENTRY },
	};
	static const char *const areas[] = { [VMCS_CONTROL] = "controls", [VMCS_READ_ONLY] = "exit information", [VMCS_GUEST] = "guest state", [VMCS_HOST] = "host state" };
	static const enum vmcs_type order[] = { VMCS_READ_ONLY, VMCS_GUEST, VMCS_CONTROL, VMCS_HOST };
	const struct cpu *c = looked_at(t);
	if (!c->vmcs) {
		put(o, STYLE_DIM, c->vmx.vmxon == VMCS_NONE ? "(outside VMX operation)" : "(no current VMCS)");
		nl(o);
		return;
	}
	put(o, STYLE_DIM, "region %#" PRIx64 ", %s", c->vmcs->pa, c->vmcs->launched ? "launched" : "clear");
	nl(o);
	for (size_t a = 0; a < ARRAY_LEN(order); a++) {
		put(o, STYLE_TITLE, "%s", areas[order[a]]);
		nl(o);
		for (unsigned f = 0; f < VMCS_N; f++) {
			if (vmcs_type((enum vmcs_field)f) != order[a] || !c->vmcs->f[f])
				continue;
			put(o, STYLE_DIM, "%04x %-24s", vmcs_rows[f].encoding, vmcs_rows[f].name);
			put(o, STYLE_NORMAL, "%" PRIx64, c->vmcs->f[f]);
			nl(o);
			for (size_t w = 0; w < ARRAY_LEN(words); w++)
				if (words[w].field == (enum vmcs_field)f)
					controls(o, words[w].word, c->vmcs->f[f]);
		}
	}
}
