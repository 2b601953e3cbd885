/* travel.c - steps and ways back as the screen offers them, with what to say about each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/breakpoint.h"
#include "models/cpu/block.h"
#include "ui/tui/screen.h"
#include "ui/session/stops.h"
#include "ui/tui/tui.h"

/* ---- marks of what changed ---- */

static void keep_stat(void *arg, const char *name, const struct stat_row *row, uint64_t v)
{
	struct before *b = arg;
	(void)name, (void)row;
	b->stat[b->stats++] = v;
}

static void remember(struct tui *t)
{
	size_t all = 0;
	t->memory.before = t->memory.now;
	t->stack.before = t->stack.now;
	for (size_t i = 0; i < t->m->stats.n; i++)
		all += t->m->stats.sets[i].n;
	t->before.stat = xrealloc(t->before.stat, (all + 1) * sizeof *t->before.stat);
	t->before.stats = 0;
	stats_each(&t->m->stats, keep_stat, &t->before);
	size_t n = 0, at = 0;
	for (size_t i = 0; i < t->m->fields.n; i++)
		n += t->m->fields.groups[i].n;
	t->before.value = xrealloc(t->before.value, (n + 1) * sizeof *t->before.value);
	t->before.n = n;
	for (size_t i = 0; i < t->m->fields.n; i++) {
		const struct field_group *g = &t->m->fields.groups[i];
		for (size_t k = 0; k < g->n; k++)
			t->before.value[at++] = field_read(g, &g->rows[k]);
	}
}

static void follow(struct tui *t)
{
	t->cpu = t->m->s.running;
}

static void tell(struct tui *t, enum travelled how, const char *none)
{
	char text[200];
	if (how == TRAVEL_ASKED)
		tui_say(t, false, "stopped by a key");
	else if (how == TRAVEL_NONE)
		tui_say(t, false, "%s", none);
	else if (how == TRAVEL_DONE && stops_hit(t->run))
		tui_say(t, false, "%s", stops_hit(t->run)->why);
	else if (how == TRAVEL_STOPPED && t->run->last != MACHINE_STOP_ICOUNT && !(t->run->last == MACHINE_STOP_USER && t->run->stop_asked))
		tui_say(t, t->run->last == MACHINE_STOP_SHUTDOWN, "%s", stop_sentence(t->run, text, sizeof text));
}

bool travel_hit(const struct tui *t, uint64_t lin)
{
	const struct breakpoints *b = t->m->breakpoints;
	for (unsigned i = 0; i < b->n; i++)
		if (b->at[i].lin == lin)
			return true;
	return false;
}

static bool returns_here(const char *text)
{
	static const char *const over[] = { "call", "int", "syscall", "sysenter", "rep", "repe", "repne", "repz", "repnz", "into", "hlt" };
	for (size_t i = 0; i < ARRAY_LEN(over); i++) {
		size_t n = strlen(over[i]);
		if (strncmp(text, over[i], n) == 0 && (text[n] == ' ' || text[n] == '\0'))
			return true;
	}
	return false;
}

static void step_over(struct tui *t)
{
	char text[120];
	const struct cpu *c = t->m->cpu[t->m->s.running];
	uint64_t lin = block_linear(c);
	unsigned n = disassemble(t, lin, text, sizeof text);
	enum travelled how = n && returns_here(text) ? travel_to_address(t->travel, lin + n, c->number) : travel_step(t->travel, 1);
	if (how == TRAVEL_REFUSED)
		tui_say(t, true, "no room for another breakpoint: delete one");
	else if (t->run->last != MACHINE_STOP_BREAK || how != TRAVEL_STOPPED)
		tell(t, how, "");
}

/* Back over what step_over would go over: to the instruction whose successor this is, or one back. */
struct over_hit { struct tui *t; uint64_t lin, sp; };

static bool leads_here(void *arg)
{
	struct over_hit *h = arg;
	char text[120];
	const struct cpu *c = h->t->m->cpu[h->t->m->s.running];
	if (c->s.r[R_RSP] != h->sp)
		return false;
	uint64_t lin = block_linear(c);
	if (lin >= h->lin || h->lin - lin > 15)
		return false;
	unsigned n = disassemble(h->t, lin, text, sizeof text);
	return n && lin + n == h->lin;
}

static void back_over(struct tui *t)
{
	const struct cpu *c = t->m->cpu[t->m->s.running];
	struct over_hit h = { t, block_linear(c), c->s.r[R_RSP] };
	if (!timeline_back(t->timeline, leads_here, &h))
		tell(t, travel_back(t->travel, 1), "this is the beginning");
}

