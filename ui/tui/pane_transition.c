/* pane_transition.c - what happened inside the last instruction, phase by phase: VM exit, the VMM's service, VM entry,
 * exception, interrupt, system call; the step under the micro-cursor is marked.
 *
 * Steps between two phases (references, VMREADs, accesses) are folded to one line, unless the cursor is among them or ] chose
 * to see every step. A phase's cycles contain those of the references made in it, which stand below it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/cpu/sys.h"
#include "models/cpu/vmx/vmcs.h"
#include "models/vmm/vmm.h"
#include "ui/export/ledger_text.h"
#include "ui/tui/tui.h"

void draw_transition(struct tui *t, struct pane_out *o);

static bool flow_phase_step(const struct trace_record *r)
{
	return r->event == CPU_TRACE_PHASE && r->a[0] < FLOW_N && r->a[1] < PHASE_N;
}
static bool vmm_phase_step(const struct trace_record *r)
{
	return r->event == VMM_TRACE_PHASE && r->a[0] < VMM_COSTS;
}
static bool is_phase(const struct trace_record *r) { return flow_phase_step(r) || vmm_phase_step(r); }
static cycle_t phase_cycles(const struct trace_record *r) { return r->event == CPU_TRACE_PHASE ? r->a[2] : r->a[1]; }

/* The first step made inside the phase that ended with step p. */
static size_t inner(const struct micro *u, size_t p)
{
	const struct trace_record *r = micro_at(u, p);
	size_t i = p;
	/* what an instruction's own cost covers is only told: nothing happens inside it */
	if (r->event != CPU_TRACE_PHASE || r->a[0] == FLOW_SYSCALL || r->a[0] == FLOW_SYSRET)
		return p;
	while (i > 0 && !is_phase(micro_at(u, i - 1)) && micro_at(u, i - 1)->cycle > r->cycle - r->a[2])
		i--;
	return i;
}

/* A step's cycles without the phase's own, which are spent when it begins: the step that comes first would seem to cost them. */
static cycle_t step_cycles(const struct micro *u, size_t i)
{
	cycle_t n = micro_cycles(u, i), own;
	size_t p = i;
	while (p < micro_count(u) && !is_phase(micro_at(u, p)))
		p++;
	if (p == i || p == micro_count(u) || micro_at(u, p)->event != CPU_TRACE_PHASE)
		return n;
	const size_t first = inner(u, p);
	if (i < first)
		return n;
	own = micro_at(u, p)->a[3];
	for (size_t k = first; k < i; k++) {
		const cycle_t c = micro_cycles(u, k);
		own -= c < own ? c : own;
	}
	return n - (n < own ? n : own);
}

static void mark(struct pane_out *o, bool here_now)
{
	if (here_now) {
		here(o);
		put_glyph(o, STYLE_HERE, GLYPH_HERE);
	} else {
		put(o, STYLE_NORMAL, " ");
	}
}

static void bar(struct pane_out *o, cycle_t n, cycle_t most, enum style s)
{
	const int width = o->w - o->col - 1;
	put(o, STYLE_NORMAL, " ");
	for (int i = 0; most && i < width && (uint64_t)i * most < n * (uint64_t)width; i++)
		put_glyph(o, s, GLYPH_BAR);
}

/* Whose row of a table it is: Enter explains that. */
static void named(const struct micro *u, size_t i, char *buf, size_t n)
{
	const struct trace_record *r = micro_at(u, i);
	int f;
	if (flow_phase_step(r))
		snprintf(buf, n, "%s: %s", flow_rows[r->a[0]].name, phase_rows[r->a[1]].name);
	else if (vmm_phase_step(r))
		snprintf(buf, n, "%s", vmm_cost_rows[r->a[0]].name);
	else if ((r->event == CPU_TRACE_VMREAD || r->event == CPU_TRACE_VMWRITE) && (f = vmcs_find((uint32_t)r->a[0])) >= 0)
		snprintf(buf, n, "%s", vmcs_rows[f].name);
	else
		snprintf(buf, n, "%s", micro_name(u, i));
}

