/* pane_vmcs.c - the current VMCS by areas that fold: names, decoded bits, and what is new since the last entry (in root
 * operation: what the exit and the VMM wrote) or the last exit (in the guest: what the VMM wrote).
 * Choice ([ and ]): fields that are not 0, only what is new, all. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/vmx/vmcs.h"
#include "ui/tui/tui.h"

void draw_vmcs(struct tui *t, struct pane_out *o);

enum { SHOW_SET, SHOW_NEW, SHOW_ALL, SHOWS };

static void fold(struct tui *t, const struct link *l)
{
	t->view[PANE_VMCS].folded ^= 1u << l->address;
}

/* Names of bits, over as many lines as they need. */
static void decoded(struct pane_out *o, const struct field_bits *bits, uint64_t v)
{
	char one[64];
	put_at(o, 4);
	for (const struct field_bits *b = bits; b && b->name; b++) {
		uint64_t x = BITS(v, b->hi, b->lo);
		if (!x)
			continue;
		if (b->hi == b->lo)
			snprintf(one, sizeof one, "%s ", b->name);
		else
			snprintf(one, sizeof one, "%s=%" PRIx64 " ", b->name, x);
		if (o->col > 4 && o->col + (int)strlen(one) > o->w) {
			nl(o);
			put_at(o, 4);
		}
		put(o, STYLE_GOOD, "%s", one);
	}
	nl(o);
}

static void field_line(struct tui *t, struct pane_out *o, unsigned f, uint64_t v, const uint64_t *base)
{
	struct link l = { .kind = LINK_FIELD };
	const bool new = base && base[f] != v;
	const struct field_bits *bits = vmcs_bits((enum vmcs_field)f);
	snprintf(l.name, sizeof l.name, "cpu%u.vmcs.%s", t->cpu, vmcs_rows[f].name);
	put(o, STYLE_DIM, o->w >= 50 ? "%04x %-24s " : "%.0d%-18s ", o->w >= 50 ? vmcs_rows[f].encoding : 0, vmcs_rows[f].name);
	put_link(o, new ? STYLE_CHANGED : STYLE_NORMAL, &l, "%" PRIx64, v);
	if (new && o->w >= 40)
		put(o, STYLE_DIM, "  was %" PRIx64, base[f]);
	if ((enum vmcs_field)f == VMCS_EXIT_REASON && (v & 0xffff) < EXIT_REASONS && exit_reason_rows[v & 0xffff].name)
		put(o, STYLE_VMM, "  %s", exit_reason_rows[v & 0xffff].name);
	char name[120];
	if (((enum vmcs_field)f == VMCS_GUEST_RIP || (enum vmcs_field)f == VMCS_GUEST_RSP) && symbol_text(t, v, name, sizeof name)[0])
		put(o, STYLE_KERNEL, "  %s", name);
	nl(o);
	if (bits && v && (enum vmcs_field)f != VMCS_EXIT_REASON)
		decoded(o, bits, v);
}

void draw_vmcs(struct tui *t, struct pane_out *o)
{
	static const char *const areas[] = { [VMCS_CONTROL] = "controls", [VMCS_READ_ONLY] = "exit information", [VMCS_GUEST] = "guest state", [VMCS_HOST] = "host state" };
	static const enum vmcs_type order[] = { VMCS_READ_ONLY, VMCS_GUEST, VMCS_CONTROL, VMCS_HOST };
	static const char *const shows[SHOWS] = { "set", "new", "all" };
	const struct cpu *c = looked_at(t);
	if (!c->vmcs && c->vmx.deprivileged) {
		put(o, STYLE_DIM, "none: the guest runs in rings, the VMM beside it;");
		nl(o);
		put(o, STYLE_DIM, ":put bt, events, transition show what it does");
		nl(o);
		return;
	}
	if (!c->vmcs) {
		put(o, STYLE_DIM, c->vmx.vmxon == VMCS_NONE ? "(outside VMX operation)" : "(no current VMCS)");
		nl(o);
		return;
	}
	const uint64_t *base = history_vmcs(t->history, t->cpu, !c->vmx.guest);
	int show = ((o->view->choice % SHOWS) + SHOWS) % SHOWS;
	unsigned news = 0;
	for (unsigned f = 0; base && f < VMCS_N; f++)
		news += base[f] != c->vmcs->f[f];
	put(o, STYLE_DIM, "%" PRIx64 " %s; %u new since the %s; []: %s", c->vmcs->pa, c->vmcs->launched ? "launched" : "clear", news,
	    c->vmx.guest ? "exit" : "entry", shows[show]);
	nl(o);
	for (size_t a = 0; a < ARRAY_LEN(order); a++) {
		struct link l = { .kind = LINK_ACT, .address = a, .act = fold };
		const bool folded = o->view->folded >> a & 1;
		put_glyph(o, STYLE_DIM, folded ? GLYPH_RIGHT : GLYPH_DOWN);
		put(o, STYLE_NORMAL, " ");
		put_link(o, STYLE_TITLE, &l, "%s", areas[order[a]]);
		nl(o);
		for (unsigned f = 0; f < VMCS_N && !folded; f++) {
			uint64_t v = c->vmcs->f[f];
			bool new = base && base[f] != v;
			if (vmcs_type((enum vmcs_field)f) != order[a] || !vmcs_exists(c, (enum vmcs_field)f) ||
			    (show == SHOW_SET && !v && !new) || (show == SHOW_NEW && !new))
				continue;
			field_line(t, o, f, v, base);
		}
	}
}