static void to_event(struct tui *t, bool back, uint64_t n, const char *filter, const char *none)
{
	struct err e = { "" };
	enum travelled how = TRAVEL_DONE;
	while (n-- && (how == TRAVEL_DONE || how == TRAVEL_STOPPED)) {
		struct moment was = timeline_now(t->timeline);
		how = (back ? travel_back_event : travel_to_event)(t->travel, filter, &e);
		if (moment_compare(was, timeline_now(t->timeline)) == 0)
			break;
	}
	if (how == TRAVEL_REFUSED)
		tui_say(t, true, "%s", e.text);
	else
		tell(t, how, none);
}

/* Marks and state change where an instruction is crossed alone. */
static void micro(struct tui *t, bool back, uint64_t n)
{
	enum travelled how = TRAVEL_DONE;
	char text[160];
	for (; n && how == TRAVEL_DONE; n--) {
		if (back ? micro_cursor(t->micro) <= 1 : micro_cursor(t->micro) == micro_count(t->micro))
			remember(t);
		how = (back ? micro_back : micro_step)(t->micro);
	}
	tell(t, how, "this is the beginning");
	if (micro_cursor(t->micro) && how == TRAVEL_DONE) {
		micro_text(t->micro, micro_cursor(t->micro) - 1, text, sizeof text);
		tui_say(t, false, "%zu of %zu: %s", micro_cursor(t->micro), micro_count(t->micro), text);
	}
}

void travel_record(struct tui *t)
{
	for (unsigned i = 0; i < t->places; i++)
		switch (t->place[i].pane) {
		case PANE_WALK:
		case PANE_TLB:
		case PANE_TRANSITION:
			micro_renew(t->micro);
			return;
		default:
			break;
		}
}

void travel(struct tui *t, enum travel_kind kind, bool back, uint64_t n)
{
	if (kind != TRAVEL_MICRO)
		remember(t);
	else
		micro(t, back, n);
	t->backwards = back;
	t->endless = kind == TRAVEL_CONTINUE;
	switch (kind) {
	case TRAVEL_MICRO:
		break;
	case TRAVEL_INSN:
		if (back)
			tell(t, travel_back(t->travel, n), "this is the beginning");
		else {
			enum travelled how = n < 2 ? TRAVEL_DONE : travel_step(t->travel, n - 1);
			tell(t, how == TRAVEL_DONE ? micro_run(t->micro) : how, "");    /* the last one is recorded */
		}
		break;
	case TRAVEL_OVER:
		for (; n; n--)
			(back ? back_over : step_over)(t);
		break;
	case TRAVEL_EVENT:
		to_event(t, back, n, "exception,interrupt,soft_int,nmi", "no exception or interrupt before this moment");
		break;
	case TRAVEL_EXIT:
		to_event(t, back, n, "vm_exit", "no VM exit before this moment");
		break;
	case TRAVEL_ENTRY:
		to_event(t, back, n, "vm_entry", "no VM entry before this moment");
		break;
	case TRAVEL_CONTINUE:
		tell(t, (back ? travel_back_continue : travel_continue)(t->travel), "no breakpoint on the way: this is the beginning");
		break;
	}
	follow(t);
}

void travel_goto_cycle(struct tui *t, cycle_t at)
{
	remember(t);
	t->backwards = at < timeline_now(t->timeline).cycle;
	t->endless = false;
	cycle_t end = timeline_end(t->timeline).cycle;
	bool ok = timeline_goto_cycle(t->timeline, at < end ? at : end);
	while (ok && timeline_now(t->timeline).cycle < at) {    /* where nobody has been: that can take time */
		cycle_t now = timeline_now(t->timeline).cycle;
		ok = timeline_run(t->timeline, at - now > 10000000 ? now + 10000000 : at, 0);
		if (ok && tui_patience(t, "running: Ctrl-C stops")) {
			tui_say(t, false, "stopped by a key");
			break;
		}
	}
	if (!ok)
		tell(t, TRAVEL_STOPPED, "");
	follow(t);
}

void travel_goto(struct tui *t, struct moment at)
{
	remember(t);
	t->backwards = moment_compare(at, timeline_now(t->timeline)) < 0;
	t->endless = false;
	struct moment end = timeline_end(t->timeline);
	bool ok = timeline_goto(t->timeline, moment_compare(at, end) > 0 ? end : at);
	if (ok && at.step > timeline_now(t->timeline).step)     /* where nobody has been: that can take time */
		tell(t, travel_step(t->travel, at.step - timeline_now(t->timeline).step), "");
	else if (!ok)
		tell(t, TRAVEL_STOPPED, "");
	follow(t);
}

int travel_nth(struct tui *t, const char *what, uint64_t n, struct err *e)
{
	char none[120];
	remember(t);
	snprintf(none, sizeof none, "the run ends before %s happens that often", what);
	enum travelled how = travel_to_nth(t->travel, what, n, e);
	follow(t);
	if (how == TRAVEL_REFUSED)
		return -1;
	tell(t, how, none);
	return 0;
}
