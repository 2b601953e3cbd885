/* pane_events.c - what has happened: events and VM exits, one line each; Enter goes to the moment. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "models/vmm/bt/cache.h"
#include "models/vmm/ring/ring.h"
#include "models/vmm/virt.h"
#include "ui/export/ledger_text.h"
#include "ui/tui/tui.h"

void draw_events(struct tui *t, struct pane_out *o);
void draw_exits(struct tui *t, struct pane_out *o);

#define LINES_MAX 2000          /* of the log, while the cursor is in it */

static const char *reason_name(uint64_t reason)
{
	unsigned basic = reason & 0xffff;
	return basic < EXIT_REASONS && exit_reason_rows[basic].name ? exit_reason_rows[basic].name : "?";
}

/* Under binary translation: in the corner's part for translated code. What was there then may be gone by now. */
static bool translated(const struct tui *t, uint64_t rip)
{
	const struct vmm *v = t->m->vmm;
	const uint64_t at = rip >= RING_CORNER_64 ? rip - RING_CORNER_64 : rip - RING_CORNER_32;
	return v && v->vms && v->vm[0]->virt == &virt_bt && at >= RING_CODE * PAGE_SIZE && at < RING_PAGES * PAGE_SIZE;
}

static const char *where(const struct tui *t, uint64_t rip, char *buf, size_t n)
{
	char name[120];
	if (translated(t, rip)) {
		snprintf(buf, n, "the code cache, %" PRIx64, rip);
		return buf;
	}
	if (symbol_text(t, rip, name, sizeof name)[0])
		snprintf(buf, n, "%s", name);
	else
		snprintf(buf, n, "%" PRIx64, rip);
	return buf;
}

