/* chosen.c - Enter at the cursor: a value is explained in the words of `vmscope explain`, a moment is gone to. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "ui/cli/explain.h"
#include "ui/tui/tui.h"

/* explain knows the first CPU and no virtual machine: those of others mean the same. */
static const char *general_name(const char *name, char *buf, size_t n)
{
	unsigned cpu;
	int skip = 0;
	if (strncmp(name, "vm", 2) == 0 && sscanf(name, "vm%u.%n", &cpu, &skip) == 1 && skip)
		name += skip;
	skip = 0;
	if (sscanf(name, "cpu%u.vmcs.%n", &cpu, &skip) == 1 && skip)
		snprintf(buf, n, "%s", name + skip);
	else if (skip = 0, sscanf(name, "cpu%u.%n", &cpu, &skip) == 1 && skip)
		snprintf(buf, n, "cpu0.%s", name + skip);
	else
		snprintf(buf, n, "%s", name);
	return buf;
}

void explain_name(struct tui *t, const char *name)
{
	char *text;
	size_t n;
	struct err e = { "" };
	FILE *f = open_memstream(&text, &n);
	char general[160];
	struct err ignored = { "" };
	int status = explain(name, f, &e);
	if (status != 0 && strcmp(general_name(name, general, sizeof general), name) != 0)
		status = explain(general, f, &ignored);
	fclose(f);
	if (status == 0) {
		popup_show(t, name, text);
		return;
	}
	free(text);
	tui_say(t, true, "%s", e.text);
}

void explain_field(struct tui *t, const char *name)
{
	struct field_row row;
	const struct field_row *r = &row;
	struct err e = { "" };
	char line[512], *text;
	size_t n;
	uint64_t v;
	if (!field_named(t, name, &v, &row)) {
		explain_name(t, name);
		return;
	}
	FILE *f = open_memstream(&text, &n);
	field_format(r, v, line, sizeof line);
	fprintf(f, "%s = %s", name, line);
	if (!r->bits && v > 9)
		fprintf(f, " = %" PRIu64, v);
	char symbol[120];
	if (symbol_text(t, v, symbol, sizeof symbol)[0])
		fprintf(f, " = %s", symbol);
	fprintf(f, "\n");
	for (const struct field_bits *b = r->bits; b && b->name; b++) {
		char bits[12];
		if (b->hi == b->lo)
			snprintf(bits, sizeof bits, "%u", b->lo);
		else
			snprintf(bits, sizeof bits, "%u:%u", b->hi, b->lo);
		fprintf(f, "  %-6s %-12s %4" PRIx64 "  %s\n", bits, b->name, (uint64_t)BITS(v, b->hi, b->lo), b->what ? b->what : "");
	}
	(void)explain(general_name(name, line, sizeof line), f, &e);
	fclose(f);
	popup_show(t, name, text);
}

/* What an address is: symbol, and where it leads. */
static void explain_address(struct tui *t, uint64_t lin)
{
	char *text, symbol[120];
	size_t n;
	struct walk_record w = { 0 };
	const struct cpu *c = looked_at(t);
	FILE *f = open_memstream(&text, &n);
	fprintf(f, "%#" PRIx64 "%s%s\n", lin, symbol_text(t, lin, symbol, sizeof symbol)[0] ? " = " : "", symbol);
	if (!c->mmu.paging.levels)
		fprintf(f, "paging is off: the address is physical\n");
	else if (mmu_peek(&c->mmu, lin, &w))
		fprintf(f, "leads to physical %#" PRIx64 " now, by %u references; panes memory and tables show it from here on\n", w.hpa.v, w.n);
	else
		fprintf(f, "not mapped now; the pane tables shows where the walk ends\n");
	fclose(f);
	t->view[PANE_TABLES].address = t->view[PANE_MEMORY].address = lin;
	popup_show(t, "address", text);
}

void chosen_enter(struct tui *t)
{
	struct link l;
	if (t->focus == PANE_TIMELINE && t->lanes.at != NEVER) {
		travel_goto_cycle(t, t->lanes.at);
		t->lanes.at = NEVER;
		return;
	}
	tui_draw(t);            /* keys may have come faster than they were drawn */
	l = t->chosen;
	switch (l.kind) {
	case LINK_NONE:
		tui_say(t, false, t->view[t->focus].cursor < 0 ? "j and k put the cursor on a line; Enter explains what is there, or goes there"
		                                               : "nothing to explain on this line: h and l choose on it, j and k another");
		break;
	case LINK_EXPLAIN: explain_name(t, l.name); break;
	case LINK_FIELD:   explain_field(t, l.name); break;
	case LINK_ADDRESS: explain_address(t, l.address); break;
	case LINK_MOMENT:  travel_goto(t, l.at); break;
	case LINK_ACT:     l.act(t, &l); break;
	}
}