static void step_line(const struct tui *t, struct pane_out *o, size_t i, bool indented)
{
	const struct micro *u = t->micro;
	char text[200], name[80];
	const bool lit = i < micro_cursor(u), now = i + 1 == micro_cursor(u);
	mark(o, now);
	micro_text(u, i, text, sizeof text);
	named(u, i, name, sizeof name);
	put(o, STYLE_HARDWARE, "%6" PRIu64 " ", step_cycles(u, i));
	put_named(o, now ? STYLE_HERE : lit ? STYLE_NORMAL : STYLE_DIM, name, "%s%s", indented ? "  " : "", text);
	nl(o);
}

static void folded(const struct tui *t, struct pane_out *o, size_t from, size_t to, bool indented)
{
	cycle_t sum = 0;
	size_t refs = 0, fields = 0;
	if (from == to)
		return;
	for (size_t i = from; i < to; i++) {
		const unsigned event = micro_at(t->micro, i)->event;
		sum += step_cycles(t->micro, i);
		refs += event == MMU_TRACE_WALK_REF || event == MMU_TRACE_EPT_REF || event == MMU_TRACE_SHADOW_REF || event == MMU_TRACE_PHYS || event == MMU_TRACE_ACCESS;
		fields += event == CPU_TRACE_VMREAD || event == CPU_TRACE_VMWRITE;
	}
	put(o, STYLE_HARDWARE, " %6" PRIu64 " ", sum);
	put(o, STYLE_DIM, "%s%zu steps", indented ? "  " : "", to - from);
	if (refs)
		put(o, STYLE_DIM, ", %zu to memory", refs);
	if (fields)
		put(o, STYLE_DIM, ", %zu VMREAD, VMWRITE", fields);
	nl(o);
}

/* Steps that are no phases: folded, unless they are wanted. */
static void others(const struct tui *t, struct pane_out *o, size_t from, size_t to, bool all, bool indented)
{
	const size_t cursor = micro_cursor(t->micro);
	if (!all && !(cursor > from && cursor <= to) && to - from > 2) {
		folded(t, o, from, to, indented);
		return;
	}
	for (size_t i = from; i < to; i++)
		step_line(t, o, i, indented);
}

static void phase_line(const struct tui *t, struct pane_out *o, size_t p, cycle_t most)
{
	const struct micro *u = t->micro;
	const struct trace_record *r = micro_at(u, p);
	const bool now = p + 1 == micro_cursor(u), lit = p < micro_cursor(u), vmm = vmm_phase_step(r);
	char name[80];
	named(u, p, name, sizeof name);
	mark(o, now);
	put(o, STYLE_HARDWARE, "%6" PRIu64 " ", phase_cycles(r));
	put_named(o, now ? STYLE_HERE : lit ? (vmm ? STYLE_VMM : STYLE_NUMBER) : STYLE_DIM, name, "%s%s", vmm ? "VMM: " : "", name);
	put_at(o, 34);
	bar(o, phase_cycles(r), most, vmm ? STYLE_VMM : STYLE_HARDWARE);
	nl(o);
}

void draw_transition(struct tui *t, struct pane_out *o)
{
	const struct micro *u = t->micro;
	const size_t n = micro_count(u);
	const bool all = o->view->choice % 2 != 0;
	cycle_t most = 0, in_phases = 0;
	char total[40];
	if (!micro_valid(u)) {
		put(o, STYLE_DIM, "no record yet: s steps, m makes a micro-step");
		nl(o);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (is_phase(micro_at(u, i))) {
			const cycle_t c = phase_cycles(micro_at(u, i));
			most = c > most ? c : most;
			in_phases += c;
		}
	put(o, STYLE_NUMBER, "%s cycles", digits(micro_total(u), total, sizeof total));
	put(o, STYLE_DIM, " in %zu steps%s, %" PRIu64 " in phases; micro-cursor %zu; ] %s", n, micro_cut(u) ? " and more" : "", in_phases, micro_cursor(u),
	    all ? "folds" : "unfolds");
	nl(o);
	size_t done = 0;
	for (size_t p = 0; p < n; p++) {
		if (!is_phase(micro_at(u, p)))
			continue;
		const size_t in = inner(u, p) > done ? inner(u, p) : done;
		others(t, o, done, in, all, false);
		phase_line(t, o, p, most);
		others(t, o, in, p, all, true);
		done = p + 1;
	}
	others(t, o, done, n, all, false);
}