/* One event in words. */
static enum style words(const struct tui *t, const struct happening *e, char *buf, size_t n)
{
	static const char *const names[] = { "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9", "#TS", "#NP", "#SS", "#GP", "#PF", "15", "#MF",
	                                     "#AC", "#MC", "#XM", "#VE", "#CP" };
	static const char *const steps[] = { "", "timer interrupt", "VMM entered", "state saved", "next one chosen", "timer armed", "state restored",
	                                     "address space switched", "jump" };
	const uint64_t *a = e->r.a;
	char at[140], more[160];
	switch (e->r.event) {
	case CPU_TRACE_EXCEPTION:
		if (a[0] == VEC_PF)
			snprintf(buf, n, "#PF at %" PRIx64 ", error %#" PRIx64 ", in %s", a[3], a[1], where(t, a[2], at, sizeof at));
		else
			snprintf(buf, n, "%s error %#" PRIx64 ", in %s", a[0] < ARRAY_LEN(names) ? names[a[0]] : "exception", a[1], where(t, a[2], at, sizeof at));
		return STYLE_BAD;
	case CPU_TRACE_INTERRUPT:
		snprintf(buf, n, "interrupt %#" PRIx64 " in %s", a[0], where(t, a[1], at, sizeof at));
		return STYLE_NUMBER;
	case CPU_TRACE_SOFT_INT:
		snprintf(buf, n, "int %#" PRIx64 " in %s", a[0], where(t, a[1], at, sizeof at));
		return STYLE_NORMAL;
	case CPU_TRACE_CR:
		snprintf(buf, n, "cr%u = %#" PRIx64, (unsigned)a[0], a[1]);
		return STYLE_NORMAL;
	case CPU_TRACE_VM_EXIT:
		snprintf(buf, n, "exit %s: %s", reason_name(a[0]), exit_words((uint32_t)a[0], a[1], e->intr_info, e->gpa, more, sizeof more));
		if (!more[0])
			snprintf(buf, n, "exit %s in %s", reason_name(a[0]), where(t, a[2], at, sizeof at));
		return STYLE_VMM;
	case CPU_TRACE_VM_ENTRY:
		if (a[2] & BIT(31))
			snprintf(buf, n, "entry at %s, injects vector %#x", where(t, a[0], at, sizeof at), (unsigned)(a[2] & 0xff));
		else
			snprintf(buf, n, "entry at %s", where(t, a[0], at, sizeof at));
		return STYLE_KERNEL;
	case CPU_TRACE_HALT: case CPU_TRACE_WAKE:
		snprintf(buf, n, "%s in %s", e->r.event == CPU_TRACE_HALT ? "halts" : "wakes", where(t, a[0], at, sizeof at));
		return STYLE_DIM;
	case VMM_TRACE_BT_CALLOUT:
		snprintf(buf, n, "callout %s for %s", a[2] < BT_CALLOUTS ? bt_callout_rows[a[2]].name : "?", where(t, a[1], at, sizeof at));
		return STYLE_VMM;
	case VMM_TRACE_BT_TRANSLATE:
		snprintf(buf, n, "translates %s: %u instruction%s", where(t, a[1], at, sizeof at), (unsigned)a[3], a[3] == 1 ? "" : "s");
		return STYLE_VMM;
	case VMM_TRACE_BT_CHAIN:
		where(t, a[1], at, sizeof at);
		snprintf(buf, n, "chains %s to %s", at, where(t, a[2], more, sizeof more));
		return STYLE_VMM;
	case VMM_TRACE_BT_ADAPT:
		snprintf(buf, n, a[2] ? "adapts: %s becomes a callout" : "adapts: %s is itself again", where(t, a[1], at, sizeof at));
		return STYLE_VMM;
	case VMM_TRACE_BT_REWRITTEN:
		snprintf(buf, n, "the guest writes over translated code at %s", where(t, a[1], at, sizeof at));
		return STYLE_VMM;
	case VMM_TRACE_BT_FLUSH:
		snprintf(buf, n, "drops the code cache: %u blocks", (unsigned)a[2]);
		return STYLE_VMM;
	case VMM_TRACE_SWITCH_STEP:
		snprintf(buf, n, "switch %u/8: %s, vm%u.vcpu%u", (unsigned)a[0], a[0] <= 8 ? steps[a[0]] : "?", (unsigned)a[1], (unsigned)a[2]);
		return STYLE_VMM;
	case VMM_TRACE_BOUNCE:
		if (a[1] < 256)
			snprintf(buf, n, "bounces vector %#x to %s", (unsigned)a[1], where(t, a[3], at, sizeof at));
		else
			snprintf(buf, n, "bounces %s to %s", a[1] == 256 ? "SYSCALL" : "events", where(t, a[3], at, sizeof at));
		return STYLE_VMM;
	case VMM_TRACE_NESTED_ENTRY:
		snprintf(buf, n, "L1 enters L2 at %" PRIx64, a[3]);
		return STYLE_VMM;
	case VMM_TRACE_NESTED_EXIT:
		snprintf(buf, n, "reflects %s to L1", reason_name(a[2]));
		return STYLE_VMM;
	default: {
		const struct trace_row *row = &t->m->trace.rows[e->r.event];
		char line[200];
		trace_format(&t->m->trace, &e->r, line, sizeof line);
		const char *from = strstr(line, row->name);
		snprintf(buf, n, "%s", from ? from : line);
		return STYLE_NORMAL;
	}
	}
}

/* What an exit took, once its entry has come: in the past nothing is known of later. */
static cycle_t took(const struct tui *t, const struct happening *e)
{
	return e->r.cycle + e->took <= t->m->cpu[e->r.component]->ledger.now ? e->took : 0;
}

static void event_line(struct tui *t, struct pane_out *o, const struct happening *e, bool exits)
{
	struct link l = { .kind = LINK_MOMENT, .at = e->at };
	char text[300], cycle[40];
	here(o);
	put_link(o, STYLE_DIM, &l, "%*s ", o->w >= 60 ? 14 : 11, digits(e->r.cycle, cycle, sizeof cycle));
	if (t->m->config.cpus > 1)
		put(o, STYLE_DIM, "cpu%u ", e->r.component);
	if (!pane_shows(o) && !t->search[0]) {
		nl(o);
		return;
	}
	enum style s = words(t, e, text, sizeof text);
	put(o, s, "%s", exits && strncmp(text, "exit ", 5) == 0 ? text + 5 : text);
	if (e->r.event == CPU_TRACE_VM_EXIT && took(t, e))
		put(o, STYLE_DIM, "  %s cycles", digits(took(t, e), cycle, sizeof cycle));
	nl(o);
}

/* The last ones that `exits` wants, at most `most`. */
static void list(struct tui *t, struct pane_out *o, bool exits, size_t most)
{
	size_t n = history_count(t->history), first = n, found = 0;
	while (first > 0 && found < most) {
		const struct happening *e = history_at(t->history, first - 1);
		found += !exits || e->r.event == CPU_TRACE_VM_EXIT;
		first--;
	}
	for (size_t i = first; i < n; i++) {
		const struct happening *e = history_at(t->history, i);
		if (!exits || e->r.event == CPU_TRACE_VM_EXIT)
			event_line(t, o, e, exits);
	}
}

void draw_events(struct tui *t, struct pane_out *o)
{
	if (!history_count(t->history))
		put(o, STYLE_DIM, "(none yet)");
	else
		list(t, o, false, LINES_MAX);
}

/* ---- exits ---- */

struct reason { unsigned reason; uint64_t count; cycle_t took; };

static int by_took(const void *a, const void *b)
{
	const struct reason *x = a, *y = b;
	if (x->took != y->took)
		return x->took > y->took ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->reason < y->reason ? -1 : x->reason > y->reason;
}

/* How many exits of each reason there were, by the statistics, and what those still in the log took. */
static size_t reasons(struct tui *t, struct reason *all)
{
	size_t n = 0;
	for (unsigned i = 0; i < EXIT_REASONS; i++)
		all[i] = (struct reason){ .reason = i };
#define REASON(NAME, number, name, sentence) for (unsigned i = 0; i < t->m->config.cpus; i++) all[number].count += t->m->cpu[i]->stat[CPU_STAT_EXIT_##NAME];
#include "models/cpu/vmx/exit_reason.def"
#undef REASON
	for (size_t i = 0; i < history_count(t->history); i++) {
		const struct happening *e = history_at(t->history, i);
		if (e->r.event == CPU_TRACE_VM_EXIT && (e->r.a[0] & 0xffff) < EXIT_REASONS)
			all[e->r.a[0] & 0xffff].took += took(t, e);
	}
	for (unsigned i = 0; i < EXIT_REASONS; i++)
		if (all[i].count)
			all[n++] = all[i];
	qsort(all, n, sizeof *all, by_took);
	return n;
}

void draw_exits(struct tui *t, struct pane_out *o)
{
	struct reason all[EXIT_REASONS];
	size_t n = reasons(t, all);
	int show = ((o->view->choice % 3) + 3) % 3;     /* both, counts, log */
	char cycles[40], each[40];
	cycle_t most = 0;
	if (!n) {
		put(o, STYLE_DIM, "(no VM exit yet)");
		return;
	}
	for (size_t i = 0; i < n; i++)
		most = all[i].took > most ? all[i].took : most;
	if (show != 2) {
		put(o, STYLE_DIM, "%-18s %9s %13s %8s%s", "reason", "exits", "cycles", "each", history_forgotten(t->history) ? " (cycles: of the last exits)" : "");
		nl(o);
	}
	for (size_t i = 0; i < n && show != 2; i++) {
		char name[64];
		snprintf(name, sizeof name, "exit.%s", reason_name(all[i].reason));
		put_named(o, STYLE_VMM, name, "%-18s", name + 5);
		put(o, STYLE_NORMAL, " %9" PRIu64 " %13s %8s ", all[i].count, all[i].took ? digits(all[i].took, cycles, sizeof cycles) : "-",
		    all[i].took ? digits(all[i].took / all[i].count, each, sizeof each) : "-");
		put_bar(o, STYLE_VMM, all[i].took, most, 0);
		nl(o);
	}
	if (show == 1)
		return;
	if (show == 0)
		nl(o);
	list(t, o, true, o->view->cursor >= 0 && o->view == &t->view[t->focus] ? LINES_MAX :
	     o->h > o->line + 4 ? (size_t)(o->h - o->line) : 4);
}
